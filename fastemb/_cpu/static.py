"""The CPU's way with static models: memory of results, and the means of few ids by a kernel of their own."""

import numpy as np

from .. import _memory
from .arrays import Array, is_row_major
from .kernels.pooling import normalize_small
from .kernels.static import mean_small

_SMALL_BYTES = 1 << 19  # as for pools and bags
_FLOAT32, _BITS = np.dtype(np.float32), np.dtype(np.uint16)
_NO_OFFSETS = np.zeros(1, np.int64)


def new_vectors(N: int, D: int) -> Array:
    """Return room for vectors, in memory of earlier results where there is some."""
    return _memory.empty((N, D), _FLOAT32)


def small_rows(table: Array) -> Array | None:
    """Return a table, not copied, as `small_means` takes it, float16 by its bits; None: no call on it is small."""
    if type(table) is not np.ndarray or table.ndim != 2 or not is_row_major(table):
        return None
    return table if table.dtype == _FLOAT32 else table.view(_BITS) if table.dtype == np.float16 else None


def small_means(rows: Array, ids: Array, offsets: Array | None, normalize: bool) -> Array | None:
    """Return the means of int32 ids in float32, of all of them without offsets; None: take the general road."""
    alone, D = offsets is None, rows.shape[1]
    S = 1 if offsets is None else offsets.size - 1
    if max(S, ids.size) * D > _SMALL_BYTES >> 2:
        return None
    out = np.empty((S, D), _FLOAT32)
    if mean_small(rows, ids, _NO_OFFSETS if offsets is None else offsets, alone, out):
        return None
    if normalize:
        normalize_small(out, out)
    return out
