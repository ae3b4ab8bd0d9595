"""The general road: text → ids through any steps that a `tokenizer.json` can have, in plain Python.

It is exact, knows where in the text each token stands, and is slow; what C can do exactly, C does instead. So it is the
oracle of the tests as well: added tokens of the raw text → normalizers → added tokens of the normalised text →
pre-tokenizers → model, as the format's own engine has it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .component_reader import Unsupported
from .components import TokenizerFile
from .core import NO_LIMIT, Core, Ids, Offsets, SpecialTokenFound, lib
from .road_added import TEXT, Part, finders
from .road_core import as_bytes, encode_pieces
from .road_cuts import Cut, pre_tokenizer
from .road_models import Token, Tokenize, tokenize
from .road_normal import normalizer
from .road_text import Stretch, whole
from .rows import cut_rows
from .texts import repaired

REMEMBERED = 1 << 16  # pieces, each with its tokens; then all are forgotten
LONGEST_REMEMBERED = 64  # characters


class Placed(NamedTuple):
    """A token of a text, and from which character up to which it stands there."""

    id: int
    start: int
    end: int
    added: bool  # an added token that stands in the text, and none of the model's


class Road:
    """A tokenizer of any steps. It never changes but for what it remembers, so any number of threads may use it."""

    def __init__(self, file: TokenizerFile, core: Core | None = None, by_c: str = "") -> None:
        """Make the functions of all steps; `by_c` says what `core` does, one of saved_steps.BY_C.

        Raises
        ------
        Unsupported
            A pattern has no translation, or an added token is nothing behind the normalizers.
        ImportError
            A pattern needs the package `regex`.
        """
        self._added = file.added
        try:
            self._normalizers = [normalizer(step) for step in file.normalizers]
            self._cuts = [pre_tokenizer(step) for step in file.pre_tokenizers]
        except ValueError as error:
            raise Unsupported(str(error)) from None
        for token in file.added:
            if token.late and not self._normalized(whole(token.content)).text:
                raise Unsupported(f"added token {token.content!r}, of which the normalizers leave nothing")
        self._raw, self._late = finders(file.added, lambda content: self._normalized(whole(content)).text)
        self._file, self._core, self._by_c = file, core, by_c
        self._remembered: dict[str, list[Token]] = {}

    @cached_property
    def _tokenize(self) -> Tokenize:
        return tokenize(self._file.model)

    def encode(self, text: str, actions: bytes) -> list[Placed]:
        """Return the tokens of a text without surrogates; `actions` has one fe_token_action for each added token.

        Raises
        ------
        SpecialTokenFound
            A token is found that was to be refused.
        """
        found: list[Placed] = []
        for number, piece in self._pieces(text, actions, self._cuts):
            if number == TEXT:
                found += _placed(text, piece, self._tokens(piece.text))
            else:
                found.append(Placed(self._added[number].id, piece.starts[0], piece.ends[-1], True))
        return found

    def ids(self, text: str, actions: bytes) -> list[int]:
        """Return the ids of what `encode` returns."""
        found: list[int] = []
        for number, piece in self._pieces(text, actions, self._cuts):
            if number == TEXT:
                found += [token.id for token in self._tokens(piece.text)]
            else:
                found.append(self._added[number].id)
        return found

    def words(self, text: str, actions: bytes) -> list[int]:
        """Return of each token that `encode` returns the number of its piece; an added token is one by itself."""
        found: list[int] = []
        for word, (number, piece) in enumerate(self._pieces(text, actions, self._cuts)):
            found += [word] if number != TEXT else [word] * len(self._tokens(piece.text))
        return found

    def called(
        self, text: str, actions: bytes, added: Container[int], by_model: Mapping[int, str], unk: int | None
    ) -> list[str | None]:
        """Return what each token that `encode` returns is called there, None where its id alone says it.

        Those of `added` are what was found of the text, and a token `unk` is what its piece has where it stands;
        `by_model` are names of tokens that the model finds.
        """
        found: list[str | None] = []
        for number, piece in self._pieces(text, actions, self._cuts):
            if number != TEXT:
                found.append(piece.text if self._added[number].id in added else None)
                continue
            tokens = self._tokens(piece.text)
            if unk is None or all(token.id != unk for token in tokens):
                found += [by_model.get(token.id) for token in tokens]
                continue
            data, at = piece.text.encode(), 0
            for token in tokens:
                at += token.size
                found.append(data[at - token.size : at].decode() if token.id == unk else by_model.get(token.id))
        return found

    def rows(self, texts: Sequence[str], actions: bytes, limit: int = NO_LIMIT) -> tuple[Ids, Offsets]:
        """Return the ids of texts, row after row, and the offsets of the rows (one more than texts).

        Raises
        ------
        SpecialTokenFound
            As `encode`, with the number of the text.
        """
        flat, ends, pieces = list[int](), [0], list[bytes]()
        for number, text in enumerate(texts):
            try:
                if self._by_c:
                    flat += self._for_c(repaired(text), actions, pieces)
                else:
                    flat += self.ids(repaired(text), actions)
            except SpecialTokenFound as found:
                raise SpecialTokenFound(found.token, number, found.place) from None
            ends.append(len(flat))
        found_ids, offsets = np.array(flat, np.int32), np.array(ends, np.int64)
        if self._core is not None and self._by_c:
            pattern = lib.FE_PATTERN_OWN if self._by_c == "rest" else lib.FE_PATTERN_NONE
            found_ids, offsets = _filled(found_ids, offsets, *encode_pieces(self._core, pieces, pattern))
        return cut_rows(found_ids, offsets, limit)

    def _for_c(self, text: str, actions: bytes, pieces: list[bytes]) -> Iterator[int]:
        """Yield the ids of added tokens, and `TEXT` for each piece, which is put to `pieces` as C reads it."""
        spell = as_bytes if self._by_c == "spelled pieces" else str.encode
        for number, piece in self._pieces(text, actions, [] if self._by_c == "rest" else self._cuts):
            if number == TEXT:
                pieces.append(spell(piece.text))
                yield TEXT
            else:
                yield self._added[number].id

    def _pieces(self, text: str, actions: bytes, cuts: list[Cut]) -> Iterator[Part]:
        """Yield added tokens and pieces of text, in their order."""
        for number, segment in self._raw.parts(whole(text), actions):
            if number != TEXT:
                yield number, segment
                continue
            for late, stretch in self._late.parts(self._normalized(segment), actions):
                if late != TEXT:
                    yield late, stretch
                    continue
                pieces = [stretch]
                for cut in cuts:
                    pieces = [part for piece in pieces for part in cut(piece)]
                for piece in pieces:
                    yield TEXT, piece

    def plain_pieces(self, text: str) -> list[str]:
        """Return the pieces of a text in which no added token is looked for, as training has them."""
        pieces = [self._normalized(whole(text))] if text else []
        for cut in self._cuts:
            pieces = [part for piece in pieces if piece.text for part in cut(piece)]
        return [piece.text for piece in pieces if piece.text]

    def _normalized(self, stretch: Stretch) -> Stretch:
        for normalize in self._normalizers:
            stretch = normalize(stretch)
        return stretch

    def _tokens(self, piece: str) -> list[Token]:
        tokens = self._remembered.get(piece)
        if tokens is None:
            tokens = self._tokenize(piece)
            if len(piece) <= LONGEST_REMEMBERED:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered = {}
                self._remembered[piece] = tokens
        return tokens


def _filled(ids: Ids, offsets: Offsets, inner: Ids, inner_offsets: Offsets) -> tuple[Ids, Offsets]:
    """Return rows in which each `TEXT` has become the ids of a piece, one after another."""
    sizes = np.ones(ids.size, np.int64)
    sizes[ids == TEXT] = np.diff(inner_offsets)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    added = ids != TEXT
    if not added.any():
        return inner, ends[offsets]
    out, is_inner = np.empty(int(ends[-1]), np.int32), np.ones(int(ends[-1]), bool)
    places = ends[:-1][added]
    out[places] = ids[added]
    is_inner[places] = False
    out[is_inner] = inner
    return out, ends[offsets]


def _placed(text: str, piece: Stretch, tokens: list[Token]) -> Iterator[Placed]:
    """Yield the tokens of a piece with the raw characters that each one has a byte of.

    Sizes add up from the start of the piece even where a character vanished, as in the format's own engine. Nor does
    that know where tokens stand that go beyond the end (the bytes of a prefix or suffix): it takes their bytes in the
    piece for bytes of the text.
    """
    owners = [k for k, char in enumerate(piece.text) for _ in char.encode()]
    at = 0
    for id, size, back in tokens:
        start, end, at = at - back, at + size, at + size
        if end <= len(owners):
            start, end = piece.starts[owners[start]], piece.ends[owners[end - 1]]
        else:
            start, end = _as_bytes(text, start, end)
        yield Placed(id, start, end, False)


def _as_bytes(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the characters of bytes `start` up to `end`, of which the last ones may be none; all: what was given."""
    owners = [k for k, char in enumerate(text) for _ in char.encode()]
    if start >= len(owners):
        return start, end
    if end < len(owners):
        return owners[start], owners[end]
    return owners[start], owners[end - 1] + 1 if end == len(owners) else owners[start] + 2
