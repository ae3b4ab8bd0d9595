"""Patterns as programs in C, held against tokenizers' Oniguruma, tiktoken's fancy-regex and the package regex."""

import functools
import random
import re
import time

import published_patterns
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranked_cases import FRAGMENTS

from fastemb._text.chain import Chain, Keep, Step, chain_of
from fastemb._text.components import Split
from fastemb._text.core import lib
from fastemb._text.patterns import SPELLINGS, Pattern
from fastemb._text.plan_cuts import cuts_in_c
from fastemb._text.program import UNLIMITED, Item, ItemKind, program_of
from fastemb._text.regex_split import compile_pattern

pytest.importorskip("regex", reason="an oracle of the patterns; the extra 'test' has it")
tokenizers = pytest.importorskip("tokenizers", reason="an oracle of the patterns; the extra 'test' has it")

RUBY, FANCY = "oniguruma", "fancy"
PUBLISHED = published_patterns.IN_C
# At least one character of each kind that some published pattern tells from the others.
ALPHABET = [
    *"aslLA1!/€'-. \t\n\r\0", "\u017f", "\u01c5", "\u02b0", "א", "あ", "・", "\u3040", "\u3099", "\u0301", "٣",
    "\u3000", "中", "가", "ㄱ", "ㄅ", "…", "。", "²", "½", "ü", "\u0085", "\u00a0", "「", "IMGIMG", "Z",
]  # fmt: skip


@functools.cache
def chain_for(patterns: tuple[str, ...], dialect: str = RUBY, keep: Keep = Keep.ALL) -> Chain | None:
    programs = [program_of(pattern, dialect) for pattern in patterns]
    return None if None in programs else chain_of([Step(program, keep) for program in programs])


def pieces_of(chain: Chain, text: str) -> list[str]:
    data = text.encode()
    starts, ends = chain.cut(data)
    return [data[start:end].decode() for start, end in zip(starts, ends, strict=True)]


@functools.lru_cache(maxsize=8)
def strings(count: int, seed: int) -> list[str]:
    """Return strings of fragments, and strings of few characters with short and long runs."""
    rng = random.Random(seed)
    texts = ["".join(rng.choices(FRAGMENTS, k=rng.randint(1, 16))) for _ in range(count)]
    for _ in range(count):
        pool = rng.choices(ALPHABET, k=rng.randint(2, 6))
        texts.append("".join(char * rng.choice((1, 1, 1, 2, 3, 9, 150)) for char in rng.choices(pool, k=12)))
    return texts


def same(chain: Chain, splits, texts: list[str]) -> None:
    for text in texts:
        assert pieces_of(chain, text) == [piece for piece, _ in splits.pre_tokenize_str(text)], text


def as_splits(patterns: tuple[str, ...]):
    splits = [tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated") for pattern in patterns]
    return tokenizers.pre_tokenizers.Sequence(splits)


# ---------------------------------------------------------------- published patterns


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_road_of_each_pattern(name):
    number = published_patterns.KNOWN.get(name, lib.FE_PATTERN_PROGRAM)
    cuts = cuts_in_c([Split(pattern, False, "Isolated", False) for pattern in PUBLISHED[name]])
    assert cuts.pattern == number
    assert (cuts.chain is not None) == (number == lib.FE_PATTERN_PROGRAM)


@pytest.mark.parametrize("name", published_patterns.NOT_IN_C)
def test_patterns_that_are_no_programs(name):
    pattern = published_patterns.NOT_IN_C[name]
    assert program_of(pattern, RUBY) is None
    assert cuts_in_c([Split(pattern, False, "Isolated", False)]) is None


@pytest.mark.parametrize("name", PUBLISHED)
def test_pieces(name):
    """Also where C has a splitter of its own for the pattern: as a program it is cut alike."""
    same(chain_for(PUBLISHED[name]), as_splits(PUBLISHED[name]), strings(150, seed=len(name)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_pieces_of_real_text(name, real_lines):
    texts = ["\n".join(real_lines[i : i + 30]) for i in range(len(name), len(real_lines), 4000)]
    same(chain_for(PUBLISHED[name]), as_splits(PUBLISHED[name]), texts)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", PUBLISHED)
def test_many_pieces(name):
    same(chain_for(PUBLISHED[name]), as_splits(PUBLISHED[name]), strings(10_000, seed=2))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_character(name):
    """Each code point between letters, twice, and behind a space."""
    chars = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(f"a{char}{char} {char}b" for char in chars[i : i + 256]) for i in range(0, len(chars), 256)]
    same(chain_for(PUBLISHED[name]), as_splits(PUBLISHED[name]), texts)


ALONE = [patterns[0] for patterns in (*PUBLISHED.values(), SPELLINGS[Pattern.CL100K]) if len(patterns) == 1]


@pytest.mark.parametrize("pattern", ALONE)
def test_fancy_dialect(pattern):
    """What no match covers is dropped, as by tiktoken."""
    try:
        splitter = compile_pattern(pattern, FANCY)
    except ValueError:
        pytest.skip("not of this dialect")
    chain = chain_for((pattern,), FANCY, Keep.MATCHES)
    for text in strings(100, seed=3):
        assert pieces_of(chain, text) == splitter.pieces(text)


# ---------------------------------------------------------------- what is a program, and what is none


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"a*", r"a|b*", r"(?=a)", r"$", r"a?b?", "", r"a||b"),  # may match nothing
        *(r"^a", r"\ba", r"\Aa", r"(?<=a)b", r"a+?", r"a{2}?b", r"(?>ab)+", r"(ab)+", r"(?:a|bc)*d", r"a(?=bc)"),
        *(
            r"[ab]*(?:ac|bd)",
            r"a(?i)b|c",
            "|".join("abcdefghijklmnopqrstuvwxyz1234567"),
            r"(?:(?:(?:(?:(?:ab))))))"[:-1],
        ),
        *(r"a{0}b", r"(ab){2}", r"a{2,3}+b"),
        *(
            r"[ab]*[bc]*b",
            r"[ab]{0,20}b{1,3}a",
            r"a{5000}b",
            r"\p{L}+.{2}",
        ),  # C refuses them: text could make them slow
    ],
)
def test_no_programs(pattern):
    try:
        program = program_of(pattern, RUBY)
    except ValueError:  # or the translator does
        return
    assert program is None or chain_of([Step(program)]) is None


def test_too_many_classes():
    assert chain_of([Step(program_of("|".join("abcdefghijklmnopqrstuvwxyz123456"), RUBY))]) is not None
    steps = [Step(program_of("|".join(chars), RUBY)) for chars in ("abcdefghijklmnop", "ABCDEFGHIJKLMNOPQ")]
    assert chain_of(steps) is None
    assert chain_of([Step(program_of("a", RUBY))] * 9) is None
    assert chain_of([]) is None


@pytest.mark.parametrize(
    ("pattern", "want"),
    [
        (r"[ab]+b", ["abab", "c", "aaab", "ca"]),
        (r"[ab]++b", ["ababcaaab"]),
        (r"a{2,3}", ["aaa", "aa", "b", "aa", "ba"]),
        (r"\s+(?=\n)|x", ["  ", "\n", "x"]),
    ],
)
def test_giving_back(pattern, want):
    assert pieces_of(chain_for((pattern,)), "".join(want)) == want


def test_more_pieces_than_are_found_at_a_time():
    """C finds some 500, then hands them on: wherever that is, between a gap and a match too."""
    chain, splits = chain_for(("a",)), as_splits(("a",))
    for start in ("", "a", "b", "ab", "aa", "ba"):
        same(chain, splits, [start + unit * 1100 for unit in ("ab", "ba", "aab", "a", "abbb")])


# Patterns over three letters, whose classes overlap, so that everything may have to be given back.
_CLASSES = ["a", "b", "[ab]", "[bc]", "[^a]", ".", "[^\n]", r"\n", "[a\n]"]
_QUANTIFIERS = ["", "", "?", "*", "+", "{2}", "{1,3}", "{0,2}", "?+", "*+", "++"]
_LOOKS = ["(?=a)", "(?![ab])", "(?!.)", "$", r"\z"]
_ITEMS = st.tuples(st.sampled_from(_CLASSES), st.sampled_from(_QUANTIFIERS)).map("".join) | st.sampled_from(_LOOKS)
_PATTERNS = st.lists(st.lists(_ITEMS, min_size=1, max_size=4).map("".join), min_size=1, max_size=4).map("|".join)
_TEXTS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "\n", "é"]), st.sampled_from([1, 1, 1, 2, 3, 140])).map(
        lambda x: x[0] * x[1]
    ),
    max_size=9,
).map("".join)


DRAWN = given(pattern=_PATTERNS, texts=st.lists(_TEXTS, min_size=1, max_size=8), dialect=st.sampled_from([RUBY, FANCY]))


@settings(max_examples=200, deadline=None)
@DRAWN
def test_drawn_patterns(pattern, texts, dialect):
    check_drawn(pattern, texts, dialect)


@pytest.mark.exhaustive
@settings(max_examples=10_000, deadline=None)
@DRAWN
def test_many_drawn_patterns(pattern, texts, dialect):
    check_drawn(pattern, texts, dialect)


def check_drawn(pattern, texts, dialect):
    chain = chain_for((pattern,), dialect, Keep.ALL if dialect == RUBY else Keep.MATCHES)
    if chain is None:
        return
    splitter = compile_pattern(pattern, dialect)
    for text in texts:
        assert pieces_of(chain, text) == splitter.pieces(text)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(list(PUBLISHED)),
    parts=st.lists(st.binary(max_size=5) | st.sampled_from(ALPHABET).map(str.encode), max_size=12),
)
def test_bytes_that_are_no_utf8(name, parts):
    """Each byte that is part of no character is read as U+FFFD, and is a character of its own."""
    data = b"".join(parts)
    escaped = data.decode(errors="surrogateescape")
    lengths = [1 if "\ud800" <= char <= "\udfff" else len(char.encode()) for char in escaped]
    chain = chain_for(PUBLISHED[name])
    sizes = [len(piece) for piece in pieces_of(chain, re.sub("[\ud800-\udfff]", "\ufffd", escaped))]
    ends, at = [], 0
    for size in sizes:
        at += size
        ends.append(sum(lengths[:at]))
    assert chain.cut(data)[1].tolist() == ends


# ---------------------------------------------------------------- linear time

RUNS = [
    *("a", "A", "1", " ", "\n", "\t", "!", "/", "'", "\0", "\u0301", "中", "\u3040", "・", "\u3000", "ʰ"),
    *("'s", "Aa", "aA", "\u0301A", "中A", "ʰA", "\t1", " 1", " \n", "\n ", "\r\n", "/\n", "\0 ", "\u3040 ", "IMG"),
]
HOSTILE = {
    "to the end of a run": (r"[^x]+x",),
    "a run behind a run": (r"a*b*c",),
    "a line end behind a run": (r"\s*\n", r"\s+$"),
    "one character given back": (r".?[ab]*b",),
    "many characters": (r" {400}x",),
    "runs kept apart": (r"a*[bc]{0,9}d*e",),
}


@pytest.mark.parametrize("name", [*PUBLISHED, *HOSTILE])
def test_linear_time(name):
    """This takes milliseconds; what walks to the end of a run for each of its pieces takes half a minute."""
    chain = chain_for((PUBLISHED | HOSTILE)[name])
    for run in (*RUNS, "ab", "a" * 300 + "b" * 300, "aab", "d"):
        data = run * (100_000 // len(run.encode()))
        for text in (data, data + "x\n", data + "1", "中" + data + "中"):
            start = time.process_time()
            _, ends = chain.cut(text.encode())
            assert time.process_time() - start < 1, run
            assert ends[-1] <= len(text.encode()) if ends.size else True


def test_items_are_what_c_calls_them():
    names = {name.removeprefix("FE_ITEM_"): getattr(lib, name) for name in dir(lib) if name.startswith("FE_ITEM_")}
    assert names == {kind.name: kind.value for kind in ItemKind}
    keeps = {name.removeprefix("FE_KEEP_"): getattr(lib, name) for name in dir(lib) if name.startswith("FE_KEEP_")}
    assert keeps == {kind.name: kind.value for kind in Keep}
    (alternative,) = program_of("[a-c]+", RUBY)
    assert alternative == (Item(ItemKind.CLASS, ((97, 99),), 1, UNLIMITED),)
