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
    StripDecoder,
    TemplateProcessing,
    TokenizerFile,
    Unigram,
)
from .core import Core
from .decoders import Decoders
from .file_calls import calls_of
from .placing import may_need_road
from .plan_chars import PREPEND_MARK, SPACE_TO_MARK, characters_in_c, has_affixes, symbols
from .plan_cuts import Cuts, cuts_in_c
from .plan_normal import finds_added, normal_in_c
from .plan_unigram import KEEP_STARTS, Scored, unigram_in_c, with_scores
from .plan_words import words_in_c
from .regex_split import Splitter, compile_pattern
from .road import Road
from .saved_steps import to_notes
from .sentencepiece_road import PieceDecoders, PieceRoad, is_piece_model
from .tokenizer_json import Refused
from .vocabulary import BYTE_CHARS, NO_MERGES, Vocabulary

Fields = dict[str, Any]  # of a BpeModel

# What decoding does to the whole text, in the only order in which acting on tokens one by one is the same.
_TEXT_DECODERS = (Replace(MARK, True, " "), ByteFallback(), Fuse(), StripDecoder(" ", 1, 0))


def plan(file: TokenizerFile, keep_merges: bool = False) -> Vocabulary:
    """Return the vocabulary of a file, by the fastest road that is exact; with its merges, from which it is saved."""
    try:
        calls_of(file)
    except ValueError as error:
        raise Refused(f"damaged tokenizer file: {error}") from None
    try:
        decoders(file)
        template = template_ids(file.post_processors)
        # C keeps the tokens of words as the file writes them: what they decode to is made of that, or they are joined.
        decoded = file.decoders is None or decoding(file.decoders) is None
        words = words_in_c(file, **template) if decoded else None
        if words is not None:
            return replace(words, metadata=replace(words.metadata, steps=to_notes(file, general_road=False)))
        if isinstance(file.model, Unigram):
            scored = unigram_in_c(file)
            if scored is not None:
                return decoded_vocabulary(file, scored, to_notes(file, general_road=False))
        model = in_c(file)
        if model is not None:
            kept = keep_merges or may_need_road(file, model.prepend_mark)
            return replace(model, steps=to_notes(file, False, keep_merges=kept)).vocabulary()
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
    if isinstance(file.model, Unigram):
        return _general_unigram(file, rest)
    places = any(isinstance(step, Metaspace) and step.prepend_scheme == "first" for step in file.pre_tokenizers)
    ways = (("rest", None if places else rest), ("spelled pieces" if spelled else "pieces", one_piece))
    by_c, model = next(((name, found) for name, one in ways if one and (found := in_c(one)) is not None), ("", None))
    if model is None:
        model = BpeModel(
            vocab=file.model.vocab,
            merges=NO_MERGES,
            byte_level=False,
            unk_token=file.model.unk_token,
            **template_ids(file.post_processors),
            **(decoding(file.decoders) or {}),
        )
    steps = to_notes(file, general_road=True, by_c=by_c)
    return replace(model, added=file.added, steps=steps, keep_names=True).vocabulary()


def _general_unigram(file: TokenizerFile, rest: TokenizerFile) -> Vocabulary:
    """Return the vocabulary of pieces that have scores: behind any cuts C makes ids of a piece."""
    first = any(isinstance(step, Metaspace) and step.prepend_scheme == "first" for step in file.pre_tokenizers)
    scored, by_c = None if first else unigram_in_c(rest), "rest"
    if scored is None:
        scored, by_c = unigram_in_c(replace(rest, pre_tokenizers=())), "pieces"
    if scored is None:
        raise Unsupported("a Unigram model that the C core does not take")
    return decoded_vocabulary(file, scored, to_notes(file, general_road=True, by_c=by_c))


def decoded_vocabulary(file: TokenizerFile, scored: Scored, steps: dict[str, Any]) -> Vocabulary:
    """Return a vocabulary of pieces that have scores, with all that decoding takes."""
    model = BpeModel(
        vocab=file.model.vocab,
        merges=NO_MERGES,
        byte_level=False,
        unk_token=file.model.unk_token,
        added=file.added,
        steps=steps,
        keep_names=True,
        **template_ids(file.post_processors),
        **({} if decoders(file) else decoding(file.decoders) or {}),
    )
    return with_scores(model.vocabulary(), file.model, scored)


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
    model, cuts, normal = file.model, _pattern(file.pre_tokenizers), normal_in_c(file.normalizers)
    if not isinstance(model, Bpe) or normal is None or cuts is None:
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
    return fields | cuts | {"normal": normal.steps}


def _pattern(steps: tuple[Any, ...]) -> Fields | None:
    """Return what C cuts by; None where it cannot."""
    cuts = _cuts(steps)
    if cuts is None or not cuts.byte_level:
        return None
    return {"pattern": cuts.pattern, "chain": cuts.chain, "add_prefix_space": cuts.add_prefix_space}


def _cuts(steps: tuple[Any, ...]) -> Cuts | None:
    """Return what C cuts by; None where it cannot, or a pattern is at fault, which the general road says."""
    try:
        return cuts_in_c(steps)
    except ValueError:
        return None


def _characters(file: TokenizerFile) -> Fields | None:
    """Return the fields of a model of characters."""
    model, steps = file.model, file.normalizers
    if not isinstance(model, Bpe):
        return None
    late = any(token.late for token in file.added)
    # C writes SentencePiece's marks as it reads a segment: behind the other steps, and unseen by late tokens.
    at = next((i for i, step in enumerate(steps) if {*steps[i:]} <= {PREPEND_MARK, SPACE_TO_MARK}), len(steps))
    steps, marks = (steps, steps[:0]) if late else (steps[:at], steps[at:])
    fields, normal = characters_in_c(marks, file.pre_tokenizers, model), normal_in_c(steps)
    if fields is None or normal is None:
        return _cut_characters(file)
    if fields["prepend_first"] and not {*map(type, steps)} <= KEEP_STARTS:
        return None
    return fields | {"normal": normal.steps}


def _cut_characters(file: TokenizerFile) -> Fields | None:
    """Return the fields of a model of characters that other pre-tokenizers cut, which see marks as characters."""
    cuts, normal = _cuts(file.pre_tokenizers), normal_in_c(file.normalizers)
    fields = None
    # C looks for whole segments, not for pieces, and lets a run of unknown symbols go on from piece to piece.
    if isinstance(file.model, Bpe) and not (file.model.ignore_merges or file.model.fuse_unk):
        fields = characters_in_c((), (), file.model)
    if cuts is None or normal is None or fields is None:
        return None
    return fields | {"normal": normal.steps, "pattern": cuts.pattern, "chain": cuts.chain}


def _added(file: TokenizerFile) -> Fields | None:
    """Return an empty dict if C finds the added tokens as the file wants it."""
    if not any(token.late for token in file.added):
        return {}
    normal = normal_in_c(file.normalizers)
    return {} if normal is not None and finds_added(normal, file.added) else None


# ---------------------------------------------------------------- ids → ids, and → text


def template_ids(steps: tuple[Any, ...]) -> Fields:
    """Return the ids that stand before and behind one text, if all that the template does is to put them there."""
    before: list[int] = []
    after: list[int] = []
    for step in steps:
        if isinstance(step, BertProcessing | RobertaProcessing):
            before, after = [step.cls[1]], [step.sep[1]]
        elif isinstance(step, TemplateProcessing):
            texts = [place for place, piece in enumerate(step.single) if piece.text]
            if len(texts) != 1:  # there is more to it, which `calls.py` knows
                return {"before": [], "after": []}
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


def decoders_of(core: Core, file: TokenizerFile | None) -> Decoders | None:
    """Return what decodes in Python; None where the bytes of tokens are enough. `file` is `file_of(core)`."""
    if is_piece_model(core):
        return PieceDecoders(core)
    return None if file is None else decoders(file)


def cutter_of(core: Core, file: TokenizerFile | None) -> Splitter | Road | None:
    """Return what encodes texts with C's help or without; None where C does all of it. `file` is `file_of(core)`."""
    if is_piece_model(core):
        return PieceRoad(core) if core.metadata.general_road else None
    if file is not None and core.metadata.steps is not None and core.metadata.general_road:
        return Road(file, core, core.metadata.steps["by_c"])
    if core.metadata.pattern is None:
        return None
    return compile_pattern(core.metadata.pattern, core.metadata.dialect)
