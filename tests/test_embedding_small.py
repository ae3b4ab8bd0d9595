"""Small calls of ``embed``, which have a kernel of their own: the bits and the words of the general road."""

import functools

import arrays
import numpy as np
import pytest
from arrays import LAYOUTS, both_ways, lay, same_bits, same_but_nan
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import reference
from fastemb._cpu import embedding as room
from fastemb.embedding import LayerNorm, RMSNorm, embed
from fastemb.ragged import Ragged

general_calls = functools.partial(arrays.general_calls, room, "embed")


def draw_norm(rng, kind, D):
    """Return a norm of random weights."""
    weight, bias = rng.standard_normal((2, D), np.float32)
    if kind == "rms":
        return RMSNorm(weight)
    return {None: None, "layer": LayerNorm(weight, bias, 1e-12), "no bias": LayerNorm(weight)}[kind]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([None, "rms", "layer", "no bias"]), st.booleans(), st.sampled_from(["i4", "i8"]),
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 200), st.integers(1, 100),
    st.sampled_from([0, 0, 100]), st.integers(0, 2**32),
)  # fmt: skip
def test_the_general_roads_bits(kind, positioned, id_dtype, shape, D, V, offset, seed):
    rng = np.random.default_rng(seed)
    table, norm = rng.standard_normal((V, D), np.float32) + np.float32(offset), draw_norm(rng, kind, D)
    table[rng.random((V, D)) < 0.005] = rng.choice(np.array([np.nan, np.inf, -0.0, 1e-42, 1e30], "f4"))
    positions = rng.standard_normal((shape[-1] + rng.integers(3), D), np.float32) if positioned else None
    ids = rng.integers(0, V, shape).astype(id_dtype)
    before = table.tobytes(), ids.tobytes()
    small, general = both_ways(room, "embed", lambda: embed(table, ids, positions=positions, norm=norm))
    assert same_but_nan(small, general)
    assert type(small) is np.ndarray
    assert small.flags.writeable
    assert small.flags.c_contiguous
    assert (table.tobytes(), ids.tobytes()) == before
    if norm is None:
        assert same_but_nan(small, reference.embed(table, ids, positions=positions))


@pytest.fixture
def plain():
    """Return the arguments of a small call."""
    rng = np.random.default_rng(0)
    table, positions, weight, bias = (rng.standard_normal(shape, np.float32) for shape in ((9, 40), (4, 40), 40, 40))
    return {
        "table": table, "ids": rng.integers(0, 9, (2, 4)), "positions": positions, "norm": LayerNorm(weight, bias)
    }  # fmt: skip


@pytest.mark.parametrize("what", ["table", "positions"])
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "plain"])
def test_layouts_that_are_not_small(plain, what, layout):
    expected = embed(**plain)
    with general_calls() as seen:
        got = embed(**plain | {what: lay(plain[what], layout)})
    assert len(seen) == 1
    assert same_bits(got, expected)


def test_weights_that_are_not_small(plain):
    expected, norm = embed(**plain), plain["norm"]
    for other in (
        norm._replace(weight=lay(norm.weight[:, None], "strided")[:, 0]), norm._replace(bias=norm.bias.astype("f8")),
        norm._replace(weight=lay(norm.weight, "read-only")), norm._replace(eps=np.float64(norm.eps)),
    ):  # fmt: skip
        with general_calls() as seen:
            got = embed(**plain | {"norm": other})
        assert len(seen) == 1
        assert same_bits(got, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "clip"}, {"scale": 2.0}, {"scale": 1}, {"segments": np.zeros((1, 40), "f4")},
        {"position_ids": np.arange(4)}, {"out": np.empty((2, 4, 40), "f4")},
        {"ids": np.zeros((2, 4), "u1")}, {"ids": [[0, 1]]}, {"ids": np.zeros((2, 0), int)},
        {"ids": Ragged.from_lists([[1, 2], [3]])},
    ],
    ids=", ".join,
)  # fmt: skip
def test_calls_that_are_not_small(plain, options):
    with general_calls() as seen:
        embed(**plain | options)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ids": np.array([[0, 9]])}, IndexError, r"id 9 at position \(0, 1\)"),
        ({"ids": np.array([[0, -1]])}, IndexError, r"id -1 at position \(0, 1\)"),
        ({"ids": np.array(3)}, ValueError, "position_ids"),
        ({"ids": np.zeros((1, 5), int)}, ValueError, "at least 5 rows"),
        ({"positions": np.zeros((4, 39), "f4")}, ValueError, r"\(rows, 40\)"),
        ({"positions": np.zeros(40, "f4")}, ValueError, r"\(rows, 40\)"),
        ({"norm": LayerNorm(np.ones(39, "f4"))}, ValueError, "norm.weight"),
        ({"norm": LayerNorm(np.ones(40, "f4"), np.ones(41, "f4"))}, ValueError, "norm.bias"),
        ({"norm": LayerNorm(np.ones(40, "f4"), eps=-1.0)}, ValueError, "norm.eps"),
        ({"norm": LayerNorm(np.ones(40, "f4"), eps=float("nan"))}, ValueError, "norm.eps"),
        ({"norm": "layer"}, TypeError, "norm must be"),
        ({"mode": "nearest"}, ValueError, "mode"),
        ({"ids": np.ones((2, 4))}, TypeError, "ids"),
    ],
)
def test_the_general_road_says_errors(plain, options, error, words):
    with pytest.raises(error, match=words):
        embed(**plain | options)


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_calls_are_no_longer_small(more):
    table = np.ones((3, 64), np.float32)
    with general_calls() as seen:
        embed(table, np.zeros((1, (room._SMALL_BYTES >> 8) + more), int))
    assert len(seen) == more
