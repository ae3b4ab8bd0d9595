"""The CPU's way with optimizers: values checked, then rows and their state changed, each row by one thread."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks, _threads
from .._updates import Update
from . import arrays, gradient, lookup
from .arrays import Array, acc_dtype, address, is_row_major, rows
from .kernels import optim as kernels
from .kernels.intrinsics import SCRATCH
from .kernels.jit import TUNING
from .kernels.layout import Rule


def new_state(table: Array, shape: tuple[int, ...], value: float) -> Array:
    """Return a new state of the type that the table is computed in. Zeros of rows that no step meets take no memory."""
    dtype = acc_dtype(table.dtype)
    return np.full(shape, value, dtype) if value else np.zeros(shape, dtype)


def step(table: Array, ids: Array | None, given: Array, update: Update) -> None:
    """Change the rows of a table that ids name, of None all, and their state, in place.

    Raises IndexError or ValueError for ids that are out of range or do not ascend, and for gradients that are not
    finite if the update says so; nothing is written then.
    """
    if ids is None:
        index = ids = np.arange(table.shape[0], dtype=np.int32)
    else:
        index = lookup.rows_meant(ids, table.shape[0], "raise")
        falls = index[1:] <= index[:-1]
        if falls.any():
            raise_not_ascending(ids, int(np.argmax(falls)))
    if update.check_finite:
        require_finite(ids, given)
    if not table.size or not index.size:
        return
    grad = given if acc_dtype(given.dtype) == acc_dtype(table.dtype) else arrays.cast(given, acc_dtype(table.dtype))
    grad = arrays.as_row_major(grad)
    if is_row_major(table):
        _change_rows(table, index, grad, update)
        return
    native = np.empty(table.shape, table.dtype.newbyteorder("="))  # of which only rows that are met take memory
    native[index] = table[index]
    _change_rows(native, index, grad, update)
    table[index] = native[index]


def _change_rows(table: Array, index: Array, grad: Array, update: Update) -> None:
    source, goal, where = rows(grad), rows(table), arrays.ids(index, table.shape[0])
    rule = _rule(table, update)

    def work(start: int, stop: int, alive: object = (table, index, grad, update)) -> None:
        kernels.change_rows(goal, source, where, rule, start, stop)

    ranges = _threads.parts(index.size * _cost(table, update) + grad.nbytes, index.size)
    if ranges == 1:  # without the pool's steps, which a small call would notice
        work(0, index.size)
    else:
        _threads.run(work, _threads.split(index.size, ranges))


def step_from(table: Array, ids: Array, grad: Array, skip: int | None, update: Update) -> None:
    """Do `gradient.row_grad`, then `step`; where nothing stands against it, in one sweep that writes no rows."""
    index, D = _rows_named(ids, table.shape[0], skip), table.shape[1]
    if index is None or update.check_finite or not _is_swept(table, grad, update):
        step(table, *gradient.row_grad(ids, grad, skip, False), update)
        return
    if not table.size or not index.size:
        return
    flat = arrays.as_row_major(grad.reshape(ids.size, D))
    in_order = skip is not None or D * grad.dtype.itemsize > TUNING.unsorted
    runs = gradient.Runs.of(index, -1 if skip is None else skip, in_order)
    source, goal, rule = rows(flat), rows(table), _rule(table, update)

    def change(told: tuple[Any, ...], start: int, stop: int, alive: object = (table, flat, update)) -> None:
        kernels.change_rows_by_runs(goal, source, told, rule, start, stop)

    if left := runs.share(flat, _cost(table, update), change):  # runs that threads shared, whose sums stand ready
        cut, sums = zip(*left, strict=True)
        _change_rows(table, runs.ids[list(cut)], np.array(sums), update)


def _rows_named(ids: Array, V: int, skip: int | None) -> Array | None:
    """Return the rows that ids name, checked, the id that is left out among them; None where that is no row."""
    if skip is None or 0 <= skip < V:
        return lookup.rows_meant(ids, V, "raise")
    bad = ((ids < 0) | (ids >= V)) & (ids != skip)
    if bad.any():
        _checks.raise_out_of_range(ids, int(np.argmax(bad)), V)
    return None


def _is_swept(table: Array, grad: Array, update: Update) -> bool:
    """Whether kernels can add up the gradients of a row while they change it."""
    if not is_row_major(table) or acc_dtype(table.dtype) != acc_dtype(grad.dtype):
        return False
    return update.second is None or update.second.ndim == 2 or table.shape[1] <= SCRATCH


def _rule(table: Array, update: Update) -> Rule:
    """Return what kernels are told of an update."""
    first, second = (None if one is None or one.ndim == 1 else rows(one) for one in (update.first, update.second))
    per_row = address(update.second) if second is None and update.second is not None else None
    numbers = update.rate, update.keep, update.mix, update.eps, update.decay, update.shrink, update.nesterov
    # A table that is as wide as the sums is not rounded: with a key it would ask for a second kernel of the same steps.
    key = update.key if table.dtype.itemsize == 2 else None
    return Rule(first, second, per_row, *numbers, key)


def _cost(table: Array, update: Update) -> int:
    """Return how many bytes are read and written for each row that is changed."""
    size: int = table.dtype.itemsize
    for one in (update.first, update.second):
        if one is not None and one.ndim == 2:
            size += one.dtype.itemsize
    return size * 2 * int(table.shape[1])


# Values -------------------------------------------------------------------------------------------------------------


def raise_not_ascending(ids: npt.NDArray[Any], place: int) -> None:
    """Raise the ValueError for ids of which one is no larger than the one before."""
    both = f"got {ids[place]} at position {place} and {ids[place + 1]} at position {place + 1}"
    raise ValueError(f"row_grad.ids must ascend, each once, {both}; row_grad(ids, rows) makes such ids and rows")


def require_finite(ids: Array, given: Array) -> None:
    """Raise the ValueError for the first gradient that is NaN or infinite."""
    finite = np.isfinite(given)
    if not finite.all():
        u, column = map(int, np.unravel_index(np.argmin(finite), finite.shape))
        value = float(given[u, column])
        raise ValueError(f"the gradient of id {ids[u]} holds {value} in column {column}, and check_finite is on")
