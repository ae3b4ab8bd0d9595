"""The small path of bags, pools and rows at length one: calls that are not worth a second thread.

Forward it is one kernel. Of the gradients those of ``pool`` are here: a few calls of NumPy for sums, one kernel for
maxima; those of bags are in ``small_bag_grads.py``.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .. import _memory, _threads
from .arrays import Array
from .entries import cuts_of
from .kernels import pooling as kernels
from .kernels.jit import TUNING
from .kernels.layout import BY_COUNT, BY_ONE, BY_ROOT, DTYPE_TAGS

_SMALL_BYTES = 1 << 19
_ONE_THREAD_BYTES = 1 << 24  # of rows, below which a second thread would get less than it is worth
_FLOAT32, _INT64, _BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)
_ID_DTYPES = _INT64, np.dtype(np.int32)
_MASKS = _BOOL, *_ID_DTYPES
_NO_OFFSETS = np.zeros(1, np.int64)
_NO_IDS, _NO_MASKED_IDS = np.zeros(0, np.int64), np.zeros((0, 0), np.int64)  # of as many axes as ids there have
_SUMS, _MAXIMA = (kernels.sum_small, kernels.sum_small_kept), (kernels.max_small, kernels.max_small_kept)
#: The kernels of a mode for all slots and for those a mask keeps, and what a sum is divided by.
_SMALL: dict[str, tuple[tuple[Callable[..., int], Callable[..., int]], int]] = {
    "sum": (_SUMS, BY_ONE), "mean": (_SUMS, BY_COUNT), "mean_sqrt_len": (_SUMS, BY_ROOT), "max": (_MAXIMA, BY_ONE)
}  # fmt: skip
_SUM_MODES = "sum", "mean", "mean_sqrt_len"


@cache
def _bits_of(dtype: np.dtype[Any]) -> Any:
    """Return as what kernels take rows of a dtype: float32, or the bits of 16-bit floats; None: not at all."""
    if dtype.isnative and dtype.name in ("float32", "float16", "bfloat16"):
        return DTYPE_TAGS[dtype.name].dtype
    return None


def small_bags(table: Array, ids: Any, offsets: Any, mask: Any, mode: str) -> Array | None:
    """Return the bags of a small call; None: take the general road, which says what is wrong if anything is."""
    bits = _bits_of(table.dtype)
    if bits is None or type(ids) is not np.ndarray or type(mode) is not str:
        return None
    dtype, N = ids.dtype, ids.size
    if dtype not in _ID_DTYPES or not ids.flags.carray or not table.flags.carray or table.ndim != 2:
        return None
    D = table.shape[1]
    if N * D > _SMALL_BYTES >> 2 and table.nbytes > TUNING.small_tables:
        return None
    if mode not in _SMALL:
        return None
    (kernel, masked), divide_by = _SMALL[mode]
    if bits is not _FLOAT32 and dtype is not _INT64:  # one compilation for both is worth half a microsecond
        ids = ids.astype(_INT64)
    if ids.ndim == 2 and offsets is None:
        S, T = ids.shape
        if mask is not None:
            if S * D > _SMALL_BYTES >> 2 or N * D > _ONE_THREAD_BYTES >> 2:
                return None
            return _small_kept(masked, table, ids, mask, S, T, divide_by, bits)
        ids, offsets = ids.reshape(N), _NO_OFFSETS
    elif ids.ndim == 1 and mask is None and type(offsets) is np.ndarray and offsets.dtype == _INT64:
        S, T = offsets.size - 1, -1
        if offsets.ndim != 1 or not offsets.flags.carray or S < 0:
            return None
    else:
        return None
    if max(N, S) * D > _ONE_THREAD_BYTES >> 2:  # many bags may be empty
        return _large_bags(kernel, table, ids, offsets, T, S, divide_by, bits)
    out = np.empty((S, D), table.dtype) if S * D <= _SMALL_BYTES >> 2 else _memory.empty((S, D), table.dtype)
    given, goal = (table, out) if bits is _FLOAT32 else (table.view(bits), out.view(bits))
    return None if kernel(given, ids, N, offsets, T, goal, divide_by, 0, S) else out


def _large_bags(
    kernel: Callable[..., int], table: Array, ids: Array, offsets: Array, T: int, S: int, divide_by: int, bits: Any
) -> Array | None:
    """Return S bags by the kernel of small calls, on threads; None: take the general road.

    The general road's steps find their caches emptied by the rows of the call before: 0.1 to 0.2 ms of one.
    """
    N, D = ids.size, table.shape[1]
    out = _memory.empty((S, D), table.dtype)
    given, goal = (table, out) if bits is _FLOAT32 else (table.view(bits), out.view(bits))
    bad: list[int] = []

    def write(start: int, stop: int, alive: object = (table, ids, offsets, out)) -> None:
        if kernel(given, ids, N, offsets, T, goal, divide_by, start, stop):
            bad.append(start)

    ranges = _threads.parts((N + S) * D * table.itemsize, S)
    if ranges == 1:
        cuts = [0, S]
    elif T >= 0:
        cuts = _threads.split(S, ranges)
    else:
        cuts = cuts_of(offsets, N, S, ranges)
    _threads.run(write, cuts)
    return None if bad else out


def small_pool(x: Array, mask: Any, mode: str) -> Array | None:
    """Return the pool of a small call of shape (B, T, D); None: take the general road."""
    bits = _bits_of(x.dtype)
    if bits is None or not 0 < x.size <= _ONE_THREAD_BYTES >> 2 or not x.flags.carray or x.ndim != 3:
        return None
    if type(mode) is not str or mode not in _SMALL:
        return None
    (B, T, D), ((kernel, masked), divide_by) = x.shape, _SMALL[mode]
    if B * D > _SMALL_BYTES >> 2 or (x.size > _SMALL_BYTES >> 2 and TUNING.small_tables < _ONE_THREAD_BYTES):
        return None
    rows = x.reshape(B * T, D)
    if mask is not None:
        return _small_kept(masked, rows, _NO_MASKED_IDS, mask, B, T, divide_by, bits)
    out = np.empty((B, D), x.dtype)
    given, goal = (rows, out) if bits is _FLOAT32 else (rows.view(bits), out.view(bits))
    return None if kernel(given, _NO_IDS, B * T, _NO_OFFSETS, T, goal, divide_by, 0, B) else out


def _small_kept(
    kernel: Callable[..., int], rows: Array, ids: Array, mask: Any, S: int, T: int, divide_by: int, bits: Any
) -> Array | None:
    """Return one row for each of S times T slots, of which a mask keeps some; None: take the general road."""
    if type(mask) is not np.ndarray or mask.shape != (S, T):
        return None
    if mask.dtype != _BOOL:
        if mask.dtype not in _ID_DTYPES:
            return None
        mask = mask != 0
    if not mask.flags.carray:
        return None
    out, kept = np.empty((S, rows.shape[1]), rows.dtype), np.empty(T + 1 if S else 1, _INT64)
    given, goal = (rows, out) if bits is _FLOAT32 else (rows.view(bits), out.view(bits))
    return None if kernel(given, ids, mask, kept, T, goal, divide_by) else out


def small_normalize(x: Array) -> Array | None:
    """Return rows at length one of a small call; None: take the general road."""
    if x.dtype != _FLOAT32 or not 0 < x.size <= _SMALL_BYTES >> 2 or not x.flags.carray or not x.ndim:
        return None
    out = np.empty(x.shape, _FLOAT32)
    if x.ndim == 2:
        kernels.normalize_small(x, out)
    else:
        flat = -1, x.shape[-1]
        kernels.normalize_small(x.reshape(flat), out.reshape(flat))
    return out


def small_pool_backward(grad: Any, x: Array, mask: Any, mode: Any) -> Array | None:
    """Return the gradient of x, (B, T, D); None: take the general road, which says what is wrong if anything is."""
    if type(grad) is not np.ndarray or type(mode) is not str or not (mode in _SUM_MODES or mode == "max"):
        return None
    if x.dtype != _FLOAT32 or grad.dtype != _FLOAT32 or x.ndim != 3 or not 0 < x.size <= _SMALL_BYTES >> 2:
        return None
    B, T, D = x.shape
    if grad.shape != (B, D):
        return None
    kept: Array | None
    if mask is None:
        kept = None
    elif type(mask) is not np.ndarray or mask.shape != (B, T) or mask.dtype not in _MASKS:
        return None
    else:
        kept = (mask.view(np.uint8) if mask.dtype == _BOOL else mask) != 0  # a bool may be any byte
    return _back_of_maxima(grad, x, kept) if mode == "max" else _back_of_sums(grad, x, kept, mode)


def _back_of_maxima(grad: Array, x: Array, kept: Array | None) -> Array | None:
    """Return the gradient of x through the maxima of the rows that are kept; None: take the general road."""
    if not x.flags.carray or not grad.flags.carray:
        return None
    B, T, D = x.shape
    if kept is None:
        ids, N, offsets, out = _NO_IDS, B * T, np.arange(0, B * T + 1, T), np.empty((B, T, D), _FLOAT32)
    else:
        ids, offsets, out = np.flatnonzero(kept), np.zeros(B + 1, _INT64), np.zeros((B, T, D), _FLOAT32)
        np.add.accumulate(np.add.reduce(kept, 1, _INT64), out=offsets[1:])
        if not (N := ids.size):
            return out
    flat, maxima = (B * T, D), np.empty((B, D), _FLOAT32)
    kernels.spread_maxima_small(x.reshape(flat), ids, N, offsets, maxima, grad, out.reshape(flat), kept is None)
    return out


def _back_of_sums(grad: Array, x: Array, kept: Array | None, mode: str) -> Array:
    """Return the gradient of x through the sums, or the means, of the rows that are kept."""
    B, T, D = x.shape
    # Of nothing 1: no row gets what that makes.
    count = np.full(B, T) if kept is None else np.maximum(np.add.reduce(kept, 1, np.int64), 1)
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
