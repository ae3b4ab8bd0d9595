"""The examples that need no framework, run small."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

from fastemb import StaticModel

EXAMPLES = Path(__file__).parent.parent / "examples"


def load_example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def contrastive():
    return load_example("contrastive")


def test_sentences_find_their_code(contrastive, capsys, tmp_path):
    """What stands for what is learned from some functions, and holds in others: numbers in two languages."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    others = ["ein", "zwei", "drei", "vier", "funf", "sechs", "sieben", "acht", "neun", "zehn"]
    for k, three in enumerate(itertools.combinations(range(10), 3)):
        sentence, code = (" ".join(names[i] for i in three) for names in (words, others))
        text = f'def f():\n    """{sentence.capitalize()}.\n\n    More."""\n    return "{code}"\n'
        (tmp_path / f"{k:03}.py").write_text(text)
    before, after = contrastive.main(["--code", str(tmp_path), "--epochs", "10", "--batch", "16"])
    assert before < 0.5
    assert after > 0.9
    out = capsys.readouterr().out
    assert "96 pairs to train on, 24 held out; a table of (29524, 128)" in out
    assert f"recall@1 after: {after:.3f}" in out


def test_too_few_pairs_are_refused(contrastive, capsys, tmp_path):
    (tmp_path / "a.py").write_text('def f():\n    """Do it."""\n')
    with pytest.raises(SystemExit):
        contrastive.main(["--code", str(tmp_path)])
    assert "enough for a batch of 256, got 0 to train on and 1 held out" in capsys.readouterr().err


def test_the_gradient_of_the_contrastive_loss(contrastive):
    vectors = np.random.default_rng(0).standard_normal((12, 5)) / 4
    _, grad = contrastive.loss_grad(vectors)
    for place in ((0, 0), (3, 2), (6, 4), (11, 1)):
        apart = np.zeros_like(vectors)
        apart[place] = 1e-6
        slope = (contrastive.loss_grad(vectors + apart)[0] - contrastive.loss_grad(vectors - apart)[0]) / 2e-6
        assert abs(slope - grad[place]) < 1e-6


def test_pairs_are_a_sentence_and_code_without_it(contrastive, tmp_path):
    (tmp_path / "a.py").write_text(
        'def add(a, b):\n    """Return the sum.  It is exact.\n\n    More."""\n    return a + b\n'
    )
    (tmp_path / "b.py").write_text("def no_words():\n    pass\n")
    (tmp_path / "c.py").write_text("def broken(:\n")
    assert list(contrastive.read_pairs(tmp_path)) == [(True, "Return the sum", "def add(a, b):\n    return a + b")]


def test_words_of_a_text_have_neighbours(capsys, tmp_path):
    """The program as it stands, on texts in which what is asked for comes."""
    text = tmp_path / "text"
    text.write_text("The king, a man. The queen, a woman: red wine and bread.\n" * 40)
    word2vec = load_example("word2vec")
    found = word2vec.main([str(text), "--dim", "8", "--epochs", "2", "--output", str(tmp_path / "vectors")])
    assert [word for word, near in found.neighbours.items() if near] == ["king", "red", "bread"]
    assert found.analogies[0].found in {"the", "a", "queen", "red", "wine", "and", "bread"}
    assert found.analogies[1].found is None
    printed = capsys.readouterr().out
    assert printed.count("\n") == len(word2vec.WORDS) + len(word2vec.ANALOGIES) + 1
    saved = StaticModel.load(tmp_path / "vectors")
    assert len(saved.most_similar("king", 3)) == 3
