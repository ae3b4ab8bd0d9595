"""Texts → words and their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import glove, sampling
from .corpus import Corpus
from .options import Training


def train(texts: Any, asked: Training) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return the words that come often enough, the most frequent first, and their vectors.

    Raises
    ------
    TypeError, ValueError, OSError
        As `fastemb.train_vectors`.
    """
    corpus = Corpus(texts, asked.split, asked.min_count, asked.progress)
    try:
        table = (glove if asked.kind == "glove" else sampling).train(corpus, asked)
    finally:
        corpus.close()
    finite = np.isfinite(table).all(axis=1)
    if not finite.all():
        word = corpus.words[int(np.argmin(finite))]
        raise ValueError(
            f"the vectors are not finite, that of {word!r} as the first: learning_rate = {asked.learning_rate} is too "
            "high for these texts"
        )
    return corpus.words, table
