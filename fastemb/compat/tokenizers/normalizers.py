"""Normalizers: text → text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from ..._text.component_reader import Faults, read_normalizers
from ..._text.road_normal import normalizer
from ..._text.road_text import whole
from .component import Component, nodes_of, pattern_node


class Normalizer(Component, slot=True, members="normalizers"):
    """A normalizer."""

    def normalize_str(self, sequence: str) -> str:
        """Return the normalized text."""
        faults = Faults()
        steps = read_normalizers(self._node, faults)
        if faults.damaged or faults.missing:
            raise ValueError(str(faults))
        stretch = whole(sequence)
        for step in steps:
            stretch = normalizer(step)(stretch)
        return stretch.text


class NFC(Normalizer):
    """Compose."""


class NFD(Normalizer):
    """Decompose."""


class NFKC(Normalizer):
    """Decompose by compatibility, then compose."""


class NFKD(Normalizer):
    """Decompose by compatibility."""


class StripAccents(Normalizer):
    """Drop all marks."""


class Lowercase(Normalizer):
    """Lower case."""


class Nmt(Normalizer):
    """Drop some controls, and make spaces of other white space and of some more."""


class ByteLevel(Normalizer):
    """Write each byte of the text as one character."""


class BertNormalizer(Normalizer):
    """BERT's four steps."""

    def __init__(
        self,
        clean_text: bool = True,
        handle_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        lowercase: bool = True,
    ) -> None:
        super().__init__(
            clean_text=clean_text,
            handle_chinese_chars=handle_chinese_chars,
            strip_accents=strip_accents,
            lowercase=lowercase,
        )


class Strip(Normalizer):
    """Drop white space at the ends."""

    _names: ClassVar[dict[str, str]] = {"left": "strip_left", "right": "strip_right"}

    def __init__(self, left: bool = True, right: bool = True) -> None:
        super().__init__(strip_left=left, strip_right=right)


class Prepend(Normalizer):
    """Put a text before every text that is not empty."""

    def __init__(self, prepend: str = "\u2581") -> None:
        super().__init__(prepend=prepend)


class Replace(Normalizer):
    """Replace a text or what a pattern matches."""

    def __init__(self, pattern: Any, content: str) -> None:
        super().__init__(pattern=pattern_node(pattern), content=content)


class Sequence(Normalizer):
    """Normalizers one after another."""

    def __init__(self, normalizers: Iterable[Any]) -> None:
        super().__init__(normalizers=nodes_of(normalizers, "normalizer"))
