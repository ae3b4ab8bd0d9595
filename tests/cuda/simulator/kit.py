"""What the simulator's tests share: arrays on the device, and calls that must have launched something there."""

from typing import Any

import numpy as np
from numba import cuda

from fastemb import Ragged
from fastemb._cuda import launch


def on_device(value: Any) -> Any:
    """Return NumPy arrays, those in tuples and dicts too, as device arrays of the same strides; all else as it is."""
    if isinstance(value, dict):
        return {name: on_device(one) for name, one in value.items()}
    if isinstance(value, tuple):
        parts = [on_device(one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if not isinstance(value, np.ndarray):
        return value
    # The simulator takes contiguous arrays alone, and its arrays share memory: so a view of a whole array is one of it.
    made = cuda.to_device(np.zeros(1, np.uint8))
    made._ary = value
    return made


def on_host(value: Any) -> Any:
    """Return results as NumPy's; all arrays among them must lie on the device."""
    if value is None:
        return None
    if isinstance(value, tuple):
        parts = [on_host(one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    assert hasattr(value, "__cuda_ndarray__"), f"a {type(value).__name__} came back, not an array of the device"
    return value._ary


def run(function: Any, *given: Any, launches: int = 1, **options: Any) -> Any:
    """Call a public function with device arrays; it must give device arrays and launch kernels, if ``launches``."""
    before = launch.launched
    result = function(*on_device(given), **on_device(options))
    assert launch.launched - before >= launches, "nothing was launched"
    return on_host(result)


__all__ = ["Ragged", "on_device", "on_host", "run"]
