"""`rotary`, through which gradients flow."""

from typing import Any

import torch

from . import _doors, _views
from ._functions import position as functions
from ._functions.position import Arrays, Options


def rotary(
    x: torch.Tensor, position_ids: Any = None, *, base: float = 10000.0, inv_freq: Any = None, scale: float = 1.0,
    interleaved: bool = False, inverse: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Turn pairs of columns by the row's position, as `fastemb.rope` does, with gradients.

    Parameters
    ----------
    x : torch.Tensor, shape (..., T, D)
        Queries or keys: float64, float32, float16 or bfloat16, D even.
    position_ids : torch.Tensor of int or float, optional
        Of a shape that broadcasts to ``x.shape[:-1]``; 0 to T - 1 along axis -2 by default. Beside ``x`` in the layout
        (B, heads, T, D), positions of two axes are always (B, T) or (1, T).
    base, inv_freq, scale
        By how much; `fastemb.rope_frequencies` has the last two of models. They have no gradient.
    interleaved : bool
        Pairs are the columns (2i, 2i + 1); otherwise (i, D/2 + i), as in most models of Hugging Face.
    inverse : bool
        Turn back.

    Returns
    -------
    torch.Tensor, shape and dtype of x
        A new one.

    Raises
    ------
    TypeError, ValueError
        As `fastemb.rope`, of which this has the numbers, to the bit; TypeError if `x` is no tensor.
    NotImplementedError
        In forward mode (``torch.func.jvp``).

    Notes
    -----
    The transpose of a rotation is the rotation back: gradients of every order are `fastemb.rope` itself, and no tensor
    of the size of `x` is kept for them.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import rotary
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    >>> rotary(x)[1, 0].backward()
    >>> x.grad
    tensor([[ 0.0000,  0.0000],
            [ 0.5403, -0.8415]])
    """
    _views.require_tensors(x=x)
    lists = [_doors.as_tensor(position_ids, "position_ids"), _doors.as_tensor(inv_freq, "inv_freq")]
    turned: torch.Tensor = functions.rope(Arrays(x, *lists), Options(base, scale, interleaved, inverse))
    return turned
