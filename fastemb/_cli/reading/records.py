"""Readers of documents, one a kind of file: blocks of texts, and how far each has come.

A reader knows after every block how many bytes and documents of its file it has given, and a checksum of them. Where a
row is damaged it first gives those before it, then says which it is.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 17  # bytes read at a time: what memory is in proportion to
BATCH = 1 << 15  # documents of a block at most: a block of empty lines would have a row of vectors for every byte
DEFAULT_FIELD = "text"

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # what a file of it begins with


class Notes:
    """What is kept of every document beside its text, for a command that asks: its line, and other fields.

    Parameters
    ----------
    fields : sequence of str
        The names of these fields.
    whole : bool
        Whether rows are kept whole.

    Attributes
    ----------
    lines : array of int
        The line on which each document begins; of Parquet, its row. Both from 1.
    values : list of list
        For each field, its value in every document, as the file has it; None where an object of JSONL lacks it.
    starts : list of int
        The number of documents before each file.
    rows : list of str
        With ``whole`` every document of JSONL as its line, and of CSV and TSV as a JSON object of its columns; of other
        files nothing.
    """

    def __init__(self, fields: Sequence[str] = (), whole: bool = False) -> None:
        self.fields, self.whole = tuple(fields), whole
        self.rows: list[str] = []
        self.lines = array("Q")
        self.values: list[list[object]] = [[] for _ in self.fields]
        self.starts: list[int] = []

    def add(self, line: int, row: Iterable[object]) -> None:
        """Note a document: the line on which it begins, and its values of the fields."""
        self.lines.append(line)
        for values, value in zip(self.values, row, strict=True):
            values.append(value)


class Lines:
    r"""A text file: every line is a document, of which ``\n``, and one ``\r`` before it, are no part."""

    share = 0.0  # of the file that was read, where bytes do not say it
    by_lines = False  # whether blocks of text are `PackedLines`, not lists
    notes: Notes | None = None  # where they are wanted

    def __init__(self, name: str, field: str | None, stream: IO[bytes], checksum: int) -> None:
        self.name, self.field, self.checksum = name, field, checksum
        self.offset = self.records = 0
        self._stream = stream

    def skip(self, offset: int | None, records: int | None) -> None:
        """Read up to a place, or all, for the checksum alone."""
        left = sys.maxsize if offset is None else offset
        while left and (data := self._stream.read(min(left, CHUNK))):
            self.checksum = zlib.crc32(data, self.checksum)
            self.offset += len(data)
            left -= len(data)
        self.records += records or 0

    def blocks(self) -> Iterator[tuple[Sequence[str], int]]:
        """Give the documents, and the bytes that they took."""
        for data in self._whole_lines():
            try:
                texts, more = self._texts(data)
            except _BadRow as bad:
                if bad.texts:
                    self._count(data[: bad.start], bad.rows)
                    yield bad.texts, bad.start
                raise ValueError(f"{self.name}: {bad}") from None
            self._count(data, more)
            yield texts, len(data)

    def _count(self, data: bytes, records: int) -> None:
        self.offset += len(data)
        self.records += records
        self.checksum = zlib.crc32(data, self.checksum)

    def _whole_lines(self) -> Iterator[bytes]:
        """Give some lines at a time, at most `BATCH`; a line is never cut, however long it is."""
        parts: list[bytes] = []  # joined once: a line of a gigabyte would else be copied over and over
        while data := self._stream.read(CHUNK):
            end = data.rfind(b"\n") + 1
            if end:
                yield from _at_most(b"".join([*parts, data[:end]]))
                parts = []
            parts.append(data[end:])
        if rest := b"".join(parts):  # what stands behind the last \n is a line only if it is something
            yield rest

    def _decoded(self, data: bytes, decode: Callable[[bytes], Any]) -> Any:
        """Return what becomes of some lines, the byte order mark left out that may stand before the first."""
        plain = data if self.offset else data.removeprefix(_BOM)
        try:
            return decode(plain)
        except UnicodeDecodeError as error:
            at = len(data) - len(plain) + error.start
            start = data.rfind(b"\n", 0, at) + 1
            line = self.records + data.count(b"\n", 0, start) + 1
            place = f"byte 0x{data[at]:02X} at offset {self.offset + at} (line {line})"
            before, rows = self._texts(data[:start]) if start else ([], 0)
            raise _BadRow(f"not UTF-8: {place}{_utf16(data, self.offset)}", before, start, rows) from None

    def _texts(self, data: bytes) -> tuple[Sequence[str], int]:
        """Return the documents of some lines, and how many lines they are."""
        from ..._static.stages import PackedLines

        lines = self._decoded(data, PackedLines)
        if self.notes is not None:
            self.notes.lines.extend(range(self.records + 1, self.records + len(lines) + 1))
        return lines if self.by_lines else lines.strings, len(lines)


def _utf16(data: bytes, before: int) -> str:
    """Return what helps where a file, of which so much stands before, begins as UTF-16 does."""
    return "; it begins as UTF-16 does: save it as UTF-8" if not before and data.startswith(_UTF16) else ""


class _BadRow(ValueError):
    """A row that is no document; the documents before it, where they end, and how many rows they are."""

    def __init__(self, words: str, texts: Sequence[str], start: int, rows: int) -> None:
        super().__init__(words)
        self.texts, self.start, self.rows = texts, start, rows


def _at_most(data: bytes) -> Iterator[bytes]:
    """Cut some lines behind every `BATCH`-th."""
    import numpy as np

    from ..._static.stages import line_ends

    if line_ends(data) <= BATCH:
        yield data
        return
    start = 0
    for end in (np.flatnonzero(np.frombuffer(data, np.uint8) == 10)[BATCH - 1 :: BATCH] + 1).tolist():
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]


class Json(Lines):
    """JSON Lines: every line is an object with a field that holds the text, or a string; empty lines are none."""

    def _texts(self, data: bytes) -> tuple[list[str], int]:
        texts: list[str] = []
        lines = self._decoded(data, bytes.decode).split("\n")
        for number, line in enumerate(lines):
            if not line or line.isspace():
                continue
            try:
                texts.append(self._text(line, self.records + number + 1))
            except ValueError as error:
                start = 0
                for _ in range(number):
                    start = data.index(b"\n", start) + 1
                words = f"line {self.records + number + 1}: {error}"
                raise _BadRow(words, texts, start, number) from None
        return texts, len(lines) - (not lines[-1])

    def _text(self, line: str, number: int) -> str:
        try:
            found = value = json.loads(line)
        except json.JSONDecodeError as error:
            hint = " (.json is read as JSON Lines, a value a line)" if ".json" in Path(self.name).suffixes else ""
            raise ValueError(f"not JSON: {error.msg} at column {error.colno}{hint}") from None
        except RecursionError:
            raise ValueError("not JSON: too deep") from None
        except ValueError:  # what Python says of it names a setting of Python
            raise ValueError("not JSON: a number has too many digits") from None
        if isinstance(value, dict):
            field = DEFAULT_FIELD if self.field is None else self.field
            if field not in value:
                raise ValueError(_no_field(field, list(value)))
            value = value[field]
        elif self.field is not None:
            raise ValueError(f"expected an object with the field {self.field!r}, got {_json_name(value)}")
        if not isinstance(value, str):
            raise ValueError(f"expected a text, got {_json_name(value)}")
        if "\\u" in line and any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError("the text holds half of a surrogate pair")
        if self.notes is not None:
            row = found if isinstance(found, dict) else {}
            self.notes.add(number, map(row.get, self.notes.fields))
            if self.notes.whole:
                self.notes.rows.append(line.strip())
        return value


def _json_name(value: object) -> str:
    names = {dict: "an object", list: "an array", bool: "a bool", type(None): "null"}
    return names.get(type(value), "a number")


def _no_field(field: str, found: list[str]) -> str:
    return f"no field {field!r}; there are {', '.join(map(repr, found[:8])) or 'none'} (--field names one)"


class _Rows(Lines):
    """What files that are read by rows have in common: a place is a number of rows."""

    def skip(self, offset: int | None, records: int | None) -> None:
        """Read up to a place, or all, for the checksum alone."""
        for text in self._named_rows():
            self._add([text])
            if self.records == records:
                return

    def _add(self, texts: list[str]) -> None:
        self.records += len(texts)
        self.checksum = zlib.crc32("".join(f"{text}\0" for text in texts).encode(), self.checksum)

    def blocks(self) -> Iterator[tuple[Sequence[str], int]]:
        """Give the documents, and the bytes that they took."""
        texts: list[str] = []
        size = 0
        bad: ValueError | None = None
        rows = self._named_rows()
        while True:
            try:
                text = next(rows, None)
            except ValueError as error:
                text, bad = None, error
            if text is not None:
                texts.append(text)
                size += len(text)
            if texts and (text is None or size >= CHUNK or len(texts) >= BATCH):
                self._add(texts)
                yield texts, size
                texts, size = [], 0
            if text is None:
                break
        if bad is not None:
            raise bad

    def _named_rows(self) -> Iterator[str]:
        try:
            # `yield from` would close them when this is left, and `blocks` goes on where `skip` has stopped.
            for text in self._rows():  # noqa: UP028
                yield text
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

    def _rows(self) -> Iterator[str]:
        raise NotImplementedError


class Csv(_Rows):
    """Comma-separated values as Python's `csv` reads them; the first row names the columns."""

    options: dict[str, Any] = {"delimiter": ",", "strict": True}  # noqa: RUF012 (never written)

    def __init__(self, name: str, field: str | None, stream: IO[bytes], checksum: int) -> None:
        super().__init__(name, field, stream, checksum)
        csv.field_size_limit(sys.maxsize)
        self._table: Any = None
        self._read = self._read_rows()

    def _rows(self) -> Iterator[str]:
        return self._read  # one: what was skipped is behind it

    def _read_rows(self) -> Iterator[str]:
        table = csv.reader(self._strings(), **self.options)
        try:
            names = next(table, None)
            column = None if names is None else _column(names, self.field)
            noted = [] if self.notes is None else [_column(names or [], field) for field in self.notes.fields]
            end = table.line_num
            for row in table:
                line, end = end + 1, table.line_num  # a quoted value may hold ends of lines
                if not row:
                    continue
                if len(row) != len(names or ()):
                    raise ValueError(
                        f"line {table.line_num}: {len(row)} columns, where the first row has {len(names or ())}"
                    )
                if self.notes is not None:
                    self.notes.add(line, [row[place] for place in noted])
                    if self.notes.whole:
                        columns = dict(zip(names or (), row, strict=True))
                        self.notes.rows.append(json.dumps(columns, ensure_ascii=False))
                yield row[column or 0]
        except csv.Error as error:
            raise ValueError(f"line {table.line_num}: {error}") from None

    def _strings(self) -> Iterator[str]:
        """Give lines with their ends, which a quoted value may hold."""
        lines = 0
        for data in self._whole_lines():
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError as error:
                yield from io.StringIO(data[: data.rfind(b"\n", 0, error.start) + 1].decode("utf-8"), newline="")
                line = lines + data.count(b"\n", 0, error.start) + 1
                raise ValueError(
                    f"line {line}: not UTF-8: byte 0x{data[error.start]:02X}{_utf16(data, lines)}"
                ) from None
            yield from io.StringIO(text if lines else text.removeprefix("\ufeff"), newline="")
            lines += data.count(b"\n")


class Tsv(Csv):
    """Tab-separated values: no value is quoted, so a quotation mark is a character like any other."""

    options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}  # noqa: RUF012 (never written)


def _column(names: list[str], field: str | None) -> int:
    if field is None and len(names) == 1:
        return 0
    field = DEFAULT_FIELD if field is None else field
    if field not in names:
        raise ValueError(_no_field(field, names))
    if names.count(field) > 1:
        raise ValueError(f"{names.count(field)} columns are called {field!r}; which of them holds the text?")
    return names.index(field)


class Parquet(_Rows):
    """A column of strings of a Parquet file, by pyarrow."""

    def __init__(self, name: str, field: str | None, stream: IO[bytes], checksum: int) -> None:
        super().__init__(name, field, stream, checksum)
        try:
            import pyarrow
            import pyarrow.parquet
        except ModuleNotFoundError:
            raise ModuleNotFoundError(f"reading {name} needs the package pyarrow: pip install pyarrow") from None
        try:
            self._file = pyarrow.parquet.ParquetFile(name)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{name}: damaged Parquet file: {error}") from None
        self._read = self._read_rows(pyarrow)

    def _rows(self) -> Iterator[str]:
        return self._read

    def _read_rows(self, pyarrow: Any) -> Iterator[str]:
        schema = self._file.schema_arrow
        name = schema.names[_column(schema.names, self.field)]
        kind = schema.field(name).type
        plain = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
        if plain not in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()):
            raise ValueError(f"column {name!r} is of {kind}, expected string")
        done, total = 0, max(1, self._file.metadata.num_rows)
        wanted = [] if self.notes is None else [schema.names[_column(schema.names, f)] for f in self.notes.fields]
        for batch in self._batches([*dict.fromkeys([name, *wanted])]):
            rows = zip(*(batch.column(column).to_pylist() for column in wanted), strict=True)
            for text in _strings(batch.column(name), done):
                done += 1
                if text is None:
                    raise ValueError(f"row {done} is null, expected a text")
                if self.notes is not None:
                    self.notes.add(done, next(rows, ()))
                yield text
            self.share = done / total

    def _batches(self, names: list[str]) -> Iterator[Any]:
        try:
            yield from self._file.iter_batches(batch_size=1 << 12, columns=names)
        except OSError as error:  # a damaged page
            raise ValueError(f"damaged Parquet file: {error}") from None


def _strings(column: Any, row: int) -> Iterator[str | None]:
    """Give the strings of some rows, behind so many; pyarrow looks at bytes only when it makes a ``str`` of them."""
    try:
        texts = column.to_pylist()
    except UnicodeDecodeError:
        texts = (item.as_py() for item in column)  # up to the one
    try:
        for text in texts:
            row += 1
            yield text
    except UnicodeDecodeError as error:
        raise ValueError(f"row {row + 1}: not UTF-8: byte 0x{error.object[error.start]:02X}") from None


READERS: dict[str, type[Lines]] = {"text": Lines, "jsonl": Json, "csv": Csv, "tsv": Tsv, "parquet": Parquet}
