"""Training by merging pairs, in C: byte pair encoding, and WordPiece."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .compiled import ffi, lib
from .core import _SECRET as SEED
from .train_progress import progress
from .train_texts import Tally, check
from .vocabulary import BYTE_CHARS, Merges

UNLIMITED = 2**63 - 1


class Symbols(NamedTuple):
    """The tokens that are there before anything is merged, and what text they are."""

    names: list[str]  # by id
    bytes: npt.NDArray[np.int32] | None = None  # the ids of 256 bytes; None: symbols are characters
    codes: npt.NDArray[np.uint32] | None = None  # of characters, as fe_place_flags says
    ids: npt.NDArray[np.int32] | None = None  # of these


class Limits(NamedTuple):
    """Where merging ends."""

    vocab_size: int
    min_frequency: int = 0
    max_token_length: int | None = None
    by_likelihood: bool = False


class Merged(NamedTuple):
    """What came out: tokens by id, and the merges in the order in which they apply."""

    vocab: dict[str, int]
    merges: Merges


def byte_symbols(special: Sequence[str]) -> Symbols:
    """Return special tokens, then the 256 bytes by the code points of the characters that GPT-2's files have for them.

    A special token that is such a character is that byte, as it is to `tokenizers`.
    """
    names = dict.fromkeys([*special, *sorted(BYTE_CHARS)])
    ids = {name: id for id, name in enumerate(names)}
    return Symbols(list(names), np.array([ids[char] for char in BYTE_CHARS], np.int32))


def char_symbols(special: Sequence[str], counts: npt.NDArray[np.uint64], prefix: str, limit: int | None) -> Symbols:
    """Return special tokens, then characters by code point, and then those that go on with a word, by code point.

    Parameters
    ----------
    special : sequence of str
    counts : ndarray of uint64, shape (FE_PLACES, FE_PLACE)
        How often each character came at each place of its piece.
    prefix : str
        What the names of the latter begin with.
    limit : int, optional
        Only so many characters are kept, the most frequent ones, of equal ones those of lower code point. One that is a
        special token is kept, whatever its count.
    """
    total = counts.sum(0, dtype=np.uint64)
    found = np.flatnonzero(total)
    if limit is not None and found.size > limit:
        found = np.sort(found[np.lexsort((found, ~total[found]))[:limit]])
    names = dict.fromkeys([*special, *map(chr, found.tolist())])
    kept = [code for code in np.flatnonzero(total).tolist() if chr(code) in names]
    inner = counts[0] + counts[lib.FE_PLACE_LAST]  # not as the first of a piece
    names |= dict.fromkeys(prefix + chr(code) for code in kept if inner[code])
    ids = {name: id for id, name in enumerate(names)}
    codes, tokens = [], []
    for place in range(lib.FE_PLACES):
        before = "" if place & lib.FE_PLACE_FIRST else prefix
        for code in kept:
            if counts[place, code]:
                codes.append(place * lib.FE_PLACE + code)
                tokens.append(ids[before + chr(code)])
    return Symbols(list(names), None, np.array(codes, np.uint32), np.array(tokens, np.int32))


def merge_pairs(tally: Tally, symbols: Symbols, limits: Limits, prefix: str = "") -> Merged:
    """Merge pairs until there are enough tokens, or none is frequent enough.

    Raises
    ------
    ValueError
        There are more tokens from the start than there are to be.
    """
    if limits.vocab_size < len(symbols.names):
        raise ValueError(
            f"vocab_size is {limits.vocab_size}, but there are {len(symbols.names)} tokens before anything is merged: "
            "the special ones, and one for each byte or character"
        )
    merger = _new_merger(tally, symbols, limits, prefix)
    contents = ffi.new("fe_merger_contents *")
    with progress("merging") as show:
        status = lib.FE_FULL
        while status == lib.FE_FULL:  # C comes back regularly, so that an interrupt is heard
            status = lib.fe_merger_run(merger)
            lib.fe_merger_look(merger, contents)
            show(f"{contents.tokens:,} of {limits.vocab_size:,} tokens")
    check(status)
    return _merged(merger, contents)


def _new_merger(tally: Tally, symbols: Symbols, limits: Limits, prefix: str) -> Any:
    names = [name.encode() for name in symbols.names]
    offsets = np.array(list(accumulate(map(len, names), initial=0)), np.int64)
    alive = {
        "token_bytes": ffi.from_buffer("uint8_t[]", b"".join(names)),
        "token_offsets": ffi.from_buffer("int64_t[]", offsets),
        "prefix_bytes": ffi.from_buffer("uint8_t[]", prefix.encode()),
    }
    if symbols.bytes is not None:
        alive["byte_tokens"] = ffi.from_buffer("int32_t[]", symbols.bytes)
    if symbols.codes is not None and symbols.ids is not None:
        alive["char_codes"] = ffi.from_buffer("uint32_t[]", symbols.codes)
        alive["char_tokens"] = ffi.from_buffer("int32_t[]", symbols.ids)
    numbers = {
        "score": lib.FE_SCORE_LIKELIHOOD if limits.by_likelihood else lib.FE_SCORE_COUNT,
        "vocab": limits.vocab_size,
        "min_count": limits.min_frequency,
        "longest": UNLIMITED if limits.max_token_length is None else limits.max_token_length,
        "tokens": len(names),
        "chars": 0 if symbols.codes is None else symbols.codes.size,
        "prefix": len(prefix.encode()),
    }
    out = ffi.new("fe_merger **")
    check(lib.fe_merger_new(tally.handle, ffi.new("fe_merger_model *", numbers | alive), SEED, out))
    return ffi.gc(out[0], lib.fe_merger_free)


def _merged(merger: Any, contents: Any) -> Merged:
    data = np.empty(contents.bytes, np.uint8)
    offsets, merges = np.empty(contents.tokens + 1, np.int64), np.empty((contents.merges, 3), np.int32)
    kinds = (("uint8_t[]", data), ("int64_t[]", offsets), ("int32_t[]", merges))
    lib.fe_merger_read(merger, *(ffi.from_buffer(kind, array, require_writable=True) for kind, array in kinds))
    text, ends = data.tobytes(), offsets.tolist()
    vocab = {text[ends[id] : ends[id + 1]].decode(): id for id in range(contents.tokens)}
    # Of equal pairs the last counts, to `tokenizers` and to us.
    pairs = merges[:, 0].astype(np.int64) << 32 | merges[:, 1]
    last = np.sort(pairs.size - 1 - np.unique(pairs[::-1], return_index=True)[1])
    return Merged(vocab, Merges(*np.ascontiguousarray(merges[last].T)))
