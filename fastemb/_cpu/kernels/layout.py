"""What kernels are told about memory: addresses, distances in bytes, counts. Made in Python, read in kernels.

``dtype_tag`` and ``id_tag`` are tags: scalars whose type says what lies in memory. The value of an id tag
of `SIZE_TAGS` says it; no other value is looked at.
This file needs no Numba.
"""

from typing import Any, NamedTuple

import numpy as np

#: The dtype tags by the names of the dtypes; Numba has no 16-bit floats, so their bits stand for them.
DTYPE_TAGS: dict[str, Any] = {
    "float64": np.float64(0),
    "float32": np.float32(0),
    "float16": np.uint16(0),
    "bfloat16": np.int16(0),
    "int8": np.uint8(0),  # of a quantised table
    "int4": np.int8(0),
}
BY_ONE, BY_ROOT, BY_COUNT = 0, 1, 2
#: The id tag of a list of addresses behind whose end as many follow as are asked for meanwhile.
SPOTS = np.uint64(0)
NO_IDS = np.uint8(0)  # the id tag of entries that are row numbers themselves
#: Id tags of one type, whose value is the size of an id: kernels that are large are compiled once for all ids.
SIZE_TAGS: dict[Any, Any] = {np.dtype(kind): np.uint16(np.dtype(kind).itemsize) for kind in (np.int64, np.int32)}
NO_SIZE = np.uint16(0)  # of entries that are row numbers themselves


class Rows(NamedTuple):
    """Rows of D numbers. Of quantised rows ``scale`` and ``offset`` point to one float32 for each row."""

    dtype_tag: Any
    address: int
    stride: int
    bits: int
    D: int
    scale: int = 0
    offset: int = 0


class Ids(NamedTuple):
    """N entries, each of which names a row of a table of V; without ids entry i names row i."""

    id_tag: Any
    address: int
    N: int
    V: int


class Segments(NamedTuple):
    """Segment s reduces the entries from ``begins[s]`` up to ``ends[s]`` (int64) to one row.

    ``batch_gap`` is the batch stride of x less T row strides: 0 where x's first two axes fold into one. It is added
    to the address of the rows once for each segment.
    ``weights`` is None or the address of one number for each entry, of the accumulators' dtype.
    ``divide_by`` says what a sum is divided by: `BY_ONE` (nothing), `BY_ROOT` (the root of n) or `BY_COUNT` (n), where
    n is the number of entries or the sum of their weights.
    """

    begins: int
    ends: int
    batch_gap: int
    weights: int | None
    divide_by: int


class Rule(NamedTuple):
    """What an optimizer does to a row of a table and of its state: `fastemb._updates.Update` as kernels take it.

    ``first`` and ``second`` are `Rows` or None, ``per_row`` is the address of a number for each row or None. ``key`` is
    an int64 or None. The other numbers are float64, and inside of kernels of the accumulators' type.
    """

    first: Any
    second: Any
    per_row: int | None
    rate: Any
    keep: Any
    mix: Any
    eps: Any
    decay: Any
    shrink: Any
    nesterov: bool
    key: int | None
