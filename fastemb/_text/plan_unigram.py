"""Whether C finds pieces by their scores in a text, and how it cuts the text first."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .bpe_model import MARK
from .chain import Chain
from .components import NFC, NFD, NFKC, NFKD, Lowercase, Metaspace, Model, TokenizerFile, Unigram, WhitespaceSplit
from .core import lib
from .plan_chars import PREPEND_MARK, SPACE_TO_MARK, marks_in_c
from .plan_cuts import cuts_in_c
from .plan_normal import finds_added, normal_in_c
from .vocabulary import Vocabulary

# Normalizers that leave the first character of a text at its start, where `prepend_scheme="first"` looks for it.
_KEEP_STARTS = {NFC, NFD, NFKC, NFKD, Lowercase}
_FLAGS = {
    "prepend_mark": lib.FE_PREPEND,
    "prepend_once": lib.FE_PREPEND_ONCE,
    "prepend_first": lib.FE_PREPEND_FIRST,
    "space_to_mark": lib.FE_SPACE_MARK,
    "split_marks": lib.FE_SPLIT_MARKS,
}


@dataclass(frozen=True)
class Scored:
    """What C does before it looks for pieces."""

    flags: int
    normal: bytes
    pattern: int = lib.FE_PATTERN_NONE
    chain: Chain | None = None


def unigram_in_c(file: TokenizerFile) -> Scored | None:
    """Return how C finds the pieces of a file of such a model; None where it would give other ids."""
    steps = file.normalizers
    late = any(token.late for token in file.added)
    if late:
        seen = normal_in_c(steps)
        if seen is None or not finds_added(seen, file.added):
            return None
    # C writes SentencePiece's marks as it reads a segment: behind the other steps, and unseen by late tokens.
    at = next((i for i, step in enumerate(steps) if {*steps[i:]} <= {PREPEND_MARK, SPACE_TO_MARK}), len(steps))
    steps, made = (steps, steps[:0]) if late else (steps[:at], steps[at:])
    marks, normal = marks_in_c(made, file.pre_tokenizers), normal_in_c(steps)
    if marks is not None and normal is not None and (not marks["prepend_first"] or {*map(type, steps)} <= _KEEP_STARTS):
        return Scored(sum(_FLAGS[name] for name, on in marks.items() if on), normal.steps)
    return _cut(file)


def _cut(file: TokenizerFile) -> Scored | None:
    """Return the same where other pre-tokenizers cut first; marks may come last, before every piece or before none."""
    steps, flags, normal = file.pre_tokenizers, 0, normal_in_c(file.normalizers)
    if steps == (WhitespaceSplit(), Metaspace(MARK, "always", True)) and normal is not None:
        return Scored(lib.FE_WHITE_WORDS | lib.FE_SPACE_MARK | lib.FE_SPLIT_MARKS, normal.steps)
    if steps and isinstance(last := steps[-1], Metaspace):
        if last.replacement != MARK or last.prepend_scheme == "first":
            return None
        steps, flags = steps[:-1], lib.FE_SPACE_MARK
        flags |= lib.FE_SPLIT_MARKS if last.split else 0
        flags |= lib.FE_PREPEND | lib.FE_PREPEND_ONCE if last.prepend_scheme == "always" else 0
    if normal is None or any(isinstance(step, Metaspace) for step in steps):
        return None
    try:
        cuts = cuts_in_c(steps)
    except ValueError:  # the general road says what is wrong with the pattern
        return None
    if cuts is None or cuts.byte_level or cuts.pattern not in (lib.FE_PATTERN_NONE, lib.FE_PATTERN_PROGRAM):
        return None
    return Scored(flags, normal.steps, cuts.pattern, cuts.chain)


def with_scores(v: Vocabulary, model: Model, scored: Scored) -> Vocabulary:
    """Return a vocabulary of characters as one of pieces that have scores."""
    if not isinstance(model, Unigram):
        raise TypeError(f"expected a Unigram model, got {type(model).__name__}")
    pieces = [(name, id) for name, id in model.vocab.items() if name]
    return replace(
        v,
        flags=lib.FE_UNIGRAM | scored.flags | (lib.FE_BYTE_FALLBACK if model.byte_fallback else 0),
        pattern=scored.pattern,
        chain=scored.chain,
        normal=scored.normal,
        char_codes=(),
        char_tokens=(),
        pair_left=(),
        pair_right=(),
        wholes=pieces,
        whole_scores=[model.scores[id] for _, id in pieces],
        unk_score=model.unk_score,
    )
