"""A regular expression → alternatives of items, which C runs as a program; None where it is more than that.

An alternative takes characters of one class after another, so many of each, looks at the class of the next one, and
may have English contractions in it: most published patterns are no more. csrc/program.h says what C makes of it, and
refuses what some text could make slow; so whether a program is taken is known when it is put into a chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import product

from .code_sets import ALL, CodeSet, complement, union
from .regex_class import Dialect
from .regex_dialect import FLAGS, NEWLINE, QUANTIFIER, Translator, translate

UNLIMITED = (1 << 31) - 1
MOST_ALTERNATIVES = 32
_DEEPEST = 4  # groups in groups


class ItemKind(IntEnum):
    """The numbers of fe_item_kind in fe.h."""

    END = 0
    CLASS = 1
    HOLD = 2
    NEXT = 3
    NOT_NEXT = 4
    CONTRACTION = 5
    ANY_CONTRACTION = 6


@dataclass(frozen=True)
class Item:
    """What an alternative asks for at one place."""

    kind: ItemKind
    codes: CodeSet = ()
    least: int = 1
    most: int = 1

    @property
    def one(self) -> bool:
        """Whether it is one character of a class."""
        return self.kind is ItemKind.CLASS and self.least == self.most == 1

    @property
    def fixed(self) -> bool:
        """Whether there is one way to match it at most: then what follows may be written out."""
        return self.kind is not ItemKind.CLASS or self.least == self.most


Alternative = tuple[Item, ...]

_SMALL = frozenset(["'s", "'t", "'m", "'d", "'re", "'ve", "'ll"])
_ANY = frozenset(
    "".join(chars)
    for text in _SMALL
    for chars in product(*(map(chr, _code) for _code in [(39,), *((ord(c), ord(c) - 32) for c in text[1:])]))
) | {"'\u017f"}


class _UnsayableError(Exception):
    """The pattern is more than alternatives of items."""


def program_of(pattern: str, dialect: Dialect) -> tuple[Alternative, ...] | None:
    """Return the alternatives of a pattern; None where it is more than that, or may match nothing.

    Raises
    ------
    ValueError
        The pattern is damaged or cannot be used at all, as `translate` says.
    """
    translate(pattern, dialect)
    try:
        return _ProgramReader(pattern, dialect).program()
    except _UnsayableError:
        return None


class _ProgramReader(Translator):
    """One pass over a pattern that `translate` has taken, so it is known to be well-formed."""

    def program(self) -> tuple[Alternative, ...]:
        alternatives = self.alternatives(0)
        if not all(any(_takes(item) for item in items) for items in alternatives):
            raise _UnsayableError  # a match of no characters
        return tuple(alternatives)

    def alternatives(self, depth: int) -> list[Alternative]:
        """Read up to the parenthesis that closes the group, or to the end."""
        if depth > _DEEPEST:
            raise _UnsayableError
        done: list[Alternative] = []
        here: list[Alternative] = [()]
        while self.at < len(self.pattern) and not self.ahead(")"):
            if self.skip("|"):
                done += here
                here = [()]
            else:
                here = _behind(here, self.part(depth))
        return [*done, *here]

    def part(self, depth: int) -> list[Alternative]:
        """Read an item or a group with its quantifier, as the alternatives that it is."""
        item = self.simple()
        group: list[Alternative] = self.group(depth) if item is None else [(item,)]
        if item is not None and item.kind is not ItemKind.CLASS:
            return group  # `translate` lets no quantifier follow
        found = QUANTIFIER.match(self.pattern, self.at)
        if found is None:
            return group
        self.at = found.end()
        least, most = self.bounds(found)
        hold = self.skip("+")
        if self.ahead("?") or most == 0:
            raise _UnsayableError
        if hold and self.ruby and found[0][0] == "{":  # a group of the interval, repeated
            if least != 1:
                raise _UnsayableError
            hold, most = False, None
        if len(group) == 1 and len(group[0]) == 1 and group[0][0].one:
            kind = ItemKind.HOLD if hold else ItemKind.CLASS
            return [(Item(kind, group[0][0].codes, least, UNLIMITED if most is None else most),)]
        if hold or (least, most) != (0, 1):
            raise _UnsayableError
        if len(group) == 1 and len(group[0]) == 1 and group[0][0].kind >= ItemKind.CONTRACTION:
            return [(replace(group[0][0], least=0),)]
        return [*group, ()]

    def simple(self) -> Item | None:
        """Read what is no group."""
        place, char = self.at, self.pattern[self.at]
        if char == "(":
            return None
        if char == "[":
            return Item(ItemKind.CLASS, self.read_class())
        self.at += 1
        if char == ".":
            return Item(ItemKind.CLASS, ALL if self.flags.dot_all else complement(NEWLINE))
        if char == "$":
            return Item(ItemKind.NOT_NEXT, complement(NEWLINE) if self.flags.line_anchors else ALL)
        if char == "^":
            raise _UnsayableError
        if char != "\\":
            return Item(ItemKind.CLASS, self.folded(((ord(char), ord(char)),), place))
        if self.skip("z"):
            return Item(ItemKind.NOT_NEXT, ALL)
        if self.pattern[self.at] in "AbB123456789":  # anchors and back references
            raise _UnsayableError
        self.at = place
        codes = self.escape()
        return Item(ItemKind.CLASS, self.folded(((codes, codes),) if isinstance(codes, int) else codes, place))

    def group(self, depth: int) -> list[Alternative]:
        """Read a group or a look-ahead."""
        outer = self.flags
        look = next((kind for text, kind in _LOOKS.items() if self.skip(text)), None)
        if look is None and not self.skip("(?:"):
            flags = FLAGS.match(self.pattern, self.at)
            if flags is not None and flags[3] == ":":
                self.flags = self.changed(flags)
                self.at = flags.end()
            elif self.ahead("(?"):
                raise _UnsayableError
            else:
                self.at += 1
        inside = self.alternatives(depth + 1)
        self.at += 1
        self.flags = outer
        ones = all(len(items) == 1 and items[0].one for items in inside)
        codes = union(*(items[0].codes for items in inside)) if ones else ()
        if look is not None:
            if not ones:
                raise _UnsayableError
            return [(Item(look, codes),)]
        if ones:
            return [(Item(ItemKind.CLASS, codes),)]
        texts = _texts(inside)
        if texts in (_SMALL, _ANY):
            return [(Item(ItemKind.CONTRACTION if texts == _SMALL else ItemKind.ANY_CONTRACTION),)]
        return inside


_LOOKS = {"(?!": ItemKind.NOT_NEXT, "(?=": ItemKind.NEXT}


def _takes(item: Item) -> bool:
    return item.kind not in (ItemKind.NEXT, ItemKind.NOT_NEXT) and item.least > 0


def _behind(before: list[Alternative], after: list[Alternative]) -> list[Alternative]:
    """Return what matches one of `before` and then one of `after`, in the order in which that is tried.

    The engine tries all of `after` behind one way to match what stands before, and then another way. So several are
    written out only where there is one way.
    """
    if len(after) > 1 and not all(item.fixed for items in before for item in items):
        raise _UnsayableError
    if len(before) * len(after) > MOST_ALTERNATIVES:
        raise _UnsayableError
    return [(*first, *second) for first in before for second in after]


def _texts(alternatives: list[Alternative]) -> frozenset[str] | None:
    """Return all texts that some alternatives match; None where they are many, or anything but single characters."""
    texts: set[str] = set()
    for items in alternatives:
        sizes = [sum(last - first + 1 for first, last in item.codes) for item in items]
        if not all(item.one for item in items) or not all(1 <= size <= 12 for size in sizes) or len(items) > 3:
            return None
        chars = [[chr(code) for first, last in item.codes for code in range(first, last + 1)] for item in items]
        texts.update(map("".join, product(*chars)))
    return frozenset(texts)
