"""The small path of the gradients of ``embed``: one kernel for the norm, and row gradients of small calls."""

from typing import Any

import numpy as np

from .._embeds import Norm
from . import embedding, gradient
from .arrays import Array
from .kernels import embedding as kernels
from .kernels.rows import PIECE

_FLOAT32 = np.dtype(np.float32)

SmallGrads = tuple[tuple[Array, Array], Array | None, Array | None, tuple[Array, Array | None]]


def small_embed_backward(
    grad: Any, table: Array, ids: Any, positions: Any, position_ids: Any, segments: Any, segment_ids: Any, scale: Any,
    norm: Norm | None, mode: Any, padding_idx: Any, by_count: Any,
) -> SmallGrads | None:  # fmt: skip
    """Return the gradients of a small call with a norm; None: take the general road, which says what is wrong."""
    if norm is None or type(scale) is not float or type(mode) is not str or scale != 1.0 or mode != "raise":
        return None
    args = embedding.small_args(table, ids, positions, position_ids, segments, segment_ids)
    if args is None or type(grad) is not np.ndarray or grad.dtype != _FLOAT32 or not grad.flags.carray:
        return None
    N, D = args[1].size, table.shape[1]
    parts = embedding.small_norm(norm, D)
    if parts is None or N > PIECE or grad.shape != (*ids.shape, D):  # more rows are more than one piece
        return None
    weight, _, kind, eps = parts
    before, totals = np.empty((N, D), _FLOAT32), np.empty((2, D), _FLOAT32)
    if kernels.norm_grads_small(*args, weight, kind, eps, grad.reshape(N, D), before, totals):
        return None
    rows = gradient.small_row_grad(args[1], before, padding_idx, by_count)
    if rows is None:
        return None
    by_position = None if positions is None else _dense(positions, args[2], before)
    by_segment = None if segments is None else _dense(segments, args[4], before)
    if (positions is not None and by_position is None) or (segments is not None and by_segment is None):
        return None
    return rows, by_position, by_segment, (totals[0], None if norm.bias is None else totals[1])


def _dense(table: Array, ids: Array, grad: Array) -> Array | None:
    """Return the gradient of an addend, whose ids begin again until each row has one."""
    N = len(grad)
    if ids.size != N:
        ids = np.ascontiguousarray(np.broadcast_to(ids, (N // ids.size, ids.size))).reshape(N)
    found = gradient.small_row_grad(ids, grad, None, False)
    if found is None:
        return None
    dense = np.zeros(table.shape, _FLOAT32)
    dense[found[0]] = found[1]
    return dense
