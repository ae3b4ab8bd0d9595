"""The small path of the gradients of ``embed``: row gradients of small calls, behind one kernel for the norm if any."""

from typing import Any

import numpy as np

from .._embeds import Norm
from . import embedding, gradient
from .arrays import Array
from .kernels import embedding as kernels
from .kernels.rows import PIECE

_FLOAT32 = np.dtype(np.float32)

SmallGrads = tuple[tuple[Array, Array], Array | None, Array | None, tuple[Array, Array | None] | None]


def small_embed_backward(
    grad: Any, table: Array, ids: Any, positions: Any, position_ids: Any, segments: Any, segment_ids: Any, scale: Any,
    norm: Norm | None, mode: Any, padding_idx: Any, by_count: Any,
) -> SmallGrads | None:  # fmt: skip
    """Return the gradients of a small call; None: take the general road, which says what is wrong if anything is."""
    if type(scale) is not float or type(mode) is not str or scale != 1.0 or mode != "raise":
        return None
    args = embedding.small_args(table, ids, positions, position_ids, segments, segment_ids)
    if args is None or type(grad) is not np.ndarray or grad.dtype != _FLOAT32 or not grad.flags.carray:
        return None
    N, (V, D) = args[1].size, table.shape
    if grad.shape != (*ids.shape, D):
        return None
    before, of_norm = grad.reshape(N, D), None
    if norm is not None:
        behind = _behind_norm(before, norm, args)
        if behind is None:
            return None
        before, of_norm = behind
    elif type(padding_idx) is int and padding_idx >= V:
        padding_idx = None  # an id that is no row is wrong, and not to be left out below
    rows = gradient.small_row_grad(args[1], before, padding_idx, by_count)
    if rows is None or (rows[0].size and rows[0][-1] >= V):
        return None
    by_position = None if positions is None else _dense(positions, args[2], before)
    by_segment = None if segments is None else _dense(segments, args[4], before)
    if (positions is not None and by_position is None) or (segments is not None and by_segment is None):
        return None
    return rows, by_position, by_segment, of_norm


def _behind_norm(
    grad: Array, norm: Norm, args: tuple[Array, Array, Array, Array, Array, Array]
) -> tuple[Array, tuple[Array, Array | None]] | None:
    """Return the gradients of the sums that a norm was given, and of its weight and bias; None: it is not small."""
    N, D = grad.shape
    parts = embedding.small_norm(norm, D)
    if parts is None or N > PIECE:  # more rows are more than one piece
        return None
    weight, _, kind, eps = parts
    before, totals = np.empty((N, D), _FLOAT32), np.empty((2, D), _FLOAT32)
    if kernels.norm_grads_small(*args, weight, kind, eps, grad, before, totals):
        return None
    return before, (totals[0], None if norm.bias is None else totals[1])


def _dense(table: Array, ids: Array, grad: Array) -> Array | None:
    """Return the gradient of an addend, whose ids begin again until each row has one."""
    N = len(grad)
    if ids.size != N:
        ids = np.ascontiguousarray(np.broadcast_to(ids, (N // ids.size, ids.size))).reshape(N)
    found = gradient.small_row_grad(ids, grad, None, False)
    if found is None or found[0][-1] >= len(table):
        return None
    dense = np.zeros(table.shape, _FLOAT32)
    dense[found[0]] = found[1]
    return dense
