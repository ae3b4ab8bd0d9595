"""SentencePiece's Unigram model: of all ways to cut a text into pieces that whose scores add up to most.

The best cut is looked for as sentencepiece does it: in 32-bit floats that are added from the start of the text on, a
later way only if it is better. That is the law of `.model` files; in the C core `unigram.c` does the same.
The other functions know all ways at once, as a lattice: the n best, and cuts by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import inf
from time import monotonic
from typing import NamedTuple

import numpy as np

from .sentencepiece_bpe import Ids, Pieces
from .sentencepiece_file import PieceType, SentencePieceModel
from .sentencepiece_normal import in_chars

RESET = np.float32(100_000)  # a sum beyond it would have lost the digits that tell pieces apart
UNK_PENALTY = 10.0  # an unknown character scores so much less than the worst piece
_f32 = np.float32

MOST_HYPOTHESES, KEPT_HYPOTHESES = 10_000, 512  # of which the agenda is cut back to the best
_STEPS = 256  # between two looks at the clock, where the search may take so long alone


class Node(NamedTuple):
    """A piece that may stand in a text, from one character up to another."""

    start: int
    end: int
    id: int
    score: np.float32
    number: int


class Last(NamedTuple):
    """The last piece of the best way to cut a text up to some place, and the score of that way."""

    score: np.float32
    start: int
    id: int


class UnigramModel:
    """Pieces and their scores."""

    def __init__(self, model: SentencePieceModel, ids: Ids) -> None:
        self._ids = ids
        self._unk_score = unknown_score(model)
        self._defined = set(model.ids_of(PieceType.USER_DEFINED))
        unused = set(model.ids_of(PieceType.UNUSED))
        self._scores = {piece: (id, model.scores[id]) for piece, id in ids.open.items() if id not in unused}

    @cached_property
    def _beginnings(self) -> set[bytes]:
        """All beginnings of pieces, made when the first text comes: where C encodes there may never be one."""
        return {piece[:size] for piece in self._scores for size in range(1, len(piece) + 1)}

    def _found(self, text: bytes, start: int) -> Iterator[tuple[int, int, np.float32]]:
        """Yield where pieces that begin at `start` end, the shortest first, with their ids and scores."""
        for end in range(start + 1, len(text) + 1):
            piece = text[start:end]
            if piece not in self._beginnings:
                return
            one = self._scores.get(piece)
            if one is not None:
                id, score = one
                yield end, id, bonus(end - start) if id in self._defined else score

    def encode(self, text: bytes) -> Pieces:
        """Return the best pieces of a normalized text."""
        best: list[Last | None] = [None] * (len(text) + 1)
        best[0] = Last(_f32(0), -1, -1)
        start = frontier = 0
        for char in in_chars(text):
            before, after = best[start], start + len(char)
            assert before is not None
            score = before.score
            if abs(score) > RESET:  # the law of a long text: all that is open is moved back to near zero
                for place in range(start, frontier + 1):
                    last = best[place]
                    if last is not None:
                        best[place] = last._replace(score=_f32(last.score - score))
                score = _f32(0)
            found = [(end, id, one) for end, id, one in self._found(text, start)]
            if all(end != after for end, _, _ in found):
                found.append((after, self._ids.unk, self._unk_score))
            for end, id, one in found:
                total, old = _f32(one + score), best[end]
                if old is None or total > old.score:
                    best[end] = Last(total, start, id)
                frontier = max(frontier, end)
            start = after
        pieces, end = [], len(text)
        while end > 0:
            last = best[end]
            assert last is not None
            pieces.append((text[last.start : end], last.id))
            end = last.start
        return pieces[::-1]

    def lattice(self, text: bytes) -> Lattice:
        """Return all ways to cut a normalized text."""
        chars = in_chars(text)
        places, at = {0: 0}, 0  # of bytes, in characters
        for number, char in enumerate(chars):
            places[at := at + len(char)] = number + 1
        nodes: list[Node] = []
        for start, place in places.items():
            if place == len(chars):
                break
            is_alone = False
            for end, id, score in self._found(text, start):
                if id in self._defined:  # here its length is counted in characters
                    score = bonus(places[end] - place)
                nodes.append(Node(place, places[end], id, score, len(nodes) + 2))
                is_alone = is_alone or places[end] == place + 1
            if not is_alone:
                nodes.append(Node(place, place + 1, self._ids.unk, self._unk_score, len(nodes) + 2))
        return Lattice(chars, nodes)


def bonus(length: int) -> np.float32:
    """Return the score of a user-defined symbol, whatever the model has: so that the longest is taken."""
    return _f32(0.1 * (length - 1))


def unknown_score(model: SentencePieceModel) -> np.float32:
    """Return the score of an unknown character."""
    normal = model.scores[model.types == PieceType.NORMAL]
    least = normal.min() if normal.size else np.finfo(np.float32).max
    return _f32(_f32(least) - _f32(UNK_PENALTY))


class Hypothesis(NamedTuple):
    """A way from some node to the end of the text."""

    node: Node
    next: Hypothesis | None
    score: np.float32  # of all behind the node, and of the node


class Lattice:
    """All nodes of a text; number 0 is its beginning and number 1 its end."""

    def __init__(self, chars: Sequence[bytes], nodes: list[Node]) -> None:
        size = len(chars)
        self._chars = chars
        self.begin, self.end = Node(0, 0, -1, _f32(0), 0), Node(size, size, -1, _f32(0), 1)
        self._ending: list[list[Node]] = [[] for _ in range(size + 1)]
        self._starting: list[list[Node]] = [[] for _ in range(size + 1)]
        self._ending[0].append(self.begin)
        self._starting[size].append(self.end)
        for node in nodes:
            self._starting[node.start].append(node)
            self._ending[node.end].append(node)
        self._count = len(nodes) + 2

    def nbest(self, count: int, seconds: float = inf) -> list[tuple[Pieces, float]]:
        """Return the best ways, the best first, with their scores: fewer where there are not so many.

        None at all where the search took longer than it may.
        """
        end, steps = monotonic() + seconds, 0
        ahead = self._viterbi()
        agenda, found = Agenda(), list[tuple[Pieces, float]]()
        agenda.push(ahead[self.end.number], Hypothesis(self.end, None, _f32(0)))
        while agenda.items:
            steps += 1
            if not steps % _STEPS and monotonic() >= end:
                return []
            score, top = agenda.pop()
            if top.node.number == self.begin.number:
                found.append((self._pieces(top.next), float(score)))
                if len(found) == count:
                    break
                continue
            for node in self._ending[top.node.start]:
                one = Hypothesis(node, top, _f32(node.score + top.score))
                agenda.push(_f32(ahead[node.number] + top.score), one)
            if len(agenda.items) >= MOST_HYPOTHESES:
                agenda = agenda.cut(min(KEPT_HYPOTHESES, 10 * count))
        return found

    def sample(self, alpha: float, generator: np.random.Generator) -> Pieces:
        """Return a way by chance: each as often as exp(`alpha` times its score) is of the sum of all."""
        weights, node, pieces = self._forward(alpha), self.end, list[tuple[bytes, int]]()
        while True:
            nodes = self._ending[node.start]
            logs = np.array([weights[one.number] + alpha * float(one.score) for one in nodes])
            chances = np.exp(logs - logs.max())
            node = nodes[_chosen(chances, generator)]
            if node.number == self.begin.number:
                return pieces[::-1]
            pieces.append(self._piece(node))

    def _viterbi(self) -> list[np.float32]:
        """Return the score of the best way to each node, the node's own included."""
        ahead = [_f32(0)] * self._count
        for starting, ending in zip(self._starting, self._ending, strict=True):
            for node in starting:
                ahead[node.number] = max(_f32(ahead[one.number] + node.score) for one in ending)
        return ahead

    def _forward(self, alpha: float) -> list[float]:
        """Return the logarithm of the sum of exp(`alpha` times the score) of all ways up to each node, without it."""
        sums = [0.0] * self._count
        for starting, ending in zip(self._starting, self._ending, strict=True):
            if starting:
                total = -math.inf
                for one in ending:
                    total = float(np.logaddexp(total, alpha * float(one.score) + sums[one.number]))
                for node in starting:
                    sums[node.number] = total
        return sums

    def _pieces(self, one: Hypothesis | None) -> Pieces:
        pieces = []
        while one is not None and one.next is not None:
            pieces.append(self._piece(one.node))
            one = one.next
        return pieces

    def _piece(self, node: Node) -> tuple[bytes, int]:
        return b"".join(self._chars[node.start : node.end]), node.id


def _chosen(chances: np.ndarray, generator: np.random.Generator) -> int:
    """Return a number by chance, each as often as its share of the sum says."""
    ends = np.cumsum(chances)
    return min(int(np.searchsorted(ends, generator.random() * ends[-1], side="right")), len(chances) - 1)


class Agenda:
    """A binary heap with the highest score first.

    Which of two equal scores comes first depends on how the heap is kept, and decides which ways are among the best:
    so it is kept as in C++'s standard library of GNU, by which sentencepiece is built.
    """

    def __init__(self) -> None:
        self.items: list[tuple[np.float32, Hypothesis]] = []

    def push(self, score: np.float32, one: Hypothesis) -> None:
        """Put a hypothesis in."""
        self.items.append((score, one))
        self._rise(len(self.items) - 1, 0, (score, one))

    def pop(self) -> tuple[np.float32, Hypothesis]:
        """Take the best one out."""
        items = self.items
        top, last = items[0], items.pop()
        if not items:
            return top
        # The hole goes down to the bottom, and from there what was last goes up.
        hole, child, size = 0, 0, len(items)
        while child < (size - 1) // 2:
            child = 2 * (child + 1)
            if items[child][0] < items[child - 1][0]:
                child -= 1
            items[hole], hole = items[child], child
        if size % 2 == 0 and child == (size - 2) // 2:
            child = 2 * child + 1
            items[hole], hole = items[child], child
        self._rise(hole, 0, last)
        return top

    def cut(self, count: int) -> Agenda:
        """Return an agenda of the best ones alone."""
        kept = Agenda()
        for _ in range(count):
            kept.push(*self.pop())
        return kept

    def _rise(self, hole: int, top: int, item: tuple[np.float32, Hypothesis]) -> None:
        items = self.items
        while hole > top and items[(hole - 1) // 2][0] < item[0]:
            items[hole] = items[(hole - 1) // 2]
            hole = (hole - 1) // 2
        items[hole] = item
