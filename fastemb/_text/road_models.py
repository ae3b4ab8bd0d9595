"""Models on the general road: what tokens a piece becomes, and how many bytes each one takes; exact, in Python."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import groupby
from typing import NamedTuple

from .bpe_model import BYTE_TOKENS
from .components import Bpe, Model, Unigram, WordLevel, WordPiece


class Token(NamedTuple):
    """An id, how many bytes of the piece it takes behind those of the token before, and how many of those before."""

    id: int
    size: int
    back: int = 0


Tokenize = Callable[[str], list[Token]]


def tokenize(model: Model) -> Tokenize:
    """Return the function of a model, for pieces that are not empty."""
    if isinstance(model, Bpe):
        return _Bpe(model)
    if isinstance(model, WordPiece):
        return _WordPiece(model)
    if isinstance(model, Unigram):
        return _Unigram(model)
    return _word_level(model)


def _word_level(model: WordLevel) -> Tokenize:
    ids, unk = model.vocab, model.vocab[model.unk_token]
    return lambda piece: [Token(ids.get(piece, unk), len(piece.encode()))]


class _WordPiece:
    """The longest token that begins the rest of the word, again and again; else the whole word is unknown."""

    def __init__(self, model: WordPiece) -> None:
        self._ids, self._unk = model.vocab, model.vocab[model.unk_token]
        self._prefix, self._most = model.continuing_subword_prefix, model.max_input_chars_per_word
        self._longest = max(map(len, model.vocab))  # so that long words are read in linear time

    def __call__(self, word: str) -> list[Token]:
        unknown = [Token(self._unk, len(word.encode()))]
        if len(word) > self._most:
            return unknown
        found, start = list[Token](), 0
        while start < len(word):
            prefix = self._prefix if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                id = self._ids.get(prefix + word[start:end])
                if id is not None:
                    found.append(Token(id, len(word[start:end].encode())))
                    start = end
                    break
            else:
                return unknown
        return found


class _Unigram:
    """The tokens of the highest sum of scores; of equal sums the one that is found first, from the left, shorter first.

    A run of unknown characters is one token, and if it is the name of some token, that one.
    """

    def __init__(self, model: Unigram) -> None:
        self._ids, self._scores, self._unk, self._unk_score = model.vocab, model.scores, model.unk_id, model.unk_score
        self._longest = max(map(len, model.vocab))
        self._byte_ids = [model.vocab.get(name) for name in BYTE_TOKENS] if model.byte_fallback else None

    def __call__(self, piece: str) -> list[Token]:
        found: list[Token] = []
        for is_unknown, run in groupby(self._way(piece), lambda part: part[0] == self._unk):
            parts = list(run)
            if is_unknown:
                found += self._unknown("".join([text for _, text in parts]))
            else:
                found += [Token(id, len(text.encode())) for id, text in parts]
        return found

    def _way(self, piece: str) -> list[tuple[int, str]]:
        """Return the ids of the best way through a piece, and the text of each."""
        best: list[tuple[float, int, int]] = [(0.0, -1, -1)] * (len(piece) + 1)  # sum, start of the last token, its id
        for start in range(len(piece)):
            before, limit = best[start][0], min(len(piece), start + self._longest)
            found = [(end, self._ids.get(piece[start:end])) for end in range(start + 1, limit + 1)]
            ways = [(end, self._scores[id], id) for end, id in found if id is not None]
            if found[0][1] is None:
                ways.append((start + 1, self._unk_score, self._unk))
            for end, score, id in ways:
                if best[end][1] < 0 or before + score > best[end][0]:
                    best[end] = before + score, start, id
        way, end = list[tuple[int, str]](), len(piece)
        while end:
            _, start, id = best[end]
            way.append((id, piece[start:end]))
            end = start
        return way[::-1]

    def _unknown(self, text: str) -> list[Token]:
        size = len(text.encode())
        if text in self._ids:
            return [Token(self._ids[text], size)]
        ids = [self._byte_ids[byte] for byte in text.encode()] if self._byte_ids is not None else [None]
        if None in ids:
            return [Token(self._unk, size)]
        tokens = [id for id in ids if id is not None]
        return [Token(tokens[0], size), *(Token(id, 0, size) for id in tokens[1:])]  # each stands for the whole run


class _Bpe:
    """Characters become symbols, of which two in a row merge, the pair of the lowest rank first."""

    def __init__(self, model: Bpe) -> None:
        self._ids, self._whole_first = model.vocab, model.ignore_merges
        self._prefix = model.continuing_subword_prefix or ""
        self._suffix = model.end_of_word_suffix or ""
        self._unk = None if model.unk_token is None else model.vocab[model.unk_token]
        self._fuse = model.fuse_unk
        self._byte_ids = [model.vocab.get(name) for name in BYTE_TOKENS] if model.byte_fallback else None
        ids = list(model.vocab.values())
        merges = zip(*(part.tolist() for part in model.merges), strict=True)
        # Of equal pairs the last counts.
        self._merges = {(ids[left], ids[right]): (rank, ids[made]) for rank, (left, right, made) in enumerate(merges)}

    def __call__(self, piece: str) -> list[Token]:
        if self._whole_first and piece in self._ids:
            return [Token(self._ids[piece], len(piece.encode()))]
        return self._merged(self._symbols(piece))

    def _symbols(self, piece: str) -> list[Token]:
        found: list[Token] = []
        unknown: Token | None = None  # not yet put behind the others: the next one may be part of it
        last = len(piece) - 1
        for at, char in enumerate(piece):
            name = (self._prefix if at else "") + char + (self._suffix if at == last else "")
            size = len(char.encode())
            id = self._ids.get(name)
            if id is not None:
                if unknown:
                    found.append(unknown)
                    unknown = None
                found.append(Token(id, size))
                continue
            if self._byte_ids is not None:
                ids = [self._byte_ids[byte] for byte in name.encode()]
                if None not in ids:
                    # An unknown token before these is still held back: it comes behind them.
                    found += [Token(id, 1) for id in ids if id is not None]
                    continue
            if self._unk is None:
                continue
            if unknown and self._fuse:
                unknown = Token(self._unk, unknown.size + size)
            else:
                if unknown:
                    found.append(unknown)
                unknown = Token(self._unk, size)
        return [*found, unknown] if unknown else found

    def _merged(self, symbols: list[Token]) -> list[Token]:
        """Return symbols merged until no pair is left, in O(n log n)."""
        ids, sizes = [token.id for token in symbols], [token.size for token in symbols]
        count = len(symbols)
        after, before = list(range(1, count + 1)), list(range(-1, count - 1))
        queue: list[tuple[int, int, int]] = []
        for at in range(count - 1):
            merge = self._merges.get((ids[at], ids[at + 1]))
            if merge:
                queue.append((merge[0], at, merge[1]))
        heapify(queue)
        while queue:
            _, at, made = heappop(queue)
            right = after[at]
            if sizes[at] == 0 or right >= count:
                continue
            merge = self._merges.get((ids[at], ids[right]))
            if not merge or merge[1] != made:  # an entry of a pair that is no more
                continue
            ids[at], sizes[at] = made, sizes[at] + sizes[right]
            sizes[right] = 0
            after[at] = after[right]
            if after[at] < count:
                before[after[at]] = at
                self._push(queue, ids, at, after[at])
            if before[at] >= 0:
                self._push(queue, ids, before[at], at)
        return [Token(id, size) for id, size in zip(ids, sizes, strict=True) if size]

    def _push(self, queue: list[tuple[int, int, int]], ids: list[int], left: int, right: int) -> None:
        merge = self._merges.get((ids[left], ids[right]))
        if merge:
            heappush(queue, (merge[0], left, merge[1]))
