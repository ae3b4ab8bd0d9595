"""The kernel of static models' small calls: means, sixteen columns at a time.

It compiles in a third of the time that a kernel of small bags takes, which holds 128 columns in registers, and lies
within a tenth of a microsecond of it on one line of text (docs/design/static.md).
"""

from typing import Any

import numpy as np

from .intrinsics import load_id
from .jit import kernel, part
from .layout import Rows
from .lookup import address, first_bad_among
from .pooling import ascend, ids_of, rows_of
from .rows import PIECE, read, write
from .vectors import every, narrow, wide


@part
def mean_segment(rows: Any, ids: Any, out: Any, s: int, begin: int, end: int) -> None:
    """Write the mean of the rows of ids [begin, end), with the bits of ``reduce.py``; zeros where there are none."""
    by = np.float32(max(end - begin, 1))
    for j in range(0, out.D, 16):
        count = min(16, out.D - j)
        total = wide(every(rows.dtype_tag, -0.0 if begin < end else 0.0))
        for cut in range(begin, end, PIECE):
            sums = every(rows.dtype_tag, -0.0)
            for i in range(cut, min(cut + PIECE, end)):
                sums = sums + read(rows, load_id(ids.id_tag, ids.address, i), j, count)
            total = total + wide(sums)
        write(out, s, j, count, narrow(rows.dtype_tag, total) / by)


@kernel
def mean_small(table: Any, ids: Any, offsets: Any, alone: bool, out: Any) -> int:
    """Write the mean of each row of ids between offsets, or of all ids alone; nonzero: take the general road.

    Of the table, whose rows may lie apart, as many columns are read as ``out`` has.
    """
    N, V, bits = ids.size, table.shape[0], 8 * table.itemsize
    rows = Rows(table.dtype.type(0), address(table), table.strides[0], bits, out.shape[1], 0, 0)
    given, goal = ids_of(ids, N, V), rows_of(out)
    if not (alone or ascend(offsets, N)) or first_bad_among(given.id_tag, given.address, 0, N, V) >= 0:
        return 1
    for s in range(out.shape[0]):
        mean_segment(rows, given, goal, s, 0 if alone else offsets[s], N if alone else offsets[s + 1])
    return 0
