"""Long texts in windows, and texts that come one after another."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb import Ragged
from fastemb._static.windows import Cut, windows_of

TABLE = np.random.default_rng(2).standard_normal((26, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("windows") / "vectors"
    file.write_text("\n".join(" ".join([chr(97 + i), *map(repr, row)]) for i, row in enumerate(TABLE.tolist())))
    return fastemb.StaticModel.load(file)


def cut(ids, window, overlap):
    """WindowVectors by their definition: each begins window - overlap behind the last, until one reaches the end."""
    found, at = [], 0
    while at < len(ids):
        found.append(list(ids[at : at + window]))
        if at + window >= len(ids):
            break
        at += window - overlap
    return found


@given(
    rows=st.lists(st.lists(st.integers(0, 25), max_size=40), max_size=6),
    window=st.integers(1, 12),
    overlap=st.integers(0, 11),
)
@settings(deadline=None)
def test_windows(rows, window, overlap):
    overlap = min(overlap, window - 1)
    found, offsets = windows_of(Ragged.from_lists(rows), Cut(window, window - overlap, None))
    expected = [cut(row, window, overlap) for row in rows]
    assert found.tolist() == [one for some in expected for one in some]
    assert offsets.tolist() == np.cumsum([0, *map(len, expected)]).tolist()


TEXTS = ["a b c d e f g h", "", "a b", "unknown", "z a unknown b " * 20]


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30)


@pytest.mark.parametrize("normalize", [None, True, False])
@pytest.mark.parametrize(("window", "overlap"), [(3, 0), (3, 2), (100, 50), (1, 0)])
def test_chunk_then_pool(model, window, overlap, normalize):
    options = {"window": window, "overlap": overlap, "normalize": normalize}
    scale = unit if normalize else np.asarray
    ids = [[ord(word) - 97 for word in text.split() if len(word) == 1] for text in TEXTS]
    chunks = [[scale(TABLE[one].mean(axis=0)) for one in cut(row, window, overlap)] for row in ids]
    vectors, offsets = model.encode(TEXTS, join=None, **options)
    assert offsets.tolist() == np.cumsum([0, *map(len, chunks)]).tolist()
    np.testing.assert_allclose(vectors, [one for some in chunks for one in some], rtol=1e-5, atol=1e-6)
    for join in ("mean", "max"):
        expected = [scale(getattr(np, join)(some, axis=0)) if some else np.zeros(5) for some in chunks]
        found = model.encode(TEXTS, join=join, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        out = np.full((len(TEXTS), 5), np.nan, np.float32)
        assert model.encode(TEXTS, join=join, out=out, **options) is out
        assert np.array_equal(out, found)
        assert np.array_equal(model.encode(TEXTS[0], join=join, **options), found[0])
    one = model.encode(TEXTS[0], join=None, **options)
    assert np.array_equal(one.vectors, vectors[: offsets[1]])
    assert one.offsets.tolist() == [0, offsets[1]]


def test_a_limit_of_the_model_cuts_no_windows(model):
    short = fastemb.StaticModel(model.tokenizer, model.table, max_length=2, drop=26)
    short._chars_per_id = 0
    assert len(short.encode("a b c d", window=2, join=None).vectors) == 2
    assert len(short.encode("a b c d", window=2, join=None, max_length=3).vectors) == 2
    assert len(short.encode("a b c d", window=2, join=None, max_length=2).vectors) == 1
    assert np.array_equal(short.encode("a b c d", window=9), model.encode("a b c d"))


def test_words_outside_of_the_vocabulary_are_in_their_windows(tmp_path):
    from test_static_formats import fasttext

    (tmp_path / "vectors").write_bytes(fasttext()[0])
    model = fastemb.StaticModel.load(tmp_path / "vectors")
    vectors, _ = model.encode("king unseen a other king", window=2, overlap=1, join=None)
    expected = model.encode(["king unseen", "unseen a", "a other", "other king"])
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"window": 0}, ValueError, "window must be at least 1, got 0"),
        ({"window": 2.5}, TypeError, "window must be an integer, got float"),
        ({"window": 3, "overlap": 3}, ValueError, "overlap must be from 0 to 2, one less than window, got 3"),
        ({"window": 3, "overlap": -1}, ValueError, "overlap must be from 0 to 2"),
        ({"overlap": 1}, ValueError, "overlap and join are of windows: give window"),
        ({"join": None}, ValueError, "overlap and join are of windows: give window"),
        ({"window": 3, "join": "sum"}, ValueError, "join must be 'mean' or 'max', got 'sum'"),
        ({"window": 3, "join": None, "out": np.ones((1, 5), "f4")}, ValueError, "out is of one vector for each text"),
        ({"window": 3, "out": np.ones((9, 5), "f4")}, ValueError, "out must have shape"),
        ({"window": 3, "normalize": "no"}, TypeError, "normalize must be a bool or None"),
    ],
)
def test_refusals(model, options, error, words):
    with pytest.raises(error, match=words):
        model.encode(["a b c"], **options)


# Streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_streams_are_batches(model, batch):
    blocks = list(model.encode_iter(iter(TEXTS), batch=batch, normalize=True))
    assert [len(block) for block in blocks[:-1]] == [batch] * (len(blocks) - 1)
    assert np.array_equal(np.concatenate(blocks), model.encode(TEXTS, normalize=True))
    assert list(model.encode_iter([])) == []


def test_no_more_than_a_batch_is_taken(model):
    taken = []
    stream = model.encode_iter((taken.append(i) or "a b" for i in range(10**9)), batch=3)
    assert taken == []
    assert next(stream).shape == (3, 5)
    assert taken == [0, 1, 2]


def test_streams_say_at_once_what_is_wrong(model):
    with pytest.raises(TypeError, match="texts must be an iterable of str, got str"):
        model.encode_iter("a b")
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        model.encode_iter(["a"], batch=0)
    with pytest.raises(ValueError, match="give neither out nor join=None"):
        model.encode_iter(["a"], window=2, join=None)
    with pytest.raises(TypeError, match="texts must be str, got int at position 1"):
        list(model.encode_iter(["a", 3]))
    assert json.dumps([vectors.shape for vectors in model.encode_iter(["a"], window=2)]) == "[[1, 5]]"
