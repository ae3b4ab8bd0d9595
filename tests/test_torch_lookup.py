"""fastemb.torch: look-ups and the layer Embedding, held against torch's own and against float64."""

import copy
import inspect
import io
import pickle
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the package torch is not installed")
from torch_cases import FLOATS, INTEGERS, Rows, pair, table_grad, whole  # noqa: E402

import fastemb  # noqa: E402
import fastemb.torch as ft  # noqa: E402

func, nn = torch.func, torch.nn
F64 = torch.float64


def layers(*args, **options):
    return pair(ft.Embedding, nn.Embedding, *args, **options)


# Numbers ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_layer_is_torchs(data):
    """Rows and gradients of whole numbers are equal, in any dtype, layout of ids and with any options."""
    V, D = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    shape = data.draw(st.lists(st.integers(0, 4), max_size=3))
    dtype, of_ids = data.draw(st.sampled_from(FLOATS)), data.draw(st.sampled_from(INTEGERS))
    padding = data.draw(st.none() | st.integers(-V, V - 1))
    sparse, by_count = data.draw(st.booleans()), data.draw(st.booleans())
    ours, theirs = layers(V, D, padding_idx=padding, dtype=dtype)
    ours.sparse, ours.scale_grad_by_freq, theirs.scale_grad_by_freq = sparse, by_count, by_count
    ids = torch.randint(0, V, shape, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
    if ids.dim() > 1 and data.draw(st.booleans()):
        ids = ids.transpose(0, -1)
    ours_grad = table_grad(ours, ids.to(of_ids))
    assert torch.equal(ours(ids.to(of_ids)), theirs(ids))
    if by_count:  # torch multiplies each row by a rounded inverse
        ids64 = ids.reshape(-1)
        exact = torch.zeros(V, D, dtype=F64).index_add(0, ids64, whole(*ids.shape, D, seed=1).reshape(-1, D).double())
        exact /= torch.bincount(ids64, minlength=V).clamp(min=1)[:, None]
        if padding is not None:
            exact[padding] = 0
        assert torch.equal(ours_grad, (exact if dtype is F64 else exact.float()).to(dtype))
    else:
        assert torch.equal(ours_grad, table_grad(theirs, ids))
    assert ours.weight.grad.dtype is dtype
    assert ours.weight.grad.is_sparse is sparse


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_are_rounded_once(dtype):
    """A thousand rows of one id, held against float64; torch, which rounds at every addition, is off by more."""
    grad = torch.rand(1000, 8, generator=torch.Generator().manual_seed(2)).to(dtype)
    ours, theirs = layers(2, 8, dtype=dtype)
    ids = torch.zeros(1000, dtype=torch.long)
    exact = grad.double().sum(0)
    bound = torch.finfo(dtype).eps / 2 * exact * (1 + 1e-4)
    assert ((table_grad(ours, ids, grad=grad)[0].double() - exact).abs() <= bound).all()
    assert not ((table_grad(theirs, ids, grad=grad)[0].double() - exact).abs() <= bound).all()


@pytest.mark.parametrize("N", [16, 5000])  # the small path, and the general one
@pytest.mark.parametrize("padding", [None, 3])
def test_sparse_rows_are_unique_and_ascend(N, padding):
    ids = torch.randint(0, 50, (N,), generator=torch.Generator().manual_seed(0))
    table = torch.randn(50, 64, requires_grad=True)
    rows = ft.gather(table, ids, padding_idx=padding, sparse=True)
    grad = torch.autograd.grad(rows, table, torch.ones_like(rows))[0]
    assert grad.is_coalesced()
    expected, counts = torch.unique(ids[ids != padding] if padding is not None else ids, return_counts=True)
    assert torch.equal(grad.indices()[0], expected)
    assert torch.equal(grad.values(), counts[:, None].expand(-1, 64).float())
    torch.sparse_coo_tensor(grad.indices(), grad.values(), grad.shape, check_invariants=True)


def test_sparse_gradients_add_up():
    """Of several uses, of torch's layer and ours on one weight, and over several calls."""
    ours, theirs = layers(20, 4, sparse=True)
    theirs.weight = ours.weight
    ids, others = torch.tensor([3, 1, 3]), torch.tensor([19, 3])
    expected = torch.zeros(20, 4)
    for _ in range(2):
        (ours(ids).sum() + ours(others).sum() + theirs(ids).sum()).backward()
        expected.index_add_(0, torch.cat([ids, others, ids]), torch.ones(8, 4))
        assert torch.equal(ours.weight.grad.to_dense(), expected)


def test_the_same_bits_for_any_number_of_threads():
    table, ids = torch.randn(100, 48, requires_grad=True), torch.randint(0, 100, (40_000,))
    grad, found = torch.randn(40_000, 48), []
    for n in (1, 2, 7):
        with fastemb.num_threads(n):
            found.append(torch.autograd.grad(ft.gather(table, ids), table, grad)[0])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("mode", ["clip", "wrap"])
def test_modes_of_ids(mode):
    table = whole(5, 2).requires_grad_()
    ids = torch.tensor([-7, 2, 9, 5])
    rows = ft.gather(table, ids, mode=mode)
    meant = np.clip(ids.numpy(), 0, 4) if mode == "clip" else ids.numpy() % 5
    assert torch.equal(rows, table.detach()[meant])
    rows.sum().backward()
    assert torch.equal(table.grad[:, 0], torch.bincount(torch.from_numpy(meant), minlength=5).float())


def test_tables_of_more_axes_and_ids_of_other_kinds():
    table = whole(6, 2, 3).requires_grad_()
    for ids in ([[1, 5], [1, 0]], np.array([[1, 5], [1, 0]], ">i4"), torch.tensor([[1, 5], [1, 0]], dtype=torch.int8)):
        rows = ft.gather(table, ids, padding_idx=-1)
        assert torch.equal(rows, table.detach()[torch.tensor([[1, 5], [1, 0]])])
        grad = torch.autograd.grad(rows, table, torch.ones_like(rows))[0]
        assert grad[:, 1, 2].tolist() == [1, 2, 0, 0, 0, 0]
    assert torch.equal(ft.gather(table, 3), table[3])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_ids_give_nested_rows():
    ours = ft.Embedding(9, 4)
    lists = [torch.tensor([1, 2, 3]), torch.tensor([], dtype=torch.long), torch.tensor([8])]
    rows = ours(torch.nested.nested_tensor(lists, layout=torch.jagged))
    assert rows.is_nested
    for row, ids in zip(rows.unbind(), lists, strict=True):
        assert torch.equal(row, ours.weight[ids])
    with pytest.raises(TypeError, match=r"layout jagged.*got one of layout strided"):
        ours(torch.nested.nested_tensor(lists, layout=torch.strided))


# Derivatives -------------------------------------------------------------------------------------------------------

IDS = torch.tensor([[1, 2, 2], [0, 6, 1]])


@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("by_count", [False, True])
def test_derivatives(padding, by_count):
    table = torch.randn(7, 3, dtype=F64, requires_grad=True)

    def rows(table):
        return ft.gather(table, IDS, padding_idx=padding, scale_grad_by_freq=by_count)

    if padding is None and not by_count:  # else the gradient is not the derivative, and is not meant to be
        assert torch.autograd.gradcheck(rows, table, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(rows, table, check_batched_grad=True)


def test_a_sparse_gradient_has_a_gradient():
    table = torch.randn(7, 3, dtype=F64, requires_grad=True)
    factor = torch.randn(2, 3, 3, dtype=F64, requires_grad=True)
    for make in (lambda: ft.gather(table, IDS, sparse=True), lambda: nn.functional.embedding(IDS, table)):
        (grad,) = torch.autograd.grad((make() * factor).sum(), table, create_graph=True)
        found = torch.autograd.grad((grad.to_dense() ** 3).sum(), factor)[0]
    grad = torch.autograd.grad((ft.gather(table, IDS, sparse=True) * factor).sum(), table, create_graph=True)[0]
    assert torch.allclose(torch.autograd.grad((grad.to_dense() ** 3).sum(), factor)[0], found)


def test_many_gradients_at_once():
    """An eager graph, of which torch takes all rows of the Jacobian in one backward; sparse ones are dense there."""
    table = torch.randn(7, 3)
    for sparse in (False, True):
        rows = lambda table, sparse=sparse: ft.gather(table, IDS, padding_idx=1, sparse=sparse)  # noqa: E731
        found = torch.autograd.functional.jacobian(rows, table, vectorize=True)
        expected = torch.autograd.functional.jacobian(lambda table: nn.functional.embedding(IDS, table, 1), table)
        assert torch.equal(found, expected)


def gradients(rows, in_dims):
    """A gradient, its own Jacobian and rows, of each of a batch."""
    loss = lambda table, ids: (rows(table, ids) ** 3).sum()  # noqa: E731
    return [func.vmap(one, in_dims=in_dims) for one in (rows, func.grad(loss), func.jacrev(func.grad(loss)))]


@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("in_dims", [(None, 0), (None, 2), (0, None), (1, None), (0, 0), (2, 1)])
def test_transforms_are_torchs(in_dims, padding):
    tables, batch = torch.randn(4, 7, 3, dtype=F64), torch.randint(0, 7, (4, 2, 3))
    of_tables, of_ids = in_dims
    table = tables[0] if of_tables is None else tables.movedim(0, of_tables)
    ids = batch[0] if of_ids is None else batch.movedim(0, of_ids)
    ours = gradients(lambda table, ids: ft.gather(table, ids, padding_idx=padding), in_dims)
    theirs = gradients(lambda table, ids: nn.functional.embedding(ids, table, padding), in_dims)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one(table, ids), other(table, ids))


def test_gradients_of_each_sample():
    """By functional_call, as torch's tutorial has it; a layer with sparse gradients gives dense ones there."""
    ours, theirs = layers(9, 4, padding_idx=1)
    ours.sparse = True
    batch = torch.randint(0, 9, (5, 3))
    found = []
    for layer in (ours, theirs):

        def loss(parameters, ids, layer=layer):
            return (func.functional_call(layer, parameters, (ids,)) ** 2).sum()

        found.append(func.vmap(func.grad(loss), in_dims=(None, 0))(dict(layer.named_parameters()), batch)["weight"])
    assert torch.equal(*found)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # which torch calls itself
def test_forward_mode_is_refused():
    table = torch.randn(7, 3)
    rows = lambda table: ft.gather(table, IDS)  # noqa: E731
    with pytest.raises(NotImplementedError, match="forward-mode"):
        func.jvp(rows, (table,), (table,))
    with (
        torch.autograd.forward_ad.dual_level(),
        pytest.raises(NotImplementedError, match=r"use reverse mode \(grad, vjp, jacrev\)"),
    ):
        rows(torch.autograd.forward_ad.make_dual(table, table))


# What torch does around it -----------------------------------------------------------------------------------------


def test_the_layer_is_torchs_layer():
    ours, theirs = layers(10, 3, padding_idx=-1, max_norm=2.0, norm_type=1.0, scale_grad_by_freq=True, sparse=True)
    assert isinstance(ours, nn.Embedding)
    assert repr(ours) == repr(theirs)
    assert ours.padding_idx == 9
    assert not ft.Embedding(10, 3, padding_idx=-1).weight[9].any()
    theirs.load_state_dict(ours.state_dict())
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(twin) is ft.Embedding
        assert torch.equal(twin.weight, ours.weight)
        assert twin.weight is not ours.weight
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    ft.Embedding(10, 3).load_state_dict(torch.load(file))
    with pytest.raises(RuntimeError, match=r"size mismatch.*\[10, 3\].*\[10, 4\]"):
        ft.Embedding(10, 4).load_state_dict(ours.state_dict())
    frozen = ft.Embedding.from_pretrained(whole(4, 2), padding_idx=1)
    assert not frozen.weight.requires_grad
    assert not frozen(torch.tensor([0])).requires_grad
    assert ft.Embedding.from_pretrained(whole(4, 2), freeze=False)(torch.tensor([0])).requires_grad


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf")])
def test_max_norm_is_torchs(norm_type):
    ours, theirs = layers(10, 3, max_norm=2.0, norm_type=norm_type)
    ids = torch.tensor([[1, 5], [5, 9]])
    grads = [table_grad(layer, ids) for layer in (ours, theirs)]
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(*grads)
    before = ours.weight.detach().clone()
    with pytest.raises(IndexError, match="id -1 at position 1"):
        ours(torch.tensor([3, -1]))
    assert torch.equal(before, ours.weight)


def test_no_grad_inference_and_frozen_tables():
    ours = ft.Embedding(5, 2)
    ids = torch.tensor([1, 4])
    with torch.no_grad():
        assert not ours(ids).requires_grad
    with torch.inference_mode():
        assert ours(ids).is_inference()
    assert torch.equal(ours(ids), ours.weight[ids])
    with torch.inference_mode():
        made = ft.Embedding(5, 2)
        assert torch.equal(made(ids), made.weight[ids])


def test_autocast_and_scaled_losses():
    ours, theirs = layers(5, 4)
    head = nn.Linear(4, 2)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    ids = torch.tensor([1, 4, 1])
    for layer in (ours, theirs):
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = layer(ids)
            assert rows.dtype is torch.float32  # as torch's: the table decides
            loss = head(rows).float().sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert torch.equal(ours.weight, theirs.weight)


def test_ids_that_change_before_the_gradient_are_noticed():
    ours, ids = ft.Embedding(5, 2), torch.tensor([1, 4])
    rows = ours(ids)
    ids[0] = 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        rows.sum().backward()


def test_the_table_may_change_before_the_gradient():
    ours, ids = ft.Embedding(5, 2), torch.tensor([1, 4])
    rows = ours(ids)
    with torch.no_grad():
        ours.weight.zero_()
    rows.sum().backward()
    assert ours.weight.grad[:, 0].tolist() == [0, 1, 0, 0, 1]


def test_four_threads():
    ours = ft.Embedding(50, 8, sparse=True)
    ids = [torch.randint(0, 50, (400,)) for _ in range(4)]
    found = [None] * 4

    def work(k):
        rows = ours(ids[k])
        found[k] = torch.autograd.grad(rows, ours.weight, torch.ones_like(rows))[0]
        ours(ids[k]).sum().backward()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [torch.bincount(one, minlength=50).float() for one in ids]
    for grad, count in zip(found, counts, strict=True):
        assert torch.equal(grad.to_dense()[:, 0], count)
    assert torch.equal(ours.weight.grad.to_dense()[:, 0], sum(counts))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_workers_of_a_data_loader(how):
    ours = ft.Embedding(9, 3)
    ours(torch.arange(9)).sum().backward()  # autograd's threads and ours have run
    rows = Rows(ours)
    loader = torch.utils.data.DataLoader(rows, batch_size=4, num_workers=2, multiprocessing_context=how)
    assert np.array_equal(torch.cat(list(loader)).numpy(), rows.expected())


# Refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 5])
@pytest.mark.parametrize("N", [1, 100_000])
def test_bad_ids(bad, N):
    ours = ft.Embedding(5, 4)
    ids = torch.zeros(2, N, dtype=torch.long)
    ids[1, N - 1] = bad
    for call in (ours, torch.no_grad()(ours)):
        with pytest.raises(IndexError, match=rf"id {bad} at position \(1, {N - 1}\) .* a table of 5 rows"):
            call(ids)
    with pytest.raises(IndexError, match=f"id {bad}"):
        func.vmap(ours)(ids)
    with pytest.raises(IndexError, match=f"id {bad}"):
        func.grad(lambda table: ft.gather(table, ids).sum())(ours.weight.detach())


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "ids must have an integer dtype, got dtype float32", lambda t: ft.gather(t, torch.zeros(2))),
        (TypeError, "ids must have an integer dtype", lambda t: ft.gather(t, [0.5])),
        (TypeError, "ids must have an integer dtype", lambda t: ft.gather(t, torch.tensor([True]))),
        (TypeError, "input must be a torch tensor, got list", lambda t: ft.Embedding(5, 4)([0])),
        (TypeError, "table must be a torch tensor, got ndarray", lambda t: ft.gather(np.zeros((2, 2)), [0])),
        (TypeError, "one device, got cpu and meta", lambda t: ft.gather(t, torch.zeros(2, dtype=int, device="meta"))),
        (TypeError, "one device, got cpu and meta", lambda t: ft.gather(t.to("meta"), torch.zeros(2, dtype=int))),
        (TypeError, "a table with a gradient must have dtype float64, .* got complex64",
         lambda t: ft.gather(t.to(torch.complex64), [0])),
        (TypeError, "padding_idx", lambda t: ft.gather(t, [0], padding_idx=0.5)),
        (ValueError, "padding_idx must be a row of the table, from -5 to 4, got 5",
         lambda t: ft.gather(t, [0], padding_idx=5)),
        (ValueError, "padding_idx must be a row of the table, from -5 to 4, got -6",
         lambda t: ft.gather(t, [0], padding_idx=-6)),
        (ValueError, "mode must be one of 'raise', 'clip', 'wrap'", lambda t: ft.gather(t, [0], mode="nearest")),
        (TypeError, "sparse must be a bool, got 'yes'", lambda t: ft.gather(t, [0], sparse="yes")),
        (ValueError, r"a sparse gradient is of a table of shape \(V, D\), got \(5, 2, 2\)",
         lambda t: ft.gather(t.view(5, 2, 2), [0], sparse=True)),
        (ValueError, r"rows must have shape \(3, 4\) for ids of shape \(3,\) and a target of \(5, 4\), got \(2, 4\)",
         lambda t: torch.ops.fastemb.table_grad(whole(2, 4), torch.tensor([1, 2, 3]), (5, 4), None, False)),
        (ValueError, r"grad must have shape \(3, D\) for ids of shape \(3,\), got \(2, 4\)",
         lambda t: torch.ops.fastemb.row_grad(whole(2, 4), torch.tensor([1, 2, 3]), None, False)),
    ],
)  # fmt: skip
def test_refusals(error, words, call):
    with pytest.raises(error, match=words):
        call(whole(5, 4).requires_grad_())


def test_every_public_name_has_a_place():
    """In a page of docs/api of this module; each has a docstring."""
    pages = [page.read_text() for page in (Path(__file__).parent.parent / "docs/api").glob("*.rst")]
    ours = [text for text in pages if ".. currentmodule:: fastemb.torch\n" in text]
    told = {name for text in ours for name in re.findall(r"^\.\. auto(?:function|class):: (\w+)$", text, re.MULTILINE)}
    names = {name for name, value in vars(ft).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert told == names
    assert all(inspect.getdoc(getattr(ft, name)) for name in names)
