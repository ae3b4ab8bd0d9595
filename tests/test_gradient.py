"""row_grad and scatter_add against their oracles, to the bit."""

from functools import partial

import numpy as np
import pytest
from arrays import BF16, DTYPES, by_eight_callers, lay, on_threads, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _threads
from fastemb._cpu.gradient import Runs
from fastemb._cpu.kernels import gradient as kernels
from fastemb.gradient import RowGrad, row_grad, scatter_add
from fastemb.lookup import gather
from fastemb.ragged import Ragged

FLOATS = [np.dtype(dtype) for dtype in DTYPES]
INTS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">i8"]
LAYOUTS = ["plain", "read-only", "rows apart", "reversed", "strided", "fortran", "misaligned", "swapped"]


def make(shape, dtype, layout="plain", seed=0):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return lay(values, "plain" if layout == "swapped" and dtype == BF16 else layout) if values.ndim else values


def check_row_grad(ids, grad, **options):
    before = grad.tobytes()
    found, expected = row_grad(ids, grad, **options), reference.row_grad(ids, grad, **options)
    assert isinstance(found, RowGrad)
    assert same_bits(found.ids, expected[0])
    assert same_bits(found.rows, expected[1])
    assert grad.tobytes() == before
    return found


def check_scatter_add(target, ids, rows, **options):
    whole = target if target.base is None else target.base
    expected, given_rows = reference.scatter_add(target, ids, rows, **options), rows.tobytes()
    fence = whole.copy()
    assert scatter_add(target, ids, rows, **options) is target
    assert same_bits(target, expected)
    assert rows.tobytes() == given_rows
    target[...] = 0
    np.ndarray(target.shape, target.dtype, fence, _offset(target, whole), target.strides)[...] = 0
    assert fence.tobytes() == whole.tobytes()  # nothing beside the target was written


def _offset(view, whole):
    return view.ctypes.data - whole.ctypes.data


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(FLOATS),
    st.sampled_from(LAYOUTS),
    st.sampled_from(INTS),
    st.lists(st.integers(0, 7), max_size=3),
    st.integers(0, 150),
    st.sampled_from([1, 2, 10, 127]),
    st.sampled_from([None, 0, 3, 500]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_row_grad_equals_reference(dtype, layout, int_dtype, shape, D, V, padding_idx, by_freq, seed):
    ids = np.random.default_rng(seed).integers(0, V, shape).astype(int_dtype)
    grad = make((*shape, D), dtype, layout, seed)
    check_row_grad(ids, grad, padding_idx=padding_idx, scale_grad_by_freq=by_freq)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(FLOATS),
    st.sampled_from(FLOATS),
    st.sampled_from(["plain", "rows apart", "reversed", "strided", "fortran", "swapped"]),
    st.sampled_from(LAYOUTS),
    st.sampled_from(INTS),
    st.lists(st.integers(0, 7), max_size=3),
    st.integers(0, 100),
    st.sampled_from([1.0, -0.1, 0, 3, np.float32(0.7), 1e-30]),
    st.sampled_from(["raise", "clip", "wrap"]),
    st.integers(0, 2**32 - 1),
)
def test_scatter_add_equals_reference(dtype, kind, layout, rows_layout, int_dtype, shape, D, alpha, mode, seed):
    low, high = (0, 20) if mode == "raise" or int_dtype[0] == "u" else (-50, 50)
    ids = np.random.default_rng(seed).integers(low, high, shape).astype(int_dtype)
    if mode != "raise" and int_dtype == "u8" and ids.ndim:
        ids = ids + np.uint64(2**40)
    target, rows = make((20, D), dtype, layout, seed), make((*shape, D), kind, rows_layout, seed + 1)
    check_scatter_add(target, ids, rows, alpha=alpha, mode=mode)


@pytest.mark.parametrize("D", [1, 2, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 80, 96, 127, 128, 129, 192, 300, 384])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_row_size_between_sentinels(dtype, D):
    ids = np.array([5, 0, 5, 7, 2, 5, 2])
    grad = make((7, D), dtype)
    check_row_grad(ids, grad)
    fenced = np.full(8 * D + 128, 7, dtype)
    target = fenced[61 : 61 + 8 * D].reshape(8, D)
    target[...] = make((8, D), dtype, seed=1)
    expected = reference.scatter_add(target, ids, grad, -0.5)
    scatter_add(target, ids, grad, alpha=-0.5)
    assert same_bits(target, expected)
    assert (fenced[:61] == 7).all()
    assert (fenced[61 + 8 * D :] == 7).all()


LENGTHS = [1, 2, 255, 256, 257, 511, 512, 513, 768, 10_000]


def make_runs(lengths, seed=0):
    """Ids of which the k-th occurs ``lengths[k]`` times, in any order."""
    ids = np.repeat(np.arange(len(lengths)), lengths)
    np.random.default_rng(seed).shuffle(ids)
    return ids


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

    first, *others = on_threads(all_three)
    for other in others:
        assert all(map(same_bits, first, other))
    if len(ids) < 3001:
        assert same_bits(first[1], reference.row_grad(ids, grad)[1])
        assert same_bits(first[4], reference.scatter_add(target, ids, grad, -0.3))


@pytest.mark.parametrize(("dtype", "D"), [("f8", 5), ("f4", 5), ("f4", 70), ("f2", 17), (BF16, 5)])
def test_pieces_are_never_cut_again(dtype, D, small_grain):
    """Runs longer than 65,536 are more than a piece of pieces; threads cut them inside."""
    ids = make_runs([70_000, 5, 300_000])
    grad, target = make((len(ids), D), dtype), make((3, D), dtype, seed=1)
    expected = reference.row_grad(ids, grad)[1], reference.scatter_add(target, ids, grad, -0.3)
    for rows, added in on_threads(
        lambda: (row_grad(ids, grad).rows, scatter_add(target.copy(), ids, grad, alpha=-0.3))
    ):
        assert same_bits(rows, expected[0])
        assert same_bits(added, expected[1])


@pytest.mark.parametrize("D", [5, 70])
@pytest.mark.parametrize("dtype", ["f4", "f2", BF16])
def test_a_mean_of_a_million_equal_gradients(dtype, D, small_grain):
    row = np.random.default_rng(D).uniform(0.1, 1, D).astype(dtype)
    grad = np.broadcast_to(row, (10**6 + 300, D))  # which takes the memory of one row
    ids = np.random.default_rng(1).permutation(np.repeat([7, 2], [10**6, 300]))

    def both():
        target = scatter_add(np.zeros((8, D), "f4"), ids, grad, alpha=1e-6)
        return row_grad(ids, grad, scale_grad_by_freq=True).rows, target[[7]]

    for means, target in on_threads(both):
        np.testing.assert_allclose(means, [row.astype("f8")] * 2, rtol=1e-5)
        np.testing.assert_allclose(target, [row.astype("f8")], rtol=1e-5)


def test_pieces_are_added_in_float64_and_rounded_once(small_grain):
    """1 + 2**-24 + 2**-24, of which float32 loses both, one a piece."""
    grad = np.zeros((3 * 256, 70), "f4")
    grad[[0, 300, 700]] = [[1], [2.0**-24], [2.0**-24]]
    ids = np.zeros(len(grad), int)
    for rows, target in on_threads(lambda: (row_grad(ids, grad).rows, scatter_add(np.zeros((1, 70), "f4"), ids, grad))):
        assert (rows == np.float32(1 + 2.0**-23)).all()
        assert (target == np.float32(1 + 2.0**-23)).all()


RARE = [
    ("few come again", True, lambda rng: rng.integers(0, 30_000, 3000)),
    ("none does", True, lambda rng: rng.permutation(30_000)[:3000]),
    ("each of few often", True, lambda rng: np.concatenate([np.arange(4000), np.full(300, 77), [9, 9, 4]])),
    ("many do", False, lambda rng: rng.integers(0, 3000, 3000)),
    ("many do, in the end", False, lambda rng: np.concatenate([np.arange(2000), np.arange(450)])),
    ("far apart", False, lambda rng: rng.permutation(1 << 20)[:3000]),
]


@pytest.mark.parametrize(("name", "rare", "draw"), RARE, ids=[case[0] for case in RARE])
def test_short_rows_of_ids_that_seldom_come_again(name, rare, draw, small_grain):
    """They are taken as they come, which nobody can see in the result."""
    for dtype, kind, D in (("i8", "f4", 5), ("i4", "f4", 70), ("i4", BF16, 16), ("i8", "f8", 1)):
        ids = draw(np.random.default_rng(D)).astype(dtype)
        if name == "each of few often":
            np.random.default_rng(1).shuffle(ids)
        ids += 1000
        runs = Runs(ids, -1, int(ids.min()), int(ids.max()), ascending=False)
        assert rare == bool((np.diff(runs.ids) < 0).any())
        assert np.unique(runs.ids).tobytes() == np.sort(runs.ids).tobytes() == np.unique(ids).tobytes()
        rows, target = make((len(ids), D), kind), np.ones((ids.max() + 1, D), kind)
        expected = reference.scatter_add(target, ids, rows, -0.5)
        add = partial(scatter_add, ids=ids, rows=rows, alpha=-0.5)
        assert all(same_bits(result, expected) for result in on_threads(lambda add=add, at=target: add(at.copy())))
        assert same_bits(scatter_add(np.asfortranarray(target), ids, rows, alpha=-0.5), expected)


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
    torch = pytest.importorskip("torch")
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


def test_zeros_infinities_and_nan():
    grad = np.array([[-0.0, 0, np.inf, np.nan], [-0.0, 1, -np.inf, 0], [-0.0, np.inf, 2, 3]], np.float32)
    rows = row_grad([4, 4, 1], grad).rows
    assert np.signbit(rows[:, 0]).all()
    assert np.isnan(rows[1, 2:]).all()
    assert rows[0, 1:].tolist() == [np.inf, 2, 3]
    target = np.array([[1, np.nan, np.inf, 1], [-0.0, -0.0, 0, 0]], np.float32)
    scatter_add(target, [0], grad[2:], alpha=-1)
    assert target[0, 2] == np.inf
    assert np.isnan(target[0, 1])
    assert np.signbit(target[1, :2]).all()  # a row without ids is left alone
    assert scatter_add(np.full((1, 2), 6e4, "f2"), [0, 0], np.full((2, 2), 6e4, "f2")).tolist() == [[np.inf] * 2]
    assert scatter_add(np.ones((1, 1), "f4"), [0], np.ones((1, 1), "f4"), alpha=1e300).tolist() == [[np.inf]]
    assert np.isnan(scatter_add(np.ones((1, 1)), [0], np.zeros((1, 1)), alpha=np.inf)).all()


def test_halves_are_rounded_once(small_grain):
    for dtype in ("f2", BF16):
        ids, rows = make_runs([700, 3]), np.full((703, 5), 1 / 1024, dtype)
        for n in (1, 7):
            with _threads.num_threads(n):
                target = scatter_add(np.ones((2, 5), dtype), ids, rows, alpha=0.5)
        assert (target[0].astype("f4") == np.array(1 + 700 / 2048, "f4").astype(dtype).astype("f4")).all()


def test_lanes_of_two_types():
    """Rows are summed in their own lane, then the target's is used."""
    big = np.array([[1.0], [2.0**-30], [2.0**-30]])
    assert scatter_add(np.zeros((1, 1)), [0, 0, 0], big)[0, 0] == 1 + 2.0**-29
    assert scatter_add(np.zeros((1, 1)), [0, 0, 0], big.astype("f4"))[0, 0] == 1
    near = np.array([[1.0], [2.0**-24], [2.0**-24]])
    assert scatter_add(np.zeros((1, 1), "f4"), [0, 0, 0], near)[0, 0] == np.float32(1 + 2.0**-23)
    assert scatter_add(np.zeros((1, 1), "f4"), [0, 0, 0], near.astype("f4"))[0, 0] == 1


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


def test_targets_of_other_axes():
    rows = make((2, 2, 3, 4), "f4")
    target = scatter_add(np.zeros((5, 3, 4), "f4"), [[4, 0], [4, 4]], rows)
    assert same_bits(target[4], rows[0, 0] + rows[1, 0] + rows[1, 1])
    assert same_bits(target[0], rows[0, 1])
    assert not target[1:4].any()
    line = np.zeros(10, "f4")[::2]
    assert scatter_add(line, [4, 4, 1], np.array([1, 2, 3], "f4")).tolist() == [0, 3, 0, 0, 3]


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


def test_a_target_beyond_2_31_elements(tmp_path):
    V, D = 2**22 + 5, 1024
    target = np.memmap(tmp_path / "target", np.float16, "w+", shape=(V, D))
    ids = np.array([V - 1, 2**21 + 1, V - 1], np.int32)
    assert scatter_add(target, ids, np.ones((3, D), "f2")) is target
    assert (target[V - 1] == 2).all()
    assert (target[2**21 + 1] == 1).all()
    assert not target[V - 2].any()
    assert not target[2**21].any()
    swapped = np.memmap(tmp_path / "swapped", ">f4", "w+", shape=(V, D))  # only rows that change are copied
    scatter_add(swapped, ids, np.ones((3, D), "f2"))
    assert (swapped[V - 1] == 2).all()


def test_more_rows_than_int32_counts():
    target = np.lib.stride_tricks.as_strided(np.zeros(1, "f4"), (2**33, 0), (4, 4))
    ids = np.array([-1, 3], np.int32)
    for mode in ("clip", "wrap"):
        assert scatter_add(target, ids, np.zeros((2, 0), "f4"), mode=mode) is target


def test_eight_callers_at_once(small_grain):
    jobs = [(make_runs([900, 3, 1, 300, *[2] * 50], k), make((1304, 20), "f2", seed=k)) for k in range(32)]
    expected = [(reference.row_grad(*job), reference.scatter_add(np.ones((54, 20), "f4"), *job)) for job in jobs]
    both = by_eight_callers(lambda *job: (row_grad(*job), scatter_add(np.ones((54, 20), "f4"), *job)), jobs)
    for (found, target), (wanted, wanted_target) in zip(both, expected, strict=True):
        assert all(map(same_bits, found, wanted))
        assert same_bits(target, wanted_target)


def test_bad_ids_leave_the_target_alone(small_grain):
    for layout in ("plain", "fortran"):
        target, rows = lay(np.full((3, 4), 7, "f4"), layout), np.ones((5000, 4), "f4")
        for n in (1, 2):
            for bad in (3, -1, 2**40):
                ids = np.zeros(5000, np.int64)
                ids[[4321, 4400]] = bad
                words = f"^id {bad} at position 4321 is out of range for a table of 3 rows$"
                with _threads.num_threads(n), pytest.raises(IndexError, match=words):
                    scatter_add(target, ids, rows)
                assert (target == 7).all()
    with pytest.raises(IndexError, match=r"id 5 at position \(1, 0\) is out"):
        scatter_add(target, [[0, 1], [5, 0]], rows[:4].reshape(2, 2, 4))
    with pytest.raises(IndexError, match="id 18446744073709551615 at position 1 is out of range for a table of 3"):
        scatter_add(target, np.array([0, 2**64 - 1], np.uint64), rows[:2])
    for mode in ("raise", "clip", "wrap"):
        with pytest.raises(IndexError, match="id 0 at position 0 is out of range for a table of 0 rows"):
            scatter_add(target[:0], [0], rows[:1], mode=mode)
    assert (target == 7).all()


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


class Quantised:
    shape = (3, 2)

    codes = None

    def dequantize(self):
        return ONES


ONES = np.ones((3, 2), np.float32)
READ_ONLY = ONES.copy()
READ_ONLY.flags.writeable = False
WINDOWS = np.lib.stride_tricks.as_strided(np.ones(9, "f4"), (3, 4), (8, 4))


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


@pytest.mark.parametrize(
    ("target", "ids", "rows", "options", "error", "words"),
    [
        (ONES.tolist(), [0], ONES[:1], {}, TypeError, "target must be a numpy.ndarray"),
        (Quantised(), [0], ONES[:1], {}, TypeError, "target is a quantised table, which cannot be added to"),
        (np.ones((3, 2), int), [0], ONES[:1], {}, TypeError, "target must have dtype float64, float32, .* got int64"),
        (np.ma.ones((3, 2)), [0], ONES[:1], {}, TypeError, "target is a masked array"),
        (ONES, [0.0], ONES[:1], {}, TypeError, "ids must have an integer dtype"),
        (ONES, [0], ONES[:1].astype(int), {}, TypeError, "rows must have dtype float64, float32, .* got int64"),
        (ONES, [0], ONES[:1].tolist(), {}, TypeError, "rows must be a numpy.ndarray"),
        (ONES, [0], ONES[:1].copy(), {"alpha": "1"}, TypeError, "alpha must be a real number, got str"),
        (ONES, [0], ONES[:1].copy(), {"alpha": 1j}, TypeError, "alpha must be a real number, got complex"),
        (ONES, [0], ONES[:1].copy(), {"mode": "up"}, ValueError, "mode must be one of 'raise', .* got 'up'"),
        (np.array(1.0), [0], ONES, {}, ValueError, "target must have at least one axis"),
        (READ_ONLY, [0], ONES[:1].copy(), {}, ValueError, "target is read-only"),
        (ONES, [0, 1], ONES[:1].copy(), {}, ValueError,
         r"rows must have shape \(2, 2\) for ids of shape \(2,\) and a target of \(3, 2\), got \(1, 2\)$"),
        (ONES, [0], np.ones((1, 3), "f4"), {}, ValueError, r"rows must have shape \(1, 2\) .* got \(1, 3\)$"),
        (ONES, [0], ONES[1:2], {}, ValueError, "target overlaps rows in memory"),
        (ONES, ONES.view(np.int32)[0], np.ones((2, 2), "f4"), {}, ValueError, "target overlaps ids in memory"),
        (np.ones((3, 4, 2), "f4")[:, ::2], [0], np.ones((1, 2, 2), "f4"), {}, ValueError,
         r"target of more than two axes must be C-contiguous, got shape \(3, 2, 2\) and strides \(32, 16, 4\)"),
        (WINDOWS, [0], np.ones((1, 4), "f4"), {}, ValueError, r"target overlaps itself .* strides \(8, 4\)"),
    ],
)  # fmt: skip
def test_scatter_add_refuses(target, ids, rows, options, error, words):
    with pytest.raises(error, match=words):
        scatter_add(target, ids, rows, **options)
    assert (ONES == 1).all()
    assert (READ_ONLY == 1).all()
    assert (WINDOWS == 1).all()


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
