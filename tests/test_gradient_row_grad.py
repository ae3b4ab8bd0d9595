"""row_grad against its oracle, to the bit."""

import re

import numpy as np
import pytest
from arrays import BF16, ID_DTYPES, IN_LAYOUTS, same_bits
from gradient_cases import FLOATS, check_row_grad, make, make_runs
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import _threads
from fastemb.gradient import row_grad, scatter_add
from fastemb.lookup import gather
from fastemb.ragged import Ragged

ONES = np.ones((3, 2), np.float32)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(FLOATS),
    st.sampled_from(IN_LAYOUTS),
    st.sampled_from(ID_DTYPES),
    st.lists(st.integers(0, 7), max_size=3),
    st.integers(0, 150),
    st.sampled_from([1, 2, 10, 127]),
    st.sampled_from([None, 0, 3, 500]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_row_grad_equals_reference(framework, dtype, layout, int_dtype, shape, D, V, padding_idx, by_freq, seed):
    ids = np.random.default_rng(seed).integers(0, V, shape).astype(int_dtype)
    grad = make((*shape, D), dtype, layout, seed)
    check_row_grad(ids, grad, framework, padding_idx=padding_idx, scale_grad_by_freq=by_freq)


@pytest.mark.parametrize("shape", [(6,), (2, 3), ()])
def test_finite_differences_of_gather(shape):
    rng = np.random.default_rng(3)
    table, w = rng.standard_normal((5, 4)), rng.standard_normal((*shape, 4))
    ids = rng.integers(0, 5, shape)
    found, step = row_grad(ids, w), 1e-6
    dense = np.zeros_like(table)
    dense[found.ids] = found.rows
    for place in np.ndindex(table.shape):
        up, down = table.copy(), table.copy()
        up[place] += step
        down[place] -= step
        slope = ((gather(up, ids) * w).sum() - (gather(down, ids) * w).sum()) / (2 * step)
        assert dense[place] == pytest.approx(slope, abs=1e-8)


def test_two_gradients_merge():
    grad, ids = make((600, 20), "f4"), make_runs([500, 50, 25, 25])
    a, b = row_grad(ids[:256], grad[:256]), row_grad(ids[256:], grad[256:])
    merged = row_grad(np.concatenate([a.ids, b.ids]), np.concatenate([a.rows, b.rows]))
    whole = row_grad(ids, grad)
    assert same_bits(merged.ids, whole.ids)
    np.testing.assert_allclose(merged.rows, whole.rows, rtol=1e-5, atol=1e-5)
    assert all(map(same_bits, row_grad(*whole), whole))  # of one alone it is itself
    # Whole pieces on either side, each of one run: the same additions, so the same bits.
    ids, grad = np.zeros(512, "i4"), make((512, 20), "f4")
    a, b = row_grad(ids[:256], grad[:256]), row_grad(ids[256:], grad[256:])
    merged = row_grad(np.concatenate([a.ids, b.ids]), np.concatenate([a.rows, b.rows]))
    assert same_bits(merged.rows, row_grad(ids, grad).rows)


def test_row_grad_is_what_torch_coalesces():
    torch = pytest.importorskip("torch", reason="torch, whose sums these are, comes with the extra 'bench'")
    ids, grad = np.random.default_rng(0).integers(0, 50, 300), make((300, 12), "f4")
    found = row_grad(ids, grad)
    index, values = torch.from_numpy(ids)[None], torch.from_numpy(grad)
    theirs = torch.sparse_coo_tensor(index, values, (50, 12), check_invariants=True).coalesce()
    assert found.ids.tolist() == theirs.indices()[0].tolist()
    np.testing.assert_allclose(found.rows, theirs.values().numpy(), rtol=1e-5, atol=1e-5)
    layer = torch.nn.Embedding(50, 12, padding_idx=7, scale_grad_by_freq=True)
    (layer(torch.from_numpy(ids)) * torch.from_numpy(grad)).sum().backward()
    found = row_grad(ids, grad, padding_idx=7, scale_grad_by_freq=True)
    dense = np.zeros((50, 12), "f4")
    dense[found.ids] = found.rows
    np.testing.assert_allclose(dense, layer.weight.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_forms_of_ids():
    grad = make((4, 3), "f4")
    found = row_grad([2, 0, 2, 1], grad)
    assert same_bits(found.ids, np.array([0, 1, 2]))
    assert all(map(same_bits, row_grad(Ragged([2, 0, 2, 1], [0, 1, 4]), grad), (found.ids.astype("i4"), found.rows)))
    assert all(map(same_bits, row_grad(np.array([[2, 2], [0, 1]]).T, grad.reshape(2, 2, 3)), found))
    assert all(
        map(
            same_bits,
            row_grad(Ragged.from_lists([[9], [2, 0], [2, 1]])[1:], grad),
            (found.ids.astype("i4"), found.rows),
        )
    )
    one = row_grad(7, grad[0])
    assert same_bits(one.ids, np.array([7]))
    assert same_bits(one.rows, grad[:1])
    assert row_grad(np.uint8(7), grad[0]).ids.dtype == np.uint8
    target = np.zeros((3, 3), "f4")
    scatter_add(target, Ragged([2, 0, 2, 1], [0, 1, 4]), grad)
    assert same_bits(target, found.rows)
    assert same_bits(scatter_add(np.zeros((3, 3), "f4"), 1, grad[0])[1], grad[0])


def test_nothing_to_add():
    for shape in ((0,), (3, 0), (0, 2, 5)):
        found = row_grad(np.zeros(shape, "i4"), np.zeros((*shape, 6), BF16))
        assert same_bits(found.ids, np.zeros(0, "i4"))
        assert same_bits(found.rows, np.zeros((0, 6), "f4"))
    assert same_bits(row_grad([], np.zeros((0, 2))).ids, np.zeros(0, "i8"))
    found = row_grad([3, 3, 1], np.zeros((3, 0), "f4"))
    assert found.ids.tolist() == [1, 3]
    assert found.rows.shape == (2, 0)
    assert row_grad([3, 3], np.ones((2, 4)), padding_idx=3).rows.shape == (0, 4)
    target = np.ones((4, 3))
    assert scatter_add(target, [], np.zeros((0, 3))) is target
    assert (target == 1).all()
    assert scatter_add(np.zeros((4, 0)), [1], np.zeros((1, 0))).shape == (4, 0)
    assert scatter_add(np.zeros((0, 3)), [], np.zeros((0, 3))).shape == (0, 3)


def test_work_is_shared_out_evenly(small_grain, monkeypatch):
    """Whatever the lengths of runs, no range has much more to do than the others."""
    cuts = []
    run = _threads.run
    monkeypatch.setattr(_threads, "run", lambda work, at: (cuts.append(at), run(work, at)))
    for lengths in ([20_000], [10_000, *[1] * 10_000], [*[1] * 10_000, 10_000], [1] * 20_000, [3] * 7000):
        ids = make_runs(lengths)
        with _threads.num_threads(4):
            row_grad(ids, make((len(ids), 3), "f4"))
        pieces = []
        for length in lengths:
            pieces += [min(256, length - at) for at in range(0, length, 256)]
        cost = np.concatenate([[0], np.cumsum(pieces)])[cuts.pop()]
        work = np.diff(cost)
        assert len(work) == 4
        assert work.max() <= len(ids) * 0.45, (lengths[:3], work)


def test_a_large_result_goes_past_the_caches():
    """8 MiB and more, in memory of the pool that has been used before."""
    ids = np.random.default_rng(0).integers(0, 30_000, 30_000)
    for dtype, D in (("f4", 128), ("f8", 72), ("f4", 144), ("f4", 130)):
        grad = make((len(ids), D), dtype)
        first = row_grad(ids, grad)
        assert first.rows.nbytes > 8 << 20
        expected = first.rows.copy()
        truth = np.zeros((30_000, D))
        np.add.at(truth, ids, grad.astype("f8"))
        np.testing.assert_allclose(expected, truth[first.ids], rtol=1e-4, atol=1e-5)
        del first
        for n in (1, 2):
            with _threads.num_threads(n):
                assert same_bits(row_grad(ids, grad).rows, expected)


def test_ids_that_no_table_has():
    grad = np.ones((3, 2), "f4")
    for dtype in ("i1", "i4", "i8", ">i8"):
        with pytest.raises(IndexError, match=r"^id -2 at position 1 is negative; ids count rows of a table from 0$"):
            row_grad(np.array([5, -2, -3], dtype), grad)
    with pytest.raises(IndexError, match=r"^id -1 at position \(2, 0\) is negative"):
        row_grad([[0], [1], [-1]], grad[:, None])
    with pytest.raises(IndexError, match=r"^id -1 is negative"):
        row_grad(-1, grad[0])
    with pytest.raises(IndexError, match=r"^id -1 at position 2 is negative"):
        row_grad(Ragged([0, 1, -1], [0, 3]), grad)
    with pytest.raises(IndexError, match=r"^id 9223372036854775808 at position 1 is beyond int64"):
        row_grad(np.array([0, 2**63, 1], np.uint64), grad)


@pytest.mark.parametrize(
    ("ids", "grad", "options", "error", "words"),
    [
        ([0.5], ONES[:1], {}, TypeError, "ids must have an integer dtype, got dtype float64"),
        ([True], ONES[:1], {}, TypeError, "ids must have an integer dtype, got dtype bool"),
        ([0], [[1.0, 2.0]], {}, TypeError, "grad must be a numpy.ndarray"),
        ([0], np.ones((1, 2), int), {}, TypeError, "grad must have dtype float64, .* or bfloat16, got int64"),
        ([0], np.ma.ones((1, 2)), {}, TypeError, "grad is a masked array"),
        ([0], np.ones((1, 2), "c8"), {}, TypeError, "grad must have dtype .* got complex64"),
        ([0, 1], ONES, {}, ValueError, r"grad must have shape \(2, D\) for ids of shape \(2,\), got \(3, 2\)$"),
        ([[0, 1]], ONES[:2], {}, ValueError, r"grad must have shape \(1, 2, D\) for .* \(1, 2\), got \(2, 2\)$"),
        ([0, 1, 2], np.ones(3, "f4"), {}, ValueError, r"grad must have shape \(3, D\) .* got \(3,\)$"),
        (0, ONES, {}, ValueError, r"grad must have shape \(D,\) for ids of shape \(\), got \(3, 2\)$"),
        ([0, 1, 2], ONES, {"padding_idx": 1.0}, TypeError, "padding_idx must be an integer or None, got float"),
        ],
)  # fmt: skip
def test_row_grad_refuses(ids, grad, options, error, words):
    with pytest.raises(error, match=words):
        row_grad(ids, grad, **options)


@pytest.mark.parametrize("int_dtype", ["i1", "i4", "i8", ">i8"])
@pytest.mark.parametrize("n", [3, 20_000])
def test_padding_is_compared_as_it_is(framework, n, int_dtype, small_grain):
    """-100 and -1 are ids that may be left out, and never the last row; nothing about those rows is looked at."""
    ids = np.random.default_rng(n).integers(0, 9, n).astype(int_dtype)
    grad = make((n, 5), "f4")
    for padding in (-100, -1):
        some = np.where(ids < 4, padding, ids).astype(int_dtype)
        rows = np.where((some == padding)[:, None], np.float32("nan"), grad)
        for by_freq in (False, True):
            found = check_row_grad(some, rows, framework, padding_idx=padding, scale_grad_by_freq=by_freq)
            assert not np.isnan(found.rows).any()
            assert found.ids.tolist() == sorted({*some.tolist()} - {padding})
    check_row_grad(ids, grad, framework, padding_idx=-1)  # which does not occur: nothing is left out
    assert row_grad(ids, grad, padding_idx=-1).ids.tolist() == sorted({*ids.tolist()})


def test_padding_of_other_negative_ids(general_road):
    grad = make((2, 3, 4), "f4")
    for padding, place in ((-100, (0, 2)), (-1, (0, 1)), (None, (0, 1)), (-(2**70), (0, 1))):
        ids = np.array([[3, -100, -1], [2, -100, 0]])
        with pytest.raises(IndexError, match=rf"^id {ids[place]} at position {re.escape(str(place))} is negative"):
            row_grad(ids, grad, padding_idx=padding)
    every = row_grad(np.full((2, 3), -1), grad, padding_idx=-1)
    assert (every.ids.tolist(), every.rows.shape) == ([], (0, 4))
    beyond = np.array([2**64 - 1, 7, 2**63], np.uint64)
    assert row_grad(beyond[:2], grad[0, :2], padding_idx=2**64 - 1).ids.tolist() == [7]
    with pytest.raises(IndexError, match=r"^id 9223372036854775808 at position 2 is beyond int64"):
        row_grad(beyond, grad[0], padding_idx=2**64 - 1)
