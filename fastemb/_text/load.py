"""Telling what kind of vocabulary a file holds, by its content, and reading it."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from .bpe_model import is_id, is_text
from .core import MAGIC, Core, cache_budget, lib, simd_path
from .gpt2_files import read_gpt2_files
from .patterns import NAMES, known_pattern, pattern_named
from .rank_file import RankVocabulary, looks_like_rank_file, read_rank_file
from .regex_split import compile_pattern
from .tekken import is_tekken, parse_tekken
from .tokenizer_json import load_json, read_tokenizer_json
from .vocabulary import AddedToken, DamagedVocabularyError, Metadata, Vocabulary

HEAD = 1 << 12  # bytes of a file that tell its kind
LONGEST_TOKEN = 1 << 13  # bytes; real ones have some hundreds
KINDS = (
    "a tokenizer.json, a rank file (.tiktoken), Mistral's tekken.json, or a file written by Tokenizer.save; "
    "or a folder with tokenizer.json, or with encoder.json and vocab.bpe"
)


def load(path: Path, pattern: str | None, special_tokens: dict[str, int] | None, mapped: bool = False) -> Core:
    """Read the tokenizer at `path`.

    Raises
    ------
    FileNotFoundError
        There is no such file, or the folder holds no tokenizer.
    TypeError, ValueError
        The file is damaged or of no known kind, or an argument does not fit it.
    """
    simd_path()  # what is wrong with the environment is not the file's fault
    cache_budget()
    if not path.exists():
        raise FileNotFoundError(f"no tokenizer at {path}: there is no such file or folder")
    file = path
    if path.is_dir():
        encoder, merges = path / "encoder.json", path / "vocab.bpe"
        file = path / "tokenizer.json"
        if not file.is_file():
            if not (encoder.is_file() and merges.is_file()):
                raise FileNotFoundError(
                    f"no tokenizer in {path}: it holds neither tokenizer.json nor encoder.json and vocab.bpe"
                )
            _refuse(path, "GPT-2's files", pattern, special_tokens)
            return _build(path, read_gpt2_files(encoder, merges).vocabulary())
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    if head.startswith(MAGIC):
        _refuse(file, "a file written by Tokenizer.save", pattern, special_tokens)
        return _open(file, mapped)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        document = load_json(file)
        if not is_tekken(document):
            _refuse(file, "a tokenizer.json", pattern, special_tokens)
            return _build(file, read_tokenizer_json(file, document).vocabulary())
        return _build(file, _tekken(file, document, pattern, special_tokens))
    if not head.strip():
        raise ValueError(f"{file}: it is empty")
    if not looks_like_rank_file(head):
        raise ValueError(f"{file}: no vocabulary that can be read; {KINDS} can")
    if pattern is None:
        raise ValueError(
            f"{file}: a rank file does not say how text is cut into pieces, so the pattern must be given: one of "
            f"{', '.join(sorted(NAMES))} or a regular expression; another than its maker's gives other ids"
        )
    ranks = read_rank_file(file)
    try:
        return _build(file, _ranked(ranks, pattern, {} if special_tokens is None else special_tokens))
    except ValueError as error:
        raise error if str(error).startswith(str(file)) else ValueError(f"{file}: {error}") from None


def _open(file: Path, mapped: bool) -> Core:
    with file.open("rb") as stream:
        image = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if mapped else np.fromfile(stream, np.uint8)
    try:
        return Core(image=image)
    except ValueError as error:
        raise ValueError(f"{file}: saved tokenizer cannot be opened: {error}") from None


def _build(file: Path, vocabulary: Vocabulary) -> Core:
    try:
        return Core(vocabulary)
    except ValueError as error:
        raise ValueError(f"{file}: damaged vocabulary: {error}") from None


def _refuse(file: Path, kind: str, pattern: str | None, special_tokens: dict[str, int] | None) -> None:
    for name, value in (("pattern", pattern), ("special_tokens", special_tokens)):
        if value is not None:
            raise ValueError(f"{file}: {kind} brings its own {name.replace('_', ' ')}; {name} is for rank files")


def _tekken(file: Path, document: Any, pattern: str | None, special_tokens: dict[str, int] | None) -> Vocabulary:
    _refuse(file, "a tekken file", pattern, special_tokens)
    try:
        model = parse_tekken(document)
    except DamagedVocabularyError as error:
        raise ValueError(f"{file}: damaged tekken file: {error}") from None
    return _ranked(model.vocabulary, model.pattern, model.special_tokens)


def _ranked(ranks: RankVocabulary, pattern: str, special_tokens: dict[str, int]) -> Vocabulary:
    """Return a vocabulary of ranks with its pattern, by name or as a regular expression, and its special tokens."""
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be a str, got {type(pattern).__name__}")
    if not pattern:
        raise ValueError("pattern is empty: it would cut every text to nothing")
    longest = int(np.diff(ranks.offsets).max())
    if longest > LONGEST_TOKEN:  # deriving pairs may look at every cut of a token: time grows with its length squared
        raise ValueError(f"a token has {longest} bytes, more than the {LONGEST_TOKEN} that are read")
    known = pattern_named(pattern) or known_pattern(pattern)
    if known is None:
        if pattern.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"pattern {pattern!r} is no known name; those are {', '.join(sorted(NAMES))}")
        compile_pattern(pattern, "fancy")  # faults of the pattern show here, not at the first text
    added = _special(ranks, special_tokens)
    contents = [token.content.encode() for token in added]
    offsets, lengths = ranks.offsets, np.diff(ranks.offsets)
    byte_tokens = np.full(256, -1, np.int32)
    single = np.flatnonzero(lengths == 1)
    byte_tokens[np.frombuffer(ranks.tokens, np.uint8)[offsets[single]]] = single
    ends = offsets[-1] + np.cumsum(np.array([len(content) for content in contents], np.int64))
    return Vocabulary(
        flags=lib.FE_BYTE_LEVEL | lib.FE_RANKED | lib.FE_WHOLE_FIRST | lib.FE_OVERLAP,
        token_bytes=ranks.tokens + b"".join(contents),
        token_offsets=np.concatenate([offsets, ends]),
        token_ids=np.concatenate([ranks.ids, np.array([token.id for token in added], np.int32)]),
        vocab=len(ranks),
        byte_tokens=byte_tokens,
        metadata=Metadata(added, pattern=[pattern] if known is None else None),
        pattern=int(known or lib.FE_PATTERN_NONE),
    )


def _special(ranks: RankVocabulary, special_tokens: dict[str, int]) -> list[AddedToken]:
    if not isinstance(special_tokens, dict):
        raise TypeError(f"special_tokens must be a dict of str to int, got {type(special_tokens).__name__}")
    for content, id in special_tokens.items():
        if not is_text(content) or not content or not is_id(id):
            raise ValueError(f"special_tokens must map texts to ids from 0 to 2**31 - 2, got {content!r}: {id!r}")
    taken = set(special_tokens.values())
    if len(taken) < len(special_tokens):
        raise ValueError("two special tokens share an id")
    clash = np.intersect1d(ranks.ids, np.array(sorted(taken), np.int64))
    if clash.size:
        content = next(content for content, id in special_tokens.items() if id == clash[0])
        raise ValueError(f"special token {content!r} has the id {clash[0]}, which a token of the ranks has")
    return [AddedToken(content, id, special=True) for content, id in special_tokens.items()]
