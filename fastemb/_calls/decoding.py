"""Ids to text and back to what they are called: the half of a `Tokenizer` that needs no cutting and merging."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import refuse_masked
from .._text.core import Core, Offsets, UnknownId
from .._text.vocabulary import CHAR_BYTES, spelled
from ..ragged import Ragged


class Decoder:
    """What ids stand for, by a C tokenizer."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._added = core.notes.added

    # ---------------------------------------------------------------- decoding

    def decode(self, ids: npt.ArrayLike, *, errors: str = "replace") -> str:
        """Return the text of token ids.

        Parameters
        ----------
        ids : array_like of int, shape (N,)
            Special tokens come out as their own text.
        errors : {"replace", "strict", "ignore"} or another error handler's name, default "replace"
            What to do with bytes that are no UTF-8, as in ``bytes.decode``. (Of byte fallback tokens in a row
            that are not all valid, ``tokenizers`` writes one U+FFFD for each, valid ones too.)

        Returns
        -------
        str

        Raises
        ------
        TypeError, IndexError
            `ids` are no integers; or one is no id of this vocabulary.
        UnicodeDecodeError
            With ``errors="strict"``, the bytes are no UTF-8.
        """
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """Return the bytes of token ids, which need not be whole characters.

        Parameters
        ----------
        ids : array_like of int, shape (N,)

        Returns
        -------
        bytes

        Raises
        ------
        TypeError, IndexError
            As in `decode`.
        """
        flat = _as_ids(ids)
        text, _ = self._decoded(flat, np.array([flat.size]))
        return text.removeprefix(b" ") if self._core.notes.strip_start else text

    def decode_batch(self, rows: Ragged | Sequence[npt.ArrayLike], *, errors: str = "replace") -> list[str]:
        """Return the texts of rows of token ids.

        Parameters
        ----------
        rows : Ragged or sequence of array_like of int, length S
        errors
            As in `decode`.

        Returns
        -------
        list of str, length S

        Raises
        ------
        TypeError, IndexError, UnicodeDecodeError
            As in `decode`.
        """
        if isinstance(rows, Ragged):
            flat, ends = rows.ids.astype(np.int64), rows.offsets[1:]
        else:
            parts = [_as_ids(row) for row in rows]
            flat = np.concatenate([np.empty(0, np.int64), *parts])
            ends = np.cumsum(np.array([part.size for part in parts], np.int64))
        text, byte_ends = self._decoded(flat, np.ascontiguousarray(ends))
        starts, strip = [0, *byte_ends.tolist()], self._core.notes.strip_start
        pieces = (text[start:end] for start, end in pairwise(starts))
        return [(piece.removeprefix(b" ") if strip else piece).decode("utf-8", errors) for piece in pieces]

    # ---------------------------------------------------------------- the vocabulary

    @cached_property
    def vocab_size(self) -> int:
        """One more than the highest id, added tokens included: the rows that an embedding table needs."""
        return max([self._core.highest_id(), *(token.id for token in self._added)]) + 1

    @property
    def vocab(self) -> dict[str, int]:
        """The tokens as the file writes them, added ones included, and their ids (a new dict).

        Rank files hold bytes: they are written as in GPT-2's files, where printable ASCII stands for itself.
        """
        core = self._core
        ids = core.ids().tolist()
        names = core.names or [spelled(core.token_bytes(number)) for number in range(len(ids))]
        return dict(zip(names, ids, strict=True)) | {token.content: token.id for token in self._added}

    def id_to_token(self, id: int) -> str:
        """Return a token as `vocab` writes it.

        Parameters
        ----------
        id : int

        Returns
        -------
        str

        Raises
        ------
        IndexError
            No token has this id.
        """
        at = index(id)
        for token in self._added:
            if token.id == at:
                return token.content
        number = self._core.number_of(at)
        if number is None:
            raise IndexError(f"id {at} is no token of this vocabulary")
        return self._core.names[number] if self._core.names else spelled(self._core.token_bytes(number))

    def token_to_id(self, token: str | bytes) -> int:
        """Return the id of a token.

        Parameters
        ----------
        token : str or bytes
            As `vocab` writes it; or its bytes.

        Returns
        -------
        int

        Raises
        ------
        KeyError
            There is no such token.
        """
        if not isinstance(token, str | bytes):
            raise TypeError(f"token must be a str or bytes, got {type(token).__name__}")
        id = self._id_of_bytes(token) if isinstance(token, bytes) else self._id_of_name(token)
        if id is None:
            raise KeyError(f"{token!r} is no token of this vocabulary")
        return id

    def _id_of_bytes(self, token: bytes) -> int | None:
        special = {one.content.encode(): one.id for one in self._added}
        return special.get(token, self._core.find(token))

    def _id_of_name(self, token: str) -> int | None:
        for one in self._added:
            if one.content == token:
                return one.id
        if self._core.names is not None:
            return self._ids_by_name.get(token)
        try:
            return self._core.find(bytes(map(CHAR_BYTES.__getitem__, token)))
        except KeyError:  # a character by which no byte is written
            return None

    @cached_property
    def _ids_by_name(self) -> dict[str, int]:
        return self.vocab

    @property
    def unk_id(self) -> int | None:
        """The id of the unknown token, None where the vocabulary has none."""
        unk = self._core.contents.unk
        return None if unk < 0 else int(self._core.contents.token_ids[unk])

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids."""
        return {token.content: token.id for token in self._added if token.special}

    def _decoded(self, ids: npt.NDArray[np.int64], row_ends: Offsets) -> tuple[bytes, Offsets]:
        try:
            return self._core.decode(ids, row_ends)
        except UnknownId as unknown:
            position = unknown.args[0]
            row = int(np.searchsorted(row_ends, position, side="right"))
            place = f"position {position - (int(row_ends[row - 1]) if row else 0)}"
            where = f"{place} of row {row}" if row_ends.size > 1 else place
            raise IndexError(f"id {ids[position]} at {where} is no token of this vocabulary") from None


def _as_ids(ids: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return ids as int64."""
    refuse_masked(ids, "ids")
    try:
        flat = np.asarray(ids)
    except ValueError:
        raise TypeError("ids must be integers in one dimension, got rows of several lengths") from None
    if flat.size == 0 and flat.ndim == 1:
        return np.empty(0, np.int64)
    if flat.dtype == object and flat.ndim == 1 and all(isinstance(id, int) for id in flat):
        flat = np.array([min(max(id, -1), 2**63 - 1) for id in flat])  # beyond what arrays hold: no token, as others
    if flat.dtype.kind not in "iu" or flat.ndim != 1:
        raise TypeError(f"ids must be integers in one dimension, got {flat.dtype} of shape {flat.shape}")
    return np.minimum(flat, 2**63 - 1).astype(np.int64) if flat.dtype == np.uint64 else flat.astype(np.int64)
