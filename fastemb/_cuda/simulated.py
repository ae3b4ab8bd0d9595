"""A driver that runs kernels in Numba's simulator, on the memory of the CPU."""

import ctypes
from typing import Any

import numpy as np
from numba import cuda

from .kernels.words_simulated import allow


class Simulated:
    """The same methods as `driver.Driver`."""

    #: Threads of a block, and of its rows: each is a thread of Python here.
    threads = 64

    def __init__(self) -> None:
        self._memory: dict[int, Any] = {}  # by address, never freed

    def launch(
        self, kernel: Any, grid: Any, block: Any, place: Any, values: Any, alive: Any, shared: int
    ) -> None:  # fmt: skip
        """Run a kernel now; it may touch the arrays in ``alive`` and memory of `allocate` alone."""
        if len(values) != len(kernel.types):
            raise TypeError(f"{kernel.name} takes {len(kernel.types)} values, got {len(values)}")
        ranges = [array.bounds() for array in alive if array is not None and array.size]
        ranges += [(address, address + memory.nbytes) for address, memory in self._memory.items()]
        run = kernel.loaded.get(0)
        if run is None:

            def quiet(*given: Any) -> None:
                with np.errstate(all="ignore"):  # in each thread
                    kernel.function(*given)

            run = kernel.loaded[0] = cuda.jit(quiet)
        convert = {"q": np.int64, "f": np.float32, "d": np.float64}
        with kernel.lock:
            allow(ranges)
            run[grid, block, 0, shared](*(convert[t](v) for t, v in zip(kernel.types, values, strict=True)))

    def multiprocessors(self, ordinal: int) -> int:
        """Return a small number, for kernels that walk over a grid of this size."""
        return 2

    def allocate(self, ordinal: int, size: int) -> int:
        """Return the address of new memory of zeros that is never freed."""
        memory = np.zeros(size + 16, np.uint8)
        first = memory[-memory.ctypes.data % 16 :][:size]
        self._memory[first.ctypes.data] = first
        return int(first.ctypes.data)

    def mapped(self, ordinal: int) -> tuple[Any, int]:
        """Return a word of the host that kernels write to, as an array of one number, and its address for them."""
        word = np.zeros(1, np.int64)
        self._memory[word.ctypes.data] = word.view(np.uint8)
        return word, int(word.ctypes.data)

    def write(self, place: Any, address: int, values: Any) -> None:
        """Write values of the host to memory of the device."""
        held = np.ascontiguousarray(values)
        _bytes_at(address, held.nbytes)[:] = held.reshape(-1).view(np.uint8)

    def read(self, place: Any, address: int, count: int, dtype: Any) -> Any:
        """Return numbers in memory of the device, after all work on the stream is done."""
        return _bytes_at(address, count * np.dtype(dtype).itemsize).view(dtype).copy()

    def finish(self, place: Any) -> None:
        """Let the host wait for the stream."""

    def synchronize(self, ordinal: int) -> None:
        """Let the host wait for all streams of a GPU."""

    def wait(self, place: Any, other: int) -> None:
        """Let work on the stream of ``place`` begin after that on another."""

    def capturing(self, place: Any) -> bool:
        """Whether work on the stream is recorded, not run."""
        return False


def _bytes_at(address: int, size: int) -> Any:
    memory: Any = (ctypes.c_char * size).from_address(address)
    return np.frombuffer(memory, np.uint8)
