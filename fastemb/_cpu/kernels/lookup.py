"""Kernels of ``gather``: rows copied as bytes.

Kernels take addresses, strides in bytes and counts. Arrays would make Numba compile one version for each
layout and each read-only flag.
"""

from typing import Any

import numpy as np

from .intrinsics import (
    copy_1,
    copy_4,
    copy_8,
    copy_16,
    copy_32,
    copy_64,
    copy_256,
    fence,
    load_id,
    prefetch,
    prefetch_row,
    stream_64,
    stream_256,
)
from .jit import TUNING, brief, kernel, part

RAISE, CLIP, WRAP = 0, 1, 2

_BLOCK = 4096
# Rows between the one that is being copied and the one that is asked for, and how many bytes of it.
AHEAD, LINES = 8, 512


@part
def first_bad_among(id_tag: Any, ids: int, first: int, last: int, V: int) -> int:
    """Return the first position in [first, last) whose id is not in [0, V), or -1.

    Whole blocks are judged without a branch (that loop becomes vector code); only a bad block is searched.
    """
    for start in range(first, last, _BLOCK):
        stop = min(start + _BLOCK, last)
        bad = 0
        for i in range(start, stop):
            one = load_id(id_tag, ids, i)
            bad |= (one < 0) | (one >= V)
        if bad:
            for i in range(start, stop):
                one = load_id(id_tag, ids, i)
                if one < 0 or one >= V:
                    return i
    return -1


@part
def first_bad_id(id_tag: Any, ids: int, N: int, V: int) -> int:
    """Return the first position whose id is not in [0, V), or -1."""
    return first_bad_among(id_tag, ids, 0, N, V)


@kernel
def find_bad_id(id_tag: Any, ids: int, N: int, V: int) -> int:
    """Return the first position whose id is not in [0, V), or -1."""
    return first_bad_id(id_tag, ids, N, V)


@part
def row_of(id_tag: Any, ids: int, i: int, V: int, mode: int) -> int:
    """Return the row that ``ids[i]`` means."""
    one: int = load_id(id_tag, ids, i)
    if mode == CLIP:
        return min(max(one, 0), V - 1)
    if mode == WRAP:
        return one % V
    return one


@part
def copy_row(target: int, source: int, size: int) -> None:
    """Copy ``size`` bytes; the last step of each width reaches back, so that no row ends in single bytes.

    Of rows of 64 bytes and more the first step is cut so that all stores but the outer two lie in one cache
    line each: NumPy's arrays begin at 16 mod 64, where every store of 64 bytes would touch two lines.
    """
    i = 0
    if size >= 64:
        copy_64(target, source)
        i = 64 - (target & 63)
        while i + 256 <= size:
            copy_256(target + i, source + i)
            i += 256
        while i + 64 <= size:
            copy_64(target + i, source + i)
            i += 64
        copy_64(target + size - 64, source + size - 64)
    elif size >= 16:
        while i + 16 <= size:
            copy_16(target + i, source + i)
            i += 16
        copy_16(target + size - 16, source + size - 16)
    elif size >= 4:
        while i + 4 <= size:
            copy_4(target + i, source + i)
            i += 4
        copy_4(target + size - 4, source + size - 4)
    else:
        for i in range(size):
            copy_1(target + i, source + i)


@part
def prefetch_four(address: int) -> None:
    """Ask for the cache line at an address and the three behind it."""
    for line in (0, 64, 128, 192):
        prefetch_row(address + line)


def _make_stream_row(ask: bool) -> Any:
    @part
    def stream_row(target: int, source: int, size: int, later: int) -> None:
        """Copy ``size`` bytes, whole cache lines past the caches: a line that is streamed is not read first.

        No line gets both kinds of store, which would bring it into the cache after all; so the ends of a row are
        copied in small steps that do not overlap.
        """
        end, apart = target + size, later - source
        head = min((target + 63) & ~63, end)
        while target + 16 <= head:
            copy_16(target, source)
            target, source = target + 16, source + 16
        while target < head:
            copy_1(target, source)
            target, source = target + 1, source + 1
        while target + 256 <= end:
            if ask:
                prefetch_four(source + apart)
            stream_256(target, source)
            target, source = target + 256, source + 256
        if ask:  # up to four lines that the loop did not ask for
            prefetch_four(source + apart)
        while target + 64 <= end:
            stream_64(target, source)
            target, source = target + 64, source + 64
        while target + 16 <= end:
            copy_16(target, source)
            target, source = target + 16, source + 16
        while target < end:
            copy_1(target, source)
            target, source = target + 1, source + 1

    return stream_row


#: Stream one row; and ask meanwhile, line by line, for the row of the same size at ``later``.
stream_row, stream_row_asking = _make_stream_row(False), _make_stream_row(True)


@part
def copy_narrow(
    id_tag: Any, table: int, stride: int, size: int, V: int, ids: int, mode: int, out: int, out_stride: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Copy rows of 4, 8, 16 or 32 bytes, each by one load and one store.

    Nothing is fetched ahead: the loops are so short that the processor has the loads of many rows under way. A branch
    on the size of an id would take an eighth longer here, so gathers are compiled for each id dtype.
    """
    if size == 4:
        for i in range(start, stop):
            copy_4(out + i * out_stride, table + row_of(id_tag, ids, i, V, mode) * stride)
    elif size == 8:
        for i in range(start, stop):
            copy_8(out + i * out_stride, table + row_of(id_tag, ids, i, V, mode) * stride)
    elif size == 16:
        for i in range(start, stop):
            copy_16(out + i * out_stride, table + row_of(id_tag, ids, i, V, mode) * stride)
    else:
        for i in range(start, stop):
            copy_32(out + i * out_stride, table + row_of(id_tag, ids, i, V, mode) * stride)


@part
def copy_rows(
    id_tag: Any, table: int, stride: int, size: int, V: int, ids: int, mode: int, out: int, out_stride: int,
    nontemporal: bool, check: int, start: int, stop: int,
) -> int:  # fmt: skip
    """Check the first ``check`` ids, then copy the rows of ``ids[start:stop]``; return the first bad one, or -1.

    The first lines of a row are asked for eight rows ahead: the processor's own prefetcher follows a long row once
    it has begun. Where it does not (``gather_whole``), all lines of long rows are.
    """
    bad = first_bad_id(id_tag, ids, check, V)
    if bad >= 0:
        return bad
    if size in (4, 8, 16, 32):
        copy_narrow(id_tag, table, stride, size, V, ids, mode, out, out_stride, start, stop)
        return -1
    if nontemporal and TUNING.gather_whole and size > LINES:
        for i in range(start, stop):
            later = table + row_of(id_tag, ids, min(i + TUNING.gather_ahead, stop - 1), V, mode) * stride
            row = table + row_of(id_tag, ids, i, V, mode) * stride
            stream_row_asking(out + i * out_stride, row, size, later)
        fence()
        return -1
    for i in range(start, stop):
        later = table + row_of(id_tag, ids, min(i + AHEAD, stop - 1), V, mode) * stride
        for line in range(0, min(size, LINES), 64):
            prefetch(later + line)
        row = table + row_of(id_tag, ids, i, V, mode) * stride
        if nontemporal:
            stream_row(out + i * out_stride, row, size, later)
        else:
            copy_row(out + i * out_stride, row, size)
    if nontemporal:
        fence()
    return -1


@kernel
def gather_rows(
    id_tag: Any, table: int, stride: int, size: int, V: int, ids: int, mode: int, out: int, out_stride: int,
    nontemporal: bool, check: int, start: int, stop: int,
) -> int:  # fmt: skip
    """Do as `copy_rows` does."""
    return copy_rows(id_tag, table, stride, size, V, ids, mode, out, out_stride, nontemporal, check, start, stop)


@part
def size_tag(ids: Any) -> Any:
    """Return the id tag of an array of ids; one of no ids says that entries are row numbers themselves."""
    return np.uint16(ids.itemsize if ids.size else 0)


@part
def address(array: Any) -> Any:
    """Return where an array begins, as a signed number."""
    return np.int64(array.ctypes.data)


@brief
def has_negative(ids: Any) -> bool:
    """Whether an id of a small call is below 0, which NumPy would count from the end."""
    signs = ids.dtype.type(0)
    for one in ids:
        signs |= one
    return bool(signs < 0)


@kernel
def gather_small(table: Any, ids: Any, out: Any) -> int:
    """Do as `copy_rows` does with arrays that lie in order, for small calls.

    It takes them as they are because looking up one address would cost as much as all else. Where the result
    would lie on the table or the ids nothing is copied, and 0 is returned as if the first id were bad.
    """
    V, N, size = table.shape[0], ids.size, table.shape[1] * table.itemsize
    base, start, goal = address(table), address(ids), address(out)
    end = goal + N * size
    if (goal < base + V * size and base < end) or (goal < start + N * ids.itemsize and start < end):
        return 0
    return copy_rows(ids.dtype.type(0), base, size, size, V, start, RAISE, goal, size, False, N, 0, N)
