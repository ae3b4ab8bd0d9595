"""Documents turned into an output, block by block: to a file that goes on where it was ended, or to a pipe."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import fastemb

from . import reading
from .progress import Progress
from .resuming import Part, copy, is_stdout, is_stream, opened_stream, write_all


class Clock:
    """The seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"read": 0.0}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count what is done as a part of a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


class Aside:
    """A thread that does what it is given beside this one; with one thread to use, this one does it at once."""

    def __enter__(self) -> Aside:
        self._pool = ThreadPoolExecutor(1) if fastemb.get_num_threads() > 1 else None
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def submit(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        """Begin a call."""
        if self._pool is not None:
            return self._pool.submit(call, *args)
        done: Future[Any] = Future()
        try:
            done.set_result(call(*args))
        except Exception as error:  # said where the result is asked for, as that of a thread
            done.set_exception(error)
        return done


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

    def __init__(self, progress: Progress, header: int = 0, elsewhere: bool = False, in_order: bool = True) -> None:
        self.progress, self.header, self.elsewhere, self.in_order = progress, header, elsewhere, in_order
        self.clock = Clock()
        self.documents = self.earlier = self.size = 0

    def source(self, files: list[reading.Source], start: reading.Position | None = None) -> Iterator[reading.Block]:
        """Give the documents of files, from a place on."""
        return reading.read(files, start)

    def compute(self, texts: list[str]) -> Any:
        """Return what a block becomes; of two results that were not written yet neither may change the other."""
        raise NotImplementedError

    def block(self, texts: list[str], result: Any) -> Any:
        """Return the bytes that are written of it."""
        raise NotImplementedError

    def finish(self, part: IO[bytes], new: IO[bytes] | None) -> None:
        """Make the output of what was written: in its place, or in `new`."""

    def run(self, blocks: Iterator[reading.Block], write: Any, keep: Any = None) -> None:
        """Write what all blocks become, and say after each where it ends."""
        written: Future[None] | None = None
        # What was begun is ended before an error leaves: a part's state is then that of its last whole block.
        with closing(self.progress), Aside() as reader, Aside() as writer:
            ahead = reader.submit(self._next, blocks)
            while True:
                block = ahead.result()
                if block is None:
                    break
                ahead = reader.submit(self._next, blocks)
                result = self.compute(block.texts)
                self.documents += len(block.texts)
                self.size += block.size
                state = {"at": list(block.end), "documents": self.documents}
                if written is not None:
                    written.result()
                written = writer.submit(self._put, block.texts, result, write, keep, state)
                self.progress.show(block.stored, self.documents, block.size)
            if written is not None:
                written.result()

    def _next(self, blocks: Iterator[reading.Block]) -> reading.Block | None:
        with self.clock.timed("read"):
            return next(blocks, None)

    def _put(self, texts: list[str], result: Any, write: Any, keep: Any, state: dict[str, Any]) -> None:
        with self.clock.timed("write"):
            write(self.block(texts, result))
            if keep is not None:
                keep(state)


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


def says_more(path: Path | None, quiet: bool) -> bool:
    """Whether a report may be printed: not where standard output is the output."""
    return not quiet and not (path is not None and is_stdout(path))


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
    with opened_stream(path) as stream:
        if work.in_order:
            work.run(work.source(files), lambda data: write_all(stream, data))
            return
        with tempfile.TemporaryFile() as part, tempfile.TemporaryFile() as new:
            part.write(bytes(work.header))
            work.run(work.source(files), part.write)
            part.seek(0)
            work.finish(part, new if work.elsewhere else None)
            copy(new if work.elsewhere else part, stream)
