"""Turn pytest-benchmark's JSON into Markdown, a chart, and the six numbers of the README.

``python benchmarks/report.py [results.json ...] [--kept kept.json] [--results folder] [-o page.md] [--svg chart.svg]
[--readme README.md]``

Each row of the report is one group of benchmarks: fastemb, and what it is compared with. A ratio is a rival's
median time over fastemb's: above 1 fastemb is faster, and below 1 the report says "slower". ``kept.json`` holds the
benchmarks marked ``allocates``, run again under an allocator that keeps its memory (benchmarks/README.md). In the
folder of results each processor has a file (`record`): the one of this run is brought up to date, and the page shows
all of them, a column a processor; chart and README are of the processor that was measured last.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from chart import Bar, chart  # beside this file, which is run as a script
from record import KEPT, OURS, RATES, DamagedError, Record, Row, add_kept, file_of, read, read_all, stored, written

UNITS = dict(zip(RATES, ("B/s", " tokens/s", " texts/s"), strict=True))
PREFIXES = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
START, END = "<!-- six numbers -->", "<!-- end -->"


Comparison = tuple[str, str, str]  # operation, case and rival


class Headline(NamedTuple):
    """A number of the README: what a newcomer would call it, and where it stands in the report."""

    words: str
    operation: str
    case: str
    rival: str


HEADLINES = [
    Headline(
        "12 MB of English never seen before, behind 36 MB → ids of cl100k, `Tokenizer.encode_batch`",
        "Tokenizer.encode_batch, text never seen", "cl100k, English reference text", "gigatoken",
    ),
    Headline(
        "50,000 lines of English → vectors, `StaticModel.encode`",
        "StaticModel.encode", "50,000 English lines", "WordLlama",
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
    for key, unit in UNITS.items():
        if key in info:
            return scaled(info[key], unit)
    return "—"


# Markdown --------------------------------------------------------------------------------------------------------


def markdown(records: list[Record]) -> str:
    """Return the whole report: what is lost, what was asked for, then every row."""
    parts = ["# Benchmarks", *header(records), *losses(records), *asked(records)]
    operations = dict.fromkeys(operation for record in records for operation, _ in record.rows)
    for operation in operations:
        parts += [f"## {operation}", table(operation, records)]
    return "\n\n".join(parts) + "\n"


def header(records: list[Record]) -> Iterator[str]:
    """Say where the numbers come from and how to read them."""
    yield "\n".join(line for record in records for line in source(record))
    yield (
        "Times are medians, with the shortest in brackets. A ratio is the rival's median over fastemb's: above 1 "
        "fastemb is faster. *Moved* counts ids and rows read and results written; its share of the "
        "best copy rate can exceed 100 % where a table fits into the caches."
    )
    if any(row.kept for record in records for row in record.rows.values()):
        yield (
            f"*{KEPT.capitalize()}*: the same ratio in a second run, under an allocator that gives no memory back to "
            "the system. Part of the time of a rival that allocates its results is the system's, for new pages. The "
            "large results of fastemb come from memory it keeps, in both runs ([the command](../benchmarks/README.md))."
        )


def source(record: Record) -> Iterator[str]:
    """Say how one processor was measured; what two of its runs have in common is said once."""

    def told(words: Callable[[dict[str, Any]], str], between: str = "; ") -> str:
        return between.join(dict.fromkeys(filter(None, map(words, record.runs.values()))))

    def listed(key: str) -> str:
        return told(lambda run: ", ".join(f"{name}{mark[key]} {value}" for name, value in run[key].items()))

    mark = {"threads": ":", "versions": ""}
    yield f"- Processor: {named(record)}, {record.cores} cores in use"
    for key in mark:
        yield f"  - {key.capitalize()}: {listed(key)}"
    yield "  - Command: " + told(lambda run: f"`{run['command']}`", ", then ")
    yield "  - Ratios: of " + told(
        lambda run: f"{run['turns']} rounds by turns" if "turns" in run else "each side by itself"
    )
    copies = told(lambda run: copied(run) if "copy_best" in run else "")
    if copies:
        yield f"  - Copy rate of one thread in the same run, bytes read and bytes written: {copies}"


def copied(run: dict[str, Any]) -> str:
    """Return how fast a plain copy was."""
    return f"{scaled(run['copy_best'], 'B/s')} (median {scaled(run['copy_median'], 'B/s')})"


def named(record: Record, run: str | None = None) -> str:
    """Return the processor, and the day of one run, or the days of all."""
    days = [time[:10] for time in (record.runs if run is None else [run])]
    return f"{record.processor}, {' to '.join(dict.fromkeys([min(days), max(days)]))}".removesuffix(", ")


def each(records: list[Record], words: list[str]) -> str:
    """Say of each processor what there is to say of it."""
    return ", ".join(f"{said} on {record.processor}" for record, said in zip(records, words, strict=True))


def losses(records: list[Record]) -> Iterator[str]:
    """Name every comparison that is lost on some processor before the first table, the worst first."""
    found: list[dict[Comparison, float]] = [
        {(*key, rival): ratio for key, row in record.rows.items() for rival, ratio in row.comparisons()}
        for record in records
    ]
    counts = [f"{sum(ratio < 1 for ratio in one.values())} of {len(one)} comparisons" for one in found]
    every = dict.fromkeys(key for one in found for key in one)
    worst = {key: min(one[key] for one in found if key in one) for key in every}
    lost = sorted((key for key in worst if worst[key] < 1), key=lambda key: worst[key])
    yield "## What is lost"
    yield f"fastemb is slower in {each(records, counts)}" + (":" if lost else ".")
    if lost:
        head = [["call", "case", "against", *map(named, records)], ["---"] * 3 + ["---:"] * len(records)]
        yield cells_in_bars(head + [[*key, *(compared(one.get(key)) for one in found)] for key in lost])


def asked(records: list[Record]) -> Iterator[str]:
    """Set what was asked for beside what was measured; what is missed comes first, the worst before all.

    What is asked is what the first of the records asks: the one that was measured last.
    """
    least: dict[Comparison, float | None] = {}
    found: list[dict[Comparison, float]] = []
    for record in records:
        found.append({})
        for key, row in record.rows.items():
            for rival, ratio in row.ratios():
                found[-1][*key, rival] = ratio
                least.setdefault((*key, rival), row.timings[rival].info.get("asked"))
    wanted = {key: ratio for key, ratio in least.items() if ratio is not None}
    shares = [{key: ratio / wanted[key] for key, ratio in one.items() if key in wanted} for one in found]
    missed = {key: min(one[key] for one in shares if key in one) for key in wanted}
    head = ["call", "case", "against", "at least", *map(named, records)]
    lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3)]
    for key in sorted(wanted, key=lambda key: min(missed[key], 1)):  # stable: what is reached keeps its order
        measured = [against(one.get(key), wanted[key]) for one in found]
        lines.append([*key, f"{wanted[key]:.3g} ×", *measured])
    if wanted:
        counts = [f"{sum(share < 1 for share in one.values())} of {len(one)} are missed" for one in shares]
        yield "## What was asked"
        yield f"The ratio that a change must not fall below; {each(records, counts)}, and come first."
        yield cells_in_bars(lines)


def against(ratio: float | None, least: float) -> str:
    """Return a ratio, marked where it falls below what was asked."""
    if ratio is None:
        return "—"
    return f"{ratio:.2f} ×" + (" **missed**" if ratio / least < 1 else "")


def table(operation: str, records: list[Record]) -> str:
    """Return one operation's table: for each case a line a processor, and two columns for each rival, or three."""
    found = [(record, row) for record in records for row in record.rows.values() if row.operation == operation]
    cases = list(dict.fromkeys(row.case for _, row in found))
    found.sort(key=lambda pair: cases.index(pair[1].case))  # stable: the processors stay in their order
    rows = [row for _, row in found]
    head = ["Case", "Processor", OURS]
    lines = [[row.case, named(record, row.run), timed(row, OURS)] for record, row in found]

    def add(title: str, cells: list[str]) -> None:
        head.append(title)
        for line, cell in zip(lines, cells, strict=True):
            line.append(cell)

    for rival in dict.fromkeys(rival for row in rows for rival in row.rivals):
        add(rival, [timed(row, rival) for row in rows])
        add(f"ratio to {rival}", [compared(row.ratio(rival)) for row in rows])
        if any(rival in row.kept for row in rows):
            add(KEPT, [compared(row.kept.get(rival)) for row in rows])
    for title, cell in (("rate", rate), ("moved", moved), ("share of copy", share)):
        cells = [cell(row.timings[OURS].info) if OURS in row.timings else "—" for row in rows]
        if set(cells) != {"—"}:
            add(title, cells)
    return cells_in_bars([head, ["---"] * 2 + ["---:"] * (len(head) - 2), *lines])


def cells_in_bars(lines: list[list[str]]) -> str:
    """Return a table of Markdown; a bar inside a cell opens no other, and the end of a line ends none."""
    cells = ([" ".join(text.splitlines()).replace("|", "\\|") for text in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


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


def bars(record: Record) -> dict[str, list[Bar]]:
    """Return the bars of the chart, by operation."""
    operations: dict[str, list[Bar]] = {}
    for row in record.rows.values():
        operations.setdefault(row.operation, []).extend(
            Bar(f"{row.case} vs {rival}", ratio, times(ratio)) for rival, ratio in row.ratios()
        )
    return operations


# README ----------------------------------------------------------------------------------------------------------


def with_six_numbers(readme: Path, record: Record) -> str:
    """Return the README with new numbers between its two marks."""
    text = readme.read_text("utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise DamagedError(f"{readme}: no {START} followed by {END}")
    return f"{before}{START}\n{six_numbers(record)}\n{END}{after}"


def has_headlines(record: Record) -> bool:
    """Return whether all six were measured."""
    rows = ((record.rows.get((line.operation, line.case)), line.rival) for line in HEADLINES)
    return all(row is not None and row.ratio(rival) is not None for row, rival in rows)


def six_numbers(record: Record) -> str:
    """Return the table of headlines, where it was measured, and how much is lost."""
    lines = [["", OURS, "", "takes", "times as long"], ["---", "---:", "---", "---:", "---:"]]
    rows = list(record.rows.values())
    any_kept = any(row.kept for row in rows)
    for words, operation, case, rival in HEADLINES:
        row = record.rows.get((operation, case), Row(operation, case))
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
            f"One thread on each side of an {record.processor} with {record.cores} cores; medians of the runs whose "
            "[commands](docs/benchmarks.md) are on the page of all comparisons.",
            *(["In brackets: where the rival's allocator keeps its memory, as ours does."] if any_kept else []),
            f"fastemb is slower in {lost} of {len(pairs)} comparisons: "
            "[they come first](docs/benchmarks.md#what-is-lost) on the page of all of them.",
        ]
    )


# Command line ----------------------------------------------------------------------------------------------------


def records_of(options: argparse.Namespace) -> list[Record]:
    """Return what is to be shown, the processor that was measured last first."""
    measured = read_all(options.measured) if options.measured else None
    if measured and options.kept:
        add_kept(measured, read(options.kept, keeps_memory=True))
    before = stored(options.results) if options.results else []
    if not measured:
        return before
    same = next((record for record in before if record.processor == measured.processor), None)
    if same and not options.anew:
        same.add(measured)
        measured = same
    return [measured, *(record for record in before if record.processor != measured.processor)]


def main(arguments: list[str] | None = None) -> int:
    """Write what was asked for; return 0, or 2 where a file cannot be read or written."""
    parser = argparse.ArgumentParser(description="Turn pytest-benchmark's JSON into a report.")
    parser.add_argument("measured", type=Path, nargs="*", help="what --benchmark-json wrote, in one run or several")
    parser.add_argument("--kept", type=Path, help="another, measured under an allocator that keeps its memory")
    parser.add_argument("--results", type=Path, help="the folder of a file for each processor: to update, and to show")
    parser.add_argument("--anew", action="store_true", help="forget what earlier runs measured on this processor")
    parser.add_argument("-o", "--output", type=Path, help="the Markdown file to write; standard output if not given")
    parser.add_argument("--svg", type=Path, help="a chart to write as well")
    parser.add_argument("--readme", type=Path, help="a README whose six numbers to write anew")
    options = parser.parse_args(arguments)
    try:
        records = records_of(options)
        if not records:
            raise DamagedError("nothing to report: neither a file of pytest-benchmark nor a folder that holds results")
        files = {options.output: markdown(records)}
        whole = next(filter(has_headlines, records), records[0])  # a part of the suite does not take their place
        if options.svg:
            files[options.svg] = chart(bars(whole), named(whole))
        if options.readme:
            files[options.readme] = with_six_numbers(options.readme, whole)
        if options.results and options.measured:
            files[file_of(options.results, records[0].processor)] = written(records[0])
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
