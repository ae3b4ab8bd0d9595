"""Small calls of ``rope``, which have a kernel of their own: the bits and the words of the general road."""

import functools

import arrays
import numpy as np
import pytest
from arrays import LAYOUTS, lay, same_bits, same_but_nan
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb._cpu import position as room
from fastemb.position import rope

general_calls = functools.partial(arrays.general_calls, room, "rope")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 100), st.integers(0, 4), st.booleans(),
    st.booleans(), st.integers(0, 2**32),
)  # fmt: skip
def test_the_general_roads_bits(lead, H, axes, interleaved, inverse, seed):
    """Positions by the last axis, or one for each part along the first ``axes`` axes."""
    rng = np.random.default_rng(seed)
    x, options = rng.standard_normal((*lead, 2 * H), np.float32), {"interleaved": interleaved, "inverse": inverse}
    x[rng.random(x.shape) < 0.02] = rng.choice(np.array([np.nan, np.inf, -0.0, 1e-42], "f4"))
    ids = None
    if axes < 4:
        kept = min(axes, len(lead))
        ids = rng.integers(0, 4096, lead[:kept] + [1] * (len(lead) - kept))
    with general_calls(most=-4) as seen:
        general = rope(x, ids, **options)  # makes the angles, too
    assert len(seen) == 1
    before = x.tobytes()
    with general_calls() as seen:
        small = rope(x, ids, **options)
    assert not seen
    assert same_but_nan(small, general)
    assert small.flags.c_contiguous
    assert not np.shares_memory(small, x)
    assert x.tobytes() == before


@pytest.fixture
def x():
    """Return rows whose cosines and sines are kept."""
    rows = np.random.default_rng(0).standard_normal((2, 3, 4, 40), np.float32)
    rope(rows)
    return rows


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "plain"])
def test_layouts_that_are_not_small(x, layout):
    expected = rope(x)
    with general_calls() as seen:
        got = rope(lay(x, layout))
    assert len(seen) == 1
    assert same_bits(got.astype(expected.dtype), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"position_ids": np.arange(4)}, {"position_ids": np.zeros((2, 1, 4), int)},
        {"position_ids": np.zeros((2, 1, 1), "i4")}, {"position_ids": [[[1]], [[2]]]},
        {"position_ids": np.full((2, 1, 1), 1 << 40)}, {"position_ids": np.full((2, 1, 1), -1)},
        {"position_ids": np.zeros((1, 3, 1), int)}, {"base": 10000}, {"base": 12345.0}, {"interleaved": 1},
        {"scale": 1}, {"scale": 3.0}, {"inv_freq": np.ones(20)}, {"inv_freq": [1.0] * 20},
        {"position_ids": np.ones((2, 1, 1))},
        {"out": np.empty((2, 3, 4, 40), "f4")},
    ],
    ids=", ".join,
)  # fmt: skip
def test_calls_that_are_not_small(x, options):
    room._kept.pop((12345.0, 20, 1.0, "f"), None)
    room._kept.pop((np.ones(20).tobytes(), 20, 1.0, "f"), None)
    room._kept.pop((10000.0, 20, 3.0, "f"), None)
    with general_calls() as seen:
        rope(x, **options)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"position_ids": np.zeros((3, 1, 1), int)}, ValueError, "must broadcast"),
        ({"position_ids": np.zeros((2, 3, 4, 1), int)}, ValueError, "must broadcast"),
        ({"position_ids": np.ones((2, 1, 1), bool)}, TypeError, "position_ids"),
        ({"scale": float("nan")}, ValueError, "scale must be finite"),
        ({"scale": "1"}, TypeError, "scale"),
        ({"inv_freq": np.ones(19)}, ValueError, r"inv_freq must have shape \(20,\)"),
        ({"inv_freq": np.full(20, np.inf)}, ValueError, r"inv_freq must be finite, got inv_freq\[0\] = inf"),
        ({"base": float("nan")}, ValueError, "base"),
        ({"base": "10000"}, TypeError, "base"),
    ],
)
def test_the_general_road_says_errors(x, options, error, words):
    with pytest.raises(error, match=words):
        rope(x, **options)


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_calls_are_no_longer_small(more):
    x = np.ones(((room._SMALL_BYTES >> 8) + more, 64), np.float32)
    rope(x)
    with general_calls() as seen:
        rope(x)
    assert len(seen) == more


def test_a_step_beyond_what_is_kept_takes_the_general_road_once(x):
    room._kept.clear()
    ids = np.full((2, 1, 1), 7)
    with general_calls() as seen:
        first, second = rope(x, ids), rope(x, ids)
    assert len(seen) == 1
    assert same_bits(first, second)


def test_a_models_own_frequencies(x):
    """A step of decoding, positions (B, T), with frequencies and a scale of a model."""
    given = {"position_ids": np.array([[7], [9]]), "inv_freq": np.linspace(1, 1e-3, 20), "scale": 1.25}
    with general_calls() as seen:
        first = rope(x, **given)  # makes the angles
        second = rope(x, **given)
        third = rope(x, **given | {"position_ids": given["position_ids"][:, np.newaxis]})
    assert len(seen) == 1
    assert same_bits(first, second)
    assert same_bits(first, third)
