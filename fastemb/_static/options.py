"""The options of `StaticModel`: what they may be, and what they do to rows and vectors."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from .._checks import ModelLength
from .._text.texts import as_tuple, only_str
from .._words import shown, type_name
from ..ragged import Ragged


class EncodeOptions(TypedDict, total=False):
    """What `StaticModel.encode` may be asked for, but for `join`."""

    normalize: bool | None
    max_length: int | ModelLength | None
    prompt: str | None
    prompt_name: str | None
    out: npt.NDArray[Any] | None
    window: int | None
    overlap: int


def with_prompt(texts: Any, prompts: dict[str, str], default: str, prompt: Any, name: Any) -> Any:
    """Return texts with what stands before each of them."""
    if name is not None:
        if prompt is not None:
            raise ValueError("prompt and prompt_name are given; one of them says what stands before texts")
        if not isinstance(name, str) or name not in prompts:
            raise ValueError(f"prompt_name must be one of {', '.join(prompts) or 'none'}, got {shown(name)}")
        prompt = prompts[name]
    if not isinstance(prompt, str | None):
        raise TypeError(f"prompt must be a str or None, got {type_name(prompt)}")
    front = default if prompt is None else prompt
    if not front:
        return texts
    if isinstance(texts, str):
        return front + texts
    given: tuple[Any, ...] = as_tuple(texts)
    return [front + text for text in only_str(given)]


def written(vectors: npt.NDArray[np.float32], out: Any) -> npt.NDArray[np.float32]:
    """Return vectors in `out`, where that is given."""
    if out is None:
        return vectors
    if not isinstance(out, np.ndarray) or out.shape != vectors.shape or out.dtype.kind != "f":
        raise ValueError(f"out must be a floating-point array of shape {vectors.shape}, got {shown(out)}")
    out[...] = vectors
    written: npt.NDArray[np.float32] = out
    return written


def check_count(value: Any, name: str, words: str = "", least: int = 1) -> int | None:
    """Return a whole number of at least 1 (or another), or None; ``words`` say what else may be given."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer or None{words}, got {shown(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}")
    return int(value)


def check_normalize(normalize: Any) -> None:
    """Refuse what is no bool: a text would count as True."""
    if not isinstance(normalize, bool | np.bool_):
        raise TypeError(f"normalize must be a bool or None, got {shown(normalize)}")


def keep(rows: Ragged, kept: npt.NDArray[np.bool_]) -> Ragged:
    """Return the rows with only those ids for which `kept` is true."""
    if kept.all():
        return rows
    before = np.concatenate(([0], np.cumsum(kept, dtype=np.int64)))
    return Ragged(rows.ids[kept], before[rows.offsets])


def keep_first(rows: Ragged, limit: int | None) -> Ragged:
    """Return the rows with at most so many ids of each."""
    if limit is None or rows.lengths.max(initial=0) <= limit:
        return rows
    return keep(rows, np.arange(rows.ids.size) - np.repeat(rows.offsets[:-1], rows.lengths) < limit)
