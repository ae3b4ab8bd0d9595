"""What the public functions share: the checks of what callers give, what kernels are told of it, new results."""

import os
from functools import cache
from operator import index as as_int
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ._cpu.layout import ELEMENTS, NO_IDS, Ids, Rows
from ._pool import Pool
from ._text.core import ffi

Array = npt.NDArray[Any]

_buffer, _cast, _POINTER = ffi.from_buffer, ffi.cast, ffi.typeof("intptr_t")

_INT64_MAX = np.iinfo(np.int64).max


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_foreign(value: Any) -> bool:
    """Whether the value is the array of another framework. ``np.asarray`` might copy it from its device."""
    return any(
        hasattr(type(value), name) for name in ("__dlpack__", "__cuda_array_interface__", "__cuda_ndarray__")
    ) and not isinstance(value, (np.ndarray, np.generic))


def refuse_masked(value: Any, name: str) -> None:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and the mask would be ignored; give {name}.data or filled()")


def as_table(table: Any, name: str = "table") -> Array:
    """Return the table as a plain NumPy array of at least one axis that holds no Python objects; no copy."""
    if not isinstance(table, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray (only NumPy arrays are taken so far), got {_type_name(table)}")
    refuse_masked(table, name)
    if table.dtype.hasobject:
        raise TypeError(f"{name} must have a fixed-size dtype without Python objects, got {table.dtype}")
    if table.ndim == 0:
        raise ValueError(f"{name} must have at least one axis, got shape ()")
    return np.asarray(table)


def as_numbers(values: Any, name: str) -> Array:
    """Return a NumPy array or a list as a plain array; an empty list counts as int64."""
    if isinstance(values, np.ndarray):
        refuse_masked(values, name)
        return np.asarray(values)
    if _is_foreign(values):
        raise TypeError(f"{name} must be a NumPy array or a list so far, got {_type_name(values)}")
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be rectangular; rows of different lengths go into a Ragged") from None
    return array.astype(np.int64) if not array.size and isinstance(values, list | tuple) else array


def as_integers(values: Any, name: str) -> Array:
    """Return ids or offsets as a plain array of an integer dtype."""
    array = as_numbers(values, name)
    if array.dtype.kind not in "iu":
        held = f"dtype {array.dtype}" if array.dtype != object else _type_name(values)
        raise TypeError(f"{name} must have an integer dtype, got {held}")
    return array


def as_padding(padding_idx: Any) -> int | None:
    """Return the id that is left out, or None. It may be one that no table has."""
    if padding_idx is None:
        return None
    if isinstance(padding_idx, bool | np.bool_):
        raise TypeError("padding_idx must be an integer or None, got a bool")
    try:
        return as_int(padding_idx)
    except TypeError:
        raise TypeError(f"padding_idx must be an integer or None, got {_type_name(padding_idx)}") from None


def name_id(ids: Array, position: int) -> str:
    """Return the words for the id at a flat position: ``id 7 at position (1, 0)``."""
    place = tuple(map(int, np.unravel_index(position, ids.shape)))
    where = {0: "", 1: f" at position {position}"}.get(ids.ndim, f" at position {place}")
    return f"id {int(ids[place])}{where}"


def raise_out_of_range(ids: Array, position: int, V: int) -> NoReturn:
    """Raise the IndexError for the id at a flat position."""
    raise IndexError(f"{name_id(ids, position)} is out of range for a table of {V} rows")


def as_index(ids: Array, V: int, mode: str = "raise") -> Array:
    """Return ids as contiguous int32 or int64; those are not copied where they lie in order.

    An uint64 that int64 cannot hold is dealt with here, by the rule of the mode.
    """
    if ids.dtype == np.uint64 and ids.size and ids.max() > _INT64_MAX:
        if mode == "raise":
            raise_out_of_range(ids, int(np.argmax(ids >= np.uint64(V))), V)
        # Without rows there is nothing to clip or wrap to; the caller refuses any id then.
        rows = np.uint64(max(V, 1))
        ids = np.minimum(ids, rows - np.uint64(1)) if mode == "clip" else ids % rows
    kind = np.int32 if ids.dtype.kind == "i" and ids.dtype.itemsize == 4 else np.int64
    return np.ascontiguousarray(ids, kind) if ids.ndim else ids.astype(kind)


def as_offsets(offsets: Any, N: int, what: str = "ids") -> Array:
    """Return S+1 offsets as contiguous int64, checked to ascend from 0 to N."""
    array = as_integers(offsets, "offsets")
    if array.ndim != 1:
        raise ValueError(f"offsets must be 1-D, got shape {array.shape}")
    if not array.size:
        raise ValueError("offsets must have one entry more than there are bags, so at least one, got none")
    if array.dtype == np.uint64 and array.max() > _INT64_MAX:
        raise ValueError(f"offsets must end at {N}, the number of {what}, got {int(array.max())}")
    array = np.ascontiguousarray(array, np.int64)
    if array[0] != 0:
        raise ValueError(f"offsets must start at 0, got offsets[0] = {array[0]}")
    falls = array[1:] < array[:-1]
    if falls.any():
        s = int(np.argmax(falls))
        raise ValueError(
            f"offsets must not descend, got offsets[{s}] = {array[s]} and offsets[{s + 1}] = {array[s + 1]}"
        )
    if array[-1] != N:
        message = f"offsets must end at {N}, the number of {what}, got offsets[{array.size - 1}] = {array[-1]}"
        if array[-1] < N:
            message += (
                f"; S bags take S+1 offsets, the last of which is the number of {what} "
                "(the layout of torch's include_last_offset=True)"
            )
        raise ValueError(message)
    return array


def overlaps_itself(array: Array) -> bool:
    """Whether two elements may share memory, as those of a window that slides or of a broadcast array do."""
    if array.flags.c_contiguous:
        return False
    reach = array.dtype.itemsize
    for apart, length in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if length > 1:
            if apart < reach:
                return True
            reach = apart * (length - 1) + reach
    return False


def same_memory(x: Array, out: Any) -> bool:
    """Whether ``out`` has the same elements as ``x`` at the same places."""
    return out is x or (
        isinstance(out, np.ndarray)
        and (out.shape, out.strides, out.dtype) == (x.shape, x.strides, x.dtype)
        and address(out) == address(x)
    )


def check_out(out: Any, shape: tuple[int, ...], **inputs: Array) -> Array:
    """Return ``out`` as a plain array after checking that a result may be written there; no copy."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, as the table is, got {_type_name(out)}")
    refuse_masked(out, "out")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if overlaps_itself(out):
        raise ValueError(f"out overlaps itself in memory: shape {out.shape} and strides {out.strides}")
    for name, array in inputs.items():
        if np.may_share_memory(out, array):
            raise ValueError(f"out overlaps {name} in memory")
    return np.asarray(out)


@cache
def element(kind: np.dtype[Any]) -> Any:
    """Return the tag of float64, float32, float16 or bfloat16 of either byte order, else None."""
    if (kind.kind == "f" and kind.itemsize in (2, 4, 8)) or kind.name == "bfloat16":
        return ELEMENTS[kind.name]
    return None


def is_float(array: Array) -> bool:
    """Whether elements are of one of the four types that kernels compute with."""
    return element(array.dtype) is not None


def require_float(array: Array, name: str) -> None:
    """Refuse what is not float64, float32, float16 or bfloat16."""
    if element(array.dtype) is None:
        raise TypeError(f"{name} must have dtype float64, float32, float16 or bfloat16, got {array.dtype}")


@cache
def lane_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return the dtype in which elements are added: float64 for float64, else float32."""
    return np.dtype(np.float64 if np.dtype(dtype).itemsize == 8 else np.float32)


def rows_in_order(array: Array) -> bool:
    """Whether each ``array[i]`` lies in one piece, whatever the distance from row to row."""
    return bool(array[:1].flags.c_contiguous)


def address(array: Array) -> int:
    """Return the address of the first element; the caller keeps the array alive while it is used."""
    try:
        return int(_cast(_POINTER, _buffer(array)))  # a third of the time that .ctypes.data takes
    except (TypeError, ValueError):  # not contiguous, or of a dtype that buffers do not know
        return array.ctypes.data


def size_of(shape: tuple[int, ...]) -> int:
    """Return the number of elements of a shape, in Python's integers, which do not overflow."""
    size = 1
    for length in shape:
        size *= length
    return size


def in_reach(array: Array) -> bool:
    """Whether kernels can read numbers where they lie: native byte order, the last axis in one piece."""
    return array.dtype.isnative and bool(array[(slice(1),) * (array.ndim - 1)].flags.c_contiguous)


def within_reach(array: Array) -> Array:
    """Return the array, or a copy that kernels can read; shape and values are the same."""
    return array if in_reach(array) else np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def rows(array: Array) -> Rows:
    """Return what kernels are told about a 2-D array within reach."""
    kind = array.dtype
    return Rows(element(kind), address(array), array.strides[0], 8 * kind.itemsize, array.shape[1])


def ids(index: Array, V: int) -> Ids:
    """Return what kernels are told about the ids that `as_index` gave."""
    return Ids(index.dtype.type(0), address(index), index.size, V)


def no_ids(N: int) -> Ids:
    """Return what kernels are told where N positions are rows themselves."""
    return Ids(NO_IDS, 0, N, N)


def is_quantized(table: Any) -> bool:
    """Whether it is a `fastemb.quantized.QuantizedTable`; other libraries' arrays can be dequantised, too."""
    return hasattr(type(table), "dequantize") and hasattr(type(table), "codes")


class Table:
    """A table of V rows of D numbers as kernels read it: a float array, or a quantised table.

    Attributes: ``V``, ``D``; ``dtype``, that of results; ``lane``, the dtype in which rows are added; ``bits`` of a
    number; ``row_bytes``; ``arrays``, what the addresses belong to, by name.
    """

    __slots__ = ("D", "V", "arrays", "bits", "dtype", "lane", "row_bytes")

    def __init__(self, table: Any) -> None:
        if is_quantized(table):  # it checked its arrays when it was made
            self.arrays: dict[str, Array] = {"codes": table.codes, "scale": table.scale, "offset": table.offset}
            (self.V, self.D), self.bits = table.shape, table.bits
            self.dtype = self.lane = np.dtype(np.float32)
            self.row_bytes = table.codes.shape[1] + 8
            return
        array = as_table(table)
        require_float(array, "table")
        if array.ndim != 2:
            raise ValueError(f"table must have shape (V, D), got {array.shape}")
        self.arrays = {"table": array}
        (self.V, self.D), self.bits = array.shape, 8 * array.dtype.itemsize
        self.dtype, self.lane = array.dtype.newbyteorder("="), lane_dtype(array.dtype)
        self.row_bytes = self.D * array.dtype.itemsize

    @property
    def near(self) -> bool:
        """Whether kernels can read it where it lies."""
        array = self.arrays.get("table")
        return array is None or in_reach(array)

    def within_reach(self, index: Array) -> tuple["Table", Array]:
        """Return a table that kernels can read, and ids for it; where rows have to be copied, only those in use.

        The ids must have been checked.
        """
        if self.near:
            return self, index
        array = self.arrays["table"]
        unique, inverse = np.unique(index, return_inverse=True)
        return Table(within_reach(array[unique])), np.ascontiguousarray(inverse.reshape(index.shape), np.int64)

    def rows(self) -> Rows:
        """Return what kernels are told about it; it must be within reach."""
        array = self.arrays.get("table")
        if array is not None:
            return rows(array)
        codes, scale, offset = self.arrays.values()
        tag = ELEMENTS[f"int{self.bits}"]
        return Rows(tag, address(codes), codes.strides[0], self.bits, self.D, address(scale), address(offset))


def first_bad(index: Array, V: int) -> int:
    """Return the first position whose id is not in ``[0, V)``, or -1; the ids are those of `as_index`."""
    from ._cpu.lookup import find_bad_id  # brings Numba with it

    bad: int = find_bad_id(index.dtype.type(0), address(index), index.size, V)
    return bad


# New results -----------------------------------------------------------------------------------------------------

# Results of at least this size go past the caches, which they would only empty. A constant, measured, and not the
# size that a machine reports for its caches: shared ones are never this call's alone.
STREAM_BYTES = 8 << 20
POOLED_BYTES = 1 << 20  # smaller results cost less to make anew than to keep


def pool_capacity() -> int:
    """Return how many bytes of results that are no longer used are kept at most."""
    text = os.environ.get("FASTEMB_BUFFER_POOL", "").strip()
    if not text:
        return 256 << 20
    if not text.isdecimal():
        raise ValueError(f"environment variable FASTEMB_BUFFER_POOL must be a number of bytes, got {text!r}")
    return int(text)


_pool: Pool | None = None  # made when first needed: the environment is read then


def _forget_pool() -> None:
    """Begin without blocks in a child: which of them its parent's threads held halfway, nobody knows."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def new_result(shape: tuple[int, ...], dtype: npt.DTypeLike) -> tuple[Array, bool]:
    """Return a new uninitialised array in native byte order, and whether its memory has been touched before.

    Memory that has not been touched should not be streamed to: the system fills its pages through the caches.
    """
    global _pool
    kind = np.dtype(dtype).newbyteorder("=")
    if size_of(shape) * kind.itemsize < POOLED_BYTES:
        return np.empty(shape, kind), False
    if _pool is None:
        _pool = Pool(pool_capacity())
    return _pool.empty(shape, kind) if _pool.capacity else (np.empty(shape, kind), False)


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return a new uninitialised array in native byte order; large ones in memory that has been used before."""
    return new_result(shape, dtype)[0]


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
