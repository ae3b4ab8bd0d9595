"""Turn pytest-benchmark's JSON into a Markdown report and a chart.

``python benchmarks/report.py results.json [-o report.md] [--svg chart.svg]``

Each row of the report is one group of benchmarks: fastemb, and what it is compared with. A ratio is a rival's
median time over fastemb's: above 1 fastemb is faster, and below 1 the report says "slower".
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

if __package__:
    from .targets import TARGETS
else:  # run as a script
    from targets import TARGETS

OURS = "fastemb"
FLOOR = "(the floor)"  # ends the name of what nothing could beat: shown, but no rival to win or lose against
RATES = [("bytes_per_second", "B/s"), ("tokens_per_second", " tokens/s"), ("documents_per_second", " texts/s")]
NUMBERS = {"copy_median", "copy_best", "bytes_moved", "share_of_copy", *(key for key, _ in RATES)}
PREFIXES = [(1e9, "G"), (1e6, "M"), (1e3, "k")]


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


# Reading ---------------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
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
    return machine, rows


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
    number = f"{math.floor(ratio * 1000) / 1000:.3f}" if 0.995 <= ratio < 1 else f"{ratio:.2f}"
    return f"{number} ×" + (" (slower)" if ratio < 1 else "")


def rate(info: dict[str, Any]) -> str:
    """Return how much text, or how many ids, a second."""
    for key, unit in RATES:
        if key in info:
            return scaled(info[key], unit)
    return "—"


# Markdown --------------------------------------------------------------------------------------------------------


def markdown(machine: dict[str, Any], rows: list[Row]) -> str:
    """Return the whole report."""
    parts = ["# fastemb's benchmarks", *header(machine, rows), summary(rows), *asked(rows)]
    for operation, members in by_operation(rows).items():
        parts += [f"## {operation}", table(members)]
    return "\n\n".join(parts) + "\n"


def header(machine: dict[str, Any], rows: list[Row]) -> Iterator[str]:
    """Say where the numbers come from and how to read them."""
    infos = [timing.info for row in rows for timing in row.timings.values()]
    copies = next((info for info in infos if "copy_median" in info), None)
    lines = [
        f"- Processor: {machine.get('processor', 'unknown')}, {machine.get('cores', '?')} in use",
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


def summary(rows: list[Row]) -> str:
    """Name every loss before the first table."""
    pairs = [(row, rival, ratio) for row in rows for rival, ratio in row.ratios() if not rival.endswith(FLOOR)]
    losses = [f"- {row.operation}, {row.case}: {times(ratio)} than {rival}" for row, rival, ratio in pairs if ratio < 1]
    count = f"fastemb is slower in {len(losses)} of {len(pairs)} comparisons" + (":" if losses else ".")
    return "\n".join([count, "", *losses]) if losses else count


def asked(rows: list[Row]) -> Iterator[str]:
    """Set what was asked for beside what was measured, a row for each comparison."""
    lines = ["| call | case | against | at least | measured | |", "|---|---|---|---:|---:|---|"]
    for target in TARGETS:
        for row in rows:
            ratio = row.ratio(target.rival) if target.covers(row.operation, row.case) else None
            if ratio is not None:
                cells = [row.operation, row.case, target.rival, f"{target.ratio:.3g} ×", f"{ratio:.2f} ×"]
                lines.append("| " + " | ".join([*cells, "" if ratio >= target.ratio else "**missed**"]) + " |")
    if len(lines) > 2:
        yield "## What was asked"
        yield "\n".join(lines)


def table(rows: list[Row]) -> str:
    """Return one operation's table, with two columns for each of its rivals."""
    rivals = list(dict.fromkeys(rival for row in rows for rival in row.rivals))
    head = ["Case", OURS]
    cells: list[Callable[[Row], str]] = [lambda row: row.case, lambda row: timed(row, OURS)]
    for rival in rivals:
        head += [rival, f"ratio to {rival}"]
        cells += [lambda row, rival=rival: timed(row, rival), lambda row, rival=rival: compared(row, rival)]
    for title, cell in (("rate", rate), ("moved", moved), ("share of copy", share)):
        column = {row.case: cell(row.timings[OURS].info) if OURS in row.timings else "—" for row in rows}
        if set(column.values()) != {"—"}:
            head.append(title)
            cells.append(lambda row, column=column: column[row.case])
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *([cell(row) for cell in cells] for row in rows)]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def timed(row: Row, name: str) -> str:
    """Return the median, and the shortest time."""
    timing = row.timings.get(name)
    return f"{duration(timing.median)} ({duration(timing.best)})" if timing else "—"


def compared(row: Row, rival: str) -> str:
    """Return the ratio, if both were timed."""
    ratio = row.ratio(rival)
    return "—" if ratio is None else times(ratio)


def moved(info: dict[str, Any]) -> str:
    """Return the bytes that had to move."""
    return scaled(info["bytes_moved"], "B") if "bytes_moved" in info else "—"


def share(info: dict[str, Any]) -> str:
    """Return how near that came to a plain copy."""
    return f"{info['share_of_copy']:.0%}".replace("%", " %") if "share_of_copy" in info else "—"


# Chart -----------------------------------------------------------------------------------------------------------

LINE, TITLE, BAR, LETTER, PLOT, VALUE = 22, 34, 14, 6.6, 460, 120
FASTER, SLOWER, INK, GRID = "#2a6fbb", "#c8641b", "#222222", "#d5d5d5"


def chart(rows: list[Row]) -> str:
    """Return an SVG of the ratios: bars from a line at 1 on a logarithmic axis."""
    operations = {
        operation: [(f"{row.case} vs {rival}", ratio) for row in members for rival, ratio in row.ratios()]
        for operation, members in by_operation(rows).items()
    }
    operations = {operation: bars for operation, bars in operations.items() if bars}
    every = [bar for bars in operations.values() for bar in bars]
    ratios = [1.0] + [ratio for _, ratio in every]
    lowest, highest = math.log10(min(ratios)) - 0.05, math.log10(max(ratios)) + 0.05
    left = 20 + LETTER * max((len(label) for label, _ in every), default=0)

    def place(ratio: float) -> float:
        return left + PLOT * (math.log10(ratio) - lowest) / (highest - lowest)

    top = 60
    bottom = top + TITLE * len(operations) + LINE * len(every) + 10
    width, height = math.ceil(max(left + PLOT + VALUE, 640)), bottom + 30
    parts = [text(20, 24, "How many times as long the rival takes (right of 1: fastemb is faster)", size=15, bold=True)]
    for tick in ticks(10**lowest, 10**highest):
        parts += axis(place(tick), tick, top, bottom)
    y = top
    for operation, bars in operations.items():
        parts.append(text(20, y + 22, operation, size=13, bold=True))
        y += TITLE
        for label, ratio in bars:
            parts += bar(label, ratio, place(1), place(ratio), left, y)
            y += LINE
    if not every:
        parts.append(text(20, top, "No comparison was timed."))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" role="img">',
            "<title>fastemb against its rivals</title>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of each power of ten inside the range; 1 is always one of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def axis(x: float, tick: float, top: float, bottom: float) -> list[str]:
    """One line across the chart, and its number at both ends."""
    ink, weight = (INK, 1.5) if tick == 1 else (GRID, 1)
    label = f"{tick:g}"
    line = f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{ink}" stroke-width="{weight}"/>'
    return [line, *(text(x, y, label, anchor="middle") for y in (top - 8, bottom + 18))]


def bar(label: str, ratio: float, origin: float, end: float, left: float, y: float) -> list[str]:
    """One comparison: its name, its bar and its ratio."""
    color = FASTER if ratio >= 1 else SLOWER
    start, length = min(origin, end), max(abs(end - origin), 0.5)
    return [
        text(left - 10, y + 11, label, anchor="end"),
        f'<rect x="{start:.1f}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{color}"/>',
        text(max(origin, end) + 6, y + 11, times(ratio)),
    ]


def text(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start", bold: bool = False) -> str:
    """Words of the chart."""
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}"{weight}'
    return f"<text {place}>{escape(words)}</text>"


# Command line ----------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Write the report; return 0, or 2 where a file cannot be read or written."""
    parser = argparse.ArgumentParser(description="Turn pytest-benchmark's JSON into a report.")
    parser.add_argument("results", type=Path, help="the file that --benchmark-json wrote")
    parser.add_argument("-o", "--output", type=Path, help="the Markdown file to write; standard output if not given")
    parser.add_argument("--svg", type=Path, help="a chart to write as well")
    options = parser.parse_args(arguments)
    try:
        machine, rows = read(options.results)
        report = markdown(machine, rows)
        if options.svg:
            options.svg.write_text(chart(rows), "utf-8")
        if options.output:
            options.output.write_text(report, "utf-8")
        else:
            sys.stdout.write(report)
    except (DamagedError, OSError) as error:
        sys.stderr.write(f"report.py: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
