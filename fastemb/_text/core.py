"""The binding: a vocabulary handed to C once, then blocks of texts, each in one call with the GIL released."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from .bpe_model import BYTE_CHARS, BYTE_TOKENS, BpeModel

try:
    from ._core import ffi as ffi
    from ._core import lib
except ImportError as error:
    from .. import SOURCE_TREE_HINT

    raise ImportError(
        f"fastemb._text._core, the compiled tokenizer, cannot be loaded: {error}{SOURCE_TREE_HINT}"
    ) from None

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]

# Texts are joined in blocks: one character above U+00FF widens a whole join to 2 or 4 bytes a character, so
# joining a large batch at once costs many times its own size (docs/design/tokenizer.md).
BLOCK_CHARS = 1 << 18
BLOCK_TEXTS = 1024
# What pieces became is remembered in caches of this size at most, one for each call that runs at the same time,
# and so many of them are kept between calls.
CACHE_BYTES = 1 << 22
CACHES_KEPT = 16

_ERRORS: dict[int, type[Exception]] = {lib.FE_NO_MEMORY: MemoryError, lib.FE_TOO_LONG: ValueError}
_MESSAGES = {
    lib.FE_NO_MEMORY: "out of memory while tokenizing",
    lib.FE_TOO_LONG: "a text of 2**31 - 64 bytes or more cannot be tokenized in one piece",
}


class SpecialTokenFound(Exception):
    """A token that was to be refused stands in a text: its number, that of the text, and at which character."""

    def __init__(self, token: int, text: int, place: int) -> None:
        super().__init__(token, text, place)
        self.token = token
        self.text = text
        self.place = place


class Core:
    """A C tokenizer. It never changes, so any number of threads may use one; a call borrows a cache for itself."""

    def __init__(self, model: BpeModel) -> None:
        out = ffi.new("fe_tokenizer **")
        spec, keep = _spec(model)
        status = lib.fe_tokenizer_new(spec, out)
        del keep  # C copied what it needs
        if status != lib.FE_OK:
            raise _ERRORS.get(status, ValueError)(
                _MESSAGES.get(status, f"the vocabulary cannot be used (status {status})")
            )
        self._handle = ffi.gc(out[0], lib.fe_tokenizer_free)
        self._caches: list[Any] = []  # those that no call is using; a list's pop and append are atomic

    def encode(self, texts: Sequence[str], actions: bytes) -> tuple[Ids, Offsets]:
        """Return the ids of all texts, and the offsets of each (one more than texts).

        `actions` holds one fe_token_action for each added token.
        """
        offsets = np.empty(len(texts) + 1, np.int64)
        offsets[0] = used = first = 0
        ids: Ids | None = None
        cache = self._borrow()
        for utf8, chars in _blocks(texts):
            # Room for what texts usually give. Where one needs more, C stops before it and goes on in twice the room.
            ids = _reserve(ids, used, len(utf8) + chars.size)
            done, status = self._call(cache, utf8, chars, actions, ids, used, offsets[first + 1 :])
            while status == lib.FE_FULL:
                utf8, chars, first, used = utf8[done.bytes :], chars[done.texts :], first + done.texts, done.ids
                ids = _reserve(ids, used, 2 * (ids.size - used) + 64)
                done, status = self._call(cache, utf8, chars, actions, ids, used, offsets[first + 1 :])
            first, used = first + done.texts, done.ids
            if status != lib.FE_OK:
                self._fail(status, done, first, utf8)
        self._give_back(cache)
        return _shrink(_reserve(ids, used, 0), used), offsets

    def count(self, texts: Sequence[str], actions: bytes) -> int:
        """Return the number of ids that `encode` would give, without making them."""
        total = first = 0
        cache = self._borrow()
        for utf8, chars in _blocks(texts):
            done, status = self._call(cache, utf8, chars, actions, None, 0, np.empty(chars.size, np.int64))
            if status != lib.FE_OK:
                self._fail(status, done, first + done.texts, utf8)
            total += done.ids
            first += chars.size
        self._give_back(cache)
        return total

    def _borrow(self) -> Any:
        try:
            return self._caches.pop()
        except IndexError:
            out = ffi.new("fe_cache **")
            if lib.fe_cache_new(CACHE_BYTES, out) != lib.FE_OK:
                return ffi.NULL  # slower, and right all the same
            return ffi.gc(out[0], lib.fe_cache_free, CACHE_BYTES)

    def _give_back(self, cache: Any) -> None:
        """Keep a cache for the next call. One that an error took from its call is freed with it instead."""
        if len(self._caches) < CACHES_KEPT and cache != ffi.NULL:
            self._caches.append(cache)

    def _call(
        self, cache: Any, utf8: bytes, chars: Offsets, actions: bytes, ids: Ids | None, used: int, ends: Offsets
    ) -> tuple[Any, int]:
        done = ffi.new("fe_done *")
        status = lib.fe_encode(
            self._handle,
            cache,
            ffi.from_buffer("uint8_t[]", utf8),
            len(utf8),
            ffi.from_buffer("int64_t[]", chars),
            chars.size,
            ffi.from_buffer("uint8_t[]", actions),
            ffi.NULL if ids is None else ffi.from_buffer("int32_t[]", ids, require_writable=True),
            used,
            0 if ids is None else ids.size,
            ffi.from_buffer("int64_t[]", ends, require_writable=True),
            done,
        )
        return done, status

    @staticmethod
    def _fail(status: int, done: Any, text: int, utf8: bytes) -> None:
        if status == lib.FE_SPECIAL:
            raise SpecialTokenFound(done.token, text, len(utf8[done.bytes : done.place].decode()))
        raise _ERRORS.get(status, RuntimeError)(_MESSAGES.get(status, f"the tokenizer failed with status {status}"))


def _blocks(texts: Sequence[str]) -> Iterator[tuple[bytes, Offsets]]:
    """Yield the texts in blocks: their UTF-8 one after another, and the number of characters of each."""
    first = 0
    while first < len(texts):
        last, chars = first, 0
        while last < len(texts) and last - first < BLOCK_TEXTS and chars < BLOCK_CHARS:
            chars += len(texts[last])
            last += 1
        block = texts[first:last]
        try:
            utf8 = "".join(block).encode()
        except UnicodeEncodeError:  # lone surrogates
            block = [_repair(text) for text in block]
            utf8 = "".join(block).encode()
        yield utf8, np.fromiter(map(len, block), np.int64, len(block))
        first = last


def _repair(text: str) -> str:
    """Return the text with pairs of surrogates joined, and lone ones replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _reserve(ids: Ids | None, used: int, more: int) -> Ids:
    """Return `ids` with room for `more` behind the first `used`, at least doubled where it has to grow."""
    if ids is None:
        return np.empty(more, np.int32)
    if ids.size - used >= more:
        return ids
    grown = np.empty(max(used + more, 2 * ids.size), np.int32)
    grown[:used] = ids[:used]
    return grown


def _shrink(ids: Ids, used: int) -> Ids:
    """Return the first `used` ids: a view where little room is wasted, else a copy."""
    return ids[:used] if 4 * used >= 3 * ids.size else ids[:used].copy()


def _spec(model: BpeModel) -> tuple[Any, list[Any]]:
    """Return the fe_model of a vocabulary, and the arrays it points into."""
    vocab = model.vocab
    keep: list[Any] = []

    def ints(values: npt.ArrayLike, kind: str = "int32_t") -> Any:
        keep.append(np.asarray(values, kind.removesuffix("_t")))
        return ffi.from_buffer(f"{kind}[]", keep[-1])

    chars = {} if model.byte_level else {token: id for token, id in vocab.items() if len(token) == 1}
    byte_tokens = BYTE_CHARS if model.byte_level else BYTE_TOKENS
    pairs = None if model.byte_level else model.inner_pairs()
    contents = [token.content.encode() for token in model.added]
    keep.append(b"".join(contents))
    flags = {
        lib.FE_BYTE_LEVEL: model.byte_level,
        lib.FE_WHOLE: not model.split_gpt2,
        lib.FE_ADD_SPACE: model.add_prefix_space,
        lib.FE_PREPEND: model.prepend_mark,
        lib.FE_SPACE_MARK: model.space_to_mark,
        lib.FE_CUT: pairs is not None,
        lib.FE_BYTE_FALLBACK: model.byte_fallback,
        lib.FE_FUSE_UNK: model.fuse_unk,
    }
    spec = ffi.new(
        "fe_model *",
        {
            "flags": sum(flag for flag, on in flags.items() if on),
            "unk_id": -1 if model.unk_token is None else vocab[model.unk_token],
            "merges": model.merges.left.size,
            "merge_left": ints(model.merges.left),
            "merge_right": ints(model.merges.right),
            "merge_result": ints(model.merges.result),
            "chars": len(chars),
            "char_codes": ints([ord(token) for token in chars], "uint32_t"),
            "char_ids": ints(list(chars.values())),
            "byte_ids": ints([vocab.get(token, -1) for token in byte_tokens]),
            "pairs": 0 if pairs is None else pairs[0].size,
            "pair_left": ints([] if pairs is None else pairs[0], "uint32_t"),
            "pair_right": ints([] if pairs is None else pairs[1], "uint32_t"),
            "added": len(contents),
            "added_bytes": ffi.from_buffer("uint8_t[]", keep[0]),
            "added_offsets": ints(list(accumulate(map(len, contents), initial=0)), "int64_t"),
            "added_ids": ints([token.id for token in model.added]),
            "added_late": ints([token.late for token in model.added], "uint8_t"),
        },
    )
    return spec, keep
