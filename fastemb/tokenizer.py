"""Text to token ids: `Tokenizer`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ._text.bpe_model import BpeModel
from ._text.core import Core, SpecialTokenFound
from ._text.gpt2_files import read_gpt2_files
from ._text.tokenizer_json import read_tokenizer_json
from .ragged import Ragged

__all__ = ["Tokenizer"]

T = TypeVar("T")
PLAIN, MATCH, REFUSE = range(3)  # fe_token_action
CONTEXT = 20  # bytes of text shown on each side of a refused token


class Tokenizer:
    r"""A byte pair encoding tokenizer, read from its maker's own files.

    Make one with `Tokenizer.load`. Any number of threads may use it at once. What pieces of text became is
    remembered, in 4 MiB for each call that runs at the same time (of 16 calls at most between calls); the ids do
    not depend on it.

    Notes
    -----
    Ids are those of Hugging Face's ``tokenizers`` for the same file: merges apply by their position in the
    file, then leftmost first [1]_. Nothing is ever cut off or padded, whatever ``truncation`` and ``padding``
    the file has: use `Ragged.pad`. A text of n characters takes O(n log n) time, and the search for added
    tokens at worst n times the length of the longest. A lone surrogate in a ``str`` is read as U+FFFD, a pair
    of surrogates as the character it stands for.

    References
    ----------
    .. [1] Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", 2016,
       arXiv:1508.07909.

    Examples
    --------
    >>> import json, pathlib, tempfile, fastemb
    >>> tokens = ["\u2581", "a", "b", "ab", "\u2581ab"]
    >>> model = {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": ["a b", "\u2581 ab"]}
    >>> steps = [
    ...     {"type": "Prepend", "prepend": "\u2581"},
    ...     {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    ... ]
    >>> file = pathlib.Path(tempfile.mkdtemp(), "tokenizer.json")
    >>> _ = file.write_text(json.dumps({"model": model, "normalizer": {"type": "Sequence", "normalizers": steps}}))
    >>> tokenizer = fastemb.Tokenizer.load(file)
    >>> tokenizer.encode("ab ba")
    array([4, 0, 2, 1], dtype=int32)
    >>> tokenizer.encode_batch(["ab", "", "b"]).offsets
    array([0, 1, 1, 3])
    """

    def __init__(self, model: BpeModel) -> None:
        self._model = model
        self._core = Core(model)
        self._fixed_actions = {
            name: bytes(action if token.special else MATCH for token in model.added)
            for name, action in (("none", PLAIN), ("all", MATCH), ("raise", REFUSE))
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a tokenizer.

        Parameters
        ----------
        path : path-like
            A ``tokenizer.json`` of Hugging Face's format under any name, or a folder that holds a
            ``tokenizer.json``, or GPT-2's ``encoder.json`` and ``vocab.bpe``. Of ``tokenizer.json``, BPE models
            of two kinds are read: byte level with GPT-2's pattern, and characters with SentencePiece's mark
            (with or without byte fallback).

        Returns
        -------
        Tokenizer

        Raises
        ------
        FileNotFoundError
            There is no such file, or the folder holds none of the files above.
        ValueError
            The file is damaged, or asks for something that is not supported; the message says where and what.
        """
        place = Path(path)
        if place.is_file():
            return cls(read_tokenizer_json(place))
        if not place.exists():
            raise FileNotFoundError(f"no tokenizer at {place}: there is no such file or folder")
        if (place / "tokenizer.json").is_file():
            return cls(read_tokenizer_json(place / "tokenizer.json"))
        encoder, merges = place / "encoder.json", place / "vocab.bpe"
        if encoder.is_file() and merges.is_file():
            return cls(read_gpt2_files(encoder, merges))
        raise FileNotFoundError(
            f"no tokenizer in {place}: it holds neither tokenizer.json nor encoder.json and vocab.bpe"
        )

    def encode(
        self, text: str, *, special: str | Iterable[str] = "none", template: bool = False
    ) -> npt.NDArray[np.int32]:
        """Return the token ids of one text.

        Parameters
        ----------
        text : str
            Any text; the empty one has no ids.
        special : {"none", "all", "raise"} or a set of str, default "none"
            What special tokens are where they stand in the text: ordinary text, tokens, an error, or tokens
            for those named and ordinary text for the others. Added tokens that the file does not mark special
            are always tokens.
        template : bool, default False
            Put the ids around the text that the file's template asks for (BOS, EOS, ...).

        Returns
        -------
        ndarray of int32, shape (N,)

        Raises
        ------
        TypeError
            `text` is no ``str``.
        ValueError
            With ``special="raise"``, a special token stands in the text; or `special` names no special token.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        return self.encode_batch([text], special=special, template=template).ids

    def encode_batch(
        self, texts: Sequence[str], *, special: str | Iterable[str] = "none", template: bool = False
    ) -> Ragged:
        """Return the token ids of many texts, one row a text, nothing padded.

        Parameters
        ----------
        texts : sequence of str, length S
            A single ``str`` is refused: it would be taken letter by letter.
        special, template
            As in `encode`.

        Returns
        -------
        Ragged
            S rows.

        Raises
        ------
        TypeError
            `texts` is a ``str``, or one of its items is none.
        ValueError
            As in `encode`.
        """
        texts = as_texts(texts)
        actions = self._actions(special)
        ids, offsets = self._guarded(self._core.encode, texts, actions)
        if template and (self._model.before or self._model.after):
            ids, offsets = _surround(ids, offsets, self._model.before, self._model.after)
        return Ragged._trusted(ids, offsets)

    def count(self, text: str, *, special: str | Iterable[str] = "none") -> int:
        """Return ``len(encode(text, special=special))`` without making the ids.

        Parameters
        ----------
        text : str
        special
            As in `encode`.

        Returns
        -------
        int
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        return self._guarded(self._core.count, [text], self._actions(special))

    def decode(self, ids: npt.ArrayLike, *, errors: str = "replace") -> str:
        """Return the text of token ids.

        Parameters
        ----------
        ids : array_like of int, shape (N,)
            Special tokens come out as their own text.
        errors : {"replace", "strict", "ignore"} or another error handler's name, default "replace"
            What to do with bytes that are no UTF-8, as in ``bytes.decode``. (Of byte fallback tokens in a row
            that are not all valid, ``tokenizers`` writes one U+FFFD for each, valid ones too.)

        Returns
        -------
        str

        Raises
        ------
        TypeError, IndexError
            `ids` are no integers; or one is no id of this vocabulary.
        UnicodeDecodeError
            With ``errors="strict"``, the bytes are no UTF-8.
        """
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """Return the bytes of token ids, which need not be whole characters.

        Parameters
        ----------
        ids : array_like of int, shape (N,)

        Returns
        -------
        bytes

        Raises
        ------
        TypeError, IndexError
            As in `decode`.
        """
        flat = np.asarray(ids)
        if flat.size == 0:
            return b""
        if flat.dtype.kind not in "iu" or flat.ndim != 1:
            raise TypeError(f"ids must be integers in one dimension, got {flat.dtype} of shape {flat.shape}")
        table = self._token_bytes
        try:
            text = self._model.joined_by.encode().join([table[id] for id in flat.tolist()])
        except KeyError as error:
            bad = error.args[0]
            position = flat.tolist().index(bad)
            raise IndexError(f"id {bad} at position {position} is no token of this vocabulary") from None
        return text.removeprefix(b" ") if self._model.strip_start else text

    @cached_property
    def vocab_size(self) -> int:
        """One more than the highest id, added tokens included: the rows that an embedding table needs."""
        return max([*self._model.vocab.values(), *(token.id for token in self._model.added)]) + 1

    @cached_property
    def _token_bytes(self) -> dict[int, bytes]:
        return self._model.token_bytes()

    @property
    def vocab(self) -> dict[str, int]:
        """The tokens as the file writes them, added ones included, and their ids (a new dict)."""
        return self._model.vocab | {token.content: token.id for token in self._model.added}

    @property
    def unk_id(self) -> int | None:
        """The id of the unknown token, None where the vocabulary has none."""
        return None if self._model.unk_token is None else self._model.vocab[self._model.unk_token]

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids."""
        return {token.content: token.id for token in self._model.added if token.special}

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[BpeModel]]:
        """Pickle and copy as the vocabulary; the C side is built anew."""
        return type(self), (self._model,)

    def __repr__(self) -> str:
        kind = "byte level" if self._model.byte_level else "characters"
        return f"<Tokenizer: BPE, {kind}, {self.vocab_size} ids, {self._model.merges.left.size} merges>"

    def _actions(self, special: str | Iterable[str]) -> bytes:
        """Return what to do with each added token."""
        if isinstance(special, str):
            if special not in self._fixed_actions:
                raise ValueError(f"special must be 'none', 'all', 'raise' or a set of special tokens, got {special!r}")
            return self._fixed_actions[special]
        try:
            chosen, names = set(special), set(self.special_tokens)
        except TypeError:
            raise TypeError(
                f"special must be 'none', 'all', 'raise' or a set of special tokens, got {special!r}"
            ) from None
        if not chosen <= names:
            unknown = sorted(chosen - names, key=str)
            raise ValueError(f"special names {unknown!r}, not among the special tokens {sorted(names)!r}")
        return bytes(PLAIN if token.special and token.content not in chosen else MATCH for token in self._model.added)

    def _guarded(self, call: Callable[[Sequence[str], bytes], T], texts: Sequence[str], actions: bytes) -> T:
        """Call the core; a token that was to be refused becomes a ValueError that says where it stands."""
        try:
            return call(texts, actions)
        except SpecialTokenFound as found:
            token, at = self._model.added[found.token].content, found.place
            near = texts[found.text][max(at - CONTEXT, 0) : at + len(token) + CONTEXT]
            where = f"text {found.text}, " if len(texts) > 1 else ""
            raise ValueError(
                f"special token {token!r} stands in the text ({where}character {at}: {near!r}); pass special='none' "
                f"to read it as ordinary text, or special='all' to make it a token"
            ) from None


def as_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts as they are now: the caller's list may change while another thread encodes it."""
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"texts must be a sequence of str, got one {type(texts).__name__}; for a single text call encode"
        )
    try:
        rows = tuple(texts)
    except TypeError:
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}") from None
    if {*map(type, rows)} <= {str}:  # one look at all types, at C speed
        return rows
    for i, text in enumerate(rows):
        if not isinstance(text, str):
            raise TypeError(f"texts must be str, got {type(text).__name__} at position {i}")
    return tuple(map(str.__str__, rows))  # a subclass may answer for its length as it likes


def _surround(
    ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], before: list[int], after: list[int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return every row with `before` in front of it and `after` behind."""
    rows = offsets.size - 1
    extra = len(before) + len(after)
    wide = offsets + extra * np.arange(rows + 1)
    out = np.empty(ids.size + rows * extra, np.int32)
    inner = np.ones(out.size, bool)
    for i, id in enumerate(before):
        out[wide[:-1] + i] = id
        inner[wide[:-1] + i] = False
    for i, id in enumerate(after):
        out[wide[1:] - len(after) + i] = id
        inner[wide[1:] - len(after) + i] = False
    out[inner] = ids
    return out, wide
