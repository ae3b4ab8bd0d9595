"""CUDA's way with ``embed``: rows read once and written once, and the sums of the backward."""

from typing import Any

import numpy as np

from .._embeds import Embeds
from .._frameworks import DeviceArray
from . import arrays, embedding_rows, gradient, launch, sorting
from .embedding_rows import POSITION, SEGMENT, Addend, Call, at, each, fits
from .kernels import join
from .kernels.dtypes import acc_of
from .kernels.embedding import Parts, make_embed, make_embed_long
from .kernels.embedding_backward import (
    ADDRESSES,
    NUMBERS,
    make_add_pieces,
    make_norm_rows,
    make_norm_rows_long,
    make_norm_sums,
    make_scale,
)
from .kernels.lookup import RAISE
from .kernels.norms import NO_NORM
from .kernels.slots import NONE
from .sorting import Runs

#: Columns that a thread has in registers, at most: of a row, and of a row and its gradient (of float64 half as many).
MOST_COLUMNS, MOST_OF_BOTH = 32, 24


def embed(embeds: Embeds, out: DeviceArray | None) -> Any:
    """Return the result, in ``out`` where that is given. A row is zeros where a mask has a zero, or an id is bad."""
    call = embedding_rows.of("embed", embeds)
    result = arrays.new(embeds.shape, embeds.dtype, call.table) if out is None else out
    if not result.size:
        return result.owner
    goal = _rows_of(result, call.N)
    if goal is None:
        copy = arrays.new(result.shape, result.dtype, call.table)
        _write(call, arrays.reshaped(copy, call.N, call.D))
        arrays.copy_into(result, copy, call.place)
    else:
        _write(call, goal)
    return result.owner


def _rows_of(array: DeviceArray, N: int) -> DeviceArray | None:
    """Return an array (…, D) as N rows, each in one piece; None where they are not at one distance."""
    if arrays.is_contiguous(array):
        return arrays.reshaped(array, N, array.shape[-1])
    return array if array.ndim == 2 and arrays.is_contiguous(array, 1) else None


def _write(call: Call, out: DeviceArray) -> None:
    norm, (weight, bias) = call.embeds.norm, (*[one.pointer for one in call.weights], 0, 0)[:2]
    own = weight, bias, 1 / call.D, norm.eps if norm else 0.0, out.pointer, out.strides[0]
    call.run(make_embed, make_embed_long, call.parts(out, most=MOST_COLUMNS), own, (out,))


# Backward --------------------------------------------------------------------------------------------------------


def embed_backward(embeds: Embeds, grad: DeviceArray) -> tuple[Any, Any, Any, Any]:
    """Return the gradients of the table, of positions, of segments and of the norm; None for what was not given.

    That of the table is a pair: the rows in use, ascending, and their gradients; that of the norm a pair for weight and
    bias. The host waits once, for the number of rows in use.
    """
    place = arrays.place_of(grad)
    sorting.require_reading("embed_backward", place)
    call, of_norm = embedding_rows.of("embed_backward", embeds), None
    if acc_of(arrays.tag_of(grad)) != acc_of(call.tag):
        grad = arrays.converted(grad, call.acc, place)
    flat = _rows_of(grad, call.N)
    if flat is None:
        flat = arrays.reshaped(arrays.contiguous(grad, place), call.N, call.D)
    if embeds.norm is not None:
        flat, weight, bias = _norm_backward(call, flat)
        of_norm = weight.owner, None if embeds.norm.bias is None else bias.owner
    used, sums = _table_grad(call, flat)
    dense = [_dense_grad(call, *one, flat) for one in ((call.position, POSITION), (call.segment, SEGMENT))]
    return (used.owner, sums.owner), *dense, of_norm


def _table_grad(call: Call, grad: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
    """Return the rows of the table that were read, ascending, and their gradients."""
    embeds, V, D, acc = call.embeds, call.embeds.table.shape[0], call.D, call.acc
    dtype = embeds.ids.dtype
    if embeds.mode != RAISE and np.iinfo(dtype).max < V - 1:
        dtype = np.dtype(np.int64)
    if not V or not call.N:
        return arrays.new((0,), dtype, call.table), arrays.new((0, D), acc, call.table)
    skip = -1 if embeds.padding_idx is None or not 0 <= embeds.padding_idx < V else embeds.padding_idx
    runs = Runs(call.kept_ids(V, fits(V), skip), V, call.check.address)
    runs.read()
    sums = gradient.sum_runs(runs, grad, embeds.by_count)
    if embeds.scale != 1 and sums.size:
        width = arrays.width_of(sums.pointer, sums.size * acc.itemsize)
        W = sums.size * acc.itemsize // width
        kernel = launch.kernel(make_scale, acc_of(call.tag), width)
        each(kernel, W, call.place, (sums.pointer, W, embeds.scale), (sums,))
    return gradient.unique_ids(runs, dtype), sums


def _dense_grad(call: Call, addend: Addend, number: int, grad: DeviceArray) -> Any:
    """Return the gradient of positions or segments, with zeros for rows that were not used."""
    if addend.kind == NONE or addend.table is None:
        return None
    rows = addend.table.shape[0]
    dense = arrays.zeros((rows, call.D), call.acc, call.table, call.place)
    if dense.size and call.N:
        gradient.add_runs(Runs(call.place_ids(addend, number), rows, call.check.address), grad, 1.0, dense)
    return dense.owner


def _norm_backward(call: Call, grad: DeviceArray) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """Return the gradients of the rows before the norm, (N, D), of the weight and of the bias."""
    N, D, acc, like, eps = call.N, call.D, call.acc, call.table, call.embeds.norm.eps  # type: ignore[union-attr]
    before, P = arrays.new((N, D), acc, like), -(-N // join.CUT)
    if not before.size:
        return before, arrays.zeros((D,), acc, like, call.place), arrays.zeros((D,), acc, like, call.place)
    pieces = arrays.new((P, 2, D), acc, like)
    addresses, numbers = arrays.new((N, ADDRESSES), np.int64, like), arrays.new((N, NUMBERS), acc, like)
    parts = call.parts(grad, before, pieces, most=MOST_OF_BOTH * 4 // acc.itemsize)
    own = (
        call.weights[0].pointer, 1 / D, eps, grad.pointer, grad.strides[0], before.pointer, before.strides[0],
        addresses.pointer, numbers.pointer,
    )  # fmt: skip
    call.run(make_norm_rows, make_norm_rows_long, parts, own, (grad, before, addresses, numbers))
    return before, *_norm_sums(call, parts, grad, addresses, numbers, pieces)


def _norm_sums(
    call: Call, parts: Parts, grad: DeviceArray, addresses: DeviceArray, numbers: DeviceArray, pieces: DeviceArray
) -> tuple[DeviceArray, DeviceArray]:  # fmt: skip
    """Return the gradients of weight and bias, from what was noted of the rows."""
    (P, _, D), N, rows = pieces.shape, call.N, launch.driver.threads // 32
    mask, ranks, listed = call.mask, None, None
    if mask is not None:
        ranks, listed = call.ranks or embedding_rows.ranks_of(mask, call.place)
    W = D // parts.columns
    # What matters of the parts, so that there are few kernels.
    parts = parts._replace(
        ids="", wide=False, norm=NO_NORM, weight=parts.acc, biased=False, K=1, threads=32,
        positions="noted" if parts.positions else NONE, segments="noted" if parts.segments else NONE,
    )  # fmt: skip
    values = (
        addresses.pointer, numbers.pointer, call.embeds.scale, grad.pointer, grad.strides[0], at(ranks), at(listed),
        at(mask), N, W, pieces.pointer, pieces.strides[0],
    )  # fmt: skip
    alive = addresses, numbers, grad, ranks, listed, mask, pieces, *call.alive
    kernel = launch.kernel(make_norm_sums, parts, join.CUT, rows)
    launch.submit(kernel, (P, -(-W // 32)), (32, rows), call.place, values, alive)
    weight, bias = (arrays.new((D,), call.acc, call.table) for _ in range(2))
    told = pieces.pointer, P, D, weight.pointer, bias.pointer
    each(launch.kernel(make_add_pieces, acc_of(call.tag)), 2 * D, call.place, told, (pieces, weight, bias))
    return weight, bias
