"""The gathers of `kernels.bulk`, for the benchmark: ids are in range, arrays contiguous, ids int32 or int64."""

import math

from .._frameworks import DeviceArray
from . import arrays, launch, status
from .kernels.bulk import make_gather_bulk, make_gather_wide

_SHARED_BYTES = 48 << 10  # of a block, without asking for more
_BLOCKS = 4  # of so much shared memory on a multiprocessor


def gather_bulk(table: DeviceArray, ids: DeviceArray, out: DeviceArray) -> None:
    """Copy rows of a multiple of 16 bytes by the copy engine: sm_90 and later."""
    place, row = arrays.place_of(table), math.prod(table.shape[1:]) * table.dtype.itemsize
    if arrays.width_of(table.pointer, out.pointer, row) < arrays.MOST_WIDTH or 8 + row > _SHARED_BYTES:
        raise ValueError(f"rows must be 16 to 49,136 bytes, a multiple of 16, aligned to 16, got {row}")
    threads = min(launch.driver.threads, _SHARED_BYTES // (8 + row))
    threads -= threads % 2 if threads > 1 else 0  # rows behind an even number of barriers are aligned to 16
    if threads == 1:
        raise ValueError(f"two rows must fit {_SHARED_BYTES} bytes of shared memory, got rows of {row}")
    check = status.begin(place, row, status.Fault("gather", "id", ids.shape, f"a table of {table.shape[0]} rows"))
    N, kernel = ids.size, launch.kernel(make_gather_bulk, ids.dtype.name, row, threads)
    grid = min(-(-N // threads), _BLOCKS * launch.driver.multiprocessors(place.ordinal)), 1
    values = (table.pointer, row, ids.pointer, out.pointer, N, table.shape[0], check.address, check.marks[0])
    launch.submit(kernel, grid, (threads, 1), place, values, (table, ids, out))


def gather_wide(table: DeviceArray, ids: DeviceArray, out: DeviceArray) -> None:
    """Copy rows of a multiple of 32 bytes by words of 32: sm_100 and later."""
    place, row = arrays.place_of(table), math.prod(table.shape[1:]) * table.dtype.itemsize
    if math.gcd(table.pointer, out.pointer, row) % 32:
        raise ValueError(f"rows must be a multiple of 32 bytes and aligned to 32, got {row}")
    check = status.begin(place, row, status.Fault("gather", "id", ids.shape, f"a table of {table.shape[0]} rows"))
    N, W = ids.size, row // 32
    x = min(W, launch.driver.threads // 4)
    y = launch.driver.threads // x
    values = (table.pointer, row, ids.pointer, out.pointer, row, N, table.shape[0], W, check.address, check.marks[0])
    kernel = launch.kernel(make_gather_wide, ids.dtype.name)
    launch.submit(kernel, (-(-N // (4 * y)), 1), (x, y), place, values, (table, ids, out))
