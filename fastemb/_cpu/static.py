"""The CPU's way with small calls of static models: the means of few ids, through the small kernels of pooling."""

import numpy as np

from .arrays import Array
from .kernels import pooling as kernels
from .kernels.layout import BY_COUNT

_SMALL_BYTES = 1 << 19  # as for pools and bags
_FLOAT32, _BITS = np.dtype(np.float32), np.dtype(np.uint16)
_ONE_ROW = np.zeros(1, np.int64)  # in the place of offsets


def small_rows(table: Array) -> Array | None:
    """Return a table, not copied, as `small_means` takes it, float16 by its bits; None: no call on it is small."""
    if type(table) is not np.ndarray or table.ndim != 2 or not table.flags.carray:
        return None
    return table if table.dtype == _FLOAT32 else table.view(_BITS) if table.dtype == np.float16 else None


def small_means(rows: Array, ids: Array, offsets: Array | None, normalize: bool) -> Array | None:
    """Return the means of int32 ids in float32, of all of them without offsets; None: take the general road."""
    S, N, D = 1 if offsets is None else offsets.size - 1, ids.size, rows.shape[1]
    if max(S, N) * D > _SMALL_BYTES >> 2:
        return None
    out = np.empty((S, D), _FLOAT32)
    given, T = (_ONE_ROW, N) if offsets is None else (offsets, -1)
    if kernels.sum_small(rows, ids, N, given, T, out, BY_COUNT):
        return None
    if normalize:
        kernels.normalize_small(out, out)
    return out
