"""`pool`, through which gradients flow."""

from typing import Any

import torch

from .._checks import PoolMode
from . import _doors, _views
from ._functions import pooling as functions
from ._functions.pooling import Arrays, Options


def pool(
    x: torch.Tensor, mask: Any = None, *, lengths: Any = None, offsets: Any = None, mode: PoolMode = "mean",
    weights: Any = None, normalize: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Pool rows, one vector for each text, as `fastemb.pool` does, with gradients.

    Parameters
    ----------
    x : torch.Tensor, shape (B, T, D) or (N, D)
        float64, float32, float16 or bfloat16. (N, D) needs `offsets`.
    mask, lengths, offsets : torch.Tensor, optional
        At most one: of bool or int, shape (B, T), nonzero where a row is kept; (B,), how many are; (S+1,), where texts
        begin and end. Lists and arrays of NumPy are taken too.
    mode : str
        ``"sum"``, ``"mean"``, ``"max"``, ``"cls"``, ``"last"``, ``"mean_sqrt_len"``, ``"weighted_mean"`` or
        ``"mean_max"``.
    weights : torch.Tensor, shape (B, T) or (N,), optional
        In modes ``"sum"`` and ``"mean"``; they have a gradient, too.
    normalize : bool
        Scale every result row to length one.

    Returns
    -------
    torch.Tensor, shape (B, D) or (S, D); 2 D columns in mode ``"mean_max"``
        Of the dtype of `x`. Nothing kept gives zeros in every mode, which have no gradient.

    Raises
    ------
    TypeError, ValueError
        As `fastemb.pool`, of which this has the numbers, to the bit; TypeError if `x` is no tensor.
    NotImplementedError
        In forward mode (``torch.func.jvp``).

    Notes
    -----
    Gradients are those of `fastemb.pool_backward`; that of a maximum goes to the first row that holds it. With
    ``create_graph=True`` and inside of ``torch.func`` they are computed by operations of torch.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import pool
    >>> x = torch.tensor([[[1.0, 5.0], [2.0, 3.0]]], requires_grad=True)
    >>> pool(x, mode="max").sum().backward()
    >>> x.grad
    tensor([[[0., 1.],
             [1., 0.]]])
    """
    _views.require_tensors(x=x)
    given = {"weights": weights, "mask": mask, "lengths": lengths, "offsets": offsets}
    lists = [_doors.as_tensor(one, name) for name, one in given.items()]
    rows: torch.Tensor = functions.pool(Arrays(x, *lists), Options(mode, normalize))
    return rows
