"""Rows at length one, and the gradient before they were. The sums of pools and bags are those of ``join``."""

from typing import Any, NamedTuple

from .dtypes import SIZES
from .words import (
    acc_of, block_x, device, divide, doubled, inverse_root, make_columns, make_constant, make_load_all, make_number,
    make_numbers, make_piece, make_store, most, over, singled, squares, take, thread_x, thread_y, threads_y, times,
    warp_most, warp_sum,
)  # fmt: skip

#: Outside of these a sum of squares may have lost squares to the ends of float64's range.
_LEAST, _MOST = 1e-290, 1e290
_INFINITY = float("inf")


class Lengths(NamedTuple):
    """What is known when the kernel is made that scales rows to length one."""

    tag: str
    width: int
    out_tag: str
    out_width: int
    K: int  # words of a row that a thread holds; 0: rows are longer, and are read twice

    def __str__(self) -> str:
        return "_".join(map(str, self))


@device
def is_hard(total: float, peak: float) -> Any:
    """Whether a row has to be divided by its largest magnitude first. One of NaN, infinity or zeros need not."""
    return (total == total) & ((total < _LEAST) | (total > _MOST)) & (peak > 0) & (peak < _INFINITY)


@device
def scale_for(total: float) -> Any:
    """Return what numbers are multiplied by; zeros keep their zeros."""
    return 1.0 if total == 0 else inverse_root(total)


def make_scale(form: Any) -> Any:
    """Return ``scaled(x, by, scale)``: columns in float64, multiplied, rounded to the type computed in."""
    double = acc_of(form.tag) == "float64"

    @device
    def scaled(x: Any, scale: float) -> Any:
        y = times(doubled(x), scale)
        if double:
            return y
        return singled(y)

    return scaled


def make_normalize(form: Any) -> Any:
    """Make the kernel of a warp a row, K words a thread: read once and written once. Block: (32, rows)."""
    K, width, double = form.K, form.width, form.tag == "float64"
    count = K * 8 * width // SIZES[form.tag]
    load_piece, _ = make_piece(form.tag, width, K)
    _, store_piece = make_piece(form.out_tag, form.out_width, K)
    scaled = make_scale(form)
    out_step = 32 * (count // K) * SIZES[form.out_tag] // 8

    def normalize(x: int, stride: int, out: int, out_stride: int, N: int, W: int) -> None:
        # All threads go the whole way: sums over a warp need them. A row past the end is the last one, not written.
        r, lane = block_x() * threads_y() + thread_y(), thread_x()
        here = min(r, N - 1)
        last = lane + (K - 1) * 32 < W
        row = load_piece(x + here * stride + lane * width, 32 * width, last)
        total = warp_sum(squares(doubled(row)))
        if double:
            peak = warp_most(most(row))
            row = take(is_hard(total, peak), over(row, peak), row)
            total = warp_sum(squares(row))
        if r < N:
            at = out + here * out_stride + lane * (out_step // 32)
            store_piece(at, out_step, last, scaled(row, scale_for(total)))

    return normalize


def make_normalize_long(form: Any) -> Any:
    """Make the kernel for rows of any length: a warp a row, which is read twice. Block: (32, rows)."""
    width, double = form.width, form.tag == "float64"
    (load, _, _, count), load_all = make_columns(form.tag, width), make_load_all(form.tag, width)
    store, _ = make_store(form.out_tag, form.out_width)
    zeros, scaled, wide = make_constant(acc_of(form.tag), count, 0.0), make_scale(form), make_number("float64")
    number, each = make_number(acc_of(form.tag)), count * SIZES[form.out_tag] // 8

    @device
    def passed(row: int, lane: int, W: int, by: Any, peaks: bool) -> Any:
        """Return the sum of the squares of a row divided by a number, or its largest magnitude."""
        b, found = 0, wide(0)
        while b < W:  # as often in every thread
            c = b + lane
            c1, c2, c3 = min(c + 32, W - 1), min(c + 64, W - 1), min(c + 96, W - 1)
            v = load_all(row + min(c, W - 1) * width, row + c1 * width, row + c2 * width, row + c3 * width)
            v0, v1 = take(c < W, v[0], zeros()), take(c + 32 < W, v[1], zeros())
            v2, v3 = take(c + 64 < W, v[2], zeros()), take(c + 96 < W, v[3], zeros())
            if peaks:
                found = max(max(found, wide(most(v0))), max(max(wide(most(v1)), wide(most(v2))), wide(most(v3))))
            else:
                if double:
                    v0, v1, v2, v3 = over(v0, by), over(v1, by), over(v2, by), over(v3, by)
                found = found + squares(doubled(v0)) + squares(doubled(v1))
                found = found + squares(doubled(v2)) + squares(doubled(v3))
            b += 128
        return warp_most(found) if peaks else warp_sum(found)

    def normalize_long(x: int, stride: int, out: int, out_stride: int, N: int, W: int) -> None:
        r, lane = block_x() * threads_y() + thread_y(), thread_x()
        row, by = x + min(r, N - 1) * stride, number(1)
        total = passed(row, lane, W, by, False)
        if double:
            peak = passed(row, lane, W, by, True)
            by = number(peak) if is_hard(total, peak) else by
            total = passed(row, lane, W, by, False)
        scale, c = scale_for(total), lane
        while c < W and r < N:
            v = load(row + c * width)
            if double:
                v = over(v, by)
            store(out + r * out_stride + c * each, scaled(v, scale))
            c += 32

    return normalize_long


def make_before_length(acc: str) -> Any:
    """Make the kernel of the gradient before rows were scaled: (g - u (u·g)) / |y|, none of zeros. A warp a row."""
    get, put = make_numbers(acc)
    number, wide = make_number(acc), make_number("float64")

    def before_length(grad: int, unit: int, y: int, out: int, N: int, D: int) -> None:
        r, lane = block_x() * threads_y() + thread_y(), thread_x()
        at = min(r, N - 1) * D
        length, along, b = wide(0), wide(0), 0
        while b < D:
            i = at + min(b + lane, D - 1)
            u = wide(get(unit, i)) if b + lane < D else wide(0)
            length = length + u * wide(get(y, i))
            along = along + u * wide(get(grad, i))
            b += 32
        length, along, b = warp_sum(length), warp_sum(along), lane
        while b < D and r < N:
            less_along = wide(get(grad, at + b)) - wide(get(unit, at + b)) * along
            put(out, at + b, number(0.0 if length == 0 else divide(less_along, length)))
            b += 32

    return before_length
