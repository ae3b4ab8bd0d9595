"""Bags of more rows than a piece: cut every 256 kept rows, the pieces added in float64: right, and to the bit."""

import numpy as np
import pytest
from arrays import BF16, DTYPES, ROWS_IN_LAYOUTS, lay, rounded, same_bits, same_on_threads
from pooling_cases import WEIGHED

import fastemb.reference as reference
from fastemb._bags import MODES
from fastemb.pooling import embedding_bag, embedding_bag_backward, pool
from fastemb.quantized import quantize

MILLION = 10**6
MASK = np.zeros((1, 3 * MILLION // 2), bool)
MASK[0, np.random.default_rng(0).permutation(MASK.size)[:MILLION]] = True


def equal_rows(N, D, dtype="f4"):
    """Return the same row N times, which takes the memory of one."""
    row = np.random.default_rng(D).uniform(0.1, 1, D).astype(dtype)
    return np.broadcast_to(row, (N, D))


def zeros_between(kept, hole):
    """Return ids that are 0 where they are kept."""
    return np.where(kept, 0, hole)


FORMS = {
    "pool": lambda D, **given: pool(equal_rows(MILLION, D)[np.newaxis], **given),
    "pool mask": lambda D, **given: pool(equal_rows(MASK.size, D)[np.newaxis], MASK, **given),
    "pool lengths": lambda D, **given: pool(equal_rows(MASK.size, D)[np.newaxis], lengths=[MILLION], **given),
    "pool offsets": lambda D, **given: pool(equal_rows(MILLION + 3, D), offsets=[0, 3, MILLION + 3], **given)[1:],
    "bag of one id": lambda D, **given: embedding_bag(equal_rows(1, D), np.zeros((1, MILLION), int), **given),
    "bag of all ids": lambda D, **given: embedding_bag(
        equal_rows(MILLION, D), np.random.default_rng(1).permutation(MILLION), [0, MILLION], **given
    ),
    "bag mask": lambda D, **given: embedding_bag(equal_rows(1, D), zeros_between(MASK, -100), mask=MASK, **given),
    "bag padding": lambda D, **given: embedding_bag(equal_rows(1, D), zeros_between(MASK, 7), padding_idx=7, **given),
}


@pytest.mark.parametrize("D", [5, 70, 200])
@pytest.mark.parametrize("form", FORMS)
def test_a_mean_of_a_million_equal_rows(form, D):
    row = equal_rows(1, D).astype("f8")
    np.testing.assert_allclose(FORMS[form](D), row, rtol=1e-5)
    np.testing.assert_allclose(FORMS[form](D, mode="sum"), MILLION * row, rtol=1e-5)
    np.testing.assert_allclose(FORMS[form](D, mode="mean_max"), np.tile(row, 2), rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_a_million_equal_rows(mode):
    row = equal_rows(1, 70).astype("f8")
    wanted = {"sum": MILLION * row, "mean_sqrt_len": MILLION**0.5 * row, "mean_max": np.tile(row, 2)}.get(mode, row)
    for form in ("pool mask", "bag of one id"):
        np.testing.assert_allclose(FORMS[form](70, mode=mode), wanted, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["f2", BF16])
def test_a_mean_of_a_million_equal_halves(dtype):
    x = equal_rows(MILLION, 70, dtype)
    for result in (
        pool(x[np.newaxis], out=np.empty((1, 70), "f4")),
        embedding_bag(x[:1], np.zeros((1, MILLION), int), out=np.empty((1, 70), "f4")),
    ):
        np.testing.assert_allclose(result, x[:1].astype("f8"), rtol=1e-5)
    assert same_bits(pool(x[np.newaxis]), x[:1].copy())


def test_a_mean_of_a_million_weighed_rows():
    row, weights = equal_rows(1, 70).astype("f8"), np.random.default_rng(0).uniform(0.1, 1, (1, MILLION))
    np.testing.assert_allclose(pool(equal_rows(MILLION, 70)[np.newaxis], weights=weights), row, rtol=1e-5)
    ids = np.zeros((1, MILLION), int)
    np.testing.assert_allclose(embedding_bag(equal_rows(1, 70), ids, weights=weights), row, rtol=1e-5)


def test_the_gradient_of_a_row_that_is_used_a_million_times():
    grad, ids = equal_rows(1000, 70), np.zeros((1000, 1000), int)
    result = embedding_bag_backward(grad, np.zeros((1, 70), "f4"), ids)
    np.testing.assert_allclose(result.table.rows, 1000 * grad[:1].astype("f8"), rtol=1e-5)


# To the bit -------------------------------------------------------------------------------------------------------


def with_holes(values, lengths, hole):
    """Return flat values as a rectangle, each bag's in order but with holes between them, and where they are."""
    rng, T = np.random.default_rng(3), max(lengths) * 3 // 2
    mask = np.zeros((len(lengths), T), bool)
    for row, length in zip(mask, lengths, strict=True):
        row[rng.permutation(T)[:length]] = True
    padded = np.full((*mask.shape, *values.shape[1:]), hole, values.dtype)
    padded[mask] = values
    return padded, mask


def check_all_forms(lengths, D, dtype, mode, weighted=False):
    """Assert that bags, pools, and both with holes in a mask follow the law, unrounded and rounded."""
    rng, acc = np.random.default_rng(D), "f8" if dtype == "f8" else "f4"
    table, ids = rng.standard_normal((1000, D)).astype(dtype), rng.integers(0, 1000, sum(lengths))
    weights = {"weights": rng.uniform(0.5, 2, ids.size)} if weighted else {}
    offsets, x = np.concatenate([[0], np.cumsum(lengths)]), table[ids]
    expected = reference.embedding_bag(table, ids, offsets, mode, **weights)
    padded_ids, mask = with_holes(ids, lengths, -100)
    padded_x, _ = with_holes(x, lengths, np.nan)
    padded_weights = {name: with_holes(given, lengths, 7)[0] for name, given in weights.items()}
    # Holes count as places of a weighted mean, and as nothing in all other modes.
    holes = expected
    if mode == "weighted_mean":
        holes = reference.embedding_bag(table, padded_ids, mode=mode, mask=mask)
    for rounds in (acc, dtype):
        for function, rows, options, wanted in (
            (embedding_bag, (table, ids, offsets), weights, expected),
            (embedding_bag, (table, padded_ids), {"mask": mask, **padded_weights}, holes),
            (pool, (x,), {"offsets": offsets, **weights}, expected),
            (pool, (padded_x, mask), padded_weights, holes),
        ):
            out = np.full(wanted.shape, np.nan, rounds)
            assert same_bits(function(*rows, mode=mode, **options, out=out), rounded(wanted, rounds))
            assert rounds == acc or same_bits(function(*rows, mode=mode, **options), out)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [255, 256, 257, 512, 513])
def test_bags_are_cut_every_256_kept_rows(length, mode, dtype):
    for D in (5, 70, 150):
        check_all_forms([3, length, 0, 1], D, dtype, mode)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("mode", WEIGHED)
def test_weighed_bags_are_cut_every_256_kept_rows(mode, dtype):
    check_all_forms([3, 257, 512, 0, 513], 70, dtype, mode, weighted=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["mean", "weighted_mean"])
def test_pieces_are_never_cut_again(mode, dtype):
    """70,000 rows are 274 pieces: more than a piece of pieces."""
    for D in (5, 70):
        check_all_forms([3, 70_000], D, dtype, mode)


def test_the_cut_can_be_seen():
    rows = np.random.default_rng(0).standard_normal((70_000, 70)).astype("f4")
    result = pool(rows[np.newaxis], mode="sum")[0]
    in_order = np.cumsum(rows, axis=0)[-1]
    assert not same_bits(result, in_order)
    exact = rows.sum(axis=0, dtype="f8")
    assert np.abs(result - exact).max() < np.abs(in_order - exact).max() / 10


def test_pieces_are_added_in_float64_and_rounded_once():
    """1 + 2**-24 + 2**-24, of which float32 loses both, one a piece."""
    x = np.zeros((1, 3 * 256, 70), "f4")
    x[0, [0, 300, 700]] = [[1], [2.0**-24], [2.0**-24]]
    assert (pool(x, mode="sum") == np.float32(1 + 2.0**-23)).all()
    assert (pool(x[:, :, :5], mode="sum") == np.float32(1 + 2.0**-23)).all()
    x[0, [0, 300, 700]], x[0, [1, 2]] = 0, [[1], [2.0**-24]]  # in one piece it is float32
    assert (pool(x, mode="sum") == 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_bags_have_the_same_bits_on_any_threads(dtype, small_grain):
    rng = np.random.default_rng(5)
    table, lengths = rng.standard_normal((500, 70)).astype(dtype), [0, 3000, 1, 257, 20_000, 2, 256, 256, 700]
    ids, offsets = rng.integers(0, 500, sum(lengths)), np.concatenate([[0], np.cumsum(lengths)])
    for mode in ("mean", "max"):
        result = same_on_threads(lambda mode=mode: embedding_bag(table, ids, offsets, mode=mode))
        assert same_bits(result, rounded(reference.embedding_bag(table, ids, offsets, mode), dtype))


@pytest.mark.parametrize("layout", ROWS_IN_LAYOUTS)
def test_long_pools_of_every_layout(layout):
    x = np.random.default_rng(6).standard_normal((2, 600, 70)).astype("f4")
    x = lay(x, layout)
    assert same_bits(pool(x), rounded(reference.pool(np.array(x)), "f4"))


@pytest.mark.parametrize("bits", [8, 4])
def test_long_bags_of_quantized_tables(bits):
    rng = np.random.default_rng(7)
    table, ids = quantize(rng.standard_normal((300, 70)).astype("f4"), bits), rng.integers(0, 300, (2, 1100))
    assert same_bits(embedding_bag(table, ids), reference.embedding_bag(table.dequantize(), ids))
