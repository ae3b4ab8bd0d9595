"""Arrays of any other library: on the CPU by DLPack, on a GPU by DLPack or by CUDA's array interface."""

import sys
from typing import Any

import numpy as np

from . import WRITTEN, Array, DeviceArray, Framework
from .cuda_interface import CPU, GPUS, NEUTRAL, read_dlpack, read_interface


class Unknown(Framework):
    """Arrays that are taken by a protocol and, on the CPU, made by the same library's ``from_dlpack``."""

    def __init__(self, kind: type) -> None:
        self.name = kind.__module__.partition(".")[0]
        self.maker = f"{self.name}.from_dlpack"
        self._kind = kind
        self._interface = hasattr(kind, "__cuda_array_interface__")
        self._dlpack = hasattr(kind, "__dlpack__")

    def view(self, array: Any, name: str) -> Array | DeviceArray:
        """Return a view."""
        whose = f"{name} is an array of {self.name} ({self._kind.__qualname__})"
        if (interface := self._interface_of(array, whose)) is not None:
            return read_interface(array, interface, name, whose)
        try:
            device = tuple(array.__dlpack_device__())
            view = np.from_dlpack(array) if device[0] == CPU else None
        except Exception as error:  # whatever a library raises for what DLPack does not hold
            raise TypeError(f"{whose} of which DLPack makes no NumPy array: {error}") from error
        if device[0] in GPUS:
            return read_dlpack(array, name, whose)
        if view is None:
            raise TypeError(f"{whose} on a device (DLPack's {device}) that is neither the CPU nor a GPU of NVIDIA")
        if name in WRITTEN and not view.flags.writeable:
            raise ValueError(f"{name} is a read-only array of {self.name}")
        return view

    def _interface_of(self, array: Any, whose: str) -> Any:
        """Return an array's CUDA interface; None where it has none, as arrays on the CPU of such a type."""
        if not self._interface:
            return None
        try:
            interface = array.__cuda_array_interface__
        except AttributeError:
            interface = None
        except Exception as error:  # whatever a library raises for what the protocol does not hold
            raise TypeError(f"{whose} that gives no __cuda_array_interface__: {error}") from error
        if interface is None and not self._dlpack:
            raise TypeError(f"{whose} that gives no __cuda_array_interface__")
        return interface

    def is_device(self, array: Any) -> bool:
        """Whether an array is on a GPU."""
        try:
            if self._interface_of(array, "an array") is not None:
                return True
            return self._dlpack and array.__dlpack_device__()[0] in GPUS
        except Exception:  # as `view` says in words
            return False

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray:
        """Return a new array of Numba's."""
        return NEUTRAL.empty(shape, dtype, like)

    def result(self, array: Array) -> Any:
        """Return an array of the library, which shares the memory where it can."""
        make = getattr(sys.modules.get(self.name), "from_dlpack", None)
        if make is None:
            raise TypeError(
                f"{self.name} has no from_dlpack that would make a result of its own kind, {self._kind.__qualname__}; "
                "give numpy.from_dlpack(array), and the result is NumPy's"
            )
        return make(array)


def find(kind: type) -> Framework | None:
    """Return the framework of a type that has one of the protocols."""
    return Unknown(kind)
