"""A BPE vocabulary as a `tokenizer.json` describes it, and how it becomes what the C core takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from operator import add, methodcaller
from typing import Any

import numpy as np
import numpy.typing as npt

from .chain import Chain
from .core import Core, Packed, ffi, lib
from .vocabulary import (
    BYTE_CHARS,
    CHAR_BYTES,
    AddedToken,
    DamagedVocabularyError,
    Merges,
    Metadata,
    Numbers,
    Vocabulary,
)

MARK = "\u2581"  # the lower one eighth block: SentencePiece writes it where a space stood
BYTE_TOKEN = re.compile(r"<0x[+0-9A-Fa-f][0-9A-Fa-f]>")  # what decodes as a byte; the plus sign as in Rust
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]  # SentencePiece's names

_BYTE_OF_CODE = np.full(1 << 16, -1, np.int16)
_BYTE_OF_CODE[[ord(char) for char in BYTE_CHARS]] = np.arange(256)


@dataclass(frozen=True)
class BpeModel:
    """One BPE vocabulary of either kind; the fields are those of a `tokenizer.json`."""

    vocab: dict[str, int]
    merges: Merges
    byte_level: bool  # symbols are bytes written as BYTE_CHARS, else characters
    pattern: int = 0  # byte level: fe_pattern
    chain: Chain | None = None  # FE_PATTERN_PROGRAM: what cuts the text
    whole_first: bool = False  # a piece that is a token is not merged
    add_prefix_space: bool = False  # byte level
    prepend_mark: bool = False  # characters
    prepend_once: bool = False  # with prepend_mark: not before a text that starts with a mark, or with a space
    prepend_first: bool = False  # with prepend_mark: only where the text starts, not behind an added token
    space_to_mark: bool = False  # characters
    split_marks: bool = False  # characters: every mark begins a piece
    prefix: str = ""  # before the name of a symbol that is not the first of its piece; no merge keeps it inside
    suffix: str = ""  # behind the name of the last symbol of a piece
    byte_fallback: bool = False
    fuse_unk: bool = False
    unk_token: str | None = None
    added: list[AddedToken] = field(default_factory=list)
    before: list[int] = field(default_factory=list)  # ids that the template puts before a text
    after: list[int] = field(default_factory=list)  # ids that the template puts behind a text
    joined_by: str = ""  # decoding: what stands between two tokens
    byte_chars: bool = False  # decoding: tokens are bytes written as BYTE_CHARS
    byte_tokens: bool = False  # decoding: a token like <0x41> is that byte
    mark_to_space: bool = False  # decoding: the mark is a space
    strip_start: bool = False  # decoding: one space at the start is dropped
    normal: bytes = b""  # Vocabulary.normal
    steps: dict[str, Any] | None = None  # of the tokenizer.json that the model is of
    keep_names: bool = False  # even where they follow from the bytes of tokens

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each token: its place in the vocabulary."""
        return number_tokens(self.vocab)

    def vocabulary(self) -> Vocabulary:
        """Return the vocabulary as the C core takes it."""
        names = list(self.vocab)
        extra = [token for token in self.added if token.content not in self.vocab]
        extra = list({token.id: token for token in extra}.values())
        spellings = names + [token.content for token in extra]
        token_bytes, offsets = self._token_bytes(spellings)
        # At byte level names follow from bytes, unless one holds a character by which no byte is written.
        implied = self.byte_level and self.byte_chars and CHAR_BYTES.keys() >= set("".join(spellings))
        ids = np.fromiter(chain(self.vocab.values(), (token.id for token in extra)), np.int32, len(spellings))
        affixes = bool(self.prefix or self.suffix)
        numbers, pairs = self.numbers, None if self.byte_level or affixes else self.inner_pairs()
        codes, chars = self._placed_symbols() if affixes else self._symbols()
        flags = {
            lib.FE_BYTE_LEVEL: self.byte_level,
            lib.FE_WHOLE_FIRST: self.whole_first,
            lib.FE_ADD_SPACE: self.add_prefix_space,
            lib.FE_PREPEND: self.prepend_mark,
            lib.FE_PREPEND_ONCE: self.prepend_once,
            lib.FE_PREPEND_FIRST: self.prepend_first,
            lib.FE_SPACE_MARK: self.space_to_mark,
            lib.FE_SPLIT_MARKS: self.split_marks,
            lib.FE_AFFIXES: affixes,
            # Parts of pieces are not to be looked up as whole ones.
            lib.FE_CUT: pairs is not None and not (self.whole_first and self.split_marks),
            lib.FE_BYTE_FALLBACK: self.byte_fallback,
            lib.FE_FUSE_UNK: self.fuse_unk,
        }
        byte_names = BYTE_CHARS if self.byte_level else BYTE_TOKENS
        return Vocabulary(
            flags=sum(flag for flag, on in flags.items() if on),
            token_bytes=token_bytes,
            token_offsets=offsets,
            token_ids=ids,
            vocab=len(names),
            byte_tokens=np.array([numbers.get(name, -1) for name in byte_names], np.int32),
            metadata=Metadata(
                self.added,
                self.before,
                self.after,
                self.joined_by,
                self.strip_start,
                None if implied and not self.keep_names else spellings,
                steps=self.steps,
            ),
            pattern=self.pattern,
            chain=self.chain,
            unk=-1 if self.unk_token is None else numbers[self.unk_token],
            merges=self.merges,
            char_codes=codes,
            char_tokens=chars,
            pair_left=() if pairs is None else pairs[0],
            pair_right=() if pairs is None else pairs[1],
            normal=self.normal,
            wholes=self._unmade() if self.whole_first and not self.byte_level else (),
        )

    def _symbols(self) -> tuple[list[int], list[int]]:
        """Return the code points that are symbols, and their tokens."""
        chars = [] if self.byte_level else [name for name in self.vocab if len(name) == 1]
        return [ord(char) for char in chars], [self.numbers[char] for char in chars]

    def _placed_symbols(self) -> tuple[list[int], list[int]]:
        """Return the codes of symbols by their place in a piece, and their tokens, as `fe_place_flags` has them."""
        codes, tokens = [], []
        for place in range(lib.FE_PLACES):
            before = "" if place & lib.FE_PLACE_FIRST else self.prefix
            after = self.suffix if place & lib.FE_PLACE_LAST else ""
            size, start, end = len(before) + 1 + len(after), len(before), len(before) + 1
            for number, name in enumerate(self.vocab):
                if len(name) != size or not name.startswith(before) or not name.endswith(after):
                    continue
                char = name[start:end]
                code = CHAR_BYTES.get(char) if self.byte_level else ord(char)
                if code is not None:
                    codes.append(code + place * lib.FE_PLACE)
                    tokens.append(number)
        return codes, tokens

    def _unmade(self) -> tuple[tuple[str, int], ...]:
        """Return the tokens, and their numbers, that merging does not make of their own names.

        Of the others nothing changes where a piece that is a token is not merged.
        """
        plain = replace(self, whole_first=False, prepend_mark=False, prepend_once=False, prepend_first=False, added=[])
        plain = replace(plain, split_marks=False, space_to_mark=False, before=[], after=[], normal=b"")
        core = Core(plain.vocabulary())
        names = [name for name in self.vocab if len(name) > 1]
        texts = Packed("".join(names).encode(), np.fromiter(map(len, names), np.int64, len(names)))
        ends, ids = np.empty(len(names), np.int64), np.empty(len(texts.utf8) + len(names), np.int32)
        with core.workspace() as workspace:
            _, status = core.encode(workspace, texts, b"", ends, ids=ids)
        if status != lib.FE_OK:
            raise MemoryError("out of memory while tokenizing the names of tokens")
        starts = np.concatenate([np.zeros(1, np.int64), ends])
        return tuple(
            (name, self.numbers[name])
            for name, start, end in zip(names, starts.tolist(), ends.tolist(), strict=False)
            if end - start != 1 or ids[start] != self.vocab[name]
        )

    def inner_pairs(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]] | None:
        """Return the pairs of code points that stand side by side inside a token that merging makes.

        Between two characters whose pair is in no such token a text may be cut before it is merged: no token
        could reach across (docs/design/tokenizer.md). None where byte tokens or the unknown token merge:
        the names of these tokens are not the text they stand for.
        """
        numbers = self.numbers
        apart = [numbers[token] for token in (*BYTE_TOKENS, self.unk_token) if token in numbers]
        if np.isin(self.merges.left, apart).any() or np.isin(self.merges.right, apart).any():
            return None
        made = set(self.merges.result.tolist())
        tokens = [token for number, token in enumerate(self.vocab) if number in made and token]
        codes = np.frombuffer("".join(tokens).encode("utf-32-le"), np.uint32)
        inside = np.ones(codes.size, bool)  # not across the border of two tokens
        inside[np.cumsum(np.fromiter(map(len, tokens), np.int64, len(tokens))) - 1] = False
        first = np.flatnonzero(inside)
        return codes[first], codes[first + 1]

    def _token_bytes(self, names: list[str]) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Return the bytes that the tokens of these names decode to, end to end, and where each token begins."""
        # Added tokens decode by the same rules as the others.
        if self.byte_chars:
            return _from_byte_chars(names)
        if self.byte_tokens:
            # A byte that stands for itself in "surrogateescape".
            names = [
                _escaped(int(name[3:5], 16)) if name[:3] == "<0x" and BYTE_TOKEN.fullmatch(name) else name
                for name in names
            ]
        text = "".join(names)
        if self.mark_to_space:
            text = text.replace(MARK, " ")  # one character for one
        ends = np.zeros(len(text) + 1, np.int64)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        escaped = (codes >= 0xDC80) & (codes <= 0xDCFF)
        np.cumsum(1 + ((codes >= 0x80) & ~escaped) + ((codes >= 0x800) & ~escaped) + (codes >= 0x10000), out=ends[1:])
        return text.encode("utf-8", "surrogateescape"), ends[_offsets(names)]


def _escaped(byte: int) -> str:
    return chr(byte if byte < 0x80 else 0xDC00 + byte)


def _offsets(names: list[str]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(names) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, names), np.int64, len(names)), out=offsets[1:])
    return offsets


def _from_byte_chars(names: list[str]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Return the bytes of names written as GPT-2's files do, and where each begins.

    A name with a character by which no byte is written stands for its own UTF-8.
    """
    text, offsets = "".join(names), _offsets(names)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    data = np.where(codes < _BYTE_OF_CODE.size, _BYTE_OF_CODE[codes & _BYTE_OF_CODE.size - 1], -1)
    spelled = data.astype(np.uint8).tobytes()
    parts, sizes, at = list[bytes](), np.diff(offsets), 0
    for number in np.unique(np.searchsorted(offsets, np.flatnonzero(data < 0), side="right") - 1).tolist():
        own = names[number].encode()
        parts += [spelled[at : offsets[number]], own]
        at, sizes[number] = int(offsets[number + 1]), len(own)
    starts = np.zeros(offsets.size, np.int64)
    np.cumsum(sizes, out=starts[1:])
    return b"".join([*parts, spelled[at:]]), starts


def number_tokens(vocab: dict[str, int]) -> dict[str, int]:
    """Return the place of each token in the vocabulary; usually that is its id."""
    return (
        vocab if list(vocab.values()) == list(range(len(vocab))) else dict(zip(vocab, range(len(vocab)), strict=True))
    )


def is_id(id: Any) -> bool:
    """Return whether `id` is an integer that the C core can hold."""
    return type(id) is int and 0 <= id < 2**31 - 1


def is_text(text: Any) -> bool:
    """Return whether `text` is a str that has a UTF-8 form: JSON's escapes can write lone surrogates."""
    try:
        return isinstance(text, str) and text.encode() is not None
    except UnicodeEncodeError:
        return False


def check_vocab(vocab: Any, may_be_empty: bool = False) -> dict[str, int]:
    """Return the vocabulary if it maps token strings to ids."""
    if not isinstance(vocab, dict) or not (vocab or may_be_empty):
        raise DamagedVocabularyError("its vocabulary is missing or empty")
    if not vocab:
        return {}
    ids = vocab.values()
    if {*map(type, ids)} != {int} or min(ids) < 0 or max(ids) >= 2**31 - 1:
        token, id = next(item for item in vocab.items() if not is_id(item[1]))
        raise DamagedVocabularyError(f"token {token!r} has the id {id!r}, not an integer from 0 to 2**31 - 2")
    if len(set(ids)) != len(vocab):
        raise DamagedVocabularyError("two tokens of its vocabulary share an id")
    if not is_text("".join(vocab)):
        raise DamagedVocabularyError("a token of its vocabulary holds half a surrogate pair")
    return vocab


def read_merges(merges: Any, vocab: dict[str, int], prefix: str = "") -> Merges:
    """Return the merges as token numbers, from either form the format has: ``"a b"`` or ``["a", "b"]``.

    Of the right one as many bytes as `prefix` has are not in the result.
    """
    if not isinstance(merges, list):
        raise DamagedVocabularyError("its merges are missing")
    if merges and isinstance(merges[0], str) and merges[0].startswith("#version"):
        merges = merges[1:]
    found = None if prefix else _read_lines(merges, vocab)
    if found is not None:
        return found
    # Each step is one pass at C speed, and no list is made for each merge: a file has some hundred thousand merges.
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
    tokens = left, right, list(map(add, left, [_without(token, prefix) for token in right] if prefix else right))
    numbers = number_tokens(vocab)
    try:
        return Merges(*(_numbers(numbers, part) for part in tokens))
    except KeyError as error:
        missing = error.args[0]
        rank = min(part.index(missing) for part in tokens if missing in part)
        raise DamagedVocabularyError(
            f"merge {rank}, {merges[rank]!r}, needs {missing!r}, which is not in the vocabulary"
        ) from None


def _without(token: str, prefix: str) -> str:
    """Return a token without as many bytes as the prefix has, whatever they are."""
    size = len(prefix.encode())
    try:
        rest = token.encode()[size:].decode()
    except UnicodeDecodeError:
        rest = ""
    if len(token.encode()) < size or (not rest and token.encode()[size:]):
        raise DamagedVocabularyError(f"a merge has {token!r} on its right, which does not begin with {prefix!r}")
    return rest


def _read_lines(merges: list[Any], vocab: dict[str, int]) -> Merges | None:
    """Return merges by the C reader; None where only the long way can read them or say what is wrong."""
    try:
        lines, names = "\n".join(merges), "\n".join(vocab)
    except TypeError:
        return None
    if not merges or lines.count("\n") >= len(merges) or names.count("\n") >= len(vocab):
        return None  # a line end inside a token
    found = Merges(*(np.empty(len(merges), np.int32) for _ in range(3)))
    try:
        text, known = lines.encode(), names.encode()
    except UnicodeEncodeError:
        return None
    targets = [ffi.from_buffer("int32_t[]", part, require_writable=True) for part in found]
    status = lib.fe_merges_read(known, len(known), len(vocab), text, len(text), len(merges), *targets)
    return found if status == lib.FE_OK else None


def _is_pair(merge: str | list[Any]) -> bool:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    return len(parts) == 2 and all(isinstance(part, str) for part in parts)


def _numbers(numbers: dict[str, int], tokens: Sequence[str]) -> Numbers:
    return np.fromiter(map(numbers.__getitem__, tokens), np.int32, len(tokens))
