"""How far training is, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TICK = 0.1  # seconds between two states
Show = Callable[[str], None]


@contextmanager
def progress(title: str, show: bool = True) -> Iterator[Show]:
    """Give a function that shows a state behind the title, in one line of a terminal; elsewhere it does nothing."""
    if not show or not sys.stderr.isatty():
        yield lambda state: None
        return
    begun = shown = time.monotonic()
    last = ""

    def say(state: str) -> None:
        nonlocal shown, last
        last, now = state, time.monotonic()
        if now - shown >= _TICK:
            shown = now
            print(f"\r{title}: {state}\x1b[K", end="", file=sys.stderr, flush=True)

    try:
        yield say
    finally:
        print(f"\r{title}: {last}, {time.monotonic() - begun:.1f} s\x1b[K", file=sys.stderr)
