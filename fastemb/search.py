"""The nearest vectors to queries, by comparing with all of them: ``topk``."""

from collections.abc import Iterator
from functools import cache
from operator import index
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _threads

_Array = npt.NDArray[Any]

_METRICS = {"dot": 0, "cosine": 1, "l2": 2}  # the numbers are those of the kernels
# Vectors of a block, in bytes of float32: the kernels read them from memory, and then BLAS from the cache. Measured.
_BLOCK = 1 << 20
# Where they are read once, a block only has to be large enough for its fixed cost, some 20 us, not to count.
_LONG_BLOCK = 64 << 20
_BLOCK_ROWS = 8192
# Queries that share one pass over the vectors.
_BLOCK_QUERIES = 256
# So few queries do without BLAS, in one go at the speed of memory. Measured.
_FEW_QUERIES = 12
# Where the k best are more than one vector in so many, finding out which to score costs more than scoring all.
_SPARSE = 8
_GROUP = 16  # queries that the filter looks at together
_LAST = np.iinfo(np.int64).max


def topk(
    queries: _Array, vectors: _Array, k: int, *, metric: str = "cosine"
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Find the k best vectors for each query among all of them, exactly.

    Parameters
    ----------
    queries : numpy.ndarray, shape (Q, D) or (D,)
        float64, float32, float16 or bfloat16.
    vectors : numpy.ndarray, shape (N, D)
        Any of these types, not necessarily that of the queries; it may be read-only, strided or a memory map.
    k : int
        How many to find, from 1 to N.
    metric : {"cosine", "dot", "l2"}
        ``"cosine"`` and ``"dot"`` are similarities: the highest come first. ``"l2"`` is the Euclidean distance
        itself, neither squared nor negated: the smallest come first.

    Returns
    -------
    scores : numpy.ndarray of float32, shape (Q, k) or (k,)
        Best first, NaN after every number. The cosine with a zero vector is 0, that with a vector or query which is
        not finite is NaN.
    ids : numpy.ndarray of int64, shape (Q, k) or (k,)
        The rows of `vectors` they belong to; of equal scores the lower id comes first.

    Raises
    ------
    TypeError
        If `queries` or `vectors` is not a NumPy array of these types, or is masked; if `k` is not an integer.
    ValueError
        If the shapes do not fit, if `k` is less than 1 or more than N, or if `metric` is not one of the three.

    Notes
    -----
    Every score that is compared or returned is computed in float64, in an order that depends on D alone, and rounded
    to float32 once. A product in float32, by BLAS for more than 12 queries, comes first and tells which vectors
    cannot be among the k best, by the classic bound of its rounding error (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1); it decides nothing else. So the result depends neither on the number of
    threads, ours or those of BLAS, nor on the BLAS library, to the bit; a BLAS that trades precision for speed (TF32,
    bfloat16) breaks the bound. Where k is more than an eighth of N all vectors are scored at once.

    The vectors are read once for every 256 queries, block by block; those that are not float32 in plain
    rows are converted block by block. Beside the result a call needs a few MiB, whatever N is. BLAS runs on the
    threads it is set to.

    Few vectors are scored again where their order is random. Ascending scores, many ties with the k-th best, or
    distances far below the vectors' own length (``"l2"``) make it more, at most all.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.search import topk
    >>> vectors = np.array([[1, 0], [0, 2], [3, 3], [0, 0]], np.float32)
    >>> scores, ids = topk(np.array([0, 1], np.float32), vectors, 2)
    >>> scores
    array([1.        , 0.70710677], dtype=float32)
    >>> ids
    array([1, 2])
    >>> topk(np.array([[0, 1], [3, 0]], np.float32), vectors, 1, metric="l2")
    (array([[1.],
           [2.]], dtype=float32), array([[1],
           [0]]))
    """
    asked, table = _float_rows(queries, "queries"), _float_rows(vectors, "vectors")
    if asked.ndim not in (1, 2):
        raise ValueError(f"queries must have shape (Q, D) or (D,), got {asked.shape}")
    if table.ndim != 2:
        raise ValueError(f"vectors must have shape (N, D), got {table.shape}")
    if asked.shape[-1] != table.shape[1]:
        raise ValueError(f"queries and vectors must have the same D, got shapes {asked.shape} and {table.shape}")
    if metric not in tuple(_METRICS):  # a list has no hash
        raise ValueError(f"metric must be one of {', '.join(map(repr, _METRICS))}, got {metric!r}")
    best = _checked_k(k, len(table))
    scores, ids = _search(np.atleast_2d(asked), table, best, _METRICS[metric])
    return (scores[0], ids[0]) if asked.ndim == 1 else (scores, ids)


def _float_rows(array: Any, name: str) -> _Array:
    checked = _arrays.as_table(array, name)
    kind = checked.dtype
    if not ((kind.kind == "f" and kind.itemsize in (2, 4, 8)) or kind.name == "bfloat16"):
        raise TypeError(f"{name} must have dtype float64, float32, float16 or bfloat16, got {kind}")
    return checked


def _checked_k(k: Any, N: int) -> int:
    if isinstance(k, (bool, np.bool_)) or not hasattr(k, "__index__"):
        raise TypeError(f"k must be an integer, got {type(k).__name__}")
    best = index(k)
    if not 1 <= best <= N:
        raise ValueError(f"k must be from 1 to the number of vectors, {N}, got {best}")
    return best


@cache
def _kernels() -> ModuleType:
    """Import the kernels when they are first needed: they bring Numba with them."""
    from ._cpu import search

    return search


def _search(queries: _Array, vectors: _Array, k: int, metric: int) -> tuple[_Array, _Array]:
    """Search for up to 256 queries at a time."""
    scores, ids = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    for first in range(0, len(queries), _BLOCK_QUERIES):
        some = slice(first, first + _BLOCK_QUERIES)
        scores[some], ids[some] = _search_block(queries[some].astype(np.float64, order="C"), vectors, k, metric)
    return scores, ids


def _search_block(queries: _Array, vectors: _Array, k: int, metric: int) -> tuple[_Array, _Array]:
    """Search in ranges of the vectors, one for each thread, and join what was found; with BLAS in one range."""
    Q, (N, D) = len(queries), vectors.shape
    score = _score_all if D == 0 or k * _SPARSE > N else _score_few if Q <= _FEW_QUERIES else _score_many
    ranges = 1 if score is _score_many else _threads.parts(Q * N * D * vectors.dtype.itemsize, N)
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
    order = np.lexsort((ids, scores if metric == _METRICS["l2"] else -scores))[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)


class _Best:
    """A block of queries and the k best of each so far, and the addresses of all that, for the kernels."""

    def __init__(self, queries: _Array, k: int, metric: int) -> None:
        Q, D = queries.shape
        self.metric, self.Q = metric, Q
        # Worse than all there is.
        self.scores, self.ids = np.full((Q, k), np.nan, np.float32), np.full((Q, k), _LAST)
        self._queries = _within_range(queries) if metric == _METRICS["cosine"] else queries
        with np.errstate(all="ignore"):
            self._norms = np.sqrt(np.einsum("qd,qd->q", self._queries, self._queries))
        # The filter looks at whole groups: the limits of queries that do not exist cannot be reached.
        self.groups = -(-Q // _GROUP)
        self._limits = np.full(self.groups * _GROUP, np.inf, np.float32)
        self._limits[:Q] = -np.inf
        self._weights = np.zeros(self.groups * _GROUP, np.float32)
        kept = (self._queries, self._norms, self._limits, self._weights, self.scores, self.ids)
        self.at = _kernels().Queries(metric, *map(_arrays.address, kept), Q, D, k)

    def units(self) -> _Array:
        """Return the queries at length one, as float32, with zero rows for those that do not exist.

        A query for which no bound holds, near the ends of float32, becomes NaN: then all vectors pass.
        """
        Q, D = self._queries.shape
        units = np.zeros((self.groups * _GROUP, D), np.float32)
        bounded = (self._norms > 1e-30) & (self._norms < 1e30)
        units[:Q] = self._queries / np.where(bounded, self._norms, np.nan)[:, np.newaxis]
        if self.metric == _METRICS["l2"]:
            self._weights[:Q] = np.where(bounded, 0.5 / self._norms, 0)
        return units

    def sort(self) -> None:
        """Put the entries in order, best first."""
        _kernels().sort_heaps(self.at, 0, self.at.Q)


def _within_range(queries: _Array) -> _Array:
    """Scale rows whose squares float64 cannot add by powers of two, which leaves their cosines as they are."""
    largest = np.abs(queries).max(axis=1, initial=0)
    _, exponents = np.frexp(largest)
    far = np.isfinite(largest) & (np.abs(exponents) > 450)
    return np.ldexp(queries, np.where(far, -exponents, 0)[:, np.newaxis]) if far.any() else queries


def _score_all(best: _Best, vectors: _Array, start: int, stop: int) -> None:
    """Score every vector in [start, stop)."""
    for first, rows in _blocks(vectors, start, stop, _block_rows(*vectors.shape)):
        _kernels().scan_rows(best.at, _block(rows, first))


def _score_few(best: _Best, vectors: _Array, start: int, stop: int) -> None:
    """Score the vectors in [start, stop) that rough products of our own cannot rule out; they are read once."""
    units, sums = best.units(), np.zeros((best.Q + 1, _kernels().CHUNK), np.float32)
    long = _plain(vectors) and vectors.dtype == np.float32
    height = max(1, _LONG_BLOCK // (4 * vectors.shape[1])) if long else _block_rows(*vectors.shape)
    rounded = _Rounded(min(height, stop - start))
    for first, rows in _blocks(vectors, start, stop, height):
        single = rounded(rows)
        _kernels().scan_bounded_rows(
            best.at, _block(rows, first), _arrays.address(units), _arrays.address(single), single.strides[0],
            _arrays.address(sums),
        )  # fmt: skip


def _score_many(best: _Best, vectors: _Array, start: int, stop: int) -> None:
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
        self._scratch: _Array | None = None

    def __call__(self, rows: _Array) -> _Array:
        if rows.dtype == np.float32:
            return rows
        if self._scratch is None:
            self._scratch = np.empty((self._height, rows.shape[1]), np.float32)
        single = self._scratch[: len(rows)]
        single[...] = rows
        return single


class _Bounds:
    """Products of a block of vectors with all queries, and what they need to bound the scores."""

    def __init__(self, best: _Best, height: int) -> None:
        self._best, self._units, self._rounded = best, best.units(), _Rounded(height)
        self._products = np.empty((height, len(self._units)), np.float32)
        self._terms = np.empty((height, 4), np.float32)
        self._at = tuple(map(_arrays.address, (self._terms, self._products)))

    def make(self, rows: _Array) -> None:
        """Write the products and terms of these rows; each row has one writer."""
        kernels, single, D = _kernels(), self._rounded(rows), rows.shape[1]
        at, stride, exact, terms = _arrays.address(single), single.strides[0], single is rows, self._at[0]

        def write(start: int, stop: int) -> None:
            kernels.bound_rows(self._best.metric, D, at, stride, exact, terms, start, stop)

        _threads.run(write, _threads.split(len(rows), _threads.parts(single.nbytes, len(rows))))
        np.matmul(single, self._units.T, out=self._products[: len(rows)])

    def choose(self, rows: _Array, first: int) -> None:
        """Score the rows that pass; each query has one writer."""
        kernels, best, block = _kernels(), self._best, _block(rows, first)
        terms, products = self._at

        def offer(start: int, stop: int) -> None:
            kernels.filter_rows(best.at, block, products, self._products.strides[0], terms, start, stop)

        _threads.run(offer, _threads.split(best.groups, _threads.parts(self._products.nbytes, best.groups)))


# Vectors ---------------------------------------------------------------------------------------------------------


def _block(rows: _Array, first: int) -> Any:
    return _kernels().Block(rows.dtype.type(0), _arrays.address(rows), rows.strides[0], len(rows), first)


def _block_rows(N: int, D: int) -> int:
    """Return the number of vectors in a block."""
    return max(1, min(N, _BLOCK_ROWS, _BLOCK // (4 * max(D, 1))))


def _plain(vectors: _Array) -> bool:
    """Whether BLAS and the kernels can read vectors where they lie: aligned, each in one piece, one after the other."""
    apart, size = vectors.strides[0], vectors.dtype.itemsize
    return (
        vectors.dtype in (np.float32, np.float64)  # of the native byte order, that is
        and bool(vectors.flags.aligned)
        and _arrays.rows_in_order(vectors)
        and apart >= vectors.shape[1] * size
        and apart % size == 0
    )


def _blocks(vectors: _Array, start: int, stop: int, height: int) -> Iterator[tuple[int, _Array]]:
    """Yield the vectors [start, stop) block by block: the first id, and rows of float32, of float64 for float64.

    Rows lie as BLAS and the kernels read them; a block is valid until the next. This is the one place that knows
    how vectors are stored.
    """
    plain, D = _plain(vectors), vectors.shape[1]
    kind = np.float64 if vectors.dtype.itemsize == 8 else np.float32
    scratch = np.empty((0 if plain else min(height, stop - start), D), kind)
    for first in range(start, stop, height):
        given = vectors[first : min(first + height, stop)]
        if plain:
            yield first, given
            continue
        rows = scratch[: len(given)]
        if given.dtype == np.float16 and _arrays.rows_in_order(given):  # NumPy takes 1.3 ns a number
            at, apart = _arrays.address(given), given.strides[0]
            _kernels().widen_rows(at, apart, _arrays.address(rows), D, len(rows))
        else:
            rows[...] = given
        yield first, rows
