"""Vectors that are near to none before them, kept one after another: exact, in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import fastemb

if TYPE_CHECKING:
    import numpy.typing as npt

    from .documents import Vectors

BLOCK = 1 << 11  # vectors that are compared together
CHUNK = 1 << 15  # kept vectors that lie together: none is copied when more come


class Near(NamedTuple):
    """For each vector of a block the kept one that is nearest to it."""

    scores: Vectors  # (N,), of those that are as near as the threshold, else -inf
    places: npt.NDArray[np.int64]  # (N,), counted among the kept ones from 0; of those that are kept their own


class Kept:
    """The vectors that were kept: each has a cosine below the threshold with all kept before it.

    Cosines are those of `topk`: computed in float64 and rounded once, so that no answer depends on threads. A product
    in float32 comes first, and says which pairs of a block are looked at.
    """

    def __init__(self, threshold: float) -> None:
        self.size = 0
        self._threshold = np.float32(threshold)  # as scores are
        self._chunks: list[Vectors] = []

    def add(self, vectors: Vectors) -> Near:
        """Keep of some vectors, none of which is zero, those that are near to none before them."""
        parts = [self._add(vectors[start : start + BLOCK]) for start in range(0, len(vectors), BLOCK)]
        return Near(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _add(self, block: Vectors) -> Near:
        scores, places = self._nearest(block)
        kept = scores < self._threshold
        slack = (block.shape[1] + 8) * np.float32(2.0**-23)  # what float32 errs by at most, in any order of adding
        close = np.tril(block @ block.T >= self._threshold - slack, -1)
        for row in close.any(axis=1).nonzero()[0]:
            before = (close[row] & kept).nonzero()[0]
            if before.size:
                (score,), (nearest,) = fastemb.topk(block[row], block[before], 1)
                if score >= self._threshold and score > scores[row]:
                    kept[row] = False
                    scores[row], places[row] = score, self.size + np.count_nonzero(kept[: before[nearest]])
        places[kept] = self.size + np.arange(np.count_nonzero(kept))
        scores[kept] = -np.inf
        self._keep(block[kept])
        return Near(scores, places)

    def _nearest(self, block: Vectors) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """Return the highest cosine of each vector with one that was kept, and which that is."""
        scores, places = np.full(len(block), -np.inf, np.float32), np.zeros(len(block), np.int64)
        for number, chunk in enumerate(self._chunks):
            rows = chunk[: self.size - number * CHUNK]
            found, ids = (part[:, 0] for part in fastemb.topk(block, rows, 1))
            higher = found > scores
            scores[higher], places[higher] = found[higher], ids[higher] + number * CHUNK
        return scores, places

    def _keep(self, vectors: Vectors) -> None:
        while len(vectors):
            used = self.size % CHUNK
            if not used:
                self._chunks.append(np.empty((CHUNK, vectors.shape[1]), np.float32))
            some = vectors[: CHUNK - used]
            self._chunks[-1][used : used + len(some)] = some
            self.size += len(some)
            vectors = vectors[len(some) :]
