"""Ids in shards of so many tokens: files that appear whole, a journal of them, and a manifest when all are there.

What is in a shard depends on the ids alone, not on the parts in which they come: ids stand one behind another, cut
behind every so many of them, and a document ends in the shard that holds its last id (one without ids where the one
before it did).
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from .._text.files import replacing
from ._recorded import NO_DIGEST, Recorded, are_blocks, is_count

HEADER = 128  # bytes of a .npy file before its numbers
MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
_BEGINNING = 12  # bytes of a journal that was cut off in its first line, by which it is known


class Shards:
    """The shards of a folder.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    said : mapping
        All that decides what shards hold but the texts, with ``"dtype"`` and ``"shard_tokens"``; the manifest has it.

    Attributes
    ----------
    manifest : dict or None
        That of a run which has ended, else None.
    recorded : Recorded
        The blocks whose ids an earlier run has written.

    Raises
    ------
    ValueError
        The folder holds other files, shards of a run in which something else was said, or is written to by another run.
    """

    def __init__(self, folder: Path, said: Mapping[str, Any]) -> None:
        self._folder, self._said = folder, json.loads(json.dumps(said))
        self._dtype, self._tokens = np.dtype(said["dtype"]), int(said["shard_tokens"])
        self.manifest: dict[str, Any] | None = None
        self.recorded = Recorded(folder, [])
        self._known: list[dict[str, Any]] = []  # shards that an earlier run has finished
        self._done: list[dict[str, Any]] = []
        self._ends: list[npt.NDArray[np.int64]] = []  # of the documents of the shard that is open, counted within it
        self._filled = self._crc = 0  # ids of that shard
        self._before = 0  # ids of all shards before it
        self._documents = 0  # that were added
        self._blocks: list[list[Any]] = []  # which ended behind the last shard that is finished
        self._file: Any = None
        self._journal: Any = None

    def __enter__(self) -> Shards:
        self._folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in self._folder.iterdir()}
        if MANIFEST not in names:
            if names and JOURNAL not in names:
                raise ValueError(
                    f"{self._folder}: holds {min(names)!r}, and no shards; name a new folder, or an empty one"
                )
            self._journal = (self._folder / JOURNAL).open("a+b", buffering=0)
            try:
                fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not (self._folder / MANIFEST).exists():  # or another run has ended since the names were read
                    self._go_on()
                    return self
            except BlockingIOError:
                self._journal.close()
                raise ValueError(f"{self._folder}: is being written by another run") from None
            except BaseException:
                self._journal.close()
                raise
            self._journal.close()
        self._take_manifest()
        with suppress(OSError):  # of a run that was killed at its very end
            (self._folder / JOURNAL).unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            (self._folder / f"{self._names()[0]}.part").unlink(missing_ok=True)
        if self._journal is not None:
            self._journal.close()

    def add(self, ids: npt.NDArray[Any], lengths: npt.NDArray[np.int64], digest: bytes = NO_DIGEST) -> None:
        """Put documents behind those that are there: their ids one after another, and how many each has.

        By a digest of their texts a later run finds them in `recorded`, when all shards that they reach are finished.
        """
        place = [self._documents, lengths.size, self._before + self._filled, ids.size]
        ends = self._before + self._filled + np.cumsum(lengths, dtype=np.int64)
        while True:
            here = int(np.searchsorted(ends, self._before + self._tokens, side="right"))
            self._ends.append(ends[:here] - self._before)
            ends = ends[here:]
            part = ids[: self._tokens - self._filled]
            self._write(part)
            ids = ids[part.size :]
            if not ids.size:  # a full shard stays open: documents without ids may follow, which end in it
                break
            self._close()
        self._documents += lengths.size
        if digest:
            self._blocks.append([digest.hex(), *place])

    def finish(self) -> dict[str, Any]:
        """Write what is left and the manifest, and return it."""
        if self._filled or any(some.size for some in self._ends):
            self._close()
        if len(self._done) < len(self._known):
            raise self._changed(self._known[len(self._done)]["ids"])
        manifest = {
            **self._said,
            "tokens": sum(shard["tokens"] for shard in self._done),
            "documents": sum(shard["documents"] for shard in self._done),
            "shards": self._done,
        }
        with replacing(self._folder / MANIFEST) as file:
            file.write(json.dumps(manifest, indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        self._sync_folder()
        (self._folder / JOURNAL).unlink(missing_ok=True)  # a run that found the manifest may have removed it
        return manifest

    # ---------------------------------------------------------------- inside

    def _go_on(self) -> None:
        """Read what an earlier run has finished, or begin; what it has not finished is removed."""
        self._journal.seek(0)
        whole, _, torn = self._journal.read().rpartition(b"\n")
        lines = self._parsed(JOURNAL, whole.split(b"\n") if whole else [])
        begins = json.dumps(self._said).encode()[:_BEGINNING]
        if lines:
            self._require_same(lines[0])
            self.recorded = Recorded(self._folder, self._as_shards(JOURNAL, lines[1:]))
            self._known = [{name: shard[name] for name in shard if name != "blocks"} for shard in lines[1:]]
            for shard in self._known:
                self._require_whole(shard)
        elif not begins.startswith(torn[:_BEGINNING]):
            raise self._damaged(JOURNAL)
        # The folder is ours, and nothing was removed before that was known.
        for pattern in ("shard-*.npy.*", f"{MANIFEST}.*"):  # of a shard that is open, and of `replacing`
            for path in self._folder.glob(pattern):
                path.unlink()
        self._journal.truncate(len(whole) + bool(whole))  # a line that was cut off would make one with the next
        if not lines:
            self._note(self._said)

    def _take_manifest(self) -> None:
        """Read what a run that has ended says of its shards."""
        (found,) = self._parsed(MANIFEST, [(self._folder / MANIFEST).read_bytes()])
        self._require_same(found)
        shards = self._as_shards(MANIFEST, found.get("shards"))
        for name in ("tokens", "documents"):
            if found.get(name) != sum(shard[name] for shard in shards):
                raise self._damaged(MANIFEST)
        for shard in shards:
            self._require_whole(shard)
        self.manifest = found

    def _parsed(self, name: str, lines: list[bytes]) -> list[dict[str, Any]]:
        """Return the JSON of lines of a file, each an object."""
        try:
            found = [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            raise self._damaged(name) from None
        if not all(isinstance(line, dict) for line in found):
            raise self._damaged(name)
        return found

    def _as_shards(self, file: str, found: Any) -> list[dict[str, Any]]:
        """Return what a file says of shards, in order, if each is what a run notes of one."""
        if not isinstance(found, list):
            raise self._damaged(file)
        for number, shard in enumerate(found):
            names = dict(zip(("ids", "ends"), _names(number), strict=True))
            if not isinstance(shard, dict) or any(shard.get(kind) != name for kind, name in names.items()):
                raise self._damaged(file)
            numbers = [shard.get(name) for name in ("tokens", "documents", "crc32_ids", "crc32_ends")]
            if not (all(map(is_count, numbers)) and are_blocks(shard.get("blocks", []))):
                raise self._damaged(file)
        return found

    def _damaged(self, name: str) -> ValueError:
        return ValueError(
            f"{self._folder / name}: is damaged, or not of shards; name a new folder, or remove this one to begin anew"
        )

    def _require_same(self, found: Mapping[str, Any]) -> None:
        for name, value in self._said.items():
            if found.get(name) != value:
                was = json.dumps(found.get(name))
                raise ValueError(
                    f"{self._folder}: holds the shards of another run, whose {name} is {was}, not {json.dumps(value)}"
                )

    def _require_whole(self, shard: Mapping[str, Any]) -> None:
        for name, header, size in self._files(shard):
            path = self._folder / name
            if not path.is_file() or path.stat().st_size != HEADER + size or _first(path) != header:
                raise ValueError(f"{path}: is missing or damaged; remove {self._folder} to begin anew")

    def _require_sound(self, shard: Mapping[str, Any]) -> None:
        """Look at all numbers of a shard, of which perhaps none was read: the texts may come in other blocks."""
        for (name, _, size), crc in zip(self._files(shard), (shard["crc32_ids"], shard["crc32_ends"]), strict=True):
            if size and zlib.crc32(np.memmap(self._folder / name, np.uint8, "r", HEADER, (size,)).data) != crc:
                raise self._changed(name)

    def _files(self, shard: Mapping[str, Any]) -> list[tuple[str, bytes, int]]:
        """Return of both files of a shard the name, the header, and how many bytes follow it."""
        kinds = (("ids", self._dtype, shard["tokens"]), ("ends", np.dtype(np.int64), shard["documents"]))
        return [(shard[kind], _header(dtype, count), count * dtype.itemsize) for kind, dtype, count in kinds]

    def _names(self) -> tuple[str, str]:
        return _names(len(self._done))

    def _write(self, part: npt.NDArray[Any]) -> None:
        """Write ids of the shard that is open; of one that is finished only their checksum is made."""
        data = np.ascontiguousarray(part, self._dtype).data
        self._crc = zlib.crc32(data, self._crc)
        self._filled += part.size
        if len(self._done) >= len(self._known):
            if self._file is None:
                self._file = (self._folder / f"{self._names()[0]}.part").open("wb")
                self._file.write(bytes(HEADER))
            self._file.write(data)

    def _close(self) -> None:
        ends = np.concatenate(self._ends)
        ids_name, ends_name = self._names()
        shard = {
            "ids": ids_name,
            "ends": ends_name,
            "tokens": self._filled,
            "documents": ends.size,
            "crc32_ids": self._crc,
            "crc32_ends": zlib.crc32(ends.data),
        }
        if len(self._done) < len(self._known):
            if self._known[len(self._done)] != shard:
                raise self._changed(ids_name)
            self._require_sound(shard)
        else:
            self._put(ids_name, ends_name, ends)
            self._note({**shard, "blocks": self._blocks})
        self._done.append(shard)
        self._before += self._filled
        self._filled, self._crc, self._ends, self._blocks = 0, 0, [], []

    def _put(self, ids_name: str, ends_name: str, ends: npt.NDArray[np.int64]) -> None:
        with replacing(self._folder / ends_name) as other:
            other.write(_header(np.dtype(np.int64), ends.size))
            other.write(ends.data)
            other.flush()
            os.fsync(other.fileno())
        self._write(np.empty(0, self._dtype))  # a shard of documents without ids has no file yet
        self._file.seek(0)
        self._file.write(_header(self._dtype, self._filled))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        os.replace(self._folder / f"{ids_name}.part", self._folder / ids_name)
        self._sync_folder()

    def _note(self, line: Mapping[str, Any]) -> None:
        rest = json.dumps(line).encode() + b"\n"
        while rest:  # of a disk that fills up a part is written, and no error said before the next one
            rest = rest[self._journal.write(rest) :]
        os.fsync(self._journal.fileno())

    def _changed(self, name: str) -> ValueError:
        return ValueError(
            f"{self._folder / name}: was made of other texts, or is damaged; name a new folder, or remove this one to "
            "begin anew"
        )

    def _sync_folder(self) -> None:
        """Bring the names of new files to the disk, where the file system can."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            with suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _names(number: int) -> tuple[str, str]:
    """Return the names of a shard's files."""
    return f"shard-{number:05}.ids.npy", f"shard-{number:05}.ends.npy"


def _first(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER)


def _header(dtype: np.dtype[Any], count: int) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype.str, "fortran_order": False, "shape": (count,)})
    assert len(file.getvalue()) == HEADER, "the length of the header is what files rely on"
    return file.getvalue()
