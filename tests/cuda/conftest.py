"""Tests of the CUDA room, in four tiers: simulator (meaning), static (machine code), host (launches), device.

The simulator is another numba.cuda, chosen before that is imported: so its tests have a process of their own,
``NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda/simulator``.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from fakes import CuPyArray, DLPackArray, JaxArray, NumbaArray, Placed, Room, installed, torch_on_gpus

from fastemb import _devices

HERE = Path(__file__).parent
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
if SIMULATED:  # its threads wait for each other in turns, and the one that looks whether all wait takes its whole turn
    sys.setswitchinterval(5e-5)

#: Files that need no compiler: their room is a stub.
BY_THEMSELVES = {"test_host_frameworks.py", "test_host_libraries.py", "test_host_protocols.py"}


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


# Arrays on a GPU, without one: what tests of the host share -----------------------------------------------------------


@pytest.fixture
def libraries():
    """Modules like CuPy, JAX and numba.cuda in the place of those."""
    with installed() as found:
        yield found


@pytest.fixture
def gpu(monkeypatch, libraries):
    """A recorder in the place of the driver, and no GPU known before."""
    from recorder import Recorder  # these know numba-cuda, which not every environment has

    from fastemb._cuda import launch, status

    made = Recorder()
    monkeypatch.setattr(launch, "driver", made)
    monkeypatch.setattr(status, "_of", {})
    monkeypatch.setattr(status, "mode", status.DEFER)
    return made


@pytest.fixture
def room(monkeypatch):
    """The room of GPUs; it keeps what its twins were asked."""
    made = Room()
    monkeypatch.setitem(_devices.ROOMS, "cuda", made)
    return made


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="the package torch is not installed")


@pytest.fixture(params=["torch", "CuPy", "JAX", "Numba", "CUDA interface", "DLPack"])
def make(request, monkeypatch):
    """Every way to an array on a GPU: of NumPy's array and the number of the GPU."""
    if request.param == "torch":
        return torch_on_gpus(request.getfixturevalue("torch"), monkeypatch)
    return {
        "CuPy": CuPyArray,
        "JAX": lambda array, ordinal=0: JaxArray(array.copy("C"), (ordinal,)),
        "Numba": NumbaArray,
        "CUDA interface": lambda array, ordinal=0: Placed(array, ordinal),
        "DLPack": lambda array, ordinal=0: DLPackArray(array, (2, ordinal)),
    }[request.param]
