"""Rows of a table and of its state changed in place: by gradients that lie in order, or by the sums of runs.

The law is `fastemb._updates.Update`'s; a kernel is made for each rule, by which state there is. W: words of a row of
gradients, each of as many columns as a word of the table's; the state's rows lie one behind the other, and a word's
columns of it, ``size`` bytes of the type computed in, move by 16 bytes at a time.
"""

from typing import Any

import numpy as np

from .gradient import make_run_sum
from .words import (
    acc_of,
    add,
    block_x,
    block_y,
    device,
    divide,
    doubled,
    less,
    make_columns,
    make_lanes_sum,
    make_number,
    make_numbers,
    make_piece,
    make_store,
    minus,
    over,
    over_each,
    product,
    root,
    roots,
    singled,
    thread_x,
    thread_y,
    threads_x,
    threads_y,
    times,
    times_each,
    total,
)  # fmt: skip

#: Rules, by their state: none, velocities (two forms), sums of squares, both means.
PLAIN, VELOCITY, NESTEROV, SUMS, MEANS = "plain", "velocity", "nesterov", "sums", "means"
LANES = 16  # threads of a row whose squares are added: each has the columns that are so many apart


def make_slope(goal: str, decayed: bool) -> Any:
    """Return ``slope(x, w, decay)``: a gradient in the type computed in, with the decay of weights if asked for."""
    kind = acc_of(goal)
    number, convert = make_number(kind), doubled if kind == "float64" else singled

    @device
    def slope(x: Any, w: Any, decay: float) -> Any:
        return add(convert(x), times(w, number(decay)))

    @device
    def bare(x: Any, w: Any, decay: float) -> Any:
        return convert(x)

    return slope if decayed else bare


def make_moved(goal: str, shrunk: bool) -> Any:
    """Return ``moved(w, x, rate, shrink)``: weights that shrink if asked to, and go along x."""
    number = make_number(acc_of(goal))

    @device
    def moved(w: Any, x: Any, rate: float, shrink: float) -> Any:
        return add(times(w, number(shrink)), times(x, number(rate)))

    @device
    def bare(w: Any, x: Any, rate: float, shrink: float) -> Any:
        return add(w, times(x, number(rate)))

    return moved if shrunk else bare


def make_along(rule: str, acc: str, columns: int) -> Any:
    """Return ``along(g, first, second, keep, mix, eps)``: change columns of the state; return what to go along."""
    number, size = make_number(acc), columns * (8 if acc == "float64" else 4)
    part = min(16, size)
    load, store = make_piece(acc, part, size // part)

    @device
    def plain(g: Any, first: int, second: int, keep: float, mix: float, eps: float) -> Any:
        return g

    @device
    def velocity(g: Any, first: int, second: int, keep: float, mix: float, eps: float) -> Any:
        v = add(times(load(first, part, True), number(keep)), g)
        store(first, part, True, v)
        return v

    @device
    def nesterov(g: Any, first: int, second: int, keep: float, mix: float, eps: float) -> Any:
        v = add(times(load(first, part, True), number(keep)), g)
        store(first, part, True, v)
        return add(times(v, number(keep)), g)

    @device
    def sums(g: Any, first: int, second: int, keep: float, mix: float, eps: float) -> Any:
        s = add(load(second, part, True), times_each(g, g))
        store(second, part, True, s)
        return over_each(g, minus(roots(s), number(-eps)))

    @device
    def means(g: Any, first: int, second: int, keep: float, mix: float, eps: float) -> Any:
        m, s = load(first, part, True), load(second, part, True)
        m = add(m, times(less(g, m), number(keep)))
        s = add(s, times(less(times_each(g, g), s), number(mix)))
        store(first, part, True, m)
        store(second, part, True, s)
        return over_each(m, minus(roots(s), number(-eps)))

    return {PLAIN: plain, VELOCITY: velocity, NESTEROV: nesterov, SUMS: sums, MEANS: means}[rule]


def make_change_all(
    rule: str, tag: str, width: int, goal: str, goal_width: int, decayed: bool, shrunk: bool
) -> Any:  # fmt: skip
    """All V rows of a table, each by the row of gradients with its number. Block: (threads along a row, rows)."""
    (load, _, _, columns), (load_there, _, _, _) = make_columns(tag, width), make_columns(goal, goal_width)
    acc, (store, _) = acc_of(goal), make_store(goal, goal_width)
    slope, moved, along = make_slope(goal, decayed), make_moved(goal, shrunk), make_along(rule, acc_of(goal), columns)
    size = columns * (8 if acc == "float64" else 4)

    def change_all(
        rows: int, stride: int, goal: int, goal_stride: int, step: int, first: int, second: int, V: int, W: int,
        rate: np.float64, keep: np.float64, mix: np.float64, eps: np.float64, decay: np.float64, shrink: np.float64,
    ) -> None:  # fmt: skip
        u, j = block_x() * threads_y() + thread_y(), block_y() * threads_x() + thread_x()
        if u < V and j < W:
            there, at = goal + u * goal_stride + j * step, (u * W + j) * size
            x, w = load(rows + u * stride + j * width), load_there(there)
            x = along(slope(x, w, decay), first + at, second + at, keep, mix, eps)
            store(there, moved(w, x, rate, shrink))

    return change_all


def make_change_runs(
    rule: str, tag: str, width: int, order: str, key: str, goal: str, goal_width: int, decayed: bool, shrunk: bool,
    cut: int,
) -> Any:  # fmt: skip
    """The rows of all runs, each by the sum of its run. Block: (threads along a row, runs)."""
    (_, _, _, columns), (load_there, _, _, _) = make_columns(tag, width), make_columns(goal, goal_width)
    acc, (store, _) = acc_of(goal), make_store(goal, goal_width)
    slope, moved, along = make_slope(goal, decayed), make_moved(goal, shrunk), make_along(rule, acc_of(goal), columns)
    run_sum, size = make_run_sum(tag, width, order, False, cut), columns * (8 if acc == "float64" else 4)
    (get, _), (get_key, _) = make_numbers("int64"), make_numbers(key)

    def change_runs(
        rows: int, stride: int, order: int, starts: int, runs: int, unique: int, slots: int, goal: int,
        goal_stride: int, step: int, first: int, second: int, W: int, status: int, rate: np.float64, keep: np.float64,
        mix: np.float64, eps: np.float64, decay: np.float64, shrink: np.float64,
    ) -> None:  # fmt: skip
        u, j = block_x() * threads_y() + thread_y(), block_y() * threads_x() + thread_x()
        if u < get(runs, 0) and j < W:
            begin, end, one = get(starts, u), get(starts, u + 1), get_key(unique, u)
            there, at = goal + one * goal_stride + j * step, (one * W + j) * size
            w = load_there(there)
            x = run_sum(rows, stride, order, 0, slots, starts, u, begin, end, j, W, status)
            x = along(slope(x, w, decay), first + at, second + at, keep, mix, eps)
            store(there, moved(w, x, rate, shrink))

    return change_runs


# A number for each row -------------------------------------------------------------------------------------------


def make_change_by_rows(
    tag: str, order: str, key: str, goal: str, goal_width: int, decayed: bool, shrunk: bool, cut: int
) -> Any:
    """The rows of all runs, each over the root of a number of its own: the sum of the means of its squares.

    Block: (16 lanes, runs). A lane has single columns, 16 apart, whose squares it adds in order; then the lanes' sums
    are added, halves to halves. So a row is summed twice, and all lanes go the whole way: behind the last run it is
    the last one again, of which nothing is written.
    """
    size = {"float64": 8, "float32": 4}.get(tag, 2)
    (load_there, _, _, _), (_, store_if) = make_columns(goal, goal_width), make_store(goal, goal_width)
    slope, moved = make_slope(goal, decayed), make_moved(goal, shrunk)
    run_sum = make_run_sum(tag, size, order, False, cut)
    acc = acc_of(goal)
    each, number, lanes_sum = 8 if acc == "float64" else 4, make_number(acc), make_lanes_sum(LANES)
    (load_sum, _, _, _), (_, put_sum) = make_columns(acc, each), make_numbers(acc)
    (get, _), (get_key, _) = make_numbers("int64"), make_numbers(key)

    def change_by_rows(
        rows: int, stride: int, order: int, starts: int, runs: int, unique: int, slots: int, goal: int,
        goal_stride: int, step: int, sums: int, D: int, status: int, rate: np.float64, eps: np.float64,
        decay: np.float64, shrink: np.float64,
    ) -> None:  # fmt: skip
        u, U = block_x() * threads_y() + thread_y(), get(runs, 0)
        if block_x() * threads_y() < U:
            mine, u = u < U, min(u, U - 1)
            begin, end, one = get(starts, u), get(starts, u + 1), get_key(unique, u)
            there, lane = goal + one * goal_stride, thread_x()
            found, j = number(0), lane
            while j < D:
                x = run_sum(rows, stride, order, 0, slots, starts, u, begin, end, j, D, status)
                g = total(slope(x, load_there(there + j * step), decay))
                found += product(g, g)
                j += LANES
            # One lane reads the row's number and writes it; the others have it from there.
            before = total(load_sum(sums + one * each)) if lane == 0 else number(0)
            after = lanes_sum(before) + divide(lanes_sum(found), number(D))
            if mine and lane == 0:
                put_sum(sums, one, after)
            by, j = root(after) + number(eps), lane
            while j < D:
                w = load_there(there + j * step)
                x = run_sum(rows, stride, order, 0, slots, starts, u, begin, end, j, D, status)
                x = over(slope(x, w, decay), by)
                store_if(there + j * step, moved(w, x, rate, shrink), mine)
                j += LANES

    return change_by_rows
