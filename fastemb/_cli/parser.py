"""The parser of all commands, and what their ends are: a status, and at most one line."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import fastemb

from .reading.packed import named
from .results import plain
from .writing.resuming import STDOUT, flush_stdout, unwinding

COMMANDS = (
    "embed",
    "search",
    "similar",
    "dedupe",
    "cluster",
    "map",
    "tokenize",
    "count",
    "decode",
    "train-tokenizer",
    "train-vectors",
    "quantize",
    "info",
    "warmup",
    "bench",
    "completion",
)

_ENDS = """Exit status: 0 done; 2 refused, one line on standard error says why; 130 interrupted; 141 nobody reads the
output any more; 128 + n ended by signal n. `fastemb COMMAND --help` tells more of each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 2 refused, 128 + n ended by signal n."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (open to the end)
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that a terminal cannot show is no failure
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = make_parser(only=argv[0] if argv else None).parse_args(argv)
        with unwinding(), _named_stdout():
            status = int(args.run(args))
            flush_stdout()
        return status
    except KeyboardInterrupt as stop:
        print(f"fastemb: interrupted{_notes(stop)}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has had enough, as `| head` does
        _let_go()
        return 128 + signal.SIGPIPE
    except (OSError, ValueError, TypeError, LookupError, MemoryError, ImportError) as error:
        print(f"fastemb: error: {_one_line(error)}{_notes(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _let_go()
        return 2


class _Stdout:
    """Standard output, whose errors name it: a `print` that fails does not say whose disk is full."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write some text."""
        with named(str(STDOUT)):
            return int(self._stream.write(text))

    def flush(self) -> None:
        """Write what waits."""
        with named(str(STDOUT)):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _named_stdout() -> Iterator[None]:
    stream = sys.stdout
    sys.stdout = _Stdout(stream)
    try:
        yield
    finally:
        sys.stdout = stream


def _let_go() -> None:
    """Let go of what could not be written: Python tries again at its exit, and would complain in its own words."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Help(argparse.HelpFormatter):
    """Fills paragraphs to the width of the terminal, but for those that are set in columns."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n\n".join(part if "  " in part else fill(part, width, indent) for part in text.strip().split("\n\n"))


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end."""
        self.exit(2, f"fastemb: error: {_plain(message)} (see {self.prog} --help)\n")


def make_parser(only: str | None = None) -> Parser:
    """Return the parser of all commands; of one alone where `only` is its name: a start then reads no other's file."""
    parser = Parser(prog="fastemb", description="Text to token ids to vectors, fast.", epilog=_ENDS)
    parser.add_argument("--version", action="version", version=f"fastemb {fastemb.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name in (only,) if only in COMMANDS else COMMANDS:
        module = importlib.import_module(f".commands.{name.replace('-', '_')}", __package__)
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__, formatter_class=Help)
        module.add(command)
        command.set_defaults(run=module.run)
    return parser


def _one_line(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return _plain(text)


def _plain(text: str) -> str:
    """Return one line that no terminal takes for a command: it may hold what a file is called, or has in it."""
    return plain(" ".join(text.split()))


def _notes(error: BaseException) -> str:
    """Return what was added to an error on its way, such as what of an output is kept."""
    return "".join(f"; {_plain(note)}" for note in getattr(error, "__notes__", []))
