"""Text to one vector per text, by a published static model: `StaticModel`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _devices
from ._checks import MODEL_LENGTHS, ModelLength, as_float_table, is_word
from ._models.sentence_transformers import Dense, read_modules
from ._models.tensors import FLOATS, INTEGERS, Tensors, one_file, read_tensors
from ._text.core import Core
from ._text.texts import as_path, as_tuple, only_str
from ._text.tokenizer_json import load_json
from ._words import shown, type_name, way_to_array
from .pooling import embedding_bag
from .pooling import normalize as normalize_rows
from .ragged import Ragged
from .tokenizer import Tokenizer

__all__ = ["StaticModel"]

MODEL2VEC, WORDLLAMA = "embeddings", "embedding.weight"  # the names of their tables; StaticEmbedding's is the latter
TENSORS = {MODEL2VEC: (*FLOATS, "I8"), WORDLLAMA: (*FLOATS, "I8"), "mapping": INTEGERS, "weights": FLOATS}
DEFAULT_MAX_LENGTH = 512  # model2vec's, where its config names none
DEFAULT_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"  # inside the package wordllama
DEFAULT_TABLE = "weights/l2_supercat_256.safetensors"
SMALL_TEXTS = 1 << 8  # more texts are no small call


class _Small(NamedTuple):
    """What small calls need of a tokenizer and a table, looked up once."""

    tokenizer: Tokenizer
    table: npt.NDArray[Any]
    core: Core
    actions: Any
    rows: npt.NDArray[Any]
    means: Callable[..., npt.NDArray[np.float32] | None]


class StaticModel:
    """A tokenizer and a table: a text's vector is the mean of its tokens' rows.

    Make one with `StaticModel.load`.

    Attributes
    ----------
    tokenizer : Tokenizer
    table : ndarray, shape (V, D)
        float16, float32 or float64 rows, one for each id; there may be more.
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
    dropped, and ``config.json`` says whether vectors are normalised. In both, ``weights`` and ``mapping`` tensors
    are applied to the table when it is loaded, no template is added, and added tokens are recognised.
    """

    _small: _Small | None = None  # of the tokenizer and the table that it names

    def __init__(
        self,
        tokenizer: Tokenizer,
        table: npt.NDArray[Any],
        *,
        normalize: bool = False,
        max_length: int | None = None,
        drop: int | None = None,
    ) -> None:
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(f"tokenizer must be a fastemb.Tokenizer, got {type_name(tokenizer)}")
        if not isinstance(table, np.ndarray):
            raise TypeError(f"table must be a numpy.ndarray, got {type_name(table)}{way_to_array(table, 'table')}")
        as_float_table(table, "table")
        _check_normalize(normalize)
        max_length, drop = _check_count(max_length, "max_length"), _check_count(drop, "drop", least=0)
        if table.ndim != 2 or len(table) < tokenizer.vocab_size:
            raise ValueError(
                f"the table has shape {table.shape}, but the tokenizer's vocabulary needs {tokenizer.vocab_size} rows"
            )
        self.tokenizer = tokenizer
        self.table = table
        self._normalize = normalize
        self._max_length = max_length
        self._drop = drop
        self.prompts: dict[str, str] = {}
        self._prompt = ""
        self._layers: list[Dense] = []
        self._kept: int | None = None  # columns of vectors that are normalised before they are cut
        # model2vec cuts a text to this many characters for each id it may have, before tokenizing it; 0: no cut
        self._chars_per_id = max(1, int(np.median([len(token) for token in tokenizer.vocab])))

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, *, dim: int | None = None) -> StaticModel:
        """Read a model from a folder.

        Parameters
        ----------
        path : path-like, optional
            A folder with ``tokenizer.json`` and one ``.safetensors`` file that holds the table, or with a
            ``modules.json`` that names it. None: the model inside the installed package ``wordllama``. Nothing is ever
            downloaded.
        dim : int, optional
            Keep the first `dim` columns of the table, without a copy; of a model with ``Dense`` those of its vectors.

        Returns
        -------
        StaticModel

        Raises
        ------
        TypeError
            `path` is no path, or `dim` no integer.
        FileNotFoundError
            The folder, or a file that belongs in it, is missing; or `path` is None and ``wordllama`` is not
            installed.
        ValueError
            A file is damaged or of a kind not supported, or the table does not fit the vocabulary; or `dim` is less
            than 1 or more than the columns.
        ModuleNotFoundError
            The package ``safetensors`` is not installed.
        """
        _check_count(dim, "dim")
        if path is None:
            return cls._read(*_find_default())._first(dim)
        folder = as_path(path)
        if not folder.is_dir():
            what = "is no folder" if folder.exists() else "does not exist"
            raise FileNotFoundError(f"no model at {folder}: it {what}")
        if not (folder / "modules.json").is_file():
            return cls._read(*_find_files(folder))._first(dim)
        modules = read_modules(folder)
        files = _find_files(modules.folder)
        if files[2].is_file() and _read_table(files[1])[1] == MODEL2VEC:  # its own maker's folder, written for both
            return cls._read(*files)._first(dim)
        model = cls._read(files[0], files[1], None)
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
    def _read(cls, tokenizer_file: Path, table_file: Path, config_file: Path | None) -> StaticModel:
        """Return the model of a tokenizer and a table; a config is read where there may be one."""
        tokenizer = Tokenizer.load(tokenizer_file)
        tensors, name = _read_table(table_file)
        settings: dict[str, Any] = {}
        if name == MODEL2VEC and config_file is not None:
            settings = _model2vec_settings(config_file, tokenizer)
        try:
            return cls(tokenizer, _table(tensors, name), **settings)
        except ValueError as error:
            raise ValueError(f"{table_file}: {error}") from None

    def _first(self, dim: int | None) -> StaticModel:
        """Keep the first columns of the vectors."""
        columns = len(self._layers[-1].weight) if self._layers else self.table.shape[1]
        if dim is not None and dim > columns:
            raise ValueError(f"dim must be from 1 to {columns}, got {shown(dim)}")
        if dim is not None and self._layers:
            self._layers = [*self._layers[:-1], self._layers[-1].first(dim)]
        elif dim is not None:
            self.table = self.table[:, :dim]
        return self

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        normalize: bool | None = None,
        max_length: int | ModelLength | None = "model",
        prompt: str | None = None,
        prompt_name: str | None = None,
        out: npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[np.float32]:
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

        Returns
        -------
        ndarray of float32, shape (N, D), or (D,) for a single ``str``
            The mean of the rows of a text's ids, zero for a text without ids. Sums run in float32 (of a float64
            table in float64) in the order of the ids and are rounded once; the bits do not depend on the number
            of threads.

        Raises
        ------
        TypeError
            An item of `texts` is no ``str``, `max_length` is no integer, None or ``"model"``, `normalize` no bool,
            `prompt` no ``str``, or `out` no NumPy array of floats.
        ValueError
            There is no prompt of the name `prompt_name`, or `prompt` is given too; `max_length` is less
            than 1, or `out` has the wrong shape, is read-only or overlaps the table.

        Examples
        --------
        >>> import fastemb
        >>> model = fastemb.StaticModel.load()  # the installed wordllama's
        >>> model.encode(["one text", ""]).shape
        (2, 256)
        >>> model.encode("one text", normalize=True).shape
        (256,)
        """
        if prompt is not None or prompt_name is not None or self._prompt or self._layers or self._kept:
            texts = self._with_prompt(texts, prompt, prompt_name)
        elif out is None and isinstance(max_length, str) and max_length in MODEL_LENGTHS:
            vectors = self._encode_small(texts, self._normalize if normalize is None else normalize)
            if vectors is not None:
                return vectors
        if isinstance(texts, str):
            row = out[np.newaxis] if isinstance(out, np.ndarray) else out
            vector: npt.NDArray[np.float32] = self._pool(self._tokenize([texts], max_length), normalize, row)[0]
            return vector
        return self._pool(self._tokenize(as_tuple(texts), max_length), normalize, out)

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle without what is looked up again."""
        return {name: value for name, value in self.__dict__.items() if name != "_small"}

    def __repr__(self) -> str:
        return f"<StaticModel: {self.table.shape[0]} x {self.table.shape[1]} {self.table.dtype}, {self.tokenizer!r}>"

    def _with_prompt(self, texts: Any, prompt: Any, name: Any) -> Any:
        """Return texts with what stands before each of them."""
        if name is not None:
            if prompt is not None:
                raise ValueError("prompt and prompt_name are given; one of them says what stands before texts")
            if not isinstance(name, str) or name not in self.prompts:
                raise ValueError(f"prompt_name must be one of {', '.join(self.prompts) or 'none'}, got {shown(name)}")
            prompt = self.prompts[name]
        if not isinstance(prompt, str | None):
            raise TypeError(f"prompt must be a str or None, got {type_name(prompt)}")
        front = self._prompt if prompt is None else prompt
        if not front:
            return texts
        if isinstance(texts, str):
            return front + texts
        given: tuple[Any, ...] = as_tuple(texts)
        return [front + text for text in only_str(given)]

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
        return None if way is None or rows is None else _Small(tokenizer, table, *way, rows, room.small_means)

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

    # The general road ---------------------------------------------------------------------------------------------

    def _tokenize(self, texts: Sequence[Any], max_length: int | ModelLength | None = "model") -> Ragged:
        """Return the ids that count; TypeError where some text is no ``str``."""
        if is_word(max_length, MODEL_LENGTHS):
            limit = self._max_length
        else:
            limit = _check_count(max_length, "max_length", f" ({MODEL_LENGTHS[0]!r} is the model's own)")
        if limit is not None and self._chars_per_id:
            most = limit * self._chars_per_id
            texts = only_str(texts)
            if max(map(len, texts), default=0) > most:  # of short texts none is
                texts = [text[:most] for text in texts]
        rows = self.tokenizer._encode_str(tuple(texts))
        if limit is not None and rows.lengths.max(initial=0) > limit:
            rows = _keep(rows, np.arange(rows.ids.size) - np.repeat(rows.offsets[:-1], rows.lengths) < limit)
        return rows if self._drop is None else _keep(rows, rows.ids != self._drop)

    def _pool(
        self, rows: Ragged, normalize: bool | None = None, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the mean row of each list of ids, in float32 whatever the table's type."""
        if normalize is not None:
            _check_normalize(normalize)
        if self._kept is None:
            return self._vectors(rows, self._normalize if normalize is None else normalize, out)
        vectors = self._vectors(rows, self._normalize if normalize is None else False, None)
        kept = np.ascontiguousarray(vectors[:, : self._kept])
        return normalize_rows(kept, out=out) if normalize else _written(kept, out)

    def _vectors(self, rows: Ragged, scaled: bool, out: npt.NDArray[Any] | None) -> npt.NDArray[np.float32]:
        """Return the vectors of all columns."""
        means = out
        if out is None or self._layers:
            means = _devices.static(self.table).new_vectors(len(rows), self.table.shape[1])
        vectors = embedding_bag(self.table, rows, mode="mean", normalize=scaled and not self._layers, out=means)
        if not self._layers:
            return vectors
        for layer in self._layers:
            vectors = layer(vectors)
        return normalize_rows(vectors, out=out) if scaled else _written(vectors, out)


def _written(vectors: npt.NDArray[np.float32], out: Any) -> npt.NDArray[np.float32]:
    """Return vectors in `out`, where that is given."""
    if out is None:
        return vectors
    if not isinstance(out, np.ndarray) or out.shape != vectors.shape or out.dtype.kind != "f":
        raise ValueError(f"out must be a floating-point array of shape {vectors.shape}, got {shown(out)}")
    out[...] = vectors
    written: npt.NDArray[np.float32] = out
    return written


def _check_count(value: Any, name: str, words: str = "", least: int = 1) -> int | None:
    """Return a whole number of at least 1 (or another), or None; ``words`` say what else may be given."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer or None{words}, got {shown(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}")
    return int(value)


def _check_normalize(normalize: Any) -> None:
    """Refuse what is no bool: a text would count as True."""
    if not isinstance(normalize, bool | np.bool_):
        raise TypeError(f"normalize must be a bool or None, got {shown(normalize)}")


def _keep(rows: Ragged, kept: npt.NDArray[np.bool_]) -> Ragged:
    """Return the rows with only those ids for which `kept` is true."""
    if kept.all():
        return rows
    before = np.concatenate(([0], np.cumsum(kept, dtype=np.int64)))
    return Ragged(rows.ids[kept], before[rows.offsets])


def _find_default() -> tuple[Path, Path, Path]:
    """Return the tokenizer, the table and the (absent) config inside the installed package wordllama."""
    found = importlib.util.find_spec("wordllama")  # the package itself is not imported: it needs a second
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(
            "no model given, and the package wordllama, which carries the default one, is not installed: "
            "pip install 'fastemb[demo]', or name a model folder"
        )
    home = Path(found.submodule_search_locations[0])
    files = home / DEFAULT_TOKENIZER, home / DEFAULT_TABLE, home / "config.json"
    for file in files[:2]:
        if not file.is_file():
            raise FileNotFoundError(f"the installed package wordllama lacks {file}")
    return files


def _find_files(folder: Path) -> tuple[Path, Path, Path]:
    """Return the tokenizer, the table and the config of a model folder; only the config may be missing."""
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise FileNotFoundError(f"no model in {folder}: it holds no tokenizer.json")
    return tokenizer, one_file(folder), folder / "config.json"


def _read_table(path: Path) -> tuple[Tensors, str]:
    """Return the tensors that make a model, and the name of its table."""
    tensors, found = read_tensors(path, TENSORS)
    tables = [name for name in (MODEL2VEC, WORDLLAMA) if name in tensors]
    if len(tables) != 1:
        raise ValueError(f"{path}: expected one tensor named {MODEL2VEC!r} or {WORDLLAMA!r}, it holds {found}")
    return tensors, tables[0]


def _table(tensors: Tensors, name: str) -> npt.NDArray[Any]:
    """Return the table that ids index, with the maker's weights and mapping applied."""
    table = tensors[name]
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"tensor {name!r} must have two axes and some columns, got shape {table.shape}")
    if table.dtype == np.int8:
        table = table.astype(np.float16)  # exact; the maker's code reads them without a scale
    mapping, weights = tensors.get("mapping"), tensors.get("weights")
    if mapping is not None:
        if mapping.ndim != 1 or not np.all((mapping >= 0) & (mapping < len(table))):
            raise ValueError(f"tensor 'mapping' must hold row numbers below {len(table)}")
        table = table[mapping]
    if weights is not None:
        if weights.shape != table.shape[:1]:
            raise ValueError(f"tensor 'weights' must have shape {table.shape[:1]}, got {weights.shape}")
        with np.errstate(over="ignore"):
            factors = weights.astype(np.float32)
        if not np.isfinite(factors).all():
            raise ValueError("tensor 'weights' holds numbers that are not finite in float32")
        table = table * factors[:, np.newaxis]
    return table


def _model2vec_settings(path: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what a model2vec config asks for; without the file, its maker's defaults."""
    config = load_json(path) if path.is_file() else {}
    max_length, normalize = config.get("max_length", DEFAULT_MAX_LENGTH), config.get("normalize", False)
    if not (max_length is None or (type(max_length) is int and max_length > 0)):
        raise ValueError(f"{path}: max_length must be a positive integer or null, got {max_length!r}")
    if normalize not in (True, False, None):
        raise ValueError(f"{path}: normalize must be true or false, got {normalize!r}")
    return {"max_length": max_length, "normalize": bool(normalize), "drop": tokenizer.unk_id}
