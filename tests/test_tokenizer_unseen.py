"""Pieces that no cache knows: gaps in the output, found together, merged side by side, give the ids of each alone."""

import pickle
import random

import numpy as np
import pytest
import vocabularies

import fastemb
from fastemb._text import encode

SIZES = [
    "1",
    str(1 << 18),
    str(1 << 32),
]  # of all caches: the least there is, one that is often full, one that never is
PATHS = ["avx512", "avx2", "neon", "none"]


def new_words(count: int, seed: int) -> str:
    """Return words that are not words, of all lengths; some again and again, some too long to be kept or for a lane."""
    rng = random.Random(seed)
    words = []
    for _ in range(count):
        letters = rng.choice(["abcdefghijklmnopqrstuvwxyz", "etaoin", "ab", "абвгдежз", "日本語文字", "._-=/"])
        length = rng.choice([1, 2, 5, 9, 15, 16, 40, 191, 192, 193, 400]) if rng.random() < 0.1 else rng.randint(2, 14)
        words.append("".join(rng.choices(letters, k=length)))
        if rng.random() < 0.2:
            words.append(rng.choice(words))
    words[count // 2] = "x" + "yz" * 700  # longer than any piece that is remembered
    return " ".join(words)


@pytest.fixture(scope="module", params=["gpt2 files", "cl100k", "o200k"])
def tokenizer(request, gpt2):
    """By a list of merges, and by ranks."""
    if request.param == "gpt2 files":
        return gpt2
    try:
        real = vocabularies.read(request.param)
    except vocabularies.MissingVocabularyError as missing:
        pytest.skip(str(missing))
    return fastemb.Tokenizer.load(real.file, real.pattern_name)


@pytest.fixture(scope="module")
def texts():
    whole = new_words(6000, seed=1)
    return [whole, *whole.split("z")]  # one long text, and many short ones of the same pieces


@pytest.fixture(scope="module")
def alone(tokenizer, texts):
    """The rows of a tokenizer that remembers nothing, which takes one piece after the other."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FASTEMB_TOKENIZER_CACHE", "0")
        rows = pickle.loads(pickle.dumps(tokenizer)).encode_batch(texts)
    assert rows.lengths[0] > 10 * 512  # more unknown pieces than are gathered at once
    return rows


def same(rows, expected):
    assert np.array_equal(rows.ids, expected.ids)
    assert np.array_equal(rows.offsets, expected.offsets)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", SIZES)
def test_ids_and_counts(tokenizer, texts, alone, monkeypatch, size, path):
    """Whatever is remembered, whichever instructions are taken: the first time and the second, and counted."""
    monkeypatch.setenv("FASTEMB_TOKENIZER_CACHE", size)
    monkeypatch.setenv("FASTEMB_SIMD", path)
    new = pickle.loads(pickle.dumps(tokenizer))
    for _ in range(2):
        same(new.encode_batch(texts), alone)
    counting = pickle.loads(pickle.dumps(tokenizer))
    for _ in range(2):
        assert np.array_equal(counting.count_batch(texts), alone.lengths)


@pytest.mark.parametrize("room", [0, 1, 700, 20_000])
def test_room_that_ends_among_gaps(tokenizer, texts, alone, monkeypatch, room):
    """What is complete stays, and the rest is done again."""
    monkeypatch.setattr(encode, "_guess", lambda *_: room)
    same(pickle.loads(pickle.dumps(tokenizer)).encode_batch(texts), alone)


@pytest.mark.parametrize("most", [1, 3, 100, 5000])
def test_limits(tokenizer, texts, alone, most):
    rows = pickle.loads(pickle.dumps(tokenizer)).encode_batch(texts, max_tokens=most)
    assert [row.tolist() for row in rows] == [row[:most].tolist() for row in alone]


def test_a_caller_who_is_alone_has_the_largest_cache(tokenizer):
    """Also after calls at the same time, which had the others."""
    core = pickle.loads(pickle.dumps(tokenizer))._core
    with core.workspace() as first, core.workspace() as second, core.workspace() as third:
        assert len({id(first), id(second), id(third)}) == 3
    for _ in range(3):
        with core.workspace() as alone:
            assert alone is first
            with core.workspace() as other:
                assert other is not first
