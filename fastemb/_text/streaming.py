"""Ids → text while they come: `Decoder`."""

from __future__ import annotations

import codecs
from codecs import utf_8_decode
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from .decode import LeftOut
from .decoders import Decoders
from .tables import Tables


class Decoder:
    """The text of ids that come one after another, given out as soon as it is whole characters.

    Whatever `step` returned, joined, and then what `flush` returns, is ``decode`` of all ids. What is kept between two
    steps is at most three bytes. A decoder serves one thread at a time.
    """

    __slots__ = (
        "_as_ids",
        "_by_bytes",
        "_bytes_at",
        "_errors",
        "_held",
        "_left_out",
        "_names",
        "_plain",
        "_special",
        "_started",
        "_tables",
    )

    def __init__(
        self, tables: Tables, as_ids: Callable[[Any], npt.NDArray[np.int64]], errors: str, left_out: LeftOut
    ) -> None:
        self._tables, self._as_ids, self._errors, self._left_out = tables, as_ids, errors, left_out
        self._bytes_at = tables.token_bytes.__getitem__
        self._special = tables.special_ids if left_out.special else frozenset[int]()
        self._held = b""  # the start of a character
        self._started = False
        # Whether ids become bytes one by one, wherever they stand.
        self._by_bytes = not (tables.separator or tables.decoders)
        self._plain = self._by_bytes and not (self._special or left_out.unknown or tables.strip_start)
        self._names: list[str] = []  # tokens whose text depends on those that follow

    def step(self, ids: Any) -> str:
        """Return the text that one more id, or some more ids, make whole; it may be empty.

        Parameters
        ----------
        ids : int or array_like of int, shape (N,)

        Returns
        -------
        str

        Raises
        ------
        TypeError
            `ids` are no integers.
        ValueError
            `ids` are not in one dimension.
        IndexError
            One of `ids` is no id of this vocabulary; the decoder is as it was before.
        UnicodeDecodeError
            With ``errors="strict"``, the bytes are no UTF-8; the decoder is as it was before.
        """
        started = self._started
        if type(ids) is int and (self._plain or (started and self._by_bytes and ids not in self._special)):
            try:
                data = self._held + self._bytes_at(ids)
            except LookupError:
                data, started = self._next(ids)
        else:
            data, started = self._next(ids)
        text, used = utf_8_decode(data, self._errors)
        self._held, self._started = data[used:], started
        return text

    def _next(self, ids: Any) -> tuple[bytes, bool]:
        """Return the bytes that are held and those of ids, and whether the text has begun."""
        tables, started = self._tables, self._started
        parts, names = [self._held], list[str]()
        try:
            row = [index(ids)] if not isinstance(ids, bool) else self._as_ids(ids).tolist()
        except TypeError:
            row = self._as_ids(ids).tolist()
        for place, id in enumerate(row):
            if id in self._special:
                continue
            try:
                piece = self._bytes_at(id)
            except LookupError:
                if self._left_out.unknown:
                    continue
                where = f" at position {place}" if len(row) > 1 else ""
                raise IndexError(f"id {id}{where} is no token of this vocabulary") from None
            if tables.decoders is not None:
                names.append(tables.name_by_id[id])
                continue
            if tables.separator:
                piece = tables.separator * started + piece
                started = True
            elif not started and piece:
                piece = piece.removeprefix(b" ") if tables.strip_start else piece
                started = True
            parts.append(piece)
        if tables.decoders is not None:
            return self._held + self._decoded(tables.decoders, names), bool(names) or started
        return b"".join(parts), started

    def _decoded(self, decoders: Decoders, names: list[str]) -> bytes:
        """Return the text of tokens; nothing where those that follow have a say, and they are kept until the end."""
        if not decoders.local:
            self._names += names
            return b""
        started, found = self._started, ""
        for name in names:
            found += decoders.later(name) if started else decoders([name])
            started = True
        return found.encode()

    def flush(self) -> str:
        """Return the text of a character that was begun and not ended, by `errors`; the next step begins a new text.

        Returns
        -------
        str

        Raises
        ------
        UnicodeDecodeError
            With ``errors="strict"``, there was one.
        """
        held, self._held, self._started = self._held, b"", False
        if self._names and self._tables.decoders is not None:
            held, self._names = self._tables.decoders(self._names).encode(), []
        return utf_8_decode(held, self._errors, True)[0]


def check_handler(errors: Any) -> str:
    """Return the name of an error handler; TypeError where it is no str, LookupError where there is no such handler."""
    if not isinstance(errors, str):
        raise TypeError(f"errors must be a str, got {type(errors).__name__}")
    codecs.lookup_error(errors)
    return errors
