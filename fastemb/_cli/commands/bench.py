"""Measure this machine: how fast texts, ids and vectors go, beside how fast memory is copied.

Rates are of the best of several runs, which takes some seconds each. A copy is NumPy's, by one thread; the share of it
is how many bytes an operation reads and writes in the time of a copy.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import fastemb

from .. import options, reading

HELP = "measure this machine"
SECONDS = 2.0  # for each line
ROWS, DIM, IDS = 200_000, 256, 1 << 17  # a table of 200 MB: no cache holds it


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="a text file to tokenize (default: made up)")
    parser.add_argument("--model", metavar="DIR", type=Path, help="a model (default: the one that comes with fastemb)")
    parser.add_argument("--threads", type=int, metavar="N", help="use at most N threads")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for each line (default: {SECONDS:g})")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    import numpy as np

    if not 0 < args.seconds < float("inf"):
        raise ValueError(f"--seconds must be more than 0 and finite, got {args.seconds:g}")
    options.set_threads(args)
    texts = _texts(args.file)
    model = fastemb.StaticModel.load(args.model)
    size = sum(len(text.encode()) for text in texts)
    print(f"processor  {processor()}")
    print(f"threads    {fastemb.get_num_threads()}")
    random = np.random.default_rng(0)
    table = random.random((ROWS, DIM), np.float32)
    ids = random.integers(0, ROWS, IDS).astype(np.int32)
    offsets = np.arange(0, IDS + 1, 64)
    out = np.empty((IDS, DIM), np.float32)
    copied = np.empty_like(table)
    copy = 2 * table.nbytes / best(lambda: np.copyto(copied, table), args.seconds)
    print(f"copy       {copy / 1e9:.1f} GB/s, read and written")
    rows = {
        "tokenize": (lambda: model.tokenizer.encode_batch(texts), size, 0),
        "embed": (lambda: model.encode(texts), size, 0),
        "gather": (lambda: fastemb.gather(table, ids, out=out), 0, 2 * out.nbytes + ids.nbytes),
        "bag": (lambda: fastemb.embedding_bag(table, ids, offsets), 0, out.nbytes + out.nbytes // 64 + ids.nbytes),
        "pool": (lambda: fastemb.pool(out.reshape(-1, 64, DIM)), 0, out.nbytes + out.nbytes // 64),
    }
    for name, (call, text, moved) in rows.items():
        seconds = best(call, args.seconds)
        print(line(name, seconds, text, len(texts), moved, copy), flush=True)
    return 0


def line(name: str, seconds: float, text: int, texts: int, moved: int, copy: float) -> str:
    """Return a line of the table."""
    if text:
        return f"{name:<11}{text / seconds / 1e6:.1f} MB/s, {texts / seconds:,.0f} texts/s"
    return f"{name:<11}{moved / seconds / 1e9:.1f} GB/s, {moved / seconds / copy:.2f} of copy"


def best(call: Callable[[], Any], seconds: float) -> float:
    """Return the least time of a call in some seconds; the first one, which may compile, does not count."""
    call()
    least, end = float("inf"), time.perf_counter() + seconds
    while least == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
    return least


def processor() -> str:
    """Return the processor's name, as the system says it."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _texts(name: str | None) -> list[str]:
    """Return some megabytes of texts: of a file, or words drawn so that few are frequent, as in any language."""
    if name is not None:
        texts: list[str] = []
        size = 0
        for block in reading.read(reading.sources([name])):
            texts += block.texts
            size += block.size
            if size > 1 << 24:
                break
        if not texts:
            raise ValueError(f"{name}: holds no text")
        return texts
    import random

    draw = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(draw.choices(letters, range(26, 0, -1), k=draw.randint(1, 9))) for _ in range(20_000)]
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))  # once: each draw would do it again
    return [" ".join(draw.choices(words, cum_weights=weights, k=draw.randint(5, 40))) for _ in range(40_000)]
