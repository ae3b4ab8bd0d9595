"""A `tokenizer.json` as a document: what it says, by the names that ``tokenizers`` has for it, and how it is changed.

A value of a document is replaced and never changed, so that a copy of a tokenizer costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._text import calls
from .added_token import AddedToken
from .component import Json
from .models import vocab_of

EMPTY: Json = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
    "model": None,
}
_STRATEGIES: dict[str, calls.Strategy] = {
    "LongestFirst": "longest_first",
    "OnlyFirst": "only_first",
    "OnlySecond": "only_second",
}
_STRATEGY_NAMES: dict[str, str] = {name: kind for kind, name in _STRATEGIES.items()}
_SIDES: dict[str, calls.Side] = {"Right": "right", "Left": "left"}
_SIDE_NAMES: dict[str, str] = {name: kind for kind, name in _SIDES.items()}


def _word(value: Any, words: dict[str, Any], what: str) -> str:
    if value not in words:
        raise ValueError(f"{what} must be one of {', '.join(words)}, got {value!r}")
    return str(words[value])


def _count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an integer, got {type(value).__name__}")
    if value < 0:
        raise OverflowError(f"{what} must be at least 0, got {value}")
    return value


# ---------------------------------------------------------------- cutting and filling up


def truncation_node(max_length: int, stride: int, strategy: str, direction: str) -> Json:
    """Return how rows are cut, as the format has it; an error where it cannot be."""
    return {
        "direction": _word(direction, _SIDE_NAMES, "direction"),
        "max_length": _count(max_length, "max_length"),
        "strategy": _word(strategy, _STRATEGY_NAMES, "strategy"),
        "stride": _count(stride, "stride"),
    }


def truncation_options(node: Json | None) -> Json | None:
    """Return how rows are cut, as the arguments of `Tokenizer.enable_truncation`."""
    how = truncation_of(node)
    if how is None:
        return None
    return {"max_length": how.max_tokens, "stride": how.stride, "strategy": how.strategy, "direction": how.side}


def truncation_of(node: Json | None) -> calls.Truncation | None:
    """Return how rows are cut, as the core takes it."""
    if node is None:
        return None
    side = _SIDES[node.get("direction", "Right")]
    return calls.Truncation(node["max_length"], node["stride"], _STRATEGIES[node["strategy"]], side)


def padding_node(
    direction: str,
    pad_id: int,
    pad_type_id: int,
    pad_token: str,
    length: int | None,
    pad_to_multiple_of: int | None,
) -> Json:
    """Return how rows are filled up, as the format has it; an error where it cannot be."""
    if not isinstance(pad_token, str):
        raise TypeError(f"pad_token must be a str, got {type(pad_token).__name__}")
    multiple = None if pad_to_multiple_of is None else _count(pad_to_multiple_of, "pad_to_multiple_of")
    return {
        "strategy": "BatchLongest" if length is None else {"Fixed": _count(length, "length")},
        "direction": _word(direction, _SIDE_NAMES, "direction"),
        "pad_to_multiple_of": multiple,
        "pad_id": _count(pad_id, "pad_id"),
        "pad_type_id": _count(pad_type_id, "pad_type_id"),
        "pad_token": pad_token,
    }


def padding_options(node: Json | None) -> Json | None:
    """Return how rows are filled up, as the arguments of `Tokenizer.enable_padding`."""
    how = padding_of(node)
    if node is None or how is None:
        return None
    return {
        "length": how.length,
        "pad_to_multiple_of": node.get("pad_to_multiple_of"),
        "pad_id": how.pad_id,
        "pad_token": node["pad_token"],
        "pad_type_id": how.type_id,
        "direction": how.side,
    }


def padding_of(node: Json | None) -> calls.Padding | None:
    """Return how rows are filled up, as the core takes it."""
    if node is None:
        return None
    strategy = node["strategy"]
    length = strategy["Fixed"] if isinstance(strategy, dict) else None
    multiple = node.get("pad_to_multiple_of") or None  # 0 is none, too
    return calls.Padding(length, multiple, _SIDES[node["direction"]], node["pad_id"], node["pad_type_id"])


# ---------------------------------------------------------------- added tokens


def added_vocab(document: Json) -> dict[str, int]:
    """Return the added tokens and their ids; of one that is listed twice the first id."""
    found: dict[str, int] = {}
    for node in document["added_tokens"] or ():
        found.setdefault(node["content"], node["id"])
    return found


def added_decoder(document: Json) -> dict[int, AddedToken]:
    """Return the added tokens by their ids, ascending."""
    nodes = sorted(document["added_tokens"] or (), key=lambda node: node["id"])
    return {node["id"]: AddedToken.from_json(node) for node in nodes if node["content"]}


def with_added(document: Json, tokens: Sequence[AddedToken]) -> tuple[list[Json], int]:
    """Return the added tokens of a document with some more, and how many of these are new or were changed.

    One that is in the vocabulary keeps its id, others get the next ones behind all.
    """
    vocab, ids = vocab_of(document["model"]), added_vocab(document)
    by_id: dict[int, Json] = {node["id"]: node for node in document["added_tokens"] or ()}
    highest, size = max(by_id, default=-1), len(vocab)
    next_id, count = highest + 1 if by_id and (highest >= size or not size) else size, 0
    for token in tokens:
        if not token.content:
            continue
        id = ids.get(token.content, vocab.get(token.content))
        if id is not None and by_id.get(id) == token.to_json(id):
            continue
        if id is None:
            id, next_id = next_id, next_id + 1
        ids[token.content], by_id[id] = id, token.to_json(id)
        count += 1
    return [by_id[id] for id in sorted(by_id)], count


def all_ids(document: Json) -> dict[str, int]:
    """Return all tokens and their ids, added ones last (a new dict)."""
    return vocab_of(document["model"]) | added_vocab(document)
