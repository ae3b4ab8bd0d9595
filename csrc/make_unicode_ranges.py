"""Write fastemb/_text/unicode_ranges.py: the general category of every code point, and some scripts.

They are those of Unicode 16.0.0, which both tiktoken 0.14 and tokenizers 0.23 use, taken from PyPI's
`unicodedataplus` 16.0.0, which unlike `unicodedata2` knows scripts:

    pip install unicodedataplus==16.0.0.post1 && python csrc/make_unicode_ranges.py
"""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from string import ascii_letters

import unicodedataplus as ucd

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn"
SCRIPTS = "Arabic Bengali Cyrillic Devanagari Greek Hangul Han Hebrew Hiragana Katakana Latin Tamil Thai"
WIDTH = 112


def runs(value: Callable[[str], str], names: list[str]) -> str:
    """Return all code points as runs: a letter for each of `names`, then the run's length if it is not 1.

    A hyphen stands for anything else.
    """
    text = ""
    for name, run in groupby(value(chr(code)) for code in range(0x110000)):
        length = len(list(run))
        text += (ascii_letters[names.index(name)] if name in names else "-") + (str(length) if length > 1 else "")
    return text


def rows(text: str) -> str:
    """Return the text as rows of a parenthesised literal."""
    return "\n".join(f'    "{text[i : i + WIDTH]}"' for i in range(0, len(text), WIDTH))


def main() -> None:
    """Write the module."""
    assert ucd.unidata_version == "16.0.0", f"need unicodedataplus 16.0.0, not {ucd.unidata_version}"
    (Path(__file__).parents[1] / "fastemb" / "_text" / "unicode_ranges.py").write_text(
        '"""Written by csrc/make_unicode_ranges.py from Unicode 16.0.0; do not edit.\n\n'
        "All code points from 0 on, as runs: a letter for the value, then the run's length if it is not 1.\n"
        '"""\n\n'
        "# The first value has the letter a, the 27th A; a hyphen stands for none of them.\n"
        f'CATEGORIES = "{CATEGORIES}"\n'
        f'SCRIPTS = "{SCRIPTS}"\n\n'
        f"CATEGORY_RUNS = (\n{rows(runs(ucd.category, CATEGORIES.split()))}\n)\n\n"
        f"SCRIPT_RUNS = (\n{rows(runs(ucd.script, SCRIPTS.split()))}\n)\n"
    )


if __name__ == "__main__":
    main()
