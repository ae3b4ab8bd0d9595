"""The checks that lookup and pooling share: what callers give, as NumPy arrays that kernels can walk."""

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_INT64_MAX = np.iinfo(np.int64).max


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_foreign(value: Any) -> bool:
    """Whether the value is the array of another framework. ``np.asarray`` might copy it from its device."""
    return any(
        hasattr(type(value), name) for name in ("__dlpack__", "__cuda_array_interface__", "__cuda_ndarray__")
    ) and not isinstance(value, (np.ndarray, np.generic))


def _refuse_masked(value: Any, name: str) -> None:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and the mask would be ignored; give {name}.data or filled()")


def as_table(table: Any, name: str = "table") -> Array:
    """Return the table as a plain NumPy array of at least one axis that holds no Python objects; no copy."""
    if not isinstance(table, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray (only NumPy arrays are taken so far), got {_type_name(table)}")
    _refuse_masked(table, name)
    if table.dtype.hasobject:
        raise TypeError(f"{name} must have a fixed-size dtype without Python objects, got {table.dtype}")
    if table.ndim == 0:
        raise ValueError(f"{name} must have at least one axis, got shape ()")
    return np.asarray(table)


def as_integers(values: Any, name: str) -> Array:
    """Return ids or offsets as a plain array of an integer dtype; an empty list counts as int64."""
    if isinstance(values, np.ndarray):
        _refuse_masked(values, name)
        array = np.asarray(values)
    elif _is_foreign(values):
        raise TypeError(f"{name} must be NumPy integers or a list so far, got {_type_name(values)}")
    else:
        try:
            array = np.asarray(values)
        except ValueError:
            raise ValueError(f"{name} must be rectangular; rows of different lengths go into a Ragged") from None
        if not array.size and isinstance(values, (list, tuple)):
            array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        held = f"dtype {array.dtype}" if array.dtype != object else _type_name(values)
        raise TypeError(f"{name} must have an integer dtype, got {held}")
    return array


def raise_out_of_range(ids: Array, position: int, V: int) -> NoReturn:
    """Raise the IndexError for the id at a flat position."""
    place = np.unravel_index(position, ids.shape)
    where = {0: "", 1: f" at position {position}"}.get(ids.ndim, f" at position {tuple(map(int, place))}")
    raise IndexError(f"id {int(ids[place])}{where} is out of range for a table of {V} rows")


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


def as_offsets(offsets: Any, N: int) -> Array:
    """Return S+1 offsets as contiguous int64, checked to ascend from 0 to N."""
    array = as_integers(offsets, "offsets")
    if array.ndim != 1:
        raise ValueError(f"offsets must be 1-D, got shape {array.shape}")
    if not array.size:
        raise ValueError("offsets must have one entry more than there are bags, so at least one, got none")
    if array.dtype == np.uint64 and array.max() > _INT64_MAX:
        raise ValueError(f"offsets must end at {N}, the number of ids, got {int(array.max())}")
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
        message = f"offsets must end at {N}, the number of ids, got offsets[{array.size - 1}] = {array[-1]}"
        if array[-1] < N:
            message += (
                "; S bags take S+1 offsets, the last of which is the number of ids "
                "(the layout of torch's include_last_offset=True)"
            )
        raise ValueError(message)
    return array


def check_out(out: Any, shape: tuple[int, ...], **inputs: Array) -> Array:
    """Return ``out`` as a plain array after checking that a result may be written there; no copy."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, as the table is, got {_type_name(out)}")
    _refuse_masked(out, "out")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    for name, array in inputs.items():
        if np.may_share_memory(out, array):
            raise ValueError(f"out overlaps {name} in memory")
    return np.asarray(out)


def require_float(array: Array, name: str) -> None:
    """Refuse what is not float64, float32 or float16, of either byte order."""
    if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4, 8):
        raise TypeError(f"{name} must have dtype float64, float32 or float16, got {array.dtype}")


def rows_in_order(array: Array) -> bool:
    """Whether each ``array[i]`` lies in one piece, whatever the distance from row to row."""
    return bool(array[:1].flags.c_contiguous)


def address(array: Array) -> int:
    """Return the address of the first element; the caller keeps the array alive while it is used."""
    return array.ctypes.data  # a third less than __array_interface__ takes


def size_of(shape: tuple[int, ...]) -> int:
    """Return the number of elements of a shape, in Python's integers, which do not overflow."""
    size = 1
    for length in shape:
        size *= length
    return size
