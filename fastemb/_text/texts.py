"""The texts that callers give, str or bytes, as the str that are encoded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .core import Core, lib

# Symbols are counted in 32 bits. Looked at before a text is copied: first its characters, each a byte at least.
LONGEST_TEXT = 2**31 - 64


def check_sizes(sizes: npt.NDArray[np.int64], total: int, unit: str, first: int, several: bool) -> None:
    """Refuse texts of so many characters or bytes that C cannot count them; `first` is the number of the first one."""
    if total >= LONGEST_TEXT and int(sizes.max()) >= LONGEST_TEXT:
        place = int(np.argmax(sizes >= LONGEST_TEXT))
        which = f"text {first + place}" if several else "the text"
        raise ValueError(
            f"{which} has {sizes[place]} {unit}, and of {LONGEST_TEXT} bytes or more none can be tokenized in one "
            "piece: cut it, at ends of lines say"
        )


def as_path(path: Any, name: str = "path") -> Path:
    """Return where a file or folder lies."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a str or an os.PathLike, got {type(path).__name__}")
    if not os.fspath(path):
        raise ValueError(f"{name} is empty: it would be the current folder, which is written '.'")
    return Path(path)


def as_tuple(texts: Iterable[str | bytes]) -> tuple[str | bytes, ...]:
    """Return the texts as a tuple: the caller's list may change while its texts are encoded."""
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"texts must be a sequence of str, got one {type(texts).__name__}; for a single text call encode"
        )
    if type(texts) is not list and hasattr(type(texts), "columns"):  # a frame, whose names would be taken for texts
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}; give one of its columns")
    try:
        return tuple(texts)
    except TypeError:
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}") from None


def _way_to_str(text: Any) -> str:
    """Return how what should have been a text becomes one, as the end of an error."""
    if hasattr(text, "as_py"):  # PyArrow's
        return "; give texts.to_pylist()"
    return "; ids become text by decode" if isinstance(text, int) and not isinstance(text, bool) else ""


def only_str(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts as a tuple; TypeError where one of them is no str."""
    rows = as_tuple(texts)
    if {*map(type, rows)} <= {str}:  # one look at all types, at C speed
        return rows  # type: ignore[return-value]
    for i, text in enumerate(rows):
        if not isinstance(text, str):
            raise TypeError(f"texts must be str, got {type(text).__name__} at position {i}{_way_to_str(text)}")
    return tuple(map(str.__str__, rows))  # a subclass may answer for its length as it likes


def texts_and_files(texts: Any, kinds: str = "str or paths") -> Iterator[str | Path]:
    """Yield what training is given, one after another, each looked at as it comes: texts as str, and files.

    ``kinds`` is what may come, in the words of errors; where it names bytes, these are UTF-8.
    """
    if isinstance(texts, os.PathLike):
        texts = [texts]
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(
            f"texts must be an iterable of {kinds}, or a pathlib.Path, got {type(texts).__name__}; a text by itself is "
            "given in a list, and the name of a file as a pathlib.Path"
        )
    if hasattr(type(texts), "columns"):  # a frame, whose names would be taken for texts
        raise TypeError(f"texts must be an iterable of {kinds}, got {type(texts).__name__}; give one of its columns")
    for number, text in enumerate(texts):
        if isinstance(text, str):
            yield str.__str__(text)  # a subclass may answer for itself as it likes
        elif isinstance(text, os.PathLike):
            yield Path(text)
        elif isinstance(text, bytes) and "bytes" in kinds:
            try:
                yield text.decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"text {number} is no UTF-8 from byte {error.start} on: {error.reason}") from None
        else:
            way = _way_to_str(text) if hasattr(text, "as_py") else ""
            raise TypeError(f"texts must be {kinds}, got {type(text).__name__} at position {number}{way}")


def require_regular(path: Path) -> None:
    """Refuse what has no end or would be waited for; a folder and what is not there are left to whoever opens it."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path}: it is no regular file (a pipe or a device): write what it gives to a file first")


def as_str(rows: Sequence[Any], core: Core) -> tuple[tuple[str, ...], dict[int, bytes]]:
    """Return the texts as str, and the tails: by the number of its text, all bytes from the first invalid one on.

    Of bytes that are no UTF-8 the text is the valid start. A vocabulary of characters has no ids for a tail, and one
    that puts a space before a text cannot encode a tail by itself: for both the invalid bytes are U+FFFD, and there is
    no tail.
    """
    if {*map(type, rows)} <= {str}:
        return tuple(rows), {}
    tails: dict[int, bytes] = {}
    read: list[str] = []
    for i, text in enumerate(rows):
        if isinstance(text, bytes):
            check_sizes(np.array([len(text)]), len(text), "bytes", i, len(rows) > 1)
            try:
                read.append(text.decode())
            except UnicodeDecodeError as error:
                flags = lib.FE_BYTE_LEVEL | lib.FE_ADD_SPACE | lib.FE_AFFIXES
                by_bytes = core.contents.flags & flags == lib.FE_BYTE_LEVEL
                if not by_bytes or core.metadata.general_road:
                    read.append(text.decode(errors="replace"))
                    continue
                read.append(text[: error.start].decode())
                tails[i] = text[error.start :]
        elif isinstance(text, str):
            read.append(str.__str__(text))  # a subclass may answer for its length as it likes
        else:
            raise TypeError(f"texts must be str or bytes, got {type(text).__name__} at position {i}{_way_to_str(text)}")
    return tuple(read), tails


def repaired(text: str) -> str:
    """Return the text with pairs of surrogates joined, and lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
