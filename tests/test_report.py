"""benchmarks/report.py: ratios, losses, what was asked, several processors, the README's numbers, damaged files."""

import copy
import importlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks" / "report.py"
SVG = "{http://www.w3.org/2000/svg}"


def entry(case, name, median, **info):
    info |= {"operation": "gather", "case": case, "name": name}
    return {"extra_info": info, "stats": {"median": median, "min": median * 0.9}}


RESULTS = {
    "datetime": "2026-11-29T10:11:00.869188+00:00",
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
        entry("big | <wide>", "np.take", 0.005, asked=2.5),
        entry("small", "np.take", 1.0e-6, asked=1 / 1.2),
        entry("small", "fastemb", 1.25e-6),
        entry("level", "fastemb", 1.0),
        entry("level", "np.take", 0.9999, asked=2),
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
        "Example CPU, 2026-11-29", "2.00 ms (1.80 ms)", "5.00 ms (4.50 ms)", "2.50 ×", "100 MB", "50 % |",
    ]  # fmt: skip
    assert r"big \| <wide>" in run.stdout  # a bar in a case does not open another cell


def test_losses_are_in_words_and_counted_first(tmp_path):
    text = report(tmp_path).stdout
    assert "0.80 × (slower)" in row(text, "small")
    assert "0.999 × (slower)" in row(text, "level")  # never rounded up to a draw
    assert "slower in 2 of 3 comparisons on Example CPU:" in text.partition("## What was asked")[0]
    lost = [line for line in text.partition("## What was asked")[0].splitlines() if line.startswith("| gather")]
    assert lost == [  # the worst first
        "| gather | small | np.take | 0.80 × (slower) |", "| gather | level | np.take | 0.999 × (slower) |",
    ]  # fmt: skip


def test_what_was_asked_stands_beside_what_was_measured(tmp_path):
    text = report(tmp_path).stdout.partition("## What was asked")[2].partition("## gather")[0]
    assert "2 of 3 are missed on Example CPU, and come first" in text
    assert [line.split(" | ")[1:] for line in text.splitlines() if line.startswith("| gather")] == [
        ["level", "np.take", "2 ×", "1.00 × **missed** |"],  # missed ones first, the worst before all
        ["small", "np.take", "0.833 ×", "0.80 × **missed** |"],
        [r"big \| <wide>", "np.take", "2.5 ×", "2.50 × |"],  # reached to the number
    ]


def test_nothing_asked(tmp_path):
    assert "asked" not in report(tmp_path, {"benchmarks": [entry("x", "fastemb", 1.0), entry("x", "y", 1.0)]}).stdout


def kept_file(tmp_path, factor=0.5, keeps_memory=True):
    """Write a second file, in which the rivals take less time."""
    data = copy.deepcopy(RESULTS)
    data["machine_info"]["fastemb"]["keeps_memory"] = keeps_memory
    for one in data["benchmarks"]:
        one["stats"]["median"] *= factor if one["extra_info"]["name"] != "fastemb" else 1
    (tmp_path / "kept.json").write_text(json.dumps(data), "utf-8")
    return str(tmp_path / "kept.json")


def test_ratios_where_the_allocator_keeps_its_memory(tmp_path):
    text = report(tmp_path, RESULTS, "--kept", kept_file(tmp_path)).stdout
    assert "| ratio to np.take | memory kept |" in text
    assert row(text, "big").split(" | ")[4:6] == ["2.50 ×", "1.25 ×"]
    assert row(text, "alone").split(" | ")[4:6] == ["—", "—"]
    assert "slower in 4 of 6 comparisons" in text
    assert "| gather | small | np.take, memory kept | 0.40 × (slower) |" in text
    assert "2 of 3 are missed" in text  # what was asked was asked of the first file


def test_the_two_files_are_told_apart(tmp_path):
    run = report(tmp_path, RESULTS, "--kept", kept_file(tmp_path, keeps_memory=False))
    assert (run.returncode, run.stdout) == (2, "")
    assert "kept.json: measured under the system's allocator as it is" in run.stderr
    run = report(tmp_path, Path(kept_file(tmp_path)).read_text("utf-8"))
    assert (run.returncode, run.stdout) == (2, "")
    assert "results.json: measured under an allocator that keeps its memory" in run.stderr


def test_a_suite_measured_in_parts(tmp_path):
    later = copy.deepcopy(RESULTS)
    later["benchmarks"] = [entry("level", "fastemb", 1.0), entry("level", "torch", 3.0)]
    later["machine_info"]["fastemb"]["command"] = "pytest the rest"
    (tmp_path / "later.json").write_text(json.dumps(later), "utf-8")
    text = report(tmp_path, RESULTS, str(tmp_path / "later.json")).stdout
    assert "`pytest benchmarks`, then `pytest the rest`" in text
    assert "3.00 ×" in row(text, "level")
    assert "slower in 1 of 3 comparisons" in text
    later["machine_info"]["fastemb"]["processor"] = "Another CPU"
    (tmp_path / "later.json").write_text(json.dumps(later), "utf-8")
    run = report(tmp_path, RESULTS, str(tmp_path / "later.json"))
    assert (run.returncode, run.stdout) == (2, "")
    assert "measured on different processors" in run.stderr


@pytest.fixture
def headlines(monkeypatch):
    """Return what the README shows."""
    monkeypatch.syspath_prepend(str(REPORT.parent))
    return importlib.import_module("report").HEADLINES


def headline_results(headlines):
    entries = []
    for operation, case, rival in (headline[1:] for headline in headlines):
        for name, median in (("fastemb", 0.002), (rival, 0.005)):
            info = {"operation": operation, "case": case, "name": name}
            entries.append({"extra_info": info, "stats": {"median": median, "min": median}})
    return RESULTS | {"benchmarks": entries}


def test_readme_has_six_numbers(tmp_path, headlines):
    readme = tmp_path / "README.md"
    readme.write_text("# One\n\n<!-- six numbers -->\nthose of before\n<!-- end -->\n\nThe rest.\n", "utf-8")
    data = headline_results(headlines)
    data["benchmarks"][-1]["stats"]["median"] = 0.001  # one that is lost
    for _ in range(2):  # what was written can be written over
        run = report(tmp_path, data, "-o", str(tmp_path / "page.md"), "--readme", str(readme))
        assert (run.returncode, run.stderr) == (0, "")
        text = readme.read_text("utf-8")
        assert text.startswith("# One\n\n<!-- six numbers -->\n|  | fastemb |")
        assert text.endswith("\n<!-- end -->\n\nThe rest.\n")
        assert "those of before" not in text
        lines = [line for line in text.splitlines() if " ms |" in line]
        assert [line.split(" | ")[-1] for line in lines] == ["**2.5** |"] * 5 + ["**0.5** |"]
        assert [line.split(" | ")[2] for line in lines] == [headline.rival for headline in headlines]
        assert "Example CPU with 2 cores" in text
        assert "slower in 1 of 6 comparisons" in text
        assert "In brackets" not in text
    data["machine_info"] = {"fastemb": RESULTS["machine_info"]["fastemb"] | {"keeps_memory": True}}
    data["benchmarks"] = data["benchmarks"][:2]  # one of the six was measured again
    (tmp_path / "kept.json").write_text(json.dumps(data), "utf-8")
    run = report(tmp_path, headline_results(headlines), "--kept", str(tmp_path / "kept.json"), "--readme", str(readme))
    assert run.returncode == 0
    text = readme.read_text("utf-8")
    assert (text.count("**2.5** |"), text.count("**2.5** (2.5) |"), text.count("In brackets")) == (5, 1, 1)


def other_processor(*entries, day="2026-12-01", processor="Other(R) CPU (Zen 9)", command="pytest part"):
    """What was measured later, on another processor if not told otherwise."""
    info = RESULTS["machine_info"]["fastemb"] | {"processor": processor, "command": command}
    return {"datetime": f"{day}T08:00:00+00:00", "machine_info": {"fastemb": info}, "benchmarks": list(entries)}


def test_processors_side_by_side(tmp_path, headlines):
    """Each has a file, of which the page shows a column; chart and README are of the one that was measured last."""
    folder, readme = tmp_path / "results", tmp_path / "README.md"
    folder.mkdir()
    (folder / "instructions.json").write_text("{}", "utf-8")  # not one of them
    readme.write_text("<!-- six numbers --><!-- end -->", "utf-8")
    report(tmp_path, RESULTS, "--kept", kept_file(tmp_path), "--results", str(folder))
    assert [path.name for path in sorted(folder.iterdir())] == ["example-cpu.json", "instructions.json"]
    later = headline_results(headlines)["benchmarks"]
    later += [entry("big | <wide>", "fastemb", 0.001), entry("big | <wide>", "np.take", 0.003, asked=4)]
    later += [entry("small", "fastemb", 1e-6), entry("small", "np.take", 2e-6), entry("new", "fastemb", 1.0)]
    options = ("--results", str(folder), "--readme", str(readme), "--svg", str(tmp_path / "chart.svg"))
    run = report(tmp_path, other_processor(*later), *options)
    assert (run.returncode, run.stderr) == (0, "")
    assert (folder / "other-cpu-zen-9.json").exists()
    page = run.stdout
    assert page.index("Processor: Other(R) CPU (Zen 9), 2026-12-01") < page.index("Processor: Example CPU, 2026-11-29")
    lost, _, rest = page.partition("## What was asked")
    assert "slower in 0 of 8 comparisons on Other(R) CPU (Zen 9), 4 of 6 comparisons on Example CPU:" in lost
    assert "| call | case | against | Other(R) CPU (Zen 9), 2026-12-01 | Example CPU, 2026-11-29 |" in lost
    assert "| gather | small | np.take | 2.00 × | 0.80 × (slower) |" in lost
    wanted = rest.partition("## ")[0]
    assert r"| gather | big \| <wide> | np.take | 4 × | 3.00 × **missed** | 2.50 × **missed** |" in wanted
    assert "| gather | level | np.take | 2 × | — | 1.00 × **missed** |" in wanted
    assert "| gather | small | np.take" not in wanted  # the newest run asks nothing there
    rows = [line.split(" | ")[1:3] for line in rest.splitlines() if line.startswith(r"| big \|")]
    assert rows == [
        ["Other(R) CPU (Zen 9), 2026-12-01", "1.00 ms (900 µs)"], ["Example CPU, 2026-11-29", "2.00 ms (1.80 ms)"],
    ]  # fmt: skip
    assert "an Other(R) CPU (Zen 9) with 2 cores" in readme.read_text("utf-8")
    assert "Other(R) CPU (Zen 9), 2026-12-01" in (tmp_path / "chart.svg").read_text("utf-8")
    again = subprocess.run([sys.executable, str(REPORT), *options], capture_output=True, encoding="utf-8")
    assert (again.returncode, again.stdout) == (0, page)  # all of it comes from the folder


def test_a_part_measured_again(tmp_path):
    """Its rows take the place of the same ones; the rest stays, with its date, until it is forgotten."""
    folder = tmp_path / "results"
    folder.mkdir()
    report(tmp_path, RESULTS, "--results", str(folder))
    part = other_processor(
        entry("small", "np.take", 3e-6),
        entry("small", "fastemb", 1e-6),
        processor="Example CPU",
        command="pytest small",
    )
    page = report(tmp_path, part, "--results", str(folder)).stdout
    assert "Processor: Example CPU, 2026-11-29 to 2026-12-01" in page
    assert "`pytest benchmarks`, then `pytest small`" in page
    assert "| Example CPU, 2026-12-01 | 1.00 µs" in row(page, "small")
    assert "| Example CPU, 2026-11-29 | 2.00 ms" in row(page, "big")
    page = report(tmp_path, part, "--results", str(folder), "--anew").stdout
    assert "2026-11-29" not in page
    assert json.loads((folder / "example-cpu.json").read_text("utf-8"))["runs"].keys() == {"2026-12-01 08:00"}


def test_ratios_that_are_stated(tmp_path):
    """Where only rounded times are left, the ratio is what was printed."""
    folder = tmp_path / "results"
    folder.mkdir()
    report(tmp_path, RESULTS, "--results", str(folder))
    file = folder / "example-cpu.json"
    data = json.loads(file.read_text("utf-8"))
    data["rows"][0]["stated"] = {"np.take": 2.51}
    file.write_text(json.dumps(data), "utf-8")
    command = [sys.executable, str(REPORT), "--results", str(folder)]
    run = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert "2.51 ×" in row(run.stdout, "big")


def test_a_ratio_is_of_rounds_by_turns(tmp_path):
    """Measured for a moment, through all: each rival's time stands beside ours of the same rounds."""
    file = tmp_path / "results.json"
    command = [sys.executable, "-m", "pytest", "benchmarks/bench_lookup.py", "-k", "few and 4-float32", "-q"]
    options = ["--benchmark-enable", "--benchmark-max-time=0.005", f"--benchmark-json={file}", "-p", "no:cacheprovider"]
    # It is no process of these tests' own: one of several times nothing.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    subprocess.run([*command, *options], cwd=ROOT, env=alone, check=True, capture_output=True)
    data = json.loads(file.read_text("utf-8"))
    assert data["machine_info"]["fastemb"]["turns"] == 3
    rivals = {one["extra_info"]["name"]: one for one in data["benchmarks"]}
    assert "ours_median" not in rivals.pop("fastemb")["extra_info"]
    assert rivals.keys() == {"np.take", "table[ids]"}
    text = report(tmp_path, data).stdout
    assert "Ratios: of 3 rounds by turns" in text
    shown = row(text, "1,000 x 64 float32, 4 chosen ids").split(" | ")
    for place, (rival, one) in enumerate(rivals.items()):
        assert one["stats"]["rounds"] >= 5
        assert one["stats"]["rounds"] % 3 == 0
        ratio = one["stats"]["median"] / one["extra_info"]["ours_median"]
        assert float(shown[4 + 2 * place].split(" ×")[0]) == pytest.approx(ratio, abs=0.006), rival


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("rows"),
        lambda data: data.pop("processor"),
        lambda data: data["runs"].clear(),
        lambda data: data["rows"][0]["seconds"].update(fastemb=[0, 1]),
        lambda data: data["rows"][0]["seconds"].update(fastemb=3),
        lambda data: data["rows"][0].pop("case"),
        lambda data: data["runs"]["2026-11-29 10:11"].update(versions=None),
        lambda data: data["runs"]["2026-11-29 10:11"].update(copy_best="fast"),
        lambda data: data["runs"]["2026-11-29 10:11"].pop("copy_median"),
    ],
)
def test_damaged_results_are_one_line(tmp_path, change):
    folder = tmp_path / "results"
    folder.mkdir()
    report(tmp_path, RESULTS, "--results", str(folder))
    file = folder / "example-cpu.json"
    data = json.loads(file.read_text("utf-8"))
    change(data)
    file.write_text(json.dumps(data), "utf-8")
    run = report(tmp_path, RESULTS, "--results", str(folder))
    assert (run.returncode, run.stdout) == (2, "")
    assert "example-cpu.json: no file of results" in run.stderr
    assert run.stderr.count("\n") == 1
    assert json.loads(file.read_text("utf-8")) == data  # nothing was written


def test_nothing_to_report(tmp_path):
    run = subprocess.run(
        [sys.executable, str(REPORT), "--results", str(tmp_path)], capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 2
    assert "nothing to report" in run.stderr


def test_the_pages_are_those_of_the_results(tmp_path):
    """What is committed was written by report.py from what is committed."""
    if not (ROOT / "benchmarks/results").is_dir():
        pytest.skip("a source distribution holds no results")
    pages = {name: tmp_path / Path(name).name for name in ("docs/benchmarks.md", "docs/benchmarks.svg", "README.md")}
    pages["README.md"].write_text((ROOT / "README.md").read_text("utf-8"), "utf-8")
    page, svg, readme = map(str, pages.values())
    command = [sys.executable, str(REPORT), "--results", str(ROOT / "benchmarks/results"), "-o", page]
    subprocess.run([*command, "--svg", svg, "--readme", readme], check=True)
    for name, path in pages.items():
        assert path.read_text("utf-8") == (ROOT / name).read_text("utf-8"), name


def test_readme_that_cannot_be_written(tmp_path, headlines):
    readme, page = tmp_path / "README.md", tmp_path / "page.md"
    readme.write_text("<!-- six numbers -->\n", "utf-8")
    run = report(tmp_path, headline_results(headlines), "-o", str(page), "--readme", str(readme))
    assert run.returncode == 2
    assert "README.md: no <!-- six numbers --> followed by <!-- end -->" in run.stderr
    readme.write_text("<!-- six numbers --><!-- end -->\n", "utf-8")
    run = report(tmp_path, RESULTS, "-o", str(page), "--readme", str(readme))
    assert run.returncode == 2
    assert f"no time of {headlines[0].operation}, {headlines[0].case}, against {headlines[0].rival}" in run.stderr
    assert readme.read_text("utf-8") == "<!-- six numbers --><!-- end -->\n"
    assert not page.exists()  # nothing is written where one part cannot be


def test_a_name_ends_no_line(tmp_path):
    data = {**RESULTS, "benchmarks": [entry("two\nlines", name, 1.0) for name in ("fastemb", "a\nrival")]}
    text = report(tmp_path, data).stdout
    assert row(text, "two lines |").count(" | ") == 4
    assert "| Case | Processor | fastemb | a rival | ratio to a rival |" in text


def test_a_floor_is_no_rival(tmp_path):
    data = {"benchmarks": [entry("x", "fastemb", 2.0), entry("x", "nothing at all (the floor)", 1.0)]}
    assert "slower in 0 of 0 comparisons on unknown." in report(tmp_path, data).stdout


def test_row_without_a_rival(tmp_path):
    assert row(report(tmp_path).stdout, "alone").split(" | ")[2:5] == ["3.00 s (2.70 s)", "—", "—"]


def test_header_says_where_the_numbers_come_from(tmp_path):
    header = report(tmp_path).stdout.partition("## ")[0]
    for part in (
        "Example CPU, 2026-11-29, 2 cores in use",
        "fastemb: 1",
        "numpy 2.0",
        "`pytest benchmarks`",
        "25.0 GB/s",
    ):
        assert part in header


def test_files(tmp_path):
    run = report(tmp_path, RESULTS, "-o", str(tmp_path / "report.md"), "--svg", str(tmp_path / "chart.svg"))
    assert (run.returncode, run.stdout) == (0, "")
    assert "2.50 ×" in (tmp_path / "report.md").read_text("utf-8")
    svg = ET.parse(tmp_path / "chart.svg").getroot()
    assert svg.tag == f"{SVG}svg"
    words = [element.text for element in svg.iter(f"{SVG}text")]
    assert {"gather", "big | <wide> vs np.take", "2.50 ×", "0.80 × (slower)", "1"} <= set(words)
    assert "Example CPU, 2026-11-29" in words
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
        ({"benchmarks": [entry("x", "np.take", 1.0, asked=0)]}, "0 is no measured number"),
        ({"benchmarks": [entry("x", "np.take", 1.0, asked={"np.take": 1.4})]}, "is no measured number"),
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
    assert "slower in 0 of 0 comparisons on unknown." in run.stdout
    assert ET.parse(tmp_path / "chart.svg").getroot().tag == f"{SVG}svg"
