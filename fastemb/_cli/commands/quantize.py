"""Turn a table of vectors into int8 or int4, row by row.

The table is an .npy file, or the one table of floats in a .safetensors file. What is written is a .safetensors file
with the tensors codes (uint8), scale and offset (float32) that fastemb.QuantizedTable takes:
value = code * scale + offset.
"""

from __future__ import annotations

import argparse
import json
import struct
from pathlib import Path
from typing import Any

import fastemb

from .. import results
from ..writing.resuming import Part, check_output

HELP = "turn a table into int8 or int4"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", metavar="TABLE", type=Path, help="the table: .npy or .safetensors")
    parser.add_argument("-o", "--output", metavar="OUT.safetensors", type=Path, required=True)
    parser.add_argument("--bits", type=int, choices=(8, 4), default=8, help="bits of a value (default: 8)")
    parser.add_argument("--tensor", metavar="NAME", help="the tensor, where a file holds several tables")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    check_output(args.output, [str(args.file)], None)
    if args.output.suffix != ".safetensors":
        raise ValueError(f"{args.output}: what is written is a .safetensors file")
    table = _read(args.file, args.tensor)
    try:
        found = fastemb.quantize(table, args.bits)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{args.file}: {error}") from None
    arrays = {"codes": found.codes, "offset": found.offset, "scale": found.scale}
    with Part(args.output, {"quantize": str(args.file)}, args.quiet) as part:  # as a whole or not at all
        part.write(_header(arrays, {"shape": json.dumps(list(found.shape)), "bits": str(found.bits)}))
        for array in arrays.values():
            part.write(array.tobytes())
        part.finish()
    if not args.quiet:
        sizes = f"{results.size(found.nbytes)} of {results.size(table.nbytes)}"
        print(f"wrote {results.plain(str(args.output))}: {found!r}, {sizes}")
    return 0


def _header(arrays: dict[str, Any], metadata: dict[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, array in arrays.items():
        kind = {"uint8": "U8", "float32": "F32"}[str(array.dtype)]
        entries[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(entries).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return struct.pack("<Q", len(text)) + text


def _read(path: Path, tensor: str | None) -> Any:
    """Return the table of a file; safetensors' header is read here, so that nothing need be installed."""
    import numpy as np

    if path.suffix == ".npy":
        try:
            return np.load(path, mmap_mode=None, allow_pickle=False)
        except (ValueError, EOFError, MemoryError) as error:  # of an empty file, and of a shape that none has
            raise ValueError(f"{path}: no .npy file of numbers: {error}") from None
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected .npy or .safetensors")
    kinds = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
    with path.open("rb") as file:
        try:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > path.stat().st_size:
                raise ValueError
            entries = json.loads(file.read(size))
            tables = [
                n for n, e in entries.items() if n != "__metadata__" and e["dtype"] in kinds and len(e["shape"]) == 2
            ]
            if tensor is None and len(tables) != 1:
                many = f"{len(tables)} tables of floats ({', '.join(tables[:8])}); name one by --tensor"
                raise LookupError(f"{path}: holds {many if tables else 'no table of floats'}")
            name = tables[0] if tensor is None else tensor
            if name not in tables:
                raise LookupError(f"{path}: holds no table {name!r}; there are {', '.join(tables[:8]) or 'none'}")
            start, end = entries[name]["data_offsets"]
            if not 0 <= start <= end <= path.stat().st_size - 8 - size:
                raise ValueError
            file.seek(8 + size + start)
            return np.frombuffer(file.read(end - start), kinds[entries[name]["dtype"]]).reshape(entries[name]["shape"])
        except LookupError as error:
            if isinstance(error, KeyError):
                raise ValueError(f"{path}: damaged safetensors file") from None
            raise ValueError(str(error)) from None
        except (struct.error, ValueError, TypeError, AttributeError, RecursionError):
            raise ValueError(f"{path}: damaged safetensors file") from None
