"""Which ids of a text are kept where there are too many, the windows over all of them, and how windows of a pair meet.

The rules are those of Hugging Face's ``tokenizers``: a length is cut before the template is put around it, and windows
of a pair meet in all combinations. Everything is arrays over the texts of a call; nothing loops over texts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .calls import Truncation

Sizes = npt.NDArray[np.int64]


class Windows(NamedTuple):
    """The windows of texts: of text s `counts[s]`, each of at most `room[s]` ids, `step[s]` ids apart."""

    lengths: Sizes  # ids of each text
    room: Sizes
    step: Sizes
    counts: Sizes
    left: bool  # the first window is the last one in the text

    def places(self, texts: Sizes, windows: Sizes) -> tuple[Sizes, Sizes]:
        """Return where the windows of these numbers of these texts begin and end, counted from the text's start."""
        n, room, moved = self.lengths[texts], self.room[texts], windows * self.step[texts]
        if self.left:
            return np.maximum(n - moved - room, 0), n - moved
        return moved, np.minimum(moved + room, n)


def shares(first: Sizes, second: Sizes | None, limit: int, how: Truncation) -> tuple[Sizes, Sizes]:
    """Return how many ids of each text are kept, and of each second text, where `limit` are there for both.

    Raises
    ------
    ValueError
        The text that is to give way is too short, or there is none.
    """
    if second is None:
        if how.strategy == "only_second" and (first > limit).any():
            s = int(np.argmax(first > limit))
            raise ValueError(f"strategy is 'only_second', but text {s} has {first[s]} ids, too many, and no pair")
        return np.minimum(first, limit), np.zeros_like(first)
    over = np.maximum(first + second - limit, 0)
    if how.strategy == "longest_first":
        short, long = np.minimum(first, second), np.maximum(first, second)
        both = short > limit - short  # each has more than half
        fewer = np.where(over > 0, np.where(both, limit // 2, short), short)
        more = np.where(over > 0, np.where(both, limit - limit // 2, limit - short), long)
        swapped = first > second
        return np.where(swapped, more, fewer), np.where(swapped, fewer, more)
    cut, which = (first, "text") if how.strategy == "only_first" else (second, "pair")
    short_of = (over > 0) & (cut <= over)
    if short_of.any():
        s = int(np.argmax(short_of))
        raise ValueError(
            f"strategy is {how.strategy!r}, but {which} {s} has {cut[s]} ids, and {over[s]} have to go: it would be "
            "empty"
        )
    return (first - over, second) if how.strategy == "only_first" else (first, second - over)


def windows_of(lengths: Sizes, kept: Sizes, stride: int | None, side: str, what: str) -> Windows:
    """Return the windows of texts of which so many ids are kept; with `stride` None one window a text.

    Raises
    ------
    ValueError
        Of some text no more ids are kept than windows are to share.
    """
    counts, step = np.ones_like(lengths), np.zeros_like(lengths)
    if stride is not None:
        cut = lengths > kept
        step = np.where(cut, kept - stride, 1)
        if (step < 1).any():
            s = int(np.argmax(step < 1))
            raise ValueError(f"stride must be less than the ids of a window, {kept[s]} of {what} {s}, got {stride}")
        counts += np.where(cut, -((kept - lengths) // step), 0)
    return Windows(lengths, kept, step, counts, side == "left")


def combinations(counts: list[Sizes]) -> tuple[Sizes, list[Sizes]]:
    """Return the rows that windows make: of each row its text, and for each part of a template the window it has.

    ``counts[p]`` says how many windows part p has of each text. The first row of a text has the first window of every
    part. Part by part, behind all that the parts before it make with its first window and its others in turn, come the
    first of what they make with its others.
    """
    totals = np.prod(counts, axis=0)
    texts = np.repeat(np.arange(totals.size), totals)
    row = np.arange(texts.size) - np.repeat(np.cumsum(totals) - totals, totals)  # of its text
    chosen: list[Sizes] = []
    for p in range(len(counts) - 1, 0, -1):
        own, before = counts[p][texts], np.prod(counts[:p], axis=0)[texts]
        behind = row - (before - 1) * own
        is_other = (row > 0) & (behind <= 0)  # what the parts before make, but for its first
        chosen.append(np.where(is_other, (row - 1) % own, np.maximum(behind, 0)))
        row = np.where(is_other, 1 + (row - 1) // own, 0)
    chosen.append(row)
    return texts, chosen[::-1]
