"""Train a vector for each word of texts, and write them as a file of word vectors, which gensim and others read.

Every line, or field of JSONL, CSV, TSV and Parquet, is a text, in which words are what white space parts, or with
--split letters what stands together of letters, in lower case. With one seed the same texts give the same bytes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import fastemb

from .. import options, reading, results
from ..reading.packed import named
from ..writing.resuming import Part, check_output

HELP = "train vectors of the words of texts"
KINDS = ("skipgram", "cbow", "glove")
SPLITS = ("white_space", "letters")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.add_files(parser)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True)
    parser.add_argument("--text", action="store_true", help="write numbers as text (default: word2vec's binary format)")
    parser.add_argument("--kind", choices=KINDS, default="skipgram", help="the method (default: skipgram)")
    parser.add_argument("--split", choices=SPLITS, default="white_space", help="what words are (default: white_space)")
    parser.add_argument("--dim", type=int, default=100, metavar="N", help="numbers of a vector (default: 100)")
    parser.add_argument("--window", type=int, metavar="N", help="words on each side (default: 5, of glove 10)")
    parser.add_argument("--min-count", type=int, default=5, metavar="N", help="leave out rarer words (default: 5)")
    parser.add_argument("--epochs", type=int, metavar="N", help="default: 5, of glove 25")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="default: 0.025, of cbow and glove 0.05")
    parser.add_argument("--negatives", type=int, metavar="N", help="skipgram, cbow: words drawn (default: 5)")
    parser.add_argument("--sample", type=float, metavar="X", help="skipgram, cbow: thin out frequent words (1e-3)")
    parser.add_argument("--unshared", action="store_true", help="skipgram: draw negatives for each pair by itself")
    parser.add_argument("--x-max", type=float, metavar="X", help="glove: count of a pair's full weight (default: 100)")
    parser.add_argument("--memory", type=int, metavar="BYTES", help="glove: for counting pairs (default: 1 GiB)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="what chance begins with (default: 0)")
    options.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    files = options.sources(args)
    check_output(args.output, [source.name for source in files], None)
    with named(f"temporary file in {tempfile.gettempdir()}"):
        model = fastemb.train_vectors(
            reading.texts(files),
            args.kind,
            args.dim,
            window=args.window,
            min_count=args.min_count,
            epochs=args.epochs,
            learning_rate=args.learning_rate,
            negatives=args.negatives,
            sample=args.sample,
            shared_negatives=False if args.unshared else None,
            x_max=args.x_max,
            memory=args.memory,
            split=args.split,
            seed=args.seed,
            progress=not args.quiet,
        )
    with tempfile.TemporaryDirectory() as folder, Part(args.output, {"train-vectors": None}, args.quiet) as part:
        with named(folder):
            model.save_word2vec(Path(folder, "vectors"), binary=not args.text)
        with Path(folder, "vectors").open("rb") as file:
            while data := file.read(1 << 22):
                part.write(data)
        part.finish()
    if not args.quiet:
        V, D = model.table.shape
        print(f"wrote {results.plain(str(args.output))}: {V:,} words of {D} numbers")
    return 0
