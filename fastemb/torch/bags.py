"""Bags of rows, with gradients: ``embedding_bag``."""

from typing import Any

import torch

import fastemb
from fastemb._checks import PoolMode, as_flag

from . import _doors
from ._doors import Tensor
from ._functions.bag import Bagged, Slots, bag


def embedding_bag(
    table: Tensor, ids: Any, offsets: Any = None, *, mask: Any = None, mode: PoolMode = "mean", weights: Any = None,
    padding_idx: int | None = None, normalize: bool = False, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Pool rows of a table, bag by bag, with gradients: `fastemb.embedding_bag` for tensors that require them.

    Parameters
    ----------
    table : torch.Tensor, shape (V, D)
        float64, float32, float16 or bfloat16.
    ids : torch.Tensor or array_like of int, shape (N,) or (S, T); nested tensor of layout jagged; or Ragged
        Any integer dtype. Of 2-D ids each row is a bag; nested ones and a `Ragged` bring their offsets.
    offsets : torch.Tensor or array_like of int, shape (S+1,), optional
        Bag ``s`` holds ``ids[offsets[s]:offsets[s+1]]``. Needed with 1-D ids, and only there. Those of `EmbeddingBag`
        are torch's, without the last.
    mask : torch.Tensor or array_like of bool or int, shape (S, T), optional
        With 2-D ids: an id under a zero is no part of its bag, and is neither checked nor read.
    mode : str
        One of the modes of `fastemb.embedding_bag`.
    weights : torch.Tensor or array_like of real numbers, the shape of ids, optional
        One for each id, in modes ``"sum"`` and ``"mean"``.
    padding_idx : int, optional
        The row that is no part of any bag; a negative one counts from the end.
    normalize : bool
        Scale every result row to length one; a row of zeros stays.
    scale_grad_by_freq : bool
        Divide the gradient of each row by how often its id is kept in all bags together.
    sparse : bool
        Whether the table's gradient is a COO tensor of the rows that were used, their ids unique and ascending.

    Returns
    -------
    torch.Tensor, shape (S, D)
        A new tensor of the table's dtype; with ``"mean_max"`` (S, 2 D).

    Raises
    ------
    IndexError, TypeError, ValueError
        As `fastemb.embedding_bag`; ValueError if `padding_idx` is no row of the table.
    NotImplementedError
        In forward mode; inside of transforms and for gradients of gradients with `scale_grad_by_freq` in modes
        ``"cls"`` and ``"last"`` or with a mask.

    See Also
    --------
    fastemb.torch.EmbeddingBag : the layer.

    Notes
    -----
    The gradient of a maximum goes to the first row that holds it. Gradients have the dtypes of the table and the
    weights; their sums are float32 (float64 for float64) and rounded once, the same bits for any number of threads.
    Gradients of gradients, and calls inside of transforms of torch.func, make the rows of all ids and reduce them by
    torch's operations; in transforms the order of offsets is not checked and the gradient is dense. Under
    ``torch.compile`` the call is one operation, ``fastemb::embedding_bag``.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import embedding_bag
    >>> table = torch.arange(6.0).view(3, 2).requires_grad_()
    >>> bags = embedding_bag(table, torch.tensor([0, 2, 1]), torch.tensor([0, 2, 2, 3]))
    >>> bags.tolist()
    [[2.0, 3.0], [0.0, 0.0], [2.0, 3.0]]
    >>> bags.sum().backward()
    >>> table.grad
    tensor([[0.5000, 0.5000],
            [1.0000, 1.0000],
            [0.5000, 0.5000]])
    """
    if not isinstance(table, torch.Tensor):
        words = f"table must be a torch tensor, got {type(table).__name__}; fastemb.embedding_bag takes other arrays"
        raise TypeError(words)
    lists = isinstance(ids, fastemb.Ragged) or (isinstance(ids, torch.Tensor) and ids.is_nested)
    if lists and (offsets is not None or mask is not None):
        whose = "a Ragged" if isinstance(ids, fastemb.Ragged) else "a nested tensor"
        raise ValueError(f"{whose} brings its own offsets; neither offsets nor mask must be given with it")
    if lists:
        ids, offsets, weights = flat(ids, weights)
    asked = Bagged(
        mode, _doors.wrapped(padding_idx, table.shape[0] if table.dim() else 0), as_flag(normalize, "normalize"),
        as_flag(scale_grad_by_freq, "scale_grad_by_freq"), as_flag(sparse, "sparse"),
    )  # fmt: skip
    slots = Slots(_doors.as_ids(ids), _doors.as_tensor(offsets, "offsets"), _doors.as_tensor(mask, "mask"))
    return bag(table, slots, _doors.as_tensor(weights, "weights"), asked)


def flat(ids: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Return the flat ids and the offsets of a Ragged or of a nested tensor, and of weights that are nested as well."""
    if isinstance(ids, fastemb.Ragged):
        return ids.ids, ids.offsets, weights
    ids, offsets = _doors.jagged(ids)
    if isinstance(weights, torch.Tensor) and weights.is_nested:
        weights, of_weights = _doors.jagged(weights)
        if offsets.shape != of_weights.shape:
            raise ValueError(f"ids are {len(offsets) - 1} nested rows and weights {len(of_weights) - 1}")
    return ids, offsets, weights
