"""Print the documents most like one of them, or the words of the model most like a word, best first.

ITEM is a document, FILE:LINE (of Parquet, FILE:ROW), or a word. A document is compared with all others of the FILEs, or
of its own file where none is named; a word with the words, or parts of words, of the model's vocabulary. To find
documents by a word or any text, there is search.
"""

from __future__ import annotations

import argparse
import os
from math import isnan

import fastemb

from .. import options, reading, results
from ..comparing import nearest
from ..comparing.documents import Document, blocks_of

HELP = "find the documents most like one of them, or the words most like a word"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("item", metavar="ITEM", help="a document, as FILE:LINE, or a word")
    nearest.add(parser, least="*")
    results.add(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options.set_threads(args)
    name, _, line = args.item.rpartition(":")
    is_place = name not in ("", "-") and line.isascii() and line.isdecimal()
    if not (is_place and os.path.exists(name)):
        if args.files or args.index:
            raise ValueError(f"{args.item}: is no document, FILE:LINE of a file that exists; by a text, use search")
        nearest.check(args, [])
        model = options.model(args)
        if is_place and args.item not in model.tokenizer.vocab:  # or its parts would be taken for a word
            raise ValueError(f"{args.item}: there is no file {name}, and no such word in the vocabulary")
        _print_words(model, args)
        return 0
    (own,) = reading.sources([name], args.read_as, args.field)
    files = options.sources(args) if args.files else [own]
    nearest.check(args, files)
    document = _document(own, int(line))
    model = options.model(args)
    query = nearest.query_of(model, document.text, f"the document {args.item}", args.quiet)
    same = next((file.name for file in files if file.name != "-" and os.path.samefile(file.name, name)), name)
    results.print_found(nearest.find(query, files, model, args, but=(same, document.line)), args.json)
    return 0


def _document(source: reading.Source, line: int) -> Document:
    """Return the document that begins on a line."""
    for block, lines, _ in blocks_of([source]):
        for row in (lines == line).nonzero()[0]:
            return Document(source.name, line, block.texts[row])
    raise ValueError(f"{source.name}: no document begins on line {line}")


def _print_words(model: fastemb.StaticModel, args: argparse.Namespace) -> None:
    try:
        scored = model.most_similar(args.item, args.k)
    except KeyError as error:  # whose own words are quoted when it is printed
        raise ValueError(error.args[0]) from None
    found = [(word, score) for word, score in scored if not isnan(score)]  # as no document is found by such a vector
    if not found:
        raise ValueError(f"the vector of {args.item!r} is no number, or that of no other word is one")
    for word, score in found:
        if args.json:
            results.print_json({"score": results.number(score), "word": word})
        else:
            print(f"{score:.4f}  {results.plain(word)}")
