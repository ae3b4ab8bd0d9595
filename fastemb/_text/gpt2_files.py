"""Reading a vocabulary and its merges from two files: GPT-2's own, and `vocab.json` with `merges.txt`."""

from __future__ import annotations

from pathlib import Path

from .bpe_model import BpeModel, check_vocab, read_merges
from .patterns import NAMES, Pattern, known_pattern, pattern_named
from .tokenizer_json import load_json
from .vocabulary import BOM, BYTE_CHARS, AddedToken, DamagedVocabularyError

END_OF_TEXT = "<|endoftext|>"  # the one token of encoder.json that no merge makes: a special one


def read_gpt2_files(encoder: Path, merges: Path) -> BpeModel:
    """Read the vocabulary `encoder` and the merge list `merges` of GPT-2, whose pattern is known.

    Raises
    ------
    ValueError
        A file is damaged; the message names it and the place.
    """
    vocab = _vocab(encoder)
    special = [AddedToken(END_OF_TEXT, vocab[END_OF_TEXT], special=True)] if END_OF_TEXT in vocab else []
    return _model(vocab, merges, Pattern.GPT2, special)


def read_pair(vocabulary: Path, merges: Path, pattern: str, added: list[AddedToken]) -> BpeModel:
    """Read a `vocab.json` and its `merges.txt`, of some byte-level model; the pattern and special tokens are given.

    Raises
    ------
    ValueError
        A file is damaged, or is not of byte level; or the pattern is none that is cut by in C, or a special token does
        not fit the vocabulary.
    """
    known = pattern_named(pattern) or known_pattern(pattern)
    if known is None:
        raise ValueError(
            f"{vocabulary}: with merges the pattern must be one of {', '.join(sorted(NAMES))}, got {pattern!r}"
        )
    vocab = _vocab(vocabulary)
    ids = set(vocab.values())
    for token in added:
        if vocab.get(token.content, token.id) != token.id:
            has = vocab[token.content]
            raise ValueError(f"{vocabulary}: special token {token.content!r} has the id {has} here, not {token.id}")
        if token.content not in vocab and token.id in ids:
            raise ValueError(f"{vocabulary}: special token {token.content!r} has the id {token.id} of another token")
    return _model(vocab, merges, known, added)


def _vocab(file: Path) -> dict[str, int]:
    """Read the ids of a vocabulary whose tokens are bytes."""
    try:
        vocab = check_vocab(load_json(file))
    except DamagedVocabularyError as error:
        raise ValueError(f"{file}: damaged vocabulary: {error}") from None
    if sum(token.endswith("</w>") for token in vocab) > len(vocab) // 8:
        raise ValueError(
            f"{file}: its tokens have an end-of-word mark, </w>, as CLIP's, so a pattern is not enough: give none, and "
            f"beside it a tokenizer_config.json that names the class of its tokenizer"
        )
    missing = [byte for byte, char in enumerate(BYTE_CHARS) if char not in vocab]
    if missing:
        raise ValueError(f"{file}: no token for the byte 0x{missing[0]:02X} ({len(missing)} bytes missing)")
    return vocab


def _model(vocab: dict[str, int], merges: Path, pattern: Pattern, added: list[AddedToken]) -> BpeModel:
    try:
        pairs = read_merges(merge_lines(merges), vocab)
    except DamagedVocabularyError as error:
        raise ValueError(f"{merges}: damaged merge list: {error}") from None
    return BpeModel(vocab=vocab, merges=pairs, byte_level=True, pattern=int(pattern), byte_chars=True, added=added)


def merge_lines(path: Path) -> list[str]:
    """Return the merges of the file: a pair a line, below a line that names the version."""
    try:
        lines = path.read_bytes().removeprefix(BOM).decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from None
    if lines[0].startswith("#version"):
        lines = lines[1:]
    return [line for line in lines if line]
