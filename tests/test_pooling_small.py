"""Small calls, which have kernels of their own: the bits and the words of the general road."""

import functools
import pickle
import re
from contextlib import contextmanager

import arrays
import ml_dtypes
import numpy as np
import pytest
from arrays import LAYOUTS, lay, same_bits, same_but_nan
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _threads, num_threads
from fastemb._bags import MODES
from fastemb._cpu import pooling as room
from fastemb._cpu import small_bag_grads, small_pools
from fastemb._cpu.kernels import pooling as kernels
from fastemb.embedding import embed
from fastemb.pooling import embedding_bag, embedding_bag_backward, normalize, pool
from fastemb.ragged import Ragged

SMALL_MODES = ["sum", "mean", "mean_sqrt_len", "max"]
HALVES = [np.dtype("f2"), np.dtype(ml_dtypes.bfloat16)]


general_calls = functools.partial(arrays.general_calls, room, "reduce", "normalize", path=small_pools)


def both_ways(function, *given, **options):
    """Return what the small path gives, and what the general road gives."""
    twin = "normalize" if function is normalize else "reduce"
    return arrays.both_ways(room, twin, lambda: function(*given, **options), small_pools)


def draw_rows(rng, N, D):
    """Return rows of which some hold what is no finite number."""
    rows = rng.standard_normal((N, D)).astype("f4")
    rows[rng.random((N, D)) < 0.02] = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0, 1e-42], "f4"))
    return rows


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SMALL_MODES), st.sampled_from(["i4", "i8"]), st.integers(1, 300), st.integers(0, 200),
    st.sampled_from(["offsets", "rows", "?", "i4", "i8"]), st.lists(st.integers(0, 20), max_size=8),
    st.integers(0, 2**32),
)  # fmt: skip
def test_bags_equal_the_general_road(mode, id_dtype, V, D, form, lengths, seed):
    rng = np.random.default_rng(seed)
    table, options = draw_rows(rng, V, D), {"mode": mode}
    shape = (sum(lengths),) if form == "offsets" else (len(lengths), max(lengths, default=0))
    ids = rng.integers(0, V, shape).astype(id_dtype)
    if form == "offsets":
        options["offsets"] = np.concatenate([[0], np.cumsum(lengths, dtype=int)])
    elif form != "rows":
        options["mask"] = (rng.integers(-5, 6, shape) * (rng.random(shape) < 0.6)).astype(form)
        ids[options["mask"] == 0] = rng.choice([-100, V, 2**31 - 1])
    before = table.tobytes(), ids.tobytes()
    small, general = both_ways(embedding_bag, table, ids, **options)
    assert same_but_nan(small, general)
    assert same_but_nan(small, reference.embedding_bag(table, ids, **options))
    assert type(small) is np.ndarray
    assert small.flags.writeable
    assert small.flags.c_contiguous
    assert (table.tobytes(), ids.tobytes()) == before


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(SMALL_MODES), st.sampled_from(HALVES), st.sampled_from(["i4", "i8"]), st.integers(1, 200),
    st.sampled_from(["offsets", "rows", "?"]), st.lists(st.integers(0, 20), min_size=1, max_size=8),
    st.integers(0, 2**32),
)  # fmt: skip
def test_bags_and_pools_of_sixteen_bits_equal_the_general_road(mode, dtype, id_dtype, D, form, lengths, seed):
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        table, options = draw_rows(rng, 50, D).astype(dtype), {"mode": mode}
    shape = (sum(lengths),) if form == "offsets" else (len(lengths), max(lengths))
    ids = rng.integers(0, 50, shape).astype(id_dtype)
    if form == "offsets":
        options["offsets"] = np.concatenate([[0], np.cumsum(lengths, dtype=int)])
    elif form == "?":
        options["mask"] = rng.random(ids.shape) < 0.6
    small, general = both_ways(embedding_bag, table, ids, **options)
    assert small.dtype == table.dtype
    assert same_but_nan(small, general)
    if form != "offsets" and ids.size:
        small, general = both_ways(pool, table[ids], **options)
        assert small.dtype == table.dtype
        assert same_but_nan(small, general)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(SMALL_MODES), st.sampled_from(["i4", "i8"]), st.integers(1, 40), st.integers(1, 200),
    st.booleans(), st.lists(st.integers(0, 20), min_size=1, max_size=8), st.sampled_from([None, 0, 3, -1, 2**40]),
    st.booleans(), st.integers(0, 2**32),
)  # fmt: skip
def test_gradients_of_bags_equal_the_general_road(mode, id_dtype, V, D, flat, lengths, padding, by_count, seed):
    rng = np.random.default_rng(seed)
    options = {"mode": mode, "padding_idx": padding, "scale_grad_by_freq": by_count}
    ids = rng.integers(0, V, (sum(lengths),) if flat else (len(lengths), max(lengths))).astype(id_dtype)
    if flat:
        options["offsets"] = np.concatenate([[0], np.cumsum(lengths, dtype=int)])
    if not ids.size:
        return
    table, grad = draw_rows(rng, V, D).round(), draw_rows(rng, len(lengths), D)
    before = grad.tobytes(), ids.tobytes()
    with general_gradients() as seen:
        small = embedding_bag_backward(grad, table, ids, **options)
    assert not seen
    with general_gradients(most=-4) as seen:
        general = embedding_bag_backward(grad, table, ids, **options)
    assert len(seen) == 1
    assert same_bits(small.table.ids, general.table.ids)
    assert same_but_nan(small.table.rows, general.table.rows)
    assert small.weights is None
    assert all(one.flags.owndata and one.flags.writeable for one in small.table)
    assert (grad.tobytes(), ids.tobytes()) == before


@contextmanager
def general_gradients(most=None):
    """As `general_calls`, of gradients of bags, whose small path is a file of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if most is not None:
            patch.setattr(small_bag_grads, "_SMALL_BYTES", most)
        with arrays.general_calls(room, "reduce_backward") as seen:
            yield seen


GRAD = np.ones((2, 5), "f4")
BAGS = np.array([[3, 1], [1, 1]])


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ((GRAD, np.zeros((4, 5), "f8"), BAGS), {}),
        ((GRAD.astype("f8"), np.zeros((4, 5), "f4"), BAGS), {}),
        ((GRAD[:, ::-1], np.zeros((4, 5), "f4"), BAGS), {}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.tolist()), {}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.astype("u1")), {}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.T), {}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS), {"mask": BAGS > 0}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS), {"weights": BAGS * 0.5}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS), {"normalize": True}),
        ((GRAD, np.zeros((4, 10), "f4")[:, ::2], BAGS), {"mode": "max"}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS), {"padding_idx": np.int64(1)}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.reshape(-1), [0, 2, 4]), {}),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.reshape(-1), np.array([0, 2, 4], "i4")), {}),
        ((GRAD[:0], np.zeros((4, 5), "f4"), BAGS[:0]), {}),
    ],
)
def test_gradients_that_are_not_small(given, options):
    with general_gradients() as seen:
        found = embedding_bag_backward(*given, **options).table
    assert len(seen) == 1
    grad, table, *slots = given
    options = {name: value for name, value in options.items() if name != "padding_idx"} | {
        name: int(value) for name, value in options.items() if name == "padding_idx"
    }
    plain = embedding_bag_backward(grad.astype("f4").copy(), table.astype("f4"), *map(np.array, slots), **options).table
    np.testing.assert_array_equal(found.ids, plain.ids)
    np.testing.assert_allclose(found.rows, plain.rows, rtol=1e-6)


def test_a_text_is_no_flag_of_gradients():
    with pytest.raises(TypeError, match="scale_grad_by_freq must be"):
        embedding_bag_backward(GRAD, np.zeros((4, 5), "f4"), BAGS, scale_grad_by_freq="no")


@pytest.mark.parametrize(
    ("given", "options", "error"),
    [
        ((GRAD, np.zeros((3, 5), "f4"), BAGS), {}, "id 3 at position"),
        ((GRAD, np.zeros((4, 5), "f4"), -BAGS), {}, "id -3 at position"),
        ((GRAD[:1], np.zeros((4, 5), "f4"), BAGS), {}, "grad must have the shape"),
        ((GRAD, np.zeros((4, 4), "f4"), BAGS), {}, "grad must have the shape"),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.reshape(-1)), {}, "1-D ids need offsets"),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS, np.array([0, 1, 4])), {}, "offsets go with 1-D ids"),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.reshape(-1), np.array([0, 5, 4])), {}, "offsets"),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.reshape(-1), np.array([1, 2, 4])), {}, "offsets"),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.reshape(-1), np.array([0, 2, 3])), {}, "offsets"),
        ((GRAD, np.zeros((4, 5), "f4"), BAGS.reshape(-1), np.array([0, 2, 5])), {}, "offsets"),
    ],
)
def test_gradients_that_are_refused(given, options, error):
    for more in ({}, {"mode": "max"}, {"mode": "max", "padding_idx": 1}):
        with pytest.raises((ValueError, IndexError), match=error):
            embedding_bag_backward(*given, **options | more)


def test_gradients_of_bags_of_padding_alone():
    for mode in ("sum", "max"):
        rows = embedding_bag_backward(GRAD, np.ones((4, 5), "f4"), np.full((2, 3), 1, "i4"), mode=mode, padding_idx=1)
        assert rows.table.ids.dtype == np.int32
        assert (rows.table.ids.shape, rows.table.rows.shape) == ((0,), (0, 5))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SMALL_MODES), st.integers(1, 6), st.integers(1, 20), st.integers(1, 200),
    st.sampled_from([None, "?", "i4", "i8"]), st.integers(0, 2**32),
)  # fmt: skip
def test_pools_equal_the_general_road(mode, B, T, D, mask_dtype, seed):
    rng = np.random.default_rng(seed)
    x, mask = draw_rows(rng, B * T, D).reshape(B, T, D), None
    if mask_dtype:
        mask = (rng.integers(-5, 6, (B, T)) * (rng.random((B, 1)) < 0.8)).astype(mask_dtype)
        x[mask == 0] = np.nan
    small, general = both_ways(pool, x, mask, mode=mode)
    assert same_but_nan(small, general)
    assert same_but_nan(small, reference.pool(x, mask, mode=mode))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=2), st.integers(1, 200), st.integers(0, 2**32))
def test_normalized_rows_equal_the_general_road(shape, D, seed):
    x = draw_rows(np.random.default_rng(seed), int(np.prod(shape)), D).reshape(*shape, D)
    small, general = both_ways(normalize, x)
    assert small.shape == x.shape
    assert same_but_nan(small, general)


def test_strange_bools_keep_their_rows():
    mask = np.array([[2, 0, 255], [0, 0, 0]], "u1").view(bool)
    x, ids = np.random.default_rng(0).standard_normal((2, 3, 20)).astype("f4"), np.array([[0, 9, 2], [9, 9, 9]])
    for mode in SMALL_MODES:
        for function, rows in ((pool, (x,)), (embedding_bag, (x[0], ids))):
            small, general = both_ways(function, *rows, mask=mask, mode=mode)
            assert same_bits(small, general)
            assert small[0].any()
            assert not small[1].any()


@pytest.mark.parametrize("mode", SMALL_MODES)
@pytest.mark.parametrize("D", [1, 16, 70])
def test_long_bags_are_cut_as_others_are(mode, D):
    """Small calls of few columns may hold bags of many pieces."""
    N = (small_pools._SMALL_BYTES >> 2) // D
    rng = np.random.default_rng(D)
    table, ids, offsets = draw_rows(rng, 50, D), rng.integers(0, 50, N), np.array([0, 3, N - 1, N])
    small, general = both_ways(embedding_bag, table, ids, offsets, mode=mode)
    assert same_but_nan(small, general)
    small, general = both_ways(pool, table[ids][np.newaxis], rng.random((1, N)) < 0.9, mode=mode)
    assert same_but_nan(small, general)


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_calls_are_no_longer_small(more):
    D, most = 64, small_pools._SMALL_BYTES >> 2
    x, ids = np.ones((most // D + more, D), "f4"), np.zeros((1, most // D + more), int)
    for call in (lambda: embedding_bag(x, ids), lambda: pool(x[np.newaxis]), lambda: normalize(x)):
        with general_calls(most=4 * most) as seen:
            call()
        assert len(seen) == more


@pytest.mark.parametrize("more", [0, 1])
def test_bags_are_small_for_longer_where_their_form_is_that_of_large_ones(monkeypatch, more):
    """By the size of the table, however many rows are read; under a mask by that of the rows, too."""
    V, D = 100, 64
    N = (small_pools._ONE_THREAD_BYTES >> 2) // D
    table, ids = np.ones((V, D), "f4"), np.arange(N + more).reshape(1, -1) % V
    kept = np.ones(ids.shape, bool)
    for mask, small_tables, expected in ((None, V * D * 4 - more, more), (None, V * D * 4, 0), (kept, V * D * 4, more)):
        monkeypatch.setattr(small_pools, "TUNING", small_pools.TUNING._replace(small_tables=small_tables))
        with general_calls() as seen:
            assert (embedding_bag(table, ids, mask=mask) == 1).all()
        assert len(seen) == expected


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SMALL_MODES), st.sampled_from(["i4", "i8"]), st.sampled_from([5, 64, 200]),
    st.lists(st.integers(0, 1500), min_size=1, max_size=12), st.integers(1, 4), st.booleans(), st.integers(0, 2**32),
)  # fmt: skip
def test_large_bags_equal_the_general_road_on_any_number_of_threads(mode, id_dtype, D, lengths, threads, even, seed):
    """Bags around the number of entries whose rows are found together, and of more than one piece."""
    rng = np.random.default_rng(seed)
    table, offsets = draw_rows(rng, 40, D), np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(0, 40, (len(lengths), lengths[0]) if even else offsets[-1]).astype(id_dtype)
    given, bad = (table, ids) if even else (table, ids, offsets), ids.copy()
    with pytest.MonkeyPatch.context() as patch, num_threads(threads):
        patch.setattr(small_pools, "_ONE_THREAD_BYTES", -4)
        patch.setattr(small_pools, "TUNING", small_pools.TUNING._replace(small_tables=1 << 62))
        patch.setattr(_threads, "_GRAIN", 1)
        small, general = both_ways(embedding_bag, *given, mode=mode)
        assert same_but_nan(small, general)
        if ids.size:
            slot = int(rng.integers(ids.size))
            bad.reshape(-1)[slot:] = rng.choice([-1, 40, 2**31 - 1])
            place = str(tuple(map(int, np.unravel_index(slot, ids.shape)))) if even else slot
            with pytest.raises(IndexError, match=re.escape(f"at position {place} is out of range")):
                embedding_bag(table, bad, *given[2:], mode=mode)


@pytest.mark.parametrize("mode", SMALL_MODES)
@pytest.mark.parametrize("D", [64, 80, 192])
def test_rows_in_whole_lines_and_across_them_have_the_same_bits(mode, D):
    """On some processors those in whole lines of a small table are not asked for."""
    rng = np.random.default_rng(D)
    rows, ids, found = draw_rows(rng, 50, D), rng.integers(0, 50, (7, 37)), []
    for begin in (0, 16, 4):
        memory = np.empty(rows.nbytes + 128, np.uint8)
        first = -memory.ctypes.data % 64 + begin
        table = memory[first : first + rows.nbytes].view("f4").reshape(rows.shape)
        table[:] = rows
        found += both_ways(embedding_bag, table, ids, mode=mode)
    assert all(same_but_nan(one, found[0]) for one in found)


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("value", [-1, -2, -(2**63), 2**63 - 1, 801, 0])
def test_offsets_of_large_bags_are_checked_by_each_thread(monkeypatch, at, value):
    """No thread may read an id by an offset that another has found wrong."""
    monkeypatch.setattr(small_pools, "_ONE_THREAD_BYTES", -4)
    monkeypatch.setattr(small_pools, "TUNING", small_pools.TUNING._replace(small_tables=1 << 62))
    monkeypatch.setattr(_threads, "_GRAIN", 1)
    offsets = np.arange(0, 801, 100)
    offsets[at] = value
    if (np.diff(offsets) >= 0).all():
        return
    with num_threads(3), general_calls() as seen, pytest.raises(ValueError, match="offsets must"):
        embedding_bag(TABLE, np.zeros(800, int), offsets)
    assert len(seen) == 1


def test_bags_and_pools_of_more_entries_than_are_found_together_take_the_general_road():
    table, ids = np.ones((3, 1), "f4"), np.zeros((1, kernels._LONGEST + 1), int)
    for index, expected in ((ids[:, 1:], 0), (ids, 1)):
        with general_calls() as seen:
            assert embedding_bag(table, index[0], np.array([0, index.size]), mode="max") == 1
            assert len(seen) == expected
            assert pool(np.ones((*index.shape, 1), "f4"), mode="max") == 1
        assert len(seen) == 2 * expected


@pytest.mark.parametrize("more", [0, 1])
def test_pools_are_small_for_longer_where_their_form_is_that_of_large_ones(monkeypatch, more):
    x = np.ones((1, (small_pools._ONE_THREAD_BYTES >> 2) // 64 + more, 64), "f4")
    for rows, small_tables, expected in ((x, 1 << 62, more), (x[:, : 1 << 14], 1 << 20, 1)):
        monkeypatch.setattr(small_pools, "TUNING", small_pools.TUNING._replace(small_tables=small_tables))
        with general_calls() as seen:
            assert (pool(rows) == 1).all()
        assert len(seen) == expected


@pytest.mark.parametrize("more", [0, 1])
def test_results_that_are_worth_pooled_memory(monkeypatch, more):
    """Bags without a mask are given such memory by the small path."""
    monkeypatch.setattr(small_pools, "TUNING", small_pools.TUNING._replace(small_tables=1 << 62))
    S = (small_pools._SMALL_BYTES >> 2) // 64 + more
    table, ids = np.ones((3, 64), "f4"), np.zeros((S, 2), int)
    kept = np.ones((S, 2), bool)
    calls = (
        (lambda: embedding_bag(table, ids), 0), (lambda: embedding_bag(table, ids, mask=kept), more),
        (lambda: embedding_bag(table, ids.reshape(-1), np.arange(0, 2 * S + 1, 2)), 0),
        (lambda: pool(table[ids]), more), (lambda: pool(table[ids], kept), more),
    )  # fmt: skip
    for call, expected in calls:
        with general_calls() as seen:
            assert (call() == 1).all()
        assert len(seen) == expected


# What takes the general road --------------------------------------------------------------------------------------

TABLE = np.random.default_rng(0).standard_normal((9, 20)).astype("f4")
IDS, OFFSETS = np.array([8, 0, 3, 3, 1, 7]), np.array([0, 2, 2, 6])
X, MASK = TABLE[:8].reshape(2, 4, 20), np.array([[True, False, True, True], [False, True, False, False]])


def on_disk(array, tmp_path):
    there = np.memmap(tmp_path / f"{array.dtype}", array.dtype, "w+", shape=array.shape)
    there[...] = array
    return there


def stranger(array):
    """Return the values in every layout and type that the small kernels are not compiled for."""
    plain = ("plain",) if array.ndim > 1 else ("plain", "fortran", "cut")
    kinds = {layout: lay(array, layout) for layout in LAYOUTS if layout not in plain}
    if array.dtype.kind == "i":
        kinds |= {dtype: array.astype(dtype) for dtype in ("i1", "u2", "u8")} | {"list": array.tolist()}
    kinds["subclass"] = array.view(np.recarray) if array.dtype.kind == "i" else array.view(np.memmap)
    return kinds


STRANGERS = {
    "table": lambda table: embedding_bag(table, IDS, OFFSETS),
    "ids": lambda ids: embedding_bag(TABLE, ids, OFFSETS),
    "2-D ids": lambda ids: embedding_bag(TABLE, ids),
    "offsets": lambda offsets: embedding_bag(TABLE, IDS, offsets),
    "x": lambda x: pool(x, MASK),
    "rows": normalize,
}
GIVEN = {"table": TABLE, "ids": IDS, "2-D ids": IDS.reshape(2, 3), "offsets": OFFSETS, "x": X, "rows": TABLE}


@pytest.mark.parametrize("name", STRANGERS)
def test_strange_arrays_give_equal_results(name):
    call, array = STRANGERS[name], GIVEN[name]
    with general_calls() as seen:
        expected = call(array)
        assert not seen
        for kind, other in stranger(array).items():
            assert same_bits(call(other), expected), kind
            assert seen, kind
            seen.clear()


def test_strange_masks_give_equal_results():
    for mode in SMALL_MODES:
        with general_calls() as seen:
            expected = pool(X, MASK, mode=mode), embedding_bag(TABLE, IDS[[[0, 1, 2, 3]] * 2], mask=MASK, mode=mode)
            assert not seen
            for mask in (*(lay(MASK, layout) for layout in ("strided", "fortran", "rows apart")), MASK.tolist()):
                assert same_bits(pool(X, mask, mode=mode), expected[0])
                assert same_bits(embedding_bag(TABLE, IDS[[[0, 1, 2, 3]] * 2], mask=mask, mode=mode), expected[1])
                assert len(seen) == 2
                seen.clear()
            for dtype in ("i1", "u8", ">i4"):
                assert same_bits(pool(X, MASK.astype(dtype), mode=mode), expected[0])


@pytest.mark.parametrize("mode", sorted({*MODES} - {*SMALL_MODES}))
def test_modes_that_are_not_small(mode):
    with general_calls() as seen:
        assert same_bits(
            embedding_bag(TABLE, IDS, OFFSETS, mode=mode), reference.embedding_bag(TABLE, IDS, OFFSETS, mode)
        )
        assert same_bits(pool(X, MASK, mode=mode), reference.pool(X, MASK, mode=mode))
    assert len(seen) == 2


@pytest.mark.parametrize("options", [{"normalize": True}, {"padding_idx": 3}, {"weights": np.ones(6)}, {"out": None}])
def test_options_that_are_not_small(options):
    if "out" in options:
        options = {"out": np.full((3, 20), np.nan, "f4")}
    expected = reference.embedding_bag(TABLE, IDS, OFFSETS, **{k: v for k, v in options.items() if k != "out"})
    with general_calls() as seen:
        np.testing.assert_allclose(embedding_bag(TABLE, IDS, OFFSETS, **options), expected, rtol=1e-6)
        assert len(seen) == 1


def test_a_ragged_is_its_ids_and_offsets():
    assert same_bits(embedding_bag(TABLE, Ragged(IDS, OFFSETS)), embedding_bag(TABLE, IDS, OFFSETS))


# Words ------------------------------------------------------------------------------------------------------------

ids = np.array
BAD = [
    ((ids([0, 9]), ids([0, 2])), IndexError, "id 9 at position 1 is out of range for a table of 9 rows"),
    ((ids([0, -1], "i4"), ids([0, 2])), IndexError, "id -1 at position 1 is out of range for a table of 9 rows"),
    ((ids([[0, 1], [2**40, -1]]),), IndexError, f"id {2**40} at position (1, 0) is out of range for a table of 9 rows"),
    ((ids([1, 2]), ids([1, 2])), ValueError, "offsets must start at 0, got offsets[0] = 1"),
    ((ids([1, 2]), ids([0, 2, 1, 2])), ValueError, "offsets must not descend, got offsets[1] = 2 and offsets[2] = 1"),
    ((ids([1, 2]), ids([0, 3])), ValueError, "offsets must end at 2, the number of ids, got offsets[1] = 3"),
    (
        (ids([1, 2, 3]), ids([0, 2])),
        ValueError,
        "offsets must end at 3, the number of ids, got offsets[1] = 2; S bags take S+1 offsets, the last of which is"
        " the number of ids (the layout of torch's include_last_offset=True)",
    ),
    (
        (ids([1]), ids([], int)),
        ValueError,
        "offsets must have one entry more than there are bags, so at least one, got none",
    ),
    ((ids([1]), ids([[0, 1]])), ValueError, "offsets must be 1-D, got shape (1, 2)"),
    ((ids([1]),), ValueError, "1-D ids need offsets to say where bags begin, got ids of shape (1,) alone"),
    (
        (ids([[1]]), ids([0, 1])),
        ValueError,
        "offsets go with 1-D ids, got ids of shape (1, 1), whose rows are the bags",
    ),
    ((ids(1),), ValueError, "ids must be 1-D with offsets, or 2-D, got shape ()"),
]


@pytest.mark.parametrize(("given", "error", "words"), BAD)
@pytest.mark.parametrize("most", [None, -4])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_bad_values_say_the_same_words(given, error, words, most, mode):
    with general_calls(most=most), pytest.raises(error) as caught:
        embedding_bag(TABLE, *given, mode=mode)
    assert str(caught.value) == words


@pytest.mark.parametrize("most", [None, -4])
@pytest.mark.parametrize("mode", SMALL_MODES)
def test_bad_ids_beside_a_mask_say_the_same_words(mode, most):
    given, mask = np.array([[0, -100, 2], [9, 3, -7]]), np.array([[1, 0, 1], [0, 1, 0]])
    with general_calls(most=most):
        assert embedding_bag(TABLE, given, mask=mask, mode=mode).shape == (2, 20)
        mask[1, 2] = 1
        for bad in (-7, 9, 2**40):
            given[1, 2] = bad
            words = rf"^id {bad} at position \(1, 2\) is out of range for a table of 9 rows$"
            for kept in (mask, mask != 0):
                with pytest.raises(IndexError, match=words):
                    embedding_bag(TABLE, given, mask=kept, mode=mode)
        with pytest.raises(ValueError, match=r"^mask must have shape \(2, 3\), got \(3, 2\)$"):
            embedding_bag(TABLE, given, mask=mask.T.copy(), mode=mode)
        with pytest.raises(ValueError, match=r"^mask must have shape \(2, 4\), got \(2, 3\)$"):
            pool(X, mask, mode=mode)
        with pytest.raises(
            TypeError, match=r"^mask must have dtype bool or an integer dtype, got dtype float64; give mask != 0"
        ):
            pool(X, MASK.astype("f8"), mode=mode)


@pytest.mark.parametrize("most", [None, -4])
@pytest.mark.parametrize("mode", [[], {}, ["mean"], None, "median", b"mean", 0])
def test_what_is_no_mode(mode, most):
    with general_calls(most=most):
        for call in (
            lambda: embedding_bag(TABLE, IDS, OFFSETS, mode=mode),
            lambda: embedding_bag(TABLE, IDS.reshape(2, 3), mask=MASK[:, :3], mode=mode),
            lambda: pool(X, mode=mode),
            lambda: pool(X, MASK, mode=mode),
        ):
            with pytest.raises(
                ValueError, match=r"^mode must be one of 'sum', 'mean', 'max', 'cls', .* got "
            ) as caught:
                call()
            assert str(caught.value).endswith(f", got {mode!r}")


def test_results_and_unpickled_arrays_are_small_calls_too():
    """Their dtypes are equal to NumPy's own objects, but may be others."""
    table, ids, offsets, mask = pickle.loads(pickle.dumps((TABLE, IDS, OFFSETS, np.ones((1, IDS.size), bool))))
    hidden = embed(TABLE, IDS.reshape(1, -1), positions=np.ones((IDS.size, TABLE.shape[1]), np.float32))
    with general_calls() as seen:
        assert same_bits(embedding_bag(table, ids, offsets), embedding_bag(TABLE, IDS, OFFSETS))
        longs = IDS.astype(np.longlong), OFFSETS.astype(np.longlong)  # int64 under C's other name
        assert same_bits(embedding_bag(table, *longs), embedding_bag(TABLE, IDS, OFFSETS))
        pool(hidden, mask)
        normalize(hidden)
        normalize(embedding_bag(table, ids, offsets, mode="mean"))
    assert not seen


def test_many_empty_bags_are_no_small_call():
    result = embedding_bag(np.ones((9, 64), np.float32), np.zeros(0, int), np.zeros(200_001, int))
    assert result.shape == (200_000, 64)
    assert not result.any()
    assert result.ctypes.data % 64 == 0  # of the pool of results
    assert embedding_bag(TABLE, np.zeros((0, 2**34), int), mask=np.zeros((0, 2**34), bool)).shape == (0, TABLE.shape[1])
