"""Checked texts → blocks → the C core, on as many threads as there are; ids in one array, in the texts' order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .. import _threads
from .._arrays import empty
from .._text.core import NO_LIMIT, Apart, Core, Desk, Joined, SpecialTokenFound, apart, fail, lib
from .._text.core import Ids as Ids
from .._text.core import Offsets as Offsets
from .._text.regex_split import Splitter

# Texts are joined in blocks: one character above U+00FF widens a whole join to 2 or 4 bytes a character, so
# joining a large batch at once costs many times its own size (docs/design/tokenizer.md).
BLOCK_CHARS = 1 << 19
BLOCK_TEXTS = 2048
LONG_TEXT = 2048  # characters on average, from which on texts are not copied
WORK_PER_CHAR = 16  # encoding a character takes about as long as moving so many bytes


class Job(NamedTuple):
    """What to do with texts, the same for all of them."""

    core: Core
    actions: bytes  # one fe_token_action for each added token
    limit: int = NO_LIMIT  # ids of a text
    pattern: int = lib.FE_PATTERN_OWN


def encode(job: Job, texts: Sequence[str]) -> tuple[Ids, Offsets]:
    """Return the ids of all texts, and the offsets of each (one more than texts)."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    cuts = _cut(lengths)
    offsets = np.zeros(len(texts) + 1, np.int64)
    blocks = len(cuts) - 1
    threads = _threads.parts(WORK_PER_CHAR * int(lengths.sum()), blocks)
    if threads > 1:
        return _encode_shared(job, texts, lengths, cuts, offsets, threads), offsets
    ids, used = empty((_guess(int(lengths.sum()), job, len(texts)),), np.int32), 0
    with job.core.desk() as desk:
        for block in range(blocks):
            first, last = cuts[block], cuts[block + 1]
            ends = offsets[first + 1 : last + 1]
            ids, used = _encode_block(job, desk, texts[first:last], lengths[first:last], ends, ids, used, first)
    _learn(job, lengths, used)
    return (ids[:used] if 4 * used >= 3 * ids.size else ids[:used].copy()), offsets


def _encode_shared(
    job: Job, texts: Sequence[str], lengths: Offsets, cuts: list[int], offsets: Offsets, threads: int
) -> Ids:
    """Encode blocks on several threads, each behind its last one; fills the offsets and returns all ids in order."""
    todo = list(range(len(cuts) - 2, -1, -1))  # taken from the end, by whoever is free
    sizes = np.zeros(len(todo), np.int64)
    done: list[tuple[list[Ids], int]] = [([], 0)] * len(todo)  # whose array, and where in it
    share = _guess(int(lengths.sum()), job, lengths.size) * 5 // (4 * threads)

    def work(start: int, stop: int) -> None:
        ids, used, held = empty((share,), np.int32), 0, list[Ids]()
        with job.core.desk() as desk:
            while todo:
                try:
                    block = todo.pop()
                except IndexError:  # another thread was quicker
                    break
                first, last = cuts[block], cuts[block + 1]
                ends, before = offsets[first + 1 : last + 1], used
                ids, used = _encode_block(job, desk, texts[first:last], lengths[first:last], ends, ids, used, first)
                ends -= before
                sizes[block], done[block] = used - before, (held, before)
        held.append(ids)  # it may have moved

    try:
        _threads.run(work, list(range(threads + 1)))
    except BaseException:
        todo.clear()
        raise
    places = np.zeros(sizes.size + 1, np.int64)
    np.cumsum(sizes, out=places[1:])
    ids = empty((int(places[-1]),), np.int32)

    def gather(start: int, stop: int) -> None:
        for block in range(start, stop):
            held, at = done[block]
            ids[places[block] : places[block + 1]] = held[0][at : at + sizes[block]]
            offsets[cuts[block] + 1 : cuts[block + 1] + 1] += places[block]

    _threads.run(gather, _threads.split(sizes.size, min(threads, sizes.size)))
    _learn(job, lengths, ids.size)
    return ids


def count(job: Job, texts: Sequence[str]) -> Offsets:
    """Return the number of ids that `encode` would give for each text, without making them."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    cuts = _cut(lengths)
    counts = np.zeros(len(texts), np.int64)
    blocks = len(cuts) - 1
    threads = _threads.parts(WORK_PER_CHAR * int(lengths.sum()), blocks)

    def work(start: int, stop: int) -> None:
        with job.core.desk() as desk:
            for block in range(start, stop):
                first, last = cuts[block], cuts[block + 1]
                left, ends = _in_utf8(texts[first:last], lengths[first:last]), counts[first:last]
                done, status = job.core.encode(desk, left, job.actions, ends, limit=job.limit, pattern=job.pattern)
                if status != lib.FE_OK:
                    fail(status, done, left, first)
                ends[1:] -= ends[:-1].copy()

    _threads.run(work, _threads.split(blocks, threads) if blocks else [0])
    return counts


def _encode_block(
    job: Job, desk: Desk, texts: Sequence[str], lengths: Offsets, ends: Offsets, ids: Ids, used: int, number: int
) -> tuple[Ids, int]:
    """Encode texts behind the first `used` ids; `number` is that of the first text. Returns the ids and how many."""
    left = _in_utf8(texts, lengths)
    while True:
        done, status = job.core.encode(
            desk, left, job.actions, ends, ids=ids, used=used, limit=job.limit, pattern=job.pattern
        )
        used = done.ids
        if status != lib.FE_FULL:
            break
        # C stopped before the text that did not fit, and goes on there with more room.
        left, ends, number = left.behind(done), ends[done.texts :], number + done.texts
        grown = empty((max(ids.size + ids.size // 4, 2 * (ids.size - used) + used) + 64,), np.int32)
        grown[:used] = ids[:used]
        ids = grown
    if status != lib.FE_OK:
        fail(status, done, left, number)
    return ids, used


def _guess(chars: int, job: Job, texts: int) -> int:
    """Return how many ids to make room for, from how many there were last time."""
    most = min(chars + texts, job.limit * texts)
    return min(most, int(1.05 * job.core.ids_per_char * chars) + texts) + 64


def _learn(job: Job, lengths: Offsets, ids: int) -> None:
    chars = int(lengths.sum())
    if chars > BLOCK_CHARS // 16 and job.limit == NO_LIMIT:
        job.core.ids_per_char = ids / chars


def _cut(lengths: Offsets) -> list[int]:
    """Return where blocks of texts begin, and the end of the last: some for each thread, if they are not small."""
    ends = np.cumsum(lengths)
    share = int(ends[-1]) // (4 * _threads.get_num_threads()) if lengths.size else 0
    size = min(BLOCK_CHARS, max(share, BLOCK_CHARS // 8))
    cuts = [0]
    while cuts[-1] < lengths.size:
        first = cuts[-1]
        before = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, before + size))
        cuts.append(min(max(last, first + 1), first + BLOCK_TEXTS, lengths.size))
    return cuts


def _in_utf8(texts: Sequence[str], lengths: Offsets) -> Joined | Apart:
    """Return texts as C reads them: short ones copied one after another, long ones where they are."""
    try:
        if int(lengths.sum()) >= LONG_TEXT * len(texts):
            return apart(texts)
        return Joined("".join(texts).encode(), lengths)
    except UnicodeEncodeError:  # lone surrogates
        texts = [repaired(text) for text in texts]
        return Joined("".join(texts).encode(), np.fromiter(map(len, texts), np.int64, len(texts)))


def repaired(text: str) -> str:
    """Return the text with pairs of surrogates joined, and lone ones replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def surround(ids: Ids, offsets: Offsets, before: list[int], after: list[int]) -> tuple[Ids, Offsets]:
    """Return every row with `before` in front of it and `after` behind."""
    rows = offsets.size - 1
    extra = len(before) + len(after)
    wide = offsets + extra * np.arange(rows + 1)
    out = empty((ids.size + rows * extra,), np.int32)
    inner = np.ones(out.size, bool)
    for i, id in enumerate(before):
        out[wide[:-1] + i] = id
        inner[wide[:-1] + i] = False
    for i, id in enumerate(after):
        out[wide[1:] - len(after) + i] = id
        inner[wide[1:] - len(after) + i] = False
    out[inner] = ids
    return out, wide


def encode_split(job: Job, splitter: Splitter, texts: Sequence[str]) -> tuple[Ids, Offsets]:
    """Do the same where a regular expression cuts the pieces: each is a text of its own to C."""
    wanted = {token.content: number for number, token in enumerate(job.core.notes.added) if job.actions[number]}
    # The leftmost, the longest of those: what C does for other texts. Between them, and only there, text is cut.
    finder = re.compile("|".join(map(re.escape, sorted(wanted, key=len, reverse=True)))) if wanted else None
    pieces: list[str] = []
    ends = [0]
    for number, text in enumerate(map(repaired, texts)):
        at = 0
        for match in finder.finditer(text) if finder else ():
            token = wanted[match[0]]
            if job.actions[token] == lib.FE_TOKEN_REFUSE:
                raise SpecialTokenFound(token, number, match.start())
            pieces += splitter.pieces(text[at : match.start()])
            pieces.append(match[0])
            at = match.end()
        pieces += splitter.pieces(text[at:])
        ends.append(len(pieces))
    ids, offsets = encode(job._replace(pattern=lib.FE_PATTERN_NONE, limit=NO_LIMIT), tuple(pieces))
    return cut_rows(ids, offsets[ends], job.limit)


def cut_rows(ids: Ids, offsets: Offsets, limit: int) -> tuple[Ids, Offsets]:
    """Return the first `limit` ids of each row."""
    lengths = np.diff(offsets)
    if limit == NO_LIMIT or not (lengths > limit).any():
        return ids, offsets
    kept = np.zeros(offsets.size, np.int64)
    np.cumsum(np.minimum(lengths, limit), out=kept[1:])
    places = np.arange(kept[-1]) + np.repeat(offsets[:-1] - kept[:-1], np.diff(kept))
    return ids[places], kept


def with_rest(job: Job, splitter: Splitter | None, ids: Ids, rest: bytes) -> Ids:
    """Return the ids of bytes that begin as UTF-8, of which `ids` are made, and go on with `rest`, which is none.

    By tiktoken's rule: the last piece, and the white space before it if it begins with white space itself, is taken
    back, and with the rest it is one piece.
    """
    core = job.core
    special = {token.id for token in core.notes.added}
    first = next((i + 1 for i in range(ids.size - 1, -1, -1) if int(ids[i]) in special), 0)
    text = _bytes_of(core, ids[first:])
    taken = 0
    if text:
        pieces = [text] if splitter is None else [piece.encode() for piece in splitter.pieces(text.decode())]
        if splitter is None and core.contents.pattern:
            ends = core.pieces(core.contents.pattern, text)
            pieces = [text[ends[-2] if ends.size > 1 else 0 :]]
        taken = encode_piece(job, pieces[-1]).size if pieces else 0

    def is_white(place: int) -> bool:
        return not _bytes_of(core, ids[place : place + 1]).strip(b" \n\t")

    at = ids.size - taken
    if taken and is_white(at):
        while at > first and is_white(at - 1):
            at -= 1
    return np.concatenate([ids[:at], encode_piece(job, _bytes_of(core, ids[at:]) + rest)])


def _bytes_of(core: Core, ids: Ids) -> bytes:
    return core.decode(ids.astype(np.int64), np.array([ids.size]))[0]


def encode_piece(job: Job, piece: bytes) -> Ids:
    """Return the ids of bytes of any kind that are one piece, in which added tokens are plain text."""
    # As many characters as bytes, says this: then C counts none, and takes the bytes as they are.
    sizes, ends = np.array([len(piece)]), np.empty(1, np.int64)
    room, actions = np.empty(len(piece) + 8, np.int32), bytes(len(job.actions))
    whole = Joined(piece, sizes)
    with job.core.desk() as desk:
        done, status = job.core.encode(desk, whole, actions, ends, ids=room, pattern=lib.FE_PATTERN_NONE)
    if status != lib.FE_OK:
        fail(status, done, whole, 0)
    return room[: done.ids]


def as_texts(texts: Iterable[str | bytes]) -> tuple[str | bytes, ...]:
    """Return the texts as they are now: the caller's list may change while another thread encodes it."""
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"texts must be a sequence of str, got one {type(texts).__name__}; for a single text call encode"
        )
    try:
        return tuple(texts)
    except TypeError:
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}") from None


def only_str(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts as they are now, if they are str all."""
    rows = as_texts(texts)
    for i, text in enumerate(rows):
        if not isinstance(text, str):
            raise TypeError(f"texts must be str, got {type(text).__name__} at position {i}")
    return tuple(map(str.__str__, rows))  # a subclass may answer for its length as it likes


def as_str(texts: Iterable[str | bytes], core: Core) -> tuple[tuple[str, ...], dict[int, bytes]]:
    """Return the texts as str; of bytes that are no UTF-8 their start, and apart what follows it, by number.

    A vocabulary of characters has no ids for such bytes, and one that puts a space before a text cannot begin in its
    middle: to these they are U+FFFD.
    """
    rows = as_texts(texts)
    if {*map(type, rows)} <= {str}:  # one look at all types, at C speed
        return rows, {}  # type: ignore[return-value]
    broken: dict[int, bytes] = {}
    read: list[str] = []
    for i, text in enumerate(rows):
        if isinstance(text, bytes):
            try:
                read.append(text.decode())
            except UnicodeDecodeError as error:
                if core.contents.flags & (lib.FE_BYTE_LEVEL | lib.FE_ADD_SPACE) != lib.FE_BYTE_LEVEL:
                    read.append(text.decode(errors="replace"))
                    continue
                read.append(text[: error.start].decode())
                broken[i] = text[error.start :]
        elif isinstance(text, str):
            read.append(str.__str__(text))  # a subclass may answer for its length as it likes
        else:
            raise TypeError(f"texts must be str or bytes, got {type(text).__name__} at position {i}")
    return tuple(read), broken
