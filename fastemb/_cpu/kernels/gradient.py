"""Kernels of the gradient family: sums of the rows that each id was given, written or added to rows of a table.

``perm``, ``piece_indptr`` and ``run_indptr`` are as `grouping.group_ids` leaves them.
"""

from typing import Any

import numpy as np

from .grouping import COUNTS, LIMIT, find_range, group_ids
from .intrinsics import SCRATCH, as_acc, fence, load_id, prefetch_row, scratch, store_id
from .jit import TUNING, inlined, kernel, part
from .layout import BY_ONE, BY_ROOT, Ids, Rows, Segments
from .lookup import address
from .reduce import add
from .reduce_rows import make_piece
from .rows import read, write
from .vectors import every, fetch_16, load, narrow, store, stream, wide

_WORD = np.int64(0)  # the tag of offsets, and of the ids of small calls
_DOUBLE = np.float64(0)  # the dtype tag of sums of pieces
sum_piece = make_piece(add, -0.0)
SUM, MEAN, ADD = 0, 1, 2  # what `put_runs` does with sums


@part
def row_later(table: Any, ids: Any, i: int, ahead: int) -> int:
    """Return the address of the row that comes ``ahead`` positions after ``i``.

    It stands before loops over columns that store: LLVM cannot know that a store leaves the ids alone.
    """
    row: int = table.address + load_id(ids.id_tag, ids.address, min(i + ahead, ids.N - 1)) * table.stride
    return row


@part
def fetch(row: int, bits: int, j: int) -> None:
    """Ask for 16 columns of the row at an address: a line of float32, half of one of 16-bit floats."""
    prefetch_row(row + (j * bits >> 3))
    if bits == 64:
        prefetch_row(row + 8 * j + 64)


@part
def put(out: Any, one: int, j: int, count: int, x: Any, by: Any, do: int, nontemporal: bool) -> None:
    """Write ``x`` or ``x / by`` to columns of row ``one``, or add ``x * by`` to them, rounded once."""
    if do == ADD:
        x = read(out, one, j, count) + x * by
    elif do == MEAN:
        x = x / by
    if nontemporal and count == 16:
        stream(out.dtype_tag, out.address + one * out.stride, j, x)
    else:
        write(out, one, j, count, x)


@inlined
def add_row(grad: Any, row: int, later: int, out: Any, one: int, goal: int, by: Any) -> None:
    """Add the run that is row ``row`` alone: one loop over the row, whose end is the same every time."""
    for j in range(0, out.D - 15, 16):
        fetch_16(grad.dtype_tag, later, j)
        fetch_16(out.dtype_tag, goal, j)
        write(out, one, j, 16, read(out, one, j, 16) + read(grad, row, j, 16) * by)
    rest = out.D % 16
    if rest:
        put(out, one, out.D - rest, rest, read(grad, row, out.D - rest, rest), by, ADD, False)


@inlined
def copy_row(grad: Any, row: int, later: int, out: Any, one: int, by: Any, do: int, nontemporal: bool) -> None:
    """Write the run that is row ``row`` alone."""
    for j in range(0, out.D - 15, 16):
        fetch_16(grad.dtype_tag, later, j)
        put(out, one, j, 16, read(grad, row, j, 16), by, do, nontemporal)
    rest = out.D % 16
    if rest:
        put(out, one, out.D - rest, rest, read(grad, row, out.D - rest, rest), by, do, nontemporal)


@part
def sum_piece_four(grad: Any, perm: Any, begin: int, end: int, ahead: int, j: int) -> Any:
    """Return 64 columns of the sum of one piece, the entries [begin, end), from column ``j``.

    -0.0 + x is x for every x, -0.0 too: as if a sum were begun as a copy of its first row.
    """
    a = b = c = d = every(grad.dtype_tag, -0.0)
    for i in range(begin, end):
        later = row_later(grad, perm, i, ahead)
        for k in range(j, j + 64, 16):
            fetch(later, grad.bits, k)
        one = load_id(perm.id_tag, perm.address, i)
        a = a + read(grad, one, j, 16)
        b = b + read(grad, one, j + 16, 16)
        c = c + read(grad, one, j + 32, 16)
        d = d + read(grad, one, j + 48, 16)
    return a, b, c, d


@part
def sum_four(grad: Any, perm: Any, piece_indptr: int, first: int, last: int, ahead: int, j: int) -> Any:
    """Return 64 columns of the sum of a run, from column ``j``: each piece summed by itself, several in float64."""
    end = load_id(_WORD, piece_indptr, first + 1)
    sums = sum_piece_four(grad, perm, load_id(_WORD, piece_indptr, first), end, ahead, j)
    if last - first == 1:  # the commonest: to float64 and back would take as long as a row or two
        return sums
    a, b, c, d = wide(sums[0]), wide(sums[1]), wide(sums[2]), wide(sums[3])
    for p in range(first + 1, last):
        begin, end = end, load_id(_WORD, piece_indptr, p + 1)
        sums = sum_piece_four(grad, perm, begin, end, ahead, j)
        a, b, c, d = a + wide(sums[0]), b + wide(sums[1]), c + wide(sums[2]), d + wide(sums[3])
    tag = grad.dtype_tag
    return narrow(tag, a), narrow(tag, b), narrow(tag, c), narrow(tag, d)


@part
def sum_piece_one(grad: Any, perm: Any, begin: int, end: int, ahead: int, j: int, count: int) -> Any:
    """Return up to 16 columns of the sum of one piece, as `sum_piece_four` does."""
    a = every(grad.dtype_tag, -0.0)
    for i in range(begin, end):
        fetch(row_later(grad, perm, i, ahead), grad.bits, j)
        a = a + read(grad, load_id(perm.id_tag, perm.address, i), j, count)
    return a


@part
def sum_one(grad: Any, perm: Any, piece_indptr: int, first: int, last: int, ahead: int, j: int, count: int) -> Any:
    """Return up to 16 columns of the sum of a run, as `sum_four` does."""
    end = load_id(_WORD, piece_indptr, first + 1)
    x = sum_piece_one(grad, perm, load_id(_WORD, piece_indptr, first), end, ahead, j, count)
    if last - first == 1:
        return x
    a = wide(x)
    for p in range(first + 1, last):
        begin, end = end, load_id(_WORD, piece_indptr, p + 1)
        a = a + wide(sum_piece_one(grad, perm, begin, end, ahead, j, count))
    return narrow(grad.dtype_tag, a)


@part
def put_run_by_columns(
    grad: Any, perm: Any, piece_indptr: int, first: int, last: int, ahead: int, out: Any, where: Any, u: int, by: Any,
    do: int, nontemporal: bool,
) -> None:  # fmt: skip
    """Put the sum of a run, block of columns by block, with every sum in a register until the last row."""
    one, goal = load_id(where.id_tag, where.address, u), row_later(out, where, u, ahead)
    for j in range(0, out.D - 63, 64):
        if do == ADD:
            for k in range(j, j + 64, 16):
                fetch(goal, out.bits, k)
        a, b, c, d = sum_four(grad, perm, piece_indptr, first, last, ahead, j)
        put(out, one, j, 16, a, by, do, nontemporal)
        put(out, one, j + 16, 16, b, by, do, nontemporal)
        put(out, one, j + 32, 16, c, by, do, nontemporal)
        put(out, one, j + 48, 16, d, by, do, nontemporal)
    for j in range(out.D - out.D % 64, out.D, 16):
        count = min(16, out.D - j)
        put(out, one, j, count, sum_one(grad, perm, piece_indptr, first, last, ahead, j, count), by, do, nontemporal)


@part
def sum_pieces(
    grad: Any, perm: Any, piece_indptr: int, first: int, last: int, sums: int, start: int, stop: int
) -> None:  # fmt: skip
    """Write the columns [start, stop) of the sum of a run to the scratch row, several pieces' added in float64."""
    acc_tag, zero, totals = as_acc(grad.dtype_tag, 0), np.float32(0), scratch(_DOUBLE)
    for p in range(first, last):
        begin, end = load_id(_WORD, piece_indptr, p), load_id(_WORD, piece_indptr, p + 1)
        sum_piece(grad, perm, Segments(0, 0, 0, None, BY_ONE), sums, begin, end, 0, start, stop)
        for j in range(0, stop - start, 16):
            x = wide(load(acc_tag, sums, j, zero, zero))
            if p > first:
                x = load(_DOUBLE, totals, j, zero, zero) + x
            store(_DOUBLE, totals, j, x)
    for j in range(0, stop - start, 16):
        store(acc_tag, sums, j, narrow(grad.dtype_tag, load(_DOUBLE, totals, j, zero, zero)))


@part
def put_run_by_rows(
    grad: Any, perm: Any, piece_indptr: int, first: int, last: int, ahead: int, out: Any, where: Any, u: int, by: Any,
    do: int, nontemporal: bool,
) -> None:  # fmt: skip
    """Put the sum of a run, whole rows added to a scratch row."""
    acc_tag, zero, sums = as_acc(grad.dtype_tag, 0), np.float32(0), scratch(grad.dtype_tag)
    begin, end = load_id(_WORD, piece_indptr, first), load_id(_WORD, piece_indptr, first + 1)
    one, goal = load_id(where.id_tag, where.address, u), row_later(out, where, u, ahead)
    for start in range(0, out.D, SCRATCH):
        stop = min(start + SCRATCH, out.D)
        if last - first == 1:
            sum_piece(grad, perm, Segments(0, 0, 0, None, BY_ONE), sums, begin, end, 0, start, stop)
        else:
            sum_pieces(grad, perm, piece_indptr, first, last, sums, start, stop)
        for j in range(start, stop, 16):
            if do == ADD:
                fetch(goal, out.bits, j)
            put(out, one, j, min(16, stop - j), load(acc_tag, sums, j - start, zero, zero), by, do, nontemporal)


put_run = put_run_by_rows if TUNING.by_rows else put_run_by_columns


@kernel
def put_runs(
    grad: Any, perm: Any, piece_indptr: int, run_indptr: int, out: Any, where: Any, do: int, alpha: float,
    nontemporal: bool, start: int, stop: int,
) -> None:  # fmt: skip
    """Put the sums of the runs [start, stop) into rows of ``out``, that of run u into ``where[u]``.

    ``do`` says how: `SUM` writes them, `MEAN` writes them over the length of their run, `ADD` adds ``alpha`` times
    them. ``nontemporal``, past the caches, is for writing alone, to rows at multiples of 64 bytes.
    """
    ahead = max(1, min(TUNING.rows_ahead, TUNING.grad_ahead * 8 // max(1, grad.D * grad.bits)))
    by = as_acc(grad.dtype_tag, alpha)
    for u in range(start, stop):
        first, last = load_id(_WORD, run_indptr, u), load_id(_WORD, run_indptr, u + 1)
        begin, end = load_id(_WORD, piece_indptr, first), load_id(_WORD, piece_indptr, last)
        if do == MEAN:
            by = as_acc(grad.dtype_tag, end - begin)
        if end - begin == 1:
            row, later = load_id(perm.id_tag, perm.address, begin), row_later(grad, perm, begin, ahead)
            one, goal = load_id(where.id_tag, where.address, u), row_later(out, where, u, ahead)
            if do == ADD:
                add_row(grad, row, later, out, one, goal, by)
            else:
                copy_row(grad, row, later, out, one, by, do, nontemporal)
        else:
            put_run(grad, perm, piece_indptr, first, last, max(4, ahead), out, where, u, by, do, nontemporal)
    if nontemporal:
        fence()


@part
def overlap(a: Any, b: Any) -> Any:
    """Whether two contiguous arrays share memory."""
    return address(a) < address(b) + b.nbytes and address(b) < address(a) + a.nbytes


@kernel
def put_runs_small(
    ids: Any, rows: Any, skip: int, V: int, do: int, alpha: float, unique: Any, out: Any
) -> int:  # fmt: skip
    """Group the ids of a small call of float32 and put the sums of their rows; return U, or -1 with nothing written.

    Arrays are taken as they are, ids are int64. With `ADD` sums go to the rows of ``out`` that ids name, else one after
    another. -1: an id is not below V, ids lie too far apart for `group_ids`, or ``out`` overlaps what is read.
    """
    tag, N, D, source = np.float32(0), ids.size, rows.shape[1], address(ids)
    low, high = find_range(_WORD, source, N)
    if low < 0 or high >= V or high - low >= LIMIT or overlap(out, rows) or overlap(out, ids):
        return -1
    room = np.empty(5 * N + 2 + COUNTS // 2, np.int64)  # made here: in Python it would take 0.3 us
    perm = address(room)
    order, spare, piece_indptr = perm + 8 * N, perm + 16 * N, perm + 24 * N
    run_indptr = piece_indptr + 8 * (N + 1)
    rooms = (perm, address(unique), piece_indptr, run_indptr)
    U = group_ids(_WORD, source, N, skip, low, high, spare, run_indptr + 8 * (N + 1), *rooms)
    for u in range(U):
        store_id(_WORD, order, u, u)
    M = load_id(_WORD, piece_indptr, load_id(_WORD, run_indptr, U))
    given, goal = Rows(tag, address(rows), 4 * D, 32, D, 0, 0), Rows(tag, address(out), 4 * D, 32, D, 0, 0)
    where = Ids(_WORD, address(unique) if do == ADD else order, U, U)
    put_runs(given, Ids(_WORD, perm, M, N), piece_indptr, run_indptr, goal, where, do, alpha, False, 0, U)
    return U + min(room.size, 0)  # U; Numba frees an array behind its last use, and addresses are none


@part
def spread_bags(ids: Any, offsets: Any, T: int, grad: Any, divide_by: int, skip: int, bag: Any, of_sums: Any) -> bool:
    """Write to which bag each slot belongs, and the gradient of each bag's sum; False where offsets are not right.

    Bags are between offsets, or with ``T`` not negative all of that length.
    """
    end = 0
    for s in range(grad.shape[0]):
        begin, end, last = (s * T, s * T + T, end) if T >= 0 else (offsets[s], offsets[s + 1], end)
        if begin != last or end < begin or end > ids.size:
            return False
        count = 0
        for i in range(begin, end):
            bag[i] = s
            count += ids[i] != skip
        by = np.float32(1)
        if divide_by != BY_ONE and count:
            by = np.float32(np.sqrt(np.float64(count)) if divide_by == BY_ROOT else count)
        for j in range(grad.shape[1]):
            of_sums[s, j] = grad[s, j] / by
    return bool(end == ids.size)


@kernel
def put_bags_small(
    ids: Any, offsets: Any, T: int, grad: Any, divide_by: int, skip: int, V: int, do: int, unique: Any, out: Any
) -> int:  # fmt: skip
    """Do as `put_runs_small` does with rows of which each is that of all ids of a bag, and was reduced to a sum."""
    tag, N, (S, D), source = np.float32(0), ids.size, grad.shape, address(ids)
    low, high = find_range(_WORD, source, N)
    if low < 0 or high >= V or high - low >= LIMIT:
        return -1
    room, bag, of_sums = np.empty(5 * N + 2 + COUNTS // 2, np.int64), np.empty(N, np.int64), np.empty_like(grad)
    if not spread_bags(ids, offsets, T, grad, divide_by, skip, bag, of_sums):
        return -1
    perm = address(room)
    order, spare, piece_indptr = perm + 8 * N, perm + 16 * N, perm + 24 * N
    run_indptr = piece_indptr + 8 * (N + 1)
    rooms = (perm, address(unique), piece_indptr, run_indptr)
    U = group_ids(_WORD, source, N, skip, low, high, spare, run_indptr + 8 * (N + 1), *rooms)
    for u in range(U):
        store_id(_WORD, order, u, u)
    M = load_id(_WORD, piece_indptr, load_id(_WORD, run_indptr, U))
    for i in range(M):
        store_id(_WORD, perm, i, bag[load_id(_WORD, perm, i)])
    given, goal = Rows(tag, address(of_sums), 4 * D, 32, D, 0, 0), Rows(tag, address(out), 4 * D, 32, D, 0, 0)
    bags, where = Ids(_WORD, perm, M, S), Ids(_WORD, order, U, U)
    put_runs(given, bags, piece_indptr, run_indptr, goal, where, do, 1.0, False, 0, U)
    alive: int = min(room.size, bag.size, of_sums.size, 0)  # as above
    return U + alive
