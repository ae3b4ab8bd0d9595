"""A segment reduced row by row, eight at a time, over a row of sums that stays in the first cache.

The form for processors whose first cache has few misses in flight (Zen): a row is read from end to end, and rows
further on are asked for line by line meanwhile, eight at once. `make_reduction` is that of ``reduce_columns.py`` as
well, and gives the same bits: each column is added in ascending order of entries, cut every `PIECE` of them.
"""

from typing import Any

import numpy as np

from .intrinsics import SCRATCH, as_acc, make_load_rows, prefetch_row, scratch
from .jit import inlined, part
from .layout import BY_ONE
from .rows import PIECE, times, weight_of, write
from .vectors import every, fetch_16, fetch_scales, load, load_head, narrow, scale_of, store, wide

_FLOAT64, _ZERO = np.float64(0), np.float32(0)  # a dtype tag, and the scale and offset of numbers that have none


@inlined
def spot(table: Any, segments: Any, i: int, rows: Any) -> Any:
    """Return where the row of entry ``i`` lies, its scale, offset and weight, and where the later row lies."""
    one, later = rows
    fetch_scales(table.dtype_tag, table.scale, table.offset, later)
    scale, offset = scale_of(table.dtype_tag, table.scale, one), scale_of(table.dtype_tag, table.offset, one)
    weight = weight_of(table.dtype_tag, segments.weights, i)
    # Its last line, too: NumPy's arrays begin at 16 mod 64, so a row of 512 bytes lies in nine lines.
    prefetch_row(table.address + later * table.stride + (table.D * table.bits + 7) // 8 - 1)
    return table.address + one * table.stride, scale, offset, weight, table.address + later * table.stride


def _one(combine: Any) -> tuple[Any, Any, Any]:
    """Make the parts that find one row, add 16 of its columns, and add its last columns."""

    @inlined
    def fold(table: Any, x: Any, at: Any, j: int) -> Any:
        fetch_16(table.dtype_tag, at[4], j)
        return combine(x, times(load(table.dtype_tag, at[0], j, at[1], at[2]), at[3]))

    @inlined
    def fold_head(table: Any, x: Any, at: Any, j: int, count: int) -> Any:
        fetch_16(table.dtype_tag, at[4], j)
        return combine(x, times(load_head(table.dtype_tag, at[0], j, count, at[1], at[2]), at[3]))

    return spot, fold, fold_head


def _twice(find: Any, fold: Any, fold_head: Any, n: int) -> tuple[Any, Any, Any]:
    """Make the parts of 2 n rows from those of n."""

    @inlined
    def find_both(table: Any, segments: Any, i: int, rows: Any) -> Any:
        return find(table, segments, i, rows[0]), find(table, segments, i + n, rows[1])

    @inlined
    def fold_both(table: Any, x: Any, at: Any, j: int) -> Any:
        return fold(table, fold(table, x, at[0], j), at[1], j)

    @inlined
    def fold_both_heads(table: Any, x: Any, at: Any, j: int, count: int) -> Any:
        return fold_head(table, fold_head(table, x, at[0], j, count), at[1], j, count)

    return find_both, fold_both, fold_both_heads


def _make_group(start: float, n: int, find: Any, fold: Any, fold_head: Any) -> Any:
    """Make the part that adds n rows to the sums; with ``fresh`` these begin with ``start``."""
    load_rows = make_load_rows(n)

    @part
    def add_group(
        table: Any, ids: Any, segments: Any, sums: int, i: int, end: int, gap: int, fresh: bool, first: int, last: int
    ) -> None:
        """Add the rows from entry ``i`` on to the sums of the columns [first, last)."""
        rows, acc_tag, j = load_rows(ids.id_tag, ids.address, ids.N, i, end, gap), as_acc(table.dtype_tag, 0), first
        at = find(table, segments, i, rows)
        if fresh:
            while j + 16 <= last:
                store(acc_tag, sums, j - first, fold(table, every(table.dtype_tag, start), at, j))
                j += 16
        else:
            while j + 16 <= last:
                store(acc_tag, sums, j - first, fold(table, load(acc_tag, sums, j - first, _ZERO, _ZERO), at, j))
                j += 16
        if j < last:
            x = every(table.dtype_tag, start)
            if not fresh:
                x = load(acc_tag, sums, j - first, _ZERO, _ZERO)
            store(acc_tag, sums, j - first, fold_head(table, x, at, j, last - j))

    return add_group


def make_piece(combine: Any, start: float) -> Any:
    """Make the part that writes the sums of one piece."""
    one = _one(combine)
    two = _twice(*one, 1)
    four = _twice(*two, 2)
    add_1, add_2, add_4 = (_make_group(start, n, *parts) for n, parts in ((1, one), (2, two), (4, four)))
    add_8 = _make_group(start, 8, *_twice(*four, 4))

    @inlined
    def reduce_piece(
        table: Any, ids: Any, segments: Any, sums: int, begin: int, end: int, gap: int, first: int, last: int
    ) -> None:
        """Write the sums of the columns [first, last) of the entries [begin, end), of which there is at least one."""
        i = begin
        while i + 8 <= end:
            add_8(table, ids, segments, sums, i, end, gap, i == begin, first, last)
            i += 8
        if i + 4 <= end:
            add_4(table, ids, segments, sums, i, end, gap, i == begin, first, last)
            i += 4
        if i + 2 <= end:
            add_2(table, ids, segments, sums, i, end, gap, i == begin, first, last)
            i += 2
        if i < end:
            add_1(table, ids, segments, sums, i, end, gap, i == begin, first, last)

    return reduce_piece


def make_reduction(combine: Any, start: float) -> Any:
    """Make the part that reduces the rows of one segment by ``combine``, beginning with ``start``.

    Rows wider than a scratch are reduced part by part.
    """
    reduce_piece = make_piece(combine, start)

    @part
    def reduce_long(
        table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, gap: int, first: int,
        last: int,
    ) -> None:  # fmt: skip
        """Write the columns [first, last) of the result, added piece by piece, the pieces in float64."""
        acc_tag = as_acc(table.dtype_tag, 0)
        sums, totals = scratch(table.dtype_tag), scratch(_FLOAT64)
        for cut in range(begin, end, PIECE):
            stop = min(cut + PIECE, end)
            reduce_piece(table, ids, segments, sums, cut, stop, gap if stop == end else 0, first, last)
            for j in range(0, last - first, 16):
                x = wide(load(acc_tag, sums, j, _ZERO, _ZERO))
                if cut > begin:
                    x = combine(load(_FLOAT64, totals, j, _ZERO, _ZERO), x)
                store(_FLOAT64, totals, j, x)
        for j in range(0, last - first, 16):
            x = narrow(table.dtype_tag, load(_FLOAT64, totals, j, _ZERO, _ZERO)) / by
            write(out, s, first + j, min(16, last - first - j), x)

    @inlined
    def reduce_row(
        table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, gap: int
    ) -> None:
        """Write row ``s`` of the result."""
        acc_tag, sums = as_acc(table.dtype_tag, 0), scratch(table.dtype_tag)
        for first in range(0, table.D, SCRATCH):
            last = min(first + SCRATCH, table.D)
            if end - begin > PIECE:
                reduce_long(table, ids, segments, out, s, begin, end, by, gap, first, last)
                continue
            reduce_piece(table, ids, segments, sums, begin, end, gap, first, last)
            j = first
            if segments.divide_by == BY_ONE:  # a division by 1 takes as long as any other
                while j + 16 <= last:
                    write(out, s, j, 16, load(acc_tag, sums, j - first, _ZERO, _ZERO))
                    j += 16
            else:
                while j + 16 <= last:
                    write(out, s, j, 16, load(acc_tag, sums, j - first, _ZERO, _ZERO) / by)
                    j += 16
            if j < last:
                write(out, s, j, last - j, load(acc_tag, sums, j - first, _ZERO, _ZERO) / by)

    return reduce_row
