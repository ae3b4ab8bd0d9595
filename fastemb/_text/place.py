"""Where ids stand by walking their texts again, in C: where ids alone do not tell (docs/design/tokenizer_places.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .. import _threads
from .core import Core, Ids, Offsets, ffi, lib

BYTES_PER_BYTE = 64  # a byte of text takes as long as so many bytes that are moved


def can_place(core: Core) -> bool:
    """Return whether C places the ids of such a vocabulary: words and their parts, and pieces that have scores."""
    flags = core.contents.flags
    return bool(flags & (lib.FE_WORD_PIECES | lib.FE_WORD_LEVEL | lib.FE_UNIGRAM)) and not flags & lib.FE_F32_SUMS


def place(
    core: Core,
    texts: Sequence[str],
    actions: bytes,
    ids: Ids,
    offsets: Offsets,
    spans: npt.NDArray[np.int32],
    words: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.bool_]:
    """Write where the ids of texts without surrogates stand, and return of each text whether that was done.

    `words` receives the number of the piece of its text that each id is of.

    Where it was not, the places of the text's ids say nothing: C does not come to these ids.
    """
    parts = [text.encode() for text in texts]
    ends = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=ends[1:])
    data, placed = b"".join(parts), np.zeros(len(parts), np.uint8)
    choice = core.choice(actions)
    utf8, flat = ffi.from_buffer("uint8_t[]", data), ffi.from_buffer("int32_t[]", ids)
    rows = ffi.from_buffer("int64_t[]", offsets), ffi.from_buffer("int64_t[]", ends)
    targets = ffi.from_buffer("int32_t[]", spans, require_writable=True), ffi.from_buffer("uint8_t[]", placed, True)
    numbers = ffi.NULL if words is None else ffi.from_buffer("int32_t[]", words, require_writable=True)

    def work(first: int, last: int) -> None:
        job = ffi.new("fe_place_job *")
        job.choice, job.texts, job.utf8, job.ids = choice, last - first, utf8, flat
        job.offsets, job.ends = rows[0] + first, rows[1] + first
        status = lib.fe_places(core.handle, job, targets[0], numbers, targets[1] + first)
        if status == lib.FE_NO_MEMORY:
            raise MemoryError("out of memory while finding where tokens stand")
        if status != lib.FE_OK:
            raise RuntimeError(f"the tokenizer failed (status {status})")

    threads = _threads.parts(BYTES_PER_BYTE * len(data), len(parts))
    cuts = np.searchsorted(ends, np.linspace(0, len(data), threads + 1)[1:-1]).tolist()
    _threads.run(work, [0, *cuts, len(parts)])
    return placed.view(np.bool_)


def place_one(
    core: Core, text: str, actions: bytes, ids: Sequence[int]
) -> tuple[list[tuple[int, int]], list[int]] | None:
    """Return where the ids of a text stand, and the numbers of their pieces, in the fewest steps; None: not by C."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None
    count = len(ids)
    job, placed = ffi.new("fe_place_job *"), ffi.new("uint8_t *")
    spans, words = ffi.new("int32_t[]", 2 * count), ffi.new("int32_t[]", count)
    choice, flat, utf8 = core.choice(actions), ffi.new("int32_t[]", ids), ffi.from_buffer("uint8_t[]", data)
    ends, rows = ffi.new("int64_t[2]", (0, len(data))), ffi.new("int64_t[2]", (0, count))
    job.choice, job.texts, job.utf8, job.ids, job.offsets, job.ends = choice, 1, utf8, flat, rows, ends
    status = lib.fe_places(core.handle, job, spans, words, placed)
    if status == lib.FE_NO_MEMORY:
        raise MemoryError("out of memory while finding where tokens stand")
    if status != lib.FE_OK or not placed[0]:
        return None
    flat_spans = ffi.unpack(spans, 2 * count)
    return list(zip(flat_spans[::2], flat_spans[1::2], strict=True)), ffi.unpack(words, count)
