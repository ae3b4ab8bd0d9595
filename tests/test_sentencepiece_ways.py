"""More than one way to cut a text: the n best, ways by chance, merges left out; each with its exact probability."""

import itertools
import math
from collections import Counter

import numpy as np
import piece_models
import pytest

from fastemb._text.sentencepiece_engine import Engine
from fastemb._text.sentencepiece_file import ModelType, PieceType, read_model

PIECES = [("▁", -2), ("a", -1.5), ("b", -1.25), ("ab", -2.5), ("ba", -2.25), ("▁a", -3), ("aba", -3.5)]
PLAIN = {"add_dummy_prefix": False, "remove_extra_whitespaces": False}


@pytest.fixture
def unigram():
    return Engine(read_model(piece_models.model(PIECES, normalizer=PLAIN)))


def all_ways(text, scores):
    """Return every way to cut a text into pieces, with its score, by trying all."""
    if not text:
        return {(): 0.0}
    found = {}
    for piece, score in scores.items():
        if text.startswith(piece):
            rest = all_ways(text[len(piece) :], scores)
            found |= {(piece, *way): score + more for way, more in rest.items()}
    return found


def names(pieces):
    return tuple(piece.text.decode() for piece in pieces)


@pytest.mark.parametrize("text", ["abab", "a ba", "ababa", "a"])
def test_the_best_ways_are_all_there(unigram, text):
    want = all_ways(text.replace(" ", "▁"), dict(PIECES))
    found = unigram.nbest(text.encode(), 1000)
    assert Counter(names(pieces) for pieces, _ in found) == Counter(want.keys())
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    for pieces, score in found:
        assert score == pytest.approx(want[names(pieces)], abs=1e-5)
    assert names(found[0][0]) == names(unigram.encode(text.encode()))


@pytest.mark.parametrize("name", ["nmt_nfkc", "bytes", "identity, symbols", "not split"])
def test_the_best_ways_are_sentencepieces(name):
    data = piece_models.trained("unigram", name)
    oracle, engine = piece_models.oracle(data), Engine(read_model(data))
    for text in piece_models.texts(24):
        want = oracle.nbest_encode(text, nbest_size=7)
        assert [[piece.id for piece in pieces] for pieces, _ in engine.nbest(text.encode(), 7)] == want, text


def test_ways_of_equal_scores_come_in_sentencepieces_order():
    data = piece_models.model([("▁", -1), ("a", -1), ("aa", -2), ("aaa", -3), ("b", -2), ("ab", -3)])
    oracle, engine = piece_models.oracle(data), Engine(read_model(data))
    for text, count in itertools.product(["aaaaaa", "abaab", "aaa aaa aba"], [2, 5, 40, 500]):
        want = oracle.nbest_encode(text, nbest_size=count)
        assert [[piece.id for piece in pieces] for pieces, _ in engine.nbest(text.encode(), count)] == want


def check_shares(counts, shares):
    """Assert that counts are those of a sample: none is off by five times what chance explains."""
    total = sum(counts.values())
    assert counts.keys() <= shares.keys()
    for way, share in shares.items():
        assert abs(counts[way] - total * share) <= 5 * math.sqrt(total * share * (1 - share)) + 1e-9, way


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("nbest_size", [-1, 3])
def test_ways_by_chance(unigram, alpha, nbest_size):
    ways = all_ways("abab", dict(PIECES))
    best = sorted(ways, key=ways.get, reverse=True)[: len(ways) if nbest_size < 0 else nbest_size]
    weights = {way: math.exp(alpha * ways[way]) for way in best}
    generator = np.random.default_rng(5)
    counts = Counter(names(unigram.sample(b"abab", nbest_size, alpha, generator)) for _ in range(3000))
    check_shares(counts, {way: weight / sum(weights.values()) for way, weight in weights.items()})


def test_the_same_seed_gives_the_same_ways(unigram):
    one, two = (np.random.default_rng(8) for _ in range(2))
    rows = [[names(unigram.sample(b"ababab ab", -1, 0.2, rng)) for _ in range(20)] for rng in (one, two)]
    assert rows[0] == rows[1]
    assert len(set(rows[0])) > 1


def test_merges_left_out():
    """Of "abc" the merge of "ab" comes first: what happens to it and to the two that follow is all there is."""
    pieces = [("a", -5), ("b", -5), ("c", -5), ("ab", -1), ("bc", -2), ("abc", -3)]
    engine = Engine(read_model(piece_models.model(pieces, ModelType.BPE, normalizer=PLAIN)))
    alpha, generator = 0.3, np.random.default_rng(6)
    counts = Counter(names(engine.sample(b"abc", -1, alpha, generator)) for _ in range(3000))
    keep = 1 - alpha
    shares = {
        ("abc",): keep * keep + alpha * keep * keep,
        ("ab", "c"): keep * alpha,
        ("a", "bc"): alpha * keep * alpha,
        ("a", "b", "c"): alpha * alpha,
    }
    check_shares(counts, shares)
    assert names(engine.sample(b"abc", -1, 0.0, generator)) == ("abc",)
    assert names(engine.sample(b"abc", -1, 1.0, generator)) == ("a", "b", "c")


def test_merges_have_no_other_ways():
    engine = Engine(read_model(piece_models.model([("a", -1)], ModelType.BPE)))
    with pytest.raises(ValueError, match="asked of a BPE model"):
        engine.nbest(b"a", 2)


def test_unused_pieces_are_taken_apart_again():
    pieces = [("a", -5), ("b", -5), ("ab", -1, PieceType.UNUSED), ("abab", -2), ("aba", -3, PieceType.UNUSED)]
    engine = Engine(read_model(piece_models.model(pieces, ModelType.BPE, normalizer=PLAIN)))
    assert names(engine.encode(b"abab")) == ("abab",)
    assert names(engine.encode(b"aba")) == ("a", "b", "a")
    unigram = Engine(read_model(piece_models.model(pieces, normalizer=PLAIN)))
    assert names(unigram.encode(b"aba")) == ("a", "b", "a")
