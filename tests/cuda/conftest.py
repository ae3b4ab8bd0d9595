"""Tests of the CUDA room, in four tiers: simulator (meaning), static (machine code), host (launches), device.

The simulator is another numba.cuda, chosen before that is imported: so its tests have a process of their own,
``NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda/simulator``.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"

#: Files that need no compiler: their room is a stub.
BY_THEMSELVES = {"test_host_frameworks.py"}


def reason_against(path: Path) -> str | None:
    """Return why a file of tests cannot run in this process."""
    tier = path.relative_to(HERE).parts[0]
    if find_spec("numba_cuda") is None and tier not in BY_THEMSELVES:
        return "CUDA's kernels are compiled and simulated by numba-cuda: pip install 'fastemb[cuda-test]'"
    if tier == "simulator" and not SIMULATED:
        return "the simulator has a process of its own: NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda/simulator"
    if tier != "simulator" and SIMULATED:
        return "this process has Numba's simulator (NUMBA_ENABLE_CUDASIM=1), in which nothing is compiled"
    return None


class Skipped(pytest.Module):
    """A file of tests that is not imported."""

    def collect(self):
        """Skip, and say why."""
        pytest.skip(reason_against(self.path), allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """Return a module that skips, where its tests cannot run."""
    return Skipped.from_parent(parent, path=module_path) if reason_against(module_path) else None
