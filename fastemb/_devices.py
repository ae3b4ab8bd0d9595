"""The one place that chooses: the array that decides → the room of its device."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from ._frameworks import DeviceArray


class Room(dict[str, Any]):
    """The package of one device: family → module, imported when first asked for, as it brings its compiler with it."""

    def __init__(self, package: str) -> None:
        self.package = package

    def __missing__(self, family: str) -> ModuleType:
        module = self[family] = import_module(f"{self.package}.{family}")
        return module


ROOMS = {"cpu": Room("fastemb._cpu"), "cuda": Room("fastemb._cuda")}
#: The room of NumPy's own arrays, for small calls, which have no time to ask: that takes a tenth of a microsecond.
HERE = ROOMS["cpu"]


def device(array: Any) -> str:
    """Return the name of the device on which an array, or a quantised table, lies; "cpu" for None."""
    array = getattr(array, "codes", array)
    return array.device if type(array) is DeviceArray else "cpu"


def _chooser(family: str) -> Callable[[Any], Any]:
    def choose(array: Any) -> Any:
        """Return the module of this family in the room of an array."""
        return ROOMS[device(array)][family]

    return choose


lookup, embedding, gradient = _chooser("lookup"), _chooser("embedding"), _chooser("gradient")
optim = _chooser("optim")
pooling, position = _chooser("pooling"), _chooser("position")
quantized, search, static = _chooser("quantized"), _chooser("search"), _chooser("static")
