"""One text in one call, by the short road and by the general one: the same ids, limits, special tokens, chunks."""

import random

import numpy as np
import pytest
import vocabularies
from ranked_cases import FRAGMENTS, WITH_SPECIAL, Case, draw_fragments, load

import fastemb

END = vocabularies.END


@pytest.fixture(scope="module", params=["llama", "gpt2_files", *WITH_SPECIAL])
def tokenizer(request):
    if request.param == "llama":
        return request.getfixturevalue("llama")
    return request.getfixturevalue("gpt2") if request.param == "gpt2_files" else load(request.param).ours


def ways(tokenizer):
    """Options of special tokens: words, and sets with and without a rest."""
    names = list(tokenizer.special_tokens)
    sets = [{names[0]}, frozenset(names[:2]), names[-1:], tuple(names), set(), tokenizer.special_tokens]
    words = [{"special": word} for word in ("none", "all")]
    return words + [{"special": one} for one in sets] + [{"special": names, "rest": "raise"}]


def draw_texts(tokenizer, count, seed):
    rng = random.Random(seed)
    names = list(tokenizer.special_tokens)[:4]
    parts = [*names, *names, *FRAGMENTS, "\U0001f9ff", "\ud83e\uddff", "\ud800"]
    return ["", "x", *names, *("".join(rng.choices(parts, k=rng.randint(1, 9))) for _ in range(count))]


def test_one_text_is_a_batch_of_one(tokenizer):
    texts = [*draw_texts(tokenizer, 60, seed=tokenizer.vocab_size), "many words " * 900]
    for options in ways(tokenizer):
        rows = tokenizer.encode_batch(texts, **options)
        counts = tokenizer.count_batch(texts, **options)
        for text, row, count in zip(texts, rows, counts, strict=True):
            ids = tokenizer.encode(text, **options)
            assert ids.dtype == np.int32
            assert ids.tolist() == row.tolist()
            assert tokenizer.count(text, **options) == count == row.size
            if text.isprintable():
                assert tokenizer.encode(text.encode(), **options).tolist() == row.tolist()
                assert tokenizer.count(text.encode(), **options) == count
            for limit in (0, 1, 3, row.size, np.int64(2)):
                cut = tokenizer.encode(text, max_tokens=limit, **options)
                assert cut.tolist() == row[:limit].tolist()
                prefix, kept = tokenizer.truncate(text, limit, **options)
                assert kept.tolist() == row[: kept.size].tolist()
                assert tokenizer.decode(kept, errors="strict") == prefix


def test_results_are_their_own(tokenizer):
    """What a call gives is the caller's: no later call writes there."""
    for limit in (None, 2, 100):
        first = tokenizer.encode("some words", max_tokens=limit)
        copy = first.copy()
        first[:] = 0
        assert tokenizer.encode("some words", max_tokens=limit).tolist() == copy.tolist()
        tokenizer.encode("other words that follow")
        assert not first.any()
    long = tokenizer.encode("word " * 1000, max_tokens=3)
    assert long.base is None or long.base.nbytes <= 256  # no small part keeps much memory


# ---------------------------------------------------------------- the rest of the special tokens


@pytest.fixture(scope="module", params=["cl100k", "o200k", "llama3"])
def case(request) -> Case:
    return load(request.param)


def test_the_rest_is_refused_as_in_tiktoken(case):
    """A set of allowed tokens and no other argument: tiktoken's default."""
    names = list(case.vocabulary.special)
    refused = 0
    for allowed in ({names[0]}, set(names[:2]), set(), set(names)):
        for text in draw_texts(case.ours, 200, seed=2):
            try:
                expected = case.engine.encode(text, allowed_special=allowed)
            except ValueError:
                refused += 1
                for call in (case.ours.encode, case.ours.count):
                    with pytest.raises(ValueError, match=r"^special token .* stands in the text"):
                        call(text, special=allowed, rest="raise")
            else:
                assert case.ours.encode(text, special=allowed, rest="raise").tolist() == expected
    assert refused > 50


def test_rest_is_for_sets(tokenizer):
    for word in ("none", "all", "raise"):
        for call in (tokenizer.encode, tokenizer.count, lambda text, **more: tokenizer.truncate(text, 1, **more)):
            with pytest.raises(ValueError, match=rf"^rest is for a set of special tokens, got .*special='{word}'$"):
                call("a", special=word, rest="raise")
    for call in (tokenizer.encode, tokenizer.count):
        for wrong in ("all", None, 5, ["plain"]):
            with pytest.raises(ValueError, match=r"^rest must be 'plain' or 'raise', got"):
                call("a", special=set(), rest=wrong)


def test_sets_that_are_remembered(tokenizer):
    """As many sets as one likes, and a caller who changes one afterwards."""
    names = list(tokenizer.special_tokens)
    text, id = f"a{names[0]}b", tokenizer.special_tokens[names[0]]
    changing = {names[0]}
    assert id in tokenizer.encode(text, special=changing)
    changing.clear()
    assert id not in tokenizer.encode(text, special=changing)
    if len(names) > 7:
        for number in range(200):
            some = {name for bit, name in enumerate(names[1:9]) if number >> bit & 1}
            assert id not in tokenizer.encode(text, special=some)
            assert id in tokenizer.encode(text, special=some | {names[0]})
        assert len(tokenizer._actions.short) < 100
    for wrong in ({"<nope>"}, {"<nope>", 1}):
        with pytest.raises(ValueError, match=r"^special names .*<nope>.*, not among the special tokens \["):
            tokenizer.encode("a", special=wrong)


def test_all_of_no_special_tokens():
    tokenizer = fastemb.Tokenizer.load(vocabularies.read("gpt2").file, "gpt2")
    words = r"^special is 'all', but this tokenizer has no special tokens; a rank file holds none"
    for call in (tokenizer.encode, tokenizer.count, lambda text, **more: tokenizer.encode_batch([text], **more)):
        with pytest.raises(ValueError, match=words):
            call("a", special="all")
    with pytest.raises(ValueError, match=words):
        tokenizer.truncate("a", 1, special="all")
    for fine in ("none", "raise", set()):
        assert tokenizer.encode("a", special=fine).tolist() == [64]
    model = fastemb.StaticModel(tokenizer, np.ones((50_256, 2), "f4"))  # reads all special tokens there may be
    assert model.encode(["a", "b c"]).tolist() == [[1, 1], [1, 1]]
    assert model.encode("a").tolist() == [1, 1]


# ---------------------------------------------------------------- chunks


def test_chunks(tokenizer):
    special, cut = {"special": "all"}, 0
    for text in [*draw_texts(tokenizer, 40, seed=3), *draw_fragments(30, seed=4)]:
        ids = tokenizer.encode(text, **special).tolist()
        for n, overlap in ((16, 0), (17, 5), (18, 17), (50, 10), (10**6, 0)):
            chunks = tokenizer.chunks(text, n, overlap, **special)
            end = 0
            for number, (piece, row) in enumerate(chunks):
                assert 0 < row.size <= n
                assert row.dtype == np.int32
                assert isinstance(piece, str)
                places = range(max(end - overlap, 0), end + 1) if number else [0]
                place = next(place for place in places if ids[place : place + row.size] == row.tolist())
                end = place + row.size
            assert end == len(ids)
            assert len(chunks) >= -(-len(ids) // n)
            cut += len(chunks) > 1
            if overlap == 0:
                assert [id for _, row in chunks for id in row.tolist()] == ids
                assert "".join(piece for piece, _ in chunks) == tokenizer.decode(ids)
    assert cut > 20
    assert tokenizer.chunks("", 3) == []
    assert [piece for piece, _ in tokenizer.chunks("one two three", 1)] == ["one", " two", " three"]


def test_a_character_of_many_tokens(gpt2):
    text = "ab\U0001f9ffcd"
    assert gpt2.encode("\U0001f9ff").size == 3
    with pytest.raises(ValueError, match=r"^n must be at least 3, the tokens of one character of the text, got 2$"):
        gpt2.chunks(text, 2)
    assert [piece for piece, _ in gpt2.chunks(text, 3)] == ["ab", "\U0001f9ff", "cd"]
    assert [piece for piece, _ in gpt2.chunks(text, 4, 2)] == ["ab\U0001f9ff", "cd"]
    assert [piece for piece, _ in gpt2.chunks(text, 4, 3)] == ["ab\U0001f9ff", "\U0001f9ffcd"]
