"""What a family says of its kernels to the static tier."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A kernel as it is made for a launch, and what its machine code must show."""

    make: Callable[..., Any]
    options: tuple[Any, ...]
    registers: int = 64  # at most
    in_flight: int = 4  # 16-byte loads of a thread before one of them is read; 0: it reads no rows
