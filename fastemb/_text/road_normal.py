"""Normalizers on the general road: each a function of a stretch, exact, in Python."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from . import components as parts
from .charsmap import read_charsmap, replaced
from .regex_split import compiled, spans
from .road_text import Stretch
from .step_classes import one_of, small_letters
from .vocabulary import spelled

Normalize = Callable[[Stretch], Stretch]
Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

REMEMBERED = 1 << 14  # characters, and pairs of them: a text may hold a million different ones
_FORMS: dict[type, Form] = {parts.NFC: "NFC", parts.NFD: "NFD", parts.NFKC: "NFKC", parts.NFKD: "NFKD"}


def normalizer(step: parts.Normalizer) -> Normalize:
    """Return the function of a step.

    Raises
    ------
    ValueError
        Its pattern has no translation.
    ImportError
        Its pattern needs the package `regex`.
    """
    if type(step) in _FORMS:
        form = _FORMS[type(step)]
        return lambda text: normal_form(text, form)
    if isinstance(step, parts.BertNormalizer):
        return _bert(step)
    if isinstance(step, parts.Replace):
        return _replace(step)
    if isinstance(step, parts.Strip):
        return lambda text: _strip(text, step.strip_left, step.strip_right)
    if isinstance(step, parts.Prepend):
        return lambda text: text.prepended(step.prepend) if text.text else text
    if isinstance(step, parts.Precompiled):
        charsmap = read_charsmap(step.precompiled_charsmap)
        return lambda text: replaced(text, charsmap)
    return {
        parts.StripAccents: lambda text: _dropped(text, "marks"),
        parts.Lowercase: _lowercase,
        parts.Nmt: lambda text: _spaced(_dropped(text, "nmt gone"), "nmt spaces"),
        parts.ByteLevelNormalizer: to_byte_chars,
    }[type(step)]


def to_byte_chars(text: Stretch) -> Stretch:
    """Return each byte as the character that GPT-2's files write it by."""
    if text.text.isascii():
        return text.same(spelled(text.text.encode()))
    return text.mapped(lambda char: spelled(char.encode()))


def _dropped(text: Stretch, name: str) -> Stretch:
    """Return the text without the characters of a class."""
    gone = one_of(name)
    return text.kept(not gone.match(char) for char in text.text) if gone.search(text.text) else text


def _spaced(text: Stretch, name: str) -> Stretch:
    """Return the text with a space for each character of a class."""
    return text.same(one_of(name).sub(" ", text.text))


def _lowercase(text: Stretch) -> Stretch:
    small = small_letters()
    if "\u0130" in text.text:
        return text.mapped(lambda char: small.get(ord(char), char))
    return text.same(text.text.translate(small))


def _strip(text: Stretch, left: bool, right: bool) -> Stretch:
    space, first, end = one_of("space"), 0, len(text.text)
    while left and first < end and space.match(text.text[first]):
        first += 1
    while right and end > first and space.match(text.text[end - 1]):
        end -= 1
    return text.owned(text.text[first:end], [*range(first, end)]) if end - first < len(text.text) else text


def _bert(step: parts.BertNormalizer) -> Normalize:
    strip_accents = step.lowercase if step.strip_accents is None else step.strip_accents

    def normalize(text: Stretch) -> Stretch:
        if step.clean_text:
            text = _spaced(_dropped(text, "bert gone"), "bert spaces")
        if step.handle_chinese_chars and one_of("cjk").search(text.text):
            text = text.mapped(lambda char: f" {char} " if one_of("cjk").match(char) else char)
        if strip_accents:
            text = _dropped(normal_form(text, "NFD"), "nonspacing")
        return _lowercase(text) if step.lowercase else text

    return normalize


def _replace(step: parts.Replace) -> Normalize:
    pattern = compiled(step.pattern, "oniguruma", literal=step.literal)

    def normalize(text: Stretch) -> Stretch:
        found = list(spans(pattern, text.text)) if text.text else []
        return text.replaced(found, step.content) if found else text

    return normalize


# ---------------------------------------------------------------- normal forms


def normal_form(text: Stretch, form: Form) -> Stretch:
    """Return a text in a normal form of Unicode 9, in which younger code points are inert.

    Python's own tables are younger, but of the code points of Unicode 9 the forms never change
    (Unicode's policy of stability); so only younger ones have to be kept from them.
    """
    if text.text.isascii() or (not _young(text.text) and unicodedata.is_normalized(form, text.text)):
        return text
    chars = _decomposed(text.text, "NFD" if form in ("NFC", "NFD") else "NFKD")
    if form in ("NFC", "NFKC"):
        chars = _composed(chars)
    # Each output takes one character of the input, and as many more as it was composed of; one that a decomposition
    # added takes none. Which ones these are is a matter of their order alone, so marks that change places change
    # owners too.
    owners, at = list[int](), 0
    for _, more in chars:
        if more > 0:
            owners.append(max(at - 1, 0))
        else:
            owners.append(at)
            at += 1 - more
    return text.owned("".join([char for char, _ in chars]), owners)


def _young(text: str) -> bool:
    return one_of("young").search(text) is not None


@lru_cache(REMEMBERED)
def _is_young(char: str) -> bool:
    return _young(char)


def _combining(char: str) -> int:
    return 0 if _is_young(char) else unicodedata.combining(char)


def _decomposed(text: str, form: Form) -> list[tuple[str, int]]:
    """Return the characters in canonical order, each with 0, or 1 where it is one more than the text has."""
    found: list[tuple[str, int]] = []
    for char in text:
        parts = char if char < "\x80" or _is_young(char) else unicodedata.normalize(form, char)
        found += [(part, int(k > 0)) for k, part in enumerate(parts)]
    first = 0
    for end in range(len(found) + 1):  # marks between two starters are sorted, by their class alone
        if end == len(found) or not _combining(found[end][0]):
            if end - first > 1:
                found[first:end] = sorted(found[first:end], key=lambda one: _combining(one[0]))
            first = end + 1
    return found


def _composed(chars: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the characters composed; what one was composed of is taken from its number."""
    out: list[tuple[str, int]] = []
    starter, blocked = -1, 0  # the place of the last starter, and the class of the mark before, -1 behind the starter
    for char, more in chars:
        kind = _combining(char)
        if starter >= 0 and (blocked == -1 or (blocked < kind and kind)):
            pair = _pair(out[starter][0], char)
            if pair:
                out[starter] = pair, out[starter][1] + more - 1
                continue
        if kind == 0:
            starter, blocked = len(out), -1
        else:
            blocked = kind
        out.append((char, more))
    return out


@lru_cache(REMEMBERED)
def _pair(left: str, right: str) -> str:
    """Return the character that two compose to; empty where there is none."""
    if _is_young(left) or _is_young(right):
        return ""
    found = unicodedata.normalize("NFC", left + right)
    return found if len(found) == 1 else ""
