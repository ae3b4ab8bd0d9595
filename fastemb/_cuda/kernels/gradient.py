"""Sums of runs: the rows of equal ids, in the order of their positions. W: words of ``width`` bytes in a row.

The sums are those of `join`: a run is a bag, and the order of a sort has its entries. ``runs`` is the address of the
number of runs, which the host need not know. What bags have not: most runs are of one row, so a thread has several.
"""

from typing import Any

import numpy as np

from . import join
from .words import (
    acc_of,
    add,
    block_x,
    block_y,
    device,
    doubled,
    make_columns,
    make_number,
    make_numbers,
    make_piece,
    make_store,
    over,
    singled,
    take,
    thread_x,
    thread_y,
    threads_x,
    threads_y,
    times,
)  # fmt: skip


def make_sum(tag: str, width: int, order: str, weighted: bool) -> Any:
    """Return ``sum_of(rows, stride, order, weights, i, end, j, status)``: word j of the sum of entries [i, end).

    Weights, in the order of the sort, multiply the rows. Beside the status lie zeros of a row's size.
    """
    weights = join.GIVEN if weighted else join.NO
    form = join.Form(
        tag,
        width,
        order + join.KNOWN,
        "offsets",
        join.CUT,
        join.SUM,
        weights,
        join.NO,
        "all",
        acc_of(tag),
        width,
        width,
    )
    part = join.make_part(form)

    @device
    def sum_of(rows: int, stride: int, order: int, weights: int, i: int, end: int, j: int, status: int) -> Any:
        x, _ = part(rows + j * width, stride, 0, 0, order, 0, 0, 0, weights, i, i, end, status, 0)
        return x

    return sum_of


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


def sum_size(tag: str, width: int) -> int:
    """Return the bytes of the sums of one word's columns."""
    return int(make_columns(tag, width)[3]) * (8 if tag == "float64" else 4)


# Long runs -------------------------------------------------------------------------------------------------------
#
# Their pieces have the slots of `join.make_parts`. `sum_pieces` fills these, `join_pieces` adds them up in order and
# leaves the sum in the slot of the first, where `put_sums` and `add_sums` find it.


def make_sum_pieces(tag: str, width: int, order: str, weighted: bool, cut: int) -> Any:
    """Pieces of long runs, each summed. Block: (words of a row, numbers of pieces, from 1 on)."""
    sum_of, (run_of, piece_of, slot_of) = make_sum(tag, width, order, weighted), join.make_parts("offsets", cut)
    get, _ = make_numbers("int64")
    size = sum_size(tag, width)
    store, _ = make_store(acc_of(tag), min(16, size))

    def sum_pieces(
        rows: int, stride: int, order: int, weights: int, starts: int, runs: int, slots: int, pieces: int, W: int,
        status: int,
    ) -> None:  # fmt: skip
        piece, U = block_x() * threads_y() + thread_y(), get(runs, 0)
        j = block_y() * threads_x() + thread_x()
        if piece < pieces and U > 0 and j < W:
            u = run_of(starts, 0, U, U + piece)
            k, begin, end = piece_of(starts, 0, U, U + piece, u), get(starts, u), get(starts, u + 1)
            p = 0 if k == 1 else k  # the threads of the second piece sum the first one, too
            while k > 0 and p <= k and begin + k * cut < end:
                i = begin + p * cut
                x = sum_of(rows, stride, order, weights, i, min(i + cut, end), j, status)
                store(slots + (slot_of(starts, 0, u, p) * W + j) * size, x)
                p += 1

    return sum_pieces


def make_join_pieces(acc: str, width: int, cut: int) -> Any:
    """Long runs, summed from the sums of their pieces: by the threads of the second one. W: words of a slot."""
    load, load4, _, _ = make_columns(acc, width)
    store, _ = make_store(acc, width)
    get, _ = make_numbers("int64")
    run_of, piece_of, slot_of = join.make_parts("offsets", cut)

    def join_pieces(starts: int, runs: int, slots: int, pieces: int, W: int) -> None:
        piece, U, row = block_x() * threads_y() + thread_y(), get(runs, 0), W * width
        if piece < pieces and U > 0:
            u = run_of(starts, 0, U, U + piece)
            n = get(starts, u + 1) - get(starts, u)
            if piece_of(starts, 0, U, U + piece, u) == 1 and n > cut:
                first, last = slots + slot_of(starts, 0, u, 0) * row, (n - 1) // cut
                others, j = slots + slot_of(starts, 0, u, 1) * row, thread_x() * width
                while j < row:
                    x, k = doubled(load(first + j)), 1
                    while k <= last:  # slots of pieces are every other one
                        at, step = others + (k - 1) * 2 * row + j, 2 * row
                        w = load4(
                            at, at + min(1, last - k) * step, at + min(2, last - k) * step, at + min(3, last - k) * step
                        )
                        x = add(x, doubled(w[0]))
                        x = take(k + 1 <= last, add(x, doubled(w[1])), x)
                        x = take(k + 2 <= last, add(x, doubled(w[2])), x)
                        x = take(k + 3 <= last, add(x, doubled(w[3])), x)
                        k += 4
                    store(first + j, x)
                    j += threads_x() * width

    return join_pieces


# All runs --------------------------------------------------------------------------------------------------------
#
# A thread has several runs, far apart, as in many a vocabulary those of low ids are long. Their first rows are read at
# once, which is all there is to do for most: runs of one row. The longer ones follow, four rows at once.


def make_run_sum(tag: str, width: int, order: str, weighted: bool, cut: int) -> Any:
    """Return a function: word j of the sum of the run [begin, end) of entries."""
    sum_of, slot_of = make_sum(tag, width, order, weighted), join.make_parts("offsets", cut)[2]
    size = sum_size(tag, width)
    part = min(16, size)
    load_slot, _ = make_piece(acc_of(tag), part, size // part)

    @device
    def run_sum(
        rows: int, stride: int, order: int, weights: int, slots: int, starts: int, u: int, begin: int, end: int, j: int,
        W: int, status: int,
    ) -> Any:  # fmt: skip
        if end - begin > cut:
            return load_slot(slots + (slot_of(starts, 0, u, 0) * W + j) * size, part, True)
        return sum_of(rows, stride, order, weights, begin, end, j, status)

    return run_sum


def make_put_sums(tag: str, width: int, order: str, weighted: bool, by_count: bool, cut: int) -> Any:
    """U runs, summed or their means, as rows of a new array. Block: (threads along the row, runs / 4)."""
    _, load4, _, _ = make_columns(tag, width)
    acc, size = acc_of(tag), sum_size(tag, width)
    store, store_if = make_store(acc, min(16, size))
    run_sum, weigh = make_run_sum(tag, width, order, weighted, cut), make_weigh(tag, weighted)
    (get, _), (get_order, _), number = make_numbers("int64"), make_numbers(order), make_number(acc)

    def put_sums(
        rows: int, stride: int, order: int, weights: int, starts: int, slots: int, out: int, U: int, W: int,
        status: int,
    ) -> None:  # fmt: skip
        u, apart, row = block_x() * threads_y() + thread_y(), (U + 3) // 4, W * size
        if u < apart:
            # A run past the end is the last one again, and written again: no branch between the loads.
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
                    x = run_sum(rows, stride, order, weights, slots, starts, u, begin, end, j, W, status)
                    store(out + u * row + j * size, over(x, number(end - begin)) if by_count else x)
                    j += threads_x()
                u += apart

    return put_sums


def make_plus(tag: str, target: str) -> Any:
    """Return ``plus(before, x, alpha)``: what was there plus alpha times a sum, each step rounded by itself."""
    kind = acc_of(target)
    number, convert = make_number(kind), doubled if kind == "float64" else singled

    @device
    def plus(before: Any, x: Any, alpha: float) -> Any:
        return add(before, times(convert(x), number(alpha)))

    return plus


def make_add_sums(tag: str, width: int, order: str, key: str, target: str, goal_width: int, cut: int) -> Any:
    """``goal[unique[u]] += alpha * sum`` for all runs. Block: (threads along the row, runs / 2).

    The words of the goal's rows are ``step`` bytes apart.
    """
    (load, _, _, _), (load_there, _, _, _) = make_columns(tag, width), make_columns(target, goal_width)
    store, store_if = make_store(target, goal_width)
    run_sum, plus = make_run_sum(tag, width, order, False, cut), make_plus(tag, target)
    (get, _), (get_order, _), (get_key, _) = make_numbers("int64"), make_numbers(order), make_numbers(key)

    def add_sums(
        rows: int, stride: int, order: int, starts: int, runs: int, unique: int, slots: int, goal: int,
        goal_stride: int, step: int, alpha: np.float64, W: int, status: int,
    ) -> None:  # fmt: skip
        u, U = block_x() * threads_y() + thread_y(), get(runs, 0)
        apart = (U + 1) // 2
        if u < apart:
            v = min(u + apart, U - 1)
            b0, b1 = get(starts, u), get(starts, v)
            a0, a1 = rows + get_order(order, b0) * stride, rows + get_order(order, b1) * stride
            o0, o1 = goal + get_key(unique, u) * goal_stride, goal + get_key(unique, v) * goal_stride
            one0, one1 = get(starts, u + 1) == b0 + 1, u + apart < U and get(starts, v + 1) == b1 + 1
            j = thread_x()
            while j < W:
                c, o = j * width, j * step
                x, y, s, t = load(a0 + c), load(a1 + c), load_there(o0 + o), load_there(o1 + o)
                store_if(o0 + o, plus(s, x, alpha), one0)
                store_if(o1 + o, plus(t, y, alpha), one1)
                j += threads_x()
            while u < U:
                begin, end = get(starts, u), get(starts, u + 1)
                j, there = thread_x() if end - begin > 1 else W, goal + get_key(unique, u) * goal_stride
                while j < W:
                    before = load_there(there + j * step)
                    x = run_sum(rows, stride, order, 0, slots, starts, u, begin, end, j, W, status)
                    store(there + j * step, plus(before, x, alpha))
                    j += threads_x()
                u += apart

    return add_sums
