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
        yield sys.stdin.buffer, lambda: 0
        return
    with open(name, "rb") as raw:
        where = raw.tell if raw.seekable() else lambda: 0
        if not packed:
            yield raw, where
            return
        try:
            with _unpack(raw, packed, name) as stream:
                yield stream, where
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{name}: damaged {packed} file: {error}") from None


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
    reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
    return _Checked(reader, zstandard.ZstdError, name)


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
