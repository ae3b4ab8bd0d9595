"""Bytes that are no UTF-8, from the first invalid one on: what becomes of them and of the text before them.

By tiktoken's rule the last piece of the start is taken back, and if it begins with white space, the white space before
it too; what was taken back and the tail are one piece.
"""

from __future__ import annotations

import numpy as np

from .core import Core, Ids, Offsets, Packed, fail, lib
from .regex_split import Splitter


def with_tails(
    core: Core, splitter: Splitter | None, ids: Ids, offsets: Offsets, tails: dict[int, bytes]
) -> tuple[Ids, Offsets]:
    """Return the rows with those replaced whose text goes on with a tail."""
    parts, at, lengths = list[Ids](), 0, np.diff(offsets)
    for number, tail in tails.items():
        first, end = int(offsets[number]), int(offsets[number + 1])
        row = _with_tail(core, splitter, ids[first:end], tail)
        parts += [ids[at:first], row]
        at, lengths[number] = end, row.size
    moved = np.zeros(offsets.size, np.int64)
    np.cumsum(lengths, out=moved[1:])
    return np.concatenate([*parts, ids[at:]]), moved


def _with_tail(core: Core, splitter: Splitter | None, ids: Ids, tail: bytes) -> Ids:
    """Return the ids of bytes whose valid start has the ids `ids` and that go on with `tail`."""
    added = core.added_ids
    first = next((i + 1 for i in range(ids.size - 1, -1, -1) if int(ids[i]) in added), 0)
    text = _bytes_of(core, ids[first:])
    taken = 0
    if text:
        pieces = [text] if splitter is None else [piece.encode() for piece in splitter.pieces(text.decode())]
        if splitter is None and core.contents.pattern:
            starts, ends = core.pieces(text)
            pieces = [text[starts[-1] : ends[-1]]] if ends.size else []
        taken = _encode_piece(core, pieces[-1]).size if pieces else 0

    def is_white(place: int) -> bool:
        return not _bytes_of(core, ids[place : place + 1]).strip(b" \n\t")

    at = ids.size - taken
    if taken and is_white(at):
        while at > first and is_white(at - 1):
            at -= 1
    return np.concatenate([ids[:at], _encode_piece(core, _bytes_of(core, ids[at:]) + tail)])


def _bytes_of(core: Core, ids: Ids) -> bytes:
    return core.decode(ids.astype(np.int64), np.array([ids.size]))[0]


def _encode_piece(core: Core, piece: bytes) -> Ids:
    """Return the ids of bytes of any kind that are one piece, in which added tokens are plain text."""
    # C is told that there are as many characters as bytes: then it counts none, and takes the bytes as they are.
    sizes, ends = np.array([len(piece)]), np.empty(1, np.int64)
    room, actions = np.empty(len(piece) + 8, np.int32), bytes(len(core.metadata.added))
    whole = Packed(piece, sizes)
    with core.workspace() as workspace:
        done, status = core.encode(workspace, whole, actions, ends, ids=room, pattern=lib.FE_PATTERN_NONE)
    if status != lib.FE_OK:
        fail(status, done, whole, 0)
    return room[: done.ids]
