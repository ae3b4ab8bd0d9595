"""Numbers of a `tokenizer.json` as the format's own engine reads them.

It is quick rather than exact: digits become one integer of 64 bits, which is rounded to a float and then divided by a
power of ten, where that rounds once more. Scores of seventeen digits so come out one unit in the last place off, now
and then, and of two ways through a text that are equal in all but that the other one is the best. (`serde_json`, as it
is without its feature `float_roundtrip`.)
"""

from __future__ import annotations

import re

_PARTS = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?")
_MOST = 2**64 - 1
_EXACT_DIGITS = 15  # of which every integer is a float, as the powers of ten that go with them are
_TENS = 308  # the highest power of ten that is a float


def read_float(text: str) -> float:
    """Return a number of JSON with a point or an exponent."""
    if len(text) <= _EXACT_DIGITS + 1 and "e" not in text and "E" not in text:
        return float(text)
    sign, whole, fraction, given = _groups(text)
    digits, exponent = 0, 0
    for place, digit in enumerate(map(int, whole)):
        if 10 * digits + digit > _MOST:
            exponent = len(whole) - place  # further digits only count
            break
        digits = 10 * digits + digit
    for digit in map(int, fraction):
        if 10 * digits + digit > _MOST:
            break
        digits = 10 * digits + digit
        exponent -= 1
    value = _scaled(digits, exponent + given)
    return -value if sign else value


def _groups(text: str) -> tuple[str, str, str, int]:
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no number of JSON")
    sign, whole, fraction, exponent = match.groups()
    return sign, whole, fraction or "", int(exponent or 0)


def _scaled(digits: int, exponent: int) -> float:
    value = float(digits)
    if exponent > _TENS:
        return value * float("inf") if digits else 0.0
    if exponent >= 0:
        return value * float(10**exponent)
    while exponent < -_TENS and value:
        value /= 1e308
        exponent += _TENS
    return value / float(10**-exponent) if value else 0.0
