"""Show texts on a map, by meaning, as one page for a browser.

The page holds all it needs and asks the network for nothing: hover over a point to read its text, search, zoom, switch
kinds on and off, and see the nearest texts of one that was chosen. The two dimensions are the principal components of
the vectors (PCA), or those of UMAP or t-SNE (--method), if the packages umap-learn or scikit-learn are installed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options, reading, results
from ..maps import axes
from ..writing.delivery import says_more
from ..writing.resuming import Part, check_output, is_stream, opened_stream, write_all

if TYPE_CHECKING:
    from ..maps.page import Map
    from ..maps.rows import Rows

HELP = "show texts on a map, as a page for a browser"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.add_files(parser)
    parser.add_argument(
        "-o", "--output", metavar="OUT.html", type=Path, required=True, help="write the page here; - is standard output"
    )
    parser.add_argument(
        "--method", choices=axes.METHODS, default="pca", help="how vectors become two numbers (default: pca)"
    )
    parser.add_argument(
        "--color-field",
        metavar="NAME",
        action="append",
        default=[],
        help="colour by this field of JSONL, CSV, TSV or Parquet: a scale if it is numbers, else a colour a kind; "
        "several times, the page lets one choose",
    )
    parser.add_argument(
        "--clusters", type=int, metavar="K", help="colour by K clusters, which are named by words that set them apart"
    )
    parser.add_argument("--title", metavar="TEXT", help="what the page is called (default: the files' names)")
    parser.add_argument(
        "--vectors", metavar="V.npy", type=Path, help="take the vectors from here, a row a document; no model is read"
    )
    options.add_model(parser)
    parser.add_argument(
        "--no-normalize",
        action="store_false",
        dest="normalize",
        help="leave vectors as the model gives them; else they have length one, as short texts may have long vectors",
    )
    options.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..maps import page
    from ..maps.rows import gathered

    options.set_threads(args)
    path: Path = args.output
    files = options.sources(args)
    _check(args, files)
    if not is_stream(path):
        read = [source.name for source in files] + ([] if args.vectors is None else [str(args.vectors)])
        check_output(path, read, args.model)
    with gathered(args, files) as rows:
        shown = _placed(args, rows, ["standard input" if source.name == "-" else source.name for source in files])
    data = page.page(shown)
    if is_stream(path):
        with opened_stream(path) as stream:
            write_all(stream, data)
    else:
        with Part(path, {"map": shown.files}, args.quiet) as part:  # as a whole or not at all
            part.write(data)
            part.finish()
    if says_more(path, args.quiet):
        print(f"{results.plain(page.summary(shown))}\nwrote {results.plain(str(path))}: {results.size(len(data))}")
    return 0


def _check(args: argparse.Namespace, files: list[reading.Source]) -> None:
    """Refuse what cannot be done before anything is read."""
    axes.require(args.method)
    if args.clusters is not None and args.clusters < 1:
        raise ValueError(f"--clusters must be at least 1, got {args.clusters}")
    plain = [source.name for source in files if source.kind == "text"]
    if args.color_field and plain:
        raise ValueError(f"--color-field {args.color_field[0]}: {plain[0]} is read as text, which has no fields")
    if args.vectors is not None and (args.model is not None or args.dim is not None):
        raise ValueError("--vectors takes vectors as they are: --model and --dim say nothing about them")


def _placed(args: argparse.Namespace, rows: Rows, names: list[str]) -> Map:
    """Return what the page shows of the documents."""
    import numpy as np

    from ..maps import page
    from ..maps.clusters import of_clusters
    from ..maps.colors import of_field, of_kinds

    file = np.repeat(np.arange(len(names), dtype=np.uint32), np.diff([*rows.notes.starts, len(rows.texts)]))
    fields = zip(args.color_field, rows.notes.values, strict=True)
    colors = [of_field(name, values) for name, values in fields]
    if args.clusters is not None:
        colors.append(of_clusters(rows.vectors, args.clusters, rows.texts))
    if len(names) > 1:
        colors.append(of_kinds("file", [names[number] for number in file]))
    placed = axes.place(rows.vectors, args.method)
    return page.Map(
        title=page.titled(names) if args.title is None else args.title,
        texts=rows.texts,
        lengths=np.array(rows.lengths, np.uint32),
        files=names,
        file=file,
        line=np.array(rows.notes.lines, np.int64),
        points=placed.points,
        method=args.method,
        shares=placed.shares,
        colors=colors,
        neighbors=axes.neighbors(rows.vectors),
    )
