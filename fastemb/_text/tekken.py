"""Reading Mistral's `tekken*.json`: ranks in base64, a pattern, and special tokens that take the lowest ids."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .bpe_model import is_id, is_text
from .rank_file import RankVocabulary, check_bytes, read_ranks
from .tokenizer_json import load_json
from .vocabulary import DamagedVocabularyError

# What files up to version 7 that list no special tokens mean, by id.
OLD_SPECIAL_TOKENS = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
    "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
)  # fmt: skip
LAST_OLD_VERSION = 7
MOST_SPECIAL_TOKENS = 1 << 20  # each one is made, listed or not: a damaged number must not fill the memory


@dataclass(frozen=True)
class TekkenModel:
    """What a `tekken*.json` says."""

    vocabulary: RankVocabulary  # its ids start behind those of the special tokens
    pattern: str  # as tiktoken reads it
    special_tokens: dict[str, int]  # with the fillers, in the order of their ids


def is_tekken(document: Any) -> bool:
    """Return whether a JSON document is a tekken file: no other kind lists its vocabulary beside a config."""
    return isinstance(document, dict) and "config" in document and isinstance(document.get("vocab"), list)


def read_tekken(path: Path) -> TekkenModel:
    """Read a tekken file.

    Raises
    ------
    ValueError
        The file is damaged; the message names it and the place.
    """
    document = load_json(path)
    try:
        return parse_tekken(document)
    except DamagedVocabularyError as error:
        raise ValueError(f"{path}: damaged tekken file: {error}") from None


def parse_tekken(document: Any) -> TekkenModel:
    """Read the document of a tekken file; a fault is a DamagedVocabularyError without the file's name."""
    if not isinstance(document, dict):
        raise DamagedVocabularyError("it is no JSON object")
    config = document.get("config")
    if not isinstance(config, dict):
        raise DamagedVocabularyError("its config is missing")
    pattern = config.get("pattern")
    if not isinstance(pattern, str) or not pattern or not is_text(pattern):
        raise DamagedVocabularyError(f"its config has no pattern but {_shown(pattern)}")
    size, specials = (_size(config, name) for name in ("default_vocab_size", "default_num_special_tokens"))
    if specials > MOST_SPECIAL_TOKENS:
        raise DamagedVocabularyError(f"its config asks for {specials} special tokens")
    if size < specials:
        raise DamagedVocabularyError(f"its default_vocab_size, {size}, has no room for {specials} special tokens")
    # The file holds more ranks than the model has ids: it uses the first ones.
    vocabulary = _vocabulary(document.get("vocab"), size - specials, specials)
    return TekkenModel(vocabulary, pattern, _special_tokens(document.get("special_tokens"), config, specials))


def _size(config: dict[str, Any], name: str) -> int:
    size: Any = config.get(name)
    if not is_id(size):
        raise DamagedVocabularyError(f"its {name} is {_shown(size)}, not an integer from 0 to 2**31 - 2")
    return int(size)


def _vocabulary(vocab: Any, count: int, first_id: int) -> RankVocabulary:
    """Return the first `count` tokens of the list, with ids from `first_id` on."""
    if not isinstance(vocab, list) or not vocab:
        raise DamagedVocabularyError("its vocab is missing or empty")
    if not 0 < count <= len(vocab):
        raise DamagedVocabularyError(f"its config asks for {count} of the {len(vocab)} tokens in its vocab")
    del vocab[count:]
    try:
        ranks = [token["rank"] for token in vocab]
        base64 = [token["token_bytes"] for token in vocab]
    except (TypeError, KeyError, IndexError):
        place = next(i for i, token in enumerate(vocab) if not _is_token(token))
        raise DamagedVocabularyError(
            f"token {place} of its vocab has no rank and token_bytes: {_shown(vocab[place])}"
        ) from None
    # One reader for all base64: as lines of a rank file (with no ranks that matter) it is read by C at once.
    try:
        lines = " 0\n".join(base64)
    except TypeError:
        place = next(i for i, token in enumerate(base64) if not isinstance(token, str))
        raise DamagedVocabularyError(f"token_bytes of token {place} is {_shown(base64[place])}, no string") from None
    tokens, offsets, zeros, bad_line = read_ranks(f"{lines} 0\n".encode("utf-8", "replace"))
    if bad_line is not None or zeros.size != count:
        place = next((i for i, token in enumerate(base64) if read_ranks(_line(token))[2].size != 1), 0)
        raise DamagedVocabularyError(f"token_bytes of token {place} is not base64 or empty: {_shown(base64[place])}")
    if ranks != list(range(count)) or {*map(type, ranks)} != {int}:
        place = next(i for i, rank in enumerate(ranks) if type(rank) is not int or rank != i)
        raise DamagedVocabularyError(f"the rank of token {place} is {_shown(ranks[place])}, not {place}")
    vocabulary = RankVocabulary(tokens, offsets, np.arange(first_id, first_id + count, dtype=np.int32))
    check_bytes(vocabulary)
    return vocabulary


def _line(token: str) -> bytes:
    return f"{token} 0\n".encode("utf-8", "replace")


def _is_token(token: Any) -> bool:
    return isinstance(token, dict) and "rank" in token and "token_bytes" in token


def _special_tokens(listed: Any, config: dict[str, Any], count: int) -> dict[str, int]:
    """Return the special tokens: those the file lists, or the old ones, and fillers up to `count`."""
    if listed is None:
        version = config.get("version")
        number = re.fullmatch(r"v([0-9]{1,3})", version) if isinstance(version, str) else None
        if number is None:
            raise DamagedVocabularyError(f"its version is {_shown(version)}, and it lists no special tokens")
        if int(number[1]) > LAST_OLD_VERSION:
            raise DamagedVocabularyError(f"it lists no special tokens, which a file of version {version} must")
        tokens = {token: id for id, token in enumerate(OLD_SPECIAL_TOKENS)}
    else:
        if not isinstance(listed, list):
            raise DamagedVocabularyError("its special_tokens are no list")
        tokens = {}
        text: Any
        rank: Any
        for place, token in enumerate(listed):
            text, rank = (token.get("token_str"), token.get("rank")) if isinstance(token, dict) else (None, None)
            if not text or not is_text(text) or not is_id(rank):
                raise DamagedVocabularyError(f"special token {place} has no token_str and rank: {_shown(token)}")
            if text in tokens:
                raise DamagedVocabularyError(f"the special token {text!r} stands twice")
            tokens[text] = rank
    if len(tokens) > count:
        raise DamagedVocabularyError(f"it has {len(tokens)} special tokens where its config has room for {count}")
    # The fillers take the ranks from the number of tokens on, so the others must be the ranks below.
    if sorted(tokens.values()) != list(range(len(tokens))):
        raise DamagedVocabularyError(f"the ranks of its special tokens are not 0 to {len(tokens) - 1}")
    for rank in range(len(tokens), count):
        filler = f"<SPECIAL_{rank}>"
        if filler in tokens:
            raise DamagedVocabularyError(f"the special token {filler!r} stands twice")
        tokens[filler] = rank
    return dict(sorted(tokens.items(), key=lambda item: item[1]))


def _shown(value: Any) -> str:
    return "nothing" if value is None else ascii(value)[:80]
