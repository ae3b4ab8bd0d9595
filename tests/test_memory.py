"""New results: memory that was used before is handed out again, and never while anyone can still see it."""

import gc
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastemb import _memory
from fastemb._memory import Pool
from fastemb.lookup import gather

MIB = 1 << 20
SINGLE = np.dtype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """Let collections look at what these tests make alone: all that earlier ones hold takes half a second each time.

    It stays so behind them, as what was collected does (conftest.py).
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def pool(monkeypatch):
    """A pool of its own for each test, the one that `new_result` uses."""
    made = Pool(64 * MIB)
    monkeypatch.setattr(_memory, "_pool", made)
    return made


def at(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("kind", ["f4", "u1", "i8", "c16", "S3", "U5", "M8[s]", [("a", "f4"), ("b", "i1")]])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 0, 4), (0,), (1000, 33)])
def test_an_array_like_any_other(pool, kind, shape):
    kind = np.dtype(kind)
    for _ in range(2):  # new memory, and used memory
        array, _ = pool.empty(shape, kind)
        assert (array.shape, array.dtype) == (shape, kind)
        assert type(array) is np.ndarray
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.flags.aligned
        assert at(array) % 64 == 0 or not array.size
        array[...] = np.zeros((), kind)
        assert (array == np.zeros((), kind)).all()
        del array


def test_memory_comes_back_when_the_array_dies(pool):
    array, touched = pool.empty((MIB,), SINGLE)
    assert not touched
    place = at(array)
    del array
    assert pool.held() >= 4 * MIB
    again, touched = pool.empty((MIB,), SINGLE)
    assert touched
    assert at(again) == place
    assert pool.held() == 0
    other, touched = pool.empty((MIB,), SINGLE)
    assert not touched
    assert not np.shares_memory(again, other)


def test_batches_of_nearly_one_size_share_memory(pool):
    array, _ = pool.empty((1000, 1000), SINGLE)
    del array
    assert pool.empty((999, 1000), SINGLE)[1]
    assert pool.empty((1000, 1000), SINGLE)[1]
    assert not pool.empty((500, 1000), SINGLE)[1]
    for count in (1, 63, 64, 100, 1023, 1024, 1025, 10**6 + 7):  # of whatever size, all of it belongs to the array
        pool.clear()
        array, _ = pool.empty((count,), np.dtype(np.uint8))
        array[:] = 7
        del array
        (blocks,) = pool._free.values()
        block = blocks.pop()
        start = -at(block) % 64
        assert start + count <= block.size
        assert (block[start : start + count] == 7).all()


HOLDERS = {
    "slice": lambda array: array[10:20],
    "reshaped": lambda array: array.reshape(2, -1)[1],
    "other type": lambda array: array.view(np.uint8)[::3],
    "view of a view of a view": lambda array: array[1:].view(np.uint8)[4:].view(SINGLE)[:100].reshape(10, 10).T,
    "memoryview": memoryview,
    "part of a memoryview": lambda array: memoryview(array)[5:9],
    "memoryview of bytes": lambda array: memoryview(array).cast("B")[8:],
    "frombuffer": lambda array: np.frombuffer(array, SINGLE),
    "frombuffer of a memoryview": lambda array: np.frombuffer(memoryview(array)[3:50], SINGLE),
    "DLPack": np.from_dlpack,
    "DLPack of a slice": lambda array: np.from_dlpack(array[100:]),
    "base": lambda array: array.base,
    "iterator": lambda array: array.flat,
    "subclass": lambda array: array.view(np.recarray),
}


def numbers(holder):
    """Everything that a holder sees, as float32."""
    if isinstance(holder, np.flatiter):
        return np.asarray(holder.base)
    return np.frombuffer(np.ascontiguousarray(holder).tobytes()[: np.asarray(holder).nbytes // 4 * 4], SINGLE)


@pytest.mark.parametrize("name", HOLDERS)
def test_memory_that_is_still_seen_is_not_handed_out(pool, name):
    array, _ = pool.empty((MIB,), SINGLE)
    # All four bytes of a number are the same, so that any part of it shows a change.
    array.view(np.uint8)[...] = 7
    place, holder = at(array), HOLDERS[name](array)
    del array
    gc.collect()
    others = [pool.empty((MIB,), SINGLE) for _ in range(3)]
    for other, touched in others:
        assert not touched
        other.view(np.uint8)[...] = 9
    seen = numbers(holder)
    assert seen.size
    assert (seen.view(np.uint8) == 7).all()
    del holder, others, other, seen
    assert place in [at(array) for array, _ in [pool.empty((MIB,), SINGLE) for _ in range(4)]]


def test_a_cycle_gives_its_memory_back_when_it_is_collected(pool):
    array, _ = pool.empty((MIB,), SINGLE)
    cycle = [array]
    cycle.append(cycle)
    del array, cycle
    gc.collect()
    assert pool.empty((MIB,), SINGLE)[1]


def test_no_more_is_kept_than_the_capacity():
    pool = Pool(10 * MIB)
    arrays = [pool.empty((4 * MIB,), np.dtype(np.uint8))[0] for _ in range(5)]
    assert pool.held() == 0
    while arrays:
        arrays.pop()
        assert pool.held() <= 10 * MIB
    assert pool.held() == 8 * MIB
    pool.empty((11 * MIB,), np.dtype(np.uint8))  # it dies at once, and is more than may be kept
    assert pool.held() == 8 * MIB


def test_sizes_that_are_no_longer_used_make_way():
    pool = Pool(10 * MIB)
    old = [pool.empty((4 * MIB,), np.dtype(np.uint8))[0] for _ in range(2)]
    del old
    new = [pool.empty((3 * MIB,), np.dtype(np.uint8))[0] for _ in range(3)]
    del new
    assert pool.held() == 9 * MIB
    assert [pool.empty((3 * MIB,), np.dtype(np.uint8))[1] for _ in range(3)] == [True] * 3


def test_small_results_are_no_matter_of_the_pool(pool):
    array, touched = _memory.new_result((MIB // 4 - 1,), "f4")
    assert not touched
    del array
    assert pool.held() == 0
    array, touched = _memory.new_result((MIB // 4,), ">f4")
    assert (touched, array.dtype, at(array) % 64) == (False, np.dtype("=f4"), 0)
    del array
    assert pool.held() == MIB
    assert _memory.new_result((512, 512), np.float32)[1]
    assert _memory.empty((512, 512), np.float32).shape == (512, 512)


def test_a_result_that_outlives_the_next_call(pool):
    """As a caller sees it: three results alive at once, each right."""
    table = np.random.default_rng(0).random((1000, 64), np.float32)
    jobs = [np.random.default_rng(k).integers(0, 1000, 20_000) for k in range(6)]
    kept = []
    for ids in jobs:
        kept = [*kept[-2:], (gather(table, ids), ids)]
        for result, wanted in kept:
            assert (result == table[wanted]).all()
    assert pool.held() > 0


def run_child(code, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTEMB_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "import numpy as np\nfrom fastemb import _memory\n" + code],
        env={**kept, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


TWICE = """
first = at = _memory.new_result((1 << 20,), "f4")[0]
del first, at
print(_memory.new_result((1 << 20,), "f4")[1], _memory._pool.capacity)
"""


@pytest.mark.parametrize(
    ("setting", "answer"),
    [(None, "True 268435456"), ("0", "False 0"), (" 8388608 ", "True 8388608"), ("1000000", "False 1000000")],
)
def test_the_environment_says_how_much_is_kept(setting, answer):
    child = run_child(TWICE, **({} if setting is None else {"FASTEMB_BUFFER_POOL": setting}))
    assert child.stdout.strip() == answer, child.stderr


@pytest.mark.parametrize("setting", ["-1", "1e6", "lots", "1.5", "256M"])
def test_a_setting_that_is_no_number_is_named(setting):
    child = run_child(TWICE, FASTEMB_BUFFER_POOL=setting)
    assert child.returncode == 1
    message = f"ValueError: environment variable FASTEMB_BUFFER_POOL must be a number of bytes, got {setting!r}"
    assert message in child.stderr


def test_eight_threads():
    """Each fills what it gets and keeps some of it; nobody ever finds another's numbers in it."""
    pool, barrier = Pool(3 * MIB), threading.Barrier(8)
    shapes = [(1000,), (64, 300), (20_000,)]

    def work(k):
        rng, mine, reused = random.Random(k), [], 0
        barrier.wait()
        for turn in range(300):
            array, touched = pool.empty(rng.choice(shapes), SINGLE)
            reused += touched
            mark = 1000 * k + turn
            array[...] = mark
            mine.append((memoryview(array) if turn % 3 else array[1:], mark))
            del array
            if len(mine) > 5:
                rng.shuffle(mine)
                holder, mark = mine.pop()
                if not (np.asarray(holder) == mark).all():
                    return -1
                del holder
            if turn % 100 == 0:
                gc.collect()
        if not all((np.asarray(holder) == mark).all() for holder, mark in mine):
            return -1
        return reused

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as threads:
            reused = list(threads.map(work, range(8)))
    finally:
        sys.setswitchinterval(switch)
    assert min(reused) > 30
    gc.collect()
    assert 0 < pool.held() <= 3 * MIB


def test_a_part_of_the_memoryview_below_a_result_keeps_its_memory():
    table = np.ones((5, 1 << 18), np.float32)
    result = gather(table, np.arange(3))
    below = result.base
    while isinstance(below, np.ndarray):
        below = below.base
    part = memoryview(below)[:64]
    del below, result
    gc.collect()
    other = gather(table * 0, np.arange(3))
    assert not other.any()
    assert set(np.frombuffer(part, np.float32)) == {1.0}
