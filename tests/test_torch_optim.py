"""`fastemb.torch.optim`: torch's numbers, states and habits, by our kernels."""

import copy
import inspect
import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from arrays import same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb

torch = pytest.importorskip("torch", reason="the package torch is not installed")

import fastemb.torch  # noqa: E402
from fastemb.torch import optim  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")

V, D, N = 300, 40, 200
#: Ours and torch's, by names of what they are to be equal in.
SPARSE = {
    "SGD": (lambda p: optim.SGD(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "SGD, defaults": (optim.SGD, torch.optim.SGD),
    "Adagrad": (lambda p: optim.Adagrad(p, 0.1), lambda p: torch.optim.Adagrad(p, 0.1)),
    "Adagrad, begun": (
        lambda p: optim.Adagrad(p, 0.1, lr_decay=0.1, initial_accumulator_value=0.3, eps=1e-3),
        lambda p: torch.optim.Adagrad(p, 0.1, lr_decay=0.1, initial_accumulator_value=0.3, eps=1e-3),
    ),
    "Adam": (optim.Adam, torch.optim.SparseAdam),
    "Adam, options": (
        lambda p: optim.Adam(p, 0.01, (0.8, 0.95), 1e-4),
        lambda p: torch.optim.SparseAdam(p, 0.01, (0.8, 0.95), 1e-4),
    ),
    "Adam, up": (lambda p: optim.Adam(p, maximize=True), lambda p: torch.optim.SparseAdam(p, maximize=True)),
}
DENSE = {
    "SGD": (lambda p: optim.SGD(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "SGD, nesterov": (
        lambda p: optim.SGD(p, 0.1, 0.9, weight_decay=0.01, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.01, nesterov=True),
    ),
    "Adagrad": (
        lambda p: optim.Adagrad(p, 0.1, 0.1, 0.1),
        lambda p: torch.optim.Adagrad(p, 0.1, 0.1, 0.1),
    ),
    "Adam": (
        lambda p: optim.Adam(p, 0.01, eps=1e-4, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, 0.01, eps=1e-4, weight_decay=0.1),
    ),
    "AdamW": (lambda p: optim.AdamW(p, 0.01, eps=1e-4), lambda p: torch.optim.AdamW(p, 0.01, eps=1e-4)),
}
#: Every rule, with all that its state may be.
ALL = {
    "SGD": optim.SGD,
    "SGD, momentum": lambda p: optim.SGD(p, 0.1, 0.9),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1),
    "Adagrad, row-wise": lambda p: optim.Adagrad(p, 0.1, row_wise=True),
    "Adam": lambda p: optim.Adam(p, 0.1),
    "AdamW": lambda p: optim.AdamW(p, 0.1),
}
STATES = {"SGD": [], "SGD, momentum": ["momentum_buffer"], "Adam": ["exp_avg", "exp_avg_sq"]}


@pytest.fixture(autouse=True)
def one_thread():
    """Let torch not wake threads for tensors that are this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def make_weight(*shape, seed=0, dtype=torch.float32):
    return torch.nn.Parameter(draw(*(shape or (V, D)), seed=seed, dtype=dtype))


def sparse(k, shape=(V, D), n=N, dtype=torch.float32, coalesce=False):
    """Return the gradient of step k: of ids of which some come again."""
    ids = torch.from_numpy(np.random.default_rng(k).zipf(1.3, n) % shape[0])
    made = torch.sparse_coo_tensor(ids[None], draw(n, *shape[1:], seed=k + 1, dtype=dtype), shape)
    return made.coalesce() if coalesce else made


def near(ours, theirs, most=1e-6):
    assert (ours - theirs).abs().max() <= most * max(1.0, float(theirs.detach().abs().max()))


def bits(tensor):
    return tensor.detach().contiguous().view(torch.uint8).numpy().copy()


def train(weight, optimizer, steps, **options):
    for k in steps:
        weight.grad = sparse(k, tuple(weight.shape), dtype=weight.dtype, **options)
        optimizer.step()


@pytest.mark.parametrize("coalesce", [False, True], ids=["as it comes", "coalesced"])
@pytest.mark.parametrize("name", SPARSE)
def test_a_hundred_sparse_steps_are_torchs(name, coalesce):
    ours, theirs = make_weight(), make_weight()
    mine, its = SPARSE[name][0]([ours]), SPARSE[name][1]([theirs])
    for k in range(100):
        ours.grad, theirs.grad = sparse(k, coalesce=coalesce), sparse(k, coalesce=True)
        mine.step()
        its.step()
    near(ours, theirs)


@pytest.mark.parametrize("shape", [(V, D), (7,), (), (3, 4, 5), (0, 4)], ids=str)
@pytest.mark.parametrize("name", DENSE)
def test_a_hundred_dense_steps_are_torchs(name, shape):
    ours, theirs = torch.nn.Parameter(draw(*shape)), torch.nn.Parameter(draw(*shape))
    mine, its = DENSE[name][0]([ours]), DENSE[name][1]([theirs])
    for k in range(100):
        ours.grad, theirs.grad = draw(*shape, seed=k), draw(*shape, seed=k)
        mine.step()
        its.step()
    assert ours.numel() == 0 or near(ours, theirs, 3e-6) is None


@pytest.mark.parametrize("name", ALL)
def test_it_is_fastemb_optim_to_the_bit(name):
    """The same rules by the same kernels, whether gradients come in order or not."""
    weight = make_weight()
    table = weight.detach().numpy().copy()
    optimizer = ALL[name]([weight])
    options = {n: v for n, v in optimizer.defaults.items() if n not in ("maximize", "check_finite", "dampening")}
    options.pop("decoupled_weight_decay", None)
    other = getattr(fastemb, type(optimizer).__name__)(**options)
    for k in range(6):
        weight.grad = sparse(k, coalesce=k % 2 == 1)
        grad = fastemb.row_grad(weight.grad._indices()[0].numpy(), weight.grad._values().numpy())
        optimizer.step()
        other.step(table, grad)
    assert same_bits(weight.detach().numpy(), table)
    for part, array in other.state_dict()["state"].items():
        assert same_bits(optimizer.state[weight][part].numpy(), array)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(ALL)), shape=st.sampled_from([(5, 3), (9, 17), (4, 2, 3), (6,)]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
    threads=st.sampled_from([1, 3]), cut=st.integers(0, 5), chance=st.booleans(),
)  # fmt: skip
def test_resumed_or_not_and_on_any_threads_the_same_bits(name, shape, dtype, threads, cut, chance):
    kind = ALL[name]
    whole, part = make_weight(*shape, dtype=dtype), make_weight(*shape, dtype=dtype)
    first = kind([whole])
    first.param_groups[0].update(stochastic_rounding=chance, seed=7)
    train(whole, first, range(6), n=11)
    second = kind([part])
    second.param_groups[0].update(stochastic_rounding=chance, seed=7)
    with fastemb.num_threads(threads):
        train(part, second, range(cut), n=11)
        file = io.BytesIO()
        torch.save(second.state_dict(), file)
        file.seek(0)
        resumed = kind([part])
        resumed.load_state_dict(torch.load(file, weights_only=True))
        train(part, resumed, range(cut, 6), n=11)
    assert same_bits(bits(whole), bits(part))
    for state, other in zip(first.state.values(), resumed.state.values(), strict=True):
        assert state.keys() == other.keys()
        assert state["step"] == other["step"] == 6
        for key in state.keys() - {"step"}:
            assert state[key].dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
            assert same_bits(bits(state[key]), bits(other[key]))


def test_each_parameter_has_a_chance_of_its_own():
    """That of fastemb.optim with its number among all added to the seed, those without a gradient counted too."""
    weights = [make_weight(dtype=torch.bfloat16) for _ in range(3)]
    groups = [{"params": weights[:2]}, {"params": weights[2:]}]
    optimizer = optim.SGD(groups, lr=1e-3, stochastic_rounding=True, seed=5)
    grad = sparse(0, dtype=torch.bfloat16, coalesce=True)
    weights[0].grad = weights[2].grad = grad
    optimizer.step()
    for k in (0, 2):
        table = make_weight(dtype=torch.bfloat16).detach()
        alone = fastemb.SGD(lr=1e-3, stochastic_rounding=True, seed=5 + k)
        alone.step(table, fastemb.RowGrad(grad.indices()[0], grad.values()))
        assert same_bits(bits(weights[k]), bits(table))
    assert not torch.equal(weights[0], weights[2])


def test_any_thread_count_the_same_bits(small_grain):
    for name, kind in ALL.items():
        found = []
        for threads in (1, 2, 5):
            weight = make_weight()
            with fastemb.num_threads(threads):
                train(weight, kind([weight]), range(3))
            found.append(bits(weight))
        assert same_bits(found[0], found[1]), name
        assert same_bits(found[0], found[2]), name


def test_rows_without_a_gradient_stay():
    for kind in ALL.values():
        weight = make_weight()
        optimizer = kind([weight])
        train(weight, optimizer, range(2), n=30)
        before, states = weight.detach().clone(), copy.deepcopy(optimizer.state[weight])
        weight.grad = torch.sparse_coo_tensor(torch.tensor([[5, 2, 5]]), draw(3, D), (V, D))
        optimizer.step()
        rest = np.delete(np.arange(V), [2, 5])
        assert same_bits(weight.detach()[rest].numpy(), before[rest].numpy())
        assert not torch.equal(weight[[2, 5]], before[[2, 5]])
        for key in states.keys() - {"step"}:
            assert torch.equal(optimizer.state[weight][key][rest], states[key][rest])


# Checkpoints -----------------------------------------------------------------------------------------------------

CHECKPOINTS = {
    "SparseAdam": (optim.Adam, torch.optim.SparseAdam, True),
    "Adam": (optim.Adam, torch.optim.Adam, False),
    "AdamW": (optim.AdamW, torch.optim.AdamW, False),
    "Adagrad": (optim.Adagrad, torch.optim.Adagrad, True),
    "SGD": (lambda p: optim.SGD(p, 0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9), False),
}


@pytest.mark.parametrize("from_torch", [False, True], ids=["ours to torch", "torch to ours"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_each_loads_the_others_checkpoint(name, from_torch):
    """Trained by one, then by the other: as if by one alone."""
    ours, theirs, rows = CHECKPOINTS[name]
    weight, alone = make_weight(), make_weight()
    first, second = (theirs, ours) if from_torch else (ours, theirs)
    one, other, always = first([weight]), second([weight]), theirs([alone])
    for k in range(20):
        weight.grad = sparse(k, coalesce=True) if rows else draw(V, D, seed=k)
        alone.grad = weight.grad.clone()
        if k == 10:
            other.load_state_dict(one.state_dict())
        (one if k < 10 else other).step()
        always.step()
    near(weight, alone, 3e-6)
    assert float(other.state[weight].get("step", 20)) in (20.0, 10.0)  # torch's SGD counts no steps


def test_a_checkpoint_is_copied():
    weight = make_weight()
    one, other = optim.Adam([weight]), optim.Adam([weight])
    train(weight, one, [0])
    other.load_state_dict(one.state_dict())
    before = other.state[weight]["exp_avg"].clone()
    train(weight, one, [1])
    assert torch.equal(other.state[weight]["exp_avg"], before)


def test_deepcopy_and_pickle():
    weight = make_weight()
    optimizer = optim.Adam([weight])
    train(weight, optimizer, [0])
    file = io.BytesIO()
    torch.save(optimizer, file)
    file.seek(0)
    for other in (copy.deepcopy(optimizer), torch.load(file, weights_only=False)):
        (copied,) = other.param_groups[0]["params"]
        mine = torch.nn.Parameter(weight.detach().clone())
        fresh = optim.Adam([mine])
        fresh.load_state_dict(optimizer.state_dict())
        train(copied, other, [1])
        train(mine, fresh, [1])
        assert same_bits(bits(copied), bits(mine))


STATE_ERRORS = [
    (lambda s: s.update(exp_avg=torch.zeros(V, D + 1)), ValueError, r"exp_avg must have shape \(300, 40\) and float32 "
     r"for a parameter of shape \(300, 40\) and float32, got \(300, 41\) and float32"),
    (lambda s: s.update(exp_avg=torch.zeros(V, D, dtype=torch.float64)), ValueError, "got .* and float64"),
    (lambda s: s.update(exp_avg_sq=3.0), TypeError, "exp_avg_sq must be a tensor, got float"),
    (lambda s: s.update(step=-1), ValueError, "step must be from 0"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "words"), STATE_ERRORS)
def test_a_state_that_does_not_fit_is_refused(change, error, words):
    weight = make_weight()
    optimizer = optim.Adam([weight], lr=0.5)
    train(weight, optimizer, [0])
    before = copy.deepcopy(optimizer.state_dict())
    bad = copy.deepcopy(before)
    bad["param_groups"][0]["lr"] = 0.25
    change(bad["state"][0])
    with pytest.raises(error, match=words):
        optimizer.load_state_dict(bad)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for key, value in before["state"][0].items():
        assert value == after["state"][0][key] if key == "step" else torch.equal(value, after["state"][0][key])


def test_a_state_that_was_spoiled_is_refused_at_the_step():
    weight, other = make_weight(), make_weight(seed=1)
    optimizer = optim.Adam([other, weight])
    train(weight, optimizer, [0])
    optimizer.state[weight]["exp_avg"] = torch.zeros(3)
    before, rest = bits(weight), bits(other)
    other.grad = sparse(1)
    with pytest.raises(ValueError, match=r"exp_avg must have shape \(300, 40\).*got \(3,\)"):
        train(weight, optimizer, [1])
    assert same_bits(bits(weight), before)
    assert same_bits(bits(other), rest)  # the parameter before it neither
    assert other not in optimizer.state or not optimizer.state[other]


def test_options_of_torch_that_are_not_built_are_refused():
    weight = make_weight()
    theirs = torch.optim.Adam([weight], amsgrad=True)
    with pytest.raises(ValueError, match="amsgrad=True is torch's own"):
        optim.Adam([weight]).load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match=r"dampening must be 0, got 0\.5"):
        optim.SGD([weight], momentum=0.9, dampening=0.5)
    with pytest.raises(TypeError, match=r"foreach chooses among torch's own ways; Adam .* takes lr, betas"):
        optim.Adam([weight], foreach=False)
    with pytest.raises(TypeError, match=r"momenta is not an option; SGD .* takes lr, momentum"):
        optim.SGD([weight], momenta=0.9)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optim.SGD([weight]).load_state_dict(optim.SGD([{"params": [weight]}, {"params": [make_weight()]}]).state_dict())


# Options ---------------------------------------------------------------------------------------------------------

OPTION_ERRORS = [
    (optim.SGD, {"lr": -1.0}, ValueError, "lr must be finite and not negative"),
    (optim.SGD, {"lr": torch.zeros(2)}, ValueError, "lr must be a number or a tensor of one element"),
    (optim.SGD, {"nesterov": True}, ValueError, "nesterov needs a momentum"),
    (optim.Adam, {"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must be from 0 on and below 1"),
    (optim.Adam, {"eps": "a"}, TypeError, "eps must be a real number"),
    (optim.AdamW, {"weight_decay": -0.1}, ValueError, "weight_decay must be finite and not negative"),
    (optim.Adagrad, {"row_wise": "yes"}, TypeError, "row_wise must be"),
    (optim.Adagrad, {"seed": -1}, ValueError, "seed must be from 0"),
]


@pytest.mark.parametrize(("kind", "options", "error", "words"), OPTION_ERRORS)
def test_options_are_checked(kind, options, error, words):
    with pytest.raises(error, match=words):
        kind([make_weight()], **options)
    optimizer = kind([make_weight()])
    with pytest.raises(error, match=words):
        optimizer.add_param_group({"params": [make_weight()], **options})
    assert len(optimizer.param_groups) == 1


def test_groups_have_options_of_their_own():
    first, second = make_weight(), make_weight()
    optimizer = optim.Adam([{"params": [first]}], lr=0.1)
    optimizer.add_param_group({"params": [second], "lr": 0.0})
    before = bits(second)
    first.grad = second.grad = sparse(0)
    optimizer.step()
    assert same_bits(bits(second), before)
    assert not same_bits(bits(first), before)
    assert optimizer.state[second]["step"] == 1


def test_a_rate_that_is_a_tensor_and_schedulers():
    weights = [make_weight() for _ in range(3)]
    rates = 0.1, torch.tensor(0.1, dtype=torch.float64), 0.1
    makers = optim.Adam, optim.Adam, torch.optim.SparseAdam
    for weight, rate, maker in zip(weights, rates, makers, strict=True):
        optimizer = maker([weight], lr=rate)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        for k in range(8):
            weight.grad = sparse(k, coalesce=True)
            optimizer.step()
            scheduler.step()
        assert abs(float(optimizer.param_groups[0]["lr"]) - 0.1 / 16) < 1e-12
    assert same_bits(bits(weights[0]), bits(weights[1]))
    near(weights[0], weights[2])


def test_a_rate_that_became_negative_is_refused():
    weight = make_weight()
    optimizer = optim.SGD([weight])
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be finite and not negative"):
        train(weight, optimizer, [0])


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("betas", (2.0, 0.9), ValueError, r"betas\[0\] must be from 0 on and below 1, got 2.0"),
        ("weight_decay", None, TypeError, "weight_decay must be a real number, got None"),
        ("eps", -1.0, ValueError, "eps must be finite and not negative, got -1.0"),
        ("check_finite", "no", TypeError, "check_finite must be"),
    ],
)
def test_options_set_between_steps_are_checked(name, value, error, words):
    """Also of the second group, and as soon as they are right again, steps go on with them."""
    weights = [make_weight(seed=seed) for seed in (0, 1)]
    optimizer = optim.Adam([{"params": [weight]} for weight in weights])
    for weight in weights:
        weight.grad = sparse(0)
    optimizer.step()
    before = [weight.detach().clone() for weight in weights]
    optimizer.param_groups[1][name] = value
    for _ in range(2):
        with pytest.raises(error, match=words):
            optimizer.step()
    assert all(torch.equal(weight, old) for weight, old in zip(weights, before, strict=True))
    optimizer.param_groups[1][name] = {"betas": (0.5, 0.9), "check_finite": True}.get(name, 0.25)
    optimizer.step()
    assert not torch.equal(weights[1], before[1])


def test_closures():
    weight = make_weight(4, 3)
    optimizer = optim.SGD([weight], lr=0.1)
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = torch.nn.functional.embedding(torch.tensor([1, 3]), weight, sparse=True).sum()
        loss.backward()
        return loss

    before = weight.detach().clone()
    loss = optimizer.step(closure)
    assert calls == [True]
    assert float(loss.detach()) == float(before[[1, 3]].sum())
    near(weight[[1, 3]], before[[1, 3]] - 0.1)
    assert optim.SGD([weight]).step() is None


def test_grad_scaler():
    """Loss scaled and unscaled again by a power of two: the same numbers; an infinity skips the step."""
    plain, scaled = make_weight(20, 8), make_weight(20, 8)
    one, other = optim.Adam([plain]), optim.Adam([scaled])
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    ids = torch.tensor([1, 5, 1])
    for weight, optimizer in ((plain, one), (scaled, other)):
        loss = torch.nn.functional.embedding(ids, weight, sparse=True).square().sum()
        if optimizer is one:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    assert same_bits(bits(plain), bits(scaled))
    before = bits(scaled)
    scaled.grad = torch.sparse_coo_tensor(torch.tensor([[2]]), torch.full((1, 8), torch.inf), (20, 8))
    scaler.scale(torch.zeros(()))
    scaler.unscale_(other)
    scaler.step(other)
    scaler.update()
    assert same_bits(bits(scaled), before)
    assert scaler.get_scale() == 512.0


def test_hooks_and_versions():
    weight = make_weight()
    optimizer, seen = optim.SGD([weight]), []
    optimizer.register_step_post_hook(lambda *given: seen.append(1))
    version = weight._version
    train(weight, optimizer, [0])
    assert seen == [1]
    assert weight._version > version
    saved = (weight * weight).sum()
    train(weight, optimizer, [1])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.backward()


def test_one_optimizer_for_a_whole_model():
    """Tables by rows, layers densely; torch needs two optimizers for it, whose numbers are the same."""
    torch.manual_seed(0)
    ours = torch.nn.Sequential(torch.nn.EmbeddingBag(50, 8, sparse=True, mode="sum"), torch.nn.Linear(8, 3))
    theirs = copy.deepcopy(ours)
    one = optim.Adam(ours.parameters(), lr=0.01)
    two = torch.optim.SparseAdam(theirs[0].parameters(), lr=0.01), torch.optim.Adam(theirs[1].parameters(), lr=0.01)
    for k in range(30):
        ids = torch.from_numpy(np.random.default_rng(k).integers(0, 50, (6, 4)))
        for model, optimizers in ((ours, (one,)), (theirs, two)):
            for optimizer in optimizers:
                optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(ids), ids[:, 0] % 3).backward()
            for optimizer in optimizers:
                optimizer.step()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        near(mine, its, 2e-6)


# What is refused -------------------------------------------------------------------------------------------------


def test_gradients_that_do_not_fit():
    weight = make_weight()
    optimizer = optim.Adam([weight])
    before = bits(weight)
    for grad, error, words in (
        (torch.sparse_coo_tensor([[1], [2]], torch.ones(1), (V, D)), ValueError, "one sparse axis, got 2"),
        (torch.sparse_coo_tensor([[V]], torch.ones(1, D), (V, D), check_invariants=False), IndexError,
         "id 300 at position 0 is out of range for a table of 300 rows"),
        (torch.sparse_coo_tensor([[-1]], torch.ones(1, D), (V, D), check_invariants=False), IndexError, "id -1"),
    ):  # fmt: skip
        weight.grad = grad
        with pytest.raises(error, match=words):
            optimizer.step()
        assert same_bits(bits(weight), before)
        assert not optimizer.state[weight]
    moved = make_weight()
    moved.grad = draw(V, D)
    moved.data = draw(V, D + 1)
    with pytest.raises(ValueError, match=r"shape of its parameter, \(300, 41\), got \(300, 40\)"):
        optim.SGD([moved]).step()


def test_not_finite_gradients_are_written_or_refused():
    for kind, dense in itertools.product(ALL.values(), (False, True)):
        weight = make_weight(9, 4)
        grad = torch.zeros(9, 4)
        grad[3, 2] = torch.nan
        weight.grad = grad if dense else grad.to_sparse(1)
        careful = kind([weight])
        careful.param_groups[0]["check_finite"] = True
        before = bits(weight)
        with pytest.raises(ValueError, match="the gradient of id 3 holds nan in column 2, and check_finite is on"):
            careful.step()
        assert same_bits(bits(weight), before)
        assert not careful.state[weight]
        kind([weight]).step()
        assert torch.isnan(weight[3, 2])
        assert torch.isfinite(weight[4]).all()


def test_tables_without_columns():
    for kind in ALL.values():
        weight = torch.nn.Parameter(torch.zeros(3, 0))
        weight.grad = torch.sparse_coo_tensor(torch.tensor([[1, 1]]), torch.zeros(2, 0), (3, 0))
        optimizer = kind([weight])
        optimizer.step()
        assert optimizer.state[weight]["step"] == 1


def test_empty_gradients_count_as_steps():
    for kind in ALL.values():
        weight = make_weight()
        optimizer, before = kind([weight]), bits(weight)
        weight.grad = torch.sparse_coo_tensor(torch.zeros(1, 0, dtype=torch.int64), torch.zeros(0, D), (V, D))
        optimizer.step()
        assert same_bits(bits(weight), before)
        assert optimizer.state[weight]["step"] == 1


def test_parameters_that_cannot_be_changed():
    with pytest.raises(TypeError, match="parameters must be tensors of floats, got one of int64"):
        optim.SGD([torch.zeros(3, 4, dtype=torch.int64)])
    with pytest.raises(ValueError, match="parameters must be strided tensors, got one of layout sparse_coo"):
        optim.SGD([torch.nn.Parameter(torch.zeros(3, 4).to_sparse())])
    wide = torch.zeros(1, 4).expand(3, 4).requires_grad_()
    wide.grad = torch.ones(3, 4)
    with pytest.raises(ValueError, match="a parameter overlaps itself in memory"):
        optim.SGD([wide]).step()
    last = torch.nn.Parameter(torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last))
    last.grad = torch.ones(2, 3, 4, 5)
    with pytest.raises(ValueError, match="a parameter of other than two axes must be contiguous"):
        optim.SGD([last]).step()
    meta = torch.nn.Parameter(torch.zeros(3, 4, device="meta"))
    meta.grad = torch.ones(3, 4, device="meta")
    with pytest.raises(TypeError, match="on meta, which has no values"):
        optim.SGD([meta]).step()
    tied = torch.nn.Parameter(torch.ones(3, 4))
    tied.grad = tied.detach()
    with pytest.raises(ValueError, match="a parameter overlaps its gradient in memory"):
        optim.SGD([tied]).step()


def test_transposed_parameters_and_gradients():
    for kind in ALL.values():
        plain, turned = make_weight(), torch.nn.Parameter(draw(V, D).t().contiguous().t())
        assert not turned.is_contiguous()
        for weight in (plain, turned):
            optimizer = kind([weight])
            train(weight, optimizer, range(3))
            weight.grad = draw(D, V, seed=9).t()
            optimizer.step()
        assert same_bits(bits(plain), bits(turned))


# Beside the layers -----------------------------------------------------------------------------------------------


def test_gradients_of_our_layers_come_in_order(monkeypatch):
    """One backward leaves rows that ascend, each once, which are changed as they lie; torch's are swept."""
    layer = fastemb.torch.Embedding(V, D, sparse=True)
    weight, optimizer = torch.nn.Parameter(layer.weight.detach().clone()), optim.Adam(layer.parameters())
    other, took = optim.Adam([weight]), []
    room = fastemb._devices.HERE["optim"]
    for name in ("step", "step_from"):
        real = getattr(room, name)
        monkeypatch.setattr(room, name, lambda *given, name=name, real=real: took.append(name) or real(*given))
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, V, (4, 50)))
    layer(ids).square().sum().backward()
    weight.grad = torch.sparse_coo_tensor(ids.view(1, -1), 2 * layer.weight.detach()[ids.view(-1)], (V, D))
    optimizer.step()
    other.step()
    near(layer.weight, weight)
    assert took == ["step", "step_from"]


def test_clipped_training_is_torchs():
    """Our layer, clipping and optimizer of sparse gradients against torch's of dense ones."""
    torch.manual_seed(0)
    ours, theirs = fastemb.torch.Embedding(50, 8, sparse=True), torch.nn.Embedding(50, 8)
    theirs.load_state_dict(ours.state_dict())
    mine, its = optim.SGD(ours.parameters(), 0.5), torch.optim.SGD(theirs.parameters(), 0.5)
    for k in range(20):
        ids = torch.from_numpy(np.random.default_rng(k).integers(0, 50, (3, 7)))
        for layer, optimizer, clip in (
            (ours, mine, fastemb.torch.clip_grad_norm_),
            (theirs, its, torch.nn.utils.clip_grad_norm_),
        ):
            optimizer.zero_grad()
            layer(ids).square().sum().backward()
            clip(layer.parameters(), 0.3)
            optimizer.step()
    near(ours.weight, theirs.weight)


def test_the_page_of_the_api_has_all_names():
    page = (Path(__file__).parent.parent / "docs/api/torch_optim.rst").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. autoclass:: fastemb\.torch\.optim\.(\w+)$", page, flags=re.MULTILINE)
    assert names == re.findall(r"^   optim\.(\w+)$", page, flags=re.MULTILINE)
    assert set(names) == {name for name, value in vars(optim).items() if name[0] != "_" and inspect.isclass(value)
                          and value.__module__ == optim.__name__}  # fmt: skip
