"""Rows by id: gather against what NumPy and torch offer."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import fastemb
from fastemb import _memory

from .corpora import draw_ids, draw_table
from .measure import Measure
from .rivals import load_torch


class Size(NamedTuple):
    """A table, how many rows of it are looked up, and what is asked against np.take, by the spread of ids."""

    V: int
    D: int
    dtype: Any
    N: int
    asked: Mapping[str, float] = {}
    asked_of_two_threads: Mapping[str, float] = {}


TABLES = [
    Size(30_522, 384, np.float32, 32_768, {"uniform": 1.2, "Zipf": 1.2}),
    Size(128_256, 768, np.float32, 32_768, {"uniform": 1.4, "Zipf": 1.4}, {"uniform": 2.5, "Zipf": 2.5}),
    Size(128_256, 4096, np.float32, 8_192, {"uniform": 1.25, "Zipf": 1.4}, {"uniform": 2.0, "Zipf": 2.5}),
    Size(1_000_000, 128, np.float32, 131_072, {"uniform": 1.2, "Zipf": 1.2}),
    Size(32_000, 256, np.float16, 32_768, {"uniform": 1.2, "Zipf": 1.2}),
]
LARGE = TABLES[:4]  # results of 48 MiB and more
# Results of 64 KiB to 12 MiB, which may lie in a cache from the call before.
SMALLER = [
    Size(30_522, 384, np.float32, N, {"uniform": 1.0, "Zipf": 1.0}) for N in (43, 171, 683, 1_366, 2_731, 5_462, 8_192)
]


def name_of(size: Size) -> str:
    return f"{size.V}x{size.D}" if size in TABLES else f"{size.V}x{size.D}-{size.N}"


ALL = pytest.mark.parametrize("lookup", TABLES, indirect=True, ids=name_of)
ONLY_LARGE = pytest.mark.parametrize("lookup", LARGE, indirect=True, ids=name_of)
SPREAD = pytest.mark.parametrize("spread", ["uniform", "Zipf"])


class Lookup:
    """A table of random rows, and ids for it."""

    def __init__(self, size: Size) -> None:
        self.table, self.N, self.size = draw_table(size.V, size.D, size.dtype), size.N, size

    def ids(self, spread: str) -> npt.NDArray[np.int64]:
        """Return ids as they are spread evenly, or in texts."""
        return draw_ids(len(self.table), self.N, spread)


@pytest.fixture(scope="module")
def lookup(request: pytest.FixtureRequest) -> Lookup:
    """Return a table; the next one takes its place, as the largest needs 2 GB, or 64 MB where nothing is timed."""
    size: Size = request.param
    if not request.config.getoption("benchmark_enable"):
        size = size._replace(V=min(size.V, (64 << 20) // (4 * size.D)), N=size.N // 16)
    return Lookup(size)


def describe(table: npt.NDArray[Any], ids: npt.NDArray[np.int64], spread: str) -> tuple[str, int]:
    """Return a case's name, and the bytes it moves: ids and rows read, rows written."""
    V, D = table.shape
    row = D * table.dtype.itemsize
    return f"{V:,} x {D} {table.dtype}, {ids.size:,} {spread} ids", ids.nbytes + 2 * ids.size * row


@pytest.mark.parametrize("name", ["np.take", "fastemb"])
@SPREAD
@pytest.mark.parametrize("lookup", TABLES + SMALLER, indirect=True, ids=name_of)
def test_gather_into_out(measure: Measure, lookup: Lookup, spread: str, name: str) -> None:
    ids = lookup.ids(spread)
    case, moved = describe(lookup.table, ids, spread)
    asked = lookup.size.asked.get(spread)
    measure("gather into out=", case, into_out(lookup.table, ids), name, moved=moved, asked=asked)


@pytest.mark.parametrize("name", ["np.take", "fastemb"])
@SPREAD
@ONLY_LARGE
def test_gather_into_out_with_two_threads(measure: Measure, lookup: Lookup, spread: str, name: str) -> None:
    ids = lookup.ids(spread)
    case, moved = describe(lookup.table, ids, spread)
    calls, asked = into_out(lookup.table, ids), lookup.size.asked_of_two_threads.get(spread)
    operation = "gather into out=, 2 threads against one of NumPy"
    measure(operation, case, calls, name, moved=moved, threads=2, asked=asked)


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["table[ids]", "torch", "fastemb"])
@pytest.mark.parametrize("pool", ["on", "off"])
@SPREAD
@ALL
def test_gather_new(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, lookup: Lookup, spread: str, pool: str, name: str
) -> None:
    """A result is dropped before the next call, as in a loop over batches."""
    monkeypatch.setattr(_memory, "_pool", _memory.Pool(256 << 20 if pool == "on" else 0))
    torch, table, ids = load_torch(1), lookup.table, lookup.ids(spread)
    torch_table, torch_ids = torch.from_numpy(table), torch.from_numpy(ids)

    def embedding() -> npt.NDArray[Any]:
        with torch.inference_mode():
            return torch.nn.functional.embedding(torch_ids, torch_table).numpy()  # type: ignore[no-any-return]

    calls = {"fastemb": lambda: fastemb.gather(table, ids), "table[ids]": lambda: table[ids], "torch": embedding}
    case, moved = describe(table, ids, spread)
    asked = {"table[ids]": 1.3, "torch": 1.8} if pool == "on" and table.dtype == np.float32 else None
    measure(f"gather, new result, pool {pool}", case, calls, name, moved=moved, asked=asked)


@pytest.mark.parametrize("name", ["np.take", "table[ids]", "fastemb"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("count", [4, 256])
def test_gather_few_rows(measure: Measure, count: int, dtype: Any, name: str) -> None:
    table = np.random.default_rng(1).random((1000, 64), np.float32).astype(dtype)
    ids = np.random.default_rng(2).integers(0, 1000, count)
    case, moved = describe(table, ids, "chosen")
    calls = {
        "fastemb": lambda: fastemb.gather(table, ids),
        "np.take": lambda: np.take(table, ids, axis=0),
        "table[ids]": lambda: table[ids],
    }
    asked = {"np.take": {4: 1 / 1.2, 256: 1 / 3}[count]} if dtype == np.float32 else None
    measure("gather, small calls", case, calls, name, moved=moved, asked=asked)


def into_out(table: npt.NDArray[Any], ids: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Both sides write into a result of their own, whose pages have been touched.

    With ``mode="clip"`` NumPy writes straight into it; with ``"raise"`` it goes through a copy.
    """
    mine, theirs = (np.full((ids.size, table.shape[1]), np.nan, table.dtype) for _ in range(2))
    return {
        "fastemb": functools.partial(fastemb.gather, table, ids, out=mine),
        "np.take": functools.partial(np.take, table, ids, axis=0, out=theirs, mode="clip"),
    }
