"""Rank vocabularies made to hit each trap of exact parity, against tiktoken with the same ranks and pattern."""

import base64
import itertools
import random

import numpy as np
import pytest
import tiktoken
import vocabularies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastemb

PATTERNS = vocabularies.PATTERNS
BYTES = [bytes([byte]) for byte in range(256)]
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def engines(tmp_path):
    """Make ours and tiktoken's of the same ranks: every byte, and more."""
    numbers = itertools.count()

    def make(more, pattern, special=None, order=None):
        ranks = order or {token: rank for rank, token in enumerate([*BYTES, *more])}
        file = tmp_path / f"ranks{next(numbers)}"
        file.write_bytes(vocabularies.rank_file(ranks))
        ours = fastemb.Tokenizer.load(file, pattern, special_tokens=special)
        theirs = tiktoken.Encoding(
            "test", pat_str=PATTERNS.get(pattern, pattern), mergeable_ranks=ranks, special_tokens=special or {}
        )
        file.unlink()
        return ours, theirs

    return make


def assert_same(ours, theirs, texts):
    expected = [theirs.encode_ordinary(text) for text in texts]
    assert [row.tolist() for row in ours.encode_batch(texts)] == expected
    assert [ours.encode(text).tolist() for text in texts] == expected
    assert ours.count_batch(texts).tolist() == list(map(len, expected))


# ---------------------------------------------------------------- made by hand


def test_a_whole_piece_comes_first(engines):
    """A token that no merge leads to is found when it is the whole piece, and not inside a longer one."""
    ours, theirs = engines([b"abc", b" xyz", b"cde", b"bc"], "cl100k")
    assert ours.encode("abc xyz").tolist() == [256, 257]
    assert ours.encode(" xyzz").tolist() == [32, *b"xyzz"]
    assert_same(ours, theirs, ["abc", "abcd", " abc", "abc xyz", " xyzz", "cde", "cdecde", "abc1abc", "aabc"])


def test_any_pair_whose_bytes_are_a_token_merges(engines):
    """Not only the pair that the token was first made of."""
    ours, theirs = engines([b"bc", b"ab", b"abc", b"cd", b"bcd", b"abcd"], "gpt2")
    assert_same(ours, theirs, ["".join(p) for n in range(1, 7) for p in itertools.product("abcd", repeat=n)])


def test_equal_ranks_merge_from_the_left(engines):
    ours, theirs = engines([b"aa", b"aaa"], "gpt2")
    assert ours.encode("aaaaa").tolist() == [256, 257]  # aa aa a -> aa aaa: leftmost pair first, then aa + a
    assert_same(ours, theirs, ["a" * n for n in range(1, 300)] + [" " + "a" * n + "b" for n in range(90)])


@pytest.mark.parametrize("length", [15, 16, 17, 31, 32, 33, 63, 64, 65, 99, 100, 101, 127, 128, 129, 255, 256, 257])
def test_long_tokens_and_pieces(engines, length):
    """On both sides of every size at which an engine may take another road."""
    token = b"ab" * (length // 2) + b"a" * (length % 2)
    ours, theirs = engines([b"ab", b"abab", b"a" * length, token, b" " + token[1:]], "cl100k")
    text = token.decode()
    texts = [text, text + "a", "b" + text, " " + text, text[1:], text + text, "a" * length, "a" * (length + 1)]
    assert_same(ours, theirs, [*texts, " ".join(texts), "-".join(texts), "1".join(texts)])


def test_bytes_need_not_come_first(engines):
    """Ranks in any order, with holes, and bytes ranked above the tokens made of them."""
    tokens = [b"ab", b"abc", b"bc", *BYTES[::-1], b"cab", b" a", b"\xe4\xb8\xad", b"\xe4\xb8"]
    order = {token: 3 * i + 7 for i, token in enumerate(tokens)}
    ours, theirs = engines([], "cl100k", order=order)
    assert ours.vocab_size == 3 * (len(tokens) - 1) + 8
    assert_same(ours, theirs, ["abc", "abcab cab a", "中文中", "bca", "cabc ab", ""])
    assert ours.decode(ours.encode("abcab 中")) == "abcab 中"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_white_space_at_the_end(engines, pattern):
    """All white space is one token here, so the ids show where each pattern cuts it: cl100k is not Llama 3."""
    runs = ["".join(p) for n in range(2, 6) for p in itertools.product(" \n\r\t", repeat=n)]
    ours, theirs = engines([run.encode() for run in runs], pattern)
    assert_same(ours, theirs, [*runs, *(f"x{run}" for run in runs), *(f"x{run}y{run}" for run in runs)])
    assert_same(ours, theirs, [f"{run}\u3000{run}1" for run in runs] + [f"!{run}'s" for run in runs])


def test_cl100k_is_not_llama3(engines):
    more = [b" \n  "]
    assert engines(more, "cl100k")[0].encode("x \n  ").tolist() == [120, 256]
    assert engines(more, "llama3")[0].encode("x \n  ").tolist() == [120, 32, 10, 32, 32]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_contractions_and_digits(engines, pattern):
    cuts = ["'s", "'S", "'\u017f", "'t", "'re", "'RE", "'rE", "'ve", "'m", "'ll", "'lL", "'d", "\u2019s", "'sx", "'l"]
    more = [cut.encode() for cut in cuts] + [b"x" + cut.encode() for cut in cuts] + [b"12", b"123", b"1234", b" 1"]
    ours, theirs = engines(dict.fromkeys(more), pattern)
    words = ["x", "X", "", " ", "1", "中", "e\u0301", "\n", "''", "!"]
    assert_same(ours, theirs, [a + cut + b for cut in cuts for a in words for b in words])
    assert_same(
        ours, theirs, [d * n for d in "1٣²Ⅷ𝟘½" for n in range(9)] + ["1٣²Ⅷ𝟘½12", " 1234 12 1", "a1b22c333d4444"]
    )


# ---------------------------------------------------------------- drawn

ALPHABETS = ["ab", "ab c", " \n\ra", "a'sS1", "aA\u0301é", "中文 a", "😀é\n", "12 .", "ǅʰªaA'"]


@st.composite
def drawn(draw):
    """Some ranks in any order over a small alphabet, and texts that its tokens are likely to meet."""
    alphabet = draw(st.sampled_from(ALPHABETS))
    piece = st.text(alphabet, min_size=1, max_size=5).map(str.encode)
    torn = piece.map(lambda data: data[1:]) if draw(st.booleans()) else piece  # parts of characters
    more = draw(st.lists(st.one_of(piece, torn), max_size=30, unique=True))
    tokens = BYTES + [token for token in more if len(token) > 1]
    if draw(st.booleans()):
        random.Random(draw(st.integers(0, 99))).shuffle(tokens)
    gap = draw(st.sampled_from([1, 2]))
    order = {token: gap * rank for rank, token in enumerate(tokens)}
    texts = draw(st.lists(st.text(alphabet, max_size=150), min_size=1, max_size=12))
    return order, texts


@relaxed
@given(pattern=st.sampled_from(sorted(PATTERNS)), made=drawn())
def test_random_vocabularies(engines, pattern, made):
    order, texts = made
    ours, theirs = engines([], pattern, order=order)
    assert_same(ours, theirs, texts)
    for text in texts:
        data = text.encode()
        for item in (data[:-1], data[1:], data + b"\xff", data[: len(data) // 2] + b"\xed\xa0\x80"):
            assert ours.encode(item).tolist() == theirs._encode_bytes(item)
            assert ours.decode_bytes(ours.encode(item)) == item


@pytest.mark.exhaustive
@settings(relaxed, max_examples=4_000)
@given(pattern=st.sampled_from(sorted(PATTERNS)), made=drawn())
def test_many_random_vocabularies(engines, pattern, made):
    test_random_vocabularies.hypothesis.inner_test(engines, pattern, made)


OTHER = [r"\p{L}+|\p{N}+|[^\p{L}\p{N}]", r"[a-z]+| ?[^a-z]+", r"\S+|\s+(?!\S)|\s+", r"(?:..)+?|."]


@relaxed
@given(pattern=st.sampled_from(OTHER), made=drawn())
def test_other_patterns(engines, pattern, made):
    """What the pattern does not match is dropped, as tiktoken does."""
    order, texts = made
    ours, theirs = engines([], pattern, order=order)
    assert_same(ours, theirs, texts)


@relaxed
@given(
    made=drawn(), special=st.lists(st.sampled_from(["a", "ab", "<a>", " ", "'s", "中", "a\n"]), unique=True, max_size=4)
)
def test_any_special_tokens(engines, made, special):
    """Tokens that stand inside words; none here begins with another, where tiktoken's choice is not defined."""
    special = [token for token in special if not any(o != token and token.startswith(o) for o in special)]
    order, texts = made
    named = {token: 10_000 + i for i, token in enumerate(special)}
    ours, theirs = engines([], "cl100k", special=named, order=order)
    texts = [*texts, *(token.join(texts) for token in special)]
    expected = [theirs.encode(text, allowed_special="all") for text in texts]
    every = "all" if special else "none"
    assert [row.tolist() for row in ours.encode_batch(texts, special=every)] == expected
    assert ours.decode_batch([np.array(row, np.int64) for row in expected]) == texts


@pytest.fixture
def cl100k_file(tmp_path):
    file = tmp_path / "cl100k.tiktoken"
    file.write_bytes(vocabularies.rank_file(vocabularies.read("cl100k").ranks))
    return file


def test_broken_bytes_are_cut_last(cl100k_file):
    """What follows broken bytes takes ids back: so the first ids are those of all of it."""
    tokenizer = fastemb.Tokenizer.load(cl100k_file, "cl100k")
    for text in (b" \xe2b1\r \nC B\xc3'", b"  \x17\n\xc0", b" \xf1", b"\xff", b"ab\xc3"):
        ids = tokenizer.encode(text).tolist()
        for limit in range(len(ids) + 2):
            assert tokenizer.encode(text, max_tokens=limit).tolist() == ids[:limit]
            assert tokenizer.encode_batch([text, "x"], max_tokens=limit)[0].tolist() == ids[:limit]


def test_ids_beyond_what_arrays_hold(cl100k_file):
    tokenizer = fastemb.Tokenizer.load(cl100k_file, "cl100k")
    for bad in ([2**63], [2**70], [-1], [2**31], np.array([2**64 - 1], np.uint64), [5, -(2**70)]):
        with pytest.raises(IndexError, match="is no token of this vocabulary"):
            tokenizer.decode(bad)
    for bad in ([1.0], [True], np.ma.array([1, 2])):
        with pytest.raises(TypeError, match="ids"):
            tokenizer.decode(bad)
    for bad, way in (([[1], [2, 3]], "Ragged.from_lists"), ([[1]], "decode_batch takes rows of ids")):
        with pytest.raises(ValueError, match=way):
            tokenizer.decode(bad)


def test_a_token_too_long_to_be_one(tmp_path, cl100k_file):
    other = tmp_path / "long.tiktoken"
    other.write_bytes(cl100k_file.read_bytes() + base64.b64encode(b"q" * 400_000) + b" 200000\n")
    with pytest.raises(ValueError, match=r"long.tiktoken: a token has 400000 bytes, more than the 8192"):
        fastemb.Tokenizer.load(other, "cl100k")
