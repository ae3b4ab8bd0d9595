"""`embed` for autograd: its gradients by `embed_backward`, and the gradients of these by torch's own operations."""

from typing import Any, NamedTuple

import torch

import fastemb

from .. import _doors, _views
from .._doors import Function

#: The kinds of norm, as the operations are told them.
NONE, LAYER, RMS = "none", "layer", "rms"
#: The arguments before the options, in their order. Those of `IDS` have no gradient.
ARRAYS = "table", "positions", "segments", "weight", "bias", "ids", "position_ids", "segment_ids", "mask"
IDS = 4


class Options(NamedTuple):
    """What an `embed` was asked for beside its arrays."""

    scale: float
    norm: str  # NONE, LAYER or RMS
    eps: float
    padding_idx: int | None  # the row of the table that gets no gradient
    position_padding: int | None  # the row of the positions that gets none


class Arrays(NamedTuple):
    """The arrays of an `embed`; None for those that were not given, but for table and ids."""

    table: Any  # (V, D)
    positions: Any  # (P, D)
    segments: Any  # (S, D)
    weight: Any  # of the norm: (D,)
    bias: Any
    ids: Any
    position_ids: Any
    segment_ids: Any
    mask: Any


def embed(arrays: Arrays, options: Options) -> Any:
    """Look up, add and normalise, through the door of the call."""
    way = _doors.door(*arrays)
    if way is _doors.EAGER:
        if _doors.needs_graph(*arrays[: IDS + 1]):
            return _embed(*arrays[: IDS + 1], arrays[IDS + 1 :], options)
        return forward(arrays, options)
    if way is _doors.TRANSFORM:
        return EmbedInside.apply(*arrays, options)
    return torch.ops.fastemb.embed.default(*arrays, *options)


def forward(arrays: Arrays, options: Options) -> Any:
    """Return what `embed` makes of tensors that autograd is not looking at."""
    seen = _views.views(arrays)
    table, positions, segments, _, _, ids, position_ids, segment_ids, mask = given = seen or arrays
    rows: Any = fastemb.embed(
        table, ids, positions=positions, position_ids=position_ids, segments=segments, segment_ids=segment_ids,
        mask=mask, scale=options.scale, norm=_norm(given, options),
    )  # fmt: skip
    return rows if seen is None else torch.from_numpy(rows)


def backward(grad: Any, arrays: Arrays, options: Options, of_table: bool = True) -> list[Any]:
    """Return the gradients of table, positions, segments, weight and bias by `embed_backward`; None where none is.

    That of the table is the largest, and is left out where nobody asks for it.
    """
    grad = _views.packed(grad)
    seen = _views.views((grad, *arrays))
    g, table, positions, segments, _, _, ids, position_ids, segment_ids, mask = seen or (grad, *arrays)
    found = fastemb.embed_backward(
        g, table, ids, padding_idx=options.padding_idx, positions=positions, position_ids=position_ids,
        segments=segments, segment_ids=segment_ids, mask=mask, scale=options.scale,
        norm=_norm(arrays if seen is None else seen[1:], options),
    )  # fmt: skip
    by_position: Any = found.positions
    if by_position is not None and options.position_padding is not None:
        by_position[options.position_padding] = 0
    parts: Any = (*found.table, by_position, found.segments, *(found.norm or (None, None)))
    unique, rows, *others = parts if seen is None else _views.tensors(*parts)
    by_table = _doors.dense(unique, rows, arrays.table.shape, arrays.table.dtype) if of_table else None
    grads = by_table, *others
    return [g if g is None or g.dtype is of.dtype else g.to(of.dtype) for g, of in zip(grads, arrays, strict=False)]


def _norm(arrays: Any, options: Options) -> Any:
    if options.norm == NONE:
        return None
    weight, bias = arrays[3:5]
    return fastemb.RMSNorm(weight, options.eps) if options.norm == RMS else fastemb.LayerNorm(weight, bias, options.eps)


# The same gradients in operations that torch can differentiate ----------------------------------------------------


def composed(grad: Any, arrays: Arrays, options: Options) -> list[Any]:
    """Return what `backward` does, as a graph of torch's operations: for double backward and inside of torch.func."""
    table, positions, segments, weight, bias, ids, position_ids, segment_ids, mask = arrays
    kept = None if mask is None else (mask != 0)
    ids = ids.long() if kept is None else torch.where(kept, ids.long(), 0)
    at_positions = None if positions is None else _places(position_ids, ids, kept)
    at_segments = None if segments is None else _spread(0 if segment_ids is None else segment_ids, ids, kept)
    g = grad.to(torch.float64 if table.dtype == torch.float64 else torch.float32)
    if kept is not None:
        g = torch.where(kept.unsqueeze(-1), g, 0.0)
    by_weight = by_bias = None
    if options.norm != NONE:
        x = options.scale * table[ids].to(g.dtype)
        for addend, places in ((positions, at_positions), (segments, at_segments)):
            x = x if addend is None else x + addend[places].to(g.dtype)
        if options.norm == LAYER:
            x = x - x.mean(-1, keepdim=True)
        inverse = torch.rsqrt(x.square().mean(-1, keepdim=True) + options.eps)
        y = x * inverse
        by_weight, by_bias = (g * y).reshape(-1, g.shape[-1]).sum(0), None if bias is None else _flat(g).sum(0)
        g = g * weight.to(g.dtype)
        centre = g.mean(-1, keepdim=True) if options.norm == LAYER else 0.0
        g = inverse * (g - centre - y * (g * y).mean(-1, keepdim=True))
    by_table = _add_rows(table, ids, options.scale * g, options.padding_idx)
    by_position = None if positions is None else _add_rows(positions, at_positions, g, options.position_padding)
    by_segment = None if segments is None else _add_rows(segments, at_segments, g, None)
    grads = by_table, by_position, by_segment, by_weight, by_bias
    return [g if g is None else g.to(of.dtype) for g, of in zip(grads, arrays[: IDS + 1], strict=True)]


def _flat(rows: Any) -> Any:
    return rows.reshape(-1, rows.shape[-1])


def _places(position_ids: Any, ids: Any, kept: Any) -> Any:
    """Return the position of each id; by default those of `embed`."""
    if position_ids is None:
        position_ids = torch.arange(ids.shape[-1], device=ids.device) if kept is None else kept.long().cumsum(-1) - 1
    return _spread(position_ids, ids, kept)


def _spread(places: Any, ids: Any, kept: Any) -> Any:
    """Return ids of the addends, one for each id; 0 where none is looked at."""
    places = torch.as_tensor(places, device=ids.device).long().expand(ids.shape)
    return places if kept is None else torch.where(kept, places, 0)


def _add_rows(table: Any, ids: Any, rows: Any, padding: int | None) -> Any:
    if padding is not None:
        rows = torch.where((ids == padding).unsqueeze(-1), 0.0, rows)
    whole = torch.zeros(table.shape, dtype=rows.dtype, device=table.device)
    return whole.index_add(0, ids.reshape(-1), _flat(rows))


# Functions --------------------------------------------------------------------------------------------------------


class Embed(Function):
    """`embed` where no transform of torch.func is active: ``forward(ctx)``, which costs a third of the other form.

    What has no gradient comes in one tuple: each tensor among the arguments costs autograd half a microsecond.
    """

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Any:
        """Return rows."""
        arrays, options = Arrays(*given[: IDS + 1], *given[IDS + 1]), given[-1]
        ctx.save_for_backward(*arrays)
        ctx.options = options
        return forward(arrays, options)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradients of what has one."""
        arrays = Arrays._make(ctx.saved_tensors)
        if torch.is_grad_enabled() or _doors.is_batch(grad):
            return *composed(grad, arrays, ctx.options), None, None
        return *backward(grad, arrays, ctx.options, ctx.needs_input_grad[0]), None, None


_embed = _doors.eager_apply(Embed)


class EmbedInside(Function):
    """`embed` inside of torch.func: what these transforms ask of a function."""

    @staticmethod
    def forward(*given: Any) -> Any:
        """Return rows."""
        return forward(Arrays._make(given[:-1]), given[-1])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what was given."""
        ctx.save_for_backward(*inputs[:-1])
        ctx.options = inputs[-1]

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradients of what has one."""
        return *composed(grad, Arrays._make(ctx.saved_tensors), ctx.options), None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Any) -> Any:
        """One call with the axis in front of the ids where tables have none; else a call for each table."""
        options = given[-1]
        if any(axis is not None for axis in in_dims[: IDS + 1]):
            return _doors.one_by_one(EmbedInside.apply, info.batch_size, in_dims, *given)
        tables, lists, axes = given[: IDS + 1], given[IDS + 1 : -1], in_dims[IDS + 1 : -1]
        inner = lists[0].dim() - (axes[0] is not None)
        if not inner and tables[1] is not None and lists[1] is None:  # or positions would count the batch
            raise ValueError("a single id has no place of its own: positions need position_ids")
        shape = info.batch_size, *(lists[0].shape if axes[0] is None else lists[0].movedim(axes[0], 0).shape[1:])
        moved = [_doors.in_front(one, axis, inner) for one, axis in zip(lists, axes, strict=True)]
        moved = [one if one is None else one.expand(shape) for one in moved]
        return EmbedInside.apply(*tables, *moved, options), 0
