"""Documents turned into an output, block by block: to a file that goes on where it was ended, or to a pipe."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import fastemb

from .. import reading
from ..progress import Progress
from ..reading.packed import named
from .relay import relay
from .resuming import Part, copy, is_stdout, is_stream, opened_stream, write_all


class Clock:
    """The seconds of each stage, of all threads together."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"read": 0.0}
        self._lock = threading.Lock()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count what is done as a part of a stage."""
        start = time.perf_counter()
        yield
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


class Work:
    """What a command makes of documents; a command's own class says what and how it is written.

    Parameters
    ----------
    progress : Progress
    header : int
        Bytes that are kept free before the first block: `finish` writes there what is known at last.
    elsewhere : bool
        Whether `finish` writes another file.
    in_order : bool
        Whether the output is what the blocks are, one after another: then a pipe gets them as they come.
    """

    by_lines = False  # whether it takes `PackedLines` of text files; else all blocks are lists
    shared = False  # whether several threads compute blocks, in any order; else one, whose calls may use more

    def __init__(self, progress: Progress, header: int = 0, elsewhere: bool = False, in_order: bool = True) -> None:
        self.progress, self.header, self.elsewhere, self.in_order = progress, header, elsewhere, in_order
        self.clock = Clock()
        self.seconds = 0.0  # of `run`
        self.documents = self.earlier = self.size = 0

    def source(self, files: list[reading.Source], start: reading.Position | None = None) -> Iterator[reading.Block]:
        """Give the documents of files, from a place on."""
        return reading.read(files, start, by_lines=self.by_lines)

    def compute(self, texts: Any) -> Any:
        """Return what a block becomes; a thread calls it again when its last block is written."""
        raise NotImplementedError

    def block(self, texts: Any, result: Any) -> Any:
        """Return the bytes that are written of it; called by the thread that computed it."""
        raise NotImplementedError

    def count(self, result: Any) -> None:
        """Add to what is counted; called block by block, in order."""

    def finish(self, part: IO[bytes], new: IO[bytes] | None) -> None:
        """Make the output of what was written: in its place, or in `new`."""

    def run(self, blocks: Iterator[reading.Block], write: Any, keep: Any = None) -> None:
        """Write what all blocks become, and say after each where it ends."""

        def compute(block: reading.Block) -> tuple[Any, Any]:
            result = self.compute(block.texts)
            with self.clock.timed("write"):
                return result, self.block(block.texts, result)

        def put(block: reading.Block, computed: tuple[Any, Any]) -> None:
            result, data = computed
            with self.clock.timed("write"):
                write(data)
            self.count(result)
            self.documents += len(block.texts)
            self.size += block.size
            if keep is not None:
                keep({"at": list(block.end), "documents": self.documents})
            self.progress.show(block.stored, self.documents, block.size)

        start = time.perf_counter()
        self.progress.begin()
        # More threads than processors would only hold more blocks.
        threads = min(fastemb.get_num_threads(), os.cpu_count() or 1) if self.shared else 1
        with closing(self.progress):
            relay(self._timed(blocks), compute, put, threads)
        self.seconds = time.perf_counter() - start

    def _timed(self, blocks: Iterator[reading.Block]) -> Iterator[reading.Block]:
        while True:
            with self.clock.timed("read"):
                block = next(blocks, None)
            if block is None:
                return
            yield block


def deliver(
    path: Path | None, work: Work, files: list[reading.Source], decides: Mapping[str, Any], quiet: bool
) -> None:
    """Do the work, and write it to a file, a pipe, or (None) nowhere.

    `decides` is what decides the output but the texts: the part of a run in which it was another is not gone on with.
    """
    if path is None:
        work.run(work.source(files), lambda data: None)
    elif is_stream(path):
        _to_stream(path, work, files)
    else:
        said = {"version": fastemb.__version__, "files": [source[:4] for source in files], **decides}
        with Part(path, said, quiet) as part:
            _to_part(part, work, files)


def printed(path: Path | None) -> bool:
    """Whether an output goes to standard output as it comes."""
    return path is not None and is_stdout(path)


def says_more(path: Path | None, quiet: bool) -> bool:
    """Whether a report may be printed: not where standard output is the output."""
    return not quiet and not printed(path)


def _to_part(part: Part, work: Work, files: list[reading.Source]) -> None:
    """Write a file, from where an earlier run was ended."""
    try:
        _continue(part, work, files)
    except reading.ChangedError as error:
        if any(source.name == "-" for source in files):  # it is gone
            raise ValueError(f"{error}; remove {part.path.name}.part to begin anew") from None
        part.restart(str(error))
        _continue(part, work, files)
    part.finish(work.finish, work.elsewhere)


def _continue(part: Part, work: Work, files: list[reading.Source]) -> None:
    start = None
    work.documents = work.earlier = 0
    if part.state is not None:
        start = reading.Position(*part.state["at"])
        work.documents = work.earlier = part.state["documents"]
    elif work.header:
        part.write(bytes(work.header))
    work.run(work.source(files, start), part.write, part.keep)


def _to_stream(path: Path, work: Work, files: list[reading.Source]) -> None:
    """Write to a pipe: what needs the number of rows in front waits in a file without a name until all are there."""
    blocks = work.source(files)
    with named("standard output" if is_stdout(path) else str(path)), opened_stream(path) as stream:
        if work.in_order:
            work.run(blocks, lambda data: write_all(stream, data))
            return
        with tempfile.TemporaryFile() as part, tempfile.TemporaryFile() as new:
            whole = new if work.elsewhere else part
            with named(f"temporary file in {tempfile.gettempdir()}"):
                part.write(bytes(work.header))
                work.run(blocks, part.write)
                part.seek(0)
                work.finish(part, new if work.elsewhere else None)
                whole.flush()
            copy(whole, stream)
