"""The CPU's way with tables of codes: rows in ranges, numbers past the caches where they are many."""

from typing import Any, NoReturn

import numpy as np

from .. import _memory, _threads
from .arrays import Array, address, as_row_major, code_rows, no_ids, rows
from .kernels import quantized as kernels
from .kernels.jit import Direct
from .kernels.layout import DTYPE_TAGS, Ids, Rows
from .kernels.lookup import RAISE

# The small path: calls that are not worth a second thread ----------------------------------------------------------

_SMALL_BYTES = 1 << 18
_FLOAT32, _UINT8, _empty = np.dtype(np.float32), np.dtype(np.uint8), np.empty  # at hand: names that are far cost time
_CODES, _ROWS, _NUMBERS = np.zeros((1, 1), _UINT8), np.zeros((1, 1), _FLOAT32), np.zeros(1, _FLOAT32)
_encode = Direct(kernels.quantize_small, _ROWS, 8, _CODES, _ROWS)
_widen = Direct(kernels.widen_all_small, _CODES, 8, _NUMBERS, _NUMBERS, _ROWS)


def small_quantize(table: Array, bits: Any) -> tuple[Array, Array, Array, tuple[int, int]] | None:
    """Return the parts of a small table and its shape; None: take the general road, which says what is wrong, if so."""
    if type(bits) is not int or not (bits == 8 or bits == 4) or table.dtype is not _FLOAT32 or table.ndim != 2:
        return None
    if not 0 < table.nbytes <= _SMALL_BYTES or not table.flags.carray:
        return None
    shape = V, D = table.shape
    codes, both = _empty((V, D if bits == 8 else D + 1 >> 1), _UINT8), _empty((2, V), _FLOAT32)
    if _encode.call(table, bits, codes, both) >= 0:
        return None
    codes.setflags(write=False)  # as `flags.writeable`, which takes twice as long
    both.setflags(write=False)
    return codes, both[0], both[1], shape


def small_dequantize(table: Any) -> Array | None:
    """Return all rows of a small QuantizedTable; None: take the general road."""
    codes, (V, D) = table.codes, table.shape
    if not 0 < V * D <= _SMALL_BYTES >> 2 or not codes.flags.c_contiguous:  # scales and offsets always are
        return None
    out = _empty((V, D), _FLOAT32)
    _widen.call(codes, table.bits, table.scale, table.offset, out)
    return out


# The parts of a table --------------------------------------------------------------------------------------------


def as_part(array: Array) -> Array:
    """Return a read-only view of an array that becomes a part of a table, or a copy if kernels cannot read it."""
    part = as_row_major(array).view()
    part.flags.writeable = False
    return part


def check_finite(scale: Array, offset: Array) -> None:
    """Raise the ValueError for the first scale, else the first offset, that is not finite."""
    for name, values in (("scale", scale), ("offset", offset)):
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"{name} must be finite, got {name}[{row}] = {values[row]}")


# Numbers to codes ------------------------------------------------------------------------------------------------


def quantize(table: Array, bits: int) -> tuple[Array, Array, Array]:
    """Return the codes of a table (V, D) of floats, and the scale and offset of each row: new, read-only arrays.

    Raises the ValueError for the first row that has no codes.
    """
    V, D = table.shape
    codes = _memory.empty((V, -(-D * bits // 8)), np.uint8)
    scale, offset = np.zeros(V, np.float32), np.zeros(V, np.float32)
    if table.size:
        tag = DTYPE_TAGS[f"int{bits}"]
        goal = Rows(tag, address(codes), codes.strides[0], bits, D, address(scale), address(offset))
        _quantize_rows(as_row_major(table), goal)
    for array in (codes, scale, offset):
        array.flags.writeable = False
    return codes, scale, offset


def _quantize_rows(source: Array, goal: Rows) -> None:
    """Write codes, scales and offsets, whose arrays the caller holds; raise for the first row that has none."""
    given, V = rows(source), len(source)
    bad: list[int] = []

    def write(start: int, stop: int, alive: object = source) -> None:
        row = kernels.quantize_rows(given, goal, start, stop)
        if row >= 0:
            bad.append(row)

    _threads.run(write, _threads.split(V, _threads.parts(2 * source.nbytes, V)))
    if bad:
        _raise_no_codes(source, min(bad))


def _raise_no_codes(source: Array, row: int) -> NoReturn:
    if not np.isfinite(source[row].astype(np.float64)).all():
        raise ValueError(f"row {row} of table has a NaN or an infinity, which no code can stand for")
    raise ValueError(f"row {row} of table spans more than float32 holds")


# Codes to numbers ------------------------------------------------------------------------------------------------


def dequantize(table: Any) -> Array:
    """Return all rows of a QuantizedTable as float32, (V, D)."""
    out, warm = _memory.new_result(table.shape, np.float32)
    read(table, no_ids(table.shape[0]), RAISE, out, warm, alive=None)
    return out


def read_range(table: Any, first: int, out: Array) -> None:
    """Write the rows of a QuantizedTable from ``first`` on to all rows of 2-D float32 ``out``, in this thread."""
    whole, goal, N = code_rows(table), rows(out), len(out)
    source = whole._replace(
        address=whole.address + first * whole.stride, scale=whole.scale + 4 * first, offset=whole.offset + 4 * first
    )
    kernels.widen_rows(source, no_ids(N), RAISE, goal, False, 0, 0, N)


def read(table: Any, ids: Ids, mode: int, out: Array, warm: bool, alive: object) -> int:
    """Write the rows of a QuantizedTable that ids mean to 2-D ``out``; return the first bad place, or -1.

    ``mode`` is the kernel's number, ``warm`` says whether the memory of ``out`` has been used before, and ``alive``
    owns the ids. Nothing is written if an id is bad.
    """
    source, goal = code_rows(table), rows(out)
    streamable = source.D >= 16 and not (goal.address | goal.stride) & 7
    nontemporal = warm and out.nbytes >= _memory.STREAM_BYTES and streamable
    check = ids.N if mode == RAISE else 0

    # It holds the arrays behind the addresses, so they live as long as any thread's range.
    def widen(start: int, stop: int, check: int = 0, alive: object = (table, out, alive)) -> int:
        bad: int = kernels.widen_rows(source, ids, mode, goal, nontemporal, check, start, stop)
        return bad

    ranges = _threads.parts(out.nbytes + ids.N * ((source.D * source.bits + 7) // 8), ids.N)
    if ranges == 1:
        return widen(0, ids.N, check)
    bad = widen(0, 0, check) if check else -1
    if bad < 0:
        _threads.run(widen, _threads.split(ids.N, ranges))
    return bad
