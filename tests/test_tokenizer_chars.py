"""Byte pair encoding of characters: SentencePiece's marks, unknown characters, affixes; equal to `tokenizers`."""

import json

import hypothesis
import numpy as np
import pytest
import tokenizers
import vocabularies
from hypothesis import strategies as st

import fastemb
from fastemb._text import plan
from fastemb._text.tokenizer_json import parse_tokenizer_json

MARK = "\u2581"
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]
SPACE_TO_MARK = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
PREPEND = {"type": "Prepend", "prepend": MARK}
FLAGS = dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized", "special"), False)


def metaspace(scheme="always", split=True, **fields):
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": split} | fields


def sequence(kind, members, steps):
    return {"type": "Sequence", members: list(steps)} if len(steps) != 1 else steps[0]


def document(tokens, merges=(), *, normalizers=(), pre_tokenizers=(), added=(), decoder=None, **model):
    """A file whose vocabulary is `tokens`, by their order, and all that the merges make."""
    prefix = model.get("continuing_subword_prefix") or ""
    names = dict.fromkeys([*tokens, *(left + right[len(prefix) :] for left, right in merges)])
    vocab = {name: id for id, name in enumerate(names)}
    extra = [{"id": vocab.get(content, len(vocab) + i), "content": content} for i, content in enumerate(added)]
    return {
        "added_tokens": [FLAGS | {"special": True} | token for token in extra],
        "normalizer": sequence("Sequence", "normalizers", normalizers) if normalizers else None,
        "pre_tokenizer": sequence("Sequence", "pretokenizers", pre_tokenizers) if pre_tokenizers else None,
        "post_processor": None,
        "decoder": decoder,
        "model": {"type": "BPE", "vocab": vocab, "merges": [list(merge) for merge in merges]} | model,
    }


def split_at_spaces(behavior, invert):
    return {"type": "Split", "pattern": {"String": " "}, "behavior": behavior, "invert": invert}


class Pair:
    """One file as both read it."""

    def __init__(self, data, folder):
        assert plan.in_c(parse_tokenizer_json(data)) is not None, "the file is not read in C"
        self.hf = tokenizers.Tokenizer.from_str(json.dumps(data))
        file = folder / "tokenizer.json"
        file.write_text(json.dumps(data), "utf-8")
        self.ours = fastemb.Tokenizer.load(file)
        self.special = "all" if self.ours.special_tokens else "none"

    def tokens(self, text):
        """The tokens of a text; both agree on them, alone, twice, counted and in a batch."""
        expected = self.hf.encode(text)
        for _ in range(2):  # from the cache the second time
            assert self.ours.encode(text, special=self.special).tolist() == expected.ids, text
        self.hf.encode_special_tokens = True
        plain = self.hf.encode(text).ids
        self.hf.encode_special_tokens = False
        assert self.ours.encode(text).tolist() == plain, text
        assert self.ours.count(text) == len(plain)
        batch = self.ours.encode_batch([text, "", text], special=self.special)
        assert [row.tolist() for row in batch] == [expected.ids, [], expected.ids]
        return expected.tokens


@pytest.fixture
def pair(tmp_path):
    return lambda *arguments, **options: Pair(document(*arguments, **options), tmp_path)


# ---------------------------------------------------------------- marks

LETTERS = [*"abcx_.,", MARK, "<s>", "<u>"]
MARK_MERGES = [(MARK, "a"), (MARK, "b"), ("a", "b"), (MARK, MARK), ("a", MARK), (MARK + "a", "b")]

MARK_CASES = [
    # scheme, split, text, tokens
    ("always", True, "a", [MARK + "a"]),
    ("always", True, " a", [MARK + "a"]),
    ("always", True, MARK + "a", [MARK + "a"]),
    ("always", True, "  a  b ", [MARK, MARK + "a", MARK, MARK + "b", MARK]),
    ("always", True, "a<s>b", [MARK + "a", "<s>", MARK + "b"]),
    ("always", True, "a" + MARK + "b c", [MARK + "a", MARK + "b", MARK, "c"]),
    ("always", True, " ", [MARK]),
    ("always", True, "", []),
    ("always", False, "  a", [MARK + MARK, "a"]),
    ("always", False, "a a", [MARK, "a" + MARK, "a"]),
    ("always", False, "<s> <s>", ["<s>", MARK, "<s>"]),
    ("first", True, "a<s>b", [MARK + "a", "<s>", "b"]),
    ("first", True, "<s>a", ["<s>", "a"]),
    ("first", True, " a b", [MARK + "a", MARK + "b"]),
    ("first", False, "a<s>b b", [MARK + "a", "<s>", "b", MARK + "b"]),
    ("first", False, "b<s> b", [MARK + "b", "<s>", MARK + "b"]),
    ("never", True, "a b", ["a", MARK + "b"]),
    ("never", True, "a" + MARK + " b", ["a", MARK, MARK + "b"]),
    ("never", False, "ab  b", ["ab", MARK + MARK, "b"]),
    ("never", False, "a b", ["a" + MARK, "b"]),
]


@pytest.mark.parametrize(("scheme", "split", "text", "tokens"), MARK_CASES)
def test_metaspace(scheme, split, text, tokens, pair):
    merges = MARK_MERGES if split else [*MARK_MERGES[2:], *MARK_MERGES[:2]]  # these also join what marks begin
    both = pair(LETTERS, merges, pre_tokenizers=[metaspace(scheme, split)], added=["<s>"], unk_token="<u>")
    assert both.tokens(text) == tokens


def test_old_metaspace(pair):
    """Before there was prepend_scheme."""
    step = {"type": "Metaspace", "replacement": MARK, "add_prefix_space": True, "str_rep": "?"}
    both = pair(LETTERS, MARK_MERGES, pre_tokenizers=[step], unk_token="<u>")
    assert both.tokens("a  b") == [MARK + "a", MARK, MARK + "b"]


def test_prepend_before_metaspace(pair):
    """What Prepend puts there is a mark already; it comes before one in the text too."""
    both = pair(LETTERS, MARK_MERGES, normalizers=[PREPEND], pre_tokenizers=[metaspace("first")], added=["<s>"])
    assert both.tokens("a<s>b") == [MARK + "a", "<s>", MARK + "b"]
    assert both.tokens(" a") == [MARK, MARK + "a"]
    assert both.tokens(MARK) == [MARK, MARK]


def test_gemma(pair):
    """Spaces are marks before the split at spaces, which finds none."""
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    both = pair(
        [*LETTERS, *BYTE_TOKENS],
        MARK_MERGES,
        normalizers=[SPACE_TO_MARK],
        pre_tokenizers=[split],
        added=["<s>"],
        byte_fallback=True,
        fuse_unk=True,
        unk_token="<u>",
    )
    assert both.tokens("a  b\u00e9") == ["a" + MARK, MARK + "b", "<0xC3>", "<0xA9>"]
    assert both.tokens("<s> a<s>a") == ["<s>", MARK + "a", "<s>", "a"]


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": metaspace(replacement="_")},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [metaspace(), metaspace()]}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace()]}},
    ],
)
def test_what_c_does_not_do(change):
    """It is left to the other road, and not guessed at."""
    assert plan.in_c(parse_tokenizer_json(document(LETTERS, MARK_MERGES))) is not None
    assert plan.in_c(parse_tokenizer_json(document(LETTERS, MARK_MERGES) | change)) is None


@pytest.mark.parametrize(
    "options",
    [
        {"pre_tokenizers": [split_at_spaces("Isolated", False)]},
        {"pre_tokenizers": [split_at_spaces("Removed", True)], "normalizers": [SPACE_TO_MARK]},
        {"normalizers": [PREPEND, PREPEND]},
        {"normalizers": [{"type": "Prepend", "prepend": "_"}]},
    ],
)
def test_steps_of_other_rooms(options, pair):
    """Cut by programs, or normalized by steps: not by what this model knows of marks."""
    both = pair(LETTERS, MARK_MERGES, added=["<s>"], **options)
    assert both.ours._splitter is None
    for text in ("a b", " ab  b ", "a<s> b", MARK + "a b", "", " "):
        both.tokens(text)


@pytest.mark.parametrize(
    "setting",
    [
        {"ignore_merges": True, "end_of_word_suffix": "</w>"},
        {"byte_fallback": True, "end_of_word_suffix": "</w>"},
        {"byte_fallback": True, "continuing_subword_prefix": "##"},
    ],
)
def test_models_that_c_does_not_do(setting):
    tokens = [*LETTERS, *BYTE_TOKENS]
    assert plan.in_c(parse_tokenizer_json(document(tokens))) is not None
    assert plan.in_c(parse_tokenizer_json(document(tokens, **setting))) is None


# ---------------------------------------------------------------- unknown characters

SOME_BYTES = [name for name in BYTE_TOKENS if name != "<0xA9>"]
UNKNOWN_CASES = [
    # tokens, merges, settings, text, tokens
    ("ab", [("a", "b")], {}, "axb", ["ab"]),  # it vanishes, and its neighbours meet
    ("ab", [("a", "b")], {}, "xx", []),
    ("abu", [("a", "b")], {"unk_token": "u"}, "axxb", ["a", "u", "u", "b"]),
    ("abu", [("a", "b")], {"unk_token": "u", "fuse_unk": True}, "axxbx", ["a", "u", "b", "u"]),
    ("abu", [("u", "a")], {"unk_token": "u"}, "xa", ["ua"]),  # what is unknown merges too
    ("abu", [("u", "u"), ("uu", "a")], {"unk_token": "u"}, "xxa", ["uua"]),
    (["a", *BYTE_TOKENS], [("<0xC3>", "<0xA9>")], {"byte_fallback": True}, "a\u00e9", ["a", "<0xC3><0xA9>"]),
    (
        ["a", "u", *SOME_BYTES],
        [],
        {"byte_fallback": True, "unk_token": "u"},
        "a\u00e9bx",
        ["a", "<0x62>", "<0x78>", "u"],
    ),
    (["a", *SOME_BYTES], [], {"byte_fallback": True}, "a\u00e9x", ["a", "<0x78>"]),
    (  # the unknown one that waits is written behind the bytes
        ["a", "b", "u", *SOME_BYTES],
        [],
        {"byte_fallback": True, "unk_token": "u", "fuse_unk": True},
        "a\u00e9x\u00e9b",
        ["a", "<0x78>", "u", "b"],
    ),
    ("ab", [("a", "b"), ("b", "a"), ("a", "b")], {}, "bab", ["ba", "b"]),  # of a pair twice the last place counts
    (["a", " ", "b"], [("a", " ")], {}, "a b", ["a ", "b"]),  # a pair with a space
]


@pytest.mark.parametrize(("tokens", "merges", "settings", "text", "expected"), UNKNOWN_CASES)
def test_unknown(tokens, merges, settings, text, expected, pair):
    assert pair(tokens, merges, **settings).tokens(text) == expected


def test_unknown_ones_do_not_fuse_across_pieces(pair):
    both = pair(["a", "u"], unk_token="u", fuse_unk=True, pre_tokenizers=[metaspace("never")])
    assert both.tokens("xx xx") == ["u", "u"]
    both = pair(["a", "u"], unk_token="u", fuse_unk=True, pre_tokenizers=[metaspace("never", split=False)])
    assert both.tokens("xx xx") == ["u"]


@pytest.mark.parametrize("split", [True, False])
def test_whole_pieces(split, pair):
    """A piece that is a token is that token, whether merges make it or not; but no part of a piece is."""
    tokens = [*LETTERS, *BYTE_TOKENS, MARK + "ab", "xa", MARK + "x", "a b", MARK + "a" + MARK + "b", "\u00e9\u00e9"]
    step = metaspace("first", split)
    both = pair(tokens, [("a", "b")], pre_tokenizers=[step], added=["<s>"], ignore_merges=True, byte_fallback=True)
    assert both.tokens("ab") == [MARK + "ab"]
    assert both.tokens("ab<s>xa<s>ab") == [MARK + "ab", "<s>", "xa", "<s>", "ab"]
    assert both.tokens("xa") == [MARK, "x", "a"]
    assert both.tokens("<s>xax") == ["<s>", "x", "a", "x"]
    assert both.tokens("<s><0x41>") == ["<s>", "<0x41>"]
    assert both.tokens("<s>\u00e9\u00e9") == ["<s>", "\u00e9\u00e9"]
    assert both.tokens("x x") == ([MARK + "x", MARK + "x"] if split else [MARK, "x", MARK, "x"])
    assert both.tokens("a b") == ([MARK, "a", MARK, "b"] if split else [MARK + "a" + MARK + "b"])
    assert both.tokens(MARK + "x" + "x" * 40) == [MARK, *"x" * 41]


def test_nothing_but_added_tokens(pair):
    both = pair([], added=["<s>", "ab"])
    assert both.tokens("xab <s>abb") == ["ab", "<s>", "ab"]


def test_ids_with_holes(tmp_path):
    data = document("abc", [("a", "b")])
    data["model"]["vocab"] = {"a": 7, "b": 3, "c": 900, "ab": 40}
    both = Pair(data, tmp_path)
    assert both.tokens("abcxba") == ["ab", "c", "b", "a"]
    assert both.ours.encode("abcxba").tolist() == [40, 900, 3, 7]


# ---------------------------------------------------------------- affixes

SUFFIX = {"end_of_word_suffix": "</w>"}
PREFIX = {"continuing_subword_prefix": "##"}
AFFIX_CASES = [
    # tokens, merges, settings, text, tokens
    (["a", "b", "a</w>", "b</w>"], [("a", "b</w>")], SUFFIX, "ab", ["ab</w>"]),
    (["a", "b", "a</w>", "b</w>"], [("a", "b</w>")], SUFFIX, "aab", ["a", "ab</w>"]),
    (["a", "b", "b</w>"], [("a", "b</w>")], SUFFIX, "ba", ["b"]),  # "a" is there and "a</w>" is not
    (["a", "b", "b</w>", "u"], [], SUFFIX | {"unk_token": "u"}, "ba", ["b", "u"]),
    (["a", "b", "##a", "##b"], [("a", "##b")], PREFIX, "ab", ["ab"]),
    (["a", "b", "##a", "##b"], [("##a", "##b"), ("a", "##ab")], PREFIX, "aab", ["aab"]),
    (["a", "##b"], [], PREFIX, "ba", []),
    (["a", "##a", "##a!", "a!"], [("##a", "##a!")], PREFIX | {"end_of_word_suffix": "!"}, "aaa", ["a", "##aa!"]),
    (["a", "##a", "##a!", "a!"], [], PREFIX | {"end_of_word_suffix": "!"}, "a", ["a!"]),
]


@pytest.mark.parametrize(("tokens", "merges", "settings", "text", "expected"), AFFIX_CASES)
def test_affixes(tokens, merges, settings, text, expected, pair):
    assert pair(tokens, merges, **settings).tokens(text) == expected


def byte_level(**fields):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True} | fields


def test_affixes_of_bytes(pair):
    """CLIP's kind: the symbols are bytes, and the last byte of a piece has the suffix."""
    letters = [vocabularies.spelled(bytes([byte])) for byte in range(256) if byte != ord("z")]
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    merges = [("a", "b</w>"), ("\u00c3", "\u00a9</w>"), ("a", "\u00c3\u00a9</w>"), ("\u0120", "a")]
    both = pair(tokens, merges, pre_tokenizers=[byte_level()], decoder=byte_level(), added=["<s>"], **SUFFIX)
    assert both.tokens("ab a\u00e9<s>ab") == ["ab</w>", "\u0120", "a\u00c3\u00a9</w>", "<s>", "ab</w>"]
    assert both.tokens("az") == ["a"]
    both = pair(tokens, merges, pre_tokenizers=[byte_level(add_prefix_space=True)], decoder=byte_level(), **SUFFIX)
    assert both.tokens("ab") == ["\u0120", "ab</w>"]
    assert both.tokens(" ") == ["\u0120</w>"]
    assert both.tokens("") == []


# ---------------------------------------------------------------- drawn

SCHEMES = ("always", "first", "never")
MARKS = [
    {"normalizers": normalizers, "pre_tokenizers": pre_tokenizers}
    for normalizers in ([], [PREPEND], [SPACE_TO_MARK], [PREPEND, SPACE_TO_MARK])
    for pre_tokenizers in ([], *([metaspace(scheme, split)] for scheme in SCHEMES for split in (True, False)))
]
WHOLES = ["ax", MARK + "ax", "x x", MARK + "b" + MARK + "c", MARK + "x", "xxx", MARK + MARK + "a", "\u4e2dx", " x"]
PARTS = ["a", "b", "c", "x", "ab", " ", "  ", MARK, "<s>", "<t>", "<", "\u00e9", "\u4e2d", "\n", "\U0001f600", "a" * 40]


@st.composite
def files(draw):
    """A file of characters, with anything that C does."""
    affixes = draw(st.sampled_from([{}, {}, SUFFIX, PREFIX, PREFIX | SUFFIX]))
    before, after = affixes.get("continuing_subword_prefix", ""), affixes.get("end_of_word_suffix", "")
    chars = draw(st.lists(st.sampled_from([*"abcx <st>\n", MARK, "\u00e9", "\u4e2d"]), unique=True, min_size=1))
    forms = [form.format(char) for char in chars for form in ("{}", before + "{}", "{}" + after, before + "{}" + after)]
    fallback = not affixes and draw(st.booleans())
    missing = draw(st.sampled_from([[], [], ["<0xA9>"], BYTE_TOKENS[:128]])) if fallback else BYTE_TOKENS
    tokens = [*dict.fromkeys(forms), "u", *(name for name in BYTE_TOKENS if name not in missing)]
    pool, merges = tokens[: len(forms) + 3] + (["<0xC3>"] if fallback else []), []
    pool = [name for name in dict.fromkeys(pool) if name in tokens]
    for _ in range(draw(st.integers(0, 12))):
        left, right = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        if not right.startswith(before):
            continue
        merges.append((left, right))
        pool.append(left + right[len(before) :])
    marks = {} if affixes else draw(st.sampled_from(MARKS))
    settings = {
        "unk_token": draw(st.sampled_from([None, "u"])),
        "fuse_unk": draw(st.booleans()),
        "byte_fallback": fallback,
        "ignore_merges": not affixes and draw(st.booleans()),
    }
    tokens += draw(st.lists(st.sampled_from(WHOLES), unique=True))
    data = document(tokens, merges, **marks, added=["<s>", "<t>"], **affixes, **settings)
    if not marks.get("normalizers"):
        data["added_tokens"][1]["normalized"] = draw(st.booleans())
    return data


@hypothesis.given(files(), st.lists(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), min_size=1, max_size=8))
@hypothesis.settings(deadline=None, max_examples=300, suppress_health_check=list(hypothesis.HealthCheck))
def test_drawn(tmp_path_factory, data, texts):
    both = Pair(data, tmp_path_factory.mktemp("drawn"))
    for text in texts:
        both.tokens(text)


# ---------------------------------------------------------------- Llama 2, as it is saved today


@pytest.fixture(scope="module")
def llama(llama_file):
    """Llama 2's vocabulary, and the texts that it is tried on."""
    return json.loads(llama_file.read_bytes())


def resaved(llama, scheme, split):
    data = json.loads(json.dumps(llama))
    data["normalizer"] = None
    data["pre_tokenizer"] = metaspace(scheme, split)
    data["model"] |= {"unk_token": None, "type": "BPE"}
    data["post_processor"] = None
    return data


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_llama(scheme, split, llama, tmp_path):
    both = Pair(resaved(llama, scheme, split), tmp_path)
    texts = [
        "Hello  world </s> x",
        " \u2581a\u2581 b",
        "caf\u00e9 \U0001f9ff\u0378\n\n  def f(x):\n\treturn x\n",
        "<s><s>a",
        "  ",
    ]
    texts += ["".join(np.random.default_rng(7).choice([*PARTS, "the", " of", "\n"], 3000))]
    for text in texts:
        both.tokens(text)
