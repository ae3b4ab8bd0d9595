"""Rows of ids, one after another: cut, and with a template around each."""

from __future__ import annotations

import numpy as np

from .._memory import empty
from .core import NO_LIMIT, Ids, Offsets


def cut_rows(ids: Ids, offsets: Offsets, limit: int) -> tuple[Ids, Offsets]:
    """Return the first `limit` ids of each row."""
    lengths = np.diff(offsets)
    if limit == NO_LIMIT or not (lengths > limit).any():
        return ids, offsets
    kept = np.zeros(offsets.size, np.int64)
    np.cumsum(np.minimum(lengths, limit), out=kept[1:])
    places = np.arange(kept[-1]) + np.repeat(offsets[:-1] - kept[:-1], np.diff(kept))
    return ids[places], kept


def surround(ids: Ids, offsets: Offsets, before: list[int], after: list[int]) -> tuple[Ids, Offsets]:
    """Return every row with the ids `before` in front of it and the ids `after` behind it."""
    rows = offsets.size - 1
    extra = len(before) + len(after)
    wide = offsets + extra * np.arange(rows + 1)
    out = empty((ids.size + rows * extra,), np.int32)
    inner = np.ones(out.size, bool)
    for i, id in enumerate(before):
        out[wide[:-1] + i] = id
        inner[wide[:-1] + i] = False
    for i, id in enumerate(after):
        out[wide[1:] - len(after) + i] = id
        inner[wide[1:] - len(after) + i] = False
    out[inner] = ids
    return out, wide
