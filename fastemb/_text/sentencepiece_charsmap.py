"""SentencePiece's charsmaps: which bytes of a text become which others, by the longest rule that they begin with.

A charsmap is the size of a double array, the double array, and the texts that rules give, each ended by a NUL. Of its
units, 32 bits each, the first is the root. The unit that a byte leads to is at the place of the unit before it,
moved by that unit's offset, and xor the byte; it is there if its label is the byte. Where a rule ends, the unit at the
moved place itself holds where the text of the rule begins. C walks the same arrays (`normal_pieces.c`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .vocabulary import DamagedVocabularyError

Units = npt.NDArray[np.uint32]

_HAS_LEAF, _LEAF, _WIDE = 1 << 8, 1 << 31, 1 << 9
_LABEL = _LEAF | 0xFF
_MOST_TRIES = 16
_MOST_NODES = 1 << 21  # of rules that are written down, where published tables have 300,000
MOST_KEY_BYTES = 4096  # so a walk ends in an array whose units lead in circles, too


def offset_of(unit: int) -> int:
    """Return by how much a unit moves to those behind it."""
    return (unit >> 10) << ((unit & _WIDE) >> 6)


class DoubleArray:
    """A double array, and the values of its keys."""

    def __init__(self, units: Units) -> None:
        self.units = units

    @cached_property
    def _units(self) -> list[int]:
        units: list[int] = self.units.tolist()
        return units

    def longest(self, text: bytes, at: int, end: int) -> tuple[int, int]:
        """Return the length of the longest key with which `text[at:end]` begins, and its value; 0 where none does.

        A unit that leads out of the array, as only damaged ones do, leads nowhere. No key has a NUL, which would lead
        from a root to itself, or is longer than `MOST_KEY_BYTES`.
        """
        units, found = self._units, (0, 0)
        place = offset_of(units[0]) if units else 0
        for here in range(at, min(end, at + MOST_KEY_BYTES)):
            place ^= text[here]
            if not text[here] or place >= len(units) or units[place] & _LABEL != text[here]:
                break
            unit = units[place]
            place ^= offset_of(unit)
            if unit & _HAS_LEAF and place < len(units):
                found = here + 1 - at, units[place] & ~_LEAF
        return found

    def goes_on(self, first: int, following: Iterable[int]) -> bool:
        """Return whether a key begins with a byte and one of some others behind it."""
        units = self._units
        place = offset_of(units[0]) ^ first if units else 0
        if not 0 < place < len(units) or units[place] & _LABEL != first:
            return False
        behind = place ^ offset_of(units[place])
        return any(behind ^ byte < len(units) and units[behind ^ byte] & _LABEL == byte for byte in following)


class Charsmap:
    """The rules of a charsmap."""

    def __init__(self, data: bytes) -> None:
        """Take a charsmap apart; one of no bytes has no rules.

        Raises
        ------
        DamagedVocabularyError
            The sizes are not those of a charsmap.
        """
        size = int.from_bytes(data[:4], "little") if len(data) >= 4 else 0
        if data and (len(data) <= 4 or size % 4 or size > len(data) - 4):
            raise DamagedVocabularyError(
                f"normalizer_spec: precompiled_charsmap has {len(data)} bytes, of which the first four "
                f"say that {size} are its double array"
            )
        self.texts = data[4 + size :]
        if self.texts and self.texts[-1]:
            raise DamagedVocabularyError("normalizer_spec: the last text of precompiled_charsmap has no end")
        try:
            self.texts.decode()
        except UnicodeDecodeError as error:
            raise DamagedVocabularyError(
                f"normalizer_spec: the texts of precompiled_charsmap are no UTF-8 (byte {error.start} of them)"
            ) from None
        self.array = DoubleArray(np.frombuffer(data, "<u4", size // 4, 4 if size else 0))

    def longest(self, text: bytes, at: int, end: int) -> tuple[int, bytes]:
        """Return how many bytes the longest rule takes at `at`, and what they become; 0 bytes where there is none.

        One whose text begins inside a character, as only in a damaged charsmap, is none.
        """
        size, value = self.array.longest(text, at, end)
        if not size or value >= len(self.texts) or self.texts[value] & 0xC0 == 0x80:
            return 0, b""
        return size, self.texts[value : self.texts.index(b"\0", value)]

    @cached_property
    def _following(self) -> dict[int, list[tuple[int, int]]]:
        """By the place to which a unit leads, the bytes that go on there, ascending, and the places these lead to."""
        units = self.array.units
        places = np.flatnonzero((units & _LEAF == 0) & (units & _LABEL > 0))
        labels = units[places] & 0xFF
        found: dict[int, list[tuple[int, int]]] = {}
        for place, label in sorted(zip(places.tolist(), labels.tolist(), strict=True), key=lambda item: item[1]):
            found.setdefault(place ^ label, []).append((label, place ^ offset_of(int(units[place]))))
        return found

    def rules(self, most: int = 0xFF) -> Iterator[tuple[bytes, bytes]]:
        """Yield what is replaced, of bytes up to `most`, and by what, in the order of bytes.

        Raises
        ------
        DamagedVocabularyError
            There are too many: units lead in circles.
        """
        todo, seen = [(self._root, b"")], 0
        while todo:
            base, key = todo.pop()
            seen += 1
            if seen > _MOST_NODES or len(key) > MOST_KEY_BYTES:
                raise DamagedVocabularyError("normalizer_spec: precompiled_charsmap has rules without an end")
            size, text = self.longest(key, 0, len(key))
            if key and size == len(key):
                yield key, text
            following = reversed(self._following.get(base, []))
            todo += [(place, key + bytes([label])) for label, place in following if label <= most]

    def has(self, byte: int) -> bool:
        """Return whether a rule replaces something with this byte in it."""
        todo, seen = [self._root], set[int]()
        while todo:
            base = todo.pop()
            for label, place in self._following.get(base, []):
                if label == byte:
                    return True
                if place not in seen:
                    seen.add(place)
                    todo.append(place)
        return False

    @property
    def _root(self) -> int:
        return offset_of(int(self.array.units[0])) if self.array.units.size else 0


def write_charsmap(rules: Mapping[bytes, bytes]) -> bytes:
    """Return the charsmap of some rules, none of which is empty or holds a NUL."""
    texts, starts = bytearray(), dict[bytes, int]()
    for text in sorted({*rules.values()}):
        starts[text] = len(texts)
        texts += text + b"\0"
    units = double_array(rules, {key: starts[text] for key, text in rules.items()}).astype("<u4").tobytes()
    return len(units).to_bytes(4, "little") + units + bytes(texts)


def double_array(keys: Iterable[bytes], values: Mapping[bytes, int] | None = None) -> Units:
    """Return a double array of some keys, none of which is empty or holds a NUL, with their values, else their places.

    Places are looked for first where the last ones were found, so that making it takes time near that of its size.
    """
    ordered = sorted(set(keys))
    # A unit that is not used has the label of no byte; the root has none.
    units, used, first = [0] + [_LEAF] * 255, bytearray(256), 1
    used[0] = 1
    bases = set[int]()  # of two nodes with one base each would lead to the children of the other
    # Nodes still to be written: where each stands, its depth, and which keys, from one to another, go through it.
    todo = [(0, 0, 0, len(ordered))] if ordered else []
    while todo:
        node, depth, start, stop = todo.pop()
        is_key = len(ordered[start]) == depth
        inner = start + is_key
        starts = [i for i in range(inner, stop) if i == inner or ordered[i][depth] != ordered[i - 1][depth]]
        labels = [ordered[i][depth] for i in starts]
        wanted = ([0] if is_key else []) + labels
        while first < len(used) and used[first]:
            first += 1
        base = near = first ^ wanted[0]
        while base in bases or not _is_free(used, base, wanted, node):
            base += 1
        bases.add(base)
        if base - near > _MOST_TRIES:  # else a place that fits nothing would be tried for each node
            first += 1
        if base | 0xFF >= len(used):
            more = (base | 0xFF) + 257 - len(used)
            units += [_LEAF] * more
            used += bytes(more)
        move = base ^ node
        units[node] |= move << 10 if move < 1 << 21 else (move >> 8) << 10 | _WIDE
        for label in wanted:
            used[base ^ label] = 1
        if is_key:
            units[node] |= _HAS_LEAF
            units[base] = _LEAF | (start if values is None else values[ordered[start]])
        for label, (low, high) in zip(labels, pairwise([*starts, stop]), strict=True):
            units[base ^ label] = label
            todo.append((base ^ label, depth + 1, low, high))
    return np.array(units, np.uint32)


def _is_free(used: bytearray, base: int, labels: list[int], node: int) -> bool:
    """Return whether children with these labels can stand at `base`, which a unit at `node` can move to."""
    move = base ^ node
    if move >= 1 << 21 and move & 0xFF:
        return False
    return all(base ^ label >= len(used) or not used[base ^ label] for label in labels)
