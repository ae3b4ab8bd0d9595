"""Tensors of torch: NumPy's numbers to the bit, without a copy; one sentence for what cannot be."""

import subprocess
import sys
import warnings

import ml_dtypes
import numpy as np
import pytest
from arrays import BF16, DTYPES, by_eight_callers, same_bits
from framework_cases import CALLS, FLAT, GRAD, IDS, MASK, OFFSETS, POSITIONS, TABLE, D, V, X, check, forwarding

import fastemb
from fastemb import Ragged, _frameworks, _memory

torch = pytest.importorskip("torch", reason="the package torch is not installed")

EMPTY = torch.zeros(0, dtype=torch.int64)
LARGE = np.random.default_rng(3).standard_normal((6000, 64), np.float32)  # results of 1.5 MiB


def tensor(array):
    if array.dtype == BF16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def back(array):
    assert array.device.type == "cpu"
    if array.dtype == torch.bfloat16:
        return array.contiguous().view(torch.int16).numpy().view(BF16)
    return array.numpy()


def jagged(*rows):
    return torch.nested.nested_tensor([torch.tensor(row) if row else EMPTY for row in rows], layout=torch.jagged)


def same(a, b):
    return a.dtype == b.dtype and torch.equal(a, b)


# The same numbers -------------------------------------------------------------------------------------------------


def test_every_public_function_is_held():
    without_arrays = {"prefetch"}  # its result is a number
    held = {name.partition(",")[0] for name in CALLS} | {"QuantizedTable.dequantize"}
    assert held | without_arrays == forwarding()
    assert fastemb.prefetch(torch.ones(4, 2), torch.tensor([3, 1])) == 0  # in memory already


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", DTYPES)
def test_numpys_numbers_in_tensors(name, kind):
    expected = CALLS[name](lambda array: array.astype(kind), np.asarray)
    for ids in (tensor, np.asarray, np.ndarray.tolist):
        if name == "row_grad" and ids is np.ndarray.tolist:
            continue
        check(CALLS[name](lambda array: tensor(array.astype(kind)), ids), expected, torch.Tensor, back)


@pytest.mark.parametrize("name", CALLS)
def test_large_grain_and_the_general_road(name, small_grain):
    check(CALLS[name](tensor, tensor), CALLS[name](np.asarray, np.asarray), torch.Tensor, back)


@pytest.mark.parametrize("name", CALLS)
def test_numpys_tables_take_ids_of_torch(name):
    check(CALLS[name](np.asarray, tensor), CALLS[name](np.asarray, np.asarray), np.ndarray, np.asarray)


LAYOUTS = {
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "every other": lambda t: torch.stack([t, t], 1).flatten(0, 1)[::2],
    "columns cut": lambda t: torch.nn.functional.pad(t, (1, 2))[..., 1:-2],
    "strided": lambda t: torch.stack([t, t], -1)[..., 0],
    "Parameter": lambda t: torch.nn.Parameter(t, requires_grad=False),
    "subclass": lambda t: t.as_subclass(type("Mine", (torch.Tensor,), {})),
    "inference": lambda t: inference_copy(t),
}


def inference_copy(t):
    with torch.inference_mode():
        return t.clone()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CALLS)
def test_layouts(name, layout):
    make = lambda array: LAYOUTS[layout](tensor(array))  # noqa: E731
    check(CALLS[name](make, tensor), CALLS[name](np.asarray, np.asarray), torch.Tensor, back)


def test_negative_and_conjugate_marks_are_read_right():
    """DLPack and addresses would give the wrong signs, silently."""
    z = torch.complex(tensor(TABLE), tensor(TABLE) + 1)
    minus = z.conj().imag
    assert minus.is_neg()
    assert same(fastemb.gather(minus, IDS), torch.nn.functional.embedding(tensor(IDS), minus.resolve_neg()))
    assert same(fastemb.gather(z.conj(), FLAT), z.conj().resolve_conj()[FLAT])
    before = z.clone()
    with pytest.raises(ValueError, match="out is a torch tensor whose sign is not the one in memory"):
        fastemb.gather(tensor(TABLE), FLAT, out=torch.zeros(15, D, dtype=torch.complex64).conj().imag)
    with pytest.raises(ValueError, match="target is a torch tensor whose sign"):
        fastemb.scatter_add(minus, IDS, tensor(X))
    assert torch.equal(z, before)


@pytest.mark.parametrize("name", ["bool", "int8", "int64", "uint16", "complex64", "float8_e4m3fn", "float8_e5m2"])
def test_gather_moves_any_dtype(name):
    table = tensor(np.abs(TABLE)).to(getattr(torch, name))
    found = fastemb.gather(table, IDS)
    assert found.dtype == table.dtype
    assert torch.equal(found.view(torch.uint8), table[torch.from_numpy(IDS)].view(torch.uint8))


def test_shapes_without_numbers():
    assert fastemb.gather(torch.zeros(3, 0), [1]).shape == (1, 0)
    assert fastemb.gather(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)).shape == (0, 4)
    assert fastemb.gather(torch.arange(4.0), 2).shape == ()
    assert fastemb.gather(torch.zeros(3, 2, dtype=torch.bfloat16), torch.tensor(1)).shape == (2,)
    assert fastemb.pool(torch.zeros(2, 0, 3)).tolist() == [[0, 0, 0]] * 2


# Memory -----------------------------------------------------------------------------------------------------------


def test_results_and_outs_are_no_copies(monkeypatch, general_road):
    """By pointers: what kernels read and write is the tensors' own memory."""
    seen = []
    room = fastemb.lookup._devices.HERE["lookup"]
    way = room.gather
    monkeypatch.setattr(room, "gather", lambda *given: seen.append(given) or way(*given))
    table, ids, out = tensor(TABLE), tensor(IDS), torch.zeros(3, 5, D)
    assert fastemb.gather(table, ids, out=out) is out
    given_table, given_ids, _, target = seen[0]
    assert [given_table.ctypes.data, given_ids.ctypes.data, target.ctypes.data] == [
        table.data_ptr(), ids.data_ptr(), out.data_ptr()
    ]  # fmt: skip
    assert same(out, table[ids])
    for dtype in (torch.bfloat16, torch.float16):
        halves = table.to(dtype)
        fastemb.gather(halves.t().contiguous().t(), ids, mode="clip")
        fastemb.gather(halves, ids, mode="clip")
        assert seen[-1][0].ctypes.data == halves.data_ptr()


def test_results_share_the_pools_memory(monkeypatch):
    """A block outlives the tensor it was made for: views, transposes and saved tensors hold it, and then it is free."""
    pool = _memory.Pool(64 << 20)
    monkeypatch.setattr(_memory, "_pool", pool)
    table, ids = tensor(LARGE), torch.arange(6000)
    first = fastemb.gather(table, ids)
    at, view = first.data_ptr(), first.t()[1:]
    assert at % 64 == 0
    del first
    second = fastemb.gather(table, ids)
    assert second.data_ptr() != at
    assert torch.equal(view, table.t()[1:])
    del view
    third = fastemb.gather(table, ids)
    assert third.data_ptr() == at
    weight = torch.ones(64, requires_grad=True)
    loss = (third * weight).sum()  # saves the result for its backward
    del third
    assert fastemb.gather(table, ids).data_ptr() != at
    loss.backward()
    assert torch.allclose(weight.grad, table.sum(0), atol=1e-3)
    del loss
    assert at in {fastemb.gather(table, ids).data_ptr() for _ in range(1)} | {fastemb.gather(table, ids).data_ptr()}
    half = fastemb.gather(table.bfloat16().repeat(1, 2), ids)
    assert half.data_ptr() % 64 == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda f, out: fastemb.gather(f(TABLE), FLAT[:3], out=out),
        lambda f, out: fastemb.embed(f(TABLE), FLAT[:3], out=out),
        lambda f, out: fastemb.embedding_bag(f(TABLE), IDS, out=out),
        lambda f, out: fastemb.pool(f(X), out=out),
        lambda f, out: fastemb.normalize(f(GRAD), out=out),
        lambda f, out: fastemb.rope(f(GRAD), out=out),
    ],
)
def test_out_is_returned_itself(call):
    out, expected = torch.zeros(3, D), np.zeros((3, D), np.float32)
    version = out._version
    assert call(tensor, out) is out
    call(np.asarray, expected)
    assert same_bits(out.numpy(), expected)
    assert out._version > version


def test_scatter_add_writes_into_the_tensor():
    for target in (tensor(TABLE.copy()), torch.nn.Parameter(tensor(TABLE.copy())), tensor(TABLE).bfloat16()):
        expected = fastemb.scatter_add(back(target.detach().clone()), FLAT, X.reshape(15, D))
        with torch.no_grad():
            at = target.data_ptr()
            assert fastemb.scatter_add(target, FLAT, tensor(X.reshape(15, D))) is target
            assert target.data_ptr() == at
        assert same_bits(back(target.detach()), expected)


def test_autograd_knows_of_what_was_written():
    """A graph that saved the target says that it was changed; else its gradients would be wrong, silently."""
    table, weight = tensor(TABLE.copy()), torch.ones(D, requires_grad=True)
    loss = (table * weight).sum()
    fastemb.scatter_add(table, FLAT, tensor(X.reshape(15, D)))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_ids_in_rows_of_different_lengths():
    rows = [[3, 1, 4], [1], [], [5, 9]]
    ragged, nested, table = Ragged.from_lists(rows), jagged(*rows), tensor(TABLE)
    for ids in (ragged, nested):
        assert same_bits(fastemb.embedding_bag(table, ids).numpy(), fastemb.embedding_bag(TABLE, ragged))
        expected = fastemb.embed(TABLE, ragged, positions=POSITIONS)
        assert same_bits(fastemb.embed(table, ids, positions=tensor(POSITIONS)).numpy(), expected)
        assert same_bits(fastemb.embed(TABLE, ids, positions=POSITIONS), expected)
        found = fastemb.row_grad(ids, tensor(X.reshape(15, D)[:6]))
        assert same_bits(found.rows.numpy(), fastemb.row_grad(ragged, X.reshape(15, D)[:6]).rows)
        assert fastemb.scatter_add(tensor(TABLE.copy()), ids, tensor(TABLE[:6])).shape == (V, D)
    holes = torch.nested.narrow(
        torch.arange(12).reshape(3, 4), 1, torch.tensor([0, 1, 2]), torch.tensor([2, 1, 2]), layout=torch.jagged
    )
    expected = fastemb.embedding_bag(TABLE, Ragged.from_lists([[0, 1], [5], [10, 11]]))
    assert same_bits(fastemb.embedding_bag(table, holes).numpy(), expected)
    with pytest.raises(ValueError, match="a Ragged brings its own offsets"):
        fastemb.embedding_bag(table, nested, OFFSETS)
    with pytest.raises(TypeError, match="gather takes ids of one shape"):
        fastemb.gather(table, nested)


def test_a_ragged_is_made_of_tensors():
    ids = torch.tensor([5, 6, 7], dtype=torch.int32)
    ragged = Ragged(ids, torch.tensor([0, 2, 3]))
    assert ragged.ids.ctypes.data == ids.data_ptr()
    assert [row.tolist() for row in ragged] == [[5, 6], [7]]


def test_eight_callers():
    jobs = [(tensor(LARGE), tensor(np.random.default_rng(k).integers(0, 6000, 3000))) for k in range(16)]
    for (table, ids), found in zip(jobs, by_eight_callers(fastemb.gather, jobs), strict=True):
        assert same(found, table[ids])


# What cannot be ---------------------------------------------------------------------------------------------------


def test_a_tensor_that_requires_grad():
    weight = torch.nn.Parameter(tensor(TABLE))
    for kind in (torch.float32, torch.bfloat16):
        leaf = weight.detach().to(kind).requires_grad_()
        with pytest.raises(TypeError, match=r"^table is a tensor that requires grad.*table\.detach\(\).*no_grad"):
            fastemb.gather(leaf, IDS)
        for mode in (torch.no_grad(), torch.inference_mode()):
            with mode:
                found = fastemb.gather(leaf, IDS)
            assert not found.requires_grad
        assert same(fastemb.gather(leaf.detach(), IDS), found.clone())
    with pytest.raises(TypeError, match=r"^norm\.weight is a tensor that requires grad.*norm\.weight\.detach"):
        fastemb.embed(tensor(TABLE), IDS, norm=fastemb.RMSNorm(torch.nn.Parameter(torch.ones(D))))
    out = torch.zeros(15, D, requires_grad=True)
    with pytest.raises(TypeError, match=r"^out is a tensor that requires grad"):
        fastemb.gather(tensor(TABLE), FLAT, out=out)
    assert not out.any()


def fake():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return torch.empty(V, D)


def masked():
    from torch.masked import masked_tensor

    return masked_tensor(tensor(TABLE), tensor(TABLE) > 0)


@pytest.mark.filterwarnings("ignore")  # prototypes, some of these are
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.empty(V, D, device="meta"), "table is a torch tensor on meta, which has no values"),
        (fake, "table is a FakeTensor of torch, which has no plain memory"),
        (masked, "table is a MaskedTensor of torch"),
        (lambda: tensor(TABLE).to_sparse(), r"of layout sparse_coo; give table\.to_dense\(\)"),
        (lambda: tensor(TABLE).to_sparse_csr(), "of layout sparse_csr"),
        (lambda: tensor(TABLE).to_mkldnn(), "of layout _mkldnn"),
        (lambda: torch.nested.nested_tensor([torch.ones(2, D), torch.ones(1, D)]), "nested tensor of layout strided"),
        (lambda: jagged([1.0], [2.0, 3.0]), "table is a nested tensor of layout jagged; only as ids"),
        (lambda: tensor(TABLE).to(torch.complex32), "of complex32 that NumPy cannot see"),
        (lambda: torch._efficientzerotensor((V, D)), "table is a torch tensor"),
    ],
)
def test_tensors_without_plain_memory(make, words):
    table = make()
    with pytest.raises(TypeError, match=words):
        fastemb.gather(table, IDS)


def test_nested_ids_of_other_layouts():
    out = torch.full((2, D), 7.0)
    with pytest.raises(TypeError, match=r"ids is a nested tensor of layout strided.*layout=torch\.jagged"):
        fastemb.embedding_bag(tensor(TABLE), strided_nested(), out=out)
    assert bool((out == 7).all())
    with pytest.raises(TypeError, match="grad is a nested tensor of layout jagged; only as ids"):
        fastemb.row_grad(jagged([1], [2]), jagged([1.0], [2.0]))
    packed = torch.nn.utils.rnn.pack_sequence([torch.tensor([1, 2]), torch.tensor([3])])  # a named tuple
    with pytest.raises(ValueError, match="ids must be rectangular"):
        fastemb.embedding_bag(tensor(TABLE), packed)
    deep = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)], layout=torch.jagged)
    with pytest.raises(TypeError, match="nested tensor of 3 axes"):
        fastemb.embedding_bag(tensor(TABLE), deep)


def strided_nested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a prototype, said once in a process
        return torch.nested.nested_tensor([torch.tensor([1, 2]), torch.tensor([3])])


def test_inside_transforms_and_fake_modes():
    for transform in (torch.func.vmap, torch.func.grad):
        with pytest.raises(TypeError, match=r"x is a .*(transform of torch.func|requires grad)"):
            transform(lambda x: fastemb.normalize(x).sum())(tensor(TABLE))
    from torch._subclasses.fake_tensor import FakeTensorMode

    table = tensor(TABLE)
    with FakeTensorMode(), pytest.raises(TypeError, match="table is a torch tensor"):
        fastemb.gather(table, IDS)


def test_a_fault_is_said_in_words_of_tensors_and_nothing_is_written():
    out = torch.full((15, D), 7.0)
    for error, words, call in (
        (IndexError, "id 50 at position 0 is out of range", lambda: fastemb.gather(tensor(TABLE), [V] * 15, out=out)),
        (TypeError, "out is an array of NumPy and table one of torch: arrays of one call must be of one framework",
         lambda: fastemb.gather(tensor(TABLE), FLAT, out=out.numpy())),
        (TypeError, "out must be a numpy.ndarray, as the table or x is, got torch.Tensor",
         lambda: fastemb.gather(TABLE, FLAT, out=out)),
        (TypeError, r"positions is an array of NumPy and table one of torch.*; give torch\.from_numpy\(positions\)$",
         lambda: fastemb.embed(tensor(TABLE), FLAT, positions=POSITIONS, out=out)),
        (TypeError, "positions must be a numpy.ndarray, as the array that decides is, got torch.Tensor",
         lambda: fastemb.embed(TABLE, FLAT, positions=tensor(POSITIONS))),
        (TypeError, r"norm\.weight is an array of NumPy and table one of torch",
         lambda: fastemb.embed(tensor(TABLE), FLAT, norm=fastemb.RMSNorm(TABLE[0]), out=out)),
        (TypeError, "ids is a torch tensor on meta",
         lambda: fastemb.gather(tensor(TABLE), torch.empty(15, device="meta"), out=out)),
        (TypeError, "ids must have an integer dtype, got dtype float32",
         lambda: fastemb.gather(tensor(TABLE), out[:, 0])),
        (ValueError, "out overlaps table in memory", lambda: fastemb.gather(out, FLAT[:3] % 15, out=out[:3])),
        (ValueError, "out overlaps itself", lambda: fastemb.gather(tensor(TABLE), FLAT, out=out[:1].expand(15, D))),
        (TypeError, "rows must be a numpy.ndarray", lambda: fastemb.scatter_add(TABLE.copy(), IDS, tensor(X))),
        (TypeError, "rows is an array of NumPy and target one of torch",
         lambda: fastemb.scatter_add(out, FLAT % 15, X.reshape(15, D))),
        (TypeError, "queries is an array of NumPy and vectors one of torch",
         lambda: fastemb.topk(TABLE[0], tensor(TABLE), 3)),
        (TypeError, "grad is an array of NumPy and table one of torch",
         lambda: fastemb.embedding_bag_backward(GRAD, tensor(TABLE), IDS)),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            call()
        assert bool((out == 7).all())


def test_arrays_of_two_other_frameworks():
    jnp = pytest.importorskip("jax.numpy", reason="the package jax is not installed")
    words = r"^positions is an array of JAX and .*; give torch\.from_numpy\(numpy\.asarray\(positions\)\)$"
    with pytest.raises(TypeError, match=words):
        fastemb.embed(tensor(TABLE), FLAT, positions=jnp.asarray(POSITIONS))


def test_numbers_may_be_tensors_where_numpys_may():
    assert fastemb.topk(tensor(TABLE[0]), tensor(TABLE), torch.tensor(3))[0].shape == (3,)
    assert fastemb.row_grad(FLAT, tensor(X.reshape(15, D)), padding_idx=torch.tensor(3)).rows.shape[1] == D
    with pytest.raises(TypeError, match=r"alpha must be a real number, got torch\.Tensor; give alpha\.item\(\)"):
        fastemb.scatter_add(tensor(TABLE.copy()), IDS, tensor(X), alpha=torch.tensor(2.0))


def test_bfloat16_needs_ml_dtypes():
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import torch, fastemb\n"
        "assert fastemb.gather(torch.ones(3, 2), [1]).dtype == torch.float32\n"
        "fastemb.gather(torch.ones(3, 2, dtype=torch.bfloat16), [1])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "TypeError: table is a torch tensor of bfloat16, for which NumPy needs the package ml_dtypes" in found.stderr
    assert ml_dtypes.bfloat16 is BF16


def test_torch_is_not_imported_for_the_caller():
    code = (
        "import sys, numpy, fastemb\n"
        "fastemb.gather(numpy.ones((3, 2), 'f4'), [1])\n"
        "print(sorted({'torch', 'jax', 'pyarrow', 'polars', 'fastemb._frameworks.torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_compiled_function_is_cut_at_ours():
    bag = torch.compiler.disable(fastemb.embedding_bag)
    compiled = torch.compile(lambda table, ids: bag(table * 2, ids) + 1, backend="eager")
    assert torch.equal(compiled(tensor(TABLE), tensor(IDS)), fastemb.embedding_bag(tensor(TABLE) * 2, IDS) + 1)


def test_other_things_of_torch_are_no_arrays():
    for thing in (torch.float32, torch.nn.Linear(2, 2), torch.Size([2]), torch.Generator()):
        assert _frameworks.of(thing) is None
    with pytest.raises(TypeError, match=r"table must be a numpy\.ndarray or an array of another framework, got torch"):
        fastemb.gather(torch.nn.Embedding(3, 2), [1])
    with pytest.raises(TypeError, match=r"got torch\S*Embedding; give table\.weight\.detach\(\)$"):
        fastemb.gather(torch.nn.Embedding(3, 2), [1])
    with pytest.raises(TypeError, match=r"got list; give torch\.stack\(table\)$"):
        fastemb.gather(list(tensor(TABLE)), [1])


@pytest.mark.parametrize("make", [torch.nn.LayerNorm, torch.nn.RMSNorm])
def test_a_layer_of_torch_is_no_norm_and_the_words_say_what_is(make):
    norm, table = make(D, eps=1e-4), tensor(TABLE)
    for given in (table, TABLE):
        with pytest.raises(
            TypeError, match=rf"^norm must be a fastemb.*, got torch\S*{make.__name__}; give "
        ) as caught:
            fastemb.embed(given, IDS, norm=norm)
    way = str(caught.value).partition("; give ")[2]
    found = fastemb.embed(table, IDS, norm=eval(way, {"fastemb": fastemb, "norm": norm}))
    assert torch.allclose(found, norm(table[torch.from_numpy(IDS)]), atol=1e-5)
    with pytest.raises(TypeError, match=r"give fastemb\.LayerNorm\(norm\.weight\.detach\(\), None, norm\.eps\)$"):
        fastemb.embed(table, IDS, norm=torch.nn.LayerNorm(D, bias=False))
    with pytest.raises(TypeError, match=r"give fastemb\.RMSNorm\(norm\.weight\.detach\(\), eps\)$"):
        fastemb.embed(table, IDS, norm=torch.nn.RMSNorm(D))
    with pytest.raises(TypeError, match=r"give LayerNorm\(weight, bias, eps\) or RMSNorm\(weight, eps\), of arrays"):
        fastemb.embed(table, IDS, norm=torch.nn.LayerNorm(D, elementwise_affine=False))


def test_tensors_where_only_numpys_arrays_are_taken(llama_file):
    codes, tokens = fastemb.quantize(TABLE), fastemb.Tokenizer.load(llama_file)
    with pytest.raises(
        TypeError, match=r"^scale must be .*, as which a QuantizedTable keeps it, got torch\.Tensor; give numpy"
    ):
        fastemb.QuantizedTable(codes.codes, tensor(codes.scale.copy()), codes.offset, codes.shape)
    with pytest.raises(
        TypeError, match=r"^table must be a numpy\.ndarray, got torch\.Tensor; give numpy\.asarray\(table\)$"
    ):
        fastemb.StaticModel(tokens, torch.ones(tokens.vocab_size, 2))
    with pytest.raises(TypeError, match=r"^text must be a str or bytes, got torch\.Tensor"):
        tokens.encode(torch.ones(3))
    with pytest.raises(TypeError, match=r"^texts must be str or bytes, got Tensor at position 0"):
        tokens.encode_batch(torch.ones(3))


def test_a_tokenizer_decodes_ids_in_tensors(llama_file):
    tokens = fastemb.Tokenizer.load(llama_file)
    rows = tokens.encode_batch(["one two", "", "three"])
    ids = torch.from_numpy(rows[0].copy())
    assert tokens.decode(ids) == "one two"
    assert tokens.decode_batch([ids, torch.from_numpy(rows[2].copy())]) == ["one two", "three"]
    assert tokens.decode_batch(jagged(*rows.tolist())) == ["one two", "", "three"]
    with pytest.raises(TypeError, match=r"^ids is a torch tensor on meta"):
        tokens.decode(torch.empty(3, dtype=torch.int64, device="meta"))
    with pytest.raises(TypeError, match=r"^ids is a tensor that requires grad"):
        tokens.decode(torch.ones(3, requires_grad=True))


def test_quantized_tables_are_numpys():
    codes = fastemb.quantize(tensor(TABLE))
    assert type(codes.codes) is np.ndarray
    assert same_bits(fastemb.embedding_bag(codes, tensor(IDS)), fastemb.embedding_bag(codes, IDS))
    assert same_bits(fastemb.embedding_bag(codes, IDS, mask=tensor(MASK)), fastemb.embedding_bag(codes, IDS, mask=MASK))
