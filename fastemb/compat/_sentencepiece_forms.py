"""The forms in which texts come to a SentencePiece processor, and pieces leave it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from .._text.sentencepiece_engine import Piece
from .._text.sentencepiece_text import Surface

NO_IDS = "Input must be an integer buffer, list of integers, or a sequence of integers."


def is_utf8(text: str | bytes) -> bool:
    """Return whether a text is a str, or bytes that are one."""
    try:
        return isinstance(text, str) or text.decode() is not None
    except UnicodeDecodeError:
        return False


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
    return [
        Surface(
            piece.text,
            piece.id,
            None if piece.inner else data[piece.start : piece.end],
            places[piece.start],
            places[piece.end],
        )
        for piece in pieces
    ]
