"""Models: piece → tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, Self

from ..._text.files import replacing
from ..._text.road_models import tokenize
from ..._text.tokenizer_json import parse_tokenizer_json
from .component import Component, Json

Vocab = dict[str, int]
Merges = list[tuple[str, str]]


class Token(NamedTuple):
    """A token of a piece, and from which byte up to which it stands in it."""

    id: int
    value: str
    offsets: tuple[int, int]

    def as_tuple(self) -> tuple[int, str, tuple[int, int]]:
        """Return the three as a tuple."""
        return self.id, self.value, self.offsets


class Model(Component, slot=True):
    """A model."""

    def vocabulary(self) -> Vocab:
        """Return the tokens and their ids (not a copy, but of Unigram)."""
        return vocab_of(self._node)

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token; None where there is none."""
        return self.vocabulary().get(token)

    def id_to_token(self, id: int) -> str | None:
        """Return the token of an id; None where there is none."""
        return next((token for token, one in self.vocabulary().items() if one == id), None)

    def tokenize(self, sequence: str) -> list[Token]:
        """Return the tokens of a piece."""
        names = {id: token for token, id in self.vocabulary().items()}
        if isinstance(self, Unigram):  # what is unknown is called what it is
            names.pop(self._node["unk_id"], None)
        data, found, at = sequence.encode(), list[Token](), 0
        for id, size, back in tokenize(parse_tokenizer_json({"model": self._node}).model)(sequence) if sequence else ():
            name = names[id] if id in names else data[at - back : at + size].decode()
            found.append(Token(id, name, (at - back, at + size)))
            at += size
        return found

    def save(self, folder: str, prefix: str | None = None) -> list[str]:
        """Write the vocabulary, and merges where there are any, to files of a folder, and return their paths."""
        before = "" if prefix is None else f"{prefix}-"
        files = {Path(folder, f"{before}{name}"): text for name, text in self._files().items()}
        for path, text in files.items():
            with replacing(path) as stream:
                stream.write(text.encode())
        return list(map(str, files))

    def _files(self) -> dict[str, str]:
        """Return the contents of the files that `save` writes, by their names."""
        return {"vocab.json": json.dumps(dict(sorted(self.vocabulary().items(), key=_by_id)), ensure_ascii=False)}


def _by_id(item: tuple[str, int]) -> int:
    return item[1]


def vocab_of(node: Json) -> Vocab:
    """Return the tokens of a model and their ids; of Unigram an id is a place in the list."""
    vocab = node.get("vocab") or {}
    return vocab if isinstance(vocab, dict) else {piece[0]: id for id, piece in enumerate(vocab)}


def _read_json(path: str) -> Vocab:
    vocab = json.loads(Path(path).read_bytes())
    if not isinstance(vocab, dict):
        raise ValueError(f"{path}: a vocabulary is a JSON object, got {type(vocab).__name__}")
    return vocab


class BPE(Model):
    """Byte pair encoding.

    Parameters
    ----------
    vocab : dict of str to int, or path of a ``vocab.json``, optional
    merges : list of (str, str), or path of a ``merges.txt``, optional
        The first one first.
    dropout, unk_token, continuing_subword_prefix, end_of_word_suffix, fuse_unk, byte_fallback, ignore_merges
        As in a ``tokenizer.json``. (A tokenizer with a dropout other than 0 is refused when it is used.)
    """

    def __init__(
        self,
        vocab: Vocab | str | None = None,
        merges: Merges | str | None = None,
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
        if isinstance(vocab, str) or isinstance(merges, str):
            if not (isinstance(vocab, str) and isinstance(merges, str)):
                raise TypeError("vocab and merges must both be paths, or neither")
            vocab, merges = self.read_file(vocab, merges)
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

    @staticmethod
    def read_file(vocab: str, merges: str) -> tuple[Vocab, Merges]:
        """Return what a ``vocab.json`` and a ``merges.txt`` hold."""
        pairs: Merges = []
        for number, line in enumerate(Path(merges).read_text("utf-8").split("\n"), 1):
            if line and not line.startswith("#version"):
                left, space, right = line.rstrip("\r").partition(" ")
                if not space or " " in right:
                    raise ValueError(f"{merges}: line {number} is no pair of tokens: {line[:80]!r}")
                pairs.append((left, right))
        return _read_json(vocab), pairs

    @classmethod
    def from_file(cls, vocab: str, merges: str, **settings: Any) -> Self:
        """Return the model of a ``vocab.json`` and a ``merges.txt``."""
        return cls(*cls.read_file(vocab, merges), **settings)

    def _files(self) -> dict[str, str]:
        lines = (merge if isinstance(merge, str) else " ".join(merge) for merge in self._node["merges"])
        return super()._files() | {"merges.txt": "".join(f"{line}\n" for line in ["#version: 0.2", *lines])}


class WordPiece(Model):
    """The longest token first, from the left.

    Parameters
    ----------
    vocab : dict of str to int, or path of a ``vocab.txt``, optional
    unk_token, max_input_chars_per_word, continuing_subword_prefix
        As in a ``tokenizer.json``.
    """

    def __init__(
        self,
        vocab: Vocab | str | None = None,
        unk_token: str = "[UNK]",
        max_input_chars_per_word: int = 100,
        continuing_subword_prefix: str = "##",
    ) -> None:
        super().__init__(
            unk_token=unk_token,
            continuing_subword_prefix=continuing_subword_prefix,
            max_input_chars_per_word=max_input_chars_per_word,
            vocab=self.read_file(vocab) if isinstance(vocab, str) else dict(vocab or {}),
        )

    @staticmethod
    def read_file(vocab: str) -> Vocab:
        """Return what a ``vocab.txt`` holds: a token a line."""
        lines = Path(vocab).read_text("utf-8").split("\n")
        return {line.rstrip(): id for id, line in enumerate(lines if lines[-1] else lines[:-1])}

    @classmethod
    def from_file(cls, vocab: str, **settings: Any) -> Self:
        """Return the model of a ``vocab.txt``."""
        return cls(cls.read_file(vocab), **settings)

    def _files(self) -> dict[str, str]:
        return {"vocab.txt": "".join(f"{token}\n" for token, _ in sorted(self.vocabulary().items(), key=_by_id))}


class WordLevel(Model):
    """A piece is a token, or unknown.

    Parameters
    ----------
    vocab : dict of str to int, or path of a ``vocab.json``, optional
    unk_token : str
    """

    def __init__(self, vocab: Vocab | str | None = None, unk_token: str = "<unk>") -> None:
        given = self.read_file(vocab) if isinstance(vocab, str) else dict(vocab or {})
        super().__init__(vocab=given, unk_token=unk_token)

    read_file = staticmethod(_read_json)

    @classmethod
    def from_file(cls, vocab: str, unk_token: str = "<unk>") -> Self:
        """Return the model of a ``vocab.json``."""
        return cls(cls.read_file(vocab), unk_token)


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
        self, vocab: list[tuple[str, float]] | None = None, unk_id: int | None = None, byte_fallback: bool = False
    ) -> None:
        pieces: list[Any] = [list(piece) for piece in vocab or [("<unk>", 0.0)]]
        super().__init__(unk_id=0 if vocab is None else unk_id, vocab=pieces, byte_fallback=bool(byte_fallback))

    def _files(self) -> dict[str, str]:
        return {"unigram.json": json.dumps({name: self._node[name] for name in ("unk_id", "vocab", "byte_fallback")})}
