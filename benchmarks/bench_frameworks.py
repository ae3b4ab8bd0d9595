"""Small calls of other frameworks' arrays against the same calls of NumPy's: what crossing over and back takes.

The rival does the same work by the same kernels, so what a row loses is the shim alone. Of torch `ASKED` µs are asked.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import fastemb

from .measure import Measure, equal

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((1000, 64), np.float32)
X, GRAD, WEIGHT = TABLE[:16].reshape(2, 8, 64), TABLE[16:18], TABLE[0]
IDS, OFFSETS, MASK = RNG.integers(0, 1000, (2, 8)), np.array([0, 4, 16]), np.arange(8) < np.array([[8], [5]])
MAKERS = {"torch": ("torch", "from_numpy"), "JAX": ("jax.numpy", "asarray")}
#: How many µs longer than NumPy's a small call of tensors may be.
ASKED = 6.0
FLAT, NORM = IDS.reshape(-1), fastemb.LayerNorm

#: Each is given the maker of a framework's arrays, and returns a call of arrays that are made already.
CASES: dict[str, Callable[[Any], Callable[[], Any]]] = {
    "gather": lambda f: bind(fastemb.gather, f(TABLE), f(IDS)),
    "embed, positions": lambda f: bind(fastemb.embed, f(TABLE), f(IDS), positions=f(TABLE)),
    "embed, positions, LayerNorm": lambda f: bind(
        fastemb.embed, f(TABLE), f(IDS), positions=f(TABLE), norm=NORM(f(WEIGHT), f(WEIGHT))
    ),
    "embedding_bag, 2-D": lambda f: bind(fastemb.embedding_bag, f(TABLE), f(IDS)),
    "embedding_bag, offsets": lambda f: bind(fastemb.embedding_bag, f(TABLE), f(FLAT), f(OFFSETS)),
    "pool": lambda f: bind(fastemb.pool, f(X)),
    "pool, mask": lambda f: bind(fastemb.pool, f(X), f(MASK)),
    "normalize": lambda f: bind(fastemb.normalize, f(X)),
    "rope": lambda f: bind(fastemb.rope, f(X)),
    "row_grad": lambda f: bind(fastemb.row_grad, f(IDS), f(X)),
    "topk": lambda f: bind(fastemb.topk, f(WEIGHT), f(TABLE[:100]), 3),
    "quantize": lambda f: bind(fastemb.quantize, f(TABLE[:16])),
    "embedding_bag_backward": lambda f: bind(fastemb.embedding_bag_backward, f(GRAD), f(TABLE), f(IDS)),
    "scatter_add": lambda f: bind(fastemb.scatter_add, f(TABLE.copy()), f(IDS), f(X)),
}


def bind(function: Callable[..., Any], *given: Any, **options: Any) -> Callable[[], Any]:
    """Return a call without arguments."""
    return lambda: function(*given, **options)


def maker_of(framework: str) -> Callable[[Any], Any]:
    """Return what makes a framework's arrays of NumPy's; skip where it is not installed."""
    module, maker = MAKERS[framework]
    try:
        found = importlib.import_module(module)
    except ImportError:
        pytest.skip(f"{framework} is not installed: pip install '.[frameworks]' has JAX, '.[bench]' torch")
    if framework == "torch":
        found.set_num_threads(1)
    return getattr(found, maker)  # type: ignore[no-any-return]


def same_numbers(a: Any, b: Any) -> None:
    """Two results have the same numbers, to the bit; ids of JAX have 32 bits."""
    if isinstance(a, tuple):
        for one, other in zip(a, b, strict=True):
            same_numbers(one, other)
    elif isinstance(a, fastemb.QuantizedTable):
        same_numbers((a.codes, a.scale, a.offset), (b.codes, b.scale, b.offset))
    elif a is not None:
        a, b = np.asarray(a), np.asarray(b)
        equal(a, b if a.dtype.kind == "f" else b.astype(a.dtype))


@pytest.mark.parametrize("name", ["NumPy's arrays", "fastemb"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("framework", ["torch", "JAX"])
def test_small_calls(measure: Measure, framework: str, case: str, name: str) -> None:
    make = maker_of(framework)
    if case == "scatter_add" and framework == "JAX":
        pytest.skip("arrays of JAX are not written to")
    calls = {"fastemb": CASES[case](make), "NumPy's arrays": CASES[case](np.asarray)}
    # A target that is added to again and again holds other numbers each time.
    agree = None if case == "scatter_add" else same_numbers
    measure(f"small calls, {framework} against NumPy", f"{case}: 16 rows of 64 float32", calls, name, agree=agree)


def halves(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what makes the same arrays, those of floats as bfloat16."""
    if make is np.asarray:
        import ml_dtypes

        return lambda array: array.astype(ml_dtypes.bfloat16) if array.dtype.kind == "f" else array
    return lambda array: make(array).bfloat16() if array.dtype.kind == "f" else make(array)


def leaves(result: Any) -> list[Any]:
    """Return the arrays of a result."""
    if isinstance(result, tuple):
        return [leaf for part in result for leaf in leaves(part)]
    return [result] if isinstance(result, np.ndarray) else []


def by_hand(case: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """Return NumPy's call with nothing but torch's own steps around it: what no way of crossing can fall below."""
    made: list[Any] = []
    CASES[case](lambda array: made.append(make(array)) or made[-1])
    call = CASES[case](np.asarray)

    def run() -> None:
        for tensor in made:
            tensor.numpy()
        for leaf in leaves(call()):
            make(leaf)

    return run


def least_times(calls: list[Callable[[], Any]], rounds: int = 60, times: int = 200) -> list[float]:
    """Return the least µs of each call, taken in turn."""
    least = [float("inf")] * len(calls)
    for _ in range(rounds):
        for k, call in enumerate(calls):
            call()
            start = perf_counter()
            for _ in range(times):
                call()
            least[k] = min(least[k], (perf_counter() - start) / times * 1e6)
    return least


def report(framework: str) -> None:
    """Print what each call takes of NumPy's arrays, of the framework's, and where known the floor and what is asked."""
    make = maker_of(framework)
    for case, bound in CASES.items():
        if case == "scatter_add" and framework == "JAX":
            continue
        calls = [bound(np.asarray), bound(make)] + ([by_hand(case, make)] if framework == "torch" else [])
        numpy_call, call, *floor = least_times(calls)
        row = f"{case:32}{numpy_call:8.2f}{call:8.2f}{call - numpy_call:+8.2f}"
        if floor:
            missed = "  missed" if call - numpy_call > ASKED else ""
            row += f"   floor {floor[0] - numpy_call:+6.2f}   asked {ASKED:+.1f}{missed}"
        print(row)
    for case in HALVES if framework == "torch" else ():
        numpy_call, call = least_times([CASES[case](halves(np.asarray)), CASES[case](halves(make))])
        missed = "  missed" if call - numpy_call > ASKED else ""
        print(f"{case + ', bfloat16':32}{numpy_call:8.2f}{call:8.2f}{call - numpy_call:+8.2f}{missed}")


#: Those of which rows of bfloat16 are shown too.
HALVES = ("gather", "embed, positions", "embedding_bag, 2-D", "pool, mask", "normalize", "row_grad", "scatter_add")

if __name__ == "__main__":  # python -m benchmarks.bench_frameworks torch: what the shim takes, in µs
    fastemb.set_num_threads(1)
    report(sys.argv[1])
