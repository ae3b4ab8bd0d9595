"""k-means over vectors of length one, whose result is the same for any number of threads and any BLAS.

Lloyd's algorithm from centres chosen by k-means++ (Arthur and Vassilvitskii, 2007), each of them the best of some that
were drawn, as their paper proposes at its end. It stops where scikit-learn's does: no vector changes its cluster, or
the centres move by less than 1e-4 of the vectors' mean variance.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import fastemb

if TYPE_CHECKING:
    import numpy.typing as npt

    from .documents import Vectors

    Labels = npt.NDArray[np.int64]

BLOCK = 1 << 13  # vectors that are compared together
STEPS = 300  # at most
TOLERANCE = 1e-4

# Seeding sees multiples of 1 / GRID. Their products in units of that are integers whose sums stay below 2**24, by
# Cauchy and Schwarz: exact in float32, in any order of adding.
GRID = 2048


class Clusters(NamedTuple):
    """Where vectors belong."""

    labels: Labels  # (N,), of the nearest centre, from 0
    centers: Vectors  # (K, D), fewer than were asked for where fewer vectors differ
    inertia: float  # the sum of the squared distances from the nearest centre
    steps: int


def kmeans(vectors: Vectors, k: int, seed: int) -> Clusters:
    """Divide N vectors of length one into k clusters, at most N: fewer if fewer vectors differ by 1 / GRID or more."""
    centers = _seeds(vectors, k, np.random.default_rng(seed))
    enough = TOLERANCE * _mean_variance(vectors)
    labels = np.empty(0, np.int64)
    steps = 0
    while steps < STEPS:
        steps += 1
        before, labels = labels, _nearest(vectors, centers)
        old, centers = centers, _means(vectors, labels, centers)
        if np.array_equal(before, labels) or np.square(np.subtract(centers, old, dtype=np.float64)).sum() <= enough:
            break
    labels = _nearest(vectors, centers)
    return Clusters(labels, centers, float(_squares(vectors, centers, labels).sum()), steps)


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, start + BLOCK)


def _mean_variance(vectors: Vectors) -> float:
    """Return the mean variance of the columns."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    squares = sum(float(np.square(vectors[rows], dtype=np.float64).sum()) for rows in _blocks(len(vectors)))
    return (squares / len(vectors) - float(np.square(mean).sum())) / int(vectors.shape[1])


def _seeds(vectors: Vectors, k: int, random: np.random.Generator) -> Vectors:
    """Return k of the vectors: each is drawn by its squared distance from those before, the best of some such draws.

    They are fewer where all others are equal to one of them: of two equal centres one has an empty cluster, for which
    every step would find it another, up to the last.
    """
    trials = 2 + int(log(k))
    rows = [int(random.random() * len(vectors))]
    closest = _from_rows(vectors, rows)[:, 0]
    while len(rows) < k:
        ends = np.cumsum(closest, dtype=np.int64)
        if not ends[-1]:
            break
        drawn = np.searchsorted(ends, random.random(trials) * ends[-1], side="right")
        distances = np.minimum(_from_rows(vectors, drawn), closest[:, np.newaxis])
        best = int(distances.sum(axis=0, dtype=np.int64).argmin())
        rows.append(int(drawn[best]))
        closest = np.ascontiguousarray(distances[:, best])
    return vectors[rows]


def _from_rows(vectors: Vectors, rows: list[int] | Labels) -> npt.NDArray[np.int32]:
    """Return the squared distances of all vectors from some of them, on the grid."""
    found = _on_grid(vectors[np.asarray(rows)])
    distances = np.empty((len(vectors), len(found)), np.int32)
    for part in _blocks(len(vectors)):
        block = _on_grid(vectors[part])
        products = (block @ found.T).astype(np.int32)
        distances[part] = _lengths(block)[:, np.newaxis] + _lengths(found) - 2 * products
    return distances


def _on_grid(vectors: Vectors) -> Vectors:
    rounded: Vectors = np.rint(vectors * np.float32(GRID))
    return rounded


def _lengths(block: Vectors) -> npt.NDArray[np.int32]:
    squares: npt.NDArray[np.int32] = np.einsum("nd,nd->n", block, block).astype(np.int32)
    return squares


def _nearest(vectors: Vectors, centers: Vectors) -> Labels:
    """Return the nearest centre of each vector, of equal ones the first.

    By products in float32; where another centre is as near as their error is large, in float64 without BLAS.
    """
    doubles = centers.astype(np.float64)
    halves = np.einsum("kd,kd->k", doubles, doubles) / 2
    slack = np.float32(2 * (vectors.shape[1] + 8) * 2.0**-24)
    labels = np.empty(len(vectors), np.int64)
    for part in _blocks(len(vectors)):
        block = vectors[part]
        scores = block @ centers.T - halves.astype(np.float32)
        found = labels[part] = scores.argmax(axis=1)
        limits = np.take_along_axis(scores, found[:, np.newaxis], 1) - 2 * slack
        near = (np.count_nonzero(scores >= limits, axis=1) > 1).nonzero()[0]
        if near.size:
            labels[part][near] = (np.einsum("nd,kd->nk", block[near], doubles) - halves).argmax(axis=1)
    return labels


def _means(vectors: Vectors, labels: Labels, centers: Vectors) -> Vectors:
    """Return the mean vector of each cluster; of an empty one a vector that is far from its centre."""
    filled, sums = fastemb.row_grad(labels, vectors)
    means = np.empty_like(centers)
    means[filled] = sums / np.bincount(labels)[filled, np.newaxis]
    empty = np.setdiff1d(np.arange(len(centers)), filled)
    if empty.size:
        far = np.argsort(-_squares(vectors, centers, labels), kind="stable")[: empty.size]
        means[empty] = vectors[far]
    return means


def _squares(vectors: Vectors, centers: Vectors, labels: Labels) -> npt.NDArray[np.float64]:
    """Return the squared distance of each vector from its centre."""
    squares = np.empty(len(vectors))
    for part in _blocks(len(vectors)):
        apart = np.subtract(vectors[part], centers[labels[part]], dtype=np.float64)
        squares[part] = np.einsum("nd,nd->n", apart, apart)
    return squares
