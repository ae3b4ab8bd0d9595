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
from fastemb._cpu import small_embeds
from fastemb.embedding import LayerNorm, RMSNorm, embed, embed_backward
from fastemb.ragged import Ragged

general_calls = functools.partial(arrays.general_calls, room, "embed", path=small_embeds)


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
    small, general = both_ways(room, "embed", lambda: embed(table, ids, positions=positions, norm=norm), small_embeds)
    assert same_but_nan(small, general)
    assert type(small) is np.ndarray
    assert small.flags.writeable
    assert small.flags.c_contiguous
    assert (table.tobytes(), ids.tobytes()) == before
    if norm is None:
        assert same_but_nan(small, reference.embed(table, ids, positions=positions))


def draw_addends(rng, shape, D):
    """Return options of positions and segments: none, by default, or with ids of each of the shapes that are small."""
    options, T = {}, shape[-1]
    for name, rows in (("position", T + 2), ("segment", 2)):
        way = rng.integers(4)
        if way:
            options[f"{name}s"] = rng.standard_normal((rows, D), np.float32)
        if way > 1:
            whole = name == "segment" or way == 2
            size = shape if whole else [(T,), (1, T)][rng.integers(2) if len(shape) > 1 else 0]
            options[f"{name}_ids"] = rng.integers(0, rows, size)
    return options


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["rms", "layer", "no bias", None]), st.sampled_from(["i4", "i8"]), st.booleans(),
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 70), st.integers(1, 30),
    st.sampled_from([None, 0, 2, -1]), st.integers(0, 2**32),
)  # fmt: skip
def test_the_general_roads_bits_with_ids_of_addends_and_backward(
    kind, id_dtype, by_count, shape, D, V, padding_idx, seed
):
    rng = np.random.default_rng(seed)
    table, norm = rng.standard_normal((V, D), np.float32), draw_norm(rng, kind, D)
    table[rng.random((V, D)) < 0.005] = rng.choice(np.array([np.nan, np.inf, -0.0, 1e-42, 1e30], "f4"))
    ids, options = rng.integers(0, V, shape).astype(id_dtype), draw_addends(rng, shape, D)
    small, general = both_ways(room, "embed", lambda: embed(table, ids, norm=norm, **options), small_embeds)
    assert same_but_nan(small, general)
    grad = rng.standard_normal((*shape, D), np.float32)

    def backward():
        row, *others = embed_backward(
            grad, table, ids, norm=norm, padding_idx=padding_idx, scale_grad_by_freq=by_count, **options
        )
        return [*row, *others[:2], *(others[2] or ())]

    for one, other in zip(*both_ways(room, "embed_backward", backward, small_embeds), strict=True):
        assert (one is None) == (other is None)
        assert one is None or (one.dtype == other.dtype and same_but_nan(one, other))


def test_backwards_that_are_not_small(plain):
    """Rows beyond one piece behind a norm, a gradient of another kind: the general road, and its words."""
    calls = functools.partial(arrays.general_calls, room, "embed_backward")
    grad, many = np.ones((2, 4, 40), "f4"), np.zeros((65, 4), int)
    given = [
        (grad.astype("f8"), plain), (grad[:, ::-1], plain),
        (np.ones((65, 4, 40), "f4"), plain | {"ids": many}), (grad, plain | {"scale": 2.0}),
    ]  # fmt: skip
    for one, options in given:
        with calls() as seen:
            embed_backward(one, **options)
        assert len(seen) == 1
    with calls() as seen:
        embed_backward(np.ones((64, 4, 40), "f4"), **plain | {"ids": many[:64]})
    assert not seen
    with calls() as seen:
        embed_backward(np.ones((65, 4, 40), "f4"), **plain | {"ids": many, "norm": None})
    assert not seen
    for norm in (plain["norm"], None):
        for wrong, said in ((9, "9"), (-1, "-1"), (2**40, "1099511627776")):
            with pytest.raises(IndexError, match=rf"id {said} at position \(0, 1\)"):
                embed_backward(grad[:1, :2], **plain | {"ids": np.array([[0, wrong]]), "norm": norm, "padding_idx": 9})
        for name in ("position", "segment"):
            options = {f"{name}s": np.ones((2, 40), "f4"), f"{name}_ids": np.array([[0, 2]])}
            with pytest.raises(IndexError, match=rf"{name}.* 2 "):
                embed_backward(grad[:1, :2], **plain | {"ids": np.array([[0, 1]]), "norm": norm} | options)
    with pytest.raises(ValueError, match="grad must have shape"):
        embed_backward(grad[:1], **plain)


@pytest.fixture
def plain():
    """Return the arguments of a small call."""
    rng = np.random.default_rng(0)
    table, positions, weight, bias = (rng.standard_normal(shape, np.float32) for shape in ((9, 40), (4, 40), 40, 40))
    return {
        "table": table, "ids": rng.integers(0, 9, (2, 4)), "positions": positions, "norm": LayerNorm(weight, bias)
    }  # fmt: skip


@pytest.mark.parametrize("what", ["table", "positions", "ids"])
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "plain"])
def test_layouts_that_are_not_small(plain, what, layout):
    for call in (plain, plain | {"norm": None}):  # positions alone have a kernel of their own
        expected = embed(**call)
        with general_calls() as seen:
            got = embed(**call | {what: lay(plain[what], layout)})
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
        {"mode": "clip"}, {"scale": 2.0}, {"scale": 1}, {"segments": np.zeros((1, 40), "f8")},
        {"segments": np.zeros((1, 40), "f4"), "segment_ids": [0]},
        {"position_ids": np.arange(4, dtype="i4")}, {"position_ids": np.zeros((2, 1), int)},
        {"mask": np.ones((2, 4), bool)}, {"out": np.empty((2, 4, 40), "f4")},
        {"ids": np.zeros((2, 4), "u1")}, {"ids": [[0, 1]]}, {"ids": np.zeros((2, 0), int)},
        {"ids": Ragged.from_lists([[1, 2], [3]])},
    ],
    ids=", ".join,
)  # fmt: skip
def test_calls_that_are_not_small(plain, options):
    for call in (plain, plain | {"norm": None}):
        with general_calls() as seen:
            embed(**call | options)
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
        ({"position_ids": np.array([0, 1, 2, 4])}, IndexError, r"position id 4 at position 3 .* 4 rows"),
        ({"position_ids": np.array([0, 1, 2])}, ValueError, "position_ids must broadcast"),
        ({"ids": np.zeros(4, int), "position_ids": np.zeros((1, 4), int)}, ValueError, "position_ids must broadcast"),
        ({"positions": None, "position_ids": np.arange(4)}, ValueError, "position_ids go with positions"),
        ({"segment_ids": np.zeros((2, 4), int)}, ValueError, "segment_ids go with segments"),
        ({"segments": np.zeros((1, 39), "f4")}, ValueError, r"\(rows, 40\)"),
        ({"segments": np.zeros((0, 40), "f4")}, ValueError, "at least 1 row"),
        ({"segments": np.zeros((1, 40), "f4"), "segment_ids": np.eye(2, 4, dtype=int)}, IndexError, "segment id 1"),
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
    for norm in (plain["norm"], None):
        with pytest.raises(error, match=words):
            embed(**plain | {"norm": norm} | options)


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_calls_are_no_longer_small(more):
    table = np.ones((3, 64), np.float32)
    with general_calls() as seen:
        embed(table, np.zeros((1, (small_embeds._SMALL_BYTES >> 8) + more), int))
        embed(table, np.zeros(((small_embeds._SMALL_BYTES >> 8) + more, 1), int), positions=table)
    assert len(seen) == 2 * more
