"""Folders with a tokenizer and one table: WordLlama's, model2vec's, and those that name no maker."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._text.tokenizer_json import load_json
from ..quantized import QuantizedTable
from .tensors import FLOATS, INTEGERS, Tensors, one_file, read_array, read_tensors

MODEL2VEC, WORDLLAMA = "embeddings", "embedding.weight"  # the names of their tables; StaticEmbedding's is the latter
TENSORS = {MODEL2VEC: (*FLOATS, "I8"), WORDLLAMA: (*FLOATS, "I8"), "mapping": INTEGERS, "weights": FLOATS}
DEFAULT_MAX_LENGTH = 512  # model2vec's, where its config names none


def find_files(folder: Path) -> tuple[Path, Path, Path]:
    """Return the tokenizer, the table and the config of a model folder; only the config may be missing."""
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise FileNotFoundError(f"no model in {folder}: it holds no tokenizer.json")
    arrays = sorted(folder.glob("*.npy"))
    alone = len(arrays) == 1 and not any(folder.glob("*.safetensors"))
    return tokenizer, arrays[0] if alone else one_file(folder), folder / "config.json"


def read_table(path: Path, mapped: bool = False) -> tuple[Tensors, str]:
    """Return the tensors that make a model, and the name of its table; a lone array is as one without a config."""
    if path.suffix == ".npy":
        return {WORDLLAMA: read_array(path, mapped)}, WORDLLAMA
    tensors, found = read_tensors(path, TENSORS, mapped)
    tables = [name for name in (MODEL2VEC, WORDLLAMA) if name in tensors]
    if len(tables) != 1:
        raise ValueError(f"{path}: expected one tensor named {MODEL2VEC!r} or {WORDLLAMA!r}, it holds {found}")
    return tensors, tables[0]


class Stored(NamedTuple):
    """A table as its file has it, which row each id has, and what that is multiplied by where it is read."""

    rows: npt.NDArray[Any] | QuantizedTable
    mapping: npt.NDArray[Any] | None = None
    weights: npt.NDArray[np.float32] | None = None


def stored_table(tensors: Tensors, name: str) -> Stored:
    """Return a table without a larger copy of it; int8 stays a byte a number.

    Weights are multiplied into a table that is no larger for it: float32 or float64, or int8, whose scales they are.
    """
    table = tensors[name]
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"tensor {name!r} must have two axes and some columns, got shape {table.shape}")
    mapping, weights = tensors.get("mapping"), tensors.get("weights")
    if mapping is not None and (mapping.ndim != 1 or not np.all((mapping >= 0) & (mapping < len(table)))):
        raise ValueError(f"tensor 'mapping' must hold row numbers below {len(table)}")
    ids = table if mapping is None else mapping
    factors = np.ones(len(table), np.float32)
    if weights is not None:
        if weights.shape != ids.shape[:1]:
            raise ValueError(f"tensor 'weights' must have shape {ids.shape[:1]}, got {weights.shape}")
        with np.errstate(over="ignore"):
            factors = weights.astype(np.float32)
        if not np.isfinite(factors).all():
            raise ValueError("tensor 'weights' holds numbers that are not finite in float32")
    apart = weights is not None and (mapping is not None or table.dtype.itemsize == 2 or isinstance(table, np.memmap))
    if table.dtype == np.int8:
        rows = _as_codes(table, np.ones(len(table), np.float32) if apart else factors)
        return Stored(rows, mapping, factors if apart else None)
    if apart or weights is None:
        return Stored(table, mapping, factors if apart else None)
    return Stored(table * factors[:, np.newaxis])


def _as_codes(table: npt.NDArray[np.int8], factors: npt.NDArray[np.float32]) -> QuantizedTable:
    """Return int8 rows, each times its factor, as codes of the same size: a number is its code less 128."""
    return QuantizedTable(table.view(np.uint8) ^ 0x80, factors, -128 * factors, table.shape)


def first_columns(table: npt.NDArray[Any] | QuantizedTable, dim: int) -> npt.NDArray[Any] | QuantizedTable:
    """Return the first columns of a table, without a copy where it is an array."""
    if isinstance(table, QuantizedTable):
        codes = table.codes[:, : -(-dim * table.bits // 8)]
        return QuantizedTable(codes, table.scale, table.offset, (len(table), dim), table.bits)
    return table[:, :dim]


def model2vec_settings(path: Path, unk_id: int | None) -> dict[str, Any]:
    """Return what a model2vec config asks for; without the file, its maker's defaults."""
    config = load_json(path) if path.is_file() else {}
    max_length, normalize = config.get("max_length", DEFAULT_MAX_LENGTH), config.get("normalize", False)
    if not (max_length is None or (type(max_length) is int and max_length > 0)):
        raise ValueError(f"{path}: max_length must be a positive integer or null, got {max_length!r}")
    if normalize not in (True, False, None):
        raise ValueError(f"{path}: normalize must be true or false, got {normalize!r}")
    return {"max_length": max_length, "normalize": bool(normalize), "drop": unk_id}
