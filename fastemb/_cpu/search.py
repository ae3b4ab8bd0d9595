"""The CPU's way with ``topk``: blocks of vectors, products that rule most of them out, and ranges of threads."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _threads
from . import quantized
from .arrays import Array, address, dtype_tag, has_contiguous_rows
from .kernels import search as kernels

_METRICS = {"dot": kernels.DOT, "cosine": kernels.COSINE, "l2": kernels.L2}
# Vectors of a block, in bytes of float32: the kernels read them from memory, and then BLAS from the cache. Measured.
_BLOCK_BYTES = 1 << 20
# Where vectors are read once, a block only has to be large enough for its fixed cost, some 20 us, not to count.
_LONG_BLOCK_BYTES = 64 << 20
_BLOCK_ROWS = 8192
# Queries that share one pass over the vectors.
_BLOCK_QUERIES = 256
# So few queries do without BLAS, in one go at the speed of memory. Measured.
_FEW_QUERIES = 12
# Where the k best are more than one vector in so many, finding out which to score costs more than scoring all.
_SPARSE = 8
_GROUP = 16  # queries that the filter looks at together
_LAST = np.iinfo(np.int64).max

# The small path: calls that are not worth a second thread ----------------------------------------------------------

_SMALL_BYTES = 1 << 20
_FLOAT32 = np.dtype(np.float32)


def small_topk(queries: Any, vectors: Array, k: Any, metric: Any) -> tuple[Array, Array] | None:
    """Return the result of a small call; None: take the general road, which says what is wrong if anything is."""
    # What is compared by value may be anything yet: types come first.
    if type(queries) is not np.ndarray or type(k) is not int or type(metric) is not str:
        return None
    if metric not in _METRICS or vectors.dtype != _FLOAT32 or queries.dtype != _FLOAT32 or vectors.ndim != 2:
        return None
    N, D = vectors.shape
    if queries.ndim not in (1, 2) or queries.shape[-1] != D or not 1 <= k <= N:
        return None
    Q = queries.size // D if D else 0
    if not 0 < Q <= _FEW_QUERIES or Q * vectors.nbytes > _SMALL_BYTES:
        return None
    if not queries.flags.carray or not vectors.flags.carray:
        return None
    scores, ids = np.empty((Q, k), _FLOAT32), np.empty((Q, k), np.int64)
    kernels.topk_small(queries.reshape(Q, D), vectors, k, _METRICS[metric], scores, ids)
    return (scores[0], ids[0]) if queries.ndim == 1 else (scores, ids)


# Blocks and ranges ---------------------------------------------------------------------------------------------------


def topk(queries: Array, vectors: Any, k: int, metric: str) -> tuple[Array, Array]:
    """Return the scores and the ids of the k best vectors of each query, (Q, k), or (k,) of one query (D,).

    Up to 256 queries share one pass over the vectors.
    """
    asked = np.atleast_2d(queries)
    scores, ids = np.empty((len(asked), k), np.float32), np.empty((len(asked), k), np.int64)
    for first in range(0, len(asked), _BLOCK_QUERIES):
        some = slice(first, first + _BLOCK_QUERIES)
        block = asked[some].astype(np.float64, order="C")
        scores[some], ids[some] = _search_block(block, vectors, k, _METRICS[metric])
    return (scores[0], ids[0]) if queries.ndim == 1 else (scores, ids)


def _search_block(queries: Array, vectors: Any, k: int, metric: int) -> tuple[Array, Array]:
    """Search in ranges of the vectors, one for each thread, and join what was found; with BLAS in one range."""
    Q, (N, D) = len(queries), vectors.shape
    score = _score_all if D == 0 or k * _SPARSE > N else _score_few if Q <= _FEW_QUERIES else _score_many
    ranges = 1 if score is _score_many else _threads.parts(int(Q * N * D * _itemsize(vectors)), N)
    found: list[_Best] = []

    def work(start: int, stop: int) -> None:
        best = _Best(queries, k, metric)
        # Neither NaN nor overflow is an error here. The state is that of this thread alone.
        with np.errstate(all="ignore"):
            score(best, vectors, start, stop)
        best.sort()
        found.append(best)

    _threads.run(work, _threads.split(N, ranges))
    if len(found) == 1:
        return found[0].scores, found[0].ids
    scores = np.concatenate([best.scores for best in found], axis=1)
    ids = np.concatenate([best.ids for best in found], axis=1)
    order = np.lexsort((ids, scores if metric == kernels.L2 else -scores))[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)


class _Best:
    """A block of queries and the k best of each so far; ``kernel_args`` has the addresses of both."""

    def __init__(self, queries: Array, k: int, metric: int) -> None:
        Q, D = queries.shape
        self.metric, self.Q = metric, Q
        # An empty heap holds entries worse than all there are.
        self.scores, self.ids = np.full((Q, k), np.nan, np.float32), np.full((Q, k), _LAST)
        self._queries = _within_range(queries) if metric == kernels.COSINE else queries
        self._norms = np.empty(Q)
        kernels.find_norms(address(self._queries), Q, D, address(self._norms))
        # The filter looks at whole groups: what fills the last one has limits that nothing reaches.
        self.groups = -(-Q // _GROUP)
        self._limits = np.full(self.groups * _GROUP, np.inf, np.float32)
        self._limits[:Q] = -np.inf
        self._weights = np.zeros(self.groups * _GROUP, np.float32)
        rows, norms, limits, weights = map(address, (self._queries, self._norms, self._limits, self._weights))
        keys, ids = address(self.scores), address(self.ids)
        self.kernel_args = kernels.Queries(metric, rows, norms, limits, weights, keys, ids, Q, D, k)

    def units(self) -> Array:
        """Return the queries at length one, as float32, with rows of zeros that fill the last group.

        A query for which no bound holds, near the ends of float32, becomes NaN: then all vectors pass.
        """
        Q, D = self._queries.shape
        units = np.zeros((self.groups * _GROUP, D), np.float32)
        bounded = (self._norms > 1e-30) & (self._norms < 1e30)
        units[:Q] = self._queries / np.where(bounded, self._norms, np.nan)[:, np.newaxis]
        if self.metric == kernels.L2:
            self._weights[:Q] = np.where(bounded, 0.5 / self._norms, 0)
        return units

    def sort(self) -> None:
        """Put the entries in order, best first."""
        kernels.sort_heaps(self.kernel_args, 0, self.kernel_args.Q)


def _within_range(queries: Array) -> Array:
    """Scale rows whose squares float64 cannot add by powers of two, which leaves their cosines as they are."""
    largest = np.abs(queries).max(axis=1, initial=0)
    _, exponents = np.frexp(largest)
    far = np.isfinite(largest) & (np.abs(exponents) > 450)
    return np.ldexp(queries, np.where(far, -exponents, 0)[:, np.newaxis]) if far.any() else queries


def _score_all(best: _Best, vectors: Any, start: int, stop: int) -> None:
    """Score every vector in [start, stop)."""
    for first, rows in _blocks(vectors, start, stop, _block_rows(*vectors.shape)):
        kernels.scan_rows(best.kernel_args, _block(rows, first))


def _score_few(best: _Best, vectors: Any, start: int, stop: int) -> None:
    """Score the vectors in [start, stop) that rough products of our own cannot rule out; they are read once."""
    units, sums = best.units(), np.zeros((best.Q + 1, kernels.TILE), np.float32)
    long = _is_row_major_for_blas(vectors) and vectors.dtype == _FLOAT32
    height = max(1, _LONG_BLOCK_BYTES // (4 * vectors.shape[1])) if long else _block_rows(*vectors.shape)
    rounded = _Rounded(min(height, stop - start))
    for first, rows in _blocks(vectors, start, stop, height):
        single = rounded(rows)
        kernels.scan_bounded_rows(
            best.kernel_args, _block(rows, first), address(units), address(single), single.strides[0], address(sums)
        )  # fmt: skip


def _score_many(best: _Best, vectors: Any, start: int, stop: int) -> None:
    """Score the vectors in [start, stop) that products of BLAS cannot rule out."""
    height = _block_rows(*vectors.shape)
    bounds = _Bounds(best, min(height, stop - start))
    for first, rows in _blocks(vectors, start, stop, height):
        bounds.make(rows)
        bounds.choose(rows, first)


class _Rounded:
    """Turns rows of float64 into float32, in the same scratch every time."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._scratch: Array | None = None

    def __call__(self, rows: Array) -> Array:
        if rows.dtype == np.float32:
            return rows
        if self._scratch is None:
            self._scratch = np.empty((self._height, rows.shape[1]), np.float32)
        single = self._scratch[: len(rows)]
        single[...] = rows
        return single


class _Bounds:
    """Products of a block of vectors with all queries, and the terms with which they bound the scores."""

    def __init__(self, best: _Best, height: int) -> None:
        self._best, self._units, self._rounded = best, best.units(), _Rounded(height)
        self._products = np.empty((height, len(self._units)), np.float32)
        self._terms = np.empty((height, 4), np.float32)
        self._addresses = tuple(map(address, (self._terms, self._products)))

    def make(self, rows: Array) -> None:
        """Write the products and terms of these rows; each row has one writer."""
        single, D = self._rounded(rows), rows.shape[1]
        at, stride, exact, terms = address(single), single.strides[0], single is rows, self._addresses[0]

        def write(start: int, stop: int) -> None:
            kernels.bound_rows(self._best.metric, D, at, stride, exact, terms, start, stop)

        _threads.run(write, _threads.split(len(rows), _threads.parts(single.nbytes, len(rows))))
        np.matmul(single, self._units.T, out=self._products[: len(rows)])

    def choose(self, rows: Array, first: int) -> None:
        """Score the rows that pass; each query has one writer."""
        best, block, (terms, products) = self._best, _block(rows, first), self._addresses

        def offer(start: int, stop: int) -> None:
            kernels.filter_rows(best.kernel_args, block, products, self._products.strides[0], terms, start, stop)

        _threads.run(offer, _threads.split(best.groups, _threads.parts(self._products.nbytes, best.groups)))


# Vectors ---------------------------------------------------------------------------------------------------------


def _block(rows: Array, first: int) -> kernels.Block:
    """Return what kernels are told about the vectors from id ``first`` on."""
    return kernels.Block(dtype_tag(rows.dtype), address(rows), rows.strides[0], len(rows), first)


def _block_rows(N: int, D: int) -> int:
    """Return the number of vectors in a block."""
    return max(1, min(N, _BLOCK_ROWS, _BLOCK_BYTES // (4 * max(D, 1))))


def _itemsize(vectors: Any) -> float:
    """Return the bytes that a number of the vectors takes in memory."""
    return float(vectors.dtype.itemsize if isinstance(vectors, np.ndarray) else vectors.bits / 8)


def _is_row_major_for_blas(vectors: Any) -> bool:
    """Whether BLAS and the kernels can read vectors where they lie: aligned, native, contiguous rows in order."""
    if not isinstance(vectors, np.ndarray):
        return False
    stride, size = vectors.strides[0], vectors.dtype.itemsize
    return (
        vectors.dtype in (np.float32, np.float64)  # in native byte order
        and bool(vectors.flags.aligned)
        and has_contiguous_rows(vectors)
        and stride >= vectors.shape[1] * size
        and stride % size == 0
    )


def _blocks(vectors: Any, start: int, stop: int, height: int) -> Iterator[tuple[int, Array]]:
    """Yield the vectors [start, stop) block by block: the first id, and rows of float32, of float64 for float64.

    Rows lie as BLAS and the kernels read them; a block is valid until the next. This is the one place that knows
    how vectors are stored.
    """
    direct, D = _is_row_major_for_blas(vectors), vectors.shape[1]
    kind = np.float64 if _itemsize(vectors) == 8 else np.float32
    scratch = np.empty((0 if direct else min(height, stop - start), D), kind)
    for first in range(start, stop, height):
        if not isinstance(vectors, np.ndarray):
            rows = scratch[: min(height, stop - first)]
            quantized.read_range(vectors, first, rows)
            yield first, rows
            continue
        given = vectors[first : min(first + height, stop)]
        if direct:
            yield first, given
            continue
        rows = scratch[: len(given)]
        if given.dtype == np.float16 and has_contiguous_rows(given):  # NumPy takes 1.3 ns a number
            kernels.widen_rows(address(given), given.strides[0], address(rows), D, len(rows))
        else:
            rows[...] = given
        yield first, rows
