"""Texts as numbers, and pairs of words that stand near each other: counts, files, hostile inputs, and what is left."""

import gzip
import itertools
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb._text.compiled import ffi, lib
from fastemb._word_vectors import pairs
from fastemb._word_vectors.corpus import END, Corpus


def sentences_of(corpus, size=1 << 14):
    """The sentences of a corpus, as words."""
    numbers = [int(one) for _, ids in corpus.blocks(size) for one in ids]
    parts = [list(part) for is_end, part in itertools.groupby(numbers, END.__eq__) if not is_end]
    return [[corpus.words[number] for number in part] for part in parts]


WORDS = st.lists(st.text(st.sampled_from("abcé中"), min_size=1, max_size=2), max_size=12)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=12), st.integers(1, 3), st.integers(2, 40))
def test_a_corpus_is_its_frequent_words(sentences, min_count, block):
    counts = Counter(itertools.chain.from_iterable(sentences))
    kept = {word for word, count in counts.items() if count >= min_count}
    texts = [" ".join(words) for words in sentences]
    if len(kept) < 2:
        with pytest.raises(ValueError, match="nothing to train on"):
            Corpus(texts, "white_space", min_count, False)
        return
    corpus = Corpus(texts, "white_space", min_count, False)
    assert {*corpus.words} == kept
    assert corpus.counts.tolist() == [counts[word] for word in corpus.words]
    assert (np.diff(corpus.counts) <= 0).all()
    first = {word: place for place, word in enumerate(dict.fromkeys(itertools.chain.from_iterable(sentences)))}
    for (word, count), (other, fewer) in itertools.pairwise(zip(corpus.words, corpus.counts, strict=True)):
        assert count > fewer or first[word] < first[other]
    assert corpus.total == sum(counts[word] for word in kept)
    assert sentences_of(corpus) == [some for words in sentences if (some := [w for w in words if w in kept])]
    cut = [word for some in sentences_of(corpus, block) for word in some]  # long sentences are cut, and nothing is lost
    assert cut == [word for words in sentences for word in words if word in kept]
    corpus.close()


def test_files_lines_and_packed_files_are_texts(tmp_path):
    lines = [f"a{i} b c" for i in range(50)]
    (tmp_path / "plain").write_text("\n".join(lines))
    (tmp_path / "packed").write_bytes(gzip.compress("\r\n".join(lines).encode() + b"\n"))
    for texts in (lines, tmp_path / "plain", [tmp_path / "packed"]):
        corpus = Corpus(texts, "white_space", 1, False)
        assert sentences_of(corpus) == [line.split() for line in lines]
        corpus.close()
    both = Corpus(iter([tmp_path / "plain", "b d", tmp_path / "packed"]), "white_space", 1, False)
    assert len(sentences_of(both)) == 101
    both.close()


def test_long_texts_are_cut_between_words_and_stay_one_text(tmp_path, monkeypatch):
    """Whatever the pieces: those of a file, packed or not, and of a text."""
    lines = ["ab c " * 9, "", "a" * 50 + " b", "c", " ", "\u00e9" * 30, "a\tb\tc " * 8]
    text = "\n".join(lines)
    (tmp_path / "plain").write_text("\ufeff" + text)  # the mark is no part of the first word
    (tmp_path / "packed").write_bytes(gzip.compress(text.encode()))
    expected = [line.split() for line in lines if line.split()]
    for chars in (4, 5, 7, 16, 1000):
        monkeypatch.setattr("fastemb._word_vectors.corpus._CHARS", chars)
        for texts in (lines, tmp_path / "plain", tmp_path / "packed", ["c", tmp_path / "plain"]):
            corpus = Corpus(texts, "white_space", 1, False)
            assert sentences_of(corpus) == [["c"]] * (len(texts) == 2 if isinstance(texts, list) else 0) + expected
            assert corpus.total == sum(map(len, sentences_of(corpus)))
            corpus.close()
    (tmp_path / "latin").write_bytes(b"a b\n" * 9 + b"a b c d caf\xe9")
    for chars in (4, 5, 7, 16, 1000):
        monkeypatch.setattr("fastemb._word_vectors.corpus._CHARS", chars)
        with pytest.raises(ValueError, match="line 10 is no UTF-8"):
            Corpus(tmp_path / "latin", "white_space", 1, False)


def test_a_word_that_no_file_holds_is_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match=r"the texts have 'a\\ud800', which UTF-8 cannot hold"):
        fastemb.train_vectors(["b c a\ud800"] * 9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a text", "an iterable of str or paths, or a pathlib.Path, got str; a text by itself is given in a list"),
        (5, "an iterable of str or paths, or a pathlib.Path, got int"),
        (["a", None], "str or paths, got NoneType at position 1"),
        ([b"a"], "str or paths, got bytes at position 0"),
        (type("Frame", (dict,), {"columns": ["a"]})(a=1), "an iterable of str or paths, got Frame; give one of its"),
    ],
)
def test_what_is_no_text_is_refused(given, said):
    with pytest.raises(TypeError, match=f"^texts must be {said}"):
        fastemb.train_vectors(given)


def test_letters_are_words_in_lower_case():
    corpus = Corpus(["The cat's 3 hats: ÉTÉ_été! 中文"] * 2, "letters", 1, False)
    assert sentences_of(corpus)[0] == ["the", "cat", "s", "hats", "été", "été", "中文"]
    corpus.close()


def test_damaged_files_are_refused_by_name(tmp_path):
    (tmp_path / "latin").write_bytes(b"a b\n" * 3 + b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"latin: line 4 is no UTF-8"):
        fastemb.train_vectors(tmp_path / "latin")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a b\n" * 999)[:-9])
    with pytest.raises(ValueError, match=r"cut.gz: damaged gzip file"):
        fastemb.train_vectors(tmp_path / "cut.gz")
    with pytest.raises(ValueError, match="no regular file"):
        fastemb.train_vectors(Path("/dev/null"))


@pytest.mark.parametrize(
    "texts", [[], [""], ["one"] * 9, ["a b c"], ["\n\t "] * 5], ids=["none", "empty", "one word", "all rare", "blank"]
)
def test_where_there_is_nothing_to_train_on(texts):
    with pytest.raises(ValueError, match="nothing to train on"):
        fastemb.train_vectors(texts)


def test_texts_of_one_word_each_train_nothing():
    texts = ["a", "b"] * 9
    assert fastemb.train_vectors(texts, dim=4).table.shape == (2, 4)  # as they were at the beginning
    with pytest.raises(ValueError, match="no two words stand near each other"):
        fastemb.train_vectors(texts, "glove", dim=4)


@pytest.mark.parametrize("kind", ["skipgram", "glove"])
def test_an_interrupt_leaves_nothing_behind(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def texts():
        yield from ["a b c d"] * 99
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fastemb.train_vectors(texts(), kind)
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full is Linux's device")
def test_a_full_disk_is_said(monkeypatch):
    full = Path("/dev/full").open("r+b")  # noqa: SIM115 (it is closed by whoever writes to it)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
    with pytest.raises(OSError, match="No space left on device"):
        fastemb.train_vectors(["a b c " * 9999])


# Pairs -----------------------------------------------------------------------------------------------------------


def counted(sentences, window):
    """The sums of 1 / distance of all pairs of words, the lower one first."""
    found = Counter()
    for words in sentences:
        for i, word in enumerate(words):
            for d in range(1, min(window, i) + 1):
                found[min(word, words[i - d]), max(word, words[i - d])] += 1 / d
    return found


def near(sentences, window, memory=1 << 20, start_each=0):
    """The same by C, through runs on disk."""
    counter = pairs.Counter(window, memory)
    counter.add(np.array([one for words in sentences for one in (*words, -1)], np.int32))
    if start_each:
        counter.flush()
        counter.add(np.array([one for words in sentences for one in (*words, -1)], np.int32))
    counter.flush()
    merged = [*counter.merged(start_each or 1 << 10)]
    runs = len(counter.sizes)
    keys, sums = (np.concatenate([part[side] for part in merged] or [np.empty(0, np.uint64)]) for side in range(2))
    assert (keys[1:] > keys[:-1]).all()
    counter.close()
    both = {(int(key) >> 32, int(key) & 0xFFFFFFFF): int(one) / 2**32 for key, one in zip(keys, sums, strict=True)}
    return both, runs


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=9), st.integers(1, 12), st.integers(1, 20))
def test_pairs_are_counted_by_their_distance(sentences, window, stretch):
    expected = counted(sentences, window)
    found, _ = near(sentences, window)
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[key] for key in expected], [*expected.values()], atol=1e-8)
    twice, runs = near(sentences, window, start_each=stretch)
    assert runs == (2 if expected else 0)
    assert twice == {key: 2 * one for key, one in found.items()}  # exactly: the sums are whole numbers


def test_sums_are_rounded_to_the_nearest_unit():
    found, _ = near([range(60)], 59)
    assert found[0, 6] * 2**32 == 715_827_883  # 2^32 / 6 = 715,827,882.67
    assert all(one * 2**32 == (2**32 + (j - i) // 2) // (j - i) for (i, j), one in found.items())


def test_a_table_is_as_large_as_its_memory_allows_and_at_most_half_full():
    """A slot has 16 bytes, and while a table of 2^15 is made one of 2^14 stands beside it: 3/4 of a mebibyte."""
    out, done, words = ffi.new("fe_near **"), ffi.new("int64_t *"), np.arange(50_000, dtype=np.int32)
    assert lib.fe_near_new(ffi.new("fe_near_model *", {"window": 1, "memory": 1 << 20, "seed": 7}), out) == lib.FE_OK
    assert lib.fe_near_add(out[0], ffi.from_buffer("int32_t[]", words), 0, words.size, done) == lib.FE_FULL
    assert lib.fe_near_count(out[0]) == done[0] - 1 == 2**14 - 1
    lib.fe_near_free(out[0])


def test_a_full_table_becomes_runs_and_loses_nothing():
    random = np.random.default_rng(3)
    sentences = [random.integers(0, 60_000, 40).tolist() for _ in range(400)]
    found, runs = near(sentences, 8, 1 << 17)
    assert runs > 10
    whole, one = near(sentences, 8, 1 << 28)
    assert one == 1
    assert found == whole


def test_there_may_be_more_runs_than_files_can_be_open():
    resource = pytest.importorskip("resource", reason="limits of a process are of Unix")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    counter, words = pairs.Counter(1, 1 << 17), np.arange(2, dtype=np.int32)
    for _ in range(200):
        counter.add(words)
        counter.flush()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, most))
    try:
        [(found, sums)] = counter.merged(1 << 10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (found.tolist(), sums.tolist()) == ([1], [200 << 32])
    counter.close()


def test_the_highest_numbers_are_pairs_too():
    top = 2**31 - 1
    assert near([[top, top, 0]], 2)[0] == {(top, top): 1.0, (0, top): 1.5}


def test_c_refuses_numbers_out_of_range():
    for model in ({"window": 0, "memory": 1 << 20}, {"window": 1025, "memory": 1 << 20}, {"window": 1, "memory": 9}):
        out = ffi.new("fe_near **")
        assert lib.fe_near_new(ffi.new("fe_near_model *", model), out) == lib.FE_BAD_MODEL
        assert out[0] == ffi.NULL
    lib.fe_near_free(ffi.NULL)


def test_shuffled_pairs_are_all_there_each_once():
    texts = [f"w{i} w{i + 1} w{i + 2}" for i in range(3000)]
    corpus = Corpus(texts, "white_space", 1, False)
    chance = np.random.default_rng(0)
    some = pairs.count_pairs(corpus, 2, 1 << 17, chance, lambda state: None)
    assert len(some.files) > 3
    epochs = [np.concatenate([*some.epoch(chance)]) for _ in range(2)]
    corpus.close()
    assert some.size == epochs[0].size == 3000 + 3001
    assert (epochs[0] != epochs[1]).any()
    assert np.array_equal(*(np.sort(epoch, order=["row", "column"]) for epoch in epochs))
    places = np.argsort(epochs[0], order=["row", "column"])
    assert abs(np.corrcoef(places, np.arange(places.size))[0, 1]) < 0.1
    some.close()
