"""Reading `.tiktoken` files: byte-level tokens, each with the rank that is its id and its place among the merges."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .core import ffi, lib
from .vocabulary import BOM, DamagedVocabularyError

_LINE = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==) [0-9]+\r?")
_EMPTY = re.compile(rb"^={1,2} ([0-9]{1,9})(\r?)$", re.MULTILINE)  # Whisper's files have such a line
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?")


@dataclass(frozen=True)
class RankVocabulary:
    """Tokens as bytes in ascending order of rank.

    Two neighbours merge if their bytes together are a token, the pair whose token has the lowest rank first.
    """

    tokens: bytes  # all tokens, one after another
    offsets: npt.NDArray[np.int64]  # (n + 1,): token i is tokens[offsets[i]:offsets[i + 1]]
    ids: npt.NDArray[np.int32]  # (n,), ascending; there may be holes
    silent: tuple[int, ...] = ()  # ids of empty tokens, which no text gives and which give no text

    def __len__(self) -> int:
        return self.ids.size

    def token(self, index: int) -> bytes:
        """Return the bytes of the token at this place of the order."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


def looks_like_rank_file(head: bytes) -> bool:
    """Return whether a file that starts with these bytes is a rank file: one of its first lines reads as such.

    Llama-3's `tokenizer.model` is one; SentencePiece's, of the same name, is not.
    """
    lines = head.split(b"\n")
    whole = lines[:-1] or lines  # the last one may be cut
    return any(_LINE.fullmatch(line) for line in [line for line in whole if line.rstrip(b"\r")][:3])


def read_rank_file(path: Path) -> RankVocabulary:
    """Read a rank file.

    Raises
    ------
    ValueError
        The file is damaged or no rank file; the message names it and the line or the token.
    """
    text = path.read_bytes().removeprefix(BOM)
    silent = tuple(int(rank) for rank, _ in _EMPTY.findall(text)) if b"\n=" in text else ()
    if silent:
        text = _EMPTY.sub(rb"\2", text)
    tokens, offsets, ranks, bad_line = read_ranks(text)
    try:
        if bad_line is not None:
            if not ranks.size and not looks_like_rank_file(text):
                raise ValueError(f"{path}: not a rank file: line {bad_line} is not base64, a space and a rank")
            fault = _line_fault(text.split(b"\n", bad_line)[bad_line - 1])
            raise DamagedVocabularyError(f"line {bad_line}: {fault}")
        if not ranks.size:
            raise DamagedVocabularyError("it is empty")
        vocabulary = RankVocabulary(*_in_order(tokens, offsets, ranks))
        same = np.flatnonzero(vocabulary.ids[1:] == vocabulary.ids[:-1])
        if same.size:
            first, second = vocabulary.token(same[0]), vocabulary.token(same[0] + 1)
            raise DamagedVocabularyError(
                f"the rank {vocabulary.ids[same[0]]} stands twice, for {first!r} and {second!r}"
            )
        check_bytes(vocabulary)
        counts = Counter([*vocabulary.ids.tolist(), *silent]) if silent else Counter[int]()
        twice = [rank for rank in silent if counts[rank] > 1]
        if twice:
            raise DamagedVocabularyError(f"the rank {twice[0]} stands twice, for b'' and another token")
    except DamagedVocabularyError as error:
        raise ValueError(f"{path}: damaged rank file: {error}") from None
    return replace(vocabulary, silent=silent)


def read_ranks(
    text: bytes,
) -> tuple[bytes, npt.NDArray[np.int64], npt.NDArray[np.int32], int | None]:
    """Return the tokens of a rank file's text end to end, their offsets, their ranks, and the first bad line.

    With a bad line (counted from 1) the tokens, offsets and ranks are those of the lines above it.
    """
    room = text.count(b"\n") + 1
    tokens = np.empty(len(text), np.uint8)
    offsets = np.empty(room + 1, np.int64)
    ranks = np.empty(room, np.int32)
    count, bad_line = ffi.new("int64_t *"), ffi.new("int64_t *")
    status = lib.fe_ranks_read(
        ffi.from_buffer("uint8_t[]", text),
        len(text),
        ffi.from_buffer("uint8_t[]", tokens, require_writable=True),
        ffi.from_buffer("int64_t[]", offsets, require_writable=True),
        ffi.from_buffer("int32_t[]", ranks, require_writable=True),
        room,
        count,
        bad_line,
    )
    if status not in (lib.FE_OK, lib.FE_BAD_FILE):
        raise RuntimeError(f"reading ranks failed with status {status}")
    offsets = offsets[: count[0] + 1].copy()
    return (
        tokens[: offsets[-1]].tobytes(),
        offsets,
        ranks[: count[0]].copy(),
        None if status == lib.FE_OK else bad_line[0],
    )


def check_bytes(vocabulary: RankVocabulary) -> None:
    """Raise DamagedVocabularyError if a byte has no token of its own: a text that holds it would have no ids."""
    single = vocabulary.offsets[:-1][np.diff(vocabulary.offsets) == 1]
    found = np.bincount(np.frombuffer(vocabulary.tokens, np.uint8)[single], minlength=256)
    missing = np.flatnonzero(found == 0)
    if missing.size:
        raise DamagedVocabularyError(f"no token for the byte 0x{missing[0]:02X} ({missing.size} bytes missing)")


def _in_order(
    tokens: bytes, offsets: npt.NDArray[np.int64], ranks: npt.NDArray[np.int32]
) -> tuple[bytes, npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return the tokens in ascending order of rank; files that are written by hand or merged may not be."""
    if (ranks[1:] >= ranks[:-1]).all():
        return tokens, offsets, ranks
    order = np.argsort(ranks, kind="stable")
    lengths = np.diff(offsets)[order]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    places = np.arange(ends[-1]) + np.repeat(offsets[:-1][order] - ends[:-1], lengths)
    return np.frombuffer(tokens, np.uint8)[places].tobytes(), ends, ranks[order]


def _line_fault(line: bytes) -> str:
    """Return what is wrong with a line that C refused."""
    parts: Sequence[bytes] = line.removesuffix(b"\r").split(b" ")
    shown = ascii(line[:60].decode("latin-1"))
    if not parts[0]:
        return f"its token is empty: {shown}"
    if not _BASE64.fullmatch(parts[0]):
        return f"its token is not base64: {shown}"
    if len(parts) == 1 or not parts[1]:
        return f"it has no rank: {shown}"
    if len(parts) == 2 and parts[1].isdigit() and int(parts[1][:11]) < 2**31 - 1:
        return f"its base64 has bits that belong to no byte: {shown}"
    return f"its rank is not a number from 0 to 2**31 - 2: {shown}"
