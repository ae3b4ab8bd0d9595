"""CUDA's way with ``gather``: rows copied as words, four a thread or a warp each; codes widened."""

import math
from typing import Any

import numpy as np

from .. import _checks
from .._frameworks import DeviceArray
from . import arrays, launch, quantized, status
from .kernels.lookup import RAISE, make_gather, make_gather_warp

# Words of 16 bytes in a row from which on a warp a row has as many loads in flight as four rows a thread, in fewer
# registers; and those that a warp holds in registers at most.
_LEAST_WARP_WORDS, _MOST_WARP_WORDS = 97, 256


def gather(table: Any, ids: DeviceArray, mode: str, out: DeviceArray | None) -> Any:
    """Return the rows of a table that ids mean, in ``out`` where that is given."""
    is_quantized = _checks.is_quantized(table)
    like = table.codes if is_quantized else table
    place, V, N = arrays.place_of(like), table.shape[0], ids.size
    if not V and N:
        raise IndexError("a table of 0 rows has no row for any id")
    dtype = np.dtype(np.float32) if is_quantized else table.dtype
    result = arrays.new(ids.shape + table.shape[1:], dtype, like) if out is None else out
    D = math.prod(table.shape[1:])
    fault = status.Fault("gather", "id", ids.shape, f"a table of {V} rows", dtype=ids.dtype)
    check = status.begin(place, D * dtype.itemsize, fault)
    index = arrays.as_index(ids, place, mode, V)
    if mode == RAISE:
        status.require_ids(place, check, 0, index, V)
    if N and D * dtype.itemsize:
        goal = result if arrays.is_contiguous(result) else arrays.new(result.shape, dtype, like)
        rows = arrays.reshaped(goal, N, D)
        if is_quantized:
            quantized.widen(table, index, mode, rows, check, place)
        else:
            _copy_rows(arrays.as_rows(table, place), index, rows, D * dtype.itemsize, mode, check, place)
        if goal is not result:
            arrays.copy_into(result, goal, place)
    return result.owner


def _copy_rows(
    source: DeviceArray, index: DeviceArray, goal: DeviceArray, row_bytes: int, mode: str, check: status.Check,
    place: launch.Place,
) -> None:  # fmt: skip
    stride, out_stride, threads = source.strides[0], goal.strides[0], launch.driver.threads
    width = arrays.width_of(source.pointer, stride, goal.pointer, out_stride, row_bytes)
    N, V, W = index.size, source.shape[0], row_bytes // width
    if width == arrays.MOST_WIDTH and _LEAST_WARP_WORDS <= W <= _MOST_WARP_WORDS:
        x, rows_a_thread = 32, 1
        kernel = launch.kernel(make_gather_warp, index.dtype.name, width, mode, -(-W // 32))
    else:
        x, rows_a_thread = min(W, threads // 4), 4
        kernel = launch.kernel(make_gather, index.dtype.name, width, mode)
    y = threads // x
    values = (source.pointer, stride, index.pointer, goal.pointer, out_stride, N, V, W, check.address, check.marks[0])
    launch.submit(kernel, (-(-N // (rows_a_thread * y)), 1), (x, y), place, values, (source, index, goal))
