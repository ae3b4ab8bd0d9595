"""Writing SentencePiece's `.model` files: the other direction of `sentencepiece_file.py`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from .sentencepiece_file import (
    BYTES,
    DENORMALIZER,
    FIXED32,
    NORMALIZER,
    NORMALIZER_FIELDS,
    PIECE,
    PIECES,
    SCORE,
    TRAINER,
    TRAINER_FIELDS,
    TYPE,
    VARINT,
    NormalizerSpec,
    PieceType,
    SentencePieceModel,
    check_model,
)


def write_model(model: SentencePieceModel) -> bytes:
    """Return the bytes of a `.model` file, which `read_model` and sentencepiece read.

    Raises
    ------
    DamagedVocabularyError
        The pieces do not go together, as in `read_model`.
    """
    check_model(model)
    parts = list(_pieces(model))
    parts.append(as_bytes(TRAINER, _spec(model.trainer, TRAINER_FIELDS)))
    parts.append(as_bytes(NORMALIZER, write_normalizer(model.normalizer)))
    if model.denormalizer is not None:
        parts.append(as_bytes(DENORMALIZER, write_normalizer(model.denormalizer)))
    return b"".join(parts)


def write_normalizer(spec: NormalizerSpec) -> bytes:
    """Return the bytes of a message that says how a text is normalized."""
    return _spec(spec, NORMALIZER_FIELDS)


def _pieces(model: SentencePieceModel) -> Iterator[bytes]:
    for piece, score, kind in zip(model.pieces, model.scores.tolist(), model.types.tolist(), strict=True):
        message = as_bytes(PIECE, piece.encode()) + as_key(SCORE, FIXED32) + struct.pack("<f", score)
        if kind != PieceType.NORMAL:  # which is what a piece without a type is
            message += as_number(TYPE, kind)
        yield as_bytes(PIECES, message)


def _spec(spec: Any, numbers: dict[str, int]) -> bytes:
    """Return the settings of a message that are not what they are without being written, and those kept as read."""
    defaults = type(spec)()
    parts = []
    for name in (one.name for one in fields(spec) if one.name != "extra"):
        value, number = getattr(spec, name), numbers[name]
        if value == getattr(defaults, name):
            continue
        if isinstance(value, int):  # a bool too
            parts.append(as_number(number, value))
        else:
            parts.append(as_bytes(number, value.encode() if isinstance(value, str) else value))
    return b"".join([*parts, spec.extra])


def as_key(number: int, wire: int) -> bytes:
    """Return the key of a field."""
    return _varint(number << 3 | wire)


def as_number(number: int, value: int) -> bytes:
    """Return a field that is a number."""
    return as_key(number, VARINT) + _varint(value & (1 << 64) - 1)  # a negative number has ten bytes


def as_bytes(number: int, value: bytes) -> bytes:
    """Return a field that is bytes, or another message."""
    return as_key(number, BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
