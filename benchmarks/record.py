"""What was measured: read from pytest-benchmark's JSON, and kept in one small file for each processor.

A file ``results/<processor>.json`` has one line for each row of the report, with the run it comes from, so that a part
of the suite can be measured again and the rest stays, with its date. `report.py` makes its pages of these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OURS = "fastemb"
FLOOR = "(the floor)"  # ends the name of what nothing could beat: shown, but no rival to win or lose against
KEPT = "memory kept"
RATES = ("bytes_per_second", "tokens_per_second", "documents_per_second")
COPIES = ("copy_best", "copy_median")
KEPT_INFO = ("bytes_moved", "share_of_copy", *RATES)  # of our own timing
NUMBERS = {"asked", "ours_median", *COPIES, *KEPT_INFO}
OTHERS = {"instructions.json", "cuda.json", "cuda_static.json"}  # what else lies in the folder of results


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
    """One group: a case of an operation, timed for one or more contenders in one run.

    Ratios are those of the medians, unless they are stated: of rounds in which the two took turns, or of a run of which
    no more than rounded times is left.
    """

    operation: str
    case: str
    timings: dict[str, Timing] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)  # the ratios where the allocator keeps its memory
    stated: dict[str, float] = field(default_factory=dict)
    run: str = ""

    @property
    def rivals(self) -> list[str]:
        """Everybody but fastemb, in the order of the file."""
        return [name for name in self.timings if name != OURS]

    def ratio(self, rival: str) -> float | None:
        """How many times as long the rival takes; None where one of the two was not timed."""
        if OURS not in self.timings or rival not in self.timings:
            return None
        return self.stated.get(rival, self.timings[rival].median / self.timings[OURS].median)

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


@dataclass
class Record:
    """All that was measured on one processor: runs by their time, the newest last, and rows by operation and case."""

    processor: str
    cores: Any
    runs: dict[str, dict[str, Any]]  # threads, versions, command, turns, and how fast a plain copy was
    rows: dict[tuple[str, str], Row]

    @property
    def newest(self) -> str:
        """The time of the newest run; empty where no file says."""
        return max(self.runs, default="")

    def add(self, later: Record) -> None:
        """Take the rows of a later record in place of the same ones; runs of which nothing is left are dropped."""
        self.cores = later.cores
        self.runs |= later.runs
        self.rows |= later.rows
        used = {row.run for row in self.rows.values()}
        self.runs = {time: self.runs[time] for time in sorted(self.runs) if time in used}


# pytest-benchmark's JSON -----------------------------------------------------------------------------------------


def read(path: Path, keeps_memory: bool = False) -> Record:
    """Return what one run measured, in the order of the file."""
    data = loaded(path)
    try:
        machine = described(data.get("machine_info"))
        run = str(data.get("datetime") or "")[:16].replace("T", " ")
        entries = [entry for entry in data["benchmarks"] if "operation" in entry["extra_info"]]
        rows = group(entries, run)
        copies = next((entry["extra_info"] for entry in entries if COPIES[0] in entry["extra_info"]), {})
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DamagedError(f"{path}: not pytest-benchmark's JSON: {type(error).__name__}: {error}") from None
    if not rows:
        raise DamagedError(f"{path}: holds no timings of these benchmarks; was pytest given --benchmark-enable?")
    if bool(machine.get("keeps_memory")) != keeps_memory:
        kind = "the system's allocator as it is" if keeps_memory else "an allocator that keeps its memory"
        raise DamagedError(f"{path}: measured under {kind}; benchmarks/README.md tells the two files apart")
    told = {key: machine[key] for key in ("threads", "versions")} | {"command": machine.get("command", "unknown")}
    told |= {"turns": machine["turns"]} if "turns" in machine else {}
    told |= {key: positive(copies[key]) for key in COPIES if key in copies}
    return Record(str(machine.get("processor", "unknown")), machine.get("cores", "?"), {run: told}, rows)


def read_all(paths: list[Path]) -> Record:
    """Return what several runs on one machine measured; a row stands as the last file that has it says."""
    parts = [read(path) for path in paths]
    if len({part.processor for part in parts}) > 1:
        raise DamagedError(f"{', '.join(map(str, paths))}: measured on different processors")
    whole = parts[0]
    for part in parts[1:]:
        if whole.runs.keys() & part.runs.keys():  # of one minute: one run in two commands
            time, told = next(iter(part.runs.items()))
            part.runs[time] = told | {"command": f"{whole.runs[time]['command']}`, then `{told['command']}"}
        whole.add(part)
    return whole


def add_kept(record: Record, again: Record) -> None:
    """Put the ratios of the second file, each of two times of that file, beside those of the first."""
    for key, row in record.rows.items():
        ratios = again.rows[key].ratios() if key in again.rows else ()
        row.kept = {rival: positive(ratio) for rival, ratio in ratios}


def loaded(path: Path) -> Any:
    """Return what a file of JSON holds."""
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # no UTF-8, or no JSON
        raise DamagedError(f"{path}: not a JSON file: {error}") from None


def group(entries: list[dict[str, Any]], run: str) -> dict[tuple[str, str], Row]:
    """Put the contenders of a group into one row."""
    rows: dict[tuple[str, str], Row] = {}
    for entry in entries:
        info, stats = dict(entry["extra_info"]), entry["stats"]
        operation, case, name = (str(info[key]) for key in ("operation", "case", "name"))
        row = rows.setdefault((operation, case), Row(operation, case, run=run))
        for key in NUMBERS & info.keys():
            info[key] = positive(info[key])
        row.timings[name] = Timing(positive(stats["median"]), positive(stats["min"]), info)
        if "ours_median" in info:
            row.stated[name] = positive(row.timings[name].median / info["ours_median"])
    return rows


def described(machine_info: Any) -> dict[str, Any]:
    """Return what the benchmarks wrote about the machine; a file without it can still be compared."""
    ours = dict((machine_info or {}).get("fastemb") or {})
    return ours | {key: dict(ours.get(key) or {}) for key in ("threads", "versions")}


def positive(value: Any) -> float:
    """Return six digits of a number that can be divided by, in a range where the result is one, too."""
    if not isinstance(value, int | float) or not 1e-12 < value < 1e18:
        raise ValueError(f"{value!r} is no measured number")
    return float(f"{value:.6g}")


# The folder of results -------------------------------------------------------------------------------------------


def file_of(folder: Path, processor: str) -> Path:
    """Return the file of a processor: ``AMD EPYC (Zen 4)`` gives ``amd-epyc-zen-4.json``."""
    plain = re.sub(r"\((R|TM)\)", " ", processor, flags=re.IGNORECASE)
    return folder / ("-".join(re.findall(r"[a-z0-9]+", plain.lower())) + ".json")


def stored(folder: Path) -> list[Record]:
    """Return what a folder holds, the processor of the newest run first."""
    files = sorted(path for path in folder.glob("*.json") if path.name not in OTHERS)
    return sorted(map(opened, files), key=lambda record: record.newest, reverse=True)


def opened(path: Path) -> Record:
    """Return what one file of the folder holds."""
    data = loaded(path)
    try:
        rows = [row_of(entry) for entry in data["rows"]]
        runs = {str(time): run_of(told) for time, told in data["runs"].items()}
        for row in rows:
            runs[row.run]  # of a run that there is
        return Record(str(data["processor"]), data["cores"], runs, {(row.operation, row.case): row for row in rows})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path}: no file of results: {type(error).__name__}: {error}") from None


def run_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of a run in a file."""
    told = entry | {key: dict(entry.get(key, {})) for key in ("threads", "versions")}
    told["command"] = str(entry.get("command", "unknown"))
    return told | {key: positive(entry[key]) for key in COPIES if any(copy in entry for copy in COPIES)}


def row_of(entry: dict[str, Any]) -> Row:
    """Return the row that a line of a file stands for."""
    timings: dict[str, Timing] = {}
    for name, (middle, best) in entry["seconds"].items():
        info = {key: positive(entry[key]) for key in KEPT_INFO if key in entry} if name == OURS else {}
        if name in entry.get("asked", {}):
            info["asked"] = positive(entry["asked"][name])
        timings[name] = Timing(positive(middle), positive(best), info)
    kept, stated = ({name: positive(ratio) for name, ratio in entry.get(key, {}).items()} for key in ("kept", "stated"))
    return Row(str(entry["operation"]), str(entry["case"]), timings, kept, stated, str(entry["run"]))


def written(record: Record) -> str:
    """Return the file of a record: a line for each row."""
    head = {"processor": record.processor, "cores": record.cores, "runs": record.runs}
    lines = [json.dumps(line_of(row), ensure_ascii=False) for row in record.rows.values()]
    text = json.dumps(head, ensure_ascii=False, indent=1)
    return text.removesuffix("\n}") + ',\n "rows": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def line_of(row: Row) -> dict[str, Any]:
    """Return what a file keeps of a row."""
    line: dict[str, Any] = {"operation": row.operation, "case": row.case, "run": row.run}
    line["seconds"] = {name: [timing.median, timing.best] for name, timing in row.timings.items()}
    asked = {name: timing.info["asked"] for name, timing in row.timings.items() if "asked" in timing.info}
    ours = row.timings[OURS].info if OURS in row.timings else {}
    return (
        line
        | ({"asked": asked} if asked else {})
        | ({"kept": row.kept} if row.kept else {})
        | ({"stated": row.stated} if row.stated else {})
        | {key: ours[key] for key in KEPT_INFO if key in ours}
    )
