"""The starts of long texts of which only the first ids are wanted: the rest is not even made UTF-8."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .core import Core, Ids, Offsets, lib
from .encode import Options, encode_texts
from .plan_normal import keeps_words
from .texts import as_str

SPARE = 4096  # characters beside those that the ids take, and in which a place to cut is looked for
CHARS_PER_ID = 8  # English has four to five
# Between a letter and a blank every pattern that C knows ends a piece, and no piece before it depends on what follows:
# none looks further than one character behind its end. (Behind a blank a piece may begin with it, or before it.) An
# added token that takes the blank, and others behind it, stands behind the cut; one that takes it stands before it.
_PLACE = re.compile("[A-Za-z](?= )")
_PLACE_IN_BYTES = re.compile(rb"[A-Za-z](?= )")


def can_start(core: Core) -> bool:
    """Return whether the first ids of a text are those of its start, cut between a letter and a blank."""
    unknown = (lib.FE_PATTERN_NONE, lib.FE_PATTERN_PROGRAM)
    known = bool(core.contents.flags & lib.FE_BYTE_LEVEL) and core.contents.pattern not in unknown
    return known and keeps_words(core.normal) and not any(" " in token.content[1:] for token in core.metadata.added)


def encode_starts(options: Options, texts: Sequence[str | bytes]) -> tuple[Ids, Offsets] | None:
    """Return the first `options.limit` ids of each text; None where no text is so long that its start is enough."""
    size = CHARS_PER_ID * options.limit + SPARE
    try:
        if max(map(len, texts), default=0) <= 2 * size:
            return None
    except TypeError:  # no texts, which is said elsewhere
        return None
    starts = [_start(text, size) for text in texts]
    while any(start is not text for start, text in zip(starts, texts, strict=True)):
        rows, tails = as_str(starts, options.core)
        # What follows invalid bytes is one piece with them, so there no start is enough; nor where it has too few ids.
        few = [number for number in tails if starts[number] is not texts[number]]
        if not few:
            ids, offsets = encode_texts(options, rows, tails)
            short = np.flatnonzero(np.diff(offsets) < options.limit).tolist()
            few = [number for number in short if starts[number] is not texts[number]]
            if not few:
                return ids, offsets
        size *= 8
        for number in few:
            starts[number] = texts[number] if number in tails else _start(texts[number], size)
    return None


def _start(text: str | bytes, size: int) -> str | bytes:
    """Return the start of a text of about `size` characters; the text itself where it is no longer or has no place."""
    if not (type(text) is str or type(text) is bytes) or len(text) <= 2 * size:
        return text
    pattern: re.Pattern[Any] = _PLACE if type(text) is str else _PLACE_IN_BYTES
    found = pattern.search(text, size, size + SPARE)
    return text if found is None else text[: found.end()]
