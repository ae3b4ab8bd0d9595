"""Values that are wrong on a device, said without waiting for it.

A kernel that meets a bad id reads zeros for its row, keeps the least *mark* in a word of the device, and raises a flag
in memory of the host. A mark is the number of the call, what was wrong, and the position. The next call looks at the
flag, which costs nothing, and raises the error of the earlier one; `cuda_check` waits for the device and does the same.
Nothing is looked at while a stream is captured: a call after the capture says it.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import _cuda_check
from .._frameworks import DeviceArray
from . import launch
from .kernels.convert import make_find_bad
from .kernels.lookup import ZEROS

DEFER, SYNC, NONE = "defer", "sync", "none"
_NOTHING = 1 << 62
#: The mark of what has been reported already: no news.
QUIET = _NOTHING
_POSITION_BITS, _FAULT_BITS, _CALL_BITS = 38, 3, 20
_KEPT = 4096  # calls whose words are kept
_LEAST_ZEROS = 1 << 16

mode: str = _cuda_check.asked
_lock = threading.RLock()


class Fault(NamedTuple):
    """What is to be said of a position."""

    function: str  # of the call
    what: str  # "id", "position id", …
    shape: tuple[int, ...]  # of what the caller gave
    bound: str  # "a table of 50 rows"
    error: type[Exception] = IndexError
    dtype: Any = None  # of what the caller gave, where kernels see it as another

    def words(self, position: int, value: int | None = None) -> str:
        """Return what is wrong at a flat position."""
        place = tuple(map(int, np.unravel_index(position, self.shape))) if self.shape else ()
        where = {0: "", 1: f" at position {position}"}.get(len(place), f" at position {place}")
        if value is not None and self.dtype == np.uint64:
            value %= 1 << 64
        shown = "" if value is None else f" {value}"
        words = f"{self.what}{shown}{where} is out of range for {self.bound}"
        if self.what == "offset" and position == self.shape[0] - 1:
            words += (
                "; S bags take S+1 offsets, the last of which is the number of ids (torch's include_last_offset=True)"
            )
        return words


class Check(NamedTuple):
    """What a kernel is told: the address of the status, and a mark for each fault, to which it adds the position."""

    address: int
    marks: tuple[int, ...]


class _Status:
    """The words of one GPU. They are never freed: a kernel on its way may still write to them."""

    def __init__(self, ordinal: int) -> None:
        self.ordinal, self.calls = ordinal, 0
        self.flag, self.flag_address = launch.driver.mapped(ordinal)
        self.blocks: list[tuple[int, int]] = []  # address, bytes of zeros; the last is in use
        self.faults: OrderedDict[int, tuple[Fault, ...]] = OrderedDict()

    def block(self, place: launch.Place, row_bytes: int) -> int:
        """Return the address of a status with zeros for a row of this size."""
        if not self.blocks or self.blocks[-1][1] < row_bytes:
            size = max(_LEAST_ZEROS, row_bytes)
            address = launch.driver.allocate(self.ordinal, ZEROS + size)
            launch.driver.write(place, address, np.array([_NOTHING, self.flag_address], np.int64))
            self.blocks.append((address, size))
        return self.blocks[-1][0]

    def take(self) -> Exception | None:
        """Return the error of the first wrong value since the last time, or None; wait for all work on the device."""
        launch.driver.synchronize(self.ordinal)  # of other streams, too: a lesser mark may be on its way
        least, place = _NOTHING, launch.Place(self.ordinal, 0, False)
        for address, _ in self.blocks:
            least = min(least, int(launch.driver.read(place, address, 1, np.int64)[0]))
            launch.driver.write(place, address, np.array([_NOTHING], np.int64))
        self.flag[0] = 0
        if least == _NOTHING:
            return None
        call, number, position = _parts(least)
        if call not in self.faults:
            return IndexError(f"an earlier call on cuda:{self.ordinal} met a value that is out of range")
        fault = self.faults[call][number]
        words = f"{fault.words(position)} (found after an earlier call of {fault.function} on cuda:{self.ordinal})"
        return fault.error(words)


def _parts(mark: int) -> tuple[int, int, int]:
    """Return the number of the call, the number of the fault, and the position."""
    position, rest = mark & ((1 << _POSITION_BITS) - 1), mark >> _POSITION_BITS
    return rest >> _FAULT_BITS, rest & ((1 << _FAULT_BITS) - 1), position


_of: dict[int, _Status] = {}


def begin(place: launch.Place, row_bytes: int, *faults: Fault) -> Check:
    """Return what kernels of a call report to; raise the error of an earlier call if one is known."""
    with _lock:
        status = _of.get(place.ordinal)
        if status is None:
            status = _of[place.ordinal] = _Status(place.ordinal)
        if mode != NONE and status.flag[0] and not launch.driver.capturing(place) and (error := status.take()):
            raise error
        status.calls = (status.calls + 1) % (1 << _CALL_BITS)
        status.faults.pop(status.calls, None)
        status.faults[status.calls] = faults
        if len(status.faults) > _KEPT:
            status.faults.popitem(last=False)
        first = status.calls << (_POSITION_BITS + _FAULT_BITS)
        marks = tuple(first | number << _POSITION_BITS for number in range(len(faults)))
        return Check(status.block(place, row_bytes), marks)


def require_ids(place: launch.Place, check: Check, number: int, index: Any, V: int) -> None:
    """In the mode "sync": wait, and raise the error of the first id that is not in [0, V), before anything is written.

    An error of a fault with a smaller number, of which a kernel has told, comes first.
    """
    if mode != SYNC:
        return
    if index.size:
        threads = launch.driver.threads
        values = index.pointer, index.size, V, check.address, check.marks[number]
        find = launch.kernel(make_find_bad, index.dtype.name)
        launch.submit(find, (-(-index.size // threads), 1), (threads, 1), place, values, (index,))
    require(place, check, {number: index})


def require(place: launch.Place, check: Check, given: Mapping[int, DeviceArray | None]) -> None:
    """In the mode "sync": wait, and raise the error of what kernels have told of.

    ``given`` are the values, flat and contiguous, by the number of the fault.
    """
    if mode != SYNC:
        return
    with _lock:
        status = _of[place.ordinal]
        least = int(launch.driver.read(place, check.address, 1, np.int64)[0])
        if least == _NOTHING:
            return
        call, number, position = _parts(least)
        if call != _parts(check.marks[0])[0]:  # one that was asked to wait, or another thread's: not of these values
            raise status.take() or IndexError("an earlier call met a value that is out of range")
        launch.driver.write(place, check.address, np.array([_NOTHING], np.int64))
        status.flag[0] = 0
        array, value = given.get(number), None
        fault = status.faults[call][number]
        if array is not None:
            at = array.pointer + position * array.dtype.itemsize
            value = int(launch.driver.read(place, at, 1, array.dtype)[0])
    raise fault.error(fault.words(position, value))


def set_mode(asked: str) -> None:
    """Check as asked from now on; what nobody asked about before is forgotten."""
    global mode
    with _lock:
        before, mode = mode, asked
        if before == NONE != asked:
            for status in _of.values():
                status.take()


def cuda_check() -> None:
    """Wait for all devices that were worked on, and raise the error of the first wrong value, if there was one."""
    with _lock:
        for status in _of.values() if mode != NONE else ():
            error = status.take()
            if error is not None:
                raise error
