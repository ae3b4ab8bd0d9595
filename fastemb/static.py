"""Text to one vector per text, by a published static model: `StaticModel`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack, overload

import numpy as np
import numpy.typing as npt

from . import _devices
from ._checks import MODEL_LENGTHS, ModelLength, as_flag, as_float_table, is_word
from ._models.box import UNKNOWN, read_box
from ._models.folders import (
    MODEL2VEC,
    find_files,
    first_columns,
    model2vec_settings,
    read_table,
    stored_table,
)
from ._models.recognise import read_words
from ._models.sentence_transformers import Dense, read_modules
from ._models.subwords import Subwords
from ._static.options import EncodeOptions, check_count, check_normalize, keep, keep_first, with_prompt, written
from ._static.picked import Picked
from ._static.streams import Streams
from ._static.windows import Cut, Join, WindowVectors, as_cut, windows_of
from ._static.words import find_unknown, in_subwords, join_subwords
from ._text.core import Core
from ._text.texts import as_path, as_tuple, only_str
from ._text.word_list import word_list
from ._words import shown, type_name, way_to_array
from .pooling import embedding_bag, pool
from .pooling import normalize as normalize_rows
from .quantized import QuantizedTable
from .ragged import Ragged
from .tokenizer import Tokenizer

__all__ = ["StaticModel", "WindowVectors"]

SMALL_TEXTS = 1 << 8  # more texts are no small call


class _Small(NamedTuple):
    """What small calls need of a tokenizer and a table, looked up once."""

    tokenizer: Tokenizer
    table: npt.NDArray[Any]
    core: Core
    actions: Any
    rows: npt.NDArray[Any]
    means: Callable[..., npt.NDArray[np.float32] | None]


class StaticModel(Streams):
    """A tokenizer and a table: a text's vector is the mean of its tokens' rows.

    Make one with `StaticModel.load`.

    Attributes
    ----------
    tokenizer : Tokenizer
    table : ndarray or QuantizedTable, shape (V, D)
        float16, float32 or float64 rows as the file has them, one for each id; there may be more. Of int8 a
        `QuantizedTable` of as many bytes, and with ``mapping`` the rows that ids share.
    prompts : dict of str to str
        What the model puts before texts, by name; empty for most.

    Notes
    -----
    The folder decides the maker's semantics. A tensor ``embedding.weight`` is a WordLlama or StaticEmbedding model:
    no text is cut, every id counts, and no config is read. With a ``modules.json`` it is read as Sentence
    Transformers reads it: texts are cut to as many ids as the tokenizer's ``truncation`` says, behind the prompt
    that is the default one in ``config_sentence_transformers.json``; the means go through modules ``Dense``
    (without activation, with tanh or ReLU), and are normalised if ``Normalize`` comes last; any other module is
    refused by name; of all that its ``truncate_dim`` keeps the first columns. (`load` with ``dim``, instead of that,
    keeps them before they are normalised.) A tensor ``embeddings`` is a model2vec model: a text is cut to
    ``max_length`` ids (and before that to as many characters as these could have), ids of the unknown token are
    dropped, and ``config.json`` says whether vectors are normalised. In both, tensors ``weights``
    and ``mapping`` are applied, no template is added, and added tokens are recognised: a float32 table is multiplied by
    its weights when it is loaded; of float16, of a mapped table and of one with ``mapping``, which would grow by it,
    they are applied to the rows that are read.

    A file of word vectors has no tokenizer: text is cut at white space, case and punctuation stay as they are, and the
    vector of a text is the mean of those of its words. Words that are not in the file are left out and not counted; a
    fastText ``.bin`` has vectors for them by their n-grams. Of a word that stands there twice the first row counts, one
    that is no UTF-8 keeps its row under a name with backslashes.

    The model that comes with fastemb is for English, without case. It is all-MiniLM-L6-v2 distilled by model2vec's
    recipe, but for components that are scaled: 128 columns, stored as codes of 4 bits. No text is cut, ids of the
    unknown token are dropped, and vectors have length one.
    """

    _small: _Small | None = None  # of the tokenizer and the table that it names

    def __init__(
        self,
        tokenizer: Tokenizer,
        table: npt.NDArray[Any] | QuantizedTable,
        *,
        normalize: bool = False,
        max_length: int | None = None,
        drop: int | None = None,
    ) -> None:
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(f"tokenizer must be a fastemb.Tokenizer, got {type_name(tokenizer)}")
        if not isinstance(table, np.ndarray | QuantizedTable):
            raise TypeError(f"table must be a numpy.ndarray, got {type_name(table)}{way_to_array(table, 'table')}")
        if isinstance(table, np.ndarray):
            as_float_table(table, "table")
        check_normalize(normalize)
        max_length, drop = check_count(max_length, "max_length"), check_count(drop, "drop", least=0)
        needed = tokenizer.vocab_size
        needed -= drop == needed - 1  # the last id, where it is never looked up
        if len(table.shape) != 2 or len(table) < needed:
            raise ValueError(f"the table has shape {table.shape}, but the tokenizer's vocabulary needs {needed} rows")
        self.tokenizer = tokenizer
        self.table = table
        self._normalize = normalize
        self._max_length = max_length
        self._drop = drop
        self.prompts: dict[str, str] = {}
        self._prompt = ""
        self._layers: list[Dense] = []
        self._picked: Picked | None = None  # rows that ids share or weigh
        self._subwords: Subwords | None = None  # of which the last rows are
        self._kept: int | None = None  # columns of vectors that are normalised before they are cut
        # model2vec cuts a text to this many characters for each id it may have, before tokenizing it; 0: no cut
        self._chars_per_id = max(1, int(np.median([len(token) for token in tokenizer.vocab])))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, *, dim: int | None = None, mmap: bool = False
    ) -> StaticModel:
        """Read a model from a folder, or word vectors from a file.

        Parameters
        ----------
        path : path-like, optional
            A folder with ``tokenizer.json`` and one ``.safetensors`` or ``.npy`` file that holds the table, or with a
            ``modules.json`` that names it; or a file under any name, told apart by content: word vectors as text, a
            word and its numbers a line (GloVe's; with a header word2vec's and fastText's ``.vec``), compressed by gzip
            or not, word2vec's binary file, or fastText's ``.bin``. None: the model that comes with fastemb, English,
            of 128 columns. Nothing is ever downloaded.
        dim : int, optional
            Keep the first `dim` columns of the table, without a copy; of a model with ``Dense`` those of its vectors.
        mmap : bool, default False
            Map the table into memory instead of reading it, so that processes share its pages: floats of a ``.npy`` or
            ``.safetensors`` file, and of fastText's ``.bin`` the rows of n-grams. The file must then not change while
            the model is in use. Of the model that comes with fastemb, codes of 4 bits stay what they are: 2 MB of pages
            instead of 15 MB of its own, and small calls take longer. Other tables are read.

        Returns
        -------
        StaticModel

        Raises
        ------
        TypeError
            `path` is no path, or `dim` no integer.
        FileNotFoundError
            The folder, or a file that belongs in it, is missing.
        ValueError
            A file is damaged or of a kind not supported, or the table does not fit the vocabulary; or `dim` is less
            than 1 or more than the columns.
        ModuleNotFoundError
            The package ``safetensors`` is not installed.
        """
        check_count(dim, "dim")
        mapped = as_flag(mmap, "mmap")
        if path is None:
            vocabulary, numbers = read_box(mapped)
            return cls(Tokenizer(vocabulary), numbers, normalize=True, drop=UNKNOWN)._first(dim)
        folder = as_path(path)
        if folder.is_file():
            return cls._read_words(folder, mapped)._first(dim)
        if not folder.is_dir():
            what = "is neither a folder nor a file" if folder.exists() else "does not exist"
            raise FileNotFoundError(f"no model at {folder}: it {what}")
        if not (folder / "modules.json").is_file():
            return cls._read(*find_files(folder), mapped)._first(dim)
        modules = read_modules(folder)
        files = find_files(modules.folder)
        if files[2].is_file() and read_table(files[1])[1] == MODEL2VEC:  # its own maker's folder, written for both
            return cls._read(*files, mapped)._first(dim)
        model = cls._read(files[0], files[1], None, mapped)
        model.prompts, model._layers, model._normalize = modules.prompts, modules.layers, modules.normalize
        model._prompt = modules.prompts[modules.default_prompt] if modules.default_prompt is not None else ""
        model._max_length, model._chars_per_id = modules.max_length, 0
        widths = [model.table.shape[1], *(len(layer.weight) for layer in modules.layers)]
        for width, layer in zip(widths, modules.layers, strict=False):
            if layer.weight.shape[1] != width:
                raise ValueError(f"{folder}: a Dense module takes {layer.weight.shape[1]} columns, and gets {width}")
        if dim is None and modules.truncate_dim is not None and modules.truncate_dim < widths[-1]:
            if not modules.normalize:
                return model._first(modules.truncate_dim)
            model._kept = modules.truncate_dim
        return model._first(dim)

    @classmethod
    def _read(cls, tokenizer_file: Path, table_file: Path, config_file: Path | None, mapped: bool) -> StaticModel:
        """Return the model of a tokenizer and a table; a config is read where there may be one."""
        tokenizer = Tokenizer.load(tokenizer_file)
        tensors, name = read_table(table_file, mapped)
        settings: dict[str, Any] = {}
        if name == MODEL2VEC and config_file is not None:
            settings = model2vec_settings(config_file, tokenizer.unk_id)
        try:
            table, mapping, weights = stored_table(tensors, name)
            # Ids reach as many rows as the mapping has; this stand-in of them takes no memory.
            reached = table if mapping is None else np.broadcast_to(np.float32(0), (len(mapping), table.shape[1]))
            model = cls(tokenizer, reached, **settings)
        except ValueError as error:
            raise ValueError(f"{table_file}: {error}") from None
        model.table = table
        model._picked = None if mapping is None and weights is None else Picked(mapping, weights)
        return model

    @classmethod
    def _read_words(cls, file: Path, mapped: bool) -> StaticModel:
        """Return the model of a file of word vectors."""
        (words, table, subwords), names = read_words(file, mapped)
        model = cls._of_words(file, words, table)
        if subwords is not None and names is not None:
            model._subwords = subwords
            join_subwords(table, names, subwords)
        return model

    @classmethod
    def _of_words(cls, where: Path, words: list[str], table: npt.NDArray[Any]) -> StaticModel:
        """Return the model of words and their vectors; errors name `where`."""
        core, unknown = word_list(where, words)
        model = cls(Tokenizer(core), table, drop=unknown)
        model._words, model._chars_per_id = unknown, 0
        return model

    def _first(self, dim: int | None) -> StaticModel:
        """Keep the first columns of the vectors."""
        columns = len(self._layers[-1].weight) if self._layers else self.table.shape[1]
        if dim is not None and dim > columns:
            raise ValueError(f"dim must be from 1 to {columns}, got {shown(dim)}")
        if dim is not None and self._layers:
            self._layers = [*self._layers[:-1], self._layers[-1].first(dim)]
        elif dim is not None:
            self.table = first_columns(self.table, dim)
        return self

    @overload
    def encode(
        self, texts: str | Sequence[str], *, join: Join = "mean", **options: Unpack[EncodeOptions]
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def encode(self, texts: str | Sequence[str], *, join: None, **options: Unpack[EncodeOptions]) -> WindowVectors: ...
    def encode(
        self,
        texts: str | Sequence[str],
        *,
        normalize: bool | None = None,
        max_length: int | ModelLength | None = "model",
        prompt: str | None = None,
        prompt_name: str | None = None,
        out: npt.NDArray[Any] | None = None,
        window: int | None = None,
        overlap: int = 0,
        join: Join | None = "mean",
    ) -> npt.NDArray[np.float32] | WindowVectors:
        """Return one vector for each text.

        Parameters
        ----------
        texts : str or sequence of str, length N
        normalize : bool, optional
            Scale every vector to length one; a zero vector stays zero. None: as the model's config says, else no.
        max_length : int, None or "model", default "model"
            Use at most this many ids of a text. None: never cut. "model": as the model says.
        prompt : str, optional
            Put this before every text. None: what the model puts there, for most nothing.
        prompt_name : str, optional
            The prompt of the model that has this name.
        out : ndarray, shape (N, D), optional
            Where to write.
        window : int, optional
            Cut each text into windows of so many ids; the last may be shorter. The model's own `max_length` then cuts
            nothing, only one that is given does. A prompt stands before the text, so in its first window.
        overlap : int, default 0
            How many ids two neighbouring windows share, less than `window`.
        join : {"mean", "max"} or None, default "mean"
            What becomes of the vectors of a text's windows, each of them as that of a text: their mean, or their
            maximum column by column, of length one where vectors are to be normalised. None: all of them are returned.

        Returns
        -------
        ndarray of float32, shape (N, D), or (D,) for a single ``str``; with ``join=None`` a `WindowVectors`
            The mean of the rows of a text's ids, zero for a text without ids. Sums run in float32 (of a float64
            table in float64) in the order of the ids and are rounded once; the bits do not depend on the number
            of threads. `WindowVectors` is a named tuple: ``vectors``, shape (S, D), and ``offsets``, shape (N+1,), of
            the first window of each text.

        Raises
        ------
        TypeError
            An item of `texts` is no ``str``, `max_length` is no integer, None or ``"model"``, `normalize` no bool,
            `prompt` no ``str``, or `out` no NumPy array of floats.
        ValueError
            There is no prompt of the name `prompt_name`, or `prompt` is given too; `max_length` is less
            than 1, or `out` has the wrong shape, is read-only or overlaps the table; `window` is less than 1,
            `overlap` not less than it, `join` none of the words, or one of these is given without `window`.

        Examples
        --------
        >>> import fastemb
        >>> model = fastemb.StaticModel.load()  # the one that comes with fastemb
        >>> model.encode(["one text", ""]).shape
        (2, 128)
        >>> model.encode("one text", normalize=False).shape
        (128,)
        """
        cut = None
        if window is not None or overlap != 0 or join != "mean":
            cut = as_cut(window, overlap, join, out)
        if prompt is not None or prompt_name is not None or self._prompt or self._layers or self._kept:
            texts = with_prompt(texts, self.prompts, self._prompt, prompt, prompt_name)
        elif cut is None and out is None and isinstance(max_length, str) and max_length in MODEL_LENGTHS:
            vectors = self._encode_small(texts, self._normalize if normalize is None else normalize)
            if vectors is not None:
                return vectors
        if isinstance(texts, str):
            row = out[np.newaxis] if isinstance(out, np.ndarray) else out
            if cut is not None:
                joined = self._encode_windows([texts], cut, normalize, max_length, row)
                return joined if isinstance(joined, WindowVectors) else joined[0]
            vector: npt.NDArray[np.float32] = self._pool(self._tokenize([texts], max_length), normalize, row)[0]
            return vector
        if cut is not None:
            return self._encode_windows(as_tuple(texts), cut, normalize, max_length, out)
        return self._pool(self._tokenize(as_tuple(texts), max_length), normalize, out)

    def _encode_windows(
        self, texts: Sequence[Any], cut: Cut, normalize: bool | None, max_length: Any, out: Any
    ) -> npt.NDArray[np.float32] | WindowVectors:
        """Return the vectors of windows, or what they are joined to."""
        limit = None if is_word(max_length, MODEL_LENGTHS) else max_length
        rows, offsets = windows_of(self._tokenize(texts, limit), cut)
        vectors = self._pool(rows, normalize)
        if cut.join is None:
            return WindowVectors(vectors, offsets)
        scaled = self._normalize if normalize is None else bool(normalize)
        joined: npt.NDArray[np.float32] = pool(vectors, offsets=offsets, mode=cut.join, normalize=scaled, out=out)
        return joined

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle without what is looked up again."""
        return {name: value for name, value in self.__dict__.items() if name != "_small"}

    def __repr__(self) -> str:
        table = self.table
        kind = f"{table.bits}-bit codes" if isinstance(table, QuantizedTable) else table.dtype
        return f"<StaticModel: {table.shape[0]} x {table.shape[1]} {kind}, {self.tokenizer!r}>"

    # The small path: few short texts of which nothing is cut off and no id is dropped -----------------------------

    def _encode_small(self, texts: Any, normalize: Any) -> npt.NDArray[np.float32] | None:
        """Return the vectors of a small call; None: take the general road, which says what is wrong if anything is."""
        small, one = self._small, type(texts) is str
        if small is None or small.tokenizer is not self.tokenizer or small.table is not self.table:
            small = self._small = self._look_up()
        if small is None or type(normalize) is not bool or not (one or type(texts) is list or type(texts) is tuple):
            return None
        few = [texts] if one else list(texts[: SMALL_TEXTS + 1])
        if {*map(type, few)} != {str} or len(few) > SMALL_TEXTS or self._cuts(few):
            return None
        if len(few) == 1:
            ids, offsets = small.core.encode_short(few[0], small.actions), None
        else:
            ids, offsets = small.core.encode_few(few, small.actions) or (None, None)
        if ids is None or self._drops(ids, offsets):
            return None
        vectors = small.means(small.rows, ids, offsets, normalize)
        if vectors is None:  # too many ids
            offsets = np.array([0, ids.size]) if offsets is None else offsets
            vectors = np.empty((offsets.size - 1, small.table.shape[1]), np.float32)
            embedding_bag(small.table, Ragged._trusted(ids, offsets), mode="mean", normalize=normalize, out=vectors)
        return vectors[0] if one else vectors

    def _look_up(self) -> _Small | None:
        """Return what small calls need; None: no call is small."""
        tokenizer, table = self.tokenizer, self.table  # read once: another thread may replace them
        way, room = tokenizer._short_way("all"), _devices.static(table)
        rows = room.small_rows(table)
        return (
            None
            if way is None or rows is None or self._picked
            else _Small(tokenizer, table, *way, rows, room.small_means)
        )

    def _cuts(self, texts: list[str]) -> bool:
        """Whether some text has more characters than count."""
        limit, per_id = self._max_length, self._chars_per_id
        return limit is not None and per_id > 0 and max(map(len, texts)) > limit * per_id

    def _drops(self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64] | None) -> bool:
        """Whether some id does not count."""
        limit, drop = self._max_length, self._drop
        if limit is not None and ids.size > limit and (offsets is None or np.diff(offsets).max() > limit):
            return True
        return drop is not None and bool(np.count_nonzero(ids == drop))

    def _is_plain(self) -> bool:
        return not self._layers and self._kept is None and self._picked is None

    def _ids(self, text: str) -> npt.NDArray[Any]:
        return self._tokenize([text], None).ids

    # The general road ---------------------------------------------------------------------------------------------

    def _tokenize(self, texts: Sequence[Any], max_length: int | ModelLength | None = "model") -> Ragged:
        """Return the ids that count; TypeError where some text is no ``str``."""
        if is_word(max_length, MODEL_LENGTHS):
            limit = self._max_length
        else:
            limit = check_count(max_length, "max_length", f" ({MODEL_LENGTHS[0]!r} is the model's own)")
        if limit is not None and self._chars_per_id:
            most = limit * self._chars_per_id
            texts = only_str(texts)
            if max(map(len, texts), default=0) > most:  # of short texts none is
                texts = [text[:most] for text in texts]
        rows = keep_first(self.tokenizer._encode_str(tuple(texts)), limit)
        if self._drop is None:
            return rows
        kept = rows.ids != self._drop
        if self._subwords is not None and not kept.all():
            return find_unknown(self.tokenizer, only_str(texts), self._drop, len(self.table), limit)
        return keep(rows, kept)

    def _pool(
        self, rows: Ragged, normalize: bool | None = None, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the mean row of each list of ids, in float32 whatever the table's type."""
        if normalize is not None:
            check_normalize(normalize)
        if self._kept is None:
            return self._vectors(rows, self._normalize if normalize is None else normalize, out)
        vectors = self._vectors(rows, self._normalize if normalize is None else False, None)
        kept = np.ascontiguousarray(vectors[:, : self._kept])
        return normalize_rows(kept, out=out) if normalize else written(kept, out)

    def _vectors(self, rows: Ragged, scaled: bool, out: npt.NDArray[Any] | None) -> npt.NDArray[np.float32]:
        """Return the vectors of all columns."""
        means = out
        if out is None or self._layers:
            means = _devices.static(self.table).new_vectors(len(rows), self.table.shape[1])
        weights = None
        if self._subwords is not None:
            rows, weights = in_subwords(rows, len(self.table), self._subwords)
        now = scaled and not self._layers
        if self._picked is not None:
            vectors = self._picked.means(self.table, rows, now, means)
        else:
            vectors = embedding_bag(self.table, rows, mode="mean", weights=weights, normalize=now, out=means)
        if not self._layers:
            return vectors
        for layer in self._layers:
            vectors = layer(vectors)
        return normalize_rows(vectors, out=out) if scaled else written(vectors, out)
