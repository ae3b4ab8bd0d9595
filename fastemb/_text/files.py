"""Files: written whole or not at all, and text files of any size read as one text, a stretch at a time."""

from __future__ import annotations

import mmap
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .bpe_model import MARK
from .core import Core, Ids, lib
from .encode import Options, encode_texts
from .placing import Told
from .tables import Tables
from .texts import check_sizes, require_regular

STRETCH = 8 << 20  # bytes of a file that are encoded at a time, and what memory is in proportion to
TEXT = 1 << 17  # bytes of the texts that a stretch is cut into, which threads share
LOOKED_AT = 1 << 12  # bytes behind which a place to cut is looked for first
_TICK = 0.1  # seconds between two states of the progress bar

# Between a letter and a blank every pattern that C knows ends a piece (`starts.py`).
_BLANK = rb"[A-Za-z](?= )"
# And between a line end and what is neither white space nor a slash, if no white space stands before the line end: no
# pattern lets a line end begin a piece of letters, digits or punctuation, and only a slash may follow one in its piece.
_SOLID = rb"[!-~]|[\xc3-\xdf].|\xe3\x80[^\x80]|\xe3[^\x80].|[\xe0\xe4-\xef]..|[\xf0-\xf4]..."
_LINE_END = rb"(?:" + _SOLID + rb")\n(?=[!-.0-~\xc3-\xe0\xe4-\xf4]|\xe3[^\x80])"


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when all has been written, and is gone where that failed."""
    if path.is_dir():
        raise IsADirectoryError(f"cannot save to {path}: it is a folder")
    if path.exists() and not path.is_file():  # whose place no file is to take
        raise OSError(f"cannot save to {path}: it is no regular file (a pipe or a device)")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {path}: there is no folder {path.parent}")
    spare = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with spare.open("xb") as stream:  # with the modes that the umask leaves, unlike those of `tempfile`
        try:
            yield stream
            stream.close()
            spare.replace(path)
        except BaseException:
            spare.unlink()
            raise


class Cuts:
    """Where a text may be cut so that its parts have, one after another, the ids of the whole."""

    def __init__(self, core: Core, tables: Tables, by_pattern: bool, told: Told) -> None:
        """Find them out; `by_pattern` says that `starts.can_start`, and that C cuts texts into pieces."""
        flags, added = core.contents.flags, core.metadata.added
        self.dropped = 0  # bytes at a cut that are of neither part
        self._pattern: re.Pattern[bytes] | None = None
        if any(token.lstrip or token.rstrip or token.single_word for token in added):
            return  # what such a token takes or refuses depends on what stands around it
        if told in ("none", "marked"):
            return  # Python encodes, or normalizers or the model may look across, or a mark is put at the start alone
        if by_pattern:
            # A space that is put before a text is put before each part, unless that begins with one.
            whole = flags & lib.FE_ADD_SPACE or any("\n" in token.content[:-1] for token in added)
            self._pattern = re.compile(_BLANK if whole else _BLANK + b"|" + _LINE_END, re.DOTALL)
        elif told == "all" and flags & lib.FE_PREPEND and flags & lib.FE_SPACE_MARK and not flags & lib.FE_BYTE_LEVEL:
            # A blank is a mark, and a mark is put before each part: it takes the place of the blank. No token reaches
            # to a mark from the character before it, if none has both. The blank is none of an added token's, and
            # stands beside none, before or behind which it would be a piece by itself.
            names = tables.name_by_id.values()
            inside = re.compile(f"[^{MARK}]{MARK}")
            if MARK not in tables.id_by_name or any(map(inside.search, names)):
                return
            if not any(" " in token.content for token in added):
                ends = b" \x81" + bytes({token.content.encode()[-1] for token in added})
                starts = b" \xe2" + bytes({token.content.encode()[0] for token in added})
                self._pattern = re.compile(b"[^%b](?= [^%b])" % (re.escape(ends), re.escape(starts)), re.DOTALL)
                self.dropped = 1

    def next(self, data: Any, start: int, end: int) -> int | None:
        """Return the first place at which bytes may be cut from `start` on; None where there is none before `end`."""
        found = None if self._pattern is None else self._pattern.search(data, start, end)
        return None if found is None else found.end()


def encode_text_file(path: Path, out: Path | None, cuts: Cuts, options: Options) -> Ids:
    """Return the ids of a file of UTF-8, written to `out` as they come if it is given.

    Raises
    ------
    ValueError
        The file is no UTF-8 or no regular file, or `out` is that file, or a stretch of it that cannot be cut is longer
        than a text may be.
    """
    require_regular(path)
    if out is not None and out.exists() and path.exists() and out.samefile(path):
        raise ValueError(f"out is the text file itself, {path}: its ids would take the place of the text")
    if out is None:
        found = IdsInMemory()
        _encode_file(path, cuts, options, found.put)
        return found.whole()
    with replacing(out) as stream:
        written = IdsInFile(stream, out)
        _encode_file(path, cuts, options, written.put)
        written.close()
    return written.whole()


def _encode_file(path: Path, cuts: Cuts, options: Options, put: Callable[[Ids], None]) -> None:
    """Hand on the ids of a file in order, some at a time."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        if not size:
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data, _progress(path.name, size) as show:
            at = 0
            while at < size:
                texts, done = _stretch(data, at, size, cuts, path)
                put(encode_texts(options, texts, {})[0])
                page = at - at % mmap.PAGESIZE
                if hasattr(mmap, "MADV_DONTNEED"):  # pages that were read are the process's until it needs others
                    data.madvise(mmap.MADV_DONTNEED, page, (done - page) // mmap.PAGESIZE * mmap.PAGESIZE)
                at = done
                show(at)


def _stretch(data: Any, at: int, size: int, cuts: Cuts, path: Path) -> tuple[tuple[str, ...], int]:
    """Return the next texts of the file at `path`, of about STRETCH bytes, and where the one behind them begins."""
    texts: list[str] = []
    stop = at + STRETCH
    while at < size and (at < stop or not texts):
        end = _cut(data, at, size, cuts)
        check_sizes(np.array([end - at]), end - at, "bytes", 0, False)
        try:
            texts.append(data[at:end].decode())
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: it is no UTF-8 from byte {at + error.start} on: {error.reason}") from None
        at = end if end == size else end + cuts.dropped
    return tuple(texts), at


def _cut(data: Any, at: int, size: int, cuts: Cuts) -> int:
    """Return where the text that begins at `at` ends: at the first place behind TEXT bytes of it."""
    start, looked_at = at + TEXT, LOOKED_AT
    while start < size:
        found = cuts.next(data, start, min(start + looked_at, size))
        if found is not None:
            return found
        if looked_at >= size - start:
            break
        looked_at *= 8
    return size


@contextmanager
def _progress(title: str, size: int) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how much is done, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    begun = shown = time.monotonic()

    def show(done: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < _TICK and done < size:
            return
        shown = now
        bar = "#" * (30 * done // size)
        speed = done / max(now - begun, 1e-9)
        text = f"{title} [{bar:30}] {100 * done // size:3d} % of {size / 1e6:,.0f} MB, {speed / 1e6:,.0f} MB/s"
        print(f"\r{text}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print(file=sys.stderr)


class IdsInMemory:
    """Ids that come some at a time, in one array that grows where it lies."""

    def __init__(self) -> None:
        self._ids, self._used = np.empty(1 << 16, np.int32), 0

    def put(self, ids: Ids) -> None:
        """Append ids."""
        used = self._used + ids.size
        if used > self._ids.size:
            self._ids.resize(used + used // 8, refcheck=False)  # pages move, and are not copied
        self._ids[self._used : used] = ids
        self._used = used

    def whole(self) -> Ids:
        """Return all ids."""
        self._ids.resize(self._used, refcheck=False)
        return self._ids


class IdsInFile:
    """Ids that come some at a time, in a file: raw, or NumPy's format where it is called ``.npy``."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path, self._used = stream, path, 0
        self._is_npy = path.suffix == ".npy"
        self._head()

    def _head(self) -> None:
        """Write the head of a file of so many ids, which is of one length however many they are."""
        if self._is_npy:
            text = f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({self._used},), }}"
            self._stream.write(b"\x93NUMPY\x01\x00\x76\x00" + f"{text:117}\n".encode())

    def put(self, ids: Ids) -> None:
        """Append ids."""
        self._stream.write(ids.astype("<i4", copy=False).data)
        self._used += ids.size

    def close(self) -> None:
        """Write how many ids there are."""
        self._stream.seek(0)
        self._head()

    def whole(self) -> npt.NDArray[np.int32]:
        """Return the ids of the file, mapped into memory."""
        if not self._used:
            return np.empty(0, np.int32)
        offset = 128 if self._is_npy else 0
        return np.memmap(self._path, "<i4", "r", offset, (self._used,))
