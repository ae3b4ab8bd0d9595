"""scatter_add against its oracle, to the bit, and nothing written beside the target."""

from functools import partial

import numpy as np
import pytest
from arrays import BF16, ID_DTYPES, IN_LAYOUTS, OUT_LAYOUTS, lay, on_threads, same_bits
from gradient_cases import FLOATS, check_scatter_add, make, make_runs
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _threads
from fastemb._cpu.gradient import Runs
from fastemb.gradient import row_grad, scatter_add


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(FLOATS),
    st.sampled_from(FLOATS),
    st.sampled_from(OUT_LAYOUTS),
    st.sampled_from(IN_LAYOUTS),
    st.sampled_from(ID_DTYPES),
    st.lists(st.integers(0, 7), max_size=3),
    st.integers(0, 100),
    st.sampled_from([1.0, -0.1, 0, 3, np.float32(0.7), 1e-30]),
    st.sampled_from(["raise", "clip", "wrap"]),
    st.integers(0, 2**32 - 1),
)
def test_scatter_add_equals_reference(
    framework, dtype, kind, layout, rows_layout, int_dtype, shape, D, alpha, mode, seed
):
    if not framework.writes:
        pytest.skip("its arrays are not written to")
    low, high = (0, 20) if mode == "raise" or int_dtype[0] == "u" else (-50, 50)
    ids = np.random.default_rng(seed).integers(low, high, shape).astype(int_dtype)
    if mode != "raise" and int_dtype == "u8" and ids.ndim:
        ids = ids + np.uint64(2**40)
    target, rows = make((20, D), dtype, layout, seed), make((*shape, D), kind, rows_layout, seed + 1)
    check_scatter_add(target, ids, rows, framework, alpha=alpha, mode=mode)


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


def test_targets_of_other_axes():
    rows = make((2, 2, 3, 4), "f4")
    target = scatter_add(np.zeros((5, 3, 4), "f4"), [[4, 0], [4, 4]], rows)
    assert same_bits(target[4], rows[0, 0] + rows[1, 0] + rows[1, 1])
    assert same_bits(target[0], rows[0, 1])
    assert not target[1:4].any()
    line = np.zeros(10, "f4")[::2]
    assert scatter_add(line, [4, 4, 1], np.array([1, 2, 3], "f4")).tolist() == [0, 3, 0, 0, 3]


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


class Quantised:
    shape = (3, 2)

    codes = None

    def dequantize(self):
        return ONES


ONES = np.ones((3, 2), np.float32)
READ_ONLY = lay(ONES, "read-only")
WINDOWS = np.lib.stride_tricks.as_strided(np.ones(9, "f4"), (3, 4), (8, 4))


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
