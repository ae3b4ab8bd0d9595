"""pool and the gradients of pools and bags: sums to the bit, gradients against finite differences."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _arrays, _threads
from fastemb._calls.bags import MODES
from fastemb.pooling import embedding_bag, embedding_bag_backward, normalize, pool, pool_backward
from fastemb.ragged import Ragged

BF16 = ml_dtypes.bfloat16
DTYPES = ["f8", "f4", "f2", BF16]
WEIGHED = ["sum", "mean"]
LAYOUTS = [
    "plain", "read-only", "every other row", "rows cut", "columns cut", "texts first", "reversed", "one row",
    "one text", "strided", "fortran", "misaligned", "byte-swapped",
]  # fmt: skip


def draw(shape, dtype, seed=0):
    """Return numbers of few digits and many signs: whatever is added is not exact, and maxima have ties."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return np.where(x > 1, 1, x).astype(dtype)


def laid(x, layout):
    """Return x, or of the broadcast layouts its first row or text again and again, laid out as asked."""
    B, T = x.shape[:2]
    if layout == "read-only":
        x.flags.writeable = False
        return x
    if layout == "every other row":
        return np.repeat(x, 2, axis=1)[:, ::2]
    if layout == "rows cut":
        return np.concatenate([x[:, :1], x], axis=1)[:, 1:]
    if layout == "columns cut":
        return np.pad(x, [(0, 0), (0, 0), (1, 2)])[..., 1:-2]
    if layout == "texts first":
        return x.swapaxes(0, 1).copy().swapaxes(0, 1)
    if layout == "reversed":
        return x[::-1, ::-1].copy()[::-1, ::-1]
    if layout == "one row":
        return np.broadcast_to(x[:, :1] if T else x, x.shape)
    if layout == "one text":
        return np.broadcast_to(x[:1] if B else x, x.shape)
    if layout == "strided":
        return np.repeat(x, 2, axis=2)[..., ::2]
    if layout == "fortran":
        return np.asfortranarray(x)
    if layout == "byte-swapped":
        return x.astype(x.dtype.newbyteorder(">"))
    if layout == "misaligned":
        raw = np.zeros(x.nbytes + 1, np.uint8)
        shifted = raw[1:].view(x.dtype).reshape(x.shape)
        shifted[...] = x
        return shifted
    return x


def bits(a):
    """Return the bytes of an array, of which one NaN is like another."""
    return (a if a.dtype.kind in "iu" else np.where(np.isnan(a), np.array(np.nan, a.dtype), a)).tobytes()


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)


def rounded(expected, dtype):
    """Round as results are. Sums beyond float16 are infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return expected.astype(dtype)


def copies(arguments):
    return {name: np.array(value) for name, value in arguments.items() if isinstance(value, np.ndarray)}


# Forward ----------------------------------------------------------------------------------------------------------


@st.composite
def calls(draw_from, dtypes=DTYPES):
    """Draw x and the arguments of pool; rows that are not kept hold NaN."""
    dtype = draw_from(st.sampled_from(dtypes))
    B, T, D = draw_from(st.integers(0, 5)), draw_from(st.integers(0, 9)), draw_from(st.integers(0, 150))
    form = draw_from(st.sampled_from(["all", "mask", "lengths", "offsets"]))
    seed = draw_from(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    x, mode = draw((B, T, D), dtype, seed), draw_from(st.sampled_from(MODES))
    layout = draw_from(st.sampled_from(LAYOUTS))
    options = {}
    if form == "mask":
        kind = draw_from(st.sampled_from(["?", "i1", "u2", "i4", "i8", "u8", ">i4"]))
        options["mask"] = ((rng.random((B, T)) < rng.random((B, 1))) * rng.integers(1, 9, (B, T))).astype(kind)
    elif form == "lengths":
        options["lengths"] = rng.integers(0, T + 1, B).astype(draw_from(st.sampled_from(["u1", "i4", "i8"])))
    elif form == "offsets":
        options["offsets"] = np.sort(np.concatenate([[0, B * T], rng.integers(0, B * T + 1, 3)])).astype("i4")
    # Types with weights are few, as each of them is one more kernel to compile.
    if mode in WEIGHED and (form == "mask" or dtype in ("f8", "f4")) and draw_from(st.booleans()):
        shape = (B * T,) if form == "offsets" else (B, T)
        options["weights"] = rng.integers(-2, 5, shape).astype(draw_from(st.sampled_from(["f8", "f4", "f2", "i8"])))
    if layout not in ("one row", "one text", "read-only"):
        kept = options.get("mask", np.ones((B, T)))
        if form == "lengths":
            kept = np.arange(T) < options["lengths"][:, np.newaxis]
        x[kept == 0] = np.nan
    x = laid(x, layout)
    return x.reshape(B * T, D) if form == "offsets" else x, {**options, "mode": mode}


@settings(max_examples=400, deadline=None)
@given(calls())
def test_equals_reference(call):
    x, options = call
    before = x.tobytes(), copies(options)
    result = pool(x, **options)
    expected = reference.pool(np.array(x), **options)
    assert same(result, rounded(expected, x.dtype.newbyteorder("=")))
    out = np.full(expected.shape, np.nan, result.dtype)
    assert pool(x, **options, out=out) is out
    assert same(out, result)
    assert x.tobytes() == before[0]
    assert all((options[name] == old).all() for name, old in before[1].items())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_padded_is_ragged_is_a_bag(dtype, mode):
    lengths = np.array([3, 0, 7, 1, 13])
    for D in (5, 100):
        flat = draw((24, D), dtype)
        right, left = np.full((2, 5, 13, D), np.nan, dtype)
        mask = np.arange(13) < lengths[:, np.newaxis]
        right[mask] = left[mask[:, ::-1]] = flat
        offsets = [0, *np.cumsum(lengths)]
        expected = pool(flat, offsets=offsets, mode=mode)
        assert same(expected, rounded(reference.pool(flat, offsets=offsets, mode=mode), dtype))
        assert same(pool(right, lengths=lengths, mode=mode), expected)
        assert same(pool(right, mask, mode=mode), expected)
        assert same(pool(left, mask[:, ::-1].astype(int), mode=mode), expected)
        assert same(embedding_bag(flat, np.arange(24), offsets, mode=mode), expected)
        if dtype == "f4" and mode in ("mean", "max"):
            assert same(embedding_bag(flat, Ragged(np.arange(24), offsets), mode=mode), expected)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_the_law_of_weights(dtype):
    """Products are rounded, then added from the first on; their sum is divided by a sum found in float64."""
    x, w = draw((1, 9, 33), dtype, 1), draw((1, 9), "f8", 2) + 1
    lane = np.dtype(dtype).type
    total, amount = None, 0.0
    for row, weight in zip(x[0], w[0], strict=True):
        product = row * lane(weight)
        total = product if total is None else total + product
        amount += float(lane(weight))
    assert same(pool(x, weights=w, mode="sum")[0], total)
    assert same(pool(x, weights=w)[0], total / lane(amount))
    ranks = pool(x, np.ones((1, 9), bool), mode="weighted_mean")
    assert same(ranks, pool(x, weights=np.arange(1, 10)[np.newaxis]))
    assert same(pool(x, mode="mean_sqrt_len")[0], pool(x, mode="sum")[0] / lane(np.sqrt(9.0)))


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
        x = draw((3, 4, D), dtype, D)
        x[mask == 0] = np.nan
        result = pool(x, mask, mode=mode)
        assert same(result, rounded(reference.pool(x, mask, mode=mode), dtype)), D


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
        assert same(pool(np.empty(shape, dtype), **options), np.zeros((rows, width), dtype))
    assert same(pool(np.empty((0, 20), dtype), offsets=[0, 0], **options), np.zeros((1, width), dtype))
    assert same(pool(np.empty((0, 20), dtype), offsets=[0], **options), np.zeros((0, width), dtype))
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
def test_weighted_mean_counts_kept_rows_wherever_the_padding_is(mode):
    rows = draw((3, 20), "f4")
    expected = pool(rows[np.newaxis], mode=mode)
    x = np.full((1, 6, 20), np.nan, "f4")
    for places in ([0, 1, 2], [3, 4, 5], [0, 2, 5], [1, 2, 4]):
        x[...] = np.nan
        x[0, places] = rows
        assert same(pool(x, [[int(t in places) for t in range(6)]], mode=mode), expected)


FENCED = {
    "plain": lambda B, D, kind: np.full(B * D + 99, 7, kind)[33 : 33 + B * D].reshape(B, D),
    "rows apart": lambda B, D, kind: np.full((B + 2, D + 5), 7, kind)[1:-1, 2:-3],
    "reversed": lambda B, D, kind: np.full((B + 2, D + 5), 7, kind)[-2:0:-1, 2:-3],
    "strided": lambda B, D, kind: np.full((B + 2, 2 * D + 4), 7, kind)[1:-1, 2:-2:2],
    "fortran": lambda B, D, kind: np.full((B + 2, D + 5), 7, kind, order="F")[1:-1, 2:-3],
    "byte-swapped": lambda B, D, kind: np.full((B + 2, D + 5), 7, np.dtype(kind).newbyteorder(">"))[1:-1, 2:-3],
}


def check_fence(out):
    """Assert that all around ``out``, which is a view made by `FENCED`, is as it was."""
    whole = out
    while whole.base is not None:
        whole = whole.base
    out[...] = np.array(7.0, "f4")  # an array: ml_dtypes forgets the byte order of a bare number
    assert (whole.astype("f8") == 7).all()


@pytest.mark.parametrize("layout", FENCED)
@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("mode", ["mean", "mean_max"])
def test_out_of_every_type_and_layout(layout, kind, dtype, mode):
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    for D in (1, 16, 37, 90):
        x = draw((3, 4, D), dtype, D)
        out = FENCED[layout](3, D * (2 if mode == "mean_max" else 1), kind)
        out[...] = np.nan
        assert pool(x, mask, mode=mode, out=out) is out
        assert same(out.astype(kind), rounded(reference.pool(x, mask, mode=mode), kind))
        out[...] = np.nan
        pool(x, mask, mode=mode, normalize=True, out=out)
        lengths = np.linalg.norm(out.astype("f8"), axis=1)
        np.testing.assert_allclose(lengths, [1, 0, 1], atol=1e-6 if out.dtype.itemsize > 2 else 0.02)
        check_fence(out)


@pytest.mark.parametrize(("dtype", "mode"), [*product(["f8", "f4", "f2"], MODES), (BF16, "mean"), (BF16, "mean_max")])
def test_normalize_scales_the_whole_row_before_it_is_rounded(dtype, mode):
    x, mask = draw((3, 4, 50), dtype), np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    sums = reference.pool(x, mask, mode=mode)
    for kind in {np.dtype(dtype), sums.dtype}:
        out = np.empty(sums.shape, kind)
        assert same(pool(x, mask, mode=mode, normalize=True, out=out), normalize(sums, out=np.empty_like(out)))
    assert same(pool(x, mask, mode=mode, normalize=True), normalize(sums, out=np.empty(sums.shape, dtype)))


def test_many_texts_go_through_the_scratch():
    x = draw((3000, 2, 100), "f2")
    sums = reference.pool(x)
    out = np.full((3000, 100), np.nan, "f2")
    assert same(pool(x, normalize=True, out=out), normalize(sums, out=np.empty_like(out)))
    assert same(pool(x, mode="mean_max")[:, :100], rounded(sums, "f2"))
    x, out, expected = draw((3000, 2, 100), "f8"), np.full((3000, 100), np.nan, BF16), np.empty((3000, 100), BF16)
    _arrays.round_into(expected, reference.pool(x))
    assert same(pool(x, out=out), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f8", "f2"])
def test_threads_give_the_same_bits(mode, dtype, small_grain):
    rng = np.random.default_rng(3)
    x, mask = draw((60, 9, 70), dtype), rng.random((60, 9)) < rng.random((60, 1))
    options = [{"normalize": normal, "weights": w} for normal in (False, True) for w in (None, rng.random((60, 9)))]
    for option in options[::1] if mode in WEIGHED else options[::2]:
        grad = draw(pool(x[:, :1], mode=mode).shape, "f4")
        results = []
        for n in (1, 2, 7):
            with _threads.num_threads(n):
                back = pool_backward(grad, x, mask, mode=mode, **option)
                results.append([pool(x, mask, mode=mode, **option), *(one for one in back if one is not None)])
        assert not np.isnan(results[0][0]).any()
        for other in results[1:]:
            assert all(map(same, results[0], other))


def test_x_beyond_2_31_elements(tmp_path):
    x = np.memmap(tmp_path / "x", np.float16, "w+", shape=(3, 2**20, 1024))
    x[2, -1], x[2, -3] = 3, 5
    mask = np.zeros((3, 2**20), bool)
    mask[2, [-1, -3]] = True
    assert pool(x, mask)[:, 0].tolist() == [0, 0, 4]
    assert pool(x.swapaxes(0, 1)[-4:], mode="max")[:, 0].tolist() == [0, 5, 0, 3]
    assert pool(x.reshape(-1, 1024), offsets=[0, *range(3 * 2**20 - 3, 3 * 2**20 + 1)], mode="last")[1:, 0].any()


def test_eight_callers_at_once(small_grain):
    jobs = [(draw((9, 7, 40), "f4", k), np.random.default_rng(k).random((9, 7)) < 0.6) for k in range(48)]
    expected = [reference.pool(*job) for job in jobs]
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        with _threads.num_threads(3):
            return [same(pool(*job), wanted) for job, wanted in zip(jobs[k::8], expected[k::8], strict=True)]

    with ThreadPoolExecutor(8) as callers:
        assert all(all(results) for results in callers.map(work, range(8)))


X = np.ones((2, 3, 4), np.float32)
FROZEN = np.zeros((2, 4), np.float32)
FROZEN.flags.writeable = False


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
        (X, {"mask": np.ones((2, 3))}, TypeError, "mask must have an integer dtype, got dtype float64"),
        (X, {"mask": np.ones((2, 3), object)}, TypeError, "mask must have an integer dtype"),
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
    out = options.get("out", np.full((2, 4), 7.0))
    before = np.array(out)
    with pytest.raises(error, match=words):
        pool(x, **{"out": out, **options})
    assert (np.array(out) == before).all()
    assert (X == 1).all()
    if "out" not in options:
        with pytest.raises(error, match=words):
            pool_backward(np.ones((2, 4)), x, **options)


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


# Backward ---------------------------------------------------------------------------------------------------------


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
@given(calls(["f8", "f4"]), st.booleans(), st.sampled_from(DTYPES))
def test_gradients_equal_reference(call, normal, kind):
    x, options = call
    y = pool(x, **options)
    if normal:  # slopes of rows of nearly no length are all rounding
        exact = np.linalg.norm(reference.pool(np.array(x), **options, exact=True), axis=1)
        assume(((exact > 0.01) | ((exact == 0) & (y == 0).all(axis=1))).all())
    grad = draw(y.shape, kind, 5)
    before = grad.tobytes(), x.tobytes(), copies(options)
    result = pool_backward(grad, x, **options, normalize=normal)
    native = x.dtype.newbyteorder("=")
    assert result.x.dtype == native
    assert result.x.shape == x.shape
    by_x, by_weights = reference.pool_backward(grad, np.array(x), **options, normalize=normal)
    steep = (1 + np.abs(by_x).max(initial=0)) * (100 if normal else 1)
    close = {"float64": 1e-12, "float32": 1e-5}[native.name]
    np.testing.assert_allclose(result.x, by_x, rtol=close, atol=close * steep)
    places = reference.places_of_bags(x.shape[:-1], options.get("offsets"), options.get("mask"))
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
    x, lane = draw((3, 4, 35), dtype), np.float64 if dtype == "f8" else np.float32
    grad = draw((3, 35), "f8", 4)
    shared = grad.astype(lane)[:, np.newaxis]
    mask = np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 0, 0]])
    n = mask.sum(axis=1)[:, np.newaxis, np.newaxis]
    for mode, by in (("sum", 1), ("mean", n), ("mean_sqrt_len", np.sqrt(n))):
        expected = np.where(mask[..., np.newaxis], shared / np.asarray(by).astype(lane), lane(0))
        assert same(pool_backward(grad, x, mask, mode=mode).x, rounded(expected, dtype))
    w = draw((3, 4), "f8", 6) + 2
    expected = np.where(mask[..., np.newaxis], shared * w.astype(lane)[..., np.newaxis], lane(0))
    assert same(pool_backward(grad, x, mask, mode="sum", weights=w).x, rounded(expected, dtype))


@pytest.mark.parametrize(("mode", "weighted"), WAYS)
@pytest.mark.parametrize("normal", [False, True])
def test_gradients_of_halves_are_those_of_singles_rounded(mode, weighted, normal):
    x, mask = draw((3, 4, 35), "f2"), np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    options = {"mode": mode, "normalize": normal, "weights": draw((3, 4), "f8", 6) + 2 if weighted else None}
    grad = draw(pool(x, mask, **options).shape, "f2", 7)
    halves, singles = (pool_backward(grad, one, mask, **options) for one in (x, x.astype("f4")))
    assert same(halves.x, rounded(singles.x, "f2"))
    assert not weighted or same(halves.weights, singles.weights)


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_a_ragged_has_the_gradient_of_its_ids_and_offsets(mode):
    table, grad, offsets = draw((6, 20), "f4"), draw((3, 20), "f4", 1), [0, 4, 4, 9]
    ragged = embedding_bag_backward(grad, table, Ragged(IDS.reshape(-1), offsets), mode=mode).table
    flat = embedding_bag_backward(grad, table, IDS.reshape(-1), offsets, mode=mode).table
    assert ragged.ids.dtype == np.int32
    assert ragged.ids.tolist() == flat.ids.tolist()
    assert same(ragged.rows, flat.rows)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_a_maximum_goes_to_the_first(dtype):
    nan = np.nan
    columns = [[1, 2, 2], [2, 1, 2], [2, 2, 2], [1, nan, 2], [nan, 1, nan], [1, 2, nan], [-0.0, 0, 0], [0, -0.0, 0]]
    columns += [[-np.inf] * 3, [np.inf, nan, nan]]
    first = [1, 0, 0, 1, 0, 2, 0, 0, 0, 1]
    x = np.tile(np.array(columns, dtype).T, (2, 1, 7))
    grad = np.arange(1.0, 141).reshape(2, 70)
    expected = np.where(np.arange(3)[:, np.newaxis] == np.tile(first, 7), grad[:, np.newaxis], 0)
    for layout in ("plain", "texts first"):
        there = laid(x, layout)
        assert same(pool_backward(grad, there, mode="max").x, expected.astype(dtype))
        both = pool_backward(np.concatenate([3 * grad, grad], axis=1), there, mode="mean_max").x
        assert same(both, rounded((expected + grad[:, np.newaxis]), dtype))
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
    x = draw((2, 3, 5), "f8")
    x[1] = np.nan
    result = pool_backward(np.ones(pool(x, mode=mode).shape), x, mode=mode, normalize=True).x
    assert np.isfinite(result[0]).all()
    assert np.isnan(result[1]).any()


def test_weights_without_a_sum_give_zeros():
    x, w = draw((2, 2, 20), "f4"), np.array([[1.0, -1.0], [0.0, 0.0]])
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
    table = draw((9, 17), "f4")
    result = embedding_bag_backward(np.ones((2, 17), "f4"), table, np.array([[7, 2], [7, 7]], kind), mode="sum")
    assert result.table.ids.dtype == kind
    assert result.table.ids.tolist() == [2, 7]
    assert result.table.rows[:, 0].tolist() == [1, 3]


@pytest.mark.parametrize("layout", ["read-only", "strided", "fortran", "byte-swapped", "columns cut"])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_gradients_of_tables_of_every_layout(layout, mode):
    table = draw((1, 9, 20), "f4")
    ids, w = np.array([[8, 2, 8], [0, 1, 2]], "i4"), np.arange(6.0).reshape(2, 3) if mode == "mean" else None
    grad = draw((2, 20), "f4", 1)
    expected = embedding_bag_backward(grad, table[0].copy(), ids, mode=mode, weights=w, normalize=True)
    result = embedding_bag_backward(grad, laid(table, layout)[0], ids, mode=mode, weights=w, normalize=True)
    assert result.table.ids.tolist() == [0, 1, 2, 8]
    assert same(result.table.ids, expected.table.ids)
    assert same(result.table.rows, expected.table.rows)
    assert w is None or same(result.weights, expected.weights)


@pytest.mark.parametrize("mode", ["mean", "max", "weighted_mean"])
def test_bag_gradients_have_the_same_bits_on_any_threads(mode, small_grain):
    table, rng = draw((50, 40), "f4"), np.random.default_rng(6)
    ids, mask = rng.integers(0, 50, (90, 12)), rng.random((90, 12)) < 0.7
    w = rng.random((90, 12)) if mode == "mean" else None
    results = []
    for n in (1, 2, 7):
        with _threads.num_threads(n):
            grad = draw((90, 40), "f4", 7)
            results.append(embedding_bag_backward(grad, table, ids, mask=mask, mode=mode, weights=w, normalize=True))
    for other in results[1:]:
        assert same(results[0].table.ids, other.table.ids)
        assert same(results[0].table.rows, other.table.rows)
        assert w is None or same(results[0].weights, other.weights)


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
