"""Reading GPT-2's own pair of files, `encoder.json` and `vocab.bpe`."""

from __future__ import annotations

from pathlib import Path

from .bpe_model import BYTE_CHARS, AddedToken, BpeModel
from .tokenizer_json import is_id, is_text, load_json

END_OF_TEXT = "<|endoftext|>"  # the one token of encoder.json that no merge makes: a special one


def read_gpt2_files(encoder: Path, merges: Path) -> BpeModel:
    """Read the vocabulary `encoder` and the merge list `merges`.

    Raises
    ------
    ValueError
        A file is damaged; the message names it and the place.
    """
    vocab = load_json(encoder)
    for token, id in vocab.items():
        if not is_id(id):
            raise ValueError(f"{encoder}: token {token!r} has the id {id!r}, not an integer from 0 to 2**31 - 2")
    if not is_text("".join(vocab)):
        raise ValueError(f"{encoder}: a token holds half a surrogate pair")
    missing = [byte for byte, char in enumerate(BYTE_CHARS) if char not in vocab]
    if missing:
        raise ValueError(f"{encoder}: no token for the byte 0x{missing[0]:02X} ({len(missing)} bytes missing)")
    special = [AddedToken(END_OF_TEXT, vocab[END_OF_TEXT], special=True)] if END_OF_TEXT in vocab else []
    return BpeModel(vocab=vocab, merges=_read_merges(merges, vocab), byte_level=True, split_gpt2=True, added=special)


def _read_merges(path: Path, vocab: dict[str, int]) -> list[tuple[str, str]]:
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, space, right = line.removesuffix("\r").partition(" ")
        if not space or " " in right or not {left, right, left + right} <= vocab.keys():
            raise ValueError(f"{path}, line {number}: {line!r} is not a pair of tokens that make a token")
        pairs.append((left, right))
    return pairs
