"""Rows by id, as bytes. Addresses and counts in, nothing else; W: words of ``width`` bytes in a row."""

from typing import Any

from .words import (
    block_x, device, make_moves, make_numbers, make_words, report, thread_x, thread_y, threads_x, threads_y,
)  # fmt: skip

RAISE, CLIP, WRAP = "raise", "clip", "wrap"
#: Where, from the status, the zeros begin that a bad id reads.
ZEROS = 16


def make_row(index: str, mode: str = RAISE) -> Any:
    """Return ``row(ids, i, V, status, mark)``: the row that ids[i] means; -1 of a bad id, reported as ``mark + i``."""
    get, _ = make_numbers(index)

    @device
    def row(ids: int, i: int, V: int, status: int, mark: int) -> Any:
        one = get(ids, i)
        if one < 0 or one >= V:
            report(status, mark + i)
            return -1
        return one

    @device
    def row_clipped(ids: int, i: int, V: int, status: int, mark: int) -> Any:
        return min(max(get(ids, i), 0), V - 1)

    @device
    def row_wrapped(ids: int, i: int, V: int, status: int, mark: int) -> Any:
        one = get(ids, i)
        # Beyond the table is the rare case: a quotient of 64 bits takes as long as a row.
        return one if 0 <= one < V else one % V

    return {RAISE: row, CLIP: row_clipped, WRAP: row_wrapped}[mode]


def make_place(index: str, mode: str = RAISE) -> Any:
    """Return ``place(table, ids, i, V, stride, status, mark)``: where the row that ids[i] means begins.

    In mode "raise" a bad id is reported as ``mark + i``, and its row is the zeros beside the status.
    """
    row_of, raises = make_row(index, mode), mode == RAISE

    @device
    def place(table: int, ids: int, i: int, V: int, stride: int, status: int, mark: int) -> Any:
        r = row_of(ids, i, V, status, mark)
        if raises and r < 0:
            return status + ZEROS
        return table + r * stride

    return place


def make_gather(index: str, width: int, mode: str) -> Any:
    """Four rows a thread, one word of each at a time. Block: (threads along the row, rows / 4)."""
    place = make_place(index, mode)
    _, load4, store, store_if = make_words(width)

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


def make_gather_warp(index: str, width: int, mode: str, K: int) -> Any:
    """A warp a row, K words a lane, all of them in flight: W in 32 (K - 1) + 1 … 32 K. Block: (32, rows)."""
    place, (load, store) = make_place(index, mode), make_moves(width, K)

    def gather_warp(
        table: int, stride: int, ids: int, out: int, out_stride: int, N: int, V: int, W: int, status: int, mark: int
    ) -> None:  # fmt: skip
        r, lane = block_x() * threads_y() + thread_y(), thread_x()
        if r < N:
            last = lane + 32 * (K - 1) < W
            here = lane * width
            words = load(place(table, ids, r, V, stride, status, mark) + here, 32 * width, last)
            store(out + r * out_stride + here, 32 * width, last, words)

    return gather_warp
