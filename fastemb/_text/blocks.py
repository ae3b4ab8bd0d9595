"""Blocks of texts: where they begin, and their UTF-8; and arrays of ids that grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._memory import empty
from .core import Ids, Offsets, Packed, Scattered, scattered
from .texts import repaired

# Texts are joined in blocks: one character above U+00FF widens a whole join to 2 or 4 bytes a character, so
# joining a large batch at once costs many times its own size (docs/design/tokenizer.md).
BLOCK_CHARS = 1 << 19
BLOCK_TEXTS = 2048
LONG_TEXT = 2048  # texts of so many characters on average, or more, are not copied


def cut(lengths: Offsets, chars: int) -> list[int]:
    """Return the texts at which blocks of about `chars` characters begin, and the end of the last block."""
    ends = np.cumsum(lengths)
    size = min(BLOCK_CHARS, max(chars, BLOCK_CHARS // 8))
    cuts = [0]
    while cuts[-1] < lengths.size:
        first = cuts[-1]
        before = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, before + size))
        cuts.append(min(max(last, first + 1), first + BLOCK_TEXTS, lengths.size))
    return cuts


def rough_cut(ends: Offsets, N: int, chars: int) -> list[int]:
    """Return the same for N texts of which some, evenly apart, have been looked at.

    `ends` says how many characters there may be up to the end of each stretch of texts that one of these stands for. So
    long texts that lie together do not share one block, which a single thread would take.
    """
    goals = np.arange(0, ends[-1], chars)
    cuts = np.interp(goals, np.append(0, ends), np.linspace(0, N, ends.size + 1)).astype(np.int64)
    return [*map(int, np.unique(np.concatenate((cuts, np.arange(0, N, BLOCK_TEXTS), [N]))))]


def grown(ids: Ids, used: int, size: int) -> Ids:
    """Return a larger array that begins with the first `used` ids."""
    larger = empty((size,), np.int32)
    larger[:used] = ids[:used]
    return larger


def in_utf8(texts: Sequence[str], lengths: Offsets) -> Packed | Scattered:
    """Return texts as C reads them: short texts copied one after another, long texts where Python keeps them."""
    try:
        if int(lengths.sum()) >= LONG_TEXT * len(texts):
            return scattered(texts)
        return Packed("".join(texts).encode(), lengths)
    except UnicodeEncodeError:  # lone surrogates
        texts = [repaired(text) for text in texts]
        return Packed("".join(texts).encode(), np.fromiter(map(len, texts), np.int64, len(texts)))


def sizes_of(left: Packed | Scattered) -> Offsets:
    """Return how many bytes texts have, each or all together: about as many ids as they can have."""
    return left.sizes if isinstance(left, Scattered) else np.array([len(left.utf8)])
