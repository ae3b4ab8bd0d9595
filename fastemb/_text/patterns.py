r"""The patterns that C cuts by: their names, and the spellings under which files and other libraries give them.

Two spellings share a number only where they cut every text alike:

- `++`, `?+`, `*+` for `+`, `?`, `*`: nothing that follows could use a character given back. Not `{1,3}+`, which in
  Oniguruma is a group of `{1,3}` repeated.
- `'(?:[sdmt]|ll|ve|re)` for `'s|'t|'re|'ve|'m|'ll|'d`: no ending starts another, so their order is free.
- `\s++$` before `\s+(?!\S)`: both take white space up to the end of the text. Not before `\s*[\r\n]`, where the first
  takes what stands behind the last line break as well: cl100k as tiktoken has it since 0.9 is not Llama-3's.
  (Oniguruma's `$` is also the end of a line, but `\s++` leaves no line break behind itself.)
- `\s` for `\s+` as the last alternative: it is tried only where `\s+(?!\S)` fails, which it does at one single white
  space before something else.
- `\s*[\r\n]` for `\s*[\r\n]+`: both end at the last line break of the white space.
"""

from __future__ import annotations

from enum import IntEnum

from .regex_class import Dialect


class Pattern(IntEnum):
    """The numbers that C knows patterns by: fe_pattern in fe.h."""

    GPT2 = 1
    CL100K = 2
    LLAMA3 = 3
    QWEN2 = 4
    O200K = 5
    TEKKEN = 6
    DEEPSEEK_V3 = 7
    QWEN35 = 8
    GPT2_DIGITS = 9


NAMES = {
    "gpt2": Pattern.GPT2,
    "r50k": Pattern.GPT2,
    "p50k": Pattern.GPT2,
    "p50k_edit": Pattern.GPT2,
    "cl100k": Pattern.CL100K,
    "llama3": Pattern.LLAMA3,
    "qwen2": Pattern.QWEN2,
    "o200k": Pattern.O200K,
    "o200k_harmony": Pattern.O200K,
    "tekken": Pattern.TEKKEN,
    "deepseek_v3": Pattern.DEEPSEEK_V3,
    "qwen3_5": Pattern.QWEN35,
    "gpt2_digits": Pattern.GPT2_DIGITS,
}

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*%s|"
_CASED_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# The spelling that each is known by; of several patterns each cuts what the one before it left whole or between.
SPELLINGS: dict[Pattern, tuple[str, ...]] = {
    Pattern.GPT2: (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",),
    Pattern.CL100K: (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
        r"\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
    Pattern.LLAMA3: (rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}",),
    Pattern.QWEN2: (rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}",),
    Pattern.O200K: (_CASED % (f"{_CONTRACTIONS}?", f"{_CONTRACTIONS}?") + r"\p{N}{1,3}" + _CASED_REST,),
    Pattern.TEKKEN: (_CASED % ("", "") + r"\p{N}" + _CASED_REST,),
    Pattern.DEEPSEEK_V3: (
        r"\p{N}{1,3}",
        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
        r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    Pattern.QWEN35: (
        rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    # What Hugging Face's Digits cuts off, each by itself: numbers of Unicode 17.0.
    Pattern.GPT2_DIGITS: (
        r"[\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}]",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    ),
}

# Spellings that mean the same in both dialects.
_OTHERS = {
    # GPT-2's own code
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": Pattern.GPT2,
    # tiktoken 0.4 and 0.9
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": Pattern.GPT2,
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s": Pattern.GPT2,
    # what tiktoken 0.7 called cl100k
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|"
    r"\s*[\r\n]|\s+(?!\S)|\s+": Pattern.LLAMA3,
    # Bailing's (Ling, Ring)
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|"
    r"\s*[\r\n]|\s+(?!\S)|\s+": Pattern.QWEN2,
}
# Spellings by which a tokenizer.json can have them, where their own mean something else there: in Oniguruma {1,3}+ is a
# group repeated.
ONIGURUMA: dict[Pattern, tuple[str, ...]] = {
    Pattern.CL100K: (SPELLINGS[Pattern.CL100K][0].replace("{1,3}+", "{1,3}"),),
}
# Patterns whose dialect is a condition: in the other one they mean something else, or cannot be given at all.
_ONLY_FANCY = {Pattern.CL100K}
_ONLY_ONIGURUMA = {Pattern.DEEPSEEK_V3, Pattern.GPT2_DIGITS}
#: Patterns whose matches leave nothing of a text between them.
COVERING = frozenset(Pattern) - _ONLY_ONIGURUMA


def pattern_named(name: str) -> Pattern | None:
    """Return the pattern of this name, with or without `_base`; None where it is no name."""
    return NAMES.get(name.removesuffix("_base"))


def known_pattern(*patterns: str, dialect: Dialect = "fancy") -> Pattern | None:
    """Return the pattern that C knows and that cuts every text as these do, one after another; else None.

    Parameters
    ----------
    *patterns : str
        One regular expression, or several where each cuts what the one before it gave.
    dialect : {"fancy", "oniguruma"}
        See `fastemb._text.regex_split.compile_pattern`.
    """
    # A tokenizer.json may hold the line breaks themselves: in a class and outside they mean what their escapes do.
    texts = tuple(text.replace("\r", r"\r").replace("\n", r"\n") for text in patterns)
    if dialect == "oniguruma" and texts in _BY_ONIGURUMA:
        return _BY_ONIGURUMA[texts]
    found = _BY_SPELLING.get(texts)
    return None if found in (_ONLY_FANCY if dialect == "oniguruma" else _ONLY_ONIGURUMA) else found


_BY_SPELLING = {texts: number for number, texts in SPELLINGS.items()} | {(text,): n for text, n in _OTHERS.items()}
_BY_ONIGURUMA = {texts: number for number, texts in ONIGURUMA.items()}
