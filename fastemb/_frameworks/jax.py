"""Arrays of JAX on the CPU: views of their memory, and results that share ours where they are large."""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import DECIDE, KNOWN, WRITTEN, Array, Framework, Refused, Result, names_of, unlocked

# Making an array of JAX takes 17 µs with a copy and 28 without: from about here on the copy is the longer way.
_SHARED_BYTES = 1 << 18


class Jax(Framework):
    """Arrays with values."""

    name, maker = "JAX", "jax.numpy.asarray"

    def __init__(self, jax: Any) -> None:
        self._jax, self._copied, self._put = jax, jax.numpy.asarray, jax.device_put
        # Arrays are made on the default device, and results belong where the arrays of the call are.
        self._device = None if jax.default_backend() == "cpu" else jax.devices("cpu")[0]
        self._several = len(jax.devices("cpu")) > 1

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

    def view(self, array: Any, name: str) -> Array:
        """Return a view; a copy of an array that lies on several devices."""
        if name in WRITTEN:
            raise TypeError(
                f"{name} is a JAX array, which cannot be written to; give a NumPy array, or leave {name} out "
                f"(of a table: table.at[ids].add(rows))"
            )
        devices = array.devices()
        for device in devices:
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
            "JAX", "{name} is a JAX tracer, which has no values: call outside of jit, grad, vmap and their like"
        )
    if not issubclass(kind, jax.Array):
        return None
    if kind.__name__ != "ArrayImpl":
        return Refused("JAX", f"{{name}} is a {kind.__name__} of JAX, which has no numbers")
    return _arrays(jax)
