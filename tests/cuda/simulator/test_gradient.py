"""row_grad and scatter_add on the device: bit by bit what the reference says, by kernels that were launched."""

from functools import reduce
from unittest import mock

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import on_device, on_host, run

from fastemb import _frameworks, reference
from fastemb._cuda import arrays, gradient, launch, sorting, status
from fastemb._cuda.kernels import join
from fastemb.gradient import row_grad, scatter_add

FLOATS = [np.dtype(dtype) for dtype in ("f4", "f8", "f2", ml_dtypes.bfloat16)]
CUT = 8  # of the tests that shorten it
SETTINGS = settings(max_examples=15, deadline=None)


def view(array):
    """Return an array as twins see it, on the device."""
    there = on_device(array)
    return _frameworks.of(there).view(there, "")


def cut_early():
    """Let runs be cut at every 8 rows, on the device and in the reference."""

    def cut_sum(rows):
        pieces = [reduce(np.add, rows[cut : cut + CUT]) for cut in range(0, len(rows), CUT)]
        return reduce(np.add, [piece.astype(np.float64) for piece in pieces]).astype(rows.dtype)

    both = mock.patch.object(join, "CUT", CUT), mock.patch.object(reference, "cut_sum", cut_sum)
    return mock.patch.multiple(sorting, EACH=4), *both


def shortened(function):
    """Return a test that runs with early cuts and small tiles."""
    for patch in cut_early():
        function = patch(function)
    return function


def same(found, expected):
    """Hold the bits of both against each other; one NaN is like another."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    nothing = np.zeros((), found.dtype)
    assert (np.isnan(found) == np.isnan(expected)).all()
    assert (
        np.where(np.isnan(found), nothing, found).tobytes() == np.where(np.isnan(expected), nothing, expected).tobytes()
    )


def numbers(rng, shape, dtype):
    """Return numbers of which some are zeros of either sign, and one in sixty is no number."""
    x = rng.standard_normal(shape)
    x[rng.random(shape) < 0.1] = -0.0
    return np.where(rng.random(shape) < 1 / 60, np.nan, x).astype(dtype)


def draw_rows(data, rng, shape, dtype):
    """Return rows in some layout."""
    x = numbers(rng, shape, dtype)
    layouts = {
        "plain": lambda: x,
        "rows apart": lambda: np.repeat(x, 2, axis=0)[::2],
        "columns apart": lambda: np.repeat(x, 2, axis=-1)[..., ::2],
        "backwards": lambda: x[::-1].copy()[::-1],
        "Fortran": lambda: np.asfortranarray(x),
        "one for all": lambda: np.broadcast_to(x[..., :1], x.shape),
    }
    return layouts[data.draw(st.sampled_from(sorted(layouts)))]()


@shortened
@SETTINGS
@given(st.data())
def test_row_grad_equals_reference(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = data.draw(st.sampled_from([(0,), (1,), (70,), (5, 17), (2, 3, 4)]))
    V, D = data.draw(st.sampled_from([1, 3, 30, 300])), data.draw(st.sampled_from([0, 1, 3, 4, 6, 8, 20]))
    ids = rng.integers(0, V, shape).astype(data.draw(st.sampled_from(["i4", "i8", "u1" if V < 256 else "u8"])))
    grad = draw_rows(data, rng, (*shape, D), data.draw(st.sampled_from(FLOATS)))
    padding = data.draw(st.sampled_from([None, None, -1, *ids.flat[:1].tolist()]))
    options = {"padding_idx": padding, "scale_grad_by_freq": data.draw(st.booleans())}
    found = run(row_grad, ids, grad, launches=1 if ids.size else 0, **options)
    for one, expected in zip(found, reference.row_grad(ids, grad, **options), strict=True):
        same(one, expected)


@shortened
@SETTINGS
@given(st.data())
def test_scatter_add_equals_reference(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = data.draw(st.sampled_from([(0,), (1,), (70,), (5, 17), (2, 3, 4)]))
    V, inner = (
        data.draw(st.sampled_from([1, 3, 30])),
        data.draw(st.sampled_from([(0,), (1,), (6,), (8,), (40,), (2, 3)])),
    )
    ids = rng.integers(0, V, shape).astype(data.draw(st.sampled_from(["i4", "i8", "i2"])))
    mode = data.draw(st.sampled_from(["raise", "clip", "wrap"]))
    ids = ids if mode == "raise" else ids * 7 - 5
    rows = draw_rows(data, rng, (*shape, *inner), data.draw(st.sampled_from(FLOATS)))
    whole = numbers(rng, (2 * V, *inner[:-1], 2 * inner[-1]), data.draw(st.sampled_from(FLOATS)))
    parts = {
        "rows apart": np.s_[::2, : inner[-1]],
        "backwards": np.s_[V - 1 :: -1, ::2],
        "columns apart": np.s_[V:, 1::2],
    }
    layout = data.draw(st.sampled_from(["plain", *parts])) if len(inner) == 1 else "plain"
    whole = whole[:V, ..., : inner[-1]].copy() if layout == "plain" else whole
    target = whole[parts.get(layout, ...)]
    beside = np.ones(whole.shape, bool)
    beside[parts.get(layout, ...)] = False
    before, expected = whole.copy(), reference.scatter_add(target, ids, rows, -0.3, mode)
    given_target = on_device(target)
    launches = launch.launched
    assert scatter_add(given_target, on_device(ids), on_device(rows), alpha=-0.3, mode=mode) is given_target
    assert launch.launched > launches or not ids.size
    same(target, expected)
    same(whole[beside], before[beside])


def test_runs_are_cut_at_256():
    ids = np.random.default_rng(0).permutation(np.repeat([0, 5, 3, 2], [600, 1, 257, 256]))
    grad = np.random.default_rng(1).standard_normal((ids.size, 3)).astype("f4")
    for one, expected in zip(run(row_grad, ids, grad), reference.row_grad(ids, grad), strict=True):
        same(one, expected)
    target = np.ones((6, 3), "f2")
    expected = reference.scatter_add(target, ids, grad, 2.0)
    run(scatter_add, target, ids, grad, alpha=2.0)
    same(target, expected)


@mock.patch.object(sorting, "EACH", 64)
def test_one_run_of_5000():
    ids, grad = np.zeros(5000, int), np.random.default_rng(1).standard_normal((5000, 1)).astype("f4")
    found = run(row_grad, ids, grad, scale_grad_by_freq=True)
    for one, expected in zip(found, reference.row_grad(ids, grad, scale_grad_by_freq=True), strict=True):
        same(one, expected)


# The sort ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "V", "dtype"), [(1, 1, "i4"), (300, 40, "i4"), (90, 2**33, "i8")])
def test_the_sort_is_stable(N, V, dtype):
    keys = np.random.default_rng(N).integers(0, V, N).astype(dtype)
    keys[N // 2 :: 3] = keys[0]
    found = sorting.sort_by_digits(view(keys), V - 1)
    order = np.argsort(keys, kind="stable")
    for one, expected in zip(found, (keys[order], order.astype("i4")), strict=True):
        same(on_host(one.owner), expected)


def test_passes_are_as_many_as_the_largest_id_needs():
    for most, passes in ((0, 1), (15, 1), (16, 2), (2**17, 5)):
        before = launch.launched
        sorting.sort_by_digits(view(np.zeros(3, "i4")), most)
        assert launch.launched - before == 3 * passes


def test_the_sort_of_the_framework_comes_first():
    asked = []

    def argsort(keys, like, below):
        values = keys.owner._ary
        asked.append((values.dtype, below))
        order = np.argsort(values, kind="stable")
        return view(values[order]), view(order)

    ids, grad = np.array([4, 1, 4, 0, 1]), np.arange(10, dtype="f4").reshape(5, 2)
    with mock.patch.object(type(_frameworks.of(on_device(ids))), "argsort", staticmethod(argsort)):
        found = run(row_grad, ids, grad)
    assert asked == [(np.dtype("i4"), 6)]  # keys up to V, that of ids which are left out
    for one, expected in zip(found, reference.row_grad(ids, grad), strict=True):
        same(one, expected)


# What other families use -------------------------------------------------------------------------------------------


@shortened
@pytest.mark.parametrize("dtype", ["i4", "i8"])
def test_runs_of_rows_pointed_to_and_weighted(dtype):
    rng = np.random.default_rng(3)
    N, V, D = 60, 4, 5
    index, where = rng.integers(-1, V + 1, N).astype(dtype), rng.integers(0, 7, N).astype(dtype)
    source, weights = rng.standard_normal((7, D)).astype("f4"), rng.standard_normal(N).astype("f4")
    kept = (index >= 0) & (index < V)
    where[~kept] = -5  # never looked at
    table = view(source)
    check = status.begin(arrays.place_of(table), source.strides[0])
    runs = sorting.Runs.of(view(index), V, table, check.address)
    weights_there = view(weights)
    runs_weights, runs_where = weights_there, view(where)
    runs.point_to(runs_where)
    assert runs.read() == 4
    found = gradient.sum_runs(runs, table, False, runs_weights)
    expected = reference.row_grad(index[kept], (source[where] * weights[:, np.newaxis])[kept])
    same(on_host(gradient.unique_ids(runs, np.dtype("i2")).owner), expected[0].astype("i2"))
    same(on_host(found.owner), expected[1])


# What is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([[0, 1], [-3, -1]], r"id -3 at position \(1, 0\) is negative; ids count rows of a table from 0"),
        (np.array([[0, 1], [1, 2**63 + 5]], "u8"), r"id 9223372036854775813 at position \(1, 1\) is beyond int64"),
        ([[0, 1], [2, 2**63 - 1]], "is beyond every table"),
    ],
)
def test_row_grad_says_at_once_which_id_is_bad(ids, words):
    with pytest.raises(IndexError, match=words):
        run(row_grad, np.array(ids), np.zeros((2, 2, 3), "f4"))


def test_what_is_left_out_may_be_negative_and_its_rows_anything():
    ids, grad = np.array([-1, 2, -1, 2]), np.array([[np.nan], [1], [np.inf], [2]], "f4")
    found = run(row_grad, ids, grad, padding_idx=-1)
    assert found.ids.tolist() == [2]
    assert found.rows.tolist() == [[3.0]]
    found = run(row_grad, ids[:1], grad[:1], padding_idx=-1)
    assert (found.ids.shape, found.rows.shape, found.rows.dtype) == ((0,), (0, 1), np.float32)


def test_row_grad_is_refused_where_work_is_recorded():
    with mock.patch.object(launch.driver, "capturing", return_value=True):
        with pytest.raises(
            RuntimeError, match=r"row_grad reads back how many ids occur.*scatter_add reads nothing back"
        ):
            run(row_grad, np.array([1]), np.ones((1, 2), "f4"))
        target = np.zeros((2, 2), "f4")
        run(scatter_add, target, np.array([1]), np.ones((1, 2), "f4"))
    assert target.tolist() == [[0, 0], [1, 1]]


def test_scatter_add_reads_nothing_back():
    def read(*given):
        raise AssertionError("the host waits")

    target = np.zeros((2, 2), "f4")
    run(scatter_add, target, np.array([1]), np.ones((1, 2), "f4"))  # that makes the status
    with mock.patch.multiple(launch.driver, read=read, write=read):
        run(scatter_add, target, np.array([1, 0, 1]), np.ones((3, 2), "f4"))
    assert target.tolist() == [[1, 1], [3, 3]]


def test_a_bad_id_adds_nothing_and_is_said_later():
    target = np.zeros((2, 3), "f4")
    run(scatter_add, target, np.array([[0, 2], [-1, 0]]), np.ones((2, 2, 3), "f4"))
    assert target.tolist() == [[2, 2, 2], [0, 0, 0]]
    words = (
        r"id at position \(0, 1\) is out of range for a table of 2 rows \(found after an earlier call of scatter_add"
    )
    with pytest.raises(IndexError, match=words):
        status.cuda_check()
    status.cuda_check()


def test_nothing_is_written_where_ids_are_checked_first():
    target = np.zeros((2, 3), "f4")
    with (
        mock.patch.object(status, "mode", status.SYNC),
        pytest.raises(IndexError, match="id 2 at position 1 is out of range"),
    ):
        run(scatter_add, target, np.array([0, 2]), np.ones((2, 3), "f4"))
    assert not target.any()


@pytest.mark.parametrize("mode", ["raise", "clip", "wrap"])
def test_a_table_without_rows_has_none_for_any_id(mode):
    target = np.zeros((0, 3), "f4")
    with pytest.raises(IndexError, match="a table of 0 rows"):
        run(scatter_add, target, np.array([0]), np.ones((1, 3), "f4"), mode=mode)
    run(scatter_add, target, np.zeros(0, int), np.ones((0, 3), "f4"), mode=mode, launches=0)
