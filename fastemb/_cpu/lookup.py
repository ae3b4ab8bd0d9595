"""The CPU's way with ``gather``: rows copied as bytes, in ranges, past the caches where they are many."""

import math
from typing import Any

import numpy as np

from .. import _checks, _memory, _threads
from . import mapped, quantized
from .arrays import Array, address, as_index, has_contiguous_rows, ids
from .kernels import lookup as kernels
from .kernels import quantized as code_kernels
from .kernels.jit import TUNING, Direct
from .kernels.layout import SIZE_TAGS

_MODES = {"raise": kernels.RAISE, "clip": kernels.CLIP, "wrap": kernels.WRAP}

_INT64_MAX = np.iinfo(np.int64).max

# Ids ---------------------------------------------------------------------------------------------------------------


def index_of(ids: Array, V: int, mode: str) -> Array:
    """Return ids as `as_index` does, those beyond int64 by the rule of the mode; others are not checked.

    A table without rows has no row for any id, in any mode: IndexError.
    """
    if not V and ids.size:
        _checks.raise_out_of_range(ids, 0, V)
    if ids.dtype == np.uint64 and ids.size and ids.max() > _INT64_MAX:
        if mode == "raise":
            _checks.raise_out_of_range(ids, int(np.argmax(ids >= np.uint64(V))), V)
        ids = np.minimum(ids, np.uint64(V - 1)) if mode == "clip" else ids % np.uint64(V)
    return as_index(ids)


def first_bad(index: Array, V: int) -> int:
    """Return the first place of an id that is not in ``[0, V)``, or -1."""
    bad: int = kernels.find_bad_id(SIZE_TAGS[index.dtype], address(index), index.size, V)
    return bad


def rows_meant(ids: Array, V: int, mode: str) -> Array:
    """Return the rows that ids mean, checked, contiguous, int32 or int64."""
    index = index_of(ids, V, mode)
    bad = first_bad(index, V)
    if bad < 0:
        return index
    if mode == "raise":
        _checks.raise_out_of_range(ids, bad, V)
    wide = index.astype(np.int64)  # V need not fit int32
    return np.asarray(np.clip(wide, 0, V - 1) if mode == "clip" else wide % V)


# Rows --------------------------------------------------------------------------------------------------------------

# Results up to this size are not worth a second thread; so few rows NumPy copies sooner than a kernel of ours does.
_SMALL_BYTES, _FEW = 1 << 19, 512
# Results that the caller has memory for take a kernel of ours up to a size at which they stay in the caches: what
# Python does for the general road, 15 us, is twice the time of a copy of 256 KiB. The kernel takes arrays, so it is
# compiled for each type of them: float32 and plain bytes, with int32 and int64 ids.
_INTO_BYTES = TUNING.into_bytes
_FLOAT32, _INT64, _INT32 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.int32)
_ID_DTYPES = _INT64, _INT32
_has_negative_64, _has_negative_32 = (Direct(kernels.has_negative, np.zeros(0, dtype)) for dtype in _ID_DTYPES)


def small_gather(table: Array, ids: Array) -> Array | None:
    """Return the rows of a small call; None: take the general road, which says what is wrong if anything is.

    A few are copied by ``ndarray.take``, in less time than a kernel of three arrays. It looks for ids beyond the table,
    too, and counts negative ones from the table's end: for these alone there is a kernel.
    """
    if ids.dtype is _INT64:
        has_negative = _has_negative_64.call
    elif ids.dtype is _INT32:
        has_negative = _has_negative_32.call
    else:
        return None
    if not (ids.flags.carray and table.flags.carray) or table.ndim != 2 or table.dtype.hasobject:
        return None
    N = ids.size
    if not 0 < N * table.nbytes <= _SMALL_BYTES * len(table):  # rows times bytes of a row; D or V may be 0
        return None
    if N > _FEW:
        out = np.empty((*ids.shape, table.shape[1]), table.dtype)
        return out if gather_into(table, ids, out) else None
    if has_negative(ids if ids.ndim == 1 else ids.reshape(-1)):
        return None
    try:
        return table.take(ids, 0)
    except IndexError:
        return None


def gather_into(table: Array, ids: Array, out: Array) -> bool:
    """Write the rows of a call whose result fits the caches to ``out``; False: take the general road."""
    if ids.dtype not in _ID_DTYPES or not ids.flags.carray or table.ndim != 2 or not table.flags.carray:
        return False
    N, D, dtype = ids.size, table.shape[1], table.dtype
    if not 0 < out.nbytes < _INTO_BYTES or out.shape != (*ids.shape, D) or out.dtype is not dtype:
        return False
    if not out.flags.carray:
        return False
    flat, rows = (ids, out) if ids.ndim == 1 else (ids.reshape(N), out.reshape(N, D))
    if dtype is not _FLOAT32:
        if dtype.hasobject:
            return False
        table, rows = table.view(np.uint8), rows.view(np.uint8)
    bad: int = kernels.gather_small(table, flat, rows)  # which looks for an overlap, too: NumPy takes 0.7 us for that
    return bad < 0


def small_gather_codes(table: Any, ids: Array) -> Array | None:
    """Return the rows of a small call on a quantised table, which has been read before, as `small_gather` does."""
    kernel_args = table.kernel_args
    if kernel_args is None or ids.dtype not in _ID_DTYPES or not ids.flags.carray:
        return None
    N, (V, D) = ids.size, table.shape
    if not 0 < N * D <= _SMALL_BYTES >> 2:
        return None
    flat, out = ids if ids.ndim == 1 else ids.reshape(N), np.empty((N, D), _FLOAT32)
    if code_kernels.widen_small(kernel_args, V, flat, out) >= 0:
        return None
    return out if flat is ids else out.reshape((*ids.shape, D))


def gather(table: Any, ids: Array, mode: str, out: Array | None) -> Array:
    """Return the rows of a table that ids mean, in ``out`` where that is given.

    Raises the IndexError for the first bad id; nothing is written to a given ``out`` then.
    """
    codes = _checks.is_quantized(table)
    dtype: np.dtype[Any] = _FLOAT32 if codes else table.dtype
    V, shape = table.shape[0], ids.shape + table.shape[1:]
    index = index_of(ids, V, mode)
    if out is None:
        target, warm = _new_result(shape, dtype)
    elif out.flags.c_contiguous or (ids.ndim == 1 and has_contiguous_rows(out)):
        target, warm = out, True
    else:
        target, warm = _new_result(shape, dtype)
    bad = _read_codes(table, index, mode, target, warm) if codes else _copy_rows(table, index, mode, target, warm)
    if bad >= 0:
        _checks.raise_out_of_range(ids, bad, V)
    if out is None or target is out:
        return target
    out[...] = target
    return out


def _new_result(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, bool]:
    """Return a new array, in foreign byte order if the dtype is, and whether its memory is warm."""
    size = math.prod(shape) * dtype.itemsize
    if size < _memory.POOLED_BYTES:
        return np.empty(shape, dtype), False
    flat, warm = _memory.new_result((size,), np.uint8)
    return flat.view(dtype).reshape(shape), warm


def _read_codes(table: Any, index: Array, mode: str, target: Array, warm: bool) -> int:
    """Write rows of codes as numbers; return the first bad place, or -1."""
    flat = target.reshape(index.size, target.shape[-1])
    return quantized.read(table, ids(index, table.shape[0]), _MODES[mode], flat, warm, alive=index)


def _copy_rows(source: Array, index: Array, mode: str, target: Array, warm: bool) -> int:
    """Check the ids and copy their rows; return the first bad place, or -1.

    Only warm memory is streamed to: the zeros of a fresh page lie in the cache already.
    """
    V, N = source.shape[0], index.size
    size = math.prod(source.shape[1:]) * source.dtype.itemsize
    if (
        0 < N * size <= _SMALL_BYTES
        and mode == "raise"
        and source.flags.c_contiguous
        and target.flags.c_contiguous
        and index.flags.carray
    ):
        rows, results = (array.reshape(-1).view(np.uint8).reshape(-1, size) for array in (source, target))
        return kernels.gather_small(rows, index.reshape(-1), results)
    row_step = target.strides[0] if index.ndim == 1 and N > 1 else size
    nontemporal = warm and N * size >= _memory.STREAM_BYTES and size >= 64
    check = N if mode == "raise" else 0
    kernel_args = (
        index.dtype.type(0), address(source), source.strides[0], size, V, address(index), _MODES[mode],
        address(target), row_step, nontemporal,
    )  # fmt: skip

    def copy(start: int, stop: int, check: int = 0, alive: object = (source, index, target)) -> int:
        bad: int = kernels.gather_rows(*kernel_args, check, start, stop)
        return bad

    if not has_contiguous_rows(source):
        bad = copy(0, 0, check)
        if bad < 0:
            # Not numpy.take, which would first copy the whole table.
            target[...] = source[np.clip(index, 0, V - 1) if mode == "clip" else index % max(V, 1)]
        return bad
    ranges = _threads.parts(2 * N * size, N)
    if ranges == 1:
        return copy(0, N, check)
    bad = copy(0, 0, check) if check else -1
    if bad < 0:
        _threads.run(copy, _threads.split(N, ranges))
    return bad


def prefetch(table: Array, ids: Array) -> int:
    """Ask for the rows of a mapped table, and return how many bytes that is."""
    return mapped.advise(table, rows_meant(ids, table.shape[0], "raise"))
