"""Decoders as the format has them: each makes other strings of the strings of tokens; in the end they are joined.

For files whose decoders C cannot say, since what a token becomes depends on where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import Any

from . import components as parts
from .bpe_model import BYTE_TOKEN
from .regex_split import compiled, spans
from .vocabulary import CHAR_BYTES

Decode = Callable[[list[str]], list[str]]

# What cleaning up takes out, in this order.
_CLEANUPS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
# Decoders to which a token is the same wherever it stands, but for being the first one.
_LOCAL = (parts.Metaspace, parts.WordPieceDecoder, parts.Replace, parts.StripDecoder)


class Decoders:
    """The decoders of one file."""

    def __init__(self, steps: Sequence[parts.Decoder]) -> None:
        """Make the functions of all steps.

        Raises
        ------
        ValueError
            A pattern has no translation.
        ImportError
            A pattern needs the package `regex`.
        """
        self._steps = [_decoder(step) for step in steps]
        #: Whether each token becomes its text by itself, but for being the first one.
        self.local = all(isinstance(step, _LOCAL) for step in steps)

    def __call__(self, tokens: list[str]) -> str:
        """Return the text of tokens."""
        if tokens:
            for step in self._steps:
                tokens = step(tokens)
        return "".join(tokens)

    def later(self, token: str) -> str:
        """Return the text of a token behind others, where all are `local`."""
        tokens = ["", token]
        for step in self._steps:
            tokens = step(tokens)
        return tokens[1]


def _decoder(step: parts.Decoder) -> Decode:
    if isinstance(step, parts.Metaspace):
        return lambda tokens: _metaspace(tokens, step)
    if isinstance(step, parts.Replace):
        pattern = compiled(step.pattern, "oniguruma", literal=step.literal)
        return lambda tokens: [_replaced(token, pattern, step.content) for token in tokens]
    if isinstance(step, parts.BPEDecoder):
        return lambda tokens: [
            *(token.replace(step.suffix, " ") for token in tokens[:-1]),
            *(token.replace(step.suffix, "") for token in tokens[-1:]),
        ]
    if isinstance(step, parts.WordPieceDecoder):
        return lambda tokens: _word_piece(tokens, step)
    if isinstance(step, parts.CTC):
        return lambda tokens: _ctc(tokens, step)
    if isinstance(step, parts.StripDecoder):
        return lambda tokens: [_stripped(token, step) for token in tokens]
    return {
        parts.ByteLevel: _byte_level,
        parts.Fuse: lambda tokens: ["".join(tokens)],
        parts.ByteFallback: _byte_fallback,
    }[type(step)]


def _byte_level(tokens: list[str]) -> list[str]:
    """Return all bytes as one text; a token with a character by which no byte is written is its own."""
    data = b"".join(
        bytes(map(CHAR_BYTES.__getitem__, token)) if CHAR_BYTES.keys() >= set(token) else token.encode()
        for token in tokens
    )
    return [data.decode(errors="replace")]


def _byte_fallback(tokens: list[str]) -> list[str]:
    """Return each run of byte tokens as one text; where any of it is no UTF-8, U+FFFD for each of its tokens."""
    out: list[str] = []
    for is_byte, run in groupby(tokens, lambda token: bool(BYTE_TOKEN.fullmatch(token))):
        found = list(run)
        if is_byte:
            try:
                found = [bytes(int(token[3:5], 16) for token in found).decode()]
            except UnicodeDecodeError:
                found = ["\ufffd"] * len(found)
        out += found
    return out


def _metaspace(tokens: list[str], step: parts.Metaspace) -> list[str]:
    """Return spaces for marks; in the first token, no matter where in it, they go."""
    first = " " if step.prepend_scheme == "never" else ""
    return [token.replace(step.replacement, " " if place else first) for place, token in enumerate(tokens)]


def _replaced(token: str, pattern: Any, content: str) -> str:
    found = [(0, 0), *spans(pattern, token)] if token else []
    if len(found) < 2:
        return token
    between = [token[end:start] for (_, end), (start, _) in pairwise(found)]
    return content.join([*between, token[found[-1][1] :]])


def _stripped(token: str, step: parts.StripDecoder) -> str:
    start, end = 0, len(token)
    while start < min(step.start, len(token)) and token[start] == step.content:
        start += 1
    while len(token) - end < step.stop and end > start and token[end - 1] == step.content:
        end -= 1
    return token[start:end]


def _word_piece(tokens: list[str], step: parts.WordPieceDecoder) -> list[str]:
    """Return tokens with a space before each that begins a word."""
    out = []
    for place, token in enumerate(tokens):
        text = token
        if place:
            text = token.removeprefix(step.prefix) if token.startswith(step.prefix) else f" {token}"
        out.append(_cleaned(text) if step.cleanup else text)
    return out


def _cleaned(text: str) -> str:
    for dirty, clean in _CLEANUPS:
        text = text.replace(dirty, clean)
    return text


def _ctc(tokens: list[str], step: parts.CTC) -> list[str]:
    """Return the tokens without repetitions and padding; those of which nothing is left are gone."""
    out = []
    for token, _ in groupby(tokens):
        text = token.replace(step.pad_token, "")
        if step.cleanup:
            text = _cleaned(text).replace(step.word_delimiter_token, " ")
        if text:
            out.append(text)
    return out
