"""SentencePiece's message of an encoded text, `SentencePieceText`, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from .sentencepiece_file import FIXED32
from .sentencepiece_write import as_bytes, as_key, as_number


class Surface(NamedTuple):
    """A piece, its id, the part of the text that it stands for (None: it has no such field), and where that lies."""

    piece: bytes
    id: int
    surface: bytes | None
    start: int
    end: int


def text_message(text: bytes, pieces: Iterable[Surface], score: float | None = None) -> bytes:
    """Return the message of a text with its pieces."""
    parts = [as_bytes(1, text)]
    for one in pieces:
        surface = b"" if one.surface is None else as_bytes(3, one.surface)
        places = as_number(4, one.start) + as_number(5, one.end)
        parts.append(as_bytes(2, as_bytes(1, one.piece) + as_number(2, one.id) + surface + places))
    if score is not None:
        parts.append(as_key(3, FIXED32) + struct.pack("<f", score))
    return b"".join(parts)


def nbest_message(messages: Iterable[bytes]) -> bytes:
    """Return the message of several ways to encode a text."""
    return b"".join(as_bytes(1, message) for message in messages)
