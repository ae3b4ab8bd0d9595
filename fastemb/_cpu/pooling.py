"""The CPU's way with pools and bags: ranges of segments, blocks that stay in the cache."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _memory, _threads
from .._bags import Bags
from .arrays import (
    Array,
    acc_dtype,
    address,
    all_rows,
    as_row_major,
    can_store,
    code_rows,
    dtype_tag,
    ids,
    is_row_major,
    round_into,
    rows,
)
from .entries import Entries, entries_of
from .gradient import Runs
from .kernels import pooling as kernels
from .kernels.jit import TUNING
from .kernels.layout import BY_COUNT, BY_ONE, BY_ROOT, Ids, Rows, Segments
from .kernels.reduce import max_cached_rows, max_rows, sum_cached_rows, sum_rows
from .lookup import first_bad

# Results that are changed again after the sums go in blocks of about this size, which stay in the cache.
_BLOCK_BYTES = 1 << 18
_DIVIDE_BY = {"mean": BY_COUNT, "mean_max": BY_COUNT, "weighted_mean": BY_COUNT, "mean_sqrt_len": BY_ROOT}

# Forward ----------------------------------------------------------------------------------------------------------


def reduce(bags: Bags, out: Array | None) -> Array:
    """Return one row for each bag, in ``out`` where that is given.

    Raises what is wrong with values: offsets, lengths, ids. Nothing is written to a given ``out`` then.
    """
    entries = entries_of(bags)
    call = _call(bags, entries)
    result = _memory.empty(bags.shape, bags.dtype) if out is None else out
    _write(call, result, private_out=out is None, normalize=bags.normalize)
    return result


class _Call(NamedTuple):
    """What kernels are told of bags, and the arrays behind the addresses."""

    bags: Bags
    entries: Entries
    rows: Rows
    ids: Ids
    segments: Segments
    acc: np.dtype[Any]
    check: bool  # whether ids have still to be checked
    alive: object

    @property
    def cost(self) -> int:
        """The bytes of the rows that are read."""
        return self.ids.N * self.rows.D * self.rows.bits // 8

    @property
    def cached(self) -> bool:
        """Whether the rows are those of a table that lies in a cache, whatever was read last."""
        most = TUNING.cached_bytes  # 0: not even one whose rows are all the same takes a kernel that no other would
        return most > 0 and self.bags.ids is not None and abs(self.ids.V * self.rows.stride) <= most


def _call(bags: Bags, entries: Entries) -> _Call:
    """Return what kernels are told; of a table that is not row-major the rows that are needed are copied."""
    source, index, check, batch_gap = bags.rows, entries.ids, bags.ids is not None, 0
    if bags.ids is None:
        source = as_row_major(source)
        N = source.size // max(1, source.shape[-1]) if source.shape[-1] else int(np.prod(source.shape[:-1]))
        stride = source.strides[-2] if N else 0
        batch_gap = source.strides[0] - source.shape[1] * stride if N and source.ndim == 3 else 0
        bits = 8 * source.dtype.itemsize
        given = Rows(dtype_tag(source.dtype), address(source), stride, bits, source.shape[-1])
        names = all_rows(N) if index is None else ids(index, N)
    elif not isinstance(source, np.ndarray):
        given, names = code_rows(source), ids(index, source.shape[0])
    else:
        if not is_row_major(source):
            _refuse_bad_ids(bags, entries)
            unique, index = np.unique(index, return_inverse=True)
            source, index, check = as_row_major(source[unique]), np.ascontiguousarray(index, np.int64), False
        given, names = rows(source), ids(index, source.shape[0])
    weights = None if entries.weights is None else address(entries.weights)
    divide_by = _DIVIDE_BY.get(bags.mode, BY_ONE)
    segments = Segments(address(entries.begins), address(entries.ends), batch_gap, weights, divide_by)
    return _Call(bags, entries, given, names, segments, acc_dtype(bags.dtype), check, (source, index))


def _refuse_bad_ids(bags: Bags, entries: Entries) -> None:
    """Raise for the first id that is no row of the table."""
    V = bags.rows.shape[0]
    bad = first_bad(entries.ids, V)
    if bad >= 0:
        _checks.raise_out_of_range(bags.ids, entries.slot(bad), V)


def _write(call: _Call, out: Array, private_out: bool, normalize: bool) -> None:
    """Write all segments to ``out``. If an id is bad nothing is, unless ``out`` is private: nobody sees it then.

    Ids are checked by the kernel itself if it visits them all, range by range: they are in the cache when used.
    """
    mode, S = call.bags.mode, len(call.entries.begins)
    direct = is_row_major(out) and can_store(out.dtype, call.acc)
    plain = direct and not normalize and mode != "mean_max"
    ranges = _threads.parts(call.cost + out.nbytes, S)
    check = call.check and plain and mode not in ("cls", "last") and (private_out or ranges == 1)
    if call.check and not check:
        _refuse_bad_ids(call.bags, call.entries)
    found: list[int] = []
    goal = rows(out) if plain else None

    def write_range(start: int, stop: int, alive: object = (call, out)) -> None:
        if goal is None:
            _write_blocks(call, out, direct, normalize, start, stop)
            return
        bad = _reduce_rows(call, call.bags.mode == "max", goal, check, start, stop)
        if bad >= 0:
            found.append(bad)

    _threads.run(write_range, [0, S] if ranges == 1 else call.entries.cuts(ranges))
    if found:
        _checks.raise_out_of_range(call.bags.ids, call.entries.slot(min(found)), call.bags.rows.shape[0])


def _reduce_rows(call: _Call, largest: bool, out: Rows, check: bool, start: int, stop: int) -> int:
    sums, maxima = (sum_cached_rows, max_cached_rows) if call.cached else (sum_rows, max_rows)
    kernel: Callable[..., int] = maxima if largest else sums
    return kernel(call.rows, call.ids, call.segments, out, check, start, stop)


def _write_blocks(call: _Call, out: Array, direct: bool, normalize: bool, start: int, stop: int) -> None:
    """Write segments some at a time, which are scaled and rounded while they are in the cache."""
    width, both = out.shape[1], call.bags.mode == "mean_max"
    moved = call.cost // max(len(out), 1) if both else 0
    step = max(1, _BLOCK_BYTES // max(1, width * call.acc.itemsize, moved))
    through = not direct or (normalize and out.dtype != call.acc)
    scratch = np.empty((min(step, stop - start), width), call.acc) if through else out
    for first in range(start, stop, step):
        last = min(first + step, stop)
        sums = scratch[: last - first] if through else out[first:last]
        _reduce_halves(call, sums, both, first, last)
        if normalize:
            result = out[first:last] if direct else sums
            kernels.normalize_rows(rows(sums), rows(result), 0, last - first)
        if not direct:
            round_into(out[first:last], sums)


def _reduce_halves(call: _Call, sums: Array, both: bool, first: int, last: int) -> None:
    """Write segments [first, last) to as many rows; of two modes each has its half of the columns."""
    here, D = rows(sums), call.rows.D
    # Kernels number rows as they number segments.
    here = here._replace(address=here.address - first * here.stride, D=D)
    if not both:
        _reduce_rows(call, call.bags.mode == "max", here, False, first, last)
        return
    right = here._replace(address=here.address + D * sums.dtype.itemsize)
    _reduce_rows(call, False, here, False, first, last)
    _reduce_rows(call, True, right, False, first, last)


def normalize(x: Array, out: Array | None) -> Array:
    """Write the rows of ``x`` at length one to ``out``, which may be ``x``, or to a new array; return it."""
    result = _memory.empty(x.shape, x.dtype) if out is None else out
    D, acc = x.shape[-1], acc_dtype(x.dtype)
    source = as_row_major(x).reshape(-1, D) if x.size else x.reshape(0, D)
    stored = is_row_major(result) and can_store(result.dtype, acc)
    target = result if stored and (result.ndim == 2 or result.flags.c_contiguous) else np.empty(x.shape, acc)
    flat = target.reshape(-1, D) if x.size else source
    given, goal = rows(source), rows(flat)

    def write(start: int, stop: int, alive: object = (source, flat)) -> None:
        kernels.normalize_rows(given, goal, start, stop)

    ranges = _threads.parts(source.nbytes + flat.nbytes, len(source))
    _threads.run(write, _threads.split(len(source), ranges))
    if target is not result:
        round_into(result, target)
    return result


# Backward ---------------------------------------------------------------------------------------------------------


@np.errstate(all="ignore")  # what overflows is infinite, as in kernels
def reduce_backward(bags: Bags, grad: Array) -> tuple[Any, Array | None]:
    """Return the gradient of the rows, and that of the weights or None.

    Of x the former is an array of its shape and dtype; of a table a pair: the ids in use, ascending, and their rows.
    Raises what is wrong with values, as `reduce`.
    """
    entries = entries_of(bags)
    if bags.ids is not None:
        _refuse_bad_ids(bags, entries)
    call = _call(bags, entries)._replace(check=False)
    back = _Back.of(call, np.ascontiguousarray(grad, call.acc))
    given = _grad_of_x(back) if bags.ids is None else _grad_of_table(back)
    return given, None if bags.weights is None else _grad_of_weights(back)


class _Back(NamedTuple):
    """The gradient of the results on its way back to the rows.

    ``of_sums`` and ``of_maxima`` are the parts that go through the sum and through the maximum, a row for each segment;
    ``of_sums`` is divided as the sum was.
    """

    call: _Call
    y: Any  # the results before they were scaled
    grad: Array
    divisors: Array
    of_sums: Any  # these two and y: an array, or None
    of_maxima: Any

    @classmethod
    def of(cls, call: _Call, grad: Array) -> "_Back":
        mode, D, y = call.bags.mode, call.rows.D, None
        averaged = call.bags.weights is not None and mode == "mean"
        if call.bags.normalize or averaged or mode in ("max", "mean_max"):
            y = np.empty(call.bags.shape, call.acc)
            _write(call, y, private_out=True, normalize=False)
        grad = _before_length(grad, y) if call.bags.normalize and y is not None else grad
        by = _divisors(call)
        of_sums = None if mode == "max" else np.ascontiguousarray(grad[:, :D] / by[:, np.newaxis])
        of_maxima = np.ascontiguousarray(grad[:, -D:]) if mode in ("max", "mean_max") else None
        return cls(call, y, grad, by, of_sums, of_maxima)


def _grad_of_x(back: _Back) -> Array:
    """Return the gradient of x: its shape and dtype, zeros where no segment reduces a row."""
    bags, entries = back.call.bags, back.call.entries
    out = _memory.empty(bags.rows.shape, bags.dtype)
    flat = out.reshape(int(np.prod(bags.slots)), bags.rows.shape[-1])
    if int((entries.ends - entries.begins).sum()) < len(flat):
        flat.fill(0)
    _spread(back, flat, by_entry=False)
    return out


def _grad_of_table(back: _Back) -> tuple[Array, Array]:
    """Return the ids that have a gradient, ascending, in their dtype, and the sums of their rows."""
    call, entries = back.call, back.call.entries
    segments, members = entries.members()
    runs = Runs.of(np.ascontiguousarray(entries.ids[members]))
    if back.of_maxima is not None:
        given = _memory.empty((call.ids.N, call.rows.D), call.acc)
        _spread(back, given, by_entry=True)
    elif entries.weights is not None:
        given = back.of_sums[segments] * entries.weights[members, np.newaxis]
    else:  # the rows in between are never made
        runs.point_to(segments)
        given = back.of_sums
    return runs.ids.astype(call.bags.ids.dtype), runs.sums(given, call.bags.by_count)


def _grad_of_weights(back: _Back) -> Array:
    """Return the gradient of the weights, zeros where no segment reduces their rows."""
    call, entries, grad = back.call, back.call.entries, back.grad
    dots, shape = np.zeros((call.ids.N, 1), call.acc), call.bags.weights.shape
    source, target = rows(grad), rows(dots)

    def write(start: int, stop: int, alive: object = (call, dots, grad)) -> None:
        kernels.dot_rows(call.rows, call.ids, call.segments, source, target, start, stop)

    _run(call, write)
    if call.bags.mode == "mean":
        segments, members = entries.members()
        along = np.einsum("sd,sd->s", grad, back.y)
        dots[members, 0] = (dots[members, 0] - along[segments]) / back.divisors[segments]
    result = np.zeros(int(np.prod(shape)), call.acc)
    result[slice(None) if entries.slots is None else entries.slots] = dots[:, 0]
    return result.reshape(shape)


def _spread(back: _Back, out: Array, by_entry: bool) -> None:
    """Write the gradient of each entry to the row of its number, or of its slot."""
    call, of_sums, of_maxima, y = back.call, back.of_sums, back.of_maxima, back.y
    target = rows(out)
    if of_maxima is None:
        source = rows(of_sums)

        def write(start: int, stop: int, alive: object = (back, out)) -> None:
            kernels.spread_sums(source, call.ids, call.segments, target, start, stop)
    else:
        both = of_sums is not None
        given, base, maxima = rows(of_maxima), rows(of_sums if both else of_maxima), rows(y[:, -call.rows.D :])

        def write(start: int, stop: int, alive: object = (back, out)) -> None:
            kernel_args = (call.rows, call.ids, call.segments, maxima, given, base, both, target, by_entry)
            kernels.spread_maxima(*kernel_args, start, stop)

    _run(call, write)


def _run(call: _Call, write: Callable[[int, int], object]) -> None:
    ranges = _threads.parts(2 * call.cost, len(call.entries.begins))
    _threads.run(write, call.entries.cuts(ranges))


def _divisors(call: _Call) -> Array:
    """Return what each segment's sum is divided by; infinity where a segment is zeros whatever its rows are."""
    entries = call.entries
    amounts: Array = (entries.ends - entries.begins).astype(np.float64)
    if entries.weights is not None:
        segments, members = entries.members()
        amounts = np.bincount(segments, entries.weights[members], len(amounts)).astype(np.float64)  # of nothing: int
    amounts[amounts == 0] = np.inf
    divide_by = call.segments.divide_by
    if divide_by == BY_ONE:
        amounts[:] = 1
    return (np.sqrt(amounts) if divide_by == BY_ROOT else amounts).astype(call.acc)


def _before_length(grad: Array, y: Array) -> Array:
    """Return the gradient of rows before they were scaled to length one; a row of zeros has none."""
    unit = normalize(y.copy(), None).astype(np.float64)
    length = np.einsum("sd,sd->s", unit, y, dtype=np.float64)[:, np.newaxis]
    along = np.einsum("sd,sd->s", unit, grad, dtype=np.float64)[:, np.newaxis]
    before = np.where(length == 0, 0, (grad - unit * along) / length)
    return before.astype(grad.dtype)
