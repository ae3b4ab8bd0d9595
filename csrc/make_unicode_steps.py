"""Write fastemb/_text/unicode_steps.py: what the steps of a `tokenizer.json` know of Unicode, each of another version.

The ages of code points and their scripts are PyPI's `unicodedataplus` 16.0.0's; lower case, which is Rust's of Unicode
17, is what `tokenizers` 0.23 makes of each code point, as no package has it yet. What changed after a version, beside
what was added, is corrected by hand below and held by an exhaustive test.

    pip install unicodedataplus==16.0.0.post1 tokenizers==0.23.3 && python csrc/make_unicode_steps.py
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

import unicodedataplus as ucd
from tokenizers.normalizers import Lowercase

WIDTH = 112
# Scripts that were others in Unicode 9, and those that the pre-tokenizer takes for Han's.
SCRIPTS = {0x589: "Common", 0x61C: "Common", 0x953: "Devanagari", 0x954: "Devanagari", 0x30FC: "Han"}
HAN = {"Hiragana", "Katakana"}


def age(code: int) -> float:
    """Return the version of Unicode that has the code point first; 99 where none has it."""
    found = ucd.age(chr(code))
    return 99.0 if found in (None, "", "NA", "Unassigned") else float(found)


def ages() -> str:
    """Return all code points as runs: a for those of Unicode 8, b for those that 9 added, a hyphen for the others."""
    names = (("a" if age(code) <= 8 else "b" if age(code) <= 9 else "-") for code in range(0x110000))
    return "".join(f"{name}{length if length > 1 else ''}" for name, length in runs(names))


def scripts() -> str:
    """Return all code points as runs, each the number of a script and how many code points have it.

    0 is none: a code point that Unicode 9 does not have, and the space.
    """
    numbers: dict[str, int] = {}

    def script(code: int) -> int:
        if age(code) > 9 or code == 0x20:
            return 0
        name = SCRIPTS.get(code, ucd.script(chr(code)))
        name = "Han" if name in HAN else name
        return 0 if name == "Unknown" else numbers.setdefault(name, len(numbers) + 1)

    return " ".join(f"{number}:{length}" for number, length in runs(map(script, range(0x110000))))


def lower() -> str:
    """Return runs of capitals: the first one, how many, how far apart, and how far from each its small letter is."""
    lowered = Lowercase()
    pairs = [(code, lowered.normalize_str(chr(code))) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    changed = [(code, ord(small) - code) for code, small in pairs if small != chr(code) and len(small) == 1]
    assert [code for code, small in pairs if len(small) != 1] == [0x130]
    found: list[list[int]] = []
    for code, delta in changed:
        if found and found[-1][3] == delta:
            first, count, step, _ = found[-1]
            if count == 1 and code - first <= 2:
                found[-1][1:3] = 2, code - first
                continue
            if count > 1 and code == first + count * step:
                found[-1][1] += 1
                continue
        found.append([code, 1, 1, delta])
    return " ".join(":".join(map(str, run)) for run in found)


def runs(values: Iterable[str | int]) -> list[tuple[str | int, int]]:
    """Return each value and how often it stands in a row."""
    return [(value, len(list(run))) for value, run in groupby(values)]


def rows(text: str) -> str:
    """Return the text as rows of a parenthesised literal."""
    return "\n".join(f'    "{text[i : i + WIDTH]}"' for i in range(0, len(text), WIDTH))


def main() -> None:
    """Write the module."""
    assert ucd.unidata_version == "16.0.0", f"need unicodedataplus 16.0.0, not {ucd.unidata_version}"
    tables: list[tuple[str, str, Callable[[], str]]] = [
        ("AGE_RUNS", "a: in Unicode 8; b: new in 9; a hyphen: younger, or in no version.", ages),
        ("SCRIPT_RUNS", "By code point the number of its script in Unicode 9 and the run's length; 0: none.", scripts),
        ("LOWER_RUNS", "First capital, how many, how far apart, how far to the small letter; without U+0130.", lower),
    ]
    body = "".join(f"\n# {comment}\n{name} = (\n{rows(make())}\n)\n" for name, comment, make in tables)
    (Path(__file__).parents[1] / "fastemb" / "_text" / "unicode_steps.py").write_text(
        '"""Written by csrc/make_unicode_steps.py; do not edit. All code points from 0 on, as runs."""\n' + body
    )


if __name__ == "__main__":
    main()
