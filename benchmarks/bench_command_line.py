"""The command line beside what it calls: `fastemb embed` against `StaticModel.encode`, cold start, and memory.

``python -m benchmarks.bench_command_line`` measures on a quiet machine and prints; ``--memory 5`` embeds a file of 5 GB
too. Both sides of a line run in turns, and of several runs the medians are compared.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import fastemb
from fastemb.__main__ import main as command

from .corpora import english_lines

BLOCK = 32_768  # lines that `encode` is given at once
PEAK = """
import re, sys
from fastemb.__main__ import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(status)
"""


def main(argv: list[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_command_line", description=__doc__)
    parser.add_argument("--size", type=float, default=100, metavar="MB", help="of the text (default: 100)")
    parser.add_argument("--memory", type=float, metavar="GB", help="embed a file of so many GB, for its memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where files are written (default: a temporary one)")
    parser.add_argument("--cpu", action="store_true", help="processor time, where the machine is busy: of one thread")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        throughput(folder, args.size * 1e6, args.rounds, time.process_time if args.cpu else time.perf_counter)
        cold_start(folder, args.rounds)
        if args.memory:
            memory(folder, args.memory * 1e9)


def throughput(folder: Path, size: float, rounds: int, clock: Callable[[], float]) -> None:
    """Print the rates of `encode`, of `embed` without an output, and of `embed` that writes."""
    texts = english_lines().texts
    lines = texts * max(1, round(size / sum(len(text.encode()) + 1 for text in texts)))
    text, one, out = folder / "lines.txt", folder / "one.txt", folder / "vectors.npy"
    text.write_text("".join(f"{line}\n" for line in lines), newline="")
    one.write_text("a\n")
    model = fastemb.StaticModel.load()

    def encode() -> None:
        for first in range(0, len(lines), BLOCK):
            model.encode(lines[first : first + BLOCK])

    def embed(file: Path, output: Path | None) -> None:
        if output is not None:
            output.unlink(missing_ok=True)
        assert command(["embed", str(file), "-q", *(["-o", str(output)] if output else [])]) == 0

    def seconds(call: Callable[..., None], *given: object) -> float:
        start = clock()
        call(*given)
        return clock() - start

    megabytes = text.stat().st_size / 1e6
    print(f"{len(lines):,} lines, {megabytes:.1f} MB; {model.table.shape[1]} columns; loading the model left out")
    medians: dict[tuple[str, int], float] = {}
    for threads in range(1, 1 + min(2, os.cpu_count() or 1)):
        with fastemb.num_threads(threads):
            found: dict[str, list[float]] = {}
            embed(one, None)
            for _ in range(rounds):
                found.setdefault("StaticModel.encode", []).append(seconds(encode))
                for label, output in (("embed", None), ("embed -o vectors.npy", out)):
                    loading = min(seconds(embed, one, output) for _ in range(3))
                    found.setdefault(label, []).append(seconds(embed, text, output) - loading)
        for label, times in found.items():
            medians[label, threads] = median(times)
            ratio = median(found["StaticModel.encode"]) / median(times)
            gain = "" if threads == 1 else f", {medians[label, 1] / median(times):.2f} of one thread"
            rate = megabytes / median(times)
            print(f"{threads} thread  {label:<22}{rate:7.1f} MB/s, {ratio:.2f} of encode{gain}")


def cold_start(folder: Path, rounds: int) -> None:
    """Print what ten lines take in a process of their own, the kernels compiled before."""
    (folder / "ten.txt").write_text("a line of text\n" * 10)
    call = [sys.executable, "-m", "fastemb", "embed", str(folder / "ten.txt"), "-q", "-o", str(folder / "ten.npy")]
    walls, cpus = [], []
    for _ in range(1 + rounds):
        before, start = os.times(), time.perf_counter()
        subprocess.run(call, check=True)
        after = os.times()
        walls.append(time.perf_counter() - start)
        cpus.append(after[2] + after[3] - before[2] - before[3])
    print(f"cold start, 10 lines   {median(walls[1:]):.2f} s, processor {median(cpus[1:]):.2f} s (asked: 1.5 s)")


def memory(folder: Path, size: float) -> None:
    """Print the peak memory of a large file."""
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 9))) for _ in range(20_000)]
    lines = [" ".join(draw.choices(words, k=draw.randint(5, 40))) for _ in range(40_000)]
    file, out = folder / "large.txt", folder / "large.npy"
    with file.open("w") as stream:
        while stream.tell() < size:
            draw.shuffle(lines)
            stream.write("\n".join(lines) + "\n")
    start = time.perf_counter()
    call = [sys.executable, "-c", PEAK, "embed", str(file), "-q", "--dim", "32", "-o", str(out)]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    found = re.findall(r"\d+", done.stdout)
    rows = np.load(out, mmap_mode="r").shape[0]
    print(
        f"memory                 {int(found[-1]) / 1024:.0f} MB at most of {file.stat().st_size / 1e9:.2f} GB, "
        f"{rows:,} lines, {time.perf_counter() - start:.0f} s (asked: 400 MB)"
    )


if __name__ == "__main__":
    main()
