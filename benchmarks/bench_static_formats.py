"""Files of word vectors: loading them, and the nearest words, against gensim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb

from .measure import Measure

RIVAL = "gensim"
WORDS, DIM, BUCKETS = 50_000, 100, 100_000
CONTENDERS = pytest.mark.parametrize("name", [RIVAL, "fastemb"])
QUERIES = 20  # words whose neighbours are asked for in one call


@pytest.fixture(scope="module")
def gensim() -> Any:
    """Return the rival's package of models."""
    return pytest.importorskip("gensim.models", reason="the package gensim is not installed")


def drawn(measure: Measure) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return words and their vectors; few where they are only compared."""
    count = WORDS if measure.timed else 200
    table = np.random.default_rng(0).standard_normal((count, DIM)).astype(np.float32)  # no two neighbours as near
    return [f"word{i}" for i in range(count)], table


def write(path: Path, words: list[str], table: npt.NDArray[np.float32], binary: bool) -> None:
    """Write word2vec's format."""
    with path.open("wb") as stream:
        stream.write(f"{len(words)} {table.shape[1]}\n".encode())
        for word, row in zip(words, table, strict=True):
            numbers = row.tobytes() if binary else " ".join(map(repr, row.tolist())).encode()
            stream.write(word.encode() + b" " + numbers + b"\n")


def same_table(a: Any, b: Any) -> None:
    """Both have read the same rows, whichever is whose."""
    tables = [x.table if isinstance(x, fastemb.StaticModel) else x.vectors for x in (a, b)]
    rows = min(map(len, tables))  # behind the words ours has the rows of n-grams
    np.testing.assert_allclose(tables[0][:rows], tables[1][:rows], rtol=1e-5, atol=1e-6)


@CONTENDERS
@pytest.mark.parametrize("kind", ["text", "binary"])
def test_load_word2vec(measure: Measure, gensim: Any, tmp_path: Path, kind: str, name: str) -> None:
    words, table = drawn(measure)
    write(tmp_path / "vectors", words, table, kind == "binary")
    calls: dict[str, Callable[[], Any]] = {
        "fastemb": lambda: fastemb.StaticModel.load(tmp_path / "vectors"),
        RIVAL: lambda: gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "vectors"), binary=kind == "binary"),
    }
    case = f"word2vec {kind}, {WORDS:,} words of {DIM} columns"
    measure("StaticModel.load", case, calls, name, agree=same_table, rounds=3)


@CONTENDERS
def test_load_fasttext(measure: Measure, gensim: Any, tmp_path: Path, name: str) -> None:
    words, _ = drawn(measure)
    buckets = BUCKETS if measure.timed else 300
    trained = gensim.FastText(vector_size=DIM, min_count=1, bucket=buckets, min_n=3, max_n=6, seed=1)
    trained.build_vocab([words])
    gensim.fasttext.save_facebook_model(trained, str(tmp_path / "model.bin"))
    calls: dict[str, Callable[[], Any]] = {
        "fastemb": lambda: fastemb.StaticModel.load(tmp_path / "model.bin"),
        RIVAL: lambda: gensim.fasttext.load_facebook_vectors(str(tmp_path / "model.bin")),
    }
    case = f"fastText .bin, {WORDS:,} words, {BUCKETS:,} buckets of {DIM} columns"
    measure("StaticModel.load", case, calls, name, agree=same_table, rounds=3)


@CONTENDERS
def test_most_similar(measure: Measure, gensim: Any, tmp_path: Path, name: str) -> None:
    words, table = drawn(measure)
    write(tmp_path / "vectors", words, table, binary=True)
    ours = fastemb.StaticModel.load(tmp_path / "vectors")
    theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "vectors"), binary=True)
    queries = words[:: max(1, len(words) // QUERIES)][:QUERIES]
    calls = {
        "fastemb": lambda: [ours.most_similar(query, 10) for query in queries],
        RIVAL: lambda: [theirs.most_similar(query, topn=10) for query in queries],
    }

    def same_words(a: Any, b: Any) -> None:
        for found, others in zip(a, b, strict=True):
            assert [word for word, _ in found] == [word for word, _ in others]
            np.testing.assert_allclose([score for _, score in found], [score for _, score in others], atol=1e-5)

    case = f"{QUERIES} words of {WORDS:,}, 10 neighbours each"
    measure("StaticModel.most_similar", case, calls, name, agree=same_words)
