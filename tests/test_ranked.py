"""Rank vocabularies, id for id: real ones against `tiktoken` and `tokenizers`, random ones against `tiktoken`."""

import copy
import functools
import gzip
import hashlib
import itertools
import os
import pickle
import random
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vocabularies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastemb

END = vocabularies.END
# Each with the engine its maker uses: Llama 3 and Qwen 2 come as a tokenizer.json.
TIKTOKEN, TOKENIZERS = ["gpt2", "p50k", "cl100k", "o200k", "tekken"], ["llama3", "qwen2"]
WITH_SPECIAL = ["gpt2", "p50k", "cl100k", "o200k", "llama3", "qwen2"]
PUBLISHED = {  # the first digits of the sums that the makers publish for their files
    "r50k": "306cd27f03c1a714",
    "p50k": "94b5ca7dff4d0076",
    "cl100k": "223921b76ee99bde",
    "o200k": "446a9538cb6c348e",
    "llama3": "82e9d31979e92ab9",
}
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(eq=False)
class Case:
    """A vocabulary in our engine, in tiktoken, and where its maker uses that in `tokenizers`."""

    vocabulary: vocabularies.RealVocabulary
    ours: fastemb.Tokenizer
    engine: Any

    @functools.cached_property
    def twin(self) -> Any:
        return self.vocabulary.tokenizers()

    def expected(self, texts: list[str]) -> list[list[int]]:
        if self.vocabulary.name in TOKENIZERS:
            return [row.ids for row in self.twin.encode_batch_fast(texts, add_special_tokens=False)]
        if sum(map(len, texts)) > 500 * len(texts):  # worth handing over to another thread
            return self.moved(self.engine.encode_ordinary_batch(texts, num_threads=2))
        return self.moved(map(self.engine.encode_ordinary, texts))

    def expected_bytes(self, items: list[bytes]) -> list[list[int]]:
        return self.moved(map(self.engine._encode_bytes, items))

    def moved(self, rows) -> list[list[int]]:
        first = self.vocabulary.first_id
        return [[id + first for id in row] for row in rows] if first else list(rows)


def load(name: str) -> Case:
    try:
        vocabulary = vocabularies.read(name)
    except vocabularies.MissingVocabularyError as missing:
        pytest.skip(str(missing))
    if name == "gpt2":
        ours = fastemb.Tokenizer.load(vocabularies.gpt2_folder())
    elif name == "tekken":
        ours = fastemb.Tokenizer.load(vocabularies.tekken_file())
    else:
        pattern, special = vocabulary.pattern_name, vocabulary.special
        ours = fastemb.Tokenizer.load(vocabulary.file, pattern, special_tokens=special)
    return Case(vocabulary, ours, vocabulary.tiktoken())


@pytest.fixture(scope="module", params=[*TIKTOKEN, *TOKENIZERS])
def case(request) -> Case:
    return load(request.param)


def assert_rows(rows: fastemb.Ragged, expected: list[list[int]], items: list) -> None:
    """Rows have the ids expected; else show the first item whose ids differ."""
    assert rows.ids.dtype == np.int32
    assert len(rows) == len(expected) == len(items)
    flat = np.fromiter(itertools.chain.from_iterable(expected), np.int32)
    offsets = np.cumsum([0, *map(len, expected)])
    if not (np.array_equal(rows.offsets, offsets) and np.array_equal(rows.ids, flat)):
        for ours, theirs, item in zip(rows, expected, items, strict=True):
            assert ours.tolist() == theirs, repr(item[:2000])
        raise AssertionError("offsets are wrong")


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


@pytest.mark.parametrize("case", ["cl100k", "o200k", "llama3", "qwen2"], indirect=True)
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


def manual_pages(language: str, limit: int) -> str:
    """Manual pages as they come with Debian's packages, up to `limit` characters; '' where there are none."""
    pages, total = [], 0
    for file in sorted(Path("/usr/share/man", language).glob("man*/*.gz")):
        if total > limit:
            break
        if not file.is_file():  # a link to a page that is not installed
            continue
        pages.append(gzip.decompress(file.read_bytes()).decode("utf-8", "replace"))
        total += len(pages[-1])
    return "".join(pages)[:limit]


def glosses(limit: int) -> str:
    """WordNet's files, if Debian's wordnet-base is installed."""
    files = sorted(Path("/usr/share/wordnet").glob("data.*"))
    return "".join(file.read_text("utf-8")[: limit // len(files)] for file in files)


def cut(text: str, size: int = 8192) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@pytest.fixture(scope="module")
def documents(real_lines) -> list[str]:
    """Some megabytes of the world's languages and of code, in documents of about 8 kB."""
    texts = ["\n".join(real_lines[i : i + 120]) for i in range(0, len(real_lines), 120)]
    for language in ("ja", "zh_CN", "ru", "de", "ko", "uk", "tr", "pl"):
        texts += cut(manual_pages(language, 100_000))
    return texts + cut(glosses(300_000))


def test_real_documents(case, documents):
    assert sum(map(len, documents)) > 3_000_000
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

FRAGMENTS = [
    *["the", "Hello", "WORLD", "don", "camelCase", "XMLHttp", "a", "I", "straße", "naïve", "İstanbul", "ſ", "ß"],
    *["'s", "'S", "'ſ", "'t", "'re", "'RE", "'ve", "'m", "'ll", "'LL", "'d", "'", "’s", "''", "'l", "'v", "'r"],
    *[" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", " \n", "  \n ", "\t", "\t\t", " \t\n"],
    *["\u3000", "\u00a0", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\u1680", "\u202f", "\u200b", "\ufeff"],
    *["0", "12", "123", "1234567", "3.14", "٣", "५६७", "²", "Ⅷ", "①②③④", "½", "𝟘𝟙", "൧"],
    *["!", "...", "/", "//\n", "->", "—", "()", "{}\r\n", " =", " ==", "#", "/**\n", "\0", "\x7f", "_", "__init__"],
    *["\u0301", "\u0338\u0301", "\ufe0f", "\u0e31", "\u093f", "e\u0301", "\u20dd", "\U000e0100"],
    *["ǅ", "ʰ", "ª", "中文字符", "かな", "カナ", "한국어", "привет", "ПРИВЕТ", "Ψυχή"],
    *["שלום", "مرحبا", "สวัสดี", "हिन्दी"],
    *["𐐀", "𐐨", "𝕳𝖊", "😀", "👩‍👩‍👧", "🇩🇪", "☃", "\ue000", "\ufffd", "\ufffe", "\U0010ffff", "\u0378", "€", "™"],
    *["https://", ".com", "print(", '"""', "0x1F", "<|endoftext|>", "<|im_start|>", "|>", "<|"],
]


@functools.lru_cache(maxsize=2)
def draw_fragments(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(FRAGMENTS, k=rng.randint(1, 16))) for _ in range(count)]


def draw_tokens(case: Case, count: int, seed: int) -> list[str]:
    """Tokens joined as no pattern would: half merged, half cut, characters torn apart."""
    rng, tokens = random.Random(seed), list(case.vocabulary.ranks)
    joined = (b"".join(rng.choices(tokens, k=rng.randint(1, 8))) for _ in range(count))
    return [data[rng.random() < 0.3 :].decode("utf-8", "ignore") for data in joined]


@pytest.fixture(scope="module")
def strings(random_strings) -> list[str]:
    return random_strings(30_000, seed=11) + draw_fragments(20_000, seed=11)


def test_random_strings(case, strings):
    texts = strings + draw_tokens(case, 10_000, seed=11)
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
        start = time.perf_counter()
        ids = case.ours.encode(text)
        seconds = time.perf_counter() - start
        assert case.ours.decode(ids) == text, name
        assert case.ours.count(text) == ids.size
        assert seconds < 5 * size / 1e6, f"{name}: {seconds:.1f} s"


@pytest.mark.parametrize("case", ["gpt2", "o200k"], indirect=True)  # the others among the exhaustive ones
def test_a_megabyte_of_one_piece(case):
    assert_quick(case, 10**6)


@pytest.mark.parametrize("case", ["gpt2", "cl100k"], indirect=True)  # whose patterns tiktoken can run on such texts
def test_a_megabyte_of_one_piece_is_right(case):
    assert_same(case, [text[:200_000] for text in long_texts(10**6).values()])
    assert_same(case, ["a" * 10**6])


@pytest.mark.exhaustive
def test_ten_megabytes_of_one_piece(case):
    assert_quick(case, 10**7)


# ---------------------------------------------------------------- part of a text


def test_max_tokens_is_the_beginning(case, documents):
    texts = draw_fragments(300, seed=21) + documents[:6] + [""]
    rows = case.ours.encode_batch(texts)
    for limit in (0, 1, 2, 7, 100, 10**6):
        cut_rows = case.ours.encode_batch(texts, max_tokens=limit)
        assert [row.tolist() for row in cut_rows] == [row[:limit].tolist() for row in rows]
    for text, row in zip(texts[::9], rows[::9], strict=True):
        for limit in {0, 1, row.size // 2, max(row.size - 1, 0), row.size, row.size + 1}:
            assert case.ours.encode(text, max_tokens=limit).tolist() == row[:limit].tolist()


def test_max_tokens_stops_early(case):
    text = "Hello, world. " * 400_000
    start = time.perf_counter()
    for _ in range(20):
        assert case.ours.encode(text, max_tokens=3).size == 3
    early = time.perf_counter() - start
    start = time.perf_counter()
    case.ours.count(text)
    assert early < 20 * max(time.perf_counter() - start, 0.001)  # one pass over all of it is no early stop


def check_truncate(case: Case, text: str, limit: int, special: str = "none") -> None:
    """The ids of the whole text as far as they go, and back to where a character ends."""
    ids = case.ours.encode(text, special=special).tolist()
    keep = min(limit, len(ids))
    while True:
        try:
            prefix = case.ours.decode_bytes(ids[:keep]).decode()
        except UnicodeDecodeError:
            keep -= 1
        else:
            break
    got, got_ids = case.ours.truncate(text, limit, special=special)
    assert (got, got_ids.tolist()) == (prefix, ids[:keep])
    assert got_ids.dtype == np.int32
    assert text.startswith(got)


def test_truncate(case):
    texts = [*draw_fragments(200, seed=31), "😀👩\u200d👩\u200d👧 中文🇩🇪" * 5, "", "x"]
    for text in texts:
        size = case.ours.count(text)
        for limit in {0, 1, 2, size // 2, size // 2 + 1, max(size - 1, 0), size, size + 5}:
            check_truncate(case, text, limit)


@pytest.mark.parametrize("case", WITH_SPECIAL, indirect=True)
def test_truncate_at_special_tokens(case):
    end = next(iter(case.vocabulary.special))
    for limit in range(12):
        check_truncate(case, f"a😀{end}👩‍👧{end}\n b", limit, special="all")


@pytest.mark.parametrize("wrong", [-1, 1.5, "2"])
def test_bad_limits(wrong):
    ours = load("gpt2").ours
    error = ValueError if wrong == -1 else TypeError
    with pytest.raises(error):
        ours.encode("a", max_tokens=wrong)
    with pytest.raises(error):
        ours.truncate("a", wrong)


# ---------------------------------------------------------------- special tokens


def special_texts(case: Case) -> list[str]:
    rng = random.Random(41)
    tokens = list(case.vocabulary.special)[:8] or [END]
    parts = [*tokens, *tokens, *(token[:-1] for token in tokens), *(token[1:] for token in tokens), *FRAGMENTS]
    around = [
        f"{a}{tokens[0]}{b}" for a in ("", " ", "\n", "  \n ", "a", "'", "1") for b in ("", " ", "\n", "'s", "s", "12")
    ]
    return around + [tokens[0] * 3, ""] + ["".join(rng.choices(parts, k=rng.randint(1, 9))) for _ in range(1_500)]


@pytest.mark.parametrize("case", WITH_SPECIAL, indirect=True)
def test_special_tokens(case):
    texts, encode, end = special_texts(case), case.engine.encode, next(iter(case.vocabulary.special))
    some = {end}
    assert case.ours.special_tokens == case.vocabulary.special
    for special, allowed in (("none", set()), ("all", "all"), (some, some), (set(), set())):
        expected = [encode(text, allowed_special=allowed, disallowed_special=()) for text in texts]
        assert_rows(case.ours.encode_batch(texts, special=special), expected, texts)
        assert case.ours.count_batch(texts, special=special).tolist() == list(map(len, expected))
        for text, row in zip(texts[::29], expected[::29], strict=True):
            assert case.ours.encode(text, special=special).tolist() == row
            assert case.ours.encode(text, special=special, max_tokens=3).tolist() == row[:3]
    refused = 0
    for text in texts:
        try:
            expected = encode(text)
        except ValueError:
            refused += 1
            for call in (case.ours.encode, case.ours.count):
                with pytest.raises(ValueError, match="special token"):
                    call(text, special="raise")
        else:
            assert case.ours.encode(text, special="raise").tolist() == expected
    assert 100 < refused < len(texts)
    with pytest.raises(ValueError, match="special token"):
        case.ours.encode_batch(["a", end], special="raise")


# ---------------------------------------------------------------- decoding


def test_decode(case):
    rng = np.random.default_rng(51)
    known = np.array(list(case.vocabulary.ranks.values()))
    ranks = [rng.choice(known, size=size) for size in [0, 1, 2, 3, *rng.integers(0, 60, 400)]]
    rows = [row + case.vocabulary.first_id for row in ranks]
    whole = [case.engine.decode_bytes(row.tolist()) for row in ranks]
    assert [case.ours.decode_bytes(row) for row in rows] == whole
    assert [case.ours.decode_bytes(row.tolist()) for row in rows] == whole
    for errors in ("replace", "ignore", "backslashreplace"):
        texts = [data.decode("utf-8", errors) for data in whole]
        assert [case.ours.decode(row, errors=errors) for row in rows] == texts
        assert case.ours.decode_batch(rows, errors=errors) == texts
        assert case.ours.decode_batch(fastemb.Ragged.from_lists(rows), errors=errors) == texts
    assert case.ours.decode_batch([]) == []
    torn = next(row for row, data in zip(rows, whole, strict=True) if "\ufffd" in data.decode("utf-8", "replace"))
    for call in (
        lambda: case.ours.decode(torn, errors="strict"),
        lambda: case.ours.decode_batch([torn], errors="strict"),
    ):
        with pytest.raises(UnicodeDecodeError):
            call()
    for bad in (case.ours.vocab_size, -1, 2**31 - 1):
        with pytest.raises(IndexError, match=str(bad)):
            case.ours.decode_batch([rows[4], [bad]])


@pytest.mark.parametrize("case", WITH_SPECIAL, indirect=True)
def test_decode_special_tokens(case):
    for token, id in case.vocabulary.special.items():
        assert case.ours.decode([id]) == token
        assert case.ours.id_to_token(id) == token
        assert case.ours.token_to_id(token) == id
    assert case.ours.vocab_size == case.engine.n_vocab


def test_a_hole_is_no_token():
    try:
        vocabulary = vocabularies.read("p50k")
    except vocabularies.MissingVocabularyError as missing:
        pytest.skip(str(missing))
    ours = fastemb.Tokenizer.load(vocabulary.file, "p50k_base")
    assert 50256 not in vocabulary.ranks.values()
    assert (ours.vocab_size, ours.special_tokens) == (50281, {})
    assert ours.encode("a" + " " * 9).tolist() == vocabulary.tiktoken().encode_ordinary("a" + " " * 9)
    with pytest.raises(IndexError, match="50256"):
        ours.decode([50256])
    with pytest.raises((IndexError, ValueError), match="50256"):
        ours.id_to_token(50256)
    assert fastemb.Tokenizer.load(vocabulary.file, "p50k_base", special_tokens={END: 50256}).decode([50256]) == END


# ---------------------------------------------------------------- copies, threads, fork


def test_copies_give_the_same_ids(case, tmp_path):
    texts = draw_fragments(400, seed=61) + special_texts(case)[:40]
    expected = [case.ours.encode_batch(texts, special=special) for special in ("none", "all")]
    file = tmp_path / "no.extension.that.says.anything"
    case.ours.save(file)
    opened = fastemb.Tokenizer.load(file)
    again = tmp_path / "again"
    opened.save(again)
    assert again.read_bytes() == file.read_bytes()
    copies = [
        opened,
        fastemb.Tokenizer.load(again),
        pickle.loads(pickle.dumps(case.ours)),
        pickle.loads(pickle.dumps(opened)),
        copy.copy(case.ours),
        copy.deepcopy(opened),
    ]
    for other in copies:
        for special, rows in zip(("none", "all"), expected, strict=True):
            assert_rows(other.encode_batch(texts, special=special), [row.tolist() for row in rows], texts)
        assert other.decode_batch(expected[1]) == case.ours.decode_batch(expected[1])
        assert (other.vocab_size, other.special_tokens) == (case.ours.vocab_size, case.ours.special_tokens)
        assert other.encode(b"a \xff").tolist() == case.ours.encode(b"a \xff").tolist()


def test_saving_over_an_open_file(tmp_path):
    ours, file = load("gpt2").ours, tmp_path / "vocabulary"
    ours.save(file)
    opened = fastemb.Tokenizer.load(file)
    opened.save(file)  # it reads from that very file
    assert opened.encode("Hello world").tolist() == [15496, 995]
    assert fastemb.Tokenizer.load(file).encode("Hello world").tolist() == [15496, 995]


def test_threads_do_not_change_ids(case, documents, small_grain):
    texts = [*documents[:120], *draw_fragments(3_000, seed=71), "a" * 300_000, ""]
    with fastemb.num_threads(1):
        one, counts = case.ours.encode_batch(texts), case.ours.count_batch(texts)
    for threads in (2, 7):
        with fastemb.num_threads(threads):
            rows = case.ours.encode_batch(texts)
            assert np.array_equal(rows.ids, one.ids)
            assert np.array_equal(rows.offsets, one.offsets)
            assert np.array_equal(case.ours.count_batch(texts), counts)
            cut_rows = case.ours.encode_batch(texts, max_tokens=5)
            assert cut_rows.lengths.tolist() == np.minimum(one.lengths, 5).tolist()


def test_eight_threads_at_once(case):
    """All of them with one tokenizer that has seen nothing yet, each in another order."""
    ours = copy.deepcopy(case.ours)
    texts = draw_fragments(2_000, seed=81)
    expected = case.expected(texts)

    def work(seed: int) -> None:
        order = list(range(len(texts)))
        random.Random(seed).shuffle(order)
        some = [texts[i] for i in order]
        assert_rows(ours.encode_batch(some), [expected[i] for i in order], some)
        for i in order[:200]:
            assert ours.encode(texts[i]).tolist() == expected[i]
            assert ours.count(texts[i]) == len(expected[i])
            assert ours.decode(expected[i]) == texts[i]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))


FORK = """
import os, sys, warnings, fastemb
from fastemb import _threads

file, pattern = sys.argv[1:]
_threads._GRAIN = 1
fastemb.set_num_threads(2)
ours = fastemb.Tokenizer.load(file, pattern)
texts = [f"text {i}, what's 12345? \\u4e2d\\u6587 " * (i % 9) for i in range(3000)]
def ids():
    return [row.tolist() for row in ours.encode_batch(texts)], ours.encode(texts[5]).tolist()
expected = ids()
def right():
    return ids() == expected
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of any fork beside threads
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        os._exit(0 if right() else 1)
    children.append(child)
good = right()
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(good, codes)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_fork():
    vocabulary = vocabularies.read("cl100k")
    command = [sys.executable, "-c", FORK, str(vocabulary.file), "cl100k"]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert child.stdout == "True [0, 0, 0, 0]\n", child.stderr
