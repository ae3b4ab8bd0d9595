"""SentencePiece in plain Python: text → pieces with their ids and places, and back, by what a `.model` file says.

It is exact and slow. The C core does the same of nearly all models (`sentencepiece_plan.py`); this is its oracle, and
does what C does not: places of pieces, the n best ways, ways by chance, dropout, and models that C cannot say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

import numpy as np

from .sentencepiece_bpe import BpeModel, Pieces, ids_of
from .sentencepiece_charsmap import MOST_KEY_BYTES
from .sentencepiece_file import MARK, ModelType, PieceType, SentencePieceModel
from .sentencepiece_normal import MARK_BYTES, REPLACEMENT, Normalizer, Symbols, char_size, in_chars
from .sentencepiece_unigram import UnigramModel
from .vocabulary import DamagedVocabularyError

BYTE_NAMES = {f"<0x{byte:02X}>": byte for byte in range(256)}
MOST_NBEST = 1024


class Piece(NamedTuple):
    """A piece of a text, the bytes it is written as, its id, and from which byte of the text up to which it stands.

    Of the bytes of an unknown character the last one stands for it; the others are `inner`, and stand for nothing.
    """

    text: bytes
    id: int
    start: int
    end: int
    inner: bool = False


class Engine:
    """A model at work; it never changes."""

    def __init__(self, model: SentencePieceModel) -> None:
        """Make what the steps of a model need.

        Raises
        ------
        DamagedVocabularyError
            The charsmap is none, or the model is of a kind that is not read.
        """
        if model.trainer.model_type not in (ModelType.UNIGRAM, ModelType.BPE):
            kind = ModelType(model.trainer.model_type).name.lower()
            raise DamagedVocabularyError(f"trainer_spec: model_type is {kind}; unigram and bpe can be read")
        self.model, self.ids = model, ids_of(model)
        symbols = [model.pieces[id].encode() for id in model.ids_of(PieceType.USER_DEFINED)]
        if any(b"\0" in symbol for symbol in symbols):
            raise DamagedVocabularyError("a user-defined symbol holds a NUL")
        self._check_sizes()
        self._symbols = Symbols(symbols) if symbols else None
        self.normalize = Normalizer(model.normalizer, self._symbols, model.trainer.treat_whitespace_as_suffix)
        self._denormalize = None
        if model.denormalizer is not None and model.denormalizer.charsmap:
            self._denormalize = Normalizer(model.denormalizer)
        self.is_bpe = model.trainer.model_type == ModelType.BPE
        self._bpe = BpeModel(model, self.ids, self._symbols) if self.is_bpe else None
        self._unigram = None if self.is_bpe else UnigramModel(model, self.ids)
        self._types = model.types.tolist()
        self._later = dict[str, str]()  # the texts of pieces that no text begins with
        self._byte_ids = [self.ids.of(name.encode()) for name in BYTE_NAMES]

    def _check_sizes(self) -> None:
        """Refuse pieces so long that it would take too long to look for them at each place, or to take them apart."""
        if max(map(len, self.model.pieces)) <= MOST_KEY_BYTES // 4:  # characters: of nearly all models
            return
        for id, (piece, kind) in enumerate(zip(self.model.pieces, self.model.types.tolist(), strict=True)):
            is_found = kind in (PieceType.NORMAL, PieceType.USER_DEFINED, PieceType.UNUSED)
            if is_found and (size := len(piece.encode())) > MOST_KEY_BYTES:
                raise DamagedVocabularyError(f"piece {id} has {size} bytes, of which {MOST_KEY_BYTES} can be")

    # ---------------------------------------------------------------- text → pieces

    def encode(self, text: bytes) -> list[Piece]:
        """Return the pieces of a text in UTF-8; of bytes that are none each is U+FFFD."""
        normalized, origins = self.normalize(text)
        return self._placed(self._cut(normalized), origins)

    def nbest(self, text: bytes, count: int, seconds: float = inf) -> list[tuple[list[Piece], float]]:
        """Return the `count` best ways of a Unigram model to cut a text, with their scores.

        Where finding them takes longer than `seconds`, the best one alone.

        Raises
        ------
        ValueError
            The model is of merges, which have one result.
        """
        normalized, origins = self.normalize(text)
        return [(self._placed(pieces, origins), score) for pieces, score in self._nbest(normalized, count, seconds)]

    def _nbest(self, normalized: bytes, count: int, seconds: float = inf) -> list[tuple[Pieces, float]]:
        if self._unigram is None:
            raise ValueError("the n best ways to cut a text are asked of a BPE model, where merges give one")
        count = max(1, min(count, MOST_NBEST))
        if not normalized or count == 1:
            return [(self._cut(normalized), 0.0)]
        return self._unigram.lattice(normalized).nbest(count, seconds) or [(self._cut(normalized), 0.0)]

    def sample(self, text: bytes, nbest_size: int, alpha: float, generator: np.random.Generator) -> list[Piece]:
        """Return pieces by chance.

        Of a Unigram model a way to cut the text, from all (`nbest_size` below 0) or from the best so many, each with a
        chance that grows as exp(`alpha` times its score); with `nbest_size` 0 or 1 the best one. A BPE model leaves
        out each merge with the chance `alpha`.
        """
        normalized, origins = self.normalize(text)
        if not normalized:
            return []
        if self._bpe is not None:
            pieces = self._bpe.encode(normalized, None if alpha <= 0 else lambda: generator.random() < alpha)
        elif nbest_size < 0:
            assert self._unigram is not None
            pieces = self._unigram.lattice(normalized).sample(alpha, generator)
        elif nbest_size <= 1:
            pieces = self._cut(normalized)
        else:
            ways = self._nbest(normalized, nbest_size)
            logs = alpha * np.array([score for _, score in ways])
            ends = np.cumsum(np.exp(logs - logs.max()))
            place = int(np.searchsorted(ends, generator.random() * ends[-1], side="right"))
            pieces = ways[min(place, len(ways) - 1)][0]
        return self._placed(pieces, origins)

    def _cut(self, normalized: bytes) -> Pieces:
        if self._bpe is not None:
            return self._bpe.encode(normalized)
        assert self._unigram is not None
        return self._unigram.encode(normalized)

    def _placed(self, pieces: Pieces, origins: Sequence[int]) -> list[Piece]:
        """Return pieces with their places; unknown ones become bytes, or those side by side one."""
        found: list[Piece] = []
        at, in_bytes, was_unknown = 0, self.model.trainer.byte_fallback, False
        for text, id in pieces:
            kind = self._types[id]
            if kind == PieceType.CONTROL:
                found.append(Piece(text, id, origins[at], origins[at]))
                was_unknown = False
                continue
            start, at = origins[at], at + len(text)
            end, unknown = origins[at], kind == PieceType.UNKNOWN
            if unknown and in_bytes:
                last = len(text) - 1
                found += [
                    Piece(
                        f"<0x{byte:02X}>".encode(), self._byte_ids[byte], start, end if k == last else start, k < last
                    )
                    for k, byte in enumerate(text)
                ]
            elif unknown and was_unknown:
                found[-1] = Piece(found[-1].text + text, id, found[-1].start, end)
            else:
                found.append(Piece(text, id, start, end))
            was_unknown = unknown
        return found

    # ---------------------------------------------------------------- pieces → text

    def decode(self, pieces: Iterable[str]) -> list[tuple[str, str]]:
        """Return pieces with the text that each one stands for; together these are the text, but for `finish`."""
        found, run, text_begun, took_mark = list[tuple[str, str]](), list[str](), False, False
        at_start, later = True, self._later
        for piece in pieces:
            known = None if at_start else later.get(piece)
            if known is not None and not run:
                found.append((piece, known))
                continue
            id = self.ids.of(piece.encode())
            if self._types[id] == PieceType.BYTE:
                run.append(piece)
                continue
            if run:
                found += _from_bytes(run)
                run = []
            text_begun = text_begun or any(text for _, text in found)
            at_start = at_start and not took_mark and not text_begun
            text, took_mark = self._text_of(piece, id, at_start)
            found.append((piece, text))
            if not at_start and piece == self.model.pieces[id]:  # no other: names that are given have no end
                later[piece] = text
            text_begun = text_begun or bool(text)
        return found + _from_bytes(run)

    def finish(self, text: str) -> str:
        """Return what becomes of a decoded text in the end: what the denormalizer makes of it."""
        return text if self._denormalize is None else self._denormalize(text.encode())[0].decode(errors="replace")

    def _text_of(self, piece: str, id: int, at_start: bool) -> tuple[str, bool]:
        """Return the text of a piece, and whether the mark at its start was the one put before every text."""
        kind, spec = self._types[id], self.model.normalizer
        if kind == PieceType.CONTROL:
            return "", False
        if kind == PieceType.UNKNOWN:
            return (self.model.trainer.unk_surface if piece == self.model.pieces[id] else piece), False
        took_mark = False
        if at_start and (spec.add_dummy_prefix or spec.remove_extra_whitespaces) and piece.startswith(MARK):
            piece = piece[1:]
            took_mark = not spec.remove_extra_whitespaces  # else those of the pieces that follow go too
        return piece.replace(MARK, " "), took_mark


def _from_bytes(names: list[str]) -> list[tuple[str, str]]:
    """Return the names of bytes with their text: a character is of its last byte, a bad byte is U+FFFD."""
    data, found, at = bytes(BYTE_NAMES[name] for name in names), list[tuple[str, str]](), 0
    while at < len(data):
        size = char_size(data, at)
        text, size = (data[at : at + size].decode(), size) if size else ("\ufffd", 1)
        found += [(name, "") for name in names[at : at + size - 1]]
        found.append((names[at + size - 1], text))
        at += size
    return found


__all__ = ["BYTE_NAMES", "MARK_BYTES", "REPLACEMENT", "Engine", "Piece", "in_chars"]
