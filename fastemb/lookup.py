"""Rows of a table by id: ``gather``."""

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _threads
from .ragged import Ragged

# Results of at least this size go past the caches, which they would only empty. A constant, measured, and not the
# size that a machine reports for its caches: shared ones are never this call's alone.
_STREAM_BYTES = 8 << 20

_MODES = {"raise": 0, "clip": 1, "wrap": 2}  # the numbers are those of the kernel


def gather(
    table: npt.NDArray[Any], ids: Any, *, mode: str = "raise", out: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """Look up rows of a table: ``table[ids]``, checked and without surprises for negative ids.

    Parameters
    ----------
    table : numpy.ndarray, shape (V, ...)
        Usually ``(V, D)``. Any dtype of fixed size, any byte order, any alignment; it may be read-only, a
        memory map or a view with its rows apart.
    ids : array_like of int, any shape
        Any integer dtype. A scalar gives one row; an empty list counts as int64.
    mode : {"raise", "clip", "wrap"}
        What an id outside ``[0, V)`` means: an error, the nearest row, or the row modulo V, as in
        `numpy.take`.
    out : numpy.ndarray, shape ``ids.shape + table.shape[1:]``, optional
        Where the result goes, of the table's dtype. It must not overlap `table` or `ids`.

    Returns
    -------
    numpy.ndarray, shape ``ids.shape + table.shape[1:]``
        `out` where that is given, else a new array. It has the table's dtype, byte order included.

    Raises
    ------
    IndexError
        If an id is out of range and `mode` is ``"raise"``: the first such id, its position and V are named. A
        table without rows has no row for any id, in any mode.
    TypeError
        If `table` or `out` is not a NumPy array, or holds Python objects, or is masked; if `ids` are not
        integers; if `out` has another dtype than the table.
    ValueError
        If `mode` is not one of the three; if `out` has the wrong shape, is read-only or overlaps an input.

    Notes
    -----
    Rows are copied byte by byte, so NaN payloads and signed zeros survive, and the result does not depend on
    the number of threads. Nothing is written before every argument has been checked, ids included.

    Copies: ids that are neither int32 nor int64, or not contiguous, are converted. A table whose rows do not
    each lie in one piece (Fortran order, a strided last axis) is read through NumPy's indexing. An `out` whose
    elements do not follow one another is written through a temporary of its size, unless `ids` are 1-D and
    only its rows are apart.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.lookup import gather
    >>> table = np.array([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]], np.float32)
    >>> gather(table, [2, 0])
    array([[2. , 2.5],
           [0. , 0.5]], dtype=float32)
    >>> gather(table, [[1], [5]], mode="clip").shape
    (2, 1, 2)
    >>> gather(table, [0, -1])
    Traceback (most recent call last):
    IndexError: id -1 at position 1 is out of range for a table of 3 rows
    """
    source = _arrays.as_table(table)
    if isinstance(ids, Ragged):
        raise TypeError("gather takes ids of one shape; give the flat ids of a Ragged as ragged.ids")
    given = _arrays.as_integers(ids, "ids")
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, _MODES))}, got {mode!r}")
    V, shape = source.shape[0], given.shape + source.shape[1:]
    if out is not None:
        out = _arrays.check_out(out, shape, table=source, ids=given)
        if out.dtype != source.dtype:
            raise TypeError(f"out must have the table's dtype, {source.dtype}, got {out.dtype}")
    index = _arrays.as_index(given, V, mode)
    if not V and given.size:
        _arrays.raise_out_of_range(given, 0, V)
    target = np.empty(shape, source.dtype) if out is None or not _in_reach(out, given) else out
    bad = _copy_rows(source, index, mode, target, touched=target is out)
    if bad >= 0:
        _arrays.raise_out_of_range(given, bad, V)
    if out is None:
        return target
    if target is not out:
        out[...] = target
    return out


def _in_reach(out: npt.NDArray[Any], ids: npt.NDArray[Any]) -> bool:
    """Whether the kernel can write ``out``: rows in one piece, at one distance from each other."""
    return bool(out.flags.c_contiguous) or (ids.ndim == 1 and _arrays.rows_in_order(out))


@cache
def _kernels() -> ModuleType:
    """Import the kernels when they are first needed: they bring Numba with them."""
    from ._cpu import lookup

    return lookup


def _copy_rows(
    source: npt.NDArray[Any], index: npt.NDArray[Any], mode: str, target: npt.NDArray[Any], touched: bool
) -> int:
    """Check the ids and copy their rows; return the first bad position, or -1.

    Only memory that has been touched is streamed to: the zeros of a fresh page lie in the cache already.
    """
    V, N = source.shape[0], index.size
    size = _arrays.size_of(source.shape[1:]) * source.dtype.itemsize
    in_order = _arrays.rows_in_order(source)
    apart = target.strides[0] if index.ndim == 1 and N > 1 else size
    stream = touched and N * size >= _STREAM_BYTES and size >= 64
    tag, gather_rows = index.dtype.type(0), _kernels().gather_rows
    check = N if mode == "raise" else 0
    base, start, goal = _arrays.address(source), _arrays.address(index), _arrays.address(target)

    # It holds the arrays behind the addresses, so they live as long as any thread's range.
    def copy(first: int, last: int, check: int = 0, keep: object = (source, index, target)) -> int:
        bad: int = gather_rows(
            tag, base, source.strides[0], size, V, start, _MODES[mode], goal, apart, stream, check, first, last
        )
        return bad

    if not in_order:
        bad = copy(0, 0, check)
        if bad < 0:
            # Not numpy.take, which would first copy the whole table.
            target[...] = source[np.clip(index, 0, V - 1) if mode == "clip" else index % max(V, 1)]
        return bad
    ranges = _threads.parts(2 * N * size, N)
    if ranges == 1:
        return copy(0, N, check)
    bad = copy(0, 0, check) if check else -1
    if bad < 0:
        _threads.run(copy, _threads.split(N, ranges))
    return bad
