"""Which road the steps of a `tokenizer.json` take: a vocabulary as the C core takes it.

C takes a file only where all of its steps can be said to it exactly; each function here answers for one slot of the
file, with None where it cannot.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .bpe_model import MARK, BpeModel
from .component_reader import Unsupported
from .components import (
    BertProcessing,
    Bpe,
    ByteFallback,
    ByteLevel,
    ByteLevelNormalizer,
    Fuse,
    Metaspace,
    Replace,
    RobertaProcessing,
    Split,
    StripDecoder,
    TemplateProcessing,
    TokenizerFile,
)
from .core import Core, lib
from .decoders import Decoders
from .patterns import COVERING, known_pattern
from .plan_chars import characters_in_c, has_affixes, symbols
from .regex_split import Splitter, compile_pattern
from .road import Road
from .saved_steps import to_notes
from .tokenizer_json import Refused
from .vocabulary import BYTE_CHARS, NO_MERGES, Vocabulary

Fields = dict[str, Any]  # of a BpeModel

# What decoding does to the whole text, in the only order in which acting on tokens one by one is the same.
_TEXT_DECODERS = (Replace(MARK, True, " "), ByteFallback(), Fuse(), StripDecoder(" ", 1, 0))


def plan(file: TokenizerFile) -> Vocabulary:
    """Return the vocabulary of a file, by the fastest road that is exact."""
    for step in file.post_processors:
        texts = [piece.text for piece in step.single if piece.text] if isinstance(step, TemplateProcessing) else ["A"]
        if texts != ["A"]:
            raise Refused(f"not supported yet: a template with the text {len(texts)} times")
    try:
        decoders(file)
        model = in_c(file)
        if model is not None:
            return replace(model, steps=to_notes(file, general_road=False)).vocabulary()
        Road(file)  # faults of patterns show here, not at the first text
    except Unsupported as error:
        raise Refused(f"not supported yet: {error}") from None
    return _general(file)


def _general(file: TokenizerFile) -> Vocabulary:
    """Return a vocabulary that C keeps, names and decodes, but by which Python encodes (`road.py`)."""
    # Normalizers and added tokens are Python's; C may do all that is left, or only what becomes of a piece.
    rest = replace(file, normalizers=(), added=[])
    spelled = _is_spelled(file)
    one_piece = replace(rest, pre_tokenizers=(ByteLevel(False, False, False),) if spelled else ())
    # "first" looks at where in the whole text a piece stands, which C is not told here.
    places = any(isinstance(step, Metaspace) and step.prepend_scheme == "first" for step in file.pre_tokenizers)
    ways = (("rest", None if places else rest), ("spelled pieces" if spelled else "pieces", one_piece))
    by_c, model = next(((name, found) for name, one in ways if one and (found := in_c(one)) is not None), ("", None))
    if model is None:
        model = BpeModel(
            vocab=file.model.vocab,
            merges=NO_MERGES,
            byte_level=False,
            unk_token=file.model.unk_token,
            **(template_ids(file.post_processors) or {}),
            **(decoding(file.decoders) or {}),
        )
    steps = to_notes(file, general_road=True, by_c=by_c)
    return replace(model, added=file.added, steps=steps, keep_names=True).vocabulary()


def _is_spelled(file: TokenizerFile) -> bool:
    """Return whether all characters of a piece spell bytes: behind ByteLevel nothing writes another character."""
    steps = file.normalizers + file.pre_tokenizers
    places = [place for place, step in enumerate(steps) if isinstance(step, ByteLevel | ByteLevelNormalizer)]
    behind = steps[places[0] + 1 :] if places else ()
    first_cut = len(file.normalizers)
    return bool(places) and places[0] + 1 >= first_cut and not any(isinstance(step, Metaspace) for step in behind)


def decoders(file: TokenizerFile) -> Decoders | None:
    """Return what decodes in Python; None where the bytes of tokens are enough, which C joins.

    Raises
    ------
    Unsupported
        A pattern has no translation.
    """
    if file.decoders is None or decoding(file.decoders) is not None:
        return None
    try:
        return Decoders(file.decoders)
    except ValueError as error:
        raise Unsupported(str(error)) from None


def in_c(file: TokenizerFile) -> BpeModel | None:
    """Return the file as one of the two kinds that C reads from text to ids; None where it is neither."""
    if not isinstance(file.model, Bpe):
        return None
    byte_level = any(isinstance(step, ByteLevel) for step in file.pre_tokenizers)
    found = [
        _byte_level(file) if byte_level else _characters(file),
        _added(file),
        template_ids(file.post_processors),
        {} if decoders(file) else decoding(file.decoders),
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
    model, cuts = file.model, _pattern(file.pre_tokenizers)
    if not isinstance(model, Bpe) or file.normalizers or cuts is None:
        return None
    if has_affixes(model) and (model.byte_fallback or model.ignore_merges):
        return None
    if model.byte_fallback and not model.vocab.keys() >= set(BYTE_CHARS):
        return None  # with all bytes there, none has to fall back
    if model.ignore_merges:
        # C looks for the token without the space; and by its bytes, which must be those that the token decodes to.
        by_bytes = decoding(file.decoders) == {"byte_chars": True} and set("".join(model.vocab)) <= set(BYTE_CHARS)
        if cuts["add_prefix_space"] or not by_bytes:
            return None
    fields = symbols(model) | {"byte_level": True, "whole_first": model.ignore_merges, "byte_fallback": False}
    return fields | cuts


def _pattern(steps: tuple[Any, ...]) -> Fields | None:
    """Return the pattern by which C cuts; None where it does not know it."""
    *splits, last = steps
    if not isinstance(last, ByteLevel):
        return None
    if not splits:
        pattern = lib.FE_PATTERN_GPT2 if last.use_regex else lib.FE_PATTERN_NONE
        return {"pattern": pattern, "add_prefix_space": last.add_prefix_space}
    if last.use_regex or last.add_prefix_space:  # a space before every piece, not only before the text
        return None
    if not all(isinstance(step, Split) and not step.literal for step in splits):
        return None
    known = known_pattern(*(step.pattern for step in splits), dialect="oniguruma")
    if known is None:
        return None
    # What stands between matches is a piece, too. Where the matches leave nothing between them, to drop what does not
    # match is the same.
    isolated = all(step.behavior == "Isolated" for step in splits)
    covering = known in COVERING and len(splits) == 1 and splits[0].behavior == "Removed" and splits[0].invert
    return {"pattern": int(known), "add_prefix_space": False} if isolated or covering else None


def _characters(file: TokenizerFile) -> Fields | None:
    """Return the fields of a model of characters."""
    if not isinstance(file.model, Bpe):
        return None
    return characters_in_c(file.normalizers, file.pre_tokenizers, file.model)


def _added(file: TokenizerFile) -> Fields | None:
    """Return an empty dict if C finds the added tokens as the file wants it."""
    strange = any(token.lstrip or token.rstrip or token.single_word for token in file.added)
    late = bool(file.normalizers) and any(token.late for token in file.added)
    return None if strange or late else {}


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


# ---------------------------------------------------------------- a tokenizer that is there


def cutter_of(core: Core, file: TokenizerFile | None) -> Splitter | Road | None:
    """Return what encodes texts with C's help or without; None where C does all of it. `file` is `file_of(core)`."""
    if file is not None and core.metadata.steps is not None and core.metadata.general_road:
        return Road(file, core, core.metadata.steps["by_c"])
    if core.metadata.pattern is None:
        return None
    return compile_pattern(core.metadata.pattern, core.metadata.dialect)
