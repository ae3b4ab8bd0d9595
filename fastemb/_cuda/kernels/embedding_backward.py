"""The gradients of normalised rows: of the rows before the norm, of its weight and of its bias.

With y the normalised row and g the gradient times the weight that of the row before is ``(g - mean(g) - y * mean(g *
y)) / size``; `make_norm_rows` makes it, and notes where the parts of each row lie and its moments. The gradients of
weight and bias are sums over all rows, of ``grad * y`` and of ``grad``: `make_norm_sums` adds those of each piece of
``cut`` kept rows, in their order, and `make_add_pieces` adds the pieces in theirs, in float64.
"""

from typing import Any

import numpy as np

from .embedding import Parts, make_factor, make_load, make_row, make_save, make_summed, size_of
from .norms import LAYER, make_moments, make_moments_long, make_room, make_row_sum, normal
from .slots import make_kept, make_number_of, start
from .words import (
    add, block_x, block_y, device, dot, less, make_columns, make_constant, make_keep, make_number, make_numbers,
    make_shared, make_shared_columns, make_shared_numbers, make_store, meet, minus, thread_x, thread_y, threads_x,
    threads_y, times, times_each, total,
)  # fmt: skip

#: What is noted of a row: addresses in its table, positions and segments; scale, offset and three moments.
ADDRESSES, NUMBERS = 3, 5


def make_note(acc: str) -> Any:
    """Return ``note(addresses, numbers, i, row, p, s, factor, offset, m)``: what `make_norm_sums` is told of row i."""
    (_, put), (_, put_number) = make_numbers("int64"), make_numbers(acc)

    @device
    def note(
        addresses: int, numbers: int, i: int, row: int, p: int, s: int, factor: Any, offset: Any, m: Any
    ) -> None:  # fmt: skip
        put(addresses, ADDRESSES * i, row)
        put(addresses, ADDRESSES * i + 1, p)
        put(addresses, ADDRESSES * i + 2, s)
        put_number(numbers, NUMBERS * i, factor)
        put_number(numbers, NUMBERS * i + 1, offset)
        put_number(numbers, NUMBERS * i + 2, m[0])
        put_number(numbers, NUMBERS * i + 3, m[1])
        put_number(numbers, NUMBERS * i + 4, m[2])

    return note


def make_means(norm: str, acc: str, threads: int) -> Any:
    """Return ``means(g, gy, per, room)``: the means over a row of the threads' sums of g and of g * y."""
    row_sum, number = make_row_sum(acc, threads), make_number(acc)

    @device
    def both(g: Any, gy: Any, per: Any, room: int) -> Any:
        return row_sum(g, room, 3) * per, row_sum(gy, room, 4) * per

    @device
    def second(g: Any, gy: Any, per: Any, room: int) -> Any:
        return number(0), row_sum(gy, room, 4) * per

    return both if norm == LAYER else second


@device
def before(g: Any, y: Any, means: Any, size: Any) -> Any:
    """Return the gradient of a row before its norm."""
    return times(less(minus(g, means[0]), times(y, means[1])), size)


def make_norm_rows(parts: Parts) -> Any:
    """Gradients of rows that a group of threads holds in registers. Block: (threads of a row, rows)."""
    kept_at, number_of, factor = make_kept(parts.masked), make_number_of(parts.ids), make_factor(parts.tag)
    p_row, s_row = make_row(parts.positions, parts.wide), make_row(parts.segments, parts.wide)
    K, threads, kind, acc = parts.K, parts.threads, parts.number, parts.acc
    summed, save, keep, note = make_summed(parts), make_save(acc, parts), make_keep(K), make_note(acc)
    load, load_weight = make_load(parts.other, parts), make_load(parts.weight, parts)
    moments, means = make_moments(parts.norm, acc, K, threads), make_means(parts.norm, acc, threads)
    room = make_room(threads)

    def norm_rows(
        table: int, stride: int, ids: int, V: int, scales: int, offsets: int, scale: kind,  # type: ignore[valid-type]
        p_table: int, p_stride: int, p_ids: int, p_period: int, p_rows: int, p_mark: int,
        s_table: int, s_stride: int, s_ids: int, s_period: int, s_rows: int, s_mark: int,
        mask: int, N: int, W: int, status: int, mark: int,
        weight: int, per: kind, eps: kind,  # type: ignore[valid-type]
        grad: int, grad_stride: int, out: int, out_stride: int, addresses: int, numbers: int,
    ) -> None:  # fmt: skip
        # As in `embed` all threads go the whole way.
        i, t = min(block_x() * threads_y() + thread_y(), N - 1), thread_x()
        last, kept = t + (K - 1) * threads < W, kept_at(mask, i)
        one = number_of(ids, i, V, kept, status, mark)
        p = p_row(p_table, p_stride, p_ids, p_period, p_rows, p_mark, i, kept, status)
        s = s_row(s_table, s_stride, s_ids, s_period, s_rows, s_mark, i, kept, status)
        row, f, o = start(table, one, stride, status), factor(scales, one, status), factor(offsets, one, status)
        x = summed(row, p, s, f, o, scale, t, last)
        g = times_each(load(start(grad, i if kept else -1, grad_stride, status), t, last), load_weight(weight, t, last))
        shared = room()
        m = moments(x, last, per, eps, shared)
        y = keep(last, normal(x, m))
        save(out + i * out_stride, t, last, before(g, y, means(total(g), dot(g, y), per, shared), m[2]))
        if t == 0:
            note(addresses, numbers, i, row, p, s, f, o, m)

    return norm_rows


def make_norm_rows_long(parts: Parts) -> Any:
    """Gradients of rows of any length, a block each, K is 1. Block: (threads of a row, 1)."""
    kept_at, number_of, factor = make_kept(parts.masked), make_number_of(parts.ids), make_factor(parts.tag)
    p_row, s_row = make_row(parts.positions, parts.wide), make_row(parts.segments, parts.wide)
    threads, kind, acc, number = parts.threads, parts.number, parts.acc, make_number(parts.acc)
    summed, save, note = make_summed(parts), make_save(acc, parts), make_note(acc)
    load, load_weight = make_load(parts.other, parts), make_load(parts.weight, parts)
    moments, means = make_moments_long(parts.norm, acc, threads, summed), make_means(parts.norm, acc, threads)
    room = make_room(threads)

    def norm_rows_long(
        table: int, stride: int, ids: int, V: int, scales: int, offsets: int, scale: kind,  # type: ignore[valid-type]
        p_table: int, p_stride: int, p_ids: int, p_period: int, p_rows: int, p_mark: int,
        s_table: int, s_stride: int, s_ids: int, s_period: int, s_rows: int, s_mark: int,
        mask: int, N: int, W: int, status: int, mark: int,
        weight: int, per: kind, eps: kind,  # type: ignore[valid-type]
        grad: int, grad_stride: int, out: int, out_stride: int, addresses: int, numbers: int,
    ) -> None:  # fmt: skip
        i, t = block_x(), thread_x()
        kept = kept_at(mask, i)
        one = number_of(ids, i, V, kept, status, mark)
        p = p_row(p_table, p_stride, p_ids, p_period, p_rows, p_mark, i, kept, status)
        s = s_row(s_table, s_stride, s_ids, s_period, s_rows, s_mark, i, kept, status)
        row, f, o = start(table, one, stride, status), factor(scales, one, status), factor(offsets, one, status)
        shared, given = room(), start(grad, i if kept else -1, grad_stride, status)
        m = moments(row, p, s, f, o, scale, W, per, eps, shared)
        a, b, u = number(0), number(0), t
        while u < W:
            g = times_each(load(given, u, True), load_weight(weight, u, True))
            a, b = a + total(g), b + dot(g, normal(summed(row, p, s, f, o, scale, u, True), m))
            u += threads
        both, u = means(a, b, per, shared), t
        while u < W:
            g = times_each(load(given, u, True), load_weight(weight, u, True))
            y = normal(summed(row, p, s, f, o, scale, u, True), m)
            save(out + i * out_stride, u, True, before(g, y, both, m[2]))
            u += threads
        if t == 0:
            note(addresses, numbers, i, row, p, s, f, o, m)

    return norm_rows_long


def make_entries(masked: bool) -> Any:
    """Return ``entries(ranks, mask, N)``, the number of rows kept, and ``slot(listed, k)``, which the k-th is."""
    (get, _), (get_mask, _) = make_numbers("int64"), make_numbers("bool")

    @device
    def entries(ranks: int, mask: int, N: int) -> int:
        return get(ranks, N - 1) + (1 if get_mask(mask, N - 1) != 0 else 0)

    @device
    def all_entries(ranks: int, mask: int, N: int) -> int:
        return N

    @device
    def slot(listed: int, k: int) -> int:
        return get(listed, k)

    @device
    def same(listed: int, k: int) -> int:
        return k

    return (entries, slot) if masked else (all_entries, same)


def make_staged(acc: str) -> Any:
    """Return ``stage`` and ``staged``: what was noted of the rows of a piece, where the threads of a block share it.

    ``stage(places, values, j, addresses, numbers, i, given)`` of row i, whose gradient lies at ``given``, as the j-th;
    ``staged(places, values, j)``: its row, p, s, factor, offset, moments and ``given``.
    """
    (get, _), (get_number, _) = make_numbers("int64"), make_numbers(acc)
    (read, put), (read_number, put_number) = make_shared_numbers("int64"), make_shared_numbers(acc)

    @device
    def stage(places: int, values: int, j: int, addresses: int, numbers: int, i: int, given: int) -> None:
        for k in range(ADDRESSES):
            put(places, (ADDRESSES + 1) * j + k, get(addresses, ADDRESSES * i + k))
        put(places, (ADDRESSES + 1) * j + ADDRESSES, given)
        for k in range(NUMBERS):
            put_number(values, NUMBERS * j + k, get_number(numbers, NUMBERS * i + k))

    @device
    def staged(places: int, values: int, j: int) -> Any:
        at, k = (ADDRESSES + 1) * j, NUMBERS * j
        m = read_number(values, k + 2), read_number(values, k + 3), read_number(values, k + 4)
        row, p, s, given = read(places, at), read(places, at + 1), read(places, at + 2), read(places, at + 3)
        return row, p, s, read_number(values, k), read_number(values, k + 1), m, given

    return stage, staged


def make_norm_sums(parts: Parts, cut: int, rows: int) -> Any:
    """What each piece adds to the gradients of weight and bias. K is 1. Block: (32 stretches, rows).

    Threads of a block read so many rows at once and put ``grad * y`` and ``grad`` where two of each column's threads
    add them, one the former and one the latter, in the order of rows: while the next rows are read.
    """
    (entries, slot), (stage, staged) = make_entries(parts.masked), make_staged(parts.acc)
    acc, columns, kind = parts.acc, parts.columns, parts.number
    summed, load, save = make_summed(parts), make_load(parts.other, parts), make_save(acc, parts)
    nothing, (load_shared, store_shared) = make_constant(acc, columns, -0.0), make_shared_columns(acc, columns)
    places_of, values_of = make_shared(cut * (ADDRESSES + 1) * 8), make_shared(cut * NUMBERS * size_of(acc, 1))
    size = size_of(acc, columns)
    half, room = rows * 32 * size, make_shared(4 * rows * 32 * size)

    def norm_sums(
        addresses: int, numbers: int, scale: kind, grad: int, stride: int,  # type: ignore[valid-type]
        ranks: int, listed: int, mask: int, N: int, W: int, pieces: int, piece_bytes: int,
    ) -> None:  # fmt: skip
        t, y, first, places, values, other = thread_x(), thread_y(), block_x() * cut, places_of(), values_of(), 0
        count, shared, place = min(entries(ranks, mask, N) - first, cut), room(), block_y() * 32 + t
        for k in range(y * 32 + t, count, rows * 32):
            i = slot(listed, first + k)
            stage(places, values, k, addresses, numbers, i, grad + i * stride)
        meet()
        u, sums = min(place, W - 1), nothing()
        for j in range(0, count, rows):
            # A row past the end is the last one again, and not added.
            a = staged(places, values, min(j + y, count - 1))
            x, g, here = summed(a[0], a[1], a[2], a[3], a[4], scale, u, True), load(a[6], u, True), shared + other
            store_shared(here + (y * 32 + t) * size, times_each(g, normal(x, a[5])))
            store_shared(here + half + (y * 32 + t) * size, g)
            meet()  # once: the next rows go to the other half of the room
            if y < 2:
                for k in range(min(rows, count - j)):
                    sums = add(sums, load_shared(here + y * half + (k * 32 + t) * size))
            other = 2 * half - other
        if y < 2:
            save(pieces + block_x() * piece_bytes + y * (piece_bytes >> 1), u, place < W, sums)

    return norm_sums


def make_add_pieces(acc: str) -> Any:
    """The sum of P pieces, in float64 and in order, rounded once; four loads in flight. One column a thread."""
    get, put = make_numbers(acc)
    double = make_number("float64")

    def add_pieces(pieces: int, P: int, D: int, weight: int, bias: int) -> None:
        j, k = block_x() * threads_x() + thread_x(), 0
        if j < 2 * D:
            x = double(0)
            while k + 4 <= P:
                at = 2 * D * k + j
                a, b, c, d = get(pieces, at), get(pieces, at + 2 * D), get(pieces, at + 4 * D), get(pieces, at + 6 * D)
                x = x + double(a) + double(b) + double(c) + double(d)
                k += 4
            while k < P:
                x = x + double(get(pieces, 2 * D * k + j))
                k += 1
            if j < D:
                put(weight, j, x)
            else:
                put(bias, j - D, x)

    return add_pieces


def make_scale(acc: str, width: int) -> Any:
    """Numbers times a scale, in place; ``width`` bytes a thread, W of them."""
    (load, _, _, _), (store, _) = make_columns(acc, width), make_store(acc, width)
    kind: Any = np.float64 if acc == "float64" else float

    def multiply(at: int, W: int, scale: kind) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < W:
            store(at + i * width, times(load(at + i * width), scale))

    return multiply
