"""Runs of one id in row_grad and scatter_add: cut every 256 rows, on any threads, in every row size and layout."""

import numpy as np
import pytest
from arrays import BF16, LAYOUTS, by_eight_callers, fence_stands, fenced, same_bits, same_on_threads
from gradient_cases import FLOATS, LENGTHS, check_row_grad, check_scatter_add, make, make_runs

import fastemb.reference as reference
from fastemb import _threads
from fastemb._cpu.kernels import gradient as kernels
from fastemb.gradient import row_grad, scatter_add


@pytest.mark.parametrize("D", [1, 2, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 80, 96, 127, 128, 129, 192, 300, 384])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_row_size_between_sentinels(dtype, D):
    ids = np.array([5, 0, 5, 7, 2, 5, 2])
    grad = make((7, D), dtype)
    check_row_grad(ids, grad)
    target = fenced((8, D), dtype, shift=61 * grad.itemsize)
    target[...] = make((8, D), dtype, seed=1)
    expected = reference.scatter_add(target, ids, grad, -0.5)
    scatter_add(target, ids, grad, alpha=-0.5)
    assert same_bits(target, expected)
    assert fence_stands(target)


@pytest.mark.parametrize(("dtype", "D"), [*((dtype, 70) for dtype in FLOATS), ("f4", 5)], ids=str)
def test_runs_are_cut_at_every_256(dtype, D):
    ids = make_runs(LENGTHS)
    grad, target = make((len(ids), D), dtype), make((len(LENGTHS), D), dtype)
    found = check_row_grad(ids, grad)
    check_row_grad(ids[:3000], grad[:3000], padding_idx=7, scale_grad_by_freq=True)
    check_scatter_add(target, ids, grad, alpha=-0.01)
    plain = np.zeros_like(found.rows)
    np.add.at(plain, ids, grad.astype(plain.dtype))
    assert not same_bits(found.rows, plain)  # the cut can be seen in the bits
    np.testing.assert_allclose(found.rows, plain, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", ["f8", "f4", BF16])
@pytest.mark.parametrize("lengths", [LENGTHS, [20_000], [1] * 3000, [3000, *[1, 2, 0, 300] * 40, 5000], [700] * 9])
def test_threads_give_the_same_bits(lengths, dtype, small_grain):
    ids = make_runs(lengths)
    grad, target = make((len(ids), 37), dtype), make((len(lengths), 37), dtype, seed=1)

    def all_three():
        found = [*row_grad(ids, grad), *row_grad(ids, grad, padding_idx=2, scale_grad_by_freq=True)]
        return [*found, scatter_add(target.copy(), ids, grad, alpha=-0.3)]

    first = same_on_threads(all_three)
    if len(ids) < 3001:
        assert same_bits(first[1], reference.row_grad(ids, grad)[1])
        assert same_bits(first[4], reference.scatter_add(target, ids, grad, -0.3))


@pytest.mark.parametrize(("dtype", "D"), [("f8", 5), ("f4", 5), ("f4", 70), ("f2", 17), (BF16, 5)])
def test_pieces_are_never_cut_again(dtype, D, small_grain):
    """Runs longer than 65,536 are more than a piece of pieces; threads cut them inside."""
    ids = make_runs([70_000, 5, 300_000])
    grad, target = make((len(ids), D), dtype), make((3, D), dtype, seed=1)
    expected = reference.row_grad(ids, grad)[1], reference.scatter_add(target, ids, grad, -0.3)
    found = same_on_threads(lambda: (row_grad(ids, grad).rows, scatter_add(target.copy(), ids, grad, alpha=-0.3)))
    assert all(map(same_bits, found, expected))


@pytest.mark.parametrize("D", [5, 70])
@pytest.mark.parametrize("dtype", ["f4", "f2", BF16])
def test_a_mean_of_a_million_equal_gradients(dtype, D, small_grain):
    row = np.random.default_rng(D).uniform(0.1, 1, D).astype(dtype)
    grad = np.broadcast_to(row, (10**6 + 300, D))  # which takes the memory of one row
    ids = np.random.default_rng(1).permutation(np.repeat([7, 2], [10**6, 300]))

    def both():
        target = scatter_add(np.zeros((8, D), "f4"), ids, grad, alpha=1e-6)
        return row_grad(ids, grad, scale_grad_by_freq=True).rows, target[[7]]

    means, target = same_on_threads(both)
    np.testing.assert_allclose(means, [row.astype("f8")] * 2, rtol=1e-5)
    np.testing.assert_allclose(target, [row.astype("f8")], rtol=1e-5)


def test_pieces_are_added_in_float64_and_rounded_once(small_grain):
    """1 + 2**-24 + 2**-24, of which float32 loses both, one a piece."""
    grad = np.zeros((3 * 256, 70), "f4")
    grad[[0, 300, 700]] = [[1], [2.0**-24], [2.0**-24]]
    ids = np.zeros(len(grad), int)
    for result in same_on_threads(lambda: (row_grad(ids, grad).rows, scatter_add(np.zeros((1, 70), "f4"), ids, grad))):
        assert (result == np.float32(1 + 2.0**-23)).all()


def test_views_of_every_kind(small_grain):
    ids = np.random.default_rng(0).integers(0, 9, (6, 5))
    row, everything = make((5,), "f4"), np.broadcast_to(np.float32(2), (6, 5, 5))
    for grad in (np.broadcast_to(row, (6, 5, 5)), everything, make((5, 6, 5), "f4").transpose(1, 0, 2)):
        check_row_grad(ids, grad)
        with _threads.num_threads(3):
            check_row_grad(ids.T, grad.transpose(1, 0, 2))
    whole = make((40, 30), "f4")
    check_scatter_add(whole[3:31:3, 4:21], ids, make((6, 5, 17), "f4"))
    check_scatter_add(whole[31:3:-3, 4:21], ids, make((6, 5, 17), "f2"))


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_ids_far_apart_are_sorted_by_numpy(dtype, monkeypatch):
    ids = np.array([2**62, 5, 2**62, 0, 5, 2**62 + 1], dtype)
    grad = make((6, 3), "f4")
    check_row_grad(ids, grad)
    check_row_grad(ids, grad, padding_idx=2**62, scale_grad_by_freq=True)
    check_row_grad(ids, grad, padding_idx=2**70)
    monkeypatch.setattr(kernels, "LIMIT", 100)  # as for 2**31 ids
    ids = make_runs([700, 3, 1, 300]).astype(dtype)
    check_row_grad(ids, make((len(ids), 3), "f4"), padding_idx=1)
    check_scatter_add(make((4, 3), "f4"), ids, make((len(ids), 3), "f4"))


def test_eight_callers_at_once(small_grain):
    jobs = [(make_runs([900, 3, 1, 300, *[2] * 50], k), make((1304, 20), "f2", seed=k)) for k in range(32)]
    expected = [(reference.row_grad(*job), reference.scatter_add(np.ones((54, 20), "f4"), *job)) for job in jobs]
    both = by_eight_callers(lambda *job: (row_grad(*job), scatter_add(np.ones((54, 20), "f4"), *job)), jobs)
    for (found, target), (wanted, wanted_target) in zip(both, expected, strict=True):
        assert all(map(same_bits, found, wanted))
        assert same_bits(target, wanted_target)


def test_few_compilations():
    """A kernel for each dtype, each way to say where sums go and each type of target; not for layouts."""
    ids = np.array([1, 1, 0])
    for dtype in FLOATS:
        row_grad(ids, make((3, 5), dtype))
        scatter_add(make((3, 5), dtype), ids, make((3, 5), dtype))
    before = len(kernels.put_runs.signatures)
    for dtype in FLOATS:
        for layout in LAYOUTS:
            row_grad(ids, make((3, 70), dtype, layout), scale_grad_by_freq=True)
            if layout != "read-only":
                scatter_add(make((3, 70), dtype, layout), ids, make((3, 70), dtype, layout), alpha=2)
    assert len(kernels.put_runs.signatures) == before
