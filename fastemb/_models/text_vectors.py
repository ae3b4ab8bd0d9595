"""Word vectors as text, a word and its numbers a line: word2vec's and fastText's with a header, GloVe's without."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from .words import WordVectors, as_word, fault, new_table, parse_header

Rows = npt.NDArray[np.float32]

BLOCK = 1 << 22  # bytes of lines whose numbers are read by one call


def read_text_vectors(path: Path, stream: IO[bytes], size: int) -> WordVectors:
    """Read all lines of a file; `size` bounds its bytes, so that a header cannot ask for more memory than it has.

    Raises
    ------
    ValueError
        A line has too few or too many numbers, or something that is none; or there are fewer or more lines than the
        header says. The message names the line.
    """
    first = stream.readline().removeprefix(b"\xef\xbb\xbf")
    header = parse_header(first)
    words: list[str] = []
    if header is None:
        D = len(first.split()) - 1
        found = [_read_block(path, [first], 1, D, words, strict=False)]
        found += [_read_block(path, lines, len(words) + 1, D, words, strict=False) for lines in _blocks(stream)]
        return WordVectors(words, np.concatenate(found))
    V, D = header
    table = new_table(path, V, D, size)
    for lines in _blocks(stream):
        at = len(words)
        rows = _read_block(path, lines, at + 2, D, words, strict=True)
        if len(words) > V:
            raise fault(path, f"line {V + 2}", f"the header announces {V} words, and more lines follow")
        table[at : len(words)] = rows
    if len(words) < V:
        raise fault(path, f"line {len(words) + 2}", f"the file ends after {len(words)} of {V} words")
    return WordVectors(words, table)


def _blocks(stream: IO[bytes]) -> Iterable[list[bytes]]:
    """Yield the lines of a file, some MiB at a time; empty lines at its end are none."""
    waiting: list[bytes] = []
    while lines := stream.readlines(BLOCK):
        lines = waiting + lines
        end = len(lines)
        while end and not lines[end - 1].strip():
            end -= 1
        waiting = lines[end:]
        if end:
            yield lines[:end]


def _read_block(path: Path, lines: list[bytes], number: int, D: int, words: list[str], *, strict: bool) -> Rows:
    """Return the rows of some lines, the first of which has this number, and add their words."""
    parts = []
    for i, line in enumerate(lines):
        word, _, numbers = line.rstrip().partition(b" ")
        if not word or numbers.count(b" ") != D - 1:
            word, numbers = _apart(path, line, number + i, D, strict)
        words.append(as_word(word))
        parts.append(numbers)
    flat = _parse(b" ".join(parts))
    if flat is None or flat.size != len(lines) * D:
        for i, numbers in enumerate(parts):
            row = _parse(numbers)
            if row is None or row.size != D:
                odd = next((one for one in numbers.split() if _parse(one) is None), numbers)
                raise fault(path, f"line {number + i}", f"expected {D} numbers behind the word, found {odd[:40]!r}")
    assert flat is not None
    return flat.reshape(len(lines), D)


def _apart(path: Path, line: bytes, number: int, D: int, strict: bool) -> tuple[bytes, bytes]:
    """Return the word and the numbers of a line that is not just one blank between each two.

    Tabs and several blanks may stand there. GloVe's words may hold blanks themselves (". . ."), which are told from
    surplus numbers by not being all numbers.
    """
    fields = line.split()
    surplus = fields[1 : len(fields) - D]
    if len(fields) <= D or (surplus and (strict or all(_parse(one) is not None for one in surplus))):
        found = len(fields) - 1 if fields and line[:1].strip() else len(fields)
        raise fault(path, f"line {number}", f"expected a word and {D} numbers, found {max(found, 0)} numbers")
    return b" ".join(fields[: len(fields) - D]), b" ".join(fields[len(fields) - D :])


def _parse(numbers: bytes) -> Rows | None:
    """Return numbers in float32, read as float64 first, as others do; None: something is no number."""
    with warnings.catch_warnings(), np.errstate(over="ignore"):  # beyond float32: infinite
        warnings.simplefilter("error")  # NumPy warns, or raises, where it stops before the end
        try:
            return np.fromstring(numbers, np.float64, sep=" ").astype(np.float32)
        except (ValueError, DeprecationWarning):
            return None


def are_numbers(fields: list[bytes]) -> bool:
    """Whether there are some, and each is a number."""
    return bool(fields) and all((row := _parse(field)) is not None and row.size == 1 for field in fields)
