"""Decoders: tokens → text; and `DecodeStream`, which decodes ids while they come."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Several
from typing import Any, Protocol

from ..._text.component_reader import Faults, read_decoders
from ..._text.decoders import Decoders
from .component import Component, nodes_of, one_character, pattern_node


class Decoder(Component, slot=True, members="decoders"):
    """A decoder."""

    def decode(self, tokens: Several[str]) -> str:
        """Return the text of tokens."""
        faults = Faults()
        steps = read_decoders(self._node, faults)
        if faults.damaged or faults.missing or steps is None:
            raise ValueError(str(faults))
        return Decoders(steps)(list(tokens))


class ByteLevel(Decoder):
    """Tokens spell bytes."""

    def __init__(self, **state: Any) -> None:
        super().__init__(add_prefix_space=True, trim_offsets=True, use_regex=True)


class Fuse(Decoder):
    """Join all tokens: what follows sees the text."""


class ByteFallback(Decoder):
    """Tokens like ``<0xE2>`` are bytes."""


class Replace(Decoder):
    """Replace a text or what a pattern matches, token by token."""

    def __init__(self, pattern: Any, content: str) -> None:
        super().__init__(pattern=pattern_node(pattern), content=content)


class Strip(Decoder):
    """Drop up to so many of a character from both ends of a token."""

    def __init__(self, content: str = " ", left: int = 0, right: int = 0) -> None:
        super().__init__(content=content, start=left, stop=right)


class Metaspace(Decoder):
    """Undo what the pre-tokenizer of this name does."""

    def __init__(self, replacement: str = "\u2581", prepend_scheme: str = "always", split: bool = True) -> None:
        super().__init__(replacement=one_character(replacement), prepend_scheme=prepend_scheme, split=split)


class WordPiece(Decoder):
    """Join continuing tokens, put spaces before the others."""

    def __init__(self, prefix: str = "##", cleanup: bool = True) -> None:
        super().__init__(prefix=prefix, cleanup=cleanup)


class BPEDecoder(Decoder):
    """The suffix is a space, and nothing at the end of the text."""

    def __init__(self, suffix: str = "</w>") -> None:
        super().__init__(suffix=suffix)


class CTC(Decoder):
    """Drop repeated tokens and padding; the delimiter is a space."""

    def __init__(self, pad_token: str = "<pad>", word_delimiter_token: str = "|", cleanup: bool = True) -> None:
        super().__init__(pad_token=pad_token, word_delimiter_token=word_delimiter_token, cleanup=cleanup)


class Sequence(Decoder):
    """Decoders one after another."""

    def __init__(self, decoders: Iterable[Any]) -> None:
        super().__init__(decoders=nodes_of(decoders, "decoder"))


class Decodes(Protocol):
    """What a `DecodeStream` asks of a tokenizer."""

    def decode(self, ids: Several[int], skip_special_tokens: bool = True) -> str:
        """Return the text of ids."""

    def _decode_one(self, id: int, skip_special_tokens: bool) -> str:
        """Return the text of an id by itself, which is remembered."""


class DecodeStream:
    r"""The text of ids that come one after another, given out as soon as it is whole characters.

    Parameters
    ----------
    ids : sequence of int, optional
        What was there before, as a prompt: its text is not given out.
    skip_special_tokens : bool
        Leave out special tokens.

    Examples
    --------
    >>> from fastemb.compat.tokenizers import Tokenizer
    >>> from fastemb.compat.tokenizers.decoders import ByteFallback, DecodeStream
    >>> from fastemb.compat.tokenizers.models import BPE
    >>> tokenizer = Tokenizer(BPE({"<0xC3>": 0, "<0xA9>": 1, "a": 2}, [], byte_fallback=True))
    >>> tokenizer.decoder = ByteFallback()
    >>> stream = DecodeStream()
    >>> [stream.step(tokenizer, id) for id in (2, 0, 1)]
    ['a', None, 'é']
    """

    def __init__(self, ids: Several[int] | None = None, skip_special_tokens: bool = False) -> None:
        self._ids = list(ids or ())
        self._skip = bool(skip_special_tokens)
        self._prefix, self._at = "", 0  # the text given out of the ids that are kept, and how many of these it has

    def step(self, tokenizer: Decodes, id: int | Several[int]) -> str | None:
        """Return the text that one more id, or some more, make whole; None where there is none yet.

        Parameters
        ----------
        tokenizer : Tokenizer
        id : int or sequence of int

        Returns
        -------
        str or None

        Raises
        ------
        TypeError
            `id` is neither.
        Exception
            What was given out is not the start of the text any more.
        """
        more = [id] if isinstance(id, int) else [*id]
        if not self._prefix and self._ids:
            text = tokenizer.decode(self._ids, self._skip)
            if not text.endswith("\ufffd"):
                self._prefix, self._at = text, len(self._ids)
        self._ids += more
        text, prefix = tokenizer.decode(self._ids, self._skip), self._prefix
        if text.endswith("\ufffd") or len(text) == len(prefix) == 0:
            return None
        if not text.startswith(prefix):
            if len(text.encode()) <= len(prefix.encode()):
                return None
            raise Exception(
                f"the stream gave out {prefix!r}, with which the text {text!r} does not begin any more "
                f"behind the id {self._ids[-1]}"
            )
        if len(text) == len(prefix):
            return None
        found = text[len(self._prefix) :]
        # As much as surrounds what was given out last is kept, so that it decodes as it did.
        kept = len(self._ids) - self._at
        self._ids = self._ids[self._at :]
        if len(self._ids) == 1:
            self._prefix = tokenizer._decode_one(self._ids[0], self._skip)
        else:
            self._prefix = tokenizer.decode(self._ids, self._skip)
        self._at = kept
        return found

    def __copy__(self) -> DecodeStream:
        stream = DecodeStream(self._ids, self._skip)
        stream._prefix, stream._at = self._prefix, self._at
        return stream

    def __deepcopy__(self, memo: object) -> DecodeStream:
        return self.__copy__()
