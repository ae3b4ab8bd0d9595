"""The thread pool: counts, where they come from, errors, nesting, interrupts."""

import os
import signal
import subprocess
import sys
import threading
import weakref
from itertools import pairwise

import numpy as np
import pytest

from fastemb import _processors, _threads
from fastemb._threads import get_num_threads, num_threads, set_num_threads


@pytest.fixture(autouse=True)
def restore(monkeypatch):
    monkeypatch.setattr(_threads, "_process", None)
    monkeypatch.delenv("FASTEMB_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_where_the_number_comes_from(monkeypatch):
    def fresh():
        monkeypatch.setattr(_threads, "_process", None)
        return get_num_threads()

    assert fresh() == _processors.count() <= len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert fresh() == 5
    monkeypatch.setenv("FASTEMB_NUM_THREADS", " ")
    assert fresh() == 5
    monkeypatch.setenv("FASTEMB_NUM_THREADS", "3")
    assert fresh() == 3
    set_num_threads(7)
    assert get_num_threads() == 7
    with num_threads(2):
        assert get_num_threads() == 2
        with num_threads(4):
            assert get_num_threads() == 4
        assert get_num_threads() == 2
    assert get_num_threads() == 7


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_bad_variable_is_named(monkeypatch, text):
    monkeypatch.setenv("FASTEMB_NUM_THREADS", text)
    with pytest.raises(ValueError, match=f"FASTEMB_NUM_THREADS must be a whole number of at least 1, got '{text}'"):
        get_num_threads()


@pytest.mark.parametrize("text", ["0", "-1", "auto", "1.5", ",2"])
def test_a_bad_variable_of_openmp_is_passed_over(monkeypatch, text):
    """It is set for other libraries: one warning, and the processors count."""
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    with pytest.warns(RuntimeWarning, match=f"OMP_NUM_THREADS is no whole number of at least 1: '{text}'"):
        assert get_num_threads() == _processors.count()
    assert get_num_threads() == _processors.count()  # without another


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("0::/", {"cpu.max": "max 100000"}, np.inf),
        ("0::/", {"cpu.max": "250000 100000"}, 2.5),
        ("0::/", {}, np.inf),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000", "cpu.max": "300000 100000"}, 0.5),
        ("0::/docker/elsewhere", {"cpu.max": "300000 100000"}, 3),
        ("0::/../up", {"cpu.max": "300000 100000"}, 3),
        ("4:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, np.inf),
        ("4:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "400000", "cpu/a/cpu.cfs_period_us": "100000"}, 4),
        ("4:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "5000", "cpu,cpuacct/cpu.cfs_period_us": "10000"}, 0.5),
        ("4:memory:/\n1:name=systemd:/", {"cpu.max": "max"}, np.inf),
        ("0::/", {"cpu.max": "nonsense here"}, np.inf),
        ("0::/", {"cpu.max": "100000 0"}, np.inf),
    ],
)
def test_the_quota_of_a_container(tmp_path, own, files, cpus):
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text + "\n")
    (tmp_path / "own").write_text(own + "\n")
    assert _processors.quota(tmp_path / "own", tmp_path / "root") == cpus
    assert _processors.quota(tmp_path / "nothing", tmp_path / "root") == np.inf


@pytest.mark.parametrize(("quota", "wanted"), [(0.5, 1), (1.5, 2), (np.inf, 5), (9, 5)])
def test_a_quota_limits_threads(monkeypatch, quota, wanted):
    monkeypatch.setattr(_processors, "quota", lambda own, root: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(5)))
    assert get_num_threads() == wanted


@pytest.mark.parametrize("ask", [set_num_threads, num_threads])
def test_bad_numbers(ask):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ask(0)
    for wrong in (1.5, "2", None, True):
        with pytest.raises(TypeError, match=f"must be an integer, got {type(wrong).__name__}"):
            ask(wrong)


def test_a_block_is_for_its_thread_alone():
    set_num_threads(3)
    seen = []
    with num_threads(1):
        other = threading.Thread(target=lambda: seen.append(get_num_threads()))
        other.start()
        other.join()
    assert seen == [3]


def test_a_block_ends_with_an_error():
    set_num_threads(3)
    with pytest.raises(KeyError), num_threads(1):
        raise KeyError
    assert get_num_threads() == 3


def test_parts():
    with num_threads(4):
        assert _threads.parts(_threads._GRAIN * 2 - 1, 100) == 1
        assert _threads.parts(_threads._GRAIN * 3, 100) == 3
        assert _threads.parts(_threads._GRAIN * 99, 100) == 4
        assert _threads.parts(_threads._GRAIN * 99, 2) == 2
        assert _threads.parts(_threads._GRAIN * 99, 0) == 1
    with num_threads(1):
        assert _threads.parts(_threads._GRAIN * 99, 100) == 1


@pytest.mark.parametrize(("count", "ranges"), [(10, 3), (3, 3), (0, 1), (7, 1), (1000, 7)])
def test_split(count, ranges):
    cuts = _threads.split(count, ranges)
    sizes = [b - a for a, b in pairwise(cuts)]
    assert cuts[0] == 0
    assert cuts[-1] == count
    assert len(sizes) == ranges
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("ranges", [1, 2, 7, 20])
def test_every_range_runs_once(ranges):
    done, lock = [], threading.Lock()

    def function(start, stop):
        with lock:
            done.append((start, stop))

    cuts = _threads.split(100, ranges)
    _threads.run(function, cuts)
    assert sorted(done) == list(pairwise(cuts))


def test_threads_run_at_the_same_time():
    barrier, names = threading.Barrier(3, timeout=120), set()

    def function(start, stop):
        barrier.wait()  # passes only when three threads are inside
        names.add(threading.get_ident())

    _threads.run(function, [0, 1, 2, 3])
    assert len(names) == 3
    assert threading.get_ident() in names


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_an_error_reaches_the_caller(culprit):
    barrier = threading.Barrier(3, timeout=120)

    def function(start, stop):
        barrier.wait()
        if start == culprit:
            raise ZeroDivisionError(f"range {start}")

    with pytest.raises(ZeroDivisionError, match=f"range {culprit}"):
        _threads.run(function, [0, 1, 2, 3])
    done = []
    _threads.run(lambda start, stop: done.append(start), [0, 1, 2, 3])
    assert sorted(done) == [0, 1, 2]


def test_calls_from_inside_run_inline():
    barrier, threads = threading.Barrier(2, timeout=120), []

    def outer(start, stop):
        barrier.wait()
        assert _threads.parts(_threads._GRAIN * 99, 100) == 1
        here = threading.get_ident()
        _threads.run(lambda a, b: threads.append(threading.get_ident() == here), [0, 1, 2, 3])

    with num_threads(4):
        _threads.run(outer, [0, 1, 2])
    assert threads == [True] * 6
    assert _threads._local.busy is False


def test_where_no_thread_can_start_the_caller_does_it_all(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_threads, "_pool", _threads._Pool())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    _threads.run(lambda start, stop: done.append(start), [0, 1, 2, 3])
    assert done == [0, 1, 2]


INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
import _thread, threading, time
import numpy as np
from fastemb import _threads

_threads.set_num_threads(2)
finished = []

def work(start, stop):
    if threading.current_thread() is threading.main_thread():
        entered.set()
        while len(started) < 1:  # until the helper is at work
            time.sleep(0.001)
        _thread.interrupt_main()
        time.sleep(0.01)
    else:
        started.append(start)
        entered.wait()  # or, on a busy machine, a helper might take all ranges before the caller has taken one
        time.sleep(0.5)
        finished.append(start)

started, entered = [], threading.Event()
try:
    _threads.run(work, [0, 1, 2, 3, 4, 5])
except KeyboardInterrupt:
    assert started and sorted(finished) == sorted(started), (started, finished)
    assert not _threads._local.busy
    done = []
    _threads.run(lambda start, stop: done.append(start), [0, 1, 2])
    assert sorted(done) == [0, 1]
    print("waited")
"""


def test_an_interrupt_waits_for_helpers():
    """Ctrl-C ends the call only when no thread is at work on the caller's arrays; the pool goes on working."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "waited\n", done.stderr


STORM = """
import random, signal, threading, time
from fastemb import _threads

class Stop(Exception):
    pass

def stop(number, frame):
    raise Stop

signal.signal(signal.SIGALRM, stop)
_threads.set_num_threads(4)
active, late, over = [], [], False

def work(begin, end):
    if threading.get_ident() == caller:  # an interrupt ends this range at once
        return
    if over:
        late.append(begin)
    active.append(begin)
    time.sleep(0)
    active.pop()

caller = threading.get_ident()
caught = 0
while caught < 1000:
    try:
        over = False
        signal.setitimer(signal.ITIMER_REAL, random.random() * 6e-4 + 1e-6)
        _threads.run(work, [0, 1, 2, 3, 4, 5, 6])
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        over = True  # from here on, no thread may be at work
        assert not active
        caught += 1
        _threads._local.busy = False
signal.setitimer(signal.ITIMER_REAL, 0)
assert not late, len(late)
assert _threads._pool._started == 5
done = []
_threads.run(lambda begin, end: done.append(begin), [0, 1, 2, 3])
assert sorted(done) == [0, 1, 2]
print("alive")
"""


def test_a_storm_of_interrupts():
    """At whatever step they come: no call hangs, none ends with a helper still at work, no helper is lost."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("this system has no setitimer")
    done = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "alive\n", done.stderr


def test_a_call_that_is_over_keeps_nothing_alive():
    class Thing:
        pass

    for _ in range(500):
        thing = Thing()
        alive = weakref.ref(thing)
        with num_threads(3):
            _threads.run(lambda start, stop, keep=thing: None, [0, 1, 2, 3])
        del thing
        assert alive() is None
