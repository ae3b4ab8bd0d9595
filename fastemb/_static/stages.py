"""The two stages of `StaticModel.encode`, one by one: the ids of texts, and the vectors of ids; these as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._text.decimals import decimals
from .._text.lines import PackedLines, line_ends
from ..ragged import Ragged
from .options import keep, keep_first, with_prompt

__all__ = ["PackedLines", "decimals", "ids_of", "line_ends", "vectors_of"]


def ids_of(model: Any, texts: Sequence[str]) -> Ragged:
    """Return the ids that make the vector of each text, by a `StaticModel`; those of `PackedLines` by this thread."""
    if isinstance(texts, PackedLines):
        rows = _ids_of_lines(model, texts)
        if rows is not None:
            return rows
        texts = texts.strings
    found: Ragged = model._tokenize(with_prompt(texts, model.prompts, model._prompt, None, None))
    return found


def _ids_of_lines(model: Any, lines: PackedLines) -> Ragged | None:
    """Return the ids of lines; None where each is needed as a ``str``."""
    limit, packed = model._max_length, lines.packed
    most = 0 if limit is None else limit * model._chars_per_id
    cuts = most > 0 and packed.chars.max(initial=0) > most  # a line has no more characters than bytes
    if cuts or model._prompt or model._subwords is not None:
        return None
    rows: Ragged | None = model.tokenizer._encode_packed(packed)
    if rows is None:
        return None
    rows = keep_first(rows, limit)
    return rows if model._drop is None else keep(rows, rows.ids != model._drop)


def vectors_of(
    model: Any, rows: Ragged, normalize: bool | None, out: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """Return the vector of each row of ids, in `out` if given; `normalize` is as `StaticModel.encode` takes it."""
    vectors: npt.NDArray[np.float32] = model._pool(rows, normalize, out)
    return vectors
