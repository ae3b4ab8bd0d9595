"""Word vectors by negative sampling: the step against float64, chance against its distributions, and the same bytes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb import _threads
from fastemb._cpu.kernels import skipgram as kernels
from fastemb._cpu.word_vectors import NegativeSampling, cut
from fastemb._word_vectors import chance, options, sampling

GOLDEN = 0x9E3779B97F4A7C15
KEPT = 2**32 - 1  # of 32 bits of chance: every word is kept


def mixed(x):
    """splitmix64's last steps, of a counter."""
    x &= 2**64 - 1
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def drawn(alias, bits):
    """The word that 64 bits draw."""
    word = (bits >> 32) * len(alias) >> 32
    return word if bits % 2**32 < alias[word, 0] else int(alias[word, 1])


def window_of(words, i, reach):
    """The words around a word of its sentence, behind how far they are, the nearest first, those before it first."""
    if words[i] < 0:
        return []
    before, behind = (itertools.takewhile(lambda w: w >= 0, way) for way in (words[i - 1 :: -1], words[i + 1 :]))
    return [*zip(range(1, reach + 1), before, strict=False), *zip(range(1, reach + 1), behind, strict=False)]


def batches_of(words, seed, window, breadth, batch):
    """The batches of a block: of each word its place, its ring, how many are around nearer than that, and these."""
    reaches = [1 + ((mixed(mixed(seed + i * GOLDEN)) >> 32) * window >> 32) for i in range(len(words))]
    windows = [window_of(words, i, reach) for i, reach in enumerate(reaches)]
    for near in range(0, window, breadth):
        found = []
        for i, around in enumerate(windows):
            nearer = [word for distance, word in around if distance <= near]
            here = [word for distance, word in around if near < distance <= near + breadth]
            found += [(i, near // breadth, len(nearer), here)] if here else []
        run = batch // -(-batch // 8)
        runs = [found[first : first + run] for first in range(0, len(found), run)]
        apart = max(-(-2 * breadth // run), -(-len(runs) // (batch // run)))
        yield from ([*itertools.chain(*runs[first::apart])] for first in range(apart))


def logistic(x):
    """Of products, as the kernel has it: of -16 and 16 for what is beyond."""
    return 1 / (1 + np.exp(-np.clip(x, -16, 16)))


def law(inputs, outputs, words, alias, seed, rate, *, window, negatives, shared, by_mean, breadth, batch):
    """A block of words in float64: what the kernels do, in as few lines as it can be said."""
    for some in batches_of(words, seed, window, breadth, batch):
        steps = []  # of a batch: which rows are around, which are targets, and how far these pull each other
        for i, ring, nearer, contexts in some:
            groups = [contexts] if shared or by_mean else [[context] for context in contexts]
            chance = mixed(seed + i * GOLDEN) + (ring if shared or by_mean else nearer) * negatives * GOLDEN
            for group in groups:
                targets = [words[i]]
                for _ in range(negatives):
                    chance += GOLDEN
                    targets.append(drawn(alias, mixed(chance)))
                x = inputs[group].mean(axis=0, keepdims=True) if by_mean else inputs[group]
                label = (np.arange(len(targets)) == 0).astype(float)
                pull = (label - logistic(x @ outputs[targets].T)) * rate
                pull[:, 1:][:, np.array(targets[1:], int) == words[i]] = 0
                steps.append((group, targets, pull, x))
        for group, targets, pull, mean in steps:
            way = np.zeros_like(mean)
            for t in range(0, len(targets), kernels.TILE):
                three, pulled = targets[t : t + kernels.TILE], pull[:, t : t + kernels.TILE]
                y, moved = outputs[three], 0
                for c, word in enumerate(group[:1] if by_mean else group):
                    moved = moved + np.outer(pulled[c], mean[0] if by_mean else inputs[word])
                    if by_mean:
                        way += pulled[c] @ y
                    else:
                        inputs[word] += pulled[c] @ y
                np.add.at(outputs, three, moved)
            if by_mean:
                np.add.at(inputs, group, np.broadcast_to(way, (len(group), y.shape[1])))


def tables(model, *given):
    """Both tables of a model in float64, after some rows were put into them."""
    for table, rows in zip((model.inputs, model.outputs), given, strict=False):
        table.write(0, np.asarray(rows, np.float32))
    return model.inputs.read().astype(float), model.outputs.read().astype(float)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-1, 6), max_size=48),
    st.one_of(st.integers(1, 40), st.sampled_from([64, 65, 100, 400])),
    st.one_of(st.integers(1, 5), st.sampled_from([10, 11, 14, 15, 20])),
    st.integers(1, 10),
    st.integers(1, 7),
    st.sampled_from([(True, False), (False, False), (True, True)]),
    st.sampled_from([1, 2, 5, 64]),
    st.integers(0, 2**64 - 1),
)
def test_a_step_is_that_of_float64(words, D, window, breadth, negatives, kind, batch, seed):
    shared, by_mean = kind
    breadth = window if by_mean else min(breadth, window)
    random = np.random.default_rng(seed)
    alias = chance.alias_table(random.random(7) + 0.01)
    model = NegativeSampling(D, alias, window, negatives, shared, by_mean, breadth, batch)
    inputs, outputs = tables(model, *random.normal(size=(2, 7, D), scale=min(1, 4 / np.sqrt(D))))
    ids = np.array(words, np.int32)
    model.train(ids, np.full(7, KEPT, np.uint32), (np.uint64(1), np.uint64(seed)), 0.05)
    kept = [-1]
    for word in words:
        kept += [word] if word >= 0 or kept[-1] >= 0 else []
    options = {"window": window, "negatives": negatives, "shared": shared, "by_mean": by_mean}
    options |= {"breadth": breadth, "batch": batch}
    law(inputs, outputs, [*kept, -1], alias, seed, 0.05, **options)
    np.testing.assert_allclose(model.inputs.read(), inputs, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(model.outputs.read(), outputs, rtol=2e-5, atol=2e-5)


def test_the_step_follows_the_gradient():
    """Not by the formula of the law, but by differences of the loss itself."""
    random = np.random.default_rng(5)
    D, rate, h = 3, 1e-3, 1e-6
    model = NegativeSampling(D, chance.alias_table(np.ones(4)), 1, 2, True, False, 1, 1)
    both = tables(model, *random.normal(size=(2, 4, D)))
    seed, words = 3, [-1, 0, 1, -1]
    targets = {}
    for i in (1, 2):
        c = mixed(seed + i * GOLDEN)
        targets[i] = [drawn(chance.alias_table(np.ones(4)), mixed(c + k * GOLDEN)) for k in (1, 2)]

    def loss(inputs, outputs, i):
        x, found, others = inputs[words[3 - i]], outputs[words[i]], [t for t in targets[i] if t != words[i]]
        return np.log1p(np.exp(-x @ found)) + sum(np.log1p(np.exp(x @ outputs[t])) for t in others)

    for i in (1, 2):
        grads = []
        for table in both:
            grad = np.zeros_like(table)
            for place in np.ndindex(table.shape):
                for sign in (1, -1):
                    table[place] += sign * h
                    grad[place] += sign * loss(*both, i) / (2 * h)
                    table[place] -= sign * h
            grads.append(grad)
        for table, grad in zip(both, grads, strict=True):
            table -= rate * grad
    model.train(np.array([0, 1], np.int32), np.full(4, KEPT, np.uint32), (np.uint64(1), np.uint64(seed)), rate)
    np.testing.assert_allclose(model.inputs.read(), both[0], atol=1e-6)
    np.testing.assert_allclose(model.outputs.read(), both[1], atol=1e-6)


def test_the_logistic_function_is_right_everywhere():
    alias = chance.alias_table(np.ones(2))
    for x in [*np.linspace(-18, 18, 400), -1e30, 1e30, 40]:
        model = NegativeSampling(1, alias, 1, 1, True, False, 1, 1)
        inputs, outputs = tables(model, [[x], [x]], [[1], [1]])
        options = {"window": 1, "negatives": 1, "shared": True, "by_mean": False, "breadth": 1, "batch": 1}
        law(inputs, outputs, [-1, 0, 1, -1], alias, 8, 1e-3, **options)
        model.train(np.array([0, 1], np.int32), np.full(2, KEPT, np.uint32), (np.uint64(0), np.uint64(8)), 1e-3)
        np.testing.assert_allclose(model.outputs.read(), outputs, rtol=1e-6, atol=1e-6 * 1e-3 * abs(x) + 1e-7)


@pytest.mark.parametrize("kind", [(True, False), (False, False), (True, True)])
def test_a_team_of_any_size_moves_the_same_bits(kind):
    """Of four slabs and two rings; also if members come one after another, as where no second thread is to be had."""
    random = np.random.default_rng(3)
    ids = random.integers(-1, 50, 1500).astype(np.int32)
    alias, rows = chance.alias_table(random.random(50) + 0.01), random.normal(size=(2, 50, 400), scale=0.2)
    found = set()
    for threads in (1, 2, 3, 7):
        for run in (_threads.run, lambda work, cuts: [work(*ends) for ends in itertools.pairwise(cuts)]):
            model = NegativeSampling(400, alias, 9, 5, *kind, 9 if kind[1] else 5, 16)
            tables(model, *rows)
            with fastemb.num_threads(threads), pytest.MonkeyPatch.context() as patch:
                patch.setattr(_threads, "run", run)
                model.train(ids, np.full(50, KEPT, np.uint32), (np.uint64(1), np.uint64(9)), 0.05)
            found.add(b"".join(table.tobytes() for table in tables(model)))
    assert len(found) == 1


def test_a_team_that_loses_a_member_ends_with_its_error(monkeypatch):
    """Whichever it is: the others do its parts, nobody waits for it."""
    ids = np.random.default_rng(4).integers(-1, 50, 3000).astype(np.int32)
    whole = kernels.train
    for lost in range(3):

        def train(*arguments, lost=lost):
            if arguments[-2] == lost:
                raise MemoryError(f"member {lost}")
            whole(*arguments)

        monkeypatch.setattr(kernels, "train", train)
        model = NegativeSampling(400, chance.alias_table(np.ones(50)), 5, 5, True, False, 5, 16)
        with fastemb.num_threads(3), pytest.raises(MemoryError, match=f"member {lost}"):
            model.train(ids, np.full(50, KEPT, np.uint32), (np.uint64(1), np.uint64(9)), 0.05)


def test_a_batch_pulls_at_no_row_too_often():
    assert sampling.batch_of(6 / 1000, 6 / 1000 + 0.03) == sampling.BATCH
    assert sampling.batch_of(0, 0.1) == sampling.BATCH  # chance keeps no word
    assert sampling.batch_of(2 / 10, 2 / 10 + 0.2) == 40  # of 80 words around 8 are the same
    assert sampling.batch_of(14 / 10, 14 / 10 + 14 * 2) == 1  # 29 pulls at each row
    assert sampling.batch_of(6 * 0.9, 100) == 1


def test_rings_are_as_broad_as_their_pulls_allow():
    assert [sampling.breadth_of(window, 0.1) for window in (1, 5, 10, 11, 1000)] == [1, 5, 10, 7, 7]
    assert [sampling.breadth_of(40, often) for often in (2, 2.1, 7, 100)] == [7, 6, 2, 1]


def test_what_is_pulled_is_told_by_the_words(monkeypatch):
    """How often the most frequent word is kept, and drawn; of CBOW one row pulls at a target, else those around."""
    found = []

    class Looks(NegativeSampling):
        def __init__(self, *arguments):
            found.append(arguments[-2:])
            super().__init__(*arguments)

    monkeypatch.setattr(sampling, "NegativeSampling", Looks)
    even = [" ".join("abcdefghij")] * 20
    for kind, window in (("skipgram", 5), ("skipgram", 10), ("skipgram", 12), ("cbow", 10), ("cbow", 12)):
        fastemb.train_vectors(even, kind, 4, window=window, sample=0, epochs=1)
    fastemb.train_vectors(even, dim=4, window=5, sample=0, epochs=1, negatives=50)
    fastemb.train_vectors(even, dim=4, window=5, sample=1e-30, epochs=1)
    assert found == [(5, 13), (10, 7), (7, 5), (10, 7), (12, 6), (2, 2), (5, 16)]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 1500), st.integers(1, 64), st.integers(1, 10))
def test_batches_have_each_word_once_and_no_word_in_many_windows(count, batch, breadth):
    sweep = cut(0, count, batch, breadth)
    places = np.arange(count)
    batches = [places[places // sweep.run % sweep.batches == number] for number in range(sweep.batches)]
    assert sum(map(len, batches)) == count  # none of them empty
    assert 1 <= min(map(len, batches)) <= max(map(len, batches)) <= batch
    for some in batches:
        in_windows = np.zeros(count + 2 * breadth, int)
        for place in some:
            in_windows[place : place + 2 * breadth + 1] += 1
            in_windows[place + breadth] -= 1
        assert in_windows.max() <= 9


# Chance ----------------------------------------------------------------------------------------------------------


def chi_square(found, expected):
    """Pearson's statistic, in standard deviations above its mean: below 5 by all likelihood."""
    assert expected.min() > 5
    freedom = len(found) - 1
    return ((found - expected) ** 2 / expected).sum() / freedom, 1 + 5 * np.sqrt(2 / freedom)


@pytest.mark.parametrize("weights", [[1.0], [1, 1, 1], [1, 2, 3, 4, 5], list(1 / np.arange(1, 60) ** 0.75)])
def test_an_alias_table_holds_its_weights_exactly(weights):
    weights = np.array(weights, float)
    table = chance.alias_table(weights)
    share = np.zeros(len(weights))
    own = table[:, 0] / 2.0**32
    np.add.at(share, np.arange(len(weights)), own)
    np.add.at(share, table[:, 1], 1 - own)
    np.testing.assert_allclose(share / len(weights), weights / weights.sum(), atol=1e-9)


def test_negatives_are_drawn_by_their_weights():
    counts = np.array([5000, 900, 400, 100, 50, 20])
    table = chance.alias_table(counts**0.75)
    draws = 60_000
    found = np.bincount([drawn(table, mixed(11 + n * GOLDEN)) for n in range(draws)], minlength=6)
    statistic, most = chi_square(found, draws * counts**0.75 / (counts**0.75).sum())
    assert statistic < most


@pytest.mark.parametrize("sample", [0, 1e-3, 0.05])
def test_words_are_kept_by_how_frequent_they_are(sample):
    counts = np.array([40_000, 9000, 900, 100])
    keep = chance.keep_thresholds(counts, sample)
    ids = np.random.default_rng(2).permutation(np.repeat(np.arange(4, dtype=np.int32), counts))
    out = np.empty(ids.size + 2, np.int32)
    n = kernels.keep_words(ids, keep, np.uint64(9), out)
    share = counts / counts.sum()
    expected = np.minimum(1, np.sqrt(sample / share) + sample / share) if sample else np.ones(4)
    found = np.bincount(out[1 : n - 1], minlength=4)
    for word in range(4):
        deviation = np.sqrt(counts[word] * expected[word] * (1 - expected[word]))
        assert abs(found[word] - counts[word] * expected[word]) <= 5 * deviation
    # What is kept stands in its order.
    remaining = iter(ids.tolist())
    assert all(word in remaining for word in out[1 : n - 1].tolist())


def test_windows_are_drawn_evenly():
    """As the law of the step has them, which holds the kernel to the same reach at every word."""
    reaches = [1 + ((mixed(mixed(77 + i * GOLDEN)) >> 32) * 4 >> 32) for i in range(8000)]
    statistic, most = chi_square(np.bincount(reaches, minlength=5)[1:], np.full(4, 2000.0))
    assert statistic < most


# Whole trainings -------------------------------------------------------------------------------------------------


def texts(count=300):
    """Sentences of two worlds: animals that do one thing, and colours that do another."""
    random = np.random.default_rng(1)
    worlds = [
        (["cat", "dog", "cow"], ["eats", "sleeps", "runs"]),
        (["red", "blue", "green"], ["shines", "fades", "glows"]),
    ]
    for _ in range(count):
        names, deeds = worlds[random.integers(2)]
        yield f"the {random.choice(names)} {random.choice(deeds)} and {random.choice(deeds)} a lot"


@pytest.mark.parametrize("kind", ["skipgram", "cbow"])
def test_words_of_one_world_come_together(kind):
    model = fastemb.train_vectors(texts(), kind, 16, sample=0, epochs=20, seed=3)
    cosines = model.similarity(["cat", "dog", "cow"], ["dog", "red", "blue", "green"])
    assert cosines[0, 0] > cosines[:, 1:].max()


@pytest.mark.parametrize("options", [{}, {"shared_negatives": False}, {"kind": "cbow"}, {"kind": "glove", "epochs": 3}])
def test_the_same_bytes_for_a_seed_whatever_the_threads(options):
    tables = []
    for threads in (1, 2, 7):
        with fastemb.num_threads(threads):
            tables.append(fastemb.train_vectors(texts(), dim=20, seed=5, **options).table)
    assert len({table.tobytes() for table in tables}) == 1
    assert fastemb.train_vectors(texts(), dim=20, seed=6, **options).table.tobytes() != tables[0].tobytes()


@pytest.mark.parametrize("options", [{"shared_negatives": False}, {"window": 10}, {"window": 16}])
def test_teams_train_the_same_bytes(options):
    """Of vectors that threads share, and words enough for batches; with texts of no word, one word and very many."""
    random = np.random.default_rng(2)
    lines = [" ".join(f"w{i}" for i in random.integers(0, 300, n)) for n in (0, 1, 40, 0, 2, 900, 17_000)]
    tables = set()
    for threads in (1, 2, 3, 7):
        with fastemb.num_threads(threads):
            model = fastemb.train_vectors(lines, dim=70, min_count=1, epochs=1, **options)
            tables.add(model.table.tobytes())
    assert len(tables) == 1


@pytest.mark.parametrize(
    ("count", "window", "options"),
    [
        (300, 20, {}),
        (300, 100, {}),
        (300, 100, {"shared_negatives": False}),
        (10, 40, {}),
        (10, 40, {"negatives": 20}),
        (2, 10, {}),
        (3, 5, {"negatives": 20}),
    ],
)
def test_wide_windows_do_not_run_away(count, window, options):
    """Words drawn evenly have nothing to learn, and rows that go on being pulled by what they were grow without end."""
    random = np.random.default_rng(0)
    lines = [" ".join(f"w{i}" for i in random.integers(0, count, 400)) for _ in range(30)]
    model = fastemb.train_vectors(lines, dim=16, window=window, sample=0, min_count=1, epochs=1, **options)
    assert np.abs(model.table).max() < 1


def test_of_a_sample_so_small_no_word_is_kept():
    model = fastemb.train_vectors(texts(), dim=8, sample=1e-30)
    assert np.abs(model.table).max() <= 0.5 / 8  # as rows are at the beginning


def test_blocks_do_not_decide(monkeypatch):
    """Where the words are cut into blocks is not seen if neither rate nor batch is: chance is counted by place."""
    tables = []
    monkeypatch.setattr(sampling, "LEAST", 1)
    monkeypatch.setattr(sampling, "BATCH", 1)
    for block in (1 << 14, 64):
        monkeypatch.setattr(sampling, "BLOCK", block)
        tables.append(fastemb.train_vectors(texts(), dim=8, sample=0).table)
    assert tables[0].tobytes() == tables[1].tobytes()


@pytest.mark.parametrize(("kind", "rate"), [("skipgram", 0.025), ("cbow", 0.05)])
def test_a_training_begins_as_that_of_word2vecs_program(monkeypatch, kind, rate):
    """Negatives by counts to the power of 0.75, inputs evenly from -0.5 / D to 0.5 / D, outputs zero, and its rate."""
    found = []

    class Looks(NegativeSampling):
        def __init__(self, D, alias, window, negatives, shared, by_mean, *rest):
            found.append((alias, window, negatives, shared, by_mean))
            super().__init__(D, alias, window, negatives, shared, by_mean, *rest)

        def train(self, ids, keep, seeds, rate):
            found.append((self.inputs.read(), self.outputs.read(), keep, rate))
            return super().train(ids, keep, seeds, rate)

    monkeypatch.setattr(sampling, "NegativeSampling", Looks)
    some = [*texts()]
    words = [word for text in some for word in text.split()]
    model = fastemb.train_vectors(some, kind, 400, epochs=1)
    (alias, *rest), (inputs, outputs, keep, first) = found[:2]
    counts = np.array([words.count(word) for word in model.tokenizer.vocab if word in words])
    assert (alias == chance.alias_table(counts**0.75)).all()
    assert rest == [5, 5, True, kind == "cbow"]
    assert (keep == chance.keep_thresholds(counts, 1e-3)).all()
    assert first == rate
    assert not outputs.any()
    statistic, most = chi_square(np.histogram(inputs, 10, (-0.5 / 400, 0.5 / 400))[0], np.full(10, inputs.size / 10))
    assert statistic < most


def test_epochs_have_chance_of_their_own(monkeypatch):
    seeds = []
    train = NegativeSampling.train
    monkeypatch.setattr(
        NegativeSampling,
        "train",
        lambda self, ids, keep, seed, rate: seeds.extend(map(int, seed)) or train(self, ids, keep, seed, rate),
    )
    monkeypatch.setattr(sampling, "BLOCK", 256)
    fastemb.train_vectors(texts(), dim=4, epochs=2)
    assert len(seeds) > 20
    assert len({*seeds}) == len(seeds)


def test_the_rate_falls_in_a_straight_line(monkeypatch):
    rates = []
    train = NegativeSampling.train
    monkeypatch.setattr(sampling, "BLOCK", 256)
    monkeypatch.setattr(
        NegativeSampling,
        "train",
        lambda self, ids, keep, seeds, rate: rates.append(rate) or train(self, ids, keep, seeds, rate),
    )
    fastemb.train_vectors(texts(), dim=4, learning_rate=0.5, epochs=2)
    assert rates[0] == 0.5
    assert len(rates) > 15
    assert all(later < rate for rate, later in itertools.pairwise(rates))
    steps = -np.diff(rates)
    np.testing.assert_allclose(steps[:5], steps[0], rtol=0.1)
    assert rates[-1] < 0.5 * 0.1
    monkeypatch.setattr(sampling, "BLOCK", 1)
    fastemb.train_vectors(texts(30), dim=4, learning_rate=0.5, epochs=60)
    assert rates[-1] == 0.5 * 1e-4


@pytest.mark.parametrize(
    ("kind", "usual"),
    [
        ("skipgram", {"epochs": 5, "window": 5, "learning_rate": 0.025, "negatives": 5, "sample": 1e-3}),
        ("cbow", {"epochs": 5, "window": 5, "learning_rate": 0.05, "negatives": 5, "sample": 1e-3}),
        ("glove", {"epochs": 25, "window": 10, "learning_rate": 0.05, "x_max": 100, "memory": 2**30}),
    ],
)
def test_what_is_not_given_is_as_the_page_says(kind, usual):
    asked = options.as_training(kind, "letters", None, False, dim=4, min_count=5, seed=0)
    assert {name: getattr(asked, name) for name in usual} == usual
