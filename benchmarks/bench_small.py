"""Small calls: 16 rows of 64 columns, pooled or embedded, and the gradients back, against torch's and NumPy's forms.

Beside them stands the bare look-up of as many rows, which does less than any of these calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb
from fastemb import LayerNorm, RMSNorm

from .measure import Measure
from .rivals import load_torch

Array = npt.NDArray[Any]
Calls = dict[str, Callable[[], Any]]

TAKE = "np.take of 16 rows (the floor)"
RNG = np.random.default_rng(1)
TABLE, POSITIONS = RNG.standard_normal((1000, 64), np.float32), RNG.standard_normal((512, 64), np.float32)
IDS, OFFSETS, MASK = RNG.integers(0, 1000, (2, 8)), np.array([0, 7, 16]), RNG.random((2, 8)) < 0.7
X, GRAD = TABLE[IDS], RNG.standard_normal((2, 64), np.float32)
GRADS = RNG.standard_normal((2, 8, 64), np.float32)
WEIGHT, BIAS = RNG.standard_normal((2, 64), np.float32)
NORMS = {"positions": None, "positions, LayerNorm": LayerNorm(WEIGHT, BIAS), "positions, RMSNorm": RMSNorm(WEIGHT)}
MODES = ("sum", "mean", "max")
#: How many times as long as ours the bare look-up is to take at least.
ASKED = {
    "embedding_bag, offsets": 1 / 2, "embedding_bag, 2-D ids": 1 / 2.5, "embedding_bag, mask": 1 / 3.5,
    "pool": 1 / 2.5, "pool, mask": 1 / 3.5, "normalize": 1 / 2,
    "embed, positions": 1 / 3, "embed, positions, LayerNorm": 1 / 4, "embed, positions, RMSNorm": 1 / 4,
}  # fmt: skip


def near(a: Array, b: Array) -> None:
    """Two results are the same but for the rounding of sums; of the gradient of a whole table the rows in use count."""
    a, b = (one[np.unique(IDS)] if len(one) == len(TABLE) else one for one in (a, b))
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= 2e-5


# Ours -------------------------------------------------------------------------------------------------------------


def pools(mode: str) -> Calls:
    """Return our calls of one mode."""
    flat = IDS.reshape(-1)
    calls: Calls = {
        "embedding_bag, offsets": lambda: fastemb.embedding_bag(TABLE, flat, OFFSETS, mode=mode),
        "embedding_bag, 2-D ids": lambda: fastemb.embedding_bag(TABLE, IDS, mode=mode),
        "embedding_bag, mask": lambda: fastemb.embedding_bag(TABLE, IDS, mask=MASK, mode=mode),
        "pool": lambda: fastemb.pool(X, mode=mode),
        "pool, mask": lambda: fastemb.pool(X, MASK, mode=mode),
        "pool_backward": lambda: fastemb.pool_backward(GRAD, X, mode=mode).x,
        "embedding_bag_backward": lambda: fastemb.embedding_bag_backward(GRAD, TABLE, IDS, mode=mode).table.rows,
    }
    if mode == "mean":
        calls["normalize"] = lambda: fastemb.normalize(X[0])
    return calls


def embeds() -> Calls:
    """Return our first layers, forward and back."""
    calls: Calls = {}
    for parts, norm in NORMS.items():
        given: Any = {"positions": POSITIONS, "norm": norm}
        calls[f"embed, {parts}"] = lambda given=given: fastemb.embed(TABLE, IDS, **given)
        calls[f"embed_backward, {parts}"] = lambda given=given: fastemb.embed_backward(GRADS, TABLE, IDS, **given)[0][1]
    return calls


# NumPy's ----------------------------------------------------------------------------------------------------------


def numpy_pools(mode: str) -> Calls:
    """Return NumPy's plain forms of one mode; of gradients it has none."""
    join: Callable[..., Array] = getattr(np, mode)
    flat = IDS.reshape(-1)

    def masked(x: Array) -> Array:
        if mode == "max":
            return np.where(MASK[:, :, np.newaxis], x, np.float32(-np.inf)).max(1)
        sums = (x * MASK[:, :, np.newaxis]).sum(1)
        return sums if mode == "sum" else sums / MASK.sum(1, keepdims=True, dtype=np.float32)

    calls: Calls = {
        "embedding_bag, offsets": lambda: np.stack([join(TABLE[flat[:7]], axis=0), join(TABLE[flat[7:]], axis=0)]),
        "embedding_bag, 2-D ids": lambda: join(TABLE[IDS], axis=1),
        "embedding_bag, mask": lambda: masked(TABLE[IDS]),
        "pool": lambda: join(X, axis=1),
        "pool, mask": lambda: masked(X),
    }
    if mode == "mean":
        calls["normalize"] = lambda: X[0] / np.linalg.norm(X[0], axis=1, keepdims=True)
    return calls


def numpy_embeds() -> Calls:
    """Return NumPy's plain forms of first layers."""

    def layer_norm(x: Array) -> Array:
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-12)) * WEIGHT + BIAS

    def rms_norm(x: Array) -> Array:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-6)) * WEIGHT

    return {
        "embed, positions": lambda: TABLE[IDS] + POSITIONS[:8],
        "embed, positions, LayerNorm": lambda: layer_norm(TABLE[IDS] + POSITIONS[:8]),
        "embed, positions, RMSNorm": lambda: rms_norm(TABLE[IDS] + POSITIONS[:8]),
    }


# torch's ----------------------------------------------------------------------------------------------------------


def without_graph(torch: Any, call: Callable[[], Any]) -> Callable[[], Array]:
    """Return a call of torch whose result becomes an array, which copies nothing."""

    def run() -> Array:
        with torch.inference_mode():
            return call().numpy()  # type: ignore[no-any-return]

    return run


def backward_of(torch: Any, result: Any, of: Any, grad: Array) -> Callable[[], Array]:
    """Return a call of torch's backward alone, through the graph of a forward that was run once; the first gradient.

    Of a sparse gradient the rows that were used are returned, ascending, as ours are.
    """
    given = torch.from_numpy(grad)

    def run() -> Array:
        found = torch.autograd.grad(result, of, given, retain_graph=True)[0]
        return (found.coalesce().values() if found.is_sparse else found).numpy()  # type: ignore[no-any-return]

    return run


def torch_pools(mode: str) -> Calls:
    """Return torch's calls of one mode."""
    torch = load_torch(1)
    functions = torch.nn.functional
    table, ids, starts, x, kept = map(torch.from_numpy, (TABLE, IDS, OFFSETS[:-1], X, MASK))
    flat, weights = ids.reshape(-1), kept.float()

    def pooled(rows: Any) -> Any:
        return rows.amax(1) if mode == "max" else rows.sum(1) if mode == "sum" else rows.mean(1)

    def masked(rows: Any) -> Any:
        wide = kept.unsqueeze(-1)
        if mode == "max":
            return rows.masked_fill(~wide, -torch.inf).amax(1)
        sums = (rows * wide).sum(1)
        return sums if mode == "sum" else sums / wide.sum(1).clamp(min=1)

    def masked_bag() -> Any:
        if mode == "max":
            return masked(table[ids])
        sums = functions.embedding_bag(ids, table, mode="sum", per_sample_weights=weights)
        return sums if mode == "sum" else sums / weights.sum(1, keepdim=True)

    forms = {
        "embedding_bag, offsets": lambda: functions.embedding_bag(flat, table, starts, mode=mode),
        "embedding_bag, 2-D ids": lambda: functions.embedding_bag(ids, table, mode=mode),
        "embedding_bag, mask": masked_bag,
        "pool": lambda: pooled(x),
        "pool, mask": lambda: masked(x),
    }
    if mode == "mean":
        forms["normalize"] = lambda: functions.normalize(x[0])
    calls: Calls = {name: without_graph(torch, form) for name, form in forms.items()}
    rows, weight, sparse = x.clone().requires_grad_(), table.clone().requires_grad_(), mode != "max"
    bags = functions.embedding_bag(ids, weight, mode=mode, sparse=sparse)
    # Not amax, whose gradient is shared out among equal ones; ours goes to the first of them.
    calls["pool_backward"] = backward_of(torch, rows.max(1)[0] if mode == "max" else pooled(rows), [rows], GRAD)
    calls["embedding_bag_backward"] = backward_of(torch, bags, [weight], GRAD)
    return calls


def torch_embeds() -> Calls:
    """Return torch's first layers, forward and back."""
    torch = load_torch(1)
    functions = torch.nn.functional
    table, ids, positions, weight, bias = map(torch.from_numpy, (TABLE, IDS, POSITIONS, WEIGHT, BIAS))
    norms: dict[str, Callable[..., Any]] = {
        "positions": lambda x, *_: x,
        "positions, LayerNorm": lambda x, weight, bias: functions.layer_norm(x, (64,), weight, bias, 1e-12),
        "positions, RMSNorm": lambda x, weight, bias: functions.rms_norm(x, (64,), weight, 1e-6),
    }

    def layer(norm: Callable[..., Any], table: Any, positions: Any, weight: Any, bias: Any) -> Any:
        return norm(functions.embedding(ids, table, sparse=True) + positions[:8], weight, bias)

    calls: Calls = {}
    for parts, norm in norms.items():
        given = table, positions, weight, bias
        calls[f"embed, {parts}"] = without_graph(torch, lambda norm=norm, given=given: layer(norm, *given))
        leaves = [one.clone().requires_grad_() for one in given]
        used = leaves[: {"positions": 2, "positions, LayerNorm": 4, "positions, RMSNorm": 3}[parts]]
        calls[f"embed_backward, {parts}"] = backward_of(torch, layer(norm, *leaves), used, GRADS)
    return calls


# All --------------------------------------------------------------------------------------------------------------

POOLS = [(case, mode) for mode in MODES for case in pools(mode)]
NAMES = pytest.mark.parametrize("name", [TAKE, "NumPy", "torch", "fastemb"])


def time(
    measure: Measure, case: str, name: str, ours: Calls, makers: dict[str, Callable[[], Calls]], mode: str
) -> None:
    """Compare what a contender gives with ours, and time it."""
    theirs = makers[name]() if name in makers else {case: lambda: np.take(TABLE, IDS, axis=0)}
    if case not in theirs:
        pytest.skip("NumPy has no gradients")
    calls = {name: theirs[case], "fastemb": ours[case]}
    title = f"{case}{mode}: 16 rows of 64 float32"
    asked = {TAKE: ASKED[case]} if case in ASKED else None
    measure("small calls", title, calls, name, agree=None if name == TAKE else near, asked=asked)


@NAMES
@pytest.mark.parametrize(("case", "mode"), POOLS, ids=lambda word: word.replace(" ", "_"))
def test_pools(measure: Measure, case: str, mode: str, name: str) -> None:
    makers = {"NumPy": lambda: numpy_pools(mode), "torch": lambda: torch_pools(mode)}
    time(measure, case, name, pools(mode), makers, "" if case == "normalize" else f", {mode}")


@NAMES
@pytest.mark.parametrize("case", embeds(), ids=lambda word: word.replace(" ", "_"))
def test_embeds(measure: Measure, case: str, name: str) -> None:
    time(measure, case, name, embeds(), {"NumPy": numpy_embeds, "torch": torch_embeds}, "")
