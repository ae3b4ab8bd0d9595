"""Where the tokens of a single text stand, and in which words: by the short ways that serve most texts.

What the core does for a batch in arrays costs a single short text more than encoding it. So one text at a time is
walked along its tokens here, by the rules of `fastemb._text.spans`: a way is taken only where it is known to be exact,
and checks that the tokens are as long as the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

from ..._text.components import TokenizerFile
from ..._text.core import Core
from ..._text.place import place_one
from ..._text.placing import Placing
from ..._text.span_tables import SpanTables

Offsets = list[tuple[int, int]]


class Places:
    """The short ways of one tokenizer."""

    def __init__(
        self,
        file: TokenizerFile,
        core: Core,
        placing: Placing,
        trims: Sequence[bool],
        actions: bytes,
    ) -> None:
        """Take what is known of it; `trims` says of each step that trims offsets whether the first token keeps one."""
        self._actions = actions
        self._file, self._core, self._placing, self._trims = file, core, placing, trims
        self._added = frozenset(token.id for token in file.added)

    def offsets(self, text: str, ids: list[int], is_first: bool) -> Offsets | None:
        """Return where tokens stand in a text; None: take the general road.

        `is_first` says whether nothing stands before the text in its row.
        """
        if self._placing.in_c and not self._trims:
            walked = place_one(self._core, text, self._actions, ids)
            return None if walked is None else walked[0]
        told, tables = self._placing.told, self._tables
        if tables is None or not (told != "unchanged" or text.isascii()):
            return None
        chars = list(map(self._chars.__getitem__, ids))
        extra = sum(chars) - len(text)
        if extra and not (extra == 1 and self._may_have_mark and self._added.isdisjoint(ids)):
            return None
        if extra != 1 and tables.prepends and text:
            return None
        # Where each token begins and the last one ends. What stands before the text is of no character of it.
        spans = list(pairwise(accumulate(chars, initial=-extra)))
        if not self._inside.isdisjoint(ids):
            spans = [(start - (id in self._inside), stop) for id, (start, stop) in zip(ids, spans, strict=True)]
        if extra:
            for number, (start, stop) in enumerate(spans):
                if start >= 0 and stop >= 1:  # and so it is from here on
                    break
                spans[number] = max(start, 0), max(stop, 1)
        for keeps_first in self._trims:
            spans = self._trimmed(spans, ids, keeps_first, is_first)
        return spans

    def words(self, text: str, ids: list[int]) -> list[int | None] | None:
        """Return in which word each token stands; None: take the general road."""
        if self._placing.in_c:
            walked = place_one(self._core, text, self._actions, ids)
            return None if walked is None else list(walked[1])
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
        ends, sizes = self._core.pieces(data)[1].tolist(), self._sizes
        word = at = 0
        words = list[int | None]()
        for id in ids:
            if word < len(ends) and at >= ends[word]:
                word += 1
            words.append(word)
            at += sizes[id]
        return words if at == len(data) and (not ids or word == len(ends) - 1) else None

    @cached_property
    def in_arrays(self) -> bool:
        """Whether the core finds places in arrays, which for many texts is quicker than to walk along them here."""
        return self._placing.told != "none" or self._placing.in_c

    # ---------------------------------------------------------------- tokens that are as long as their text

    @cached_property
    def _tables(self) -> SpanTables | None:
        """What is known of all ids; None: not enough."""
        return None if self._placing.told == "none" or self._placing.tables.unsure is not None else self._placing.tables

    @cached_property
    def _chars(self) -> list[int]:
        """By id, how many characters begin in a token."""
        found: list[int] = (self._placing.tables.widths >> 1).tolist()
        return found

    @cached_property
    def _inside(self) -> frozenset[int]:
        """The ids of tokens that begin inside a character."""
        return frozenset(np.flatnonzero(self._placing.tables.widths & 1).tolist())

    @cached_property
    def _sizes(self) -> list[int]:
        """By id, how many bytes of text a token stands for; 0: not always as many."""
        return self._placing.tables.sizes.tolist()

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
