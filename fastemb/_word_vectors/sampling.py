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
BATCH, OFTEN = 64, 8.0  # words of a batch, at most; and how often one word may be expected in its windows
_INIT, _KEEP, _TRAIN = range(3)  # the uses of chance
_GOLDEN = 0x9E3779B97F4A7C15  # from one counter of splitmix64 to the next


def train(corpus: Corpus, asked: Training) -> npt.NDArray[np.float32]:
    """Return the vectors of all words of a corpus."""
    V, D = len(corpus.words), asked.dim
    alias = alias_table(corpus.counts.astype(np.float64) ** POWER)
    keep = keep_thresholds(corpus.counts, asked.sample)
    by_mean, batch = asked.kind == "cbow", batch_of(corpus.counts * (keep / 2**32), asked.window)
    model = NegativeSampling(D, alias, asked.window, asked.negatives, asked.shared_negatives, by_mean, batch)
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


def batch_of(kept: npt.NDArray[np.float64], window: int) -> int:
    """Return how many words are scored together, by how often each is kept.

    So few that the most frequent word is not expected more than `OFTEN` times in their windows, and that no place of
    the texts is in more of them: how far a row is pulled does not depend on how often it has been moved since the batch
    began.
    """
    most = kept.max()
    if not most:  # `sample` is so small that chance, of 32 bits, keeps none
        return BATCH
    together = BATCH if window < OFTEN else int(OFTEN)
    return max(1, min(together, int(OFTEN * kept.sum() / ((window + 1) * most))))


def state(done: int, whole: int, seconds: float, what: str) -> str:
    """Return how far training is: a share, a rate, and the time that is left."""
    rate = done / max(seconds, 1e-9)
    minutes, rest = divmod(round((whole - done) / max(rate, 1e-9)), 60)
    return f"{100 * done // whole} %, {rate:,.0f} {what}/s, {minutes}:{rest:02d} left"
