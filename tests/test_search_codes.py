"""``topk`` over codes and int8: the bits of the same search over the numbers they stand for."""

import tracemalloc

import numpy as np
import pytest
from arrays import by_eight_callers, on_threads, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb._cpu import search as room
from fastemb.quantized import quantize
from fastemb.search import topk

METRICS = ["cosine", "dot", "l2"]
KINDS = ["8 bits", "4 bits", "int8"]


def draw(seed, N, D, kind):
    """Return vectors of codes, and the float32 that they stand for."""
    rng = np.random.default_rng(seed)
    if kind == "int8":
        vectors = rng.integers(-128, 128, (N, D), np.int8)
        return vectors, vectors.astype(np.float32)
    table = quantize(rng.standard_normal((N, D), np.float32), int(kind[0]))
    return table, table.dequantize()


def same(a, b):
    return all(same_bits(*pair) for pair in zip(a, b, strict=True))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(METRICS), st.sampled_from(KINDS), st.sampled_from([1, 3, 14]), st.integers(1, 300),
    st.integers(1, 70), st.integers(1, 40), st.integers(0, 2**32),
)  # fmt: skip
def test_the_same_as_over_floats(metric, kind, Q, N, D, k, seed):
    vectors, numbers = draw(seed, N, D, kind)
    queries = np.random.default_rng(seed + 1).standard_normal((Q, D), np.float32)
    assert same(topk(queries, vectors, min(k, N), metric=metric), topk(queries, numbers, min(k, N), metric=metric))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("Q", [2, 20])
def test_many_blocks_and_threads(kind, Q, monkeypatch, small_grain):
    monkeypatch.setattr(room, "_BLOCK_ROWS", 100)
    vectors, numbers = draw(0, 1234, 33, kind)
    queries = np.random.default_rng(1).standard_normal((Q, 33))
    wanted = topk(queries, numbers, 9)
    for found in on_threads(lambda: topk(queries, vectors, 9)):
        assert same(found, wanted)
    for found in by_eight_callers(topk, [(queries, vectors, 9)] * 16):
        assert same(found, wanted)


def test_int8_of_any_layout():
    vectors, _ = draw(0, 60, 24, "int8")
    wanted = topk(np.ones(24, np.float32), vectors, 5)
    wide = np.zeros((120, 48), np.int8)
    wide[::2, ::2] = vectors
    for other in (np.asfortranarray(vectors), wide[::2, ::2], vectors[::-1].copy()[::-1]):
        assert same(topk(np.ones(24, np.float32), other, 5), wanted)


def test_codes_are_widened_block_by_block():
    vectors, _ = draw(0, 40_000, 64, "4 bits")
    query = np.ones(64, np.float32)
    topk(query, vectors, 3)
    tracemalloc.start()
    topk(query, vectors, 3)
    extra = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert extra < 3 << 20  # all of them would take 10 MB


@pytest.mark.parametrize(
    ("shape", "k", "words"),
    [((9, 5), 2, r"same D, got shapes \(4,\) and \(9, 5\)"), ((9, 4), 10, "number of vectors, 9, got 10")],
)
def test_refusals(shape, k, words):
    with pytest.raises(ValueError, match=words):
        topk(np.ones(4, np.float32), quantize(np.ones(shape, np.float32)), k)


def test_queries_are_floats():
    with pytest.raises(TypeError, match="queries"):
        topk(quantize(np.ones((2, 4), np.float32)), np.ones((9, 4), np.int8), 2)
    with pytest.raises(TypeError, match="queries must have dtype"):
        topk(np.ones((2, 4), np.int8), np.ones((9, 4), np.int8), 2)
