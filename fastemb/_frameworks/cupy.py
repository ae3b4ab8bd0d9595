"""Arrays of CuPy, for work on its current stream."""

import os
import sys
from functools import cache
from typing import Any

import numpy as np

from . import KNOWN, DeviceArray, Framework


class CuPy(Framework):
    """Arrays on a GPU: all that there are."""

    name, maker = "CuPy", "cupy.asarray"
    put, fetch = "cupy.asarray({name})", "cupy.asnumpy({name})"

    def __init__(self, cupy: Any) -> None:
        self._cupy, self._stream, self._on = cupy, cupy.cuda.get_current_stream, cupy.cuda.Device

    def view(self, array: Any, name: str) -> DeviceArray:
        """Return what a launch needs to know."""
        ordinal = array.device.id
        stream, pointer = self._stream(ordinal).ptr, array.data.ptr
        return DeviceArray("cuda", pointer, array.shape, array.strides, array.dtype, stream, array, True, ordinal)

    def is_device(self, array: Any) -> bool:
        """Say so: all of them are on a device."""
        return True

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray:
        """Return a new array from CuPy's pool, which gives memory out again on the stream that it was made for."""
        with self._on(like.ordinal):
            return self.view(self._cupy.empty(shape, dtype), "")

    def argsort(
        self, keys: DeviceArray, like: DeviceArray, below: int | None = None
    ) -> tuple[DeviceArray, DeviceArray] | None:
        """Return keys in order and where each was, of 32 bits where that is enough; CuPy's one sort is stable."""
        array = self._array(keys)
        if array is None:
            return None
        with self._on(keys.ordinal):
            if below is not None and below <= 1 << 31 and keys.dtype.itemsize > 4:
                array = array.astype(np.int32)
            order = self._cupy.argsort(array)
            return self.view(array[order], ""), self.view(order, "")

    def matmul(self, a: DeviceArray, b: DeviceArray) -> DeviceArray | None:
        """Return the product of two matrices of float32 or float64, unless CuPy may round their numbers first."""
        first, second = self._array(a), self._array(b)
        if first is None or second is None or a.dtype != b.dtype or a.dtype.kind != "f" or a.dtype.itemsize < 4:
            return None
        if a.dtype.itemsize == 4 and os.environ.get("CUPY_TF32", "0") != "0":
            return None
        with self._on(a.ordinal):
            return self.view(self._cupy.matmul(first, second), "")

    def _array(self, array: DeviceArray) -> Any:
        """Return an array as CuPy's own, of its shape; None where its owner is none, or another part of it."""
        owner = array.owner
        if KNOWN.get(type(owner)) is not self:
            return None
        same = owner.data.ptr, owner.shape, owner.strides, owner.dtype
        return owner if same == (array.pointer, array.shape, array.strides, array.dtype) else None


_arrays = cache(CuPy)  # of the module


def find(kind: type) -> Framework | None:
    """Return the framework of a type; None of CuPy's types that are no arrays."""
    cupy = sys.modules.get("cupy")
    return _arrays(cupy) if cupy is not None and issubclass(kind, cupy.ndarray) else None
