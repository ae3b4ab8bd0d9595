"""fastemb.torch's layers against torch's: forward, and forward with backward; large batches and a few ids."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .conftest import KEEPS_MEMORY
from .corpora import draw_ids
from .measure import Measure

torch = pytest.importorskip("torch", reason="the package torch is not installed")
import fastemb.torch as ft  # noqa: E402

LARGE, SMALL = (128_256, 256, 32_768), (1000, 64, 16)
NAMES = pytest.mark.parametrize("name", ["torch", "fastemb"])
#: Whether the allocator keeps its memory: part of torch's time is else that of new pages.
KEPT = all(os.environ.get(name) == value for name, value in KEEPS_MEMORY.items())

Array = npt.NDArray[Any]


@functools.lru_cache(maxsize=1)
def make_table(V: int, D: int) -> Any:
    return torch.from_numpy(np.random.default_rng(0).random((V, D), np.float32))


def layers(size: tuple[int, int, int], ours: Any, theirs: Any, **options: Any) -> dict[str, Any]:
    """Return both layers with weights of one memory, which has been touched; torch keeps to one thread."""
    torch.set_num_threads(1)
    table = make_table(*size[:2])
    made = {"torch": theirs, "fastemb": ours}
    return {name: layer.from_pretrained(table, freeze=False, **options) for name, layer in made.items()}


def cut_down(size: tuple[int, int, int], measure: Measure) -> tuple[int, int, int]:
    """Return the size, or a small one where nothing is timed."""
    V, D, N = size
    return size if measure.timed or size is SMALL else (V // 32, D, N // 32)


def describe(size: tuple[int, int, int], how: str) -> str:
    V, D, N = size
    return f"{V:,} x {D} float32, {N:,} {'Zipf' if size is LARGE else 'chosen'} ids, {how}"


def draw(size: tuple[int, int, int]) -> Any:
    V, _, N = size
    return torch.from_numpy(draw_ids(V, N, "Zipf" if N > 100 else "uniform"))


def forward(layer: Any, *given: Any) -> Array:
    rows: Array = layer(*given).detach().numpy()
    return rows


def both(layer: Any, grad: Any, *given: Any, coalesced: bool = False) -> Any:
    """Return the gradient of the weight; with ``coalesced`` as optimizers need a sparse one."""
    layer.weight.grad = None
    layer(*given).backward(grad)
    found = layer.weight.grad
    return found.coalesce() if coalesced else found


def close(a: Any, b: Any) -> None:
    """Compare gradients, sums of the same numbers in another order."""
    a, b = (one.to_dense() if isinstance(one, torch.Tensor) else one for one in (a, b))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def asked(new: float, kept: float | None = None) -> float | None:
    """Return what is asked for with the system's allocator, or with one that keeps its memory."""
    return kept if KEPT else new


Case = tuple[tuple[int, int, int], Measure, str]


def rows_of(case: Case, what: str, ratio: float | None, backward: str = "") -> None:
    """Measure an Embedding: forward alone, or with a backward of this kind."""
    size, measure, name = case
    sparse = backward.startswith("sparse")
    made = layers(size, ft.Embedding, torch.nn.Embedding, sparse=sparse)
    ids, (_, D, N) = draw(size), size
    calls: dict[str, Callable[[], Any]]
    if backward:
        grad = torch.from_numpy(np.random.default_rng(1).random((N, D), np.float32))
        coalesced = backward.endswith("coalesced")
        calls = {n: functools.partial(both, layer, grad, ids, coalesced=coalesced) for n, layer in made.items()}
        measure("torch.Embedding", describe(size, what), calls, name, agree=close, asked=ratio)
        return
    calls = {n: functools.partial(forward, layer, ids) for n, layer in made.items()}
    measure("torch.Embedding", describe(size, what), calls, name, asked=ratio)


def bags_of(case: Case, what: str, mode: str, ratio: float | None, backward: bool = False) -> None:
    """Measure an EmbeddingBag of bags of 32 ids, or of 4."""
    size, measure, name = case
    made = layers(size, ft.EmbeddingBag, torch.nn.EmbeddingBag, mode=mode)
    ids, (_, D, N) = draw(size), size
    length = 32 if N > 100 else 4
    offsets = torch.arange(0, N, length)
    calls: dict[str, Callable[[], Any]] = {n: functools.partial(forward, one, ids, offsets) for n, one in made.items()}
    if backward:
        grad = torch.from_numpy(np.random.default_rng(1).random((N // length, D), np.float32))
        calls = {n: functools.partial(both, layer, grad, ids, offsets) for n, layer in made.items()}
    how = f"{mode} of {length}, {what}"
    measure("torch.EmbeddingBag", describe(size, how), calls, name, agree=close, asked=ratio)


@pytest.mark.allocates
@NAMES
def test_embedding_forward(measure: Measure, name: str) -> None:
    rows_of((cut_down(LARGE, measure), measure, name), "forward", None)


@pytest.mark.allocates
@NAMES
@pytest.mark.parametrize("backward", ["sparse", "sparse, coalesced", "dense"])
def test_embedding_backward(measure: Measure, backward: str, name: str) -> None:
    """A sparse gradient of torch has a row for every id, and nothing added up: coalesced, both are the same."""
    ratio = asked(3, 1.3) if backward.endswith("coalesced") else None
    rows_of((cut_down(LARGE, measure), measure, name), f"forward and backward, {backward}", ratio, backward)


@pytest.mark.allocates
@NAMES
@pytest.mark.parametrize("mode", ["max", "mean"])
def test_bag_forward(measure: Measure, mode: str, name: str) -> None:
    bags_of((cut_down(LARGE, measure), measure, name), "forward", mode, 4 if mode == "max" else None)


@pytest.mark.allocates
@NAMES
@pytest.mark.parametrize("mode", ["max", "mean"])
def test_bag_backward(measure: Measure, mode: str, name: str) -> None:
    ratio = asked(2) if mode == "max" else None
    bags_of((cut_down(LARGE, measure), measure, name), "forward and backward", mode, ratio, backward=True)


@NAMES
def test_small_embedding_forward(measure: Measure, name: str) -> None:
    rows_of((SMALL, measure, name), "forward", None)


@NAMES
@pytest.mark.parametrize("backward", ["sparse", "dense"])
def test_small_embedding_backward(measure: Measure, backward: str, name: str) -> None:
    rows_of((SMALL, measure, name), f"forward and backward, {backward}", 1 / 2, backward)


@NAMES
@pytest.mark.parametrize("backward", [False, True])
def test_small_bag(measure: Measure, backward: bool, name: str) -> None:
    what = "forward and backward" if backward else "forward"
    bags_of((SMALL, measure, name), what, "mean", 1 / 2 if backward else None, backward)
