"""Sums of runs: the rows of equal ids, in the order of their positions. W: words of ``width`` bytes in a row.

A run of more than ``cut`` rows is cut from its own start. Piece k > 0 of a run that begins at entry b has slot
b // cut + k, no other piece has it, and none is beyond N // cut: so pieces find their run by a search, and nobody plans
or counts. First pieces have slots of their own, at b // cut. ``sum_pieces`` fills the slots, ``join_pieces`` adds them in
their order, in float64, and leaves the sum in the slot of the first; then `put_sums` or `add_sums` takes it from there.
"""

from typing import Any

import numpy as np

from .words import (
    acc_of, add, block_x, device, doubled, make_columns, make_number, make_numbers, make_piece, make_store, over,
    singled, take, thread_x, thread_y, threads_x, threads_y, times,
)  # fmt: skip


def make_more(tag: str, width: int, order: str, weighted: bool) -> Any:
    """Return ``more(x, rows, stride, order, weights, i, end, c)``: x and the rows of entries [i, end), four in flight.

    ``weights``, in the order of the sort, multiply them. x is the sum of those before, at least one.
    """
    _, load4, _, _ = make_columns(tag, width)
    get, _ = make_numbers(order)
    weigh = make_weigh(tag, weighted)

    @device
    def more(x: Any, rows: int, stride: int, order: int, weights: int, i: int, end: int, c: int) -> Any:
        last = end - 1
        while i < end:  # a row past the end is the last one again: no branch between the loads
            i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
            a0, a1 = rows + get(order, i) * stride + c, rows + get(order, i1) * stride + c
            a2, a3 = rows + get(order, i2) * stride + c, rows + get(order, i3) * stride + c
            w = load4(a0, a1, a2, a3)
            x = add(x, weigh(w[0], weights, i))
            x = take(i + 1 < end, add(x, weigh(w[1], weights, i1)), x)
            x = take(i + 2 < end, add(x, weigh(w[2], weights, i2)), x)
            x = take(i + 3 < end, add(x, weigh(w[3], weights, i3)), x)
            i += 4
        return x

    return more


def make_weigh(tag: str, weighted: bool) -> Any:
    """Return ``weigh(x, weights, i)``: x times the i-th weight, or x."""
    get, _ = make_numbers(acc_of(tag))

    @device
    def weigh(x: Any, weights: int, i: int) -> Any:
        return times(x, get(weights, i))

    @device
    def leave(x: Any, weights: int, i: int) -> Any:
        return x

    return weigh if weighted else leave


# Long runs -------------------------------------------------------------------------------------------------------


def make_run_of(cut: int) -> Any:
    """Return ``run_of(starts, U, slot)``: the run that may have a piece k > 0 in a slot: no run before it ends later."""
    get, _ = make_numbers("int64")

    @device
    def run_of(starts: int, U: int, slot: int) -> int:
        low, high = 0, U
        while high - low > 1:
            middle = (low + high) >> 1
            if get(starts, middle) < slot * cut:
                low = middle
            else:
                high = middle
        return low

    return run_of


def make_sum_pieces(tag: str, width: int, order: str, weighted: bool, cut: int) -> Any:
    """The sums of the pieces of long runs. Block: (threads along the row, slots); no slot is 0.

    ``firsts`` and ``others``: where the slots of first pieces and of others lie.
    """
    load, _, _, count = make_columns(tag, width)
    more, weigh, run_of = make_more(tag, width, order, weighted), make_weigh(tag, weighted), make_run_of(cut)
    get, _ = make_numbers("int64")
    get_order, _ = make_numbers(order)
    acc = acc_of(tag)
    size = count * (8 if acc == "float64" else 4)
    store, _ = make_store(acc, min(16, size))

    @device
    def piece(rows: int, stride: int, order: int, weights: int, i: int, end: int, j: int, out: int) -> None:
        x = weigh(load(rows + get_order(order, i) * stride + j * width), weights, i)
        store(out + j * size, more(x, rows, stride, order, weights, i + 1, end, j * width))

    def sum_pieces(
        rows: int, stride: int, order: int, weights: int, starts: int, runs: int, firsts: int, others: int, slots: int,
        W: int,
    ) -> None:  # fmt: skip
        slot, U = block_x() * threads_y() + thread_y() + 1, get(runs, 0)
        if slot < slots and U > 0:
            u = run_of(starts, U, slot)
            begin, end = get(starts, u), get(starts, u + 1)
            k = slot - begin // cut
            i = begin + k * cut
            if k > 0 and i < end:
                j = thread_x()
                while j < W:
                    piece(rows, stride, order, weights, i, min(i + cut, end), j, others + slot * W * size)
                    if k == 1:
                        piece(rows, stride, order, weights, begin, i, j, firsts + (slot - 1) * W * size)
                    j += threads_x()

    return sum_pieces


def make_join_pieces(acc: str, width: int, cut: int) -> Any:
    """The sums of long runs, of those of their pieces: by the threads of a run's second piece. W: words of a row there."""
    load, load4, _, _ = make_columns(acc, width)
    store, _ = make_store(acc, width)
    get, _ = make_numbers("int64")
    run_of = make_run_of(cut)

    def join_pieces(starts: int, runs: int, firsts: int, others: int, slots: int, W: int) -> None:
        slot, U = block_x() * threads_y() + thread_y() + 1, get(runs, 0)
        if slot < slots and U > 0:
            u = run_of(starts, U, slot)
            begin, end = get(starts, u), get(starts, u + 1)
            if slot - begin // cut == 1 and end - begin > cut:
                last = slot - 1 + (end - begin - 1) // cut
                j, row = thread_x(), W * width
                while j < W:
                    first, here = firsts + (slot - 1) * row + j * width, others + j * width
                    x, k = doubled(load(first)), slot
                    while k <= last:
                        k1, k2, k3 = min(k + 1, last), min(k + 2, last), min(k + 3, last)
                        w = load4(here + k * row, here + k1 * row, here + k2 * row, here + k3 * row)
                        x = add(x, doubled(w[0]))
                        x = take(k + 1 <= last, add(x, doubled(w[1])), x)
                        x = take(k + 2 <= last, add(x, doubled(w[2])), x)
                        x = take(k + 3 <= last, add(x, doubled(w[3])), x)
                        k += 4
                    store(first, x)
                    j += threads_x()

    return join_pieces


# All runs --------------------------------------------------------------------------------------------------------
#
# A thread has four runs, a quarter of all apart, as those of low ids are long in many a vocabulary. Their first rows are
# read at once, which is all there is to do for most: runs of one row. The longer ones follow, four rows at once.


def make_run_sum(tag: str, width: int, order: str, weighted: bool, cut: int) -> Any:
    """Return a function: the sum of word j of the run [begin, end) of entries."""
    load, _, _, count = make_columns(tag, width)
    more, weigh = make_more(tag, width, order, weighted), make_weigh(tag, weighted)
    get_order, _ = make_numbers(order)
    acc = acc_of(tag)
    size = count * (8 if acc == "float64" else 4)
    part = min(16, size)
    load_slot, _ = make_piece(acc, part, size // part)

    @device
    def run_sum(
        rows: int, stride: int, order: int, weights: int, firsts: int, begin: int, end: int, j: int, W: int
    ) -> Any:  # fmt: skip
        if end - begin > cut:
            return load_slot(firsts + (begin // cut * W + j) * size, part, True)
        x = weigh(load(rows + get_order(order, begin) * stride + j * width), weights, begin)
        return more(x, rows, stride, order, weights, begin + 1, end, j * width)

    return run_sum


def make_put_sums(tag: str, width: int, order: str, weighted: bool, by_count: bool, cut: int) -> Any:
    """The sums of runs, or their means, as rows of a new array. Block: (threads along the row, runs / 4)."""
    _, load4, _, count = make_columns(tag, width)
    acc = acc_of(tag)
    size = count * (8 if acc == "float64" else 4)
    store, store_if = make_store(acc, min(16, size))
    run_sum, weigh = make_run_sum(tag, width, order, weighted, cut), make_weigh(tag, weighted)
    number = make_number(acc)
    get, _ = make_numbers("int64")
    get_order, _ = make_numbers(order)

    def put_sums(
        rows: int, stride: int, order: int, weights: int, starts: int, firsts: int, out: int, U: int, W: int
    ) -> None:  # fmt: skip
        u, apart, row = block_x() * threads_y() + thread_y(), (U + 3) // 4, W * size
        if u < apart:
            u1, u2, u3 = min(u + apart, U - 1), min(u + 2 * apart, U - 1), min(u + 3 * apart, U - 1)
            b0, b1, b2, b3 = get(starts, u), get(starts, u1), get(starts, u2), get(starts, u3)
            a0, a1 = rows + get_order(order, b0) * stride, rows + get_order(order, b1) * stride
            a2, a3 = rows + get_order(order, b2) * stride, rows + get_order(order, b3) * stride
            one0, one1 = get(starts, u + 1) == b0 + 1, get(starts, u1 + 1) == b1 + 1
            one2, one3 = get(starts, u2 + 1) == b2 + 1, get(starts, u3 + 1) == b3 + 1
            j = thread_x()
            while j < W:
                c, o = j * width, out + j * size
                w = load4(a0 + c, a1 + c, a2 + c, a3 + c)
                store_if(o + u * row, weigh(w[0], weights, b0), one0)
                store_if(o + u1 * row, weigh(w[1], weights, b1), one1)
                store_if(o + u2 * row, weigh(w[2], weights, b2), one2)
                store_if(o + u3 * row, weigh(w[3], weights, b3), one3)
                j += threads_x()
            while u < U:
                begin, end = get(starts, u), get(starts, u + 1)
                j = thread_x() if end - begin > 1 else W
                while j < W:
                    x = run_sum(rows, stride, order, weights, firsts, begin, end, j, W)
                    store(out + u * row + j * size, over(x, number(end - begin)) if by_count else x)
                    j += threads_x()
                u += apart

    return put_sums


def make_plus(tag: str, target: str) -> Any:
    """Return ``plus(before, x, alpha)``: what was there plus alpha times a sum, each step rounded by itself."""
    kind = acc_of(target)
    number, wider = make_number(kind), kind == "float64"
    convert = (doubled if wider else singled) if acc_of(tag) != kind else None

    @device
    def plus(before: Any, x: Any, alpha: float) -> Any:
        return add(before, times(x, number(alpha)))

    @device
    def plus_converted(before: Any, x: Any, alpha: float) -> Any:
        return add(before, times(convert(x), number(alpha)))

    return plus if convert is None else plus_converted


def make_add_sums(tag: str, width: int, order: str, key: str, target: str, goal_width: int, cut: int) -> Any:
    """``goal[unique[u]] += alpha * sum`` for all runs. The words of the goal's rows are ``step`` bytes apart."""
    _, load4, _, _ = make_columns(tag, width)
    load_there, load4_there, _, _ = make_columns(target, goal_width)
    store, store_if = make_store(target, goal_width)
    run_sum, plus = make_run_sum(tag, width, order, False, cut), make_plus(tag, target)
    get, _ = make_numbers("int64")
    get_order, _ = make_numbers(order)
    get_key, _ = make_numbers(key)

    @device
    def first(starts: int, u: int, rows: int, order: int, stride: int) -> int:
        return rows + get_order(order, get(starts, u)) * stride

    @device
    def is_one(starts: int, u: int) -> bool:
        return get(starts, u + 1) == get(starts, u) + 1

    def add_sums(
        rows: int, stride: int, order: int, starts: int, runs: int, unique: int, firsts: int, goal: int, goal_stride: int,
        step: int, alpha: np.float64, W: int,
    ) -> None:  # fmt: skip
        u, U = block_x() * threads_y() + thread_y(), get(runs, 0)
        apart = (U + 3) // 4
        if u < apart:
            u1, u2, u3 = u + apart, u + 2 * apart, u + 3 * apart
            one0, one1 = is_one(starts, u), u1 < U and is_one(starts, min(u1, U - 1))
            one2, one3 = u2 < U and is_one(starts, min(u2, U - 1)), u3 < U and is_one(starts, min(u3, U - 1))
            u1, u2, u3 = min(u1, U - 1), min(u2, U - 1), min(u3, U - 1)
            a0, a1 = first(starts, u, rows, order, stride), first(starts, u1, rows, order, stride)
            a2, a3 = first(starts, u2, rows, order, stride), first(starts, u3, rows, order, stride)
            o0, o1 = goal + get_key(unique, u) * goal_stride, goal + get_key(unique, u1) * goal_stride
            o2, o3 = goal + get_key(unique, u2) * goal_stride, goal + get_key(unique, u3) * goal_stride
            j = thread_x()
            while j < W:
                c, o = j * width, j * step
                w = load4(a0 + c, a1 + c, a2 + c, a3 + c)
                t = load4_there(o0 + o, o1 + o, o2 + o, o3 + o)
                store_if(o0 + o, plus(t[0], w[0], alpha), one0)
                store_if(o1 + o, plus(t[1], w[1], alpha), one1)
                store_if(o2 + o, plus(t[2], w[2], alpha), one2)
                store_if(o3 + o, plus(t[3], w[3], alpha), one3)
                j += threads_x()
            while u < U:
                begin, end = get(starts, u), get(starts, u + 1)
                j, there = thread_x() if end - begin > 1 else W, goal + get_key(unique, u) * goal_stride
                while j < W:
                    x = run_sum(rows, stride, order, 0, firsts, begin, end, j, W)
                    store(there + j * step, plus(load_there(there + j * step), x, alpha))
                    j += threads_x()
                u += apart

    return add_sums
