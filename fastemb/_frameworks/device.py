"""Arrays in the memory of a device that is not the CPU, as rooms see them."""

import math
from typing import Any, NamedTuple

import numpy as np


class DeviceArray(NamedTuple):
    """Memory that is not the CPU's: all that a launch needs to know, and who owns it. No value can be looked at.

    ``owner`` is the framework's own array, of this shape and these strides, and keeps the memory alive.
    """

    device: str  # the room: "cuda"
    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    dtype: np.dtype[Any]
    stream: int  # the raw handle of the stream on which the owner works
    owner: Any
    writeable: bool = True
    ordinal: int = 0  # which of several devices
    waits: bool = False  # the owner's stream cannot be known: the host waits before the work and after it

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def place(self) -> str:
        """What errors call the device."""
        return f"{self.device}:{self.ordinal}"

    def bounds(self) -> tuple[int, int]:
        """Return the first address and the one behind the last."""
        reach = [(length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True)]
        low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
        return self.pointer + low, self.pointer + high + self.dtype.itemsize


def packed_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides, in bytes, of an array whose elements follow one another in the order of C."""
    strides, apart = [], itemsize
    for length in reversed(shape):
        strides.append(apart)
        apart *= max(length, 1)
    return tuple(reversed(strides))
