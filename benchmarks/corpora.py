"""Texts that need no download: English and code out of Python itself, WordNet, manual pages; tables and ids."""

from __future__ import annotations

import ast
import functools
import gzip
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
FEW_LINES = 8_000  # of the manual alone: to find docstrings all of the library is parsed, in seven seconds
SAMPLE = 48_000  # characters at least, of corpora that have more than eight texts
LETTERS = 1_000_000
DOCUMENT_CHARACTERS = 8_192
DOCUMENTS = 256
MANY_DOCUMENTS = 976  # 8 MB: ten milliseconds and more for the fastest
MANUAL_DOCUMENTS = 488
SHORT_TEXTS, SHORT_BYTES = 100_000, 60
MANUALS = Path("/usr/share/man")
LANGUAGES = {  # names, and Debian's packages of their manual pages
    "ja": ("Japanese", "manpages-ja"),
    "zh_CN": ("Chinese", "manpages-zh"),
    "ru": ("Russian", "manpages-ru"),
    "de": ("German", "manpages-de"),
}
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

    def hundred_bytes(self) -> str:
        """Return the first text of 100 bytes that two neighbours make, in ASCII."""
        pairs = zip(self.texts, self.texts[1:], strict=False)
        text = next(" ".join(pair) for pair in pairs if sum(map(len, pair)) > 99)
        return text.encode("ascii", "replace")[:100].decode("ascii")

    def sample(self) -> Corpus:
        """Return a small part, for a run that is not timed."""
        if len(self.texts) == 1:
            return Corpus(self.name, [self.texts[0][: LETTERS // 20]], self.origin)
        sizes = itertools.accumulate(map(len, self.texts))
        enough = sum(1 for _ in itertools.takewhile(lambda size: size < SAMPLE, sizes))
        return self.first(max(8, len(self.texts) // 64, enough))


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
def english_documents() -> Corpus:
    """WordNet's glosses, or else the English lines, end to end, cut into documents."""
    text, origin = _english()
    texts = _cut(text[: MANY_DOCUMENTS * DOCUMENT_CHARACTERS])
    return Corpus(f"{len(texts):,} English documents of 8 kB", texts, origin)


@functools.cache
def short_texts() -> Corpus:
    """Return the same English, cut every 60 bytes."""
    text, origin = _english()
    text = text.encode("ascii", "replace").decode("ascii")[: SHORT_TEXTS * SHORT_BYTES]
    texts = _cut(text, SHORT_BYTES)
    return Corpus(f"{len(texts):,} English texts of {SHORT_BYTES} bytes", texts, origin)


@functools.cache
def manual_pages(language: str) -> Corpus:
    """Manual pages of one language, end to end, cut into documents."""
    name, package = LANGUAGES[language]
    files = sorted(file for file in (MANUALS / language).glob("man*/*.gz") if file.is_file())
    pages, length = [], 0
    for file in files:
        pages.append(gzip.decompress(file.read_bytes()).decode("utf-8", "replace"))
        length += len(pages[-1])
        if length >= MANUAL_DOCUMENTS * DOCUMENT_CHARACTERS:
            break
    if length < 50 * DOCUMENT_CHARACTERS:  # other packages bring a few pages each
        raise MissingCorpusError(f"no {name} manual pages in {MANUALS / language}: apt install {package}")
    texts = _cut("".join(pages)[: MANUAL_DOCUMENTS * DOCUMENT_CHARACTERS])
    return Corpus(f"{len(texts):,} {name} documents of manual pages", texts, f"{MANUALS / language}, {package}")


@functools.cache
def code_documents(count: int = DOCUMENTS) -> Corpus:
    """Return the standard library's source, end to end, cut into documents."""
    characters = count * DOCUMENT_CHARACTERS
    source, length = [], 0
    for text in _sources():
        source.append(text)
        length += len(text)
        if length >= characters:
            break
    texts = _cut("".join(source)[:characters])
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


@functools.cache
def _english() -> tuple[str, str]:
    """Text of about 8 MB and where it is from."""
    characters = MANY_DOCUMENTS * DOCUMENT_CHARACTERS
    files = sorted(WORDNET.glob("data.*"))
    if files:
        glosses = (line.partition(" | ")[2] for file in files for line in file.read_text("utf-8").splitlines())
        return "\n".join(filter(None, glosses))[:characters], f"{WORDNET}/data.*, the glosses"
    text = "\n".join(english_lines().texts)
    return (text * (characters // len(text) + 1))[:characters], english_lines().origin + ", over and over"


def _cut(text: str, size: int = DOCUMENT_CHARACTERS) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


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
