"""A segment reduced block of columns by block: accumulators stay in registers while the segment's rows go by.

The form for processors whose first cache has many misses in flight. `make_reduction` is that of ``reduce_rows.py`` as
well, and gives the same bits: each column is added in ascending order of entries, cut every `PIECE` of them.
"""

from typing import Any

from .intrinsics import make_load_rows
from .jit import TUNING, inlined, machine_has, part
from .layout import BY_ONE
from .rows import PIECE, read, times, weight_of, write
from .vectors import (
    every,
    every_64,
    every_128,
    fetch_16,
    fetch_64,
    fetch_128,
    fetch_scales,
    load_64,
    load_128,
    narrow,
    scale_of,
    store,
    wide,
)

# Whether there are registers for the sums of 128 columns: then a row is read in longer pieces.
WIDE = machine_has("avx512f")
load_row, load_four = make_load_rows(1), make_load_rows(4)  # and the rows to ask for meanwhile


@part
def extent(table: Any, ids: Any) -> int:
    """Return how many bytes a table takes; where rows lie across lines, and asking helps, more than any has."""
    across = table.stride != 1 and (table.address | table.stride) & 63 != 0  # 1: entries are addresses (`reduce_small`)
    size: int = abs(ids.V * table.stride)
    return 1 << 62 if across and not TUNING.by_rows else size


@part
def lies_in_cache(table: Any, ids: Any) -> bool:
    """Whether a table is so small that its rows are in a cache: asking for them would cost half of a sum's time."""
    small: bool = extent(table, ids) <= TUNING.cached_bytes
    return small


def _make_blocks(combine: Any, start: float) -> Any:
    """Make the part that adds up a block of columns of one segment by ``combine``, beginning with ``start``."""

    def make(load_block: Any, every_block: Any, fetch_block: Any) -> Any:
        @inlined
        def add(table: Any, segments: Any, i: int, one: int, j: int, sums: Any) -> Any:
            """Return the accumulators of a block of columns with the row ``one`` of entry ``i``."""
            scale, offset = scale_of(table.dtype_tag, table.scale, one), scale_of(table.dtype_tag, table.offset, one)
            x = load_block(table.dtype_tag, table.address + one * table.stride, j, scale, offset)
            return combine(sums, times(x, weight_of(table.dtype_tag, segments.weights, i)))

        @inlined
        def add_asking(table: Any, segments: Any, i: int, rows: Any, ask: bool, j: int, sums: Any) -> Any:
            """Do as `add` does, and ask for a later row if that is wanted."""
            one, later = rows
            if ask:
                fetch_block(table.dtype_tag, table.address + later * table.stride, j)
                fetch_scales(table.dtype_tag, table.scale, table.offset, later)
            return add(table, segments, i, one, j, sums)

        @inlined
        def add_rows(
            table: Any, ids: Any, segments: Any, begin: int, stop: int, end: int, gap: int, ask: bool, j: int, sums: Any
        ) -> Any:
            """Return the accumulators of a block of columns with the rows of the entries [begin, stop)."""
            i = begin
            while i + 4 <= stop:  # what finding an id takes beside its row of 64 columns is shared by four
                a, b = load_four(ids.id_tag, ids.address, ids.N, i, end, gap)
                sums = add_asking(table, segments, i, a[0], ask, j, sums)
                sums = add_asking(table, segments, i + 1, a[1], ask, j, sums)
                sums = add_asking(table, segments, i + 2, b[0], ask, j, sums)
                sums = add_asking(table, segments, i + 3, b[1], ask, j, sums)
                i += 4
            while i < stop:
                rows = load_row(ids.id_tag, ids.address, ids.N, i, end, gap)
                sums = add_asking(table, segments, i, rows, ask, j, sums)
                i += 1
            return sums

        @part
        def reduce_long(
            table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, gap: int,
            ask: bool, j: int,
        ) -> None:  # fmt: skip
            """Reduce a block of columns piece by piece, the pieces in float64."""
            total = wide(every_block(table.dtype_tag, start))
            for cut in range(begin, end, PIECE):
                sums = every_block(table.dtype_tag, start)
                sums = add_rows(table, ids, segments, cut, min(cut + PIECE, end), end, gap, ask, j, sums)
                total = combine(total, wide(sums))
            store(out.dtype_tag, out.address + s * out.stride, j, narrow(table.dtype_tag, total) / by)

        @inlined
        def reduce_block(
            table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, gap: int,
            ask: bool, j: int,
        ) -> None:  # fmt: skip
            """Reduce a block of columns, with every accumulator in a register until the last row."""
            if end - begin > PIECE:  # apart: total and sums together cost short segments up to 40 %
                reduce_long(table, ids, segments, out, s, begin, end, by, gap, ask, j)
                return
            sums = every_block(table.dtype_tag, start)
            sums = add_rows(table, ids, segments, begin, end, end, gap, ask, j, sums)
            if segments.divide_by == BY_ONE:  # a division by 1 takes as long as any other
                store(out.dtype_tag, out.address + s * out.stride, j, sums)
            else:
                store(out.dtype_tag, out.address + s * out.stride, j, sums / by)

        return reduce_block

    return make


def make_reduction(combine: Any, start: float) -> Any:
    """Make the part that reduces the rows of one segment by ``combine``, beginning with ``start``."""
    make_block = _make_blocks(combine, start)
    reduce_64 = make_block(load_64, every_64, fetch_64)
    reduce_wide = make_block(load_128, every_128, fetch_128) if WIDE else reduce_64

    @part
    def reduce_some(
        table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, gap: int,
        j: int, count: int,
    ) -> None:  # fmt: skip
        """Reduce at most 16 columns."""
        total = wide(every(table.dtype_tag, start))
        for cut in range(begin, end, PIECE):
            sums = every(table.dtype_tag, start)
            for i in range(cut, min(cut + PIECE, end)):
                one, later = load_row(ids.id_tag, ids.address, ids.N, i, end, gap)
                fetch_16(table.dtype_tag, table.address + later * table.stride, j)
                x = read(table, one, j, count)
                sums = combine(sums, times(x, weight_of(table.dtype_tag, segments.weights, i)))
            total = combine(total, wide(sums))
        write(out, s, j, count, narrow(table.dtype_tag, total) / by)

    @inlined
    def reduce_row(
        table: Any, ids: Any, segments: Any, out: Any, s: int, begin: int, end: int, by: Any, gap: int
    ) -> None:
        """Block of columns by block."""
        D, j, ask = table.D, 0, not lies_in_cache(table, ids)
        while j + 128 <= D:
            reduce_wide(table, ids, segments, out, s, begin, end, by, gap, ask, j)
            j += 128 if WIDE else 64
        while j < D and D >= 64 and D * table.bits % 8 == 0:
            # The last block may go back over columns that are done: they get the same bits again.
            reduce_64(table, ids, segments, out, s, begin, end, by, gap, ask, min(j, D - 64))
            j += 64
        while j < D:
            reduce_some(table, ids, segments, out, s, begin, end, by, gap, j, min(16, D - j))
            j += 16

    return reduce_row
