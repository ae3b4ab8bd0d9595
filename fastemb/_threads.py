"""The one thread pool: ranges of independent output rows, shared out among threads.

Kernels release the GIL and each output row has one writer, so plain threads are enough. They are our own
because Numba's default threading layer aborts the process when two Python threads enter it, and GNU OpenMP
kills the children of a fork. See ``docs/design/threads.md``.
"""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from itertools import pairwise
from operator import index
from typing import Any

# A thread gets at least this many bytes to move: waking one costs about as much as moving a part of it.
_GRAIN = 1 << 19

_override: ContextVar[int | None] = ContextVar("fastemb_num_threads", default=None)
_process: int | None = None  # what set_num_threads asked for, or the environment once it has been read


class _Job:
    """One call: its ranges, taken one at a time by whoever is free."""

    def __init__(self, function: Callable[[int, int], object], cuts: Sequence[int]) -> None:
        self._function = function
        self._ranges = list(zip(cuts[-2::-1], cuts[:0:-1], strict=True))  # reversed: pop takes the first
        self._changed = threading.Condition()
        self._helping = 0  # ranges that helpers have taken and not finished
        self._error: BaseException | None = None

    def help(self) -> None:
        """Run ranges in a helper thread until none is left to take."""
        while True:
            with self._changed:
                if not self._ranges:
                    return
                start, stop = self._ranges.pop()
                self._helping += 1
            error = None
            try:
                self._function(start, stop)
            except BaseException as caught:
                error = caught
            with self._changed:
                self._helping -= 1
                if error is not None:
                    self._error = self._error or error
                    self._ranges.clear()
                if not self._helping:
                    self._changed.notify_all()

    def work(self) -> None:
        """Run ranges in the calling thread, wait for those that helpers took, raise what went wrong.

        An interrupt may come anywhere in here. It ends the call, but only when no helper is at work on the
        caller's arrays any more; ranges that nobody took are dropped.
        """
        error: BaseException | None = None
        try:
            while self._ranges:
                try:
                    start, stop = self._ranges.pop()
                except IndexError:  # a helper was quicker
                    break
                self._function(start, stop)
        except BaseException as caught:
            error = caught
        while True:
            try:
                with self._changed:
                    if error is not None:
                        self._ranges.clear()
                    while self._helping:
                        self._changed.wait()
                break
            except BaseException as caught:
                error = caught
        error = error or self._error
        self._error = None
        if error is not None:
            raise error


class _Pool:
    """Threads that wait for jobs; started when first needed, never more than were asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._started = 0

    def offer(self, job: _Job, helpers: int) -> None:
        with self._lock:
            while self._started < helpers:
                # Daemons: no work is ever in flight without a caller who waits for it.
                thread = threading.Thread(target=_serve, args=(self._jobs,), name="fastemb", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads to be had, or the interpreter is ending
                    break
                self._started += 1
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
    for name in ("FASTEMB_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").strip()
        if not text:
            continue
        # OpenMP allows one number for each level of nesting; ours is the outermost.
        first = text.split(",")[0].strip() if name == "OMP_NUM_THREADS" else text
        if not first.isdecimal() or int(first) < 1:
            raise ValueError(f"environment variable {name} must be a whole number of at least 1, got {text!r}")
        return int(first)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


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
    environment variable ``FASTEMB_NUM_THREADS``, else ``OMP_NUM_THREADS``, else that of the processors this
    process may run on; it is read when first needed. Small calls always run in the calling thread.

    Examples
    --------
    >>> from fastemb._threads import get_num_threads, set_num_threads
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
        If the number has to come from an environment variable that does not hold one; it is named.

    Examples
    --------
    >>> from fastemb._threads import get_num_threads
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
    >>> from fastemb._threads import get_num_threads, num_threads
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
        _local.busy = True
        _pool.offer(job, ranges - 1)
        job.work()
    finally:
        _local.busy = False
