"""set_cuda_check and cuda_check where no CUDA device was met: they cost nothing, and are remembered."""

import subprocess
import sys
import types

import pytest

import fastemb
from fastemb import _cuda_check


@pytest.fixture
def room(monkeypatch):
    """A room that keeps what it is told."""
    told = []
    status = types.SimpleNamespace(set_mode=told.append, cuda_check=lambda: told.append("looked"))
    monkeypatch.setitem(sys.modules, _cuda_check._STATUS, status)
    yield told
    monkeypatch.undo()
    fastemb.set_cuda_check("defer")


def test_a_room_that_is_there_is_told(room):
    fastemb.set_cuda_check("sync")
    fastemb.cuda_check()
    assert room == ["sync", "looked"]
    with pytest.raises(ValueError, match="mode must be one of 'defer', 'sync', 'none', got 'often'"):
        fastemb.set_cuda_check("often")
    assert (room, _cuda_check.asked) == (["sync", "looked"], "sync")


def test_neither_numba_nor_a_room_is_imported():
    code = (
        "import sys, fastemb; fastemb.set_cuda_check('none'); fastemb.cuda_check(); from fastemb import _cuda_check; "
        "print(_cuda_check.asked, {'numba', 'fastemb._cuda'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "none set()\n"
