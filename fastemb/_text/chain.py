"""Steps that cut text, one behind the other, as the arrays of fe_chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from .code_sets import LAST, CodeSet
from .compiled import ffi, lib
from .program import Alternative, Item, ItemKind
from .vocabulary import BYTE_CHARS

_MOST_CLASSES = 32  # of all steps of a chain: they are bits of a word
_PAGE = 128


class Keep(IntEnum):
    """What becomes of matches and of the gaps between them: fe_keep in fe.h."""

    ALL = 0
    MATCHES = 1
    GAPS = 2
    RUNS = 3
    BEHIND = 4
    BEFORE = 5


@dataclass(frozen=True)
class Step:
    """One step: a program, or a pattern that C knows by its number."""

    program: tuple[Alternative, ...] = ()
    keep: Keep = Keep.ALL
    pattern: int = lib.FE_PATTERN_PROGRAM
    of_bytes: bool = False  # it comes behind the step that writes bytes as characters: each byte is one


@dataclass(frozen=True, eq=False)
class Chain:
    """The arrays of fe_chain."""

    steps: npt.NDArray[np.int32]  # (n, 4)
    items: npt.NDArray[np.int32]  # (m, 4), of which the first column is of uint32
    kind_bits: npt.NDArray[np.uint32]
    pages: npt.NDArray[np.uint16]
    block_kinds: npt.NDArray[np.uint8]  # (blocks, 128)
    byte_kinds: npt.NDArray[np.uint8]

    def spec(self) -> tuple[Any, list[Any]]:
        """Return the fe_chain, and what must stay alive since it points into it."""
        alive = [
            ffi.from_buffer(f"{kind}[]", np.ascontiguousarray(array))
            for kind, array in (
                ("fe_step", self.steps),
                ("fe_item", self.items),
                ("uint32_t", self.kind_bits),
                ("uint16_t", self.pages),
                ("uint8_t", self.block_kinds),
                ("uint8_t", self.byte_kinds),
            )
        ]
        step, item, kind_bits, pages, block_kinds, byte_kinds = alive
        fields = {
            "steps": len(self.steps),
            "step": step,
            "items": len(self.items),
            "item": item,
            "kinds": self.kind_bits.size,
            "kind_bits": kind_bits,
            "pages": pages,
            "blocks": len(self.block_kinds),
            "block_kinds": block_kinds,
            "byte_kinds": byte_kinds,
        }
        return ffi.new("fe_chain *", fields), alive

    def cut(self, utf8: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
        """Return where the pieces of a text start and end, in bytes; None where C takes no such chain."""
        spec, alive = self.spec()
        starts, ends = np.empty(len(utf8), np.int64), np.empty(len(utf8), np.int64)
        targets = [ffi.from_buffer("int64_t[]", array, require_writable=True) for array in (starts, ends)]
        count = ffi.new("int64_t *")
        status = lib.fe_chain_cut(spec, utf8, len(utf8), *targets, starts.size, count)
        del alive, targets
        if status == lib.FE_BAD_MODEL:
            return None
        if status != lib.FE_OK:
            raise MemoryError if status == lib.FE_NO_MEMORY else RuntimeError(f"status {status}")
        return starts[: count[0]], ends[: count[0]]


def chain_of(steps: Sequence[Step]) -> Chain | None:
    """Return the chain of some steps; None where C does not take it: too much, or slow for some text."""
    classes: dict[CodeSet, int] = {}

    def row(item: Item) -> tuple[int, int, int, int]:
        if item.kind is ItemKind.END or item.kind >= ItemKind.CONTRACTION:
            return 0, int(item.kind), item.least, 1
        return 1 << classes.setdefault(item.codes, len(classes)), int(item.kind), item.least, item.most

    heads, rows = [], []
    for step in steps:
        items = [row(item) for alternative in step.program for item in (*alternative, Item(ItemKind.END))]
        heads.append((step.pattern, step.keep, step.of_bytes, len(items)))
        rows += items
    if len(classes) > _MOST_CLASSES:
        return None
    bits, pages, blocks, of_bytes = _kinds(list(classes))
    if bits.size > 256:
        return None
    array = np.array(rows, np.int64).reshape(-1, 4).astype(np.uint32).view(np.int32)
    chain = Chain(np.array(heads, np.int32), array, bits, pages, blocks, of_bytes)
    return None if chain.cut(b"") is None else chain


def _kinds(
    classes: list[CodeSet],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the sets of classes that characters are in, and for code points and bytes which of these is theirs."""
    of_code = np.zeros(LAST + 1, np.uint32)
    for number, codes in enumerate(classes):
        for first, last in codes:
            of_code[first : last + 1] |= np.uint32(1 << number)
    of_byte = of_code[[ord(char) for char in BYTE_CHARS]]
    starts = np.flatnonzero(np.diff(of_code, prepend=~of_code[:1]))  # few: what is sorted is short
    bits, inverse = np.unique(np.concatenate([[np.uint32(0)], of_byte, of_code[starts]]), return_inverse=True)
    kinds = inverse.astype(np.uint8)
    lengths = np.diff(starts, append=LAST + 1)
    paged = np.repeat(kinds[257:], lengths).reshape(-1, _PAGE)
    numbers: dict[bytes, int] = {}
    pages = np.array([numbers.setdefault(page.tobytes(), len(numbers)) for page in paged], np.uint16)
    blocks = np.frombuffer(b"".join(numbers), np.uint8).reshape(-1, _PAGE)
    return bits, pages, blocks, kinds[1:257]
