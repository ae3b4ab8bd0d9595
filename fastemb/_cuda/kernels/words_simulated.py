"""The words of kernels in the simulator: plain Python, every address checked for range and alignment.

Numba's simulator gives each thread of a block a thread of Python. Columns in registers are NumPy arrays here. `words`
says what each word means.
"""

import ctypes
import threading
from functools import cache
from typing import Any

import numpy as np

from .dtypes import INTEGERS, SIZES, acc_of

_lock = threading.Lock()
_ranges: list[tuple[int, int]] = []
_DTYPES: dict[str, Any] = {tag: np.dtype(tag) for tag in INTEGERS}
_DTYPES |= {"float64": np.dtype("f8"), "float32": np.dtype("f4"), "float16": np.dtype("f2")}


def allow(ranges: list[tuple[int, int]]) -> None:
    """Only bytes from a first address to one behind the last may be touched from now on."""
    _ranges[:] = ranges


def _at(address: Any, size: int, dtype: Any = np.uint8) -> Any:
    """Return a view of bytes at an address that may be touched."""
    address = int(address)
    if address % min(size, 16):
        raise IndexError(f"{size} bytes at {address} are misaligned")
    if not any(first <= address and address + size <= last for first, last in _ranges):
        raise IndexError(f"{size} bytes at {address} are outside of what the launch was given")
    memory: Any = (ctypes.c_char * size).from_address(address)
    return np.frombuffer(memory, dtype)


def device(function: Any) -> Any:
    """Return a function that kernels call."""
    return function


# Where a thread is -----------------------------------------------------------------------------------------------


def _me() -> Any:
    return threading.current_thread()


def thread_x() -> int:
    return int(_me().threadIdx.x)


def thread_y() -> int:
    return int(_me().threadIdx.y)


def threads_x() -> int:
    return int(_me()._manager._block_dim[0])


def threads_y() -> int:
    return int(_me()._manager._block_dim[1])


def block_x() -> int:
    return int(_me().blockIdx.x)


def block_y() -> int:
    return int(_me().blockIdx.y)


def blocks_x() -> int:
    return int(_me()._manager._grid_dim[0])


def blocks_y() -> int:
    return int(_me()._manager._grid_dim[1])


def meet() -> None:
    _me().syncthreads()


# Words of 1 to 16 bytes ------------------------------------------------------------------------------------------


@cache
def make_words(width: int) -> tuple[Any, Any, Any, Any]:
    def load(a: Any) -> Any:
        return _at(a, width).copy()

    def load4(a0: Any, a1: Any, a2: Any, a3: Any) -> Any:
        return load(a0), load(a1), load(a2), load(a3)

    def store(a: Any, words: Any) -> None:
        _at(a, width)[:] = words

    def store_if(a: Any, words: Any, so: Any) -> None:
        if so:
            store(a, words)

    return load, load4, store, store_if


# Columns in registers --------------------------------------------------------------------------------------------


def _widen(tag: str, words: Any) -> Any:
    """Return the numbers that bytes hold, in the type that is computed with."""
    if tag == "bfloat16":
        return (words.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if tag == "code8":
        return words.astype(np.float32)
    if tag == "code4":
        return np.stack([words & 15, words >> 4], axis=-1).reshape(-1).astype(np.float32)
    return words.view(_DTYPES[tag]).astype(acc_of(tag))


def _narrow(tag: str, numbers: Any) -> Any:
    """Return the bytes of numbers, each rounded once: to the nearest, ties to even; a NaN stays one."""
    x = np.atleast_1d(np.asarray(numbers))
    if tag in ("code8", "code4"):
        codes = np.clip(np.rint(np.nan_to_num(x)), 0, (1 << SIZES[tag]) - 1).astype(np.uint8)
        return codes if tag == "code8" else codes[0::2] | codes[1::2] << 4
    if tag != "bfloat16":
        return x.astype(_DTYPES[tag]).view(np.uint8)
    if x.dtype == np.float64:  # to odd first: toward zero, with the last bit set where that was not exact
        single = x.astype(np.float32)
        bits = single.view(np.uint32)
        bits -= np.abs(single) > np.abs(x)
        bits |= single != x
        x = single
    u = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = np.where(np.isnan(x), 0x7FFF, (u + 0x7FFF + ((u >> 16) & 1)) >> 16)
    return rounded.astype(np.uint16).view(np.uint8)


@cache
def make_columns(tag: str, width: int) -> tuple[Any, Any, Any, Any]:
    def load(a: Any) -> Any:
        return _widen(tag, _at(a, width).copy())

    def load4(a0: Any, a1: Any, a2: Any, a3: Any) -> Any:
        return load(a0), load(a1), load(a2), load(a3)

    def load_if(a: Any, so: Any) -> Any:
        return load(a) if so else _widen(tag, np.zeros(width, np.uint8))

    return load, load4, load_if, 8 * width // SIZES[tag]


@cache
def make_load_all(tag: str, width: int) -> Any:
    return make_columns(tag, width)[1]


@cache
def make_store(tag: str, width: int) -> tuple[Any, Any]:
    def store(a: Any, x: Any) -> None:
        bytes_ = _narrow(tag, x)
        for k in range(0, bytes_.size, width):
            _at(a + k, width)[:] = bytes_[k : k + width]

    def store_if(a: Any, x: Any, so: Any) -> None:
        if so:
            store(a, x)

    return store, store_if


@cache
def make_piece(tag: str, width: int, K: int, count: int = 0) -> tuple[Any, Any]:
    size = count * SIZES[tag] // 8 or width
    _, _, load_if, _ = make_columns(tag, width)

    def load_piece(a: Any, step: Any, last: Any) -> Any:
        words = [(a + k * step + j, k < K - 1 or last) for k in range(K) for j in range(0, size, width)]
        return np.concatenate([load_if(at, so) for at, so in words])

    def store_piece(a: Any, step: Any, last: Any, x: Any) -> None:
        each = len(x) // K
        store, _ = make_store(tag, min(width, each * SIZES[tag] // 8))
        for k in range(K):
            if k < K - 1 or last:
                store(a + k * step, x[k * each : (k + 1) * each])

    return load_piece, store_piece


@cache
def make_keep(K: int) -> Any:
    def keep(last: Any, x: Any) -> Any:
        n = len(x) // K
        return x if last else np.concatenate([x[:-n], np.zeros(n, x.dtype)])

    return keep


# Not cached: 0.0 and -0.0 are one key.
def make_constant(acc: str, count: int, value: float) -> Any:
    def constant() -> Any:
        return np.full(count, value, acc)

    return constant
