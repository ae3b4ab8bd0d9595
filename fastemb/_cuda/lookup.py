"""CUDA's way with ``gather``: rows copied as words of up to 16 bytes, four rows a thread."""

import math
from typing import Any

from .. import _checks
from .._frameworks import DeviceArray
from . import arrays, launch, status
from .kernels.lookup import RAISE, make_gather


def gather(table: Any, ids: DeviceArray, mode: str, out: DeviceArray | None) -> Any:
    """Return the rows of a table that ids mean, in ``out`` where that is given."""
    place = arrays.place_of(ids if _checks.is_quantized(table) else table)
    V, N = table.shape[0], ids.size
    if not V and N:
        raise IndexError("a table of 0 rows has no row for any id")
    result = arrays.new(ids.shape + table.shape[1:], table.dtype, table) if out is None else out
    row_bytes = math.prod(table.shape[1:]) * table.dtype.itemsize
    fault = status.Fault("gather", "id", ids.shape, f"a table of {V} rows")
    check = status.begin(place, row_bytes, fault)
    index = arrays.as_index(ids, place)
    if mode == RAISE:
        status.require_ids(place, check, 0, index, V)
    if N and row_bytes:
        source = arrays.as_rows(table, place)
        goal = result if arrays.is_contiguous(result, 0) else arrays.new(result.shape, result.dtype, table)
        rows = arrays.reshaped(goal, N, row_bytes // table.dtype.itemsize)
        _copy_rows(source, index, rows, row_bytes, mode, check, place)
        if goal is not result:
            arrays.copy_into(result, goal, place)
    return result.owner


def _copy_rows(
    source: DeviceArray, index: DeviceArray, goal: DeviceArray, row_bytes: int, mode: str, check: status.Check,
    place: launch.Place,
) -> None:  # fmt: skip
    stride, out_stride = source.strides[0], goal.strides[0]
    width = arrays.width_of(source.pointer, stride, goal.pointer, out_stride, row_bytes)
    N, V, W = index.size, source.shape[0], row_bytes // width
    x = min(W, launch.driver.threads // 4)
    y = launch.driver.threads // x
    kernel = launch.kernel(make_gather, index.dtype.name, width, mode)
    values = (source.pointer, stride, index.pointer, goal.pointer, out_stride, N, V, W, check.address, check.marks[0])
    launch.submit(kernel, (-(-N // (4 * y)), 1), (x, y), place, values, (source, index, goal))
