r"""Sets of code points, of Unicode 16.0 whatever Python's own version is: what `\p{...}` and classes stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from string import ascii_letters

from .unicode_ranges import CATEGORIES, CATEGORY_RUNS, SCRIPT_RUNS, SCRIPTS

CodeSet = tuple[tuple[int, int], ...]  # ranges, both ends within: ascending, apart from each other

LAST = 0x10FFFF
ALL: CodeSet = ((0, LAST),)
# White_Space=yes. Unlike the category Zs it has U+0085 and the ASCII controls.
SPACE: CodeSet = (
    (0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
_WORD_CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl Pc"
HEX_DIGIT: CodeSet = ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66))
# Alphabetic symbols: with letters, marks, and the numbers that are letters, they make the property Alphabetic.
_CIRCLED: CodeSet = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))
_JOINERS: CodeSet = ((0x200C, 0x200D),)
_SMALL_NUMBERS: CodeSet = ((0xB2, 0xB3), (0xB9, 0xB9), (0xBC, 0xBE))

_LONG_NAMES = {
    "letter": "L", "casedletter": "LC", "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt",
    "modifierletter": "Lm", "otherletter": "Lo", "mark": "M", "nonspacingmark": "Mn", "spacingmark": "Mc",
    "enclosingmark": "Me", "number": "N", "decimalnumber": "Nd", "letternumber": "Nl", "othernumber": "No",
    "punctuation": "P", "connectorpunctuation": "Pc", "dashpunctuation": "Pd", "openpunctuation": "Ps",
    "closepunctuation": "Pe", "initialpunctuation": "Pi", "finalpunctuation": "Pf", "otherpunctuation": "Po",
    "symbol": "S", "mathsymbol": "Sm", "currencysymbol": "Sc", "modifiersymbol": "Sk", "othersymbol": "So",
    "separator": "Z", "spaceseparator": "Zs", "lineseparator": "Zl", "paragraphseparator": "Zp", "other": "C",
    "control": "Cc", "format": "Cf", "privateuse": "Co", "unassigned": "Cn",
}  # fmt: skip


def union(*sets: CodeSet) -> CodeSet:
    """Return the code points of any of the sets."""
    return joined(span for codes in sets for span in codes)


def joined(spans: Iterable[tuple[int, int]]) -> CodeSet:
    """Return ranges in any order, overlapping or not, as a set."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(last, out[-1][1])
        else:
            out.append((first, last))
    return tuple(out)


def complement(codes: CodeSet) -> CodeSet:
    """Return the code points that are not in the set."""
    edges = [-1, *(edge for span in codes for edge in span), LAST + 1]
    return tuple((a + 1, b - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if a + 1 < b)


def common(left: CodeSet, right: CodeSet) -> CodeSet:
    """Return the code points of both sets."""
    return complement(union(complement(left), complement(right)))


@cache
def named(name: str) -> CodeSet | None:
    """Return the set of a general category or a script by its name in any spelling; None where it is not known."""
    key = re.sub(r"[ _-]", "", name).lower()
    if key == "any":
        return ALL
    category = _LONG_NAMES.get(key, key.capitalize())
    if category.upper() == "LC":
        wanted = {"Lu", "Ll", "Lt"}
    elif category != "Cs":  # a text has no surrogates
        wanted = {short for short in categories() if category in (short, short[0])}
    else:
        wanted = set()
    if wanted:
        return union(*(categories()[short] for short in wanted))
    return _scripts().get(key.capitalize())


@cache
def word(dialect: str, in_class: bool = False) -> CodeSet:
    r"""Return `\w` as a dialect has it: Rust's with two joiners, Oniguruma's with ²³¹¼½¾, but not inside a class."""
    names = union(*(categories()[name] for name in _WORD_CATEGORIES.split()))
    more = _JOINERS if dialect == "fancy" else () if in_class else _SMALL_NUMBERS
    return union(names, _CIRCLED, more)


@cache
def _cased() -> tuple[CodeSet, ...]:
    """Return groups that cover all code points outside ASCII with another case; no letter pairs with another group.

    U+0345, a mark, is of the first: its capital is a letter. The two that are of ASCII letters are left out.
    """
    letters = union(*(categories()[name] for name in ("Lu", "Ll", "Lt")), ((0x345, 0x345),))
    ascii_and_kin: CodeSet = ((0, 0x7F), (0x17F, 0x17F), (0x212A, 0x212A))
    return common(letters, complement(ascii_and_kin)), ((0x2160, 0x217F),), _CIRCLED[:1]


def has_cased(codes: CodeSet) -> bool:
    """Return whether a letter outside ASCII with another case is in the set."""
    return bool(common(codes, _cased()[0]))


def any_case(codes: CodeSet) -> CodeSet | None:
    """Return the set with all code points that differ from one of its own in case only; one to one, so no ss for ß.

    None where that takes more than ASCII's letters and their kin, U+017F and U+212A.
    """
    if any(common(codes, group) not in ((), group) for group in _cased()):
        return None
    kin = {"s": 0x17F, "k": 0x212A}
    more: list[tuple[int, int]] = []
    for letter in ascii_letters[:26]:
        forms = [ord(letter), ord(letter.upper()), *([kin[letter]] if letter in kin else [])]
        if any(first <= form <= last for form in forms for first, last in codes):
            more += [(form, form) for form in forms]
    return joined([*codes, *more])


def class_text(codes: CodeSet) -> str:
    """Return the set as the `regex` package writes it, in its version 1 syntax.

    A class of ranges is tried range by range. Halves behind an intersection make that a binary search, six times
    as fast where there are hundreds of ranges.
    """
    if not codes:
        return "(?:(?!))"
    if len(codes) == 1 and codes[0][0] == codes[0][1]:
        return _char(codes[0][0])
    return f"[{_members(codes)}]"


def _members(codes: CodeSet) -> str:
    if len(codes) <= 8:
        return "".join(_char(first) + (f"-{_char(last)}" if last > first else "") for first, last in codes)
    half = len(codes) // 2
    parts = codes[:half], codes[half:]
    return "".join(f"[[{_char(part[0][0])}-{_char(part[-1][1])}]&&[{_members(part)}]]" for part in parts)


def _char(code: int) -> str:
    return chr(code) if chr(code) in ascii_letters else f"\\x{code:02x}" if code < 0x100 else f"\\U{code:08x}"


def read_runs(runs: str, names: list[str]) -> dict[str, CodeSet]:
    """Return the set of each name, from all code points as runs: a letter for a name, then a length if it is not 1."""
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    code = 0
    for letter, length in re.findall(r"([A-Za-z-])([0-9]*)", runs):
        after = code + int(length or 1)
        if letter != "-":
            found[names[ascii_letters.index(letter)]].append((code, after - 1))
        code = after
    return {name: tuple(spans) for name, spans in found.items()}


@cache
def categories() -> dict[str, CodeSet]:
    """Return the code points of each general category of Unicode 16."""
    return read_runs(CATEGORY_RUNS, CATEGORIES.split())


@cache
def _scripts() -> dict[str, CodeSet]:
    return read_runs(SCRIPT_RUNS, SCRIPTS.split())
