"""Memory of new results on the CPU: of results that are no longer used, or new."""

import ctypes
import math
import os
import weakref
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Results of at least this size go past the caches, which they would only empty. A constant, measured, and not the
# size that a machine reports for its caches: shared ones are never this call's alone.
STREAM_BYTES = 8 << 20
POOLED_BYTES = 1 << 20  # smaller results cost less to make anew than to keep


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
    kind = np.dtype(dtype)
    if not kind.isnative:  # else the dtype itself: a new object of it would not be known at a glance
        kind = kind.newbyteorder("=")
    if math.prod(shape) * kind.itemsize < POOLED_BYTES:
        return np.empty(shape, kind), False
    if _pool is None:
        _pool = Pool(pool_capacity())
    return _pool.empty(shape, kind) if _pool.capacity else (np.empty(shape, kind), False)


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return a new uninitialised array in native byte order; large ones in memory that has been used before."""
    return new_result(shape, dtype)[0]
