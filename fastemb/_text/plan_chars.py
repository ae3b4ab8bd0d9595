"""Which models of characters C reads, and which symbols it knows: SentencePiece's marks, and affixes.

Each function answers for some steps of a `tokenizer.json` with fields of a `BpeModel`, or with None where C cannot do
exactly what they ask.
"""

from __future__ import annotations

from typing import Any

from .bpe_model import MARK
from .components import Bpe, Metaspace, Normalizer, Prepend, PreTokenizer, Replace, Split

Fields = dict[str, Any]  # of a BpeModel

PREPEND_MARK = Prepend(MARK)
SPACE_TO_MARK = Replace(" ", True, MARK)


def characters_in_c(
    normalizers: tuple[Normalizer, ...], pre_tokenizers: tuple[PreTokenizer, ...], model: Bpe
) -> Fields | None:
    """Return the fields of a model of characters, cut at marks alone or not at all.

    `normalizers` are the steps that make marks; behind others the fields hold too, if no `prepend_first` is among them:
    where such a text begins is not where the text begins that was given.
    """
    if has_affixes(model) and (model.ignore_merges or model.byte_fallback):
        return None  # whole pieces have no affixes; a symbol that falls back to bytes brings those of its affixes along
    marks = marks_in_c(normalizers, pre_tokenizers)
    if marks is None or (has_affixes(model) and any(marks.values())):
        return None  # a mark that C puts in front would be a symbol at a place
    return symbols(model) | marks | {"byte_level": False, "whole_first": model.ignore_merges}


def symbols(model: Bpe) -> Fields:
    """Return the fields that say what the symbols of a piece are and how they merge."""
    return {
        "vocab": model.vocab,
        "merges": model.merges,
        "unk_token": model.unk_token,
        "fuse_unk": model.fuse_unk,
        "byte_fallback": model.byte_fallback,
        "prefix": model.continuing_subword_prefix or "",
        "suffix": model.end_of_word_suffix or "",
    }


def has_affixes(model: Bpe) -> bool:
    """Return whether the name of a symbol depends on its place in the piece."""
    return bool(model.continuing_subword_prefix or model.end_of_word_suffix)


def marks_in_c(normalizers: tuple[Normalizer, ...], pre_tokenizers: tuple[PreTokenizer, ...]) -> Fields | None:
    """Return how spaces become marks, where one is put in front, and whether they begin pieces."""
    # Both orders give the same text: what is prepended holds no space. Twice would not.
    if len(normalizers) != len(set(normalizers)) or not set(normalizers) <= {PREPEND_MARK, SPACE_TO_MARK}:
        return None
    fields: Fields = {
        "prepend_mark": PREPEND_MARK in normalizers,
        "prepend_once": False,
        "prepend_first": False,
        "space_to_mark": SPACE_TO_MARK in normalizers,
        "split_marks": False,
    }
    metaspaces = sum(isinstance(step, Metaspace) for step in pre_tokenizers)
    for step in pre_tokenizers:
        if isinstance(step, Split) and step.pattern == " " and fields["space_to_mark"]:
            if step.behavior == "Removed" and step.invert:
                return None  # without a match nothing is left
            continue  # spaces are marks by now: there is nothing to cut at
        if not isinstance(step, Metaspace) or step.replacement != MARK or metaspaces > 1:
            return None
        fields["space_to_mark"] = True
        fields["split_marks"] = step.split
        # Behind Prepend every text starts with a mark, and no further one is put in front.
        if not fields["prepend_mark"] and step.prepend_scheme != "never":
            fields |= {"prepend_mark": True, "prepend_once": True, "prepend_first": step.prepend_scheme == "first"}
    return fields
