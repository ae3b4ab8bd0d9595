"""A tokenizer → the files of other libraries."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from .component_reader import Json, step_to_json
from .components import (
    DECODERS,
    NORMALIZERS,
    PRE_TOKENIZERS,
    BertProcessing,
    Bpe,
    ByteLevel,
    RobertaProcessing,
    TemplatePiece,
    TemplateProcessing,
    TokenizerFile,
    Unigram,
    WordPiece,
)
from .core import Core
from .files import replacing
from .saved_steps import file_of, merges_of, scores_of
from .sentencepiece_file import ModelType, NormalizerSpec, PieceType, SentencePieceModel, TrainerSpec
from .sentencepiece_write import write_model
from .train_scores import SPACES
from .vocabulary import AddedToken, Merges, spelled

#: The formats of `Tokenizer.save`.
Format = Literal["fastemb", "tokenizer.json", "tiktoken", "merges.txt", "vocab.txt", "sentencepiece"]
_INSTEAD = "save it as 'fastemb', which any tokenizer can be"


class _Parts(NamedTuple):
    """What a file is written from."""

    core: Core
    file: TokenizerFile | None  # its steps; None: it was no tokenizer.json

    def names(self) -> dict[str, int]:
        """Return the ids of the model's tokens by their names, in the order of their numbers."""
        has, names = self.core.contents, self.core.names
        if names is None:
            names = [spelled(self.core.token_bytes(number)) for number in range(has.vocab)]
        return dict(zip(names[: has.vocab], self.core.ids().tolist(), strict=False))

    def steps(self, what: str) -> TokenizerFile:
        """Return the steps; ValueError where they are not known."""
        if self.file is None or self.core.metadata.steps is None:
            raise ValueError(f"{what} cannot be written: this tokenizer was not trained here; {_INSTEAD}")
        return self.file

    def merges(self, what: str) -> Merges:
        """Return the merges; ValueError where they were not kept."""
        merges = merges_of(self.core, self.core.contents.vocab)
        if merges is None:
            raise ValueError(f"{what} cannot be written: this tokenizer was not trained here; {_INSTEAD}")
        return merges


def save(core: Core, path: Path, kind: Format) -> None:
    """Write a tokenizer to the file at `path`, or for "merges.txt" to the folder.

    Raises
    ------
    ValueError
        It cannot be written in this format; nothing is.
    FileNotFoundError, IsADirectoryError, OSError
        The file cannot be written; what stood there before still does.
    """
    if kind == "fastemb":
        _write({path: core.image()})
        return
    parts = _Parts(core, file_of(core))
    if kind == "merges.txt":
        if not path.is_dir():
            raise FileNotFoundError(f"cannot save to {path}: there is no such folder, for vocab.json and merges.txt")
        _write(dict(zip((path / "vocab.json", path / "merges.txt"), _pair(parts), strict=True)))
        return
    makers: dict[str, Callable[[_Parts], bytes]] = {
        "tokenizer.json": _tokenizer_json,
        "tiktoken": _tiktoken,
        "vocab.txt": _vocab_txt,
        "sentencepiece": _model_file,
    }
    _write({path: makers[kind](parts)})


def _write(files: dict[Path, Any]) -> None:
    """Write files, none of which takes its place before all are written."""
    with ExitStack() as stack:
        streams: list[IO[bytes]] = [stack.enter_context(replacing(path)) for path in files]
        for stream, data in zip(streams, files.values(), strict=True):
            stream.write(data)
            stream.flush()


# ---------------------------------------------------------------- tokenizer.json


def _tokenizer_json(parts: _Parts) -> bytes:
    file = parts.steps("a tokenizer.json")
    document: Json = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token) for token in file.added],
        "normalizer": _sequence([step_to_json(step, NORMALIZERS) for step in file.normalizers], "normalizers"),
        "pre_tokenizer": _sequence(
            [step_to_json(step, PRE_TOKENIZERS) for step in file.pre_tokenizers], "pretokenizers"
        ),
        "post_processor": _sequence([_processor(step, file.added) for step in file.post_processors], "processors"),
        "decoder": None
        if file.decoders is None
        else _sequence([step_to_json(step, DECODERS) for step in file.decoders], "decoders"),
        "model": _model(parts, file),
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode()


def _sequence(steps: list[Json], members: str) -> Json | None:
    if len(steps) < 2:
        return steps[0] if steps else None
    return {"type": "Sequence", members: steps}


def _added(token: AddedToken) -> Json:
    flags = {name: getattr(token, name) for name in ("single_word", "lstrip", "rstrip")}
    return {"id": token.id, "content": token.content, **flags, "normalized": token.late, "special": token.special}


def _processor(step: Any, added: list[AddedToken]) -> Json:
    if isinstance(step, ByteLevel):
        return step_to_json(step, {"ByteLevel": ByteLevel})
    if isinstance(step, BertProcessing | RobertaProcessing):
        return step_to_json(step, {"BertProcessing": BertProcessing, "RobertaProcessing": RobertaProcessing})
    assert isinstance(step, TemplateProcessing)
    contents = {token.id: token.content for token in added}

    def piece(part: TemplatePiece) -> Json:
        if part.text:
            return {"Sequence": {"id": part.text, "type_id": part.type_id}}
        return {"SpecialToken": {"id": contents[part.ids[0]], "type_id": part.type_id}}

    used = {id: contents[id] for part in step.single + step.pair for id in part.ids}
    return {
        "type": "TemplateProcessing",
        "single": list(map(piece, step.single)),
        "pair": list(map(piece, step.pair)),
        "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]} for id, name in used.items()},
    }


def _model(parts: _Parts, file: TokenizerFile) -> Json:
    vocab = parts.names()
    model = file.model
    if isinstance(model, Bpe):
        return {
            "type": "BPE",
            "dropout": None,
            "unk_token": model.unk_token,
            "continuing_subword_prefix": model.continuing_subword_prefix,
            "end_of_word_suffix": model.end_of_word_suffix,
            "fuse_unk": model.fuse_unk,
            "byte_fallback": model.byte_fallback,
            "ignore_merges": model.ignore_merges,
            "vocab": vocab,
            "merges": [list(pair) for pair in _pairs(list(vocab), parts.merges("a tokenizer.json"))],
        }
    if isinstance(model, WordPiece):
        return {
            "type": "WordPiece",
            "unk_token": model.unk_token,
            "continuing_subword_prefix": model.continuing_subword_prefix,
            "max_input_chars_per_word": model.max_input_chars_per_word,
            "vocab": vocab,
        }
    if isinstance(model, Unigram):
        return {
            "type": "Unigram",
            "unk_id": model.unk_id,
            "vocab": [list(item) for item in zip(vocab, scores_of(parts.core), strict=True)],
            "byte_fallback": model.byte_fallback,
        }
    return {"type": "WordLevel", "vocab": vocab, "unk_token": model.unk_token}


def _pairs(names: list[str], merges: Merges) -> Iterator[tuple[str, str]]:
    """Yield the names of the two tokens of each merge."""
    for left, right in zip(merges.left.tolist(), merges.right.tolist(), strict=True):
        yield names[left], names[right]


# ---------------------------------------------------------------- other formats


def _byte_level(parts: _Parts, what: str) -> TokenizerFile:
    file = parts.steps(what)
    model, steps = file.model, file.pre_tokenizers
    plain = isinstance(model, Bpe) and not (model.continuing_subword_prefix or model.end_of_word_suffix)
    if not plain or file.normalizers or not any(isinstance(step, ByteLevel) for step in steps):
        raise ValueError(f"{what} cannot be written: the tokenizer is none of byte-level BPE; {_INSTEAD}")
    return file


def _tiktoken(parts: _Parts) -> bytes:
    """Return lines of a token in base64 and its rank, which is its id.

    That these merge as the list of merges does is shown in docs/design/tokenizer_train.md.
    """
    what = "a .tiktoken file"
    _byte_level(parts, what)
    core, added = parts.core, parts.core.added_ids
    offsets = [core.contents.token_offsets[number] for number in range(core.contents.vocab + 1)]
    ids, lines, single = core.ids().tolist(), [], set()
    for number, (start, end) in enumerate(pairwise(offsets)):
        if ids[number] in added:
            continue
        token = core.token_bytes(number)
        single |= {token} if end - start == 1 else set()
        lines.append((ids[number], b64encode(token)))
    if len(single) < 256:
        raise ValueError(f"{what} cannot be written: a special token stands for a byte, which has no token besides")
    return b"".join(b"%b %d\n" % (token, id) for id, token in sorted(lines))


def _pair(parts: _Parts) -> tuple[bytes, bytes]:
    """Return GPT-2's pair: a vocab.json and a merges.txt."""
    what = "vocab.json and merges.txt"
    _byte_level(parts, what)
    vocab = parts.names()
    lines = ["#version: 0.2", *map(" ".join, _pairs(list(vocab), parts.merges(what)))]
    return json.dumps(vocab, ensure_ascii=False).encode(), ("\n".join(lines) + "\n").encode()


def _vocab_txt(parts: _Parts) -> bytes:
    """Return a token a line, in the order of their ids, which are from 0 on."""
    what = "a vocab.txt"
    file = parts.steps(what)
    if not isinstance(file.model, WordPiece):
        raise ValueError(f"{what} cannot be written: the tokenizer is no WordPiece; {_INSTEAD}")
    vocab = parts.names()
    names = sorted(vocab, key=vocab.__getitem__)
    if list(map(vocab.__getitem__, names)) != list(range(len(names))):
        raise ValueError(f"{what} cannot be written: the ids of its tokens are not all from 0 on; {_INSTEAD}")
    if any("\n" in name or name != name.strip() for name in names):
        raise ValueError(f"{what} cannot be written: a token has a line end, or white space at an end; {_INSTEAD}")
    return "".join(f"{name}\n" for name in names).encode()


def _model_file(parts: _Parts) -> bytes:
    """Return SentencePiece's own format. Other special tokens than the unknown one are its control symbols."""
    what = "a .model file"
    file = parts.steps(what)
    if not isinstance(file.model, Unigram):
        raise ValueError(f"{what} cannot be written: the tokenizer is no Unigram; {_INSTEAD}")
    if file.normalizers != SPACES:
        raise ValueError(
            f"{what} cannot be written: its normalizers would have to be a table of characters; train with "
            "normalization='identity', or save it as a tokenizer.json"
        )
    pieces, special = list(parts.names()), {token.id for token in file.added}
    types = np.full(len(pieces), PieceType.NORMAL, np.uint8)
    types[list(special)] = PieceType.CONTROL
    types[file.model.unk_id] = PieceType.UNKNOWN
    ids = {name: pieces.index(name) if name in pieces else -1 for name in ("<s>", "</s>", "<pad>")}
    trainer = TrainerSpec(
        ModelType.UNIGRAM,
        vocab_size=len(pieces),
        unk_id=file.model.unk_id,
        bos_id=ids["<s>"],
        eos_id=ids["</s>"],
        pad_id=ids["<pad>"],
    )
    scores = np.array(scores_of(parts.core), np.float32)
    return write_model(SentencePieceModel(pieces, scores, types, trainer, NormalizerSpec("identity")))
