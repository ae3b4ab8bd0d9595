"""Parts of kernels of word vectors by negative sampling: one step of the gradient for a window.

A window, or a ring of it, is a small matrix problem: the rows of C words around (of CBOW their mean) against those of T
words, its targets, of which the first is to be found among the others, which are drawn. If each pair has words drawn
for itself, it is C such problems, its *slots*, of one word around each.

All rows are float32. A table lies in memory slab by slab, each of which holds some of the columns of all rows, whole
vectors of them; in every part below a row is the part of it that lies in a slab. ``pull`` and ``part`` have a tile of
four numbers for each three targets, of which the last means nothing.
"""

from typing import Any, NamedTuple

import numpy as np

from .intrinsics import load_id, load_one, store_id, store_one
from .jit import inlined
from .vectors import above, every, fetch_16, load, store, store_totals
from .vectors import below as smaller

TILE = 3  # targets whose sums are held in registers together
HALVINGS = 5  # of the argument of the logistic function, and how often its exponential is squared

_I64 = np.int64(0)
_F32, _ZERO, _ONE, _TWO = np.float32(0), np.float32(0), np.float32(1), np.float32(2)
_LIMIT, _SCALE = np.float32(0.5), np.float32(-1 / 2**HALVINGS)
_SERIES = tuple(np.float32(1 / divisor) for divisor in (120, 24, 6, 2, 1))  # of exp(x) - 1 from behind: 1 / n!


class Task(NamedTuple):
    """Two tables of ``V`` rows by their addresses, in ``slabs`` of ``width`` columns, of which the last has fewer.

    ``pull`` is the address of ``pairs`` float32 numbers for each word of a ``batch``, ``part`` of as many for each
    slab; ``rows`` that of ``room`` addresses for each slab, and ``means`` of a row for each word of a
    batch, and one more. A ring of a window is ``breadth`` words broad.
    """

    inputs: int
    outputs: int
    V: int
    D: int
    slabs: int
    width: int
    pull: int
    part: int
    rows: int
    means: int
    room: int
    pairs: int
    batch: int
    breadth: int
    negatives: int
    shared: bool
    by_mean: bool
    pass_on: int


class Arrays(NamedTuple):
    """What a call reads, and where it works.

    ``alias`` (V, 2) has for each word a threshold and another word. For each word of a batch there are ``contexts``,
    how many these are by ``counts``, and for each slot of it ``targets``, a multiple of `TILE`.
    """

    alias: Any
    contexts: Any
    counts: Any
    targets: Any


@inlined
def columns(task: Any, slab: int) -> int:
    """Return how many columns a slab has."""
    count: int = min(task.width, task.D - slab * task.width)
    return count


@inlined
def row(task: Any, table: int, slab: int, word: int) -> int:
    """Return the address of a row of a table."""
    at: int = table + 4 * (slab * task.V * task.width + word * columns(task, slab))
    return at


@inlined
def add(row: int, j: int, x: Any) -> None:
    """Add to 16 columns of a row."""
    store(_F32, row, j, load(_F32, row, j, _ZERO, _ZERO) + x)


@inlined
def mean_row(task: Any, w: int, slab: int) -> int:
    """Return the address of the mean of the rows around word ``w`` of a batch; behind the last is how one is moved."""
    at: int = task.means + 4 * task.width * ((task.batch + 1) * slab + w)
    return at


@inlined
def find_rows(task: Any, arrays: Any, w: int, slab: int) -> int:
    """Put down the addresses of the rows around a word, and return where."""
    rows: int = task.rows + 8 * task.room * slab
    count = arrays.counts[w]  # looked up once, so that the loop becomes vectors: else all takes half as long again
    for c in range(count):
        store_id(_I64, rows, c, row(task, task.inputs, slab, arrays.contexts[w, c]))
    if task.by_mean:
        store_id(_I64, rows, count, mean_row(task, w, slab))
    return rows


@inlined
def average(task: Any, arrays: Any, w: int, slab: int, rows: int) -> None:
    """Write the mean of some rows."""
    for j in range(0, columns(task, slab), 16):
        sums = every(_F32, 0)
        for c in range(arrays.counts[w]):
            sums = sums + load(_F32, load_id(_I64, rows, c), j, _ZERO, _ZERO)
        store(_F32, mean_row(task, w, slab), j, sums / np.float32(arrays.counts[w]))


@inlined
def tiles(arrays: Any) -> int:
    """Return how many numbers a word around has in ``pull`` and ``part``: four for each tile of targets."""
    count: int = arrays.targets.shape[2] // TILE * 4
    return count


@inlined
def score_tile(task: Any, arrays: Any, w: int, slot: int, tile: int, slab: int, rows: int, few: int, to: int) -> None:
    """Write the products of some rows with `TILE` targets of a slot."""
    t, D, each = TILE * tile, columns(task, slab), tiles(arrays)
    y_one = row(task, task.outputs, slab, arrays.targets[w, slot, t])
    y_two = row(task, task.outputs, slab, arrays.targets[w, slot, t + 1])
    y_three = row(task, task.outputs, slab, arrays.targets[w, slot, t + 2])
    for c in range(few):
        x = load_id(_I64, rows, c)
        one = two = three = every(_F32, 0)
        for j in range(0, D, 16):
            here = load(_F32, x, j, _ZERO, _ZERO)
            one = one + here * load(_F32, y_one, j, _ZERO, _ZERO)
            two = two + here * load(_F32, y_two, j, _ZERO, _ZERO)
            three = three + here * load(_F32, y_three, j, _ZERO, _ZERO)
        store_totals(to, c * each + 4 * tile, one, two, three, every(_F32, 0))


@inlined
def fetch_targets(task: Any, arrays: Any, w: int, slab: int) -> None:
    """Ask for the rows that were drawn for word ``w`` of a batch, which hardly ever are in a near cache."""
    D = columns(task, slab)
    for t in range(1, task.negatives + 1):
        for j in range(0, D, 16):
            fetch_16(_F32, row(task, task.outputs, slab, arrays.targets[w, 0, t]), j)


@inlined
def score(task: Any, arrays: Any, w: int, slab: int) -> None:
    """Write what a slab adds to the products of word ``w`` of a batch, which has words around it."""
    rows, count = find_rows(task, arrays, w, slab), arrays.counts[w]
    to = task.part + 4 * task.pairs * (slab * task.batch + w)
    slots, some = (1, count) if task.shared else (count, 1)
    if task.by_mean:
        average(task, arrays, w, slab, rows)
        rows, some = rows + 8 * count, 1
    for slot in range(slots):
        for tile in range(arrays.targets.shape[2] // TILE):
            at = to + 4 * slot * tiles(arrays)
            score_tile(task, arrays, w, slot, tile, slab, rows + 8 * slot, some, at)


@inlined
def logistic(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)) of 16 lanes; of what is beyond -16 and 16 as of these, and of NaN as of one.

    exp(y) - 1 of y = -x / 32 by its series, and of twice as much by q (q + 2), five times.
    """
    y = smaller(above(every(_F32, -_LIMIT), x * _SCALE), every(_F32, _LIMIT))
    q = every(_F32, _SERIES[0])
    for term in _SERIES[1:]:
        q = q * y + every(_F32, term)
    q = q * y
    two = every(_F32, _TWO)
    for _ in range(HALVINGS):
        q = q * (q + two)
    return every(_F32, _ONE) / (q + two)


@inlined
def find_pulls(task: Any, arrays: Any, w: int, rate: Any) -> None:
    """Write how far the pairs of word ``w`` of a batch are pulled: the gradient times the rate.

    The first target is the word that is to be found. It is none of the others, however often it is drawn.
    """
    count = min(arrays.counts[w], 1) if task.by_mean else arrays.counts[w]
    each, pull = tiles(arrays), task.pull + 4 * task.pairs * w
    for j in range(0, count * each, 16):
        sums = every(_F32, 0)
        for slab in range(task.slabs):
            sums = sums + load(_F32, task.part + 4 * task.pairs * (slab * task.batch + w), j, _ZERO, _ZERO)
        store(_F32, pull, j, logistic(sums) * -rate)
    for slot in range(1 if task.shared else count):
        first, stop = (0, count) if task.shared else (slot, slot + 1)
        for c in range(first, stop):
            store_one(pull, c * each, load_one(pull, c * each) + rate)
        for t in range(1, arrays.targets.shape[2]):
            if arrays.targets[w, slot, t] == arrays.targets[w, slot, 0]:
                for c in range(first, stop):
                    store_one(pull, c * each + t + t // TILE, _ZERO)


@inlined
def move_tile(
    task: Any, arrays: Any, w: int, slot: int, tile: int, slab: int, rows: int, few: int, pull: int, apart: int
) -> None:
    """Move some rows and `TILE` targets of a slot towards each other: rows one after another, then the targets.

    What a row is moved by is added ``apart`` bytes behind it.
    """
    t, D, each = TILE * tile, columns(task, slab), tiles(arrays)
    y_one = row(task, task.outputs, slab, arrays.targets[w, slot, t])
    y_two = row(task, task.outputs, slab, arrays.targets[w, slot, t + 1])
    y_three = row(task, task.outputs, slab, arrays.targets[w, slot, t + 2])
    for j in range(0, D, 16):
        from_one, from_two = load(_F32, y_one, j, _ZERO, _ZERO), load(_F32, y_two, j, _ZERO, _ZERO)
        from_three = load(_F32, y_three, j, _ZERO, _ZERO)
        one = two = three = every(_F32, 0)
        for c in range(few):
            x, place = load_id(_I64, rows, c), c * each + 4 * tile
            here = load(_F32, x, j, _ZERO, _ZERO)
            a, b, d = load_one(pull, place), load_one(pull, place + 1), load_one(pull, place + 2)
            one, two, three = one + here * a, two + here * b, three + here * d
            add(x + apart, j, from_one * a + from_two * b + from_three * d)
        add(y_one, j, one)
        add(y_two, j, two)
        add(y_three, j, three)


@inlined
def move(task: Any, arrays: Any, w: int, slab: int) -> None:
    """Move the columns of a slab by word ``w`` of a batch, which has words around it."""
    rows, count, D = find_rows(task, arrays, w, slab), arrays.counts[w], columns(task, slab)
    pull, way, apart = task.pull + 4 * task.pairs * w, mean_row(task, task.batch, slab), 0
    slots, some = (1, count) if task.shared else (count, 1)
    if task.by_mean:
        for j in range(0, D, 16):
            store(_F32, way, j, every(_F32, 0))
        rows, some, apart = rows + 8 * count, 1, way - mean_row(task, w, slab)
    for slot in range(slots):
        for tile in range(arrays.targets.shape[2] // TILE):
            at = pull + 4 * slot * tiles(arrays)
            move_tile(task, arrays, w, slot, tile, slab, rows + 8 * slot, some, at, apart)
    if task.by_mean:  # all as their mean was moved, undivided, as word2vec's program does
        for c in range(count):
            goal = load_id(_I64, rows, c - count)
            for j in range(0, D, 16):
                add(goal, j, load(_F32, way, j, _ZERO, _ZERO))
