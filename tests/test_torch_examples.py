"""The examples that need torch, run small."""

import pytest
from test_examples import load_example

pytest.importorskip("torch", reason="the package torch is not installed")


def test_texts_are_classified(tmp_path, capsys):
    """Two kinds of texts that share most words; files held out are told apart."""
    for name, word in (("fruit", "apple"), ("tools", "hammer")):
        (tmp_path / name).mkdir()
        for k in range(20):
            (tmp_path / name / f"{k}.txt").write_text(f"the {word} of number {k} is here\n" * 3)
    (tmp_path / "few").mkdir()
    right, most = load_example("classify").main(
        [str(tmp_path), "--glob", "*.txt", "--epochs", "8", "--batch", "8", "--lr", "0.03"]
    )
    assert most == 0.5
    assert right == 1.0
    out = capsys.readouterr().out
    assert "2 classes: fruit, tools; 32 texts to train on, 8 held out" in out


@pytest.mark.parametrize(("given", "words"), [("nowhere", "is no folder"), (".", "got 0 with 10 files")])
def test_folders_without_classes_are_refused(given, words, tmp_path, capsys):
    with pytest.raises(SystemExit):
        load_example("classify").main([str(tmp_path / given)])
    assert words in capsys.readouterr().err
