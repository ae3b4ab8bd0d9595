"""The small path of the gradients of ``pool`` in its modes that are sums: a few calls of NumPy, no kernel."""

from typing import Any

import numpy as np

from . import pooling
from .arrays import Array

_FLOAT32, _BOOL = np.dtype(np.float32), np.dtype(np.bool_)
_MASKS = _BOOL, np.dtype(np.int64), np.dtype(np.int32)
_MODES = "sum", "mean", "mean_sqrt_len"


def small_pool_backward(grad: Any, x: Array, mask: Any, mode: Any) -> Array | None:
    """Return the gradient of x, (B, T, D); None: take the general road, which says what is wrong if anything is."""
    if type(grad) is not np.ndarray or type(mode) is not str or mode not in _MODES:
        return None
    if x.dtype != _FLOAT32 or grad.dtype != _FLOAT32 or x.ndim != 3 or not 0 < x.size <= pooling._SMALL_BYTES >> 2:
        return None
    B, T, D = x.shape
    if grad.shape != (B, D):
        return None
    if mask is None:
        kept, count = None, np.full(B, T)
    elif type(mask) is not np.ndarray or mask.shape != (B, T) or mask.dtype not in _MASKS:
        return None
    else:
        kept = (mask.view(np.uint8) if mask.dtype == _BOOL else mask) != 0  # a bool may be any byte
        count = np.maximum(np.add.reduce(kept, 1, np.int64), 1)  # of nothing: no row gets what that makes
    if mode != "sum":
        by = count.astype(_FLOAT32) if mode == "mean" else np.sqrt(count.astype(np.float64)).astype(_FLOAT32)
        grad = grad / by[:, np.newaxis]
    out, share = np.empty((B, T, D), _FLOAT32), grad[:, np.newaxis]
    if kept is None:
        out[:] = share
    else:
        out[:] = 0
        np.copyto(out, share, where=kept[:, :, np.newaxis])
    return out
