"""benchmarks/report.py: ratios, losses, damaged files, the chart."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[1] / "benchmarks" / "report.py"
SVG = "{http://www.w3.org/2000/svg}"


def entry(case, name, median, **info):
    info |= {"operation": "gather", "case": case, "name": name}
    return {"extra_info": info, "stats": {"median": median, "min": median * 0.9}}


RESULTS = {
    "machine_info": {
        "fastemb": {
            "processor": "Example CPU",
            "cores": 2,
            "threads": {"fastemb": "1"},
            "versions": {"numpy": "2.0"},
            "command": "pytest benchmarks",
        }
    },
    "benchmarks": [
        entry("big | <wide>", "fastemb", 0.002, bytes_moved=1e8, share_of_copy=0.5, copy_median=2e10, copy_best=2.5e10),
        entry("big | <wide>", "np.take", 0.005),
        entry("small", "np.take", 1.0e-6),
        entry("small", "fastemb", 1.25e-6),
        entry("level", "fastemb", 1.0),
        entry("level", "np.take", 0.9999),
        entry("alone", "fastemb", 3.0),
    ],
}


def report(tmp_path, data=RESULTS, *options):
    results = tmp_path / "results.json"
    results.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    command = [sys.executable, str(REPORT), str(results), *options]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env={"PYTHONUTF8": "1"})


def row(text, case):
    return next(line for line in text.splitlines() if line.startswith(f"| {case}"))


def test_ratio_is_the_rivals_median_over_ours(tmp_path):
    run = report(tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert row(run.stdout, "big").split(" | ")[1:] == [
        "2.00 ms (1.80 ms)", "5.00 ms (4.50 ms)", "2.50 ×", "100 MB", "50 % |",
    ]  # fmt: skip
    assert r"big \| <wide>" in run.stdout  # a bar in a case does not open another cell


def test_losses_are_in_words_and_counted_first(tmp_path):
    text = report(tmp_path).stdout
    assert "0.80 × (slower)" in row(text, "small")
    assert "0.999 × (slower)" in row(text, "level")  # never rounded up to a draw
    assert "slower in 2 of 3 comparisons" in text.partition("## gather")[0]
    assert "- gather, small: 0.80 × (slower) than np.take" in text.partition("## gather")[0]


def test_a_floor_is_no_rival(tmp_path):
    data = {"benchmarks": [entry("x", "fastemb", 2.0), entry("x", "nothing at all (the floor)", 1.0)]}
    assert "slower in 0 of 0 comparisons." in report(tmp_path, data).stdout


def test_row_without_a_rival(tmp_path):
    assert row(report(tmp_path).stdout, "alone").split(" | ")[1:4] == ["3.00 s (2.70 s)", "—", "—"]


def test_header_says_where_the_numbers_come_from(tmp_path):
    header = report(tmp_path).stdout.partition("## ")[0]
    for part in ("Example CPU, 2 in use", "fastemb: 1", "numpy 2.0", "`pytest benchmarks`", "25.0 GB/s"):
        assert part in header


def test_files(tmp_path):
    run = report(tmp_path, RESULTS, "-o", str(tmp_path / "report.md"), "--svg", str(tmp_path / "chart.svg"))
    assert (run.returncode, run.stdout) == (0, "")
    assert "2.50 ×" in (tmp_path / "report.md").read_text("utf-8")
    svg = ET.parse(tmp_path / "chart.svg").getroot()
    assert svg.tag == f"{SVG}svg"
    words = [element.text for element in svg.iter(f"{SVG}text")]
    assert {"gather", "big | <wide> vs np.take", "2.50 ×", "0.80 × (slower)", "1"} <= set(words)
    _background, *bars = svg.iter(f"{SVG}rect")
    assert len({bar.get("fill") for bar in bars}) == 2
    line = next(float(x.get("x1")) for x in svg.iter(f"{SVG}line") if x.get("stroke-width") == "1.5")
    faster, *slower = [(float(bar.get("x")), float(bar.get("width"))) for bar in bars]
    assert faster[0] == pytest.approx(line, abs=0.1)  # to the right of 1
    for start, width in slower:
        assert start + width == pytest.approx(line, abs=0.6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "not a JSON file"),
        ('{"benchmarks": [', "not a JSON file"),
        ("[]", "not pytest-benchmark's JSON"),
        ("{}", "not pytest-benchmark's JSON"),
        ({"benchmarks": []}, "--benchmark-enable"),
        ({"benchmarks": [entry("x", "fastemb", 0)]}, "0 is no measured number"),
        ({"benchmarks": [entry("x", "fastemb", float("nan"))]}, "nan is no measured number"),
        ({"benchmarks": [entry("x", "fastemb", 1.0, bytes_moved="many")]}, "'many' is no measured number"),
        ({"benchmarks": [{"extra_info": {"operation": "gather"}}]}, "not pytest-benchmark's JSON"),
        ({"benchmarks": [entry("x", "fastemb", 1.0)], "machine_info": 7}, "not pytest-benchmark's JSON"),
    ],
)
def test_damaged_file_is_one_line(tmp_path, data, message):
    run = report(tmp_path, data)
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr
    assert run.stderr.count("\n") == 1
    assert "results.json" in run.stderr


def test_missing_file(tmp_path):
    run = subprocess.run(
        [sys.executable, str(REPORT), str(tmp_path / "none.json")], capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "No such file" in run.stderr


def test_machine_info_may_be_missing(tmp_path):
    run = report(tmp_path, {"benchmarks": RESULTS["benchmarks"]}, "--svg", str(tmp_path / "chart.svg"))
    assert (run.returncode, run.stderr) == (0, "")


def test_nothing_to_compare(tmp_path):
    run = report(tmp_path, {"benchmarks": [entry("x", "fastemb", 1.0)]}, "--svg", str(tmp_path / "chart.svg"))
    assert "slower in 0 of 0 comparisons." in run.stdout
    assert ET.parse(tmp_path / "chart.svg").getroot().tag == f"{SVG}svg"
