"""The small path of the gradients of bags: one kernel for sums, which makes no row for an id, and one for maxima."""

from typing import Any

import numpy as np

from .arrays import Array
from .gradient import small_row_grad
from .kernels import gradient as kernels
from .kernels.layout import BY_COUNT, BY_ONE, BY_ROOT
from .kernels.pooling import spread_maxima_small

_SMALL_BYTES = 1 << 18  # of the rows that are read, once for each id
_FLOAT32, _INT64, _INT32 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.int32)
_DIVIDE_BY = {"sum": BY_ONE, "mean": BY_COUNT, "mean_sqrt_len": BY_ROOT, "max": BY_ONE}
_NO_OFFSETS = np.zeros(1, np.int64)


def small_bags_backward(
    grad: Any, table: Array, ids: Any, offsets: Any, mode: Any, padding_idx: Any, by_count: Any
) -> tuple[Array, Array] | None:
    """Return the ids in use and the sums of their rows; None: take the general road, which says what is wrong."""
    if type(grad) is not np.ndarray or type(ids) is not np.ndarray or type(mode) is not str:
        return None
    if type(by_count) is not bool or not (padding_idx is None or type(padding_idx) is int):
        return None
    divide_by, dtype = _DIVIDE_BY.get(mode), ids.dtype
    if divide_by is None or dtype not in (_INT64, _INT32) or table.dtype != _FLOAT32 or grad.dtype != _FLOAT32:
        return None
    N, D = ids.size, table.shape[-1] if table.ndim == 2 else 0
    if not 0 < N * D <= _SMALL_BYTES >> 2 or not ids.flags.carray or not grad.flags.carray:
        return None
    if offsets is None:
        if ids.ndim != 2:
            return None
        (S, T), bounds = ids.shape, _NO_OFFSETS
    else:
        if ids.ndim != 1 or type(offsets) is not np.ndarray or offsets.dtype != _INT64 or offsets.ndim != 1:
            return None
        S, T, bounds = offsets.size - 1, -1, offsets
        if not offsets.flags.carray or S * D > _SMALL_BYTES >> 2:  # many may be empty
            return None
    if grad.shape != (S, D):
        return None
    V, index = table.shape[0], ids.reshape(N) if dtype == _INT64 else ids.reshape(N).astype(np.int64)
    skip = -1 if padding_idx is None or not 0 <= padding_idx < V else padding_idx
    if mode == "max":
        bounds = np.arange(0, N + 1, T) if T > 0 else bounds
        found = _back_of_maxima(grad, table, index, bounds, skip, by_count)
        return found if found is None or dtype == _INT64 else (found[0].astype(dtype), found[1])
    unique, sums, do = np.empty(N, np.int64), np.empty((N, D), _FLOAT32), kernels.MEAN if by_count else kernels.SUM
    U = kernels.put_bags_small(index, bounds, T, grad, divide_by, skip, V, do, unique, sums)
    if U < 0:
        return None
    if U < N:
        unique, sums = unique[:U].copy(), sums[:U].copy()
    return unique if dtype == _INT64 else unique.astype(dtype), sums


def _back_of_maxima(
    grad: Array, table: Array, index: Array, offsets: Array, skip: int, by_count: bool
) -> tuple[Array, Array] | None:
    """Return the ids in use and the sums of their rows, each of which has what its columns hold the maxima of."""
    if not table.flags.carray:
        return None
    if skip >= 0:  # of padding the maxima are to know nothing
        others = _without(index, offsets, skip)
        if others is None:
            return None
        index, offsets = others
        if not index.size:
            return index, np.empty((0, table.shape[1]), _FLOAT32)
    given = np.empty((index.size, table.shape[1]), _FLOAT32)
    maxima = np.empty_like(grad)
    if spread_maxima_small(table, index, index.size, offsets, maxima, grad, given, True):
        return None
    return small_row_grad(index, given, None, by_count)


def _without(index: Array, offsets: Array, skip: int) -> tuple[Array, Array] | None:
    """Return the ids that are not ``skip``, and where each bag begins among them; None: the offsets are wrong."""
    N = index.size
    if offsets[0] or offsets[-1] != N or np.logical_or.reduce(offsets[1:] < offsets[:-1]):
        return None
    kept, before = index != skip, np.zeros(N + 1, np.int64)
    np.add.accumulate(kept, dtype=np.int64, out=before[1:])
    return index[kept], before.take(offsets)
