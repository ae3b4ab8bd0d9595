"""Rows joined over bounds: what bags, pools and row gradients have in common. Addresses and counts in, nothing else.

The entries of bag s are those from ``first`` up to ``stop``; entry i is the row that ``index[i]`` means, or row i. A
sum runs in ascending order of entries, one accumulator a column, cut every `CUT` entries from the bag's own start. The
sums of these parts are added by `finish`, in float64, in order, and rounded once: no number of threads changes a bit.

W: words of ``width`` bytes in a row. Group g of threads joins one part of one bag, each thread one word of every row.
"""

from typing import Any, NamedTuple

from .dtypes import SIZES
from .lookup import ZEROS
from .words import (
    acc_of,
    add,
    block_x,
    block_y,
    device,
    doubled,
    greater,
    make_columns,
    make_constant,
    make_load_all,
    make_number,
    make_numbers,
    make_store,
    minus,
    over,
    report,
    root,
    singled,
    take,
    thread_x,
    thread_y,
    threads_x,
    threads_y,
    times,
)  # fmt: skip

CUT = 256

SUM, MAX = "sum", "max"
#: What a sum is divided by: nothing, the number of entries, its root, 1 + 2 + … of it, or a number given for each bag.
NO, BY_COUNT, BY_ROOT, BY_RANKS, BY_GIVEN = "no", "count", "root", "ranks", "given"
#: Behind the type of ids: they are known to be rows.
KNOWN = "!"
#: What a row is multiplied by: nothing, a number given for each entry, its place in the bag.
GIVEN, RANKS = "given", "ranks"


class Form(NamedTuple):
    """What is known of a join when its kernel is made."""

    tag: str  # of the rows
    width: int
    ids: str  # their type; "none": entry i is row i; with `KNOWN` behind it they are not checked
    bounds: str  # see `make_bounds`
    cut: int  # 0: no bag is longer than `CUT`
    op: str
    weights: str
    divide: str
    keep: str  # "all", or which entries are: "mask", "padding", "both"; only without cut
    out_tag: str
    out_width: int
    part_width: int

    def __str__(self) -> str:
        return "_".join(map(str, self))


# Bags and their parts --------------------------------------------------------------------------------------------


def make_bounds(bounds: str) -> Any:
    """Return ``first(s)`` and ``stop(s)`` of the words ``offsets``, ``counts``, ``T``.

    ``bounds``: "offsets" (up to the next one) or "rows" (T entries each), with "+" the first ``counts[s]`` of these.
    """
    get, _ = make_numbers("int64")
    by_rows, counted = bounds.startswith("rows"), bounds.endswith("+")

    @device
    def first_of(offsets: int, T: int, s: int) -> Any:
        if by_rows:
            return s * T
        return get(offsets, s)

    @device
    def stop_of(offsets: int, counts: int, T: int, s: int) -> Any:
        first = first_of(offsets, T, s)
        if counted:
            return first + get(counts, s)
        if by_rows:
            return first + T
        return max(first, get(offsets, s + 1))

    return first_of, stop_of


@device
def per_bag(T: int, cut: int) -> Any:
    """Return how many parts a bag of T entries has."""
    return max(1, (T + cut - 1) // cut)


def make_parts(bounds: str, cut: int) -> Any:
    """Return ``bag_of(g)``, ``part_of(g, s)`` and ``slot_of(s, k)``: which part group g joins, and where its sum lies.

    Bags between offsets: groups g < S join first parts. Part k of a bag that begins at b has the number b // cut + k;
    no two bags share one for k > 0, and none is beyond N // cut. So group S - 1 + j finds the bag of the part number j
    by a search among offsets: the last that has offset // cut < j, as no bag ends later. First parts lie at twice their
    number, others behind these.
    """
    get, _ = make_numbers("int64")
    by_rows = bounds.startswith("rows")

    @device
    def search(offsets: int, S: int, j: int) -> Any:
        low, high = 0, S
        while high - low > 1:
            middle = (low + high) >> 1
            if get(offsets, middle) // cut < j:
                low = middle
            else:
                high = middle
        return low

    @device
    def bag_of(offsets: int, T: int, S: int, g: int) -> Any:
        if cut == 0:
            return g
        if by_rows:
            return g // per_bag(T, cut)
        return g if g < S else search(offsets, S, g - S + 1)

    @device
    def part_of(offsets: int, T: int, S: int, g: int, s: int) -> Any:
        if cut == 0:
            return 0
        if by_rows:
            return g % per_bag(T, cut)
        return 0 if g < S else g - S + 1 - get(offsets, s) // cut

    @device
    def slot_of(offsets: int, T: int, s: int, k: int) -> Any:
        if by_rows:
            return s * per_bag(T, cut) + k
        return 2 * (get(offsets, s) // cut + k) + (1 if k > 0 else 0)

    return bag_of, part_of, slot_of


def make_end(acc: str, count: int, op: str, divide: str) -> Any:
    """Return ``end(x, n, s, by)``: a sum of n entries divided; zeros of none, and where there is 0 to divide by."""
    get, _ = make_numbers(acc)
    number, wide = make_number(acc), make_number("float64")
    zeros = make_constant(acc, count, 0.0)

    @device
    def end_plain(x: Any, n: int, s: int, by: int) -> Any:
        return take(n > 0, x, zeros())

    @device
    def end_count(x: Any, n: int, s: int, by: int) -> Any:
        return take(n > 0, over(x, number(n)), zeros())

    @device
    def end_root(x: Any, n: int, s: int, by: int) -> Any:
        return take(n > 0, over(x, number(root(wide(n)))), zeros())

    @device
    def end_ranks(x: Any, n: int, s: int, by: int) -> Any:
        return take(n > 0, over(x, number(n * (n + 1) // 2)), zeros())

    @device
    def end_given(x: Any, n: int, s: int, by: int) -> Any:
        one = get(by, s)
        return take((n > 0) & (one != 0), over(x, one), zeros())

    ends = {NO: end_plain, BY_COUNT: end_count, BY_ROOT: end_root, BY_RANKS: end_ranks, BY_GIVEN: end_given}
    return end_plain if op == MAX else ends[divide]


# Rows ------------------------------------------------------------------------------------------------------------


def make_row(index: str, keep: str) -> Any:
    """Return ``is_kept(kept, index, padding, i)`` and ``row_of(so, index, V, status, mark, i)``: a row's number.

    It is -1 unless ``so``, and of a bad id, which is reported as ``mark + i``. Of a type that ends in `KNOWN` none is
    bad.
    """
    get_kept, _ = make_numbers("bool")
    get, _ = make_numbers("int64" if index == "none" else index.removesuffix(KNOWN))
    has_mask, has_padding, plain = keep in ("mask", "both"), keep in ("padding", "both"), index == "none"
    checked = not index.endswith(KNOWN)

    @device
    def is_kept(kept: int, index: int, padding: int, i: int) -> Any:
        so = True
        if has_mask:
            so = so & (get_kept(kept, i) != 0)
        if has_padding:
            so = so & (get(index, i) != padding)
        return so

    @device
    def row_of(so: bool, index: int, V: int, status: int, mark: int, i: int) -> Any:
        if plain:
            return i if so else -1
        one = get(index, i)
        if checked and so and (one < 0 or one >= V):
            report(status, mark + i)
            return -1
        return one if so else -1

    return is_kept, row_of


def make_value(form: Any) -> Any:
    """Return ``factors(r, scales, shifts, status)`` of row r, and ``value(w, factors)``: the numbers of its words.

    Codes become ``code * scale + shift``, each operation rounded by itself.
    """
    codes, (get, _) = form.tag.startswith("code"), make_numbers("float32")

    @device
    def factors(r: int, scales: int, shifts: int, status: int) -> Any:
        if codes:
            nothing = status + ZEROS  # of a bad id
            return get(scales if r >= 0 else nothing, max(r, 0)), get(shifts if r >= 0 else nothing, max(r, 0))
        return 0.0, 0.0

    @device
    def value(w: Any, f: Any) -> Any:
        if codes:
            return minus(times(w, f[0]), -f[1])
        return w

    return factors, value


def make_more(form: Any) -> Any:
    """Return ``more(x, v, i, first, weights)``: x and the numbers of entry i, joined."""
    acc, weights, maxima = acc_of(form.tag), form.weights, form.op == MAX
    (get_weight, _), number = make_numbers(acc), make_number(acc)

    @device
    def weighed(v: Any, i: int, first: int, weights_at: int) -> Any:
        if weights == GIVEN:
            return times(v, get_weight(weights_at, i))
        if weights == RANKS:
            return times(v, number(i - first + 1))
        return v

    @device
    def more(x: Any, v: Any, i: int, first: int, weights_at: int) -> Any:
        if maxima:
            return greater(x, weighed(v, i, first, weights_at))
        return add(x, weighed(v, i, first, weights_at))

    return more


@device
def place_of(source: int, r: int, stride: int, status: int) -> Any:
    """Return where a row begins; of row -1 zeros, which lie in a cache."""
    return source + r * stride if r >= 0 else status + ZEROS


# -0.0 + x is x for every x: as if the sum were begun as a copy of its first row.
_START = {SUM: -0.0, MAX: float("-inf")}


def make_part(form: Any) -> Any:
    """Return the function that joins a word of the entries [begin, end), and says how many were kept."""
    _, _, _, count = make_columns(form.tag, form.width)
    load_all, start = make_load_all(form.tag, form.width), make_constant(acc_of(form.tag), count, _START[form.op])
    is_kept, row_of = make_row(form.ids, form.keep)
    (factors, value), more = make_value(form), make_more(form)

    @device
    def part(
        source: int, stride: int, scales: int, shifts: int, index: int, V: int, kept: int, padding: int, weights: int,
        first: int, begin: int, end: int, status: int, mark: int,
    ) -> Any:  # fmt: skip
        x, n, i = start(), 0, begin
        while i < end:
            # An entry that is not there or not kept is a row of zeros which is not added: no branch between the loads.
            i1, i2, i3 = min(i + 1, end - 1), min(i + 2, end - 1), min(i + 3, end - 1)
            k0, k1 = is_kept(kept, index, padding, i), (i + 1 < end) & is_kept(kept, index, padding, i1)
            k2 = (i + 2 < end) & is_kept(kept, index, padding, i2)
            k3 = (i + 3 < end) & is_kept(kept, index, padding, i3)
            r0, r1 = row_of(k0, index, V, status, mark, i), row_of(k1, index, V, status, mark, i1)
            r2, r3 = row_of(k2, index, V, status, mark, i2), row_of(k3, index, V, status, mark, i3)
            f0, f1 = factors(r0, scales, shifts, status), factors(r1, scales, shifts, status)
            f2, f3 = factors(r2, scales, shifts, status), factors(r3, scales, shifts, status)
            a0, a1 = place_of(source, r0, stride, status), place_of(source, r1, stride, status)
            w = load_all(a0, a1, place_of(source, r2, stride, status), place_of(source, r3, stride, status))
            x = take(k0, more(x, value(w[0], f0), i, first, weights), x)
            x = take(k1, more(x, value(w[1], f1), i1, first, weights), x)
            x = take(k2, more(x, value(w[2], f2), i2, first, weights), x)
            x = take(k3, more(x, value(w[3], f3), i3, first, weights), x)
            n += int(k0) + int(k1) + int(k2) + int(k3)
            i += 4
        return x, n

    return part


def make_join(form: Any) -> Any:
    """Block: (words of a row, parts). A bag of one part is finished here, of others the sums go to ``parts``."""
    _, _, _, count = make_columns(form.tag, form.width)
    acc, cut, masked = acc_of(form.tag), form.cut, form.keep != "all"
    store, _ = make_store(form.out_tag, form.out_width)
    store_part, _ = make_store(acc, form.part_width)
    first_of, stop_of = make_bounds(form.bounds)
    bag_of, part_of, slot_of = make_parts(form.bounds, cut)
    width = form.width
    part, end = make_part(form), make_end(acc, count, form.op, form.divide)
    each, out_each = count * (SIZES[acc] // 8), count * (SIZES[form.out_tag] // 8)

    def join(
        source: int, stride: int, gap: int, scales: int, shifts: int, index: int, V: int, offsets: int, counts: int,
        T: int, kept: int, padding: int, weights: int, by: int, parts: int, out: int, out_stride: int, S: int,
        groups: int, W: int, status: int, mark: int,
    ) -> None:  # fmt: skip
        g, c = block_x() * threads_y() + thread_y(), block_y() * threads_x() + thread_x()
        if g >= groups or c >= W:
            return
        s = bag_of(offsets, T, S, g)
        first, stop, k = first_of(offsets, T, s), stop_of(offsets, counts, T, s), part_of(offsets, T, S, g, s)
        begin = first + k * cut
        if k > 0 and begin >= stop:
            return
        last = min(stop, begin + cut) if cut else stop
        here = source + s * gap + c * width
        x, n = part(here, stride, scales, shifts, index, V, kept, padding, weights, first, begin, last, status, mark)
        if cut > 0 and stop - first > cut:
            store_part(parts + (slot_of(offsets, T, s, k) * W + c) * each, x)
        else:
            store(out + s * out_stride + c * out_each, end(x, n if masked else stop - first, s, by))

    return join


class Finish(NamedTuple):
    """What is known when the kernel is made that adds up parts."""

    acc: str
    width: int
    bounds: str
    cut: int
    op: str
    divide: str
    out_tag: str
    out_width: int

    def __str__(self) -> str:
        return "_".join(map(str, self))


def make_finish(form: Any) -> Any:
    """Bags of several parts: these added in their order. Block: (words of a row of parts, bags).

    Between offsets group j - 1 does it whose bag's second part has the number j; so no list of long bags is made.
    """
    (load, _, _, count), load_all = make_columns(form.acc, form.width), make_load_all(form.acc, form.width)
    store, _ = make_store(form.out_tag, form.out_width)
    first_of, stop_of = make_bounds(form.bounds)
    bag_of, part_of, slot_of = make_parts(form.bounds, form.cut)
    end, single = make_end(form.acc, count, form.op, form.divide), form.acc == "float32"
    start, by_rows = make_constant("float64", count, _START[form.op]), form.bounds.startswith("rows")
    cut, each, out_each, maxima = form.cut, form.width, count * (SIZES[form.out_tag] // 8), form.op == MAX

    @device
    def more(so: bool, x: Any, y: Any) -> Any:
        return take(so, greater(x, doubled(y)) if maxima else add(x, doubled(y)), x)

    @device
    def rounded(x: Any) -> Any:
        if single:
            return singled(x)
        return x

    def finish(
        offsets: int, counts: int, T: int, by: int, parts: int, out: int, out_stride: int, S: int, groups: int, W: int
    ) -> None:  # fmt: skip
        g, c = block_x() * threads_y() + thread_y(), block_y() * threads_x() + thread_x()
        if g >= groups or c >= W:
            return
        s = g if by_rows else bag_of(offsets, T, S, S + g)
        first, stop = first_of(offsets, T, s), stop_of(offsets, counts, T, s)
        if stop - first <= cut or (not by_rows and part_of(offsets, T, S, S + g, s) != 1):
            return
        # The first part's slot, and those of the others, which are as far apart as that of the second from the third.
        K, step, apart = per_bag(stop - first, cut), W * each, slot_of(offsets, T, s, 2) - slot_of(offsets, T, s, 1)
        at, next_ = parts + c * each + slot_of(offsets, T, s, 1) * step, apart * step
        x, k = more(True, start(), load(parts + c * each + slot_of(offsets, T, s, 0) * step)), 1
        while k + 4 <= K:
            y = load_all(at, at + next_, at + 2 * next_, at + 3 * next_)
            x = more(True, more(True, more(True, more(True, x, y[0]), y[1]), y[2]), y[3])
            at, k = at + 4 * next_, k + 4
        while k < K:
            y0, y1 = load(at), load(at + next_ if k + 1 < K else at)
            x = more(k + 1 < K, more(True, x, y0), y1)
            at, k = at + 2 * next_, k + 2
        store(out + s * out_stride + c * out_each, end(rounded(x), stop - first, s, by))

    return finish
