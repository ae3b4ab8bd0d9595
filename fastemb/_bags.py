"""What a pool or a bag was asked for. Shapes and dtypes are checked here; no value is looked at."""

from typing import Any, NamedTuple

import numpy as np

from . import _checks, _frameworks
from .ragged import Ragged

MODES = _checks.POOL_MODES
_FORWARD = object()  # stands for a gradient where none is asked for: None may be what a caller gave


class Bags(NamedTuple):
    """One pool or bag call: the caller's arrays, on the device where they lie. Frozen.

    A *slot* is a place in the caller's flat ids or, without ids, flat rows. Bag s holds the slots between two offsets,
    those of row s of 2-D ids or of x, or the first ``lengths[s]`` of these, without slots that are masked or hold
    ``padding_idx``.
    """

    rows: Any  # a table (V, D) of floats or a QuantizedTable; without ids x, (B, T, D) or (N, D)
    ids: Any  # (N,) or (S, T); None: slot i is row i of x
    offsets: Any  # (S+1,) or None
    lengths: Any  # (B,) or None
    mask: Any  # the shape of the slots or None; bool or integer
    padding_idx: int | None
    by_count: bool  # of the backward: a row's gradient is divided by how often its id is kept
    weights: Any  # the shape of the slots or None
    mode: str
    normalize: bool
    slots: tuple[int, ...]  # the shape of the slots
    shape: tuple[int, int]  # of the result
    dtype: np.dtype[Any]  # of new results


def of_ids(
    table: Any, ids: Any, offsets: Any, mask: Any, mode: str, weights: Any, padding_idx: Any, normalize: bool,
    by_count: Any = False, out: Any = None, grad: Any = _FORWARD,
) -> tuple[Bags, Any]:  # fmt: skip
    """Return what `embedding_bag` was asked for, and ``out`` or ``grad`` as an array."""
    table = _checks.as_number_table(table)
    ids = _frameworks.lists(ids, Ragged)
    ragged, twice = isinstance(ids, Ragged), offsets is not None or mask is not None
    if ragged:
        ids, offsets = ids.ids, ids.offsets if offsets is None else offsets
    ids = _checks.as_ids(ids)
    offsets = None if offsets is None else _checks.as_integers(offsets, "offsets")
    mask = None if mask is None else _checks.as_mask(mask)
    weights = None if weights is None else _checks.as_weights(weights)
    padding = _checks.as_padding(padding_idx)
    normalize, by_count = _checks.as_flag(normalize, "normalize"), _checks.as_flag(by_count, "scale_grad_by_freq")
    grad = _types(out, grad)
    lists = {"ids": ids, "offsets": offsets, "mask": mask, "weights": weights}
    _checks.require_one_device(table=table, **lists, out=out, grad=None if grad is _FORWARD else grad)
    require_mode(mode, weights)
    if ragged and twice:
        raise ValueError("a Ragged brings its own offsets; neither offsets nor mask must be given with it")
    _checks.require_table_shape(table)
    require_slots(ids, offsets, mask)
    bags = _bags(table, ids, offsets, None, mask, padding, by_count, weights, mode, normalize)
    return bags, _shapes(bags, out, grad)


def of_rows(
    x: Any, mask: Any, lengths: Any, offsets: Any, mode: str, weights: Any, normalize: bool,
    out: Any = None, grad: Any = _FORWARD,
) -> tuple[Bags, Any]:  # fmt: skip
    """Return what `pool` was asked for, and ``out`` or ``grad`` as an array."""
    x = _checks.as_float_table(x, "x")
    given = [name for name, value in (("mask", mask), ("lengths", lengths), ("offsets", offsets)) if value is not None]
    offsets = None if offsets is None else _checks.as_integers(offsets, "offsets")
    lengths = None if lengths is None else _checks.as_integers(lengths, "lengths")
    mask = None if mask is None else _checks.as_mask(mask)
    weights = None if weights is None else _checks.as_weights(weights)
    normalize = _checks.as_flag(normalize, "normalize")
    grad = _types(out, grad)
    lists = {"mask": mask, "lengths": lengths, "offsets": offsets, "weights": weights}
    _checks.require_one_device(x=x, **lists, out=out, grad=None if grad is _FORWARD else grad)
    require_mode(mode, weights)
    if len(given) > 1:
        raise ValueError(f"at most one of mask, lengths and offsets may be given, got {' and '.join(given)}")
    if x.ndim == 2 and offsets is None:
        raise ValueError(f"x of shape (N, D) needs offsets to say where texts begin, got shape {x.shape} alone")
    if x.ndim not in (2, 3):
        raise ValueError(f"x must have shape (B, T, D), or (N, D) with offsets, got {x.shape}")
    if offsets is not None:
        if x.ndim == 3:
            raise ValueError(f"offsets go with x of shape (N, D), got {x.shape}")
        _checks.require_offsets_shape(offsets)
    _checks.require_shape(lengths, x.shape[:1], "lengths")
    bags = _bags(x, None, offsets, lengths, mask, None, False, weights, mode, normalize)
    return bags, _shapes(bags, out, grad)


def _types(out: Any, grad: Any) -> Any:
    """Check the types and dtypes of the arrays that have the result's shape; return the gradient as an array."""
    if out is not None:
        _checks.require_out(out)
    return grad if grad is _FORWARD else _checks.as_float_table(grad, "grad")


def require_mode(mode: Any, weights: Any) -> None:
    """Refuse an unknown mode, and weights where the mode has no use for them."""
    _checks.require_word(mode, MODES, "mode")
    if weights is not None and mode not in ("sum", "mean"):
        raise ValueError(f"weights go with mode 'sum' or 'mean', got mode {mode!r}")


def require_slots(ids: Any, offsets: Any, mask: Any) -> None:
    """Refuse ids whose shape does not go with offsets and mask."""
    if ids.ndim == 2:
        if offsets is not None:
            raise ValueError(f"offsets go with 1-D ids, got ids of shape {ids.shape}, whose rows are the bags")
    elif ids.ndim != 1:
        raise ValueError(f"ids must be 1-D with offsets, or 2-D, got shape {ids.shape}")
    elif mask is not None:
        raise ValueError(f"a mask goes with 2-D ids, got ids of shape {ids.shape}")
    elif offsets is None:
        raise ValueError(f"1-D ids need offsets to say where bags begin, got ids of shape {ids.shape} alone")
    else:
        _checks.require_offsets_shape(offsets)


def _bags(
    rows: Any, ids: Any, offsets: Any, lengths: Any, mask: Any, padding_idx: Any, by_count: bool, weights: Any,
    mode: str, normalize: bool,
) -> Bags:  # fmt: skip
    slots = rows.shape[:-1] if ids is None else ids.shape
    _checks.require_shape(mask, slots, "mask")
    _checks.require_shape(weights, slots, "weights", ", one for each row")
    S, D = slots[0] if offsets is None else offsets.shape[0] - 1, rows.shape[-1]
    shape, dtype = (S, 2 * D if mode == "mean_max" else D), _checks.result_dtype(rows)
    return Bags(
        rows, ids, offsets, lengths, mask, padding_idx, by_count, weights, mode, normalize, slots, shape, dtype,
    )  # fmt: skip


def _shapes(bags: Bags, out: Any, grad: Any) -> Any:
    """Return ``out`` or ``grad`` after checking that it has the shape of the result, and where ``out`` lies."""
    if grad is not _FORWARD:
        if grad.shape != bags.shape:
            raise ValueError(f"grad must have the shape of the result, {bags.shape}, got {grad.shape}")
        return grad
    if out is None:
        return None
    rows = {"x": bags.rows} if bags.ids is None else {"table": bags.rows, "ids": bags.ids}
    lists = {"offsets": bags.offsets, "lengths": bags.lengths, "mask": bags.mask, "weights": bags.weights}
    return _checks.check_out(out, bags.shape, **rows, **lists)
