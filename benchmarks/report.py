"""Turn pytest-benchmark's JSON into Markdown, a chart, and the six numbers of the README.

``python benchmarks/report.py results.json ... [--kept kept.json] [-o page.md] [--svg chart.svg] [--readme README.md]``

Each row of the report is one group of benchmarks: fastemb, and what it is compared with. A ratio is a rival's
median time over fastemb's: above 1 fastemb is faster, and below 1 the report says "slower". ``kept.json`` holds the
benchmarks marked ``allocates``, run again under an allocator that keeps its memory (benchmarks/README.md).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from chart import Bar, chart  # beside this file, which is run as a script

OURS = "fastemb"
FLOOR = "(the floor)"  # ends the name of what nothing could beat: shown, but no rival to win or lose against
KEPT = "memory kept"
RATES = [("bytes_per_second", "B/s"), ("tokens_per_second", " tokens/s"), ("documents_per_second", " texts/s")]
NUMBERS = {"asked", "copy_median", "copy_best", "bytes_moved", "share_of_copy", *(key for key, _ in RATES)}
PREFIXES = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
START, END = "<!-- six numbers -->", "<!-- end -->"


class Headline(NamedTuple):
    """A number of the README: what a newcomer would call it, and where it stands in the report."""

    words: str
    operation: str
    case: str
    rival: str


HEADLINES = [
    Headline(
        "50,000 lines of English → vectors, `StaticModel.encode`",
        "StaticModel.encode", "50,000 English lines", "WordLlama",
    ),
    Headline(
        "8 MB of Python source never seen before → ids of o200k, `Tokenizer.encode_batch`",
        "Tokenizer.encode_batch, first pass", "o200k, 976 code documents of 8 kB", "tiktoken",
    ),
    Headline(
        "32,768 rows of a 128,256 × 768 table, `gather(out=)`",
        "gather into out=", "128,256 x 768 float32, 32,768 uniform ids", "np.take",
    ),
    Headline(
        "the first layer of BERT for 16,384 tokens (positions, segments, LayerNorm), `embed`",
        "embed, positions, segments, LayerNorm", "30,522 x 768 float32, 32 x 512 ids", "torch",
    ),
    Headline(
        "the mean of each of 64 texts of up to 512 tokens, `pool`",
        "pool, mean", "64 texts of 512 x 768 float32, lengths 128 to 512", "sentence-transformers' torch",
    ),
    Headline(
        "the means of 2,560 bags of 32 ids, `embedding_bag`",
        "embedding_bag, mean", "128,256 x 768 float32, 2,560 bags of 32 ids", "torch",
    ),
]  # fmt: skip


class DamagedError(Exception):
    """The file is not what it should be; the message says where."""


@dataclass(frozen=True)
class Timing:
    """One contender of a group, in seconds."""

    median: float
    best: float
    info: dict[str, Any]


@dataclass
class Row:
    """One group: a case of an operation, timed for one or more contenders."""

    operation: str
    case: str
    timings: dict[str, Timing] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)  # the ratios where the allocator keeps its memory

    @property
    def rivals(self) -> list[str]:
        """Everybody but fastemb, in the order of the file."""
        return [name for name in self.timings if name != OURS]

    def ratio(self, rival: str) -> float | None:
        """How many times as long the rival takes; None where one of the two was not timed."""
        if OURS not in self.timings or rival not in self.timings:
            return None
        return self.timings[rival].median / self.timings[OURS].median

    def ratios(self) -> Iterator[tuple[str, float]]:
        """Each rival and its ratio, where there is one."""
        for rival in self.rivals:
            ratio = self.ratio(rival)
            if ratio is not None:
                yield rival, ratio

    def comparisons(self) -> Iterator[tuple[str, float]]:
        """Each rival that can win or lose, and its ratio, under both allocators where it was timed so."""
        for rival, ratio in [*self.ratios(), *((f"{rival}, {KEPT}", ratio) for rival, ratio in self.kept.items())]:
            if FLOOR not in rival:
                yield rival, ratio


# Reading ---------------------------------------------------------------------------------------------------------


def read(path: Path, keeps_memory: bool = False) -> tuple[dict[str, Any], list[Row]]:
    """Return the description of the machine, and the rows in the order of the file."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # no UTF-8, or no JSON
        raise DamagedError(f"{path}: not a JSON file: {error}") from None
    try:
        rows = group([entry for entry in data["benchmarks"] if "operation" in entry["extra_info"]])
        machine = described(data.get("machine_info"))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DamagedError(f"{path}: not pytest-benchmark's JSON: {type(error).__name__}: {error}") from None
    if not rows:
        raise DamagedError(f"{path}: holds no timings of these benchmarks; was pytest given --benchmark-enable?")
    if bool(machine.get("keeps_memory")) != keeps_memory:
        kind = "the system's allocator as it is" if keeps_memory else "an allocator that keeps its memory"
        raise DamagedError(f"{path}: measured under {kind}; benchmarks/README.md tells the two files apart")
    return machine, rows


def read_all(paths: list[Path]) -> tuple[dict[str, Any], list[Row]]:
    """Return what several runs on one machine measured; a row stands as the last file that has it says."""
    parts = [read(path) for path in paths]
    if len({machine.get("processor") for machine, _ in parts}) > 1:
        raise DamagedError(f"{', '.join(map(str, paths))}: measured on different processors")
    rows = {(row.operation, row.case): row for _, part in parts for row in part}
    commands = "`, then `".join(machine.get("command", "unknown") for machine, _ in parts)
    return parts[0][0] | {"command": commands}, list(rows.values())


def add_kept(rows: list[Row], again: list[Row]) -> None:
    """Put the ratios of the second file, each of two times of that file, beside those of the first."""
    found = {(row.operation, row.case): dict(row.ratios()) for row in again}
    for row in rows:
        row.kept = found.get((row.operation, row.case), {})


def group(entries: list[dict[str, Any]]) -> list[Row]:
    """Put the contenders of a group into one row."""
    rows: dict[tuple[str, str], Row] = {}
    for entry in entries:
        info, stats = dict(entry["extra_info"]), entry["stats"]
        operation, case, name = (str(info[key]) for key in ("operation", "case", "name"))
        row = rows.setdefault((operation, case), Row(operation, case))
        for key in NUMBERS & info.keys():
            info[key] = positive(info[key])
        row.timings[name] = Timing(positive(stats["median"]), positive(stats["min"]), info)
    return list(rows.values())


def described(machine_info: Any) -> dict[str, Any]:
    """Return what the benchmarks wrote about the machine; a file without it can still be compared."""
    ours = dict((machine_info or {}).get("fastemb") or {})
    return ours | {key: dict(ours.get(key) or {}) for key in ("threads", "versions")}


def positive(value: Any) -> float:
    """Return a number that can be divided by, in a range where the result is one, too."""
    if not isinstance(value, int | float) or not 1e-12 < value < 1e18:
        raise ValueError(f"{value!r} is no measured number")
    return float(value)


def by_operation(rows: list[Row]) -> dict[str, list[Row]]:
    """Return the rows of each operation."""
    operations: dict[str, list[Row]] = {}
    for row in rows:
        operations.setdefault(row.operation, []).append(row)
    return operations


# Numbers as text -------------------------------------------------------------------------------------------------


def scaled(value: float, unit: str) -> str:
    """Three digits and a prefix: ``12300000, "B/s"`` gives ``12.3 MB/s``."""
    factor, prefix = next((step for step in PREFIXES if value >= 0.9995 * step[0]), (1, ""))
    # A word stands apart from its prefix: 12.3 M tokens/s.
    return f"{digits(value / factor)} {prefix}{unit}".replace("  ", " ")


def digits(value: float) -> str:
    """Three significant digits, never in the notation with an exponent."""
    for places, limit in ((0, 99.95), (1, 9.995), (2, 0)):
        if value >= limit:
            return f"{value:,.{places}f}"
    raise ValueError(f"{value} is negative")


def duration(value: float) -> str:
    """Return a time in the unit that suits it."""
    for factor, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= 0.9995 * factor:
            return f"{digits(value / factor)} {unit}"
    return f"{digits(value * 1e9)} ns"


def times(ratio: float) -> str:
    """``3.41 ×``; a loss is never rounded up to a draw."""
    number = f"{math.floor(ratio * 1000) / 1000:.3f}" if 0.995 <= ratio < 1 else f"{ratio:.{3 if ratio < 0.1 else 2}f}"
    return f"{number} ×" + (" (slower)" if ratio < 1 else "")


def rate(info: dict[str, Any]) -> str:
    """Return how much text, or how many ids, a second."""
    for key, unit in RATES:
        if key in info:
            return scaled(info[key], unit)
    return "—"


# Markdown --------------------------------------------------------------------------------------------------------


def markdown(machine: dict[str, Any], rows: list[Row]) -> str:
    """Return the whole report: what is lost, what was asked for, then every row."""
    parts = ["# Benchmarks", *header(machine, rows), *losses(rows), *asked(rows)]
    for operation, members in by_operation(rows).items():
        parts += [f"## {operation}", table(members)]
    return "\n\n".join(parts) + "\n"


def header(machine: dict[str, Any], rows: list[Row]) -> Iterator[str]:
    """Say where the numbers come from and how to read them."""
    infos = [timing.info for row in rows for timing in row.timings.values()]
    copies = next((info for info in infos if "copy_median" in info), None)
    lines = [
        f"- Processor: {machine.get('processor', 'unknown')}, {machine.get('cores', '?')} cores in use",
        "- Threads: " + ", ".join(f"{name}: {value}" for name, value in machine["threads"].items()),
        "- Versions: " + ", ".join(f"{name} {value}" for name, value in machine["versions"].items()),
        f"- Command: `{machine.get('command', 'unknown')}`",
    ]
    if copies:
        lines.append(
            f"- Copy rate of one thread in the same run, bytes read and bytes written: "
            f"{scaled(copies['copy_best'], 'B/s')} (median {scaled(copies['copy_median'], 'B/s')})"
        )
    yield "\n".join(lines)
    yield (
        "Times are medians, with the shortest in brackets. A ratio is the rival's median over fastemb's: above 1 "
        "fastemb is faster. *Moved* counts ids and rows read and results written; its share of the "
        "best copy rate can exceed 100 % where a table fits into the caches."
    )
    if any(row.kept for row in rows):
        yield (
            f"*{KEPT.capitalize()}*: the same ratio in a second run, under an allocator that gives no memory back to "
            "the system. Part of the time of a rival that allocates its results is the system's, for new pages. The "
            "large results of fastemb come from memory it keeps, in both runs ([the command](../benchmarks/README.md))."
        )


def losses(rows: list[Row]) -> Iterator[str]:
    """Name every comparison that is lost before the first table, the worst first."""
    pairs = [(row, rival, ratio) for row in rows for rival, ratio in row.comparisons()]
    lost = sorted((pair for pair in pairs if pair[2] < 1), key=lambda pair: pair[2])
    yield "## What is lost"
    yield f"fastemb is slower in {len(lost)} of {len(pairs)} comparisons" + (":" if lost else ".")
    if lost:
        yield "\n".join(f"- {row.operation}, {row.case}: {times(ratio)} than {rival}" for row, rival, ratio in lost)


def asked(rows: list[Row]) -> Iterator[str]:
    """Set what was asked for beside what was measured; what is missed comes first, the worst before all."""
    found = [
        (ratio / row.timings[rival].info["asked"], row, rival, ratio)
        for row in rows
        for rival, ratio in row.ratios()
        if "asked" in row.timings[rival].info
    ]
    missed = sorted((entry for entry in found if entry[0] < 1), key=lambda entry: entry[0])
    lines = [["call", "case", "against", "at least", "measured", ""], ["---", "---", "---", "---:", "---:", "---"]]
    for share, row, rival, ratio in missed + [entry for entry in found if entry[0] >= 1]:
        least = f"{row.timings[rival].info['asked']:.3g} ×"
        lines.append([row.operation, row.case, rival, least, f"{ratio:.2f} ×", "**missed**" if share < 1 else ""])
    if found:
        yield "## What was asked"
        yield f"The ratio that a change must not fall below; {len(missed)} of {len(found)} are missed, and come first."
        yield cells_in_bars(lines)


def table(rows: list[Row]) -> str:
    """Return one operation's table, with two columns for each of its rivals, or three."""
    head = ["Case", OURS]
    cells: list[Callable[[Row], str]] = [lambda row: row.case, lambda row: timed(row, OURS)]
    for rival in dict.fromkeys(rival for row in rows for rival in row.rivals):
        head += [rival, f"ratio to {rival}"]
        cells += [lambda row, rival=rival: timed(row, rival), lambda row, rival=rival: compared(row.ratio(rival))]
        if any(rival in row.kept for row in rows):
            head.append(KEPT)
            cells.append(lambda row, rival=rival: compared(row.kept.get(rival)))
    for title, cell in (("rate", rate), ("moved", moved), ("share of copy", share)):
        column = {row.case: cell(row.timings[OURS].info) if OURS in row.timings else "—" for row in rows}
        if set(column.values()) != {"—"}:
            head.append(title)
            cells.append(lambda row, column=column: column[row.case])
    return cells_in_bars([head, ["---"] + ["---:"] * (len(head) - 1), *([cell(row) for cell in cells] for row in rows)])


def cells_in_bars(lines: list[list[str]]) -> str:
    """Return a table of Markdown; a bar inside a cell opens no other."""
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def timed(row: Row, name: str) -> str:
    """Return the median, and the shortest time."""
    timing = row.timings.get(name)
    return f"{duration(timing.median)} ({duration(timing.best)})" if timing else "—"


def compared(ratio: float | None) -> str:
    """Return the ratio, if both were timed."""
    return "—" if ratio is None else times(ratio)


def moved(info: dict[str, Any]) -> str:
    """Return the bytes that had to move."""
    return scaled(info["bytes_moved"], "B") if "bytes_moved" in info else "—"


def share(info: dict[str, Any]) -> str:
    """Return how near that came to a plain copy."""
    return f"{info['share_of_copy']:.0%}".replace("%", " %") if "share_of_copy" in info else "—"


def bars(rows: list[Row]) -> dict[str, list[Bar]]:
    """Return the bars of the chart, by operation."""
    return {
        operation: [
            Bar(f"{row.case} vs {rival}", ratio, times(ratio)) for row in members for rival, ratio in row.ratios()
        ]
        for operation, members in by_operation(rows).items()
    }


# README ----------------------------------------------------------------------------------------------------------


def with_six_numbers(readme: Path, machine: dict[str, Any], rows: list[Row]) -> str:
    """Return the README with new numbers between its two marks."""
    text = readme.read_text("utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise DamagedError(f"{readme}: no {START} followed by {END}")
    return f"{before}{START}\n{six_numbers(machine, rows)}\n{END}{after}"


def six_numbers(machine: dict[str, Any], rows: list[Row]) -> str:
    """Return the table of headlines, where it was measured, and how much is lost."""
    lines = [["", OURS, "", "takes", "times as long"], ["---", "---:", "---", "---:", "---:"]]
    found, any_kept = {(row.operation, row.case): row for row in rows}, any(row.kept for row in rows)
    for words, operation, case, rival in HEADLINES:
        row = found.get((operation, case), Row(operation, case))
        ratio = row.ratio(rival)
        if ratio is None:
            raise DamagedError(f"no time of {operation}, {case}, against {rival}: the README needs the whole suite")
        kept = f" ({row.kept[rival]:.1f})" if rival in row.kept else ""
        ours, theirs = (duration(row.timings[name].median) for name in (OURS, rival))
        lines.append([words, ours, rival, theirs, f"**{ratio:.1f}**{kept}"])
    pairs = [ratio for row in rows for _, ratio in row.comparisons()]
    lost = sum(ratio < 1 for ratio in pairs)
    return "\n".join(
        [
            cells_in_bars(lines),
            "",
            f"One thread on each side of an {machine.get('processor', 'unknown processor')} with "
            f"{machine.get('cores', '?')} cores; medians of `{machine.get('command', 'unknown')}`.",
            *(["In brackets: where the rival's allocator keeps its memory, as ours does."] if any_kept else []),
            f"fastemb is slower in {lost} of {len(pairs)} comparisons: "
            "[they come first](docs/benchmarks.md#what-is-lost) on the page of all of them.",
        ]
    )


# Command line ----------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Write what was asked for; return 0, or 2 where a file cannot be read or written."""
    parser = argparse.ArgumentParser(description="Turn pytest-benchmark's JSON into a report.")
    parser.add_argument("results", type=Path, nargs="+", help="what --benchmark-json wrote, in one run or several")
    parser.add_argument("--kept", type=Path, help="another, measured under an allocator that keeps its memory")
    parser.add_argument("-o", "--output", type=Path, help="the Markdown file to write; standard output if not given")
    parser.add_argument("--svg", type=Path, help="a chart to write as well")
    parser.add_argument("--readme", type=Path, help="a README whose six numbers to write anew")
    options = parser.parse_args(arguments)
    try:
        machine, rows = read_all(options.results)
        if options.kept:
            add_kept(rows, read(options.kept, keeps_memory=True)[1])
        files = {options.output: markdown(machine, rows)}
        if options.svg:
            files[options.svg] = chart(bars(rows))
        if options.readme:
            files[options.readme] = with_six_numbers(options.readme, machine, rows)
        for path, words in files.items():
            if path:
                path.write_text(words, "utf-8")
            else:
                sys.stdout.write(words)
    except (DamagedError, OSError) as error:
        sys.stderr.write(f"report.py: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
