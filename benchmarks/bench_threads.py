"""What two threads gain over one, held against what they gain for plain copies in the same minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb

from .corpora import draw_ids, draw_table
from .measure import Measure, copy_gain, cores

ONE = "one thread"
V, D, T = 128_256, 768, 32
LARGE, SMALL = 256 << 20, 4 << 20  # bytes that a call moves: beyond the caches, and too few for two threads
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Array:
    """Return a table that no cache holds."""
    return draw_table(V if request.config.getoption("benchmark_enable") else V // 32, D, "float32")


def gather(table: Array, size: int) -> Callable[[], Array]:
    ids = draw_ids(len(table), size // (2 * table[0].nbytes), "uniform")
    out = np.empty((ids.size, table.shape[1]), table.dtype)
    return lambda: fastemb.gather(table, ids, out=out)


def pool(table: Array, size: int) -> Callable[[], Array]:
    B = size // (T * table[0].nbytes)
    x, out = np.resize(table, (B, T, table.shape[1])), np.empty((B, table.shape[1]), table.dtype)
    return lambda: fastemb.pool(x, out=out)


def bags(table: Array, size: int) -> Callable[[], Array]:
    S = size // (T * table[0].nbytes)
    ids, offsets = draw_ids(len(table), S * T, "uniform"), np.arange(0, S * T + 1, T)
    out = np.empty((S, table.shape[1]), table.dtype)
    return lambda: fastemb.embedding_bag(table, ids, offsets, out=out)


@pytest.mark.skipif(cores() < 2, reason="needs two processors")
@pytest.mark.parametrize("name", [ONE, "fastemb"])
@pytest.mark.parametrize("size", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("make", [gather, pool, bags], ids=lambda make: make.__name__)
def test_two_threads(
    measure: Measure, table: Array, make: Callable[[Array, int], Callable[[], Array]], size: int, name: str
) -> None:
    """Large calls gain nine tenths of what copies gain; small ones lose nothing, as they stay on one thread."""
    size = size if measure.timed else SMALL
    ours, other = make(table, size), make(table, size)

    def alone() -> Array:
        with fastemb.num_threads(1):
            return other()

    gain = copy_gain() if measure.timed and size == LARGE and name == ONE else None
    measure(
        f"{make.__name__}, 2 threads against one",
        f"{size >> 20} MiB moved, {len(table):,} x {table.shape[1]} {table.dtype}",
        {"fastemb": ours, ONE: alone},
        name,
        asked=0.9 if size == SMALL else None if gain is None else 0.9 * gain,
        threads=2,
        rounds=21 if size == LARGE else 3001,
        copy_gain=gain,
    )
