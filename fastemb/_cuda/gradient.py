"""CUDA's way with row gradients: ids sorted, and one writer for the rows of each run of equal ones."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _checks
from .._frameworks import DeviceArray
from . import arrays, launch, sorting, status
from .joining import blocks
from .kernels import gradient as kernels
from .kernels import join
from .kernels.dtypes import acc_of
from .kernels.lookup import RAISE
from .kernels.sorting import LEAVE
from .sorting import Runs

_MOST = np.iinfo(np.int64).max


def row_grad(ids: DeviceArray, grad: DeviceArray, skip: int | None, by_count: bool) -> tuple[Any, Any]:
    """Return the ids that occur, ascending, in their dtype, and the sums of their rows, or the means.

    The host waits twice: for the range of the ids, of which bad ones are an IndexError at once, and for their number.
    """
    place = arrays.place_of(grad)
    sorting.require_reading("row_grad", place)
    index, D = arrays.as_index(ids, place), grad.shape[-1]
    check = status.begin(place, D * grad.dtype.itemsize)
    skip = _as_held(skip, ids.dtype)
    largest, bad = sorting.find_range(index, skip, grad) if index.size else (-1, -1)
    if bad >= 0:
        _raise_negative(ids, index, bad, place)
    if largest < 0:  # nothing that counts
        return _empty((0,), ids.dtype, grad), _empty((0, D), acc_of(arrays.tag_of(grad)), grad)
    if largest == _MOST:  # V would be none that kernels know
        raise IndexError(f"id {largest} is beyond every table; no table has such a row")
    V = largest + 1
    runs = Runs(sorting.keys_of(index, V, LEAVE, skip, grad), V, check.address)
    runs.read()
    return unique_ids(runs, ids.dtype).owner, sum_runs(runs, _flat_rows(grad, ids.ndim, place), by_count).owner


def _empty(shape: tuple[int, ...], dtype: Any, like: DeviceArray) -> Any:
    return arrays.new(shape, dtype, like).owner


def _as_held(skip: int | None, dtype: np.dtype[Any]) -> int | None:
    """Return the id that is left out as int64 holds it, None where no id of the dtype is it."""
    info = np.iinfo(dtype)
    if skip is None or not info.min <= skip <= info.max:
        return None
    return skip if skip <= _MOST else skip - (1 << 64)


def _raise_negative(ids: DeviceArray, index: DeviceArray, position: int, place: launch.Place) -> None:
    """Raise the IndexError for an id that is no row of any table."""
    at = index.pointer + position * index.dtype.itemsize
    value = launch.driver.read(place, at, 1, index.dtype)
    beyond = ids.dtype == np.uint64
    words = _checks.name_id(np.broadcast_to(value.astype(np.uint64) if beyond else value, ids.shape), position)
    if beyond:
        raise IndexError(f"{words} is beyond int64; no table has such a row")
    raise IndexError(f"{words} is negative; ids count rows of a table from 0")


def scatter_add(target: DeviceArray, ids: DeviceArray, rows: DeviceArray, alpha: float, mode: str) -> None:
    """Add ``alpha`` times the sums of the rows that each id is given to rows of the target, in place.

    The host waits for nothing. A bad id adds nothing, and is reported.
    """
    place, V, N, D = arrays.place_of(target), target.shape[0], ids.size, math.prod(target.shape[1:])
    if not V and N:
        raise IndexError("a table of 0 rows has no row for any id")
    fault = status.Fault("scatter_add", "id", ids.shape, f"a table of {V} rows", dtype=ids.dtype)
    check = status.begin(place, D * rows.dtype.itemsize, fault)
    index = arrays.as_index(ids, place, mode, V)
    if mode == RAISE:
        status.require_ids(place, check, 0, index, V)
    if not N:
        return
    keys = sorting.keys_of(index, V, mode, None, target, check.address, check.marks[0])
    if D:
        in_place = arrays.is_aligned(target) if target.ndim == 2 else arrays.is_contiguous(target)
        goal = target if in_place else arrays.contiguous(target, place)
        flat = goal if goal.ndim == 2 else arrays.reshaped(goal, V, D)
        add_runs(Runs(keys, V, check.address), _flat_rows(rows, ids.ndim, place), alpha, flat)
        if not in_place:
            arrays.copy_into(target, goal, place)


def _flat_rows(array: DeviceArray, axes: int, place: launch.Place) -> DeviceArray:
    """Return rows as (N, D), each in one piece: the array with other strides where they allow it, or a copy.

    The first ``axes`` axes are those of ids.
    """
    shape, strides, size = array.shape, array.strides, array.dtype.itemsize
    N, D = math.prod(shape[:axes]), math.prod(shape[axes:])
    long = [k for k in range(axes) if shape[k] != 1]
    if not arrays.is_contiguous(array, axes) or any(strides[a] != strides[b] * shape[b] for a, b in pairwise(long)):
        return arrays.reshaped(arrays.contiguous(array, place), N, D)
    return array._replace(shape=(N, D), strides=(strides[long[-1]] if long else D * size, size))


# What backwards of other families need, too ----------------------------------------------------------------------


def unique_ids(runs: Runs, dtype: np.dtype[Any]) -> DeviceArray:
    """Return the id of each run in a dtype. How many runs there are was read."""
    found = arrays.new((runs.U,), dtype, runs.unique)
    if runs.U:
        arrays.convert_into(runs.unique._replace(shape=(runs.U,)), found, runs.place)
    return found


def sum_runs(runs: Runs, rows: DeviceArray, by_count: bool, weights: DeviceArray | None = None) -> DeviceArray:
    """Return the sums of all runs, or the means: (U, D), of the type computed in. How many runs there are was read.

    ``rows`` (N, D), or what the runs point to, each in one piece. ``weights``: for each entry a number of the type
    computed in, by which its row is multiplied.
    """
    D, tag, order = rows.shape[1], arrays.tag_of(rows), runs.sources.dtype.name
    out = arrays.new((runs.U, D), acc_of(tag), rows)
    if not out.size:
        return out
    size = rows.dtype.itemsize
    width = arrays.width_of(rows.pointer, rows.strides[0], D * size)
    W, weighted = D * size // width, weights is not None
    sorted_weights = None if weights is None else runs.picked(weights)
    pointer = 0 if sorted_weights is None else sorted_weights.pointer
    slots = _sum_long(runs, rows, width, sorted_weights)
    kernel = launch.kernel(kernels.make_put_sums, tag, width, order, weighted, by_count, join.CUT)
    values = (
        rows.pointer, rows.strides[0], runs.sources.pointer, pointer, runs.starts.pointer, _pointer(slots), out.pointer,
        runs.U, W, runs.status,
    )  # fmt: skip
    grid, block = _blocks(W, -(-runs.U // 4))
    launch.submit(kernel, grid, block, runs.place, values, (*runs.alive, rows, sorted_weights, slots, out))
    return out


def add_runs(runs: Runs, rows: DeviceArray, alpha: float, target: DeviceArray) -> None:
    """Add the sums of runs times ``alpha`` to rows of the target (V, D). How many there are nobody needs to know."""
    D, tag, goal = rows.shape[1], arrays.tag_of(rows), arrays.tag_of(target)
    size, goal_size = rows.dtype.itemsize, target.dtype.itemsize
    # A word has the same columns on both sides.
    width, goal_width = arrays.width_of(rows.pointer, rows.strides[0], D * size), goal_size
    if target.strides[1] == goal_size or D == 1:
        goal_width = arrays.width_of(target.pointer, target.strides[0], D * goal_size)
    columns = min(width // size, goal_width // goal_size)
    width, goal_width, W = columns * size, columns * goal_size, D // columns
    step = columns * target.strides[1]
    slots = _sum_long(runs, rows, width, None)
    key, order = runs.unique.dtype.name, runs.sources.dtype.name
    kernel = launch.kernel(kernels.make_add_sums, tag, width, order, key, goal, goal_width, join.CUT)
    values = (
        rows.pointer, rows.strides[0], runs.sources.pointer, runs.starts.pointer, runs.count, runs.unique.pointer,
        _pointer(slots), target.pointer, target.strides[0], step, alpha, W, runs.status,
    )  # fmt: skip
    grid, block = _blocks(W, -(-runs.U // 2))
    launch.submit(kernel, grid, block, runs.place, values, (*runs.alive, rows, slots, target))


def _pointer(array: DeviceArray | None) -> int:
    return 0 if array is None else array.pointer


def _blocks(W: int, groups: int) -> tuple[launch.Dim, launch.Dim]:
    """Return a grid and a block for groups of threads that walk along W words."""
    x = min(W, launch.driver.threads // 4)
    y = launch.driver.threads // x
    return (-(-groups // y), 1), (x, y)


def _sum_long(runs: Runs, rows: DeviceArray, width: int, weights: DeviceArray | None) -> DeviceArray | None:
    """Return the sums of runs that are cut, in the slots of their first pieces; None where no run is."""
    if not runs.has_long:
        return None
    D, tag, pieces, place = rows.shape[1], arrays.tag_of(rows), runs.N // join.CUT, runs.place
    acc, W = acc_of(tag), D * rows.dtype.itemsize // width
    slots = arrays.new((2 * pieces + 2, D), acc, rows)
    make = kernels.make_sum_pieces
    kernel = launch.kernel(make, tag, width, runs.sources.dtype.name, weights is not None, join.CUT)
    alive = (*runs.alive, rows, weights, slots)
    values = (
        rows.pointer, rows.strides[0], runs.sources.pointer, _pointer(weights), runs.starts.pointer, runs.count,
        slots.pointer, pieces, W, runs.status,
    )  # fmt: skip
    launch.submit(kernel, *blocks(W, pieces), place, values, alive)
    wide = arrays.width_of(slots.pointer, slots.strides[0])
    W = slots.strides[0] // wide
    kernel = launch.kernel(kernels.make_join_pieces, acc, wide, join.CUT)
    told = runs.starts.pointer, runs.count, slots.pointer, pieces, W
    launch.submit(kernel, *_blocks(W, pieces), place, told, alive)
    return slots
