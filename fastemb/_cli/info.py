"""Say what this installation runs on, or what is in a model folder or a tokenizer's file."""

from __future__ import annotations

import argparse
from pathlib import Path

import fastemb

from . import options

HELP = "say what is installed, and what is in a model or tokenizer"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("path", metavar="PATH", nargs="?", type=Path, help="a model's folder or a tokenizer's file")
    parser.add_argument("--pattern", metavar="NAME", help="the pattern of a .tiktoken file")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.path is None:
        fastemb.show_config()
        return 0
    if args.path.is_dir() and (any(args.path.glob("*.safetensors")) or (args.path / "modules.json").is_file()):
        model = fastemb.StaticModel.load(args.path)
        rows, dim = model.table.shape
        print(f"model      {args.path}")
        print(f"table      {rows:,} x {dim} {options.numbers_of(model.table)}, {model.table.nbytes / 1e6:.1f} MB")
        print(
            f"vectors    {len(model.encode('a'))} columns, {'of length one' if model._normalize else 'not normalised'}"
        )
        print(f"texts      {'never cut' if model._max_length is None else f'cut to {model._max_length} ids'}")
        if model.prompts:
            print(f"prompts    {', '.join(model.prompts)}")
        _tokenizer(model.tokenizer)
        return 0
    found = fastemb.Tokenizer.load(args.path, args.pattern)
    print(f"tokenizer  {args.path}")
    _tokenizer(found)
    return 0


def _tokenizer(tokenizer: fastemb.Tokenizer) -> None:
    special = list(tokenizer.special_tokens)
    print(f"tokens     {tokenizer.vocab_size:,}, special ones: {len(special):,}")
    if special:
        print(f"           {', '.join(map(repr, special[:8]))}{' ...' if len(special) > 8 else ''}")
    print(f"kind       {tokenizer!r}")
