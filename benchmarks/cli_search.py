"""How long `fastemb search`, `dedupe` and `cluster` take, each in a process of its own: wall and CPU time, peak memory.

    python benchmarks/cli_search.py [--lines 100000] [--rounds 5] [--only search dedupe cluster] [--threads 1]
        [--model DIR]

The lines are words drawn so that few are frequent, or --text FILE's. `search` is run without an index, with one that is
made, and with one that is there, one after the other; asked for is at most 1 s with the last. Kernels are compiled by a
run before that does not count, so that all is "warm": compiled kernels on the disk, files in its cache.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

WORDS = 20_000
SMALL = 10_000  # lines, to see how the time of dedupe grows


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="of search; the others run once")
    parser.add_argument("--only", nargs="+", default=["search", "dedupe", "cluster"])
    parser.add_argument("--threads", type=int, help="ours and those of BLAS (default: as many as there are)")
    parser.add_argument("--text", type=Path, help="take the lines of this file")
    parser.add_argument("--model", type=Path, help="of another model than that which comes with fastemb")
    args = parser.parse_args()
    more: list[str] = [] if args.model is None else ["--model", str(args.model)]
    if args.threads is not None:
        os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)
        more += ["--threads", str(args.threads)]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or our own files, not those of pip, are compiled at every start
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "lines.txt")
        lines = args.text.read_text().split("\n") if args.text else drawn(args.lines)
        file.write_text("\n".join(lines[: args.lines]) + "\n")
        small = Path(folder, "small.txt")
        small.write_text("\n".join(lines[:SMALL]) + "\n")
        print(f"{min(len(lines), args.lines):,} lines, {file.stat().st_size / 1e6:.1f} MB", flush=True)
        print(f"{'':<28}{'wall s':>16}{'CPU s':>16}{'peak MB':>9}")
        if "search" in args.only:
            search(file, args.rounds, more)
        if "dedupe" in args.only:
            row(f"dedupe, {SMALL:,} lines", [timed("dedupe", small, "-q", "-o", "/dev/null", *more)])
            row("dedupe", [timed("dedupe", file, "-q", "-o", "/dev/null", *more)])
        if "cluster" in args.only:
            row("cluster -k 20", [timed("cluster", file, "-q", "-k", 20, *more)])


def search(file: Path, rounds: int, more: list[str]) -> None:
    """Time the three ways of a search, interleaved."""
    index = file.with_name(f"{file.name}.fastemb-index")
    query = "a question of some words"
    plain = ["search", query, file, "-q", *more]
    ways: dict[str, Callable[[], tuple[float, float, float]]] = {
        "search": lambda: timed(*plain),
        "search, the index is made": lambda: (index.unlink(missing_ok=True), timed(*plain, "--index"))[1],
        "search --index": lambda: timed(*plain, "--index"),
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            result = way()
            if number:
                found[name].append(result)
    for name, results in found.items():
        row(name, results)


def timed(*argv: object) -> tuple[float, float, float]:
    """Run a command, and return its wall time, its CPU time, and its peak memory in MB."""
    start = time.perf_counter()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(sys.executable, [sys.executable, "-m", "fastemb", *map(str, argv)])
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"fastemb {argv[0]} failed")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def row(name: str, results: list[tuple[float, float, float]]) -> None:
    """Print the least and the median of some runs."""
    wall, cpu, memory = zip(*results, strict=True)
    times = "".join(f"{f'{min(values):.2f} ({statistics.median(values):.2f})':>16}" for values in (wall, cpu))
    print(f"{name:<28}{times}{max(memory):>9.0f}", flush=True)


def drawn(count: int) -> list[str]:
    """Return lines of about a hundred letters."""
    draw = random.Random(0)
    words = [
        "".join(draw.choices("etaoinshrdlucmfwypvbgkjqxz", range(26, 0, -1), k=draw.randint(1, 9)))
        for _ in range(WORDS)
    ]
    weights = list(accumulate(1 / rank for rank in range(1, WORDS + 1)))
    return [" ".join(draw.choices(words, cum_weights=weights, k=draw.randint(10, 30))) for _ in range(count)]


if __name__ == "__main__":
    main()
