"""`fastemb train-vectors`, what it leaves on disk, and that gensim reads the same numbers."""

import errno
import gzip
import re
import sys

import numpy as np
import pytest

import fastemb
from fastemb.__main__ import main
from fastemb._cli.writing import resuming

TEXTS = [f"the {animal} {deed} in the {place}" for animal in ("cat", "dog", "cow") for deed in ("eats", "sleeps")
         for place in ("barn", "house")] * 5  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


def run(*argv):
    return main(["train-vectors", *map(str, argv)])


@pytest.mark.parametrize("kind", ["skipgram", "cbow", "glove"])
@pytest.mark.parametrize("text", [False, True])
def test_the_command_writes_what_the_function_trains(file, tmp_path, capfd, kind, text):
    options = ["--text"] if text else []
    assert run(file, "-o", tmp_path / "v", "--kind", kind, "--dim", 8, "--epochs", 2, "--seed", 3, *options) == 0
    assert capfd.readouterr() == (f"wrote {tmp_path / 'v'}: 9 words of 8 numbers\n", "")
    model = fastemb.train_vectors(TEXTS, kind, 8, epochs=2, seed=3)
    read = fastemb.StaticModel.load(tmp_path / "v")
    assert read.tokenizer.vocab.keys() - {"unknown word"} == model.tokenizer.vocab.keys() - {"unknown word"}
    np.testing.assert_array_equal(read.table, model.table)
    assert {path.name for path in tmp_path.iterdir()} == {"v", "texts.txt"}


def test_several_files_packed_or_not_are_one_after_another(file, tmp_path, capfd):
    half = len(TEXTS) // 2
    (tmp_path / "a.txt").write_text("\n".join(TEXTS[:half]) + "\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(("\n".join(TEXTS[half:]) + "\n").encode()))
    assert run(tmp_path / "a.txt", tmp_path / "b.txt.gz", "-o", tmp_path / "two", "--dim", 4, "-q") == 0
    assert run(file, "-o", tmp_path / "one", "--dim", 4, "-q", "--threads", 1) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--min-count", "999"], "nothing to train on"),
        (["--learning-rate", "nan"], "learning_rate must be above 0"),
        (["--kind", "glove", "--negatives", "3"], "negatives is for"),
        (["--dim", "0"], "dim must be from 1"),
        (["--learning-rate", "1e38"], "not finite"),
    ],
)
def test_refusals_leave_what_was_there(file, tmp_path, capfd, options, words):
    (tmp_path / "v").write_text("as it was")
    assert run(file, "-o", tmp_path / "v", *options) == 2
    found = capfd.readouterr()
    assert words in found.err
    assert found.err.count("\n") == 1
    assert (tmp_path / "v").read_text() == "as it was"
    assert {path.name for path in tmp_path.iterdir()} == {"v", "texts.txt"}


def test_a_full_disk_leaves_what_was_there(file, tmp_path, capfd, monkeypatch):
    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "v").write_text("as it was")
    monkeypatch.setattr(resuming, "write_all", full)
    assert run(file, "-o", tmp_path / "v", "--dim", 4) == 2
    assert "No space left on device" in capfd.readouterr().err
    assert (tmp_path / "v").read_text() == "as it was"
    assert {path.name for path in tmp_path.iterdir()} == {"v", "texts.txt"}


def test_an_interrupt_leaves_what_was_there(file, tmp_path, capfd, monkeypatch):
    def interrupt(*given):
        raise KeyboardInterrupt

    (tmp_path / "v").write_text("as it was")
    monkeypatch.setattr("fastemb._cpu.word_vectors.NegativeSampling.train", interrupt)
    assert run(file, "-o", tmp_path / "v") == 130
    assert (tmp_path / "v").read_text() == "as it was"
    assert {path.name for path in tmp_path.iterdir()} == {"v", "texts.txt"}


def test_a_terminal_sees_the_rate_and_the_time_left(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(file, "-o", tmp_path / "v", "-q") == 0
    assert capsys.readouterr().err == ""
    assert run(file, "-o", tmp_path / "v", "--kind", "glove") == 0
    shown = capsys.readouterr().err
    assert "reading: 360 words, 9 of them different" in shown
    assert re.search(r"training: 100 %, [0-9,]+ pairs/s, 0:00 left", shown)


@pytest.mark.parametrize("binary", [False, True])
def test_words_of_any_length_that_is_read_back(tmp_path, binary):
    model = fastemb.train_vectors(["\u00e9" * (1 << 14) + " b c"] * 5, dim=2)
    model.save_word2vec(tmp_path / "v", binary=binary)
    assert fastemb.StaticModel.load(tmp_path / "v").table.tobytes() == model.table.tobytes()
    model = fastemb.train_vectors(["\u00e9" * (1 << 14) + "e b c"] * 5, dim=2)
    with pytest.raises(ValueError, match="has more than 32,768 bytes, and would not be read back"):
        model.save_word2vec(tmp_path / "v", binary=binary)


def test_gensim_reads_the_same_numbers(tmp_path):
    keyed = pytest.importorskip("gensim.models.keyedvectors", reason="the package gensim reads the files")
    model = fastemb.train_vectors(TEXTS, dim=12, seed=1)
    for binary in (False, True):
        model.save_word2vec(tmp_path / "v", binary=binary)
        theirs = keyed.KeyedVectors.load_word2vec_format(str(tmp_path / "v"), binary=binary)
        assert theirs.index_to_key == list(model.tokenizer.vocab)[: len(model.table)]
        np.testing.assert_array_equal(theirs.vectors, model.table)
        for word in theirs.index_to_key:
            ours = [other for other, _ in model.most_similar(word, 3)]
            assert [other for other, _ in theirs.most_similar(word, topn=3)] == ours
