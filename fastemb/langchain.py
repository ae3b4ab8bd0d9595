"""LangChain's interface of embeddings: `StaticModelEmbeddings`, with the extra ``fastemb[langchain]``."""

from __future__ import annotations

from typing import Any

from ._neighbours import Searching, Sides, is_short, needs, written_down

try:
    from langchain_core.embeddings import Embeddings
    from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_serializer
except ModuleNotFoundError as error:
    raise needs(error, "langchain_core", "langchain") from None

__all__ = ["StaticModelEmbeddings"]


class StaticModelEmbeddings(Searching, BaseModel, Embeddings):
    """Embeddings of LangChain by a `fastemb.StaticModel`: for vector stores, retrievers and semantic splitters.

    Parameters
    ----------
    model : path-like, StaticModel, tuple of (Tokenizer, table) or None, default None
        What `fastemb.StaticModel.load` takes, which reads it at once; or a model; or a tokenizer and its table. None:
        the model that `fastemb.StaticModel.load` takes itself.
    normalize : bool, optional
        Scale every vector to length one; a zero vector stays zero. None: as the model's config says, else no.
    query_prompt : str, optional
        Put this before every query. None: the model's prompt of the name "query", else what it puts before every text.
    document_prompt : str, optional
        Put this before every document. None: the model's prompt "document", "passage" or "corpus", the first that is
        there, else what it puts before every text.
    dim : int, optional
        Keep the first `dim` columns of the table, without a copy.

    Raises
    ------
    pydantic.ValidationError
        A parameter is unknown or of a wrong type.
    TypeError, ValueError
        `model` is none of those above; `dim` is less than 1 or more than the columns.
    FileNotFoundError
        There is no such model.

    Notes
    -----
    Vectors are those of `fastemb.StaticModel.encode`, as the lists of floats that the interface asks for; making these
    lists of many documents takes longer than their vectors do. The asynchronous methods run in a thread, but for a
    short query, which takes less time than that. Parameters are frozen.

    `model_dump` and `model_dump_json` write the parameters down, a model that was given as an object by a digest, from
    which it cannot be read again. A pickle holds the model itself.

    Examples
    --------
    >>> from langchain_core.vectorstores import InMemoryVectorStore
    >>> from fastemb.langchain import StaticModelEmbeddings
    >>> store = InMemoryVectorStore(StaticModelEmbeddings())
    >>> _ = store.add_texts(["a warm loaf of bread", "the engine stalled"])
    >>> [document.page_content for document in store.similarity_search("warm bread", k=1)]
    ['a warm loaf of bread']
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True)

    model: Any = None
    normalize: bool | None = Field(default=None, strict=True)  # or "yes" would be True, and True a `dim` of 1
    query_prompt: str | None = None
    document_prompt: str | None = None
    dim: int | None = Field(default=None, strict=True)
    _sides: Sides = PrivateAttr()

    def __init__(self, model: Any = None, **options: Any) -> None:
        super().__init__(model=model, **options)
        self._open()

    @field_serializer("model")
    def _write_model(self, model: Any) -> str | None:
        return written_down(model)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each document.

        Parameters
        ----------
        texts : list of str, length N

        Returns
        -------
        list of list of float, N times D numbers

        Raises
        ------
        TypeError
            An item of `texts` is no ``str``.
        """
        return self._sides.documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query.

        Parameters
        ----------
        text : str

        Returns
        -------
        list of float, length D

        Raises
        ------
        TypeError
            `text` is no ``str``.
        """
        return self._sides.query(text)

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a query.

        Parameters
        ----------
        text : str

        Returns
        -------
        list of float, length D

        Raises
        ------
        TypeError
            `text` is no ``str``.
        """
        if is_short(text):
            return self.embed_query(text)
        vector: list[float] = await super().aembed_query(text)
        return vector
