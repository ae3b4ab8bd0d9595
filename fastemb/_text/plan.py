"""Which road the steps of a `tokenizer.json` take: a vocabulary as the C core takes it.

C takes a file only where all of its steps can be said to it exactly; each function here answers for one slot of the
file, with None where it cannot.
"""

from __future__ import annotations

from typing import Any

from .bpe_model import MARK, BpeModel
from .components import (
    BertProcessing,
    Bpe,
    ByteFallback,
    ByteLevel,
    Fuse,
    Replace,
    RobertaProcessing,
    StripDecoder,
    TemplateProcessing,
    TokenizerFile,
)
from .plan_chars import characters_in_c, has_affixes, symbols
from .plan_cuts import cuts_in_c
from .plan_normal import finds_added, normal_in_c
from .plan_words import words_in_c
from .tokenizer_json import Refused
from .vocabulary import BYTE_CHARS, Vocabulary

Fields = dict[str, Any]  # of a BpeModel

# What decoding does to the whole text, in the only order in which acting on tokens one by one is the same.
_TEXT_DECODERS = (Replace(MARK, True, " "), ByteFallback(), Fuse(), StripDecoder(" ", 1, 0))


def plan(file: TokenizerFile) -> Vocabulary:
    """Return the vocabulary of a file, by the fastest road that is exact."""
    for step in file.post_processors:
        texts = [piece.text for piece in step.single if piece.text] if isinstance(step, TemplateProcessing) else ["A"]
        if texts != ["A"]:
            raise Refused(f"not supported yet: a template with the text {len(texts)} times")
    template = template_ids(file.post_processors)
    words = None if template is None else words_in_c(file, **template)
    if words is not None:
        return words
    model = in_c(file)
    if model is None:
        raise Refused("not supported yet: this combination of components")
    return model.vocabulary()


def in_c(file: TokenizerFile) -> BpeModel | None:
    """Return the file as one of the two kinds that C reads from text to ids; None where it is neither."""
    if not isinstance(file.model, Bpe):
        return None
    byte_level = any(isinstance(step, ByteLevel) for step in file.pre_tokenizers)
    found = [
        _byte_level(file) if byte_level else _characters(file),
        _added(file),
        template_ids(file.post_processors),
        decoding(file.decoders),
    ]
    fields: Fields = {}
    for one in found:
        if one is None:
            return None
        fields |= one
    return BpeModel(added=file.added, **fields)


# ---------------------------------------------------------------- text → ids


def _byte_level(file: TokenizerFile) -> Fields | None:
    """Return the fields of a byte-level model: a known pattern, and symbols that are bytes."""
    model, cuts, normal = file.model, _pattern(file.pre_tokenizers), normal_in_c(file.normalizers)
    if not isinstance(model, Bpe) or normal is None or cuts is None:
        return None
    if has_affixes(model) and (model.byte_fallback or model.ignore_merges):
        return None
    if model.byte_fallback and not model.vocab.keys() >= set(BYTE_CHARS):
        return None  # with all bytes there, none has to fall back
    if model.ignore_merges and (cuts["add_prefix_space"] or not set("".join(model.vocab)) <= set(BYTE_CHARS)):
        return None  # C looks for the token without the space; and by its bytes, which other characters stand for too
    fields = symbols(model) | {"byte_level": True, "whole_first": model.ignore_merges, "byte_fallback": False}
    return fields | cuts | {"normal": normal.steps}


def _pattern(steps: tuple[Any, ...]) -> Fields | None:
    """Return what C cuts by; None where it cannot."""
    cuts = cuts_in_c(steps)
    if cuts is None or not cuts.byte_level:
        return None
    return {"pattern": cuts.pattern, "chain": cuts.chain, "add_prefix_space": cuts.add_prefix_space}


def _characters(file: TokenizerFile) -> Fields | None:
    """Return the fields of a model of characters."""
    if not isinstance(file.model, Bpe):
        return None
    return characters_in_c(file.normalizers, file.pre_tokenizers, file.model)


def _added(file: TokenizerFile) -> Fields | None:
    """Return an empty dict if C finds the added tokens as the file wants it."""
    if set(file.normalizers) & {_PREPEND_MARK, _SPACE_TO_MARK}:  # which C does by flags, not by steps
        return None if any(token.late for token in file.added) else {}
    normal = normal_in_c(file.normalizers)
    return {} if normal is not None and finds_added(normal, file.added) else None


# ---------------------------------------------------------------- ids → ids, and → text


def template_ids(steps: tuple[Any, ...]) -> Fields | None:
    """Return the ids that stand before and behind one text; None where there is more to it."""
    before: list[int] = []
    after: list[int] = []
    for step in steps:
        if isinstance(step, BertProcessing | RobertaProcessing):
            before, after = [step.cls[1]], [step.sep[1]]
        elif isinstance(step, TemplateProcessing):
            texts = [place for place, piece in enumerate(step.single) if piece.text]
            if len(texts) != 1:
                return None
            before = [id for piece in step.single[: texts[0]] for id in piece.ids]
            after = [id for piece in step.single[texts[0] :] for id in piece.ids]
    return {"before": before, "after": after}


def decoding(steps: tuple[Any, ...] | None) -> Fields | None:
    """Return how the bytes of tokens follow from their names; None where a token's text depends on its place."""
    if steps is None:
        return {"joined_by": " "}  # so does the format's own engine
    if len(steps) == 1 and isinstance(steps[0], ByteLevel):
        return {"byte_chars": True}
    # One by one these act on tokens, so only in this order do they act as ours do, which know the whole text; and
    # dropping a space from the start of the text, not of each token, needs Fuse before it.
    places = [_TEXT_DECODERS.index(step) if step in _TEXT_DECODERS else -1 for step in steps]
    if -1 in places or places != sorted({*places}) or (3 in places and 2 not in places):
        return None
    return {"mark_to_space": 0 in places, "byte_tokens": 1 in places, "strip_start": 3 in places}
