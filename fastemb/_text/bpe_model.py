"""A BPE vocabulary as its file describes it: what every reader returns and the C core is built from."""

from __future__ import annotations

from dataclasses import dataclass, field

MARK = "\u2581"  # the lower one eighth block: SentencePiece writes it where a space stood


def _byte_chars() -> list[str]:
    """Return the character by which GPT-2's files write each byte.

    Printable Latin-1 bytes stand for themselves; the others take the code points from 256 on, in order.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    chars = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [chars[byte] for byte in range(256)]


BYTE_CHARS = _byte_chars()
CHAR_BYTES = {char: byte for byte, char in enumerate(BYTE_CHARS)}


@dataclass(frozen=True)
class AddedToken:
    """A token matched in the text before anything else sees it."""

    content: str
    id: int
    special: bool
    late: bool = False  # matched only in what the tokens that are not late left over


@dataclass(frozen=True)
class BpeModel:
    """One BPE vocabulary of either kind; the fields are those of a `tokenizer.json`."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]  # the position is the priority
    byte_level: bool  # symbols are bytes written as BYTE_CHARS, else characters
    split_gpt2: bool = False  # byte level: pieces are cut by GPT-2's pattern
    add_prefix_space: bool = False  # byte level
    prepend_mark: bool = False  # characters
    space_to_mark: bool = False  # characters
    byte_fallback: bool = False
    fuse_unk: bool = False
    unk_token: str | None = None
    added: list[AddedToken] = field(default_factory=list)
    before: list[int] = field(default_factory=list)  # ids that the template puts before a text
    after: list[int] = field(default_factory=list)
    byte_tokens: bool = False  # decoding: a token like <0x41> is that byte
    mark_to_space: bool = False  # decoding: the mark is a space
    strip_start: bool = False  # decoding: one space at the start is dropped

    def cuts_at_marks(self) -> bool:
        """Return whether no merge joins a mark to a symbol before it.

        Then no token lies across the start of a run of marks, and a text may be cut there before it is merged.
        """
        joined = (left + right for left, right in self.merges)
        return MARK in self.vocab and not any(MARK in token.lstrip(MARK) for token in joined if MARK in token)

    def token_bytes(self) -> dict[int, bytes]:
        """Return the bytes that each id decodes to."""
        table = {id: self._vocab_bytes(token) for token, id in self.vocab.items()}
        # An added token decodes through the same rules as any other, as in the format's own engine, except
        # that at byte level a text outside the byte alphabet is itself.
        return table | {token.id: self._vocab_bytes(token.content) for token in self.added}

    def _vocab_bytes(self, token: str) -> bytes:
        if self.byte_level:
            try:
                return bytes(CHAR_BYTES[char] for char in token)
            except KeyError:
                return token.encode()
        if self.byte_tokens and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            try:
                return bytes([int(token[3:5], 16)])
            except ValueError:
                pass
        return (token.replace(MARK, " ") if self.mark_to_space else token).encode()
