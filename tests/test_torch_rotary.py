"""fastemb.torch's rotary and Rotary: rope's numbers, gradients of every order, and transformers' models."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the package torch is not installed")

import fastemb  # noqa: E402
from fastemb.torch import Rotary, rotary  # noqa: E402

B, H, T, D = 2, 3, 5, 8
IDS = torch.tensor([[3, 4, 5, 9, 2], [0, 1, 7, 2, 100]])
FREQ = torch.linspace(1.0, 0.1, D // 2, dtype=torch.float64)
OPTIONS = {
    "halves": {},
    "pairs": {"interleaved": True},
    "back": {"inverse": True, "scale": 1.5},
    "frequencies": {"inv_freq": FREQ, "scale": 0.7},
}


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_of_both_orders(options):
    x = draw(B, H, T, D).requires_grad_()
    for ids in (None, IDS, IDS[:1], IDS[:, None].double() / 2):
        turned = rotary(x, ids, **options)
        assert torch.equal(turned, fastemb.rope(x.detach(), ids, **options))
        grad = draw(B, H, T, D, seed=1)
        (back,) = torch.autograd.grad(turned, x, grad)
        back_options = {**options, "inverse": not options.get("inverse", False)}
        assert torch.equal(back, fastemb.rope(grad, ids, **back_options))
    few = draw(2, 1, 2, D).requires_grad_()
    for ids in (None, IDS[:, :2]):
        assert torch.autograd.gradcheck(lambda x, ids=ids: rotary(x, ids, **options), few)
        assert torch.autograd.gradgradcheck(lambda x, ids=ids: rotary(x, ids, **options), few)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_vmap_and_per_sample_gradients(options):
    x, ids = draw(4, B, H, T, D), torch.stack([IDS + i for i in range(4)])
    call = lambda x, ids=None: rotary(x, ids, **options)  # noqa: E731
    each = torch.stack([call(*pair) for pair in zip(x, ids, strict=True)])
    vmap = torch.func.vmap
    assert torch.equal(vmap(call)(x, ids), each)
    assert torch.equal(vmap(call, (1, 2))(x.movedim(0, 1), ids.movedim(0, 2)), each)
    assert torch.equal(vmap(call, (0, None))(x, ids[0]), torch.stack([call(one, ids[0]) for one in x]))
    assert torch.equal(vmap(call, (None, 0))(x[0], ids), torch.stack([call(x[0], one) for one in ids]))
    assert torch.equal(vmap(call)(x), torch.stack([call(one) for one in x]))
    assert torch.equal(vmap(call)(x[0, 0]), call(x[0, 0]))  # (T, D) beside positions of one axis
    assert torch.equal(vmap(call)(x[0, 0], IDS[:1].expand(H, T)), call(x[0, 0], IDS[:1]))
    assert torch.equal(vmap(vmap(call))(x, ids[..., None, :].expand(4, B, H, T)), each)
    loss = lambda x, ids: call(x, ids).pow(3).sum()  # noqa: E731
    found = vmap(torch.func.grad(loss))(x, ids)
    for (one, at), expected in zip(zip(x, ids, strict=True), found, strict=True):
        leaf = one.clone().requires_grad_()
        torch.testing.assert_close(torch.autograd.grad(loss(leaf, at), leaf)[0], expected)
    small = x[0, 0, 0]
    torch.testing.assert_close(torch.func.jacrev(call)(small), torch.autograd.functional.jacobian(call, small))


def test_vmap_over_frequencies():
    x, speeds = draw(3, T, D), torch.stack([FREQ, FREQ * 2, FREQ / 3])
    expected = torch.stack([rotary(*pair[:1], inv_freq=pair[1]) for pair in zip(x, speeds, strict=True)])
    assert torch.equal(torch.func.vmap(lambda x, f: rotary(x, inv_freq=f))(x, speeds), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch imports for it
def test_forward_mode_is_refused():
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(rotary, (draw(T, D),), (draw(T, D),))


def test_the_operation():
    x = draw(B, H, T, D, dtype=torch.float32).requires_grad_()
    for ids, freq in ((None, None), (IDS, FREQ)):
        torch.library.opcheck(torch.ops.fastemb.rope.default, (x, ids, freq, 1e4, 1.5, True, False))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled(backend):
    torch._dynamo.reset()
    module = Rotary(D, scaling={"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5}, unsqueeze_dim=2)

    def loss(x):
        return (rotary(x, IDS) * module(x.transpose(1, 2)).transpose(1, 2)).sum()

    x = draw(B, H, T, D, dtype=torch.float32).requires_grad_()
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(x), loss(x))
    (ours,), (expected,) = (torch.autograd.grad(call(x), x) for call in (compiled, loss))
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_against_float64(dtype):
    pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs the package ml_dtypes")
    x = draw(B, H, T, D).to(dtype).requires_grad_()
    wide, grad = x.detach().double().requires_grad_(), draw(B, H, T, D, seed=1).to(dtype)
    for leaf in (x, wide):
        rotary(leaf, IDS).backward(grad.to(leaf.dtype))
    for found, expected in ((rotary(x, IDS), rotary(wide, IDS)), (x.grad, wide.grad)):
        torch.testing.assert_close(found.double(), expected, rtol=1.01 * torch.finfo(dtype).eps / 2, atol=1e-6)


# The module -------------------------------------------------------------------------------------------------------


def test_layouts_and_shares():
    q, k = draw(B, H, T, D), draw(B, 1, T, D, seed=1)
    for ids in (None, IDS, IDS[:1], IDS[0]):
        turned, keys = Rotary(D, base=500.0)(q, k, ids)
        assert torch.equal(turned, fastemb.rope(q, ids, base=500.0))
        assert torch.equal(keys, fastemb.rope(k, ids, base=500.0))
        across = Rotary(D, base=500.0, unsqueeze_dim=2)(q.transpose(1, 2), position_ids=ids)
        assert torch.equal(across, turned.transpose(1, 2))
    some = Rotary(D, scaling={"rope_type": "default", "partial_rotary_factor": 0.5})(q)
    assert torch.equal(some, torch.cat([fastemb.rope(q[..., :4].contiguous()), q[..., 4:]], -1))
    module = Rotary(D, scaling={"rope_type": "linear", "factor": 4.0})
    assert torch.equal(module.half()(q), rotary(q, torch.arange(T) / 4.0))  # frequencies stay what they were
    assert not list(module.state_dict())
    with pytest.raises(ValueError, match=r"k must have 8 columns.*\(2, 1, 5, 6\)"):
        module(q, k[..., :6])
    with pytest.raises(ValueError, match="unsqueeze_dim must be 1 or 2"):
        Rotary(D, unsqueeze_dim=3)
    with pytest.raises(ValueError, match="dim must be even"):
        Rotary(7)


@pytest.mark.parametrize("made_in_inference", [False, True])
def test_no_call_changes_what_others_find(made_in_inference):
    """Frequencies follow rows to their device; those of meta and of traces have no numbers, and are not kept."""
    x = draw(B, H, T, D).requires_grad_()
    with torch.inference_mode(made_in_inference):
        module = Rotary(D, scaling={"rope_type": "linear", "factor": 2.0})
    assert module(torch.empty(B, H, T, D, device="meta")).is_meta
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        assert module(torch.empty(B, H, T, D, device="meta")).is_meta
    turned = module(x)
    assert torch.equal(turned, rotary(x, torch.arange(T) / 2.0))
    turned.sum().backward()


def test_what_is_no_tensor_or_too_short():
    x = draw(B, H, T, D)
    with pytest.raises(TypeError, match="k must be a torch tensor, got list"):
        Rotary(D)(x, x.tolist())
    with pytest.raises(ValueError, match=r"q must have shape \(\.\.\., T, heads, D\)"):
        Rotary(D, unsqueeze_dim=2)(x[0, 0])
    places = np.arange(T, dtype=">i4")[::-1]  # of which torch has no view
    expected = rotary(x, torch.arange(T - 1, -1, -1))
    assert torch.equal(rotary(x, places), expected)
    across = Rotary(D, unsqueeze_dim=2)(x.transpose(1, 2), position_ids=places)
    assert torch.equal(across.transpose(1, 2), expected)


def transformers_model(name):
    return pytest.importorskip(f"transformers.models.{name}.modeling_{name}", reason="transformers is not installed")


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("name", ["llama", "glm"])
def test_equals_transformers(name, axis):
    """Given the same cosines and sines; theirs, computed in float32, are off by 2e-7 times the position."""
    model = transformers_model(name)
    q, k = draw(B, H, T, D, dtype=torch.float32), draw(B, 1, T, D, dtype=torch.float32, seed=1)
    q, k = (q, k) if axis == 1 else (q.transpose(1, 2), k.transpose(1, 2))
    q, k = q.clone().requires_grad_(), k.clone().requires_grad_()
    angles = IDS[..., None] * 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    cos, sin = (torch.cat([part, part], -1).float() for part in (angles.cos(), angles.sin()))
    expected = model.apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=axis)
    found = Rotary(D, interleaved=name == "glm", unsqueeze_dim=axis)(q, k, IDS)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=2e-7)
    grads = [torch.autograd.grad(sum(part.pow(3).sum() for part in pair), (q, k)) for pair in (found, expected)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_equals_a_whole_rotary_embedding_of_transformers():
    model = transformers_model("llama")
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64, "rope_theta": 500_000.0}  # fmt: skip
    config = model.LlamaConfig(hidden_size=D * H, num_attention_heads=H, rope_parameters=dict(scaling))
    q = draw(B, H, T, D, dtype=torch.float32)
    cos, sin = model.LlamaRotaryEmbedding(config)(q, IDS)
    expected, _ = model.apply_rotary_pos_emb(q, q, cos, sin)
    torch.testing.assert_close(Rotary(D, scaling=scaling)(q, position_ids=IDS), expected, rtol=1e-5, atol=3e-5)
