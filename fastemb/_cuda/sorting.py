"""Ids sorted with their positions, and the runs of equal ids. Nothing here waits for the device but what says so."""

from typing import Any

import numpy as np

from .. import _frameworks
from .._frameworks import DeviceArray
from . import arrays, launch
from .kernels import join
from .kernels import sorting as kernels
from .kernels.words import SIMULATED

#: Threads of a block that looks at a tile of keys, and of the one that adds up; in the simulator they are Python's.
TILE, SCAN = (16, 16) if SIMULATED else (128, 256)
#: Keys of a thread in the sort and in what finds runs.
EACH = 8
_RANGE_BLOCKS = 128  # of `find_range`, the results of which the host reads
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


def require_reading(function: str, place: launch.Place) -> None:
    """Refuse a call that has to read a number back where work on the stream is only recorded."""
    if launch.driver.capturing(place):
        raise RuntimeError(
            f"{function} reads back how many ids occur, which is the shape of its result, so it cannot be captured "
            "into a CUDA graph: call it outside of the capture. scatter_add reads nothing back"
        )


def _for_each(kernel: launch.Kernel, N: int, place: launch.Place, values: Any, alive: Any) -> None:
    threads = launch.driver.threads
    launch.submit(kernel, (-(-N // threads), 1), (threads, 1), place, values, alive)


def _fits(most: int) -> np.dtype[Any]:
    """Return the smaller of two dtypes that holds numbers up to ``most``."""
    return _INT32 if most < 1 << 31 else _INT64


# Which ids there are ---------------------------------------------------------------------------------------------


def find_range(index: DeviceArray, skip: int | None, like: DeviceArray) -> tuple[int, int]:
    """Return the largest id, -1 for none, and the position of the first negative one, -1 for none; ``skip`` is none.

    This waits for the device and reads a few numbers back. Work and memory go where those of ``like`` do.
    """
    N, threads, place = index.size, TILE, arrays.place_of(like)
    blocks = max(1, min(_RANGE_BLOCKS, -(-N // (4 * threads))))
    found = arrays.new((blocks, 2), np.int64, like)
    kernel = launch.kernel(kernels.make_find_range, index.dtype.name, threads)
    values = (index.pointer, found.pointer, N, skip or 0, skip is not None)
    launch.submit(kernel, (blocks, 1), (threads, 1), place, values, (index, found))
    parts = launch.driver.read(place, found.pointer, 2 * blocks, np.int64).reshape(blocks, 2)
    first = int(parts[:, 1].min())
    return int(parts[:, 0].max()), first + N if first < 0 else -1


def keys_of(
    index: DeviceArray, V: int, mode: str, skip: int | None, like: DeviceArray, address: int = 0, mark: int = 0
) -> DeviceArray:  # fmt: skip
    """Return the row that each id means, V for one that is left out.

    Left out are ``skip`` and, in mode "leave", ids outside of [0, V); in mode "raise" those are reported to the status
    at ``address``, too. No id is clipped or wrapped where V is 0. Work and memory go where those of ``like`` do.
    """
    keys, place = arrays.new((index.size,), _fits(V), like), arrays.place_of(like)
    kernel = launch.kernel(kernels.make_id_keys, index.dtype.name, keys.dtype.name, mode)
    values = (index.pointer, keys.pointer, index.size, V, skip or 0, skip is not None, address, mark)
    _for_each(kernel, index.size, place, values, (index, keys))
    return keys


# The sort --------------------------------------------------------------------------------------------------------


def sort(keys: DeviceArray, most: int) -> tuple[DeviceArray, DeviceArray]:
    """Return keys, all from 0 to ``most``, in ascending order, equal ones in theirs, and where each was."""
    framework = _frameworks.of(keys.owner)
    found = None if framework is None else framework.argsort(keys, keys, most + 1)
    return sort_by_digits(keys, most) if found is None else found


def sort_by_digits(keys: DeviceArray, most: int) -> tuple[DeviceArray, DeviceArray]:
    """Return what `sort` does, by our own kernels: three launches for every four bits of ``most``."""
    N, threads, key = keys.size, TILE, keys.dtype.name
    order_dtype, place = _fits(N), arrays.place_of(keys)
    tiles, values = -(-N // (threads * EACH)), keys  # in the first pass nobody reads the values
    made = [(arrays.new((N,), keys.dtype, keys), arrays.new((N,), order_dtype, keys)) for _ in range(2)]
    counts = arrays.new((kernels.DIGITS * tiles,), np.int64, keys)
    starts = arrays.new((kernels.DIGITS * tiles + 1,), np.int64, keys)
    count = launch.kernel(kernels.make_count_digits, key, threads, EACH)
    scan = launch.kernel(kernels.make_sums_before, SCAN)
    for shift in range(0, max(most.bit_length(), 1), kernels.BITS):
        put_keys, put_values = made[shift // kernels.BITS % 2]
        grid, block, first = (tiles, 1), (threads, 1), shift == 0
        told = (keys.pointer, counts.pointer, N, shift, tiles)
        launch.submit(count, grid, block, place, told, (keys, counts))
        all_counts = kernels.DIGITS * tiles
        launch.submit(scan, (1, 1), (SCAN, 1), place, (counts.pointer, starts.pointer, all_counts), (counts, starts))
        move = launch.kernel(kernels.make_move_by_digit, key, order_dtype.name, threads, EACH, first)
        pointers = (keys.pointer, values.pointer, starts.pointer, put_keys.pointer, put_values.pointer)
        launch.submit(
            move, grid, block, place, (*pointers, N, shift, tiles), (keys, values, starts, put_keys, put_values)
        )
        keys, values = put_keys, put_values
    return keys, values


# Runs ------------------------------------------------------------------------------------------------------------


class Runs:
    """Entries grouped by id, in ascending order of ids. How many runs there are stands in the device's memory.

    Run u is that of the id ``unique[u]``; its entries are ``order[starts[u]:starts[u + 1]]``, in ascending order, and
    ``sources`` the rows that they stand for. Of ``starts`` and ``unique`` the first U + 1 and U numbers count: U is the
    number at ``count``.
    """

    def __init__(self, keys: DeviceArray, V: int, status: int) -> None:
        """Group keys, of which those that are V are left out; there is at least one.

        Beside the ``status`` lie as many zeros as a row of what is to be summed has bytes.
        """
        N, threads = keys.size, TILE
        self.place = place = arrays.place_of(keys)
        self.status = status
        self.N, self.U, self.has_long = N, N, N > join.CUT
        keys, self.order = sort(keys, V)
        self.sources = self.order
        key, tiles = keys.dtype.name, -(-N // (threads * EACH))
        self.starts = arrays.new((N + 1,), np.int64, keys)
        self.unique = arrays.new((N,), keys.dtype, keys)
        counts = arrays.new((tiles,), np.int64, keys)
        self._sums = sums = arrays.new((tiles + 2,), np.int64, keys)  # the last: whether there are long runs
        self.count = sums.pointer + 8 * tiles
        long, grid, block = self.count + 8, (tiles, 1), (threads, 1)
        count = launch.kernel(kernels.make_count_runs, key, threads, EACH)
        launch.submit(count, grid, block, place, (keys.pointer, counts.pointer, long, N, V), (keys, counts, sums))
        scan = launch.kernel(kernels.make_sums_before, SCAN)
        launch.submit(scan, (1, 1), (SCAN, 1), place, (counts.pointer, sums.pointer, tiles), (counts, sums))
        put = launch.kernel(kernels.make_put_runs, key, threads, EACH, join.CUT)
        values = (keys.pointer, sums.pointer, self.starts.pointer, self.unique.pointer, long, N, V, tiles)
        launch.submit(put, grid, block, place, values, (keys, sums, self.starts, self.unique))

    @classmethod
    def of(cls, index: DeviceArray, V: int, like: DeviceArray, status: int) -> "Runs":
        """Group contiguous ids, int32 or int64; those that are not in [0, V) are left out and not spoken of.

        Work and memory go where those of ``like`` do.
        """
        return cls(keys_of(index, V, kernels.LEAVE, None, like), V, status)

    @property
    def alive(self) -> tuple[DeviceArray, ...]:
        """The arrays behind the addresses."""
        return self.sources, self.starts, self.unique, self._sums

    def point_to(self, where: DeviceArray) -> None:
        """Let each entry stand for another row than that of its own number: the row ``where[entry]``."""
        self.sources = self.picked(where)

    def picked(self, numbers: DeviceArray) -> DeviceArray:
        """Return numbers of entries in the order of the sort. Those of entries that are left out stand last."""
        out = arrays.new((self.N,), numbers.dtype, numbers)
        kernel = launch.kernel(kernels.make_pick_numbers, self.order.dtype.name, arrays.tag_of(numbers))
        values = (numbers.pointer, self.order.pointer, out.pointer, self.N)
        _for_each(kernel, self.N, self.place, values, (numbers, self.order, out))
        return out

    def read(self) -> int:
        """Return how many runs there are: this waits for the device. ``U`` and ``has_long`` are exact from then on."""
        count, long = launch.driver.read(self.place, self.count, 2, np.int64)
        self.U, self.has_long = int(count), bool(long)
        return self.U
