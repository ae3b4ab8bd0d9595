"""SentencePiece's models as a vocabulary for the C core: in C from text to ids where that is exact, else by Python."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np

from .sentencepiece_engine import BYTE_NAMES, Engine
from .sentencepiece_file import MARK, PieceType, SentencePieceModel, read_model
from .sentencepiece_road import SLOT
from .vocabulary import AddedToken, Metadata, Vocabulary

Fields = dict[str, Any]  # of a Vocabulary


def plan_pieces(data: bytes) -> Vocabulary:
    """Return the vocabulary that a `.model` file describes, by the fastest road that is exact.

    Raises
    ------
    DamagedVocabularyError
        It is none, or of a kind that is not read.
    """
    model = read_model(data)
    Engine(model)  # what is wrong with its steps is said here
    return _vocabulary(model, data, None)


def _vocabulary(model: SentencePieceModel, data: bytes, in_c: Fields | None) -> Vocabulary:
    """Return a vocabulary of all pieces; `in_c` is what makes C encode, None where Python does."""
    decoded = [_decoded(model, id) for id in range(len(model.pieces))]
    added = [
        AddedToken(model.pieces[id], id, special=model.types[id] == PieceType.CONTROL)
        for id in model.ids_of(PieceType.CONTROL)
    ]
    steps = {SLOT: b64encode(data).decode(), "general_road": in_c is None, "by_c": ""}
    fields: Fields = {"flags": 0, "byte_tokens": np.full(256, -1, np.int32)} | (in_c or {})
    return Vocabulary(
        token_bytes=b"".join(decoded),
        token_offsets=np.cumsum([0, *map(len, decoded)]),
        token_ids=np.arange(len(decoded), dtype=np.int32),
        vocab=len(decoded),
        metadata=Metadata(added, names=model.pieces, steps=steps),
        unk=model.unk_id,
        **fields,
    )


def _decoded(model: SentencePieceModel, id: int) -> bytes:
    """Return the bytes that a piece stands for, wherever it stands but at the start of a text."""
    piece, kind = model.pieces[id], model.types[id]
    if kind == PieceType.BYTE:
        return bytes([BYTE_NAMES[piece]])
    if kind == PieceType.UNKNOWN:
        return model.trainer.unk_surface.encode()
    return b"" if kind == PieceType.CONTROL else piece.replace(MARK, " ").encode()
