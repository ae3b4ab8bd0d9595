"""Arrays of any other library: on the CPU by DLPack; those of CUDA devices are recognised, and refused."""

import sys
from typing import Any

import numpy as np

from . import WRITTEN, Array, Framework, Refused

_CPU = 1  # DLPack's number of the device


class DLPack(Framework):
    """Arrays that are taken by DLPack and made by the same library's ``from_dlpack``."""

    def __init__(self, kind: type) -> None:
        self.name = kind.__module__.partition(".")[0]
        self.maker = f"{self.name}.from_dlpack"
        self._kind = kind

    def view(self, array: Any, name: str) -> Array:
        """Return a view."""
        whose = f"{name} is an array of {self.name} ({self._kind.__qualname__})"
        try:
            device = array.__dlpack_device__()
            view = np.from_dlpack(array) if device[0] == _CPU else None
        except Exception as error:  # whatever a library raises for what DLPack does not hold
            raise TypeError(f"{whose} of which DLPack makes no NumPy array: {error}") from error
        if view is None:
            raise TypeError(f"{whose} on a device (DLPack's {tuple(device)}); arrays are read on the CPU")
        if name in WRITTEN and not view.flags.writeable:
            raise ValueError(f"{name} is a read-only array of {self.name}")
        return view

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
    # Numba's arrays are known by their own mark before DLPack: its simulator's have that, and no device.
    if hasattr(kind, "__cuda_ndarray__") or hasattr(kind, "__cuda_array_interface__"):
        whose = kind.__module__.partition(".")[0]
        words = f"{{name}} is an array of {whose} on a CUDA device; arrays are read on the CPU: copy it there first"
        return Refused(whose, words)
    return DLPack(kind)
