"""Tensors of torch on a GPU: where they lie, and new ones from torch's own allocator on its current stream.

An address is all that a kernel takes, and `Tensor.data_ptr` gives one of every tensor, right or wrong; so `torch.Torch`
asks each first what `Tensor.numpy` would have refused. torch's own protocols for other libraries are no way: its CUDA
interface is of version 2, which names no stream and no bfloat16, and DLPack makes the streams wait for one another.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import KNOWN, DeviceArray, Framework

_NAMES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "complex64", "complex128",
)  # fmt: skip
_NO_MEMORY = "torch gave no memory for a result: call outside of fake modes, torch.compile and their like"


class TorchCuda:
    """What `torch.Torch` does with tensors on a GPU."""

    def __init__(self, torch: Any, framework: Framework, marked: dict[Any, tuple[Any, Any]]) -> None:
        self._torch, self._framework = torch, framework
        named = {getattr(torch, name, None): np.dtype(name) for name in _NAMES}
        named |= {theirs: ours for theirs, (_, ours) in marked.items()}
        named.pop(None, None)  # of an older torch
        self._dtypes = named
        self._theirs = {ours: theirs for theirs, ours in named.items()}
        # What torch's compiled kernels ask: the public function makes an object of Python's for each answer.
        raw: Callable[[int], int] | None = getattr(torch._C, "_cuda_getCurrentRawStream", None)
        self._stream = raw or (lambda ordinal: int(torch.cuda.current_stream(ordinal).cuda_stream))

    def view(self, array: Any) -> DeviceArray | None:
        """Return what a launch needs to know of a tensor with plain memory; None where NumPy has no such dtype."""
        dtype = self._dtypes.get(array.dtype)
        if dtype is None:
            return None
        size, ordinal = dtype.itemsize, array.get_device()
        strides = tuple([size * stride for stride in array.stride()])
        pointer, shape, stream = array.data_ptr(), tuple(array.shape), self._stream(ordinal)
        return DeviceArray("cuda", pointer, shape, strides, dtype, stream, array, True, ordinal)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray:
        """Return a new tensor beside another; refuse one without memory, as fake modes make."""
        try:
            made = like.owner.new_empty(shape, dtype=self._theirs[dtype])
        except (AssertionError, TypeError) as error:  # of fake modes; no memory left is another error
            raise TypeError(f"{_NO_MEMORY} ({str(error).partition(chr(10))[0]})") from error
        return self._new(made)

    def argsort(self, keys: DeviceArray, below: int | None) -> tuple[DeviceArray, DeviceArray] | None:
        """Return keys in order and where each was: of 32 bits where that is enough, as a sort reads every bit."""
        tensor = self._tensor(keys)
        if tensor is None:
            return None
        if below is not None and below <= 1 << 31 and keys.dtype.itemsize > 4:
            tensor = tensor.to(self._torch.int32)
        ordered, order = self._torch.sort(tensor, stable=True)
        return self._new(ordered), self._new(order)

    def matmul(self, a: DeviceArray, b: DeviceArray) -> DeviceArray | None:
        """Return the product of two matrices of float32 or float64, unless torch may round their numbers first."""
        first, second = self._tensor(a), self._tensor(b)
        if first is None or second is None or a.dtype != b.dtype or a.dtype.kind != "f" or a.dtype.itemsize < 4:
            return None
        if a.dtype.itemsize == 4 and self._rounds():
            return None
        return self._new(self._torch.matmul(first, second))

    def _rounds(self) -> bool:
        """Whether products of float32 are of TF32's 10 bits."""
        settings = self._torch.backends.cuda.matmul
        try:  # of newer versions, in which the older word may raise
            return settings.fp32_precision not in ("none", "ieee")
        except (AttributeError, AssertionError):
            return bool(settings.allow_tf32)

    def _tensor(self, array: DeviceArray) -> Any:
        """Return an array as a tensor of its shape; None where its owner is none."""
        owner = array.owner
        if KNOWN.get(type(owner)) is not self._framework or self._dtypes.get(owner.dtype) != array.dtype:
            return None
        size = array.dtype.itemsize
        strides = [stride // size for stride in array.strides]
        if (owner.data_ptr(), tuple(owner.shape), list(owner.stride())) == (array.pointer, array.shape, strides):
            return owner
        return owner.as_strided(
            array.shape, strides, owner.storage_offset() + (array.pointer - owner.data_ptr()) // size
        )

    def _new(self, made: Any) -> DeviceArray:
        """Return a tensor that torch has made as a device array."""
        view = self.view(made) if KNOWN.get(type(made)) is self._framework else None
        if view is None or (view.size and not view.pointer):
            raise TypeError(f"{_NO_MEMORY} (a {type(made).__name__})")
        return view
