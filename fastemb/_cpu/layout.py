"""What kernels are told about memory: addresses, distances in bytes, counts. Made in Python, read in kernels.

``element`` and ``index`` are tags: scalars whose type says what lies there, and whose value is not looked at.
This file needs no Numba.
"""

from typing import Any, NamedTuple

import numpy as np

#: The tags of elements by the names of their dtypes; Numba has no 16-bit floats, so their bits stand for them.
ELEMENTS: dict[str, Any] = {
    "float64": np.float64(0),
    "float32": np.float32(0),
    "float16": np.uint16(0),
    "bfloat16": np.int16(0),
    "int8": np.uint8(0),  # of a quantised table
    "int4": np.int8(0),
}
NO_IDS = np.uint8(0)  # the tag of positions that are rows themselves


class Rows(NamedTuple):
    """Rows of D numbers. Of quantised rows ``scales`` and ``shifts`` point to one float32 for each row."""

    element: Any
    address: int
    stride: int
    bits: int
    D: int
    scales: int = 0
    shifts: int = 0


class Ids(NamedTuple):
    """N positions, each of which means a row of a table of V; without ids the row of its own number."""

    index: Any
    address: int
    N: int
    V: int


class Bags(NamedTuple):
    """Bag s joins the positions from ``begins[s]`` up to ``ends[s]`` (int64).

    ``skew`` is added to the table's address for each bag: the rows of bag s begin ``s * skew`` bytes later.
    ``weights`` is None or the address of one number for each position, of the type in which elements are added.
    ``power`` says what a sum is divided by: n (2), the root of n (1), or nothing (0), where n is the number of
    positions or the sum of their weights.
    """

    begins: int
    ends: int
    skew: int
    weights: int | None
    power: int
