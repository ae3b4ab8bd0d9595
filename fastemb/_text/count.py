"""How many ids texts have, where possible without making them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .. import _threads
from . import blocks
from .blocks import LONG_TEXT, cut, in_utf8, rough_cut
from .core import Offsets, Packed, Scattered, SpecialTokenFound, fail, lib
from .encode import WORK_PER_CHAR, NotPlainError, Options, encode_texts, lengths_of, refusal, sample_of
from .join import join
from .texts import as_str, check_sizes
from .workspace import Workspace


def count_given(options: Options, texts: tuple[Any, ...]) -> Offsets:
    """Return the number of ids that `encode_given` would give for each text."""
    try:
        return count_texts(options._replace(known=False), texts, {})
    except (NotPlainError, ValueError):  # of several faults that of a type is said
        return count_texts(options, *as_str(texts, options.core))


def count_texts(options: Options, texts: tuple[str, ...], tails: dict[int, bytes]) -> Offsets:
    """Return the number of ids that `encode_texts` would give for each text."""
    if tails or options.splitter is not None:
        return np.diff(encode_texts(options, texts, tails)[1])
    try:
        return _count_blocks(options, texts)
    except SpecialTokenFound as found:
        raise refusal(options.core, texts, found) from None


def _count_blocks(options: Options, texts: tuple[str, ...]) -> Offsets:
    """Return the number of ids of texts that C cuts."""
    N = len(texts)
    sample, stride = sample_of(options, texts)
    ends = np.cumsum(sample) * stride
    chars = int(ends[-1]) if N else 0
    options = options._replace(short=chars < LONG_TEXT * N)
    size = min(blocks.BLOCK_CHARS, max(chars // (4 * _threads.get_num_threads()), blocks.BLOCK_CHARS // 8))
    cuts = cut(sample, size) if stride == 1 else rough_cut(ends, N, size)
    counts, pieces = np.zeros(N, np.int64), len(cuts) - 1
    threads = _threads.parts(WORK_PER_CHAR * chars, pieces)

    def work(start: int, stop: int) -> None:
        with options.core.workspace() as workspace:
            for first, last in pairwise(cuts[start : stop + 1]):
                _count_range(options, workspace, texts, counts, first, last)

    _threads.run(work, _threads.split(pieces, threads) if pieces else [0])
    return counts


def _count_range(
    options: Options, workspace: Workspace, texts: tuple[str, ...], counts: Offsets, start: int, stop: int
) -> None:
    """Count the ids of the texts from `start` to `stop`: short ones by one pass over the objects, as far as it goes."""
    while options.short and start < stop:
        joined, _ = join(workspace, texts, start, stop)
        end = start + joined.chars.size
        if end == start:
            break
        _count_block(options, workspace, joined, counts[start:end], start)
        start = end
    if start == stop:
        return
    several, lengths = len(texts) > 1, lengths_of(options, texts[start:stop])
    check_sizes(lengths, int(lengths.sum()), "characters", start, several)
    for first, last in pairwise(cut(lengths, blocks.BLOCK_CHARS)):
        left = in_utf8(texts[start + first : start + last], lengths[first:last])
        if isinstance(left, Scattered):
            check_sizes(left.sizes, int(left.sizes.sum()), "bytes", start + first, several)
        _count_block(options, workspace, left, counts[start + first : start + last], start + first)


def _count_block(options: Options, workspace: Workspace, left: Packed | Scattered, counts: Offsets, first: int) -> None:
    core, limit, pattern = options.core, options.limit, options.pattern
    done, status = core.encode(workspace, left, options.actions, counts, limit=limit, pattern=pattern)
    if status != lib.FE_OK:
        fail(status, done, left, first)
    counts[1:] -= counts[:-1].copy()
