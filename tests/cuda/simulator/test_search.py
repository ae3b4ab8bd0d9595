"""topk on the device: scores and ids of the oracle, to the bit."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import on_device, on_host, run

import fastemb
from fastemb import _frameworks, reference
from fastemb._cuda import launch, search

DTYPES = ["f8", "f4", "f2", ml_dtypes.bfloat16, "i1"]
METRICS = ["cosine", "dot", "l2"]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Blocks of 32 keys and of 16 threads: each is one of Python's, and waits for the others time and again."""
    assert launch.driver.threads == 64  # and the driver is open
    monkeypatch.setattr(launch.driver, "threads", 16)
    monkeypatch.setattr(search, "_PAIRS", 1)


def assert_same(found, wanted):
    assert [part.dtype for part in found] == [np.float32, np.int64]
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[0], wanted[0])  # NaN equals NaN here


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_equals_reference(data):
    """Small integers, in which everything is exact and ties abound, and a little of what is not finite."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    D, N, Q = (
        data.draw(st.sampled_from([0, 1, 5, 16, 23, 39])),
        data.draw(st.integers(1, 40)),
        data.draw(st.integers(0, 3)),
    )
    k = data.draw(st.integers(1, N))

    def rows(count, dtypes):
        x, dtype = rng.integers(-2, 3, (count, D)).astype("f8"), data.draw(st.sampled_from(dtypes))
        if np.dtype(dtype).kind != "i" and data.draw(st.booleans()):
            x[rng.random((count, D)) < 0.05] = rng.choice([np.nan, np.inf, -np.inf, -0.0])
        x = x.astype(dtype)
        return np.repeat(x, 2, axis=data.draw(st.integers(0, 1)))[:count, :D] if data.draw(st.booleans()) else x

    queries, vectors, metric = rows(Q, DTYPES[:4]), rows(N, DTYPES), data.draw(st.sampled_from(METRICS))
    found = run(fastemb.topk, queries, vectors, k, metric=metric, launches=4 if Q else 0)
    assert_same(found, reference.topk(queries, vectors, k, metric))


@pytest.mark.parametrize("metric", METRICS)
def test_random_numbers_and_one_query(metric):
    rng = np.random.default_rng(1)
    for N, D, k in ((40, 37, 16), (70, 20, 3)):
        queries, vectors = rng.standard_normal(D).astype("f4"), rng.standard_normal((N, D)).astype("f4")
        vectors[3] = vectors[35] = queries
        scores, ids = run(fastemb.topk, queries, vectors, k, metric=metric)
        assert scores.shape == (k,)
        assert_same((scores[None], ids[None]), reference.topk(queries, vectors, k, metric))


@pytest.mark.parametrize("k", [17, 70])
def test_many_are_sorted_as_a_whole(k):
    rng = np.random.default_rng(2)
    queries, vectors = rng.integers(-3, 4, (1, 3)).astype("f4"), rng.integers(-3, 4, (70, 3)).astype("f4")
    vectors[5] = np.nan
    assert_same(run(fastemb.topk, queries, vectors, k), reference.topk(queries, vectors, k))


def test_keys_of_few_queries_at_once(monkeypatch):
    monkeypatch.setattr(search, "_SCRATCH_BYTES", 1)
    queries, vectors = np.eye(3, dtype="f4"), np.eye(4, 3, dtype="f2")
    assert_same(run(fastemb.topk, queries, vectors, 2, launches=10), reference.topk(queries, vectors, 2))


def test_cosines_of_what_is_tiny_or_huge():
    base = np.random.default_rng(3).standard_normal((4, 20))
    vectors = np.concatenate([base * 1e-300, base * 1e300, base * 0, base])
    for queries in (base[:2], base[:1] * 1e-200, base[:1] * 1e250, 0 * base[:1]):
        assert_same(run(fastemb.topk, queries, vectors, 16), reference.topk(queries, vectors, 16))


@pytest.mark.parametrize(("bits", "metric"), [(8, "cosine"), (4, "dot"), (4, "l2")])
def test_codes_score_as_the_numbers_they_stand_for(bits, metric):
    rng = np.random.default_rng(4)
    x, queries = rng.standard_normal((9, 21)).astype("f4"), rng.standard_normal((2, 21)).astype("f4")
    codes, scale, offset = reference.quantize(x, bits)
    both = codes if bits == 8 else codes[:, 0::2] | np.pad(codes[:, 1::2], ((0, 0), (0, 1))) << 4
    table = fastemb.QuantizedTable(*on_device((both, scale, offset)), (9, 21), bits)
    found = on_host(fastemb.topk(on_device(queries), table, 5, metric=metric))
    assert_same(found, reference.topk(queries, reference.dequantize(codes, scale, offset), 5, metric))


class Rough:
    """A framework's product that errs as much as float32 allows, in either direction."""

    def __init__(self):
        self.asked = []

    def __call__(self, framework, a, b):
        x, y = a.owner._ary.astype("f8"), on_host(b.owner).astype("f8")
        y = y if y.shape == b.shape else y.T
        assert x.shape == a.shape
        assert y.shape == b.shape
        self.asked.append(x.shape)
        exact = x @ y
        bound = 2.0**-24 * x.shape[1] * np.sqrt(np.square(x).sum(1)[:, None] * np.square(y).sum(0))
        off = np.random.default_rng(0).choice([-1, 1], exact.shape) * bound
        return framework.view(on_device((exact + off).astype("f4")), "")


@pytest.mark.parametrize("metric", METRICS)
def test_products_of_a_framework_only_rule_out(metric, monkeypatch):
    monkeypatch.setattr(launch.driver, "threads", 32)  # a warp
    rough = Rough()
    monkeypatch.setattr(type(_frameworks.of(on_device(np.zeros(1)))), "matmul", lambda *given: rough(*given))
    rng = np.random.default_rng(5)
    queries, vectors = rng.standard_normal((4, 24)).astype("f4"), rng.standard_normal((44, 24)).astype("f4")
    vectors[[3, 20, 21]] = queries[0]  # ties
    vectors[30:36] = queries[1] + 1e-7 * rng.standard_normal((6, 24)).astype("f4")
    vectors[7], vectors[8], vectors[9, 3], vectors[10] = 0, vectors[8] * 1e-30, np.nan, vectors[10] * 1e30
    queries[3] *= 1e-35
    found = run(fastemb.topk, queries, vectors, 5, metric=metric)
    assert rough.asked == [(4, 24)]
    assert_same(found, reference.topk(queries, vectors, 5, metric))


def test_few_are_scored_where_products_rule_out(monkeypatch):
    """Vectors that were ruled out are not read: in their place may stand anything once the products are made."""
    monkeypatch.setattr(launch.driver, "threads", 32)
    rng = np.random.default_rng(6)
    queries, vectors = rng.standard_normal((3, 20)).astype("f4"), rng.standard_normal((80, 20)).astype("f4")
    wanted, scored = reference.topk(queries, vectors, 2, "dot"), queries @ vectors.T
    held = on_device(vectors)

    def matmul(framework, a, b):
        far = scored < np.sort(scored, axis=1)[:, -2:-1] - 1e-2
        vectors[far.all(axis=0)] *= np.float32(-1)  # the same lengths; scores of the opposite sign
        norms = np.sqrt(np.square(queries.astype("f8")).sum(axis=1, keepdims=True))
        return framework.view(on_device((scored / norms).astype("f4")), "")

    monkeypatch.setattr(type(_frameworks.of(held)), "matmul", matmul)
    assert_same(on_host(fastemb.topk(on_device(queries), held, 2, metric="dot")), wanted)


def test_a_score_that_rounds_to_minus_zero_is_a_tie_with_zero():
    vectors = np.array([[-1e-60], [0.0], [1e-60], [-1.0]])
    found = run(fastemb.topk, np.ones((1, 1)), vectors, 4, metric="dot")
    assert_same(found, fastemb.topk(np.ones((1, 1)), vectors, 4, metric="dot"))
    assert found[1].tolist() == [[0, 1, 2, 3]]
