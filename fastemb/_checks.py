"""The checks of what callers give, and the words of errors. Knows no device and looks at no value.

Where a value is wrong (an id out of range, offsets that descend), the room that looked at it raises by the words here.
How an error ends, with what was given and the way out, is in `_words`, which looks at Python's own objects.
"""

import sys
from functools import cache
from numbers import Real
from operator import index as as_int
from typing import Any, Literal, NoReturn, get_args

import numpy as np
import numpy.typing as npt

from . import _frameworks
from ._frameworks import DeviceArray
from ._words import beyond, held, shown, type_name, way_to_array, way_to_integers, way_to_number

Array = npt.NDArray[Any]

# Options that are one of a few words: a type for annotations, and from it what `require_word` lets pass -----------

#: What an id outside ``[0, V)`` means: an error, the nearest row, or the row modulo V.
IdMode = Literal["raise", "clip", "wrap"]
PoolMode = Literal["sum", "mean", "max", "cls", "last", "mean_sqrt_len", "weighted_mean", "mean_max"]
Metric = Literal["dot", "cosine", "l2"]
#: Where padding goes.
Side = Literal["right", "left"]
#: As many ids as the model says.
ModelLength = Literal["model"]
#: Where a configuration goes.
ConfigMode = Literal["stdout", "dicts"]
#: When wrong values on a CUDA device are said.
CudaCheck = Literal["defer", "sync", "none"]
#: Functions that have kernels.
KernelName = Literal[
    "Adagrad", "Adam", "AdamW", "SGD", "embed", "embed_backward", "embedding_bag", "embedding_bag_backward", "gather",
    "normalize", "pool", "pool_backward", "quantize", "rope", "row_grad", "scatter_add", "topk",
]  # fmt: skip

ID_MODES: tuple[IdMode, ...] = get_args(IdMode)
POOL_MODES: tuple[PoolMode, ...] = get_args(PoolMode)
METRICS: tuple[Metric, ...] = get_args(Metric)
SIDES: tuple[Side, ...] = get_args(Side)
MODEL_LENGTHS: tuple[ModelLength, ...] = get_args(ModelLength)
CONFIG_MODES: tuple[ConfigMode, ...] = get_args(ConfigMode)
CUDA_CHECKS: tuple[CudaCheck, ...] = get_args(CudaCheck)
KERNEL_NAMES: tuple[KernelName, ...] = get_args(KernelName)


def is_word(value: Any, words: tuple[str, ...]) -> bool:
    """Whether a value is one of a few words; no array is, nor what has no hash."""
    return isinstance(value, str) and value in words


def require_word(value: Any, words: tuple[str, ...], name: str) -> None:
    """Refuse an option that is none of its words."""
    if not is_word(value, words):
        few = " or ".join(map(repr, words)) if len(words) < 3 else f"one of {', '.join(map(repr, words))}"
        raise ValueError(f"{name} must be {few}, got {shown(value)}")


# Types -----------------------------------------------------------------------------------------------------------


def refuse_masked(value: Any, name: str) -> None:
    """Refuse a masked array, whose mask would be ignored."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and the mask would be ignored; give {name}.data or filled()")


def as_table(table: Any, name: str = "table") -> Any:
    """Return the table as a plain NumPy array that holds no Python objects; no copy."""
    if type(table) is DeviceArray:
        return table
    if not isinstance(table, np.ndarray):
        if framework := _frameworks.of(table):
            if isinstance(framework, _frameworks.Refused):  # a tracer, say, which NumPy could not take either
                framework.view(table, name)
            if framework.is_device(table):  # beside an array on the CPU, as `require_one_device` says
                return framework.view(table, name)
            both = f"as the array that decides is, got {type_name(table)}; give numpy.asarray({name})"
            raise TypeError(f"{name} must be a numpy.ndarray, {both}")
        raise_no_array(table, name)
    refuse_masked(table, name)
    if table.dtype.hasobject:
        held_there = f"got {table.dtype}; give numpy.array({name}.tolist()), of the dtype that is meant"
        raise TypeError(f"{name} must have a fixed-size dtype without Python objects, {held_there}")
    return np.asarray(table)


def raise_no_array(value: Any, name: str) -> NoReturn:
    """Raise the TypeError for what is no array where one is needed that is not made here: it may be large."""
    given = f"got {type_name(value)}{way_to_array(value, name)}"
    raise TypeError(f"{name} must be a numpy.ndarray or an array of another framework, {given}")


def require_axis(array: Any, name: str) -> None:
    """Refuse an array without axes."""
    if not len(array.shape):
        raise ValueError(f"{name} must have at least one axis, got shape ()")


def as_numbers(values: Any, name: str) -> Any:
    """Return a NumPy array, a list or a view of another framework's array as a plain array; an empty list is int64."""
    if type(values) is DeviceArray:
        return values
    if isinstance(values, np.ndarray):
        refuse_masked(values, name)
        return np.asarray(values)
    if framework := _frameworks.of(values):
        return framework.view(values, name)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # lists of lists, and whatever an object's own raises
        if isinstance(error, ValueError) and isinstance(values, list | tuple):
            way = f", which are a Ragged: Ragged.from_lists({name})" if name.endswith("ids") else ""
            raise ValueError(f"{name} must be rectangular, got rows of different lengths{way}") from None
        raise TypeError(f"{name} is a {type_name(values)} that NumPy cannot read: {error}") from error
    return array.astype(np.int64) if not array.size and isinstance(values, list | tuple) else array


def as_integers(values: Any, name: str, fits: str = "int64") -> Any:
    """Return offsets or their like as a plain array of an integer dtype; ``fits`` is what integers of Python must."""
    array = as_numbers(values, name)
    if array.dtype.kind not in "iu":
        if found := beyond(values, array):
            raise ValueError(f"{name} must fit {fits}, got {shown(found[0].flat[found[1]])}")
        _raise_no_integers(values, array, name)
    return array


def as_ids(values: Any, name: str = "ids") -> Any:
    """Return ids as a plain array of an integer dtype; integers that no dtype holds are out of range of any table."""
    array = as_numbers(values, name)
    if array.dtype.kind not in "iu":
        if found := beyond(values, array):
            raise IndexError(f"{name_id(*found, name[:-1])} is beyond int64; no table has such a row")
        _raise_no_integers(values, array, name)
    return array


def _raise_no_integers(values: Any, array: Any, name: str) -> NoReturn:
    """Raise the TypeError for what was read as an array of another dtype."""
    given = f"got {held(values, array)}{way_to_integers(values, array, name)}"
    raise TypeError(f"{name} must have an integer dtype, {given}")


def as_reals(values: Any, name: str, what: str = "have an integer or a float dtype") -> Any:
    """Return numbers that need not be whole as a plain array, of an integer or a float dtype."""
    array = as_numbers(values, name)
    if array.dtype.kind not in "iu" and not is_float(array.dtype):
        if found := beyond(values, array):
            raise ValueError(f"{name} must fit int64 or be floats, got {shown(found[0].flat[found[1]])}")
        way = way_to_array(values, name) if array.dtype.hasobject else ""
        raise TypeError(f"{name} must {what}, got {held(values, array)}{way}")
    return array


def as_padding(padding_idx: Any) -> int | None:
    """Return the id that is left out, or None. It may be one that no table has."""
    if padding_idx is None:
        return None
    if isinstance(padding_idx, bool | np.bool_):
        raise TypeError("padding_idx must be an integer or None, got a bool")
    try:
        return as_int(padding_idx)
    except TypeError:
        raise TypeError(f"padding_idx must be an integer or None, got {type_name(padding_idx)}") from None


def as_real(value: Any, name: str) -> float:
    """Return a real number as a float."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {type_name(value)}{way_to_number(value, name)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is beyond the range of float64") from None


def as_integer(value: Any, name: str) -> int:
    """Return an integer as Python's own; a bool is none."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got bool")
    try:
        return as_int(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type_name(value)}{way_to_number(value, name)}") from None


def as_size(value: Any, name: str) -> int:
    """Return a number of rows, columns or their like as an int."""
    size = as_integer(value, name)
    if size < 0:
        raise ValueError(f"{name} must not be negative, got {shown(size)}")
    if size > sys.maxsize:  # NumPy says so too, but not of which
        raise ValueError(f"{name} is larger than an array can be, got {shown(size)}")
    return size


def as_flag(value: Any, name: str) -> bool:
    """Return whether an option is on; a text is no answer, nor are many."""
    try:
        if not isinstance(value, str):
            return bool(value)
    except (TypeError, ValueError, RuntimeError):  # of arrays
        pass
    raise TypeError(f"{name} must be a bool, got {shown(value)}")


@cache
def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether it is one of the four dtypes that kernels compute with, in either byte order."""
    return (dtype.kind == "f" and dtype.itemsize in (2, 4, 8)) or dtype.name == "bfloat16"


def require_float(array: Any, name: str) -> None:
    """Refuse what is not float64, float32, float16 or bfloat16."""
    if not is_float(array.dtype):
        raise TypeError(f"{name} must have dtype float64, float32, float16 or bfloat16, got {array.dtype}")


def is_quantized(table: Any) -> bool:
    """Whether it is a `fastemb.quantized.QuantizedTable`; other libraries' arrays can be dequantised, too."""
    if isinstance(table, np.ndarray):
        return False
    return hasattr(type(table), "dequantize") and hasattr(type(table), "codes")


def as_float_table(x: Any, name: str) -> Any:
    """Return x as a plain array of one of the four float dtypes."""
    array = as_table(x, name)
    require_float(array, name)
    return array


def as_number_table(table: Any) -> Any:
    """Return a table that is computed with: an array of floats, or a quantised table as it is."""
    return table if is_quantized(table) else as_float_table(table, "table")  # codes were checked when they were made


def result_dtype(rows: Any) -> np.dtype[Any]:
    """Return the dtype of what is computed from a table or x: its own in native byte order, float32 of codes."""
    if is_quantized(rows):
        return np.dtype(np.float32)
    dtype: np.dtype[Any] = rows.dtype
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def parts(table: Any, name: str = "table") -> dict[str, Any]:
    """Return the arrays that a table consists of, by the names that errors use."""
    if is_quantized(table):
        return {"codes": table.codes, "scale": table.scale, "offset": table.offset}
    return {name: table}


def as_mask(mask: Any) -> Any:
    """Return a mask as an array of bool or integers."""
    array = as_numbers(mask, "mask")
    if array.dtype.kind in "biu":
        return array
    way = "; give an array of bools" if array.ndim else way_to_array(mask, "mask")
    if is_float(array.dtype):
        way = "; give mask != 0, or mask == 0 where it is added to scores, so that 0 keeps"
    raise TypeError(f"mask must have dtype bool or an integer dtype, got {held(mask, array)}{way}")


def as_weights(weights: Any) -> Any:
    """Return weights as an array of real numbers."""
    return as_reals(weights, "weights", "be real numbers")


_HERE = frozenset({np.ndarray, type(None)})


def require_one_device(**arrays: Any) -> None:
    """Refuse arrays of one call that lie on two devices. The first decides; those that are None do not count."""
    if _HERE.issuperset(map(type, arrays.values())):  # as in nearly every call
        return
    (decides, first), *others = arrays.items()
    first = getattr(first, "codes", first)
    here = _device(first)
    for name, array in others:
        if array is not None and _device(array) != here:
            _frameworks.raise_two_devices(name, array, decides, first)


def _device(array: Any) -> Any:
    """Return which device an array lies on, None for the CPU."""
    if type(array) is np.ndarray:
        return None
    if type(array) is not DeviceArray:
        framework = _frameworks.of(array)
        if framework is None or not framework.is_device(array):
            return None
        array = framework.view(array, "")
    return array.device, array.ordinal


def require_cpu(array: Any, name: str) -> Any:
    """Return an array that is read here; refuse one on a device."""
    if type(array) is DeviceArray:
        framework = _frameworks.of(array.owner) or _frameworks.Framework()
        raise TypeError(f"{name} is on {array.place}, and is read on the CPU; give {framework.fetch.format(name=name)}")
    return array


# Shapes and memory -----------------------------------------------------------------------------------------------


def require_shape(array: Any, shape: tuple[int, ...], name: str, words: str = "") -> None:
    """Refuse an array, if there is one, of another shape."""
    if array is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}{words}, got {array.shape}")


def require_table_shape(table: Any) -> None:
    """Refuse a table that is not of shape (V, D)."""
    if len(table.shape) != 2:
        raise ValueError(f"table must have shape (V, D), got {table.shape}")


def require_offsets_shape(offsets: Any) -> None:
    """Refuse offsets that are not one row of at least one number."""
    if offsets.ndim != 1:
        raise ValueError(f"offsets must be 1-D, got shape {offsets.shape}")
    if not offsets.size:
        raise ValueError("offsets must have one entry more than there are bags, so at least one, got none")


def may_share(a: Any, b: Any) -> bool:
    """Whether two arrays may have memory in common; those of two devices have none."""
    if type(a) is not type(b) or type(a) is not DeviceArray:
        return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)
    (first, last), (begin, end) = a.bounds(), b.bounds()
    return bool(first < end and begin < last)


def is_writeable(array: Any) -> bool:
    """Whether results may be written to an array."""
    return bool(array.writeable if type(array) is DeviceArray else array.flags.writeable)


def is_contiguous(array: Any) -> bool:
    """Whether the elements of an array follow one another in the order of C."""
    if type(array) is not DeviceArray:
        return bool(array.flags.c_contiguous)
    apart = array.dtype.itemsize
    for length, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if length > 1 and stride != apart:
            return bool(array.size == 0)
        apart *= length
    return True


def overlaps_itself(array: Any) -> bool:
    """Whether two elements may share memory, as those of a window that slides or of a broadcast array do."""
    if is_contiguous(array):
        return False
    reach = array.dtype.itemsize
    for apart, length in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if length > 1:
            if apart < reach:
                return True
            reach = apart * (length - 1) + reach
    return False


def same_memory(x: Any, out: Any) -> bool:
    """Whether ``out`` has the same elements as ``x`` at the same places."""
    return out is x or (
        (type(out) is DeviceArray) == (type(x) is DeviceArray)  # a memory map is a NumPy array like others
        and (out.shape, out.strides, out.dtype) == (x.shape, x.strides, x.dtype)
        and _start(out) == _start(x)
    )


def _start(array: Any) -> int:
    return array.pointer if type(array) is DeviceArray else array.ctypes.data


def require_out(out: Any, dtype: np.dtype[Any] | None = None, words: str = "") -> None:
    """Refuse an ``out`` of another type or dtype: one of the four float dtypes, or just ``dtype``, by its ``words``."""
    if type(out) is not DeviceArray and not isinstance(out, np.ndarray):
        if framework := _frameworks.of(out):
            if framework.is_device(out):  # beside an array on the CPU, as `require_one_device` says
                return
            raise TypeError(f"out must be a numpy.ndarray, as the table or x is, got {type_name(out)}")
        raise TypeError(f"out must be a numpy.ndarray or an array of another framework, got {type_name(out)}")
    refuse_masked(out, "out")
    if dtype is None:
        require_float(out, "out")
    elif out.dtype != dtype:
        raise TypeError(f"out must have {words}, got {out.dtype}")


def check_out(out: Any, shape: tuple[int, ...], **inputs: Any) -> Any:
    """Return ``out`` as a plain array after checking that a result may be written there; no copy.

    Its type and dtype have been checked by `require_out`. Of ``inputs``, with which it must not overlap, those that
    are None do not count, and of a quantised table its arrays do.
    """
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if not is_writeable(out):
        raise ValueError("out is read-only")
    if overlaps_itself(out):
        raise ValueError(f"out overlaps itself in memory: shape {out.shape} and strides {out.strides}")
    for name, given in inputs.items():
        for part, array in parts(given, name).items():
            if array is not None and may_share(out, array):
                raise ValueError(f"out overlaps {part} in memory")
    return out if type(out) is DeviceArray else np.asarray(out)


# Words for values that are wrong ---------------------------------------------------------------------------------


def name_id(ids: Array, position: int, what: str = "id") -> str:
    """Return the words for the id at a flat position: ``id 7 at position (1, 0)``."""
    place = tuple(map(int, np.unravel_index(position, ids.shape)))
    where = {0: "", 1: f" at position {position}"}.get(ids.ndim, f" at position {place}")
    return f"{what.replace('_', ' ')} {shown(int(ids[place]))}{where}"


def raise_out_of_range(ids: Array, position: int, V: int) -> NoReturn:
    """Raise the IndexError for the id at a flat position."""
    raise IndexError(f"{name_id(ids, position)} is out of range for a table of {V} rows")


def ascend(offsets: Array, N: int) -> bool:
    """Whether offsets, of which there is at least one, ascend from 0 to N."""
    falls = offsets[1:] < offsets[:-1]
    return bool(offsets[0] == 0 and offsets[-1] == N and not falls.any())


def raise_bad_offsets(offsets: Array, N: int, what: str = "ids") -> NoReturn:
    """Raise the ValueError for offsets that do not ascend from 0 to N."""
    if offsets[0] != 0:
        raise ValueError(f"offsets must start at 0, got offsets[0] = {offsets[0]}")
    falls = offsets[1:] < offsets[:-1]
    if falls.any():
        s = int(np.argmax(falls))
        raise ValueError(
            f"offsets must not descend, got offsets[{s}] = {offsets[s]} and offsets[{s + 1}] = {offsets[s + 1]}"
        )
    message = f"offsets must end at {N}, the number of {what}, got offsets[{offsets.size - 1}] = {offsets[-1]}"
    if offsets[-1] < N:
        message += (
            f"; S bags take S+1 offsets, the last of which is the number of {what} "
            "(the layout of torch's include_last_offset=True)"
        )
    raise ValueError(message)


def raise_bad_length(lengths: Array, s: int, T: int) -> NoReturn:
    """Raise the ValueError for the length of row s."""
    raise ValueError(f"lengths must lie from 0 to {T}, got lengths[{s}] = {lengths[s]}")
