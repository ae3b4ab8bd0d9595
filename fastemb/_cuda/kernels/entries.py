"""From bags as they were given to what `join` walks: bounds that are checked, lists of what is kept, divisors.

These kernels read a few bytes for each slot, where `join` reads a row. A warp goes along each bag.
"""

from typing import Any, NamedTuple

from .join import BY_COUNT, BY_GIVEN, BY_RANKS, BY_ROOT, make_bounds, make_row
from .words import (
    block_x,
    make_number,
    make_numbers,
    report,
    root,
    thread_x,
    thread_y,
    threads_x,
    threads_y,
    warp_votes,
)

#: Which of its entries a bag is made of.
ALL, FIRST, LAST = "all", "first", "last"


def make_clean(tag: str, lengths: bool) -> Any:
    """Make the kernel that copies offsets, or lengths, as int64 from 0 to N, one a thread; what is wrong is reported.

    Offsets ascend from 0 to N, the count - 1 bags between them; lengths lie from 0 to N. Copies of offsets begin with 0
    and end with N, whatever was given: so every slot is in some bag, and is written by whoever goes along bags.
    """
    get, _ = make_numbers(tag)
    _, put = make_numbers("int64")

    def clean(given: int, stride: int, count: int, N: int, out: int, status: int, mark: int) -> None:
        i = block_x() * threads_x() + thread_x()
        if i < count:
            one = get(given + i * stride, 0)
            bad = (one < 0) | (one > N)
            if not lengths:
                before = get(given + max(i - 1, 0) * stride, 0)
                bad = bad | (one < before) | ((i == 0) & (one != 0)) | ((i == count - 1) & (one != N))
            if bad:
                report(status, mark + i)
            one = min(max(one, 0), N)
            if not lengths:
                one = 0 if i == 0 else N if i == count - 1 else one
            put(out, i, one)

    return clean


class Listing(NamedTuple):
    """What is known when a kernel is made that goes along the slots of bags."""

    ids: str  # their type; "none": the row of slot i is i
    bounds: str
    keep: str
    pick: str
    weights: str  # float type of weights given and made; "none": there are none
    ranks: bool  # they are places in the bag

    def __str__(self) -> str:
        return "_".join(map(str, self))


def make_list_kept(form: Any) -> Any:
    """Make the kernel that lists the rows of each bag's kept slots, where its slots begin; with ``pick`` the one.

    So bags need not wait for each other, and the list has room for all slots. Bad ids are reported, and listed as -1.
    Block: (32, bags).
    """
    ids, bounds, _, pick, weights, ranks = form
    is_kept, row_of = make_row(ids, form.keep)
    first_of, stop_of = make_bounds(bounds)
    _, put = make_numbers("int64")
    acc = "float32" if weights == "none" else weights
    get_weight, put_weight = make_numbers(acc)
    number, weighted = make_number(acc), weights != "none" and not ranks

    def list_kept(
        index: int, V: int, offsets: int, counts: int, T: int, kept: int, padding: int, given: int, S: int, out: int,
        out_counts: int, out_weights: int, status: int, mark: int,
    ) -> None:  # fmt: skip
        s, lane = block_x() * threads_y() + thread_y(), thread_x()
        if s >= S:
            return
        first, stop = first_of(offsets, T, s), stop_of(offsets, counts, T, s)
        n, start, chosen, b = 0, first, first, first
        while b < stop:
            i = min(b + lane, stop - 1)
            so = (b + lane < stop) & is_kept(kept, index, padding, i)
            row = row_of(so, index, V, status, mark, i)
            before, count, low, high = warp_votes(so)
            if n == 0 and count > 0:
                start = b + low
            if count > 0 and (pick == LAST or (pick == FIRST and n == 0)):
                chosen = b + (high if pick == LAST else low)
            if so and pick == ALL:
                put(out, first + n + before, row)
                if ranks:
                    put_weight(out_weights, first + n + before, number(i - start + 1))
                if weighted:
                    put_weight(out_weights, first + n + before, get_weight(given, i))
            n += count
            b += 32
        if lane == 0:
            if pick != ALL and n > 0:
                put(out, s, row_of(True, index, V, status, mark, chosen))
            put(out_counts, s, n if pick == ALL else min(n, 1))

    return list_kept


def make_survey(form: Any) -> Any:
    """Make the kernel that says of each slot whether it is kept, and counts these: for gradients.

    ``out_ids``: its id, or -1 where it is not kept or bad; ``out_bags``: its bag; ``out_weights``: its place there.
    Block: (32, bags).
    """
    ids, bounds, _, pick, weights, ranks = form
    is_kept, row_of = make_row(ids, form.keep)
    first_of, stop_of = make_bounds(bounds.rstrip("+"))
    _, end_of = make_bounds(bounds)
    _, put = make_numbers("int64")
    _, put_kept = make_numbers("bool")
    _, put_weight = make_numbers("float32" if weights == "none" else weights)
    number, has_ids = make_number("float32" if weights == "none" else weights), ids != "none"

    def survey(
        index: int, V: int, offsets: int, counts: int, T: int, kept: int, padding: int, S: int, out_kept: int,
        out_ids: int, out_bags: int, out_counts: int, out_weights: int, status: int, mark: int,
    ) -> None:  # fmt: skip
        s, lane = block_x() * threads_y() + thread_y(), thread_x()
        if s >= S:
            return
        first, end, stop = first_of(offsets, T, s), end_of(offsets, counts, T, s), stop_of(offsets, counts, T, s)
        n, start, last, b = 0, first, first, first
        while b < end:
            so = (b + lane < end) & is_kept(kept, index, padding, min(b + lane, end - 1))
            _, count, low, high = warp_votes(so)
            start = b + low if n == 0 and count > 0 else start
            last = b + high if count > 0 else last
            n += count
            b += 32
        i = first + lane
        while i < stop:
            so = (i < end) & (n > 0)
            so = so & is_kept(kept, index, padding, i)
            so = so & (i == start) if pick == FIRST else so & (i == last) if pick == LAST else so
            put_kept(out_kept, i, 1 if so else 0)
            if has_ids:
                put(out_ids, i, row_of(so, index, V, status, mark, i))
                put(out_bags, i, s)
            if ranks:
                put_weight(out_weights, i, number(i - start + 1))
            i += 32
        if lane == 0:
            put(out_counts, s, n if pick == ALL else min(n, 1))

    return survey


def make_divisors(acc: str, bounds: str, divide: str) -> Any:
    """Make the kernel that finds what the sum of each bag is divided by, one bag a thread.

    Weights, one for each entry, are added in float64, in order.
    """
    first_of, stop_of = make_bounds(bounds)
    get, put = make_numbers(acc)
    number, wide = make_number(acc), make_number("float64")

    def divisors(offsets: int, counts: int, T: int, weights: int, S: int, out: int) -> None:
        s = block_x() * threads_x() + thread_x()
        if s < S:
            first, stop = first_of(offsets, T, s), stop_of(offsets, counts, T, s)
            n = stop - first
            amount = wide(n)
            if divide == BY_ROOT:
                amount = root(amount)
            if divide == BY_RANKS:
                amount = wide(n * (n + 1) // 2)
            if divide == BY_GIVEN:
                amount, i = wide(0), first
                while i < stop:  # four at a time, for the sake of the loads
                    w0, w1 = get(weights, i), get(weights, min(i + 1, stop - 1))
                    w2, w3 = get(weights, min(i + 2, stop - 1)), get(weights, min(i + 3, stop - 1))
                    amount = amount + wide(w0)
                    amount = amount + wide(w1) if i + 1 < stop else amount
                    amount = amount + wide(w2) if i + 2 < stop else amount
                    amount = amount + wide(w3) if i + 3 < stop else amount
                    i += 4
            put(out, s, number(amount))

    return divisors


__all__ = ["BY_COUNT", "Listing", "make_clean", "make_divisors", "make_list_kept", "make_survey"]
