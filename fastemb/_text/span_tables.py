"""What is known of tokens by their ids, from which follows where they stand in a text."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from .bpe_model import BYTE_TOKENS
from .core import Core, Offsets, ffi, lib
from .tables import Tables
from .vocabulary import BYTE_CHARS, CHAR_BYTES

_MATCH = 1  # fe_token_action


class SpanTables:
    """What is known of tokens by their ids, made when offsets are first asked for."""

    def __init__(self, core: Core, tables: Tables) -> None:
        self.core, self._tables = core, tables
        contents = core.contents
        flags = contents.flags
        is_byte_level = bool(flags & lib.FE_BYTE_LEVEL)
        #: A mark or space stands before the text between added tokens: before each, or where it has no space.
        self.prepends = not is_byte_level and bool(flags & lib.FE_PREPEND) and not flags & lib.FE_PREPEND_FIRST
        self.adds_space = is_byte_level and bool(flags & lib.FE_ADD_SPACE)
        token_bytes, ends = _token_bytes(core) if is_byte_level else _decoded(core)
        data = np.append(np.frombuffer(token_bytes, np.uint8), 0)
        is_start = (data & 0xC0) != 0x80
        starts = np.zeros(data.size + 1, np.int32)
        np.cumsum(is_start, out=starts[1:])
        widths = 2 * (starts[ends[1:]] - starts[ends[:-1]]) + (~is_start[ends[:-1]] & (np.diff(ends) > 0))
        #: By id: twice the characters that begin in a token, and 1 if it begins inside one.
        self.widths = np.zeros(core.highest_id() + 1, np.uint32)
        self.widths[core.ids()] = widths
        #: By id: how many bytes of text a token stands for; 0 of the unknown one, of which that is not known.
        self.sizes = np.zeros(self.widths.size, np.int64)
        self.sizes[core.ids()] = np.diff(ends)
        falls_back = bool(flags & lib.FE_BYTE_FALLBACK)
        if falls_back:
            ids = np.array([tables.id_by_name.get(name, -1) for name in BYTE_TOKENS])
            is_inside = (np.arange(256) & 0xC0) == 0x80
            self.widths[ids[ids >= 0]] = np.where(is_inside, 1, 2)[ids >= 0]
            self.sizes[ids[ids >= 0]] = 1
        # Tokens whose place is not told by the sum: the unknown one, where it may stand for part of a character, or
        # somewhere else than its character does; and added ones that take white space, which another may take, too.
        #: Ids of added tokens whose place has white space of the text in it.
        self.takers = [token.id for token in core.metadata.added if token.lstrip or token.rstrip]
        unsure = [*self.takers]
        byte_names = BYTE_CHARS if is_byte_level else BYTE_TOKENS if falls_back else []
        if contents.unk >= 0 and not (byte_names and tables.id_by_name.keys() >= {*byte_names}):
            unk = int(contents.token_ids[contents.unk])
            self.sizes[unk] = 0
            self.widths[unk] = 2  # one character, as a rule: where it stands for several, the sum shows it
            unsure += [unk] if byte_names else []
        #: By id: whether a text with this token takes the general road; None: no token is such.
        self.unsure: npt.NDArray[np.bool_] | None = None
        if unsure:
            self.unsure = np.zeros(self.widths.size, bool)
            self.unsure[unsure] = True

    def added(self, actions: bytes) -> npt.NDArray[np.bool_] | None:
        """Return by id whether a token is an added one that is matched in texts; None: there is none."""
        ids = [token.id for token, action in zip(self.core.metadata.added, actions, strict=True) if action == _MATCH]
        if not ids:
            return None
        found = np.zeros(self.widths.size, bool)
        found[ids] = True
        return found

    @cached_property
    def spaces(self) -> npt.NDArray[np.int32]:
        """By id: how many characters of white space a token's name begins with, and how many it ends with."""
        found = np.zeros((self.widths.size, 2), np.int32)
        for id, name in self._tables.name_by_id.items():
            if name and (_is_space(name[0]) or _is_space(name[-1])):
                found[id] = spaces_at_ends(name)

        return found


def _decoded(core: Core) -> tuple[bytes, Offsets]:
    """Return the bytes that tokens decode to, end to end, and where those of each begin."""
    contents = core.contents
    ends = core._array(contents.token_offsets, contents.tokens + 1, np.uint32).astype(np.int64)
    return bytes(ffi.buffer(contents.token_bytes, int(ends[-1]))), ends


def _token_bytes(core: Core) -> tuple[bytes, Offsets]:
    """Return the bytes of text that tokens of a byte-level vocabulary stand for, and where those of each begin."""
    if core.names is None:
        return _decoded(core)
    tokens = [
        bytes(map(CHAR_BYTES.__getitem__, name)) if CHAR_BYTES.keys() >= {*name} else name.encode()
        for name in core.names[: core.contents.vocab]
    ]
    tokens += [name.encode() for name in core.names[core.contents.vocab :]]
    return b"".join(tokens), np.cumsum([0, *map(len, tokens)])


def spaces_at_ends(text: str) -> tuple[int, int]:
    """Return how many characters of white space a text begins with, and how many it ends with."""
    inner = [i for i, char in enumerate(text) if not _is_space(char)]
    return (inner[0], len(text) - 1 - inner[-1]) if inner else (len(text), len(text))


def _is_space(char: str) -> bool:
    """Return whether Rust calls a character white space, or it is a space as GPT-2's files write it."""
    return char == "\u0120" or (char.isspace() and not "\x1c" <= char <= "\x1f")
