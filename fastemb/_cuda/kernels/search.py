"""Kernels of ``topk``: scores in float64, each with its id made one integer; then integers are sorted.

A *key* has in its upper half how a score ranks, best first and NaN last, and in its lower half the vector's id. Keys
are all different, so their order is total, and the k least of them are the answer, ties and all.
"""

from typing import Any

from .words import (
    bits_of, block_x, block_y, blocks_y, device, divide, make_lanes_sum, make_number, make_numbers, make_shared,
    make_shared_numbers, meet, of_bits, product, root, thread_x, thread_y, threads_x, threads_y, warp_most,
)  # fmt: skip

DOT, COSINE, L2 = "dot", "cosine", "l2"
LANES = 16  # sums run side by side
half_warp_sum = make_lanes_sum(LANES)
LAST = 0x7FFFFFFF  # how NaN ranks
NO_KEY = (1 << 63) - 1  # behind every key
_IDS = 0xFFFFFFFF
_NEAR = 2.0**450  # squares of more, or of less than its inverse, may leave float64
_SCALE = 2.0**768
_INF = float("inf")


# Scores ----------------------------------------------------------------------------------------------------------


def make_sum(term: Any) -> Any:
    """Return ``total(a, row, scale, offset, D, lane)``: terms of D columns added in an order that depends on D alone.

    Sixteen sums side by side, folded as a tree, then four, then one, as on the CPU, to the bit. All 16 threads of a
    half warp come there; each gets the whole sum.
    """

    @device
    def total(a: int, row: int, scale: Any, offset: Any, D: int, lane: int) -> Any:
        whole, one, j = D & ~15, 0.0, lane
        while j < whole:
            one = one + term(a, row, scale, offset, j)
            j += 16
        found = 0.0 + half_warp_sum(one)
        t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
        j = whole
        while j + 4 <= D:
            t0, t1 = t0 + term(a, row, scale, offset, j), t1 + term(a, row, scale, offset, j + 1)
            t2, t3 = t2 + term(a, row, scale, offset, j + 2), t3 + term(a, row, scale, offset, j + 3)
            j += 4
        found = found + ((t0 + t2) + (t1 + t3))
        last = 0.0
        while j < D:
            last = last + term(a, row, scale, offset, j)
            j += 1
        return found + last

    return total


def make_value(tag: str) -> Any:
    """Return ``value(row, scale, offset, j)``: column j of a row, as float64."""
    get, _ = make_numbers("uint8" if tag.startswith("code") else tag)
    wide, single = make_number("float64"), make_number("float32")

    @device
    def value_plain(row: int, scale: Any, offset: Any, j: int) -> Any:
        return wide(get(row, j))

    @device
    def value_code8(row: int, scale: Any, offset: Any, j: int) -> Any:
        return wide(product(single(get(row, j)), scale) + offset)

    @device
    def value_code4(row: int, scale: Any, offset: Any, j: int) -> Any:
        return wide(product(single(get(row, j >> 1) >> (4 * (j & 1)) & 15), scale) + offset)

    return {"code8": value_code8, "code4": value_code4}.get(tag, value_plain)


def make_sums(tag: str) -> tuple[Any, Any, Any]:
    """Return the sums over columns of query * row, of row * row, and of (query - row) * (query - row)."""
    value, (get, _) = make_value(tag), make_numbers("float64")

    @device
    def times_query(a: int, row: int, scale: Any, offset: Any, j: int) -> Any:
        return product(value(row, scale, offset, j), get(a, j))

    @device
    def squared(a: int, row: int, scale: Any, offset: Any, j: int) -> Any:
        x = value(row, scale, offset, j)
        return product(x, x)

    @device
    def squared_difference(a: int, row: int, scale: Any, offset: Any, j: int) -> Any:
        x = get(a, j) - value(row, scale, offset, j)
        return product(x, x)

    return make_sum(times_query), make_sum(squared), make_sum(squared_difference)


def make_lay(tag: str) -> Any:
    """Queries as float64, and their lengths. A warp a query, whose two halves do the same. Block: (32, queries).

    Where ``scaled``, queries whose squares float64 cannot add are times a power of two: their cosines stay as they are.
    """
    value, (_, put), wide = make_value(tag), make_numbers("float64"), make_number("float64")

    @device
    def scaled_square(a: int, row: int, scale: Any, offset: Any, j: int) -> Any:
        x = product(value(row, scale, offset, j), offset)
        return product(x, x)

    total = make_sum(scaled_square)

    def lay(queries: int, stride: int, rows: int, norms: int, Q: int, D: int, scaled: int) -> None:
        q, lane = min(block_x() * threads_y() + thread_y(), Q - 1), thread_x()
        source, most, j = queries + q * stride, wide(0.0), lane
        while j < D:
            most = max(most, abs(value(source, 0.0, 0.0, j)))
            j += 32
        most, by = warp_most(most), wide(1.0)
        if scaled and _NEAR < most < _INF:
            by = wide(1.0 / _SCALE)
        elif scaled and 0 < most < 1.0 / _NEAR:
            by = wide(_SCALE)
        norm = root(total(0, source, by, by, D, lane & 15))
        j = lane
        while j < D:
            put(rows, q * D + j, product(value(source, by, by, j), by))
            j += 32
        if lane == 0:
            put(norms, q, norm)

    return lay


def make_key(metric: str) -> Any:
    """Return ``key_of(score, n)`` of a float64 score and an id."""
    single, ascending = make_number("float32"), metric == L2

    @device
    def key_of(score: Any, n: int) -> Any:
        rounded = single(single(score) + 0.0)  # -0.0 ranks as 0.0
        rank = bits_of(rounded)
        if rank < 0:
            rank = rank ^ LAST
        if not ascending:
            rank = -1 - rank
        if rounded != rounded:
            rank = LAST
        return (rank << 32) + n

    return key_of


def make_score_of(tag: str, metric: str) -> Any:
    """Return ``score_of(a, norm, row, scale, offset, D, lane, size)``: the score of a row, by half a warp.

    ``size`` is the sum of the row's squares where cosines are asked for.
    """
    products, _, differences = make_sums(tag)
    value, (get_query, _) = make_value(tag), make_numbers("float64")
    is_cosine, is_distance = metric == COSINE, metric == L2

    @device
    def far_cosine(a: int, norm: Any, row: int, scale: Any, offset: Any, D: int, dot: Any) -> Any:
        """Return the cosine with a row whose squares float64 cannot add: first divided by its largest magnitude."""
        most, total, lengths = 0.0, 0.0, 0.0
        for j in range(D):
            most = max(most, abs(value(row, scale, offset, j)))
        if most == 0:
            return dot
        for j in range(D):
            x = divide(value(row, scale, offset, j), most)
            total, lengths = total + product(x, get_query(a, j)), lengths + product(x, x)
        lengths = product(norm, root(lengths))
        return total if lengths == 0 else divide(total, lengths)

    @device
    def score_of(a: int, norm: Any, row: int, scale: Any, offset: Any, D: int, lane: int, size: Any) -> Any:
        if is_distance:
            return root(differences(a, row, scale, offset, D, lane))
        dot = products(a, row, scale, offset, D, lane)
        if is_cosine:
            if not 1e-290 < size < 1e290:
                return far_cosine(a, norm, row, scale, offset, D, dot)
            if norm != 0:
                return divide(dot, product(norm, root(size)))
        return dot

    return score_of


def make_score(tag: str, metric: str) -> Any:
    """Keys of all vectors for all queries, (Q, N): half a warp a vector. Block: (16, vectors); y: groups of queries.

    A vector is read from memory for the first query and from a cache for the others.
    """
    score_of, squares, key_of = make_score_of(tag, metric), make_sums(tag)[1], make_key(metric)
    (get_norm, _), (get_scale, _), (_, put) = make_numbers("float64"), make_numbers("float32"), make_numbers("int64")
    has_codes, is_cosine = tag.startswith("code"), metric == COSINE

    def score(
        rows: int, norms: int, vectors: int, stride: int, scales: int, offsets: int, keys: int, Q: int, N: int, D: int
    ) -> None:  # fmt: skip
        # All threads go the whole way, as sums need every lane: a vector past the end is the last one again.
        n, lane, q = min(block_x() * threads_y() + thread_y(), N - 1), thread_x(), block_y()
        row = vectors + n * stride
        scale = get_scale(scales, n) if has_codes else 0.0
        offset = get_scale(offsets, n) if has_codes else 0.0
        size = squares(0, row, scale, offset, D, lane) if is_cosine else 0.0
        while q < Q:
            one = score_of(rows + q * D * 8, get_norm(norms, q), row, scale, offset, D, lane, size)
            if lane == 0:
                put(keys, q * N + n, key_of(one, n))
            q += blocks_y()

    return score


# Keys in order ---------------------------------------------------------------------------------------------------


def make_sort_block(C: int) -> Any:
    """Sort C of a query's keys in shared memory, a power of two, and write the first ``kept``. Block: (threads, 1).

    Bitonic, in the form whose first step of each size compares mirror images: all runs ascend.
    """
    (get, put), shared = make_numbers("int64"), make_shared(8 * C)
    get_shared, put_shared = make_shared_numbers("int64")

    @device
    def exchange(base: int, a: int, b: int) -> None:
        x, y = get_shared(base, a), get_shared(base, b)
        if y < x:
            put_shared(base, a, y)
            put_shared(base, b, x)

    def sort_block(keys: int, M: int, n: int, out: int, out_M: int, kept: int) -> None:
        base, first, t = shared(), block_x() * C, thread_x()
        i = t
        while i < C:
            put_shared(base, i, get(keys, block_y() * M + first + i) if first + i < n else NO_KEY)
            i += threads_x()
        meet()
        size = 2
        while size <= C:
            step = size // 2
            while step > 0:
                i = t
                while i < C // 2:
                    low = i & (step - 1)
                    a = 2 * (i - low) + low
                    exchange(base, a, a + size - 1 - 2 * low if 2 * step == size else a + step)
                    i += threads_x()
                meet()
                step //= 2
            size *= 2
        i = t
        while i < kept:
            put(out, block_y() * out_M + block_x() * kept + i, get_shared(base, i))
            i += threads_x()

    return sort_block


def make_exchange() -> Any:
    """One step of the same sort among runs that are longer than a block, from one place to another; a pair a thread."""
    get, put = make_numbers("int64")

    def exchange(keys: int, out: int, M: int, size: int, step: int) -> None:
        i, line = block_x() * threads_x() + thread_x(), block_y() * M
        if i < M // 2:
            low = i & (step - 1)
            a = 2 * (i - low) + low
            b = a + size - 1 - 2 * low if 2 * step == size else a + step
            x, y = get(keys, line + a), get(keys, line + b)
            put(out, line + a, min(x, y))
            put(out, line + b, max(x, y))

    return exchange


def make_unpack(metric: str) -> Any:
    """The first k keys of each query as scores and ids. Block: (threads, 1); y: queries."""
    (get, put), (_, put_score) = make_numbers("int64"), make_numbers("float32")
    ascending = metric == L2

    def unpack(keys: int, M: int, scores: int, ids: int, k: int) -> None:
        i, q = block_x() * threads_x() + thread_x(), block_y()
        if i < k:
            key = get(keys, q * M + i)
            rank = key >> 32
            if rank == LAST:
                bits = 0x7FC00000
            else:
                bits = rank if ascending else -1 - rank
                if bits < 0:
                    bits = bits ^ LAST
            put_score(scores, q * k + i, of_bits(bits))
            put(ids, q * k + i, key & _IDS)

    return unpack
