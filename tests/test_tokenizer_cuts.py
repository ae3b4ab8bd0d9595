"""The pre-tokenizers of a `tokenizer.json` that C runs, held against the package tokenizers."""

import itertools
import json

import numpy as np
import pytest
from published_patterns import GPT2, IN_C
from test_tokenizer_programs import strings

import fastemb
from fastemb._text.code_sets import SPACE
from fastemb._text.component_sets import numeric, punctuation
from fastemb._text.components import (
    BertPreTokenizer,
    ByteLevel,
    CharDelimiterSplit,
    Digits,
    FixedLength,
    Metaspace,
    Punctuation,
    Split,
    UnicodeScripts,
    Whitespace,
    WhitespaceSplit,
)
from fastemb._text.core import ffi, lib
from fastemb._text.plan_cuts import Cuts, cuts_in_c
from fastemb._text.vocabulary import BYTE_CHARS

tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
pre = tokenizers.pre_tokenizers

BEHAVIORS = {
    "Isolated": "isolated",
    "Removed": "removed",
    "MergedWithPrevious": "merged_with_previous",
    "MergedWithNext": "merged_with_next",
    "Contiguous": "contiguous",
}
QWEN2 = IN_C["Qwen 2"][0]
PLAIN = ByteLevel(add_prefix_space=False, use_regex=False)
FALCON = (
    Punctuation("Contiguous"),
    ByteLevel(add_prefix_space=False),
    Digits(False),
    Split("[0-9][0-9][0-9]", False, "Isolated", False),
)


def theirs(step):
    match step:
        case Split():
            pattern = step.pattern if step.literal else tokenizers.Regex(step.pattern)
            return pre.Split(pattern, BEHAVIORS[step.behavior], step.invert)
        case Digits():
            return pre.Digits(step.individual_digits)
        case Punctuation():
            return pre.Punctuation(BEHAVIORS[step.behavior])
        case CharDelimiterSplit():
            return pre.CharDelimiterSplit(step.delimiter)
        case FixedLength():
            return pre.FixedLength(step.length)
        case ByteLevel():
            return pre.ByteLevel(add_prefix_space=step.add_prefix_space, use_regex=step.use_regex)
        case _:
            return getattr(pre, type(step).__name__)()


def spans(cuts: Cuts, data: bytes) -> list[tuple[int, int]]:
    if cuts.chain is not None:
        starts, ends = cuts.chain.cut(data)
        return list(zip(starts.tolist(), ends.tolist(), strict=True))
    ends, count = np.empty(len(data), np.int64), ffi.new("int64_t *")
    target = ffi.from_buffer("int64_t[]", ends, require_writable=True)
    assert lib.fe_split(cuts.pattern, lib.FE_PATH_BEST, data, len(data), target, ends.size, count) == lib.FE_OK
    return list(itertools.pairwise([0, *ends[: count[0]].tolist()]))


def same(steps, texts=None) -> None:
    cuts = cuts_in_c(steps)
    assert cuts is not None
    sequence = pre.Sequence([theirs(step) for step in steps])
    for text in strings(120, seed=11) if texts is None else texts:
        data = text.encode()
        parts = [data[start:end] for start, end in spans(cuts, data)]
        ours = ["".join(BYTE_CHARS[byte] for byte in part) if cuts.byte_level else part.decode() for part in parts]
        assert ours == [piece for piece, _ in sequence.pre_tokenize_str(text)], text


# ---------------------------------------------------------------- components


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_behaviours(behavior, invert):
    for pattern in (r"\s+", r"\p{N}{1,3}", GPT2, r"a+|-", r"\w+", r"[^a]"):
        same([Split(pattern, False, behavior, invert)])
    for text in ("-", "ab", " ", ".", "1"):
        same([Split(text, True, behavior, invert)])
    same([Split("-", True, behavior, invert)], ["-a--b-", "-", "--", "a", "a-", "-a", ""])
    same([Split(r"\s", False, behavior, invert), Split("a", True, behavior, not invert), Digits(True)])


@pytest.mark.parametrize(
    "step",
    [
        Digits(True),
        Digits(False),
        *map(Punctuation, BEHAVIORS),
        Whitespace(),
        WhitespaceSplit(),
        CharDelimiterSplit("-"),
        CharDelimiterSplit("あ"),
        BertPreTokenizer(),
        FixedLength(1),
        FixedLength(5),
        FixedLength(5000),
    ],
    ids=str,
)
def test_components(step):
    same([step])
    same([step, PLAIN])
    same([Split(r"\p{L}+|\p{N}+", False, "Isolated", False), step])


@pytest.mark.parametrize(
    "steps",
    [
        FALCON,
        (ByteLevel(add_prefix_space=False), Whitespace()),
        (PLAIN, Punctuation(), Digits(True)),
        (PLAIN, Split(r"[^\r\n\p{L}\p{N}]?\p{L}+|.", False, "Isolated", False)),
        (Digits(True), ByteLevel(add_prefix_space=False)),
        (Split(QWEN2, False, "Isolated", False), Digits(True), PLAIN),
        (Split("[\r\n]", False, "Isolated", False), Split(QWEN2, False, "Isolated", False), PLAIN),
        (WhitespaceSplit(), Punctuation("Removed"), FixedLength(2), Digits(False), CharDelimiterSplit("a")),
    ],
)
def test_chains(steps):
    same(steps)


def test_cuts_inside_characters():
    data = "über 1²½3 12345".encode()
    pieces = [data[start:end] for start, end in spans(cuts_in_c(FALCON), data)]
    assert pieces[:3] == [b"\xc3", b"\xbc", b"ber"]
    assert pieces[-2:] == [b"123", b"45"]


def test_what_c_does_not_cut():
    for steps in (
        [UnicodeScripts()],
        [Metaspace("\u2581")],
        [ByteLevel(), ByteLevel()],
        [Digits(True), ByteLevel(add_prefix_space=True)],
        [ByteLevel(add_prefix_space=True), Digits(True)],
        [Split("", True, "Isolated", False)],
        [Split(r"\d*", False, "Isolated", False)],
        [Split(r"(?=b)", False, "Isolated", False)],
        [Split(r"\d{1,3}(?=(?:\d{3})*\b)", False, "Isolated", False)],
        [Digits(True)] * 9,
    ):
        assert cuts_in_c(steps) is None


def test_what_is_a_known_pattern():
    qwen = Split(QWEN2, False, "Isolated", False)
    deepseek = [Split(pattern, False, "Isolated", False) for pattern in IN_C["DeepSeek V3"]]
    assert cuts_in_c([]) == Cuts(lib.FE_PATTERN_NONE)
    assert cuts_in_c([ByteLevel()]) == Cuts(lib.FE_PATTERN_GPT2, byte_level=True, add_prefix_space=True)
    assert cuts_in_c([PLAIN]) == Cuts(lib.FE_PATTERN_NONE, byte_level=True)
    assert cuts_in_c([qwen, PLAIN]) == Cuts(lib.FE_PATTERN_QWEN2, byte_level=True)
    assert cuts_in_c([Split(QWEN2, False, "Removed", True)]) == Cuts(lib.FE_PATTERN_QWEN2)
    assert cuts_in_c([*deepseek, PLAIN]) == Cuts(lib.FE_PATTERN_DEEPSEEK_V3, byte_level=True)
    for steps in ([Split(QWEN2, False, "Removed", False)], [Split(QWEN2, False, "Contiguous", False)], deepseek[:2]):
        assert cuts_in_c(steps).pattern == lib.FE_PATTERN_PROGRAM


# ---------------------------------------------------------------- every character


def members(step, codes) -> set[int]:
    """Return which characters a pre-tokenizer cuts out, or drops, between letters."""
    text = "xx".join(["", *map(chr, codes), ""])
    inside = np.zeros(len(text), bool)
    for _, (start, end) in theirs(step).pre_tokenize_str(text):
        inside[start:end] = end - start > 1
    places = np.arange(2, len(text), 3)
    return {codes[i] for i in np.flatnonzero(~inside[places[: len(codes)]]).tolist()}


def codes_of(sets) -> set[int]:
    return {code for first, last in sets for code in range(first, last + 1)}


@pytest.mark.parametrize(
    "span", [(0, 0x3100), pytest.param((0x3100, 0x110000), marks=pytest.mark.exhaustive)], ids=["sample", "all"]
)
def test_every_character(span):
    codes = [code for code in range(*span) if not 0xD800 <= code < 0xE000 and code != ord("x")]
    within = set(codes)
    assert members(Digits(True), codes) == codes_of(numeric()) & within
    assert members(Punctuation(), codes) == codes_of(punctuation()) & within
    assert members(BertPreTokenizer(), codes) == (codes_of(punctuation()) | codes_of(SPACE)) & within
    assert members(WhitespaceSplit(), codes) == codes_of(SPACE) & within
    for step in (Whitespace(), Digits(False), BertPreTokenizer()):
        same([step], ["x".join(map(chr, codes[i : i + 4096])) for i in range(0, len(codes), 4096)])


# ---------------------------------------------------------------- from file to ids


def json_with(steps: list[dict]) -> dict:
    """Return a `tokenizer.json` of byte level whose merges make words."""
    pairs = ["Ġ t", "h e", "Ġt he", "1 2", "12 3", "Ã ¼", "i n", "Ġ in", "Ġ Ġ", "' s", "o n", "Ċ Ċ"]
    merges = [pair.split() for pair in pairs]
    names = [*BYTE_CHARS, *map("".join, merges)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": len(names), "content": "<s>", "special": True, "normalized": False, "single_word": False}
            | {"lstrip": False, "rstrip": False}
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {name: id for id, name in enumerate(names)}, "merges": merges},
    }


def byte_level(use_regex: bool) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


FAMILIES = {
    "Falcon": [
        {"type": "Punctuation", "behavior": "Contiguous"},
        byte_level(True),
        {"type": "Digits", "individual_digits": False},
        split("[0-9][0-9][0-9]"),
    ],
    "StarCoder": [{"type": "Digits", "individual_digits": True}, byte_level(True)],
    "BLOOM": [split(IN_C["BLOOM"][0]), byte_level(False)],
    "Qwen 3.5": [split(IN_C["Qwen 3.5"][0]), byte_level(False)],
    "dropped": [split(r"\s+|in", "Removed"), byte_level(False)],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_ids_of_files(name, tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(json_with(FAMILIES[name])))
    ours, hf = fastemb.Tokenizer.load(file), tokenizers.Tokenizer.from_file(str(file))
    ours.save(tmp_path / "saved.fe")
    saved = fastemb.Tokenizer.load(tmp_path / "saved.fe")
    texts = [
        "",
        " ",
        "in",
        "the über 12345²½ <s>  in's\n\n",
        *strings(60, seed=4),
        "the in " * 3000,
        *(["the", "", " "] * 700),
    ]
    want = [row.ids for row in hf.encode_batch(texts, add_special_tokens=False)]
    for tokenizer in (ours, saved):
        assert [row.tolist() for row in tokenizer.encode_batch(texts, special="all")] == want
        assert [tokenizer.encode(text, special="all").tolist() for text in texts[:60]] == want[:60]
        assert tokenizer.count_batch(texts, special="all").tolist() == list(map(len, want))
    for text, ids in zip(texts[:90], want, strict=False):
        assert ours.encode(text, special="all", max_tokens=3).tolist() == ids[:3]
    assert ours.encode("the <s> in", special="none").tolist() != ours.encode("the <s> in", special="all").tolist()
