r"""Turn texts into vectors, one for each document.

Every line of a text file is a document, an empty one gives zeros. Lines end at \n, and one \r before it is dropped,
as is a byte order mark before the first line. Of JSONL, CSV, TSV and Parquet, --field names the field that holds the
text. Files are read by blocks, however large they are. An output appears when it is whole; until then it lies beside
it, as OUT.part: a run that was ended goes on from there when the same command is given again.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import fastemb

from .. import options, reading
from ..progress import Progress, loading
from ..writing import formats
from ..writing.delivery import Work, deliver, printed, says_more
from ..writing.resuming import check_output, is_stream

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
    parser.add_argument("--to", choices=formats.KINDS, help="what to write, whatever the suffix")
    options.add_model(parser)
    parser.add_argument("--normalize", action="store_true", default=None, help="scale every vector to length one")
    options.add_threads(parser)
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="ray: by workers of Ray, here or in a cluster"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="how many, with --engine ray")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    path: Path | None = args.output
    files = options.sources(args)
    if path is not None and not is_stream(path):
        check_output(path, [source.name for source in files], args.model)
    kind = formats.kind_of(path, args.to)
    work = _Vectors(args, kind, files)
    with work.engine.connected() if work.engine is not None else nullcontext():
        deliver(path, work, files, _what_decides(args, work.model, kind), args.quiet)
    if says_more(path, args.quiet):
        print(work.report())
        shape, name = (work.documents, work.dim), str(path) if str(path).isprintable() else repr(str(path))
        print(_rows(work.first, shape) if path is None else f"wrote          {name}  {shape} float32")
    return 0


class _Vectors(Work):
    """Documents in, vectors out."""

    by_lines = shared = True

    def __init__(self, args: argparse.Namespace, kind: str, files: list[reading.Source]) -> None:
        progress = Progress(sum(source.size for source in files), args.quiet, printed=printed(args.output))
        super().__init__(progress, formats.HEADERS[kind], kind in formats.ELSEWHERE, kind == "jsonl")
        self.kind, self.path, self.normalize = kind, args.output, args.normalize
        if args.workers is not None and args.engine != "ray":
            raise ValueError("--workers is of --engine ray")
        with self.clock.timed("load model"):
            self.model = options.model(args)
        self.engine = _engine(args, self.model, files)
        self.shared = self.engine is None  # whose vectors come in the order of the files
        from ..._static.stages import ids_of, vectors_of

        with self.clock.timed("load kernels"), loading(args.quiet):  # afterwards read from disk
            self.dim = vectors_of(self.model, ids_of(self.model, ["a"]), self.normalize).shape[1]  # as blocks have them
        self.clock.seconds |= {"tokenize": 0.0, "look up, pool": 0.0}
        self.tokens = 0
        self.first: list[Any] = []
        self._room = threading.local()  # each thread's array for the vectors of a block, which grows to what is needed

    def source(self, files: list[reading.Source], start: reading.Position | None = None) -> Iterator[reading.Block]:
        """Give the documents of files, from a place on."""
        return super().source(files, start) if self.engine is None else self.engine.read(files, start)

    def compute(self, texts: Any) -> tuple[Any, int]:
        """Return the vectors of a block, and how many tokens it has; workers of Ray do not say that."""
        if self.engine is not None:
            return self.engine.take(), 0
        from ..._static.stages import ids_of, vectors_of

        with self.clock.timed("tokenize"):
            rows = ids_of(self.model, texts)
        with self.clock.timed("look up, pool"):
            return vectors_of(self.model, rows, self.normalize, self._room_for(len(texts))), rows.ids.size

    def _room_for(self, count: int) -> Any:
        """Return this thread's room for so many vectors."""
        import numpy as np

        room = getattr(self._room, "array", None)
        if room is None or len(room) < count:
            room = self._room.array = np.empty((count, self.dim), np.float32)
        return room[:count]

    def count(self, result: tuple[Any, int]) -> None:
        """Keep the first vectors, to be shown."""
        vectors, tokens = result
        self.tokens += tokens
        if len(self.first) < SHOWN:
            self.first += list(vectors[: SHOWN - len(self.first)].copy())

    def block(self, texts: Any, result: tuple[Any, int]) -> Any:
        """Return the bytes that are written of a block."""
        return b"" if self.path is None else formats.block(self.kind, texts, result[0])

    def finish(self, part: IO[bytes], new: IO[bytes] | None) -> None:
        """Make the output of what was written."""
        formats.finish(self.kind, part, new, self.documents, self.dim, self.path)

    def report(self) -> str:
        """Return what was done, how fast."""
        rows, dim = self.model.table.shape
        seconds = self.clock.seconds
        work = max(self.seconds, 1e-9)
        if self.engine is not None:  # whose workers do all that at the same time, while this process waits
            work = seconds["wait for Ray"] = max(seconds.pop("read"), 1e-9)
            del seconds["tokenize"], seconds["look up, pool"]
        documents = self.documents - self.earlier
        rates = [f"{documents / work:,.0f} documents/s"]
        if self.engine is None:
            rates.append(f"{self.tokens / work:,.0f} tokens/s")
        lines = [
            ("model", f"{rows:,} x {dim} {options.numbers_of(self.model.table)}"),
            ("documents", f"{self.documents:,}"),
            *([("of a run before", f"{self.earlier:,}")] if self.earlier else []),
            *([("tokens", f"{self.tokens:,}")] if self.engine is None else []),
            ("bytes", f"{self.size:,}"),
            *((stage, f"{time:.3f} s") for stage, time in seconds.items()),
            ("throughput", ", ".join([*rates, f"{self.size / work / 1e6:.1f} MB/s"])),
        ]
        return "\n".join(f"{name:<15}{value}" for name, value in lines)


def _engine(args: argparse.Namespace, model: fastemb.StaticModel, files: list[reading.Source]) -> Any:
    """Return what makes vectors by Ray, or None: this process does."""
    if args.engine == "local":
        return None
    from ..reading.ray_engine import Engine, check_files

    check_files(files)
    return Engine(model, args.normalize, args.workers)


def _what_decides(args: argparse.Namespace, model: fastemb.StaticModel, kind: str) -> dict[str, Any]:
    """Return all that decides an output but the texts."""
    return {
        "to": kind,
        "dim": args.dim,
        "normalize": args.normalize,
        "model": options.model_identity(args, model),
    }


def _rows(first: list[Any], shape: tuple[int, int]) -> str:
    lines = [f"vectors        {shape} float32 (name a file with -o to keep them)"]
    for row in first:
        dots = " ..." if row.size > SHOWN else ""
        lines.append("  [" + " ".join(f"{value: .6f}" for value in row[:SHOWN]) + dots + "]")
    return "\n".join(lines + ["  ..."] * (shape[0] > SHOWN))
