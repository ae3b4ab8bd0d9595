"""What single calls ask of a vocabulary again and again, in tables of Python objects that are made once."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np

from .core import Core, Ids, ffi
from .decoders import Decoders
from .vocabulary import spelled

FEW = 512  # ids; more of them go to C, which takes an array


class TokenBytes(dict[int, bytes]):
    """The bytes of each id that has been asked for; LookupError where no token has it.

    Filled as ids come: a whole table takes 100 ns a token to make, and some twenty megabytes.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def __missing__(self, id: int) -> bytes:
        contents = self._core.contents
        if 0 <= id < contents.tokens and contents.sorted_ids[id] == id:  # ids without gaps: nearly all files
            number: int | None = int(contents.sorted_tokens[id])
        else:
            number = self._core.number_of(id)
        if number is None:
            raise LookupError(id)
        found = self[id] = self._core.token_bytes(number)
        return found


class Tables:
    """The tables of one tokenizer, each made when it is first asked for.

    Of added tokens that share an id or a name the last one counts, in all of them and in C.
    """

    def __init__(self, core: Core, decoders: Decoders | None = None) -> None:
        self._core = core
        self.token_bytes = TokenBytes(core)
        self.decoders = decoders  # what decodes where the bytes of tokens are not enough
        self.separator = core.metadata.joined_by.encode()  # decoding: between two tokens
        self.strip_start = core.metadata.strip_start  # decoding: one space at the start is dropped
        self._by_bytes: dict[bytes, int] = {}

    @cached_property
    def id_by_name(self) -> dict[str, int]:
        """The ids of all tokens by the names that the file has for them, added tokens last."""
        core, names = self._core, self._names()
        ids = core.ids().tolist()
        found = dict(zip(names, ids, strict=True))
        if len(found) < len(names):  # bytes of an added token are another token's too, which text gives
            found |= dict(zip(names[: core.contents.vocab], ids, strict=False))
        return found | {token.content: token.id for token in core.metadata.added}

    @cached_property
    def name_by_id(self) -> dict[int, str]:
        """The names of all tokens by their ids."""
        found = dict(zip(self._core.ids().tolist(), self._names(), strict=True))
        return found | {token.id: token.content for token in self._core.metadata.added}

    def _names(self) -> list[str]:
        """Return the names of tokens, by number: those of the file, or bytes as GPT-2's files spell them."""
        core, contents = self._core, self._core.contents
        if core.names is not None:
            return core.names
        ends = ffi.unpack(contents.token_offsets, contents.tokens + 1)
        text = spelled(bytes(ffi.buffer(contents.token_bytes, ends[-1])))  # one character for each byte
        names = [text[start:end] for start, end in pairwise(ends)]
        added = {token.id: token.content for token in core.metadata.added}
        for number in range(contents.vocab, contents.tokens):  # which are no bytes
            names[number] = added.get(contents.token_ids[number], names[number])
        return names

    def id_of_bytes(self, token: bytes) -> int | None:
        """Return the id of the token that stands for these bytes; None where there is none."""
        try:
            return self._by_bytes[token]
        except KeyError:
            id = self._added_by_bytes.get(token, self._core.find(token))
        if id is not None:
            self._by_bytes[token] = id
        return id

    @cached_property
    def _added_by_bytes(self) -> dict[bytes, int]:
        return {token.content.encode(): token.id for token in self._core.metadata.added}

    @cached_property
    def sorted_ids(self) -> Ids:
        """All ids, ascending."""
        return np.sort(self._core.ids())

    @cached_property
    def sorted_special(self) -> Ids:
        """The ids of special tokens, ascending."""
        return np.array(sorted(self.special_ids), np.int32)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The ids of special tokens."""
        return frozenset(token.id for token in self._core.metadata.added if token.special)
