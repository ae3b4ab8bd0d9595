"""Arithmetic in the simulator: on numbers, and on NumPy arrays for columns in registers; `words` says what each is."""

import ctypes
from functools import cache
from typing import Any

import numpy as np

from .words_simulated import _at, _lock, _me


def add(x: Any, y: Any) -> Any:
    return x + y


def minus(x: Any, m: Any) -> Any:
    return x - x.dtype.type(m)


def less(x: Any, y: Any) -> Any:
    return x - y


def times(x: Any, w: Any) -> Any:
    return x * x.dtype.type(w)


def times_each(x: Any, y: Any) -> Any:
    return x * y


def over(x: Any, n: Any) -> Any:
    return x / x.dtype.type(n)


def over_each(x: Any, y: Any) -> Any:
    return x / y


def roots(x: Any) -> Any:
    return np.sqrt(x)


def fused(x: Any, y: Any, z: Any) -> Any:
    return (x.astype(np.float64) * y + z).astype(x.dtype)


def greater(x: Any, y: Any) -> Any:
    return np.where((y > x) | np.isnan(y), y, x)


def pick_equal(x: Any, y: Any, p: Any, q: Any) -> Any:
    return np.where((x == y) | (np.isnan(x) & np.isnan(y)), p, q)


def take(so: Any, x: Any, y: Any) -> Any:
    return x if so else y


def doubled(x: Any) -> Any:
    return x.astype(np.float64)


def singled(x: Any) -> Any:
    return x.astype(np.float32)


def total(x: Any) -> Any:
    while len(x) > 1:
        half = len(x) // 2
        x = np.concatenate([x[:half] + x[half : 2 * half], x[2 * half :]])
    return x[0]


def squares(x: Any) -> Any:
    return total(x * x)


def dot(x: Any, y: Any) -> Any:
    return total(x * y)


def most(x: Any) -> Any:
    return np.fmax.reduce(np.abs(x))


def root(x: Any) -> Any:
    return np.sqrt(x)


def inverse_root(x: Any) -> Any:
    return type(x)(1) / np.sqrt(x)


def divide(x: Any, y: Any) -> Any:
    return x / type(x)(y)


def product(x: Any, y: Any) -> Any:
    return x * type(x)(y)


def remainder(i: Any, n: Any) -> Any:
    if not (0 <= i < 1 << 32 and 0 < n < 1 << 32):
        raise OverflowError(f"{i} % {n} in 32 bits")
    return i % n


@cache
def make_number(acc: str) -> Any:
    kind = np.dtype(acc).type

    def number(x: Any) -> Any:
        return kind(x)

    return number


def _lanes(x: Any, count: int) -> Any:
    """Return the numbers of the ``count`` threads among which this one is. All threads of the block must come here.

    On a device only a warp's lanes must. Two places in turns: a thread that is ahead cannot be ahead by two.
    """
    me = _me()
    held = me._manager.__dict__.setdefault("fastemb_lanes", ({}, {}))
    me.fastemb_turn = turn = 1 - getattr(me, "fastemb_turn", 1)
    with _lock:
        held[turn][me.thread_id] = x
    me.syncthreads()
    first = me.thread_id // count * count
    return np.array([held[turn][first + k] for k in range(count)])


def fold(x: Any, count: int, op: Any) -> Any:
    """Return what ``op`` makes of the numbers of ``count`` threads, by halving, as shuffles do."""
    v = _lanes(x, count)
    while len(v) > 1:
        v = op(v[: len(v) // 2], v[len(v) // 2 :])
    return v[0]


@cache
def make_lanes_sum(lanes: int) -> Any:
    def lanes_sum(x: Any) -> Any:
        return fold(x, lanes, np.add)

    return lanes_sum


warp_sum = make_lanes_sum(32)


def warp_most(x: Any) -> Any:
    return fold(x, 32, np.fmax)


def warp_votes(so: Any) -> Any:
    me = _me()
    held = me._manager.__dict__.setdefault("fastemb_votes", {})
    with _lock:
        held[me.thread_id] = bool(so)
    me.syncthreads()
    lane = me.thread_id % 32
    votes = [k for k in range(32) if held[me.thread_id - lane + k]]
    me.syncthreads()
    return sum(k < lane for k in votes), len(votes), min(votes, default=32), max(votes, default=-1)


def report(status: Any, position: Any) -> None:
    with _lock:
        word = _at(status, 16, np.int64)
        word[0] = min(word[0], int(position))
        ctypes.c_int64.from_address(int(word[1])).value = 1
