"""Words of a few families alone, in the simulator: bits of numbers, pairs of columns, halves of a warp. See `words`."""

from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from .numbers_simulated import fold, greater
from .words_simulated import _at


def highest(x: Any) -> Any:
    return x.dtype.type(reduce(greater, x))


def half_warp_sum(x: Any) -> Any:
    return fold(x, 16, np.add)


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
