"""What a map shows: the texts of files, cut to what is shown of them, where each stands, and their vectors."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from unicodedata import combining

from .. import options, reading
from ..progress import Progress
from ..reading.packed import named
from ..reading.records import Notes
from ..writing.delivery import Work

if TYPE_CHECKING:
    import numpy.typing as npt

CUT = 400  # characters of a text that a page has
LARGEST = 1e30  # a component beyond it is as useless as NaN: places are float32


class Rows(Work):
    """The documents of files, gathered; their vectors lie in a file, so that they need no memory.

    Attributes
    ----------
    texts : list of str
        Each document's first characters.
    lengths : list of int
        The number of characters of each.
    notes : Notes
        Their lines and other fields.
    vectors : numpy.ndarray, shape (N, D)
        A memory map.
    """

    def __init__(self, args: argparse.Namespace, files: list[reading.Source]) -> None:
        super().__init__(Progress(sum(source.size for source in files), args.quiet))
        self.texts: list[str] = []
        self.lengths: list[int] = []
        self.notes = Notes([*args.color_field])
        self.vectors: Any = None
        self._normalize: bool = args.normalize
        self._model = None if args.vectors is not None else options.model(args)

    def compute(self, texts: list[str]) -> Any:
        """Return the vectors of a block, if a model gives them; zeros for a text whose vector cannot be used."""
        if self._model is None:
            return None
        vectors = self._model.encode(texts, normalize=self._normalize)
        vectors[~_usable(vectors)] = 0.0  # or one NaN of a table would leave no place for all others
        return vectors

    def block(self, texts: list[str], result: Any) -> Any:
        """Return what is kept of a block: what is shown of its texts, their lengths, and the bytes of their vectors."""
        vectors = b"" if result is None or not result.size else result.data
        return [shown(text) for text in texts], [len(text) for text in texts], vectors

    def keep(self, kept: Any, file: IO[bytes]) -> None:
        """Keep it, the vectors in a file; called in the order of the blocks, which may be computed in another."""
        texts, lengths, vectors = kept
        self.texts += texts
        self.lengths += lengths
        with named(f"temporary file in {tempfile.gettempdir()}"):
            file.write(vectors)


@contextmanager
def gathered(args: argparse.Namespace, files: list[reading.Source]) -> Iterator[Rows]:
    """Read all documents, and their vectors.

    Raises
    ------
    ValueError
        There is no document; or the vectors that were given are no table of finite numbers, or not one a document.
    """
    import numpy as np

    given = None if args.vectors is None else opened_vectors(args.vectors)
    rows = Rows(args, files)
    with tempfile.TemporaryFile() as file:
        rows.run(reading.read(files, notes=rows.notes), lambda kept: rows.keep(kept, file))
        count = len(rows.texts)
        if not count:
            raise ValueError(f"{', '.join(source.name for source in files)}: no documents, so there is nothing to show")
        if given is None:
            with named(f"temporary file in {tempfile.gettempdir()}"):
                file.flush()
            given = np.memmap(file, np.float32, "r").reshape(count, -1)
        elif len(given) != count:
            raise ValueError(f"{args.vectors}: {len(given):,} vectors, where the files have {count:,} documents")
        rows.vectors = given
        yield rows


def opened_vectors(path: Path) -> npt.NDArray[Any]:
    """Return the vectors of an .npy file, as a memory map, looked through."""
    import numpy as np

    if path.suffix != ".npy":
        raise ValueError(f"{path}: --vectors is an .npy file")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:  # the second of an empty file
        raise ValueError(f"{path}: no .npy file of numbers: {error}") from None
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiu" or not found.shape[1]:
        what = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else "an archive"
        raise ValueError(f"{path}: expected vectors, a row of numbers each; got {what}")
    step = max(1, (1 << 20) // found.shape[1])
    for start in range(0, len(found), step):
        bad = ~_usable(found[start : start + step])
        if bad.any():
            raise ValueError(f"{path}: row {start + int(bad.argmax())} (from 0) is not finite, or beyond {LARGEST:g}")
    return found


def _usable(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return which rows are numbers that have a place."""
    import numpy as np

    found: npt.NDArray[Any] = (np.abs(vectors) <= np.float64(LARGEST)).all(axis=1)  # so typed, or it were float16's inf
    return found


def shown(text: str) -> str:
    """Return what a page has of a text: it is not cut in front of a mark that belongs to the letter before."""
    if len(text) <= CUT:
        return text
    end = CUT
    while end > CUT - 8 and combining(text[end]):
        end -= 1
    return text[:end]
