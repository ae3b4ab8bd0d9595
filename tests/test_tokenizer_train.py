"""Training by merging pairs, against Hugging Face's trainers: the same tokens, ids and merges, to the letter."""

import itertools
import json
import os
import random
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

import fastemb
from fastemb._text import train_texts
from fastemb._text.patterns import ONIGURUMA, SPELLINGS, Pattern
from fastemb._text.train_pairs import byte_symbols

WORDS = [
    "low",
    "lower",
    "lowest",
    "new",
    "newer",
    "wide",
    "aaaa",
    "aaaaa",
    "abab",
    "don't",
    "na\u00efve",
    "\u65e5\u672c",
]
#: Few letters, so that pairs overlap, tie and meet again; of one, two, three and four bytes.
LETTERS = st.text(st.sampled_from("aaab  c1'\n\u00e9\u00e8\u65e5\u672c\U0001f600"), max_size=40)
CORPORA = st.lists(LETTERS, min_size=1, max_size=12)


def rival_bpe(texts, vocab_size, pre_tokenizer=None, **options):
    """Return the vocabulary and the merges that `tokenizers` trains."""
    rival = tokenizers.Tokenizer(models.BPE())
    rival.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False, **options)
    rival.train_from_iterator(texts, trainer)
    return parts(rival.to_str())


def parts(text):
    """Return the vocabulary and the merges of a tokenizer.json."""
    model = json.loads(text)["model"]
    return model["vocab"], [tuple(pair) for pair in model.get("merges", [])]


def our_parts(tokenizer, folder):
    """Return the same of one of ours, from the file that it writes; `tokenizers` loads it."""
    tokenizer.save(folder / "tokenizer.json", "tokenizer.json")
    return parts(tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).to_str())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def corpus():
    """Text with rare and frequent words, of several scripts."""
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz\u00e4\u00f6\u043f\u0440\u65e5\u672c\u8a9e0123456789"
    words = WORDS + ["".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(800)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    return [" ".join(chance.choices(words, weights, k=30)) + chance.choice(["", "\n", "\n\n"]) for _ in range(300)]


# ---------------------------------------------------------------- byte pair encoding


@settings(max_examples=60, deadline=None)
@given(CORPORA, st.integers(0, 40), st.integers(0, 4), st.sampled_from([None, 2, 3, 5, 16]))
@example(["aaaaaaa aaaa aaaaaaaaa"], 40, 0, None)
@example(["ab abc bc ab bc abc"], 40, 0, 3)
def test_bpe_is_the_rivals_to_the_letter(folder, texts, more, least, longest):
    special = ["<s>", "a", "\u0120a", "ab"]  # a byte, and what merges may make
    options = {"special_tokens": special[: more % 5], "min_frequency": least, "max_token_length": longest}
    size = 256 + 4 + more
    expected = rival_bpe(texts, size, **options)
    if not any(texts):
        with pytest.raises(ValueError, match="nothing to train on"):
            fastemb.Tokenizer.train(texts, "bpe", size, **options)
        return
    ours = fastemb.Tokenizer.train(texts, "bpe", size, **options)
    assert our_parts(ours, folder) == expected


PATTERNS = ["gpt2", "cl100k_base", "llama3", "qwen2", "o200k", "tekken", "deepseek_v3", "qwen3_5", "gpt2_digits"]


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern(folder, corpus, name):
    known = Pattern[{"cl100k_base": "CL100K", "qwen3_5": "QWEN35"}.get(name, name.upper())]
    if name in ("gpt2", "gpt2_digits"):
        rival = pre_tokenizers.ByteLevel(add_prefix_space=False)
        digits = [pre_tokenizers.Digits(individual_digits=True)] if name == "gpt2_digits" else []
        rival = pre_tokenizers.Sequence([*digits, rival])
    else:
        splits = [pre_tokenizers.Split(Regex(one), "isolated") for one in ONIGURUMA.get(known, SPELLINGS[known])]
        rival = pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    texts = [*corpus[:60], "I'LL 12345 \n\n  x\ty\r\n\r\n z  ", "Don'T \u017f 'S"]
    ours = fastemb.Tokenizer.train(texts, vocab_size=500, pattern=name)
    assert our_parts(ours, folder) == rival_bpe(texts, 500, rival)
    assert ours._core.contents.pattern == known  # C cuts, and by masks
    loaded = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [row.tolist() for row in ours.encode_batch(texts)] == [row.ids for row in loaded.encode_batch(texts)]


@pytest.mark.parametrize("pattern", [r"\w+|\s+", r"\p{L}+(?=\s)|\d", r"(a|bc)+"])
def test_any_pattern(folder, corpus, pattern):
    """By C as a program, and by Python: what is between two matches is a piece."""
    splits = pre_tokenizers.Split(Regex(pattern), "isolated")
    rival = pre_tokenizers.Sequence([splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    ours = fastemb.Tokenizer.train(corpus[:40], vocab_size=400, pattern=pattern)
    assert our_parts(ours, folder) == rival_bpe(corpus[:40], 400, rival)


def test_files_iterators_and_threads_give_the_same(folder, corpus, monkeypatch):
    monkeypatch.setattr(train_texts, "FILE_BLOCK", 1000)
    monkeypatch.setattr(train_texts, "BLOCK_CHARS", 500)
    lines = "".join(corpus).splitlines(keepends=True)
    paths = [folder / "first.txt", folder / "second.txt", folder / "empty.txt"]
    for path, part in zip(paths, (lines[:100], lines[100:], []), strict=True):
        path.write_text("".join(part), newline="")
    expected = rival_bpe(lines, 600)
    rival = tokenizers.Tokenizer(models.BPE())
    rival.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    rival.train(list(map(str, paths)), trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet))
    assert parts(rival.to_str()) == expected
    given_as = [lines, iter(lines), paths, [line.encode() for line in lines], [paths[0], *lines[100:]]]
    for texts in given_as:
        for threads in (1, 3):
            texts = list(texts) if threads == 1 else iter(texts)
            with fastemb.num_threads(threads):
                assert our_parts(fastemb.Tokenizer.train(texts, vocab_size=600), folder) == expected
    with fastemb.num_threads(7):
        shuffled = random.Random(3).sample(lines, len(lines))
        assert our_parts(fastemb.Tokenizer.train(shuffled, vocab_size=600), folder) == expected


def test_counts_are_of_64_bits():
    """The rival's are of 32 here, and wrap around; a tally is merged with itself until they would."""
    tally = train_texts.count(["ab ab ab ab ab abc"], train_texts.How(train_texts.Cuts(1)))
    for _ in range(40):
        tally.merge(tally)
    assert tally.contents().total == 6 << 40
    limits = fastemb._text.train_pairs.Limits(260, min_frequency=(5 << 40) + 1)
    merged = fastemb._text.train_pairs.merge_pairs(tally, byte_symbols([]), limits)
    assert list(merged.vocab)[256:] == ["ab"]  # it comes 6 << 40 times, and 5 << 40 times behind a space


# ---------------------------------------------------------------- WordPiece


def rival_wordpiece(texts, vocab_size, ours, lowercase=True, **options):
    """Return the vocabulary that `tokenizers` trains.

    It numbers the characters that go on with a word as it meets them in a table of hashes, that is by chance; and ties
    are decided by numbers. As special tokens, in our order, they have numbers of their own.
    """
    rival = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    rival.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    rival.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    firsts = list(ours)[5 : next(i for i, name in enumerate([*ours, "##"]) if i > 4 and name.startswith("##"))]
    going_on = [name for name in ours if len(name) == 3 and name.startswith("##")]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*special, *firsts, *going_on],
        continuing_subword_prefix="##",
        show_progress=False,
        **options,
    )
    rival.train_from_iterator(texts, trainer)
    return parts(rival.to_str())[0]


@settings(max_examples=40, deadline=None)
@given(CORPORA, st.integers(0, 40), st.integers(0, 3), st.booleans())
def test_wordpiece_is_the_rivals(folder, texts, more, least, lowercase):
    try:
        ours = fastemb.Tokenizer.train(texts, "wordpiece", 30 + more, min_frequency=least, lowercase=lowercase)
    except ValueError:
        assert not any(text.strip() for text in texts)
        return
    vocab, _ = our_parts(ours, folder)
    assert vocab == rival_wordpiece(texts, 30 + more, vocab, lowercase, min_frequency=least)


def test_wordpiece_of_a_corpus(folder, corpus):
    ours = fastemb.Tokenizer.train(corpus, "wordpiece", 500)
    vocab, _ = our_parts(ours, folder)
    assert vocab == rival_wordpiece(corpus, 500, vocab)
    names = list(vocab)
    assert names[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    singles = [name for name in names[5:] if len(name.removeprefix("##")) == 1]
    assert singles == names[5 : 5 + len(singles)]
    firsts = [name for name in singles if not name.startswith("##")]
    assert firsts == sorted(firsts)
    assert singles == firsts + sorted(singles[len(firsts) :])
    ours.save(folder / "vocab.txt", "vocab.txt")
    loaded = [fastemb.Tokenizer.load(folder / name) for name in ("vocab.txt", "tokenizer.json")]
    rival = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert isinstance(rival.decoder, decoders.WordPiece)
    for text in corpus[:50]:
        ids = ours.encode(text, template=True).tolist()
        assert ids == rival.encode(text).ids
        assert all(one.encode(text, template=True).tolist() == ids for one in loaded)


def test_limit_alphabet(folder):
    texts = ["aaaa bbb cc dd e zzz"]
    ours = fastemb.Tokenizer.train(texts, "wordpiece", 40, limit_alphabet=4)
    assert {name for name in our_parts(ours, folder)[0] if len(name) == 1} == {*"abcz"}  # of c and d, which tie, c
    kept = fastemb.Tokenizer.train(texts, "wordpiece", 40, limit_alphabet=3, special_tokens=["[UNK]", "e"])
    assert {name for name in our_parts(kept, folder)[0] if len(name) == 1} == {*"abze"}


# ---------------------------------------------------------------- saved


def test_saved_in_every_format(folder, corpus):
    ours = fastemb.Tokenizer.train(corpus, vocab_size=700, special_tokens=["<s>", "<\u65e5\u672c>"], pattern="cl100k")
    ours.save(folder / "own")
    again = fastemb.Tokenizer.load(folder / "own")
    for one, name in ((ours, "a"), (again, "b")):
        (folder / name).mkdir(exist_ok=True)
        one.save(folder / name / "tokenizer.json", "tokenizer.json")
        one.save(folder / name / "x.tiktoken", "tiktoken")
        one.save(folder / name, "merges.txt")
    for file in ("tokenizer.json", "x.tiktoken", "vocab.json", "merges.txt"):
        assert (folder / "a" / file).read_bytes() == (folder / "b" / file).read_bytes()
    special = {"<s>": 0, "<\u65e5\u672c>": 1}
    a = folder / "a"
    ranks = fastemb.Tokenizer.load(a / "x.tiktoken", "cl100k", special_tokens=special)
    (a / "tokenizer.json").rename(a / "other.json")
    pair = fastemb.Tokenizer.load(a, "llama3", special_tokens=special)
    rival = tokenizers.Tokenizer.from_file(str(a / "other.json"))
    bpe = tokenizers.Tokenizer(models.BPE.from_file(str(a / "vocab.json"), str(a / "merges.txt")))
    assert bpe.get_vocab() == rival.get_vocab()
    for text in [*corpus[:100], "a <s>b<\u65e5\u672c>", "aaaaaaaaaaaaaaa"]:
        ids = ours.encode(text, special="all").tolist()
        assert ids == rival.encode(text).ids == again.encode(text, special="all").tolist()
        assert ids == ranks.encode(text, special="all").tolist()
        if not text.endswith("\n"):  # which Llama 3's pattern cuts in another way
            assert ids == pair.encode(text, special="all").tolist()
        assert ours.decode(ids) == rival.decode(ids, skip_special_tokens=False) == text


def test_what_cannot_be_saved_is_refused(folder, corpus):
    ours = fastemb.Tokenizer.train(corpus[:20], vocab_size=300, special_tokens=["a"])
    for kind, words in (("vocab.txt", "no WordPiece"), ("tiktoken", "a special token stands for a byte")):
        with pytest.raises(ValueError, match=words):
            ours.save(folder / "none", kind)
    with pytest.raises(ValueError, match="format must be"):
        ours.save(folder / "none", "json")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ours.save(folder / "none", "merges.txt")
    words = fastemb.Tokenizer.train(corpus[:20], "wordpiece", 300)
    for kind in ("tiktoken", "merges.txt"):
        with pytest.raises(ValueError, match="none of byte-level BPE"):
            words.save(folder, kind)
    fastemb.Tokenizer.train(corpus[:20], vocab_size=300).save(folder / "ranks", "tiktoken")
    ranks = fastemb.Tokenizer.load(folder / "ranks", "gpt2")
    for kind in ("tokenizer.json", "tiktoken", "merges.txt", "vocab.txt"):
        with pytest.raises(ValueError, match="was not trained here"):
            ranks.save(folder if kind == "merges.txt" else folder / "none", kind)
    assert not (folder / "none").exists()


def test_a_full_disk_leaves_what_was_there(tmp_path, corpus):
    resource = pytest.importorskip("resource", reason="the system has no limits of file sizes")
    ours = fastemb.Tokenizer.train(corpus[:20], vocab_size=300)
    for name in ("one", "vocab.json", "merges.txt"):
        (tmp_path / name).write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for path, kind in ((tmp_path / "one", "fastemb"), (tmp_path / "one", "tiktoken"), (tmp_path, "merges.txt")):
            with pytest.raises(OSError, match="File too large"):
                ours.save(path, kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict.fromkeys(
        ("one", "vocab.json", "merges.txt"), "before"
    )


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("texts", "options", "error", "words"),
    [
        ("a text", {}, TypeError, "got str; a text by itself is given in a list"),
        (5, {}, TypeError, "got int"),
        ([1], {}, TypeError, "got int at position 0"),
        (type("Frame", (dict,), {"columns": ["a"]})(a=1), {}, TypeError, "got Frame; give one of its columns"),
        ([], {}, ValueError, "nothing to train on"),
        (["", ""], {}, ValueError, "nothing to train on"),
        (["a", b"a\xff"], {}, ValueError, "text 1 is no UTF-8 from byte 1 on"),
        (["a"], {"kind": "bpf"}, ValueError, "kind must be"),
        (["a"], {"kind": ["bpe"]}, ValueError, "kind must be"),
        (["a"], {"vocab_size": 255}, ValueError, "vocab_size is 255, but there are 256 tokens"),
        (["a"], {"vocab_size": 0}, ValueError, "vocab_size must be from 1"),
        (["a"], {"vocab_size": 2**31}, ValueError, "vocab_size must be from 1"),
        (["a"], {"vocab_size": 300.0}, TypeError, "vocab_size must be an int"),
        (["a"], {"vocab_size": True}, TypeError, "vocab_size must be an int"),
        (["a"], {"pattern": "gpt5"}, ValueError, "no known name"),
        (["a"], {"pattern": ""}, ValueError, "no known name"),
        (["a"], {"pattern": "(a"}, ValueError, "pattern"),
        (["a"], {"pattern": 5}, TypeError, "pattern must be a str"),
        (["a"], {"special_tokens": "<s>"}, TypeError, "special_tokens must be a sequence of str, got str"),
        (["a"], {"special_tokens": [b"<s>"]}, TypeError, "got bytes among them"),
        (["a"], {"special_tokens": [""]}, ValueError, "not empty"),
        (["a"], {"special_tokens": ["\ud800"]}, ValueError, "not empty"),
        (["a"], {"special_tokens": ["<s>", "<s>"]}, ValueError, "twice"),
        (["a"], {"min_frequency": -1}, ValueError, "min_frequency must be at least 0"),
        (["a"], {"max_token_length": 0}, ValueError, "max_token_length must be at least 1"),
        (["a"], {"lowercase": True}, ValueError, "lowercase is for wordpiece"),
        (["a"], {"kind": "unigram", "score": "frequency"}, ValueError, "score is for bpe and wordpiece"),
        (["a"], {"kind": "unigram", "vocab_size": 4}, ValueError, "there are 3 special tokens and 2 characters"),
        (["a"], {"kind": "unigram", "vocab_size": 99}, ValueError, "no more than 5 tokens can be made"),
        (["a"], {"kind": "unigram", "vocab_size": 2**31 - 2}, ValueError, "no more than 5 tokens can be made"),
        (["a"], {"kind": "unigram", "special_tokens": ["<s>"]}, ValueError, "must have '<unk>'"),
        (["a"], {"kind": "unigram", "max_token_length": 33}, ValueError, "at most 32 for unigram"),
        (["a"], {"kind": "unigram", "character_coverage": 0}, ValueError, "above 0 and at most 1"),
        (["a"], {"kind": "unigram", "character_coverage": "all"}, TypeError, "character_coverage"),
        (["a"], {"kind": "unigram", "normalization": "nfc"}, ValueError, "normalization must be"),
        (["", "  "], {"kind": "unigram"}, ValueError, "nothing to train on"),
        (["a"], {"limit_alphabet": 5}, ValueError, "limit_alphabet is for wordpiece"),
        (["a"], {"kind": "wordpiece", "pattern": "gpt2"}, ValueError, "pattern is for bpe"),
        (["a"], {"kind": "wordpiece", "special_tokens": ["[PAD]"]}, ValueError, r"must have '\[UNK\]'"),
        (["a"], {"kind": "wordpiece", "vocab_size": 5}, ValueError, "but there are 6 tokens"),
        (["a"], {"kind": "wordpiece", "lowercase": "no"}, TypeError, "lowercase must be"),
        (["a"], {"score": "best"}, ValueError, "score must be"),
    ],
)
def test_what_is_refused(texts, options, error, words):
    with pytest.raises(error, match=words):
        fastemb.Tokenizer.train(texts, **options)


def test_files_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastemb.Tokenizer.train(tmp_path / "none.txt")
    with pytest.raises(IsADirectoryError):
        fastemb.Tokenizer.train(tmp_path)
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"good\n" * 10 + b"b\xc3\n")
    with pytest.raises(ValueError, match=r"bad.txt: it is no UTF-8 from byte 51 on"):
        fastemb.Tokenizer.train([bad])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        fastemb.Tokenizer.train([tmp_path / "pipe"])

    def vanishing():
        yield "a text"
        (tmp_path / "gone.txt").write_text("x")
        (tmp_path / "gone.txt").unlink()
        yield tmp_path / "gone.txt"

    with pytest.raises(FileNotFoundError):
        fastemb.Tokenizer.train(vanishing())


def test_an_iterator_that_fails_is_heard():
    def failing():
        yield "a text"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fastemb.Tokenizer.train(failing())


@pytest.mark.parametrize("endless", [True, False])
def test_an_interrupt_ends_training(endless):
    """While texts come, and while their pairs are merged, of which C lets go after a fraction of a second."""
    chance = np.random.default_rng(1)
    texts = ["".join(map(chr, row)) for row in chance.integers(0x4E00, 0x4E00 + 600, (3000, 400)).tolist()]
    begun = []

    def interrupt():
        begun.append(time.process_time())  # which does not go on while others have the processor
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.4, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fastemb.Tokenizer.train(itertools.cycle(texts) if endless else texts, vocab_size=100_000, pattern=r"\p{Han}+")
    assert time.process_time() - begun[0] < 2.6
    timer.join()


# ---------------------------------------------------------------- likelihood


def slow_likelihood(words, names, vocab_size, least):
    """Merge the pair with the highest count divided by those of its tokens, everything counted anew at each step."""
    names, done = list(names), []
    while len(names) < vocab_size:
        pairs, tokens = Counter(), Counter()
        for word, count in words.items():
            for token in word:
                tokens[token] += count
            for pair in itertools.pairwise(word):
                pairs[pair] += count
        scores = {
            pair: (-count / (float(tokens[pair[0]]) * float(tokens[pair[1]])), pair)
            for pair, count in pairs.items()
            if count >= max(least, 1)
        }
        if not scores:
            break
        best = min(scores.values())[1]
        name = names[best[0]] + names[best[1]].removeprefix("##")
        if name not in names:
            names.append(name)
        done.append((best, name))
        words = merged_words(words, best, names.index(name))
    return names, done


def merged_words(words, pair, made):
    """Merge a pair in all words, from the left."""
    found = Counter()
    for word, count in words.items():
        row, i = [], 0
        while i < len(word):
            hit = word[i : i + 2] == pair
            row.append(made if hit else word[i])
            i += 1 + hit
        found[tuple(row)] += count
    return found


@settings(max_examples=60, deadline=None)
@given(CORPORA, st.integers(0, 30), st.integers(0, 4))
@example(["aaaaaaa aaaa aaaaaaaaa aba bab"], 30, 0)
def test_likelihood(folder, texts, more, least):
    try:
        ours = fastemb.Tokenizer.train(texts, "wordpiece", 30 + more, score="likelihood", min_frequency=least)
    except ValueError:
        assert not any(text.strip() for text in texts)
        return
    vocab, _ = our_parts(ours, folder)
    start = fastemb.Tokenizer.train(texts, "wordpiece", 30 + more, min_frequency=10**9)
    names = list(our_parts(start, folder)[0])
    normal, cutter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = Counter()
    for text in texts:
        for word, _ in cutter.pre_tokenize_str(normal.normalize_str(text)):
            words[tuple(names.index(char if i == 0 else f"##{char}") for i, char in enumerate(word))] += 1
    assert list(vocab) == slow_likelihood(words, names, 30 + more, least)[0]


def test_likelihood_of_bytes(folder):
    """The same of bytes: a pair that is rare, of tokens that are, comes before one that is frequent."""
    texts = ["the the the then xq"] * 3
    ours = fastemb.Tokenizer.train(texts, vocab_size=258, score="likelihood")
    assert list(our_parts(ours, folder)[0])[256:] == ["xq", "en"]  # "en" ties with "\u0120xq": the lower id
