"""``fastemb::embedding_bag`` and its gradients, dense and in rows, as operations of torch."""

from typing import Any

import torch

from .. import _doors
from .._doors import Tensor
from .._functions.bag import Bagged, Slots, bags_of, grads_of

_library = torch.library.Library("fastemb", "FRAGMENT")
_GIVEN = "Tensor table, Tensor ids, Tensor? offsets, Tensor? mask, Tensor? weights"
_ASKED = "str mode, int? padding_idx, bool normalize, bool scale_grad_by_freq, bool sparse"
_library.define(f"embedding_bag({_GIVEN}, {_ASKED}) -> Tensor")
_library.define(f"embedding_bag_backward(Tensor grad, {_GIVEN}, {_ASKED}) -> (Tensor, Tensor)")
_library.define(f"embedding_bag_row_grad(Tensor grad, {_GIVEN}, {_ASKED}) -> (Tensor, Tensor, Tensor)")

_Given = Tensor | None


def embedding_bag(table: Tensor, ids: Tensor, offsets: _Given, mask: _Given, weights: _Given, *asked: Any) -> Tensor:
    """Return bags of rows."""
    weights = None if weights is None else weights.detach()
    return bags_of(table.detach(), Slots(ids, offsets, mask), weights, Bagged(*asked))


def row_grads(
    grad: Tensor, table: Tensor, ids: Tensor, offsets: _Given, mask: _Given, weights: _Given, *asked: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return which rows of the table have a gradient, these, and that of the weights, which may be empty."""
    weights = None if weights is None else weights.detach()
    given = grad.detach(), table.detach(), Slots(ids, offsets, mask), weights, Bagged(*asked)
    unique, rows, of_weights = grads_of(*given)
    return unique.long(), rows.to(table.dtype), grad.new_empty(0) if of_weights is None else of_weights


def grads(grad: Tensor, table: Tensor, *given: Any) -> tuple[Tensor, Tensor]:
    """Return the gradients of the table, dense, and of the weights, which may be empty."""
    unique, rows, of_weights = row_grads(grad, table, *given)
    return _doors.dense(unique, rows, table.shape, table.dtype), of_weights


_library.impl("embedding_bag", embedding_bag, "CompositeExplicitAutograd")
_library.impl("embedding_bag_backward", grads, "CompositeExplicitAutograd")
_library.impl("embedding_bag_row_grad", row_grads, "CompositeExplicitAutograd")


@torch.library.register_fake("fastemb::embedding_bag", lib=_library)
def _bag_shape(
    table: Tensor, ids: Tensor, offsets: _Given, mask: _Given, weights: _Given, mode: str, *_: Any
) -> Tensor:
    S = ids.shape[0] if offsets is None else offsets.shape[0] - 1
    return table.new_empty((S, table.shape[1] * (2 if mode == "mean_max" else 1)))


def _like_weights(grad: Tensor, weights: _Given) -> Tensor:
    return grad.new_empty(0) if weights is None else torch.empty_like(weights, memory_format=torch.contiguous_format)


@torch.library.register_fake("fastemb::embedding_bag_backward", lib=_library)
def _grads_shape(
    grad: Tensor, table: Tensor, ids: Tensor, offsets: _Given, mask: _Given, weights: _Given, *_: Any
) -> tuple[Tensor, Tensor]:
    return table.new_empty(table.shape), _like_weights(grad, weights)


@torch.library.register_fake("fastemb::embedding_bag_row_grad", lib=_library)
def _row_grads_shape(
    grad: Tensor, table: Tensor, ids: Tensor, offsets: _Given, mask: _Given, weights: _Given, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    U = torch.library.get_ctx().new_dynamic_size()
    unique, rows = ids.new_empty((U,), dtype=torch.int64), table.new_empty((U, table.shape[1]))
    return unique, rows, _like_weights(grad, weights)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.asked = Bagged(*inputs[5:])


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    table, ids, offsets, mask, weights = ctx.saved_tensors
    given = grad, table, ids, offsets, mask, weights, *ctx.asked
    if ctx.asked.sparse:
        unique, rows, of_weights = torch.ops.fastemb.embedding_bag_row_grad(*given)
        of_table = _doors.sparse(unique, rows, table.shape, table.dtype)
    else:
        of_table, of_weights = torch.ops.fastemb.embedding_bag_backward(*given)
    return of_table, None, None, None, None if weights is None else of_weights, *[None] * len(ctx.asked)


torch.library.register_autograd("fastemb::embedding_bag", _backward, setup_context=_keep, lib=_library)
