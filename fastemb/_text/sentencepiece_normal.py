"""What SentencePiece makes of a text before it is cut: rules by longest match, white space, and marks for spaces."""

from __future__ import annotations

from .sentencepiece_charsmap import Charsmap, DoubleArray, double_array
from .sentencepiece_file import MARK, NormalizerSpec

MARK_BYTES = MARK.encode()
REPLACEMENT = "\ufffd".encode()


class Symbols:
    """User-defined symbols: found in a text before any rule, the longest first."""

    def __init__(self, symbols: list[bytes]) -> None:
        self._array = DoubleArray(double_array(symbols))

    def longest(self, text: bytes, at: int) -> int:
        """Return the length of the longest symbol that stands at `at`, 0 where none does."""
        return self._array.longest(text, at, len(text))[0]


class Normalized:
    """A normalized text; byte k of it is of the text that begins at byte `origins[k]`, and one more for its end."""

    def __init__(self) -> None:
        self.text, self.origins = bytearray(), list[int]()

    def add(self, piece: bytes, origin: int) -> None:
        """Write some bytes that come from one place."""
        self.text += piece
        self.origins += [origin] * len(piece)


class Normalizer:
    """The normalizer of a model; it never changes."""

    def __init__(self, spec: NormalizerSpec, symbols: Symbols | None = None, as_suffix: bool = False) -> None:
        """Take a charsmap apart; `as_suffix`: the mark that is added stands behind the text, not before it.

        Raises
        ------
        DamagedVocabularyError
            The charsmap is none.
        """
        self._spec, self._symbols, self._as_suffix = spec, symbols, as_suffix
        self._charsmap = Charsmap(spec.charsmap)
        self._mark = MARK_BYTES if spec.escape_whitespaces else b" "

    def __call__(self, text: bytes) -> tuple[bytes, list[int]]:
        """Return the normalized text, and for each of its bytes and its end where in the text it comes from.

        Of nothing, and of white space that goes, there are no places.
        """
        found, removes = Normalized(), self._spec.remove_extra_whitespaces
        at, end = 0, len(text)
        while removes and at < end:
            piece, size = self._first(text, at)
            if piece != b" ":
                break
            at += size
        if at == end:
            return b"", []
        if self._spec.add_dummy_prefix and not self._as_suffix:
            found.add(self._mark, at)
        behind_space = removes
        while at < end:
            piece, size = self._first(text, at)
            if behind_space:
                piece = piece.lstrip(b" ")
            if piece:
                found.add(piece.replace(b" ", self._mark), at)
                behind_space = removes and piece.endswith(b" ")
            at += size
        while removes and found.text.endswith(self._mark):
            del found.text[-len(self._mark) :]
            at = found.origins[len(found.text)]
            del found.origins[len(found.text) :]
        if self._spec.add_dummy_prefix and self._as_suffix:
            found.add(self._mark, at)
        return bytes(found.text), [*found.origins, at]

    def _first(self, text: bytes, at: int) -> tuple[bytes, int]:
        """Return what the text at `at` begins with once it is normalized, and how many bytes that takes."""
        size = self._symbols.longest(text, at) if self._symbols else 0
        if size:
            return text[at : at + size], size
        size, piece = self._charsmap.longest(text, at, len(text))
        if size:
            return piece, size
        size = char_size(text, at)
        return (text[at : at + size], size) if size else (REPLACEMENT, 1)


def char_size(text: bytes, at: int) -> int:
    """Return how many bytes the character at `at` has; 0 where no valid one begins."""
    first = text[at]
    size = 1 if first < 0x80 else 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4
    try:
        return size if len(text[at : at + size].decode()) == 1 and at + size <= len(text) else 0
    except UnicodeDecodeError:
        return 0


def in_chars(text: bytes) -> list[bytes]:
    """Return the characters of a text, by their first bytes alone, as the models take them."""
    chars, at = [], 0
    while at < len(text):
        size = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4)[text[at] >> 4]
        chars.append(text[at : at + size])
        at += size
    return chars
