"""Reading the Unigram model of a `tokenizer.json`: a list of pieces with scores."""

from __future__ import annotations

from math import isfinite
from typing import Any

from .bpe_model import is_id, is_text
from .component_reader import Json, Unsupported, damaged, shown
from .components import Unigram

UNK_PENALTY = 10.0  # an unknown character scores so much less than the worst piece
MOST_PIECE_BYTES = 4096  # FE_MOST_PIECE_BYTES


def read_unigram(node: Json) -> Unigram:
    """Return the model of a file.

    Raises
    ------
    DamagedVocabularyError
        A piece is none, or stands twice, or a setting has a value that it cannot have.
    Unsupported
        There is no unknown token: of a text with an unknown character nothing could be made.
    """
    rows = node.get("vocab")
    if not isinstance(rows, list) or not rows:
        raise damaged("its vocabulary is missing or empty")
    vocab: dict[str, int] = {}
    scores: list[float] = []
    for id, row in enumerate(rows):
        if not (isinstance(row, list) and len(row) == 2 and is_text(row[0]) and _is_score(row[1])):
            raise damaged(f"piece {id} is {shown(row)}, not a text and a finite score")
        name, score = row
        if vocab.setdefault(name, id) != id:
            raise damaged(f"the piece {name!r} stands twice, with {vocab[name]} and {id}")
        if len(name) > MOST_PIECE_BYTES // 4 and len(name.encode()) > MOST_PIECE_BYTES:
            raise Unsupported(f"piece {id} of more than {MOST_PIECE_BYTES} bytes")
        scores.append(float(score))
    unk_id, fallback = node.get("unk_id"), node.get("byte_fallback", False)
    if unk_id is None:
        raise Unsupported("Unigram without unk_id: a text with an unknown character has no ids")
    if not is_id(unk_id) or unk_id >= len(rows):
        raise damaged(f"unk_id is {shown(unk_id)}, not the place of a piece, of which there are {len(rows)}")
    if not isinstance(fallback, bool):
        raise damaged(f"byte_fallback is {shown(fallback)}, neither true nor false")
    unk_score = min(scores) - UNK_PENALTY
    if not isfinite(unk_score):
        raise damaged(f"the score {min(scores)} leaves none that is lower")
    return Unigram(vocab, scores, unk_id, unk_score, fallback)


def _is_score(value: Any) -> bool:
    try:
        return type(value) in (int, float) and isfinite(float(value))
    except OverflowError:  # an integer that no float holds
        return False
