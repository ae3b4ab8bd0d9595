"""Tables of 8-bit and 4-bit codes, a quarter and an eighth of the memory: ``quantize``, ``QuantizedTable``."""

from functools import cache
from operator import index as as_int
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _threads


@cache
def _kernels() -> ModuleType:
    """Import the kernels when they are first needed: they bring Numba with them."""
    from ._cpu import quantized

    return quantized


class QuantizedTable:
    """A table whose rows are codes: ``value = code * scale + offset``, with a scale and an offset for each row.

    Every function that reads a table reads this one too, as float32; none writes to it. `quantize` makes one of
    a table of floats.

    Parameters
    ----------
    codes : numpy.ndarray of uint8, shape (V, ceil(D * bits / 8))
        Codes of 8 bits, or two codes of 4 bits to a byte: the even column in the low half. Where D is odd, the
        last high half means nothing.
    scale : numpy.ndarray of float32, shape (V,)
        The distance of two neighbouring codes.
    offset : numpy.ndarray of float32, shape (V,)
        What code 0 means.
    shape : tuple of two int
        ``(V, D)``.
    bits : {8, 4}
        The size of a code.

    Raises
    ------
    TypeError
        If `codes` are not a NumPy array of uint8, `scale` or `offset` not one of float32, `shape` not integers.
    ValueError
        If `shape` is not that of a table, `bits` neither 8 nor 4, or the shape of an array does not follow from
        them; if a scale or an offset is not finite: the first row that has one is named.

    Notes
    -----
    Arrays are not copied, unless the bytes of a row, or the scales or offsets, do not follow one another, or are
    not in native byte order. So a later change of the caller's arrays changes the table. Its own
    views of them are read-only. It can be pickled and copied.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.quantized import QuantizedTable
    >>> codes, scale, offset = np.array([[0x10, 0x0F]], np.uint8), np.array([0.5], "f4"), np.array([-1], "f4")
    >>> table = QuantizedTable(codes, scale, offset, shape=(1, 3), bits=4)
    >>> table.dequantize()
    array([[-1. , -0.5,  6.5]], dtype=float32)
    >>> table.nbytes
    10
    """

    __slots__ = ("_bits", "_codes", "_offset", "_rows", "_scale", "_shape")

    def __init__(self, codes: Any, scale: Any, offset: Any, shape: tuple[int, int], bits: int = 8) -> None:
        self._shape, self._bits = _check_shape(shape), _check_bits(bits)
        V, D = self._shape
        self._codes = _checked(codes, "codes", np.uint8, (V, -(-D * bits // 8)))
        self._scale = _checked(scale, "scale", np.float32, (V,))
        self._offset = _checked(offset, "offset", np.float32, (V,))
        for name, values in (("scale", self._scale), ("offset", self._offset)):
            bad = ~np.isfinite(values)
            if bad.any():
                row = int(np.argmax(bad))
                raise ValueError(f"{name} must be finite, got {name}[{row}] = {values[row]}")
        self._rows = _arrays.Table(self).rows()  # kept, as small calls would spend half their time on it

    @property
    def codes(self) -> npt.NDArray[np.uint8]:
        """The codes, uint8 ``(V, ceil(D * bits / 8))``, read-only."""
        return self._codes

    @property
    def scale(self) -> npt.NDArray[np.float32]:
        """The distance of two neighbouring codes of each row, float32 ``(V,)``, read-only."""
        return self._scale

    @property
    def offset(self) -> npt.NDArray[np.float32]:
        """What code 0 means in each row, float32 ``(V,)``, read-only."""
        return self._offset

    @property
    def shape(self) -> tuple[int, int]:
        """``(V, D)``: rows and columns of the table that the codes stand for."""
        return self._shape

    @property
    def bits(self) -> int:
        """The size of a code, 8 or 4."""
        return self._bits

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and offsets."""
        return self._codes.nbytes + self._scale.nbytes + self._offset.nbytes

    def __len__(self) -> int:
        return self._shape[0]

    def __repr__(self) -> str:
        return f"QuantizedTable(shape={self._shape}, bits={self._bits})"

    def __reduce__(self) -> tuple[Any, ...]:
        return QuantizedTable, (self._codes, self._scale, self._offset, self._shape, self._bits)

    def dequantize(self) -> npt.NDArray[np.float32]:
        """Return all rows as numbers.

        Returns
        -------
        numpy.ndarray of float32, shape (V, D)
            ``code * scale + offset``, a new array.

        Notes
        -----
        The product is rounded to float32, then the sum: the bits do not depend on the machine or the number of
        threads.

        Examples
        --------
        >>> import numpy as np
        >>> from fastemb.quantized import quantize
        >>> quantize(np.array([[0.0, 1.5, 3.75]], np.float32), bits=4).dequantize()
        array([[0.  , 1.5 , 3.75]], dtype=float32)
        """
        out, touched = _arrays.new_result(self._shape, np.float32)
        self._read(_arrays.no_ids(self._shape[0]), 0, out, touched=touched)
        return out

    def _read_few(self, ids: npt.NDArray[Any], out: npt.NDArray[Any]) -> int:
        """Write a few rows; return the first bad position, or -1. Both arrays lie in order, and `ids` are 1-D."""
        bad: int = _kernels().widen_few(self._rows, self._shape[0], ids, out)
        return bad

    def _read(self, ids: Any, mode: int, out: npt.NDArray[Any], touched: bool, keep: object = None) -> int:
        """Write the rows that ``ids`` (a `layout.Ids`) mean to 2-D ``out``; return the first bad position or -1.

        ``mode`` is the kernel's number, ``touched`` says whether the memory of ``out`` has been used before, and
        ``keep`` owns the ids.
        """
        table, widen_rows = self._rows, _kernels().widen_rows
        goal = _arrays.rows(out)
        past = (
            touched
            and out.nbytes >= _arrays.STREAM_BYTES
            and self._shape[1] >= 16
            and not (goal.address | goal.stride) & 7
        )
        check = ids.N if mode == 0 else 0

        # It holds the arrays behind the addresses, so they live as long as any thread's range.
        def widen(start: int, stop: int, check: int = 0, keep: object = (self, out, keep)) -> int:
            bad: int = widen_rows(table, ids, mode, goal, past, check, start, stop)
            return bad

        ranges = _threads.parts(out.nbytes + ids.N * self._codes.shape[1], ids.N)
        if ranges == 1:
            return widen(0, ids.N, check)
        bad = widen(0, 0, check) if check else -1
        if bad < 0:
            _threads.run(widen, _threads.split(ids.N, ranges))
        return bad


def _check_bits(bits: Any) -> int:
    if not hasattr(bits, "__index__") or bits not in (8, 4):
        raise ValueError(f"bits must be 8 or 4, got {bits!r}")
    return as_int(bits)


def _check_shape(shape: Any) -> tuple[int, int]:
    try:
        sizes = tuple(as_int(size) for size in shape)
    except TypeError:
        raise TypeError(f"shape must be two integers (V, D), got {shape!r}") from None
    if len(sizes) != 2 or min(sizes) < 0:
        raise ValueError(f"shape must be (V, D), two sizes, got {shape!r}")
    return sizes


def _checked(array: Any, name: str, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a read-only view of the array, or a copy that kernels can read."""
    array = _arrays.as_table(array, name)
    if array.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    in_reach = _arrays.in_reach(array) if array.ndim == 2 else array.dtype.isnative and array.flags.c_contiguous
    view = array.view() if in_reach else np.ascontiguousarray(array, dtype)
    view.flags.writeable = False
    return view


def quantize(table: npt.NDArray[Any], bits: int = 8) -> QuantizedTable:
    """Turn a table of floats into one of codes, each row with a scale and an offset of its own.

    Parameters
    ----------
    table : numpy.ndarray, shape (V, D)
        float64, float32, float16 or bfloat16 (of the package ml_dtypes), of any layout. Every number is finite.
    bits : {8, 4}
        The size of a code: a quarter or an eighth of float32's.

    Returns
    -------
    QuantizedTable
        With new arrays. ``offset`` is the least number of a row, ``scale`` its span divided by ``2**bits - 1``, and
        a code is ``(x - offset) / scale``, rounded to the nearest, halves to even.

    Raises
    ------
    TypeError
        If `table` is not a NumPy array of one of these dtypes.
    ValueError
        If `table` has not two axes or `bits` is neither 8 nor 4. If a row has a NaN or an infinity, or its span is
        more than float32 holds: the first such row is named.

    Notes
    -----
    Numbers are computed in float32, of a float64 table in float64, each operation rounded by itself; `scale` and
    `offset` are then rounded to float32, and codes computed with the rounded ones. So the error of a number of a
    float32 table is at most half a scale, but for the rounding of the result, and the least number of a row is exact.
    A constant row has scale 0 and codes 0; a span too small for a float32 scale has the least scale above zero. No
    offset is -0.0. The bits do not depend on the machine or the number of threads.

    This is the row-wise "min-max" quantisation of FBGEMM's embedding tables, with scale and offset beside the
    codes and not behind each row.

    A table whose rows do not each lie in one piece, or of foreign byte order, is copied first.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.quantized import quantize
    >>> table = quantize(np.array([[-1.0, 0.0, 0.25], [2.0, 2.0, 2.0]], np.float32))
    >>> table
    QuantizedTable(shape=(2, 3), bits=8)
    >>> table.codes
    array([[  0, 204, 255],
           [  0,   0,   0]], dtype=uint8)
    >>> quantize(np.array([[0.0, np.nan]]))
    Traceback (most recent call last):
    ValueError: row 0 of table has a NaN or an infinity, which no code can stand for
    """
    source = _arrays.as_table(table)
    _arrays.require_float(source, "table")
    if source.ndim != 2:
        raise ValueError(f"table must have shape (V, D), got {source.shape}")
    bits = _check_bits(bits)
    V, D = source.shape
    codes = np.zeros((V, -(-D * bits // 8)), np.uint8)
    scale, offset = np.zeros(V, np.float32), np.zeros(V, np.float32)
    result = QuantizedTable(codes, scale, offset, (V, D), bits)
    if source.size:
        source = _arrays.within_reach(source)
        _quantize_rows(source, result)
    return result


def _quantize_rows(source: npt.NDArray[Any], result: QuantizedTable) -> None:
    """Write codes, scales and offsets; raise for a row that has none."""
    given, goal, quantize_rows = _arrays.rows(source), result._rows, _kernels().quantize_rows
    bad: list[int] = []

    def write(start: int, stop: int, keep: object = (source, result)) -> None:
        row = quantize_rows(given, goal, start, stop)
        if row >= 0:
            bad.append(row)

    V = len(source)
    _threads.run(write, _threads.split(V, _threads.parts(2 * source.nbytes, V)))
    if bad:
        row = min(bad)
        if not np.isfinite(source[row].astype(np.float64)).all():
            raise ValueError(f"row {row} of table has a NaN or an infinity, which no code can stand for")
        raise ValueError(f"row {row} of table spans more than float32 holds")
