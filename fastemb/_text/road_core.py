"""Pieces of the general road that C makes ids of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .core import Core, Ids, Offsets, Packed, fail, lib
from .vocabulary import CHAR_BYTES

BLOCK = 1 << 20  # bytes that go to C together
_BYTES = {ord(char): chr(byte) for char, byte in CHAR_BYTES.items()}


def as_bytes(piece: str) -> bytes:
    """Return the bytes that a piece spells, each by one character; they need not be UTF-8."""
    return piece.translate(_BYTES).encode("latin-1")


def encode_pieces(core: Core, pieces: Sequence[bytes], pattern: int) -> tuple[Ids, Offsets]:
    """Return the ids of pieces, row after row, and the offsets of the rows; added tokens are plain text."""
    sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
    ends, room, used = np.zeros(sizes.size + 1, np.int64), np.empty(int(sizes.sum()) + 64, np.int32), 0
    plain, first = bytes(len(core.metadata.added)), 0
    with core.workspace() as workspace:
        for last in _blocks(sizes):
            # C is told that there are as many characters as bytes: then it counts none, and takes bytes as they are.
            block = Packed(b"".join(pieces[first:last]), sizes[first:last])
            into = ends[first + 1 : last + 1]
            done, status = core.encode(workspace, block, plain, into, ids=room, used=used, pattern=pattern)
            if status != lib.FE_OK:
                fail(status, done, block, first)
            first, used = last, done.ids
    return room[:used], ends


def _blocks(sizes: Offsets) -> list[int]:
    """Return at which piece each block ends."""
    total = np.cumsum(sizes)
    goals = range(BLOCK, int(sizes.sum()) + BLOCK, BLOCK) if sizes.size else range(0)
    return sorted({min(int(np.searchsorted(total, goal)) + 1, sizes.size) for goal in goals})
