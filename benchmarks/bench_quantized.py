"""Tables of codes: making them, and reading rows of them, against NumPy and torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb
from fastemb.quantized import QuantizedTable, quantize

from .measure import Measure
from .rivals import load_torch

IDS = 32_768
TABLES = [(30_522, 384), (128_256, 768)]
TABLE = pytest.mark.parametrize("table", TABLES, indirect=True, ids=lambda table: f"{table[0]}x{table[1]}")
BITS = pytest.mark.parametrize("bits", [8, 4])


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> npt.NDArray[np.float32]:
    """Return a table of random rows around zero; where nothing is timed, a sixteenth of it."""
    V, D = request.param
    V = V if request.config.getoption("benchmark_enable") else V // 16
    return np.random.default_rng(1).random((V, D), np.float32) - np.float32(0.5)


def codes_in_numpy(table: npt.NDArray[np.float32]) -> QuantizedTable:
    """Do what `quantize` does to 8 bits, in as few passes as NumPy needs."""
    offset = table.min(axis=1)
    scale = (table.max(axis=1) - offset) / np.float32(255)
    x = table - offset[:, np.newaxis]
    x /= scale[:, np.newaxis]
    return QuantizedTable(np.rint(x, out=x).astype(np.uint8), scale, offset, table.shape)


def numbers_in_numpy(table: QuantizedTable, ids: Any) -> npt.NDArray[np.float32]:
    """Read rows of 8-bit codes; ids may be a slice."""
    x = table.codes[ids].astype(np.float32)
    x *= table.scale[ids, np.newaxis]
    x += table.offset[ids, np.newaxis]
    return x


def same_table(a: Any, b: Any) -> None:
    """Two tables of codes are the same, to the bit; torch's, of another layout, is not compared."""
    if isinstance(a, QuantizedTable) and isinstance(b, QuantizedTable):
        assert np.array_equal(a.codes, b.codes)
        assert np.array_equal(a.scale, b.scale)
        assert np.array_equal(a.offset, b.offset)


@pytest.mark.allocates
@pytest.mark.parametrize(("bits", "name"), [(8, "NumPy"), (8, "torch"), (8, "fastemb"), (4, "torch"), (4, "fastemb")])
@TABLE
def test_quantize(measure: Measure, table: npt.NDArray[np.float32], bits: int, name: str) -> None:
    calls, case = quantize_calls(table, bits), f"{len(table):,} x {table.shape[1]} float32 to {bits} bits"
    moved = table.nbytes + table.size * bits // 8
    measure("quantize", case, calls, name, agree=same_table, rounds=5, moved=moved, asked={"torch": 1})


def quantize_calls(table: npt.NDArray[np.float32], bits: int) -> dict[str, Callable[[], Any]]:
    """Return ours, torch's, and NumPy's to 8 bits."""
    torch = load_torch(1)
    given = torch.from_numpy(table)
    pack = getattr(torch.ops.quantized, f"embedding_bag_{'byte' if bits == 8 else '4bit'}_prepack")
    calls = {"fastemb": functools.partial(quantize, table, bits), "torch": functools.partial(pack, given)}
    if bits == 8:
        calls["NumPy"] = functools.partial(codes_in_numpy, table)
    return calls


@pytest.mark.parametrize(("bits", "name"), [(8, "NumPy"), (8, "torch"), (8, "fastemb"), (4, "torch"), (4, "fastemb")])
def test_quantize_few_rows(measure: Measure, bits: int, name: str) -> None:
    table = np.random.default_rng(1).random((4, 64), np.float32) - np.float32(0.5)
    case = f"quantize: 4 rows of 64 float32 to {bits} bits"
    measure("small calls", case, quantize_calls(table, bits), name, agree=same_table)


@pytest.mark.parametrize("name", ["NumPy", "fastemb"])
def test_dequantize_few_rows(measure: Measure, name: str) -> None:
    codes = quantize(np.random.default_rng(1).random((4, 64), np.float32) - np.float32(0.5))
    calls = {"fastemb": codes.dequantize, "NumPy": lambda: numbers_in_numpy(codes, slice(None))}
    measure("small calls", "dequantize: 4 rows of 64 from 8 bits", calls, name)


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["NumPy", "fastemb"])
@TABLE
def test_dequantize(measure: Measure, table: npt.NDArray[np.float32], name: str) -> None:
    codes = quantize(table)
    calls = {"fastemb": codes.dequantize, "NumPy": lambda: numbers_in_numpy(codes, slice(None))}
    case = f"{len(table):,} x {table.shape[1]} from 8 bits"
    measure("dequantize", case, calls, name, rounds=5, moved=codes.nbytes + table.nbytes)


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["NumPy", "fastemb"])
@pytest.mark.parametrize("count", [4, IDS])
@TABLE
def test_gather(measure: Measure, table: npt.NDArray[np.float32], count: int, name: str) -> None:
    codes, ids = quantize(table), np.random.default_rng(2).integers(0, len(table), count)
    calls = {"fastemb": lambda: fastemb.gather(codes, ids), "NumPy": lambda: numbers_in_numpy(codes, ids)}
    (V, D), moved = table.shape, ids.nbytes + count * (5 * table.shape[1] + 8)
    measure("gather, 8-bit codes", f"{V:,} x {D} from 8 bits, {count:,} uniform ids", calls, name, moved=moved)


@pytest.mark.parametrize("name", ["fastemb, float32 table", "fastemb"])
@BITS
@TABLE
def test_gather_against_a_table_of_floats(
    measure: Measure, table: npt.NDArray[np.float32], bits: int, name: str
) -> None:
    """What codes cost, or save: the same lookup in the float32 table they were made of, into touched results."""
    codes, ids = quantize(table, bits), np.random.default_rng(2).integers(0, len(table), IDS)
    mine, other = (np.full((IDS, table.shape[1]), np.nan, np.float32) for _ in range(2))
    calls = {
        "fastemb": functools.partial(fastemb.gather, codes, ids, out=mine),
        "fastemb, float32 table": functools.partial(fastemb.gather, table, ids, out=other),
    }
    (V, D), moved = table.shape, ids.nbytes + IDS * (4 * table.shape[1] + codes.codes.shape[1] + 8)
    case = f"{V:,} x {D}, {bits} bits, {IDS:,} uniform ids"
    measure("gather into out=, codes or floats", case, calls, name, agree=None, moved=moved)
