"""The binding: a vocabulary handed to C once, then blocks of texts, each in one call with the GIL released."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .vocabulary import Notes, Vocabulary, names_in

try:
    from ._core import ffi as ffi
    from ._core import lib as lib
except ImportError as error:
    from .. import SOURCE_TREE_HINT

    raise ImportError(
        f"fastemb._text._core, the compiled tokenizer, cannot be loaded: {error}{SOURCE_TREE_HINT}"
    ) from None

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]

MAGIC = b"fastemb\n"  # how our own files begin
NO_LIMIT = 2**63 - 1
# What pieces became is remembered: in so many bytes at most for one tokenizer, shared by the calls that run at the
# same time, each of which has a part of it for itself.
CACHE_BYTES = 192 << 20
SPARE_CACHE_BYTES = 1 << 20  # for a call that finds no part left
DESK_IDS = 1 << 13  # one text of so many bytes is encoded without an array of its own

_MESSAGES = {
    lib.FE_NO_MEMORY: "out of memory while tokenizing",
    lib.FE_TOO_LONG: "a text of 2**31 - 64 bytes or more cannot be tokenized in one piece",
}
_PATHS = {"": lib.FE_PATH_BEST, "avx512": lib.FE_PATH_AVX512, "avx2": lib.FE_PATH_AVX2, "none": lib.FE_PATH_PLAIN}


class SpecialTokenFound(Exception):
    """A token that was to be refused stands in a text: its number, that of the text, and at which character."""

    def __init__(self, token: int, text: int, place: int) -> None:
        super().__init__(token, text, place)
        self.token = token
        self.text = text
        self.place = place


class UnknownId(Exception):
    """An id is no token's: at which position of all ids it stands."""


class Desk:
    """What one call works with and no other at the same time: a cache, and room for the ids of a short text."""

    __slots__ = ("cache", "kept", "room", "target")

    def __init__(self, cache: Any, kept: bool) -> None:
        self.cache = cache
        self.kept = kept
        self.room = np.empty(DESK_IDS, np.int32)
        self.target = ffi.from_buffer("int32_t[]", self.room, require_writable=True)


class Joined(NamedTuple):
    """Texts as UTF-8, one after another, and the number of characters of each."""

    utf8: bytes
    chars: Offsets

    def arguments(self) -> tuple[Any, ...]:
        """Return them as fe_encode takes them."""
        return self.utf8, len(self.utf8), ffi.from_buffer("int64_t[]", self.chars), self.chars.size

    def behind(self, done: Any) -> Joined:
        """Return the texts that a call did not complete."""
        return Joined(self.utf8[done.bytes :], self.chars[done.texts :])

    def character(self, done: Any) -> int:
        """Return at which character of its text a refused token stands."""
        return len(self.utf8[done.bytes : done.place].decode())


class Apart(NamedTuple):
    """Texts where they are, the place and the size in bytes of the UTF-8 of each."""

    texts: Sequence[str]
    places: Offsets
    sizes: Offsets

    def arguments(self) -> tuple[Any, ...]:
        """Return them as fe_encode_each takes them."""
        places = ffi.cast("uint8_t **", ffi.from_buffer("int64_t[]", self.places))
        return places, ffi.from_buffer("int64_t[]", self.sizes), self.sizes.size

    def behind(self, done: Any) -> Apart:
        """Return the texts that a call did not complete."""
        return Apart(self.texts[done.texts :], self.places[done.texts :], self.sizes[done.texts :])

    def character(self, done: Any) -> int:
        """Return at which character of its text a refused token stands."""
        return len(self.texts[done.texts].encode()[: done.place].decode())


# The UTF-8 of a str where Python keeps it: at once for ASCII, made and kept with the str for others, as other
# tokenizers have it done. A call takes longer than copying a short text, so it is for long ones.
_utf8_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
    ("PyUnicode_AsUTF8AndSize", ctypes.pythonapi)
)


def apart(texts: Sequence[str]) -> Apart:
    """Return texts with the places of their UTF-8; UnicodeEncodeError where one has lone surrogates."""
    sizes = np.empty(len(texts), np.int64)
    slots = range(sizes.ctypes.data, sizes.ctypes.data + sizes.nbytes, sizes.itemsize)
    return Apart(texts, np.fromiter(map(_utf8_of, texts, slots), np.int64, len(texts)), sizes)


class Core:
    """A C tokenizer. It never changes, so any number of threads may use one; a call borrows a desk for itself."""

    def __init__(self, vocabulary: Vocabulary | None = None, *, image: Any = None) -> None:
        """Build one from a vocabulary, or open an image of one: any buffer, which must not change."""
        out = ffi.new("fe_tokenizer **")
        if vocabulary is not None:
            spec, keep = _spec(vocabulary)
            twice = ffi.new("int64_t *")
            status = lib.fe_tokenizer_new(spec, simd_path(), out, twice)
            if status == lib.FE_TWICE:
                raise ValueError(_twins(vocabulary, twice[0]))
            del keep  # C copied what it needs
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
            self.notes = Notes.from_bytes(self._notes())
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"damaged: its notes cannot be read: {error}") from None
        self._desks: list[Desk] = []  # those that no call is using; a list's pop and append are atomic
        # The parts of the cache that no desk has yet. Taken by pop, which is atomic: a lock could be held in a fork.
        self._parts = _parts(cache_budget(), os.cpu_count() or 1)
        self.ids_per_char = 0.28  # what texts gave last time: how much room to make for the next

    # ---------------------------------------------------------------- what it is made of

    def _notes(self) -> bytes:
        return bytes(ffi.buffer(self.contents.notes, self.contents.notes_size))

    @cached_property
    def names(self) -> list[str] | None:
        """How the file writes each token, by number; None where bytes are spelled as GPT-2's files do."""
        return names_in(self._notes())

    def _array(self, pointer: Any, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        kind = np.dtype(dtype)
        return np.frombuffer(ffi.buffer(pointer, count * kind.itemsize), kind)

    def image(self) -> memoryview:
        """Return the whole as one block of bytes, good as long as this object lives."""
        return memoryview(ffi.buffer(self.contents.image, self.contents.size))

    def ids(self) -> Ids:
        """Return the id of each token, by number."""
        return self._array(self.contents.token_ids, self.contents.tokens, np.int32)

    def highest_id(self) -> int:
        """Return the highest id."""
        return int(self.contents.sorted_ids[self.contents.tokens - 1])

    def number_of(self, id: int) -> int | None:
        """Return the number of the token with this id."""
        ids = self._array(self.contents.sorted_ids, self.contents.tokens, np.int32)
        at = int(np.searchsorted(ids, id))
        return int(self.contents.sorted_tokens[at]) if at < ids.size and ids[at] == id else None

    def token_bytes(self, number: int) -> bytes:
        """Return what a token decodes to."""
        first, end = self.contents.token_offsets[number], self.contents.token_offsets[number + 1]
        return bytes(ffi.buffer(self.contents.token_bytes + first, end - first))

    def find(self, token: bytes) -> int | None:
        """Return the id of the token of these bytes."""
        number = lib.fe_find(self.handle, token, len(token))
        return None if number < 0 else int(self.contents.token_ids[number])

    # ---------------------------------------------------------------- desks

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """Lend a desk to one call."""
        try:
            desk = self._desks.pop()
        except IndexError:
            desk = self._new_desk()
        try:
            yield desk
        finally:
            if desk.kept:
                self._desks.append(desk)

    def _new_desk(self) -> Desk:
        try:
            size, kept = self._parts.pop(), True
        except IndexError:
            size, kept = min(SPARE_CACHE_BYTES, cache_budget()), False
        out = ffi.new("fe_cache **")
        if size == 0 or lib.fe_cache_new(size, out) != lib.FE_OK:
            return Desk(ffi.NULL, kept)  # slower, and right all the same
        return Desk(ffi.gc(out[0], lib.fe_cache_free), kept)

    # ---------------------------------------------------------------- encoding and decoding

    def encode_plain(self, utf8: bytes) -> Ids | None:
        """Return the ids of one short text in which added tokens are plain text; None where it takes `encode`."""
        size = len(utf8)
        if size > DESK_IDS - 8 or not self._desks:
            return None
        try:
            desk = self._desks.pop()
        except IndexError:  # another thread was quicker
            return None
        count = lib.fe_encode_plain(self.handle, desk.cache, utf8, size, desk.target, DESK_IDS)
        ids = desk.room[:count].copy()
        self._desks.append(desk)
        return ids if count >= 0 else None

    def encode(
        self,
        desk: Desk,
        texts: Joined | Apart,
        actions: bytes,
        ends: Offsets,
        *,
        ids: Ids | None = None,
        used: int = 0,
        limit: int = NO_LIMIT,
        pattern: int = lib.FE_PATTERN_OWN,
    ) -> tuple[Any, int]:
        """Call fe_encode or fe_encode_each."""
        done = ffi.new("fe_done *")
        encode = lib.fe_encode if isinstance(texts, Joined) else lib.fe_encode_each
        status = encode(
            self.handle,
            desk.cache,
            pattern,
            *texts.arguments(),
            actions,
            limit,
            ffi.NULL if ids is None else ffi.from_buffer("int32_t[]", ids, require_writable=True),
            used,
            0 if ids is None else ids.size,
            ffi.from_buffer("int64_t[]", ends, require_writable=True),
            done,
        )
        return done, status

    def decode(self, ids: npt.NDArray[np.int64], row_ends: Offsets) -> tuple[bytes, Offsets]:
        """Return the bytes of rows of ids, end to end, and where each row ends."""
        separator = self.notes.joined_by.encode()
        byte_ends, length = np.empty(row_ends.size, np.int64), ffi.new("int64_t *")
        room = np.empty(8 * ids.size + 64, np.uint8)
        while True:
            status = lib.fe_decode(
                self.handle,
                ffi.from_buffer("int64_t[]", ids),
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
            if length[0] <= room.size:
                return room[: length[0]].tobytes(), byte_ends
            room = np.empty(length[0], np.uint8)

    def pieces(self, pattern: int, text: bytes) -> Offsets:
        """Return where the pieces of a text end under a pattern that C knows."""
        ends, count = np.empty(len(text), np.int64), ffi.new("int64_t *")
        target = ffi.from_buffer("int64_t[]", ends, require_writable=True)
        _check(lib.fe_split(pattern, lib.fe_tokenizer_path(self.handle), text, len(text), target, ends.size, count))
        return ends[: count[0]]


def fail(status: int, done: Any, texts: Joined | Apart, first: int) -> None:
    """Raise what a status of `Core.encode` stands for; `first` is the number of the first of the texts."""
    if status == lib.FE_SPECIAL:
        raise SpecialTokenFound(done.token, first + done.texts, texts.character(done))
    _check(status)


def _check(status: int, what: str = "the tokenizer failed") -> None:
    if status == lib.FE_OK:
        return
    kind = {lib.FE_NO_MEMORY: MemoryError, lib.FE_TOO_LONG: ValueError, lib.FE_BAD_MODEL: ValueError}
    raise kind.get(status, RuntimeError)(_MESSAGES.get(status, f"{what} (status {status})"))


def cache_budget() -> int:
    """Return how many bytes one tokenizer may take to remember what pieces became."""
    text = os.environ.get("FASTEMB_TOKENIZER_CACHE", "").strip()
    if not text:
        return CACHE_BYTES
    if not text.isdecimal():
        raise ValueError(f"environment variable FASTEMB_TOKENIZER_CACHE must be a number of bytes, got {text!r}")
    return min(int(text), 1 << 40)


def _parts(budget: int, processors: int) -> list[int]:
    """Return the parts of the cache, the first to be given away at the end: two quarters; the others share the rest."""
    others = max(2, processors - 2)
    return [budget // 2 // others] * others + [budget // 4] * 2


def simd_path() -> int:
    """Return by which instructions pieces are found at most."""
    name = os.environ.get("FASTEMB_SIMD", "").strip().lower()
    if name not in _PATHS:
        raise ValueError(f"environment variable FASTEMB_SIMD must be avx512, avx2 or none, got {name!r}")
    return int(_PATHS[name])


def _twins(v: Vocabulary, second: int) -> str:
    """Return what is wrong with a vocabulary in which token number `second` is the same as one before it."""
    tokens = [v.token_bytes[start:end] for start, end in pairwise(v.token_offsets[: second + 2].tolist())]
    first = tokens.index(tokens[second])
    return f"the token {tokens[second]!r} stands twice, with {v.token_ids[first]} and {v.token_ids[second]}"


def _spec(v: Vocabulary) -> tuple[Any, list[Any]]:
    """Return the fe_model of a vocabulary, and the arrays it points into."""
    keep: list[Any] = []

    def ints(values: npt.ArrayLike, kind: str = "int32_t") -> Any:
        keep.append(np.ascontiguousarray(values, kind.removesuffix("_t")))
        return ffi.from_buffer(f"{kind}[]", keep[-1])

    def octets(values: Sequence[bytes]) -> Any:
        keep.append(b"".join(values))
        return ffi.from_buffer("uint8_t[]", keep[-1])

    added = v.notes.added
    contents = [token.content.encode() for token in added]
    notes = v.notes.to_bytes()
    spec = ffi.new(
        "fe_model *",
        {
            "flags": v.flags,
            "pattern": v.pattern,
            "unk": v.unk,
            "tokens": v.token_ids.size,
            "vocab": v.vocab,
            "token_bytes": octets([v.token_bytes]),
            "token_offsets": ints(v.token_offsets, "int64_t"),
            "token_ids": ints(v.token_ids),
            "byte_tokens": ints(v.byte_tokens),
            "merges": v.merges.left.size,
            "merge_left": ints(v.merges.left),
            "merge_right": ints(v.merges.right),
            "merge_result": ints(v.merges.result),
            "chars": np.size(v.char_codes),
            "char_codes": ints(v.char_codes, "uint32_t"),
            "char_tokens": ints(v.char_tokens),
            "pairs": np.size(v.pair_left),
            "pair_left": ints(v.pair_left, "uint32_t"),
            "pair_right": ints(v.pair_right, "uint32_t"),
            "added": len(contents),
            "added_bytes": octets(contents),
            "added_offsets": ints(list(accumulate(map(len, contents), initial=0)), "int64_t"),
            "added_ids": ints([token.id for token in added]),
            "added_late": ints([token.late for token in added], "uint8_t"),
            "notes": len(notes),
            "notes_bytes": octets([notes]),
        },
    )
    return spec, keep
