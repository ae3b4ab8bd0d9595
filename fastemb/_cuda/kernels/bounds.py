"""Kernels of ``topk`` where the caller's framework multiplies matrices: products rule out, and what is left is scored.

A product of float32 with a query of length one errs by at most a share of the vector's length, in whatever order it
was added. So each product gives an interval in which the score lies. A vector whose best possible score, rounded to
float32, is below the k-th best of all worst possible ones cannot be among the k best; no other is left out.
"""

from typing import Any

import numpy as np

from .search import COSINE, L2, NO_KEY, make_key, make_score_of, make_sums
from .words import (
    block_x, block_y, blocks_y, device, divide, make_number, make_numbers, product, root, thread_x, thread_y, threads_x,
    threads_y, warp_most,
)  # fmt: skip


def make_sizes(tag: str) -> Any:
    """The sum of squares of each vector, float64: half a warp a vector. Block: (16, vectors)."""
    squares, (_, put) = make_sums(tag)[1], make_numbers("float64")

    def sizes(vectors: int, stride: int, out: int, N: int, D: int) -> None:
        n = min(block_x() * threads_y() + thread_y(), N - 1)
        size = squares(0, vectors + n * stride, 0.0, 0.0, D, thread_x())
        if thread_x() == 0:
            put(out, n, size)

    return sizes


def make_units() -> Any:
    """Queries at length one, as float32; of lengths for which no bound holds NaN. Block: (threads, 1); y: queries."""
    (get, _), (_, put) = make_numbers("float64"), make_numbers("float32")

    def units(rows: int, norms: int, out: int, D: int) -> None:
        j, q = block_x() * threads_x() + thread_x(), block_y()
        if j < D:
            norm = get(norms, q)
            put(out, q * D + j, divide(get(rows, q * D + j), norm if 1e-30 < norm < 1e30 else norm * float("nan")))

    return units


def make_interval(metric: str) -> Any:
    """Return ``interval(p, norm, size, share)``: the worst and the best score of which p may be the rough product.

    Both are NaN where no bound holds: near the ends of float32, and of what is not finite.
    """

    @device
    def interval(p: Any, norm: Any, size: Any, share: Any) -> Any:
        if not 2.0**-100 < size < 2.0**119 or p != p:
            return float("nan"), float("nan")
        length = root(size)
        error = product(share, length)
        if metric == COSINE:
            return divide(p, length) - share, divide(p, length) + share
        if metric == L2:
            both = product(norm, norm) + size
            middle, apart = both - product(2.0 * norm, p), product(2.0 * norm, error) + product(both, 2.0**-45)
            return root(middle + apart), root(max(middle - apart, 0.0))
        return product(norm, p - error), product(norm, p + error)

    return interval


def make_bounds(metric: str) -> Any:
    """Keys of the worst scores that vectors may have, (Q, N); a pair a thread. Block: (threads, 1); y: queries."""
    interval, key_of, wide = make_interval(metric), make_key(metric), make_number("float64")
    (get, _), (get_product, _), (_, put) = make_numbers("float64"), make_numbers("float32"), make_numbers("int64")

    def bounds(products: int, norms: int, sizes: int, keys: int, N: int, share: np.float64) -> None:
        n, q = block_x() * threads_x() + thread_x(), block_y()
        if n < N:
            worst, _ = interval(wide(get_product(products, q * N + n)), get(norms, q), get(sizes, n), share)
            put(keys, q * N + n, key_of(worst, n))

    return bounds


def make_rescore(tag: str, metric: str) -> Any:
    """Keys of the vectors that may be among the k best; of all others what ranks behind. A warp looks at 32 vectors.

    Those that pass are scored one after another, by the whole warp. Block: (32, warps); y: groups of queries.
    """
    interval, key_of, score_of = make_interval(metric), make_key(metric), make_score_of(tag, metric)
    (get, _), (get_product, _), (get_key, put) = make_numbers("float64"), make_numbers("float32"), make_numbers("int64")
    wide = make_number("float64")

    def rescore(
        rows: int, norms: int, vectors: int, stride: int, products: int, sizes: int, limits: int, M: int, k: int,
        keys: int, Q: int, N: int, D: int, share: np.float64,
    ) -> None:  # fmt: skip
        first, lane, q = 32 * (block_x() * threads_y() + thread_y()), thread_x(), block_y()
        n = min(first + lane, N - 1)
        size = get(sizes, n)
        while q < Q:
            norm, limit = get(norms, q), get_key(limits, q * M + k - 1) >> 32
            _, best = interval(wide(get_product(products, q * N + n)), norm, size, share)
            todo = first + lane < N
            if todo and best == best and key_of(best, 0) >> 32 > limit:
                put(keys, q * N + n, NO_KEY)
                todo = False
            one = int(warp_most(wide(lane if todo else -1)))
            while one >= 0:  # the same in all lanes
                row = vectors + (first + one) * stride
                score = score_of(rows + q * D * 8, norm, row, 0.0, 0.0, D, lane & 15, get(sizes, first + one))
                if lane == one:
                    put(keys, q * N + n, key_of(score, n))
                    todo = False
                one = int(warp_most(wide(lane if todo else -1)))
            q += blocks_y()

    return rescore
