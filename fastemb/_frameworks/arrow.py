"""Arrays of PyArrow: numbers, lists of one length (a table, or 2-D ids) and of any (rows of ids)."""

import math
import sys
from typing import Any, cast

from . import WRITTEN, Array, Framework, unlocked


class Columns(Framework):
    """What arrays of Arrow's memory have in common, whoever made them: they are immutable, and may have nulls."""

    def view(self, array: Any, name: str) -> Array:
        """Return a view; of booleans, which are bits there, a copy."""
        if name in WRITTEN:
            raise TypeError(f"{name} is an array of {self.name}, which cannot be written to; give a NumPy array")
        view = self._numbers(array, name)
        return view if view.flags.writeable else unlocked(view, view.ctypes.data)

    def _numbers(self, array: Any, name: str) -> Array:
        """Return a view of an array of numbers, which may be read-only; refuse all others."""
        raise NotImplementedError

    @staticmethod
    def _refuse_nulls(array: Any, nulls: int, words: str, rows: str = "") -> None:
        # NumPy would make NaN of these, and float64 of integers.
        if nulls:
            raise TypeError(f"{words} nulls ({nulls} of {len(array)}{rows}); drop or fill them")


class Arrow(Columns):
    """Arrays: results of one axis are arrays of numbers, of more axes lists of one length."""

    name, maker = "PyArrow", "pyarrow.array"

    def __init__(self, pa: Any) -> None:
        self._pa = pa

    def _numbers(self, array: Any, name: str) -> Array:
        types, kind = self._pa.types, array.type
        self._refuse_nulls(array, array.null_count, f"{name} has")
        if types.is_fixed_size_list(kind):
            flat = self._numbers(array.flatten(), name)
            return flat.reshape(len(array), kind.list_size, *flat.shape[1:])
        if isinstance(array, self._pa.FixedShapeTensorArray):
            inner = array.storage.flatten()
            self._refuse_nulls(inner, inner.null_count, f"{name} has")
            return cast("Array", array.to_numpy_ndarray())
        if self.is_lists(array):
            raise TypeError(
                f"{name} is a {kind} array of PyArrow, whose rows may differ in length: only as ids it is taken; "
                f"else give a fixed_size_list, {name}.cast(pyarrow.list_(type, length))"
            )
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise TypeError(f"{name} is a {kind} array of PyArrow; those of numbers are taken, and lists of them")
        return cast("Array", array.to_numpy(zero_copy_only=not types.is_boolean(kind)))

    def result(self, array: Array) -> Any:
        """Return an array, which shares the memory."""
        pa = self._pa
        if not array.ndim:
            return pa.scalar(array[()])
        made = pa.array(array.reshape(-1))
        for axis in range(array.ndim - 1, 0, -1):  # from_arrays could not tell how many lists of length 0 there are
            count = math.prod(array.shape[:axis])
            made = pa.Array.from_buffers(pa.list_(made.type, array.shape[axis]), count, [None], children=[made])
        return made

    def is_lists(self, array: Any) -> bool:
        """Whether an array holds lists that may differ in length."""
        types, kind = self._pa.types, array.type
        return bool(types.is_list(kind) or types.is_large_list(kind))

    def lists(self, array: Any) -> tuple[Array, Array]:
        """Return the flat ids and the offsets of an array of lists; a slice's begin where the slice does."""
        self._refuse_nulls(array, array.null_count, "ids have", " rows")
        offsets = array.offsets.to_numpy()
        return self._numbers(array.flatten(), "ids"), offsets - offsets[0]


class Chunked(Arrow):
    """Arrays in chunks: one chunk is taken as an array, more are copied into one; results have one."""

    has_lists = True

    def view(self, array: Any, name: str) -> Array:
        """Return a view of one chunk; of more chunks a copy."""
        return super().view(self._whole(array), name)

    def result(self, array: Array) -> Any:
        """Return an array of one chunk, which shares the memory."""
        made = super().result(array)
        return self._pa.chunked_array([made]) if array.ndim else made

    def lists(self, array: Any) -> tuple[Array, Array]:
        """Return the flat ids and the offsets of lists."""
        return super().lists(self._whole(array))

    @staticmethod
    def _whole(array: Any) -> Any:
        return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


class FixedShape(Arrow):
    """Extension arrays of tensors of one shape."""

    def result(self, array: Array) -> Any:
        """Return one of the same kind where there is more than one axis."""
        return self._pa.FixedShapeTensorArray.from_numpy_ndarray(array) if array.ndim > 1 else super().result(array)


class Tensor(Columns):
    """Arrow's dense tensors."""

    name, maker = "PyArrow", "pyarrow.Tensor.from_numpy"

    def __init__(self, pa: Any) -> None:
        self._pa = pa

    def _numbers(self, array: Any, name: str) -> Array:
        return cast("Array", array.to_numpy())

    def result(self, array: Array) -> Any:
        """Return a tensor, which shares the memory."""
        return self._pa.Tensor.from_numpy(array)


def find(kind: type) -> Framework | None:
    """Return the framework of a type; None of PyArrow's types that are no arrays."""
    pa = sys.modules.get("pyarrow")
    if pa is None:
        return None
    for parent, made in (
        (pa.FixedShapeTensorArray, FixedShape), (pa.Array, Arrow), (pa.ChunkedArray, Chunked), (pa.Tensor, Tensor)
    ):  # fmt: skip
        if issubclass(kind, parent):
            framework: Framework = made(pa)
            return framework
    return None
