"""fastemb.torch: bags and the layer EmbeddingBag, held against torch's own, against the reference and against parts."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the package torch is not installed")
from torch_cases import FLOATS, INTEGERS, pair, table_grad, whole  # noqa: E402

import fastemb  # noqa: E402
import fastemb.torch as ft  # noqa: E402
from fastemb._checks import POOL_MODES  # noqa: E402

func, nn = torch.func, torch.nn
F64 = torch.float64
THEIRS = ["sum", "mean", "max"]
jagged = {"layout": torch.jagged}


def layers(*args, **options):
    return pair(ft.EmbeddingBag, nn.EmbeddingBag, *args, **options)


# Numbers ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_layer_is_torchs(data):
    """In torch's modes, with its offsets, padding and weights, up to the order of additions."""
    V, D, N = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5)), data.draw(st.integers(0, 12))
    mode, dtype = data.draw(st.sampled_from(THEIRS)), data.draw(st.sampled_from(FLOATS[:2]))
    padding, last = data.draw(st.none() | st.integers(-V, V - 1)), data.draw(st.booleans())
    options = {"mode": mode, "padding_idx": padding, "include_last_offset": last}
    ours, theirs = layers(V, D, dtype=dtype, **options)
    ours.sparse = data.draw(st.booleans())
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    ids = torch.randint(0, V, (N,), generator=random)
    offsets = torch.tensor([0, *sorted(data.draw(st.lists(st.integers(0, N), max_size=4))), *[N] * last])
    args = (ids.view(2, -1),) if N and N % 2 == 0 and data.draw(st.booleans()) else (ids, offsets)
    weights = None
    if mode == "sum" and data.draw(st.booleans()):
        weights = torch.rand(args[0].shape, generator=random).to(dtype)
    of_ids = data.draw(st.sampled_from(INTEGERS[:2]))
    given_ours = [*(one.to(of_ids) for one in args), *[None] * (weights is not None and len(args) == 1)]
    found = [*given_ours, weights] if weights is not None else given_ours
    result = ours(*found)
    expected = theirs(*args, per_sample_weights=weights)
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype is torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(result, expected, **close)
    if len(expected) and expected.numel():
        ours.weight.grad = theirs.weight.grad = None
        grad = whole(*expected.shape, dtype=dtype, seed=1)
        result.backward(grad)
        expected.backward(grad)
        torch.testing.assert_close(ours.weight.grad.to_dense(), theirs.weight.grad, **close)
        assert ours.weight.grad.is_sparse is ours.sparse


@pytest.mark.parametrize("mode", THEIRS)
@pytest.mark.parametrize(
    ("ids", "offsets"),
    [
        ([], []),  # no bags
        ([], [0, 0]),  # of nothing
        ([1, 2, 3], [0, 0, 3, 3]),  # the first and the last, too
        ([5, 5, 5, 0], [0]),
        ([[], []], None),
        ([[3, 3, 1]], None),
    ],
)
def test_empty_and_repeating_bags(mode, ids, offsets):
    ids = torch.tensor(ids, dtype=torch.int32)
    for layout in (lambda w: w, lambda w: w.t().contiguous().t(), lambda w: w.expand(2, *w.shape)[1]):
        weight = layout(whole(6, 4))
        ours = ft.EmbeddingBag.from_pretrained(weight, freeze=False, mode=mode, padding_idx=5)
        theirs = nn.EmbeddingBag.from_pretrained(weight.clone(), freeze=False, mode=mode, padding_idx=5)
        args = (ids,) if offsets is None else (ids, torch.tensor(offsets, dtype=torch.int32))
        if ids.shape == (2, 0):  # which torch refuses
            assert torch.equal(ours(*args), torch.zeros(2, 4))
            continue
        assert torch.equal(ours(*args), theirs(*args))
        if len(args[-1]):
            grad = whole(*theirs(*args).shape, seed=1)
            assert torch.allclose(table_grad(ours, *args, grad=grad), table_grad(theirs, *args, grad=grad))


def test_a_bag_of_a_row_is_the_row():
    """Each id a bag: EmbeddingBag is then Embedding, and its gradient is that, but that padding is zeros."""
    ids = torch.tensor([3, 1, 3, 0])
    for mode in POOL_MODES[:-1]:
        bags = ft.EmbeddingBag.from_pretrained(whole(6, 4), freeze=False, mode=mode, padding_idx=0)
        rows = ft.Embedding.from_pretrained(whole(6, 4), freeze=False, padding_idx=0)
        found, expected = bags(ids, torch.arange(4)), rows(ids)
        assert torch.equal(found[:3], expected[:3])
        assert not found[3].any()
        grad = whole(4, 4, seed=1)
        assert torch.equal(table_grad(bags, ids, torch.arange(4), grad=grad), table_grad(rows, ids, grad=grad))


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_counts_are_those_of_torchs_embedding(mode):
    """Its rows are reduced by torch: its own bags divide some rows by how often another id occurs (2.13, CPU)."""
    ours, theirs = layers(9, 4, mode=mode, scale_grad_by_freq=True, padding_idx=3)
    ids = torch.randint(0, 9, (5, 20), generator=torch.Generator().manual_seed(0)).where(torch.arange(20) != 4, 5)
    ids[ids == 3] = 4
    rows = nn.functional.embedding(ids, theirs.weight, scale_grad_by_freq=True)
    getattr(rows, mode)(1).backward(whole(5, 4, seed=1))
    torch.testing.assert_close(table_grad(ours, ids), theirs.weight.grad)


def given_slots(kind, dtype=F64):
    """Ids of 2-D, flat or masked bags, with offsets, a mask and weights for them."""
    ids = torch.tensor([[1, 2, 2, 4], [0, 6, 1, 8], [2, 2, 2, 2]])
    mask = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 1], [0, 0, 0, 0]])
    weights = torch.rand(3, 4, dtype=dtype, generator=torch.Generator().manual_seed(1)) + 0.1
    if kind == "flat":
        return ids.reshape(-1), torch.tensor([0, 3, 3, 8, 12]), None, weights.reshape(-1)
    return ids, None, (mask if kind == "masked" else None), weights


@pytest.mark.parametrize("kind", ["rows", "flat", "masked"])
@pytest.mark.parametrize("mode", POOL_MODES)
def test_function_is_the_public_one(kind, mode):
    """Bags and gradients have the bits of NumPy's, for all modes and options."""
    ids, offsets, mask, weights = given_slots(kind, torch.float32)
    table, as_numpy = torch.randn(9, 4, requires_grad=True), lambda one: None if one is None else one.numpy()
    given_weights = (None, weights.requires_grad_()) if mode in ("sum", "mean") else (None,)
    for padding, normalize, by_count, w in itertools.product((None, 2), (False, True), (False, True), given_weights):
        options = {"mode": mode, "padding_idx": padding, "normalize": normalize}
        asked = {"mask": mask, "weights": w, "scale_grad_by_freq": by_count, **options}
        found, leaves = ft.embedding_bag(table, ids, offsets, **asked), [table] if w is None else [table, w]
        grad = torch.randn(found.shape)
        grads = torch.autograd.grad(found, leaves, grad)
        slots = table.detach().numpy(), ids.numpy(), as_numpy(offsets)
        options |= {"mask": as_numpy(mask), "weights": as_numpy(None if w is None else w.detach())}
        assert np.array_equal(found.detach().numpy(), fastemb.embedding_bag(*slots, **options))
        expected = fastemb.embedding_bag_backward(grad.numpy(), *slots, scale_grad_by_freq=by_count, **options)
        dense = np.zeros((9, 4), np.float32)
        dense[expected.table.ids] = expected.table.rows
        assert np.array_equal(grads[0].numpy(), dense)
        assert w is None or np.array_equal(grads[1].numpy(), expected.weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", THEIRS)
def test_16_bits_are_rounded_once(dtype, mode):
    table = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    wide = table.detach().double().requires_grad_()
    ids = torch.randint(0, 50, (20, 40), generator=torch.Generator().manual_seed(1))
    found, exact = (ft.embedding_bag(one, ids, mode=mode) for one in (table, wide))
    grad = torch.randn(20, 16, generator=torch.Generator().manual_seed(2)).to(dtype)
    found.backward(grad)
    exact.backward(grad.double())
    for one, other in ((found, exact), (table.grad, wide.grad)):
        error = (one.detach().double() - other.detach()).abs()
        # Half a unit of the result's own, and what float32 sums of up to 40 numbers are off by.
        assert (error <= torch.finfo(dtype).eps / 2 * other.detach().abs() + 1e-5).all()


def test_sparse_rows_are_unique_and_ascend():
    for mode in POOL_MODES:
        ours = ft.EmbeddingBag(9, 4, mode=mode, sparse=True)
        bags = ours(*given_slots("flat")[:1], torch.tensor([0, 3, 3, 8]))
        (grad,) = torch.autograd.grad(bags, ours.weight, torch.ones_like(bags))
        assert grad.is_coalesced()
        assert (grad.indices().diff() > 0).all()
        torch.sparse_coo_tensor(grad.indices(), grad.values(), grad.shape, check_invariants=True)


def test_ragged_and_nested_ids():
    lists = [[3, 1], [], [8, 8, 0]]
    ours = ft.EmbeddingBag(9, 4, mode="sum")
    expected = torch.stack([ours.weight[one].sum(0) for one in lists])
    nested = torch.nested.nested_tensor([torch.tensor(one, dtype=torch.long) for one in lists], **jagged)
    assert torch.equal(ours(nested), expected)
    assert torch.equal(ft.embedding_bag(ours.weight, nested, mode="sum"), expected)
    assert torch.equal(ft.embedding_bag(ours.weight, fastemb.Ragged.from_lists(lists), mode="sum"), expected)
    weights = torch.nested.nested_tensor([torch.full((len(one),), 2.0) for one in lists], **jagged)
    assert torch.equal(ours(nested, per_sample_weights=weights), 2 * expected)
    for call in (lambda: ours(nested, torch.tensor([0])), lambda: ft.embedding_bag(ours.weight, nested, [0, 5])):
        with pytest.raises(ValueError, match="brings its own offsets"):
            call()
    fewer = torch.nested.nested_tensor([torch.ones(2)], **jagged)
    with pytest.raises(ValueError, match="ids are 3 nested rows and weights 1"):
        ours(nested, per_sample_weights=fewer)


# Derivatives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rows", "flat", "masked"])
@pytest.mark.parametrize("mode", POOL_MODES)
def test_derivatives(kind, mode):
    ids, offsets, mask, weights = given_slots(kind)
    table = torch.randn(9, 2, dtype=F64, requires_grad=True, generator=torch.Generator().manual_seed(5))
    for given_weights in (None, weights.requires_grad_()) if mode in ("sum", "mean") else (None,):
        for normalize in (False, True):

            def bags(table, weights, normalize=normalize):
                return ft.embedding_bag(table, ids, offsets, mask=mask, mode=mode, weights=weights, normalize=normalize)

            assert torch.autograd.gradcheck(bags, (table, given_weights), fast_mode=True)
            assert torch.autograd.gradcheck(bags, (table, given_weights), check_batched_grad=True)
            assert torch.autograd.gradgradcheck(bags, (table, given_weights), fast_mode=True)


@pytest.mark.parametrize("kind", ["rows", "flat", "masked"])
@pytest.mark.parametrize("mode", POOL_MODES)
def test_parts_are_the_same_bags(kind, mode):
    """What transforms and gradients of gradients are made by gives the values and the gradients of the kernels."""
    ids, offsets, mask, weights = given_slots(kind)
    table = torch.randn(9, 3, dtype=F64, requires_grad=True)
    with torch.no_grad():
        table[4] = table[1]  # maxima have ties
    counts = (False,) if kind == "masked" or mode in ("cls", "last") else (False, True)
    for padding, by_count in itertools.product((None, 2), counts):
        for x in (None, weights.requires_grad_()) if mode in ("sum", "mean") else (None,):
            options = {"mask": mask, "weights": x, "padding_idx": padding, "scale_grad_by_freq": by_count}

            def bags(table, options=options):
                return ft.embedding_bag(table, ids, offsets, mode=mode, **options)

            found = bags(table)
            value, back = func.vjp(bags, table.detach())
            torch.testing.assert_close(value, found)
            grad = torch.randn_like(found)
            torch.testing.assert_close(back(grad)[0], torch.autograd.grad(found, table, grad)[0])
            (again,) = torch.autograd.grad(bags(table), table, grad, create_graph=True)
            torch.testing.assert_close(again, back(grad)[0])


def test_nan_and_infinity_in_maxima():
    table = torch.tensor([[1.0, torch.nan], [torch.nan, torch.inf], [-torch.inf, -torch.inf]], requires_grad=True)
    bags = lambda table: ft.embedding_bag(table, [[0, 1], [2, 2], [1, 0]], mode="max")  # noqa: E731
    value, back = func.vjp(bags, table.detach())
    found = bags(table)
    assert torch.equal(value.isnan(), found.isnan())
    assert torch.equal(value.nan_to_num(7), found.detach().nan_to_num(7))
    (grad,) = torch.autograd.grad(found, table, torch.ones(3, 2))
    assert torch.equal(grad, back(torch.ones(3, 2))[0])


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # of torch's own layer
@pytest.mark.parametrize("mode", THEIRS)
def test_gradients_of_each_sample(mode):
    ours, theirs = layers(9, 4, mode=mode, padding_idx=1)
    batch, found = torch.randint(0, 9, (5, 1, 6)), []
    for layer in (ours, theirs):

        def loss(parameters, ids, layer=layer):
            return (func.functional_call(layer, parameters, (ids,)) ** 2).sum()

        found.append(func.vmap(func.grad(loss), in_dims=(None, 0))(dict(layer.named_parameters()), batch)["weight"])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("mode", POOL_MODES)
def test_transforms(mode):
    """Of tables, ids and offsets in batches, each as its own call gives it; jacrev as one backward after another."""
    tables, ids = torch.randn(3, 9, 4), torch.randint(0, 9, (3, 6))
    offsets = torch.tensor([[0, 2, 6], [0, 0, 6], [0, 6, 6]])
    bags = lambda table, ids, offsets: ft.embedding_bag(table, ids, offsets, mode=mode)  # noqa: E731
    for in_dims in ((0, 0, 0), (None, 0, 0), (0, None, None), (None, None, 0)):
        given = [one if dim == 0 else one[0] for one, dim in zip((tables, ids, offsets), in_dims, strict=True)]
        found = func.vmap(bags, in_dims=in_dims)(*given)
        for k, one in enumerate(found):
            alone = [all_[k] if dim == 0 else all_ for all_, dim in zip(given, in_dims, strict=True)]
            torch.testing.assert_close(one, bags(*alone))
    table = tables[0].clone().requires_grad_()
    jacobian = func.jacrev(bags)(tables[0], ids[0], offsets[0])
    value = bags(table, ids[0], offsets[0])
    for s, d in np.ndindex(*value.shape):
        (one,) = torch.autograd.grad(value[s, d], table, retain_graph=True)
        torch.testing.assert_close(jacobian[s, d], one)


def test_what_has_no_second_gradient_is_said():
    table = torch.randn(5, 2, requires_grad=True)
    bags = ft.embedding_bag(table, [[0, 1]], mode="last", scale_grad_by_freq=True)
    with pytest.raises(NotImplementedError, match="scale_grad_by_freq in mode 'last' has no gradient of a gradient"):
        torch.autograd.grad(bags.sum(), table, create_graph=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # which torch calls itself
def test_forward_mode_is_refused():
    table = torch.randn(5, 2)
    with pytest.raises(NotImplementedError, match="forward-mode"):
        func.jvp(lambda table: ft.embedding_bag(table, [[0, 1]]), (table,), (table,))


# What torch does around it -----------------------------------------------------------------------------------------


def test_the_layer_is_torchs_layer():
    ours, theirs = layers(10, 3, mode="sum", padding_idx=-1, max_norm=1.0, scale_grad_by_freq=True)
    assert isinstance(ours, nn.EmbeddingBag)
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict(ours.state_dict())
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(twin) is ft.EmbeddingBag
        assert torch.equal(twin.weight, ours.weight)
    ids = torch.tensor([[1, 5], [5, 9]])
    found = [table_grad(layer, ids) for layer in (ours, theirs)]
    assert torch.equal(ours.weight, theirs.weight)  # scaled down, both
    torch.testing.assert_close(*found)
    assert ft.EmbeddingBag.from_pretrained(whole(4, 2), mode="mean_max")(ids % 4).shape == (2, 4)


def test_weights_are_trained_alone_and_with_the_table():
    weights = torch.rand(2, 3, requires_grad=True)
    for table in (torch.randn(5, 4), torch.randn(5, 4, requires_grad=True)):
        weights.grad = None
        ids = torch.tensor([[1, 2, 2], [4, 0, 1]])
        ft.embedding_bag(table, ids, mode="sum", weights=weights).sum().backward()
        torch.testing.assert_close(weights.grad, table.detach()[ids].sum(-1))
        assert (table.grad is None) is not table.requires_grad


def test_the_table_may_change_before_a_gradient_that_does_not_read_it():
    table = torch.randn(5, 4, requires_grad=True)
    for mode in ("mean", "max"):
        bags = ft.embedding_bag(table, [[1, 2]], mode=mode)
        with torch.no_grad():
            table.add_(1)
        if mode == "mean":
            bags.sum().backward()
            assert table.grad[:, 0].tolist() == [0, 0.5, 0.5, 0, 0]
        else:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                bags.sum().backward()


def test_the_table_may_change_where_weights_of_ids_are_constants():
    """They are saved, the table is not: its values are only in the gradient of the weights."""
    table, ids, weights = torch.randn(5, 4, requires_grad=True), torch.tensor([[1, 2]]), torch.tensor([[2.0, 3.0]])
    for trained in (False, True):
        bags = ft.embedding_bag(table, ids, mode="sum", weights=weights.clone().requires_grad_(trained))
        with torch.no_grad():
            table.add_(1)
        if trained:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                bags.sum().backward()
        else:
            bags.sum().backward()
            assert table.grad[:, 0].tolist() == [0, 2, 3, 0, 0]


@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}, {"padding_idx": -1, "sparse": True}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mode", THEIRS)
def test_a_layer_with_max_norm_serves_twice_before_the_gradient(mode, weighted, options):
    """As torch's: the second call scales rows of the same table, of which the first has no need."""
    ours, theirs = layers(9, 3, mode=mode, max_norm=2.0, **options)
    theirs.sparse = False  # which torch refuses of maxima
    batches = torch.tensor([[1, 5, 5], [2, 1, 8]]), torch.tensor([[0, 1, 2], [4, 7, 6]])
    more = (None, torch.tensor([[1.0, 2.0, 4.0], [1.0, 0.5, 3.0]])) if weighted and mode == "sum" else ()
    for layer in (ours, theirs):
        sum(layer(batch, *more).square().sum() for batch in batches).backward()
    assert ours.weight.grad.is_sparse is ours.sparse
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.weight.grad.to_dense(), theirs.weight.grad.to_dense())


def test_rows_of_a_batch_alone_are_the_same_bags():
    """What a layer with max_norm does for maxima: no bit and no gradient depends on it."""
    ids, offsets = torch.tensor([3, 1, 3, 0, 7, 3], dtype=torch.int32), torch.tensor([0, 0, 4])
    for mode, counts, padding in itertools.product(("max", "mean_max"), (False, True), (None, 3, 5)):
        options = {"freeze": False, "mode": mode, "scale_grad_by_freq": counts, "padding_idx": padding}
        plain = ft.EmbeddingBag.from_pretrained(whole(9, 4), **options)
        scaled = ft.EmbeddingBag.from_pretrained(whole(9, 4), max_norm=1e6, **options)
        assert torch.equal(plain(ids, offsets), scaled(ids, offsets))
        assert torch.equal(table_grad(plain, ids, offsets), table_grad(scaled, ids, offsets))
        for shape in ((2, 0), (0, 3)):
            assert torch.equal(plain(ids.new_empty(shape)), scaled(ids.new_empty(shape)))


# Refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 5])
def test_bad_ids(bad):
    ours = ft.EmbeddingBag(5, 4)
    ids = torch.tensor([[0, 1], [4, bad]])
    for call in (ours, func.vmap(lambda ids: ours(ids[None]))):
        with pytest.raises(IndexError, match=f"id {bad} at position"):
            call(ids)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "table must have dtype float64, .* got int32", lambda t: ft.embedding_bag(t.detach().int(), [[0]])),
        (TypeError, "input must be a torch tensor, got list", lambda t: ft.EmbeddingBag(5, 4)([[0]])),
        (TypeError, "offsets must be a torch tensor, got list",
         lambda t: ft.EmbeddingBag(5, 4)(torch.tensor([0]), [0])),
        (TypeError, "table must be a torch tensor, got list", lambda t: ft.embedding_bag([[0.0]], [[0]])),
        (TypeError, "ids must have an integer dtype", lambda t: ft.embedding_bag(t, torch.zeros(1, 2))),
        (TypeError, "offsets", lambda t: ft.embedding_bag(t, [0], torch.tensor([0.0, 1.0]))),
        (TypeError, "mask", lambda t: ft.embedding_bag(t, [[0]], mask=torch.tensor([[0.0]]))),
        (TypeError, "one device, got cpu and meta",
         lambda t: ft.embedding_bag(t, torch.zeros(1, 2, dtype=int, device="meta"))),
        (ValueError, "mode must be one of 'sum'", lambda t: ft.embedding_bag(t, [[0]], mode="median")),
        (ValueError, "mode must be one of 'sum'", lambda t: func.grad(
            lambda t: ft.embedding_bag(t, [[0]], mode="median").sum())(t.detach())),
        (ValueError, "weights go with mode 'sum' or 'mean', got mode 'max'",
         lambda t: ft.embedding_bag(t, [[0]], mode="max", weights=[[1.0]])),
        (ValueError, r"weights must have shape \(1, 2\)", lambda t: ft.embedding_bag(t, [[0, 1]], weights=[[1.0]])),
        (ValueError, "1-D ids need offsets", lambda t: ft.EmbeddingBag(5, 4)(torch.tensor([0]))),
        (ValueError, "offsets go with 1-D ids",
         lambda t: ft.EmbeddingBag(5, 4)(torch.tensor([[0]]), torch.tensor([0]))),
        (ValueError, r"offsets must not descend, got offsets\[1\] = 2 and offsets\[2\] = 1",
         lambda t: ft.EmbeddingBag(5, 4)(torch.tensor([0, 1]), torch.tensor([0, 2, 1]))),
        (ValueError, r"offsets must start at 0, got offsets\[0\] = 1",
         lambda t: ft.EmbeddingBag(5, 4)(torch.tensor([0, 1]), torch.tensor([1]))),
        (ValueError, r"offsets must not be larger than 2, the number of ids, got offsets\[1\] = 7",
         lambda t: ft.EmbeddingBag(5, 4)(torch.tensor([0, 1]), torch.tensor([0, 7]))),
        (ValueError, "offsets must have an entry for each bag, the first of which is 0, got none for 2 ids",
         lambda t: ft.EmbeddingBag(5, 4)(torch.tensor([0, 1]), torch.tensor([], dtype=torch.int64))),
        (ValueError, "padding_idx must be a row of the table, from -5 to 4, got 7",
         lambda t: ft.embedding_bag(t, [[0]], padding_idx=7)),
        (ValueError, r"grad must have the shape of the result, \(1, 4\), got \(2, 4\)",
         lambda t: torch.ops.fastemb.embedding_bag_backward(
             whole(2, 4), t.detach(), torch.tensor([[0]]), None, None, None, "sum", None, False, False, False)),
    ],
)  # fmt: skip
def test_refusals(error, words, call):
    with pytest.raises(error, match=words):
        call(whole(5, 4).requires_grad_())


@pytest.mark.parametrize(
    ("error", "words", "ids", "options"),
    [
        (TypeError, "ids must have an integer dtype", torch.zeros(1, 2), {}),
        (TypeError, "offsets must have an integer dtype, got torch.float32", [0, 1], {"offsets": [0.0, 2.0]}),
        (TypeError, "mask must have an integer dtype, got torch.float32", [[0, 1]], {"mask": [[1.0, 0.0]]}),
        (ValueError, "mode must be one of 'sum'", [[0]], {"mode": "median"}),
        (ValueError, "weights go with mode 'sum' or 'mean'", [[0]], {"mode": "max", "weights": [[1.0]]}),
        (ValueError, r"weights must have shape \(1, 2\)", [[0, 1]], {"weights": [[1.0]]}),
        (ValueError, r"mask must have shape \(1, 2\)", [[0, 1]], {"mask": [[1]]}),
        (ValueError, "1-D ids need offsets", [0], {}),
        (IndexError, "id 5 at position", [[0, 5]], {}),
        (NotImplementedError, "scale_grad_by_freq with a mask", [[0]], {"mask": [[1]], "scale_grad_by_freq": True}),
    ],
)
def test_refusals_inside_of_transforms(error, words, ids, options):
    options = {name: torch.tensor(value) if isinstance(value, list) else value for name, value in options.items()}
    ids = torch.as_tensor(ids)
    with pytest.raises(error, match=words):
        func.grad(lambda table: ft.embedding_bag(table, ids, **options).sum())(whole(5, 4))
    with pytest.raises(TypeError, match=r"table must have a float dtype, got torch\.int64"):
        func.vmap(lambda table: ft.embedding_bag(table, [[0]]))(torch.zeros(2, 5, 4, dtype=torch.int64))
