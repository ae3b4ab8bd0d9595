"""Measure everything on a CUDA device, in one command.

    python -m benchmarks.cuda          writes results/cuda/<device>.json, docs/benchmarks_cuda.md, the README's table
    python -m benchmarks.cuda --dry    the same calls of small arrays of the CPU, untimed

It needs torch, and takes Liger and QuACK where they are installed (`bench_cuda` says what is measured).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SUITE, RESULTS = str(HERE / "bench_cuda.py"), HERE / "results/cuda"
START, END = "<!-- cuda numbers -->", "<!-- end of cuda numbers -->"


DRY = os.environ.get("FASTEMB_BENCH_CUDA_DRY") == "1"


def reason_against() -> str | None:
    """Return why nothing can be measured here."""
    if importlib.util.find_spec("torch") is None:
        return "CUDA is measured by torch's tensors, and torch is not installed"
    if DRY:
        return None
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no CUDA driver here"
    import torch

    return None if torch.cuda.is_available() else "torch sees no CUDA device"


class Machine:
    """Tell of the device what the JSON tells of the processor elsewhere."""

    @pytest.hookimpl(trylast=True)
    def pytest_benchmark_update_machine_info(self, config: pytest.Config, machine_info: dict[str, Any]) -> None:
        """Name the device."""
        import torch

        about, told = torch.cuda.get_device_properties(0), machine_info["fastemb"]
        told["versions"] |= {"CUDA of torch": str(torch.version.cuda)}
        told |= {"processor": about.name, "cores": about.multi_processor_count, "threads": {"streams": "1"}}
        told["command"] = "python -m benchmarks.cuda"


def readme_table(record: Any) -> str:
    """Return a line for each operation: its first case, the time, torch's, and the share of a device copy."""
    from report import OURS, duration, share, times

    lines = ["| | fastemb | torch | takes times as long | share of a device copy |", "|---|---:|---:|---:|---:|"]
    seen = set()
    for (operation, case), row in record.rows.items():
        ratio = row.ratio("torch")
        if ratio is not None and operation not in seen:
            seen.add(operation)
            ours, theirs = row.timings[OURS], row.timings["torch"]
            cells = duration(ours.median), duration(theirs.median), f"**{times(ratio)}**", share(ours.info)
            lines.append(f"| `{operation}`, {case} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"On one {record.processor}: [all of it](docs/benchmarks_cuda.md)."])


def page(records: list[Any]) -> str:
    """Return the page of all devices, the newest first."""
    from report import markdown

    words = markdown(records).replace("# Benchmarks", "# Benchmarks on CUDA devices", 1)
    return words.replace("Copy rate of one thread", "Copy rate").replace(" cores in use", " multiprocessors")


def main(arguments: list[str]) -> int:
    """Measure, and write the pages."""
    if "--dry" in arguments:
        os.environ["FASTEMB_BENCH_CUDA_DRY"] = "1"
        return int(pytest.main([SUITE, "-q"]))
    if why := reason_against():
        print(f"nothing is measured: {why}")
        return 0
    measured = RESULTS / "run.tmp"
    RESULTS.mkdir(exist_ok=True)
    options = ["--benchmark-enable", "--benchmark-max-time=0.2", f"--benchmark-json={measured}"]
    failed = int(pytest.main([SUITE, "-q", *options], plugins=[Machine()]))
    sys.path.insert(0, str(HERE))
    from record import file_of, read_all, stored, written

    record = read_all([measured])
    measured.unlink()
    file_of(RESULTS, record.processor).write_text(written(record), "utf-8")
    (HERE.parent / "docs/benchmarks_cuda.md").write_text(page(stored(RESULTS)), "utf-8")
    table, readme = readme_table(record), HERE.parent / "README.md"
    before, start, rest = readme.read_text("utf-8").partition(START)
    if start:
        readme.write_text(f"{before}{START}\n{table}\n{END}{rest.partition(END)[2]}", "utf-8")
    print(table)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
