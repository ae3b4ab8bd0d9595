"""What a text may go on to become: the tokens of it that stay, whatever follows, and the completions of the rest.

The last piece of a text may change with what follows it. So its bytes, and those of white space before it that could
join it, are unstable: each way in which a token may stand across the end of the text gives one completion.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import chain

import numpy as np
import numpy.typing as npt

from .engine import CoreBPE

FEW = 32  # texts that are sooner encoded one by one
Rows = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]  # ids, and how many of them each row has


def encode_with_unstable(engine: CoreBPE, text: str, allowed: frozenset[str]) -> tuple[list[int], list[list[int]]]:
    """Return the ids that stay, and the ids by which the rest of the text may begin, for all that may follow it.

    A completion ends with the first token that reaches the end of the text. They are sorted, and each comes once.
    """
    ids, kept = engine.encode_kept(text, allowed)
    if kept == len(ids):  # nothing, or a special token, which nothing that follows changes
        return ids, []
    unstable = engine.bytes_of(ids[kept:])
    whole = engine.sorted_ids[_starting_with(engine, unstable)]
    others = [_across(engine, unstable), _split_off(engine, unstable)]
    return ids[:kept], _distinct([(whole, np.ones(whole.size, np.int64)), *others])


def _starting_with(engine: CoreBPE, prefix: bytes) -> slice:
    """Return which tokens, in the order of their bytes, begin with these."""
    tokens = engine.sorted_token_bytes
    first = bisect_left(tokens, prefix)
    return slice(first, bisect_left(tokens, True, first, key=lambda token: not token.startswith(prefix)))


def _across(engine: CoreBPE, unstable: bytes) -> Rows:
    """Return what becomes of the unstable bytes where a token begins inside them and goes on behind their end."""
    cut, tokens = range(1, len(unstable)), engine.sorted_token_bytes
    texts = [unstable[:at] + token for at in cut for token in tokens[_starting_with(engine, unstable[at:])]]
    if not texts:
        return _rows([])
    valid, pieces = list[str](), list[list[int]]()
    for text in texts:
        try:
            valid.append(text.decode())
        except UnicodeDecodeError:  # no pattern can cut it
            pieces.append(engine.encode_single_piece(text))
    if len(valid) <= FEW:
        ids, counts = _rows([*map(engine.encode_ordinary, valid), *pieces])
    else:
        encoded, (ids, counts) = engine.tokenizer.encode_batch(valid), _rows(pieces)
        ids, counts = np.concatenate([encoded.ids, ids]), np.concatenate([encoded.lengths, counts])
    # Of each row the ids up to the one that reaches the end of the unstable bytes: all rows are longer.
    ends, rows = np.cumsum(counts), np.repeat(np.arange(counts.size), counts)
    sizes = np.fromiter(map(len, map(engine.token_bytes.__getitem__, ids.tolist())), np.int64, ids.size)
    before = np.cumsum(sizes) - sizes
    kept = before - before[ends - counts][rows] < len(unstable)
    return ids[kept], np.bincount(rows[kept], minlength=counts.size)


def _split_off(engine: CoreBPE, unstable: bytes) -> Rows:
    r"""Return the bytes with white space at their end as a piece by itself, to which ``\s+(?!\S)`` may make it."""
    text = unstable.decode(errors="ignore")
    last = text[-1:].encode()
    before = unstable[: len(unstable) - len(last)]
    if before and last and unstable.endswith(last) and text[-1].isspace():
        return _rows([engine.encode_single_piece(before) + engine.encode_single_piece(last)])
    return _rows([])


def _rows(lists: list[list[int]]) -> Rows:
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.fromiter(chain.from_iterable(lists), np.int32, int(counts.sum())), counts


def _distinct(parts: list[Rows]) -> list[list[int]]:
    """Return rows in the order of lists, each once."""
    ids, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    columns = int(counts.max(initial=0))
    if columns < 2:
        return [[id] for id in np.unique(ids).tolist()]
    table = np.full((counts.size, columns), -1, np.int32)  # so that what another row begins with comes before it
    table[np.arange(columns) < counts[:, None]] = ids
    order = np.lexsort(table.T[::-1])
    table, counts = table[order], counts[order]
    new = np.ones(counts.size, bool)
    np.any(table[1:] != table[:-1], axis=1, out=new[1:])
    return [row[:count] for row, count in zip(table[new].tolist(), counts[new].tolist(), strict=True)]
