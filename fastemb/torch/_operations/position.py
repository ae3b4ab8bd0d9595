"""`rope` as an operation of torch, for ``torch.compile`` and export."""

from typing import Any

import torch

from .._functions.position import Arrays, Options, back, forward

torch.library.define(
    "fastemb::rope",
    "(Tensor x, Tensor? position_ids, Tensor? inv_freq, float base, float scale, bool interleaved, bool inverse)"
    " -> Tensor",
)


@torch.library.impl("fastemb::rope", "CompositeExplicitAutograd")
def _rope(x: Any, position_ids: Any, inv_freq: Any, *options: Any) -> Any:
    with torch.no_grad():
        return forward(Arrays(x, position_ids, inv_freq), Options._make(options))


@torch.library.register_fake("fastemb::rope")
def _(x: Any, *given: Any) -> Any:
    return x.new_empty(x.shape)


def _setup_context(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[1:3])
    ctx.options = inputs[3:]


def _autograd(ctx: Any, grad: Any) -> Any:
    turned = torch.ops.fastemb.rope(grad, *ctx.saved_tensors, *back(Options._make(ctx.options)))
    return turned, None, None, None, None, None, None


torch.library.register_autograd("fastemb::rope", _autograd, setup_context=_setup_context)
