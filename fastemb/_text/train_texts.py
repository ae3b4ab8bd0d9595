"""The texts that training is given → their distinct pieces, each with how often it came.

Texts come block by block, so memory does not grow with them: only with what is distinct in them. A block is counted in
one call of C with the GIL released; several, as many as there are threads, at the same time, each by a tally of its
own, which are added up at the end. What is counted does not depend on that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _threads
from .blocks import BLOCK_CHARS, BLOCK_TEXTS, in_utf8
from .compiled import ffi, lib
from .core import _SECRET as SEED
from .core import simd_path
from .plan_cuts import Cuts
from .regex_split import Splitter
from .texts import check_sizes, require_regular, texts_and_files
from .train_progress import Show, progress

FILE_BLOCK = 4 << 20  # bytes of a file that are read at a time
Block = bytes | tuple[str, ...]  # whole lines, or texts


class How(NamedTuple):
    """What becomes of a text before its pieces are counted."""

    cuts: Cuts | Splitter  # by C, or by Python
    normal: bytes = b""  # the steps by which C normalizes it first


class Tally:
    """Distinct pieces with their counts, in C."""

    def __init__(self, how: How) -> None:
        self._splitter = how.cuts if isinstance(how.cuts, Splitter) else None
        pattern, spec = lib.FE_PATTERN_NONE, ffi.NULL
        self._alive: list[Any] = [ffi.from_buffer("uint8_t[]", how.normal)]
        if isinstance(how.cuts, Cuts):
            pattern = how.cuts.pattern
            if how.cuts.chain is not None:
                spec, arrays = how.cuts.chain.spec()
                self._alive += [spec, *arrays]
        model = ffi.new(
            "fe_tally_model *",
            {
                "pattern": pattern,
                "path": simd_path(),
                "chain": spec,
                "normal": len(how.normal),
                "normal_bytes": self._alive[0],
                "seed": SEED,
            },
        )
        out = ffi.new("fe_tally **")
        check(lib.fe_tally_new(model, out))
        self.handle = ffi.gc(out[0], lib.fe_tally_free)

    def add(self, block: Block) -> None:
        """Count the pieces of a block."""
        if self._splitter is not None:
            texts = block.decode().splitlines(keepends=True) if isinstance(block, bytes) else block
            block = tuple(chain.from_iterable(map(self._splitter.pieces, texts)))
        if isinstance(block, bytes):
            check(lib.fe_tally_add_lines(self.handle, ffi.from_buffer("uint8_t[]", block), len(block)))
            return
        lengths = np.fromiter(map(len, block), np.int64, len(block))
        check_sizes(lengths, int(lengths.sum()), "characters", 0, False)
        job = ffi.new("fe_job *")
        alive = in_utf8(block, lengths).put_into(job)
        check(lib.fe_tally_add(self.handle, job))
        del alive

    def merge(self, other: Tally) -> None:
        """Add what another tally has counted."""
        check(lib.fe_tally_merge(self.handle, other.handle))

    def contents(self) -> Any:
        """Return how much was counted: fe_tally_contents."""
        contents = ffi.new("fe_tally_contents *")
        lib.fe_tally_look(self.handle, contents)
        return contents

    def chars(self) -> npt.NDArray[np.uint64]:
        """Return how often each character came, by place and code point."""
        counts = np.zeros((lib.FE_PLACES, lib.FE_PLACE), np.uint64)  # pages that are not touched are not there
        lib.fe_tally_chars(self.handle, ffi.from_buffer("uint64_t[]", counts, require_writable=True))
        return counts


def check(status: int) -> None:
    """Raise what a status of C means in training."""
    if status == lib.FE_NO_MEMORY:
        raise MemoryError("out of memory while training: there are too many different pieces in the texts")
    if status == lib.FE_TOO_LONG:
        raise ValueError(
            "a text of 2**31 - 64 bytes or more cannot be trained on in one piece: cut it, at ends of lines"
        )
    if status != lib.FE_OK:
        raise RuntimeError(f"training failed with status {status}")


def count(texts: Any, how: How) -> Tally:
    """Return the pieces of texts, counted.

    Parameters
    ----------
    texts : iterable of str, bytes or path-like, or one path-like
        As `Tokenizer.train` takes them.
    how : How

    Raises
    ------
    TypeError, ValueError, OSError
        As `Tokenizer.train`.
    """
    blocks = _blocks(texts)
    tallies = [Tally(how) for _ in range(_threads.get_num_threads())]
    with progress("counting") as show:
        while some := [block for _, block in zip(tallies, blocks, strict=False)]:
            _threads.run(partial(_add, tallies, some), range(len(some) + 1))
            _show(show, tallies)
    first, *others = tallies
    for other in others:
        first.merge(other)
    if not first.contents().pieces:
        raise ValueError("there is nothing to train on: texts are none, or hold no piece of text")
    return first


def _add(tallies: Sequence[Tally], blocks: Sequence[Block], start: int, stop: int) -> None:
    for number in range(start, stop):
        tallies[number].add(blocks[number])


def _show(show: Show, tallies: Sequence[Tally]) -> None:
    contents = [tally.contents() for tally in tallies]
    total, pieces = sum(one.total for one in contents), max(one.pieces for one in contents)
    show(f"{total:,} pieces, {pieces:,} of them different")


def _blocks(texts: Any) -> Iterator[Block]:
    """Yield texts in blocks; each is checked as it comes."""
    waiting: list[str] = []
    chars = 0
    for text in texts_and_files(texts, "str, bytes or paths"):
        if isinstance(text, Path):
            yield from _lines(text)
            continue
        waiting.append(text)
        chars += len(text)
        if chars >= BLOCK_CHARS or len(waiting) >= BLOCK_TEXTS:
            yield tuple(waiting)
            waiting, chars = [], 0
    if waiting:
        yield tuple(waiting)


def _lines(path: Path) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines."""
    require_regular(path)
    with path.open("rb") as stream:
        done, parts = 0, list[bytes]()
        while data := stream.read(FILE_BLOCK):
            end = data.rfind(b"\n") + 1
            if end:
                yield _checked(b"".join([*parts, data[:end]]), done, path)
                done += sum(map(len, parts)) + end
                parts, data = [], data[end:]
            parts.append(data)
            check_sizes(np.array([sum(map(len, parts))]), sum(map(len, parts)), "bytes", 0, False)
        last = b"".join(parts)
        if last:
            yield _checked(last, done, path)


def _checked(block: bytes, done: int, path: Path) -> bytes:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: it is no UTF-8 from byte {done + error.start} on: {error.reason}") from None
    return block
