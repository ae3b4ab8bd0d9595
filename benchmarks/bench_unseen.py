"""Text never seen: three quarters of a corpus are read untimed, then the last quarter, for the first time and again.

The memory that each engine takes for what it has read is noted beside its time: ours is bounded, gigatoken's is not.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .bench_ranked import GIGATOKEN, SMALL_TEXT, counts, present, same_flat
from .corpora import MissingCorpusError
from .measure import Measure
from .rivals import RankVocabulary
from .unseen import KINDS, Parts, few

UNSEEN, AGAIN = "Tokenizer.encode_batch, text never seen", "Tokenizer.encode_batch, that text again"
FROM_NOTHING = "Tokenizer.encode_batch, three quarters from nothing"
LOADED = "Tokenizer.load and a first pass of 20 MB"
ROUNDS = 3
STATM = Path("/proc/self/statm")

CONTENDERS = pytest.mark.parametrize("name", [GIGATOKEN, "fastemb"])
TWO_RANKED = pytest.mark.parametrize("ranked", ["cl100k", "o200k"], indirect=True)
EACH_KIND = pytest.mark.parametrize("parts", KINDS, indirect=True)

# How many times as long as ours gigatoken is to take.
ASKED = {
    UNSEEN: {"english": {"cl100k": 1.3, "o200k": 1.2}, "code": {"cl100k": 1.3, "o200k": 1.25}, "manuals": 1.5,
             "short": 2.0},
    AGAIN: {"english": 1.1, "code": 1.2, "manuals": 1.3, "short": 2.5},
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(request: pytest.FixtureRequest) -> Parts:
    """Return a corpus in two parts, or a few lines where nothing is timed."""
    if not request.config.getoption("benchmark_enable"):
        return few()
    try:
        return KINDS[request.param]()
    except MissingCorpusError as error:
        pytest.skip(str(error))


def asked(operation: str, kind: str, ranked: RankVocabulary) -> float:
    """Return what is asked of a row."""
    ratio: Any = ASKED[operation][kind]
    return float(ratio[ranked.name] if isinstance(ratio, dict) else ratio)


def resident() -> int:
    """Return the bytes of this process that are in memory, 0 where the system does not tell."""
    return int(STATM.read_text().split()[1]) * 4096 if STATM.exists() else 0


def memory(load: Callable[[], Any], parts: Parts, **options: Any) -> int:
    """Return how many bytes an engine keeps when it is loaded and has read a first part, ids not counted."""
    gc.collect()
    before = resident()
    engine = load()
    engine.encode_batch(parts.seen.texts, **options)
    gc.collect()
    return max(0, resident() - before)


def readers(ranked: RankVocabulary, timed: bool) -> dict[str, tuple[Callable[[], Any], dict[str, Any]]]:
    """Return how each engine is made, anew if it is timed, and how it is told to use one thread."""
    ours = ranked.load_ours if timed else lambda: ranked.ours
    theirs = ranked.load_gigatoken if timed else lambda: ranked.gigatoken
    return {"fastemb": (ours, {}), GIGATOKEN: (theirs, {"parallel": False})}


def after(ranked: RankVocabulary, timed: bool, *read: list[str]) -> dict[str, Callable[[], Any]]:
    """Return what makes an engine that has read some texts."""

    def maker(load: Callable[[], Any], options: dict[str, Any]) -> Callable[[], Any]:
        def make() -> Any:
            engine = load()
            engine.encode(SMALL_TEXT)
            for texts in read:
                engine.encode_batch(texts, **options)
            return engine

        return make

    return {name: maker(*how) for name, how in readers(ranked, timed).items()}


def calls_of(ranked: RankVocabulary, texts: list[str]) -> dict[str, Callable[[Any], Any]]:
    """Return what is timed: one batch, by an engine that was made for it."""
    how = readers(ranked, False)  # of which only the options are needed
    return {name: lambda engine, options=options: engine.encode_batch(texts, **options)
            for name, (_, options) in how.items()}  # fmt: skip


@CONTENDERS
@TWO_RANKED
@EACH_KIND
@pytest.mark.parametrize("operation", [UNSEEN, AGAIN])
def test_unseen(
    measure: Measure, ranked: RankVocabulary, parts: Parts, operation: str, name: str, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["parts"]
    texts = parts.new.texts
    read = [parts.seen.texts] if operation == UNSEEN else [parts.seen.texts, texts]
    notes: dict[str, Any] = {"corpus": parts.new.origin}
    if measure.timed and operation == UNSEEN:
        load, options = readers(ranked, True)[name]
        notes["memory"] = memory(load, parts, **options)
    measure(
        operation,
        f"{ranked.name}, {parts.name}",
        present(calls_of(ranked, texts), name),
        name,
        asked={GIGATOKEN: asked(operation, kind, ranked)},
        fresh=after(ranked, measure.timed, *read),
        agree=same_flat,
        rounds=ROUNDS,
        counts=counts(ranked, parts.new),
        **notes,
    )


@CONTENDERS
@TWO_RANKED
@EACH_KIND
def test_from_nothing(measure: Measure, ranked: RankVocabulary, parts: Parts, name: str) -> None:
    measure(
        FROM_NOTHING,
        f"{ranked.name}, {parts.name}",
        present(calls_of(ranked, parts.seen.texts), name),
        name,
        asked={GIGATOKEN: 1.1},
        fresh=after(ranked, measure.timed),
        agree=same_flat,
        rounds=ROUNDS,
        counts=counts(ranked, parts.seen),
        corpus=parts.seen.origin,
    )


@CONTENDERS
@TWO_RANKED
@EACH_KIND
def test_load_and_read(measure: Measure, ranked: RankVocabulary, parts: Parts, name: str) -> None:
    corpus = parts.first(20_000_000)
    calls = {
        other: lambda load=load, options=options: load().encode_batch(corpus.texts, **options)
        for other, (load, options) in readers(ranked, measure.timed).items()
    }
    measure(
        LOADED,
        f"{ranked.name}, {parts.name}",
        present(calls, name),
        name,
        asked={GIGATOKEN: 1.4},
        agree=same_flat,
        rounds=ROUNDS,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )
