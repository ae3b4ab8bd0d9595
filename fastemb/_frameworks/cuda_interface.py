"""Arrays on a GPU of libraries that nobody here knows, by the two protocols: CUDA's array interface, and DLPack.

Neither says how its library makes an array, so results and memory for the work are Numba's device arrays, which our
kernels bring with them and which have both protocols. Neither says either on which stream the library will read what
was written; only a CUDA interface that names its stream does. Otherwise the host waits.
"""

import ctypes
import sys
from functools import cache
from typing import Any

import numpy as np

from . import KNOWN, WRITTEN, DeviceArray, Framework, of
from .device import packed_strides

#: DLPack's numbers of devices: the CPU; memory of a GPU, and memory that a GPU and the CPU share.
CPU, GPUS = 1, (2, 13)
_ORDINAL = 9  # the driver's CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
_LEGACY = 1  # the stream that every stream of the program waits for, but those that say otherwise


def read_interface(array: Any, interface: Any, name: str, whose: str) -> DeviceArray:
    """Return what a launch needs to know, by ``__cuda_array_interface__`` of version 2 or 3."""
    version = interface.get("version")
    if version not in (2, 3):
        raise TypeError(f"{whose}, with version {version} of __cuda_array_interface__; 2 and 3 are read")
    if interface.get("mask") is not None:
        raise TypeError(f"{whose}, with a mask, which would be ignored")
    shape, (pointer, read_only) = tuple(map(int, interface["shape"])), interface["data"]
    dtype = _dtype_of(array, interface, whose)
    strides = interface.get("strides") or packed_strides(shape, dtype.itemsize)
    stream: int | None = interface.get("stream") if version == 3 else None
    if stream == 0:
        raise TypeError(f"{whose}, with the stream 0, which __cuda_array_interface__ forbids: it may mean two streams")
    if read_only and name in WRITTEN:
        raise ValueError(f"{name} is a read-only array of {_library(type(array))}")
    start, known = int(pointer or 0), stream is not None
    return DeviceArray(
        "cuda", start, shape, tuple(map(int, strides)), dtype, stream or _LEGACY, array, not read_only,
        _ordinal_of(array, start), not known,
    )  # fmt: skip


def _dtype_of(array: Any, interface: Any, whose: str) -> np.dtype[Any]:
    """Return the dtype; the array's own word counts where the protocol has none for it, as for bfloat16."""
    dtype: np.dtype[Any] = np.dtype(interface["typestr"])
    own: np.dtype[Any] | None = getattr(array, "dtype", None)
    if dtype.kind != "V":
        return dtype
    if isinstance(own, np.dtype) and own.itemsize == dtype.itemsize:
        return own
    descr = interface.get("descr") or [("", "")]
    if all(field[0] for field in descr):  # a record of named parts
        return np.dtype([tuple(field) for field in descr])
    raise TypeError(
        f"{whose}, of typestr {interface['typestr']!r}: bytes that may be bfloat16 or any other numbers of that size; "
        "give an array of torch, CuPy or JAX, whose own dtype is read, or one with DLPack"
    )


def _ordinal_of(array: Any, pointer: int) -> int:
    """Return the number of the GPU: by DLPack, else the driver's word for the address, else 0."""
    if hasattr(type(array), "__dlpack_device__"):
        device, ordinal = array.__dlpack_device__()
        return int(ordinal) if device in GPUS else 0
    number, driver = ctypes.c_int(0), _driver()
    if pointer and driver is not None:
        driver.cuPointerGetAttribute(ctypes.byref(number), _ORDINAL, ctypes.c_uint64(pointer))
    return number.value


@cache
def _driver() -> Any:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


# DLPack ----------------------------------------------------------------------------------------------------------


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p), ("device", ctypes.c_int32), ("ordinal", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _Tensor),
    )  # fmt: skip


_READ_ONLY = 1  # a bit of flags
#: DLPack's codes and bits of types: NumPy's own, and those of ml_dtypes.
_OWN = {
    (code, bits): f"{kind}{bits // 8}"
    for code, kind in ((0, "i"), (1, "u"), (2, "f"), (5, "c"))
    for bits in {"f": (16, 32, 64), "c": (64, 128)}.get(kind, (8, 16, 32, 64))
} | {(6, 8): "?"}
_BRAINS = {(4, 16): "bfloat16"} | {
    (code, 8): f"float8_{name}"
    for code, name in enumerate(("e3m4", "e4m3", "e4m3b11fnuz", "e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu"), 7)
}


class Exported:
    """An array and its capsule of DLPack, whose memory lives as long as that does."""

    def __init__(self, array: Any, capsule: Any) -> None:
        self.array, self.capsule = array, capsule


def read_dlpack(array: Any, name: str, whose: str) -> DeviceArray:
    """Return what a launch needs to know, by DLPack; the library makes our stream wait for its own."""
    try:
        try:
            capsule = array.__dlpack__(stream=_LEGACY, max_version=(1, 0))
        except TypeError:  # of before versions
            capsule = array.__dlpack__(stream=_LEGACY)
    except Exception as error:  # whatever a library raises for what DLPack does not hold
        raise TypeError(f"{whose}, of which it makes no DLPack capsule: {error}") from error
    address, kind = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_GetName
    address.restype, address.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    kind.restype, kind.argtypes = ctypes.c_char_p, (ctypes.py_object,)
    named = kind(capsule)
    if named == b"dltensor_versioned":
        managed = _Versioned.from_address(address(capsule, named))
        if managed.major != 1:
            raise TypeError(f"{whose}, with version {managed.major} of DLPack; 0 and 1 are read")
        tensor, read_only = managed.tensor, bool(managed.flags & _READ_ONLY)
    else:
        tensor, read_only = _Tensor.from_address(address(capsule, b"dltensor")), False
    if read_only and name in WRITTEN:
        raise ValueError(f"{name} is a read-only array of {_library(type(array))}")
    dtype, axes = _dlpack_dtype(tensor, whose), range(tensor.ndim)
    shape = tuple(tensor.shape[axis] for axis in axes)
    strides = packed_strides(shape, dtype.itemsize)
    if tensor.strides:
        strides = tuple(tensor.strides[axis] * dtype.itemsize for axis in axes)
    pointer = (tensor.data or 0) + tensor.byte_offset
    return DeviceArray(
        "cuda", pointer, shape, strides, dtype, _LEGACY, Exported(array, capsule), not read_only, tensor.ordinal, True
    )


def _dlpack_dtype(tensor: _Tensor, whose: str) -> np.dtype[Any]:
    """Return the dtype of a tensor."""
    told = tensor.code, tensor.bits
    if tensor.lanes == 1 and told in _OWN:
        return np.dtype(_OWN[told])
    if tensor.lanes != 1 or told not in _BRAINS:
        words = f"DLPack's {told[0]}, {told[1]} bits, {tensor.lanes} lanes"
        raise TypeError(f"{whose}, of a dtype ({words}) that no kernel reads")
    try:
        import ml_dtypes

        named: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _BRAINS[told]))
    except (ImportError, AttributeError):
        raise TypeError(f"{whose}, of {_BRAINS[told]}, for which the package ml_dtypes is needed") from None
    return named


# Memory ----------------------------------------------------------------------------------------------------------


class Neutral(Framework):
    """What makes memory for arrays of libraries that are not known to make any."""

    put = "a copy of {name} on {place}"

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray:
        """Return a new array of Numba's."""
        cuda = sys.modules.get("numba.cuda")
        if cuda is None:
            raise TypeError(
                "no array can be made beside one of a library that is not known: give torch.as_tensor(array, "
                'device="cuda") or cupy.asarray(array), which copy nothing, and results are theirs'
            )
        with cuda.gpus[like.ordinal]:
            stream = cuda.external_stream(like.stream) if like.stream > 2 else 0  # the default one, or a thread's
            made = cuda.device_array(shape, dtype=dtype, stream=stream)
        numba = of(made)
        assert numba is not None
        view: DeviceArray = numba.view(made, "")
        return view._replace(stream=like.stream, waits=like.waits)


NEUTRAL = KNOWN[Exported] = Neutral()


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]
