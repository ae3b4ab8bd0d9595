"""Rows joined to one row: what bags, pools and gradients have in common.

Each column has one sum, in ascending order of positions, so the bits do not depend on how columns are grouped
or threads share the bags. ``table``, ``ids``, ``bags`` and ``out`` are those of ``layout.py``.
"""

from math import sqrt
from typing import Any

import numpy as np

from .intrinsics import as_lane, load_id, load_lane, store_id
from .jit import kernel, machine_has, part
from .layout import Rows
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
    scale_of,
    store,
    store_head,
)

OFFSET = np.int64(0)  # begins and ends are int64: the tag that says so
_BYTE = np.int8(0)
# Rows between the row that is being added and the one that is being fetched. The time is flat from 8 to 24.
_AHEAD = 12
# Whether there are registers for the sums of 128 columns: then a row is read in longer pieces.
WIDE = machine_has("avx512f")


@part
def moved(table: Any, by: int) -> Rows:
    """Return the rows that begin ``by`` bytes later."""
    return Rows(table.element, table.address + by, table.stride, table.bits, table.D, table.scales, table.shifts)


@part
def read(table: Any, one: int, j: int, count: int) -> Any:
    """Load ``count`` columns of row ``one``, from column ``j``."""
    scale, shift = scale_of(table.element, table.scales, one), scale_of(table.element, table.shifts, one)
    row = table.address + one * table.stride
    if count == 16:
        return load(table.element, row, j, scale, shift)
    return load_head(table.element, row, j, count, scale, shift)


@part
def read_position(table: Any, ids: Any, bags: Any, i: int, j: int, count: int) -> Any:
    """Load columns of the row of position ``i``, times its weight if there are weights."""
    return weighed(read(table, load_id(ids.index, ids.address, i), j, count), table.element, bags.weights, i)


@part
def weighed(x: Any, element: Any, weights: Any, i: int) -> Any:
    """Return ``x`` times the weight of position ``i``. Numba leaves out the branch that cannot be."""
    if weights is None:
        return x
    return x * load_lane(element, weights, i)


@part
def write(out: Any, s: int, j: int, count: int, x: Any) -> None:
    """Store ``count`` columns of row ``s``, from column ``j``."""
    row = out.address + s * out.stride
    if count == 16:
        store(out.element, row, j, x)
    else:
        store_head(out.element, row, j, count, x)


@part
def add(a: Any, b: Any) -> Any:
    """Return ``a + b``."""
    return a + b


def _joiner(join: Any, start: float) -> Any:
    """Make the part that joins the rows of one bag by ``join``, beginning with ``start``."""

    def make_block(load_block: Any, every_block: Any, fetch_block: Any) -> Any:
        @part
        def join_block(
            table: Any, ids: Any, bags: Any, out: Any, s: int, begin: int, end: int, by: Any, j: int
        ) -> None:
            """Join a block of columns, with every sum in a register until the last row."""
            sums = every_block(table.element, start)
            for i in range(begin, end):
                later = load_id(ids.index, ids.address, min(i + _AHEAD, ids.N - 1))
                fetch_block(table.element, table.address + later * table.stride, j)
                fetch_scales(table.element, table.scales, table.shifts, later)
                one = load_id(ids.index, ids.address, i)
                scale, shift = scale_of(table.element, table.scales, one), scale_of(table.element, table.shifts, one)
                x = load_block(table.element, table.address + one * table.stride, j, scale, shift)
                sums = join(sums, weighed(x, table.element, bags.weights, i))
            store(out.element, out.address + s * out.stride, j, sums / by)

        return join_block

    join_64 = make_block(load_64, every_64, fetch_64)
    join_wide = make_block(load_128, every_128, fetch_128) if WIDE else join_64

    @part
    def join_some(
        table: Any, ids: Any, bags: Any, out: Any, s: int, begin: int, end: int, by: Any, j: int, count: int
    ) -> None:
        """Join at most 16 columns."""
        sums = every(table.element, start)
        for i in range(begin, end):
            later = load_id(ids.index, ids.address, min(i + _AHEAD, ids.N - 1))
            fetch_16(table.element, table.address + later * table.stride, j)
            sums = join(sums, read_position(table, ids, bags, i, j, count))
        write(out, s, j, count, sums / by)

    @part
    def join_row(table: Any, ids: Any, bags: Any, out: Any, s: int, begin: int, end: int, by: Any) -> None:
        """Block of columns by block."""
        D, j = table.D, 0
        while j + 128 <= D:
            join_wide(table, ids, bags, out, s, begin, end, by, j)
            j += 128 if WIDE else 64
        while j < D and D >= 64 and D * table.bits % 8 == 0:
            # The last block may go back over columns that are done: they get the same bits again.
            join_64(table, ids, bags, out, s, begin, end, by, min(j, D - 64))
            j += 64
        while j < D:
            join_some(table, ids, bags, out, s, begin, end, by, j, min(16, D - j))
            j += 16

    return join_row


# -0.0 + x is x for every x, -0.0 too: as if the sum were begun as a copy of its first row.
_add_rows = _joiner(add, -0.0)
_max_rows = _joiner(larger, -np.inf)


@part
def zero_row(table: Any, out: Any, s: int) -> None:
    """Write zeros."""
    nothing = every(table.element, 0.0)
    for j in range(0, out.D, 16):
        write(out, s, j, min(16, out.D - j), nothing)


@part
def amount(element: Any, weights: Any, begin: int, end: int) -> float:
    """Return the number of positions, or the sum of their weights, found in float64."""
    if weights is None:
        return float(end - begin)
    n = 0.0
    for i in range(begin, end):
        n += load_lane(element, weights, i)
    return n


@part
def divisor(element: Any, bags: Any, begin: int, end: int) -> Any:
    """Return what the sum of a bag is divided by, in the type in which elements are added."""
    if bags.power == 0:
        return as_lane(element, 1)
    n = amount(element, bags.weights, begin, end)
    return as_lane(element, n if bags.power == 2 else sqrt(n))


@part
def first_bad_of(ids: Any, bags: Any, start: int, stop: int) -> int:
    """Return the first position of the bags [start, stop) whose id is no row of the table, or -1."""
    if start >= stop:
        return -1
    first, last = load_id(OFFSET, bags.begins, start), load_id(OFFSET, bags.ends, stop - 1)
    return first_bad_among(ids.index, ids.address, first, last, ids.V)


@kernel
def sum_rows(table: Any, ids: Any, bags: Any, out: Any, check: bool, start: int, stop: int) -> int:
    """Check their ids if asked to, then write the sums of the bags [start, stop); return the first bad position or -1.

    A bag without positions, or whose weights have no sum to divide by, is zeros.
    """
    bad = first_bad_of(ids, bags, start, stop) if check else -1
    if bad >= 0:
        return bad
    for s in range(start, stop):
        begin, end = load_id(OFFSET, bags.begins, s), load_id(OFFSET, bags.ends, s)
        by = divisor(table.element, bags, begin, end)
        if begin == end or by == 0:
            zero_row(table, out, s)
        else:
            _add_rows(moved(table, s * bags.skew), ids, bags, out, s, begin, end, by)
    return -1


@kernel
def max_rows(table: Any, ids: Any, bags: Any, out: Any, check: bool, start: int, stop: int) -> int:
    """Write the largest of each column for the bags [start, stop), as `sum_rows` writes sums."""
    bad = first_bad_of(ids, bags, start, stop) if check else -1
    if bad >= 0:
        return bad
    for s in range(start, stop):
        begin, end = load_id(OFFSET, bags.begins, s), load_id(OFFSET, bags.ends, s)
        if begin == end:
            zero_row(table, out, s)
        else:
            by = as_lane(table.element, 1)
            _max_rows(moved(table, s * bags.skew), ids, bags, out, s, begin, end, by)
    return -1


@kernel
def list_kept(kept: int, begins: int, ends: int, S: int, places: int, first: int, last: int) -> int:
    """List the places of all bags whose byte in ``kept`` is not 0, and where bags lie on the list; return its length.

    Every place is written, and one that is not kept is written over by the next: a branch here would be missed in
    a mixed mask. So ``places`` has room for one more.
    """
    n = 0
    for s in range(S):
        store_id(OFFSET, first, s, n)
        for place in range(load_id(OFFSET, begins, s), load_id(OFFSET, ends, s)):
            store_id(OFFSET, places, n, place)
            n += load_id(_BYTE, kept, place) != 0  # a bool that is a view of other bytes may hold any
        store_id(OFFSET, last, s, n)
    return n
