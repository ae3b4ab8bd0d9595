"""Arrays of JAX: on the CPU views of their memory, and results that share ours where large; on a GPU with waits.

JAX says to nobody outside of it on which stream it works. So the host waits until a GPU's array is there before its
address is told, and whoever launches on it waits until the work is done (`DeviceArray.waits`).
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import DECIDE, KNOWN, WRITTEN, Array, DeviceArray, Framework, Refused, Result, names_of, unlocked
from .device import packed_strides

# Making an array of JAX takes 17 µs with a copy and 28 without: from about here on the copy is the longer way.
_SHARED_BYTES = 1 << 18


class Jax(Framework):
    """Arrays with values."""

    name, maker = "JAX", "jax.numpy.asarray"
    put, fetch = "jax.device_put(numpy.asarray({name}), {decides}.device)", "numpy.asarray({name})"

    def __init__(self, jax: Any) -> None:
        self._jax, self._copied, self._put = jax, jax.numpy.asarray, jax.device_put
        # Arrays are made on the default device, and results belong where the arrays of the call are.
        try:
            cpus = jax.devices("cpu")
        except RuntimeError:  # where JAX was told to know GPUs alone
            cpus = [None]
        self._device = None if jax.default_backend() == "cpu" else cpus[0]
        self._several = len(cpus) > 1

    def call(self, function: Callable[..., Result], *given: Any, **options: Any) -> Result:
        """As `Framework.call`; where the CPU is several devices, results lie on that of the array that decides."""
        result = super().call(function, *given, **options)
        return self._moved(result, function, given) if self._several else result

    def _moved(self, result: Any, function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        """Return results on the device of the array that decides, if that lies on one."""
        names = names_of(function)
        decides = given[names.index(next(name for name in DECIDE if name in names))]
        devices: set[Any] = decides.devices() if KNOWN.get(type(decides)) is self else set()
        if len(devices) != 1:
            return result
        (device,) = devices

        def move(one: Any) -> Any:
            return self._put(one, device) if KNOWN.get(type(one)) is self and one.devices() != devices else one

        return self._jax.tree.map(move, result)

    def view(self, array: Any, name: str) -> Array | DeviceArray:
        """Return a view; a copy of an array that lies on several devices of the CPU."""
        if name in WRITTEN:
            raise TypeError(
                f"{name} is a JAX array, which cannot be written to; give a NumPy array, or leave {name} out "
                f"(of a table: table.at[ids].add(rows))"
            )
        devices = array.devices()
        for device in devices:
            if device.platform == "gpu":
                return self._view_there(array, name, devices)
            if device.platform != "cpu":
                raise TypeError(
                    f"{name} is a JAX array on {device}; arrays are read on the CPU: give "
                    f'jax.device_put({name}, jax.devices("cpu")[0])'
                )
        view = np.asarray(array)  # waits until the values are there
        if name == "offsets" and view.dtype == np.int32:  # as JAX makes them; a small call takes them with 64 bits
            return view.astype(np.int64)
        if len(devices) > 1:
            return view
        # Numbers of 4 bits lie two in a byte there, so of dtypes that are not NumPy's own the view itself is asked.
        return unlocked(view, array.unsafe_buffer_pointer() if view.dtype.isbuiltin == 1 else view.ctypes.data)

    @staticmethod
    def _view_there(array: Any, name: str, devices: Any) -> DeviceArray:
        """Return what a launch needs to know of an array on one GPU, when its values are there."""
        if len(devices) > 1:
            raise TypeError(
                f"{name} is a JAX array on {len(devices)} devices, whose parts have no one address: give "
                f"jax.device_put({name}, one of them)"
            )
        if array.dtype.name.startswith(("int4", "uint4", "int2", "uint2", "float4")):
            raise TypeError(f"{name} is a JAX array of {array.dtype.name}, several numbers to a byte there")
        (device,) = devices
        array.block_until_ready()
        pointer, shape, dtype = array.unsafe_buffer_pointer(), array.shape, np.dtype(array.dtype)
        layout = array.format.layout  # XLA may have been asked to lay axes in another order
        if layout.tiling:
            raise TypeError(f"{name} is a JAX array in tiles, whose rows have no strides: give it in JAX's own layout")
        order = layout.major_to_minor
        packed = packed_strides(tuple([shape[axis] for axis in order]), dtype.itemsize)
        strides = tuple([packed[order.index(axis)] for axis in range(len(shape))])
        return DeviceArray("cuda", pointer, shape, strides, dtype, 0, array, False, device.local_hardware_id, True)

    def _x64(self, enabled: bool) -> Any:
        """Return a context in which JAX's numbers may have 64 bits."""
        jax = self._jax
        return (getattr(jax, "enable_x64", None) or jax.experimental.enable_x64)(enabled)

    def is_device(self, array: Any) -> bool:
        """Whether an array is on a GPU."""
        return any(device.platform == "gpu" for device in array.devices())

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray:
        """Return a new array, ready to be written before anybody else knows of it."""
        (device,) = like.owner.devices()
        with self._x64(True):  # scratch memory is of 64 bits, whatever JAX makes of its own numbers
            return self._made(self._jax.numpy.empty(shape, dtype, device=device))

    def argsort(
        self, keys: DeviceArray, like: DeviceArray, below: int | None = None
    ) -> tuple[DeviceArray, DeviceArray] | None:
        """Return keys in order and where each was, of 32 bits where that is enough."""
        array = self._array(keys)
        if array is None:
            return None
        with self._x64(True):
            if below is not None and below <= 1 << 31 and keys.dtype.itemsize > 4:
                array = array.astype(np.int32)
            order = self._jax.numpy.argsort(array, stable=True)
            return self._made(array[order]), self._made(order)

    def matmul(self, a: DeviceArray, b: DeviceArray) -> DeviceArray | None:
        """Return the product of two matrices of float32 or float64, whose numbers XLA must not round first."""
        first, second = self._array(a), self._array(b)
        if first is None or second is None or a.dtype != b.dtype or a.dtype.kind != "f" or a.dtype.itemsize < 4:
            return None
        with self._x64(True):
            return self._made(self._jax.numpy.matmul(first, second, precision="highest"))

    def _array(self, array: DeviceArray) -> Any:
        """Return an array as JAX's own; None where its owner is none, or of another shape or memory."""
        owner = array.owner
        if KNOWN.get(type(owner)) is not self or (owner.shape, np.dtype(owner.dtype)) != (array.shape, array.dtype):
            return None
        packed = array.strides == packed_strides(array.shape, array.dtype.itemsize)
        return owner if packed and owner.unsafe_buffer_pointer() == array.pointer else None

    def _made(self, array: Any) -> DeviceArray:
        """Return a new array of JAX as one that a kernel may write to."""
        return self._view_there(array, "", array.devices())._replace(writeable=True)

    def _results(self, value: Any) -> Any:
        """As `Framework._results`; integers of 64 bits become what JAX keeps of them, as on the CPU."""
        if KNOWN.get(type(value)) is self and value.dtype.itemsize == 8 and not self._jax.config.jax_enable_x64:
            with self._x64(True):
                if value.dtype.kind in "iu" and value.size:
                    self._require_32_bits(value)
                return value.astype(f"{value.dtype.kind}4")
        return super()._results(value)

    def result(self, array: Array) -> Any:
        """Return an array of JAX, which shares the memory of results that are large and begin at a multiple of 64."""
        if (
            array.dtype.itemsize == 8
            and array.dtype.kind in "iu"
            and array.size
            and not self._jax.config.jax_enable_x64
        ):
            self._require_32_bits(array)
        if not array.dtype.isnative:  # ids that the caller gave so
            array = array.astype(array.dtype.newbyteorder("="))
        if array.nbytes < _SHARED_BYTES and self._device is None:
            return self._copied(array)
        return self._put(array, self._device, may_alias=True)

    @staticmethod
    def _require_32_bits(array: Array) -> None:
        """Refuse ids that JAX would cut to 32 bits, without a word."""
        most, limit = int(array.max()), np.iinfo(f"{array.dtype.kind}4").max
        if most > limit:
            raise ValueError(
                f"the result has the id {most}, which JAX cuts to 32 bits; "
                'jax.config.update("jax_enable_x64", True) lets it keep 64'
            )


_arrays = cache(Jax)  # of the module


def find(kind: type) -> Framework | None:
    """Return the framework of a type; None of JAX's types that are no arrays."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    # First, as tracers are arrays too, by every protocol that JAX's arrays have.
    if issubclass(kind, jax.core.Tracer):
        return Refused(
            "JAX",
            "{name} is a JAX tracer, which has no values: call outside of jit, grad, vmap and their like, or use "
            "fastemb.jax, which has gather, embed, pool, embedding_bag, rope and row_grad for inside of them",
        )
    if not issubclass(kind, jax.Array):
        return None
    if kind.__name__ != "ArrayImpl":
        return Refused("JAX", f"{{name}} is a {kind.__name__} of JAX, which has no numbers")
    return _arrays(jax)
