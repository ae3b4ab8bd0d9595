"""CUDA's way with pools and bags: which joins make them, rows at length one, and gradients by the slot."""

from typing import Any

import numpy as np

from .._bags import Bags
from .._frameworks import DeviceArray
from . import arrays, entries, gradient, joining, launch, sorting
from .entries import Plan, plan_of
from .joining import BY_GIVEN, MAX, NO, SUM, blocks
from .kernels import pooling as kernels
from .kernels import pooling_backward as backward
from .kernels.dtypes import acc_of
from .sorting import Runs

# Words of a row that a thread holds, and columns, so that all fit in its registers.
_MOST_WORDS, _MOST_COLUMNS = 8, 32


def reduce(bags: Bags, out: DeviceArray | None) -> Any:
    """Return one row for each bag, in ``out`` where that is given."""
    plan = plan_of(bags, "pool" if bags.ids is None else "embedding_bag")
    result = arrays.new(bags.shape, bags.dtype, plan.like) if out is None else out
    _write(plan, result, bags.normalize)
    return result.owner


def _write(plan: Plan, out: DeviceArray, normalize: bool) -> None:
    """Write all bags to ``out``, rounded once."""
    place, acc = plan.place, np.dtype(plan.acc)
    plain = _is_plain(out)
    target = out if plain and (not normalize or out.dtype == acc) else arrays.new(out.shape, acc, plan.like)
    D = plan.rows.D
    if plan.bags.mode != "max":
        _join(plan, _columns(target, 0, D), SUM)
    if plan.bags.mode in ("max", "mean_max"):
        _join(plan, _columns(target, target.shape[1] - D, D), MAX)
    if normalize:
        scaled = out if plain else target
        _scale_rows(target, scaled, place)
        target = scaled
    if target is not out:
        _round_into(out, target, place)


def _join(plan: Plan, out: DeviceArray, op: str) -> None:
    """Join all bags by sums or maxima; of codes of which there is one too many by way of rows that have room for it."""
    rows, target = plan.rows, out
    if rows.columns != rows.D:
        target = arrays.new((out.shape[0], rows.columns), plan.acc, plan.like)
    joining.join_rows(
        rows, plan.where, plan.bounds, target, plan.place, plan.check, mark=plan.mark, op=op, weights=plan.weights,
        divide=NO if op == MAX else plan.divide, by=plan.by, keep=plan.within,
    )  # fmt: skip
    if target is not out:
        _round_into(out, arrays.contiguous(_columns(target, 0, rows.D), plan.place), plan.place)


def _columns(array: DeviceArray, first: int, count: int) -> DeviceArray:
    """Return some columns of an array of two axes; a view."""
    return array._replace(pointer=array.pointer + first * array.strides[1], shape=(array.shape[0], count))


def _is_plain(array: DeviceArray) -> bool:
    """Whether the numbers of a row lie in one piece."""
    return arrays.is_contiguous(array, array.ndim - 1)


def _round_into(out: DeviceArray, source: DeviceArray, place: launch.Place) -> None:
    """Write contiguous numbers to an array of any float dtype and any strides."""
    rounded = arrays.converted(source, out.dtype, place)
    if out.size:
        arrays.copy_into(out, rounded, place)


# Lengths ----------------------------------------------------------------------------------------------------------


def normalize(x: DeviceArray, out: DeviceArray | None) -> Any:
    """Write the rows of ``x`` at length one to ``out``, which may be ``x``, or to a new array; return it."""
    place = arrays.place_of(x)
    result = arrays.new(x.shape, x.dtype, x) if out is None else out
    if not x.size:
        return result.owner
    D = x.shape[-1]
    source = _aligned(x if x.ndim == 2 and _is_plain(x) else arrays.contiguous(x, place), place)
    stored = (result.ndim == 2 and _is_plain(result)) or arrays.is_contiguous(result)
    target = result if stored else arrays.new(result.shape, acc_of(arrays.tag_of(x)), x)
    flat = source if source.ndim == 2 else arrays.reshaped(source, x.size // D, D)
    goal = target if target.ndim == 2 else arrays.reshaped(target, x.size // D, D)
    _scale_rows(flat, goal, place)
    if target is not result:
        _round_into(result, target, place)
    return result.owner


def _aligned(x: DeviceArray, place: launch.Place) -> DeviceArray:
    """Return rows that are read in the widest words that D allows, for the order of sums to depend on D alone."""
    row_bytes = x.shape[-1] * x.dtype.itemsize
    if arrays.width_of(x.pointer, x.strides[-2] if x.ndim == 2 else row_bytes) >= arrays.width_of(row_bytes):
        return x
    if not arrays.is_contiguous(x):
        return arrays.contiguous(x, place)
    out = arrays.new(x.shape, x.dtype, x)
    arrays.copy_into(out, x, place)
    return out


def _scale_rows(source: DeviceArray, out: DeviceArray, place: launch.Place) -> None:
    """Write rows at length one: (N, D), each in one piece."""
    (N, D), tag, out_tag = source.shape, arrays.tag_of(source), arrays.tag_of(out)
    if not source.size:
        return
    width = arrays.width_of(source.pointer, source.strides[0], D * source.dtype.itemsize)
    W, count = D * source.dtype.itemsize // width, width // source.dtype.itemsize
    K = -(-W // 32)
    K = K if K <= _MOST_WORDS and K * count <= _MOST_COLUMNS else 0
    form = kernels.Lengths(tag, width, out_tag, _store_width(out, count), K)
    make = kernels.make_normalize if K else kernels.make_normalize_long
    values = source.pointer, source.strides[0], out.pointer, out.strides[0], N, W
    launch.submit(launch.kernel(make, form), *entries.one_a_warp(N), place, values, (source, out))


def _store_width(out: DeviceArray, count: int) -> int:
    """Return the bytes of a load or store where a thread has so many numbers of a row."""
    return arrays.width_of(out.pointer, out.strides[0], count * out.dtype.itemsize)


# Backward ---------------------------------------------------------------------------------------------------------


def reduce_backward(bags: Bags, grad: DeviceArray) -> tuple[Any, Any]:
    """Return the gradient of the rows, and that of the weights or None.

    Of x the former is an array of its shape and dtype; of a table a pair: the ids in use, ascending, and their rows.
    """
    if bags.ids is not None:
        sorting.require_reading("embedding_bag_backward", arrays.place_of(grad))
    plan = plan_of(bags, "pool_backward" if bags.ids is None else "embedding_bag_backward")
    back = _Back(plan, arrays.converted(grad, plan.acc, plan.place))
    given = _grad_of_x(back) if bags.ids is None else _grad_of_table(back)
    return given, None if bags.weights is None else _grad_of_weights(back)


class _Back:
    """The gradient of the results on its way back: by bags what goes through the sum and through the maximum."""

    def __init__(self, plan: Plan, grad: DeviceArray) -> None:
        bags, self.plan, self.y = plan.bags, plan, grad
        averaged = plan.divide == BY_GIVEN and bags.weights is not None
        if bags.normalize or averaged or bags.mode in ("max", "mean_max"):
            self.y = arrays.new(bags.shape, plan.acc, plan.like)
            _write(plan, self.y, False)
        self.grad = _before_length(plan, grad, self.y) if bags.normalize else grad
        # Of a table always: an id that is no row of it has to be found, and must not be one of those in use.
        self.survey: Any = entries.survey(plan) if plan.partial or bags.ids is not None else None
        self.by = plan.by
        if plan.divide not in (NO, BY_GIVEN):
            self.by = entries.divisors(plan, self.survey.bounds if self.survey else plan.slots, plan.divide, None)

    @property
    def kept(self) -> DeviceArray | None:
        """Which slots are kept; None: all."""
        return None if self.survey is None else self.survey.kept

    @property
    def index(self) -> DeviceArray | None:
        """The id of each slot; of x None."""
        return None if self.survey is None else self.survey.ids

    @property
    def weights(self) -> DeviceArray | str | None:
        """What the gradient of each slot is multiplied by."""
        if self.plan.bags.mode == "weighted_mean":
            return joining.RANKS if self.survey is None else self.survey.ranks
        return self.plan.slot_weights

    def of_sums(self, columns: int) -> DeviceArray:
        """Return the part that goes through the sum, divided as that was; with columns of zeros behind it."""
        return _shares(self.plan, _columns(self.grad, 0, self.plan.rows.D), self.by, columns)

    def last_columns(self, array: DeviceArray, columns: int) -> DeviceArray:
        """Return the last D columns of an array, with columns of zeros behind them."""
        D = self.plan.rows.D
        return _shares(self.plan, _columns(array, array.shape[1] - D, D), None, columns)


def _shares(plan: Plan, grad: DeviceArray, by: DeviceArray | None, columns: int) -> DeviceArray:
    """Return rows divided by a number for each, contiguous, with columns of zeros behind them."""
    S, D = grad.shape
    if by is None and columns == D and arrays.is_contiguous(grad):
        return grad
    out = arrays.new((S, columns), plan.acc, plan.like)
    kernel = launch.kernel(backward.make_shares, plan.acc, by is not None)
    values = grad.pointer, grad.strides[0], joining.address_of(by), out.pointer, S, D, columns
    launch.submit(kernel, *entries.one_a_thread(S * columns), plan.place, values, (grad, by, out))
    return out


def _before_length(plan: Plan, grad: DeviceArray, y: DeviceArray) -> DeviceArray:
    """Return the gradient of rows before they were scaled to length one; a row of zeros has none."""
    unit, out = arrays.new(y.shape, y.dtype, plan.like), arrays.new(y.shape, y.dtype, plan.like)
    _scale_rows(y, unit, plan.place)
    values = grad.pointer, unit.pointer, y.pointer, out.pointer, *y.shape
    kernel = launch.kernel(kernels.make_before_length, plan.acc)
    if y.size:
        launch.submit(kernel, *entries.one_a_warp(y.shape[0]), plan.place, values, (grad, unit, y, out))
    return out


def _grad_of_x(back: _Back) -> Any:
    """Return the gradient of x: its shape and dtype, zeros where no bag reduces a row."""
    plan = back.plan
    out = arrays.new(plan.bags.rows.shape, plan.bags.dtype, plan.like)
    _spread(back, arrays.reshaped(out, plan.slots.N, plan.rows.D))
    return out.owner


def _grad_of_table(back: _Back) -> tuple[Any, Any]:
    """Return the ids that have a gradient, ascending, in their dtype, and the sums of their rows.

    The host waits for their number.
    """
    plan, D, N, dtype = back.plan, back.plan.rows.D, back.plan.slots.N, back.plan.bags.ids.dtype
    if not N or not plan.rows.V or not plan.slots.S:
        return arrays.new((0,), dtype, plan.like).owner, arrays.new((0, D), plan.acc, plan.like).owner
    survey = back.survey
    runs = Runs.of(survey.ids, plan.rows.V, plan.like, plan.check.address)
    runs.read()
    if back.weights is None and plan.bags.mode not in ("max", "mean_max"):  # the rows in between are never made
        given = back.of_sums(D)
        runs.point_to(survey.bags)
    else:
        given = arrays.new((N, plan.rows.columns), plan.acc, plan.like)
        _spread(back, given)
        given = _columns(given, 0, D)
    sums = gradient.sum_runs(runs, given, plan.bags.by_count)
    return gradient.unique_ids(runs, dtype).owner, sums.owner


def _spread(back: _Back, out: DeviceArray) -> None:
    """Write the gradient of each slot to its row, zeros where it is not kept."""
    if not out.size:
        return
    if back.plan.bags.mode in ("max", "mean_max"):
        _spread_maxima(back, out)
    else:
        _spread_sums(back, out)


def _spread_sums(back: _Back, out: DeviceArray) -> None:
    plan, slots, weights = back.plan, back.plan.slots, back.weights
    grad = back.of_sums(out.shape[1])
    width = arrays.width_of(out.pointer, out.strides[0], out.strides[0])
    count = width // out.dtype.itemsize
    cut = joining.cut_of(slots)
    groups, W = joining.groups_of(slots, cut), out.shape[1] // count
    given = weights if isinstance(weights, DeviceArray) else None
    word = joining.RANKS if weights is joining.RANKS else NO if weights is None else joining.GIVEN
    form = backward.Spreading(
        plan.acc, _store_width(grad, count), arrays.tag_of(out), width, count, slots.word.rstrip("+"), cut,
        back.kept is not None, word,
    )  # fmt: skip
    values = (
        grad.pointer, grad.strides[0], joining.address_of(slots.offsets), slots.T, joining.address_of(back.kept),
        joining.address_of(given), out.pointer, out.strides[0], slots.S, groups, W,
    )  # fmt: skip
    alive = (grad, slots.offsets, back.kept, given, out)
    launch.submit(launch.kernel(backward.make_spread, form), *blocks(W, groups), plan.place, values, alive)


def _narrow(back: _Back) -> joining.Rows:
    """Return rows of which a thread takes four codes, not sixteen, whose sums would not fit its registers."""
    return back.plan.rows._replace(most_width={"code8": 4, "code4": 2}.get(back.plan.rows.tag, 16))


def _spread_maxima(back: _Back, out: DeviceArray) -> None:
    plan, slots, rows = back.plan, back.plan.slots, _narrow(back)
    index = back.index
    C, W = rows.columns, rows.row_bytes // rows.width
    both = plan.bags.mode == "mean_max"
    maxima, grad = back.last_columns(back.y, C), back.last_columns(back.grad, C)
    base = back.of_sums(C) if both else grad
    grad_width = min(_store_width(one, C // W) for one in (maxima, grad, base))
    form = backward.Maxima(
        rows.tag, rows.width, "none" if index is None else "int64", slots.word.rstrip("+"), back.kept is not None, both,
        grad_width, arrays.tag_of(out), _store_width(out, C // W),
    )  # fmt: skip
    values = (
        rows.address, rows.stride, rows.gap, rows.scales, rows.shifts, joining.address_of(index), rows.V,
        joining.address_of(slots.offsets), slots.T, joining.address_of(back.kept), maxima.pointer, grad.pointer,
        base.pointer, grad.strides[0], out.pointer, out.strides[0], slots.S, W, plan.check.address, plan.mark,
    )  # fmt: skip
    alive = (*rows.alive, index, slots.offsets, back.kept, maxima, grad, base, out)
    launch.submit(launch.kernel(backward.make_spread_maxima, form), *blocks(W, slots.S), plan.place, values, alive)


def _grad_of_weights(back: _Back) -> Any:
    """Return the gradient of the weights, zeros where no bag reduces their rows."""
    plan, slots, rows = back.plan, back.plan.slots, back.plan.rows
    out, index = arrays.new(plan.bags.weights.shape, plan.acc, plan.like), back.index
    if not out.size:
        return out.owner
    C, averaged = rows.columns, plan.divide == BY_GIVEN
    grad = _shares(plan, _columns(back.grad, 0, rows.D), None, C)
    y = _shares(plan, _columns(back.y, 0, rows.D), None, C)
    W = rows.row_bytes // rows.width
    grad_width = min(_store_width(one, C // max(W, 1)) for one in (grad, y))
    form = backward.Dots(
        rows.tag, rows.width, "none" if index is None else "int64", slots.word.rstrip("+"), back.kept is not None,
        averaged, grad_width,
    )  # fmt: skip
    values = (
        rows.address, rows.stride, rows.gap, rows.scales, rows.shifts, joining.address_of(index), rows.V,
        joining.address_of(slots.offsets), slots.T, joining.address_of(back.kept), y.pointer, grad.pointer,
        grad.strides[0], joining.address_of(back.by), out.pointer, slots.S, slots.N, W, plan.check.address, plan.mark,
    )  # fmt: skip
    alive = (*rows.alive, index, slots.offsets, back.kept, y, grad, back.by, out)
    launch.submit(launch.kernel(backward.make_dots, form), *entries.one_a_warp(slots.N), plan.place, values, alive)
    return out.owner
