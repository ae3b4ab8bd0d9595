"""The gradients of embed: against finite differences and the oracle, and their sums to the bit."""

import numpy as np
import pytest
from arrays import IN_LAYOUTS, same_bits, same_on_threads
from embedding_cases import NORMS, acc_dtype, dense, every_part, make, make_norm
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _memory
from fastemb.embedding import EmbedGrad, LayerNorm, RMSNorm, embed, embed_backward
from fastemb.quantized import quantize
from fastemb.ragged import Ragged


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_those_of_finite_differences(norm):
    table, ids, options = every_part(norm)
    grad = make((*ids.shape, 11), "f8", seed=5)
    found = embed_backward(grad, table, ids, **options)
    assert isinstance(found, EmbedGrad)
    pairs = [(table, dense(found.table, 12)), (options["positions"], found.positions)]
    pairs.append((options["segments"], found.segments))
    if norm == "none":
        assert found.norm is None
    else:
        pairs.append((options["norm"].weight, found.norm[0]))
        if norm == "layer":
            pairs.append((options["norm"].bias, found.norm[1]))
        else:
            assert found.norm[1] is None
    for array, result in pairs:
        assert result.dtype == np.float64
        assert result.shape == array.shape
        slopes, step = np.zeros(array.shape), 1e-6
        for place in np.ndindex(array.shape):
            before, ends = array[place], []
            for value in (before + step, before - step):
                array[place] = value
                ends.append((embed(table, ids, **options) * grad).sum())
            array[place] = before
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(result, slopes, rtol=1e-6, atol=1e-7)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_gradients_equal_reference(framework, data):
    draw = data.draw
    D, V = draw(st.integers(1, 200), "D"), draw(st.integers(1, 40), "V")
    shape = draw(st.sampled_from([(0,), (1,), (7,), (3, 4), (2, 0), (2, 3, 5), (40, 17)]), "shape")
    dtype = draw(st.sampled_from(["f8", "f4", "f2"]), "dtype")
    layout = draw(st.sampled_from(IN_LAYOUTS), "layout")
    rng = np.random.default_rng(draw(st.integers(0, 99), "seed"))
    table, id_dtype = make((V, D), dtype, layout), draw(st.sampled_from(["i1", "u2", "i8", "u8"]), "id dtype")
    ids = rng.integers(0, V, shape).astype(id_dtype)
    options = {"norm": make_norm(draw(st.sampled_from(NORMS), "norm"), D, dtype, 0.1)}
    if draw(st.booleans(), "positions"):
        options["positions"] = make((20, D), dtype, layout, seed=1)
        form = draw(st.sampled_from([None, shape, shape[-1:], (), (*shape[:-1], 1)]), "position ids")
        if form is not None:
            options["position_ids"] = rng.integers(0, 20, form)
    if draw(st.booleans(), "segments"):
        options["segments"] = make((3, D), dtype, layout, seed=2)
        if draw(st.booleans(), "segment ids"):
            options["segment_ids"] = rng.integers(0, 3, shape)
    if draw(st.booleans(), "scale"):
        options["scale"] = -2.5
    grad = make(
        (*shape, D),
        draw(st.sampled_from({"f8": ["f8", "f4"], "f4": ["f8", "f4"], "f2": ["f2"]}[dtype]), "grad dtype"),
        layout,
        seed=5,
    )
    grad, table, ids, options = framework.held((grad, table, ids, options))
    made = framework.make((grad, table, ids, options))
    found = framework.back(embed_backward(*made[:3], **made[3]))
    expected = reference.embed_backward(grad, table, ids, **options)
    assert found.table.ids.dtype == id_dtype
    assert np.array_equal(found.table.ids, np.unique(ids))
    results = {"table": dense(found.table, V), "positions": found.positions, "segments": found.segments}
    if found.norm is not None:
        results |= {"weight": found.norm[0], "bias": found.norm[1]}
    tolerance = 1e-12 if dtype == "f8" else 2e-4
    for name, result in results.items():
        if result is None:
            given_bias = getattr(options["norm"], "bias", None) is not None
            assert not given_bias if name == "bias" else name not in options
            continue
        assert result.dtype == acc_dtype(dtype)
        np.testing.assert_allclose(result, expected[name], rtol=tolerance, atol=tolerance * max(1, ids.size) ** 0.5 * 4)


def test_sums_of_gradients_are_cut_every_256_rows():
    """The law, to the bit: the rows of a piece in order, then the sums of the pieces in float64, rounded once."""
    D, ids = 21, np.zeros((3, 300), np.int64)
    grad, table = make((3, 300, D), seed=5), make((1, D))
    found = embed_backward(grad, table, ids, norm=LayerNorm(np.ones(D, "f4"), np.zeros(D, "f4")))
    flat = grad.reshape(-1, D)
    pieces = [np.add.accumulate(flat[k : k + 256], axis=0)[-1] for k in range(0, 900, 256)]
    total = np.add.accumulate(np.array(pieces, "f8"), axis=0)[-1].astype("f4")
    assert same_bits(found.norm[1], total)
    plain = embed_backward(grad, table, ids, positions=make((300, D)), segments=make((2, D)), scale=3)
    assert same_bits(plain.table.rows, total[None] * np.float32(3))
    assert same_bits(plain.segments, np.stack([total, np.zeros(D, "f4")]))
    assert same_bits(plain.positions, grad[0] + grad[1] + grad[2])
    assert plain.norm is None


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_sums_of_many_gradients_are_right(norm, small_grain, general_road):
    """Of a million equal rows, where float32 sums of the pieces are off by 4e-5; the same bits on all threads."""
    N, D = 1_000_000, 3
    table, ids = np.array([[1, 3, 8]], "f4"), np.zeros(N, np.int32)
    grad = np.tile(np.array([0.1, 0.3, 0.7], "f4"), (N, 1))
    zeros = np.zeros((1, D), "f4")
    options = {"positions": zeros, "position_ids": 0, "segments": zeros, "norm": make_norm(norm, D)}
    expected = reference.embed_backward(grad, table, ids, **options)

    def both():
        found = embed_backward(grad, table, ids, **options)
        plain = embed_backward(grad, table, ids, **options | {"norm": None})
        return [*found.norm[: 1 + (norm == "layer")], plain.table.rows, plain.positions, plain.segments]

    weight, *sums = same_on_threads(both)
    np.testing.assert_allclose(weight, expected["weight"], rtol=1e-5)
    for result in sums:
        np.testing.assert_allclose(result.reshape(D), grad.sum(axis=0, dtype="f8"), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_threads_give_the_same_bits(dtype, small_grain, general_road, monkeypatch):
    table, ids = make((200, 100), dtype), np.random.default_rng(2).integers(0, 200, (23, 61))
    options = {"positions": make((61, 100), dtype, seed=1), "segments": make((3, 100), dtype, seed=2)}
    options |= {"segment_ids": ids % 3, "norm": make_norm("layer", 100), "scale": 3.0}
    grad = make((23, 61, 100), dtype, seed=3)
    results = []
    for limit in (0, 1 << 60):
        monkeypatch.setattr(_memory, "STREAM_BYTES", limit)
        found = same_on_threads(lambda: embed_backward(grad, table, ids, **options))
        results.append([found.table.rows, found.positions, found.segments, *found.norm])
    assert all(map(same_bits, *results))


def test_padding_is_left_out_of_the_table_only():
    table, ids, options = every_part("layer")
    grad = make((*ids.shape, 11), "f8", seed=5)
    whole, found = (embed_backward(grad, table, ids, **options, padding_idx=k) for k in (None, 7))
    kept = whole.table.ids != 7
    assert not kept.all()
    assert same_bits(found.table.ids, whole.table.ids[kept])
    assert same_bits(found.table.rows, whole.table.rows[kept])
    assert same_bits(found.positions, whole.positions)
    assert same_bits(found.segments, whole.segments)
    assert same_bits(found.norm[0], whole.norm[0])
    with pytest.raises(TypeError, match="padding_idx must be an integer or None, got a bool"):
        embed_backward(grad, table, ids, padding_idx=True)


def test_the_row_that_was_read_gets_the_gradient():
    table, grad = make((300, 3)), np.ones((3, 3), "f4")
    ids = np.array([-1, 5, 127], "i1")
    found = embed_backward(grad, table, ids, mode="wrap")
    assert found.table.ids.tolist() == [5, 127, 299]
    assert found.table.ids.dtype == np.int64  # 299 does not fit int8
    found = embed_backward(grad, table[:100], ids, mode="clip", padding_idx=99)
    assert found.table.ids.tolist() == [0, 5]
    assert found.table.ids.dtype == np.int8


def test_gradients_of_quantised_and_ragged():
    table, ragged = quantize(make((30, 37))), Ragged.from_lists([[3, 4, 5], [], [29, 3]])
    positions, grad = make((4, 37), seed=1), make((5, 37), seed=5)
    norm = make_norm("layer", 37)
    found = embed_backward(grad, table, ragged, positions=positions, norm=norm)
    places = np.array([0, 1, 2, 0, 1])
    expected = reference.embed_backward(
        grad, table.dequantize(), ragged.ids, positions=positions, position_ids=places, norm=norm
    )
    assert found.table.ids.dtype == np.int32
    np.testing.assert_allclose(dense(found.table, 30), expected["table"], atol=1e-4)
    np.testing.assert_allclose(found.positions, expected["positions"], atol=1e-4)
    np.testing.assert_allclose(found.norm[0], expected["weight"], atol=1e-4)


def test_gradients_of_nothing():
    norm = make_norm("layer", 5)
    found = embed_backward(np.zeros((0, 5), "f4"), make((3, 5)), [], positions=make((4, 5)), norm=norm)
    assert found.table.ids.size == 0
    assert found.table.rows.shape == (0, 5)
    assert same_bits(found.positions, np.zeros((4, 5), "f4"))
    assert same_bits(found.norm[0], np.zeros(5, "f4"))
    found = embed_backward(np.zeros((2, 0), "f4"), np.zeros((3, 0), "f4"), [1, 2], norm=RMSNorm(np.zeros(0)))
    assert found.table.rows.shape == (2, 0)
    assert found.norm[0].shape == (0,)


def test_one_odd_row_does_not_spoil_the_others():
    """Columns behind the last one take no part, whatever normalisation makes of the zeros there."""
    table = np.full((2, 5), 2.0**120, "f4")
    table[1] = [1, 2, 3, 4, 5]
    grad = np.ones((2, 5), "f4")
    found = embed_backward(grad, table, [0, 1], norm=LayerNorm(np.ones(5, "f4"), eps=1e-5))
    assert (found.table.rows[0] == 0).all()
    assert np.isfinite(found.table.rows[1]).all()
    assert np.isfinite(found.norm[0]).all()
