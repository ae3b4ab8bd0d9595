"""What the kernels of ``embed`` are told: where the parts of each row lie, and how threads share a row."""

from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from .._embeds import Embeds
from .._frameworks import DeviceArray
from . import arrays, launch, status
from .kernels.dtypes import SIZES, acc_of
from .kernels.embedding import Parts
from .kernels.lookup import RAISE
from .kernels.slots import COUNTED, EACH, NONE, RANKED, make_count, make_kept_ids, make_place_ids, make_rank, make_slots

#: Stretches that a thread has in registers, at most; threads of a row, at most, and in rows of any length.
MOST_STRETCHES, MOST_THREADS, LONG_THREADS = 8, 512, 256
_OFFSET, _ID, POSITION, SEGMENT = range(4)  # the numbers of faults: of several the first is said


class Addend(NamedTuple):
    """Positions or segments, and where their ids come from."""

    kind: str = NONE
    table: DeviceArray | None = None
    ids: DeviceArray | None = None
    period: int = 1
    shape: tuple[int, ...] = ()  # of the ids, for errors

    def values(self, mark: int) -> tuple[int, ...]:
        """Return what kernels are told."""
        if self.table is None:
            return (0,) * 6
        return self.table.pointer, self.table.strides[0], at(self.ids), self.period, self.table.shape[0], mark

    def fault(self, function: str, what: str) -> status.Fault:
        """Return what is to be said of its ids; those that were counted are too many for its rows."""
        bound = f"{what}s of {self.table.shape[0] if self.table else 0} rows"
        error = ValueError if self.kind == COUNTED else IndexError
        return status.Fault(function, f"{what} id", self.shape, bound, error)


class Call(NamedTuple):
    """One call: all that its kernels have in common."""

    embeds: Embeds
    place: launch.Place
    table: DeviceArray  # of numbers or codes; new arrays are of its framework
    tag: str
    ids: DeviceArray  # int32 or int64, flat
    mask: DeviceArray | None
    position: Addend
    segment: Addend
    weights: tuple[DeviceArray, ...]  # of the norm: none, weight, or weight and bias
    check: status.Check
    ranks: tuple[DeviceArray, DeviceArray] | None  # of a mask, where they are known

    @property
    def N(self) -> int:
        """The number of rows of the result."""
        return self.ids.size

    @property
    def D(self) -> int:
        """The number of columns."""
        return self.embeds.shape[-1]

    @property
    def acc(self) -> np.dtype[Any]:
        """The dtype that is computed in."""
        return np.dtype(acc_of(self.tag))

    @property
    def alive(self) -> tuple[DeviceArray | None, ...]:
        """The arrays behind the addresses that all kernels are told."""
        table, position, segment = self.embeds.table, self.position, self.segment
        codes = (table.scale, table.offset) if _checks.is_quantized(table) else ()
        addends = position.table, position.ids, segment.table, segment.ids
        return self.table, *codes, self.ids, self.mask, *addends, *self.weights

    @property
    def wide(self) -> bool:
        """Whether rows have numbers of more than 32 bits."""
        return self.N >= 1 << 32

    def parts(self, other: DeviceArray, *more: DeviceArray, most: int) -> Parts:
        """Return what a kernel is made for that has rows of other arrays beside those of the call.

        A thread has ``most`` columns in registers, at most.
        """
        addends = [one.table for one in (self.position, self.segment) if one.table is not None]
        norm, weights = self.embeds.norm, self.weights
        rows = [(self.table.pointer, self.table.strides[0], SIZES[self.tag])]
        for array in (*addends, *weights, other, *more):
            rows.append((array.pointer, array.strides[0] if array.ndim > 1 else 0, 8 * array.dtype.itemsize))
        columns = columns_of(self.tag, self.D, rows)
        alone = self.tag == "code4" and columns == 1
        K, threads = (0, LONG_THREADS) if alone else shares_of(self.D // columns, max(1, most // columns))
        return Parts(
            arrays.tag_of(self.ids), self.tag, self.position.kind, self.segment.kind,
            arrays.tag_of(addends[0]) if addends else acc_of(self.tag), self.embeds.scale != 1, self.mask is not None,
            self.wide, norm.kind if norm else "", arrays.tag_of(weights[0]) if weights else acc_of(self.tag),
            len(weights) > 1, arrays.tag_of(other), columns, K, threads,
        )  # fmt: skip

    def run(self, make: Any, make_long: Any, parts: Parts, own: tuple[Any, ...], alive: tuple[Any, ...]) -> None:
        """Launch a kernel, or that of long rows; ``own``: what it is told behind what all are."""
        table, marks, position, segment = self.embeds.table, self.check.marks, self.position, self.segment
        codes = (table.scale, table.offset) if _checks.is_quantized(table) else ()
        values = (
            self.table.pointer, self.table.strides[0], self.ids.pointer, self.table.shape[0],
            *([one.pointer for one in codes] or (0, 0)), self.embeds.scale,
            *position.values(marks[POSITION]), *segment.values(marks[SEGMENT]),
            at(self.mask), self.N, self.D // parts.columns, self.check.address, marks[_ID],
        )  # fmt: skip
        kernel = launch.kernel(make, parts) if parts.K else launch.kernel(make_long, parts._replace(K=1))
        # Rows of several warps share memory, and so have a block each.
        several = parts.K and parts.threads <= 32
        rows = min(launch.driver.threads // parts.threads, self.N) if several else 1
        grid = (-(-self.N // rows), 1)
        launch.submit(kernel, grid, (parts.threads, rows), self.place, (*values, *own), (*self.alive, *alive))

    def place_ids(self, addend: Addend, number: int) -> DeviceArray:
        """Return the id of an addend for each row; the number of its rows under a zero of the mask and out of range."""
        _, _, pointer, period, rows, mark = addend.values(self.check.marks[number])
        out, mask = arrays.new((self.N,), fits(rows), self.table), self.mask
        values = pointer, period, rows, at(mask), self.N, out.pointer, self.check.address, mark
        kernel = launch.kernel(make_place_ids, addend.kind, self.wide, mask is not None, arrays.tag_of(out))
        each(kernel, self.N, self.place, values, (addend.ids, mask, out))
        return out

    def kept_ids(self, instead: int, dtype: Any, skip: int = -1, mode: str = RAISE) -> DeviceArray:
        """Return the row of the table that each id means, flat.

        It is ``instead`` under a zero of the mask, of bad ids and of the row ``skip``.
        """
        out, mask = arrays.new((self.N,), dtype, self.table), self.mask
        values = (
            self.ids.pointer, self.table.shape[0], at(mask), self.N, skip, instead, out.pointer, self.check.address,
            self.check.marks[_ID],
        )  # fmt: skip
        kernel = launch.kernel(make_kept_ids, arrays.tag_of(self.ids), mode, mask is not None, arrays.tag_of(out))
        each(kernel, self.N, self.place, values, (self.ids, mask, out))
        return out

    def require(self) -> None:
        """In the mode "sync": raise what is wrong with ids now."""
        if status.mode != status.SYNC:
            return
        if self.mask is None:
            status.require_ids(self.place, self.check, _ID, self.ids, self.table.shape[0])
        else:
            self.kept_ids(0, self.ids.dtype)
            status.require(self.place, self.check, {_ID: self.ids})
        for addend, number in ((self.position, POSITION), (self.segment, SEGMENT)):
            if addend.kind not in (NONE, COUNTED):
                self.place_ids(addend, number)
                given = {} if addend.kind == RANKED else {number: addend.ids}
                status.require(self.place, self.check, given)


def at(array: DeviceArray | None) -> int:
    """Return an address, 0 of no array."""
    return 0 if array is None else array.pointer


def fits(most: int) -> np.dtype[Any]:
    """Return the smaller of two dtypes that holds numbers up to ``most``."""
    return np.dtype(np.int32 if most < 1 << 31 else np.int64)


def each(
    kernel: launch.Kernel, count: int, place: launch.Place, values: tuple[Any, ...], alive: tuple[Any, ...]
) -> None:  # fmt: skip
    """Launch a kernel of which each thread does one of ``count`` things."""
    threads = launch.driver.threads
    launch.submit(kernel, (-(-count // threads), 1), (threads, 1), place, values, alive)


# How threads share a row -----------------------------------------------------------------------------------------


def columns_of(tag: str, D: int, rows: list[tuple[int, int, int]]) -> int:
    """Return the columns of a stretch: as many as lie in 16 bytes of the table, halved until everything is aligned.

    ``rows``: addresses, strides in bytes, and sizes of numbers in bits. Of codes four columns, so that the threads of a
    warp write neighbouring words of 16 bytes.
    """
    columns = 4 if tag.startswith("code") else 128 // SIZES[tag]
    while columns > 1:
        sizes = [(address | stride, max(1, min(16, columns * bits // 8))) for address, stride, bits in rows]
        if D % columns == 0 and not any(both % size for both, size in sizes):
            break
        columns //= 2
    return columns


def shares_of(W: int, most: int) -> tuple[int, int]:
    """Return how many stretches a thread of a row of W has, ``most`` at most, and how many threads; 0: in turns.

    Up to 32 threads it is powers of two, of which a warp has several rows, and four loads a thread rather than more
    threads; beyond it is whole warps.
    """
    most, threads = min(MOST_STRETCHES, most), min(8, 1 << (W - 1).bit_length())
    while threads < 32 and threads * min(4, most) < W:
        threads += threads
    if threads * most < W:
        threads = 32 * -(-W // (32 * most))
    return (0, LONG_THREADS) if threads > MOST_THREADS else (-(-W // threads), threads)


# What was asked for ----------------------------------------------------------------------------------------------


def of(function: str, embeds: Embeds) -> Call:
    """Return a call; in the mode "sync" raise what is wrong with ids and offsets."""
    table, mask, N, shape = embeds.table, embeds.mask, embeds.ids.size, embeds.ids.shape
    coded = _checks.is_quantized(table)
    tag, rows = (f"code{table.bits}", table.codes) if coded else (arrays.tag_of(table), table)
    place, acc, norm = arrays.place_of(rows), np.dtype(acc_of(tag)), embeds.norm
    if N and not table.shape[0] and mask is None:
        raise IndexError("a table of 0 rows has no row for any id")
    if mask is not None:
        mask = arrays.contiguous(mask, place) if mask.dtype.itemsize == 1 else arrays.converted(mask, np.bool_, place)
    weights = () if norm is None else _alike(embeds.dtype, acc, place, norm.weight, norm.bias)
    tables = _alike(embeds.dtype, acc, place, embeds.positions, embeds.segments)
    full = mask is not None and status.mode == status.SYNC
    position = _addend(tables[0], embeds.position_ids, shape, shape[-1] if shape else 1, place, full)
    segment = _addend(tables[1], embeds.segment_ids, shape, 1, place, full)
    bounds = () if embeds.offsets is None else embeds.offsets.shape
    check = status.begin(
        place, table.shape[1] * max(acc.itemsize, rows.dtype.itemsize),
        status.Fault(function, "offset", bounds, f"offsets that ascend from 0 to {N}", ValueError),
        status.Fault(function, "id", shape, f"a table of {table.shape[0]} rows", dtype=embeds.ids.dtype),
        position.fault(function, "position"), segment.fault(function, "segment"),
    )  # fmt: skip
    ranks = None
    if embeds.offsets is not None:
        slots = _slots(embeds.offsets, N, check, place)
        if position.kind == COUNTED:
            position = position._replace(kind="int64", ids=slots, period=max(N, 1))
    elif mask is not None and position.kind == COUNTED:
        ranks = ranks_of(mask, place)
        position = position._replace(kind=RANKED, ids=ranks[0])
    ids, given = (
        arrays.as_index(embeds.ids, place, embeds.mode, table.shape[0]),
        tuple(one for one in weights if one is not None),
    )
    call = Call(embeds, place, arrays.as_rows(rows, place), tag, ids, mask, position, segment, given, check, ranks)
    if embeds.mode != RAISE and table.shape[0]:  # a launch more: a remainder would take the registers of rows
        call = call._replace(ids=call.kept_ids(0, fits(table.shape[0]), mode=embeds.mode))
    call.require()
    return call


def _alike(dtype: Any, acc: Any, place: launch.Place, *given: DeviceArray | None) -> list[Any]:
    """Return arrays whose rows are each in one piece: of the dtype if all are of that, else of accumulators."""
    kind = dtype if all(one is None or one.dtype == dtype for one in given) else acc
    same = [one if one is None or one.dtype == kind else arrays.converted(one, kind, place) for one in given]
    return [one and (arrays.as_rows if one.ndim > 1 else arrays.contiguous)(one, place) for one in same]


def _addend(
    table: Any, given: Any, shape: tuple[int, ...], period: int, place: launch.Place, full: bool
) -> Addend:  # fmt: skip
    """Return an addend whose ids are given, or 0 up to ``period`` again and again.

    ``full``: of given ones there is one for each row.
    """
    if table is None:
        return Addend()
    if given is None:
        return Addend(COUNTED, table, None, period, shape)
    repeats = given.size == 1 or given.shape[-1:] == shape[-1:] == (given.size,)
    if given.shape != shape and (full or not repeats):
        missing = len(shape) - given.ndim
        pairs = zip((1,) * missing + given.shape, (0,) * missing + given.strides, shape, strict=True)
        strides = tuple(0 if one == 1 else stride for one, stride, _ in pairs)
        given = given._replace(shape=shape, strides=strides)
    ids = arrays.as_index(given, place)
    return Addend(arrays.tag_of(ids), table, ids, ids.size, given.shape)


def _slots(offsets: DeviceArray, N: int, check: status.Check, place: launch.Place) -> DeviceArray:
    """Return the place of each id in its row of a Ragged, whose offsets are checked."""
    index = arrays.as_index(offsets, place)
    out, S = arrays.new((N,), np.int64, offsets), index.size - 1
    values = index.pointer, S, N, out.pointer, check.address, check.marks[_OFFSET]
    each(launch.kernel(make_slots, arrays.tag_of(index)), max(N, S + 1), place, values, (index, out))
    status.require(place, check, {})
    return out


def ranks_of(mask: DeviceArray, place: launch.Place) -> tuple[DeviceArray, DeviceArray]:
    """Return how many ids before each a mask keeps, and where those that it keeps stand, in order."""
    N, threads = mask.size, launch.driver.threads
    blocks = -(-N // (EACH * threads))
    counts, ranks, listed = (arrays.new((size,), np.int64, mask) for size in (blocks, N, N))
    held = mask, counts
    launch.submit(launch.kernel(make_count), (blocks, 1), (threads, 1), place, (mask.pointer, N, counts.pointer), held)
    values = mask.pointer, N, counts.pointer, ranks.pointer, listed.pointer
    launch.submit(launch.kernel(make_rank), (blocks, 1), (threads, 1), place, values, (*held, ranks, listed))
    return ranks, listed
