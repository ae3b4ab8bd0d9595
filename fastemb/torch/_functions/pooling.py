"""`pool` for autograd: its gradients by `pool_backward`, and the gradients of these by torch's own operations."""

from typing import Any, NamedTuple

import torch

import fastemb

from .. import _doors, _views
from .._doors import Function


class Options(NamedTuple):
    """What a `pool` was asked for beside its arrays."""

    mode: str
    normalize: bool


class Arrays(NamedTuple):
    """The arrays of a `pool`; None for those that were not given. The first two have gradients."""

    x: Any  # (B, T, D), or (N, D) with offsets
    weights: Any  # (B, T) or (N,)
    mask: Any  # (B, T)
    lengths: Any  # (B,)
    offsets: Any  # (S+1,)


def pool(arrays: Arrays, options: Options) -> Any:
    """Pool rows, through the door of the call."""
    way = _doors.door(*arrays)
    if way is _doors.EAGER:
        if _doors.needs_graph(*arrays[:2]):
            return _pool(*arrays[:2], arrays[2:], options)
        return forward(arrays, options)
    if way is _doors.TRANSFORM:
        return PoolInside.apply(*arrays, options)
    return torch.ops.fastemb.pool.default(*arrays, *options)


def forward(arrays: Arrays, options: Options) -> Any:
    """Return what `pool` makes of tensors that autograd is not looking at."""
    seen = _views.views(arrays)
    x, weights, mask, lengths, offsets = seen or arrays
    mode: Any = options.mode
    rows: Any = fastemb.pool(
        x, mask, lengths=lengths, offsets=offsets, mode=mode, weights=weights, normalize=options.normalize
    )
    return rows if seen is None else torch.from_numpy(rows)


def backward(grad: Any, arrays: Arrays, options: Options) -> tuple[Any, Any]:
    """Return the gradients of x and weights by `pool_backward`; None where there are no weights."""
    grad = _views.packed(grad)
    seen = _views.views((grad, *arrays))
    g, x, weights, mask, lengths, offsets = seen or (grad, *arrays)
    mode: Any = options.mode
    found: Any = fastemb.pool_backward(
        g, x, mask, lengths=lengths, offsets=offsets, mode=mode, weights=weights, normalize=options.normalize
    )
    by_x, by_weight = found if seen is None else _views.tensors(*found)
    return by_x, None if by_weight is None else by_weight.to(arrays.weights.dtype)


# The same gradients in operations that torch can differentiate ----------------------------------------------------


def composed(grad: Any, arrays: Arrays, options: Options) -> tuple[Any, Any]:
    """Return what `backward` does, as a graph of torch's operations: for double backward and inside of torch.func."""
    given, weights, mask, lengths, offsets = arrays
    g = grad.to(torch.float64 if given.dtype == torch.float64 else torch.float32)
    x, w, kept, slots = given.to(g.dtype), None if weights is None else weights.to(g.dtype), None, None
    if offsets is not None:
        slots, kept = _slots(offsets)
        x, w = x[slots], None if w is None else w[slots]
    elif mask is not None:
        kept = mask != 0
    else:
        places = torch.arange(x.shape[1], device=x.device)
        kept = (places < (x.shape[1] if lengths is None else lengths.unsqueeze(-1))).expand(x.shape[:2])
    x = torch.where(kept.unsqueeze(-1), x, 0.0)
    w = None if w is None else torch.where(kept, w, 0.0)
    modes = ("mean", "max") if options.mode == "mean_max" else (options.mode,)
    shares = [_shares(x, kept, w, mode) for mode in modes]
    pooled = [(share * x).sum(1) for share in shares]
    if options.normalize:
        g = _normalized(torch.cat(pooled, -1), g)
    parts = g.split(x.shape[-1], -1) if g.shape[-1] else [g] * len(modes)
    by_x = sum(share * part.unsqueeze(1) for share, part in zip(shares, parts, strict=True))
    by_weight = None
    if w is not None:
        from_mean = x - pooled[0].unsqueeze(1) if options.mode == "mean" else x
        by_weight = (from_mean * parts[0].unsqueeze(1)).sum(-1)
        if options.mode == "mean":
            by_weight = _over(by_weight, w.sum(1, keepdim=True))
        by_weight = torch.where(kept, by_weight, 0.0)
    if slots is not None:  # what is no slot has a share of 0, and adds nothing to row 0
        by_x = torch.zeros_like(given, dtype=g.dtype).index_add(0, slots.reshape(-1), by_x.reshape(-1, by_x.shape[-1]))
        if by_weight is not None:
            by_weight = torch.zeros_like(weights, dtype=g.dtype).index_add(0, slots.reshape(-1), by_weight.reshape(-1))
    return by_x.to(given.dtype), None if by_weight is None else by_weight.to(weights.dtype)


def _slots(offsets: Any) -> tuple[Any, Any]:
    """Return the rows of each text in a padded rectangle, and which places of it hold one."""
    offsets = offsets.long()
    lengths = offsets.diff()
    longest = int(lengths.max()) if lengths.numel() else 0
    places = torch.arange(longest, device=offsets.device)
    kept = places < lengths.unsqueeze(-1)
    return torch.where(kept, offsets[:-1].unsqueeze(-1) + places, 0), kept


def _shares(x: Any, kept: Any, weights: Any, mode: str) -> Any:
    """Return by what each row is multiplied in the sum that is the result: (B, T, 1), of maxima (B, T, D)."""
    if mode == "max":
        top = torch.where(kept.unsqueeze(-1), x.detach(), -torch.inf)
        found = (top == top.amax(1, keepdim=True)) | top.isnan()
        first = found.int().argmax(1, keepdim=True)
        places = torch.arange(x.shape[1], device=x.device).view(1, -1, 1)
        return ((places == first) & kept.unsqueeze(-1)).to(x.dtype)
    ones = kept.to(x.dtype)
    place = kept.long().cumsum(-1)
    if mode in ("cls", "last"):
        shares = ((place == (1 if mode == "cls" else place[:, -1:])) & kept).to(x.dtype)
    elif mode == "weighted_mean":
        # From the first row that is kept on every place counts, kept or not.
        weights = torch.where(kept, (place > 0).to(x.dtype).cumsum(-1), 0.0)
        shares = _over(weights, weights.sum(1, keepdim=True))
    elif mode == "mean_sqrt_len":
        shares = ones * ones.sum(1, keepdim=True).clamp(min=1).rsqrt()
    else:
        shares = ones if weights is None else weights
        if mode == "mean":
            shares = _over(shares, shares.sum(1, keepdim=True))
    return shares.unsqueeze(-1)


def _over(numbers: Any, by: Any) -> Any:
    """Return numbers divided by what may be 0, and zeros then."""
    zero = by == 0
    return torch.where(zero, 0.0, numbers / torch.where(zero, 1.0, by))


def _normalized(rows: Any, grad: Any) -> Any:
    """Return the gradient of rows that were scaled to length one."""
    squares = rows.square().sum(-1, keepdim=True)
    zero = squares == 0
    inverse = torch.where(zero, 0.0, torch.where(zero, 1.0, squares).rsqrt())
    unit = rows * inverse
    return inverse * (grad - unit * (unit * grad).sum(-1, keepdim=True))


# Functions --------------------------------------------------------------------------------------------------------


class Pool(Function):
    """`pool` where no transform of torch.func is active."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Any:
        """Return one row for each text."""
        arrays, options = Arrays(*given[:2], *given[2]), given[3]
        ctx.save_for_backward(*arrays)
        ctx.options = options
        return forward(arrays, options)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradients of what has one."""
        find = composed if torch.is_grad_enabled() or _doors.is_batch(grad) else backward
        return *find(grad, Arrays._make(ctx.saved_tensors), ctx.options), None, None


_pool = _doors.eager_apply(Pool)


class PoolInside(Function):
    """`pool` inside of torch.func."""

    @staticmethod
    def forward(*given: Any) -> Any:
        """Return one row for each text."""
        return forward(Arrays._make(given[:-1]), given[-1])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what was given."""
        ctx.save_for_backward(*inputs[:-1])
        ctx.options = inputs[-1]

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradients of what has one."""
        return *composed(grad, Arrays._make(ctx.saved_tensors), ctx.options), None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Any) -> Any:
        """Of padded rows one call, with the axis as so many more texts; of rows with offsets a call for each."""
        arrays, axes, options = Arrays._make(given[:-1]), in_dims[:-1], given[-1]
        if arrays.offsets is not None:
            return _doors.one_by_one(PoolInside.apply, info.batch_size, in_dims, *given)
        ranks = 3, 2, 2, 1, 1
        moved = [
            one if one is None else _more_texts(_doors.in_front(one, axis, rank), info.batch_size)
            for one, axis, rank in zip(arrays, axes, ranks, strict=True)
        ]
        rows = PoolInside.apply(*moved, options)
        return rows.unflatten(0, (info.batch_size, -1) if rows.shape[0] else (info.batch_size, 0)), 0


def _more_texts(array: Any, batch: int) -> Any:
    return array.expand(batch, *array.shape[1:]).flatten(0, 1)
