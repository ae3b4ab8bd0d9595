"""How far a command is: documents, rate and time left, on a terminal alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

TICK = 0.2  # seconds between two states of the line
LOADING = "loading kernels (compiled at their first use, which takes seconds)"


class Progress:
    """One line on standard error, written over and over; nothing where that is no terminal.

    Parameters
    ----------
    total : int
        Bytes of all input; 0 where that is not known: then no share and no time is shown.
    quiet : bool
        Show nothing.
    printed : bool
        Whether standard output is written meanwhile: on a terminal the line would stand in between.
    """

    def __init__(self, total: int, quiet: bool = False, printed: bool = False) -> None:
        self._total = total
        self._show = not quiet and sys.stderr.isatty() and not (printed and sys.stdout.isatty())
        self._start = time.perf_counter()
        self._first: int | None = None
        self._next = self._start + TICK
        self._width = 0
        self._passing = False  # whether what is shown is to go

    def show(self, done: int, documents: int, size: int) -> None:
        """Say how many bytes and documents are done, and how many bytes the last of them had."""
        now = time.perf_counter()
        if self._first is None:  # a resumed run: its rate is of what it does itself
            self._first = max(0, done - size)
        if self._show and now >= self._next:
            self._next = now + TICK
            self._write(line(done, self._total, documents, (done - self._first) / (now - self._start)))

    def begin(self) -> None:
        """Count time from now on: what came before was no work on documents."""
        self._start = time.perf_counter()

    def say(self, words: str) -> None:
        """Show some words, which the next line replaces, or nothing at the end."""
        if self._show:
            self._write(words)
            self._passing = True

    def close(self) -> None:
        """Leave the line."""
        if self._width:
            print("\r" + " " * self._width + "\r" if self._passing else "\n", end="", file=sys.stderr, flush=True)
            self._width = 0

    def _write(self, text: str) -> None:
        print("\r" + text.ljust(self._width), end="", file=sys.stderr, flush=True)
        self._width, self._passing = len(text), False


@contextmanager
def loading(quiet: bool = False) -> Iterator[None]:
    """Say that kernels are loaded, as long as that lasts."""
    with closing(Progress(0, quiet)) as progress:
        progress.say(LOADING)
        yield


def line(done: int, total: int, documents: int, rate: float) -> str:
    """Return the line: `rate` is in bytes a second."""
    parts = [f"{documents:,} documents", f"{rate / 1e6:.1f} MB/s"]
    if total:
        parts.insert(0, f"{min(100 * done // total, 100):3d} %")
        if rate > 0:
            left = int(max(total - done, 0) / rate + 0.5)
            hours, minutes = divmod(left // 60, 60)
            parts.append((f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{left % 60:02d} left")
    return "  ".join(parts)
