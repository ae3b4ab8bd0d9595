"""`TokenPositionEmbedding`: the first layer of BERT and its like, in one pass."""

from typing import Any, Literal, TypeAlias

import torch

from .._functions.embedding import LAYER, NONE, RMS, Arrays, Options, embed
from .checkpoints import Checkpoint, read

Numbering: TypeAlias = Literal["bert", "roberta"]


class TokenPositionEmbedding(torch.nn.Module):
    """Tokens, positions and segments added up, normalised, and dropped out of: what a transformer begins with.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        V and D: how many ids there are, and how many columns.
    num_positions, num_segments : int
        Rows of the tables of positions and of segments (token types); of 0 there is no such table.
    padding_idx : int, optional
        The id of padding: its row begins as zeros and gets no gradient, but is read as it stands. A negative one
        counts from the end.
    numbering : {"bert", "roberta"}
        ``"bert"``: positions are 0, 1, … along each text. ``"roberta"``: the ids that are not `padding_idx` have
        ``padding_idx + 1``, ``padding_idx + 2``, …, and padding has `padding_idx`, a row that gets no gradient.
    norm : {"layer", "rms"}, optional
        What is done to each row; None: nothing.
    eps : float, optional
        Of the norm: by default 1e-5 for ``"layer"`` and 1e-6 for ``"rms"``. BERT has 1e-12.
    scale : float
        The rows of tokens are multiplied by it.
    dropout : float
        The share of numbers that are zeros while the module trains.
    device, dtype
        Of the parameters, as for layers of torch.

    Attributes
    ----------
    word_embeddings, position_embeddings, token_type_embeddings : torch.nn.Embedding or None
        The tables: their weights are read, they themselves are never called.
    LayerNorm : torch.nn.LayerNorm, torch.nn.RMSNorm or None
        As these.
    dropout : torch.nn.Dropout

    Raises
    ------
    ValueError
        If `numbering` or `norm` is no such word; if ``"roberta"`` has no `padding_idx`, or no positions.

    See Also
    --------
    fastemb.torch.embed : the function, with tables of the caller's own.

    Notes
    -----
    Parameters have the names of Hugging Face's ``BertEmbeddings``, and ``forward`` its signature: an instance may
    stand in a model for ``model.embeddings``, and checkpoints, groups of parameters by name, tied weights and
    ``resize_token_embeddings`` stay what they were.

    The sum is rounded in the order (token + position) + segment, where ``BertEmbeddings`` adds segments first: results
    differ from its in the last place of float32, and are the same bits for any number of threads. float16 and bfloat16
    are computed in float32 and rounded once. Gradients are dense; `fastemb.torch.embed` says how they are computed.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import TokenPositionEmbedding
    >>> layer = TokenPositionEmbedding(100, 8, num_positions=16, num_segments=2, padding_idx=0, dropout=0.1)
    >>> ids = torch.tensor([[5, 7, 9, 0], [3, 2, 1, 4]])
    >>> layer(ids).shape
    torch.Size([2, 4, 8])
    >>> layer(ids, mask=ids != 0)[0, 3].abs().sum()
    tensor(0., grad_fn=<SumBackward0>)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, num_positions: int = 0, num_segments: int = 0, *,
        padding_idx: int | None = None, numbering: Numbering = "bert", norm: Literal["layer", "rms"] | None = "layer",
        eps: float | None = None, scale: float = 1.0, dropout: float = 0.0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if numbering not in ("bert", "roberta"):
            raise ValueError(f"numbering must be 'bert' or 'roberta', got {numbering!r}")
        if norm not in (None, LAYER, RMS):
            raise ValueError(f"norm must be 'layer', 'rms' or None, got {norm!r}")
        if numbering == "roberta" and (padding_idx is None or not num_positions):
            raise ValueError(
                f"numbering 'roberta' needs padding_idx and num_positions, got {padding_idx} and {num_positions}"
            )
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        self.word_embeddings = torch.nn.Embedding(num_embeddings, embedding_dim, padding_idx, **made)
        skipped = self.word_embeddings.padding_idx if numbering == "roberta" else None
        self.position_embeddings: Any = None
        if num_positions:
            self.position_embeddings = torch.nn.Embedding(num_positions, embedding_dim, skipped, **made)
        self.token_type_embeddings: Any = None
        if num_segments:
            self.token_type_embeddings = torch.nn.Embedding(num_segments, embedding_dim, **made)
        self.LayerNorm: Any = None
        if norm == LAYER:
            self.LayerNorm = torch.nn.LayerNorm(embedding_dim, 1e-5 if eps is None else eps, **made)
        elif norm == RMS:
            self.LayerNorm = torch.nn.RMSNorm(embedding_dim, 1e-6 if eps is None else eps, **made)
        self.dropout = torch.nn.Dropout(dropout)
        self.numbering, self.scale = numbering, scale

    def extra_repr(self) -> str:
        """Return what the parts do not say."""
        return f"numbering={self.numbering!r}, scale={self.scale}"

    @classmethod
    def from_bert(
        cls, source: Any, *, prefix: str | None = None, numbering: Numbering | None = None,
        padding_idx: int | None = None, eps: float | None = None, dropout: float | None = None,
    ) -> "TokenPositionEmbedding":  # fmt: skip
        """Make the layer of a checkpoint of BERT, RoBERTa, GPT-2 or one that names its tables like these.

        Parameters
        ----------
        source : module, mapping, or path
            A model of Hugging Face or its ``embeddings``; a state dict; a file ``.safetensors``; or a folder with
            ``model.safetensors``, or with the index of several, and ``config.json``.
        prefix : str, optional
            What stands before the names of the tables. By default it is looked for: nothing, ``embeddings.``,
            ``bert.embeddings.``, ``roberta.embeddings.``, ``transformer.`` and any other are found.
        numbering, padding_idx, eps, dropout
            As of the class, where the source does not say what they are, or is to be overruled.

        Returns
        -------
        TokenPositionEmbedding
            In the mode of the module, else in training mode. Of a module it has the very parameters, so that tied
            weights stay tied; of a mapping parameters that share the memory of its tensors; of files tensors of its
            own.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the tables are not found, or in several places; if their shapes do not fit; if it cannot be told whether
            positions are numbered as in BERT or in RoBERTa.

        Notes
        -----
        What the source does not say is what the models were published with: of BERT ``padding_idx`` 0 and ``eps``
        1e-12, of RoBERTa 1 and 1e-5, of GPT-2 no padding and no norm; of all ``dropout`` 0.1. Other keys
        (``position_ids``, layers) are not looked at. An output layer of GPT-2 is tied to ``wte`` of its own model, not
        to this layer.

        Examples
        --------
        >>> import torch
        >>> from fastemb.torch import TokenPositionEmbedding
        >>> state = {"transformer.wte.weight": torch.ones(5, 2), "transformer.wpe.weight": torch.ones(3, 2)}
        >>> TokenPositionEmbedding.from_bert(state).eval()(torch.tensor([[4, 0]]))
        tensor([[[2., 2.],
                 [2., 2.]]], grad_fn=<EmbedBackward>)
        """
        found = read(source, prefix, numbering)
        return cls._of(found, padding_idx, eps, dropout)

    @classmethod
    def _of(cls, found: Checkpoint, padding_idx: Any, eps: Any, dropout: Any) -> "TokenPositionEmbedding":
        (V, D), tensors = found.tensors["word_embeddings"].shape, found.tensors
        rows = {name: len(tensors[name]) if name in tensors else 0 for name in tensors}
        layer = cls(
            V, D, rows.get("position_embeddings", 0), rows.get("token_type_embeddings", 0),
            padding_idx=found.padding_idx if padding_idx is None else padding_idx,
            numbering=found.numbering, norm="layer" if "weight" in tensors else None,
            eps=found.eps if eps is None else eps, dropout=found.dropout if dropout is None else dropout, device="meta",
        )  # fmt: skip
        for name, tensor in tensors.items():
            weight = tensor if isinstance(tensor, torch.nn.Parameter) else torch.nn.Parameter(tensor)
            if name in ("weight", "bias"):
                setattr(layer.LayerNorm, name, weight)
            else:
                getattr(layer, name).weight = weight
        if layer.LayerNorm is not None and "bias" not in tensors:
            layer.LayerNorm.bias = None
        layer.train(found.training)
        return layer

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cache_length: int = 0,
        past_key_values_length: int = 0,
        *,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the first hidden states.

        Parameters
        ----------
        input_ids : torch.Tensor of int, shape (..., T)
            Or `inputs_embeds`.
        token_type_ids, position_ids : torch.Tensor of int, optional
            Of a shape that broadcasts to that of `input_ids`; by default 0, and as `numbering` says.
        inputs_embeds : torch.Tensor, shape (..., T, D), optional
            In place of the rows of the table of tokens.
        cache_length, past_key_values_length : int
            How many tokens came before: positions begin there. One option by the names of two versions.
        mask : torch.Tensor of bool or int, the shape of `input_ids`, optional
            Rows under a zero are zeros, their ids are not looked at, and positions count what is kept alone: so padding
            on the left needs nothing more. ``BertEmbeddings`` knows no mask.

        Returns
        -------
        torch.Tensor, shape (..., T, D)

        Raises
        ------
        IndexError
            If an id that counts is out of range: the first such id, its place and the number of rows are named.
        TypeError
            If ids are not integers.
        ValueError
            If there are neither or both of `input_ids` and `inputs_embeds`; if ids are given for a table that the layer
            has not; if there are fewer positions than tokens.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give input_ids or inputs_embeds, one of them")
        part = self._modules.get  # what `Module.__getattr__` finds in thrice the time
        words: Any = part("word_embeddings")
        positions, segments, norm = part("position_embeddings"), part("token_type_embeddings"), part("LayerNorm")
        if segments is None and token_type_ids is not None:
            raise ValueError("token_type_ids go with a table of segments, and this layer has none: num_segments is 0")
        if positions is None:
            if position_ids is not None:
                raise ValueError("position_ids go with a table of positions, and this layer has none")
        elif position_ids is None:
            start = cache_length or past_key_values_length
            if self.numbering == "roberta":
                position_ids = self._roberta_positions(input_ids, inputs_embeds, start, mask)
            elif start:
                shape = inputs_embeds.shape[:-1] if input_ids is None else input_ids.shape  # type: ignore[union-attr]
                position_ids = _count(shape, mask, words.weight.device) + start
        table, padding = words.weight, words.padding_idx
        if inputs_embeds is not None:
            table, padding = inputs_embeds.reshape(-1, inputs_embeds.shape[-1]), None
            input_ids = torch.arange(len(table), device=table.device).view(inputs_embeds.shape[:-1])
        kind, weight, bias, eps = NONE, None, None, 0.0
        if norm is not None:
            weight, eps = norm.weight, norm.eps
            kind, bias = (RMS, None) if isinstance(norm, torch.nn.RMSNorm) else (LAYER, norm.bias)
        arrays = Arrays(
            table, None if positions is None else positions.weight, None if segments is None else segments.weight,
            weight, bias, input_ids, position_ids, token_type_ids, mask,
        )  # fmt: skip
        skipped = None if positions is None else positions.padding_idx
        rows = embed(arrays, Options(self.scale, kind, eps, padding, skipped))
        dropout = part("dropout")  # which may be in a mode of its own, to sample a model that is evaluated
        return dropout(rows) if dropout.training else rows

    def _roberta_positions(self, ids: Any, embeds: Any, start: int, mask: Any) -> Any:
        """Return positions that begin behind the row of padding, which padding has."""
        padding = self.word_embeddings.padding_idx
        if ids is None:  # of which nobody knows what is padding
            return _count(embeds.shape[:-1], mask, embeds.device) + (padding + 1 + start)
        kept = ids != padding if mask is None else mask != 0
        return (kept.long().cumsum(-1) + start) * kept + padding


def _count(shape: Any, mask: Any, device: Any) -> Any:
    """Return 0, 1, … along the last axis, or along what a mask keeps."""
    return torch.arange(shape[-1], device=device) if mask is None else (mask != 0).long().cumsum(-1) - 1
