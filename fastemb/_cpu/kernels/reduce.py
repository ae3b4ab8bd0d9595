"""Rows reduced to one row: what bags, pools and gradients have in common.

Each column has one accumulator, in ascending order of entries, cut every `PIECE` entries from the segment's own start:
so the bits do not depend on how columns are grouped or threads share the segments. ``table``, ``ids``, ``segments`` (a
`Segments`) and ``out`` are those of ``layout.py``.
"""

from math import sqrt
from typing import Any

import numpy as np

from .intrinsics import as_acc, load_acc, load_id, store_id
from .jit import inlined, kernel, machine_has, part
from .layout import BY_COUNT, BY_ONE, Rows
from .lookup import first_bad_among
from .vectors import (
    every,
    every_64,
    every_128,
    fetch_16,
    fetch_64,
    fetch_128,
    fetch_scales,
    larger,
    load,
    load_64,
    load_128,
    load_head,
    narrow,
    scale_of,
    store,
    store_head,
    wide,
)

OFFSET = np.int64(0)  # begins and ends are int64: the tag that says so
_BYTE = np.int8(0)
#: Entries in a piece, the stretch of a sum that runs in the accumulator's own type. A mean of 10**6 equal rows is right
#: to 1e-5 so; in float32 alone it is off by 1e-2, with float32 sums of pieces by 6e-5. Both devices cut alike.
PIECE = 1 << 8
# Rows between the row that is being added and the one that is being fetched. The time is flat from 8 to 24.
_AHEAD = 12
# Whether there are registers for the sums of 128 columns: then a row is read in longer pieces.
WIDE = machine_has("avx512f")


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


@part
def read_entry(table: Any, ids: Any, segments: Any, i: int, j: int, count: int) -> Any:
    """Load columns of the row of entry ``i``, times its weight if there are weights."""
    return weighed(read(table, load_id(ids.id_tag, ids.address, i), j, count), table.dtype_tag, segments.weights, i)


@part
def weighed(x: Any, dtype_tag: Any, weights: Any, i: int) -> Any:
    """Return ``x`` times the weight of entry ``i``. Numba leaves out the branch that cannot be."""
    if weights is None:
        return x
    return x * load_acc(dtype_tag, weights, i)


@part
def write(out: Any, s: int, j: int, count: int, x: Any) -> None:
    """Store ``count`` columns of row ``s``, from column ``j``."""
    row = out.address + s * out.stride
    if count == 16:
        store(out.dtype_tag, row, j, x)
    else:
        store_head(out.dtype_tag, row, j, count, x)


@part
def add(a: Any, b: Any) -> Any:
    """Return ``a + b``."""
    return a + b


def _make_blocks(combine: Any, start: float) -> Any:
    """Make the part that adds up a block of columns of one segment by ``combine``, beginning with ``start``."""

    def make(load_block: Any, every_block: Any, fetch_block: Any) -> Any:
        @inlined
        def add_row(table: Any, ids: Any, segments: Any, i: int, j: int, sums: Any) -> Any:
            """Return the accumulators of a block of columns with the row of entry ``i``; ask for a later row."""
            later = load_id(ids.id_tag, ids.address, min(i + _AHEAD, ids.N - 1))
            fetch_block(table.dtype_tag, table.address + later * table.stride, j)
            fetch_scales(table.dtype_tag, table.scale, table.offset, later)
            one = load_id(ids.id_tag, ids.address, i)
            scale, offset = scale_of(table.dtype_tag, table.scale, one), scale_of(table.dtype_tag, table.offset, one)
            x = load_block(table.dtype_tag, table.address + one * table.stride, j, scale, offset)
            return combine(sums, weighed(x, table.dtype_tag, segments.weights, i))

        @part
        def reduce_long(
            table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, j: int
        ) -> None:
            """Reduce a block of columns piece by piece, the pieces in float64."""
            total = wide(every_block(table.dtype_tag, start))
            for cut in range(begin, end, PIECE):
                sums = every_block(table.dtype_tag, start)
                for i in range(cut, min(cut + PIECE, end)):
                    sums = add_row(table, ids, segments, i, j, sums)
                total = combine(total, wide(sums))
            store(out.dtype_tag, out.address + s * out.stride, j, narrow(table.dtype_tag, total) / by)

        @inlined
        def reduce_block(
            table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, j: int
        ) -> None:
            """Reduce a block of columns, with every accumulator in a register until the last row."""
            if end - begin > PIECE:  # apart: total and sums together cost short segments up to 40 %
                reduce_long(table, ids, segments, out, s, begin, end, by, j)
                return
            sums = every_block(table.dtype_tag, start)
            for i in range(begin, end):
                sums = add_row(table, ids, segments, i, j, sums)
            store(out.dtype_tag, out.address + s * out.stride, j, sums / by)

        return reduce_block

    return make


def _make_reduction(combine: Any, start: float) -> Any:
    """Make the part that reduces the rows of one segment."""
    make_block = _make_blocks(combine, start)
    reduce_64 = make_block(load_64, every_64, fetch_64)
    reduce_wide = make_block(load_128, every_128, fetch_128) if WIDE else reduce_64

    @part
    def reduce_some(
        table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, j: int, count: int
    ) -> None:
        """Reduce at most 16 columns."""
        total = wide(every(table.dtype_tag, start))
        for cut in range(begin, end, PIECE):
            sums = every(table.dtype_tag, start)
            for i in range(cut, min(cut + PIECE, end)):
                later = load_id(ids.id_tag, ids.address, min(i + _AHEAD, ids.N - 1))
                fetch_16(table.dtype_tag, table.address + later * table.stride, j)
                sums = combine(sums, read_entry(table, ids, segments, i, j, count))
            total = combine(total, wide(sums))
        write(out, s, j, count, narrow(table.dtype_tag, total) / by)

    @inlined
    def reduce_row(table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any) -> None:
        """Block of columns by block."""
        D, j = table.D, 0
        while j + 128 <= D:
            reduce_wide(table, ids, segments, out, s, begin, end, by, j)
            j += 128 if WIDE else 64
        while j < D and D >= 64 and D * table.bits % 8 == 0:
            # The last block may go back over columns that are done: they get the same bits again.
            reduce_64(table, ids, segments, out, s, begin, end, by, min(j, D - 64))
            j += 64
        while j < D:
            reduce_some(table, ids, segments, out, s, begin, end, by, j, min(16, D - j))
            j += 16

    return reduce_row


# -0.0 + x is x for every x, -0.0 too: as if the sum were begun as a copy of its first row.
sum_segment = _make_reduction(add, -0.0)
max_segment = _make_reduction(larger, -np.inf)


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


@kernel
def sum_rows(table: Any, ids: Any, segments: Any, out: Any, check: bool, start: int, stop: int) -> int:
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
            sum_segment(moved(table, s * segments.batch_gap), ids, segments, out, s, begin, end, by)
    return -1


@kernel
def max_rows(table: Any, ids: Any, segments: Any, out: Any, check: bool, start: int, stop: int) -> int:
    """Write the largest of each column for the segments [start, stop), as `sum_rows` writes sums."""
    bad = first_bad_of(ids, segments, start, stop) if check else -1
    if bad >= 0:
        return bad
    for s in range(start, stop):
        begin, end = load_id(OFFSET, segments.begins, s), load_id(OFFSET, segments.ends, s)
        if begin == end:
            zero_row(table, out, s)
        else:
            by = as_acc(table.dtype_tag, 1)
            max_segment(moved(table, s * segments.batch_gap), ids, segments, out, s, begin, end, by)
    return -1


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
