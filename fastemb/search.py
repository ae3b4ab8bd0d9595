"""The nearest vectors to queries, by comparing with all of them: ``topk``."""

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks, _devices, _frameworks, _words
from ._checks import Metric

_Array = npt.NDArray[Any]


def topk(
    queries: _Array, vectors: Any, k: int, *, metric: Metric = "cosine"
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Find the k best vectors for each query among all of them, exactly.

    Parameters
    ----------
    queries : numpy.ndarray, shape (Q, D) or (D,)
        float64, float32, float16 or bfloat16.
    vectors : numpy.ndarray or QuantizedTable, shape (N, D)
        Any of these types, not necessarily that of the queries, or int8; it may be read-only, strided or a memory map.
        Codes stand for what `QuantizedTable.dequantize` gives, int8 for whole numbers: scores are those of these.
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
        If `queries` or `vectors` is not an array of these types, or is masked, or they are of two frameworks; if `k` is
        not an integer.
    ValueError
        If the shapes do not fit, if `vectors` has no rows, if `k` is less than 1 or more than N, or if `metric` is not
        one of the three.

    Notes
    -----
    Every score that is compared or returned is computed in float64, in an order that depends on D alone, and rounded
    to float32 once. A product in float32, by BLAS for more than 12 queries, comes first and tells which vectors
    cannot be among the k best, by the classic bound of its rounding error (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1); it decides nothing else. So the result depends neither on the number of
    threads, ours or those of BLAS, nor on the BLAS library, to the bit; a BLAS that trades precision for speed (TF32,
    bfloat16) breaks the bound. Where k is more than an eighth of N all vectors are scored at once.

    On a GPU the product is that of the caller's framework, where it has one that keeps to float32, for more than two
    queries over float32 vectors; otherwise all vectors are scored. The result is the same, but that -0.0 is 0.0.

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
    if type(vectors) is np.ndarray:
        small: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]] | None
        small = _devices.HERE["search"].small_topk(queries, vectors, k, metric)
        if small is not None:
            return small
    elif framework := _frameworks.of(vectors):
        found: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]] = framework.call(
            topk, queries, vectors, k, metric=metric
        )
        return found
    asked, table = _checks.as_float_table(queries, "queries"), _as_vectors(vectors)
    k = _checks.as_integer(k, "k")
    _checks.require_one_device(vectors=table, queries=asked)
    _checks.require_word(metric, _checks.METRICS, "metric")
    _checks.require_axis(asked, "queries")
    _checks.require_axis(table, "vectors")
    if asked.ndim not in (1, 2):
        raise ValueError(f"queries must have shape (Q, D) or (D,), got {asked.shape}")
    if len(table.shape) != 2:
        raise ValueError(f"vectors must have shape (N, D), got {table.shape}")
    if asked.shape[-1] != table.shape[1]:
        raise ValueError(f"queries and vectors must have the same D, got shapes {asked.shape} and {table.shape}")
    N = table.shape[0]
    if not N:
        raise ValueError(f"vectors must have at least one row to be found, got shape {table.shape}")
    if not 1 <= k <= N:
        most = f"; give min(k, {N}) for all that there are" if k > N else ""
        raise ValueError(f"k must be from 1 to the number of vectors, {N}, got {_words.shown(k)}{most}")
    scores, ids = _devices.search(table).topk(asked, table, k, metric)
    return scores, ids


def _as_vectors(vectors: Any) -> Any:
    """Return vectors as a plain array of floats or int8, or a quantised table as it is."""
    if _checks.is_quantized(vectors):
        return vectors
    table = _checks.as_table(vectors, "vectors")
    if table.dtype.name != "int8" and not _checks.is_float(table.dtype):
        raise TypeError(f"vectors must have dtype float64, float32, float16, bfloat16 or int8, got {table.dtype}")
    return table
