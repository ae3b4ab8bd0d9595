"""pool: sums to the bit, in every form, mode, type and layout."""

from itertools import product

import numpy as np
import pytest
from arrays import (
    BF16,
    DTYPES,
    OUT_LAYOUTS,
    by_eight_callers,
    copies,
    fence_stands,
    fenced,
    lay,
    rounded,
    same_but_nan,
    same_on_threads,
)
from hypothesis import given, settings
from pooling_cases import WEIGHED, make_x, pool_calls

import fastemb.reference as reference
from fastemb._bags import MODES
from fastemb._cpu.arrays import round_into
from fastemb.pooling import embedding_bag, normalize, pool, pool_backward
from fastemb.ragged import Ragged


@settings(max_examples=400, deadline=None)
@given(pool_calls())
def test_equals_reference(framework, call):
    x, options = framework.held(call)
    before = x.tobytes(), copies(options)
    given_x, given_options = framework.make((x, options))
    result = framework.back(pool(given_x, **given_options))
    expected = reference.pool(np.array(x), **options)
    assert same_but_nan(result, rounded(expected, x.dtype.newbyteorder("=")))
    if framework.writes:
        out = framework.make(np.full(expected.shape, np.nan, result.dtype))
        assert pool(given_x, **given_options, out=out) is out
        assert same_but_nan(framework.back(out), result)
    assert x.tobytes() == before[0]
    assert all((options[name] == old).all() for name, old in before[1].items())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_padded_is_ragged_is_a_bag(dtype, mode):
    lengths = np.array([3, 0, 7, 1, 13])
    for D in (5, 100):
        flat = make_x((24, D), dtype)
        right, left = np.full((2, 5, 13, D), np.nan, dtype)
        mask = np.arange(13) < lengths[:, np.newaxis]
        right[mask] = left[mask[:, ::-1]] = flat
        offsets = [0, *np.cumsum(lengths)]
        expected = pool(flat, offsets=offsets, mode=mode)
        assert same_but_nan(expected, rounded(reference.pool(flat, offsets=offsets, mode=mode), dtype))
        assert same_but_nan(pool(right, lengths=lengths, mode=mode), expected)
        assert same_but_nan(pool(right, mask, mode=mode), expected)
        assert same_but_nan(pool(left, mask[:, ::-1].astype(int), mode=mode), expected)
        assert same_but_nan(embedding_bag(flat, np.arange(24), offsets, mode=mode), expected)
        if dtype == "f4" and mode in ("mean", "max"):
            assert same_but_nan(embedding_bag(flat, Ragged(np.arange(24), offsets), mode=mode), expected)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_the_law_of_weights(dtype):
    """Products are rounded, then added from the first on; their sum is divided by a sum found in float64."""
    x, w = make_x((1, 9, 33), dtype, 1), make_x((1, 9), "f8", 2) + 1
    lane = np.dtype(dtype).type
    total, amount = None, 0.0
    for row, weight in zip(x[0], w[0], strict=True):
        product = row * lane(weight)
        total = product if total is None else total + product
        amount += float(lane(weight))
    assert same_but_nan(pool(x, weights=w, mode="sum")[0], total)
    assert same_but_nan(pool(x, weights=w)[0], total / lane(amount))
    ranks = pool(x, np.ones((1, 9), bool), mode="weighted_mean")
    assert same_but_nan(ranks, pool(x, weights=np.arange(1, 10)[np.newaxis]))
    assert same_but_nan(pool(x, mode="mean_sqrt_len")[0], pool(x, mode="sum")[0] / lane(np.sqrt(9.0)))


def test_weights_are_rounded_to_the_type_of_the_sums():
    x = np.full((1, 2, 3), 2.0**-20, np.float16)
    w = np.array([[1 + 2.0**-30, 2.0]])
    out = np.empty((1, 3), np.float32)
    assert (pool(x, weights=w, mode="sum", out=out) == np.float32(3 * np.float64(x[0, 0, 0]))).all()
    x = np.ones((1, 2, 3))
    assert (pool(x, weights=w, mode="sum") == 3 + 2.0**-30).all()


SIZES = sorted({1, 2, 3, *(k * 16 + d for k in (1, 2, 3, 4, 5, 8, 12) for d in (-1, 0, 1)), 150, 199, 200})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_every_row_size(dtype, mode):
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    for D in SIZES:
        x = make_x((3, 4, D), dtype, D)
        x[mask == 0] = np.nan
        result = pool(x, mask, mode=mode)
        assert same_but_nan(result, rounded(reference.pool(x, mask, mode=mode), dtype)), D


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dtype", "normal"), [*((dtype, False) for dtype in DTYPES), ("f8", True), ("f4", True)])
def test_nothing_kept_gives_zeros(dtype, mode, normal):
    width = 40 if mode == "mean_max" else 20
    poison = np.full((2, 3, 20), np.nan, dtype)
    for options in ({"mask": np.zeros((2, 3), int)}, {"lengths": [0, 0]}):
        out = np.full((2, width), np.nan, dtype)
        pool(poison, **options, mode=mode, normalize=normal, out=out)
        assert out.tobytes() == bytes(out.nbytes)
    options = {"mode": mode, "normalize": normal}
    assert pool(poison[0], offsets=[0, 0, 3], **options)[:1].tobytes() == bytes(out[:1].nbytes)
    for shape, rows in (((2, 0, 20), 2), ((0, 3, 20), 0), ((0, 0, 20), 0)):
        assert same_but_nan(pool(np.empty(shape, dtype), **options), np.zeros((rows, width), dtype))
    assert same_but_nan(pool(np.empty((0, 20), dtype), offsets=[0, 0], **options), np.zeros((1, width), dtype))
    assert same_but_nan(pool(np.empty((0, 20), dtype), offsets=[0], **options), np.zeros((0, width), dtype))
    assert pool(np.empty((4, 2, 0), dtype), np.ones((4, 2), int), **options).shape == (4, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["max", "mean_max"])
def test_a_maximum_over_nan_is_nan_in_any_order(dtype, mode):
    for rows in ([1, np.nan, 2], [np.nan, 1, 2], [1, 2, np.nan], [np.inf, np.nan], [np.nan, -np.inf], [np.nan]):
        x = np.tile(np.array(rows, dtype)[np.newaxis, :, np.newaxis], (1, 1, 70))
        x[..., 1] = 5
        highest = pool(x, mode=mode)[0, -70:].astype("f4")
        assert np.isnan(np.delete(highest, 1)).all()
        assert highest[1] == 5
    low = np.full((1, 2, 20), -np.inf, dtype)
    assert (pool(low, mode="max") == -np.inf).all()


def test_cls_and_last_are_found_by_the_mask():
    x = np.arange(12.0).reshape(2, 6, 1)
    mask = [[0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1]]
    assert pool(x, mask, mode="cls").tolist() == [[2], [11]]
    assert pool(x, mask, mode="last").tolist() == [[4], [11]]
    assert pool(x, lengths=[4, 6], mode="last").tolist() == [[3], [11]]
    assert pool(x, mode="last").tolist() == [[5], [11]]
    x[0, 2], x[0, 4] = -0.0, np.nan
    assert np.signbit(pool(x, mask, mode="cls")[0, 0])
    assert np.isnan(pool(x, mask, mode="last")[0, 0])


@pytest.mark.parametrize("mode", MODES)
def test_kept_rows_count_wherever_the_padding_is(mode):
    rows = make_x((3, 20), "f4")
    expected = pool(rows[np.newaxis], mode=mode)
    x = np.full((1, 6, 20), np.nan, "f4")
    for places in ([0, 1, 2], [3, 4, 5], [0, 2, 5], [1, 2, 4]):
        if mode == "weighted_mean":  # holes count
            expected = pool(rows[np.newaxis], mode="mean", weights=[[at - places[0] + 1 for at in places]])
        x[...] = np.nan
        x[0, places] = rows
        assert same_but_nan(pool(x, [[int(t in places) for t in range(6)]], mode=mode), expected)


def test_a_weighted_mean_by_hand():
    """The numbers of sentence-transformers: a hole counts, padding in front does not."""
    x = np.array([[[1.0], [3.0], [5.0]]])
    assert pool(x, [[1, 0, 1]], mode="weighted_mean").item() == (1 * 1 + 3 * 5) / 4
    assert pool(x, [[0, 1, 1]], mode="weighted_mean").item() == (1 * 3 + 2 * 5) / 3
    assert pool(x, [[0, 1, 0]], mode="weighted_mean").item() == 3
    assert pool(x, [[0, 0, 0]], mode="weighted_mean").item() == 0


@pytest.mark.parametrize("layout", OUT_LAYOUTS)
@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("mode", ["mean", "mean_max"])
def test_out_of_every_type_and_layout(layout, kind, dtype, mode):
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    for D in (1, 16, 37, 90):
        x = make_x((3, 4, D), dtype, D)
        out = fenced((3, D * (2 if mode == "mean_max" else 1)), kind, layout, apart=5)
        assert pool(x, mask, mode=mode, out=out) is out
        assert same_but_nan(out.astype(kind), rounded(reference.pool(x, mask, mode=mode), kind))
        out[...] = np.nan
        pool(x, mask, mode=mode, normalize=True, out=out)
        lengths = np.linalg.norm(out.astype("f8"), axis=1)
        np.testing.assert_allclose(lengths, [1, 0, 1], atol=1e-6 if out.dtype.itemsize > 2 else 0.02)
        assert fence_stands(out)


@pytest.mark.parametrize(("dtype", "mode"), [*product(["f8", "f4", "f2"], MODES), (BF16, "mean"), (BF16, "mean_max")])
def test_normalize_scales_the_whole_row_before_it_is_rounded(dtype, mode):
    x, mask = make_x((3, 4, 50), dtype), np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    sums = reference.pool(x, mask, mode=mode)
    for kind in {np.dtype(dtype), sums.dtype}:
        out = np.empty(sums.shape, kind)
        assert same_but_nan(pool(x, mask, mode=mode, normalize=True, out=out), normalize(sums, out=np.empty_like(out)))
    assert same_but_nan(pool(x, mask, mode=mode, normalize=True), normalize(sums, out=np.empty(sums.shape, dtype)))


def test_many_texts_go_through_the_scratch():
    x = make_x((3000, 2, 100), "f2")
    sums = reference.pool(x)
    out = np.full((3000, 100), np.nan, "f2")
    assert same_but_nan(pool(x, normalize=True, out=out), normalize(sums, out=np.empty_like(out)))
    assert same_but_nan(pool(x, mode="mean_max")[:, :100], rounded(sums, "f2"))
    x, out, expected = make_x((3000, 2, 100), "f8"), np.full((3000, 100), np.nan, BF16), np.empty((3000, 100), BF16)
    round_into(expected, reference.pool(x))
    assert same_but_nan(pool(x, out=out), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f8", "f2"])
def test_threads_give_the_same_bits(mode, dtype, small_grain):
    rng = np.random.default_rng(3)
    x, mask = make_x((60, 9, 70), dtype), rng.random((60, 9)) < rng.random((60, 1))
    options = [{"normalize": normal, "weights": w} for normal in (False, True) for w in (None, rng.random((60, 9)))]
    for option in options[::1] if mode in WEIGHED else options[::2]:
        grad = make_x(pool(x[:, :1], mode=mode).shape, "f4")

        def both(grad=grad, option=option):
            back = pool_backward(grad, x, mask, mode=mode, **option)
            return [pool(x, mask, mode=mode, **option), *(one for one in back if one is not None)]

        assert not np.isnan(same_on_threads(both, same=same_but_nan)[0]).any()


def test_x_beyond_2_31_elements(tmp_path):
    x = np.memmap(tmp_path / "x", np.float16, "w+", shape=(3, 2**20, 1024))
    x[2, -1], x[2, -3] = 3, 5
    mask = np.zeros((3, 2**20), bool)
    mask[2, [-1, -3]] = True
    assert pool(x, mask)[:, 0].tolist() == [0, 0, 4]
    assert pool(x.swapaxes(0, 1)[-4:], mode="max")[:, 0].tolist() == [0, 5, 0, 3]
    assert pool(x.reshape(-1, 1024), offsets=[0, *range(3 * 2**20 - 3, 3 * 2**20 + 1)], mode="last")[1:, 0].any()


def test_eight_callers_at_once(small_grain, general_road):
    jobs = [(make_x((9, 7, 40), "f4", k), np.random.default_rng(k).random((9, 7)) < 0.6) for k in range(48)]
    expected = [reference.pool(*job) for job in jobs]
    assert all(map(same_but_nan, by_eight_callers(pool, jobs), expected))


X = np.ones((2, 3, 4), np.float32)
FROZEN = lay(np.zeros((2, 4), np.float32), "read-only")


@pytest.mark.parametrize(
    ("x", "options", "error", "words"),
    [
        (X.astype("i4"), {}, TypeError, "x must have dtype float64, float32, float16 or bfloat16, got int32"),
        (X.astype("c8"), {}, TypeError, "bfloat16, got complex64"),
        (X.tolist(), {}, TypeError, "x must be a numpy.ndarray.*got list"),
        (np.ma.array(X), {}, TypeError, "x is a masked array"),
        (X[0, 0], {}, ValueError, r"x must have shape \(B, T, D\), or \(N, D\) with offsets, got \(4,\)"),
        (X[np.newaxis], {}, ValueError, r"got \(1, 2, 3, 4\)"),
        (X[0], {}, ValueError, r"x of shape \(N, D\) needs offsets.*got shape \(3, 4\) alone"),
        (X[0], {"mask": [[1, 1, 1]]}, ValueError, "needs offsets"),
        (X, {"offsets": [0, 1]}, ValueError, r"offsets go with x of shape \(N, D\), got \(2, 3, 4\)"),
        (X, {"mask": np.ones((2, 3))}, TypeError, "mask must have dtype bool or an integer dtype, got dtype float64"),
        (X, {"mask": np.ones((2, 3), object)}, TypeError, "mask must have dtype bool or an integer dtype"),
        (X, {"mask": np.ma.ones((2, 3), bool)}, TypeError, "mask is a masked array"),
        (X, {"mask": np.ones((3, 2), int)}, ValueError, r"mask must have shape \(2, 3\), got \(3, 2\)"),
        (X, {"mask": np.ones((2, 3, 1), bool)}, ValueError, r"got \(2, 3, 1\)"),
        (X, {"mask": np.ones((2, 3), int), "lengths": [1, 1]}, ValueError, "at most one of.*got mask and lengths"),
        (X[0], {"lengths": [1], "offsets": [0, 3]}, ValueError, "at most one of.*got lengths and offsets"),
        (X[0], {"mask": [1, 1, 1], "offsets": [0, 3]}, ValueError, "at most one of.*got mask and offsets"),
        (X, {"lengths": [1, 4]}, ValueError, r"lengths must lie from 0 to 3, got lengths\[1\] = 4"),
        (X, {"lengths": [-1, 2]}, ValueError, r"got lengths\[0\] = -1"),
        (X, {"lengths": np.array([0, 2**63], np.uint64)}, ValueError, r"got lengths\[1\] = 9223372036854775808"),
        (X, {"lengths": [1]}, ValueError, r"lengths must have shape \(2,\), got \(1,\)"),
        (X, {"lengths": [1.0, 2.0]}, TypeError, "lengths must have an integer dtype"),
        (X, {"lengths": [True, False]}, TypeError, "lengths must have an integer dtype"),
        (X[0], {"offsets": [1, 3]}, ValueError, r"offsets must start at 0, got offsets\[0\] = 1"),
        (X[0], {"offsets": [0, 2]}, ValueError, r"offsets\[1\] = 2.*include_last_offset=True"),
        (X[0], {"offsets": [0, 3, 1, 3]}, ValueError, r"must not descend, got offsets\[1\] = 3 and offsets\[2\] = 1"),
        (X[0], {"offsets": [0, 4]}, ValueError, r"got offsets\[1\] = 4"),
        (X[0], {"offsets": []}, ValueError, "at least one"),
        (X[0], {"offsets": [[0, 3]]}, ValueError, "offsets must be 1-D"),
        (X[0], {"offsets": [0, 3.0]}, TypeError, "offsets must have an integer dtype"),
        (X, {"mode": "median"}, ValueError, "'weighted_mean', 'mean_max', got 'median'"),
        (X, {"mode": "max", "weights": np.ones((2, 3))}, ValueError, "weights go with mode 'sum' or 'mean', got"),
        (X, {"mode": "cls", "weights": np.ones((2, 3))}, ValueError, "weights go with mode"),
        (X, {"mode": "weighted_mean", "weights": np.ones((2, 3))}, ValueError, "weights go with mode"),
        (X, {"weights": np.ones((2, 4))}, ValueError, r"weights must have shape \(2, 3\).*got \(2, 4\)"),
        (X, {"weights": np.ones((2, 3), complex)}, TypeError, "weights must be real numbers, got dtype complex128"),
        (X, {"weights": np.ones((2, 3), bool)}, TypeError, "weights must be real numbers, got dtype bool"),
        (X, {"weights": np.ma.ones((2, 3))}, TypeError, "weights is a masked array"),
        (X, {"out": np.zeros((3, 4))}, ValueError, r"out must have shape \(2, 4\), got \(3, 4\)"),
        (X, {"out": np.zeros((2, 4)), "mode": "mean_max"}, ValueError, r"out must have shape \(2, 8\)"),
        (X, {"out": np.zeros((2, 4), int)}, TypeError, "out must have dtype float64, float32, float16 or bfloat16"),
        (X, {"out": [[0.0] * 4] * 2}, TypeError, "out must be a numpy.ndarray"),
        (X, {"out": FROZEN}, ValueError, "out is read-only"),
        (X, {"out": X[:, 0]}, ValueError, "out overlaps x in memory"),
    ],
)
def test_refusals(x, options, error, words):
    # Of two errors that of shapes comes first: no value is looked at before. So out has the shape that fits.
    S = max(1, np.size(options["offsets"]) - 1) if "offsets" in options else 2
    out = options.get("out", np.full((S, 4), 7.0))
    before = np.array(out)
    with pytest.raises(error, match=words):
        pool(x, **{"out": out, **options})
    assert (np.array(out) == before).all()
    assert (X == 1).all()
    if "out" not in options:
        with pytest.raises(error, match=words):
            pool_backward(np.ones((S, 4)), x, **options)


@pytest.mark.parametrize("name", ["mask", "weights", "offsets", "lengths"])
def test_out_must_not_overlap_the_lists(name):
    memory = np.zeros(64, np.float64)
    out = memory[:8].reshape(2, 4)
    listed = {
        "mask": memory.view(np.int64)[:6].reshape(2, 3), "weights": memory[:6].reshape(2, 3),
        "offsets": memory.view(np.int64)[:3], "lengths": memory.view(np.int64)[:2],
    }[name]  # fmt: skip
    x = np.ones((0, 4)) if name == "offsets" else np.ones((2, 3, 4))
    with pytest.raises(ValueError, match=f"out overlaps {name} in memory"):
        pool(x, **{name: listed}, out=out)
    assert not memory.any()
