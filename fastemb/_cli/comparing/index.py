"""The vectors of a file, kept beside it: which of its documents may be nearest to a query, without encoding them all.

An index is a header of fixed length and then, for every document of which something is known, its line and its vector
in float16; both have checksums, as a vector that is another would drop a document without a word. It is a function of
the documents alone, not of the blocks in which they came, so that a run that was ended goes on and ends with the same
bytes; it appears when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import fastemb

from .. import reading
from ..progress import LOADING, Progress
from ..reading.records import CHUNK
from ..writing.resuming import Part
from .documents import blocks_of, known
from .scan import Scan, lines_at, scan

if TYPE_CHECKING:
    from .documents import Rows, Vectors

SUFFIX = ".fastemb-index"
HEADER = 512  # bytes
MORE = 64  # documents that are looked at beside those asked for, to see whether some are too near to be told apart

_MAGIC = b"fastemb index "  # and the version, the header's checksum, and the header as JSON
_VERSION = b"2"


class Stored(NamedTuple):
    """An index as it is stored."""

    header: dict[str, Any]
    records: Any  # mapped into memory


class Index(NamedTuple):
    """The records of an index, and the file that it is of, as that was found."""

    records: Any
    source: reading.Source
    scan: Scan

    def near(self, query: Vectors, k: int) -> Rows:
        """Return the lines of all documents that may be among the k nearest, ascending.

        A number of a unit vector moves by at most 2**-11 of itself when it is rounded to float16, or by 2**-25 where
        it is subnormal; so a product with a unit query moves by at most 2**-11 + sqrt(D) 2**-25, and float32 did its
        part before. The k nearest are among those that are not farther than twice that below the k-th product.
        """
        import numpy as np

        vectors, lines = self.records["vector"], self.records["line"]
        if not len(lines):
            return np.empty(0, np.int64)
        moved = 2.0**-11 + vectors.shape[1] ** 0.5 * 2.0**-25 + 2.0**-20
        wanted = k + MORE
        while True:
            wanted = min(wanted, len(lines))
            scores, ids = fastemb.topk(query, vectors, wanted, metric="dot")
            limit = scores[k - 1] - 2 * moved if k < wanted else -2.0
            if wanted == len(lines) or scores[-1] < limit:
                return np.sort(lines[ids[scores >= limit]])
            wanted *= 4

    def texts(self, lines: Rows) -> list[str]:
        """Return the documents that begin on some lines, which ascend."""
        if self.source.kind in ("text", "jsonl") and not self.source.packed:
            return lines_at(self.source, self.scan, lines.tolist())
        wanted, found = set(lines.tolist()), []
        for block, here, _ in blocks_of([self.source]):
            found += [text for text, line in zip(block.texts, here.tolist(), strict=True) if line in wanted]
            if len(found) == len(wanted):
                return found
        raise ValueError(f"{self.source.name}: changed while it was read")


def check(files: list[reading.Source]) -> None:
    """Refuse files that have no place for an index, before anything is read."""
    for source in files:
        if source.name == "-" or not os.path.isfile(source.name):
            raise ValueError(f"{source.name}: an index is kept beside a file, which this is not")


def kept(path: Path, source: reading.Source, model: fastemb.StaticModel, identity: Any, quiet: bool) -> Index:
    """Return the index of a file as the file is: the one that is kept, or a new one, or one that goes on with it."""
    old = _opened(path)
    found = scan(source.name, old.header["size"] if old else 0)
    dim = len(model.encode("a"))
    decides = _digest([fastemb.__version__, identity, dim, source.kind, source.packed, source.field])
    if old is not None and old.header["decides"] != decides:
        old = None
    header = {"decides": decides, "dim": dim, "size": found.size, "checksum": found.checksum}
    if not _is_of(old, header):
        _write(path, source, model, header, old if old and _has_grown(old.header, source, found) else None, quiet)
        old = _opened(path)
    _narrow(path, source.name)
    if old is None:
        raise ValueError(f"{path}: changed while it was read")
    return Index(old.records, source, found)


def _is_of(stored: Stored | None, header: dict[str, Any]) -> bool:
    """Whether an index is that of a file and a model as they are."""
    return stored is not None and all(stored.header[name] == value for name, value in header.items())


def _has_grown(header: dict[str, Any], source: reading.Source, found: Scan) -> bool:
    """Whether a file has the bytes that an index is of, and more behind them, which begin with a new document."""
    plain = not source.packed and source.kind != "parquet" and header["at"] is not None
    return plain and found.size > header["size"] and found.first == header["checksum"] and found.first_ends_line


def _record(dim: int) -> Any:
    import numpy as np

    return np.dtype([("line", "<i8"), ("vector", "<f2", (dim,))])


def _opened(path: Path) -> Stored | None:
    """Return an index as it is stored; None where there is none that is whole."""
    import numpy as np

    try:
        with open(path, "rb") as file:
            head = file.read(HEADER)
    except FileNotFoundError:
        return None
    if head and not head.startswith(_MAGIC):
        raise ValueError(f"{path}: is no index of fastemb: it is in the way")
    version, _, said = head.removeprefix(_MAGIC).partition(b"\n")
    if version != _VERSION or said != _checked(said[9:]):
        return None
    header = json.loads(said[9:])
    kind = _record(header["dim"])
    if path.stat().st_size != HEADER + header["rows"] * kind.itemsize:
        return None
    records: Any = np.empty(0, kind)
    if header["rows"]:
        records = np.asarray(np.memmap(path, kind, "r", HEADER, (header["rows"],)))
    return Stored(header, records) if zlib.crc32(records.view("u1")) == header["records"] else None


def _checked(said: bytes) -> bytes:
    return b"%08x %s" % (zlib.crc32(said), said)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _write(
    path: Path,
    source: reading.Source,
    model: fastemb.StaticModel,
    header: dict[str, Any],
    old: Stored | None,
    quiet: bool,
) -> None:
    """Write an index, behind the records of an old one where there is one to go on with."""
    run = {"decides": header["decides"], "old": old and old.header}  # of the file no more: what was read is looked at
    mode = os.stat(source.name).st_mode & 0o666  # who may not read the file may not read what its texts are about
    with Part(path, run, quiet, wait=True, mode=mode) as part:
        if part.waited and _is_of(_opened(path), header):
            part.discard()
            return
        if part.state is not None:
            at = part.state["at"]
        else:
            part.write(bytes(HEADER))
            at = old and old.header["at"]
            if old is not None:
                part.write(old.records.view("u1"))
        try:
            at = _add(part, source, model, header["dim"], at, quiet)
        except reading.ChangedError as error:  # what the part has is of a file that was another
            part.restart(str(error))
            part.write(bytes(HEADER))
            at = _add(part, source, model, header["dim"], None, quiet)
        header |= {"at": at, "rows": (part.size - HEADER) // _record(header["dim"]).itemsize}
        part.finish(lambda file, new: _put(file, header, source.name), elsewhere=False)


def _narrow(path: Path, name: str) -> None:
    """Take from an index the rights that its file no longer has; of somebody else's index that is not ours to do."""
    rights = os.stat(path).st_mode & 0o777
    if rights & ~os.stat(name).st_mode:
        with suppress(PermissionError):
            os.chmod(path, rights & os.stat(name).st_mode)


def _put(file: IO[bytes], header: dict[str, Any], name: str) -> None:
    """Write the header in front of the records, and into it their checksum; who may not read the file may not read it.

    A vector says what a text is about.
    """
    os.fchmod(file.fileno(), os.stat(name).st_mode & 0o666)
    file.seek(HEADER)
    checksum = 0
    while data := file.read(CHUNK):
        checksum = zlib.crc32(data, checksum)
    said = json.dumps({**header, "records": checksum}).encode()
    file.seek(0)
    front = _MAGIC + _VERSION + b"\n"
    file.write(front + _checked(said.ljust(HEADER - len(front) - 10) + b"\n"))


def _add(part: Part, source: reading.Source, model: fastemb.StaticModel, dim: int, at: Any, quiet: bool) -> Any:
    """Write the records of what stands behind a place, and return where it ends."""
    import numpy as np

    progress = Progress(source.size, quiet)
    documents = 0
    with closing(progress):
        progress.say(LOADING)
        for block, lines, _ in blocks_of([source], at and reading.Position(*at)):
            vectors = model.encode(block.texts, normalize=True)
            rows = known(vectors)
            records = np.empty(rows.size, _record(dim))
            records["line"], records["vector"] = lines[rows], vectors[rows]
            part.write(records.view(np.uint8))
            at = list(block.end)
            part.keep({"at": at})
            documents += len(block.texts)
            progress.show(block.stored, documents, block.size)
    return at
