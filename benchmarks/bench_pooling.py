"""One vector for each text: pool over rows, embedding_bag over ids, against torch, FBGEMM inside it, and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import fastemb

from .corpora import draw_ids, draw_table
from .measure import Measure, close
from .rivals import load_torch

Array = npt.NDArray[Any]
READ = "reading the kept rows once (the floor)"
TORCH = "sentence-transformers' torch"

TEXTS = pytest.mark.parametrize(
    "texts", [(256, 128, 384), (64, 512, 768)], indirect=True, ids="{0[0]}x{0[1]}x{0[2]}".format
)


@pytest.fixture(scope="module")
def texts(request: pytest.FixtureRequest) -> Array:
    """Return what an encoder gives: a row for each token of a batch of texts."""
    return np.random.default_rng(1).standard_normal(request.param, dtype=np.float32)


@pytest.fixture(scope="session")
def read() -> Callable[[Array, Array], float]:
    """Return a kernel that reads the rows of a list once, and adds all up in any order.

    It asks for later rows as early as ours does: else rows with gaps between them are read at half the rate.
    """
    import numba

    from fastemb._cpu.kernels.intrinsics import prefetch_row
    from fastemb._cpu.kernels.jit import TUNING

    ahead = TUNING.rows_ahead

    @numba.njit(fastmath=True)  # type: ignore[untyped-decorator]
    def add_up(values: Array, rows: Array) -> float:
        total, start, size = np.float32(0), np.int64(values.ctypes.data), values.shape[1] * 4
        for i in range(rows.size):
            later = start + rows[min(i + ahead, rows.size - 1)] * size
            for line in range(0, size, 64):
                prefetch_row(later + line)
            for j in range(values.shape[1]):
                total += values[rows[i], j]
        return total  # type: ignore[no-any-return]

    return add_up  # type: ignore[no-any-return]


def pool_calls(texts: Array, mask: Array, mode: str) -> dict[str, Callable[[], Any]]:
    """Return ours, and the form that sentence-transformers has, in torch and in NumPy."""
    torch = load_torch(1)
    x, kept = torch.from_numpy(texts), torch.from_numpy(mask.astype(np.int64))
    factors = mask[:, :, np.newaxis].astype(np.float32)

    def in_torch() -> Any:
        with torch.inference_mode():
            wide = kept.unsqueeze(-1).expand(x.size()).to(x.dtype)
            if mode == "max":
                return x.masked_fill(wide == 0, -torch.inf).max(1)[0].numpy()
            return (x * wide).sum(1).div(wide.sum(1).clamp(min=1e-9)).numpy()

    calls = {"fastemb": lambda: fastemb.pool(texts, mask, mode=mode), TORCH: in_torch}
    if mode == "mean":
        calls["NumPy"] = lambda: (texts * factors).sum(1) / factors.sum(1)
    return calls


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["fastemb", TORCH, "NumPy"])
@pytest.mark.parametrize("mode", ["mean", "max"])
@TEXTS
def test_pool(measure: Measure, texts: Array, mode: str, name: str) -> None:
    B, T, D = texts.shape
    lengths = np.random.default_rng(2).integers(T // 4, T + 1, B)
    calls = pool_calls(texts, np.arange(T) < lengths[:, np.newaxis], mode)
    if name not in calls:
        pytest.skip("NumPy is compared in mode mean")
    case = f"{B} texts of {T} x {D} float32, lengths {T // 4} to {T}"
    moved, asked = int(lengths.sum() + B) * D * 4, {TORCH: 28, "NumPy": 7}
    measure(f"pool, {mode}", case, calls, name, agree=close, moved=moved, asked=asked)


@pytest.mark.parametrize("name", ["fastemb", READ])
@pytest.mark.parametrize("share", [25, 50, 75, 100])
@TEXTS
def test_pool_masks(
    measure: Measure, read: Callable[[Array, Array], float], texts: Array, share: int, name: str
) -> None:  # fmt: skip
    B, T, D = texts.shape
    mask = np.random.default_rng(3).random((B, T)) < share / 100
    rows = np.flatnonzero(mask)
    flat, kept = texts.reshape(B * T, D), len(rows)
    calls = {"fastemb": lambda: fastemb.pool(texts, mask), READ: lambda: read(flat, rows)}
    case = f"{B} texts of {T} x {D} float32, {share} % kept, at random"
    measure("pool, mean", case, calls, name, agree=None, moved=(kept + B) * D * 4, asked=0.8)


# Bags -------------------------------------------------------------------------------------------------------------

TABLES = [(30_522, 384, 20), (128_256, 768, 32), (128_256, 4096, 32), (1_000_000, 128, 20)]
CACHED = [(300, 64, 32), (1_000, 256, 32), (7_000, 256, 32)]  # in the first caches, the second, the last
KINDS: list[Any] = [np.float32, np.float16, ml_dtypes.bfloat16]


@pytest.fixture(scope="module")
def bags(request: pytest.FixtureRequest) -> tuple[Array, Array, Array]:
    """Return a table, ids, and offsets of bags of equal length; the next table takes this one's place."""
    (V, D, T), kind = request.param
    N = 81_920 if D < 4096 else 8192
    if not request.config.getoption("benchmark_enable"):
        V, N = max(V // 32, 16), N // 32
    return draw_table(V, D, kind), draw_ids(V, N // T * T, "uniform"), np.arange(0, N // T * T + 1, T)


def bag_calls(bags: tuple[Array, Array, Array], threads: int, **options: Any) -> dict[str, Callable[[], Any]]:
    """Return ours, and torch's call of FBGEMM."""
    torch = load_torch(threads)
    table, ids, offsets = bags
    flat, starts, brain = (
        torch.from_numpy(ids),
        torch.from_numpy(offsets[:-1].copy()),
        table.dtype == ml_dtypes.bfloat16,
    )
    weight = torch.from_numpy(table.view(np.int16)).view(torch.bfloat16) if brain else torch.from_numpy(table)

    def in_torch() -> Any:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            result = torch.nn.functional.embedding_bag(flat, weight, starts, **options)
            return result.view(torch.int16).numpy().view(table.dtype) if brain else result.numpy()

    return {"fastemb": lambda: fastemb.embedding_bag(table, ids, offsets, **options), "torch": in_torch}


def describe(bags: tuple[Array, Array, Array], threads: int) -> tuple[str, int]:
    """Return a case's name, and the bytes it moves: ids and rows read, results written."""
    table, ids, offsets = bags
    (V, D), S, row = table.shape, offsets.size - 1, table.shape[1] * table.dtype.itemsize
    threaded = f", {threads} threads each" if threads > 1 else ""
    return f"{V:,} x {D} {table.dtype}, {S:,} bags of {ids.size // S} ids{threaded}", ids.nbytes + (ids.size + S) * row


def near(a: Array, b: Array) -> None:
    """Rows are the same but for the order of sums, and the last place of what they are rounded to."""
    assert a.dtype == b.dtype
    apart = np.abs(a.astype(np.float32) - b.astype(np.float32)).max(axis=1)
    assert np.all(apart <= 4 * float(ml_dtypes.finfo(a.dtype).eps) * np.abs(b.astype(np.float32)).max(axis=1))


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["fastemb", "torch"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize(
    "bags", [(t, k) for t in TABLES for k in KINDS], indirect=True, ids=lambda p: f"{p[0]}-{p[1].__name__}"
)
def test_bags(measure: Measure, bags: tuple[Array, Array, Array], mode: str, threads: int, name: str) -> None:
    case, moved = describe(bags, threads)
    calls = bag_calls(bags, threads, mode=mode)
    asked = 1.2 if bags[0].dtype == np.float32 else 1.0
    measure(f"embedding_bag, {mode}", case, calls, name, agree=near, threads=threads, moved=moved, asked=asked)


@pytest.mark.parametrize("name", ["fastemb", "torch"])
@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("bags", [(t, k) for t in CACHED for k in KINDS[:2]], indirect=True, ids=str)
def test_bags_of_cached_tables(measure: Measure, bags: tuple[Array, Array, Array], mode: str, name: str) -> None:
    case, moved = describe(bags, 1)
    measure(f"embedding_bag, {mode}", case, bag_calls(bags, 1, mode=mode), name, agree=near, moved=moved, asked=1.0)


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["fastemb", "torch"])
@pytest.mark.parametrize(
    ("options", "asked"), [({"mode": "max"}, 8), ({"mode": "mean", "padding_idx": 7}, 1.3)], ids=["max", "padding_idx"]
)
@pytest.mark.parametrize("bags", [(t, "float32") for t in (TABLES[0], TABLES[1], TABLES[3])], indirect=True, ids=str)
def test_bags_that_torch_adds_itself(
    measure: Measure, bags: tuple[Array, Array, Array], options: dict[str, Any], asked: float, name: str
) -> None:
    case, moved = describe(bags, 1)
    if "padding_idx" in options:  # a fifth of the ids, as texts of different lengths would have it
        table, ids, offsets = bags
        bags = table, np.where(np.arange(ids.size) % 5 == 4, options["padding_idx"], ids), offsets
    operation = "embedding_bag, " + ", ".join(str(option) for option in options.values() if option != 7)
    operation += " with padding_idx" if "padding_idx" in options else ""
    if asked == 8 and len(bags[0]) == 1_000_000:  # rows of 512 bytes out of memory, where torch waits as well
        asked = 7
    measure(operation, case, bag_calls(bags, 1, **options), name, agree=near, moved=moved, asked=asked)


@pytest.mark.parametrize("name", ["fastemb", "fastemb, float32 table"])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("bags", [(TABLES[3], "float32")], indirect=True, ids=str)
def test_quantized_bags(measure: Measure, bags: tuple[Array, Array, Array], bits: int, name: str) -> None:
    table, ids, offsets = bags
    codes = fastemb.quantize(table, bits)
    calls = {
        "fastemb": lambda: fastemb.embedding_bag(codes, ids, offsets, mode="sum"),
        "fastemb, float32 table": lambda: fastemb.embedding_bag(table, ids, offsets, mode="sum"),
    }
    V, D, S = *table.shape, offsets.size - 1
    case = f"{V:,} x {D} int{bits}, {S:,} bags of {ids.size // S} ids"
    moved, asked = ids.size * D * bits // 8, {8: 1.5, 4: None}[bits]
    measure("embedding_bag, sum", case, calls, name, agree=None, moved=moved, asked=asked)


@pytest.mark.parametrize("name", ["NumPy", "torch", "fastemb"])
def test_one_small_bag(measure: Measure, name: str) -> None:
    torch = load_torch(1)
    table, ids = np.random.default_rng(1).random((1000, 64), np.float32), np.array([[3, 999, 0, 512]])
    weight, numbers = torch.from_numpy(table), torch.from_numpy(ids)

    def in_torch() -> Any:
        with torch.inference_mode():
            return torch.nn.functional.embedding_bag(numbers, weight, mode="mean").numpy()

    calls = {
        "fastemb": lambda: fastemb.embedding_bag(table, ids),
        "NumPy": lambda: table[ids].mean(axis=1),
        "torch": in_torch,
    }
    measure("embedding_bag, mean", "1,000 x 64 float32, 1 bag of 4 ids", calls, name, agree=close)
