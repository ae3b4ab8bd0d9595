"""Rows by id, as bytes. Addresses and counts in, nothing else; W: words of ``width`` bytes in a row."""

from typing import Any

from .words import (
    block_x, device, make_numbers, make_words, report, thread_x, thread_y, threads_x, threads_y,
)  # fmt: skip

RAISE, CLIP, WRAP = "raise", "clip", "wrap"
#: Where, from the status, the zeros begin that a bad id reads.
ZEROS = 16


def make_place(index: str, mode: str = RAISE) -> Any:
    """Return ``place(table, ids, i, V, stride, status, mark)``: where the row that ids[i] means begins.

    In mode "raise" a bad id is reported as ``mark + i``, and its row is the zeros beside the status.
    """
    get, _ = make_numbers(index)

    @device
    def place(table: int, ids: int, i: int, V: int, stride: int, status: int, mark: int) -> int:
        one = get(ids, i)
        if one < 0 or one >= V:
            report(status, mark + i)
            return status + ZEROS
        return table + one * stride

    @device
    def place_clipped(table: int, ids: int, i: int, V: int, stride: int, status: int, mark: int) -> int:
        return table + min(max(get(ids, i), 0), V - 1) * stride

    @device
    def place_wrapped(table: int, ids: int, i: int, V: int, stride: int, status: int, mark: int) -> int:
        one = get(ids, i) % V
        return table + one * stride

    return {RAISE: place, CLIP: place_clipped, WRAP: place_wrapped}[mode]


def make_gather(index: str, width: int, mode: str) -> Any:
    """Four rows a thread, one word of each at a time. Block: (threads along the row, rows / 4)."""
    place = make_place(index, mode)
    load, load4, store, store_if = make_words(width)

    def gather(
        table: int, stride: int, ids: int, out: int, out_stride: int, N: int, V: int, W: int, status: int, mark: int
    ) -> None:  # fmt: skip
        r = (block_x() * threads_y() + thread_y()) * 4
        if r < N:
            # A row past the end is the last one again: no branch between the loads.
            a0 = place(table, ids, r, V, stride, status, mark)
            a1 = place(table, ids, min(r + 1, N - 1), V, stride, status, mark)
            a2 = place(table, ids, min(r + 2, N - 1), V, stride, status, mark)
            a3 = place(table, ids, min(r + 3, N - 1), V, stride, status, mark)
            c, o = thread_x() * width, out + r * out_stride
            while c < W * width:
                w = load4(a0 + c, a1 + c, a2 + c, a3 + c)
                store(o + c, w[0])
                store_if(o + out_stride + c, w[1], r + 1 < N)
                store_if(o + 2 * out_stride + c, w[2], r + 2 < N)
                store_if(o + 3 * out_stride + c, w[3], r + 3 < N)
                c += threads_x() * width

    return gather
