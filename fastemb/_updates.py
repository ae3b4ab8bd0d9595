"""What one step of an optimizer was asked for: `Update`, frozen, no array looked into; and checks of its options."""

import importlib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from . import _checks
from ._words import shown

_WORD = (1 << 64) - 1


class Update(NamedTuple):
    """The numbers and the state of one step.

    ``first`` (V, D): what gradients flow into, velocities or means; or None. ``second``: what their squares do, (V, D)
    or, one number a row, (V,); or None. So the four rules are told apart: neither, ``first``, ``second``, both.

    The law, for each row, everything in the state's type and each operation rounded by itself (`reference.optimize`)::

        g = g + decay * w                               # not where decay is 0
        velocity = keep * velocity + g                  # first alone; nesterov: x = keep * velocity + g, else velocity
        sum = sum + g * g;  x = g / (sqrt(sum) + eps)   # second alone; a number a row: sum + mean(g * g)
        mean = mean + (g - mean) * keep                 # both
        square = square + (g * g - square) * mix;  x = mean / (sqrt(square) + eps)
        w = shrink * w + rate * x                       # no product where shrink is 1
    """

    first: Any
    second: Any
    rate: float
    keep: float = 0.0
    mix: float = 0.0
    eps: float = 0.0
    decay: float = 0.0
    shrink: float = 1.0
    nesterov: bool = False
    #: Of the hash by which 16-bit tables are rounded; None: to the nearest.
    key: int | None = None
    check_finite: bool = False


def key_of(seed: int, step: int) -> int:
    """Return the key of a step, an int64: splitmix64's steps over the seed and over the number of the step."""
    x = 0
    for number in (seed, step):
        x = (x ^ number) + 0x9E3779B97F4A7C15 & _WORD
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _WORD
        x = (x ^ x >> 27) * 0x94D049BB133111EB & _WORD
        x ^= x >> 31
    return x - (x >> 63 << 64)


# The rules as updates ----------------------------------------------------------------------------------------------


def sgd(velocity: Any, *, lr: float, momentum: float, weight_decay: float, nesterov: bool) -> Update:
    """Return a step of gradient descent; without momentum ``velocity`` is None."""
    return Update(velocity, None, -lr, keep=momentum, decay=weight_decay, nesterov=nesterov)


def adagrad(sums: Any, step: int, *, lr: float, lr_decay: float, weight_decay: float, eps: float) -> Update:
    """Return a step of Adagrad, counted from 1."""
    return Update(None, sums, -lr / (1 + (step - 1) * lr_decay), eps=eps, decay=weight_decay)


def adam(
    mean: Any, square: Any, step: int, *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float,
    decoupled: bool, corrected_eps: bool = False,
) -> Update:  # fmt: skip
    """Return a step of Adam or, ``decoupled``, of AdamW, counted from 1.

    ``corrected_eps``: eps is added behind the correction of the bias, as torch's dense optimizers do, not before it.
    """
    b1, b2 = betas
    root = math.sqrt(1 - b2**step)
    decay, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    eps = eps * root if corrected_eps else eps
    rate = lr * root / (1 - b1**step)
    return Update(mean, square, -rate, keep=1 - b1, mix=1 - b2, eps=eps, decay=decay, shrink=shrink)


# Options and saved states ------------------------------------------------------------------------------------------

_DTYPES = ("float64", "float32", "float16", "bfloat16")


def as_not_negative(value: Any, name: str) -> float:
    """Return a real number that is finite and not negative."""
    number = _checks.as_real(value, name)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and not negative, got {shown(value)}")
    return number


def as_count(value: Any, name: str) -> int:
    """Return an integer that 64 bits hold and that is not negative."""
    number = _checks.as_integer(value, name)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{name} must be from 0 to 2**64 - 1, got {shown(number)}")
    return number


def as_betas(betas: Any) -> tuple[float, float]:
    """Return both, each from 0 on and below 1."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise TypeError(f"betas must be a tuple of two floats, got {shown(betas)}")
    first, second = (_checks.as_real(beta, f"betas[{k}]") for k, beta in enumerate(betas))
    for k, beta in enumerate((first, second)):
        if not 0 <= beta < 1:
            raise ValueError(f"betas[{k}] must be from 0 on and below 1, got {shown(beta)}")
    return first, second


def require_keys(told: Mapping[str, Any], names: tuple[str, ...], what: str) -> None:
    """Refuse a dict that holds other things than these."""
    if told.keys() != set(names):
        raise ValueError(
            f"{what} must hold {', '.join(names) or 'nothing'}, got {', '.join(map(str, told)) or 'nothing'}"
        )


def as_table_shape(shape: Any) -> tuple[int, int]:
    """Return the shape of a table, read from a file perhaps."""
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(f"state_dict['shape'] must be that of a table, (V, D), got {shown(shape)}")
    V, D = (_checks.as_size(length, "state_dict['shape']") for length in shape)
    return V, D


def as_table_dtype(name: Any) -> np.dtype[Any]:
    """Return the dtype of a table by its name."""
    if not _checks.is_word(name, _DTYPES):
        raise ValueError(f"state_dict['dtype'] must be one of {', '.join(_DTYPES)}, got {shown(name)}")
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def safetensors_module(doing: str, module: str) -> Any:
    """Return a module of the package safetensors."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{doing} needs the package safetensors: pip install 'fastemb[static]'", name=error.name
        ) from None
