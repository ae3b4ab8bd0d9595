"""Models: piece → tokens."""

from __future__ import annotations

from typing import Any

from .component import Component, Json


class Model(Component, slot=True):
    """A model."""

    def vocabulary(self) -> dict[str, int]:
        """Return the tokens and their ids (not a copy, but of Unigram)."""
        return vocab_of(self._node)

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token; None where there is none."""
        return self.vocabulary().get(token)

    def id_to_token(self, id: int) -> str | None:
        """Return the token of an id; None where there is none."""
        return next((token for token, one in self.vocabulary().items() if one == id), None)


def vocab_of(node: Json) -> dict[str, int]:
    """Return the tokens of a model and their ids; of Unigram an id is a place in the list."""
    vocab = node.get("vocab") or {}
    return vocab if isinstance(vocab, dict) else {piece[0]: id for id, piece in enumerate(vocab)}


class BPE(Model):
    """Byte pair encoding.

    Parameters
    ----------
    vocab : dict of str to int, optional
    merges : list of (str, str), optional
        The first one first.
    unk_token, continuing_subword_prefix, end_of_word_suffix, fuse_unk, byte_fallback, ignore_merges
        As in a ``tokenizer.json``.
    """

    def __init__(
        self,
        vocab: dict[str, int] | None = None,
        merges: list[tuple[str, str]] | None = None,
        *,
        cache_capacity: int | None = None,
        dropout: float | None = None,
        unk_token: str | None = None,
        continuing_subword_prefix: str | None = None,
        end_of_word_suffix: str | None = None,
        fuse_unk: bool = False,
        byte_fallback: bool = False,
        ignore_merges: bool = False,
    ) -> None:
        super().__init__(
            dropout=dropout,
            unk_token=unk_token,
            continuing_subword_prefix=continuing_subword_prefix,
            end_of_word_suffix=end_of_word_suffix,
            fuse_unk=fuse_unk,
            byte_fallback=byte_fallback,
            ignore_merges=ignore_merges,
            vocab=dict(vocab or {}),
            merges=[list(merge) for merge in merges or ()],
        )


class WordPiece(Model):
    """The longest token first, from the left."""

    def __init__(
        self,
        vocab: dict[str, int] | None = None,
        unk_token: str = "[UNK]",
        max_input_chars_per_word: int = 100,
        continuing_subword_prefix: str = "##",
    ) -> None:
        super().__init__(
            unk_token=unk_token,
            continuing_subword_prefix=continuing_subword_prefix,
            max_input_chars_per_word=max_input_chars_per_word,
            vocab=dict(vocab or {}),
        )


class WordLevel(Model):
    """A piece is a token, or unknown."""

    def __init__(self, vocab: dict[str, int] | None = None, unk_token: str = "<unk>") -> None:
        super().__init__(vocab=dict(vocab or {}), unk_token=unk_token)


class Unigram(Model):
    """The likeliest tokens.

    Parameters
    ----------
    vocab : list of (str, float), optional
        Tokens and the logarithms of their probabilities.
    unk_id : int, optional
    byte_fallback : bool
    """

    def __init__(
        self,
        vocab: list[tuple[str, float]] | None = None,
        unk_id: int | None = None,
        byte_fallback: bool = False,
    ) -> None:
        pieces: list[Any] = [list(piece) for piece in vocab or [("<unk>", 0.0)]]
        super().__init__(unk_id=0 if vocab is None else unk_id, vocab=pieces, byte_fallback=bool(byte_fallback))
