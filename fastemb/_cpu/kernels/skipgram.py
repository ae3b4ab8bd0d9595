"""Kernels of word vectors by negative sampling: words kept by chance, windows, and batches of them trained by a team.

Chance is splitmix64 of a counter: no call of these kernels depends on another but by its words and its tables. What
becomes of a window is in ``skipgram_step.py``. Windows are trained ring by ring: of all words of a block first those
around that are near, then those further away. A batch is so many words that stand far apart, and has four phases:

``PLAN``, by words: the words around, and those that are drawn.
``SCORE``, by slabs: what a slab's columns add to the products of all pairs, from the rows as they are before the batch.
``PULL``, by words: how far the pairs are pulled, by the sums of all slabs.
``MOVE``, by slabs: the columns of a slab moved, window by window, each from the rows as the one before has left them.

So a row's columns are changed by one thread alone, in an order that the words decide, and how a product is added up
does not depend on who adds it: any number of threads gives the same bits.
"""

from typing import Any, NamedTuple

import numpy as np

from .intrinsics import add_atomic, load_atomic, relax, swap_atomic
from .jit import inlined, kernel, part
from .skipgram_step import TILE, Arrays, Task, fetch_targets, find_pulls, move, score

__all__ = [
    "END",
    "PHASES",
    "TILE",
    "Arrays",
    "Block",
    "Sweep",
    "Task",
    "find_windows",
    "keep_words",
    "reaching",
    "train",
]

END = -1  # between two sentences, in place of a word
PLAN, SCORE, PULL, MOVE, PHASES = range(5)
AHEAD = 2  # words whose rows are asked for while one is scored
CONTROL = 64  # bytes between two numbers that threads write, so that these lie in lines of their own
_PATIENCE = 4000  # looks at what others do before the processor is offered to them

_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


class Block(NamedTuple):
    """The words that are kept of a block, and what is trained of them.

    Between, in front of and behind the sentences of ``words`` stands `END`. ``reaches`` (n, 2) has for each how far its
    window reaches before and behind it, ``places`` begins with those whose windows have words in a ring.
    """

    words: Any
    reaches: Any
    places: Any


class Sweep(NamedTuple):
    """How the first ``total`` places of a block are trained, on one ``ring`` around them.

    They are cut into runs of ``run`` places; a batch has every run whose number leaves the same rest when it is divided
    by ``batches``.
    """

    ring: int
    total: int
    batches: int
    run: int


# Chance ----------------------------------------------------------------------------------------------------------


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


@kernel
def find_windows(block: Any, n: int, window: int, seed: Any) -> int:
    """Draw how far the windows of ``n`` words reach, none out of its sentence; return how many have words in them."""
    count = end = 0
    for i in range(1, n - 1):
        if block.words[i] < 0:
            end = i
        drawn = 1 + below(mixed(mixed(seed + np.uint64(i) * _GOLDEN)), window)
        block.reaches[i, 0] = min(drawn, max(0, i - end - 1))
        block.reaches[i, 1] = drawn
    end = n - 1
    for i in range(n - 2, 0, -1):
        if block.words[i] < 0:
            end = i
        block.reaches[i, 1] = min(block.reaches[i, 1], max(0, end - i - 1))
    for i in range(1, n - 1):
        block.places[count] = i
        count += max(block.reaches[i, 0], block.reaches[i, 1]) > 0
    return count


@kernel
def reaching(block: Any, m: int, beyond: int) -> int:
    """Keep of the first ``m`` places those whose windows reach ``beyond`` so many words; return how many these are."""
    count = 0
    for k in range(m):
        i = block.places[k]
        block.places[count] = i
        count += max(block.reaches[i, 0], block.reaches[i, 1]) > beyond
    return count


# A batch ---------------------------------------------------------------------------------------------------------


@inlined
def plan(task: Any, arrays: Any, block: Any, i: int, w: int, seed: Any, ring: int) -> None:
    """Find the words of a ring around word ``i``, and draw those that it is held against.

    Where each pair has words of its own they are drawn for one word around after another.
    """
    C, T, near, far = 0, task.negatives + 1, task.breadth * ring, task.breadth * (ring + 1)
    for k in range(near + 1, min(far, block.reaches[i, 0]) + 1):
        arrays.contexts[w, C] = block.words[i - k]
        C += 1
    for k in range(near + 1, min(far, block.reaches[i, 1]) + 1):
        arrays.contexts[w, C] = block.words[i + k]
        C += 1
    arrays.counts[w] = C
    slots, before = C, min(near, block.reaches[i, 0]) + min(near, block.reaches[i, 1])
    if task.shared:
        slots, before = 1, ring
    chance = mixed(seed + np.uint64(i) * _GOLDEN) + np.uint64(before * task.negatives) * _GOLDEN
    for slot in range(slots):
        arrays.targets[w, slot, 0] = block.words[i]
        for t in range(1, T):
            chance += _GOLDEN
            arrays.targets[w, slot, t] = drawn(arrays.alias, mixed(chance))
        for t in range(T, arrays.targets.shape[2]):
            arrays.targets[w, slot, t] = block.words[i]  # of a tile that is not full: never pulled


@inlined
def size_of(sweep: Any, batch: int) -> int:
    """Return how many words a batch has."""
    runs = (sweep.total + sweep.run - 1) // sweep.run
    size: int = (runs - batch + sweep.batches - 1) // sweep.batches * sweep.run
    if (runs - 1 - batch) % sweep.batches == 0:  # it has the last run, which may be shorter
        size -= runs * sweep.run - sweep.total
    return size


@part
def plan_part(task: Any, arrays: Any, block: Any, sweep: Any, batch: int, share: Any, seed: Any) -> None:
    """Plan the part ``share[0]`` of ``share[1]`` of a batch."""
    k, parts = share
    count, run = size_of(sweep, batch), sweep.run
    first, stop = count * k // parts, count * (k + 1) // parts
    place = (batch + first // run * sweep.batches) * run + first % run
    for w in range(first, stop):
        if w > first and w % run == 0:
            place += (sweep.batches - 1) * run
        plan(task, arrays, block, block.places[place], w, seed, sweep.ring)
        place += 1


@part
def run_phase(task: Any, arrays: Any, count: int, phase: int, share: Any, rate: Any) -> None:
    """Do of a phase that comes behind `PLAN` the part ``share[0]`` of ``share[1]``, of a batch of ``count`` words."""
    k, parts = share
    if phase == PULL:
        for w in range(count * k // parts, count * (k + 1) // parts):
            find_pulls(task, arrays, w, rate)
        return
    low, high = task.slabs * k // parts, task.slabs * (k + 1) // parts
    for w in range(count):
        for slab in range(low, high):
            if phase == SCORE:
                fetch_targets(task, arrays, min(w + AHEAD, count - 1), slab)
                score(task, arrays, w, slab)
            else:
                move(task, arrays, w, slab)


@part
def run_part(task: Any, arrays: Any, block: Any, sweep: Any, step: int, share: Any, chances: Any) -> None:
    """Do a part of a step, which is a phase of a batch."""
    batch, phase = step // PHASES, step % PHASES
    if phase == PLAN:
        plan_part(task, arrays, block, sweep, batch, share, chances[0])
    else:
        run_phase(task, arrays, size_of(sweep, batch), phase, share, chances[1])


@kernel
def train(task: Any, arrays: Any, block: Any, sweep: Any, chances: Any, control: int, member: int, team: int) -> None:
    """Train on one ring around words of a block, by the seed and the rate ``chances``, as one of a team.

    Every member makes this call, with a number of its own; but all goes on however late another comes, or if it never
    does. ``control`` is the address of zeros, `CONTROL` bytes for all and for each member: how many parts are done, and
    in how many phases each part was taken by somebody, its own member or one that has come further.
    """
    step = load_atomic(control) // team
    while step < PHASES * sweep.batches:
        if team == 1:
            run_part(task, arrays, block, sweep, step, (0, 1), chances)
            step += 1
            continue
        for k in range(team):
            share = (member + k) % team, team
            taken = control + CONTROL * (share[0] + 1)
            if load_atomic(taken) == step and swap_atomic(taken, step, step + 1):
                run_part(task, arrays, block, sweep, step, share, chances)
                add_atomic(control, 1)
        looks = 0
        while load_atomic(control) < (step + 1) * team:
            looks += 1
            relax(task.pass_on if looks > _PATIENCE else 0)
        step = load_atomic(control) // team
