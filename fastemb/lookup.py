"""Rows of a table by id: ``gather``."""

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _threads
from .quantized import QuantizedTable
from .ragged import Ragged

_MODES = {"raise": 0, "clip": 1, "wrap": 2}  # the numbers are those of the kernel

# Results up to this size, which are not worth a second thread, come from the kernel for small calls. It takes arrays,
# so it is compiled for each type of them: float32 and plain bytes, with int32 and int64 ids.
_FEW_BYTES = 1 << 19
_SINGLE, _INT32, _INT64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)


def gather(
    table: npt.NDArray[Any] | QuantizedTable, ids: Any, *, mode: str = "raise", out: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """Look up rows of a table: ``table[ids]``, checked and without surprises for negative ids.

    Parameters
    ----------
    table : numpy.ndarray, shape (V, ...), or QuantizedTable
        Usually ``(V, D)``. Any dtype of fixed size, any byte order, any alignment; it may be read-only, a
        memory map or a view with its rows apart.
    ids : array_like of int, any shape
        Any integer dtype. A scalar gives one row; an empty list counts as int64.
    mode : {"raise", "clip", "wrap"}
        What an id outside ``[0, V)`` means: an error, the nearest row, or the row modulo V, as in
        `numpy.take`.
    out : numpy.ndarray, shape ``ids.shape + table.shape[1:]``, optional
        Where the result goes, of the table's dtype (of a QuantizedTable: float32). It must not overlap `table`
        or `ids`.

    Returns
    -------
    numpy.ndarray, shape ``ids.shape + table.shape[1:]``
        `out` where that is given, else a new array. It has the table's dtype, byte order included; rows of a
        QuantizedTable are float32.

    Raises
    ------
    IndexError
        If an id is out of range and `mode` is ``"raise"``: the first such id, its position and V are named. A
        table without rows has no row for any id, in any mode.
    TypeError
        If `table` or `out` is not a NumPy array (`table` nor a QuantizedTable), or holds Python objects, or is
        masked; if `ids` are not integers; if `out` has another dtype than the table.
    ValueError
        If `mode` is not one of the three; if `out` has the wrong shape, is read-only or overlaps an input.

    Notes
    -----
    Rows are copied byte by byte, so NaN payloads and signed zeros survive, and the result does not depend on
    the number of threads. Numbers of a QuantizedTable are ``code * scale + offset``, the product rounded to float32
    and then the sum. Nothing is written before every argument has been checked, ids included.

    New results of 1 MiB and more are 64-byte aligned and take the memory of earlier ones that nobody uses any more, of
    which at most ``FASTEMB_BUFFER_POOL`` bytes are kept (an environment variable; 256 MiB unless set, 0 for none).

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
    if out is None and mode == "raise" and type(ids) is np.ndarray:
        rows = _few_rows(table, ids)
        if rows is not None:
            return rows
    return _gather(table, ids, mode, out)


def _few_rows(table: Any, ids: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return the rows of a small call; None where it is none, or an id is out of range.

    It goes straight to a kernel, since all that a call may need to know would cost more than a few rows do.
    """
    if not (ids.dtype is _INT64 or ids.dtype is _INT32) or not ids.flags.carray:
        return None
    if type(table) is np.ndarray:
        kind = table.dtype
        if table.ndim != 2 or kind.hasobject or not table.flags.carray:
            return None
        copy: Callable[..., int] = _copy_few
    elif type(table) is QuantizedTable:
        kind, copy = _SINGLE, QuantizedTable._read_few
    else:
        return None
    N, D = ids.size, table.shape[1]
    if not 0 < N * D * kind.itemsize <= _FEW_BYTES:
        return None
    flat = ids.ndim == 1
    rows = np.empty((N, D), kind)
    if copy(table, ids if flat else ids.reshape(N), rows) >= 0:
        return None
    return rows if flat else rows.reshape((*ids.shape, D))


def _gather(table: Any, ids: Any, mode: str, out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    """Check and look up whatever is given."""
    quantized = isinstance(table, QuantizedTable)
    source: Any = table if quantized else _arrays.as_table(table)
    if isinstance(ids, Ragged):
        raise TypeError("gather takes ids of one shape; give the flat ids of a Ragged as ragged.ids")
    given = _arrays.as_integers(ids, "ids")
    if mode not in tuple(_MODES):  # whatever it is, also what has no hash
        raise ValueError(f"mode must be one of {', '.join(map(repr, _MODES))}, got {mode!r}")
    kind: np.dtype[Any] = _SINGLE if quantized else source.dtype
    V, shape = source.shape[0], given.shape + source.shape[1:]
    if out is not None:
        inputs = _arrays.Table(table).arrays if quantized else {"table": source}
        out = _arrays.check_out(out, shape, **inputs, ids=given)
        if out.dtype != kind:
            wanted = "dtype float32, as which a QuantizedTable is read" if quantized else f"the table's dtype, {kind}"
            raise TypeError(f"out must have {wanted}, got {out.dtype}")
    index = _arrays.as_index(given, V, mode)
    if not V and given.size:
        _arrays.raise_out_of_range(given, 0, V)
    target: npt.NDArray[Any]
    target, touched = _new_result(shape, kind) if out is None or not _in_reach(out, given) else (out, True)
    if quantized:
        flat = target.reshape(given.size, shape[-1])
        bad = source._read(_arrays.ids(index, V), _MODES[mode], flat, touched, keep=index)
    else:
        bad = _copy_rows(source, index, mode, target, touched)
    if bad >= 0:
        _arrays.raise_out_of_range(given, bad, V)
    if out is None:
        return target
    if target is not out:
        out[...] = target
    return out


def _new_result(shape: tuple[int, ...], kind: np.dtype[Any]) -> tuple[npt.NDArray[Any], bool]:
    """Return a new array, in foreign byte order if the table is, and whether its memory has been touched before."""
    size = _arrays.size_of(shape) * kind.itemsize
    if size < _arrays.POOLED_BYTES:
        return np.empty(shape, kind), False
    flat, touched = _arrays.new_result((size,), np.uint8)
    return flat.view(kind).reshape(shape), touched


def _in_reach(out: npt.NDArray[Any], ids: npt.NDArray[Any]) -> bool:
    """Whether the kernel can write ``out``: rows in one piece, at one distance from each other."""
    return bool(out.flags.c_contiguous) or (ids.ndim == 1 and _arrays.rows_in_order(out))


@cache
def _kernels() -> ModuleType:
    """Import the kernels when they are first needed: they bring Numba with them."""
    from ._cpu import lookup

    return lookup


def _first_gather_few(*arrays: npt.NDArray[Any]) -> int:
    """Stand in for the kernel until it is needed."""
    global _gather_few
    _gather_few = _kernels().gather_few
    return _gather_few(*arrays)


_gather_few: Callable[..., int] = _first_gather_few


def _copy_few(table: npt.NDArray[Any], ids: npt.NDArray[Any], out: npt.NDArray[Any]) -> int:
    """Check the ids and copy their rows; return the first bad position, or -1. All arrays are 2-D and in order."""
    if table.dtype is _SINGLE:
        return _gather_few(table, ids, out)
    return _gather_few(table.view(np.uint8), ids, out.view(np.uint8))


def _copy_rows(
    source: npt.NDArray[Any], index: npt.NDArray[Any], mode: str, target: npt.NDArray[Any], touched: bool
) -> int:
    """Check the ids and copy their rows; return the first bad position, or -1.

    Only memory that has been touched is streamed to: the zeros of a fresh page lie in the cache already.
    """
    V, N = source.shape[0], index.size
    size = _arrays.size_of(source.shape[1:]) * source.dtype.itemsize
    if (
        0 < N * size <= _FEW_BYTES
        and mode == "raise"
        and source.flags.c_contiguous
        and target.flags.c_contiguous
        and index.flags.carray
    ):
        rows, results = (array.reshape(-1).view(np.uint8).reshape(-1, size) for array in (source, target))
        return _gather_few(rows, index.reshape(-1), results)
    in_order = _arrays.rows_in_order(source)
    apart = target.strides[0] if index.ndim == 1 and N > 1 else size
    stream = touched and N * size >= _arrays.STREAM_BYTES and size >= 64
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
