"""The binding: a vocabulary handed to C once, then blocks of texts, each in one call with the GIL released."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._memory import empty
from .compiled import ffi as ffi
from .compiled import lib as lib
from .spec import ADDED_FLAGS, grown, spec_of, twins
from .vocabulary import AddedToken, Metadata, Vocabulary, names_in
from .workspace import LAST, WORKSPACE_IDS, Workspace, cache_budget, parts_of

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]

MAGIC = b"fastemb\n"  # how our own files begin
NO_LIMIT = 2**63 - 1
MOST_CHOICES = 64  # of special tokens, kept for later calls
SPARE_CACHE_BYTES = 1 << 20  # the cache of a call that finds no part of the tokenizer's memory left
SHORT = WORKSPACE_IDS - 8  # characters of short texts: where each is a byte, their ids find room

_SECRET = hash("fastemb") & (1 << 64) - 1  # of this process, as Python's own hashes: no text can know it

_MESSAGES = {
    lib.FE_NO_MEMORY: "out of memory while tokenizing",
    lib.FE_TOO_LONG: "a text of 2**31 - 64 bytes or more cannot be tokenized in one piece",
}
_PATHS = dict(zip(("none", "neon", "avx2", "avx512", ""), range(lib.FE_PATH_PLAIN, lib.FE_PATH_BEST + 1), strict=True))


class SpecialTokenFound(Exception):
    """An added token that was to be refused stands in a text.

    `token` is the number of the added token, `text` the number of the text, `place` the character at which it stands.
    """

    def __init__(self, token: int, text: int, place: int) -> None:
        super().__init__(token, text, place)
        self.token = token
        self.text = text
        self.place = place


class UnknownId(Exception):
    """An id belongs to no token; the argument is the position of that id among all ids of the call."""


class Done(NamedTuple):
    """What a call of C finished: what fe_out receives."""

    texts: int
    bytes: int
    ids: int
    token: int
    place: int


class Packed(NamedTuple):
    """Texts as UTF-8, one after another, and the number of characters of each text.

    Or the number of its bytes: C tells by what they come to, since all are characters only where all is ASCII.
    """

    utf8: bytes | npt.NDArray[np.uint8]
    chars: Offsets

    def put_into(self, job: Any) -> tuple[Any, ...]:
        """Put the texts into a fe_job; what is returned must stay alive as long as the job is used."""
        alive = ffi.from_buffer("uint8_t[]", self.utf8), ffi.from_buffer("int64_t[]", self.chars)
        job.utf8, job.char_counts = alive
        job.size, job.texts, job.each = len(self.utf8), self.chars.size, ffi.NULL
        return alive

    def behind(self, done: Done) -> Packed:
        """Return the texts that a call did not complete."""
        return Packed(self.utf8[done.bytes :], self.chars[done.texts :])

    def character(self, done: Done) -> int:
        """Return at which character of its text a refused token stands."""
        return len(bytes(self.utf8[done.bytes : done.place]).decode())


class Scattered(NamedTuple):
    """Texts where Python keeps them: the address and the size in bytes of the UTF-8 of each text."""

    texts: Sequence[str]
    addresses: Offsets
    sizes: Offsets

    def put_into(self, job: Any) -> tuple[Any, ...]:
        """Put the texts into a fe_job; what is returned must stay alive as long as the job is used."""
        alive = ffi.from_buffer("int64_t[]", self.addresses), ffi.from_buffer("int64_t[]", self.sizes)
        job.each, job.sizes, job.texts = ffi.cast("uint8_t **", alive[0]), alive[1], self.sizes.size
        return alive

    def behind(self, done: Done) -> Scattered:
        """Return the texts that a call did not complete."""
        return Scattered(self.texts[done.texts :], self.addresses[done.texts :], self.sizes[done.texts :])

    def character(self, done: Done) -> int:
        """Return at which character of its text a refused token stands."""
        return len(self.texts[done.texts].encode()[: done.place].decode())


# The address of the UTF-8 that Python keeps of a str. An ASCII str is its own UTF-8; of another str Python makes the
# UTF-8 now and keeps it with the str, as it does for other tokenizers. Asking takes longer than copying a short text,
# so only long texts are read this way.
_utf8_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
    ("PyUnicode_AsUTF8AndSize", ctypes.pythonapi)
)


def scattered(texts: Sequence[str]) -> Scattered:
    """Return texts with the addresses of their UTF-8; UnicodeEncodeError where a text has lone surrogates."""
    sizes = np.empty(len(texts), np.int64)
    slots = range(sizes.ctypes.data, sizes.ctypes.data + sizes.nbytes, sizes.itemsize)
    return Scattered(texts, np.fromiter(map(_utf8_of, texts, slots), np.int64, len(texts)), sizes)


class Core:
    """A C tokenizer. It never changes, so any number of threads may use it; each call borrows a workspace."""

    def __init__(self, vocabulary: Vocabulary | None = None, *, image: Any = None) -> None:
        """Build a C tokenizer from a vocabulary, or open the image of one: any buffer, which must not change."""
        out = ffi.new("fe_tokenizer **")
        if vocabulary is not None:
            spec, alive = spec_of(vocabulary)
            fault = ffi.new("int64_t *")
            status = lib.fe_tokenizer_new(spec, simd_path(), out, fault)
            if status == lib.FE_TWICE:
                raise ValueError(twins(vocabulary, fault[0]))
            if status == lib.FE_TOO_LONG:
                raise ValueError(grown(vocabulary, fault[0]))
            del alive  # C has copied the arrays
        else:
            self._image = ffi.from_buffer("uint8_t[]", image)  # keeps the buffer alive
            status = lib.fe_tokenizer_open(self._image, len(self._image), simd_path(), out)
            if status == lib.FE_BAD_FILE:
                raise ValueError("damaged, or written by another version of fastemb")
        _check(status, "the vocabulary cannot be used")
        self.handle = ffi.gc(out[0], lib.fe_tokenizer_free)
        self.contents = ffi.new("fe_contents *")
        lib.fe_tokenizer_contents(self.handle, self.contents)
        try:
            self.metadata = self._read_metadata()
        except ValueError as error:
            raise ValueError(f"damaged: {error}") from None
        self._choices: dict[bytes, Any] = {}
        self._workspaces: list[Workspace] = []  # idle workspaces; a list's pop and insert are atomic
        # The sizes of caches that no workspace has yet. Taken by pop, which is atomic: a lock could be held in a fork.
        self._parts = parts_of(cache_budget(), os.cpu_count() or 1)
        self._largest = self._parts[-1]
        self.ids_per_char = 0.28  # measured by the last large batch: how much room to make for the ids of the next

    # ---------------------------------------------------------------- what it is made of

    def _metadata_bytes(self) -> bytes:
        return bytes(ffi.buffer(self.contents.notes, self.contents.notes_size))

    def _read_metadata(self) -> Metadata:
        has = self.contents
        offsets = self._array(has.added_offsets, has.added + 1, np.uint32).tolist()
        text = bytes(ffi.buffer(has.added_bytes, offsets[-1]))
        ids = self._array(has.added_ids, has.added, np.int32).tolist()
        flags = bytes(ffi.buffer(has.added_flags, has.added))
        added = [
            AddedToken(text[start:end].decode(), id, **{name: bool(flag & bit) for name, bit in ADDED_FLAGS.items()})
            for (start, end), id, flag in zip(pairwise(offsets), ids, flags, strict=True)
        ]
        before = self._array(has.before_ids, has.before, np.int32).tolist()
        after = self._array(has.after_ids, has.after, np.int32).tolist()
        return Metadata.from_bytes(self._metadata_bytes(), has.tokens, added, before, after)

    def choice(self, actions: bytes) -> Any:
        """Return the fe_choice of one fe_token_action for each added token, made once however often it is asked for."""
        choice = self._choices.get(actions)
        if choice is None:
            out = ffi.new("fe_choice **")
            _check(lib.fe_choice_new(self.handle, actions, len(actions), out))
            choice = ffi.gc(out[0], lib.fe_choice_free)
            if len(self._choices) >= MOST_CHOICES:
                self._choices.clear()
            self._choices[actions] = choice
        return choice

    @cached_property
    def normal(self) -> bytes:
        """The steps by which a text is normalized."""
        return bytes(ffi.buffer(self.contents.normal, self.contents.normal_size))

    @cached_property
    def added_ids(self) -> frozenset[int]:
        """The ids of added tokens."""
        return frozenset(token.id for token in self.metadata.added)

    @cached_property
    def names(self) -> list[str] | None:
        """How the file writes each token, by number; None where bytes are spelled as GPT-2's files do."""
        return names_in(self._metadata_bytes())

    def _array(self, pointer: Any, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        kind = np.dtype(dtype)
        return np.frombuffer(ffi.buffer(pointer, count * kind.itemsize), kind)

    def image(self) -> memoryview:
        """Return the whole tokenizer as one block of bytes, good as long as this object lives."""
        return memoryview(ffi.buffer(self.contents.image, self.contents.size))

    def ids(self) -> Ids:
        """Return the id of each token, by number."""
        return self._array(self.contents.token_ids, self.contents.tokens, np.int32)

    def highest_id(self) -> int:
        """Return the highest id, -1 where there is none."""
        tokens = self.contents.tokens
        return int(self.contents.sorted_ids[tokens - 1]) if tokens else -1

    def number_of(self, id: int) -> int | None:
        """Return the number of the token with this id; None where no token has it."""
        ids = self._array(self.contents.sorted_ids, self.contents.tokens, np.int32)
        at = int(np.searchsorted(ids, id))
        return int(self.contents.sorted_tokens[at]) if at < ids.size and ids[at] == id else None

    def token_bytes(self, number: int) -> bytes:
        """Return the bytes that a token, given by its number, decodes to."""
        first, end = self.contents.token_offsets[number], self.contents.token_offsets[number + 1]
        return bytes(ffi.buffer(self.contents.token_bytes + first, end - first))

    def find(self, token: bytes) -> int | None:
        """Return the id of the token of these bytes; None where no text can give such a token."""
        number = lib.fe_find(self.handle, token, len(token))
        return None if number < 0 else int(self.contents.token_ids[number])

    # ---------------------------------------------------------------- workspaces

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Lend a workspace to one call."""
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = self._new_workspace()
        try:
            yield workspace
        finally:
            if workspace.kept:
                self._workspaces.insert(workspace.place, workspace)

    def _new_workspace(self) -> Workspace:
        try:
            part: int | None = self._parts.pop()
        except IndexError:
            part = None
        place = LAST if part == self._largest else 0
        size, out = min(SPARE_CACHE_BYTES, cache_budget()) if part is None else part, ffi.new("fe_cache **")
        if size == 0 or lib.fe_cache_new(size, _SECRET, out) != lib.FE_OK:
            # Without a cache: slower, and right all the same.
            workspace = Workspace(ffi.NULL, part, self._parts, place)
            workspace.kept &= size == 0  # where memory was short, a later call may have more luck
            return workspace
        return Workspace(ffi.gc(out[0], lib.fe_cache_free), part, self._parts, place)

    # ---------------------------------------------------------------- encoding and decoding

    def encode_short(self, text: str, actions: Any) -> Ids | None:
        """Return the ids of one short text; None: `encode` must be called, which says what is wrong if anything is."""
        if len(text) > SHORT:
            return None
        choice = self.choice(actions) if isinstance(actions, bytes) else actions
        try:
            utf8 = text.encode()
        except UnicodeEncodeError:  # lone surrogates
            return None
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = self._new_workspace()
        try:  # not by `self.workspace()`, which takes as long as a word
            cache, target = workspace.cache, workspace.target
            count = lib.fe_encode_one(self.handle, cache, utf8, len(utf8), choice, target, WORKSPACE_IDS)
            return workspace.room[:count].copy() if count >= 0 else None
        finally:
            if workspace.kept:
                self._workspaces.insert(workspace.place, workspace)

    def encode_few(self, texts: Sequence[str], actions: Any) -> tuple[Ids, Offsets] | None:
        """Return the ids of texts that are short together, and the offsets of their rows; None as in `encode_short`."""
        joined = "".join(texts)
        if len(joined) > SHORT:
            return None
        try:
            packed = Packed(joined.encode(), np.fromiter(map(len, texts), np.int64, len(texts)))
        except UnicodeEncodeError:
            return None
        offsets = np.zeros(len(texts) + 1, np.int64)
        with self.workspace() as workspace:
            _, status = self.encode(workspace, packed, actions, offsets[1:], ids=workspace.room)
            return (workspace.room[: offsets[-1]].copy(), offsets) if status == lib.FE_OK else None

    def encode(
        self,
        workspace: Workspace,
        texts: Packed | Scattered,
        actions: Any,  # bytes, or what `choice` made of them
        ends: Offsets,
        *,
        ids: Ids | None = None,
        used: int = 0,
        limit: int = NO_LIMIT,
        pattern: int = lib.FE_PATTERN_OWN,
    ) -> tuple[Done, int]:
        """Call fe_encode, and return what it finished and its status.

        `ends` receives where the row of each text ends; `ids`, of which the first `used` are taken, the new ids behind
        them. Without `ids` they are counted only.
        """
        job, out = workspace.job, workspace.out
        alive = texts.put_into(job), ffi.from_buffer("int64_t[]", ends, require_writable=True)
        job.pattern, job.limit = pattern, limit
        # Held by this call: other threads' calls may drop it from the choices that are kept, which frees it.
        choice = job.choice = self.choice(actions) if isinstance(actions, bytes) else actions
        target = ffi.NULL if ids is None else ffi.from_buffer("int32_t[]", ids, require_writable=True)
        out.ids, out.capacity, out.used, out.row_ends = target, 0 if ids is None else ids.size, used, alive[1]
        status = lib.fe_encode(self.handle, workspace.cache, job, out)
        del alive, choice, target
        return Done(out.texts, out.bytes, out.used, out.token, out.place), status

    def decode(self, ids: npt.NDArray[np.int64], row_ends: Offsets) -> tuple[bytes, Offsets]:
        """Return the bytes of rows of ids, end to end, and where each row ends."""
        separator = self.metadata.joined_by.encode()
        row_ends = row_ends.copy()  # the caller's may change meanwhile: C would find that they do not fit the ids
        byte_ends, length = np.empty(row_ends.size, np.int64), ffi.new("int64_t *")
        room = np.empty(8 * ids.size + 64, np.uint8)
        while True:
            status = lib.fe_decode(
                self.handle,
                ffi.from_buffer("int64_t[]", ids),
                ids.size,
                ffi.from_buffer("int64_t[]", row_ends),
                row_ends.size,
                separator,
                len(separator),
                ffi.from_buffer("uint8_t[]", room, require_writable=True),
                room.size,
                ffi.from_buffer("int64_t[]", byte_ends, require_writable=True),
                length,
            )
            if status == lib.FE_BAD_ID:
                raise UnknownId(length[0])
            if status == lib.FE_BAD_ROWS:
                raise rows_changed(ids.size)
            if length[0] <= room.size:
                return room[: length[0]].tobytes(), byte_ends
            room = np.empty(length[0], np.uint8)

    def pieces(self, text: bytes) -> tuple[Offsets, Offsets]:
        """Return where the pieces of a text start and end under the tokenizer's own pattern, which C knows."""
        ends, starts, count = np.empty(len(text), np.int64), np.zeros(len(text), np.int64), ffi.new("int64_t *")
        targets = [ffi.from_buffer("int64_t[]", array, require_writable=True) for array in (starts, ends)]
        pattern, path = self.contents.pattern, lib.fe_tokenizer_path(self.handle)
        if pattern == lib.FE_PATTERN_PROGRAM:
            _check(lib.fe_tokenizer_cut(self.handle, text, len(text), *targets, ends.size, count))
        else:
            _check(lib.fe_split(pattern, path, text, len(text), targets[1], ends.size, count))
            starts[1 : count[0]] = ends[: max(count[0] - 1, 0)]
        return starts[: count[0]], ends[: count[0]]


def aligned(content: bytes) -> npt.NDArray[np.uint8]:
    """Return a copy in memory as `Core` wants it for an image."""
    copy = empty((len(content),), np.uint8)
    copy[:] = np.frombuffer(content, np.uint8)
    return copy


def rows_changed(size: int) -> ValueError:
    """Return the error of rows of so many ids whose offsets were changed since they were made."""
    return ValueError(f"offsets must ascend from 0 to the number of ids, {size}; they were changed")


def fail(status: int, done: Done, texts: Packed | Scattered, first: int) -> None:
    """Raise the exception that a status of `Core.encode` stands for; `first` is the number of the first text."""
    if status == lib.FE_SPECIAL:
        raise SpecialTokenFound(done.token, first + done.texts, texts.character(done))
    _check(status)


def _check(status: int, what: str = "the tokenizer failed") -> None:
    if status == lib.FE_OK:
        return
    kind = {lib.FE_NO_MEMORY: MemoryError, lib.FE_TOO_LONG: ValueError, lib.FE_BAD_MODEL: ValueError}
    raise kind.get(status, RuntimeError)(_MESSAGES.get(status, f"{what} (status {status})"))


def simd_path() -> int:
    """Return the fe_path, the widest instructions by which pieces may be found."""
    name = os.environ.get("FASTEMB_SIMD", "").strip().lower()
    if name not in _PATHS:
        raise ValueError(f"environment variable FASTEMB_SIMD must be avx512, avx2, neon or none, got {name!r}")
    return int(_PATHS[name])
