"""Find near-duplicates: documents whose cosine with one before them is at least the threshold.

From first to last, a document is kept unless it is so near to one that was kept; then it belongs to the nearest of
these. So no two kept ones are near-duplicates, and none is dropped only for its likeness to one that was dropped too.
Printed are the groups, a kept document and behind it those that it stands for; with --json an object for every dropped
one; with -o the kept ones are written, lines of text or JSONL. A document of which nothing is known is kept.

All are compared with all kept ones, so time grows with the square of their number; their vectors are held in memory,
4 bytes a column, and for what is printed their texts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import options, results
from ..comparing.documents import Document, Documents, encoded, known
from ..writing.delivery import says_more
from ..writing.resuming import Part, check_output, is_stdout, is_stream, opened_stream, write_all

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

HELP = "find near-duplicates, and write the documents without them"
KINDS = ("txt", "jsonl")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.add_files(parser)
    parser.add_argument(
        "--threshold", type=float, default=0.9, metavar="COSINE", help="above 0, at most 1 (default: 0.9)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, help="write the documents that are kept here")
    parser.add_argument("--to", choices=KINDS, help="what to write, whatever the suffix (default: txt)")
    results.add(parser)
    options.add_model(parser)
    options.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    if not 0 < args.threshold <= 1:
        raise ValueError(f"--threshold must be above 0 and at most 1, got {args.threshold:g}")
    files = options.sources(args)
    path: Path | None = args.output
    kind = _kind(path, args.to)
    if args.json and path is not None and is_stdout(path):
        raise ValueError("--json and -o - would both write to standard output")
    if path is not None and not is_stream(path):
        check_output(path, [source.name for source in files], args.model)
    seen = _Seen(args.threshold, held=args.json or path is None)
    dropped: list[_Dropped] = []
    with _opened(path, args.quiet) as write:
        printed = args.json or (path is not None and is_stdout(path))
        for documents in encoded(files, options.model(args), args.quiet, whole=kind == "jsonl", printed=printed):
            kept, new = seen.add(documents)
            write(_bytes(kind, documents, kept))
            if args.json:
                for one in new:
                    results.print_json({**results.scored(one.score, one.document), "kept": one.kept._asdict()})
            elif path is None:
                dropped += new
    _print_groups(dropped)
    if says_more(path, args.quiet) and not args.json:
        wrote = "" if path is None else f"wrote {results.plain(str(path))}: "
        others = seen.documents - seen.kept
        print(f"{wrote}{seen.kept:,} of {seen.documents:,} documents are kept, near-duplicates: {others:,}")
    return 0


class _Dropped(NamedTuple):
    """A near-duplicate, and the document that is kept in its place."""

    place: int  # of that among those that are kept
    score: np.float32
    document: Document
    kept: Document


class _Seen:
    """All documents so far; `held` says whether their texts are, too."""

    def __init__(self, threshold: float, held: bool) -> None:
        from ..comparing.duplicates import Kept

        self.documents = self.kept = 0
        self._vectors = Kept(threshold)
        self._held: list[Document] | None = [] if held else None

    def add(self, documents: Documents) -> tuple[npt.NDArray[np.bool_], list[_Dropped]]:
        """Return which of some documents are kept, and the others, if they are held."""
        import numpy as np

        rows = known(documents.vectors)
        kept = np.ones(len(documents.texts), np.bool_)
        near = self._vectors.add(documents.vectors[rows]) if rows.size else None
        dropped = []
        if near is not None:
            kept[rows] = near.scores == float("-inf")
            if self._held is not None:
                self._held += [documents.document(row) for row in rows.tolist() if kept[row]]
                dropped = [
                    _Dropped(place, score, documents.document(row), self._held[place])
                    for row, score, place in zip(rows.tolist(), near.scores, near.places.tolist(), strict=True)
                    if not kept[row]
                ]
        self.documents += len(kept)
        self.kept += int(kept.sum())
        return kept, dropped


def _print_groups(dropped: list[_Dropped]) -> None:
    printer = results.Printer()
    for _, group in groupby(sorted(dropped, key=lambda one: one.place), key=lambda one: one.place):
        some = list(group)
        printer.result(None, some[0].kept)
        for one in some:
            printer.result(one.score, one.document, "  ")


def _kind(path: Path | None, to: str | None) -> str:
    suffix = "" if path is None else path.suffix.lower().removeprefix(".")
    kind = to or {"": "txt", "ndjson": "jsonl"}.get(suffix, suffix)
    if kind not in KINDS:
        raise ValueError(f"{path}: the suffix .{suffix} does not say what to write: {', '.join(KINDS)}; or use --to")
    return kind


@contextmanager
def _opened(path: Path | None, quiet: bool) -> Iterator[Callable[[bytes], Any]]:
    """Give what writes the output: nowhere, to a pipe, or to a file that appears when it is whole."""
    if path is None:
        yield lambda data: None
    elif is_stream(path):
        with opened_stream(path) as stream:
            yield lambda data: write_all(stream, data)
    else:
        with Part(path, {"dedupe": None}, quiet) as part:
            yield part.write
            part.finish()


def _bytes(kind: str, documents: Documents, kept: npt.NDArray[np.bool_]) -> bytes:
    """Return the lines that are written of the documents that are kept."""
    texts = [(row, documents.texts[row]) for row in kept.nonzero()[0].tolist()]
    if kind == "jsonl":
        whole = documents.rows
        rows = (whole[row] if whole else json.dumps({"text": text}, ensure_ascii=False) for row, text in texts)
        return "".join(f"{row}\n" for row in rows).encode()
    for row, text in texts:
        if "\n" in text or text.endswith("\r"):
            place = f"{documents.file}: line {documents.lines[row]}"
            raise ValueError(f"{place}: a text that holds the end of a line cannot be written as one: write jsonl")
    return "".join(f"{text}\n" for _, text in texts).encode()
