"""A file as it is stored: its size and checksum, and its lines by their numbers without reading all before them."""

from __future__ import annotations

import io
import zlib
from bisect import bisect_left
from typing import NamedTuple

from ..reading import Source
from ..reading.records import CHUNK, READERS


class Scan(NamedTuple):
    """What one reading of a file says."""

    size: int
    checksum: int
    first: int | None  # the checksum of the first bytes that were asked for; None if it is shorter
    first_ends_line: bool  # whether a line ends behind them
    ends: list[int]  # ends of lines before each CHUNK of bytes, from which a line is found


def scan(name: str, first: int) -> Scan:
    """Read a file once; `first` is of how many bytes the checksum is wanted too.

    Dates are not asked: a file may change within their grain, and be touched without a change. A checksum of all bytes
    costs less than the products with the vectors of its lines.
    """
    import numpy as np

    size = checksum = 0
    at_first, ends_line, ends = None, False, [0]
    with open(name, "rb") as file:
        while data := file.read(CHUNK):
            if size < first <= size + len(data):
                at_first = zlib.crc32(data[: first - size], checksum)
                ends_line = data[first - size - 1] == 10
            checksum = zlib.crc32(data, checksum)
            size += len(data)
            ends.append(ends[-1] + int(np.count_nonzero(np.frombuffer(data, np.uint8) == 10)))
    return Scan(size, checksum, at_first, ends_line, ends)


def lines_at(source: Source, found: Scan, numbers: list[int]) -> list[str]:
    """Return the documents on some lines of a text or JSONL file, whose numbers, from 1, ascend."""
    texts: list[str] = []
    with open(source.name, "rb") as file:
        here = 0  # the number of the line before the place of the file; 0 is before the first
        for number in numbers:
            # The last chunk in which the line before cannot have begun; there reading begins inside of a line.
            chunk = max(bisect_left(found.ends, number - 1) - 1, 0)
            if not here or found.ends[chunk] > here:
                file.seek(chunk * CHUNK)
                here = found.ends[chunk]
            for line in file:
                here += 1
                if here == number:
                    texts += _document(source, line, number)
                    break
    if len(texts) < len(numbers):
        raise ValueError(f"{source.name}: changed while it was read")
    return texts


def _document(source: Source, line: bytes, number: int) -> list[str]:
    """Return what a line holds, as it is read in its place."""
    reader = READERS[source.kind](source.name, source.field, io.BytesIO(line), 0)
    reader.offset = reader.records = number - 1  # so that the first line alone may have a byte order mark
    return [text for texts, _ in reader.blocks() for text in texts]
