"""Kernels of quantised tables: numbers to codes, and codes back to numbers, row by row."""

from typing import Any

import numpy as np

from .intrinsics import as_acc, fence, load_acc, prefetch
from .jit import brief, kernel, part
from .layout import DTYPE_TAGS, Ids, Rows
from .lookup import AHEAD, LINES, RAISE, address, first_bad_id, row_of, size_tag
from .rows import read, write
from .vectors import (
    above,
    any_near_half,
    below,
    every,
    every_64,
    fetch_64,
    flawed,
    head,
    highest,
    load,
    load_64,
    load_head,
    lowest,
    scale_of,
    store,
    store_head,
    store_products,
    stream,
    total,
)

_SINGLE = np.float32(0)  # the tag of scales and offsets
_BYTES, _NIBBLES = DTYPE_TAGS["int8"], DTYPE_TAGS["int4"]
_ROWS, _AHEAD = 2, 16  # rows whose scales are found together, and from a row to the one that is asked for
_STEP = np.float32(2.0**-149)  # the least float32 above zero
_LEAST, _MOST = np.float32(2.0**-100), np.float32(2.0**100)  # between them the inverse has all its bits


@part
def fill(dtype_tag: Any, x: Any, count: int) -> Any:
    """Return a vector whose lanes from ``count`` on, which are 0, have become its first lane."""
    rest = every(dtype_tag, total(head(x, 1)))
    return x + (rest - head(rest, count))


@part
def bounds(table: Any, i: int) -> Any:
    """Return the least and the greatest number of row ``i``, and 0, or NaN if a number is not finite.

    NaN is for ``faults`` to see.
    """
    tag, row, j = table.dtype_tag, table.address + i * table.stride, 0
    low, high, faults = every_64(tag, np.inf), every_64(tag, -np.inf), every_64(tag, 0.0)
    while j + 64 <= table.D:
        x = load_64(tag, row, j, _SINGLE, _SINGLE)
        low, high, faults = below(low, x), above(high, x), flawed(faults, x)
        j += 64
    least, most, wrong = lowest(low), highest(high), total(faults)
    if j < table.D:
        a, b, c = every(tag, np.inf), every(tag, -np.inf), every(tag, 0.0)
        while j < table.D:
            count = min(16, table.D - j)
            x = read(table, i, j, count)
            if count < 16:
                x = fill(tag, x, count)
            a, b, c = below(a, x), above(b, x), flawed(c, x)
            j += 16
        least, most, wrong = min(least, lowest(a)), max(most, highest(b)), wrong + total(c)
    return least, most, wrong


@part
def step_of(dtype_tag: Any, low: Any, high: Any, bits: int) -> Any:
    """Return the distance between two codes, float32: 0 only where all numbers are equal."""
    top = as_acc(dtype_tag, (1 << bits) - 1)
    step = np.float32((high - low) / top)
    return _STEP if step == 0 and low < high else step


@part
def put(values: int, i: int, x: Any) -> None:
    """Store one float32."""
    store_head(_SINGLE, values, i, 1, every(_SINGLE, x))


@part
def scale_row(table: Any, codes: Any, i: int) -> bool:
    """Write the scale and the offset of a row; return False if it has none."""
    low, high, faults = bounds(table, i)
    # Adding 0 makes -0.0 0.0: which of them is found first depends on the machine.
    step, offset = step_of(table.dtype_tag, low, high, codes.bits), np.float32(low) + np.float32(0)
    last = step * np.float32((1 << codes.bits) - 1) + offset
    put(codes.scale, i, step)
    put(codes.offset, i, offset)
    return bool(faults == 0 and last - last == 0)


@part
def encode_row(table: Any, codes: Any, i: int) -> None:
    """Write the codes of a row. Where none of 64 lies near a half, a product is as good as a quotient."""
    tag, row, goal = table.dtype_tag, table.address + i * table.stride, codes.address + i * codes.stride
    step, offset = load_acc(_SINGLE, codes.scale, i), load_acc(_SINGLE, codes.offset, i)
    by, j = as_acc(tag, step if step > 0 else np.float32(np.inf)), 0  # all codes of a constant row are 0
    if _LEAST < step < _MOST:
        inverse = as_acc(tag, 1) / by
        while j + 64 <= table.D:
            fetch_64(tag, row + _AHEAD * table.stride, j)
            x = load_64(tag, row, j, _SINGLE, _SINGLE) - offset
            if any_near_half(x, inverse):
                store(codes.dtype_tag, goal, j, x / by)
            else:
                store_products(codes.dtype_tag, goal, j, x, inverse)
            j += 64
    while j < table.D:
        count = min(16, table.D - j)
        x = (read(table, i, j, count) - offset) / by
        write(codes, i, j, count, x if count == 16 else head(x, count))  # zeros pad the last byte
        j += 16


@part
def encode_rows(table: Any, codes: Any, start: int, stop: int) -> int:
    """Write codes, scales and offsets of the rows [start, stop); return the first that has none, or -1.

    Such a row has a number that is not finite, or its largest code would not mean a finite float32. Two rows
    get their scales before either gets codes, which would else wait for lanes to be folded, and for two divisions.
    """
    for begin in range(start, stop, _ROWS):
        end = min(begin + _ROWS, stop)
        for i in range(begin, end):
            if not scale_row(table, codes, i):
                return i
        for i in range(begin, end):
            encode_row(table, codes, i)
    return -1


@kernel
def quantize_rows(table: Any, codes: Any, start: int, stop: int) -> int:
    """Do as `encode_rows` does."""
    return encode_rows(table, codes, start, stop)


@brief
def quantize_small(table: Any, bits: int, codes: Any, both: Any) -> int:
    """Do as `encode_rows` does with all rows of a small table of float32; arrays are taken as they are.

    Scales and offsets are the two rows of ``both``: one array less to make, and to look into.
    """
    (V, D), width, steps, bases = table.shape, codes.shape[1], address(both), address(both) + 4 * len(table)
    given = Rows(_SINGLE, address(table), 4 * D, 32, D, 0, 0)
    if bits == 8:
        return encode_rows(given, Rows(_BYTES, address(codes), width, 8, D, steps, bases), 0, V)
    return encode_rows(given, Rows(_NIBBLES, address(codes), width, 4, D, steps, bases), 0, V)


@part
def widen_row(table: Any, one: int, out: Any, i: int, nontemporal: bool) -> None:
    """Write the numbers of row ``one`` to row ``i``; with ``nontemporal`` whole cache lines past the caches."""
    scale, offset = scale_of(table.dtype_tag, table.scale, one), scale_of(table.dtype_tag, table.offset, one)
    row, goal = table.address + one * table.stride, out.address + i * out.stride
    j = 0
    if nontemporal:
        j = min((-goal & 63) >> 2, table.D)
        store_head(out.dtype_tag, goal, 0, j, load_head(table.dtype_tag, row, 0, j, scale, offset))
        while j + 16 <= table.D:
            stream(out.dtype_tag, goal, j, load(table.dtype_tag, row, j, scale, offset))
            j += 16
    while j + 16 <= table.D:
        write(out, i, j, 16, load(table.dtype_tag, row, j, scale, offset))
        j += 16
    if j < table.D:
        write(out, i, j, table.D - j, load_head(table.dtype_tag, row, j, table.D - j, scale, offset))


@part
def widen(table: Any, ids: Any, mode: int, out: Any, nontemporal: bool, check: int, start: int, stop: int) -> int:
    """Check the first ``check`` ids, then write their rows [start, stop) as float32; return the first bad one, or -1.

    ``nontemporal`` only if rows of ``out`` begin at multiples of 8: 4-bit codes are read from even columns.
    """
    bad = first_bad_id(ids.id_tag, ids.address, check, ids.V)
    if bad >= 0:
        return bad
    lines = min((table.D * table.bits + 7) // 8, LINES)
    for i in range(start, stop):
        later = row_of(ids.id_tag, ids.address, min(i + AHEAD, stop - 1), ids.V, mode)
        for line in range(0, lines, 64):
            prefetch(table.address + later * table.stride + line)
        prefetch(table.scale + 4 * later)
        prefetch(table.offset + 4 * later)
        widen_row(table, row_of(ids.id_tag, ids.address, i, ids.V, mode), out, i, nontemporal)
    if nontemporal:
        fence()
    return -1


@kernel
def widen_rows(table: Any, ids: Any, mode: int, out: Any, nontemporal: bool, check: int, start: int, stop: int) -> int:
    """Do as `widen` does."""
    return widen(table, ids, mode, out, nontemporal, check, start, stop)


@kernel
def widen_small(table: Any, V: int, ids: Any, out: Any) -> int:
    """Do as `widen` does with contiguous arrays, for small calls; see `lookup.gather_small`."""
    N = ids.size
    given = Ids(size_tag(ids), address(ids), N, V)
    goal = Rows(_SINGLE, address(out), 4 * table.D, 32, table.D, 0, 0)
    return widen(table, given, RAISE, goal, False, N, 0, N)


@brief
def widen_all_small(codes: Any, bits: int, scale: Any, offset: Any, out: Any) -> None:
    """Write all rows of a small table as float32; arrays are taken as they are, and lie in order."""
    (V, D), width, steps, bases = out.shape, codes.shape[1], address(scale), address(offset)
    goal = Rows(_SINGLE, address(out), 4 * D, 32, D, 0, 0)
    if bits == 8:
        given = Rows(_BYTES, address(codes), width, 8, D, steps, bases)
        for i in range(V):
            widen_row(given, i, goal, i, False)
    else:
        halves = Rows(_NIBBLES, address(codes), width, 4, D, steps, bases)
        for i in range(V):
            widen_row(halves, i, goal, i, False)
