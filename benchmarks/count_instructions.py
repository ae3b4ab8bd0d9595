"""Count the instructions of encoding under valgrind: numbers that do not depend on what else the machine does.

``python benchmarks/count_instructions.py [--check] [--output FILE]``

A child encodes a fixed corpus 0, 1 and 2 times after it has loaded the vocabulary; the differences are the first
and the second pass of the engine alone, in C. Valgrind knows no AVX-512, so the engine runs on
AVX2 (``FASTEMB_SIMD=avx2``). ``--check`` compares with the file instead of writing it and returns 1 where a pass
takes over 2 % more, 2 where there is nothing to compare with: another corpus or another Python.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "instructions.json"
VOCABULARIES = ["gpt2", "cl100k", "o200k"]
BYTES = 262_144  # of each corpus
# Only inside of these: what Python does until then differs from one start to the next by more than a pass takes.
ENGINE = [f"--toggle-collect={name}" for name in ("fe_encode", "fe_encode_one")]
TOLERANCE = 0.02
SETTINGS = {"FASTEMB_SIMD": "avx2", "FASTEMB_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "1"}
CHILD = """
import json, sys, fastemb
file, pattern, texts, passes = json.load(open(sys.argv[1], encoding="utf-8"))
tokenizer = fastemb.Tokenizer.load(file, pattern)
tokenizer.encode_batch(["a b"])
for _ in range(passes):
    rows = tokenizer.encode_batch(texts)
print(rows.ids.size if passes else 0)
"""


def corpora() -> Iterator[tuple[str, list[str]]]:
    """English and code, in documents of 8 kB."""
    sys.path.insert(0, str(HERE.parent))
    from benchmarks.corpora import DOCUMENT_CHARACTERS, MANY_DOCUMENTS, code_documents, english_documents

    count = BYTES // DOCUMENT_CHARACTERS
    yield "English", english_documents().texts[:count]
    yield "code", code_documents(MANY_DOCUMENTS).texts[:count]


def counted(vocabulary: str, texts: list[str], passes: int) -> tuple[int, int]:
    """Return the instructions of the engine in a process, and the tokens of one pass."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import vocabularies

    real = vocabularies.read(vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "asked.json")
        asked.write_text(json.dumps([str(real.file), real.pattern_name, texts, passes]), "utf-8")
        output = f"--callgrind-out-file={folder}/callgrind"
        command = ["valgrind", "--tool=callgrind", output, *ENGINE, sys.executable, "-c", CHILD, str(asked)]
        run = subprocess.run(command, env=os.environ | SETTINGS, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not found:
        raise SystemExit(f"valgrind failed for {vocabulary}:\n{run.stderr[-3000:]}")
    return int(found[1]), int(run.stdout)


def measured() -> dict[str, Any]:
    """Count both passes over every corpus with every vocabulary."""
    rows = {}
    for corpus, texts in corpora():
        data = "".join(texts).encode()
        for vocabulary in VOCABULARIES:
            (start, _), (one, tokens), (two, _) = (counted(vocabulary, texts, passes) for passes in (0, 1, 2))
            row: dict[str, Any] = {"bytes": len(data), "tokens": tokens, "sha256": hashlib.sha256(data).hexdigest()}
            for name, instructions in (("first pass", one - start), ("second pass", two - one)):
                per_byte, per_token = round(instructions / len(data), 3), round(instructions / tokens, 2)
                row[name] = {"instructions": instructions, "per byte": per_byte, "per token": per_token}
                print(
                    f"{vocabulary:7} {corpus:8} {name:12} {per_byte:8.3f} a byte {per_token:9.2f} a token", flush=True
                )
            rows[f"{vocabulary}, {corpus}"] = row
    return {"Python": platform.python_version(), "machine": platform.machine(), "settings": SETTINGS, "rows": rows}


def compared(new: dict[str, Any], old: dict[str, Any]) -> int:
    """Print what has changed; return 0, 1 for a regression, or 2 where nothing can be compared."""
    status = 0
    if (new["Python"], new["machine"]) != (old["Python"], old["machine"]):
        print(f"not comparable: the file is from Python {old['Python']} on {old['machine']}")
        return 2
    for name, row in new["rows"].items():
        before = old["rows"].get(name)
        if before is None or before["sha256"] != row["sha256"]:
            print(f"{name}: not comparable, the text is another")
            status = status or 2
            continue
        for stage in ("first pass", "second pass"):
            change = row[stage]["instructions"] / before[stage]["instructions"] - 1
            if abs(change) > TOLERANCE:
                print(f"{name}, {stage}: {change:+.1%} instructions")
            if change > TOLERANCE:
                status = 1
    return status


def main() -> int:
    """Count, then write or compare."""
    parser = argparse.ArgumentParser(description="Count the instructions of encoding under valgrind.")
    parser.add_argument("--check", action="store_true", help="compare with the file, and do not write it")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the file of the results")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed: apt install valgrind")
    new = measured()
    if options.check:
        return compared(new, json.loads(options.output.read_text("utf-8")))
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(new, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
