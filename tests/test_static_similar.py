"""Cosines, nearest words and analogies, held against the definition in a few lines."""

import json

import numpy as np
import pytest
import safetensors.numpy
from word_cases import VOCAB, document

import fastemb

rng = np.random.default_rng(11)
WORDS = ["king", "queen", "man", "woman", "the", "of", "same", "twin", "zero"]
TABLE = rng.standard_normal((len(WORDS), 7)).astype(np.float32)
TABLE[7], TABLE[8] = TABLE[6] * 4, 0
UNIT = TABLE / np.maximum(np.linalg.norm(TABLE, axis=1, keepdims=True), 1e-30)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("similar") / "vectors"
    rows = (" ".join([word, *map(repr, row)]) for word, row in zip(WORDS, TABLE.tolist(), strict=True))
    file.write_text("\n".join(rows))
    return fastemb.StaticModel.load(file)


def nearest(vector, left_out, k):
    """The k best of all words but some: the law."""
    cosines = UNIT.astype(np.float64) @ (vector / np.linalg.norm(vector))
    order = sorted(range(len(WORDS)), key=lambda id: (-np.float32(cosines[id]), id))
    return [(WORDS[id], cosines[id]) for id in order if WORDS[id] not in left_out][:k]


def assert_same(found, expected):
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 8, 100])
def test_most_similar(model, k):
    for word in WORDS[:-1]:
        assert_same(model.most_similar(word, k), nearest(TABLE[WORDS.index(word)], {word}, k))
    assert_same(model.most_similar(TABLE[0], k), nearest(TABLE[0], {}, k))
    text = nearest(TABLE[0] + TABLE[4], {"king", "the"}, k)
    assert_same(model.most_similar("the king of-unknown", k), text)
    assert all(type(word) is str and type(score) is float for word, score in text[:0] + model.most_similar("the", k))


def test_analogies_are_of_vectors_of_length_one(model):
    vector = UNIT[0] + UNIT[3] - UNIT[2]
    assert_same(model.analogy(["king", "woman"], ["man"], 4), nearest(vector, {"king", "woman", "man"}, 4))
    assert_same(model.analogy("king", "man", 4), nearest(UNIT[0] - UNIT[2], {"king", "man"}, 4))
    assert_same(model.analogy(negative=["man"], positive=[], k=2), nearest(-UNIT[2], {"man"}, 2))
    # given vectors are taken as they are, and leave nothing out
    assert_same(model.analogy([TABLE[0] * 3, "queen"], k=3), nearest(TABLE[0] * 3 + UNIT[1], {"queen"}, 3))


def test_equal_scores_come_by_their_ids(model):
    assert [word for word, _ in model.most_similar(TABLE[6], 2)] == ["same", "twin"]


@pytest.mark.parametrize("shape", [(), (3,)])
def test_similarity(model, shape):
    cosines = model.similarity(WORDS, ["king", "zero", "unknown"])
    np.testing.assert_allclose(cosines, UNIT @ np.stack([UNIT[0], UNIT[8], UNIT[8]]).T, atol=1e-6)
    assert cosines.dtype == np.float32
    assert np.array_equal(model.similarity(TABLE, "king"), model.similarity(WORDS, "king"))
    assert model.similarity("king", "queen").shape == ()
    assert model.similarity(WORDS[: len(shape) + 1]).shape == (len(shape) + 1,) * 2
    assert model.similarity(TABLE.astype(np.float16), TABLE[0]).shape == (len(WORDS),)
    assert model.similarity([], WORDS).shape == (0, len(WORDS))


def test_refusals(model):
    with pytest.raises(KeyError, match="nothing in 'unknown' is in the vocabulary"):
        model.most_similar("unknown")
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        model.most_similar("king", 0)
    with pytest.raises(TypeError, match="k must be an integer, got float"):
        model.most_similar("king", 2.0)
    with pytest.raises(TypeError, match="a query must be a str or an array of floats, got int"):
        model.most_similar(3)
    with pytest.raises(TypeError, match="expected texts and vectors, got int"):
        model.analogy(3)
    with pytest.raises(ValueError, match="positive and negative are empty"):
        model.analogy([])
    with pytest.raises(ValueError, match=r"a vector must have shape \(7,\), got \(3,\)"):
        model.most_similar(np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"got shapes \(7,\) and \(3,\)"):
        model.similarity("king", np.ones(3, np.float32))
    with pytest.raises(TypeError, match="a must have dtype float64"):
        model.similarity(np.ones(7, int))
    with pytest.raises(ValueError, match=r"b must have shape \(N, D\) or \(D,\)"):
        model.similarity("king", np.ones((1, 1, 7), np.float32))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(document()))
    return tmp_path


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_rows_that_no_token_has_are_not_found(folder, dtype):
    """Makers round up; a row behind the last token would be the best of all."""
    table = rng.integers(-100, 100, (len(VOCAB) + 5, 6)).astype(dtype)
    table[-1] = table[3]
    safetensors.numpy.save_file({"embedding.weight": table}, folder / "model.safetensors")
    model = fastemb.StaticModel.load(folder)
    found = model.most_similar(table[3].astype(np.float32), 500)
    assert sorted(word for word, _ in found) == sorted(model.tokenizer.vocab)
    assert found[0][0] == model.tokenizer.id_to_token(3)
    assert abs(found[0][1] - 1) < 1e-6


def test_layers_come_before_the_comparison(folder):
    table = rng.standard_normal((len(VOCAB), 6)).astype(np.float32)
    layer = rng.standard_normal((4, 6)).astype(np.float32)
    kinds = ["StaticEmbedding", "Dense"]
    modules = [{"path": "" if i == 0 else "1_D", "type": f"x.{kind}"} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_D").mkdir()
    (folder / "1_D/config.json").write_text('{"activation_function": "torch.nn.modules.linear.Identity"}')
    safetensors.numpy.save_file({"embedding.weight": table}, folder / "model.safetensors")
    safetensors.numpy.save_file({"linear.weight": layer}, folder / "1_D/model.safetensors")
    model = fastemb.StaticModel.load(folder)
    (best, score), *_ = model.most_similar(table[5] @ layer.T, 3)
    assert best == model.tokenizer.id_to_token(5)
    assert abs(score - 1) < 1e-6


def test_equal_to_gensim(tmp_path):
    gensim = pytest.importorskip("gensim.models", reason="the package gensim is not installed")
    rows = zip(WORDS[:6], TABLE.tolist(), strict=False)  # without the equal cosines, of which either may come first
    (tmp_path / "saved").write_text("6 7\n" + "\n".join(" ".join([word, *map(repr, row)]) for word, row in rows))
    ours = fastemb.StaticModel.load(tmp_path / "saved")
    theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "saved"))
    for positive, negative in ((["king"], []), (["king", "woman"], ["man"]), ([], ["the"]), ([TABLE[1]], ["of"])):
        assert_same(ours.analogy(positive, negative, 3), theirs.most_similar(positive, negative, topn=3))
