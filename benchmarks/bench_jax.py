"""Programs of JAX: the functions of fastemb.jax against the same formula in jax.numpy, both jitted, on one thread.

The rival is the formula as one writes it, in the form that XLA makes most of (of a few that were tried). Of bags there
is a second one, a loop by `jax.lax` that never makes the rows in between: few write it, and it is the faster by far.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import pytest

from .measure import Measure

os.environ.setdefault("NPROC", "1")  # XLA's threads, which are started with its client: jax is imported below
jax = pytest.importorskip("jax", reason="pip install '.[frameworks]' has JAX")
jnp = jax.numpy

import fastemb  # noqa: E402
import fastemb.jax as fj  # noqa: E402

RNG = np.random.default_rng(0)
V, D, B, T = 30_000, 256, 512, 64


def close(a: Any, b: Any) -> None:
    """Two results have the same numbers, but for the order in which floats were added."""
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert one.dtype == other.dtype
        apart = np.abs(np.asarray(one, "f8") - np.asarray(other, "f8")).max()
        assert apart <= 2e-5 * max(1.0, float(np.abs(np.asarray(other, "f8")).max()))


def floats(*shape: int) -> Any:
    """Return random numbers as an array of JAX."""
    return jnp.asarray(RNG.standard_normal(shape, np.float32))


def ids(*shape: int, most: int = V) -> Any:
    """Return random ids as an array of JAX."""
    return jnp.asarray(RNG.integers(0, most, shape))


def norm(x: Any, weight: Any, bias: Any) -> Any:
    """Return rows as LayerNorm leaves them, in the formula that XLA fuses best."""
    mean = x.mean(-1, keepdims=True)
    variance = (x * x).mean(-1, keepdims=True) - mean * mean
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weight + bias


def kept_mean(x: Any, mask: Any) -> Any:
    """Return the mean of the rows that a mask keeps."""
    return jnp.einsum("btd,bt->bd", x, mask.astype(x.dtype)) / jnp.maximum(mask.sum(1), 1)[:, None]


def kept_max(x: Any, mask: Any) -> Any:
    """Return the largest of the rows that a mask keeps; `where` takes five times as long."""
    return (x + jnp.where(mask, 0.0, -jnp.inf)[..., None]).max(1)


def loop(reduce: Callable[..., Any]) -> Callable[..., Any]:
    """Return bags made one after the other."""

    def bags(table: Any, some: Any) -> Any:
        return jax.lax.map(lambda bag: reduce(table.at[bag].get(mode="promise_in_bounds"), 0), some)

    return bags


def turned(x: Any) -> Any:
    """Return rows as rope turns them."""
    half = x.shape[-1] // 2
    angles = jnp.arange(x.shape[-2])[:, None] * 10000.0 ** (-jnp.arange(half) / half)
    a, b, cos, sin = x[..., :half], x[..., half:], jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


Program = Callable[..., Any]


def gradient(program: Program) -> Program:
    """Return the gradient of the sum of squares of a result."""
    return jax.grad(lambda first, *rest: (program(first, *rest) ** 2).sum())


def cases(B: int, T: int, D: int) -> dict[str, tuple[Program, Program, tuple[Any, ...], float | None]]:
    """Return programs of fastemb.jax and of jax.numpy, what both are given, and what ratio is asked."""
    table, some, positions, weight, bias = floats(V, D), ids(B, T), floats(T, D), floats(D), floats(D)
    x, mask = floats(B, T, D), jnp.arange(T) < ids(B, most=T)[:, None] + 1
    bounds = np.sort(RNG.integers(0, B * T + 1, B - 1))
    offsets = jnp.asarray(np.concatenate([[0], bounds, [B * T]]))
    members = jnp.asarray(np.repeat(np.arange(B), np.diff(offsets)))
    flat, heads = some.reshape(-1), floats(max(1, B // 16), 8, T, 64)

    def segments(table: Any, flat: Any, offsets: Any) -> Any:
        return jax.ops.segment_sum(table[flat], members, B, indices_are_sorted=True)

    def layer(table: Any, some: Any) -> Any:
        return fj.embed(table, some, positions=positions, norm=fastemb.LayerNorm(weight, bias))

    bag_gradient = gradient(lambda table, some: fj.embedding_bag(table, some, mode="sum"))
    return {
        "gather": (fj.gather, lambda table, some: table[some], (table, some), None),
        "embedding_bag, sum": (
            lambda table, some: fj.embedding_bag(table, some, mode="sum"), lambda table, some: table[some].sum(1),
            (table, some), 4,
        ),
        "embedding_bag, max": (
            lambda table, some: fj.embedding_bag(table, some, mode="max"), lambda table, some: table[some].max(1),
            (table, some), 4,
        ),
        "embedding_bag, sum, offsets": (
            lambda table, flat, offsets: fj.embedding_bag(table, flat, offsets, mode="sum"), segments,
            (table, flat, offsets), 4,
        ),
        "embed, positions, LayerNorm": (
            layer, lambda table, some: norm(table[some] + positions, weight, bias), (table, some), 1.3
        ),
        "pool, mean": (fj.pool, kept_mean, (x, mask), 1.3),
        "pool, max": (
            lambda x, mask: fj.pool(x, mask, mode="max"),
            kept_max, (x, mask), 1.3,
        ),
        "rope": (fj.rope, turned, (heads,), None),
        "gradient of gather": (gradient(fj.gather), gradient(lambda table, some: table[some]), (table, some), None),
        "gradient of embedding_bag": (
            bag_gradient, gradient(lambda table, some: table[some].sum(1)), (table, some), None
        ),
    }  # fmt: skip


SIZES = {"large": (B, T, D), "small": (2, 8, 64)}
CASES = {size: cases(*shape) for size, shape in SIZES.items()}
LOOPS = {"embedding_bag, sum": loop(jnp.sum), "embedding_bag, max": loop(jnp.max)}


@pytest.mark.parametrize("name", ["jax.numpy", "jax.lax, a loop", "fastemb"])
@pytest.mark.parametrize("case", CASES["large"])
@pytest.mark.parametrize("size", SIZES)
def test_programs(measure: Measure, size: str, case: str, name: str) -> None:
    ours, theirs, given, asked = CASES[size][case]
    programs = {"fastemb": ours, "jax.numpy": theirs}
    if case in LOOPS:
        programs["jax.lax, a loop"] = LOOPS[case]
    elif name not in programs:
        pytest.skip("loops are the rivals of bags alone")
    calls = {who: bind(jax.jit(program), given) for who, program in programs.items()}
    shape = f"{' x '.join(map(str, SIZES[size]))} float32"
    wanted = None if asked is None or size == "small" else {"jax.numpy": asked}
    measure(f"JAX, {case}", shape, calls, name, asked=wanted, agree=close)


def bind(program: Program, given: tuple[Any, ...]) -> Callable[[], Any]:
    """Return a call without arguments, which waits for the result."""
    return lambda: jax.block_until_ready(program(*given))


def report(size: str, rounds: int = 9) -> None:
    """Print the least processor time of each program, all threads of the process together, taken in turns."""
    fastemb.set_num_threads(1)
    times = 1 if size == "large" else 100
    for case, (ours, theirs, given, _) in CASES[size].items():
        programs = [ours, theirs, LOOPS[case]] if case in LOOPS else [ours, theirs]
        calls = [bind(jax.jit(program), given) for program in programs]
        close(calls[0](), calls[1]())
        least = [float("inf")] * len(calls)
        for _ in range(rounds):
            for k, call in enumerate(calls):
                call()
                start = process_time()
                for _ in range(times):
                    call()
                least[k] = min(least[k], (process_time() - start) / times * 1e3)
        ratios = ", ".join(f"{one / least[0]:.2f}" for one in least[1:])
        print(f"{case:30} {' '.join(f'{one:9.4f}' for one in least)} ms, ratios {ratios}", flush=True)


if __name__ == "__main__":
    report(sys.argv[1])
