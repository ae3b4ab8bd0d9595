"""Files of word vectors: what every reader of one returns, and how faults in them are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .subwords import Subwords

MOST_DIM = 1 << 20  # no model has as many columns


class WordVectors(NamedTuple):
    """Words, and a row for each; behind these, where there are subwords, a row for each bucket of n-grams."""

    words: list[str]
    table: npt.NDArray[Any]
    subwords: Subwords | None = None


def fault(path: Path, where: str, what: str) -> ValueError:
    """Return the error of a damaged file of word vectors; `where` is a line or a byte."""
    return ValueError(f"{path}: damaged word vectors: {where}: {what}")


def as_word(name: bytes) -> str:
    r"""Return a word as text. One that is no UTF-8, cut short by its maker, keeps its row under a name with ``\x``."""
    return name.decode("utf-8", "backslashreplace")


def parse_header(line: bytes) -> tuple[int, int] | None:
    """Return how many words of how many numbers a first line announces; None: it is no header."""
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() and len(part) <= 20 for part in parts):
        return None
    V, D = map(int, parts)
    return (V, D) if D else None


def new_table(path: Path, V: int, D: int, room: int) -> npt.NDArray[np.float32]:
    """Return room for all rows; ValueError where a header announces more than `room` bytes of file can hold."""
    if not V or D > MOST_DIM or room < V * (D + 1):
        raise fault(path, "its header", f"{V} words of {D} numbers do not fit the {room} bytes of the file")
    return np.empty((V, D), np.float32)
