"""Training Unigram: against the same steps done slowly, and what it saves against the engines that read it."""

import contextlib
import itertools
import json
import math
import random

import numpy as np
import pytest
import tokenizers

import fastemb
from fastemb._text.plan_cuts import Cuts
from fastemb._text.step_classes import script_of
from fastemb._text.train_scores import covered, train_pieces
from fastemb._text.train_texts import How, count

MARK = "\u2581"


@pytest.fixture(scope="module")
def lines():
    """Text with rare and frequent words, of several scripts, made of parts that come again."""
    chance = random.Random(5)
    parts = [
        "ab",
        "abc",
        "ing",
        "er",
        "un",
        "low",
        "new",
        "\u043f\u0440",
        "\u65e5\u672c",
        "\u8a9e",
        "3",
        "14",
        ".",
        "na\u00efve",
    ]
    words = ["".join(chance.choices(parts, k=chance.randint(1, 4))) for _ in range(800)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    return [" ".join(chance.choices(words, weights, k=25)) for _ in range(80)]


# ---------------------------------------------------------------- the law, slowly


def digamma(x):
    """By central differences of the logarithm of the gamma function, which is another way than C's."""
    step = 1e-4 * max(x, 1)
    terms = ((1, 8), (2, -1))
    return sum(w * (math.lgamma(x + k * step) - math.lgamma(x - k * step)) for k, w in terms) / (12 * step)


def seeds_of(words, longest, is_piece):
    """Substrings that come at two places or more and can be made longer in two ways or more, by weight times length."""
    places = {}
    for word in words:
        for start in range(len(word)):
            for end in range(start + 2, min(len(word), start + longest) + 1):
                behind = word[end : end + 1] or (word, start)  # each end of a word is one of its own
                places.setdefault(word[start:end], []).append((word, behind))
    found = {}
    for text, where in places.items():
        ways = {behind for _, behind in where}
        if len(where) > 1 and (len(ways) > 1 or len(text) == longest) and is_piece(text):
            found[text] = len(text) * sum(words[word] for word, _ in where)
    return found


class Slow:
    """The model, and what words expect of it."""

    def __init__(self, words, chars, wanted, longest, mark):
        self.words, self.chars, self.wanted = words, chars, wanted

        def is_piece(text):
            scripts = {script_of(char) for char in text if char != mark and char in chars and script_of(char)}
            return set(text) <= set(chars) and mark not in text[1:] and len(scripts) < 2

        weights = {char: sum(n * word.count(char) for word, n in words.items()) for char in chars}
        weights |= seeds_of(words, longest, is_piece)
        total = sum(weights.values())
        self.scores = {piece: math.log(weight) - math.log(total) for piece, weight in weights.items()}
        self.last = False

    def score(self, piece):
        lowest = min(self.scores.values()) - 10
        return self.scores.get(piece, lowest if len(piece) == 1 else -math.inf)

    def ways(self, text, without=None):
        """Yield where pieces may stand in a text."""
        known = {piece for piece in self.scores if piece != without} | {*text}
        for start, end in itertools.combinations(range(len(text) + 1), 2):
            if text[start:end] in known and text[start:end] != without:
                yield start, end, text[start:end]

    def expected(self):
        found, loss = dict.fromkeys(self.scores, 0.0), 0.0
        for word, n in self.words.items():
            edges = [(start, end, piece, math.exp(self.score(piece))) for start, end, piece in self.ways(word)]
            ahead, behind = [1.0] + [0.0] * len(word), [0.0] * len(word) + [1.0]
            for start, end, _, p in sorted(edges):
                ahead[end] += ahead[start] * p
            for start, end, _, p in sorted(edges, reverse=True):
                behind[start] += behind[end] * p
            for start, end, piece, p in edges:
                if piece in found:
                    found[piece] += n * ahead[start] * p * behind[end] / ahead[-1]
            loss -= n * math.log(ahead[-1])
        self.loss = loss / sum(self.words.values())
        return found

    def maximize(self, expected):
        expected = {piece: max(n, 0.5) if self.last or len(piece) == 1 else n for piece, n in expected.items()}
        kept = {piece: n for piece, n in expected.items() if n >= 0.5}
        total, log = sum(kept.values()), math.log if self.last else digamma
        self.scores = {piece: log(n) - log(total) for piece, n in kept.items()}

    def best(self, text, without=None):
        best, back = [0.0] + [-math.inf] * len(text), {}
        for start, end, piece in sorted(self.ways(text, without)):
            if best[start] + self.score(piece) > best[end]:
                best[end], back[end] = best[start] + self.score(piece), (start, piece)
        parts, end = [], len(text)
        while end and end in back:
            end, piece = back[end]
            parts.append(piece)
        return best[-1], parts

    def prune(self):
        freq = dict.fromkeys(self.scores, 0.0)
        for word, n in self.words.items():
            for piece in self.best(word)[1]:
                if piece in freq:
                    freq[piece] += n
        total, losses = sum(freq.values()), {}
        for piece in self.scores:
            if len(piece) == 1 or not freq[piece]:  # characters stay
                continue
            other, parts = self.best(piece, piece)
            if other > self.scores[piece]:
                continue
            often, after = freq[piece], total + freq[piece] * (len(parts) - 1)
            after = sum(math.log(freq.get(part, 0) + often) - math.log(after) for part in parts)
            losses[piece] = often * (math.log(often) - math.log(total) - after)
        pieces = len(self.chars) + sum(len(piece) > 1 for piece in self.scores)
        most = max(self.wanted, int(0.75 * pieces))
        self.last = most == self.wanted
        kept = sorted(losses, key=lambda piece: -losses[piece])[: most - len(self.chars)]
        self.scores = {piece: self.scores[piece] for piece in [*self.chars, *kept]}

    def train(self):
        while True:
            for _ in range(2):
                self.maximize(self.expected())
            if len(self.chars) + sum(len(piece) > 1 for piece in self.scores) <= self.wanted:
                return self.scores
            self.prune()


@pytest.mark.parametrize("number", range(6))
def test_the_law(number):
    """Every score of small corpora, to ten digits."""
    chance = random.Random(number)
    letters = ["abc1", "abcde\u043f", "ab\u65e5\u672c\u8a9e", "aab", "ab.,3", "abcdefgh"][number]
    words = {}
    for _ in range(60):
        word = MARK + "".join(chance.choices(letters, k=chance.randint(0, 9)))
        words[word] = chance.randint(1, 50)
    chars = sorted({char for word in words for char in word} - {"e"})  # `e` is unknown
    tally = count(itertools.chain(*([word] * n for word, n in words.items())), How(Cuts(0)))
    wanted, longest = len(chars) + [9, 20, 6, 3, 12, 25][number], [16, 4, 5, 32, 3, 7][number]
    expected = Slow(words, chars, wanted, longest, MARK).train()
    found = dict(train_pieces(tally, [ord(char) for char in chars], wanted, longest))
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[piece] for piece in expected], list(expected.values()), rtol=0, atol=1e-7)


def test_words_too_long_for_a_double(lines):
    """Sums over all ways to cut 20,000 characters: what a few words more do to the scores is little."""
    plain = dict(train_pieces(count(lines, How(Cuts(1))), covered_chars(lines), 80, 16))
    word = "".join(lines)[:20_000].replace(" ", "")
    more = dict(train_pieces(count([*lines, word, word[::-1]], How(Cuts(1))), covered_chars(lines), 80, 16))
    assert len(more) == 80
    assert all(math.isfinite(score) and score < 0 for score in more.values())
    assert len(plain.keys() & more.keys()) > 50


def test_an_endless_word_is_left_for_interrupts(monkeypatch):
    """Of one word of many calls' work: C comes back far more often than there are stages and passes."""
    calls = []

    @contextlib.contextmanager
    def counted(label):
        yield calls.append

    monkeypatch.setattr("fastemb._text.train_scores.progress", counted)
    letters = random.Random(1).choices("abcdefgh", k=120_000)
    ways = [
        count([text], How(Cuts(1)))
        for text in ("".join(letters), " ".join("".join(letters[i : i + 9]) for i in range(0, 120_000, 9)))
    ]
    numbers = []
    for tally in ways:
        assert len(train_pieces(tally, [*map(ord, "abcdefgh"), ord(MARK)], 600, 8)) == 600
        numbers.append(len(calls) - sum(numbers))
    assert numbers[0] > 1.2 * numbers[1], numbers


def covered_chars(lines):
    chars = sorted({*"".join(lines)} | {MARK})
    return [ord(char) for char in chars]


def test_coverage():
    counts = np.zeros(0x110000, np.uint64)
    counts[[ord("a"), ord("b"), ord("c"), ord("d")]] = 90, 5, 5, 1
    assert covered(counts, 0.5) == [ord("a"), ord(MARK)]
    assert covered(counts, 0.9) == [ord("a"), ord("b"), ord(MARK)]  # 90 of 101 are not enough
    assert covered(counts, 1.0) == [*map(ord, "abcd"), ord(MARK)]


# ---------------------------------------------------------------- as a tokenizer


@pytest.mark.parametrize("normalization", ["nmt_nfkc", "nfkc", "identity"])
def test_tokenizers_agrees(lines, tmp_path, normalization):
    ours = fastemb.Tokenizer.train(lines, "unigram", 80, normalization=normalization, special_tokens=["<pad>", "<unk>"])
    assert ours.vocab_size == 80
    ours.save(tmp_path / "tokenizer.json", "tokenizer.json")
    ours.save(tmp_path / "own")
    again = fastemb.Tokenizer.load(tmp_path / "own")
    again.save(tmp_path / "again.json", "tokenizer.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    rival = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    model = json.loads(rival.to_str())["model"]
    scores = [score for _, score in model["vocab"][2:]]
    assert scores == sorted(scores, reverse=True)
    assert (model["unk_id"], model["vocab"][:2]) == (1, [["<pad>", 0.0], ["<unk>", 0.0]])
    for text in [*lines[:60], "", "  a  b ", "\ufb01ab\u3000\u2460", "un<unk>er", MARK, "zzz ab"]:
        ids = ours.encode(text, special="all").tolist()
        assert ids == rival.encode(text).ids == again.encode(text, special="all").tolist(), ascii(text)
        assert ours.decode(ids) == rival.decode(ids, skip_special_tokens=False)


def test_the_same_however_texts_come(lines):
    first = fastemb.Tokenizer.train(lines, "unigram", 80)
    expected = bytes(first._core.image())
    for threads in (1, 2, 7):
        with fastemb.num_threads(threads):
            again = fastemb.Tokenizer.train(random.Random(threads).sample(lines, len(lines)), "unigram", 80)
            assert bytes(again._core.image()) == expected


def test_as_a_model_file(lines, tmp_path):
    ours = fastemb.Tokenizer.train(lines, "unigram", 80, normalization="identity")
    ours.save(tmp_path / "x.model", "sentencepiece")
    loaded = fastemb.Tokenizer.load(tmp_path / "x.model")
    for text in [*lines[:60], "", "  a  b ", "zzz ab"]:
        assert loaded.encode(text).tolist() == ours.encode(text).tolist()
    with pytest.raises(ValueError, match="normalization='identity'"):
        fastemb.Tokenizer.train(lines, "unigram", 80).save(tmp_path / "y.model", "sentencepiece")
    with pytest.raises(ValueError, match="no Unigram"):
        fastemb.Tokenizer.train(lines, vocab_size=300).save(tmp_path / "y.model", "sentencepiece")
    assert not (tmp_path / "y.model").exists()
    sentencepiece = pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    rival = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "x.model"))
    assert rival.get_piece_size() == 80
    assert (rival.unk_id(), rival.bos_id(), rival.eos_id(), rival.pad_id()) == (0, 1, 2, -1)
    for text in [*lines[:60], "", "  a  b ", "zzz ab"]:
        assert rival.encode(text) == ours.encode(text).tolist()


def test_no_worse_than_sentencepiece(lines, tmp_path):
    """On lines that neither has seen: nats of the best way, of the same special tokens and as many pieces."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    (tmp_path / "train.txt").write_text("\n".join(lines[:150]), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "train.txt"),
        model_prefix=str(tmp_path / "rival"),
        vocab_size=80,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    fastemb.Tokenizer.train(tmp_path / "train.txt", "unigram", 80, normalization="identity").save(
        tmp_path / "ours.model", "sentencepiece"
    )
    losses = []
    for name in ("ours", "rival"):
        model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"{name}.model"))
        scores = np.array([model.get_score(id) for id in range(80)])
        scores[0] = scores.min() - 10
        losses.append(-sum(scores[model.encode(line)].sum() for line in lines[150:]))
    assert losses[0] <= 1.005 * losses[1]
