"""Text to token ids: `Tokenizer`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from operator import index
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ._calls import tokenizer as _calls
from ._calls.decoding import Decoder
from ._text.core import NO_LIMIT, Core, Offsets, SpecialTokenFound, lib
from ._text.load import load
from ._text.regex_split import Splitter, compile_pattern
from .ragged import Ragged

__all__ = ["Tokenizer"]

T = TypeVar("T")
Ids = npt.NDArray[np.int32]
PLAIN, MATCH, REFUSE = range(3)  # fe_token_action
CONTEXT = 20  # characters of text shown on each side of a refused token


class Tokenizer(Decoder):
    r"""A byte pair encoding tokenizer, read from its maker's own files.

    Make one with `Tokenizer.load`. It never changes: any number of threads may use it at once, and a copy is the
    tokenizer itself.

    Notes
    -----
    **Ids** are those of the maker's engine. For rank files (tiktoken's and Mistral's) those of ``tiktoken``: a piece
    that is a token is that token; else the two neighbours whose bytes together are the token of the lowest rank merge,
    the leftmost of them first [1]_. For the others those of Hugging Face's ``tokenizers`` for the same file: merges
    apply by their position in the file. Character classes are those of Unicode 16.0.0. A lone surrogate in a ``str`` is
    read as U+FFFD, a pair of surrogates as the character it stands for. Nothing is ever padded or, unless asked for,
    cut off, whatever ``truncation`` and ``padding`` the file has: use `Ragged.pad`.

    **Cost.** A text of n characters takes O(n log n) time, and the search for added tokens at worst n times the length
    of the longest. What pieces of text became is remembered, in at most 192 MiB for one tokenizer (the environment
    variable ``FASTEMB_TOKENIZER_CACHE`` has another number of bytes; 0 remembers nothing), shared out among the
    calls that run at the same time; the ids do not depend on it. Batches are shared out among threads (see
    `set_num_threads`); ids and their order do not depend on that either. ``FASTEMB_SIMD`` is ``avx512``, ``avx2`` or
    ``none`` to keep a new tokenizer from using more of the processor than that.

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
        super().__init__(core)
        notes = core.notes
        self._fixed_actions = {
            name: bytes(action if token.special else MATCH for token in self._added)
            for name, action in (("none", PLAIN), ("all", MATCH), ("raise", REFUSE))
        }
        self._splitter: Splitter | None = None
        if notes.pattern is not None:
            self._splitter = compile_pattern(notes.pattern, notes.dialect)
        # Texts for which no added token has to be looked for take the short way.
        self._is_plain = self._splitter is None and all(token.special for token in self._added)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        pattern: str | None = None,
        *,
        special_tokens: dict[str, int] | None = None,
    ) -> Tokenizer:
        r"""Read a tokenizer.

        Parameters
        ----------
        path : path-like
            A file under any name, of one of these kinds, told by content:

            - a rank file, as ``tiktoken`` and Llama 3 have: lines of a token in base64 and its rank, which is its id;
            - Mistral's ``tekken.json``;
            - a ``tokenizer.json`` of Hugging Face's format with a BPE model, byte level with a pattern that is known
              here, or characters with SentencePiece's mark (with or without byte fallback);
            - one written by `save`, which is mapped into memory and must not be changed meanwhile;

            or a folder that holds a ``tokenizer.json``, or GPT-2's ``encoder.json`` and ``vocab.bpe``.
        pattern : str, optional
            How text is cut into pieces, for rank files, which do not say, and for them alone. A name (``gpt2``,
            ``r50k``, ``p50k``, ``cl100k``, ``o200k``, ``llama3``, ``qwen2``, ``deepseek_v3``, ``tekken``, each with or
            without ``_base``) or a regular expression in the syntax that ``tiktoken`` reads, which takes the package
            ``regex`` (``pip install 'fastemb[regex]'``) and much more time. As in ``tiktoken``, what it does not match
            is dropped.
        special_tokens : dict of str to int, optional
            Special tokens and their ids, for rank files, which have none: a pattern's name brings none either.

        Returns
        -------
        Tokenizer

        Raises
        ------
        FileNotFoundError
            There is no such file, or the folder holds none of the files above.
        TypeError
            `pattern` is no ``str`` or `special_tokens` no ``dict``.
        ValueError
            The file is damaged, or asks for something that is not supported; a rank file comes without a pattern, or
            another file with one. The message says where and what.
        ImportError
            The pattern needs the package ``regex``.
        """
        return cls(load(Path(path), pattern, special_tokens))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer to one file that `load` opens in milliseconds, whatever it was read from.

        Parameters
        ----------
        path : path-like
            The file; one that exists is replaced, in one step. It is for processors of the same byte order, and for
            this version of the format: `load` refuses others by name.
        """
        place = Path(path)
        if place.is_dir():
            raise IsADirectoryError(f"cannot save to {place}: it is a folder")
        if not place.parent.is_dir():
            raise FileNotFoundError(f"cannot save to {place}: there is no folder {place.parent}")
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=place.name, delete=False) as stream:
            try:
                stream.write(self._core.image())
                stream.close()
                os.chmod(stream.name, 0o644)
                os.replace(stream.name, place)
            except BaseException:
                os.unlink(stream.name)
                raise

    # ---------------------------------------------------------------- encoding

    def encode(
        self,
        text: str | bytes,
        *,
        special: str | Iterable[str] = "none",
        template: bool = False,
        max_tokens: int | None = None,
    ) -> Ids:
        """Return the token ids of one text.

        Parameters
        ----------
        text : str or bytes
            Any text; the empty one has no ids. Bytes are UTF-8. Where they are not, those up to the first that is none
            are read as text, its last piece (and white space before it, if it is white space) is taken back, and with
            all bytes that follow it is one piece, as in ``tiktoken``; a vocabulary of characters reads them as U+FFFD.
        special : {"none", "all", "raise"} or a set of str, default "none"
            What special tokens are where they stand in the text: ordinary text, tokens, an error, or tokens
            for those named and ordinary text for the others. Added tokens that the file does not mark special
            are always tokens.
        template : bool, default False
            Put the ids around the text that the file's template asks for (BOS, EOS, ...).
        max_tokens : int, optional
            At most so many ids, those of the template included; what is behind them in the text is hardly looked at.

        Returns
        -------
        ndarray of int32, shape (N,)

        Raises
        ------
        TypeError
            `text` is neither ``str`` nor ``bytes``.
        ValueError
            With ``special="raise"``, a special token stands in the text; `special` names no special token; or
            `max_tokens` is negative or has no room for the template.
        """
        if type(text) is str and special == "none" and self._is_plain and max_tokens is None and not template:
            try:
                ids = self._core.encode_plain(text.encode())
            except UnicodeEncodeError:  # lone surrogates
                ids = None
            if ids is not None:
                return ids
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be a str or bytes, got {type(text).__name__}")
        return self.encode_batch([text], special=special, template=template, max_tokens=max_tokens).ids

    def encode_batch(
        self,
        texts: Sequence[str | bytes],
        *,
        special: str | Iterable[str] = "none",
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
            `texts` is a ``str``, or one of its items is neither ``str`` nor ``bytes``.
        ValueError
            As in `encode`.
        """
        before, after = (self._core.notes.before, self._core.notes.after) if template else ([], [])
        limit = _limit(max_tokens, len(before) + len(after))
        rows, broken = _calls.as_str(texts, self._core)
        # What follows the start of broken bytes takes back some of its ids, so these are cut last.
        job = _calls.Job(self._core, self._actions(special), NO_LIMIT if broken else limit)
        ids, offsets = self._guarded(lambda: self._encode(job, rows), rows)
        if broken:
            ids, offsets = _calls.cut_rows(*self._with_broken(job, ids, offsets, broken), limit)
        if before or after:
            ids, offsets = _calls.surround(ids, offsets, before, after)
        return Ragged._trusted(ids, offsets)

    def count(self, text: str | bytes, *, special: str | Iterable[str] = "none") -> int:
        """Return ``len(encode(text, special=special))`` without making the ids.

        Parameters
        ----------
        text : str or bytes
        special
            As in `encode`.

        Returns
        -------
        int
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be a str or bytes, got {type(text).__name__}")
        return int(self.count_batch([text], special=special)[0])

    def count_batch(
        self, texts: Sequence[str | bytes], *, special: str | Iterable[str] = "none"
    ) -> npt.NDArray[np.int64]:
        """Return ``encode_batch(texts, special=special).lengths`` without making the ids.

        Parameters
        ----------
        texts : sequence of str or bytes, length S
        special
            As in `encode`.

        Returns
        -------
        ndarray of int64, shape (S,)
        """
        rows, broken = _calls.as_str(texts, self._core)
        if broken or self._splitter is not None:
            return self.encode_batch(texts, special=special).lengths
        job = _calls.Job(self._core, self._actions(special))
        return self._guarded(lambda: _calls.count(job, rows), rows)

    def truncate(self, text: str, n: int, *, special: str | Iterable[str] = "none") -> tuple[str, Ids]:
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
            What the ids decode to. Encoding it anew may give others: its end was not the end of the text.
        ids : ndarray of int32
            The first n of ``encode(text)``, less those at their end that are part of a character only.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        if n is None:
            raise TypeError("n must be an integer, got None")
        ids = self.encode(text, special=special, max_tokens=n)
        while True:
            try:
                return self.decode(ids, errors="strict"), ids
            except UnicodeDecodeError:
                ids = ids[:-1].copy()

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

    def _actions(self, special: str | Iterable[str]) -> bytes:
        """Return what to do with each added token."""
        if isinstance(special, str):
            if special not in self._fixed_actions:
                raise ValueError(f"special must be 'none', 'all', 'raise' or a set of special tokens, got {special!r}")
            return self._fixed_actions[special]
        try:
            chosen, names = set(special), set(self.special_tokens)
        except TypeError:
            raise TypeError(
                f"special must be 'none', 'all', 'raise' or a set of special tokens, got {special!r}"
            ) from None
        if not chosen <= names:
            unknown = sorted(chosen - names, key=str)
            raise ValueError(f"special names {unknown!r}, not among the special tokens {sorted(names)!r}")
        return bytes(PLAIN if token.special and token.content not in chosen else MATCH for token in self._added)

    def _encode(self, job: _calls.Job, rows: tuple[str, ...]) -> tuple[Ids, Offsets]:
        if self._splitter is None:
            return _calls.encode(job, rows)
        return _calls.encode_split(job, self._splitter, rows)

    def _with_broken(
        self, job: _calls.Job, ids: Ids, offsets: Offsets, broken: dict[int, bytes]
    ) -> tuple[Ids, Offsets]:
        """Replace the rows of texts that were no UTF-8, of which only the start has been encoded."""
        rows = list(Ragged._trusted(ids, offsets))
        for row, rest in broken.items():
            rows[row] = _calls.with_rest(job, self._splitter, rows[row], rest)
        merged = Ragged.from_lists(rows)
        return merged.ids, merged.offsets

    def _guarded(self, call: Callable[[], T], texts: Sequence[str]) -> T:
        """Call the core; a token that was to be refused becomes a ValueError that says where it stands."""
        try:
            return call()
        except SpecialTokenFound as found:
            token, at = self._added[found.token].content, found.place
            near = _calls.repaired(texts[found.text])[max(at - CONTEXT, 0) : at + len(token) + CONTEXT]
            where = f"text {found.text}, " if len(texts) > 1 else ""
            raise ValueError(
                f"special token {token!r} stands in the text ({where}character {at}: {near!r}); pass special='none' "
                f"to read it as ordinary text, or special='all' to make it a token"
            ) from None


def _unpickle(image: bytes) -> Tokenizer:
    # An array, since bytes need not begin at a multiple of 8.
    return Tokenizer(Core(image=np.frombuffer(image, np.uint8).copy()))


def _limit(max_tokens: int | None, taken: int) -> int:
    """Return how many ids a text may have beside those of the template."""
    if max_tokens is None:
        return NO_LIMIT
    try:
        limit = index(max_tokens)
    except TypeError:
        raise TypeError(f"max_tokens must be an integer, got {type(max_tokens).__name__}") from None
    if limit < taken:
        least = f"{taken}, which the template takes" if taken else "0"
        raise ValueError(f"max_tokens must be at least {least}, got {max_tokens}")
    return min(limit - taken, NO_LIMIT)
