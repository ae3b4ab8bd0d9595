"""SentencePiece's BPE as a list of merges: every way to make a piece of two others, by the score of what is made."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .sentencepiece_file import PieceType, SentencePieceModel
from .vocabulary import Merges

Codes = npt.NDArray[np.uint32]


class ScoredMerges(NamedTuple):
    """A list of merges in which those that make the same piece have one priority, as have all from `tied` on."""

    list: Merges
    tied: int


def merges_of(model: SentencePieceModel) -> ScoredMerges | None:
    """Return the merges of a model; None where it does what a list cannot say.

    That is: pieces that are unused and taken apart again; a piece with a character that is none by itself; or one score
    of several pieces, but for the lowest: which of two different merges comes first is then a matter of place. Those of
    the lowest score, of runs of spaces as a rule, come after all others, and among them only the place counts.
    """
    reserved = set(model.ids_of(PieceType.UNKNOWN, PieceType.CONTROL, PieceType.BYTE))
    names = {model.pieces[id] for id in reserved}
    normal = {model.pieces[id]: id for id in model.ids_of(PieceType.NORMAL)}
    frozen = {model.pieces[id] for id in model.ids_of(PieceType.USER_DEFINED)}
    if model.ids_of(PieceType.UNUSED) or not names.isdisjoint(normal) or not names.isdisjoint(frozen):
        return None
    made = "".join(piece for piece in normal if len(piece) > 1)
    if not {*made} <= normal.keys() | frozen:
        return None  # a symbol without a piece merges all the same
    scores, id_of = model.scores.tolist(), normal.get
    left, right, result = list[int](), list[int](), list[int]()
    for piece, id in sorted(normal.items(), key=lambda item: (-scores[item[1]], item[1])):
        for cut in range(1, len(piece)):
            first = id_of(piece[:cut])
            if first is not None and (second := id_of(piece[cut:])) is not None:
                left.append(first)
                right.append(second)
                result.append(id)
    merges = Merges(*(np.array(part, np.int32) for part in (left, right, result)))
    tied = _first_tied(model.scores[merges.result], merges.result)
    return None if tied is None else ScoredMerges(merges, tied)


def _first_tied(scores: npt.NDArray[np.float32], result: npt.NDArray[np.int32]) -> int | None:
    """Return from where on all merges have one score, if several pieces have it; None if several have another one."""
    changes = np.flatnonzero(np.diff(result))  # the last merge of a piece, and the first of the next one behind it
    shared = changes[scores[changes] == scores[changes + 1]]
    if not shared.size:
        return result.size
    if scores[shared[0]] != scores[-1]:
        return None
    return int(np.searchsorted(-scores, -scores[-1]))


def pairs_inside(pieces: list[str]) -> tuple[Codes, Codes]:
    """Return the pairs of code points that stand side by side inside pieces.

    Between two characters whose pair is in no piece a text may be cut before it is merged.
    """
    codes = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32)
    inside = np.ones(codes.size, bool)
    inside[np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces))) - 1] = False
    first = np.flatnonzero(inside)
    return codes[first], codes[first + 1]
