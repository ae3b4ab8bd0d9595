"""Vectors in files: what is written block by block, and what is made of it at the end.

In all kinds but JSONL the blocks are bare rows behind a header whose length does not depend on what comes: so a part
can be cut at any row and gone on with, and when the number of rows is known at last it takes its place in the header
(npy, safetensors), or the rows go into a file of the kind that cannot be written so (npz, Parquet).
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

KINDS = ("npy", "npz", "safetensors", "parquet", "jsonl")
HEADERS = {"npy": 128, "npz": 0, "safetensors": 256, "parquet": 0, "jsonl": 0}
ELSEWHERE = ("npz", "parquet")  # written from the part into another file
NAME = "vectors"  # of the array, the tensor and the column
BLOCK = 1 << 22  # bytes that are copied at a time
GROUP = 1 << 24  # bytes of a row group of Parquet


def kind_of(path: Path | None, to: str | None) -> str:
    """Return what an output is, by its suffix where nothing is said.

    Raises
    ------
    ValueError
        It has another suffix.
    ModuleNotFoundError
        Nothing is installed that writes it.
    """
    suffix = "" if path is None else path.suffix.lower().removeprefix(".")
    kind = to or suffix or "npy"
    if kind not in KINDS:
        raise ValueError(f"{path}: the suffix .{suffix} does not say what to write: {', '.join(KINDS)}; or use --to")
    if kind == "parquet" and path is not None:
        _pyarrow(path)
    return kind


def block(kind: str, texts: list[str], vectors: Vectors) -> Any:
    """Return the bytes of a block."""
    import numpy as np

    if kind != "jsonl":
        return np.ascontiguousarray(vectors).data if vectors.size else b""
    from ..._static.stages import decimals

    quoted = json.JSONEncoder(ensure_ascii=False).encode
    return b"".join(
        b'{"text": %s, "vector": [%s]}\n' % (quoted(text).encode(), row)
        for text, row in zip(texts, decimals(vectors), strict=True)
    )


def header(kind: str, rows: int, dim: int) -> bytes:
    """Return what stands before the rows, of the length that `HEADERS` says."""
    import numpy as np

    if kind == "npy":
        head = io.BytesIO()
        said = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(head, said)
        found = head.getvalue()
    elif kind == "safetensors":
        entry = {"dtype": "F32", "shape": [rows, dim], "data_offsets": [0, rows * dim * 4]}
        text = json.dumps({NAME: entry}).encode().ljust(HEADERS[kind] - 8)
        found = struct.pack("<Q", len(text)) + text
    else:
        found = b""
    assert len(found) == HEADERS[kind], "the header's length is what parts rely on"
    return found


def finish(kind: str, part: IO[bytes], new: IO[bytes] | None, rows: int, dim: int, path: Path) -> None:
    """Make of a part what it is to be: in its place, or in `new`."""
    if kind == "npz":
        assert new is not None
        info = zipfile.ZipInfo(f"{NAME}.npy")  # of 1980, so that bytes do not depend on the day
        with zipfile.ZipFile(new, "w") as file, file.open(info, "w", force_zip64=True) as member:
            member.write(header("npy", rows, dim))
            while data := part.read(BLOCK):
                member.write(data)
    elif kind == "parquet":
        assert new is not None
        _write_parquet(part, new, dim, path)
    else:
        part.seek(0)
        part.write(header(kind, rows, dim))


def _write_parquet(part: IO[bytes], new: IO[bytes], dim: int, path: Path) -> None:
    import numpy as np

    pa, pq = _pyarrow(path)
    schema = pa.schema([pa.field(NAME, pa.list_(pa.float32(), dim))])
    with pq.ParquetWriter(new, schema) as writer:
        while data := part.read(max(1, GROUP // (4 * dim)) * 4 * dim):
            values = pa.array(np.frombuffer(data, np.float32))
            writer.write_table(pa.table([pa.FixedSizeListArray.from_arrays(values, dim)], schema=schema))


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"writing {path} needs the package pyarrow: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet
