"""Rows reduced to one row: what bags, pools and gradients have in common.

Each column has one accumulator, in ascending order of entries, cut every `PIECE` entries from the segment's own start;
the sums of pieces are added in float64, in order, and rounded once to the accumulator's type. So the bits do not
depend on how columns are grouped or threads share the segments. ``table``, ``ids``, ``segments`` and ``out`` are the
`Rows`, `Ids` and `Segments` of ``layout.py``. Two forms give these bits, each at its best on one maker's processors.
"""

from math import sqrt
from typing import Any

import numpy as np

from . import reduce_columns, reduce_rows
from .intrinsics import as_acc, load_acc, load_id, store_id
from .jit import TUNING, inlined, kernel, part
from .layout import BY_COUNT, BY_ONE
from .lookup import first_bad_among
from .rows import OFFSET, moved, write
from .vectors import every, larger

_BYTE = np.int8(0)

make_reduction = reduce_rows.make_reduction if TUNING.by_rows else reduce_columns.make_reduction


@part
def add(a: Any, b: Any) -> Any:
    """Return ``a + b``."""
    return a + b


# -0.0 + x is x for every x, -0.0 too: as if the sum were begun as a copy of its first row.
sum_segment, max_segment = make_reduction(add, -0.0), make_reduction(larger, -np.inf)
# Where rows lie in a cache, columns in registers are as good or better on any processor, and quicker to compile.
sum_cached_segment = reduce_columns.make_reduction(add, -0.0)
max_cached_segment = reduce_columns.make_reduction(larger, -np.inf)


@part
def zero_row(table: Any, out: Any, s: int) -> None:
    """Write zeros."""
    nothing = every(table.dtype_tag, 0.0)
    for j in range(0, out.D, 16):
        write(out, s, j, min(16, out.D - j), nothing)


@part
def amount(dtype_tag: Any, weights: Any, begin: int, end: int) -> float:
    """Return the number of entries, or the sum of their weights, found in float64."""
    if weights is None:
        return float(end - begin)
    n = 0.0
    for i in range(begin, end):
        n += load_acc(dtype_tag, weights, i)
    return n


@part
def divisor(dtype_tag: Any, segments: Any, begin: int, end: int) -> Any:
    """Return what the sum of a segment is divided by, in the accumulator's type."""
    if segments.divide_by == BY_ONE:
        return as_acc(dtype_tag, 1)
    n = amount(dtype_tag, segments.weights, begin, end)
    return as_acc(dtype_tag, n if segments.divide_by == BY_COUNT else sqrt(n))


@part
def first_bad_of(ids: Any, segments: Any, start: int, stop: int) -> int:
    """Return the first entry of the segments [start, stop) whose id is no row of the table, or -1."""
    if start >= stop:
        return -1
    first, last = load_id(OFFSET, segments.begins, start), load_id(OFFSET, segments.ends, stop - 1)
    return first_bad_among(ids.id_tag, ids.address, first, last, ids.V)


@part
def gap_behind(segments: Any, s: int, stop: int) -> int:
    """Return how many entries lie between segment ``s`` and the next one: those that ``lengths`` leave out."""
    gap: int = load_id(OFFSET, segments.begins, min(s + 1, stop - 1)) - load_id(OFFSET, segments.ends, s)
    return max(gap, 0)


@inlined
def put_sums(
    reduce_segment: Any, table: Any, ids: Any, segments: Any, out: Any, check: bool, start: int, stop: int
) -> int:
    """Check their ids if asked to, then write the sums of the segments [start, stop); return the first bad entry or -1.

    A segment without entries, or whose weights have no sum to divide by, is zeros.
    """
    bad = first_bad_of(ids, segments, start, stop) if check else -1
    if bad >= 0:
        return bad
    for s in range(start, stop):
        begin, end = load_id(OFFSET, segments.begins, s), load_id(OFFSET, segments.ends, s)
        by = divisor(table.dtype_tag, segments, begin, end)
        if begin == end or by == 0:
            zero_row(table, out, s)
        else:
            rows, gap = moved(table, s * segments.batch_gap), gap_behind(segments, s, stop)
            reduce_segment(rows, ids, segments, out, s, begin, end, by, gap)
    return -1


@inlined
def put_maxima(
    reduce_segment: Any, table: Any, ids: Any, segments: Any, out: Any, check: bool, start: int, stop: int
) -> int:
    """Write the largest of each column for the segments [start, stop), as `put_sums` writes sums."""
    bad = first_bad_of(ids, segments, start, stop) if check else -1
    if bad >= 0:
        return bad
    for s in range(start, stop):
        begin, end = load_id(OFFSET, segments.begins, s), load_id(OFFSET, segments.ends, s)
        if begin == end:
            zero_row(table, out, s)
        else:
            rows, gap = moved(table, s * segments.batch_gap), gap_behind(segments, s, stop)
            reduce_segment(rows, ids, segments, out, s, begin, end, as_acc(table.dtype_tag, 1), gap)
    return -1


@kernel
def sum_rows(table: Any, ids: Any, segments: Any, out: Any, check: bool, start: int, stop: int) -> int:
    """Do as `put_sums` does, of rows that lie in memory."""
    return put_sums(sum_segment, table, ids, segments, out, check, start, stop)


@kernel
def max_rows(table: Any, ids: Any, segments: Any, out: Any, check: bool, start: int, stop: int) -> int:
    """Do as `put_maxima` does, of rows that lie in memory."""
    return put_maxima(max_segment, table, ids, segments, out, check, start, stop)


@kernel
def _sum_cached_rows(table: Any, ids: Any, segments: Any, out: Any, check: bool, start: int, stop: int) -> int:
    """Do as `put_sums` does, of rows that lie in a cache."""
    return put_sums(sum_cached_segment, table, ids, segments, out, check, start, stop)


@kernel
def _max_cached_rows(table: Any, ids: Any, segments: Any, out: Any, check: bool, start: int, stop: int) -> int:
    """Do as `put_maxima` does, of rows that lie in a cache."""
    return put_maxima(max_cached_segment, table, ids, segments, out, check, start, stop)


# Where columns are the form anyhow, these would be the kernels above, compiled once more.
sum_cached_rows, max_cached_rows = (_sum_cached_rows, _max_cached_rows) if TUNING.by_rows else (sum_rows, max_rows)


@kernel
def list_kept(kept: int, begins: int, ends: int, S: int, slots: int, first: int, last: int) -> int:
    """List the slots of all bags whose byte in ``kept`` is not 0, and where bags lie on the list; return its length.

    Every slot is written, and one that is not kept is written over by the next: a branch here would be missed in
    a mixed mask. So ``slots`` has room for one more.
    """
    n = 0
    for s in range(S):
        store_id(OFFSET, first, s, n)
        for slot in range(load_id(OFFSET, begins, s), load_id(OFFSET, ends, s)):
            store_id(OFFSET, slots, n, slot)
            n += load_id(_BYTE, kept, slot) != 0  # a bool that is a view of other bytes may hold any
        store_id(OFFSET, last, s, n)
    return n
