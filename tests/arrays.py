"""The kit of tests that take arrays: frameworks, dtypes, layouts, fenced outputs, equal bits, threads, many callers."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from fastemb import QuantizedTable, _threads, reference

BF16 = ml_dtypes.bfloat16
#: The dtypes that kernels compute with.
DTYPES = ["f8", "f4", "f2", BF16]
#: Dtypes of ids. Those of i4 and i8 have kernels of their own; the others are copied.
ID_DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">i8"]


# Frameworks --------------------------------------------------------------------------------------------------------


class Framework(NamedTuple):
    """How arrays of NumPy become a framework's, and its results NumPy's."""

    name: str
    from_numpy: Callable[[np.ndarray], Any]
    to_numpy: Callable[[Any], np.ndarray]
    #: What it can hold of an array: the same numbers, in a layout and a byte order that it has.
    nearest: Callable[[np.ndarray], np.ndarray] = lambda array: array
    #: Whether its arrays may be written to, and so be an ``out`` or a target.
    writes: bool = True

    def held(self, given):
        """Return what the framework can hold of arrays, as NumPy's: what it is then given, and laws are told."""
        return _each(lambda one: self.nearest(one) if isinstance(one, np.ndarray) else one, given)

    def make(self, given):
        """Return arrays, those in tuples and dicts too, as the framework's; all else as it is."""
        return _each(lambda one: self.from_numpy(one) if isinstance(one, np.ndarray) else one, given)

    def back(self, result):
        """Return a result, or a tuple of them, as NumPy's."""
        return _each(lambda one: one if one is None else self.to_numpy(one), result)


def _each(change, value):
    if isinstance(value, dict):
        return {name: _each(change, one) for name, one in value.items()}
    if isinstance(value, tuple):
        parts = [_each(change, one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return change(value)


@contextmanager
def _numpy():
    yield Framework("NumPy", lambda array: array, lambda result: result)


@contextmanager
def _torch():
    torch = pytest.importorskip("torch", reason="the package torch is not installed")

    def nearest(array):
        has_layout = array.flags.aligned and array.flags.writeable and min(array.strides, default=0) >= 0
        return array if has_layout and array.dtype.isnative else native(array).copy()

    def make(array):
        if array.dtype == BF16:
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        if not array.flags.writeable:  # of broadcasting: torch warns, and writes to none that is not an out
            array = np.lib.stride_tricks.as_strided(array, writeable=True)
        return torch.from_numpy(array)

    def back(tensor):
        assert isinstance(tensor, torch.Tensor)
        return tensor.numpy() if tensor.dtype != torch.bfloat16 else tensor.view(torch.int16).numpy().view(BF16)

    yield Framework("torch", make, back, nearest)


@contextmanager
def _jax():
    jax = pytest.importorskip("jax", reason="the package jax is not installed")

    def back(array):
        assert isinstance(array, jax.Array)
        return np.asarray(array)

    with jax.enable_x64(True):
        yield Framework("JAX", jax.numpy.asarray, back, lambda array: native(array).copy(), writes=False)


#: What the law of each family is tested with, by the fixture `framework`: one more, or a device, is one more entry.
FRAMEWORKS = {"NumPy": _numpy, "torch": _torch, "JAX": _jax}
with _numpy() as NUMPY:
    pass


# Layouts -----------------------------------------------------------------------------------------------------------


def _within(array, shape, place):
    """Return the array as a part of a larger one, all around which is NaN, or ones in every bit."""
    whole = np.full((*shape, array.dtype.itemsize), 0xFF, np.uint8).view(array.dtype)[..., 0]
    whole[place] = array
    return whole[place]


def _apart(array, axis):
    """Return the array with as much memory again between its parts along an axis."""
    shape, every_other = list(array.shape), [slice(None)] * array.ndim
    shape[axis], every_other[axis] = 2 * shape[axis], slice(None, None, 2)
    return _within(array, shape, tuple(every_other))


def _cut(array, *borders):
    """Return the array without the borders of a larger one: how much before and behind each of the last axes."""
    borders = [(0, 0)] * (array.ndim - len(borders)) + list(borders)
    shape = [length + before + behind for length, (before, behind) in zip(array.shape, borders, strict=True)]
    places = [slice(before, before + n) for n, (before, _) in zip(array.shape, borders, strict=True)]
    return _within(array, shape, tuple(places))


def _backwards(array, *axes):
    return np.flip(np.flip(array, axes).copy(), axes)


def _read_only(array):
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def _misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    shifted = raw[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    return shifted


#: Of arrays of any number of axes.
_ANY = {
    "plain": lambda array: array,
    "read-only": _read_only,
    "rows apart": lambda array: _apart(array, 0),
    "reversed": lambda array: _backwards(array, 0),
    "strided": lambda array: _apart(array, -1),
    "fortran": np.asfortranarray,
    "misaligned": _misaligned,
    "swapped": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "cut": lambda array: _cut(array, *[(1, 1)] * array.ndim),
}
#: Of two axes and more, rows and columns last.
_ROWS = {
    "every other row": lambda array: _apart(array, -2),
    "rows cut": lambda array: _cut(array, (1, 0), (0, 0)),
    "columns cut": lambda array: _cut(array, (1, 2)),
    "rows reversed": lambda array: _backwards(array, -2),
    "both reversed": lambda array: _backwards(array, *{0, array.ndim - 2}),
    "rows first": lambda array: np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -2, 0)), 0, -2),
}
#: Inputs alone, and of the values given the first along an axis again and again.
_REPEATED = {
    "repeated": lambda array: np.broadcast_to(array[:1] if array.shape[0] else array, array.shape),
    "rows repeated": lambda array: np.broadcast_to(array[..., :1, :] if array.shape[-2] else array, array.shape),
}
_WAYS = _ANY | _ROWS | _REPEATED
#: Of arrays of any number of axes: all that hold the values given; those of outputs; those of inputs.
LAYOUTS = list(_ANY)
OUT_LAYOUTS = [layout for layout in LAYOUTS if layout != "read-only"]
IN_LAYOUTS = [*LAYOUTS, "repeated"]
#: Of arrays of two axes and more: those of outputs, those of inputs.
ROWS_OUT_LAYOUTS = [*OUT_LAYOUTS, *_ROWS]
ROWS_IN_LAYOUTS = list(_WAYS)


def lay(array, layout):
    """Return an array's values in memory of another layout; where they are repeated, the first of them alone.

    Of one axis, layouts of rows are plain.
    """
    return array if array.ndim < 2 and layout not in IN_LAYOUTS else _WAYS[layout](array)


# Outputs between sentinels -----------------------------------------------------------------------------------------

_SENTINEL = 0xA5


def _bytes_in(array, memory):
    """Return the bytes of a view of some memory, or of a copy of it."""
    first = array.ctypes.data - array.base.ctypes.data
    return np.ndarray((*array.shape, array.itemsize), np.uint8, memory, first, (*array.strides, 1))


def fenced(shape, dtype, layout="plain", *, shift=0, apart=0):
    """Return an output of NaN (ones in every bit) between sentinels, ``shift`` bytes behind a multiple of 64.

    Between its rows are sentinels too: where the layout has gaps, and for ``apart`` columns.
    """
    *lead, D = shape
    model = lay(np.zeros((*lead, D + apart), dtype), layout)[..., :D]
    low, high = np.lib.array_utils.byte_bounds(model) if model.size else [model.ctypes.data] * 2
    memory = np.full(high - low + shift + 256, _SENTINEL, np.uint8)
    first = 64 - memory.ctypes.data % 64 + shift + (not model.flags.aligned) + model.ctypes.data - low
    out = np.ndarray(model.shape, model.dtype, memory, first, model.strides)
    _bytes_in(out, memory)[...] = 0xFF
    return out


def fence_stands(out):
    """Whether all the memory around an output of `fenced` is as it was."""
    around = out.base.copy()
    _bytes_in(out, around)[...] = _SENTINEL
    return bool((around == _SENTINEL).all())


# Equality ----------------------------------------------------------------------------------------------------------


def same_bits(a, b):
    """Whether two arrays have the same dtype, shape and bytes."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def same_but_nan(a, b):
    """Whether two arrays have the same dtype, shape and bytes, where one NaN is like another."""
    return a.dtype == b.dtype and a.shape == b.shape and _bytes(a) == _bytes(b)


def _bytes(a):
    return (a if a.dtype.kind in "iu" else np.where(np.isnan(a), np.array(np.nan, a.dtype), a)).tobytes()


def rounded(expected, dtype):
    """Round as results are. Sums beyond float16 are infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return expected.astype(dtype)


def native(array):
    """Return an array's values in this machine's byte order."""
    return array.astype(array.dtype.newbyteorder("="))


def copies(arguments):
    """Return copies of those arguments that are arrays, to compare them with later."""
    return {name: np.array(value) for name, value in arguments.items() if isinstance(value, np.ndarray)}


# Threads and callers -----------------------------------------------------------------------------------------------


def on_threads(call, counts=(1, 2, 7)):
    """Return what a call gives on each number of threads; small calls take threads by the fixture `small_grain`."""
    results = []
    for n in counts:
        with _threads.num_threads(n):
            results.append(call())
    return results


def same_on_threads(call, counts=(1, 2, 7), same=same_bits):
    """Return what a call gives, an array or several, once it has given the same bits on each number of threads."""
    first, *others = on_threads(call, counts)
    for other in others:
        assert all(a is b is None or same(a, b) for a, b in zip(_leaves(first), _leaves(other), strict=True))
    return first


def _leaves(value):
    return [leaf for one in value for leaf in _leaves(one)] if isinstance(value, tuple | list) else [value]


def by_eight_callers(call, jobs):
    """Return what a call gives for each job, where eight threads begin at once and each call may take three."""
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        with _threads.num_threads(3):
            return [call(*job) for job in jobs[k::8]]

    with ThreadPoolExecutor(8) as callers:
        results = list(callers.map(work, range(8)))
    return [results[k % 8][k // 8] for k in range(len(jobs))]


def codes_of(table):
    """Quantise a table without a kernel, for those made when a file is imported: every process imports all."""
    return QuantizedTable(*reference.quantize(table.astype("f4")), table.shape)


# Small paths -------------------------------------------------------------------------------------------------------


@contextmanager
def general_calls(room, *twins, most=None, path=None):
    """Give a list that grows with each call of a room's twins; ``most`` bytes are a small call, if that is given.

    ``path`` is the file of the small path, where that is not the room's own.
    """
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        for name in twins:
            way = getattr(room, name)
            patch.setattr(room, name, lambda *given, way=way: seen.append(way) or way(*given))
        if most is not None:
            patch.setattr(path or room, "_SMALL_BYTES", most)
            if hasattr(path, "TUNING"):  # bags may have larger calls
                patch.setattr(path, "TUNING", path.TUNING._replace(small_tables=-1))
        yield seen


def both_ways(room, twin, call, path=None):
    """Return what a call gives by its small path, and what by the general road."""
    with general_calls(room, twin) as seen:
        small = call()
    assert not seen
    with general_calls(room, twin, most=-4, path=path) as seen:
        general = call()
    assert len(seen) == 1
    return small, general
