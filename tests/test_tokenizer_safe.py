"""No file, no text and no changed array leads out of bounds, or makes anything quadratic."""

import pickle

import numpy as np
import pytest

import fastemb
from fastemb._text import core


def test_offsets_changed_after_the_rows_were_made(gpt2):
    """C is told how many ids there are: no offset leads behind them."""
    for changed in ([0, 1 << 40], [0, -1], [0, 4]):
        offsets = np.array([0, 3])
        rows = fastemb.Ragged(np.array([1, 2, 3], np.int32), offsets)
        rows.offsets[:] = changed
        with pytest.raises(ValueError, match="offsets must ascend from 0 to the number of ids, 3"):
            gpt2.decode_batch(rows)


def test_a_cache_that_could_not_be_made_is_asked_for_again(gpt2, monkeypatch):
    """Where memory was short once, later calls do not stay slow."""

    class NoMemory:
        def __getattr__(self, name):
            return getattr(core_lib, name)

        def fe_cache_new(self, *_):
            return core_lib.FE_NO_MEMORY

    tokenizer, core_lib = pickle.loads(pickle.dumps(gpt2)), core.lib
    parts = sorted(tokenizer._core._parts)
    with monkeypatch.context() as patched:
        patched.setattr(core, "lib", NoMemory())
        assert tokenizer.encode("Hello world").tolist() == [15496, 995]
    assert (tokenizer._core._workspaces, sorted(tokenizer._core._parts)) == ([], parts)
    assert tokenizer.encode("Hello world").tolist() == [15496, 995]
    assert tokenizer._core._workspaces[0].cache
