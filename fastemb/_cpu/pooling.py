"""Kernels of ``embedding_bag``: rows of a table summed per bag, without the rows in between."""

from math import sqrt
from typing import Any

import numpy as np

from .intrinsics import (
    load_id,
    load_sum,
    narrow_1,
    narrow_16,
    square_sum,
    store_sum,
    sum_1,
    sum_4,
    sum_16,
    sum_64,
)
from .jit import kernel, part
from .lookup import first_bad_id

_OFFSET = np.int64(0)  # offsets are always int64: the tag that says so


@part
def sum_bag(
    element: Any, index: Any, table: int, stride: int, ids: int, begin: int, end: int, last: int,
    divisor: float, out: int, D: int,
) -> None:  # fmt: skip
    """Write the sum of rows ``ids[begin:end]`` over ``divisor`` to ``out``, block of columns by block.

    The last block of a row reaches back over columns that are done: they get the same bits again.
    """
    j = 0
    while j + 64 <= D:
        sum_64(element, index, table, stride, ids, begin, end, last, divisor, out, j)
        j += 64
    if D >= 64 and j + 16 < D:
        sum_64(element, index, table, stride, ids, begin, end, last, divisor, out, D - 64)
        return
    while j + 16 <= D:
        sum_16(element, index, table, stride, ids, begin, end, last, divisor, out, j)
        j += 16
    if D >= 16 and j < D:
        sum_16(element, index, table, stride, ids, begin, end, last, divisor, out, D - 16)
        return
    while j + 4 <= D:
        sum_4(element, index, table, stride, ids, begin, end, last, divisor, out, j)
        j += 4
    while j < D:
        sum_1(element, index, table, stride, ids, begin, end, last, divisor, out, j)
        j += 1


@part
def squares(element: Any, row: int, D: int) -> float:
    """Return the sum of the squares of a row in float64, in an order that depends on D alone."""
    whole = D // 16 * 16
    total: float = square_sum(element, row, whole)
    for j in range(whole, D):
        value = load_sum(element, row, j)
        total += value * value
    return total


@part
def normalize_row(element: Any, row: int, D: int) -> None:
    """Scale a row to length one; a row of zeros stays.

    Squares of float32 never leave the range of float64. Those of float64 may: such a row is first divided by
    its largest magnitude.
    """
    total = squares(element, row, D)
    if total < 1e-290 or total > 1e290:
        largest = 0.0
        for j in range(D):
            largest = max(largest, abs(load_sum(element, row, j)))
        if 0.0 < largest < float("inf"):
            for j in range(D):
                store_sum(element, row, j, load_sum(element, row, j) / largest)
            total = squares(element, row, D)
    if total > 0.0:
        scale = 1.0 / sqrt(total)
        for j in range(D):
            store_sum(element, row, j, load_sum(element, row, j) * scale)


@kernel
def bag_rows(
    element: Any, index: Any, table: int, stride: int, V: int, ids: int, offsets: int, D: int, out: int,
    out_stride: int, mean: bool, normalize: bool, check: int, last: int, start: int, stop: int,
) -> int:  # fmt: skip
    """Check the first ``check`` ids, then write the bags [start, stop); return the first bad position or -1.

    Rows of ``out`` are float64 for a float64 table, else float32. ``last`` is the last position of all the
    ids: prefetching reaches across the ends of bags, but not beyond it. ``offsets`` is int64.
    """
    bad = first_bad_id(index, ids, check, V)
    if bad >= 0:
        return bad
    for s in range(start, stop):
        begin, end = load_id(_OFFSET, offsets, s), load_id(_OFFSET, offsets, s + 1)
        row = out + s * out_stride
        if begin == end:
            for j in range(D):
                store_sum(element, row, j, 0.0)
            continue
        divisor = end - begin if mean else 1
        sum_bag(element, index, table, stride, ids, begin, end, last, divisor, row, D)
        if normalize:
            normalize_row(element, row, D)
    return -1


@kernel
def narrow_rows(source: int, D: int, out: int, out_stride: int, rows: int) -> None:
    """Round rows of float32 that follow one another to float16 rows."""
    for s in range(rows):
        read, write = source + s * D * 4, out + s * out_stride
        j = 0
        while j + 16 <= D:
            narrow_16(write + 2 * j, read + 4 * j)
            j += 16
        while j < D:
            narrow_1(write + 2 * j, read + 4 * j)
            j += 1
