"""Rank vocabularies: Tokenizer against gigatoken and tiktoken, on the same ranks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb

from .corpora import Corpus
from .measure import Measure
from .rivals import RankVocabulary, installed

GIGATOKEN, TIKTOKEN = "gigatoken", "tiktoken"
FIRST_PASS = "Tokenizer.encode_batch, first pass"
RANKED = pytest.mark.parametrize("ranked", ["gpt2", "cl100k", "o200k"], indirect=True)
ONE_RANKED = pytest.mark.parametrize("ranked", ["cl100k"], indirect=True)
SMALL_TEXT = "a b"

Asked = Mapping[str, float] | float


def corpora_asked(documents: Asked, short: Asked | None = None, manuals: Asked | None = None) -> pytest.MarkDecorator:
    """Run a benchmark for English and code, for short texts and for manual pages, with what is asked of each kind."""
    kinds = [(documents, ["english", "more_code"]), (short, ["short"]), (manuals, ["ja", "zh_CN", "ru", "de"])]
    cases = [(corpus, asked) for asked, names in kinds if asked is not None for corpus in names]
    return pytest.mark.parametrize(("corpus", "asked"), cases, indirect=["corpus"], ids=[case[0] for case in cases])


def flat(result: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return ids and lengths of a Ragged, of tiktoken's lists or of gigatoken's awkward array."""
    if isinstance(result, fastemb.Ragged):
        return result.ids, result.lengths
    if isinstance(result, list):
        return np.fromiter(itertools.chain.from_iterable(result), np.int64), np.array([len(row) for row in result])
    import awkward

    return awkward.to_numpy(awkward.flatten(result)), awkward.to_numpy(awkward.num(result))


def same_flat(a: Any, b: Any) -> None:
    """Two batches of any of the engines have the same ids."""
    for ours, theirs in zip(flat(a), flat(b), strict=True):
        assert np.array_equal(ours, theirs)


def present(calls: Mapping[str, Callable[..., Any]], name: str) -> dict[str, Callable[..., Any]]:
    """Leave out a rival that is not installed; skip where it is the one to be timed."""
    if name == GIGATOKEN and not installed(GIGATOKEN):
        pytest.skip("gigatoken is not installed: pip install '.[bench]'")
    return {other: call for other, call in calls.items() if other != GIGATOKEN or installed(GIGATOKEN)}


def counts(ranked: RankVocabulary, corpus: Corpus) -> dict[str, int]:
    """Return what one pass over a corpus works through."""
    tokens = int(ranked.ours.count_batch(corpus.texts).sum())
    return {"documents": len(corpus.texts), "bytes": corpus.size, "tokens": tokens}


@pytest.mark.parametrize("name", [GIGATOKEN, TIKTOKEN, "fastemb"])
@RANKED
@corpora_asked(
    documents={GIGATOKEN: 1.15, TIKTOKEN: 20},
    short={GIGATOKEN: 1.5, TIKTOKEN: 20},
    manuals={GIGATOKEN: 1.0, TIKTOKEN: 15},
)
def test_second_pass(measure: Measure, ranked: RankVocabulary, corpus: Corpus, asked: Asked, name: str) -> None:
    """All engines have seen these very documents: their caches are as full as they get."""
    corpus = measure.sized(corpus)
    texts = corpus.texts
    calls = {
        "fastemb": lambda: ranked.ours.encode_batch(texts),
        GIGATOKEN: lambda: ranked.gigatoken.encode_batch(texts, parallel=False),
        TIKTOKEN: lambda: ranked.tiktoken.encode_ordinary_batch(texts, num_threads=1),
    }
    measure(
        "Tokenizer.encode_batch, second pass",
        f"{ranked.name}, {corpus.name}",
        present(calls, name),
        name,
        asked=asked,
        agree=same_flat,
        rounds=3 if name == TIKTOKEN else 21,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


@pytest.mark.parametrize("name", [GIGATOKEN, "fastemb"])
@RANKED
@corpora_asked(documents={GIGATOKEN: 1.3}, short={GIGATOKEN: 1.5}, manuals={GIGATOKEN: 1.0})
def test_first_pass(measure: Measure, ranked: RankVocabulary, corpus: Corpus, asked: Asked, name: str) -> None:
    """Engines just loaded, which have encoded one small text and nothing else."""
    corpus = measure.sized(corpus)
    texts = corpus.texts

    def started(load: Callable[[], Any]) -> Callable[[], Any]:
        def make() -> Any:
            engine = load()
            engine.encode(SMALL_TEXT)
            return engine

        return make

    calls = {
        "fastemb": lambda engine: engine.encode_batch(texts),
        GIGATOKEN: lambda engine: engine.encode_batch(texts, parallel=False),
    }
    measure(
        FIRST_PASS,
        f"{ranked.name}, {corpus.name}",
        present(calls, name),
        name,
        asked=asked,
        fresh={"fastemb": started(ranked.load_ours), GIGATOKEN: started(ranked.load_gigatoken)},
        agree=same_flat,
        rounds=7,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


@pytest.mark.parametrize("ranked", ["o200k"], indirect=True)
@pytest.mark.parametrize("corpus", ["more_code"], indirect=True)
def test_first_pass_of_tiktoken(measure: Measure, ranked: RankVocabulary, corpus: Corpus) -> None:
    """It remembers nothing of a text, so every pass of it is a first one: one more time for one row of those above."""
    corpus = measure.sized(corpus)
    texts = corpus.texts
    calls = {
        "fastemb": lambda: ranked.ours.encode_batch(texts),
        TIKTOKEN: lambda: ranked.tiktoken.encode_ordinary_batch(texts, num_threads=1),
    }
    case = f"{ranked.name}, {corpus.name}"
    measure(FIRST_PASS, case, calls, TIKTOKEN, agree=same_flat, rounds=3, counts=counts(ranked, corpus))


@pytest.mark.parametrize("name", [GIGATOKEN, "fastemb"])
@RANKED
@corpora_asked(documents=1.5)
def test_load_and_first_pass(measure: Measure, ranked: RankVocabulary, corpus: Corpus, asked: Asked, name: str) -> None:
    corpus = measure.sized(corpus)
    texts = corpus.texts
    calls = {
        "fastemb": lambda: ranked.load_ours().encode_batch(texts),
        GIGATOKEN: lambda: ranked.load_gigatoken().encode_batch(texts, parallel=False),
    }
    measure(
        "Tokenizer.load and first pass",
        f"{ranked.name}, {corpus.name}",
        present(calls, name),
        name,
        asked=asked,
        agree=same_flat,
        rounds=7,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


@pytest.mark.parametrize("name", [GIGATOKEN, TIKTOKEN, "fastemb"])
@RANKED
def test_encode_one_ranked(measure: Measure, ranked: RankVocabulary, lines: Corpus, name: str) -> None:
    text = lines.hundred_bytes()
    ours, theirs = ranked.ours, ranked.tiktoken
    calls: dict[str, Callable[[], Any]] = {
        "fastemb": lambda: ours.encode(text),
        TIKTOKEN: lambda: theirs.encode_ordinary(text),
    }
    if installed(GIGATOKEN):
        giga = ranked.gigatoken
        calls[GIGATOKEN] = lambda: giga.encode(text)
    measure(
        "Tokenizer.encode",
        f"{ranked.name}, 1 text of 100 bytes",
        present(calls, name),
        name,
        asked={TIKTOKEN: 2.5, GIGATOKEN: 0.6},
        agree=lambda a, b: same_flat([list(a)], [list(b)]),
        counts={"documents": 1, "bytes": 100, "tokens": ours.encode(text).size},
        corpus=lines.origin,
    )


@pytest.mark.parametrize("name", [ALL_IDS := "encode_batch", "fastemb"])
@RANKED
@pytest.mark.parametrize("corpus", ["english", "more_code", "short"], indirect=True)
def test_count_batch(measure: Measure, ranked: RankVocabulary, corpus: Corpus, name: str) -> None:
    corpus = measure.sized(corpus)
    ours, texts = ranked.ours, corpus.texts

    def same_lengths(a: Any, b: Any) -> None:
        """Compare counts with the lengths of rows."""
        first, second = (x.lengths if isinstance(x, fastemb.Ragged) else x for x in (a, b))
        assert np.array_equal(first, second)

    measure(
        "Tokenizer.count_batch",
        f"{ranked.name}, {corpus.name}",
        {"fastemb": lambda: ours.count_batch(texts), ALL_IDS: lambda: ours.encode_batch(texts)},
        name,
        asked=1.1,
        agree=same_lengths,
        rounds=21,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[RankVocabulary], Path]:
    """Save a vocabulary in our own form."""
    folder = tmp_path_factory.mktemp("saved")

    def save(ranked: RankVocabulary) -> Path:
        file = folder / ranked.name
        if not file.exists():
            ranked.ours.save(file)
        return file

    return save


@pytest.mark.parametrize("name", [TIKTOKEN, "fastemb"])
@RANKED
def test_open_saved(
    measure: Measure, ranked: RankVocabulary, saved: Callable[[RankVocabulary], Path], lines: Corpus, name: str
) -> None:
    """Our file is in the page cache; tiktoken starts from a dict that is ready made."""
    text, file = lines.hundred_bytes(), saved(ranked)
    calls = {
        "fastemb": lambda: fastemb.Tokenizer.load(file).encode(text),
        TIKTOKEN: lambda: ranked.real.tiktoken().encode_ordinary(text),
    }
    measure(
        "Tokenizer.load of a saved one, and one text",
        ranked.name,
        calls,
        name,
        asked=20 if ranked.name == "o200k" else None,
        agree=lambda a, b: same_flat([list(a)], [list(b)]),
        rounds=21 if name == "fastemb" else 5,
    )


@pytest.mark.parametrize("name", [ONE_THREAD := "one thread", "fastemb"])
@ONE_RANKED
@corpora_asked(documents=1.7, short=1.3)
def test_two_threads(measure: Measure, ranked: RankVocabulary, corpus: Corpus, asked: Asked, name: str) -> None:
    corpus = measure.sized(corpus)
    ours, texts = ranked.ours, corpus.texts

    def alone() -> Any:
        with fastemb.num_threads(1):
            return ours.encode_batch(texts)

    measure(
        "Tokenizer.encode_batch, 2 threads against one",
        f"{ranked.name}, {corpus.name}",
        {"fastemb": lambda: ours.encode_batch(texts), ONE_THREAD: alone},
        name,
        asked=asked,
        agree=same_flat,
        threads=2,
        rounds=21,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )
