"""Ranks, a pattern and special tokens → a vocabulary as the C core takes it."""

from __future__ import annotations

import numpy as np

from .chain import Keep, Step, chain_of
from .core import lib
from .patterns import NAMES, known_pattern, pattern_named
from .program import program_of
from .rank_file import RankVocabulary
from .regex_split import compile_pattern
from .vocabulary import AddedToken, Metadata, Vocabulary

LONGEST_TOKEN = 1 << 13  # bytes; real ones have some hundreds


def ranked_vocabulary(ranks: RankVocabulary, pattern: str, added: list[AddedToken]) -> Vocabulary:
    """Return a vocabulary of ranks with its pattern, by name or as a regular expression, and its special tokens."""
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be a str, got {type(pattern).__name__}")
    if not pattern:
        raise ValueError("pattern is empty: it would cut every text to nothing")
    longest = int(np.diff(ranks.offsets).max())
    if longest > LONGEST_TOKEN:  # deriving pairs may look at every cut of a token: time grows with its length squared
        raise ValueError(f"a token has {longest} bytes, more than the {LONGEST_TOKEN} that are read")
    known, chain = pattern_named(pattern) or known_pattern(pattern), None
    if known is None:
        if pattern.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"pattern {pattern!r} is no known name; those are {', '.join(sorted(NAMES))}")
        program = program_of(pattern, "fancy")  # faults of the pattern show here, not at the first text
        # As in tiktoken, text that no match covers is dropped.
        chain = None if program is None else chain_of([Step(program, Keep.MATCHES)])
        if chain is None:
            compile_pattern(pattern, "fancy")
    _check_ids(ranks, added)
    # No text gives these; of two special tokens that share an id the last one is what it decodes to.
    others = dict.fromkeys(ranks.silent, b"") | {token.id: token.content.encode() for token in added}
    offsets, lengths = ranks.offsets, np.diff(ranks.offsets)
    byte_tokens = np.full(256, -1, np.int32)
    single = np.flatnonzero(lengths == 1)
    byte_tokens[np.frombuffer(ranks.tokens, np.uint8)[offsets[single]]] = single
    ends = offsets[-1] + np.cumsum(np.array([len(content) for content in others.values()], np.int64))
    return Vocabulary(
        flags=lib.FE_BYTE_LEVEL | lib.FE_RANKED | lib.FE_WHOLE_FIRST | lib.FE_OVERLAP,
        token_bytes=ranks.tokens + b"".join(others.values()),
        token_offsets=np.concatenate([offsets, ends]),
        token_ids=np.concatenate([ranks.ids, np.array(list(others), np.int32)]),
        vocab=len(ranks),
        byte_tokens=byte_tokens,
        metadata=Metadata(added, pattern=[pattern] if known is None and chain is None else None),
        pattern=int(known or (lib.FE_PATTERN_NONE if chain is None else lib.FE_PATTERN_PROGRAM)),
        chain=chain,
    )


def _check_ids(ranks: RankVocabulary, added: list[AddedToken]) -> None:
    """Refuse special tokens with the id of another token."""
    clash = np.intersect1d(np.concatenate([ranks.ids, ranks.silent]), np.array([token.id for token in added], np.int64))
    if clash.size:
        content = next(token.content for token in added if token.id == clash[0])
        raise ValueError(f"special token {content!r} has the id {int(clash[0])}, which a token of the ranks has")
