"""`pool` as an operation of torch, for ``torch.compile`` and export."""

from typing import Any

import torch

from .._functions.pooling import Arrays, Options, backward, composed, forward

_GIVEN = "Tensor x, Tensor? weights, Tensor? mask, Tensor? lengths, Tensor? offsets, str mode, bool normalize"
_COUNT = len(Arrays._fields)
torch.library.define("fastemb::pool", f"({_GIVEN}) -> Tensor")
torch.library.define("fastemb::pool_backward", f"(Tensor grad, {_GIVEN}) -> (Tensor, Tensor)")


@torch.library.impl("fastemb::pool", "CompositeExplicitAutograd")
def _pool(*given: Any) -> Any:
    with torch.no_grad():
        return forward(Arrays._make(given[:_COUNT]), Options._make(given[_COUNT:]))


@torch.library.register_fake("fastemb::pool")
def _(x: Any, weights: Any, mask: Any, lengths: Any, offsets: Any, mode: str, normalize: bool) -> Any:
    texts = x.shape[0] if offsets is None else offsets.shape[0] - 1
    return x.new_empty((texts, x.shape[-1] * (2 if mode == "mean_max" else 1)))


@torch.library.impl("fastemb::pool_backward", "CompositeExplicitAutograd")
def _pool_backward(grad: Any, *given: Any) -> Any:
    with torch.no_grad():
        by_x, by_weight = backward(grad, Arrays._make(given[:_COUNT]), Options._make(given[_COUNT:]))
    return by_x, grad.new_empty(0) if by_weight is None else by_weight


@torch.library.register_fake("fastemb::pool_backward")
def _(grad: Any, x: Any, weights: Any, *given: Any) -> Any:
    return x.new_empty(x.shape), grad.new_empty(0) if weights is None else weights.new_empty(weights.shape)


def _setup_context(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:_COUNT])
    ctx.options = inputs[_COUNT:]


def _autograd(ctx: Any, grad: Any) -> Any:
    arrays, options = Arrays._make(ctx.saved_tensors), Options._make(ctx.options)
    if torch.is_grad_enabled():
        by_x, by_weight = composed(grad, arrays, options)
    else:
        by_x, by_weight = torch.ops.fastemb.pool_backward(grad, *arrays, *options)
    return by_x, None if arrays.weights is None else by_weight, None, None, None, None, None


torch.library.register_autograd("fastemb::pool", _autograd, setup_context=_setup_context)
