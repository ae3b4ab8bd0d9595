"""What normalizing costs: a tokenizer with NFC on texts that are NFC already, against the same without it."""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

import pytest

import fastemb

from .bench_tokenizer import same_rows
from .corpora import Corpus
from .measure import Measure
from .rivals import gpt2_vocabulary

RIVAL, WITHOUT = "tokenizers", "fastemb without NFC"
CONTENDERS = pytest.mark.parametrize("name", [RIVAL, WITHOUT, "fastemb"])
CORPORA = ["english", "code", "ja", "zh_CN", "ru", "de", "short"]


@functools.cache
def rival() -> Any:
    """Return GPT-2's vocabulary behind NFC, in the `tokenizers` package."""
    from tokenizers import decoders, normalizers

    tokenizer = gpt2_vocabulary().load_rival()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> fastemb.Tokenizer:
    """Return the same, of fastemb."""
    file = tmp_path_factory.mktemp("nfc") / "tokenizer.json"
    rival().save(str(file))
    return fastemb.Tokenizer.load(file)


@CONTENDERS
@pytest.mark.parametrize("corpus", CORPORA, indirect=True, ids=CORPORA)
def test_texts_that_are_nfc(measure: Measure, ours: fastemb.Tokenizer, corpus: Corpus, name: str) -> None:
    corpus = measure.sized(corpus)
    texts = [unicodedata.normalize("NFC", text) for text in corpus.texts]
    without = gpt2_vocabulary().ours
    calls = {
        "fastemb": lambda: ours.encode_batch(texts),
        WITHOUT: lambda: without.encode_batch(texts),
        RIVAL: lambda: rival().encode_batch_fast(texts, add_special_tokens=False),
    }
    measure(
        "Tokenizer.encode_batch, NFC",
        corpus.name,
        calls,
        name,
        asked={WITHOUT: 0.97},
        agree=same_rows,
        rounds=5,
        counts={"documents": len(texts), "bytes": corpus.size},
        corpus=corpus.origin,
    )
