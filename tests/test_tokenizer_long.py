"""Long texts: read once, refused before they are copied, and of no more than is wanted; the ids are the same."""

import base64
import random

import numpy as np
import pytest
import vocabularies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ranked_cases import FRAGMENTS, WITH_SPECIAL, draw_fragments, load

import fastemb
from fastemb._text import blocks, core, encode, starts, texts

RNG = random.Random(11)
LONG = {
    "words": "some words in a row, " * 30_000,
    "emoji": "".join(RNG.choices("\U0001f600\U0001f44d\U0001f3fd\U0001f469\u200d\U0001f1e9", k=60_000)),
    "base64": base64.b64encode(RNG.randbytes(200_000)).decode(),
    "behind blanks": " " * 300_000 + "".join(RNG.choices("0123456789\U0001f9ff", k=50_000)),
    "han": "\u4e2d\u6587\u5b57\u7b26" * 30_000,
    "unknown": "\U00010380\U00010381" * 30_000,
}


@pytest.fixture(scope="module", params=["llama", "gpt2", "cl100k", "o200k"])
def tokenizer(request):
    name = request.param
    return request.getfixturevalue(name) if name in ("llama", "gpt2") else load(name).ours


@pytest.fixture
def read(monkeypatch):
    """The bytes of each text that C is given, call after call."""
    given, plain = [], core.Core.encode

    def counted(self, workspace, left, *arguments, **options):
        given.extend(blocks.sizes_of(left).tolist())
        return plain(self, workspace, left, *arguments, **options)

    monkeypatch.setattr(core.Core, "encode", counted)
    return given


# ---------------------------------------------------------------- read once


@pytest.mark.parametrize("kind", LONG)
def test_a_long_text_is_read_once(tokenizer, kind, read):
    text = LONG[kind]
    tokenizer.encode("a b " * 100_000)  # of which the next batch would learn
    read.clear()
    ids = tokenizer.encode(text)
    assert read == [len(text.encode())]
    assert ids.flags.owndata
    assert ids.base is None
    read.clear()
    rows = tokenizer.encode_batch([text])
    assert np.array_equal(rows.ids, ids)
    assert rows.offsets.tolist() == [0, ids.size]
    assert tokenizer.count(text) == ids.size
    assert read == [len(text.encode())] * 2
    assert tokenizer.encode(text, max_tokens=ids.size - 1).tolist() == ids[:-1].tolist()
    assert tokenizer.decode(ids) == text


def test_long_texts_of_a_batch(tokenizer, read, monkeypatch):
    """Each is a block by itself, in room for all that it can have."""
    monkeypatch.setattr(blocks, "BLOCK_CHARS", 20_000)
    batch = [*LONG.values(), "short", ""]
    expected = [tokenizer.encode(text).tolist() for text in batch]
    for threads in (1, 2):
        with fastemb.num_threads(threads):
            read.clear()
            assert tokenizer.encode_batch(batch).tolist() == expected
            assert sum(read) <= sum(len(text.encode()) for text in batch)


def test_texts_that_do_not_fit_are_read_twice(gpt2, read):
    """In a block of several no more than that, whatever they need."""
    batch = [LONG["emoji"][:3_000]] * 40
    expected = gpt2.encode(batch[0]).tolist()
    gpt2.encode("a b " * 100_000)
    read.clear()
    assert gpt2.encode_batch(batch).tolist() == [expected] * 40
    total = sum(len(text.encode()) for text in batch)
    assert total < sum(read) < 2 * total


def test_no_memory_for_all_that_there_can_be(gpt2, monkeypatch):
    plain = np.empty

    def empty(shape, *arguments, **options):
        if shape == len(LONG["base64"]) + encode.SLACK:
            raise MemoryError
        return plain(shape, *arguments, **options)

    expected = gpt2.encode(LONG["base64"]).tolist()
    monkeypatch.setattr(encode.np, "empty", empty)
    assert gpt2.encode(LONG["base64"]).tolist() == expected


# ---------------------------------------------------------------- too long


@pytest.mark.parametrize("threads", [1, 2])
def test_a_text_that_is_too_long_is_not_copied(gpt2, monkeypatch, threads):
    monkeypatch.setattr(texts, "LONGEST_TEXT", 9_000)
    monkeypatch.setattr(blocks, "scattered", None)  # neither way to UTF-8
    monkeypatch.setattr(blocks, "Packed", None)
    with fastemb.num_threads(threads):
        for text in ("a" * 9_000, "\u00e9" * 9_500):
            one = rf"^the text has {len(text)} characters, and of 9000 bytes or more none can be tokenized in one piece"
            many = one.replace("the text", "text 2")
            for call in (gpt2.encode, gpt2.count, lambda text: gpt2.truncate(text, 10**6)):
                with pytest.raises(ValueError, match=one):
                    call(text)
            for call in (gpt2.encode_batch, gpt2.count_batch):
                with pytest.raises(ValueError, match=many):
                    call(["a", "b", text, text])


def test_a_text_of_too_many_bytes(gpt2, monkeypatch):
    """Of fewer characters than that: its bytes are counted when it has been made UTF-8, once."""
    monkeypatch.setattr(texts, "LONGEST_TEXT", 5_000)
    monkeypatch.setattr(core.Core, "encode", None)
    for text in ("\u00e9" * 4_000, b"a" * 5_000, b"a" * 5_000 + b"\xff"):
        size = len(text.encode()) if isinstance(text, str) else len(text)
        for call in (gpt2.encode_batch, gpt2.count_batch):
            with pytest.raises(ValueError, match=rf"^text 1 has {size} bytes, and of 5000 bytes or more none can be"):
                call(["a" * 3_000, text, "b" * 4_000])
            with pytest.raises(ValueError, match=rf"^the text has {size} bytes, and of 5000 bytes or more"):
                call([text])


def test_the_limit_is_that_of_the_core():
    """As csrc/encode.c has it."""
    assert texts.LONGEST_TEXT == 2**31 - 64
    assert str(core._MESSAGES[core.lib.FE_TOO_LONG]).startswith("a text of 2**31 - 64 bytes or more")


# ---------------------------------------------------------------- the start of a text


@pytest.fixture(scope="module", params=["llama", "gpt2_files", *WITH_SPECIAL])
def case(request):
    if request.param == "llama":
        return request.getfixturevalue("llama")
    return request.getfixturevalue("gpt2") if request.param == "gpt2_files" else load(request.param).ours


def test_only_the_start_is_read(read):
    tokenizer = load("cl100k").ours
    text = "na\u00efve words, in a row " * 500_000
    for one in (text, text.encode(), text.encode() + b"\xff"):
        read.clear()
        assert tokenizer.encode(one, max_tokens=3).tolist() == tokenizer.encode(text[:100])[:3].tolist()
        assert sum(read) < 20_000
        assert tokenizer.encode_batch([one, "x", one], max_tokens=5).lengths.tolist() == [5, 1, 5]
        assert sum(read) < 100_000
    prefix, ids = tokenizer.truncate(text, 4)
    assert text.startswith(prefix)
    assert ids.size == 4
    assert sum(read) < 150_000


def test_the_start_of_a_text_that_is_too_long(monkeypatch):
    tokenizer = load("cl100k").ours
    text = "na\u00efve words, in a row " * 5_000
    expected = tokenizer.encode(text)[:7].tolist()
    monkeypatch.setattr(texts, "LONGEST_TEXT", 50_000)
    for one in (text, text.encode()):
        assert tokenizer.encode(one, max_tokens=7).tolist() == expected
    with pytest.raises(ValueError, match=r"^the text has \d+ characters, and of 50000 bytes or more"):
        tokenizer.encode(text, max_tokens=10**5)


relaxed = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
PARTS = [
    *FRAGMENTS,
    "word ",
    " word",
    "  word\n",
    "x ",
    " \n",
    "'s ",
    "A b",
    "\u00e9 c",
    "Ab1 ",
    "\ud800",
    "<s>",
    "a <",
]


@relaxed
@given(data=st.data(), parts=st.lists(st.sampled_from(PARTS), max_size=60))
def test_the_first_ids_of_a_start_are_those_of_all(case, monkeypatch, data, parts):
    """Wherever it is cut."""
    special = [*case.special_tokens][:3]
    text = "".join(data.draw(st.permutations([*parts, *special])))
    for options in ({}, {"special": "all"}):
        ids, utf8 = case.encode(text, **options), text.encode("utf-8", "replace")
        whole = {end: case.encode(utf8 + end, **options).tolist() for end in (b"", b"\xff", b" \xc3")}
        with monkeypatch.context() as patch:
            patch.setattr(starts, "SPARE", data.draw(st.integers(1, 9)))
            patch.setattr(starts, "CHARS_PER_ID", data.draw(st.integers(0, 2)))
            for limit in (0, 1, 2, 5, ids.size // 2, ids.size, ids.size + 3):
                rows = case.encode_batch([text, "x y", text], max_tokens=limit, **options)
                assert rows[0].tolist() == rows[2].tolist() == ids[:limit].tolist()
                for end, expected in whole.items():
                    cut = case.encode_batch([utf8 + end] * 2, max_tokens=limit, **options)
                    assert cut[1].tolist() == expected[:limit]


def test_all_fragments_at_every_place(case, monkeypatch):
    monkeypatch.setattr(starts, "CHARS_PER_ID", 0)
    text = " ".join(draw_fragments(60, seed=9))
    ids = case.encode(text)
    for spare in range(1, 400, 3):
        monkeypatch.setattr(starts, "SPARE", spare)
        for limit in (1, spare // 8, spare // 3):
            assert case.encode_batch([text], max_tokens=limit).ids.tolist() == ids[:limit].tolist()


def test_added_tokens_with_blanks_and_other_patterns_take_all(tmp_path):
    """What could reach across a cut, or looks further, is given the whole text."""
    file = vocabularies.read("cl100k").file
    cut = fastemb.Tokenizer.load(file, "cl100k", special_tokens={" end": 200_000})
    assert cut._can_start
    whole = fastemb.Tokenizer.load(file, "cl100k", special_tokens={"the end": 200_000})
    assert not whole._can_start
    text = "and then the end of the end " * 3_000
    for tokenizer in (cut, whole):
        ids = tokenizer.encode(text, special="all").tolist()
        for limit in (3, 4, 5, 1_000):
            assert tokenizer.encode(text, special="all", max_tokens=limit).tolist() == ids[:limit]
    assert not fastemb.Tokenizer.load(file, r"\w+ the|\S|\s")._can_start
