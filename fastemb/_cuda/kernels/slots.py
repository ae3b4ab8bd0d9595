"""Which row of a table an id means, and where ids stand: among those that a mask keeps, within the rows of a Ragged."""

from typing import Any

from .lookup import CLIP, RAISE, WRAP, ZEROS
from .words import (
    block_x, device, make_numbers, make_shared, make_shared_numbers, meet, remainder, report, thread_x, threads_x,
)  # fmt: skip

#: Where the ids of positions or segments come from: nowhere, i % period, a count of the ids that a mask keeps; or else
#: from an array, and this is its dtype.
NONE, COUNTED, RANKED = "", "counted", "ranked"
#: Ids of a thread that counts.
EACH = 16
_MOST_THREADS = 1024


def make_scan() -> Any:
    """Return ``scan(room, x)``: the sum of the numbers of all threads of a block up to this one."""
    get, put = make_shared_numbers("int64")

    @device
    def scan(room: int, x: int) -> int:
        t, step = thread_x(), 1
        put(room, t, x)
        meet()
        while step < threads_x():
            before = get(room, t - step) if t >= step else 0
            meet()
            x += before
            put(room, t, x)
            meet()
            step += step
        return x

    return scan


def make_count() -> Any:
    """How many ids a mask keeps in each stretch of `EACH` a thread of the block."""
    get, _ = make_numbers("bool")
    _, put = make_numbers("int64")
    scan, room = make_scan(), make_shared(_MOST_THREADS * 8)

    def count(mask: int, N: int, counts: int) -> None:
        t, found = thread_x(), 0
        first = (block_x() * threads_x() + t) * EACH
        for i in range(first, min(first + EACH, N)):
            found += get(mask, i) != 0
        found = scan(room(), found)
        if t == threads_x() - 1:
            put(counts, block_x(), found)

    return count


def make_rank() -> Any:
    """How many ids before each a mask keeps, and where the k-th that it keeps stands. After `make_count`."""
    get, _ = make_numbers("bool")
    get_count, put = make_numbers("int64")
    get_shared, _ = make_shared_numbers("int64")
    scan, room, other_room = make_scan(), make_shared(_MOST_THREADS * 8), make_shared(_MOST_THREADS * 8)

    def rank(mask: int, N: int, counts: int, ranks: int, listed: int) -> None:
        t, found, before, sums = thread_x(), 0, 0, other_room()
        for k in range(t, block_x(), threads_x()):
            before += get_count(counts, k)
        scan(sums, before)
        first = (block_x() * threads_x() + t) * EACH
        last = min(first + EACH, N)
        for i in range(first, last):
            found += get(mask, i) != 0
        place = scan(room(), found) - found + get_shared(sums, threads_x() - 1)
        for i in range(first, last):
            put(ranks, i, place)
            if get(mask, i) != 0:
                put(listed, place, i)
                place += 1

    return rank


def make_slots(index: str) -> Any:
    """The place of each id in its row of a Ragged. One id a thread. Offsets not ascending from 0 to N are reported.

    Id i lies in the last row that does not begin behind it. Whatever the offsets are, no memory beside them is read.
    """
    get, _ = make_numbers(index)
    _, put = make_numbers("int64")

    def slots(offsets: int, S: int, N: int, out: int, status: int, mark: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i <= S:
            one = get(offsets, i)
            before = get(offsets, max(i - 1, 0)) if i else 0
            if one < before or (i == 0 and one != 0) or (i == S and one != N):
                report(status, mark + i)
        if i < N:
            low, high = 0, S
            while high - low > 1:
                middle = (low + high) >> 1
                if get(offsets, middle) <= i:
                    low = middle
                else:
                    high = middle
            put(out, i, i - get(offsets, low))

    return slots


def make_number_of(index: str, mode: str = RAISE) -> Any:
    """Return ``number_of(ids, i, V, kept, status, mark)``: the row that ids[i] means; -1: none."""
    get, _ = make_numbers(index)

    @device
    def number_of(ids: int, i: int, V: int, kept: Any, status: int, mark: int) -> int:
        one = get(ids, i)
        if kept and (one < 0 or one >= V):
            report(status, mark + i)
            one = -1
        return one if kept else -1

    @device
    def number_clipped(ids: int, i: int, V: int, kept: Any, status: int, mark: int) -> int:
        return min(max(get(ids, i), 0), V - 1) if kept else -1

    @device
    def number_wrapped(ids: int, i: int, V: int, kept: Any, status: int, mark: int) -> int:
        return get(ids, i) % V if kept else -1

    return {RAISE: number_of, CLIP: number_clipped, WRAP: number_wrapped}[mode]


@device
def start(base: int, one: int, stride: int, status: int) -> int:
    """Return where a row begins; of no row the zeros beside the status."""
    return base + one * stride if one >= 0 else status + ZEROS


def make_which(kind: str, wide: bool) -> Any:
    """Return ``which(ids, i, period)``: the id of a position or segment of row i, and where to say that it is bad.

    ``wide``: there are more than 2**32 rows.
    """
    get, _ = make_numbers(kind if kind.startswith("int") else "int64")

    @device
    def rest_wide(i: int, period: int) -> int:
        return i % period

    rest = rest_wide if wide else remainder

    @device
    def given(ids: int, i: int, period: int) -> Any:
        at = rest(i, period)
        return get(ids, at), at

    @device
    def ranked(ids: int, i: int, period: int) -> Any:
        return get(ids, i) - get(ids, i - rest(i, period)), i

    @device
    def counted(ids: int, i: int, period: int) -> Any:
        return rest(i, period), i

    return {COUNTED: counted, RANKED: ranked}.get(kind, given)


def make_kept(masked: bool) -> Any:
    """Return ``kept(mask, i)``: whether row i of the result is not left out."""
    get, _ = make_numbers("bool")

    @device
    def kept(mask: int, i: int) -> Any:
        return get(mask, i) != 0

    @device
    def always(mask: int, i: int) -> Any:
        return True

    return kept if masked else always


def make_place_ids(kind: str, wide: bool, masked: bool, to: str) -> Any:
    """The id of a position or segment of each row; ``rows`` of those that are left out, and of ids out of range."""
    which, kept, (_, put) = make_which(kind, wide), make_kept(masked), make_numbers(to)

    def place_ids(ids: int, period: int, rows: int, mask: int, N: int, out: int, status: int, mark: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < N:
            one, at = which(ids, i, period)
            if not kept(mask, i):
                one = rows
            elif one < 0 or one >= rows:
                report(status, mark + at)
                one = rows
            put(out, i, one)

    return place_ids


def make_kept_ids(index: str, mode: str, masked: bool, to: str) -> Any:
    """The row of the table that each id means; ``instead`` for bad ids, under a zero of the mask, and for ``skip``."""
    number_of, kept, (_, put) = make_number_of(index, mode), make_kept(masked), make_numbers(to)

    def kept_ids(
        ids: int, V: int, mask: int, N: int, skip: int, instead: int, out: int, status: int, mark: int
    ) -> None:  # fmt: skip
        i = block_x() * threads_x() + thread_x()
        if i < N:
            one = number_of(ids, i, V, kept(mask, i), status, mark)
            put(out, i, instead if one < 0 or one == skip else one)

    return kept_ids
