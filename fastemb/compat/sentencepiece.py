"""`sentencepiece.SentencePieceProcessor` over fastemb's tokenizer: the same names, arguments and answers.

Change ``import sentencepiece`` to ``from fastemb.compat import sentencepiece``. What is other than in sentencepiece
0.2.3: samples come from NumPy's generator, so a seed gives other ones (of the same distribution); half of a surrogate
pair is read as U+FFFD; the classes of protobuf's messages, for ``return_type="proto"``, are those of the package
sentencepiece, and ``return_type="serialized_proto"`` gives them as bytes without it; texts are encoded on the threads
of `fastemb.set_num_threads`, whatever ``num_threads`` says; `ParallelEncode` is `Encode`; tables of named rules are
those of the package sentencepiece, or of a folder that `set_data_dir` names; `SentencePieceTrainer` finds the pieces of
fastemb's own trainers, which are others; and there are no flat buffers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from .._text.sentencepiece_engine import Piece
from .._text.sentencepiece_text import Surface, nbest_message, text_message
from .._words import shown
from . import _sentencepiece_settings as _settings
from ._sentencepiece_forms import (
    ADDED,
    NO_IDS,
    as_array,
    as_messages,
    is_row,
    is_utf8,
    normalized,
    only,
    surfaces_of,
)
from ._sentencepiece_model import ModelMethods
from ._sentencepiece_normalizer import SentencePieceNormalizer, SetDataDir, set_data_dir
from ._sentencepiece_settings import (
    SetMinLogLevel,
    SetNBestTimeout,
    SetRandomGeneratorSeed,
    ThreadPool,
    set_min_log_level,
    set_nbest_timeout,
    set_random_generator_seed,
)
from ._sentencepiece_trainer import SentencePieceTrainer

__all__ = [
    "SentencePieceNormalizer",
    "SentencePieceProcessor",
    "SentencePieceTrainer",
    "SetDataDir",
    "SetMinLogLevel",
    "SetNBestTimeout",
    "SetRandomGeneratorSeed",
    "ThreadPool",
    "set_data_dir",
    "set_min_log_level",
    "set_nbest_timeout",
    "set_random_generator_seed",
]

__version__ = "0.2.3"  # of sentencepiece, whose answers these are
RETURN_TYPES = (int, str, bytes, "proto", "serialized_proto", "numpy", "offset_mapping")
MOST_NBEST = 512


class SentencePieceProcessor(ModelMethods):
    """A SentencePiece model: text to pieces and ids, and back.

    Parameters
    ----------
    model_file : str, optional
        A ``.model`` file.
    model_proto : bytes, optional
        What such a file holds, in its place.
    out_type, return_type : type or str, default int
        What `encode` returns: ``int``, ``str``, ``bytes``, "numpy", "offset_mapping", "serialized_proto" or "proto".
    add_bos, add_eos, reverse, emit_unk_piece : bool, default False
        What `encode` adds, whether it turns ids around first, and whether an unknown piece is called by its name.
    enable_sampling : bool, default False
        Whether `encode` returns a way to cut the text by chance.
    nbest_size : int, default -1
        From how many ways, the best ones; below 0 from all.
    alpha : float, default 0.1
        How much the scores count; of BPE the chance that a merge is left out.
    num_threads : int, default -1
        Checked, and has no effect.

    Raises
    ------
    RuntimeError
        There is no such file, or the model is damaged: what is wrong, and at which byte.

    Notes
    -----
    Models are read as sentencepiece 0.2.3 does it, and ids are the same. Every method has a second name in snake case.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb._text.sentencepiece_file import ModelType, SentencePieceModel, TrainerSpec
    >>> from fastemb._text.sentencepiece_write import write_model
    >>> from fastemb.compat.sentencepiece import SentencePieceProcessor
    >>> pieces = ["<unk>", "<s>", "</s>", "\u2581", "a", "b", "\u2581ab"]
    >>> scores = np.array([0, 0, 0, -2, -3, -3, -1], np.float32)
    >>> types = np.array([2, 3, 3, 1, 1, 1, 1], np.uint8)
    >>> model = SentencePieceModel(pieces, scores, types, TrainerSpec(ModelType.UNIGRAM))
    >>> processor = SentencePieceProcessor(model_proto=write_model(model))
    >>> processor.encode("ab ba", add_bos=True)
    [1, 6, 3, 5, 4]
    >>> processor.encode(["ab", "b"], out_type=str)
    [['\u2581ab'], ['\u2581', 'b']]
    >>> processor.decode([6, 3, 5, 4])
    'ab ba'
    """

    def __init__(
        self,
        model_file: str | None = None,
        model_proto: Any = None,
        out_type: Any = None,
        add_bos: bool = False,
        add_eos: bool = False,
        reverse: bool = False,
        emit_unk_piece: bool = False,
        enable_sampling: bool = False,
        nbest_size: int = -1,
        alpha: float = 0.1,
        num_threads: int = -1,
        return_type: Any = None,
    ) -> None:
        self._return_type: Any = int
        self._return_type = self._returned(return_type, out_type)
        self._defaults = {
            "add_bos": add_bos,
            "add_eos": add_eos,
            "reverse": reverse,
            "emit_unk_piece": emit_unk_piece,
            "enable_sampling": enable_sampling,
            "nbest_size": nbest_size,
            "alpha": alpha,
            "num_threads": num_threads,
        }
        if model_file or model_proto:
            self.Load(model_file, model_proto)

    def __setstate__(self, state: Any) -> None:
        SentencePieceProcessor.__init__(self)
        model = self._unpickled(state)
        if model:
            self.LoadFromSerializedProto(model)

    # ---------------------------------------------------------------- text → pieces

    def Encode(
        self, input: Any, *, return_type: Any = None, out_type: Any = None, return_bytes: Any = None, **options: Any
    ) -> Any:
        """Return the pieces of a text, or of each text of a list, by the arguments of the class."""
        kind, asked = self._returned(return_type, out_type), self._asked(options)
        if kind == "proto":
            return as_messages(self.Encode(input, return_type="serialized_proto", **options), "SentencePieceText")
        if return_bytes is not None and kind != "offset_mapping":
            raise ValueError("return_bytes is only supported when return_type='offset_mapping'")
        if asked["enable_sampling"] is True and (asked["nbest_size"] in (None, 0, 1) or asked["alpha"] is None):
            raise ValueError(
                'When enable_sampling is True, We must specify "nbest_size > 1" or "nbest_size = -1", and "alpha".'
            )
        is_batch = isinstance(input, list)
        texts = input if is_batch else [input]
        for text in texts:
            if not isinstance(text, str | bytes):
                raise TypeError("List elements must be str or bytes" if is_batch else "Input must be str or bytes")
        if kind in ("serialized_proto", "offset_mapping") and any(asked[name] for name in ADDED):
            raise RuntimeError(f"UNIMPLEMENTED: {', '.join(ADDED)} are not for return_type={kind!r}")
        if asked["enable_sampling"] is True or kind in ("serialized_proto", "offset_mapping"):
            rows = [self._by_engine(text, kind, asked, return_bytes) for text in texts]
        else:
            rows = self._by_ids(texts, kind, asked)
        return rows if is_batch else rows[0]

    def ParallelEncode(
        self, input: Any, *, chunk_len: Any = None, return_type: Any = None, out_type: Any = None, **options: Any
    ) -> Any:
        """Return what `Encode` does, whatever chunks are asked for: theirs may lose pieces of one character."""
        kind = self._returned(return_type, out_type)
        if not isinstance(chunk_len, int) or chunk_len <= 0:
            raise ValueError(f"chunk_len must be positive, got {shown(chunk_len)}")
        if kind == "offset_mapping":
            raise ValueError(f"unknown return_type={kind}")
        unknown = options.keys() & {"enable_sampling", "nbest_size", "alpha", "return_bytes"}
        if unknown:
            raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
        return self.Encode(input, return_type=kind, enable_sampling=False, **options)

    def _by_ids(self, texts: list[Any], kind: Any, asked: dict[str, Any]) -> list[Any]:
        if not all(map(is_utf8, texts)):  # a bad byte is U+FFFD behind the rules, which may know that character
            return [self._by_engine(text, kind, asked, None) for text in texts]
        if len(texts) == 1:
            found = [self._tokenizer.encode(texts[0]).tolist()]
        else:
            found = self._tokenizer.encode_batch(texts).tolist()
        if kind in (str, bytes):
            return [self._names_in(text, row, kind, asked) for text, row in zip(texts, found, strict=True)]
        rows = [self._surrounded(row, asked) for row in found]
        return [as_array(row) for row in rows] if kind == "numpy" else rows

    def _names_in(self, text: str | bytes, row: list[int], kind: Any, asked: dict[str, Any]) -> Any:
        """Return the pieces of a text by its ids; what is unknown is called what stands there."""
        pieces = self._model.pieces
        if not asked["emit_unk_piece"] and self._model.unk_id in row:
            return self._by_engine(text, kind, asked, None)
        names = self._surrounded([pieces[id] for id in row], asked, str)
        return names if kind is str else [name.encode() for name in names]

    def _by_engine(self, text: str | bytes, kind: Any, asked: dict[str, Any], return_bytes: Any) -> Any:
        data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        if asked["enable_sampling"] is True:
            if asked["nbest_size"] > MOST_NBEST:
                raise RuntimeError(f"INTERNAL: nbest_size must be nbest_size <= {MOST_NBEST}")
            pieces = self._engine.sample(data, asked["nbest_size"], asked["alpha"], _settings.generator)
        else:
            pieces = self._engine.encode(data)
        return self._as(kind, text, data, pieces, asked, return_bytes)

    def _as(
        self, kind: Any, text: Any, data: bytes, pieces: list[Piece], asked: dict[str, Any], return_bytes: Any = None
    ) -> Any:
        """Return pieces in the form that was asked for."""
        if kind in (int, "numpy"):
            ids = self._surrounded([piece.id for piece in pieces], asked)
            return as_array(ids) if kind == "numpy" else ids
        if kind == "serialized_proto":
            return text_message(data, surfaces_of(data, data, pieces))
        if kind == "offset_mapping":
            as_bytes = isinstance(text, bytes) if return_bytes is None else return_bytes
            surfaces = surfaces_of(data if as_bytes else data.decode(errors="replace"), data, pieces)
            names = [one.piece for one in surfaces]
            return {
                "ids": [one.id for one in surfaces],
                "pieces": names if as_bytes else [name.decode() for name in names],
                "offsets": [(one.start, one.end) for one in surfaces],
            }
        unk = self._model.unk_id
        names = [
            self._model.pieces[unk].encode() if asked["emit_unk_piece"] and piece.id == unk else piece.text
            for piece in pieces
        ]
        found = self._surrounded(names, asked, str.encode)
        return found if kind is bytes else [name.decode(errors="replace") for name in found]

    def _surrounded(self, row: list[Any], asked: dict[str, Any], form: Callable[[str], Any] | None = None) -> list[Any]:
        """Return a row turned around, and with the control pieces that were asked for."""
        if asked["reverse"]:
            row = row[::-1]
        for name, is_asked, id_of in (("BOS", "add_bos", self.bos_id), ("EOS", "add_eos", self.eos_id)):
            if asked[is_asked]:
                own = id_of()
                if own < 0:
                    raise ValueError(f"INVALID_ARGUMENT: {name} token is no control symbol of this model")
                one = [own if form is None else form(self._model.pieces[own])]
                row = one + row if name == "BOS" else row + one
        return row

    def NBestEncode(self, input: Any, *, return_type: Any = None, out_type: Any = None, **options: Any) -> Any:
        """Return the `nbest_size` best ways to cut a text, or each text of a list, the best one first."""
        kind, asked = self._returned(return_type, out_type), self._asked(options)
        if kind == "proto":
            found = self.NBestEncode(input, return_type="serialized_proto", **options)
            return as_messages(found, "NBestSentencePieceText")
        if isinstance(input, list):
            return [self._nbest(text, kind, asked) for text in input]
        return self._nbest(input, kind, asked)

    def _nbest(self, text: Any, kind: Any, asked: dict[str, Any]) -> Any:
        if not isinstance(text, str | bytes):
            raise TypeError("Input must be str or bytes")
        count = max(asked["nbest_size"], 1)
        if count > MOST_NBEST:
            raise RuntimeError(f"INTERNAL: nbest_size must be nbest_size <= {MOST_NBEST}")
        if self._engine.is_bpe:
            raise RuntimeError("INTERNAL: NBestEncode is not available for the current model.")
        data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        ways = self._engine.nbest(data, count, _settings.nbest_seconds)
        if kind == "serialized_proto":
            return nbest_message(text_message(data, surfaces_of(data, data, way), score) for way, score in ways)
        return [self._as(kind, text, data, way, asked) for way, _ in ways]

    def Normalize(self, input: Any, with_offsets: bool | None = None) -> Any:
        """Return what the normalizer makes of a text, or of each text of a list; and where its parts come from."""
        return normalized(self._engine.normalize, input, with_offsets)

    # ---------------------------------------------------------------- pieces → text

    def Decode(
        self, input: Any, return_type: Any = None, out_type: Any = None, return_bytes: Any = None, **options: Any
    ) -> Any:
        """Return the text of ids or pieces, or of each row of them."""
        if return_type is None and out_type is None:
            return_type = str
        kind = self._returned(return_type, out_type)
        if kind == "proto":
            return as_messages(self.Decode(input, "serialized_proto", **options), "SentencePieceText")
        if return_bytes is not None and kind != "offset_mapping":
            raise ValueError("return_bytes is only supported when return_type='offset_mapping'")
        self._asked(options)
        if kind in (int, "numpy"):
            raise ValueError(f"unknown return_type={kind} or input type")
        if input is None or (isinstance(input, str | bytes) and not input):
            input = []
        if not is_row(input):
            input = [input]
        if len(input) and is_row(input[0]):
            return [self._decode(row, kind, return_bytes) for row in input]
        return self._decode(input, kind, return_bytes)

    def _decode(self, row: Any, kind: Any, return_bytes: Any) -> Any:
        is_text = len(row) > 0 and isinstance(row[0], str | bytes)
        if kind in (str, bytes) and not is_text:
            decoded = self._tokenizer.decode(self._known(row))
            return decoded if kind is str else decoded.encode()
        in_bytes = is_text and isinstance(row[0], bytes)
        names = only(row, (str, bytes), "List elements must be str or bytes") if is_text else self._names(row)
        pieces = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in names]
        parts = self._engine.decode(pieces)
        text = self._engine.finish("".join(part for _, part in parts))
        if kind is str:
            return text.encode() if in_bytes else text
        if kind is bytes:
            return text.encode()
        as_bytes = kind == "serialized_proto" or in_bytes or bool(return_bytes)
        surfaces, at = list[Surface](), 0
        for piece, part in parts:
            end = at + len(part.encode() if as_bytes else part)
            surfaces.append(Surface(piece.encode(), self.PieceToId(piece), part.encode(), at, end))
            at = end
        if kind == "serialized_proto":
            return text_message(text.encode(), surfaces)
        return {
            "text": text.encode() if as_bytes else text,
            "ids": [one.id for one in surfaces],
            "pieces": [one.piece if as_bytes else one.piece.decode() for one in surfaces],
            "offsets": [(one.start, one.end) for one in surfaces],
        }

    def _known(self, ids: Any) -> list[int]:
        """Return ids, all of which are of pieces."""
        found = only(ids.tolist() if isinstance(ids, np.ndarray) else ids, (int, np.integer), NO_IDS)
        if found and not (min(found) >= 0 and max(found) < len(self._model.pieces)):
            self.IdToPiece(found)  # says which
        return found

    def _names(self, ids: Any) -> list[str]:
        return [self._model.pieces[id] for id in self._known(ids)]

    # ---------------------------------------------------------------- arguments

    def _returned(self, return_type: Any, out_type: Any) -> Any:
        if out_type is not None and return_type is not None:
            raise ValueError("Cannot specify both out_type and return_type. Use return_type instead.")
        kind = self._return_type if return_type is None and out_type is None else return_type or out_type
        if kind not in RETURN_TYPES:
            raise ValueError(f"Invalid return_type: {kind}. Must be one of {RETURN_TYPES}")
        return kind

    def _asked(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a call, those of the class where they are not given."""
        unknown = options.keys() - self._defaults.keys() - {"thread_pool"}
        if unknown:
            raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
        asked = self._defaults | {name: value for name, value in options.items() if value is not None}
        if not isinstance(asked["num_threads"], int):
            raise TypeError("num_threads must be int")
        return asked


def _add_names() -> None:
    """Give each method its other names: those for one return type, and all in snake case."""
    own = SentencePieceProcessor

    def fixed(method: str, **options: Any) -> Callable[..., Any]:
        def call(self: Any, input: Any, *given: Any, **more: Any) -> Any:
            names = ("nbest_size", "alpha")[: len(given)]
            return getattr(self, method)(input, **(options | dict(zip(names, given, strict=True)) | more))

        call.__doc__ = f"`{method}` with {', '.join(f'{name}={value!r}' for name, value in options.items())}."
        return call

    kinds = {"Pieces": str, "Ids": int, "Numpy": "numpy", "Proto": "proto", "OffsetMapping": "offset_mapping"}
    for name, kind in kinds.items():
        setattr(own, f"EncodeAs{name}", fixed("Encode", return_type=kind))
        if name != "OffsetMapping":
            setattr(own, f"NBestEncodeAs{name}", fixed("NBestEncode", return_type=kind))
            setattr(own, f"ParallelEncodeAs{name}", fixed("ParallelEncode", return_type=kind))
            setattr(own, f"SampleEncodeAs{name}", fixed("Encode", return_type=kind, enable_sampling=True))
    aliases = {"Tokenize": "Encode", "Detokenize": "Decode", "DecodeIds": "Decode", "DecodePieces": "Decode"}
    aliases |= dict.fromkeys(("piece_size", "vocab_size"), "GetPieceSize")
    for name, method in aliases.items():
        setattr(own, name, getattr(own, method))
    for name in ("DecodeIdsAsProto", "DecodePiecesAsProto"):
        setattr(own, name, fixed("Decode", return_type="proto"))
    for name, method in [*vars(ModelMethods).items(), *vars(own).items()]:
        if name[0].isupper():
            snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower().replace("n_best", "nbest")
            setattr(own, snake, method)


_add_names()
