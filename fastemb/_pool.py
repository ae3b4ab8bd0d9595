"""Memory of results that are no longer used, kept for the next ones."""

import ctypes
import math
import weakref
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt


class Pool:
    """Blocks of memory that were results and are no longer used: a new one's pages cost more than its contents.

    A block comes back when the last view of it dies. No lock: every step on a deque or a dict is one step for
    other threads too, and a lock would be deadly in a finalizer, which runs wherever a collection happens to.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._free: dict[int, deque[npt.NDArray[Any]]] = {}

    def held(self) -> int:
        """Return how many bytes are kept. Counted anew each time: a running sum would go astray between threads."""
        return sum(room * len(blocks) for room, blocks in list(self._free.items()))

    def empty(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> tuple[npt.NDArray[Any], bool]:
        """Return an uninitialised array at a multiple of 64, and whether its memory has been touched before."""
        size = math.prod(shape) * kind.itemsize
        # Sizes are rounded up to eighths of a power of two, so that batches of nearly one size share blocks.
        step = 1 << max(size.bit_length() - 4, 0)
        room = -(-size // step) * step
        try:
            block = self._free[room].pop()
            touched = True
        except LookupError:
            block = np.empty(room + 63, np.uint8)
            touched = False
        first = block.ctypes.data
        # The exporter is an object of this result alone, and the finalizer hangs on it and not on an array: views of
        # views, memoryviews and parts of them, and other libraries' tensors all hold it.
        exporter = (ctypes.c_char * size).from_address(first + -first % 64)
        weakref.finalize(exporter, self._give_back, block, room).atexit = False
        return np.frombuffer(exporter, np.uint8).view(kind).reshape(shape), touched  # type: ignore[call-overload]

    def _give_back(self, block: npt.NDArray[Any], room: int) -> None:
        if room > self.capacity:
            return
        self._free.setdefault(room, deque()).append(block)
        excess = self.held() - self.capacity
        for other in [*(one for one in list(self._free) if one != room), room]:
            while excess > 0:
                try:
                    self._free[other].popleft()
                except IndexError:
                    break
                excess -= other

    def clear(self) -> None:
        """Let go of all blocks."""
        self._free.clear()
