"""Blocks that threads share out: every one is put, in order, and of an error those before it."""

import random
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastemb
from fastemb._cli import reading
from fastemb._cli.progress import Progress
from fastemb._cli.writing.delivery import Work
from fastemb._cli.writing.relay import relay
from fastemb._static.stages import PackedLines, ids_of, line_ends
from fastemb._text.compiled import ffi, lib


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_blocks_are_put_in_order_by_one_at_a_time(threads):
    draw, found, busy = random.Random(threads), [], threading.Lock()

    def compute(block):
        assert threads == 1 or fastemb.get_num_threads() == 1
        time.sleep(draw.random() * 0.002)
        return block * block

    def put(block, computed):
        assert busy.acquire(blocking=False)
        found.append((block, computed))
        busy.release()

    relay(iter(range(50)), compute, put, threads)
    assert found == [(i, i * i) for i in range(50)]


@pytest.mark.parametrize("had", [0, 1, 3])
def test_fewer_threads_than_asked_for_do_the_work(monkeypatch, had):
    """As where a container may have only so many processes."""
    start, found, started = threading.Thread.start, [], []

    def limited(self):
        if len(started) == had:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    relay(iter(range(9)), lambda block: -block, lambda block, computed: found.append(computed), 5)
    assert (found, len(started)) == ([-i for i in range(9)], had)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("where", ["read", "compute", "put"])
@pytest.mark.parametrize("number", [0, 3, 19])
def test_of_an_error_what_stands_before_it_is_put(threads, where, number):
    found = []

    def fail(stage, block):
        if (stage, block) == (where, number):
            raise ValueError(f"{stage} {block}")
        return block

    def put(block, computed):
        found.append(fail("put", computed))

    with pytest.raises(ValueError, match=f"^{where} {number}$"):
        relay(
            (fail("read", block) for block in range(20)),
            lambda block: fail("compute", block),
            put,
            threads,
        )
    assert found == list(range(number))
    assert not [thread for thread in threading.enumerate() if "_work" in thread.name]


def test_of_two_errors_the_first_block_s_is_raised_and_nothing_behind_it_is_put():
    """Whichever block is computed first."""
    computed, found = threading.Event(), []

    def compute(block):
        if block == 0:
            assert computed.wait(60)
        else:
            computed.set()
        if block < 2:
            raise ValueError(str(block))
        return block

    for blocks in ([0, 1], [0, 2]):
        computed.clear()
        with pytest.raises(ValueError, match=r"^0$"):
            relay(iter(blocks), compute, lambda block, computed: found.append(block), 2)
    assert found == []


def test_an_interrupt_while_a_block_is_read_ends_the_reading(monkeypatch):
    reading, told, found, joins = threading.Event(), threading.Event(), [], []
    join = threading.Thread.join

    def interrupted(thread):
        joins.append(thread)
        if len(joins) == 1:
            assert reading.wait(60)
            raise KeyboardInterrupt
        told.set()
        join(thread)

    def blocks():
        yield 0
        reading.set()
        assert told.wait(60)
        yield from range(1, 100)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        relay(blocks(), lambda block: block, lambda block, computed: found.append(block), 2)
    assert found == [0, 1]  # what was begun is whole, and nothing else is begun


@given(st.lists(st.text(alphabet="a\r\n\0é中 \u2028\f"), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_packed_lines_are_the_lines(texts, end):
    data = end.join(texts).encode()
    expected = [line.removesuffix("\r") for line in data.decode().split("\n")]
    if not data or data.endswith(b"\n"):
        expected.pop()
    elif data.endswith(b"\r"):  # it is dropped before a line end alone
        expected[-1] = data.decode().split("\n")[-1]
    lines = PackedLines(data)
    assert list(lines) == lines.strings == lines[:] == expected
    assert len(lines) == len(expected)
    assert line_ends(data) == data.count(b"\n")
    assert lines.packed.chars.tolist() == [len(text.encode()) for text in expected]
    assert bytes(lines.packed.utf8) == "".join(expected).encode()


def test_nothing_is_read_before_lines():
    data, utf8, sizes = ffi.new("uint8_t[]", b"\r\na"), ffi.new("uint8_t[3]"), ffi.new("int64_t[2]")
    assert lib.fe_lines(data + 1, 2, utf8, sizes) == 2
    assert [*sizes] == [0, 1]


def test_lines_that_are_no_utf8_are_refused():
    with pytest.raises(UnicodeDecodeError):
        PackedLines(b"a\n\xff\n")


@pytest.fixture(scope="module", params=["plain", "cut", "dropped", "prompt"])
def model(request):
    model = fastemb.StaticModel.load()
    tokenizer, table = model.tokenizer, model.table
    if request.param == "cut":  # to ids, and before that to characters
        return fastemb.StaticModel(tokenizer, table, max_length=3)
    if request.param == "dropped":
        return fastemb.StaticModel(tokenizer, table, drop=int(tokenizer.encode("a")[0]))
    model.prompts, model._prompt = {"front": "query: "}, "query: " if request.param == "prompt" else ""
    return model


def test_ids_of_lines_are_those_of_texts(model):
    draw = random.Random(0)
    texts = [
        " ".join(draw.choices(["a", "word", "é中文", "</s>", "\t", "long" * 9], k=draw.randint(0, 9)))
        for _ in range(99)
    ]
    texts += [""] * 9 + ["a"] * 9
    short = ["a a a a a", "", "word a"]  # of which ids are cut off, and no characters
    for some in (texts, short, [*short, " " * 99 + "word"]):
        rows, expected = ids_of(model, PackedLines("".join(f"{text}\n" for text in some).encode())), ids_of(model, some)
        assert np.array_equal(rows.ids, expected.ids)
        assert np.array_equal(rows.offsets, expected.offsets)


@pytest.mark.parametrize("shared", [False, True])
def test_who_computes_the_blocks_of_a_work(monkeypatch, shared):
    """One thread in their order, whose calls may use more; or several, whose calls use themselves."""
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    computed, threads, written = [], set(), []

    class Texts(Work):
        def compute(self, texts):
            computed.append(texts)
            threads.add((threading.current_thread() is threading.main_thread(), fastemb.get_num_threads()))
            return texts

        def block(self, texts, result):
            return texts[0]

    work = Texts(Progress(0, quiet=True))
    work.shared = shared
    blocks = [reading.Block([str(i)], reading.Position(), 0, 1) for i in range(40)]
    with fastemb.num_threads(3):
        work.run(iter(blocks), written.append)
    assert written == [str(i) for i in range(40)]
    assert shared or computed == [[str(i)] for i in range(40)]
    assert threads == ({(False, 1)} if shared else {(True, 3)})
    assert (work.documents, work.size) == (40, 40)
