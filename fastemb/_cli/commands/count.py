"""Count the tokens of texts.

One line for each file with its documents, tokens and bytes, and one for all of them; or with --each one number for each
document. No ids are made.
"""

from __future__ import annotations

import argparse

from .. import options, reading

HELP = "count tokens"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.add_files(parser)
    options.add_tokenizer(parser)
    parser.add_argument("--each", action="store_true", help="print the tokens of every document, a line each")
    options.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    files = options.sources(args)
    tokenizer = options.tokenizer(args)
    total = [0, 0, 0]
    if not args.each and not args.quiet:
        print(f"{'documents':>12} {'tokens':>14} {'bytes':>14}")
    for source in files:
        found = [0, 0, 0]
        for block in reading.read([source]):
            counts = tokenizer.count_batch(block.texts)
            if args.each:
                print("".join(f"{count}\n" for count in counts.tolist()), end="")
            found = [found[0] + len(block.texts), found[1] + int(counts.sum()), found[2] + block.size]
        if not args.each:
            print(_line(found, source.name))
        total = [a + b for a, b in zip(total, found, strict=True)]
    if len(files) > 1 and not args.each:
        print(_line(total, "total"))
    return 0


def _line(found: list[int], name: str) -> str:
    shown = name if name.isprintable() else repr(name)
    return f"{found[0]:>12,} {found[1]:>14,} {found[2]:>14,}  {shown}"
