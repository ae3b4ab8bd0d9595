"""Rows of numbers: columns read and written. ``table`` and ``out`` are the `Rows` of ``layout.py``."""

from typing import Any

import numpy as np

from .intrinsics import load_acc, load_id
from .jit import inlined, part
from .layout import Rows
from .vectors import load, load_head, scale_of, store, store_head

OFFSET = np.int64(0)  # begins and ends are int64: the tag that says so
#: Entries in a piece, the stretch of a sum that runs in the accumulator's own type. A mean of 10**6 equal rows is right
#: to 1e-5 so; in float32 alone it is off by 1e-2, with float32 sums of pieces by 6e-5. Both devices cut alike.
PIECE = 1 << 8


@part
def moved(table: Any, by: int) -> Rows:
    """Return the rows that begin ``by`` bytes later."""
    return Rows(table.dtype_tag, table.address + by, table.stride, table.bits, table.D, table.scale, table.offset)


@part
def read(table: Any, one: int, j: int, count: int) -> Any:
    """Load ``count`` columns of row ``one``, from column ``j``."""
    scale, offset = scale_of(table.dtype_tag, table.scale, one), scale_of(table.dtype_tag, table.offset, one)
    row = table.address + one * table.stride
    if count == 16:
        return load(table.dtype_tag, row, j, scale, offset)
    return load_head(table.dtype_tag, row, j, count, scale, offset)


@inlined
def weight_of(dtype_tag: Any, weights: Any, i: int) -> Any:
    """Return the weight of entry ``i``, or None. Numba leaves out the branch that cannot be."""
    if weights is None:
        return None
    return load_acc(dtype_tag, weights, i)


@inlined
def times(x: Any, weight: Any) -> Any:
    """Return ``x`` times a weight, if there is one."""
    if weight is None:
        return x
    return x * weight


@part
def read_entry(table: Any, ids: Any, segments: Any, i: int, j: int, count: int) -> Any:
    """Load columns of the row of entry ``i``, times its weight if there are weights."""
    x = read(table, load_id(ids.id_tag, ids.address, i), j, count)
    return times(x, weight_of(table.dtype_tag, segments.weights, i))


@part
def write(out: Any, s: int, j: int, count: int, x: Any) -> None:
    """Store ``count`` columns of row ``s``, from column ``j``."""
    row = out.address + s * out.stride
    if count == 16:
        store(out.dtype_tag, row, j, x)
    else:
        store_head(out.dtype_tag, row, j, count, x)
