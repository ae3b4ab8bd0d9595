"""The optimizer's part of a training step: `step_from` against `row_grad` and `step`, and torch's optimizers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastemb import SGD, Adagrad, Adam, row_grad

from .bench_gradient import close, draw_rows, needs, with_torch_threads
from .corpora import draw_ids
from .measure import OURS, Measure

try:
    import torch
except ImportError:
    torch: ModuleType | None = None  # type: ignore[no-redef]

Call = Callable[[], Any]
SIZE = 128_256, 256, 32_768
APART = "row_grad, step"  # ours in two sweeps
KINDS: dict[str, Callable[[], SGD | Adagrad | Adam]] = {
    "SGD": SGD,
    "SGD, momentum": functools.partial(SGD, momentum=0.9),
    "Adagrad": Adagrad,
    "Adagrad, row-wise": functools.partial(Adagrad, row_wise=True),
    "Adam": Adam,
}
#: The rows of a table that change move so many times, with their state: read and written.
MOVED = {"SGD": 2, "SGD, momentum": 4, "Adagrad": 4, "Adagrad, row-wise": 2, "Adam": 6}
ASKED = {APART: 1.2, "torch SparseAdam": 3.5, "torch Adam, dense": 30}
CASES = [
    ("SGD", "torch SGD"), ("Adagrad", "torch Adagrad"), ("Adam", "torch SparseAdam"), ("Adam", "torch Adam, dense"),
    *[(kind, name) for kind in KINDS for name in (APART, OURS)],
]  # fmt: skip


def ours(kind: str, V: int, ids: npt.NDArray[np.int64], grad: npt.NDArray[np.float32]) -> dict[str, Call]:
    """Return our two ways, each of which trains a table of its own and returns the rows that are used."""
    used = np.unique(ids)
    tables = np.zeros((2, V, grad.shape[1]), np.float32)  # of which only the rows that are used ever take memory
    one, other = KINDS[kind](), KINDS[kind]()
    return {
        OURS: lambda: one.step_from(tables[0], ids, grad)[used[:1]],
        APART: lambda: other.step(tables[1], row_grad(ids, grad))[used[:1]],
    }


def torchs(kind: str, V: int, ids: npt.NDArray[np.int64], grad: npt.NDArray[np.float32]) -> dict[str, Call]:
    """Return torch's ways: a sparse gradient as its embedding's backward leaves it, which the optimizer coalesces."""
    if torch is None:
        return {}
    index, values, shape = torch.from_numpy(ids), torch.from_numpy(grad), (V, grad.shape[1])
    first = torch.from_numpy(np.unique(ids)[:1])
    torch.sparse.check_sparse_tensor_invariants.disable()  # its default, of which it warns where nobody says so
    makers: dict[str, dict[str, Any]] = {
        "SGD": {"torch SGD": torch.optim.SGD},
        "Adagrad": {"torch Adagrad": torch.optim.Adagrad},
        "Adam": {"torch SparseAdam": torch.optim.SparseAdam, "torch Adam, dense": torch.optim.Adam},
    }

    def make(name: str, maker: Any) -> Call:
        weight = torch.nn.Parameter(torch.from_numpy(np.zeros(shape, np.float32)))
        optimizer = maker([weight])

        def sparse() -> Any:
            weight.grad = torch.sparse_coo_tensor(index[None], values, shape, check_invariants=False)
            optimizer.step()
            return weight.detach()[first].numpy()

        def dense() -> Any:
            weight.grad = torch.zeros(shape).index_add_(0, index, values)
            optimizer.step()
            return weight.detach()[first].numpy()

        return with_torch_threads(dense if "dense" in name else sparse, 1)

    return {name: make(name, maker) for name, maker in makers.get(kind, {}).items()}


def check_first_step(calls: dict[str, Call], name: str) -> None:
    """Compare the first step of one contender with ours; all go on with tables of their own."""
    first = calls[OURS]()
    if name != OURS:
        close(calls[name](), first)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_optimizer(measure: Measure, kind: str, name: str) -> None:
    needs(name)
    V, D, N = SIZE if measure.timed else (SIZE[0] // 32, SIZE[1], SIZE[2] // 32)
    ids, grad = draw_ids(V, N, "Zipf"), draw_rows(N, D)
    calls = ours(kind, V, ids, grad)
    calls |= {rival: call for rival, call in torchs(kind, V, ids, grad).items() if rival == name}
    check_first_step(calls, name)
    moved = ids.nbytes + grad.nbytes + MOVED[kind] * len(np.unique(ids)) * 4 * D
    case = f"{kind}, {V:,} x {D} float32, {N:,} Zipf ids"
    asked = {rival: ratio for rival, ratio in ASKED.items() if rival in calls}
    measure("optimizer", case, calls, name, agree=None, moved=moved, asked=asked)


@pytest.mark.parametrize("name", ["torch SparseAdam", APART, OURS])
def test_optimizer_of_four(measure: Measure, name: str) -> None:
    needs(name)
    ids, grad = np.array([3, 999, 0, 512]), draw_rows(4, 64)
    calls = ours("Adam", 1000, ids, grad)
    calls |= {rival: call for rival, call in torchs("Adam", 1000, ids, grad).items() if rival == name}
    check_first_step(calls, name)
    measure("optimizer", "Adam, 1,000 x 64 float32, 4 chosen ids", calls, name, agree=None)
