"""Rows of a table by id, and the gradient of the table: each the other's gradient.

``Gather`` and ``TableGrad`` are for eager calls, ``GatherInside`` and ``TableGradInside`` for those inside of
transforms.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd import forward_ad

import fastemb
from fastemb import _devices

from .. import _doors
from .._doors import Function, Tensor


class Asked(NamedTuple):
    """What the gradient of a table has to be."""

    padding_idx: int | None  # the row that has none; never negative
    by_count: bool  # each row is divided by how often its id occurs
    sparse: bool


PLAIN = Asked(None, False, False)


def look_up(table: Tensor, ids: Tensor, asked: Asked) -> Tensor:
    """Look up rows, through the door of the call."""
    way = _doors.door(table, ids)
    if way is _doors.EAGER:
        if (table.requires_grad and torch.is_grad_enabled()) or forward_ad._current_level >= 0:  # `_doors.needs_graph`
            return _gather(table, ids, asked)
        return (
            _small_gather(table, ids) if table.dtype is torch.float32 and table.is_cpu else fastemb.gather(table, ids)
        )
    if way is _doors.TRANSFORM:
        return GatherInside.apply(table, ids, asked)
    return torch.ops.fastemb.gather.default(table, ids, *asked)


def table_grad(grad: Tensor, ids: Tensor, shape: tuple[int, ...], asked: Asked) -> Tensor:
    """Return the gradient of a table, in the dtype of ``grad``; autograd hears nothing of it."""
    if grad.dtype is torch.float32 and grad.is_cpu and grad.dim() == 2 == len(shape):
        made = _small_table_grad(grad, ids, shape, asked)
        if made is not None:
            return made
    wide = grad.reshape(*ids.shape, -1) if len(shape) != 2 else grad  # rows of more axes are one row
    if not asked.sparse and asked.padding_idx is None and not asked.by_count:
        made = _doors.zeros(shape, grad.dtype, grad.device)
        if made.numel() and grad.numel():  # each sum goes to its place at once
            fastemb.scatter_add(made.view(shape[0], -1), ids, wide)
        return made
    unique: Any  # tensors, as the arrays given are
    rows: Any
    unique, rows = fastemb.row_grad(ids, wide, padding_idx=asked.padding_idx, scale_grad_by_freq=asked.by_count)
    make = _doors.sparse if asked.sparse else _doors.dense
    return make(unique, rows.view(len(unique), *shape[1:]), shape, grad.dtype)


def _small_gather(table: Tensor, ids: Tensor) -> Tensor:
    """Look up rows; those of a small call of tensors on the CPU without the 1 us of looking at what all is given."""
    try:
        rows = _devices.HERE["lookup"].small_gather(table.numpy(), ids.numpy())
    except (RuntimeError, TypeError):  # of other layouts, and signs that are marks
        rows = None
    return fastemb.gather(table, ids) if rows is None else torch.from_numpy(rows)


def _small_table_grad(grad: Tensor, ids: Tensor, shape: tuple[int, ...], asked: Asked) -> Tensor | None:
    """Return the gradient of a small call; None: take the general road. A third of the time of that."""
    try:
        index, rows = ids.numpy(), grad.numpy()
    except (RuntimeError, TypeError):  # of signs that are marks, and other layouts
        return None
    room = _devices.HERE["gradient"]
    if not asked.sparse and asked.padding_idx is None and not asked.by_count:
        made = np.zeros(shape, np.float32)
        return torch.from_numpy(made) if room.small_scatter_add(made, index, rows, 1.0, "raise") else None
    small = room.small_row_grad(index, rows, asked.padding_idx, asked.by_count)
    if small is None:
        return None
    unique, rows = small
    if asked.sparse:
        index = unique.reshape(1, -1) if unique.dtype == np.int64 else unique.astype(np.int64)[np.newaxis]
        return _doors.coalesced(torch.from_numpy(index), torch.from_numpy(rows), shape)
    made = np.zeros(shape, np.float32)
    made[unique] = rows
    return torch.from_numpy(made)


def grad_of_table(grad: Tensor, ids: Tensor, shape: tuple[int, ...], asked: Asked) -> Tensor:
    """Return the gradient of a table, in an eager backward.

    That may be asked for with a graph of its own, or for many gradients at once, of which torch makes batches of two
    kinds: a transform's, and an older one, which only torch's own operations know.
    """
    if _doors.is_old_batch(grad):
        padding = -1 if asked.padding_idx is None else asked.padding_idx
        flat = grad.reshape(ids.numel(), math.prod(shape[1:]))
        made = torch.ops.aten.embedding_dense_backward(flat, ids.reshape(-1), shape[0], padding, asked.by_count)
        return made.reshape(shape)
    if _doors.in_transform():
        return TableGradInside.apply(grad, ids, shape, asked)
    if torch.is_grad_enabled():  # a Function under another costs 10 us, which only gradients of gradients need
        return TableGrad.apply(grad, ids, shape, asked)
    return table_grad(grad, ids, shape, asked)


def rows_of(table_grad_grad: Tensor, ids: Tensor, asked: Asked) -> Tensor:
    """Return the gradient of what `table_grad` was given, by operations that have gradients themselves."""
    if table_grad_grad.layout is not torch.strided:
        table_grad_grad = table_grad_grad.to_dense()
    if _doors.is_old_batch(table_grad_grad):
        rows = table_grad_grad.index_select(0, ids.reshape(-1)).reshape(*ids.shape, *table_grad_grad.shape[1:])
    else:
        rows = look_up(table_grad_grad, ids, PLAIN)
    lead = (..., *([None] * (table_grad_grad.dim() - 1)))
    if asked.by_count:
        _, inverse, counts = torch.unique(ids, return_inverse=True, return_counts=True)
        rows = rows / counts[inverse][lead].to(rows.dtype)
    if asked.padding_idx is not None:
        rows = rows.masked_fill((ids == asked.padding_idx)[lead], 0)
    return rows


class Gather(Function):
    """Rows of a table, eager."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, asked: Asked) -> Tensor:
        """Return rows; keep the ids."""
        ctx.save_for_backward(ids)
        ctx.told = table.shape, asked
        if table.dtype is torch.float32 and table.is_cpu:
            return _small_gather(table, ids)
        _doors.require_trainable(table)
        return fastemb.gather(table, ids)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return the gradient of the table."""
        (ids,) = ctx.saved_tensors
        return grad_of_table(grad, ids, *ctx.told), None, None


_gather = _doors.eager_apply(Gather)


class TableGrad(Function):
    """The gradient of a table, eager."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, ids: Tensor, shape: tuple[int, ...], asked: Asked) -> Tensor:
        """Return the gradient of the table; keep the ids."""
        ctx.save_for_backward(ids)
        ctx.asked = asked
        return table_grad(grad, ids, shape, asked)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return rows of the gradient's gradient."""
        return rows_of(grad, ctx.saved_tensors[0], ctx.asked), None, None, None


# Inside of transforms ----------------------------------------------------------------------------------------------


class GatherInside(Function):
    """Rows of a table, inside of transforms; the gradient of the table is dense there."""

    @staticmethod
    def forward(table: Tensor, ids: Tensor, asked: Asked) -> Tensor:
        """Return rows."""
        return fastemb.gather(table, ids)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep the ids."""
        table, ids, asked = inputs
        ctx.save_for_backward(ids)
        ctx.shape, ctx.asked = table.shape, asked

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return the gradient of the table."""
        return TableGradInside.apply(grad, *ctx.saved_tensors, ctx.shape, ctx.asked), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], table: Tensor, ids: Tensor, asked: Asked) -> tuple[Tensor, int]:
        """Look up for all of a batch at once; where each has a table and ids of its own, one by one."""
        of_table, of_ids, _ = in_dims
        if of_table is None:
            return GatherInside.apply(table, ids.movedim(of_ids, 0), asked), 0
        if of_ids is None:  # the rows of one id lie side by side in all tables
            return GatherInside.apply(table.movedim(of_table, 1), ids, asked), ids.dim()
        pairs = zip(table.unbind(of_table), ids.unbind(of_ids), strict=True)
        return torch.stack([GatherInside.apply(*pair, asked) for pair in pairs]), 0


class TableGradInside(Function):
    """The gradient of a table, inside of transforms: always dense."""

    @staticmethod
    def forward(grad: Tensor, ids: Tensor, shape: tuple[int, ...], asked: Asked) -> Tensor:
        """Return the gradient of the table."""
        return table_grad(grad, ids, shape, asked._replace(sparse=False))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep the ids."""
        _, ids, _, asked = inputs
        ctx.save_for_backward(ids)
        ctx.asked = asked

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return rows of the gradient's gradient."""
        return rows_of(grad, ctx.saved_tensors[0], ctx.asked), None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], grad: Tensor, ids: Tensor, shape: tuple[int, ...], asked: Asked
    ) -> tuple[Tensor, int]:
        """Add up the rows of all of a batch at once."""
        of_grad, of_ids, *_ = in_dims
        V, B = shape[0], info.batch_size
        if of_ids is None:  # gradients side by side: ids are sorted once
            grad = grad.movedim(of_grad, ids.dim())
            return TableGradInside.apply(grad, ids, (V, B, *shape[1:]), asked), 1
        ids = ids.movedim(of_ids, 0)
        grad = grad.expand(B, *grad.shape) if of_grad is None else grad.movedim(of_grad, 0)
        # One table after the other; no padding row there, as each table has one.
        first = V * torch.arange(B, device=ids.device).view(-1, *[1] * (ids.dim() - 1))
        if asked.padding_idx is not None:
            grad = grad.masked_fill((ids == asked.padding_idx)[(..., *[None] * (grad.dim() - ids.dim()))], 0)
        both = TableGradInside.apply(grad, ids + first, (B * V, *shape[1:]), asked._replace(padding_idx=None))
        return both.view(B, *shape), 0
