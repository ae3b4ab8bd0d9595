"""Arguments that several commands have, and what they mean."""

from __future__ import annotations

import argparse
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fastemb

from . import reading

if TYPE_CHECKING:
    from fastemb import StaticModel, Tokenizer


def add_files(parser: argparse.ArgumentParser, least: Literal["+", "*"] = "+") -> None:
    """Add what is read: files, one or more, or any number; their kind, and the field that holds texts."""
    parser.add_argument("files", metavar="FILE", nargs=least, help="a file, or - for standard input")
    parser.add_argument(
        "--from",
        dest="read_as",
        choices=reading.KINDS,
        help="what files are (default: by their suffixes, else text); .gz and .zst are unpacked",
    )
    parser.add_argument(
        "--field",
        metavar="NAME",
        help="the field of JSONL, CSV, TSV or Parquet that holds the text (default: text, or the only column)",
    )


def sources(args: argparse.Namespace) -> list[reading.Source]:
    """Return the files that were named, each looked at."""
    return reading.sources(args.files, args.read_as, args.field)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add which model it is."""
    parser.add_argument(
        "--model",
        metavar="DIR",
        type=Path,
        help="a folder with tokenizer.json and a table, or a file of word vectors (default: the installed model)",
    )
    parser.add_argument("--dim", type=int, help="keep only the first DIM columns of the table")


def model(args: argparse.Namespace) -> StaticModel:
    """Return the model that was named."""
    return fastemb.StaticModel.load(args.model, dim=args.dim)


def model_identity(args: argparse.Namespace, model: StaticModel) -> Any:
    """Return what tells a model from others: of its table the bytes, of its other files sizes and dates."""
    table: Any = model.table
    arrays = (table.codes, table.scale, table.offset) if isinstance(table, fastemb.QuantizedTable) else (table,)
    checksum = 0
    for array in arrays:
        rows = array if array.flags.c_contiguous else array.copy()
        checksum = zlib.crc32(rows.reshape(-1).view("u1").data, checksum)
    path: Path | None = args.model
    others: list[tuple[str, int, int]] = []
    if path is not None:
        read = (".json", ".txt", ".safetensors")
        files = [path] if path.is_file() else [f for f in path.rglob("*") if f.suffix in read and f.is_file()]
        others = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return [numbers_of(table), list(table.shape), checksum, sorted(others)]


def numbers_of(table: Any) -> str:
    """Return what the numbers of a model's table are."""
    return f"int{table.bits}" if isinstance(table, fastemb.QuantizedTable) else str(table.dtype)


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    """Add which tokenizer it is."""
    parser.add_argument(
        "-t",
        "--tokenizer",
        metavar="PATH",
        type=Path,
        help="a tokenizer's file, or a folder that holds one (default: that of the installed model)",
    )
    parser.add_argument("--pattern", metavar="NAME", help="the pattern of a .tiktoken file, such as cl100k or o200k")


def tokenizer(args: argparse.Namespace) -> Tokenizer:
    """Return the tokenizer that was named."""
    if args.tokenizer is None:
        if args.pattern is not None:
            raise ValueError("--pattern is of a tokenizer's file: name that by --tokenizer")
        return fastemb.StaticModel.load().tokenizer
    return fastemb.Tokenizer.load(args.tokenizer, args.pattern)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add how many threads, and whether anything is said."""
    parser.add_argument("--threads", type=int, metavar="N", help="use at most N threads")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def set_threads(args: argparse.Namespace) -> None:
    """Let all later calls use as many threads as was said."""
    if args.threads is not None:  # a number without sense would be threads that are made, one by one
        fastemb.set_num_threads(min(args.threads, os.cpu_count() or 1))
