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
        hints, kinds = inspect.get_annotations(function), {float: "f", np.float64: "d"}
        self.types = tuple(kinds.get(hints[name], "q") for name in inspect.signature(function).parameters)
        self.loaded: dict[int, Any] = {}  # what the driver made of it, by the number of the GPU
        self.lock = threading.Lock()


@cache
def kernel(make: Callable[..., Any], *options: Any) -> Kernel:
    """Return the kernel that ``make`` makes of options; each is made once."""
    function = make(*options)
    return Kernel("_".join([function.__name__, *(str(option) for option in options)]), function)


class _Unopened:
    """The driver before its first use, which opens it: so the room can be imported where there is none."""

    def __getattr__(self, name: str) -> Any:
        global driver
        if SIMULATED:
            from .simulated import Simulated

            driver = Simulated()
        else:
            from .driver import Driver

            driver = Driver()
        return getattr(driver, name)


#: The one in use; tests put a recorder in its place.
driver: Any = _Unopened()


def open_driver() -> None:
    """Open the driver: without one the error is said here, not by whoever is asked for memory first."""
    _ = driver.threads


#: How many kernels were launched since the start: tests look whether one was.
launched = 0


def submit(
    kernel: Kernel, grid: Dim, block: Dim, place: Place, values: tuple[Any, ...], alive: tuple[Any, ...],
    shared: int = 0,
) -> None:  # fmt: skip
    """Launch a kernel. ``alive``: the arrays behind all addresses among the values; nothing else may be touched.

    Arrays whose owners work on other streams are waited for, and their streams wait for the kernel, by events: what was
    put on such a stream before is done when the kernel reads, and what comes after may free or change the memory. An
    array whose owner has no stream that could wait makes the host wait. A grid without blocks is no launch.
    """
    global launched
    if not grid[0] or not grid[1]:
        return
    others = {max(one.stream, 0): None for one in alive if one is not None and one.stream != place.stream}
    others.pop(place.stream, None)  # -1 and 0 are one stream
    for other in others:
        driver.wait(place, other)
    driver.launch(kernel, grid, block, place, values, alive, shared)
    launched += 1
    for other in others:
        driver.wait(place._replace(stream=other), place.stream)
    if place.waits or any(one is not None and one.waits for one in alive):
        driver.finish(place)
