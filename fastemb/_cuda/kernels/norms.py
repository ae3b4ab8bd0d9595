"""The statistics of a row that several threads hold: what is subtracted from it, and what it is multiplied by."""

from typing import Any

from .words import (
    device, inverse_root, make_keep, make_lanes_sum, make_number, make_shared, make_shared_numbers, meet, minus,
    squares, thread_x, times, total, warp_sum,
)  # fmt: skip

NO_NORM, LAYER, RMS = "", "layer", "rms"
_WARPS = 32  # of a block, at most
_SUMS = 5  # of a row, at most: each has its own place, so threads meet once for each


def make_room(threads: int) -> Any:
    """Return ``room()``: the address of what the warps of a row share; 0 where a row has one."""
    if threads > 32:
        return make_shared(_SUMS * _WARPS * 8)

    @device
    def no_room() -> int:
        return 0

    return no_room


def make_row_sum(acc: str, threads: int) -> Any:
    """Return ``row_sum(w, room, number)``: the sum over the threads of a row, which all come there, in one order."""
    get, put = make_shared_numbers(acc)
    lanes_sum, warps = make_lanes_sum(min(threads, 32)), threads // 32

    @device
    def sum_of_lanes(w: Any, room: int, number: int) -> Any:
        return lanes_sum(w)

    @device
    def sum_of_warps(w: Any, room: int, number: int) -> Any:
        one, t, first = warp_sum(w), thread_x(), number * _WARPS
        if t & 31 == 0:
            put(room, first + (t >> 5), one)
        meet()
        found = get(room, first)
        for k in range(1, warps):
            found = found + get(room, first + k)
        return found

    return sum_of_warps if threads > 32 else sum_of_lanes


def make_moments(norm: str, acc: str, K: int, threads: int) -> Any:
    """Return ``moments(x, last, per, eps, room)``: what to subtract from x, twice, and what to multiply it by.

    Two passes over registers, and a correction for the rounding of the mean (Chan, Golub, LeVeque 1983): so a large
    common offset costs no accuracy. ``per``: 1 / D.
    """
    row_sum, keep, number = make_row_sum(acc, threads), make_keep(K), make_number(acc)

    @device
    def nothing(x: Any, last: Any, per: Any, eps: Any, room: int) -> Any:
        return number(0), number(0), number(0)

    @device
    def size(x: Any, last: Any, per: Any, eps: Any, room: int) -> Any:
        return number(0), number(0), inverse_root(row_sum(squares(keep(last, x)), room, 0) * per + eps)

    @device
    def mean_and_size(x: Any, last: Any, per: Any, eps: Any, room: int) -> Any:
        mean = row_sum(total(keep(last, x)), room, 0) * per
        x = keep(last, minus(x, mean))
        rest = row_sum(total(x), room, 1) * per
        variance = row_sum(squares(x), room, 2) * per - rest * rest
        if variance < number(0):
            variance = number(0)
        return mean, rest, inverse_root(variance + eps)

    return {NO_NORM: nothing, LAYER: mean_and_size, RMS: size}[norm]


def make_moments_long(norm: str, acc: str, threads: int, summed: Any) -> Any:
    """Return the same for a row of any length, ``moments(row, p, s, factor, offset, scale, W, per, eps, room)``.

    Of such a row the numbers are read and added again for each pass: they come from a cache then.
    """
    row_sum, number = make_row_sum(acc, threads), make_number(acc)

    @device
    def nothing(
        row: int, p: int, s: int, factor: Any, offset: Any, scale: Any, W: int, per: Any, eps: Any, room: int
    ) -> Any:  # fmt: skip
        return number(0), number(0), number(0)

    @device
    def size(
        row: int, p: int, s: int, factor: Any, offset: Any, scale: Any, W: int, per: Any, eps: Any, room: int
    ) -> Any:  # fmt: skip
        a, u = number(0), thread_x()
        while u < W:
            a = a + squares(summed(row, p, s, factor, offset, scale, u, True))
            u += threads
        return number(0), number(0), inverse_root(row_sum(a, room, 0) * per + eps)

    @device
    def mean_and_size(
        row: int, p: int, s: int, factor: Any, offset: Any, scale: Any, W: int, per: Any, eps: Any, room: int
    ) -> Any:  # fmt: skip
        a, b, c, u = number(0), number(0), number(0), thread_x()
        while u < W:
            a = a + total(summed(row, p, s, factor, offset, scale, u, True))
            u += threads
        mean, u = row_sum(a, room, 0) * per, thread_x()
        while u < W:
            x = minus(summed(row, p, s, factor, offset, scale, u, True), mean)
            b, c = b + total(x), c + squares(x)
            u += threads
        rest = row_sum(b, room, 1) * per
        variance = row_sum(c, room, 2) * per - rest * rest
        if variance < number(0):
            variance = number(0)
        return mean, rest, inverse_root(variance + eps)

    return {NO_NORM: nothing, LAYER: mean_and_size, RMS: size}[norm]


@device
def normal(x: Any, m: Any) -> Any:
    """Return x normalised by its moments."""
    return times(minus(minus(x, m[0]), m[1]), m[2])
