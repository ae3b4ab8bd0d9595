"""Tensors of torch: on the CPU views of their memory, and results that share ours; on a GPU device arrays.

Views are made by `Tensor.numpy`, which looks at what a tensor is. DLPack and `data_ptr` do not: of a view that changes
the sign (the imaginary part of a conjugate) they give wrong numbers, of a fake or nested tensor the address 0.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np

from . import DECIDE, KNOWN, PLAIN, SCALARS, WRITTEN, Array, DeviceArray, Framework, Refused, Result, names_of
from .torch_cuda import TorchCuda

#: Dtypes that NumPy has from ml_dtypes alone: their bits are moved as integers of the same size.
_BITS = {
    "bfloat16": "int16", "float8_e4m3fn": "int8", "float8_e4m3fnuz": "int8", "float8_e5m2": "int8",
    "float8_e5m2fnuz": "int8", "float8_e8m0fnu": "int8",
}  # fmt: skip


class Torch(Framework):
    """Plain tensors, parameters and buffers."""

    name, maker = "torch", "torch.from_numpy"
    put, fetch = 'torch.as_tensor({name}, device="{place}")', "{name}.cpu()"

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._from_numpy = torch.from_numpy
        self._bits: dict[Any, tuple[Any, Any]] = {}  # of torch's dtype: the integer of its size, and NumPy's dtype
        self._back: dict[Any, tuple[Any, Any]] = {}  # of NumPy's dtype: the integer of its size, and torch's dtype
        try:
            import ml_dtypes
        except ImportError:
            ml_dtypes = None
        for name, integer in _BITS.items():
            dtype, scalar = getattr(torch, name, None), getattr(ml_dtypes, name, None)
            if dtype is not None and scalar is not None:
                self._bits[dtype] = getattr(torch, integer), np.dtype(scalar)
                self._back[np.dtype(scalar)] = np.dtype(integer), dtype
        self._cuda = TorchCuda(torch, self, self._bits)

    def call(self, function: Callable[..., Result], *given: Any, **options: Any) -> Result:
        """As `Framework.call`, with its steps for plain tensors written into the loops: a small call is one of 6 µs.

        `Tensor.numpy` raises for whatever is not plain. Then the general way looks again, and says of which tensor.
        """
        if getattr(given[0], "is_cuda", False):  # then all are to be, and an error would cost more than the call
            return super().call(function, *given, **options)
        known, marked = KNOWN, self._bits
        views, told = [], {}
        try:
            for value in given:
                if known.get(type(value)) is self and value.dtype not in marked:
                    views.append(value.numpy())
                else:
                    name = names_of(function)[len(views)]
                    mine = known.get(type(value)) is self
                    views.append(self.view(value, name) if mine else self._other(value, name, function, given))
            for name, value in options.items():
                if value is None:
                    continue
                if type(value) in PLAIN:
                    told[name] = value
                elif known.get(type(value)) is self and name not in SCALARS:
                    told[name] = value.numpy() if value.dtype not in marked else self.view(value, name)
                else:
                    told[name] = self._other(value, name, function, given)
        except Exception:  # of many types
            views.clear()
        if views:
            return self._answer(function, given, options, views, told)
        return super().call(function, *given, **options)

    def view(self, array: Any, name: str) -> Array | DeviceArray:
        """Return a view; a copy only where the sign of numbers is not that in memory."""
        if array.is_cuda:
            return self._view_there(array, name)
        marked = self._bits.get(array.dtype)
        try:
            if marked is None:
                view: Array = array.numpy()
            else:
                if array.requires_grad:  # a view as integers would not, and so be taken
                    array = self._without_grad(array, name)
                view = array.view(marked[0]).numpy().view(marked[1])
        except Exception as error:  # of many types: a gradient, a device, a layout, a transform, a sign that is a mark
            return self._unusual(array, name, error)
        return view

    def _view_there(self, array: Any, name: str) -> DeviceArray:
        """Return what a launch needs to know of a tensor on a GPU; refuse it as one on the CPU would be."""
        if array.requires_grad:
            array = self._without_grad(array, name)
        self._require_plain(array, name, None)
        if array.is_neg() or array.is_conj():
            array = self._signed(array, name, None)
        view = self._cuda.view(array)
        if view is None:
            raise self._dtype_error(array, name, "that no kernel reads")
        if view.size and not view.pointer:
            raise TypeError(f"{name} is a torch tensor that has no memory of its own")
        return view

    def is_device(self, array: Any) -> bool:
        """Whether a tensor is on a GPU."""
        return bool(array.is_cuda)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray:
        """Return a new tensor of torch's allocator, which knows the current stream."""
        return self._cuda.empty(shape, dtype, like)

    def argsort(
        self, keys: DeviceArray, like: DeviceArray, below: int | None = None
    ) -> tuple[DeviceArray, DeviceArray] | None:
        """Return what torch's stable sort gives; None of keys that are in no tensor."""
        return self._cuda.argsort(keys, below)

    def matmul(self, a: DeviceArray, b: DeviceArray) -> DeviceArray | None:
        """Return torch's product; None where it is set to round what it multiplies."""
        return self._cuda.matmul(a, b)

    def _without_grad(self, array: Any, name: str) -> Any:
        """Return the same tensor for autograd to forget; refuse it while that is looking."""
        # Tensor.numpy refuses it too, but not with these words, nor in every version only while grad is on.
        if self._torch.is_grad_enabled():
            raise TypeError(
                f"{name} is a tensor that requires grad, and no gradient would flow back through this call: take "
                f"fastemb.torch, give {name}.detach(), or call under torch.no_grad()"
            ) from None
        return array.detach()

    def _unusual(self, array: Any, name: str, error: Exception) -> Array | DeviceArray:
        """Return a copy with the signs in memory; say of all other tensors why they have no view."""
        a_tensor = f"{name} is a torch tensor"
        if array.requires_grad:
            return self.view(self._without_grad(array, name), name)
        words = str(error).strip().partition("\n")[0]
        try:
            device, marked = array.device.type, array.is_neg() or array.is_conj()
        except Exception:  # inside of what traces or stands for tensors nothing can be asked
            raise TypeError(f"{a_tensor} that has no memory of its own: {words}") from error
        if device == "meta":
            raise TypeError(f"{a_tensor} on meta, which has no values; arrays are read on the CPU") from error
        if device != "cpu":
            raise TypeError(f"{a_tensor} on {array.device}; arrays are read on the CPU: give {name}.cpu()") from error
        self._require_plain(array, name, error)
        if marked:
            return self.view(self._signed(array, name, error), name)
        raise self._dtype_error(array, name, f"that NumPy cannot see: {words}") from error

    def _require_plain(self, array: Any, name: str, error: Exception | None) -> None:
        """Refuse what has no memory of its own with an element at each stride."""
        torch, a_tensor = self._torch, f"{name} is a torch tensor"
        if torch._C._functorch.is_functorch_wrapped_tensor(array):
            raise TypeError(
                f"{a_tensor} inside a transform of torch.func (grad, vmap and their like), which gives it no memory of "
                f"its own: take fastemb.torch, or call outside of the transform"
            ) from error
        if array.is_nested:
            raise TypeError(_nested_words(name, "strided")) from error
        if array.layout is not torch.strided:
            layout = str(array.layout).removeprefix("torch.")
            raise TypeError(f"{a_tensor} of layout {layout}; give {name}.to_dense()") from error

    def _signed(self, array: Any, name: str, error: Exception | None) -> Any:
        """Return a copy of a tensor whose sign is but a mark."""
        if name in WRITTEN:
            words = f"{name} is a torch tensor whose sign is not the one in memory; it cannot be written to"
            raise ValueError(words) from error
        return array.resolve_conj().resolve_neg()

    @staticmethod
    def _dtype_error(array: Any, name: str, words: str) -> TypeError:
        """Return what says that a tensor's dtype has no counterpart here."""
        a_tensor = f"{name} is a torch tensor"
        dtype = str(array.dtype).removeprefix("torch.")
        if dtype in _BITS:
            return TypeError(f"{a_tensor} of {dtype}, for which NumPy needs the package ml_dtypes")
        return TypeError(f"{a_tensor} of {dtype} {words}")

    def result(self, array: Array) -> Any:
        """Return a tensor with the array's memory."""
        dtype = array.dtype
        if dtype in self._back:
            integer, named = self._back[dtype]
            return self._from_numpy(array.view(integer)).view(named)
        if not dtype.isnative:  # ids that the caller gave so
            array = array.astype(dtype.newbyteorder("="))
        return self._from_numpy(array)

    def wrote(self, array: Any) -> None:
        """Tell autograd: a graph that saved the tensor must say that it was changed, and not compute with it."""
        self._torch.autograd.graph.increment_version(array)


class Nested(Framework):
    """Nested tensors of the jagged layout: rows of ids of different lengths."""

    name = "torch"

    def __init__(self, plain: Torch) -> None:
        self._plain = plain

    def call(self, function: Callable[..., Result], *given: Any, **options: Any) -> Result:
        """Refuse a nested tensor as the array that decides; ids beside it may well be nested."""
        names = names_of(function)
        raise TypeError(_nested_words(next(name for name in DECIDE if name in names), "jagged"))

    def view(self, array: Any, name: str) -> Array:
        """Refuse a nested tensor where one of one shape is needed."""
        raise TypeError(_nested_words(name, "jagged"))

    def is_lists(self, array: Any) -> bool:
        """Say that it holds rows of different lengths."""
        return True

    def lists(self, array: Any) -> tuple[Array, Array]:
        """Return the flat ids and the offsets, of a tensor with holes between rows a copy without."""
        if array.dim() != 2:
            raise TypeError(f"ids are a nested tensor of {array.dim()} axes; those of two, rows of ids, are taken")
        if not array.is_contiguous():
            array = array.contiguous()
        values, offsets = array.values(), array.offsets()
        if values.is_cuda:
            raise TypeError(
                f"ids are a nested tensor on {values.device}, and rows of different lengths are kept on the CPU: give "
                "ids.values() and ids.offsets(), or ids.cpu()"
            )
        return cast("Array", self._plain.view(values, "ids")), cast("Array", self._plain.view(offsets, "ids"))


def _nested_words(name: str, layout: str) -> str:
    return (
        f"{name} is a nested tensor of layout {layout}; only as ids nested tensors are taken, of layout jagged: "
        f"torch.nested.nested_tensor(..., layout=torch.jagged), else its parts"
    )


_plain = cache(Torch)  # of the module


def find(kind: type) -> Framework | None:
    """Return the framework of a type; None of torch's types that are no tensors."""
    torch = sys.modules.get("torch")
    if torch is None or not issubclass(kind, torch.Tensor):
        return None
    if kind.__torch_dispatch__ is torch.Tensor.__torch_dispatch__:  # type: ignore[attr-defined]
        return _plain(torch)
    if kind.__name__ == "NestedTensor":
        return Nested(_plain(torch))
    words = f"{{name}} is a {kind.__name__} of torch, which has no plain memory of its own: "
    return Refused(
        "torch", words + "take fastemb.torch, or give a plain tensor, outside of torch.compile and fake modes"
    )
