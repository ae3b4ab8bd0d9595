"""What a `tokenizer.json` says about calls, as `calls.py` describes it."""

from __future__ import annotations

from collections.abc import Sequence

from .calls import A, B, Calls, Padding, Part, Side, Strategy, Template, Trim, Truncation, check_template, sides_of
from .components import BertProcessing, ByteLevel, RobertaProcessing, TemplatePiece, TemplateProcessing, TokenizerFile
from .vocabulary import DamagedVocabularyError

_SIDES: dict[str, Side] = {"Left": "left", "Right": "right"}
_STRATEGIES: dict[str, Strategy] = {
    "LongestFirst": "longest_first",
    "OnlyFirst": "only_first",
    "OnlySecond": "only_second",
}


def calls_of(file: TokenizerFile | None, before: Sequence[int] = (), after: Sequence[int] = ()) -> Calls:
    """Return what a file says about calls; of other files than `tokenizer.json` the ids around one text are given.

    Raises
    ------
    DamagedVocabularyError
        The template for one text leaves it out, has two texts, or other ids than those given.
    """
    if file is None:
        around = Part("", tuple(before), 0), A, Part("", tuple(after), 0)
        return Calls(single=tuple(part for part in around if part.text or part.ids))
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
    if (before or after) and sides_of(single) != ([*before], [*after]):
        raise DamagedVocabularyError("its template puts other ids around a text than its steps")
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
