"""What the model that comes with fastemb costs: loading it, its memory, small calls and many, and a cold start.

    python benchmarks/box_start.py [ROUNDS, default 7]

The table in float32, as it is loaded, in float16, and its 4-bit codes take turns. `fastemb embed` of ten lines is a new
process each time, behind one that is not timed (it may have kernels to compile): at most 1.5 s are asked for.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import fastemb

LINE = "A short line of some words, as people write them."
ASKED = 1.5  # seconds of a cold start


def show(name: str, seconds: list[float], calls: int = 1) -> None:
    """Print the least and the median time of a call."""
    unit, factor = ("ms", 1e3) if min(seconds) / calls > 1e-3 else ("µs", 1e6)
    least, middle = (figure / calls * factor for figure in (min(seconds), median(seconds)))
    print(f"{name:44} {least:8.1f} {unit} (median {middle:.1f})")


def timed(call: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return how long a call takes."""
    start = clock()
    call()
    return clock() - start


def forms() -> dict[str, fastemb.StaticModel]:
    """Return the model with its table in three forms."""
    box, mapped = fastemb.StaticModel.load(), fastemb.StaticModel.load(mmap=True)
    half = fastemb.StaticModel(box.tokenizer, box.table.astype(np.float16), normalize=True, drop=box.tokenizer.unk_id)
    return {"float32": box, "float16": half, "4-bit codes, mapped": mapped}


def start(folder: Path) -> None:
    """Run `fastemb embed` on ten lines in a new process."""
    (folder / "ten.txt").write_text(f"{LINE}\n" * 10)
    command = [sys.executable, "-m", "fastemb", "embed", str(folder / "ten.txt"), "-q", "-o", str(folder / "ten.npy")]
    subprocess.run(command, check=True)


def main() -> None:
    """Print all figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fastemb.StaticModel.load()
    print(f"memory of the first load: {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.0f} MiB")
    for mapped in (False, True):
        show(f"load(mmap={mapped})", [timed(lambda m=mapped: fastemb.StaticModel.load(mmap=m)) for _ in range(rounds)])
    models, many = forms(), [f"{LINE} {i}" for i in range(50_000)]
    spent: dict[tuple[str, str], list[float]] = {}
    with fastemb.num_threads(1):
        for _ in range(rounds + 1):
            for name, model in models.items():
                calls = {
                    "one line": lambda model=model: [model.encode(LINE) for _ in range(500)],
                    "50,000 lines": lambda model=model: model.encode(many),
                }
                for call, run in calls.items():
                    spent.setdefault((call, name), []).append(timed(run))
    for (call, name), seconds in spent.items():
        show(f"{call}, {name}", seconds[1:], 500 if call == "one line" else 1)
    with tempfile.TemporaryDirectory() as folder:
        start(Path(folder))
        spent_before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = [timed(lambda: start(Path(folder)), time.perf_counter) for _ in range(rounds)]
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    show(f"fastemb embed, ten lines (asked: {ASKED} s)", seconds)
    processor = children.ru_utime + children.ru_stime - spent_before.ru_utime - spent_before.ru_stime
    print(f"{'of it processor time, on average':44} {1e3 * processor / rounds:8.1f} ms")


if __name__ == "__main__":
    main()
