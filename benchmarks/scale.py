"""What tokenizing and embedding 10¹² tokens takes on many machines: a simulation fed with measured rates.

    python -m benchmarks.scale              prints the tables of docs/design/scale.md
    python -m benchmarks.scale --measure    measures the rates on this machine, in processor time

Machines take files from one queue. A machine fails at random times (exponential, of a stated mean), loses what it has
done since its last checkpoint, and goes on with the same file when it is there again. Machines that are slow stay slow.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
import time
from typing import NamedTuple

TOKENS = 10**12
HOUR, DAY = 3600.0, 86_400.0


class Rates(NamedTuple):
    """Bytes of text a second of one core, of each step; measured by ``--measure``."""

    decompress: float = 0.0
    tokenize: float = 0.0
    lookup: float = 0.0
    write: float = 0.0  # bytes of output a second


#: What ``--measure`` has printed, processor time of one thread of two; the first is what the tables are made with.
PROCESSORS = {
    "AMD EPYC (Zen 4)": Rates(decompress=1.09e9, tokenize=9.77e7, lookup=3.27e8, write=5.61e9),
    "Intel Xeon (model 207)": Rates(decompress=8.82e8, tokenize=8.02e7, lookup=2.26e8, write=4.0e9),
}
MEASURED = PROCESSORS["AMD EPYC (Zen 4)"]


class Plan(NamedTuple):
    """A corpus, and the machines that work on it; what is not measured is an assumption."""

    machines: int = 64
    cores: int = 16
    tokens: float = TOKENS
    bytes_per_token: float = 3.8  # of English text in a vocabulary of 32,000; `--measure` prints it, and the next
    ratio: float = 3.2  # of text to what is stored of it
    file: float = 1e9  # bytes of text
    out_per_token: float = 2.0  # uint16 ids; of vectors see `embedding`
    looked_up: bool = False
    network: float = 12.5e9 / 8  # bytes a second of a machine, in and out each
    storage: float = 100e9  # bytes a second of the object storage, for all machines together
    request: float = 0.1  # seconds until the first byte of a file comes
    mtbf: float = 30 * DAY  # of one machine
    restart: float = 180.0  # seconds until another has taken its place and loaded its model
    checkpoint: float = 0.05  # seconds that one takes
    every: float = math.inf  # seconds of work between two of them
    slow: float = 0.05  # share of machines that run
    slow_by: float = 2.0  # at this fraction of the speed of the others
    price: float = 0.04  # dollars an hour of a core


class Run(NamedTuple):
    """What a simulated run took."""

    seconds: float
    busy: float  # seconds in which machines worked on what was kept, checkpoints apart
    lost: float  # on what was lost with them
    failures: int
    done: float  # work in seconds of a machine of full speed


def embedding(plan: Plan, tokens_per_document: float = 500, dim: int = 256) -> Plan:
    """Return the plan of the same corpus embedded: a float32 vector a document is written instead of ids."""
    return plan._replace(looked_up=True, out_per_token=4 * dim / tokens_per_document)


def steps(plan: Plan, rates: Rates) -> dict[str, float]:
    """Return the seconds that each step of a file takes a machine, were it alone."""
    tokens = plan.file / plan.bytes_per_token
    share = min(plan.network, plan.storage / plan.machines)
    cpu = {
        "decompress": plan.file / rates.decompress,
        "tokenize": plan.file / rates.tokenize,
        "look up": plan.file / rates.lookup if plan.looked_up else 0.0,
        "write": tokens * plan.out_per_token / rates.write,
    }
    return {
        "read": plan.file / plan.ratio / share,
        **{name: seconds / plan.cores for name, seconds in cpu.items()},
        "send": tokens * plan.out_per_token / share,
    }


def file_seconds(plan: Plan, rates: Rates) -> float:
    """Return the seconds a file takes: reading, computing and sending are done side by side, of neighbouring files."""
    each = steps(plan, rates)
    computing = sum(each.values()) - each["read"] - each["send"]
    return max(each["read"], computing, each["send"]) + plan.request / plan.cores


def young(checkpoint: float, mtbf: float) -> float:
    """Return Young's interval between checkpoints, in seconds of work."""
    return math.sqrt(2 * checkpoint * mtbf)


def expected(work: float, every: float, checkpoint: float, mtbf: float, restart: float) -> float:
    """Return the mean seconds that work takes a machine which fails, but not while it starts again.

    A stretch of s seconds without a failure takes (mtbf + restart)·(exp(s / mtbf) - 1): Daly's form, whose factor of
    exp(restart / mtbf) is for machines that may also fail then.
    """
    return (mtbf + restart) * math.expm1((every + checkpoint) / mtbf) * work / every


def speeds_of(plan: Plan) -> list[float]:
    """Return the speed of each machine."""
    slow = int(plan.slow * plan.machines + 0.5)
    return [1 / plan.slow_by] * slow + [1.0] * (plan.machines - slow)


def simulate(work: list[float], plan: Plan, seed: int = 0) -> Run:
    """Let machines do files of so many seconds of work each, and return what it took."""
    draw = random.Random(seed)
    speeds = speeds_of(plan)
    free = [(0.0, machine) for machine in range(plan.machines)]  # when each takes its next file
    fails = [plan.mtbf * draw.expovariate(1.0) for _ in range(plan.machines)]
    busy = lost = end = done = 0.0
    failures = 0
    for file in work:
        now, machine = heapq.heappop(free)
        left = file / speeds[machine]
        while True:
            pauses = max(0, math.ceil(left / plan.every) - 1) if math.isfinite(plan.every) else 0
            whole = left + pauses * plan.checkpoint
            if now + whole <= fails[machine]:
                now, busy = now + whole, busy + left
                break
            failures += 1
            ran = fails[machine] - now
            kept = plan.every * int(ran / (plan.every + plan.checkpoint)) if math.isfinite(plan.every) else 0.0
            kept = min(kept, left)
            busy, lost, left = busy + kept, lost + ran - kept, left - kept
            now = fails[machine] + plan.restart
            fails[machine] = now + plan.mtbf * draw.expovariate(1.0)
        done += file
        end = max(end, now)
        heapq.heappush(free, (now, machine))
    return Run(end, busy, lost, failures, done)


# The tables -----------------------------------------------------------------------------------------------------------


def work_of(plan: Plan, rates: Rates) -> list[float]:
    """Return the seconds that each file takes."""
    count = math.ceil(plan.tokens * plan.bytes_per_token / plan.file)
    return [file_seconds(plan, rates)] * count


def shown(seconds: float) -> str:
    """Return a time as a table has it."""
    if seconds < 2 * HOUR:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} d"


def row(name: str, plan: Plan, rates: Rates) -> str:
    """Return a line: the step that bounds, the time of the closed form, the simulated one, what is lost, and cost."""
    work = work_of(plan, rates)
    run = simulate(work, plan)
    each = steps(plan, rates)
    sides = {"reading": each["read"], "sending": each["send"]}
    sides["computing"] = sum(each.values()) - sum(sides.values())
    even = sum(work) / sum(speeds_of(plan))
    cost = run.seconds / HOUR * plan.machines * plan.cores * plan.price
    share = run.lost / (run.busy + run.lost)
    return (
        f"| {name} | {max(sides, key=sides.__getitem__)} | {shown(even)} | {shown(run.seconds)} | {run.failures:,} "
        f"| {share:.2%} | {cost:,.2f} |"
    )


WORDS = (
    "decompress, zstd",
    "tokenize, text never seen",
    "look up and pool, 256 columns of float16",
    "write, to the kernel's memory (bytes of output)",
)
HEAD = "| | bound by | even share | simulated | failures | work lost | dollars |\n|---|---|---|---|---|---|---|"


def rate_table() -> str:
    """Return the rates of each processor, and what they make of the page's two plans of 16 machines."""
    plan = Plan(machines=16)
    lines = [f"| | {' | '.join(PROCESSORS)} |", "|---" * (1 + len(PROCESSORS)) + "|"]
    for name, field in zip(WORDS, Rates._fields, strict=True):
        lines.append(f"| {name} | " + " | ".join(f"{getattr(one, field):.3g}" for one in PROCESSORS.values()) + " |")
    for name, one in (("ids", plan), ("vectors", embedding(plan))):
        seconds = [simulate(work_of(one, rates), one).seconds for rates in PROCESSORS.values()]
        lines.append(f"| 10¹² tokens, {name}, 16 machines | " + " | ".join(map(shown, seconds)) + " |")
    return "\n".join(lines)


def tables(rates: Rates) -> str:
    """Return the tables of the page."""
    base = Plan()
    spot = base._replace(mtbf=4 * HOUR, price=0.015)
    best = young(base.checkpoint, spot.mtbf)
    lines = ["Seconds a step of a file of 1 GB takes a machine of 16 cores, alone:", ""]
    lines += ["| | " + " | ".join(steps(base, rates)) + " |", "|---" * 7 + "|"]
    for name, plan in (("ids", base), ("vectors", embedding(base))):
        lines.append(f"| {name} | " + " | ".join(f"{seconds:.2f}" for seconds in steps(plan, rates).values()) + " |")
    lines += ["", "10¹² tokens:", "", HEAD]
    lines += [row(f"ids, {count} of 16 cores", base._replace(machines=count), rates) for count in (1, 4, 16, 64)]
    lines += [
        row("vectors, 16", embedding(base._replace(machines=16)), rates),
        row("ids, 16 of 64 cores", base._replace(machines=16, cores=64), rates),
        row("ids, 16, storage of 5 GB/s", base._replace(machines=16, storage=5e9), rates),
        row("ids, 16 spot", spot._replace(machines=16), rates),
    ]
    many, large = 100 * TOKENS, spot._replace(tokens=100 * TOKENS, file=1e12)
    lines += ["", "10¹⁴ tokens, 64 machines:", "", HEAD]
    lines += [
        row("files of 1 GB", base._replace(tokens=many), rates),
        row("the same, spot", spot._replace(tokens=many), rates),
        row("files of 1 TB, spot", large, rates),
        row(f"the same, a checkpoint each {best:.0f} s (Young)", large._replace(every=best), rates),
        row("the same, each second", large._replace(every=1.0), rates),
    ]
    return "\n".join(lines)


# What is measured -----------------------------------------------------------------------------------------------------


def measure() -> Rates:
    """Return the rates of this machine: the best of five, each of text that its tokenizer has not seen."""
    import tempfile

    import numpy as np
    import zstandard

    import fastemb

    from .corpora import english_documents
    from .quality import word_llama

    fastemb.set_num_threads(1)
    texts = english_documents().texts
    size = sum(len(text.encode()) for text in texts)
    packed = zstandard.compress("".join(texts).encode())
    best: dict[str, float] = {}

    def timed(name: str, call, amount: float):
        start = time.process_time()
        result = call()
        best[name] = max(best.get(name, 0.0), amount / (time.process_time() - start))
        return result

    for _ in range(5):
        model = word_llama()
        timed("decompress", lambda: zstandard.decompress(packed), size)
        rows = timed("tokenize", lambda model=model: model.tokenizer.encode_batch(texts), size)
        timed("lookup", lambda model=model, rows=rows: fastemb.embedding_bag(model.table, rows, mode="mean"), size)
        ids = np.tile(rows.ids.astype(np.uint32), 20)
        with tempfile.TemporaryFile() as file:
            timed("write", lambda ids=ids, file=file: file.write(ids.data), ids.nbytes)
    print(f"{size / rows.ids.size:.2f} bytes a token, {size / len(packed):.2f} bytes for one of zstd", file=sys.stderr)
    return Rates(**best)


def main() -> None:
    """Print the tables, or the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure the rates of this machine")
    if parser.parse_args().measure:
        print(", ".join(f"{name}={value:.3g}" for name, value in measure()._asdict().items()))
    else:
        print(rate_table(), tables(MEASURED), sep="\n\n")


if __name__ == "__main__":
    main()
