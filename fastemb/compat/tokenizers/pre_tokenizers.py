"""Pre-tokenizers: text → pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..._text.component_reader import Faults, read_pre_tokenizers
from ..._text.road_cuts import pre_tokenizer
from ..._text.road_text import whole
from ..._text.vocabulary import BYTE_CHARS
from .component import Component, nodes_of, one_character, pattern_node
from .component import behavior as as_behavior


class PreTokenizer(Component, slot=True, members="pretokenizers"):
    """A pre-tokenizer."""

    def pre_tokenize_str(self, sequence: str) -> list[tuple[str, tuple[int, int]]]:
        """Return the pieces of a text, and where each stands in it."""
        faults = Faults()
        steps = read_pre_tokenizers(self._node, faults)
        if faults.damaged or faults.missing:
            raise ValueError(str(faults))
        pieces = [whole(sequence)] if sequence else []
        for step in steps:
            cut = pre_tokenizer(step)
            pieces = [part for piece in pieces for part in cut(piece)]
        return [(piece.text, (piece.starts[0], piece.ends[-1])) for piece in pieces]


class ByteLevel(PreTokenizer):
    """Cut as GPT-2 does, and write each byte as one character."""

    def __init__(
        self, add_prefix_space: bool = True, trim_offsets: bool = True, use_regex: bool = True, **state: Any
    ) -> None:
        super().__init__(add_prefix_space=add_prefix_space, trim_offsets=trim_offsets, use_regex=use_regex)

    @staticmethod
    def alphabet() -> list[str]:
        """Return the characters that bytes are written by."""
        return list(BYTE_CHARS)


class Split(PreTokenizer):
    """Cut at a text, or at what a pattern matches."""

    def __init__(self, pattern: Any, behavior: str, invert: bool = False) -> None:
        super().__init__(pattern=pattern_node(pattern), behavior=as_behavior(behavior), invert=invert)


class Metaspace(PreTokenizer):
    """Write spaces as a mark, put one in front, and cut before marks."""

    def __init__(self, replacement: str = "\u2581", prepend_scheme: str = "always", split: bool = True) -> None:
        if prepend_scheme not in ("always", "first", "never"):
            raise ValueError(f"prepend_scheme must be always, first or never, got {prepend_scheme!r}")
        super().__init__(replacement=one_character(replacement), prepend_scheme=prepend_scheme, split=split)


class Digits(PreTokenizer):
    """Cut around runs of digits, or around every digit."""

    def __init__(self, individual_digits: bool = False) -> None:
        super().__init__(individual_digits=individual_digits)


class Punctuation(PreTokenizer):
    """Cut at punctuation."""

    def __init__(self, behavior: str = "isolated") -> None:
        super().__init__(behavior=as_behavior(behavior))


class Whitespace(PreTokenizer):
    r"""Keep ``\w+|[^\w\s]+``."""


class WhitespaceSplit(PreTokenizer):
    """Keep what is no white space."""


class CharDelimiterSplit(PreTokenizer):
    """Keep what stands between delimiters."""

    def __init__(self, delimiter: str) -> None:
        super().__init__(delimiter=one_character(delimiter))


class BertPreTokenizer(PreTokenizer):
    """Drop white space, and cut at every punctuation."""


class UnicodeScripts(PreTokenizer):
    """Cut where the script changes."""


class FixedLength(PreTokenizer):
    """Cut into pieces of so many characters."""

    def __init__(self, length: int = 5) -> None:
        super().__init__(length=length)


class Sequence(PreTokenizer):
    """Pre-tokenizers one after another."""

    def __init__(self, pre_tokenizers: Iterable[Any]) -> None:
        super().__init__(pretokenizers=nodes_of(pre_tokenizers, "pre-tokenizer"))
