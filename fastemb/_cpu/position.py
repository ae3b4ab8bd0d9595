"""Kernel of ``rope``: pairs of columns turned by the angles of their row's position.

All four dtypes and both layouts of pairs go through the same three lines of arithmetic, 16 pairs at a time. Both
columns of a pair are read before either is written, so a row may be written where it lies.
"""

from typing import Any

import numpy as np
from llvmlite import ir

from .intrinsics import fence, load_id
from .jit import intrinsic, kernel, part
from .layout import Rows
from .lookup import stream_row
from .rows import moved, read, write
from .vectors import LANES

_INT64 = np.int64(0)  # the tag of the numbers that describe axes, and of the rows of tables
_AXIS = 4  # numbers for each axis: its length, and the distances in x, in out and in the positions


def _make_shuffle(places: list[int]) -> Any:
    def shuffle(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)
            return builder.shuffle_vector(*given, order)

        return a(a, a), codegen

    return intrinsic(shuffle)


#: Of the 32 columns of two vectors: those of even number, those of odd number; and back from there.
evens, odds = (_make_shuffle([2 * k + first for k in range(LANES)]) for first in (0, 1))
low_pairs, high_pairs = (
    _make_shuffle([place for k in range(begin, begin + LANES // 2) for place in (k, LANES + k)])
    for begin in (0, LANES // 2)
)


@part
def turn_halves(x: Any, out: Any, table: Any, sign: float, j: int, count: int) -> None:
    """Turn the pairs (j, D/2 + j) and those that follow."""
    H = x.D // 2
    a, b = read(x, 0, j, count), read(x, 0, H + j, count)
    c, s = read(table, 0, j, count), read(table, 0, H + j, count) * sign
    write(out, 0, j, count, a * c - b * s)
    write(out, 0, H + j, count, b * c + a * s)


@part
def turn_neighbours(x: Any, out: Any, table: Any, sign: float, j: int, count: int) -> None:
    """Turn the pairs (2j, 2j + 1) and those that follow."""
    low, high = min(2 * count, 16), max(2 * count - 16, 0)
    p, q = read(x, 0, 2 * j, low), read(x, 0, 2 * j + 16, high)
    a, b = evens(p, q), odds(p, q)
    c, s = read(table, 0, j, count), read(table, 0, x.D // 2 + j, count) * sign
    a, b = a * c - b * s, b * c + a * s
    write(out, 0, 2 * j, low, low_pairs(a, b))
    write(out, 0, 2 * j + 16, high, high_pairs(a, b))


@part
def turn_line(
    x: Any, out: Any, table: Any, positions: int, step: int, rows: int, sign: float, neighbours: bool
) -> None:  # fmt: skip
    """Turn rows at equal distances, 16 pairs at a time.

    The loop over the rows is here, below all that LLVM does not inline: a call takes as long as half a row.
    """
    H = x.D // 2
    for i in range(rows):
        row, goal = moved(x, i * x.stride), moved(out, i * out.stride)
        angles = moved(table, load_id(_INT64, positions, i * step) * table.stride)
        j = 0
        while j + 16 <= H:
            if neighbours:
                turn_neighbours(row, goal, angles, sign, j, 16)
            else:
                turn_halves(row, goal, angles, sign, j, 16)
            j += 16
        if j < H:
            if neighbours:
                turn_neighbours(row, goal, angles, sign, j, H - j)
            else:
                turn_halves(row, goal, angles, sign, j, H - j)


@part
def place(axes: int, count: int, line: int, which: int) -> int:
    """Return how far line ``line`` of rows lies from the first one."""
    far = 0
    for axis in range(count - 2, -1, -1):
        length = load_id(_INT64, axes, _AXIS * axis)
        far += line % length * load_id(_INT64, axes, _AXIS * axis + which)
        line //= length
    return far


@kernel
def rope_rows(
    element: Any, x: int, kind: Any, out: int, lane: Any, table: int, size: int, D: int, positions: int,
    axes: int, count: int, sign: float, neighbours: bool, spare: int, room: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Write the rows [start, stop) at ``x``, turned, to those at ``out``, which may be the same memory.

    Rows are counted along ``count`` axes: for each, the last one fastest, four int64 at ``axes`` give its length and
    the distances from one row to the next in x and out, in bytes, and in ``positions``, in numbers. The int64 there
    say which row of ``table``, D/2 cosines and D/2 sines of ``size`` bytes each, has the angles of a row. A ``sign``
    of -1 turns back. With room for some rows at ``spare``, they are made there and then go past the caches; then the
    last axis of ``out`` has no gaps.
    """
    last = axes + 8 * _AXIS * (count - 1)
    length = load_id(_INT64, last, 0)
    x_step, out_step, step = load_id(_INT64, last, 1), load_id(_INT64, last, 2), load_id(_INT64, last, 3)
    angles = Rows(lane, table, D * size, 0, D, 0, 0)
    s = start
    while s < stop:
        line, first = s // length, s % length
        rows = min(length - first, stop - s, room)
        goal = out + place(axes, count, line, 2) + first * out_step
        turn_line(
            Rows(element, x + place(axes, count, line, 1) + first * x_step, x_step, 0, D, 0, 0),
            Rows(kind, spare if spare else goal, out_step, 0, D, 0, 0),
            angles, positions + 8 * (place(axes, count, line, 3) + first * step), step, rows, sign, neighbours,
        )  # fmt: skip
        if spare:
            stream_row(goal, spare, rows * out_step)
        s += rows
    if spare:
        fence()
