"""Kernels of word vectors by negative sampling: words kept by chance, windows, and batches of them trained by a team.

Chance is splitmix64 of a counter: no call of these kernels depends on another but by its words and its tables. What
becomes of a window is in ``skipgram_step.py``. A batch is so many words one after another, and has four phases:

``PLAN``, by words: the windows, and the words that are drawn.
``SCORE``, by slabs: what a slab's columns add to the products of all pairs, from the rows as they are before the batch.
``PULL``, by words: how far the pairs are pulled, by the sums of all slabs.
``MOVE``, by slabs: the columns of a slab moved, window by window, each from the rows as the one before has left them.

So a row's columns are changed by one thread alone, in the order of the texts, and how a product is added up does not
depend on who adds it: any number of threads gives the same bits.
"""

from typing import Any

import numpy as np

from .intrinsics import add_atomic, load_atomic, relax, swap_atomic
from .jit import inlined, kernel, part
from .skipgram_step import TILE, Arrays, Task, fetch_targets, find_pulls, move, score

__all__ = ["END", "PHASES", "TILE", "Arrays", "Task", "keep_words", "train"]

END = -1  # between two sentences, in place of a word
PLAN, SCORE, PULL, MOVE, PHASES = range(5)
AHEAD = 2  # words whose rows are asked for while one is scored
CONTROL = 64  # bytes between two numbers that threads write, so that these lie in lines of their own
_PATIENCE = 4000  # looks at what others do before the processor is offered to them

_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


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


# A batch ---------------------------------------------------------------------------------------------------------


@inlined
def plan(task: Any, arrays: Any, words: Any, i: int, w: int, seed: Any) -> None:
    """Find the words around word ``i`` in its sentence, and draw those that it is held against.

    Where each pair has words of its own they are drawn for one word around after another.
    """
    C, T = 0, task.negatives + 1
    chance = mixed(seed + np.uint64(i) * _GOLDEN)
    reach = 1 + below(mixed(chance), task.window)
    for way in (-1, 1):
        k = i + way
        while words[i] >= 0 and words[k] >= 0 and (k - i) * way <= reach:
            arrays.contexts[w, C] = words[k]
            C += 1
            k += way
    arrays.counts[w] = C
    slots = min(C, 1) if task.shared else C
    for slot in range(slots):
        arrays.targets[w, slot, 0] = words[i]
        for t in range(1, T):
            chance += _GOLDEN
            arrays.targets[w, slot, t] = drawn(arrays.alias, mixed(chance))
        for t in range(T, arrays.targets.shape[2]):
            arrays.targets[w, slot, t] = words[i]  # of a tile that is not full: never pulled


@part
def run_part(task: Any, arrays: Any, words: Any, phase: int, place: Any, share: Any, chances: Any) -> None:
    """Do of a phase of the batch from word ``place[0]`` to ``place[1]`` the part ``share[0]`` of ``share[1]``."""
    first, stop = place
    seed, rate = chances
    k, parts = share
    if phase in (PLAN, PULL):
        for i in range(first + (stop - first) * k // parts, first + (stop - first) * (k + 1) // parts):
            if phase == PLAN:
                plan(task, arrays, words, i, i - first, seed)
            else:
                find_pulls(task, arrays, i - first, rate)
        return
    low, high = task.slabs * k // parts, task.slabs * (k + 1) // parts
    for i in range(first, stop):
        for slab in range(low, high):
            if arrays.counts[i - first] == 0:
                continue
            if phase == SCORE:
                fetch_targets(task, arrays, min(i + AHEAD, stop - 1) - first, slab)
                score(task, arrays, i - first, slab)
            else:
                move(task, arrays, i - first, slab)


@kernel
def train(
    task: Any, arrays: Any, words: Any, n: int, seed: Any, rate: Any, control: int, member: int, team: int
) -> None:
    """Train on the first ``n`` words, some of which are `END`, as the first and the last; as one of a team.

    Every member makes this call, with a number of its own; but all goes on however late another comes, or if it never
    does. ``control`` is the address of zeros, `CONTROL` bytes for all and for each member: how many parts are done, and
    in how many phases each part was taken by somebody, its own member or one that has come further.
    """
    whole = PHASES * ((n - 2 + task.batch - 1) // task.batch)
    step = load_atomic(control) // team
    while step < whole:
        first = 1 + step // PHASES * task.batch
        place = first, min(first + task.batch, n - 1)
        if team == 1:
            run_part(task, arrays, words, step % PHASES, place, (0, 1), (seed, rate))
            step += 1
            continue
        for k in range(team):
            share = (member + k) % team, team
            taken = control + CONTROL * (share[0] + 1)
            if load_atomic(taken) == step and swap_atomic(taken, step, step + 1):
                run_part(task, arrays, words, step % PHASES, place, share, (seed, rate))
                add_atomic(control, 1)
        looks = 0
        while load_atomic(control) < (step + 1) * team:
            looks += 1
            relax(task.pass_on if looks > _PATIENCE else 0)
        step = load_atomic(control) // team
