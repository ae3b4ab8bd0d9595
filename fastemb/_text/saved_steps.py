"""The steps of a `tokenizer.json` in the notes of a saved file, and back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from .component_reader import Faults, Json, damaged, read_step, read_steps, shown, step_to_json
from .components import (
    DECODERS,
    NORMALIZERS,
    PRE_TOKENIZERS,
    BertProcessing,
    Bpe,
    ByteLevel,
    Model,
    Padding,
    RobertaProcessing,
    TemplatePiece,
    TemplateProcessing,
    TokenizerFile,
    Truncation,
    Unigram,
    WordLevel,
    WordPiece,
)
from .core import Core, ffi
from .vocabulary import NO_MERGES, AddedToken, Merges

_MODELS: dict[str, type[Any]] = {"BPE": Bpe, "WordPiece": WordPiece, "WordLevel": WordLevel, "Unigram": Unigram}
_KEPT_BY_C = ("vocab", "merges", "scores")
_PROCESSORS: dict[str, type[Any]] = {
    "ByteLevel": ByteLevel,
    "BertProcessing": BertProcessing,
    "RobertaProcessing": RobertaProcessing,
}
_SLOTS = {
    "general_road",
    "by_c",
    "normalizers",
    "pre_tokenizers",
    "post_processors",
    "decoders",
    "model",
    "truncation",
    "padding",
    "strips",
}
#: What C does of a file that it cannot do as a whole: nothing; all behind the normalizers; the model, of pieces as they
#: are; the model, of pieces whose characters spell bytes.
BY_C = ("", "rest", "pieces", "spelled pieces")
_STRIPS = ("lstrip", "rstrip", "single_word")


def to_notes(file: TokenizerFile, general_road: bool, by_c: str = "", keep_merges: bool = False) -> Json:
    """Return all of a file but its vocabulary; of the merges too, where Python is to merge by them.

    `by_c` is what C does on the general road; with `keep_merges` Python merges only where offsets are asked for.
    """
    model = {one.name: getattr(file.model, one.name) for one in fields(file.model) if one.name not in _KEPT_BY_C}
    model["type"] = next(name for name, kind in _MODELS.items() if isinstance(file.model, kind))
    if (general_road or keep_merges) and isinstance(file.model, Bpe):
        model["merges"] = b64encode(np.concatenate(file.model.merges).astype("<i4").tobytes()).decode()
    return {
        "general_road": general_road,
        "by_c": by_c,
        "normalizers": [step_to_json(step, NORMALIZERS) for step in file.normalizers],
        "pre_tokenizers": [step_to_json(step, PRE_TOKENIZERS) for step in file.pre_tokenizers],
        "post_processors": [
            _template_to_json(step) if isinstance(step, TemplateProcessing) else step_to_json(step, _PROCESSORS)
            for step in file.post_processors
        ],
        "decoders": None if file.decoders is None else [step_to_json(step, DECODERS) for step in file.decoders],
        "model": model,
        "truncation": None if file.truncation is None else asdict(file.truncation),
        "padding": None if file.padding is None else asdict(file.padding),
        "strips": [[getattr(token, name) for name in _STRIPS] for token in file.added if general_road],
    }


def file_of(core: Core) -> TokenizerFile | None:
    """Return the steps of the `tokenizer.json` that a tokenizer was read from; None where it was another file.

    The vocabulary is empty where C encodes: it is there.

    Raises
    ------
    ValueError
        The notes of a saved file are damaged.
    """
    notes, vocab = core.metadata.steps, dict[str, int]()
    if notes is None or "sentencepiece" in notes:
        return None
    if notes.get("general_road"):
        if core.names is None:
            raise damaged("its tokens have no names")
        vocab = dict(zip(core.names[: core.contents.vocab], core.ids().tolist(), strict=False))
    file = from_notes(notes, vocab, core.metadata.added)
    return replace(file, model=with_vocab(core, file.model, vocab)) if vocab else file


def with_vocab(core: Core, model: Model, vocab: dict[str, int]) -> Model:
    """Return a model of the notes of a tokenizer with its vocabulary, and with scores, where it has them."""
    if not isinstance(model, Unigram):
        return replace(model, vocab=vocab)
    scores = scores_of(core)
    if not vocab.keys() or len(scores) != len(vocab) or model.unk_id >= len(vocab):
        raise damaged("its pieces do not go with its steps")
    return replace(model, vocab=vocab, scores=scores)


def scores_of(core: Core) -> list[float]:
    """Return the score of each token, by number; 0 where no text gives it."""
    has = core.contents
    scores, tokens = [0.0] * has.vocab, ffi.unpack(has.whole_tokens, has.wholes)
    for token, score in zip(tokens, ffi.unpack(has.whole_scores, has.wholes), strict=True):
        scores[token] = score
    return scores


def from_notes(notes: Any, vocab: dict[str, int], added: list[AddedToken]) -> TokenizerFile:
    """Return the file that notes are of, with the vocabulary that the general road needs; else it may be empty.

    Raises
    ------
    ValueError
        The notes are damaged.
    """
    if not isinstance(notes, dict) or notes.keys() != _SLOTS:
        raise damaged(f"its steps must have the fields {', '.join(sorted(_SLOTS))}")
    faults = Faults()
    steps = {
        slot: None
        if notes[slot] is None
        else read_steps({"type": "Sequence", "of": notes[slot]}, slot, "of", kinds, faults)
        for slot, kinds in (("normalizers", NORMALIZERS), ("pre_tokenizers", PRE_TOKENIZERS), ("decoders", DECODERS))
    }
    processors = [faults.caught(_processor, step) for step in _list(notes["post_processors"])]
    kept = [
        None if notes[slot] is None else faults.caught(read_step, kind, _dict(notes[slot]), slot)
        for slot, kind in (("truncation", Truncation), ("padding", Padding))
    ]
    model = faults.caught(_model, _dict(notes["model"]), vocab, notes["general_road"])
    strips = [_list(one) for one in _list(notes["strips"])]
    if notes["by_c"] not in BY_C:
        raise damaged(f"by_c is {shown(notes['by_c'])}")
    if not isinstance(notes["general_road"], bool) or (notes["general_road"] and len(strips) != len(added)):
        raise damaged("its steps do not go with its added tokens")
    if not all(len(one) == len(_STRIPS) and {*map(type, one)} == {bool} for one in strips):
        raise damaged("its added tokens have flags that are none")
    if strips:
        flags = [dict(zip(_STRIPS, one, strict=True)) for one in strips]
        added = [replace(token, **more) for token, more in zip(added, flags, strict=True)]
    if faults.damaged or faults.missing or model is None:
        raise damaged(str(faults))
    return TokenizerFile(
        model,
        steps["normalizers"] or (),
        steps["pre_tokenizers"] or (),
        tuple(step for step in processors if step is not None),
        steps["decoders"],
        added,
        *kept,
    )


def _model(node: Json, vocab: dict[str, int], general_road: bool) -> Model:
    kind, given = node.get("type"), dict(node) | {"vocab": vocab}
    if not isinstance(kind, str) or kind not in _MODELS:
        raise damaged(f"the model type {shown(kind)}")
    if kind == "Unigram":
        given["scores"] = []
    if kind == "BPE":
        given["merges"] = _merges(given.get("merges"), len(vocab)) if general_road else NO_MERGES
    model: Model = read_step(_MODELS[kind], given, kind)
    if isinstance(model, Unigram):
        return model
    if general_road and model.unk_token is not None and model.unk_token not in vocab:
        raise damaged(f"unk_token {model.unk_token!r} is not in the vocabulary")
    return model


def _merges(kept: Any, tokens: int) -> Merges:
    """Return merges as they were kept: the numbers of left tokens, of right ones and of what they make, in base64."""
    try:
        data = b64decode(kept, validate=True)
    except (TypeError, ValueError):
        raise damaged(f"merges are {shown(kept)}, no base64") from None
    if len(data) % 12:
        raise damaged("merges are not three lists of one length")
    rows = np.frombuffer(data, "<i4").reshape(3, -1).astype(np.int32)
    if rows.size and not (rows.min() >= 0 and rows.max() < tokens):
        raise damaged("merges of tokens that there are not")
    return Merges(*rows)


def merges_of(core: Core, tokens: int) -> Merges | None:
    """Return the merges that were kept; None where there are none, which the general road does not need."""
    steps = core.metadata.steps
    kept = None if steps is None else steps["model"].get("merges")
    return None if kept is None else _merges(kept, tokens)


def _template_to_json(step: TemplateProcessing) -> Json:
    sides = {"single": step.single, "pair": step.pair}
    return {"type": "TemplateProcessing"} | {
        side: [[piece.text, list(piece.ids), piece.type_id] for piece in pieces] for side, pieces in sides.items()
    }


def _processor(step: Any) -> Any:
    node = _dict(step)
    kind = node.get("type")
    if kind == "TemplateProcessing":
        return TemplateProcessing(*(tuple(map(_piece, _list(node.get(side)))) for side in ("single", "pair")))
    if not isinstance(kind, str) or kind not in _PROCESSORS:
        raise damaged(f"the post-processor {shown(kind)}")
    ends = {name: tuple(node[name]) for name in ("sep", "cls") if isinstance(node.get(name), list)}
    return read_step(_PROCESSORS[kind], node | ends, kind)


def _piece(given: Any) -> TemplatePiece:
    text, ids, type_id = given if isinstance(given, list) and len(given) == 3 else (None, None, None)
    if text not in ("", "A", "B") or type(type_id) is not int or not all(type(id) is int for id in _list(ids)):
        raise damaged(f"a template has {shown(given)}")
    return TemplatePiece(text, tuple(_list(ids)), type_id)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise damaged(f"{shown(value)} is no list")
    return value


def _dict(value: Any) -> Json:
    if not isinstance(value, dict):
        raise damaged(f"{shown(value)} is no object")
    return value
