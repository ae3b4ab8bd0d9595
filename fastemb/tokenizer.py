"""Text to token ids: `Tokenizer`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from . import _frameworks, _tokens
from ._checks import ModelLength, as_flag, as_integer
from ._text.batch import encode_plain, encode_rows
from ._text.chunks import cut_chunks, whole_ids
from ._text.core import SHORT, Core, Ids, Packed
from ._text.count import count_given
from ._text.decode import decode_row, decode_rows
from ._text.encode import NotPlainError, Options, encode_packed, encode_texts
from ._text.file_calls import calls_of
from ._text.files import Cuts, encode_text_file
from ._text.load import load
from ._text.placing import Placing
from ._text.plan import cutter_of, decoders_of
from ._text.saved_steps import file_of
from ._text.spans import Spans
from ._text.starts import can_start
from ._text.streaming import Decoder, check_handler
from ._text.tables import FEW, Tables
from ._text.texts import as_path, as_tuple, only_str
from ._tokens import (
    Actions,
    BatchOptions,
    ModelTokens,
    OffsetMode,
    Pad,
    RestMode,
    Special,
    SpecialMode,
    Text,
    Texts,
    UnknownMode,
    as_asked,
    as_left_out,
    as_limit,
    as_row,
)
from ._training import Trained
from ._words import shown, type_name
from .encoded import Encoded, Side, Strategy, encoded_of
from .ragged import Ragged

__all__ = ["Tokenizer"]

PlacedIds = tuple[Ids, Spans]  # and where they stand
PlacedRows = tuple[Ragged, Spans]
VIEWED = 64  # ids; the first of so many are given out as a view, which is quicker than a copy and keeps little memory


class Tokenizer(Trained):
    r"""A tokenizer by byte pair encoding, WordPiece or Unigram, read from its maker's own files.

    Make one with `Tokenizer.load`. It never changes: any number of threads may use it at once, and a copy is the
    tokenizer itself.

    Notes
    -----
    **Ids** equal those of the maker's engine. For rank files (tiktoken's and Mistral's) that is ``tiktoken``: a piece
    that is a token is that token; in any other piece two neighbours whose bytes together are a token merge, the pair
    whose token has the lowest rank first, of equal pairs the leftmost, until no pair is left [1]_. For other files the
    engine is Hugging Face's ``tokenizers``: merges apply by their position in the file. Character classes are those of
    Unicode 16.0.0 (in a ``tokenizer.json`` of the version that the engine has in each component). A lone surrogate in
    a ``str`` is read as U+FFFD, a pair of surrogates as the character it stands for. Ids are never padded and, unless
    asked for, never cut off, whatever ``truncation`` and ``padding`` the file has: use `Ragged.pad`.

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
        self._file = file_of(core)
        self._splitter = cutter_of(core, self._file)
        cut_in_c = self._splitter is None
        self._actions = Actions(metadata.added, lambda bits: core.choice(bits) if cut_in_c else None)
        self._can_start = cut_in_c and can_start(core)
        self._tables = Tables(core, decoders_of(core, self._file))
        self._by_bytes = self._tables.decoders is None  # tokens decode to their bytes, wherever they stand
        self._around = metadata.before, metadata.after
        self._calls = calls_of(self._file, *self._around)
        self._surrounds = bool(metadata.before or metadata.after)  # all that the template for one text is
        self._placing = Placing(core, self._tables, self._file, self._splitter)
        # What single calls look up, where a look-up more would be seen.
        self._short_actions, self._separator = self._actions.short, self._tables.separator
        self._bytes_at, self._strip_start = self._tables.token_bytes.__getitem__, self._tables.strip_start

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        pattern: str | None = None,
        *,
        special_tokens: dict[str, int] | ModelTokens | None = None,
        mmap: bool = False,
    ) -> Tokenizer:
        r"""Read a tokenizer.

        Parameters
        ----------
        path : path-like
            A file under any name, of one of these kinds, told apart by content:

            - a rank file, as ``tiktoken`` and Llama 3 have: lines of a token in base64 and its rank, which is its id;
            - SentencePiece's ``.model``, of merges or of scores (Unigram), as Llama 2, Mistral and T5 have it;
            - Mistral's ``tekken.json``;
            - a ``tokenizer.json`` of Hugging Face's format with a BPE, WordPiece, WordLevel or Unigram model and any
              other components; where C does not know all of them, Python does the rest, much slower;
            - BERT's ``vocab.txt``, a token a line, with the settings of a ``tokenizer_config.json`` beside it;
            - CLIP's merge list, ``bpe_simple_vocab_16e6.txt``, compressed by gzip or not;
            - a file written by `save`;

            or a folder that holds one of these: ``tokenizer.json``, ``tekken.json``, GPT-2's ``encoder.json`` and
            ``vocab.bpe``, ``vocab.json`` and ``merges.txt`` (with a ``pattern``, or beside a ``tokenizer_config.json``
            that names a class of transformers), ``vocab.txt``, one ``.tiktoken`` file, or ``tokenizer.model``,
            whichever comes first in this list. A byte order mark at the start of a file is dropped.
        pattern : str, optional
            How text is cut into pieces, for rank files, and ``vocab.json`` with ``merges.txt``: they do not say it (the
            latter where no ``tokenizer_config.json`` does), all other files do. A name (``gpt2``, ``r50k``, ``p50k``,
            ``p50k_edit``, ``cl100k``, ``o200k``, ``o200k_harmony``, ``llama3``, ``qwen2``, ``qwen3_5``,
            ``gpt2_digits``, ``deepseek_v3``, ``tekken``, each with or without ``_base``) or, for rank files, a regular
            expression in the syntax that ``tiktoken`` reads. Most run in C; one with repeated groups or the like takes
            the package ``regex`` (``pip install 'fastemb[regex]'``) and much more time. As in ``tiktoken``, text that a
            pattern does not match is dropped.
        special_tokens : dict of str to int or "model", optional
            Special tokens and their ids, for the files that have no pattern, which hold none. "model": those that the
            maker of the vocabulary publishes for the pattern of this name: of gpt2, r50k, p50k, p50k_edit, cl100k,
            o200k, o200k_harmony, Llama 3 and Qwen 2; of all other files their own.
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
            `path` is no path, or of a rank file `pattern` is no ``str`` or `special_tokens` neither a ``dict`` nor
            "model"; or `mmap` is no bool.
        ValueError
            The file is damaged, of a kind that is not read, or asks for something that is not supported; or `pattern`
            is missing for a rank file, or given for another file; or special tokens do not fit it. The message says
            what the file is, and where the fault lies.
        ImportError
            The pattern needs the package ``regex``.
        """
        return cls(load(as_path(path), pattern, special_tokens, as_flag(mmap, "mmap")))

    # ---------------------------------------------------------------- encoding

    @overload
    def encode(self, text: Text, **options: Unpack[_tokens.IdsOptions]) -> Ids: ...
    @overload
    def encode(self, text: Text, **options: Unpack[_tokens.PlacedIdsOptions]) -> PlacedIds: ...
    @overload
    def encode(self, text: Text, **options: Unpack[_tokens.AnyIdsOptions]) -> Ids | PlacedIds: ...
    def encode(
        self,
        text: Text,
        *,
        special: Special = "none",
        rest: RestMode = "plain",
        template: bool = False,
        max_tokens: int | ModelLength | None = None,
        pair: Text | None = None,
        offsets: OffsetMode = False,
    ) -> Ids | PlacedIds:
        """Return the token ids of one text.

        Parameters
        ----------
        text : str or bytes
            Any text; the empty text has no ids. Bytes are read as UTF-8. Bytes with an invalid byte are read as in
            ``tiktoken``: all before it is text, but for the last piece of that text (with the white space before the
            piece, if the piece begins with white space); this piece and all bytes that follow it become one piece. A
            vocabulary of characters reads invalid bytes as U+FFFD, and so does whatever Python encodes.
        special : {"none", "all", "raise"} or a set of str, default "none"
            How special tokens in the text are read: "none" as ordinary text, "all" as tokens, "raise" as an error; a
            set reads the special tokens it names as tokens, and all others as `rest` says. Added tokens that the file
            does not mark special are always tokens.
        rest : {"plain", "raise"}, default "plain"
            With a set as `special`: how special tokens are read that it does not name, as ordinary text or as an error.
        template : bool, default False
            Put the ids around the text that the file's template asks for (BOS, EOS, ...).
        max_tokens : int or "model", optional
            Return at most so many ids, the template's included; text behind the last of them is hardly looked at.
            "model": as many, and from that side, as the file says (`max_length`).
        pair : str or bytes, optional
            A second text, behind the first.
        offsets : bool or "bytes", default False
            Return where each token stands in its text too, in characters or in bytes of UTF-8.

        Returns
        -------
        ids : ndarray of int32, shape (N,)
        offsets : ndarray of int32, shape (N, 2)
            Only with `offsets`: where each token begins and ends; 0, 0 for the template's. A character of several
            tokens is whole in each of them.

        Raises
        ------
        TypeError
            `text` is neither ``str`` nor ``bytes``, `special` neither a word nor a set, `template` no bool, or
            `max_tokens` no integer.
        ValueError
            With ``special="raise"`` or ``rest="raise"``, a special token stands in the text; `special` names no special
            token, or is "all" where there are none; `rest` is given without a set; `template` is True where the file
            has none; `max_tokens` is negative or has no room for the template; the text has 2**31 - 64 bytes or more,
            or with `offsets` is no UTF-8.
        """
        if type(text) is str and template is False and pair is None and offsets is False:
            if isinstance(special, str) and rest == "plain":
                actions = self._short_actions.get(special)
            else:
                actions = self._actions.short_set(special, rest)
            ids = None if actions is None else self._core.encode_short(text, actions)
            if ids is not None:
                if max_tokens is None:
                    return ids
                if type(max_tokens) is int and max_tokens >= 0:
                    return ids[:max_tokens] if len(ids) <= VIEWED else ids[:max_tokens].copy()
        if isinstance(text, bytes) and len(text) <= SHORT and template is False and pair is None and offsets is False:
            try:
                return self.encode(text.decode(), special=special, rest=rest, max_tokens=max_tokens)
            except UnicodeDecodeError:
                pass
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be a str or bytes, got {type_name(text)}; for many texts call encode_batch")
        options: BatchOptions = {"special": special, "rest": rest, "template": template, "max_tokens": max_tokens}
        if pair is not None:
            options["pairs"] = [pair]
        if offsets is False:
            return self.encode_batch([text], **options).ids
        rows, spans = self.encode_batch([text], offsets=offsets, **options)
        return rows.ids, spans

    @overload
    def encode_batch(self, texts: Texts, **options: Unpack[_tokens.RowsOptions]) -> Ragged: ...
    @overload
    def encode_batch(self, texts: Texts, **options: Unpack[_tokens.PlacedRowsOptions]) -> PlacedRows: ...
    @overload
    def encode_batch(self, texts: Texts, **options: Unpack[_tokens.DetailsOptions]) -> Encoded: ...
    @overload
    def encode_batch(self, texts: Texts, **options: Unpack[_tokens.PadOptions]) -> Encoded: ...
    @overload
    def encode_batch(self, texts: Texts, **options: Unpack[_tokens.StrideOptions]) -> Encoded: ...
    @overload
    def encode_batch(self, texts: Texts, **options: Unpack[_tokens.AnyOptions]) -> Ragged | PlacedRows | Encoded: ...
    def encode_batch(
        self,
        texts: Texts,
        *,
        special: Special = "none",
        rest: RestMode = "plain",
        template: bool = False,
        max_tokens: int | ModelLength | None = None,
        pairs: Texts | None = None,
        side: Side | None = None,
        strategy: Strategy | None = None,
        stride: int | None = None,
        pad: Pad | None = None,
        offsets: OffsetMode = False,
        pretokenized: bool = False,
        details: bool = False,
    ) -> Ragged | PlacedRows | Encoded:
        r"""Return the token ids of many texts, one row a text, nothing padded unless that is asked for.

        Parameters
        ----------
        texts : sequence of str or bytes, length S
            A single ``str`` is refused: it would be taken letter by letter.
        special, rest, template, max_tokens
            As in `encode`, for each text; of pairs `max_tokens` is for both texts together.
        pairs : sequence of str or bytes, length S, optional
            A second text for each text, behind it in its row.
        side : {"right", "left"}, optional
            With `max_tokens`: where ids are taken away; by default "right", or with "model" as the file says.
        strategy : {"longest_first", "only_first", "only_second"}, optional
            With `max_tokens`, of pairs: which text gives way. By default "longest_first", or with "model" as the file
            says.
        stride : int, optional
            With `max_tokens`: return all of a text that is cut, in windows, one behind the other as rows, of which each
            shares so many ids with the one before it. With side "left" the last window comes first. The windows of a
            pair meet in all combinations, which may be many.
        pad : int, {"longest", "model"} or Padding, optional
            Fill rows up: to a length, to the longest row, as the file says (`padding`), or as a `Padding` says. A row
            that is longer stays so.
        offsets : bool or "bytes", default False
            As in `encode`.
        pretokenized : bool, default False
            Texts, and pairs, are lists of words; each word is encoded as a text by itself, and offsets are counted from
            its start.
        details : bool, default False
            Return all that is known of each id.

        Returns
        -------
        Ragged
            S rows; with `offsets` a tuple of it and an ndarray of int32, shape (N, 2); and where `details`, `pad` or
            `stride` is given, an `Encoded` that holds both.

        Raises
        ------
        TypeError
            `texts` is a ``str`` or a frame of columns, or one of its items is neither ``str`` nor ``bytes``; else as in
            `encode`.
        ValueError
            `pairs` are not as many as `texts`; a word is none of those above; `stride` leaves no step; the text that is
            to give way is too short, or there is none; `side`, `strategy` or `stride` is given without `max_tokens`;
            else as in `encode`.

        Examples
        --------
        >>> import base64, pathlib, tempfile, fastemb
        >>> file = pathlib.Path(tempfile.mkdtemp(), "bytes.tiktoken")
        >>> _ = file.write_bytes(b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)))
        >>> tokenizer = fastemb.Tokenizer.load(file, "gpt2")
        >>> rows = tokenizer.encode_batch(["abcdef", "xy"], max_tokens=4, stride=1)
        >>> [tokenizer.decode(row) for row in rows.ids], rows.text_ids
        (['abcd', 'def', 'xy'], array([0, 0, 1]))
        """
        encoded = as_flag(details, "details") or stride is not None or pad is not None
        more = encoded or pairs is not None or offsets is not False or pretokenized is not False
        more = more or side is not None or strategy is not None or isinstance(max_tokens, str)
        actions = self._actions.of(special, rest)
        if more or (template is True and not self._surrounds):
            how = max_tokens, side, strategy, stride, pad, offsets, pretokenized
            asked = as_asked(self._calls, template, *how)
            options = Options(self._core, actions, self._splitter)
            rows = encode_rows(options, self._placing, self._calls, asked, texts, pairs)
            if encoded:
                return encoded_of(rows)
            found = Ragged._trusted(rows.ids, rows.offsets)
            return found if rows.spans is None else (found, rows.spans)
        before, after = self._around if as_flag(template, "template") else ([], [])
        options = Options(self._core, actions, self._splitter, as_limit(max_tokens, len(before) + len(after)))
        return Ragged._trusted(*encode_plain(options, texts, self._can_start, before, after))

    def encode_file(
        self,
        path: str | os.PathLike[str],
        out: str | os.PathLike[str] | None = None,
        *,
        special: Special = "none",
        rest: RestMode = "plain",
    ) -> Ids:
        r"""Return the token ids of a text file of any size, as if it were one text.

        The file is mapped into memory and encoded by stretches, cut where that changes no id; on a terminal a bar shows
        how far that is. (It is UTF-8, and nothing in it is changed: line ends and a byte order mark are text.) A
        tokenizer for which no such places are known reads the file as one text.

        Parameters
        ----------
        path : path-like
            The file.
        out : path-like, optional
            Where the ids are written, as they come: in NumPy's format if it is called ``.npy``, else as bare int32. A
            file that exists is replaced when all is written. Then memory is bounded, however large the file is.
        special, rest
            As in `encode`.

        Returns
        -------
        ndarray of int32, shape (N,)
            With `out`, what was written there, mapped into memory and read-only.

        Raises
        ------
        TypeError
            `path` or `out` is no path, or `special` neither a word nor a set.
        FileNotFoundError
            There is no such file, or no such folder to write to.
        IsADirectoryError
            `path` or `out` is a folder.
        ValueError
            The file is no UTF-8, or no regular file, or `out` is the same file; or it is longer than a text may be and
            nowhere to be cut; else as in `encode`.

        Examples
        --------
        >>> import base64, pathlib, tempfile, fastemb
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> ranks = b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256))
        >>> _ = (folder / "bytes.tiktoken").write_bytes(ranks), (folder / "text").write_bytes(b"hi\n")
        >>> fastemb.Tokenizer.load(folder / "bytes.tiktoken", "gpt2").encode_file(folder / "text")
        array([104, 105,  10], dtype=int32)
        """
        options = Options(self._core, self._actions.of(special, rest), self._splitter)
        cuts = Cuts(self._core, self._tables, self._can_start, self._placing.told)
        return encode_text_file(as_path(path), None if out is None else as_path(out, "out"), cuts, options)

    def count(self, text: str | bytes, *, special: Special = "none", rest: RestMode = "plain") -> int:
        """Return ``len(encode(text, special=special, rest=rest))``; of a long text without making the ids.

        Parameters
        ----------
        text : str or bytes
        special, rest
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
        if type(text) is str:
            word = isinstance(special, str) and rest == "plain"
            actions = self._short_actions.get(special) if word else self._actions.short_set(special, rest)
            ids = None if actions is None else self._core.encode_short(text, actions)
            if ids is not None:
                return len(ids)
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be a str or bytes, got {type_name(text)}; for many texts call count_batch")
        return int(self.count_batch([text], special=special, rest=rest)[0])

    def count_batch(
        self, texts: Sequence[str | bytes], *, special: Special = "none", rest: RestMode = "plain"
    ) -> npt.NDArray[np.int64]:
        """Return ``encode_batch(texts, special=special, rest=rest).lengths`` without making the ids.

        Parameters
        ----------
        texts : sequence of str or bytes, length S
        special, rest
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
        return count_given(Options(self._core, self._actions.of(special, rest), self._splitter), as_tuple(texts))

    def truncate(self, text: str, n: int, *, special: Special = "none", rest: RestMode = "plain") -> tuple[str, Ids]:
        """Return the start of a text that has at most n tokens and ends with a whole character, and its ids.

        Parameters
        ----------
        text : str
        n : int
            At least 0.
        special, rest
            As in `encode`.

        Returns
        -------
        prefix : str
            The start of the text, to which the ids decode: as it is once normalized, where the file normalizes texts.
            Encoded by itself it may have other ids, since in the text more follows it.
        ids : ndarray of int32
            The first n ids of ``encode(text)``, without those at the end that stand for part of a character only.

        Raises
        ------
        TypeError
            `text` is no ``str``, `n` no integer, or `special` neither a word nor a set.
        ValueError
            `n` is negative; else as in `encode`.
        """
        if type(text) is str and type(n) is int and n >= 0 and isinstance(special, str) and rest == "plain":
            actions = self._short_actions.get(special) if self._by_bytes else None
            ids = None if actions is None else self._core.encode_short(text, actions)
            if ids is not None:
                if len(ids) > n:
                    ids = ids[:n] if len(ids) <= VIEWED else ids[:n].copy()
                data = self._separator.join(map(self._bytes_at, ids.tolist()))
                try:
                    return (data.removeprefix(b" ") if self._strip_start else data).decode(), ids
                except UnicodeDecodeError:
                    pass  # the last character is cut
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type_name(text)}")
        most = as_integer(n, "n")
        if most < 0:
            raise ValueError(f"n must be at least 0, got {shown(most)}")
        ids = self.encode(text, special=special, rest=rest, max_tokens=most)
        whole = whole_ids(self._core, ids)
        if whole < ids.size:
            ids = ids[:whole].copy()
        return self.decode(ids), ids

    def chunks(
        self, text: str, n: int, overlap: int = 0, *, special: Special = "none", rest: RestMode = "plain"
    ) -> list[tuple[str, Ids]]:
        r"""Return a text in chunks of at most n tokens, cut between whole characters, and their ids.

        Parameters
        ----------
        text : str
            The empty text has no chunks.
        n : int
            At least 1.
        overlap : int, default 0
            How many tokens of a chunk begin the next one too; fewer where else a character would be cut. Less than n.
        special, rest
            As in `encode`.

        Returns
        -------
        list of (str, ndarray of int32)
            The chunks in order, to which their ids decode: normalized, where the file normalizes texts. Their ids are
            stretches of ``encode(text)``, without overlap all of it; a chunk encoded by itself may have other ids,
            since in the text more stands around it.

        Raises
        ------
        TypeError
            `text` is no ``str``, `n` or `overlap` no integer, or `special` neither a word nor a set.
        ValueError
            `n` is less than 1, or than the tokens of some character; `overlap` is negative, or no less than `n`; else
            as in `encode`.

        Examples
        --------
        >>> import base64, pathlib, tempfile, fastemb
        >>> file = pathlib.Path(tempfile.mkdtemp(), "bytes.tiktoken")
        >>> _ = file.write_bytes(b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)))
        >>> tokenizer = fastemb.Tokenizer.load(file, "gpt2")
        >>> [piece for piece, ids in tokenizer.chunks("na\u00efve cats", 4)]
        ['na\xef', 've c', 'ats']
        >>> [piece for piece, ids in tokenizer.chunks("na\u00efve cats", 4, overlap=1)]
        ['na\xef', 've c', 'cats']
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type_name(text)}")
        most, shared = as_integer(n, "n"), as_integer(overlap, "overlap")
        if most < 1:
            raise ValueError(f"n must be at least 1, got {shown(most)}")
        if not 0 <= shared < most:
            raise ValueError(f"overlap must be from 0 to n - 1, here {shown(most - 1)}, got {shown(shared)}")
        return cut_chunks(self._core, self._tables, self.encode(text, special=special, rest=rest), most, shared)

    # ---------------------------------------------------------------- decoding

    def decode(
        self,
        ids: npt.ArrayLike,
        *,
        errors: str = "replace",
        skip_special: bool = False,
        unknown: UnknownMode = "raise",
    ) -> str:
        """Return the text of token ids.

        Parameters
        ----------
        ids : array_like of int, shape (N,)
            Special tokens decode to their own text.
        errors : {"replace", "strict", "ignore"} or another error handler's name, default "replace"
            What to do with bytes that are no UTF-8, as in ``bytes.decode``. (Where byte fallback tokens in a row are
            not valid UTF-8 together, ``tokenizers`` writes one U+FFFD for each of them, for valid ones too.)
        skip_special : bool, default False
            Leave out special tokens.
        unknown : {"raise", "ignore"}, default "raise"
            What becomes of an id that is no token of this vocabulary: an error, or it is left out.

        Returns
        -------
        str

        Raises
        ------
        TypeError
            `ids` are no integers, `errors` is no ``str``, or `skip_special` no bool.
        ValueError
            `ids` are not in one dimension, or `unknown` is no such word.
        IndexError
            One of `ids` is no id of this vocabulary, and `unknown` is "raise".
        UnicodeDecodeError
            With ``errors="strict"``, the bytes are no UTF-8.
        LookupError
            The bytes are no UTF-8, and there is no error handler of that name.
        """
        if skip_special is False and unknown == "raise" and (data := self._decode_few(ids)) is not None:
            return data.decode("utf-8", errors)
        return self._decode_row(ids, skip_special, unknown).decode("utf-8", errors)

    def decode_bytes(self, ids: npt.ArrayLike, *, skip_special: bool = False, unknown: UnknownMode = "raise") -> bytes:
        """Return the bytes of token ids; they need not be whole characters.

        Parameters
        ----------
        ids : array_like of int, shape (N,)
        skip_special, unknown
            As in `decode`.

        Returns
        -------
        bytes

        Raises
        ------
        TypeError
            `ids` are no integers, or `skip_special` is no bool.
        ValueError
            `ids` are not in one dimension, or `unknown` is no such word.
        IndexError
            One of `ids` is no id of this vocabulary, and `unknown` is "raise".
        """
        if skip_special is False and unknown == "raise" and (data := self._decode_few(ids)) is not None:
            return data
        return self._decode_row(ids, skip_special, unknown)

    def _decode_few(self, ids: Any) -> bytes | None:
        """Return the bytes of few ids, each looked up in a table; None: take the general road."""
        if not self._by_bytes:
            return None
        try:
            if type(ids) is list:
                if len(ids) > FEW or type(ids[0]) is not int or type(sum(ids)) is not int:
                    return None  # many, or bools, or with a float among them, which the sum shows
            elif type(ids) is np.ndarray and ids.ndim == 1 and ids.size <= FEW and ids.dtype.kind in "iu":
                ids = ids.tolist()
            else:
                return None
            data = self._separator.join(map(self._bytes_at, ids))
        except (LookupError, TypeError):
            return None
        return data.removeprefix(b" ") if self._strip_start else data

    def _decode_row(self, ids: Any, skip_special: Any, unknown: Any) -> bytes:
        """Return the bytes of ids, however many and of whatever kind."""
        return decode_row(self._core, self._tables, as_row(ids), as_left_out(skip_special, unknown))

    def decode_batch(
        self,
        rows: Ragged | Sequence[npt.ArrayLike],
        *,
        errors: str = "replace",
        skip_special: bool = False,
        unknown: UnknownMode = "raise",
    ) -> list[str]:
        """Return the texts of rows of token ids.

        Parameters
        ----------
        rows : Ragged or sequence of array_like of int, length S
        errors, skip_special, unknown
            As in `decode`.

        Returns
        -------
        list of str, length S

        Raises
        ------
        TypeError
            `rows` is no sequence, or as in `decode`.
        ValueError
            A row is not in one dimension, or `unknown` is no such word.
        IndexError
            An id is none of this vocabulary, and `unknown` is "raise": its row and its position are named.
        UnicodeDecodeError
            With ``errors="strict"``, the bytes are no UTF-8.
        LookupError
            The bytes are no UTF-8, and there is no error handler of that name.
        """
        left_out = as_left_out(skip_special, unknown)
        rows = _frameworks.lists(rows, Ragged)
        if isinstance(rows, Ragged):
            flat, ends = rows.ids.astype(np.int64), rows.offsets[1:]
        else:
            if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
                raise TypeError(f"rows must be a Ragged or a sequence of rows of ids, got {type_name(rows)}")
            parts = [as_row(row, f"rows[{s}]") for s, row in enumerate(rows)]
            flat = np.concatenate([np.empty(0, np.int64), *parts])
            ends = np.cumsum(np.array([part.size for part in parts], np.int64))
        texts = []
        for s, text in enumerate(decode_rows(self._core, self._tables, flat, ends, left_out)):
            try:
                texts.append(text.decode("utf-8", errors))
            except UnicodeDecodeError as error:
                error.reason += f" (row {s})"
                raise
        return texts

    def decoder(
        self, *, errors: str = "replace", skip_special: bool = False, unknown: UnknownMode = "raise"
    ) -> Decoder:
        r"""Return a decoder that takes ids as they come, as from a model that writes, and gives text that is whole.

        Parameters
        ----------
        errors, skip_special, unknown
            As in `decode`.

        Returns
        -------
        Decoder
            An object with two methods. ``step(ids)`` takes one id, or some in one dimension, and returns the text that
            is whole now, which may be empty; it raises what `decode` does, and then is as it was before. ``flush()``
            returns the text of a character that was begun and not ended, by `errors`; the next step begins a new text.
            All that they return, joined, is `decode` of all ids. It serves one thread at a time.

        Raises
        ------
        TypeError
            `errors` is no ``str``, or `skip_special` no bool.
        ValueError
            `unknown` is no such word.
        LookupError
            There is no error handler of that name.

        Examples
        --------
        >>> import base64, pathlib, tempfile, fastemb
        >>> file = pathlib.Path(tempfile.mkdtemp(), "bytes.tiktoken")
        >>> _ = file.write_bytes(b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)))
        >>> decoder = fastemb.Tokenizer.load(file, "gpt2").decoder()
        >>> [decoder.step(id) for id in "h\u00e9!".encode()]
        ['h', '', '\xe9', '!']
        >>> decoder.step([104, 0xC3]), decoder.flush()
        ('h', '\ufffd')
        """
        return Decoder(self._tables, as_row, check_handler(errors), as_left_out(skip_special, unknown))

    # ---------------------------------------------------------------- the rest

    def _short_way(self, special: SpecialMode) -> tuple[Core, Any] | None:
        """Return what encodes short texts, and by which actions; None: they take the general road."""
        actions = self._actions.for_c(self._actions.fixed[special])
        return None if actions is None else (self._core, actions)

    def _encode_str(self, texts: tuple[Any, ...]) -> Ragged:
        """Return the ids of texts, special tokens as tokens if there are any; TypeError where one is no ``str``."""
        options = Options(self._core, self._actions.fixed["all"], self._splitter, known=False)
        try:
            rows = encode_texts(options, texts, {})
        except NotPlainError:
            rows = encode_texts(options._replace(known=True), only_str(texts), {})
        return Ragged._trusted(*rows)

    def _encode_packed(self, texts: Packed) -> Ragged | None:
        """Return as `_encode_str` does, by this thread alone; None where each text must be a ``str``."""
        if self._splitter is not None:
            return None
        return Ragged._trusted(*encode_packed(Options(self._core, self._actions.fixed["all"]), texts))
