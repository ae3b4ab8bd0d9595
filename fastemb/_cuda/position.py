"""CUDA's way with ``rope``: a table of cosines and sines of the positions, made there, then rows turned by it."""

import math
import threading
from typing import Any

import numpy as np

from .._frameworks import DeviceArray
from . import arrays, launch, status
from .kernels.dtypes import SIZES, acc_of
from .kernels.position import COUNT, make_angles, make_rope

_FLOAT64 = np.dtype(np.float64)
_MOST_LINES = 65535  # blocks along y
# Frequencies by GPU, base and D/2: a few hundred bytes each, copied there once. Never freed: a kernel on its way
# may read them. Beyond so many, or longer, they lie in the caller's memory and are copied at each call.
_KEPT, _KEPT_PAIRS = 256, 4096
_kept: dict[tuple[int, float, int], int] = {}
_lock = threading.Lock()


def rope(
    x: DeviceArray, position_ids: DeviceArray | None, base: float, inv_freq: DeviceArray | None, scale: float,
    interleaved: bool, inverse: bool, out: DeviceArray | None,
) -> Any:  # fmt: skip
    """Return the rows of ``x``, turned, in ``out`` where that is given; it may be ``x`` itself."""
    place = arrays.place_of(x)
    target = arrays.new(x.shape, x.dtype, x) if out is None else out
    H = x.shape[-1] // 2
    bound = "rope, which takes finite ones"
    check = status.begin(place, 0, status.Fault("rope", "inv_freq", (H,), bound, ValueError))
    if not target.size:
        return target.owner
    source = x if arrays.is_contiguous(x, x.ndim - 1) else arrays.contiguous(x, place)
    goal = target if arrays.is_contiguous(target, x.ndim - 1) else arrays.new(x.shape, target.dtype, x)
    given = None if position_ids is None else _broadcast(arrays.contiguous(position_ids, place), x.shape)
    axes = _axes(source, goal, given)
    if len(axes) > 3:  # then all in one piece, positions too
        source = arrays.contiguous(x, place)
        goal = goal if arrays.is_contiguous(goal) else arrays.new(x.shape, target.dtype, x)
        given = arrays.contiguous(_spread(given, x.shape[:-1]), place)
        axes = _axes(source, goal, given)
    speed = _frequencies(base, H, place, x) if inv_freq is None else arrays.contiguous(inv_freq, place)
    table = _make_table(x, given, speed, scale, -scale if inverse else scale, check, place)
    status.require(place, check, {})
    _turn(source, goal, table, axes, interleaved, place)
    if goal is not target:
        arrays.copy_into(target, goal, place)
    return target.owner


def _broadcast(positions: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    """Return positions that broadcast to ``shape[:-1]``; of two axes beside (B, heads, T, D) they are (B, T)."""
    if positions.ndim == 2 and len(shape) == 4:
        B, T = positions.shape
        return arrays.reshaped(positions, B, 1, T)
    return positions


def _spread(positions: DeviceArray | None, shape: tuple[int, ...]) -> DeviceArray:
    """Return positions of this shape, without a copy."""
    assert positions is not None  # those that are counted never have so many axes
    lead = len(shape) - positions.ndim
    strides = (0,) * lead + _steps(positions)
    return positions._replace(shape=shape, strides=strides)


def _steps(array: DeviceArray) -> tuple[int, ...]:
    """Return strides, of which those of axes of length 1 are 0."""
    return tuple(0 if n == 1 else apart for n, apart in zip(array.shape, array.strides, strict=True))


# Axes ------------------------------------------------------------------------------------------------------------


def _axes(source: DeviceArray, goal: DeviceArray, positions: DeviceArray | None) -> list[tuple[int, ...]]:
    """Return the axes of rows, each its length and how far x, result and positions (in rows of the table) step.

    Neighbours that can be counted as one are joined.
    """
    lead = source.shape[:-1]
    if positions is None:
        steps: tuple[int, ...] = (0,) * (len(lead) - 1) + (1,)
    else:
        own = tuple(step // positions.dtype.itemsize for step in _steps(positions))
        steps = (0,) * (len(lead) - positions.ndim) + own
    axes: list[tuple[int, ...]] = []
    for length, *apart in zip(lead, source.strides[:-1], goal.strides[:-1], steps, strict=True):
        if length == 1:
            continue
        if axes and all(outer == length * inner for outer, inner in zip(axes[-1][1:], apart, strict=True)):
            axes[-1] = (axes[-1][0] * length, *apart)
        else:
            axes.append((length, *apart))
    return [(1, 0, 0, 0)] * (3 - len(axes)) + axes


def _turn(
    source: DeviceArray, goal: DeviceArray, table: DeviceArray, axes: list[tuple[int, ...]], interleaved: bool,
    place: launch.Place,
) -> None:  # fmt: skip
    """Write the rows of ``source`` to ``goal``, turned by rows of ``table``."""
    tag, to, H = arrays.tag_of(source), arrays.tag_of(goal), source.shape[-1] // 2
    table_row = 2 * H * table.dtype.itemsize
    (n0, s0, o0, t0), (n1, s1, o1, t1), (n2, s2, o2, t2) = axes
    width = _width(tag, to, H, interleaved, (source.pointer, s0, s1, s2), (goal.pointer, o0, o1, o2), table)
    n = width * 8 // SIZES[tag]
    W = 2 * H // n if interleaved and n > 1 else H // n
    threads_x = min(-(-W // 2) if interleaved and 1 < n <= 4 else W, launch.driver.threads)  # two words a thread
    rows = launch.driver.threads // threads_x
    values = (
        source.pointer, s0, s1, s2, goal.pointer, o0, o1, o2, table.pointer, t0 * table_row, t1 * table_row,
        t2 * table_row, n0 * n1, n1, n2, H, W,
    )  # fmt: skip
    kernel = launch.kernel(make_rope, tag, to, width, interleaved)
    grid = -(-n2 // rows), min(n0 * n1, _MOST_LINES)
    launch.submit(kernel, grid, (threads_x, rows), place, values, (source, goal, table))


def _width(
    tag: str, to: str, H: int, interleaved: bool, read: tuple[int, ...], written: tuple[int, ...], table: DeviceArray
) -> int:
    """Return the widest load of x with which x, the result and the table are all aligned."""
    size, to_size, acc_size = (SIZES[one] // 8 for one in (tag, to, acc_of(tag)))
    width = arrays.width_of(*read, H * size * (2 if interleaved else 1))
    while width > size:
        n = width // size
        each = n // 2 if interleaved else n
        goal, angles = min(16, n * to_size), min(16, each * acc_size)
        # The sines begin H numbers behind the cosines.
        is_aligned = math.gcd(*written, H * to_size * (2 if interleaved else 1)) % goal == 0
        if is_aligned and math.gcd(table.pointer, H * acc_size) % angles == 0:
            return width
        width //= 2
    return size


# Cosines and sines -----------------------------------------------------------------------------------------------


def _make_table(
    x: DeviceArray, positions: DeviceArray | None, speed: DeviceArray, cos_by: float, sin_by: float,
    check: status.Check, place: launch.Place,
) -> DeviceArray:  # fmt: skip
    """Return the cosines and sines of all positions, each times a number: (P, 2, H)."""
    P, H = (x.shape[-2] if positions is None else positions.size), speed.size
    acc = acc_of(arrays.tag_of(x))
    table = arrays.new((P, 2, H), acc, x)
    threads_x = min(H, launch.driver.threads)
    rows = launch.driver.threads // threads_x
    tags = COUNT if positions is None else arrays.tag_of(positions), arrays.tag_of(speed)
    kernel = launch.kernel(make_angles, *tags, acc)
    pointer = 0 if positions is None else positions.pointer
    values = (pointer, speed.pointer, table.pointer, P, H, cos_by, sin_by, check.address, check.marks[0])
    alive = (positions, speed, table)
    launch.submit(kernel, (-(-P // rows), 1), (threads_x, rows), place, values, alive)
    return table


def _frequencies(base: float, H: int, place: launch.Place, like: DeviceArray) -> DeviceArray:
    """Return the frequencies of a base on the device. The first call for each waits for its stream."""
    key = place.ordinal, base, H
    with _lock:
        address = _kept.get(key)
        if address is None:
            made = base ** (np.arange(H) / -H)
            if len(_kept) >= _KEPT or H > _KEPT_PAIRS:
                new = arrays.new((H,), _FLOAT64, like)
                launch.driver.write(place, new.pointer, made)
                return new
            address = launch.driver.allocate(place.ordinal, 8 * H)
            launch.driver.write(place, address, made)
            _kept[key] = address
    return DeviceArray(like.device, address, (H,), (8,), _FLOAT64, like.stream, None, False, place.ordinal)
