"""How fast each pair of columns turns: the frequencies of ``rope`` by Hugging Face's ``rope_scaling``, in float64."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import _checks
from .arrays import Array

_Rule = Callable[[Mapping[str, Any], Array, float, int | None], tuple[Array, float]]

_ORIGINAL, _LONGEST = "original_max_position_embeddings", "max_position_embeddings"


def plain(dim: int, base: float) -> Array:
    """Return ``base ** (-2i / dim)`` for each pair i of columns."""
    pairs = dim // 2
    return base ** (np.arange(pairs) / -max(pairs, 1))


def rope_frequencies(dim: int, base: float, scaling: Mapping[str, Any], length: int | None) -> tuple[Array, float]:
    """Return the frequencies, (R/2,) of R columns that turn, and the number that cosines and sines are multiplied by.

    Raises the ValueError or TypeError for what the dict lacks or has that is no number.
    """
    layers = " or ".join(repr(name) for name, value in scaling.items() if isinstance(value, Mapping))
    if layers and "rope_type" not in scaling and "type" not in scaling:
        raise ValueError(f"scaling must be one dict, got one for each kind of layer: give that of {layers}")
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    rule = _RULES.get(kind) if isinstance(kind, str) else None
    if rule is None:
        raise ValueError(f"scaling must have a rope_type of {', '.join(map(repr, _RULES))}, got {kind!r}")
    base = _number(scaling, "rope_theta", base)
    share = _number(scaling, "partial_rotary_factor", 1.0)
    if share > 1:
        raise ValueError(f"scaling['partial_rotary_factor'] must be at most 1, got {share}")
    turning = int(dim * share)
    if turning % 2:
        raise ValueError(f"partial_rotary_factor must leave an even number of the {dim} columns, got {turning}")
    return rule(scaling, plain(turning, base), base, length)


# What the dict holds -----------------------------------------------------------------------------------------------


def _number(scaling: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """Return a number of the dict, positive and finite; without a default it has to be there."""
    value = scaling.get(name)
    if value is None:
        if default is None:
            raise ValueError(f"scaling of this rope_type needs {name!r}, got {', '.join(map(repr, scaling))}")
        return default
    if isinstance(value, bool):
        raise TypeError(f"scaling[{name!r}] must be a real number, got bool")
    number = _checks.as_real(value, f"scaling[{name!r}]")
    if not 0 < number < math.inf:
        raise ValueError(f"scaling[{name!r}] must be positive and finite, got {number}")
    return number


def _factor(scaling: Mapping[str, Any]) -> float:
    """Return by how much texts are longer than in training: the factor, or the ratio of both lengths."""
    if scaling.get("factor") is None and scaling.get(_LONGEST) is not None:
        return _number(scaling, _LONGEST) / _number(scaling, _ORIGINAL)
    return _number(scaling, "factor")


def _factors(scaling: Mapping[str, Any], name: str, count: int) -> Array:
    """Return a list of numbers of the dict, one for each frequency."""
    given = scaling.get(name)
    if not isinstance(given, list | tuple | np.ndarray) or len(given) != count:
        held = "nothing" if given is None else f"{len(given)}" if hasattr(given, "__len__") else type(given).__name__
        raise ValueError(f"scaling of this rope_type needs {count} numbers {name!r}, got {held}")
    return np.array([_number({name: one}, name) for one in given])


# Rules: of frequencies without scaling those with it ---------------------------------------------------------------


def _default(scaling: Mapping[str, Any], inv_freq: Array, base: float, length: int | None) -> tuple[Array, float]:
    """Return the frequencies as they are."""
    return inv_freq, 1.0


def _linear(scaling: Mapping[str, Any], inv_freq: Array, base: float, length: int | None) -> tuple[Array, float]:
    """Divide all: as if positions lay closer together (Chen et al., 2023)."""
    return inv_freq / _number(scaling, "factor"), 1.0


def _dynamic(scaling: Mapping[str, Any], inv_freq: Array, base: float, length: int | None) -> tuple[Array, float]:
    """Raise the base with the length of the text, once that is beyond the one of training ("NTK-aware")."""
    known = _number(scaling, _LONGEST if scaling.get(_ORIGINAL) is None else _ORIGINAL)
    factor, dim = _number(scaling, "factor"), 2 * inv_freq.size
    longer = factor * max(known if length is None else length, known) / known - (factor - 1)
    return (plain(dim, base * longer ** (dim / (dim - 2))) if dim > 2 else inv_freq), 1.0


def _yarn(scaling: Mapping[str, Any], inv_freq: Array, base: float, length: int | None) -> tuple[Array, float]:
    """Divide slow pairs, leave fast ones, go over between them by a ramp (Peng et al., YaRN, 2023)."""
    factor, known, dim = _factor(scaling), _number(scaling, _ORIGINAL), 2 * inv_freq.size
    if base <= 1:
        raise ValueError(f"base must be more than 1 for yarn, got {base}")

    def pair_of(turns: float) -> float:
        """Return which pair, not a whole number, turns so often within the length of training."""
        return dim * math.log(known / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair_of(_number(scaling, "beta_fast", 32.0)), pair_of(_number(scaling, "beta_slow", 1.0))
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(inv_freq.size) - low) / (high - low if high != low else 0.001), 0, 1)
    return inv_freq / factor * ramp + inv_freq * (1 - ramp), _yarn_scale(scaling, factor)


def _yarn_scale(scaling: Mapping[str, Any], factor: float) -> float:
    """Return the number that makes up for attention spread over a longer text."""

    def grown(by: float) -> float:
        return 0.1 * by * math.log(factor) + 1.0 if factor > 1 else 1.0

    if scaling.get("attention_factor") is not None:
        return _number(scaling, "attention_factor")
    if scaling.get("mscale") and scaling.get("mscale_all_dim"):
        return grown(_number(scaling, "mscale")) / grown(_number(scaling, "mscale_all_dim"))
    return grown(1.0)


def _longrope(scaling: Mapping[str, Any], inv_freq: Array, base: float, length: int | None) -> tuple[Array, float]:
    """Divide each by a factor of its own, of one set for short texts or another for long ones (Ding et al., 2024)."""
    known, N = _number(scaling, _ORIGINAL), inv_freq.size
    short, long = _factors(scaling, "short_factor", N), _factors(scaling, "long_factor", N)
    found = inv_freq / (long if length is not None and length > known else short)
    if scaling.get("attention_factor") is not None:
        return found, _number(scaling, "attention_factor")
    factor = _factor(scaling)
    if known <= 1:
        raise ValueError(f"scaling[{_ORIGINAL!r}] must be more than 1 for longrope, got {known}")
    return found, math.sqrt(1 + math.log(factor) / math.log(known)) if factor > 1 else 1.0


def _llama3(scaling: Mapping[str, Any], inv_freq: Array, base: float, length: int | None) -> tuple[Array, float]:
    """Divide those whose waves are long beside the text of training, leave short ones, go over smoothly (Llama 3.1)."""
    factor, known = _number(scaling, "factor"), _number(scaling, _ORIGINAL)
    slow, fast = _number(scaling, "low_freq_factor"), _number(scaling, "high_freq_factor")
    if fast <= slow:
        raise ValueError(f"scaling['high_freq_factor'] must be more than ['low_freq_factor'], got {fast} and {slow}")
    waves = known * inv_freq / (2 * math.pi)  # within the text of training
    share = np.clip((waves - slow) / (fast - slow), 0, 1)
    return (1 - share) * inv_freq / factor + share * inv_freq, 1.0


_RULES: dict[str, _Rule] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}
