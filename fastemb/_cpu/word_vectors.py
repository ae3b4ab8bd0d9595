"""The CPU's way with word vectors: two tables whose rows move towards each other, a block of words at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .arrays import address
from .kernels import skipgram as kernels

Rows = npt.NDArray[np.float32]
LINE = 16  # float32 numbers


def padded(rows: int, D: int) -> Rows:
    """Return rows of zeros, each from the start of a cache line on, and whole lines long."""
    width = -(-D // LINE) * LINE
    room = np.zeros((rows + 1) * width, np.float32)
    first = -(address(room) // 4) % LINE
    return room[first : first + rows * width].reshape(rows, width)


def _logistic() -> Rows:
    """Return the logistic function at all steps, and one step behind the last."""
    x = np.arange(-kernels.LIMIT * kernels.STEPS, kernels.LIMIT * kernels.STEPS + 2) / kernels.STEPS
    return (1 / (1 + np.exp(-x))).astype(np.float32)


class NegativeSampling:
    """Both tables of a model, and what a step works with.

    Attributes
    ----------
    inputs, outputs : ndarray of float32, shape (V, D)
        The vectors of words around, and of words to be found; zeros until others are put there.
    """

    def __init__(
        self, D: int, alias: npt.NDArray[np.uint32], window: int, negatives: int, shared: bool, by_mean: bool
    ) -> None:
        V = len(alias)
        around, drawn = 2 * window + 2, negatives + kernels.TILE
        tables, copies = (padded(V, D), padded(V, D)), (padded(around, D), padded(drawn, D))
        self.inputs, self.outputs = (table[:, :D] for table in tables)
        self._alive = tables, copies
        stride, width = tables[0].strides[0], tables[0].shape[1]
        inputs, outputs, x, y = map(address, (*tables, *copies))
        self._task = kernels.Task(inputs, outputs, stride, width, x, y, window, negatives, shared, by_mean)
        rows, targets = np.zeros(around, np.int64), np.zeros(drawn, np.int64)
        self._arrays = kernels.Arrays(alias, _logistic(), rows, targets, np.zeros(around * drawn, np.float32))
        self._kept = np.empty(0, np.int32)

    def train(
        self, ids: npt.NDArray[np.int32], keep: npt.NDArray[np.uint32], seeds: tuple[np.uint64, np.uint64], rate: float
    ) -> int:
        """Train on the words of a block that chance keeps; return how many these were."""
        if self._kept.size < ids.size + 2:
            self._kept = np.empty(ids.size + 2, np.int32)
        n = kernels.keep_words(ids, keep, seeds[0], self._kept)
        return int(kernels.train(self._task, self._arrays, self._kept, n, seeds[1], np.float32(rate)))
