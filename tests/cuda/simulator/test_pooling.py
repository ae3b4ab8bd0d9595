"""Pools and bags on the device: the bits of the reference, whatever is left out and wherever things lie."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import Ragged, on_device, run

import fastemb
from fastemb import reference
from fastemb._checks import POOL_MODES
from fastemb._cuda.kernels import join

DTYPES = {"f8": "f8", "f4": "f4", "f2": "f2", "bf16": ml_dtypes.bfloat16}
#: Axes of length D apart, and rows of every alignment.
LAYOUTS = {
    "plain": lambda x: x,
    "rows apart": lambda x: np.repeat(x, 2, axis=-2)[..., ::2, :],
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
    return LAYOUTS[data.draw(st.sampled_from(sorted(LAYOUTS)))](x.astype(DTYPES[data.draw(st.sampled_from(sorted(DTYPES)))]))


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


@settings(max_examples=30, deadline=None)
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


@settings(max_examples=30, deadline=None)
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


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("D", [16, 7])
@pytest.mark.parametrize("mode", ["mean", "mean_max", "last", "weighted_mean"])
def test_codes(bits, D, mode):
    rng = np.random.default_rng(D)
    table = fastemb.quantize(rng.normal(size=(6, D)).astype("f4"), bits)
    ids, offsets = rng.integers(0, 6, 24), np.array([0, 0, 3, 24])
    there = fastemb.QuantizedTable._trusted(
        *(view(on_device(part.copy())) for part in (table.codes, table.scale, table.offset)), table.shape, bits
    )
    for options in ({}, {"normalize": True}, {"padding_idx": 2}):
        result = fastemb.embedding_bag(there, on_device(ids), on_device(offsets), mode=mode, **options)
        expected = reference.embedding_bag(table.dequantize(), ids, offsets, mode, **options)
        check(result._ary, expected, np.dtype("f4"), options.get("normalize"))


def view(array):
    from fastemb import _frameworks

    return _frameworks.of(array).view(array, "codes")


def test_a_ragged_and_a_bag_of_5000(monkeypatch):
    monkeypatch.setattr(join, "CUT", 256)
    rng = np.random.default_rng(0)
    table, ids = rng.normal(size=(40, 4)).astype("f4"), rng.integers(0, 40, 5010).astype("i4")
    ragged = Ragged(ids, np.array([0, 3, 3, 5003, 5010]))
    for options in ({"mode": "mean"}, {"mode": "weighted_mean", "padding_idx": 3}):
        result = run(fastemb.embedding_bag, table, ragged, **options)
        expected = reference.embedding_bag(table, ids, ragged.offsets, **options)
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
    fastemb.cuda_check()
