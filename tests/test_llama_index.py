"""`fastemb.llama_index.StaticModelEmbedding`: what LlamaIndex's base class does with it, as with its own mock."""

import asyncio
import copy
import pickle
import threading

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core, of the extra llama-index, is not installed")

from hypothesis import given, settings
from llama_index.core.base.embeddings.base import BaseEmbedding, SimilarityMode
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.embeddings.mock_embed_model import MockEmbedding
from llama_index.core.indices.vector_store import VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from neighbour_cases import TEXTS, WORDS, make_folder, make_model
from pydantic import ValidationError

import fastemb
from fastemb.llama_index import StaticModelEmbedding

MODEL = make_model()


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS)
def test_vectors_are_those_of_encode(texts):
    """As Python's floats, which hold float32 exactly; alone or among others, waited for or not, in any batches."""
    embedding = StaticModelEmbedding(MODEL, normalize=True)
    vectors = embedding.get_text_embedding_batch(texts)
    assert vectors == MODEL.encode(texts, normalize=True).tolist()
    few = StaticModelEmbedding(MODEL, normalize=True, embed_batch_size=3)
    assert few.get_text_embedding_batch(texts) == vectors
    assert asyncio.run(few.aget_text_embedding_batch(texts)) == vectors
    for text, vector in zip(texts[:3], vectors, strict=False):
        assert embedding.get_text_embedding(text) == embedding.get_query_embedding(text) == vector
        assert asyncio.run(embedding.aget_text_embedding(text)) == vector
        assert asyncio.run(embedding.aget_query_embedding(text)) == vector
        assert all(type(number) is float for number in vector)


@pytest.mark.parametrize("kind", ["mock", "ours"])
def test_what_the_base_class_does(kind):
    """The same of LlamaIndex's own mock and of ours: shapes, nodes, aggregates, events, a cache and similarities."""
    handler = LlamaDebugHandler(print_trace_on_end=False)
    store = SimpleKVStore()
    options = {"callback_manager": CallbackManager([handler]), "embeddings_cache": store, "embed_batch_size": 4}
    embedding = StaticModelEmbedding(MODEL, **options) if kind == "ours" else MockEmbedding(8, **options)
    assert isinstance(embedding, BaseEmbedding)
    nodes = [TextNode(text=text) for text in WORDS]
    for made in (embedding(nodes), asyncio.run(embedding.acall(nodes))):
        assert [len(node.embedding) for node in made] == [8] * len(WORDS)
    assert len(handler.get_event_pairs(CBEventType.EMBEDDING)) == 4
    assert set(store.get_all(collection="embeddings")) == set(WORDS)
    several = embedding.get_agg_embedding_from_queries(WORDS[:2])
    vectors = [embedding.get_query_embedding(text) for text in WORDS[:2]]
    assert several == pytest.approx([(a + b) / 2 for a, b in zip(*vectors, strict=True)])
    for mode, same in ((SimilarityMode.DEFAULT, 1), (SimilarityMode.EUCLIDEAN, 0)):
        assert embedding.similarity(vectors[0], vectors[0], mode) == pytest.approx(same)
    assert embedding.to_payload()["class_name"] == type(embedding).__name__


def test_queries_and_documents_have_prompts_of_their_own(tmp_path):
    folder = make_folder(tmp_path)  # with prompts "query" and "passage"
    own, given = StaticModelEmbedding(folder), StaticModelEmbedding(folder, query_prompt="q: ", document_prompt="")
    bare = StaticModelEmbedding(MODEL)
    for text in WORDS:
        assert own.get_query_embedding(text) == bare.get_query_embedding("find: " + text)
        assert own.get_text_embedding(text) == bare.get_text_embedding("text: " + text)
        assert given.get_query_embedding(text) == bare.get_query_embedding("q: " + text)
        assert given.get_text_embedding_batch([text]) == [bare.get_text_embedding(text)]


def test_long_texts_leave_the_loop_to_others(monkeypatch):
    """What takes longer than handing it over is encoded in a thread."""
    embedding, threads, encode = StaticModelEmbedding(MODEL), [], fastemb.StaticModel.encode

    def encode_noting_the_thread(*given, **options):
        threads.append(threading.current_thread() is threading.main_thread())
        return encode(*given, **options)

    monkeypatch.setattr(fastemb.StaticModel, "encode", encode_noting_the_thread)
    asyncio.run(embedding.aget_query_embedding("short"))
    asyncio.run(embedding.aget_text_embedding("short"))
    asyncio.run(embedding.aget_query_embedding("long " * 1000))
    asyncio.run(embedding.aget_text_embedding("long " * 1000))
    asyncio.run(embedding.aget_text_embedding_batch(["short", "short"]))
    assert threads == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": "/nowhere"}, FileNotFoundError, "no model at /nowhere"),
        ({"model": 5}, TypeError, "path must be a str"),
        ({"dim": 9}, ValueError, "dim must be from 1 to 8, got 9"),
        ({"normalize": "perhaps"}, ValidationError, "normalize"),
        ({"normalize": "yes"}, ValidationError, "normalize"),
        ({"dim": True}, ValidationError, "dim"),
        ({"dim": "3"}, ValidationError, "dim"),
        ({"query_prompt": 5}, ValidationError, "query_prompt"),
        ({"embed_batch_size": 0}, ValidationError, "embed_batch_size"),
        ({"normalise": True}, TypeError, "no parameter 'normalise'"),
    ],
)
def test_parameters_are_checked(options, error, words):
    with pytest.raises(error, match=words):
        StaticModelEmbedding(**{"model": MODEL, **options})


def test_parameters_are_frozen_and_copies_may_have_others():
    """LlamaIndex itself sets the fields of its base class, as the manager of callbacks."""
    embedding = StaticModelEmbedding(MODEL, query_prompt="q: ")
    with pytest.raises(ValidationError, match="frozen"):
        embedding.normalize = True
    embedding.embed_batch_size = 7
    other = embedding.model_copy(update={"normalize": True, "dim": 3})
    same = StaticModelEmbedding(MODEL, query_prompt="q: ", normalize=True, dim=3)
    assert other.get_query_embedding("a") == same.get_query_embedding("a")
    assert (other.embed_batch_size, len(embedding.get_query_embedding("a"))) == (7, 8)


def test_it_is_written_down_and_read(tmp_path):
    folder = make_folder(tmp_path)
    for given_as in (str(folder), folder):
        embedding = StaticModelEmbedding(given_as, normalize=True, dim=3)
        written = embedding.to_dict()
        assert (written["class_name"], written["model"]) == ("StaticModelEmbedding", str(folder))
        for read in (StaticModelEmbedding.from_dict(written), StaticModelEmbedding.from_json(embedding.to_json())):
            assert read.get_query_embedding("a") == embedding.get_query_embedding("a")
            assert read.to_dict() == written
    assert (embedding.model_name, StaticModelEmbedding(MODEL).model_name) == (str(folder), "StaticModel")
    with pytest.raises(ValueError, match="give its path, or the StaticModel"):
        StaticModelEmbedding.from_json(StaticModelEmbedding(MODEL).to_json())


def test_copies_and_pickles_hold_the_model(tmp_path):
    embedding = StaticModelEmbedding(make_folder(tmp_path), normalize=True)
    pickled = pickle.dumps(embedding)
    (tmp_path / "model.safetensors").unlink()
    for other in (pickle.loads(pickled), copy.deepcopy(embedding), copy.copy(embedding)):
        assert other.get_query_embedding("a") == embedding.get_query_embedding("a")


def test_a_pipeline_keeps_the_vectors_of_each_model_apart():
    """Its cache finds the vectors of an equal model, and not those of another of the same shape."""
    nodes = [TextNode(text=text, id_=f"node {i}") for i, text in enumerate(WORDS)]
    pipeline = IngestionPipeline(transformations=[StaticModelEmbedding(MODEL)], disable_cache=False)
    first = [node.embedding for node in pipeline.run(nodes=copy.deepcopy(nodes))]
    cached = pipeline.cache
    for seed, found in ((0, 1), (1, 2)):
        again = IngestionPipeline(transformations=[StaticModelEmbedding(make_model(seed))], cache=cached)
        vectors = [node.embedding for node in again.run(nodes=copy.deepcopy(nodes))]
        assert vectors == make_model(seed).encode(WORDS).tolist()
        assert (vectors == first) == (seed == 0)
        assert len(cached.cache.get_all(collection=cached.collection)) == found


def test_an_index_finds_the_nearest():
    index = VectorStoreIndex([TextNode(text=text) for text in WORDS if text], embed_model=StaticModelEmbedding(MODEL))
    found = index.as_retriever(similarity_top_k=1).retrieve(WORDS[3])
    assert [node.text for node in found] == [WORDS[3]]
