"""Arrays of other frameworks and of other devices, found by their type; no framework is ever imported for the caller.

A public function asks `of` about the array that decides, its table or x, and lets `Framework.call` call it again with
views. So no other file knows a framework, and NumPy's own calls stop at ``type(table) is np.ndarray``. So far no
framework is known: `of` finds none.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np


class DeviceArray(NamedTuple):
    """Memory that is not the CPU's: all that a launch needs to know, and who owns it. No value can be looked at."""

    device: str
    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: int
    owner: Any
    writeable: bool = True

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def bounds(self) -> tuple[int, int]:
        """Return the first address and the one behind the last."""
        reach = [(length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True)]
        low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
        return self.pointer + low, self.pointer + high + self.dtype.itemsize


_Result = TypeVar("_Result")


class Framework(Protocol):
    """How arrays of one framework become views, and results its arrays."""

    def call(self, function: Callable[..., _Result], *given: Any, **options: Any) -> _Result:
        """Call a function of this package with views of the arrays given; return its results as the framework's."""
        ...


def of(array: Any) -> Framework | None:
    """Return the framework of an array; None for NumPy's, and for what is no array of a known framework."""
    return None
