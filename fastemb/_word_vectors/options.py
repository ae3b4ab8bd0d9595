"""What a training of word vectors was asked for, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .._checks import as_flag, as_integer, as_real, require_word
from .._words import shown
from .corpus import Split

Kind = Literal["skipgram", "cbow", "glove"]
#: Where a kind differs: how often the texts are gone through, the learning rate, and the window.
_DEFAULTS: dict[str, tuple[int, float, int]] = {
    "skipgram": (5, 0.025, 5),
    "cbow": (5, 0.05, 5),
    "glove": (25, 0.05, 10),
}
_SAMPLING = ("skipgram", "cbow")
#: The kinds that an option is for, and its value where it is not given.
_ONLY: dict[str, tuple[tuple[str, ...], Any]] = {
    "negatives": (_SAMPLING, 5),
    "sample": (_SAMPLING, 1e-3),
    "shared_negatives": (("skipgram",), True),
    "x_max": (("glove",), 100.0),
    "memory": (("glove",), 1 << 30),
}
#: The least and the most of integers.
_RANGES = {
    "dim": (1, 1 << 16),
    "window": (1, 1 << 10),
    "min_count": (1, 2**63 - 1),
    "epochs": (1, 2**31 - 1),
    "negatives": (1, 1 << 10),
    "memory": (1 << 20, 2**63 - 1),
    "seed": (0, 2**64 - 1),
}


@dataclass(frozen=True)
class Training:
    """What was asked for."""

    kind: Kind
    dim: int
    window: int
    min_count: int
    epochs: int
    learning_rate: float
    split: Split
    seed: int
    progress: bool
    negatives: int
    sample: float
    shared_negatives: bool
    x_max: float
    memory: int


def as_training(kind: Any, split: Any, learning_rate: Any, progress: Any, **options: Any) -> Training:
    """Return what is asked for; an option that is None was not given.

    Raises
    ------
    TypeError
        A value is of a wrong type.
    ValueError
        A value is out of its range, or for another kind.
    """
    given = {name: _as_option(name, value) for name, value in options.items() if value is not None}
    rate = None if learning_rate is None else as_real(learning_rate, "learning_rate")
    shown_progress = as_flag(progress, "progress")
    require_word(kind, get_args(Kind), "kind")
    require_word(split, get_args(Split), "split")
    if rate is not None and not 0 < rate < math.inf:
        raise ValueError(f"learning_rate must be above 0 and finite, got {shown(learning_rate)}")
    for name in given.keys() & _ONLY.keys():
        kinds = _ONLY[name][0]
        if kind not in kinds:
            raise ValueError(f"{name} is for {' and '.join(kinds)}, and kind is {kind!r}")
    epochs, usual_rate, window = _DEFAULTS[kind]
    values = {name: default for name, (_, default) in _ONLY.items()} | {"epochs": epochs, "window": window} | given
    return Training(kind, learning_rate=rate or usual_rate, split=split, progress=shown_progress, **values)


def _as_option(name: str, value: Any) -> Any:
    if name == "shared_negatives":
        return as_flag(value, name)
    if name in ("sample", "x_max"):
        number = as_real(value, name)
        if not 0 <= number < math.inf or (name == "x_max" and not number):
            least = "above 0" if name == "x_max" else "at least 0"
            raise ValueError(f"{name} must be {least} and finite, got {shown(value)}")
        return number
    whole, (least_whole, most) = as_integer(value, name), _RANGES[name]
    if not least_whole <= whole <= most:
        raise ValueError(f"{name} must be from {least_whole} to {most}, got {shown(value)}")
    return whole
