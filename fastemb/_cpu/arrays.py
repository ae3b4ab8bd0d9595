"""NumPy arrays as kernels see them: addresses, strides, tags. The arrays behind addresses are kept alive by callers."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from _cffi_backend import FFI

from .kernels.layout import DTYPE_TAGS, NO_IDS, NO_SIZE, SIZE_TAGS, Ids, Rows

Array = npt.NDArray[Any]

_ffi = FFI()
_buffer, _cast, _POINTER = _ffi.from_buffer, _ffi.cast, _ffi.typeof("intptr_t")

# Dtypes and layouts ----------------------------------------------------------------------------------------------


@cache
def dtype_tag(dtype: np.dtype[Any]) -> Any:
    """Return the tag of float64, float32, float16 or bfloat16 of either byte order."""
    return DTYPE_TAGS[dtype.name]


@cache
def acc_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return the dtype of accumulators: float64 for float64, else float32."""
    return np.dtype(np.float64 if np.dtype(dtype).itemsize == 8 else np.float32)


def address(array: Array) -> int:
    """Return the address of the first element."""
    try:
        return int(_cast(_POINTER, _buffer(array)))  # a third of the time that .ctypes.data takes
    except (TypeError, ValueError):  # not contiguous, or of a dtype that buffers do not know
        return array.ctypes.data


def is_row_major(array: Array) -> bool:
    """Whether kernels can read numbers where they lie: native byte order, unit stride on the last axis."""
    return array.dtype.isnative and bool(array[(slice(1),) * (array.ndim - 1)].flags.c_contiguous)


def as_row_major(array: Array) -> Array:
    """Return the array, or a copy that kernels can read; shape and values are the same."""
    return array if is_row_major(array) else np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def has_contiguous_rows(array: Array) -> bool:
    """Whether each ``array[i]`` is contiguous, in whatever byte order and at whatever distance from row to row."""
    return bool(array[:1].flags.c_contiguous)


# What kernels are told -------------------------------------------------------------------------------------------


def rows(array: Array) -> Rows:
    """Return what kernels are told about a 2-D row-major array."""
    dtype = array.dtype
    return Rows(dtype_tag(dtype), address(array), array.strides[0], 8 * dtype.itemsize, array.shape[1])


def code_rows(table: Any) -> Rows:
    """Return what kernels are told about a quantised table, which keeps it: small calls need little else."""
    if table.kernel_args is None:
        at, scale, offset = address(table.codes), address(table.scale), address(table.offset)
        tag, stride = DTYPE_TAGS[f"int{table.bits}"], table.codes.strides[0]
        table.kernel_args = Rows(tag, at, stride, table.bits, table.shape[1], scale, offset)
    told: Rows = table.kernel_args
    return told


def ids(index: Array, V: int) -> Ids:
    """Return what kernels are told about contiguous int32 or int64 ids of rows of a table of V."""
    return Ids(SIZE_TAGS[index.dtype], address(index), index.size, V)


def all_rows(N: int) -> Ids:
    """Return the same where N entries are row numbers themselves."""
    return Ids(NO_SIZE, 0, N, N)


def no_ids(N: int) -> Ids:
    """Return the same for kernels that are compiled for this case alone."""
    return Ids(NO_IDS, 0, N, N)


# Ids -------------------------------------------------------------------------------------------------------------


def as_index(ids: Array) -> Array:
    """Return ids as contiguous int32 or int64, not copied where they lie in order. Beyond int64 they turn negative."""
    kind = np.int32 if ids.dtype.kind == "i" and ids.dtype.itemsize == 4 else np.int64
    return np.ascontiguousarray(ids, kind) if ids.ndim else ids.astype(kind)


def slots_of_rows(offsets: Array) -> Array:
    """Return for each flat slot its number within its row, 0 and up; offsets ascend from 0."""
    slots: Array = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    return slots


# Rounding --------------------------------------------------------------------------------------------------------


def can_store(dtype: np.dtype[Any], acc: np.dtype[Any]) -> bool:
    """Whether kernels can round accumulators to this dtype: float64 to float32 at the smallest, in native order."""
    return dtype.isnative and (acc.itemsize == 4 or dtype.itemsize > 2)


def cast(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return values of another dtype, which is large enough to be rounded to at once; infinities are results too."""
    with np.errstate(all="ignore"):
        return values.astype(dtype)


def round_into(out: Array, values: Array) -> None:
    """Round values to what ``out`` holds, once. Infinities of a smaller type are results like others.

    ml_dtypes takes float64 to bfloat16 by way of float32, which rounds twice. So float32 is rounded to odd here:
    toward zero, with the last bit set where that was not exact. Such a number rounds on as the first one would.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if values.dtype == np.float64 and out.dtype.name == "bfloat16":
            single = values.astype(np.float32)
            bits = single.view(np.uint32)
            bits -= np.abs(single) > np.abs(values)
            bits |= single != values
            values = single
        out[...] = values
