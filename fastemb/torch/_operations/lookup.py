"""``fastemb::gather`` and the gradients of its table, dense and in rows, as operations of torch."""

from typing import Any

import torch

import fastemb

from .. import _doors
from .._doors import Tensor
from .._functions.lookup import Asked, rows_of, table_grad

_library = torch.library.Library("fastemb", "FRAGMENT")
_ASKED = "int? padding_idx, bool scale_grad_by_freq"  # no defaults: torch leaves out arguments that equal one
_library.define(f"gather(Tensor table, Tensor ids, {_ASKED}, bool sparse) -> Tensor")
_library.define(f"table_grad(Tensor grad, Tensor ids, SymInt[] shape, {_ASKED}) -> Tensor")
_library.define(f"row_grad(Tensor grad, Tensor ids, {_ASKED}) -> (Tensor, Tensor)")


def gather(table: Tensor, ids: Tensor, padding_idx: int | None, by_count: bool, sparse: bool) -> Tensor:
    """Return rows of a table."""
    return fastemb.gather(table.detach(), ids)


def dense_grad(grad: Tensor, ids: Tensor, shape: tuple[int, ...], padding_idx: int | None, by_count: bool) -> Tensor:
    """Return the gradient of a table, dense."""
    return table_grad(grad.detach(), ids, tuple(shape), Asked(padding_idx, by_count, False))


def row_grad(grad: Tensor, ids: Tensor, padding_idx: int | None, by_count: bool) -> tuple[Tensor, Tensor]:
    """Return the rows of a table that have a gradient, and these."""
    unique: Any  # tensors, as the arrays given are
    rows: Any
    unique, rows = fastemb.row_grad(ids, grad.detach(), padding_idx=padding_idx, scale_grad_by_freq=by_count)
    return unique.long(), rows.to(grad.dtype)


for _name, _impl in (("gather", gather), ("table_grad", dense_grad), ("row_grad", row_grad)):
    _library.impl(_name, _impl, "CompositeExplicitAutograd")


@torch.library.register_fake("fastemb::gather", lib=_library)
def _gather_shape(table: Tensor, ids: Tensor, *asked: Any) -> Tensor:
    return table.new_empty((*ids.shape, *table.shape[1:]))


@torch.library.register_fake("fastemb::table_grad", lib=_library)
def _table_grad_shape(grad: Tensor, ids: Tensor, shape: tuple[int, ...], *asked: Any) -> Tensor:
    return grad.new_empty(shape)


@torch.library.register_fake("fastemb::row_grad", lib=_library)
def _row_grad_shape(grad: Tensor, ids: Tensor, *asked: Any) -> tuple[Tensor, Tensor]:
    U = torch.library.get_ctx().new_dynamic_size()
    return ids.new_empty((U,), dtype=torch.int64), grad.new_empty((U, *grad.shape[ids.dim() :]))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    table, ids, padding_idx, by_count, sparse = inputs
    ctx.save_for_backward(ids)
    ctx.shape, ctx.asked = table.shape, Asked(padding_idx, by_count, sparse)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    (ids,), asked, shape = ctx.saved_tensors, ctx.asked, ctx.shape
    if asked.sparse:
        index, rows = torch.ops.fastemb.row_grad(grad, ids, asked.padding_idx, asked.by_count)
        made = _doors.sparse(index, rows, shape, grad.dtype)
    else:
        made = torch.ops.fastemb.table_grad(grad, ids, shape, asked.padding_idx, asked.by_count)
    return made, None, None, None, None


def _keep_ids(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, ids, _, padding_idx, by_count = inputs
    ctx.save_for_backward(ids)
    ctx.asked = Asked(padding_idx, by_count, False)


def _backward_of_grad(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return rows_of(grad, ctx.saved_tensors[0], ctx.asked), None, None, None, None


torch.library.register_autograd("fastemb::gather", _backward, setup_context=_keep, lib=_library)
torch.library.register_autograd("fastemb::table_grad", _backward_of_grad, setup_context=_keep_ids, lib=_library)
