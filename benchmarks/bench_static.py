"""Text to vectors: StaticModel.encode against WordLlama.embed, on WordLlama's own model."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import pytest

import fastemb

from . import quality
from .corpora import Corpus
from .measure import Measure, close, cores, equal

OPERATION = "StaticModel.encode"
RIVAL = "WordLlama"
DEFAULT_BATCH = 64  # WordLlama's own
BATCHES = (8, 16, 24, 32, 64, 128)
SAMPLE = 5_000  # texts on which the batches are compared
NORMALIZE = pytest.mark.parametrize("normalize", [False, True], ids=["raw", "normalized"])
CONTENDERS = pytest.mark.parametrize("name", [RIVAL, "fastemb"])


@pytest.fixture(scope="module")
def model(word_llama: Any) -> fastemb.StaticModel:
    """Ours, from the same files; it depends on the rival's fixture because both are skipped together."""
    return quality.word_llama()


def contenders(
    model: fastemb.StaticModel, word_llama: Any, texts: list[str], normalize: bool = False, batch: int = DEFAULT_BATCH
) -> dict[str, Callable[[], Any]]:
    """Return both sides; `batch` is how many texts WordLlama pads to one length."""
    return {
        "fastemb": lambda: model.encode(texts, normalize=normalize),
        RIVAL: lambda: word_llama.embed(texts, norm=normalize, batch_size=batch),
    }


@functools.cache
def best_batch(word_llama: Any, corpus: Corpus) -> int:
    """Return the size of batch with which WordLlama is fastest here; its default of 64 is not always that."""
    texts = corpus.texts[:SAMPLE]

    def seconds(batch: int) -> float:
        start = time.perf_counter()
        word_llama.embed(texts, batch_size=batch)
        return time.perf_counter() - start

    seconds(DEFAULT_BATCH)  # warm
    return min(BATCHES, key=lambda batch: min(seconds(batch) for _ in range(3)))


def counts(model: fastemb.StaticModel, corpus: Corpus) -> dict[str, int]:
    """Return what one call works through."""
    tokens = model.tokenizer.encode_batch(corpus.texts, special="all").ids.size
    return {"documents": len(corpus.texts), "bytes": corpus.size, "tokens": tokens}


@CONTENDERS
@NORMALIZE
@pytest.mark.parametrize("corpus", ["lines", "glosses"], indirect=True)
def test_many_texts(
    measure: Measure, model: fastemb.StaticModel, word_llama: Any, corpus: Corpus, normalize: bool, name: str
) -> None:
    batch = best_batch(word_llama, corpus) if measure.timed else DEFAULT_BATCH
    corpus = measure.sized(corpus)
    measure(
        OPERATION,
        corpus.name + (", normalized" if normalize else ""),
        contenders(model, word_llama, corpus.texts, normalize, batch),
        name,
        agree=close,
        rounds=5,
        counts=counts(model, corpus),
        corpus=corpus.origin,
        rival_batch=batch,
    )


@CONTENDERS
@pytest.mark.parametrize("count", [1, 100])
def test_few_texts(
    measure: Measure, model: fastemb.StaticModel, word_llama: Any, lines: Corpus, count: int, name: str
) -> None:
    corpus = lines.first(count)
    calls = contenders(model, word_llama, corpus.texts)
    case = corpus.name if count > 1 else "1 English line"
    asked = 1 / 0.3 if count == 1 else None
    measure(OPERATION, case, calls, name, agree=close, asked=asked, counts=counts(model, corpus), corpus=corpus.origin)


@pytest.mark.skipif(cores() < 2, reason="needs two processors")
@pytest.mark.parametrize("name", [ONE_THREAD := "fastemb, 1 thread", "fastemb"])
@pytest.mark.parametrize("corpus", ["lines", "english"], indirect=True)
def test_two_threads(measure: Measure, model: fastemb.StaticModel, corpus: Corpus, name: str) -> None:
    corpus = measure.sized(corpus)

    def one_thread() -> Any:
        with fastemb.num_threads(1):
            return model.encode(corpus.texts)

    measure(
        f"{OPERATION} with 2 threads",
        corpus.name,
        {"fastemb": lambda: model.encode(corpus.texts), ONE_THREAD: one_thread},
        name,
        asked=1.6,
        agree=equal,
        threads=2,
        rounds=41,
        counts=counts(model, corpus),
        corpus=corpus.origin,
    )
