"""By what words are drawn and kept: tables of chance, and the numbers that chance begins with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

POWER = 0.75  # of the counts that negatives are drawn by (Mikolov et al. 2013)
_MOST = 2**32 - 1


def alias_table(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.uint32]:
    """Return Vose's table (1991) for drawing by weights with one number: of each place a threshold, and another word.

    A place is drawn, then 32 bits: below the threshold it is the place's own word, else the other.
    """
    V = weights.size
    share = weights * (V / weights.sum())
    table = np.empty((V, 2), np.uint32)
    table[:, 0], table[:, 1] = _MOST, np.arange(V)
    small, large = np.flatnonzero(share < 1).tolist(), np.flatnonzero(share >= 1).tolist()
    left = share.tolist()
    while small and large:
        poor, rich = small.pop(), large[-1]
        table[poor] = min(_MOST, round(left[poor] * 2**32)), rich
        left[rich] -= 1 - left[poor]
        if left[rich] < 1:
            small.append(large.pop())
    return table


def keep_thresholds(counts: npt.NDArray[np.int64], sample: float) -> npt.NDArray[np.uint32]:
    """Return what 32 bits of chance may be at most for a word to be kept.

    A word whose share of all is f is kept with probability sqrt(s / f) + s / f, as word2vec's program has it (its
    paper: sqrt(s / f)); with ``sample`` 0 all are.
    """
    if not sample:
        return np.full(counts.size, _MOST, np.uint32)
    ratio = min(sample, 1.0) * (counts.sum() / counts)  # 1 keeps all already
    kept: npt.NDArray[np.uint32] = np.minimum((np.sqrt(ratio) + ratio) * 2**32, _MOST).astype(np.uint32)
    return kept


def seed_of(seed: int, epoch: int, use: int) -> np.uint64:
    """Return where the counters of an epoch begin, for one of its uses."""
    return np.uint64(np.random.SeedSequence((seed, epoch, use)).generate_state(1, np.uint64)[0])
