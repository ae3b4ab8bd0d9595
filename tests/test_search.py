"""topk against its oracle, to the bit: scores are computed in float64 and rounded once, so ties are real ties."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from arrays import DTYPES, IN_LAYOUTS, NUMPY, by_eight_callers, lay, same_on_threads
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb._cpu import search
from fastemb.search import topk

METRICS = ["cosine", "dot", "l2"]

metrics = pytest.mark.parametrize("metric", METRICS)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)


def random_rows(count, D, dtype="f4", seed=0):
    return np.random.default_rng(seed).standard_normal((count, D)).astype(dtype)


def assert_same(result, expected):
    (scores, ids), (right_scores, right_ids) = result, expected
    assert scores.dtype == np.float32
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, right_ids)
    np.testing.assert_array_equal(scores, right_scores)  # NaN equals NaN here


def check(queries, vectors, k, metric, framework=NUMPY):
    queries, vectors = framework.held((queries, vectors))
    found = framework.back(topk(*framework.make((queries, vectors)), k, metric=metric))
    assert_same(found, reference.topk(queries, vectors, k, metric))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few vectors and of 32 queries."""
    monkeypatch.setattr(search, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(search, "_BLOCK_QUERIES", 32)


# Hypothesis ------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_equals_reference(framework, data):
    """Small integers, in which everything is exact and ties abound, and a little of what is not finite."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    D, N, Q = data.draw(st.integers(0, 40)), data.draw(st.integers(1, 200)), data.draw(st.integers(0, 40))
    span, odd = data.draw(st.integers(0, 3)), data.draw(st.booleans())
    k = data.draw(st.integers(1, N) | st.integers(1, max(1, N // 10)))

    def rows(count):
        x = rng.integers(-span, span + 1, (count, D)).astype("f8")
        if odd:
            x[rng.random((count, D)) < 0.02] = rng.choice([np.nan, np.inf, -np.inf, -0.0])
        return lay(x.astype(data.draw(st.sampled_from(DTYPES))), data.draw(st.sampled_from(IN_LAYOUTS)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_BLOCK_ROWS", data.draw(st.sampled_from([1, 13, 64, 8192])))
        patch.setattr(search, "_BLOCK_QUERIES", data.draw(st.sampled_from([16, 17, 256])))
        patch.setattr(search, "_FEW_QUERIES", data.draw(st.sampled_from([0, 3, 40])))
        patch.setattr(search, "_SPARSE", data.draw(st.sampled_from([1, 8])))
        queries, vectors = rows(Q), rows(N)
        for metric in METRICS:
            check(queries, vectors, k, metric, framework)


@metrics
@dtypes
@pytest.mark.parametrize("Q", [1, 3, 4, 17])
@pytest.mark.parametrize(("N", "D"), [(1500, 1), (1500, 37), (300, 256), (17, 1003)])
def test_random_rows(metric, dtype, Q, N, D):
    queries, vectors = random_rows(Q, D, "f4", 1), random_rows(N, D, dtype)
    for k in (1, 2, 10, N):
        if k <= N:
            check(queries, vectors, k, metric)


@metrics
@pytest.mark.parametrize("layout", IN_LAYOUTS)
@dtypes
def test_layouts(metric, layout, dtype):
    queries, vectors = random_rows(20, 19, dtype, 1), lay(random_rows(400, 19, dtype), layout)
    check(lay(queries, layout), vectors, 5, metric)
    check(queries[:2], vectors, 5, metric)


# What scores mean ------------------------------------------------------------------------------------------------


def test_shapes_and_meaning():
    vectors = np.array([[3, 4], [0, 0], [-1, 0], [6, 8]], "f4")
    scores, ids = topk(np.array([3, 4], "f4"), vectors, 4)
    assert scores.shape == ids.shape == (4,)
    assert ids.tolist() == [0, 3, 1, 2]
    assert scores.tolist() == [1, 1, 0, np.float32(-0.6)]
    scores, ids = topk(np.array([[3, 4]], "f4"), vectors, 2, metric="dot")
    assert (scores.tolist(), ids.tolist()) == ([[50, 25]], [[3, 0]])
    scores, ids = topk(np.array([[3, 4]], "f4"), vectors, 3, metric="l2")
    assert (scores.tolist(), ids.tolist()) == ([[0, 5, 5]], [[0, 1, 3]])  # distances, ties by id
    assert not np.signbit(scores).any()


@metrics
@pytest.mark.parametrize("Q", [1, 20])
def test_ties_everywhere(metric, Q, small_blocks):
    """Equal rows on both sides of the borders of blocks, with numbers that are not exact."""
    queries, rows = random_rows(Q, 33, "f4", 1), random_rows(5, 33)
    vectors = np.tile(rows, (60, 1))
    scores, ids = topk(queries, vectors, 7, metric=metric)
    first = ids[:, 0]
    assert (first < 5).all()
    assert (ids == first[:, np.newaxis] + 5 * np.arange(7)).all()
    assert (scores == scores[:, :1]).all()
    for n in (1, 299, 300):
        assert (topk(queries, np.tile(rows[0], (300, 1)), n, metric=metric)[1] == np.arange(n)).all()


@metrics
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("Q", [2, 20])
def test_nan_and_infinity(metric, dtype, Q):
    queries, vectors = random_rows(Q, 8, dtype, 1), random_rows(100, 8, dtype)
    vectors[[3, 50], 2], vectors[7, 1], vectors[9, 5] = np.nan, np.inf, -np.inf
    queries[1, 3] = np.nan
    check(queries, vectors, 100, metric)
    check(queries, vectors, 5, metric)
    scores, ids = topk(queries, vectors, 100, metric=metric)
    assert np.isnan(scores[0, -2:]).all()
    assert set(ids[0, -2:]) <= {3, 7, 9, 50}
    assert np.isnan(scores[1]).all()
    assert (ids[1] == np.arange(100)).all()
    queries[0, 0] = np.inf
    check(queries, vectors, 5, metric)
    check(queries, np.full((40, 8), np.nan, dtype), 4, metric)


def test_zero_vectors_score_zero():
    vectors = np.zeros((50, 6), "f4")
    vectors[10] = [-1, 0, 0, 0, 0, 0]
    vectors[20] = [1, 0, 0, 0, 0, 0]
    for Q in (1, 20):
        queries = np.tile(np.array([2, 0, 0, 0, 0, 0], "f4"), (Q, 1))
        scores, ids = topk(queries, vectors, 5)
        assert (ids == [20, 0, 1, 2, 3]).all()
        assert (scores == [1, 0, 0, 0, 0]).all()
        scores, ids = topk(queries, vectors, 50)
        assert (ids[:, -1] == 10).all()
        scores, ids = topk(np.zeros((Q, 6)), vectors, 4)
        assert (ids == np.arange(4)).all()
        assert (scores == 0).all()


@metrics
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("Q", [2, 20])
def test_the_ends_of_the_range(metric, dtype, Q):
    """Rows of every size a float has, subnormal and huge; float32 products of most of them mean nothing."""
    rng = np.random.default_rng(0)
    low, high = (-149, 127) if dtype == "f4" else (-1074, 1020) if metric == "cosine" else (-500, 480)
    queries, vectors = (
        np.ldexp(random_rows(count, 12, "f8", seed), rng.integers(low, high, (count, 1))).astype(dtype)
        for count, seed in ((Q, 1), (800, 2))
    )
    check(queries, vectors, 20, metric)
    check(queries, vectors, 799, metric)
    check(queries * 0 + 1, vectors, 20, metric)


@pytest.mark.parametrize("Q", [1, 20])
def test_close_vectors_far_from_the_origin(Q):
    """Float32 products err by more than all these distances; the scores must not."""
    rng = np.random.default_rng(0)
    vectors = (1000 + 0.001 * rng.standard_normal((2000, 24))).astype("f4")
    queries = vectors[:Q] + np.float32(0.0005)
    check(queries, vectors, 10, "l2")
    check(queries, vectors, 10, "cosine")
    scores, _ = topk(vectors[:Q], vectors, 1, metric="l2")
    assert (scores == 0).all()


@metrics
def test_every_vector_better_than_the_last(metric):
    vectors = np.linspace(1, 2, 3000)[:, np.newaxis] * np.ones(5)
    vectors[:, 0] = np.linspace(9, 2, 3000)
    check(np.full((20, 5), 2.0), vectors, 9, metric)


# A rough BLAS changes nothing ------------------------------------------------------------------------------------


@metrics
def test_products_only_rule_out(metric, monkeypatch):
    """Products off by as much as the bound of rounding errors allows give the same result, to the bit."""
    queries, vectors = random_rows(20, 256, "f4", 1), random_rows(3000, 256)
    expected = topk(queries, vectors, 10, metric=metric)
    rng = np.random.default_rng(2)
    scored = []
    real = np.matmul

    def rough(a, b, out):
        real(a, b, out=out)
        out *= 1 + 256 * 2.0**-24 * rng.uniform(-0.01, 0.01, out.shape).astype("f4")
        out += (np.linalg.norm(a, axis=1)[:, np.newaxis] * 256 * 2.0**-24 * rng.uniform(-0.9, 0.9, out.shape)).astype(
            "f4"
        )
        scored.append(len(a))

    monkeypatch.setattr(search.np, "matmul", rough)
    assert_same(topk(queries, vectors, 10, metric=metric), expected)
    assert sum(scored) == 3000


@metrics
@pytest.mark.parametrize("Q", [1, 20])
def test_few_vectors_are_scored_twice(metric, Q):
    """With products of the vectors, but rows in their place that would beat them all: who passed is found."""
    query, vectors = random_rows(1, 64, "f4", 1), random_rows(3000, 64)
    best = search._Best(np.repeat(query, Q, axis=0).astype("f8"), 50, search._METRICS[metric])
    bounds = search._Bounds(best, 3000)
    bounds.make(vectors)
    bounds.choose(vectors, 0)
    _, right = reference.topk(query, vectors, 60, metric)
    assert (np.sort(best.ids) == np.sort(right[:, :50])).all()
    bounds.choose(np.ascontiguousarray(np.broadcast_to(query * (1 if metric == "l2" else 1000), vectors.shape)), 5000)
    assert (best.ids >= 5000).any(axis=1).all()
    assert np.isin(best.ids % 5000, right).all()


# Threads and memory ----------------------------------------------------------------------------------------------


@metrics
@dtypes
@pytest.mark.parametrize(("Q", "k"), [(1, 10), (3, 1000), (40, 10)])
def test_threads_give_the_same_bits(metric, dtype, Q, k, small_grain):
    queries, vectors = random_rows(Q, 40, dtype, 1), random_rows(2000, 40, dtype)
    vectors[1000:] = vectors[:1000]  # ties across any cut
    found = same_on_threads(lambda: topk(queries, vectors, k, metric=metric))
    assert_same(found, reference.topk(queries, vectors, k, metric))


def test_blocks_change_nothing(monkeypatch):
    queries, vectors = random_rows(70, 40, "f4", 1), random_rows(3000, 40)
    expected = topk(queries, vectors, 10)
    for name, values in {"_BLOCK_ROWS": [1, 64, 1001], "_BLOCK_QUERIES": [1, 5, 33], "_FEW_QUERIES": [0, 70]}.items():
        for value in values:
            with monkeypatch.context() as patch:
                patch.setattr(search, name, value)
                assert_same(topk(queries, vectors, 10), expected)


def test_eight_callers_at_once(small_grain):
    vectors = random_rows(3000, 32)
    jobs = [random_rows(Q, 32, "f4", seed) for seed, Q in enumerate([1, 2, 20, 40] * 4)]
    found = by_eight_callers(lambda queries: topk(queries, vectors, 5, metric="dot"), [(queries,) for queries in jobs])
    for queries, result in zip(jobs, found, strict=True):
        assert_same(result, reference.topk(queries, vectors, 5, "dot"))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("layout", ["plain", "strided"])
@pytest.mark.parametrize("Q", [1, 64])
def test_memory(dtype, layout, Q):
    """A few MiB whatever N is: 100,000 x 64 scores alone would be 25."""
    vectors = lay(np.tile(random_rows(1000, 64, dtype), (100, 1)), layout)
    queries = random_rows(Q, 64, "f4", 1)
    topk(queries, vectors[:1000], 10)  # compiles
    tracemalloc.start()
    try:
        topk(queries, vectors, 10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_a_memory_map_is_read_in_place(tmp_path):
    vectors = np.memmap(tmp_path / "vectors", np.float16, "w+", shape=(2**16 + 5, 64))
    vectors[2**16 + 1, 3], vectors[5, 3] = 3, 2
    vectors.flush()
    there = np.memmap(tmp_path / "vectors", np.float16, "r", shape=vectors.shape)
    query = np.eye(64, dtype="f4")[3]
    assert topk(query, there, 2, metric="dot")[1].tolist() == [2**16 + 1, 5]
    assert (topk(np.tile(query, (20, 1)), there, 2, metric="dot")[1] == [2**16 + 1, 5]).all()


def test_inputs_are_left_alone():
    queries, vectors = random_rows(20, 16, "f8", 1), random_rows(300, 16, "f8")
    copies = queries.copy(), vectors.copy()
    for metric in METRICS:
        topk(queries, vectors, 3, metric=metric)
    assert (queries == copies[0]).all()
    assert (vectors == copies[1]).all()


# Nothing, and errors ---------------------------------------------------------------------------------------------


@metrics
def test_nothing_to_compare(metric):
    vectors = random_rows(9, 5)
    scores, ids = topk(np.zeros((0, 5)), vectors, 4, metric=metric)
    assert (scores.shape, ids.shape, scores.dtype, ids.dtype) == ((0, 4), (0, 4), np.float32, np.int64)
    for Q in (1, 20):
        scores, ids = topk(np.zeros((Q, 0)), vectors[:, :0], 4, metric=metric)
        assert (scores == 0).all()
        assert (ids == np.arange(4)).all()
    for k in (0, 1, 4):
        with pytest.raises(ValueError, match=r"vectors must have at least one row to be found, got shape \(0, 5\)"):
            topk(np.zeros((2, 5)), vectors[:0], k, metric=metric)


class Tensor:
    def __dlpack__(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"queries": [[0.0] * 5]}, TypeError, "queries must be a numpy.ndarray.*got list"),
        ({"vectors": Tensor()}, TypeError, "queries is an array of NumPy and vectors one of"),
        ({"queries": np.ma.zeros((2, 5))}, TypeError, "queries is a masked array"),
        ({"queries": np.ones((2, 5), int)}, TypeError, "queries must have dtype float64, .* or bfloat16, got int64"),
        ({"vectors": np.ones((9, 5), "i2")}, TypeError, "vectors must have dtype float64, .* or int8, got int16"),
        ({"vectors": np.ones((9, 5), "g")}, TypeError, "vectors must have dtype .*got"),
        ({"vectors": np.ones((9, 5), bool)}, TypeError, "vectors must have dtype .*got bool"),
        ({"vectors": np.ones((9, 5), ml_dtypes.float8_e5m2)}, TypeError, "vectors must have dtype .*got float8"),
        ({"queries": np.ones((1, 2, 5))}, ValueError, r"queries must have shape \(Q, D\) or \(D,\), got \(1, 2, 5\)"),
        ({"vectors": np.ones(5)}, ValueError, r"vectors must have shape \(N, D\), got \(5,\)"),
        ({"queries": np.ones((2, 4))}, ValueError, r"the same D, got shapes \(2, 4\) and \(9, 5\)"),
        ({"queries": np.ones(4)}, ValueError, r"the same D, got shapes \(4,\) and \(9, 5\)"),
        ({"metric": "euclid"}, ValueError, "metric must be one of 'dot', 'cosine', 'l2', got 'euclid'"),
        ({"metric": ["dot"]}, ValueError, "metric must be one of .* got"),
        ({"k": True}, TypeError, "k must be an integer, got bool"),
        ({"k": np.True_}, TypeError, "k must be an integer, got bool"),
        ({"k": 2.0}, TypeError, "k must be an integer, got float"),
        ({"k": None}, TypeError, "k must be an integer, got None"),
        ({"k": 0}, ValueError, "k must be from 1 to the number of vectors, 9, got 0"),
        ({"k": -1}, ValueError, "k must be from 1 to the number of vectors, 9, got -1"),
        ({"k": 10}, ValueError, "k must be from 1 to the number of vectors, 9, got 10; give min.k, 9. for all"),
        ({"k": 2**70}, ValueError, "k must be from 1 to the number of vectors, 9, got"),
    ],
)
def test_refusals(change, error, words):
    given = {"queries": np.ones((2, 5), "f4"), "vectors": np.ones((9, 5), "f4"), "k": 3, "metric": "dot"} | change
    with pytest.raises(error, match=words):
        topk(given["queries"], given["vectors"], given["k"], metric=given["metric"])


@pytest.mark.parametrize("k", [np.int8(3), np.uint64(3), np.array(3)])
def test_k_of_other_integer_types(k):
    assert topk(np.ones(5), random_rows(9, 5), k)[0].shape == (3,)
