"""Small calls of a tokenizer from objects to objects, in C (csrc/python/small.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

from .compiled import ffi, file
from .core import Core


class Small(NamedTuple):
    """Functions of one tokenizer, which answer None where the general road is to be taken.

    They take lists, bytes and str alone. Ids are decoded one behind the other: nothing is put between them.
    """

    decode: Callable[[Any, Any], str | None]  # ids, the name of an error handler
    decode_bytes: Callable[[Any], bytes | None]  # ids
    encode_piece: Callable[[Any], list[int] | None]  # bytes or a str that nothing cuts


# PyDLL keeps the GIL, and raises what the function raises.
_small = ctypes.PyDLL(file).fe_small
_small.restype = ctypes.py_object
_small.argtypes = [ctypes.py_object]


def small_of(core: Core) -> Small:
    """Return the functions of a tokenizer."""
    address = int(ffi.cast("uintptr_t", core.handle))
    return Small(*_small((address, core.handle)))  # the handle keeps it alive
