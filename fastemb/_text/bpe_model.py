"""A BPE vocabulary as its file describes it: what every reader returns and the C core is built from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import add, methodcaller
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

MARK = "\u2581"  # the lower one eighth block: SentencePiece writes it where a space stood


def _byte_chars() -> list[str]:
    """Return the character by which GPT-2's files write each byte.

    Printable Latin-1 bytes stand for themselves; the others take the code points from 256 on, in order.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    chars = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [chars[byte] for byte in range(256)]


BYTE_CHARS = _byte_chars()
BYTE_TOKEN = re.compile(r"<0x[+0-9A-Fa-f][0-9A-Fa-f]>")  # what decodes as a byte; the plus sign as in Rust
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]  # SentencePiece's names
CHAR_BYTES = {char: byte for byte, char in enumerate(BYTE_CHARS)}


class DamagedVocabularyError(ValueError):
    """A vocabulary that cannot be right; the reader adds the file's name."""


class Merges(NamedTuple):
    """The merge list as ids, each of shape (M,): the position is the priority."""

    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    result: npt.NDArray[np.int32]


@dataclass(frozen=True)
class AddedToken:
    """A token matched in the text before anything else sees it."""

    content: str
    id: int
    special: bool
    late: bool = False  # matched only in what the tokens that are not late left over


@dataclass(frozen=True)
class BpeModel:
    """One BPE vocabulary of either kind; the fields are those of a `tokenizer.json`."""

    vocab: dict[str, int]
    merges: Merges
    byte_level: bool  # symbols are bytes written as BYTE_CHARS, else characters
    split_gpt2: bool = False  # byte level: pieces are cut by GPT-2's pattern
    add_prefix_space: bool = False  # byte level
    prepend_mark: bool = False  # characters
    space_to_mark: bool = False  # characters
    byte_fallback: bool = False
    fuse_unk: bool = False
    unk_token: str | None = None
    added: list[AddedToken] = field(default_factory=list)
    before: list[int] = field(default_factory=list)  # ids that the template puts before a text
    after: list[int] = field(default_factory=list)
    joined_by: str = ""  # decoding: what stands between two tokens
    byte_chars: bool = False  # decoding: tokens are bytes written as BYTE_CHARS
    byte_tokens: bool = False  # decoding: a token like <0x41> is that byte
    mark_to_space: bool = False  # decoding: the mark is a space
    strip_start: bool = False  # decoding: one space at the start is dropped

    def inner_pairs(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]] | None:
        """Return the code points that stand side by side inside a token that merging makes.

        Between two characters that stand so in no such token a text may be cut before it is merged: no token
        could reach across (docs/design/tokenizer.md). None where byte tokens or the unknown token merge:
        their names are not the text they stand for.
        """
        apart = [self.vocab[token] for token in (*BYTE_TOKENS, self.unk_token) if token in self.vocab]
        if np.isin(self.merges.left, apart).any() or np.isin(self.merges.right, apart).any():
            return None
        made = set(self.merges.result.tolist())
        tokens = [token for token, id in self.vocab.items() if id in made and token]
        codes = np.frombuffer("".join(tokens).encode("utf-32-le"), np.uint32)
        inside = np.ones(codes.size, bool)  # not across the border of two tokens
        inside[np.cumsum([len(token) for token in tokens], dtype=np.int64) - 1] = False
        first = np.flatnonzero(inside)
        return codes[first], codes[first + 1]

    def token_bytes(self) -> dict[int, bytes]:
        """Return the bytes that each id decodes to."""
        table = {id: self._vocab_bytes(token) for token, id in self.vocab.items()}
        # Added tokens decode by the same rules as others do. At byte level one that is no such spelling is itself.
        return table | {token.id: self._vocab_bytes(token.content) for token in self.added}

    def _vocab_bytes(self, token: str) -> bytes:
        if self.byte_chars:
            try:
                return bytes(CHAR_BYTES[char] for char in token)
            except KeyError:
                return token.encode()
        if self.byte_tokens and BYTE_TOKEN.fullmatch(token):
            return bytes([int(token[3:5], 16)])
        return (token.replace(MARK, " ") if self.mark_to_space else token).encode()


def is_id(id: Any) -> bool:
    """Return whether `id` is an integer that the C core can hold."""
    return type(id) is int and 0 <= id < 2**31 - 1


def is_text(text: Any) -> bool:
    """Return whether `text` is a str that has a UTF-8 form: JSON's escapes can write lone surrogates."""
    try:
        return isinstance(text, str) and text.encode() is not None
    except UnicodeEncodeError:
        return False


def check_vocab(vocab: Any) -> dict[str, int]:
    """Return the vocabulary if it maps token strings to ids."""
    if not isinstance(vocab, dict) or not vocab:
        raise DamagedVocabularyError("its vocabulary is missing or empty")
    if not all(map(is_id, vocab.values())):
        token, id = next(item for item in vocab.items() if not is_id(item[1]))
        raise DamagedVocabularyError(f"token {token!r} has the id {id!r}, not an integer from 0 to 2**31 - 2")
    if len(set(vocab.values())) != len(vocab):
        raise DamagedVocabularyError("two tokens of its vocabulary share an id")
    if not is_text("".join(vocab)):
        raise DamagedVocabularyError("a token of its vocabulary holds half a surrogate pair")
    return vocab


def read_merges(merges: Any, vocab: dict[str, int]) -> Merges:
    """Return the merges as ids, from either form the format has: ``"a b"`` or ``["a", "b"]``."""
    if not isinstance(merges, list):
        raise DamagedVocabularyError("its merges are missing")
    # Each step is one pass at C speed, and no list a merge is made: a file has some hundred thousand of them.
    kinds = {*map(type, merges)}
    if kinds == {str}:
        sizes, flat = {*map(methodcaller("count", " "), merges)} - {1}, " ".join(merges).split(" ")
    elif kinds <= {list}:
        sizes, flat = {*map(len, merges)} - {2}, list(chain.from_iterable(merges))
    else:
        raise DamagedVocabularyError("its merges are neither all strings nor all pairs of strings")
    if sizes or not all(isinstance(token, str) for token in flat):
        rank = next(i for i, merge in enumerate(merges) if not _is_pair(merge))
        raise DamagedVocabularyError(f"merge {rank}, {merges[rank]!r}, is not a pair")
    left, right = flat[::2], flat[1::2]
    tokens = left, right, list(map(add, left, right))
    try:
        return Merges(*(_ids(vocab, part) for part in tokens))
    except KeyError as error:
        missing = error.args[0]
        rank = min(part.index(missing) for part in tokens if missing in part)
        raise DamagedVocabularyError(
            f"merge {rank}, {merges[rank]!r}, needs {missing!r}, which is not in the vocabulary"
        ) from None


def _is_pair(merge: str | list[Any]) -> bool:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    return len(parts) == 2 and all(isinstance(part, str) for part in parts)


def _ids(vocab: dict[str, int], tokens: Sequence[str]) -> npt.NDArray[np.int32]:
    return np.fromiter(map(vocab.__getitem__, tokens), np.int32, len(tokens))
