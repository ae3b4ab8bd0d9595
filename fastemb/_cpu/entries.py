"""From bags to what kernels walk: the entries of each segment, and where they stand among the caller's slots."""

from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from .._bags import Bags
from .arrays import Array, acc_dtype, address, as_index
from .kernels import reduce as kernels


class Entries(NamedTuple):
    """Segment s reduces the entries from ``begins[s]`` up to ``ends[s]``.

    An entry is a slot that is kept: masked slots and padding are taken away before any kernel runs, and what is left
    is a shorter list. So the padded and the ragged form of the same bags go through the same kernel.
    """

    begins: Array
    ends: Array
    slots: Any  # the slot of each entry; None: entry i is slot i
    ids: Any  # the id of each entry, int32 or int64; None: the entry's slot is the row
    weights: Any  # of each entry, in the accumulators' dtype

    def members(self) -> tuple[Array, Array]:
        """Return the segment and the number of every entry that a segment reduces, segment by segment."""
        lengths = self.ends - self.begins
        segments = np.repeat(np.arange(lengths.size), lengths)
        return segments, np.arange(segments.size) + np.repeat(self.begins - (np.cumsum(lengths) - lengths), lengths)

    def slot(self, entry: int) -> int:
        """Return the caller's flat slot of an entry."""
        return entry if self.slots is None else int(self.slots[entry])

    def cuts(self, ranges: int) -> list[int]:
        """Cut the segments so that ranges have as many entries; a segment, which is written, counts as one more."""
        begins, ends, S = self.begins, self.ends, len(self.begins)
        if S and begins[0] == 0 and np.array_equal(begins[1:], ends[:-1]):
            return cuts_of(begins, int(ends[-1]), S, ranges)
        load = np.cumsum(ends - begins + 1)
        inner = np.searchsorted(load, [load[-1] * k // ranges for k in range(1, ranges)], side="left")
        return [0, *map(int, inner), S]


def cuts_of(begins: Array, N: int, S: int, ranges: int) -> list[int]:
    """Cut S segments of N entries that follow one another, as `Entries.cuts` does; ``begins`` may be anything."""
    goals = ((N + S) * k // ranges for k in range(1, ranges))
    return [0, *sorted(bisect_left(range(S), goal, key=lambda s: int(begins[s]) + s) for goal in goals), S]


def entries_of(bags: Bags) -> Entries:
    """Check the values of offsets and lengths, and list the entries of each segment. Ids are not checked yet."""
    begins, ends = _bounds(bags)
    slots, kept = None, _kept(bags)
    if kept is not None:
        begins, ends, slots = _list_kept(np.ascontiguousarray(kept), begins, ends)
    if bags.mode == "cls":
        ends = begins + (ends > begins)
    elif bags.mode == "last":
        begins = ends - (ends > begins)
    entries = Entries(begins, ends, slots, _ids(bags, slots), None)
    if bags.weights is not None:
        with np.errstate(over="ignore", under="ignore"):
            weights = bags.weights.reshape(-1).astype(acc_dtype(bags.dtype), copy=False)
        return entries._replace(weights=np.ascontiguousarray(weights if slots is None else weights[slots]))
    if bags.mode == "weighted_mean":
        segments, members = entries.members()
        ranks = np.zeros(_size(bags) if slots is None else slots.size, acc_dtype(bags.dtype))
        # By slots, not by entries: what is left out between two kept rows counts on, what stands before them does not.
        at, first = (members, begins[segments]) if slots is None else (slots[members], slots[begins[segments]])
        ranks[members] = at - first + 1
        return entries._replace(weights=ranks)
    return entries


def _size(bags: Bags) -> int:
    shape = bags.slots
    return shape[0] if len(shape) == 1 else shape[0] * shape[1]


def _bounds(bags: Bags) -> tuple[Array, Array]:
    """Return where the slots of each bag begin and end, as int64."""
    if bags.offsets is not None:
        offsets, N = np.ascontiguousarray(bags.offsets, np.int64), _size(bags)
        if not _checks.ascend(offsets, N):
            _checks.raise_bad_offsets(bags.offsets, N, "rows" if bags.ids is None else "ids")
        return offsets[:-1], offsets[1:]
    S, T = bags.slots
    begins = np.arange(S, dtype=np.int64) * T
    if bags.lengths is None:
        return begins, begins + T
    wrong = (bags.lengths < 0) | (bags.lengths > T)
    if wrong.any():
        _checks.raise_bad_length(bags.lengths, int(np.argmax(wrong)), T)
    return begins, begins + bags.lengths.astype(np.int64)


def _kept(bags: Bags) -> Array | None:
    """Return which slots are kept, flat, as bytes that are not 0; None: all."""
    kept: Array | None = None
    if bags.mask is not None:
        kept = (bags.mask if bags.mask.dtype == np.bool_ else bags.mask != 0).reshape(-1)
    if bags.padding_idx is not None:
        real = bags.ids.reshape(-1) != bags.padding_idx
        kept = real if kept is None else kept & real
    return kept


def _list_kept(kept: Array, begins: Array, ends: Array) -> tuple[Array, Array, Array | None]:
    """Return the bounds of segments on the list of kept slots, and the list; None where every slot is kept."""
    S = len(begins)
    slots, bounds = np.empty(kept.size + 1, np.int64), np.empty((2, S), np.int64)
    at = address(bounds)
    n = kernels.list_kept(address(kept), address(begins), address(ends), S, address(slots), at, at + bounds.strides[0])
    return (begins, ends, None) if n == kept.size else (bounds[0], bounds[1], slots[:n])


def _ids(bags: Bags, slots: Array | None) -> Array | None:
    """Return the ids of the entries as kernels read them; of x the slots themselves."""
    if bags.ids is None:
        return slots
    kept = bags.ids if slots is None else bags.ids.reshape(-1)[slots]
    index = as_index(kept.reshape(-1))
    if kept.dtype == np.uint64 and (index < 0).any():  # beyond int64
        V = bags.rows.shape[0]
        entry = int(np.argmax(kept.reshape(-1) >= np.uint64(V)))
        _checks.raise_out_of_range(bags.ids, entry if slots is None else int(slots[entry]), V)
    return index
