"""The command line: ``fastemb embed FILE`` turns a text file, a document a line, into vectors."""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import fastemb

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BATCH = 1 << 15  # documents between two updates of the progress line
SHOWN = 3  # rows and columns printed where no output file is named


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 2 refused, 128 + n ended by signal n."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (open to the end)
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that a terminal cannot show is no failure
    args = _parser().parse_args(argv)
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("fastemb: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has had enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at its exit
        return 128 + signal.SIGPIPE
    except (OSError, ValueError, MemoryError, ImportError) as error:
        print(f"fastemb: error: {_one_line(error)}", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, as all other errors do."""
        self.exit(2, f"fastemb: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastemb", description="Text to token ids to vectors, fast.")
    parser.add_argument("--version", action="version", version=f"fastemb {fastemb.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    embed = commands.add_parser(
        "embed",
        help="turn a text file into vectors, one a line",
        description="Turn a UTF-8 text file into vectors: every line is a document, an empty one gives zeros. "
        "Lines end at \\n, and one \\r before it is dropped, as is a byte order mark before the first line.",
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
    if args.threads is not None:
        fastemb.set_num_threads(args.threads)
    with _output(args.output, args.file, args.model) as file:
        with _timed(seconds, "read"):
            documents, size = _read_documents(args.file)
        with _timed(seconds, "load model"):
            model = fastemb.StaticModel.load(args.model, dim=args.dim)
        with _timed(seconds, "load kernels"):  # compiled at the first use on a machine, afterwards read from disk
            model.encode("a")
        show = not args.quiet and sys.stderr.isatty()
        first, tokens = _run(model, documents, args.normalize, seconds, file, show)
    if not args.quiet:
        print(_report(model, len(documents), tokens, size, seconds))
        shape = (len(documents), model.table.shape[1])
        name = str(args.output) if str(args.output).isprintable() else repr(str(args.output))
        print(_rows(first, shape) if args.output is None else f"wrote          {name}  {shape} {first.dtype}")
    return 0


def _run(
    model: fastemb.StaticModel,
    documents: list[str],
    normalize: bool | None,
    seconds: dict[str, float],
    file: BinaryIO | None,
    show: bool,
) -> tuple[npt.NDArray[np.float32], int]:
    """Write the vectors batch by batch; return those of the first documents, and the number of ids."""
    import numpy as np

    scratch = np.empty((min(len(documents), BATCH), model.table.shape[1]), np.float32)
    first, tokens = scratch[:SHOWN].copy(), 0
    seconds |= {"tokenize": 0.0, "look up, pool": 0.0}
    if file is not None:
        shape = (len(documents), scratch.shape[1])
        header = {"descr": np.lib.format.dtype_to_descr(scratch.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
    for start in range(0, len(documents), BATCH):
        batch = documents[start : start + BATCH]
        with _timed(seconds, "tokenize"):
            rows = model._tokenize(batch)
        with _timed(seconds, "look up, pool"):
            vectors = model._pool(rows, normalize, scratch[: len(batch)])
        if start == 0:
            first[:] = vectors[:SHOWN]
        if file is not None:
            with _timed(seconds, "write"):
                file.write(vectors.data)
        tokens += rows.ids.size
        if show and len(documents) > BATCH:
            done = start + len(batch)
            end = "\n" * (done == len(documents))
            print(f"\r{done:,} of {len(documents):,} documents", end=end, file=sys.stderr)
    return first, tokens


@contextmanager
def _output(path: Path | None, source: str, model: Path | None) -> Iterator[BinaryIO | None]:
    """Give a file beside `path` to write to, and move it there at the end: whoever looks finds all or nothing.

    It is opened before any work is done, which must not end at a folder that is not there.
    """
    if path is None:
        yield None
        return
    target = Path(os.path.realpath(path))  # of a link, the file that it names
    _check_output(path, target, source, model)
    mask = os.umask(0o077)
    os.umask(mask)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~mask
    try:
        handle, name = tempfile.mkstemp(".part", ".fastemb-", target.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with _unwinding(), open(handle, "wb") as file:
            yield file
        os.chmod(name, mode)
        os.replace(name, target)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None  # a full disk does not say whose
    finally:
        Path(name).unlink(missing_ok=True)


def _check_output(path: Path, target: Path, source: str, model: Path | None) -> None:
    """Refuse to replace what is no file, may not be written, or is read by this very call."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path}: is no file that could be replaced by vectors")
    text = _stat(0 if source == "-" else source)
    if text is not None and os.path.samestat(found, text):
        raise ValueError(f"{path}: is the text that is to be read")
    folder = None if model is None else _stat(model)
    if folder is not None and os.path.samestat(os.stat(target.parent), folder):
        raise ValueError(f"{path}: belongs to the model that is to be read")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _stat(path: str | Path | int) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


@contextmanager
def _unwinding() -> Iterator[None]:
    """Let a signal that ends the process end it by an exception, so that files are tidied away."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), leave) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start


def _read_documents(name: str) -> tuple[list[str], int]:
    """Return the lines of a file, and its size in bytes."""
    if name == "-" and sys.stdin is None:
        raise ValueError("standard input is closed")
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")  # a byte order mark is no part of the first document
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}: not UTF-8: byte 0x{data[error.start]:02X} at offset {error.start} (line {line})"
        ) from None
    lines = text.split("\n")  # never splitlines: a document may hold U+2028, \f and their like
    rest = lines.pop()  # what stands behind the last \n is a line only if it is something
    return [line.removesuffix("\r") for line in lines] + [rest] * bool(rest), len(data)


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


def _rows(first: npt.NDArray[Any], shape: tuple[int, int]) -> str:
    lines = [f"vectors        {shape} {first.dtype} (name a file with -o to keep them)"]
    for row in first:
        dots = " ..." if row.size > SHOWN else ""
        lines.append("  [" + " ".join(f"{value: .6f}" for value in row[:SHOWN]) + dots + "]")
    return "\n".join(lines + ["  ..."] * (shape[0] > SHOWN))


def _one_line(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
