"""Where the tokens of a single text stand, and in which words: by the short ways that serve most texts.

What the core does for a batch in arrays costs a single short text more than encoding it. So one text at a time is
walked along its tokens here, by the rules of `fastemb._text.spans`: a way is taken only where it is known to be exact,
and checks that the tokens are as long as the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from ..._text.components import BertNormalizer, BertPreTokenizer, TokenizerFile, WordPiece
from ..._text.core import Core
from ..._text.placing import Placing
from ..._text.road import Road
from ..._text.tables import Tables

Offsets = list[tuple[int, int]]
_CHUNKS = re.compile(r"[^\t\n\r ]+")  # what stands between white space that no step of BERT's reaches across
_PLAIN = re.compile(r"[\t\n\r -~]*")  # what BERT's normalizer changes in nothing but its case
_WORDS = re.compile(r"[0-9A-Za-z]+|[!-/:-@\[-`{-~]")  # and the words of it


class Places:
    """The short ways of one tokenizer."""

    def __init__(
        self,
        file: TokenizerFile,
        core: Core,
        placing: Placing,
        tables: Tables,
        trims: Sequence[bool],
        road: Callable[[], Road],
        actions: bytes,
    ) -> None:
        """Take what is known of it; `trims` says of each step that trims offsets whether the first token keeps one."""
        self._road, self._actions = road, actions
        self._file, self._core, self._placing, self._tables, self._trims = file, core, placing, tables, trims
        self._added = frozenset(token.id for token in file.added)
        kinds = tuple(map(type, file.normalizers)), tuple(map(type, file.pre_tokenizers))
        self._is_bert = kinds == ((BertNormalizer,), (BertPreTokenizer,)) and isinstance(file.model, WordPiece)

    def offsets(self, text: str, ids: list[int], is_first: bool) -> Offsets | None:
        """Return where tokens stand in a text; None: take the general road.

        `is_first` says whether nothing stands before the text in its row.
        """
        if self._is_bert:
            found = self._by_words(text, ids)
            return None if found is None else found[0]
        if self._widths is None or not (self._placing.told != "unchanged" or text.isascii()):
            return None
        widths, spans, at = self._widths, list[tuple[int, int]](), 0
        for id in ids:
            width = widths[id]
            spans.append((at - (width & 1), at := at + (width >> 1)))
        extra = at - len(text)
        if extra and not (extra == 1 and self._may_have_mark and self._added.isdisjoint(ids)):
            return None
        if extra != 1 and self._placing.tables.prepends and text:
            return None
        if extra:
            spans = [(max(start - 1, 0), max(stop - 1, 1)) for start, stop in spans]
        for keeps_first in self._trims:
            spans = self._trimmed(spans, ids, keeps_first, is_first)
        return spans

    def words(self, text: str, ids: list[int]) -> list[int | None] | None:
        """Return in which word each token stands; None: take the general road."""
        if self._is_bert:
            found = self._by_words(text, ids)
            return None if found is None else found[1]
        if not self._file.pre_tokenizers:  # all between added tokens is one word
            return [0] * len(ids) if self._added.isdisjoint(ids) else None
        told = self._placing.told
        if not self._has_pieces or not (told == "all" or (told == "unchanged" and text.isascii())):
            return None
        if not self._added.isdisjoint(ids):
            return None
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return None
        ends = self._core.pieces(data)[1].tolist()
        token_bytes, word, at = self._tables.token_bytes, 0, 0
        words = list[int | None]()
        for id in ids:
            if word < len(ends) and at >= ends[word]:
                word += 1
            words.append(word)
            at += len(token_bytes[id])
        return words if at == len(data) and (not ids or word == len(ends) - 1) else None

    @cached_property
    def in_arrays(self) -> bool:
        """Whether the core finds places in arrays, which for many texts is quicker than to walk along them here."""
        return self._placing.told != "none"

    # ---------------------------------------------------------------- tokens that are as long as their text

    @cached_property
    def _widths(self) -> list[int] | None:
        """By id, twice the characters that begin in a token, and 1 if it begins inside one; None: not enough."""
        if self._placing.told == "none":
            return None
        tables = self._placing.tables
        return None if tables.unsure is not None or tables.takers else tables.widths.tolist()

    @cached_property
    def _may_have_mark(self) -> bool:
        """Whether one mark or space may stand before the text that is not of it."""
        tables = self._placing.tables
        return tables.prepends or tables.adds_space or self._placing.told == "marked"

    @cached_property
    def _spaces(self) -> dict[int, tuple[int, int]]:
        """How many characters of white space tokens begin and end with, of those that do."""
        spaces = self._placing.tables.spaces
        return {int(id): (int(spaces[id, 0]), int(spaces[id, 1])) for id in np.flatnonzero(spaces.any(axis=1))}

    def _trimmed(self, spans: Offsets, ids: list[int], keeps_first: bool, is_first: bool) -> Offsets:
        """Return places without the white space at the ends of tokens, as `fe_trim_spans` does."""
        spaces, found = self._spaces, list(spans)
        for number, id in enumerate(ids):
            if id in spaces:
                (before, behind), (start, stop) = spaces[id], spans[number]
                kept = before == 1 and keeps_first and ((number == 0 and is_first) or start == 0)
                start = start if kept else min(start + before, stop)
                found[number] = start, max(stop - behind, start) if stop >= behind else stop
        return found

    @cached_property
    def _has_pieces(self) -> bool:
        """Whether C cuts texts into the pieces that the words are."""
        tables = self._placing.tables if self._placing.told != "none" else None
        is_plain = tables is not None and not (tables.adds_space or tables.prepends)
        return is_plain and bool(self._core.contents.pattern) and self._placing.told != "marked"

    # ---------------------------------------------------------------- BERT's words

    @cached_property
    def _sizes(self) -> Callable[[int], tuple[int, int]]:
        """How many characters a token is, at the start of a word and behind it; 0 is the whole word."""
        model, names = self._file.model, self._tables.name_by_id
        assert isinstance(model, WordPiece)
        prefix, unk = model.continuing_subword_prefix, self._tables.id_by_name.get(model.unk_token)
        known: dict[int, tuple[int, int]] = {}

        def sizes(id: int) -> tuple[int, int]:
            found = known.get(id)
            if found is None:
                name = names[id]
                inner = len(name) - len(prefix) if name.startswith(prefix) else -1
                found = known[id] = (0, 0) if id == unk else (len(name), inner)
            return found

        return sizes

    def _by_words(self, text: str, ids: list[int]) -> tuple[Offsets, list[int | None]] | None:
        """Return where tokens stand in a text, and in which words.

        Nothing reaches across ASCII white space, so what stands between it and is not all ASCII takes the general road
        by itself.
        """
        blocking, unknown = self._blocking
        if not blocking.isdisjoint(ids) or unknown in text:
            return None
        walk = _Walk(ids, self._sizes)
        if _PLAIN.fullmatch(text):
            walk.along(text, 0, len(text))
        else:
            for chunk in _CHUNKS.finditer(text):
                if _PLAIN.fullmatch(chunk[0]):
                    walk.along(text, *chunk.span())
                else:
                    walk.by_road(self._road(), chunk[0], chunk.start(), self._actions)
        return (walk.spans, walk.words) if walk.at == len(ids) else None

    @cached_property
    def _blocking(self) -> tuple[frozenset[int], str]:
        """Ids of which it is not known whether the model gave them, and a text that makes the unknown token one.

        The unknown token is mostly an added one too, which only its own text gives.
        """
        model = self._file.model
        assert isinstance(model, WordPiece)
        unk = self._tables.id_by_name.get(model.unk_token, -1)
        is_raw = any(token.id == unk and not token.late for token in self._file.added)
        return (self._added - {unk} if is_raw else self._added), model.unk_token or "\0"


class _Walk:
    """Tokens put to the words of a text, one behind the other; `at` is -1 once they do not fit."""

    def __init__(self, ids: list[int], sizes: Callable[[int], tuple[int, int]]) -> None:
        self.ids, self.sizes, self.at, self.word = ids, sizes, 0, 0
        self.spans, self.words = list[tuple[int, int]](), list[int | None]()

    def along(self, text: str, first: int, last: int) -> None:
        """Take the tokens of a part of the text that is ASCII."""
        ids, sizes, at, word = self.ids, self.sizes, self.at, self.word
        put, put_word = self.spans.append, self.words.append
        for match in _WORDS.finditer(text, first, last) if at >= 0 else ():
            start, end = match.span()
            begin = start
            while begin < end:
                size = -1 if at == len(ids) else sizes(ids[at])[begin != start] or end - begin
                if size < 0 or begin + size > end:
                    self.at = -1
                    return
                put((begin, begin + size))
                put_word(word)
                begin, at = begin + size, at + 1
            word += 1
        self.at, self.word = at, word

    def by_road(self, road: Road, part: str, base: int, actions: bytes) -> None:
        """Take the tokens of any part, which begins at `base`."""
        if self.at < 0 or any("\ud800" <= char <= "\udfff" for char in part):
            self.at = -1
            return
        placed, numbers = road.encode(part, actions), road.words(part, actions)
        fits = [one.id for one in placed] == self.ids[self.at : self.at + len(placed)]
        self.spans += [(base + one.start, base + one.end) for one in placed]
        self.words += [self.word + number for number in numbers]
        self.at, self.word = self.at + len(placed) if fits else -1, self.word + (numbers[-1] + 1 if numbers else 0)
