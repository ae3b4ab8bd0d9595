"""Words that stand near each other: counted in bounded memory, merged from disk, and shuffled.

C counts pairs in a table. What it has when that is full is sorted and laid on disk as a run; at the end runs are
merged, a stretch of pairs at a time, and each pair goes to a file by chance. An epoch takes the files in an order of
chance, and the pairs of each file, which fit in memory, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._text.compiled import ffi, lib
from .._text.core import _SECRET as SEED
from .._text.train_progress import Show
from .corpus import Corpus

BLOCK = 1 << 18  # words that are counted at a time
UNIT = 2.0**-32  # of the sums
_HALF, _LOWER = np.uint64(32), np.uint64(0xFFFFFFFF)  # the lower word of a pair is in the upper half

PAIR = np.dtype([("row", np.int32), ("column", np.int32), ("count", np.float32)])
Pairs = npt.NDArray[np.void]
Numbers = npt.NDArray[np.uint64]
_SHARE = 8  # of the memory that is given, a stretch and a file have one part in so many
_FILES = 256  # at most, since a process may have few open: of more pairs the files are larger


class Shuffled(NamedTuple):
    """Pairs in files without names, and how many there are."""

    files: list[IO[bytes]]
    size: int

    def epoch(self, chance: np.random.Generator) -> Iterator[Pairs]:
        """Yield all pairs, a file at a time, in an order of chance."""
        for number in chance.permutation(len(self.files)):
            file = self.files[number]
            file.seek(0)
            pairs = np.fromfile(file, PAIR)
            yield pairs[chance.permutation(pairs.size)]

    def close(self) -> None:
        """Give back the disk."""
        for file in self.files:
            file.close()


class Counter:
    """The table of C, and the runs that it has filled."""

    def __init__(self, window: int, memory: int) -> None:
        model = ffi.new("fe_near_model *", {"window": window, "memory": memory // 2, "seed": SEED})
        out = ffi.new("fe_near **")
        _check(lib.fe_near_new(model, out))
        self._handle = ffi.gc(out[0], lib.fe_near_free)
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the counter lives)
        self.sizes: list[int] = []  # of the runs, one behind the other in the file

    def add(self, ids: npt.NDArray[np.int32]) -> None:
        """Count the pairs of some sentences."""
        words, done = ffi.from_buffer("int32_t[]", ids), ffi.new("int64_t *")
        while lib.fe_near_add(self._handle, words, done[0], ids.size, done) == lib.FE_FULL:
            self.flush()

    def flush(self) -> None:
        """Make a run of what is in the table: all pairs in ascending order, then their sums."""
        count = lib.fe_near_count(self._handle)
        if not count:
            return
        pairs, sums = np.empty(count, np.uint64), np.empty(count, np.uint64)
        lib.fe_near_take(self._handle, *(_numbers(array) for array in (pairs, sums)))
        order = np.argsort(pairs)
        self.sizes.append(count)
        for array in (pairs, sums):
            self._file.write(array[order].data)
        self._file.flush()

    def merged(self, size: int) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield all pairs in ascending order and their sums over all runs, about ``size`` of them at a time."""
        if not self.sizes:
            return
        # One mapping of the whole file: each has a descriptor of its own, and there may be thousands of runs.
        whole = np.memmap(self._file, np.uint64, "r").view(np.ndarray)
        runs = [run.reshape(2, -1) for run in np.split(whole, 2 * np.cumsum(self.sizes)[:-1])]
        each = max(1, size // len(runs))
        at = [0] * len(runs)
        while any(first < count for first, count in zip(at, self.sizes, strict=True)):
            # A stretch ends before the least pair that lies too far on in a run, so that no pair is parted.
            beyond = [
                int(run[0, first + each]) for first, run in zip(at, runs, strict=True) if first + each < len(run[0])
            ]
            bound = np.uint64(min(beyond, default=2**64 - 1))
            ends = [int(np.searchsorted(run[0], bound)) for run in runs]
            some = np.concatenate([run[:, first:end] for first, end, run in zip(at, ends, runs, strict=True)], axis=1)
            at = ends
            pairs, sums = some[:, np.argsort(some[0], kind="stable")]
            firsts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
            yield pairs[firsts], np.add.reduceat(sums, firsts)

    def close(self) -> None:
        """Give back the disk."""
        self._file.close()


def count_pairs(corpus: Corpus, window: int, memory: int, chance: np.random.Generator, say: Show) -> Shuffled:
    """Return the pairs of a corpus, in files by chance."""
    counter, files = Counter(window, memory), list[IO[bytes]]()
    try:
        done = 0
        for _, ids in corpus.blocks(BLOCK):
            counter.add(np.ascontiguousarray(ids))
            done += int(np.count_nonzero(ids >= 0))
            say(f"{100 * done // corpus.total} %")
        counter.flush()
        part = memory // _SHARE
        while len(files) < min(_FILES, 1 + sum(counter.sizes) * PAIR.itemsize // part):
            files.append(tempfile.TemporaryFile())  # noqa: SIM115 (as long as the pairs are asked for)
        count = 0
        for pairs, sums in counter.merged(part // 16):
            _share_out(pairs, sums, files, chance)
            count += pairs.size
        return Shuffled(files, count)
    except BaseException:
        Shuffled(files, 0).close()
        raise
    finally:
        counter.close()


def _share_out(pairs: Numbers, sums: Numbers, files: list[IO[bytes]], chance: np.random.Generator) -> None:
    """Write each pair to a file by chance."""
    found = np.empty(pairs.size, PAIR)
    found["row"], found["column"] = pairs >> _HALF, pairs & _LOWER
    found["count"] = sums * UNIT
    found["count"][found["row"] == found["column"]] *= 2  # each of the two is near the other
    where = chance.integers(len(files), size=found.size)
    for number, file in enumerate(files):
        file.write(found[where == number].data)


def _numbers(array: Numbers) -> Any:
    return ffi.from_buffer("uint64_t[]", array, require_writable=True)


def _check(status: int) -> None:
    if status == lib.FE_NO_MEMORY:
        raise MemoryError("out of memory while counting words that stand near each other")
    if status != lib.FE_OK:
        raise RuntimeError(f"counting failed with status {status}")
