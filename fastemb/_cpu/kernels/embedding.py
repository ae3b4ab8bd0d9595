"""Kernels of ``embed``: sums of one row each of up to three tables, normalised, written once.

A part that is missing is a row that changes nothing: -0.0 to add, 1 to multiply by. So there is one kernel, not one
for each choice of parts; such rows stay in the first cache, where reading them costs nothing beside the table.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from .intrinsics import as_acc, fence, load_id, prefetch, prefetch_row
from .jit import TUNING, brief, kernel, part
from .layout import Rows
from .lookup import address, first_bad_id, size_tag
from .rows import PIECE, read, write
from .vectors import every, head, load, narrow, store, store_head, stream, total, wide

NO_NORM, LAYER, RMS = 0, 1, 2
_ID = np.int64(0)  # the tag of ids of positions and segments
# Bytes of rows that are asked for before they are needed; two rows at least, sixteen at most. Where they go to the
# second cache alone, more of them help.
_AHEAD_BYTES = 1 << (15 if TUNING.row_locality == 2 else 12)


class Addends(NamedTuple):
    """What is added to the rows of the table, and which of it.

    Row n gets row ``position_ids[n % period]`` of the positions and ``segment_ids[n * step]`` of the segments. ``step``
    is 1 or, where all rows share one segment, 0. Both are addresses of int64. (One flat tuple, since each number that
    Numba takes out of a tuple costs a call 0.2 us, and so does each tuple.)
    """

    dtype_tag: Any
    positions: int
    positions_stride: int
    position_ids: int
    period: int
    segments: int
    segments_stride: int
    segment_ids: int
    step: int


@part
def positions_of(addends: Any, D: int) -> Rows:
    """Return the table of positions."""
    return Rows(addends.dtype_tag, addends.positions, addends.positions_stride, 0, D, 0, 0)


@part
def segments_of(addends: Any, D: int) -> Rows:
    """Return the table of segments."""
    return Rows(addends.dtype_tag, addends.segments, addends.segments_stride, 0, D, 0, 0)


class Norm(NamedTuple):
    """How rows are normalised; ``weight`` and ``bias`` are addresses of D numbers in the type of sums."""

    kind: int
    weight: int
    bias: int
    eps: float


@part
def summed(table: Any, one: int, addends: Any, p: int, s: int, scale: float, j: int, count: int) -> Any:
    """Return ``count`` columns of the sum, from column ``j``."""
    x = read(table, one, j, count) * scale
    x = x + read(positions_of(addends, table.D), p, j, count)
    return x + read(segments_of(addends, table.D), s, j, count)


@part
def fetch_columns(table: Any, one: int, begin: int, end: int) -> None:
    """Ask for columns [begin, end) of a row."""
    row = table.address + one * table.stride
    for line in range(begin * table.bits // 8, end * table.bits // 8, 64):
        prefetch_row(row + line)


@part
def fill(
    table: Any, one: int, later: int, addends: Any, p: int, s: int, scale: float, acc_tag: Any, scratch: int
) -> Any:
    """Write the sum to the scratch row, zeros up to a multiple of 16; return the sums of its columns and their squares.

    Meanwhile the row ``later`` is asked for.
    """
    D = table.D
    a = b = c = d = every(table.dtype_tag, 0.0)
    for j in range(0, D - 31, 32):
        fetch_columns(table, later, j, j + 32)
        x = summed(table, one, addends, p, s, scale, j, 16)
        y = summed(table, one, addends, p, s, scale, j + 16, 16)
        store(acc_tag, scratch, j, x)
        store(acc_tag, scratch, j + 16, y)
        a, b, c, d = a + x, b + y, c + x * x, d + y * y
    fetch_columns(table, later, D & ~31, D)
    for j in range(D & ~31, D, 16):
        count = D - j if D - j < 16 else 16
        x = head(summed(table, one, addends, p, s, scale, j, count), count)
        store(acc_tag, scratch, j, x)
        a, c = a + x, c + x * x
    return total(a + b), total(c + d)


@part
def spread(acc_tag: Any, scratch: int, D: int, mean: Any) -> Any:
    """Return the sums over the columns of ``x - mean`` and of its square."""
    a = b = every(acc_tag, 0.0)
    for j in range(0, D, 16):
        x = head(load(acc_tag, scratch, j, np.float32(0), np.float32(0)) - mean, D - j)
        a, b = a + x, b + x * x
    return total(a), total(b)


@part
def inverse_root(x: float) -> float:
    """Return ``1 / sqrt(x)``; of 0 infinity, where Numba would raise an error."""
    return np.inf if x == 0.0 else 1.0 / sqrt(x)


@part
def statistics(acc_tag: Any, scratch: int, D: int, sums: Any, norm: Any) -> Any:
    """Return what to subtract from the scratch row, twice, and what to multiply it by.

    The mean of the squares less the square of the mean is as good as any formula while the mean is small beside the
    spread. Where it is not, a second pass corrects both. (Chan, Golub, LeVeque 1983: the corrected two-pass algorithm.)
    """
    mean, rest, squares = sums[0] / D, 0.0, sums[1] / D
    if norm.kind == RMS:
        return as_acc(acc_tag, 0.0), as_acc(acc_tag, 0.0), as_acc(acc_tag, inverse_root(squares + norm.eps))
    variance = squares - mean * mean
    if not mean * mean <= variance < np.inf:
        mean = np.float64(as_acc(acc_tag, mean))
        pair = spread(acc_tag, scratch, D, as_acc(acc_tag, mean))
        rest = pair[0] / D
        variance = pair[1] / D - rest * rest
        variance = 0.0 if variance < 0.0 else variance
    return as_acc(acc_tag, mean), as_acc(acc_tag, rest), as_acc(acc_tag, inverse_root(variance + norm.eps))


@part
def finished(acc_tag: Any, scratch: int, norm: Any, moments: Any, j: int) -> Any:
    """Return 16 columns of the result. All rows of the scratch go on to a multiple of 16 columns and 16 more."""
    zero = np.float32(0)
    x = load(acc_tag, scratch, j, zero, zero)
    if norm.kind:
        x = ((x - moments[0]) - moments[1]) * moments[2] * load(acc_tag, norm.weight, j, zero, zero)
        x = x + load(acc_tag, norm.bias, j, zero, zero)
    return x


@part
def emit(acc_tag: Any, scratch: int, norm: Any, moments: Any, out: Any, n: int, nontemporal: bool) -> None:
    """Write row n of the result; if ``nontemporal``, whole cache lines past the caches and the rest plainly."""
    row, D, size = out.address + n * out.stride, out.D, out.bits // 8
    first = last = 0
    if nontemporal:
        first = (-row & 63) // size
        first = first if first < D else D
        lines = 64 // size if size < 4 else 16
        last = first + (D - first) // lines * lines
        for j in range(0, first, 16):
            count = first - j if first - j < 16 else 16
            store_head(out.dtype_tag, row, j, count, finished(acc_tag, scratch, norm, moments, j))
        for j in range(first, last, 16):
            stream(out.dtype_tag, row, j, finished(acc_tag, scratch, norm, moments, j))
    for j in range(last, D, 16):
        x = finished(acc_tag, scratch, norm, moments, j)
        if j + 16 <= D:
            store(out.dtype_tag, row, j, x)
        else:
            store_head(out.dtype_tag, row, j, D - j, x)


@part
def fetch_ends(out: Any, n: int) -> None:
    """Ask for the cache lines that row n shares with what lies around it.

    They get plain stores, which wait for their lines; and all later stores, streamed ones too, wait for them.
    """
    begin = out.address + n * out.stride
    end = begin + out.D * out.bits // 8
    if begin & 63:
        prefetch(begin)
    if end & 63:
        prefetch(end)


@part
def step(t: int, b: int, repeats: int) -> Any:
    """Return the next row in the order of `embed_rows`."""
    b += 1
    return (t, b) if b < repeats else (t + 1, 0)


@kernel
def embed_rows(
    table: Any, ids: Any, addends: Any, scale: float, norm: Any, out: Any, scratch: int, nontemporal: bool,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Write the rows of places [start, stop).

    Place ``t * repeats + b`` is row ``b * period + t``: all rows that share a position follow one another, and its row
    stays in the first cache.
    """
    period, acc_tag = addends.period, as_acc(table.dtype_tag, 0)
    repeats = ids.N // period
    t, b = start // repeats, start % repeats
    ahead = max(2, min(16, _AHEAD_BYTES * 8 // (table.bits * table.D)))
    next_t, next_b = (start + ahead) // repeats, (start + ahead) % repeats
    factor = as_acc(table.dtype_tag, scale)
    for k in range(start, stop):
        n = b * period + t
        one = load_id(ids.id_tag, ids.address, n)
        later = one
        if k + ahead < stop:
            later = load_id(ids.id_tag, ids.address, next_b * period + next_t)
            if nontemporal:
                fetch_ends(out, next_b * period + next_t)
        p, s = load_id(_ID, addends.position_ids, t), load_id(_ID, addends.segment_ids, n * addends.step)
        sums = fill(table, one, later, addends, p, s, factor, acc_tag, scratch)
        moments = (acc_tag, acc_tag, acc_tag)
        if norm.kind:
            moments = statistics(acc_tag, scratch, table.D, sums, norm)
        emit(acc_tag, scratch, norm, moments, out, n, nontemporal)
        t, b = step(t, b, repeats)
        next_t, next_b = step(next_t, next_b, repeats)
    if nontemporal:
        fence()


@part
def lay_row(row: int, values: int, count: int, D: int, rest: Any) -> None:
    """Write ``count`` numbers, none or D of them, to a row of the scratch, and ``rest`` behind them to its end.

    The end is that of `finished`: a multiple of 16 columns and 16 more, within D + 32.
    """
    tag = np.float32(0)
    source, goal = Rows(tag, values, 0, 32, D, 0, 0), Rows(tag, row, 0, 32, D, 0, 0)
    for j in range(count & ~15, D + 17, 16):
        store(tag, row, j, every(tag, rest))
    for j in range(0, count, 16):
        some = count - j if count - j < 16 else 16
        write(goal, 0, j, some, read(source, 0, j, some))


@part
def addends_of(places: Any, positions: Any, segments: Any) -> Addends:
    """Return the addends of a small call, whose ids are not read from addresses."""
    stride = 4 * positions.shape[1]
    return Addends(np.float32(0), address(positions), stride, 0, places.size, address(segments), stride, 0, 0)


@part
def is_bad(ids: Any, V: int) -> bool:
    """Whether one of the ids is none of V rows."""
    return first_bad_id(size_tag(ids), address(ids), ids.size, V) >= 0


@kernel
def embed_small(
    table: Any, ids: Any, places: Any, positions: Any, kinds: Any, segments: Any, weight: Any, bias: Any, kind: int,
    eps: float, out: Any,
) -> int:  # fmt: skip
    """Write the rows of a small call of float32; nonzero: an id is bad, and nothing has been written.

    Arrays are taken as they are. Row n gets the position ``places[n % places.size]``, and the segment ``kinds[n]``, or
    the one that there is. The scratch is three rows: the sums, the weight, the bias.
    """
    tag, N, (V, D) = np.float32(0), ids.size, table.shape
    if is_bad(ids, V) or is_bad(places, len(positions)) or is_bad(kinds, len(segments)):
        return 1
    scratch, size = np.empty(3 * (D + 32), np.float32), 4 * (D + 32)  # made here: in Python it would take 0.3 us
    row = address(scratch)
    if kind:
        lay_row(row + size, address(weight), D, D, np.float32(0.0))
        lay_row(row + 2 * size, address(bias), bias.size, D, np.float32(-0.0))
    norm = Norm(kind, row + size, row + 2 * size, eps)
    source, goal = Rows(tag, address(table), 4 * D, 32, D, 0, 0), Rows(tag, address(out), 4 * D, 32, D, 0, 0)
    addends, each = addends_of(places, positions, segments), min(kinds.size - 1, 1)
    p = 0
    for n in range(N):
        one, later = ids[n], ids[min(n + 4, N - 1)]
        sums = fill(source, one, later, addends, places[p], kinds[n * each], as_acc(tag, 1.0), tag, row)
        moments = (tag, tag, tag)
        if kind:
            moments = statistics(tag, row, D, sums, norm)
        emit(tag, row, norm, moments, goal, n, False)
        p = p + 1 if p + 1 < places.size else 0
    return min(scratch.size, 0)  # 0; Numba frees an array behind its last use, and addresses are none


@brief
def add_positions_small(table: Any, ids: Any, positions: Any, out: Any) -> int:
    """Write the rows of ids, (B, T), with the first T positions added; nonzero: an id is bad, nothing is written."""
    (B, T), (V, D), tag = ids.shape, table.shape, np.float32(0)
    if is_bad(ids, V):
        return 1
    source, goal = Rows(tag, address(table), 4 * D, 32, D, 0, 0), Rows(tag, address(out), 4 * D, 32, D, 0, 0)
    added = Rows(tag, address(positions), 4 * D, 32, D, 0, 0)
    for b in range(B):
        for t in range(T):
            one = ids[b, t]
            fetch_columns(source, ids[b, min(t + 4, T - 1)], 0, D)
            for j in range(0, D, 16):
                count = D - j if D - j < 16 else 16
                write(goal, b * T + t, j, count, read(source, one, j, count) + read(added, t, j, count))
    return 0


@part
def grad_sums(
    table: Any, norm: Any, grad: Any, n: int, moments: Any, acc_tag: Any, scratch: int, weight: int, bias: int
) -> Any:
    """Turn the scratch row into y, the normalised one; return the sums of ``g`` and ``g * y``, g = grad * weight.

    What the row adds to the gradients of weight and bias is added to the rows at ``weight`` and ``bias``.
    """
    zero, a, b = np.float32(0), every(table.dtype_tag, 0.0), every(table.dtype_tag, 0.0)
    for j in range(0, table.D, 16):
        count = table.D - j if table.D - j < 16 else 16
        x = load(acc_tag, scratch, j, zero, zero)
        y = head(((x - moments[0]) - moments[1]) * moments[2], count)
        store(acc_tag, scratch, j, y)
        g = read(grad, n, j, count)
        store(acc_tag, weight, j, load(acc_tag, weight, j, zero, zero) + g * y)
        store(acc_tag, bias, j, load(acc_tag, bias, j, zero, zero) + g)
        g = g * load(acc_tag, norm.weight, j, zero, zero)
        a, b = a + g, b + g * y
    return total(a), total(b)


@part
def write_grad(norm: Any, grad: Any, n: int, means: Any, factor: Any, acc_tag: Any, scratch: int, out: Any) -> None:
    """Write row n of the gradient of the sums; the scratch row holds y."""
    zero = np.float32(0)
    for j in range(0, out.D, 16):
        count = out.D - j if out.D - j < 16 else 16
        y = load(acc_tag, scratch, j, zero, zero)
        g = read(grad, n, j, count) * load(acc_tag, norm.weight, j, zero, zero)
        write(out, n, j, count, ((g - means[0]) - y * means[1]) * factor)


@kernel
def norm_grads(
    table: Any, ids: Any, addends: Any, scale: float, norm: Any, grad: Any, out: Any, partials: Any, bias: int,
    scratch: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Write the gradients of the sums of the pieces [start, stop), of `PIECE` rows each, in the order of rows.

    Row k of ``partials`` gets what the rows of piece k add to the gradient of the weight, and the row ``bias`` bytes
    later to that of the bias. They are zeros before, and go on to a multiple of 16 columns.
    """
    acc_tag = as_acc(table.dtype_tag, 0)
    factor = as_acc(table.dtype_tag, scale)
    for k in range(start, stop):
        sums = partials.address + k * partials.stride
        for n in range(k * PIECE, min(ids.N, (k + 1) * PIECE)):
            one, later = load_id(ids.id_tag, ids.address, n), load_id(ids.id_tag, ids.address, min(n + 2, ids.N - 1))
            p = load_id(_ID, addends.position_ids, n % addends.period)
            s = load_id(_ID, addends.segment_ids, n * addends.step)
            row = fill(table, one, later, addends, p, s, factor, acc_tag, scratch)
            moments = statistics(acc_tag, scratch, table.D, row, norm)
            g, gy = grad_sums(table, norm, grad, n, moments, acc_tag, scratch, sums, sums + bias)
            means = as_acc(acc_tag, g / table.D if norm.kind == LAYER else 0.0), as_acc(acc_tag, gy / table.D)
            write_grad(norm, grad, n, means, moments[2], acc_tag, scratch, out)


@kernel
def norm_grads_small(
    table: Any, ids: Any, places: Any, positions: Any, kinds: Any, segments: Any, weight: Any, kind: int, eps: float,
    grad: Any, out: Any, totals: Any,
) -> int:  # fmt: skip
    """Do as `norm_grads` does with one piece of a small call of float32; nonzero: an id is bad, nothing was written.

    Arrays are as in `embed_small`; the gradients of weight and bias are written to the two rows of ``totals``.
    """
    tag, N, (V, D) = np.float32(0), ids.size, table.shape
    if is_bad(ids, V) or is_bad(places, len(positions)) or is_bad(kinds, len(segments)):
        return 1
    scratch, size = np.empty(4 * (D + 32), np.float32), 4 * (D + 32)
    row = address(scratch)
    of_weight, of_bias = row + 2 * size, row + 3 * size
    lay_row(row + size, address(weight), D, D, np.float32(0.0))
    lay_row(of_weight, row, 0, D, np.float32(0.0))
    lay_row(of_bias, row, 0, D, np.float32(0.0))
    norm, source = Norm(kind, row + size, 0, eps), Rows(tag, address(table), 4 * D, 32, D, 0, 0)
    given, goal = Rows(tag, address(grad), 4 * D, 32, D, 0, 0), Rows(tag, address(out), 4 * D, 32, D, 0, 0)
    addends, each = addends_of(places, positions, segments), min(kinds.size - 1, 1)
    p = 0
    for n in range(N):
        one, later = ids[n], ids[min(n + 2, N - 1)]
        sums = fill(source, one, later, addends, places[p], kinds[n * each], as_acc(tag, 1.0), tag, row)
        moments = statistics(tag, row, D, sums, norm)
        g, gy = grad_sums(source, norm, given, n, moments, tag, row, of_weight, of_bias)
        means = as_acc(tag, g / D if kind == LAYER else 0.0), as_acc(tag, gy / D)
        write_grad(norm, given, n, means, moments[2], tag, row, goal)
        p = p + 1 if p + 1 < places.size else 0
    for j in range(D):
        totals[0, j], totals[1, j] = scratch[2 * (D + 32) + j], scratch[3 * (D + 32) + j]
    return 0


@kernel
def add_partials(partials: Any, P: int, out: Any) -> None:
    """Write the sum of P rows, added in float64 in order, to row 0; they go on to a multiple of 16 columns."""
    zero = np.float32(0)
    for j in range(0, out.D, 16):
        x = wide(load(partials.dtype_tag, partials.address, j, zero, zero))
        for k in range(1, P):
            x = x + wide(load(partials.dtype_tag, partials.address + k * partials.stride, j, zero, zero))
        write(out, 0, j, min(16, out.D - j), narrow(partials.dtype_tag, x))
