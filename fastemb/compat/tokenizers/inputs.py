"""Texts as callers give them to `encode` and `encode_batch`: single ones and pairs, as str or as lists of words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

_TEXT = "TextInputSequence must be str"
_WORDS = "PreTokenizedInputSequence must be Union[List[str], Tuple[str]]"


class Items(NamedTuple):
    """The texts of a batch: those that stand alone, and pairs."""

    alone: list[Any]
    firsts: list[Any]
    seconds: list[Any]
    order: list[bool] | None  # which of all are pairs; None where all are, or none is

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.alone) + len(self.firsts)


def as_text(text: Any) -> str:
    """Return a text; TypeError where it is none."""
    if not isinstance(text, str):
        raise TypeError(f"{_TEXT}, got {type(text).__name__}")
    return str.__str__(text)


def as_words(words: Any) -> list[str]:
    """Return the words of a text; TypeError where they are none."""
    if isinstance(words, np.ndarray) and words.ndim == 1:
        words = words.tolist()
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{_WORDS}, got {words!r:.80}")
    return list(words)


def as_items(given: Any, is_pretokenized: bool) -> Items:
    """Return the texts of a batch, sorted into single ones and pairs.

    Raises
    ------
    TypeError
        They are no sequence, or one of them is neither a text nor a pair.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"input must be a list of texts, got {type(given).__name__}")
    texts = given.tolist() if isinstance(given, np.ndarray) else list(given)
    if not is_pretokenized and {*map(type, texts)} <= {str}:  # one look at all types, at C speed
        return Items(texts, [], [], None)
    if not is_pretokenized and {*map(type, texts)} <= {tuple, list} and {*map(len, texts)} == {2}:
        flat = list(chain.from_iterable(texts))
        if {*map(type, flat)} <= {str} and len(flat) == 2 * len(texts):
            return Items([], flat[::2], flat[1::2], None)
    read: Callable[[Any], Any] = as_words if is_pretokenized else as_text
    items = Items([], [], [], [])
    for text in texts:
        is_pair = not _is_text(text, is_pretokenized) and _is_row(text) and len(text) == 2
        if is_pair:
            items.firsts.append(read(text[0]))
            items.seconds.append(read(text[1]))
        else:
            items.alone.append(read(text))
        assert items.order is not None
        items.order.append(is_pair)
    return items if items.alone and items.firsts else items._replace(order=None)


def _is_text(text: Any, is_pretokenized: bool) -> bool:
    if not is_pretokenized:
        return isinstance(text, str)
    return _is_row(text) and all(isinstance(word, str) for word in text)


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)
