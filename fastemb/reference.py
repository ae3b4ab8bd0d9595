"""Every operation in a few lines of NumPy: what the kernels must equal. Only tests import this."""

from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def gather(table: Array, ids: Any, mode: str = "raise") -> Array:
    """Return ``table[ids]``; ids outside the table are an error, the nearest row, or taken modulo V."""
    ids = np.asarray(ids) if np.size(ids) else np.zeros(np.shape(ids), np.int64)
    V = table.shape[0]
    if mode == "clip":
        ids = np.clip(ids.astype(object), 0, V - 1).astype(np.int64)
    elif mode == "wrap":
        ids = (ids.astype(object) % V).astype(np.int64)
    elif ((ids < 0) | (ids >= V)).any():
        raise IndexError("an id is out of range")
    rows: Array = table[ids]
    return rows


def embedding_bag(
    table: Array, ids: Array, offsets: Array, mode: str = "mean", normalize: bool = False, exact: bool = False
) -> Array:
    """Return sums or means per bag, unrounded: rows added one by one, in float32 (a float64 table: float64).

    With ``exact`` everything is float64, for comparisons within a tolerance.
    """
    kind = np.float64 if exact or table.dtype.itemsize == 8 else np.float32
    out = np.zeros((len(offsets) - 1, table.shape[1]), kind)
    for s, (begin, end) in enumerate(pairwise(offsets)):
        rows = table[ids[begin:end]].astype(kind)
        if len(rows):
            out[s] = reduce(np.add, rows) / kind(len(rows) if mode == "mean" else 1)
        length = np.sqrt(np.square(out[s], dtype=np.float64).sum())
        if normalize and length > 0:
            out[s] = out[s] / length
    return out
