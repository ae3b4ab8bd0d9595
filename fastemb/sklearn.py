"""Texts to vectors inside scikit-learn's pipelines: `TextEmbedder`, with the extra ``fastemb[sklearn]``."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ._checks import POOL_MODES, ModelLength, PoolMode, require_word
from ._neighbours import as_model, needs
from ._static.options import check_count, with_prompt
from ._words import type_name
from .pooling import embedding_bag
from .static import StaticModel

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ModuleNotFoundError as error:
    raise needs(error, "sklearn", "sklearn") from None

__all__ = ["TextEmbedder"]

Vectors = npt.NDArray[np.float32]
_ONE = (str, bytes, bytearray, Mapping, set, frozenset)  # which are one text, or in no order


class TextEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A transformer of texts: one vector for each, by a `fastemb.StaticModel`.

    Parameters
    ----------
    model : path-like, StaticModel, tuple of (Tokenizer, table) or None, default None
        What `fastemb.StaticModel.load` takes, which reads it at each `fit`; or a model, which all clones of this
        transformer share; or a tokenizer and its table. None: the model that `fastemb.StaticModel.load` takes itself.
    pooling : {"mean", "sum", "max", "cls", "last", "mean_sqrt_len", "weighted_mean", "mean_max"}, default "mean"
        How the vectors of a text's tokens become one, as in `fastemb.pool`. All but "mean" need a model in which the
        vector of a token is its row of the table.
    normalize : bool, optional
        Scale every vector to length one; a zero vector stays zero. None: as the model's config says, else no.
    max_length : int, None or "model", default "model"
        Use at most this many ids of a text. None: never cut. "model": as the model says.
    prompt : str, optional
        Put this before every text. None: what the model puts there, for most nothing.
    dim : int, optional
        Keep the first `dim` columns of the table, without a copy.
    batch : int, optional
        How many texts are encoded together, which bounds the memory that their ids take. None: all.

    Attributes
    ----------
    model_ : StaticModel
        The model, once fitted. It is pickled with the transformer.

    Notes
    -----
    Nothing is learned from texts: `fit` reads the model and looks whether all texts are some. Parameters that are set
    after it therefore hold from the next `transform` on, which checks them, and reads the model if that is another.
    Vectors are float32, and equal to those of `fastemb.StaticModel.encode` to the bit, for any `batch` and any number
    of threads.

    Texts are the rows of a list or tuple, of a one-dimensional array, of a column of pandas, Polars or PyArrow, or of a
    frame or a two-dimensional array that has one column. A missing value is an error, not an empty text.

    Threads are those of fastemb. Processes that scikit-learn starts (``n_jobs``) are told by joblib how many threads
    each may have, and joblib maps a large table into them instead of sending it.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from fastemb.sklearn import TextEmbedder
    >>> texts = ["a warm loaf of bread", "two cups of flour", "the engine stalled", "brakes and tires"]
    >>> pipeline = make_pipeline(TextEmbedder(normalize=True), LogisticRegression())
    >>> pipeline.fit(texts, ["food", "food", "cars", "cars"]).predict(["bread of white flour", "engine and brakes"])
    array(['food', 'cars'], dtype='<U4')
    """

    def __init__(
        self,
        model: Any = None,
        *,
        pooling: PoolMode = "mean",
        normalize: bool | None = None,
        max_length: int | ModelLength | None = "model",
        prompt: str | None = None,
        dim: int | None = None,
        batch: int | None = None,
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.normalize = normalize
        self.max_length = max_length
        self.prompt = prompt
        self.dim = dim
        self.batch = batch

    def fit(self, X: Any, y: Any = None) -> Self:
        """Read the model, and look whether `X` holds texts.

        Parameters
        ----------
        X : sequence, array or column of str, length N
        y : object
            Ignored.

        Returns
        -------
        TextEmbedder
            The transformer itself.

        Raises
        ------
        TypeError
            `X` is one text, or one of its items is no ``str``; or a parameter is of a wrong type.
        ValueError
            `X` has several columns; or a parameter is none of those above, or needs another model.
        FileNotFoundError
            There is no such model.
        """
        self._open()
        check_texts(self._as_texts(X))
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Vectors:
        """Do `fit` and `transform`, reading `X` once: it may be an iterator.

        Parameters
        ----------
        X : sequence, array or column of str, length N
        y : object
            Ignored.

        Returns
        -------
        ndarray of float32, shape (N, D)
            Or a frame, as `set_output` says.

        Raises
        ------
        TypeError, ValueError, FileNotFoundError
            As `fit`.
        """
        self._open()
        return self._encode(self._as_texts(X))

    def transform(self, X: Any) -> Vectors:
        """Return one vector for each text.

        Parameters
        ----------
        X : sequence, array or column of str, length N

        Returns
        -------
        ndarray of float32, shape (N, D)
            Or a frame, as `set_output` says. Zero for a text without ids.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        TypeError, ValueError
            As `fit`.
        FileNotFoundError
            A parameter `model` that was set after `fit` is no model.
        """
        check_is_fitted(self)
        self._follow()
        return self._encode(self._as_texts(X))

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return a name for each column of vectors: ``textembedder0`` and so on.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        ndarray of str, shape (D,)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        TypeError, ValueError, FileNotFoundError
            As `transform`, of parameters that were set after `fit`.
        """
        check_is_fitted(self)
        self._follow()
        return super().get_feature_names_out(input_features)

    def _asked(self) -> tuple[Any, ...]:
        return self.model, self.dim, self.pooling, self.normalize, self.max_length, self.prompt, self.batch

    def _follow(self) -> None:
        """Do what parameters ask for that were set after `fit`: nothing was learned that they could contradict."""
        asked = self._asked()
        if all(map(_same, asked, self._tried)):
            return
        self._open(self.model_ if all(map(_same, asked[:2], self._tried)) else None)

    def _open(self, model: StaticModel | None = None) -> None:
        """Read the model, if it is not there, and try all parameters on one text, before any is looked at."""
        require_word(self.pooling, POOL_MODES, "pooling")
        check_count(self.batch, "batch")
        model = as_model(self.model, self.dim) if model is None else model
        if self.pooling != "mean" and (not model._is_plain() or model._subwords is not None):
            raise ValueError(
                f"pooling={self.pooling!r} needs a model in which the vector of a token is its row of the table, and "
                f"that of {model!r} is made of it; give pooling='mean'"
            )
        self._n_features_out = self._pooled(model, [""], None).shape[1]
        self.model_, self._tried = model, self._asked()

    def _as_texts(self, X: Any) -> Sequence[str]:
        return as_texts(X)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors, batch by batch."""
        step = self.batch or len(texts)
        try:
            if len(texts) <= step:
                return self._pooled(self.model_, texts, None)
            vectors = np.empty((len(texts), self._n_features_out), np.float32)
            for start in range(0, len(texts), step):
                self._pooled(self.model_, texts[start : start + step], vectors[start : start + step])
        except TypeError:
            check_texts(texts)  # which knows the words of this call; looked at before, texts would be looked at twice
            raise
        return vectors

    def _pooled(self, model: StaticModel, texts: Any, out: Vectors | None) -> Vectors:
        """Return the vectors of some texts."""
        if self.pooling == "mean":
            vectors: Vectors = model.encode(
                texts, normalize=self.normalize, max_length=self.max_length, prompt=self.prompt, out=out
            )
            return vectors
        texts = with_prompt(texts, model.prompts, model._prompt, self.prompt, None)
        rows = model._tokenize(texts, self.max_length)
        scaled = model._normalize if self.normalize is None else self.normalize
        if out is None:
            width = model.table.shape[1] * (2 if self.pooling == "mean_max" else 1)
            out = np.empty((len(rows), width), np.float32)
        pooled: Vectors = embedding_bag(model.table, rows, mode=self.pooling, normalize=scaled, out=out)
        return pooled

    def __sklearn_clone__(self) -> Self:
        """Share the model, of which scikit-learn would copy the table for every fold of every candidate."""
        bare = copy.copy(self)
        bare.model = None
        twin: Self = super(TextEmbedder, bare).__sklearn_clone__()
        twin.model = self.model
        return twin

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        tags.transformer_tags.preserves_dtype = []  # vectors are float32, whatever texts are
        return tags


def _same(one: Any, other: Any) -> bool:
    """Whether a parameter is what it was: models and tables are looked at as objects, all else by its value."""
    plain = (str, int, float, os.PathLike)
    return one is other or (isinstance(one, plain) and isinstance(other, plain) and bool(one == other))


def as_texts(X: Any) -> Sequence[str]:
    """Return the texts of a sequence, an array, a column or a frame with one column."""
    if hasattr(type(X), "collect"):  # Polars' frame that is not computed yet, whose columns cannot be taken
        raise TypeError(f"X must be a sequence of str, got a {type_name(X)}; give X.collect()")
    columns = getattr(X, "column_names" if hasattr(type(X), "column_names") else "columns", None)
    if columns is not None:
        if len(columns) != 1:
            raise ValueError(
                f"X must have one column, of texts, got {len(columns)} in a {type_name(X)}; "
                "a ColumnTransformer gives each column to a transformer of its own"
            )
        X = X[columns[0]]
    elif isinstance(X, np.ndarray) and X.ndim > 1:
        if X.ndim > 2 or X.shape[1] != 1:
            raise ValueError(f"X must be texts, in one dimension or one column, got an array of shape {X.shape}")
        X = X[:, 0]
    for to_list in ("to_pylist", "to_list", "tolist"):  # Arrow's, that of Polars and pandas, NumPy's
        if hasattr(X, to_list):
            X = getattr(X, to_list)()
            break
    else:
        if isinstance(X, Sequence) and not isinstance(X, list | tuple | str | bytes):
            X = X[:]  # a column of datasets is read at once so, and else text by text
    if isinstance(X, _ONE) or not hasattr(X, "__iter__"):
        raise TypeError(f"X must be a sequence of str, got one {type_name(X)}")
    return X if isinstance(X, list | tuple) else tuple(X)


def check_texts(texts: Sequence[Any]) -> None:
    """Refuse what is no text, and say how a missing value becomes one."""
    if {*map(type, texts)} <= {str}:  # one look at all types, at C speed
        return
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            way = "; a missing value: fill it, with '' for an empty text, or leave it out" if _is_missing(text) else ""
            raise TypeError(f"X must hold str, got {type_name(text)} at position {i}{way}")


def _is_missing(item: Any) -> bool:
    """Whether an item is None, pandas' NA or NaT, or NaN; of an array `!=` says no one thing, so it is not asked."""
    if item is None or type(item).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(item, float | np.generic) and bool(item != item)
