"""What an embed was asked for. Types, dtypes and shapes are checked here; no value is looked at."""

from typing import Any, NamedTuple, NoReturn

import numpy as np

from . import _checks, _frameworks
from .ragged import Ragged

#: The kinds of norm: ``LAYER`` subtracts the mean of a row first, ``RMS`` does not.
LAYER, RMS = "layer", "rms"
_FORWARD = object()  # stands for a gradient where none is asked for: None may be what a caller gave


class Norm(NamedTuple):
    """How the rows of a result are normalised."""

    kind: str  # LAYER or RMS
    weight: Any  # (D,)
    bias: Any  # (D,) or None
    eps: float


class Embeds(NamedTuple):
    """One `embed` or `embed_backward` call: the caller's arrays, on the device where they lie. Frozen.

    The result is ``norm(scale * table[ids] + positions[position_ids] + segments[segment_ids])``. Positions and segments
    are the *addends*: tables of which each row of the result gets one row added.
    """

    table: Any  # (V, D) of floats or a QuantizedTable
    ids: Any  # any shape; of a Ragged the flat ids, (N,)
    offsets: Any  # of a Ragged (S+1,), else None
    positions: Any  # (rows, D) or None
    position_ids: Any  # broadcast to the shape of ids; None: 0, 1, ... along the last axis, in each row of a Ragged, or
    #   among the ids that a mask keeps
    segments: Any  # (rows, D) or None
    segment_ids: Any  # broadcast to the shape of ids; None: 0
    mask: Any  # the shape of ids or None; bool or integer, 0 where a row is left out
    scale: float
    norm: Norm | None
    mode: str
    padding_idx: int | None  # of the backward: a row of the table that gets no gradient
    by_count: bool  # of the backward: a row's gradient is divided by how often its id occurs
    shape: tuple[int, ...]  # of the result
    dtype: np.dtype[Any]  # of new results


def of(
    table: Any, ids: Any, positions: Any, position_ids: Any, segments: Any, segment_ids: Any, mask: Any, scale: Any,
    norm: Norm | None, mode: str, padding_idx: Any = None, by_count: Any = False, out: Any = None,
    grad: Any = _FORWARD,
) -> tuple[Embeds, Any]:  # fmt: skip
    """Return what `embed` was asked for, and ``out`` or ``grad`` as an array; of ``norm`` nothing was checked before.

    Of several faults that of a type or dtype is said first, then that of the mode, then those of shapes.
    """
    table = _checks.as_number_table(table)
    ids = _frameworks.lists(ids, Ragged)
    ids, offsets = (ids.ids, ids.offsets) if isinstance(ids, Ragged) else (_checks.as_ids(ids), None)
    positions, position_ids = _typed_addend("position", positions, position_ids)
    segments, segment_ids = _typed_addend("segment", segments, segment_ids)
    mask = None if mask is None else _checks.as_mask(mask)
    scale, norm = _checks.as_real(scale, "scale"), None if norm is None else _typed_norm(norm)
    padding_idx, by_count = _checks.as_padding(padding_idx), _checks.as_flag(by_count, "scale_grad_by_freq")
    if out is not None:
        _checks.require_out(out)
    if grad is not _FORWARD:
        grad = _checks.as_float_table(grad, "grad")
    _checks.require_one_device(
        table=table, ids=ids, positions=positions, position_ids=position_ids, segments=segments,
        segment_ids=segment_ids, mask=mask, **norm_parts(norm), out=out, grad=None if grad is _FORWARD else grad,
    )  # fmt: skip
    _checks.require_word(mode, _checks.ID_MODES, "mode")
    _checks.require_table_shape(table)
    D = table.shape[1]
    if mask is not None and offsets is not None:
        raise ValueError("a Ragged has no place to mask; mask must not be given with it")
    _checks.require_shape(mask, ids.shape, "mask")
    _require_addend("position", positions, position_ids, ids.shape, D)
    _require_addend("segment", segments, segment_ids, ids.shape, D)
    if positions is not None and position_ids is None and offsets is None:
        if not ids.ndim:
            raise ValueError("a single id has no place of its own: positions need position_ids")
        if mask is None:  # else only a room can see how many are kept
            require_rows("position", positions, ids.shape[-1])
    if segments is not None and segment_ids is None:
        require_rows("segment", segments, 1)
    if norm is not None:
        norm = _fitting_norm(norm, D)
    embeds = Embeds(
        table, ids, offsets, positions, position_ids, segments, segment_ids, mask, scale, norm, mode,
        padding_idx, by_count, (*ids.shape, D), _checks.result_dtype(table),
    )  # fmt: skip
    return embeds, check_out(out, embeds) if grad is _FORWARD else check_grad(grad, embeds)


def check_out(out: Any, embeds: Embeds) -> Any:
    """Return ``out``, where there is one, after checking its shape and that it overlaps no other array."""
    if out is None:
        return None
    names = "table", "ids", "offsets", "positions", "position_ids", "segments", "segment_ids", "mask"
    inputs = {name: getattr(embeds, name) for name in names}
    return _checks.check_out(out, embeds.shape, **inputs, **norm_parts(embeds.norm))


def norm_parts(norm: Norm | None) -> dict[str, Any]:
    """Return the arrays of a norm, by the names that errors use."""
    return {} if norm is None else {"norm.weight": norm.weight, "norm.bias": norm.bias}


def check_grad(grad: Any, embeds: Embeds) -> Any:
    """Return ``grad`` after checking that it has the shape of the result."""
    if grad.shape != embeds.shape:
        raise ValueError(f"grad must have shape {embeds.shape} as the result of embed has, got {grad.shape}")
    return grad


def require_rows(what: str, table: Any, count: int) -> None:
    """Refuse an addend, a "position" or a "segment", of less than ``count`` rows. Rooms ask it for a Ragged."""
    if table.shape[0] < count:
        raise ValueError(f"{what}s must have at least {count} rows for these ids, got {table.shape[0]}")


def raise_out_of_range(what: str, ids: Any, position: int, rows: int) -> NoReturn:
    """Raise the IndexError for the id of a "position" or a "segment" at a flat position."""
    raise IndexError(f"{what} {_checks.name_id(ids, position)} is out of range for {what}s of {rows} rows")


def _typed_addend(what: str, table: Any, ids: Any) -> tuple[Any, Any]:
    """Return an addend and its ids as arrays, each None where it was not given."""
    if table is not None:
        table = _checks.as_float_table(table, f"{what}s")
    if ids is not None:
        ids = _frameworks.lists(ids, Ragged)
        ids = ids.ids if isinstance(ids, Ragged) else _checks.as_ids(ids, f"{what}_ids")
    return table, ids


def _require_addend(what: str, table: Any, ids: Any, shape: tuple[int, ...], D: int) -> None:
    """Refuse an addend of another width, ids without an addend, and ids that do not broadcast to ``shape``."""
    if table is None:
        if ids is not None:
            raise ValueError(f"{what}_ids go with {what}s, which were not given")
        return
    if table.ndim != 2 or table.shape[1] != D:
        raise ValueError(f"{what}s must have shape (rows, {D}), as wide as the table, got {table.shape}")
    if ids is not None and not _broadcasts(ids.shape, shape):
        raise ValueError(f"{what}_ids must broadcast to the shape of ids, {shape}, got {ids.shape}")


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether an array of one shape can be broadcast to another."""
    axes = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(length in (1, wanted) for length, wanted in axes)


def _typed_norm(norm: Norm) -> Norm:
    """Return a norm whose weight and bias are arrays of floats and whose eps is a real number."""
    weight = _checks.as_float_table(norm.weight, "norm.weight")
    bias = None if norm.bias is None else _checks.as_float_table(norm.bias, "norm.bias")
    _checks.as_real(norm.eps, "norm.eps")
    return Norm(norm.kind, weight, bias, norm.eps)


def _fitting_norm(norm: Norm, D: int) -> Norm:
    """Return a norm with eps as a float; weight and bias must be one number for each column, eps at least 0."""
    for name, values in (("weight", norm.weight), ("bias", norm.bias)):
        _checks.require_shape(values, (D,), f"norm.{name}", ", one for each column")
    if not norm.eps >= 0:
        raise ValueError(f"norm.eps must be at least 0, got {norm.eps}")
    return norm._replace(eps=float(norm.eps))
