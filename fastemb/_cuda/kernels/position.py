"""Kernels of ``rope``: cosines and sines of positions, then pairs of columns turned by them.

Angles are float64, and so are their cosines and sines, to about one unit in the last place, whatever the angle. They
are made here and not by the compiler's library, whose way with large angles needs memory of its own for each thread.
"""

from typing import Any

import numpy as np

from .dtypes import SIZES
from .words import (
    acc_of, add, block_x, block_y, blocks_y, device, evens, fuse, less, make_columns, make_constants, make_number,
    make_numbers, make_piece, make_store, odds, pairs, product, report, thread_x, thread_y, threads_x, threads_y,
    times_each,
)  # fmt: skip

COUNT = "count"  # positions that are not in memory: 0, 1, 2 …
_BITS = 1400


def _pi() -> int:
    """Return π times 2**_BITS: Machin's formula."""

    def arctan_of_inverse(x: int) -> int:
        term, total, n = (1 << _BITS + 16) // x, 0, 1
        while term:
            total += term // n if n % 4 == 1 else -(term // n)
            term, n = term // (x * x), n + 2
        return total

    return (16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)) >> 16


def _parts_of(number: int) -> tuple[float, float, float]:
    """Return three float64 whose sum is a number times 2**-_BITS, to 159 bits."""
    found: list[float] = []
    for _ in range(3):
        found.append(number / (1 << _BITS))
        top, bottom = found[-1].as_integer_ratio()
        number -= (top << _BITS) // bottom
    return found[0], found[1], found[2]


_TWO_OVER_PI = (2 << 2 * _BITS) // _pi()
_P1, _P2, _P3 = (-part for part in _parts_of(_pi() >> 1))  # of -π/2
_SHARE = _TWO_OVER_PI / (1 << _BITS)
#: Digits of 2/π to the base 2**24, with zeros before the point for the digits of an angle that meet none.
_ZEROS = 4
digit = make_constants((0.0,) * _ZEROS + tuple(float(_TWO_OVER_PI >> _BITS - 24 * t & 0xFFFFFF) for t in range(1, 56)))
_UP, _DOWN, _ROUND = 2.0**24, 2.0**-24, 1.5 * 2.0**52
_NEAR = 2.0**31  # below it three parts of π/2 are enough


@device
def nearest(x: float) -> float:
    """Return the nearest whole number of one below 2**51."""
    return (x + _ROUND) - _ROUND


@device
def far(a: float) -> tuple[float, float]:
    """Return the quarter turns in a large angle, modulo 4, and what is left over as a share of one (Payne, Hanek).

    All products and sums of digits are exact; digits lie between -2**23 and 2**23, so none is lost to cancellation.
    """
    z, j = a, 0
    while abs(z) >= _UP:
        z, j = z * _DOWN, j + 1
    x0 = nearest(z)
    z = (z - x0) * _UP
    x1 = nearest(z)
    z = (z - x1) * _UP
    x2 = nearest(z)
    x3 = (z - x2) * _UP
    carry, rest, q = 0.0, 0.0, 0.0
    for p in range(7, -1, -1):
        t = p + j + _ZEROS - 1
        q = x0 * digit(t) + x1 * digit(t - 1) + x2 * digit(t - 2) + x3 * digit(t - 3) + carry
        if p:
            carry = nearest(q * _DOWN)
            rest = (rest + (q - carry * _UP)) * _DOWN
    return q - 4.0 * nearest(q * 0.25), rest


@device
def cos_sin(a: float) -> tuple[float, float]:
    """Return the cosine and the sine of an angle; NaN of what is not finite."""
    if not abs(a) < np.inf:
        return a - a, a - a
    if abs(a) < _NEAR:
        quarters = nearest(a * _SHARE)
        r = fuse(quarters, _P3, fuse(quarters, _P2, fuse(quarters, _P1, a)))
    else:
        quarters, rest = far(a)
        r = rest * -_P1
    z = r * r
    s = 2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)
    s = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * s)
    sin = r + r * z * (-1.66666666666666324348e-01 + z * s)
    c = -2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)
    c = -1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 + z * c)
    c = 4.16666666666666019037e-02 + z * c
    half = 1.0 - 0.5 * z
    cos = half + (((1.0 - half) - 0.5 * z) + z * z * c)
    turn = int(quarters) & 3
    if turn & 1:
        cos, sin = -sin, cos
    if turn & 2:
        cos, sin = -cos, -sin
    return cos, sin


def make_angles(positions: str, frequencies: str, acc: str) -> Any:
    """Cosines, then sines, of each position: (P, 2, H) numbers. Block: (threads along H, positions).

    A frequency that is not finite is reported.
    """
    get, _ = make_numbers("int64" if positions == COUNT else positions)
    get_frequency, _ = make_numbers(frequencies)
    _, put = make_numbers(acc)
    number = make_number("float64")
    counted = positions == COUNT

    def angles(
        positions: int, inv_freq: int, table: int, P: int, H: int, cos_by: np.float64, sin_by: np.float64, status: int,
        mark: int,
    ) -> None:  # fmt: skip
        p, i = block_x() * threads_y() + thread_y(), thread_x()
        if p < P:
            while i < H:
                speed = number(get_frequency(inv_freq, i))
                if not abs(speed) < np.inf:
                    report(status, mark + i)
                place = number(p) if counted else number(get(positions, p))
                cos, sin = cos_sin(product(place, speed))
                put(table, 2 * p * H + i, product(cos, cos_by))
                put(table, (2 * p + 1) * H + i, product(sin, sin_by))
                i += threads_x()

    return angles


def make_load(acc: str, count: int) -> Any:
    """Return ``load(a)`` of ``count`` numbers that follow one another, 16 bytes at a time where they are so many."""
    size = count * SIZES[acc] // 8
    width = min(16, size)
    load_piece, _ = make_piece(acc, width, size // width)

    @device
    def load(a: int) -> Any:
        return load_piece(a, width, True)

    return load


def make_rope(tag: str, to: str, width: int, interleaved: bool) -> Any:
    """Rows over three axes: x along the last, y over the others. Block: (threads along half a row, rows).

    ``s0`` … are strides of x, ``o0`` … of the result, ``t0`` … of the table, all in bytes; W words are half a row (all
    of it, if a word holds whole pairs of interleaved columns).
    """
    load, _, _, n = make_columns(tag, width)
    size, to_size, acc = SIZES[tag] // 8, SIZES[to] // 8, acc_of(tag)
    whole = interleaved and n > 1
    store, store_if = make_store(to, min(16, n * to_size))
    each = n // 2 if whole else n
    load_angles, by = make_load(acc, each), each * SIZES[acc] // 8
    step = 2 * n if interleaved and not whole else n

    @device
    def turn_row(x: int, out: int, cos: int, sin: int, apart: int, W: int) -> None:
        c = thread_x()
        while c < W:
            a, b = load(x + c * step * size), load(x + (c * step + apart) * size)
            k, s = load_angles(cos + c * by), load_angles(sin + c * by)
            store(out + c * step * to_size, less(times_each(a, k), times_each(b, s)))
            store(out + (c * step + apart) * to_size, add(times_each(b, k), times_each(a, s)))
            c += threads_x()

    @device
    def turned(both: Any, k: Any, s: Any) -> Any:
        a, b = evens(both), odds(both)
        return pairs(less(times_each(a, k), times_each(b, s)), add(times_each(b, k), times_each(a, s)))

    @device
    def turn_pairs(x: int, out: int, cos: int, sin: int, apart: int, W: int) -> None:
        c = thread_x()
        while c < W:
            both, k, s = load(x + c * width), load_angles(cos + c * by), load_angles(sin + c * by)
            store(out + c * n * to_size, turned(both, k, s))
            c += threads_x()

    @device
    def turn_two(x: int, out: int, cos: int, sin: int, apart: int, W: int) -> None:
        """Two words at a time: one word of whole pairs alone is too little on its way."""
        c = thread_x()
        while c < W:
            c1 = min(c + threads_x(), W - 1)
            both, more = load(x + c * width), load(x + c1 * width)
            k, s = load_angles(cos + c * by), load_angles(sin + c * by)
            k1, s1 = load_angles(cos + c1 * by), load_angles(sin + c1 * by)
            store(out + c * n * to_size, turned(both, k, s))
            store_if(out + c1 * n * to_size, turned(more, k1, s1), c + threads_x() < W)
            c += 2 * threads_x()

    turn = (turn_pairs if n > 4 else turn_two) if whole else turn_row
    half = SIZES[acc] // 8

    def rope(
        x: int, s0: int, s1: int, s2: int, out: int, o0: int, o1: int, o2: int, table: int, t0: int, t1: int, t2: int,
        lines: int, n1: int, n2: int, H: int, W: int,
    ) -> None:  # fmt: skip
        r, line = block_x() * threads_y() + thread_y(), block_y()
        if r < n2:
            while line < lines:
                # Of 32 bits: a quotient of 64 is a call.
                k0, k1 = np.int64(np.uint32(line) // np.uint32(n1)), np.int64(np.uint32(line) % np.uint32(n1))
                cos = table + k0 * t0 + k1 * t1 + r * t2
                source, goal = x + k0 * s0 + k1 * s1 + r * s2, out + k0 * o0 + k1 * o1 + r * o2
                turn(source, goal, cos, cos + H * half, 1 if interleaved else H, W)
                line += blocks_y()

    return rope
