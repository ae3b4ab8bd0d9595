"""Write unicode_graphemes.h and fastemb/_text/unicode_graphemes.py: what code points are to grapheme clusters.

Hugging Face's normalizer `Precompiled` looks at clusters of Unicode 17.0 (PyPI's `tokenizers` 0.23 is compiled with the
crate unicode-segmentation 1.13). PyPI's `unicodedataplus` knows 16.0; what changed since is asked of `tokenizers`, for
every code point, by texts of which it normalizes small clusters as a whole:

    pip install unicodedataplus==16.0.0 tokenizers==0.23.3 && python csrc/make_unicode_graphemes.py

A code point has one byte: its Grapheme_Cluster_Break in the lower four bits, and above them whether it is
Extended_Pictographic, and its Indic_Conjunct_Break.
"""

import base64
import json
import struct
from pathlib import Path

import tokenizers
import unicodedataplus as ucd

ROOT = Path(__file__).parent.parent
BLOCK = 64
BREAKS = ["Other", "CR", "LF", "Control", "Extend", "ZWJ", "Regional_Indicator", "Prepend", "SpacingMark"]
BREAKS += ["L", "V", "T", "LV", "LVT"]
CONJUNCTS = {"None": 0, "Consonant": 32, "Linker": 64, "Extend": 128}
PICTOGRAPHIC = 16
JOINING = (BREAKS.index("Extend"), BREAKS.index("ZWJ"), BREAKS.index("SpacingMark"))
PREPEND = BREAKS.index("Prepend")
CONSONANT, LINKER, ACUTE, COPYRIGHT = "\u0915", "\u094d", "\u0301", "\u00a9"


def kind_in_16(code: int) -> int:
    """Return the byte of a code point in Unicode 16.0."""
    char = chr(code)
    conjunct = CONJUNCTS[ucd.indic_conjunct_break(char)]
    return BREAKS.index(ucd.grapheme_cluster_break(char)) | PICTOGRAPHIC * ucd.is_extended_pictographic(char) | conjunct


def normalizer(firsts: range) -> tokenizers.normalizers.Normalizer:
    """Return what makes Z of every cluster below 6 bytes that begins with such a byte, else of each character."""
    units = [0] * 768  # the root's children are from 256 on, and their leaves from 512 on
    units[0] = 256 << 10
    for byte in firsts:
        units[256 + byte] = byte | 1 << 8 | 768 << 10
        units[512 + byte] = 1 << 31
    data = struct.pack("<I768I", 4 * len(units), *units) + b"Z\0"
    node = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}
    model = {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0]]}
    return tokenizers.Tokenizer.from_str(json.dumps({"normalizer": node, "model": model})).normalizer


def kinds_in_17() -> list[int]:
    """Return the byte of every code point as the engine has it: 16.0's, but for what the engine knows otherwise."""
    kinds = [kind_in_16(code) for code in range(0x110000)]
    ascii_first, others = normalizer(range(ord("x"), ord("x") + 1)), normalizer(range(0xC2, 0xF5))

    def joins(text: str) -> bool:
        """Return whether the last two characters of a text, of less than 6 bytes, are only part of a cluster."""
        return others.normalize_str(text) != others.normalize_str(text[:-2]) + "Z"

    for code in range(0x80, 0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        char, kind = chr(code), kinds[code]
        cls, flags = kind & 15, 0
        is_prepend = others.normalize_str(f"{char}x") == "Z"
        if ascii_first.normalize_str(f"x{char}") == "Z":
            is_extend = joins(f"{COPYRIGHT}{char}\u200d{COPYRIGHT}{ACUTE}")
            cls = cls if cls in JOINING else JOINING[0] if is_extend else JOINING[2]
        elif cls in JOINING or (cls == PREPEND) != is_prepend:
            cls = PREPEND if is_prepend else 0
        if cls != PREPEND:  # which joins whatever is behind it
            flags |= PICTOGRAPHIC * joins(f"{char}\u200d{COPYRIGHT}{ACUTE}")
            if joins(f"{char}{LINKER}{CONSONANT}{ACUTE}"):
                flags |= CONJUNCTS["Consonant"]
            elif joins(f"{CONSONANT}{char}{CONSONANT}{ACUTE}"):
                flags |= CONJUNCTS["Linker"]
            elif joins(f"{CONSONANT}{LINKER}{char}{CONSONANT}{ACUTE}"):
                flags |= CONJUNCTS["Extend"]
        kinds[code] = cls | flags
    return kinds


def header(kinds: list[int]) -> str:
    """Return unicode_graphemes.h: a table of two stages."""
    blocks: dict[tuple[int, ...], int] = {}
    index = [blocks.setdefault(tuple(kinds[at : at + BLOCK]), len(blocks)) for at in range(0, len(kinds), BLOCK)]
    rows = ",\n".join("{" + ",".join(map(str, block)) + "}" for block in blocks)
    lines = [",".join(map(str, index[at : at + 32])) for at in range(0, len(index), 32)]
    return (
        "/* unicode_graphemes.h: written by make_unicode_graphemes.py; do not edit; normal_charsmap.c reads it. */\n"
        "#ifndef FE_UNICODE_GRAPHEMES_H\n#define FE_UNICODE_GRAPHEMES_H\n\n#include <stdint.h>\n\n"
        f"static const uint8_t grapheme_index[{len(index)}] = {{\n" + ",\n".join(lines) + "};\n"
        f"static const uint8_t grapheme_blocks[{len(blocks)}][{BLOCK}] = {{\n{rows}}};\n\n#endif\n"
    )


def module(kinds: list[int]) -> str:
    """Return unicode_graphemes.py: runs of code points of one kind."""
    runs = [at for at in range(len(kinds)) if at == 0 or kinds[at] != kinds[at - 1]]
    words = [f"{at:x}:{kinds[at]}" for at in runs]
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > 108:
            lines.append(line)
            line = ""
        line += f"{word} "
    text = "\n".join(f'    "{part}"' for part in [*lines, line.rstrip()])
    doc = "Written by csrc/make_unicode_graphemes.py; do not edit. Where runs of code points begin, and their kind."
    return f'"""{doc}"""\n\nRUNS = (\n{text}\n)\n'


def main() -> None:
    """Write both files."""
    kinds = kinds_in_17()
    (ROOT / "csrc/unicode_graphemes.h").write_text(header(kinds))
    (ROOT / "fastemb/_text/unicode_graphemes.py").write_text(module(kinds))


if __name__ == "__main__":
    main()
