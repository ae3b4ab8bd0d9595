"""What only a process of its own can show, for every family: forks, workers, pages behind arrays, old processors."""

import os
import subprocess
import sys

import pytest

IMPORTS = """
import numpy as np
from fastemb import _memory, _threads, reference
from fastemb.gradient import row_grad, scatter_add
from fastemb.lookup import gather
from fastemb.pooling import embedding_bag, normalize, pool
"""


def child_of(code, *flags, **environment):
    """Run code after the imports, without settings but those given; return the process when it has ended."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "FASTEMB_"))}
    return subprocess.run(
        [sys.executable, *flags, "-c", IMPORTS + code],
        env={**kept, **environment}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def run_child(code, *flags, **environment):
    """Do as `child_of` does; return what it printed."""
    child = child_of(code, *flags, **environment)
    assert child.returncode == 0, child.stderr
    return child.stdout


# Forks ------------------------------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

# Of each family what it gives, and what is right.
CALLS = {
    "gather": ("gather(table, ids)", "table[ids]"),
    "embedding_bag": (  # `out`: by threads, though the table lies in a cache
        "embedding_bag(table, ids, out=np.empty((300, 64), 'f4'))",
        "reference.embedding_bag(table, ids)",
    ),
    "pool": (  # `out`: as above
        "pool(x, ids % 3, mode='max', out=np.empty((300, 64), 'f4'))",
        "reference.pool(x, ids % 3, mode='max')",
    ),
    "normalize": ("normalize(x)", "reference.normalize(x)"),
    "row_grad": ("row_grad(ids, x).rows", "reference.row_grad(ids, x)[1]"),
    "scatter_add": ("scatter_add(table.copy(), ids, x)", "reference.scatter_add(table, ids, x)"),
}

FORK = """
import os, warnings
_threads._GRAIN = 1
_threads.set_num_threads(3)
table = np.random.default_rng(0).standard_normal((500, 64)).astype("f4")
ids = np.random.default_rng(1).integers(0, 500, (300, 7))
x = table[ids]
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of any fork beside threads
"""

FORK_FAMILY = """
wanted = {wanted}
def right():
    return bool(np.abs({call} - wanted).max() <= {within})
assert right() and _threads._pool._started == 2
child = os.fork()
if child == 0:
    fresh = _threads._pool._started == 0
    os._exit(0 if fresh and right() and _threads._pool._started == 2 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert right()
print("{family}", flush=True)
"""


@pytest.fixture(scope="module")
def forked():
    """One process for all families, by turns: what it printed, and its errors."""
    code = FORK
    for family, (call, wanted) in CALLS.items():
        within = 1e-7 if family == "normalize" else 0
        code += FORK_FAMILY.format(family=family, call=call, wanted=wanted, within=within)
    child = child_of(code)
    return child.stdout.split(), child.stderr


@needs_fork
@pytest.mark.parametrize("family", CALLS)
def test_calls_before_and_after_a_fork(family, forked):
    right, errors = forked
    assert family in right, errors


FORK_WITH_BLOCKS = """
import os
kept, _ = _memory.new_result((1 << 20,), "f4")
spare, _ = _memory.new_result((1 << 20,), "f4")
kept[:] = 7
del spare
assert _memory._pool.held() == 4 << 20
child = os.fork()
if not child:
    wrong = 1
    try:
        assert _memory._pool is None
        new, touched = _memory.new_result((1 << 20,), "f4")
        new[:] = 9
        assert not touched
        assert (kept == 7).all()
        assert not np.shares_memory(new, kept)
        del kept  # its block goes to a pool that nobody asks any more
        assert _memory._pool.held() == 0
        assert not _memory.new_result((1 << 20,), "f4")[1]
        del new
        assert _memory.new_result((1 << 20,), "f4")[1]
        wrong = 0
    finally:
        os._exit(wrong)
assert os.waitpid(child, 0)[1] == 0
assert (kept == 7).all()
assert _memory.new_result((1 << 20,), "f4")[1]
print("done")
"""


@needs_fork
def test_a_child_begins_without_blocks_of_memory():
    assert run_child(FORK_WITH_BLOCKS, "-W", "error") == "done\n"


WORKERS = """
import multiprocessing, os, sys
import numpy as np
from fastemb import _threads
from fastemb.gradient import row_grad
from fastemb.lookup import gather
from fastemb.pooling import embedding_bag, normalize, pool
_threads._GRAIN = 1
table = np.random.default_rng(0).standard_normal((500, 64)).astype("f4")


def batch(seed):
    ids = np.random.default_rng(seed).integers(-50, 500, (40, 9))
    with _threads.num_threads(3):
        sums = embedding_bag(table, ids, mask=ids >= 0, normalize=True)
        rows = gather(table, np.maximum(ids, 0))
        assert (normalize(pool(rows, ids >= 0)) == sums).all()
        return rows.tobytes() + sums.tobytes() + row_grad(np.maximum(ids, 0), rows).rows.tobytes()


if __name__ == "__main__":
    expected = [batch(seed) for seed in range(6)]
    child = os.fork()
    if child == 0:
        os._exit(0 if [batch(seed) for seed in range(6)] == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [batch(seed) for seed in range(6)] == expected
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as workers:
            assert workers.map(batch, range(6), chunksize=1) == expected
    print("done")
"""


@needs_fork
def test_workers_that_are_forked_and_spawned(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", tmp_path / "workers.py"]  # of forks beside threads
    child = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert child.stdout == "done\n", child.stderr


# Pages that cannot be touched -------------------------------------------------------------------------------------

# Of each family the ids, and a call that writes to ``out`` or, where that is None, to a new array.
GUARDED_CALLS = {
    "gather": ([[4, 0, 3], [1, 4, 4]], "gather(table, ids, out=out)"),
    "embedding_bag": ([[4, 0, 3], [1, 4, 4]], "embedding_bag(table, ids, mode=mode, out=out)"),
    "pool": ([0], "pool(table[np.newaxis], mode=mode, out=out)"),
    "normalize": ([0], "normalize(table, out=out)"),
    "row_grad": ([4, 0, 4, 1, 0], "row_grad(ids, table).rows"),
    "scatter_add": ([4, 0, 4, 1, 0], "scatter_add(np.zeros_like(table) if out is None else out, ids, table)"),
}

GUARDED = """
import ctypes, mmap
import ml_dtypes
libc = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE
memory = mmap.mmap(-1, 28 * PAGE)
base = np.frombuffer(memory, np.uint8)
for page in (0, 9, 18, 27):
    assert libc.mprotect(ctypes.c_void_p(base.ctypes.data + page * PAGE), PAGE, 0) == 0


def lie(array, first, end):
    # A page that cannot be touched is right behind the array, or right before it.
    begin = (first + 8) * PAGE - array.nbytes if end else first * PAGE
    there = base[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    there[...] = array
    return there


"""

GUARDED_FAMILY = """
def call(table, ids, mode, out):
    return {call}


ids = np.array({ids})
for dtype in ("f8", "f4", "f2", ml_dtypes.bfloat16):
    for D in (*range(1, 40), 47, 48, 49, 63, 64, 65, 79, 80, 81, 90, 96, 127, 128, 129, 191, 193):
        table = np.random.default_rng(D).standard_normal((5, D)).astype(dtype)
        for mode in {modes}:
            expected = call(table, ids, mode, None)
            assert expected.any()
            for end in (False, True):
                there, names, out = lie(table, 1, end), lie(ids, 19, end), lie(expected * 0, 10, end)
                assert call(there, names, mode, None).tobytes() == expected.tobytes()
                assert call(there, names, mode, out).tobytes() == expected.tobytes()
                assert out.tobytes() == (expected if {writes} else expected * 0).tobytes()
print("{family}", flush=True)
"""


@pytest.fixture(scope="module")
def guarded():
    """One process for all families, by turns: what it printed, how it ended, and its errors."""
    code = GUARDED
    for family, (ids, call) in GUARDED_CALLS.items():
        modes = ("mean", "max") if "mode" in call else ("",)
        code += GUARDED_FAMILY.format(family=family, ids=ids, call=call, modes=modes, writes="out" in call)
    child = child_of(code)
    return child.stdout.split(), child.returncode, child.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect by its name")
@pytest.mark.parametrize("family", GUARDED_CALLS)
def test_no_byte_beyond_the_arrays_is_touched(family, guarded):
    right, ended, errors = guarded
    assert family in right, (ended, errors)


# Old processors ---------------------------------------------------------------------------------------------------

HALVES = """
import os
from fastemb._cpu.kernels.reduce import sum_cached_rows, sum_rows
bits = np.arange(65536, dtype=np.uint16).reshape(-1, 64)
halves = bits.view(np.float16)
one = np.arange(1024)[:, None]
wide = embedding_bag(halves, one, out=np.empty(bits.shape, "f4"))
np.testing.assert_array_equal(wide, halves.astype("f4"))
assert (np.signbit(wide) == np.signbit(halves)).all()
values = np.random.default_rng(0).integers(0, 2**32, (1024, 67), dtype=np.uint32).view(np.float32)
narrow = embedding_bag(values, one, out=np.empty(values.shape, "f2"))
with np.errstate(all="ignore"):
    np.testing.assert_array_equal(narrow, values.astype("f2"))
scaled = np.random.default_rng(1).standard_normal((1024, 67)).astype("f4") * np.float32(2.0**-14)
np.testing.assert_array_equal(embedding_bag(scaled, one, out=np.empty(scaled.shape, "f2")), scaled.astype("f2"))
table = np.random.default_rng(2).standard_normal((50, 83)).astype("f2")
ids, offsets = np.arange(49), np.array([0, 12, 12, 49])
result = embedding_bag(table, ids, offsets, out=np.empty((3, 83), "f4"))
assert (result == reference.embedding_bag(table, ids, offsets)).all()
assert (gather(table, ids) == table[ids]).all()
assert (row_grad(ids % 7, table[:49]).rows == reference.row_grad(ids % 7, table[:49])[1]).all()
wanted = reference.scatter_add(table, ids % 7, table[:49], -0.3)
assert (scatter_add(table.copy(), ids % 7, table[:49], alpha=-0.3) == wanted).all()
if os.environ.get("NUMBA_CPU_NAME"):  # a kernel from the cache does not tell its instructions
    print("vcvtph2ps" in "".join([*sum_rows.inspect_asm().values(), *sum_cached_rows.inspect_asm().values()]))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the names of the CPUs are x86's")
@pytest.mark.parametrize(
    "features", [{"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": "", "FASTEMB_CACHE": "0"}, {}]
)
def test_halves_with_and_without_instructions_for_them(features):
    """On an old processor none; that there are some here is what test_jit.py reads."""
    assert run_child(HALVES, "-W", "error", **features) == "False\n" * bool(features)
