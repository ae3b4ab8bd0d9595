"""Words of a few families alone, in the simulator: bits of numbers, pairs of columns, halves of a warp. See `words`."""

from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from .numbers_simulated import greater
from .words_simulated import _at


def highest(x: Any) -> Any:
    return x.dtype.type(reduce(greater, x))


def fuse(w: Any, n: Any, m: Any) -> Any:
    if not np.isfinite([w, n, m]).all():
        return w * n + m
    return type(w)(float(Fraction(float(w)) * Fraction(float(n)) + Fraction(float(m))))


def bits_of(w: Any) -> Any:
    return np.int64(np.float32(w).view(np.int32))


def of_bits(n: Any) -> Any:
    return np.int64(n).astype(np.int32).view(np.float32)


def evens(x: Any) -> Any:
    return x[0::2]


def odds(x: Any) -> Any:
    return x[1::2]


def pairs(x: Any, y: Any) -> Any:
    return np.stack([x, y], axis=-1).reshape(-1)


def make_constants(values: tuple[float, ...]) -> Any:
    def constant(i: Any) -> Any:
        return np.float64(values[i])

    return constant


def make_moves(width: int, K: int) -> tuple[Any, Any]:
    def load(a: Any, step: Any, last: Any) -> Any:
        return [_at(a + k * step, width).copy() for k in range(K) if k < K - 1 or last]

    def store(a: Any, step: Any, last: Any, words: Any) -> None:
        for k in range(K):
            if k < K - 1 or last:
                _at(a + k * step, width)[:] = words[k]

    return load, store


def load32(*addresses: Any) -> Any:
    assert not any(int(a) % 32 for a in addresses)
    return [[_at(a, 16).copy(), _at(a + 16, 16).copy()] for a in addresses]


def store32_if(a: Any, words: Any, so: Any) -> None:
    if so:
        assert int(a) % 32 == 0
        _at(a, 16)[:], _at(a + 16, 16)[:] = words


def barrier_init(bar: Any) -> None:
    _at(bar, 8, np.int64)[0] = 0


def bulk_load(to: Any, source: Any, size: Any, bar: Any) -> None:
    assert size % 16 == 0
    for k in range(0, size, 16):  # addresses are multiples of 16, and are checked so
        _at(to + k, 16)[:] = _at(source + k, 16)
    _at(bar, 8, np.int64)[0] += 1


def bulk_wait(bar: Any, phase: Any) -> None:
    assert _at(bar, 8, np.int64)[0] % 2 == 1 - phase


def bulk_store(to: Any, source: Any, size: Any) -> None:
    for k in range(0, size, 16):
        _at(to + k, 16)[:] = _at(source + k, 16)


def bulk_read() -> None:
    pass


def bulk_done() -> None:
    pass
