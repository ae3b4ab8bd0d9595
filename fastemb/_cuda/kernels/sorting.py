"""Ids as keys, a stable sort of them with their positions, and the runs of equal ones. No atomics: the same each time.

The sort is by digits of four bits, the lowest first, in three launches a digit: `count_digits`, `sums_before`,
`move_by_digit`. A tile is what a block looks at, ``each`` neighbours a thread; there are ``tiles`` of them.
"""

from typing import Any

from .lookup import CLIP, RAISE, WRAP
from .words import (
    block_x,
    blocks_x,
    device,
    make_numbers,
    make_shared,
    make_shared_numbers,
    meet,
    report,
    thread_x,
    threads_x,
)

BITS = 4
DIGITS = 1 << BITS
LEAVE = "leave"


def make_find_range(index: str, threads: int) -> Any:
    """Each block's largest id, and the first position of a negative one less N (0: none); ``skip`` counts as none.

    ``found``: two numbers a block, of T threads, a power of two.
    """
    get, _ = make_numbers(index)
    _, put = make_numbers("int64")
    get_shared, put_shared = make_shared_numbers("int64")
    shared = make_shared(2 * threads * 8)

    def find_range(ids: int, found: int, N: int, skip: int, skips: int) -> None:
        memory, t, T = shared(), thread_x(), threads_x()
        largest, bad = -1, N
        i = block_x() * T + t
        while i < N:
            one = get(ids, i)
            if skips == 0 or one != skip:
                largest = max(largest, one)
                if one < 0:
                    bad = min(bad, i)
            i += blocks_x() * T
        put_shared(memory, t, largest)
        put_shared(memory, T + t, bad)
        half = T // 2
        while half > 0:
            meet()
            if t < half:
                put_shared(memory, t, max(get_shared(memory, t), get_shared(memory, t + half)))
                put_shared(memory, T + t, min(get_shared(memory, T + t), get_shared(memory, T + t + half)))
            half //= 2
        if t == 0:
            put(found, 2 * block_x(), get_shared(memory, 0))
            put(found, 2 * block_x() + 1, get_shared(memory, T) - N)

    return find_range


def make_id_keys(index: str, key: str, mode: str) -> Any:
    """Rows that ids mean, V for those left out: ``skip``, and ids outside of [0, V).

    The latter mode "raise" reports and "leave" does not; "clip" and "wrap" leave out nothing.
    """
    get, _ = make_numbers(index)
    _, put = make_numbers(key)
    clips, wraps, says = mode == CLIP, mode == WRAP, mode == RAISE

    def id_keys(ids: int, out: int, N: int, V: int, skip: int, skips: int, status: int, mark: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < N:
            one = get(ids, i)
            if clips:
                put(out, i, min(max(one, 0), V - 1))
            elif wraps:
                put(out, i, one % V)
            elif one < 0 or one >= V:
                if says:
                    report(status, mark + i)
                put(out, i, V)
            elif skips != 0 and one == skip:
                put(out, i, V)
            else:
                put(out, i, one)

    return id_keys


# The sort --------------------------------------------------------------------------------------------------------


def _make_tally(key: str, threads: int, each: int) -> Any:
    """Return a function that counts how often each digit occurs among the keys of each thread: [digit, thread]."""
    get, _ = make_numbers(key)
    get_shared, put_shared = make_shared_numbers("int32")
    pitch = threads + 1  # so that threads that walk along the digits' rows meet in no bank

    @device
    def tally(keys: int, memory: int, t: int, first: int, N: int, shift: int) -> None:
        for d in range(DIGITS):
            put_shared(memory, d * pitch + t, 0)
        for i in range(first, min(first + each, N)):
            at = ((get(keys, i) >> shift) & (DIGITS - 1)) * pitch + t
            put_shared(memory, at, get_shared(memory, at) + 1)
        meet()

    return tally


def make_count_digits(key: str, threads: int, each: int) -> Any:
    """How often each digit occurs in each tile, as [digit, tile]."""
    tally, pitch = _make_tally(key, threads, each), threads + 1
    get_shared, _ = make_shared_numbers("int32")
    _, put = make_numbers("int64")
    shared = make_shared(DIGITS * pitch * 4)

    def count_digits(keys: int, counts: int, N: int, shift: int, tiles: int) -> None:
        memory, t = shared(), thread_x()
        tally(keys, memory, t, (block_x() * threads + t) * each, N, shift)
        if t < DIGITS:
            n = 0
            for u in range(threads):
                n += get_shared(memory, t * pitch + u)
            put(counts, t * tiles + block_x(), n)

    return count_digits


def make_sums_before(threads: int) -> Any:
    """For each of n numbers the sum of those before it, and behind these that of all. One block."""
    get, put = make_numbers("int64")
    get_shared, put_shared = make_shared_numbers("int64")
    shared = make_shared(threads * 8)

    def sums_before(numbers: int, sums: int, n: int) -> None:
        memory, t = shared(), thread_x()
        each = (n + threads - 1) // threads
        first, last = min(t * each, n), min(t * each + each, n)
        total = 0
        for i in range(first, last):
            total += get(numbers, i)
        put_shared(memory, t, total)
        meet()
        if t == 0:
            total = 0
            for u in range(threads):
                here = get_shared(memory, u)
                put_shared(memory, u, total)
                total += here
            put(sums, n, total)
        meet()
        total = get_shared(memory, t)
        for i in range(first, last):
            put(sums, i, total)
            total += get(numbers, i)

    return sums_before


def make_move_by_digit(key: str, order: str, threads: int, each: int, first_digit: bool) -> Any:
    """Keys and what belongs to them in the order of one digit: with the first digit, that is their positions."""
    tally, pitch = _make_tally(key, threads, each), threads + 1
    get_key, put_key = make_numbers(key)
    get_order, put_order = make_numbers(order)
    get, _ = make_numbers("int64")
    get_shared, put_shared = make_shared_numbers("int32")
    get_place, put_place = make_shared_numbers("int64")
    shared = make_shared(DIGITS * pitch * 4)
    shared_starts = make_shared(DIGITS * 8)

    def move_by_digit(
        keys: int, values: int, starts: int, out_keys: int, out_values: int, N: int, shift: int, tiles: int
    ) -> None:  # fmt: skip
        memory, begins, t = shared(), shared_starts(), thread_x()
        first = (block_x() * threads + t) * each
        tally(keys, memory, t, first, N, shift)
        if t < DIGITS:
            put_place(begins, t, get(starts, t * tiles + block_x()))
            n = 0
            for u in range(threads):
                here = get_shared(memory, t * pitch + u)
                put_shared(memory, t * pitch + u, n)
                n += here
        meet()
        for i in range(first, min(first + each, N)):
            one = get_key(keys, i)
            d = (one >> shift) & (DIGITS - 1)
            at = d * pitch + t
            rank = get_shared(memory, at)
            put_shared(memory, at, rank + 1)
            place = get_place(begins, d) + rank
            put_key(out_keys, place, one)
            put_order(out_values, place, i if first_digit else get_order(values, i))

    return move_by_digit


# Runs ------------------------------------------------------------------------------------------------------------


def _make_begins(key: str) -> Any:
    """Return a function that says whether a run of a key below V begins at a place of sorted keys."""
    get, _ = make_numbers(key)

    @device
    def begins(keys: int, i: int, V: int) -> bool:
        one = get(keys, i)
        return one < V and (i == 0 or get(keys, max(i - 1, 0)) != one)

    return begins


def make_count_runs(key: str, threads: int, each: int) -> Any:
    """How many runs begin in each tile of sorted keys. At ``long`` a 0 is put, for `put_runs`."""
    begins = _make_begins(key)
    get_shared, put_shared = make_shared_numbers("int32")
    _, put = make_numbers("int64")
    shared = make_shared(threads * 4)

    def count_runs(keys: int, counts: int, long: int, N: int, V: int) -> None:
        memory, t = shared(), thread_x()
        first, n = (block_x() * threads + t) * each, 0
        for i in range(first, min(first + each, N)):
            n += 1 if begins(keys, i, V) else 0
        put_shared(memory, t, n)
        meet()
        if t == 0:
            n = 0
            for u in range(threads):
                n += get_shared(memory, u)
            put(counts, block_x(), n)
            if block_x() == 0:
                put(long, 0, 0)

    return count_runs


def make_put_runs(key: str, threads: int, each: int, cut: int) -> Any:
    """Where each run begins, and the last ends; the key of each; at ``long`` a 1 if one is longer than ``cut``."""
    begins = _make_begins(key)
    get_key, put_key = make_numbers(key)
    get, put = make_numbers("int64")
    get_shared, put_shared = make_shared_numbers("int32")
    shared = make_shared(threads * 4)

    def put_runs(keys: int, sums: int, starts: int, unique: int, long: int, N: int, V: int, tiles: int) -> None:
        memory, t = shared(), thread_x()
        first, n = (block_x() * threads + t) * each, 0
        for i in range(first, min(first + each, N)):
            n += 1 if begins(keys, i, V) else 0
        put_shared(memory, t, n)
        meet()
        u = get(sums, block_x())
        for other in range(t):
            u += get_shared(memory, other)
        U = get(sums, tiles)
        if U == 0 and first == 0:
            put(starts, 0, 0)
        for i in range(first, min(first + each, N)):
            one = get_key(keys, i)
            if begins(keys, i, V):
                put(starts, u, i)
                put_key(unique, u, one)
                u += 1
                if i + cut < N and get_key(keys, min(i + cut, N - 1)) == one:
                    put(long, 0, 1)
            if one < V and (i == N - 1 or get_key(keys, min(i + 1, N - 1)) >= V):
                put(starts, U, i + 1)

    return put_runs


def make_pick_numbers(order: str, tag: str) -> Any:
    """Numbers in the order of a sort, ``out[i] = numbers[order[i]]``."""
    get_order, _ = make_numbers(order)
    get, put = make_numbers(tag)

    def pick_numbers(numbers: int, order: int, out: int, N: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < N:
            put(out, i, get(numbers, get_order(order, i)))

    return pick_numbers
