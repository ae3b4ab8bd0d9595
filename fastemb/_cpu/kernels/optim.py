"""Kernels of the optim family: rows of a table and of its state changed in place, by gradients at hand or summed here.

Which rule it is, is told by which state there is (`fastemb._updates.Update` has the law): where ``first``, ``second``
or ``per_row`` is None, Numba leaves out what would read it. Every row is one id's, so it has one writer.
"""

from math import sqrt
from typing import Any

import numpy as np

from .gradient import row_later, sum_piece, sum_pieces
from .intrinsics import SCRATCH, as_acc, load_acc, load_id, scratch
from .jit import TUNING, inlined, kernel, part
from .layout import BY_ONE, Rows, Rule, Segments
from .rounding import by_chance, root
from .rows import read, write
from .vectors import every, fetch_16, store_head, total

_WORD = np.int64(0)  # the tag of offsets


@inlined
def ask(table: Any, row: int, j: int) -> None:
    """Ask for 16 columns of a later row of a table or of a state, if there is one."""
    if table is not None:
        fetch_16(table.dtype_tag, table.address + row * table.stride, j)


@inlined
def store_rounded(table: Any, one: int, j: int, count: int, x: Any, key: Any) -> None:
    """Store columns of row ``one``, rounded to the nearest, or by chance where there is a key for it."""
    if key is None:
        write(table, one, j, count, x)
    else:
        write(table, one, j, count, by_chance(table.dtype_tag, x, key, one, j))


@inlined
def along_velocity(g: Any, first: Any, one: int, j: int, count: int, r: Any) -> Any:
    """Let gradients flow into velocities; return what the table is to go along."""
    velocity = read(first, one, j, count) * r.keep + g
    write(first, one, j, count, velocity)
    if r.nesterov:
        velocity = velocity * r.keep + g
    return velocity


@inlined
def along_sums(g: Any, second: Any, one: int, j: int, count: int, r: Any) -> Any:
    """Add squares to their sums; return what the table is to go along."""
    sums = read(second, one, j, count) + g * g
    write(second, one, j, count, sums)
    return g / (root(sums) + r.eps)


@inlined
def along_means(g: Any, first: Any, second: Any, one: int, j: int, count: int, r: Any) -> Any:
    """Move both means; return what the table is to go along."""
    mean, square = read(first, one, j, count), read(second, one, j, count)
    mean = mean + (g - mean) * r.keep
    square = square + (g * g - square) * r.mix
    write(first, one, j, count, mean)
    write(second, one, j, count, square)
    return mean / (root(square) + r.eps)


@inlined
def along(g: Any, first: Any, second: Any, by: Any, one: int, j: int, count: int, r: Any) -> Any:
    """Change the state of 16 columns; return what the table is to go along."""
    if first is None:
        if second is None:
            if by is None:
                return g
            return g / by
        return along_sums(g, second, one, j, count, r)
    if second is None:
        return along_velocity(g, first, one, j, count, r)
    return along_means(g, first, second, one, j, count, r)


@inlined
def decayed(table: Any, g: Any, one: int, j: int, count: int, r: Any) -> Any:
    """Return gradients with the decay of weights, which are 16 columns of row ``one``."""
    if r.decay != 0:
        g = g + read(table, one, j, count) * r.decay
    return g


@inlined
def divisor_of_row(table: Any, one: int, grad: Any, at: int, per_row: Any, r: Any) -> Any:
    """Add the mean of a whole row's squares to the row's number; return what the row is divided by.

    The squares of columns that are 16 apart are added in ascending order, then the sixteen sums, halves to halves.
    """
    if per_row is None:
        return None
    tag = table.dtype_tag
    squares = every(tag, 0)
    for j in range(0, table.D, 16):
        g = decayed(table, read(grad, at, j, min(16, table.D - j)), one, j, min(16, table.D - j), r)
        squares = squares + g * g
    mean = load_acc(tag, per_row, one) + total(squares) / as_acc(tag, table.D)
    store_head(as_acc(tag, 0), per_row, one, 1, every(tag, mean))
    return as_acc(tag, sqrt(mean)) + r.eps


@inlined
def change(
    table: Any, one: int, grad: Any, at: int, rule: Any, by: Any, later: Any, start: int, j: int, count: int
) -> None:  # fmt: skip
    """Change ``count`` columns of row ``one`` and of its state."""
    ask(table, later[0], j)
    ask(rule.first, later[0], j)
    ask(rule.second, later[0], j)
    fetch_16(grad.dtype_tag, later[1], j)
    g = decayed(table, read(grad, at, j - start, count), one, j, count, rule)
    x = along(g, rule.first, rule.second, by, one, j, count, rule)
    w = read(table, one, j, count)
    if rule.shrink != 1:
        w = w * rule.shrink
    store_rounded(table, one, j, count, w + x * rule.rate, rule.key)


@inlined
def change_row(
    table: Any, one: int, grad: Any, at: int, rule: Any, later: Any, start: int, stop: int
) -> None:  # fmt: skip
    """Change the columns [start, stop) of row ``one`` by those of row ``at`` of ``grad``, which begin at ``start``.

    ``later`` are the row of the table and the address of the gradients to ask for meanwhile.
    """
    by = divisor_of_row(table, one, grad, at, rule.per_row, rule)
    for j in range(start, stop - 15, 16):
        change(table, one, grad, at, rule, by, later, start, j, 16)
    rest = (stop - start) % 16
    if rest:
        change(table, one, grad, at, rule, by, later, start, stop - rest, rest)


@inlined
def in_acc(tag: Any, rule: Any) -> Any:
    """Return a rule whose numbers are of the accumulators' type."""
    rate, keep, mix = as_acc(tag, rule.rate), as_acc(tag, rule.keep), as_acc(tag, rule.mix)
    eps, decay, shrink = as_acc(tag, rule.eps), as_acc(tag, rule.decay), as_acc(tag, rule.shrink)
    numbers = rate, keep, mix, eps, decay, shrink, rule.nesterov
    return Rule(rule.first, rule.second, rule.per_row, *numbers, rule.key)


@part
def rows_ahead(table: Any) -> int:
    """Return how many rows lie between the row that is changed and the one that is asked for."""
    most: int = TUNING.grad_ahead * 8 // max(1, table.D * table.bits)
    return max(1, min(TUNING.rows_ahead, most))


@kernel
def change_rows(table: Any, grad: Any, ids: Any, rule: Any, start: int, stop: int) -> None:
    """Change the rows that the ids [start, stop) name, each by the row of ``grad`` that has its number."""
    rule_here, ahead = in_acc(table.dtype_tag, rule), rows_ahead(table)
    for u in range(start, stop):
        one, next_u = load_id(ids.id_tag, ids.address, u), min(u + ahead, ids.N - 1)
        later = load_id(ids.id_tag, ids.address, next_u), grad.address + next_u * grad.stride
        change_row(table, one, grad, u, rule_here, later, 0, table.D)


@kernel
def change_rows_by_runs(table: Any, grad: Any, runs: Any, rule: Any, start: int, stop: int) -> None:
    """Change the rows of the runs [start, stop), each by the sum of its run, which goes to no memory but a scratch.

    ``runs`` are the permutation, where its pieces begin, where runs do, and the id of each; sums are those of
    `gradient.put_runs`. With a number for each row, a row has at most `SCRATCH` columns.
    """
    perm, piece_indptr, run_indptr, ids = runs
    tag, rule_here, ahead = table.dtype_tag, in_acc(table.dtype_tag, rule), rows_ahead(table)
    sums, alone = scratch(tag), Segments(0, 0, 0, None, BY_ONE)
    summed = Rows(as_acc(tag, 0), sums, 0, 0, SCRATCH, 0, 0)
    for u in range(start, stop):
        begin, end = load_id(_WORD, run_indptr, u), load_id(_WORD, run_indptr, u + 1)
        i, last = load_id(_WORD, piece_indptr, begin), load_id(_WORD, piece_indptr, end)
        one = load_id(ids.id_tag, ids.address, u)
        later = load_id(ids.id_tag, ids.address, min(u + ahead, ids.N - 1)), row_later(grad, perm, i, ahead)
        if last - i == 1:
            at = load_id(perm.id_tag, perm.address, i)
            change_row(table, one, grad, at, rule_here, later, 0, table.D)
            continue
        for j in range(0, table.D, SCRATCH):
            stop_j = min(j + SCRATCH, table.D)
            if end - begin == 1:
                sum_piece(grad, perm, alone, sums, i, last, 0, j, stop_j)
            else:
                sum_pieces(grad, perm, piece_indptr, begin, end, sums, j, stop_j)
            change_row(table, one, summed, 0, rule_here, later, j, stop_j)
