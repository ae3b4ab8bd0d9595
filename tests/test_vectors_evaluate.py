"""Nearest words, analogies and correlations, and what is printed of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb._word_vectors.questions import spearman


def model_of(folder, vectors):
    """A model of these words and vectors."""
    (folder / "words").write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in vectors.items()))
    return fastemb.StaticModel.load(folder / "words")


@pytest.fixture
def royals(tmp_path):
    return model_of(
        tmp_path,
        {
            "man": [1, 0, 0, 0.1], "woman": [0, 1, 0, 0.1], "king": [1, 0, 1, 0.1], "queen": [0, 1, 1, 0.1],
            "prince": [1, 0, 0.8, 0.5], "apple": [0, 0, 0, 1],
        },
    )  # fmt: skip


def slow_analogy(model, a, b, c):
    """3CosAdd by its definition."""
    rows = model.table.astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vocab = {word: id for word, id in model.tokenizer.vocab.items() if id < len(rows)}
    x = rows[vocab[b]] - rows[vocab[a]] + rows[vocab[c]]
    scores = {word: rows[id] @ x for word, id in vocab.items() if word not in (a, b, c)}
    return max(scores, key=scores.__getitem__)


def test_analogies_are_those_of_the_definition(tmp_path):
    random = np.random.default_rng(0)
    names = [f"w{i}" for i in range(30)]
    model = model_of(tmp_path, dict(zip(names, random.normal(size=(30, 5)).round(4).tolist(), strict=True)))
    asked = [tuple(random.choice(names, 4, replace=False).tolist()) for _ in range(200)]
    found = fastemb.evaluate(model, analogies=asked)
    assert [one.found for one in found.analogies] == [slow_analogy(model, *words[:3]) for words in asked]
    assert found.accuracy == np.mean([one.found == one.words[3] for one in found.analogies])
    one = found.analogies[0]
    best = model.analogy([one.words[1], one.words[2]], [one.words[0]], k=1)[0]
    assert (one.found, one.score) == (best[0], pytest.approx(best[1], abs=1e-6))


def test_print_writes_as_textbooks_do(royals):
    found = fastemb.evaluate(
        royals,
        ["king", "nobody"],
        analogies=[("man", "king", "woman", "queen"), ("man", "king", "woman", "apple"), ("man", "x", "woman", "y")],
        pairs=[("man", "king", 9), ("man", "apple", 1), ("man", "x", 5), ("woman", "queen", 7)],
        k=2,
    )
    assert str(found).splitlines() == [
        f"king    prince {found.neighbours['king'][0][1]:.2f}, man {found.neighbours['king'][1][1]:.2f}",
        "nobody  (unknown)",
        f"king - man + woman = queen {found.analogies[0].score:.2f}",
        f"king - man + woman = queen {found.analogies[0].score:.2f}, not apple",
        "x - man + woman = (a word is unknown)",
        "all analogies: 50.0 % (1 of 2; 1 with unknown words)",
        f"Spearman's rank correlation: {found.correlation.spearman:.3f} (of 3 pairs; 1 with unknown words)",
    ]
    assert str(fastemb.evaluate(royals)) == ""


def test_files_of_questions_have_sections(royals, tmp_path):
    (tmp_path / "questions").write_text(": royal\nMan King Woman Queen\n\n: fruit\nman king woman apple\nman a b c\n")
    found = fastemb.evaluate(royals, analogies=tmp_path / "questions", lowercase=True)
    assert str(found).splitlines() == [
        "royal: 100.0 % (1 of 1; 0 with unknown words)",
        "fruit: 0.0 % (0 of 1; 1 with unknown words)",
        "all analogies: 50.0 % (1 of 2; 1 with unknown words)",
    ]
    assert fastemb.evaluate(royals, analogies=tmp_path / "questions").accuracy == 0  # "Man" is no word of it
    (tmp_path / "questions").write_text(": royal\nman king woman\n")
    with pytest.raises(ValueError, match=r"questions: line 2: expected four words, found 3"):
        fastemb.evaluate(royals, analogies=tmp_path / "questions")


@pytest.mark.parametrize(
    "lines", ["man\tking\t9\nman\tapple\t1\n", "Word 1,Word 2,Mean\nman,king,9\nman , apple , 1\n"]
)
def test_files_of_pairs(royals, tmp_path, lines):
    (tmp_path / "pairs").write_text("# a comment\n" + lines)
    found = fastemb.evaluate(royals, pairs=tmp_path / "pairs").correlation
    assert found == (1.0, 2, 0)
    (tmp_path / "pairs").write_text(lines + "man\tking\tmuch\n")
    with pytest.raises(ValueError, match=r"finite number, got 'much' in line \d of .*pairs"):
        fastemb.evaluate(royals, pairs=tmp_path / "pairs")


def test_a_correlation_that_is_not_defined_is_nan(royals):
    assert np.isnan(fastemb.evaluate(royals, pairs=[("man", "king", 1), ("man", "apple", 1)]).correlation.spearman)
    assert np.isnan(fastemb.evaluate(royals, pairs=[("x", "y", 1)]).correlation.spearman)
    assert np.isnan(fastemb.evaluate(royals).accuracy)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12))
def test_spearman_is_pearson_of_mean_ranks(points):
    x, y = np.array(points, float).T
    ranks = [
        [np.mean([i for i, one in enumerate(sorted(values)) if one == value]) for value in values] for values in (x, y)
    ]
    found = spearman(x, y)
    if len({*x}) == 1 or len({*y}) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)


def test_a_tokenizer_of_parts_of_words_is_asked_too(llama_folder):
    """A published model whose words are tokens with a mark."""
    model = fastemb.StaticModel.load(llama_folder)
    found = fastemb.evaluate(model, "house", analogies=[("Germany", "German", "France", "French")], k=3)
    assert len(found.neighbours["house"]) == 3
    assert found.analogies[0].is_right
    assert found.analogies[0].found == "French"  # and not as the vocabulary has it
