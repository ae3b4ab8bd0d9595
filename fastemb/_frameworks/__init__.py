"""Arrays of other frameworks and of other devices, found by their type; no framework is ever imported for the caller.

A public function asks `of` about the array that decides, its table or x, and lets `Framework.call` call it again with
views. So no other file knows a framework, and NumPy's own calls stop at ``type(table) is np.ndarray``. Each framework
is a sibling file, loaded when the first of its arrays is met: a new one is a file and a line of `_FILES`.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
import numpy.typing as npt

from .device import DeviceArray as DeviceArray

Array = npt.NDArray[Any]
Result = TypeVar("Result")


# What parameters are, by their names -----------------------------------------------------------------------------

#: The array that decides has the first of these names that a function has.
DECIDE = ("table", "x", "target", "vectors", "grad")
#: Arrays that a function writes to.
WRITTEN = frozenset({"target", "out"})
#: Ids and their like: of any framework, whichever the array that decides is of. All other arrays must be of its own.
_LISTS = frozenset(
    {"ids", "offsets", "mask", "lengths", "weights", "position_ids", "segment_ids", "inv_freq"}
)  # fmt: skip
#: What is no array, whatever was given for it; of PLAIN types what no framework makes a view of.
SCALARS = frozenset({"alpha", "base", "bits", "eps", "k", "mode", "padding_idx", "scale"})
PLAIN = frozenset({type(None), bool, int, float, str, list, DeviceArray})


@cache
def names_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the parameters that may be given by place: Python makes them anew each time it is asked."""
    return function.__code__.co_varnames[: function.__code__.co_argcount]


@cache
def _fields_of(kind: Any, name: str) -> tuple[str, ...]:
    """Return what errors call the parts of a parameter that is a named tuple."""
    return tuple(f"{name}.{field}" for field in kind._fields)


class Framework:
    """How arrays of one framework become views, and results its arrays."""

    #: What errors call the framework, and how they say that a NumPy array becomes an array of it.
    name = "NumPy"
    maker = "numpy.asarray"
    #: How errors say that any array becomes one of this framework on a device, and one of a device NumPy's again.
    put = "a copy of {name} on {place}"
    fetch = "a copy of {name} on the CPU"

    def view(self, array: Any, name: str) -> Any:
        """Return a NumPy view of an array, without a copy where its layout allows that; TypeError where it has none.

        Of an array on a device it is a `DeviceArray`. ``name`` is that of the parameter, for errors; arrays of the
        names in `WRITTEN` have to be writeable.
        """
        raise NotImplementedError

    def is_device(self, array: Any) -> bool:
        """Whether an array lies on a device that is not the CPU."""
        return False

    def result(self, array: Array) -> Any:
        """Return a new array of NumPy's as one of the framework's, which has the same memory where that can be."""
        raise NotImplementedError

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray:
        """Return a new array, uninitialised, on the device of another and for work on its stream."""
        raise NotImplementedError

    def argsort(
        self, keys: DeviceArray, like: DeviceArray, below: int | None = None
    ) -> tuple[DeviceArray, DeviceArray] | None:
        """Return keys in ascending order, equal ones in theirs, and where each was; None where there is no such sort.

        Where all keys are known to be from 0 to ``below`` - 1, they may be sorted, and returned, in fewer bits.
        """
        return None

    def matmul(self, a: DeviceArray, b: DeviceArray) -> DeviceArray | None:
        """Return the product of two matrices, rounded as their dtype is; None where none is known to be."""
        return None

    #: Whether there are arrays that hold lists among those of the same type.
    has_lists = False

    def is_lists(self, array: Any) -> bool:
        """Whether an array holds rows of different lengths."""
        return False

    def lists(self, array: Any) -> tuple[Array, Array]:
        """Return the flat ids and the offsets of an array that holds rows of different lengths."""
        raise NotImplementedError

    def wrote(self, array: Any) -> None:
        """Note that an array was written to."""

    def call(self, function: Callable[..., Result], *given: Any, **options: Any) -> Result:
        """Call a function of this package with views of the arrays given; return its results as the framework's.

        An array that was written to is returned itself.
        """
        known, view = KNOWN, self._view_of_one_shape if self.has_lists else self.view
        views, told = [], {}
        for name, value in zip(names_of(function), given):  # noqa: B905
            mine = known.get(type(value)) is self
            views.append(view(value, name) if mine else self._other(value, name, function, given))
        for name, value in options.items():
            if value is not None:
                mine = known.get(type(value)) is self and name not in SCALARS
                told[name] = view(value, name) if mine else self._other(value, name, function, given)
        return self._answer(function, given, options, views, told)

    def _answer(
        self, function: Callable[..., Result], given: tuple[Any, ...], options: Any, views: list[Any], told: Any
    ) -> Result:
        """Return what a function gives of views, as the framework's arrays."""
        result: Any = function(*views, **told)
        answer: Any
        if type(result) is not np.ndarray and type(result) is not DeviceArray:
            answer = self._results(result)
        elif "out" not in told and result is not views[0]:
            answer = self.result(result) if type(result) is np.ndarray else cast(DeviceArray, result).owner
        else:
            answer = options["out"] if "out" in told else given[0]
            self.wrote(answer)
        return answer  # type: ignore[no-any-return]

    def _other(self, value: Any, name: str, function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        """Return a view of an array of this framework, and as they are numbers, words, ids and their like of others."""
        if name in SCALARS or type(value) in PLAIN:
            return value
        if name == "norm" and isinstance(value, tuple) and hasattr(value, "_fields"):  # LayerNorm and RMSNorm
            known, parts = KNOWN, []
            for part, field in zip(value, _fields_of(type(value), name)):  # noqa: B905
                if type(part) in PLAIN:
                    parts.append(part)
                else:
                    mine = known.get(type(part)) is self
                    parts.append(self.view(part, field) if mine else self._other(part, field, function, given))
            return type(value)(*parts)
        if _has_codes(type(value)):
            return _with_parts(value, lambda part: self.view(part, name))
        if name in _LISTS:  # of another kind, so looked at where it is needed
            return value
        framework = of(value)
        if framework is self:
            return self.view(value, name)
        if framework is not None and framework.name == self.name:
            return framework.view(value, name)
        if framework is not None or isinstance(value, np.ndarray):
            self._refuse(framework, value, name, function, given)
        return value

    def _view_of_one_shape(self, array: Any, name: str) -> Any:
        """Return a view; of ids in lists the array as it is, of which the function called makes a `Ragged`."""
        return array if name in _LISTS and self.is_lists(array) else self.view(array, name)

    def _refuse(
        self, framework: "Framework | None", value: Any, name: str, function: Callable[..., Any], given: tuple[Any, ...]
    ) -> NoReturn:
        names = names_of(function)
        decides = next(one for one in DECIDE if one in names)
        first = given[names.index(decides)]
        first = getattr(first, "codes", first)
        there = self.is_device(first)
        if there != (framework is not None and framework.is_device(value)):
            raise_two_devices(name, value, decides, first)
        whose, made = (framework.name, f"numpy.asarray({name})") if framework else ("NumPy", name)
        way = self.put.format(name=name, place=place(first), decides=decides) if there else f"{self.maker}({made})"
        raise TypeError(
            f"{name} is an array of {whose} and {decides} one of {self.name}: arrays of one call must be of one "
            f"framework; give {way}"
        )

    def _results(self, value: Any) -> Any:
        """Return results as the framework's arrays, in tuples of the same types."""
        if type(value) is np.ndarray:
            return self.result(value)
        if isinstance(value, tuple):
            if type(value) is DeviceArray:
                return value.owner
            parts = [part if part is None else self._results(part) for part in value]
            return value._make(parts) if hasattr(value, "_make") else tuple(parts)
        if isinstance(value, np.generic):
            return self.result(np.asarray(value))
        return _with_parts(value, owned) if _has_codes(type(value)) else value


class Refused(Framework):
    """Arrays of which there can be no view."""

    def __init__(self, name: str, why: str) -> None:
        self.name, self._why = name, why

    def view(self, array: Any, name: str) -> Array:
        """Raise the TypeError that says why, and the way out."""
        raise TypeError(self._why.format(name=name))


# Types that are known --------------------------------------------------------------------------------------------

#: The first word of the name of a module in which types of a framework are defined, and the sibling that knows them.
_FILES = {
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "pyarrow": "arrow",
    "polars": "polars",
    "cupy": "cupy",
    "numba": "numba_cuda",
}
KNOWN: dict[type, Framework] = {}


def of(array: Any) -> Framework | None:
    """Return the framework of an array; None for NumPy's, and for what is no array of a known framework.

    A quantised table is of the framework of its codes.
    """
    kind = type(array)
    found = KNOWN.get(kind)
    if found is None and kind is not np.ndarray and kind not in PLAIN:
        if _has_codes(kind):
            return of(array.codes)
        found = _find(kind)
        if found is not None:
            KNOWN[kind] = found
    return found


def _find(kind: type) -> Framework | None:
    if issubclass(kind, np.ndarray | np.generic | DeviceArray):
        return None
    for parent in kind.__mro__:
        file = _FILES.get(parent.__module__.partition(".")[0])
        if file is not None:
            found = cast("Framework | None", import_module(f"{__name__}.{file}").find(kind))
            if found is not None:
                return found
    if any(hasattr(kind, name) for name in ("__cuda_array_interface__", "__dlpack__")):
        return cast("Framework | None", import_module(f"{__name__}.dlpack").find(kind))
    return None


def _has_codes(kind: Any) -> bool:
    """Whether it is the type of quantised tables."""
    return hasattr(kind, "codes") and hasattr(kind, "dequantize") and hasattr(kind, "_trusted")


def _with_parts(table: Any, change: Callable[[Any], Any]) -> Any:
    """Return a quantised table whose arrays are changed."""
    parts = (change(part) for part in (table.codes, table.scale, table.offset))
    return type(table)._trusted(*parts, table.shape, table.bits)


def owned(array: Any) -> Any:
    """Return the framework's own array of a device array; all others as they are."""
    return array.owner if type(array) is DeviceArray and of(array.owner) else array


def place(array: Any) -> str:
    """Return what errors call the device on which an array of any framework lies."""
    framework = of(array)
    if framework is not None and framework.is_device(array):
        array = framework.view(array, "")
    return array.place if type(array) is DeviceArray else "the CPU"


def raise_two_devices(name: str, array: Any, decides: str, first: Any) -> NoReturn:
    """Raise the TypeError for an array that is not on the device of the array that decides."""
    there = place(first)
    whose = of(getattr(array, "owner", array) if there == "the CPU" else getattr(first, "owner", first)) or Framework()
    way = "an array there"  # and not a copy, to which nobody looks
    if name not in WRITTEN:
        way = (whose.fetch if there == "the CPU" else whose.put).format(name=name, place=there, decides=decides)
    raise TypeError(
        f"{name} is on {place(array)} and {decides} on {there}: arrays of one call must be on one device; give {way}"
    )


def lists(ids: Any, make: Callable[[Array, Array], Any]) -> Any:
    """Return what ``make`` makes of the rows of ids in another framework's lists; all other ids as they are."""
    framework = None if type(ids) is make else of(ids)
    return make(*framework.lists(ids)) if framework is not None and framework.is_lists(ids) else ids


def unlocked(view: Array, address: int) -> Array:
    """Return a view that is not read-only of a read-only one, whose memory begins at an address.

    Small calls have kernels of arrays that may be written to, alone, and read-only ones take the general road, which
    takes 5 to 18 µs longer. Only for arrays that functions read: they are not named in `WRITTEN`.
    """
    if not view.nbytes or not view.flags.c_contiguous:
        return view
    memory: Any = (ctypes.c_char * view.nbytes).from_address(address)
    memory.alive = view  # which may be a copy that nobody else holds
    return np.ndarray(view.shape, view.dtype, memory)
