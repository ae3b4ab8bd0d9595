"""What a family says of its kernels to the static tier."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A kernel as it is made for a launch, and what its machine code must show."""

    make: Callable[..., Any]
    options: tuple[Any, ...]
    registers: int = 64  # at most
    in_flight: int = 4  # 16-byte loads of a thread before one of them is read; 0: it reads no rows of 16-byte words
    #: What else is loaded and stored by plain instructions beside words of 16 bytes: "st.u64" of ids written, say.
    besides: tuple[str, ...] = ()
    kib: int = (
        32  # of 16-byte loads on their way to a multiprocessor, at least, with all threads that fit the registers
    )
    since: tuple[int, int] = (8, 0)  # the compute capability from which on its instructions are there
