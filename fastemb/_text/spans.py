"""Where the tokens of a text stand in it, as characters from its start.

A token's bytes say how many characters begin in it and whether it begins inside one, so the places of a row follow
from its ids alone, by one sum along them (docs/design/tokenizer_calls.md). What that cannot know (an unknown token of
several characters, characters that vanished) shows in the sum: it is not the length of the text. Such texts take the
general road, one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _threads
from .._memory import empty
from .bpe_model import BYTE_TOKENS
from .core import Core, Ids, Offsets, ffi, lib
from .tables import Tables
from .texts import repaired
from .vocabulary import BYTE_CHARS, CHAR_BYTES

Spans = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.signedinteger[Any]]
#: Encodes one text by its added tokens' actions: of each token the id, where it starts and ends, and if it was added.
Road = Callable[[str, bytes], list[tuple[int, int, int, bool]]]

BYTES_PER_ID = 64  # an id takes as long as so many bytes that are moved
_MATCH = 1  # fe_token_action


class SpanTables:
    """What is known of tokens by their ids, made when offsets are first asked for."""

    def __init__(self, core: Core, tables: Tables) -> None:
        self._core, self._tables = core, tables
        contents = core.contents
        flags = contents.flags
        is_byte_level = bool(flags & lib.FE_BYTE_LEVEL)
        #: A mark or space stands before the text between added tokens: before each, or where it has no space.
        self.prepends = not is_byte_level and bool(flags & lib.FE_PREPEND)
        self.adds_space = is_byte_level and bool(flags & lib.FE_ADD_SPACE)
        token_bytes, ends = _token_bytes(core) if is_byte_level else _decoded(core)
        data = np.append(np.frombuffer(token_bytes, np.uint8), 0)
        is_start = (data & 0xC0) != 0x80
        starts = np.zeros(data.size + 1, np.int32)
        np.cumsum(is_start, out=starts[1:])
        widths = 2 * (starts[ends[1:]] - starts[ends[:-1]]) + (~is_start[ends[:-1]] & (np.diff(ends) > 0))
        #: By id: twice the characters that begin in a token, and 1 if it begins inside one.
        self.widths = np.zeros(core.highest_id() + 1, np.uint32)
        self.widths[core.ids()] = widths
        falls_back = bool(flags & lib.FE_BYTE_FALLBACK)
        if falls_back:
            ids = np.array([tables.id_by_name.get(name, -1) for name in BYTE_TOKENS])
            is_inside = (np.arange(256) & 0xC0) == 0x80
            self.widths[ids[ids >= 0]] = np.where(is_inside, 1, 2)[ids >= 0]
        #: The unknown token, where it may stand for part of a character, or somewhere else than its character does.
        self.unsure: int | None = None
        byte_names = BYTE_CHARS if is_byte_level else BYTE_TOKENS if falls_back else []
        if contents.unk >= 0 and not (byte_names and tables.id_by_name.keys() >= {*byte_names}):
            unk = int(contents.token_ids[contents.unk])
            self.widths[unk] = 2  # one character, as a rule: where it stands for several, the sum shows it
            self.unsure = unk if byte_names else None

    def added(self, actions: bytes) -> npt.NDArray[np.bool_] | None:
        """Return by id whether a token is an added one that is matched in texts; None: there is none."""
        ids = [token.id for token, action in zip(self._core.metadata.added, actions, strict=True) if action == _MATCH]
        if not ids:
            return None
        found = np.zeros(self.widths.size, bool)
        found[ids] = True
        return found

    @cached_property
    def spaces(self) -> npt.NDArray[np.int32]:
        """By id: how many characters of white space a token's name begins with, and how many it ends with."""
        found = np.zeros((self.widths.size, 2), np.int32)
        for id, name in self._tables.name_by_id.items():
            if name and (_is_space(name[0]) or _is_space(name[-1])):
                inner = [i for i, char in enumerate(name) if not _is_space(char)]
                found[id] = (inner[0], len(name) - 1 - inner[-1]) if inner else (len(name), len(name))
        return found


def _decoded(core: Core) -> tuple[bytes, Offsets]:
    """Return the bytes that tokens decode to, end to end, and where those of each begin."""
    contents = core.contents
    ends = core._array(contents.token_offsets, contents.tokens + 1, np.uint32).astype(np.int64)
    return bytes(ffi.buffer(contents.token_bytes, int(ends[-1]))), ends


def _token_bytes(core: Core) -> tuple[bytes, Offsets]:
    """Return the bytes of text that tokens of a byte-level vocabulary stand for, and where those of each begin."""
    if core.names is None:
        return _decoded(core)
    tokens = [
        bytes(map(CHAR_BYTES.__getitem__, name)) if CHAR_BYTES.keys() >= {*name} else name.encode()
        for name in core.names[: core.contents.vocab]
    ]
    tokens += [name.encode() for name in core.names[core.contents.vocab :]]
    return b"".join(tokens), np.cumsum([0, *map(len, tokens)])


def _is_space(char: str) -> bool:
    """Return whether Rust calls a character white space, or it is a space as GPT-2's files write it."""
    return char == "\u0120" or (char.isspace() and not "\x1c" <= char <= "\x1f")


def find_spans(
    tables: SpanTables, texts: Sequence[str], ids: Ids, offsets: Offsets, actions: bytes, road: Road | None
) -> Spans:
    """Return where each id of the rows stands in the text of its row.

    Raises
    ------
    ValueError
        There is no road for a text that needs one.
    """
    spans, sums = empty((ids.size, 2), np.int32), np.empty(len(texts), np.int64)
    added = tables.added(actions) if tables.prepends or tables.adds_space else None
    _write_spans(tables, added, ids, offsets, spans, sums)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if tables.adds_space:
        sums -= _shifted(texts, ids, offsets, spans, sums - lengths, added)
    unsure = sums != lengths
    if tables.unsure is not None:
        unsure[np.searchsorted(offsets, np.flatnonzero(ids == tables.unsure), side="right") - 1] = True
    for s in np.flatnonzero(unsure).tolist():
        row, text = slice(int(offsets[s]), int(offsets[s + 1])), repaired(texts[s])
        if len(text) != sums[s] or tables.unsure in ids[row]:
            spans[row] = _by_road(road, text, ids[row], actions, s)
        if len(text) != lengths[s]:
            spans[row] = _places_of_surrogates(texts[s])[spans[row]]
    return spans


def _by_road(road: Road | None, text: str, ids: Ids, actions: bytes, s: int) -> Spans:
    """Return where the tokens of one text stand, by the general road."""
    if road is None:
        raise ValueError(f"offsets of text {s} are not known: characters of it are in no token of this vocabulary")
    tokens = road(text, actions)
    if [token[0] for token in tokens] != ids.tolist():
        raise RuntimeError(f"two ways to encode text {s} do not agree; please report it")
    return np.array([token[1:3] for token in tokens], np.int32).reshape(-1, 2)


_CHARACTER = re.compile("[\ud800-\udbff][\udc00-\udfff]|.", re.DOTALL)


def _places_of_surrogates(text: str) -> npt.NDArray[np.int32]:
    """Return where the characters of a text begin, and its end, where a pair of surrogates is one character."""
    return np.array([*(match.start() for match in _CHARACTER.finditer(text)), len(text)], np.int32)


def to_bytes(texts: Sequence[str], numbers: Numbers, spans: Spans) -> None:
    """Turn places in texts, of which ``numbers`` says which text each is in, into bytes of its UTF-8."""
    is_odd = ~np.fromiter(map(str.isascii, texts), bool, len(texts))
    if not is_odd.any():
        return
    concerned = np.flatnonzero(is_odd[numbers])
    texts = [text for text in texts if not text.isascii()]
    numbers = (np.cumsum(is_odd) - 1)[numbers[concerned]]
    # The characters of all texts end to end, and one more behind each text. Of a pair of surrogates the first half has
    # all four bytes of the character.
    codes = np.frombuffer("\0".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    sizes = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000).astype(np.int64)
    low = 1 + np.flatnonzero(((codes[:-1] & ~np.uint32(0x3FF)) == 0xD800) & ((codes[1:] & ~np.uint32(0x3FF)) == 0xDC00))
    sizes[low - 1], sizes[low] = 4, 0
    starts = np.cumsum(sizes) - sizes
    lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
    first = (np.cumsum(lengths) - lengths)[numbers][:, None]
    spans[concerned] = starts[first + spans[concerned]] - starts[first]


def _shifted(
    texts: Sequence[str],
    ids: Ids,
    offsets: Offsets,
    spans: Spans,
    extra: Offsets,
    added: npt.NDArray[np.bool_] | None,
) -> Offsets:
    """Move the places of ids to where they are without the spaces that were put before segments.

    A segment is what stands between added tokens, and a space is put before one that begins with none; it belongs to
    the first character. `extra` says by how many characters the tokens of each row are longer than its text. Returns
    how many spaces were put into each row.
    """
    sizes = np.diff(offsets)
    rows = np.repeat(np.arange(sizes.size), sizes)
    is_added = np.zeros(ids.size, bool) if added is None else added[ids]
    begins = ~is_added
    begins[1:] &= is_added[:-1] | (rows[1:] != rows[:-1])
    firsts = np.flatnonzero(begins)
    counts = np.bincount(rows[firsts], minlength=sizes.size)
    # Where each segment has one, or none has, the sum says so; else the text does.
    each, some = extra == counts, (extra > 0) & (extra < counts)
    has = each[rows[firsts]]
    for s in np.flatnonzero(some).tolist():
        text, more = repaired(texts[s]), 0
        for k in range(*np.searchsorted(firsts, offsets[s : s + 2]).tolist()):
            at = int(spans[firsts[k], 0]) - more
            has[k] = text[at : at + 1] != " "
            more += int(has[k])
    firsts = firsts[has]
    counts = np.bincount(rows[firsts], minlength=sizes.size)
    if not firsts.size:
        return counts
    number = np.zeros(ids.size, np.int32)  # of the last segment with something before it, from 1
    number[firsts] = 1
    np.cumsum(number, out=number)
    moved = number - np.repeat(np.cumsum(counts) - counts, sizes).astype(np.int32)
    spans -= moved[:, None]
    # Where the segment begins in the text; those behind the next added token begin later, so it does not move them.
    least = np.append(0, spans[firsts, 0] + 1).astype(np.int32)[number]
    inside = ~is_added & (moved > 0)
    np.maximum(spans[:, 0], least, out=spans[:, 0], where=inside)
    np.maximum(spans[:, 1], least + 1, out=spans[:, 1], where=inside)
    return counts


def trim_spans(tables: SpanTables, keeps_first: bool, ids: Ids, firsts: npt.NDArray[np.bool_], spans: Spans) -> None:
    """Take white space at the ends of tokens out of their places."""
    job = ffi.new("fe_span_job *")
    alive = ffi.from_buffer("int32_t[]", tables.spaces), ffi.from_buffer("int32_t[]", ids)
    job.ids, job.spaces = len(tables.spaces), alive[0]
    flags = ffi.from_buffer("uint8_t[]", firsts.view(np.uint8))
    target = ffi.from_buffer("int32_t[]", spans, require_writable=True)
    _require(lib.fe_trim_spans(job, keeps_first, alive[1], ids.size, flags, target))


def _write_spans(
    tables: SpanTables,
    added: npt.NDArray[np.bool_] | None,
    ids: Ids,
    offsets: Offsets,
    spans: Spans,
    sums: Offsets,
) -> None:
    """Write the places of all ids, and how many characters each row is."""
    job = ffi.new("fe_span_job *")
    job.ids, job.prepends = tables.widths.size, tables.prepends
    widths = job.widths = ffi.from_buffer("uint32_t[]", tables.widths)
    flags = job.added = ffi.NULL if added is None else ffi.from_buffer("uint8_t[]", added.view(np.uint8))
    arrays = ffi.from_buffer("int32_t[]", ids), ffi.from_buffer("int64_t[]", offsets)
    targets = ffi.from_buffer("int32_t[]", spans, require_writable=True), ffi.from_buffer("int64_t[]", sums, True)

    def work(first: int, last: int) -> None:
        if last > first:
            where = arrays[1] + first, last - first, targets[0], targets[1] + first
            _require(lib.fe_spans(job, arrays[0], ids.size, *where))

    rows = sums.size
    threads = _threads.parts(BYTES_PER_ID * ids.size, rows)
    cuts = np.searchsorted(offsets, np.linspace(0, ids.size, threads + 1)[1:-1]).tolist()
    _threads.run(work, [0, *cuts, rows])
    del widths, flags


def _require(status: int) -> None:
    if status != lib.FE_OK:
        raise RuntimeError(f"the tokenizer failed (status {status})")
