"""The boundary between Python and the C core: types, blocks, caches, threads, bytes that are no text."""

import concurrent.futures
import contextlib
import copy
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import models

import fastemb
from fastemb._text import blocks, core, encode
from fastemb._text.plan import in_c
from fastemb._text.tokenizer_json import read_tokenizer_json

MARK = "\u2581"


def test_wrong_types(llama):
    with pytest.raises(TypeError, match="got one str"):
        llama.encode_batch("abc")
    with pytest.raises(TypeError, match="got one bytes"):
        llama.encode_batch(b"abc")
    with pytest.raises(TypeError, match="got int at position 1"):
        llama.encode_batch(["a", 1])
    with pytest.raises(TypeError, match="got int"):
        llama.encode(3)
    with pytest.raises(TypeError, match="got bytearray at position 0"):
        llama.encode_batch([bytearray(b"abc")])
    with pytest.raises(TypeError, match="got None; for many texts call count_batch"):
        llama.count(None)
    with pytest.raises(TypeError, match="texts must be a sequence of str, got NoneType"):
        llama.encode_batch(None)


def test_a_list_that_changes_meanwhile(llama):
    """The texts are those of the moment of the call, whatever other threads do to the list."""
    texts = ["some text"] * 2000
    stop = threading.Event()

    def change():
        while not stop.is_set():
            texts.extend(["more of it"] * 500)
            del texts[2000:]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(50):
            assert len(llama.encode_batch(texts)) >= 2000
    finally:
        stop.set()
        thread.join()


def test_str_with_a_length_of_its_own(llama):
    class Liar(str):
        def __len__(self):
            return 1000

    assert llama.encode_batch([Liar("a b"), "c"]).ids.tolist() == llama.encode_batch(["a b", "c"]).ids.tolist()


def test_pickle_and_copy(pair):
    ours, _ = pair
    for other in (pickle.loads(pickle.dumps(ours)), copy.copy(ours), copy.deepcopy(ours)):
        assert other.encode("It's a test.").tolist() == ours.encode("It's a test.").tolist()


def test_any_iterable_of_str_is_taken(llama):
    class Text(str):
        pass

    expected = llama.encode_batch(["a", "b c"]).ids.tolist()
    assert llama.encode_batch(iter(["a", "b c"])).ids.tolist() == expected
    assert llama.encode_batch((Text("a"), "b c")).ids.tolist() == expected
    assert llama.encode_batch([]).offsets.tolist() == [0]


def test_surrogates_are_repaired(llama, gpt2):
    for tokenizer in (llama, gpt2):
        assert tokenizer.encode("a\ud83d\ude00b").tolist() == tokenizer.encode("a😀b").tolist()
        assert tokenizer.encode("a\ud83db").tolist() == tokenizer.encode("a\ufffdb").tolist()
        rows = tokenizer.encode_batch(["x", "\udc00", "y 😀"])
        assert [row.tolist() for row in rows] == [tokenizer.encode(t).tolist() for t in ["x", "\ufffd", "y 😀"]]


@pytest.mark.parametrize(("chars", "count"), [(1, 1), (7, 3), (300, 2)])
def test_blocks_do_not_show(pair, monkeypatch, chars, count, random_strings):
    """However a batch is cut into blocks, and however little room the output starts with."""
    ours, _ = pair
    strings = random_strings(400, seed=5)
    expected = ours.encode_batch(strings, special="all")
    monkeypatch.setattr(blocks, "BLOCK_CHARS", chars)
    monkeypatch.setattr(blocks, "BLOCK_TEXTS", count)
    monkeypatch.setattr(encode, "_guess", lambda *_: 3)
    rows = ours.encode_batch(strings, special="all")
    assert np.array_equal(rows.ids, expected.ids)
    assert np.array_equal(rows.offsets, expected.offsets)


@pytest.mark.parametrize("size", ["0", "1", str(1 << 17)])
def test_the_cache_does_not_show(pair, monkeypatch, real_lines, size, random_strings):
    """Without a cache, and with one so small that most pieces are forgotten, the ids are the same."""
    ours, _ = pair
    lines = [*random_strings(4000, seed=6), *real_lines[::10]]
    expected = ours.encode_batch(lines, special="all")
    other = pickle.loads(pickle.dumps(ours))
    monkeypatch.setenv("FASTEMB_TOKENIZER_CACHE", size)
    for _ in range(2):
        rows = other.encode_batch(lines, special="all")
        assert np.array_equal(rows.ids, expected.ids)
        assert np.array_equal(rows.offsets, expected.offsets)
        assert other.count("".join(lines[:500])) == ours.encode("".join(lines[:500])).size
        assert [row.tolist() for row in map(other.encode, lines[:500])] == [
            row.tolist() for row in map(ours.encode, lines[:500])
        ]


def test_caches_are_bounded(llama, monkeypatch):
    """Those of the calls of all threads together; a call that finds none left has a small one of its own."""
    monkeypatch.setenv("FASTEMB_TOKENIZER_CACHE", str(1 << 20))
    tokenizer = pickle.loads(pickle.dumps(llama))
    assert sum(tokenizer._core._parts) <= 1 << 20
    parts = len(tokenizer._core._parts)
    words = [" ".join(f"w{i}x{j}" for i in range(300)) for j in range(300)]
    with contextlib.ExitStack() as stack:
        lent = [stack.enter_context(tokenizer._core.workspace()) for _ in range(parts + 2)]
        assert [workspace.kept for workspace in lent] == [True] * parts + [False] * 2
    for _ in range(3):
        tokenizer.encode_batch(words)
    assert len(tokenizer._core._workspaces) == parts
    sizes = [core.lib.fe_cache_size(workspace.cache) for workspace in tokenizer._core._workspaces]
    assert max(sizes) > 1 << 16
    assert sum(sizes) <= 1 << 20
    monkeypatch.setenv("FASTEMB_TOKENIZER_CACHE", "much")
    with pytest.raises(ValueError, match="FASTEMB_TOKENIZER_CACHE must be a number of bytes, got 'much'"):
        pickle.loads(pickle.dumps(llama))


def test_errors_lose_no_cache(llama_file):
    tokenizer = fastemb.Tokenizer.load(llama_file)
    tokenizer.encode("a b")
    workspaces = list(tokenizer._core._workspaces)
    for _ in range(9):
        with pytest.raises(ValueError, match="special token"):
            tokenizer.encode("<s>", special="raise")
        with pytest.raises(ValueError, match="special token"):
            tokenizer.count("<s>", special="raise")
    assert tokenizer._core._workspaces == workspaces
    assert tokenizer.encode("a b").size == 2


def test_where_texts_are_cut(llama_file, tmp_path):
    """Between two characters that stand side by side in no token that merging makes."""
    left, right = in_c(read_tokenizer_json(llama_file)).inner_pairs()
    pairs = set(zip(map(chr, left.tolist()), map(chr, right.tolist()), strict=True))
    assert ("t", "h") in pairs
    assert (MARK, "t") in pairs
    assert not any(after == MARK for before, after in pairs if before != MARK)  # so words part at their spaces
    vocab = [MARK, "a", "b", "<0x61>", "ab", "<0x61>b", "<unk>"]
    for merges, cuts in ([["a", "b"]], True), ([["<0x61>", "b"]], False):
        hf = tokenizers.Tokenizer(models.BPE({t: i for i, t in enumerate(vocab)}, [tuple(m) for m in merges]))
        (tmp_path / "t.json").write_text(hf.to_str(), encoding="utf-8")
        assert (in_c(read_tokenizer_json(tmp_path / "t.json")).inner_pairs() is not None) == cuts


def test_one_tokenizer_in_many_threads(pair, real_lines):
    ours, _ = pair
    parts = [real_lines[i::8] for i in range(8)]
    expected = [ours.encode_batch(part).ids for part in parts]
    start = threading.Barrier(8)

    def work(part):
        start.wait()
        return ours.encode_batch(part).ids

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for got, want in zip(pool.map(work, parts), expected, strict=True):
            assert np.array_equal(got, want)


def test_loading_by_folder_and_by_name(tmp_path, llama_file, gpt2_folder):
    (tmp_path / "tokenizer.json").write_bytes(llama_file.read_bytes())
    assert fastemb.Tokenizer.load(str(tmp_path)).vocab_size == 32_000
    assert fastemb.Tokenizer.load(Path(gpt2_folder)).vocab_size == 50_257
    assert repr(fastemb.Tokenizer.load(tmp_path)) == "<Tokenizer: BPE, characters, 32000 ids, 61249 merges>"


@pytest.mark.parametrize(
    "data", [b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\xe4\xb8", b"\xff", b"\xf4\x90\x80\x80"]
)
def test_bytes_that_are_no_utf8(gpt2, llama, data):
    """Python never hands them over; C reads each byte as U+FFFD would be read, a character that is no letter."""
    for tokenizer, front in ((gpt2, b"a"), (llama, b"")):
        ids, ends = np.empty(64, np.int32), np.empty(1, np.int64)
        text = front + data
        chars = np.array([sum(byte & 0xC0 != 0x80 for byte in text)])
        actions = bytes(len(tokenizer.special_tokens))
        with tokenizer._core.workspace() as workspace:
            done, status = tokenizer._core.encode(workspace, core.Packed(text, chars), actions, ends, ids=ids)
        assert status == core.lib.FE_OK
        assert done.bytes == len(text)
        got = ids[: done.ids]
        if tokenizer is llama:
            assert got.tolist() == llama.encode("\ufffd" * len(data)).tolist()
        else:
            assert tokenizer.decode_bytes(got) == text
            assert got[0] == tokenizer.encode("a")[0]


def test_a_lost_workspace_gives_its_part_back(llama_file):
    """An interrupt may come between a workspace's leaving the list and the block that brings it back."""
    tokenizer = fastemb.Tokenizer.load(llama_file)
    parts = sorted(tokenizer._core._parts)
    for _ in range(2 * len(parts)):
        tokenizer.encode("a text")
        assert len(tokenizer._core._workspaces) == 1
        tokenizer._core._workspaces.pop()
        assert sorted(tokenizer._core._parts) == parts
    tokenizer.encode("a text")
    assert tokenizer._core._workspaces[0].kept
