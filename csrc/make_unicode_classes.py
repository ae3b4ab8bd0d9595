"""Write unicode_classes.h: the class of every code point under the patterns that split.c matches.

The classes are those of Unicode 16.0.0, which both tiktoken 0.14 and tokenizers 0.23 use, so this script
takes them from PyPI's `unicodedata2==16.0.0`, never from Python's own (younger or older) `unicodedata`:

    pip install unicodedata2==16.0.0 && python csrc/make_unicode_classes.py

Classes are packed two to a byte; equal blocks of 128 code points are stored once, a cache line each.
"""

from pathlib import Path

import unicodedata2 as ucd

OTHER, SYMBOL, MARK, UPPER, LOWER, LETTER, NUMBER, SPACE, BEYOND_ASCII = range(9)
BLOCK = 128
# By general category, or its first letter where that is enough. What is left (Cc Cf Cs Co Cn, and Z*, all of
# which is white space) is OTHER.
CATEGORIES = {
    "P": SYMBOL,
    "S": SYMBOL,
    "M": MARK,
    "N": NUMBER,
    "Lu": UPPER,
    "Lt": UPPER,
    "Ll": LOWER,
    "Lm": LETTER,
    "Lo": LETTER,
}
# White_Space=yes in PropList.txt: what `\s` means in every engine. Unlike Zs it has U+0085 and the ASCII controls.
WHITE_SPACE = {
    *range(0x09, 0x0E),
    0x20,
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
}


def code_class(code: int) -> int:
    """Return the class of one code point."""
    if code in WHITE_SPACE:
        return SPACE
    category = ucd.category(chr(code))
    return CATEGORIES.get(category, CATEGORIES.get(category[0], OTHER))


def rows(values: list[int]) -> str:
    """Return the values as lines of an initializer."""
    return "\n".join("    " + ", ".join(map(str, values[i : i + BLOCK])) + "," for i in range(0, len(values), BLOCK))


def main() -> None:
    """Write the header beside this script."""
    assert ucd.unidata_version == "16.0.0", f"need unicodedata2 16.0.0, not {ucd.unidata_version}"
    classes = [code_class(code) for code in range(0x110000)]
    blocks: dict[tuple[int, ...], int] = {}
    index = [blocks.setdefault(tuple(classes[i : i + BLOCK]), len(blocks)) for i in range(0, len(classes), BLOCK)]
    assert len(blocks) <= 256, "the index holds bytes"
    packed = [[block[i] | block[i + 1] << 4 for i in range(0, BLOCK, 2)] for block in blocks]
    bytes_ = classes[:128] + [BEYOND_ASCII] * 128
    Path(__file__).with_name("unicode_classes.h").write_text(
        "/* unicode_classes.h: written by make_unicode_classes.py from Unicode 16.0.0; do not edit.\n"
        " * classes.h names the classes and reads these tables. */\n"
        "#ifndef FE_UNICODE_CLASSES_H\n#define FE_UNICODE_CLASSES_H\n\n#include <stdint.h>\n\n"
        "/* The class of an ASCII byte; all others have one that no code point has. */\n"
        f"static const uint8_t fe_byte_classes[256] = {{\n{rows(bytes_)}\n}};\n\n"
        f"/* Which block a code point shares with its {BLOCK} neighbours: index[code >> 7]. */\n"
        f"static const uint8_t fe_class_index[{len(index)}] = {{\n{rows(index)}\n}};\n\n"
        "/* Two classes a byte, the even code point in the low half. */\n"
        f"static const uint8_t fe_class_blocks[{len(blocks)}][{BLOCK // 2}] = {{\n"
        + "\n".join("    {" + ", ".join(map(str, block)) + "}," for block in packed)
        + "\n};\n\n#endif\n"
    )


if __name__ == "__main__":
    main()
