"""The gradients of embed on the device: those of the CPU, to the bit where there is no norm; the law of their sums."""

from functools import reduce

import numpy as np
import pytest
from embedding_kit import DTYPES, NORMS, call_room, make, make_norm, quantised
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import run

from fastemb import reference
from fastemb._cuda import embedding, embedding_rows
from fastemb._cuda.kernels import join
from fastemb.embedding import LayerNorm, RMSNorm, embed_backward
from fastemb.quantized import quantize
from fastemb.ragged import Ragged


def same(found, expected, exact):
    """Hold all gradients against the CPU's, whose own are held against the oracle."""
    assert (found.table.ids == expected.table.ids).all()
    assert found.table.ids.dtype == expected.table.ids.dtype
    pairs = [(found.table.rows, expected.table.rows), (found.positions, expected.positions)]
    pairs += [(found.segments, expected.segments), *zip(found.norm or (), expected.norm or (), strict=True)]
    assert (found.norm is None) == (expected.norm is None)
    for one, other in pairs:
        assert (one is None) == (other is None)
        if other is not None:
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            tolerance = 0 if exact else 2e-5 if one.dtype == np.float32 else 1e-12
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=10 * tolerance)


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_equals_the_cpu(data):
    draw = data.draw
    D, V, shape = draw(st.integers(2, 40), "D"), draw(st.integers(1, 9), "V"), (2, 4)
    dtype, rng = draw(st.sampled_from(sorted(DTYPES))), np.random.default_rng(draw(st.integers(0, 9)))
    mode = draw(st.sampled_from(["raise", "clip", "wrap"]))
    low, high = (0, V) if mode == "raise" else (-3 * V, 3 * V)
    ids = rng.integers(low, high, shape).astype(draw(st.sampled_from(["i4", "i8", "i2"]), "id dtype"))
    options = {"norm": make_norm(draw(st.sampled_from(NORMS), "norm"), D, dtype, 0.1), "mode": mode}
    options |= {"scale": draw(st.sampled_from([1.0, 1.7])), "padding_idx": draw(st.sampled_from([None, 0, -1]))}
    options["scale_grad_by_freq"] = draw(st.booleans(), "by count")
    if draw(st.booleans(), "positions"):
        options["positions"] = make((6, D), draw(st.sampled_from([dtype, "f4"])), seed=1)
        options["position_ids"] = draw(st.sampled_from([None, rng.integers(0, 6, 4), rng.integers(0, 6, shape)]))
    if draw(st.booleans(), "segments"):
        options |= {"segments": make((3, D), dtype, seed=2), "segment_ids": rng.integers(0, 3, shape)}
    grad = make((*shape, D), draw(st.sampled_from([dtype, "f4"])), seed=5)
    if draw(st.booleans(), "mask"):
        options["mask"] = rng.integers(0, 2, shape)
        ids = np.where(options["mask"], ids, -100).astype(ids.dtype)
        grad[options["mask"] == 0] = np.nan
    table = make((V, D), dtype)
    expected = embed_backward(grad, table, ids, **options)
    same(run(embed_backward, grad, table, ids, **options), expected, options["norm"] is None)


def norm_backward(grad, table, ids, **options):
    """Return the gradients of rows before the norm, of weight and bias, without those of tables, which need a sort."""

    def parts(embeds, grad):
        call = embedding_rows.of("embed_backward", embeds)
        return tuple(one.owner for one in embedding._norm_backward(call, grad))

    return call_room(parts, table, ids, grad=grad, **options)


@pytest.mark.parametrize("form", ["several warps", "in turns"])
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_rows_that_one_warp_does_not_hold(form, norm, monkeypatch):
    most, threads = {"several warps": (2, 512), "in turns": (2, 32)}[form]
    monkeypatch.setattr(embedding_rows, "MOST_STRETCHES", most)
    monkeypatch.setattr(embedding_rows, "MOST_THREADS", threads)
    monkeypatch.setattr(embedding_rows, "LONG_THREADS", 64)
    D = 278
    table, ids, grad = make((5, D)), np.array([0, 3, 4]), make((3, D), seed=5)  # so each row is one of the table's
    options = {"positions": make((3, D), seed=1), "norm": make_norm(norm, D)}
    rows, weight, bias = norm_backward(grad, table, ids, **options)
    expected = embed_backward(grad, table, ids, **options)
    np.testing.assert_allclose(rows, expected.table.rows, rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(weight, expected.norm[0], rtol=2e-5, atol=2e-4)
    assert norm == "rms" or (bias == expected.norm[1]).all()


def test_layouts_of_grad():
    table, ids, wide = make((5, 12)), np.array([0, 4, 0]), make((3, 40), seed=5)
    options = {"norm": make_norm("layer, no bias", 12), "segments": make((1, 12), seed=2)}
    for grad in (wide[:, 3:15], wide[:, 1:25:2], wide[::-1, :12]):
        same(run(embed_backward, grad, table, ids, **options), embed_backward(grad, table, ids, **options), False)


@pytest.mark.parametrize("bits", [8, 4])
def test_quantised_tables(bits, monkeypatch):
    monkeypatch.setattr(embedding_rows, "LONG_THREADS", 32)
    table, ids, grad = quantize(make((6, 13)), bits), np.array([0, 5, 0]), make((3, 13), seed=5)
    options = {"positions": make((3, 13), seed=1), "scale": 3.0, "norm": make_norm("layer", 13)}
    expected = embed_backward(grad, table, ids, **options)
    same(run(embed_backward, grad, quantised(table), ids, **options), expected, False)


def test_a_ragged():
    table, ragged, grad = make((6, 8)), Ragged.from_lists([[1, 2], [], [5, 1, 2]]), make((5, 8), seed=5)
    options = {"positions": make((3, 8), seed=1)}
    (used, rows), positions, *_ = call_room(embedding.embed_backward, table, ragged, grad=grad, **options)
    expected = embed_backward(grad, table, ragged, **options)
    assert (used == expected.table.ids).all()
    assert (rows == expected.table.rows).all()
    assert (positions == expected.positions).all()


@pytest.mark.parametrize("masked", [False, True])
def test_the_law_of_sums(masked, monkeypatch):
    """Gradients of a norm are cut every so many kept rows from the first, to the bit."""
    monkeypatch.setattr(join, "CUT", 8)
    N, D = 43, 6
    table, grad, ids = make((5, D)), make((N, D), seed=5) * 1000, np.arange(N) % 5
    mask = np.random.default_rng(1).integers(0, 4, N) > 0 if masked else np.ones(N, bool)
    options = {"norm": LayerNorm(make((D,), seed=8), make((D,), seed=9))} | ({"mask": mask} if masked else {})
    _, weight, bias = norm_backward(grad, table, ids, **options)
    kept = grad[mask]
    pieces = [reduce(np.add, kept[cut : cut + 8]) for cut in range(0, len(kept), 8)]
    assert bias.tobytes() == reduce(np.add, [piece.astype("f8") for piece in pieces]).astype("f4").tobytes()
    np.testing.assert_allclose(weight, embed_backward(grad, table, ids, **options).norm[0], rtol=1e-5)


def test_more_rows_than_a_piece():
    """The cut of 256, by rows that are 1 when they are normalised: the gradient of the weight is a plain sum."""
    N = 270
    table, ids, grad = np.array([[2.0], [4.0]], "f4"), np.arange(N) % 2, make((N, 1), seed=5)
    _, weight, _ = norm_backward(grad, table, ids, norm=RMSNorm(np.ones(1, "f4"), 0.0))
    assert weight.tobytes() == reference.cut_sum(grad).tobytes()


def test_nothing_to_add():
    table, positions, norm = make((4, 3)), make((6, 3), seed=1), make_norm("layer", 3)
    for ids, mask in ((np.zeros((2, 0), int), None), (np.array([[1, 2]]), np.zeros((1, 2), bool))):
        options = {"positions": positions, "norm": norm, "mask": mask}
        grad = np.full((*ids.shape, 3), np.nan, "f4")
        found = run(embed_backward, grad, table, ids, **options)
        assert found.table.ids.shape == (0,)
        assert found.table.rows.shape == (0, 3)
        assert not found.positions.any()
        for one in found.norm:
            assert one.tobytes() == bytes(12)


def test_bad_ids_are_left_out_and_said_later():
    table, grad = make((4, 8)), make((3, 8), seed=5)
    for norm in (None, make_norm("rms", 8)):
        found = run(embed_backward, grad, table, np.array([1, 4, 1]), norm=norm, positions=make((3, 8), seed=1))
        assert found.table.ids.tolist() == [1]
        assert found.positions.shape == (3, 8)
        words = r"id at position 1 is out of range for a table of 4 rows \(found after an earlier call of embed_back"
        with pytest.raises(IndexError, match=words):
            run(embed_backward, grad, table, np.array([1, 2, 1]))
