"""Documents as the commands see them that compare them: their vectors, block by block, and where each stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .. import reading
from ..progress import LOADING, Progress
from ..reading.records import Notes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fastemb import StaticModel

    Vectors = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.int64]


class Document(NamedTuple):
    """A document of a result: where it stands, and its text."""

    file: str
    line: int  # on which it begins, from 1; of Parquet its row
    text: str


class Documents(NamedTuple):
    """Some documents of one file, in their order."""

    file: str
    lines: Rows
    texts: list[str]
    vectors: Vectors  # (N, D), of length one, but for those that `known` leaves out
    rows: Sequence[str] = ()  # as JSON with all their fields, where that was asked for and the file has them

    def document(self, row: int) -> Document:
        """Return one of them."""
        return Document(self.file, int(self.lines[row]), self.texts[row])


def known(vectors: Vectors) -> Rows:
    """Return which vectors are of length one: not zero, nothing of the text is known, nor NaN as a table may hold."""
    import numpy as np

    return np.flatnonzero(np.einsum("nd,nd->n", vectors, vectors) > 0.5)


def blocks_of(
    files: list[reading.Source], start: reading.Position | None = None, whole: bool = False
) -> Iterator[tuple[reading.Block, Rows, list[str]]]:
    """Give the blocks of files, the lines of the documents of each, and with ``whole`` their rows."""
    import numpy as np

    notes = Notes(whole=whole)
    for block in reading.read(files, start, notes=notes):
        count = len(block.texts)
        yield block, np.array(notes.lines[-count:], np.int64), notes.rows[-count:]
        del notes.lines[:], notes.rows[:]  # or they would be held of all


def encoded(
    files: list[reading.Source], model: StaticModel, quiet: bool, whole: bool = False, printed: bool = False
) -> Iterator[Documents]:
    """Give the documents of files, with their vectors, and rows if asked; on a terminal, say how far that is.

    With ``printed`` what is made of them is printed meanwhile, and nothing is said in between.
    """
    progress = Progress(sum(source.size for source in files), quiet, printed)
    done = 0
    try:
        progress.say(LOADING)
        for block, lines, rows in blocks_of(files, whole=whole):
            vectors = model.encode(block.texts, normalize=True)
            done += len(block.texts)
            progress.show(block.stored, done, block.size)
            yield Documents(files[block.end.file].name, lines, block.texts, vectors, rows)
    finally:
        progress.close()
