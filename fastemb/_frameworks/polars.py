"""Series of Polars: numbers, arrays (a table, or 2-D ids) and lists (rows of ids)."""

import sys
from typing import Any

import numpy as np

from . import Array, Framework
from .arrow import Columns


class Polars(Columns):
    """Series, of several chunks a copy: results of one axis hold numbers, of more axes arrays."""

    name, maker, has_lists = "Polars", "polars.Series", True

    def __init__(self, pl: Any) -> None:
        self._pl = pl

    def _numbers(self, array: Any, name: str) -> Array:
        kind = array.dtype
        self._refuse_nulls(array, array.null_count(), f"{name} has")
        if self.is_lists(array):
            raise TypeError(
                f"{name} is a series of lists, whose rows may differ in length: only as ids it is taken; else give "
                f"arrays, {name}.list.to_array(length)"
            )
        inner = kind
        while inner == self._pl.Array:
            inner = inner.inner
        if not (inner.is_numeric() or inner == self._pl.Boolean) or inner.is_decimal():
            raise TypeError(f"{name} is a series of {kind}; those of numbers are taken, and arrays of them")
        whole = array if array.n_chunks() == 1 else array.rechunk()
        try:
            view: Array = whole.to_numpy(allow_copy=inner == self._pl.Boolean)
        except RuntimeError as error:
            if kind == self._pl.Array:
                inside = whole.reshape((-1,))
                self._refuse_nulls(inside, inside.null_count(), f"{name} has")
            raise TypeError(f"{name} is a series of {kind} that NumPy cannot see: {error}") from error
        return view

    def result(self, array: Array) -> Any:
        """Return a series, which shares the memory."""
        return self._pl.Series(array) if array.ndim else array[()]

    def is_lists(self, array: Any) -> bool:
        """Whether a series holds lists that may differ in length."""
        return bool(array.dtype == self._pl.List)

    def lists(self, array: Any) -> tuple[Array, Array]:
        """Return the flat ids and the offsets of a series of lists."""
        self._refuse_nulls(array, array.null_count(), "ids have", " rows")
        lengths = array.list.len().to_numpy()
        offsets = np.zeros(len(array) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # Empty lists first leave: some versions make a null of each.
        kept = array if lengths.all() else array.filter(array.list.len() > 0)
        return self._numbers(kept.explode(), "ids"), offsets


def find(kind: type) -> Framework | None:
    """Return the framework of a type; None of Polars' types that are no series."""
    pl = sys.modules.get("polars")
    return Polars(pl) if pl is not None and issubclass(kind, pl.Series) else None
