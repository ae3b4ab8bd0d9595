"""Every row of the table of tunings: the same bits on any machine, and the instructions that each row asks for."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fastemb import embedding_bag
from fastemb._cpu import pooling
from fastemb._cpu.kernels import jit
from fastemb._cpu.kernels.reduce import max_cached_rows, sum_cached_rows
from fastemb._cpu.kernels.tuning import TUNINGS, choose

DIGEST = """
import hashlib
import numpy as np
import fastemb
from fastemb import _memory, _threads, reference
from fastemb._cpu import pooling
digest, rng = hashlib.sha256(), np.random.default_rng(5)
_memory.STREAM_BYTES = 1 << 16
def take(result):
    for part in result if isinstance(result, tuple) else (result,):
        if part is not None:
            take(part) if isinstance(part, tuple) else digest.update(np.ascontiguousarray(part).tobytes())
offsets = np.array([0, 1, 3, 8, 8, 20, 275, 532, 1100])
ids, weights = rng.integers(0, 300, 1100), rng.standard_normal(1100)
for dtype in ("f4", "f2"):
    for D in (1, 15, 64, 100, 384, 1100):
        table = rng.standard_normal((300, D)).astype(dtype)
        table[7], table[8, 0], table[9] = -0.0, np.inf, 0.0
        # Tables in a cache are added by columns, of which the row intel compiles all that follows.
        for cached_bytes in (1 << 23, -1) if dtype == "f4" else (-1,):
            pooling.TUNING = pooling.TUNING._replace(cached_bytes=cached_bytes)
            for mode in ("sum", "mean", "max"):
                take(fastemb.embedding_bag(table, ids, offsets, mode=mode, padding_idx=-1))
            take(fastemb.embedding_bag(table, ids, offsets, mode="mean", weights=weights))
        x = table[ids[:900]].reshape(3, 300, D)
        out = np.empty((3, D), dtype)  # with which no call is small: the kernels of small calls ask for no rows
        take(fastemb.pool(x, lengths=[300, 5, 0], mode="max", out=out))
        take(fastemb.pool(x, rng.random((3, 300)) < 0.5, out=out))
        take(fastemb.gather(table, ids, mode="clip", out=np.empty((1100, D), dtype)))
    for some in (ids % 3, ids % 100, np.arange(1100), np.where(ids < 40, ids, np.arange(1100) + 40)):  # long runs, few
        take(fastemb.row_grad(some, table[ids]))
        take(fastemb.scatter_add(np.ones((1200, D), dtype), some, table[ids], alpha=0.3))
take(fastemb.topk(table[:3], table[10:], 5, metric="dot"))
codes = fastemb.QuantizedTable(*reference.quantize(rng.standard_normal((300, 384)).astype("f4"), 8), (300, 384), 8)
take(fastemb.embedding_bag(codes, ids, offsets, mode="sum"))
print(digest.hexdigest())
"""

ASSEMBLY = """
import numpy as np
import fastemb
from fastemb._cpu import pooling
from fastemb._cpu.kernels.lookup import gather_rows
from fastemb._cpu.kernels.reduce import sum_rows
pooling.TUNING = pooling.TUNING._replace(cached_bytes=-1)
table = np.ones((100, 64), "f4")
fastemb.embedding_bag(table, [[1, 2]], out=np.empty((1, 64), "f4"))
fastemb.gather(table, [1], mode="clip")
print("\\n".join([*sum_rows.inspect_asm().values(), *gather_rows.inspect_asm().values()]))
"""


def run(code, name, cache="0"):
    """Return what a process of a tuning prints."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "FASTEMB_TUNING": name, "FASTEMB_CACHE": cache}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def printed():
    """Of each tuning the digest of its results and its machine code, which a kernel from the cache does not tell."""
    both = {name: run(DIGEST + ASSEMBLY, name).split("\n", 1) for name in TUNINGS if name != jit.TUNING_NAME}
    return both | {jit.TUNING_NAME: (run(DIGEST, jit.TUNING_NAME, cache="1").strip(), run(ASSEMBLY, jit.TUNING_NAME))}


def test_every_tuning_gives_the_same_bits(printed):
    digests = {name: digest for name, (digest, _) in printed.items()}
    assert len(set(digests.values())) == 1, digests


@pytest.mark.skipif("x86" not in os.uname().machine, reason="reads x86 assembly")
@pytest.mark.parametrize("name", TUNINGS)
def test_rows_are_asked_for_as_the_tuning_says(name, printed):
    assembly = printed[name][1]
    assert ("prefetcht1" in assembly) == (TUNINGS[name].row_locality == 2)
    assert ("prefetcht0" in assembly) or name == "amd"


@pytest.mark.parametrize("name", TUNINGS)
def test_sums_are_not_zeroed_for_each_bag(name, printed):
    """Numba zeroes what its own helper allocates: 4 KiB for each bag, a quarter of the time of short ones."""
    assert "memset" not in printed[name][1]


def test_rows_in_a_cache_give_the_bits_of_rows_in_memory(monkeypatch):
    """The bags of a table with either of its two kernels, which on some processors are two forms."""
    rng = np.random.default_rng(3)
    offsets, ids = np.array([0, 1, 3, 8, 8, 20, 275, 532, 1100]), rng.integers(0, 300, 1100)
    taken = []
    monkeypatch.setattr(pooling, "sum_cached_rows", lambda *given: taken.append("sum") or sum_cached_rows(*given))
    monkeypatch.setattr(pooling, "max_cached_rows", lambda *given: taken.append("max") or max_cached_rows(*given))
    for dtype in (np.float32, np.float16):
        for D in (1, 15, 64, 100, 384, 1100):
            table = rng.standard_normal((300, D)).astype(dtype)
            for mode in ("mean", "max", "mean_max"):
                out = []
                for cached_bytes in (-1, table.nbytes - 1, table.nbytes):
                    monkeypatch.setattr(pooling, "TUNING", jit.TUNING._replace(cached_bytes=cached_bytes))
                    before = len(taken)
                    out.append(embedding_bag(table, ids, offsets, mode=mode, normalize=True).tobytes())
                    assert (len(taken) > before) == (cached_bytes == table.nbytes)
                assert len(set(out)) == 1, (dtype, D, mode)


def test_the_processor_decides_unless_asked(monkeypatch):
    monkeypatch.delenv("FASTEMB_TUNING", raising=False)
    assert choose("znver4") == choose("znver3") == "amd"
    assert choose("sapphirerapids") == choose("generic") == "intel"
    monkeypatch.setenv("FASTEMB_TUNING", "intel")
    assert choose("znver4") == "intel"
    monkeypatch.setenv("FASTEMB_TUNING", "fastest")
    with pytest.raises(ValueError, match="FASTEMB_TUNING must be one of 'amd', 'intel', got 'fastest'"):
        choose("znver4")
    assert jit.TUNING is TUNINGS[jit.TUNING_NAME]
