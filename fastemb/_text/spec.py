"""A vocabulary as fe_tokenizer_new takes it: pointers into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .compiled import ffi, lib
from .vocabulary import AddedToken, Vocabulary


def twins(v: Vocabulary, second: int) -> str:
    """Return the fault of a vocabulary in which token number `second` has the bytes of an earlier token."""
    tokens = [v.token_bytes[start:end] for start, end in pairwise(v.token_offsets[: second + 2].tolist())]
    first = tokens.index(tokens[second])
    return f"the token {tokens[second]!r} stands twice, with {v.token_ids[first]} and {v.token_ids[second]}"


def grown(v: Vocabulary, number: int) -> str:
    """Return the fault of a vocabulary whose late added tokens, up to this number, become too long by normalizing."""
    content = v.metadata.added[number].content
    return (
        f"the added tokens that are looked for in normalized text, up to {content[:64]!r}, become too long by the "
        "file's normalizer: more than 32 times as long as all added tokens, and a MiB"
    )


# The flags of an added token, by the field that says each.
ADDED_FLAGS = {
    "late": lib.FE_ADDED_LATE,
    "special": lib.FE_ADDED_SPECIAL,
    "lstrip": lib.FE_ADDED_LSTRIP,
    "rstrip": lib.FE_ADDED_RSTRIP,
    "single_word": lib.FE_ADDED_SINGLE_WORD,
}


def flags_of(token: AddedToken) -> int:
    """Return the fe_added_flags of a token."""
    return sum(flag for name, flag in ADDED_FLAGS.items() if getattr(token, name))


def spec_of(v: Vocabulary) -> tuple[Any, list[Any]]:
    """Return the fe_model of a vocabulary, and the arrays that must stay alive since it points into them."""
    alive: list[Any] = []

    def ints(values: npt.ArrayLike, kind: str = "int32_t") -> Any:
        alive.append(np.ascontiguousarray(values, kind.removesuffix("_t")))
        return ffi.from_buffer(f"{kind}[]", alive[-1])

    def doubles(values: npt.ArrayLike) -> Any:
        alive.append(np.ascontiguousarray(values, np.float64))
        return ffi.from_buffer("double[]", alive[-1])

    def octets(values: Sequence[bytes]) -> Any:
        alive.append(b"".join(values))
        return ffi.from_buffer("uint8_t[]", alive[-1])

    added = v.metadata.added
    contents = [token.content.encode() for token in added]
    metadata = v.metadata.to_bytes()
    chain: Any = ffi.NULL
    if v.chain is not None:
        chain, arrays = v.chain.spec()
        alive += [chain, *arrays]
    wholes = [name.encode() for name, _ in v.wholes]
    spec = ffi.new(
        "fe_model *",
        {
            "flags": v.flags,
            "pattern": v.pattern,
            "unk": v.unk,
            "tokens": v.token_ids.size,
            "vocab": v.vocab,
            "token_bytes": octets([v.token_bytes]),
            "token_offsets": ints(v.token_offsets, "int64_t"),
            "token_ids": ints(v.token_ids),
            "byte_tokens": ints(v.byte_tokens),
            "merges": v.merges.left.size,
            "merge_left": ints(v.merges.left),
            "merge_right": ints(v.merges.right),
            "merge_result": ints(v.merges.result),
            "tied": v.tied,
            "chars": np.size(v.char_codes),
            "char_codes": ints(v.char_codes, "uint32_t"),
            "char_tokens": ints(v.char_tokens),
            "pairs": np.size(v.pair_left),
            "pair_left": ints(v.pair_left, "uint32_t"),
            "pair_right": ints(v.pair_right, "uint32_t"),
            "added": len(contents),
            "added_bytes": octets(contents),
            "added_offsets": ints(list(accumulate(map(len, contents), initial=0)), "int64_t"),
            "added_ids": ints([token.id for token in added]),
            "added_flags": ints([flags_of(token) for token in added], "uint8_t"),
            "before": len(v.metadata.before),
            "before_ids": ints(v.metadata.before),
            "after": len(v.metadata.after),
            "after_ids": ints(v.metadata.after),
            "notes": len(metadata),
            "notes_bytes": octets([metadata]),
            "chain": chain,
            "prefix": len(v.word_prefix),
            "prefix_bytes": octets([v.word_prefix]),
            "word_chars": v.word_chars,
            "normal": len(v.normal),
            "normal_bytes": octets([v.normal]),
            "wholes": len(wholes),
            "whole_bytes": octets(wholes),
            "whole_offsets": ints(list(accumulate(map(len, wholes), initial=0)), "int64_t"),
            "whole_tokens": ints([number for _, number in v.wholes]),
            "whole_scores": doubles(v.whole_scores),
            "unk_score": v.unk_score,
        },
    )
    return spec, alive
