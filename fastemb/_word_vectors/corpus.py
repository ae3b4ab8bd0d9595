"""Texts as a file of word numbers: each text a sentence, its words by how frequent they are.

Texts are read once. A word gets a number when it first comes, and the numbers go to a temporary file without a name; in
a second pass over that file they become places among the words that are kept, the most frequent first. So memory grows
with the words that are distinct, and the disk with 4 bytes for each word of the texts.
"""

from __future__ import annotations

import gzip
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from .._text.texts import require_regular, texts_and_files
from .._text.train_progress import progress
from .._text.vocabulary import BOM
from .._words import shown

Ids = npt.NDArray[np.int32]
Split = Literal["white_space", "letters"]

END = -1  # behind each sentence, and its kernel's word for it
_DROPPED = -2
_BLOCK = 1 << 20  # numbers that are read at a time
_CHARS = 1 << 20  # characters of texts that are cut into words at a time, and bytes of a file
_GZIP = b"\x1f\x8b"

Block = tuple[list[str], bool]  # texts, and whether the last one goes on in the next block

_letters = re.compile(r"[^\W\d_]+").findall


def words_of(split: Split) -> Callable[[str], list[str]]:
    """Return the function that cuts a text into words."""
    return str.split if split == "white_space" else lambda text: _letters(text.lower())


class Corpus:
    """The words of some texts that come often enough, and the texts in their numbers.

    Attributes
    ----------
    words : list of str
        The most frequent first; of equally frequent ones that which came first.
    counts : ndarray of int64
        How often each came.
    total : int
        How many words the texts have, those alone that are kept.
    """

    def __init__(self, texts: Any, split: Split, min_count: int, show: bool) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the corpus lives)
        try:
            numbers, counts = self._write(texts, words_of(split), show)
            kept = np.flatnonzero(counts >= min_count)
            kept = kept[np.argsort(-counts[kept], kind="stable")]
            names = list(numbers)
            if kept.size < 2:
                raise ValueError(
                    f"there is nothing to train on: of {counts.size:,} different words {kept.size} come at least "
                    f"{min_count} times (min_count), and two are needed"
                )
            self.words = [names[number] for number in kept.tolist()]
            self.counts: npt.NDArray[np.int64] = counts[kept]
            self.total = int(self.counts.sum())
            self._renumber(kept, counts.size)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Give back the disk."""
        self._file.close()

    def blocks(self, size: int) -> Iterator[tuple[int, Ids]]:
        """Yield whole sentences of about ``size`` numbers, each behind its place; a longer sentence is cut."""
        at = 0
        while True:
            self._file.seek(4 * at)
            ids = np.fromfile(self._file, np.int32, size)
            if not ids.size:
                return
            ends = np.flatnonzero(ids == END)
            if ids.size == size and ends.size:
                ids = ids[: ends[-1] + 1]
            yield at, ids
            at += ids.size

    def _write(
        self, texts: Any, cut: Callable[[str], list[str]], show: bool
    ) -> tuple[dict[str, int], npt.NDArray[np.int64]]:
        """Write the numbers of all words by their first coming; return these, and how often each came."""
        numbers = _Numbers()
        number_of = numbers.__getitem__
        counts = np.zeros(1 << 10, np.int64)
        total = 0
        with progress("reading", show) as say:
            for some, goes_on in _blocks(texts):
                ids: list[int] = []
                for text in some:
                    ids.extend(map(number_of, cut(text)))
                    ids.append(END)
                if goes_on:
                    ids.pop()
                block = np.array(ids, np.int32)
                self._file.write(block.data)  # not `tofile`, which does not say that the disk is full
                found = np.bincount(block[block >= 0], minlength=1)
                if found.size > counts.size:
                    counts = np.concatenate([counts, np.zeros(2 * found.size - counts.size, np.int64)])
                counts[: found.size] += found
                total += block.size - len(some) + goes_on
                say(f"{total:,} words, {len(numbers):,} of them different")
        return numbers, counts[: len(numbers)]

    def _renumber(self, kept: npt.NDArray[np.int64], distinct: int) -> None:
        """Make first numbers places among those that are kept, in the file: what is written is never ahead."""
        place = np.full(distinct + 1, _DROPPED, np.int32)
        place[kept] = np.arange(kept.size, dtype=np.int32)
        place[END] = END  # of the last of all, which no word has
        read = written = 0
        while True:
            self._file.seek(4 * read)
            block = np.fromfile(self._file, np.int32, _BLOCK)
            if not block.size:
                break
            read += block.size
            block = place[block]
            block = block[block != _DROPPED]
            self._file.seek(4 * written)
            self._file.write(block.data)
            written += block.size
        self._file.truncate(4 * written)


class _Numbers(dict[str, int]):
    """Words by the order in which they first came."""

    def __missing__(self, word: str) -> int:
        if not word.isprintable():  # which is quick, and false of any surrogate
            _require_unicode(word)
        self[word] = number = len(self)
        return number


def _require_unicode(word: str) -> None:
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the texts have {shown(word)}, which UTF-8 cannot hold: {error.reason}") from None


def _blocks(texts: Any) -> Iterator[Block]:
    """Yield texts, some at a time; each is checked as it comes."""
    waiting: list[str] = []
    chars = 0
    for text in texts_and_files(texts):
        apart: Iterator[Block] | None = None
        if isinstance(text, Path):
            apart = _lines(text)
        elif len(text) > _CHARS:
            apart = _pieces(text)
        else:
            waiting.append(text)
            chars += len(text)
        if waiting and (apart is not None or chars >= _CHARS):
            yield waiting, False
            waiting, chars = [], 0
        if apart is not None:
            yield from apart
    if waiting:
        yield waiting, False


def _pieces(text: str) -> Iterator[Block]:
    """Yield a long text in pieces that end behind a blank, so that its words are not all in memory."""
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > _CHARS:
            end = text.rfind(" ", start, start + _CHARS) + 1 or text.find(" ", start + _CHARS) + 1 or end
        yield [text[start:end]], end < len(text)
        start = end


def _lines(path: Path) -> Iterator[Block]:
    """Yield the lines of a file of UTF-8, packed by gzip or not, some at a time, and long ones in pieces."""
    require_regular(path)
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        line = 1
        try:
            for data, goes_on in _whole_words(gzip.GzipFile(fileobj=raw) if packed else raw):
                try:
                    yield data.decode().split("\n"), goes_on
                except UnicodeDecodeError as error:
                    line += data.count(b"\n", 0, error.start)
                    raise ValueError(f"{path}: line {line} is no UTF-8: {error.reason}") from None
                line += data.count(b"\n") + (not goes_on)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}") from None


def _whole_words(stream: Any) -> Iterator[tuple[bytes, bool]]:
    """Yield lines, without the end of the last one; or what stands before a blank in a line that goes on."""
    held: list[bytes] = []  # what stands behind the last cut
    data = stream.read(_CHARS).removeprefix(BOM)
    while data:
        end = data.rfind(b"\n")
        goes_on = end < 0
        if goes_on:
            end = data.rfind(b" ")
        if end < 0:
            held.append(data)
        else:
            yield b"".join([*held, data[:end]]), goes_on
            held = [data[end + 1 :]]
        data = stream.read(_CHARS)
    yield b"".join(held), False
