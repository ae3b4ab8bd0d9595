"""`Encoding`, with all public methods and properties of ``tiktoken``'s, and the private ones that people call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property, lru_cache
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from ..._text.texts import only_str
from ..._threads import get_num_threads
from ..._threads import num_threads as limited_to
from ..._words import type_name
from .engine import CoreBPE, as_list, finder
from .unstable import encode_with_unstable

AllowedSpecial = Literal["all"] | AbstractSet[str]
DisallowedSpecial = Literal["all"] | Collection[str]
NOTHING: AbstractSet[str] = frozenset()
INSIDE = bytes(range(0x80, 0xC0))  # bytes that begin no character


class Encoding:
    r"""A vocabulary of ranks with its pattern and special tokens.

    Parameters
    ----------
    name : str
        What it is called; by this name a registered encoding is pickled.
    pat_str : str
        The regular expression that cuts text into pieces. Those of the published encodings run in C, and most others.
    mergeable_ranks : dict of bytes to int
        The tokens and their ranks, which are their ids and the order of merges.
    special_tokens : dict of str to int
        Special tokens and their ids.
    explicit_n_vocab : int, optional
        How many tokens there must be, checked.

    Raises
    ------
    ValueError
        Two tokens share a rank, a special token has the id of another token, a byte has no token, or the pattern is
        damaged.
    AssertionError
        There are not `explicit_n_vocab` tokens.
    ImportError
        The pattern needs the package ``regex``.

    Notes
    -----
    Ids, and the exceptions of all methods, are those of ``tiktoken`` 0.14. An encoding never changes: any number of
    threads may use it at once, and a copy is the encoding itself.

    Examples
    --------
    >>> from fastemb.compat.tiktoken import Encoding
    >>> ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256}
    >>> encoding = Encoding("small", pat_str=r"\w+|\W+", mergeable_ranks=ranks, special_tokens={"<|end|>": 257})
    >>> encoding.encode("abc")
    [256, 99]
    >>> encoding.encode("abc<|end|>")
    Traceback (most recent call last):
    ValueError: the text holds the disallowed special token '<|end|>' (character 3)...
    >>> encoding.encode("abc<|end|>", allowed_special={"<|end|>"})
    [256, 99, 257]
    """

    def __init__(
        self,
        name: str,
        *,
        pat_str: str,
        mergeable_ranks: dict[bytes, int],
        special_tokens: dict[str, int],
        explicit_n_vocab: int | None = None,
    ) -> None:
        self.name = name
        self._by_name: Callable[[str], Encoding] | None = None  # what gives a registered encoding
        self._pat_str, self._mergeable_ranks, self._special_tokens = pat_str, mergeable_ranks, special_tokens
        if not mergeable_ranks:
            raise ValueError("mergeable_ranks is empty")
        #: The highest id.
        self.max_token_value = max(max(mergeable_ranks.values()), *special_tokens.values(), 0)
        if explicit_n_vocab:
            count = len(mergeable_ranks) + len(special_tokens)
            if count != explicit_n_vocab or self.max_token_value != explicit_n_vocab - 1:
                raise AssertionError(
                    f"explicit_n_vocab is {explicit_n_vocab}, but there are {count} tokens, the highest id is "
                    f"{self.max_token_value}"
                )
        self._special_token_values = set(special_tokens.values())
        self._core_bpe = CoreBPE(mergeable_ranks, special_tokens, pat_str)
        # What each call looks up, where a look-up more would be seen.
        self._short, self._plain = self._core_bpe.short, self._core_bpe.plain
        self._refusing, self._matching = self._core_bpe.refusing, self._core_bpe.matching
        self._decode, self._decode_bytes, self._encode_piece = self._core_bpe.small
        self._token_bytes, self._known = self._core_bpe.token_bytes, self._core_bpe.known

    def __repr__(self) -> str:
        return f"<Encoding {self.name!r}>"

    # ---------------------------------------------------------------- encoding

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the ids of a text in which special tokens are plain text.

        Parameters
        ----------
        text : str
            A pair of surrogates is the character it stands for, a lone one U+FFFD.

        Returns
        -------
        list of int
        """
        if self._plain is not None and isinstance(text, str):
            ids = self._short(text, self._plain)
            if ids is not None:
                return as_list(ids)
        return self._core_bpe.encode_ordinary(text)

    def encode(
        self,
        text: str,
        *,
        allowed_special: AllowedSpecial = NOTHING,
        disallowed_special: DisallowedSpecial = "all",
    ) -> list[int]:
        """Return the ids of a text.

        Parameters
        ----------
        text : str
            As in `encode_ordinary`.
        allowed_special : "all" or set of str
            The special tokens that are tokens where they stand in the text.
        disallowed_special : "all" or collection of str
            Texts that are refused; "all" are the special tokens that are not allowed. What is neither allowed nor
            refused is plain text.

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            The text holds a disallowed special token.
        """
        if type(text) is str:  # by the short road, unless some special tokens are read otherwise than others
            actions = None
            if not allowed_special:
                actions = self._refusing if disallowed_special == "all" else self._plain
                actions = None if disallowed_special and disallowed_special != "all" else actions
            elif allowed_special == "all" and (not disallowed_special or disallowed_special == "all"):
                actions = self._matching
            ids = None if actions is None else self._short(text, actions)
            if ids is not None:  # else a special token that is refused, or a text that is not short
                return as_list(ids)
        return as_list(self._ids(text, allowed_special, disallowed_special))

    def encode_to_numpy(
        self,
        text: str,
        *,
        allowed_special: AllowedSpecial = NOTHING,
        disallowed_special: DisallowedSpecial = "all",
    ) -> npt.NDArray[np.uint32]:
        """Return what `encode` does as an array, without making a list.

        Parameters
        ----------
        text : str
            As in `encode`.
        allowed_special : "all" or set of str
            As in `encode`.
        disallowed_special : "all" or collection of str
            As in `encode`.

        Returns
        -------
        ndarray of uint32, shape (N,)
        """
        return self._ids(text, allowed_special, disallowed_special).view(np.uint32)

    def _ids(self, text: str, allowed_special: Any, disallowed_special: Any) -> npt.NDArray[np.int32]:
        allowed, disallowed = self._sets(allowed_special, disallowed_special)
        if disallowed:
            if not isinstance(text, str):
                raise TypeError(f"text must be a str, got {type_name(text)}")
            _refuse(text, disallowed)
        return self._core_bpe.ids(text, allowed)

    def _sets(self, allowed_special: Any, disallowed_special: Any) -> tuple[frozenset[str], frozenset[str]]:
        """Return the special tokens that are tokens, and the texts that are refused."""
        everything = self._every_special
        allowed = everything if isinstance(allowed_special, str) and allowed_special == "all" else allowed_special
        if not isinstance(allowed, AbstractSet):
            raise TypeError(f"allowed_special must be 'all' or a set of str, got {type_name(allowed)}")
        if isinstance(disallowed_special, str) and disallowed_special == "all":
            return frozenset(allowed), everything - allowed
        return frozenset(allowed), frozenset(disallowed_special)

    def encode_ordinary_batch(self, text: Iterable[str], *, num_threads: int = 8) -> list[list[int]]:
        """Return the ids of texts, as `encode_ordinary` of each; in C, on several threads.

        Parameters
        ----------
        text : iterable of str
        num_threads : int
            At most so many threads; never more than `fastemb.get_num_threads` says.

        Returns
        -------
        list of list of int
        """
        return self._batch(text, num_threads, NOTHING, ())

    def encode_batch(
        self,
        text: Iterable[str],
        *,
        num_threads: int = 8,
        allowed_special: AllowedSpecial = NOTHING,
        disallowed_special: DisallowedSpecial = "all",
    ) -> list[list[int]]:
        """Return the ids of texts, as `encode` of each; in C, on several threads.

        Parameters
        ----------
        text, num_threads
            As in `encode_ordinary_batch`.
        allowed_special, disallowed_special
            As in `encode`.

        Returns
        -------
        list of list of int

        Raises
        ------
        ValueError
            A text holds a disallowed special token.
        """
        return self._batch(text, num_threads, allowed_special, disallowed_special)

    def _batch(self, text: Iterable[str], num_threads: int, allowed: Any, disallowed: Any) -> list[list[int]]:
        texts = only_str(tuple(text))  # a str is taken letter by letter, as theirs
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}")
        if num_threads < get_num_threads():
            with limited_to(num_threads):
                return self._rows(texts, allowed, disallowed)
        return self._rows(texts, allowed, disallowed)

    def _rows(self, texts: tuple[str, ...], allowed_special: Any, disallowed_special: Any) -> list[list[int]]:
        engine = self._core_bpe
        allowed, disallowed = self._sets(allowed_special, disallowed_special)
        wanted = allowed & self._every_special
        if not wanted and disallowed == self._every_special:
            try:  # C looks for them as it reads
                return engine.tokenizer.encode_batch(texts, special="raise").tolist()
            except ValueError:
                for text in texts:
                    _refuse(text, disallowed)
                raise
        if disallowed:
            for text in texts:
                _refuse(text, disallowed)
        if not wanted or len(wanted) == len(self._special_tokens):
            return engine.tokenizer.encode_batch(texts, special="all" if wanted else "none").tolist()
        return [engine.ids(text, allowed).tolist() for text in texts]

    def encode_with_unstable(
        self,
        text: str,
        *,
        allowed_special: AllowedSpecial = NOTHING,
        disallowed_special: DisallowedSpecial = "all",
    ) -> tuple[list[int], list[list[int]]]:
        """Return the ids of a text that stay whatever follows it, and the ids that the rest may begin with.

        Parameters
        ----------
        text, allowed_special, disallowed_special
            As in `encode`.

        Returns
        -------
        stable : list of int
        completions : list of list of int
            Each once, sorted. (``tiktoken`` gives them in an order that differs from process to process.)

        Raises
        ------
        ValueError
            As in `encode`.
        """
        allowed, disallowed = self._sets(allowed_special, disallowed_special)
        if disallowed:
            _refuse(text, disallowed)
        return encode_with_unstable(self._core_bpe, text, allowed)

    def encode_single_token(self, text_or_bytes: str | bytes) -> int:
        """Return the id of a token, a special one too.

        Parameters
        ----------
        text_or_bytes : str or bytes

        Returns
        -------
        int

        Raises
        ------
        KeyError
            There is no such token.
        """
        if type(text_or_bytes) is bytes:
            try:
                return self._mergeable_ranks[text_or_bytes]
            except KeyError:
                pass
        elif isinstance(text_or_bytes, str):
            text_or_bytes = text_or_bytes.encode()
        elif not isinstance(text_or_bytes, bytes):
            raise TypeError(f"text_or_bytes must be a str or bytes, got {type_name(text_or_bytes)}")
        return self._core_bpe.encode_single_token(text_or_bytes)

    # ---------------------------------------------------------------- decoding

    def decode_bytes(self, tokens: Sequence[int]) -> bytes:
        """Return the bytes of ids.

        Parameters
        ----------
        tokens : sequence of int

        Returns
        -------
        bytes

        Raises
        ------
        KeyError
            An id is no token.
        OverflowError
            An id is no number of 32 bits.
        TypeError
            `tokens` are no integers.
        """
        data = self._decode_bytes(tokens)
        return self._core_bpe.decode_bytes(tokens) if data is None else data

    def decode(self, tokens: Sequence[int], errors: str = "replace") -> str:
        """Return the text of ids; `errors` says what becomes of bytes that are no UTF-8, as in ``bytes.decode``.

        Parameters
        ----------
        tokens : sequence of int
        errors : {"replace", "strict", "ignore"} or another error handler's name

        Returns
        -------
        str

        Raises
        ------
        KeyError, OverflowError, TypeError
            As in `decode_bytes`.
        UnicodeDecodeError
            With ``errors="strict"``, the bytes are no UTF-8.
        """
        text = self._decode(tokens, errors)
        return self._core_bpe.decode_bytes(tokens).decode("utf-8", errors) if text is None else text

    def decode_single_token_bytes(self, token: int) -> bytes:
        """Return the bytes of one token, a special one too; KeyError where there is none.

        Parameters
        ----------
        token : int

        Returns
        -------
        bytes
        """
        try:
            if type(token) is int:  # a float would be found in the table, too
                return self._known[token]
        except LookupError:
            pass
        return self._core_bpe.decode_single_token_bytes(token)  # which says what is wrong with it

    def decode_tokens_bytes(self, tokens: Sequence[int]) -> list[bytes]:
        """Return the bytes of each token.

        Parameters
        ----------
        tokens : sequence of int

        Returns
        -------
        list of bytes
        """
        ids = tokens if type(tokens) is list else list(tokens)
        try:
            if type(sum(ids)) is int:
                return list(map(self._token_bytes.__getitem__, ids))
        except (TypeError, LookupError):
            pass
        return list(map(self._core_bpe.decode_single_token_bytes, ids))

    def decode_with_offsets(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Return the text of ids, and at which character each token begins, the one that it has the first byte of.

        Parameters
        ----------
        tokens : sequence of int

        Returns
        -------
        text : str
        offsets : list of int

        Raises
        ------
        KeyError
            An id is no token.
        UnicodeDecodeError
            The bytes are no UTF-8.
        """
        parts = self.decode_tokens_bytes(tokens)
        offsets, chars = [], 0
        for part in parts:
            offsets.append(max(chars - (part[:1] in INSIDE if part else 0), 0))
            chars += len(part.translate(None, INSIDE))
        return b"".join(parts).decode(), offsets

    def decode_batch(
        self, batch: Iterable[Sequence[int]], *, errors: str = "replace", num_threads: int = 8
    ) -> list[str]:
        """Return the text of each row of ids; `num_threads` is taken and needs none.

        Parameters
        ----------
        batch : iterable of sequence of int
        errors : {"replace", "strict", "ignore"} or another error handler's name
        num_threads : int
            Taken as theirs is; nothing depends on it.

        Returns
        -------
        list of str
        """
        return [self.decode(row, errors) for row in batch]

    def decode_bytes_batch(self, batch: Iterable[Sequence[int]], *, num_threads: int = 8) -> list[bytes]:
        """Return the bytes of each row of ids; `num_threads` is taken and needs none.

        Parameters
        ----------
        batch : iterable of sequence of int
        num_threads : int
            Taken as theirs is; nothing depends on it.

        Returns
        -------
        list of bytes
        """
        return list(map(self.decode_bytes, batch))

    # ---------------------------------------------------------------- the rest

    def token_byte_values(self) -> list[bytes]:
        """Return all tokens but the special ones, in the order of their bytes.

        Returns
        -------
        list of bytes
        """
        return self._core_bpe.token_byte_values()

    @property
    def eot_token(self) -> int:
        """The id of ``<|endoftext|>``; KeyError where there is none."""
        return self._special_tokens["<|endoftext|>"]

    @cached_property
    def special_tokens_set(self) -> set[str]:
        """The special tokens."""
        return set(self._special_tokens)

    @cached_property
    def _every_special(self) -> frozenset[str]:
        return frozenset(self._special_tokens)

    def is_special_token(self, token: int) -> bool:
        """Return whether an id is that of a special token.

        Parameters
        ----------
        token : int

        Returns
        -------
        bool
        """
        assert isinstance(token, int), f"token must be an int, got {type_name(token)}"
        return token in self._special_token_values

    @property
    def n_vocab(self) -> int:
        """One more than the highest id."""
        return self.max_token_value + 1

    def _encode_single_piece(self, text_or_bytes: str | bytes) -> list[int]:
        """Return the ids of a text that is not cut, and in which special tokens are plain text."""
        ids = self._encode_piece(text_or_bytes)
        if ids is not None:
            return ids
        if isinstance(text_or_bytes, str):
            text_or_bytes = text_or_bytes.encode()
        return self._core_bpe.encode_single_piece(text_or_bytes)

    def _encode_only_native_bpe(self, text: str) -> list[int]:
        """Return the ids of a text that Python cuts, by the package ``regex``."""
        import regex

        pieces = regex.compile(self._pat_str).findall(text)
        return self._core_bpe.encode_pieces([piece.encode() for piece in pieces])

    def _encode_bytes(self, text: bytes) -> list[int]:
        """Return the ids of bytes that need not be UTF-8."""
        return self._core_bpe._encode_bytes(text)

    def __copy__(self) -> Encoding:
        return self

    def __deepcopy__(self, memo: object) -> Encoding:
        return self

    def __reduce__(self) -> tuple[Callable[..., Encoding], tuple[Any, ...]]:
        """Pickle a registered encoding as its name, which is read anew where it is unpickled; else all of it."""
        if self._by_name is not None:
            return self._by_name, (self.name,)
        return _made, (type(self), self.name, self._pat_str, self._mergeable_ranks, self._special_tokens)


def _made(kind: type[Encoding], name: str, pattern: str, ranks: dict[bytes, int], special: dict[str, int]) -> Encoding:
    return kind(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)


@lru_cache(maxsize=128)
def _finder(tokens: frozenset[str]) -> Any:
    return finder(tokens)


def _refuse(text: str, disallowed: frozenset[str]) -> None:
    match = _finder(disallowed).search(text)
    if match:
        raise_disallowed_special_token(match[0], match.start())


def raise_disallowed_special_token(token: str, place: int | None = None) -> NoReturn:
    """Raise the ValueError of a special token that stands in a text."""
    where = "" if place is None else f" (character {place})"
    raise ValueError(
        f"the text holds the disallowed special token {token!r}{where}. To make it a token pass "
        f"allowed_special={{{token!r}}}; to read it as plain text pass "
        f"disallowed_special=(enc.special_tokens_set - {{{token!r}}}), or disallowed_special=() for all of them"
    )
