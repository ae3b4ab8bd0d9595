"""The CPU's way with ``embed``: the rows that ids mean, ranges of results, streaming, and the sums of the backward."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _embeds, _memory, _threads
from .._embeds import Embeds
from . import gradient
from .arrays import (
    Array,
    acc_dtype,
    address,
    as_row_major,
    can_store,
    cast,
    code_rows,
    dtype_tag,
    has_contiguous_rows,
    ids,
    is_row_major,
    round_into,
    rows,
    slots_of_rows,
)
from .kernels import embedding as kernels
from .kernels.layout import Ids, Rows
from .kernels.rows import PIECE
from .lookup import first_bad, rows_meant

FIRST = np.zeros(1, np.int64)  # the ids of an addend that gives each row of the result its first row
KINDS = {_embeds.LAYER: kernels.LAYER, _embeds.RMS: kernels.RMS}

# Values: all are checked before anything is written --------------------------------------------------------------


class _Addend(NamedTuple):
    """Positions or segments: row n of the result gets row ``ids[n % ids.size]`` of the table added. ids are int64."""

    table: Array | None  # None: nothing is added, and ids are one 0
    ids: Array

    def all_ids(self, N: int) -> Array:
        """Return one id for each of N rows of the result."""
        return np.tile(self.ids, N // self.ids.size) if N else self.ids[:0]


class _Call(NamedTuple):
    """A call of which every value has been checked."""

    embeds: Embeds
    row_ids: Array  # the rows of the table that ids mean: contiguous, int32 or int64, in the shape of the ids
    position: _Addend
    segment: _Addend

    @property
    def N(self) -> int:
        """The number of rows of the result."""
        return self.row_ids.size

    @property
    def D(self) -> int:
        """The number of columns."""
        return self.embeds.shape[-1]

    @property
    def acc(self) -> np.dtype[Any]:
        """The dtype of accumulators."""
        return acc_dtype(self.embeds.dtype)

    @property
    def row_bytes(self) -> int:
        """The bytes of a row of the table."""
        table = self.embeds.table
        return self.D * table.dtype.itemsize if isinstance(table, np.ndarray) else int(table.codes.shape[1]) + 8


def _without_masked(embeds: Embeds) -> tuple[Embeds, Array | None]:
    """Return what was asked for with harmless ids under the mask, and which rows are left out; None: none is.

    Position ids become the place among the ids of a row that are kept, where none were given.
    """
    if embeds.mask is None:
        return embeds, None
    kept = embeds.mask != 0

    def harmless(given: Array) -> Array:
        return np.where(kept, given, given.dtype.type(0))

    position_ids, segment_ids = embeds.position_ids, embeds.segment_ids
    if position_ids is not None:
        position_ids = harmless(position_ids)
    elif embeds.positions is not None:
        position_ids = harmless(np.cumsum(kept, axis=-1) - 1)
        _embeds.require_rows("position", embeds.positions, int(kept.sum(axis=-1).max(initial=0)))
    segment_ids = None if segment_ids is None else harmless(segment_ids)
    ids = harmless(embeds.ids)
    return embeds._replace(ids=ids, position_ids=position_ids, segment_ids=segment_ids, mask=None), ~kept


def _kept_alone(embeds: Embeds, grad: Array, left_out: Array) -> tuple[Embeds, Array]:
    """Return what was asked for, and the gradient, of the rows that are kept: flat."""
    kept, D = np.flatnonzero(~left_out), embeds.shape[-1]

    def chosen(given: Array | None) -> Array | None:
        return None if given is None else np.broadcast_to(given, left_out.shape).reshape(-1)[kept]

    ids, position_ids, segment_ids = map(chosen, (embeds.ids, embeds.position_ids, embeds.segment_ids))
    flat = embeds._replace(ids=ids, position_ids=position_ids, segment_ids=segment_ids, shape=(kept.size, D))
    return flat, grad.reshape(left_out.size, D)[kept]


def _checked(embeds: Embeds) -> _Call:
    """Check all values: offsets, ids, position ids, segment ids."""
    offsets, N = embeds.offsets, embeds.ids.size
    if offsets is not None and not _checks.ascend(offsets, N):
        _checks.raise_bad_offsets(offsets, N)
    default = _default_position_ids(embeds)
    row_ids = rows_meant(embeds.ids, embeds.table.shape[0], embeds.mode)
    position = _addend("position", embeds.positions, embeds.position_ids, default, embeds.ids.shape)
    segment = _addend("segment", embeds.segments, embeds.segment_ids, FIRST, embeds.ids.shape)
    return _Call(embeds, row_ids, position, segment)


def _default_position_ids(embeds: Embeds) -> Array:
    """Return 0, 1, ... along the last axis of ids; of a Ragged the slots within its rows, and the longest must fit."""
    if embeds.positions is None or embeds.position_ids is not None:
        return FIRST
    if embeds.offsets is None:
        return np.arange(embeds.ids.shape[-1])
    _embeds.require_rows("position", embeds.positions, int(np.diff(embeds.offsets).max(initial=0)))
    return slots_of_rows(embeds.offsets)


def _addend(what: str, table: Array | None, given: Array | None, default: Array, shape: tuple[int, ...]) -> _Addend:
    """Return an addend for ids of this shape, after checking its own ids; ``default`` counts where none were given."""
    if table is None or given is None:
        return _Addend(table, default)
    index = np.ascontiguousarray(given, np.int64)  # of uint64, what is beyond int64 becomes negative
    bad = first_bad(index, len(table))
    if bad >= 0:
        _embeds.raise_out_of_range(what, given, bad, len(table))
    repeats = given.size == 1 or given.shape[-1:] == shape[-1:] == (given.size,)  # over all rows of the result
    if given.shape != shape and not repeats:
        index = np.ascontiguousarray(np.broadcast_to(given, shape), np.int64)
    return _Addend(table, index.reshape(-1))


# Kernel arguments -------------------------------------------------------------------------------------------------


_KernelArgs = tuple[Rows, Ids, kernels.Addends, float, kernels.Norm]


def _kernel_args(call: _Call) -> tuple[_KernelArgs, object]:
    """Return the arguments that the kernels share, and the arrays behind their addresses, to be kept alive."""
    embeds, D, dtype = call.embeds, call.D, call.embeds.dtype
    addends = call.position, call.segment
    if any(addend.table is not None and addend.table.dtype.newbyteorder("=") != dtype for addend in addends):
        dtype = call.acc
    source, index = _row_major_table(embeds.table, call.row_ids)
    (positions, position_ids), (segments, segment_ids) = (_row_major_addend(addend, dtype, D) for addend in addends)
    if 1 < segment_ids.size < call.N:
        segment_ids = np.tile(segment_ids, call.N // segment_ids.size)
    added = kernels.Addends(
        dtype_tag(dtype),
        address(positions), positions.strides[0], address(position_ids), position_ids.size,
        address(segments), segments.strides[0], address(segment_ids), int(segment_ids.size > 1),
    )  # fmt: skip
    norm, norm_rows = _norm(embeds.norm, D, call.acc)
    table = rows(source) if isinstance(source, np.ndarray) else code_rows(source)
    args = (table, ids(index, source.shape[0]), added, embeds.scale, norm)
    return args, (source, index, positions, position_ids, segments, segment_ids, norm_rows)


def _row_major_table(table: Any, index: Array) -> tuple[Any, Array]:
    """Return a table that kernels can read, and the ids for it; where rows have to be copied, only those in use."""
    if not isinstance(table, np.ndarray) or is_row_major(table):
        return table, index
    unique, inverse = np.unique(index, return_inverse=True)
    return as_row_major(table[unique]), np.ascontiguousarray(inverse, np.int64)


def _row_major_addend(addend: _Addend, dtype: np.dtype[Any], D: int) -> tuple[Array, Array]:
    """Return the rows of an addend as kernels read them, of the dtype asked for, and the ids for them."""
    table, index = addend
    if table is None:
        return nothing(dtype, D), index
    if table.dtype == dtype and is_row_major(table):
        return table, index
    unique, inverse = np.unique(index, return_inverse=True)
    return np.ascontiguousarray(cast(table[unique], dtype)), np.ascontiguousarray(inverse, np.int64)


@lru_cache(maxsize=64)
def nothing(dtype: np.dtype[Any], D: int) -> Array:
    """Return a row to add that changes nothing: x + -0.0 is x for every x."""
    return np.full((1, D), -0.0, dtype)


def _norm(norm: _embeds.Norm | None, D: int, acc: np.dtype[Any]) -> tuple[kernels.Norm, Array | None]:
    """Return how rows are normalised, and weight and bias: copies, with room for loads of 16 columns."""
    if norm is None:
        return kernels.Norm(kernels.NO_NORM, 0, 0, 0.0), None
    both = np.zeros((2, D + 32), acc)
    both[0, :D] = cast(norm.weight, acc)
    both[1] = -0.0  # x + -0.0 is x for every x
    if norm.bias is not None:
        both[1, :D] = cast(norm.bias, acc)
    weight = address(both)
    return kernels.Norm(KINDS[norm.kind], weight, weight + both.strides[0], norm.eps), both


def _scratch(D: int, acc: np.dtype[Any]) -> tuple[Array, int]:
    """Return memory for a row of sums, to be kept alive, and the first address in it that begins a cache line."""
    memory = np.empty(D + 64, acc)
    start = address(memory)
    return memory, start + -start % 64


# Forward -----------------------------------------------------------------------------------------------------------


def embed(embeds: Embeds, out: Array | None) -> Array:
    """Return the result, in ``out`` where that is given.

    Raises what is wrong with values: offsets, ids. Nothing is written to a given ``out`` then.
    """
    embeds, left_out = _without_masked(embeds)
    if left_out is not None and left_out.all():  # perhaps of a table without rows
        result = _memory.empty(embeds.shape, embeds.dtype) if out is None else out
        result[...] = 0
        return result
    call = _checked(embeds)
    if out is not None and _can_write(call, out):
        _write(call, out, warm=True)
        if left_out is not None:
            out[left_out] = 0
        return out
    dtype = embeds.dtype if out is None else out.dtype.newbyteorder("=")
    result, warm = _memory.new_result(embeds.shape, dtype if can_store(dtype, call.acc) else call.acc)
    _write(call, result, warm)
    if left_out is not None:
        result[left_out] = 0
    if out is None:
        return result
    round_into(out, result)
    return out


def _can_write(call: _Call, out: Array) -> bool:
    """Whether the kernel can write to ``out``: contiguous rows at one distance from each other."""
    apart = out.flags.c_contiguous or (out.ndim == 2 and has_contiguous_rows(out))
    return can_store(out.dtype, call.acc) and apart


def _write(call: _Call, target: Array, warm: bool) -> None:
    """Write the result; only memory that is warm is streamed to."""
    if not target.size:
        return
    (args, arrays), N, D, size = _kernel_args(call), call.N, call.D, target.dtype.itemsize
    goal = rows(target.reshape(N, D))
    nontemporal = warm and target.nbytes >= _memory.STREAM_BYTES and D * size >= 64
    nontemporal = nontemporal and not (goal.address | goal.stride) % size

    def write(start: int, stop: int, alive: object = (call, arrays, target)) -> None:
        _row, scratch = _scratch(D, call.acc)
        kernels.embed_rows(*args, goal, scratch, nontemporal, start, stop)

    _threads.run(write, _threads.split(N, _threads.parts(N * (call.row_bytes + D * size), N)))


# Backward ----------------------------------------------------------------------------------------------------------


@np.errstate(all="ignore")  # what overflows is infinite, as in kernels
def embed_backward(embeds: Embeds, grad: Array) -> tuple[Any, Array | None, Array | None, Any]:
    """Return the gradients of the table, of positions, of segments and of the norm; None for what was not given.

    That of the table is a pair: the rows in use, ascending, and their gradients; that of the norm a pair for weight and
    bias. Raises what is wrong with values, as `embed`.
    """
    embeds, left_out = _without_masked(embeds)
    if left_out is not None:
        if not left_out.all():
            _checked(embeds)  # of all ids, so that errors name the caller's places
        embeds, grad = _kept_alone(embeds, grad, left_out)
    call, of_norm = _checked(embeds), None
    N, D, acc = call.N, call.D, call.acc
    flat = grad.reshape(N, D)
    flat = as_row_major(flat if acc_dtype(grad.dtype) == acc else cast(flat, acc))
    if embeds.norm is not None:
        flat, weight, bias = _norm_backward(call, flat)
        of_norm = weight, None if embeds.norm.bias is None else bias
    used, sums = gradient.row_grad(_rows_read(call), flat, embeds.padding_idx, embeds.by_count)
    if embeds.scale != 1:
        np.multiply(sums, acc.type(embeds.scale), out=sums)
    return (used, sums), _dense_grad(call.position, flat), _dense_grad(call.segment, flat), of_norm


def _rows_read(call: _Call) -> Array:
    """Return the rows that ids mean, flat, and of the dtype of the ids where that can hold every row of the table."""
    given: Array = call.embeds.ids
    if call.embeds.mode == "raise":
        return given.reshape(-1)
    fits = np.iinfo(given.dtype).max >= call.embeds.table.shape[0] - 1
    return call.row_ids.reshape(-1).astype(given.dtype if fits else np.int64)


def _dense_grad(addend: _Addend, grad: Array) -> Array | None:
    """Return the gradient of positions or segments, with zeros for rows that were not used."""
    if addend.table is None:
        return None
    used, sums = gradient.row_grad(addend.all_ids(len(grad)), grad, None, False)
    dense = np.zeros(addend.table.shape, sums.dtype)
    dense[used] = sums
    return dense


def _norm_backward(call: _Call, grad: Array) -> tuple[Array, Array, Array]:
    """Return the gradients of the rows before the norm, (N, D), of the weight and of the bias."""
    N, D, acc, P = call.N, call.D, call.acc, -(-call.N // PIECE)
    before, totals = _memory.empty((N, D), acc), np.zeros((2, D), acc)
    if not before.size:
        return before, totals[0], totals[1]
    args, arrays = _kernel_args(call)
    partials = np.zeros((2, P, -(-D // 16) * 16), acc)  # of weight and bias, a row for each piece
    given, goal, of_weight, bias = rows(grad), rows(before), rows(partials[0]), partials.strides[0]

    def write(start: int, stop: int, alive: object = (call, arrays, grad, before, partials)) -> None:
        _row, scratch = _scratch(D, acc)
        kernels.norm_grads(*args, given, goal, of_weight, bias, scratch, start, stop)

    cost = N * (call.row_bytes + 2 * D * acc.itemsize)
    _threads.run(write, _threads.split(P, _threads.parts(cost, P)))
    for part, total in zip(partials, totals, strict=True):
        kernels.add_partials(rows(part), P, rows(total[np.newaxis]))
    return before, totals[0], totals[1]
