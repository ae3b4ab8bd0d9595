"""Reading the parts of a pattern that stand for sets of code points: escapes and classes, in two dialects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from .code_sets import HEX_DIGIT, LAST, SPACE, CodeSet, any_case, common, complement, has_cased, named, union, word

Dialect = Literal["fancy", "oniguruma"]

_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7, "e": 27}
_PROPERTY = re.compile(r"[pP](?:\{(\^?)([^{}^]+)\}|([A-Za-z]))")
_CODE = re.compile(r"x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]{1,8})\}|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})")


@dataclass(frozen=True)
class Flags:
    any_case: bool = False
    line_anchors: bool = False
    dot_all: bool = False


class Reader:
    """The pattern and a place in it."""

    def __init__(self, pattern: str, dialect: Dialect) -> None:
        self.pattern = pattern
        self.at = 0
        self.dialect = dialect
        self.ruby = dialect == "oniguruma"
        self.flags = Flags(line_anchors=self.ruby)

    def refuse(self, what: str, place: int | None = None) -> NoReturn:
        place = self.at if place is None else place
        raise ValueError(
            f"the pattern cannot be used: {what} at character {place}: {self.pattern[place : place + 20]!r}"
        )

    def ahead(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def skip(self, text: str) -> bool:
        found = self.ahead(text)
        self.at += len(text) if found else 0
        return found

    def escape(self, in_class: bool = False) -> CodeSet | int:
        """Read the escape behind a backslash, if it stands for one code point or a set."""
        place, self.at = self.at, self.at + 1
        if self.at == len(self.pattern):
            self.refuse("a backslash with nothing behind it", place)
        char = self.pattern[self.at]
        if char in "pP":
            return self.property(place)
        if char in "xuU":
            return self.number(place)
        self.at += 1
        if char in _CONTROLS:
            return _CONTROLS[char]
        sets = {"d": named("Nd") or (), "s": SPACE, "w": word(self.dialect, in_class), "h": HEX_DIGIT}
        if char.lower() in sets:
            codes = sets[char.lower()]
            return codes if char.islower() else complement(codes)
        if char.isalnum() or (not self.ruby and (not char.isascii() or char in "<>")):
            self.refuse(f"the escape \\{char}", place)
        return ord(char)

    def property(self, place: int) -> CodeSet:
        found = _PROPERTY.match(self.pattern, self.at)
        if found is None or (self.ruby and found[3]):
            self.refuse("a property without a name in braces", place)
        self.at = found.end()
        name = found[2] or found[3]
        # "gc=" and "sc=" say which property is meant; no category is named like a script.
        codes = named(name if self.ruby else re.sub(r"^(gc|general_category|sc|script) *= *", "", name.lower()))
        if codes is None:
            self.refuse(f"the property {name!r}", place)
        return codes if (found[0][0] == "p") != (found[1] == "^") else complement(codes)

    def number(self, place: int) -> int:
        found = _CODE.match(self.pattern, self.at)
        if found is None or (self.ruby and found[4]):
            self.refuse("a code point in no known form", place)
        code = int(next(filter(None, found.groups())), 16)
        if code > LAST or 0xD800 <= code < 0xE000 or (self.ruby and found[1] and code > 0x7F):
            self.refuse("an escape that is no character", place)  # Oniguruma reads \xE9 as one byte of UTF-8
        self.at = found.end()
        return code

    def folded(self, codes: CodeSet, place: int) -> CodeSet:
        """Return the set with the other cases of its code points, where case does not count."""
        if not self.flags.any_case:
            return codes
        both = any_case(codes)
        if both is None:
            self.refuse("letters outside ASCII without regard to case", place)
        return both


class ClassReader(Reader):
    """A reader of classes: `[...]`, one inside another, with set operations."""

    def read_class(self) -> CodeSet:
        """Read a class from its bracket on."""
        open_classes: list[tuple[int, bool, list[CodeSet], CodeSet | None, str]] = []
        place, negated, items, left, operator = self.open_class()
        while True:
            if self.at >= len(self.pattern):
                self.refuse("a class that does not end", place)
            if self.skip("]"):
                codes = self.operate(left, operator, items)
                if self.ruby and self.flags.any_case and has_cased(codes):
                    self.refuse("a class of letters outside ASCII without regard to case", place)  # it has ß: finds ss
                codes = complement(codes) if negated else codes
                if not open_classes:
                    return codes
                place, negated, items, left, operator = open_classes.pop()
                items.append(codes)
            elif self.ahead("[:"):
                self.refuse("a POSIX bracket")
            elif self.ahead("["):
                open_classes.append((place, negated, items, left, operator))
                place, negated, items, left, operator = self.open_class()
            elif (found := self.pattern[self.at : self.at + 2]) in ("&&", "--", "~~") and (
                found == "&&" or not self.ruby
            ):
                if self.ruby and self.flags.any_case:
                    self.refuse("a set operation without regard to case")
                left, operator, items = self.operate(left, operator, items), found, []
                self.at += 2
            else:
                items.append(self.item(items))

    def open_class(self) -> tuple[int, bool, list[CodeSet], CodeSet | None, str]:
        place = self.at
        self.at += 1
        negated = self.skip("^")
        if self.ahead("]"):
            self.refuse("a class that starts with a closing bracket", place)
        return place, negated, [], None, ""

    def operate(self, left: CodeSet | None, operator: str, items: list[CodeSet]) -> CodeSet:
        right = union(*items)
        if left is None:
            return right
        if not items:
            self.refuse("a set operation with nothing on its right")
        if operator == "&&":
            return common(left, right)
        difference = common(left, complement(right))
        return difference if operator == "--" else union(difference, common(right, complement(left)))

    def item(self, items: list[CodeSet]) -> CodeSet:
        """Read one code point, a range or an escape."""
        place = self.at
        if self.ahead("-") and items and not self.ahead("-]"):
            self.refuse("a hyphen that neither makes a range nor ends the class")
        first = self.member()
        if isinstance(first, tuple):
            return self.folded(first, place)
        if not self.ahead("-") or self.ahead("-]") or self.ahead("--"):
            return self.folded(((first, first),), place)
        self.at += 1
        last = self.member() if self.at < len(self.pattern) and not self.ahead("[") else ()
        if isinstance(last, tuple) or last < first:
            self.refuse("a range without an end above its start", place)
        return self.folded(((first, last),), place)

    def member(self) -> CodeSet | int:
        if self.ahead("\\"):
            if self.pattern[self.at + 1 : self.at + 2] in ("b", "B"):
                self.refuse("the escape \\b in a class")
            return self.escape(in_class=True)
        self.at += 1
        return ord(self.pattern[self.at - 1])
