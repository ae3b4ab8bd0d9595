"""The nearest of a million vectors: topk against NumPy's product, argpartition and a sort of the k."""

from __future__ import annotations

import ctypes
import functools
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from fastemb.search import topk

from .measure import Measure

LARGE, SMALL, K = (1_000_000, 256), (1_000, 64), 10
UNTIMED_N = 20_000  # an ordinary test run needs no gigabyte
EXTRA_BYTES = 150 << 20  # what topk may need beside vectors and results

Found = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@functools.lru_cache(1)
def draw_vectors(count: int, D: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(1).random((count, D), np.float32)
    vectors -= 0.5
    return vectors


def openblas(action: str) -> Any:
    """Return a function of the OpenBLAS that NumPy loaded; None where it is another BLAS."""
    try:
        places = set(re.findall(r"/\S*openblas\S*\.so\S*", Path("/proc/self/maps").read_text()))
    except OSError:
        return None
    for place in places:
        for name in (f"scipy_openblas_{action}64_", f"scipy_openblas_{action}", f"openblas_{action}"):
            if hasattr(library := ctypes.CDLL(place), name):
                return getattr(library, name)
    return None


@pytest.fixture
def blas_threads() -> Iterator[str]:
    """Hold BLAS to one thread, for ours and for the rival; yield what is known of it."""
    get, put = openblas("get_num_threads"), openblas("set_num_threads")
    if get is None or put is None:
        yield "as the environment says"
        return
    before = get()
    put(1)
    yield "1"
    put(before)


def sorted_best(scores: npt.NDArray[np.float32]) -> Found:
    """Return the K highest scores of each row, and where they are."""
    ids = np.argpartition(scores, scores.shape[1] - K, axis=1)[:, -K:]
    best = np.take_along_axis(scores, ids, axis=1)
    order = np.argsort(-best, axis=1)
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(ids, order, axis=1)


def one_dot(query: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32]) -> Found:
    scores, ids = sorted_best((vectors @ query)[np.newaxis])
    return scores[0], ids[0]


def many_dots(queries: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32]) -> Found:
    return sorted_best(queries @ vectors.T)


def many_cosines(queries: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32]) -> Found:
    scores = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ vectors.T
    scores /= np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return sorted_best(scores)


def one_cosine(query: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32]) -> Found:
    scores, ids = many_cosines(query[np.newaxis], vectors)
    return scores[0], ids[0]


def agree(a: Found, b: Found) -> None:
    """Scores are the same but for rounding; so are the ids, but where rounding decides."""
    np.testing.assert_allclose(a[0], b[0], rtol=2e-5)
    assert np.mean(a[1] == b[1]) > 0.99


class Case(NamedTuple):
    """A search, NumPy's way of it, and what is asked."""

    metric: str
    Q: int
    size: tuple[int, int]
    rival: Callable[..., Found]
    asked: float


CASES = [
    Case("dot", 1, LARGE, one_dot, 1.15),
    Case("dot", 64, LARGE, many_dots, 2.0),
    Case("cosine", 64, LARGE, many_cosines, 2.0),
    Case("dot", 1, SMALL, one_dot, 1.15),
    Case("cosine", 1, SMALL, one_cosine, 1.15),
]


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["NumPy", "fastemb"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.metric}-{case.Q}-{case.size[0]}")
def test_topk(measure: Measure, blas_threads: str, case: Case, name: str) -> None:
    metric, Q, (N, D), rival, asked = case
    vectors = draw_vectors(N if measure.timed else min(N, UNTIMED_N), D)
    queries = np.random.default_rng(2).random((Q, D), np.float32) - np.float32(0.5)
    given = queries[0] if Q == 1 else queries
    calls = {
        "fastemb": functools.partial(topk, given, vectors, K, metric=metric),
        "NumPy": functools.partial(rival, given, vectors),
    }
    if name == "fastemb":
        calls[name]()  # compiles
        tracemalloc.start()
        calls[name]()
        extra = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert extra < EXTRA_BYTES
    measure(
        f"topk, {metric}",
        f"{Q} of {len(vectors):,} x {D} float32, k = {K}",
        calls,
        name,
        asked=asked,
        agree=agree,
        rounds=7 if case.size == LARGE else None,
        moved=vectors.nbytes + queries.nbytes + Q * K * 12,
        counts={"queries": Q},
        blas_threads=blas_threads,
    )
