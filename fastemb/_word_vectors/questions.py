"""How good word vectors are: nearest words, analogies, and how well cosines agree with people."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._checks import as_flag, as_integer
from .._words import shown, type_name
from ..pooling import normalize
from ..search import topk
from ..static import StaticModel

_AT_ONCE = 1 << 10  # analogies that are looked for together
_UNNAMED = "questions"  # the section of those that stand before any heading


class Answer(NamedTuple):
    """What was found for an analogy: ``words`` are a, b, c, d of "a is to b as c is to d"."""

    section: str
    words: tuple[str, str, str, str]
    found: str | None  # None: one of the words is unknown
    score: float

    @property
    def is_right(self) -> bool:
        """Whether the word that is expected was found."""
        return self.found is not None and self.found == self.words[3]


class Correlation(NamedTuple):
    """Spearman's rank correlation of cosines with scores of pairs, of which some hold a word that is unknown."""

    spearman: float
    pairs: int
    unknown: int


class Evaluation(NamedTuple):
    """What `evaluate` found; ``print`` shows it.

    Attributes
    ----------
    neighbours : dict
        Of each word that was asked for its nearest, as `StaticModel.most_similar` gives them; None: it is unknown.
    analogies : list of Answer
        With ``section``, ``words``, ``found`` (None where a word is unknown), ``score`` and ``is_right``.
    correlation : Correlation or None
        With ``spearman`` (NaN where it is not defined), ``pairs`` and how many of them are ``unknown``.
    """

    neighbours: dict[str, list[tuple[str, float]] | None]
    analogies: list[Answer]
    correlation: Correlation | None

    @property
    def accuracy(self) -> float:
        """The share of analogies that are right, of those whose words are all known; NaN where there are none."""
        known = [one for one in self.analogies if one.found is not None]
        return sum(one.is_right for one in known) / len(known) if known else float("nan")

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(found: Evaluation) -> Iterator[str]:
    """Yield what is printed, as textbooks write it."""
    width = max(map(len, found.neighbours), default=0)
    for word, near in found.neighbours.items():
        said = "(unknown)" if near is None else ", ".join(f"{other} {score:.2f}" for other, score in near)
        yield f"{word:{width}}  {said}"
    sections: dict[str, list[Answer]] = {}
    for answer in found.analogies:
        sections.setdefault(answer.section, []).append(answer)
    for answer in sections.get("", []):
        a, b, c, d = answer.words
        said = "(a word is unknown)" if answer.found is None else f"{answer.found} {answer.score:.2f}"
        yield f"{b} - {a} + {c} = {said}" + ("" if answer.is_right or answer.found is None else f", not {d}")
    whole = [(name, answers) for name, answers in sections.items() if name]
    for name, answers in [*whole, ("all analogies", found.analogies)] if found.analogies else []:
        known = [one for one in answers if one.found is not None]
        right = sum(one.is_right for one in known)
        share = f"{100 * right / len(known):.1f} %" if known else "none known"
        yield f"{name}: {share} ({right} of {len(known)}; {len(answers) - len(known)} with unknown words)"
    if found.correlation is not None:
        rho, pairs, unknown = found.correlation
        yield f"Spearman's rank correlation: {rho:.3f} (of {pairs - unknown} pairs; {unknown} with unknown words)"


def evaluate(model: Any, words: Any, analogies: Any, pairs: Any, k: Any, lowercase: Any) -> Evaluation:
    """Check what is asked, and answer it: `fastemb.evaluate`."""
    if not isinstance(model, StaticModel):
        raise TypeError(f"model must be a fastemb.StaticModel, got {type_name(model)}")
    count, lower = as_integer(k, "k"), as_flag(lowercase, "lowercase")
    if count < 1:
        raise ValueError(f"k must be at least 1, got {shown(k)}")
    asked = [_as_word(word, lower) for word in ([words] if isinstance(words, str) else _items(words, "words"))]
    questions = list(_questions(analogies, lower))
    scored = list(_scored(pairs, lower))
    near = {word: model.most_similar(word, count) if len(model._ids(word)) else None for word in asked}
    answers = _answer(model, questions)
    return Evaluation(near, answers, None if pairs is None else _correlate(model, scored))


# What is asked ---------------------------------------------------------------------------------------------------


def _items(given: Any, name: str) -> Iterable[Any]:
    if given is None:
        return ()
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise TypeError(f"{name} must be a list or a path (a pathlib.Path), got {type_name(given)}")
    return given


def _as_word(word: Any, lower: bool) -> str:
    if not isinstance(word, str):
        raise TypeError(f"a word must be a str, got {type_name(word)}")
    return word.lower() if lower else word


def _questions(analogies: Any, lower: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the section and the four words of each analogy."""
    if not isinstance(analogies, os.PathLike):
        for number, words in enumerate(_items(analogies, "analogies")):
            if isinstance(words, str) or not isinstance(words, Sequence) or len(words) != 4:
                raise ValueError(f"an analogy must be four words, got {shown(words)} at position {number}")
            yield "", tuple(_as_word(word, lower) for word in words)
        return
    section = _UNNAMED
    for number, line in _file_lines(Path(analogies)):
        if line.startswith(":"):
            section = line[1:].strip() or _UNNAMED
            continue
        words = line.split()
        if len(words) != 4:
            raise ValueError(f"{analogies}: line {number}: expected four words, found {len(words)}")
        yield section, tuple(_as_word(word, lower) for word in words)


def _scored(pairs: Any, lower: bool) -> Iterator[tuple[str, str, float]]:
    """Yield two words and their score, of each pair."""
    if not isinstance(pairs, os.PathLike):
        for number, pair in enumerate(_items(pairs, "pairs")):
            if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 3:
                raise ValueError(f"a pair must be two words and a score, got {shown(pair)} at position {number}")
            yield _as_word(pair[0], lower), _as_word(pair[1], lower), _as_score(pair[2], f"at position {number}")
        return
    for count, (number, line) in enumerate(_file_lines(Path(pairs))):
        parts = [part.strip() for part in (line.split("\t") if "\t" in line else line.replace(",", " ").split())]
        if len(parts) < 3:
            raise ValueError(f"{pairs}: line {number}: expected two words and a score, found {len(parts)} parts")
        try:
            score = _as_score(parts[2], f"in line {number} of {pairs}")
        except ValueError:
            if count:
                raise
            continue  # the first line may be a heading
        yield _as_word(parts[0], lower), _as_word(parts[1], lower), score


def _as_score(value: Any, where: str) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = float("nan")
    if not np.isfinite(score):
        raise ValueError(f"the score of a pair must be a finite number, got {shown(value)} {where}")
    return score


def _file_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are neither empty nor comments, with their numbers."""
    with path.open(encoding="utf-8") as stream:
        try:
            for number, line in enumerate(stream, 1):
                if line.strip() and not line.startswith("#"):
                    yield number, line.strip()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: it is no UTF-8: {error.reason}") from None


# Answers ---------------------------------------------------------------------------------------------------------


def _answer(model: StaticModel, questions: Sequence[tuple[str, tuple[str, ...]]]) -> list[Answer]:
    """Find the word nearest to b - a + c for each analogy, but for a, b and c: 3CosAdd."""
    names, rows = model._row_names(), model._rows()
    unnamed = {id for id, name in enumerate(names) if name is None}
    ids = {word: [*map(int, model._ids(word))] for _, words in questions for word in words}
    known = [number for number, (_, words) in enumerate(questions) if all(ids[word] for word in words)]
    best: dict[int, tuple[str, float]] = {}
    for first in range(0, len(known), _AT_ONCE):
        some = known[first : first + _AT_ONCE]
        a, b, c = (normalize(model.encode([questions[n][1][side] for n in some])) for side in range(3))
        left_out = [unnamed.union(*(ids[word] for word in questions[n][1][:3])) for n in some]
        scores, found = topk(b - a + c, rows, min(1 + max(map(len, left_out)), len(names)))
        for n, out, cosines, near in zip(some, left_out, scores.tolist(), found.tolist(), strict=True):
            place = next((i for i, id in enumerate(near) if id not in out), None)
            if place is not None:
                # Of a word that is one token its own way of writing counts: a tokenizer may have a mark before it.
                expected = questions[n][1][3]
                said = expected if ids[expected] == [near[place]] else str(names[near[place]])
                best[n] = said, cosines[place]
    answers = []
    for number, (section, words) in enumerate(questions):
        word, score = best.get(number, (None, float("nan")))
        answers.append(Answer(section, (words[0], words[1], words[2], words[3]), word, score))
    return answers


def _correlate(model: StaticModel, pairs: Sequence[tuple[str, str, float]]) -> Correlation:
    """Return how the cosines of pairs agree with their scores, in their order."""
    known = [pair for pair in pairs if len(model._ids(pair[0])) and len(model._ids(pair[1]))]
    if not known:
        return Correlation(float("nan"), len(pairs), len(pairs))
    first, second, scores = zip(*known, strict=True)
    left, right = (normalize(model.encode([*words])) for words in (first, second))
    cosines = np.einsum("nd,nd->n", left, right, dtype=np.float64)
    return Correlation(spearman(cosines, np.array(scores)), len(pairs), len(pairs) - len(known))


def spearman(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Return the correlation of ranks; equal numbers have the mean of theirs. NaN where all numbers are equal."""
    left, right = (rank - rank.mean() for rank in map(_ranks, (x, y)))
    size = np.sqrt((left @ left) * (right @ right))
    return float(left @ right / size) if size else float("nan")


def _ranks(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks
