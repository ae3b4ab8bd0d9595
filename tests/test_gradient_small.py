"""Small calls of ``row_grad`` and ``scatter_add``, which share a kernel: the bits and the words of the general road."""

import functools

import arrays
import numpy as np
import pytest
from arrays import both_ways, lay, same_bits, same_but_nan
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import reference
from fastemb._cpu import gradient as room
from fastemb.gradient import row_grad, scatter_add
from fastemb.ragged import Ragged

general_calls = functools.partial(arrays.general_calls, room, "row_grad", "scatter_add")


def draw(seed, shape, D, high, id_dtype):
    """Return ids below ``high`` and a row of float32 for each, a few of them strange."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, high, shape).astype(id_dtype)
    rows = rng.standard_normal((*shape, D), np.float32)
    rows[rng.random(rows.shape) < 0.01] = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0, 1e-42, 3e38], "f4"))
    return ids, rows


SHAPES = st.lists(st.integers(1, 7), max_size=3) | st.lists(st.integers(1, 700), min_size=1, max_size=1)
DRAWN = SHAPES, st.integers(1, 90), st.sampled_from([1, 2, 5, 1000, 2**31 - 1]), st.sampled_from(["i4", "i8"])
SEED = st.integers(0, 2**32)


@settings(max_examples=300, deadline=None)
@given(*DRAWN, st.booleans(), st.sampled_from([None, 0, 1, -1, 2**70, -(2**70)]), SEED)
def test_the_general_roads_gradients(shape, D, high, id_dtype, by_count, padding_idx, seed):
    ids, grad = draw(seed, shape, D, high, id_dtype)
    before, options = grad.tobytes(), {"scale_grad_by_freq": by_count, "padding_idx": padding_idx}
    small, general = both_ways(room, "row_grad", lambda: row_grad(ids, grad, **options))
    assert same_bits(small.ids, general.ids)
    assert same_but_nan(small.rows, general.rows)
    assert all(array.flags.owndata and array.flags.writeable for array in small)
    assert grad.tobytes() == before
    with np.errstate(all="ignore"):
        law = reference.row_grad(ids, grad, **options)
    assert same_bits(small.ids, law[0])
    assert same_but_nan(small.rows, law[1])


@settings(max_examples=300, deadline=None)
@given(*DRAWN, st.sampled_from([1.0, -0.1, 0.0, float("inf"), 1e-300]), SEED)
def test_the_general_roads_additions(shape, D, high, id_dtype, alpha, seed):
    high = min(high, 1000)
    ids, rows = draw(seed, shape, D, high, id_dtype)
    target = np.random.default_rng(seed).standard_normal((high, D), np.float32)
    before = rows.tobytes(), ids.tobytes()
    small, general = both_ways(room, "scatter_add", lambda: scatter_add(target.copy(), ids, rows, alpha=alpha))
    assert same_but_nan(small, general)
    assert (rows.tobytes(), ids.tobytes()) == before
    with np.errstate(all="ignore"):
        law = reference.scatter_add(target.copy(), ids, rows, alpha=alpha)
    assert same_but_nan(small, law)
    assert scatter_add(target, ids, rows) is target


@pytest.fixture
def plain():
    """Return the arguments of a small call: target, ids, rows."""
    ids, rows = draw(5, (2, 4), 40, 9, "i8")
    return np.ones((9, 40), np.float32), ids, rows


@pytest.mark.parametrize(
    "layout", ["read-only", "rows apart", "reversed", "strided", "fortran", "misaligned", "swapped"]
)
def test_layouts_that_are_not_small(plain, layout):
    target, ids, rows = plain
    sums, added = row_grad(ids, rows), scatter_add(target.copy(), ids, rows)
    with general_calls() as seen:
        assert same_bits(row_grad(ids, lay(rows, layout)).rows, sums.rows)
        assert same_bits(scatter_add(target.copy(), ids, lay(rows, layout)), added)
        if layout != "read-only":
            other = lay(target, layout)
            assert np.array_equal(scatter_add(other, ids, rows), added)
    assert len(seen) == 2 + (layout != "read-only")


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 1}, {"alpha": np.float32(1)}, {"mode": "clip"}, {"ids": np.zeros((2, 4), "u1")},
        {"ids": [[0] * 4] * 2}, {"rows": np.zeros((2, 4, 40))}, {"target": np.zeros((9, 40))},
        {"target": np.zeros((9, 40, 1), "f4"), "rows": np.zeros((2, 4, 40, 1), "f4")},
        {"target": np.zeros((9, 0), "f4"), "rows": np.zeros((2, 4, 0), "f4")},
        {"ids": np.zeros((0, 4), int), "rows": np.zeros((0, 4, 40), "f4")},
        {"ids": Ragged.from_lists([[1, 2], [3]]), "rows": np.zeros((3, 40), "f4")},
    ],
    ids=str,
)  # fmt: skip
def test_calls_that_are_not_small(plain, options):
    target, ids, rows = plain
    with general_calls() as seen:
        scatter_add(**{"target": target, "ids": ids, "rows": rows} | options)
    assert len(seen) == 1


@pytest.mark.parametrize("options", [{"padding_idx": np.int64(1)}, {"scale_grad_by_freq": 1}], ids=str)
def test_gradients_that_are_not_small(plain, options):
    with general_calls() as seen:
        row_grad(*plain[1:], **options)
    assert len(seen) == 1


@pytest.mark.parametrize("far", [2**31, 2**62, 2**63 - 1])
def test_ids_too_far_apart_for_one_word(far):
    ids, grad = np.array([far, 0, far]), np.ones((3, 5), np.float32)
    with general_calls() as seen:
        found = row_grad(ids, grad)
    assert len(seen) == 1
    assert found.ids.tolist() == [0, far]
    assert found.rows[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ids": np.array([0, 9])}, IndexError, "id 9 at position 1"),
        ({"ids": np.array([0, -1])}, IndexError, "id -1 at position 1"),
        ({"ids": np.array([0, 2**31])}, IndexError, "id 2147483648 at position 1"),
        ({"rows": np.zeros((2, 39), "f4")}, ValueError, r"rows must have shape \(2, 40\)"),
        ({"rows": np.zeros((3, 40), "f4")}, ValueError, r"rows must have shape \(2, 40\)"),
        ({"rows": "target"}, ValueError, "target overlaps rows"),
        ({"alpha": "1"}, TypeError, "alpha"),
        ({"mode": "nearest"}, ValueError, "mode"),
        ({"rows": np.zeros((2, 40), int)}, TypeError, "rows"),
        ({"rows": [[1.0] * 40] * 2}, TypeError, "rows"),
        ({"ids": np.ones(2)}, TypeError, "ids"),
        ({"target": lay(np.zeros((9, 40), "f4"), "read-only")}, ValueError, "target is read-only"),
    ],
    ids=str,
)
def test_the_general_road_says_errors(options, error, words):
    target = np.ones((9, 40), np.float32)
    given = {"target": target, "ids": np.array([1, 2]), "rows": np.ones((2, 40), np.float32)} | options
    if isinstance(given["rows"], str):
        given["rows"] = target[1:3]
    with pytest.raises(error, match=words):
        scatter_add(**given)
    assert (target == 1).all()


@pytest.mark.parametrize("dtype", ["i4", "i8", np.longlong])
def test_ids_that_lie_in_the_target(dtype):
    """The first numbers of the target are the ids."""
    target = np.zeros((4, 4), np.float32)
    ids = target[0].view(dtype)[:2]
    ids[:] = [1, 2]
    before = target.tobytes()
    with pytest.raises(ValueError, match="target overlaps ids"):
        scatter_add(target, ids, np.ones((2, 4), np.float32))
    assert target.tobytes() == before


@pytest.mark.parametrize("ids", [[0, -1], [-(2**63), 0]])
def test_negative_ids(ids):
    with pytest.raises(IndexError, match=f"id {min(ids)} at position {ids.index(min(ids))} is negative"):
        row_grad(np.array(ids), np.ones((2, 3), np.float32))


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_calls_are_no_longer_small(more):
    ids = np.arange((room._SMALL_BYTES >> 8) + more)
    rows = np.ones((ids.size, 64), np.float32)
    with general_calls() as seen:
        row_grad(ids, rows)
        scatter_add(np.zeros_like(rows), ids, rows)
    assert len(seen) == 2 * more


def test_eight_callers_at_once():
    jobs = [draw(seed, (40,), 33, 50, "i4") for seed in range(80)]
    expected = [row_grad(*job) for job in jobs]
    for got, wanted in zip(arrays.by_eight_callers(row_grad, jobs), expected, strict=True):
        assert same_bits(got.ids, wanted.ids)
        assert same_but_nan(got.rows, wanted.rows)
