"""Texts → the vocabulary and the merges of a document's model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._text.compiled import lib
from ..._text.components import ByteLevel, ByteLevelNormalizer, TokenizerFile
from ..._text.plan_cuts import Cuts, cuts_in_c
from ..._text.plan_normal import normal_in_c
from ..._text.road import Road
from ..._text.texts import repaired
from ..._text.tokenizer_json import parse_tokenizer_json
from ..._text.train_pairs import Limits, Symbols, byte_symbols, char_symbols, merge_pairs
from ..._text.train_texts import How, count
from ..._text.vocabulary import BYTE_CHARS
from .component import Json
from .trainers import Trainer

_KEPT = np.uint64(1 << 62)  # how often a character of the initial alphabet counts as found
_NO_MODEL = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}


def train(document: Json, trainer: Trainer, texts: Iterable[str | Path]) -> Json:
    """Return the model of a document, trained.

    Raises
    ------
    NotImplementedError
        The trainer asks for what is not trained here.
    TypeError, ValueError, OSError
        As `fastemb.Tokenizer.train`.
    """
    prefix = trainer.continuing_subword_prefix or ""
    if trainer.end_of_word_suffix or (prefix and trainer.model == "BPE"):
        raise NotImplementedError("BPE with a continuing_subword_prefix or an end_of_word_suffix is not trained here")
    steps = {name: document[name] for name in ("normalizer", "pre_tokenizer")}
    file = parse_tokenizer_json({"model": _NO_MODEL, **steps})
    how, of_bytes = _in_c(file, trainer)
    tally = count(texts if how else _pieces(file, texts), how or How(Cuts(lib.FE_PATTERN_NONE)))
    special = [token.content for token in trainer.special_tokens]
    symbols = byte_symbols(special) if of_bytes else _chars(special, tally.chars(), prefix, trainer)
    # Fewer than there are from the start are those, to `tokenizers`.
    size = max(trainer.vocab_size, len(symbols.names))
    merged = merge_pairs(tally, symbols, Limits(size, trainer.min_frequency, trainer.max_token_length), prefix)
    node: Json = document["model"] | {"vocab": merged.vocab, "continuing_subword_prefix": prefix or None}
    if trainer.model == "BPE":
        names, merges = list(merged.vocab), merged.merges
        pairs = zip(merges.left.tolist(), merges.right.tolist(), strict=True)
        node |= {"merges": [[names[left], names[right]] for left, right in pairs], "end_of_word_suffix": None}
    return node


def _in_c(file: TokenizerFile, trainer: Trainer) -> tuple[How | None, bool]:
    """Return how C makes pieces of texts, and whether these are bytes; None where it makes others, or none."""
    steps = file.pre_tokenizers
    cuts, normal = cuts_in_c(steps), normal_in_c(file.normalizers)
    spelled = any(isinstance(step, ByteLevelNormalizer) for step in file.normalizers)
    spaced = any(isinstance(step, ByteLevel) and step.add_prefix_space for step in steps)
    if cuts is None or normal is None or spelled or spaced:
        return None, False
    every = {*trainer.initial_alphabet} == {*BYTE_CHARS} and trainer.limit_alphabet is None
    # A symbol is a byte only if each of them is in the alphabet, else a character, of those that stand for bytes, too.
    if cuts.byte_level and not (every and not trainer.continuing_subword_prefix):
        return None, False
    return How(cuts, normal.steps), cuts.byte_level


def _pieces(file: TokenizerFile, texts: Iterable[str | Path]) -> Iterator[str]:
    """Yield the pieces of texts, by the general road in Python."""
    road = Road(file)
    for text in texts:
        if isinstance(text, Path):
            with text.open("rb") as stream:
                for line in stream:
                    yield from road.plain_pieces(line.decode())
        elif isinstance(text, str):
            yield from road.plain_pieces(repaired(text))
        else:
            raise TypeError(f"texts must be str, got {type(text).__name__}")


def _chars(special: Sequence[str], counts: Any, prefix: str, trainer: Trainer) -> Symbols:
    for char in trainer.initial_alphabet:
        counts[lib.FE_PLACE_FIRST, ord(char)] += _KEPT
    return char_symbols(special, counts, prefix, trainer.limit_alphabet)
