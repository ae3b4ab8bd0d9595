"""What optimizers remember: one table, states saved and taken, the same bits resumed or not."""

import copy
import pickle
import sys

import numpy as np
import pytest
from arrays import BF16, same_bits
from optim_cases import RULES, draw, draw_grad, make, of_one_type

import fastemb
from fastemb.optim import SGD, Adagrad, Adam, AdamW

NAMES = list(RULES)


def by_dict(optimizer, folder):
    """Go on in another object, by the dict."""
    other = type(optimizer)()
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return other


def by_file(optimizer, folder):
    """Go on in another object, by a file."""
    optimizer.save(folder / "optimizer.safetensors")
    return type(optimizer).load(folder / "optimizer.safetensors")


def by_pickle(optimizer, folder):
    """Go on in another object, by Python's own way."""
    return pickle.loads(pickle.dumps(optimizer))


@pytest.mark.parametrize("resume", [by_dict, by_file, by_pickle])
@of_one_type(["f8", "f4", BF16])
def test_the_same_bits_resumed_or_not(name, dtype, resume, tmp_path):
    table, optimizer = draw((9, 20), dtype, 0), make(name, stochastic_rounding=True, seed=2**64 - 1)
    before = resume(optimizer, tmp_path)
    assert repr(before) == repr(optimizer)
    other = table.copy()
    for k in range(3):
        grad = draw_grad(9, 4, 20, dtype, k)
        optimizer.step(table, grad)
        before.step(other, grad)
        before = resume(before, tmp_path)
    assert before.steps == 3
    assert same_bits(table, other)
    found, expected = before.state_dict(), optimizer.state_dict()
    arrays, others = found.pop("state"), expected.pop("state")
    assert found == expected
    assert arrays.keys() == others.keys()
    assert all(same_bits(arrays[one], others[one]) for one in arrays)


def test_what_a_state_holds():
    table, optimizer = np.zeros((5, 3), BF16), AdamW(0.1)
    told = optimizer.state_dict()
    assert (told["step"], told["shape"], told["dtype"], told["state"]) == (0, None, None, {})
    assert told["options"] == {
        "lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "stochastic_rounding": False, "seed": 0
    }  # fmt: skip
    optimizer.step_from(table, [1], np.ones((1, 3), BF16))
    told = optimizer.state_dict()
    assert (told["optimizer"], told["step"], told["shape"], told["dtype"]) == ("AdamW", 1, (5, 3), "bfloat16")
    assert {name: (array.shape, array.dtype) for name, array in told["state"].items()} == {
        "exp_avg": ((5, 3), np.float32), "exp_avg_sq": ((5, 3), np.float32)
    }  # fmt: skip
    row_wise = Adagrad(row_wise=True)
    row_wise.step_from(np.zeros((5, 3)), [1], np.ones((1, 3)))
    assert row_wise.state_dict()["state"]["sum"].shape == (5,)
    assert row_wise.state_dict()["state"]["sum"].dtype == np.float64


def test_a_state_that_is_taken_is_copied():
    table, optimizer = np.zeros((5, 3), "f4"), Adam(0.1)
    optimizer.step_from(table, [1], np.ones((1, 3), "f4"))
    other = Adam()
    other.load_state_dict(optimizer.state_dict())
    before = other.state_dict()["state"]["exp_avg"].copy()
    optimizer.step_from(table, [1], np.ones((1, 3), "f4"))
    assert same_bits(other.state_dict()["state"]["exp_avg"], before)
    assert (optimizer.steps, other.steps, other.lr) == (2, 1, 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_one_object_serves_one_table(name):
    table, optimizer = draw((9, 20), "f4", 0), make(name)
    optimizer.step(table, draw_grad(9, 4, 20, "f4", 1))
    before = copy.deepcopy(optimizer.state_dict())
    for other in (np.zeros((8, 20), "f4"), np.zeros((9, 19), "f4"), np.zeros((9, 20)), np.zeros((9, 20), "f2")):
        words = rf"has the state of another table, one of shape \(9, 20\) and dtype float32, got .* {other.dtype}; each"
        with pytest.raises(ValueError, match=words):
            optimizer.step_from(other, [0], np.ones((1, other.shape[1]), "f4"))
        assert not other.any()
    assert optimizer.steps == 1
    for array, old in zip(optimizer.state_dict()["state"].values(), before["state"].values(), strict=True):
        assert same_bits(array, old)
    optimizer.step(table.astype(">f4"), draw_grad(9, 4, 20, "f4", 1))  # the byte order is no matter of the state
    assert optimizer.steps == 2


def told_by(optimizer, /, **changes):
    """Return the state of an optimizer of a (5, 3) table after a step, with changes."""
    optimizer.step_from(np.zeros((5, 3), "f4"), [1], np.ones((1, 3), "f4"))
    return optimizer.state_dict() | changes


ARRAY = np.zeros((5, 3), np.float32)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"optimizer": "AdamW"}, ValueError, "state_dict is that of 'AdamW', and this is Adam"),
        ({"step": -1}, ValueError, r"state_dict\['step'\] must be from 0 to 2\*\*64 - 1, got -1"),
        ({"step": 1.0}, TypeError, r"state_dict\['step'\] must be an integer, got float"),
        ({"more": 1}, ValueError, "state_dict must hold optimizer, step, options, shape, dtype, state, got .* more"),
        ({"options": {"lr": 1.0}}, ValueError, r"state_dict\['options'\] must hold lr, betas, .*, got lr$"),
        ({"options": [1]}, TypeError, r"state_dict\['options'\] must be a dict, got list"),
        ({"shape": (5,)}, ValueError, r"state_dict\['shape'\] must be that of a table, \(V, D\), got \(5,\)"),
        ({"shape": (5, -3)}, ValueError, r"state_dict\['shape'\] must not be negative, got -3"),
        ({"shape": (5, 4)}, ValueError,
         r"state_dict\['state'\]\['exp_avg'\] must have dtype float32 and shape \(5, 4\) for a table of \(5, 4\) "
         r"float32, got float32 and \(5, 3\)"),
        ({"dtype": "int8"}, ValueError, r"state_dict\['dtype'\] must be one of float64, .* got 'int8'"),
        ({"dtype": "float64"}, ValueError, "must have dtype float64 .* got float32 and"),
        ({"state": {}}, ValueError, r"state_dict\['state'\] must hold exp_avg, exp_avg_sq, got nothing"),
        ({"state": {"exp_avg": ARRAY, "sum": ARRAY}}, ValueError, "must hold exp_avg, exp_avg_sq, got exp_avg, sum"),
        ({"state": {"exp_avg": ARRAY, "exp_avg_sq": ARRAY.astype("f2")}}, ValueError,
         r"state_dict\['state'\]\['exp_avg_sq'\] must have dtype float32 .* got float16 and"),
        ({"state": {"exp_avg": ARRAY, "exp_avg_sq": ARRAY[:4]}}, ValueError, r"\['exp_avg_sq'\] .* and \(4, 3\)"),
    ],
)  # fmt: skip
def test_states_that_are_refused(changes, error, words):
    told, mine = told_by(Adam(0.5), **changes), Adam(0.25)
    before = copy.deepcopy(told_by(mine))
    with pytest.raises(error, match=words):
        mine.load_state_dict(told)
    after = mine.state_dict()
    assert all(same_bits(after["state"].pop(name), array) for name, array in before.pop("state").items())
    assert after == before | {"state": {}}
    with pytest.raises(TypeError, match="state_dict must be a dict, got list"):
        mine.load_state_dict([])


def test_files_that_are_refused(tmp_path):
    from safetensors.numpy import save_file

    file = tmp_path / "state"
    with pytest.raises(FileNotFoundError):
        Adam.load(file)
    file.write_bytes(b"no header")
    with pytest.raises(ValueError, match="damaged safetensors file"):
        Adam.load(file)
    save_file({"exp_avg": ARRAY}, file)
    with pytest.raises(ValueError, match=r"no optimizer that fastemb saved: its metadata have no fastemb\.optim"):
        Adam.load(file)
    save_file({"exp_avg": ARRAY}, file, {"fastemb.optim": "{"})
    with pytest.raises(ValueError, match="damaged safetensors file"):
        Adam.load(file)
    optimizer = SGD(0.1, momentum=0.5)
    told_by(optimizer)
    optimizer.save(str(file))
    with pytest.raises(ValueError, match=f"^{file}: state_dict is that of 'SGD', and this is Adam"):
        Adam.load(file)
    assert SGD.load(file).steps == 1


def test_without_safetensors(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: SGD().save(tmp_path / "a"), lambda: SGD.load(tmp_path / "a")):
        with pytest.raises(
            ModuleNotFoundError, match=r"needs the package safetensors: pip install 'fastemb\[static\]'"
        ):
            call()
    assert not list(tmp_path.iterdir())


def test_names():
    for name in ("SGD", "Adagrad", "Adam", "AdamW"):
        assert getattr(fastemb, name) is getattr(fastemb.optim, name)
