"""Normalizers as the C core takes them: a chain of steps in bytes, which is a section of the tokenizer's image."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .charsmap import Charsmap, read_charsmap
from .compiled import ffi, lib
from .components import (
    NFC,
    NFD,
    NFKC,
    NFKD,
    BertNormalizer,
    ByteLevelNormalizer,
    Lowercase,
    Nmt,
    Precompiled,
    Prepend,
    Replace,
    Strip,
    StripAccents,
)
from .vocabulary import AddedToken

_HEAD = struct.Struct("=BBHII")  # fe_model.normal: kind, flags, least, and the sizes of two strings
_PLAIN = {
    NFC: lib.FE_NORM_NFC,
    NFD: lib.FE_NORM_NFD,
    NFKC: lib.FE_NORM_NFKC,
    NFKD: lib.FE_NORM_NFKD,
    Lowercase: lib.FE_NORM_LOWERCASE,
    StripAccents: lib.FE_NORM_STRIP_ACCENTS,
    Nmt: lib.FE_NORM_NMT,
    ByteLevelNormalizer: lib.FE_NORM_BYTE_LEVEL,
}
# Steps that change nothing between a letter of ASCII and a blank, and leave both of them.
_WITHIN_WORDS = {
    *(lib.FE_NORM_NFC, lib.FE_NORM_NFD, lib.FE_NORM_NFKC, lib.FE_NORM_NFKD),
    *(lib.FE_NORM_LOWERCASE, lib.FE_NORM_STRIP_ACCENTS),
}


class Normal(NamedTuple):
    """A chain of steps, as `fe_model.normal` holds it."""

    steps: bytes

    def __call__(self, text: str) -> str:
        """Return what a text becomes."""
        data, length = text.encode(), ffi.new("int64_t *")
        room = len(data) + 64
        while True:
            out = ffi.new("uint8_t[]", room)
            status = lib.fe_normalize(self.steps, len(self.steps), data, len(data), out, room, length)
            if status == lib.FE_NO_MEMORY:
                raise MemoryError("out of memory while normalizing")
            if status != lib.FE_OK:
                raise ValueError("a text of 2**31 - 64 bytes or more, as normalized, cannot be tokenized in one piece")
            if length[0] <= room:
                return bytes(ffi.buffer(out, length[0])).decode()
            room = length[0]


def normal_in_c(normalizers: tuple[Any, ...]) -> Normal | None:
    """Return normalizers as C takes them; None where one of them cannot be said to it exactly."""
    parts: list[bytes] = []
    for step in normalizers:
        found = _step(step)
        if found is None:
            return None
        parts += found
    steps = b"".join(parts)
    # C has bounds of its own: how long a string it looks for, and how much longer it makes a text.
    status = lib.fe_normalize(steps, len(steps), b"", 0, ffi.NULL, 0, ffi.new("int64_t *"))
    return Normal(steps) if status == lib.FE_OK else None


def finds_added(normal: Normal, added: Sequence[AddedToken]) -> bool:
    """Return whether C finds these added tokens: late ones are looked for as they are normalized, if any of it is left.

    Of two that are then the same the last one counts; in the format's own engine one of them by chance.
    """
    return all(not token.late or normal(token.content) for token in added)


def keeps_words(steps: bytes) -> bool:
    """Return whether a text may be cut between a letter of ASCII and a blank before it is normalized."""
    return all(kind in _WITHIN_WORDS for kind in _kinds(steps))


def _kinds(steps: bytes) -> Iterator[int]:
    at = 0
    while at < len(steps):
        kind, _, _, from_size, to_size = _HEAD.unpack_from(steps, at)
        yield kind
        at += _HEAD.size + from_size + to_size


def _packed(kind: int, flags: int = 0, least: int = 0, old: str = "", new: str = "") -> bytes:
    from_bytes, to_bytes = old.encode(), new.encode()
    return _HEAD.pack(kind, flags, least, len(from_bytes), len(to_bytes)) + from_bytes + to_bytes


def _step(step: Any) -> list[bytes] | None:
    """Return one normalizer as steps of C."""
    if type(step) in _PLAIN:
        return [_packed(_PLAIN[type(step)])]
    if isinstance(step, BertNormalizer):
        return _bert(step)
    if isinstance(step, Strip):
        flags = step.strip_left * lib.FE_STRIP_LEFT | step.strip_right * lib.FE_STRIP_RIGHT
        return [_packed(lib.FE_NORM_STRIP, flags)]
    if isinstance(step, Prepend):
        return [_packed(lib.FE_NORM_PREPEND, new=step.prepend)] if step.prepend else []
    if isinstance(step, Precompiled):
        return [charsmap_step(read_charsmap(step.precompiled_charsmap))]
    return _replace(step) if isinstance(step, Replace) else None


def charsmap_step(charsmap: Charsmap, longest: bool = False) -> bytes:
    """Return a charsmap as a step of C; `longest`: as SentencePiece reads it, and not by grapheme clusters."""
    table = charsmap.ascii_map().tobytes() + charsmap.units.tobytes()
    flags = lib.FE_CHARSMAP_LONGEST if longest else 0
    head = _HEAD.pack(lib.FE_NORM_CHARSMAP, flags, 0, len(table), len(charsmap.replacements))
    return head + table + charsmap.replacements


def _bert(step: BertNormalizer) -> list[bytes]:
    strips = step.lowercase if step.strip_accents is None else step.strip_accents
    kinds = [
        *([lib.FE_NORM_BERT_CLEAN] if step.clean_text else []),
        *([lib.FE_NORM_BERT_CJK] if step.handle_chinese_chars else []),
        *([lib.FE_NORM_NFD, lib.FE_NORM_BERT_MARKS] if strips else []),
        *([lib.FE_NORM_LOWERCASE] if step.lowercase else []),
    ]
    return [_packed(kind) for kind in kinds]


def _replace(step: Replace) -> list[bytes] | None:
    """Return a Replace of a text, or of runs of white space or of one character, of one or of two and more."""
    if step.literal:
        return [_packed(lib.FE_NORM_REPLACE, old=step.pattern, new=step.content)] if step.pattern else None
    if step.pattern == r"\s+":
        return [_packed(lib.FE_NORM_RUNS, lib.FE_RUNS_WHITE, 1, new=step.content)]
    if step.pattern == r"\s{2,}|[\n\r\t]" and step.content == " ":  # behind the runs these stand alone
        return [
            _packed(lib.FE_NORM_RUNS, lib.FE_RUNS_WHITE, 2, new=" "),
            *(_packed(lib.FE_NORM_REPLACE, old=char, new=" ") for char in "\n\r\t"),
        ]
    char, rest = step.pattern[:1], step.pattern[1:]
    is_plain = char == " " or (not char.isascii() and char.isprintable())  # no character that a pattern reads otherwise
    least = {"+": 1, "{2,}": 2}.get(rest)
    if not is_plain or least is None:
        return None
    return [_packed(lib.FE_NORM_RUNS, 0, least, char, step.content)]
