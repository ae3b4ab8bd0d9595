"""Rows scaled to length one."""

from math import sqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from .intrinsics import lane_of
from .jit import intrinsic, kernel, part
from .rows import read, write
from .vectors import LANES, Vector, every, highest, larger, total, wide

# Outside of these a sum of squares may have lost squares to the ends of float64's range.
_LEAST, _MOST = 1e-290, 1e290


@intrinsic
def add_squares(typingctx: Any, sums: Any, vector: Any) -> Any:
    """Add the squares of the lanes to sums in float64.

    The square of a float32 is exact in float64, so a fused multiply-add, which LLVM may use for it where the
    machine has one, gives the bits of the two operations. Squares of float64 are rounded on their own.
    """
    flags = () if vector.lane == types.float64 else ("contract",)

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        sums, value = given
        if vector.lane != types.float64:
            value = builder.fpext(value, sums.type)
        return builder.fadd(sums, builder.fmul(value, value, flags=flags), flags=flags)

    return sums(Vector(types.float64), vector), codegen


@intrinsic
def narrow(typingctx: Any, element: Any, vector: Any) -> Any:
    """Round lanes of float64 to those in which elements are added."""
    lane = lane_of(element)

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if lane == types.float64:
            return given[1]
        return builder.fptrunc(given[1], ir.VectorType(ir.FloatType(), LANES))

    return Vector(lane)(element, Vector(types.float64)), codegen


@part
def shrunk(x: Any, s: int, j: int, count: int, by: Any) -> Any:
    """Load columns of row ``s``, divided by a number if there is one. Numba leaves out the branch that cannot be."""
    if by is None:
        return read(x, s, j, count)
    return read(x, s, j, count) / by


@part
def squares(x: Any, s: int, by: Any) -> float:
    """Return the sum of the squares of a row: four times sixteen sums side by side, and a fixed tree."""
    a = b = c = d = wide(every(x.element, 0.0))
    j = 0
    while j + 64 <= x.D:
        a = add_squares(a, shrunk(x, s, j, 16, by))
        b = add_squares(b, shrunk(x, s, j + 16, 16, by))
        c = add_squares(c, shrunk(x, s, j + 32, 16, by))
        d = add_squares(d, shrunk(x, s, j + 48, 16, by))
        j += 64
    while j < x.D:
        a = add_squares(a, shrunk(x, s, j, min(16, x.D - j), by))
        j += 16
    return total((a + b) + (c + d))  # type: ignore[no-any-return]


@part
def peak(x: Any, s: int) -> float:
    """Return the largest magnitude of a row."""
    most = every(x.element, 0.0)
    for j in range(0, x.D, 16):
        value = read(x, s, j, min(16, x.D - j))
        most = larger(most, larger(value, value * -1.0))
    return highest(most)  # type: ignore[no-any-return]


@part
def scale_row(x: Any, out: Any, s: int, by: Any, scale: float) -> None:
    """Write row ``s`` times ``scale``; every column is read before it is written."""
    j = 0
    while j + 16 <= x.D:
        write(out, s, j, 16, narrow(x.element, wide(shrunk(x, s, j, 16, by)) * scale))
        j += 16
    if j < x.D:
        write(out, s, j, x.D - j, narrow(x.element, wide(shrunk(x, s, j, x.D - j, by)) * scale))


@part
def scale_hard_row(x: Any, out: Any, s: int, sum_of_squares: float) -> None:
    """Write a row whose squares do not add up to a number that can be used."""
    most = peak(x, s)
    if 0.0 < most < np.inf:
        scale_row(x, out, s, most, 1.0 / sqrt(squares(x, s, most)))
    elif sum_of_squares == 0.0:
        scale_row(x, out, s, None, 1.0)
    else:
        scale_row(x, out, s, None, 1.0 / sqrt(sum_of_squares))


@kernel
def normalize_rows(x: Any, out: Any, start: int, stop: int) -> None:
    """Write the rows [start, stop) of ``x``, each divided by its length, to those of ``out``.

    ``x`` and ``out`` are those of ``layout.py`` and may be the same memory. Rows of zeros keep their zeros. Squares of
    float32 never leave the range of float64; a float64 row whose squares may is first divided by its largest
    magnitude. A row that holds NaN becomes NaN; infinities become NaN and the numbers beside them 0.
    """
    ahead = squares(x, start, None) if start < stop else 0.0
    for s in range(start, stop):
        here = ahead
        scale = 1.0 / sqrt(max(here, _LEAST))
        if s + 1 < stop:  # the next row's sum, while root and quotient take their time
            ahead = squares(x, s + 1, None)
        if _LEAST <= here <= _MOST:
            scale_row(x, out, s, None, scale)
        else:
            scale_hard_row(x, out, s, here)
