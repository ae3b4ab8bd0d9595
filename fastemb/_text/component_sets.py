"""Sets of code points as the components of a `tokenizer.json` have them: of other versions of Unicode than 16.0.

They are said by how they differ from Unicode 16.0; tests/test_tokenizer_cuts.py holds them against the package
tokenizers, code point by code point.
"""

from __future__ import annotations

from functools import cache

from .code_sets import CodeSet, common, complement, named, union

# Numbers (N) of Unicode 17.0 that 16.0 has not.
_YOUNGER_NUMBERS: CodeSet = ((0x11DE0, 0x11DE9), (0x16FF4, 0x16FF6))
_ASCII_PUNCTUATION: CodeSet = ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E))
# Punctuation (P) of Unicode 8.0 that is something else now, and what is punctuation since.
_OLDER_PUNCTUATION: CodeSet = ((0x166D, 0x166D), (0x111C9, 0x111C9))
_YOUNGER_PUNCTUATION: CodeSet = (
    (0x61D, 0x61D), (0x9FD, 0x9FD), (0xA76, 0xA76), (0xC77, 0xC77), (0xC84, 0xC84), (0x1B4E, 0x1B4F),
    (0x1B7D, 0x1B7F), (0x2E43, 0x2E4F), (0x2E52, 0x2E5D), (0x10D6E, 0x10D6E), (0x10EAD, 0x10EAD), (0x10F55, 0x10F59),
    (0x10F86, 0x10F89), (0x113D4, 0x113D5), (0x113D7, 0x113D8), (0x1144B, 0x1144F), (0x1145A, 0x1145B),
    (0x1145D, 0x1145D), (0x11660, 0x1166C), (0x116B9, 0x116B9), (0x1183B, 0x1183B), (0x11944, 0x11946),
    (0x119E2, 0x119E2), (0x11A3F, 0x11A46), (0x11A9A, 0x11A9C), (0x11A9E, 0x11AA2), (0x11B00, 0x11B09),
    (0x11BE1, 0x11BE1), (0x11C41, 0x11C45), (0x11C70, 0x11C71), (0x11EF7, 0x11EF8), (0x11F43, 0x11F4F),
    (0x11FFF, 0x11FFF), (0x12FF1, 0x12FF2), (0x16D6D, 0x16D6F), (0x16E97, 0x16E9A), (0x16FE2, 0x16FE2),
    (0x1E5FF, 0x1E5FF), (0x1E95E, 0x1E95F),
)  # fmt: skip


@cache
def numeric() -> CodeSet:
    """Return what ``Digits`` takes for a digit: numbers of all kinds, of Unicode 17.0."""
    return union(named("N") or (), _YOUNGER_NUMBERS)


@cache
def punctuation() -> CodeSet:
    """Return what ``Punctuation`` and BERT cut at: ASCII's, symbols too, and the punctuation of Unicode 8.0."""
    today = common(named("P") or (), complement(_YOUNGER_PUNCTUATION))
    return union(today, _OLDER_PUNCTUATION, _ASCII_PUNCTUATION)
