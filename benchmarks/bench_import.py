"""Cold start: how long a new process takes to import fastemb, and to get its first result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .measure import Measure

ROUNDS = 5
FLOOR = "an empty @njit function (the floor)"
IMPORTS = {"fastemb": "import fastemb", "NumPy": "import numpy", "Python alone (the floor)": ""}
AFTER_GATHER = "gather alone (the floor)"
TABLE, IDS = "np.ones((9, 64), np.float32)", "np.arange(6).reshape(2, 3)"
FIRST_CALLS = {
    "gather": f"fastemb.gather({TABLE}, {IDS})",
    "embed": f"fastemb.embed({TABLE}, {IDS}, positions={TABLE})",
    "row_grad": f"fastemb.row_grad({IDS}, np.ones((2, 3, 64), np.float32))",
    "scatter_add": f"fastemb.scatter_add({TABLE}, {IDS}, np.ones((2, 3, 64), np.float32))",
    "embedding_bag": f"fastemb.embedding_bag({TABLE}, {IDS})",
    "pool": f"fastemb.pool({TABLE}[np.newaxis])",
    "normalize": f"fastemb.normalize({TABLE})",
    "rope": f"fastemb.rope({TABLE})",
    "quantize": f"fastemb.quantize({TABLE})",
    "topk": "fastemb.topk(np.ones((1, 64), np.float32), np.arange(256 * 64).reshape(256, 64).astype(np.float32), 2)",
}
# The floor of anything made with Numba: its import and one function that does nothing, read from the cache.
NUMBA_FLOOR = """\
import numpy as np
from numba import njit

@njit(cache=True)
def nothing():
    pass

nothing()
"""


def process(measure: Measure, folder: Path, *arguments: str, **environment: str) -> Callable[[], int]:
    """Return a call that runs Python anew, in a folder where it finds installed packages only.

    Where it is timed, kernels are compiled into a cache of this folder first, for all contenders alike.
    """
    command = [sys.executable, *arguments]
    settings = os.environ | ({"NUMBA_CACHE_DIR": str(folder / "cache")} if measure.timed else {}) | environment

    def call() -> int:
        return subprocess.run(command, cwd=folder, env=settings, check=True, stdin=subprocess.DEVNULL).returncode

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one cache for all processes: the first call of each, not timed, fills it."""
    return tmp_path_factory.mktemp("cold_start")


@pytest.mark.parametrize("name", IMPORTS)
def test_import(measure: Measure, tmp_path: Path, name: str) -> None:
    calls = {side: process(measure, tmp_path, "-c", code) for side, code in IMPORTS.items()}
    measure("new process", "import", calls, name, agree=None, rounds=2 * ROUNDS)


@pytest.mark.parametrize("name", [FLOOR, "fastemb"])
@pytest.mark.parametrize("operation", ["gather", "embedding_bag"])
def test_first_call(measure: Measure, folder: Path, operation: str, name: str) -> None:
    floor = folder / "floor.py"
    floor.write_text(NUMBA_FLOOR)
    calls = {"fastemb": process(measure, folder, "-c", script(operation)), FLOOR: process(measure, folder, str(floor))}
    measure("new process", f"first {operation}, kernels cached", calls, name, agree=None, rounds=ROUNDS)


@pytest.mark.parametrize("name", [AFTER_GATHER, "fastemb"])
@pytest.mark.parametrize("operation", [name for name in FIRST_CALLS if name != "gather"])
def test_further_calls(measure: Measure, folder: Path, operation: str, name: str) -> None:
    """What one more function costs a process that has called another: the difference of two processes."""
    if name == AFTER_GATHER and not measure.timed:
        pytest.skip("the same process as test_first_call's")
    calls = {
        "fastemb": process(measure, folder, "-c", script("gather", operation)),
        AFTER_GATHER: process(measure, folder, "-c", script("gather")),
    }
    measure("new process", f"gather, then first {operation}, kernels cached", calls, name, agree=None, rounds=ROUNDS)


@pytest.mark.parametrize("operation", ["gather", "embed", "embedding_bag"])
def test_first_call_compiles(measure: Measure, tmp_path: Path, operation: str) -> None:
    # Untimed, one of the three compiles anew: what the program says is right either way.
    nothing_kept = {"FASTEMB_CACHE": "0"} if measure.timed or operation == "gather" else {}
    calls = {"fastemb": process(measure, tmp_path, "-c", script(operation), **nothing_kept)}
    measure("new process", f"first {operation}, nothing cached", calls, "fastemb", agree=None, rounds=3)


def script(*operations: str) -> str:
    """Return a program that calls functions for the first time."""
    return "; ".join(["import numpy as np, fastemb", *(FIRST_CALLS[operation] for operation in operations)])
