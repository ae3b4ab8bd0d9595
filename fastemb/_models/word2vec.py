"""word2vec's binary files, and writing both of its formats."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from .words import WordVectors, as_word, fault, new_table, parse_header

LONGEST_WORD = 1 << 16  # bytes: where no blank comes within them, the file is damaged
BLOCK = 1 << 12  # rows that are written at once

Rows = npt.NDArray[np.float32]


def read_binary_vectors(path: Path) -> WordVectors:
    """Read a file: a header, then for each word its name, a blank, and float32 numbers of least byte first.

    Rows do not lie at equal distances, so that the file cannot serve as the table: they are copied.

    Raises
    ------
    ValueError
        The file ends too early, or goes on behind the last word, or a name does not end. The message names the byte.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(b"\n") + 1
        header = parse_header(data[:at])
        assert header is not None, "the caller has read it"
        V, D = header
        table = new_table(path, V, D, len(data))
        words = []
        for i in range(V):
            end = data.find(b" ", at, at + LONGEST_WORD)
            if end < 0 or end + 1 + 4 * D > len(data):
                short = f"the file ends after {i} of {V} words" if at + LONGEST_WORD > len(data) else "no word ends"
                raise fault(path, f"byte {at}", short)
            name = data[at:end].lstrip(b"\r\n")  # some makers end each row with a line end
            if not name:
                raise fault(path, f"byte {at}", "a word is empty")
            words.append(as_word(name))
            table[i] = np.frombuffer(data, "<f4", D, end + 1)
            at = end + 1 + 4 * D
        if data[at:].strip():
            raise fault(path, f"byte {at}", f"the header announces {V} words, and {len(data) - at} bytes follow")
    return WordVectors(words, table)


def write_vectors(
    stream: IO[bytes], words: Sequence[str], dim: int, rows: Callable[[int, int], Rows], binary: bool
) -> None:
    """Write words and the rows that ``rows(first, end)`` gives for them."""
    stream.write(f"{len(words)} {dim}\n".encode())
    line = " %.9g" * dim + "\n"  # nine digits tell all float32 apart
    for first in range(0, len(words), BLOCK):
        some = [word.encode() for word in words[first : first + BLOCK]]
        block = rows(first, first + len(some))
        if binary:
            whole = block.astype("<f4", copy=False)
            stream.write(b"".join(b"%b %b\n" % (word, row.tobytes()) for word, row in zip(some, whole, strict=True)))
        else:
            lines = ((line % tuple(row)).encode() for row in block.tolist())
            stream.write(b"".join(word + numbers for word, numbers in zip(some, lines, strict=True)))
