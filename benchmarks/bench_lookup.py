"""Rows by id: gather against what NumPy offers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb

from .measure import Measure

IDS = 32_768
TABLES = [(30_522, 384, np.float32), (128_256, 768, np.float32), (32_000, 256, np.float16)]
TABLE = pytest.mark.parametrize("table", TABLES, indirect=True, ids=lambda table: f"{table[0]}x{table[1]}")
SPREAD = pytest.mark.parametrize("spread", ["uniform", "Zipf"])


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> npt.NDArray[Any]:
    """Return a table of random rows; the next one takes its place, as the largest needs 400 MB."""
    V, D, dtype = request.param
    return np.random.default_rng(1).random((V, D), np.float32).astype(dtype, copy=False)


def draw_ids(V: int, spread: str) -> npt.NDArray[np.int64]:
    """Draw ids evenly, or by Zipf's law with exponent 1.2: low ids often, as in a vocabulary sorted by use.

    They are int64, which NumPy takes as they are; int32 it would convert at every call.
    """
    rng = np.random.default_rng(2)
    if spread == "uniform":
        return rng.integers(0, V, IDS, np.int64)
    chances = np.cumsum(np.arange(1, V + 1) ** -1.2)
    return np.searchsorted(chances, rng.random(IDS) * chances[-1])


def describe(table: npt.NDArray[Any], ids: npt.NDArray[np.int64], spread: str) -> tuple[str, int]:
    """Return a case's name, and the bytes it moves: ids and rows read, rows written."""
    V, D = table.shape
    row = D * table.dtype.itemsize
    return f"{V:,} x {D} {table.dtype}, {ids.size:,} {spread} ids", ids.nbytes + 2 * ids.size * row


@pytest.mark.parametrize("name", ["np.take", "fastemb"])
@TABLE
@SPREAD
def test_gather_into_out(measure: Measure, table: npt.NDArray[Any], spread: str, name: str) -> None:
    ids = draw_ids(len(table), spread)
    case, moved = describe(table, ids, spread)
    measure("gather into out=", case, into_out(table, ids), name, moved=moved)


@pytest.mark.parametrize("name", ["table[ids]", "fastemb"])
@TABLE
@SPREAD
def test_gather_new(measure: Measure, table: npt.NDArray[Any], spread: str, name: str) -> None:
    ids = draw_ids(len(table), spread)
    case, moved = describe(table, ids, spread)
    calls = {"fastemb": lambda: fastemb.gather(table, ids), "table[ids]": lambda: table[ids]}
    measure("gather, new result", case, calls, name, moved=moved)


@pytest.mark.parametrize("name", ["np.take", "table[ids]", "fastemb"])
def test_gather_four_rows(measure: Measure, name: str) -> None:
    table = np.random.default_rng(1).random((1000, 64), np.float32)
    ids = np.array([3, 999, 0, 512])
    case, moved = describe(table, ids, "chosen")
    calls = {
        "fastemb": lambda: fastemb.gather(table, ids),
        "np.take": lambda: np.take(table, ids, axis=0),
        "table[ids]": lambda: table[ids],
    }
    measure("gather, new result", case, calls, name, moved=moved)


def into_out(table: npt.NDArray[Any], ids: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Both sides write into a result of their own, whose pages have been touched.

    With ``mode="clip"`` NumPy writes straight into it; with ``"raise"`` it goes through a copy.
    """
    mine, theirs = (np.full((ids.size, table.shape[1]), np.nan, table.dtype) for _ in range(2))
    return {
        "fastemb": functools.partial(fastemb.gather, table, ids, out=mine),
        "np.take": functools.partial(np.take, table, ids, axis=0, out=theirs, mode="clip"),
    }
