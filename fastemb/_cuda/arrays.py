"""Arrays of a device as kernels see them: addresses, strides, dtypes by name; new ones of the caller's framework."""

import math
from functools import cache
from typing import Any

import numpy as np

from .. import _frameworks
from .._frameworks import DeviceArray
from . import launch
from .kernels.convert import make_convert, make_copy, make_from_unsigned, make_zeros
from .kernels.lookup import RAISE

MOST_WIDTH = 16  # bytes that one instruction moves


def place_of(array: DeviceArray) -> launch.Place:
    """Return where work on an array goes."""
    launch.open_driver()
    return launch.Place(array.ordinal, max(array.stream, 0), array.waits)


def new(shape: tuple[int, ...], dtype: Any, like: DeviceArray) -> DeviceArray:
    """Return new memory of the framework, the device and the stream of an array. Its values are anything."""
    framework = _frameworks.of(like.owner)
    if framework is None:
        raise TypeError(f"an array of {type(like.owner).__name__} has no way to make another; give out=")
    return framework.empty(shape, np.dtype(dtype), like)


def zeros(shape: tuple[int, ...], dtype: Any, like: DeviceArray, place: launch.Place) -> DeviceArray:
    """Return new memory of float32 or float64 that is all zeros."""
    out, threads = new(shape, dtype, like), launch.driver.threads
    bytes_ = out.size * out.dtype.itemsize
    width = width_of(out.pointer, bytes_)
    blocks = -(-bytes_ // (width * threads))
    kernel = launch.kernel(make_zeros, tag_of(out), width)
    launch.submit(kernel, (blocks, 1), (threads, 1), place, (out.pointer, bytes_ // width), (out,))
    return out


@cache
def name_of(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype as kernels know it. NumPy takes five microseconds to make it."""
    if not dtype.isnative:
        raise TypeError(f"numbers on a GPU must have the machine's byte order, got dtype {dtype.str}")
    return str(dtype.name)


def tag_of(array: DeviceArray) -> str:
    """Return the name of an array's dtype."""
    return name_of(array.dtype)


def width_of(*numbers: int) -> int:
    """Return the widest load or store that fits addresses, strides and sizes in bytes: 16, 8, 4, 2 or 1."""
    return math.gcd(MOST_WIDTH, *numbers)


def is_aligned(array: DeviceArray) -> bool:
    """Whether each number lies where its dtype may: a load at another address would end the work of the process."""
    each = array.dtype.alignment
    steps = [stride for length, stride in zip(array.shape, array.strides, strict=True) if length > 1]
    return not array.size or math.gcd(each, array.pointer, *steps) == each


def is_contiguous(array: DeviceArray, first: int = 0) -> bool:
    """Whether the axes from ``first`` on follow one another in the order of C, and numbers are aligned."""
    if not is_aligned(array):
        return False
    apart = array.dtype.itemsize
    for length, stride in zip(reversed(array.shape[first:]), reversed(array.strides[first:]), strict=True):
        if length > 1 and stride != apart:
            return array.size == 0
        apart *= length
    return True


def reshaped(array: DeviceArray, *shape: int) -> DeviceArray:
    """Return a contiguous array with another shape."""
    size, strides = array.dtype.itemsize, []
    for length in reversed(shape):
        strides.append(size)
        size *= max(length, 1)
    return array._replace(shape=shape, strides=tuple(reversed(strides)))


def _four_axes(array: DeviceArray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape and strides of an array with four axes, or more: neighbours that follow one another are one."""
    shape: list[int] = []
    strides: list[int] = []
    for length, stride in zip(array.shape, array.strides, strict=True):
        if length == 1:
            continue
        if shape and strides[-1] == stride * length:
            shape[-1], strides[-1] = shape[-1] * length, stride
        else:
            shape.append(length)
            strides.append(stride)
    missing = max(4 - len(shape), 0)
    return (1,) * missing + tuple(shape), (0,) * missing + tuple(strides)


def _run(kernel: launch.Kernel, apart: DeviceArray, flat: DeviceArray, place: launch.Place) -> None:
    shape, strides = _four_axes(apart)
    if len(shape) > 4:  # a launch for each place along the first axis: so many axes are rare
        part = apart._replace(shape=shape[1:], strides=strides[1:])
        for i in range(shape[0]):
            here = part._replace(pointer=apart.pointer + i * strides[0])
            _run(kernel, here, flat._replace(pointer=flat.pointer + i * part.size * flat.dtype.itemsize), place)
        return
    threads = launch.driver.threads
    values = (apart.pointer, *shape[1:], *strides, flat.pointer, apart.size)
    launch.submit(kernel, (-(-apart.size // threads), 1), (threads, 1), place, values, (apart, flat))


def _copy(apart: DeviceArray, flat: DeviceArray, back: bool, place: launch.Place) -> None:
    """Copy the bytes of an array of any strides to a contiguous one, or ``back``."""
    size = apart.dtype.itemsize
    width = width_of(size, apart.pointer, flat.pointer, *apart.strides)
    if width < size:  # numbers of 12 bytes, say: an axis more
        shape, strides = (*apart.shape, size // width), (*apart.strides, width)
        apart = apart._replace(shape=shape, strides=strides, dtype=np.dtype(f"V{width}"))
    _run(launch.kernel(make_copy, width, back), apart, flat, place)


def contiguous(array: DeviceArray, place: launch.Place) -> DeviceArray:
    """Return the array, or a contiguous copy of the same bytes."""
    if is_contiguous(array):
        return array
    out = new(array.shape, array.dtype, array)
    _copy(array, out, False, place)
    return out


def copy_into(array: DeviceArray, source: DeviceArray, place: launch.Place) -> None:
    """Copy a contiguous array of the same dtype and shape into one of any strides."""
    _copy(array, source, True, place)


def converted(array: DeviceArray, dtype: Any, place: launch.Place) -> DeviceArray:
    """Return the array as contiguous numbers of a dtype, each rounded once; itself where it is that already.

    dtype bool asks of each number whether it is not 0.
    """
    dtype = np.dtype(dtype)
    if array.dtype == dtype and is_contiguous(array):
        return array
    out = new(array.shape, dtype, array)
    convert_into(array if is_aligned(array) else contiguous(array, place), out, place)
    return out


def convert_into(array: DeviceArray, out: DeviceArray, place: launch.Place) -> None:
    """Write the numbers of an array to a contiguous one, each rounded once to its dtype."""
    _run(launch.kernel(make_convert, tag_of(array), tag_of(out)), array, out, place)


def as_index(ids: DeviceArray, place: launch.Place, mode: str = RAISE, V: int = 1) -> DeviceArray:
    """Return ids as contiguous int32 or int64, flat.

    Beyond int64 they turn negative, which is bad; in the modes "clip" and "wrap" they become the row that they mean.
    """
    kind = ids.dtype if ids.dtype in (np.dtype(np.int32), np.dtype(np.int64)) else np.dtype(np.int64)
    index = reshaped(converted(ids, kind, place), ids.size)
    if mode == RAISE or ids.dtype != np.uint64 or not V:
        return index
    out, threads = new(index.shape, kind, ids), launch.driver.threads
    values = index.pointer, out.pointer, index.size, V, 2**64 % V
    blocks = -(-index.size // threads), 1
    launch.submit(launch.kernel(make_from_unsigned, mode), blocks, (threads, 1), place, values, (index, out))
    return out


def as_rows(array: DeviceArray, place: launch.Place) -> DeviceArray:
    """Return an array (V, …) whose rows are each in one piece: itself, or a copy."""
    return array if is_contiguous(array, 1) else contiguous(array, place)
