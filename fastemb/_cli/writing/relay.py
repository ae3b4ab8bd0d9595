"""Blocks that several threads take, compute and write: each block by one of them, and all in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import fastemb

Compute = Callable[[Any], Any]
Put = Callable[[Any, Any], None]


def relay(blocks: Iterator[Any], compute: Compute, put: Put, threads: int) -> None:
    """Compute every block by one of some threads, and put what it becomes in the order of the blocks.

    One thread reads at a time, and one puts. Of an error the blocks before it have been put, and none behind it.
    After an interrupt what was begun is ended first: all that was put is whole.
    """
    if threads == 1:
        for block in blocks:
            put(block, compute(block))
        return
    _Relay(blocks, compute, put).run(threads)


class _Relay:
    def __init__(self, blocks: Iterator[Any], compute: Compute, put: Put) -> None:
        self._blocks, self._compute, self._put = blocks, compute, put
        self._reading = threading.Lock()
        self._turn = threading.Condition()
        self._taken = self._done = 0  # blocks
        self._ended = False
        self._error: BaseException | None = None

    def run(self, threads: int) -> None:
        """Work until all blocks are put."""
        workers = [threading.Thread(target=self._work) for _ in range(threads)]
        interrupt: BaseException | None = None
        try:
            for number, worker in enumerate(workers):
                try:
                    worker.start()
                except RuntimeError:  # no more threads to be had: those that are there do the work, or this one
                    del workers[number:]
                    break
            if not workers:
                self._work()
        except BaseException as caught:  # Ctrl-C, or a signal
            self._ended, interrupt = True, caught
        for worker in workers:
            while worker.is_alive():
                try:
                    worker.join()
                except BaseException as caught:  # nobody may still write when it is raised
                    self._ended, interrupt = True, interrupt or caught
        if self._error is not None:
            raise self._error
        if interrupt is not None:
            raise interrupt

    def _work(self) -> None:
        """Take blocks until there are none; its calls use this thread alone."""
        with fastemb.num_threads(1):
            while self._step():
                pass

    def _step(self) -> bool:
        """Take, compute and put a block; return whether there may be another."""
        block = error = computed = None
        with self._reading:
            if self._ended:
                return False
            number = self._taken
            self._taken += 1
            try:
                block = next(self._blocks, None)
            except BaseException as caught:
                error = caught
            if block is None:  # and never False again: an interrupt may have come while the block was read
                self._ended = True
        if block is not None:
            try:
                computed = self._compute(block)
            except BaseException as caught:
                error = caught
        with self._turn:
            self._turn.wait_for(lambda: self._done == number)
            try:
                if self._error is None and error is None and block is not None:
                    self._put(block, computed)
            except BaseException as caught:
                error = caught
            self._error = self._error or error
            self._ended = self._ended or error is not None
            self._done += 1
            self._turn.notify_all()
        return block is not None and self._error is None
