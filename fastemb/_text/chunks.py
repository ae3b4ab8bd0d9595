"""A text in chunks of so many tokens, cut between whole characters."""

from __future__ import annotations

import numpy as np

from .core import Core, Ids
from .tables import Tables


def cut_chunks(core: Core, tables: Tables, ids: Ids, n: int, overlap: int) -> list[tuple[str, Ids]]:
    """Return the text and the ids of each chunk of a text that has these ids.

    Raises
    ------
    ValueError
        Some character has more than `n` tokens.
    """
    size = ids.size
    data, ends = core.decode(ids.astype(np.int64), np.arange(1, size + 1))  # each id a row: no separators
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    after = np.frombuffer(data + b"\0", np.uint8)[starts]
    whole = np.flatnonzero((after & 0xC0) != 0x80)  # before these ids a character begins, and behind the last one
    chunks = []
    first = 0
    while first < size:
        last = int(whole[np.searchsorted(whole, first + n, side="right") - 1])
        if last == first:
            took = int(whole[np.searchsorted(whole, first, side="right")]) - first
            raise ValueError(f"n must be at least {took}, the tokens of one character of the text, got {n}")
        row = ids[first:last].copy()
        if tables.separator:
            text = tables.separator.join(map(tables.token_bytes.__getitem__, row.tolist()))
        else:
            text = data[starts[first] : starts[last]]
        if first == 0 and tables.strip_start:
            text = text.removeprefix(b" ")
        chunks.append((text.decode(), row))
        if last == size:
            break
        first = int(whole[np.searchsorted(whole, max(last - overlap, first + 1))])
    return chunks
