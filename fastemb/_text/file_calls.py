"""What a `tokenizer.json` says about calls, as `calls.py` describes it."""

from __future__ import annotations

from dataclasses import replace

from .calls import A, B, Calls, Padding, Part, Side, Strategy, Template, Trim, Truncation, check_template
from .components import BertProcessing, ByteLevel, RobertaProcessing, TemplatePiece, TemplateProcessing, TokenizerFile
from .vocabulary import DamagedVocabularyError, Vocabulary

_SIDES: dict[str, Side] = {"Left": "left", "Right": "right"}
_STRATEGIES: dict[str, Strategy] = {
    "LongestFirst": "longest_first",
    "OnlyFirst": "only_first",
    "OnlySecond": "only_second",
}


def with_calls(vocabulary: Vocabulary, file: TokenizerFile) -> Vocabulary:
    """Return the vocabulary of a file with what the file says about calls."""
    return replace(vocabulary, metadata=replace(vocabulary.metadata, calls=calls_of(file).to_json()))


def calls_of(file: TokenizerFile) -> Calls:
    """Return what a file says about calls.

    Raises
    ------
    DamagedVocabularyError
        The template for one text leaves it out, or has two texts.
    """
    single: Template = (A,)
    pair: Template = (A, B)
    trims: list[Trim] = []
    has_template = False
    for step in file.post_processors:
        if isinstance(step, ByteLevel | RobertaProcessing) and step.trim_offsets:
            trims.append(Trim(step.add_prefix_space, has_template))
        if isinstance(step, ByteLevel):
            continue
        has_template = True
        if isinstance(step, TemplateProcessing):
            single, pair = _parts(step.single), _parts(step.pair)
        else:
            single, pair = _fixed(step)
    try:
        check_template(single, "A")
    except ValueError as error:
        raise DamagedVocabularyError(str(error)) from None
    truncation, padding = None, None
    if (cut := file.truncation) is not None:
        truncation = Truncation(cut.max_length, cut.stride, _STRATEGIES[cut.strategy], _SIDES[cut.direction])
    if (fill := file.padding) is not None:
        side = _SIDES[fill.direction]
        padding = Padding(fill.fixed, fill.pad_to_multiple_of, side, fill.pad_id, fill.pad_type_id)
    return Calls(single, pair, tuple(trims), truncation, padding)


def _parts(pieces: tuple[TemplatePiece, ...]) -> Template:
    parts = (Part(piece.text, piece.ids, piece.type_id) for piece in pieces)  # type: ignore[arg-type]
    return tuple(part for part in parts if part.text or part.ids)


def _fixed(step: BertProcessing | RobertaProcessing) -> tuple[Template, Template]:
    """Return the templates of BERT, where a pair has type 1, or of RoBERTa, which has two separators."""
    cls, sep = Part("", (step.cls[1],), 0), Part("", (step.sep[1],), 0)
    if isinstance(step, RobertaProcessing):
        return (cls, A, sep), (cls, A, sep, sep, B._replace(type_id=0), sep)
    return (cls, A, sep), (cls, A, sep, B, sep._replace(type_id=1))
