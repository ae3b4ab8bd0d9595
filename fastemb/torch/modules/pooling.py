"""`Pooling`, the module of sentence-transformers, by the kernels of `pool`."""

import json
from pathlib import Path
from typing import Any

import torch

from .._functions.pooling import Arrays, Options, pool
from .settings import read_settings

#: The names of the modes, each with the option by which older configurations turn it on, in the order of the parts of
#: the result there.
_OLD_OPTIONS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
_OLD_DIMENSION = "word_embedding_dimension"


class Pooling(torch.nn.Module):
    """One vector for each text: the module ``Pooling`` of sentence-transformers 6.2, with its options and numbers.

    Parameters
    ----------
    embedding_dimension : int
        Columns of the vectors of tokens.
    pooling_mode : str or tuple of str
        ``"cls"``, ``"max"``, ``"mean"``, ``"mean_sqrt_len_tokens"``, ``"weightedmean"`` or ``"lasttoken"``; of several
        the vectors stand side by side.
    include_prompt : bool
        Whether the tokens of a prompt count; where they do not, ``prompt_length`` of the features says how many they
        are.
    **old
        The names that older configurations have: ``word_embedding_dimension``, and ``pooling_mode_mean_tokens=True``
        and its like, which count where there is no `pooling_mode`.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If a mode is.

    Notes
    -----
    ``forward`` takes the dictionary of features that sentence-transformers hands from module to module, puts
    ``sentence_embedding`` into it and returns it. It reads ``token_embeddings`` (B, T, D); ``attention_mask`` (B, T),
    nonzero where a token counts, which is not looked at if it has another length; ``prompt_length``;
    ``cls_token_embeddings``, which are taken for ``"cls"``; ``token_weights_sum`` (B,), which ``"mean"`` and its kin
    divide by; and ``cu_seq_lens_q`` (B+1,), where texts begin and end in ``token_embeddings`` (1, N, D) without
    padding. ``seq_idx`` says the same as that and is not needed.

    Numbers are those of sentence-transformers: of a text without a token that counts ``"max"`` is -inf and ``"cls"``
    the first token, where `fastemb.torch.pool` gives zeros, and weights of ``"weightedmean"`` count from the first
    token of the text though a prompt is left out. Three things differ. What is masked is not read: a NaN there stays
    there, which theirs multiplies by 0. A mask says yes or no: other numbers are no weights. An empty text among texts
    without padding has zeros in ``"cls"`` and ``"lasttoken"``, and not the token of another text.

    Sums are float32 (float64 for float64), rounded once; results and gradients have the same bits for any number of
    threads.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import Pooling
    >>> pooling = Pooling(2, ("mean", "max"))
    >>> pooling
    Pooling(embedding_dimension=2, pooling_mode=('mean', 'max'), include_prompt=True)
    >>> x = torch.tensor([[[1.0, 6.0], [3.0, 2.0], [9.0, 9.0]]])
    >>> pooling({"token_embeddings": x, "attention_mask": torch.tensor([[1, 1, 0]])})["sentence_embedding"]
    tensor([[2., 4., 3., 6.]])
    """

    POOLING_MODES = tuple(_OLD_OPTIONS)
    config_file_name = "config.json"

    def __init__(
        self,
        embedding_dimension: int | None = None,
        pooling_mode: str | tuple[str, ...] | list[str] | None = None,
        include_prompt: bool = True,
        **old: Any,
    ) -> None:
        super().__init__()
        if embedding_dimension is None:
            embedding_dimension = old.pop(_OLD_DIMENSION, None)
        if embedding_dimension is None:
            raise TypeError("Pooling needs embedding_dimension, the number of columns of the vectors of tokens")
        turned_on = tuple(mode for mode, name in _OLD_OPTIONS.items() if old.pop(name, False))
        if old:
            raise TypeError(f"Pooling has no option {next(iter(old))!r}")
        chosen = pooling_mode if pooling_mode is not None else turned_on or "mean"
        modes = (chosen,) if isinstance(chosen, str) else tuple(chosen)
        unknown = [mode for mode in modes if mode not in _OLD_OPTIONS]
        if unknown or not modes:
            raise ValueError(f"pooling_mode must be one or more of {self.POOLING_MODES}, got {chosen!r}")
        self.embedding_dimension = embedding_dimension
        self.pooling_mode = modes[0] if len(modes) == 1 else modes
        self.include_prompt = include_prompt
        self.pooling_output_dimension = len(modes) * embedding_dimension

    @property
    def _modes(self) -> tuple[str, ...]:
        """The modes, which callers may change by changing ``pooling_mode``."""
        return (self.pooling_mode,) if isinstance(self.pooling_mode, str) else self.pooling_mode

    def extra_repr(self) -> str:
        """Return the options as they would be given."""
        return ", ".join(f"{name}={value!r}" for name, value in self.get_config_dict().items())

    # What sentence-transformers asks of a module ----------------------------------------------------------------

    def get_embedding_dimension(self) -> int:
        """Return the number of columns of the result.

        Returns
        -------
        int
        """
        return self.pooling_output_dimension

    def get_config_dict(self, *, legacy: bool = False) -> dict[str, Any]:
        """Return the options as a configuration has them.

        Parameters
        ----------
        legacy : bool
            By the names of versions before 6.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            If `legacy` has no way to say the order of the modes, or one of them twice.
        """
        if not legacy:
            names = "embedding_dimension", "pooling_mode", "include_prompt"
            return {name: getattr(self, name) for name in names}
        modes = {name: mode in self._modes for mode, name in _OLD_OPTIONS.items()}
        if self._modes != tuple(mode for mode, name in _OLD_OPTIONS.items() if modes[name]):
            raise ValueError(
                f"an old configuration has each mode once, in the order of {self.POOLING_MODES}, got {self._modes}"
            )
        return {_OLD_DIMENSION: self.embedding_dimension, **modes, "include_prompt": self.include_prompt}

    def save(self, output_path: str, *args: Any, legacy: bool = False, **kwargs: Any) -> None:
        """Write ``config.json`` into a folder, usually ``1_Pooling``, which is made if need be.

        Parameters
        ----------
        output_path : str
            The folder.
        legacy : bool
            Write what versions before 6 read.
        *args, **kwargs
            Not looked at: sentence-transformers says how weights are to be saved, and there are none.
        """
        folder = Path(output_path)
        folder.mkdir(parents=True, exist_ok=True)
        config = json.dumps(self.get_config_dict(legacy=legacy), indent=4)
        (folder / self.config_file_name).write_text(config, encoding="utf-8")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> "Pooling":
        """Make the module of a folder that has a ``config.json``, new or old.

        Parameters
        ----------
        model_name_or_path : str
            A folder of this machine.
        subfolder : str
            A folder in it.
        **kwargs
            Not looked at: sentence-transformers says where else models are.

        Returns
        -------
        Pooling

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        TypeError, ValueError
            As the class; ValueError if the file holds no JSON object.
        """
        file = Path(model_name_or_path, subfolder, cls.config_file_name)
        return cls(**read_settings(file))

    # Forward ------------------------------------------------------------------------------------------------------

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Put ``sentence_embedding`` into a dictionary of features.

        Parameters
        ----------
        features : dict
            As said above.
        **kwargs
            Not looked at.

        Returns
        -------
        dict
            The same.

        Raises
        ------
        TypeError, ValueError
            As `fastemb.torch.pool`.
        """
        prompt = 0
        if not self.include_prompt and "prompt_length" in features:
            given = features["prompt_length"]  # a number, or one for each text, of which all are the same
            prompt = int(given[0]) if isinstance(given, torch.Tensor) and given.dim() else int(given)
        texts = _Flat(features, prompt) if "cu_seq_lens_q" in features else _Padded(features, prompt)
        pooled = [getattr(texts, mode)() for mode in self._modes]
        features["sentence_embedding"] = pooled[0] if len(pooled) == 1 else torch.cat(pooled, -1)
        return features


class _Padded:
    """Texts of one length: rows (B, T, D) and a mask, from which a prompt is taken."""

    def __init__(self, features: dict[str, Any], prompt: int) -> None:
        self.features, self.prompt = features, prompt
        x = self.x = features["token_embeddings"]
        mask = features.get("attention_mask")
        if mask is not None and mask.shape[-1] != x.shape[1]:
            mask = None
        if mask is not None and mask.is_floating_point():
            mask = mask != 0
        self.whole: Any = mask  # with the prompt
        self.kept: Any = mask
        if prompt:
            if mask is None:
                self.whole = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
            self.kept = (self.whole != 0) & (self.places() > prompt)

    def places(self) -> Any:
        """Return the place of each token, counted from the first that is no padding, which has 1."""
        first = (self.whole != 0).int().argmax(1, keepdim=True)
        return torch.arange(1, self.x.shape[1] + 1, device=self.x.device) - first

    def pool(self, mode: str, weights: Any = None, kept: Any = None) -> Any:
        """Pool the tokens that count."""
        kept = self.kept if kept is None else kept
        return pool(Arrays(self.x, weights, kept, None, None), Options(mode, False))

    def cls(self) -> Any:
        """Return the first token that counts; of a text without one the first of all."""
        if "cls_token_embeddings" in self.features:
            return self.features["cls_token_embeddings"]
        if self.kept is None:
            return self.pool("cls")
        kept = self.kept != 0
        none = ~kept.any(1, keepdim=True)
        return self.pool("cls", kept=torch.cat([kept[:, :1] | none, kept[:, 1:]], 1))

    def lasttoken(self) -> Any:
        """Return the last token that counts."""
        return self.pool("last")

    def max(self) -> Any:
        """Return the largest numbers; -inf where no token counts."""
        largest = self.pool("max")
        if self.kept is None:
            return largest
        return largest.masked_fill(~(self.kept != 0).any(1, keepdim=True), -torch.inf)

    def mean(self) -> Any:
        """Return the mean."""
        return self._over_given(1.0) if "token_weights_sum" in self.features else self.pool("mean")

    def mean_sqrt_len_tokens(self) -> Any:
        """Return the sum over the root of the number."""
        if "token_weights_sum" in self.features:
            return self._over_given(0.5)
        return self.pool("mean_sqrt_len")

    def weightedmean(self) -> Any:
        """Return the mean of tokens weighted by their places; these stay what they were without a prompt."""
        if "token_weights_sum" not in self.features and not self.prompt:
            return self.pool("weighted_mean")
        if self.whole is None:
            self.whole = torch.ones(self.x.shape[:-1], dtype=torch.bool, device=self.x.device)
        places = self.places().to(torch.float64 if self.x.dtype == torch.float64 else torch.float32)
        return self._over_given(1.0, places) if "token_weights_sum" in self.features else self.pool("mean", places)

    def _over_given(self, power: float, places: Any = 1.0) -> Any:
        """Return a sum over a number that the features have for each text."""
        given = self.features["token_weights_sum"].unsqueeze(-1)
        x = self.x.to(torch.promote_types(self.x.dtype, given.dtype))
        number = given.to(torch.promote_types(x.dtype, torch.float32)).clamp(min=1e-9) ** power
        weights = (places / number).expand(x.shape[:-1])
        return pool(Arrays(x, weights, self.kept, None, None), Options("sum", False))


class _Flat:
    """Texts without padding: rows (N, D), and where each begins."""

    def __init__(self, features: dict[str, Any], prompt: int) -> None:
        self.features, x = features, features["token_embeddings"]
        self.all = self.x = x.squeeze(0) if x.dim() == 3 else x
        self.offsets = self.begins = features["cu_seq_lens_q"]
        self.lengths = self.offsets.diff()
        self.prompt = prompt
        if prompt:
            behind = self.places() > prompt
            self.x, self.weights = self.all[behind], self.places()[behind]
            self.lengths = (self.lengths - prompt).clamp(min=0)
            self.begins = torch.nn.functional.pad(self.lengths.cumsum(0), (1, 0))

    def places(self) -> Any:
        """Return the place of each token in its text, from 1 on."""
        firsts = self.offsets[:-1].repeat_interleave(self.offsets.diff(), output_size=self.all.shape[0])
        return torch.arange(1, self.all.shape[0] + 1, device=self.all.device) - firsts

    def pool(self, mode: str, weights: Any = None) -> Any:
        """Pool the tokens behind the prompt."""
        return pool(Arrays(self.x, weights, None, None, self.begins), Options(mode, False))

    def pool_all(self, mode: str) -> Any:
        """Pool all tokens."""
        return pool(Arrays(self.all, None, None, None, self.offsets), Options(mode, False))

    def cls(self) -> Any:
        """Return the first token behind the prompt; the first of all where there is none behind it."""
        if "cls_token_embeddings" in self.features:
            return self.features["cls_token_embeddings"]
        first = self.pool_all("cls")
        return torch.where((self.lengths > 0).unsqueeze(-1), self.pool("cls"), first) if self.prompt else first

    def lasttoken(self) -> Any:
        """Return the last token, though it be of the prompt."""
        return self.pool_all("last")

    def max(self) -> Any:
        """Return the largest numbers; -inf where no token counts."""
        return self.pool("max").masked_fill((self.lengths == 0).unsqueeze(-1), -torch.inf)

    def mean(self) -> Any:
        """Return the mean."""
        return self.pool("mean")

    def mean_sqrt_len_tokens(self) -> Any:
        """Return the sum over the root of the number."""
        return self.pool("mean_sqrt_len")

    def weightedmean(self) -> Any:
        """Return the mean of tokens weighted by their places in the text, prompt included."""
        if not self.prompt:
            return self.pool("weighted_mean")
        return self.pool("mean", self.weights.to(torch.float64 if self.x.dtype == torch.float64 else torch.float32))
