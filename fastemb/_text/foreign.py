"""Files that hold no vocabulary that can be read: what each is, by its content, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .patterns import pattern_named

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:/)/*")

LONGEST_NAME = 200  # characters of a path that an error shows

#: How a file begins, and what it is.
_BEGINNINGS: list[tuple[bytes | tuple[bytes, ...], str]] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, which stands for the file: fetch that by git lfs pull",
    ),
    (b"GGUF", "a model in GGUF, whose tokenizer is not read: take the tokenizer.json of the model it was made from"),
    (b"\x1f\x8b", "compressed by gzip: decompress it first (gunzip)"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    ((b"\xfd7zXZ\x00", b"(\xb5/\xfd", b"BZh"), "compressed: decompress it first"),
    ((b"\xff\xfe\0\0", b"\0\0\xfe\xff"), "text in UTF-32: save it as UTF-8"),  # before UTF-16, whose mark it has
    ((b"\xff\xfe", b"\xfe\xff"), "text in UTF-16: save it as UTF-8"),
    (b"#version", "a merge list alone: give the folder that holds it and its vocabulary"),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a pickle, which is not read: take the tokenizer.json"),
]


def kind_of(head: bytes) -> str | None:
    """Return what a file is that begins so (behind a byte order mark), and what to do; None: that is not known."""
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "an HTML page and no vocabulary: download the file itself (on a hub of models, its raw file)"
    if head[8:10] == b'{"':
        return "a table of weights (safetensors): give the file of the tokenizer beside it"
    return None


def looks_like_vocab_txt(head: bytes) -> bool:
    """Return whether a file that begins so is a list of words and parts of words, a line each, as BERT's."""
    lines = {line.rstrip(b"\r") for line in head.split(b"\n")}
    return bool({b"[UNK]", b"[PAD]", b"[CLS]"} & lines) or b"\n##" in head


def json_kind_of(document: Any) -> str | None:
    """Return what a JSON document without a model is, and what to do; None where that is not known."""
    if not isinstance(document, dict) or "model" in document:
        return None
    if document and all(type(id) is int for id in document.values()):
        return (
            "a vocabulary without its merges (vocab.json): give the folder that also holds merges.txt, or the "
            "tokenizer.json"
        )
    if document.keys() & {"tokenizer_class", "added_tokens_decoder", "architectures", "model_type", "weight_map"}:
        return "a file of settings and no vocabulary: give the tokenizer.json beside it"
    return None


def missing(path: Path) -> str:
    """Return what is wrong with a path at which there is nothing, and what to do."""
    name = str(path) if len(str(path)) <= LONGEST_NAME else f"{str(path)[:LONGEST_NAME]}..."
    if url := _URL.match(name):
        name = f"{url[1]}/{name[url.end() :]}"  # a path has lost one of its slashes
        return f"{name} is a URL, and nothing is downloaded here: download the file, and give its path"
    error = f"no tokenizer at {name}: there is no such file or folder"
    if pattern_named(name) is not None:
        return f"{error}; {name} is the name of a pattern: give its rank file, and the pattern behind it"
    if _could_be_a_model(path):
        return f"{error}, and a model's name is not enough, as nothing is downloaded here: give the path of its files"
    return error


def _could_be_a_model(path: Path) -> bool:
    """Return whether a path could be a model's name, alone or behind its maker's."""
    file = path.suffix.lower() in (".json", ".model", ".tiktoken", ".txt", ".bpe")
    return (
        not (file or path.is_absolute()) and len(path.parts) < 3 and (len(path.parts) < 2 or not path.parent.exists())
    )
