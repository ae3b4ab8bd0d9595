"""The documents nearest to a vector: by comparing with all of them, or by an index that rules most of them out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fastemb

from .. import options
from ..progress import loading
from . import index
from .documents import Document, Documents, encoded, known

if TYPE_CHECKING:
    import argparse

    import numpy as np

    from .. import reading
    from .documents import Vectors


class Best:
    """The k documents of highest cosine among those that were offered; of equal ones the earlier."""

    def __init__(self, query: Vectors, k: int, but: tuple[str, int] | None = None) -> None:
        self.found: list[tuple[np.float32, Document]] = []
        self._query, self._k, self._but = query, k, but

    def offer(self, documents: Documents) -> None:
        """Take what is among the best of some documents, all of which come behind those before."""
        rows, vectors = known(documents.vectors), documents.vectors
        if not rows.size:
            return
        if rows.size < len(vectors):
            vectors = vectors[rows]
        scores, ids = fastemb.topk(self._query, vectors, min(self._k + (self._but is not None), rows.size))
        found = ((score, documents.document(int(rows[id]))) for score, id in zip(scores, ids, strict=True))
        new = [(score, one) for score, one in found if one[:2] != self._but]
        self.found = sorted(self.found + new, key=lambda entry: -entry[0])[: self._k]  # stable: the earlier first


def add(parser: argparse.ArgumentParser, least: Literal["+", "*"] = "+") -> None:
    """Add where it is looked, how many are found, whether an index is kept, and by which model."""
    options.add_files(parser, least)
    parser.add_argument("-k", type=int, default=10, metavar="N", help="how many to find (default: 10)")
    parser.add_argument(
        "--index",
        action="store_true",
        help="keep the vectors in FILE.fastemb-index, and use what lies there: made anew when FILE or the model is "
        "another, gone on with when FILE has grown",
    )
    options.add_model(parser)
    options.add_threads(parser)


def check(args: argparse.Namespace, files: list[reading.Source]) -> None:
    """Refuse what cannot be done, before anything is read."""
    if args.k < 1:
        raise ValueError(f"-k must be at least 1, got {args.k}")
    if args.index:
        index.check(files)


def query_of(model: fastemb.StaticModel, text: str, said: str, quiet: bool) -> Vectors:
    """Return the vector of a query, which is `said` to be what it is where nothing in it is known."""
    with loading(quiet):
        query: Vectors = model.encode(text, normalize=True)
    if not known(query[None]).size:
        raise ValueError(f"nothing in {said} is known to the model")
    return query


def find(
    query: Vectors,
    files: list[reading.Source],
    model: fastemb.StaticModel,
    args: argparse.Namespace,
    but: tuple[str, int] | None = None,
) -> list[tuple[Any, Document]]:
    """Return the best documents of files and their cosines, without that which stands at `but`."""
    best = Best(query, args.k, but)
    few = _indexed(query, args.k + (but is not None), files, model, args)
    for documents in few if args.index else encoded(files, model, args.quiet):
        best.offer(documents)
    return best.found


def _indexed(
    query: Vectors, k: int, files: list[reading.Source], model: fastemb.StaticModel, args: argparse.Namespace
) -> Iterator[Documents]:
    """Give the documents that may be among the best, encoded anew: the index decides nothing else."""
    identity = options.model_identity(args, model)
    for source in files:
        found = index.kept(Path(source.name + index.SUFFIX), source, model, identity, args.quiet)
        lines = found.near(query, k)
        texts = found.texts(lines)
        if texts:
            yield Documents(source.name, lines, texts, model.encode(texts, normalize=True))
