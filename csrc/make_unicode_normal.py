"""Write unicode_normal.h: what normalizers do to each code point.

Hugging Face's normalizers have tables of different age: the normalization forms and `StripAccents` know Unicode 9.0,
`BertNormalizer` 8.0, and `Lowercase` follows Rust's standard library, 17.0. Normalization is stable: what it does to a
code point never changes once that is assigned, so a table of 9.0 is one of 16.0 without all that is younger. Both the
properties and the ages come from PyPI's `unicodedataplus`, never from Python's own `unicodedata`:

    pip install unicodedataplus==16.0.0 && python csrc/make_unicode_normal.py

Of 17.0 lower case letters are listed here. Tests hold every code point against `tokenizers`.

Code points that nothing is done to share trait 0; all others have one of their own, found by a table of two stages.
"""

from collections.abc import Iterable
from pathlib import Path

import unicodedataplus as ucd

CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
BLOCK = 64
# The bits of a trait, as traits.h names them.
CANON, COMPAT, SECOND, NFC_NO, NFKC_NO, MARK, LOWER = (1 << bit for bit in range(7))
BERT_GONE, BERT_SPACE, BERT_CJK, BERT_MARK, NMT_GONE, NMT_SPACE, WHITE = (1 << bit for bit in range(7, 14))
# Capital letters that came with Unicode 17.0, and their small ones.
YOUNG_CAPITALS = {0xA7CE: 0xA7CF, 0xA7D2: 0xA7D3, 0xA7D4: 0xA7D5} | {
    code: code + 0x1B for code in range(0x16EA0, 0x16EB9)
}
WHITE_SPACE = {
    *(*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)),
    *(0x2028, 0x2029, 0x202F, 0x205F, 0x3000),
}
# What BertNormalizer takes for Chinese: of extension E it knows the code points from U+2B920 on only.
CHINESE = [
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
]
NMT_GONE_CODES = {*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F}
NMT_SPACE_CODES = {
    *(0x09, 0x0A, 0x0C, 0x0D, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD),
}
# Code points whose category has changed since: what it was in Unicode 8.0, and in 9.0.
OLD_CATEGORIES = {
    8: {0x1734: "Mn", 0x1885: "Lo", 0x1886: "Lo", 0xA9BD: "Mc", 0x111C9: "Po", 0x1171E: "Mn"},
    9: {0x1CF2: "Mc", 0x1CF3: "Mc", 0x111C9: "Po"},
}
CIRCLED = [(0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189)]  # alphabetic, no letters


def is_known(code: int, version: int) -> bool:
    """Return whether a version of Unicode has the code point."""
    age = ucd.age(chr(code))
    return age not in ("", "NA", "Unassigned") and int(age.split(".")[0]) <= version


def old_category(code: int, version: int) -> str:
    """Return the category that a code point had in version 8 or 9 of Unicode."""
    if not is_known(code, version):
        return "Cn"
    return OLD_CATEGORIES[version].get(code, ucd.category(chr(code)))


def form(name: str, code: int) -> list[int]:
    """Return one code point in a normalization form of Unicode 9.0."""
    return [*map(ord, ucd.normalize(name, chr(code)))] if is_known(code, 9) else [code]


def compositions() -> dict[tuple[int, int], int]:
    """Return which code point two become; Hangul syllables follow from their numbers."""
    found = {}
    for code in CODES:
        parts = ucd.decomposition(chr(code)).split()
        if len(parts) != 2 or parts[0].startswith("<") or not is_known(code, 9):
            continue
        if form("NFC", code) == [code]:  # no exclusion
            found[int(parts[0], 16), int(parts[1], 16)] = code
    return found


def lower(code: int) -> list[int]:
    """Return a code point in lower case, alone: a final sigma is one like any other."""
    if code in YOUNG_CAPITALS:
        return [YOUNG_CAPITALS[code]]
    return [0x69, 0x307] if code == 0x130 else [LOWER_OF.get(code, code)]


def _simple_lower() -> dict[int, int]:
    """Return the small letters of capitals: `unicodedataplus` has no case, Python's own may be too old or too young.

    So each of Python's is taken where it is known to 16.0, and those that Python may lack are added.
    """
    young = {0x1C89: 0x1C8A, 0xA7CB: 0x264, 0xA7CC: 0xA7CD, 0xA7DA: 0xA7DB, 0xA7DC: 0x19B}
    young |= {code: code + 0x20 for code in range(0x10D50, 0x10D66)}
    found = {code: ord(chr(code).lower()) for code in CODES if code != 0x130 and chr(code).lower() != chr(code)}
    return {code: small for code, small in found.items() if is_known(code, 16)} | young


LOWER_OF = _simple_lower()


def bert_flags(code: int) -> int:
    """Return what BertNormalizer does to a code point, but for NFD."""
    category = old_category(code, 8)
    flags = BERT_CJK * any(first <= code <= last for first, last in CHINESE)
    if code in (0x09, 0x0A, 0x0D):
        return BERT_SPACE
    if code in (0, 0xFFFD) or category in ("Cc", "Cf", "Co"):
        return BERT_GONE
    return flags | BERT_SPACE * (code in WHITE_SPACE and code != 0x20) | BERT_MARK * (category == "Mn")


class Traits:
    """Traits by number, and the strings that they point into."""

    def __init__(self) -> None:
        self.pairs = compositions()
        jamo = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
        self.seconds = {second for _, second in self.pairs} | jamo
        self.pool: list[int] = []
        self.places: dict[tuple[int, ...], int] = {}
        self.numbers: dict[tuple[int, ...], int] = {(0,) * 8: 0}

    def packed(self, code: int) -> int:
        """Return a code point as strings have it: its combining class above, and whether it may be a second."""
        combining = ucd.combining(chr(code)) if is_known(code, 9) else 0
        return combining << 24 | (code in self.seconds) << 21 | code

    def place(self, codes: list[int]) -> int:
        """Return where a string begins."""
        key = tuple(codes)
        if key not in self.places:
            self.places[key] = len(self.pool)
            for start in range(len(key)):  # other strings may be its ends
                self.places.setdefault(key[start:], len(self.pool) + start)
            self.pool += map(self.packed, codes)
        return self.places[key]

    def number(self, code: int) -> int:
        """Return the number of the traits of a code point."""
        canon, compat, small = form("NFD", code), form("NFKD", code), lower(code)
        is_hangul = 0xAC00 <= code < 0xD7A4
        flags = bert_flags(code)
        for flag, on in (
            (CANON, canon != [code]),
            (COMPAT, compat != [code]),
            (SECOND, code in self.seconds),
            (NFC_NO, form("NFC", code) != [code]),
            (NFKC_NO, form("NFKC", code) != [code]),
            (MARK, old_category(code, 9)[0] == "M"),
            (LOWER, small != [code]),
            (NMT_GONE, code in NMT_GONE_CODES),
            (NMT_SPACE, code in NMT_SPACE_CODES),
            (WHITE, code in WHITE_SPACE),
        ):
            flags |= flag * on
        strings = [one if one != [code] and not is_hangul else [] for one in (canon, compat)]
        strings.append(small if small != [code] else [])
        places = [self.place(one) if one else 0 for one in strings]
        combining = ucd.combining(chr(code)) if is_known(code, 9) else 0
        return self.numbers.setdefault((flags, *places, combining, *map(len, strings)), len(self.numbers))


def block_reasons(traits: Traits, block: list[int]) -> int:
    """Return which forms, from NFC's bit 1 on, have reason to do something at some code point of a block."""
    by_number = [*traits.numbers]
    found = 0
    for number in set(block):
        flags, combining = by_number[number][0], by_number[number][4]
        for bit, meant in enumerate((NFC_NO | SECOND, CANON, NFKC_NO | SECOND, COMPAT), 1):
            found |= (bool(flags & meant) or combining > 0) << bit
    return found


def rows(values: Iterable[object], width: int = 40) -> str:
    """Return the values as lines of an initializer."""
    items = [*map(str, values)]
    return "\n".join("    " + ", ".join(items[i : i + width]) + "," for i in range(0, len(items), width))


def word_ranges() -> list[tuple[int, int]]:
    r"""Return the code points of Rust's \w, Unicode 16.0, as ranges."""
    ranges: list[tuple[int, int]] = []
    for code in CODES:
        category = ucd.category(chr(code))
        is_word = category[0] in "LM" or category in ("Nd", "Nl", "Pc") or code in (0x200C, 0x200D)
        if not (is_word or any(first <= code <= last for first, last in CIRCLED)):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = ranges[-1][0], code
        else:
            ranges.append((code, code))
    return ranges


def main() -> None:
    """Write the header beside this script."""
    assert ucd.unidata_version == "16.0.0", f"need unicodedataplus 16.0.0, not {ucd.unidata_version}"
    traits = Traits()
    numbers = [0] * 0x110000
    # Longest strings first, so that shorter ones are found in them.
    for code in sorted(CODES, key=lambda code: -len(form("NFKD", code))):
        numbers[code] = traits.number(code)
    blocks: dict[tuple[int, ...], int] = {}
    index = [blocks.setdefault(tuple(numbers[i : i + BLOCK]), len(blocks)) for i in range(0, len(numbers), BLOCK)]
    assert max(map(len, (traits.numbers, blocks, traits.pool))) < 1 << 16, "places and numbers are of 16 bits"
    reasons = [block_reasons(traits, numbers[first : first + BLOCK]) for first in range(0, 0x10000, BLOCK)]
    pairs = [f"{{{a}, {b}, {made}}}" for (a, b), made in sorted(traits.pairs.items())]
    words = [f"{{{first}, {last}}}" for first, last in word_ranges()]
    made = [f"{{{', '.join(map(str, one))}}}" for one in traits.numbers]
    Path(__file__).with_name("unicode_normal.h").write_text(
        "/* unicode_normal.h: written by make_unicode_normal.py from Unicode 8.0, 9.0, 16.0 and 17.0; do not edit.\n"
        " * traits.h says what the tables mean; traits.c alone includes this. */\n\n"
        f"const uint16_t fe_trait_index[{len(index)}] = {{\n{rows(index)}\n}};\n\n"
        f"const uint16_t fe_trait_blocks[{len(blocks)}][{BLOCK}] = {{\n"
        + "\n".join("    {" + ", ".join(map(str, block)) + "}," for block in blocks)
        + f"\n}};\n\nconst fe_trait fe_traits[{len(made)}] = {{\n{rows(made, 8)}\n}};\n\n"
        f"const uint32_t fe_trait_strings[{len(traits.pool)}] = {{\n{rows(traits.pool, 16)}\n}};\n\n"
        f"const uint8_t fe_block_reasons[{len(reasons)}] = {{\n{rows(reasons)}\n}};\n\n"
        f"const fe_composition fe_compositions[FE_COMPOSITIONS] = {{\n{rows(pairs, 8)}\n}};\n\n"
        f"const uint32_t fe_word_ranges[FE_WORD_RANGES][2] = {{\n{rows(words, 8)}\n}};\n"
    )
    print(len(made), "traits,", len(blocks), "blocks,", len(pairs), "compositions,", len(words), "ranges of words")


if __name__ == "__main__":
    main()
