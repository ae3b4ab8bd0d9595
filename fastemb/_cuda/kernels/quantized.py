"""Kernels of quantised tables: numbers to codes, a warp a row; codes to numbers, by ids or all of them."""

from typing import Any

from .lookup import RAISE, ZEROS, make_row
from .words import (
    acc_of, block_x, block_y, device, divide, greater, highest, make_columns, make_number, make_numbers, make_store,
    minus, over, product, report, thread_x, thread_y, threads_x, threads_y, times, warp_most, warp_sum,
)  # fmt: skip

ALL = "all"  # no ids: every row
_LEAST = 2.0**-149  # the least float32 above zero
_INF = float("inf")
_ROUND = 1.5 * 2.0**52


# Numbers to codes ------------------------------------------------------------------------------------------------


def make_scale(acc: str, bits: int) -> Any:
    """Return ``scale_of(low, high, wrong)``: the scale and the offset of a row, float32, and whether it has codes.

    ``wrong`` is 0, or NaN if a number of the row is not finite.
    """
    number, single = make_number(acc), make_number("float32")
    top = float((1 << bits) - 1)

    @device
    def scale_of(low: Any, high: Any, wrong: Any) -> Any:
        step = single(divide(high - low, number(top)))
        if step == 0 and low < high:
            step = single(_LEAST)
        offset = single(single(low) + 0.0)  # -0.0 becomes 0.0
        last = product(step, single(top)) + offset
        return step, offset, wrong == 0 and last - last == 0

    return scale_of


def make_quantize(tag: str, width: int, bits: int) -> Any:
    """Rows of W words of whole bytes of codes, read twice: the second time from a cache. Block: (32, rows)."""
    load, load4, _, n = make_columns(tag, width)
    acc, each = acc_of(tag), n * bits // 8
    store, store_if = make_store(f"code{bits}", each)
    put = make_numbers("float32")[1]
    number, scale_of = make_number(acc), make_scale(acc, bits)

    @device
    def encode(x: Any, offset: Any, by: Any) -> Any:
        return over(minus(x, offset), by)

    def quantize(
        table: int, stride: int, codes: int, code_stride: int, scales: int, offsets: int, V: int, W: int, status: int
    ) -> None:  # fmt: skip
        # All threads go the whole way, as a warp needs every lane: a row past the end is the last one again.
        r, lane = min(block_x() * threads_y() + thread_y(), V - 1), thread_x()
        row, goal, end = table + r * stride, codes + r * code_stride, W - 1
        high = load(row + min(lane, end) * width)
        low, c = times(high, -1.0), lane
        while c < W:  # a word twice changes neither bound
            a1, a2, a3 = min(c + 32, end) * width, min(c + 64, end) * width, min(c + 96, end) * width
            x = load4(row + c * width, row + a1, row + a2, row + a3)
            high = greater(greater(greater(greater(high, x[0]), x[1]), x[2]), x[3])
            low = greater(greater(low, times(x[0], -1.0)), times(x[1], -1.0))
            low = greater(greater(low, times(x[2], -1.0)), times(x[3], -1.0))
            c += 128
        most, least = highest(high), highest(low)
        wrong = warp_sum((most - most) + (least - least))
        step, offset, fits = scale_of(-warp_most(least), warp_most(most), wrong)
        if lane == 0:
            put(scales, r, step)
            put(offsets, r, offset)
            if not fits:
                report(status, r)
        by, shift = number(step if step > 0 else _INF), number(offset)  # all codes of a constant row are 0
        c = lane
        while c < W:
            a1, a2, a3 = min(c + 32, end) * width, min(c + 64, end) * width, min(c + 96, end) * width
            x = load4(row + c * width, row + a1, row + a2, row + a3)
            store(goal + c * each, encode(x[0], shift, by))
            store_if(goal + (c + 32) * each, encode(x[1], shift, by), c + 32 < W)
            store_if(goal + (c + 64) * each, encode(x[2], shift, by), c + 64 < W)
            store_if(goal + (c + 96) * each, encode(x[3], shift, by), c + 96 < W)
            c += 128

    return quantize


def make_quantize_pairs(tag: str) -> Any:
    """Codes of 4 bits of rows whose words hold no whole bytes of them: number by number. Block: (32, rows)."""
    acc = acc_of(tag)
    get, _ = make_numbers(tag)
    put, put_byte = make_numbers("float32")[1], make_numbers("uint8")[1]
    number, wide, scale_of = make_number(acc), make_number("float64"), make_scale(acc, 4)

    @device
    def encode(x: Any, offset: Any, by: Any) -> Any:
        code = (wide(divide(x - offset, by)) + _ROUND) - _ROUND  # the nearest whole number
        return int(min(max(code, 0.0), 15.0))

    def quantize_pairs(
        table: int, stride: int, codes: int, code_stride: int, scales: int, offsets: int, V: int, D: int, status: int
    ) -> None:  # fmt: skip
        r, lane = min(block_x() * threads_y() + thread_y(), V - 1), thread_x()
        row, goal = table + r * stride, codes + r * code_stride
        high = get(row, min(lane, D - 1))
        low, wrong, c = high, high - high, lane
        while c < D:
            x = get(row, c)
            high, low, wrong = max(high, x), min(low, x), wrong + (x - x)
            c += 32
        step, offset, fits = scale_of(-warp_most(-low), warp_most(high), warp_sum(wrong))
        if lane == 0:
            put(scales, r, step)
            put(offsets, r, offset)
            if not fits:
                report(status, r)
        by, shift = number(step if step > 0 else _INF), number(offset)
        c = lane
        while 2 * c < D:
            code = encode(get(row, 2 * c), shift, by) if fits else 0
            if 2 * c + 1 < D and fits:
                code += 16 * encode(get(row, 2 * c + 1), shift, by)
            put_byte(goal, c, code)
            c += 32

    return quantize_pairs


def make_find_infinite() -> Any:
    """Report the least place of a float32 that is not finite."""
    get, _ = make_numbers("float32")

    def find_infinite(values: int, V: int, status: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < V:
            one = get(values, i)
            if one - one != 0:
                report(status, i)

    return find_infinite


# Codes to numbers ------------------------------------------------------------------------------------------------


def make_values(index: str, mode: str) -> Any:
    """Return ``row_of(ids, i, V, status, mark)`` and ``value_of(at, r, status)``.

    They give a row's number, or -1 of a bad id; and its scale or offset, which of row -1 are 0.
    """
    get, _ = make_numbers("float32")
    row_of = make_row(index, mode) if index != ALL else None

    @device
    def every(ids: int, i: int, V: int, status: int, mark: int) -> Any:
        return i

    @device
    def value_of(at: int, r: int, status: int) -> Any:
        return get(at if r >= 0 else status + ZEROS, max(r, 0))

    return row_of or every, value_of


@device
def place_of(codes: int, stride: int, r: int, status: int) -> Any:
    """Return where the codes of a row begin; of row -1 zeros."""
    return codes + r * stride if r >= 0 else status + ZEROS


def make_widen(index: str, tag: str, width: int, mode: str = RAISE) -> Any:
    """Four rows a thread, one word of codes of each at a time. Block: (threads along the row, rows / 4)."""
    _, load4, _, n = make_columns(tag, width)
    store, store_if = make_store("float32", 4 * n)
    row_of, value_of = make_values(index, mode)
    each = 4 * n

    @device
    def value(w: Any, scale: Any, offset: Any) -> Any:
        return minus(times(w, scale), -offset)

    def widen(
        codes: int, stride: int, scales: int, offsets: int, ids: int, out: int, out_stride: int, N: int, V: int, W: int,
        status: int, mark: int,
    ) -> None:  # fmt: skip
        i = (block_x() * threads_y() + thread_y()) * 4
        if i < N:
            r0, r1 = row_of(ids, i, V, status, mark), row_of(ids, min(i + 1, N - 1), V, status, mark)
            r2 = row_of(ids, min(i + 2, N - 1), V, status, mark)
            r3 = row_of(ids, min(i + 3, N - 1), V, status, mark)
            a0, a1 = place_of(codes, stride, r0, status), place_of(codes, stride, r1, status)
            a2, a3 = place_of(codes, stride, r2, status), place_of(codes, stride, r3, status)
            s0, s1 = value_of(scales, r0, status), value_of(scales, r1, status)
            s2, s3 = value_of(scales, r2, status), value_of(scales, r3, status)
            f0, f1 = value_of(offsets, r0, status), value_of(offsets, r1, status)
            f2, f3 = value_of(offsets, r2, status), value_of(offsets, r3, status)
            c, o = thread_x(), out + i * out_stride
            while c < W:
                w = load4(a0 + c * width, a1 + c * width, a2 + c * width, a3 + c * width)
                store(o + c * each, value(w[0], s0, f0))
                store_if(o + out_stride + c * each, value(w[1], s1, f1), i + 1 < N)
                store_if(o + 2 * out_stride + c * each, value(w[2], s2, f2), i + 2 < N)
                store_if(o + 3 * out_stride + c * each, value(w[3], s3, f3), i + 3 < N)
                c += threads_x()

    return widen


def make_widen_single(index: str, tag: str, mode: str = RAISE) -> Any:
    """One number a thread, for rows whose bytes hold no whole number of columns. Block: (columns, rows)."""
    get, _ = make_numbers("uint8")
    put, number = make_numbers("float32")[1], make_number("float32")
    row_of, value_of = make_values(index, mode)
    is_half = tag == "code4"

    def widen_single(
        codes: int, stride: int, scales: int, offsets: int, ids: int, out: int, out_stride: int, N: int, V: int, D: int,
        status: int, mark: int,
    ) -> None:  # fmt: skip
        i, c = block_x() * threads_y() + thread_y(), block_y() * threads_x() + thread_x()
        if i < N and c < D:
            r = row_of(ids, i, V, status, mark)
            at = place_of(codes, stride, r, status)
            code = get(at, c >> 1) >> (4 * (c & 1)) & 15 if is_half else get(at, c)
            value = product(number(code), value_of(scales, r, status)) + value_of(offsets, r, status)
            put(out + i * out_stride, c, value)

    return widen_single
