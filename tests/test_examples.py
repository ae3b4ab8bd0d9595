"""The examples that need no framework, run small."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

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
