"""Large texts in two parts: three quarters that an engine reads first, and a last quarter that it has never seen."""

from __future__ import annotations

import functools
import gzip
import html
import random
import re
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .corpora import DOCUMENT_CHARACTERS, LANGUAGES, MANUALS, WORDNET, Corpus, MissingCorpusError, english_lines

MOST = 48_000_000  # characters of a corpus
LEAST = 16_000_000  # with fewer a quarter would be read before it is timed well
GCIDE = Path("/usr/share/dictd/gcide.dict.dz")
DEBIAN_REFERENCE = Path("/usr/share/debian-reference")


@dataclass(frozen=True, eq=False)
class Parts:
    """What is read before the clock starts, and what is timed: documents or lines in one shuffled order."""

    name: str
    seen: Corpus
    new: Corpus

    def first(self, size: int) -> Corpus:
        """Return texts of the first part, of about so many characters together."""
        texts = self.seen.texts
        count = max(1, len(texts) * size // max(1, sum(map(len, texts))))
        return Corpus(self.name, texts[:count], self.seen.origin)


def _parts(name: str, texts: list[str], origin: str) -> Parts:
    """Shuffle texts and cut them in two."""
    random.Random(1).shuffle(texts)
    total = count = 0
    while count < len(texts) and total < MOST:
        total += len(texts[count])
        count += 1
    if total < LEAST:
        raise MissingCorpusError(f"only {total:,} characters of {name}: {origin}")
    cut = 3 * count // 4
    return Parts(name, Corpus(name, texts[:cut], origin), Corpus(name, texts[cut:count], origin))


def _documents(name: str, text: str, origin: str) -> Parts:
    size = DOCUMENT_CHARACTERS
    return _parts(name, [text[start : start + size] for start in range(0, len(text), size)], origin)


@functools.cache
def _reference_text() -> str:
    """Return a dictionary, WordNet's glosses and Debian's reference, end to end."""
    files = sorted(DEBIAN_REFERENCE.glob("*.en.html"))
    words = sorted(WORDNET.glob("data.*"))
    if not (GCIDE.is_file() and words and files):
        raise MissingCorpusError("no English reference text: apt install dict-gcide wordnet-base debian-reference-en")
    glosses = (line.partition(" | ")[2] for file in words for line in file.read_text("utf-8").splitlines())
    pages = (html.unescape(re.sub(r"<[^>]*>", " ", file.read_text("utf-8"))) for file in files)
    return "\n".join([gzip.decompress(GCIDE.read_bytes()).decode("utf-8", "replace"), *glosses, *pages])


@functools.cache
def reference() -> Parts:
    """Return English reference text in documents."""
    return _documents("English reference text", _reference_text(), "dict-gcide, wordnet-base, debian-reference-en")


@functools.cache
def lines() -> Parts:
    """Return the same text, a line a text."""
    texts = [line for line in map(str.strip, _reference_text().splitlines()) if len(line) >= 20]
    return _parts("short English lines", texts, "dict-gcide, wordnet-base, debian-reference-en")


@functools.cache
def code() -> Parts:
    """Return Python's library and all packages that are installed beside it, in documents."""
    roots = dict.fromkeys(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))
    files = sorted({file for root in roots for file in root.rglob("*.py")})
    random.Random(2).shuffle(files)
    return _documents("Python code", "\n".join(_texts_of(files)), "the standard library and site-packages")


def _texts_of(files: list[Path]) -> Iterator[str]:
    total = 0
    for file in files:
        try:
            text = file.read_text("utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        yield text
        total += len(text)
        if total > MOST + DOCUMENT_CHARACTERS:
            return


@functools.cache
def manuals() -> Parts:
    """Return manual pages of four languages in documents."""
    files = [file for language in LANGUAGES for file in sorted((MANUALS / language).glob("man*/*.gz"))]
    pages = [gzip.decompress(file.read_bytes()).decode("utf-8", "replace") for file in files if file.is_file()]
    packages = " ".join(package for _, package in LANGUAGES.values())
    return _documents("manual pages in four languages", "\n".join(pages), packages)


@functools.cache
def few() -> Parts:
    """Return a little text, for runs that are not timed."""
    corpus = english_lines()
    first, second = (Corpus("a few lines", corpus.texts[start : start + 500], corpus.origin) for start in (0, 5_000))
    return Parts("a few lines", first, second)


KINDS: dict[str, Callable[[], Parts]] = {"english": reference, "code": code, "manuals": manuals, "short": lines}
