"""What `embed` and its backward share: the checked arguments of a call, and what the kernels are told of them."""

from functools import cache, lru_cache
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np

from .. import _arrays, _threads
from .._arrays import Array
from ..ragged import Ragged

_MODES = ("raise", "clip", "wrap")
_FIRST = np.zeros(1, np.int64)  # the ids of what there is one of


@cache
def _kernels() -> ModuleType:
    """Import the kernels when they are first needed: they bring Numba with them."""
    from .._cpu import embedding

    return embedding


def _cast(values: Array, kind: np.dtype[Any]) -> Array:
    """Return values of another dtype; infinities of a smaller type are results like others."""
    with np.errstate(all="ignore"):
        return values.astype(kind)


@lru_cache(maxsize=64)
def _nothing(kind: np.dtype[Any], D: int) -> Array:
    """Return a row to add that changes nothing: x + -0.0 is x for every x."""
    return np.full((1, D), -0.0, kind)


class Side:
    """Positions or segments: their table, and which of its rows each row of the result gets.

    ``ids`` is int64: row n gets that of n modulo their number. Without a table there is one, 0.
    """

    def __init__(self, what: str, table: Any, ids: Any, D: int) -> None:
        self.what = what
        self.table: Array | None = None
        self.given: Array | None = None
        self.ids, self.N = _FIRST, 0
        if table is None:
            if ids is not None:
                raise ValueError(f"{what}_ids go with {what}s, which were not given")
            return
        self.table = _arrays.as_table(table, f"{what}s")
        _arrays.require_float(self.table, f"{what}s")
        if self.table.ndim != 2 or self.table.shape[1] != D:
            raise ValueError(f"{what}s must have shape (rows, {D}), as wide as the table, got {self.table.shape}")
        if ids is not None:
            self.given = _arrays.as_integers(ids.ids if isinstance(ids, Ragged) else ids, f"{what}_ids")

    def choose(self, shape: tuple[int, ...], default: Array) -> None:
        """Find the ids for a result of so many rows; ``default`` are those that count where none were given."""
        self.N = _arrays.size_of(shape)
        if self.table is None:
            return
        rows, ids = len(self.table), self.given
        if ids is None:
            if default.size and rows <= default.max():
                raise ValueError(f"{self.what}s must have at least {default.max() + 1} rows for these ids, got {rows}")
            self.ids = default
            return
        index = np.ascontiguousarray(ids, np.int64)  # what of an uint64 does not fit becomes negative
        if ids.shape != shape:
            try:
                whole = np.broadcast_to(ids, shape)
            except ValueError:
                words = f"must broadcast to the shape of ids, {shape}, got {ids.shape}"
                raise ValueError(f"{self.what}_ids {words}") from None
        bad = _arrays.first_bad(index, rows)
        if bad >= 0:
            raise IndexError(f"{self.what} {_arrays.name_id(ids, bad)} is out of range for {self.what}s of {rows} rows")
        if ids.shape != shape and ids.size != 1 and not ids.shape[-1:] == shape[-1:] == (ids.size,):
            index = np.ascontiguousarray(whole, np.int64)
        self.ids = index.reshape(-1)

    def all_ids(self) -> Array:
        """Return one id for each row of the result."""
        return np.tile(self.ids, self.N // self.ids.size) if self.N else self.ids[:0]

    def rows(self, kind: np.dtype[Any], D: int) -> tuple[Array, Array]:
        """Return rows that kernels can read, of the dtype asked for, and the ids for them."""
        if self.table is None:
            return _nothing(kind, D), self.ids
        if self.table.dtype == kind and _arrays.in_reach(self.table):
            return self.table, self.ids
        unique, inverse = np.unique(self.ids, return_inverse=True)
        return np.ascontiguousarray(_cast(self.table[unique], kind)), np.ascontiguousarray(inverse, np.int64)


class Call:
    """The checked arguments of one call. The range of ids is checked by `check_ids`, when all else has been."""

    def __init__(self, table: Any, ids: Any, scale: Any, mode: str) -> None:
        self.table = _arrays.Table(table)
        self.starts = _arrays.as_offsets(ids.offsets, ids.ids.size) if isinstance(ids, Ragged) else None
        self.ids = ids.ids if isinstance(ids, Ragged) else _arrays.as_integers(ids, "ids")
        self.N, self.shape = self.ids.size, (*self.ids.shape, self.table.D)
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(map(repr, _MODES))}, got {mode!r}")
        if not isinstance(scale, Real):
            raise TypeError(f"scale must be a real number, got {type(scale).__name__}")
        self.mode, self.scale = mode, float(scale)
        self.inputs = {"ids": self.ids, **self.table.arrays}
        self.index = self.ids
        code = _kernels()
        self._norm, self._norm_rows = code.Norm(code.NO_NORM, 0, 0, 0.0), self.ids

    def add_sides(self, positions: Any, position_ids: Any, segments: Any, segment_ids: Any) -> None:
        """Take what is to be added."""
        self.position = Side("position", positions, position_ids, self.table.D)
        self.segment = Side("segment", segments, segment_ids, self.table.D)
        if positions is not None and position_ids is None and not self.ids.ndim:
            raise ValueError("a single id has no place of its own: positions need position_ids")
        for side in (self.position, self.segment):
            if side.table is not None:
                self.inputs[f"{side.what}s"] = side.table
            if side.given is not None:
                self.inputs[f"{side.what}_ids"] = side.given

    def add_norm(self, weight: Any, bias: Any, eps: Any, centred: bool) -> None:
        """Take how rows are normalised; weight and bias are copied, with room for loads of 16 columns."""
        D, code = self.table.D, _kernels()
        if not isinstance(eps, Real):
            raise TypeError(f"norm.eps must be a real number, got {type(eps).__name__}")
        if not float(eps) >= 0:
            raise ValueError(f"norm.eps must be at least 0, got {eps}")
        rows = np.zeros((2, D + 32), self.table.lane)
        rows[1] = -0.0  # x + -0.0 is x for every x
        for row, name, values in ((rows[0], "weight", weight), (rows[1], "bias", bias)):
            if values is None and name == "bias":
                continue
            given = _arrays.as_table(values, f"norm.{name}")
            _arrays.require_float(given, f"norm.{name}")
            if given.shape != (D,):
                raise ValueError(f"norm.{name} must have shape ({D},), one for each column, got {given.shape}")
            self.inputs[f"norm.{name}"] = given
            row[:D] = given if given.dtype == row.dtype else _cast(given, row.dtype)
        at = _arrays.address(rows)
        kind = code.LAYER if centred else code.RMS
        self._norm, self._norm_rows = code.Norm(kind, at, at + rows.strides[0], float(eps)), rows

    def check_ids(self) -> None:
        """Check all ids and find the rows that they mean."""
        V, index = self.table.V, _arrays.as_index(self.ids, self.table.V, self.mode)
        if not V and self.N:
            _arrays.raise_out_of_range(self.ids, 0, V)
        if self.mode == "raise":
            bad = _arrays.first_bad(index, V)
            if bad >= 0:
                _arrays.raise_out_of_range(self.ids, bad, V)
        elif self.N:
            wide = index.astype(np.int64)
            index = np.clip(wide, 0, V - 1) if self.mode == "clip" else wide % V
        self.index = np.ascontiguousarray(index)
        places = _FIRST
        if self.starts is not None:
            places = np.arange(self.N) - np.repeat(self.starts[:-1], np.diff(self.starts))
        elif self.ids.ndim:
            places = np.arange(self.ids.shape[-1])
        self.position.choose(self.ids.shape, places)
        self.segment.choose(self.ids.shape, _FIRST)

    def rows_read(self) -> Array:
        """Return the rows that ids mean, in the shape of the ids, and of their dtype where that can hold them."""
        if self.mode == "raise":
            return self.ids
        fits = np.iinfo(self.ids.dtype).max >= self.table.V - 1
        return self.index.astype(self.ids.dtype if fits else np.int64).reshape(self.ids.shape)

    def can_store(self, kind: np.dtype[Any]) -> bool:
        """Whether the kernel can round sums to this type."""
        return kind.isnative and (self.table.lane.itemsize == 4 or kind.itemsize > 2)

    def can_write(self, out: Array) -> bool:
        """Whether the kernel can write ``out``: rows in one piece, at one distance from each other."""
        in_order = out.flags.c_contiguous or (self.ids.ndim == 1 and _arrays.rows_in_order(out))
        return self.can_store(out.dtype) and in_order

    def _told(self) -> tuple[tuple[Any, ...], object]:
        """Return the arguments that the kernels share, and what has to be kept alive for them."""
        D, kind = self.table.D, self.table.dtype
        sides = self.position, self.segment
        if any(side.table is not None and side.table.dtype.newbyteorder("=") != kind for side in sides):
            kind = self.table.lane
        source, index = self.table.within_reach(self.index)
        rows = source.rows()
        (positions, places), (segments, kinds) = (side.rows(kind, D) for side in sides)
        if 1 < kinds.size < self.N:
            kinds = np.tile(kinds, self.N // kinds.size)
        told = _kernels().Sides(
            kind.type(0) if kind.itemsize > 2 else rows.element,
            _arrays.address(positions), positions.strides[0], _arrays.address(places), places.size,
            _arrays.address(segments), segments.strides[0], _arrays.address(kinds), int(kinds.size > 1),
        )  # fmt: skip
        given = (rows, _arrays.ids(index, source.V), told, self.scale, self._norm)
        return given, (self, source, index, positions, places, segments, kinds)

    def _scratch(self) -> tuple[Array, int]:
        """Return room for a row of sums, and the first address in it that begins a cache line."""
        room = np.empty(self.table.D + 64, self.table.lane)
        start = _arrays.address(room)
        return room, start + -start % 64

    def write(self, target: Array, touched: bool) -> None:
        """Write the result; only memory that has been touched is streamed to."""
        if not target.size:
            return
        given, kept = self._told()
        size, goal = target.dtype.itemsize, _arrays.rows(target.reshape(self.N, self.table.D))
        past = touched and target.nbytes >= _arrays.STREAM_BYTES and self.table.D * size >= 64
        past = past and not (goal.address | goal.stride) % size
        embed_rows = _kernels().embed_rows

        # It holds the arrays behind the addresses, so they live as long as any thread's range.
        def write(start: int, stop: int, keep: object = (kept, target)) -> None:
            _room, scratch = self._scratch()
            embed_rows(*given, goal, scratch, past, start, stop)

        ranges = _threads.parts(self.N * (self.table.row_bytes + self.table.D * size), self.N)
        if ranges == 1:
            write(0, self.N)
        else:
            _threads.run(write, _threads.split(self.N, ranges))

    def norm_backward(self, grad: Array) -> tuple[Array, Array, Array]:
        """Return the gradients of the sums, (N, D), of the weight and of the bias; ``grad`` is within reach."""
        code, D, lane = _kernels(), self.table.D, self.table.lane
        below, P = _arrays.empty((self.N, D), lane), -(-self.N // code.PIECE)
        partials = np.zeros((2, P, -(-D // 16) * 16), lane)
        sums = np.zeros((2, D), lane)
        if not below.size:
            return below, sums[0], sums[1]
        given, kept = self._told()
        above, goal, pieces = (_arrays.rows(array) for array in (grad, below, partials[0]))
        norm_grads = code.norm_grads

        def write(start: int, stop: int, keep: object = (kept, grad, below, partials)) -> None:
            _room, scratch = self._scratch()
            norm_grads(*given, above, goal, pieces, P * pieces.stride, scratch, start, stop)

        cost = self.N * (self.table.row_bytes + 2 * D * lane.itemsize)
        _threads.run(write, _threads.split(P, _threads.parts(cost, P)))
        for part, total in zip(partials, sums, strict=True):
            code.add_pieces(_arrays.rows(part), P, _arrays.rows(total[np.newaxis]))
        return below, sums[0], sums[1]
