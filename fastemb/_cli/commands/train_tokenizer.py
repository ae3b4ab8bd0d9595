"""Train a tokenizer on texts, and write it as a tokenizer.json.

Every line, or field of JSONL, CSV, TSV and Parquet, is a text.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import fastemb

from .. import options, reading, results
from ..reading.packed import named
from ..writing.resuming import Part, check_output

HELP = "train a tokenizer on texts"
KINDS = ("bpe", "wordpiece", "unigram")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.add_files(parser)
    parser.add_argument("-o", "--output", metavar="tokenizer.json", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, default="bpe", help="the model (default: bpe)")
    parser.add_argument("--vocab-size", type=int, default=32_000, metavar="N", help="default: 32000")
    parser.add_argument(
        "--special", metavar="TOKEN", action="append", default=[], help="a special token; may be repeated"
    )
    options.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    files = options.sources(args)
    check_output(args.output, [source.name for source in files], None)
    special = {"special_tokens": args.special} if args.special else {}
    tokenizer = fastemb.Tokenizer.train(reading.texts(files), vocab_size=args.vocab_size, kind=args.kind, **special)
    with tempfile.TemporaryDirectory() as folder, Part(args.output, {"train": None}, args.quiet) as part:
        with named(folder):
            tokenizer.save(Path(folder, "tokenizer.json"))
        part.write(Path(folder, "tokenizer.json").read_bytes())
        part.finish()
    if not args.quiet:
        print(f"wrote {results.plain(str(args.output))}: {tokenizer.vocab_size:,} tokens")
    return 0
