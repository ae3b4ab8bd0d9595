"""The CPU's way with positions: tables by NumPy, and ``rope`` over kept cosines and sines, in ranges of rows.

``sinusoidal`` and ``alibi`` need no kernel, so ``rope`` alone imports its own.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _memory, _threads
from . import frequencies
from .arrays import Array, acc_dtype, address, as_row_major, can_store, dtype_tag, is_row_major, round_into
from .frequencies import rope_frequencies as rope_frequencies  # a twin

# Rows that go past the caches are made in a scratch of this size, which stays in the first cache: wherever the result
# lies, whole cache lines go.
_SCRATCH_BYTES = 1 << 13
# Cosines and sines are kept in no more than this, of positions from 0 on; those of a Llama's 8192 are 4 MiB.
_KEPT_BYTES = 32 << 20
# A call on few rows makes the angles of all positions below this, for the calls that will follow: about 2 ms.
_SHORT = 4096
# Integers of less magnitude are exact in float64.
_EXACT = 1 << 53
_FLOAT32, _FLOAT64, _INT64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)

# Tables ----------------------------------------------------------------------------------------------------------


def sinusoidal(length: int, dim: int) -> Array:
    """Return sines and cosines of each position, float32 (length, dim), computed in float64."""
    table = _memory.empty((length, dim), np.float32)
    if table.size:
        angles = np.arange(length)[:, np.newaxis] / 10000.0 ** (np.arange(0, dim, 2) / dim)
        np.sin(angles, out=table[:, 0::2], casting="same_kind")
        np.cos(angles[:, : dim // 2], out=table[:, 1::2], casting="same_kind")
    return table


def alibi(heads: int, length: int) -> Array:
    """Return each head's slope times the distance of two positions, negated: float32 (heads, length, length)."""
    table = _memory.empty((heads, length, length), np.float32)
    if table.size:
        # Row i of a head is a window on one line, which ends at distance length - 1 on both sides.
        distances = np.arange(1 - length, length)
        np.negative(np.abs(distances, out=distances), out=distances)
        line = np.empty((heads, distances.size), _FLOAT32)
        np.multiply(_slopes(heads)[:, np.newaxis], distances, out=line, casting="same_kind")
        # Not sliding_window_view, which takes 12 us.
        table[...] = np.ndarray(table.shape, _FLOAT32, line, 4 * (length - 1), (line.strides[0], -4, 4))
    return table


@lru_cache(maxsize=4)
def _slopes(heads: int) -> Array:
    """Return the slopes in float64; nobody writes to them."""
    power = 1 << (heads.bit_length() - 1)
    below = 2.0 ** (np.arange(1, power + 1) * (-8.0 / power))
    if power == heads:
        return below
    above = 2.0 ** (np.arange(1, 2 * (heads - power), 2) * (-4.0 / power))
    return np.concatenate([below, above])


# Rotation --------------------------------------------------------------------------------------------------------

_SMALL_BYTES = 1 << 18
_COUNT = np.arange(_SHORT)


def small_rope(
    x: Array, position_ids: Any, base: Any, inv_freq: Any, scale: Any, interleaved: Any, inverse: Any
) -> Array | None:
    """Return the rows of a small call, turned, whose cosines and sines are kept; None: take the general road.

    One position for each row of a text, or one for all rows of each part of the batch, as in a step of decoding.
    """
    if x.dtype != _FLOAT32 or not 0 < x.size <= _SMALL_BYTES >> 2 or not x.flags.carray or x.ndim < 2:
        return None
    if type(interleaved) is not bool or type(inverse) is not bool:
        return None
    shape = x.shape
    D = shape[-1]
    if type(base) is not float or type(scale) is not float or D & 1:
        return None
    if inv_freq is None:
        key: float | bytes = base
    elif type(inv_freq) is np.ndarray and inv_freq.dtype == _FLOAT64 and inv_freq.shape == (D >> 1,):
        key = inv_freq.tobytes()
    else:
        return None
    table = _kept.get((key, D >> 1, scale, "f"))
    if table is None:
        return None
    N = x.size // D
    if position_ids is None:
        position_ids, count = _COUNT, shape[-2]
        if count > _SHORT:
            return None
        lines, line_step, step = N // count, 0, 1
    elif type(position_ids) is np.ndarray and position_ids.dtype == _INT64 and position_ids.flags.carray:
        given = _broadcast(position_ids, shape).shape
        parts = _leading(given)
        if len(given) != len(shape) - 1 or given[:parts] != shape[:parts]:
            return None
        lines = count = position_ids.size
        line_step, step, position_ids = 1, 0, position_ids.reshape(count)
    else:
        return None
    from .kernels import position as kernels  # and with them Numba

    out, sign = np.empty((N, D), _FLOAT32), -1.0 if inverse else 1.0
    rows = x.reshape(N, D)
    if kernels.rope_small(rows, position_ids, count, table, lines, line_step, step, sign, interleaved, out):
        return None
    return out.reshape(shape)


def _leading(shape: tuple[int, ...]) -> int:
    """Return the number of axes without those of length 1 at the end."""
    n = len(shape)
    while n and shape[n - 1] == 1:
        n -= 1
    return n


def _broadcast(position_ids: Array, shape: tuple[int, ...]) -> Array:
    """Return positions that broadcast to ``x.shape[:-1]``; of two axes beside x (B, heads, T, D) they are (B, T)."""
    return position_ids[:, np.newaxis] if position_ids.ndim == 2 and len(shape) == 4 else position_ids


def rope(
    x: Array, position_ids: Array | None, base: float, inv_freq: Array | None, scale: float, interleaved: bool,
    inverse: bool, out: Array | None,
) -> Array:  # fmt: skip
    """Return the rows of ``x``, turned, in ``out`` where that is given; it may be ``x`` itself.

    ``position_ids`` broadcast to ``x.shape[:-1]``, or are (B, T) beside x (B, heads, T, D); None: 0 to T - 1 along
    axis -2. Raises the ValueError for frequencies that are not finite.
    """
    acc, speed = acc_dtype(x.dtype), _speed(base, inv_freq, scale, x.shape[-1])
    if out is None:
        target, warm = _memory.new_result(x.shape, x.dtype)
    elif is_row_major(out) and can_store(out.dtype, acc):
        target, warm = out, not _checks.same_memory(x, out)  # in place, the lines are in the caches when written
    else:
        native = out.dtype.newbyteorder("=")
        target, warm = _memory.new_result(x.shape, native if can_store(native, acc) else acc)
    if target.size:
        if position_ids is None:
            angle_rows = np.arange(x.shape[-2])
            table = _first_rows(angle_rows.size, speed, acc)
        else:
            table, angle_rows = _table(_broadcast(position_ids, x.shape), speed, acc)
        _turn(as_row_major(x), target, table, angle_rows, interleaved, inverse, warm)
    if out is None or target is out:
        return target
    round_into(out, target)
    return out


def _turn(source: Array, target: Array, table: Array, angle_rows: Array, interleaved: bool, inverse: bool,
          warm: bool) -> None:  # fmt: skip
    """Write the rows of ``source`` to ``target``, each turned by the row of ``table`` that ``angle_rows`` names."""
    from .kernels import position as kernels  # and with them Numba

    lead, D = target.shape[:-1], target.shape[-1]
    count = math.prod(lead)
    steps = [0] * (len(lead) - angle_rows.ndim)  # of positions that are broadcast
    steps += [
        0 if length == 1 else stride // 8 for length, stride in zip(angle_rows.shape, angle_rows.strides, strict=True)
    ]
    axes = _axes(lead, source.strides, target.strides, steps)
    size = D * target.itemsize
    nontemporal = warm and target.nbytes >= _memory.STREAM_BYTES and int(axes[-1, 2]) == size <= _SCRATCH_BYTES
    scratch_rows = _SCRATCH_BYTES // size if nontemporal else count
    tags = [dtype_tag(array.dtype) for array in (source, target, table)]
    kernel_args = (
        tags[0], address(source), tags[1], address(target), tags[2], address(table), table.itemsize, D,
        address(angle_rows), address(axes), len(axes), -1.0 if inverse else 1.0, interleaved,
    )  # fmt: skip

    # It holds the arrays behind the addresses, so they live as long as any thread's range.
    def turn(start: int, stop: int, alive: object = (source, target, table, angle_rows, axes)) -> None:
        scratch = np.empty(_SCRATCH_BYTES, np.uint8) if nontemporal else None
        kernels.rope_rows(*kernel_args, address(scratch) if scratch is not None else 0, scratch_rows, start, stop)

    ranges = _threads.parts(source.nbytes + target.nbytes, count)
    _threads.run(turn, _threads.split(count, ranges))


def _axes(shape: Sequence[int], *strides: Sequence[int]) -> Array:
    """Return the axes of rows, each a length and its strides; neighbours that can be counted as one are joined."""
    axes: list[tuple[int, ...]] = []
    for length, *apart in zip(shape, *strides, strict=False):
        if length == 1:
            continue
        if axes and all(outer == length * inner for outer, inner in zip(axes[-1][1:], apart, strict=True)):
            axes[-1] = (axes[-1][0] * length, *apart)
        else:
            axes.append((length, *apart))
    return np.array(axes or [(1, 0, 0, 0)], np.int64)


# Cosines and sines -----------------------------------------------------------------------------------------------


class _Speed(NamedTuple):
    """How fast pairs of columns turn, and the number that cosines and sines are multiplied by."""

    key: float | bytes  # the base, or the bytes of frequencies given
    inv_freq: Array
    scale: float


def _speed(base: float, inv_freq: Array | None, scale: float, D: int) -> _Speed:
    """Return the speed of D columns: by the base, or frequencies that were given."""
    if inv_freq is None:
        return _Speed(base, frequencies.plain(D, base), scale)
    given = inv_freq.astype(np.float64)
    finite = np.isfinite(given)
    if not finite.all():
        first = int(np.argmin(finite))
        raise ValueError(f"inv_freq must be finite, got inv_freq[{first}] = {given[first]}")
    return _Speed(given.tobytes(), given, scale)


# By speed, D/2, scale and dtype: tables whose row p has the angles of position p. No lock: every step on a dict is one
# step for other threads too, and the worst that a race can do is to make a table twice.
_kept: dict[tuple[float | bytes, int, float, str], Array] = {}


def _make_table(positions: Array, speed: _Speed, acc: np.dtype[Any]) -> Array:
    """Return cosines and then sines for each position, shape (len(positions), 2, D/2)."""
    table = np.empty((len(positions), 2, speed.inv_freq.size), acc)
    with np.errstate(over="ignore", invalid="ignore"):  # a base near 0 has angles beyond float64
        angles = positions.astype(np.float64)[:, np.newaxis] * speed.inv_freq
        for k, function in enumerate((np.cos, np.sin)):
            if speed.scale == 1.0:
                function(angles, out=table[:, k], casting="same_kind")
            else:
                np.multiply(function(angles), speed.scale, out=table[:, k], casting="same_kind")
    return table


def _first_rows(length: int, speed: _Speed, acc: np.dtype[Any]) -> Array:
    """Return a table of the positions from 0 to at least ``length - 1``, kept where it is not too large."""
    H = speed.inv_freq.size
    key = (speed.key, H, speed.scale, acc.char)
    table = _kept.get(key)
    if table is not None and len(table) >= length:
        return table
    more = 1 << max(length - 1, 63).bit_length()  # texts grow: not a new table for every token
    if more * 2 * H * acc.itemsize > _KEPT_BYTES:
        return _make_table(np.arange(length), speed, acc)
    table = _make_table(np.arange(more), speed, acc)
    _kept.pop(key, None)
    _kept[key] = table
    for other in list(_kept):  # the oldest first
        if sum(one.nbytes for one in list(_kept.values())) <= _KEPT_BYTES:
            break
        _kept.pop(other, None)
    return table


def _table(position_ids: Array, speed: _Speed, acc: np.dtype[Any]) -> tuple[Array, Array]:
    """Return a table with the angles of all positions, and for each position its row there."""
    if position_ids.dtype.kind in "iu":
        low, high = int(position_ids.min()), int(position_ids.max())
        if low >= 0 and high < max(4 * position_ids.size, _SHORT):
            return _first_rows(high + 1, speed, acc), np.ascontiguousarray(position_ids, np.int64)
        if high - low < 4 * position_ids.size and low > -_EXACT and high < _EXACT:
            table = _make_table(np.arange(low, high + 1), speed, acc)
            return table, np.ascontiguousarray(position_ids, np.int64) - low
    else:
        position_ids = position_ids.astype(np.float64)
    unique, rows = np.unique(position_ids, return_inverse=True)
    return _make_table(unique, speed, acc), np.ascontiguousarray(rows.reshape(position_ids.shape), np.int64)
