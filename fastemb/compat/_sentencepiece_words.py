"""The texts that a SentencePiece model is trained on → words, across whose ends no piece reaches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from .._text.sentencepiece_charsmap import Charsmap
from .._text.sentencepiece_file import MARK, NormalizerSpec
from .._text.sentencepiece_normal import Normalizer, Symbols
from .._text.train_scores import script
from .._words import shown

_DIGITS = frozenset("0123456789" + "".join(map(chr, range(0xFF10, 0xFF1A))))
_REMEMBERED = 1 << 20  # words
_script = cache(script)
_ANY = -1  # the script of what goes with any other

Parts = Callable[[str], Iterable[str]]


def words_of(
    lines: Iterable[bytes], spec: NormalizerSpec, asked: dict[str, Any], pretokenizer: Parts | None, may_differ: bool
) -> Iterator[str]:
    """Yield the words of texts: normalized, cut before each mark, and where scripts or digits meet others.

    Raises
    ------
    ValueError
        A text is no UTF-8.
    RuntimeError
        What the pretokenizer returns is not its text put together.
    """
    symbols = sorted({*asked["user_defined_symbols"]}, key=len, reverse=True)
    normalize = Normalizer(spec, Symbols([one.encode() for one in symbols]) if symbols else None)
    apart = re.compile("|".join(map(re.escape, symbols))) if symbols else None
    in_words = apart is None and pretokenizer is None and _is_word_by_word(spec)
    stays = _still(spec) if in_words else None
    found: dict[bytes, list[str]] = {}

    def cut(normalized: str) -> list[str]:
        return [part for word in _marked(normalized) for part in _by_script(word, asked["split_digits"])]

    for number, line in enumerate(lines):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"text {number} is no UTF-8 at byte {error.start}") from None
        for stretch in line.split(b" ") if in_words else (line,):
            words = found.get(stretch)
            if words is None:
                is_still = stays is not None and stays(stretch) is not None
                text = MARK + stretch.decode() if is_still else normalize(stretch)[0].decode()
                stretches = [text] if apart is None else apart.split(text)
                if pretokenizer is not None:
                    stretches = [part for one in stretches for part in _tokenized(one, pretokenizer, may_differ)]
                words = [word for one in stretches for word in cut(one)]
                if in_words:
                    if len(found) >= _REMEMBERED:
                        found.clear()
                    found[stretch] = words
            yield from words


def _is_word_by_word(spec: NormalizerSpec) -> bool:
    """Return whether what is between spaces is normalized by itself, so that it can be remembered."""
    if not (spec.add_dummy_prefix and spec.remove_extra_whitespaces):
        return False
    return not Charsmap(spec.charsmap).has(ord(" "))


def _still(spec: NormalizerSpec) -> Callable[[bytes], Any]:
    """Return what finds out that a word is of ASCII with which no rule of ASCII alone begins: it stays as it is."""
    begins = {key[0] for key, _ in Charsmap(spec.charsmap).rules(0x7F)}
    return re.compile(b"[%b]+" % re.escape(bytes(byte for byte in range(0x21, 0x7F) if byte not in begins))).fullmatch


def _tokenized(text: str, pretokenizer: Parts, may_differ: bool) -> list[str]:
    parts = list(pretokenizer(text))
    if not may_differ and "".join(parts) != text:
        raise RuntimeError(
            f"INTERNAL: the parts {shown(parts)} that the pretokenizer returned are not {shown(text)}: "
            "allow_inconsistent_pretokenization=True takes them all the same"
        )
    return parts


def _marked(text: str) -> Iterator[str]:
    """Yield a text cut before each mark."""
    first, *others = text.split(MARK)
    if first:
        yield first
    for other in others:
        yield MARK + other


def _by_script(word: str, split_digits: bool) -> Iterator[str]:
    """Yield a word cut where a script ends, and where digits do; with `split_digits` each is by itself."""
    start, last = 0, _ANY
    for at, char in enumerate(word):
        kind = -2 if char in _DIGITS else _script(char)
        alone = split_digits and at > start and (kind == -2 or word[at - 1] in _DIGITS)
        if alone or (_ANY not in (kind, last) and kind != last):
            yield word[start:at]
            start, last = at, _ANY
        last = last if kind == _ANY else kind
    if start < len(word):
        yield word[start:]
