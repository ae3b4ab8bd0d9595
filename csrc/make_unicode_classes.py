"""Write unicode_classes.h: the class of every code point under the GPT-2 pattern.

The classes are those of Unicode 16.0.0, which both tiktoken 0.14 and tokenizers 0.23 use, so this script
takes them from PyPI's `unicodedata2==16.0.0`, never from Python's own (younger or older) `unicodedata`:

    pip install unicodedata2==16.0.0 && python csrc/make_unicode_classes.py

Classes are packed four to a byte; equal blocks of 256 code points are stored once.
"""

from pathlib import Path

import unicodedata2 as ucd

OTHER, LETTER, NUMBER, SPACE = range(4)
BLOCK = 256
# White_Space=yes in PropList.txt: what `\s` means in both engines. Unlike Zs it has U+0085 and the ASCII controls.
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
    return {"L": LETTER, "N": NUMBER}.get(ucd.category(chr(code))[0], OTHER)


def main() -> None:
    """Write the header beside this script."""
    assert ucd.unidata_version == "16.0.0", f"need unicodedata2 16.0.0, not {ucd.unidata_version}"
    classes = [code_class(code) for code in range(0x110000)]
    blocks: dict[tuple[int, ...], int] = {}
    index = [blocks.setdefault(tuple(classes[i : i + BLOCK]), len(blocks)) for i in range(0, len(classes), BLOCK)]
    packed = [sum(block[i + j] << 2 * j for j in range(4)) for block in blocks for i in range(0, BLOCK, 4)]

    def rows(values: list[int]) -> str:
        return "\n".join("    " + ", ".join(map(str, values[i : i + 24])) + "," for i in range(0, len(values), 24))

    Path(__file__).with_name("unicode_classes.h").write_text(
        "/* unicode_classes.h: written by make_unicode_classes.py from Unicode 16.0.0; do not edit.\n"
        " * Classes: 0 other, 1 letter (L*), 2 number (N*), 3 white space (White_Space). */\n"
        "#ifndef FE_UNICODE_CLASSES_H\n#define FE_UNICODE_CLASSES_H\n\n#include <stdint.h>\n\n"
        "/* Which block a code point's 256 neighbours share: index[code >> 8]. */\n"
        f"static const uint8_t fe_class_index[{len(index)}] = {{\n{rows(index)}\n}};\n\n"
        "/* Four classes a byte, lowest code point in the lowest bits. */\n"
        f"static const uint8_t fe_class_blocks[{len(blocks)}][{BLOCK // 4}] = {{\n"
        + "\n".join("    {" + ", ".join(map(str, packed[b * 64 : b * 64 + 64])) + "}," for b in range(len(blocks)))
        + "\n};\n\n#endif\n"
    )


if __name__ == "__main__":
    main()
