"""Numbers as text: the fewest digits that are read as the same float32, by the C core."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .core import ffi, lib

ROOM = 1 << 20  # bytes of text that are made at a time


def decimals(rows: npt.NDArray[np.float32]) -> Iterator[bytes]:
    """Give each row of a table as text, its numbers parted by a comma and a space.

    A number has the fewest digits that are read as it again (of these the nearest), written as `repr` writes a float:
    with an exponent below 1e-4 and from 1e16 on. What is none is NaN, Infinity or -Infinity, as `json` has them.
    """
    count, columns = rows.shape
    rows = np.ascontiguousarray(rows)
    row_room = max(1, columns) * lib.FE_DECIMAL
    step = min(max(1, ROOM // row_room), max(1, count))
    text, ends = np.empty(step * row_room, np.uint8), np.empty(step, np.int64)
    out = ffi.from_buffer("uint8_t[]", text), text.size, ffi.from_buffer("int64_t[]", ends)
    for first in range(0, count, step):
        some = rows[first : first + step]
        found = lib.fe_decimals(ffi.from_buffer("float[]", some), len(some), columns, *out)
        assert found == len(some), "room is made for all of them"
        start, whole = 0, text[: int(ends[found - 1])].tobytes()
        for end in ends[:found].tolist():
            yield whole[start:end]
            start = end
