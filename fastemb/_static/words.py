"""Words outside of a vocabulary, by the n-grams that fastText has rows for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._models.subwords import Ids, Subwords
from .._text.texts import repaired
from ..pooling import embedding_bag
from ..ragged import Ragged
from ..tokenizer import Tokenizer

BLOCK = 1 << 13  # words whose n-grams are found together: their arrays are some MiB
END_OF_SENTENCE = b"</s>"  # fastText's mark of a line end, which has no n-grams

Weights = npt.NDArray[np.float32]


class WordRows(Ragged):
    """Rows of ids, of which those from the table's length on are words outside of the vocabulary, in their order."""

    __slots__ = ("unknown",)
    unknown: list[bytes]


def word_rows(ids: npt.NDArray[Any], offsets: Ids, unknown: list[bytes]) -> Ragged:
    """Return rows with these words outside of the vocabulary."""
    rows = WordRows(ids, offsets)
    rows.unknown = unknown
    return rows


def find_unknown(tokenizer: Tokenizer, texts: Sequence[str], drop: int, first: int, limit: int | None) -> Ragged:
    """Return the ids of texts, those of each word outside of the vocabulary from `first` on; `limit` ids a text."""
    rows, spans = tokenizer.encode_batch(texts, offsets=True)
    owner = np.repeat(np.arange(len(rows)), rows.lengths)
    if limit is not None:
        kept = np.arange(rows.ids.size) - rows.offsets[owner] < limit
        owner, spans, ids = owner[kept], spans[kept], rows.ids[kept]
    else:
        ids = rows.ids.copy()
    numbers: dict[str, int] = {}
    where = np.flatnonzero(ids == drop)
    for i, text, (begin, end) in zip(where.tolist(), owner[where].tolist(), spans[where].tolist(), strict=True):
        ids[i] = first + numbers.setdefault(texts[text][begin:end], len(numbers))
    offsets = np.searchsorted(owner, np.arange(len(rows) + 1)).astype(np.int64)
    return word_rows(ids, offsets, [repaired(word).encode() for word in numbers])


def in_subwords(rows: Ragged, table: int, subwords: Subwords) -> tuple[Ragged, Weights | None]:
    """Return rows in which unknown words are their n-grams, and each id's weight; no weights where all are known.

    The last rows of a table of so many are those of the buckets. A word weighs one,
    its n-grams together; a word without n-grams is left out.
    """
    if not isinstance(rows, WordRows):
        return rows, None
    buckets, starts = subwords.of(rows.unknown)
    sizes = np.diff(starts)
    unknown = rows.ids - table
    known = unknown < 0
    unknown[known] = 0
    lengths = np.where(known, 1, sizes[unknown])
    before = np.concatenate(([0], np.cumsum(lengths)))
    within = np.arange(before[-1]) - np.repeat(before[:-1], lengths)
    is_known = np.repeat(known, lengths)
    ids = np.repeat(rows.ids, lengths).astype(np.int64)
    grams = ~is_known
    ids[grams] = table - subwords.buckets + buckets[(np.repeat(starts[unknown], lengths) + within)[grams]]
    weights = np.where(is_known, 1, 1 / np.repeat(np.maximum(lengths, 1), lengths)).astype(np.float32)
    return Ragged(ids, before[rows.offsets]), weights


def join_subwords(table: npt.NDArray[Any], names: Sequence[bytes], subwords: Subwords) -> None:
    """Make the row of each word the mean of its own and those of its n-grams, in place: the last rows are n-grams'."""
    for first in range(0, len(names), BLOCK):
        some = names[first : first + BLOCK]
        buckets, starts = subwords.of([b"" if name == END_OF_SENTENCE else name for name in some])
        if END_OF_SENTENCE in some:  # what stands for it has none
            buckets, starts = _without(buckets, starts, some.index(END_OF_SENTENCE))
        at = np.arange(len(some))
        ids = np.insert(len(names) + buckets, starts[:-1], first + at)
        means = embedding_bag(table, ids, starts + np.arange(len(some) + 1), mode="mean")
        table[first : first + len(some)] = means


def _without(buckets: Ids, starts: Ids, word: int) -> tuple[Ids, Ids]:
    """Return the n-grams of all words but one."""
    begin, end = starts[word], starts[word + 1]
    moved = starts.copy()
    moved[word + 1 :] -= end - begin
    return np.delete(buckets, slice(begin, end)), moved
