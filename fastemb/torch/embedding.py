"""`embed`, through which gradients flow."""

from typing import Any

import torch

from ..embedding import LayerNorm, RMSNorm, _norm_of
from . import _doors, _views
from ._functions import embedding as functions
from ._functions.embedding import NONE, Arrays, Options


def embed(
    table: torch.Tensor, ids: Any, *, positions: torch.Tensor | None = None, position_ids: Any = None,
    segments: torch.Tensor | None = None, segment_ids: Any = None, mask: Any = None, scale: float = 1.0,
    norm: LayerNorm | RMSNorm | None = None, padding_idx: int | None = None, position_padding: int | None = None,
) -> torch.Tensor:  # fmt: skip
    """Look up rows, add positions and segments, and normalise, as `fastemb.embed` does, with gradients.

    The result is ``norm(scale * table[ids] + positions[position_ids] + segments[segment_ids])``.

    Parameters
    ----------
    table : torch.Tensor, shape (V, D)
        float64, float32, float16 or bfloat16.
    ids : torch.Tensor of int, any shape
        Or a list or array of NumPy, as the other ids and the mask.
    positions, segments : torch.Tensor, shape (P, D) and (S, D), optional
        Of any of the four dtypes.
    position_ids, segment_ids : torch.Tensor of int, optional
        Of a shape that broadcasts to that of `ids`. By default positions count 0, 1, ... along the last axis, or along
        what a `mask` keeps, and segments are 0.
    mask : torch.Tensor of bool or int, the shape of ids, optional
        Rows under a zero are zeros, get no gradient, and their ids are not looked at.
    scale : float
        The rows of the table are multiplied by it.
    norm : fastemb.LayerNorm or fastemb.RMSNorm, optional
        Of tensors.
    padding_idx : int, optional
        The row of the table that gets no gradient; a negative one counts from the end. It is read as it stands.
    position_padding : int, optional
        The row of the positions that gets none.

    Returns
    -------
    torch.Tensor, shape ``ids.shape + (D,)``
        Of the table's dtype; its memory is not torch's, so it cannot be resized.

    Raises
    ------
    IndexError, TypeError, ValueError
        As `fastemb.embed`, of which this has the numbers, to the bit; TypeError if a table or a part of the norm is no
        tensor; ValueError if one of the paddings is no row of its table.
    NotImplementedError
        In forward mode (``torch.func.jvp``).

    Notes
    -----
    Gradients are those of `fastemb.embed_backward`: sums of rows in ascending order, the same bits for any number of
    threads; each is dense, of the shape and dtype of what was given. With ``create_graph=True`` and inside of
    ``torch.func`` they are computed by operations of torch, which can be differentiated again. Nothing but the
    arguments is kept for the backward: sums and statistics of rows are computed again.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import embed
    >>> table = torch.arange(6.0).reshape(3, 2).requires_grad_()
    >>> rows = embed(table, [[2, 0, 2]], scale=10.0)
    >>> rows.sum().backward()
    >>> table.grad
    tensor([[10., 10.],
            [ 0.,  0.],
            [20., 20.]])
    """
    parts = _norm_of(norm)
    kind, weight, bias, eps = (NONE, None, None, 0.0) if parts is None else parts
    _views.require_tensors(
        table=table, positions=positions, segments=segments, **{"norm.weight": weight, "norm.bias": bias}
    )
    if padding_idx is not None:
        padding_idx = _doors.wrapped(padding_idx, len(table))
    if position_padding is not None:
        if positions is None:
            raise ValueError(f"position_padding is a row of positions, and there are none; got {position_padding}")
        position_padding = _doors.wrapped(position_padding, len(positions), "position_padding", "positions")
    places, kinds = (one if one is None else _doors.as_ids(one) for one in (position_ids, segment_ids))
    kept = _doors.as_tensor(mask, "mask")
    arrays = Arrays(table, positions, segments, weight, bias, _doors.as_ids(ids), places, kinds, kept)
    rows: torch.Tensor = functions.embed(arrays, Options(scale, kind, eps, padding_idx, position_padding))
    return rows
