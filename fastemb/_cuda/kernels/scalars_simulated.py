"""Single numbers and shared memory in the simulator. `words` says what each word means."""

from functools import cache
from typing import Any

import numpy as np

from .dtypes import INTEGERS, SIZES
from .words_simulated import _DTYPES, _at, _lock, _me, _ranges, _widen, make_columns, make_store

# Single numbers --------------------------------------------------------------------------------------------------


@cache
def make_numbers(tag: str) -> tuple[Any, Any]:
    if tag in INTEGERS:
        size, dtype = INTEGERS[tag], _DTYPES[tag]

        def get(a: Any, i: Any) -> Any:
            return np.int64(_at(int(a) + int(i) * size, size, dtype)[0].astype(np.int64))

        def put(a: Any, i: Any, x: Any) -> None:
            _at(int(a) + int(i) * size, size, dtype)[0] = np.asarray(x).astype(dtype)

        return get, put
    width = SIZES[tag] // 8
    store, _ = make_store(tag, width)

    def get_float(a: Any, i: Any) -> Any:
        return _widen(tag, _at(int(a) + int(i) * width, width).copy())[0]

    def put_float(a: Any, i: Any, x: Any) -> None:
        store(int(a) + int(i) * width, x)

    return get_float, put_float


# Shared memory ---------------------------------------------------------------------------------------------------


def make_shared(size: int) -> Any:
    def shared() -> int:
        block = _me()._manager
        with _lock:
            held = block.__dict__.setdefault("fastemb_shared", {})
            if shared not in held:
                memory = np.zeros(size + 16, np.uint8)
                first = memory.ctypes.data + -memory.ctypes.data % 16
                held[shared] = memory, first
                _ranges.append((first, first + size))
            return int(held[shared][1])

    return shared


@cache
def make_shared_numbers(tag: str) -> tuple[Any, Any]:
    return make_numbers(tag)


@cache
def make_shared_columns(acc: str, count: int) -> tuple[Any, Any]:
    width = min(16, count * SIZES[acc] // 8)
    store, _ = make_store(acc, width)
    load, _, _, each = make_columns(acc, width)

    def load_all(a: Any) -> Any:
        return np.concatenate([load(a + width * k) for k in range(count // each)])

    return load_all, store
