"""Rewriting a pattern for the `regex` package so that it means there what it means in the dialect it was written in.

Every class and every letter without regard to case becomes explicit ranges of Unicode 16.0, so neither the package's
own tables nor its case folding (which would find ß for ss) have a say. What has no exact translation is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from .code_sets import ALL, CodeSet, class_text, complement, has_cased, word
from .regex_class import ClassReader, Dialect, Flags

_NEWLINE: CodeSet = ((10, 10),)
_START = r"(?<![\x00-\U0010ffff])"
_END = r"(?![\x00-\U0010ffff])"
_LINE_START = r"(?:(?<![\x00-\U0010ffff])|(?<=\x0a))"
_LINE_END = r"(?=\x0a|(?![\x00-\U0010ffff]))"
_QUANTIFIER = re.compile(r"[*+?]|\{(?:(?P<least>[0-9]{1,5})(?P<comma>,)?(?P<most>[0-9]{1,5})?|,(?P<up>[0-9]{1,5}))\}")
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]*))?([:)])")
_LOOK_BEHINDS = ("(?<=", "(?<!")
_LOOKS = (*_LOOK_BEHINDS, "(?=", "(?!")
_OPENINGS = (*_LOOKS, "(?:", "(?>")
_REFERENCE = re.compile(r"\\[1-9]")
_NAME = re.compile(r"\(\?P?<[A-Za-z_][A-Za-z0-9_]*>")
# Oniguruma finds one character for these two letters in a row, without regard to case.
_LIGATURES = {"ss", "st", "ff", "fi", "fl"}


@dataclass
class _Group:
    """An open parenthesis."""

    place: int  # in the pattern
    start: int  # in the output
    flags: Flags  # those outside
    look: bool = False  # a look-around, which takes no text
    back: bool = False  # inside a look-behind, which `regex` matches from right to left
    isolated: bool = False  # opened by `(?i)`, which in Ruby's syntax reaches to the end of the group around it
    empty: bool = True  # whether what was read of this alternative can match nothing
    some_empty: bool = False  # whether an alternative before it can
    number: int = 0  # of what it captures, where a reference needs it


@dataclass
class _Atom:
    """What a quantifier would repeat."""

    start: int  # in the output
    empty: bool
    once: str = ""  # what it is, if no quantifier may follow


def translate(pattern: str, dialect: Dialect) -> str:
    """Return the pattern in the syntax of `regex.V1`; groups capture only where a reference needs one.

    Raises
    ------
    ValueError
        Something in the pattern has no translation; the message names it and its place.
    """
    return _Translator(pattern, dialect).run()


class _Translator(ClassReader):
    """One pass over the pattern; what is open is a list, so no depth of groups is too much."""

    def run(self) -> str:
        self.out: list[str] = []
        self.groups = [_Group(0, 0, self.flags)]
        self.last: _Atom | None = None
        self.letter = ""  # the literal just read, where case does not count
        self.captures = self.ruby and _REFERENCE.search(self.pattern) is not None
        self.opened: list[int] = []  # by its number, where each captured group begins in the output
        self.closed: dict[int, bool] = {}  # the groups that may be referred to, and whether each can match nothing
        while self.at < len(self.pattern):
            self.step(self.pattern[self.at])
        while self.groups[-1].isolated:
            self.close()
        if len(self.groups) > 1:
            self.refuse("a group that does not end", self.groups[-1].place)
        return "".join(self.out)

    def step(self, char: str) -> None:
        if char == "(":
            self.open()
        elif char == ")":
            while self.groups[-1].isolated:
                self.close()
            if len(self.groups) == 1:
                self.refuse("a closing parenthesis without an opening one")
            self.close()
            self.at += 1
        elif char == "|":
            self.put("|", None)
            group = self.groups[-1]
            group.some_empty |= group.empty
            group.empty = True
            self.at += 1
        elif char in "*+?{":
            self.quantify()
        elif char in "^$":
            start, end = (_LINE_START, _LINE_END) if self.flags.line_anchors else (_START, _END)
            if self.ruby:
                start = rf"(?:{_START}|(?<=\x0a)(?!{_END}))"  # no line starts at the end
            self.put(start if char == "^" else end, None)
            self.at += 1
        elif char == ".":
            self.put(class_text(ALL if self.flags.dot_all else complement(_NEWLINE)))
            self.at += 1
        elif char == "[":
            self.put(class_text(self.read_class()))
        elif char == "\\":
            self.escaped()
        else:
            self.literal(ord(char), self.at)
            self.at += 1

    def escaped(self) -> None:
        place, char = self.at, self.pattern[self.at + 1 : self.at + 2]
        letters = class_text(word(self.dialect))
        anchors = {
            "A": _START,
            "z": _END,
            "b": f"(?:(?<={letters})(?!{letters})|(?<!{letters})(?={letters}))",
            "B": f"(?:(?<={letters})(?={letters})|(?<!{letters})(?!{letters}))",
        }
        if self.captures and char in "123456789" and char:
            self.refer(place, int(char))
            return
        if char in anchors and char:
            self.at += 2
            if self.ahead("{") and char in "bB":
                self.refuse("a word boundary with a kind", place)
            self.put(anchors[char], None)
            return
        codes = self.escape()
        if isinstance(codes, int):
            self.literal(codes, place)
            return
        if self.flags.any_case and self.ruby and char in "pP" and has_cased(codes):
            self.refuse("letters outside ASCII without regard to case", place)
        self.put(class_text(self.folded(codes, place)))

    def refer(self, place: int, number: int) -> None:
        """Write a reference to what a group matched."""
        self.at += 2
        empty = self.closed.get(number)
        if empty is None or empty or self.flags.any_case or self.groups[-1].back or self.digit_ahead():
            # One to a group that is open, repeated or without text; or one that is not certain to mean the same.
            self.refuse("this back reference", place)
        self.put(f"(?:\\{number})")

    def digit_ahead(self) -> bool:
        return self.pattern[self.at : self.at + 1].isdecimal()

    def literal(self, code: int, place: int) -> None:
        before = self.letter
        self.put(class_text(self.folded(((code, code),), place)))
        if self.ruby and self.flags.any_case:
            self.letter = chr(code).lower()
            if before + self.letter in _LIGATURES:
                self.refuse(f"{before + self.letter!r} without regard to case, which finds ligatures and ß,", place)

    def put(self, text: str, atom: Literal["atom"] | None = "atom") -> None:
        """Write something that takes one character, or (with None) something that takes none."""
        self.letter = ""
        self.settle(_Atom(len(self.out), empty=False) if atom else None)
        self.out.append(text)

    def settle(self, atom: _Atom | None) -> None:
        """Take note of the atom before, which no quantifier can follow any more, and of the one that comes now."""
        self.groups[-1].empty &= self.last is None or self.last.empty
        self.last = atom

    def open(self) -> None:
        place = self.at
        if self.ahead("(?#"):
            end = self.pattern.find(")", place)
            if end < 0 or "\\" in self.pattern[place:end]:
                self.refuse("a comment that does not end or holds a backslash")
            self.at = end + 1
            return
        inner, opening, isolated, number = self.flags, "(?:", False, 0
        if not self.ahead("(?"):
            self.at += 1
            if self.captures:
                self.opened.append(len(self.out))
                opening, number = "(", len(self.opened)
        elif (found := next(filter(self.ahead, _OPENINGS), None)) is not None:
            opening = found
            self.at += len(found)
        elif (name := _NAME.match(self.pattern, place)) and not (self.ruby and "P" in name[0]):
            if self.captures:
                self.refuse("a group with a name beside a back reference", place)
            self.at = name.end()
        elif flags := _FLAGS.match(self.pattern, place):
            inner = self.changed(flags)
            self.at = flags.end()
            isolated = flags[3] == ")"
            if isolated and not self.ruby:
                if len(self.groups) > 1:
                    self.refuse("flags for the rest of a group", place)  # fancy-regex lets some reach beyond it
                self.settle(None)
                self.flags = inner  # holds to the end of the group around it
                return
        else:
            self.refuse("this kind of group")
        back = self.groups[-1].back or opening in _LOOK_BEHINDS
        if self.groups[-1].back and opening in _LOOKS:
            self.refuse("a look-around in a look-behind", place)
        if back and opening == "(?>":
            self.refuse("an atomic group in a look-behind", place)
        self.settle(None)
        look = opening in _LOOKS
        start = len(self.out)
        self.groups.append(_Group(place, start, self.flags, look=look, back=back, isolated=isolated, number=number))
        self.out.append(opening)
        self.flags = inner

    def changed(self, found: re.Match[str]) -> Flags:
        """Return the flags as a group sets them."""
        known = (
            {"i": "any_case", "m": "dot_all"} if self.ruby else {"i": "any_case", "m": "line_anchors", "s": "dot_all"}
        )
        flags = self.flags
        for letters, on in ((found[1], True), (found[2] or "", False)):
            for letter in letters:
                if letter == "u" and on and not self.ruby:
                    continue  # Unicode is what it is anyway
                if letter not in known:
                    self.refuse(f"the flag {letter!r}")
                flags = replace(flags, **{known[letter]: on})
        return flags

    def close(self) -> None:
        self.settle(None)
        group = self.groups.pop()
        self.out.append(")")
        self.flags = group.flags
        empty = group.look or group.empty or group.some_empty
        if group.number and not any(one.look for one in self.groups):
            self.closed[group.number] = empty
        self.last = _Atom(group.start, empty, "group that takes no text" if group.look or group.isolated else "")

    def quantify(self) -> None:
        place, atom = self.at, self.last
        found = _QUANTIFIER.match(self.pattern, place)
        if found is None:
            self.refuse("a brace that is no quantifier")
        if atom is None:
            self.refuse("a quantifier with nothing to repeat")
        if atom.once:
            self.refuse(f"a quantifier on a {atom.once}")
        least, most = self.bounds(found)
        for number, start in enumerate(self.opened, 1):
            if start >= atom.start:  # what it matched last is gone where the repetition took that back
                self.closed.pop(number, None)
        if atom.empty and most != 1:
            self.refuse("a repeated group that can match nothing")
        self.at = found.end()
        text = found[0] if found["up"] is None else f"{{0,{found['up']}}}"
        interval = found[0][0] == "{"
        if self.skip("?"):
            # In Ruby's syntax {n}? is a choice of n or none; elsewhere it is n.
            text += "?" if not (interval and least == most) else ""
            if self.ruby and interval and least == most:
                text, least = self.wrap(atom, text, "?"), 0
        elif self.skip("+"):
            if self.groups[-1].back:
                self.refuse("a possessive quantifier in a look-behind", place)
            if self.ruby and interval:
                if not least:
                    self.refuse("a repeated interval that can match nothing", place)
                text = self.wrap(atom, text, "+")
            else:
                text += "+"
        self.out.append(text)
        self.last = _Atom(atom.start, atom.empty or least == 0, "quantifier")

    def bounds(self, found: re.Match[str]) -> tuple[int, int | None]:
        """Return how often at least and at most."""
        if found[0] in "*+?":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[0]]
        if found["up"] is not None:
            return 0, int(found["up"])
        least = int(found["least"])
        most = int(found["most"]) if found["most"] else None if found["comma"] else least
        if (found["most"] and not found["comma"]) or (most is not None and most < least):
            self.refuse("a quantifier whose bounds are not in order")
        return least, most

    def wrap(self, atom: _Atom, inner: str, outer: str) -> str:
        self.out.insert(atom.start, "(?:")
        return f"{inner}){outer}"
