"""fastemb.torch: gradients clipped, sparse ones as torch clips the same ones dense."""

import pytest

torch = pytest.importorskip("torch", reason="the package torch is not installed")
import fastemb.torch as ft  # noqa: E402

nn = torch.nn


def parameters(kinds, seed=0, dtype=torch.float32):
    """Parameters with gradients: dense, sparse, sparse with an id twice, sparse without rows, or none."""
    random, made = torch.Generator().manual_seed(seed), []
    for kind in kinds:
        parameter = nn.Parameter(torch.zeros(6, 3, dtype=dtype))
        ids = {"sparse": [1, 4], "twice": [4, 1, 4], "empty": []}.get(kind)
        if kind == "dense":
            parameter.grad = torch.randn(6, 3, generator=random).to(dtype)
        elif ids is not None:
            rows = torch.randn(len(ids), 3, generator=random).to(dtype)
            parameter.grad = torch.sparse_coo_tensor([ids], rows, (6, 3), check_invariants=True)
        made.append(parameter)
    return made


def dense(given):
    for parameter in given:
        if parameter.grad is not None:
            parameter.grad = parameter.grad.to_dense()
    return given


KINDS = [["dense"], ["sparse"], ["twice"], ["dense", "sparse", "none", "twice", "empty"], ["none"], ["empty"], []]


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_norms_are_torchs(kinds, norm_type, max_norm):
    ours, theirs = parameters(kinds), dense(parameters(kinds))
    found = ft.clip_grad_norm_(ours, max_norm, norm_type)
    torch.testing.assert_close(found, nn.utils.clip_grad_norm_(theirs, max_norm, norm_type))
    for one, other in zip(ours, theirs, strict=True):
        assert (one.grad is None) is (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad.to_dense(), other.grad)


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("foreach", [None, False])
def test_values_are_torchs(kinds, foreach):
    ours, theirs = parameters(kinds), dense(parameters(kinds))
    assert ft.clip_grad_value_(iter(ours), 0.4, foreach=foreach) is None
    if any(parameter.grad is not None for parameter in theirs):
        nn.utils.clip_grad_value_(theirs, 0.4, foreach=foreach)
    for one, other in zip(ours, theirs, strict=True):
        if one.grad is not None:
            assert torch.equal(one.grad.to_dense(), other.grad)


def test_one_parameter_mixed_dtypes_and_generators():
    (ours,), (theirs,) = parameters(["twice"]), dense(parameters(["twice"]))
    torch.testing.assert_close(ft.clip_grad_norm_(ours, 0.5), nn.utils.clip_grad_norm_(theirs, 0.5))
    both = [make(parameters(["sparse"]) + parameters(["twice", "dense"], 1, torch.bfloat16)) for make in (list, dense)]
    found = [clip(one for one in given) for clip, given in zip((_ours, _theirs), both, strict=True)]
    torch.testing.assert_close(*found)
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one.grad.to_dense(), other.grad)
    with pytest.warns(UserWarning, match="empty generator"):
        ft.clip_grad_norm_((one for one in []), 1.0)


def _ours(given):
    return ft.clip_grad_norm_(given, 0.5)


def _theirs(given):
    return nn.utils.clip_grad_norm_(given, 0.5)


def test_not_finite():
    ours = parameters(["sparse"])
    ours[0].grad._values()[0, 0] = torch.nan
    before = ours[0].grad.to_dense()
    with pytest.raises(RuntimeError, match="non-finite"):
        ft.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    assert torch.equal(before.nan_to_num(7), ours[0].grad.to_dense().nan_to_num(7))
    assert ft.clip_grad_norm_(ours, 1.0).isnan()


def test_a_layers_gradient_keeps_its_memory():
    """Its rows are unique and ascending, so that nothing is sorted or copied."""
    layer = ft.Embedding(20, 4, sparse=True)
    layer(torch.tensor([7, 3, 7])).sum().backward()
    before = layer.weight.grad
    assert not before.is_coalesced()  # autograd's
    ft.clip_grad_norm_(layer.parameters(), 1.0)
    assert layer.weight.grad is before
    assert before.is_coalesced()
    assert before.indices().tolist() == [[3, 7]]
    torch.testing.assert_close(before.values().norm(), torch.tensor(1.0))
    for first, second in (([4, 1], [1, 4]), ([1, 1], [1])):
        grad = torch.sparse_coo_tensor([first], torch.ones(2, 3), (6, 3), check_invariants=True)
        layer.weight = nn.Parameter(torch.zeros(6, 3))
        layer.weight.grad = grad
        ft.clip_grad_value_(layer.weight, 10.0)
        assert layer.weight.grad.indices().tolist() == [second]
