"""Words of a few families alone, in the simulator: bits of numbers, pairs of columns, halves of a warp. See `words`."""

from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from .numbers_simulated import _shuffled, greater


def highest(x: Any) -> Any:
    return x.dtype.type(reduce(greater, x))


def half_warp_sum(x: Any) -> Any:
    for step in (8, 4, 2, 1):
        x = x + _shuffled(x, step)
    return x


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
