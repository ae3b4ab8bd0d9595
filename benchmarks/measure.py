"""One way to measure: agree first, then time, then note what the number means."""

from __future__ import annotations

import functools
import gc
import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import numpy as np

import fastemb

from .corpora import Corpus

OURS = "fastemb"
COPY_BYTES = 256 << 20  # beyond the caches of any processor, as large lookups are
COPY_ROUNDS = 7
TURNS = 3  # rounds in which a rival and we are timed one after the other, so that a busy minute is both sides'
SAMPLE = 50e-6  # seconds that one reading of the clock should cover, beside which its own cost is nothing
LONG = 0.3  # seconds; a shorter call is made once, untimed, when its turn begins: the other's data fill the caches


def copy_rates() -> dict[str, float]:
    """Return the bytes read and written per second by one thread that copies a large array."""
    source, target = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)
    seconds = []
    for _ in range(COPY_ROUNDS):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return {"copy_median": 2 * COPY_BYTES / median(seconds), "copy_best": 2 * COPY_BYTES / min(seconds)}


def copy_gain() -> float:
    """Return how many times as long one thread takes to copy a large array as two threads that take half of it each."""
    source, target, half = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8), COPY_BYTES // 2

    def one() -> None:
        np.copyto(target, source)

    with ThreadPoolExecutor(1) as helper:

        def two() -> None:
            other = helper.submit(np.copyto, target[half:], source[half:])
            np.copyto(target[:half], source[:half])
            other.result()

        best = dict.fromkeys((one, two), math.inf)
        for _ in range(COPY_ROUNDS):  # in turns: how much memory gives may change within a minute
            for copy in best:
                start = time.perf_counter()
                copy()
                best[copy] = min(best[copy], time.perf_counter() - start)
    return best[one] / best[two]


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def equal(a: Any, b: Any) -> None:
    """Two arrays are the same, to the bit."""
    assert a.dtype == b.dtype
    assert np.array_equal(a, b)


def close(a: Any, b: Any) -> None:
    """Two arrays have the same rows, but for the order in which floats were added."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    apart, size = np.abs(a - b).max(axis=1), np.abs(b).max(axis=1)
    assert np.all(apart <= 2e-6 * size), f"rows differ by up to {np.max(apart / size):.2g} of their largest value"


def asked_of(asked: float | Mapping[str, float] | None, rival: str, calls: Mapping[str, Any]) -> float | None:
    """Return the ratio that is asked for against one rival, or None."""
    if asked is None or isinstance(asked, Mapping):
        return (asked or {}).get(rival)
    if len(calls.keys() - {OURS}) > 1:
        raise TypeError(f"asked={asked}: of which of {list(calls)}?")
    return asked


class Timer:
    """One contender whose turn comes again and again: a call, or a call of what is made for it, untimed."""

    def __init__(self, call: Callable[..., Any], fresh: Callable[[], Any] | None) -> None:
        self._call, self._fresh = call, fresh
        self._once, self._samples = 0.0, 1
        self.loops = 1
        self.seconds: list[float] = []  # of one call

    def plan(self, rounds: int | None, most: float, least: int) -> None:
        """Choose how many calls a sample has and how many samples a turn, from rounds or from seconds in all."""
        self._once = min(self._sample() for _ in range(1 if rounds else 3))
        if rounds:
            self._samples = -(-rounds // TURNS)
        else:
            self.loops = max(1, round(SAMPLE / self._once))
            self._samples = -(-max(int(most / (self._once * self.loops)), least) // TURNS)

    def turn(self) -> None:
        """Take the samples of one turn."""
        if self._once < LONG and self._fresh is None:
            self._sample()
        self.seconds += [self._sample() for _ in range(self._samples)]

    def _sample(self) -> float:
        """Return how long one call takes, of as many as a sample has."""
        call: Callable[[], Any] = self._call
        if self._fresh is not None:
            call = functools.partial(self._call, self._fresh())
        start = time.perf_counter()
        for _ in range(self.loops):
            call()
        return (time.perf_counter() - start) / self.loops


class Measure:
    """The fixture `measure`: runs one contender of a group, after comparing it with the others."""

    timer: type[Timer] = Timer  # who reads the clock

    def __init__(
        self, benchmark: Any, rates: Mapping[str, float], kept: dict[str, dict[str, Any]], budget: tuple[float, int]
    ) -> None:
        self._benchmark, self._rates, self._kept = benchmark, rates, kept
        self._budget = budget  # seconds at most, and samples at least, of one contender

    @property
    def timed(self) -> bool:
        """Whether this run measures, or is an ordinary test."""
        return not self._benchmark.disabled

    def sized(self, corpus: Corpus) -> Corpus:
        """Return the whole corpus to be timed, and a small part of it where results are only compared."""
        return corpus if self.timed else corpus.sample()

    def __call__(
        self,
        operation: str,
        case: str,
        calls: Mapping[str, Callable[..., Any]],
        name: str,
        *,
        asked: float | Mapping[str, float] | None = None,
        fresh: Mapping[str, Callable[[], Any]] | None = None,
        agree: Callable[[Any, Any], None] | None = equal,
        threads: int = 1,
        rounds: int | None = None,
        moved: int | None = None,
        counts: Mapping[str, int] | None = None,
        **notes: Any,
    ) -> None:
        """Time ``calls[name]``.

        Parameters
        ----------
        operation, case : str
            Together the group: everything that is compared in one row of the report.
        calls : mapping of str to callable
            All contenders, ours under the name ``fastemb``. Their results must not share memory.
        name : str
            The one to time.
        asked : float or mapping of str to float, optional
            How many times as long as ours a rival should at least take: a number where there is one rival, else by
            rival. Kept with the rival's time; nothing here depends on it.
        fresh : mapping of str to callable, optional
            For what is timed only once after it was made: each makes, untimed, what one call of its contender
            takes. Needs `rounds`.
        agree : callable, optional
            Compares two results; None where there is nothing to compare.
        threads : int
            For fastemb; a rival has what its call sets.
        rounds : int, optional
            So many calls, for slow ones. None: as many as the time allows that pytest was given.
        moved : int, optional
            Bytes of ids and rows read, and of results written.
        counts : mapping of str to int, optional
            What one call works through, such as documents; reported per second.
        **notes
            Anything else worth keeping in the JSON.
        """
        benchmark = self._benchmark
        benchmark.group = f"{operation} | {case}"
        role = "ours" if name == OURS else "rival"
        benchmark.extra_info.update(operation=operation, case=case, name=name, role=role, threads=threads, **notes)
        if role == "rival" and (ratio := asked_of(asked, name, calls)) is not None:
            benchmark.extra_info["asked"] = ratio
        whole: Mapping[str, Callable[[], Any]] = calls
        if fresh is not None:
            whole = {other: lambda other=other: calls[other](fresh[other]()) for other in calls}
        with fastemb.num_threads(threads):
            if not self.timed:  # an ordinary test: the one call is also the one to be compared
                self._compare(benchmark(whole[name]), whole, name, agree)
                return
            self._compare(whole[name](), whole, name, agree)  # warms up, too
            # A rival's results can be a hundred thousand objects: not in the way of what is timed.
            self._kept.clear()
            gc.collect()
            self._take_turns(calls, name, fresh or {}, rounds)
        self._note(benchmark.stats.stats.median, moved, counts or {})

    def _take_turns(
        self,
        calls: Mapping[str, Callable[..., Any]],
        name: str,
        fresh: Mapping[str, Callable[[], Any]],
        rounds: int | None,
    ) -> None:
        """Time a rival and us by turns: of these two medians is the ratio of the report."""
        most, least = self._budget
        timers = {
            side: self.timer(calls[side], fresh.get(side)) for side in dict.fromkeys((OURS, name)) if side in calls
        }
        for timer in timers.values():
            timer.plan(rounds, most, least)
        for _ in range(TURNS):
            for timer in timers.values():
                timer.turn()
        # pytest-benchmark times one call without a break, so its statistics are filled by hand.
        timer = timers.pop(name)
        self._benchmark.pedantic(int, rounds=1, iterations=timer.loops)
        self._benchmark.stats.stats.data[:] = timer.seconds
        for ours in timers.values():
            info = {"turns": TURNS, "ours_median": median(ours.seconds), "ours_best": min(ours.seconds)}
            self._benchmark.extra_info.update(info)

    def _compare(
        self,
        result: Any,
        calls: Mapping[str, Callable[[], Any]],
        name: str,
        agree: Callable[[Any, Any], None] | None,
    ) -> None:
        """Compare a result with those of all other contenders, computing each only once."""
        if agree is None:
            return
        group = self._benchmark.group
        if group not in self._kept:
            self._kept.clear()  # only the latest group's: results are large
        results = self._kept.setdefault(group, {})
        results[name] = result
        for other, call in calls.items():
            if other not in results:
                results[other] = call()
            agree(result, results[other])

    def _note(self, seconds: float, moved: int | None, counts: Mapping[str, int]) -> None:
        """Add to the JSON what follows from the median."""
        info = self._benchmark.extra_info
        info.update(self._rates)
        for what, count in counts.items():
            info[what] = count
            info[f"{what}_per_second"] = count / seconds
        if moved is not None:
            info["bytes_moved"] = moved
            info["bytes_moved_per_second"] = moved / seconds
            info["share_of_copy"] = moved / seconds / self._rates["copy_best"]
