"""Kernels of the gradients of pools and bags: a bag's gradient spread over its rows.

``grad`` has one row for each bag, already divided by what the bag was divided by. ``out`` has one row for each
place of the caller's rows: position i is the place ``ids[i]``. The forward kernels are those of ``rows.py``.
"""

from typing import Any

from .intrinsics import load_id
from .jit import kernel
from .rows import OFFSET, moved, read, read_position, weighed, write
from .vectors import every, pick_equal, total


@kernel
def spread_sums(grad: Any, ids: Any, bags: Any, out: Any, start: int, stop: int) -> None:
    """Write the gradient of a sum: the bag's row, times the position's weight, to every position."""
    for s in range(start, stop):
        for i in range(load_id(OFFSET, bags.begins, s), load_id(OFFSET, bags.ends, s)):
            place = load_id(ids.index, ids.address, i)
            for j in range(0, grad.D, 16):
                count = min(16, grad.D - j)
                write(out, place, j, count, weighed(read(grad, s, j, count), grad.element, bags.weights, i))


@kernel
def spread_peaks(
    x: Any, ids: Any, bags: Any, peaks: Any, grad: Any, base: Any, both: bool, out: Any, numbered: bool, start: int,
    stop: int,
) -> None:  # fmt: skip
    """Write the gradient of a maximum: column by column to the first position that holds it, 0 to the others.

    With ``both`` the row of ``base`` is added everywhere. With ``numbered`` rows of ``out`` are positions, else
    places. What is left of a column's gradient stays in a register until its position is found.
    """
    for s in range(start, stop):
        rows = moved(x, s * bags.skew)
        for j in range(0, grad.D, 16):
            count = min(16, grad.D - j)
            left, peak, nothing = read(grad, s, j, count), read(peaks, s, j, count), every(grad.element, 0.0)
            under = read(base, s, j, count) if both else nothing
            for i in range(load_id(OFFSET, bags.begins, s), load_id(OFFSET, bags.ends, s)):
                value = read_position(rows, ids, bags, i, j, count)
                place = i if numbered else load_id(ids.index, ids.address, i)
                write(out, place, j, count, under + pick_equal(value, peak, left, nothing))
                left = pick_equal(value, peak, nothing, left)


@kernel
def dot_rows(x: Any, ids: Any, bags: Any, grad: Any, out: Any, start: int, stop: int) -> None:
    """Write for each position the product of its row with the bag's: sixteen sums side by side, then their tree."""
    for s in range(start, stop):
        rows = moved(x, s * bags.skew)
        for i in range(load_id(OFFSET, bags.begins, s), load_id(OFFSET, bags.ends, s)):
            one = load_id(ids.index, ids.address, i)
            sums = every(grad.element, 0.0)
            for j in range(0, grad.D, 16):
                count = min(16, grad.D - j)
                sums = sums + read(rows, one, j, count) * read(grad, s, j, count)
            write(out, i, 0, 1, every(grad.element, total(sums)))
