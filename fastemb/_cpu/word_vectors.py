"""The CPU's way with word vectors: two tables whose rows move towards each other, a block of words at a time."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import numpy.typing as npt

from .. import _threads
from .arrays import address
from .kernels import skipgram as kernels

Rows = npt.NDArray[np.float32]
LINE = 16  # float32 numbers
_SLABS = ((64, 1), (383, 2), (1535, 4), (1 << 16, 8))  # the most columns that are cut into so many slabs
_ROOM = 1 << 20  # pairs of a batch, at most, but for a single word's
_RUN = 8  # words of a batch that follow each other: what is around them comes out of a near cache
_LEAST = 16  # words of a batch that several threads share


def slabs_of(D: int) -> int:
    """Return into how many slabs columns are cut: what threads can share, and what a single one is slowed down by."""
    return next(slabs for most, slabs in _SLABS if most >= D)


def aligned(size: int) -> Rows:
    """Return zeros from the start of a cache line on."""
    room = np.zeros(size + LINE, np.float32)
    first = -(address(room) // 4) % LINE
    return room[first : first + size]


def _pass_on() -> int:
    """Return the address of the C function that lets another thread have the processor, or 0 where there is none."""
    try:
        library, name = (ctypes.CDLL("kernel32"), "SwitchToThread") if os.name == "nt" else (None, "sched_yield")
        function = getattr(library or ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Table:
    """Rows of float32 as kernels have them: slab by slab, each some columns of all rows, in whole cache lines."""

    def __init__(self, V: int, D: int, width: int) -> None:
        lines = -(-D // LINE) * LINE
        self.memory, self.shape = aligned(V * lines), (V, D)
        cuts = range(0, lines, width)
        self._slabs = [
            self.memory[V * first : V * min(first + width, lines)].reshape(V, -1)[:, : D - first] for first in cuts
        ]

    def write(self, first: int, rows: Rows) -> None:
        """Put rows in their places, from the row ``first`` on."""
        at = 0
        for slab in self._slabs:
            slab[first : first + len(rows)] = rows[:, at : at + slab.shape[1]]
            at += slab.shape[1]

    def read(self) -> Rows:
        """Return a copy of all rows."""
        return np.concatenate(self._slabs, axis=1)


def cut(ring: int, count: int, batch: int, breadth: int) -> kernels.Sweep:
    """Cut so many places into batches.

    A batch is runs of up to `_RUN` words that follow each other, each so far from the next that no word around is in
    windows of two of them from the same side.
    """
    run = batch // -(-batch // _RUN)
    runs = -(-count // run)
    batches = max(-(-2 * breadth // run), -(-runs // (batch // run)))
    return kernels.Sweep(ring, count, min(batches, runs), run)


def _block_of(size: int) -> kernels.Block:
    """Return room for the words of a block."""
    return kernels.Block(np.empty(size, np.int32), np.empty((size, 2), np.int32), np.empty(size, np.int32))


class NegativeSampling:
    """Both tables of a model, and what a step works with.

    Parameters
    ----------
    breadth : int
        How far the first ring of a window reaches, and each behind it, whose words pull at the same drawn rows. That of
        the window, if means do.
    batch : int
        Words whose pairs are scored before any of them moves a row. Fewer where they have very many pairs.

    Attributes
    ----------
    inputs, outputs : Table
        The vectors of words around, and of words to be found, `D` columns; zeros until others are put there.
    """

    def __init__(
        self,
        D: int,
        alias: npt.NDArray[np.uint32],
        window: int,
        negatives: int,
        shared: bool,
        by_mean: bool,
        breadth: int,
        batch: int,
    ) -> None:
        V, T = len(alias), -(-(negatives + 1) // kernels.TILE) * kernels.TILE
        lines, slabs = -(-D // LINE), 1 if by_mean else slabs_of(D)
        width = -(-lines // slabs) * LINE
        slabs = -(-lines * LINE // width)
        pairs = -(-(1 if by_mean else 2 * breadth) * T // kernels.TILE * 4 // LINE) * LINE
        batch = max(1, min(batch, _ROOM // pairs))
        self.inputs, self.outputs = Table(V, D, width), Table(V, D, width)
        pull, part = aligned(batch * pairs), aligned(slabs * batch * pairs)
        room = -(-(2 * breadth + 1) // LINE) * LINE
        rows, means = aligned(2 * slabs * room), aligned(slabs * (batch + 1) * width if by_mean else 0)
        self._alive = pull, part, rows, means
        self._task = kernels.Task(
            inputs=address(self.inputs.memory), outputs=address(self.outputs.memory), V=V, D=lines * LINE, slabs=slabs,
            width=width, pull=address(pull), part=address(part), rows=address(rows), means=address(means), room=room,
            pairs=pairs, batch=batch, breadth=breadth, negatives=negatives, shared=shared or by_mean, by_mean=by_mean,
            pass_on=_pass_on(),
        )  # fmt: skip
        self._arrays = kernels.Arrays(
            alias,
            np.zeros((batch, 2 * breadth), np.int32),
            np.zeros(batch, np.int64),
            np.zeros((batch, 1 if shared or by_mean else 2 * breadth, T), np.int32),
        )
        self._control = np.zeros((2 + slabs) * kernels.CONTROL // 8, np.int64)
        self._window = window
        self._block = _block_of(0)

    def train(
        self, ids: npt.NDArray[np.int32], keep: npt.NDArray[np.uint32], seeds: tuple[np.uint64, np.uint64], rate: float
    ) -> None:
        """Train on the words of a block that chance keeps: on all the rings that are next to them, then the next."""
        if len(self._block.words) < ids.size + 2:
            self._block = _block_of(ids.size + 2)
        n = kernels.keep_words(ids, keep, seeds[0], self._block.words)
        count, ring = kernels.find_windows(self._block, n, self._window, seeds[1]), 0
        while count:
            self._sweep(cut(ring, count, self._task.batch, self._task.breadth), (seeds[1], np.float32(rate)))
            ring += 1
            count = kernels.reaching(self._block, count, ring * self._task.breadth)

    def _sweep(self, sweep: kernels.Sweep, chances: tuple[np.uint64, np.float32]) -> None:
        """Train on one ring around words of the block."""
        team = min(_threads.get_num_threads(), self._task.slabs) if self._task.batch >= _LEAST else 1
        self._control[:] = 0
        control = -(-address(self._control) // kernels.CONTROL) * kernels.CONTROL

        def work(start: int, stop: int) -> None:
            for member in range(start, stop):
                kernels.train(self._task, self._arrays, self._block, sweep, chances, control, member, team)

        _threads.run(work, range(team + 1))
