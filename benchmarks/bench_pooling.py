"""One vector for each bag of ids: embedding_bag against what NumPy alone can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb

from .measure import Measure, close

IDS = 32_768
TABLES = [(30_522, 384, np.float32), (32_000, 256, np.float16)]


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> npt.NDArray[Any]:
    """Return a table of random rows around zero."""
    V, D, dtype = request.param
    return (np.random.default_rng(1).random((V, D), np.float32) - 0.5).astype(dtype, copy=False)


@pytest.mark.parametrize("name", ["NumPy, any bags", "NumPy, equal bags", "fastemb"])
@pytest.mark.parametrize("length", [12, 512])
@pytest.mark.parametrize("table", TABLES, indirect=True, ids=lambda table: f"{table[0]}x{table[1]}")
def test_mean(measure: Measure, table: npt.NDArray[Any], length: int, name: str) -> None:
    (V, D), S = table.shape, IDS // length
    ids = np.random.default_rng(2).integers(0, V, S * length, np.int64)
    offsets = np.arange(S + 1) * length

    def ours() -> npt.NDArray[np.float32]:
        # A result in float32 whatever the table has, like the rival's, and as new as that one.
        return fastemb.embedding_bag(table, ids, offsets, mode="mean", out=np.empty((S, D), np.float32))

    def any_bags() -> npt.NDArray[np.float32]:
        rows = table[ids].astype(np.float32, copy=False)
        sums = np.add.reduceat(rows, offsets[:-1], axis=0)  # right only because no bag is empty
        sums /= np.diff(offsets).astype(np.float32)[:, np.newaxis]
        return sums

    def equal_bags() -> npt.NDArray[np.float32]:
        # Faster, but only for bags that all have the same length, as they do here.
        return table[ids.reshape(S, length)].mean(axis=1, dtype=np.float32)

    measure(
        "embedding_bag, mean",
        f"{V:,} x {D} {table.dtype}, {S:,} bags of {length} ids",
        {"fastemb": ours, "NumPy, any bags": any_bags, "NumPy, equal bags": equal_bags},
        name,
        agree=close,
        moved=ids.nbytes + offsets.nbytes + ids.size * D * table.dtype.itemsize + S * D * 4,
        counts={"tokens": ids.size},
    )
