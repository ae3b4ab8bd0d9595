"""Kernels on processors of the plainest kind: the same bits, and code of that kind with vectors in it.

x86-64-v2 has SSE4.2 and nothing later: no AVX, no F16C, no fused multiply-add. Its code is run and read here; that of
64-bit ARM is read alone.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite.binding import get_host_cpu_features

PROGRAM = Path(__file__).parent / "generic_code.py"
V2 = {"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": "", "FASTEMB_CACHE": "0"}
#: Kernels whose work is floats; the others move bytes and ids.
ARITHMETIC = {
    "quick": {"sum_rows", "sum_small", "max_small", "embed_small", "put_runs", "rope_rows"},
    "all": {
        *("sum_rows", "max_rows", "sum_small", "sum_small_kept", "max_small", "max_small_kept", "embed_rows"),
        *(
            "change_rows",
            "change_rows_by_runs",
            "put_runs",
            "rope_rows",
            "normalize_rows",
            "quantize_rows",
            "widen_rows",
            "norm_grads",
            "find_norms",
        ),
    },
}
#: Squares of float32 in float64 are exact, fused or not; scores that a bound is for are found again, exactly.
MAY_FUSE = {"normalize_rows", "normalize_small", "scan_bounded_rows", "bound_rows", "topk_small"}
#: Loads and stores of registers that found no room, for each operation on vectors of an inner loop. The worst: 3.3 in
#: `embed_rows` on x86-64-v2, 2.6 in `max_rows` on ARM; sums of float32 have a quarter on the one and none on the other.
SPILLS = 3.5

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="runs code of x86-64-v2")
EXTENT = pytest.mark.parametrize("cases", ["quick", pytest.param("all", marks=pytest.mark.exhaustive)])
TARGET = pytest.mark.parametrize("target", ["x86-64-v2", "aarch64"])
_done = {}


def output(target, cases):
    """Return the digests that a process gives, and what its kernels are like; once for all tests."""
    if target == "aarch64" and not get_host_cpu_features().get("f16c"):
        pytest.skip("kernels that are told to be ARM's convert float16 by an instruction, and run once here")
    if (target, cases) not in _done:
        more = {"x86-64-v2": V2, "aarch64": {"FASTEMB_CACHE": "0"}, "host": {}}[target]
        command = [sys.executable, str(PROGRAM), target, cases]
        run = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        first, *lines = run.stdout.splitlines()
        _done[target, cases] = json.loads(first), [json.loads(line) for line in lines]
    return _done[target, cases]


@EXTENT
def test_the_same_bits(cases):
    """What this machine gives has its own tests against the reference; the plainest processor gives no other bit."""
    ours, _ = output("host", cases)
    assert len(ours) >= 7
    assert output("x86-64-v2", cases)[0] == ours


@EXTENT
@TARGET
def test_code_is_of_that_processor(target, cases):
    """No instruction that it lacks, and no call of a function that nobody has (as LLVM makes for float16)."""
    _, kernels = output(target, cases)
    assert {kernel["name"] for kernel in kernels} >= {"gather_rows", *ARITHMETIC[cases]}
    assert not [(kernel["name"], kernel["foreign"]) for kernel in kernels if kernel["foreign"]]
    assert not [(kernel["name"], kernel["missing"]) for kernel in kernels if kernel["missing"]]
    assert not [kernel["name"] for kernel in kernels if kernel["fused"] and kernel["name"] not in MAY_FUSE]


@EXTENT
@TARGET
def test_loops_are_of_vectors(target, cases):
    """Some inner loop of each kernel of floats works on several at once, and none is mostly moves of registers."""
    _, kernels = output(target, cases)
    for kernel in kernels:
        if kernel["name"] in ARITHMETIC[cases]:
            assert max((vectors for vectors, _ in kernel["loops"]), default=0) >= 4, kernel
        for vectors, spills in kernel["loops"]:
            assert spills <= SPILLS * vectors, kernel
