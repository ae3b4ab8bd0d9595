"""fastText's binary models: words, rows for them, and rows for buckets of n-grams."""

from __future__ import annotations

import struct
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .subwords import Subwords
from .words import MOST_DIM, WordVectors, as_word, fault

MAGIC = struct.pack("<i", 793712314)
VERSIONS = (11, 12)
SUPERVISED = 3  # the number of its kind of model
LONGEST_WORD = 1 << 20


def read_fasttext(path: Path, mapped: bool) -> tuple[WordVectors, list[bytes]]:
    """Read a model, and its words as bytes. Rows of words are their own, without n-grams.

    Mapped, the table is the file's pages, of which written ones become this process's own.

    Raises
    ------
    ValueError
        The file is damaged, quantised, or of a version that is not known. The message names the byte.
    """
    with path.open("rb") as stream:
        reader = _Reader(path, stream)
        _, version = reader.read("<ii")
        if version not in VERSIONS:
            raise reader.fault(f"version {version} of fastText's format; {VERSIONS[0]} and {VERSIONS[1]} are read", 4)
        dim, *_, kind, buckets, shortest, longest, _ = reader.read("<12i")
        reader.read("<d")
        _require_settings(reader, dim, buckets, shortest, longest)
        names = _read_words(reader)
        (quantised,) = reader.read("<?")
        if quantised:
            raise ValueError(
                f"{path}: not supported: a quantised fastText model (.ftz); give the .bin it was made from"
            )
        V, D = reader.read("<qq")
        if version == 11 and kind == SUPERVISED:
            longest = 0  # its maker's own rule: old classifiers have no n-grams
        subwords = Subwords(shortest, longest, buckets) if longest > 0 and buckets else None
        rows = len(names) + (buckets if subwords else 0)
        if dim != D or rows > V:
            raise reader.fault(
                f"a table of {V} x {D}; {len(names)} words, {buckets} buckets and {dim} columns need more"
            )
        table = reader.table(V, D, mapped)
    return WordVectors([as_word(name) for name in names], table[:rows], subwords), names


def _require_settings(reader: _Reader, dim: int, buckets: int, shortest: int, longest: int) -> None:
    if not 0 < dim <= MOST_DIM or buckets < 0 or not 0 <= shortest <= 1 << 16 or not 0 <= longest <= 1 << 16:
        raise reader.fault(f"dim {dim}, {buckets} buckets, n-grams from {shortest} to {longest}: no such model", 8)


def _read_words(reader: _Reader) -> list[bytes]:
    """Return the words of the dictionary, behind which labels stand that have no rows."""
    size, words, labels, _, pruned = reader.read("<iiiqq")
    if min(size, words, labels) < 0 or size != words + labels:
        raise reader.fault(f"a dictionary of {size} entries, {words} words and {labels} labels")
    if pruned > 0:
        raise ValueError(f"{reader.path}: not supported: a fastText model whose n-grams are pruned (a quantised one)")
    names = []
    for i in range(size):
        name = reader.text()
        _, label = reader.read("<qb")
        if label != (i >= words):
            raise reader.fault(f"entry {i} of the dictionary is a {'label' if label else 'word'} out of place")
        names.append(name)
    return names[:words]


class _Reader:
    """A file that is read in order; where it ends too early that is an error with the byte."""

    def __init__(self, path: Path, stream: BufferedReader) -> None:
        self.path, self._stream = path, stream
        self._size = path.stat().st_size

    def fault(self, what: str, at: int | None = None) -> ValueError:
        """Return the error of what was read last, or of what stands at a byte."""
        return fault(self.path, f"byte {self._stream.tell() if at is None else at}", what)

    def read(self, form: str) -> tuple[Any, ...]:
        """Return the next values."""
        at, size = self._stream.tell(), struct.calcsize(form)
        data = self._stream.read(size)
        if len(data) < size:
            raise self.fault(f"the file ends, {size} more bytes were expected", at)
        return struct.unpack(form, data)

    def text(self) -> bytes:
        """Return the next text, which ends with a NUL."""
        at, parts = self._stream.tell(), bytearray()
        while (end := (ahead := self._stream.peek()).find(b"\0")) < 0:
            if not ahead or len(parts) >= LONGEST_WORD:
                raise self.fault("a word does not end" if ahead else "the file ends in a word", at)
            parts += self._stream.read(len(ahead))
        parts += self._stream.read(end + 1)
        return bytes(parts[:-1])

    def table(self, V: int, D: int, mapped: bool) -> npt.NDArray[np.float32]:
        """Return the next V rows of D float32 numbers."""
        at = self._stream.tell()
        if self._size - at < V * D * 4:
            raise self.fault(f"the file ends within a table of {V} x {D} numbers, {V * D * 4} bytes", at)
        if mapped:
            return np.memmap(self.path, "<f4", "c", at, (V, D))
        table: npt.NDArray[np.float32] = np.fromfile(self._stream, "<f4", V * D).reshape(V, D)
        return table
