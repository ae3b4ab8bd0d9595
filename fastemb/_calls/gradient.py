"""Positions grouped by id, and the sums of the rows that each id was given: what gradients and optimizers share."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from .. import _arrays, _threads
from .._arrays import Array
from .._cpu.layout import Bags, Ids

# Grouping without a sort is tried for at least so many ids, in a range of at most so many times their number.
_RARE, _MARKS = 1 << 10, 1 << 6

_INT64 = np.int64(0)  # the tag of the order of positions


@cache
def kernels() -> ModuleType:
    """Import the kernels when they are first needed: they bring Numba with them."""
    from .._cpu import gradient

    return gradient


class Runs:
    """Positions grouped by id: what the kernels are told, and the arrays behind their addresses, kept alive.

    Runs are in the order of their ids. Where that need not be (not ``ascending``; nothing is skipped then) they may be
    in any order.

    Run u is that of the id ``ids[u]``; its pieces are those from ``firsts[u]`` up to ``firsts[u+1]``; piece p is the
    positions ``order[pieces[p]:pieces[p+1]]``.
    """

    def __init__(self, index: Array, skip: int, low: int, high: int, ascending: bool = True) -> None:
        code, N, tag, source = kernels(), index.size, index.dtype.type(0), _arrays.address(index)
        span = high - low
        rare = not ascending and _RARE <= N < code.LIMIT and span <= min(_MARKS * N, code.LIMIT - 1)
        marks = 2 * (span // 64 + 1) if rare else 0
        # One room for all, as making an array costs as much as grouping a few ids.
        self._room = room = _arrays.empty((5 * N + 2 + code.COUNTS // 2 + marks,), np.int64)
        pieces = _arrays.address(room)
        firsts = pieces + 8 * (N + 1)
        unique = firsts + 8 * (N + 1)
        order, spare, counts = unique + 8 * N, unique + 16 * N, unique + 24 * N
        U = -1
        if rare:
            rooms = (spare, counts, counts + 4 * code.COUNTS, order, unique, pieces, firsts)
            U = code.group_rare(tag, index.itemsize, source, N, low, high, *rooms)
        if U < 0 and N < code.LIMIT and span < code.LIMIT:
            U = code.group_ids(tag, source, N, skip, low, high, spare, counts, order, unique, pieces, firsts)
        elif U < 0:
            places = np.argsort(index, axis=None, kind="stable")
            if skip >= 0:
                places = places[index.reshape(-1)[places] != skip]
            room[3 * N + 2 : 3 * N + 2 + places.size] = places
            U = code.group_order(tag, source, order, places.size, unique, pieces, firsts)
        self.N, self.U, self.P = N, U, room.item(N + 1 + U)
        self.M = room.item(self.P)
        self._tag, self._at = tag, (pieces, firsts)
        self._order, self._unique = Ids(_INT64, order, self.M, N), Ids(tag, unique, U, high + 1)

    @classmethod
    def of(cls, index: Array) -> "Runs":
        """Group contiguous ids that are known to be rows of a table."""
        return cls(index, -1, *kernels().find_range(index.dtype.type(0), _arrays.address(index), index.size))

    def point_to(self, rows: Array) -> None:
        """Let each position stand for another row than that of its own number."""
        order = self._room[3 * self.N + 2 : 3 * self.N + 2 + self.M]
        order[:] = rows[order]

    @property
    def ids(self) -> Array:
        """The id of each run; a view."""
        ids: Array = self._room[2 * self.N + 2 : 3 * self.N + 2].view(type(self._tag))[: self.U]
        return ids

    @property
    def pieces(self) -> Array:
        """Where pieces begin in the order, and where the last one ends; a view."""
        return self._room[: self.P + 1]

    @property
    def firsts(self) -> Array:
        """The first piece of each run, and the number of pieces; a view."""
        return self._room[self.N + 1 : self.N + 2 + self.U]

    def sums(self, grad: Array, by_count: bool) -> Array:
        """Return the sums of all runs, or their means."""
        lane, D = _arrays.lane_dtype(grad.dtype), grad.shape[1]
        out, touched = _arrays.new_result((self.U, D), lane)
        if not out.size:
            return out
        streamed = touched and out.nbytes >= _arrays.STREAM_BYTES and out.strides[0] % 64 == 0
        source, goal, where, code = _arrays.rows(grad), _arrays.rows(out), _arrays.no_ids(self.U), kernels()
        order, (pieces, firsts), do = self._order, self._at, code.MEAN if by_count else code.SUM

        def write(start: int, stop: int, keep: object = (self, grad, out)) -> None:
            code.put_runs(source, order, pieces, firsts, goal, where, do, 1.0, streamed, start, stop)

        cuts = self._cuts(D * grad.dtype.itemsize, out.strides[0])
        if cuts is None:
            write(0, self.U)
            return out
        for u, total in self._run(cuts, write, grad):
            out[u] = total / lane.type(self._length(u)) if by_count else total
        return out

    def add(self, rows: Array, alpha: float, target: Array) -> None:
        """Add the sums times ``alpha`` to rows of the target."""
        if not target.size or not self.U:
            return
        lane = _arrays.lane_dtype(target.dtype)
        if not _arrays.in_reach(target) or _arrays.lane_dtype(rows.dtype) != lane:
            self._add_sums(self.ids, self.sums(rows, False), alpha, target)
            return
        source, goal, code = _arrays.rows(rows), _arrays.rows(target), kernels()
        order, (pieces, firsts), where = self._order, self._at, self._unique

        def write(start: int, stop: int, keep: object = (self, rows, target)) -> None:
            code.put_runs(source, order, pieces, firsts, goal, where, code.ADD, alpha, False, start, stop)

        D = target.shape[1]
        cuts = self._cuts(D * rows.dtype.itemsize, 2 * D * target.dtype.itemsize)
        if cuts is None:
            write(0, self.U)
            return
        for u, total in self._run(cuts, write, rows):
            self._add_sums(self.ids[u], total, alpha, target)

    @staticmethod
    def _add_sums(ids: Any, sums: Array, alpha: float, target: Array) -> None:
        """Add sums that stand ready, by NumPy: the same operations on each number, so the same bits."""
        lane = _arrays.lane_dtype(target.dtype)
        with np.errstate(all="ignore"):
            product = sums.astype(lane) * np.float64(alpha).astype(lane)
            target[ids] = (target[ids].astype(lane) + product).astype(target.dtype)

    def _length(self, u: int) -> int:
        return int(self.pieces[self.firsts[u + 1]] - self.pieces[self.firsts[u]])

    def _cuts(self, read: int, written: int) -> list[int] | None:
        """Return between which pieces to cut the work into ranges; None where one thread does it.

        Long runs are cut inside, others only around.
        """
        total = self.M * read + self.U * written
        ranges = _threads.parts(total, self.P)
        if ranges == 1:
            return None
        pieces, firsts, cuts = self.pieces, self.firsts, [0]
        for k in range(1, ranges):
            goal = total * k // ranges
            u = bisect_right(range(self.U), goal, key=lambda u: int(pieces[firsts[u]]) * read + u * written) - 1
            first, last = int(firsts[u]), int(firsts[u + 1])
            cut = first
            if self._length(u) * read * ranges * 16 > total:
                begin = (goal - u * written) // read
                cut = bisect_right(pieces, begin, first, last) - 1
            cuts.append(cut)
        return [*cuts, self.P]

    def _run(self, cuts: list[int], write: Callable[[int, int], None], grad: Array) -> list[tuple[int, Array]]:
        """Call ``write`` for ranges of whole runs, on threads; return the runs that were cut, and their sums."""
        from .._cpu.rows import sum_rows

        firsts, D, lane = self.firsts, grad.shape[1], _arrays.lane_dtype(grad.dtype)
        split = sorted({u for cut in cuts if firsts[u := bisect_right(firsts, cut) - 1] != cut})
        begins = np.zeros(len(split) + 1, np.int64)
        np.cumsum([firsts[u + 1] - firsts[u] for u in split], out=begins[1:])
        partials = _arrays.empty((int(begins[-1]), D), lane)
        source, goal = _arrays.rows(grad), _arrays.rows(partials)
        pieces = Bags(self._at[0], self._at[0] + 8, 0, None, 0)

        def write_pieces(start: int, stop: int) -> None:
            if start < stop:
                r = split.index(bisect_right(firsts, start) - 1)
                away = int(begins[r] - firsts[split[r]]) * goal.stride
                sum_rows(source, self._order, pieces, goal._replace(address=goal.address + away), False, start, stop)

        def work(start: int, stop: int, keep: object = (self, grad, partials)) -> None:
            first, last = bisect_left(firsts, start), bisect_right(firsts, stop) - 1
            if last < first:  # a part of one run
                write_pieces(start, stop)
                return
            write_pieces(start, int(firsts[first]))
            write(first, last)
            write_pieces(int(firsts[last]), stop)

        _threads.run(work, cuts)
        sums, at = np.empty((len(split), D), lane), _arrays.address(begins)
        if split:
            parts = Bags(at, at + 8, 0, None, 0)
            sum_rows(goal, _arrays.no_ids(len(partials)), parts, _arrays.rows(sums), False, 0, len(split))
        return list(zip(split, sums, strict=True))
