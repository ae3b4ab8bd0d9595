"""Kernels of ``embed``: sums of one row each of up to three tables, normalised, written once.

A part that is missing is a row that changes nothing: -0.0 to add, 1 to multiply by. So there is one kernel, not one
for each choice of parts; such rows stay in the first cache, where reading them costs nothing beside the table.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from .intrinsics import as_lane, fence, load_id, prefetch
from .jit import kernel, part
from .layout import Rows
from .rows import read, write
from .vectors import every, head, load, store, store_head, stream, total

NO_NORM, LAYER, RMS = 0, 1, 2
#: Rows in a piece. The sums of gradients over all rows are cut at every so many.
PIECE = 256

_ID = np.int64(0)  # the tag of ids of positions and segments
# Bytes of rows that are asked for before they are needed; two rows at least, sixteen at most. 1 and 16 KiB are no
# better.
_AHEAD_BYTES = 1 << 12


class Sides(NamedTuple):
    """What is added to the rows of the table, and which of it.

    Row n gets row ``position_ids[n % period]`` of the positions and ``segment_ids[n * step]`` of the segments. ``step``
    is 1 or, where all rows share one segment, 0. Both are addresses of int64. (One flat tuple, since each number that
    Numba takes out of a tuple costs a call 0.2 us, and so does each tuple.)
    """

    element: Any
    positions: int
    positions_stride: int
    position_ids: int
    period: int
    segments: int
    segments_stride: int
    segment_ids: int
    step: int


@part
def positions_of(sides: Any, D: int) -> Rows:
    """Return the table of positions."""
    return Rows(sides.element, sides.positions, sides.positions_stride, 0, D, 0, 0)


@part
def segments_of(sides: Any, D: int) -> Rows:
    """Return the table of segments."""
    return Rows(sides.element, sides.segments, sides.segments_stride, 0, D, 0, 0)


class Norm(NamedTuple):
    """How rows are normalised; ``weight`` and ``bias`` are addresses of D numbers in the type of sums."""

    kind: int
    weight: int
    bias: int
    eps: float


@part
def summed(table: Any, one: int, sides: Any, p: int, s: int, scale: float, j: int, count: int) -> Any:
    """Return ``count`` columns of the sum, from column ``j``."""
    x = read(table, one, j, count) * scale
    x = x + read(positions_of(sides, table.D), p, j, count)
    return x + read(segments_of(sides, table.D), s, j, count)


@part
def fetch_columns(table: Any, one: int, begin: int, end: int) -> None:
    """Ask for columns [begin, end) of a row."""
    row = table.address + one * table.stride
    for line in range(begin * table.bits // 8, end * table.bits // 8, 64):
        prefetch(row + line)


@part
def fill(table: Any, one: int, later: int, sides: Any, p: int, s: int, scale: float, lane: Any, scratch: int) -> Any:
    """Write the sum to the scratch row, zeros up to a multiple of 16; return the sums of its columns and their squares.

    Meanwhile the row ``later`` is asked for.
    """
    D = table.D
    a = b = c = d = every(table.element, 0.0)
    for j in range(0, D - 31, 32):
        fetch_columns(table, later, j, j + 32)
        x = summed(table, one, sides, p, s, scale, j, 16)
        y = summed(table, one, sides, p, s, scale, j + 16, 16)
        store(lane, scratch, j, x)
        store(lane, scratch, j + 16, y)
        a, b, c, d = a + x, b + y, c + x * x, d + y * y
    fetch_columns(table, later, D & ~31, D)
    for j in range(D & ~31, D, 16):
        count = D - j if D - j < 16 else 16
        x = head(summed(table, one, sides, p, s, scale, j, count), count)
        store(lane, scratch, j, x)
        a, c = a + x, c + x * x
    return total(a + b), total(c + d)


@part
def spread(lane: Any, scratch: int, D: int, mean: Any) -> Any:
    """Return the sums over the columns of ``x - mean`` and of its square."""
    a = b = every(lane, 0.0)
    for j in range(0, D, 16):
        x = head(load(lane, scratch, j, np.float32(0), np.float32(0)) - mean, D - j)
        a, b = a + x, b + x * x
    return total(a), total(b)


@part
def inverse_root(x: float) -> float:
    """Return ``1 / sqrt(x)``; of 0 infinity, where Numba would raise an error."""
    return np.inf if x == 0.0 else 1.0 / sqrt(x)


@part
def statistics(lane: Any, scratch: int, D: int, sums: Any, norm: Any) -> Any:
    """Return what to subtract from the scratch row, twice, and what to multiply it by.

    The mean of the squares less the square of the mean is as good as any formula while the mean is small beside the
    spread. Where it is not, a second pass corrects both. (Chan, Golub, LeVeque 1983: the corrected two-pass algorithm.)
    """
    mean, rest, squares = sums[0] / D, 0.0, sums[1] / D
    if norm.kind == RMS:
        return as_lane(lane, 0.0), as_lane(lane, 0.0), as_lane(lane, inverse_root(squares + norm.eps))
    variance = squares - mean * mean
    if not mean * mean <= variance < np.inf:
        mean = np.float64(as_lane(lane, mean))
        pair = spread(lane, scratch, D, as_lane(lane, mean))
        rest = pair[0] / D
        variance = pair[1] / D - rest * rest
        variance = 0.0 if variance < 0.0 else variance
    return as_lane(lane, mean), as_lane(lane, rest), as_lane(lane, inverse_root(variance + norm.eps))


@part
def finished(lane: Any, scratch: int, norm: Any, moments: Any, j: int) -> Any:
    """Return 16 columns of the result. All rows of the scratch go on to a multiple of 16 columns and 16 more."""
    zero = np.float32(0)
    x = load(lane, scratch, j, zero, zero)
    if norm.kind:
        x = ((x - moments[0]) - moments[1]) * moments[2] * load(lane, norm.weight, j, zero, zero)
        x = x + load(lane, norm.bias, j, zero, zero)
    return x


@part
def emit(lane: Any, scratch: int, norm: Any, moments: Any, out: Any, n: int, past: bool) -> None:
    """Write row n of the result; if ``past``, whole cache lines past the caches and the rest plainly."""
    row, D, size = out.address + n * out.stride, out.D, out.bits // 8
    first = last = 0
    if past:
        first = (-row & 63) // size
        first = first if first < D else D
        lines = 64 // size if size < 4 else 16
        last = first + (D - first) // lines * lines
        for j in range(0, first, 16):
            count = first - j if first - j < 16 else 16
            store_head(out.element, row, j, count, finished(lane, scratch, norm, moments, j))
        for j in range(first, last, 16):
            stream(out.element, row, j, finished(lane, scratch, norm, moments, j))
    for j in range(last, D, 16):
        x = finished(lane, scratch, norm, moments, j)
        if j + 16 <= D:
            store(out.element, row, j, x)
        else:
            store_head(out.element, row, j, D - j, x)


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
    table: Any, ids: Any, sides: Any, scale: float, norm: Any, out: Any, scratch: int, past: bool,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Write the rows of places [start, stop).

    Place ``t * repeats + b`` is row ``b * period + t``: all rows that share a position follow one another, and its row
    stays in the first cache.
    """
    period, lane = sides.period, as_lane(table.element, 0)
    repeats = ids.N // period
    t, b = start // repeats, start % repeats
    ahead = max(2, min(16, _AHEAD_BYTES * 8 // (table.bits * table.D)))
    next_t, next_b = (start + ahead) // repeats, (start + ahead) % repeats
    factor = as_lane(table.element, scale)
    for k in range(start, stop):
        n = b * period + t
        one = load_id(ids.index, ids.address, n)
        later = one
        if k + ahead < stop:
            later = load_id(ids.index, ids.address, next_b * period + next_t)
            if past:
                fetch_ends(out, next_b * period + next_t)
        p, s = load_id(_ID, sides.position_ids, t), load_id(_ID, sides.segment_ids, n * sides.step)
        sums = fill(table, one, later, sides, p, s, factor, lane, scratch)
        moments = (lane, lane, lane)
        if norm.kind:
            moments = statistics(lane, scratch, table.D, sums, norm)
        emit(lane, scratch, norm, moments, out, n, past)
        t, b = step(t, b, repeats)
        next_t, next_b = step(next_t, next_b, repeats)
    if past:
        fence()


@part
def grad_sums(
    table: Any, norm: Any, grad: Any, n: int, moments: Any, lane: Any, scratch: int, weight: int, bias: int
) -> Any:
    """Turn the scratch row into y, the normalised one; return the sums of ``g`` and ``g * y``, g = grad * weight.

    What the row adds to the gradients of weight and bias is added to the rows at ``weight`` and ``bias``.
    """
    zero, a, b = np.float32(0), every(table.element, 0.0), every(table.element, 0.0)
    for j in range(0, table.D, 16):
        count = table.D - j if table.D - j < 16 else 16
        x = load(lane, scratch, j, zero, zero)
        y = head(((x - moments[0]) - moments[1]) * moments[2], count)
        store(lane, scratch, j, y)
        g = read(grad, n, j, count)
        store(lane, weight, j, load(lane, weight, j, zero, zero) + g * y)
        store(lane, bias, j, load(lane, bias, j, zero, zero) + g)
        g = g * load(lane, norm.weight, j, zero, zero)
        a, b = a + g, b + g * y
    return total(a), total(b)


@part
def write_grad(norm: Any, grad: Any, n: int, means: Any, factor: Any, lane: Any, scratch: int, out: Any) -> None:
    """Write row n of the gradient of the sums; the scratch row holds y."""
    zero = np.float32(0)
    for j in range(0, out.D, 16):
        count = out.D - j if out.D - j < 16 else 16
        y = load(lane, scratch, j, zero, zero)
        g = read(grad, n, j, count) * load(lane, norm.weight, j, zero, zero)
        write(out, n, j, count, ((g - means[0]) - y * means[1]) * factor)


@kernel
def norm_grads(
    table: Any, ids: Any, sides: Any, scale: float, norm: Any, grad: Any, out: Any, pieces: Any, bias: int,
    scratch: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Write the gradients of the sums of the pieces [start, stop), of `PIECE` rows each, in the order of rows.

    Row k of ``pieces`` gets what the rows of piece k add to the gradient of the weight, and the row ``bias`` bytes
    later to that of the bias. They are zeros before, and go on to a multiple of 16 columns.
    """
    lane = as_lane(table.element, 0)
    factor = as_lane(table.element, scale)
    for k in range(start, stop):
        sums = pieces.address + k * pieces.stride
        for n in range(k * PIECE, min(ids.N, (k + 1) * PIECE)):
            one, later = load_id(ids.index, ids.address, n), load_id(ids.index, ids.address, min(n + 2, ids.N - 1))
            p, s = load_id(_ID, sides.position_ids, n % sides.period), load_id(_ID, sides.segment_ids, n * sides.step)
            row = fill(table, one, later, sides, p, s, factor, lane, scratch)
            moments = statistics(lane, scratch, table.D, row, norm)
            g, gy = grad_sums(table, norm, grad, n, moments, lane, scratch, sums, sums + bias)
            means = as_lane(lane, g / table.D if norm.kind == LAYER else 0.0), as_lane(lane, gy / table.D)
            write_grad(norm, grad, n, means, moments[2], lane, scratch, out)


@kernel
def add_pieces(pieces: Any, P: int, out: Any) -> None:
    """Write the sum of P rows, added in order, to row 0; they go on to a multiple of 16 columns."""
    zero = np.float32(0)
    for j in range(0, out.D, 16):
        x = load(pieces.element, pieces.address, j, zero, zero)
        for k in range(1, P):
            x = x + load(pieces.element, pieces.address + k * pieces.stride, j, zero, zero)
        write(out, 0, j, min(16, out.D - j), x)
