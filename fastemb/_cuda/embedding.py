"""CUDA's way with ``embed``: rows read once and written once, and the sums of the backward."""

from typing import Any

from .._embeds import Embeds
from .._frameworks import DeviceArray
from . import arrays, embedding_rows
from .embedding_rows import Call
from .kernels.embedding import make_embed, make_embed_long

#: Columns that a thread has in registers, at most.
MOST_COLUMNS = 32


def embed(embeds: Embeds, out: DeviceArray | None) -> Any:
    """Return the result, in ``out`` where that is given. A row is zeros where a mask has a zero, or an id is bad."""
    call = embedding_rows.of("embed", embeds)
    result = arrays.new(embeds.shape, embeds.dtype, call.table) if out is None else out
    if not result.size:
        return result.owner
    goal = rows_of(result, call.N)
    if goal is None:
        copy = arrays.new(result.shape, result.dtype, call.table)
        _write(call, arrays.reshaped(copy, call.N, call.D))
        arrays.copy_into(result, copy, call.place)
    else:
        _write(call, goal)
    return result.owner


def rows_of(array: DeviceArray, N: int) -> DeviceArray | None:
    """Return an array (…, D) as N rows, each in one piece; None where they are not at one distance."""
    if arrays.is_contiguous(array):
        return arrays.reshaped(array, N, array.shape[-1])
    return array if array.ndim == 2 and arrays.is_contiguous(array, 1) else None


def _write(call: Call, out: DeviceArray) -> None:
    parts = call.parts(out, most=MOST_COLUMNS)
    norm, weights = call.embeds.norm, [one.pointer for one in call.weights]
    own = (*weights, 0, 0)[:2], 1 / call.D, norm.eps if norm else 0.0, out.pointer, out.strides[0]
    call.run(make_embed, make_embed_long, parts, (*own[0], *own[1:]), (out,))
