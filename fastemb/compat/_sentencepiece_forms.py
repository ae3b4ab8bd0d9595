"""The forms in which texts come to a SentencePiece processor, and pieces leave it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from .._text.sentencepiece_engine import Piece
from .._text.sentencepiece_text import Surface

NO_IDS = "Input must be an integer buffer, list of integers, or a sequence of integers."


def as_str(data: bytes) -> str:
    """Return bytes as a text, each byte that is no part of valid UTF-8 as U+FFFD."""
    parts, at = list[str](), 0
    while at < len(data):
        try:
            return "".join([*parts, data[at:].decode()])
        except UnicodeDecodeError as error:
            parts += [data[at : at + error.start].decode(), "\ufffd" * (error.end - error.start)]
            at += error.end
    return "".join(parts)


def is_row(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def only(values: Iterable[Any], types: tuple[type[Any], ...], fault: str) -> list[Any]:
    found = list(values)
    if not all(isinstance(value, types) for value in found):
        raise TypeError(fault)
    return found


def ranges_of(offsets: np.ndarray) -> Iterable[tuple[int, int]]:
    return pairwise(offsets.tolist())


def places_of(text: str) -> list[int]:
    """Return which character each byte of a text is of, and one more for its end."""
    places = [number for number, char in enumerate(text) for _ in char.encode(errors="surrogatepass")]
    return [*places, len(text)]


def starts_of(text: str) -> list[int]:
    """Return at which byte each character of a text begins, and its end."""
    starts = [0]
    for char in text:
        starts.append(starts[-1] + len(char.encode()))
    return starts


def surfaces_of(text: str | bytes, data: bytes, pieces: list[Piece]) -> Iterable[Surface]:
    """Return pieces with their parts of a text, in its characters or bytes."""
    places = places_of(text) if isinstance(text, str) else range(len(text) + 1)
    found = []
    for k, piece in enumerate(pieces):
        following = pieces[k + 1] if k + 1 < len(pieces) else None
        inside = re.fullmatch(rb"<0x..>", piece.text) and piece.start == piece.end and following is not None
        surface = None if inside else data[piece.start : piece.end]
        found.append(Surface(piece.text, piece.id, surface, places[piece.start], places[piece.end]))
    return found
