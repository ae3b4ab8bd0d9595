"""SentencePiece models whose steps Python does, as a road: for offsets, and for models that C cannot say."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from .core import Core
from .decoders import Decoders
from .road import Placed, Road
from .road_added import TEXT, finders
from .road_text import whole
from .sentencepiece_engine import Engine, Piece
from .sentencepiece_file import read_model
from .vocabulary import DamagedVocabularyError

SLOT = "sentencepiece"  # of Metadata.steps: the model's own file, in base64


def is_piece_model(core: Core) -> bool:
    """Return whether a tokenizer is one of a `.model` file."""
    return core.metadata.steps is not None and SLOT in core.metadata.steps


def model_bytes(core: Core) -> bytes:
    """Return the `.model` file that a tokenizer was read from."""
    assert core.metadata.steps is not None
    kept: Any = core.metadata.steps[SLOT]
    try:
        return b64decode(kept, validate=True)
    except (TypeError, ValueError):
        raise DamagedVocabularyError(f"its notes have a model that is {str(kept)[:40]!r}, no base64") from None


class PieceRoad(Road):
    """The general road of such a model.

    Control symbols are found where they are asked for, and each text between two is one by itself. User-defined symbols
    are the model's own affair.
    """

    def __init__(self, core: Core) -> None:
        self._of, self._core = core, None
        self._added = core.metadata.added
        self._by_c = ""
        self._raw, _ = finders(self._added, str)

    @cached_property
    def engine(self) -> Engine:
        """The model at work, made when it is first needed."""
        return Engine(read_model(model_bytes(self._of)))

    def encode(self, text: str, actions: bytes) -> list[Placed]:
        """Return the tokens of a text without surrogates, as `Road.encode`."""
        found: list[Placed] = []
        for number, start, part in self._parts(text, actions):
            if number == TEXT:
                found += _placed(self.engine.encode(part.encode()), part, start)
            else:
                found.append(Placed(self._added[number].id, start, start + len(part), True))
        return found

    def ids(self, text: str, actions: bytes) -> list[int]:
        """Return the ids of what `encode` returns."""
        found: list[int] = []
        for number, _, part in self._parts(text, actions):
            if number == TEXT:
                found += [piece.id for piece in self.engine.encode(part.encode())]
            else:
                found.append(self._added[number].id)
        return found

    def _parts(self, text: str, actions: bytes) -> Iterator[tuple[int, int, str]]:
        for number, stretch in self._raw.parts(whole(text), actions):
            yield number, stretch.starts[0], stretch.text


def _placed(pieces: list[Piece], text: str, base: int) -> Iterator[Placed]:
    """Yield pieces with their places as characters; of a character of several pieces each has all of it.

    A piece may end inside a character where a rule of the charsmap does.
    """
    firsts = [number for number, char in enumerate(text) for _ in char.encode()]  # by the bytes of the text
    firsts.append(len(text))
    ends, end = [0] * len(pieces), 0
    for k in range(len(pieces) - 1, -1, -1):
        end = end if pieces[k].inner else pieces[k].end  # else that of the last byte of its character
        ends[k] = end
    for piece, end in zip(pieces, ends, strict=True):
        start = firsts[piece.start]
        behind = firsts[end - 1] + 1 if end > piece.start else start
        yield Placed(piece.id, base + start, base + behind, False)


class PieceDecoders(Decoders):
    """What decodes the pieces of such a model: what a piece becomes depends on where it stands."""

    def __init__(self, core: Core) -> None:
        self._road, self.local = PieceRoad(core), False

    def __call__(self, tokens: list[str]) -> str:
        """Return the text of pieces."""
        engine = self._road.engine
        return engine.finish("".join(text for _, text in engine.decode(tokens)))
