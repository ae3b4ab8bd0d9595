"""Steps of optimizers against their oracle, to the bit: any rule, table, layout and number of threads."""

import numpy as np
import pytest
from arrays import BF16, ID_DTYPES, IN_LAYOUTS, OUT_LAYOUTS, lay, on_threads, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from optim_cases import EXTENT, RULES, Law, draw, draw_grad, make, of_one_type, twin

import fastemb.reference as reference
from fastemb import _threads
from fastemb._cpu.kernels.intrinsics import SCRATCH
from fastemb.gradient import RowGrad, row_grad, scatter_add
from fastemb.optim import SGD, Adagrad, Adam
from fastemb.ragged import Ragged

NAMES = list(RULES)


@EXTENT
@settings(max_examples=120, deadline=None)
@given(
    st.data(), st.sampled_from(OUT_LAYOUTS),
    st.sampled_from(IN_LAYOUTS), st.sampled_from(ID_DTYPES), st.integers(0, 20), st.integers(0, 70), st.booleans(),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_steps_equal_reference(cases, data, layout, rows_layout, id_dtype, U, D, by_chance, seed):
    name, dtype, kind = data.draw(st.sampled_from(cases))
    table, optimizer = draw((20, D), dtype, seed, layout), make(name, stochastic_rounding=by_chance, seed=seed)
    law = Law(optimizer, table)
    for k in range(3):
        grad = draw_grad(20, U, D, kind, seed + k, id_dtype)
        grad = RowGrad(grad.ids, lay(grad.rows, rows_layout))
        assert optimizer.step(table, grad) is table
        law.step(grad)
    law.holds(optimizer, table)


@EXTENT
@settings(max_examples=120, deadline=None)
@given(
    st.data(), st.sampled_from(OUT_LAYOUTS),
    st.sampled_from(IN_LAYOUTS), st.sampled_from(ID_DTYPES), st.lists(st.integers(0, 7), max_size=3),
    st.integers(0, 70), st.sampled_from([None, 3, -1, 10**6, -(2**70)]), st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_step_from_is_row_grad_and_step(
    cases, data, layout, grad_layout, id_dtype, shape, D, padding_idx, check_finite, seed
):  # fmt: skip
    name, dtype, kind = data.draw(st.sampled_from(cases))
    table, optimizer = draw((20, D), dtype, seed, layout), make(name)
    law, options = Law(optimizer, table), {"padding_idx": padding_idx, "check_finite": check_finite}
    for k in range(2):
        ids = np.random.default_rng(seed + k).integers(0, 20, shape).astype(id_dtype)
        if padding_idx == -1 and id_dtype[-2] == "i":
            ids = np.array(np.where(ids == 7, -1, ids)).astype(id_dtype)
        grad = draw((*shape, D), kind, seed + k, grad_layout)
        assert optimizer.step_from(table, ids, grad, **options) is table
        law.step(row_grad(ids, grad, padding_idx=padding_idx))
    law.holds(optimizer, table)


@pytest.mark.parametrize("D", [1, 16, 40, SCRATCH, SCRATCH + 5, 2 * SCRATCH + 16])
@pytest.mark.parametrize("name", NAMES)
def test_runs_of_all_lengths_on_threads(name, D, small_grain):
    """Short runs, those of several pieces, those that threads share, and rows wider than a scratch."""
    lengths = [1, 2, 255, 256, 257, 600, 1, 1, 5] if D < SCRATCH else [1, 2, 300]
    ids = np.repeat(np.arange(len(lengths)) * 3, lengths)
    np.random.default_rng(D).shuffle(ids)
    grad, table = draw((len(ids), D), "f4", D), draw((30, D), "f4", 1)
    optimizer = make(name)
    law = Law(optimizer, table)
    law.step(RowGrad(*reference.row_grad(ids, grad)))
    for n in (1, 2, 7):
        here, mine = table.copy(), twin(optimizer)
        with _threads.num_threads(n):
            mine.step_from(here, ids, grad)
        law.holds(mine, here)


@of_one_type()
def test_the_same_bits_on_any_threads(name, dtype, small_grain):
    table, ids = draw((5000, 24), dtype, 0), np.random.default_rng(1).integers(0, 5000, 3000)
    optimizer, grad = make(name, stochastic_rounding=True, seed=5), draw((3000, 24), dtype, 2)

    def train():
        here, mine = table.copy(), twin(optimizer)
        for _ in range(2):
            mine.step_from(here, ids, grad)
        mine.step(here, row_grad(ids[:999], grad[:999]))
        return (here, *mine.state_dict()["state"].values())

    first, *others = on_threads(train)
    assert not same_bits(first[0], table)
    assert all(same_bits(a, b) for other in others for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("rows", [300, 3000])
def test_descent_is_scatter_add(rows):
    """Plain descent is what `scatter_add` does, where ids seldom come again and where they do."""
    ids, grad = np.random.default_rng(3).integers(0, 5000, rows), draw((rows, 64), "f4", 4)
    table = draw((5000, 64), "f4", 5)
    expected = scatter_add(table.copy(), ids, grad, alpha=-0.3)
    assert same_bits(SGD(0.3).step_from(table, ids, grad), expected)


def test_rows_without_a_gradient_are_left_alone():
    for name in NAMES:
        table, optimizer = draw((9, 20), "f4", 0), make(name)
        before = table.copy()
        optimizer.step(table, draw_grad(9, 3, 20, "f4", 7))
        met = draw_grad(9, 3, 20, "f4", 7).ids
        rest = np.setdiff1d(np.arange(9), met)
        assert same_bits(table[rest], before[rest])
        for array in optimizer.state_dict()["state"].values():
            assert (array[rest] == optimizer._begin()).all()
            assert (array[met] != optimizer._begin()).all()


def test_a_gradient_without_ids_counts_as_a_step():
    """The number of all steps corrects the bias, as in torch's SparseAdam."""
    empty = RowGrad(np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    table, optimizer = np.ones((3, 4), np.float32), Adam(0.1)
    law = Law(optimizer, table)
    grad = RowGrad(np.array([1]), np.ones((1, 4), np.float32))
    for one in (empty, grad, empty, grad):
        optimizer.step(table, one)
        law.step(one)
    law.holds(optimizer, table)
    assert optimizer.steps == 4
    optimizer.step_from(table, [], np.zeros((0, 4), np.float32))
    assert optimizer.steps == 5


def test_the_rate_may_be_set_between_steps():
    table, optimizer = np.zeros((2, 3), np.float32), SGD(1.0)
    grad = RowGrad(np.array([0]), np.ones((1, 3), np.float32))
    optimizer.step(table, grad)
    optimizer.lr = 0.5
    optimizer.step(table, grad)
    assert table.tolist() == [[-1.5] * 3, [0.0] * 3]
    with pytest.raises(AttributeError, match="momentum of an optimizer stays as it was made; only lr may be set"):
        optimizer.momentum = 0.5
    assert optimizer.momentum == 0


def test_nan_is_written():
    for name in NAMES:
        table, rows = np.ones((3, 20), np.float32), np.ones((2, 20), np.float32)
        rows[1, 17] = np.nan
        make(name).step(table, RowGrad(np.array([0, 2]), rows))
        found = np.isnan(table)
        assert found[2, 17]
        assert found.sum() == (20 if "row-wise" in name else 1)


def test_ragged_ids_and_lists():
    ids, grad = Ragged.from_lists([[1, 2], [], [2]]), draw((3, 5), "f4", 0)
    a, b, c = np.zeros((3, 5, 5), np.float32)
    SGD(0.1).step_from(a[:3], ids, grad)
    SGD(0.1).step_from(b[:3], [1, 2, 2], grad)
    SGD(0.1).step_from(c[:3], np.array([1, 2, 2], np.uint8), grad)
    assert a.tobytes() == b.tobytes() == c.tobytes() != bytes(a.nbytes)


@pytest.mark.parametrize("name", ["SGD", "Adagrad, row-wise", "Adam"])
def test_tables_without_rows_or_columns(name):
    for shape in ((0, 4), (3, 0), (0, 0)):
        table, optimizer = np.zeros(shape, np.float32), make(name)
        ids = np.arange(min(shape[0], 2))
        optimizer.step(table, RowGrad(ids, np.zeros((len(ids), shape[1]), np.float32)))
        optimizer.step_from(table, ids, np.zeros((len(ids), shape[1]), np.float32))
        assert optimizer.steps == 2


def test_a_table_on_a_disk_beyond_2_31_elements(tmp_path):
    V, D = 2**22 + 5, 1024
    table = np.memmap(tmp_path / "table", np.float16, "w+", shape=(V, D))
    optimizer, ids = Adagrad(1.0, row_wise=True), np.array([V - 1, 2**21 + 1, V - 1], np.int32)
    assert optimizer.step_from(table, ids, np.ones((3, D), "f2")) is table
    assert (table[V - 1] == -1).all()
    assert (table[2**21 + 1] == -1).all()
    assert not table[V - 2].any()
    assert not table[2**21].any()


# Rounding by chance -------------------------------------------------------------------------------------------------

#: Numbers of all sizes: those that a float16 cannot hold, its smallest, zeros, and what no number is.
EDGES = np.array(
    [0.0, -0.0, 1.0, -1.0, 65504.0, -65504.0, 65519.0, 70000.0, 3.3e38, np.inf, -np.inf, np.nan, 2**-14, 2**-24, 2**-25,
     -(2**-26), 1e-30, 6.1e-5, 1 + 2**-11, 1 + 2**-9, -3.14159, 1e-42], np.float32,
)  # fmt: skip


@pytest.mark.parametrize("dtype", ["f2", BF16], ids=str)
def test_chance_is_fair_and_never_moves_far(dtype):
    """The mean of many roundings is the number, what 16 bits hold stays, and nothing moves past its neighbours."""
    table, grad = np.zeros((4000, len(EDGES)), dtype), np.tile(EDGES, (4000, 1))
    SGD(1.0, stochastic_rounding=True, seed=3).step(table, RowGrad(np.arange(4000), -grad))
    found = table.astype(np.float64)
    with np.errstate(all="ignore"):
        kept = EDGES.astype(dtype)
        low = np.nextafter(kept, np.array(-np.inf, dtype)).astype(np.float64)
        high = np.nextafter(kept, np.array(np.inf, dtype)).astype(np.float64)
    for j, x in enumerate(EDGES.astype(np.float64)):
        column = found[:, j]
        if not np.isfinite(x):
            assert np.array_equal(column, np.full(4000, x), equal_nan=True)
        elif float(kept[j]) == x:
            assert (column == x).all()
        else:
            assert ((low[j] <= column) & (column <= high[j])).all()
            if np.isfinite(column).all():
                step = max(high[j] - x, x - low[j])
                assert abs(column.mean() - x) < 5 * step / np.sqrt(4000)
    signed = ~np.isnan(EDGES) & (EDGES != 0)  # a table of zeros keeps no -0.0
    assert (np.signbit(table.astype("f4")) == np.signbit(EDGES))[:, signed].all()


@pytest.mark.parametrize("dtype", ["f2", BF16], ids=str)
def test_small_changes_are_not_lost(dtype):
    """A thousand changes of a thousandth: lost to the nearest, there by chance."""
    grad = RowGrad(np.arange(64), np.full((64, 32), -1.0, np.float32))
    lost, kept = np.full((64, 32), 8.0, dtype), np.full((64, 32), 8.0, dtype)
    nearest, by_chance = SGD(1e-3), SGD(1e-3, stochastic_rounding=True, seed=1)
    for _ in range(1000):
        nearest.step(lost, grad)
        by_chance.step(kept, grad)
    assert (lost == 8).all()
    assert abs(kept.astype(np.float64).mean() - 9) < 0.02


def test_chance_depends_on_seed_step_row_and_column():
    def one(seed, steps, row):
        table, optimizer = np.zeros((4, 64), BF16), SGD(1.0, stochastic_rounding=True, seed=seed)
        for _ in range(steps - 1):
            optimizer.step(table, RowGrad(np.zeros(0, int), np.zeros((0, 64), "f4")))
        return optimizer.step(table, RowGrad(np.array([row]), np.full((1, 64), -1 - 2**-8, "f4")))[row]

    base = one(1, 1, 1)
    assert same_bits(base, one(1, 1, 1))
    assert len(np.unique(base.view(np.uint16))) == 2
    for other in (one(2, 1, 1), one(1, 2, 1), one(1, 1, 2), one(2**64 - 1, 1, 1)):
        assert 10 < (other != base).sum() < 54


def test_wide_tables_are_not_rounded_by_chance():
    for dtype in ("f4", "f8"):
        a, b = draw((5, 20), dtype, 0), draw((5, 20), dtype, 0)
        grad = draw_grad(5, 3, 20, dtype, 1)
        assert same_bits(SGD(0.1, stochastic_rounding=True).step(a, grad), SGD(0.1).step(b, grad))
