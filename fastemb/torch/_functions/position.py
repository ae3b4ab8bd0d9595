"""`rope` for autograd: the gradient of a rotation is the rotation back, so every order of gradient is `rope` again."""

from typing import Any, NamedTuple

import torch

import fastemb

from .. import _doors, _views
from .._doors import Function


class Options(NamedTuple):
    """What a `rope` was asked for beside its arrays."""

    base: float
    scale: float
    interleaved: bool
    inverse: bool


class Arrays(NamedTuple):
    """The arrays of a `rope`; None for those that were not given. The first has a gradient."""

    x: Any  # (..., T, D)
    position_ids: Any
    inv_freq: Any  # (D/2,)


def rope(arrays: Arrays, options: Options) -> Any:
    """Turn rows, through the door of the call."""
    way = _doors.door(*arrays)
    if way is _doors.EAGER:
        return _rope(*arrays, options) if _doors.needs_graph(arrays.x) else forward(arrays, options)
    if way is _doors.TRANSFORM:
        return RopeInside.apply(*arrays, options)
    return torch.ops.fastemb.rope.default(*arrays, *options)


def forward(arrays: Arrays, options: Options) -> Any:
    """Return what `rope` makes of tensors that autograd is not looking at."""
    seen = _views.views(arrays)
    x, position_ids, inv_freq = seen or arrays
    base, scale, interleaved, inverse = options
    turned: Any = fastemb.rope(
        x, position_ids, base=base, inv_freq=inv_freq, scale=scale, interleaved=interleaved, inverse=inverse
    )
    return turned if seen is None else torch.from_numpy(turned)


def back(options: Options) -> Options:
    """Return the options of the rotation that makes the gradient."""
    return options._replace(inverse=not options.inverse)


def composed(arrays: Arrays, options: Options) -> Any:
    """Turn rows by torch's operations: of a batch of gradients, in which nobody else sees numbers.

    Cosines and sines are what becomes of pairs (1, 0).
    """
    x = arrays.x
    half = x.shape[-1] // 2
    pairs, axis = ((half, 2), -1) if options.interleaved else ((2, half), -2)
    pairs = *x.shape[:-1], *pairs
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    ones = torch.zeros(x.shape, dtype=wide, device=x.device)
    ones.view(pairs).select(axis, 0).fill_(1)
    cos, sin = forward(arrays._replace(x=ones), options).view(pairs).unbind(axis)
    rows = x.to(wide).reshape(pairs)  # of older batches' operations there are few
    first, second = rows.select(axis, 0), rows.select(axis, 1)
    turned = torch.stack([first * cos - second * sin, second * cos + first * sin], axis)
    return turned.reshape(x.shape).to(x.dtype)


class Rope(Function):
    """`rope` where no transform of torch.func is active."""

    @staticmethod
    def forward(ctx: Any, x: Any, position_ids: Any, inv_freq: Any, options: Options) -> Any:
        """Return rows that were turned."""
        ctx.save_for_backward(position_ids, inv_freq)
        ctx.options = options
        return forward(Arrays(x, position_ids, inv_freq), options)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradients of what has one."""
        options = back(ctx.options)
        if _doors.in_transform():
            return RopeInside.apply(grad, *ctx.saved_tensors, options), None, None, None
        if _doors.is_old_batch(grad):
            return composed(Arrays(grad, *ctx.saved_tensors), options), None, None, None
        arrays = Arrays(_views.packed(grad), *ctx.saved_tensors)
        turned = Rope.apply(*arrays, options) if torch.is_grad_enabled() else forward(arrays, options)
        return turned, None, None, None


_rope = _doors.eager_apply(Rope)


class RopeInside(Function):
    """`rope` inside of torch.func."""

    @staticmethod
    def forward(x: Any, position_ids: Any, inv_freq: Any, options: Options) -> Any:
        """Return rows that were turned."""
        return forward(Arrays(x, position_ids, inv_freq), options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what was given."""
        ctx.save_for_backward(*inputs[1:3])
        ctx.options = inputs[3]

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradients of what has one."""
        return RopeInside.apply(grad, *ctx.saved_tensors, back(ctx.options)), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, position_ids: Any, inv_freq: Any, options: Options) -> Any:
        """One call with the axis in front of the others where frequencies have none; else a call for each of them."""
        along_x, along_ids, along_freq, _ = in_dims
        if along_freq is not None:
            given = x, position_ids, inv_freq
            return _doors.one_by_one(RopeInside.apply, info.batch_size, in_dims, *given, options)
        whole = x.unsqueeze(0).expand(info.batch_size, *x.shape) if along_x is None else x.movedim(along_x, 0)
        rank = whole.dim() - 2  # axes of the positions of one call
        if not rank and position_ids is None:  # or they would count the batch
            raise ValueError(f"x of shape {tuple(whole.shape[1:])} has no axis of positions; give position_ids")
        if position_ids is not None:
            inner = position_ids.dim() - (along_ids is not None)
            if rank == 3 and inner == 2:  # (B, T) beside (B, heads, T, D)
                position_ids = position_ids.unsqueeze(-2) if along_ids is None else position_ids.movedim(along_ids, 0)
                position_ids, along_ids = (position_ids, None) if along_ids is None else (position_ids.unsqueeze(-2), 0)
            position_ids = _doors.in_front(position_ids, along_ids, rank)
        return RopeInside.apply(whole, position_ids, inv_freq, options), 0
