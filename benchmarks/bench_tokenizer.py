"""Text to ids: Tokenizer against Hugging Face's tokenizers, on the same files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .corpora import Corpus
from .measure import Measure
from .rivals import Vocabulary

RIVAL = "tokenizers"
CONTENDERS = pytest.mark.parametrize("name", [RIVAL, "fastemb"])
VOCABULARIES = pytest.mark.parametrize("vocabulary", ["wordllama", "gpt2"], indirect=True)


def rows_of_ids(result: Any) -> list[list[int]]:
    """Return the ids of a Ragged or of a list of the rival's Encodings."""
    return [row.tolist() if isinstance(row, np.ndarray) else row.ids for row in result]


def same_rows(a: Any, b: Any) -> None:
    """Two batches have the same ids."""
    assert rows_of_ids(a) == rows_of_ids(b)


def same_ids(a: Any, b: Any) -> None:
    """Two texts have the same ids."""
    same_rows([a], [b])


@CONTENDERS
@VOCABULARIES
@pytest.mark.parametrize(
    ("corpus", "asked"),
    [("lines", {"wordllama": 30}), ("english", {"wordllama": 30}), ("code", {}), ("one_word", {})],
    indirect=["corpus"],
    ids=["lines", "english", "code", "one_word"],
)
def test_encode_batch(
    measure: Measure, vocabulary: Vocabulary, corpus: Corpus, asked: dict[str, float], name: str
) -> None:
    corpus = measure.sized(corpus)
    ours, rival, texts = vocabulary.ours, vocabulary.rival, corpus.texts
    # The rival's fastest call, which leaves out the tokens' places; reading its ids is not timed either.
    calls = {
        "fastemb": lambda: ours.encode_batch(texts, special="all"),
        RIVAL: lambda: rival.encode_batch_fast(texts, add_special_tokens=False),
    }
    tokens = ours.encode_batch(texts, special="all").ids.size
    measure(
        "Tokenizer.encode_batch",
        f"{vocabulary.name}, {corpus.name}",
        calls,
        name,
        asked=asked.get(vocabulary.key),
        agree=same_rows,
        rounds=5,
        counts={"documents": len(texts), "bytes": corpus.size, "tokens": tokens},
        corpus=corpus.origin,
    )


@CONTENDERS
@VOCABULARIES
def test_encode_one(measure: Measure, vocabulary: Vocabulary, lines: Corpus, name: str) -> None:
    text = lines.hundred_bytes()
    ours, rival = vocabulary.ours, vocabulary.rival
    calls = {
        "fastemb": lambda: ours.encode(text, special="all"),
        RIVAL: lambda: rival.encode(text, add_special_tokens=False),
    }
    measure(
        "Tokenizer.encode",
        f"{vocabulary.name}, 1 text of 100 bytes",
        calls,
        name,
        agree=same_ids,
        counts={"documents": 1, "bytes": 100, "tokens": ours.encode(text, special="all").size},
        corpus=lines.origin,
    )


@CONTENDERS
@VOCABULARIES
def test_load(measure: Measure, vocabulary: Vocabulary, name: str) -> None:
    def same_size(a: Any, b: Any) -> None:
        """Two tokenizers hold as many tokens: ours says so by a property, the rival by a method."""
        sizes = [x.get_vocab_size() if callable(getattr(x, "get_vocab_size", None)) else x.vocab_size for x in (a, b)]
        assert sizes[0] == sizes[1]

    calls = {"fastemb": vocabulary.load_ours, RIVAL: vocabulary.load_rival}
    measure("Tokenizer.load", vocabulary.name, calls, name, agree=same_size, rounds=5)
