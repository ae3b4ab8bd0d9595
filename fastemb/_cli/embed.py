r"""Turn texts into vectors, one for each document.

Every line of a text file is a document, an empty one gives zeros. Lines end at \n, and one \r before it is dropped,
as is a byte order mark before the first line. Of JSONL, CSV, TSV and Parquet, --field names the field that holds the
text. Files are read by blocks, however large they are. An output appears when it is whole; until then it lies beside
it, as OUT.part: a run that was ended goes on from there when the same command is given again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastemb

from . import options, reading, writing
from .progress import Progress
from .resuming import Part, check_output, copy, is_stream, opened_stream, write_all

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

HELP = "turn texts into vectors, one a document"
SHOWN = 3  # rows and columns printed where no output file is named


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.add_files(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        help="write the vectors here (float32), by the suffix as npy, npz, safetensors, parquet or jsonl; - is "
        "standard output (default: print the first ones)",
    )
    parser.add_argument("--to", choices=writing.KINDS, help="what to write, whatever the suffix")
    options.add_model(parser)
    parser.add_argument("--normalize", action="store_true", default=None, help="scale every vector to length one")
    options.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    path: Path | None = args.output
    files = options.sources(args)
    streams = path is not None and is_stream(path)
    if path is not None and not streams:
        check_output(path, [source.name for source in files], args.model)
    kind = writing.kind_of(path, args.to)
    clock = Clock()
    with clock.timed("load model"):
        model = options.model(args)
    with clock.timed("load kernels"):  # compiled at the first use on a machine, afterwards read from disk
        dim = len(model.encode("a"))
    work = _Work(model, args.normalize, dim, kind, clock, Progress(sum(s.size for s in files), args.quiet))
    if path is None:
        work.run(reading.read(files), lambda data: None)
    elif streams:
        _to_stream(path, work, files)
    else:
        with Part(path, _what_decides(args, model, kind, files), args.quiet) as part:
            _to_part(part, work, files)
    if not args.quiet and not (streams and str(path) in ("-", "/dev/stdout")):
        print(work.report())
        shape, name = (work.documents, dim), str(path) if str(path).isprintable() else repr(str(path))
        print(_rows(work.first, shape) if path is None else f"wrote          {name}  {shape} float32")
    return 0


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


class _Work:
    """Documents in, vectors out, and what is told of them."""

    def __init__(
        self, model: fastemb.StaticModel, normalize: bool | None, dim: int, kind: str, clock: Clock, progress: Progress
    ) -> None:
        self.model, self.normalize, self.dim, self.kind = model, normalize, dim, kind
        self.clock, self.progress = clock, progress
        self.documents = self.tokens = self.size = self.earlier = 0
        self.first: list[Any] = []
        clock.seconds |= {"tokenize": 0.0, "look up, pool": 0.0}

    def run(self, blocks: Iterator[reading.Block], write: Any, keep: Any = None) -> None:
        """Write the vectors of all blocks, and say after each where it ends."""
        timed = self.clock.timed
        try:
            while True:
                with timed("read"):
                    block = next(blocks, None)
                if block is None:
                    return
                with timed("tokenize"):
                    texts = self.model._with_prompt(block.texts, None, None)
                    rows = self.model._tokenize(texts)
                with timed("look up, pool"):
                    vectors = self.model._pool(rows, self.normalize)
                if len(self.first) < SHOWN:
                    self.first += list(vectors[: SHOWN - len(self.first)].copy())
                with timed("write"):
                    write(writing.block(self.kind, block.texts, vectors))
                self.documents += len(block.texts)
                self.tokens += rows.ids.size
                self.size += block.size
                if keep is not None:
                    keep({"at": list(block.end), "documents": self.documents})
                self.progress.show(block.stored, self.documents, block.size)
        finally:
            self.progress.close()

    def report(self) -> str:
        """Return what was done, how fast."""
        rows, dim = self.model.table.shape
        seconds = self.clock.seconds
        work = max(seconds["tokenize"] + seconds["look up, pool"], 1e-9)
        documents = self.documents - self.earlier
        rates = f"{documents / work:,.0f} documents/s", f"{self.tokens / work:,.0f} tokens/s"
        lines = [
            ("model", f"{rows:,} x {dim} {self.model.table.dtype}"),
            ("documents", f"{self.documents:,}"),
            *([("of a run before", f"{self.earlier:,}")] if self.earlier else []),
            ("tokens", f"{self.tokens:,}"),
            ("bytes", f"{self.size:,}"),
            *((stage, f"{time:.3f} s") for stage, time in seconds.items()),
            ("throughput", ", ".join([*rates, f"{self.size / work / 1e6:.1f} MB/s"])),
        ]
        return "\n".join(f"{name:<15}{value}" for name, value in lines)


def _to_part(part: Part, work: _Work, files: list[reading.Source]) -> None:
    """Write a file, from where an earlier run was ended."""
    try:
        _continue(part, work, files)
    except reading.ChangedError as error:
        if any(source.name == "-" for source in files):  # it is gone
            raise ValueError(f"{error}; remove {part.path.name}.part to begin anew") from None
        part.restart(str(error))
        _continue(part, work, files)
    rows = work.documents
    part.finish(
        lambda file, new: writing.finish(work.kind, file, new, rows, work.dim, part.path),
        elsewhere=work.kind in writing.ELSEWHERE,
    )


def _continue(part: Part, work: _Work, files: list[reading.Source]) -> None:
    start = None
    work.documents = work.earlier = 0
    if part.state is not None:
        start = reading.Position(*part.state["at"])
        work.documents = work.earlier = part.state["documents"]
    elif part.size == 0:
        part.write(bytes(writing.HEADERS[work.kind]))
    work.run(reading.read(files, start), part.write, part.keep)


def _to_stream(path: Path, work: _Work, files: list[reading.Source]) -> None:
    """Write to a pipe: what needs the number of rows in front waits in a file without a name until all are there."""
    with opened_stream(path) as stream:
        if work.kind == "jsonl":
            work.run(reading.read(files), lambda data: write_all(stream, data))
            return
        with tempfile.TemporaryFile() as part, tempfile.TemporaryFile() as new:
            part.write(bytes(writing.HEADERS[work.kind]))
            work.run(reading.read(files), part.write)
            part.seek(0)
            elsewhere = work.kind in writing.ELSEWHERE
            writing.finish(work.kind, part, new if elsewhere else None, work.documents, work.dim, path)
            copy(new if elsewhere else part, stream)


def _what_decides(
    args: argparse.Namespace, model: fastemb.StaticModel, kind: str, files: list[reading.Source]
) -> dict[str, Any]:
    """Return all that decides an output but the texts: tables by their bytes, other files by their dates."""
    folder = (
        None
        if args.model is None
        else sorted(
            (str(file.relative_to(args.model)), file.stat().st_size, file.stat().st_mtime_ns)
            for file in args.model.rglob("*")
            if file.suffix in (".json", ".txt", ".safetensors") and file.is_file()
        )
    )
    rows: npt.NDArray[np.uint8] = model.table.reshape(-1) if model.table.flags.c_contiguous else model.table.copy()
    return {
        "version": fastemb.__version__,
        "files": [source[:4] for source in files],
        "to": kind,
        "dim": args.dim,
        "normalize": args.normalize,
        "model": [str(model.table.dtype), list(model.table.shape), zlib.crc32(rows.view("u1").data), folder],
    }


def _rows(first: list[Any], shape: tuple[int, int]) -> str:
    lines = [f"vectors        {shape} float32 (name a file with -o to keep them)"]
    for row in first:
        dots = " ..." if row.size > SHOWN else ""
        lines.append("  [" + " ".join(f"{value: .6f}" for value in row[:SHOWN]) + dots + "]")
    return "\n".join(lines + ["  ..."] * (shape[0] > SHOWN))
