"""Kernels of ``topk``: exact scores, a filter that spares most of them, and one heap of the k best per query.

The products of BLAS only say which scores are worth finding out: each carries an error that depends on the library
and on its threads, but has a bound. Whatever the bound cannot rule out is scored again here, in float64 and in one
fixed order, and only those scores are compared and returned.

A heap lies in the query's row of the results, its worst entry first. Keys are float32, higher is better: distances
are negated. NaN is worse than every number, and of equal keys the higher id is worse. Heaps begin full of the worst
there can be: NaN and the highest int64.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from .intrinsics import load_id, prefetch, prefetch_row
from .jit import TUNING, kernel, part
from .lookup import address
from .scoring import (
    load_number,
    passing,
    passing_rows,
    rough_products,
    rough_squares,
    store_id,
    store_key,
    store_number,
    sum_products,
    sum_squared_differences,
    sum_squares,
    widen_1,
    widen_16,
)

DOT, COSINE, L2 = 0, 1, 2
#: Rows that `scan_bounded_rows` adds up before it looks at them.
TILE = 128

_ID = np.int64(0)  # tags: the types of ids, of scores, of queries
_F4, _F8 = np.float32(0), np.float64(0)
_INF, _NAN = float("inf"), float("nan")
_LAST = np.iinfo(np.int64).max  # with a NaN the worst entry there can be
_AHEAD = 1024  # bytes between the row that is read and the one that is fetched, where BLAS reads the rows as well


class Queries(NamedTuple):
    """Q queries of D columns, and the k best of each so far; all but the numbers are addresses.

    ``rows`` (Q, D) and ``norms`` are float64; ``limits``, ``weights`` and ``keys`` (Q, k) float32, ``ids`` (Q, k)
    int64. A row whose product fails a query's limit is no better than its k-th best; see `passing`.
    """

    metric: int
    rows: int
    norms: int
    limits: int
    weights: int
    keys: int
    ids: int
    Q: int
    D: int
    k: int


class Block(NamedTuple):
    """Vectors from id ``first`` on."""

    dtype_tag: Any
    address: int
    stride: int
    rows: int
    first: int


@kernel
def widen_rows(source: int, stride: int, target: int, D: int, rows: int) -> None:
    """Widen rows of float16 to rows of float32 that follow one another."""
    for r in range(rows):
        read, write = source + r * stride, target + 4 * r * D
        j = 0
        while j + 16 <= D:
            widen_16(write + 4 * j, read + 2 * j)
            j += 16
        while j < D:
            widen_1(write + 4 * j, read + 2 * j)
            j += 1


# Heaps -----------------------------------------------------------------------------------------------------------


@part
def worse(a: float, i: int, b: float, j: int) -> bool:
    """Whether key ``a`` of id ``i`` ranks behind key ``b`` of id ``j``."""
    if a != a:
        return b == b or i > j
    return a < b or (a == b and i > j)


@part
def sift_down(keys: int, ids: int, count: int, key: float, one: int) -> None:
    """Put an entry in the place of the worst of ``count``, which is the first, and restore the order."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        child_key, child_id = load_number(_F4, keys, child), load_id(_ID, ids, child)
        if child + 1 < count:
            other_key, other_id = load_number(_F4, keys, child + 1), load_id(_ID, ids, child + 1)
            if worse(other_key, other_id, child_key, child_id):
                child, child_key, child_id = child + 1, other_key, other_id
        if not worse(child_key, child_id, key, one):
            break
        store_key(keys, place, child_key)
        store_id(ids, place, child_id)
        place = child
    store_key(keys, place, key)
    store_id(ids, place, one)


@kernel
def sort_heaps(queries: Any, start: int, stop: int) -> None:
    """Sort heaps best first, and turn keys back into scores."""
    for q in range(start, stop):
        keys, ids = queries.keys + 4 * q * queries.k, queries.ids + 8 * q * queries.k
        for last in range(queries.k - 1, 0, -1):
            key, one = load_number(_F4, keys, last), load_id(_ID, ids, last)
            store_key(keys, last, load_number(_F4, keys, 0))
            store_id(ids, last, load_id(_ID, ids, 0))
            sift_down(keys, ids, last, key, one)
        if queries.metric == L2:
            for i in range(queries.k):
                store_key(keys, i, 0.0 - load_number(_F4, keys, i))


# Scores ----------------------------------------------------------------------------------------------------------


@kernel
def find_norms(rows: int, Q: int, D: int, norms: int) -> None:
    """Write the lengths of Q queries, all float64."""
    for q in range(Q):
        row = rows + 8 * q * D
        store_number(norms, q, sqrt(sum_squares(_F8, row, row, D)))


@part
def far_cosine(dtype_tag: Any, query: int, norm: float, row: int, D: int) -> float:
    """Return the cosine with a row whose squares float64 cannot add: first divided by its largest magnitude."""
    largest = 0.0
    for j in range(D):
        largest = max(largest, abs(load_number(dtype_tag, row, j)))
    if largest == 0.0:  # zeros, which score 0, or NaN with a query that is not finite
        nothing: float = sum_products(dtype_tag, query, row, D)
        return nothing
    total, squares = 0.0, 0.0
    for j in range(D):
        value = load_number(dtype_tag, row, j) / largest
        total += load_number(_F8, query, j) * value
        squares += value * value
    lengths = norm * sqrt(squares)
    return total if lengths == 0.0 else total / lengths  # of a zero row or query: 0, or NaN if the other is not finite


@part
def key_of(queries: Any, q: int, dtype_tag: Any, row: int, squares: float) -> float:
    """Return the key of a row, rounded to float32; ``squares`` is the sum of its squares if cosines need it."""
    D = queries.D
    query, norm = queries.rows + 8 * q * D, load_number(_F8, queries.norms, q)
    if queries.metric == L2:
        key = -sqrt(sum_squared_differences(dtype_tag, query, row, D))
    elif queries.metric == COSINE and not 1e-290 < squares < 1e290:
        key = far_cosine(dtype_tag, query, norm, row, D)
    else:
        key = sum_products(dtype_tag, query, row, D)
        if queries.metric == COSINE and norm != 0.0:
            key /= norm * sqrt(squares)
    return float(np.float32(key))


@part
def limit_of(metric: int, key: float, norm: float) -> float:
    """Return what a bound must reach for a score to beat ``key``; rounded down, so that nothing is missed.

    For unit queries u: dot > key says u.v > key / norm, and distance < -key says
    u.v - v.v / (2 norm) > (norm**2 - key**2) / (2 norm).
    """
    limit = key
    if metric != COSINE and norm > 0.0:
        limit = key / norm if metric == DOT else (norm * norm - key * key) / (2.0 * norm)
    if not limit > -1e38:
        return -_INF
    limit = min(limit, 1e38)
    return limit - abs(limit) * 2.0**-22 - 1e-44


@part
def offer(queries: Any, q: int, key: float, one: int) -> None:
    """Let an entry take the place of the worst in a query's heap if it is better; then raise the query's limit."""
    k = queries.k
    keys, ids = queries.keys + 4 * q * k, queries.ids + 8 * q * k
    if worse(load_number(_F4, keys, 0), load_id(_ID, ids, 0), key, one):
        sift_down(keys, ids, k, key, one)
        norm = load_number(_F8, queries.norms, q)
        store_key(queries.limits, q, limit_of(queries.metric, load_number(_F4, keys, 0), norm))


@part
def distance(stride: int, size: int, ahead: int) -> int:
    """Return how far behind a row lies the one to be fetched; not a multiple of 4096, which slows other loads."""
    return stride * (1 + ahead // max(size, 64))


@part
def fetch_row(row: int, size: int) -> None:
    """Ask for a row; any address is harmless."""
    for line in range(0, size, 64):
        prefetch(row + line)


@part
def fetch_scanned(row: int, size: int) -> None:
    """Ask for a row that is read from memory once, by us alone."""
    for line in range(0, size, 64):
        prefetch_row(row + line)


@kernel
def scan_rows(queries: Any, block: Any) -> None:
    """Score every row of a block for every query."""
    ahead = distance(block.stride, 4 * queries.D, _AHEAD)
    for r in range(block.rows):
        row, one = block.address + r * block.stride, block.first + r
        fetch_row(row + ahead, 4 * queries.D)
        squares = sum_squares(block.dtype_tag, row, row, queries.D) if queries.metric == COSINE else 0.0
        for q in range(queries.Q):
            offer(queries, q, key_of(queries, q, block.dtype_tag, row, squares), one)


@part
def error_share(D: int) -> float:
    """Return the most by which a rough product with a unit query may be wrong, as a share of the row's length.

    u = 2**-24 is half a last place. A sum of D products errs by at most D u |q| |v| / (1 - D u), in whatever order it
    was added, a rough length by half of that; u |v| more come from each of: rounding the unit query, rounding the row
    from float64, the operations of the bound and what they work with. 64 is for all of them; limits have their own.
    """
    share = (2 * D + 64) * 2.0**-24
    return share / (1.0 - share) if share < 0.5 else _INF


@part
def bound_row(metric: int, D: int, row: int, squares: float, exact: bool) -> tuple[float, float, float]:
    """Return scale, shift and height of a row, with which `passing` bounds its scores, from its rough squares."""
    share = error_share(D)
    if squares < 1e-30:  # float32 may have lost some
        squares = sum_squares(_F4, row, row, D)
    length = sqrt(squares)
    if not length < 1e18:  # near the end of float32, infinite or NaN: no bound
        return 1.0, _INF, 0.0
    shift = length * share + (D + 1) * 2.0**-147  # products that underflow
    if metric == DOT:
        return 1.0, shift, 0.0
    if metric == L2:
        return 1.0, shift, squares * max(0.0, 1.0 - 2.0 * share) if squares > 1e-36 else 0.0
    if length > 2.0**-100:
        return 1.0 / length, shift / length, 0.0
    # The score of zeros is 0; of what was rounded to zeros, or hardly more than that, no bound is known.
    return 1.0, 0.0 if exact and squares == 0.0 else _INF, 0.0


@kernel
def bound_rows(metric: int, D: int, address: int, stride: int, exact: bool, terms: int, start: int, stop: int) -> None:
    """Write the terms of the rows [start, stop) of float32, 16 bytes for each.

    ``exact`` says that the rows are what was given, and not rounded from float64.
    """
    ahead, r = distance(stride, 4 * D, _AHEAD), start
    while r < stop:
        row = address + r * stride
        four = r + 4 <= stop  # the last rows come one by one, each of them four times
        step, gap, apart = (4, stride, 16) if four else (1, 0, 0)
        for i in range(step):
            fetch_row(row + ahead + i * stride, 4 * D)
        rough_squares(row, row, gap, D, terms + 16 * r, apart)
        r += step
    for r in range(start, stop):
        scale, shift, height = bound_row(metric, D, address + r * stride, load_number(_F4, terms, 4 * r), exact)
        store_key(terms, 4 * r, scale)
        store_key(terms, 4 * r + 1, shift)
        store_key(terms, 4 * r + 2, height)


@part
def offer_passed(queries: Any, block: Any, r: int, group: int, passed: int) -> None:
    """Score a row for those of 16 queries whose bits are set."""
    row, one = block.address + r * block.stride, block.first + r
    squares = sum_squares(block.dtype_tag, row, row, queries.D) if queries.metric == COSINE else 0.0
    for lane in range(16):
        q = 16 * group + lane
        if passed >> lane & 1 and q < queries.Q:
            offer(queries, q, key_of(queries, q, block.dtype_tag, row, squares), one)


@kernel
def filter_rows(queries: Any, block: Any, products: int, apart: int, terms: int, start: int, stop: int) -> None:
    """Score the rows whose products pass, for the groups of 16 queries [start, stop).

    ``products`` (rows, queries) are those of the float32 rows and the unit queries, ``apart`` bytes from row to row.
    """
    for r in range(block.rows):
        scale, shift = load_number(_F4, terms, 4 * r), load_number(_F4, terms, 4 * r + 1)
        height = load_number(_F4, terms, 4 * r + 2)
        for group in range(start, stop):
            at = 64 * group
            passed = passing(products + r * apart + at, queries.limits + at, queries.weights + at, scale, shift, height)
            if passed:
                offer_passed(queries, block, r, group, passed)


@part
def sum_rough(queries: Any, units: int, row: int, stride: int, count: int, sums: int) -> None:
    """Write the squares of up to 128 rows, then their products with each query."""
    D, i = queries.D, 0
    ahead = distance(stride, 4 * D, TUNING.scan_ahead)
    while i < count:
        at, out = row + i * stride, sums + 4 * i
        four = i + 4 <= count  # as in bound_rows
        step, gap, apart = (4, stride, 4) if four else (1, 0, 0)
        for j in range(step):
            fetch_scanned(at + ahead + j * stride, 4 * D)
        rough_squares(at, at, gap, D, out, apart)
        for q in range(queries.Q):
            rough_products(units + 4 * q * D, at, gap, D, out + 4 * TILE * (q + 1), apart)
        i += step


@part
def score_passed(queries: Any, q: int, block: Any, r: int, passed: int) -> None:
    """Score for one query those of 16 rows from ``r`` on whose bits are set."""
    lane = 0
    while passed >> lane:
        if passed >> lane & 1:
            row = block.address + (r + lane) * block.stride
            squares = sum_squares(block.dtype_tag, row, row, queries.D) if queries.metric == COSINE else 0.0
            offer(queries, q, key_of(queries, q, block.dtype_tag, row, squares), block.first + r + lane)
        lane += 1


@kernel
def scan_bounded_rows(queries: Any, block: Any, units: int, single: int, stride: int, sums: int) -> None:
    """Score the rows whose rough products with the unit queries pass, all in one go: for few queries.

    ``single`` are the rows as float32; ``sums`` has room for TILE (Q + 1) numbers. So many rows are added up before
    any is judged, for a vector that was just written in pieces takes its time to be read.
    """
    share = error_share(queries.D)
    for first in range(0, block.rows, TILE):
        count = min(TILE, block.rows - first)
        sum_rough(queries, units, single + first * stride, stride, count, sums)
        for q in range(queries.Q):
            weight = load_number(_F4, queries.weights, q) * max(0.0, 1.0 - 2.0 * share)
            for i in range(0, count, 16):
                limit = load_number(_F4, queries.limits, q)
                # A cosine, product / length + share >= limit, is judged by its product: all times the length.
                level, slope = (0.0, share - limit) if queries.metric == COSINE else (limit, share)
                at = sums + 4 * i
                passed = passing_rows(at + 4 * TILE * (q + 1), at, level, slope, weight)
                passed &= (1 << min(16, count - i)) - 1
                if passed:
                    score_passed(queries, q, block, first + i, passed)


@part
def lay_query(query: int, queries: Any, q: int, units: int) -> None:
    """Lay down one query of float32 as `Queries` and the bound want it: in float64, and as float32 of length one.

    A query for which no bound holds, near the ends of float32, becomes NaN: then all vectors pass.
    """
    D, row, norm = queries.D, queries.rows + 8 * q * queries.D, 0.0
    for j in range(D):
        store_number(row, j, load_number(_F4, query, j))
    find_norms(row, 1, D, queries.norms + 8 * q)
    norm = load_number(_F8, queries.norms, q)
    bounded = 1e-30 < norm < 1e30
    by = norm if bounded else _NAN
    for j in range(D):
        store_key(units, q * D + j, load_number(_F8, row, j) / by)
    store_key(queries.limits, q, -_INF)
    store_key(queries.weights, q, 0.5 / norm if bounded and queries.metric == L2 else 0.0)


@kernel
def topk_small(queries: Any, vectors: Any, k: int, metric: int, keys: Any, ids: Any) -> int:
    """Find the k best vectors of each query in a small call of float32: `scan_bounded_rows` over one block.

    Arrays are taken as they are; ``keys`` and ``ids`` (Q, k) are the results.
    """
    (Q, D), N = queries.shape, vectors.shape[0]
    keys[:], ids[:] = np.float32(_NAN), _LAST
    # Made here: in Python it would take a microsecond.
    doubles, singles = np.empty(Q * (D + 1), np.float64), np.empty(Q * (D + 2) + TILE * (Q + 1), np.float32)
    rows, units = address(doubles), address(singles)
    limits = units + 4 * Q * D
    given = Queries(
        metric, rows, rows + 8 * Q * D, limits, limits + 4 * Q, address(keys), address(ids), Q, D, k
    )  # fmt: skip
    for q in range(Q):
        lay_query(address(queries) + 4 * q * D, given, q, units)
    source = address(vectors)
    scan_bounded_rows(given, Block(_F4, source, 4 * D, N, 0), units, source, 4 * D, limits + 8 * Q)
    sort_heaps(given, 0, Q)
    return min(doubles.size + singles.size, 0)  # Numba frees an array behind its last use, and addresses are none
