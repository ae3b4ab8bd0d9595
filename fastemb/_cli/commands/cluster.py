"""Divide documents into clusters of like meaning, and print of each its size and its most central documents.

By k-means over vectors of length one; the same --seed gives the same clusters. The largest comes first; the number
beside a document is its cosine with the cluster's centre. A document of which nothing is known is in none. All vectors
and texts are held in memory, 4 bytes a column twice while files are read.
"""

from __future__ import annotations

import argparse
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import fastemb

from .. import options, results
from ..comparing.documents import Document, Documents, encoded, known

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..comparing.documents import Vectors

HELP = "divide documents into clusters of like meaning"
NONE = 0  # the number of no cluster


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.add_files(parser)
    parser.add_argument("-k", type=int, default=10, metavar="K", help="how many clusters (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
    parser.add_argument("--show", type=int, default=3, metavar="N", help="how many documents of each (default: 3)")
    parser.add_argument("--each", action="store_true", help="print the cluster of every document, a line each")
    results.add(parser)
    options.add_model(parser)
    options.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    for name, value, least in (("-k", args.k, 1), ("--seed", args.seed, 0), ("--show", args.show, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    files = options.sources(args)
    texts = _Texts()
    vectors = texts.read(encoded(files, options.model(args), args.quiet))
    rows = known(vectors)
    if rows.size < args.k:
        raise ValueError(f"-k {args.k:,}: there are only {rows.size:,} documents of which something is known")
    if rows.size < len(vectors):
        vectors = vectors[rows]
    from ..comparing.kmeans import kmeans

    found = kmeans(vectors, args.k, args.seed)
    numbers = _by_size(found.labels)
    if args.each:
        each = [NONE] * len(texts)
        for row, label in zip(rows.tolist(), found.labels.tolist(), strict=True):
            each[row] = numbers[label]
        _print_each(texts, each, args.json)
        return 0
    for label in sorted(numbers, key=lambda label: numbers[label]):
        members = (found.labels == label).nonzero()[0]
        central = _central(vectors[members], found.centers[label], args.show, texts, rows[members])
        _print_cluster(numbers[label], members.size, len(vectors), central, args.json)
    if not args.quiet and not args.json:
        said = f"inertia {found.inertia:,.1f}, {found.steps} steps"
        print(f"{len(numbers):,} clusters of {rows.size:,} documents, {said}")
    return 0


class _Texts:
    """The documents of all files, but for their vectors."""

    def __init__(self) -> None:
        self._blocks: list[Documents] = []
        self._ends: list[int] = []

    def read(self, blocks: Iterator[Documents]) -> Vectors:
        """Take all documents, and return their vectors."""
        import numpy as np

        vectors = []
        for block in blocks:
            vectors.append(block.vectors)
            self._blocks.append(block._replace(vectors=block.vectors[:0].copy()))
            self._ends.append(len(self) + len(block.texts))
        return np.concatenate(vectors) if vectors else np.empty((0, 1), np.float32)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, row: int) -> Document:
        number = bisect_right(self._ends, row)
        block = self._blocks[number]
        return block.document(row - self._ends[number] + len(block.texts))


def _by_size(labels: npt.NDArray[np.int64]) -> dict[int, int]:
    """Return the numbers, from 1, of the clusters that are not empty: the largest first, of equal ones the earlier."""
    import numpy as np

    ids, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = ids[np.lexsort((first, -sizes))]
    return {label: number for number, label in enumerate(order.tolist(), NONE + 1)}


def _central(
    vectors: Vectors, center: Vectors, show: int, texts: _Texts, rows: npt.NDArray[np.int64]
) -> list[tuple[Any, Document]]:
    """Return the documents nearest to a centre, none with a text that another has."""
    found: dict[str, tuple[Any, Document]] = {}
    wanted = show
    while len(found) < show:
        wanted = min(4 * wanted, len(vectors))
        for score, id in zip(*fastemb.topk(center, vectors, wanted), strict=True):
            document = texts[int(rows[id])]
            if len(found) < show:
                found.setdefault(document.text, (score, document))
        if wanted == len(vectors):
            break
    return list(found.values())


def _print_cluster(number: int, size: int, total: int, central: list[tuple[Any, Document]], as_json: bool) -> None:
    if as_json:
        near = [results.scored(score, document) for score, document in central]
        results.print_json({"cluster": number, "size": size, "central": near})
        return
    printer = results.Printer()
    print(printer.paint(f"cluster {number}", "strong") + f": {size:,} documents, {100 * size / total:.1f} %")
    for score, document in central:
        printer.result(score, document, "  ")


def _print_each(texts: _Texts, each: list[int], as_json: bool) -> None:
    for row, number in enumerate(each):
        if as_json:
            results.print_json({"cluster": number or None, **texts[row]._asdict()})
        else:
            print(number)
