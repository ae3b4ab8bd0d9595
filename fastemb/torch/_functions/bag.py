"""Bags of rows, and their gradients.

``Bag`` is for eager calls. Inside of transforms, and where gradients of gradients are asked for, the rows of all ids
are made and reduced by torch's operations, which have all such gradients: slower by far, and as much memory as there
are ids. `reduce_rows` is these operations.
"""

from typing import Any, NamedTuple

import torch

import fastemb
from fastemb import _bags, _checks

from .. import _doors
from .._doors import Function, Tensor
from .lookup import Asked, grad_of_table, look_up


class Bagged(NamedTuple):
    """How bags are made, and what the gradient of the table has to be."""

    mode: Any
    padding_idx: int | None  # never negative
    normalize: bool
    by_count: bool
    sparse: bool

    @property
    def reads_rows(self) -> bool:
        """Whether gradients depend on the values of the table, and not on its shape alone."""
        return self.normalize or self.mode in ("max", "mean_max")

    @property
    def table(self) -> Asked:
        """What the gradient of the table has to be."""
        return Asked(self.padding_idx, self.by_count, self.sparse)


class Slots(NamedTuple):
    """The tensors that say which rows are in which bag."""

    ids: Tensor
    offsets: Tensor | None  # one more than there are bags
    mask: Tensor | None


def bag(table: Tensor, slots: Slots, weights: Tensor | None, asked: Bagged) -> Tensor:
    """Reduce rows to bags, through the door of the call."""
    way = _doors.door(table, *slots, weights)
    if way is _doors.EAGER:
        if _doors.needs_graph(table, weights):
            return _bag(table, weights, *slots, asked)
        return bags_of(table, slots, weights, asked)
    if way is _doors.TRANSFORM:
        return by_parts(table, slots, weights, asked)
    return torch.ops.fastemb.embedding_bag.default(table, *slots, weights, *asked)


def bags_of(table: Tensor, slots: Slots, weights: Tensor | None, asked: Bagged) -> Any:
    """Return bags; autograd hears nothing of it."""
    return fastemb.embedding_bag(
        table, slots.ids, slots.offsets, mask=slots.mask, mode=asked.mode, weights=weights,
        padding_idx=asked.padding_idx, normalize=asked.normalize,
    )  # fmt: skip


def grads_of(
    grad: Tensor, table: Tensor, slots: Slots, weights: Tensor | None, asked: Bagged
) -> tuple[Any, Any, Tensor | None]:
    """Return the rows of the table that have a gradient, these gradients, and that of the weights."""
    (ids, rows), by_weight = fastemb.embedding_bag_backward(
        grad, table, slots.ids, slots.offsets, mask=slots.mask, mode=asked.mode, weights=weights,
        padding_idx=asked.padding_idx, normalize=asked.normalize, scale_grad_by_freq=asked.by_count,
    )  # fmt: skip
    return ids, rows, None if weights is None else torch.as_tensor(by_weight).to(weights.dtype)


class Bag(Function):
    """Bags of rows, eager."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, weights: Tensor | None, ids: Tensor, offsets: Tensor | None, mask: Tensor | None,
        asked: Bagged,
    ) -> Tensor:  # fmt: skip
        """Return bags; keep what gradients depend on."""
        reads_rows = asked.reads_rows or ctx.needs_input_grad[1]  # that of the weights
        ctx.save_for_backward(ids, offsets, mask, weights, table if reads_rows else None)
        ctx.asked, ctx.table = asked, None if reads_rows else table.detach()  # which may change in between
        return bags_of(table, Slots(ids, offsets, mask), weights, asked)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return the gradients of the table and of the weights."""
        ids, offsets, mask, weights, table = ctx.saved_tensors
        slots, asked = Slots(ids, offsets, mask), ctx.asked
        if torch.is_grad_enabled() or _doors.in_transform() or _doors.is_old_batch(grad):
            of_table, of_weights = _grads_by_parts(grad, table, ctx.table, slots, weights, asked)
        else:
            table = ctx.table if table is None else table
            unique, rows, of_weights = grads_of(grad, table, slots, weights, asked)
            of_table = None
            if ctx.needs_input_grad[0]:
                of_table = (_doors.sparse if asked.sparse else _doors.dense)(unique, rows, table.shape, table.dtype)
        return of_table, of_weights, None, None, None, None


_bag = _doors.eager_apply(Bag)


# By torch's operations -----------------------------------------------------------------------------------------------


def by_parts(table: Tensor, slots: Slots, weights: Tensor | None, asked: Bagged) -> Tensor:
    """Return bags of rows that are looked up first."""
    _bags.require_mode(asked.mode, weights)
    if not table.is_floating_point():
        raise TypeError(f"table must have a float dtype, got {table.dtype}")
    if table.dim() != 2:
        raise ValueError(f"table must have shape (V, D), got {tuple(table.shape)}")
    parts = _Parts.of(slots, weights, asked)
    rows = look_up(table, parts.ids, asked.table._replace(sparse=False))
    return reduce_rows(rows, parts, asked)


def _grads_by_parts(
    grad: Tensor, table: Tensor | None, shape_of: Tensor | None, slots: Slots, weights: Tensor | None, asked: Bagged
) -> tuple[Tensor, Tensor | None]:
    """Return gradients that have gradients themselves."""
    if _doors.in_transform():
        return _grads_inside(grad, table, shape_of, slots, weights, asked)
    with torch.enable_grad():
        parts = _Parts.of(slots, weights, asked)
        rows = _rows_of_slots(table, shape_of, parts, asked)
        leaves = [rows if rows.requires_grad else rows.requires_grad_()]
        if weights is not None and weights.requires_grad:
            leaves.append(weights)
        again = not _doors.is_old_batch(grad)
        of_rows, *rest = torch.autograd.grad(reduce_rows(rows, parts, asked), leaves, grad, create_graph=again)
    shape = (table if table is not None else shape_of).shape  # type: ignore[union-attr]
    return grad_of_table(of_rows, parts.ids, shape, asked.table), rest[0] if rest else None


def _grads_inside(
    grad: Tensor, table: Tensor | None, shape_of: Tensor | None, slots: Slots, weights: Tensor | None, asked: Bagged
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients of an eager call, asked for inside of a transform."""
    parts = _Parts.of(slots, weights, asked)
    rows = _rows_of_slots(table, shape_of, parts, asked)

    def bags(rows: Tensor, weights: Tensor | None) -> Tensor:
        return reduce_rows(rows, parts._replace(weights=weights), asked)

    shape = (table if table is not None else shape_of).shape  # type: ignore[union-attr]
    if weights is None or not weights.requires_grad:
        (of_rows,) = torch.func.vjp(lambda rows: bags(rows, parts.weights), rows)[1](grad)
        return grad_of_table(of_rows, parts.ids, shape, asked.table), None
    of_rows, of_weights = torch.func.vjp(bags, rows, parts.weights)[1](grad)
    return grad_of_table(of_rows, parts.ids, shape, asked.table), of_weights.view(weights.shape)


def _rows_of_slots(table: Tensor | None, shape_of: Tensor | None, parts: "_Parts", asked: Bagged) -> Tensor:
    """Return the rows of all ids; where gradients do not depend on them, zeros."""
    if table is not None:
        return look_up(table, parts.ids, asked.table)
    assert shape_of is not None
    return shape_of.new_zeros((len(parts.ids), shape_of.shape[1]))


class _Parts(NamedTuple):
    """Flat ids, and to which bag each belongs."""

    ids: Tensor  # (N,); where an id is not kept, of a row that there is
    weights: Tensor | None  # (N,)
    segment: Tensor  # (N,)
    kept: Tensor  # (N,), bool
    S: int

    @classmethod
    def of(cls, slots: Slots, weights: Tensor | None, asked: Bagged) -> "_Parts":
        ids, offsets, mask = slots
        if asked.by_count and (mask is not None or asked.mode in ("cls", "last")):
            what = "with a mask" if mask is not None else f"in mode {asked.mode!r}"
            raise NotImplementedError(
                f"scale_grad_by_freq {what} has no gradient of a gradient, and none inside of transforms: leave it out"
            )
        for name, one in (("offsets", offsets), ("mask", mask)):
            if one is not None and one.is_floating_point():
                raise TypeError(f"{name} must have an integer dtype, got {one.dtype}")
        _bags.require_slots(ids, offsets, mask)
        _checks.require_shape(mask, tuple(ids.shape), "mask")
        _checks.require_shape(weights, tuple(ids.shape), "weights", ", one for each row")
        N, slot = ids.numel(), torch.arange(ids.numel(), device=ids.device)
        if offsets is None:
            S = ids.shape[0]
            segment = slot // max(ids.shape[1], 1)
        else:
            S = offsets.shape[0] - 1
            ends = offsets[1:].to(torch.int64)  # which torch.searchsorted does not take in batches without a word
            past = torch.zeros(N + 1, dtype=torch.int64, device=ids.device).index_add(0, ends, torch.ones_like(ends))
            segment = past.cumsum(0)[:N]
        flat = ids.reshape(N)
        kept = torch.ones_like(flat, dtype=torch.bool) if mask is None else mask.reshape(N) != 0
        if mask is not None:
            flat = torch.where(kept, flat, 0 if asked.padding_idx is None else asked.padding_idx)
        if asked.padding_idx is not None:
            kept = kept & (flat != asked.padding_idx)
        return cls(flat, None if weights is None else weights.reshape(N), segment, kept, S)


def reduce_rows(rows: Tensor, parts: _Parts, asked: Bagged) -> Tensor:
    """Return bags of rows (N, D), by operations that have gradients of any order."""
    wide = rows if rows.dtype is torch.float64 else rows.float()
    if not len(parts.ids):
        out = wide.new_zeros((parts.S, wide.shape[1] * (2 if asked.mode == "mean_max" else 1)))
    elif asked.mode == "mean_max":
        out = torch.cat([_sums(wide, parts, "mean"), _maxima(wide, parts)], 1)
    else:
        out = _maxima(wide, parts) if asked.mode == "max" else _sums(wide, parts, asked.mode)
    if asked.normalize:
        length = torch.linalg.vector_norm(out, dim=1, keepdim=True)
        out = out / torch.where(length == 0, 1, length)
    return out.to(rows.dtype)


def _ends(parts: _Parts, which: str) -> Tensor:
    """Return the first or the last slot of each bag that is kept, one before or behind all where none is."""
    slot = torch.arange(len(parts.ids), device=parts.ids.device)
    none = len(parts.ids) if which == "amin" else -1
    ends = torch.full((parts.S,), none, device=slot.device)
    return ends.scatter_reduce(0, parts.segment, torch.where(parts.kept, slot, none), which)


def _sums(rows: Tensor, parts: _Parts, mode: str) -> Tensor:
    """Return the sums of rows times one number for each."""
    segment, one = parts.segment, parts.kept.to(rows.dtype)
    slot = torch.arange(len(one), device=one.device)
    total = rows.new_zeros(parts.S)
    if parts.weights is not None:
        one = torch.where(parts.kept, parts.weights.to(rows.dtype), 0)
    elif mode == "weighted_mean":
        one = one * (slot - _ends(parts, "amin")[segment] + 1)
    elif mode in ("cls", "last"):
        one = (slot == _ends(parts, "amin" if mode == "cls" else "amax")[segment]).to(rows.dtype)
    if mode in ("mean", "weighted_mean", "mean_sqrt_len"):
        total = total.index_add(0, segment, one)
        by = torch.where(total == 0, 1, total)
        by = by.sqrt() if mode == "mean_sqrt_len" else by
        one = torch.where(total[segment] == 0, 0, one / by[segment])
    kept = torch.where(parts.kept[:, None], rows, 0) * one[:, None]
    return rows.new_zeros((parts.S, rows.shape[1])).index_add(0, segment, kept)


def _maxima(rows: Tensor, parts: _Parts) -> Tensor:
    """Return the maxima of rows; the gradient of each goes to the first row that holds it."""
    N, D = rows.shape
    segment = parts.segment[:, None].expand(N, D)
    values = torch.where(parts.kept[:, None], rows.detach(), -torch.inf)
    least = values.new_full((parts.S, D), -torch.inf)
    largest = least.scatter_reduce(0, segment, values, "amax")
    holds = parts.kept[:, None] & ((values == largest[parts.segment]) | values.isnan())
    slot = torch.where(holds, torch.arange(N, device=rows.device)[:, None], N)
    first = torch.full((parts.S, D), N, device=rows.device).scatter_reduce(0, segment, slot, "amin")
    return torch.where(first < N, rows.gather(0, first.clamp(max=N - 1)), 0)
