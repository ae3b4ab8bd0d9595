"""``scale_grad_by_freq`` of both backwards: the gradient of a row over how often its id was read."""

import numpy as np
import pytest
from arrays import DTYPES, on_threads, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb.embedding import LayerNorm, embed_backward
from fastemb.pooling import embedding_bag_backward
from fastemb.ragged import Ragged

MODES = ["sum", "mean", "max", "cls", "last", "mean_sqrt_len", "weighted_mean", "mean_max"]


def divided(plain, counts):
    """Return a row gradient of which each row is divided by how often its id occurs."""
    found, times = np.unique(counts, return_counts=True)
    assert np.isin(plain.ids, found).all()
    return plain.rows / times[np.searchsorted(found, plain.ids)][:, np.newaxis].astype(plain.rows.dtype)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(MODES), st.sampled_from(DTYPES), st.sampled_from([None, 0, 3]), st.booleans(), st.booleans(),
    st.integers(1, 5), st.integers(1, 60), st.integers(0, 2**32),
)  # fmt: skip
def test_bags(mode, dtype, padding_idx, masked, normalize, S, T, seed):
    rng = np.random.default_rng(seed)
    table, ids = rng.standard_normal((5, 9)).astype(dtype), rng.integers(0, 5, (S, T))
    mask = rng.random((S, T)) < 0.7 if masked else np.ones((S, T), bool)
    grad = rng.standard_normal((S, 18 if mode == "mean_max" else 9)).astype(dtype)
    options = {"mode": mode, "padding_idx": padding_idx, "normalize": normalize, "mask": mask}
    if mode in ("sum", "mean") and seed % 2:
        options["weights"] = rng.random((S, T))
    plain = embedding_bag_backward(grad, table, ids, **options)
    scaled = embedding_bag_backward(grad, table, ids, **options, scale_grad_by_freq=True)
    assert same_bits(scaled.table.ids, plain.table.ids)
    kept = mask & (ids != padding_idx)
    first, last = kept.argmax(axis=1), T - 1 - kept[:, ::-1].argmax(axis=1)
    if mode in ("cls", "last"):  # one id a bag is read
        alone = np.zeros((S, T), bool)
        alone[np.arange(S), first if mode == "cls" else last] = True
        kept &= alone
    if len(plain.table.ids):
        assert same_bits(scaled.table.rows, divided(plain.table, ids[kept]))
    assert plain.weights is None or same_bits(scaled.weights, plain.weights)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding_idx", [None, 2])
def test_embeddings(dtype, padding_idx, small_grain):
    rng = np.random.default_rng(0)
    table, ids = rng.standard_normal((7, 20)).astype(dtype), rng.integers(0, 7, (6, 90))
    positions, norm = rng.standard_normal((90, 20)).astype(dtype), LayerNorm(np.ones(20, np.float32))
    grad = rng.standard_normal((6, 90, 20)).astype(dtype)
    options = {"positions": positions, "norm": norm, "padding_idx": padding_idx, "scale": 2.0}
    plain = embed_backward(grad, table, ids, **options)
    for scaled in on_threads(lambda: embed_backward(grad, table, ids, **options, scale_grad_by_freq=True)):
        assert same_bits(scaled.table.ids, plain.table.ids)
        np.testing.assert_allclose(scaled.table.rows, divided(plain.table, ids), rtol=1e-6)
        assert same_bits(scaled.positions, plain.positions)
        assert same_bits(scaled.norm[0], plain.norm[0])


def test_by_hand():
    table, rows = np.zeros((9, 1), np.float32), Ragged.from_lists([[5, 1], [5, 5]])
    grad = np.array([[1], [2], [3], [4]], np.float32)
    found = embed_backward(grad, table, rows, scale_grad_by_freq=True).table
    assert found.ids.tolist() == [1, 5]
    assert found.rows[0, 0] == 2
    assert found.rows[1, 0] == np.float32(8) / np.float32(3)
    bags = embedding_bag_backward(grad[:2], table, rows, mode="sum", scale_grad_by_freq=True).table
    assert bags.rows[:, 0].tolist() == [1.0, float(np.float32(5) / np.float32(3))]


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_equals_torchs_embedding(mode):
    """By torch's embedding, reduced by torch; its `embedding_bag` divides some ids by the number of another."""
    torch = pytest.importorskip("torch", reason="no torch here to compare with")
    rng = np.random.default_rng(0)
    table, ids = rng.standard_normal((12, 8), np.float32), rng.integers(0, 12, (5, 30))
    weight = torch.tensor(table, requires_grad=True)
    looked_up = torch.nn.functional.embedding(torch.from_numpy(ids), weight, padding_idx=3, scale_grad_by_freq=True)
    grad = rng.standard_normal((5, 8), np.float32)
    getattr(looked_up, mode)(dim=1).backward(torch.from_numpy(grad))
    rows = np.broadcast_to(grad[:, np.newaxis] / np.float32(30 if mode == "mean" else 1), (5, 30, 8))
    bags = embedding_bag_backward(
        grad / np.float32(1 if mode == "sum" else 30), table, ids, mode="sum", padding_idx=3, scale_grad_by_freq=True
    )
    for found in (bags.table, embed_backward(rows, table, ids, padding_idx=3, scale_grad_by_freq=True).table):
        dense = np.zeros_like(table)
        dense[found.ids] = found.rows
        np.testing.assert_allclose(dense, weight.grad.numpy(), rtol=1e-5, atol=1e-6)
