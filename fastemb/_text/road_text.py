"""A stretch of text on the general road: its characters, and which characters of the raw text each one stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

Span = tuple[int, int]


class Stretch(NamedTuple):
    """A part of a text, normalised or not, in which every character knows where in the raw text it comes from.

    Character k is of the raw characters from `starts[k]` up to `ends[k]`. Of a part that nothing has changed these are
    ranges, so that to cut it costs nothing. `base` is the raw place at which the part was cut out; its first character
    may have been dropped since.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    base: int

    def part(self, start: int, end: int) -> Stretch:
        """Return the characters from `start` up to `end`, which is more."""
        starts = self.starts[start:end]
        return Stretch(self.text[start:end], starts, self.ends[start:end], starts[0])

    def again(self) -> Stretch:
        """Return the whole stretch as a part of itself, which begins where its first character comes from."""
        return self if self.starts[0] == self.base else self._replace(base=self.starts[0])

    def owned(self, text: str, owners: list[int]) -> Stretch:
        """Return a new text whose characters stand for the characters of this one of these numbers.

        -1 is a character put before the first one where none was replaced: it stands for nothing, at `base`.
        """
        starts = [self.starts[k] if k >= 0 else self.base for k in owners]
        ends = [self.ends[k] if k >= 0 else self.base for k in owners]
        return Stretch(text, starts, ends, self.base)

    def same(self, text: str) -> Stretch:
        """Return this stretch with another text of as many characters, one for one."""
        return self._replace(text=text)

    def kept(self, keep: Iterable[bool]) -> Stretch:
        """Return this stretch without some of its characters."""
        owners = [k for k, on in enumerate(keep) if on]
        return self.owned("".join([self.text[k] for k in owners]), owners)

    def mapped(self, made: Callable[[str], str]) -> Stretch:
        """Return what each character becomes: any number of characters, which all stand for it."""
        parts = list(map(made, self.text))
        return self.owned("".join(parts), [k for k, part in enumerate(parts) for _ in part])

    def replaced(self, spans: Iterable[Span], content: str) -> Stretch:
        """Return the stretch with some spans replaced; what is put in stands for the last character of its span.

        Where a span is empty it stands for the character before.
        """
        parts, owners, last = list[str](), list[int](), 0
        for start, end in spans:
            parts += [self.text[last:start], content]
            owners += range(last, start)
            owners += [end - 1] * len(content)
            last = end
        owners += range(last, len(self.text))
        return self.owned("".join([*parts, self.text[last:]]), owners)

    def prepended(self, text: str) -> Stretch:
        """Return the stretch, which is not empty, with a text before it that stands for its first character."""
        return self.owned(text + self.text, [0] * len(text) + [*range(len(self.text))])


def whole(text: str) -> Stretch:
    """Return all of a raw text."""
    return Stretch(text, range(len(text)), range(1, len(text) + 1), 0)
