"""What callers give as arrays of JAX, and stand-ins of them, by which the checks of the NumPy functions are asked."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _checks
from .._words import type_name
from ..quantized import QuantizedTable

Array = np.ndarray[Any, Any]


def as_array(value: Any, name: str) -> jax.Array:
    """Return an array of JAX or NumPy as one of JAX, on the CPU as far as that is known."""
    if isinstance(value, jax.Array):
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
            raise TypeError(f"{name} is an array of {value.dtype}, which has no numbers")
        if not isinstance(value, jax.core.Tracer):
            _require_cpu(value, name)
        elif any(type(n) is not int for n in value.shape):
            raise TypeError(f"{name} must have a shape of numbers, got the symbolic shape {value.shape}")
        return value
    if isinstance(value, QuantizedTable):
        raise TypeError(f"{name} must be an array, got a QuantizedTable; give {name}.dequantize()")
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a jax.Array or a numpy.ndarray, got {type_name(value)}")
    _checks.refuse_masked(value, name)
    if value.dtype.hasobject:
        raise TypeError(f"{name} must have a dtype that JAX has, got {value.dtype}")
    return jnp.asarray(value.astype(value.dtype.newbyteorder("="), copy=False))


def _devices(array: jax.Array) -> set[Any]:
    return set(array.devices())


def _require_cpu(array: jax.Array, name: str) -> None:
    for device in _devices(array):
        if device.platform != "cpu":
            way = f'give jax.device_put({name}, jax.devices("cpu")[0])'
            raise TypeError(f"{name} is a JAX array on {device}; fastemb.jax computes on the CPU: {way}")


def as_list(value: Any, name: str) -> jax.Array:
    """Return ids, offsets, a mask or weights as an array of JAX; lists are taken, too.

    Integers of 64 bits that JAX would cut to 32, without a word, are refused: they name no row that it could make.
    """
    if isinstance(value, jax.Array):
        return as_array(value, name)
    array = _checks.as_numbers(value, name)
    kept = jax.dtypes.canonicalize_dtype(array.dtype) if array.dtype.kind in "iu" else array.dtype
    if array.size and kept.itemsize < array.dtype.itemsize:
        limits = np.iinfo(kept)
        wrong = (array < limits.min) | (array > limits.max)
        if wrong.any():
            one = _checks.name_id(array, int(np.argmax(wrong)), name.removesuffix("s"))
            way = 'jax.config.update("jax_enable_x64", True) lets it keep 64'
            raise ValueError(f"{one} does not fit {kept}, to which JAX cuts integers; {way}")
        array = array.astype(kept)
    return as_array(array, name)


def optional(value: Any, name: str) -> jax.Array | None:
    """Return the same of what may be None."""
    return None if value is None else as_list(value, name)


def stand_in(array: Any) -> Any:
    """Return an array of NumPy of the same shape and dtype, without memory to speak of; None stays None.

    What checks arguments above the rooms looks at no value, so it takes stand-ins while a program is traced.
    """
    if array is None:
        return None
    return np.broadcast_to(np.zeros((), np.dtype(array.dtype)), array.shape)


def varying(arrays: Iterable[Any]) -> frozenset[Any]:
    """Return the axes of a mesh along which any of some arrays differs, inside of `shard_map`."""
    types = [jax.typeof(array) for array in arrays if isinstance(array, jax.core.Tracer)]  # others differ along none
    return frozenset().union(*(one.vma if hasattr(one, "vma") else one.manual_axis_type.varying for one in types))


def as_varying(array: Any, axes: frozenset[Any]) -> Any:
    """Return an array that is said to differ along some axes, too: what flows back is summed over them."""
    more = tuple(sorted(axes - varying([array]), key=str))
    if not more:
        return array
    return jax.lax.pcast(array, more, to="varying") if hasattr(jax.lax, "pcast") else jax.lax.pvary(array, more)


def alike(given: dict[str, Any]) -> dict[str, Any]:
    """Return arrays by their names that differ along the same axes, as JAX makes operands of its own functions."""
    axes = varying(given.values())
    return {name: as_varying(array, axes) for name, array in given.items()} if axes else given


def present(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays that were given, by their names."""
    return {name: array for name, array in given.items() if array is not None}


def struct(array: Any) -> jax.ShapeDtypeStruct:
    """Return shape and dtype of an array."""
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def primals(given: Any) -> tuple[dict[str, Any], set[str]]:
    """Return the arrays of a forward with symbolic zeros, and the names of those whose gradients are wanted."""
    wanted = {name for name, one in given.items() if one.perturbed and _checks.is_float(np.dtype(one.value.dtype))}
    return {name: one.value for name, one in given.items()}, wanted


def dense(grad: Any) -> Any:
    """Return what comes into a backward as an array, zeros that were not made as well."""
    if isinstance(grad, jax.custom_derivatives.SymbolicZero):
        return jnp.zeros(grad.shape, grad.dtype)
    return grad
