"""One vector for each bag of ids: ``embedding_bag``."""

from bisect import bisect_left
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _threads
from .ragged import Ragged

_Array = npt.NDArray[Any]

_MODES = ("mean", "sum")
# Results that need a cast go through a scratch of about this size, which stays in the cache.
_SCRATCH_BYTES = 1 << 18


def embedding_bag(
    table: _Array, ids: Any, offsets: Any = None, *, mode: str = "mean", normalize: bool = False,
    out: _Array | None = None,
) -> _Array:  # fmt: skip
    """Sum or average rows of a table, bag by bag, without making the rows in between.

    Parameters
    ----------
    table : numpy.ndarray, shape (V, D)
        float64, float32 or float16; it may be read-only, a memory map or a view with its rows apart.
    ids : array_like of int, shape (N,) or (S, T), or Ragged
        Any integer dtype. Of 2-D ids each row is a bag. A `Ragged` brings its own offsets.
    offsets : array_like of int, shape (S+1,), optional
        Bag ``s`` holds ``ids[offsets[s]:offsets[s+1]]``. Needed with 1-D ids, and only there.
    mode : {"mean", "sum"}
        ``"mean"`` divides the sum by the number of ids of the bag.
    normalize : bool
        Scale every result row to length one; a row of zeros stays.
    out : numpy.ndarray, shape (S, D), optional
        Where the result goes: float64, float32 or float16, whatever the table has. It must not overlap an
        input.

    Returns
    -------
    numpy.ndarray, shape (S, D)
        `out` where that is given, else a new array of the table's dtype. An empty bag gives zeros.

    Raises
    ------
    IndexError
        If an id is not in ``[0, V)``: the first such id, its position and V are named.
    TypeError
        If `table` or `out` is not a NumPy array of the three dtypes, or is masked; if `ids` or `offsets` are
        not integers.
    ValueError
        If `mode` is not one of the two; if the shapes do not fit; if the offsets do not ascend from 0 to N;
        if `out` has the wrong shape, is read-only or overlaps an input.

    Notes
    -----
    float64 tables are summed in float64, others in float32. Rows are added in ascending order, one sum for
    each column, then divided, then scaled, and rounded to the result's dtype once: so the result does not
    depend on the number of threads or on where the table lies, to the bit, and a float32 `out` of a float16
    table holds the sums unrounded. The length of a row is found in float64. Nothing is written before every
    argument has been checked, ids included.

    Copies: ids that are neither int32 nor int64, or not contiguous, are converted. Of a table in the other
    byte order or with a strided last axis (Fortran order), the rows that are needed are copied, each once.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.pooling import embedding_bag
    >>> table = np.array([[0, 1], [2, 3], [4, 5]], np.float32)
    >>> embedding_bag(table, [0, 2, 1], [0, 2, 2, 3])
    array([[2., 3.],
           [0., 0.],
           [2., 3.]], dtype=float32)
    >>> embedding_bag(table, [[0, 1], [1, 2]], mode="sum")
    array([[2., 4.],
           [6., 8.]], dtype=float32)
    """
    source = _arrays.as_table(table)
    _arrays.require_float(source, "table")
    if source.ndim != 2:
        raise ValueError(f"table must have shape (V, D), got {source.shape}")
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, _MODES))}, got {mode!r}")
    given, ends = _bags(ids, offsets)
    V, shape = source.shape[0], (ends.size - 1, source.shape[1])
    if out is not None:
        out = _arrays.check_out(out, shape, table=source, ids=given, offsets=ends)
        _arrays.require_float(out, "out")
    index = _arrays.as_index(given, V)
    call = _Bags(source, index, ends, mode == "mean", bool(normalize))
    result = np.empty(shape, source.dtype.newbyteorder("=")) if out is None else out
    bad = call.write(result)
    if bad >= 0:
        _arrays.raise_out_of_range(given, bad, V)
    return result


def _bags(ids: Any, offsets: Any) -> tuple[_Array, _Array]:
    """Return the ids and their checked offsets."""
    if isinstance(ids, Ragged):
        if offsets is not None:
            raise ValueError("a Ragged brings its own offsets; offsets must not be given with it")
        # Checked again although Ragged has done so: its arrays can be written to.
        return ids.ids, _arrays.as_offsets(ids.offsets, ids.ids.size)
    given = _arrays.as_integers(ids, "ids")
    if given.ndim == 2:
        if offsets is not None:
            raise ValueError(f"offsets go with 1-D ids, got ids of shape {given.shape}, whose rows are the bags")
        B, T = given.shape
        return given, np.arange(B + 1, dtype=np.int64) * T
    if given.ndim != 1:
        raise ValueError(f"ids must be 1-D with offsets, or 2-D, got shape {given.shape}")
    if offsets is None:
        raise ValueError(f"1-D ids need offsets to say where bags begin, got ids of shape {given.shape} alone")
    return given, _arrays.as_offsets(offsets, given.size)


@cache
def _kernels() -> ModuleType:
    """Import the kernels when they are first needed: they bring Numba with them."""
    from ._cpu import pooling

    return pooling


class _Bags:
    """One call to the kernel: its arguments as addresses, and the arrays they belong to, kept alive."""

    def __init__(self, table: _Array, index: _Array, offsets: _Array, mean: bool, normalize: bool) -> None:
        self._table, self._index, self._offsets = table, index, offsets
        self._mean, self._normalize = mean, normalize
        self._find()
        self.sum_dtype = np.dtype(np.float64 if table.dtype.itemsize == 8 else np.float32)

    def _find(self) -> None:
        """Look addresses up once a call: each costs a microsecond."""
        self._at = tuple(map(_arrays.address, (self._table, self._index, self._offsets)))

    def _kernel(self, out: int, apart: int, start: int, stop: int, check: int = 0) -> int:
        table, index = self._table, self._index
        # The bits of a float16 are an uint16 to Numba, which has no float16 on the CPU.
        element = np.uint16(0) if table.dtype.itemsize == 2 else self.sum_dtype.type(0)
        rows, ids, offsets = self._at
        bad: int = _kernels().bag_rows(
            element, index.dtype.type(0), rows, table.strides[0], table.shape[0], ids, offsets, table.shape[1],
            out, apart, self._mean, self._normalize, check, index.size - 1, start, stop,
        )  # fmt: skip
        return bad

    def write(self, out: _Array) -> int:
        """Write all bags; return the first position whose id is out of range, or -1. Then nothing is written."""
        S, D = out.shape
        readable = self._table.dtype.isnative and _arrays.rows_in_order(self._table)
        direct = out.dtype == self.sum_dtype and out.dtype.isnative and _arrays.rows_in_order(out)
        cost = self._index.size * D * self._table.dtype.itemsize + S * D * out.dtype.itemsize
        ranges = _threads.parts(cost, S)
        base, apart = _arrays.address(out), out.strides[0]
        if ranges == 1 and readable and direct:  # small calls: one visit to the kernel checks and writes
            return self._kernel(base, apart, 0, S, self._index.size)
        bad = self._kernel(0, 0, 0, 0, self._index.size)
        if bad >= 0:
            return bad
        if not readable:
            self._keep_rows_needed()

        # Both hold `out` and this object, so the arrays behind the addresses live as long as any thread's range.
        def write_direct(start: int, stop: int, keep: _Array = out) -> None:
            self._kernel(base, apart, start, stop)

        def write_cast(start: int, stop: int) -> None:
            self._write_cast(out, start, stop)

        _threads.run(write_direct if direct else write_cast, self._cuts(ranges))
        return -1

    def _write_cast(self, out: _Array, start: int, stop: int) -> None:
        """Write bags through a scratch of sums, which is rounded to the result while it is in the cache."""
        D, apart = out.shape[1], out.shape[1] * self.sum_dtype.itemsize
        rows = max(1, min(stop - start, _SCRATCH_BYTES // max(1, apart)))
        scratch = np.empty((rows, D), self.sum_dtype)
        base = _arrays.address(scratch)
        for first in range(start, stop, rows):
            last = min(first + rows, stop)
            self._kernel(base - first * apart, apart, first, last)
            self._cast(scratch[: last - first], out[first:last])

    def _cast(self, sums: _Array, out: _Array) -> None:
        """Round sums to the result: float16 by a kernel, since NumPy takes 2.5 ns a number; else by NumPy."""
        if out.dtype == np.float16 and sums.dtype == np.float32 and _arrays.rows_in_order(out):
            _kernels().narrow_rows(_arrays.address(sums), out.shape[1], _arrays.address(out), out.strides[0], len(out))
            return
        # Infinities of a smaller type are results like others. The state is that of this thread alone.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            out[...] = sums

    def _cuts(self, ranges: int) -> list[int]:
        """Cut the bags so that ranges have as many ids; a bag, which has to be written, counts as one more."""
        S = self._offsets.size - 1
        total = self._index.size + S
        inner = (
            bisect_left(range(S), total * k // ranges, key=lambda s: int(self._offsets[s]) + s)
            for k in range(1, ranges)
        )
        return [0, *inner, S]

    def _keep_rows_needed(self) -> None:
        """Replace a table that the kernel cannot read by its rows in use, in order, and the ids to match."""
        unique, inverse = np.unique(self._index, return_inverse=True)
        rows = self._table[unique]
        self._table = np.ascontiguousarray(rows, rows.dtype.newbyteorder("="))
        self._index = np.ascontiguousarray(inverse, np.int64)
        self._find()
