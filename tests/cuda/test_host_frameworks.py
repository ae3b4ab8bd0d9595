"""Arrays on a GPU, without one: what a room is told of each framework's, who makes memory, and what is refused.

The arrays say that they lie on a GPU and lie in the CPU's memory, and the room works there (`fakes`): so a call of the
public functions goes the whole way, and its numbers show that addresses, strides and dtypes were right.
"""

import numpy as np
import pytest
from arrays import BF16, same_bits
from fakes import (
    STREAMS,
    CuPyArray,
    DLPackArray,
    InterfaceArray,
    JaxArray,
    NumbaArray,
    Room,
    installed,
    numbers,
    torch_on_gpus,
)
from framework_cases import CALLS, FLAT, GRAD, IDS, QUERIES, TABLE, D, X
from framework_cases import types_of as types_of_tuples

import fastemb
from fastemb import RMSNorm, _devices, _frameworks
from fastemb._frameworks import DeviceArray


@pytest.fixture(autouse=True)
def libraries():
    """Modules like CuPy, JAX and numba.cuda in the place of those."""
    with installed() as found:
        yield found


@pytest.fixture
def room(monkeypatch):
    """The room of GPUs; it keeps what its twins were asked."""
    made = Room()
    monkeypatch.setitem(_devices.ROOMS, "cuda", made)
    return made


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="the package torch is not installed")


@pytest.fixture(params=["torch", "CuPy", "JAX", "Numba", "CUDA interface", "DLPack"])
def make(request, monkeypatch):
    """Every way to an array on a GPU: of NumPy's array and the number of the GPU."""
    if request.param == "torch":
        return torch_on_gpus(request.getfixturevalue("torch"), monkeypatch)
    return {
        "CuPy": CuPyArray,
        "JAX": lambda array, ordinal=0: JaxArray(np.array(array, order="C"), (ordinal,)),
        "Numba": NumbaArray,
        "CUDA interface": lambda array, ordinal=0: Placed(array, ordinal),
        "DLPack": lambda array, ordinal=0: DLPackArray(array, (2, ordinal)),
    }[request.param]


class Placed(InterfaceArray):
    """An array with CUDA's interface whose library says by DLPack which GPU it is."""

    def __init__(self, numbers, ordinal, **fields):
        typestr = {"typestr": "|V2", "descr": [("", "|V2")]} if numbers.dtype == BF16 else {}
        super().__init__(numbers, **typestr, **fields)
        self.ordinal, self.dtype = ordinal, numbers.dtype

    def __dlpack_device__(self):
        return 2, self.ordinal


Placed.__module__ = "library"


def view(array, name="x"):
    return _frameworks.of(array).view(array, name)


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


def kind_of(make):
    """Return the type of results."""
    whose = type(make(TABLE))
    return NumbaArray if whose in (Placed, DLPackArray) else whose


def flat(result):
    """Return the arrays of a result, in order."""
    if isinstance(result, fastemb.QuantizedTable):
        return [result.codes, result.scale, result.offset]
    if isinstance(result, tuple):
        return [leaf for part in result for leaf in flat(part)]
    return [] if result is None else [result]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["f4", BF16])
def test_every_function_there_and_back(make, room, name, dtype):
    if name == "scatter_add" and make(TABLE).__class__ is JaxArray:
        pytest.skip("JAX's arrays are not written to")
    wanted = CALLS[name](lambda array: array.astype(dtype), np.asarray)
    found = CALLS[name](lambda array: make(array.astype(dtype)), make)
    assert types_of_tuples(found) == types_of_tuples(wanted)
    assert len(flat(found)) == len(flat(wanted)) > 0
    for mine, expected in zip(flat(found), flat(wanted), strict=True):
        assert type(mine) is kind_of(make) or name == "scatter_add"
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
