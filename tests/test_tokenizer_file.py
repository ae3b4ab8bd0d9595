"""Text files of any size: the ids of the whole text, whatever is cut where; memory, and what is written."""

import io
import json
import os
import random
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import ranked_cases
import tokenizers
import vocabularies
from tokenizers import AddedToken, models, normalizers

import fastemb
from fastemb._text import files

ALPHABET = [
    *" \n\r\tab'1./!",
    *(
        " ",
        "\n",
        "  ",
        "\n\n",
        " a",
        "b c",
        "x\ny",
        ".\n",
        "\u00e9",
        "\u6f22",
        "\u3002\n",
        "\u3000",
        "\u00a0\n",
        "\u3042",
    ),
    *("\U0001f9ff", "\u2581", "s ", " s", "12 3", "'s a", "\u0301", "\u2028\n", "\n\u2028", "\n\u0301a", "I'll "),
]


def drawn(seed, size):
    rng = random.Random(seed)
    return "".join(rng.choice(ALPHABET) for _ in range(size))


@pytest.fixture
def small_cuts(monkeypatch):
    """Cut a file at every place where it may be cut, and encode some texts of it at a time."""
    monkeypatch.setattr(files, "TEXT", 1)
    monkeypatch.setattr(files, "LOOKED_AT", 3)
    monkeypatch.setattr(files, "STRETCH", 50)


def assert_whole(ours, text, tmp_path, **asked):
    (tmp_path / "text").write_bytes(text.encode())
    found = ours.encode_file(tmp_path / "text", **asked)
    whole = ours.encode(text, **asked)
    assert found.dtype == np.int32
    assert found.tolist() == whole.tolist()


@pytest.mark.parametrize("name", ["gpt2", "cl100k", "o200k", "llama3", "qwen2", "tekken", "deepseek_v3"])
def test_every_cut_of_byte_level_texts(name, tmp_path, small_cuts):
    if name == "deepseek_v3":
        ranks = vocabularies.rank_file({bytes([byte]): byte for byte in range(256)} | {b" a": 256, b"\n\n": 257})
        (tmp_path / "ranks").write_bytes(ranks)
        ours = fastemb.Tokenizer.load(tmp_path / "ranks", "deepseek_v3")
    else:
        ours = ranked_cases.load(name).ours
    cuts = files.Cuts(ours._core, ours._tables, ours._can_start, ours._placing.told)
    for seed in range(60):
        text = drawn(seed, 120)
        assert_whole(ours, text, tmp_path)
        data = text.encode()
        assert len(list(iter_cuts(cuts, data))) > 1
    assert_whole(ours, "", tmp_path)


def iter_cuts(cuts, data):
    at = 0
    while at is not None:
        yield at
        at = cuts.next(data, at + 1, len(data))


def characters(tmp_path, tokens, *, special=("<s>", "</s>")):
    """A vocabulary of characters with marks, and with these tokens, each made of two others."""
    letters = sorted({char for token in tokens for char in token} | set("ab1.\n"))
    vocab = {name: id for id, name in enumerate(dict.fromkeys(["<unk>", *special, "\u2581", *letters, *tokens]))}
    merges = [(token[:-1], token[-1]) for token in tokens if token[:-1] in vocab]
    engine = tokenizers.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True))
    engine.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    engine.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    engine.save(str(tmp_path / "tokenizer.json"))
    return fastemb.Tokenizer.load(tmp_path / "tokenizer.json")


def test_every_cut_of_texts_with_marks(llama, tmp_path, small_cuts):
    plain = characters(tmp_path, ["\u2581a", "ab", "\u2581\u2581", "\u2581ab"])
    crossing = characters(tmp_path, ["\u2581a", "a\u2581", "a\u2581b"])
    spaced = characters(tmp_path, ["\u2581a"], special=("<s>", "a b"))
    for ours, cut in ((llama, True), (plain, True), (crossing, False), (spaced, False)):
        cuts = files.Cuts(ours._core, ours._tables, ours._can_start, ours._placing.told)
        assert (cuts.next(b"ab ab", 0, 5) == 2) == cut
        for seed in range(60):
            text = drawn(seed, 120)
            assert_whole(ours, text, tmp_path)
            for token in ("<s>", "</s> ", " <s>"):
                text = text.replace("s ", token)
            assert_whole(ours, text, tmp_path, special="all")


def test_a_space_is_put_before_the_first_part_only(hf_gpt2, gpt2_folder, tmp_path, small_cuts):
    file = json.loads(hf_gpt2.to_str())
    file["pre_tokenizer"]["add_prefix_space"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    ours = fastemb.Tokenizer.load(tmp_path / "tokenizer.json")
    for seed in range(60):
        assert_whole(ours, drawn(seed, 120).replace("s ", "<|endoftext|>"), tmp_path, special="all")


def test_added_tokens_are_not_cut(tmp_path, small_cuts):
    """A blank or a line end inside a token is no place to cut."""
    ranks = vocabularies.rank_file({bytes([byte]): byte for byte in range(256)})
    (tmp_path / "ranks").write_bytes(ranks)
    for token in ("a b", "a\nb", "a\n", " a", "\nb"):
        ours = fastemb.Tokenizer.load(tmp_path / "ranks", "cl100k", special_tokens={token: 256})
        for text in ("a ba\nba ba\nb", "ba b c\na\nb a\nbc a", "x\n\na b a\n"):
            assert_whole(ours, text * 3, tmp_path, special="all")
            assert_whole(ours, text * 3, tmp_path)


def test_a_pattern_of_the_caller_reads_the_file_as_one_text(tmp_path, small_cuts):
    (tmp_path / "ranks").write_bytes(vocabularies.rank_file({bytes([byte]): byte for byte in range(256)}))
    ours = fastemb.Tokenizer.load(tmp_path / "ranks", r"(?s).{3}")
    assert_whole(ours, "ab cd ef\ngh ij" * 9, tmp_path)


def test_steps_that_look_across_a_cut(tmp_path, small_cuts):
    """Where Python encodes, or white space at the ends is stripped, a file is one text."""
    ours = characters(tmp_path, ["\u2581a", "ab", "\u2581ab"])
    file = json.loads((tmp_path / "tokenizer.json").read_text())
    for steps in (["NFKC"], ["Strip"], ["Lowercase"]):
        more = [
            {"type": name} | ({"strip_left": True, "strip_right": True} if name == "Strip" else {}) for name in steps
        ]
        normalizer = {"type": "Sequence", "normalizers": [*more, *file["normalizer"]["normalizers"]]}
        (tmp_path / "tokenizer.json").write_text(json.dumps(file | {"normalizer": normalizer}))
        ours = fastemb.Tokenizer.load(tmp_path / "tokenizer.json")
        for seed in range(5):
            assert_whole(ours, drawn(seed, 120), tmp_path, special="all")


def test_usual_stretches(gpt2, llama, tmp_path):
    """A text of several stretches and threads, with and without places to cut."""
    rng = random.Random(1)
    words = ["the", "naive", "na\u00efve", "\u6f22\u5b57", "x" * 50, "\n", "12", "it's", "\U0001f9ff"]
    text = " ".join(rng.choice(words) for _ in range(400_000))
    assert len(text.encode()) > 1.5 * files.STRETCH / 8
    for ours in (gpt2, llama):
        assert_whole(ours, text, tmp_path)
        assert_whole(ours, "\u6f22" * 100_000, tmp_path)


def test_what_is_written(gpt2, tmp_path):
    text = "Some words, and some more.\n" * 1000
    (tmp_path / "text").write_text(text)
    whole = gpt2.encode(text)
    for name in ("ids.npy", "ids.bin"):
        found = gpt2.encode_file(tmp_path / "text", tmp_path / name)
        assert isinstance(found, np.memmap)
        assert not found.flags.writeable
        assert np.array_equal(found, whole)
        del found
    assert np.array_equal(np.load(tmp_path / "ids.npy"), whole)
    assert (tmp_path / "ids.npy").read_bytes()[:8] == b"\x93NUMPY\x01\x00"
    assert np.array_equal(np.fromfile(tmp_path / "ids.bin", "<i4"), whole)
    (tmp_path / "text").write_text("")
    for name in ("ids.npy", "ids.bin", None):
        found = gpt2.encode_file(tmp_path / "text", None if name is None else str(tmp_path / name))
        assert (found.dtype, found.shape) == (np.int32, (0,))
    assert np.load(tmp_path / "ids.npy").shape == (0,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.bin", "ids.npy", "text"]


def test_nothing_is_left_of_what_failed(gpt2, tmp_path):
    (tmp_path / "ids").write_bytes(b"before")
    (tmp_path / "text").write_bytes(b"word " * 50_000 + b"\xe9 x")
    for out in (None, tmp_path / "ids"):
        with pytest.raises(ValueError, match=r"/text: it is no UTF-8 from byte 250000 on: invalid cont\w+ byte$"):
            gpt2.encode_file(tmp_path / "text", out)
    (tmp_path / "text").write_bytes(b"a <|endoftext|>")
    with pytest.raises(ValueError, match="special token"):
        gpt2.encode_file(tmp_path / "text", tmp_path / "ids", special="raise")
    assert (tmp_path / "ids").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids", "text"]


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_what_is_no_regular_file_is_refused(gpt2, tmp_path):
    """A pipe would be waited for, and /dev/zero has no size, which is no reason to give no ids."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match=f"^{path}: it is no regular file"):
            gpt2.encode_file(path)


def test_ids_do_not_take_the_place_of_their_text(gpt2, tmp_path):
    (tmp_path / "text").write_bytes(b"some words")
    os.link(tmp_path / "text", tmp_path / "other name")
    for out in ("text", "other name"):
        with pytest.raises(ValueError, match=r"^out is the text file itself, .*text: its ids would"):
            gpt2.encode_file(tmp_path / "text", tmp_path / out)
    assert (tmp_path / "text").read_bytes() == b"some words"
    with pytest.raises(TypeError, match=r"^out must be a str"):
        gpt2.encode_file(tmp_path / "text", 3)


def test_a_bar_on_a_terminal_only(gpt2, tmp_path, monkeypatch, small_cuts):
    (tmp_path / "text").write_text("some words " * 100)
    for is_terminal in (False, True):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda is_terminal=is_terminal: is_terminal)
        monkeypatch.setattr(files, "sys", SimpleNamespace(stderr=stream))
        monkeypatch.setattr(files, "_TICK", 0)
        gpt2.encode_file(tmp_path / "text")
        shown = stream.getvalue()
        assert bool(shown) == is_terminal
    assert shown.endswith("\n")
    assert "text [" + "#" * 30 + "] 100 % of 0 MB" in shown
    assert shown.count("\r") > 5


PEAK = """
import resource, sys, fastemb
tokenizer = fastemb.Tokenizer.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ids = tokenizer.encode_file(sys.argv[2], sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, ids.size)
"""


def test_memory_is_bounded(gpt2, tmp_path):
    """A file of 100 MB takes no more than a few stretches of it."""
    line = b"A line of some twenty words, which is written again and again until the file is as large as it is to be.\n"
    gpt2.save(tmp_path / "saved")
    with (tmp_path / "text").open("wb") as stream:
        for _ in range(100):
            stream.write(line * 10_000)
    command = [sys.executable, "-c", PEAK, *(str(tmp_path / name) for name in ("saved", "text", "ids"))]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    scale = 1 if sys.platform == "darwin" else 1024
    assert int(found[0]) * scale < 12 * files.STRETCH
    assert int(found[1]) == 1_000_000 * gpt2.encode(line.decode()).size
