"""What a SentencePiece processor knows of its model: reading it, and what each piece is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from .._text.core import Core
from .._text.sentencepiece_engine import Engine
from .._text.sentencepiece_file import PieceType, SentencePieceModel, read_model
from .._text.sentencepiece_plan import plan_pieces
from .._words import type_name
from ..tokenizer import Tokenizer
from ._sentencepiece_forms import NO_IDS


class ModelMethods:
    """The methods of `SentencePieceProcessor` that are about its model."""

    _data = b""  # of the model's file
    _defaults: dict[str, Any]
    _return_type: Any

    # ---------------------------------------------------------------- models

    def Load(self, model_file: str | None = None, model_proto: Any = None) -> bool:
        """Read a model, in the place of the one that is there."""
        if model_file and model_proto:
            raise ValueError("model_file and model_proto must be exclusive.")
        if model_proto:
            return self.LoadFromSerializedProto(model_proto)
        if model_file:
            return self.LoadFromFile(model_file)
        raise ValueError("Either model_file or model_proto must be specified.")

    def LoadFromFile(self, filename: str | os.PathLike[str]) -> bool:
        """Read a file."""
        try:
            with open(filename, "rb") as stream:
                data = stream.read()
        except OSError as error:
            raise RuntimeError(f'NOT_FOUND: "{filename}": {error.strerror}') from None
        return self.LoadFromSerializedProto(data)

    def LoadFromSerializedProto(self, serialized: Any) -> bool:
        """Read the bytes of a file, or a message of protobuf."""
        data = serialized.SerializeToString() if hasattr(serialized, "SerializeToString") else bytes(serialized)
        try:
            model = read_model(data)
            engine, tokenizer = Engine(model), Tokenizer(Core(plan_pieces(data)))
        except ValueError as error:
            raise RuntimeError(f"INTERNAL: the model cannot be read: {error}") from None
        self._data, self._loaded, self._loaded_tokenizer, self._loaded_engine = data, model, tokenizer, engine
        return True

    @classmethod
    def from_file(cls, model_file: str, **options: Any) -> Self:
        """Return a processor of a file."""
        processor = cls(**_without_models(options, "from_file"))
        processor.LoadFromFile(model_file)
        return processor

    @classmethod
    def from_proto(cls, model_proto: Any, **options: Any) -> Self:
        """Return a processor of the bytes of a file."""
        processor = cls(**_without_models(options, "from_proto"))
        processor.LoadFromSerializedProto(model_proto)
        return processor

    def serialized_model_proto(self) -> bytes:
        """Return the bytes of the model's file."""
        return self._data

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self._data, "defaults": self._defaults, "return_type": self._return_type}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["defaults"])  # type: ignore[misc]
        self._return_type = state["return_type"]
        if state["data"]:
            self.LoadFromSerializedProto(state["data"])

    @property
    def _model(self) -> SentencePieceModel:
        self._check()
        return self._loaded

    @property
    def _tokenizer(self) -> Tokenizer:
        self._check()
        return self._loaded_tokenizer

    @property
    def _engine(self) -> Engine:
        self._check()
        return self._loaded_engine

    def _check(self) -> None:
        if not self._data:
            raise RuntimeError("INTERNAL: Model is not initialized.")

    # ---------------------------------------------------------------- pieces

    def GetPieceSize(self) -> int:
        """Return how many pieces there are."""
        return len(self._loaded.pieces) if self._data else 0

    def PieceToId(self, piece: Any) -> Any:
        """Return the id of a piece, or of each of a list; that of the unknown piece where there is none."""
        if isinstance(piece, list | tuple | np.ndarray):
            return [self.PieceToId(one) for one in piece]
        if not isinstance(piece, str | bytes):
            raise TypeError(f"a piece must be str or bytes, got {type_name(piece)}")
        return self._engine.ids.of(piece if isinstance(piece, bytes) else piece.encode())

    def IdToPiece(self, id: Any) -> Any:
        """Return the piece of an id, or of each of a list."""
        return self._of_each(id, self._model.pieces)

    def GetScore(self, id: Any) -> Any:
        """Return the score of an id, or of each of a list."""
        return self._of_each(id, self._model.scores, float)

    def IsUnknown(self, id: Any) -> Any:
        """Return whether an id, or each of a list, is the unknown piece."""
        return self._is(id, PieceType.UNKNOWN)

    def IsControl(self, id: Any) -> Any:
        """Return whether an id, or each of a list, is a control symbol."""
        return self._is(id, PieceType.CONTROL)

    def IsUnused(self, id: Any) -> Any:
        """Return whether an id, or each of a list, is a piece that is not used."""
        return self._is(id, PieceType.UNUSED)

    def IsByte(self, id: Any) -> Any:
        """Return whether an id, or each of a list, is a byte."""
        return self._is(id, PieceType.BYTE)

    def _is(self, id: Any, kind: PieceType) -> Any:
        return self._of_each(id, self._model.types, lambda found: bool(found == kind))

    def _of_each(self, id: Any, values: Any, form: Callable[[Any], Any] = lambda value: value) -> Any:
        if isinstance(id, list | tuple | np.ndarray):
            return [self._of_each(one, values, form) for one in id]
        if not isinstance(id, int | np.integer) or isinstance(id, bool):
            raise TypeError(NO_IDS)
        if not 0 <= id < len(values):
            raise IndexError(f"OUT_OF_RANGE: piece id is out of range: {id}, of {len(values)} pieces")
        return form(values[id])

    def unk_id(self) -> int:
        """Return the id of the unknown piece."""
        return self._special("unk_piece", PieceType.UNKNOWN)

    def bos_id(self) -> int:
        """Return the id of the piece before a text, -1 where there is none."""
        return self._special("bos_piece", PieceType.CONTROL)

    def eos_id(self) -> int:
        """Return the id of the piece behind a text, -1 where there is none."""
        return self._special("eos_piece", PieceType.CONTROL)

    def pad_id(self) -> int:
        """Return the id of the piece that fills rows up, -1 where there is none."""
        return self._special("pad_piece", PieceType.CONTROL)

    def _special(self, name: str, kind: PieceType) -> int:
        if not self._data:
            return -1
        id = self._engine.ids.of(getattr(self._model.trainer, name).encode())
        return id if self._model.types[id] == kind else -1

    def __len__(self) -> int:
        return self.GetPieceSize()

    def __getitem__(self, piece: str) -> int:
        found: int = self.PieceToId(piece)
        return found


def _without_models(options: dict[str, Any], who: str) -> dict[str, Any]:
    if options.keys() & {"model_file", "model_proto"}:
        raise ValueError(f"model_file and model_proto cannot be passed via kwargs when using {who} classmethod.")
    return options
