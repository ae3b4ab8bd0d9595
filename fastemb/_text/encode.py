"""Texts → blocks → the C core, on as many threads as there are; ids in one array, in the order of the texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .. import _threads
from .._memory import empty
from . import blocks
from .blocks import LONG_TEXT, cut, grown, in_utf8, rough_cut, sizes_of
from .core import (
    NO_LIMIT,
    Core,
    Ids,
    Offsets,
    Packed,
    Scattered,
    SpecialTokenFound,
    fail,
    lib,
)
from .join import join
from .regex_split import Splitter
from .road import Road
from .rows import cut_rows
from .tails import with_tails
from .texts import as_str, check_sizes, repaired
from .workspace import Workspace

SAMPLE = 1024  # texts whose lengths tell about those of a large batch
WORK_PER_CHAR = 32  # a character counts as so many bytes that are moved: threads pay from half a million on
SLACK = 64  # ids beside those of a text: C writes some at a time
CONTEXT = 20  # characters of text shown on each side of a refused token


class Options(NamedTuple):
    """How texts are encoded, the same for all texts of a call."""

    core: Core
    actions: bytes  # one fe_token_action for each added token
    splitter: Splitter | Road | None = None  # cuts texts by a pattern that C does not know, or does all in Python
    limit: int = NO_LIMIT  # ids of a text
    pattern: int = lib.FE_PATTERN_OWN
    known: bool = True  # the texts are plain str; else NotPlainError says that some text is not
    short: bool = False  # the texts are short on average: they are copied, and not read where they lie


class NotPlainError(Exception):
    """Some text is bytes, of a subclass of ``str``, or no text at all."""


# ---------------------------------------------------------------- texts of a call


def encode_texts(options: Options, texts: tuple[str, ...], tails: dict[int, bytes]) -> tuple[Ids, Offsets]:
    """Return the ids of all texts, row after row, and the offsets of the rows (one more than texts).

    `texts` and `tails` are as `as_str` returns them. A token that was to be refused is a ValueError that says where it
    stands.
    """
    # A tail takes back some ids of the text before it, so rows with tails are cut when these are in place.
    uncut = options._replace(limit=NO_LIMIT) if tails else options
    try:
        if options.splitter is None:
            ids, offsets = _encode_blocks(uncut, texts)
        elif isinstance(options.splitter, Road):
            lengths = lengths_of(options, texts)
            check_sizes(lengths, int(lengths.sum()), "characters", 0, len(texts) > 1)
            return options.splitter.rows(texts, options.actions, options.limit)
        else:
            ids, offsets = _encode_pieces(uncut, options.splitter, texts)
    except SpecialTokenFound as found:
        raise refusal(options.core, texts, found) from None
    if not tails:
        return ids, offsets
    splitter = options.splitter
    assert not isinstance(splitter, Road)  # which has no tails: `as_str` makes them U+FFFD
    return cut_rows(*with_tails(options.core, splitter, ids, offsets, tails), options.limit)


def encode_given(options: Options, texts: tuple[Any, ...]) -> tuple[Ids, Offsets]:
    """Return as `encode_texts` does for what callers give: str or bytes. TypeError where a text is neither.

    To look at all types first would touch every object once more; nearly always all are plain str.
    """
    try:
        return encode_texts(options._replace(known=False), texts, {})
    except (NotPlainError, ValueError):  # of several faults that of a type is said
        return encode_texts(options, *as_str(texts, options.core))


def encode_packed(options: Options, texts: Packed) -> tuple[Ids, Offsets]:
    """Return the ids of texts that C cuts, and the offsets of their rows, by this thread; sizes are in bytes."""
    size, offsets = len(texts.utf8), np.zeros(texts.chars.size + 1, np.int64)
    check_sizes(texts.chars, size, "bytes", 0, texts.chars.size > 1)
    with options.core.workspace() as workspace:
        ids = np.empty(_guess(size, options, texts.chars.size), np.int32)
        ids, used = _encode_left(options, workspace, texts, offsets[1:], 0, ids, 0)
    return ids[:used], offsets


def refusal(core: Core, texts: Sequence[str], found: SpecialTokenFound) -> ValueError:
    """Return the error of a token that was to be refused: which token it is, and where it stands."""
    token, at = core.metadata.added[found.token].content, found.place
    near = repaired(texts[found.text])[max(at - CONTEXT, 0) : at + len(token) + CONTEXT]
    where = f"text {found.text}, " if len(texts) > 1 else ""
    return ValueError(
        f"special token {token!r} stands in the text ({where}character {at}: {near!r}); pass special='none' "
        f"to read it as ordinary text, or special='all' to make it a token"
    )


# ---------------------------------------------------------------- blocks and threads


def _encode_blocks(options: Options, texts: tuple[str, ...]) -> tuple[Ids, Offsets]:
    """Return the ids of texts that C cuts, and the offsets of their rows."""
    # To look at all lengths, and types, takes a tenth of the time of short texts and holds the GIL: of a large batch
    # threads do it block by block, while others are in C. Until then some texts tell how many characters there may be.
    N = len(texts)
    sample, stride = sample_of(options, texts)
    if N == 1 and sample[0] >= LONG_TEXT:
        return _encode_long(options, texts, sample)
    lengths = sample if stride == 1 else np.full(N, -1)
    ends = np.cumsum(sample) * stride
    chars = int(ends[-1]) if N else 0
    offsets = np.zeros(N + 1, np.int64)
    options = options._replace(short=chars < LONG_TEXT * N)
    threads = _threads.parts(WORK_PER_CHAR * chars, N)
    if threads > 1:
        return _encode_shared(options, texts, ends, lengths, offsets, threads), offsets
    spare = _spare(texts, sample, stride) if chars >= blocks.BLOCK_CHARS else 0
    ids, used = empty((_guess(chars, options, N) + spare,), np.int32), 0
    with options.core.workspace() as workspace:
        for first in range(0, N, blocks.BLOCK_TEXTS):
            last = min(first + blocks.BLOCK_TEXTS, N)
            ids, used = _encode_range(options, workspace, texts, lengths, offsets, first, last, ids, used)
    _learn(options, lengths, used)
    return (ids[:used] if 4 * used >= 3 * (ids.size - spare) else ids[:used].copy()), offsets


def _encode_long(options: Options, texts: Sequence[str], lengths: Offsets) -> tuple[Ids, Offsets]:
    """Return the ids of one long text, which is read once, whatever its ids per character."""
    check_sizes(lengths, int(lengths[0]), "characters", 0, False)
    left, offsets = in_utf8(texts, lengths), np.zeros(2, np.int64)
    size = int(sizes_of(left).sum())
    check_sizes(sizes_of(left), size, "bytes", 0, False)
    # Room for an id a byte, which is all that there can be. Of memory that is not written to, nothing is taken.
    try:
        ids = np.empty(min(size, options.limit) + SLACK, np.int32)
    except MemoryError:
        ids = np.empty(_guess(int(lengths[0]), options, 1), np.int32)
    with options.core.workspace() as workspace:
        ids, used = _encode_left(options, workspace, left, offsets[1:], 0, ids, 0)
    _learn(options, lengths, used)
    if ids.base is not None:  # other memory, after all
        return ids[:used], offsets
    ids.resize(used, refcheck=False)  # the rest goes back, and nothing is copied
    return ids, offsets


def _spare(texts: Sequence[str], sample: Offsets, stride: int) -> int:
    """Return how much room more than is written to a batch needs: as much as its longest text could fill.

    Texts that are a block by themselves are then read once. Others of more ids than were guessed may be read twice.
    """
    places = np.flatnonzero(sample >= blocks.BLOCK_CHARS).tolist()
    return max((int(sample[i]) * (1 if texts[i * stride].isascii() else 3) for i in places), default=0)


def _encode_shared(
    options: Options, texts: tuple[str, ...], ends: Offsets, lengths: Offsets, offsets: Offsets, threads: int
) -> Ids:
    """Encode texts on several threads; fills lengths and offsets and returns the ids of all texts in order.

    A thread writes the ids of a block behind those of its last block; then all ids are copied into one array. `ends` is
    as `_rough_cut` takes it.
    """
    N, chars = lengths.size, int(ends[-1])
    most, least = blocks.BLOCK_CHARS, blocks.BLOCK_CHARS // 8
    cuts = rough_cut(ends, N, min(most, max(chars // (4 * threads), least)))  # some blocks a thread
    todo = list(range(len(cuts) - 2, -1, -1))  # taken from the end, by whichever thread is free
    sizes = np.zeros(len(todo), np.int64)
    done: list[tuple[list[Ids], int]] = [([], 0)] * len(todo)  # of a block: its thread's array, and the place in it
    stride = N // SAMPLE + 1 if N > blocks.BLOCK_TEXTS else 1
    spare = _spare(texts, np.diff(ends, prepend=0) // stride, stride)
    share = _guess(chars, options, N) * 5 // (4 * threads) + spare

    def work(start: int, stop: int) -> None:
        ids, used, held = empty((share,), np.int32), 0, list[Ids]()
        try:
            with options.core.workspace() as workspace:
                while todo:
                    try:
                        block = todo.pop()
                    except IndexError:  # another thread was quicker
                        break
                    first, last, before = cuts[block], cuts[block + 1], used
                    ids, used = _encode_range(options, workspace, texts, lengths, offsets, first, last, ids, used)
                    offsets[first + 1 : last + 1] -= before
                    sizes[block], done[block] = used - before, (held, before)
        except BaseException:
            todo.clear()  # nobody begins another block: an interrupt waits for one block, not for all that are left
            raise
        held.append(ids)  # only now: with each block the array may have been replaced by a larger one

    _threads.run(work, list(range(threads + 1)))
    places = np.zeros(sizes.size + 1, np.int64)
    np.cumsum(sizes, out=places[1:])
    ids = empty((int(places[-1]),), np.int32)

    def gather(start: int, stop: int) -> None:
        for block in range(start, stop):
            held, at = done[block]
            ids[places[block] : places[block + 1]] = held[0][at : at + sizes[block]]
            offsets[cuts[block] + 1 : cuts[block + 1] + 1] += places[block]

    _threads.run(gather, _threads.split(sizes.size, min(threads, sizes.size)))
    _learn(options, lengths, ids.size)
    return ids


def _encode_range(
    options: Options,
    workspace: Workspace,
    texts: tuple[str, ...],
    lengths: Offsets,
    offsets: Offsets,
    start: int,
    stop: int,
    ids: Ids,
    used: int,
) -> tuple[Ids, int]:
    """Encode the texts from `start` to `stop` as `_encode_block` does, in blocks that are not too large."""
    if options.short:
        ids, used, start = _encode_joined(options, workspace, texts, lengths, offsets, start, stop, ids, used)
        if start == stop:
            return ids, used
    if lengths[start] < 0:
        lengths[start:stop] = lengths_of(options, texts[start:stop])
    chars = int(lengths[start:stop].sum())
    check_sizes(lengths[start:stop], chars, "characters", start, len(texts) > 1)
    room = used + _guess(chars, options, stop - start)
    if ids.size < room:  # some texts are longer than those by which room was made
        ids = grown(ids, used, max(room, ids.size + ids.size // 4))
    for first, last in pairwise(cut(lengths[start:stop], blocks.BLOCK_CHARS)):
        where = start + first, start + last
        ids, used = _encode_block(options, workspace, texts, lengths, offsets, *where, ids, used)
    return ids, used


def _encode_joined(
    options: Options,
    workspace: Workspace,
    texts: tuple[str, ...],
    lengths: Offsets,
    offsets: Offsets,
    start: int,
    stop: int,
    ids: Ids,
    used: int,
) -> tuple[Ids, int, int]:
    """Encode texts from `start` on by one pass over the objects, and note their lengths.

    The last value says up to where: to `stop`, or to a text that has to go the long way.
    """
    while start < stop:
        left, chars = join(workspace, texts, start, stop)
        end = start + chars.size
        if end == start:
            break
        lengths[start:end] = chars
        room = used + _guess(int(chars.sum()), options, chars.size)
        if ids.size < room:
            ids = grown(ids, used, max(room, ids.size + ids.size // 4))
        ids, used = _encode_left(options, workspace, left, offsets[start + 1 : end + 1], start, ids, used)
        start = end
    return ids, used, start


def sample_of(options: Options, texts: tuple[str, ...]) -> tuple[Offsets, int]:
    """Return the lengths of texts that stand evenly apart, and how far; of a small batch of all."""
    stride = len(texts) // SAMPLE + 1 if len(texts) > blocks.BLOCK_TEXTS else 1
    return lengths_of(options, texts[::stride]), stride


def lengths_of(options: Options, texts: Sequence[str]) -> Offsets:
    """Return how many characters each text has; NotPlainError where one is no plain ``str``, which may lie about it."""
    if not options.known and not {*map(type, texts)} <= {str}:  # one look at all types, at C speed
        raise NotPlainError
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _encode_block(
    options: Options,
    workspace: Workspace,
    texts: Sequence[str],
    lengths: Offsets,
    offsets: Offsets,
    first: int,
    last: int,
    ids: Ids,
    used: int,
) -> tuple[Ids, int]:
    """Encode the texts from `first` to `last` behind the first `used` ids, and fill their offsets.

    Returns the array of ids, a larger one where they did not fit, and how many of it are used.
    """
    left = in_utf8(texts[first:last], lengths[first:last])
    if isinstance(left, Scattered):
        size = int(left.sizes.sum())
        check_sizes(left.sizes, size, "bytes", first, len(texts) > 1)
        most = used + min(size, options.limit) + SLACK
        if last == first + 1 and ids.size < most:  # so that it is read once
            ids = grown(ids, used, max(most, ids.size + ids.size // 4))
    return _encode_left(options, workspace, left, offsets[first + 1 : last + 1], first, ids, used)


def _encode_left(
    options: Options, workspace: Workspace, left: Packed | Scattered, ends: Offsets, first: int, ids: Ids, used: int
) -> tuple[Ids, int]:
    """Encode texts as C reads them, the first of which is text number `first`, and return as `_encode_block` does."""
    core, actions, _, limit, pattern, *_ = options
    while True:
        done, status = core.encode(workspace, left, actions, ends, ids=ids, used=used, limit=limit, pattern=pattern)
        used = done.ids
        if status != lib.FE_FULL:
            break
        # C stopped before the text that did not fit, and goes on there with room for all that there can be.
        left, ends, first = left.behind(done), ends[done.texts :], first + done.texts
        ids = grown(ids, used, max(ids.size + ids.size // 4, used + int(sizes_of(left).sum())) + SLACK)
    if status != lib.FE_OK:
        fail(status, done, left, first)
    return ids, used


def _guess(chars: int, options: Options, texts: int) -> int:
    """Return how many ids to make room for, from how many ids a character had last time."""
    most = min(chars + texts, options.limit * texts)
    return min(most, int(1.05 * options.core.ids_per_char * chars) + texts) + 64


def _learn(options: Options, lengths: Offsets, ids: int) -> None:
    """Note how many ids a character had, where there were enough of them and none was cut off."""
    chars = int(lengths.sum())
    if chars > blocks.BLOCK_CHARS // 16 and options.limit == NO_LIMIT:
        options.core.ids_per_char = ids / chars


# ---------------------------------------------------------------- patterns that C does not know


def _encode_pieces(options: Options, splitter: Splitter, texts: Sequence[str]) -> tuple[Ids, Offsets]:
    """Return the ids of texts that `splitter` cuts, and the offsets of their rows: to C each piece is a text."""
    lengths_of(options, texts)  # for their types
    added, actions = options.core.metadata.added, options.actions
    wanted = {token.content: number for number, token in enumerate(added) if actions[number]}
    # The leftmost added token, and of several there the longest: what C does. Only text between them is cut.
    finder = re.compile("|".join(map(re.escape, sorted(wanted, key=len, reverse=True)))) if wanted else None
    pieces: list[str] = []
    ends = [0]
    for number, text in enumerate(map(repaired, texts)):
        at = 0
        for match in finder.finditer(text) if finder else ():
            token = wanted[match[0]]
            if actions[token] == lib.FE_TOKEN_REFUSE:
                raise SpecialTokenFound(token, number, match.start())
            pieces += splitter.pieces(text[at : match.start()])
            pieces.append(match[0])
            at = match.end()
        pieces += splitter.pieces(text[at:])
        ends.append(len(pieces))
    uncut = options._replace(pattern=lib.FE_PATTERN_NONE, limit=NO_LIMIT, known=True)
    ids, offsets = _encode_blocks(uncut, tuple(pieces))
    return cut_rows(ids, offsets[ends], options.limit)
