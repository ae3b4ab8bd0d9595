"""Optimizers on the device: bit by bit what the reference says, by kernels that were launched."""

from functools import reduce
from unittest import mock

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import on_device, run
from optim_cases import RULES, Law, make

from fastemb import _frameworks, reference
from fastemb._cuda import optim, sorting, status
from fastemb._cuda.kernels import join
from fastemb.gradient import RowGrad

FLOATS = [np.dtype(dtype) for dtype in ("f4", "f8", "f2", ml_dtypes.bfloat16)]
CUT = 8  # of the tests that shorten it


def same(found, expected):
    """Hold the bits of both against each other; one NaN is like another."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    zero = np.zeros((), found.dtype)
    assert (np.isnan(found) == np.isnan(expected)).all()
    bits = [np.where(np.isnan(one), zero, one).tobytes() for one in (found, expected)]
    assert bits[0] == bits[1]


def cut_sum(rows):
    pieces = [reduce(np.add, rows[cut : cut + CUT]) for cut in range(0, len(rows), CUT)]
    return reduce(np.add, [piece.astype(np.float64) for piece in pieces]).astype(rows.dtype)


def shortened(function):
    """Return a test that runs with early cuts and small tiles."""
    function = mock.patch.object(join, "CUT", CUT)(function)
    function = mock.patch.object(reference, "cut_sum", cut_sum)(function)
    return mock.patch.multiple(sorting, EACH=4)(function)


def holds(law, optimizer, table):
    same(table, law.table)
    told = optimizer.state_dict()
    assert told["step"] == law.steps
    for name, array in told["state"].items():
        same(array._ary, law.state[name])


def lay(x, layout):
    """Return a table in a layout that a device can have: a part of a larger array."""
    if layout == "plain":
        return x.copy()
    if layout == "rows apart":
        whole = np.zeros((len(x), x.shape[1] + 3), x.dtype)
        whole[:, 1:-2] = x
        return whole[:, 1:-2]
    whole = np.zeros((x.shape[0], 2 * x.shape[1]), x.dtype)
    whole[:, ::2] = x
    return whole[:, ::2]


@shortened
@settings(max_examples=24, deadline=None)
@given(st.data())
def test_steps_equal_reference(data):
    name = data.draw(st.sampled_from(sorted(RULES)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    V, D = data.draw(st.sampled_from([1, 3, 30])), data.draw(st.sampled_from([1, 3, 4, 8, 17, 40]))
    dtype, kind = data.draw(st.sampled_from(FLOATS)), data.draw(st.sampled_from(FLOATS))
    table = lay(
        rng.standard_normal((V, D)).astype(dtype), data.draw(st.sampled_from(["plain", "rows apart", "columns"]))
    )
    optimizer = make(name)
    law = Law(optimizer, table)
    for _ in range(2):
        shape = data.draw(st.sampled_from([(1,), (7,), (5, 9)]))
        ids = rng.integers(0, V, shape).astype(data.draw(st.sampled_from(["i4", "i8", "u1"])))
        grad = rng.standard_normal((*shape, D)).astype(kind)
        skip = data.draw(st.sampled_from([None, 0, -1]))
        run(optimizer.step_from, table, ids, grad, padding_idx=skip)
        law.step(RowGrad(*reference.row_grad(ids, grad, padding_idx=skip)))
        holds(law, optimizer, table)
    grad = RowGrad(*reference.row_grad(ids, grad))
    run(optimizer.step, table, grad)
    law.step(grad)
    holds(law, optimizer, table)


def view(array):
    there = on_device(array)
    return _frameworks.of(there).view(there, "")


@pytest.mark.parametrize("name", RULES)
def test_a_step_without_ids_is_one_of_all_rows(name):
    """As the dense gradients of torch are; the room is asked itself."""
    rng = np.random.default_rng(0)
    table, rows = rng.standard_normal((5, 12)).astype("f4"), rng.standard_normal((5, 12)).astype("f4")
    optimizer = make(name)
    law = Law(optimizer, table)
    update, state = optimizer._asked(view(table), False)
    optim.step(view(table), None, view(rows), update)
    law.step(RowGrad(np.arange(5), rows))
    same(table, law.table)
    for part, array in state.items():
        same(array.owner._ary, law.state[part])


def test_ids_need_not_ascend_here():
    table, rows = np.ones((4, 3), "f4"), np.arange(9, dtype="f4").reshape(3, 3)
    law = Law(make("Adam"), table)
    run(make("Adam").step, table, RowGrad(np.array([2, 0, 2]), rows))
    law.step(RowGrad(*reference.row_grad(np.array([2, 0, 2]), rows)))
    same(table, law.table)


def test_not_finite_gradients():
    table, rows = np.ones((4, 3), "f4"), np.ones((2, 3), "f4")
    rows[1, 2] = np.nan
    before, optimizer = table.copy(), make("Adam")
    for call in (optimizer.step_from, lambda t, i, g, **o: optimizer.step(t, RowGrad(i, g), **o)):
        with pytest.raises(ValueError, match="not finite, in row 1 and column 2, and check_finite is on"):
            run(call, table, np.array([0, 3]), rows, check_finite=True)
    same(table, before)
    assert optimizer.steps == 0
    run(optimizer.step_from, table, np.array([0, 3]), rows)
    assert np.isnan(table[3, 2])
    assert np.isfinite(table[0]).all()


def test_bad_ids_change_nothing_and_are_said():
    table, optimizer = np.ones((4, 3), "f4"), make("SGD")
    run(optimizer.step_from, table, np.array([1, 4]), np.ones((2, 3), "f4"))
    same(table[[0, 2, 3]], np.ones((3, 3), "f4"))
    with pytest.raises(IndexError, match="id at position 1 is out of range for a table of 4 rows"):
        status.cuda_check()
    with mock.patch.object(status, "mode", status.SYNC):
        before = table.copy()
        with pytest.raises(IndexError, match="id -1 at position 0 is out of range for a table of 4 rows"):
            run(optimizer.step_from, table, np.array([-1, 1]), np.ones((2, 3), "f4"))
        same(table, before)
    assert optimizer.steps == 1


def test_what_is_not_built_is_said():
    table = np.ones((4, 3), "f2")
    with pytest.raises(NotImplementedError, match=r"stochastic rounding is built for the CPU alone"):
        run(make("SGD", stochastic_rounding=True).step_from, table, np.array([1]), np.ones((1, 3), "f4"))
    run(make("SGD", stochastic_rounding=True).step_from, table.astype("f4"), np.array([1]), np.ones((1, 3), "f4"))


def test_a_state_on_another_device_is_refused():
    table, ids, grad = np.ones((4, 3), "f4"), np.array([1]), np.ones((1, 3), "f4")
    optimizer = make("Adam")
    optimizer.step_from(table, ids, grad)
    with pytest.raises(TypeError, match="exp_avg is on the CPU and table on cuda:0"):
        run(optimizer.step_from, table, ids, grad)
    there = make("Adam")
    run(there.step_from, table, ids, grad)
    state = there.state_dict()["state"]["exp_avg"]
    with pytest.raises(ValueError, match="table overlaps exp_avg, the optimizer's state, in memory"):
        there.step_from(state, on_device(ids), on_device(grad))


def test_new_states_begin_with_their_value():
    table = view(np.ones((4, 3), "f4"))
    for value in (0.0, 0.25):
        made = optim.new_state(table, (4,), value)
        same(made._ary, np.full(4, value, "f4"))


def test_a_state_on_a_device_is_not_saved(tmp_path):
    optimizer = make("Adam")
    run(optimizer.step_from, np.ones((4, 3), "f4"), np.array([1]), np.ones((1, 3), "f4"))
    with pytest.raises(TypeError, match=r"exp_avg is on cuda:0, and save writes what lies on the CPU"):
        optimizer.save(tmp_path / "a.safetensors")
