"""Rows of a table by id, with gradients: ``gather``."""

from typing import Any

import torch

from fastemb._checks import ID_MODES, IdMode, as_flag, require_word

from . import _doors
from ._doors import Tensor
from ._functions.lookup import PLAIN, Asked, look_up


def gather(
    table: Tensor, ids: Any, *, mode: IdMode = "raise", padding_idx: int | None = None,
    scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Look up rows of a table, with gradients: `fastemb.gather` for tensors that require them.

    Parameters
    ----------
    table : torch.Tensor, shape (V, ...)
        Usually ``(V, D)``. With a gradient: float64, float32, float16 or bfloat16.
    ids : torch.Tensor or array_like of int, any shape
        Any integer dtype.
    mode : {"raise", "clip", "wrap"}
        What an id outside ``[0, V)`` means, as in `fastemb.gather`.
    padding_idx : int, optional
        The row that gets no gradient; a negative one counts from the end.
    scale_grad_by_freq : bool
        Divide the gradient of each row by how often its id occurs.
    sparse : bool
        Whether the table's gradient is a COO tensor of the rows that were looked up, their ids unique and ascending;
        of tables with two axes.

    Returns
    -------
    torch.Tensor, shape ``ids.shape + table.shape[1:]``
        A new tensor of the table's dtype.

    Raises
    ------
    IndexError
        If an id is out of range and `mode` is ``"raise"``: the first such id, its position and V are named.
    TypeError
        If `ids` are not integers, or lie on another device than `table`; if `table` is no tensor.
    ValueError
        If `mode` is not one of the three, `padding_idx` no row of the table, or `sparse` asked of a table that has not
        two axes.

    See Also
    --------
    fastemb.torch.Embedding : the layer.

    Notes
    -----
    The gradient has the dtype of the table; its sums are float32 (float64 for float64) and rounded once, the same bits
    for any number of threads. Gradients of gradients work, forward mode is a NotImplementedError. Inside of transforms
    of torch.func the gradient is dense. Under ``torch.compile`` the call is one operation, ``fastemb::gather``.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import gather
    >>> table = torch.arange(6.0).view(3, 2).requires_grad_()
    >>> gather(table, torch.tensor([2, 0, 2])).sum().backward()
    >>> table.grad
    tensor([[1., 1.],
            [0., 0.],
            [2., 2.]])
    """
    if not isinstance(table, torch.Tensor):
        raise TypeError(f"table must be a torch tensor, got {type(table).__name__}; fastemb.gather takes other arrays")
    require_word(mode, ID_MODES, "mode")
    asked = PLAIN
    if padding_idx is not None or scale_grad_by_freq is not False or sparse is not False:
        padding = _doors.wrapped(padding_idx, len(table))
        asked = Asked(padding, as_flag(scale_grad_by_freq, "scale_grad_by_freq"), as_flag(sparse, "sparse"))
    if asked.sparse and table.dim() != 2:
        raise ValueError(f"a sparse gradient is of a table of shape (V, D), got {tuple(table.shape)}")
    ids = _doors.as_ids(ids)
    if mode != "raise" and len(table):
        ids = ids.clamp(0, len(table) - 1) if mode == "clip" else ids.remainder(len(table))
    return look_up(table, ids, asked)
