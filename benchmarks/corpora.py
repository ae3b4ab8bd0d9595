"""Texts that need no download: English lines and code out of Python itself, and WordNet's glosses; tables and ids."""

from __future__ import annotations

import ast
import functools
import itertools
import pydoc_data.topics
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LINES = 50_000
LETTERS = 1_000_000
DOCUMENT_CHARACTERS = 8_192
DOCUMENTS = 256
WORDNET = Path("/usr/share/wordnet")  # where Debian's and Ubuntu's package wordnet-base puts its files


class MissingCorpusError(Exception):
    """The texts are not on this machine; the message says what would bring them."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts under the name that a report shows."""

    name: str
    texts: list[str]
    origin: str

    @functools.cached_property
    def size(self) -> int:
        """Bytes of UTF-8."""
        return sum(len(text.encode()) for text in self.texts)

    def first(self, count: int) -> Corpus:
        """Return the corpus cut to its first texts."""
        return Corpus(f"{count:,} {self.name.split(' ', 1)[1]}", self.texts[:count], self.origin)


@functools.cache
def english_lines() -> Corpus:
    """Lines of Python's own reference manual and docstrings, in order and with their repetitions."""
    lines = list(itertools.islice(itertools.chain(_manual_lines(), _docstring_lines()), LINES))
    origin = f"pydoc_data.topics and the standard library's docstrings, {len(set(lines)):,} of the lines distinct"
    if len(lines) < LINES:  # some builds of Python come without their tests, which hold many of the docstrings
        origin += f"; {len(lines):,} lines found, then repeated from the first"
        lines = list(itertools.islice(itertools.cycle(lines), LINES))
    return Corpus(f"{LINES:,} English lines", lines, origin)


@functools.cache
def code_documents() -> Corpus:
    """Return the standard library's source, end to end, cut into documents."""
    characters = DOCUMENTS * DOCUMENT_CHARACTERS
    source, length = [], 0
    for text in _sources():
        source.append(text)
        length += len(text)
        if length >= characters:
            break
    whole = "".join(source)[:characters]
    texts = [whole[start : start + DOCUMENT_CHARACTERS] for start in range(0, len(whole), DOCUMENT_CHARACTERS)]
    return Corpus(f"{len(texts):,} code documents of 8 kB", texts, "the standard library's .py files")


@functools.cache
def wordnet_glosses() -> Corpus:
    """Definitions and example phrases of WordNet."""
    files = sorted(WORDNET.glob("data.*"))
    if not files:
        raise MissingCorpusError(f"no WordNet in {WORDNET}: apt install wordnet-base")
    glosses = (
        phrase.strip()
        for file in files
        for line in file.read_text("utf-8").splitlines()
        for phrase in line.partition(" | ")[2].split(";")
    )
    texts = list(itertools.islice(filter(None, glosses), LINES))
    return Corpus(f"{len(texts):,} WordNet glosses", texts, f"{WORDNET}/data.*, first {len(texts):,} phrases")


@functools.cache
def one_word() -> Corpus:
    """One text of letters alone: to a byte pair encoder it is one endless word."""
    letters = (c for line in itertools.cycle(english_lines().texts) for c in line if c.isascii() and c.isalpha())
    text = "".join(itertools.islice(letters, LETTERS))
    return Corpus("1 text of 1 MB without a space", [text], "the letters of the English lines")


def _manual_lines() -> Iterator[str]:
    for _, page in sorted(pydoc_data.topics.topics.items()):
        yield from _lines(page)


def _docstring_lines() -> Iterator[str]:
    for source in _sources():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tests of the parser hold what it warns about
            try:
                tree = ast.parse(source)
            except (SyntaxError, ValueError):  # and what it refuses
                continue
        for docstring in _docstrings(tree):
            yield from _lines(docstring)


def _docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Those of a node and of the definitions in its body; looking into every statement would take twice as long."""
    yield ast.get_docstring(node) or ""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(child)


def _lines(text: str) -> Iterable[str]:
    """Lines that hold something: of an empty text, WordLlama's normalised vector is NaN."""
    return filter(None, map(str.strip, text.splitlines()))


def _sources() -> Iterator[str]:
    """Texts of the standard library's files: always in the same order, its tests last."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [file for file in root.rglob("*.py") if not {"site-packages", "dist-packages"} & set(file.parts)]
    for file in sorted(files, key=lambda file: ("test" in file.parts, file.relative_to(root).as_posix())):
        try:
            yield file.read_text("utf-8")
        except UnicodeDecodeError:  # tests of the decoder
            continue


def draw_table(V: int, D: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return rows around zero. The same million numbers come again and again, which is quickly drawn."""
    table = np.empty((V, D), dtype)
    flat, block = table.reshape(-1), np.random.default_rng(1).random(1 << 20, np.float32).astype(dtype)
    block -= table.dtype.type(0.5)
    for start in range(0, flat.size, block.size):
        flat[start : start + block.size] = block[: flat.size - start]
    table[:, 0] = np.arange(V) % 2048  # tells rows apart
    return table


def draw_ids(V: int, N: int, spread: str) -> npt.NDArray[np.int64]:
    """Draw ids evenly, or by Zipf's law with exponent 1.2: low ids often, as in a vocabulary sorted by use.

    They are int64, which NumPy takes as they are; int32 it would convert at every call.
    """
    rng = np.random.default_rng(2)
    if spread == "uniform":
        return rng.integers(0, V, N, np.int64)
    chances = np.cumsum(np.arange(1, V + 1) ** -1.2)
    return np.searchsorted(chances, rng.random(N) * chances[-1])
