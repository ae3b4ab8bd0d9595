"""The pre-tokenizers of a `tokenizer.json` → what C cuts by; None where it cannot be said to C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .chain import Chain, Keep, Step, chain_of
from .code_sets import ALL, SPACE, CodeSet, common, complement, word
from .compiled import lib
from .component_sets import numeric, punctuation
from .components import (
    BertPreTokenizer,
    ByteLevel,
    CharDelimiterSplit,
    Digits,
    FixedLength,
    PreTokenizer,
    Punctuation,
    Split,
    Whitespace,
    WhitespaceSplit,
)
from .patterns import COVERING, Pattern, known_pattern
from .program import Item, ItemKind, program_of

_KEEPS = {
    "Isolated": Keep.ALL,
    "Removed": Keep.GAPS,
    "MergedWithPrevious": Keep.BEHIND,
    "MergedWithNext": Keep.BEFORE,
    "Contiguous": Keep.RUNS,
}
# Matches and gaps change places: what was between two matches is one.
_INVERTED = _KEEPS | {"Removed": Keep.MATCHES, "MergedWithPrevious": Keep.BEFORE, "MergedWithNext": Keep.BEHIND}


@dataclass(frozen=True)
class Cuts:
    """What cuts the text in C."""

    pattern: int  # fe_pattern
    chain: Chain | None = None  # FE_PATTERN_PROGRAM: the steps
    byte_level: bool = False  # the text is written as bytes
    add_prefix_space: bool = False  # a space stands before a text that does not start with one


def cuts_in_c(steps: Sequence[PreTokenizer]) -> Cuts | None:
    """Return how C cuts as these steps do, one behind the other; None where it cannot.

    Parameters
    ----------
    steps : sequence of PreTokenizer
        Those of a file. No step but `ByteLevel` may change the text, so a file with `Metaspace` is none for this.
    """
    byte_level = [number for number, step in enumerate(steps) if isinstance(step, ByteLevel)]
    if len(byte_level) > 1:
        return None
    if len(steps) == 1 and isinstance(first := steps[0], ByteLevel):
        pattern = lib.FE_PATTERN_GPT2 if first.use_regex else lib.FE_PATTERN_NONE
        return Cuts(pattern, byte_level=True, add_prefix_space=first.add_prefix_space)
    chain: list[Step] = []
    at = 0
    while at < len(steps):
        of_bytes = bool(byte_level) and at > byte_level[0]
        taken, found = (0, None) if of_bytes else _known(steps[at:])
        if found is not None:
            chain.append(found)
        else:
            taken, more = 1, _steps(steps[at])
            if more is None:
                return None
            chain += [replace(step, of_bytes=of_bytes) for step in more]
        at += taken
    return _cuts(chain, bool(byte_level))


def _cuts(steps: list[Step], byte_level: bool) -> Cuts | None:
    """Return the cuts of steps, by a pattern that C knows where it is one."""
    if not steps:
        return Cuts(lib.FE_PATTERN_NONE, byte_level=byte_level)
    if len(steps) == 1 and steps[0].pattern != lib.FE_PATTERN_PROGRAM:
        return Cuts(steps[0].pattern, byte_level=byte_level)
    chain = chain_of(steps)
    return None if chain is None else Cuts(lib.FE_PATTERN_PROGRAM, chain, byte_level)


def _known(steps: Sequence[PreTokenizer]) -> tuple[int, Step | None]:
    """Return how many steps from the first on are a pattern that C knows, and that pattern."""
    match steps:
        case [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True), *_]:
            return 2, Step(pattern=int(Pattern.GPT2_DIGITS))
    regexes = []
    for step in steps:
        if not isinstance(step, Split) or step.literal or step.behavior not in ("Isolated", "Removed"):
            break
        if step.behavior == "Removed" and not step.invert:
            break
        regexes.append(step)
    for count in range(len(regexes), 0, -1):
        known = known_pattern(*(step.pattern for step in regexes[:count]), dialect="oniguruma")
        if known is None:
            continue
        # Where matches leave nothing between them, to drop what does not match is the same.
        isolated = all(step.behavior == "Isolated" for step in regexes[:count])
        if isolated or (count == 1 and known in COVERING):
            return count, Step(pattern=int(known))
    return 0, None


def _steps(step: PreTokenizer) -> list[Step] | None:
    """Return the steps of a chain that cut as this one does."""
    match step:
        case ByteLevel(add_prefix_space=True):
            return None  # it is put before every piece, not only before the text
        case ByteLevel():
            return [Step(pattern=int(Pattern.GPT2))] if step.use_regex else []
        case Split():
            return _split(step)
        case Digits():
            return [_one(numeric(), Keep.ALL if step.individual_digits else Keep.RUNS)]
        case Punctuation():
            return [_one(punctuation(), _KEEPS[step.behavior])]
        case Whitespace():
            letters = word("fancy")
            others = common(complement(letters), complement(SPACE))
            return [Step(tuple((_run(codes),) for codes in (letters, others)), Keep.MATCHES)]
        case WhitespaceSplit():
            return [_one(SPACE, Keep.GAPS)]
        case CharDelimiterSplit():
            return [_one(((ord(step.delimiter),) * 2,), Keep.GAPS)]
        case BertPreTokenizer():
            return [_one(SPACE, Keep.GAPS), _one(punctuation(), Keep.ALL)]
        case FixedLength():
            return [Step(((Item(ItemKind.CLASS, ALL, 1, step.length),),))]
        case _:
            return None


def _split(step: Split) -> list[Step] | None:
    keep = (_INVERTED if step.invert else _KEEPS)[step.behavior]
    if step.literal:
        items = tuple(Item(ItemKind.CLASS, ((ord(char),) * 2,)) for char in step.pattern)
        return [Step((items,), keep)] if items else None
    program = program_of(step.pattern, "oniguruma")
    return None if program is None else [Step(program, keep)]


def _one(codes: CodeSet, keep: Keep) -> Step:
    """Return the step of which each character of a set is a match."""
    return Step(((Item(ItemKind.CLASS, codes),),), keep)


def _run(codes: CodeSet) -> Item:
    return Item(ItemKind.CLASS, codes, 1, (1 << 31) - 1)
