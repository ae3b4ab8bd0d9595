"""Print the documents nearest in meaning to a text, best first: cosine, FILE:LINE, text.

All documents are compared, block by block, and none but the best are held. With --index their vectors are kept in
FILE.fastemb-index, in float16; the answer is the same to the last digit, as those that come near are encoded anew.
"""

from __future__ import annotations

import argparse

from .. import options, results
from ..comparing import nearest

HELP = "find the documents nearest in meaning to a text"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("query", metavar="QUERY", help="what to look for")
    nearest.add(parser)
    results.add(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    files = options.sources(args)
    nearest.check(args, files)
    model = options.model(args)
    query = nearest.query_of(model, args.query, f"the query {args.query!r}", args.quiet)
    results.print_found(nearest.find(query, files, model, args), args.json)
    return 0
