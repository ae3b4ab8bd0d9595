"""Outputs that appear whole or not at all, and go on where a run before was ended.

What is written lies beside the output until it is whole: ``OUT.part``, and ``OUT.part.journal``, a line for every state
from which another run can go on. A state is written to the journal only when all that it speaks of is on the disk, so
that after a kill, or a failure of the machine, the last whole line is true; what lies in the part behind it is cut off.
The journal is locked as long as a run writes: a lock ends with its process, however that ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import stat
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

STDOUT = Path("standard output")  # as errors call it
SECONDS = 3.0  # between two states: what a killed run may have to do again
_VERSION = 1


class Part:
    """The file that an output is until it is whole.

    Parameters
    ----------
    path : Path
        The output.
    run : mapping
        All that decides what is written, and is no content of the inputs: another run's part is not gone on with.
    quiet : bool
        Do not say what becomes of an earlier part, nor that another run is waited for.
    wait : bool
        Wait while another run writes the output, instead of refusing.
    mode : int
        The rights that the part has from the beginning, less the umask; where there is an output, at most its own.

    Attributes
    ----------
    waited : bool
        Whether another run was waited for: the output may be another now.
    state : dict or None
        What `keep` was told last, by this run or that which it goes on with; None at the beginning.
    """

    def __init__(
        self, path: Path, run: Mapping[str, Any], quiet: bool = False, *, wait: bool = False, mode: int = 0o666
    ) -> None:
        self.path = path
        self._target = Path(os.path.realpath(path))  # of a link, the file that it names
        self._part = self._target.with_name(f"{self._target.name}.part")
        self._log = self._target.with_name(f"{self._target.name}.part.journal")
        self._new = self._target.with_name(f"{self._target.name}.part.new")
        self._run, self._quiet, self._wait, self._mode = run, quiet, wait, mode
        self.waited = False
        self.state: dict[str, Any] | None = None
        self.size = 0
        self._file: Any = None
        self._next: dict[str, Any] | None = None

    def __enter__(self) -> Part:
        with _named(self.path):
            self._journal = self._locked()
            # Under the lock: before it, another run may begin or end in between. A part never lies beside an empty
            # journal but where it is somebody else's (`_begin`).
            known = os.fstat(self._journal.fileno()).st_size > 0 or not self._part.exists()
            try:
                if self._target.exists():
                    self._mode &= self._target.stat().st_mode | 0o600  # who may not read it may not read its part
                self._open(known)
            except BaseException:
                if self.state is None:
                    self._remove(self._part if known else None)
                self._close()
                raise
        self._kept_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            with suppress(OSError):  # a full disk: the state before stays the last one
                self._sync()
            if self.state is None:
                self._remove(self._part)
            else:
                error.add_note(f"what was finished is kept in {self._part.name}: the same command goes on from there")
        self._close()
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(self.path)  # a full disk does not say whose

    def restart(self, why: str) -> None:
        """Forget what an earlier run has written."""
        self._say(f"{why}: begun anew")
        with _named(self.path):
            self._begin()

    def discard(self) -> None:
        """Leave the output as it is, and nothing beside it."""
        self._remove(self._part)

    def write(self, data: Any) -> None:
        """Write all of some bytes."""
        with _named(self.path):
            write_all(self._file, data)
        self.size += memoryview(data).nbytes

    def keep(self, state: Mapping[str, Any]) -> None:
        """Note that what was written so far is whole, and `state` what another run must know of it."""
        self._next = {**state, "size": self.size}
        if time.monotonic() - self._kept_at >= SECONDS:
            with _named(self.path):
                self._sync()

    def finish(
        self, finish: Callable[[IO[bytes], IO[bytes] | None], None] | None = None, elsewhere: bool = False
    ) -> None:
        """Make the output of the part, as it is or as `finish` makes it.

        `finish` is given the part, and where it is to write, if that is `elsewhere`; else it changes the part, of
        which only what was reserved at its beginning may change: a run that is killed now begins with it again.
        """
        with _named(self.path):
            self._sync()
            if finish is not None and elsewhere:
                self._new.unlink(missing_ok=True)
                with open(self._new, "wb", opener=self._opener) as new:
                    self._file.seek(0)
                    finish(self._file, new)
                    new.flush()
                    os.fsync(new.fileno())
                whole = self._new
            else:
                if finish is not None:
                    finish(self._file, None)
                os.fsync(self._file.fileno())
                whole = self._part
            if self._target.exists():
                os.chmod(whole, self._target.stat().st_mode & (self._mode | 0o111))
            os.replace(whole, self._target)
            self._remove(self._part)

    # ---------------------------------------------------------------- inside

    def _header(self) -> dict[str, Any]:
        return {"fastemb": _VERSION, "run": json.loads(json.dumps(self._run))}

    def _locked(self) -> Any:
        """Open the journal for this process alone."""
        while True:
            journal = open(self._log, "a+b", buffering=0)  # noqa: SIM115 (open to the end)
            try:
                self._lock(journal)
            except BaseException:
                journal.close()
                raise
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(journal.fileno()), os.stat(self._log)):
                    return journal
            journal.close()  # a run that has just ended has removed it

    def _lock(self, journal: Any) -> None:
        with suppress(BlockingIOError):
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if not self._wait:
            raise ValueError(f"{self.path}: is being written by another run")
        if not self.waited and not self._quiet:
            print(f"fastemb: {self.path}: is being written by another run; waiting for it", file=sys.stderr)
        self.waited = True
        fcntl.flock(journal, fcntl.LOCK_EX)

    def _opener(self, path: str, flags: int) -> int:
        """Open a file that, if it is made now, nobody may read who may not read the whole one."""
        return os.open(path, flags, self._mode | 0o600)

    def _open(self, known: bool) -> None:
        """Open the part, to go on with it if it is of the same run."""
        states = list(_lines(self._journal))
        if states[:1] == [self._header()] and self._fits(states[-1]):
            self._file = open(self._part, "r+b", buffering=0)  # noqa: SIM115 (open to the end)
            os.fchmod(self._file.fileno(), os.fstat(self._file.fileno()).st_mode & (self._mode | 0o600))
            self._go_on(states)
            return
        if not known:
            raise FileExistsError(errno.EEXIST, f"{self._part.name} is in the way, and of no run of fastemb")
        if states:
            self._say("the part of another run is replaced")
        self._begin()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._journal.close()

    def _fits(self, last: Mapping[str, Any]) -> bool:
        with suppress(FileNotFoundError):
            return self._part.stat().st_size >= int(last.get("size", 0))
        return False

    def _go_on(self, states: list[dict[str, Any]]) -> None:
        if len(states) > 1:
            self.state = states[-1]
            self.size = self.state["size"]
        self._next = None
        self._file.truncate(self.size)
        self._file.seek(self.size)
        # A line that was cut off would make one with the next.
        self._journal.truncate(sum(len(_line(state)) for state in states))

    def _begin(self) -> None:
        self.state, self._next, self.size = None, None, 0
        if self._file is not None:
            self._file.close()
        # In this order: a part beside an empty journal would be taken for somebody else's after a kill.
        for path in (self._new, self._part):
            path.unlink(missing_ok=True)
        self._journal.truncate(0)
        write_all(self._journal, _line(self._header()))
        self._file = open(self._part, "x+b", buffering=0, opener=self._opener)  # noqa: SIM115 (open to the end)

    def _sync(self) -> None:
        """Bring the part to the disk, then the state that speaks of it."""
        if self._next is not None:
            os.fdatasync(self._file.fileno())
            write_all(self._journal, _line(self._next))
            os.fdatasync(self._journal.fileno())
            self.state, self._next = self._next, None
        self._kept_at = time.monotonic()

    def _remove(self, part: Path | None) -> None:
        """Remove all but the output, the journal last: a run that finds it finds the others by it."""
        for path in (self._new, part, self._log):
            if path is not None:
                path.unlink(missing_ok=True)

    def _say(self, words: str) -> None:
        if not self._quiet:
            print(f"fastemb: {self._part.name}: {words}", file=sys.stderr)


def _line(state: Mapping[str, Any]) -> bytes:
    text = json.dumps(state).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _lines(journal: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Give the states of a journal up to the first that is not whole."""
    journal.seek(0)
    for line in journal.read().split(b"\n")[:-1]:
        code, _, text = line.partition(b" ")
        if code != b"%08x" % zlib.crc32(text):
            return
        yield json.loads(text)


def write_all(file: Any, data: Any) -> None:
    """Write all of some bytes to a file without a buffer, which may take some of them at a time."""
    view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
    while view.nbytes:
        view = view[file.write(view) :]


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let errors name the output, not the files beside it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def is_stdout(path: Path) -> bool:
    """Whether an output is standard output."""
    return str(path) in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_stream(path: Path) -> bool:
    """Whether an output is written as it comes: standard output, a pipe, a device."""
    if is_stdout(path) or str(path).startswith(("/dev/fd/", "/proc/self/fd/")):
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


class _Stream(NamedTuple):
    """Such an output, opened: its errors name it."""

    file: Any
    path: Path

    def write(self, data: Any) -> int:
        with _named(self.path):
            return int(self.file.write(data))


@contextmanager
def opened_stream(path: Path) -> Iterator[Any]:
    """Open such an output."""
    if is_stdout(path):
        flush_stdout()
        with open(os.dup(1), "wb", buffering=0) as file:
            yield _Stream(file, STDOUT)
    else:
        with open(path, "wb", buffering=0) as file:
            yield _Stream(file, path)


def flush_stdout() -> None:
    """Write what was printed."""
    with _named(STDOUT):
        sys.stdout.flush()


def check_output(path: Path, read: list[str], model: Path | None) -> None:
    """Refuse to replace what is no file, may not be written, or is read by this very call."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    for end in (".part", ".part.journal", ".part.new"):  # what lies beside the output while it is written
        beside = _stat(f"{target}{end}")
        for name in read:
            text = _stat(0 if name == "-" else name)
            if beside is not None and text is not None and os.path.samestat(beside, text):
                raise ValueError(f"{path}: would be written by way of {target.name}{end}, a file that is to be read")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target.parent)) from None
        return
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path}: is no file that could be replaced")
    for name in read:
        text = _stat(0 if name == "-" else name)
        if text is not None and os.path.samestat(found, text):
            raise ValueError(f"{path}: is a file that is to be read")
    folder = None if model is None else _stat(model)
    if folder is not None and any(os.path.samestat(it, folder) for it in (found, os.stat(target.parent))):
        raise ValueError(f"{path}: belongs to the model that is to be read")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _stat(path: str | Path | int) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


@contextmanager
def unwinding() -> Iterator[None]:
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


def copy(source: IO[bytes], to: Any) -> None:
    """Copy a file from its beginning."""
    source.seek(0)
    while data := source.read(1 << 22):
        write_all(to, data)
