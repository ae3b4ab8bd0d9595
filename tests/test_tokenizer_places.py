"""Where ids stand that C finds by walking texts again: equal to the general road and to `tokenizers`, for any steps."""

import json
import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer_unigram import FOLDING, precompiled

import fastemb
from fastemb._text.core import Core, lib
from fastemb._text.place import place
from fastemb._text.vocabulary import Metadata, Vocabulary

MARK = "\u2581"
LETTERS = [
    *"abAB .\u00e9\u00c9\u00df\u0130",
    "\u6f22",
    "\u304b\u3099",
    "\uff76\uff9e",
    "\U0001f600",
    MARK,
    "\u2026",
    "\u0301",
]
LETTERS += [
    "\u0323",
    "\u00bd",
    "\ufb01",
    "\uac00",
    "\u1100",
    "\u1161",
    "\u11a8",
    "\t",
    "\n",
    "\x01",
    "\u200b",
    "  ",
    "``",
]
LETTERS += ["<s>", "<x>", " <m> ", "<unk>", "[UNK]", "\u1e9b\u0323", "\u0345", "\U0001d160", "\u0958", "\u03a3"]
TEXTS = st.lists(st.sampled_from(LETTERS), max_size=14).map("".join)
STEPS = [
    *({"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")),
    {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    | {"lowercase": True},
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Strip", "strip_left": False, "strip_right": True},
    {"type": "Prepend", "prepend": "ab"},
    {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "b\u00e9a"},
    {"type": "Replace", "pattern": {"String": "\u0301"}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": "  "},
    precompiled(FOLDING),
    precompiled({"a": "", "b": "xyz", "\u00e9": "", "AB": "a", "e\u0301": "abc", " ": ""}),
]
CUTS = [
    None,
    {"type": "WhitespaceSplit"},
    {"type": "BertPreTokenizer"},
    {"type": "Whitespace"},
    {"type": "Digits", "individual_digits": True},
]


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": split}


@st.composite
def files(draw):
    """A tokenizer.json of words or of pieces with scores."""
    scored = draw(st.booleans())
    names = [
        "<unk>",
        *draw(st.lists(st.text("abAB\u00e9\u6f22.x" + MARK, min_size=1, max_size=4), max_size=12, unique=True)),
    ]
    cuts = draw(st.sampled_from(CUTS))
    if scored:
        if draw(st.booleans()):
            names += [f"<0x{byte:02X}>" for byte in range(256)]
        scores = draw(st.lists(st.sampled_from([-1.0, -2.5, -3.25, -0.1]), min_size=len(names), max_size=len(names)))
        fallback = draw(st.booleans())
        model = {"type": "Unigram", "unk_id": 0, "byte_fallback": fallback}
        model |= {"vocab": [list(row) for row in zip(names, scores, strict=True)]}
        last = metaspace(draw(st.sampled_from(["always", "never", "first"])), draw(st.booleans()))
        both = {"type": "Sequence", "pretokenizers": [cuts, last]}
        cuts = draw(st.sampled_from([None, last, cuts, last if cuts is None else both]))
    else:
        names += ["##" + name for name in draw(st.lists(st.text("abx\u00e9", min_size=1, max_size=3), max_size=8))]
        vocab = {name: id for id, name in enumerate(dict.fromkeys(names))}
        model = {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "vocab": vocab}
        model |= {"max_input_chars_per_word": draw(st.sampled_from([3, 100]))}
        if draw(st.booleans()):
            model = {"type": "WordLevel", "unk_token": "<unk>", "vocab": vocab}
    steps = draw(st.lists(st.sampled_from(STEPS), max_size=3))
    added = [
        {"id": 1000 + k, "content": content, "special": k < 2, "normalized": normalized, "single_word": False}
        | {"lstrip": strip, "rstrip": strip}
        for k, (content, normalized, strip) in enumerate(
            [("<s>", False, False), ("<m>", False, True), ("<x>", True, False)]
        )
    ]
    added = draw(st.sampled_from([[], added]))
    normalizer = {"type": "Sequence", "normalizers": steps} if steps else None
    slots = {"added_tokens": added, "normalizer": normalizer, "pre_tokenizer": cuts, "decoder": None}
    return {"version": "1.0", "post_processor": None, "model": model, **slots}


def load(file):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokenizer.json").write_text(json.dumps(file), "utf-8")
        return fastemb.Tokenizer.load(Path(folder) / "tokenizer.json")


def walked(ours, texts):
    """What C says of texts: ids, places and numbers of pieces, of each text by itself."""
    actions = ours._actions.fixed["all" if ours.special_tokens else "none"]
    rows = ours.encode_batch(texts, special="all" if ours.special_tokens else "none")
    spans, words = np.full((rows.ids.size, 2), -9, np.int32), np.full(rows.ids.size, -9, np.int32)
    placed = place(ours._core, texts, actions, rows.ids, rows.offsets.astype(np.int64), spans, words)
    assert placed.all(), [ascii(text) for text, on in zip(texts, placed, strict=True) if not on][:3]
    cuts = rows.offsets[1:-1]
    return [
        (ids.tolist(), places.tolist(), numbers.tolist())
        for ids, places, numbers in zip(
            np.split(rows.ids, cuts), np.split(spans, cuts), np.split(words, cuts), strict=True
        )
    ]


def check(file, texts):
    """Places and numbers of pieces are those of the general road. Returns whether C does all of the file."""
    try:
        ours = load(file)
    except ValueError:  # of some added token the normalizers leave nothing
        return False
    if not ours._placing.in_c:
        return False
    road, actions = ours._placing.road, ours._actions.fixed["all" if ours.special_tokens else "none"]
    for text, (ids, spans, words) in zip(texts, walked(ours, texts), strict=True):
        expected = road.encode(text, actions)
        assert ids == [one.id for one in expected], ascii(text)
        assert spans == [[one.start, one.end] for one in expected], ascii(text)
        assert words == road.words(text, actions), ascii(text)
    return True


@settings(max_examples=25, deadline=None)
@given(file=files(), texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_any_steps(file, texts):
    check(file, texts)


@pytest.mark.exhaustive
def test_many_steps():
    """Thousands of files, each with texts of its own; most of them are read by C alone."""
    done = 0

    @settings(max_examples=4000, deadline=None)
    @given(file=files(), texts=st.lists(TEXTS, min_size=1, max_size=8))
    def run(file, texts):
        nonlocal done
        done += check(file, texts)

    run()
    assert done > 1000


def bert(lowercase):
    names = ["[UNK]", "a", "b", "ab", "##b", "##ab", "\u00e9", "e", "##e", ".", "\u6f22", "\u0301", "x" * 90, "##x"]
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
    normalizer |= {"strip_accents": None, "lowercase": lowercase}
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    model |= {"max_input_chars_per_word": 100, "vocab": {name: id for id, name in enumerate(names)}}
    slots = {"added_tokens": [], "normalizer": normalizer, "pre_tokenizer": {"type": "BertPreTokenizer"}}
    return {"version": "1.0", "post_processor": None, "decoder": None, "model": model, **slots}


@pytest.mark.parametrize("lowercase", [False, True])
def test_words_of_bert(lowercase):
    """Against the format's own engine, with words longer than what is cut and than what C copies."""
    file = bert(lowercase)
    ours, rival = load(file), tokenizers.Tokenizer.from_str(json.dumps(file))
    rng = random.Random(5)
    texts = ["".join(rng.choices(LETTERS, k=rng.randint(0, 20))) for _ in range(120)]
    texts += ["", "x" * 90, "x" * 101 + " a", "x" * 5000 + " ab", "\u0301" * 60 + "ab", "a" + "\u0301\u0323" * 40 + "b"]
    for text, row, (ids, spans, words) in zip(texts, rival.encode_batch(texts), walked(ours, texts), strict=True):
        assert (ids, spans) == (row.ids, [list(one) for one in row.offsets]), ascii(text)
        assert words == row.word_ids, ascii(text)


def test_a_token_that_begins_in_the_space_of_another():
    """White space that one has taken is read again, by the engine too."""
    flags = {"special": True, "normalized": False, "single_word": False, "lstrip": False}
    added = [flags | {"id": 14, "content": "<s>", "rstrip": True}, flags | {"id": 15, "content": " a", "rstrip": False}]
    file = bert(True) | {"added_tokens": added}
    ours, rival, text = load(file), tokenizers.Tokenizer.from_str(json.dumps(file)), "b<s> a b"
    row = rival.encode(text)
    assert row.ids == [2, 14, 15, 2]
    assert walked(ours, [text])[0][:2] == (row.ids, [list(one) for one in row.offsets])


def test_a_row_that_is_of_another_text_is_not_placed():
    ours = load(bert(False))
    ids, ends = np.array([1, 2], np.int32), np.array([0, 1, 2], np.int64)
    actions = ours._actions.fixed["none"]
    placed = place(ours._core, ["a", "a"], actions, ids, ends, np.zeros((2, 2), np.int32))
    assert placed.tolist() == [True, False]
    short = place(ours._core, ["a b"], actions, ids[:1], np.array([0, 1], np.int64), np.zeros((1, 2), np.int32))
    assert short.tolist() == [False]


def test_surrogates_and_threads():
    """A text with a pair of surrogates is placed as what it is; rows do not depend on threads."""
    ours = load(bert(True))
    texts = ["a \ud83d\ude00 ab", "A\ud800b", "ab" * 30, ""] * 300
    single, spans = ours.encode_batch(texts, offsets=True)
    assert spans[:4].tolist() == [[0, 1], [2, 4], [5, 7], [0, 3]]
    before = fastemb.get_num_threads()
    fastemb.set_num_threads(2)
    try:
        again, places = ours.encode_batch(texts, offsets=True)
    finally:
        fastemb.set_num_threads(before)
    assert np.array_equal(single.ids, again.ids)
    assert np.array_equal(spans, places)


def test_bytes_of_another_character_are_not_placed():
    """The bytes of an unknown character are compared as all ids are; the name of a byte, written out, is a piece."""
    vocab = [["<unk>", -9.0], ["a", -1.0], *([f"<0x{byte:02X}>", -5.0] for byte in range(256))]
    model = {"type": "Unigram", "unk_id": 0, "byte_fallback": True, "vocab": vocab}
    slots = {"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    ours = load({"version": "1.0", "model": model, **slots})
    ids, spans, _ = walked(ours, ["a\u00e9<0xC3>"])[0]
    assert (ids, spans) == ([1, 2 + 0xC3, 2 + 0xA9, 2 + 0xC3], [[0, 1], [1, 2], [1, 2], [2, 8]])
    row, ends, actions = np.array(ids, np.int32), np.array([0, len(ids)], np.int64), ours._actions.fixed["none"]
    row[1] = 2 + 0xC2
    assert place(ours._core, ["a\u00e9<0xC3>"], actions, row, ends, np.zeros((4, 2), np.int32)).tolist() == [False]


def test_a_token_inside_of_a_character_is_not_placed():
    """No file has names that are no characters, but an image may: they stand for no character, whatever is behind."""
    names = [b"<unk>", b"\xc3", b"##\xa9", b"a"]
    ends, no_bytes = np.cumsum([0, *map(len, names)]), np.full(256, -1, np.int32)
    ids, words = np.arange(4, dtype=np.int32), {"unk": 0, "word_prefix": b"##", "word_chars": 100}
    core = Core(Vocabulary(lib.FE_WORD_PIECES, b"".join(names), ends, ids, 4, no_bytes, Metadata(), **words))
    for text, row, expected in [("a", [3], True), ("\u00e9", [1, 2], False), ("\u00e9a", [0], True)]:
        spans = np.full((len(row) + 1, 2), -9, np.int32)
        rows = np.array(row, np.int32), np.array([0, len(row)], np.int64)
        assert place(core, [text], b"", *rows, spans[: len(row)]).tolist() == [expected]
        assert spans[-1].tolist() == [-9, -9]
