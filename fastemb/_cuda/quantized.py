"""CUDA's way with tables of codes: a warp a row to make them, four rows a thread to read them."""

from typing import Any, NoReturn

import numpy as np

from .._frameworks import DeviceArray
from . import arrays, launch, status
from .kernels.dtypes import SIZES
from .kernels.lookup import RAISE
from .kernels.quantized import (
    ALL,
    make_find_infinite,
    make_quantize,
    make_quantize_pairs,
    make_widen,
    make_widen_single,
)  # fmt: skip

_FLOAT32, _INT64 = np.dtype(np.float32), np.dtype(np.int64)
_NOTHING = 1 << 62


# Values that are wrong, said at once ------------------------------------------------------------------------------
#
# A table is made once and read for years: making one waits for the device and raises, as on the CPU.


def _open(like: DeviceArray, place: launch.Place) -> DeviceArray:
    """Return a status of one call alone, to which kernels report rows."""
    if launch.driver.capturing(place):
        raise RuntimeError("making a QuantizedTable reads back whether its values are finite: not under capture")
    word = arrays.new((3,), _INT64, like)
    launch.driver.write(place, word.pointer, np.array([_NOTHING, word.pointer + 16, 0], np.int64))
    return word


def _reported(word: DeviceArray, place: launch.Place) -> int | None:
    """Wait, and return the least row that was reported."""
    least = int(launch.driver.read(place, word.pointer, 1, _INT64)[0])
    return None if least == _NOTHING else least


def as_part(array: DeviceArray) -> DeviceArray:
    """Return a contiguous array, read-only to us, that becomes a part of a table: itself, or a copy."""
    return arrays.contiguous(array, arrays.place_of(array))._replace(writeable=False)


def check_finite(scale: DeviceArray, offset: DeviceArray) -> None:
    """Raise the ValueError for the first scale, else the first offset, that is not finite."""
    place = arrays.place_of(scale)
    for name, values in (("scale", scale), ("offset", offset)):
        if not values.size:
            continue
        word, threads = _open(values, place), launch.driver.threads
        grid = -(-values.size // threads), 1
        find = launch.kernel(make_find_infinite)
        launch.submit(find, grid, (threads, 1), place, (values.pointer, values.size, word.pointer), (values, word))
        row = _reported(word, place)
        if row is not None:
            value = launch.driver.read(place, values.pointer + 4 * row, 1, _FLOAT32)[0]
            raise ValueError(f"{name} must be finite, got {name}[{row}] = {value}")


# Numbers to codes ------------------------------------------------------------------------------------------------


def quantize(table: DeviceArray, bits: int) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """Return the codes of a table (V, D) of floats, and the scale and offset of each row.

    They are views of new arrays of the table's framework. Raises the ValueError for the first row that has no codes.
    """
    place, (V, D) = arrays.place_of(table), table.shape
    codes = arrays.new((V, -(-D * bits // 8)), np.uint8, table)
    scale, offset = arrays.new((V,), _FLOAT32, table), arrays.new((V,), _FLOAT32, table)
    if table.size:
        _quantize_rows(arrays.as_rows(table, place), codes, scale, offset, bits, place)
    elif V:
        for array in (scale, offset):
            launch.driver.write(place, array.pointer, np.zeros(V, np.float32))
    return (
        codes._replace(writeable=False),
        scale._replace(writeable=False),
        offset._replace(writeable=False),
    )


def _quantize_rows(
    source: DeviceArray, codes: DeviceArray, scale: DeviceArray, offset: DeviceArray, bits: int, place: launch.Place
) -> None:
    (V, D), tag, size = source.shape, arrays.tag_of(source), source.dtype.itemsize
    width = arrays.width_of(source.pointer, source.strides[0], D * size)
    while (width // size * bits) % 8 == 0 and codes.pointer % (width // size * bits // 8):
        width //= 2
    if (width // size * bits) % 8:
        kernel, count = launch.kernel(make_quantize_pairs, tag), D
    else:
        kernel, count = launch.kernel(make_quantize, tag, width, bits), D * size // width
    rows, word = launch.driver.threads // 32, _open(source, place)
    values = (
        source.pointer, source.strides[0], codes.pointer, codes.strides[0], scale.pointer, offset.pointer, V, count,
        word.pointer,
    )  # fmt: skip
    alive = (source, codes, scale, offset, word)
    launch.submit(kernel, (-(-V // rows), 1), (32, rows), place, values, alive)
    row = _reported(word, place)
    if row is not None:
        _raise_no_codes(source, row, place)


def _raise_no_codes(source: DeviceArray, row: int, place: launch.Place) -> NoReturn:
    first = source._replace(pointer=source.pointer + row * source.strides[0], shape=(1, source.shape[1]))
    held = arrays.converted(first, np.float64, place)
    if not np.isfinite(launch.driver.read(place, held.pointer, held.size, np.float64)).all():
        raise ValueError(f"row {row} of table has a NaN or an infinity, which no code can stand for")
    raise ValueError(f"row {row} of table spans more than float32 holds")


# Codes to numbers ------------------------------------------------------------------------------------------------


def dequantize(table: Any) -> Any:
    """Return all rows of a QuantizedTable as float32, (V, D)."""
    place, out = arrays.place_of(table.codes), arrays.new(table.shape, _FLOAT32, table.codes)
    check = status.begin(place, 4, status.Fault("dequantize", "row", table.shape[:1], "the table"))
    widen(table, None, RAISE, out, check, place)
    return out.owner


def widen(
    table: Any, index: DeviceArray | None, mode: str, out: DeviceArray, check: status.Check, place: launch.Place
) -> None:  # fmt: skip
    """Write the rows of a QuantizedTable that ids mean, or all of them, to contiguous ``out``: (N, D), float32."""
    codes, scale, offset = table.codes, table.scale, table.offset
    V, D = table.shape
    N, tag, threads = (V if index is None else index.size), f"code{table.bits}", launch.driver.threads
    if not N or not D:
        return
    width = _width(codes, out, D, tag)
    ids, name = (0, ALL) if index is None else (index.pointer, index.dtype.name)
    count = 8 * width // SIZES[tag]
    W = D // count if width else D
    x = min(W, threads // 4 if width else threads)
    y = threads // x
    values = (
        codes.pointer, codes.strides[0], scale.pointer, offset.pointer, ids, out.pointer, 4 * D, N, V, W, check.address,
        check.marks[0],
    )  # fmt: skip
    alive = (codes, scale, offset, index, out)
    if width:
        kernel, grid = launch.kernel(make_widen, name, tag, width, mode), (-(-N // (4 * y)), 1)
    else:
        kernel, grid = launch.kernel(make_widen_single, name, tag, mode), (-(-N // y), -(-W // x))
    launch.submit(kernel, grid, (x, y), place, values, alive)


def _width(codes: DeviceArray, out: DeviceArray, D: int, tag: str) -> int:
    """Return how many bytes of codes a thread reads: of four columns, or fewer; 0 where that is no whole byte.

    Threads that follow one another so write 16 bytes each that follow one another.
    """
    columns = arrays.width_of(out.pointer, 4 * D) // 4
    while columns:
        width = columns * SIZES[tag] // 8
        if columns * SIZES[tag] % 8 == 0 and arrays.width_of(codes.pointer, codes.strides[0]) % width == 0:
            return width
        columns //= 2
    return 0
