"""Pools and bags on the device: the bits of the reference, whatever is left out and wherever things lie."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import on_device, run

import fastemb
from fastemb import _frameworks, reference
from fastemb._checks import POOL_MODES
from fastemb._cuda import launch, status
from fastemb._cuda.kernels import join

DTYPES = {"f8": "f8", "f4": "f4", "f2": "f2", "bf16": ml_dtypes.bfloat16}
#: Axes of length D apart, and rows of every alignment.
LAYOUTS = {
    "plain": lambda x: x,
    "rows apart": lambda x: np.repeat(x, 2, axis=-2)[..., ::2, :],
    "batches apart": lambda x: np.concatenate([x, x[..., :1, :]], axis=-2)[..., : x.shape[-2], :],
    "odd place": lambda x: np.concatenate([x[..., :1], x], axis=-1)[..., 1:],
    "Fortran": np.asfortranarray,
}


@pytest.fixture(autouse=True)
def cuts(monkeypatch):
    """Bags are cut every 8 entries, so that short ones are."""
    monkeypatch.setattr(join, "CUT", 8)
    monkeypatch.setattr(reference, "cut_sum", cut_sum)


def cut_sum(rows):
    """`reference.cut_sum` with pieces of 8 rows."""
    pieces = [np.cumsum(rows[k : k + join.CUT], axis=0, dtype=rows.dtype)[-1] for k in range(0, len(rows), join.CUT)]
    return np.cumsum(np.array(pieces, np.float64), axis=0)[-1].astype(rows.dtype)


def draw_rows(data, *shape):
    """Numbers of a drawn dtype and layout, among them some zeros of both signs."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = np.where(rng.random(shape) < 0.1, -0.0, rng.normal(size=shape))
    layout, dtype = data.draw(st.sampled_from(sorted(LAYOUTS))), data.draw(st.sampled_from(sorted(DTYPES)))
    return LAYOUTS[layout](x.astype(DTYPES[dtype]))


def draw_mode(data):
    """A mode, and whether there are weights."""
    mode = data.draw(st.sampled_from(POOL_MODES))
    return mode, mode in ("sum", "mean") and data.draw(st.booleans())


def draw_weights(data, shape):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    return rng.integers(-2, 3, shape).astype(data.draw(st.sampled_from(["f4", "f8", "i2"])))


def check(result, expected, dtype, normalize):
    if normalize:
        np.testing.assert_allclose(result.astype("f8"), expected.astype("f8"), rtol=4 * eps(dtype), atol=1e-7)
    else:
        np.testing.assert_array_equal(result, expected.astype(dtype))
        assert (np.signbit(result) == np.signbit(expected)).all()


def eps(dtype):
    return float(ml_dtypes.finfo(dtype).eps)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_pool_equals_reference(data):
    B, T, D = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 18)), data.draw(st.sampled_from([1, 3, 4, 8, 0]))
    x = draw_rows(data, B, T, D)
    mode, weighted = draw_mode(data)
    kind = data.draw(st.sampled_from(["mask", "lengths", "all"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    options = {"mode": mode}
    if kind == "mask":
        density = data.draw(st.sampled_from([0.0, 0.2, 0.7]))
        options["mask"] = (rng.random((B, T)) < density).astype(data.draw(st.sampled_from(["?", "i8", "u1"])))
    elif kind == "lengths":
        options["lengths"] = rng.integers(0, T, B, endpoint=True).astype(data.draw(st.sampled_from(["i8", "i4"])))
    if weighted:
        options["weights"] = draw_weights(data, (B, T))
    if data.draw(st.booleans()):
        options["normalize"] = True
    result = run(fastemb.pool, x, launches=1 if B and D else 0, **options)
    assert result.dtype == x.dtype
    check(result, reference.pool(x, **options), x.dtype, options.get("normalize"))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_bags_equal_reference(data):
    V, D = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([1, 3, 4, 8]))
    table = draw_rows(data, V, D)
    mode, weighted = draw_mode(data)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    options, offsets = {"mode": mode}, None
    if data.draw(st.booleans()):
        lengths = data.draw(st.lists(st.integers(0, 19), max_size=4))
        offsets = np.cumsum([0, *lengths]).astype(data.draw(st.sampled_from(["i8", "i4", "u2"])))
        shape = (int(offsets[-1]),)
    else:
        shape = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 18))
        if data.draw(st.booleans()):
            options["mask"] = rng.random(shape) < 0.6
    ids = rng.integers(0, V, shape).astype(data.draw(st.sampled_from(["i4", "i8", "u1"])))
    if data.draw(st.booleans()):
        options["padding_idx"] = data.draw(st.integers(-1, V - 1))
    if weighted:
        options["weights"] = draw_weights(data, shape)
    result = run(fastemb.embedding_bag, table, ids, offsets, launches=0, **options)
    check(result, reference.embedding_bag(table, ids, offsets, **options), table.dtype, False)


def coded(rows, bits):
    """A quantised table, of the device, and the numbers that it stands for."""
    codes, scale, offset = reference.quantize(rows, bits)
    packed = codes
    if bits == 4:
        even = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)), constant_values=9)
        packed = even[:, ::2] | even[:, 1::2] << 4
    parts = (_frameworks.of(part).view(part, "codes") for part in on_device((packed, scale, offset)))
    table = fastemb.QuantizedTable._trusted(*parts, rows.shape, bits)
    return table, reference.dequantize(codes, scale, offset)


@pytest.mark.parametrize(("bits", "D"), [(8, 16), (4, 16), (4, 7)])
@pytest.mark.parametrize("mode", ["mean_max", "weighted_mean"])
def test_codes(bits, D, mode):
    rng = np.random.default_rng(D)
    table, numbers = coded(rng.normal(size=(6, D)).astype("f4"), bits)
    ids, offsets = rng.integers(0, 6, 24), np.array([0, 0, 3, 24])
    for options in ({}, {"normalize": True, "padding_idx": 2}):
        result = run(fastemb.embedding_bag, table, ids, offsets, mode=mode, **options)
        expected = reference.embedding_bag(numbers, ids, offsets, mode, **options)
        check(result, expected, np.dtype("f4"), options.get("normalize"))


def test_a_bag_of_5000(monkeypatch):
    monkeypatch.setattr(join, "CUT", 256)
    rng = np.random.default_rng(0)
    table, ids = rng.normal(size=(40, 4)).astype("f4"), rng.integers(0, 40, 5010).astype("i4")
    offsets = np.array([0, 3, 3, 5003, 5010])
    for options in ({"mode": "mean"}, {"mode": "weighted_mean", "padding_idx": 3}):
        result = run(fastemb.embedding_bag, table, ids, offsets, **options)
        expected = reference.embedding_bag(table, ids, offsets, **options)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("options", [{}, {"mode": "mean_max"}, {"normalize": True}], ids=str)
def test_into_out_of_any_strides_and_dtype(dtype, options):
    x = np.random.default_rng(1).normal(size=(3, 5, 6)).astype("f4")
    expected = reference.pool(x, **options)
    for step in (1, 2):
        whole = np.full((3, step * expected.shape[1]), 7, DTYPES[dtype])
        out = on_device(whole[:, ::step])
        assert fastemb.pool(on_device(x), out=out, **options) is out
        check(out._ary, expected, out._ary.dtype, options.get("normalize"))
        assert (whole[:, 1::step] == 7).all() or step == 1


def test_nan_and_infinity_in_maxima():
    x = np.array([[[np.nan, 1, -np.inf, -0.0], [2, np.nan, -np.inf, 0.0], [3, 4, -np.inf, 0.0]]], "f4")
    result = run(fastemb.pool, x, mode="max")
    np.testing.assert_array_equal(result, [[np.nan, np.nan, -np.inf, -0.0]])
    assert np.signbit(result[0, 3])


def test_what_a_mask_leaves_out_is_not_read():
    x = np.array([[[np.nan] * 4, [1] * 4], [[2] * 4, [np.inf] * 4]], "f4")
    assert (run(fastemb.pool, x, np.array([[0, 1], [1, 0]])) == [[1] * 4, [2] * 4]).all()
    ids = np.array([[-100, 0], [0, 9]])
    assert (run(fastemb.embedding_bag, x[1], ids, mask=np.array([[0, 1], [1, 0]])) == 2).all()
    status.cuda_check()


@pytest.mark.parametrize("mode", ["sum", "mean", "max", "mean_sqrt_len", "mean_max"])
@pytest.mark.parametrize("T", [5, 8])
def test_what_the_loop_itself_leaves_out(mode, T):
    """Short rows without weights have no list: each of four entries read at once has a test of its own."""
    rng = np.random.default_rng(T)
    x, mask = rng.normal(size=(24, T, 4)).astype("f4"), rng.random((24, T)) < 0.5
    before = launch.launched
    check(run(fastemb.pool, x, mask, mode=mode), reference.pool(x, mask, mode=mode), x.dtype, False)
    ids = rng.integers(0, 4, (24, T))
    for options in ({"padding_idx": 2}, {"padding_idx": 2, "mask": mask}):
        result = run(fastemb.embedding_bag, x[0], ids, mode=mode, **options)
        check(result, reference.embedding_bag(x[0], ids, mode=mode, **options), x.dtype, False)
    assert launch.launched - before == 3 * (1 + (mode == "mean_max"))  # nothing but joins


def test_bad_values_are_said_later_and_never_fault():
    table, ids = np.ones((3, 4), "f4"), np.array([[0, 3], [1, -7]])
    result = run(fastemb.embedding_bag, table, ids, mode="sum")
    assert (result == 1).all()  # a bad id reads zeros
    with pytest.raises(IndexError, match=r"id at position \(0, 1\) is out of range for a table of 3 rows"):
        status.cuda_check()
    run(fastemb.embedding_bag, table, ids, mode="cls", padding_idx=3)  # found though it is not the first
    with pytest.raises(IndexError, match=r"id at position \(1, 1\)"):
        status.cuda_check()
    for offsets, place in (
        ([1, 2, 4], 0),
        ([0, 3, 2], 2),
        ([0, 3, 2, 4], 2),
        ([0, 5, 4], 1),
        ([0, -1, 4], 1),
        ([0, 2, 3], 2),
        ([0], 0),
    ):
        run(fastemb.embedding_bag, table, np.zeros(4, int), np.array(offsets), launches=1)
        words = f"offset at position {place} is out of range for offsets that ascend from 0 to 4"
        with pytest.raises(ValueError, match=words):
            status.cuda_check()
    run(fastemb.pool, np.ones((2, 3, 4), "f4"), lengths=np.array([3, 4]))
    with pytest.raises(ValueError, match="length at position 1 is out of range for lengths from 0 to 3"):
        status.cuda_check()


@pytest.mark.parametrize("options", [{}, {"mask": np.ones((2, 2), "?")}, {"mode": "last"}, {"padding_idx": 0}], ids=str)
def test_in_sync_mode_nothing_is_written(monkeypatch, options):
    monkeypatch.setattr(status, "mode", "sync")
    table, ids, out = np.ones((3, 4), "f4"), np.array([[0, 2], [1, -7]]), np.full((2, 4), 5, "f4")
    with pytest.raises(IndexError, match=r"id -7 at position \(1, 1\) is out of range for a table of 3 rows"):
        run(fastemb.embedding_bag, table, ids, out=out, **options)
    assert (out == 5).all()
    with pytest.raises(ValueError, match="offset 3 at position 1 is out of range"):
        run(fastemb.embedding_bag, table, ids[0], np.array([0, 3, 2]), out=out)
    run(fastemb.embedding_bag, table, ids[:1], out=out[:1], **({} if "mask" in options else options))


def lengths_apart(x, out):
    return np.abs(out.astype("f8") - reference.normalize(x).astype("f8")).max(initial=0)


NORMALIZED = [("f8", 8), ("f8", 600), ("f4", 7), ("f4", 1100), ("f2", 8), ("bf16", 300)]


@pytest.mark.parametrize(("dtype", "D"), NORMALIZED)
def test_normalize(dtype, D):
    x = np.random.default_rng(D).normal(size=(2, D)).astype(DTYPES[dtype])
    x[1] = -0.0
    for layout in ("plain", "odd place"):
        given = LAYOUTS[layout](x)
        result = run(fastemb.normalize, given)
        assert lengths_apart(x, result) <= 2 * eps(x.dtype)
        assert (result[1] == 0).all()
        assert np.signbit(result[1]).all()
    place = on_device(x.copy())
    assert fastemb.normalize(place, out=place) is place
    np.testing.assert_array_equal(place._ary, result)


def test_normalize_of_what_is_hard():
    x = np.array([[1e-200, 2e-200], [1e200, -1e200], [5e-324, 0], [np.inf, 1], [np.nan, 1]])
    result = run(fastemb.normalize, x)
    with np.errstate(all="ignore"):
        expected = reference.normalize(x[:3])
    np.testing.assert_allclose(result[:3], expected, rtol=1e-15)
    np.testing.assert_array_equal(result[3:], [[np.nan, 0], [np.nan, np.nan]])
    assert run(fastemb.normalize, x[0]).shape == (2,)
    out = np.zeros((2, 2, 2), "f2")[:, ::-1]
    x = np.random.default_rng(0).normal(size=(2, 2, 2)).astype("f4")
    run(fastemb.normalize, x, out=out)
    assert lengths_apart(x, out) <= 2e-3
    assert run(fastemb.normalize, np.zeros((0, 4)), launches=0).shape == (0, 4)


@pytest.mark.parametrize(
    ("launches", "function", "given", "options"),
    [
        (1, "pool", (np.ones((2, 8, 4), "f4"),), {"mask": np.ones((2, 8), "?")}),
        (2, "pool", (np.ones((2, 8, 4), "f4"),), {"lengths": np.array([3, 8])}),
        (2, "pool", (np.ones((2, 9, 4), "f4"),), {}),
        (3, "pool", (np.ones((2, 9, 4), "f4"),), {"mask": np.ones((2, 9), "?")}),
        (2, "pool", (np.ones((2, 9, 4), "f4"),), {"mask": np.ones((2, 9), "?"), "mode": "last"}),
        (1, "embedding_bag", (np.ones((2, 4), "f4"), np.zeros((2, 8), int)), {"padding_idx": 0}),
        (2, "embedding_bag", (np.ones((2, 4), "f4"), np.zeros(8, int), np.array([0, 8])), {}),
        (3, "embedding_bag", (np.ones((2, 4), "f4"), np.zeros(9, int), np.array([0, 9])), {"mode": "weighted_mean"}),
    ],
)  # fmt: skip
def test_as_few_launches_as_there_may_be(launches, function, given, options):
    before = launch.launched
    run(getattr(fastemb, function), *given, **options)
    assert launch.launched - before == launches
