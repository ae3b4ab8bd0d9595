"""Two more gathers, for the benchmark alone until a device has chosen: by the copy engine, and by words of 32 bytes."""

from typing import Any

from .lookup import make_place
from .words import (
    barrier_init, block_x, blocks_x, bulk_done, bulk_load, bulk_read, bulk_store, bulk_wait, load32, make_shared,
    store32_if, thread_x, thread_y, threads_x, threads_y,
)  # fmt: skip


def make_gather_bulk(index: str, row: int, threads: int) -> Any:
    """Rows of ``row`` bytes, a multiple of 16, by the copy engine (sm_90 and later). Block: (threads, 1).

    Each thread asks for one row at a time and holds it in no register: bytes in flight are threads times rows. Its
    barrier, and behind all of them its row, lie in shared memory.
    """
    place, shared = make_place(index), make_shared(threads * (8 + row))

    def gather_bulk(table: int, stride: int, ids: int, out: int, N: int, V: int, status: int, mark: int) -> None:
        base, me = shared(), thread_x()
        bar, slot = base + me * 8, base + threads * 8 + me * row
        barrier_init(bar)
        r, phase = block_x() * threads + me, 0
        while r < N:
            bulk_load(slot, place(table, ids, r, V, stride, status, mark), row, bar)
            bulk_wait(bar, phase)
            bulk_store(out + r * row, slot, row)
            phase = 1 - phase
            r += blocks_x() * threads
            bulk_read()  # what was to be stored has left shared memory
        bulk_done()

    return gather_bulk


def make_gather_wide(index: str) -> Any:
    """As `lookup.make_gather`, by words of 32 bytes (sm_100 and later). Block: (threads along the row, rows / 4)."""
    place = make_place(index)

    def gather_wide(
        table: int, stride: int, ids: int, out: int, out_stride: int, N: int, V: int, W: int, status: int, mark: int
    ) -> None:  # fmt: skip
        r = (block_x() * threads_y() + thread_y()) * 4
        if r < N:
            a0 = place(table, ids, r, V, stride, status, mark)
            a1 = place(table, ids, min(r + 1, N - 1), V, stride, status, mark)
            a2 = place(table, ids, min(r + 2, N - 1), V, stride, status, mark)
            a3 = place(table, ids, min(r + 3, N - 1), V, stride, status, mark)
            c, o = thread_x() * 32, out + r * out_stride
            while c < W * 32:
                w = load32(a0 + c, a1 + c, a2 + c, a3 + c)
                store32_if(o + c, w[0], True)
                store32_if(o + out_stride + c, w[1], r + 1 < N)
                store32_if(o + 2 * out_stride + c, w[2], r + 2 < N)
                store32_if(o + 3 * out_stride + c, w[3], r + 3 < N)
                c += threads_x() * 32

    return gather_wide
