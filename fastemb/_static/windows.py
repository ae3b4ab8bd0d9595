"""Long texts in windows of tokens that overlap, and their vectors joined."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .._checks import as_integer, require_word
from .._words import shown
from ..ragged import Ragged
from .words import WordRows, word_rows

Join = Literal["mean", "max"]
JOINS: tuple[Join, ...] = ("mean", "max")


class WindowVectors(NamedTuple):
    """The vectors of the windows of some texts.

    Attributes
    ----------
    vectors : ndarray of float32, shape (S, D)
        One for each window, text by text.
    offsets : ndarray of int64, shape (N+1,)
        Text ``i`` has the windows from ``offsets[i]`` to ``offsets[i+1]``; a text without ids has none.
    """

    vectors: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]


class Cut(NamedTuple):
    """How texts are cut: ids of a window, ids between the starts of two, and what becomes of their vectors."""

    window: int
    step: int
    join: Join | None


def as_cut(window: Any, overlap: Any, join: Any, out: Any) -> Cut | None:
    """Return how texts are to be cut, None where they are not; what does not fit is an error."""
    overlap = as_integer(overlap, "overlap")
    if join is not None:
        require_word(join, JOINS, "join")
    if window is None:
        if overlap or join != "mean":
            raise ValueError("overlap and join are of windows: give window, the number of ids of one")
        return None
    window = as_integer(window, "window")
    if window < 1:
        raise ValueError(f"window must be at least 1, got {shown(window)}")
    if not 0 <= overlap < window:
        raise ValueError(f"overlap must be from 0 to {window - 1}, one less than window, got {shown(overlap)}")
    if join is None and out is not None:
        raise ValueError("out is of one vector for each text: give join, or no out")
    return Cut(window, window - overlap, join)


def windows_of(rows: Ragged, cut: Cut) -> tuple[Ragged, npt.NDArray[np.int64]]:
    """Return each window as a row, and where the windows of each row begin.

    The last window of a row is the first that reaches its end; only it may be shorter than the others.
    """
    lengths = rows.lengths
    counts = np.where(lengths > 0, 1 + -(-np.maximum(lengths - cut.window, 0) // cut.step), 0)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    begins = np.repeat(rows.offsets[:-1], counts) + place * cut.step
    sizes = np.minimum(np.repeat(rows.offsets[1:], counts) - begins, cut.window)
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    ids = rows.ids[np.arange(bounds[-1]) + np.repeat(begins - bounds[:-1], sizes)]
    if isinstance(rows, WordRows):
        return word_rows(ids, bounds, rows.unknown), offsets
    return Ragged(ids, bounds), offsets
