"""Where added tokens are found, by their flags and behind normalizers, against `tokenizers`."""

import pytest
import tokenizers
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers

import fastemb

relaxed = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
NORMALIZERS = {
    "none": None,
    "NFC": normalizers.NFC(),
    "Lowercase": normalizers.Lowercase(),
    "Strip": normalizers.Strip(),
    "Prepend": normalizers.Prepend("_"),
    "Replace": normalizers.Replace(" ", "_"),
    "Llama": normalizers.Sequence([normalizers.Prepend("_"), normalizers.Replace(" ", "_")]),
    "BERT": normalizers.BertNormalizer(),
}


def model_with(tokens, normalizer=None):
    """A model of bytes with these added tokens, given with their flags, in the `tokenizers` package."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    hf = tokenizers.Tokenizer(models.BPE({token: id for id, token in enumerate(alphabet)}, []))
    if normalizer is not None:
        hf.normalizer = normalizer
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    for content, flags in tokens:
        token = tokenizers.AddedToken(content, **{"normalized": False, **flags})
        (hf.add_special_tokens if flags.get("special") else hf.add_tokens)([token])
    return hf


def loaded(hf, folder):
    file = folder / "tokenizer.json"
    file.write_text(hf.to_str(), encoding="utf-8")
    return fastemb.Tokenizer.load(file)


def hold(ours, hf, rows):
    for special in ("all", "none"):
        hf.encode_special_tokens = special == "none"
        if special == "all" and not ours.special_tokens:
            continue
        expected = [one.ids for one in hf.encode_batch(rows, add_special_tokens=False)]
        for row, ids in zip(ours.encode_batch(rows, special=special), expected, strict=True):
            assert row.tolist() == ids
        assert [ours.encode(row, special=special).tolist() for row in rows] == expected
        assert ours.count_batch(rows, special=special).tolist() == [*map(len, expected)]


# ---------------------------------------------------------------- fixed cases

LSTRIP, RSTRIP, WORD = {"lstrip": True}, {"rstrip": True}, {"single_word": True}
CASES = {
    "takes the space before": (
        [("<s>", LSTRIP)],
        ["a  <s>", "a\u00a0\u3000\u0085\n<s>b", "\u200b<s>", "  <s>", "<s><s>"],
    ),
    "never back over a token": ([("<s>", LSTRIP), (" ", {})], ["a   <s>", "  <s>"]),
    "takes the space behind": ([("<s>", RSTRIP)], ["<s>  a", "<s>\u2028\t b <s>", "<s>\u200b", "<s> <s> "]),
    "and others find it again": ([("<s>", RSTRIP), (" a", {})], ["<s> a", "<s>  a a"]),
    "runs of space behind": ([("<s>", RSTRIP), (" ", {}), ("  ", {})], ["<s>   b", "<s>     ", "<s> \t b"]),
    "both ends": ([("<s>", LSTRIP | RSTRIP)], ["a  <s>  b", " <s> <s> ", "<s>"]),
    "space tokens that take space": ([(" ", RSTRIP), ("\t", LSTRIP)], ["a    b", "\t\t", "    "]),
    "one that was taken whole": ([("<s>", RSTRIP), (" ", LSTRIP)], ["<s> a", "a  b"]),
    "words": ([("ab", WORD)], ["ab", "xab", "abx", "_ab", "ab1", "1ab", "ab-", "-ab", "ab ab", "ab.", "abab"]),
    "beside no word": ([("ab", WORD)], ["\u00b2ab\u00b2", "\u00bdab", "\u2460ab", "\u200bab", "ab\U0001f600"]),
    "beside a word": (
        [("ab", WORD)],
        ["\u00e9ab", "ab\u00b4", "ab\u0301", "\u200dab", "ab\u203f", "\u6f22ab", "\u2167ab"],
    ),
    "a refused one hides a shorter one": ([("abc", WORD), ("ab", {})], ["abcd", "abc", "abcab", "xabc abd"]),
    "a refused one hides what overlaps": ([("<s>x", {"special": True}), ("xb", {})], ["<s>xb", "xb<s>x"]),
    "not one of the others": ([("abc", WORD), ("bc", {"normalized": True})], ["abcd", "abc"]),
    "raw before normalized": ([("bc", {}), ("abcd", {"normalized": True})], ["abcd", "abcdabc"]),
}


@pytest.mark.parametrize("name", CASES)
def test_flags(name, tmp_path):
    tokens, rows = CASES[name]
    for special in (False, True):
        hf = model_with([(content, flags | {"special": flags.get("special", special)}) for content, flags in tokens])
        hold(loaded(hf, tmp_path), hf, rows)


BEHIND = {
    "capitals": ("Lowercase", ["AB"], ["xab", "xAB", "xAb", "ABab"]),
    "the mark of the start": ("Prepend", ["<s>"], ["<s>b", "a<s>b", "a <s>", "_<s>"]),
    "behind spaces": ("Llama", ["<s>"], ["<s>b", "a<s>b", "a <s>", "a  <s> <s>"]),
    "inside a word": ("BERT", ["NEW"], ["anewa", "a new", "A N\u00c9W", "new"]),
    "composed": ("NFC", ["e\u0301"], ["caf\u00e9", "cafe\u0301", "e", "e\u0301\u0323"]),
    "each stretch by itself": ("Strip", ["<s>"], [" a <s> b ", "<s> <s>"]),
}


@pytest.mark.parametrize("name", BEHIND)
def test_behind_normalizers(name, tmp_path):
    kind, contents, rows = BEHIND[name]
    for raw in ("|", "|s|"):
        tokens = [(content, {"normalized": True}) for content in contents]
        hf = model_with([*tokens, (raw, {"special": True})], NORMALIZERS[kind])
        hold(loaded(hf, tmp_path), hf, [*rows, raw.join(rows), raw + raw, ""])


@pytest.mark.parametrize("contents", [("AB", "ab"), ("ab", "AB")])
def test_tokens_that_become_one(contents, tmp_path):
    """The last one counts; which one the format's own engine finds is a matter of chance."""
    hf = model_with([(content, {"normalized": True}) for content in contents], normalizers.Lowercase())
    assert loaded(hf, tmp_path).encode("xaB").tolist() == [hf.token_to_id("x"), hf.token_to_id(contents[1])]


def test_space_that_is_taken_twice(tmp_path):
    """Tokens of white space alone, each inside of what one before it took: the format's own engine panics."""
    hf = model_with([("<s>", RSTRIP), (" ", LSTRIP)])
    assert loaded(hf, tmp_path).encode("<s>  a").tolist() == [256, 257, hf.token_to_id("a")]


# ---------------------------------------------------------------- drawn ones

CONTENTS = [
    "<s>",
    "<",
    "ab",
    "abc",
    "bc",
    "AB",
    " ",
    "  ",
    " a",
    "a b",
    "e\u0301",
    "\u00e9",
    "b ",
    "\n",
    "_<s>",
    "a" * 70,
]
flags = st.fixed_dictionaries(
    {name: st.booleans() for name in ("lstrip", "rstrip", "single_word", "normalized", "special")}
)

# One of white space alone that takes the space before it makes the format's own engine panic; of two that become one it
# finds either.
tokens = st.lists(st.tuples(st.sampled_from(CONTENTS), flags), max_size=6, unique_by=lambda token: token[0]).map(
    lambda drawn: [
        (content, all_flags | {"lstrip": all_flags["lstrip"] and not content.isspace()}) for content, all_flags in drawn
    ]
)
pieces = st.lists(
    st.sampled_from([*"abcABde_ \n.\u00e9\u0301", "<s>", "  ", "\u00a0", "\u2028", "a" * 70]), max_size=24
)
rows = st.lists(pieces.map("".join), max_size=4)


@relaxed
@given(tokens=tokens, rows=rows, normalizer=st.sampled_from([*NORMALIZERS]))
def test_random_tokens(tmp_path, tokens, rows, normalizer):
    late = [content for content, flags in tokens if flags["normalized"]]
    normalize = NORMALIZERS[normalizer].normalize_str if NORMALIZERS[normalizer] else str
    found = [*map(normalize, late)]
    assume(len({*found}) == len(found) and all(found))
    hf = model_with(tokens, NORMALIZERS[normalizer])
    hold(loaded(hf, tmp_path), hf, [*rows, "".join(rows)])


@pytest.mark.exhaustive
@settings(relaxed, max_examples=10_000)
@given(tokens=tokens, rows=rows, normalizer=st.sampled_from([*NORMALIZERS]))
def test_many_random_tokens(tmp_path, tokens, rows, normalizer):
    test_random_tokens.hypothesis.inner_test(tmp_path, tokens, rows, normalizer)


@pytest.mark.parametrize("codes", [range(0x3400), pytest.param(range(0x110000), marks=pytest.mark.exhaustive)])
def test_what_is_beside_a_word(codes, tmp_path):
    """Rust's word characters, every one of them."""
    hf = model_with([("ab", WORD)])
    ours, text = loaded(hf, tmp_path), [code for code in codes if not 0xD800 <= code < 0xE000]
    expected = [len(one.ids) for one in hf.encode_batch([chr(code) + "ab" for code in text], add_special_tokens=False)]
    assert ours.count_batch([chr(code) + "ab" for code in text]).tolist() == expected


# ---------------------------------------------------------------- what else asks where a token stands


def test_long_starts(tmp_path):
    """The first ids of a text are those of its start, wherever tokens take the space around them."""
    hf = model_with([("<s>", LSTRIP | RSTRIP), ("ab", WORD), ("end", RSTRIP)], normalizers.NFC())
    ours = loaded(hf, tmp_path)
    for unit in ("x ab  <s>  ab ", "ab ", "the end  of e\u0301 ", "end   "):
        text = unit * 4000
        ids = hf.encode(text, add_special_tokens=False).ids
        for limit in (1, 5, 100, 1000):
            assert ours.encode(text, max_tokens=limit).tolist() == ids[:limit]


def test_a_refused_token_in_normalized_text(tmp_path):
    hf = model_with([("<S>", {"special": True, "normalized": True})], normalizers.Lowercase())
    with pytest.raises(ValueError, match=r"special token '<S>' stands in the text \(character 0: 'A text <S> here'\)"):
        loaded(hf, tmp_path).encode("A text <S> here", special="raise")


def test_a_word_that_is_none_is_not_refused(tmp_path):
    hf = model_with([("ab", WORD | {"special": True})])
    ours = loaded(hf, tmp_path)
    assert len(ours.encode("xab", special="raise")) == 3
    with pytest.raises(ValueError, match="special token 'ab' stands"):
        ours.encode("x ab", special="raise")


def test_flags_are_saved(tmp_path):
    tokens = [
        (content, {name: True})
        for content, name in zip("pqrst", ("lstrip", "rstrip", "single_word", "normalized", "special"), strict=True)
    ]
    hf = model_with(tokens, normalizers.NFKC())
    ours = loaded(hf, tmp_path)
    ours.save(tmp_path / "saved")
    again = fastemb.Tokenizer.load(tmp_path / "saved")
    text = "a p \ufb01 q r rx s t "
    assert again.encode(text, special="all").tolist() == ours.encode(text, special="all").tolist()
    hold(again, hf, [text])


def test_a_token_that_normalizes_to_nothing(tmp_path):
    """C would find it everywhere; so C does not take such a file."""
    hf = model_with([("  ", {"normalized": True})], normalizers.Strip())
    file = tmp_path / "tokenizer.json"
    file.write_text(hf.to_str(), encoding="utf-8")
    with pytest.raises(ValueError, match="not supported yet"):
        fastemb.Tokenizer.load(file)


def test_normalizing_does_not_blow_added_tokens_up(tmp_path):
    # Of 360 kB of a file 4.8 GB became: a trie of every token behind what is put before it.
    tokens = [(f"token {number}", {"normalized": True}) for number in range(12)]
    hf = model_with(tokens, normalizers.Prepend("b" * 100_000))
    with pytest.raises(ValueError, match="normalized text, up to 'token 10', become too long by the file's normalizer"):
        loaded(hf, tmp_path)
    # What steps in use do stays far below the bound, also where it is most.
    text = "\ufdfa" * 2000
    tokens = [(f"{text}{number}", {"normalized": True}) for number in range(20)]
    assert loaded(model_with(tokens, normalizers.NFKD()), tmp_path).encode(f"{text}7").tolist() == [256 + 7]
