"""CUDA's way with optimizers: each row and its state changed by one group of threads; the host waits for nothing.

Ids are grouped by a sort, in `step` too: so they need not ascend here, and rows of equal ids are added up.
"""

from typing import Any

import numpy as np

from .._frameworks import DeviceArray
from .._updates import Update
from . import arrays, gradient, launch, sorting, status
from .kernels import join
from .kernels import optim as kernels
from .kernels.dtypes import acc_of
from .kernels.lookup import RAISE
from .kernels.optim import make_change_all, make_change_by_rows, make_change_runs
from .sorting import Runs


def new_state(table: DeviceArray, shape: tuple[int, ...], value: float) -> Any:
    """Return a new state of the type that the table is computed in, an array of the table's framework."""
    place, dtype = arrays.place_of(table), np.dtype(acc_of(arrays.tag_of(table)))
    if not value:
        return arrays.zeros(shape, dtype, table, place).owner
    made = arrays.new(shape, dtype, table)
    if made.size:
        launch.driver.write(place, made.pointer, np.full(made.size, value, dtype))
    return made.owner


def step(table: DeviceArray, ids: DeviceArray | None, given: DeviceArray, update: Update) -> None:
    """Change the rows of a table that ids name, of None all, and their state, in place.

    Ids that are out of range change nothing and are reported.
    """
    if ids is not None:
        step_from(table, ids, given, None, update)
        return
    place = arrays.place_of(table)
    _require_built(table, update)
    _require_finite(given, update, place)
    if update.second is not None and len(update.second.shape) == 1:
        index = arrays.new((table.shape[0],), np.int64, table)
        launch.driver.write(place, index.pointer, np.arange(table.shape[0]))
        step_from(table, index, given, None, update._replace(check_finite=False))
    elif table.size:
        _in_place(table, place, lambda goal: _change_all(goal, arrays.as_rows(given, place), update))


def step_from(
    table: DeviceArray, ids: DeviceArray, grad: DeviceArray, skip: int | None, update: Update
) -> None:  # fmt: skip
    """Change rows by the sums of the gradients that ids were given; a bad id changes nothing and is reported."""
    place, (V, D), N = arrays.place_of(table), table.shape, ids.size
    _require_built(table, update)
    if not V and N:
        raise IndexError("a table of 0 rows has no row for any id")
    fault = status.Fault("an optimizer's step", "id", ids.shape, f"a table of {V} rows", dtype=ids.dtype)
    check = status.begin(place, D * grad.dtype.itemsize, fault)
    index = arrays.as_index(ids, place, RAISE, V)
    held = gradient._as_held(skip, ids.dtype)
    keys = sorting.keys_of(index, V, RAISE, held, table, check.address, check.marks[0]) if N else None
    status.require(place, check, {0: index})
    if keys is None or not D:
        return
    rows, runs = gradient._flat_rows(grad, len(ids.shape), place), Runs(keys, V, check.address)
    if update.check_finite:
        runs.read()
        _require_finite(gradient.sum_runs(runs, rows, False), update, place)
    _in_place(table, place, lambda goal: _change_runs(runs, rows, goal, update))


def _require_built(table: DeviceArray, update: Update) -> None:
    """Refuse what no kernel does here."""
    if update.key is not None and table.dtype.itemsize == 2:
        raise NotImplementedError(
            f"table is on {table.place}, and stochastic rounding is built for the CPU alone; there changes are rounded "
            "to the nearest"
        )


def _require_finite(rows: DeviceArray, update: Update, place: launch.Place) -> None:
    """Raise the ValueError for gradients that are not finite, if that was asked for: this waits for the device."""
    if not update.check_finite or not rows.size:
        return
    if launch.driver.capturing(place):
        raise RuntimeError("check_finite reads back whether gradients are finite, so it cannot be captured")
    wide = arrays.converted(rows, acc_of(arrays.tag_of(rows)), place)
    found = np.isfinite(launch.driver.read(place, wide.pointer, wide.size, wide.dtype).reshape(rows.shape))
    if not found.all():
        row, column = map(int, np.unravel_index(np.argmin(found), found.shape))
        raise ValueError(f"a gradient is not finite, in row {row} and column {column}, and check_finite is on")


def _in_place(table: DeviceArray, place: launch.Place, change: Any) -> None:
    """Call ``change`` with the table, or with a copy that is written back where kernels cannot read it as it lies."""
    if arrays.is_aligned(table):
        change(table)
        return
    goal = arrays.contiguous(table, place)
    change(goal)
    arrays.copy_into(table, goal, place)


class _Words:
    """In which words rows of gradients, of the table and of the state are read: of the same columns in all."""

    def __init__(self, rows: DeviceArray, goal: DeviceArray, update: Update) -> None:
        D, size, goal_size = goal.shape[1], rows.dtype.itemsize, goal.dtype.itemsize
        width, goal_width = arrays.width_of(rows.pointer, rows.strides[0], D * size), goal_size
        if goal.strides[1] == goal_size or D == 1:
            goal_width = arrays.width_of(goal.pointer, goal.strides[0], D * goal_size)
        columns = min(width // size, goal_width // goal_size)
        for state in (update.first, update.second):
            if state is not None:
                each = state.dtype.itemsize
                columns = min(
                    columns, max(1, arrays.width_of(state.pointer) // each) if state.pointer % 16 else columns
                )
        self.width, self.goal_width, self.W = columns * size, columns * goal_size, D // columns
        self.step = columns * goal.strides[1]


def _rule_of(update: Update) -> str:
    if update.first is None:
        return kernels.PLAIN if update.second is None else kernels.SUMS
    if update.second is None:
        return kernels.NESTEROV if update.nesterov else kernels.VELOCITY
    return kernels.MEANS


def _pointer(array: DeviceArray | None) -> int:
    return 0 if array is None else array.pointer


def _numbers(update: Update) -> tuple[float, ...]:
    return update.rate, update.keep, update.mix, update.eps, update.decay, update.shrink


def _blocks(W: int, rows: int) -> tuple[launch.Dim, launch.Dim]:
    """Return a grid and a block for threads that each have a word of a row."""
    x = min(W, launch.driver.threads // 4)
    y = launch.driver.threads // x
    return (-(-rows // y), -(-W // x)), (x, y)


def _change_all(goal: DeviceArray, rows: DeviceArray, update: Update) -> None:
    """Change all rows."""
    words, tag = _Words(rows, goal, update), arrays.tag_of(rows)
    options = update.decay != 0, update.shrink != 1
    kernel = launch.kernel(
        make_change_all, _rule_of(update), tag, words.width, arrays.tag_of(goal), words.goal_width, *options
    )
    values = (
        rows.pointer, rows.strides[0], goal.pointer, goal.strides[0], words.step, _pointer(update.first),
        _pointer(update.second), goal.shape[0], words.W, *_numbers(update),
    )  # fmt: skip
    alive = rows, goal, update.first, update.second
    launch.submit(kernel, *_blocks(words.W, goal.shape[0]), arrays.place_of(goal), values, alive)


def _change_runs(runs: Runs, rows: DeviceArray, goal: DeviceArray, update: Update) -> None:
    """Change the rows of all runs. How many there are nobody needs to know."""
    by_row = update.second is not None and len(update.second.shape) == 1
    tag, names = arrays.tag_of(rows), (runs.sources.dtype.name, runs.unique.dtype.name, arrays.tag_of(goal))
    options = update.decay != 0, update.shrink != 1, join.CUT
    D, size, goal_size = goal.shape[1], rows.dtype.itemsize, goal.dtype.itemsize
    words = _Words(rows, goal, update)
    slots = gradient._sum_long(runs, rows, size if by_row else words.width, None)
    alive = (*runs.alive, rows, slots, goal, update.first, update.second)
    told = (
        rows.pointer, rows.strides[0], runs.sources.pointer, runs.starts.pointer, runs.count, runs.unique.pointer,
        _pointer(slots), goal.pointer, goal.strides[0],
    )  # fmt: skip
    if by_row:
        order, key, kind = names
        kernel = launch.kernel(make_change_by_rows, tag, order, key, kind, goal_size, *options)
        numbers = update.rate, update.eps, update.decay, update.shrink
        values: tuple[float, ...] = *told, goal.strides[1], update.second.pointer, D, runs.status, *numbers
        y = launch.driver.threads // kernels.LANES
        launch.submit(kernel, (-(-runs.U // y), 1), (kernels.LANES, y), runs.place, values, alive)
        return
    kernel = launch.kernel(make_change_runs, _rule_of(update), tag, words.width, *names, words.goal_width, *options)
    values = (
        *told,
        words.step,
        _pointer(update.first),
        _pointer(update.second),
        words.W,
        runs.status,
        *_numbers(update),
    )
    launch.submit(kernel, *_blocks(words.W, runs.U), runs.place, values, alive)
