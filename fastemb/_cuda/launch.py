"""Kernels made, compiled and launched. The only file that knows of drivers: `driver` is the one in use."""

import inspect
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .kernels.words import SIMULATED

Dim = tuple[int, int]


class Place(NamedTuple):
    """Where work goes: the number of the GPU, a raw handle of a stream, and whether the host waits for it."""

    ordinal: int
    stream: int
    waits: bool


class Kernel:
    """A kernel and the types of its parameters: int64, but those that are annotated as float."""

    def __init__(self, name: str, function: Callable[..., None]) -> None:
        self.name, self.function = name, function
        hints = inspect.get_annotations(function)
        self.types = tuple({float: "f", np.float64: "d"}.get(hints[p], "q") for p in inspect.signature(function).parameters)
        self.loaded: dict[int, Any] = {}  # what the driver made of it, by the number of the GPU
        self.lock = threading.Lock()


@cache
def kernel(make: Callable[..., Any], *options: Any) -> Kernel:
    """Return the kernel that ``make`` makes of options; each is made once."""
    function = make(*options)
    return Kernel("_".join([function.__name__, *(str(option) for option in options)]), function)


def _driver() -> Any:
    if SIMULATED:
        from .simulated import Simulated

        return Simulated()
    from .driver import Driver

    return Driver()


driver: Any = _driver()
#: How many kernels were launched since the start: tests look whether one was.
launched = 0


def submit(
    kernel: Kernel, grid: Dim, block: Dim, place: Place, values: tuple[Any, ...], alive: tuple[Any, ...], shared: int = 0
) -> None:  # fmt: skip
    """Launch a kernel. ``alive``: the arrays behind all addresses among the values; nothing else may be touched.

    A grid without blocks is no launch.
    """
    global launched
    if not grid[0] or not grid[1]:
        return
    driver.launch(kernel, grid, block, place, values, alive, shared)
    launched += 1
