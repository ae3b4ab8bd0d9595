"""Ids → bytes, and tokens ↔ ids by name: what a tokenizer says without cutting and merging."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .core import Core, Offsets, UnknownId
from .vocabulary import CHAR_BYTES, spelled


def decode_row(core: Core, ids: npt.NDArray[np.int64]) -> bytes:
    """Return the bytes of one row of ids; IndexError where an id is no token."""
    text, _ = _decoded(core, ids, np.array([ids.size]))
    return text.removeprefix(b" ") if core.metadata.strip_start else text


def decode_rows(core: Core, ids: npt.NDArray[np.int64], row_ends: Offsets) -> Iterator[bytes]:
    """Return the bytes of each row of ids; row s ends at `row_ends[s]`. IndexError where an id is no token."""
    text, byte_ends = _decoded(core, ids, np.ascontiguousarray(row_ends))
    rows = (text[start:end] for start, end in pairwise([0, *byte_ends.tolist()]))
    return (row.removeprefix(b" ") for row in rows) if core.metadata.strip_start else rows


def _decoded(core: Core, ids: npt.NDArray[np.int64], row_ends: Offsets) -> tuple[bytes, Offsets]:
    try:
        return core.decode(ids, row_ends)
    except UnknownId as unknown:
        position = unknown.args[0]
        row = int(np.searchsorted(row_ends, position, side="right"))
        place = f"position {position - (int(row_ends[row - 1]) if row else 0)}"
        where = f"{place} of row {row}" if row_ends.size > 1 else place
        raise IndexError(f"id {ids[position]} at {where} is no token of this vocabulary") from None


def ids_by_name(core: Core) -> dict[str, int]:
    """Return the ids of all tokens by the names that the file has for them, added tokens last."""
    ids = core.ids().tolist()
    names = core.names or [spelled(core.token_bytes(number)) for number in range(len(ids))]
    return dict(zip(names, ids, strict=True)) | {token.content: token.id for token in core.metadata.added}


def name_of(core: Core, id: int) -> str | None:
    """Return the name of the token with this id; None where no token has it."""
    for token in core.metadata.added:
        if token.id == id:
            return token.content
    number = core.number_of(id)
    if number is None:
        return None
    return core.names[number] if core.names else spelled(core.token_bytes(number))


def id_of_bytes(core: Core, token: bytes) -> int | None:
    """Return the id of the token that stands for these bytes; None where there is none."""
    added = {one.content.encode(): one.id for one in core.metadata.added}
    return added.get(token, core.find(token))


def id_of_spelling(core: Core, token: str) -> int | None:
    """Return the id of the token whose bytes GPT-2's files spell so; None where there is none."""
    try:
        return core.find(bytes(map(CHAR_BYTES.__getitem__, token)))
    except KeyError:  # a character by which no byte is written
        return None
