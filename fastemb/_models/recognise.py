"""Which file of word vectors lies somewhere, told by its content, and reading it."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import IO, cast

from . import fasttext
from .text_vectors import are_numbers, read_text_vectors
from .word2vec import read_binary_vectors
from .words import WordVectors, fault, parse_header

GZIP = b"\x1f\x8b"
HEAD = 1 << 16
PLAIN = re.compile(rb"[\t\r\x20-\x7e]*")  # bytes of numbers as text
KINDS = (
    "word vectors as text (a word and its numbers a line, with word2vec's header or without it, as GloVe's, compressed "
    "by gzip or not), word2vec's binary file, or fastText's .bin; or a folder with tokenizer.json and a table"
)
EXPANDS = 1100  # deflate makes at most 1032 bytes of one


def read_words(path: Path, mapped: bool) -> tuple[WordVectors, list[bytes] | None]:
    """Read a file of word vectors, and of a fastText model its words as bytes too.

    Raises
    ------
    ValueError
        The file is damaged, or of no known kind.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        if head.startswith(fasttext.MAGIC):
            return fasttext.read_fasttext(path, mapped)
        packed = head.startswith(GZIP)
        try:
            with _opened(path, packed) as plain:
                head = plain.read(HEAD)
                binary = _is_binary(path, head)
                if binary and packed:
                    raise ValueError(f"{path}: a binary file that is compressed by gzip: expand it first (gunzip)")
                if not binary:
                    plain.seek(0)
                    size = path.stat().st_size * (EXPANDS if packed else 1)
                    return read_text_vectors(path, plain, size), None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}") from None
    return read_binary_vectors(path), None


def _opened(path: Path, packed: bool) -> IO[bytes]:
    """Open a file, expanded where it is packed."""
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def _is_binary(path: Path, head: bytes) -> bool:
    """Whether rows are bytes, not text; ValueError where the file is of no known kind."""
    if not head.strip():
        raise ValueError(f"{path}: it is empty")
    line, ended, rest = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    header = parse_header(line)
    if header is None:
        numbers = line.split()[1:]
        numbers = numbers[-1:] if ended else numbers[-2:-1]  # the last one may be cut
        if b"\0" in line or not are_numbers(numbers):
            raise ValueError(f"{path}: no word vectors: its first line begins {line[:60]!r}; what is read is {KINDS}")
        return False
    V, D = header
    if not rest.strip():
        raise fault(path, "line 2", f"the file ends after 0 of {V} words")
    row = b"".join(rest.partition(b"\n")[0].split(None, 1)[1:])
    # Text that is damaged is still text: the numbers' bytes decide, of which text needs two each, but for the last.
    return not (PLAIN.fullmatch(row) and len(row) >= min(2 * D - 1, HEAD >> 1))
