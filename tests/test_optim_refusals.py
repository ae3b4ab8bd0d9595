"""What optimizers refuse, in which words, and that nothing is half-written then."""

import copy

import numpy as np
import pytest
from arrays import codes_of, lay, same_bits
from optim_cases import RULES, draw, make

from fastemb.gradient import RowGrad
from fastemb.optim import SGD, Adagrad, Adam, AdamW

TABLE = draw((6, 4), "f4", 0)
IDS, ROWS = np.array([1, 4]), draw((2, 4), "f4", 1)
GRAD = RowGrad(IDS, ROWS)
BAD = np.array([[0, 1, 2, 3], [np.nan, 1, np.inf, 3]], np.float32)
WINDOWS = np.lib.stride_tricks.as_strided(np.ones(20, "f4"), (6, 4), (8, 4))

REFUSED = [
    (TABLE.tolist(), GRAD, {}, TypeError, "table must be a numpy.ndarray or an array of another framework, got list"),
    (codes_of(TABLE), GRAD, {}, TypeError, "table is a quantised table, which no optimizer can change; give"),
    (np.ones((6, 4), int), GRAD, {}, TypeError, "table must have dtype float64, float32, float16 or bfloat16, got int"),
    (np.ma.ones((6, 4)), GRAD, {}, TypeError, "table is a masked array"),
    (TABLE, ROWS, {}, TypeError, r"row_grad must be a RowGrad\(ids, rows\), got numpy.ndarray; step_from takes"),
    (TABLE, (IDS, ROWS, IDS), {}, TypeError, r"row_grad must be a RowGrad\(ids, rows\), got tuple"),
    (TABLE, (ROWS, IDS), {}, TypeError, r"row_grad\.ids must have an integer dtype, got dtype float32"),
    (TABLE, (IDS, IDS), {}, TypeError, r"row_grad\.rows must have dtype float64, .* got int64"),
    (TABLE, (IDS, ROWS.tolist()), {}, TypeError, r"row_grad\.rows must be a numpy\.ndarray"),
    (TABLE, GRAD, {"check_finite": "no"}, TypeError, "check_finite must be a bool, got 'no'"),
    (TABLE[0], GRAD, {}, ValueError, r"table must have shape \(V, D\), got \(4,\)"),
    (TABLE[None], GRAD, {}, ValueError, r"table must have shape \(V, D\), got \(1, 6, 4\)"),
    (lay(TABLE, "read-only"), GRAD, {}, ValueError, "table is read-only"),
    (WINDOWS, GRAD, {}, ValueError, r"table overlaps itself in memory: shape \(6, 4\) and strides \(8, 4\)"),
    (TABLE, (IDS, ROWS[:1]), {}, ValueError,
     r"row_grad must have ids of shape \(U,\) and rows of shape \(U, 4\) for a table of \(6, 4\), got \(2,\) and \(1,"),
    (TABLE, (IDS, ROWS[:, :3]), {}, ValueError, r"rows of shape \(U, 4\) .* got \(2,\) and \(2, 3\)"),
    (TABLE, (IDS[None], ROWS[None]), {}, ValueError, r"ids of shape \(U,\) .* got \(1, 2\) and \(1, 2, 4\)"),
    (TABLE, (IDS, TABLE[2:4]), {}, ValueError, r"table overlaps row_grad\.rows in memory"),
    (TABLE, (TABLE.view(np.int32)[0, :2], ROWS), {}, ValueError, r"table overlaps row_grad\.ids in memory"),
    (TABLE, ([1, 6], ROWS), {}, IndexError, "id 6 at position 1 is out of range for a table of 6 rows"),
    (TABLE, ([-1, 2], ROWS), {}, IndexError, "id -1 at position 0 is out of range for a table of 6 rows"),
    (TABLE, ([1, 2**70], ROWS), {}, IndexError, "at position 1 is beyond int64"),
    (TABLE, (np.array([1, 2**64 - 1], np.uint64), ROWS), {}, IndexError, "id 18446744073709551615 at position 1"),
    (TABLE, ([4, 1], ROWS), {}, ValueError,
     r"row_grad\.ids must ascend, each once, got 4 at position 0 and 1 at position 1; row_grad\(ids, rows\) makes"),
    (TABLE, ([4, 4], ROWS), {}, ValueError, "got 4 at position 0 and 4 at position 1"),
    (TABLE, (IDS, BAD), {"check_finite": True}, ValueError,
     "the gradient of id 4 holds nan in column 0, and check_finite is on"),
    (TABLE, (IDS[:1], BAD[1:, 1:][:, [0, 1, 2, 0]]), {"check_finite": True}, ValueError,
     "the gradient of id 1 holds inf in column 1"),
]  # fmt: skip


@pytest.mark.parametrize("name", ["SGD, momentum", "Adagrad, row-wise", "Adam"])
@pytest.mark.parametrize(("table", "grad", "options", "error", "words"), REFUSED)
def test_steps_that_are_refused(name, table, grad, options, error, words):
    optimizer, kept = make(name), TABLE.copy()
    with pytest.raises(error, match=words):
        optimizer.step(table, grad, **options)
    assert optimizer.state_dict()["shape"] is None
    trained = TABLE.copy()
    optimizer.step(trained, GRAD)
    before = copy.deepcopy(optimizer.state_dict())
    if np.shape(table) == (6, 4) and getattr(table, "dtype", None) == np.float32:
        with pytest.raises(error, match=words):
            optimizer.step(table, grad, **options)
    after = optimizer.state_dict()
    assert all(same_bits(after["state"].pop(name), array) for name, array in before.pop("state").items())
    assert after == before | {"state": {}}
    assert same_bits(TABLE, kept)
    assert (WINDOWS == 1).all()


@pytest.mark.parametrize(
    ("ids", "grad", "options", "error", "words"),
    [
        ([1.0], ROWS[:1], {}, TypeError, "ids must have an integer dtype"),
        ([1], IDS[None], {}, TypeError, "grad must have dtype float64, .* got int64"),
        ([1], ROWS[:1], {"padding_idx": 1.0}, TypeError, "padding_idx must be an integer or None, got float"),
        ([1], ROWS[:1], {"check_finite": "no"}, TypeError, "check_finite must be a bool"),
        ([1, 2, 3], ROWS, {}, ValueError,
         r"grad must have shape \(3, 4\) for ids of shape \(3,\) and a table of \(6, 4\), got \(2, 4\)"),
        ([[1, 2]], ROWS, {}, ValueError, r"grad must have shape \(1, 2, 4\) .* got \(2, 4\)"),
        ([1, 2], TABLE[:2], {}, ValueError, "table overlaps grad in memory"),
        (TABLE.view(np.int32)[0, :2], ROWS, {}, ValueError, "table overlaps ids in memory"),
        ([5, 6], ROWS, {}, IndexError, "id 6 at position 1 is out of range for a table of 6 rows"),
        ([[5, -1]], ROWS[None], {}, IndexError, r"id -1 at position \(0, 1\) is out of range for a table of 6 rows"),
        ([-100, -1], ROWS, {"padding_idx": -100}, IndexError, "id -1 at position 1 is out of range"),
        ([-100, 6], ROWS, {"padding_idx": -100}, IndexError, "id 6 at position 1 is out of range"),
        ([2, 6], ROWS, {"padding_idx": 2}, IndexError, "id 6 at position 1 is out of range"),
        ([2, 6], ROWS, {"check_finite": True}, IndexError, "id 6 at position 1 is out of range"),
        ([3, 2], BAD, {"check_finite": True}, ValueError, "the gradient of id 2 holds nan in column 0"),
        ([3, 3], np.full((2, 4), 3e38, "f4"), {"check_finite": True}, ValueError, "of id 3 holds inf in column 0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["plain", "fortran"])
def test_sweeps_that_are_refused(ids, grad, options, error, words, layout):
    kept = TABLE.copy()
    for name in ("SGD", "Adagrad, row-wise", "Adam"):
        shared = np.may_share_memory(grad, TABLE) or np.may_share_memory(ids, TABLE)
        table, optimizer = TABLE if shared else lay(TABLE.copy(), layout), make(name)
        with pytest.raises(error, match=words):
            optimizer.step_from(table, ids, grad, **options)
        assert same_bits(TABLE, kept)
        assert np.array_equal(table, kept)
        assert optimizer.steps == 0


def test_the_state_is_no_table_and_no_gradient():
    optimizer, table = Adam(), TABLE.copy()
    optimizer.step(table, GRAD)
    mean = optimizer.state_dict()["state"]["exp_avg"]
    before, kept = mean.copy(), table.copy()
    for given, words in (
        ((mean, GRAD), "table overlaps exp_avg, the optimizer's state, in memory"),
        ((table, (IDS, mean[2:4])), r"row_grad\.rows overlaps exp_avg, the optimizer's state, in memory"),
    ):
        with pytest.raises(ValueError, match=words):
            optimizer.step(*given)
    with pytest.raises(ValueError, match="grad overlaps exp_avg, the optimizer's state"):
        optimizer.step_from(table, [1, 2], mean[2:4])
    assert same_bits(mean, before)
    assert same_bits(table, kept)
    assert optimizer.steps == 1


def test_what_is_left_out_may_be_anything():
    table, grad = TABLE.copy(), np.vstack([BAD, ROWS])
    SGD(0.5).step_from(table, [-100, -100, 2, 2], grad, padding_idx=-100, check_finite=True)
    assert same_bits(table[2], TABLE[2] - np.float32(0.5) * (ROWS[0] + ROWS[1]))
    table = TABLE.copy()
    SGD(0.5).step_from(table, [3, 3, 2, 2], grad, padding_idx=3)
    assert same_bits(table[2], TABLE[2] - np.float32(0.5) * (ROWS[0] + ROWS[1]))
    assert same_bits(np.delete(table, 2, axis=0), np.delete(TABLE, 2, axis=0))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: SGD(-1), ValueError, "^lr must be finite and not negative, got -1$"),
        (lambda: SGD(float("nan")), ValueError, "^lr must be finite and not negative, got nan"),
        (lambda: SGD("1"), TypeError, "^lr must be a real number, got str"),
        (lambda: setattr(SGD(), "lr", -1.0), ValueError, "^lr must be finite and not negative"),
        (lambda: SGD(momentum=-0.5), ValueError, "^momentum must be finite and not negative"),
        (lambda: SGD(nesterov=True), ValueError, "^nesterov needs a momentum"),
        (lambda: SGD(weight_decay=float("inf")), ValueError, "^weight_decay must be finite"),
        (lambda: SGD(seed=-1), ValueError, r"^seed must be from 0 to 2\*\*64 - 1, got -1"),
        (lambda: SGD(seed=1.5), TypeError, "^seed must be an integer, got float"),
        (lambda: SGD(stochastic_rounding="yes"), TypeError, "^stochastic_rounding must be a bool"),
        (lambda: Adagrad(lr_decay=-1), ValueError, "^lr_decay must be"),
        (lambda: Adagrad(initial_accumulator_value=-1), ValueError, "^initial_accumulator_value must be"),
        (lambda: Adagrad(row_wise="yes"), TypeError, "^row_wise must be a bool"),
        (lambda: Adagrad(eps=-1e-9), ValueError, "^eps must be"),
        (lambda: Adam(betas=(0.9, 1.0)), ValueError, r"^betas\[1\] must be from 0 on and below 1, got 1\.0"),
        (lambda: Adam(betas=0.9), TypeError, "^betas must be a tuple of two floats, got 0.9"),
        (lambda: Adam(betas=(0.9, None)), TypeError, r"^betas\[1\] must be a real number"),
        (lambda: AdamW(eps="small"), TypeError, "^eps must be a real number"),
    ],
)
def test_options_that_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_defaults_are_written_where_they_are_read():
    assert repr(SGD()) == (
        "SGD(lr=0.001, momentum=0.0, weight_decay=0.0, nesterov=False, stochastic_rounding=False, seed=0)"
    )
    assert {name: make(name)._OPTIONS[0] for name in RULES} == dict.fromkeys(RULES, "lr")
