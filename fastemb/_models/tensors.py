"""Tables in safetensors files: which there are, of what types, and their values."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = dict[str, npt.NDArray[Any]]

FLOATS, INTEGERS = ("F16", "BF16", "F32", "F64"), ("I32", "I64", "U32", "U64")  # safetensors' names of types
DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1", "I32": "<i4", "I64": "<i8", "U32": "<u4", "U64": "<u8"}


def one_file(folder: Path) -> Path:
    """Return the safetensors file of a folder; FileNotFoundError or ValueError where there is not one."""
    tables = sorted(file for file in folder.glob("*.safetensors") if file.is_file())
    if not tables:
        raise FileNotFoundError(f"no model in {folder}: it holds no .safetensors file")
    if len(tables) > 1:
        raise ValueError(f"{folder}: expected one .safetensors file, found {', '.join(table.name for table in tables)}")
    return tables[0]


def read_tensors(path: Path, wanted: Mapping[str, Sequence[str]], mapped: bool = False) -> tuple[Tensors, list[str]]:
    """Return those tensors of a file that are wanted, each by its name and the types it may have, and all names.

    NumPy has no bfloat16: such tensors are returned in float32, which holds their values. Mapped, those of two axes are
    read-only views of the file's pages.

    Raises
    ------
    ValueError
        The file is damaged, or one of the tensors has another type.
    ModuleNotFoundError
        The package safetensors is not installed.
    """
    try:
        import safetensors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"reading {path} needs the package safetensors: pip install 'fastemb[static]'", name=error.name
        ) from None
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = sorted(file.keys())
            kinds = {name: file.get_slice(name).get_dtype() for name in names if name in wanted}
            wrong = [name for name in kinds if kinds[name] not in wanted[name]]
            plain = [name for name in kinds if kinds[name] != "BF16"]
            apart = {name for name in plain if mapped and len(file.get_slice(name).get_shape()) == 2}
            tensors = {name: file.get_tensor(name) for name in plain if not wrong and name not in apart}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: damaged safetensors file: {error}") from None
    if wrong:
        raise ValueError(
            f"{path}: tensor {wrong[0]!r} has the type {kinds[wrong[0]]}; supported are {', '.join(wanted[wrong[0]])}"
        )
    tensors |= {name: _mapped(path, name) for name in apart}
    return tensors | {name: _bfloat16(path, name) for name in kinds if kinds[name] == "BF16"}, names


def read_array(path: Path, mapped: bool) -> npt.NDArray[Any]:
    """Return the array of an `.npy` file; mapped, as a read-only view of its pages.

    Raises
    ------
    ValueError
        The file is damaged, or holds neither floats nor int8.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise ValueError(f"{path}: damaged .npy file: {error}") from None
    if array.dtype.str[1:] not in ("f2", "f4", "f8", "i1"):
        raise ValueError(f"{path}: expected float16, float32, float64 or int8, it holds {array.dtype}")
    return array


def _entry(path: Path, name: str) -> tuple[int, int, list[int], str]:
    """Return the first byte of a tensor of a file, of which safetensors has checked that it is one, and its end.

    Its shape and type follow.
    """
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(size))[name]
    first, end = entry["data_offsets"]
    return 8 + size + first, 8 + size + end, entry["shape"], entry["dtype"]


def _mapped(path: Path, name: str) -> npt.NDArray[Any]:
    """Return a tensor as a view of its file."""
    first, _, shape, kind = _entry(path, name)
    if 0 in shape:
        return np.empty(shape, DTYPES[kind])
    return np.memmap(path, DTYPES[kind], "r", first, tuple(shape))


def _bfloat16(path: Path, name: str) -> npt.NDArray[np.float32]:
    """Return a tensor in float32."""
    first, end, shape, _ = _entry(path, name)
    with path.open("rb") as file:
        file.seek(first)
        halves = np.frombuffer(file.read(end - first), "<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(shape)
