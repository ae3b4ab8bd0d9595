"""The general road of the handlers: the public functions of fastemb, on the memory that XLA lends for a call.

Whatever the small path of a handler does not know comes here: other dtypes, masks, weights, work for several threads,
backwards, values that are wrong. So the bits and the words are those of the functions for NumPy's arrays. No array is
copied, and nothing of JAX is called: its locks may be held while a handler runs.
"""

import atexit
import ctypes
import json
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from .._cpu.arrays import Array, round_into
from .._cpu.kernels import ffi, jit
from ..embedding import LayerNorm, RMSNorm, embed, embed_backward
from ..gradient import RowGrad, row_grad
from ..lookup import gather
from ..pooling import embedding_bag, embedding_bag_backward, pool, pool_backward
from ..position import rope

# Frames, as the handlers read them: structs as words of 8 bytes ---------------------------------------------------

_DTYPES = {
    1: np.bool_, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 6: np.uint8, 7: np.uint16, 8: np.uint32,
    9: np.uint64, 10: np.float16, 11: np.float32, 12: np.float64, 15: np.complex64, 16: ml_dtypes.bfloat16,
    18: np.complex128, 19: ml_dtypes.float8_e5m2, 20: ml_dtypes.float8_e4m3fn, 23: ml_dtypes.float8_e4m3b11fnuz,
    24: ml_dtypes.float8_e5m2fnuz, 25: ml_dtypes.float8_e4m3fnuz, 28: ml_dtypes.float8_e4m3,
    29: ml_dtypes.float8_e3m4, 33: ml_dtypes.float8_e8m0fnu,
}  # fmt: skip


def _words(address: int, count: int) -> list[int]:
    return list((ctypes.c_int64 * count).from_address(address))


def _array(buffer: int) -> Array:
    """Return a view of a buffer. It must not outlive the call."""
    _, _, code, data, rank, dims = _words(buffer, 6)
    shape, dtype = _words(dims, rank) if rank else (), np.dtype(_DTYPES[code & 0xFFFFFFFF])
    size = dtype.itemsize
    for length in shape:
        size *= length
    if not size:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(data))


class _Asked(NamedTuple):
    """What a call is, by the text of its attribute "call"."""

    function: str
    operands: list[str]
    results: list[str]
    options: dict[str, Any]


@lru_cache(1024)
def _asked(text: bytes) -> _Asked:
    return _Asked(**json.loads(text))


class _Error(ctypes.Structure):
    """The arguments of the function that makes XLA's errors."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p), ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    )  # fmt: skip


_make_error = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(_Error))
#: XLA's numbers for kinds of errors; what is none of these is an internal one.
_CODES: dict[type[BaseException], int] = {IndexError: 11, ValueError: 3, TypeError: 3, MemoryError: 8}
_INTERNAL = 13


def _error(frame: int, error: BaseException) -> int:
    """Return the address of an error of XLA that says what an exception says."""
    code = _CODES.get(type(error), _INTERNAL)
    text = str(error) if code != _INTERNAL else f"{type(error).__name__}: {error}"
    (api,) = _words(frame + 16, 1)
    (function,) = _words(api + 48, 1)
    address: int = _make_error(function)(_Error(ctypes.sizeof(_Error), None, text.encode(), code))
    return address


def _run(box: int) -> None:
    """Do what the call frame at an address asks for; write 0 or the address of an error behind that address."""
    answer = (ctypes.c_int64 * 2).from_address(box)
    frame = answer[0]
    try:
        words = _words(frame, 21)
        text = _words(_words(words[20], 1)[0], 2)
        asked = _asked(ctypes.string_at(text[0], text[1]))
        given = [_array(buffer) for buffer in _words(words[9], words[7])]
        outs = [_array(buffer) for buffer in _words(words[14], words[12])]
        _FUNCTIONS[asked.function](
            dict(zip(asked.operands, given, strict=True)), asked.options, dict(zip(asked.results, outs, strict=True))
        )
        answer[1] = 0
    except BaseException as error:
        answer[1] = _error(frame, error)


#: The road as a C function. It takes the GIL, which kernels let go while they run.
_road = ctypes.CFUNCTYPE(None, ctypes.c_int64)(_run)
_state = (ctypes.c_int64 * 2)()  # calls on the road, and whether it is closed: read and written by the gate, too
_ended = ctypes.create_string_buffer(b"the interpreter is ending")
_interrupted = ctypes.create_string_buffer(b"interrupted by an exception of a signal handler, as by Ctrl-C")


def address() -> int:
    """Return the address of the general road behind its gate, compiled now. Once in a process."""
    road = ctypes.cast(_road, ctypes.c_void_p).value or 0
    state, ended, interrupted = (ctypes.addressof(one) for one in (_state, _ended, _interrupted))
    _kept.append(ffi.make_gate(state, ended, interrupted, road))
    return jit.entry_point(_kept[0])


_kept: list[Any] = []


def _close() -> None:
    """Let no call enter any more, and wait until those on the road have left it."""
    _state[1] = 1
    while _state[0]:
        time.sleep(0.001)  # without the GIL, which they are waiting for


# JAX's own end waits for XLA with the GIL held, and was registered before. Registered now and not at the first call,
# so that what a program registers behind its imports may still call us.
atexit.register(_close)


# What calls do ---------------------------------------------------------------------------------------------------

_Given = dict[str, Any]
_Outs = dict[str, Array]


def _arguments(given: _Given, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a function, a norm put together out of its parts."""
    arguments = {**given, **options}
    kind, eps = arguments.pop("norm", None), arguments.pop("eps", 0.0)
    if kind is not None:
        weight, bias = arguments.pop("norm.weight"), arguments.pop("norm.bias", None)
        arguments["norm"] = LayerNorm(weight, bias, eps) if kind == "layer" else RMSNorm(weight, eps)
    return arguments


def _forward(function: Callable[..., Any]) -> Callable[[_Given, dict[str, Any], _Outs], None]:
    def run(given: _Given, options: dict[str, Any], outs: _Outs) -> None:
        function(**_arguments(given, options), out=outs["out"])

    return run


def _store(out: Array, values: Array | RowGrad) -> None:
    """Write a gradient to a result; rows of a table's to where they belong, and zeros to the others."""
    if isinstance(values, RowGrad):
        out.fill(0)
        rows, values = values.rows, values.ids
        if rows.dtype == out.dtype:
            out[values] = rows
        else:
            rounded = np.empty(rows.shape, out.dtype)
            round_into(rounded, rows)
            out[values] = rounded
    else:
        round_into(out, values)


def _embedding_bag_backward(given: _Given, options: dict[str, Any], outs: _Outs) -> None:
    grads = embedding_bag_backward(**given, **options)
    for name, out in outs.items():
        _store(out, getattr(grads, name))


def _pool_backward(given: _Given, options: dict[str, Any], outs: _Outs) -> None:
    grads = pool_backward(**given, **options)
    for name, out in outs.items():
        _store(out, getattr(grads, name))


def _embed_backward(given: _Given, options: dict[str, Any], outs: _Outs) -> None:
    grads = embed_backward(**_arguments(given, options))
    weight, bias = grads.norm or (None, None)
    found = {**grads._asdict(), "norm.weight": weight, "norm.bias": bias}
    for name, out in outs.items():
        _store(out, found[name])


def _gather_backward(given: _Given, options: dict[str, Any], outs: _Outs) -> None:
    """Write the gradient of a table that rows were gathered from, which is that of `embed` with nothing added."""
    ids, out = given["ids"], outs["table"]
    V, D = len(out), out[:1].size if len(out) else out.size
    table = np.broadcast_to(np.zeros((), out.dtype), (V, D))  # its numbers are not looked at
    grads = embed_backward(given["grad"].reshape(*ids.shape, D), table, ids, **options)
    _store(out.reshape(V, D), grads.table)


def _row_grad(given: _Given, options: dict[str, Any], outs: _Outs) -> None:
    """Write the rows of a gradient, and behind them zeros and an id that no table has."""
    found = row_grad(given["ids"], given["grad"], **options)
    ids, rows = outs["ids"], outs["rows"]
    n = len(found.ids)
    if n > len(ids):
        raise ValueError(f"size must be at least the number of ids that differ, {n}, got {len(ids)}")
    ids[:n], ids[n:] = found.ids, np.iinfo(ids.dtype).max
    rows[:n], rows[n:] = found.rows, 0


_FUNCTIONS: dict[str, Callable[[_Given, dict[str, Any], _Outs], None]] = {
    **{function.__name__: _forward(function) for function in (embed, embedding_bag, gather, pool, rope)},
    "embed_backward": _embed_backward,
    "embedding_bag_backward": _embedding_bag_backward,
    "gather_backward": _gather_backward,
    "pool_backward": _pool_backward,
    "row_grad": _row_grad,
}
