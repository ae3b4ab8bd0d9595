"""Charsmaps as SentencePiece writes them, made here of any strings: a trie in a double array, and replacements."""

import base64
import struct

LEAF = 1 << 31


def charsmap(pairs):
    """The bytes of a charsmap that replaces each key of `pairs` (text or bytes) by its value."""
    blob, values = bytearray(), {}
    for value in dict.fromkeys(pairs.values()):
        values[value] = len(blob)
        blob += value.encode() + b"\0"
    root = {}
    for key, value in pairs.items():
        node = root
        for byte in key.encode() if isinstance(key, str) else key:
            node = node.setdefault(byte, {})
        node[0] = values[value]
    units, taken, bases = [0] * 256, {0}, set()  # two nodes with one base would have each other's children
    first_free = 1
    todo = [(root, 0)]
    while todo:
        node, at = todo.pop()
        if not node:
            continue
        byte = next(iter(node))
        while first_free in taken:
            first_free += 1
        place = first_free
        while (
            place ^ byte in bases
            or any(base_taken(place ^ byte ^ other, taken) for other in node)
            or not reaches(at ^ place ^ byte)
        ):
            place += 1
        base = place ^ byte
        bases.add(base)
        while base | 255 >= len(units):
            units += [0] * 256
        units[at] |= at_offset(at ^ base) | (256 if 0 in node else 0)
        for other, child in node.items():
            taken.add(base ^ other)
            if other == 0:
                units[base] = child | LEAF
            else:
                units[base ^ other] = other
                todo.append((child, base ^ other))
    for at, unit in enumerate(units):
        if at not in taken:
            units[at] = ~at & 255 if unit == 0 else unit
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + bytes(blob)


def base_taken(place, taken):
    return place in taken


def reaches(offset):
    """Whether a unit can lead so far."""
    return offset < 1 << 21 or (offset & 255 == 0 and offset < 1 << 29)


def at_offset(offset):
    return offset << 10 if offset < 1 << 21 else offset >> 8 << 10 | 1 << 9


def precompiled(pairs):
    """The component of a tokenizer.json."""
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap(pairs)).decode()}
