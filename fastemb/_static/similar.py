"""The part of `StaticModel` that compares: texts with texts, and with the words of the vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._checks import as_float_table, as_integer
from .._words import shown, type_name
from ..pooling import normalize
from ..quantized import QuantizedTable
from ..ragged import Ragged
from ..search import topk
from ..tokenizer import Tokenizer

Vectors = npt.NDArray[np.float32]
Given = str | Sequence[str] | npt.NDArray[Any]  # texts, or vectors


class Similar:
    """Cosines, nearest words and analogies."""

    tokenizer: Tokenizer
    table: Any
    _words: int | None = None  # how many rows are words, where those behind them are none
    _names: tuple[Tokenizer, list[str | None], set[int]] | None = None  # of rows, by this tokenizer; which have none

    def encode(self, texts: Any) -> Any:
        """Return vectors."""
        raise NotImplementedError

    def _pool(self, rows: Ragged) -> Vectors:
        raise NotImplementedError

    def _is_plain(self) -> bool:
        """Whether the vector of a token is its row."""
        raise NotImplementedError

    def _ids(self, text: str) -> npt.NDArray[Any]:
        """Return the ids that make a text's vector."""
        raise NotImplementedError

    def similarity(self, a: Given, b: Given | None = None) -> Vectors:
        """Return the cosine of each vector of `a` with each of `b`.

        Parameters
        ----------
        a, b : str, sequence of str, or ndarray of float, shape (N, D), (Q, D) or (D,)
            Texts, which are encoded, or vectors of any model. None for `b`: as `a`.

        Returns
        -------
        ndarray of float32, shape (N, Q)
            New; without the axis of a single ``str`` or vector. The cosine with a zero vector is 0.

        Raises
        ------
        TypeError
            `a` or `b` is neither texts nor an array of floats.
        ValueError
            The vectors of `a` and `b` have different lengths.

        Notes
        -----
        Rows of length one are multiplied in float32 by BLAS, whose bits may depend on its threads. For the nearest
        alone use `topk`, whose bits do not, and which never makes the matrix.

        Examples
        --------
        >>> import fastemb
        >>> model = fastemb.StaticModel.load()
        >>> model.similarity(["a cat", "a dog", "the law"], "a kitten").argmax()
        np.int64(0)
        """
        left = self._as_vectors(a, "a")
        right = left if b is None else self._as_vectors(b, "b")
        if left.shape[-1] != right.shape[-1]:
            raise ValueError(f"a and b must have vectors of one length, got shapes {left.shape} and {right.shape}")
        cosines = np.atleast_2d(left) @ np.atleast_2d(right).T
        shaped: Vectors = cosines.reshape(left.shape[:-1] + right.shape[:-1])
        return shaped

    def most_similar(self, query: str | npt.NDArray[Any], k: int = 10) -> list[tuple[str, float]]:
        """Return the tokens of the vocabulary nearest to a query by cosine, best first.

        Parameters
        ----------
        query : str or ndarray of float, shape (D,)
            A word or text, whose own tokens are left out; or a vector, of which nothing is.
        k : int, default 10
            How many; fewer are returned where there are not so many.

        Returns
        -------
        list of (str, float)
            Tokens as ``tokenizer.vocab`` writes them, and their cosines. Of equal cosines the lower id comes first.

        Raises
        ------
        KeyError
            Nothing in the text is known: its vector is zero.
        TypeError
            `query` is neither a text nor an array of floats, or `k` no integer.
        ValueError
            `k` is less than 1, or the vector has another length.

        Notes
        -----
        By `topk` over the rows of the table, as they are stored; a model with ``Dense`` layers first makes the vectors
        of all its tokens, in each call. The bits do not depend on threads.

        Examples
        --------
        >>> import fastemb
        >>> model = fastemb.StaticModel.load()
        >>> len(model.most_similar("house", 3))
        3
        """
        return self.analogy([query], [], k)

    def analogy(
        self,
        positive: str | npt.NDArray[Any] | Iterable[str | npt.NDArray[Any]],
        negative: str | npt.NDArray[Any] | Iterable[str | npt.NDArray[Any]] = (),
        k: int = 10,
    ) -> list[tuple[str, float]]:
        """Return the tokens nearest to a sum of some vectors less others: "king" - "man" + "woman".

        Parameters
        ----------
        positive, negative : str, ndarray of float of shape (D,), or iterable of these
            What is added and what is taken away. The vectors of texts are first scaled to length one, as gensim does;
            given vectors are taken as they are.
        k : int, default 10
            How many; fewer are returned where there are not so many.

        Returns
        -------
        list of (str, float)
            Tokens but for those of the texts given, and their cosines, best first.

        Raises
        ------
        KeyError
            Nothing in one of the texts is known.
        TypeError
            An item is neither a text nor an array of floats, or `k` no integer.
        ValueError
            Nothing is given, `k` is less than 1, or a vector has another length.

        Notes
        -----
        The method is 3CosAdd (Mikolov, Yih and Zweig, "Linguistic regularities in continuous space word
        representations", 2013).

        Examples
        --------
        >>> import fastemb
        >>> model = fastemb.StaticModel.load()
        >>> found = model.analogy(["king", "woman"], ["man"], k=3)
        >>> "man" in [word for word, _ in found], len(found)
        (False, 3)
        """
        k = as_integer(k, "k")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {shown(k)}")
        signed = [(item, 1.0) for item in _items(positive)] + [(item, -1.0) for item in _items(negative)]
        if not signed:
            raise ValueError("nothing is given: positive and negative are empty")
        parts = [self._item(item) * sign for item, sign in signed]
        names, vectors = self._row_names(), self._rows()
        if any(part.shape != (vectors.shape[1],) for part in parts):
            shape = next(part.shape for part in parts if part.shape != (vectors.shape[1],))
            raise ValueError(f"a vector must have shape ({vectors.shape[1]},), got {shape}")
        left_out = {int(id) for item, _ in signed if isinstance(item, str) for id in self._ids(item)}
        left_out |= self._names[2] if self._names else set()
        query = np.array(np.sum(parts, axis=0, dtype=np.float32))
        scores, ids = topk(query, vectors, min(k + len(left_out), len(names)))
        best = zip(ids.tolist(), scores.tolist(), strict=True)
        return [(str(names[id]), score) for id, score in best if id not in left_out][:k]

    def _as_vectors(self, given: Any, name: str) -> Vectors:
        """Return texts or vectors as rows of length one."""
        if isinstance(given, str) or not hasattr(given, "ndim"):
            vectors: Vectors = normalize(self.encode(given))
            return vectors
        array = as_float_table(given, name)
        if array.ndim not in (1, 2):
            raise ValueError(f"{name} must have shape (N, D) or (D,), got {array.shape}")
        return normalize(array.astype(np.float32, copy=False))

    def _item(self, item: Any) -> Vectors:
        """Return the vector of one item: of a text, of length one."""
        if isinstance(item, str):
            if not len(self._ids(item)):
                raise KeyError(f"nothing in {shown(item)} is in the vocabulary")
            return self._as_vectors(item, "query")
        if not hasattr(item, "ndim"):
            raise TypeError(f"a query must be a str or an array of floats, got {type_name(item)}")
        vector: Vectors = as_float_table(item, "a query").astype(np.float32, copy=False)
        return vector

    def _row_names(self) -> list[str | None]:
        """Return the name of each row that a token has; None for the others."""
        tokenizer = self.tokenizer
        if self._names is None or self._names[0] is not tokenizer:
            count = tokenizer.vocab_size if self._words is None else self._words
            names: list[str | None] = [None] * (min(count, len(self.table)) if self._is_plain() else count)
            for name, id in tokenizer.vocab.items():
                if id < len(names):
                    names[id] = name
            self._names = tokenizer, names, {id for id, name in enumerate(names) if name is None}
        return self._names[1]

    def _rows(self) -> Any:
        """Return the vectors of all tokens, for most models the table's own rows."""
        count, table = len(self._row_names()), self.table
        if not self._is_plain():
            return self._pool(Ragged(np.arange(count), np.arange(count + 1)))
        if len(table) <= count:
            return table
        if isinstance(table, QuantizedTable):
            codes, scale, offset = (part[:count] for part in (table.codes, table.scale, table.offset))
            return QuantizedTable(codes, scale, offset, (count, table.shape[1]), table.bits)
        return table[:count]


def _items(given: Any) -> list[Any]:
    """Return items as a list, where only one may be given."""
    if isinstance(given, str) or hasattr(given, "ndim"):
        return [given]
    try:
        return list(given)
    except TypeError:
        raise TypeError(f"expected texts and vectors, got {type_name(given)}") from None
