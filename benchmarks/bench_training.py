"""Whole training steps with torch: forward, backward and optimizer of a layer, ours against torch's own."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .bench_gradient import close, draw_rows, with_torch_threads
from .corpora import draw_ids
from .measure import OURS, Measure

try:
    import torch

    import fastemb.torch
    from fastemb.torch import optim
except ImportError:
    torch: ModuleType | None = None  # type: ignore[no-redef]

Call = Callable[[], Any]
pytestmark = pytest.mark.skipif(torch is None, reason="the package torch is not installed")

SIZE = 128_256, 256, 32_768
CASES = {
    "SGD": ("torch SGD", 1.5),
    "Adagrad": ("torch Adagrad", 3.0),
    "Adam": ("torch SparseAdam", 3.5),
    "Adam, dense": ("torch Adam, dense", 30.0),
}
BAGS = 256


def make_steps(kind: str, size: tuple[int, int], ids: npt.NDArray[np.int64], rows: Any, bags: bool) -> dict[str, Call]:
    """Return ours and torch's step: each trains a layer of its own, and returns the weights of the rows it used."""
    V, D = size
    rule = kind.partition(",")[0]
    makers: dict[str, tuple[Any, Any, bool]] = {
        OURS: (fastemb.torch, getattr(optim, rule), True),
        CASES[kind][0]: (
            torch.nn,
            torch.optim.SparseAdam if kind == "Adam" else getattr(torch.optim, rule),
            "dense" not in kind,
        ),
    }
    torch.sparse.check_sparse_tensor_invariants.disable()  # its default, of which it warns where nobody says so
    used, index = torch.from_numpy(np.unique(ids)), torch.from_numpy(ids)
    index = index.view(BAGS, -1) if bags else index
    grad = torch.from_numpy(rows[:BAGS] if bags else rows)

    def make(library: Any, maker: Any, sparse: bool) -> Call:
        weight = torch.from_numpy(np.zeros((V, D), np.float32))  # of which only rows that are used ever take memory
        kind_of_layer, more = (library.EmbeddingBag, {"mode": "mean"}) if bags else (library.Embedding, {})
        layer = kind_of_layer(V, D, sparse=sparse, _weight=weight, **more)
        optimizer = maker(layer.parameters(), lr=0.01)

        def step() -> Any:
            optimizer.zero_grad()
            layer(index).backward(grad)
            optimizer.step()
            return weight[used[:64]].numpy()

        return with_torch_threads(step, 1)

    return {name: make(*given) for name, given in makers.items()}


@pytest.mark.allocates
@pytest.mark.parametrize("ours", [False, True], ids=["torch", "fastemb"])
@pytest.mark.parametrize("kind", CASES)
def test_training_step(measure: Measure, kind: str, ours: bool) -> None:
    V, D, N = SIZE if measure.timed else (SIZE[0] // 32, SIZE[1], SIZE[2] // 32)
    ids, (rival, asked) = draw_ids(V, N, "Zipf"), CASES[kind]
    calls = make_steps(kind, (V, D), ids, draw_rows(N, D), bags=False)
    close(calls[OURS](), calls[rival]())
    name = OURS if ours else rival
    measure("training step", f"Embedding, {V:,} x {D}, {N:,} Zipf ids, {kind}", calls, name, agree=None, asked=asked)


@pytest.mark.allocates
@pytest.mark.parametrize("ours", [False, True], ids=["torch", "fastemb"])
@pytest.mark.parametrize("kind", ["Adam", "Adam, dense"])
def test_training_step_of_bags(measure: Measure, kind: str, ours: bool) -> None:
    V, D, N = SIZE if measure.timed else (SIZE[0] // 32, SIZE[1], SIZE[2] // 32)
    ids, rival = draw_ids(V, N, "Zipf"), CASES[kind][0]
    calls = make_steps(kind, (V, D), ids, draw_rows(N, D), bags=True)
    close(calls[OURS](), calls[rival]())
    case = f"EmbeddingBag mean, {V:,} x {D}, {BAGS} bags of {N // BAGS} Zipf ids, {kind}"
    measure("training step", case, calls, OURS if ours else rival, agree=None)


@pytest.mark.parametrize("ours", [False, True], ids=["torch", "fastemb"])
def test_training_step_of_sixteen(measure: Measure, ours: bool) -> None:
    ids = np.random.default_rng(0).integers(0, 1000, 16)
    calls = make_steps("Adam", (1000, 64), ids, draw_rows(16, 64), bags=False)
    rival = CASES["Adam"][0]
    close(calls[OURS](), calls[rival]())
    measure("training step", "Embedding, 1,000 x 64, 16 ids, Adam", calls, OURS if ours else rival, agree=None)
