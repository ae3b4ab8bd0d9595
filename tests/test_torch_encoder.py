"""fastemb.torch's embed and TokenPositionEmbedding: gradients of every order, traces; transformers' first layers."""

import copy
import json
import pickle

import pytest

torch = pytest.importorskip("torch", reason="the package torch is not installed")

import fastemb  # noqa: E402
from fastemb import LayerNorm, RMSNorm  # noqa: E402
from fastemb.torch import TokenPositionEmbedding, embed  # noqa: E402

V, P, S, D = 11, 7, 2, 6
IDS = torch.tensor([[1, 4, 2, 9, 2], [0, 3, 3, 10, 2], [5, 2, 1, 0, 0]])
KINDS = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
PLACES = torch.tensor([[6, 1, 0, 2, 3]])
KEPT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
NORMS = "none", "layer", "layer without bias", "rms"
#: Ids of the addends and the mask.
FORMS = {
    "defaults": {},
    "ids": {"position_ids": PLACES, "segment_ids": KINDS},
    "mask": {"segment_ids": KINDS, "mask": KEPT},
    "mask and places": {"position_ids": PLACES, "mask": KEPT.bool()},
}


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def tables(norm, **options):
    """Return the tensors that have gradients, by name."""
    made = {"table": draw(V, D, seed=1, **options), "positions": draw(P, D, seed=2, **options)}
    made["segments"] = draw(S, D, seed=3, **options)
    if norm != "none":
        made["weight"] = draw(D, seed=4, **options)
    if norm == "layer":
        made["bias"] = draw(D, seed=5, **options)
    return made


def call(norm, table, positions, segments, weight=None, bias=None, ids=IDS, **options):
    if norm != "none":
        options["norm"] = RMSNorm(weight) if norm == "rms" else LayerNorm(weight, bias)
    return embed(table, ids, positions=positions, segments=segments, scale=1.5, **options)


# The function -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_both_orders(form, norm):
    leaves = [one[..., :3].clone().requires_grad_() for one in tables(norm).values()]
    small = {name: one[:2, :3] for name, one in FORMS[form].items()}
    function = lambda *leaves: call(norm, *leaves, ids=IDS[:2, :3], **small)  # noqa: E731
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", [{}, {"padding_idx": 2, "position_padding": 1}])
def test_numbers_are_those_of_numpys_functions(form, norm, padding):
    leaves = {name: one.requires_grad_() for name, one in tables(norm, dtype=torch.float32).items()}
    out = call(norm, **leaves, **FORMS[form], **padding)
    plain = {name: one.detach() for name, one in leaves.items()}
    weight, bias = plain.get("weight"), plain.get("bias")
    arrays = {"positions": plain["positions"], "segments": plain["segments"], "scale": 1.5, **FORMS[form]}
    arrays["norm"] = None if norm == "none" else RMSNorm(weight) if norm == "rms" else LayerNorm(weight, bias)
    assert torch.equal(out, fastemb.embed(plain["table"], IDS, **arrays))
    grad = draw(*out.shape, dtype=torch.float32, seed=9)
    found = dict(zip(leaves, torch.autograd.grad(out, leaves.values(), grad, retain_graph=True), strict=True))
    expected = fastemb.embed_backward(grad, plain["table"], IDS, padding_idx=padding.get("padding_idx"), **arrays)
    dense = torch.zeros(V, D).index_copy(0, expected.table.ids, expected.table.rows)
    by_position = expected.positions.clone()
    by_position[padding.get("position_padding", slice(0, 0))] = 0
    given = {"table": dense, "positions": by_position, "segments": expected.segments}
    given |= dict(zip(("weight", "bias"), expected.norm or (None, None), strict=True))
    for name, one in found.items():
        assert torch.equal(one, given[name]), name
    graph = torch.autograd.grad(out, leaves.values(), grad, create_graph=True)
    inside = torch.func.grad(lambda leaves: (call(norm, **leaves, **FORMS[form], **padding) * grad).sum())(plain)
    for (name, one), other in zip(found.items(), graph, strict=True):
        torch.testing.assert_close(other, one, rtol=2e-5, atol=2e-5)
        torch.testing.assert_close(inside[name], one, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_vmap_per_sample_gradients_and_jacobians(norm):
    leaves = tables(norm)
    ids, kinds, kept = (torch.stack([one, one.flip(0)]) for one in (IDS, KINDS, KEPT))
    one = lambda ids, kinds=None, kept=None, **more: call(  # noqa: E731
        norm, **{**leaves, **more}, ids=ids, segment_ids=kinds, mask=kept
    )
    vmap = torch.func.vmap
    each = torch.stack([one(*three) for three in zip(ids, kinds, kept, strict=True)])
    assert torch.equal(vmap(one)(ids, kinds, kept), each)
    assert torch.equal(vmap(one, (2, None, 1))(ids.movedim(0, 2), kinds[0], kept.movedim(0, 1))[0], each[0])
    assert torch.equal(vmap(one, (None, 0))(ids[0], kinds)[0], one(ids[0], kinds[0]))
    assert torch.equal(vmap(vmap(one))(ids, kinds, kept), each)
    both = torch.stack([leaves["table"], leaves["table"] * 2])
    found = vmap(lambda ids, table: one(ids, table=table))(ids, both)
    assert torch.equal(found, torch.stack([one(i, table=t) for i, t in zip(ids, both, strict=True)]))
    assert torch.equal(vmap(lambda table: one(ids[0], table=table), out_dims=1)(both).movedim(1, 0)[0], one(ids[0]))

    def loss(table, ids, kinds):
        return one(ids, kinds, table=table).pow(3).sum()

    found = vmap(torch.func.grad(loss), (None, 0, 0))(leaves["table"], ids, kinds)
    for i, k, expected in zip(ids, kinds, found, strict=True):
        leaf = leaves["table"].clone().requires_grad_()
        torch.testing.assert_close(torch.autograd.grad(loss(leaf, i, k), leaf)[0], expected)
    whole = lambda table: one(IDS[0], table=table)  # noqa: E731
    expected = torch.autograd.functional.jacobian(whole, leaves["table"])
    torch.testing.assert_close(torch.func.jacrev(whole)(leaves["table"]), expected)
    twice = torch.func.grad(lambda t: torch.func.grad(lambda t: whole(t).pow(3).sum())(t).pow(2).sum())
    leaf = leaves["table"].clone().requires_grad_()
    (first,) = torch.autograd.grad(whole(leaf).pow(3).sum(), leaf, create_graph=True)
    torch.testing.assert_close(twice(leaves["table"]), torch.autograd.grad(first.pow(2).sum(), leaf)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch imports for it
def test_forward_mode_is_refused():
    table = draw(V, D)
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(lambda table: embed(table, IDS), (table,), (table,))


@pytest.mark.parametrize("norm", NORMS)
def test_the_operation(norm):
    leaves = tables(norm, dtype=torch.float32)
    kind = norm.split()[0]
    arrays = [leaves.get(name) for name in ("table", "positions", "segments", "weight", "bias")]
    given = IDS, None, KINDS, KEPT, 1.5, kind, 1e-5, 2, None
    grad = draw(*IDS.shape, D, dtype=torch.float32, seed=9)
    torch.library.opcheck(torch.ops.fastemb.embed_backward.default, (grad, *arrays, *given))
    arrays = [one if one is None else one.clone().requires_grad_() for one in arrays]
    torch.library.opcheck(torch.ops.fastemb.embed.default, (*arrays, *given))


def test_the_operation_has_gradients_of_gradients():
    """Of a registered operation without, torch warns at most, and numbers are wrong."""
    leaves = [one[:, :3].clone().requires_grad_() for one in tables("none").values()]
    function = lambda *t: torch.ops.fastemb.embed(*t, None, None, IDS, None, None, None, 1.5, "none", 0.0, None, None)  # noqa: E731
    assert torch.autograd.gradgradcheck(function, leaves)


def test_lists_and_errors():
    table = draw(V, D).requires_grad_()
    assert torch.equal(embed(table, IDS.tolist(), mask=KEPT.tolist()), embed(table, IDS, mask=KEPT))
    with pytest.raises(IndexError, match=r"id 11 at position \(0, 1\)|id 11 at position 1"):
        embed(table, [[0, 11]])
    with pytest.raises(
        TypeError,
        match=r"norm must be a fastemb\.LayerNorm or RMSNorm, got torch.*give fastemb\.LayerNorm\(norm\.weight",
    ):
        embed(table, IDS, norm=torch.nn.LayerNorm(D))
    with pytest.raises(ValueError, match="mask must have shape"):
        embed(table, IDS, mask=KEPT[:1])
    with pytest.raises(TypeError, match=r"table must be a torch tensor, got ndarray; give torch\.as_tensor\(table\)"):
        embed(table.detach().numpy(), IDS)
    with pytest.raises(TypeError, match=r"norm\.bias must be a torch tensor, got list"):
        embed(table, IDS, norm=LayerNorm(table[0], [0.0] * D))
    with pytest.raises(ValueError, match="padding_idx must be a row of the table, from -11 to 10, got 11"):
        embed(table, IDS, padding_idx=V)
    for positions, words in ((table, "must be a row of positions, from -11 to 10, got 11"), (None, "there are none")):
        with pytest.raises(ValueError, match=f"position_padding.*{words}"):
            embed(table, IDS, positions=positions, position_padding=V)
    (grad,) = torch.autograd.grad(embed(table, IDS, padding_idx=-2).sum(), table)
    assert not grad[9].any()
    assert grad[2].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", NORMS)
def test_16_bits_against_float64(norm, dtype):
    pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs the package ml_dtypes")
    narrow = {name: one.to(dtype).requires_grad_() for name, one in tables(norm).items()}
    wide = {name: one.detach().double().requires_grad_() for name, one in narrow.items()}
    grad = draw(*IDS.shape, D, seed=9).to(dtype)
    found, expected = (call(norm, **leaves, segment_ids=KINDS) for leaves in (narrow, wide))
    half_a_place = 1.01 * torch.finfo(dtype).eps / 2
    torch.testing.assert_close(found.double(), expected, rtol=half_a_place, atol=2e-6)
    found.backward(grad)
    expected.backward(grad.double())
    for name, one in narrow.items():
        assert one.grad.dtype == dtype
        torch.testing.assert_close(one.grad.double(), wide[name].grad, rtol=half_a_place, atol=1e-5)


# The module -------------------------------------------------------------------------------------------------------


def layer(**options):
    torch.manual_seed(0)
    made = TokenPositionEmbedding(V, D, P, S, **{"padding_idx": 2, "dropout": 0.1, **options})
    for one in made.parameters():
        torch.nn.init.normal_(one)
    return made.eval()


def by_torch(module, ids, kinds, places):
    """Return what the module is to give, by torch's own layers."""
    words, positions, segments = module.word_embeddings, module.position_embeddings, module.token_type_embeddings
    rows = module.scale * words(ids) + positions(places) + segments(kinds)
    return rows if module.LayerNorm is None else module.LayerNorm(rows)


@pytest.mark.parametrize("norm", ["layer", "rms", None])
def test_equals_torchs_layers(norm):
    module = layer(norm=norm, scale=2.0)
    parameters = list(module.parameters())
    for ids, places in ((IDS, torch.arange(5)), (IDS[0], PLACES[0]), (IDS.int(), PLACES.int())):
        kinds = KINDS if ids.dim() == 2 else KINDS[0]
        found = module(ids, kinds, None if len(places) == 5 and places[0] == 0 else places)
        expected = by_torch(module, ids, kinds, places)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        grad = draw(*found.shape, dtype=torch.float32, seed=9)
        pairs = zip(*(torch.autograd.grad(one, parameters, grad) for one in (found, expected)), strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)
    assert not torch.autograd.grad(module(IDS).sum(), parameters[0])[0][2].any()


def test_masks_and_where_texts_begin():
    module = layer()
    found = module(IDS, mask=KEPT)
    for row, kept, ids in zip(found, KEPT.bool(), IDS, strict=True):
        assert torch.equal(row[kept], module(ids[kept]))
        assert not row[~kept].any()
    for name in ("cache_length", "past_key_values_length"):
        assert torch.equal(module(IDS, **{name: 2}), module(IDS, position_ids=torch.arange(5) + 2))
    later = module(IDS, mask=KEPT, cache_length=2)
    assert torch.equal(later[2, 2:], module(IDS[2, 2:], position_ids=torch.arange(3) + 2))
    rows = module.word_embeddings(IDS).detach().requires_grad_()
    assert torch.equal(module(inputs_embeds=rows), module(IDS))
    grad = torch.autograd.grad(module(inputs_embeds=rows).pow(2).sum(), rows)[0]
    expected = by_torch(module, IDS, torch.zeros_like(IDS), torch.arange(5))
    table_grad = torch.autograd.grad(expected.pow(2).sum(), module.word_embeddings.weight)[0]
    summed = torch.zeros(V, D).index_add(0, IDS.flatten(), grad.flatten(0, 1)).index_fill(0, torch.tensor([2]), 0)
    torch.testing.assert_close(summed, table_grad, rtol=1e-4, atol=1e-5)


def test_positions_of_roberta():
    module = layer(numbering="roberta")
    places = torch.tensor([[3, 4, 2, 5, 2], [3, 4, 5, 6, 2], [3, 2, 4, 5, 6]])
    assert torch.equal(module(IDS), module(IDS, position_ids=places))
    assert torch.equal(module(IDS, mask=IDS != 2)[0, 3], module(IDS)[0, 3])
    shown = module(inputs_embeds=module.word_embeddings(IDS[:, :4]))
    assert torch.equal(shown, module(IDS[:, :4], position_ids=torch.arange(3, 7)))
    assert not torch.autograd.grad(module(IDS).sum(), module.position_embeddings.weight)[0][2].any()
    with pytest.raises(IndexError, match=r"position id 7 .*out of range for positions of 7 rows"):
        module(torch.tensor([[1, 3, 4, 5, 6]]))


def test_dropout_is_torchs():
    module = layer().train()
    torch.manual_seed(5)
    found = module(IDS)
    torch.manual_seed(5)
    assert torch.equal(found, torch.nn.functional.dropout(module.eval()(IDS), 0.1))
    assert (found == 0).any()
    module.dropout.train()  # of a model that is evaluated: to sample it
    torch.manual_seed(5)
    assert torch.equal(module(IDS), found)
    module.train().dropout.eval()
    assert torch.equal(module(IDS), module.eval()(IDS))


def test_what_layers_of_torch_can_do():
    module = layer()
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(copied(IDS), module(IDS))
    other = TokenPositionEmbedding(V, D, P, S).eval()
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(IDS), module(IDS))
    assert torch.equal(module.double()(IDS).float(), fastemb.embed(
        module.word_embeddings.weight.detach(), IDS, positions=module.position_embeddings.weight.detach(),
        segments=module.token_type_embeddings.weight.detach(), norm=LayerNorm(
            module.LayerNorm.weight.detach(), module.LayerNorm.bias.detach())).float())  # fmt: skip
    assert "numbering='bert'" in repr(module)
    plain = TokenPositionEmbedding(V, D, norm=None, device="meta", dtype=torch.float16)
    assert {name: (one.device.type, one.dtype) for name, one in plain.named_parameters()} == {
        "word_embeddings.weight": ("meta", torch.float16)
    }
    module.float()
    with torch.inference_mode():
        assert torch.equal(other(IDS), module(IDS))
    weights = dict(module.named_parameters())
    assert torch.equal(torch.func.functional_call(module, weights, (IDS,)), module(IDS))


def test_what_is_refused():
    module, bare = layer(), TokenPositionEmbedding(V, D, norm=None)
    for given in ({}, {"input_ids": IDS, "inputs_embeds": draw(3, 5, D)}):
        with pytest.raises(ValueError, match="give input_ids or inputs_embeds"):
            module(**given)
    with pytest.raises(ValueError, match="num_segments is 0"):
        bare(IDS, KINDS)
    with pytest.raises(ValueError, match="layer has none"):
        bare(IDS, position_ids=PLACES)
    with pytest.raises(ValueError, match="positions must have at least 8 rows"):
        module(torch.zeros(1, 8, dtype=torch.int64))
    with pytest.raises(IndexError, match="id -1 at position"):
        module(torch.tensor([[-1]]))
    with pytest.raises(TypeError, match="ids must"):
        module(IDS.float())
    with pytest.raises(ValueError, match="numbering must be"):
        TokenPositionEmbedding(V, D, numbering="gpt")
    with pytest.raises(ValueError, match="norm must be"):
        TokenPositionEmbedding(V, D, norm="batch")
    with pytest.raises(ValueError, match="needs padding_idx and num_positions, got None and 7"):
        TokenPositionEmbedding(V, D, P, numbering="roberta")


@pytest.mark.parametrize("numbering", ["bert", "roberta"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled(backend, numbering):
    torch._dynamo.reset()
    module = layer(numbering=numbering)
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    parameters = list(module.parameters())
    for given in ((IDS, KINDS), (IDS[:, :3], None), (IDS, None, PLACES)):
        found, expected = compiled(*given), module(*given)
        torch.testing.assert_close(found, expected)
        pairs = zip(*(torch.autograd.grad(one.pow(2).sum(), parameters) for one in (found, expected)), strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_the_function_compiled(backend):
    torch._dynamo.reset()
    leaves = {name: one.requires_grad_() for name, one in tables("layer", dtype=torch.float32).items()}
    function = lambda leaves: call("layer", **leaves, segment_ids=KINDS, mask=KEPT, padding_idx=-2)  # noqa: E731
    compiled = torch.compile(function, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(leaves), function(leaves))
    for ours, theirs in zip(
        *(torch.autograd.grad(one(leaves).pow(2).sum(), leaves.values()) for one in (compiled, function)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_exported():
    module = layer()
    program = torch.export.export(module, (IDS, KINDS))
    assert "fastemb.embed" in str(program.graph)
    assert torch.equal(program.module()(IDS, KINDS), module(IDS, KINDS))


# Checkpoints ------------------------------------------------------------------------------------------------------

BERT = {
    "word_embeddings.weight": draw(V, D, dtype=torch.float32),
    "position_embeddings.weight": draw(P, D, dtype=torch.float32, seed=1),
    "token_type_embeddings.weight": draw(S, D, dtype=torch.float32, seed=2),
    "LayerNorm.weight": draw(D, dtype=torch.float32, seed=3),
    "LayerNorm.bias": draw(D, dtype=torch.float32, seed=4),
    "position_ids": torch.arange(P)[None],
}
GPT2 = {"wte.weight": BERT["word_embeddings.weight"], "wpe.weight": BERT["position_embeddings.weight"]}


def loaded(source, **options):
    return TokenPositionEmbedding.from_bert(source, **options).eval()


def with_prefix(prefix, state=BERT):
    return {prefix + name: one for name, one in state.items()} | {"encoder.layer.0.output.dense.weight": torch.ones(2)}


@pytest.mark.parametrize("prefix", ["", "embeddings.", "bert.embeddings.", "roberta.embeddings.", "0.auto_model.bert."])
def test_prefixes(prefix):
    module = loaded(with_prefix(prefix))
    roberta = "roberta." in prefix
    assert (module.numbering, module.word_embeddings.padding_idx) == (("roberta", 1) if roberta else ("bert", 0))
    assert (module.LayerNorm.eps, module.dropout.p) == (1e-5 if roberta else 1e-12, 0.1)
    state = module.state_dict()
    assert state.keys() == BERT.keys() - {"position_ids"}
    assert all(one.data_ptr() == BERT[name].data_ptr() for name, one in state.items())
    assert torch.equal(loaded(with_prefix(prefix), prefix=prefix)(IDS[:, :4]), module(IDS[:, :4]))


def test_older_names_and_gpt2():
    old = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): one for name, one in BERT.items()
    }
    assert torch.equal(loaded(old)(IDS), loaded(BERT)(IDS))
    for prefix in ("", "transformer."):
        module = loaded(with_prefix(prefix, GPT2))
        assert module.LayerNorm is None
        assert module.token_type_embeddings is None
        assert module.word_embeddings.padding_idx is None
        assert torch.equal(module(IDS), GPT2["wte.weight"][IDS] + GPT2["wpe.weight"][:5])


def test_what_cannot_be_told_is_refused():
    with pytest.raises(ValueError, match=r"looks in the mapping for word_embeddings.weight or wte.weight; it is not"):
        loaded({"embed.weight": torch.ones(2, 2)})
    both = with_prefix("query.") | with_prefix("passage.")
    with pytest.raises(ValueError, match=r"behind each of \['query.', 'passage.'\]: give prefix"):
        loaded(both)
    assert torch.equal(loaded(both, prefix="passage.")(IDS), loaded(BERT)(IDS))
    with pytest.raises(ValueError, match=r"behind 'bert\.'; it is not there"):
        loaded(both, prefix="bert.")
    longer = {**BERT, "position_embeddings.weight": torch.ones(514, D)}
    with pytest.raises(ValueError, match=r"positions have 514 rows.*give numbering='roberta' or 'bert'"):
        loaded(longer)
    assert loaded(longer, numbering="roberta").word_embeddings.padding_idx == 1
    assert loaded(longer, numbering="bert", padding_idx=3, eps=0.5, dropout=0.0).LayerNorm.eps == 0.5
    with pytest.raises(ValueError, match=r"position_embeddings.* shape \(7, 5\).*\(11, 6\)"):
        loaded({**BERT, "position_embeddings.weight": torch.ones(P, 5)})


def test_files(tmp_path):
    save = pytest.importorskip("safetensors.torch", reason="the package safetensors is not installed").save_file
    expected = loaded(with_prefix("roberta.embeddings."))(IDS[:, :3])
    save(with_prefix("roberta.embeddings."), tmp_path / "one.safetensors")
    assert torch.equal(loaded(str(tmp_path / "one.safetensors"))(IDS[:, :3]), expected)
    with pytest.raises(FileNotFoundError, match=r"model.safetensors of a folder.*there is no"):
        loaded(tmp_path)
    names = list(with_prefix(""))
    parts = {"a.safetensors": names[:3], "b.safetensors": names[3:]}
    for part, its in parts.items():
        save({name: with_prefix("")[name] for name in its}, tmp_path / part)
    index = {"weight_map": {name: part for part, its in parts.items() for name in its}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {"model_type": "roberta", "pad_token_id": 1, "layer_norm_eps": 1e-5, "hidden_dropout_prob": 0.2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert torch.equal(loaded(tmp_path)(IDS[:, :3]), expected)
    assert loaded(tmp_path).dropout.p == 0.2
    for damaged in ({}, {"weight_map": ["a.safetensors"]}, {"weight_map": {"wte.weight": 7}}):
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(damaged))
        with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json: expected a weight_map"):
            loaded(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not valid JSON"):
        loaded(tmp_path)


# transformers -----------------------------------------------------------------------------------------------------

SMALL = {
    "vocab_size": V, "hidden_size": D, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
    "max_position_embeddings": 9, "pad_token_id": 2,
}  # fmt: skip


def model_of(kind, **options):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **{**SMALL, **options})
    model = transformers.AutoModel.from_config(config).eval()
    for one in model.parameters():
        torch.nn.init.normal_(one)
    return model


@pytest.mark.filterwarnings("ignore")  # of transformers
@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "mpnet"])
def test_stands_in_for_the_embeddings_of_transformers(kind):
    model = model_of(kind, pad_token_id=1 if kind == "mpnet" else 2)  # of which MPNet's code knows no other
    theirs, ours = model.embeddings, loaded(model.embeddings)
    assert torch.equal(loaded(model)(IDS), ours(IDS))
    given = [{"input_ids": IDS}, {"input_ids": IDS, "position_ids": PLACES}]
    given.append({"inputs_embeds": theirs.word_embeddings(IDS).detach()})
    if kind != "mpnet":
        given += [{"input_ids": IDS, "token_type_ids": KINDS}, {"input_ids": IDS, "cache_length": 2}]
    parameters = list(theirs.parameters())
    assert {id(one) for one in ours.parameters()} == {id(one) for one in parameters}
    for options in given:
        found, expected = ours(**options), theirs(**options)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=3e-6)
        pairs = [
            torch.autograd.grad(one.pow(3).sum(), parameters, allow_unused=True, materialize_grads=True)
            for one in (found, expected)
        ]
        for one, other in zip(*pairs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    names, expected = set(model.state_dict()), model(IDS).last_hidden_state
    model.embeddings = ours
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model(IDS).last_hidden_state, expected, rtol=1e-5, atol=1e-5)
    assert model.get_input_embeddings() is ours.word_embeddings
    torch.manual_seed(3)
    dropped = model.train().embeddings(IDS)
    torch.manual_seed(3)
    torch.testing.assert_close(dropped, theirs.train()(IDS), rtol=1e-5, atol=3e-6)


@pytest.mark.filterwarnings("ignore")
def test_tied_weights_stay_tied_and_tables_grow():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model = transformers.BertForMaskedLM(transformers.BertConfig(**SMALL)).eval()
    model.bert.embeddings = loaded(model.bert.embeddings)
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    model.resize_token_embeddings(V + 5)
    assert model(torch.tensor([[V + 4, 1]])).logits.shape == (1, 2, V + 5)


@pytest.mark.filterwarnings("ignore")
def test_gpt2_of_transformers():
    model = model_of("gpt2", n_embd=D, n_head=2, n_layer=1)
    expected = model.wte(IDS) + model.wpe(torch.arange(5))
    assert torch.equal(loaded(model)(IDS), expected)
    assert loaded(model).word_embeddings.weight is model.wte.weight
    state = {f"transformer.{name}": one for name, one in model.state_dict().items()}
    assert torch.equal(loaded(state)(IDS), expected)
