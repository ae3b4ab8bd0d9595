"""Small calls of ``pool_backward``, which take a way of their own: the bits and the words of the general road."""

import arrays
import numpy as np
import pytest
from arrays import LAYOUTS, lay, same_bits, same_but_nan
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb._cpu import pooling as room
from fastemb._cpu import small_pools
from fastemb.pooling import pool_backward

MODES = "sum", "mean", "mean_sqrt_len", "max"


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(MODES), st.integers(1, 5), st.integers(1, 20), st.integers(1, 40),
    st.sampled_from([None, "?", "i4", "i8"]), st.integers(0, 2**32),
)  # fmt: skip
def test_the_general_roads_bits(mode, B, T, D, mask_dtype, seed):
    rng = np.random.default_rng(seed)
    x, grad = rng.integers(-3, 3, (B, T, D)).astype("f4"), rng.standard_normal((B, D), np.float32)
    x[rng.random((B, T, D)) < 0.02] = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0], "f4"))  # many hold a maximum
    grad[rng.random((B, D)) < 0.05] = rng.choice(np.array([np.nan, np.inf, -0.0, 1e-42, 1e38], "f4"))
    mask = None if mask_dtype is None else rng.integers(0, 2, (B, T)).astype(mask_dtype)
    call = lambda: pool_backward(grad, x, mask, mode=mode)  # noqa: E731
    small, general = arrays.both_ways(room, "reduce_backward", call, small_pools)
    assert small.weights is None
    assert same_but_nan(small.x, general.x)
    assert small.x.flags.writeable
    assert not np.shares_memory(small.x, grad)


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_bytes_of_bools_and_numbers_of_masks(mode):
    x, grad = np.ones((1, 4, 3), "f4"), np.ones((1, 3), "f4")
    expected = pool_backward(grad, x, np.array([[1, 0, 1, 1]], bool), mode=mode).x
    strange = np.array([[2, 0, 255, 1]], np.uint8)
    assert same_bits(pool_backward(grad, x, strange.view(bool), mode=mode).x, expected)
    assert same_bits(pool_backward(grad, x, strange.astype("i4") * -7, mode=mode).x, expected)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "plain"])
@pytest.mark.parametrize("what", ["grad", "x", "mask"])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_layouts(mode, what, layout):
    rng = np.random.default_rng(1)
    given = {
        "grad": rng.standard_normal((3, 8), np.float32), "x": rng.standard_normal((3, 4, 8), np.float32),
        "mask": rng.integers(0, 2, (3, 4)), "mode": mode,
    }  # fmt: skip
    expected = pool_backward(**given).x
    assert same_bits(pool_backward(**given | {what: lay(given[what], layout)}).x, expected)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"grad": np.ones((2, 8), "f4")}, ValueError, "grad must have the shape of the result"),
        ({"grad": [[1.0] * 8] * 3}, TypeError, "grad"),
        ({"mask": np.ones((3, 5), int)}, ValueError, "mask must have shape"),
        ({"mask": np.ones((3, 4))}, TypeError, "mask must have dtype"),
        ({"mode": "median"}, ValueError, "mode"),
        ({"x": np.ones((3, 8), "f4")}, ValueError, "needs offsets"),
    ],
)
def test_the_general_road_says_errors(options, error, words):
    plain = {"grad": np.ones((3, 8), "f4"), "x": np.ones((3, 4, 8), "f4"), "mask": np.ones((3, 4), int)}
    with pytest.raises(error, match=words):
        pool_backward(**plain | options)
