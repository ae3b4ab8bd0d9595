"""Token ids, held against the `tokenizers` package: real text, random text, random vocabularies."""

import random
import re

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

import fastemb

MARK = "\u2581"


def assert_same_ids(ours, hf, texts, special="all"):
    hf.encode_special_tokens = special == "none"
    if not ours.special_tokens:  # then there are none to be read as tokens
        special = "none"
    rows = ours.encode_batch(texts, special=special)
    expected = hf.encode_batch_fast(texts, add_special_tokens=False)
    assert len(rows) == len(texts)
    assert rows.offsets.tolist() == np.cumsum([0] + [len(e.ids) for e in expected]).tolist()
    flat = np.fromiter((id for e in expected for id in e.ids), np.int32, rows.ids.size)
    if not np.array_equal(rows.ids, flat):
        row = int(np.searchsorted(rows.offsets, np.flatnonzero(rows.ids != flat)[0], side="right")) - 1
        assert rows[row].tolist() == expected[row].ids, repr(texts[row])


# ---------------------------------------------------------------- fixed cases


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (" x", [29871, 921]),
        (MARK, [259]),
        ("a<s>b", [263, 1, 289]),
        (" <s> ", [259, 1, 259]),
        ("x<unk> y", [921, 0, 29871, 343]),
        ("<0x41>", [529, 29900, 29916, 29946, 29896, 29958]),
        ("\n", [29871, 13]),
        ("", []),
    ],
)
def test_llama_cases(llama, text, ids):
    assert llama.encode(text, special="all").tolist() == ids
    assert llama.encode(text, special="all").dtype == np.int32


@pytest.mark.parametrize(("char", "count"), [("a", 250_002), ("=", 62_503), (" ", 62_501)])
def test_a_million_of_one_character(llama, char, count):
    # A quadratic merge would need hours here.
    assert llama.encode(char * 10**6).size == count
    assert llama.count(char * 10**6) == count


def test_a_megabyte_without_a_space(pair):
    ours, hf = pair
    rng = random.Random(1)
    letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", k=2**20))
    assert_same_ids(ours, hf, [letters, letters[: 2**19] + "中文字符" * 1000])


def test_real_text(pair, real_lines):
    ours, hf = pair
    assert len(real_lines) > 40_000
    assert_same_ids(ours, hf, real_lines[::2])  # all of them are in the documents of the next test


def test_real_text_whole(pair, real_lines):
    """The same text in documents of about 8 kB: lines joined, so pieces cross line ends."""
    ours, hf = pair
    assert_same_ids(ours, hf, ["\n".join(real_lines[i : i + 120]) for i in range(0, len(real_lines), 120)])


# ---------------------------------------------------------------- random text


def test_random_strings(pair, random_strings):
    ours, hf = pair
    strings = random_strings(20_000, seed=7)  # more by test_many_random_strings
    assert_same_ids(ours, hf, strings)
    assert_same_ids(ours, hf, strings[:7000], special="none")


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(20))
def test_many_random_strings(pair, seed, random_strings):
    ours, hf = pair
    assert_same_ids(ours, hf, random_strings(60_000, seed=1000 + seed))


def code_points(step):
    return [chr(c) for c in [*range(0x3100), *range(0x3100, 0x110000, step)] if not 0xD800 <= c < 0xE000]


def around(chars):
    """Each character behind and before each class, sixteen to a string: shows the class it has for the pattern."""
    return ["".join(f"a{c}1{c}!{c} {c}\t{c}{c}" for c in chars[i : i + 16]) for i in range(0, len(chars), 16)]


def test_a_space_in_front(tmp_path):
    """The space that add_prefix_space puts there may be given back, or be joined, like one in the text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: id for id, token in enumerate([*alphabet, "ĠĊ", "ĠĊĊ", "Ġ'", "Ġf"])}
    hf = tokenizers.Tokenizer(models.BPE(vocab, [("Ġ", "Ċ"), ("ĠĊ", "Ċ"), ("Ġ", "'"), ("Ġ", "f")]))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    hf.decoder = decoders.ByteLevel()
    (tmp_path / "tokenizer.json").write_text(hf.to_str(), encoding="utf-8")
    texts = ["\nfoo", "\n\nfoo", "\n", "\n\n", "foo", "'s", "'", " foo", "", "\u3000foo", "f"]
    assert_same_ids(fastemb.Tokenizer.load(tmp_path), hf, texts)


def test_classes_of_code_points(pair):
    ours, hf = pair
    assert_same_ids(ours, hf, around(code_points(step=23)))


@pytest.mark.exhaustive
def test_classes_of_all_code_points(pair):
    ours, hf = pair
    assert_same_ids(ours, hf, around(code_points(step=1)))


# ---------------------------------------------------------------- random vocabularies


@st.composite
def character_models(draw):
    """A random BPE in SentencePiece's form, in the `tokenizers` package."""
    chars = draw(st.lists(st.sampled_from([*"abcd", MARK, "é", "中", "\n"]), min_size=1, max_size=6, unique=True))
    vocab = ["<unk>", "<s>", *chars]
    byte_tokens = draw(st.sampled_from(["none", "some", "all"]))
    if byte_tokens != "none":
        vocab += [f"<0x{b:02X}>" for b in range(256) if byte_tokens == "all" or b % 3]
    merges = []
    for _ in range(draw(st.integers(0, 14))):
        left, right = draw(st.sampled_from(vocab[2:])), draw(st.sampled_from(vocab[2:]))
        if len(left + right) < 9:
            merges.append((left, right))
            if left + right not in vocab:
                vocab.append(left + right)
    if merges and draw(st.booleans()):
        merges.append(draw(st.sampled_from(merges)))  # listed twice: the last place counts
    hf = tokenizers.Tokenizer(
        models.BPE(
            {token: id for id, token in enumerate(draw(st.permutations(vocab)))},  # ids say nothing about rank
            merges,
            unk_token=draw(st.sampled_from([None, "<unk>"])),
            fuse_unk=draw(st.booleans()),
            byte_fallback=draw(st.booleans()),
        )
    )
    steps = [normalizers.Prepend(MARK)] * draw(st.booleans()) + [normalizers.Replace(" ", MARK)] * draw(st.booleans())
    if steps:
        hf.normalizer = normalizers.Sequence(steps)
    decoder = [decoders.Replace(MARK, " ")] * draw(st.booleans()) + [decoders.ByteFallback()] * draw(st.booleans())
    decoder += draw(st.sampled_from([[], [decoders.Fuse()], [decoders.Fuse(), decoders.Strip(" ", 1, 0)]]))
    if decoder:
        hf.decoder = decoders.Sequence(decoder)
    hf.add_special_tokens(["<s>"])
    if draw(st.booleans()):
        hf.add_tokens([tokenizers.AddedToken(draw(st.sampled_from(["ab", "<s", "s>a", "é", "  "])), normalized=False)])
    return hf


@st.composite
def byte_models(draw):
    """A random byte-level BPE in the `tokenizers` package."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if draw(st.booleans()):
        lacking = draw(st.sets(st.sampled_from([*"abĠĊÃ"])))
        alphabet = [char for char in alphabet if char not in lacking]
    vocab = ["<unk>", *alphabet]
    merges = []
    for _ in range(draw(st.integers(0, 14))):
        pool = [token for token in vocab if set(token) <= set("abcĠĊÃ©ä¸Ń'1") and token != "<unk>"]
        left, right = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        if len(left + right) < 9:
            merges.append((left, right))
            if left + right not in vocab:
                vocab.append(left + right)
    hf = tokenizers.Tokenizer(
        models.BPE(
            {token: id for id, token in enumerate(vocab)},
            merges,
            unk_token=draw(st.sampled_from([None, "<unk>"])),
            fuse_unk=draw(st.booleans()),
        )
    )
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=draw(st.booleans()), use_regex=draw(st.booleans()))
    hf.decoder = decoders.ByteLevel()
    hf.add_special_tokens([tokenizers.AddedToken("<s>", special=True, normalized=False)])
    if draw(st.booleans()):  # looked for behind the others: "a<s" would win if it came with them
        late = draw(st.sampled_from(["ab", "<s", "a<s", "s>a", "é", "  "]))
        hf.add_tokens([tokenizers.AddedToken(late, normalized=True)])
    return hf


pieces = st.lists(st.sampled_from([*"aabbcd<s>1' \n\t", MARK, "é", "中", "😀", "<s>"]), max_size=80)
texts = st.lists(pieces.map("".join), max_size=6)
relaxed = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(hf=st.one_of(character_models(), byte_models()), rows=texts, special=st.sampled_from(["all", "none"]))
def test_random_vocabularies(tmp_path, hf, rows, special):
    file = tmp_path / "any-name.json"
    file.write_text(hf.to_str(), encoding="utf-8")
    ours = fastemb.Tokenizer.load(file)
    assert_same_ids(ours, hf, rows, special)
    assert_same_ids(ours, hf, ["".join(rows)], special)
    assert [ours.count(row, special=special) for row in rows] == ours.encode_batch(
        rows, special=special
    ).lengths.tolist()


@pytest.mark.exhaustive
@settings(relaxed, max_examples=4_000)
@given(hf=st.one_of(character_models(), byte_models()), rows=texts, special=st.sampled_from(["all", "none"]))
def test_many_random_vocabularies(tmp_path, hf, rows, special):
    test_random_vocabularies.hypothesis.inner_test(tmp_path, hf, rows, special)


# ---------------------------------------------------------------- special tokens and templates


def test_special_none_reads_special_tokens_as_text(llama, gpt2):
    assert 1 not in llama.encode("a<s>b")
    assert 50256 not in gpt2.encode("a<|endoftext|>b")
    assert gpt2.encode("a<|endoftext|>b", special="all").tolist() == [64, 50256, 65]


def test_special_set_recognises_those_named(llama):
    assert llama.encode("<s></s>", special={"</s>"}).tolist()[-1] == 2
    assert 1 not in llama.encode("<s></s>", special={"</s>"})
    with pytest.raises(ValueError, match=r"special names \['<nope>'\]"):
        llama.encode("x", special={"<nope>"})
    with pytest.raises(ValueError, match="special must be"):
        llama.encode("x", special="some")


def test_special_raise_says_where(llama):
    assert llama.encode("a < s > b", special="raise").size
    with pytest.raises(ValueError, match=r"special token '</s>' stands in the text \(character 4: 'abcd</s>'\)"):
        llama.encode("abcd</s>", special="raise")
    texts = ["x"] * 3000 + ["中" * 50 + "<unk>!"]
    with pytest.raises(ValueError, match=r"text 3000, character 50: '中{20}<unk>!'"):
        llama.encode_batch(texts, special="raise")
    for special in (None, 3, [["<s>"]]):
        with pytest.raises(TypeError, match="special must be 'none', 'all', 'raise' or a set"):
            llama.encode("x", special=special)
    with pytest.raises(ValueError, match=r"special names \[1\]"):
        llama.encode("x", special={1, "<s>"})


def test_special_raise_in_a_longer_token(tmp_path, llama_file):
    hf = tokenizers.Tokenizer.from_file(str(llama_file))
    hf.add_tokens([tokenizers.AddedToken("x<s>", normalized=False)])
    (tmp_path / "tokenizer.json").write_text(hf.to_str(), encoding="utf-8")
    with pytest.raises(ValueError, match=r"character 8: 'x<s>aaaa<s>'"):
        fastemb.Tokenizer.load(tmp_path).encode("x<s>aaaa<s>", special="raise")


def test_special_raise_by_count(llama):
    with pytest.raises(ValueError, match=r"special token '<s>'"):
        llama.count("<s>", special="raise")


def test_special_tokens_property(llama, gpt2):
    assert llama.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2}
    assert gpt2.special_tokens == {"<|endoftext|>": 50256}
    assert (llama.vocab_size, gpt2.vocab_size) == (32_000, 50_257)
    assert (llama.unk_id, gpt2.unk_id) == (0, None)
    assert llama.vocab["▁the"] == 278


def test_template(llama, hf_llama, gpt2):
    rows = ["Hello world", "", "a b"]
    ours = llama.encode_batch(rows, special="all", template=True)
    assert [row.tolist() for row in ours] == [hf_llama.encode(text).ids for text in rows]
    for call in (gpt2.encode, lambda text, **options: gpt2.encode_batch([text], **options)):
        with pytest.raises(ValueError, match=r"^template is True, but the file of this tokenizer has no template"):
            call("a", template=True)


def test_template_with_both_ends(tmp_path, llama_file):
    hf = tokenizers.Tokenizer.from_file(str(llama_file))
    hf.post_processor = processors.TemplateProcessing(
        single="<s> <s> $A </s> <s>", pair=None, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    file = tmp_path / "tokenizer.json"
    file.write_text(hf.to_str(), encoding="utf-8")
    rows = ["x y", "", "z"]
    ours = fastemb.Tokenizer.load(tmp_path).encode_batch(rows, template=True)
    assert [row.tolist() for row in ours] == [hf.encode(text).ids for text in rows]


# ---------------------------------------------------------------- decoding


def test_byte_level_round_trip(gpt2, real_lines, random_strings):
    for text in random_strings(5000, seed=3) + real_lines[::20]:
        assert gpt2.decode(gpt2.encode(text)) == text
        assert gpt2.decode(gpt2.encode(text, special="all")) == text


def test_characters_decode_as_the_package_does(llama, hf_llama, random_strings):
    strings = random_strings(5000, seed=4)
    for text in strings:
        ids = llama.encode(text, special="all")
        assert llama.decode(ids) == hf_llama.decode(ids.tolist(), skip_special_tokens=False)
    # The mark is lost by design, all else survives: it is read as a space.
    assert all(llama.decode(llama.encode(text)) == text.replace(MARK, " ") for text in strings)


def test_decode_part_of_a_character(gpt2):
    ids = gpt2.encode("🧿")
    assert ids.size > 1
    assert 0 < len(gpt2.decode_bytes(ids[:1])) < 4
    assert gpt2.decode_bytes(ids) == "🧿".encode()
    assert "\ufffd" in gpt2.decode(ids[:1])
    with pytest.raises(UnicodeDecodeError):
        gpt2.decode(ids[:1], errors="strict")


def test_decode_errors(gpt2):
    assert gpt2.decode([]) == ""
    assert gpt2.decode_bytes(np.empty(0, np.int32)) == b""
    with pytest.raises(IndexError, match="id 50257 at position 1 is no token"):
        gpt2.decode([1, 50257])
    with pytest.raises(IndexError, match="id -1 at position 0"):
        gpt2.decode([-1])
    with pytest.raises(TypeError, match="float64"):
        gpt2.decode([1.0])
    with pytest.raises(ValueError, match=r"in one dimension, got shape \(1, 1\); decode_batch takes rows"):
        gpt2.decode([[1]])
    # The id that is named is the caller's, whatever it was read as.
    for ids, bad in (([0, 2**70], 2**70), ([0, -(2**70)], -(2**70)), (np.array([0, 2**64 - 1], np.uint64), 2**64 - 1)):
        with pytest.raises(IndexError, match=f"^id {bad} at position 1 is no token of this vocabulary$"):
            gpt2.decode(ids)
        with pytest.raises(IndexError, match=rf"^id {bad} at position 1 of rows\[1\] is no token of this vocabulary$"):
            gpt2.decode_batch([[0], ids])
    assert gpt2.decode(np.array([0, 1], object)) == gpt2.decode([0, 1]) == gpt2.decode(np.array([0, 1], np.uint64))
    for ids, words in (
        (None, "got None"),
        ("ab", r"got strings \(dtype <U2\); a Tokenizer makes ids of text"),
        ([1, None], "got a list of objects that holds None"),
        ({"input_ids": [1]}, r'got dict; give ids\["input_ids"\]'),
    ):
        with pytest.raises(TypeError, match=f"^ids must be integers in one dimension, {words}$"):
            gpt2.decode(ids)
    with pytest.raises(TypeError, match=r"^ids is a masked array, .* give ids\.data"):
        gpt2.decode(np.ma.array([1]))
    with pytest.raises(TypeError, match=r"^rows must be a Ragged or a sequence of rows of ids, got str$"):
        gpt2.decode_batch("ab")


def test_arguments_are_named(gpt2, tmp_path):
    for call in (fastemb.Tokenizer.load, gpt2.save, fastemb.StaticModel.load):
        for path in (5, b"file"):
            with pytest.raises(TypeError, match=f"^path must be a str or an os.PathLike, got {type(path).__name__}$"):
                call(path)
    with pytest.raises(TypeError, match=r"^text must be a str or bytes, got list; for many texts call encode_batch$"):
        gpt2.encode(["a"])
    with pytest.raises(TypeError, match=r"^text must be a str or bytes, got list; for many texts call count_batch$"):
        gpt2.count(["a"])
    with pytest.raises(
        TypeError, match=r"^texts must be str or bytes, got int at position 1; ids become text by decode$"
    ):
        gpt2.encode_batch(["a", 5])
    for n, error, words in (
        (1.5, TypeError, "n must be an integer, got float"),
        (-1, ValueError, "n must be at least 0"),
    ):
        with pytest.raises(error, match=f"^{words}"):
            gpt2.truncate("a", n)
    with pytest.raises(TypeError, match=r"^max_tokens must be an integer, got float$"):
        gpt2.encode("a", max_tokens=1.5)
    for wrong in ("no", np.array([1, 2])):
        with pytest.raises(TypeError, match=rf"^template must be a bool, got {re.escape(repr(wrong))}$"):
            gpt2.encode("a", template=wrong)
    assert gpt2.encode("a", template=np.False_).tolist() == gpt2.encode("a", template=0).tolist() == [64]
    with pytest.raises(TypeError, match=r"^id must be an integer, got str$"):
        gpt2.id_to_token("1")


def test_a_frame_is_no_sequence_of_texts(gpt2):
    """What iterates over the names of columns would give their ids, silently."""

    class Frame(dict):
        columns = ("text",)

    for call in (gpt2.encode_batch, gpt2.count_batch):
        with pytest.raises(TypeError, match=r"^texts must be a sequence of str, got Frame; give one of its columns$"):
            call(Frame(text=["a", "b"]))
