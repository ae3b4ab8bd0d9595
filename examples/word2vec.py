"""Vectors of words, as in the textbooks: trained on text files, saved for others, asked for neighbours and analogies.

    python examples/word2vec.py FILE ... [--output vectors.bin]

Needs nothing beside fastemb. Files are text, a sentence or a paragraph a line, packed by gzip or not; some millions of
words make vectors that are worth looking at, and take less than a minute. What comes out is printed: the neighbours of
some words that most texts have, and king - man + woman.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import fastemb

WORDS = ("king", "river", "house", "music", "war", "red", "seven", "bread")
ANALOGIES = (
    ("man", "king", "woman", "queen"),
    ("france", "paris", "england", "london"),
    ("good", "better", "large", "larger"),
)


def main(argv: Sequence[str] | None = None) -> fastemb.Evaluation:
    """Train, save if asked, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--kind", choices=("skipgram", "cbow", "glove"), default="skipgram")
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(argv)
    model = fastemb.train_vectors(
        args.files, args.kind, args.dim, min_count=args.min_count, epochs=args.epochs, split="letters"
    )
    if args.output:
        model.save_word2vec(args.output, binary=True)
    found = fastemb.evaluate(model, WORDS, analogies=ANALOGIES, k=5)
    print(found)
    return found


if __name__ == "__main__":
    main()
