"""Device arrays of Numba: those of a GPU, and those of its simulator, which lie in the CPU's memory."""

import sys
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np

from . import Array, DeviceArray, Framework


class Numba(Framework):
    """Device arrays, of the stream that they are bound to or else of the default stream.

    They are known by their own mark, ``__cuda_ndarray__``, and read by their own attributes: those of the simulator
    have ``__array__`` and DLPack, by which they would be taken for arrays of the CPU, and no protocol of CUDA's.
    """

    name, maker = "Numba", "numba.cuda.to_device"
    put, fetch = "numba.cuda.to_device({name})", "{name}.copy_to_host()"

    def __init__(self, cuda: Any, simulated: bool) -> None:
        self._cuda, self._simulated = cuda, simulated

    def view(self, array: Any, name: str) -> Array | DeviceArray:
        """Return what a launch needs to know."""
        if self._simulated:
            numbers = array._ary
            pointer, ordinal, writeable = numbers.ctypes.data, 0, numbers.flags.writeable
        else:
            pointer, ordinal, writeable = array.device_ctypes_pointer.value or 0, array.gpu_data.context.device.id, True
        shape, strides = tuple(array.shape), tuple(array.strides)  # the simulator's own kind of tuple is one, too
        stream = int(array.stream)
        return DeviceArray("cuda", pointer, shape, strides, array.dtype, stream, array, writeable, ordinal)

    def is_device(self, array: Any) -> bool:
        """Say so: all of them are on a device."""
        return True

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray:
        """Return a new array on the device and the stream of another."""
        stream = getattr(like.owner, "stream", 0)
        with nullcontext() if self._simulated else self._cuda.gpus[like.ordinal]:
            made = self._cuda.device_array(shape, dtype=dtype, stream=stream)
        view = self.view(made, "")
        assert isinstance(view, DeviceArray)
        return view


_arrays = cache(Numba)  # of the module, and of its simulator


def find(kind: type) -> Framework | None:
    """Return the framework of a type; None of Numba's types that are no device arrays."""
    cuda = sys.modules.get("numba.cuda")
    if cuda is None or not hasattr(kind, "__cuda_ndarray__"):
        return None
    return _arrays(cuda, not hasattr(kind, "__cuda_array_interface__"))
