"""Rows of different lengths, end to end: ``Ragged``."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from operator import index
from typing import Any, NoReturn, overload

import numpy as np
import numpy.typing as npt

from . import _checks, _frameworks, _words
from ._checks import Side

_Ids = npt.NDArray[np.int32]
_Offsets = npt.NDArray[np.int64]
_INT32 = np.iinfo(np.int32)


def _as_int32(values: npt.NDArray[Any], name: str) -> _Ids:
    if values.dtype != np.int32 and values.size:
        low, high = int(values.min()), int(values.max())
        if low < _INT32.min or high > _INT32.max:
            raise ValueError(f"{name} must fit int32, got {low if low < _INT32.min else high}")
    return values.astype(np.int32, copy=False)


class Ragged:
    """Rows of ids of different lengths, kept flat.

    Row ``s`` is ``ids[offsets[s]:offsets[s+1]]``. It has a length, can be iterated, and gives a row for an
    integer and another `Ragged` for a slice.

    Parameters
    ----------
    ids : array_like of int, shape (N,)
        All rows, end to end. int32 is kept as it is; other integers are converted.
    offsets : array_like of int, shape (S+1,)
        Where rows begin: ascending from 0 to N. int64 is kept as it is.

    Raises
    ------
    TypeError
        If `ids` or `offsets` are not integers.
    ValueError
        If they are not 1-D, an id does not fit int32, or the offsets do not ascend from 0 to N.

    Notes
    -----
    Nothing is copied where the dtypes fit, and rows and slices of step 1 are views: writing to one array
    writes to all.

    Examples
    --------
    >>> from fastemb.ragged import Ragged
    >>> rows = Ragged([5, 6, 7], [0, 2, 2, 3])
    >>> len(rows)
    3
    >>> rows[0]
    array([5, 6], dtype=int32)
    >>> rows[1:]
    Ragged(2 rows, 1 ids)
    >>> [row.tolist() for row in rows]
    [[5, 6], [], [7]]
    """

    __slots__ = ("_ids", "_offsets")

    def __init__(self, ids: Any, offsets: Any) -> None:
        flat = _checks.require_cpu(_checks.as_integers(ids, "ids", fits="int32"), "ids")
        if flat.ndim != 1:
            raise ValueError(f"ids must be 1-D, got shape {flat.shape}")
        self._ids: _Ids = _as_int32(flat, "ids")
        bounds = _checks.require_cpu(_checks.as_integers(offsets, "offsets"), "offsets")
        _checks.require_offsets_shape(bounds)
        self._offsets: _Offsets = np.ascontiguousarray(bounds, np.int64)
        if not _checks.ascend(self._offsets, flat.size):
            _checks.raise_bad_offsets(bounds, flat.size)

    @classmethod
    def _trusted(cls, ids: _Ids, offsets: _Offsets) -> "Ragged":
        """Make one of arrays that are known to fit."""
        ragged = cls.__new__(cls)
        ragged._ids, ragged._offsets = ids, offsets
        return ragged

    @classmethod
    def from_lists(cls, rows: Iterable[Any]) -> "Ragged":
        """Make one of rows that are lists, tuples or 1-D arrays of integers.

        Parameters
        ----------
        rows : iterable of array_like of int
            Rows of any length, also none, or an array of lists of another framework. They are copied.

        Returns
        -------
        Ragged

        Raises
        ------
        TypeError
            If `rows` cannot be iterated or is a text, or a row does not hold integers.
        ValueError
            If a row is not 1-D, or an id does not fit int32.

        Examples
        --------
        >>> from fastemb.ragged import Ragged
        >>> Ragged.from_lists([[5, 6], [], [7]]).offsets
        array([0, 2, 2, 3])
        """
        whole = _frameworks.lists(rows, cls)
        if whole is not rows:
            return cls._trusted(whole.ids.copy(), whole.offsets)
        if framework := _frameworks.of(rows):  # rows of one length: iterating would give its scalars
            rows = _checks.require_cpu(framework.view(rows, "rows"), "rows")
        if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
            raise TypeError(f"rows must be a list of rows of ids, got {_words.type_name(rows)}")
        parts: list[_Ids] = []
        for s, row in enumerate(rows):
            part = _checks.require_cpu(_checks.as_integers(row, f"rows[{s}]", fits="int32"), f"rows[{s}]")
            if part.ndim != 1:
                one = ", a single id: rows are lists" if not part.ndim else ""
                raise ValueError(f"rows[{s}] must be 1-D, got shape {part.shape}{one}")
            parts.append(_as_int32(part, f"rows[{s}]"))
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([part.size for part in parts], out=offsets[1:])
        ids = np.concatenate(parts) if parts else np.empty(0, np.int32)
        return cls._trusted(ids, offsets)

    @property
    def ids(self) -> _Ids:
        """All rows end to end: int32, shape (N,)."""
        return self._ids

    @property
    def offsets(self) -> _Offsets:
        """Where rows begin, and the end of the last: int64, shape (S+1,)."""
        return self._offsets

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The length of each row: a new int64 array of shape (S,)."""
        return np.diff(self._offsets)

    def pad(
        self, length: int | None = None, side: Side = "right", pad_id: int = 0
    ) -> tuple[_Ids, npt.NDArray[np.bool_]]:
        """Return the rows as one rectangle, filled up with `pad_id`, and where the ids are.

        Parameters
        ----------
        length : int, optional
            Number of columns, T; by default that of the longest row.
        side : {"right", "left"}
            Where the padding goes.
        pad_id : int
            The id to fill up with; it must fit int32.

        Returns
        -------
        ids : numpy.ndarray of int32, shape (S, T)
        mask : numpy.ndarray of bool, shape (S, T)
            True where an id comes from a row.

        Raises
        ------
        TypeError
            If `length` or `pad_id` is not an integer.
        ValueError
            If a row is longer than `length`, `side` is not one of the two, or `pad_id` does not fit int32.

        Examples
        --------
        >>> from fastemb.ragged import Ragged
        >>> ids, mask = Ragged.from_lists([[5, 6], [7]]).pad(side="left")
        >>> ids
        array([[5, 6],
               [0, 7]], dtype=int32)
        >>> mask
        array([[ True,  True],
               [False,  True]])
        """
        asked = None if length is None else _checks.as_size(length, "length")
        pad_id = _checks.as_integer(pad_id, "pad_id")
        _checks.require_word(side, _checks.SIDES, "side")
        if not _INT32.min <= pad_id <= _INT32.max:
            raise ValueError(f"pad_id must fit int32, got {_words.shown(pad_id)}")
        lengths = self.lengths
        longest = int(lengths.max(initial=0))
        T = longest if asked is None else asked
        if longest > T:
            raise ValueError(f"length must be at least that of the longest row, {longest}, got {T}")
        column = np.arange(T) if side == "right" else np.arange(T - 1, -1, -1)
        mask = column < lengths[:, None]
        ids = np.full(mask.shape, pad_id, np.int32)
        ids[mask] = self._ids  # both in row order, whichever side the padding is on
        return ids, mask

    def tolist(self) -> list[list[int]]:
        """Return the rows as lists of ints.

        Returns
        -------
        list of list of int
            New lists.

        Examples
        --------
        >>> from fastemb.ragged import Ragged
        >>> Ragged([5, 6, 7], [0, 2, 2, 3]).tolist()
        [[5, 6], [], [7]]
        """
        flat = self._ids.tolist()
        return [flat[begin:end] for begin, end in pairwise(self._offsets.tolist())]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        """Refuse: NumPy would make an array of objects of it."""
        raise TypeError("a Ragged has rows of different lengths: give .ids and .offsets, .pad() or .tolist()")

    def __len__(self) -> int:
        return self._offsets.size - 1

    @overload
    def __getitem__(self, key: int) -> _Ids: ...
    @overload
    def __getitem__(self, key: slice) -> "Ragged": ...
    def __getitem__(self, key: int | slice) -> "_Ids | Ragged":
        if isinstance(key, slice):
            return self._slice(key)
        try:
            s = index(key)
        except TypeError:
            raise TypeError(f"a row is picked by an integer or a slice, got {type(key).__name__}") from None
        if not -len(self) <= s < len(self):
            raise IndexError(f"row {s} is out of range for {len(self)} rows")
        s %= len(self)
        return self._ids[self._offsets[s] : self._offsets[s + 1]]

    def _slice(self, key: slice) -> "Ragged":
        start, stop, step = key.indices(len(self))
        if step == 1:
            offsets = self._offsets[start : max(start, stop) + 1]
            return Ragged._trusted(self._ids[offsets[0] : offsets[-1]], offsets - offsets[0])
        begins, lengths = self._offsets[:-1][key], self.lengths[key]
        offsets = np.zeros(lengths.size + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # For each id of the result, its place in ours: its place in its row, from where that row begins.
        places = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], lengths)
        return Ragged._trusted(self._ids[places], offsets)

    def __iter__(self) -> Iterator[_Ids]:
        ends = self._offsets.tolist()
        for begin, end in pairwise(ends):
            yield self._ids[begin:end]

    def __repr__(self) -> str:
        return f"Ragged({len(self)} rows, {self._ids.size} ids)"
