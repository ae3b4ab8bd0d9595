"""What pools and bags are asked for: which positions each bag joins.

A position is a number on a list. Without ids it is a row itself; with ids, position ``i`` means the row
``index[i]``. Masks and padding are taken away before any kernel runs: what is left is a shorter list. So the
padded and the ragged form of the same bags go through the same kernel and give the same bits.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays import Array
from ..ragged import Ragged

MODES = ("sum", "mean", "max", "cls", "last", "mean_sqrt_len", "weighted_mean", "mean_max")


@cache
def _list_kept() -> Callable[..., int]:
    """Import the kernel when it is first needed: it brings Numba with it."""
    from .._cpu.rows import list_kept

    return list_kept


@dataclass(slots=True)
class Plan:
    """Bag s joins the positions from ``begins[s]`` up to ``ends[s]``.

    ``size`` counts the places of the caller's ids or rows, and ``places`` says for each position which place it
    is; None: the place of its own number.
    """

    begins: Array
    ends: Array
    size: int
    index: Array | None = None
    places: Array | None = None
    weights: Array | None = None

    @property
    def S(self) -> int:
        """The number of bags."""
        return len(self.begins)

    @property
    def positions(self) -> int:
        """The number of positions on the list, those that no bag joins included."""
        return self.size if self.places is None else self.places.size

    def keep(self, kept: Array | None) -> None:
        """Leave only the places for which ``kept`` (bool, flat) is true; None: all."""
        if kept is None:
            return
        kept = np.ascontiguousarray(kept)
        places, bounds = np.empty(self.size + 1, np.int64), np.empty((2, self.S), np.int64)
        address = _arrays.address
        at = address(kept), address(self.begins), address(self.ends), self.S, address(places), address(bounds)
        n = _list_kept()(*at, at[-1] + bounds.strides[0])
        if n < self.size:
            self.places, (self.begins, self.ends) = places[:n], bounds

    def finish(self, mode: str, weights: Any, shape: tuple[int, ...], lane: np.dtype[Any]) -> None:
        """Apply what a mode means for positions and their weights; ``shape`` is that of the places."""
        if weights is not None:
            self.weigh(as_weights(weights, shape, lane))
        elif mode == "weighted_mean":
            self.count(lane)
        elif mode in ("cls", "last"):
            self.only(mode)

    def weigh(self, weights: Array) -> None:
        """Give each position the weight of its place."""
        self.weights = np.ascontiguousarray(weights if self.places is None else weights[self.places])

    def only(self, mode: str) -> None:
        """Leave the first or the last position of each bag."""
        some = self.ends > self.begins
        if mode == "cls":
            self.ends = self.begins + some
        else:
            self.begins = self.ends - some

    def members(self) -> tuple[Array, Array]:
        """Return the bag and the number of every position that a bag joins, bag by bag."""
        lengths = self.ends - self.begins
        bags = np.repeat(np.arange(self.S), lengths)
        positions = np.arange(bags.size) + np.repeat(self.begins - (np.cumsum(lengths) - lengths), lengths)
        return bags, positions

    def count(self, lane: np.dtype[Any]) -> None:
        """Weigh the positions of each bag 1, 2, 3 and so on."""
        bags, positions = self.members()
        self.weights = np.zeros(self.positions, lane)
        self.weights[positions] = positions - self.begins[bags] + 1

    def cuts(self, ranges: int) -> list[int]:
        """Cut the bags so that ranges have as many positions; a bag, which has to be written, counts as one more."""
        S, begins = self.S, self.begins
        if S and begins[0] == 0 and self.ends[-1] == self.positions and np.array_equal(begins[1:], self.ends[:-1]):
            total = self.positions + S
            goals = (total * k // ranges for k in range(1, ranges))
            return [0, *(bisect_left(range(S), goal, key=lambda s: int(begins[s]) + s) for goal in goals), S]
        load = np.cumsum(self.ends - begins + 1)
        inner = np.searchsorted(load, [load[-1] * k // ranges for k in range(1, ranges)], side="left")
        return [0, *map(int, inner), S]


# What callers give ------------------------------------------------------------------------------------------------


def require_mode(mode: str, weights: Any) -> None:
    """Refuse an unknown mode, and weights where the mode has no use for them."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    if weights is not None and mode not in ("sum", "mean"):
        raise ValueError(f"weights go with mode 'sum' or 'mean', got mode {mode!r}")


def as_mask(mask: Any, shape: tuple[int, ...]) -> Array:
    """Return a mask as a flat bool array: true where it is not zero."""
    array = _arrays.as_numbers(mask, "mask")
    if array.dtype != np.bool_:
        array = _arrays.as_integers(array, "mask") != 0
    if array.shape != shape:
        raise ValueError(f"mask must have shape {shape}, got {array.shape}")
    return array.reshape(-1)


def as_weights(weights: Any, shape: tuple[int, ...], lane: np.dtype[Any]) -> Array:
    """Return weights as a flat array of the dtype in which rows are added."""
    array = _arrays.as_numbers(weights, "weights")
    if array.dtype.kind not in "iu" and not _arrays.is_float(array):
        raise TypeError(f"weights must be real numbers, got dtype {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"weights must have shape {shape}, one for each row, got {array.shape}")
    with np.errstate(over="ignore", under="ignore"):
        return np.ascontiguousarray(array, lane).reshape(-1)


def as_lengths(lengths: Any, B: int, T: int) -> Array:
    """Return lengths as int64, checked to lie from 0 to T."""
    array = _arrays.as_integers(lengths, "lengths")
    if array.shape != (B,):
        raise ValueError(f"lengths must have shape {(B,)}, got {array.shape}")
    wrong = (array < 0) | (array > T)
    if wrong.any():
        s = int(np.argmax(wrong))
        raise ValueError(f"lengths must lie from 0 to {T}, got lengths[{s}] = {array[s]}")
    return array.astype(np.int64)


def plan_rectangle(B: int, T: int, lengths: Any = None) -> Plan:
    """Return the plan of B bags of T places each, or of their first places."""
    begins = np.arange(B, dtype=np.int64) * T
    return Plan(begins, begins + (T if lengths is None else as_lengths(lengths, B, T)), B * T)


def plan_offsets(offsets: Any, N: int, what: str = "ids") -> Plan:
    """Return the plan of N places in bags that follow one another."""
    ends = _arrays.as_offsets(offsets, N, what)
    return Plan(ends[:-1], ends[1:], N)


def plan_rows(x: Array, mask: Any, lengths: Any, offsets: Any) -> Plan:
    """Return the plan of a pool over x."""
    named = {"mask": mask, "lengths": lengths, "offsets": offsets}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"at most one of mask, lengths and offsets may be given, got {' and '.join(given)}")
    if x.ndim == 2:
        if offsets is None:
            raise ValueError(f"x of shape (N, D) needs offsets to say where texts begin, got shape {x.shape} alone")
        return plan_offsets(offsets, len(x), "rows")
    if x.ndim != 3:
        raise ValueError(f"x must have shape (B, T, D), or (N, D) with offsets, got {x.shape}")
    if offsets is not None:
        raise ValueError(f"offsets go with x of shape (N, D), got {x.shape}")
    B, T = x.shape[:2]
    plan = plan_rectangle(B, T, lengths)
    plan.keep(None if mask is None else as_mask(mask, (B, T)))
    return plan


def plan_ids(ids: Any, offsets: Any, mask: Any, padding_idx: int | None) -> tuple[Array, Plan]:
    """Return the ids, and the plan of the bags they make."""
    kept: Array | None = None
    if isinstance(ids, Ragged):
        if offsets is not None or mask is not None:
            raise ValueError("a Ragged brings its own offsets; neither offsets nor mask must be given with it")
        # Checked again although Ragged has done so: its arrays can be written to.
        given, plan = ids.ids, plan_offsets(ids.offsets, ids.ids.size)
    else:
        given = _arrays.as_integers(ids, "ids")
        if given.ndim == 2:
            if offsets is not None:
                raise ValueError(f"offsets go with 1-D ids, got ids of shape {given.shape}, whose rows are the bags")
            plan = plan_rectangle(*given.shape)
            kept = None if mask is None else as_mask(mask, given.shape)
        elif given.ndim != 1:
            raise ValueError(f"ids must be 1-D with offsets, or 2-D, got shape {given.shape}")
        elif mask is not None:
            raise ValueError(f"a mask goes with 2-D ids, got ids of shape {given.shape}")
        elif offsets is None:
            raise ValueError(f"1-D ids need offsets to say where bags begin, got ids of shape {given.shape} alone")
        else:
            plan = plan_offsets(offsets, given.size)
    skipped = _arrays.as_padding(padding_idx)
    if skipped is not None:
        real = given.reshape(-1) != skipped
        kept = real if kept is None else kept & real
    plan.keep(kept)
    return given, plan
