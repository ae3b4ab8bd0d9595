"""Pre-tokenizers on the general road: each a function from one piece to pieces, exact, in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from . import components as parts
from .compiled import ffi, lib
from .patterns import Pattern, known_pattern
from .regex_split import compiled, spans
from .road_normal import to_byte_chars
from .road_text import Span, Stretch
from .step_classes import gpt2_pieces, one_of, script_of, words

Cut = Callable[[Stretch], list[Stretch]]
Find = Callable[[str], Iterator[Span]]


def pre_tokenizer(step: parts.PreTokenizer) -> Cut:
    """Return the function of a step, for pieces that are not empty.

    Raises
    ------
    ValueError
        Its pattern has no translation.
    ImportError
        Its pattern needs the package `regex`.
    """
    if isinstance(step, parts.ByteLevel):
        return _byte_level(step)
    if isinstance(step, parts.Split):
        return _split(step)
    if isinstance(step, parts.Metaspace):
        return _metaspace(step)
    if isinstance(step, parts.Digits):
        return _at("numeric", "Isolated" if step.individual_digits else "Contiguous")
    if isinstance(step, parts.Punctuation):
        return _at("punctuation", step.behavior)
    if isinstance(step, parts.CharDelimiterSplit):
        find = _finder(compiled(step.delimiter, "oniguruma", literal=True))
        return lambda piece: cut(piece, find(piece.text), "Removed")
    if isinstance(step, parts.FixedLength):
        size = step.length
        return lambda piece: [piece.part(at, at + size) for at in range(0, len(piece.text), size)]
    return {
        parts.Whitespace: lambda piece: cut(piece, _finder(words())(piece.text), "Removed", invert=True),
        parts.WhitespaceSplit: _at("space", "Removed"),
        parts.BertPreTokenizer: _bert,
        parts.UnicodeScripts: _scripts,
    }[type(step)]


def cut(piece: Stretch, matches: Iterator[Span], behavior: parts.Behavior, invert: bool = False) -> list[Stretch]:
    """Return a piece cut at matches, which ascend, as one of the five behaviours says.

    `invert` takes the matches for what is between them and the other way round. An empty match cuts, and is no piece.
    """
    spans = list(matches)
    size = len(piece.text)
    if not spans and not (invert and behavior == "Removed"):  # most pieces, behind another cut
        return [piece.again()]
    found = _marked(size, spans, invert)
    if behavior == "Isolated":
        return [piece.part(start, end) for start, end, _ in found if start < end]
    if behavior == "Removed":
        return [piece.part(start, end) for start, end, match in found if not match and start < end]
    return [piece.part(start, end) for start, end in _merged(found, behavior) if start < end]


def _marked(size: int, matches: list[Span], invert: bool) -> list[tuple[int, int, bool]]:
    """Return matches and what is between them, in order, and whether each is a match."""
    found: list[tuple[int, int, bool]] = []
    last = 0
    for start, end in matches:
        if last < start:
            found.append((last, start, invert))
        found.append((start, end, not invert))
        last = end
    if last < size:
        found.append((last, size, invert))
    return found


def _merged(found: list[tuple[int, int, bool]], behavior: parts.Behavior) -> list[Span]:
    """Return spans of which each match has joined the one before it, or behind it, or those beside it of its kind."""
    if behavior == "MergedWithNext":
        found.reverse()
    out: list[list[int]] = []
    before: bool | None = None if behavior == "Contiguous" else False
    for start, end, match in found:
        joins = match == before if behavior == "Contiguous" else match and not before
        if joins and out:
            out[-1] = [min(out[-1][0], start), max(out[-1][1], end)]
        else:
            out.append([start, end])
        before = match
    if behavior == "MergedWithNext":
        out.reverse()
    return [(start, end) for start, end in out]


def _finder(pattern: Any) -> Find:
    return lambda text: spans(pattern, text)


def _at(name: str, behavior: parts.Behavior) -> Cut:
    """Return what cuts at every character of a class."""
    pattern = one_of(name)
    return lambda piece: cut(piece, (match.span() for match in pattern.finditer(piece.text)), behavior)


def _split(step: parts.Split) -> Cut:
    known = None if step.literal else known_pattern(step.pattern, dialect="oniguruma")
    if known is not None:
        return lambda piece: cut(piece, known_pieces(known, piece.text), step.behavior, step.invert)
    find = _finder(compiled(step.pattern, "oniguruma", literal=step.literal))
    return lambda piece: cut(piece, find(piece.text), step.behavior, step.invert)


def known_pieces(pattern: Pattern, text: str) -> Iterator[Span]:
    """Yield the matches of a pattern that C knows and that leaves nothing between them."""
    utf8, count = text.encode(), ffi.new("int64_t *")
    ends = np.empty(len(utf8), np.int64)
    target = ffi.from_buffer("int64_t[]", ends, require_writable=True)
    status = lib.fe_split(int(pattern), lib.FE_PATH_SCALAR, utf8, len(utf8), target, ends.size, count)
    if status != lib.FE_OK:
        raise MemoryError("out of memory while tokenizing")
    first = at = 0
    for end in ends[: count[0]].tolist():
        start, at = at, at + (end - first if text.isascii() else len(utf8[first:end].decode()))
        first = end
        yield start, at


def _byte_level(step: parts.ByteLevel) -> Cut:
    def pieces(piece: Stretch) -> list[Stretch]:
        if step.add_prefix_space and not piece.text.startswith(" "):
            piece = piece.prepended(" ")
        if not step.use_regex:
            return [to_byte_chars(piece)]
        found = (match.span() for match in gpt2_pieces().finditer(piece.text))
        return [to_byte_chars(part) for part in cut(piece, found, "Isolated")]

    return pieces


def _metaspace(step: parts.Metaspace) -> Cut:
    mark, scheme = step.replacement, step.prepend_scheme
    find = _finder(compiled(mark, "oniguruma", literal=True))

    def pieces(piece: Stretch) -> list[Stretch]:
        piece = piece.same(piece.text.replace(" ", mark))
        wanted = scheme == "always" or (scheme == "first" and piece.base == 0)
        if wanted and not piece.text.startswith(mark):
            piece = piece.prepended(mark)
        return cut(piece, find(piece.text), "MergedWithNext") if step.split else [piece]

    return pieces


def _bert(piece: Stretch) -> list[Stretch]:
    at_space, at_punctuation = _at("space", "Removed"), _at("punctuation", "Isolated")
    return [part for word in at_space(piece) for part in at_punctuation(word)]


def _scripts(piece: Stretch) -> list[Stretch]:
    """Return the piece cut where the script changes; what is of none before the first script is lost."""
    starts, last = list[int](), 0
    for at, char in enumerate(piece.text):
        script = script_of(char)
        if script and script != last:
            starts.append(at)
            last = script
    return [piece.part(start, end) for start, end in pairwise([*starts, len(piece.text)])]
