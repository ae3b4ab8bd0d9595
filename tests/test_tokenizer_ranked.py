"""Rank vocabularies, id for id: real ones against `tiktoken` and `tokenizers`, random ones against `tiktoken`."""

import hashlib
import itertools
import random
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import vocabularies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ranked_cases import (
    FRAGMENTS,
    TIKTOKEN,
    TOKENIZERS,
    Case,
    assert_rows,
    cut,
    draw_documents,
    draw_fragments,
    glosses,
    load,
    manual_pages,
)

PUBLISHED = {  # the first digits of the sums that the makers publish for their files
    "r50k": "306cd27f03c1a714",
    "p50k": "94b5ca7dff4d0076",
    "cl100k": "223921b76ee99bde",
    "o200k": "446a9538cb6c348e",
    "llama3": "82e9d31979e92ab9",
}
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=[*TIKTOKEN, *TOKENIZERS])
def case(request) -> Case:
    return load(request.param)


@pytest.fixture(scope="module")
def documents(real_lines) -> list[str]:
    return draw_documents(real_lines)


def assert_same(case: Case, texts: list[str]) -> None:
    assert_rows(case.ours.encode_batch(texts), case.expected(texts), texts)


# ---------------------------------------------------------------- what is compared


@pytest.mark.parametrize("name", PUBLISHED)
def test_oracles_are_the_published_files(name):
    try:
        data = vocabularies.read(name).file.read_bytes()
    except vocabularies.MissingVocabularyError as missing:
        pytest.skip(str(missing))
    assert hashlib.sha256(data).hexdigest()[:16] == PUBLISHED[name]


FEW = [pytest.param(name, marks=pytest.mark.exhaustive) for name in ("cl100k", "o200k")]


@pytest.mark.parametrize("case", [*TOKENIZERS, *FEW], indirect=True)  # the few are no oracles anywhere
def test_oracles_agree(case, random_strings):
    """The merges worked out for `tokenizers` say the same as the ranks do in tiktoken."""
    texts = draw_fragments(1_500, seed=5) + random_strings(1_500, seed=5)
    twins = [row.ids for row in case.twin.encode_batch_fast(texts, add_special_tokens=False)]
    assert twins == list(map(case.engine.encode_ordinary, texts))


def test_r50k_is_gpt2(real_lines):
    """The same tokens out of two kinds of file."""
    r50k, gpt2 = load("r50k"), load("gpt2")
    lines = real_lines[::10]
    assert_same(r50k, lines)
    assert_rows(r50k.ours.encode_batch(lines), [row.tolist() for row in gpt2.ours.encode_batch(lines)], lines)
    assert [r50k.ours.id_to_token(id) for id in range(50_257)] == [gpt2.ours.id_to_token(id) for id in range(50_257)]


# ---------------------------------------------------------------- real text


def test_real_documents(case, documents):
    """Every second one, for one half of the vocabularies the others: those of `real_lines` are there line by line."""
    number = [*TIKTOKEN, *TOKENIZERS].index(case.vocabulary.name)
    assert sum(map(len, documents[number % 2 :: 2])) > 1_500_000
    assert_same(case, documents[number % 2 :: 2])


@pytest.mark.exhaustive
def test_all_real_documents(case, documents):
    assert_same(case, documents)


def test_real_lines(case, real_lines):
    ends = itertools.cycle(["", "\n", "\r\n", " ", "  \n\n"])
    assert_same(case, [line + end for line, end in zip(real_lines[::7], ends, strict=False)])


def all_texts() -> Iterator[str]:
    """All the real text there is on this machine, other languages first."""
    for folder in sorted(Path("/usr/share/man").glob("*")):
        yield manual_pages(folder.name, 6_000_000)
    yield glosses(20_000_000)
    for root in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for file in sorted(Path(root).rglob("*")):
            if file.suffix in {".py", ".md", ".rst", ".txt", ".json", ".html", ".h"} and file.is_file():
                yield file.read_bytes()[:2_000_000].decode("utf-8", "replace")


@pytest.mark.exhaustive
def test_a_hundred_megabytes(case):
    total, batch, size = 0, [], 0
    for text in all_texts():
        batch += cut(text, 50_000)
        size += len(text.encode())
        if size > 4_000_000:
            assert_same(case, batch)
            total, batch, size = total + size, [], 0
        if total >= 110_000_000:
            return
    assert_same(case, batch)
    if total + size < 100_000_000:
        pytest.skip(f"only {(total + size) / 1e6:.0f} MB of text on this machine, all of it equal")


# ---------------------------------------------------------------- random text


def draw_tokens(case: Case, count: int, seed: int) -> list[str]:
    """Tokens joined as no pattern would: half merged, half cut, characters torn apart."""
    rng, tokens = random.Random(seed), list(case.vocabulary.ranks)
    joined = (b"".join(rng.choices(tokens, k=rng.randint(1, 8))) for _ in range(count))
    return [data[rng.random() < 0.3 :].decode("utf-8", "ignore") for data in joined]


@pytest.fixture(scope="module")
def strings(random_strings) -> list[str]:
    return random_strings(10_000, seed=11) + draw_fragments(10_000, seed=11)  # a million are the exhaustive test's


def test_random_strings(case, strings):
    texts = strings + draw_tokens(case, 5000, seed=11)
    assert_same(case, texts)
    short = texts[::6]
    assert np.array_equal(case.ours.count_batch(short), case.ours.encode_batch(short).lengths)
    assert case.ours.count_batch(short).dtype == np.int64
    # A batch is cut into blocks: one text at a time says the same.
    assert [case.ours.encode(text).tolist() for text in short[::5]] == case.expected(short[::5])
    assert [case.ours.count(text) for text in short[::5]] == list(map(len, case.expected(short[::5])))


@pytest.mark.exhaustive
def test_a_million_random_strings(case, random_strings):
    for seed in range(100, 120):
        draw_fragments.cache_clear()
        assert_same(case, random_strings(30_000, seed=seed) + draw_fragments(15_000, seed=seed))
        assert_same(case, draw_tokens(case, 5_000, seed=seed))


def code_points(step: int) -> list[str]:
    """Each character before and behind each class, sixteen to a text."""
    chars = [chr(c) for c in [*range(0x3100), *range(0x3100, 0x110000, step)] if not 0xD800 <= c < 0xE000]
    around = [f"a{c}1{c}!{c} {c}\t{c}{c}\n{c}A{c}b'{c}s " for c in chars]
    return ["".join(around[i : i + 16]) for i in range(0, len(around), 16)]


def test_code_points(case):
    assert_same(case, code_points(step=97))


@pytest.mark.exhaustive
def test_all_code_points(case):
    assert_same(case, code_points(step=1))


@pytest.mark.parametrize("case", ["cl100k", "o200k", "qwen2"], indirect=True)
def test_every_length(case):
    """Pieces and texts that end on, before and behind the edge of a block of any width."""
    texts = []
    for length in [*range(1, 70), *range(120, 136), *range(250, 262), *range(1020, 1030)]:
        for char, other in ("a ", " a", "1a", "é ", "中!", "!\n", "\n ", "\r\n", "\u0301a", "A1", "😀\t", "'s"):
            texts += [char * length, char * length + other, other + char * length, (other * 3 + char) * length]
    assert_same(case, texts)


@relaxed
@given(texts=st.lists(st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS)).map("".join)), max_size=20))
def test_text_comes_back(case, texts):
    rows = case.ours.encode_batch(texts)
    assert_rows(rows, case.expected(texts), texts)
    assert case.ours.decode_batch(rows) == texts
    assert [case.ours.decode(row, errors="strict") for row in rows] == texts


# ---------------------------------------------------------------- bytes and surrogates


def damaged(count: int, seed: int) -> list[bytes]:
    """UTF-8 cut short, with bytes put in, taken out, and overwritten: surrogates, overlong forms, bytes over F4."""
    rng, items = random.Random(seed), []
    bad = [b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xff"]
    bad += [b"\x80", b"\xe4\xb8", b"\xf0\x9f\x98", b"\xc3", b"\xf5", b"\xfe\xff", b"\xe0\x80\x80"]
    for text in draw_fragments(count, seed):
        data = bytearray(text.encode())
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randint(0, 2)] = rng.choice(bad) if rng.random() < 0.7 else bytes([rng.randrange(256)])
        items.append(bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data))
    return items


def test_every_token(case):
    tokens = sorted(case.vocabulary.ranks, key=case.vocabulary.ranks.__getitem__)
    rows = case.ours.encode_batch(tokens)
    assert_rows(rows, case.expected_bytes(tokens), tokens)
    first = case.vocabulary.first_id
    assert case.ours.decode_bytes(np.array(list(case.vocabulary.ranks.values())) + first) == b"".join(
        case.vocabulary.ranks
    )
    assert b"".join(case.ours.decode_bytes(row) for row in rows[:5000]) == b"".join(tokens[:5000])
    for token in tokens[:256] + tokens[256::997]:
        id = case.vocabulary.ranks[token] + first
        assert case.ours.token_to_id(token) == id
        assert case.ours.id_to_token(id) == vocabularies.spelled(token)
        assert case.ours.token_to_id(vocabularies.spelled(token)) == id


def test_damaged_bytes(case):
    ends = [b" \xff", b"  \n\xff", b"\xff", b"\xff\xff", b"", b"\n\n\xe4", b"hello \xf0\x9f", b" \t\x80"]
    items = damaged(4_000, seed=3) + ends
    assert sum(item.decode("utf-8", "ignore").encode() != item for item in items) > 2_000
    expected = case.expected_bytes(items)
    assert_rows(case.ours.encode_batch(items), expected, items)
    assert [case.ours.encode(item).tolist() for item in items[::7]] == expected[::7]
    assert case.ours.count_batch(items).tolist() == list(map(len, expected))
    assert [case.ours.decode_bytes(row) for row in case.ours.encode_batch(items)] == items


@relaxed
@given(data=st.one_of(st.binary(), st.binary(max_size=8).map(lambda tail: "caf\u00e9 中 \n".encode() + tail)))
def test_bytes_come_back(case, data):
    ids = case.ours.encode(data)
    assert ids.tolist() == case.expected_bytes([data])[0]
    assert case.ours.decode_bytes(ids) == data


@relaxed
@given(texts=st.lists(st.text(st.one_of(st.characters(categories=["Cs"]), st.sampled_from("a 中\n😀'"))), max_size=8))
def test_surrogates(case, texts):
    expected = case.moved(map(case.engine.encode_ordinary, texts))
    assert_rows(case.ours.encode_batch(texts), expected, texts)
    assert [case.ours.encode(text).tolist() for text in texts] == expected


# ---------------------------------------------------------------- long runs


def runs(repeat: int) -> list[str]:
    parts = ("^", "0", "a", "'s", " ", "\n")
    return [
        text for part in parts for text in (part * repeat, " " + part * repeat, part * repeat + "\n", part * repeat)
    ]


def test_runs(case):
    assert_same(case, runs(10_000))


def long_texts(size: int) -> dict[str, str]:
    rng = random.Random(size)
    base64 = "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=size))
    letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=size))
    mixed = {"spaces and newlines": " \n" * (size // 2), "tabs and digits": "\t1" * (size // 2)}
    return (
        {c: c * size for c in "^a0 \n中"}
        | {"base64": base64, "letters": letters, "e\u0301": "e\u0301" * (size // 2)}
        | mixed
    )


def assert_quick(case: Case, size: int) -> None:
    """Quadratic time would take hours; a slow machine needs some tenths of a second for each."""
    for name, text in long_texts(size).items():
        start = time.process_time()
        ids = case.ours.encode(text)
        seconds = time.process_time() - start
        assert case.ours.decode(ids) == text, name
        assert case.ours.count(text) == ids.size
        assert seconds < 5 * size / 1e6, f"{name}: {seconds:.1f} s"


@pytest.mark.parametrize("case", ["gpt2", "o200k"], indirect=True)  # the others among the exhaustive ones
def test_a_third_of_a_megabyte_of_one_piece(case):
    assert_quick(case, 300_000)


@pytest.mark.parametrize("case", ["gpt2", "cl100k"], indirect=True)  # whose patterns tiktoken can run on such texts
def test_a_megabyte_of_one_piece_is_right(case):
    assert_same(case, [text[:70_000] for text in long_texts(10**6).values()])
    assert_same(case, ["a" * 10**6])


@pytest.mark.exhaustive
def test_ten_megabytes_of_one_piece(case):
    assert_quick(case, 10**7)
