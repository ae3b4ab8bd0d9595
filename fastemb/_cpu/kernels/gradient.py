"""Kernels of the gradient family: positions grouped by id, and every group cut into pieces.

The gradient of a row is the sum of all rows that its id was given. Positions are sorted by id, stably: so each
run of equal ids has one writer and one order of sums, whatever the number of threads.

Method: least-significant-digit radix sort of ``id << 32 | position`` (Knuth, TAOCP 3, 5.2.5);
6 to 10 ns an id in all, where 256 to 100,000 ids are given.
"""

from typing import Any

import numpy as np

from .intrinsics import as_acc, fence, load_id, prefetch, store_id
from .jit import kernel, part
from .rows import PIECE, read, write
from .vectors import every, narrow, stream, wide

#: `group_ids` takes fewer ids than this, of which no two are so far apart; `group_order` takes any.
LIMIT = 1 << 31
#: Up to so many ids are sorted by insertion, which touches neither ``spare`` nor ``counts``.
SMALL = 32
#: Elements (int32) of ``counts``.
COUNTS = 1 << 11

_FEW = 256  # up to so many keys clearing 2048 counts costs more than another pass
_WORD, _COUNT = np.int64(0), np.int32(0)  # tags: keys and offsets are int64, counts are int32
_POSITION = (1 << 32) - 1


@part
def pack_keys(id_tag: Any, ids: int, N: int, skip: int, low: int, keys: int) -> tuple[int, bool]:
    """Write ``(id - low) << 32 | position`` for each id but ``skip``; return how many, and whether they ascend.

    Keys stay below 2**63 and are int64: an uint64 turns into a float in Numba beside any signed number. A
    skipped id is written too, and the next key over it: a branch here would be missed in mixed input.
    """
    M, last, ascending = 0, 0, True
    for i in range(N):
        one = load_id(id_tag, ids, i)
        key = ((one - low) << 32) | i
        store_id(_WORD, keys, M, key)
        kept = one != skip
        ascending &= (key >= last) | (not kept)
        last = key if kept else last
        M += kept
    return M, ascending


@part
def insertion_sort(keys: int, M: int) -> None:
    """Sort a few keys in place."""
    for i in range(1, M):
        key = load_id(_WORD, keys, i)
        j = i
        while j > 0:
            other = load_id(_WORD, keys, j - 1)
            if other < key:
                break
            store_id(_WORD, keys, j, other)
            j -= 1
        store_id(_WORD, keys, j, key)


@part
def sort_by_digit(keys: int, M: int, shift: int, digits: int, counts: int, target: int) -> bool:
    """Copy M >= 1 keys to ``target`` in the order of one digit; return False, nothing copied, if all share it.

    Each pass counts its own digit. Counts of all digits made in one go were no faster (5.5 against 5.4 ns an
    id) and took 1.4 ns more where nothing is left to sort.
    """
    for d in range(digits):
        store_id(_COUNT, counts, d, 0)
    for i in range(M):
        d = (load_id(_WORD, keys, i) >> shift) & (digits - 1)
        store_id(_COUNT, counts, d, load_id(_COUNT, counts, d) + 1)
    d = (load_id(_WORD, keys, 0) >> shift) & (digits - 1)
    if load_id(_COUNT, counts, d) == M:
        return False
    before = 0
    for d in range(digits):
        count = load_id(_COUNT, counts, d)
        store_id(_COUNT, counts, d, before)
        before += count
    for i in range(M):
        key = load_id(_WORD, keys, i)
        d = (key >> shift) & (digits - 1)
        place = load_id(_COUNT, counts, d)
        store_id(_COUNT, counts, d, place + 1)
        store_id(_WORD, target, place, key)
    return True


@part
def radix_sort(keys: int, M: int, span: int, spare: int, counts: int) -> int:
    """Sort keys whose ids reach from 0 to ``span``; return where they lie then, ``keys`` or ``spare``.

    Positions ascend from the start and every pass is stable, so only the bits of the ids are sorted by, in as
    few passes as digits of 11 (of few keys: 8) bits allow, and in digits no wider than those passes need.
    """
    bits, widest = 0, 8 if M <= _FEW else 11
    while span >> bits:
        bits += 1
    passes = (bits + widest - 1) // widest
    for k in range(passes):
        begin, end = bits * k // passes, bits * (k + 1) // passes
        if sort_by_digit(keys, M, 32 + begin, 1 << (end - begin), counts, spare):
            keys, spare = spare, keys
    return keys


@part
def find_runs(
    id_tag: Any, ids: int, keys: int, M: int, packed: bool, low: int, perm: int,
    unique: int, piece_indptr: int, run_indptr: int,
) -> int:  # fmt: skip
    """Find the runs of equal ids in sorted keys (or, not ``packed``, sorted positions) and their pieces.

    Every step writes the run and the piece it is in as if they ended here, and the next step may write them
    again. So there is no branch: 2 ns an id for any lengths, where branches take 1 to 5. (LLVM makes a branch of
    ``length == PIECE``; ``length // PIECE``, a shift, stays what it is.)
    """
    store_id(_WORD, piece_indptr, 0, 0)
    store_id(_WORD, run_indptr, 0, 0)
    u, p, length, last = 0, 0, 0, -1
    for i in range(M):
        key = load_id(_WORD, keys, i)
        if packed:
            one = low + (key >> 32)
            store_id(_WORD, perm, i, key & _POSITION)
        else:
            one = load_id(id_tag, ids, key)
        opens = int(one != last)
        cuts = opens | (length // PIECE)
        u += opens
        p += cuts
        length = (length & (cuts - 1)) + 1
        last = one
        store_id(id_tag, unique, u - 1, one)
        store_id(_WORD, piece_indptr, p, i + 1)
        store_id(_WORD, run_indptr, u, p)
    return u


@kernel
def group_ids(
    id_tag: Any, ids: int, N: int, skip: int, low: int, high: int, spare: int, counts: int,
    perm: int, unique: int, piece_indptr: int, run_indptr: int,
) -> int:  # fmt: skip
    """Sort the positions of N ids by id, stably; return U, the number of distinct ids.

    Positions of the id ``skip`` are left out (-1: none), which leaves M <= N. All other ids lie in [low, high],
    0 <= low; ``N`` and ``high - low`` are below `LIMIT`. Written are

    - ``perm[:M]``, the positions (int64),
    - ``unique[:U]``, the ids that occur, ascending, in the type of ``ids``,
    - ``piece_indptr[:P + 1]``, the offsets in ``perm`` where pieces begin, and M (int64); a run of equal ids has a
      piece for every 256 positions from its own start, the last one shorter,
    - ``run_indptr[:U + 1]``, the first piece of each run, and P (int64).

    So run u begins at ``piece_indptr[run_indptr[u]]``, for u = U too; and where P is U, ``piece_indptr`` is where runs
    begin.
    ``perm``, ``unique`` and ``spare`` (int64) have room for N elements, ``piece_indptr`` and ``run_indptr`` for N + 1,
    ``counts`` for `COUNTS`. Rooms do not overlap; what lies in them behind the results is lost.
    """
    M, ascending = pack_keys(id_tag, ids, N, skip, low, perm)
    keys = perm
    if N <= SMALL:
        insertion_sort(keys, M)
    elif not ascending:
        keys = radix_sort(keys, M, high - low, spare, counts)
    return find_runs(id_tag, ids, keys, M, True, low, perm, unique, piece_indptr, run_indptr)


@kernel
def group_order(id_tag: Any, ids: int, perm: int, M: int, unique: int, piece_indptr: int, run_indptr: int) -> int:
    """Write ``unique`` and both ``indptr`` as `group_ids` does, from a ``perm`` that is sorted; return U.

    ``perm`` is int64 and only read: M positions, ascending by id and, where ids are equal, by position. Ids are
    not negative.
    """
    return find_runs(id_tag, ids, perm, M, False, 0, perm, unique, piece_indptr, run_indptr)


@part
def few_come_again(id_tag: Any, ids: int, N: int, low: int, words: int, marks: int) -> bool:
    """Set a bit for each id, and in the ``words`` behind those bits one for each that comes again.

    False where more than an eighth do. That mostly shows early, so other ids lose little time here.
    """
    for w in range(2 * words):
        store_id(_WORD, marks, w, 0)
    again = 0
    for i in range(N):
        one = load_id(id_tag, ids, i) - low
        w, bit = one >> 6, np.int64(1) << (one & 63)
        old = load_id(_WORD, marks, w)
        store_id(_WORD, marks, w, old | bit)
        store_id(_WORD, marks, words + w, load_id(_WORD, marks, words + w) | (old & bit))
        again += (old & bit) != 0
        if i % 1024 == 1023 and again > i // 8:
            return False
    return again <= N // 8


@kernel
def group_rare(
    id_tag: Any, size: int, ids: int, N: int, low: int, high: int, spare: int, counts: int, marks: int,
    perm: int, unique: int, piece_indptr: int, run_indptr: int,
) -> int:  # fmt: skip
    """Do what `group_ids` does, but for the order of runs; return -1 and do nothing where many ids come again.

    Ids that occur once come first, in the order of their positions, which needs no sort and lets rows be read one
    after the other. ``size`` is that of an id; ``marks`` has room for ``2 * ((high - low) // 64 + 1)`` int64.
    """
    words, k, m = (high - low) // 64 + 1, 0, 0
    if not few_come_again(id_tag, ids, N, low, words, marks):
        return -1
    for i in range(N):
        one = load_id(id_tag, ids, i)
        again = (load_id(_WORD, marks, words + ((one - low) >> 6)) >> ((one - low) & 63)) & 1
        store_id(_WORD, perm, k, i)
        store_id(id_tag, unique, k, one)
        store_id(_WORD, piece_indptr, k, k)
        store_id(_WORD, run_indptr, k, k)
        store_id(_WORD, spare, m, ((one - low) << 32) | i)
        k += 1 - again
        m += again
    perm, piece_indptr, run_indptr = perm + 8 * k, piece_indptr + 8 * k, run_indptr + 8 * k
    keys = radix_sort(spare, m, high - low, perm, counts) if m else spare
    U = find_runs(id_tag, ids, keys, m, True, low, perm, unique + size * k, piece_indptr, run_indptr)
    for p in range(load_id(_WORD, run_indptr, U) + 1):
        store_id(_WORD, piece_indptr, p, load_id(_WORD, piece_indptr, p) + k)
    for u in range(U + 1):
        store_id(_WORD, run_indptr, u, load_id(_WORD, run_indptr, u) + k)
    return k + U


# Bytes between the row that is read and the one that is fetched: of long rows few, as they push out each other.
_AHEAD_BYTES = 6 << 10
SUM, MEAN, ADD = 0, 1, 2  # what `put_runs` does with sums


@kernel
def find_range(id_tag: Any, ids: int, N: int) -> tuple[int, int]:
    """Return the smallest and the largest of N ids; of none 0 and -1."""
    if N == 0:
        return 0, -1
    low = high = load_id(id_tag, ids, 0)
    for i in range(1, N):
        one = load_id(id_tag, ids, i)
        low = min(low, one)
        high = max(high, one)
    return low, high


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
    prefetch(row + (j * bits >> 3))
    if bits == 64:
        prefetch(row + 8 * j + 64)


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


@part
def put_row(
    grad: Any, perm: Any, i: int, ahead: int, out: Any, where: Any, u: int, by: Any, do: int, nontemporal: bool
) -> None:
    """Put the run that is position ``i`` alone: one loop over the row, whose end is the same every time."""
    row, one = load_id(perm.id_tag, perm.address, i), load_id(where.id_tag, where.address, u)
    later, goal = row_later(grad, perm, i, ahead), row_later(out, where, u, ahead)
    for j in range(0, out.D - 15, 16):
        fetch(later, grad.bits, j)
        if do == ADD:
            fetch(goal, out.bits, j)
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
def put_run(
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


@kernel
def put_runs(
    grad: Any, perm: Any, piece_indptr: int, run_indptr: int, out: Any, where: Any, do: int, alpha: float,
    nontemporal: bool, start: int, stop: int,
) -> None:  # fmt: skip
    """Put the sums of the runs [start, stop) into rows of ``out``, that of run u into ``where[u]``.

    ``do`` says how: `SUM` writes them, `MEAN` writes them over the length of their run, `ADD` adds ``alpha`` times
    them. ``nontemporal``, past the caches, is for writing alone, to rows at multiples of 64 bytes.
    """
    ahead = max(1, min(12, _AHEAD_BYTES * 8 // max(1, grad.D * grad.bits)))
    by = as_acc(grad.dtype_tag, alpha)
    for u in range(start, stop):
        first, last = load_id(_WORD, run_indptr, u), load_id(_WORD, run_indptr, u + 1)
        begin, end = load_id(_WORD, piece_indptr, first), load_id(_WORD, piece_indptr, last)
        if do == MEAN:
            by = as_acc(grad.dtype_tag, end - begin)
        if end - begin == 1:
            put_row(grad, perm, begin, ahead, out, where, u, by, do, nontemporal)
        else:
            put_run(grad, perm, piece_indptr, first, last, max(4, ahead), out, where, u, by, do, nontemporal)
    if nontemporal:
        fence()
