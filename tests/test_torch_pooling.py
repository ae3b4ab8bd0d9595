"""fastemb.torch's pool and Pooling: gradients of every order, transforms, traces; sentence-transformers' numbers."""

import json
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the package torch is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import fastemb  # noqa: E402
from fastemb.torch import Pooling, embed, pool  # noqa: E402

MODES = "sum", "mean", "max", "cls", "last", "mean_sqrt_len", "weighted_mean", "mean_max"
B, T, D = 3, 4, 5
MASK = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]])
NONE_KEPT = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]])
#: How texts are told apart: whether x is (N, D), and the arguments.
FORMS = {
    "mask": (False, {"mask": MASK}),
    "a text of nothing": (False, {"mask": NONE_KEPT.bool()}),
    "all": (False, {}),
    "lengths": (False, {"lengths": torch.tensor([4, 0, 2])}),
    "offsets": (True, {"offsets": torch.tensor([0, 3, 3, 12])}),
}


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def rows(flat, **options):
    return draw(*((B * T, D) if flat else (B, T, D)), **options)


# The function -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_both_orders(form, mode, normalize):
    flat, options = FORMS[form]
    x = rows(flat)[..., :2].clone().requires_grad_()

    def call(x, weights=None):
        return pool(x, mode=mode, normalize=normalize, weights=weights, **options)

    assert torch.equal(call(x), fastemb.pool(x.detach(), mode=mode, normalize=normalize, **options))
    assert torch.autograd.gradcheck(call, x)
    assert torch.autograd.gradgradcheck(call, x)
    if mode in ("sum", "mean"):
        weights = x.detach().select(-1, 0).abs().add(0.1).requires_grad_()
        assert torch.autograd.gradcheck(call, (x, weights))
        assert torch.autograd.gradgradcheck(call, (x, weights))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMS)
def test_the_graph_of_torchs_operations_is_the_same_gradient(form, mode):
    flat, options = FORMS[form]
    x = rows(flat, dtype=torch.float32).requires_grad_()
    out = pool(x, mode=mode, normalize=True, **options)
    grad = draw(*out.shape, dtype=torch.float32, seed=1)
    (ours,) = torch.autograd.grad(out, x, grad, retain_graph=True)
    (graph,) = torch.autograd.grad(out, x, grad, create_graph=True)
    assert torch.equal(ours, fastemb.pool_backward(grad, x.detach(), mode=mode, normalize=True, **options).x)
    torch.testing.assert_close(ours, graph, rtol=1e-5, atol=1e-6)
    inside = torch.func.grad(lambda x: (pool(x, mode=mode, normalize=True, **options) * grad).sum())(x.detach())
    torch.testing.assert_close(ours, inside, rtol=1e-5, atol=1e-6)


def test_what_has_no_vector_has_no_gradient_that_is_none():
    """Ties and NaN: the first that holds the maximum gets the gradient, on both roads."""
    x = torch.tensor([[[1.0, 2.0, float("nan")], [3.0, 2.0, 1.0], [3.0, 0.0, float("nan")]]], requires_grad=True)
    (ours,) = torch.autograd.grad(pool(x, mode="max")[:, :2].sum(), x)
    (graph,) = torch.autograd.grad(pool(x, mode="max")[:, :2].sum(), x, create_graph=True)
    expected = torch.tensor([[[0.0, 1, 0], [1, 0, 0], [0, 0, 0]]])
    assert torch.equal(ours, expected)
    assert torch.equal(graph, expected)


@pytest.mark.parametrize("mode", MODES)
def test_vmap_and_per_sample_gradients(mode):
    x, mask = draw(2, B, T, D), torch.rand(2, B, T, generator=torch.Generator().manual_seed(3)) > 0.4
    one_by_one = torch.stack([fastemb.pool(*pair, mode=mode) for pair in zip(x, mask, strict=True)])
    call = lambda x, mask=None: pool(x, mask, mode=mode)  # noqa: E731
    assert torch.equal(torch.func.vmap(call)(x, mask), one_by_one)
    assert torch.equal(torch.func.vmap(call, (1, 2))(x.movedim(0, 1), mask.movedim(0, 2)), one_by_one)
    assert torch.equal(torch.func.vmap(call, (0, None))(x, mask[0])[0], one_by_one[0])
    assert torch.equal(torch.func.vmap(call, (None, 0))(x[0], mask)[0], one_by_one[0])
    flat, offsets = x.flatten(1, 2), torch.tensor([0, 5, 5, 12])
    cut = torch.func.vmap(lambda x: pool(x, offsets=offsets, mode=mode))(flat)
    assert torch.equal(cut, torch.stack([fastemb.pool(one, offsets=offsets, mode=mode) for one in flat]))

    def loss(x, mask):
        return pool(x, mask, mode=mode, normalize=True).pow(3).sum()

    each = torch.func.vmap(torch.func.grad(loss))(x, mask)
    for one, expected in zip(zip(x, mask, strict=True), each, strict=True):
        leaf = one[0].clone().requires_grad_()
        torch.testing.assert_close(torch.autograd.grad(loss(leaf, one[1]), leaf)[0], expected)
    jacobian = torch.func.jacrev(call)(x[0])
    torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(call, x[0]))


def test_weights_inside_of_transforms():
    x, weights = draw(2, B, T, D), draw(2, B, T, seed=4).abs()
    call = lambda x, weights: pool(x, MASK, mode="mean", weights=weights)  # noqa: E731
    expected = torch.stack([call(*pair) for pair in zip(x, weights, strict=True)])
    assert torch.equal(torch.func.vmap(call)(x, weights), expected)
    by_weight = torch.func.grad(lambda w: call(x[0], w).pow(2).sum())(weights[0])
    leaf = weights[0].clone().requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(call(x[0], leaf).pow(2).sum(), leaf)[0], by_weight)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch imports for it
def test_forward_mode_is_refused():
    x = draw(B, T, D)
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(pool, (x,), (x,))


@pytest.mark.parametrize("form", FORMS)
def test_the_operation(form):
    flat, options = FORMS[form]
    arrays = [rows(flat, dtype=torch.float32), None, *(options.get(n) for n in ("mask", "lengths", "offsets"))]
    grad = draw(B, D, dtype=torch.float32, seed=1)
    operations = torch.ops.fastemb
    torch.library.opcheck(operations.pool_backward.default, (grad, *arrays, "mean", True))
    arrays[0].requires_grad_()
    torch.library.opcheck(operations.pool.default, (*arrays, "max", False))
    arrays[1] = rows(flat, dtype=torch.float32).select(-1, 0).abs().requires_grad_()
    torch.library.opcheck(operations.pool.default, (*arrays, "mean", True))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled(backend):
    torch._dynamo.reset()
    module = Pooling(D, ("cls", "max", "mean", "weightedmean", "lasttoken"), include_prompt=False)

    def loss(x, mask):
        found = module({"token_embeddings": x, "attention_mask": mask, "prompt_length": 1})["sentence_embedding"]
        return (pool(x, mask, mode="mean_max").sum() + found.pow(2).sum()).sum()

    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 1, 1]])
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    x = rows(False, dtype=torch.float32).requires_grad_()
    torch.testing.assert_close(compiled(x, mask), loss(x, mask))
    (ours,), (expected,) = (torch.autograd.grad(call(x, mask), x) for call in (compiled, loss))
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_against_float64(dtype, mode):
    pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs the package ml_dtypes")
    x = draw(6, 40, 24).to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    grad = draw(6, 48 if mode == "mean_max" else 24, seed=1).to(dtype)
    half_a_place = torch.finfo(dtype).eps / 2
    for leaf in (x, wide):
        pool(leaf, mode=mode).backward(grad.to(leaf.dtype))
    torch.testing.assert_close(pool(x, mode=mode).double(), pool(wide, mode=mode), rtol=1.01 * half_a_place, atol=1e-6)
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=1.01 * half_a_place, atol=1e-6)


def test_errors_are_those_of_the_function():
    x = rows(False).requires_grad_()
    with pytest.raises(TypeError, match="x must be a torch tensor, got list"):
        pool([[[1.0]]])
    with pytest.raises(ValueError, match="mode must be"):
        pool(x, mode="median")
    with pytest.raises(ValueError, match="mask must have shape"):
        pool(x, MASK[:, 1:])
    with pytest.raises(TypeError, match="mask must have dtype bool or an integer dtype"):
        pool(x, MASK.double())


# The module -------------------------------------------------------------------------------------------------------

#: By hand: rows of two texts, of which the first has three tokens.
ROWS = torch.tensor([[[1.0, -2], [3, 8], [8, 6], [99, 99]], [[10, 20], [30, 40], [50, 0], [70, 80]]])
KEPT = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
BY_HAND = {
    "cls": [[1, -2], [10, 20]],
    "max": [[8, 8], [70, 80]],
    "mean": [[4, 4], [40, 35]],
    "mean_sqrt_len_tokens": [[12 / 3**0.5, 12 / 3**0.5], [80, 70]],
    "weightedmean": [[31 / 6, 32 / 6], [50, 42]],
    "lasttoken": [[8, 6], [70, 80]],
}
WITHOUT_THE_FIRST = {
    "cls": [[3, 8], [30, 40]],
    "max": [[8, 8], [70, 80]],
    "mean": [[5.5, 7], [50, 40]],
    "mean_sqrt_len_tokens": [[11 / 2**0.5, 14 / 2**0.5], [150 / 3**0.5, 120 / 3**0.5]],
    "weightedmean": [[30 / 5, 34 / 5], [490 / 9, 400 / 9]],
    "lasttoken": [[8, 6], [70, 80]],
}


def features(flat, x=ROWS, mask=KEPT, **more):
    if not flat:
        return {"token_embeddings": x, "attention_mask": mask, **more}
    lengths = mask.sum(1)
    together = torch.cat([one[kept != 0] for one, kept in zip(x, mask, strict=True)])
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).int()
    places = torch.arange(len(mask)).repeat_interleave(lengths)
    return {"token_embeddings": together[None], "cu_seq_lens_q": offsets, "seq_idx": places[None], **more}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("modes", [*Pooling.POOLING_MODES, ("mean", "cls"), Pooling.POOLING_MODES])
def test_by_hand(modes, flat):
    module = Pooling(2, modes)
    named = (modes,) if isinstance(modes, str) else modes
    for prompt, table in ((0, BY_HAND), (1, WITHOUT_THE_FIRST)):
        module.include_prompt = not prompt
        given = features(flat, prompt_length=prompt)
        found = module(given)
        assert found is given
        expected = torch.cat([torch.tensor(table[mode], dtype=torch.float32) for mode in named], 1)
        torch.testing.assert_close(found["sentence_embedding"], expected)
        assert found["sentence_embedding"].shape[1] == module.get_embedding_dimension()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("prompt", [2, torch.tensor([2]), torch.tensor([2, 2]), torch.tensor(2)])
def test_a_prompt_is_left_out_on_either_side_and_the_mask_stays(side, prompt):
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]] if side == "right" else [[0, 1, 1, 1], [0, 1, 1, 1]])
    before = mask.clone()
    found = Pooling(2, include_prompt=False)(features(False, mask=mask, prompt_length=prompt))["sentence_embedding"]
    assert torch.equal(found, ROWS[:, 2 if side == "right" else 3])
    assert torch.equal(mask, before)


def test_what_a_text_without_tokens_gives():
    mask = torch.zeros(1, 4, dtype=torch.int64)
    for mode, expected in {"cls": ROWS[1, 0], "max": torch.full((2,), -torch.inf)}.items():
        assert torch.equal(Pooling(2, mode)(features(False, ROWS[1:], mask))["sentence_embedding"][0], expected)
    for mode in set(Pooling.POOLING_MODES) - {"cls", "max"}:
        assert not Pooling(2, mode)(features(False, ROWS[1:], mask))["sentence_embedding"].any()
    for mode in Pooling.POOLING_MODES:  # of texts without padding: never the token of another text
        found = Pooling(2, mode)(features(True, mask=torch.stack([mask[0], KEPT[1]])))["sentence_embedding"][0]
        assert torch.equal(found, torch.full((2,), -torch.inf) if mode == "max" else torch.zeros(2))


def test_a_mask_of_another_length_is_not_looked_at_and_floats_say_yes_or_no():
    whole = Pooling(2)({"token_embeddings": ROWS})["sentence_embedding"]
    assert torch.equal(Pooling(2)(features(False, mask=KEPT[:, :3]))["sentence_embedding"], whole)
    assert torch.equal(Pooling(2)(features(False, mask=KEPT.float()))["sentence_embedding"], torch.tensor(
        BY_HAND["mean"], dtype=torch.float32))  # fmt: skip
    bad = ROWS.clone()
    bad[0, 3] = torch.nan
    assert torch.equal(Pooling(2)(features(False, bad))["sentence_embedding"][0], torch.tensor([4.0, 4.0]))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("mode", Pooling.POOLING_MODES)
def test_gradients_through_the_module(mode, flat):
    given = features(flat, draw(2, 4, 2), prompt_length=1)
    leaf = given["token_embeddings"].clone().requires_grad_()
    for include in (True, False):
        module = Pooling(2, mode, include_prompt=include)
        call = lambda x, module=module: module({**given, "token_embeddings": x})["sentence_embedding"]  # noqa: E731
        assert torch.autograd.gradcheck(call, leaf)
        assert torch.autograd.gradgradcheck(call, leaf)


def test_options():
    assert Pooling(8, ["mean"]).pooling_mode == "mean"
    assert Pooling(8, ["cls", "max"]).pooling_output_dimension == 16
    assert Pooling(word_embedding_dimension=8).embedding_dimension == 8
    assert Pooling(8, pooling_mode_mean_tokens=True, pooling_mode_cls_token=True).pooling_mode == ("cls", "mean")
    assert Pooling(8, "max", pooling_mode_mean_tokens=True).pooling_mode == "max"
    with pytest.raises(ValueError, match=r"pooling_mode must be one or more of .*'lasttoken'.*, got 'median'"):
        Pooling(8, "median")
    with pytest.raises(ValueError, match=r"got \(\)"):
        Pooling(8, ())
    with pytest.raises(TypeError, match="no option 'pooling_mode_median'"):
        Pooling(8, pooling_mode_median=True)
    with pytest.raises(TypeError, match="needs embedding_dimension"):
        Pooling()


@pytest.mark.parametrize("modes", ["cls", ("cls", "mean")])
@pytest.mark.parametrize("legacy", [False, True])
def test_configurations_of_both_ages(tmp_path, modes, legacy):
    module = Pooling(8, modes, include_prompt=False)
    module.save(str(tmp_path / "model/1_Pooling"), safe_serialization=True, legacy=legacy)
    config = json.loads((tmp_path / "model/1_Pooling/config.json").read_text())
    assert ("word_embedding_dimension" in config) is legacy
    loaded = Pooling.load(str(tmp_path / "model"), subfolder="1_Pooling", token=None)
    assert loaded.get_config_dict() == module.get_config_dict()
    with pytest.raises(ValueError, match="order"):
        Pooling(8, ("mean", "cls")).save(str(tmp_path), legacy=True)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"{", "not valid JSON: Expecting property name"),
        (b'"\xff"', "not valid JSON: 'utf-8' codec"),
        (b"[" * 100_000, "not valid JSON: it is nested too deep"),
        (b"[8]", "expected a JSON object, got list"),
    ],
)
def test_a_damaged_configuration_is_named(tmp_path, written, said):
    (tmp_path / "config.json").write_bytes(written)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'config.json'}: {said}")):
        Pooling.load(str(tmp_path))


# sentence-transformers --------------------------------------------------------------------------------------------


def theirs():
    return pytest.importorskip(
        "sentence_transformers.sentence_transformer.modules", reason="sentence-transformers 6 is not installed"
    ).Pooling


@st.composite
def cases(draw_):
    """A mask, modes, a prompt's length, whether the features have a sum of weights, and a seed."""
    texts, tokens = draw_(st.integers(1, 4)), draw_(st.integers(1, 9))
    row = st.lists(st.integers(0, 1), min_size=tokens, max_size=tokens)
    modes = st.lists(st.sampled_from(Pooling.POOLING_MODES), min_size=1, max_size=3, unique=True)
    mask = torch.tensor(draw_(st.lists(row, min_size=texts, max_size=texts)))
    return mask, draw_(modes), draw_(st.integers(0, tokens + 1)), draw_(st.booleans()), draw_(st.integers(0, 99))


def both(given, *arguments, **options):
    """Return what our module makes of features, and theirs."""
    return [module(*arguments, **options)(dict(given))["sentence_embedding"] for module in (Pooling, theirs())]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what they import
@given(case=cases())
@settings(deadline=None, max_examples=60)
def test_the_numbers_of_sentence_transformers(case):
    mask, modes, prompt, given_sum, seed = case
    x = draw(*mask.shape, 3, dtype=torch.float32, seed=seed)
    given = features(False, x, mask, prompt_length=prompt)
    if given_sum:
        given["token_weights_sum"] = mask.sum(1).float() + 0.5
    for include in (True, False):
        found, expected = (
            module(3, modes, include_prompt=include)(dict(given))["sentence_embedding"]
            for module in (Pooling, theirs())
        )
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(case=cases())
@settings(deadline=None, max_examples=40)
def test_the_numbers_of_sentence_transformers_without_padding(case):
    mask, modes, prompt, *_, seed = case
    mask[:, 0] = 1  # theirs takes a token of another text for one that has none
    given = features(True, draw(*mask.shape, 3, dtype=torch.float32, seed=seed), mask, prompt_length=prompt)
    for include in (True, False):
        found, expected = (
            module(3, modes, include_prompt=include)(dict(given))["sentence_embedding"]
            for module in (Pooling, theirs())
        )
        torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("mode", Pooling.POOLING_MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_as_sentence_transformers(dtype, mode):
    pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs the package ml_dtypes")
    x, mask = draw(4, 30, 16).to(dtype), torch.ones(4, 30, dtype=torch.int64)
    mask[1:, 20:] = 0
    given = features(False, x, mask)
    found, expected = both(given, 16, mode)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=torch.finfo(dtype).eps, atol=1e-6)
    for weights in (mask.sum(1).half(), mask.sum(1).float(), mask.sum(1)):
        given["token_weights_sum"] = weights
        found, expected = both(given, 16, mode)
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("modes", ["weightedmean", ("cls", "mean")])
def test_each_loads_the_others_configuration(tmp_path, modes):
    for mine, other in ((Pooling, theirs()), (theirs(), Pooling)):
        mine(8, modes, include_prompt=False).save(str(tmp_path))
        assert other.load(str(tmp_path)).get_config_dict() == mine(8, modes, include_prompt=False).get_config_dict()
    Pooling(8, modes).save(str(tmp_path), legacy=True)
    assert theirs().load(str(tmp_path)).pooling_mode == modes


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cls_embeddings_that_are_given():
    cls = draw(2, 2, dtype=torch.float32)
    for flat in (False, True):
        given = features(flat, cls_token_embeddings=cls)
        assert Pooling(2, "cls")(given)["sentence_embedding"] is cls


def test_arrays_of_numpy_beside_a_tensor():
    x = rows(False, dtype=torch.float32).requires_grad_()
    assert torch.equal(pool(x, np.asarray(MASK)), pool(x, MASK.tolist()))


@pytest.mark.filterwarnings("error")  # torch warns of memory that nobody may write to
def test_arrays_of_which_torch_has_no_view():
    x = rows(False, dtype=torch.float32)
    locked = np.asarray(MASK).copy()
    locked.flags.writeable = False
    for mask in (locked, np.asarray(MASK, ">i4"), np.asarray(MASK)[:, ::-1].copy()[:, ::-1]):
        assert torch.equal(pool(x, mask), pool(x, MASK))
        table = x.flatten(0, 1)
        assert torch.equal(embed(table, mask, mask=mask), embed(table, MASK, mask=MASK))
