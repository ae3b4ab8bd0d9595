"""Reading SentencePiece's `.model` files: the wire format of protobuf, and the few messages of it that a model has.

A file is a list of fields: a key (the number of the field, and in three bits how its value is written), then the value.
Nothing is believed before it is checked: a length must lie inside the message that holds it, so no more is ever taken
than the file has, and what is wrong is said with its field and the byte at which it stands.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from .vocabulary import DamagedVocabularyError

MARK = "\u2581"  # what a space becomes
MOST_PIECES = 1 << 21  # tokens that the C core can hold
LONGEST_VARINT = 10  # bytes

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # how a value is written
_WIRE_TYPES = {VARINT: "a varint", FIXED64: "eight bytes", BYTES: "a length and bytes", FIXED32: "four bytes"}


class PieceType(IntEnum):
    """What a piece is for."""

    NORMAL = 1
    UNKNOWN = 2  # what has no piece; a model has one
    CONTROL = 3  # never comes out of text
    USER_DEFINED = 4  # found in the text before anything else
    UNUSED = 5  # never comes out of text; in BPE it merges all the same, and is taken apart again
    BYTE = 6  # a byte of a character that has no piece


class ModelType(IntEnum):
    """How text becomes pieces."""

    UNIGRAM = 1
    BPE = 2
    WORD = 3
    CHAR = 4


@dataclass(frozen=True)
class TrainerSpec:
    """Those settings of the trainer that matter to a model that is there; `extra` are all others, as they were read."""

    model_type: ModelType = ModelType.UNIGRAM
    vocab_size: int = 8000
    treat_whitespace_as_suffix: bool = False
    byte_fallback: bool = False
    unk_id: int = 0
    bos_id: int = 1
    eos_id: int = 2
    pad_id: int = -1
    unk_surface: str = " \u2047 "
    unk_piece: str = "<unk>"
    bos_piece: str = "<s>"
    eos_piece: str = "</s>"
    pad_piece: str = "<pad>"
    extra: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class NormalizerSpec:
    """How a text is normalized; `charsmap` is a double array of what is replaced, and what by."""

    name: str = ""
    charsmap: bytes = field(default=b"", repr=False)
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    extra: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class SentencePieceModel:
    """A model: pieces by id with their scores and types, and how text is normalized."""

    pieces: list[str]
    scores: npt.NDArray[np.float32]
    types: npt.NDArray[np.uint8]
    trainer: TrainerSpec = TrainerSpec()
    normalizer: NormalizerSpec = NormalizerSpec()
    denormalizer: NormalizerSpec | None = None

    @property
    def unk_id(self) -> int:
        """The id of the unknown piece."""
        return int(np.flatnonzero(self.types == PieceType.UNKNOWN)[0])

    def ids_of(self, *types: PieceType) -> list[int]:
        """Return the ids of the pieces of some types, ascending."""
        return np.flatnonzero(np.isin(self.types, types)).tolist()


# Names and numbers of fields, as the format's own description has them.
TRAINER_FIELDS = {
    "model_type": 3,
    "vocab_size": 4,
    "treat_whitespace_as_suffix": 24,
    "byte_fallback": 35,
    "unk_id": 40,
    "bos_id": 41,
    "eos_id": 42,
    "pad_id": 43,
    "unk_surface": 44,
    "unk_piece": 45,
    "bos_piece": 46,
    "eos_piece": 47,
    "pad_piece": 48,
}
NORMALIZER_FIELDS = {
    "name": 1,
    "charsmap": 2,
    "add_dummy_prefix": 3,
    "remove_extra_whitespaces": 4,
    "escape_whitespaces": 5,
}
PIECES, TRAINER, NORMALIZER, DENORMALIZER = 1, 2, 3, 5  # fields of the whole
PIECE, SCORE, TYPE = 1, 2, 3  # of a piece


class Field(NamedTuple):
    """A field as it stands in the file: `value` is a number, or where bytes begin and end."""

    number: int
    wire: int
    value: int
    end: int
    at: int  # of its key


def looks_like_model(head: bytes) -> bool:
    """Return whether a file that begins so is such a model: a piece, behind its length and that of its text."""
    if len(head) < 5 or head[0] != PIECES << 3 | BYTES:
        return False
    at = 2 if head[1] < 0x80 else 3
    size = head[at + 1] if at + 1 < len(head) else 0x80
    score = at + 2 + size
    # A piece with a score: what else begins with a line end does not go on so.
    return head[at] == PIECE << 3 | BYTES and size < 0x80 and head[score : score + 1] in (b"\x15", b"\x18")


def read_model(data: bytes) -> SentencePieceModel:
    """Return the model that the bytes of a file are.

    Raises
    ------
    DamagedVocabularyError
        They are none, or one that cannot be used: it says which field is at fault, and at which byte.
    """
    pieces, scores, types, start = _plain_pieces(data)
    trainer, normalizer, denormalizer = TrainerSpec(), NormalizerSpec(), None
    for one in _fields(data, start, len(data), "the file"):
        if one.number == PIECES:
            piece, score, kind = _read_piece(data, one, len(pieces))
            pieces.append(piece)
            scores.append(score)
            types.append(kind)
            if len(pieces) > MOST_PIECES:
                raise _damaged(one.at, "pieces", f"more than {MOST_PIECES} of them")
        elif one.number == TRAINER:
            trainer = _read_spec(data, one, TrainerSpec, TRAINER_FIELDS, "trainer_spec")
        elif one.number == NORMALIZER:
            normalizer = _read_spec(data, one, NormalizerSpec, NORMALIZER_FIELDS, "normalizer_spec")
        elif one.number == DENORMALIZER:
            denormalizer = _read_spec(data, one, NormalizerSpec, NORMALIZER_FIELDS, "denormalizer_spec")
    model = SentencePieceModel(
        pieces, np.array(scores, np.float32), np.array(types, np.uint8), trainer, normalizer, denormalizer
    )
    check_model(model)
    return model


def read_normalizer(data: bytes, in_model: bool) -> NormalizerSpec:
    """Return how a text is normalized, of the bytes of a file, whatever else is in it, or of a message by itself.

    Raises
    ------
    DamagedVocabularyError
        They are none: it says which field is at fault, and at which byte.
    """
    if not in_model:
        whole = Field(NORMALIZER, BYTES, 0, len(data), 0)
        return cast(NormalizerSpec, _read_spec(data, whole, NormalizerSpec, NORMALIZER_FIELDS, "normalizer_spec"))
    found = NormalizerSpec()
    *_, start = _plain_pieces(data)
    for one in _fields(data, start, len(data), "the file"):
        if one.number == NORMALIZER:
            found = _read_spec(data, one, NormalizerSpec, NORMALIZER_FIELDS, "normalizer_spec")
    return found


def check_model(model: SentencePieceModel) -> None:
    """Raise DamagedVocabularyError where pieces do not go together."""
    if not model.pieces:
        raise DamagedVocabularyError("it has no pieces")
    if not np.isfinite(model.scores).all():
        id = int(np.flatnonzero(~np.isfinite(model.scores))[0])
        raise DamagedVocabularyError(f"piece {id}, {model.pieces[id]!r}, has the score {model.scores[id]}")
    reserved = np.isin(model.types, (PieceType.UNKNOWN, PieceType.CONTROL, PieceType.BYTE)).tolist()
    seen: set[tuple[str, bool]] = set()
    for id, one in enumerate(zip(model.pieces, reserved, strict=True)):
        if not one[0]:
            raise DamagedVocabularyError(f"piece {id} is empty")
        if one in seen:
            raise DamagedVocabularyError(f"piece {id}, {one[0]!r}, stands there twice")
        seen.add(one)
    unknown = model.ids_of(PieceType.UNKNOWN)
    if len(unknown) != 1:
        raise DamagedVocabularyError(f"it has {len(unknown)} pieces of type UNKNOWN, where a model has one")
    in_bytes = {model.pieces[id] for id in model.ids_of(PieceType.BYTE)}
    wanted = {f"<0x{byte:02X}>" for byte in range(256)} if model.trainer.byte_fallback else set[str]()
    if in_bytes - wanted:
        why = "is no name of a byte" if model.trainer.byte_fallback else "is a byte, but byte_fallback is off"
        raise DamagedVocabularyError(f"piece {min(in_bytes - wanted)!r} {why}")
    if wanted - in_bytes:
        raise DamagedVocabularyError(f"byte_fallback is on, but there is no piece {min(wanted - in_bytes)!r}")


# ---------------------------------------------------------------- messages


def _plain_pieces(data: bytes) -> tuple[list[str], list[float], list[int], int]:
    """Return the pieces with which a file begins as long as they are written as nearly all are, and where they end.

    That is in this order, with lengths of one byte: the piece, its score, and its type or nothing. Field by field
    a piece takes 18 us, and a large model has 250,000 of them.
    """
    pieces, scores, types, at, size = list[str](), list[bytes](), list[int](), 0, len(data)
    while at + 9 <= size and len(pieces) < MOST_PIECES:
        end = at + 2 + data[at + 1]
        score = at + 4 + data[at + 3]
        if data[at] != 0x0A or data[at + 1] >= 0x80 or data[at + 2] != 0x0A or end > size or score + 5 > end:
            break
        kind: int = PieceType.NORMAL
        if end - score == 7 and data[score + 5] == 0x18:
            kind = data[score + 6]
        elif end - score != 5:
            break
        if data[score] != 0x15 or not PieceType.NORMAL <= kind <= PieceType.BYTE:
            break
        try:
            pieces.append(data[at + 4 : score].decode())
        except UnicodeDecodeError:
            break
        scores.append(data[score + 1 : score + 5])
        types.append(kind)
        at = end
    return pieces, np.frombuffer(b"".join(scores), "<f4").tolist(), types, at


def _read_piece(data: bytes, message: Field, id: int) -> tuple[str, float, int]:
    where = f"piece {id}"
    piece, score, kind = "", 0.0, int(PieceType.NORMAL)
    for one in _fields(data, *_span(message, where), where):
        if one.number == PIECE:
            piece = _as_text(data, one, f"{where}: piece")
        elif one.number == SCORE:
            score = _as_float(data, one, f"{where}: score")
        elif one.number == TYPE:
            kind = _as_integer(one, f"{where}: type")
            if not PieceType.NORMAL <= kind <= PieceType.BYTE:
                raise _damaged(one.at, f"{where}: type", f"{kind}, not one from 1 to 6")
    return piece, score, kind


def _read_spec(data: bytes, message: Field, kind: type[Any], numbers: dict[str, int], where: str) -> Any:
    """Return the settings of one message; fields of other numbers are kept as they stand."""
    names = {number: name for name, number in numbers.items()}
    types = {one.name: str(one.type) for one in fields(kind)}
    given: dict[str, Any] = {}
    extra: list[bytes] = []
    for one in _fields(data, *_span(message, where), where):
        name = names.get(one.number)
        if name is None:
            extra.append(data[one.at : one.end])
            continue
        given[name] = _SETTINGS[types[name]](data, one, f"{where}: {name}")
    return kind(**given, extra=b"".join(extra))


def _as_integer(one: Field, where: str) -> int:
    if one.wire != VARINT:
        raise _wrong(one, where, VARINT)
    value = one.value & 0xFFFFFFFF  # as protobuf reads numbers of 32 bits
    return value - (1 << 32) if value >> 31 else value


def _as_model_type(_: bytes, one: Field, where: str) -> ModelType:
    value = _as_integer(one, where)
    if not ModelType.UNIGRAM <= value <= ModelType.CHAR:
        raise _damaged(one.at, where, f"{value}, not one from 1 to 4")
    return ModelType(value)


def _as_float(data: bytes, one: Field, where: str) -> float:
    if one.wire != FIXED32:
        raise _wrong(one, where, FIXED32)
    return float(struct.unpack_from("<f", data, one.end - 4)[0])


def _as_bytes(data: bytes, one: Field, where: str) -> bytes:
    start, end = _span(one, where)
    return data[start:end]


def _as_text(data: bytes, one: Field, where: str) -> str:
    try:
        return _as_bytes(data, one, where).decode()
    except UnicodeDecodeError as error:
        raise _damaged(one.value + error.start, where, "no UTF-8") from None


def _span(one: Field, where: str) -> tuple[int, int]:
    if one.wire != BYTES:
        raise _wrong(one, where, BYTES)
    return one.value, one.end


#: How a setting is read, by its type.
_SETTINGS: dict[str, Callable[[bytes, Field, str], Any]] = {
    "int": lambda _, one, where: _as_integer(one, where),
    "bool": lambda _, one, where: _as_integer(one, where) != 0,
    "str": _as_text,
    "bytes": _as_bytes,
    "ModelType": _as_model_type,
}


# ---------------------------------------------------------------- the wire format


def _fields(data: bytes, start: int, end: int, where: str) -> Iterator[Field]:
    """Yield the fields of the message from `start` up to `end`."""
    at = start
    while at < end:
        key, value_at = _varint(data, at, end, f"{where}: the key of a field")
        number, wire = key >> 3, key & 7
        inside = f"{where}: field {number}"
        if not 0 < number < 1 << 29:
            raise _damaged(at, where, f"a field of number {number}")
        if wire == VARINT:
            value, behind = _varint(data, value_at, end, inside)
        elif wire == BYTES:
            size, value = _varint(data, value_at, end, f"{inside}: its length")
            behind = value + size
        elif wire in (FIXED32, FIXED64):
            value, behind = value_at, value_at + (4 if wire == FIXED32 else 8)
        else:
            raise _damaged(at, inside, f"the wire type {wire}, which there is not")
        if behind > end:
            start = value if wire == BYTES else value_at
            raise _damaged(at, inside, f"{behind - start} bytes, where {max(end - start, 0)} are left")
        yield Field(number, wire, value, behind, at)
        at = behind


def _varint(data: bytes, at: int, end: int, where: str) -> tuple[int, int]:
    """Return the number that begins at `at`, and where it ends."""
    value = 0
    for place in range(at, min(end, at + LONGEST_VARINT)):
        value |= (data[place] & 0x7F) << 7 * (place - at)
        if data[place] < 0x80:
            return value & (1 << 64) - 1, place + 1
    raise _damaged(at, where, "a number that is cut off" if end - at < LONGEST_VARINT else "a number without an end")


def _wrong(one: Field, where: str, wanted: int) -> DamagedVocabularyError:
    return _damaged(one.at, where, f"{_WIRE_TYPES[one.wire]}, where {_WIRE_TYPES[wanted]} should stand")


def _damaged(at: int, where: str, what: str) -> DamagedVocabularyError:
    return DamagedVocabularyError(f"{where} is {what} (byte {at})")
