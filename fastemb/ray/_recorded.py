"""Blocks of texts that an earlier run has tokenized: found by what they hold, their ids read from finished shards.

A block is what a worker is given at once. Ray has no way to begin a dataset at a row, so a run that goes on reads all
texts again; but equal texts have equal ids, and a digest of texts takes a fifteenth of the time that their ids take.
Which blocks there are depends on how the dataset is cut: one that is not found is tokenized, and nothing is lost.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NO_DIGEST = b""  # of a block that is not recorded


class Place(NamedTuple):
    """Where a block stands among all documents and all ids."""

    document: int
    documents: int
    token: int
    tokens: int


def digest_of(column: Any) -> bytes:
    """Return the SHA-256 of a column of strings of Arrow, of their lengths and then their bytes.

    It does not depend on how the column is cut into chunks, or on the width of its offsets. A column in which a text is
    missing has none.
    """
    if column.null_count:
        return NO_DIGEST
    found = hashlib.sha256(len(column).to_bytes(8, "little"))
    texts = []
    for chunk in column.chunks:
        if len(chunk):
            width = np.int64 if str(chunk.type).startswith("large") else np.int32
            _, offsets, data = chunk.buffers()
            ends = np.frombuffer(offsets, width, len(chunk) + 1, chunk.offset * np.dtype(width).itemsize)
            found.update(np.diff(ends).astype("<i8").data)
            texts.append(memoryview(data or b"")[ends[0] : ends[-1]])
    for some in texts:
        found.update(some)
    return found.digest()


def as_rows(digests: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """Return digests as an array, of which the workers of a node share one copy."""
    return np.frombuffer(b"".join(sorted(digests)), np.uint8).reshape(-1, hashlib.sha256().digest_size)


def holds(rows: npt.NDArray[np.uint8], digest: bytes) -> bool:
    """Return whether a digest is among those of `as_rows`."""
    i = bisect_left(range(len(rows)), digest, key=lambda i: rows[i].tobytes())
    return i < len(rows) and rows[i].tobytes() == digest


def are_blocks(found: Any) -> bool:
    """Return whether these are blocks as a journal has them: a digest in hexadecimal digits, and a `Place`."""
    return isinstance(found, list) and all(map(_is_block, found))


def _is_block(found: Any) -> bool:
    if not isinstance(found, list) or len(found) != 1 + len(Place._fields):
        return False
    digest, *place = found
    if not isinstance(digest, str) or re.fullmatch("[0-9a-f]{64}", digest) is None:
        return False
    return all(map(is_count, place))


def is_count(found: Any) -> bool:
    """Return whether this is how many there are of something."""
    return type(found) is int and 0 <= found < 1 << 63


class Recorded:
    """The blocks of finished shards.

    Parameters
    ----------
    folder : Path
    shards : sequence of dict
        As the journal has them, in order.
    """

    def __init__(self, folder: Path, shards: Sequence[dict[str, Any]]) -> None:
        self._folder, self._shards = folder, shards
        self._tokens = np.cumsum([0, *(shard["tokens"] for shard in shards)])
        self._documents = np.cumsum([0, *(shard["documents"] for shard in shards)])
        self._opened = lru_cache(4)(self._open)
        self._places: dict[bytes, Place] = {}
        for shard in shards:
            for digest, *place in shard.get("blocks", ()):
                self._places[bytes.fromhex(digest)] = Place(*place)

    def digests(self) -> npt.NDArray[np.uint8]:
        """Return the digests of all blocks, as `holds` looks through them."""
        return as_rows(self._places)

    def read(self, digest: bytes) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Return the ids of a block, and how many each of its documents has."""
        place = self._places[digest]
        ids = self._part("ids", self._tokens, place.token, place.tokens)
        ends = self._part("ends", self._documents, place.document, place.documents)
        lengths = np.diff(ends, prepend=place.token)
        if (lengths.size, lengths.sum()) != (place.documents, place.tokens) or lengths.min(initial=0) < 0:
            raise ValueError(f"{self._folder}: its shards are damaged; remove it to begin anew")
        return ids, lengths

    def _part(self, kind: str, firsts: npt.NDArray[np.int64], start: int, count: int) -> npt.NDArray[Any]:
        """Return numbers of all shards as if they were one array; ends are those of documents among all ids."""
        parts = []
        while count > 0 and start < firsts[-1]:
            number = int(np.searchsorted(firsts, start, side="right")) - 1
            part = self._opened(number, kind)[start - firsts[number] :][:count]
            parts.append(part + self._tokens[number] if kind == "ends" else part)
            start, count = start + part.size, count - part.size
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0, np.int64)])

    def _open(self, number: int, kind: str) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = np.load(self._folder / self._shards[number][kind], mmap_mode="r")
        return found
