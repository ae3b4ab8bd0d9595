"""SentencePiece's models, a BPE and a Unigram, against sentencepiece: a first pass, and one more."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastemb

from .corpora import Corpus, code_documents, english_documents, wordnet_glosses
from .measure import Measure

RIVAL = "sentencepiece"
SMALL_TEXT = "Some words, and an end."
CORPORA = ("english", "more_code", "ja")
CASES = [(kind, corpus) for kind in ("bpe", "unigram") for corpus in CORPORA]


@functools.cache
def trained(kind: str, timed: bool) -> bytes:
    """Return a model of 16,000 pieces, normalized by nmt_nfkc as sentencepiece does by default.

    Where results are only compared it has 2,000, of fewer lines: the larger takes longer to train than all else here.
    """
    sentencepiece = pytest.importorskip(RIVAL, reason="sentencepiece is the rival, and trains the model")
    texts = english_documents().texts
    texts = texts + wordnet_glosses().texts[:30_000] + code_documents(96).texts if timed else texts[:24]
    lines = (line for text in texts for line in text.split("\n") if line.strip())
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=out,
        model_type=kind,
        num_threads=1,
        minloglevel=2,
        vocab_size=16_000 if timed else 2_000,
    )
    return out.getvalue()


@pytest.mark.parametrize("name", [RIVAL, "fastemb"])
@pytest.mark.parametrize("which", ["first pass", "second pass"])
@pytest.mark.parametrize(("kind", "corpus"), CASES, indirect=["corpus"], ids=[f"{kind}-{name}" for kind, name in CASES])
def test_encode(measure: Measure, tmp_path: Path, kind: str, corpus: Corpus, which: str, name: str) -> None:
    """On a first pass ours is just loaded, so that it remembers nothing; sentencepiece never remembers anything."""
    sentencepiece = pytest.importorskip(RIVAL, reason="sentencepiece is the rival")
    (tmp_path / "x.model").write_bytes(trained(kind, measure.timed))
    corpus = measure.sized(corpus)
    texts = corpus.texts
    rival = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "x.model"))

    def started() -> fastemb.Tokenizer:
        tokenizer = fastemb.Tokenizer.load(tmp_path / "x.model")
        tokenizer.encode(SMALL_TEXT)
        if which == "second pass":
            tokenizer.encode_batch(texts)
        return tokenizer

    def same(a: Any, b: Any) -> None:
        rows = [[row.tolist() if isinstance(row, np.ndarray) else row for row in found] for found in (a, b)]
        assert rows[0] == rows[1]

    measure(
        f"Tokenizer.encode_batch, {which}",
        f"SentencePiece {kind}, {corpus.name}",
        {
            "fastemb": lambda engine: engine.encode_batch(texts),
            RIVAL: lambda engine: [engine.encode(text) for text in texts],
        },
        name,
        asked=8,
        fresh={"fastemb": started, RIVAL: lambda: rival},
        agree=same,
        rounds=3,
        counts={"documents": len(texts), "bytes": corpus.size},
        corpus=corpus.origin,
    )
