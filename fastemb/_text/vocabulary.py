"""What every reader returns: a vocabulary as the C core takes it, and the metadata that only Python needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int32]


def _byte_chars() -> list[str]:
    """Return the character by which GPT-2's files write each byte.

    Printable Latin-1 bytes stand for themselves; the others take the code points from 256 on, in order.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    chars = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [chars[byte] for byte in range(256)]


BOM = b"\xef\xbb\xbf"  # dropped at the start of any text file: it says UTF-8, and is no part of the text
BYTE_CHARS = _byte_chars()
CHAR_BYTES = {char: byte for byte, char in enumerate(BYTE_CHARS)}
_SPELLED = dict(enumerate(BYTE_CHARS))


def spelled(token: bytes) -> str:
    """Return bytes as GPT-2's files write them."""
    return token.decode("latin-1").translate(_SPELLED)


class DamagedVocabularyError(ValueError):
    """A vocabulary that cannot be right; the reader adds the file's name."""


class Merges(NamedTuple):
    """The merge list as token numbers, each of shape (M,): the position is the priority."""

    left: Numbers
    right: Numbers
    result: Numbers


NO_MERGES = Merges(*(np.empty(0, np.int32) for _ in range(3)))


@dataclass(frozen=True)
class AddedToken:
    """A token matched in the text before anything else sees it."""

    content: str
    id: int
    special: bool
    late: bool = False  # matched only in what the tokens that are not late left over, normalized
    lstrip: bool = False  # takes the white space before it too
    rstrip: bool = False  # and behind it
    single_word: bool = False  # not beside a letter, a digit or an underscore


@dataclass(frozen=True)
class Metadata:
    """What Python has to know of a tokenizer.

    The first three fields are kept by C, in sections of their own; the others are the notes of the tokenizer's file, as
    JSON, of which no length and no id depends.
    """

    added: list[AddedToken] = field(default_factory=list)
    before: list[int] = field(default_factory=list)  # ids that the template puts before a text
    after: list[int] = field(default_factory=list)  # ids that the template puts behind a text
    joined_by: str = ""  # decoding: what stands between two tokens
    strip_start: bool = False  # decoding: one space at the start is dropped
    names: list[str] | None = None  # of the tokens, by number, as the file writes them; None: bytes as BYTE_CHARS
    pattern: list[str] | None = None  # regular expressions that C does not know
    dialect: Literal["fancy", "oniguruma"] = "fancy"
    steps: dict[str, Any] | None = None  # of a tokenizer.json, as saved_steps.py writes them

    @property
    def general_road(self) -> bool:
        """Whether Python encodes, by the steps."""
        return self.steps is not None and self.steps.get("general_road") is True

    def to_bytes(self) -> bytes:
        """Return the notes as JSON; behind a NUL the names, which may be many and are read when asked for."""
        names = b"" if self.names is None else _names_to_bytes(self.names)
        notes = {name: getattr(self, name) for name in _NOTES}
        return json.dumps(notes, ensure_ascii=False).encode() + b"\0" + names

    @classmethod
    def from_bytes(
        cls, text: bytes, tokens: int, added: list[AddedToken], before: list[int], after: list[int]
    ) -> Metadata:
        """Read what `to_bytes` gave, but for the names, for a tokenizer of so many tokens.

        Raises
        ------
        ValueError
            It is something else: no JSON, or nested too deeply, or of another shape; or the names are not as many as
            the tokens.
        """
        head, _, names = text.partition(b"\0")
        try:
            notes = json.loads(head)
        except RecursionError:
            raise ValueError("its notes are nested too deeply") from None
        if not isinstance(notes, dict) or notes.keys() != _NOTES.keys():
            raise ValueError(f"its notes must have the fields {', '.join(_NOTES)}")
        for name, is_valid in _NOTES.items():
            if not is_valid(notes[name]):
                raise ValueError(f"its notes have {name} = {str(notes[name])[:80]!r}")
        lines = names.startswith(b"\n") and names.decode().count("\n") == tokens
        if names and not lines and not _are_names(names_in(text), tokens):
            raise ValueError("its notes do not name each of its tokens")
        return cls(added, before, after, **notes)


def _is_text(value: Any) -> bool:
    """Return whether a value of JSON is a str that has a UTF-8 form."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _is_pattern(value: Any) -> bool:
    return value is None or (isinstance(value, list) and bool(value) and all(map(_is_text, value)))


def _are_names(names: Any, tokens: int) -> bool:
    return isinstance(names, list) and len(names) == tokens and all(map(_is_text, names))


# The fields of the notes, and what each may be.
_NOTES: dict[str, Callable[[Any], bool]] = {
    "joined_by": _is_text,
    "strip_start": lambda value: isinstance(value, bool),
    "pattern": _is_pattern,
    "dialect": lambda value: value in ("fancy", "oniguruma"),
    "steps": lambda value: value is None or isinstance(value, dict),  # read by saved_steps.py
}


def names_in(metadata: bytes) -> list[str] | None:
    """Return the names of tokens in what `Metadata.to_bytes` gave."""
    names = metadata.partition(b"\0")[2]
    if names.startswith(b"\n"):
        return names[1:].decode().split("\n")
    return json.loads(names) if names else None


def _names_to_bytes(names: list[str]) -> bytes:
    """Return names as lines behind an empty line, which is quickly done; as JSON where a name holds a line end."""
    lines = "\n".join(names)
    if lines.count("\n") != len(names) - 1:
        return json.dumps(names, ensure_ascii=False).encode()
    return b"\n" + lines.encode()


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary as fe_model describes it. Tokens have numbers from 0 on; with ranks, in the order of their ranks."""

    flags: int
    token_bytes: bytes  # what each token decodes to, end to end
    token_offsets: npt.NDArray[np.int64]  # (n + 1,)
    token_ids: Numbers  # (n,)
    vocab: int  # how many tokens, the first ones, can come out of text; the others only decode
    byte_tokens: Numbers  # (256,), -1 where a byte is no symbol
    metadata: Metadata
    pattern: int = 0
    chain: Any = None  # a Chain, where the pattern is FE_PATTERN_PROGRAM
    unk: int = -1
    merges: Merges = NO_MERGES
    tied: int = 0  # FE_MADE_RANKS: the merges from this one on have one priority
    char_codes: npt.ArrayLike = ()
    char_tokens: npt.ArrayLike = ()
    pair_left: npt.ArrayLike = ()
    pair_right: npt.ArrayLike = ()
    word_prefix: bytes = b""  # words: what names of tokens that go on begin with
    word_chars: int = 0  # words: characters of the longest word that is cut
    normal: bytes = b""  # the steps by which a text is normalized first
    # Names that a piece of characters may be as a whole, and their numbers; or those of pieces that have scores.
    wholes: Sequence[tuple[str, int]] = ()
    whole_scores: npt.ArrayLike = ()
    unk_score: float = 0.0  # of an unknown character


def with_own_text(v: Vocabulary) -> Vocabulary:
    """Return the vocabulary with added tokens that decode to their own text.

    At byte level readers take every token for bytes as GPT-2's files write them. Of an added token that is not in the
    model's vocabulary that is not so: its characters are its text, and mean no bytes.
    """
    contents = {token.id: token.content for token in v.metadata.added}
    ends = v.token_offsets.tolist()
    tokens, changed = [], False
    for number in range(v.vocab, v.token_ids.size):
        token = v.token_bytes[ends[number] : ends[number + 1]]
        content = contents.get(int(v.token_ids[number]))
        if content is not None and not content.isascii() and spelled(token) == content:
            token, changed = content.encode(), True
        tokens.append(token)
    if not changed:
        return v
    start = ends[v.vocab]
    more = np.cumsum(np.array([len(token) for token in tokens], np.int64))
    return replace(
        v,
        token_bytes=v.token_bytes[:start] + b"".join(tokens),
        token_offsets=np.concatenate([v.token_offsets[: v.vocab + 1], start + more]),
    )
