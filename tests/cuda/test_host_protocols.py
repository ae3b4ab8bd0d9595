"""CUDA's array interface and DLPack on a GPU, read without one; memory, sorts and products for rooms."""

import sys

import numpy as np
import pytest
from arrays import BF16, same_bits
from fakes import CuPyArray, DLPackArray, InterfaceArray, NumbaArray, Placed, kind_of, numbers, torch_on_gpus, view
from framework_cases import FLAT, IDS, TABLE, X

import fastemb
from fastemb import _frameworks

pytestmark = pytest.mark.usefixtures("libraries")


# The two protocols ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": 1}, "with version 1 of __cuda_array_interface__; 2 and 3 are read"),
        ({"version": 4}, "with version 4 of"),
        ({"mask": InterfaceArray(TABLE)}, "with a mask, which would be ignored"),
        ({"stream": 0}, "with the stream 0, which __cuda_array_interface__ forbids"),
        ({"typestr": "<V4"}, "of typestr '<V4': bytes that may be bfloat16 or any other"),
        ({"typestr": "|V4", "descr": [("", "|V4")]}, "of typestr '|V4': bytes"),
    ],
)
def test_interfaces_that_are_not_taken(fields, words):
    with pytest.raises(TypeError) as caught:
        fastemb.gather(InterfaceArray(TABLE, **fields), InterfaceArray(IDS))
    assert str(caught.value).startswith(f"table is an array of library (InterfaceArray), {words}")


def test_interfaces_of_other_forms():
    assert view(InterfaceArray(TABLE, strides=None)).strides == TABLE.strides
    assert view(InterfaceArray(TABLE, strides=(0, 4))).strides == (0, 4)
    assert view(InterfaceArray(TABLE[:0], data=(None, False), strides=None)).pointer == 0
    read_only = InterfaceArray(TABLE, data=(TABLE.ctypes.data, True))
    assert not view(read_only).writeable
    with pytest.raises(ValueError, match=r"^out is a read-only array of library$"):
        fastemb.gather(InterfaceArray(TABLE), InterfaceArray(FLAT), out=read_only)
    record = np.zeros(3, [("x", "<f4"), ("y", "<f4")])
    assert view(InterfaceArray(record, descr=record.dtype.descr)).dtype == record.dtype
    assert view(Placed(TABLE.astype(BF16), 0)).dtype == BF16  # by the array's own word


class Refusing(InterfaceArray):
    """An array that has the protocol, and does not give it."""

    @property
    def __cuda_array_interface__(self):
        raise self.fields["error"]


class Both(Refusing):
    """An array whose library keeps some on the CPU."""

    def __dlpack_device__(self):
        return self.numbers.__dlpack_device__()

    def __dlpack__(self, **options):
        return self.numbers.__dlpack__(**options)


Refusing.__module__ = Both.__module__ = "library"


def test_interfaces_that_are_not_given():
    with pytest.raises(TypeError, match=r"^table is an array of library .*no __cuda_array_interface__: not today$"):
        fastemb.gather(Refusing(TABLE, error=RuntimeError("not today")), FLAT)
    with pytest.raises(TypeError, match=r"^table is an array of library .*that gives no __cuda_array_interface__$"):
        fastemb.gather(Refusing(TABLE, error=AttributeError("on the CPU")), FLAT)
    here = view(Both(TABLE, error=AttributeError("on the CPU")))
    assert type(here) is np.ndarray
    assert here.ctypes.data == TABLE.ctypes.data


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("device", [(2, 1), (13, 1)])
def test_capsules_of_both_versions_and_kinds_of_memory(versioned, device):
    array = DLPackArray(TABLE[::2, 1:], device, versioned)
    found = view(array)
    assert same_bits(numbers(found), TABLE[::2, 1:])
    assert (found.ordinal, found.owner.array, array.asked) == (1, array, [1])
    assert view(DLPackArray(TABLE, strides=False)).strides == TABLE.strides
    codes = DLPackArray(TABLE.astype("u1"), code=10)
    assert view(codes).dtype == np.dtype(__import__("ml_dtypes").float8_e4m3fn)


def test_capsules_that_are_not_taken(room):
    for array, words in (
        (DLPackArray(TABLE, code=3), r"of a dtype \(DLPack's 3, 32 bits, 1 lanes\) that no kernel reads"),
        (DLPackArray(TABLE, code=2, bits=4), r"of a dtype \(DLPack's 2, 4 bits"),
    ):
        with pytest.raises(TypeError, match=rf"^table is an array of library \(DLPackArray\), {words}"):
            fastemb.gather(array, DLPackArray(IDS))
    with pytest.raises(ValueError, match=r"^out is a read-only array of library$"):
        fastemb.gather(DLPackArray(TABLE), DLPackArray(FLAT), out=DLPackArray(X.copy(), read_only=True))
    assert not view(DLPackArray(TABLE, read_only=True)).writeable

    class Odd(DLPackArray):
        def __dlpack__(self, **options):
            raise BufferError("not today")

    Odd.__module__ = "library"
    with pytest.raises(TypeError, match=r"^table is an array of library .*makes no DLPack capsule: not today$"):
        fastemb.gather(Odd(TABLE), IDS)
    assert not room.asked


def test_memory_beside_arrays_of_unknown_libraries(monkeypatch):
    """Numba's, on the stream that was named; without it the words say who has some."""
    like = view(InterfaceArray(TABLE, stream=99))
    made = _frameworks.of(like.owner).empty((2, 3), np.dtype("f4"), like)
    assert (type(made.owner), int(made.owner.stream), made.stream) == (NumbaArray, 99, 99)
    monkeypatch.delitem(sys.modules, "numba.cuda")
    with pytest.raises(TypeError, match=r"torch\.as_tensor\(array, device=.cuda.\) or cupy\.asarray\(array\)"):
        _frameworks.of(like.owner).empty((2, 3), np.dtype("f4"), like)


# Sorts and products -----------------------------------------------------------------------------------------------


def test_stable_sorts(make, libraries):
    keys = np.random.default_rng(0).integers(0, 9, 300)
    given = view(make(keys, 1))
    framework = _frameworks.of(given.owner)
    for below, kept in ((None, "i8"), (1 << 40, "i8"), (1 << 31, "i4")):
        found = framework.argsort(given, given, below)
        if kind_of(make) is NumbaArray:  # which has none: ours is taken
            assert found is None
            continue
        ordered, order = found
        assert (ordered.dtype, order.dtype) == (kept, np.int64)
        assert numbers(order).tolist() == np.argsort(keys, kind="stable").tolist()
        assert numbers(ordered).tolist() == sorted(keys)
        assert framework.argsort(view(NumbaArray(keys)), given) is None  # keys of another owner


def test_products(make, monkeypatch):
    a, b = view(make(TABLE)), view(make(TABLE[:24].copy()))
    framework = _frameworks.of(a.owner)
    if kind_of(make) is NumbaArray:
        assert framework.matmul(a, b) is None
        return
    assert np.allclose(numbers(framework.matmul(a, b)), TABLE @ TABLE[:24], atol=1e-5)
    half = view(make(TABLE.astype("f2")))
    assert framework.matmul(half, half) is None  # rounded to 11 bits: no bound of float32's holds
    assert framework.matmul(a, view(NumbaArray(TABLE[:24]))) is None


def test_products_of_few_bits_are_none(torch, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "1")
    array = view(CuPyArray(TABLE[:24]))
    assert _frameworks.of(array.owner).matmul(array, array) is None
    make, settings = torch_on_gpus(torch, monkeypatch), torch.backends.cuda.matmul
    array = view(make(TABLE[:24].copy()))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        assert settings.allow_tf32
        assert _frameworks.of(array.owner).matmul(array, array) is None
        doubled = view(make(TABLE[:24].astype("f8")))
        assert _frameworks.of(array.owner).matmul(doubled, doubled) is not None
    finally:
        torch.set_float32_matmul_precision(before)
    assert _frameworks.of(array.owner).matmul(array, array) is not None
