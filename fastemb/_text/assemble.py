"""Rows out of parts: windows of texts, the template's ids around them, and padding, with all that is said of each id.

A row is one cell a part of the template. All cells lie in one table, row after row, and what is said of an id is
repeated over its cell: one pass of NumPy for each field, whatever the template is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .calls import Padding, Template
from .core import Ids, Offsets
from .windows import Windows, combinations

Spans = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


class Encodings(NamedTuple):
    """The ids of texts, row after row, and of each id where it stands and in which word, where that was asked for."""

    ids: Ids
    offsets: Offsets
    spans: Spans | None = None
    words: npt.NDArray[np.int32] | None = None
    numbers: npt.NDArray[np.int32] | None = None  # of the texts, or words, in which they stand


class Rows(NamedTuple):
    """Rows, and what is said of each of their ids."""

    ids: Ids
    offsets: Offsets
    spans: Spans | None
    words: npt.NDArray[np.int32] | None  # -1 where an id belongs to no word
    numbers: npt.NDArray[np.int32] | None
    type_ids: npt.NDArray[np.int32]
    attention: Flags
    special: Flags
    sequences: npt.NDArray[np.int8]  # 0 the text, 1 its pair, -1 neither
    texts: npt.NDArray[np.int64]  # of each row
    skipped: Offsets | None = None  # shape (rows, 2): ids of its text, and of its pair, before those of a row


def as_they_are(texts: Encodings, type_id: int) -> Rows:
    """Return the rows of texts of which nothing is cut, with nothing around them: what `assemble` gives, uncopied."""
    ids, offsets, spans, words, numbers = texts
    N = ids.size
    type_ids = np.full(N, type_id, np.int32) if type_id else np.zeros(N, np.int32)
    attention, sequences = np.ones(N, bool), np.zeros(N, np.int8)
    said = type_ids, attention, np.zeros(N, bool), sequences, np.arange(offsets.size - 1)
    return Rows(ids, offsets, spans, words, numbers, *said)


def assemble(
    texts: Encodings,
    pairs: Encodings | None,
    windows: Sequence[Windows],
    template: Template,
    padding: Padding | None,
) -> Rows:
    """Return the rows that a template makes of the windows of texts and their pairs."""
    sides = [texts] if pairs is None else [texts, pairs]
    holes = [part for part in template if part.text]
    of_row, chosen = combinations([windows[part.text == "B"].counts for part in holes])
    parts, R = len(template), of_row.size
    # One more cell on each side of a row, for padding. The ids of texts, pairs and template lie in one pool.
    starts, sizes = np.zeros((R, parts + 2), np.int64), np.zeros((R, parts + 2), np.int64)
    skipped = np.zeros((R, 2), np.int64)
    bases = [0, texts.ids.size]
    constants = [id for part in template for id in part.ids]
    at = sum(side.ids.size for side in sides)
    for place, part in enumerate(template, 1):
        if part.text:
            number = int(part.text == "B")
            start, stop = windows[number].places(of_row, chosen.pop(0))
            starts[:, place] = bases[number] + sides[number].offsets[of_row] + start
            sizes[:, place], skipped[:, number] = stop - start, start
        else:
            starts[:, place], sizes[:, place] = at, len(part.ids)
            at += len(part.ids)
    if padding is not None:
        lengths = sizes.sum(axis=1)
        sizes[:, -1 if padding.side == "right" else 0] = np.maximum(padded_length(lengths, padding) - lengths, 0)
    ends = np.cumsum(sizes)
    N, flat = int(ends[-1]) if R else 0, sizes.ravel()
    offsets = np.concatenate([np.zeros(1, np.int64), ends[parts + 1 :: parts + 2]])

    def spread(values: list[int], dtype: type) -> npt.NDArray[Any]:
        return np.repeat(np.tile(np.array(values, dtype), R), flat)

    pad_type = 0 if padding is None else padding.type_id
    is_pad = spread([1, *[0] * parts, 1], np.bool_)
    sequences = spread([-1, *[-1 if not part.text else int(part.text == "B") for part in template], -1], np.int8)
    source = np.arange(N) + np.repeat(starts.ravel() - (ends - flat), flat)
    source[is_pad] = 0
    pool = np.concatenate([*(side.ids for side in sides), np.array([*constants, 0], np.int32)])
    ids = pool[source]
    if padding is not None:
        ids[is_pad] = padding.pad_id
    return Rows(
        ids,
        offsets,
        _gathered([side.spans for side in sides], source, sequences, 0),
        _gathered([side.words for side in sides], source, sequences, -1),
        _gathered([side.numbers for side in sides], source, sequences, -1),
        spread([pad_type, *(part.type_id for part in template), pad_type], np.int32),
        ~is_pad,
        sequences < 0,
        sequences,
        of_row,
        skipped,
    )


def _gathered(
    sides: list[npt.NDArray[np.int32] | None], source: Offsets, sequences: npt.NDArray[np.int8], other: int
) -> npt.NDArray[np.int32] | None:
    """Return what is said of the ids of texts, for each id of the rows; `other` of ids that are of no text."""
    known = [side for side in sides if side is not None]
    if not known:
        return None
    pool = np.concatenate([*known, np.full((1, *known[0].shape[1:]), other, np.int32)])
    return pool[np.where(sequences < 0, len(pool) - 1, source)]


def padded_length(lengths: npt.NDArray[np.int64], padding: Padding) -> int:
    """Return how many ids rows have when they are filled up."""
    length = int(lengths.max(initial=0)) if padding.length is None else padding.length
    return length + -length % padding.multiple_of if padding.multiple_of else length


def starts_of_texts(rows: Rows, of_rows: bool) -> Flags:
    """Return which ids are the first of a row, and with `of_rows` False also which are the first of a text in it."""
    firsts = np.zeros(rows.ids.size, bool)
    firsts[rows.offsets[:-1][np.diff(rows.offsets) > 0]] = True
    if not of_rows:
        firsts[1:] |= rows.sequences[1:] != rows.sequences[:-1]
    return firsts
