"""`fastemb.langchain.StaticModelEmbeddings`: LangChain's own standard tests, its vectors, how it is written down."""

import asyncio
import copy
import inspect
import pickle
import threading

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="langchain-core, of the extra langchain, is not installed")
pytest.importorskip("langchain_tests", reason="langchain-tests, of the extra neighbours, is not installed")

from hypothesis import given, settings
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from neighbour_cases import TEXTS, WORDS, make_folder, make_model
from pydantic import ValidationError

import fastemb
from fastemb.langchain import StaticModelEmbeddings

MODEL = make_model()

for each in vars(EmbeddingsIntegrationTests).values():
    if inspect.iscoroutinefunction(each):
        pytest.mark.asyncio(each)  # which LangChain leaves to a setting of the whole suite


class TestUnit(EmbeddingsUnitTests):
    """LangChain's standard tests of a class of embeddings."""

    embeddings_class = StaticModelEmbeddings
    embedding_model_params = {"model": MODEL}  # noqa: RUF012  # a property of its base


class TestIntegration(EmbeddingsIntegrationTests):
    """LangChain's standard tests of embeddings that answer."""

    embeddings_class = StaticModelEmbeddings
    embedding_model_params = {"model": MODEL, "normalize": True}  # noqa: RUF012


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS)
def test_vectors_are_those_of_encode(texts):
    """As Python's floats, which hold float32 exactly; alone or among others, waited for or not."""
    embeddings = StaticModelEmbeddings(MODEL, normalize=True)
    vectors = embeddings.embed_documents(texts)
    assert vectors == MODEL.encode(texts, normalize=True).tolist()
    assert asyncio.run(embeddings.aembed_documents(texts)) == vectors
    for text, vector in zip(texts[:3], vectors, strict=False):
        assert embeddings.embed_query(text) == asyncio.run(embeddings.aembed_query(text)) == vector
        assert all(type(number) is float for number in vector)


def test_queries_and_documents_have_prompts_of_their_own(tmp_path):
    folder = make_folder(tmp_path)  # with prompts "query" and "passage"
    own, given = StaticModelEmbeddings(folder), StaticModelEmbeddings(folder, query_prompt="q: ", document_prompt="")
    bare = StaticModelEmbeddings(MODEL)
    for text in WORDS:
        assert own.embed_query(text) == bare.embed_query("find: " + text)
        assert own.embed_documents([text]) == bare.embed_documents(["text: " + text])
        assert given.embed_query(text) == bare.embed_query("q: " + text)
        assert given.embed_documents([text]) == bare.embed_documents([text])


def test_long_texts_leave_the_loop_to_others(monkeypatch):
    """Documents and long queries are encoded in a thread, short queries where they are."""
    embeddings, threads, encode = StaticModelEmbeddings(MODEL), [], fastemb.StaticModel.encode

    def encode_noting_the_thread(*given, **options):
        threads.append(threading.current_thread() is threading.main_thread())
        return encode(*given, **options)

    monkeypatch.setattr(fastemb.StaticModel, "encode", encode_noting_the_thread)
    asyncio.run(embeddings.aembed_query("short"))
    asyncio.run(embeddings.aembed_query("long " * 1000))
    asyncio.run(embeddings.aembed_documents(["short"]))
    assert threads == [True, False, False]
    assert issubclass(StaticModelEmbeddings, Embeddings)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: e.embed_query(["a"]), "text must be a str, got list"),
        (lambda e: e.embed_query(None), "text must be a str, got None"),
        (lambda e: asyncio.run(e.aembed_query(5)), "text must be a str, got int"),
        (lambda e: e.embed_documents("a text"), "texts must be a sequence of str, got one str"),
        (lambda e: e.embed_documents(["a", b"b"]), "got bytes at position 1"),
    ],
)
def test_what_is_no_text(call, words):
    with pytest.raises(TypeError, match=words):
        call(StaticModelEmbeddings(MODEL))


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
        ({"batch_size": 5}, ValidationError, "batch_size"),
    ],
)
def test_parameters_are_checked(options, error, words):
    with pytest.raises(error, match=words):
        StaticModelEmbeddings(**{"model": MODEL, **options})


def test_parameters_are_frozen_and_copies_may_have_others():
    embeddings = StaticModelEmbeddings(MODEL, query_prompt="q: ")
    with pytest.raises(ValidationError, match="frozen"):
        embeddings.normalize = True
    other = embeddings.model_copy(update={"normalize": True, "dim": 3})
    same = StaticModelEmbeddings(MODEL, query_prompt="q: ", normalize=True, dim=3)
    assert other.embed_query("a") == same.embed_query("a")
    assert len(embeddings.embed_query("a")) == 8
    with pytest.raises(ValueError, match="dim must be from 1 to 8"):
        embeddings.model_copy(update={"dim": 9})


def test_it_is_written_down_and_read(tmp_path):
    folder = make_folder(tmp_path)
    for given_as in (str(folder), folder):
        embeddings = StaticModelEmbeddings(given_as, normalize=True, dim=3)
        written = embeddings.model_dump()
        assert written == {
            "model": str(folder), "normalize": True, "query_prompt": None, "document_prompt": None, "dim": 3,
        }  # fmt: skip
        read = StaticModelEmbeddings.model_validate_json(embeddings.model_dump_json())
        assert read.embed_query("a") == StaticModelEmbeddings(**written).embed_query("a") == embeddings.embed_query("a")
    written = StaticModelEmbeddings(MODEL).model_dump()
    assert written["model"].startswith("StaticModel sha256:")
    with pytest.raises(ValueError, match="give its path, or the StaticModel"):
        StaticModelEmbeddings(**written)


def test_copies_and_pickles_hold_the_model(tmp_path):
    embeddings = StaticModelEmbeddings(make_folder(tmp_path), normalize=True)
    pickled = pickle.dumps(embeddings)
    (tmp_path / "model.safetensors").unlink()
    for other in (pickle.loads(pickled), copy.deepcopy(embeddings), copy.copy(embeddings), embeddings.model_copy()):
        assert other.embed_query("a") == embeddings.embed_query("a")


def test_a_vector_store_finds_the_nearest():
    store = InMemoryVectorStore(StaticModelEmbeddings(MODEL))
    store.add_texts(WORDS[:2] + WORDS[3:])
    texts = [text for text in WORDS if text]
    vectors = fastemb.normalize(MODEL.encode(texts))
    nearest = texts[int(np.argmax(vectors @ vectors[2]))]
    assert [found.page_content for found in store.similarity_search(texts[2], k=1)] == [nearest] == [texts[2]]
