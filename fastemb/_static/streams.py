"""The part of `StaticModel` that streams, and that writes files for others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from .._checks import as_flag, as_integer
from .._models.word2vec import LONGEST_WORD, write_vectors
from .._text.files import replacing
from .._text.texts import as_path
from .._words import shown, type_name
from ..pooling import embedding_bag
from .similar import Similar

_LONGEST = LONGEST_WORD // 2  # bytes of a token in files: with its numbers it is what a file is told by


class Streams(Similar):
    """Vectors of texts that come one after another, and files of word vectors."""

    def encode_iter(
        self, texts: Iterable[str], *, batch: int = 4096, **options: Any
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Return an iterator over the vectors of texts, batch by batch, while the texts come.

        Parameters
        ----------
        texts : iterable of str
            Any number, also without end; no more than a batch of them is held.
        batch : int, default 4096
            How many texts are encoded together.
        **options
            As for `encode`, but ``out``; ``join`` must not be None.

        Returns
        -------
        iterator of ndarray of float32, shape (batch, D)
            A new array for each batch, the last with fewer rows. Rows are those of `encode`, to the bit.

        Raises
        ------
        TypeError
            If `texts` is one text or no iterable, or `batch` no integer; as `encode`, when a batch is asked for.
        ValueError
            If `batch` is less than 1, or ``out`` or ``join=None`` is given; as `encode`, when a batch is asked for.

        Examples
        --------
        >>> import fastemb
        >>> model = fastemb.StaticModel.load()
        >>> lines = (f"line {i}" for i in range(5))
        >>> [vectors.shape for vectors in model.encode_iter(lines, batch=2)]
        [(2, 128), (2, 128), (1, 128)]
        """
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise TypeError(f"texts must be an iterable of str, got {type_name(texts)}")
        batch = as_integer(batch, "batch")
        if batch < 1:
            raise ValueError(f"batch must be at least 1, got {shown(batch)}")
        if "out" in options or options.get("join", "mean") is None:
            raise ValueError("encode_iter yields new arrays, one row a text: give neither out nor join=None")
        return self._batches(iter(texts), batch, options)

    def _batches(self, texts: Iterator[str], batch: int, options: dict[str, Any]) -> Iterator[Any]:
        while some := list(islice(texts, batch)):
            yield self.encode(some, **options)

    def save_word2vec(self, path: str | os.PathLike[str], *, binary: bool = False) -> None:
        r"""Write the vectors of all tokens in word2vec's format, which gensim and others read.

        Parameters
        ----------
        path : path-like
            The file; a file that exists is replaced, in one step.
        binary : bool, default False
            Write numbers as float32 bytes, not as text. Both keep float32 to the bit.

        Raises
        ------
        TypeError
            `path` is no path, or `binary` no bool.
        ValueError
            A token is empty or holds a blank or a line end, which the format cannot say, or has more than 32,768 bytes.
        FileNotFoundError
            There is no such folder to write to.

        Notes
        -----
        Tokens are written by their ids, as ``tokenizer.vocab`` has them; of a fastText model the words, without the
        rows of n-grams, which the format has no place for.

        Examples
        --------
        >>> import pathlib, tempfile, fastemb
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "two.txt").write_text("cat 1 2\ndog 3 4\n")  # as GloVe writes it
        >>> fastemb.StaticModel.load(folder / "two.txt").save_word2vec(folder / "two.vec")
        >>> (folder / "two.vec").read_text().splitlines()
        ['2 2', 'cat 1 2', 'dog 3 4']
        """
        file, binary = as_path(path), as_flag(binary, "binary")
        ids = [id for id, name in enumerate(self._row_names()) if name is not None]
        names = [str(self._row_names()[id]) for id in ids]
        odd = next((name for name in names if not name or any(c in " \t\r\n\v\f" for c in name)), None)
        if odd is not None:
            raise ValueError(f"the token {odd!r} is empty or holds white space, which word2vec's format cannot say")
        long = next((name for name in names if len(name) > _LONGEST // 4 and len(name.encode()) > _LONGEST), None)
        if long is not None:
            raise ValueError(f"the token {shown(long)} has more than {_LONGEST:,} bytes, and would not be read back")
        kept, vectors = np.array(ids, np.int64), self._rows()
        with replacing(file) as stream:
            write_vectors(
                stream, names, vectors.shape[1], lambda first, end: self._some_rows(vectors, kept[first:end]), binary
            )

    def _some_rows(self, vectors: Any, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return some rows in float32."""
        if isinstance(vectors, np.ndarray):
            return vectors[ids].astype(np.float32, copy=False)
        rows: npt.NDArray[np.float32] = embedding_bag(vectors, ids, np.arange(ids.size + 1), mode="sum")
        return rows
