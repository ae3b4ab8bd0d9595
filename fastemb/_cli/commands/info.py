"""Say what this installation runs on, or what is in a model, a tokenizer's file or a file of word vectors."""

from __future__ import annotations

import argparse
from pathlib import Path

import fastemb

from .. import options, results

HELP = "say what is installed, and what is in a model or tokenizer"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "path", metavar="PATH", nargs="?", type=Path, help="a model's folder, a tokenizer's file or word vectors"
    )
    parser.add_argument("--pattern", metavar="NAME", help="the pattern of a .tiktoken file")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.path is None:
        fastemb.show_config()
        return 0
    path: Path = args.path
    if path.is_dir() and (any(path.glob("*.safetensors")) or (path / "modules.json").is_file()):
        _model(path, fastemb.StaticModel.load(path))
        return 0
    try:
        found = fastemb.Tokenizer.load(path, args.pattern)
    except ValueError as error:
        if args.pattern is not None or not path.is_file():
            raise
        try:
            model = fastemb.StaticModel.load(path)
        except ValueError as other:
            raise (other if ": damaged " in str(other) else error) from None  # what it is is known, then
        _model(path, model)
        return 0
    print(f"tokenizer  {results.plain(str(path))}")
    _tokenizer(found)
    return 0


def _model(path: Path, model: fastemb.StaticModel) -> None:
    rows, dim = model.table.shape
    print(f"model      {results.plain(str(path))}")
    print(f"table      {rows:,} x {dim} {options.numbers_of(model.table)}, {model.table.nbytes / 1e6:.1f} MB")
    print(f"vectors    {len(model.encode('a'))} columns, {'of length one' if model._normalize else 'not normalised'}")
    print(f"texts      {'never cut' if model._max_length is None else f'cut to {model._max_length} ids'}")
    if model.prompts:
        print(f"prompts    {results.plain(', '.join(model.prompts))}")
    _tokenizer(model.tokenizer)


def _tokenizer(tokenizer: fastemb.Tokenizer) -> None:
    special = list(tokenizer.special_tokens)
    print(f"tokens     {tokenizer.vocab_size:,}, special ones: {len(special):,}")
    if special:
        print(f"           {', '.join(map(repr, special[:8]))}{' ...' if len(special) > 8 else ''}")
    print(f"kind       {tokenizer!r}")
