"""Arrays on a GPU, without one: what tests of the host share."""

import pytest
from fakes import CuPyArray, DLPackArray, JaxArray, NumbaArray, Placed, Room, installed, torch_on_gpus

from fastemb import _devices


@pytest.fixture
def libraries():
    """Modules like CuPy, JAX and numba.cuda in the place of those."""
    with installed() as found:
        yield found


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
