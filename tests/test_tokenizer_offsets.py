"""Where tokens stand in their texts: equal to Hugging Face's `tokenizers`, in characters, and in bytes of UTF-8."""

import functools
import json
import random

import numpy as np
import pytest
import tokenizers
import vocabularies
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

import fastemb
from fastemb import _threads

MARK = "\u2581"
TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "a",
    " a",
    "a  b",
    "  a b  ",
    "Hello world, it's 12345!",
    "caf\u00e9 na\u00efve \u6f22\u5b57 \U0001f9ff\U0001f9ff x",
    "\u6f22",
    "\u00e9\u00e9",
    "<s>",
    "a<s>b",
    "<s> a</s>  b <s><s>c",
    "\u6f22<s>\u6f22 <s> \u6f22",
    "\ta\n\n  b\r\n c",
    "\u2581a \u2581",
    "a\u0301\u200d\u3000b",
    "x" * 300 + " \u00fc" * 50,
]
ALPHABET = [*" \n\tab's1.", *"\u00e9\u6f22\U0001f9ff\u2581\u00a0\u0301", "<s>", "</s>", " the"]


def drawn(count, seed=0, most=30):
    rng = random.Random(seed)
    return ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, most))) for _ in range(count)]


KEPT = 3_000  # of GPT-2's tokens, which stand in the order of their merges: files of all take most of the time to read
BEGIN, END = ("<s>", KEPT), ("</s>", KEPT + 1)


@functools.cache
def gpt2_parts():
    """Return the first of GPT-2's tokens and the merges that make them."""
    folder = vocabularies.gpt2_folder()
    vocab = json.loads((folder / "encoder.json").read_text("utf-8"))
    merges = [tuple(line.split()) for line in (folder / "vocab.bpe").read_text("utf-8").split("\n")[1:] if line]
    return {name: id for name, id in vocab.items() if id < KEPT}, merges[: KEPT - 256]


def gpt2_engine(add_prefix_space, post_processor):
    """The first of GPT-2's tokens in their engine, with two special tokens."""
    engine = tokenizers.Tokenizer(models.BPE(*gpt2_parts()))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    engine.decoder = decoders.ByteLevel()
    if post_processor is not None:
        engine.post_processor = post_processor
    engine.add_special_tokens([AddedToken("<s>", normalized=False), AddedToken("</s>", normalized=False)])
    return engine


BYTE_LEVEL = {
    f"prefix {prefix}, {name}": (prefix, post_processor)
    for prefix in (False, True)
    for name, post_processor in {
        "untrimmed": None,
        "trimmed": processors.ByteLevel(trim_offsets=True),
        "trimmed without a space": processors.ByteLevel(trim_offsets=True, add_prefix_space=False),
        "trimmed by roberta": processors.RobertaProcessing(END, BEGIN),
        "trimmed twice": processors.Sequence([processors.ByteLevel(), processors.RobertaProcessing(END, BEGIN)]),
    }.items()
}


def load(engine, tmp_path):
    engine.save(str(tmp_path / "tokenizer.json"))
    return fastemb.Tokenizer.load(tmp_path / "tokenizer.json")


def assert_offsets(ours, theirs, texts, **asked):
    """Ids and offsets of texts are the same; and in bytes they are the bytes of the same characters."""
    encodings = theirs.encode_batch(texts, add_special_tokens=asked.get("template", False))
    rows, places = ours.encode_batch(texts, offsets=True, **asked)
    in_bytes = ours.encode_batch(texts, offsets="bytes", **asked)[1]
    assert places.dtype == in_bytes.dtype == np.int32
    assert places.shape == in_bytes.shape == (rows.ids.size, 2)
    for s, (text, one) in enumerate(zip(texts, encodings, strict=True)):
        row = slice(rows.offsets[s], rows.offsets[s + 1])
        assert rows[s].tolist() == one.ids, repr(text)
        assert places[row].tolist() == [list(span) for span in one.offsets], repr(text)
        size = [len(text[:n].encode()) for n in range(len(text) + 1)]
        assert in_bytes[row].tolist() == [[size[start], size[end]] for start, end in one.offsets], repr(text)


@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_byte_level(kind, tmp_path):
    theirs = gpt2_engine(*BYTE_LEVEL[kind])
    ours = load(theirs, tmp_path)
    texts = [*TEXTS, *drawn(300)]
    assert_offsets(ours, theirs, texts, special="all")
    theirs.encode_special_tokens = True
    assert_offsets(ours, theirs, texts)
    theirs.encode_special_tokens = False
    if "roberta" in kind or "twice" in kind:
        assert_offsets(ours, theirs, texts, special="all", template=True)


@pytest.mark.parametrize("kind", [kind for kind in BYTE_LEVEL if "untrimmed" not in kind])
def test_spaces_that_added_tokens_took_are_trimmed(kind, tmp_path):
    theirs = gpt2_engine(*BYTE_LEVEL[kind])
    theirs.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    theirs.add_special_tokens([AddedToken("<r>", rstrip=True), AddedToken("<both>", lstrip=True, rstrip=True)])
    ours = load(theirs, tmp_path)
    texts = ["a <mask> b", " <mask>", "  <mask>a", "a\n\t\u3000<mask>", "a <mask>  <mask><mask>", "<r>  b", " <r> ", ""]
    texts += ["é <both>  é<both>", "  <both>   ", "\ud83d\ude00 <both> x"[2:]]
    assert_offsets(ours, theirs, texts, special="all")
    pairs = texts[::-1]
    encoded = ours.encode_batch(texts, pairs=pairs, special="all", offsets=True)
    expected = [
        span
        for one in theirs.encode_batch(list(zip(texts, pairs, strict=True)), add_special_tokens=False)
        for span in one.offsets
    ]
    assert encoded[1].tolist() == [list(span) for span in expected]


@pytest.mark.parametrize("kind", [kind for kind in BYTE_LEVEL if "untrimmed" not in kind])
def test_first_token_of_several_spaces(kind, tmp_path):
    """One space may have been put there; of several none was."""
    theirs = gpt2_engine(*BYTE_LEVEL[kind])
    ours = load(theirs, tmp_path)
    assert_offsets(ours, theirs, [" " * n + end for n in range(12) for end in ("", "a", "\n")], special="all")


def test_characters_with_marks(llama, llama_file):
    theirs = tokenizers.Tokenizer.from_file(str(llama_file))
    theirs.no_truncation()
    theirs.no_padding()
    texts = [*TEXTS, *drawn(400)]
    assert_offsets(llama, theirs, texts, special="all")
    assert_offsets(llama, theirs, texts, special="all", template=True)
    theirs.encode_special_tokens = True
    assert_offsets(llama, theirs, texts)


@pytest.mark.parametrize("kind", ["prefix True, trimmed", "prefix True, trimmed without a space", "llama"])
def test_windows_and_words(kind, tmp_path, llama_file):
    """White space leaves the offsets of a window's first token as `tokenizers` has it, which looks at each alone."""
    theirs = tokenizers.Tokenizer.from_file(str(llama_file)) if kind == "llama" else gpt2_engine(*BYTE_LEVEL[kind])
    theirs.no_padding()
    theirs.no_truncation()
    ours = load(theirs, tmp_path)
    texts = [*TEXTS, *drawn(50)]
    theirs.enable_truncation(max_length=4, stride=1)
    encodings = theirs.encode_batch(texts, add_special_tokens=False)
    rows = ours.encode_batch(texts, special="all", max_tokens=4, stride=1, offsets=True)
    windows = [one for first in encodings for one in [first, *first.overflowing]]
    assert rows.ids.tolist() == [one.ids for one in windows]
    assert rows.offsets.tolist() == [list(span) for one in windows for span in one.offsets]
    theirs.no_truncation()
    words = [text.split(" ") for text in texts]
    encodings = theirs.encode_batch(words, is_pretokenized=True, add_special_tokens=False)
    rows, places = ours.encode_batch(words, special="all", pretokenized=True, offsets=True)
    assert rows.tolist() == [one.ids for one in encodings]
    assert places.tolist() == [list(span) for one in encodings for span in one.offsets]


def characters_engine(**more):
    """A small vocabulary of characters, where many are unknown or fall back to bytes that are there or not."""
    names = [MARK, "a", "b", "ab", MARK + "a", "<unk>", "<s>", "\u00e9", "x"]
    names += [f"<0x{byte:02X}>" for byte in (0xC3, 0xA8, 0xE6, 0xBC, 0xA2)]
    vocab = {name: id for id, name in enumerate(names)}
    engine = tokenizers.Tokenizer(models.BPE(vocab, [("a", "b"), (MARK, "a")], unk_token="<unk>", **more))
    engine.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    engine.add_special_tokens([AddedToken("<s>", normalized=False)])
    return engine


SMALL_TEXTS = [
    *("", "a", "ab b", "\u00e8", "a\u00e8\u6f22 b", "a<s>\u00e8<s>", "<s>", " <s> ", "b<s> ab", "xx<s>x"),
    *("q", "aq", "qa q", "q<s>q a"),
]


def test_one_unknown_token_a_character(tmp_path):
    theirs = characters_engine()
    assert_offsets(load(theirs, tmp_path), theirs, [*SMALL_TEXTS, "qq", "a\u6f23qq b"], special="all")


@pytest.mark.parametrize(
    "more", [{"byte_fallback": True}, {"fuse_unk": True}, {"fuse_unk": True, "byte_fallback": True}]
)
def test_what_the_sum_does_not_tell(more, tmp_path):
    """Fused unknown tokens, and bytes of a character that stand before the unknown token of the one before it."""
    theirs = characters_engine(**more)
    texts = [*SMALL_TEXTS, "qq", "a\u6f23qq b", "q\u6f23<s>", "\u00e8q\u6f22", "q\u6f22", "<unk>", "q<unk>q"]
    ours = load(theirs, tmp_path)
    ours.save(tmp_path / "saved")
    for one in (ours, fastemb.Tokenizer.load(tmp_path / "saved")):
        assert_offsets(one, theirs, texts, special="all")


def test_the_road_is_asked_only_where_the_sum_is_wrong(tmp_path, monkeypatch):
    ours = load(characters_engine(fuse_unk=True), tmp_path)
    asked, encode = [], ours._placing.road.encode
    monkeypatch.setattr(ours._placing.road, "encode", lambda text, actions: asked.append(text) or encode(text, actions))
    ours.encode_batch(["a", "qq", "a\u6f22\u6f22b", "b", "q", "\ud83e\uddffq"], special="all", offsets=True)
    assert asked == ["qq", "a\u6f22\u6f22b", "\U0001f9ffq"]
    monkeypatch.setattr(ours._placing.road, "encode", lambda text, actions: [])
    with pytest.raises(RuntimeError, match="two ways to encode text 1 do not agree"):
        ours.encode_batch(["a", "qq"], offsets=True)


def test_real_vocabularies_need_no_road(gpt2, llama):
    """What it would need is not kept in their saved files, which are no larger for it."""
    for ours in (gpt2, llama):
        assert ours._placing.road is None
        assert ours.encode_batch([*TEXTS, *drawn(50)], special="all", offsets=True)[1].size


ROADS = {
    "nfc": (normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "nfkc": (normalizers.NFKC(), pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "lowercase": (normalizers.Lowercase(), pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "strip": (normalizers.Strip(), pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "replace": (normalizers.Replace("a", ""), pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "dropped": (None, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(False)])),
    "digits": (None, pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)])),
}


@pytest.mark.parametrize("kind", ROADS)
def test_any_components(kind, tmp_path):
    """Whoever encodes, offsets are where `tokenizers` has them: with what is dropped, composed and cut."""
    theirs = gpt2_engine(False, processors.ByteLevel(trim_offsets=True))
    normalizer, theirs.pre_tokenizer = ROADS[kind]
    if normalizer is not None:
        theirs.normalizer = normalizer
    texts = [*TEXTS, *drawn(150), "e\u0301 a\u0301x", "\u00bd\ufb01 A\u0130", "=\u0338<s>\u0338", "aAa a"]
    ours = load(theirs, tmp_path)
    ours.save(tmp_path / "saved")
    for one in (ours, fastemb.Tokenizer.load(tmp_path / "saved")):
        assert_offsets(one, theirs, texts, special="all")


def test_words_of_bert(tmp_path):
    names = ["[UNK]", "[CLS]", "[SEP]", "a", "##b", "b", "##a", ".", "caf", "##e", "x"]
    theirs = tokenizers.Tokenizer(models.WordPiece({name: id for id, name in enumerate(names)}, unk_token="[UNK]"))
    theirs.normalizer, theirs.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    theirs.add_special_tokens(["[CLS]", "[SEP]"])
    theirs.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    texts = ["", "ab a.b", "CAF\u00c9 x", "zz\u0301 ab", " a\u0301\u0000b ", "a[SEP]b \u6f22a", "a  b  "]
    ours = load(theirs, tmp_path)
    assert_offsets(ours, theirs, texts, special="all")
    assert_offsets(ours, theirs, texts, special="all", template=True)


def test_surrogates(gpt2):
    """A pair of surrogates is one character, which is two in the text that was given; a lone one is one."""
    plain, paired = "a\U0001f9ffb c", "a\ud83e\uddffb c"
    ids, places = gpt2.encode(plain, offsets=True)
    assert gpt2.encode(paired).tolist() == ids.tolist()
    longer = np.array([0, 1, 3, 4, 5, 6])
    assert gpt2.encode(paired, offsets=True)[1].tolist() == longer[places].tolist()
    assert gpt2.encode(paired, offsets="bytes")[1].tolist() == gpt2.encode(plain, offsets="bytes")[1].tolist()
    assert gpt2.encode("a\ud83e b", offsets=True)[1].tolist() == gpt2.encode("a\ufffd b", offsets=True)[1].tolist()


def test_bytes_and_what_is_no_text(gpt2):
    text = "na\u00efve \u6f22"
    for unit in (True, "bytes"):
        for ours, theirs in zip(gpt2.encode(text.encode(), offsets=unit), gpt2.encode(text, offsets=unit), strict=True):
            assert ours.tolist() == theirs.tolist()
    with pytest.raises(ValueError, match=r"^offsets are of text, and text 1 is no UTF-8 from byte 3 on"):
        gpt2.encode_batch([b"abc", "\u00e9".encode() + b"a\xff"], offsets=True)


@given(st.lists(st.text(max_size=12), max_size=6))
@settings(max_examples=200, deadline=None)
def test_whole_texts_are_covered(gpt2, llama, texts):
    """Tokens follow one another from the start of a text to its end, on however many threads that is found out."""
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    for ours in (gpt2, llama):
        rows, places = ours.encode_batch(texts, offsets=True)
        with pytest.MonkeyPatch.context() as patch, fastemb.num_threads(3):
            patch.setattr(_threads, "_GRAIN", 1)
            assert ours.encode_batch(texts, offsets=True)[1].tolist() == places.tolist()
        for text, begin, end in zip(texts, rows.offsets[:-1], rows.offsets[1:], strict=True):
            row = places[begin:end]
            assert (row[:1, 0] == 0).all()
            assert (row[-1:, 1] == len(text)).all()
            assert (row[1:, 0] <= row[:-1, 1]).all()
            assert (row[1:] >= row[:-1]).all()


def test_added_tokens_that_take_white_space(tmp_path):
    """Where one takes a space that is also of the next one, the sum is right and the places are not."""
    theirs = gpt2_engine(False, None)
    theirs.add_special_tokens([AddedToken("<r>", rstrip=True, normalized=False), AddedToken("<l>", lstrip=True)])
    theirs.add_tokens([AddedToken(" a", normalized=False), AddedToken("w", single_word=True, normalized=False)])
    texts = ["<r> a", "<r>  a", "a <l>", "x  <l> <r>  <r> a", "w aw w", "\u6f22 <l>\u6f22", "<r>\n\u3000x", ""]
    assert theirs.encode("<r> a").offsets == [(0, 4), (3, 5)]
    assert_offsets(load(theirs, tmp_path), theirs, texts, special="all")


def spaces_engine(post_processor):
    """A byte-level vocabulary with tokens of several spaces, and added tokens that take white space."""
    names = [*pre_tokenizers.ByteLevel.alphabet(), "\u0120\u0120", "\u0120\u0120\u0120", "\u0120a"]
    merges = [("\u0120", "\u0120"), ("\u0120\u0120", "\u0120"), ("\u0120", "a")]
    engine = tokenizers.Tokenizer(models.BPE({name: id for id, name in enumerate(sorted(names))}, merges))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.post_processor = post_processor
    flags = {"<l>": (True, False), "<r>": (False, True), "<lr>": (True, True)}
    engine.add_special_tokens([AddedToken(one, lstrip=le, rstrip=ri) for one, (le, ri) in flags.items()])
    return engine


@pytest.mark.parametrize(
    "post_processor",
    [
        processors.ByteLevel(),
        processors.ByteLevel(add_prefix_space=False),
        processors.Sequence([processors.ByteLevel(), processors.ByteLevel(add_prefix_space=False)]),
    ],
    ids=["keeps one", "keeps none", "twice"],
)
def test_trimming_is_by_the_text_of_a_token(post_processor, tmp_path):
    """Of several spaces at the start none is kept, and white space that an added token took is trimmed too."""
    theirs = spaces_engine(post_processor)
    ours = load(theirs, tmp_path)
    texts = [
        " ",
        "  ",
        "   ",
        "    a",
        "   a",
        "  a",
        " a",
        " <l>",
        "  <l> <l>",
        "<r> a",
        "<r>\n\u3000x",
        "a <lr>  <l>",
    ]
    assert_offsets(ours, theirs, [*texts, "\u6f22 <lr> \u6f22", "a  <l><r> <lr> "], special="all")
    pairs = texts[::-1]
    encodings = theirs.encode_batch(list(zip(texts, pairs, strict=True)))
    rows, places = ours.encode_batch(texts, pairs=pairs, special="all", offsets=True)
    assert places.tolist() == [list(span) for one in encodings for span in one.offsets]
    theirs.enable_truncation(max_length=2, stride=1)
    windows = [one for first in theirs.encode_batch(texts) for one in [first, *first.overflowing]]
    rows = ours.encode_batch(texts, special="all", max_tokens=2, stride=1, offsets=True)
    assert rows.offsets.tolist() == [list(span) for one in windows for span in one.offsets]
    theirs.no_truncation()
    words = [text.split(" ") for text in texts]
    encodings = theirs.encode_batch(words, is_pretokenized=True)
    places = ours.encode_batch(words, special="all", pretokenized=True, offsets=True)[1]
    assert places.tolist() == [list(span) for one in encodings for span in one.offsets]


@pytest.mark.parametrize("late", [False, True])
def test_marks_that_late_tokens_see(late, tmp_path):
    """Then a normalizer puts the mark there, and tokens are longer than their text by marks that nothing counts."""
    names = [MARK, "<s>", "a", "b", MARK + "a", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab = {name: id for id, name in enumerate(names)}
    theirs = tokenizers.Tokenizer(models.BPE(vocab, [(MARK, "a")], byte_fallback=True))
    theirs.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    theirs.add_special_tokens([AddedToken("<s>", normalized=late)])
    ours = load(theirs, tmp_path)
    ours.save(tmp_path / "saved")
    for one in (ours, fastemb.Tokenizer.load(tmp_path / "saved")):
        assert_offsets(one, theirs, ["", " ", "a", "a<s>b", "<s>b", "a <s> \u6f22", "\u6f22\u6f22"], special="all")


@pytest.mark.parametrize("split", [False, True])
def test_a_mark_before_the_text_alone(split, tmp_path):
    """Whether a mark was put is told by the text, and Llama's kind as transformers 5 saves it needs no road for it."""
    names = [MARK, "<s>", "a", "b", "ab", MARK + "a", "\u6f22", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab = {name: id for id, name in enumerate(names)}
    theirs = tokenizers.Tokenizer(models.BPE(vocab, [(MARK, "a"), ("a", "b")], byte_fallback=True, fuse_unk=True))
    theirs.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=split)
    theirs.add_special_tokens([AddedToken("<s>", normalized=False)])
    theirs.add_tokens([AddedToken(MARK + "a", normalized=False), AddedToken("ab", normalized=False)])
    ours = load(theirs, tmp_path)
    ours.save(tmp_path / "saved")
    texts = [*TEXTS, *drawn(200), "ab", "aba", "b" + MARK + "a", "\u6f22", "\u6f23<s>", " ab", MARK, "<s>a", "\x00"]
    for one in (ours, fastemb.Tokenizer.load(tmp_path / "saved")):
        assert_offsets(one, theirs, texts, special="all")
    theirs.encode_special_tokens = True
    assert_offsets(ours, theirs, texts)
    asked = []
    ours._placing.road.encode = lambda text, actions: asked.append(text)
    assert ours.encode_batch(["b ab", " b<s>\u6f22", "\u6f23"], special="all", offsets=True)[1].shape == (12, 2)
    assert not asked
