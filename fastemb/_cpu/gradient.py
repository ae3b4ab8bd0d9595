"""The CPU's way with row gradients: entries grouped by id, and the sums of the rows that each id was given."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _checks, _memory, _threads
from .arrays import Array, acc_dtype, address, as_index, as_row_major, is_row_major, no_ids, rows
from .kernels import gradient as kernels
from .kernels import grouping
from .kernels.layout import BY_ONE, SIZE_TAGS, Ids, Segments
from .kernels.reduce import sum_rows
from .lookup import rows_meant

# Grouping without a sort is tried for at least so many ids, in a range of at most so many times their number.
_RARE, _MARKS = 1 << 10, 1 << 6

_INT64 = np.int64(0)  # the id tag of the permutation
_MOST = np.iinfo(np.int64).max

# The small path: calls that are not worth a second thread ----------------------------------------------------------

_SMALL_BYTES = 1 << 18
_FLOAT32, _ID_DTYPES = np.dtype(np.float32), (np.dtype(np.int64), np.dtype(np.int32))


def small_row_grad(ids: Any, grad: Array, padding_idx: Any, by_count: Any) -> tuple[Array, Array] | None:
    """Return the ids and sums of a small call; None: take the general road, which says what is wrong if anything is."""
    if type(by_count) is not bool or not (padding_idx is None or type(padding_idx) is int):
        return None
    if not _is_small(ids, grad):
        return None
    N, D, index = ids.size, grad.shape[-1], ids if ids.dtype is _ID_DTYPES[0] else ids.astype(np.int64)
    skip = -1 if padding_idx is None or not 0 <= padding_idx <= _MOST else padding_idx
    unique, sums = np.empty(N, np.int64), np.empty((N, D), _FLOAT32)
    do = kernels.MEAN if by_count else kernels.SUM
    U = kernels.put_runs_small(index.reshape(N), grad.reshape(N, D), skip, _MOST, do, 1.0, unique, sums)
    if U < 0:
        return None
    if U < N:
        unique, sums = unique[:U].copy(), sums[:U].copy()
    return unique if index is ids else unique.astype(ids.dtype), sums


def small_scatter_add(target: Array, ids: Any, given: Any, alpha: Any, mode: Any) -> bool:
    """Do a small call and return True; False: take the general road, which says what is wrong if anything is."""
    if type(alpha) is not float or type(mode) is not str or mode != "raise" or type(given) is not np.ndarray:
        return False
    if target.dtype != _FLOAT32 or target.ndim != 2 or not target.flags.carray or not _is_small(ids, given):
        return False
    N, (V, D), index = ids.size, target.shape, ids
    if given.shape[-1] != D:
        return False
    if ids.dtype is not _ID_DTYPES[0]:
        if _checks.may_share(target, ids):  # the kernel would look at the copy
            return False
        index = ids.astype(np.int64)
    unique = np.empty(N, np.int64)
    source = given.reshape(N, D)
    return bool(kernels.put_runs_small(index.reshape(N), source, -1, V, kernels.ADD, alpha, unique, target) >= 0)


def _is_small(ids: Any, given: Array) -> bool:
    """Whether the small kernel can take ids, which may be anything, and an array of a row for each."""
    if type(ids) is not np.ndarray or ids.dtype not in _ID_DTYPES or not ids.flags.carray:
        return False
    if given.dtype != _FLOAT32 or not 0 < given.size <= _SMALL_BYTES >> 2 or not given.flags.carray:
        return False
    return given.ndim == ids.ndim + 1 and given.shape[:-1] == ids.shape


# Entries grouped by id ----------------------------------------------------------------------------------------------


class Runs:
    """Entries grouped by id: what the kernels are told, and the arrays behind their addresses, kept alive.

    Runs are in the order of their ids. Where that need not be (not ``ascending``; nothing is skipped then) they may be
    in any order.

    Run u is that of the id ``ids[u]``; its pieces are those from ``run_indptr[u]`` up to ``run_indptr[u+1]``; piece p
    is the entries ``perm[piece_indptr[p]:piece_indptr[p+1]]``, at most 256.
    """

    def __init__(self, index: Array, skip: int, low: int, high: int, ascending: bool = True) -> None:
        code, N, tag, source = grouping, index.size, index.dtype.type(0), address(index)
        span = high - low
        rare = not ascending and _RARE <= N < code.LIMIT and span <= min(_MARKS * N, code.LIMIT - 1)
        marks = 2 * (span // 64 + 1) if rare else 0
        # One room for all, as making an array costs as much as grouping a few ids.
        self._room = room = _memory.empty((5 * N + 2 + code.COUNTS // 2 + marks,), np.int64)
        piece_indptr = address(room)
        run_indptr = piece_indptr + 8 * (N + 1)
        unique = run_indptr + 8 * (N + 1)
        perm, spare, counts = unique + 8 * N, unique + 16 * N, unique + 24 * N
        U = -1
        if rare:
            rooms = (spare, counts, counts + 4 * code.COUNTS, perm, unique, piece_indptr, run_indptr)
            U = code.group_rare(tag, index.itemsize, source, N, low, high, *rooms)
        if U < 0 and N < code.LIMIT and span < code.LIMIT:
            U = code.group_ids(tag, source, N, skip, low, high, spare, counts, perm, unique, piece_indptr, run_indptr)
        elif U < 0:
            places = np.argsort(index, axis=None, kind="stable")
            if skip >= 0:
                places = places[index.reshape(-1)[places] != skip]
            room[3 * N + 2 : 3 * N + 2 + places.size] = places
            U = code.group_order(tag, source, perm, places.size, unique, piece_indptr, run_indptr)
        self.N, self.U, self.P = N, U, room.item(N + 1 + U)
        self.M = room.item(self.P)
        self._tag, self._at = tag, (piece_indptr, run_indptr)
        self._perm, self._unique = Ids(_INT64, perm, self.M, N), Ids(tag, unique, U, high + 1)

    @classmethod
    def of(cls, index: Array, skip: int = -1, ascending: bool = True) -> "Runs":
        """Group contiguous ids that are known to be rows of a table."""
        span = grouping.find_range(index.dtype.type(0), address(index), index.size)
        return cls(index, skip, *span, ascending)

    def point_to(self, where: Array) -> None:
        """Let each entry stand for another row than that of its own number."""
        perm = self._room[3 * self.N + 2 : 3 * self.N + 2 + self.M]
        perm[:] = where[perm]

    @property
    def ids(self) -> Array:
        """The id of each run; a view."""
        ids: Array = self._room[2 * self.N + 2 : 3 * self.N + 2].view(type(self._tag))[: self.U]
        return ids

    @property
    def piece_indptr(self) -> Array:
        """Where pieces begin in the permutation, and where the last one ends; a view."""
        return self._room[: self.P + 1]

    @property
    def run_indptr(self) -> Array:
        """The first piece of each run, and the number of pieces; a view."""
        return self._room[self.N + 1 : self.N + 2 + self.U]

    def sums(self, grad: Array, by_count: bool) -> Array:
        """Return the sums of all runs, or their means."""
        acc, D = acc_dtype(grad.dtype), grad.shape[1]
        out, warm = _memory.new_result((self.U, D), acc)
        if not out.size:
            return out
        nontemporal = warm and out.nbytes >= _memory.STREAM_BYTES and out.strides[0] % 64 == 0
        source, goal, where, code = rows(grad), rows(out), no_ids(self.U), kernels
        perm, (piece_indptr, run_indptr), do = self._perm, self._at, code.MEAN if by_count else code.SUM

        def write(start: int, stop: int, alive: object = (self, grad, out)) -> None:
            code.put_runs(source, perm, piece_indptr, run_indptr, goal, where, do, 1.0, nontemporal, start, stop)

        cuts = self._cuts(D * grad.dtype.itemsize, out.strides[0])
        if cuts is None:
            write(0, self.U)
            return out
        for u, total in self._run(cuts, write, grad):
            out[u] = total / acc.type(self._length(u)) if by_count else total
        return out

    def add(self, given: Array, alpha: float, target: Array) -> None:
        """Add the sums times ``alpha`` to rows of the target."""
        if not target.size or not self.U:
            return
        acc = acc_dtype(target.dtype)
        if not is_row_major(target) or acc_dtype(given.dtype) != acc:
            self._add_sums(self.ids, self.sums(given, False), alpha, target)
            return
        source, goal, code = rows(given), rows(target), kernels
        perm, (piece_indptr, run_indptr), where = self._perm, self._at, self._unique

        def write(start: int, stop: int, alive: object = (self, given, target)) -> None:
            code.put_runs(source, perm, piece_indptr, run_indptr, goal, where, code.ADD, alpha, False, start, stop)

        D = target.shape[1]
        cuts = self._cuts(D * given.dtype.itemsize, 2 * D * target.dtype.itemsize)
        if cuts is None:
            write(0, self.U)
            return
        for u, total in self._run(cuts, write, given):
            self._add_sums(self.ids[u], total, alpha, target)

    def share(
        self, given: Array, written: int, put: Callable[[tuple[Any, ...], int, int], None]
    ) -> list[tuple[int, Array]]:
        """Call ``put(told, start, stop)`` for ranges of whole runs, on threads; return the runs left, and their sums.

        ``told`` is what kernels need to know: the permutation, where pieces begin, where runs do, and the id of each.
        ``written`` are the bytes that move for each run besides its rows.
        """
        told = (self._perm, *self._at, self._unique._replace(id_tag=SIZE_TAGS[np.dtype(type(self._tag))]))

        def write(start: int, stop: int, alive: object = (self, given)) -> None:
            put(told, start, stop)

        cuts = self._cuts(given.shape[1] * given.dtype.itemsize, written)
        if cuts is None:
            write(0, self.U)
            return []
        return self._run(cuts, write, given)

    @staticmethod
    def _add_sums(ids: Any, sums: Array, alpha: float, target: Array) -> None:
        """Add sums that stand ready, by NumPy: the same operations on each number, so the same bits."""
        acc = acc_dtype(target.dtype)
        with np.errstate(all="ignore"):
            product = sums.astype(acc) * np.float64(alpha).astype(acc)
            target[ids] = (target[ids].astype(acc) + product).astype(target.dtype)

    def _length(self, u: int) -> int:
        return int(self.piece_indptr[self.run_indptr[u + 1]] - self.piece_indptr[self.run_indptr[u]])

    def _cuts(self, read: int, written: int) -> list[int] | None:
        """Return between which pieces to cut the work into ranges; None where one thread does it.

        Long runs are cut inside, others only around.
        """
        total = self.M * read + self.U * written
        ranges = _threads.parts(total, self.P)
        if ranges == 1:
            return None
        piece_indptr, run_indptr, cuts = self.piece_indptr, self.run_indptr, [0]
        for k in range(1, ranges):
            goal = total * k // ranges
            cost = lambda u: int(piece_indptr[run_indptr[u]]) * read + u * written  # noqa: E731
            u = bisect_right(range(self.U), goal, key=cost) - 1
            first, last = int(run_indptr[u]), int(run_indptr[u + 1])
            cut = first
            if self._length(u) * read * ranges * 16 > total:
                begin = (goal - u * written) // read
                cut = bisect_right(piece_indptr, begin, first, last) - 1
            cuts.append(cut)
        return [*cuts, self.P]

    def _run(self, cuts: list[int], write: Callable[[int, int], None], grad: Array) -> list[tuple[int, Array]]:
        """Call ``write`` for ranges of whole runs, on threads; return the runs that were cut, and their sums."""
        run_indptr, D, acc = self.run_indptr, grad.shape[1], acc_dtype(grad.dtype)
        around = [bisect_right(run_indptr, cut) - 1 for cut in cuts]  # the runs in which cuts lie
        split = sorted({u for u, cut in zip(around, cuts, strict=True) if run_indptr[u] != cut})
        if not split:  # as nearly always: all that follows would take 0.06 ms in caches that rows have emptied
            _threads.run(write, around)
            return []
        begins = np.zeros(len(split) + 1, np.int64)
        np.cumsum([run_indptr[u + 1] - run_indptr[u] for u in split], out=begins[1:])
        partials = _memory.empty((int(begins[-1]), D), acc)
        source, goal = rows(grad), rows(partials)
        pieces = Segments(self._at[0], self._at[0] + 8, 0, None, BY_ONE)

        def write_pieces(start: int, stop: int) -> None:
            if start < stop:
                r = split.index(bisect_right(run_indptr, start) - 1)
                away = int(begins[r] - run_indptr[split[r]]) * goal.stride
                target = goal._replace(address=goal.address + away)
                sum_rows(source, self._perm, pieces, target, False, start, stop)

        def work(start: int, stop: int, alive: object = (self, grad, partials)) -> None:
            first, last = bisect_left(run_indptr, start), bisect_right(run_indptr, stop) - 1
            if last < first:  # a part of one run
                write_pieces(start, stop)
                return
            write_pieces(start, int(run_indptr[first]))
            write(first, last)
            write_pieces(int(run_indptr[last]), stop)

        _threads.run(work, cuts)
        sums, at = np.empty((len(split), D), acc), address(begins)
        # Not `sum_rows`, which would cut the sum of more than 256 pieces once more.
        each, R = np.arange(len(partials) + 1), no_ids(len(split))
        put = (goal, no_ids(len(partials)), address(each), at, rows(sums), R, kernels.SUM, 1.0, False)
        kernels.put_runs(*put, 0, len(split))
        return list(zip(split, sums, strict=True))


def row_grad(ids: Array, grad: Array, skip: int | None, by_count: bool) -> tuple[Array, Array]:
    """Return the ids that occur, ascending, in their dtype, and the sums of their rows, or the means.

    Raises the IndexError for an id that is not skipped and negative or beyond int64; how many rows the table has nobody
    said.
    """
    index, slots = as_index(ids), None
    low, high = grouping.find_range(index.dtype.type(0), address(index), index.size)
    if low < 0 and skip is not None and not 0 <= skip <= _MOST:  # which kernels cannot skip
        slots = np.flatnonzero(ids.reshape(-1) != skip)
        index = index.reshape(-1)[slots]
        low, high = grouping.find_range(index.dtype.type(0), address(index), index.size)
    if low < 0:
        first = int(np.argmax(index.reshape(-1) < 0))
        slot = first if slots is None else int(slots[first])
        if ids.dtype == np.uint64:
            raise IndexError(f"{_checks.name_id(ids, slot)} is beyond int64; no table has such a row")
        raise IndexError(f"{_checks.name_id(ids, slot)} is negative; ids count rows of a table from 0")
    runs = Runs(index, -1 if skip is None or not 0 <= skip <= _MOST else skip, low, high)  # no id is negative
    if slots is not None:
        runs.point_to(slots)
    flat = as_row_major(grad.reshape(ids.size, grad.shape[-1]))
    return runs.ids.astype(ids.dtype), runs.sums(flat, by_count)


def scatter_add(target: Array, ids: Array, rows: Array, alpha: float, mode: str) -> None:
    """Add ``alpha`` times the sums of the rows that each id is given to rows of the target, in place.

    Raises the IndexError for the first bad id; nothing is written then.
    """
    index = rows_meant(ids, target.shape[0], mode)
    D = math.prod(target.shape[1:])
    flat = as_row_major(rows.reshape(ids.size, D))
    runs = Runs.of(index, ascending=False)
    runs.add(flat, alpha, target if target.ndim == 2 else target.reshape(-1, D))
