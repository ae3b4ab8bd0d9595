"""What the encodings of one call have in common: the texts, and all that is said of their ids, made when asked for.

Ids are made at once. Everything else is made for all texts of the call together, the first time that it is asked of
any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from ..._text.assemble import Rows, padded_length
from ..._text.batch import Asked, encode_rows
from ..._text.calls import Padding, Truncation
from ..._text.core import NO_LIMIT
from .built import Built
from .inputs import Items

LONG = 16  # characters an id that a text is sure to have too many of
FEW = 4  # texts of which places are found one by one
Pairs = list[tuple[int, int]]
Ranges = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Call:
    """How the texts of a call are encoded."""

    built: Built
    special: bool  # the template around them
    truncation: Truncation | None
    padding: Padding | None
    pad_token: str = ""
    pretokenized: bool = False
    windows: bool = False

    def of(self, is_pair: bool) -> tuple[bool, Truncation | None]:
        """Return whether ids are put around texts, and how these are cut: not at all where they find no room."""
        added = self.built.added[is_pair] if self.special else 0
        cut = self.truncation
        if cut is not None and cut.max_tokens == added:  # of the texts nothing is left, whoever was to give way
            cut = cut._replace(strategy="longest_first")
        return bool(added), None if cut is None or cut.max_tokens < added else cut

    def with_words(self) -> Call:
        """Return the same for texts that are lists of words."""
        return replace(self, pretokenized=True)

    def padded(self, longest: int) -> int:
        """Return to how many ids rows are filled up, of which the longest has so many."""
        if self.padding is None:
            return 0
        return padded_length(np.array([longest]), self.padding)

    @cached_property
    def _room(self) -> tuple[bool, int, int]:
        """Whether all texts are cut alike, how many ids a text may have, and how many are put around it."""
        template, cut = self.of(False)
        added = self.built.added[False] if template else 0
        parts = self.built.template(False, template)
        is_plain = sum(bool(part.text) for part in parts) == 1
        return is_plain, NO_LIMIT if cut is None else cut.max_tokens - added, added

    @cached_property
    def frame(self) -> tuple[list[list[int]], list[list[int]], int, bool]:
        """The ids before and behind a text, their types, the text's type, and whether nothing is before it."""
        template = self.built.template(False, self._room[2] > 0)
        at = next(place for place, part in enumerate(template) if part.text)
        sides = template[:at], template[at + 1 :]
        around = [[id for part in side for id in part.ids] for side in sides]
        types = [[part.type_id for part in side for _ in part.ids] for side in sides]
        behind = any(trim.behind_template for trim in self.built.calls.trims)
        return around, types, template[at].type_id, not (behind and around[0])

    def plain_row(self, text: str) -> Source | None:
        """Return the only row of a short text of which nothing is cut; None where it takes the general road."""
        built, (is_plain, room, added) = self.built, self._room
        if built.short is None or not is_plain:
            return None
        ids = built.core.encode_short(text, built.short)
        if ids is None or len(ids) > room:
            return None
        return Plain(self, (text,), ids.tolist(), [0, len(ids)], self.padded(len(ids) + added))

    def sources(self, items: Items, is_pretokenized: bool) -> list[tuple[Source, int]]:
        """Return what the encodings of a batch are rows of, and how many; first of texts that stand alone."""
        call = self.with_words() if is_pretokenized else self
        found = []
        if items.alone or not items.firsts:
            found.append((call.of_texts(items.alone), len(items.alone)))
        if items.firsts:
            found.append((Source(call, items.firsts, items.seconds).made(), len(items.firsts)))
        if len(found) == 2 and self.padding is not None and self.padding.length is None:
            longest = max(source.size(row) for source, count in found for row in range(count))
            fixed = replace(self, padding=self.padding._replace(length=longest))
            return fixed.sources(items, is_pretokenized)
        return found

    def of_texts(self, texts: list[Any]) -> Source:
        """Return what the encodings of texts that stand alone are rows of."""
        is_plain, room, added = self._room
        if self.pretokenized or not is_plain or (room < NO_LIMIT and max(map(len, texts), default=0) > LONG * room):
            return Source(self, texts, None).made()  # of a text that is cut, the rest is hardly looked at
        rows = self.built.tokenizer.encode_batch(texts, special=self.built.special)
        longest = int(rows.lengths.max(initial=0))
        if longest > room:
            return Source(self, texts, None).made()
        return Plain(self, texts, rows.ids.tolist(), rows.offsets.tolist(), self.padded(longest + added))


class Source:
    """The texts of a call, or their windows: rows of ids, and what is said of each id."""

    def __init__(self, call: Call, texts: Sequence[Any], pairs: Sequence[Any] | None) -> None:
        self.call, self.texts, self.pairs = call, texts, pairs

    # ---------------------------------------------------------------- rows

    def _rows(self, offsets: bool, words: bool) -> Rows:
        call, built = self.call, self.call.built
        is_pair = self.pairs is not None
        template, cut = call.of(is_pair)
        windows = call.windows and cut is not None
        count = built.words if words and not call.pretokenized else None
        unit: Any = "characters" if offsets else None
        asked = Asked(template, cut, windows, call.padding, unit, call.pretokenized, count)
        return encode_rows(built.options, built.placing, built.calls, asked, self.texts, self.pairs)

    @cached_property
    def rows(self) -> Rows:
        """The rows, without places and words."""
        return self._rows(False, False)

    @cached_property
    def _bounds(self) -> list[int]:
        bounds: list[int] = self.rows.offsets.tolist()
        return bounds

    def _part(self, values: list[Any], row: int) -> list[Any]:
        return values[self._bounds[row] : self._bounds[row + 1]]

    def size(self, row: int) -> int:
        """Return how many ids a row has."""
        return self._bounds[row + 1] - self._bounds[row]

    # ---------------------------------------------------------------- of each id of a row

    @cached_property
    def _ids(self) -> list[int]:
        found: list[int] = self.rows.ids.tolist()
        return found

    def ids(self, row: int) -> list[int]:
        """Return the ids."""
        return self._part(self._ids, row)

    @cached_property
    def _types(self) -> list[int]:
        found: list[int] = self.rows.type_ids.tolist()
        return found

    def type_ids(self, row: int) -> list[int]:
        """Return the token type ids."""
        return self._part(self._types, row)

    @cached_property
    def _attention(self) -> list[int]:
        found: list[int] = self.rows.attention.astype(np.int8).tolist()
        return found

    def attention_mask(self, row: int) -> list[int]:
        """Return 0 for padding and 1 for others."""
        return self._part(self._attention, row)

    @cached_property
    def _special(self) -> list[int]:
        found: list[int] = self.rows.special.astype(np.int8).tolist()
        return found

    def special_tokens_mask(self, row: int) -> list[int]:
        """Return 1 for ids of the template and of padding, 0 for others."""
        return self._part(self._special, row)

    @cached_property
    def _sequences(self) -> list[int]:
        found: list[int] = self.rows.sequences.tolist()
        return found

    @cached_property
    def _spans(self) -> Pairs:
        spans = self._rows(True, False).spans
        assert spans is not None
        return list(zip(spans[:, 0].tolist(), spans[:, 1].tolist(), strict=True))

    def offsets(self, row: int) -> Pairs:
        """Return where each id stands in its text; (0, 0) where it is of none."""
        return self._part(self._spans, row)

    @cached_property
    def _words(self) -> list[int | None]:
        words = (self.rows if self.call.pretokenized else self._rows(False, True)).words
        assert words is not None
        return [None if word < 0 else word for word in words.tolist()]

    def word_ids(self, row: int) -> list[int | None]:
        """Return the number of the word of each id; None where it is of none."""
        return self._part(self._words, row)

    def tokens(self, row: int) -> list[str]:
        """Return the tokens."""
        built, ids = self.call.built, self.ids(row)
        names = built.names
        try:
            found = list(map(names.__getitem__, ids))
        except KeyError:  # padding may be no token
            found = [names.get(id, "") for id in ids]
        if built.has_late:  # those of the template are as they were given
            given, special = built.given_names, self.special_tokens_mask(row)
            found = [given.get(id, "") if on else name for id, name, on in zip(ids, found, special, strict=True)]
        if not built.by_place.isdisjoint(ids):
            self._name_by_place(row, found)
        if self.call.padding is not None:
            kept = self.attention_mask(row)
            found = [token if on else self.call.pad_token for token, on in zip(found, kept, strict=True)]
        return found

    def _name_by_place(self, row: int, names: list[str]) -> None:
        """Put the names of tokens that are called by where they stand, to their places."""
        sides = [self.texts, self.texts if self.pairs is None else self.pairs]
        called = cache(lambda side: self.call.built.called(sides[side][self.text_of(row)]))
        skipped = self.rows.skipped
        number = [0, 0] if skipped is None else skipped[row].tolist()
        for at, side in enumerate(self._part(self._sequences, row)):
            if side >= 0:
                name = called(side)[number[side]]
                number[side] += 1
                names[at] = names[at] if name is None else name

    # ---------------------------------------------------------------- of a row

    def text_of(self, row: int) -> int:
        """Return the number of the text of a row."""
        return int(self.rows.texts[row])

    def ranges(self, row: int) -> Ranges:
        """Return from which id up to which each text of a row stands; empty where all of the row is of one text."""
        if not self.call.built.has_processor and self.pairs is None:
            return {}
        sequences = self._part(self._sequences, row)
        found: Ranges = {}
        for side in range(1 if self.pairs is None else 2):
            count = sequences.count(side)
            start = sequences.index(side) if count else 0
            found[side] = (start, start + count)
        return found

    def made(self) -> Source:
        """Return this, with its rows made: what is wrong with the texts is said now."""
        self.rows  # noqa: B018
        return self

    @cached_property
    def _windows(self) -> Source:
        return Source(replace(self.call, windows=True), self.texts, self.pairs)

    def overflowing(self, row: int) -> tuple[Source, range]:
        """Return the rows of the windows behind the first one of a text, and what they are rows of."""
        is_pair = self.pairs is not None
        template, cut = self.call.of(is_pair)
        if self.call.windows or cut is None:
            return self, range(0)
        if cut.max_tokens == (self.call.built.added[is_pair] if template else 0):
            return self._uncut(row)
        try:
            texts = self._windows.rows.texts
        except ValueError:  # one text of some pair has no room for a window: then each row by itself
            if len(self.texts) == 1:
                return self._uncut(row)
            pairs = None if self.pairs is None else [self.pairs[row]]
            return Source(self.call, [self.texts[row]], pairs).overflowing(0)
        first, end = np.searchsorted(texts, [row, row + 1]).tolist()
        return self._windows, range(first + 1, end)

    def _uncut(self, row: int) -> tuple[Source, range]:
        """Return what was cut off of a text that has no windows: all of it, if anything was."""
        padding = self.call.padding
        fill = None if padding is None else padding._replace(length=self.size(row), multiple_of=None)
        pairs = None if self.pairs is None else [self.pairs[row]]
        whole = Source(replace(self.call, truncation=None, padding=fill), [self.texts[row]], pairs)
        kept = sum(side >= 0 for side in self._part(self._sequences, row))
        return whole, range(int((whole.rows.sequences >= 0).sum() > kept))


class Plain(Source):
    """Texts of which nothing is cut, with the same ids around each: all but places and words is counted."""

    def __init__(self, call: Call, texts: Sequence[Any], ids: list[int], bounds: list[int], length: int) -> None:
        """Take the ids of all texts without the template, where those of each begin, and how long rows are at least."""
        self.call, self.texts, self.pairs = call, texts, None
        self._of_texts, self._starts, self._length = ids, bounds, length
        self._around, self._types_around, self._type, self._is_first = call.frame

    def _text_ids(self, row: int) -> list[int]:
        return self._of_texts[self._starts[row] : self._starts[row + 1]]

    def _count(self, row: int) -> int:
        return self._starts[row + 1] - self._starts[row]

    def _padded(self, values: list[Any], pad: Any) -> list[Any]:
        padding, length, size = self.call.padding, self._length, len(values)
        if padding is None or length <= size:
            return values
        start = 0 if padding.side == "right" else length - size
        row = [pad] * length
        row[start : start + size] = values  # half of what it takes to add lists
        return row

    def size(self, row: int) -> int:
        """Return how many ids a row has."""
        before, after = self._around
        return max(len(before) + self._count(row) + len(after), self._length)

    # Written out, where a function more would be seen: rows are filled up where `_length` is not 0.

    def ids(self, row: int) -> list[int]:
        """Return the ids."""
        before, after = self._around
        values = self._of_texts[self._starts[row] : self._starts[row + 1]]
        if before:
            values = before + values
        if after:
            values += after
        return self._padded(values, self.call.padding and self.call.padding.pad_id) if self._length else values

    def type_ids(self, row: int) -> list[int]:
        """Return the token type ids."""
        before, after = self._types_around
        values = [self._type] * (self._starts[row + 1] - self._starts[row])
        if before or after:
            values = before + values + after
        return self._padded(values, self.call.padding and self.call.padding.type_id) if self._length else values

    def attention_mask(self, row: int) -> list[int]:
        """Return 0 for padding and 1 for others."""
        before, after = self._around
        values = [1] * (len(before) + self._starts[row + 1] - self._starts[row] + len(after))
        return self._padded(values, 0) if self._length else values

    def special_tokens_mask(self, row: int) -> list[int]:
        """Return 1 for ids of the template and of padding, 0 for others."""
        before, after = self._around
        values = [0] * (self._starts[row + 1] - self._starts[row])
        if before or after:
            values = [1] * len(before) + values + [1] * len(after)
        return self._padded(values, 1) if self._length else values

    def ranges(self, row: int) -> Ranges:
        """Return from which id up to which the text stands; empty where all of the row is of it."""
        if not self.call.built.has_processor:
            return {}
        padding, size = self.call.padding, self._count(row)
        left = padding is not None and padding.side == "left"
        before, after = self._around
        start = len(before) + (self.size(row) - len(before) - size - len(after) if left else 0)
        return {0: (start, start + size)}

    def offsets(self, row: int) -> Pairs:
        """Return where each id stands in its text; (0, 0) where it is of none."""
        places, found = self.call.built.places, None
        if len(self.texts) <= FEW or not places.in_arrays:
            found = places.offsets(self.texts[row], self._text_ids(row), self._is_first)
        return super().offsets(row) if found is None else self._with(found, (0, 0))

    def word_ids(self, row: int) -> list[int | None]:
        """Return the number of the word of each id; None where it is of none."""
        found = self.call.built.places.words(self.texts[row], self._text_ids(row))
        return super().word_ids(row) if found is None else self._with(found, None)

    def _with(self, values: list[Any], other: Any) -> list[Any]:
        before, after = self._around
        if before or after:
            values = [other] * len(before) + values + [other] * len(after)
        return self._padded(values, other) if self._length else values

    def overflowing(self, row: int) -> tuple[Source, range]:
        """Return that there is nothing."""
        return self, range(0)
