"""Rank vocabularies, the rest of the API: limits, special tokens, decoding, copies, threads, fork."""

import copy
import os
import pickle
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import vocabularies
from ranked_cases import (
    FRAGMENTS,
    TIKTOKEN,
    TOKENIZERS,
    WITH_SPECIAL,
    Case,
    assert_rows,
    draw_documents,
    draw_fragments,
    load,
)

import fastemb

END = vocabularies.END


@pytest.fixture(scope="module", params=[*TIKTOKEN, *TOKENIZERS])
def case(request) -> Case:
    return load(request.param)


@pytest.fixture(scope="module")
def documents(real_lines) -> list[str]:
    return draw_documents(real_lines)


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
    start = time.process_time()
    for _ in range(20):
        assert case.ours.encode(text, max_tokens=3).size == 3
    early = time.process_time() - start
    start = time.process_time()
    case.ours.count(text)
    assert early < 20 * max(time.process_time() - start, 0.001)  # one pass over all of it is no early stop


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
    child = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert child.stdout == "True [0, 0, 0, 0]\n", child.stderr
