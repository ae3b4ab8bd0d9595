"""Where the tokens of a text stand in it, as characters from its start.

A token's bytes say how many characters begin in it and whether it begins inside one, so the places of a row follow
from its ids alone, by one sum along them (docs/design/tokenizer_calls.md). What that cannot know (an unknown token of
several characters, characters that vanished) shows in the sum: it is not the length of the text. Such texts take the
general road, one by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _threads
from .._memory import empty
from .assemble import Rows
from .bpe_model import MARK
from .core import Ids, Offsets, ffi, lib
from .place import place
from .placing import Placing
from .span_tables import SpanTables, spaces_at_ends
from .texts import repaired

Spans = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.signedinteger[Any]]
BYTES_PER_ID = 64  # an id takes as long as so many bytes that are moved


def find_spans(placing: Placing, texts: Sequence[str], ids: Ids, offsets: Offsets, actions: bytes) -> Spans:
    """Return where each id of the rows stands in the text of its row.

    Raises
    ------
    ValueError
        A text needs the general road, and there is none.
    """
    spans, sums = empty((ids.size, 2), np.int32), np.full(len(texts), -1)
    tables = placing.tables
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    by_road = np.ones(len(texts), bool)
    if placing.told != "none":
        added = tables.added(actions) if tables.prepends or tables.adds_space else None
        _write_spans(tables, added, ids, offsets, spans, sums)
        if tables.adds_space:
            sums -= _shifted(texts, ids, offsets, spans, sums - lengths, added)
        if placing.told == "marked":
            sums -= _without_first_marks(tables.added(actions), texts, ids, offsets, spans)
        by_road = sums != lengths
        if placing.told == "unchanged":
            by_road |= ~_are_unchanged(tables, texts, ids, offsets)
        if tables.unsure is not None:
            by_road[np.searchsorted(offsets, np.flatnonzero(tables.unsure[ids]), side="right") - 1] = True
    walked = _walk(placing, texts, ids, offsets, actions, np.flatnonzero(by_road), spans)
    for s in np.flatnonzero(by_road).tolist():
        row, text = slice(int(offsets[s]), int(offsets[s + 1])), repaired(texts[s])
        is_paired = len(text) != lengths[s] and len(text) == sums[s]  # the sum is right, but for pairs of surrogates
        is_unsure = tables.unsure is not None and bool(tables.unsure[ids[row]].any())
        if not walked[s] and (not is_paired or placing.told != "all" or is_unsure):
            spans[row] = _by_road(placing.road, text, ids[row], actions, s)
        if len(text) != lengths[s]:
            spans[row] = _places_of_surrogates(texts[s])[spans[row]]
    return spans


def _walk(
    placing: Placing,
    texts: Sequence[str],
    ids: Ids,
    offsets: Offsets,
    actions: bytes,
    numbers: npt.NDArray[np.intp],
    spans: Spans,
) -> npt.NDArray[np.bool_]:
    """Write the places of the ids of some texts by walking these again, in C, and return of which texts that was done.

    Their surrogates are repaired first, so the places are those in what they are then.
    """
    walked = np.zeros(len(texts), bool)
    if not numbers.size or not placing.in_c:
        return walked
    some = [repaired(texts[s]) for s in numbers.tolist()]
    if numbers.size == len(texts):
        return place(placing.tables.core, some, actions, ids, offsets, spans)
    sizes = np.diff(offsets)[numbers]
    own = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    at = np.repeat(offsets[numbers] - own[:-1], sizes) + np.arange(own[-1])
    part = np.empty((at.size, 2), np.int32)
    walked[numbers] = place(placing.tables.core, some, actions, ids[at], own, part)
    spans[at] = part
    return walked


def _are_unchanged(tables: SpanTables, texts: Sequence[str], ids: Ids, offsets: Offsets) -> npt.NDArray[np.bool_]:
    """Return which texts the ids of their rows decode to: normalizing such a text has changed nothing in it.

    Between added tokens, too: with another length of what stands before one, it would not stand where it does.
    """
    same = np.fromiter(map(str.isascii, texts), bool, len(texts))
    for s in np.flatnonzero(~same).tolist():
        row = ids[offsets[s] : offsets[s + 1]].astype(np.int64)
        same[s] = tables.core.decode(row, np.array([row.size]))[0] == repaired(texts[s]).encode()
    return same


def _by_road(road: Any, text: str, ids: Ids, actions: bytes, s: int) -> Spans:
    """Return where the tokens of one text stand, by the general road."""
    if road is None:
        raise ValueError(f"offsets of text {s} are not known: part of it is in no token of this vocabulary")
    tokens = road.encode(text, actions)
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


def _without_first_marks(
    added: npt.NDArray[np.bool_] | None, texts: Sequence[str], ids: Ids, offsets: Offsets, spans: Spans
) -> Offsets:
    """Move the places of ids to where they are without the mark before a text, and return which texts have one.

    It is put before a text that begins with no space, no mark and no added token, and belongs to the first character.
    """
    sizes = np.diff(offsets)
    has = np.fromiter((bool(text) and text[0] not in (" ", MARK) for text in texts), bool, len(texts)) & (sizes > 0)
    if added is not None:
        has[has] = ~added[ids[offsets[:-1][has]]]
    moved = np.repeat(has, sizes)
    spans[moved] = np.maximum(spans[moved] - 1, np.array([0, 1], np.int32))
    return has.astype(np.int64)


class Taken(NamedTuple):
    """White space of texts that stands in the places of added tokens, which is not in their names."""

    at: Numbers  # the ids of such tokens, of all
    spaces: npt.NDArray[np.int32]  # shape (len(at), 2): characters at the start and at the end of each place


def taken_spaces(tables: SpanTables, texts: Sequence[Sequence[str]], rows: Rows) -> Taken | None:
    """Return what tokens took of the white space beside them, in texts and pairs; None where there are no such tokens.

    The rows have spans, and the numbers of texts.
    """
    if not tables.takers or rows.spans is None or rows.numbers is None:
        return None
    at = np.flatnonzero(np.isin(rows.ids, tables.takers) & (rows.sequences >= 0))
    places = zip(rows.sequences[at].tolist(), rows.numbers[at].tolist(), rows.spans[at].tolist(), strict=True)
    spaces = [spaces_at_ends(texts[side][number][start:stop]) for side, number, (start, stop) in places]
    return Taken(at, np.array(spaces, np.int32).reshape(-1, 2))


def trim_spans(
    tables: SpanTables,
    keeps_first: bool,
    ids: Ids,
    firsts: npt.NDArray[np.bool_],
    spans: Spans,
    taken: Taken | None = None,
) -> None:
    """Take white space at the ends of tokens out of their places; `taken` is beside what their names have."""
    before = None if taken is None else spans[taken.at]
    job = ffi.new("fe_span_job *")
    alive = ffi.from_buffer("int32_t[]", tables.spaces), ffi.from_buffer("int32_t[]", ids)
    job.ids, job.spaces = len(tables.spaces), alive[0]
    flags = ffi.from_buffer("uint8_t[]", firsts.view(np.uint8))
    target = ffi.from_buffer("int32_t[]", spans, require_writable=True)
    _require(lib.fe_trim_spans(job, keeps_first, alive[1], ids.size, flags, target))
    if taken is not None and before is not None:  # by the rule of fe_trim_spans
        (starts, stops), (left, right) = before.T, taken.spaces.T
        kept = keeps_first & (left == 1) & (firsts[taken.at] | (starts == 0))
        starts = np.minimum(starts + np.where(kept, 0, left), stops)
        stops = np.where(stops >= right, np.maximum(stops - right, starts), stops)
        spans[taken.at] = np.stack([starts, stops], axis=1)


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
