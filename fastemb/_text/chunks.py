"""A text in chunks of so many tokens, cut between whole characters."""

from __future__ import annotations

from codecs import utf_8_decode

import numpy as np

from .core import Core, Ids, Offsets
from .tables import Tables


def cut_chunks(core: Core, tables: Tables, ids: Ids, n: int, overlap: int) -> list[tuple[str, Ids]]:
    """Return the text and the ids of each chunk of a text that has these ids.

    Raises
    ------
    ValueError
        Some character has more than `n` tokens.
    """
    size = ids.size
    data, starts, whole = _borders(core, ids)
    chunks = []
    first = 0
    while first < size:
        last = int(whole[np.searchsorted(whole, first + n, side="right") - 1])
        if last == first:
            took = int(whole[np.searchsorted(whole, first, side="right")]) - first
            raise ValueError(f"n must be at least {took}, the tokens of one character of the text, got {n}")
        row = ids[first:last].copy()
        if tables.decoders is not None:
            text = tables.decoders([tables.name_by_id[id] for id in row.tolist()]).encode()
        elif tables.separator:
            text = tables.separator.join(map(tables.token_bytes.__getitem__, row.tolist()))
        else:
            text = data[starts[first] : starts[last]]
        if first == 0 and tables.strip_start:
            text = text.removeprefix(b" ")
        # It is no UTF-8 where the vocabulary has no token for some byte of the text, which vanished.
        chunks.append((text.decode(errors="replace"), row))
        if last == size:
            break
        first = int(whole[np.searchsorted(whole, max(last - overlap, first + 1))])
    return chunks


def whole_ids(core: Core, ids: Ids) -> int:
    """Return how many ids, the first ones of a text, stand for whole characters together."""
    data, _, whole = _borders(core, ids)
    if utf_8_decode(data, "replace", False)[1] == len(data):
        return ids.size
    return int(whole[-2]) if whole.size > 1 else 0  # the last one is the end, which lies inside a character


def _borders(core: Core, ids: Ids) -> tuple[bytes, Offsets, Offsets]:
    """Return the bytes of ids, where those of each begin, and before which ids a character begins; all with the end."""
    data, ends = core.decode(ids.astype(np.int64), np.arange(1, ids.size + 1))  # each id a row: no separators
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    after = np.frombuffer(data + b"\0", np.uint8)[starts]
    return data, starts, np.flatnonzero((after & 0xC0) != 0x80)
