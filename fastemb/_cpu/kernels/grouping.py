"""Positions grouped by id, and every group cut into pieces: what row gradients are sums over.

Positions are sorted by id, stably: so each run of equal ids has one writer and one order of sums, whatever the number
of threads.

Method: least-significant-digit radix sort of ``id << 32 | position`` (Knuth, TAOCP 3, 5.2.5);
6 to 10 ns an id in all, where 256 to 100,000 ids are given.
"""

from typing import Any

import numpy as np

from .intrinsics import load_id, store_id
from .jit import kernel, part
from .rows import PIECE

#: `group_ids` takes fewer ids than this, of which no two are so far apart; `group_order` takes any.
LIMIT = 1 << 31
#: Up to so many ids are sorted by insertion, which touches neither ``spare`` nor ``counts``.
SMALL = 32
#: Elements (int32) of ``counts``.
COUNTS = 1 << 11

_FEW = 256  # up to so many keys clearing 2048 counts costs more than another pass
_WORD, _COUNT = np.int64(0), np.int32(0)  # tags: keys and offsets are int64, counts are int32
_POSITION = (1 << 32) - 1


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
