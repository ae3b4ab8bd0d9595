"""Cutting text with any regular expression, through the `regex` package: for patterns that C does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from .regex_class import Dialect
from .regex_dialect import translate


class Splitter:
    """Compiled patterns that cut texts into pieces; each pattern cuts the pieces of the one before it."""

    def __init__(self, patterns: Sequence[Any], keep_gaps: bool) -> None:
        self._patterns = patterns
        self._keep_gaps = keep_gaps

    def pieces(self, text: str) -> list[str]:
        """Return the pieces of a text in their order, none of them empty.

        Pieces are the matches and, in the Oniguruma dialect, the text between them. The text has no surrogates.
        """
        pieces = self._pieces(self._patterns[0], text)
        for pattern in self._patterns[1:]:
            pieces = [part for piece in pieces for part in self._pieces(pattern, piece)]
        return pieces

    def _pieces(self, pattern: Any, text: str) -> list[str]:
        found: list[str] = pattern.findall(text) if not pattern.groups else [one[0] for one in pattern.finditer(text)]
        # An empty match gives no piece, but the engines do not agree on where the search goes on after it.
        if "" in found:
            return self._cut(text, spans(pattern, text))
        if self._keep_gaps and sum(map(len, found)) < len(text):
            return self._cut(text, (match.span() for match in pattern.finditer(text)))
        return found

    def _cut(self, text: str, spans: Iterator[tuple[int, int]]) -> list[str]:
        pieces = []
        last = 0
        for first, end in spans:
            if self._keep_gaps:
                pieces.append(text[last:first])
            pieces.append(text[first:end])
            last = end
        if self._keep_gaps:
            pieces.append(text[last:])
        return [piece for piece in pieces if piece]


def spans(pattern: Any, text: str) -> Iterator[tuple[int, int]]:
    """Yield the matches as tiktoken and tokenizers find them: after an empty one, from the next character on.

    An empty match at the end of the match before it is passed over.
    """
    at, last = 0, -1
    while at <= len(text) and (match := pattern.search(text, at)):
        first, end = match.span()
        at = end + (first == end)
        if first < end or end != last:
            yield first, end
        last = end


def compile_pattern(pattern: str | Sequence[str], dialect: Dialect) -> Splitter:
    """Return a splitter that cuts texts by the pattern.

    Parameters
    ----------
    pattern : str or sequence of str
        A regular expression, or several, each of which cuts the pieces of the one before it.
    dialect : {"fancy", "oniguruma"}
        The syntax, and what becomes of text that no match covers: "fancy" as tiktoken reads patterns, which drops it;
        "oniguruma" as tokenizers reads those in a `tokenizer.json`, which keeps it as pieces.

    Raises
    ------
    ValueError
        The pattern is damaged, or holds something that has no translation.
    ImportError
        The package `regex` is missing.
    """
    patterns = [pattern] if isinstance(pattern, str) else pattern
    return Splitter([compiled(text, dialect) for text in patterns], keep_gaps=dialect == "oniguruma")


@lru_cache(64)
def compiled(pattern: str, dialect: Dialect, literal: bool = False) -> Any:
    """Return one pattern as it is searched with; a `literal` one stands for its own characters.

    Raises
    ------
    ValueError, ImportError
        As `compile_pattern`.
    """
    if literal:
        return re.compile(re.escape(pattern))
    translated = translate(pattern, dialect)
    try:
        import regex
    except ImportError:
        raise ImportError(
            f"the pattern {pattern!r} is none of those that fastemb cuts by itself, and for others the package regex "
            "is needed: pip install 'fastemb[regex]'"
        ) from None
    try:
        return regex.compile(translated, regex.V1)
    except (regex.error, RecursionError) as error:
        raise ValueError(f"the pattern {pattern!r} cannot be used: {error}") from None
