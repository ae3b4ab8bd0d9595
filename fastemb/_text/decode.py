"""Ids → bytes: rows of them, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .core import Core, Offsets, UnknownId, rows_changed
from .tables import Tables

Rows = npt.NDArray[np.int64]


class LeftOut(NamedTuple):
    """Which ids become no text."""

    special: bool = False
    unknown: bool = False


NOTHING = LeftOut()


def decode_row(core: Core, tables: Tables, ids: Rows, left_out: LeftOut = NOTHING) -> bytes:
    """Return the bytes of one row of ids; IndexError where an id is no token."""
    return next(decode_rows(core, tables, ids, np.array([ids.size]), left_out))


def decode_rows(
    core: Core, tables: Tables, ids: Rows, row_ends: Offsets, left_out: LeftOut = NOTHING
) -> Iterator[bytes]:
    """Return the bytes of each row of ids; row s ends at `row_ends[s]`. IndexError where an id is no token."""
    kept, ends = ids, np.ascontiguousarray(row_ends)
    keep = _keep(tables, ids, left_out) if left_out != NOTHING else None
    if keep is not None:
        kept, ends = ids[keep], ends.copy()  # the caller's may change meanwhile
        if np.diff(ends, prepend=0).min(initial=0) < 0 or (ends[-1] if ends.size else 0) != ids.size:
            raise rows_changed(ids.size)
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep)])[ends]
    try:
        text, byte_ends = core.decode(kept, ends)
    except UnknownId as unknown:
        place: int = unknown.args[0]
        raise no_token(ids, row_ends, place if keep is None else int(np.flatnonzero(keep)[place])) from None
    if tables.decoders is not None:
        decoders, names = tables.decoders, tables.name_by_id
        parts = [kept[start:end].tolist() for start, end in pairwise([0, *ends.tolist()])]
        return (decoders([names[id] for id in part]).encode() for part in parts)
    rows = (text[start:end] for start, end in pairwise([0, *byte_ends.tolist()]))
    return (row.removeprefix(b" ") for row in rows) if tables.strip_start else rows


def _keep(tables: Tables, ids: Rows, left_out: LeftOut) -> npt.NDArray[np.bool_]:
    """Return which ids are not left out."""
    keep = np.ones(ids.size, bool)
    if left_out.special:
        keep &= ~np.isin(ids, tables.sorted_special)
    if left_out.unknown:
        known = tables.sorted_ids
        keep &= known[np.searchsorted(known[:-1], ids)] == ids
    return keep


def no_token(ids: Rows, row_ends: Offsets, place: int) -> IndexError:
    """Return the error of an id that is no token: which it is, and where it stands."""
    row = int(np.searchsorted(row_ends, place, side="right"))
    where = f"position {place - (int(row_ends[row - 1]) if row else 0)}"
    if row_ends.size > 1:
        where += f" of row {row}"
    return IndexError(f"id {ids[place]} at {where} is no token of this vocabulary")
