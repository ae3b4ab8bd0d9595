"""The n-grams of a word, and the bucket of each, as fastText cuts and hashes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

FNV_START, FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)  # FNV-1a of 32 bits


class Subwords(NamedTuple):
    """From how many to how many characters n-grams have, among how many buckets they are shared out."""

    shortest: int
    longest: int
    buckets: int

    def of(self, words: Sequence[bytes]) -> tuple[Ids, Ids]:
        """Return the buckets of each word's n-grams, end to end, and where each word's begin.

        A word stands between ``<`` and ``>``; a mark by itself is no n-gram. Characters are UTF-8's. Bytes are hashed
        as fastText does on x86, where ``char`` has a sign: those from 0x80 on also flip the upper three bytes.
        """
        if not words or not self.buckets or self.longest < 1:
            return np.empty(0, np.int64), np.zeros(len(words) + 1, np.int64)
        marked = [b"<%b>" % word for word in words]
        data = np.frombuffer(b"".join(marked) + b"\0", np.int8)  # the last byte ends the last word
        ends = np.cumsum([len(word) for word in marked])
        signed = data.astype(np.int32).view(np.uint32)
        starts_char = (data.view(np.uint8) & 0xC0) != 0x80
        starts_char[-1] = True
        at = np.flatnonzero(starts_char[:-1])  # n-grams begin at every character
        word = np.searchsorted(ends, at, side="right")
        first = np.zeros(data.size, np.bool_)
        first[np.concatenate(([0], ends[:-1]))] = True
        begin, end = at, ends[word]
        hashes, chars = np.full(at.size, FNV_START), np.zeros(at.size, np.int64)
        origin = np.arange(at.size)
        found: list[tuple[Ids, Ids]] = []
        while at.size:  # all n-grams grow by a byte at once
            chars = chars + starts_char[at]
            hashes = (hashes ^ signed[at]) * FNV_PRIME
            at = at + 1
            whole = starts_char[at] | (at == end)
            mark = (chars == 1) & (first[begin] | (at == end))
            kept = whole & (chars >= self.shortest) & ~mark
            found.append((origin[kept], (hashes[kept] % np.uint32(self.buckets)).astype(np.int64)))
            grows = (at < end) & ~(whole & (chars >= self.longest))
            at, begin, end, hashes, chars, origin = (part[grows] for part in (at, begin, end, hashes, chars, origin))
        origins = np.concatenate([part for part, _ in found])
        order = np.argsort(origins, kind="stable")  # by where an n-gram begins, then by its length
        lengths = np.bincount(word[origins], minlength=len(words))
        return np.concatenate([part for _, part in found])[order], np.concatenate(([0], np.cumsum(lengths)))
