"""Optimizers against torch's own over a hundred steps, and on torch's tensors."""

import numpy as np
import pytest
from arrays import BF16, same_bits
from optim_cases import RULES, draw, make

import fastemb
from fastemb.gradient import RowGrad, row_grad
from fastemb.optim import SGD, Adagrad, Adam, AdamW

torch = pytest.importorskip("torch", reason="the package torch is not installed")

V, D, N = 300, 40, 200
PAIRS = {
    "SGD": (SGD(0.1), lambda weight: torch.optim.SGD([weight], 0.1)),
    "SGD, defaults": (SGD(), lambda weight: torch.optim.SGD([weight])),
    "Adagrad": (Adagrad(0.1), lambda weight: torch.optim.Adagrad([weight], 0.1)),
    "Adagrad, defaults": (Adagrad(), lambda weight: torch.optim.Adagrad([weight])),
    "Adagrad, begun": (
        Adagrad(0.1, lr_decay=0.1, initial_accumulator_value=0.3, eps=1e-3),
        lambda weight: torch.optim.Adagrad([weight], 0.1, lr_decay=0.1, initial_accumulator_value=0.3, eps=1e-3),
    ),
    "Adam": (Adam(), lambda weight: torch.optim.SparseAdam([weight])),
    "Adam, options": (
        Adam(0.01, betas=(0.8, 0.95), eps=1e-4),
        lambda weight: torch.optim.SparseAdam([weight], 0.01, betas=(0.8, 0.95), eps=1e-4),
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")  # torch's own sparse tensors
@pytest.mark.parametrize("sweep", [False, True], ids=["step", "step_from"])
@pytest.mark.parametrize("name", PAIRS)
def test_a_hundred_steps_are_torchs(name, sweep):
    ours, theirs = PAIRS[name]
    ours = type(ours)(**ours.state_dict()["options"])
    table = draw((V, D), "f4", 0)
    weight = torch.nn.Parameter(torch.from_numpy(table.copy()))
    optimizer = theirs(weight)
    for k in range(100):
        ids, grad = np.random.default_rng(k).zipf(1.3, N) % V, draw((N, D), "f4", k + 1)
        index, values = torch.from_numpy(ids)[None], torch.from_numpy(grad)
        weight.grad = torch.sparse_coo_tensor(index, values, (V, D), check_invariants=False).coalesce()
        optimizer.step()
        if sweep:
            ours.step_from(table, ids, grad)
        else:
            ours.step(table, row_grad(ids, grad))
    apart = np.abs(table - weight.detach().numpy())
    assert apart.max() <= 1e-6 * max(1.0, np.abs(table).max())


def test_where_all_rows_have_gradients_it_is_torchs_dense_way():
    """Momentum, decay and AdamW, of which sparse gradients of torch know nothing."""
    for ours, theirs, most in (
        (SGD(0.1, momentum=0.9), lambda weight: torch.optim.SGD([weight], 0.1, momentum=0.9), 1e-6),
        (
            SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda weight: torch.optim.SGD([weight], 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            1e-6,
        ),
        (Adagrad(0.1, weight_decay=0.1), lambda weight: torch.optim.Adagrad([weight], 0.1, weight_decay=0.1), 1e-6),
        # eps is added before the bias is corrected, there behind it
        (Adam(eps=0.0, weight_decay=0.1), lambda weight: torch.optim.Adam([weight], eps=0.0, weight_decay=0.1), 2e-6),
        (AdamW(eps=0.0), lambda weight: torch.optim.AdamW([weight], eps=0.0), 2e-6),
    ):
        table = draw((30, D), "f4", 0)
        weight = torch.nn.Parameter(torch.from_numpy(table.copy()))
        optimizer = theirs(weight)
        for k in range(100):
            rows = draw((30, D), "f4", k + 1)
            weight.grad = torch.from_numpy(rows)
            optimizer.step()
            ours.step(table, RowGrad(np.arange(30), rows))
        assert np.abs(table - weight.detach().numpy()).max() <= most * max(1.0, np.abs(table).max()), ours


def test_lazy_is_not_dense():
    """What is lazy: of rows without a gradient torch's dense Adam and AdamW change, ours stay."""
    table = np.ones((2, 4), np.float32)
    optimizer = AdamW(0.1)
    optimizer.step_from(table, [0, 1], np.ones((2, 4), "f4"))
    before = table.copy()
    optimizer.step_from(table, [0], np.ones((1, 4), "f4"))
    assert same_bits(table[1], before[1])
    weight = torch.nn.Parameter(torch.ones(2, 4))
    dense = torch.optim.AdamW([weight], 0.1)
    for grad in (torch.ones(2, 4), torch.tensor([[1.0], [0.0]]).expand(2, 4)):
        weight.grad = grad
        dense.step()
    assert (weight.detach().numpy()[1] != before[1]).all()


@pytest.mark.parametrize("name", RULES)
def test_numpys_numbers_in_tensors(name):
    table, grad, ids = draw((20, 30), "f4", 0), draw((3, 5, 30), "f4", 1), np.arange(15).reshape(3, 5) % 7
    here, there, optimizer, other = table.copy(), torch.from_numpy(table.copy()), make(name), make(name)
    version = there._version
    optimizer.step_from(here, ids, grad)
    assert other.step_from(there, torch.from_numpy(ids), torch.from_numpy(grad)) is there
    assert same_bits(there.numpy(), here)
    assert there._version == version + 1
    rows = fastemb.row_grad(torch.from_numpy(ids), torch.from_numpy(grad))
    optimizer.step(here, row_grad(ids, grad))
    assert other.step(there, rows) is there
    assert same_bits(there.numpy(), here)
    for mine, array in zip(other.state_dict()["state"].values(), optimizer.state_dict()["state"].values(), strict=True):
        assert same_bits(mine, array)


def test_tensors_of_bfloat16_and_parameters():
    table = draw((20, 30), BF16, 0)
    weight = torch.nn.Parameter(torch.from_numpy(table.view(np.int16).copy()).view(torch.bfloat16))
    ids, grad = np.array([1, 3, 1]), draw((3, 30), "f4", 1)
    ours, theirs = make("Adam", stochastic_rounding=True), make("Adam", stochastic_rounding=True)
    ours.step_from(table, ids, grad)
    with pytest.raises(TypeError, match="requires grad"):
        theirs.step_from(weight, ids, torch.from_numpy(grad))
    with torch.no_grad():
        assert theirs.step_from(weight, ids, torch.from_numpy(grad)) is weight
    assert same_bits(weight.detach().view(torch.int16).numpy().view(BF16), table)


def test_two_frameworks_are_refused():
    table, rows = torch.zeros(3, 4), np.ones((1, 4), np.float32)
    for call in (lambda: SGD().step(table, RowGrad([0], rows)), lambda: SGD().step_from(table, [0], rows)):
        with pytest.raises(TypeError, match="is an array of NumPy and target one of torch"):
            call()
    with pytest.raises(TypeError, match=r"row_grad\.rows must be a numpy\.ndarray, as the array that decides is"):
        SGD().step(np.zeros((3, 4), "f4"), RowGrad([0], torch.ones(1, 4)))
    z = torch.complex(torch.zeros(3, 4), torch.zeros(3, 4)).conj().imag
    with pytest.raises(ValueError, match="whose sign is not the one in memory"):
        SGD().step_from(z, [0], torch.ones(1, 4))
    assert not table.any()
