"""SentencePiece's BPE, word for word: of two neighbours that together are a piece the best score merges first.

In the C core the same is a list of merges (`sentencepiece_plan.py`); this is the oracle, and what does the rest: pieces
that are unused, and dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

from .sentencepiece_file import PieceType, SentencePieceModel
from .sentencepiece_normal import Symbols, in_chars

Pieces = list[tuple[bytes, int]]  # of a text, and their ids
Skip = Callable[[], bool]


class Ids(NamedTuple):
    """The ids of pieces: of those that text may give, and of the others."""

    open: dict[bytes, int]
    reserved: dict[bytes, int]
    unk: int

    def of(self, piece: bytes) -> int:
        """Return the id of any piece, that of the unknown one where there is none."""
        id = self.reserved.get(piece)
        return self.open.get(piece, self.unk) if id is None else id


def ids_of(model: SentencePieceModel) -> Ids:
    """Return the ids of the pieces of a model."""
    opened, reserved = dict[bytes, int](), dict[bytes, int]()
    for id, (piece, kind) in enumerate(zip(model.pieces, model.types.tolist(), strict=True)):
        is_open = kind in (PieceType.NORMAL, PieceType.USER_DEFINED, PieceType.UNUSED)
        (opened if is_open else reserved)[piece.encode()] = id
    return Ids(opened, reserved, model.unk_id)


class BpeModel:
    """Merges by score."""

    def __init__(self, model: SentencePieceModel, ids: Ids, symbols: Symbols | None) -> None:
        self._ids, self._symbols = ids, symbols
        self._scores, self._unused = model.scores.tolist(), (model.types == PieceType.UNUSED).tolist()

    def encode(self, text: bytes, skips: Skip | None = None) -> Pieces:
        """Return the pieces of a normalized text; `skips` says of each merge in its turn whether it is left out."""
        pieces, frozen = self._symbols_of(text)
        after, before = [*range(1, len(pieces) + 1)], [*range(-1, len(pieces) - 1)]
        heap: list[tuple[float, int, int, int]] = []  # score negated, left and right symbol, bytes of both
        taken_apart = dict[bytes, tuple[bytes, bytes]]()

        def look_at(left: int, right: int) -> None:
            if left < 0 or right >= len(pieces) or frozen[left] or frozen[right]:
                return
            both = pieces[left] + pieces[right]
            id = self._ids.open.get(both)
            if id is not None:
                heappush(heap, (-self._scores[id], left, right, len(both)))
                if self._unused[id]:
                    taken_apart[both] = pieces[left], pieces[right]

        for place in range(1, len(pieces)):
            look_at(place - 1, place)
        while heap:
            _, left, right, size = heappop(heap)
            # A symbol that is gone is empty, and one that has grown no longer adds up.
            if not pieces[left] or not pieces[right] or len(pieces[left]) + len(pieces[right]) != size:
                continue
            if skips is not None and skips():
                continue
            pieces[left] += pieces[right]
            pieces[right] = b""
            after[left] = after[right]
            if after[left] < len(pieces):
                before[after[left]] = left
            look_at(before[left], left)
            look_at(left, after[left])
        return [one for piece in pieces if piece for one in self._kept(piece, taken_apart)]

    def _symbols_of(self, text: bytes) -> tuple[list[bytes], list[bool]]:
        """Return the symbols that a text begins as, and which of them are user-defined and never merge."""
        pieces, frozen, at = list[bytes](), list[bool](), 0
        if self._symbols is None:
            pieces = in_chars(text)
            return pieces, [False] * len(pieces)
        while at < len(text):
            size = self._symbols.longest(text, at)
            piece = text[at : at + size] if size else in_chars(text[at : at + 4])[0]
            pieces.append(piece)
            frozen.append(size > 0)
            at += len(piece)
        return pieces, frozen

    def _kept(self, piece: bytes, taken_apart: dict[bytes, tuple[bytes, bytes]]) -> Pieces:
        """Return a symbol, or if it is unused the parts that it was made of, down to parts that are not.

        One that was made of none, an unused character, is unknown.
        """
        found, todo = [], [piece]
        while todo:
            part = todo.pop()
            id = self._ids.open.get(part, self._ids.unk)
            parts = taken_apart.get(part) if self._unused[id] else None
            if parts is None:
                found.append((part, self._ids.unk if self._unused[id] else id))
            else:
                todo += reversed(parts)
        return found
