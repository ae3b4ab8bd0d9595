"""Files as they are stored, opened to read what is in them: plain, gz or zst, and standard input."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

PACKED = (".gz", ".zst")
ZST_CHUNK = 1 << 12  # bytes that are unpacked at once: of zeros each becomes thirty thousand


@contextmanager
def opened(name: str, packed: str) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """Open a file; the function says how many bytes of it, as it is stored, were read.

    Raises
    ------
    ValueError
        What is packed is damaged.
    ModuleNotFoundError
        Nothing is installed that unpacks it.
    OSError
        The file cannot be read.
    """
    if name == "-":
        with named("standard input"):
            yield sys.stdin.buffer, lambda: 0
        return
    with named(name), open(name, "rb") as raw:
        where = raw.tell if raw.seekable() else lambda: 0
        if not packed:
            yield raw, where
            return
        try:
            with _unpack(raw, packed, name) as stream:
                yield stream, where
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{name}: damaged {packed} file: {error}") from None


@contextmanager
def named(name: str) -> Iterator[None]:
    """Let errors name a file where they name none: of a `read` or `write` that fails the system does not say whose."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = name
        raise


def _unpack(raw: IO[bytes], packed: str, name: str) -> Any:
    if packed == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), 1 << 17)
    return _zstd(raw, name)


def _zstd(raw: IO[bytes], name: str) -> Any:
    try:
        from compression import zstd  # Python 3.14

        return _Checked(zstd.ZstdFile(raw), zstd.ZstdError, name)
    except ModuleNotFoundError:
        pass
    try:
        import zstandard
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"reading {name} needs the package zstandard: pip install zstandard") from None
    return _Checked(_Frames(raw, zstandard.ZstdDecompressor().decompressobj), zstandard.ZstdError, name)


class _Frames:
    """The frames of a .zst file, one after another; zstandard's own reader takes a cut one for whole."""

    def __init__(self, raw: IO[bytes], make: Callable[[], Any]) -> None:
        self._raw, self._make = raw, make
        self._frame: Any = None  # one that has begun
        self._behind = b""  # what was read of the next one
        self._ready = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return at most so many bytes, none at the end; EOFError where a frame is cut off."""
        while not self._ready:
            data, self._behind = self._behind or self._raw.read(ZST_CHUNK), b""
            if not data:
                if self._frame is not None:
                    raise EOFError("it ends within a frame")
                return b""
            self._frame = self._frame or self._make()
            self._ready = memoryview(self._frame.decompress(data))
            if self._frame.eof:
                self._behind, self._frame = self._frame.unused_data, None
        part, self._ready = bytes(self._ready[:size]), self._ready[size:]
        return part

    def close(self) -> None:
        """Forget what was read."""
        self._frame, self._ready = None, memoryview(b"")


class _Checked:
    """A stream whose own kind of error is said as a ValueError, and whose reads are full."""

    def __init__(self, stream: Any, error: type[Exception], name: str) -> None:
        self._stream, self._error, self._name = stream, error, name

    def __enter__(self) -> _Checked:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        parts = []
        try:
            while size > 0 and (part := self._stream.read(size)):
                parts.append(part)
                size -= len(part)
        except (self._error, EOFError) as error:
            raise ValueError(f"{self._name}: damaged .zst file: {error}") from None
        return b"".join(parts)
