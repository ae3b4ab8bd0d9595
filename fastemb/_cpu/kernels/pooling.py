"""Kernels of pools and bags: small calls, a segment's gradient spread over its rows, rows scaled to length one.

The forward kernels of calls that are not small are those of ``reduce.py``. In the gradients ``grad`` has one row for
each segment, already divided by what the segment was divided by, and ``out`` one row for each of the caller's slots:
entry i stands in slot ``ids[i]``.
"""

from math import sqrt
from typing import Any

import numpy as np
from numba.core import types

from .intrinsics import load_id, store_id
from .jit import TUNING, inlined, intrinsic, kernel, part
from .layout import BY_ONE, SPOTS, Ids, Rows, Segments
from .lookup import address, size_tag
from .reduce import divisor, max_cached_segment, sum_cached_segment, zero_row
from .reduce_columns import extent
from .rows import OFFSET, moved, read, read_entry, times, weight_of, write
from .vectors import Vector, every, highest, larger, narrow, pick_equal, total, wide

_BYTE = np.int8(0)
# Entries whose rows are found together, 8 KiB of addresses; behind them those of rows that are asked for meanwhile; and
# how many one segment may have.
_CHUNK, _AHEAD, _LONGEST = 1 << 10, TUNING.rows_ahead + 4, 1 << 20

# Small calls ------------------------------------------------------------------------------------------------------
# They take arrays as they are, since looking up one address costs as much as some rows do, and check ids and offsets
# themselves. Nonzero: take the general road, which alone says what is wrong.


@part
def rows_of(array: Any) -> Rows:
    """Return what the parts are told about a contiguous 2-D array."""
    tag, bits = array.dtype.type(0), 8 * array.itemsize
    return Rows(tag, address(array), array.shape[1] * array.itemsize, bits, array.shape[1], 0, 0)


@part
def longest(offsets: Any, N: int, start: int, stop: int) -> int:
    """Return the length of the longest of the segments [start, stop); -1 if offsets do not ascend from 0 to N."""
    S = offsets.size - 1
    if S < 0 or offsets[0] != 0 or offsets[S] != N or offsets[start] < 0 or offsets[stop] > N:
        return -1
    most, falls = 0, False
    for s in range(start, stop):
        falls |= offsets[s + 1] < offsets[s]  # compared: a difference of wrong ones may not fit
        most = max(most, offsets[s + 1] - offsets[s])
    return -1 if falls else most


@part
def ascend(offsets: Any, N: int) -> bool:
    """Whether offsets ascend from 0 to N."""
    return bool(longest(offsets, N, 0, offsets.size - 1) >= 0)


@part
def chunk_behind(offsets: Any, T: int, start: int, stop: int) -> int:
    """Return the end of the segments from ``start`` on that have `_CHUNK` entries together, or as good as."""
    if T >= 0:
        return min(start + 1 + _CHUNK // max(T, 1), stop)
    s = start + 1
    while s < stop and offsets[s] - offsets[start] < _CHUNK:
        s += 1
    return s


@part
def ids_of(ids: Any, N: int, V: int) -> Ids:
    """Return what the parts are told about N ids; without ids they are row numbers."""
    return Ids(size_tag(ids), address(ids), N, V)


@part
def find_rows(rows: Any, ids: Any, begin: int, end: int, room: int) -> bool:
    """Write where the rows of entries [begin, end) and of `_AHEAD` later ones lie; return whether an id names none."""
    most, last = np.uint64(0), min(end + _AHEAD, ids.N)
    for i in range(begin, last):
        one = load_id(ids.id_tag, ids.address, i)
        most = max(most, np.uint64(one))  # negative ones are the largest so
        store_id(OFFSET, room, i - begin, rows.address + one * rows.stride)
    for i in range(last, end + _AHEAD):  # nothing is read there
        store_id(OFFSET, room, i - begin, rows.address)
    return bool(last > begin and most >= np.uint64(ids.V))


@inlined
def reduce_small(
    reduce_segment: Any, table: Any, ids: Any, N: int, offsets: Any, T: int, out: Any, divide_by: int, start: int,
    stop: int,
) -> int:  # fmt: skip
    """Reduce those of the segments between offsets or, where T >= 0, of T entries each that are in [start, stop).

    First it is found where rows lie, of some segments at a time: of a row of 64 columns that takes as long as the sums
    do, and less in a loop of its own, beside which ids need no other check.
    """
    rows, given, goal, here = rows_of(table), ids_of(ids, N, table.shape[0]), rows_of(out), address(offsets)
    most = T if T >= 0 else longest(offsets, N, start, stop)
    if most < 0 or most > _LONGEST:
        return 1
    room = np.empty(min(N, _CHUNK + most) + _AHEAD, np.int64)
    segments, first, done = Segments(here, here + 8, 0, None, divide_by), 0, start
    # An entry is the address of its row: the bytes of a table that begins at 0.
    spots = Rows(rows.dtype_tag, 0, 1, rows.bits, rows.D, 0, 0)
    entries = Ids(SPOTS, address(room), room.size, extent(rows, given))
    for s in range(start, stop):
        begin = offsets[s] if T < 0 else s * T
        end = offsets[s + 1] if T < 0 else begin + T
        if s == done:
            done, first = chunk_behind(offsets, T, s, stop), begin
            last = offsets[done] if T < 0 else done * T
            if find_rows(rows, given, first, last, entries.address):
                return 1
        if begin == end:
            zero_row(rows, goal, s)
        else:
            by = divisor(rows.dtype_tag, segments, begin, end)
            reduce_segment(spots, entries, segments, goal, s, begin - first, end - first, by, 0)
    return min(room.size, 0)  # 0; Numba frees an array behind its last use, and addresses are none


@inlined
def reduce_small_kept(
    reduce_segment: Any, table: Any, ids: Any, mask: Any, kept: Any, T: int, out: Any, divide_by: int
) -> int:
    """Reduce segments of T slots each, those whose byte in ``mask`` is not 0; ``kept`` has room for T + 1 ids."""
    rows, given, goal, here = rows_of(table), ids_of(ids, mask.size, table.shape[0]), rows_of(out), address(kept)
    segments, keeps = Segments(here, here, 0, None, divide_by), address(mask)
    for s in range(out.shape[0]):
        n, bad = 0, False
        for slot in range(s * T, s * T + T):
            one, keep = load_id(given.id_tag, given.address, slot), load_id(_BYTE, keeps, slot) != 0
            bad |= keep & ((one < 0) | (one >= given.V))
            store_id(OFFSET, here, n, one)
            n += keep
        if bad:
            return 1
        if n:
            entries = Ids(OFFSET, here, n, given.V)
            by = divisor(rows.dtype_tag, segments, 0, n)
            reduce_segment(rows, entries, segments, goal, s, 0, n, by, 0)
        else:
            zero_row(rows, goal, s)
    return 0


@kernel
def sum_small(
    table: Any, ids: Any, N: int, offsets: Any, T: int, out: Any, divide_by: int, start: int, stop: int
) -> int:
    """Do as `reduce_small` does, with sums."""
    return reduce_small(sum_cached_segment, table, ids, N, offsets, T, out, divide_by, start, stop)


@kernel
def max_small(
    table: Any, ids: Any, N: int, offsets: Any, T: int, out: Any, divide_by: int, start: int, stop: int
) -> int:
    """Do as `reduce_small` does, with the largest of each column."""
    return reduce_small(max_cached_segment, table, ids, N, offsets, T, out, divide_by, start, stop)


@kernel
def sum_small_kept(table: Any, ids: Any, mask: Any, kept: Any, T: int, out: Any, divide_by: int) -> int:
    """Do as `reduce_small_kept` does, with sums."""
    return reduce_small_kept(sum_cached_segment, table, ids, mask, kept, T, out, divide_by)


@kernel
def max_small_kept(table: Any, ids: Any, mask: Any, kept: Any, T: int, out: Any, divide_by: int) -> int:
    """Do as `reduce_small_kept` does, with the largest of each column."""
    return reduce_small_kept(max_cached_segment, table, ids, mask, kept, T, out, divide_by)


# Backward ---------------------------------------------------------------------------------------------------------


@kernel
def spread_sums(grad: Any, ids: Any, segments: Any, out: Any, start: int, stop: int) -> None:
    """Write the gradient of a sum: the bag's row, times the entry's weight, to every slot."""
    for s in range(start, stop):
        for i in range(load_id(OFFSET, segments.begins, s), load_id(OFFSET, segments.ends, s)):
            slot = load_id(ids.id_tag, ids.address, i)
            for j in range(0, grad.D, 16):
                count = min(16, grad.D - j)
                weight = weight_of(grad.dtype_tag, segments.weights, i)
                write(out, slot, j, count, times(read(grad, s, j, count), weight))


@kernel
def spread_maxima(
    x: Any, ids: Any, segments: Any, maxima: Any, grad: Any, base: Any, both: bool, out: Any, by_entry: bool,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Write the gradient of a maximum: column by column to the first entry that holds it, 0 to the others.

    With ``both`` the row of ``base`` is added everywhere. With ``by_entry`` rows of ``out`` are entries, else
    slots. What is left of a column's gradient stays in a register until its entry is found.
    """
    for s in range(start, stop):
        rows = moved(x, s * segments.batch_gap)
        for j in range(0, grad.D, 16):
            count = min(16, grad.D - j)
            left, peak, nothing = read(grad, s, j, count), read(maxima, s, j, count), every(grad.dtype_tag, 0.0)
            under = read(base, s, j, count) if both else nothing
            for i in range(load_id(OFFSET, segments.begins, s), load_id(OFFSET, segments.ends, s)):
                value = read_entry(rows, ids, segments, i, j, count)
                slot = i if by_entry else load_id(ids.id_tag, ids.address, i)
                write(out, slot, j, count, under + pick_equal(value, peak, left, nothing))
                left = pick_equal(value, peak, nothing, left)


@kernel
def spread_maxima_small(
    table: Any, ids: Any, N: int, offsets: Any, maxima: Any, grad: Any, out: Any, by_entry: bool
) -> int:
    """Find the maxima of a small call, for which there is ``maxima``, and do as `spread_maxima` does."""
    if reduce_small(max_cached_segment, table, ids, N, offsets, -1, maxima, BY_ONE, 0, maxima.shape[0]):
        return 1
    rows, given, here, back = rows_of(table), ids_of(ids, N, table.shape[0]), address(offsets), rows_of(grad)
    segments = Segments(here, here + 8, 0, None, BY_ONE)
    S = maxima.shape[0]
    spread_maxima(rows, given, segments, rows_of(maxima), back, back, False, rows_of(out), by_entry, 0, S)
    return 0


@kernel
def dot_rows(x: Any, ids: Any, segments: Any, grad: Any, out: Any, start: int, stop: int) -> None:
    """Write for each entry the product of its row with the bag's: sixteen sums side by side, then their tree."""
    for s in range(start, stop):
        rows = moved(x, s * segments.batch_gap)
        for i in range(load_id(OFFSET, segments.begins, s), load_id(OFFSET, segments.ends, s)):
            one = load_id(ids.id_tag, ids.address, i)
            sums = every(grad.dtype_tag, 0.0)
            for j in range(0, grad.D, 16):
                count = min(16, grad.D - j)
                sums = sums + read(rows, one, j, count) * read(grad, s, j, count)
            write(out, i, 0, 1, every(grad.dtype_tag, total(sums)))


# Lengths ----------------------------------------------------------------------------------------------------------

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


@part
def shrunk(x: Any, s: int, j: int, count: int, by: Any) -> Any:
    """Load columns of row ``s``, divided by a number if there is one. Numba leaves out the branch that cannot be."""
    if by is None:
        return read(x, s, j, count)
    return read(x, s, j, count) / by


@part
def squares(x: Any, s: int, by: Any) -> float:
    """Return the sum of the squares of a row: four times sixteen sums side by side, and a fixed tree."""
    a = b = c = d = wide(every(x.dtype_tag, 0.0))
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
    most = every(x.dtype_tag, 0.0)
    for j in range(0, x.D, 16):
        value = read(x, s, j, min(16, x.D - j))
        most = larger(most, larger(value, value * -1.0))
    return highest(most)  # type: ignore[no-any-return]


@part
def scale_row(x: Any, out: Any, s: int, by: Any, scale: float) -> None:
    """Write row ``s`` times ``scale``; every column is read before it is written."""
    j = 0
    while j + 16 <= x.D:
        write(out, s, j, 16, narrow(x.dtype_tag, wide(shrunk(x, s, j, 16, by)) * scale))
        j += 16
    if j < x.D:
        write(out, s, j, x.D - j, narrow(x.dtype_tag, wide(shrunk(x, s, j, x.D - j, by)) * scale))


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


@part
def scale_rows(x: Any, out: Any, start: int, stop: int) -> None:
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


@kernel
def normalize_rows(x: Any, out: Any, start: int, stop: int) -> None:
    """Do as `scale_rows` does."""
    scale_rows(x, out, start, stop)


@kernel
def normalize_small(x: Any, out: Any) -> None:
    """Do as `normalize_rows` does with arrays that lie in order."""
    scale_rows(rows_of(x), rows_of(out), 0, x.shape[0])
