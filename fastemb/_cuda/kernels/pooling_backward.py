"""Gradients of pools and bags on their way back to the slots."""

from typing import Any, NamedTuple

from .dtypes import SIZES
from .join import GIVEN, RANKS, make_bounds, make_parts, make_row, make_value, place_of
from .words import (
    acc_of, add, block_x, block_y, device, divide, dot, less, make_columns, make_constant, make_load_all, make_number,
    make_numbers, make_piece, make_store, pick_equal, take, thread_x, thread_y, threads_x, threads_y, times, warp_sum,
)  # fmt: skip


def make_shares(acc: str, divided: bool) -> Any:
    """Make the kernel that copies D columns of each row, ``divided`` by a number for each row, and C - D of zeros.

    Where there is 0 to divide by the row is zeros. One number a thread.
    """
    get, put = make_numbers(acc)
    number = make_number(acc)

    def shares(grad: int, stride: int, by: int, out: int, S: int, D: int, C: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < S * C:
            s, c = i // C, i % C
            x = number(0)
            if c < D:
                x = get(grad + s * stride, c)
                if divided:
                    n = get(by, s)
                    x = divide(x, n) if n != 0 else number(0)
            put(out, i, x)

    return shares


class Spreading(NamedTuple):
    """What is known when a kernel is made that writes a row for each slot of a bag."""

    acc: str
    grad_width: int
    out_tag: str
    out_width: int
    columns: int  # of a thread
    bounds: str
    cut: int
    kept: bool  # whether there are slots that are not kept, which get zeros
    weights: str

    def __str__(self) -> str:
        return "_".join(map(str, self))


def make_grad(acc: str, width: int, count: int) -> Any:
    """Return ``load(a)`` of so many columns, ``width`` bytes at a time."""
    load_piece, _ = make_piece(acc, width, count * SIZES[acc] // 8 // width)

    @device
    def load(a: int) -> Any:
        return load_piece(a, width, True)

    return load


def make_spread(form: Any) -> Any:
    """Make the kernel of the gradient of sums: a bag's row, times the slot's weight, to every slot.

    Block: (words, parts of bags).
    """
    acc, count, cut, weights, has_kept = form.acc, form.columns, form.cut, form.weights, form.kept
    load, (store, store_if) = make_grad(acc, form.grad_width, count), make_store(form.out_tag, form.out_width)
    first_of, stop_of = make_bounds(form.bounds)
    bag_of, part_of, _ = make_parts(form.bounds, cut)
    (get_kept, _), (get_weight, _), number = make_numbers("bool"), make_numbers(acc), make_number(acc)
    zeros, each, out_each = make_constant(acc, count, 0.0), count * SIZES[acc] // 8, count * SIZES[form.out_tag] // 8

    @device
    def share(x: Any, kept: int, weights_at: int, i: int, first: int) -> Any:
        y = x
        if weights == GIVEN:
            y = times(x, get_weight(weights_at, i))
        if weights == RANKS:
            y = times(x, number(i - first + 1))
        if has_kept:
            return take(get_kept(kept, i) != 0, y, zeros())
        return y

    def spread(
        grad: int, grad_stride: int, offsets: int, T: int, kept: int, weights_at: int, out: int, out_stride: int,
        S: int, groups: int, W: int,
    ) -> None:  # fmt: skip
        g, c = block_x() * threads_y() + thread_y(), block_y() * threads_x() + thread_x()
        if g >= groups or c >= W:
            return
        s = bag_of(offsets, T, S, g)
        first, stop = first_of(offsets, T, s), stop_of(offsets, 0, T, s)
        i = first + part_of(offsets, T, S, g, s) * cut
        end = min(stop, i + cut) if cut else stop
        x, at = load(grad + s * grad_stride + c * each), out + c * out_each
        while i < end:
            x0, x1 = share(x, kept, weights_at, i, first), share(x, kept, weights_at, min(i + 1, end - 1), first)
            x2 = share(x, kept, weights_at, min(i + 2, end - 1), first)
            x3 = share(x, kept, weights_at, min(i + 3, end - 1), first)
            store(at + i * out_stride, x0)
            store_if(at + (i + 1) * out_stride, x1, i + 1 < end)
            store_if(at + (i + 2) * out_stride, x2, i + 2 < end)
            store_if(at + (i + 3) * out_stride, x3, i + 3 < end)
            i += 4

    return spread


class Maxima(NamedTuple):
    """What is known when the kernel is made that finds the first entry of each maximum."""

    tag: str
    width: int
    ids: str
    bounds: str
    kept: bool
    both: bool  # whether the gradient of a mean is added
    grad_width: int
    out_tag: str
    out_width: int

    def __str__(self) -> str:
        return "_".join(map(str, self))


def make_spread_maxima(form: Any) -> Any:
    """Make the kernel of the gradient of maxima: column by column to the first entry that holds it.

    What is left of a column's gradient stays in a register until its entry is found, so a bag is not cut. Block: (words
    of a row, bags).
    """
    acc, has_kept, both = acc_of(form.tag), form.kept, form.both
    (_, _, _, count), load_all = make_columns(form.tag, form.width), make_load_all(form.tag, form.width)
    load, (store, store_if) = make_grad(acc, form.grad_width, count), make_store(form.out_tag, form.out_width)
    first_of, stop_of = make_bounds(form.bounds)
    _, row_of = make_row(form.ids, "all")
    get_kept, _ = make_numbers("bool")
    (factors, value), zeros = make_value(form), make_constant(acc, count, 0.0)
    each, out_each, width = count * SIZES[acc] // 8, count * SIZES[form.out_tag] // 8, form.width

    @device
    def is_kept(kept: int, i: int, stop: int) -> Any:
        if has_kept:
            return (i < stop) & (get_kept(kept, min(i, stop - 1)) != 0)
        return i < stop

    @device
    def part(so: bool, v: Any, peak: Any, left: Any, under: Any) -> Any:
        return take(so, add(under, pick_equal(v, peak, left, zeros())), zeros())

    @device
    def rest(so: bool, v: Any, peak: Any, left: Any) -> Any:
        return take(so, pick_equal(v, peak, zeros(), left), left)

    def spread_maxima(
        source: int, stride: int, gap: int, scales: int, shifts: int, index: int, V: int, offsets: int, T: int,
        kept: int, maxima: int, grad: int, base: int, grad_stride: int, out: int, out_stride: int, S: int, W: int,
        status: int, mark: int,
    ) -> None:  # fmt: skip
        s, c = block_x() * threads_y() + thread_y(), block_y() * threads_x() + thread_x()
        if s >= S or c >= W:
            return
        here, at = source + s * gap + c * width, out + c * out_each
        i, stop, mine = first_of(offsets, T, s), stop_of(offsets, 0, T, s), s * grad_stride + c * each
        left, peak, under = load(grad + mine), load(maxima + mine), load(base + mine) if both else zeros()
        while i < stop:
            k0, k1 = is_kept(kept, i, stop), is_kept(kept, i + 1, stop)
            k2, k3 = is_kept(kept, i + 2, stop), is_kept(kept, i + 3, stop)
            r0, r1 = row_of(k0, index, V, status, mark, i), row_of(k1, index, V, status, mark, min(i + 1, stop - 1))
            r2 = row_of(k2, index, V, status, mark, min(i + 2, stop - 1))
            r3 = row_of(k3, index, V, status, mark, min(i + 3, stop - 1))
            f0, f1 = factors(r0, scales, shifts, status), factors(r1, scales, shifts, status)
            f2, f3 = factors(r2, scales, shifts, status), factors(r3, scales, shifts, status)
            a0, a1 = place_of(here, r0, stride, status), place_of(here, r1, stride, status)
            v = load_all(a0, a1, place_of(here, r2, stride, status), place_of(here, r3, stride, status))
            v0, v1, v2, v3 = value(v[0], f0), value(v[1], f1), value(v[2], f2), value(v[3], f3)
            store(at + i * out_stride, part(k0, v0, peak, left, under))
            left = rest(k0, v0, peak, left)
            store_if(at + (i + 1) * out_stride, part(k1, v1, peak, left, under), i + 1 < stop)
            left = rest(k1, v1, peak, left)
            store_if(at + (i + 2) * out_stride, part(k2, v2, peak, left, under), i + 2 < stop)
            left = rest(k2, v2, peak, left)
            store_if(at + (i + 3) * out_stride, part(k3, v3, peak, left, under), i + 3 < stop)
            left = rest(k3, v3, peak, left)
            i += 4

    return spread_maxima


class Dots(NamedTuple):
    """What is known when the kernel is made that finds the gradient of weights."""

    tag: str
    width: int
    ids: str
    bounds: str
    kept: bool
    averaged: bool  # of a weighted mean: the rows less the mean, divided as the sum was
    grad_width: int

    def __str__(self) -> str:
        return "_".join(map(str, self))


def make_dots(form: Any) -> Any:
    """Make the kernel of the gradient of weights: a slot's row times the bag's gradient. Block: (32, slots)."""
    acc, has_kept, averaged, width = acc_of(form.tag), form.kept, form.averaged, form.width
    _, _, load_if, count = make_columns(form.tag, width)
    load = make_grad(acc, form.grad_width, count)
    _, row_of = make_row(form.ids, "all")
    (get, put), (get_kept, _), (get_offset, _) = make_numbers(acc), make_numbers("bool"), make_numbers("int64")
    (factors, value), number, each = make_value(form), make_number(acc), count * SIZES[acc] // 8
    by_rows = form.bounds == "rows"

    @device
    def bag_of(offsets: int, T: int, S: int, i: int) -> Any:
        if by_rows:
            return i // T
        low, high = 0, S
        while high - low > 1:
            middle = (low + high) >> 1
            if get_offset(offsets, middle) <= i:
                low = middle
            else:
                high = middle
        return low

    def dots(
        source: int, stride: int, gap: int, scales: int, shifts: int, index: int, V: int, offsets: int, T: int,
        kept: int, y: int, grad: int, grad_stride: int, by: int, out: int, S: int, N: int, W: int, status: int,
        mark: int,
    ) -> None:  # fmt: skip
        i, lane = min(block_x() * threads_y() + thread_y(), N - 1), thread_x()
        s, so = bag_of(offsets, T, S, i), True
        if has_kept:
            so = get_kept(kept, i) != 0
        r = row_of(so, index, V, status, mark, i)
        here, total, b, f = source + s * gap + r * stride, number(0), 0, factors(r, scales, shifts, status)
        while b < W:  # as often in every thread
            c = min(b + lane, W - 1)
            v = value(load_if(here + c * width, r >= 0), f)
            if averaged:
                v = less(v, load(y + s * grad_stride + c * each))
            one = dot(v, load(grad + s * grad_stride + c * each))
            total = total + one if b + lane < W else total
            b += 32
        total = warp_sum(total)
        if averaged:
            n = get(by, s)
            total = divide(total, n) if n != 0 else number(0)
        if lane == 0:
            put(out, i, total if so else number(0))

    return dots
