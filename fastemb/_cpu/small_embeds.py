"""The small path of ``embed`` and of its gradients.

Forward it is one kernel for all that a call may ask for, and one for rows with positions alone; backward row gradients
of small calls, behind one kernel for the norm if any.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from .._embeds import Norm
from . import gradient
from .arrays import Array
from .embedding import FIRST, KINDS, nothing
from .kernels import embedding as kernels
from .kernels.jit import Direct
from .kernels.rows import PIECE

_SMALL_BYTES = 1 << 18
_FLOAT32, _INT64, _INT32 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.int32)
_ID_DTYPES = _INT64, _INT32
_NO_WEIGHT, _ROWS, _BATCH = np.zeros(0, _FLOAT32), np.zeros((1, 1), _FLOAT32), np.zeros((1, 1, 1), _FLOAT32)
_add_64, _add_32 = (
    Direct(kernels.add_positions_small, _ROWS, np.zeros((1, 1), dtype), _ROWS, _BATCH) for dtype in _ID_DTYPES
)
_embed_64, _embed_32 = (
    Direct(
        kernels.embed_small, _ROWS, np.zeros(1, dtype), FIRST, _ROWS, FIRST, _ROWS, _NO_WEIGHT, _NO_WEIGHT, 0, 0.0,
        _ROWS,
    )
    for dtype in _ID_DTYPES
)  # fmt: skip

SmallGrads = tuple[tuple[Array, Array], Array | None, Array | None, tuple[Array, Array | None] | None]


# Forward ---------------------------------------------------------------------------------------------------------


def small_embed(
    table: Array, ids: Any, positions: Any, position_ids: Any, segments: Any, segment_ids: Any, scale: Any,
    norm: Norm | None, mode: Any,
) -> Array | None:  # fmt: skip
    """Return the result of a small call; None: take the general road, which says what is wrong if anything is."""
    # What is compared by value may be anything yet: types come first.
    if type(scale) is not float or type(mode) is not str or scale != 1.0 or mode != "raise":
        return None
    if norm is None and position_ids is None and segments is None and segment_ids is None and positions is not None:
        return _with_positions(table, ids, positions)
    args = _args(table, ids, positions, position_ids, segments, segment_ids)
    if args is None:
        return None
    D = table.shape[1]
    parts = _norm(norm, D)
    if parts is None:
        return None
    out, call = np.empty((ids.size, D), _FLOAT32), (_embed_64 if ids.dtype == _INT64 else _embed_32).call
    return None if call(*args, *parts, out) else out.reshape((*ids.shape, D))


def _with_positions(table: Array, ids: Any, positions: Any) -> Array | None:
    """Return the rows of a small call with the first positions added, as plain GPTs do; None: it is not small."""
    if type(ids) is not np.ndarray or type(positions) is not np.ndarray:
        return None
    if ids.dtype is _INT64:
        add = _add_64.call
    elif ids.dtype is _INT32:
        add = _add_32.call
    else:
        return None
    if table.dtype is not _FLOAT32 or positions.dtype is not _FLOAT32 or table.ndim != 2 or positions.ndim != 2:
        return None
    if not (ids.ndim and ids.flags.carray and table.flags.carray and positions.flags.carray):
        return None
    (P, D), T = positions.shape, ids.shape[-1]
    if not 0 < ids.size * D <= _SMALL_BYTES >> 2 or T > P or table.shape[1] != D:
        return None
    if ids.ndim == 2:
        out = np.empty((len(ids), T, D), _FLOAT32)
        return None if add(table, ids, positions, out) else out
    rows = ids.reshape(-1, T)
    out = np.empty((len(rows), T, D), _FLOAT32)
    return None if add(table, rows, positions, out) else out.reshape((*ids.shape, D))


def _args(
    table: Array, ids: Any, positions: Any, position_ids: Any, segments: Any, segment_ids: Any
) -> tuple[Array, Array, Array, Array, Array, Array] | None:
    """Return the tables and flat ids of a small call as its kernels take them; None: the call is not small."""
    if type(ids) is not np.ndarray or table.dtype != _FLOAT32 or ids.dtype not in _ID_DTYPES:
        return None
    if table.ndim != 2 or not ids.ndim:
        return None
    N, D = ids.size, table.shape[1]
    if not 0 < N * D <= _SMALL_BYTES >> 2 or not ids.flags.carray or not table.flags.carray:
        return None
    places = kinds = FIRST
    if positions is None:
        if position_ids is not None:
            return None
        positions = nothing(_FLOAT32, D)
    elif not _is_small(positions) or positions.ndim != 2 or positions.shape[1] != D:
        return None
    elif position_ids is None:
        if positions.shape[0] < ids.shape[-1]:
            return None
        places = _first_places(ids.shape[-1])
    elif not _is_small_index(position_ids) or not _is_whole_or_a_row(position_ids.shape, ids.shape):
        return None
    else:
        places = position_ids.reshape(-1)
    if segments is None:
        if segment_ids is not None:
            return None
        segments = nothing(_FLOAT32, D)
    elif not _is_small(segments) or segments.ndim != 2 or segments.shape[1] != D:
        return None
    elif segment_ids is not None:
        if not _is_small_index(segment_ids) or segment_ids.shape != ids.shape:
            return None
        kinds = segment_ids.reshape(-1)
    return table, ids.reshape(N), places, positions, kinds, segments


def _is_whole_or_a_row(shape: tuple[int, ...], of: tuple[int, ...]) -> bool:
    """Whether a shape is that of ids or of one row of them: (T,), or (1, T) beside more axes."""
    return shape in (of, of[-1:]) or (shape == (1, of[-1]) and len(of) > 1)


def _norm(norm: Norm | None, D: int) -> tuple[Array, Array, int, float] | None:
    """Return the weight, the bias, the kind and eps of a norm as small kernels take them; None: it is not small."""
    if norm is None:
        return _NO_WEIGHT, _NO_WEIGHT, kernels.NO_NORM, 0.0
    weight, eps, bias = norm.weight, norm.eps, _NO_WEIGHT if norm.bias is None else norm.bias
    if not _is_small(weight) or weight.shape != (D,) or type(eps) is not float or not eps >= 0:
        return None
    if not _is_small(bias) or (norm.bias is not None and bias.shape != (D,)):
        return None
    return weight, bias, KINDS[norm.kind], eps


@lru_cache(maxsize=64)
def _first_places(T: int) -> Array:
    """Return 0, 1, ... for a text of T ids; nobody writes to it."""
    return np.arange(T)


def _is_small_index(ids: Any) -> bool:
    """Whether ids of positions or segments are of the kind that the small kernels are compiled for."""
    return type(ids) is np.ndarray and ids.dtype == _ID_DTYPES[0] and bool(ids.flags.carray)


def _is_small(array: Any) -> bool:
    """Whether the small kernel is compiled for such an array."""
    return type(array) is np.ndarray and array.dtype == _FLOAT32 and bool(array.flags.carray)


# Backward --------------------------------------------------------------------------------------------------------


def small_embed_backward(
    grad: Any, table: Array, ids: Any, positions: Any, position_ids: Any, segments: Any, segment_ids: Any, scale: Any,
    norm: Norm | None, mode: Any, padding_idx: Any, by_count: Any,
) -> SmallGrads | None:  # fmt: skip
    """Return the gradients of a small call; None: take the general road, which says what is wrong if anything is."""
    if type(scale) is not float or type(mode) is not str or scale != 1.0 or mode != "raise":
        return None
    args = _args(table, ids, positions, position_ids, segments, segment_ids)
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
    parts = _norm(norm, D)
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
