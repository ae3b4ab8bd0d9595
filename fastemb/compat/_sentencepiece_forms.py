"""The forms in which texts come to a SentencePiece processor, and pieces leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .._text.sentencepiece_engine import Piece
from .._text.sentencepiece_text import Surface
from .._words import type_name

ADDED = ("add_bos", "add_eos", "reverse", "emit_unk_piece")
NO_IDS = "Input must be an integer buffer, list of integers, or a sequence of integers."


def as_array(ids: list[int]) -> np.ndarray:
    """Return ids as an array that is for reading alone, as sentencepiece's are."""
    return np.frombuffer(memoryview(np.array(ids, np.int32).tobytes()), np.int32)


def as_messages(found: bytes | list[bytes], kind: str) -> Any:
    """Return messages as objects of their class, which the package sentencepiece has.

    Raises
    ------
    ImportError
        It is not installed, or protobuf is not.
    """
    try:
        from sentencepiece import sentencepiece_pb2
    except ImportError:
        raise ImportError(
            "return_type='proto' takes the classes of the packages sentencepiece and protobuf; "
            "return_type='serialized_proto' takes nothing"
        ) from None
    if isinstance(found, list):
        return [as_messages(one, kind) for one in found]
    message = getattr(sentencepiece_pb2, kind)()
    message.ParseFromString(found)
    return message


def normalized(normalize: Callable[[bytes], tuple[bytes, list[int]]], input: Any, with_offsets: bool | None) -> Any:
    """Return what a normalizer makes of a text, or of each text of a list; and where its parts come from."""
    if isinstance(input, list):
        return [normalized(normalize, text, with_offsets) for text in input]
    if not isinstance(input, str | bytes):
        raise TypeError(f"Input must be str or bytes, got {type_name(input)}")
    found, origins = normalize(input.encode(errors="surrogatepass") if isinstance(input, str) else input)
    if isinstance(input, bytes):
        return (found, origins) if with_offsets else found
    text = found.decode(errors="replace")
    if not with_offsets:
        return text
    places, starts = places_of(input), starts_of(text)
    return text, [places[origins[start]] for start in starts] if origins else [0]


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
