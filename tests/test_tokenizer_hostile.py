"""What went wrong once: each of these was met by somebody who looked for faults."""

import base64
import threading

import numpy as np
import pytest

import fastemb

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
