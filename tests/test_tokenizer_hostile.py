"""What went wrong once: each of these was met by somebody who looked for faults."""

import base64
import gc
import json
import os
import threading
import weakref

import numpy as np
import pytest

import fastemb
from fastemb._text import core
from fastemb._text.vocabulary import BYTE_CHARS

BYTES = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))


def load(folder, more=b"", **settings):
    """Return a tokenizer of bytes, and some tokens more, by GPT-2's pattern."""
    file = folder / "ranks"
    file.write_bytes(BYTES + more)
    return fastemb.Tokenizer.load(file, "gpt2", **settings)


def test_special_sets_of_other_threads_free_nothing_in_use(tmp_path):
    # A choice that was freed while C read it: other tokens matched too, or the process ended.
    names = [f"<|{number}|>" for number in range(400)]
    tokenizer = load(tmp_path, special_tokens={name: 1000 + number for number, name in enumerate(names)})
    text = "ab ".join(names) * 100
    done = threading.Event()

    def other():
        number = 0
        while not done.is_set():
            number += 1
            tokenizer.count("ab", special={names[number % 400], names[number // 400 % 400]})

    thread = threading.Thread(target=other)
    thread.start()
    try:
        with fastemb.num_threads(1):
            for name in names[:12]:
                ids = tokenizer.encode_batch([text], special={name}).ids
                assert ids[ids >= 1000].tolist() == [1000 + names.index(name)] * 100
    finally:
        done.set()
        thread.join()


def test_a_choice_lives_as_long_as_its_call(tmp_path, monkeypatch):
    """The same for certain: another thread drops all choices just as C begins."""
    tokenizer = load(tmp_path, special_tokens={"<s>": 300, "<t>": 301})
    choices, lib, seen = tokenizer._core._choices, core.lib, []

    class Dropping:
        def __getattr__(self, name):
            return getattr(lib, name)

        def fe_encode(self, *given):
            held = [weakref.ref(choice) for choice in choices.values()]
            choices.clear(), tokenizer._actions.short.clear()
            gc.collect()
            seen.append(any(one() is not None for one in held))
            return lib.fe_encode(*given)

    monkeypatch.setattr(core, "lib", Dropping())
    ids = tokenizer.encode_batch(["a<s><t>" * 5000], special={"<t>"}).ids
    assert ids.tolist() == [97, 60, 115, 62, 301] * 5000
    assert seen == [True] * len(seen) != []


@pytest.mark.parametrize("method", ["encode", "count"])
def test_an_iterator_is_no_set_of_special_tokens(tmp_path, method):
    # It was read twice, the second time to nothing: special tokens were plain text without a word.
    tokenizer = load(tmp_path, special_tokens={"<s>": 300})
    for text in ("a<s>", "a<s>" * 5000):
        with pytest.raises(TypeError, match="or a set of special tokens, got"):
            getattr(tokenizer, method)(text, special=iter(["<s>"]))


def test_a_set_that_another_thread_drops_is_made_anew(tmp_path, monkeypatch):
    tokenizer = load(tmp_path, special_tokens={"<s>": 300})
    actions, of = tokenizer._actions, tokenizer._actions.of

    def dropped(special, rest):
        found = of(special, rest)
        actions.short.pop((frozenset(special), rest), None)
        return found

    monkeypatch.setattr(actions, "of", dropped)
    assert tokenizer.encode("a<s>", special={"<s>"}).tolist() == [97, 300]


def test_truncate_of_ids_that_all_cross_characters_reads_them_once(tmp_path, monkeypatch):
    # It left out one id after the other, and decoded all that were left each time.
    tokenizer = load(tmp_path, base64.b64encode(b"\xa9\xc3") + b" 256\n")
    decoded, decode = [], tokenizer._core.decode

    def counted(ids, row_ends):
        decoded.append(ids.size)
        return decode(ids, row_ends)

    monkeypatch.setattr(tokenizer._core, "decode", counted)
    prefix, ids = tokenizer.truncate("a" + "\u00e9" * 20_000, 5_000)
    assert prefix == "a"
    assert ids.tolist() == [97]
    assert sum(decoded) <= 3 * 5_000


def test_text_with_bytes_that_have_no_token_is_cut_all_the_same(tmp_path):
    # Such bytes vanish, so what is left may be no UTF-8: chunks raised UnicodeDecodeError, truncate gave less.
    vocab = {"a": 0, "b": 1, BYTE_CHARS[0xC3]: 2}
    steps = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    file = tmp_path / "tokenizer.json"
    model = {"type": "BPE", "vocab": vocab, "merges": []}
    file.write_text(json.dumps({"model": model, "pre_tokenizer": steps, "decoder": {"type": "ByteLevel"}}))
    tokenizer = fastemb.Tokenizer.load(file)
    text = "a\u00e9bab"  # its byte 0xA9 has no token
    assert tokenizer.encode(text).tolist() == [0, 2, 1, 0, 1]
    assert [(piece, ids.tolist()) for piece, ids in tokenizer.chunks(text, 3)] == [
        ("a\ufffdb", [0, 2, 1]),
        ("ab", [0, 1]),
    ]
    prefix, ids = tokenizer.truncate(text, 4)
    assert (prefix, ids.tolist()) == ("a\ufffdba", [0, 2, 1, 0])


@pytest.mark.parametrize("ends", [[2, 99], [3, 2], [-1, 3], [1, 2]])
@pytest.mark.parametrize("settings", [{}, {"skip_special": True}, {"unknown": "ignore"}])
def test_offsets_that_were_changed_are_refused_whatever_is_left_out(tmp_path, ends, settings):
    # With ids left out an end of -1 was read as the last one, and one beyond the ids was NumPy's IndexError.
    tokenizer = load(tmp_path, special_tokens={"<s>": 300})
    rows = fastemb.Ragged(np.array([97, 300, 98], np.int32), np.array([0, 2, 3]))
    rows.offsets[1:] = ends
    with pytest.raises(ValueError, match="offsets must ascend from 0 to the number of ids, 3; they were changed"):
        tokenizer.decode_batch(rows, **settings)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        fastemb.Tokenizer.load(tmp_path / "pipe", "gpt2")


def test_folders_named_like_files_are_passed_over(tmp_path):
    (tmp_path / "a.tiktoken").mkdir()
    with pytest.raises(FileNotFoundError, match="no tokenizer in"):
        fastemb.Tokenizer.load(tmp_path, "gpt2")
    (tmp_path / "b.tiktoken").write_bytes(BYTES)
    assert fastemb.Tokenizer.load(tmp_path, "gpt2").vocab_size == 256


def test_a_pointer_of_git_lfs_is_named_behind_a_byte_order_mark_too(tmp_path):
    # Its last line reads as a line of a rank file.
    file = tmp_path / "pointer"
    file.write_bytes(b"\xef\xbb\xbfversion https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")
    with pytest.raises(ValueError, match="Git LFS pointer"):
        fastemb.Tokenizer.load(file)


def test_a_rank_file_of_many_empty_tokens_is_read_in_time_linear_in_them(tmp_path):
    # Each was looked for among all: 8,000 took a second, and ten times as many a hundred times as long.
    empty = b"".join(b"= %d\n" % (300 + number) for number in range(80_000))
    assert load(tmp_path, empty).vocab_size == 80_300
    with pytest.raises(ValueError, match="the rank 302 stands twice, for b'' and another token"):
        load(tmp_path, empty + b"= 302\n")
