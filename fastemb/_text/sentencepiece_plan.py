"""SentencePiece's models as a vocabulary for the C core: in C from text to ids where that is exact, else by Python."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any

import numpy as np

from .core import lib
from .sentencepiece_charsmap import Charsmap, DoubleArray, double_array
from .sentencepiece_engine import BYTE_NAMES, Engine
from .sentencepiece_file import MARK, ModelType, PieceType, SentencePieceModel, read_model
from .sentencepiece_merges import merges_of, pairs_inside
from .sentencepiece_road import SLOT
from .sentencepiece_unigram import bonus, unknown_score
from .vocabulary import AddedToken, Metadata, Vocabulary

Fields = dict[str, Any]  # of a Vocabulary

MOST_GROWTH = 1 << 16  # FE_MAX_GROWTH


def plan_pieces(data: bytes) -> Vocabulary:
    """Return the vocabulary that a `.model` file describes, by the fastest road that is exact.

    Raises
    ------
    DamagedVocabularyError
        It is none, or of a kind that is not read.
    """
    model = read_model(data)
    Engine(model)  # what is wrong with its steps is said here
    in_c = _merged(model) if model.trainer.model_type == ModelType.BPE else _scored(model)
    normal = None if in_c is None else normal_in_c(model)
    if in_c is None or normal is None:
        return _vocabulary(model, data, None)
    return _vocabulary(model, data, in_c | {"normal": normal[0], "flags": in_c["flags"] | normal[1]})


def _vocabulary(model: SentencePieceModel, data: bytes, in_c: Fields | None) -> Vocabulary:
    """Return a vocabulary of all pieces; `in_c` is what makes C encode, None where Python does."""
    decoded = _decoded(model)
    added = [AddedToken(model.pieces[id], id, special=True) for id in model.ids_of(PieceType.CONTROL)]
    if model.trainer.model_type == ModelType.BPE:  # which never go on into what stands beside them
        added += [
            AddedToken(model.pieces[id], id, special=False, late=True) for id in model.ids_of(PieceType.USER_DEFINED)
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


def _decoded(model: SentencePieceModel) -> list[bytes]:
    """Return the bytes that each piece stands for, wherever it stands but at the start of a text."""
    found = [piece.replace(MARK, " ").encode() for piece in model.pieces]
    for id in model.ids_of(PieceType.BYTE):
        found[id] = bytes([BYTE_NAMES[model.pieces[id]]])
    for id in model.ids_of(PieceType.CONTROL):
        found[id] = b""
    found[model.unk_id] = model.trainer.unk_surface.encode()
    return found


# ---------------------------------------------------------------- the models


def _merged(model: SentencePieceModel) -> Fields | None:
    """Return merges as C has them; None where a list of merges does not say what the model does."""
    merges = merges_of(model)
    if merges is None:
        return None
    made = [model.pieces[id] for id in np.unique(merges.list.result).tolist()]
    chars = [id for id in model.ids_of(PieceType.NORMAL) if len(model.pieces[id]) == 1]
    # Where no piece goes on over a mark, and marks are no unknown characters that fuse, text is cut before each.
    escapes, splits = model.normalizer.escape_whitespaces, all(MARK not in piece[1:] for piece in made)
    splits = splits and escapes and any(model.pieces[id] == MARK for id in chars)
    left, right = pairs_inside(made)
    flags = {
        lib.FE_CUT: True,
        lib.FE_MADE_RANKS: True,
        lib.FE_SPACE_MARK: escapes,
        lib.FE_SPLIT_MARKS: splits,
        lib.FE_BYTE_FALLBACK: model.trainer.byte_fallback,
        lib.FE_FUSE_UNK: not model.trainer.byte_fallback,
    }
    return {
        "flags": sum(flag for flag, on in flags.items() if on),
        "merges": merges.list,
        "tied": merges.tied,
        "char_codes": [ord(model.pieces[id]) for id in chars],
        "char_tokens": chars,
        "pair_left": left,
        "pair_right": right,
        "byte_tokens": byte_tokens(model),
    }


def _scored(model: SentencePieceModel) -> Fields:
    """Return pieces with scores as C has them."""
    defined = set(model.ids_of(PieceType.USER_DEFINED))
    ids = [*model.ids_of(PieceType.NORMAL, PieceType.USER_DEFINED)]
    pieces = [(model.pieces[id], id) for id in ids]
    flags = {
        lib.FE_UNIGRAM: True,
        lib.FE_F32_SUMS: True,
        lib.FE_SPACE_MARK: model.normalizer.escape_whitespaces,
        lib.FE_BYTE_FALLBACK: model.trainer.byte_fallback,
    }
    return {
        "flags": sum(flag for flag, on in flags.items() if on),
        "wholes": pieces,
        "whole_scores": [
            float(bonus(len(piece.encode()))) if id in defined else float(model.scores[id]) for piece, id in pieces
        ],
        "unk_score": float(unknown_score(model)),
        "byte_tokens": byte_tokens(model),
    }


def byte_tokens(model: SentencePieceModel) -> np.ndarray:
    """Return the piece of each byte, -1 where there is none."""
    found = np.full(256, -1, np.int32)
    for id in model.ids_of(PieceType.BYTE):
        found[BYTE_NAMES[model.pieces[id]]] = id
    return found


# ---------------------------------------------------------------- the normalizer


def normal_in_c(model: SentencePieceModel) -> tuple[bytes, int] | None:
    """Return the step by which C normalizes, and more flags; None where C would need too much room for a text.

    A text that is only read with marks for spaces, and perhaps one before it, needs no step: it is read where it lies.
    """
    spec, as_suffix = model.normalizer, model.trainer.treat_whitespace_as_suffix
    symbols = [model.pieces[id] for id in model.ids_of(PieceType.USER_DEFINED)]
    front, behind = spec.add_dummy_prefix and not as_suffix, spec.add_dummy_prefix and as_suffix
    trims, escapes = spec.remove_extra_whitespaces, spec.escape_whitespaces
    if not (spec.charsmap or trims or behind or symbols) and (escapes or not front):
        return b"", lib.FE_PREPEND if front else 0
    charsmap = Charsmap(spec.charsmap)
    longest = max(map(len, charsmap.texts.split(b"\0")))
    if 3 * longest >= MOST_GROWTH:
        return None
    # A symbol with a mark or a space is found in text that is written with marks, as it stands in the model.
    is_bpe = model.trainer.model_type == ModelType.BPE
    marks = escapes and is_bpe and any(MARK in symbol or " " in symbol for symbol in symbols)
    flags = {
        lib.FE_PIECES_TRIM: trims,
        lib.FE_PIECES_FRONT: front,
        lib.FE_PIECES_BEHIND: behind,
        lib.FE_PIECES_MARKS: marks,
        lib.FE_PIECES_ESCAPE: escapes,
    }
    array = DoubleArray(double_array(symbol.encode() for symbol in symbols))
    to = _plain(array, charsmap.array) + array.units.astype("<u4").tobytes()
    flag = sum(bit for bit, on in flags.items() if on)
    head = struct.pack("=BBHII", lib.FE_NORM_PIECES, flag, 0, len(spec.charsmap), len(to))
    return head + spec.charsmap + to, 0


def _plain(*arrays: DoubleArray) -> bytes:
    """Return a bit for each ASCII character with which, where ASCII or nothing follows, no key begins."""
    bits = bytearray(16)
    for byte in range(1, 128):
        text = bytes([byte])
        if not any(array.longest(text, 0, 1)[0] or array.goes_on(byte, range(128)) for array in arrays):
            bits[byte >> 3] |= 1 << (byte & 7)
    return bytes(bits)
