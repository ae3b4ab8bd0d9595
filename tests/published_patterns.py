"""The patterns by which open models cut text, as their `tokenizer.json` give them, and the road that each takes."""

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_CI = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LETTERS = "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = rf"{_CI}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|%s|{_REST}"
_CASED_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _cased(first: str, suffix: str, digits: str, han: str = "") -> str:
    capitals, smalls = rf"[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}{han}]", rf"[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}{han}]"
    front = r"[^\r\n\p{L}\p{N}]?"
    return f"{first}{front}{capitals}*{smalls}+{suffix}|{front}{capitals}+{smalls}*{suffix}|{digits}"


_HAN_AND_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_DEEPSEEK = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPACES = "|".join(rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4))

_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_POSSESSIVE = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|%s| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
_BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"

# The regular expressions by name, each of which cuts the pieces of the one before it.
IN_C: dict[str, tuple[str, ...]] = {
    "GPT-2": (GPT2,),
    "Llama 3": (_WORDS % r"\p{N}{1,3}",),
    "Phi-4": (_POSSESSIVE % r"\p{N}{1,3}",),
    "llama.cpp's Llama 3": ((_WORDS % r"\p{N}{1,3}").replace(_CI, _LETTERS),),
    "digits in a repeated group": (_WORDS % r"\p{N}{1,3}+",),
    "Qwen 2": (_WORDS % r"\p{N}",),
    "Bailing": (_POSSESSIVE % r"\p{N}",),
    "Qwen 3.5": (
        rf"{_CI}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACE}",
    ),
    "GPT-4o": (_cased("", f"{_CI}?", r"\p{N}{1,3}") + _CASED_REST,),
    "Tekken": (_cased("", "", r"\p{N}") + _CASED_REST,),
    "DeepSeek V3": (r"\p{N}{1,3}", _HAN_AND_KANA, _DEEPSEEK),
    "Kimi K2": (_cased(r"[\p{Han}]+|", f"{_CI}?", r"\p{N}{1,3}|", r"&&[^\p{Han}]") + _REST,),
    "BLOOM": (_BLOOM,),
    "Viking": (_BLOOM, r"\p{N}"),
    "Seed-Coder": (  # with real line ends in it
        rf"{_CI}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACE}".replace(
            r"\r\n", "\r\n"
        ),
    ),
    "Ufakzeka": ((_WORDS % r"\p{N}").removeprefix(f"{_CI}|"),),
    "Spark 2.5": (
        r"\p{N}{1,3}",
        _HAN_AND_KANA,
        _DEEPSEEK.replace(r"[\r\n]*|\s*[\r\n]+", r"|[\r\n]"),
        r"\p{N}",
    ),
    "MiniCPM 5": (r"\p{N}{1,3}", _WORDS % r"\p{N}+"),
    "DeepSeek Coder": ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\ud7ff]+", r"\p{N}"),
    "DeepSeek LLM": (
        "[\r\n]",
        r"\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+",  # of its many ranges the first
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+$",
        "[一-龥ࠀ-一가-\ud7ff]+",
        r"\p{N}+",
    ),
    "Youtu": (
        "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+",
        _cased("", f"{_CI}?", r"\p{N}") + _CASED_REST,
    ),
    "Jais 2": ((_WORDS % r"\p{N}{1,3}").replace(r"|\s+(?!\S)|\s+", rf"|{_SPACES}|\s{{1,2}}(?!\S)|\s{{1}}"),),
    "Laguna": (r"[^\n]+|[\n]+", _WORDS % r"\p{N}"),
    "lines": (r"[^\n]+|[\n]+",),
    "no white space": (r"\S+",),
    "CLIP": (r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",),
    "llama.cpp's Falcon": (r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"),
    "llama.cpp's default": (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "Chameleon": (
        "<sentinel:[0-9]+>",
        "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]",
        GPT2,
    ),
}

# Those that C has a splitter of its own for, and its fe_pattern; all others are programs.
KNOWN = {
    "GPT-2": 1,
    "Llama 3": 3,
    "Phi-4": 3,
    "Qwen 2": 4,
    "Bailing": 4,
    "GPT-4o": 5,
    "Tekken": 6,
    "DeepSeek V3": 7,
    "Qwen 3.5": 8,
}

# Groups that are repeated, and look-aheads that count: to the package regex.
NOT_IN_C: dict[str, str] = {
    "EXAONE MoE": rf"{_CI}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}|\s+",
    "Tiny Aya": r"\d{1,3}(?=(?:\d{3})*\b)",
    "SuperBPE": r"(?=(\d{3})+(?!\d))",
}
