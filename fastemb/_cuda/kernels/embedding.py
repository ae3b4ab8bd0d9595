"""Rows by id plus positions and segments, normalised: each row of the result is read once and written once.

A row is ``scale * table[id] + positions[p] + segments[s]``. A *stretch* is ``columns`` numbers of it, at most 16 bytes
of the table; thread t of a row has stretches t, t + threads, … Addresses and counts in, nothing else; W: stretches of a
row. What a call leaves out is left out when its kernel is made.
"""

from typing import Any, NamedTuple

import numpy as np

from .dtypes import SIZES, acc_of
from .norms import NO_NORM, make_moments, make_moments_long, make_room, normal
from .slots import make_kept, make_number_of, make_which, start
from .words import (
    add, block_x, device, fused, make_constant, make_number, make_numbers, make_piece, minus, report, take, thread_x,
    thread_y, threads_y, times, times_each,
)  # fmt: skip


class Parts(NamedTuple):
    """What rows are made of, and how threads share them: all that a kernel is made for."""

    ids: str  # their dtype
    tag: str  # what lies in the table
    positions: str  # where their ids come from, as `slots` says
    segments: str
    addend: str  # what lies in positions and segments
    scaled: bool
    masked: bool
    wide: bool  # more than 2**32 rows
    norm: str
    weight: str  # what lies in weight and bias
    biased: bool
    other: str  # what lies in the result, or in the gradient of it
    columns: int
    K: int  # stretches of a thread
    threads: int  # of a row

    def __str__(self) -> str:
        return "_".join(map(str, self))

    @property
    def acc(self) -> str:
        """The type that is computed in."""
        return acc_of(self.tag)

    @property
    def number(self) -> Any:
        """The type of a kernel's parameters that are no integers."""
        return np.float64 if self.acc == "float64" else float


# Where the parts of a row lie ------------------------------------------------------------------------------------


def make_row(kind: str, wide: bool) -> Any:
    """Return ``row(table, stride, ids, period, rows, mark, i, kept, status)``: where the row to add to row i begins.

    One out of range is reported at its place among the ids given, and read from the zeros.
    """
    which = make_which(kind, wide)

    @device
    def row(
        table: int, stride: int, ids: int, period: int, rows: int, mark: int, i: int, kept: Any, status: int
    ) -> int:  # fmt: skip
        one, at = which(ids, i, period)
        if kept and (one < 0 or one >= rows):
            report(status, mark + at)
            one = -1
        return start(table, one if kept else -1, stride, status)

    @device
    def no_row(
        table: int, stride: int, ids: int, period: int, rows: int, mark: int, i: int, kept: Any, status: int
    ) -> int:  # fmt: skip
        return 0

    return row if kind else no_row


def make_factor(tag: str) -> Any:
    """Return ``factor(numbers, one, status)``: the scale or the offset of a row of codes; 0 of none."""
    get, _ = make_numbers("float32")
    number = make_number(acc_of(tag))

    @device
    def factor(numbers: int, one: int, status: int) -> Any:
        return get(start(numbers, one, 4, status), 0)

    @device
    def no_factor(numbers: int, one: int, status: int) -> Any:
        return number(0)

    return factor if tag.startswith("code") else no_factor


# Columns of a row ------------------------------------------------------------------------------------------------


def size_of(tag: str, columns: int) -> int:
    """Return the bytes of a stretch."""
    return SIZES[tag] * columns // 8


def make_load(tag: str, parts: Any) -> Any:
    """Return ``load(row, u, last)``: the stretches u, u + threads, … of a row, the last of them only if ``last``."""
    columns, K, threads = parts.columns, parts.K, parts.threads
    size = size_of(tag, columns)
    if not size:  # a code of 4 bits alone, of a row that does not end with a byte
        get, _ = make_numbers("uint8")
        number, one = make_number("float32"), make_constant("float32", 1, 1.0)

        @device
        def load_code(row: int, u: int, last: Any) -> Any:
            return times(one(), number((get(row, u >> 1) >> 4 * (u & 1)) & 15))

        return load_code
    piece, _ = make_piece(tag, min(16, size), K, columns)
    step = threads * size

    @device
    def load(row: int, u: int, last: Any) -> Any:
        return piece(row + u * size, step, last)

    return load


def make_save(tag: str, parts: Any) -> Any:
    """Return ``save(row, u, last, x)``, the other way round."""
    size = size_of(tag, parts.columns)
    _, piece = make_piece(tag, min(16, size), parts.K, parts.columns)
    step = parts.threads * size

    @device
    def save(row: int, u: int, last: Any, x: Any) -> None:
        piece(row + u * size, step, last, x)

    return save


def make_scaled(parts: Parts) -> Any:
    """Return ``scaled(x, factor, offset, scale)``: what codes stand for, or numbers, times the scale of a call."""

    @device
    def same(x: Any, factor: Any, offset: Any) -> Any:
        return x

    @device
    def values(x: Any, factor: Any, offset: Any) -> Any:
        return minus(times(x, factor), -offset)

    decode = values if parts.tag.startswith("code") else same

    @device
    def unscaled(x: Any, factor: Any, offset: Any, scale: Any) -> Any:
        return decode(x, factor, offset)

    @device
    def scaled(x: Any, factor: Any, offset: Any, scale: Any) -> Any:
        return times(decode(x, factor, offset), scale)

    return scaled if parts.scaled else unscaled


def make_summed(parts: Parts) -> Any:
    """Return ``summed(row, p, s, factor, offset, scale, u, last)``: columns of scale * row + p + s."""
    load, load_addend, scaled = make_load(parts.tag, parts), make_load(parts.addend, parts), make_scaled(parts)

    @device
    def plus(x: Any, row: int, u: int, last: Any) -> Any:
        return add(x, load_addend(row, u, last))

    @device
    def alone(x: Any, row: int, u: int, last: Any) -> Any:
        return x

    plus_p, plus_s = plus if parts.positions else alone, plus if parts.segments else alone

    @device
    def summed(row: int, p: int, s: int, factor: Any, offset: Any, scale: Any, u: int, last: Any) -> Any:
        x = scaled(load(row, u, last), factor, offset, scale)
        return plus_s(plus_p(x, p, u, last), s, u, last)

    return summed


def make_finished(parts: Parts) -> Any:
    """Return ``finished(x, m, weight, bias, u, last, kept)``: x normalised by its moments; zeros unless kept."""
    load = make_load(parts.weight, parts)
    zeros = make_constant(parts.acc, parts.columns * parts.K, 0.0)

    @device
    def as_it_is(x: Any, m: Any, weight: int, bias: int, u: int, last: Any) -> Any:
        return x

    @device
    def weighted(x: Any, m: Any, weight: int, bias: int, u: int, last: Any) -> Any:
        return times_each(normal(x, m), load(weight, u, last))

    @device
    def biased(x: Any, m: Any, weight: int, bias: int, u: int, last: Any) -> Any:
        return fused(normal(x, m), load(weight, u, last), load(bias, u, last))

    norm = as_it_is if parts.norm == NO_NORM else biased if parts.biased else weighted

    @device
    def finished(x: Any, m: Any, weight: int, bias: int, u: int, last: Any, kept: Any) -> Any:
        return take(kept, norm(x, m, weight, bias, u, last), zeros())

    return finished


# Kernels ---------------------------------------------------------------------------------------------------------


def make_embed(parts: Parts) -> Any:
    """Rows that a group of threads holds in registers. Block: (threads of a row, rows)."""
    kept_at, number_of, factor = make_kept(parts.masked), make_number_of(parts.ids), make_factor(parts.tag)
    p_row, s_row = make_row(parts.positions, parts.wide), make_row(parts.segments, parts.wide)
    K, threads, kind = parts.K, parts.threads, parts.number
    summed, finished, save = make_summed(parts), make_finished(parts), make_save(parts.other, parts)
    moments, room = make_moments(parts.norm, parts.acc, K, threads), make_room(threads)

    def embed(
        table: int, stride: int, ids: int, V: int, scales: int, offsets: int, scale: kind,  # type: ignore[valid-type]
        p_table: int, p_stride: int, p_ids: int, p_period: int, p_rows: int, p_mark: int,
        s_table: int, s_stride: int, s_ids: int, s_period: int, s_rows: int, s_mark: int,
        mask: int, N: int, W: int, status: int, mark: int,
        weight: int, bias: int, per: kind, eps: kind,  # type: ignore[valid-type]
        out: int, out_stride: int,
    ) -> None:  # fmt: skip
        # All threads go the whole way, a row past the end is the last one again: sums need every thread.
        i, t = min(block_x() * threads_y() + thread_y(), N - 1), thread_x()
        last, kept = t + (K - 1) * threads < W, kept_at(mask, i)
        one = number_of(ids, i, V, kept, status, mark)
        p = p_row(p_table, p_stride, p_ids, p_period, p_rows, p_mark, i, kept, status)
        s = s_row(s_table, s_stride, s_ids, s_period, s_rows, s_mark, i, kept, status)
        row, f, o = start(table, one, stride, status), factor(scales, one, status), factor(offsets, one, status)
        x = summed(row, p, s, f, o, scale, t, last)
        m = moments(x, last, per, eps, room())
        save(out + i * out_stride, t, last, finished(x, m, weight, bias, t, last, kept))

    return embed


def make_embed_long(parts: Parts) -> Any:
    """Rows of any length, a block each, a stretch a thread at a time; K is 1. Block: (threads of a row, 1)."""
    kept_at, number_of, factor = make_kept(parts.masked), make_number_of(parts.ids), make_factor(parts.tag)
    p_row, s_row = make_row(parts.positions, parts.wide), make_row(parts.segments, parts.wide)
    threads, kind = parts.threads, parts.number
    summed, finished, save = make_summed(parts), make_finished(parts), make_save(parts.other, parts)
    moments, room = make_moments_long(parts.norm, parts.acc, threads, summed), make_room(threads)

    def embed_long(
        table: int, stride: int, ids: int, V: int, scales: int, offsets: int, scale: kind,  # type: ignore[valid-type]
        p_table: int, p_stride: int, p_ids: int, p_period: int, p_rows: int, p_mark: int,
        s_table: int, s_stride: int, s_ids: int, s_period: int, s_rows: int, s_mark: int,
        mask: int, N: int, W: int, status: int, mark: int,
        weight: int, bias: int, per: kind, eps: kind,  # type: ignore[valid-type]
        out: int, out_stride: int,
    ) -> None:  # fmt: skip
        i, u = block_x(), thread_x()
        kept = kept_at(mask, i)
        one = number_of(ids, i, V, kept, status, mark)
        p = p_row(p_table, p_stride, p_ids, p_period, p_rows, p_mark, i, kept, status)
        s = s_row(s_table, s_stride, s_ids, s_period, s_rows, s_mark, i, kept, status)
        row, f, o = start(table, one, stride, status), factor(scales, one, status), factor(offsets, one, status)
        m = moments(row, p, s, f, o, scale, W, per, eps, room())
        while u < W:
            x = summed(row, p, s, f, o, scale, u, True)
            save(out + i * out_stride, u, True, finished(x, m, weight, bias, u, True, kept))
            u += threads

    return embed_long
