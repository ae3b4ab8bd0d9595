"""Reading GPT-2's own pair of files, `encoder.json` and `vocab.bpe`."""

from __future__ import annotations

from pathlib import Path

from .bpe_model import BpeModel, check_vocab, read_merges
from .core import lib
from .tokenizer_json import load_json
from .vocabulary import BYTE_CHARS, AddedToken, DamagedVocabularyError

END_OF_TEXT = "<|endoftext|>"  # the one token of encoder.json that no merge makes: a special one


def read_gpt2_files(encoder: Path, merges: Path) -> BpeModel:
    """Read the vocabulary `encoder` and the merge list `merges`.

    Raises
    ------
    ValueError
        A file is damaged; the message names it and the place.
    """
    try:
        vocab = check_vocab(load_json(encoder))
    except DamagedVocabularyError as error:
        raise ValueError(f"{encoder}: damaged vocabulary: {error}") from None
    missing = [byte for byte, char in enumerate(BYTE_CHARS) if char not in vocab]
    if missing:
        raise ValueError(f"{encoder}: no token for the byte 0x{missing[0]:02X} ({len(missing)} bytes missing)")
    special = [AddedToken(END_OF_TEXT, vocab[END_OF_TEXT], special=True)] if END_OF_TEXT in vocab else []
    try:
        pairs = read_merges(_lines(merges), vocab)
    except DamagedVocabularyError as error:
        raise ValueError(f"{merges}: damaged merge list: {error}") from None
    return BpeModel(
        vocab=vocab, merges=pairs, byte_level=True, pattern=lib.FE_PATTERN_GPT2, byte_chars=True, added=special
    )


def _lines(path: Path) -> list[str]:
    """Return the merges of the file: a pair a line, below a line that names the version."""
    try:
        lines = path.read_bytes().decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from None
    if lines[0].startswith("#version"):
        lines = lines[1:]
    return [line for line in lines if line]
