"""Tables of 8-bit and 4-bit codes, a quarter and an eighth of the memory: ``quantize``, ``QuantizedTable``."""

from operator import attrgetter
from operator import index as as_int
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks, _devices, _frameworks, _words

_HERE, _ndarray, _new = _devices.HERE, np.ndarray, object.__new__  # at hand, for small calls


class QuantizedTable:
    """A table whose rows are codes: ``value = code * scale + offset``, with a scale and an offset for each row.

    Every function that reads a table reads this one too, as float32; none writes to it. `quantize` makes one of
    a table of floats.

    Parameters
    ----------
    codes : numpy.ndarray of uint8, shape (V, ceil(D * bits / 8))
        Codes of 8 bits, or two codes of 4 bits to a byte: the even column in the low half. Where D is odd, the
        last high half means nothing. Or an array of any framework on a GPU, as `scale` and `offset` are then.
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
        If `codes` are not an array of uint8, `scale` or `offset` not one of float32 (arrays of other frameworks are
        taken on a GPU alone), or they lie on two devices; if `shape` is not integers.
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

    __slots__ = ("_bits", "_codes", "_offset", "_scale", "_shape", "kernel_args")

    _codes: npt.NDArray[np.uint8]
    _scale: npt.NDArray[np.float32]
    _offset: npt.NDArray[np.float32]
    #: A note of the room of the table's device: how its kernels find the codes. Made when first needed; not pickled.
    kernel_args: Any

    def __init__(self, codes: Any, scale: Any, offset: Any, shape: tuple[int, int], bits: int = 8) -> None:
        codes = _as_typed(codes, "codes", np.uint8)
        scale, offset = _as_typed(scale, "scale", np.float32), _as_typed(offset, "offset", np.float32)
        _checks.require_one_device(codes=codes, scale=scale, offset=offset)
        (V, D), bits = _as_shape(shape), _as_bits(bits)
        _require_shape(codes, "codes", (V, -(-D * bits // 8)))
        _require_shape(scale, "scale", (V,))
        _require_shape(offset, "offset", (V,))
        codes, scale, offset = (_devices.quantized(codes).as_part(array) for array in (codes, scale, offset))
        _devices.quantized(codes).check_finite(scale, offset)
        self._codes, self._scale, self._offset = (_frameworks.owned(array) for array in (codes, scale, offset))
        self._shape, self._bits, self.kernel_args = (V, D), bits, None

    @classmethod
    def _trusted(cls, codes: Any, scale: Any, offset: Any, shape: tuple[int, int], bits: int) -> "QuantizedTable":
        """Return a table of new arrays that a room has made; nothing is checked."""
        table = _new(cls)
        table._codes, table._scale, table._offset = codes, scale, offset
        table._shape, table._bits, table.kernel_args = shape, bits, None
        return table

    # Getters that are no functions of Python: rooms read these, and small calls have no time to climb back here.
    codes = property(attrgetter("_codes"), doc="The codes, uint8 ``(V, ceil(D * bits / 8))``, read-only.")
    scale = property(attrgetter("_scale"), doc="The distance of two neighbouring codes of each row, float32 ``(V,)``.")
    offset = property(attrgetter("_offset"), doc="What code 0 means in each row, float32 ``(V,)``, read-only.")
    shape = property(attrgetter("_shape"), doc="``(V, D)``: rows and columns of the table that the codes stand for.")
    bits = property(attrgetter("_bits"), doc="The size of a code, 8 or 4.")

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and offsets."""
        V, D = self._shape
        return V * (-(-D * self._bits // 8) + 8)

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
        values: npt.NDArray[np.float32] | None
        if type(self._codes) is _ndarray:
            values = _HERE["quantized"].small_dequantize(self)
            if values is not None:
                return values
        elif framework := _frameworks.of(self._codes):
            return framework.call(QuantizedTable.dequantize, self)
        result: npt.NDArray[np.float32] = _devices.quantized(self).dequantize(self)
        return result


_trusted = QuantizedTable._trusted  # at hand, too


def _as_bits(bits: Any) -> int:
    """Return the size of a code as an int."""
    try:
        size = as_int(bits)
    except TypeError:
        size = 0
    if size not in (8, 4):
        raise ValueError(f"bits must be 8 or 4, got {_words.shown(bits)}")
    return size


def _as_shape(shape: Any) -> tuple[int, int]:
    """Return the shape of a table as two ints."""
    try:
        sizes = tuple(as_int(size) for size in shape)
    except TypeError:
        raise TypeError(f"shape must be two integers (V, D), got {_words.shown(shape)}") from None
    if len(sizes) != 2 or min(sizes) < 0:
        raise ValueError(f"shape must be (V, D), two sizes, got {_words.shown(shape)}")
    return sizes


def _as_typed(array: Any, name: str, dtype: Any) -> Any:
    """Return the array as a plain one of this dtype, in either byte order, or as one of a device."""
    framework = None if type(array) is np.ndarray else _frameworks.of(array)
    if framework is not None and framework.is_device(array):
        array = framework.view(array, name)
    elif framework is not None:
        given = f"got {_words.type_name(array)}; give numpy.asarray({name})"
        raise TypeError(f"{name} must be a numpy.ndarray, as which a QuantizedTable keeps it, {given}")
    array = _checks.as_table(array, name)
    if array.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {array.dtype}")
    return array


def _require_shape(array: Any, name: str, shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape."""
    _checks.require_axis(array, name)
    _checks.require_shape(array, shape, name)


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
        If `table` is no array of one of these dtypes, or is masked.
    ValueError
        If `table` has not two axes or `bits` is neither 8 nor 4. If a row has a NaN or an infinity, or its span is
        more than float32 holds: the first such row is named.

    Notes
    -----
    Numbers are computed in float32, of a float64 table in float64, each operation rounded by itself; ``scale`` and
    ``offset`` are then rounded to float32, and codes computed with the rounded ones. So the error of a number of a
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
    if type(table) is _ndarray:
        parts: tuple[Any, Any, Any, tuple[int, int]] | None = _HERE["quantized"].small_quantize(table, bits)
        if parts is not None:
            codes, scale, offset, shape = parts
            return _trusted(codes, scale, offset, shape, bits)
    elif framework := _frameworks.of(table):
        made: QuantizedTable = framework.call(quantize, table, bits)
        return made
    source = _checks.as_float_table(table, "table")
    bits = _as_bits(bits)
    _checks.require_axis(source, "table")
    _checks.require_table_shape(source)
    V, D = source.shape
    codes, scale, offset = _devices.quantized(source).quantize(source, bits)
    return QuantizedTable._trusted(codes, scale, offset, (V, D), bits)
