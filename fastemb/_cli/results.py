"""Results as they are printed: lines for a reader, with colours on a terminal, or an object of JSON a line."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from .comparing.documents import Document

_COLOURS = {"file": "35", "line": "32", "score": "36", "strong": "1"}  # of names and lines, those of grep


def add(parser: argparse.ArgumentParser) -> None:
    """Add how results are printed."""
    parser.add_argument("--json", action="store_true", help="print objects of JSON, one a line")


def number(value: Any) -> float:
    """Return the float of the shortest digits that are this float32."""
    import numpy as np

    return float(str(np.float32(value)))


def plain(text: str) -> str:
    r"""Return a text as one line that no terminal takes for a command: what is not printed becomes an escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def size(count: int) -> str:
    """Return how many bytes it is, for a reader."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"


def _fitting(text: str, width: int) -> str:
    """Return a text, cut to so many columns of a terminal where it takes more."""
    if 2 * len(text) <= width:
        return text
    used, end = 0, 0  # columns of all characters so far; where a cut text ends, which leaves one for its mark
    for place, char in enumerate(text):
        used += 2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1
        if used > width:
            return text[:end] + "…"
        if used < width:
            end = place + 1
    return text


class Printer:
    """Prints lines: with colours, and no longer than it is wide, where that is a terminal."""

    def __init__(self) -> None:
        terminal = sys.stdout.isatty()
        self._colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._width = shutil.get_terminal_size().columns if terminal else None

    def paint(self, text: str, role: str) -> str:
        """Return a text in the colour of its role."""
        return f"\033[{_COLOURS[role]}m{text}\033[m" if self._colours and text else text

    def result(self, score: Any, document: Document, before: str = "") -> None:
        """Print a score, if there is one, where a document stands, and its text."""
        file, line = plain(document.file), str(document.line)
        said = "" if score is None else f"{score:.4f}"
        gap = "  " if said else ""
        taken = len(f"{before}{said}{gap}{file}:{line}  ")
        text = plain(document.text)
        if self._width is not None:
            text = _fitting(text, max(self._width - taken, 9))
        where = f"{self.paint(file, 'file')}:{self.paint(line, 'line')}"
        print(f"{before}{self.paint(said, 'score')}{gap}{where}  {text}")


def print_found(found: list[tuple[Any, Document]], as_json: bool) -> None:
    """Print scores and documents."""
    printer = Printer()
    for score, document in found:
        if as_json:
            print_json(scored(score, document))
        else:
            printer.result(score, document)


def scored(score: Any, document: Document) -> dict[str, Any]:
    """Return what JSON says of a document and its score."""
    return {"score": number(score), **document._asdict()}


def print_json(value: dict[str, Any]) -> None:
    """Print an object on a line of its own; what standard output cannot encode is escaped as JSON has it."""
    utf8 = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    print(json.dumps(value, ensure_ascii=not utf8))
