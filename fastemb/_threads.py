"""The one thread pool: ranges of independent output rows, shared out among threads.

Kernels release the GIL and each output row has one writer, so plain threads are enough. They are our own
because Numba's default threading layer aborts the process when two Python threads enter it, and GNU OpenMP
kills the children of a fork. See ``docs/design/threads.md``.
"""

import _thread
import os
import queue
import threading
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from itertools import pairwise
from operator import index
from typing import Any

from . import _processors

# A thread gets at least this many bytes to move, 0.2 ms of work: what it takes to wake another, and to be woken by it,
# goes up to 0.1 ms where processors have fallen asleep (docs/design/threads.md).
_GRAIN = 8 << 20

_override: ContextVar[int | None] = ContextVar("fastemb_num_threads", default=None)
_process: int | None = None  # what set_num_threads asked for, or the environment once it has been read


class _Job:
    """One call: its ranges, taken one at a time by whoever is free.

    An interrupt (Ctrl-C) may come between any two steps of the calling thread. So that thread holds no lock
    and keeps no count that could be lost halfway: it only pops, clears and waits, each of which is one step.
    """

    def __init__(self, function: Callable[[int, int], object], cuts: Sequence[int]) -> None:
        self._function = function
        self._ranges = list(zip(cuts[-2::-1], cuts[:0:-1], strict=True))  # reversed: pop takes the first
        self._lock = threading.Lock()  # of the helpers alone
        self._helping = 0  # helpers that may have taken a range and not finished it
        self._finished: queue.SimpleQueue[None] = queue.SimpleQueue()  # one entry each time that number falls
        self.errors: list[BaseException] = []

    def help(self) -> None:
        """Run ranges in a helper thread until none is left to take."""
        taken: tuple[int, int] | None = (0, 0)
        while taken is not None:
            # Counted before it pops: whoever empties the ranges and then finds no helper counted is alone.
            with self._lock:
                self._helping += 1
            try:
                taken = self._ranges.pop()
            except IndexError:
                taken = None
            try:
                if taken is not None:
                    self._function(*taken)
            except BaseException as caught:
                self.errors.append(caught)
                self._ranges.clear()
            with self._lock:
                self._helping -= 1
            self._finished.put(None)

    def work(self) -> None:
        """Run ranges in the calling thread until none is left to take."""
        while self._ranges:
            try:
                start, stop = self._ranges.pop()
            except IndexError:  # a helper was quicker
                return
            self._function(start, stop)

    def settle(self) -> None:
        """Drop the ranges that nobody took and wait until no helper is at work; interrupts have to wait too."""
        interrupt: BaseException | None = None
        while True:
            try:
                self._ranges.clear()
                while self._helping:
                    self._finished.get()
                break
            except BaseException as caught:
                interrupt = interrupt or caught
        if interrupt is not None:
            raise interrupt

    def forget(self) -> None:
        """Let go of the caller's arrays: the job may lie in the queue until a helper finds that nothing is left."""
        self._function = _nothing


def _nothing(start: int, stop: int) -> None:
    """Stand in for the function of a job that is done."""


class _Pool:
    """Threads that wait for jobs; started when first needed, never more than were asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._started = 0

    def offer(self, job: _Job, helpers: int) -> None:
        with self._lock:
            while self._started < helpers:
                # Not threading.Thread: its start() waits for the new thread, and an interrupt there loses it. Nothing
                # waits for these at the end of the process, which is safe: no work is in flight without its caller.
                self._started += 1
                try:
                    _thread.start_new_thread(_serve, (self._jobs,))
                except RuntimeError:  # no more threads to be had, or the interpreter is ending
                    self._started -= 1
                    break
        for _ in range(helpers):
            self._jobs.put(job)


class _Local(threading.local):
    busy = False  # this thread runs a range, so calls from inside it run inline


_pool = _Pool()
_local = _Local()


def _serve(jobs: "queue.SimpleQueue[_Job]") -> None:
    _local.busy = True
    while True:
        jobs.get().help()  # not bound to a name: a waiting worker keeps nothing alive


def _reset() -> None:
    """Forget the parent's threads, which a fork does not copy, and locks that one of them may have held."""
    global _pool, _local
    _pool, _local = _Pool(), _Local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)


def _count(n: Any) -> int:
    try:
        count = index(n)
    except TypeError:
        raise TypeError(f"the number of threads must be an integer, got {type(n).__name__}") from None
    if isinstance(n, bool):
        raise TypeError("the number of threads must be an integer, got bool")
    if count < 1:
        raise ValueError(f"the number of threads must be at least 1, got {count}")
    return count


def _from_environment() -> int:
    ours = os.environ.get("FASTEMB_NUM_THREADS", "").strip()
    if ours and not _is_count(ours):
        raise ValueError(f"environment variable FASTEMB_NUM_THREADS must be a whole number of at least 1, got {ours!r}")
    if ours:
        return int(ours)
    cpus, theirs = _processors.count(), os.environ.get("OMP_NUM_THREADS", "").strip()
    # OpenMP allows one number for each level of nesting; ours is the outermost.
    first = theirs.split(",")[0].strip()
    if _is_count(first):
        return int(first)
    if theirs:  # set for other libraries, some of which take "auto" or 0
        words = f"OMP_NUM_THREADS is no whole number of at least 1: {theirs!r}; fastemb uses {cpus} threads"
        warnings.warn(words, RuntimeWarning, stacklevel=3)
    return cpus


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) >= 1


def set_num_threads(n: int) -> None:
    """Set how many threads a call may use, for the whole process.

    Parameters
    ----------
    n : int
        At least 1; 1 keeps all work in the calling thread. It may exceed the number of processors.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    See Also
    --------
    num_threads : the same for the calling thread and a block of code.

    Notes
    -----
    Results do not depend on the number of threads, to the bit. Without this call the number is that of the
    environment variable ``FASTEMB_NUM_THREADS``, else ``OMP_NUM_THREADS`` (one that holds no number is passed over,
    with a warning), else that of the processors this process may run on, or fewer where its control group has a quota
    of their time; it is read when first needed. Small calls always run in the calling thread.

    Examples
    --------
    >>> from fastemb import get_num_threads, set_num_threads
    >>> before = get_num_threads()
    >>> set_num_threads(3)
    >>> get_num_threads()
    3
    >>> set_num_threads(before)
    """
    global _process
    _process = _count(n)


def get_num_threads() -> int:
    """Return how many threads a call from here may use.

    Returns
    -------
    int
        That of the innermost `num_threads` block around the call, else that of `set_num_threads`, else that
        of the environment.

    Raises
    ------
    ValueError
        If the number has to come from ``FASTEMB_NUM_THREADS`` and that does not hold one.

    Examples
    --------
    >>> from fastemb import get_num_threads
    >>> get_num_threads() >= 1
    True
    """
    global _process
    here = _override.get()
    if here is not None:
        return here
    if _process is None:
        _process = _from_environment()
    return _process


class num_threads:
    """Set how many threads calls may use, in a ``with`` block, for the calling thread alone.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Notes
    -----
    Blocks nest, and the number before the block holds again after it. Other threads, and other asyncio tasks
    of the same thread, are not touched.

    Examples
    --------
    >>> from fastemb import get_num_threads, num_threads
    >>> with num_threads(1):
    ...     get_num_threads()
    1
    """

    def __init__(self, n: int) -> None:
        self._n = _count(n)
        self._tokens: list[Token[int | None]] = []

    def __enter__(self) -> None:
        self._tokens.append(_override.set(self._n))

    def __exit__(self, *exception: object) -> None:
        _override.reset(self._tokens.pop())


def parts(cost: int, limit: int) -> int:
    """Return into how many ranges to cut a call that moves ``cost`` bytes and can be cut ``limit`` times.

    1 means: stay in the calling thread. So it is for small calls and for calls from inside a range.
    """
    threads = get_num_threads()
    if threads == 1 or _local.busy:
        return 1
    return max(1, min(threads, limit, cost // _GRAIN))


def split(count: int, ranges: int) -> list[int]:
    """Cut ``range(count)`` evenly; the result has ``ranges + 1`` entries from 0 to ``count``."""
    return [count * k // ranges for k in range(ranges + 1)]


def run(function: Callable[[int, int], object], cuts: Sequence[int]) -> None:
    """Call ``function(start, stop)`` for each pair of neighbours in ``cuts``, on as many threads.

    The caller takes ranges too. The first exception of a range is raised here, when all threads have let go
    of the caller's arrays.
    """
    ranges = len(cuts) - 1
    if ranges <= 1 or _local.busy:
        for start, stop in pairwise(cuts):
            function(start, stop)
        return
    job = _Job(function, cuts)
    try:
        try:
            _local.busy = True
            _pool.offer(job, ranges - 1)
            job.work()
        finally:
            job.settle()
    finally:
        job.settle()  # again: an interrupt may have come before the first could begin
        job.forget()
        _local.busy = False
    if job.errors:
        raise job.errors[0]
