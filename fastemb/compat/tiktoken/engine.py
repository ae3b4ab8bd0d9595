"""The engine below `Encoding`: ranks, special tokens and a pattern, as one object with ``tiktoken``'s names."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._text.core import SHORT, Core, lib
from ..._text.plan import cutter_of
from ..._text.rank_file import RankVocabulary, check_bytes
from ..._text.ranked import ranked_vocabulary
from ..._text.regex_split import Splitter
from ..._text.road_core import encode_pieces
from ..._text.small import small_of
from ..._text.texts import repaired
from ..._text.vocabulary import AddedToken, DamagedVocabularyError, with_own_text
from ..._tokens import SpecialMode
from ..._words import shown, type_name
from ...tokenizer import Tokenizer

MOST = 2**31 - 2  # the highest id
JOINING = b" \n\t"  # white space that a pattern may make one piece of with what follows
FEW = 512  # ids that are looked up one by one; more of them go to C
_BRACKETED = re.compile(r"<\|[^<|>]*\|>")


class CoreBPE:
    """Ranks, special tokens and a pattern: what ``tiktoken`` keeps as ``Encoding._core_bpe``.

    It never changes, so any number of threads may use it at once.
    """

    def __init__(self, encoder: dict[bytes, int], special_tokens_encoder: dict[str, int], pattern: str) -> None:
        """Build the tokenizer.

        Raises
        ------
        ValueError
            Two tokens share a rank, a byte has no token, a rank or an id is out of range, or the pattern is damaged.
        ImportError
            The pattern needs the package ``regex``.
        """
        self.encoder, self.special = encoder, special_tokens_encoder
        added = [AddedToken(content, _as_id(content, id), special=True) for content, id in self.special.items()]
        vocabulary = with_own_text(ranked_vocabulary(ranks_of(encoder), pattern, added))
        self.core = Core(vocabulary)
        self.tokenizer = Tokenizer(self.core)
        self._splitter = cutter_of(self.core, None)
        self.short, self.small = self.core.encode_short, small_of(self.core)
        #: The bytes of an id, LookupError where there is none: a table that is filled as ids are asked for.
        self.token_bytes = self.tokenizer._tables.token_bytes
        self.known: dict[int, bytes] = {}  # of single ids: in a plain dict, which Python looks things up in by itself
        # The actions by which C encodes a short text; None where Python cuts texts.
        self.plain, self.refusing, self.matching = map(self._actions, ("none", "raise", "all" if added else "none"))

    def _actions(self, mode: SpecialMode) -> Any:
        way = self.tokenizer._short_way(mode)
        return None if way is None else way[1]

    @cached_property
    def sorted_token_bytes(self) -> list[bytes]:
        """All tokens but the special ones, in the order of their bytes."""
        return sorted(self.encoder)

    @cached_property
    def sorted_ids(self) -> npt.NDArray[np.int32]:
        """Their ids, in the same order."""
        return np.array([self.encoder[token] for token in self.sorted_token_bytes], np.int32)

    # ---------------------------------------------------------------- encoding

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the ids of a text in which special tokens are plain text."""
        return as_list(self.ids(text, frozenset()))

    def encode(self, text: str, allowed_special: Iterable[str]) -> list[int]:
        """Return the ids of a text in which these special tokens are tokens, and all others plain text."""
        return as_list(self.ids(text, frozenset(allowed_special)))

    def ids(self, text: str, allowed: frozenset[str]) -> npt.NDArray[np.int32]:
        """Return the ids of a text as an array; names in `allowed` that are no special tokens say nothing."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type_name(text)}")
        wanted = allowed & self.special.keys()
        if not wanted:
            return self.tokenizer.encode(text)
        if len(wanted) == len(self.special):
            return self.tokenizer.encode(text, special="all")
        if self._may_overlap:
            return np.concatenate([*self._parts(text, wanted), np.empty(0, np.int32)])
        return self.tokenizer.encode(text, special=wanted)

    def _parts(self, text: str, wanted: Iterable[str]) -> Iterator[npt.NDArray[np.int32]]:
        """Yield the ids of a text between special tokens, and theirs; those that are not wanted hide none."""
        last = 0
        for match in finder(wanted).finditer(text):
            yield self.tokenizer.encode(text[last : match.start()])
            yield np.array([self.special[match[0]]], np.int32)
            last = match.end()
        yield self.tokenizer.encode(text[last:])

    @cached_property
    def _may_overlap(self) -> bool:
        """Whether two special tokens may stand over one another in a text.

        The core finds all of them together, so that one which is plain text hides those that overlap it; here it does
        not. No published vocabulary has such tokens.
        """
        tokens = self.special.keys()
        if all(map(_BRACKETED.fullmatch, tokens)):
            return False
        starts = {token[:size] for token in tokens for size in range(1, len(token) + 1)}
        ends = (token[at:] for token in tokens for at in range(1, len(token)))
        inside = (token[a:b] for token in tokens for a in range(len(token)) for b in range(a + 1, len(token)))
        return any(end in starts for end in ends) or any(part in tokens for part in inside)

    def _encode_bytes(self, text: bytes) -> list[int]:
        """Return the ids of bytes, which need not be UTF-8: what is none is one piece with all that follows."""
        if not isinstance(text, bytes):
            raise TypeError(f"text must be bytes, got {type_name(text)}")
        if len(text) <= SHORT and self.plain is not None:
            try:
                found = self.short(text.decode(), self.plain)
            except UnicodeDecodeError as error:
                ids, kept = self.encode_kept(text[: error.start].decode(), frozenset())
                return ids[:kept] + self.encode_single_piece(self.bytes_of(ids[kept:]) + text[error.start :])
            if found is not None:
                return as_list(found)
        return as_list(self.tokenizer.encode(text))

    def encode_single_token(self, piece: bytes) -> int:
        """Return the id of a token, a special one too; KeyError where there is none."""
        id = self.encoder.get(piece)
        if id is None:
            try:
                return self.special[piece.decode()]
            except (KeyError, UnicodeDecodeError):
                raise KeyError(piece) from None
        return id

    def encode_single_piece(self, piece: bytes) -> list[int]:
        """Return the ids of bytes that are one piece, whatever the pattern says."""
        ids = self.small.encode_piece(piece) if type(piece) is bytes else None
        if ids is not None:
            return ids
        id = self.encoder.get(piece)
        return self.encode_pieces([piece]) if id is None else [id]

    def encode_pieces(self, pieces: Sequence[bytes]) -> list[int]:
        """Return the ids of pieces, one behind the other."""
        return as_list(encode_pieces(self.core, pieces, lib.FE_PATTERN_NONE)[0])

    def encode_kept(self, text: str, allowed: frozenset[str]) -> tuple[list[int], int]:
        """Return the ids of a text, and how many of them stay whatever follows it.

        The others are of its last piece, and of white space before it that may join it.
        """
        ids = self.ids(text, allowed).tolist()
        last = self._last_piece(text, allowed)
        if not last:
            return ids, len(ids)
        kept, bytes_of = len(ids) - len(self.encode_single_piece(last)), self.token_bytes
        if not bytes_of[ids[kept]].strip(JOINING):
            while kept and ids[kept - 1] not in self.special.values() and not bytes_of[ids[kept - 1]].strip(JOINING):
                kept -= 1
        return ids, kept

    def _last_piece(self, text: str, allowed: frozenset[str]) -> bytes:
        """Return the last piece of a text behind its last special token; nothing where there is none."""
        wanted = allowed & self.special.keys()
        matches = list(finder(wanted).finditer(text)) if wanted else []
        rest = repaired(text[matches[-1].end() :] if matches else text)
        if isinstance(self._splitter, Splitter):
            return (self._splitter.pieces(rest) or [""])[-1].encode()
        data = rest.encode()
        starts, ends = self.core.pieces(data)
        return data[starts[-1] : ends[-1]] if ends.size else b""

    # ---------------------------------------------------------------- decoding

    def decode_bytes(self, tokens: Sequence[int]) -> bytes:
        """Return the bytes of ids; KeyError where one is no token, OverflowError where it is no number of 32 bits."""
        data = self.small.decode_bytes(tokens)
        if data is not None:
            return data
        try:
            if len(tokens) <= FEW and type(sum(tokens)) is int:  # a float among them would be found in the table, too
                return b"".join(map(self.token_bytes.__getitem__, tokens))
        except (TypeError, LookupError):
            pass
        try:
            return self.tokenizer.decode_bytes(np.frombuffer(array("I", tokens), np.uint32).astype(np.int64))
        except IndexError as error:
            raise KeyError(str(error)) from None

    def bytes_of(self, ids: list[int]) -> bytes:
        """Return the bytes of ids of this vocabulary."""
        return b"".join(map(self.token_bytes.__getitem__, ids))

    def decode_single_token_bytes(self, token: int) -> bytes:
        """Return the bytes of one token; KeyError where there is none."""
        [id] = array("I", [token])  # which raises what is wrong with it, if it is no number of 32 bits
        try:
            found = self.known[id] = self.token_bytes[id]
        except LookupError:
            raise KeyError(f"id {id} is no token of this vocabulary") from None
        return found

    def token_byte_values(self) -> list[bytes]:
        """Return all tokens but the special ones, in the order of their bytes."""
        return list(self.sorted_token_bytes)


def as_list(ids: npt.NDArray[np.int32]) -> list[int]:
    """Return ids as a list."""
    found: list[int] = ids.tolist()
    return found


def finder(tokens: Iterable[str]) -> re.Pattern[str]:
    """Return what finds these texts: the leftmost, and of several there the longest."""
    return re.compile("|".join(map(re.escape, sorted(tokens, key=lambda token: (-len(token), token)))))


def ranks_of(encoder: dict[bytes, int]) -> RankVocabulary:
    """Return ranks as the readers of files do.

    Raises
    ------
    TypeError
        A token is no ``bytes``, or a rank no integer.
    ValueError
        Two tokens share a rank, a rank is out of range, or a byte has no token.
    """
    tokens = list(encoder)
    if not {*map(type, tokens)} <= {bytes}:
        key = next(token for token in tokens if type(token) is not bytes)
        raise TypeError(f"mergeable_ranks must map bytes to int, got the key {shown(key)}")
    ids = np.array(list(encoder.values()))
    if ids.dtype.kind not in "iu":
        raise TypeError(f"mergeable_ranks must map bytes to int from 0 to {MOST}, got values of another kind")
    if (ids[1:] <= ids[:-1]).any():
        order = np.argsort(ids, kind="stable")
        ids, tokens = ids[order], [tokens[i] for i in order.tolist()]
    same = np.flatnonzero(ids[1:] == ids[:-1])
    if same.size:
        first, second = tokens[int(same[0])], tokens[int(same[0]) + 1]
        raise ValueError(f"mergeable_ranks has the rank {ids[same[0]]} twice, for {first!r} and {second!r}")
    if ids[0] < 0 or ids[-1] > MOST:
        wrong = int(ids[0]) if ids[0] < 0 else int(ids[-1])
        raise ValueError(f"mergeable_ranks must have ranks from 0 to {MOST}, got {wrong}")
    silent = tuple(int(id) for id, token in zip(ids, tokens, strict=True) if not token) if b"" in encoder else ()
    if silent:
        ids, tokens = ids[[bool(token) for token in tokens]], [token for token in tokens if token]
    offsets = np.zeros(len(tokens) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, tokens), np.int64, len(tokens)), out=offsets[1:])
    vocabulary = RankVocabulary(b"".join(tokens), offsets, ids.astype(np.int32), silent)
    try:
        check_bytes(vocabulary)
    except DamagedVocabularyError as error:
        raise ValueError(f"mergeable_ranks: {error}; a text that holds it could not be encoded") from None
    return vocabulary


def _as_id(content: Any, id: Any) -> int:
    """Return the id of a special token; ValueError where it can be none."""
    if not isinstance(content, str) or not content:
        raise ValueError(f"special_tokens must map texts to ids, got {content!r}: {shown(id)}")
    if not isinstance(id, int | np.integer) or not 0 <= int(id) <= MOST:
        raise ValueError(f"special_tokens must have ids from 0 to {MOST}, got {content!r}: {shown(id)}")
    return int(id)
