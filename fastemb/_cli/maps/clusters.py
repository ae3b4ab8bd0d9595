"""Clusters as colours of a map: the same as those of ``fastemb cluster``, named by the words that set each apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log
from typing import Any

import fastemb

from ..comparing.documents import known
from .colors import NONE, Colors, of_kinds

SEED = 0  # as `fastemb cluster` has it where none is given
WORDS = 3  # that name a cluster

_WORD = re.compile(r"[^\W\d_]{3,}")  # letters; shorter ones are mostly articles and the like


def of_clusters(vectors: Any, k: int, texts: Sequence[str]) -> Colors:
    """Return a colour for each of k clusters, the largest first; rows of zeros are in none.

    Raises
    ------
    ValueError
        There are fewer rows than clusters.
    """
    import numpy as np

    from ..comparing.kmeans import kmeans

    unit = fastemb.normalize(np.array(vectors, np.float32))
    rows = known(unit)
    if rows.size < k:
        raise ValueError(f"--clusters {k:,}: there are only {rows.size:,} documents of which something is known")
    found = kmeans(unit if rows.size == len(unit) else unit[rows], k, SEED).labels.tolist()
    members: dict[int, list[int]] = {}
    for row, label in zip(rows.tolist(), found, strict=True):
        members.setdefault(label, []).append(row)
    labels = [NONE] * len(texts)
    by_size = sorted(members.values(), key=lambda cluster: (-len(cluster), cluster[0]))
    names = _names([[texts[row] for row in cluster] for cluster in by_size])
    for number, (cluster, name) in enumerate(zip(by_size, names, strict=True), 1):
        for row in cluster:
            labels[row] = f"{number}: {name}" if name else f"{number}"
    return of_kinds("cluster", labels)


def _names(clusters: list[list[str]]) -> list[str]:
    """Return for each cluster the words that tell it from all: by their part of its relative entropy.

    A word that is in the share p of the texts of a cluster, and in the share q of all, counts p log(p / q): words that
    stand everywhere count nothing, nor do those of a single text.
    """
    inside = [_texts_with(cluster) for cluster in clusters]
    everywhere: Counter[str] = Counter()
    for counts in inside:
        everywhere.update(counts)
    total = sum(map(len, clusters))
    names = []
    for cluster, counts in zip(clusters, inside, strict=True):
        scores = {
            word: count / len(cluster) * log(count * total / len(cluster) / everywhere[word])
            for word, count in counts.items()
            if count > 1
        }
        best = sorted((word for word in scores if scores[word] > 0), key=lambda word: (-scores[word], word))
        names.append(", ".join(best[:WORDS]))
    return names


def _texts_with(texts: Iterable[str]) -> Counter[str]:
    """Return how many texts have each word."""
    return Counter(word for text in texts for word in set(_WORD.findall(text.lower())))
