"""The gradients of pools and bags: against finite differences, and to the bit where they are rounded once."""

from itertools import product

import numpy as np
import pytest
from arrays import DTYPES, ROWS_IN_LAYOUTS, copies, lay, rounded, same_but_nan, same_on_threads
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pooling_cases import WEIGHED, make_x, pool_calls

import fastemb.reference as reference
from fastemb._bags import MODES
from fastemb.pooling import embedding_bag, embedding_bag_backward, pool, pool_backward
from fastemb.ragged import Ragged

X = np.ones((2, 3, 4), np.float32)


def slopes(function, at, grad, step=1e-6):
    """Return the gradient of ``sum(grad * function())`` by ``at``, whose elements are changed in place."""
    found = np.zeros(at.shape)
    for place in np.ndindex(at.shape):
        old = at[place]
        at[place] = old + step
        above = (grad * function()).sum()
        at[place] = old - step
        found[place] = (above - (grad * function()).sum()) / (2 * step)
        at[place] = old
    return found


FORMS = {
    "all": {},
    "mask": {"mask": np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1]])},
    "lengths": {"lengths": np.array([2, 0, 3])},
    "offsets": {"offsets": np.array([0, 4, 4, 9])},
}
WAYS = [*product(MODES, [False]), *product(WEIGHED, [True])]


@pytest.mark.parametrize(("mode", "weighted"), WAYS)
@pytest.mark.parametrize("normal", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_pool_backward_is_the_slope(mode, weighted, normal, form):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((9, 4) if form == "offsets" else (3, 3, 4))
    options = {**FORMS[form], "mode": mode, "normalize": normal}
    if weighted:
        options["weights"] = rng.uniform(0.5, 2, x.shape[:-1])
    grad = rng.standard_normal(pool(x, **options).shape)
    result = pool_backward(grad, x, **options)
    np.testing.assert_allclose(result.x, slopes(lambda: pool(x, **options), x, grad), rtol=1e-6, atol=1e-8)
    by_x, by_weights = reference.pool_backward(grad, x, **options)
    np.testing.assert_allclose(result.x, by_x, rtol=1e-13, atol=1e-14)
    assert (result.x[by_x == 0] == 0).all()
    if not weighted:
        assert result.weights is None
        return
    np.testing.assert_allclose(result.weights, by_weights, rtol=1e-12, atol=1e-14)
    by_slope = slopes(lambda: pool(x, **options), options["weights"], grad)
    np.testing.assert_allclose(result.weights, by_slope, rtol=1e-6, atol=1e-8)


IDS = np.array([[3, 0, 3], [5, 5, 5], [1, 3, 0]])
BAGS = {
    "rows": {"ids": IDS},
    "mask": {"ids": np.where([[1, 1, 1], [0, 0, 0], [0, 1, 1]], IDS, -100), "mask": FORMS["mask"]["mask"]},
    "offsets": {"ids": IDS.reshape(-1), "offsets": np.array([0, 4, 4, 9])},
    "padding": {"ids": IDS, "padding_idx": 5},
    "both": {"ids": IDS, "mask": FORMS["mask"]["mask"], "padding_idx": 3},
}


@pytest.mark.parametrize(("mode", "weighted"), WAYS)
@pytest.mark.parametrize("normal", [False, True])
@pytest.mark.parametrize("form", BAGS)
def test_embedding_bag_backward_is_the_slope(mode, weighted, normal, form):
    rng = np.random.default_rng(2)
    table = rng.standard_normal((6, 4))
    options = {**BAGS[form], "mode": mode, "normalize": normal}
    ids = options["ids"]
    if weighted:
        options["weights"] = rng.uniform(0.5, 2, ids.shape)
    grad = rng.standard_normal(embedding_bag(table, **options).shape)
    result = embedding_bag_backward(grad, table, **options)
    kept = ids[(np.ones(ids.shape) if "mask" not in options else options["mask"]) != 0]
    kept = kept[kept != options.get("padding_idx")]
    if mode in ("cls", "last"):
        assert set(result.table.ids) <= set(kept)
    else:
        assert result.table.ids.tolist() == sorted(set(kept.tolist()))
    assert (np.diff(result.table.ids) > 0).all()
    assert result.table.ids.dtype == ids.dtype
    dense = np.zeros(table.shape)
    dense[result.table.ids] = result.table.rows
    np.testing.assert_allclose(
        dense, slopes(lambda: embedding_bag(table, **options), table, grad), rtol=1e-6, atol=1e-8
    )
    if weighted:
        by_slope = slopes(lambda: embedding_bag(table, **options), options["weights"], grad)
        np.testing.assert_allclose(result.weights, by_slope, rtol=1e-6, atol=1e-8)
        assert result.weights.shape == ids.shape
    else:
        assert result.weights is None


@settings(max_examples=150, deadline=None)
@given(pool_calls(["f8", "f4"]), st.booleans(), st.sampled_from(DTYPES))
def test_gradients_equal_reference(framework, call, normal, kind):
    x, options = framework.held(call)
    y = pool(x, **options)
    if normal:  # slopes of rows of nearly no length are all rounding
        exact = np.linalg.norm(reference.pool(np.array(x), **options, exact=True), axis=1)
        assume(((exact > 0.01) | ((exact == 0) & (y == 0).all(axis=1))).all())
    grad = make_x(y.shape, kind, 5)
    before = grad.tobytes(), x.tobytes(), copies(options)
    made = framework.make((grad, x, options))
    result = framework.back(pool_backward(*made[:2], **made[2], normalize=normal))
    native = x.dtype.newbyteorder("=")
    assert result.x.dtype == native
    assert result.x.shape == x.shape
    by_x, by_weights = reference.pool_backward(grad, np.array(x), **options, normalize=normal)
    steep = (1 + np.abs(by_x).max(initial=0)) * (100 if normal else 1)
    close = {"float64": 1e-12, "float32": 1e-5}[native.name]
    np.testing.assert_allclose(result.x, by_x, rtol=close, atol=close * steep)
    places = reference.slots_of_bags(x.shape[:-1], options.get("offsets"), options.get("mask"))
    if "lengths" in options:
        places = [those[:length] for those, length in zip(places, options["lengths"], strict=True)]
    rows = result.x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])
    lost = np.delete(rows, np.concatenate([[], *places]).astype(int), axis=0)
    assert not lost.any()
    if by_weights is not None:
        assert result.weights.dtype == ("f8" if native == "f8" else "f4")
        steep = (1 + np.abs(by_weights).max(initial=0)) * (100 if normal else 1)
        np.testing.assert_allclose(result.weights, by_weights, rtol=close, atol=close * steep)
    assert (grad.tobytes(), x.tobytes()) == before[:2]
    assert all((options[name] == old).all() for name, old in before[2].items())


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_rounded_once(dtype):
    x, lane = make_x((3, 4, 35), dtype), np.float64 if dtype == "f8" else np.float32
    grad = make_x((3, 35), "f8", 4)
    shared = grad.astype(lane)[:, np.newaxis]
    mask = np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 0, 0]])
    n = mask.sum(axis=1)[:, np.newaxis, np.newaxis]
    for mode, by in (("sum", 1), ("mean", n), ("mean_sqrt_len", np.sqrt(n))):
        expected = np.where(mask[..., np.newaxis], shared / np.asarray(by).astype(lane), lane(0))
        assert same_but_nan(pool_backward(grad, x, mask, mode=mode).x, rounded(expected, dtype))
    w = make_x((3, 4), "f8", 6) + 2
    expected = np.where(mask[..., np.newaxis], shared * w.astype(lane)[..., np.newaxis], lane(0))
    assert same_but_nan(pool_backward(grad, x, mask, mode="sum", weights=w).x, rounded(expected, dtype))


@pytest.mark.parametrize(("mode", "weighted"), WAYS)
@pytest.mark.parametrize("normal", [False, True])
def test_gradients_of_halves_are_those_of_singles_rounded(mode, weighted, normal):
    x, mask = make_x((3, 4, 35), "f2"), np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    options = {"mode": mode, "normalize": normal, "weights": make_x((3, 4), "f8", 6) + 2 if weighted else None}
    grad = make_x(pool(x, mask, **options).shape, "f2", 7)
    halves, singles = (pool_backward(grad, one, mask, **options) for one in (x, x.astype("f4")))
    assert same_but_nan(halves.x, rounded(singles.x, "f2"))
    assert not weighted or same_but_nan(halves.weights, singles.weights)


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_a_ragged_has_the_gradient_of_its_ids_and_offsets(mode):
    table, grad, offsets = make_x((6, 20), "f4"), make_x((3, 20), "f4", 1), [0, 4, 4, 9]
    ragged = embedding_bag_backward(grad, table, Ragged(IDS.reshape(-1), offsets), mode=mode).table
    flat = embedding_bag_backward(grad, table, IDS.reshape(-1), offsets, mode=mode).table
    assert ragged.ids.dtype == np.int32
    assert ragged.ids.tolist() == flat.ids.tolist()
    assert same_but_nan(ragged.rows, flat.rows)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_a_maximum_goes_to_the_first(dtype):
    nan = np.nan
    columns = [[1, 2, 2], [2, 1, 2], [2, 2, 2], [1, nan, 2], [nan, 1, nan], [1, 2, nan], [-0.0, 0, 0], [0, -0.0, 0]]
    columns += [[-np.inf] * 3, [np.inf, nan, nan]]
    first = [1, 0, 0, 1, 0, 2, 0, 0, 0, 1]
    x = np.tile(np.array(columns, dtype).T, (2, 1, 7))
    grad = np.arange(1.0, 141).reshape(2, 70)
    expected = np.where(np.arange(3)[:, np.newaxis] == np.tile(first, 7), grad[:, np.newaxis], 0)
    for layout in ("plain", "rows first"):
        there = lay(x, layout)
        assert same_but_nan(pool_backward(grad, there, mode="max").x, expected.astype(dtype))
        both = pool_backward(np.concatenate([3 * grad, grad], axis=1), there, mode="mean_max").x
        assert same_but_nan(both, rounded((expected + grad[:, np.newaxis]), dtype))
    bag = embedding_bag_backward(grad, x[0], [[0, 1, 2], [0, 1, 2]], mode="max").table
    assert (bag.rows == expected.sum(axis=0)).all()
    twice = embedding_bag_backward(grad[:1], x[0], [[1, 1]], mode="max").table  # the first place, not both
    assert (twice.rows == grad[0]).all()


@pytest.mark.parametrize("mode", MODES)
def test_no_length_no_gradient(mode):
    """A row of zeros was not scaled; nothing is divided by its length."""
    x = np.zeros((2, 3, 5))
    x[0] = [[1, 2, 3, 4, 5]] * 3
    for way in ({}, {"weights": np.ones((2, 3))}) if mode in WEIGHED else ({},):
        grad = np.ones(pool(x, mode=mode).shape)
        result = pool_backward(grad, x, mode=mode, normalize=True, **way)
        assert not result.x[1].any()
        assert result.x[0].any()
        table = embedding_bag_backward(grad[1:], x[1], [[0, 1, 2]], mode=mode, normalize=True).table
        assert not table.rows.any()


@pytest.mark.parametrize("mode", MODES)
def test_nan_is_not_hidden_by_normalize(mode):
    x = make_x((2, 3, 5), "f8")
    x[1] = np.nan
    result = pool_backward(np.ones(pool(x, mode=mode).shape), x, mode=mode, normalize=True).x
    assert np.isfinite(result[0]).all()
    assert np.isnan(result[1]).any()


def test_weights_without_a_sum_give_zeros():
    x, w = make_x((2, 2, 20), "f4"), np.array([[1.0, -1.0], [0.0, 0.0]])
    for normal in (False, True):
        assert not pool(x, weights=w, normalize=normal).any()
        result = pool_backward(np.ones((2, 20)), x, weights=w, normalize=normal)
        assert not result.x.any()
        assert not result.weights.any()
        assert result.weights.dtype == np.float32
        bag = embedding_bag_backward(np.ones((1, 20)), x[0], [[0, 1]], weights=w[:1], normalize=normal)
        assert not bag.table.rows.any()
        assert not bag.weights.any()
        assert bag.table.ids.tolist() == [0, 1]


def test_gradients_of_nothing():
    for mode in MODES:
        width = 8 if mode == "mean_max" else 4
        for shape, rows in (((2, 0, 4), 2), ((0, 3, 4), 0), ((2, 3, 0), 2)):
            grad = np.ones((rows, width if shape[2] else 0), "f4")
            assert pool_backward(grad, np.ones(shape, "f4"), mode=mode).x.shape == shape
        masked = pool_backward(np.ones((2, width)), np.full((2, 3, 4), np.nan), np.zeros((2, 3), bool), mode=mode)
        assert masked.x.tobytes() == bytes(8 * 24)
        for table in (np.ones((3, 4), "f4"), np.ones((0, 4), "f4")):
            none = embedding_bag_backward(np.ones((2, width), "f4"), table, [], [0, 0, 0], mode=mode).table
            assert none.ids.tolist() == []
            assert none.ids.dtype == np.int64
            assert none.rows.shape == (0, 4)


@pytest.mark.parametrize("kind", ["i1", "u2", "i4", "i8", "u8", ">i4"])
def test_the_ids_of_gradients_keep_their_type(kind):
    table = make_x((9, 17), "f4")
    result = embedding_bag_backward(np.ones((2, 17), "f4"), table, np.array([[7, 2], [7, 7]], kind), mode="sum")
    assert result.table.ids.dtype == kind
    assert result.table.ids.tolist() == [2, 7]
    assert result.table.rows[:, 0].tolist() == [1, 3]


@pytest.mark.parametrize("layout", [layout for layout in ROWS_IN_LAYOUTS if "repeated" not in layout])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_gradients_of_tables_of_every_layout(layout, mode):
    table = make_x((1, 9, 20), "f4")
    ids, w = np.array([[8, 2, 8], [0, 1, 2]], "i4"), np.arange(6.0).reshape(2, 3) if mode == "mean" else None
    grad = make_x((2, 20), "f4", 1)
    expected = embedding_bag_backward(grad, table[0].copy(), ids, mode=mode, weights=w, normalize=True)
    result = embedding_bag_backward(grad, lay(table, layout)[0], ids, mode=mode, weights=w, normalize=True)
    assert result.table.ids.tolist() == [0, 1, 2, 8]
    assert same_but_nan(result.table.ids, expected.table.ids)
    assert same_but_nan(result.table.rows, expected.table.rows)
    assert w is None or same_but_nan(result.weights, expected.weights)


@pytest.mark.parametrize("mode", ["mean", "max", "weighted_mean"])
def test_bag_gradients_have_the_same_bits_on_any_threads(mode, small_grain):
    table, rng = make_x((50, 40), "f4"), np.random.default_rng(6)
    ids, mask = rng.integers(0, 50, (90, 12)), rng.random((90, 12)) < 0.7
    w = rng.random((90, 12)) if mode == "mean" else None
    grad = make_x((90, 40), "f4", 7)
    options = {"mask": mask, "mode": mode, "weights": w, "normalize": True}
    assert np.isfinite(same_on_threads(lambda: embedding_bag_backward(grad, table, ids, **options)).table.rows).all()


def test_huge_gradients_overflow_in_silence():
    x, huge = np.full((1, 2, 3), 1e-30, "f4"), np.full((1, 3), 1e300)
    assert np.isinf(pool_backward(huge, x, mode="sum").x).all()
    assert np.isinf(pool_backward(np.full((1, 3), 1e30), x.astype("f2"), mode="sum").x).all()
    tiny = np.full((1, 2), 1e-20, "f4")
    assert np.isinf(pool_backward(np.full((1, 3), 1e25), x, weights=tiny / 1e10).x).all()
    steep = pool_backward(np.array([[1e20, 2e20, 3e20]]), x, normalize=True).x
    assert np.isinf(steep).any()


@pytest.mark.parametrize(
    ("grad", "error", "words"),
    [
        (np.ones((2, 3)), ValueError, r"grad must have the shape of the result, \(2, 4\), got \(2, 3\)"),
        (np.ones((1, 4)), ValueError, r"grad must have the shape of the result, \(2, 4\), got \(1, 4\)"),
        (np.ones(4), ValueError, r"got \(4,\)"),
        (np.ones((2, 4), int), TypeError, "grad must have dtype float64, float32, float16 or bfloat16, got int64"),
        (np.ma.ones((2, 4)), TypeError, "grad is a masked array"),
        ([[1.0] * 4] * 2, TypeError, "grad must be a numpy.ndarray"),
    ],
)
def test_refusals_of_gradients(grad, error, words):
    with pytest.raises(error, match=words):
        pool_backward(grad, X)
    with pytest.raises(error, match=words):
        embedding_bag_backward(grad, X[0], [[0, 1], [2, 0]])


def test_refusals_of_ids_come_back():
    grad, table = np.ones((2, 4)), X[0]
    with pytest.raises(IndexError, match=r"id 3 at position \(1, 1\) is out of range for a table of 3 rows"):
        embedding_bag_backward(grad, table, [[0, -100], [2, 3]], mask=[[1, 0], [1, 1]])
    with pytest.raises(IndexError, match=r"id -1 at position \(0, 1\)"):
        embedding_bag_backward(grad, table, [[0, -1], [2, 2]], mode="max", padding_idx=2)
    with pytest.raises(ValueError, match="weights go with mode"):
        embedding_bag_backward(grad, table, [[0], [1]], mode="last", weights=[[1], [1]])
