"""Arrays on a GPU, without one: what a room is told of each framework's, who makes memory, and what is refused.

The arrays say that they lie on a GPU and lie in the CPU's memory, and the room works there (`fakes`): so a call of the
public functions goes the whole way, and its numbers show that addresses, strides and dtypes were right.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from arrays import BF16, same_bits
from fakes import (
    STREAMS,
    CuPyArray,
    InterfaceArray,
    JaxArray,
    NumbaArray,
    flat,
    kind_of,
    numbers,
    torch_on_gpus,
    view,
)
from framework_cases import (
    CALLS,
    FLAT,
    GRAD,
    IDS,
    LENGTHS,
    MASK,
    OFFSETS,
    POSITIONS,
    PURE,
    QUERIES,
    TABLE,
    WEIGHTS,
    D,
    X,
)
from framework_cases import types_of as types_of_tuples

import fastemb
from fastemb import LayerNorm, RMSNorm, _devices, _frameworks
from fastemb._frameworks import DeviceArray

pytestmark = pytest.mark.usefixtures("libraries")


# What a room is told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", BF16, "i4", "i8", "u1", "?", "c8"])
def test_address_strides_and_dtype(make, dtype):
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    found = view(make(array, 1))
    assert type(found) is DeviceArray
    assert (found.device, found.ordinal, found.place) == ("cuda", 1, "cuda:1")
    assert same_bits(numbers(found), array)
    assert found.strides == array.strides
    for part in (array[1:, ::2, 1:], array.transpose(2, 0, 1), array[:1, :0], array[0, 0, 0:1].reshape(())):
        assert same_bits(numbers(view(make(part, 2))), part)


def test_streams(make):
    """The owner's own, where it says which; else the host waits."""
    found = view(make(TABLE, 1))
    assert (found.stream, found.waits) in {(STREAMS[1], False), (0, True), (0, False), (1, True)}
    library = _frameworks.of(make(TABLE, 1)).name
    assert (found.stream, found.waits) == {
        "torch": (STREAMS[1], False), "CuPy": (STREAMS[1], False), "JAX": (0, True), "Numba": (0, False),
        "library": (1, True),
    }[library]  # fmt: skip
    assert view(NumbaArray(TABLE, stream=99)).stream == 99
    for stream in (1, 2, 99):
        found = view(InterfaceArray(TABLE, stream=stream))
        assert (found.stream, found.waits) == (stream, False)
    assert view(InterfaceArray(TABLE, version=2, stream=99)).waits  # which had no such field


def test_new_memory_is_the_owners(make):
    like = view(make(TABLE, 1))
    made = _frameworks.of(like.owner).empty((3, 2), np.dtype("f4"), like)
    assert (made.shape, made.strides, made.dtype, made.ordinal) == ((3, 2), (8, 4), np.float32, 1)
    assert (made.stream, made.waits, made.writeable) == (like.stream, like.waits, True)
    numbers(made)[...] = 7
    again = view(made.owner)
    assert again.pointer == made.pointer
    assert numbers(again).tolist() == [[7, 7]] * 3
    for dtype in ("i8", "i4", "u1", "f8", BF16):  # scratch memory, whatever a library makes of its own numbers
        made = _frameworks.of(like.owner).empty((5,), np.dtype(dtype), like)
        assert (made.dtype, made.strides) == (dtype, (np.dtype(dtype).itemsize,))


# The whole way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["f4", BF16])
def test_every_function_there_and_back(make, room, name, dtype):
    if name not in PURE and make(TABLE).__class__ is JaxArray:
        pytest.skip("JAX's arrays are not written to")
    wanted = CALLS[name](lambda array: array.astype(dtype), np.asarray)
    found = CALLS[name](lambda array: make(array.astype(dtype)), make)
    assert types_of_tuples(found) == types_of_tuples(wanted)
    assert len(flat(found)) == len(flat(wanted)) > 0
    for mine, expected in zip(flat(found), flat(wanted), strict=True):
        assert type(mine) is kind_of(make) or name not in PURE
        mine = numbers(view(mine))
        if expected.dtype.kind == "i" and kind_of(make) is JaxArray:
            expected = expected.astype("i4")  # as JAX keeps integers
        assert same_bits(mine, expected)
    assert room.asked


OUTS = {
    "gather": lambda f, out: fastemb.gather(f(TABLE), f(FLAT[:3]), out=out),
    "gather, codes": lambda f, out: fastemb.gather(fastemb.quantize(f(TABLE)), f(FLAT[:3]), out=out),
    "embed": lambda f, out: fastemb.embed(f(TABLE), f(FLAT[:3]), norm=RMSNorm(f(TABLE[0])), out=out),
    "embedding_bag": lambda f, out: fastemb.embedding_bag(f(TABLE), f(IDS), out=out),
    "pool": lambda f, out: fastemb.pool(f(X), out=out),
    "normalize": lambda f, out: fastemb.normalize(f(GRAD), out=out),
    "rope": lambda f, out: fastemb.rope(f(GRAD), out=out),
}


@pytest.mark.parametrize("name", OUTS)
def test_out_is_returned_itself(make, room, name):
    expected, numbers_there = np.zeros((3, D), np.float32), np.zeros((3, D), np.float32)
    OUTS[name](np.asarray, expected)
    out = make(numbers_there)
    if name == "gather, codes":  # those of libraries that are not known are kept as Numba's arrays
        out = kind_of(make)(numbers_there) if kind_of(make) is NumbaArray else out
    if type(out) is JaxArray:
        with pytest.raises(TypeError, match=r"^out is a JAX array, which cannot be written to"):
            OUTS[name](make, out)
        return
    assert OUTS[name](make, out) is out
    assert same_bits(numbers(view(out)), expected)


def test_a_table_is_written_to_in_place(make, room):
    target = make(TABLE.copy())
    if type(target) is JaxArray:
        with pytest.raises(TypeError, match=r"^target is a JAX array, which cannot be written to"):
            fastemb.scatter_add(target, make(FLAT), make(X.reshape(15, D)))
        return
    assert fastemb.scatter_add(target, make(FLAT), make(X.reshape(15, D))) is target
    assert same_bits(numbers(view(target)), fastemb.scatter_add(TABLE.copy(), FLAT, X.reshape(15, D)))


def test_quantized_tables_keep_the_owners_arrays(make, room):
    table = fastemb.quantize(make(TABLE))
    assert [type(part) for part in flat(table)] == [kind_of(make)] * 3
    wanted = fastemb.quantize(TABLE)
    assert table.nbytes == wanted.nbytes
    assert same_bits(numbers(view(table.dequantize())), wanted.dequantize())
    own = kind_of(make)
    mine = (lambda array: own(array)) if own is NumbaArray else make
    found = fastemb.topk(mine(QUERIES), table, 3)
    assert same_bits(numbers(view(found[0])), fastemb.topk(QUERIES, wanted, 3)[0])
    bags = fastemb.embedding_bag_backward(mine(GRAD), table, mine(IDS))
    assert same_bits(numbers(view(bags.table.rows)), fastemb.embedding_bag_backward(GRAD, wanted, IDS).table.rows)
    again = fastemb.QuantizedTable(table.codes, table.scale, table.offset, table.shape)
    assert type(again.codes) is own
    with pytest.raises(TypeError, match=r"^ids is on the CPU and table on cuda:0"):
        fastemb.gather(again, IDS)
    with pytest.raises(TypeError, match=r"^ids is on cuda:0 and table on the CPU"):
        fastemb.gather(wanted, make(IDS))
    with pytest.raises(TypeError, match=r"^scale is on the CPU and codes on cuda:0"):
        fastemb.QuantizedTable(table.codes, wanted.scale, table.offset, table.shape)


def test_without_a_room_one_error_says_what_is_missing(make, monkeypatch):
    """A room that cannot be had is said by whoever imports it, and nothing on the way changes the words."""

    class Missing(_devices.Room):
        def __missing__(self, family):
            raise RuntimeError("arrays on a GPU need fastemb[cuda12] or fastemb[cuda13]")

    monkeypatch.setitem(_devices.ROOMS, "cuda", Missing("fastemb._cuda"))
    for call in (
        lambda: fastemb.gather(make(TABLE), make(IDS)),
        lambda: fastemb.pool(make(X)),
        lambda: fastemb.row_grad(make(IDS), make(X)),
    ):
        with pytest.raises(RuntimeError, match=r"^arrays on a GPU need fastemb\[cuda12\] or fastemb\[cuda13\]$"):
            call()
    assert same_bits(fastemb.gather(TABLE, IDS), TABLE[IDS])


# One device -------------------------------------------------------------------------------------------------------

MIXED = {  # each argument beside the array that decides: f makes that and all others, g the one in question
    "gather ids": lambda f, g: fastemb.gather(f(TABLE), g(IDS)),
    "gather out": lambda f, g: fastemb.gather(f(TABLE), f(FLAT[:3]), out=g(GRAD.copy())),
    "embed ids": lambda f, g: fastemb.embed(f(TABLE), g(IDS)),
    "embed positions": lambda f, g: fastemb.embed(f(TABLE), f(IDS), positions=g(POSITIONS)),
    "embed position_ids": lambda f, g: fastemb.embed(f(TABLE), f(IDS), positions=f(POSITIONS), position_ids=g(LENGTHS)),
    "embed segments": lambda f, g: fastemb.embed(f(TABLE), f(IDS), segments=g(QUERIES)),
    "embed segment_ids": lambda f, g: fastemb.embed(f(TABLE), f(IDS), segments=f(QUERIES), segment_ids=g(IDS % 3)),
    "embed mask": lambda f, g: fastemb.embed(f(TABLE), f(IDS), mask=g(MASK)),
    "embed norm.weight": lambda f, g: fastemb.embed(f(TABLE), f(IDS), norm=RMSNorm(g(TABLE[0]))),
    "embed norm.bias": lambda f, g: fastemb.embed(f(TABLE), f(IDS), norm=LayerNorm(f(TABLE[0]), g(TABLE[0]))),
    "embed out": lambda f, g: fastemb.embed(f(TABLE), f(FLAT[:3]), out=g(GRAD.copy())),
    "embed_backward grad": lambda f, g: fastemb.embed_backward(g(X), f(TABLE), f(IDS)),
    "row_grad ids": lambda f, g: fastemb.row_grad(g(IDS), f(X)),
    "scatter_add ids": lambda f, g: fastemb.scatter_add(f(TABLE.copy()), g(IDS), f(X)),
    "scatter_add rows": lambda f, g: fastemb.scatter_add(f(TABLE.copy()), f(IDS), g(X)),
    "embedding_bag ids": lambda f, g: fastemb.embedding_bag(f(TABLE), g(FLAT), f(OFFSETS)),
    "embedding_bag offsets": lambda f, g: fastemb.embedding_bag(f(TABLE), f(FLAT), g(OFFSETS)),
    "embedding_bag mask": lambda f, g: fastemb.embedding_bag(f(TABLE), f(IDS), mask=g(MASK)),
    "embedding_bag weights": lambda f, g: fastemb.embedding_bag(f(TABLE), f(IDS), weights=g(WEIGHTS)),
    "embedding_bag out": lambda f, g: fastemb.embedding_bag(f(TABLE), f(IDS), out=g(GRAD.copy())),
    "embedding_bag_backward grad": lambda f, g: fastemb.embedding_bag_backward(g(GRAD), f(TABLE), f(IDS)),
    "pool mask": lambda f, g: fastemb.pool(f(X), g(MASK)),
    "pool lengths": lambda f, g: fastemb.pool(f(X), lengths=g(LENGTHS)),
    "pool offsets": lambda f, g: fastemb.pool(f(X.reshape(15, D)), offsets=g(OFFSETS)),
    "pool weights": lambda f, g: fastemb.pool(f(X), weights=g(WEIGHTS)),
    "pool out": lambda f, g: fastemb.pool(f(X), out=g(GRAD.copy())),
    "pool_backward grad": lambda f, g: fastemb.pool_backward(g(GRAD), f(X)),
    "normalize out": lambda f, g: fastemb.normalize(f(GRAD), out=g(GRAD.copy())),
    "rope position_ids": lambda f, g: fastemb.rope(f(X), g(IDS)),
    "rope inv_freq": lambda f, g: fastemb.rope(f(X), inv_freq=g(WEIGHTS.reshape(-1)[:12])),
    "rope out": lambda f, g: fastemb.rope(f(X), out=g(X.copy())),
    "topk queries": lambda f, g: fastemb.topk(g(QUERIES), f(TABLE), 3),
}
DECIDES = {"row_grad": "grad", "scatter_add": "target", "topk": "vectors"} | dict.fromkeys(
    ("pool", "pool_backward", "normalize", "rope"), "x"
)


@pytest.mark.parametrize("case", MIXED)
def test_two_devices_are_refused_and_both_are_named(make, room, case):
    function, name = case.split(" ")
    decides, there, other = DECIDES.get(function, "table"), make, lambda array: make(array, 1)
    written = name == "out" or decides == "target"
    give = "an array there$" if name == "out" else rf".*\b{name}\b"
    if written and kind_of(make) is JaxArray:
        pytest.skip("JAX's arrays are not written to")
    for f, g, here, first in (
        (there, np.asarray, "the CPU", "cuda:0"), (np.asarray, there, "cuda:0", "the CPU"),
        (there, other, "cuda:1", "cuda:0"),
    ):  # fmt: skip
        words = rf"^{name} is on {here} and {decides} on {first}: arrays of one call must be on one device; give {give}"
        with pytest.raises(TypeError, match=words):
            MIXED[case](f, g)
    if name not in ("grad", "rows", "queries", "out", "positions", "segments", "norm.weight", "norm.bias"):
        with pytest.raises(TypeError, match=rf"^{name} is on the CPU and {decides} on cuda:0"):
            MIXED[case](there, np.ndarray.tolist)
    assert not room.asked


def test_lists_numbers_and_ragged_rows_lie_on_the_cpu(make, room):
    table = make(TABLE)
    for ids in (3, np.int64(3), [1, 2], fastemb.Ragged.from_lists([[1], [2]])):
        with pytest.raises(TypeError, match=r"^ids is on the CPU and table on cuda:0"):
            fastemb.embed(table, ids)
    with pytest.raises(TypeError, match=r"^position_ids is on the CPU and x on cuda:0"):
        fastemb.rope(make(X), 3)
    assert not room.asked


def test_a_fault_of_devices_comes_with_those_of_types(make, room):
    """Before modes and shapes, after dtypes."""
    with pytest.raises(TypeError, match=r"^ids must have an integer dtype"):
        fastemb.embedding_bag(make(TABLE), np.ones(3), mode="none")
    with pytest.raises(TypeError, match=r"^ids is on the CPU"):
        fastemb.embedding_bag(make(TABLE), np.ones((1, 1, 1), int), mode="none")
    with pytest.raises(ValueError, match=r"^mode must be one of"):
        fastemb.embedding_bag(make(TABLE), make(np.ones((1, 1, 1), int)), mode="none")


@pytest.mark.parametrize(
    ("whose", "to_there", "to_here"),
    [
        ("torch", 'torch.as_tensor(ids, device="cuda:0")', "ids.cpu()"),
        ("CuPy", "cupy.asarray(ids)", "cupy.asnumpy(ids)"),
        ("JAX", "jax.device_put(numpy.asarray(ids), table.device)", "numpy.asarray(ids)"),
        ("Numba", "numba.cuda.to_device(ids)", "ids.copy_to_host()"),
        ("library", "a copy of ids on cuda:0", "a copy of ids on the CPU"),
    ],
)
@pytest.mark.parametrize("make", ["torch", "CuPy", "JAX", "Numba", "CUDA interface"], indirect=True)
def test_the_way_out_is_the_frameworks(make, room, whose, to_there, to_here):
    table = make(TABLE)
    if _frameworks.of(table).name != whose:
        return
    for call, way in (
        (lambda: fastemb.gather(table, IDS), to_there),
        (lambda: fastemb.gather(TABLE, make(IDS)), to_here),
        (lambda: fastemb.Ragged(make(FLAT), OFFSETS), to_here),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value).endswith(f"; give {way}")


def test_what_is_read_on_the_cpu_is_not_taken_from_a_gpu(make, llama_file):
    tokens = fastemb.Tokenizer.load(llama_file)
    for name, call in (
        ("ids", lambda: fastemb.Ragged(make(FLAT), OFFSETS)),
        ("offsets", lambda: fastemb.Ragged(FLAT, make(OFFSETS))),
        ("rows", lambda: fastemb.Ragged.from_lists(make(IDS))),
        (r"rows\[0\]", lambda: fastemb.Ragged.from_lists([make(FLAT)])),
        ("ids", lambda: tokens.decode(make(FLAT))),
        (r"rows\[1\]", lambda: tokens.decode_batch([FLAT, make(FLAT)])),
    ):
        with pytest.raises(TypeError, match=rf"^{name} is on cuda:0, and is read on the CPU; give \S"):
            call()


def test_arrays_of_two_frameworks_on_one_gpu(room, torch, monkeypatch):
    """Ids may be of any; floats and what is written to must be of the table's."""
    make = torch_on_gpus(torch, monkeypatch)
    found = fastemb.gather(make(TABLE), CuPyArray(IDS))
    assert same_bits(numbers(view(found)), TABLE[IDS])
    way = r'; give torch\.as_tensor\(positions, device="cuda:0"\)$'
    with pytest.raises(TypeError, match=rf"^positions is an array of CuPy and table one of torch: .*{way}"):
        fastemb.embed(make(TABLE), make(IDS), positions=CuPyArray(POSITIONS))
    with pytest.raises(TypeError, match=r"^out is an array of torch and table one of CuPy: "):
        fastemb.gather(CuPyArray(TABLE), CuPyArray(FLAT), out=make(X))
    plain = torch.from_numpy(TABLE)
    with pytest.raises(
        TypeError, match=r"^positions is on cuda:0 and table on the CPU.*; give cupy\.asnumpy\(positions"
    ):
        fastemb.embed(plain, IDS, positions=CuPyArray(POSITIONS))
    with pytest.raises(TypeError, match=r"^out is on the CPU and table on cuda:0"):
        fastemb.gather(CuPyArray(TABLE), CuPyArray(FLAT), out=torch.zeros(15, D))


# Numba's simulator ------------------------------------------------------------------------------------------------

SIMULATED = """
import types
import numpy as np
from numba import cuda
import fastemb
from fastemb import _devices, _frameworks

seen = []
def gather(table, ids, mode, out):
    seen.append((table, ids, out))
    return out or _frameworks.of(table.owner).empty((*ids.shape, 5), table.dtype, table)

_devices.ROOMS["cuda"] = {"lookup": types.SimpleNamespace(gather=gather)}
array, numbers = np.arange(20, dtype="f4").reshape(4, 5), np.array([[1, 2, 3]])
table, ids, out = cuda.to_device(array), cuda.to_device(numbers), cuda.device_array((1, 3, 5), np.float32)
found = fastemb.gather(table, ids)
assert (type(found), found.shape, found.dtype) == (type(table), (1, 3, 5), np.float32)
assert fastemb.gather(table[:, ::-1], ids, out=out) is out
for given, own in zip(seen[0], (table, ids)):
    assert given.pointer == own._ary.ctypes.data
    assert (given.strides, given.dtype, given.stream, given.owner) == (own._ary.strides, own._ary.dtype, 0, own)
backwards = seen[1][0]
assert (backwards.pointer, backwards.strides) == (table._ary.ctypes.data + 16, (20, -4))
assert seen[1][2].pointer == out._ary.ctypes.data
try:
    fastemb.gather(table, numbers)
except TypeError as error:
    print(error)
"""


def test_arrays_of_the_simulator():
    """They have no CUDA interface, but ``__array__``: the CPU's kernels would run on them unnoticed."""
    pytest.importorskip("numba_cuda", reason="the package numba-cuda is not installed")
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SIMULATED], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    way = "arrays of one call must be on one device; give numba.cuda.to_device(ids)"
    assert done.stdout == f"ids is on the CPU and table on cuda:0: {way}\n"
