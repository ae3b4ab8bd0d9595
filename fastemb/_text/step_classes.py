"""The classes of characters by which the steps of a `tokenizer.json` go, each of the Unicode version of its maker.

Classes of 16.0 are those of `code_sets.py`; of an older version those of 16.0 that it has (`unicode_steps.py` has the
ages), corrected where a character has changed its category since. All are held against `tokenizers` on all code points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from itertools import accumulate

from .code_sets import SPACE, CodeSet, categories, common, complement, joined, read_runs, union, word
from .unicode_steps import AGE_RUNS, LOWER_RUNS, SCRIPT_RUNS

_ASCII_SYMBOLS: CodeSet = joined([(ord(char), ord(char)) for char in "$+<=>^`|~"])
#: What BERT puts spaces around.
CJK: CodeSet = joined(
    [
        (0x4E00, 0x9FFF),
        (0x3400, 0x4DBF),
        (0x20000, 0x2A6DF),
        (0x2A700, 0x2B73F),
        (0x2B740, 0x2B81F),
        (0x2B920, 0x2CEAF),  # Unicode's block begins at 2B820
        (0xF900, 0xFAFF),
        (0x2F800, 0x2FA1F),
    ]
)
NMT_GONE: CodeSet = (
    (0x01, 0x08), (0x0B, 0x0B), (0x0E, 0x1F), (0x7F, 0x7F), (0x8F, 0x8F), (0x9F, 0x9F),
)  # fmt: skip
NMT_SPACES: CodeSet = (
    (0x09, 0x0A), (0x0C, 0x0D), (0x1680, 0x1680), (0x200B, 0x200F), (0x2028, 0x2029), (0x2581, 0x2581),
    (0xFEFF, 0xFEFF), (0xFFFD, 0xFFFD),
)  # fmt: skip


def _of(*names: str) -> CodeSet:
    return union(*(codes for name, codes in categories().items() if name in names or name[0] in names))


def _single(*codes: int) -> CodeSet:
    return joined((code, code) for code in codes)


def _without(codes: CodeSet, gone: CodeSet) -> CodeSet:
    return common(codes, complement(gone))


@cache
def until(version: int) -> CodeSet:
    """Return the code points that Unicode 8, or 9, has."""
    ages = read_runs(AGE_RUNS, ["8", "9"])
    return ages["8"] if version == 8 else union(ages["8"], ages["9"])


@cache
def marks_9() -> CodeSet:
    """Return M of Unicode 9."""
    return _without(union(common(_of("M"), until(9)), _single(0x1CF2, 0x1CF3)), _single(0x111C9))


@cache
def nonspacing_8() -> CodeSet:
    """Return Mn of Unicode 8."""
    now = union(common(_of("Mn"), until(8)), _single(0x1734, 0x1171E))
    return _without(now, _single(0x1885, 0x1886, 0xA9BD, 0x111C9))


@cache
def punctuation_8() -> CodeSet:
    """Return P of Unicode 8, and all of ASCII's punctuation and symbols."""
    return union(common(_of("P"), until(8)), _ASCII_SYMBOLS, _single(0x166D, 0x111C9))


@cache
def numeric_17() -> CodeSet:
    """Return N of Unicode 17."""
    return union(_of("N"), ((0x11DE0, 0x11DE9), (0x16FF4, 0x16FF6)))


@cache
def bert_gone() -> CodeSet:
    """Return what BERT's cleaning removes: NUL, U+FFFD, and Cc, Cf, Co of Unicode 8 but for three white spaces."""
    return _without(union(common(_of("Cc", "Cf", "Co"), until(8)), _single(0xFFFD)), _single(9, 10, 13))


@cache
def bert_spaces() -> CodeSet:
    """Return what BERT's cleaning makes spaces of."""
    return union(_of("Z"), _single(9, 10, 13))


def re_class(codes: CodeSet) -> str:
    """Return the set as Python's own `re` writes it."""
    return "[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in codes) + "]"


@cache
def one_of(name: str) -> re.Pattern[str]:
    """Return what finds one character of a class."""
    makers: dict[str, Callable[[], CodeSet]] = {
        "marks": marks_9,
        "nonspacing": nonspacing_8,
        "punctuation": punctuation_8,
        "numeric": numeric_17,
        "bert gone": bert_gone,
        "bert spaces": bert_spaces,
        "space": lambda: SPACE,
        "cjk": lambda: CJK,
        "nmt gone": lambda: NMT_GONE,
        "nmt spaces": lambda: NMT_SPACES,
        "word": lambda: word("fancy"),
        "young": lambda: complement(until(9)),
    }
    return re.compile(re_class(makers[name]()))


@cache
def words() -> re.Pattern[str]:
    r"""Return what finds ``\w+|[^\w\s]+`` of Rust's classes."""
    inside = word("fancy")
    return re.compile(f"{re_class(inside)}+|{re_class(complement(union(inside, SPACE)))}+")


@cache
def gpt2_pieces() -> re.Pattern[str]:
    """Return what finds the pieces of GPT-2: of short texts quicker than C, which is called for each."""
    letters, numbers, space = _of("L"), _of("N"), SPACE
    others = re_class(complement(union(letters, numbers, space)))
    blank, dark = re_class(space), re_class(complement(space))
    words = f" ?{re_class(letters)}+| ?{re_class(numbers)}+| ?{others}+"
    return re.compile(f"'(?:[sdmt]|ll|ve|re)|{words}|{blank}+(?!{dark})|{blank}+")


@cache
def small_letters() -> dict[int, str]:
    """Return what each character becomes in lower case, where that is another text: for `str.translate`."""
    found = {0x130: "i\u0307"}
    for run in LOWER_RUNS.split():
        first, count, step, delta = map(int, run.split(":"))
        found |= {code: chr(code + delta) for code in range(first, first + count * step, step)}
    return found


@cache
def _scripts() -> tuple[list[int], list[int]]:
    """Return where runs of one script begin, and the script of each."""
    numbers, lengths = zip(*(map(int, run.split(":")) for run in SCRIPT_RUNS.split()), strict=True)
    return [0, *accumulate(lengths)], list(numbers)


def script_of(char: str) -> int:
    """Return the number of a character's script in Unicode 9; 0 where it has none, or goes with any."""
    starts, numbers = _scripts()
    return numbers[bisect_right(starts, ord(char)) - 1]
