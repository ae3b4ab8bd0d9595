"""What a value is, and the way out of it: the ends of errors. Nothing here is quick: it is asked when one is raised."""

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

_SHOWN = 100  # characters of a value

# What was given --------------------------------------------------------------------------------------------------


def type_name(value: Any) -> str:
    """Return the name of a value's type, with its module where that is not Python's own; None is just None."""
    kind = type(value)
    if value is None:
        return "None"
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def shown(value: Any) -> str:
    """Return how a value is written, cut where it is long; what cannot be written is named by its type."""
    try:
        text = repr(value)
    except Exception:  # an int of many thousand digits, or whatever an object's own raises
        return f"an int of {value.bit_length()} bits" if isinstance(value, int) else f"one {type_name(value)}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def held(values: Any, array: npt.NDArray[Any]) -> str:
    """Return what is no array of numbers, or of the wrong ones: ``values`` as given, ``array`` as NumPy reads it."""
    if array.dtype.kind in "US":
        return f"strings (dtype {array.dtype})"
    if not array.dtype.hasobject:
        return f"dtype {array.dtype}"
    if not array.ndim:
        return type_name(values)
    odd = next((one for one in array.flat if not _is_int(one)), 0)
    kind = "an array of dtype object" if isinstance(values, np.ndarray) else f"a {type_name(values)} of objects"
    return f"{kind} that holds {type_name(odd)}"


def _is_int(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def all_ints(array: npt.NDArray[Any]) -> bool:
    """Whether an array of objects holds integers alone."""
    return array.dtype.kind == "O" and all(map(_is_int, array.flat))


def beyond(values: Any, array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int] | None:
    """Return integers, of which NumPy makes objects or floats, and the place of the first that is too large.

    None where that is not why they are no array of integers.
    """
    if array.dtype.kind == "f" and not isinstance(values, list | tuple):
        return None
    objects = np.array(values, object) if array.dtype.kind == "f" else array
    if not all_ints(objects):
        return None
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    return next(((objects, i) for i, one in enumerate(objects.flat) if not low <= one <= high), None)


# The way out -----------------------------------------------------------------------------------------------------


def way_to_array(value: Any, name: str) -> str:
    """Return how a value that is no array becomes one, as the end of an error; nothing where no way is known."""
    found = next((way for is_so, way in _WAYS if is_so(value)), "")
    return f"; give {found.format(name=name)}" if found else ""


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda value: all(hasattr(type(value), name) for name in names)


def _is_batch(value: Any) -> bool:
    return isinstance(value, Mapping) and "input_ids" in value


def _is_of_tensors(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and type(value[0]).__module__.partition(".")[0] == "torch"


#: What a value is like, and what to give in its place: the first that fits. Libraries are known by what they call it.
_WAYS: list[tuple[Callable[[Any], bool], str]] = [
    (_is_batch, '{name}["input_ids"]'),
    (lambda value: isinstance(value, Mapping), "one of its values"),
    (_has("dequantize", "codes"), "{name}.dequantize()"),
    (_has("from_lists", "pad"), "a Ragged as ids"),
    (_has("toarray"), "{name}.toarray()"),  # sparse, of SciPy
    (_has("num_columns", "column"), "one of its columns, {name}.column(0)"),  # tables of PyArrow
    (_has("to_numpy"), "{name}.to_numpy()"),  # pandas, and frames of Polars
    (lambda value: hasattr(value, "weight") and _has("parameters")(value), "{name}.weight.detach()"),  # torch's modules
    (_is_of_tensors, "torch.stack({name})"),
    (lambda value: isinstance(value, Set | Iterator), "list({name}), or an array of it"),
    (_has("__array__"), "numpy.asarray({name})"),
    (lambda value: isinstance(value, list | tuple | memoryview), "numpy.array({name}), of the dtype that is meant"),
]


def way_to_integers(values: Any, array: npt.NDArray[Any], name: str) -> str:
    """Return how values become ids or their like, as the end of an error; nothing where no way is known."""
    kind = array.dtype.kind
    if isinstance(values, Mapping) or (kind == "O" and not array.ndim):
        return way_to_array(values, name)
    if kind in "US":
        return "; a Tokenizer makes ids of text" if name == "ids" else ""
    if kind == "b":
        return f"; a mask is no list of ids: its places are numpy.flatnonzero({name})" if name == "ids" else ""
    if kind == "f":
        return "; whole numbers have to be converted to an integer dtype first"
    if kind == "O" and any(isinstance(one, list | tuple | np.ndarray) for one in array.flat):
        ways = f"; rows of different lengths are a Ragged: Ragged.from_lists({name}), or flat ids and offsets"
        return ways if name.endswith("ids") else ""
    return f"; give numpy.asarray({name}, numpy.int64)" if all_ints(array) else ""


def way_to_number(value: Any, name: str) -> str:
    """Return how a value that is no number becomes one, as the end of an error; nothing where no way is known."""
    return f"; give {name}.item()" if getattr(value, "size", 2) == 1 or getattr(value, "shape", (2,)) == () else ""


def way_to_norm(norm: Any) -> str:
    """Return how another library's norm becomes one of ours, as the end of an error: a layer has ``weight``."""
    weight = None if isinstance(norm, type) else getattr(norm, "weight", None)
    if weight is None:
        return "; give LayerNorm(weight, bias, eps) or RMSNorm(weight, eps), of arrays of one number for each column"
    eps = next((f"norm.{one}" for one in ("eps", "variance_epsilon", "epsilon") if hasattr(norm, one)), "eps")
    detach = ".detach()" if hasattr(weight, "detach") else ""
    if "RMS" in type(norm).__name__ or not hasattr(norm, "bias"):
        eps = "eps" if getattr(norm, "eps", 0) is None else eps
        return f"; give fastemb.RMSNorm(norm.weight{detach}, {eps})"
    bias = "None" if norm.bias is None else f"norm.bias{detach}"
    return f"; give fastemb.LayerNorm(norm.weight{detach}, {bias}, {eps})"
