"""Write unicode_bert.h: what BERT's normalizer and pre-tokenizer do with each code point.

Hugging Face's `tokenizers` takes the parts of these two from tables of three ages: categories are those of Unicode 8.0,
decompositions those of 9.0 (younger code points have none), and lower case that of 17.0, character by character. The
script derives the older ones from the categories and ages of PyPI's packages, never from Python's own `unicodedata`:

    pip install unicodedata2==16.0.0 unicodedataplus==16.0.0 && python csrc/make_unicode_bert.py

`tests/test_tokenizer_wordpiece.py` holds the result against `tokenizers` on all code points.
"""

from pathlib import Path

import unicodedata2 as ucd
import unicodedataplus as ages

BLOCK = 128
CODES = range(0x110000)
SURROGATES = range(0xD800, 0xE000)
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic, in bert.c

DROPPED, WHITE, HAN, PUNCTUATION, COMBINES, DECOMPOSED, LOWERED = (1 << bit for bit in range(7))

WHITE_SPACE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F}
WHITE_SPACE |= {0x3000}
# The ranges are BERT's own. (It writes 2B920 where CJK Extension E begins at 2B820.)
HAN_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
# Categories that are other ones in Unicode 16 than they were in 8.
CATEGORY_8 = {0x166D: "Po", 0x111C9: "Po", 0x1734: "Mn", 0x1171E: "Mn", 0x1885: "Lo", 0x1886: "Lo", 0xA9BD: "Mc"}
# Lower case that is younger than the oldest Python that this runs on (Unicode 14).
YOUNGER_LOWER = {0x1C89: 0x1C8A, 0xA7CB: 0x0264, 0xA7CC: 0xA7CD, 0xA7CE: 0xA7CF, 0xA7D2: 0xA7D3, 0xA7D4: 0xA7D5}
YOUNGER_LOWER |= {0xA7DA: 0xA7DB, 0xA7DC: 0x019B}
YOUNGER_LOWER |= {code: code + 0x20 for code in range(0x10D50, 0x10D66)}
YOUNGER_LOWER |= {code: code + 0x1B for code in range(0x16EA0, 0x16EB9)}


def age(code: int) -> float:
    """Return the version of Unicode that brought a code point."""
    text = ages.age(chr(code))
    return float(text) if text[0].isdigit() else 99.0


def category(code: int) -> str:
    """Return the category that Unicode 8.0 gave a code point."""
    return CATEGORY_8.get(code) or (ucd.category(chr(code)) if age(code) <= 8.0 else "Cn")


def is_dropped(code: int) -> bool:
    """Return whether the step `clean_text` drops a code point."""
    return code in (0, 0xFFFD) or (category(code) in ("Cc", "Cf", "Co") and code not in (0x09, 0x0A, 0x0D))


def is_punctuation(code: int) -> bool:
    """Return whether the pre-tokenizer makes a piece of its own of a code point."""
    return category(code)[0] == "P" or (code < 128 and ucd.category(chr(code))[0] == "S")


def combining(code: int) -> int:
    """Return the canonical combining class that Unicode 9.0 gave a code point."""
    return ucd.combining(chr(code)) if age(code) <= 9.0 else 0


def without_accents(code: int) -> str:
    """Return the canonical decomposition of a code point without its marks that take no space."""
    text = chr(code)
    if age(code) <= 9.0 and code not in HANGUL:
        text = ucd.normalize("NFD", text)
    return "".join(char for char in text if category(ord(char)) != "Mn")


def lowered(code: int) -> str:
    """Return the lower case of a code point by itself."""
    return chr(YOUNGER_LOWER[code]) if code in YOUNGER_LOWER else chr(code).lower()


def flags_of(code: int) -> int:
    """Return the flags of a code point, as bert.c names them."""
    if code in SURROGATES:
        return 0
    return (
        DROPPED * is_dropped(code)
        | WHITE * (code in WHITE_SPACE)
        | HAN * any(first <= code <= last for first, last in HAN_RANGES)
        | PUNCTUATION * is_punctuation(code)
        | COMBINES * (combining(code) != 0)
        | DECOMPOSED * (without_accents(code) != chr(code))
        | LOWERED * (lowered(code) != chr(code))
    )


def rows(values: list[int]) -> str:
    """Return the values as lines of an initializer."""
    return "\n".join("    " + ", ".join(map(str, values[i : i + 32])) + "," for i in range(0, len(values), 32))


def two_stages(values: list[int]) -> tuple[list[int], list[int]]:
    """Return the number of each block of values, and the values of the blocks one after another, each once."""
    blocks: dict[tuple[int, ...], int] = {}
    index = [blocks.setdefault(tuple(values[i : i + BLOCK]), len(blocks)) for i in range(0, len(values), BLOCK)]
    assert len(blocks) <= 256, "the index holds bytes"
    return index, [value for block in blocks for value in block]


def array(kind: str, name: str, values: list[int]) -> str:
    """Return the definition of a table."""
    return f"static const {kind} fe_bert_{name}[{len(values)}] = {{\n{rows(values)}\n}};\n"


def map_tables(name: str, texts: dict[int, str]) -> str:
    """Return the tables of a map from some code points to texts: each text is its length in bytes, and its UTF-8."""
    pool, places, known = bytearray(1), [0] * len(CODES), dict[str, int]()
    for code, text in texts.items():
        if text not in known:
            known[text] = len(pool)
            pool += bytes([len(text.encode())]) + text.encode()
        places[code] = known[text]
    assert len(pool) < 1 << 16, "places are of 16 bits"
    index, blocks = two_stages(places)
    return "\n".join(
        (
            array("uint8_t", f"{name}_index", index),
            array("uint16_t", f"{name}_places", blocks),
            array("uint8_t", f"{name}_texts", list(pool)),
        )
    )


def main() -> None:
    """Write the header beside this script."""
    assert ucd.unidata_version == ages.unidata_version == "16.0.0", "need the packages of Unicode 16.0.0"
    flags = [flags_of(code) for code in CODES]
    index, blocks = two_stages(flags)
    stripped = {code: without_accents(code) for code in CODES if flags[code] & DECOMPOSED}
    lower = {code: lowered(code) for code in CODES if flags[code] & LOWERED}
    kept = {code: combining(code) for code in CODES if flags[code] & COMBINES and not flags[code] & DECOMPOSED}
    ranges: list[list[int]] = []
    for code, value in kept.items():
        if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == value:
            ranges[-1][1] = code
        else:
            ranges.append([code, code, value])
    Path(__file__).with_name("unicode_bert.h").write_text(
        "/* unicode_bert.h: written by make_unicode_bert.py; do not edit; bert.c reads it. */\n"
        "#ifndef FE_UNICODE_BERT_H\n#define FE_UNICODE_BERT_H\n\n#include <stdint.h>\n\n"
        f"/* Flags by code point: blocks[{BLOCK} * index[code / {BLOCK}] + code % {BLOCK}]. */\n"
        + "\n".join((array("uint8_t", "index", index), array("uint8_t", "blocks", blocks)))
        + "\n/* What is left of a code point that has the flag DECOMPOSED: the place of its text among the texts,\n"
        " * behind its length in bytes. */\n"
        + map_tables("stripped", stripped)
        + "\n/* The same for LOWERED. */\n"
        + map_tables("lowered", lower)
        + "\n/* Code points that combine and are kept: the first, the last, their combining class. */\n"
        f"static const uint32_t fe_bert_kept[{len(ranges)}][3] = {{\n"
        + "\n".join("    {" + ", ".join(map(str, row)) + "}," for row in ranges)
        + "\n};\n\n#endif\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
