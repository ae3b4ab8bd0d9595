"""Texts and their pairs → rows, with all that a call may ask for beside the ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .assemble import Encodings, Rows, as_they_are, assemble, starts_of_texts
from .calls import Calls, Padding, Part, Template, Truncation, check_template
from .core import NO_LIMIT, Ids, Offsets
from .encode import Options, encode_given, encode_texts
from .placing import Placing
from .rows import surround
from .spans import find_spans, taken_spaces, to_bytes, trim_spans
from .starts import encode_starts
from .texts import as_str, as_tuple
from .windows import shares, windows_of

OffsetUnit = Literal["characters", "bytes"]
Words = Callable[[Sequence[str], bytes], npt.NDArray[np.int32]]  # of texts and actions, one text after another


class Asked(NamedTuple):
    """What a call asks for beside the ids; checked."""

    template: bool
    truncation: Truncation | None
    windows: bool
    padding: Padding | None
    offsets: OffsetUnit | None
    pretokenized: bool
    words: Words | None = None  # what gives the number of the word of each id of texts that are not pretokenized


def encode_plain(
    options: Options, texts: Any, may_start: bool, before: list[int], after: list[int]
) -> tuple[Ids, Offsets]:
    """Return the ids of texts between those of a template, by the shortest road; `may_start` as `can_start` says."""
    given = as_tuple(texts)
    found = encode_starts(options, given) if may_start and options.limit != NO_LIMIT else None
    ids, offsets = encode_given(options, given) if found is None else found
    return surround(ids, offsets, before, after) if before or after else (ids, offsets)


def template_of(calls: Calls, is_pair: bool, with_ids: bool) -> Template:
    """Return the template for one text or for two; without its ids what is left are the texts, once each."""
    whole = calls.pair if is_pair else calls.single
    if is_pair:
        check_template(whole, "AB")
    if with_ids:
        return whole
    texts: dict[str, Part] = {}
    for part in whole:
        if part.text:
            texts.setdefault(part.text, part)
    return tuple(texts.values())


def encode_rows(
    options: Options,
    placing: Placing,
    calls: Calls,
    asked: Asked,
    texts: Sequence[Any],
    pairs: Sequence[Any] | None,
) -> Rows:
    """Return the rows of texts, or of texts and their pairs.

    Raises
    ------
    TypeError, ValueError
        The texts do not fit what is asked for, or that does not fit the file or itself.
    """
    template = template_of(calls, pairs is not None, asked.template)
    added = sum(len(part.ids) for part in template)
    if asked.template and not added:
        what = "pairs" if pairs is not None else "one text"
        raise ValueError(f"template is True, but the file of this tokenizer has no template that adds ids to {what}")
    how = asked.truncation
    room = NO_LIMIT if how is None else how.max_tokens - added
    if room < 0:
        raise ValueError(f"max_tokens must be at least {added}, which the template takes, got {room + added}")
    if how is not None and asked.windows and how.stride >= room:
        beside = f" beside the {added} ids of the template" if added else ""
        raise ValueError(f"stride must be less than the ids of a window, {room}{beside}, got {how.stride}")
    given = [as_tuple(texts)] if pairs is None else [as_tuple(texts), as_tuple(pairs)]
    if pairs is not None and len(given[0]) != len(given[1]):
        raise ValueError(f"pairs must be as many as texts, {len(given[0])}, got {len(given[1])}")
    # Of text behind the last id that is wanted not much is read, where that is known before it is read.
    known = how is not None and how.side == "right" and not asked.windows and how.strategy != "only_second"
    if known and pairs is None and asked.offsets is None and not asked.pretokenized and asked.words is None:
        options = options._replace(limit=room)
    found = [_encode(options, placing, asked, side) for side in given]
    first, *second = (encodings for encodings, _ in found)
    if len(template) == 1 and how is None and asked.padding is None:
        rows = as_they_are(first, template[0].type_id)
    else:
        lengths = [np.diff(side.offsets) for side in (first, *second)]
        kept = lengths if how is None else shares(lengths[0], lengths[1] if second else None, room, how)
        stride, side = (None, "right") if how is None else (how.stride if asked.windows else None, how.side)
        sides = zip(lengths, kept, ("text", "pair"), strict=False)
        windows = [windows_of(length, share, stride, side, what) for length, share, what in sides]
        rows = assemble(first, second[0] if second else None, windows, template, asked.padding)
    if rows.spans is not None and calls.trims:
        taken = taken_spaces(placing.tables, [flat for _, flat in found], rows)
        for trim in calls.trims:
            firsts = starts_of_texts(rows, trim.behind_template)
            trim_spans(placing.tables, trim.add_prefix_space, rows.ids, firsts, rows.spans, taken)
    if asked.offsets == "bytes" and rows.spans is not None and rows.numbers is not None:
        for number, (_, flat) in enumerate(found):  # last, since white space is counted in characters
            own = np.flatnonzero(rows.sequences == number)
            places = rows.spans[own]
            to_bytes(flat, rows.numbers[own], places)
            rows.spans[own] = places
    return rows


def _encode(
    options: Options, placing: Placing, asked: Asked, given: tuple[Any, ...]
) -> tuple[Encodings, tuple[str, ...]]:
    """Return the ids of texts, where they stand if that is asked for, and the texts; these may be rows of words."""
    flat, bounds = _words(given) if asked.pretokenized else (given, None)
    texts, tails = as_str(flat, options.core)
    if tails and asked.offsets is not None:
        number = next(iter(tails))
        raise ValueError(
            f"offsets are of text, and text {number} is no UTF-8 from byte {len(texts[number].encode())} on"
        )
    ids, offsets = encode_texts(options, texts, tails)
    found = Encodings(ids, offsets)
    if asked.offsets is not None:
        found = found._replace(spans=find_spans(placing, texts, ids, offsets, options.actions))
    sizes = np.diff(offsets)
    if asked.offsets == "bytes" or (asked.offsets is not None and placing.tables.takers):
        found = found._replace(numbers=np.repeat(np.arange(len(texts), dtype=np.int32), sizes))
    if bounds is not None:
        of_row = (np.arange(len(texts)) - np.repeat(bounds[:-1], np.diff(bounds))).astype(np.int32)
        found = found._replace(offsets=offsets[bounds], words=np.repeat(of_row, sizes))
    elif asked.words is not None:
        found = found._replace(words=asked.words(texts, options.actions))
    return found, texts


def _words(rows: tuple[Any, ...]) -> tuple[tuple[str, ...], Any]:
    """Return the words of all rows, and where those of each row begin."""
    flat: list[str] = []
    bounds = [0]
    for s, row in enumerate(rows):
        if isinstance(row, str | bytes):
            raise TypeError(f"with pretokenized=True texts must be lists of words, got a {type(row).__name__} at {s}")
        try:
            flat += row
        except TypeError:
            raise TypeError(f"with pretokenized=True texts must be lists of words, got {row!r:.80} at {s}") from None
        bounds.append(len(flat))
    return tuple(flat), np.array(bounds, np.int64)
