"""LlamaIndex's interface of embeddings: `StaticModelEmbedding`, with the extra ``fastemb[llama-index]``."""

from __future__ import annotations

import asyncio
from typing import Any

from ._neighbours import Searching, Sides, is_short, needs, written_down
from .static import StaticModel

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_serializer
except ModuleNotFoundError as error:
    raise needs(error, "llama_index", "llama-index") from None

__all__ = ["StaticModelEmbedding"]

BATCH = 2048  # texts a call, the most that LlamaIndex lets a batch have; its own default, of 10, is for services


class StaticModelEmbedding(Searching, BaseEmbedding):
    """Embeddings of LlamaIndex by a `fastemb.StaticModel`: for indexes, ingestion pipelines and semantic splitters.

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
    **options
        Those of all embeddings of LlamaIndex: ``embed_batch_size``, here 2048, ``model_name``, here the path or
        "StaticModel", ``callback_manager``, ``num_workers``, ``embeddings_cache``.

    Raises
    ------
    pydantic.ValidationError
        A parameter is of a wrong type, or ``embed_batch_size`` is not from 1 to 2048.
    TypeError, ValueError
        A parameter is unknown; `model` is none of those above; `dim` is less than 1 or more than the columns.
    FileNotFoundError
        There is no such model.

    Notes
    -----
    Vectors are those of `fastemb.StaticModel.encode`, as the lists of floats that the interface asks for. Asynchronous
    calls run in a thread, but for a short text, which takes less time than that. The parameters above are frozen.

    `to_dict` and `to_json` write the parameters down, a model that was given as an object by a digest of its contents:
    what an ingestion pipeline keeps of one model is not taken for another's. Such a model cannot be read again from it;
    a pickle holds the model itself.

    Examples
    --------
    >>> from llama_index.core.schema import TextNode
    >>> from fastemb.llama_index import StaticModelEmbedding
    >>> embedding = StaticModelEmbedding()
    >>> bread, engine = embedding([TextNode(text="a warm loaf of bread"), TextNode(text="the engine stalled")])
    >>> query = embedding.get_query_embedding("warm bread")
    >>> bool(embedding.similarity(query, bread.embedding) > embedding.similarity(query, engine.embedding))
    True
    """

    model: Any = Field(default=None, frozen=True)
    normalize: bool | None = Field(default=None, frozen=True, strict=True)  # or "yes" would be True, True a `dim` of 1
    query_prompt: str | None = Field(default=None, frozen=True)
    document_prompt: str | None = Field(default=None, frozen=True)
    dim: int | None = Field(default=None, frozen=True, strict=True)
    embed_batch_size: int = Field(default=BATCH, gt=0, le=BATCH)
    _sides: Sides = PrivateAttr()

    def __init__(self, model: Any = None, **options: Any) -> None:
        for name in options.keys() - type(self).model_fields.keys() - {"class_name"}:  # which `model_dump` writes
            raise TypeError(f"StaticModelEmbedding has no parameter {name!r}; see help(StaticModelEmbedding)")
        named = model is not None and not isinstance(model, StaticModel | list | tuple)
        super().__init__(model=model, **{"model_name": str(model) if named else "StaticModel", **options})
        self._open()

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex writes this class down."""
        return "StaticModelEmbedding"

    @field_serializer("model")
    def _write_model(self, model: Any) -> str | None:
        return written_down(model)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._sides.query(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._sides.document(text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._sides.documents(texts)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        if is_short(query):
            return self._get_query_embedding(query)
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        if is_short(text):
            return self._get_text_embedding(text)
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
