"""Small calls of ``topk``, which have a kernel of their own: the bits and the words of the general road."""

import functools

import arrays
import numpy as np
import pytest
from arrays import both_ways, lay, same_bits, same_but_nan
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import reference
from fastemb._cpu import search as room
from fastemb.search import topk

general_calls = functools.partial(arrays.general_calls, room, "topk")
METRICS = ["cosine", "dot", "l2"]


def draw(seed, Q, N, D, kind):
    """Return queries and vectors: random, of few values (many ties), or with strange numbers."""
    rng = np.random.default_rng(seed)
    queries, vectors = rng.standard_normal((Q, D), np.float32), rng.standard_normal((N, D), np.float32)
    if kind == "ties":
        queries, vectors = np.round(queries), np.round(vectors)
    if kind == "strange":
        strange = np.array([np.nan, np.inf, -np.inf, 3e38, 1e-42, 1e-30, 1e25, 0.0], "f4")
        for array in (queries, vectors):
            with np.errstate(all="ignore"):
                array[rng.random(len(array)) < 0.3] *= rng.choice(strange)
            hit = rng.random(array.shape) < 0.02
            array[hit] = rng.choice(strange, hit.sum())
        vectors[rng.random(N) < 0.1] = 0
    return queries, vectors


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(METRICS), st.integers(0, 12), st.integers(1, 260), st.integers(1, 80), st.integers(1, 300),
    st.sampled_from(["random", "ties", "strange"]), st.integers(0, 2**32),
)  # fmt: skip
def test_the_general_roads_bits(metric, Q, N, D, k, kind, seed):
    """No queries stand for one of one axis."""
    queries, vectors = draw(seed, max(Q, 1), N, D, kind)
    asked, k = queries if Q else queries[0], min(k, N)
    before = queries.tobytes(), vectors.tobytes()
    with np.errstate(all="ignore"):
        small, general = both_ways(room, "topk", lambda: topk(asked, vectors, k, metric=metric))
    assert same_but_nan(small[0], general[0])
    assert same_bits(small[1], general[1])
    assert (queries.tobytes(), vectors.tobytes()) == before
    if kind != "strange":
        with np.errstate(all="ignore"):
            law = reference.topk(asked, vectors, k, metric)
        np.testing.assert_allclose(np.atleast_2d(small[0]), law[0], rtol=1e-6, atol=1e-6)


@pytest.fixture
def plain():
    """Return the arguments of a small call."""
    queries, vectors = draw(3, 3, 50, 24, "random")
    return {"queries": queries, "vectors": vectors, "k": 5}


@pytest.mark.parametrize("what", ["queries", "vectors"])
@pytest.mark.parametrize(
    "layout", ["read-only", "rows apart", "reversed", "strided", "fortran", "misaligned", "swapped"]
)
def test_layouts_that_are_not_small(plain, what, layout):
    expected = topk(**plain)
    with general_calls() as seen:
        got = topk(**plain | {what: lay(plain[what], layout)})
    assert len(seen) == 1
    assert all(same_bits(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {"k": np.int64(5)}, {"queries": np.ones((13, 24), "f4")}, {"queries": np.ones((3, 24))},
        {"vectors": np.ones((50, 24), "f2")}, {"queries": np.ones((0, 24), "f4")},
        {"queries": np.ones((3, 0), "f4"), "vectors": np.ones((50, 0), "f4")},
    ],
    ids=["k of NumPy", "13 queries", "float64", "float16", "no queries", "no columns"],
)  # fmt: skip
def test_calls_that_are_not_small(plain, options):
    with general_calls() as seen:
        topk(**plain | options)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"k": 0}, ValueError, "k must be from 1"),
        ({"k": 51}, ValueError, "number of vectors, 50, got 51"),
        ({"k": True}, TypeError, "k must be an integer"),
        ({"k": 2.0}, TypeError, "k must be an integer"),
        ({"metric": "l1"}, ValueError, "metric must be one of"),
        ({"metric": ["dot"]}, ValueError, "metric must be one of"),
        ({"queries": np.ones((3, 23), "f4")}, ValueError, "the same D"),
        ({"queries": np.ones((1, 3, 24), "f4")}, ValueError, r"queries must have shape \(Q, D\)"),
        ({"vectors": np.ones(24, "f4")}, ValueError, r"vectors must have shape \(N, D\)"),
        ({"queries": [[1.0] * 24]}, TypeError, "queries"),
        ({"queries": np.array(1.0, "f4")}, ValueError, "queries"),
    ],
    ids=str,
)
def test_the_general_road_says_errors(plain, options, error, words):
    with pytest.raises(error, match=words):
        topk(**plain | options)


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_calls_are_no_longer_small(more):
    vectors = np.ones(((room._SMALL_BYTES >> 8) + more, 64), np.float32)
    with general_calls() as seen:
        topk(vectors[0], vectors, 3)
    assert len(seen) == more


def test_eight_callers_at_once():
    jobs = [(*draw(seed, 2, 90, 40, "ties"), 7) for seed in range(80)]
    expected = [topk(*job) for job in jobs]
    for got, wanted in zip(arrays.by_eight_callers(topk, jobs), expected, strict=True):
        assert all(same_bits(a, b) for a, b in zip(got, wanted, strict=True))
