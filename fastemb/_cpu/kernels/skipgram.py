"""Kernels of word vectors by negative sampling: words kept by chance, windows, and one step of the gradient a window.

A window is a small matrix problem: the rows of C words around (of CBOW their mean) against those of T words, of which
the first is to be found among the others, which are drawn. All rows are float32, padded to whole vectors, and copied
before any of them is changed; so a step is that of the sum over all pairs, also where a word comes twice.

Chance is splitmix64 of a counter: no call of these kernels depends on another but by its words and its tables.
"""

from typing import Any, NamedTuple

import numpy as np

from .jit import inlined, kernel
from .vectors import every, load, store, total

LIMIT, STEPS = 16, 128  # the logistic function is kept from -LIMIT to LIMIT, in so many steps for each unit
TILE = 3  # targets whose sums are held in registers together; what is behind the last target is zeros
END = -1  # between two sentences, in place of a word

_F32, _ZERO = np.float32(0), np.float32(0)
_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


class Task(NamedTuple):
    """What a call trains: both tables by address, rows of ``D`` columns, a multiple of 16, at ``stride`` bytes.

    ``x`` and ``y`` are the addresses of copies of rows, 2 * `window` + 2 and `negatives` + `TILE` of them.
    """

    inputs: int
    outputs: int
    stride: int
    D: int
    x: int
    y: int
    window: int
    negatives: int
    shared: bool
    by_mean: bool


class Arrays(NamedTuple):
    """What a call reads, and where it works.

    ``alias`` (V, 2) has for each word a threshold and another word, ``logistic`` is a table of the function.
    ``contexts`` and ``targets`` hold the addresses of rows, as many as there are copies, and ``pull`` a number for each
    pair of these.
    """

    alias: Any
    logistic: Any
    contexts: Any
    targets: Any
    pull: Any


@inlined
def mixed(x: Any) -> Any:
    """Return 64 bits of chance for a counter."""
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return x ^ (x >> _31)


@inlined
def below(bits: Any, count: int) -> Any:
    """Return a number below ``count`` by the upper half of 64 bits."""
    return np.int64(((bits >> _32) * np.uint64(count)) >> _32)


@inlined
def drawn(alias: Any, bits: Any) -> Any:
    """Return a word by Walker's and Vose's table: one of all, or the other that shares its place."""
    word = below(bits, alias.shape[0])
    if np.uint32(bits) < alias[word, 0]:
        return word
    return np.int64(alias[word, 1])


@kernel
def keep_words(ids: Any, keep: Any, seed: Any, out: Any) -> int:
    """Copy words by chance: each is kept if its 32 bits are not above ``keep`` of it; return how many were written.

    An `END` stands in front and behind all. Those between sentences are kept, but never two of them side by side.
    """
    out[0] = END
    n = 1
    for i in range(ids.shape[0]):
        word = ids[i]
        if word < 0:
            if out[n - 1] >= 0:
                out[n] = END
                n += 1
        elif np.uint32(mixed(seed + np.uint64(i) * _GOLDEN) >> _32) <= keep[word]:
            out[n] = word
            n += 1
    out[n] = END
    return n + 1


@inlined
def copy_rows(task: Any, rows: Any, start: int, stop: int, to: int) -> None:
    """Copy the rows at some addresses, each to the place of its number."""
    for c in range(start, stop):
        row, goal = rows[c], to + c * task.stride
        for j in range(0, task.D, 16):
            store(_F32, goal, j, load(_F32, row, j, _ZERO, _ZERO))


@inlined
def add(row: int, j: int, x: Any) -> None:
    """Add to 16 columns of a row."""
    store(_F32, row, j, load(_F32, row, j, _ZERO, _ZERO) + x)


@inlined
def join(task: Any, arrays: Any, count: int) -> None:
    """Make the mean of the copied contexts one context more, behind the last, whose row is zeros."""
    at = task.x + 2 * task.window * task.stride
    for j in range(0, task.D, 16):
        sums = load(_F32, task.x, j, _ZERO, _ZERO)
        for c in range(1, count):
            sums = sums + load(_F32, task.x + c * task.stride, j, _ZERO, _ZERO)
        store(_F32, at, j, sums / np.float32(count))
        store(_F32, at + task.stride, j, every(_F32, 0))
    arrays.contexts[2 * task.window] = at + task.stride


@inlined
def share(task: Any, arrays: Any, count: int) -> None:
    """Move all contexts as their mean was moved, undivided, as word2vec's program does."""
    for c in range(count):
        for j in range(0, task.D, 16):
            way = load(_F32, arrays.contexts[2 * task.window], j, _ZERO, _ZERO)
            add(arrays.contexts[c], j, way)


@inlined
def logistic_of(table: Any, x: Any) -> Any:
    """Return 1 / (1 + exp(-x)), between two places of a table in a straight line; NaN counts as the least."""
    x = x if x > np.float32(-LIMIT) else np.float32(-LIMIT)
    x = x if x < np.float32(LIMIT) else np.float32(LIMIT)
    place = (x + np.float32(LIMIT)) * np.float32(STEPS)
    i = np.int64(place)
    low = table[i]
    return low + (table[i + 1] - low) * (place - np.float32(i))


@inlined
def pull_of(arrays: Any, t: int, T: int, score: Any, rate: Any) -> Any:
    """Return how far target ``t`` is pulled, by its score: the gradient times the rate.

    The first is the word that is to be found. It is none of the others, however often it is drawn.
    """
    if t == 0:
        return (np.float32(1) - logistic_of(arrays.logistic, score)) * rate
    if t >= T or arrays.targets[t] == arrays.targets[0]:
        return _ZERO
    return -logistic_of(arrays.logistic, score) * rate


@inlined
def find_pull(task: Any, arrays: Any, c: int, t: int, T: int, rate: Any) -> None:
    """Multiply the row of context ``c`` with those of `TILE` targets from ``t`` on: how far each is pulled."""
    x, y, stride = task.x + c * task.stride, task.y + t * task.stride, task.stride
    one = two = three = every(_F32, 0)
    for j in range(0, task.D, 16):
        here = load(_F32, x, j, _ZERO, _ZERO)
        one = one + here * load(_F32, y, j, _ZERO, _ZERO)
        two = two + here * load(_F32, y + stride, j, _ZERO, _ZERO)
        three = three + here * load(_F32, y + 2 * stride, j, _ZERO, _ZERO)
    at = c * arrays.targets.shape[0] + t
    arrays.pull[at] = pull_of(arrays, t, T, total(one), rate)
    arrays.pull[at + 1] = pull_of(arrays, t + 1, T, total(two), rate)
    arrays.pull[at + 2] = pull_of(arrays, t + 2, T, total(three), rate)


@inlined
def move(task: Any, arrays: Any, start: int, stop: int, t: int, T: int) -> None:
    """Move contexts, and `TILE` targets from ``t`` on, towards each other."""
    y, stride, apart = task.y + t * task.stride, task.stride, arrays.targets.shape[0]
    for j in range(0, task.D, 16):
        y_one, y_two = load(_F32, y, j, _ZERO, _ZERO), load(_F32, y + stride, j, _ZERO, _ZERO)
        y_three = load(_F32, y + 2 * stride, j, _ZERO, _ZERO)
        one = two = three = every(_F32, 0)
        for c in range(start, stop):
            x, at = load(_F32, task.x + c * stride, j, _ZERO, _ZERO), c * apart + t
            a, b, d = arrays.pull[at], arrays.pull[at + 1], arrays.pull[at + 2]
            one, two, three = one + x * a, two + x * b, three + x * d
            add(arrays.contexts[c], j, y_one * a + y_two * b + y_three * d)
        add(arrays.targets[t], j, one)
        if t + 1 < T:
            add(arrays.targets[t + 1], j, two)
        if t + 2 < T:
            add(arrays.targets[t + 2], j, three)


@inlined
def find_contexts(task: Any, arrays: Any, words: Any, i: int, reach: int) -> int:
    """Find the rows of the words around word ``i`` in its sentence; return how many these are."""
    C = 0
    for way in (-1, 1):
        k = i + way
        while words[k] >= 0 and (k - i) * way <= reach:
            arrays.contexts[C] = task.inputs + words[k] * task.stride
            C += 1
            k += way
    return C


@kernel
def train(task: Any, arrays: Any, words: Any, n: int, seed: Any, rate: Any) -> int:
    """Train on the first ``n`` words, some of which are `END`, as the first and the last; return how many were none."""
    T, count = task.negatives + 1, 0
    for i in range(1, n - 1):
        if words[i] < 0:
            continue
        count += 1
        chance = mixed(seed + np.uint64(i) * _GOLDEN)
        C = find_contexts(task, arrays, words, i, 1 + below(mixed(chance), task.window))
        if C == 0:
            continue
        start, stop, some = 0, C, C if task.shared else 1
        if task.by_mean:
            copy_rows(task, arrays.contexts, 0, C, task.x)
            join(task, arrays, C)
            start, stop, some = 2 * task.window, 2 * task.window + 1, 1
        arrays.targets[0] = task.outputs + words[i] * task.stride
        for first in range(start, stop, some):
            if not task.by_mean:
                copy_rows(task, arrays.contexts, first, first + some, task.x)
            for t in range(1, T):
                chance += _GOLDEN
                arrays.targets[t] = task.outputs + drawn(arrays.alias, mixed(chance)) * task.stride
            copy_rows(task, arrays.targets, 0, T, task.y)
            for t in range(0, T, TILE):
                for c in range(first, first + some):
                    find_pull(task, arrays, c, t, T, rate)
            for t in range(0, T, TILE):
                move(task, arrays, first, first + some, t, T)
        if task.by_mean:
            share(task, arrays, C)
    return count
