"""Text to token ids: `Tokenizer`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _frameworks
from ._checks import SPECIAL_MODES, SpecialMode, as_flag, as_integer, as_numbers, is_word, name_id, require_cpu
from ._text.core import NO_LIMIT, Core, Ids, lib
from ._text.decode import decode_row, decode_rows, id_of_bytes, id_of_spelling, ids_by_name, name_of
from ._text.encode import NotPlainError, Options, count_texts, encode_texts, surround
from ._text.load import load
from ._text.regex_split import compile_pattern
from ._text.texts import as_path, as_str, only_str
from ._words import all_ints, held, shown, type_name, way_to_integers
from .ragged import Ragged

__all__ = ["Tokenizer"]

PLAIN, MATCH, REFUSE = range(3)  # fe_token_action
_ACTIONS: dict[SpecialMode, int] = {"none": PLAIN, "all": MATCH, "raise": REFUSE}  # of all special tokens
#: How special tokens are read: all in one way, or those of a set (or of `Tokenizer.special_tokens`) as tokens. A `str`
#: is none of these, so a type checker knows a misspelt word.
Special = SpecialMode | AbstractSet[str] | Mapping[str, int] | list[str] | tuple[str, ...]


class Tokenizer:
    r"""A byte pair encoding tokenizer, read from its maker's own files.

    Make one with `Tokenizer.load`. It never changes: any number of threads may use it at once, and a copy is the
    tokenizer itself.

    Notes
    -----
    **Ids** equal those of the maker's engine. For rank files (tiktoken's and Mistral's) that is ``tiktoken``: a piece
    that is a token is that token; in any other piece two neighbours whose bytes together are a token merge, the pair
    whose token has the lowest rank first, of equal pairs the leftmost, until no pair is left [1]_. For other files the
    engine is Hugging Face's ``tokenizers``: merges apply by their position in the file. Character classes are those of
    Unicode 16.0.0. A lone surrogate in a ``str`` is read as U+FFFD, a pair of surrogates as the character it stands
    for. Ids are never padded and, unless asked for, never cut off, whatever ``truncation`` and ``padding`` the file
    has: use `Ragged.pad`.

    **Cost.** A text of n characters takes O(n log n) time, whatever stands in it and whatever the added tokens are;
    how many of these there are makes no difference to a call. The ids of pieces of text are remembered, in caches
    of at most 192 MiB for one tokenizer (the environment variable ``FASTEMB_TOKENIZER_CACHE`` sets another number
    of bytes; 0 remembers nothing), shared out among the calls that run at the same time; the ids do not depend on
    the caches. Batches are shared out among threads (see `set_num_threads`); the ids and their order do not depend
    on threads. The environment variable ``FASTEMB_SIMD``, ``avx512``, ``avx2``, ``neon`` or ``none``, keeps a new
    tokenizer from using wider instructions.

    References
    ----------
    .. [1] Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", 2016,
       arXiv:1508.07909.

    Examples
    --------
    >>> import json, pathlib, tempfile, fastemb
    >>> tokens = ["\u2581", "a", "b", "ab", "\u2581ab"]
    >>> model = {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": ["a b", "\u2581 ab"]}
    >>> steps = [
    ...     {"type": "Prepend", "prepend": "\u2581"},
    ...     {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    ... ]
    >>> file = pathlib.Path(tempfile.mkdtemp(), "tokenizer.json")
    >>> _ = file.write_text(json.dumps({"model": model, "normalizer": {"type": "Sequence", "normalizers": steps}}))
    >>> tokenizer = fastemb.Tokenizer.load(file)
    >>> tokenizer.encode("ab ba")
    array([4, 0, 2, 1], dtype=int32)
    >>> tokenizer.encode_batch(["ab", "", "b"]).offsets
    array([0, 1, 1, 3])
    """

    def __init__(self, core: Core) -> None:
        metadata = core.metadata
        self._core = core
        self._added = metadata.added
        self._fixed_actions: dict[str, bytes] = {
            name: bytes(action if token.special else MATCH for token in self._added)
            for name, action in _ACTIONS.items()
        }
        pattern, dialect = metadata.pattern, metadata.dialect
        self._splitter = None if pattern is None else compile_pattern(pattern, dialect)
        # Of texts that C alone encodes, and as C takes them.
        self._short_actions: dict[str, Any] = {
            name: core.choice(actions) for name, actions in self._fixed_actions.items() if self._splitter is None
        }

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        pattern: str | None = None,
        *,
        special_tokens: dict[str, int] | None = None,
        mmap: bool = False,
    ) -> Tokenizer:
        r"""Read a tokenizer.

        Parameters
        ----------
        path : path-like
            A file under any name, of one of these kinds, told apart by content:

            - a rank file, as ``tiktoken`` and Llama 3 have: lines of a token in base64 and its rank, which is its id;
            - Mistral's ``tekken.json``;
            - a ``tokenizer.json`` of Hugging Face's format with a BPE model, byte level with a pattern that is known
              here, or characters with SentencePiece's mark (with or without byte fallback);
            - a file written by `save`;

            or a folder that holds a ``tokenizer.json``, or GPT-2's ``encoder.json`` and ``vocab.bpe``.
        pattern : str, optional
            How text is cut into pieces, for rank files alone: they do not say it, all other files do. A name (``gpt2``,
            ``r50k``, ``p50k``, ``cl100k``, ``o200k``, ``llama3``, ``qwen2``, ``deepseek_v3``, ``tekken``, each with or
            without ``_base``) or a regular expression in the syntax that ``tiktoken`` reads, which takes the package
            ``regex`` (``pip install 'fastemb[regex]'``) and much more time. As in ``tiktoken``, text that a pattern
            does not match is dropped.
        special_tokens : dict of str to int, optional
            Special tokens and their ids, for rank files, which hold none; a pattern's name brings none either.
        mmap : bool, default False
            Map a file written by `save` into memory instead of reading it, so that processes share its pages. The file
            must then not change while the tokenizer is in use: overwritten or cut short in place, it ends the process.
            (`save` replaces files and changes none.) Of other files nothing is mapped.

        Returns
        -------
        Tokenizer

        Raises
        ------
        FileNotFoundError
            There is no such file, or the folder holds no tokenizer.
        TypeError
            `path` is no path, or of a rank file `pattern` is no ``str`` or `special_tokens` no ``dict``;
            or `mmap` is no bool.
        ValueError
            The file is damaged, or asks for something that is not supported; or `pattern` is missing for a rank file,
            or given for another file. The message says where and what.
        ImportError
            The pattern needs the package ``regex``.
        """
        return cls(load(as_path(path), pattern, special_tokens, as_flag(mmap, "mmap")))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer to one file that `load` opens in milliseconds, whatever files it was read from.

        Parameters
        ----------
        path : path-like
            The file; a file that exists is replaced, in one step. It is for processors of the same byte order, and for
            this version of the format: `load` refuses a file of another by name.

        Raises
        ------
        TypeError
            `path` is no path.
        FileNotFoundError
            There is no such folder to write to.
        IsADirectoryError
            `path` is a folder.
        """
        place = as_path(path)
        if place.is_dir():
            raise IsADirectoryError(f"cannot save to {place}: it is a folder")
        if not place.parent.is_dir():
            raise FileNotFoundError(f"cannot save to {place}: there is no folder {place.parent}")
        spare = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
        with spare.open("xb") as stream:  # with the modes that the umask leaves, unlike those of `tempfile`
            try:
                stream.write(self._core.image())
                stream.close()
                spare.replace(place)
            except BaseException:
                spare.unlink()
                raise

    # ---------------------------------------------------------------- encoding

    def encode(
        self,
        text: str | bytes,
        *,
        special: Special = "none",
        template: bool = False,
        max_tokens: int | None = None,
    ) -> Ids:
        """Return the token ids of one text.

        Parameters
        ----------
        text : str or bytes
            Any text; the empty text has no ids. Bytes are read as UTF-8. Bytes with an invalid byte are read as in
            ``tiktoken``: all before it is text, but for the last piece of that text (with the white space before the
            piece, if the piece begins with white space); this piece and all bytes that follow it become one piece. A
            vocabulary of characters reads invalid bytes as U+FFFD.
        special : {"none", "all", "raise"} or a set of str, default "none"
            How special tokens in the text are read: "none" as ordinary text, "all" as tokens, "raise" as an error; a
            set reads the special tokens it names as tokens and all others as ordinary text. Added tokens that the file
            does not mark special are always tokens.
        template : bool, default False
            Put the ids around the text that the file's template asks for (BOS, EOS, ...).
        max_tokens : int, optional
            Return at most so many ids, the template's included; text behind the last of them is hardly looked at.

        Returns
        -------
        ndarray of int32, shape (N,)

        Raises
        ------
        TypeError
            `text` is neither ``str`` nor ``bytes``, `special` neither a word nor a set, `template` no bool, or
            `max_tokens` no integer.
        ValueError
            With ``special="raise"``, a special token stands in the text; `special` names no special token; or
            `max_tokens` is negative or has no room for the template.
        """
        if type(text) is str and isinstance(special, str) and max_tokens is None and template is False:
            actions = self._short_actions.get(special)
            ids = None if actions is None else self._core.encode_short(text, actions)
            if ids is not None:
                return ids
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be a str or bytes, got {type_name(text)}; for many texts call encode_batch")
        return self.encode_batch([text], special=special, template=template, max_tokens=max_tokens).ids

    def encode_batch(
        self,
        texts: Sequence[str | bytes],
        *,
        special: Special = "none",
        template: bool = False,
        max_tokens: int | None = None,
    ) -> Ragged:
        """Return the token ids of many texts, one row a text, nothing padded.

        Parameters
        ----------
        texts : sequence of str or bytes, length S
            A single ``str`` is refused: it would be taken letter by letter.
        special, template, max_tokens
            As in `encode`, for each text.

        Returns
        -------
        Ragged
            S rows.

        Raises
        ------
        TypeError
            `texts` is a ``str`` or a frame of columns, or one of its items is neither ``str`` nor ``bytes``; else as in
            `encode`.
        ValueError
            As in `encode`.
        """
        metadata = self._core.metadata
        before, after = (metadata.before, metadata.after) if as_flag(template, "template") else ([], [])
        limit = _limit(max_tokens, len(before) + len(after))
        rows, tails = as_str(texts, self._core)
        options = Options(self._core, self._actions(special), self._splitter, limit)
        ids, offsets = encode_texts(options, rows, tails)
        if before or after:
            ids, offsets = surround(ids, offsets, before, after)
        return Ragged._trusted(ids, offsets)

    def count(self, text: str | bytes, *, special: Special = "none") -> int:
        """Return ``len(encode(text, special=special))`` without making the ids.

        Parameters
        ----------
        text : str or bytes
        special
            As in `encode`.

        Returns
        -------
        int

        Raises
        ------
        TypeError
            `text` is neither ``str`` nor ``bytes``, or `special` neither a word nor a set.
        ValueError
            As in `encode`.
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be a str or bytes, got {type_name(text)}; for many texts call count_batch")
        return int(self.count_batch([text], special=special)[0])

    def count_batch(self, texts: Sequence[str | bytes], *, special: Special = "none") -> npt.NDArray[np.int64]:
        """Return ``encode_batch(texts, special=special).lengths`` without making the ids.

        Parameters
        ----------
        texts : sequence of str or bytes, length S
        special
            As in `encode`.

        Returns
        -------
        ndarray of int64, shape (S,)

        Raises
        ------
        TypeError
            As in `encode_batch`.
        ValueError
            As in `encode`.
        """
        rows, tails = as_str(texts, self._core)
        return count_texts(Options(self._core, self._actions(special), self._splitter), rows, tails)

    def truncate(self, text: str, n: int, *, special: Special = "none") -> tuple[str, Ids]:
        """Return the start of a text that has at most n tokens and ends with a whole character, and its ids.

        Parameters
        ----------
        text : str
        n : int
            At least 0.
        special
            As in `encode`.

        Returns
        -------
        prefix : str
            The start of the text, to which the ids decode. Encoded by itself it may have other ids, since in the text
            more follows it.
        ids : ndarray of int32
            The first n ids of ``encode(text)``, without those at the end that stand for part of a character only.

        Raises
        ------
        TypeError
            `text` is no ``str``, `n` no integer, or `special` neither a word nor a set.
        ValueError
            `n` is negative; else as in `encode`.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type_name(text)}")
        most = as_integer(n, "n")
        if most < 0:
            raise ValueError(f"n must be at least 0, got {shown(most)}")
        ids = self.encode(text, special=special, max_tokens=most)
        while True:
            try:
                return self.decode(ids, errors="strict"), ids
            except UnicodeDecodeError:
                ids = ids[:-1].copy()

    # ---------------------------------------------------------------- decoding

    def decode(self, ids: npt.ArrayLike, *, errors: str = "replace") -> str:
        """Return the text of token ids.

        Parameters
        ----------
        ids : array_like of int, shape (N,)
            Special tokens decode to their own text.
        errors : {"replace", "strict", "ignore"} or another error handler's name, default "replace"
            What to do with bytes that are no UTF-8, as in ``bytes.decode``. (Where byte fallback tokens in a row are
            not valid UTF-8 together, ``tokenizers`` writes one U+FFFD for each of them, for valid ones too.)

        Returns
        -------
        str

        Raises
        ------
        TypeError
            `ids` are no integers, or `errors` is no ``str``.
        ValueError
            `ids` are not in one dimension.
        IndexError
            One of `ids` is no id of this vocabulary.
        UnicodeDecodeError
            With ``errors="strict"``, the bytes are no UTF-8.
        LookupError
            The bytes are no UTF-8, and there is no error handler of that name.
        """
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """Return the bytes of token ids; they need not be whole characters.

        Parameters
        ----------
        ids : array_like of int, shape (N,)

        Returns
        -------
        bytes

        Raises
        ------
        TypeError
            `ids` are no integers.
        ValueError
            `ids` are not in one dimension.
        IndexError
            One of `ids` is no id of this vocabulary.
        """
        return decode_row(self._core, _as_ids(ids))

    def decode_batch(self, rows: Ragged | Sequence[npt.ArrayLike], *, errors: str = "replace") -> list[str]:
        """Return the texts of rows of token ids.

        Parameters
        ----------
        rows : Ragged or sequence of array_like of int, length S
        errors
            As in `decode`.

        Returns
        -------
        list of str, length S

        Raises
        ------
        TypeError
            `rows` is no sequence, or as in `decode`.
        ValueError
            A row is not in one dimension.
        IndexError
            An id is none of this vocabulary: its row and its position are named.
        UnicodeDecodeError
            With ``errors="strict"``, the bytes are no UTF-8.
        LookupError
            The bytes are no UTF-8, and there is no error handler of that name.
        """
        rows = _frameworks.lists(rows, Ragged)
        if isinstance(rows, Ragged):
            flat, ends = rows.ids.astype(np.int64), rows.offsets[1:]
        else:
            if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
                raise TypeError(f"rows must be a Ragged or a sequence of rows of ids, got {type_name(rows)}")
            parts = [_as_ids(row, f"rows[{s}]") for s, row in enumerate(rows)]
            flat = np.concatenate([np.empty(0, np.int64), *parts])
            ends = np.cumsum(np.array([part.size for part in parts], np.int64))
        return [text.decode("utf-8", errors) for text in decode_rows(self._core, flat, ends)]

    # ---------------------------------------------------------------- the vocabulary

    @cached_property
    def vocab_size(self) -> int:
        """One more than the highest id, added tokens included: the rows that an embedding table needs."""
        return max([self._core.highest_id(), *(token.id for token in self._added)]) + 1

    @property
    def vocab(self) -> dict[str, int]:
        """The names of all tokens, as the file writes them, and their ids; added tokens included (a new dict).

        Rank files hold bytes: here they are written as in GPT-2's files, where printable ASCII stands for itself.
        """
        return ids_by_name(self._core)

    def id_to_token(self, id: int) -> str:
        """Return a token as `vocab` writes it.

        Parameters
        ----------
        id : int

        Returns
        -------
        str

        Raises
        ------
        TypeError
            `id` is no integer.
        IndexError
            No token has this id.
        """
        at = as_integer(id, "id")
        name = name_of(self._core, at)
        if name is None:
            raise IndexError(f"id {shown(at)} is no token of this vocabulary")
        return name

    def token_to_id(self, token: str | bytes) -> int:
        """Return the id of a token.

        Parameters
        ----------
        token : str or bytes
            The token as `vocab` writes it, or the bytes it stands for.

        Returns
        -------
        int

        Raises
        ------
        TypeError
            `token` is neither ``str`` nor ``bytes``.
        KeyError
            There is no such token.
        """
        if not isinstance(token, str | bytes):
            raise TypeError(f"token must be a str or bytes, got {type_name(token)}")
        id = id_of_bytes(self._core, token) if isinstance(token, bytes) else self._id_of_name(token)
        if id is None:
            raise KeyError(f"{token!r} is no token of this vocabulary")
        return id

    def _id_of_name(self, token: str) -> int | None:
        for one in self._added:
            if one.content == token:
                return one.id
        if self._core.names is not None:
            return self._ids_by_name.get(token)
        return id_of_spelling(self._core, token)

    @cached_property
    def _ids_by_name(self) -> dict[str, int]:
        return self.vocab

    @property
    def unk_id(self) -> int | None:
        """The id of the unknown token, None where the vocabulary has none."""
        unk = self._core.contents.unk
        return None if unk < 0 else int(self._core.contents.token_ids[unk])

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids."""
        return {token.content: token.id for token in self._added if token.special}

    # ---------------------------------------------------------------- the rest

    def __copy__(self) -> Tokenizer:
        return self

    def __deepcopy__(self, memo: object) -> Tokenizer:
        return self

    def __reduce__(self) -> tuple[Callable[[bytes], Tokenizer], tuple[bytes]]:
        """Pickle as what `save` writes."""
        return _unpickle, (bytes(self._core.image()),)

    def __repr__(self) -> str:
        contents = self._core.contents
        if contents.flags & lib.FE_RANKED:
            return f"<Tokenizer: BPE, ranks, {self.vocab_size} ids>"
        kind = "byte level" if contents.flags & lib.FE_BYTE_LEVEL else "characters"
        return f"<Tokenizer: BPE, {kind}, {self.vocab_size} ids, {contents.merges} merges>"

    def _short_way(self, special: str) -> tuple[Core, Any] | None:
        """Return what encodes short texts, and by which actions; None: they take the general road."""
        actions = self._short_actions.get(special)
        return None if actions is None else (self._core, actions)

    def _encode_str(self, texts: tuple[Any, ...]) -> Ragged:
        """Return what `encode_batch` does with ``special="all"``; TypeError where some text is no ``str``."""
        options = Options(self._core, self._actions("all"), self._splitter, known=False)
        try:
            rows = encode_texts(options, texts, {})
        except NotPlainError:
            rows = encode_texts(options._replace(known=True), only_str(texts), {})
        return Ragged._trusted(*rows)

    def _actions(self, special: Special) -> bytes:
        """Return the fe_token_action of each added token."""
        if is_word(special, SPECIAL_MODES):
            return self._fixed_actions[str(special)]
        words = f"special must be {', '.join(map(repr, SPECIAL_MODES))} or a set of special tokens, got"
        if isinstance(special, str):
            raise ValueError(f"{words} {shown(special)}")
        try:
            chosen, names = set(special), set(self.special_tokens)
        except TypeError:
            raise TypeError(f"{words} {shown(special)}") from None
        if not chosen <= names:
            unknown = sorted(chosen - names, key=str)
            raise ValueError(f"special names {unknown!r}, not among the special tokens {sorted(names)!r}")
        return bytes(PLAIN if token.special and token.content not in chosen else MATCH for token in self._added)


def _unpickle(image: bytes) -> Tokenizer:
    # Copied to an array: C needs the image at a multiple of 8, where bytes need not begin.
    return Tokenizer(Core(image=np.frombuffer(image, np.uint8).copy()))


def _limit(max_tokens: int | None, taken: int) -> int:
    """Return how many ids a text may have beside the `taken` ids of the template."""
    if max_tokens is None:
        return NO_LIMIT
    limit = as_integer(max_tokens, "max_tokens")
    if limit < taken:
        least = f"{taken}, which the template takes" if taken else "0"
        raise ValueError(f"max_tokens must be at least {least}, got {max_tokens}")
    return min(limit - taken, NO_LIMIT)


def _as_ids(ids: Any, name: str = "ids") -> npt.NDArray[np.int64]:
    """Return the caller's ids as int64, one row of them."""
    array = require_cpu(as_numbers(ids, name), name)
    if array.dtype.kind not in "iu" and (array.size or array.ndim != 1) and not all_ints(array):
        way = way_to_integers(ids, array, name)
        raise TypeError(f"{name} must be integers in one dimension, got {held(ids, array)}{way}")
    if array.ndim != 1:
        rows = "; decode_batch takes rows of ids" if name == "ids" and array.ndim == 2 else ""
        raise ValueError(f"{name} must be integers in one dimension, got shape {array.shape}{rows}")
    if array.dtype.kind in "uO":  # which may be beyond int64
        wrong = [position for position, one in enumerate(array.tolist()) if not -(2**63) <= one < 2**63]
        if wrong:
            row = "" if name == "ids" else f" of {name}"
            raise IndexError(f"{name_id(array, wrong[0])}{row} is no token of this vocabulary")
    flat: npt.NDArray[np.int64] = array.astype(np.int64)
    return flat
