"""Rows of a table by id: ``gather``."""

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks, _devices, _frameworks
from ._checks import IdMode
from .quantized import QuantizedTable
from .ragged import Ragged

_HERE, _ndarray = _devices.HERE, np.ndarray  # at hand: looking up three names takes a twentieth of a small call
_RAISE = "raise"  # the very object that a literal in a caller's code is; what is but equal takes the general road


def gather(
    table: npt.NDArray[Any] | QuantizedTable, ids: Any, *, mode: IdMode = "raise", out: npt.NDArray[Any] | None = None
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
        table without rows has no row for any id, in any mode; nor has any table one for an integer that no dtype holds.
    TypeError
        If `table` or `out` is no array (`table` nor a QuantizedTable), or holds Python objects, or is masked; if they
        are of two frameworks; if `ids` are not integers of one shape; if `out` has another dtype than the table.
    ValueError
        If `mode` is not one of the three; if `table` has no axis; if `ids` are lists of different lengths; if `out` has
        the wrong shape, is read-only or overlaps an input.

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
    rows: npt.NDArray[Any] | None
    if type(table) is _ndarray:
        if mode is _RAISE and type(ids) is _ndarray:
            if out is None:
                rows = _HERE["lookup"].small_gather(table, ids)
                if rows is not None:
                    return rows
            elif type(out) is _ndarray and _HERE["lookup"].gather_into(table, ids, out):
                return out
    elif type(table) is QuantizedTable and type(table.codes) is _ndarray:
        if out is None and mode is _RAISE and type(ids) is _ndarray:
            rows = _devices.HERE["lookup"].small_gather_codes(table, ids)
            if rows is not None:
                return rows
    elif framework := _frameworks.of(table):
        return framework.call(gather, table, ids, mode=mode, out=out)
    quantized = _checks.is_quantized(table)
    source: Any = table if quantized else _checks.as_table(table)
    if isinstance(_frameworks.lists(ids, Ragged), Ragged):
        raise TypeError("gather takes ids of one shape; give the flat ids of a Ragged as ragged.ids")
    given = _checks.as_ids(ids)
    if out is not None and quantized:
        _checks.require_out(out, np.dtype(np.float32), "dtype float32, as which a QuantizedTable is read")
    elif out is not None:
        _checks.require_out(out, source.dtype, f"the table's dtype, {source.dtype}")
    _checks.require_one_device(table=source, ids=given, out=out)
    _checks.require_word(mode, _checks.ID_MODES, "mode")
    _checks.require_axis(source, "table")
    target = out
    if out is not None:
        target = _checks.check_out(out, given.shape + source.shape[1:], table=source, ids=given)
    result: npt.NDArray[Any] = _devices.lookup(source).gather(source, given, mode, target)
    return result if out is None else out


def prefetch(table: npt.NDArray[Any] | QuantizedTable, ids: Any) -> int:
    """Let the system read rows of a table that lies in a mapped file, before they are looked up.

    Parameters
    ----------
    table : numpy.ndarray, shape (V, ...), or QuantizedTable
        Its memory, or that of the codes, is a file mapped by `numpy.memmap` or ``mmap``, as in a model that was loaded
        with ``mmap=True``; views are taken as well. For another table there is nothing to do.
    ids : array_like of int, any shape, or Ragged
        The rows that will be wanted.

    Returns
    -------
    int
        How many bytes were asked for, in whole pages; those that lie in memory already are counted. 0 for a table that
        is no mapped file.

    Raises
    ------
    IndexError
        If an id is out of range.
    TypeError
        If `table` is no array on the CPU, or `ids` are no integers.
    ValueError
        If `table` has no axis, or `ids` are lists of different lengths.

    Notes
    -----
    Rows that are not in memory are otherwise read one page fault after another, each of them with the pages around it:
    of a large file and ids from all over it many times what is wanted. Here the pages of all ids are found, neighbours
    joined, and each stretch is given to the system (``madvise`` with ``MADV_WILLNEED``), which begins to read it and
    does not wait. Nothing is copied, and no result changes. Where all rows are in memory the call is of no use, and
    takes longer than `gather`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import fastemb
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "table.npy"
    >>> np.save(file, np.zeros((4096, 256), np.float32))
    >>> table = np.load(file, mmap_mode="r")
    >>> fastemb.prefetch(table, [0, 2000]) > 0
    True
    >>> fastemb.gather(table, [0, 2000]).shape
    (2, 256)
    """
    if framework := _frameworks.of(table):
        return framework.call(prefetch, table, ids)
    source: Any = table.codes if isinstance(table, QuantizedTable) else _checks.as_table(table)
    rows = _frameworks.lists(ids, Ragged)
    given = _checks.as_ids(rows.ids if isinstance(rows, Ragged) else ids)
    _checks.require_axis(_checks.require_cpu(source, "table"), "table")
    _checks.require_one_device(table=source, ids=given)
    asked: int = _devices.lookup(None).prefetch(source, given)
    return asked
