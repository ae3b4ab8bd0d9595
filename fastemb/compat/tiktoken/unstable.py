"""What a text may go on to become: the tokens of it that stay, whatever follows, and the completions of the rest.

The last piece of a text may change with what follows it. So its bytes, and those of white space before it that could
join it, are unstable: each way in which a token may stand across the end of the text gives one completion.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from .engine import CoreBPE, finder

Completion = tuple[int, ...]
_JOINING = b" \n\t"  # white space that a pattern may make one piece of with what follows


def encode_with_unstable(engine: CoreBPE, text: str, allowed: frozenset[str]) -> tuple[list[int], set[Completion]]:
    """Return the ids that stay, and the ids by which the rest of the text may begin, for all that may follow it.

    A completion ends with the first token that reaches the end of the text.
    """
    ids = engine.ids(text, allowed).tolist()
    last = _last_piece(engine, text, allowed)
    if not last:  # nothing, or a special token, which nothing that follows changes
        return ids, set()
    at = len(ids) - len(engine.encode_single_piece(last))
    bytes_at = engine.bytes_at
    if not bytes_at(ids[at]).strip(_JOINING):
        while at and ids[at - 1] not in engine.special.values() and not bytes_at(ids[at - 1]).strip(_JOINING):
            at -= 1
    unstable = b"".join(bytes_at(id) for id in ids[at:])
    return ids[:at], {*_whole(engine, unstable), *_across(engine, unstable), *_split_off(engine, unstable)}


def _last_piece(engine: CoreBPE, text: str, allowed: frozenset[str]) -> bytes:
    """Return the last piece of a text behind its last special token; nothing where there is none."""
    wanted = allowed & engine.special.keys()
    matches = list(finder(wanted).finditer(text)) if wanted else []
    rest = text[matches[-1].end() :] if matches else text
    pieces = engine.pieces(rest.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return pieces[-1] if pieces else b""


def _starting_with(engine: CoreBPE, prefix: bytes) -> Iterator[bytes]:
    """Yield the tokens that begin with these bytes."""
    tokens = engine.sorted_token_bytes
    at = bisect_left(tokens, prefix)
    while at < len(tokens) and tokens[at].startswith(prefix):
        yield tokens[at]
        at += 1


def _whole(engine: CoreBPE, unstable: bytes) -> Iterator[Completion]:
    """Yield the single tokens that begin with all of the unstable bytes."""
    return ((engine.encoder[token],) for token in _starting_with(engine, unstable))


def _across(engine: CoreBPE, unstable: bytes) -> Iterator[Completion]:
    """Yield what becomes of the unstable bytes where a token begins inside them and goes on behind their end."""
    cut = [(at, unstable[at:]) for at in range(1, len(unstable))]
    texts = [unstable[:at] + token for at, suffix in cut for token in _starting_with(engine, suffix)]
    valid, pieces = list[str](), list[bytes]()
    for text in texts:
        try:
            valid.append(text.decode())
        except UnicodeDecodeError:  # no pattern can cut it
            pieces.append(text)
    for row in engine.tokenizer.encode_batch(valid).tolist() + engine.rows_of_pieces(pieces):
        size, end = 0, 0
        while end < len(row) and size < len(unstable):
            size += len(engine.bytes_at(row[end]))
            end += 1
        yield tuple(row[:end])


def _split_off(engine: CoreBPE, unstable: bytes) -> Iterator[Completion]:
    r"""Yield the bytes with white space at their end as a piece by itself, to which ``\s+(?!\S)`` may make it."""
    text = unstable.decode(errors="ignore")
    last = text[-1:].encode()
    before = unstable[: len(unstable) - len(last)]
    if before and last and unstable.endswith(last) and text[-1].isspace():
        yield tuple(engine.encode_single_piece(before) + engine.encode_single_piece(last))
