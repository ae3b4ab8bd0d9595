"""Tables in mapped files: which pages rows lie on, and the system asked to read them."""

import mmap
from typing import Any

import numpy as np

from .arrays import Array, address

_PAGE = mmap.PAGESIZE


def advise(table: Array, index: Array) -> int:
    """Ask for the pages of some rows, and return their bytes; 0 where the table is no mapped file."""
    file = file_of(table)
    if file is None or not table[:1].size or not index.size or not hasattr(mmap, "MADV_WILLNEED"):
        return 0
    low, high = np.lib.array_utils.byte_bounds(table[:1])
    start = low - address(np.frombuffer(file, np.uint8))
    at = start + np.unique(index).astype(np.int64) * table.strides[0]
    asked = 0
    for first, end in zip(*stretches(at, high - low), strict=True):
        file.madvise(mmap.MADV_WILLNEED, first, end - first)
        asked += end - first
    return asked


def stretches(at: Array, size: int) -> tuple[list[int], list[int]]:
    """Return where stretches of pages begin and end that hold rows of so many bytes, which begin at distinct places."""
    at = np.sort(at)  # rows of a table whose stride is negative descend
    first, end = at // _PAGE * _PAGE, -(-(at + size) // _PAGE) * _PAGE
    apart = first[1:] > end[:-1]  # ends ascend as the places do
    return first[np.r_[True, apart]].tolist(), end[np.r_[apart, True]].tolist()


def file_of(table: Array) -> Any:
    """Return the mapped file in which an array lies, or None."""
    holder: Any = table
    while isinstance(holder, np.ndarray):
        holder = holder.base
    if isinstance(holder, memoryview):
        holder = holder.obj
    return holder if isinstance(holder, mmap.mmap) else None
