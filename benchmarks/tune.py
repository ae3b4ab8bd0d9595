"""Which row of ``fastemb/_cpu/kernels/tuning.py`` suits this processor: every row timed in turn, on the same cases.

    python benchmarks/tune.py [rounds]

One process for each row (a tuning is compiled in), called in turn, so that all of them meet the same moods of the
machine. Prints the least time of each case in milliseconds, by row, and how many times as long it takes as the best of
them. Leave the machine alone meanwhile; the first run compiles for some minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SECONDS = 0.2  # for each case in each round


def cases() -> dict[str, Callable[[], Any]]:
    """Return calls whose rows come from memory, and some whose rows mostly lie in a cache."""
    import fastemb

    rng, found = np.random.default_rng(0), dict[str, Callable[[], Any]]()
    for B, T, D in ((256, 128, 384), (64, 512, 768)):
        x, mask = rng.standard_normal((B, T, D), np.float32), np.arange(T) < rng.integers(T // 4, T + 1, (B, 1))
        for mode in ("mean", "max"):
            found[f"pool {mode} {B}x{T}x{D}"] = lambda x=x, mask=mask, mode=mode: fastemb.pool(x, mask, mode=mode)
    for V, D, T in ((30_522, 384, 20), (128_256, 768, 32), (1_000_000, 128, 20)):
        table, ids = rng.standard_normal((V, D), np.float32), rng.integers(0, V, (81_920 // T, T))
        half, out = table.astype(np.float16), np.ones((32_768, D), np.float32)
        some, often = ids.reshape(-1)[:32_768], np.minimum(rng.zipf(1.1, 32_768) - 1, V - 1)
        found[f"bag sum {V}x{D} float32"] = lambda t=table, i=ids: fastemb.embedding_bag(t, i, mode="sum")
        found[f"bag sum {V}x{D} float16"] = lambda t=half, i=ids: fastemb.embedding_bag(t, i, mode="sum")
        found[f"bag max {V}x{D} float32"] = lambda t=table, i=ids: fastemb.embedding_bag(t, i, mode="max")
        found[f"gather {V}x{D}"] = lambda t=table, i=some, o=out: fastemb.gather(t, i, out=o)
        found[f"gather {V}x{D}, Zipf"] = lambda t=table, i=often, o=out: fastemb.gather(t, i, out=o)
        found[f"scatter_add {V}x{D}"] = lambda t=table, i=some, o=out: fastemb.scatter_add(t, i, o)
        found[f"row_grad {V}x{D}, Zipf"] = lambda i=often, o=out: fastemb.row_grad(i, o)
    vectors = rng.standard_normal((200_000, 384), np.float32)
    found["topk, one query"] = lambda: fastemb.topk(vectors[:1], vectors, 10, metric="dot")
    return found


def serve() -> None:
    """Time the case that each line of the input names; answer with the least time."""
    import fastemb

    fastemb.set_num_threads(1)
    calls = cases()
    print(json.dumps(list(calls)), flush=True)
    for line in sys.stdin:
        call, best = calls[line.strip()], np.inf
        call()
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end or best == np.inf:
            start = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - start)
        print(json.dumps(best), flush=True)


def main(rounds: int) -> None:
    """Ask a process for each row in turn, and print what they say."""
    from fastemb._cpu.kernels import jit
    from fastemb._cpu.kernels.tuning import TUNINGS

    children = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--serve"], env={**os.environ, "FASTEMB_TUNING": name}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for name in TUNINGS
    }  # fmt: skip
    names: list[str] = []
    for child in children.values():  # each says the same when it is ready
        assert child.stdout
        names = json.loads(child.stdout.readline())
    print(f"processor {jit.processor()}, row in use {jit.TUNING_NAME}; ms, and times the best")
    print(f"{'':32s}" + "".join(f"{name:>18s}" for name in children))
    for case in names:
        best = dict.fromkeys(children, np.inf)
        for _ in range(rounds):
            for name, child in children.items():
                assert child.stdin
                assert child.stdout
                print(case, file=child.stdin, flush=True)
                best[name] = min(best[name], json.loads(child.stdout.readline()))
        least = min(best.values())
        print(f"{case:32s}" + "".join(f"{1e3 * t:10.3f} {t / least:5.2f} x" for t in best.values()), flush=True)
    for child in children.values():
        child.communicate()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
