"""Gradients of rows: row_grad and scatter_add against torch's sparse coalesce and index_add_, and np.add.at."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastemb.gradient import row_grad, scatter_add

from .corpora import draw_ids
from .measure import Measure

try:
    import torch
except ImportError:
    torch: ModuleType | None = None  # type: ignore[no-redef]

SIZES = [(30_522, 384, 32_768), (128_256, 768, 32_768), (128_256, 4096, 4096), (1_000_000, 128, 32_768)]
CASE = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
SPREAD = pytest.mark.parametrize("spread", ["uniform", "Zipf"])

Calls = dict[str, Callable[[], Any]]


@functools.lru_cache(maxsize=1)
def draw_rows(N: int, D: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).random((N, D), np.float32)


@functools.lru_cache(maxsize=1)
def make_target(V: int, D: int) -> npt.NDArray[np.float32]:
    """Return zeros, of which only the rows that are used ever take memory. All contenders add to the same."""
    return np.zeros((V, D), np.float32)


def cut_down(size: tuple[int, int, int], measure: Measure) -> tuple[int, int, int]:
    """Return the size, or a small one where nothing is timed."""
    V, D, N = size
    return size if measure.timed else (V // 32, D, N // 32)


def describe(size: tuple[int, int, int], spread: str, threads: int) -> str:
    V, D, N = size
    return f"{V:,} x {D} float32, {N:,} {spread} ids" + (f", {threads} threads" if threads > 1 else "")


def with_torch_threads(call: Callable[[], Any], threads: int) -> Callable[[], Any]:
    """Return the call with torch's own setting, which costs it half a microsecond."""
    assert torch is not None

    def run() -> Any:
        torch.set_num_threads(threads)
        return call()

    return run


def close(a: Any, b: Any) -> None:
    """Compare sums of the same numbers in another order."""
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def needs(name: str) -> None:
    if name.startswith("torch") and torch is None:
        pytest.skip("torch is not installed")


def gradients(ids: npt.NDArray[np.int64], grad: npt.NDArray[np.float32], V: int, threads: int) -> Calls:
    calls: Calls = {"fastemb": lambda: row_grad(ids, grad).rows}
    if torch is not None:
        index, values, shape = torch.from_numpy(ids)[None], torch.from_numpy(grad), (V, grad.shape[1])
        calls["torch coalesce"] = with_torch_threads(
            lambda: torch.sparse_coo_tensor(index, values, shape, check_invariants=False).coalesce().values().numpy(),
            threads,
        )
    return calls


def additions(
    target: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], rows: npt.NDArray[np.float32], threads: int
) -> Calls:
    calls: Calls = {
        "fastemb": functools.partial(scatter_add, target, ids, rows),
        "np.add.at": functools.partial(np.add.at, target, ids, rows),
    }
    if torch is not None:
        tensor, index, values = torch.from_numpy(target), torch.from_numpy(ids), torch.from_numpy(rows)
        calls["torch index_add_"] = with_torch_threads(lambda: tensor.index_add_(0, index, values), threads)
    return calls


def check_additions(target: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], calls: Calls, name: str) -> None:
    """Compare one contender with ours on a target of zeros."""
    found = []
    for contender in (name, "fastemb"):
        target[ids] = 0
        calls[contender]()
        found.append(target[ids])
    close(*found)


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["torch coalesce", "fastemb"])
@pytest.mark.parametrize("threads", [1, 2])
@CASE
@SPREAD
def test_row_grad(measure: Measure, size: tuple[int, int, int], spread: str, threads: int, name: str) -> None:
    needs(name)
    V, D, N = size = cut_down(size, measure)
    ids, grad = draw_ids(V, N, spread), draw_rows(N, D)
    moved = ids.nbytes + grad.nbytes + len(np.unique(ids)) * 4 * D
    calls = gradients(ids, grad, V, threads)
    case = describe(size, spread, threads)
    asked = {1: 2, 2: 3}[threads]
    measure("row_grad", case, calls, name, agree=close, threads=threads, moved=moved, asked=asked)


@pytest.mark.parametrize(
    ("threads", "name"),
    [(1, "np.add.at"), (1, "torch index_add_"), (1, "fastemb"), (2, "torch index_add_"), (2, "fastemb")],
)
@CASE
@SPREAD
def test_scatter_add(measure: Measure, size: tuple[int, int, int], spread: str, threads: int, name: str) -> None:
    needs(name)
    V, D, N = size = cut_down(size, measure)
    target, ids, rows = make_target(V, D), draw_ids(V, N, spread), draw_rows(N, D)
    moved = ids.nbytes + rows.nbytes + 2 * len(np.unique(ids)) * 4 * D
    calls = additions(target, ids, rows, threads)
    check_additions(target, ids, calls, name)
    case = describe(size, spread, threads)
    asked = {"np.add.at": 10, "torch index_add_": 1.1} if threads == 1 else {"torch index_add_": 1.5}
    measure("scatter_add", case, calls, name, agree=None, threads=threads, moved=moved, asked=asked)


@pytest.mark.parametrize("name", ["torch coalesce", "fastemb"])
def test_row_grad_of_four(measure: Measure, name: str) -> None:
    needs(name)
    ids, grad = np.array([3, 999, 0, 512]), draw_rows(4, 64)
    calls = gradients(ids, grad, 1000, 1)
    measure("row_grad", "1,000 x 64 float32, 4 chosen ids", calls, name, agree=close, asked=1 / 0.7)


@pytest.mark.parametrize("name", ["np.add.at", "torch index_add_", "fastemb"])
def test_scatter_add_of_four(measure: Measure, name: str) -> None:
    needs(name)
    target, ids, rows = make_target(1000, 64), np.array([3, 999, 0, 512]), draw_rows(4, 64)
    calls = additions(target, ids, rows, 1)
    check_additions(target, ids, calls, name)
    asked = {"np.add.at": 1 / 1.2}
    measure("scatter_add", "1,000 x 64 float32, 4 chosen ids", calls, name, agree=None, asked=asked)
