"""Gradients made smaller, sparse ones too: ``clip_grad_norm_``, ``clip_grad_value_``."""

from collections.abc import Iterable
from types import GeneratorType
from typing import Any

import torch

from . import _doors
from ._doors import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale gradients so that their norm, as of one vector, is at most `max_norm`: torch's, for sparse ones as well.

    Parameters
    ----------
    parameters : torch.Tensor or iterable of torch.Tensor
        Whose ``grad`` is clipped, in place, where it is not None.
    max_norm : float
        The largest norm that is left as it is.
    norm_type : float
        The p of the norm; infinity for the largest absolute value.
    error_if_nonfinite : bool
        Whether a norm that is NaN or infinite is a RuntimeError.
    foreach : bool, optional
        As torch has it: whether tensors are treated together.

    Returns
    -------
    torch.Tensor, shape ()
        The norm before.

    Raises
    ------
    RuntimeError
        If the norm is not finite and `error_if_nonfinite` is set.

    See Also
    --------
    clip_grad_value_ : bounds each number.

    Notes
    -----
    `torch.nn.utils.clip_grad_norm_`, which refuses sparse gradients, is given the values of those. Rows of one id must
    be added up for that: a sparse gradient whose ids are not unique and ascending is coalesced, and the parameter's
    ``grad`` is a new tensor then. One whose ids are, as in gradients of this package's layers, is marked as coalesced
    and keeps its memory.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import Embedding, clip_grad_norm_
    >>> layer = Embedding(10, 2, sparse=True)
    >>> layer(torch.tensor([3, 3, 7])).sum().backward()
    >>> clip_grad_norm_(layer.parameters(), 1.0)
    tensor(3.1623)
    >>> layer.weight.grad.values()
    tensor([[0.6325, 0.6325],
            [0.3162, 0.3162]])
    """
    stands = _stands(parameters)
    return torch.nn.utils.clip_grad_norm_(stands, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Bound each number of gradients to ``[-clip_value, clip_value]``: torch's, for sparse gradients as well.

    Parameters
    ----------
    parameters : torch.Tensor or iterable of torch.Tensor
        Whose ``grad`` is clipped, in place, where it is not None.
    clip_value : float
        The largest absolute value that is left.
    foreach : bool, optional
        As torch has it: whether tensors are treated together.

    See Also
    --------
    clip_grad_norm_ : scales all gradients by one number.

    Notes
    -----
    Sparse gradients are treated as by `clip_grad_norm_`.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import Embedding, clip_grad_value_
    >>> layer = Embedding(10, 2, sparse=True)
    >>> layer(torch.tensor([3, 3, 7])).sum().backward()
    >>> clip_grad_value_(layer.parameters(), 1.5)
    >>> layer.weight.grad.values()
    tensor([[1.5000, 1.5000],
            [1.0000, 1.0000]])
    """
    stands = [stand for stand in _stands(parameters) if stand.grad is not None]
    if stands:  # of none torch's raises
        torch.nn.utils.clip_grad_value_(stands, clip_value, foreach)


def _stands(parameters: Tensor | Iterable[Tensor]) -> Any:
    """Return the parameters; in the place of one whose gradient is sparse, a tensor whose gradient is its values."""
    if isinstance(parameters, torch.Tensor):
        return [_stand(parameters)]
    stands = [_stand(parameter) for parameter in parameters]
    # torch warns of an empty generator, which a caller has used up before, and not of an empty list.
    return (stand for stand in stands) if isinstance(parameters, GeneratorType) else stands


def _stand(parameter: Tensor) -> Tensor:
    grad = parameter.grad
    if grad is None or grad.layout is not torch.sparse_coo:
        return parameter
    unique = _doors.coalesce_(grad)
    if unique is not grad:
        parameter.grad = unique
    values = unique.values().detach()
    if not values.numel():  # of which there is no largest value
        return torch.empty(0)
    stand = values.detach()
    stand.grad = values
    return stand
