"""Documents out of files of several kinds, in blocks of bounded size, and where each block ends.

A place in the input is kept with a checksum of all that was read before it: so a later run can tell that the files
still begin as they did, whatever their dates say, and that only what comes behind that place was mended or appended.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .packed import PACKED, opened
from .records import READERS, Notes

KINDS = tuple(READERS)

_JSON_LINES = (".jsonl", ".ndjson", ".json")  # the last is one value at times, which is refused; none is plain text
_SUFFIXES = dict.fromkeys(_JSON_LINES, "jsonl") | {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet"}


class Source(NamedTuple):
    """A file: what is in it, and how it is packed."""

    name: str
    kind: str
    packed: str  # "", ".gz" or ".zst"
    field: str | None
    size: int  # bytes as it is stored; 0 where that is not known


class Position(NamedTuple):
    """A place between two documents."""

    file: int = 0  # which of the files
    offset: int = 0  # bytes of it, unpacked, that were read; 0 where its kind is read by rows
    records: int = 0  # documents of it that were read
    checksum: int = 0  # of all of them, files before it included


class Block(NamedTuple):
    """Some documents, and where they end."""

    texts: Any  # a list of str; or `PackedLines`, where a reader is asked for these
    end: Position
    stored: int  # bytes of all files, as they are stored, up to there
    size: int  # bytes of its documents, as far as that is known without counting


def sources(names: Sequence[str], kind: str | None = None, field: str | None = None) -> list[Source]:
    """Say what files are, by their names where no kind is given, and that they can be read.

    Raises
    ------
    ValueError
        Standard input is closed or named twice, or of a kind that is not read in one go; or a field is named and no
        file has fields.
    OSError
        A file cannot be read.
    """
    found = [_source(name, kind, field) for name in names]
    if names.count("-") > 1:
        raise ValueError("standard input (-) is named more than once")
    if field is not None and all(source.kind == "text" for source in found):
        raise ValueError(f"--field {field}: {names[0]} is read as text, which has no fields (see --from)")
    return found


def _source(name: str, kind: str | None, field: str | None) -> Source:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    kind = kind or _SUFFIXES.get(suffixes[-1] if suffixes else "", "text")
    if name == "-":
        if sys.stdin is None:
            raise ValueError("standard input is closed")
        if kind == "parquet":
            raise ValueError("Parquet is read from its end: it cannot come by standard input")
        return Source(name, kind, "", field, 0)
    if packed and kind == "parquet":
        raise ValueError(f"{name}: Parquet is packed inside; unpack the file first")
    size = os.stat(name).st_size
    if os.path.isfile(name):  # a pipe must not be opened twice
        with open(name, "rb"):
            pass
    elif os.path.isdir(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    elif kind == "parquet":
        raise ValueError(f"{name}: Parquet is read from its end: it cannot come by a pipe")
    return Source(name, kind, packed, field, size)


class ChangedError(ValueError):
    """The files do not begin with what was read before."""


def read(
    files: Sequence[Source], start: Position | None = None, *, by_lines: bool = False, notes: Notes | None = None
) -> Iterator[Block]:
    """Give the documents of files, from a place on, behind which they are as they were.

    They are lists of str, those of text files `PackedLines` if asked for. With `notes` the lines of the documents, and
    the fields that are asked for, are noted there; of rows before `start`, too, where these have to be read.

    Raises
    ------
    ChangedError
        The files do not begin with what had been read before `start`.
    ValueError
        A row is damaged, or lacks the field; all documents before it have been given.
    OSError
        A file cannot be read.
    """
    resumed = start is not None and start != Position()
    start = start or Position()
    checksum, before = 0, 0
    for number, source in enumerate(files):
        with opened(source.name, source.packed) as (stream, stored):
            reader = READERS[source.kind](source.name, source.field, stream, checksum)
            reader.by_lines = by_lines
            if notes is not None:
                reader.notes = notes
                notes.starts.append(len(notes.lines))
            if resumed and number <= start.file:  # read for the checksum alone
                reader.skip(start.offset, start.records) if number == start.file else reader.skip(None, None)
                if number == start.file and reader.checksum != start.checksum:
                    raise ChangedError(f"{source.name}: does not begin as it did when the run before was ended")
            if number >= start.file:
                for texts, size in reader.blocks():
                    end = Position(number, reader.offset, reader.records, reader.checksum)
                    yield Block(texts, end, before + (stored() or int(source.size * reader.share)), size)
            checksum = reader.checksum
        before += source.size


def texts(files: Sequence[Source]) -> Iterator[str]:
    """Give the documents of files, one by one."""
    for block in read(files):
        yield from block.texts
