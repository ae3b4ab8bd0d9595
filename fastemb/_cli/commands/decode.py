"""Turn token ids back into texts.

Ids are read as `fastemb tokenize` writes them: lines of numbers, JSONL with a field ids, or npz with ids and offsets.
A text is a line of the output; with --json it is a JSON string, which line ends in a text do not break.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import options
from ..reading.packed import opened
from ..reading.records import BATCH
from ..writing.resuming import opened_stream, write_all

HELP = "turn token ids back into texts"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="lines of ids, .jsonl or .npz, or - for standard input")
    options.add_tokenizer(parser)
    parser.add_argument("--json", action="store_true", help="write every text as a JSON string")
    parser.add_argument("--skip-special", action="store_true", help="leave special tokens out")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    tokenizer = options.tokenizer(args)
    done = 0
    with opened_stream(Path("-")) as out:
        for rows in _rows(args.file):
            try:
                texts = tokenizer.decode_batch(rows, skip_special=args.skip_special)
            except IndexError as error:
                raise ValueError(f"{args.file}: behind document {done}: {error}") from None
            lines = [json.dumps(text, ensure_ascii=False) if args.json else text for text in texts]
            write_all(out, "".join(f"{line}\n" for line in lines).encode())
            done += len(texts)
    return 0


def _rows(name: str) -> Iterator[Any]:
    if name.endswith(".npz"):
        yield from _from_npz(name)
        return
    with opened(name, ".gz" if name.endswith(".gz") else "") as (stream, _):
        rows: list[list[int]] = []
        for number, line in enumerate(stream, 1):
            rows.append(_ids(line, f"{name}: line {number}"))
            if len(rows) == BATCH:
                yield rows
                rows = []
        yield rows


def _ids(line: bytes, place: str) -> list[int]:
    try:
        if not line.startswith((b"{", b"[")):
            return [int(part) for part in line.split()]
        value = json.loads(line)
        ids = value["ids"] if isinstance(value, dict) else value
        if not all(type(id) is int for id in ids):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{place}: expected ids, got {line[:40].decode(errors='replace').strip()!r}") from None
    return list(ids)


def _from_npz(name: str) -> Iterator[Any]:
    import zipfile

    import numpy as np

    import fastemb

    try:
        with np.load(name) as file:
            if missing := {"ids", "offsets"} - set(file.files):
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
            rows = fastemb.Ragged(file["ids"], file["offsets"])
    except (zipfile.BadZipFile, EOFError, ValueError, TypeError, AttributeError, MemoryError) as error:
        raise ValueError(f"{name}: no ids as fastemb tokenize writes them: {error}") from None
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
