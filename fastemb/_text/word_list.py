"""A list of whole words as a tokenizer: text is cut at white space, and C looks each word up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .components import TokenizerFile, WhitespaceSplit, WordLevel
from .core import Core
from .load import build
from .plan import plan

UNKNOWN = "unknown word"  # no text holds it as a word, since a blank stands in it


def word_list(path: Path, words: Iterable[str]) -> tuple[Core, int]:
    """Return a vocabulary in which a word's id is its place, and the id of all that is none of them, behind the last.

    Of a word that stands twice the first place counts. `path` is what errors name.
    """
    vocab: dict[str, int] = {}
    count = 0
    for word in words:
        vocab.setdefault(word, count)
        count += 1
    unknown = UNKNOWN
    while unknown in vocab:
        unknown += "!"
    vocab[unknown] = count
    file = TokenizerFile(WordLevel(vocab, unknown), pre_tokenizers=(WhitespaceSplit(),))
    return build(path, plan(file)), count
