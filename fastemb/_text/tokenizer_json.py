"""Reading a Hugging Face `tokenizer.json` into the typed steps of `components.py`.

Whatever a file asks for that is not known is refused by name: a setting that is read past would give wrong ids without
a word. All of it is named at once, damage first.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from .bpe_model import check_vocab, is_id, is_text, read_merges
from .charsmap import read_charsmap
from .component_reader import (
    Faults,
    Json,
    Unsupported,
    damaged,
    read_decoders,
    read_normalizers,
    read_padding,
    read_post_processors,
    read_pre_tokenizers,
    read_step,
    read_truncation,
    shown,
)
from .components import Bpe, ByteLevel, ByteLevelNormalizer, Model, Precompiled, TokenizerFile, WordLevel, WordPiece
from .rust_floats import read_float
from .unigram_model import read_unigram
from .vocabulary import NO_MERGES, AddedToken

_FIELDS = {
    "version",
    "truncation",
    "padding",
    "added_tokens",
    "normalizer",
    "pre_tokenizer",
    "post_processor",
    "decoder",
    "model",
}


def read_tokenizer_json(path: Path, data: Json | None = None) -> TokenizerFile:
    """Read the file at `path`, or the object that it holds, if that has been done.

    Raises
    ------
    ValueError
        The file is damaged, or asks for something that is not supported; the message names the file and all of it.
    """
    try:
        return parse_tokenizer_json(load_json(path) if data is None else data)
    except Refused as error:
        raise ValueError(f"{path}: {error}") from None


class Refused(ValueError):
    """A file that is damaged or asks for something that is not supported."""


def json_fault(error: ValueError | RecursionError) -> str:
    """Return what is wrong with JSON; what Python says of depth and digits is of Python and its settings."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "a number has too many digits" if "int_max_str_digits" in str(error) else str(error)


def load_json(path: Path) -> Json:
    """Read a JSON object; any damage is a ValueError that names the file."""
    try:
        data = json.loads(path.read_bytes(), parse_float=read_float)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ValueError(f"{path}: not valid JSON: {json_fault(error)}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


def parse_tokenizer_json(data: Json) -> TokenizerFile:
    """Read the object that a `tokenizer.json` holds.

    Raises
    ------
    Refused
        As `read_tokenizer_json`, without the file's name.
    """
    if "model" not in data and data.keys() - _FIELDS:
        raise Refused("it is no tokenizer.json, which has a 'model': some other JSON file, or a damaged one")
    faults = Faults()
    if data.get("version", "1.0") != "1.0":
        faults.missing.append(f"version {shown(data['version'])}; only '1.0' is")
    faults.missing += [f"field {shown(name)} of the file" for name in sorted(data.keys() - _FIELDS)]
    model = faults.caught(_model, data.get("model"))
    normalizers = read_normalizers(data.get("normalizer"), faults)
    for step in normalizers:
        if isinstance(step, Precompiled):
            faults.caught(read_charsmap, step.precompiled_charsmap)
    pre_tokenizers = read_pre_tokenizers(data.get("pre_tokenizer"), faults)
    if sum(isinstance(step, ByteLevel | ByteLevelNormalizer) for step in normalizers + pre_tokenizers) > 1:
        faults.missing.append("ByteLevel twice, which would write the bytes of bytes")
    post_processors = read_post_processors(data.get("post_processor"), faults)
    decoders = read_decoders(data.get("decoder"), faults)
    added = faults.caught(_added, data.get("added_tokens"), {} if model is None else model.vocab)
    truncation = faults.caught(read_truncation, data.get("truncation"))
    padding = faults.caught(read_padding, data.get("padding"))
    if not faults.damaged and not faults.missing and model is not None and not model.vocab and not added:
        faults.damaged.append("its vocabulary is missing or empty")
    if faults.damaged or faults.missing or model is None or added is None:
        raise Refused(str(faults))
    return TokenizerFile(
        model, normalizers, pre_tokenizers, post_processors, decoders, added, truncation=truncation, padding=padding
    )


# ---------------------------------------------------------------- the model


def _model(node: Any) -> Model:
    """Read the model; files that do not say its kind are told by their fields."""
    if not isinstance(node, dict):
        raise damaged("it has no 'model'")
    kind = node.get("type")
    if kind is None:
        by_fields = {"merges": "BPE", "max_input_chars_per_word": "WordPiece", "unk_token": "WordLevel"}
        named = (name for one, name in by_fields.items() if one in node)
        kind = "Unigram" if isinstance(node.get("vocab"), list) else next(named, None)
    if kind == "BPE":
        return _bpe(node)
    if kind == "Unigram":
        return read_unigram(node)
    if kind not in ("WordPiece", "WordLevel"):
        raise Unsupported(f"model type {shown(kind)}; BPE, WordPiece, WordLevel and Unigram are")
    vocab = check_vocab(node.get("vocab"))
    node = node | {"vocab": vocab}
    model = read_step(WordPiece, node, kind) if kind == "WordPiece" else read_step(WordLevel, node, kind)
    _check_unk(model.unk_token, vocab)
    return model


def _bpe(node: Json) -> Bpe:
    if node.get("dropout"):
        if isinstance(node["dropout"], float | int) and not isinstance(node["dropout"], bool):
            raise Unsupported(f"model setting dropout = {node['dropout']!r}: ids that differ from call to call")
        raise damaged(f"dropout is {shown(node['dropout'])}, no number")
    vocab = check_vocab(node.get("vocab"), may_be_empty=isinstance(node.get("merges"), list))
    given: Json = {name: node[name] for name in node if node[name] is not None}
    # Texts and flags first: the merges depend on one of them.
    model = read_step(Bpe, given | {"vocab": vocab, "merges": NO_MERGES}, "BPE")
    _check_unk(model.unk_token, vocab)
    return replace(model, merges=read_merges(node.get("merges"), vocab, model.continuing_subword_prefix or ""))


def _check_unk(unk_token: str | None, vocab: dict[str, int]) -> None:
    if unk_token is not None and unk_token not in vocab:
        raise damaged(f"unk_token {unk_token!r} is not in the vocabulary")


# ---------------------------------------------------------------- added tokens


def _added(tokens: Any, vocab: dict[str, int]) -> list[AddedToken]:
    """Read the added tokens, with the ids that the file gives them: there may be gaps, and any order.

    Of a token that is listed twice the first id counts, as it does in the format's own engine; both decode to it.
    """
    if not isinstance(tokens, list | None):
        raise damaged(f"added_tokens is {shown(tokens)}, no list")
    added: list[AddedToken] = []
    owner = {id: token for token, id in vocab.items()}
    for token in tokens or []:
        if not isinstance(token, dict) or "content" not in token or "id" not in token:
            raise damaged(f"an added token is {shown(token)}, which has no content and id")
        content, id = token["content"], token["id"]
        if content == "":
            continue  # the format's own engine passes over it too
        if not is_text(content) or not is_id(id):
            raise damaged(f"added token {content!r} has the id {id!r}")
        if vocab.get(content, id) != id:
            raise damaged(f"added token {content!r} has the id {id}, in the vocabulary {vocab[content]}")
        if owner.setdefault(id, content) != content:
            raise damaged(f"added token {content!r} has the id {id}, which {owner[id]!r} has too")
        flags = {name: _flag(token, name) for name in ("special", "normalized", "lstrip", "rstrip", "single_word")}
        added.append(AddedToken(content, id, late=flags.pop("normalized"), **flags))
    # The flags are those of the last one, but one that was special once stays special, as in the format's own engine.
    # C takes the last one, too.
    special = {token.content for token in added if token.special}
    first: dict[str, AddedToken] = {}
    for token in added:
        first[token.content] = replace(token, id=first[token.content].id) if token.content in first else token
    again = [replace(first[token.content], id=token.id) for token in added if token.id != first[token.content].id]
    return [replace(token, special=token.content in special) for token in [*again, *first.values()]]


def _flag(node: Json, name: str) -> bool:
    value = node.get(name)
    if not (value is None or isinstance(value, bool)):
        raise damaged(f"added token {shown(node['content'])}: {name} is {value!r}, neither true nor false")
    return bool(value)
