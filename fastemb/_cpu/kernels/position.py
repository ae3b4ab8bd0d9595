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
from .lookup import address, first_bad_id, stream_row
from .rows import moved, read, write
from .vectors import LANES

_INT64 = np.int64(0)  # the tag of the numbers that describe axes, and of the rows of tables
_AXIS = 4  # numbers for each axis: its length, and the distances in x, in out and in ``angle_rows``


def _make_shuffle(lanes: list[int]) -> Any:
    def shuffle(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
            return builder.shuffle_vector(*given, order)

        return a(a, a), codegen

    return intrinsic(shuffle)


#: Of the 32 columns of two vectors: those of even number, those of odd number; and back from there.
evens, odds = (_make_shuffle([2 * k + first for k in range(LANES)]) for first in (0, 1))
low_pairs, high_pairs = (
    _make_shuffle([lane for k in range(begin, begin + LANES // 2) for lane in (k, LANES + k)])
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
def turn_interleaved(x: Any, out: Any, table: Any, sign: float, j: int, count: int) -> None:
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
    x: Any, out: Any, table: Any, angle_rows: int, step: int, rows: int, sign: float, interleaved: bool
) -> None:  # fmt: skip
    """Turn rows at equal distances, 16 pairs at a time; the int64 at ``angle_rows`` say by which rows of ``table``.

    The loop over the rows is here, below all that LLVM does not inline: a call takes as long as half a row.
    """
    H = x.D // 2
    for i in range(rows):
        row, goal = moved(x, i * x.stride), moved(out, i * out.stride)
        angles = moved(table, load_id(_INT64, angle_rows, i * step) * table.stride)
        j = 0
        while j + 16 <= H:
            if interleaved:
                turn_interleaved(row, goal, angles, sign, j, 16)
            else:
                turn_halves(row, goal, angles, sign, j, 16)
            j += 16
        if j < H:
            if interleaved:
                turn_interleaved(row, goal, angles, sign, j, H - j)
            else:
                turn_halves(row, goal, angles, sign, j, H - j)


@part
def line_start(axes: int, count: int, line: int, which: int) -> int:
    """Return how far line ``line`` of rows lies from the first one."""
    far = 0
    for axis in range(count - 2, -1, -1):
        length = load_id(_INT64, axes, _AXIS * axis)
        far += line % length * load_id(_INT64, axes, _AXIS * axis + which)
        line //= length
    return far


@kernel
def rope_rows(
    dtype_tag: Any, x: int, out_tag: Any, out: int, acc_tag: Any, table: int, size: int, D: int, angle_rows: int,
    axes: int, count: int, sign: float, interleaved: bool, scratch: int, scratch_rows: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Write the rows [start, stop) at ``x``, turned, to those at ``out``, which may be the same memory.

    Rows are counted along ``count`` axes, the last one fastest. Four int64 at ``axes`` describe each: its length, and
    the distances from one row to the next in x and out, in bytes, and in ``angle_rows``, in numbers. The int64 at
    ``angle_rows`` say which row of ``table``, D/2 cosines and D/2 sines of ``size`` bytes each, has a row's angles. A
    ``sign`` of -1 turns back. A ``scratch`` that is not 0 holds ``scratch_rows`` rows: they are made there and then go
    past the caches, so the last axis of ``out`` must have no gaps.
    """
    last = axes + 8 * _AXIS * (count - 1)
    length = load_id(_INT64, last, 0)
    x_step, out_step, step = load_id(_INT64, last, 1), load_id(_INT64, last, 2), load_id(_INT64, last, 3)
    angles = Rows(acc_tag, table, D * size, 0, D, 0, 0)
    s = start
    while s < stop:
        line, first = s // length, s % length
        rows = min(length - first, stop - s, scratch_rows)
        goal = out + line_start(axes, count, line, 2) + first * out_step
        turn_line(
            Rows(dtype_tag, x + line_start(axes, count, line, 1) + first * x_step, x_step, 0, D, 0, 0),
            Rows(out_tag, scratch if scratch else goal, out_step, 0, D, 0, 0),
            angles, angle_rows + 8 * (line_start(axes, count, line, 3) + first * step), step, rows, sign, interleaved,
        )  # fmt: skip
        if scratch:
            stream_row(goal, scratch, rows * out_step, scratch)
        s += rows
    if scratch:
        fence()


@kernel
def rope_small(
    x: Any, angle_rows: Any, count: int, table: Any, lines: int, line_step: int, step: int, sign: float,
    interleaved: bool, out: Any,
) -> int:  # fmt: skip
    """Write the rows of a small call of float32, turned; nonzero: a position is not in the table, nothing is written.

    Arrays are taken as they are. Of the first ``count`` numbers of ``angle_rows`` row i of line k has that at
    ``k * line_step + i * step``.
    """
    tag, (N, D), first = np.float32(0), x.shape, address(angle_rows)
    if first_bad_id(_INT64, first, count, table.shape[0]) >= 0:
        return 1
    rows, size, angles = N // lines, 4 * D, Rows(tag, address(table), 4 * D, 0, D, 0, 0)
    for k in range(lines):
        far = k * rows * size
        line, goal = Rows(tag, address(x) + far, size, 0, D, 0, 0), Rows(tag, address(out) + far, size, 0, D, 0, 0)
        turn_line(line, goal, angles, first + 8 * k * line_step, step, rows, sign, interleaved)
    return 0
