"""The special tokens that makers publish for their vocabularies of ranks, and those that a caller gives."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

from .bpe_model import is_id, is_text
from .vocabulary import AddedToken

Special = dict[str, int]
MODEL = "model"  # in the place of special tokens: those of the maker

_END = "<|endoftext|>"


def _llama3() -> Special:
    """Return Llama 3's 256; from 3.1 on some of the reserved ones have other names."""
    first = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        *(f"<|reserved_special_token_{i}|>" for i in range(4)),
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|reserved_special_token_4|>",
        "<|eot_id|>",
        *(f"<|reserved_special_token_{i}|>" for i in range(5, 251)),
    ]
    return {token: 128_000 + i for i, token in enumerate(first)}


def _harmony() -> Special:
    """Return those of o200k_harmony, of which two share the id 200018: it decodes to the last one here."""
    named = {
        "startoftext": 199_998,
        "endoftext": 199_999,
        "return": 200_002,
        "constrain": 200_003,
        "channel": 200_005,
        "start": 200_006,
        "end": 200_007,
        "message": 200_008,
        "call": 200_012,
    }
    names = {id: f"<|reserved_{id}|>" for id in range(200_000, 201_088)}
    names |= {id: f"<|{name}|>" for name, id in named.items()}
    return {name: id for id, name in sorted(names.items())} | {"<|endofprompt|>": 200_018}


_GPT2 = {_END: 50_256}
_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
#: By the name of the pattern, without `_base`.
PUBLISHED: dict[str, Callable[[], Special]] = {
    "gpt2": lambda: dict(_GPT2),
    "r50k": lambda: dict(_GPT2),
    "p50k": lambda: dict(_GPT2),
    "p50k_edit": lambda: _GPT2 | {token: 50_281 + i for i, token in enumerate(_FIM)},
    "cl100k": lambda: {token: 100_257 + i for i, token in enumerate((_END, *_FIM))} | {"<|endofprompt|>": 100_276},
    "o200k": lambda: {_END: 199_999, "<|endofprompt|>": 200_018},
    "o200k_harmony": _harmony,
    "llama3": _llama3,
    "qwen2": lambda: {_END: 151_643, "<|im_start|>": 151_644, "<|im_end|>": 151_645},
}


def as_added(special_tokens: Any, pattern: str | None) -> list[AddedToken]:
    """Return special tokens as a caller gives them: a dict, None for none, or "model" for those of the pattern's maker.

    Raises
    ------
    TypeError
        They are no dict.
    ValueError
        A token is no text, an id none that a tokenizer can have; or none are known for the pattern.
    """
    if special_tokens is None:
        return []
    if isinstance(special_tokens, str) and special_tokens == MODEL:
        name = pattern.removesuffix("_base") if isinstance(pattern, str) else ""
        if name not in PUBLISHED:
            raise ValueError(
                f"special_tokens is 'model', but those of the pattern {pattern!r} are not known; known are those of "
                f"{', '.join(sorted(PUBLISHED))}; give a dict of others"
            )
        return [AddedToken(content, id, special=True) for content, id in PUBLISHED[name]().items()]
    if not isinstance(special_tokens, dict):
        given = repr(special_tokens) if isinstance(special_tokens, str) else type(special_tokens).__name__
        raise TypeError(f"special_tokens must be a dict of str to int, or 'model', got {given}")
    added = []
    for content, given_id in special_tokens.items():
        id = _as_id(given_id)
        if not is_text(content) or not content or id is None:
            raise ValueError(f"special_tokens must map texts to ids from 0 to 2**31 - 2, got {content!r}: {given_id!r}")
        added.append(AddedToken(content, id, special=True))
    if len({token.id for token in added}) < len(added):
        raise ValueError("two special tokens share an id")
    return added


def _as_id(value: Any) -> int | None:
    """Return an id, of NumPy's integers too; None where it is none."""
    try:
        id = index(value)
    except TypeError:
        return None
    return id if is_id(id) and not isinstance(value, bool) else None
