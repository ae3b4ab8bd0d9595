"""The kit of tests that take arrays: dtypes, layouts, equality to the bit, numbers of threads, many callers at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import ml_dtypes
import numpy as np
import pytest

from fastemb import _threads

BF16 = ml_dtypes.bfloat16
#: The dtypes that kernels compute with.
DTYPES = ["f8", "f4", "f2", BF16]


def _apart(array, axis):
    """Return the array with as much memory again between its parts along an axis."""
    shape, every_other = list(array.shape), [slice(None)] * array.ndim
    shape[axis], every_other[axis] = 2 * shape[axis], slice(None, None, 2)
    wide = np.zeros(shape, array.dtype)
    wide[tuple(every_other)] = array
    return wide[tuple(every_other)]


def _read_only(array):
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def _misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    shifted = raw[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    return shifted


_LAYOUTS = {
    "plain": lambda array: array,
    "read-only": _read_only,
    "rows apart": lambda array: _apart(array, 0),
    "reversed": lambda array: array[::-1].copy()[::-1],
    "strided": lambda array: _apart(array, -1),
    "fortran": np.asfortranarray,
    "misaligned": _misaligned,
    "swapped": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "cut": lambda array: np.pad(array, [(1, 1)] * array.ndim)[(slice(1, -1),) * array.ndim],
    "axes swapped": lambda array: array.swapaxes(0, -2).copy().swapaxes(0, -2) if array.ndim > 2 else array,
    # Of three axes alone: texts, rows, columns.
    "every other row": lambda array: _apart(array, 1),
    "rows cut": lambda array: np.concatenate([array[:, :1], array], axis=1)[:, 1:],
    "columns cut": lambda array: np.pad(array, [(0, 0), (0, 0), (1, 2)])[..., 1:-2],
    "texts first": lambda array: array.swapaxes(0, 1).copy().swapaxes(0, 1),
    "both reversed": lambda array: array[::-1, ::-1].copy()[::-1, ::-1],
    "one row": lambda array: np.broadcast_to(array[:, :1] if array.shape[1] else array, array.shape),
    "one text": lambda array: np.broadcast_to(array[:1] if array.shape[0] else array, array.shape),
}


def lay(array, layout):
    """Return the values in memory of another layout; of "one row" and "one text" the first of them again and again."""
    return _LAYOUTS[layout](array)


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


def copies(arguments):
    """Return copies of those arguments that are arrays, to compare them with later."""
    return {name: np.array(value) for name, value in arguments.items() if isinstance(value, np.ndarray)}


def on_threads(call, counts=(1, 2, 7)):
    """Return what a call gives on each number of threads; small calls take threads by the fixture `small_grain`."""
    results = []
    for n in counts:
        with _threads.num_threads(n):
            results.append(call())
    return results


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


@contextmanager
def general_calls(room, *twins, most=None):
    """Give a list that grows with each call of a room's twins; ``most`` bytes are a small call, if that is given."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        for name in twins:
            way = getattr(room, name)
            patch.setattr(room, name, lambda *given, way=way: seen.append(way) or way(*given))
        if most is not None:
            patch.setattr(room, "_SMALL_BYTES", most)
        yield seen


def both_ways(room, twin, call):
    """Return what a call gives by its small path, and what by the general road."""
    with general_calls(room, twin) as seen:
        small = call()
    assert not seen
    with general_calls(room, twin, most=-4) as seen:
        general = call()
    assert len(seen) == 1
    return small, general
