"""SentencePiece's charsmaps, the normalizer ``Precompiled``: which strings of a text are replaced, and by what.

The format is a number, so many bytes of a double array (Darts: a trie of strings in units of 32 bits), and
replacements, each closed by NUL. A unit has the byte that leads to it, where its children are, and whether a string
ends there; then the child by NUL has the place of the replacement.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .component_reader import damaged, shown
from .road_text import Stretch
from .unicode_graphemes import RUNS

LEAF = 1 << 31
SMALL = 6  # bytes: clusters below this are looked up as a whole first

# Kinds of code points, as csrc/make_unicode_graphemes.py packs them.
_OTHER, _CR, _LF, _CONTROL, _EXTEND, _ZWJ, _REGIONAL, _PREPEND, _SPACING, _L, _V, _T, _LV, _LVT = range(14)
_PICTOGRAPHIC, _CONSONANT, _LINKER, _CONJUNCT_EXTEND = 16, 32, 64, 128


@dataclass(frozen=True)
class Charsmap:
    """A charsmap that was checked."""

    units: npt.NDArray[np.uint32]
    replacements: bytes

    @cached_property
    def _list(self) -> list[int]:
        units: list[int] = self.units.tolist()
        return units

    def value(self, chunk: bytes) -> str | None:
        """Return what stands for a chunk: the replacement of the shortest string that it begins with, if there is one.

        So the engine has it; what is behind that string in the chunk is lost.
        """
        units = self._list
        node = _offset(units[0])
        for byte in chunk:
            node ^= byte
            if byte == 0 or node >= len(units) or units[node] & (LEAF | 0xFF) != byte:
                return None
            unit = units[node]
            node ^= _offset(unit)
            if unit >> 8 & 1:
                start = units[node] & (LEAF - 1)
                end = self.replacements.find(b"\0", start)
                return self.replacements[start : end if end >= 0 else None].decode()
        return None

    def ascii_map(self) -> npt.NDArray[np.uint32]:
        """Return 128 bits: which ASCII characters begin a string that is only this one, or has ASCII behind it."""
        codes = np.arange(128, dtype=np.int64)
        first = _children(self.units, np.full(1, _offset(int(self.units[0])), np.int64), codes)[0]
        units = self.units[np.maximum(first, 0)].astype(np.int64)
        behind = _children(self.units, np.maximum(first, 0) ^ _offsets(units), codes)
        begins = (first >= 0) & ((units >> 8 & 1 == 1) | (behind[:, 1:] >= 0).any(axis=1))
        begins[0] = False
        return np.packbits(begins, bitorder="little").view(np.uint32)


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 1 << 9) >> 6)


def _offsets(units: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return units >> 10 << ((units & 1 << 9) >> 6)


def _children(
    units: npt.NDArray[np.uint32], bases: npt.NDArray[np.int64], codes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the unit to which each byte leads from each place, -1 where none does."""
    places = bases[:, None] ^ codes
    inside = places < units.size
    labels = units[np.where(inside, places, 0)] & np.uint32(LEAF | 0xFF)
    return np.where(inside & (labels == codes), places, -1)


def read_charsmap(text: str) -> Charsmap:
    """Return the charsmap that a file has in base64.

    Raises
    ------
    DamagedVocabularyError
        It is no base64, too short for what it says, or leads out of itself or into the middle of a character.
    """
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise damaged(f"normalizer Precompiled: precompiled_charsmap is {shown(text)}, no base64") from None
    return charsmap_of(data)


def charsmap_of(data: bytes) -> Charsmap:
    """Return the charsmap of these bytes, as a SentencePiece model has them.

    Raises
    ------
    DamagedVocabularyError
        As `read_charsmap`.
    """
    size = struct.unpack_from("<I", data)[0] if len(data) >= 4 else -1
    if size < 4 or size % 4 or size > len(data) - 4:
        raise damaged(f"normalizer Precompiled: a charsmap of {len(data)} bytes cannot have a double array of {size}")
    units, rest = np.frombuffer(data, "<u4", size // 4, 4).astype(np.uint32), data[4 + size :]
    try:
        rest.decode()
    except UnicodeDecodeError as error:
        raise damaged(f"normalizer Precompiled: the replacements of the charsmap are not UTF-8: {error}") from None
    nodes = np.flatnonzero((units & np.uint32(LEAF) == 0) & (units >> np.uint32(8) & np.uint32(1) == 1))
    leaves = nodes ^ _offsets(units[nodes].astype(np.int64))
    inside = leaves < units.size
    starts = np.where(inside, units[np.where(inside, leaves, 0)] & np.uint32(LEAF - 1), len(rest)).astype(np.int64)
    starts_a_char = np.append((np.frombuffer(rest, np.uint8) & 0xC0) != 0x80, False)
    wrong = np.flatnonzero(~starts_a_char[np.minimum(starts, len(rest))])
    if wrong.size:
        raise damaged(f"normalizer Precompiled: unit {nodes[wrong[0]]} of the charsmap leads to no replacement")
    return Charsmap(units, rest)


# ---------------------------------------------------------------- grapheme clusters


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Return the kind of each code point."""
    runs = [run.split(":") for run in RUNS.split()]
    starts = [int(start, 16) for start, _ in runs]
    return np.repeat(np.array([int(kind) for _, kind in runs], np.uint8), np.diff([*starts, 0x110000]))


def clusters(text: str) -> list[int]:
    """Return where the extended grapheme clusters of a text begin, and its end (Unicode 17.0, UAX 29)."""
    if not text:
        return [0]
    kinds = _kinds()[np.frombuffer(text.encode("utf-32-le"), np.uint32)].tolist()
    cuts, regional, picture, conjunct = [0], False, False, ""
    for at, (before, kind) in enumerate(pairwise([_CONTROL, *kinds])):
        cls = kind & 15
        if at and _breaks(before & 15, kind, regional, picture, conjunct):
            cuts.append(at)
        # Whether a flag is half; whether a pictograph came before, what extends it, and perhaps a joiner; and whether a
        # consonant did, or one with a linker.
        regional = cls == _REGIONAL and not (regional and before & 15 == _REGIONAL)
        picture = bool(kind & _PICTOGRAPHIC) or (picture and cls in (_EXTEND, _ZWJ) and before & 15 != _ZWJ)
        if kind & _CONSONANT:
            conjunct = "consonant"
        elif conjunct and kind & _LINKER:
            conjunct = "linked"
        elif not kind & _CONJUNCT_EXTEND:
            conjunct = ""
    return [*cuts, len(text)]


def _breaks(before: int, kind: int, regional: bool, picture: bool, conjunct: str) -> bool:
    """Return whether a cluster begins with a character of a kind, behind one of class `before`."""
    cls = kind & 15
    if before == _CR and cls == _LF:
        return False
    if before in (_CR, _LF, _CONTROL) or cls in (_CR, _LF, _CONTROL):
        return True
    joins = (
        cls in (_EXTEND, _ZWJ, _SPACING)
        or before == _PREPEND
        or (before == _L and cls in (_L, _V, _LV, _LVT))
        or (before in (_LV, _V) and cls in (_V, _T))
        or (before in (_LVT, _T) and cls == _T)
        or (before == _ZWJ and bool(kind & _PICTOGRAPHIC) and picture)
        or (bool(kind & _CONSONANT) and conjunct == "linked")
        or (cls == _REGIONAL and regional)
    )
    return not joins


# ---------------------------------------------------------------- the normalizer


def replaced(text: Stretch, charsmap: Charsmap) -> Stretch:
    """Return the text with what a charsmap replaces: small clusters as a whole, else each character by itself."""
    made: list[tuple[str, int]] = []  # characters, and how many more or fewer of the old text each takes, as below
    changed = False
    for start, end in pairwise(clusters(text.text)):
        cluster = text.text[start:end]
        whole = charsmap.value(cluster.encode()) if len(cluster.encode()) < SMALL else None
        if whole is not None:
            changed = True
            _put(made, len(cluster), whole)
            continue
        for char in cluster:
            value = charsmap.value(char.encode())
            changed |= value is not None
            _put(made, 1, char if value is None else value)
    return _owned(text, made) if changed else text


def _put(made: list[tuple[str, int]], old: int, new: str) -> None:
    """Put a text in the place of so many characters.

    Each character takes the next one of the old text; of more characters the last ones take none (1), of fewer the last
    one takes the rest (minus how many), even if it was put there before; where there is none yet, nobody does.
    """
    more = len(new) - old
    made += [(char, int(place >= old)) for place, char in enumerate(new)]
    if more < 0 and made:
        made[-1] = made[-1][0], made[-1][1] + more


def _owned(text: Stretch, made: list[tuple[str, int]]) -> Stretch:
    owners, at = list[int](), 0
    for _, more in made:
        if more > 0:
            owners.append(at - 1)
        else:
            owners.append(at)
            at += 1 - more
    return text.owned("".join([char for char, _ in made]), owners)
