"""The command line: ``fastemb embed FILE`` turns a text file, a document a line, into vectors."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastemb

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BATCH = 1 << 15  # documents between two updates of the progress line
SHOWN = 3  # rows and columns printed where no output file is named


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 2 refused, 130 interrupted."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("fastemb: interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, MemoryError, ImportError) as error:
        print(f"fastemb: error: {_one_line(error)}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastemb", description="Text to token ids to vectors, fast.")
    parser.add_argument("--version", action="version", version=f"fastemb {fastemb.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    embed = commands.add_parser(
        "embed",
        help="turn a text file into vectors, one a line",
        description="Turn a UTF-8 text file into vectors: every line is a document, an empty one gives zeros. "
        "Lines end at \\n, and one \\r before it is dropped.",
    )
    embed.add_argument("file", metavar="FILE", help="the text file, or - for standard input")
    embed.add_argument(
        "-o", "--output", metavar="VECTORS.npy", type=Path, help="write the vectors here (float32, .npy)"
    )
    embed.add_argument(
        "--model",
        metavar="DIR",
        type=Path,
        help="a folder with tokenizer.json and one .safetensors table (default: the installed wordllama's)",
    )
    embed.add_argument("--dim", type=int, help="keep only the first DIM columns of the table")
    embed.add_argument("--normalize", action="store_true", default=None, help="scale every vector to length one")
    embed.add_argument("--threads", type=int, help="use at most this many threads")
    embed.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    embed.set_defaults(run=_embed)
    return parser


def _embed(args: argparse.Namespace) -> int:
    seconds: dict[str, float] = {}
    if args.output is not None:
        _check_output(args.output)  # hours of work must not end at a folder that is not there
    if args.threads is not None:
        fastemb.set_num_threads(args.threads)
    with _timed(seconds, "read"):
        documents, size = _read_documents(args.file)
    with _timed(seconds, "load model"):
        model = fastemb.StaticModel.load(args.model, dim=args.dim)
    with _timed(seconds, "load kernels"):  # compiled at the first use on a machine, afterwards read from disk
        model.encode("a")
    vectors, tokens = _run(model, documents, args.normalize, seconds, show=not args.quiet and sys.stderr.isatty())
    if args.output is not None:
        with _timed(seconds, "write"):
            _save(args.output, vectors)
    if not args.quiet:
        print(_report(model, len(documents), tokens, size, seconds))
        print(
            _rows(vectors) if args.output is None else f"wrote          {args.output}  {vectors.shape} {vectors.dtype}"
        )
    return 0


def _run(
    model: fastemb.StaticModel, documents: list[str], normalize: bool | None, seconds: dict[str, float], show: bool
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the vectors of all documents and the number of ids, adding up the seconds of both stages."""
    import numpy as np

    vectors = np.empty((len(documents), model.table.shape[1]), np.float32)
    tokens = 0
    seconds |= {"tokenize": 0.0, "look up, pool": 0.0}
    for first in range(0, len(documents), BATCH):
        batch = slice(first, first + BATCH)
        with _timed(seconds, "tokenize"):
            rows = model._tokenize(documents[batch])
        with _timed(seconds, "look up, pool"):
            model._pool(rows, normalize, vectors[batch])
        tokens += rows.ids.size
        if show and len(documents) > BATCH:
            done = min(first + BATCH, len(documents))
            print(f"\r{done:,} of {len(documents):,} documents", end="\n" * (done == len(documents)), file=sys.stderr)
    return vectors, tokens


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start


def _read_documents(name: str) -> tuple[list[str], int]:
    """Return the lines of a file, and its size in bytes."""
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}: not UTF-8: byte 0x{data[error.start]:02X} at offset {error.start} (line {line})"
        ) from None
    lines = text.split("\n")  # never splitlines: a document may hold U+2028, \f and their like
    if not lines[-1]:
        lines.pop()  # the last \n ends a line, it does not start one
    return [line.removesuffix("\r") for line in lines], len(data)


def _check_output(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder, not a file to write vectors to")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path}: the folder {path.parent} cannot be written to")


def _save(path: Path, vectors: npt.NDArray[np.float32]) -> None:
    """Write the vectors beside `path` and move them there: whoever looks finds all of them or none."""
    import numpy as np

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            np.save(file, vectors)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _report(model: fastemb.StaticModel, documents: int, tokens: int, size: int, seconds: dict[str, float]) -> str:
    rows, dim = model.table.shape
    work = max(seconds["tokenize"] + seconds["look up, pool"], 1e-9)
    lines = [
        ("model", f"{rows:,} x {dim} {model.table.dtype}"),
        ("documents", f"{documents:,}"),
        ("tokens", f"{tokens:,}"),
        ("bytes", f"{size:,}"),
        *((stage, f"{time:.3f} s") for stage, time in seconds.items()),
        (
            "throughput",
            f"{documents / work:,.0f} documents/s, {tokens / work:,.0f} tokens/s, {size / work / 1e6:.1f} MB/s",
        ),
    ]
    return "\n".join(f"{name:<15}{value}" for name, value in lines)


def _rows(vectors: npt.NDArray[Any]) -> str:
    lines = [f"vectors        {vectors.shape} {vectors.dtype} (name a file with -o to keep them)"]
    for row in vectors[:SHOWN]:
        dots = " ..." if row.size > SHOWN else ""
        lines.append("  [" + " ".join(f"{value: .6f}" for value in row[:SHOWN]) + dots + "]")
    return "\n".join(lines + ["  ..."] * (len(vectors) > SHOWN))


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
