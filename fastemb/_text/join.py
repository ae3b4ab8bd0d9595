"""Short texts as one block of UTF-8, by one pass over the objects in C (csrc/python/join.c)."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .compiled import file
from .core import Offsets, Packed
from .workspace import Workspace

ROOM = 1 << 20  # bytes of UTF-8
TEXTS = 2048

# PyDLL keeps the GIL: the function reads Python's objects. cffi gives it back around every call.
_join = ctypes.PyDLL(file).fe_join
_join.restype = ctypes.c_int64
_join.argtypes = [ctypes.py_object, *[ctypes.c_int64] * 2, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 2]


class JoinRoom:
    """Where the texts of a block are put; it belongs to a workspace."""

    __slots__ = ("addresses", "chars", "sizes", "utf8")

    def __init__(self) -> None:
        self.utf8 = np.empty(ROOM, np.uint8)
        self.sizes, self.chars = np.empty(TEXTS, np.int64), np.empty(TEXTS, np.int64)
        self.addresses = [array.ctypes.data for array in (self.utf8, self.sizes, self.chars)]


def join(workspace: Workspace, texts: tuple[Any, ...], first: int, last: int) -> tuple[Packed, Offsets]:
    """Return the UTF-8 of texts from `first` on, at most up to `last`, and how many characters each of them has.

    There may be none: a text that is no plain ``str``, holds lone surrogates or finds no room is left, with all behind
    it. What is returned is good until the workspace is used again.
    """
    room = workspace.joined = workspace.joined or JoinRoom()
    utf8, sizes, chars = room.addresses
    count = _join(texts, first, min(last, first + TEXTS), utf8, ROOM, sizes, chars)
    taken = room.sizes[:count]
    return Packed(room.utf8[: int(taken.sum())], taken), room.chars[:count]
