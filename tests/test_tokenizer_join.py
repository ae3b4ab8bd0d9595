"""Short texts: one pass over the objects in C, and what it must leave to others."""

import threading

import numpy as np
import pytest

import fastemb
from fastemb._text import join
from fastemb._text.workspace import Workspace

N = 5000  # several blocks


class Text(str):
    """Says that it is empty."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0


@pytest.fixture(scope="module")
def texts(random_strings):
    """Short texts of all kinds; none has what has no UTF-8."""
    return [*random_strings(N, seed=8), "", "a", "\0", "é" * 40, "\U0001f600x", "x" * 300]


def rows_one_by_one(tokenizer, texts):
    return [tokenizer.encode(text).tolist() for text in texts]


def joined(texts, first=0, last=None):
    """Return what the pass takes: each text's UTF-8, and its number of characters."""
    packed, chars = join.join(Workspace(None, None, []), tuple(texts), first, len(texts) if last is None else last)
    ends = np.cumsum(packed.chars)
    utf8 = bytes(packed.utf8)
    return [utf8[end - size : end] for end, size in zip(ends, packed.chars, strict=True)], chars.tolist()


def test_utf8_and_lengths(texts):
    some = texts[-40:]
    assert joined(some) == ([text.encode() for text in some], [len(text) for text in some])
    assert joined(some, 7, 20) == ([text.encode() for text in some[7:20]], [len(text) for text in some[7:20]])
    assert joined(some, 40) == joined([]) == ([], [])


@pytest.mark.parametrize("other", [b"bytes", Text("text"), "\ud800", None, 3, ["a"], "x" * (join.ROOM + 1)])
def test_it_stops_before_what_it_cannot_take(other):
    assert joined(["a", "bc", other, "d"]) == ([b"a", b"bc"], [1, 2])
    assert joined([other, "d"]) == ([], [])


def test_it_stops_where_room_ends():
    half = "x" * (join.ROOM // 2)
    assert [len(text) for text in joined([half, half, "", "y"])[0]] == [join.ROOM // 2] * 2 + [0]
    assert len(joined(["a"] * (join.TEXTS + 1))[0]) == join.TEXTS


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_are_those_of_single_texts(gpt2, llama, texts, threads):
    for tokenizer in (gpt2, llama):
        expected = rows_one_by_one(tokenizer, texts)
        with fastemb.num_threads(threads):
            assert tokenizer.encode_batch(texts).tolist() == expected
            assert tokenizer.encode_batch(texts[:100]).tolist() == expected[:100]
            assert tokenizer.encode_batch(texts, max_tokens=3).tolist() == [row[:3] for row in expected]


@pytest.mark.parametrize("place", [0, 1, N // 2, N - 1])
@pytest.mark.parametrize(
    "other", [b"caf\xc3\xa9 bytes", b"no \xff UTF-8", Text("a subclass"), "lone \ud83d here", "x " * 600_000]
)
def test_mixed_lists(gpt2, texts, place, other):
    mixed = list(texts[:N])
    mixed[place] = other
    expected = gpt2.encode(other).tolist()
    for threads in (1, 2):
        with fastemb.num_threads(threads):
            rows = gpt2.encode_batch(mixed)
        assert rows[place].tolist() == expected
        plain = gpt2.encode_batch([*mixed[:place], "", *mixed[place + 1 :]])
        assert np.array_equal(np.delete(rows.lengths, place), np.delete(plain.lengths, place))
        before, behind = np.split(plain.ids, [plain.offsets[place]])
        assert np.array_equal(rows.ids, np.concatenate([before, rows[place], behind]))


def test_of_two_faults_that_of_a_type_is_said(gpt2, texts):
    """A token that is refused stands in an earlier block."""
    wrong = ["<|endoftext|>", *texts[:N], 3]
    with pytest.raises(ValueError, match=r"special token '<\|endoftext\|>' stands in the text"):
        gpt2.encode_batch(wrong[:-1], special="raise")
    with pytest.raises(TypeError, match=f"got int at position {N + 1}"):
        gpt2.encode_batch(wrong, special="raise")


def test_many_callers(gpt2, texts):
    """Each call has room of its own."""
    expected = gpt2.encode_batch(texts)
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            rows = gpt2.encode_batch(texts[number:])
            if not np.array_equal(rows.ids, expected.ids[expected.offsets[number] :]):
                wrong.append(number)

    callers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong
