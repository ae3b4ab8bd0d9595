"""What one call works with: a cache and some room; and how the memory of all caches of a tokenizer is shared out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .compiled import ffi

# The ids of pieces that were met before are remembered: all caches of one tokenizer together take at most this many
# bytes. Calls that run at the same time have a cache each.
CACHE_BYTES = 192 << 20
WORKSPACE_IDS = 1 << 13  # room in a workspace for the ids of short texts
LAST = 2**31  # as a place in a list: behind all others


class Workspace:
    """What one call works with, and no other call at the same time: a cache, and room for the ids of a short text.

    `kept` says whether the tokenizer takes the workspace back for later calls. Its cache is then a part of the
    tokenizer's memory, which goes back to the `parts` that no workspace has where an interrupt loses the workspace.
    `place` is where it goes in the list of idle ones, and its part in that of parts: both are taken from at their ends,
    where the largest is, so that a caller who is alone always has that one.
    """

    __slots__ = ("_part", "_parts", "cache", "job", "joined", "kept", "out", "place", "room", "target")

    def __init__(self, cache: Any, part: int | None, parts: list[int], place: int = 0) -> None:
        self._part, self._parts, self.cache, self.kept = part, parts, cache, part is not None
        self.place = place
        self.joined: Any = None  # room for texts (join.py), made when it is first needed
        self.job, self.out = ffi.new("fe_job *"), ffi.new("fe_out *")
        self.room = np.empty(WORKSPACE_IDS, np.int32)
        self.target = ffi.from_buffer("int32_t[]", self.room, require_writable=True)

    def __del__(self) -> None:
        if self._part is not None:
            self._parts.insert(self.place, self._part)


def cache_budget() -> int:
    """Return how many bytes all caches of one tokenizer may take."""
    text = os.environ.get("FASTEMB_TOKENIZER_CACHE", "").strip()
    if not text:
        return CACHE_BYTES
    if not text.isdecimal():
        raise ValueError(f"environment variable FASTEMB_TOKENIZER_CACHE must be a number of bytes, got {text!r}")
    return min(int(text), 1 << 40)


def parts_of(budget: int, processors: int) -> list[int]:
    """Return the sizes of caches, the last one given away first: three quarters of the budget, parts of a quarter."""
    others = max(2, processors - 2)
    return [budget // 4 // others] * others + [budget * 3 // 4]
