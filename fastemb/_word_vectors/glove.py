"""GloVe: weighted least squares over the counts of pairs, by `fastemb.gather` and `fastemb.Adagrad`.

A row is a vector, its bias, and a one that meets the other table's bias; so a product of rows is all of the model. Both
directions of a pair are in one step. A step sums the gradients of a row over its pairs, in an order that does not
depend on threads, and neither do the vectors.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .._text.train_progress import progress
from ..lookup import gather
from ..optim import Adagrad
from .chance import seed_of
from .corpus import Corpus
from .options import Training
from .pairs import Pairs, Shuffled, count_pairs
from .sampling import state

POWER = 0.75  # of count / x_max, the weight of a pair (Pennington et al. 2014)
STEP = 1 << 12  # pairs whose gradients are made together: some MiB
_LEAST_RATE = 1e-18  # whose square is a float32
_INIT, _FILES, _ORDER = range(3)  # the uses of chance

Table = npt.NDArray[np.float32]


def train(corpus: Corpus, asked: Training) -> Table:
    """Return the vectors of all words of a corpus: the sums of both tables' rows."""
    V, D = len(corpus.words), asked.dim
    with progress("counting", asked.progress) as say:
        chance = _chance(asked, 0, _FILES)
        pairs = count_pairs(corpus, asked.window, asked.memory, chance, say)
    try:
        if not pairs.size:
            raise ValueError("there is nothing to train on: no two words stand near each other in one text")
        tables = [_table(asked, V, bias=side) for side in range(2)]
        optimizers = [make_optimizer(asked.learning_rate) for _ in tables]
        _train(pairs, tables, optimizers, asked)
    finally:
        pairs.close()
    return tables[0][:, :D] + tables[1][:, :D]


def make_optimizer(rate: float) -> Adagrad:
    """Return the optimizer of a table.

    GloVe's program multiplies gradients by the rate before it squares them, and its sums begin at one: rate · g /
    √(1 + Σ (rate · g)²) is g / √(1 / rate² + Σ g²).
    """
    return Adagrad(1.0, initial_accumulator_value=max(rate, _LEAST_RATE) ** -2)


def _chance(asked: Training, epoch: int, use: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int(seed_of(asked.seed, epoch, use))))


def _table(asked: Training, V: int, bias: int) -> Table:
    """Return a table by chance: vectors, and two columns of which one is the bias, the other ones."""
    D = asked.dim
    table = (_chance(asked, bias, _INIT).random((V, D + 2), np.float32) - np.float32(0.5)) / np.float32(D)
    table[:, D + 1 - bias] = 1
    return table


def _train(pairs: Shuffled, tables: list[Table], optimizers: list[Adagrad], asked: Training) -> None:
    whole, done, begun = asked.epochs * pairs.size, 0, time.perf_counter()
    with progress("training", asked.progress) as say:
        for epoch in range(asked.epochs):
            for some in pairs.epoch(_chance(asked, epoch, _ORDER)):
                for start, stop in pairwise([*range(0, some.size, STEP), some.size]):
                    step(some[start:stop], tables, optimizers, asked.x_max)
                    done += stop - start
                    say(state(done, whole, time.perf_counter() - begun, "pairs"))


def step(pairs: Pairs, tables: list[Table], optimizers: list[Adagrad], x_max: float) -> None:
    """Change both tables by some pairs, each in both directions but where both words are one."""
    other = pairs[pairs["row"] != pairs["column"]]
    ids = np.concatenate([pairs["row"], other["column"]]), np.concatenate([pairs["column"], other["row"]])
    counts = np.concatenate([pairs["count"], other["count"]])
    left, right = (gather(table, one) for table, one in zip(tables, ids, strict=True))
    miss = np.einsum("nd,nd->n", left, right) - np.log(counts)
    weights = (np.minimum(counts, np.float64(x_max)) / x_max) ** POWER
    pull = (miss * weights.astype(np.float32))[:, np.newaxis]
    for side, (table, rows, optimizer) in enumerate(zip(tables, (right, left), optimizers, strict=True)):
        grad = rows * pull
        grad[:, table.shape[1] - 1 - side] = 0  # ones stay
        optimizer.step_from(table, ids[side], grad)
