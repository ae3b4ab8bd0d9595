"""The windows of a row that is cut."""

from __future__ import annotations

from collections.abc import Iterator


def cuts(size: int, length: int, stride: int, direction: str) -> Iterator[tuple[int, int]]:
    """Yield from which id up to which each window stands; from the left the last one comes first."""
    step, at = length - stride, 0
    while True:
        start, stop = (at, min(at + length, size)) if direction == "right" else (max(size - at - length, 0), size - at)
        yield start, stop
        if stop == size if direction == "right" else start == 0:
            return
        at += step
