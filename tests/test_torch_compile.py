"""fastemb.torch under torch.compile, export, fake tensors, and torch's own checks of operations."""

import shutil

import pytest

torch = pytest.importorskip("torch", reason="the package torch is not installed")
from torch_cases import pair, table_grad, whole  # noqa: E402

import fastemb.torch as ft  # noqa: E402

nn = torch.nn
IDS = torch.tensor([[1, 2, 2], [0, 6, 1]])
OFFSETS = torch.tensor([0, 2, 2])
LAYERS = [
    (ft.Embedding, nn.Embedding, {}, (IDS,)),
    (ft.Embedding, nn.Embedding, {"padding_idx": 2, "scale_grad_by_freq": True}, (IDS,)),
    (ft.EmbeddingBag, nn.EmbeddingBag, {"mode": "mean", "padding_idx": 2}, (IDS,)),
    (ft.EmbeddingBag, nn.EmbeddingBag, {"mode": "max"}, (IDS.reshape(-1), OFFSETS)),
    (ft.EmbeddingBag, nn.EmbeddingBag, {"mode": "sum"}, (IDS.reshape(-1), OFFSETS, torch.rand(6))),
]
# torch's own, of parts that it traces through.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("ours", "theirs", "options", "given"), LAYERS)
def test_compiled_in_one_graph(ours, theirs, options, given, sparse, backend):
    one, other = pair(ours, theirs, 7, 3, **options)
    one.sparse = sparse
    compiled = torch.compile(one, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(*given), other(*given))
    one.weight.grad = None
    result = compiled(*given)
    result.backward(whole(*result.shape, seed=1))
    assert one.weight.grad.is_sparse is sparse
    torch.testing.assert_close(one.weight.grad.to_dense(), table_grad(other, *given))


def test_compiled_with_weights_that_are_trained():
    table, weights = torch.randn(7, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)

    def loss(table, weights):
        return (ft.embedding_bag(table, IDS, mode="sum", weights=weights) ** 2).sum()

    expected = torch.autograd.grad(loss(table, weights), (table, weights))
    found = torch.autograd.grad(
        torch.compile(loss, fullgraph=True, backend="aot_eager")(table, weights), (table, weights)
    )
    torch.testing.assert_close(found, expected)


def test_any_number_of_ids_is_one_graph():
    layer, graphs = ft.Embedding(7, 3, sparse=True), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    compiled = torch.compile(layer, fullgraph=True, backend=backend, dynamic=True)
    for N in (2, 5, 3000):
        assert compiled(torch.arange(N) % 7).shape == (N, 3)
    assert len(graphs) == 1


def test_bad_ids_have_our_words():
    compiled = torch.compile(ft.Embedding(7, 3), fullgraph=True, backend="aot_eager")
    for bad in (-1, 7):
        with pytest.raises(IndexError, match=rf"id {bad} at position 1 .* a table of 7 rows"):
            compiled(torch.tensor([0, bad]))


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler, and g++ is not installed")
def test_inductor():
    """With sparse gradients and padding, of which torch's own layer cannot be compiled."""
    layer = nn.Sequential(ft.Embedding(7, 3, padding_idx=2, sparse=True), nn.Tanh())
    compiled = torch.compile(layer, fullgraph=True)
    expected = table_grad(layer[0], IDS, grad=torch.ones(2, 3, 3)) * (1 - layer[0].weight.tanh() ** 2)
    layer[0].weight.grad = None
    compiled(IDS).sum().backward()
    torch.testing.assert_close(layer[0].weight.grad.to_dense(), expected.detach())


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("ours", "theirs", "options", "given"), LAYERS)
def test_exported(ours, theirs, options, given, strict):
    layer = ours(7, 3, **options)
    exported = torch.export.export(layer, given, strict=strict)
    name = "gather" if ours is ft.Embedding else "embedding_bag"
    assert sum(node.target == getattr(torch.ops.fastemb, name).default for node in exported.graph.nodes) == 1
    assert torch.equal(exported.module()(*given), layer(*given))


@pytest.mark.parametrize(("ours", "theirs", "options", "given"), LAYERS)
def test_fake_and_meta_tensors(ours, theirs, options, given):
    for context in (torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True), torch.device("meta")):
        with context:
            one, other = ours(7, 3, **options), theirs(7, 3, **options)
            there = [torch.zeros(value.shape, dtype=value.dtype) for value in given]
            found, expected = one(*there), other(*there)
            assert (type(found), found.shape, found.dtype, found.device) == (
                type(expected), expected.shape, expected.dtype, expected.device
            )  # fmt: skip


def operations():
    """Operations, with what they are given."""
    ops = torch.ops.fastemb
    table, weights = torch.randn(7, 3, requires_grad=True), torch.rand(6, requires_grad=True)
    grad = torch.randn(2, 3, 3, requires_grad=True)
    yield ops.gather.default, (table, IDS, None, False, False)
    yield ops.gather.default, (table.detach().bfloat16(), IDS, 2, True, True)
    yield ops.table_grad.default, (grad, IDS, (7, 3), 2, True)
    yield ops.row_grad.default, (grad.detach(), IDS, None, False)
    bags = [
        (table, IDS, None, IDS % 2, None, "mean_max", None, True, False, False),
        (table, IDS.reshape(-1), torch.tensor([0, 2, 2, 6]), None, weights, "mean", 2, False, True, False),
    ]
    for given in bags:
        yield ops.embedding_bag.default, given
        plain = [one.detach() if isinstance(one, torch.Tensor) else one for one in given]
        result = ops.embedding_bag(*plain)
        yield ops.embedding_bag_backward.default, (result, *plain)
        yield ops.embedding_bag_row_grad.default, (result, *plain)


@pytest.mark.parametrize("k", range(len(list(operations()))))
def test_opcheck(k):
    op, given = list(operations())[k]
    found = torch.library.opcheck(op, given)
    assert set(found.values()) == {"SUCCESS"}
    assert len(found) == 4


def test_scripted_layers_are_not_taken():
    """What the docstring says: it stays so, or is said otherwise."""
    with pytest.raises(RuntimeError):
        torch.jit.script(ft.Embedding(3, 2))
