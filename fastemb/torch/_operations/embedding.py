"""`embed` as an operation of torch, for ``torch.compile`` and export: these trace it by its name and its shapes."""

from typing import Any

import torch

from .._functions.embedding import IDS, Arrays, Options, backward, composed, forward

_GIVEN = (
    "Tensor table, Tensor? positions, Tensor? segments, Tensor? weight, Tensor? bias, Tensor ids, "
    "Tensor? position_ids, Tensor? segment_ids, Tensor? mask, float scale, str norm, float eps, int? padding_idx, "
    "int? position_padding"
)
_COUNT = len(Arrays._fields)
torch.library.define("fastemb::embed", f"({_GIVEN}) -> Tensor")
torch.library.define("fastemb::embed_backward", f"(Tensor grad, {_GIVEN}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)")


@torch.library.impl("fastemb::embed", "CompositeExplicitAutograd")
def _embed(*given: Any) -> Any:
    with torch.no_grad():  # autograd has its own rule below, and here is not to be asked
        return forward(Arrays._make(given[:_COUNT]), Options._make(given[_COUNT:]))


@torch.library.register_fake("fastemb::embed")
def _(*given: Any) -> Any:
    arrays = Arrays._make(given[:_COUNT])
    return arrays.table.new_empty((*arrays.ids.shape, arrays.table.shape[-1]))


@torch.library.impl("fastemb::embed_backward", "CompositeExplicitAutograd")
def _embed_backward(grad: Any, *given: Any) -> Any:
    arrays = Arrays._make(given[:_COUNT])
    with torch.no_grad():
        grads = backward(grad, arrays, Options._make(given[_COUNT:]))
    return tuple(grad.new_empty(0) if one is None else one for one in grads)


@torch.library.register_fake("fastemb::embed_backward")
def _(grad: Any, *given: Any) -> Any:
    return tuple(grad.new_empty(0) if one is None else one.new_empty(one.shape) for one in given[: IDS + 1])


def _setup_context(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:_COUNT])
    ctx.options = inputs[_COUNT:]


def _autograd(ctx: Any, grad: Any) -> Any:
    arrays, options = Arrays._make(ctx.saved_tensors), Options._make(ctx.options)
    if torch.is_grad_enabled():
        grads = composed(grad, arrays, options)
    else:
        found = torch.ops.fastemb.embed_backward(grad, *arrays, *options)
        grads = [g if given is not None else None for g, given in zip(found, arrays, strict=False)]
    return *grads, *[None] * (_COUNT - len(grads) + len(options))


torch.library.register_autograd("fastemb::embed", _autograd, setup_context=_setup_context)
