"""Every family on a CUDA device, against torch (eager and compiled), and Liger and QuACK where they are installed.

``python -m benchmarks.cuda`` measures all of it. Results are compared before anything is timed. Times are those of
the device, by CUDA events, of calls that follow one another; sizes are several times a cache of 50 MiB. The sweeps are
those of cuEmbed (bags), FBGEMM (bags of 20) and Liger (norms). Run by pytest without ``--benchmark-enable``, each call
is made once; without a device all is skipped. ``python -m benchmarks.cuda --dry`` makes the calls of small arrays of
the CPU.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import pytest

import fastemb

from .cuda import DRY, reason_against
from .measure import COPY_ROUNDS, OURS, Measure, Timer

DEVICE, SHRINK = ("cpu", 4096) if DRY else ("cuda", 1)
TORCH, COMPILED, LIGER, QUACK = "torch", "torch.compile", "Liger", "QuACK"


if why := reason_against():
    pytest.skip(why, allow_module_level=True)

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402


class Group(NamedTuple):
    """What one row of the report compares."""

    calls: dict[str, Callable[[], Any]]
    moved: int  # bytes of ids and rows read, and of results written
    agree: Callable[[Any, Any], None] | None


# Contenders ------------------------------------------------------------------------------------------------------


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what torch.compile makes of a function; the function where nothing is timed."""
    return function if DRY else torch.compile(function, dynamic=False)


def liger(name: str) -> Any:
    """Return a function of Liger's kernels, or None."""
    return _part("liger_kernel.transformers.functional", f"liger_{name}")


def quack(name: str) -> Any:
    """Return a function of QuACK, or None."""
    return _part("quack", name)


def _part(module: str, name: str) -> Any:
    if DRY or importlib.util.find_spec(module.partition(".")[0]) is None:
        return None
    return getattr(importlib.import_module(module), name, None)


def same(a: Any, b: Any) -> None:
    """Two tensors are the same, to the bit."""
    assert a.dtype == b.dtype
    assert torch.equal(a, b)


def near(a: Any, b: Any) -> None:
    """Two tensors, or the tensors of two tuples, have the same rows but for rounding in another order."""
    if isinstance(a, tuple):
        for mine, other in zip(a, b, strict=True):
            near(mine, other)
        return
    assert a.shape == b.shape
    if not a.dtype.is_floating_point:
        assert torch.equal(a.long(), b.long())
        return
    # A sum, a norm and its products, each rounded: some units in the last place of the largest number of the row.
    most = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[a.dtype]
    rows, others = (one.reshape(-1, one.shape[-1]) for one in (a, b))
    for start in range(0, len(rows), 1 << 16):
        x, y = (one[start : start + (1 << 16)].double() for one in (rows, others))
        apart = (x - y).abs().amax(1) / y.abs().amax(1).clamp_min(1e-3)
        assert float(apart.max()) <= most, f"rows differ by up to {float(apart.max()):.2g} of their largest value"


# Arrays ----------------------------------------------------------------------------------------------------------


def table_of(V: int, D: int, dtype: Any) -> Any:
    """Return rows around zero."""
    torch.manual_seed(1)
    return torch.empty(V, D, device=DEVICE, dtype=dtype).uniform_(-1, 1)


def ids_of(V: int, shape: tuple[int, ...], spread: str) -> Any:
    """Return ids, drawn evenly or by Zipf's law with exponent 1.15, whose commonest are anywhere in the table."""
    torch.manual_seed(2)
    count = functools.reduce(lambda x, y: x * y, shape)
    if spread == "uniform":
        return torch.randint(V, shape, device=DEVICE)
    ranks = torch.arange(1, V + 1, device=DEVICE, dtype=torch.float64) ** -1.15
    chances = ranks.cumsum(0)
    drawn = torch.searchsorted(chances, torch.rand(count, device=DEVICE, dtype=torch.float64) * chances[-1])
    return torch.randperm(V, device=DEVICE)[drawn.clamp_max(V - 1)].reshape(shape)


def few(N: int) -> int:
    """Return how many of N rows, ids or texts there are here: all of them on a device."""
    return max(N // SHRINK, min(N, 64))


def size(*tensors: Any) -> int:
    """Return the bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def named(dtype: Any) -> str:
    """Return the name of a dtype."""
    return str(dtype).removeprefix("torch.")


# Cases: each makes its arrays when its turn comes ------------------------------------------------------------------

f32, f16, bf16 = torch.float32, torch.float16, torch.bfloat16


def gather(V: int, D: int, dtype: Any, N: int, spread: str) -> Group:
    """Rows by id, new results on all sides."""
    V, N = few(V), few(N)
    table, ids = table_of(V, D, dtype), ids_of(V, (N,), spread)
    take = compiled(lambda: F.embedding(ids, table))
    calls = {OURS: lambda: fastemb.gather(table, ids), TORCH: lambda: F.embedding(ids, table), COMPILED: take}
    if embedding := liger("embedding"):
        calls[LIGER] = lambda: embedding(ids, table)
    return Group(calls, size(ids) + 2 * ids.numel() * D * table.element_size(), same)


def embed(V: int, D: int, dtype: Any, B: int, T: int, norm: str) -> Group:
    """Token and position rows and a norm, in one pass."""
    V, B = few(V), few(B) // 8 if DRY else B
    table, ids = table_of(V, D, dtype), ids_of(V, (B, T), "uniform")
    positions = table_of(T, D, dtype)
    weight, bias = table_of(2, D, dtype)

    def theirs() -> Any:
        x = F.embedding(ids, table) + positions
        return F.layer_norm(x, (D,), weight, bias, 1e-5) if norm == "LayerNorm" else F.rms_norm(x, (D,), weight, 1e-6)

    ours = fastemb.LayerNorm(weight, bias) if norm == "LayerNorm" else fastemb.RMSNorm(weight)
    calls = {
        OURS: lambda: fastemb.embed(table, ids, positions=positions, norm=ours),
        TORCH: theirs, COMPILED: compiled(theirs),
    }  # fmt: skip
    if norm == "RMSNorm" and (rms := liger("rms_norm")):
        calls[LIGER] = lambda: rms(F.embedding(ids, table) + positions, weight, 1e-6)
    if norm == "LayerNorm" and (layer := liger("layer_norm")):
        calls[LIGER] = lambda: layer(F.embedding(ids, table) + positions, weight, bias, 1e-5)
    if norm == "RMSNorm" and (rmsnorm := quack("rmsnorm")):
        calls[QUACK] = lambda: rmsnorm(F.embedding(ids, table) + positions, weight, eps=1e-6)
    return Group(calls, size(ids, positions) + 2 * ids.numel() * D * table.element_size(), near)


def bag(V: int, D: int, dtype: Any, S: int, L: int, spread: str, mode: str) -> Group:
    """Bags of equal lengths, as cuEmbed and FBGEMM measure them."""
    V, S = few(V), few(S)
    table, ids = table_of(V, D, dtype), ids_of(V, (S * L,), spread)
    offsets = torch.arange(0, ids.numel() + 1, L, device=DEVICE)

    def theirs() -> Any:
        return F.embedding_bag(ids, table, offsets, mode=mode, include_last_offset=True)

    calls = {
        OURS: lambda: fastemb.embedding_bag(table, ids, offsets, mode=mode), TORCH: theirs, COMPILED: compiled(theirs)
    }  # fmt: skip
    return Group(calls, size(ids, offsets) + (ids.numel() + S) * D * table.element_size(), near)


def row_grad(V: int, D: int, dtype: Any, N: int, spread: str) -> Group:
    """Rows summed by id, the gradient of gather."""
    V, N = few(V), few(N)
    ids, grad = ids_of(V, (N,), spread), table_of(N, D, dtype)

    def theirs() -> Any:
        found = torch.sparse_coo_tensor(ids[None], grad, (V, D), check_invariants=False).coalesce()
        return found.indices()[0], found.values()

    unique = ids.unique().numel()
    calls = {OURS: lambda: tuple(fastemb.row_grad(ids, grad)), TORCH: theirs}
    return Group(calls, size(ids) + size(grad) + unique * (D * 4 + 8), near)


def scatter_add(V: int, D: int, dtype: Any, N: int, spread: str) -> Group:
    """Rows added to a table in place; ours gives the same bits each time, torch's adds as it comes."""
    V, N = few(V), few(N)
    ids, rows = ids_of(V, (N,), spread), table_of(N, D, dtype)
    mine, other = table_of(V, D, dtype), table_of(V, D, dtype)
    calls = {OURS: lambda: fastemb.scatter_add(mine, ids, rows), TORCH: lambda: other.index_add_(0, ids, rows)}
    near(calls[OURS](), calls[TORCH]())  # here, as each further call adds again
    return Group(calls, size(ids, rows) + 2 * ids.unique().numel() * D * rows.element_size(), None)


def pool(B: int, T: int, D: int, dtype: Any, mode: str) -> Group:
    """One vector a text of a padded batch, as sentence-transformers does it."""
    B = few(B)
    x = table_of(B * T, D, dtype).reshape(B, T, D)
    lengths = torch.randint(T // 4, T + 1, (B,), device=DEVICE)
    mask = torch.arange(T, device=DEVICE) < lengths[:, None]

    def theirs() -> Any:
        if mode == "max":
            return x.masked_fill(~mask[..., None], -torch.inf).amax(1)
        kept = mask[..., None].to(torch.float32)
        return ((x.float() * kept).sum(1) / kept.sum(1)).to(dtype)

    calls = {OURS: lambda: fastemb.pool(x, mask, mode=mode), TORCH: theirs, COMPILED: compiled(theirs)}
    return Group(calls, size(mask) + (int(lengths.sum()) + B) * D * x.element_size(), near)


def normalize(N: int, D: int, dtype: Any) -> Group:
    """Rows of length one."""
    x = table_of(few(N), D, dtype)
    theirs = lambda: F.normalize(x.float(), dim=-1).to(dtype)  # noqa: E731
    return Group({OURS: lambda: fastemb.normalize(x), TORCH: theirs, COMPILED: compiled(theirs)}, 2 * size(x), near)


def rope(B: int, heads: int, T: int, D: int, dtype: Any) -> Group:
    """Halves rotated, as Hugging Face does it; the angles are at hand for the rivals."""
    T = few(T)
    x = table_of(B * heads * T, D, dtype).reshape(B, heads, T, D)
    turns = torch.arange(T, device=DEVICE)[:, None] * 10000.0 ** -(torch.arange(0, D, 2, device=DEVICE) / D)
    cos, sin = (torch.cat([one, one], -1).to(dtype) for one in (turns.cos(), turns.sin()))

    def theirs() -> Any:
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin

    return Group({OURS: lambda: fastemb.rope(x), TORCH: theirs, COMPILED: compiled(theirs)}, 2 * size(x), near)


def gather_codes(V: int, D: int, bits: int, N: int) -> Group:
    """Rows of a quantised table as float32."""
    codes, ids = fastemb.quantize(table_of(few(V), D, f32), bits), ids_of(few(V), (few(N),), "uniform")
    parts = codes.codes, codes.scale, codes.offset
    packed, scale, offset = (one if torch.is_tensor(one) else torch.tensor(one) for one in parts)

    def theirs() -> Any:
        rows = packed[ids]
        if bits == 4:
            rows = torch.stack([rows & 15, rows >> 4], -1).flatten(-2)[:, :D]
        return rows * scale[ids, None] + offset[ids, None]

    calls = {OURS: lambda: torch.as_tensor(fastemb.gather(codes, ids)), TORCH: theirs, COMPILED: compiled(theirs)}
    return Group(calls, size(ids) + ids.numel() * (D * bits // 8 + 8 + 4 * D), near)


def bag_backward(V: int, D: int, S: int, L: int, spread: str) -> Group:
    """Gradients of sums of bags, row-sparse on both sides."""
    V, S = few(V), few(S)
    table, ids = table_of(V, D, f32).requires_grad_(), ids_of(V, (S * L,), spread)
    offsets, grad = torch.arange(0, ids.numel() + 1, L, device=DEVICE), table_of(S, D, f32)
    out = F.embedding_bag(ids, table, offsets, mode="sum", include_last_offset=True, sparse=True)

    def theirs() -> Any:
        (found,) = torch.autograd.grad(out, table, grad, retain_graph=True)
        found = found.coalesce()
        return found.indices()[0], found.values()

    plain = table.detach()
    ours = lambda: tuple(fastemb.embedding_bag_backward(grad, plain, ids, offsets, mode="sum").table)  # noqa: E731
    moved = size(ids, offsets) + (ids.numel() + ids.unique().numel()) * D * 4
    return Group({OURS: ours, TORCH: theirs}, moved, near)


def topk(Q: int, N: int, D: int, k: int) -> Group:
    """Nearest of many vectors by their dot product; the time is the product's. Scores are compared."""
    vectors, queries = table_of(few(N), D, f32), table_of(Q, D, f32)
    ours = lambda: fastemb.topk(queries, vectors, k, metric="dot")[0]  # noqa: E731
    theirs = lambda: (queries @ vectors.T).topk(k).values  # noqa: E731
    return Group({OURS: ours, TORCH: theirs}, size(vectors, queries), near)


def cases() -> dict[tuple[str, str], functools.partial[Group]]:
    """Return every case by its operation and its name; H100's aims stand beside torch."""
    found: dict[tuple[str, str], functools.partial[Group]] = {}
    part = functools.partial
    for V, D, dtype, N, spread in (
        (131_072, 768, f32, 524_288, "uniform"), (131_072, 768, f16, 524_288, "uniform"),
        (2_000_000, 128, f32, 4_000_000, "uniform"), (2_000_000, 64, f16, 4_000_000, "uniform"),
        (131_072, 1024, f32, 262_144, "Zipf"), (262_144, 4096, f16, 65_536, "uniform"),
    ):  # fmt: skip
        found["gather", f"{V:,} x {D} {named(dtype)}, {N:,} {spread} ids"] = part(gather, V, D, dtype, N, spread)
    for D, dtype, norm in (
        (768, f32, "LayerNorm"), (768, f16, "LayerNorm"), (1024, bf16, "LayerNorm"), (4096, bf16, "LayerNorm"),
        (2048, bf16, "RMSNorm"), (4096, bf16, "RMSNorm"), (8192, bf16, "RMSNorm"),
    ):  # fmt: skip
        name = f"131,072 x {D} {named(dtype)}, 256 x 512 ids"
        found[f"embed, positions, {norm}", name] = part(embed, 131_072, D, dtype, 256, 512, norm)
    for V, D, dtype, spread in itertools.product(
        (1_000_000, 10_000_000), (32, 64, 128, 256), (f32, f16), ("uniform", "Zipf")
    ):
        name = f"{V:,} x {D} {named(dtype)}, 65,536 bags of 64 {spread} ids"
        found["embedding_bag, sum", name] = part(bag, V, D, dtype, 65_536, 64, spread, "sum")
    for D, dtype in itertools.product((64, 128, 256), (f32, f16)):  # FBGEMM's tables: a million rows, bags of 20
        name = f"1,000,000 x {D} {named(dtype)}, 131,072 bags of 20 uniform ids"
        found["embedding_bag, sum", name] = part(bag, 1_000_000, D, dtype, 131_072, 20, "uniform", "sum")
    found["embedding_bag, mean", "131,072 x 768 float32, 16,384 bags of 64 Zipf ids"] = part(
        bag, 131_072, 768, f32, 16_384, 64, "Zipf", "mean"
    )
    for spread in ("uniform", "Zipf"):
        name = f"131,072 x 768 float32, 524,288 {spread} ids"
        found["row_grad", name] = part(row_grad, 131_072, 768, f32, 524_288, spread)
        found["scatter_add", name] = part(scatter_add, 131_072, 768, f32, 524_288, spread)
        found["embedding_bag_backward, sum", f"1,000,000 x 128 float32, 65,536 bags of 20 {spread} ids"] = part(
            bag_backward, 1_000_000, 128, 65_536, 20, spread
        )
    for mode in ("mean", "max"):
        found[f"pool, {mode}", "512 texts of 512 x 768 float16"] = part(pool, 512, 512, 768, f16, mode)
    found["normalize", "1,000,000 x 384 float32"] = part(normalize, 1_000_000, 384, f32)
    found["rope", "8 x 32 heads of 4,096 x 128 bfloat16"] = part(rope, 8, 32, 4096, 128, bf16)
    for bits in (8, 4):
        name = f"2,000,000 x 256 of {bits} bits, 1,000,000 uniform ids"
        found["gather of codes", name] = part(gather_codes, 2_000_000, 256, bits, 1_000_000)
    found["topk, dot", "64 queries, 1,000,000 x 384 float32, k = 10"] = part(topk, 64, 1_000_000, 384, 10)
    found["gather, a small call", "1,000 x 64 float32, 4 uniform ids"] = part(gather, 1000, 64, f32, 4, "uniform")
    return found


# Timing ----------------------------------------------------------------------------------------------------------


class EventTimer(Timer):
    """Times of the device, by events."""

    def _sample(self) -> float:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(self.loops):
            self._call()
        stop.record()
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1e3 / self.loops


class DeviceMeasure(Measure):
    """`Measure`, but for who reads the clock."""

    timer = EventTimer


@functools.cache
def copy_rates() -> dict[str, float]:
    """Return the bytes read and written per second by a copy on the device, far beyond its caches."""
    if DRY:
        return {"copy_median": 1.0, "copy_best": 1.0}
    source = torch.zeros(1 << 30, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    timer = EventTimer(lambda: target.copy_(source), None)
    seconds = [timer._sample() for _ in range(3 * COPY_ROUNDS)][COPY_ROUNDS:]
    return {"copy_median": 2 * source.numel() / median(seconds), "copy_best": 2 * source.numel() / min(seconds)}


@functools.lru_cache(maxsize=1)
def group(operation: str, case: str) -> Group:
    """Return what is compared; the arrays of the case before are freed first."""
    if not DRY:
        torch.cuda.empty_cache()
    return cases()[operation, case]()


@pytest.mark.parametrize("name", [OURS, TORCH, COMPILED, LIGER, QUACK])
@pytest.mark.parametrize(("operation", "case"), cases(), ids=lambda word: word.replace(" ", "_"))
def test_cuda(request: pytest.FixtureRequest, kept_results: Any, operation: str, case: str, name: str) -> None:
    found = group(operation, case)
    if name not in found.calls:
        pytest.skip(f"no {name} of {operation} here")
    option = request.config.getoption
    budget = float(option("benchmark_max_time")), int(option("benchmark_min_rounds"))
    measure = DeviceMeasure(request.getfixturevalue("benchmark"), copy_rates(), kept_results, budget)
    measure(operation, case, found.calls, name, agree=found.agree, moved=found.moved)
    fastemb.cuda_check()
