"""Where a token stands: ``sinusoidal``, ``alibi`` and ``rope``."""

import math
from collections.abc import Sequence
from functools import cache
from numbers import Real
from operator import index
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _threads
from ._arrays import Array

# They are made in a scratch of this size, which stays in the nearest cache: wherever the result lies, whole lines go.
_SPARE_BYTES = 1 << 13
# Cosines and sines are kept in no more than this, of positions from 0 on; those of a Llama's 8192 are 4 MiB.
_KEPT_BYTES = 32 << 20
# A call on few rows makes the angles of all positions below this, for the calls that will follow: about 2 ms.
_SHORT = 4096
# Integers of less magnitude are exact in float64.
_EXACT = 1 << 53


def _size(value: Any, name: str) -> int:
    try:
        size = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got bool")
    if size < 0:
        raise ValueError(f"{name} must not be negative, got {size}")
    return size


def sinusoidal(length: int, dim: int) -> npt.NDArray[np.float32]:
    """Return the table of sines and cosines that tells a transformer where each token stands.

    Parameters
    ----------
    length : int
        Number of positions, from 0 on.
    dim : int
        Number of columns; of an odd number the last column is a sine without its cosine.

    Returns
    -------
    numpy.ndarray of float32, shape (length, dim)
        ``[p, 2i] = sin(p / 10000**(2i/dim))`` and ``[p, 2i + 1] = cos(p / 10000**(2i/dim))``.

    Raises
    ------
    TypeError
        If `length` or `dim` is not an integer.
    ValueError
        If one of them is negative.

    Notes
    -----
    Computed in float64 and rounded once. The table is that of Vaswani et al., "Attention is all you need" (2017),
    section 3.5. Some implementations put all sines before all cosines: that is ``table[:, [*range(0, dim, 2),
    *range(1, dim, 2)]]``, where they do not space the frequencies differently as well.

    Examples
    --------
    >>> from fastemb.position import sinusoidal
    >>> sinusoidal(2, 4)
    array([[0.        , 1.        , 0.        , 1.        ],
           [0.84147096, 0.5403023 , 0.00999983, 0.99995   ]], dtype=float32)
    """
    length, dim = _size(length, "length"), _size(dim, "dim")
    table = _arrays.empty((length, dim), np.float32)
    if table.size:
        angles = np.arange(length)[:, np.newaxis] / 10000.0 ** (np.arange(0, dim, 2) / dim)
        np.sin(angles, out=table[:, 0::2], casting="same_kind")
        np.cos(angles[:, : dim // 2], out=table[:, 1::2], casting="same_kind")
    return table


def alibi(heads: int, length: int) -> npt.NDArray[np.float32]:
    """Return the biases of attention with linear biases: the farther two tokens are apart, the more is taken off.

    Parameters
    ----------
    heads : int
        Number of attention heads.
    length : int
        Number of positions.

    Returns
    -------
    numpy.ndarray of float32, shape (heads, length, length)
        ``[h, i, j] = -slope[h] * abs(i - j)``. For causal attention, where only ``j <= i`` counts, that is the
        paper's bias.

    Raises
    ------
    TypeError
        If `heads` or `length` is not an integer.
    ValueError
        If one of them is negative.

    Notes
    -----
    The slopes are those of Press et al., "Train short, test long" (2022), and of its code: of a power of two of heads
    ``2**(-8 (h + 1) / heads)``; of other numbers those of the next lower power of two, and then every second one of
    the power of two above it. Computed in float64 and rounded once.

    Examples
    --------
    >>> from fastemb.position import alibi
    >>> alibi(8, 3)[0]
    array([[ 0. , -0.5, -1. ],
           [-0.5,  0. , -0.5],
           [-1. , -0.5,  0. ]], dtype=float32)
    """
    heads, length = _size(heads, "heads"), _size(length, "length")
    table = _arrays.empty((heads, length, length), np.float32)
    if table.size:
        # Row i of a head is a window on one line, which ends at distance length - 1 on both sides.
        line = (_slopes(heads)[:, np.newaxis] * -np.abs(np.arange(1 - length, length))).astype(np.float32)
        table[...] = np.lib.stride_tricks.sliding_window_view(line, length, axis=1)[:, ::-1]
    return table


def _slopes(heads: int) -> Array:
    """Return the slopes in float64."""
    power = 1 << (heads.bit_length() - 1)
    below = 2.0 ** (np.arange(1, power + 1) * (-8.0 / power))
    above = 2.0 ** (np.arange(1, 2 * (heads - power), 2) * (-4.0 / power))
    return np.concatenate([below, above])


def rope(
    x: npt.NDArray[Any], position_ids: Any = None, *, base: float = 10000.0, interleaved: bool = False,
    inverse: bool = False, out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Turn pairs of columns by angles that grow with the row's position: rotary position embedding.

    Parameters
    ----------
    x : numpy.ndarray, shape (..., T, D)
        Queries or keys: float64, float32, float16 or bfloat16, D even. It may be read-only or a view.
    position_ids : array_like of int, optional
        Where each row stands: any shape that broadcasts to ``x.shape[:-1]``, any integers, negative ones too. The
        default is 0 to T - 1 along axis -2. Of ``x`` in the layout (B, heads, T, D), ids (B, T) are given as
        ``position_ids[:, None]``.
    base : float
        Pair ``i`` of position ``p`` is turned by the angle ``p * base**(-2i/D)``.
    interleaved : bool
        Pairs are the columns (2i, 2i + 1), as in the paper, GPT-J and the first Llama's own code. Otherwise they are
        (i, D/2 + i), as in GPT-NeoX and in Hugging Face's Llama and most of its other models.
    inverse : bool
        Turn back. The transpose of a rotation is its inverse: of a gradient of the result, this makes the gradient
        of `x`.
    out : numpy.ndarray, shape ``x.shape``, optional
        Where the result goes, of any of the four dtypes. It may be `x` itself, and may not overlap it otherwise.

    Returns
    -------
    numpy.ndarray, shape ``x.shape``
        `out` where that is given, else a new array of the dtype of `x`: ``a cos - b sin`` and ``b cos + a sin`` for
        each pair (a, b).

    Raises
    ------
    TypeError
        If `x` or `out` is not a NumPy array of the four dtypes, or is masked; if `position_ids` are not integers; if
        `base` is not a number.
    ValueError
        If D is odd; if the positions do not broadcast; if `x` has one axis and no `position_ids`; if `base` is not
        positive and finite; if `out` has the wrong shape, is read-only or overlaps an input.

    Notes
    -----
    Angles, cosines and sines are computed in float64 and rounded to the type of the arithmetic, which is float64 for
    float64, else float32; products and sums are rounded one by one, and the result once. Libraries that compute
    angles in float32, as Hugging Face's do, are off by up to about ``2e-7 * p`` in the angle; given the same cosines
    and sines, the bits are those of their formula ``x * cos + rotate_half(x) * sin`` in float32. The result does not
    depend on the number of threads.

    Cosines and sines of positions from 0 on are kept for the next call, at most 32 MiB of them in a process.

    Copies: an `x` in the other byte order or with a strided last axis is copied. An `out` of that kind, or a float16
    or bfloat16 `out` of a float64 `x`, is written through a temporary of its size.

    The method is that of Su et al., "RoFormer: enhanced transformer with rotary position embedding" (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.position import rope
    >>> x = np.array([[1, 0], [1, 0], [0, 2]], np.float32)
    >>> rope(x)
    array([[ 1.        ,  0.        ],
           [ 0.5403023 ,  0.84147096],
           [-1.8185948 , -0.8322937 ]], dtype=float32)
    >>> np.allclose(rope(rope(x, [7, 8, 9]), [7, 8, 9], inverse=True), x)
    True
    """
    source = _arrays.as_table(x, "x")
    _arrays.require_float(source, "x")
    lead, D = source.shape[:-1], source.shape[-1]
    if D % 2:
        raise ValueError(f"x must have an even number of columns, which are turned in pairs, got shape {source.shape}")
    if position_ids is None:
        if not lead:
            raise ValueError(f"x of shape {source.shape} has no axis of positions; give position_ids")
        given = np.arange(lead[-1])
    else:
        given = _positions(position_ids, lead)
    base = _base(base)
    in_place = False
    if out is not None:
        in_place = _arrays.same_memory(source, out)
        inputs = {"position_ids": given} if in_place else {"x": source, "position_ids": given}
        out = _arrays.check_out(out, source.shape, **inputs)
        _arrays.require_float(out, "out")
    lane = _arrays.lane_dtype(source.dtype)
    if out is None:
        target, touched = _arrays.new_result(source.shape, source.dtype)
    elif _arrays.in_reach(out) and out.dtype.itemsize * 2 >= lane.itemsize:
        target, touched = out, not in_place  # in place, lines are in the caches when they are written
    else:
        wide = lane if out.dtype.itemsize * 2 < lane.itemsize else out.dtype
        target, touched = _arrays.new_result(source.shape, wide)
    if target.size:
        if position_ids is None:
            table, rows = _first_rows(given.size, base, D // 2, lane), given
        else:
            table, rows = _table(given, base, D // 2, lane)
        _turn(source, target, table, rows, bool(interleaved), bool(inverse), touched)
    if out is None or target is out:
        return target
    _arrays.round_into(out, target)
    return out


def _positions(position_ids: Any, lead: tuple[int, ...]) -> Array:
    given = _arrays.as_integers(position_ids, "position_ids")
    pairs = zip(given.shape[::-1], lead[::-1], strict=False)
    if given.ndim > len(lead) or any(length not in (1, whole) for length, whole in pairs):
        raise ValueError(f"position_ids must broadcast to x.shape[:-1], {lead}, got shape {given.shape}")
    return given


def _base(base: Any) -> float:
    if isinstance(base, bool) or not isinstance(base, Real):
        raise TypeError(f"base must be a number, got {type(base).__name__}")
    value = float(base)
    if not 0.0 < value < math.inf:
        raise ValueError(f"base must be positive and finite, got {value}")
    return value


# Cosines and sines -----------------------------------------------------------------------------------------------

# By base, D/2 and lane: rows 0, 1, 2 ... of tables. No lock: every step on a dict is one step for other threads too,
# and the worst that a race can do is to make a table twice.
_kept: dict[tuple[float, int, str], Array] = {}


def _make_table(positions: Array, base: float, H: int, lane: np.dtype[Any]) -> Array:
    """Return H cosines and then H sines for each position, shape (len(positions), 2, H)."""
    table = np.empty((len(positions), 2, H), lane)
    with np.errstate(over="ignore", invalid="ignore"):  # a base near 0 has angles beyond float64
        angles = positions.astype(np.float64)[:, np.newaxis] * base ** (np.arange(H) / -H)
        np.cos(angles, out=table[:, 0], casting="same_kind")
        np.sin(angles, out=table[:, 1], casting="same_kind")
    return table


def _first_rows(length: int, base: float, H: int, lane: np.dtype[Any]) -> Array:
    """Return a table of the positions from 0 to at least ``length - 1``, kept where it is not too large."""
    key = (base, H, lane.char)
    table = _kept.get(key)
    if table is not None and len(table) >= length:
        return table
    more = 1 << max(length - 1, 63).bit_length()  # texts grow: not a new table for every token
    row = 2 * H * lane.itemsize
    if more * row > _KEPT_BYTES:
        return _make_table(np.arange(length), base, H, lane)
    table = _make_table(np.arange(more), base, H, lane)
    _kept.pop(key, None)
    _kept[key] = table
    for other in list(_kept):  # the oldest first
        if sum(one.nbytes for one in list(_kept.values())) <= _KEPT_BYTES:
            break
        _kept.pop(other, None)
    return table


def _table(given: Array, base: float, H: int, lane: np.dtype[Any]) -> tuple[Array, Array]:
    """Return a table with the angles of all given positions, and for each of those its row there."""
    low, high = int(given.min()), int(given.max())
    if low >= 0 and high < max(4 * given.size, _SHORT):
        return _first_rows(high + 1, base, H, lane), np.ascontiguousarray(given, np.int64)
    if high - low < 4 * given.size and low > -_EXACT and high < _EXACT:
        return _make_table(np.arange(low, high + 1), base, H, lane), np.ascontiguousarray(given, np.int64) - low
    unique, rows = np.unique(given, return_inverse=True)
    return _make_table(unique, base, H, lane), np.ascontiguousarray(rows.reshape(given.shape), np.int64)


# The call --------------------------------------------------------------------------------------------------------


@cache
def _kernels() -> ModuleType:
    """Import the kernels when they are first needed: they bring Numba with them."""
    from ._cpu import position

    return position


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


def _turn(
    source: Array, target: Array, table: Array, rows: Array, neighbours: bool, inverse: bool, touched: bool
) -> None:
    """Write the rows of ``source``, turned by the rows of ``table`` that ``rows`` says, to ``target``."""
    if not _arrays.in_reach(source):
        source = np.ascontiguousarray(source, source.dtype.newbyteorder("="))
    lead, D = target.shape[:-1], target.shape[-1]
    count = _arrays.size_of(lead)
    distance = [0] * (len(lead) - rows.ndim)  # of positions that are broadcast
    distance += [0 if length == 1 else step // 8 for length, step in zip(rows.shape, rows.strides, strict=True)]
    axes = _axes(lead, source.strides, target.strides, distance)
    x, out = _arrays.address(source), _arrays.address(target)
    row = D * target.itemsize
    past = touched and target.nbytes >= _arrays.STREAM_BYTES and int(axes[-1, 2]) == row <= _SPARE_BYTES
    room = _SPARE_BYTES // row if past else count
    rope_rows, kinds = _kernels().rope_rows, [_arrays.element(array.dtype) for array in (source, target, table)]
    given = (
        kinds[0], x, kinds[1], out, kinds[2], _arrays.address(table), table.itemsize, D, _arrays.address(rows),
        _arrays.address(axes), len(axes), -1.0 if inverse else 1.0, neighbours,
    )  # fmt: skip

    # It holds the arrays behind the addresses, so they live as long as any thread's range.
    def turn(start: int, stop: int, keep: object = (source, target, table, rows, axes)) -> None:
        spare = np.empty(_SPARE_BYTES, np.uint8) if past else None
        rope_rows(*given, _arrays.address(spare) if spare is not None else 0, room, start, stop)

    ranges = _threads.parts(source.nbytes + target.nbytes, count)
    if ranges == 1:
        turn(0, count)
    else:
        _threads.run(turn, _threads.split(count, ranges))
