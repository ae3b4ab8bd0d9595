"""torch's layers of embeddings, with our kernels: ``Embedding`` and ``EmbeddingBag``."""

import torch

from .. import _doors
from .._doors import Tensor
from .._functions.bag import Bagged, Slots, bag
from .._functions.lookup import PLAIN, Asked, look_up
from ..bags import flat


class Embedding(torch.nn.Embedding):
    """A table of vectors, looked up by id: `torch.nn.Embedding`, with our kernels.

    Its constructor, ``from_pretrained``, state dict, representation and copies are torch's: a module's layer is
    replaced, and checkpoints are loaded, as they are.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        V and D.
    padding_idx : int, optional
        The row that gets no gradient; a negative one counts from the end. A new layer has zeros there.
    max_norm : float, optional
        Rows that are looked up and have a larger norm are scaled down to it, in place, before.
    norm_type : float
        The p of that norm.
    scale_grad_by_freq : bool
        Divide the gradient of each row by how often its id occurs in the batch.
    sparse : bool
        Whether the gradient of the weight is a COO tensor of the rows that were looked up: their ids unique and
        ascending. Together with `scale_grad_by_freq` too, which torch refuses.
    device, dtype
        Of the weight: float64, float32, float16 or bfloat16.

    Attributes
    ----------
    weight : torch.nn.Parameter, shape (V, D)
        The table.

    See Also
    --------
    fastemb.torch.gather : the function.
    fastemb.torch.clip_grad_norm_ : clips sparse gradients, which torch's refuses.

    Notes
    -----
    An id that is out of range is an IndexError that names it, its position and V; a negative one too. float16 and
    bfloat16 gradients are added up in float32 and rounded once, where torch rounds at every addition. The bits do not
    depend on the number of threads. `torch.autograd.grad` gives a sparse gradient marked as coalesced; the ``grad`` of
    a parameter loses the mark, not the order.

    Gradients of gradients, the transforms of ``torch.func`` (dense gradients there), ``torch.compile`` without breaks,
    ``torch.export``, fake and meta tensors, and nested tensors of layout jagged work. Forward mode is a
    NotImplementedError; ``torch.jit.script`` does not know the kernels.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import Embedding
    >>> layer = Embedding(10, 2, padding_idx=0, sparse=True)
    >>> layer
    Embedding(10, 2, padding_idx=0, sparse=True)
    >>> layer(torch.tensor([[7, 3, 0], [7, 0, 0]])).sum().backward()
    >>> layer.weight.grad
    tensor(indices=tensor([[3, 7]]),
           values=tensor([[1., 1.],
                          [2., 2.]]),
           size=(10, 2), nnz=2, layout=torch.sparse_coo)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Look up rows.

        Parameters
        ----------
        input : torch.Tensor of int, of any shape, or nested tensor of layout jagged
            The ids, of any integer dtype.

        Returns
        -------
        torch.Tensor, shape ``input.shape + (D,)``
            A new tensor of the weight's dtype; of nested ids one nested alike.
        """
        if type(input) is not Tensor:
            _doors.require_tensor(input, "input")
        if input.is_nested:
            values, offsets = _doors.jagged(input)
            return torch.nested.nested_tensor_from_jagged(self.forward(values), offsets)
        if self.max_norm is not None:
            _renorm(self.weight, input, self.max_norm, self.norm_type)
        padding_idx, by_count, sparse = self.padding_idx, self.scale_grad_by_freq, self.sparse
        plain = padding_idx is None and not by_count and not sparse
        return look_up(self.weight, input, PLAIN if plain else Asked(padding_idx, by_count, sparse))


class EmbeddingBag(torch.nn.EmbeddingBag):
    """Bags of vectors, pooled without making the rows in between: `torch.nn.EmbeddingBag`, with our kernels.

    Its constructor, ``from_pretrained``, state dict, representation and copies are torch's.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        V and D.
    max_norm, norm_type, scale_grad_by_freq
        As those of `Embedding`; `scale_grad_by_freq` goes with every mode (torch: not ``"max"``).
    mode : str
        One of the modes of `fastemb.embedding_bag`: torch's ``"sum"``, ``"mean"`` and ``"max"``, and ``"cls"``,
        ``"last"``, ``"mean_sqrt_len"``, ``"weighted_mean"`` and ``"mean_max"``, which has 2 D columns.
    sparse : bool
        As that of `Embedding`; with every mode (torch: not ``"max"``).
    include_last_offset : bool
        Whether offsets have one entry more than there are bags, the number of ids; else they have the first of each.
    padding_idx : int, optional
        The row that is no part of any bag; a negative one counts from the end.
    device, dtype
        Of the weight: float64, float32, float16 or bfloat16.

    Attributes
    ----------
    weight : torch.nn.Parameter, shape (V, D)
        The table.

    See Also
    --------
    fastemb.torch.embedding_bag : the function, with masks and normalisation.

    Notes
    -----
    As for `Embedding`. The gradient of a maximum goes to the first row that holds it. Gradients of gradients and the
    transforms of ``torch.func`` make the rows in between.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import EmbeddingBag
    >>> layer = EmbeddingBag.from_pretrained(torch.arange(6.0).view(3, 2), mode="max")
    >>> layer(torch.tensor([0, 2, 1]), torch.tensor([0, 2]))
    tensor([[4., 5.],
            [2., 3.]])
    """

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """Pool rows, bag by bag.

        Parameters
        ----------
        input : torch.Tensor of int, shape (N,) or (S, T), or nested tensor of layout jagged
            The ids, of any integer dtype. Of 2-D and nested ones each row is a bag.
        offsets : torch.Tensor of int, shape (S,), optional
            Where bags begin, with 1-D ids and only there; with `include_last_offset` (S+1,), the last one N.
        per_sample_weights : torch.Tensor, the shape of input, optional
            One for each id, in modes ``"sum"`` and ``"mean"`` (torch: only ``"sum"``): Σ w x, or Σ w x / Σ w.

        Returns
        -------
        torch.Tensor, shape (S, D)
            A new tensor of the weight's dtype; zeros for an empty bag, in every mode.
        """
        _doors.require_tensor(input, "input")
        first = None  # offsets as they were given, where they are not as kernels take them
        if input.is_nested:
            if offsets is not None:
                raise ValueError("a nested tensor brings its own offsets; none must be given with it")
            input, offsets, per_sample_weights = flat(input, per_sample_weights)
        elif isinstance(offsets, torch.Tensor) and not self.include_last_offset and input.dim() == 1 == offsets.dim():
            first, offsets = offsets, torch.cat([offsets, offsets.new_full((1,), len(input))])
        for name, given in (("offsets", offsets), ("per_sample_weights", per_sample_weights)):
            if given is not None:
                _doors.require_tensor(given, name)
        table = self.weight
        asked = Bagged(self.mode, self.padding_idx, False, self.scale_grad_by_freq, self.sparse)
        if self.max_norm is not None:
            _renorm(table, input, self.max_norm, self.norm_type)
            if asked.reads_rows and table.requires_grad and _doors.door(table, input) is _doors.EAGER:
                table, input, asked = _rows_alone(table, input, asked)
        try:
            return bag(table, Slots(input, offsets, None), per_sample_weights, asked)
        except ValueError:
            if first is not None and not torch.compiler.is_compiling():
                _require_starts(first, len(input))
            raise


def _require_starts(offsets: Tensor, N: int) -> None:
    """Refuse first offsets in words of the caller's, who did not give the last one that kernels are told."""
    if N and not len(offsets):
        raise ValueError(f"offsets must have an entry for each bag, the first of which is 0, got none for {N} ids")
    if len(offsets) and offsets[-1] > N:
        place = f"offsets[{len(offsets) - 1}] = {int(offsets[-1])}"
        raise ValueError(f"offsets must not be larger than {N}, the number of ids, got {place}")


def _rows_alone(table: Tensor, ids: Tensor, asked: Bagged) -> tuple[Tensor, Tensor, Bagged]:
    """Return the rows of a batch, and ids among them.

    The gradient of a maximum reads rows, and the next call of the layer may scale others in place: autograd, which
    knows tensors and no rows, would refuse the gradient then. torch saves the places of the maxima.
    """
    unique, places = torch.unique(ids.long(), return_inverse=True)
    rows = look_up(table, unique, asked.table._replace(by_count=False))
    padding = None if asked.padding_idx is None else (unique == asked.padding_idx).nonzero()
    at = int(padding) if padding is not None and len(padding) else None
    return rows, places, asked._replace(padding_idx=at, sparse=False)


def _renorm(weight: Tensor, ids: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows of ids whose norm is above a maximum down to it, in place, as torch does."""
    with torch.no_grad():
        if not torch.compiler.is_compiling():
            look_up(weight[:, :0], ids, PLAIN)  # which refuses bad ids: torch takes negative ones from the end
        torch.embedding_renorm_(weight, ids.contiguous(), max_norm, norm_type)
