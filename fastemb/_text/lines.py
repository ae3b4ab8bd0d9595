"""The lines of some UTF-8 as texts, of which no ``str`` is made where none is needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import overload

import numpy as np

from .core import Packed, ffi, lib


class PackedLines(Sequence[str]):
    r"""Lines, which end at ``\n`` or ``\r\n``; what stands behind the last end is one if it is something.

    Parameters
    ----------
    data : bytes

    Attributes
    ----------
    packed : Packed
        The lines one after another, and the bytes of each.

    Raises
    ------
    UnicodeDecodeError
        `data` is no UTF-8.
    """

    def __init__(self, data: bytes) -> None:
        data.decode()  # what is no UTF-8 is said before C reads it
        self._data = data
        utf8, sizes = np.empty(len(data), np.uint8), np.empty(line_ends(data) + 1, np.int64)
        room = ffi.from_buffer("uint8_t[]", utf8), ffi.from_buffer("int64_t[]", sizes)
        count = lib.fe_lines(ffi.from_buffer("uint8_t[]", data), len(data), *room)
        self.packed = Packed(utf8[: int(sizes[:count].sum())], sizes[:count])

    def __len__(self) -> int:
        return self.packed.chars.size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self.strings[index]

    @cached_property
    def strings(self) -> list[str]:
        """Each line as a ``str``."""
        lines = self._data.decode().split("\n")  # never splitlines: a line may hold U+2028, \f and their like
        rest = lines.pop()
        if b"\r" in self._data:
            lines = [line.removesuffix("\r") for line in lines]
        return [*lines, rest] if rest else lines


def line_ends(data: bytes) -> int:
    r"""Return how many ``\n`` there are; `bytes.count` looks at one byte at a time."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == 10))
