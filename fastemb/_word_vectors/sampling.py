"""Skip-gram and CBOW by negative sampling: the epochs, and the learning rate that falls."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from .._cpu.word_vectors import NegativeSampling
from .._text.train_progress import progress
from .chance import POWER, alias_table, keep_thresholds, seed_of
from .corpus import Corpus
from .options import Training

BLOCK = 1 << 14  # words between two looks at the clock, and at interrupts; the rate falls as often
LEAST = 1e-4  # of the learning rate that is left at the end
WHOLE, RING = 10, 7  # the widest window that is not cut into rings, and how broad these are at most
BATCH = 64  # words that are scored together, at most
OFTEN = 8.0  # how often a word may be expected among those around a batch
PULLS, RING_PULLS = 48.0, 28.0  # how many pulls at a target may be expected in a batch, and of one ring
_INIT, _KEEP, _TRAIN = range(3)  # the uses of chance
_GOLDEN = 0x9E3779B97F4A7C15  # from one counter of splitmix64 to the next


def train(corpus: Corpus, asked: Training) -> npt.NDArray[np.float32]:
    """Return the vectors of all words of a corpus."""
    V, D = len(corpus.words), asked.dim
    weights = corpus.counts.astype(np.float64) ** POWER
    alias = alias_table(weights)
    keep = keep_thresholds(corpus.counts, asked.sample)
    kept = corpus.counts * (keep / 2**32)
    share = float(kept.max() / (kept.sum() or 1))  # `sample` may be so small that chance, of 32 bits, keeps none
    often, by_mean = share + asked.negatives * float(weights.max() / weights.sum()), asked.kind == "cbow"
    breadth = asked.window if by_mean else breadth_of(asked.window, often)
    around = asked.window + 1 if breadth == asked.window else 2 * breadth
    batch = batch_of(around * share, often if by_mean else around * often)
    model = NegativeSampling(D, alias, asked.window, asked.negatives, asked.shared_negatives, by_mean, breadth, batch)
    chance = np.random.Generator(np.random.PCG64(int(seed_of(asked.seed, 0, _INIT))))
    for first in range(0, V, BLOCK):
        model.inputs.write(first, (chance.random((min(BLOCK, V - first), D), np.float32) - 0.5) / np.float32(D))
    whole, done, begun = asked.epochs * corpus.total, 0, time.perf_counter()
    with progress("training", asked.progress) as say:
        for epoch in range(asked.epochs):
            starts = [int(seed_of(asked.seed, epoch, use)) for use in (_KEEP, _TRAIN)]
            for place, ids in corpus.blocks(BLOCK):
                rate = asked.learning_rate * max(LEAST, 1 - done / whole)
                keeps, trains = (np.uint64((start + place * _GOLDEN) % 2**64) for start in starts)
                model.train(ids, keep, (keeps, trains), rate)
                done += int(np.count_nonzero(ids >= 0))
                say(state(done, whole, time.perf_counter() - begun, "words"))
    return model.inputs.read()


def breadth_of(window: int, often: float) -> int:
    """Return how broad the rings are that a window is cut into: of some windows the whole is one.

    Words of one ring pull at the same rows, as these were before. At that of the word that is expected most ``often``
    among the targets not more than `RING_PULLS` of them do, by all likelihood.
    """
    return max(1, min(window if window <= WHOLE else RING, int(RING_PULLS / (2 * often))))


def batch_of(around: float, pulls: float) -> int:
    """Return how many words are scored together.

    How far a row is pulled does not depend on how often it has been moved since then. So no word is to be expected more
    than `OFTEN` times among those around, nor the row of a target to be pulled more than `PULLS` times; given is how
    often that is expected for one word of a batch.
    """
    return max(1, int(min(BATCH, OFTEN / max(around, OFTEN / BATCH), PULLS / pulls)))


def state(done: int, whole: int, seconds: float, what: str) -> str:
    """Return how far training is: a share, a rate, and the time that is left."""
    rate = done / max(seconds, 1e-9)
    minutes, rest = divmod(round((whole - done) / max(rate, 1e-9)), 60)
    return f"{100 * done // whole} %, {rate:,.0f} {what}/s, {minutes}:{rest:02d} left"
