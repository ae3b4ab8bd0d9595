"""`Encoding`: the ids of a text, and what is said of each."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from itertools import repeat
from typing import Any

from .source import Ranges, Source
from .windows import cuts

Side = str
# Of each id, and what it is of padding; in the order in which they are pickled.
COLUMNS = ("ids", "type_ids", "tokens", "words", "offsets", "special_tokens_mask", "attention_mask")


@dataclass
class Columns:
    """All that is said of the ids of a row, as lists of its own."""

    ids: list[int] = field(default_factory=list)
    type_ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    words: list[int | None] = field(default_factory=list)
    offsets: list[tuple[int, int]] = field(default_factory=list)
    special_tokens_mask: list[int] = field(default_factory=list)
    attention_mask: list[int] = field(default_factory=list)
    overflowing: list[Encoding] = field(default_factory=list)
    ranges: Ranges = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Columns:
        """Return some ids, without what is said of the whole."""
        return Columns(**{name: getattr(self, name)[start:stop] for name in COLUMNS})

    def copy(self) -> Columns:
        """Return lists of its own, with the same encodings behind it."""
        return Columns(**{one.name: getattr(self, one.name).copy() for one in fields(self)})


class Encoding:
    """The ids of a text, or of two, and what is said of each: made when it is asked for, as new lists.

    Examples
    --------
    >>> from fastemb.compat.tokenizers import Tokenizer
    >>> from fastemb.compat.tokenizers.models import WordLevel
    >>> from fastemb.compat.tokenizers.pre_tokenizers import Whitespace
    >>> tokenizer = Tokenizer(WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    >>> tokenizer.pre_tokenizer = Whitespace()
    >>> encoding = tokenizer.encode("a b", "c")
    >>> encoding.ids, encoding.tokens, encoding.offsets
    ([0, 1, 2], ['a', 'b', '?'], [(0, 1), (2, 3), (0, 1)])
    >>> encoding.sequence_ids, encoding.word_ids
    ([0, 0, 1], [0, 1, 0])
    """

    __slots__ = ("__weakref__", "_own", "_row", "_source")

    _source: Source
    _row: int
    _own: Columns | None

    def __init__(self) -> None:
        """Make one of nothing."""
        self._own = Columns()

    @classmethod
    def _of(cls, source: Source, row: int) -> Encoding:
        made = cls.__new__(cls)
        made._source, made._row, made._own = source, row, None
        return made

    @classmethod
    def _rows(cls, source: Source, count: int) -> list[Encoding]:
        """Return those of the first rows; a loop, as a call for each would take as long as all else."""
        found = list(map(cls.__new__, repeat(cls, count)))
        for row, made in enumerate(found):
            made._source = source
            made._row = row
            made._own = None
        return found

    @classmethod
    def _with(cls, own: Columns) -> Encoding:
        made = cls.__new__(cls)
        made._own = own
        return made

    def _columns(self) -> Columns:
        """Return all that is said of the ids, as lists of this object's own, which may be changed."""
        if self._own is None:
            self._own = Columns(
                ids=self.ids,
                type_ids=self.type_ids,
                tokens=self.tokens,
                words=self.word_ids,
                offsets=self.offsets,
                special_tokens_mask=self.special_tokens_mask,
                attention_mask=self.attention_mask,
                overflowing=self.overflowing,
                ranges=self._ranges,
            )
        return self._own

    # ---------------------------------------------------------------- of each id

    @property
    def ids(self) -> list[int]:
        """The ids."""
        return self._source.ids(self._row) if self._own is None else list(self._own.ids)

    @property
    def type_ids(self) -> list[int]:
        """The token type ids: of two texts mostly 0 and 1."""
        return self._source.type_ids(self._row) if self._own is None else list(self._own.type_ids)

    @property
    def tokens(self) -> list[str]:
        """The tokens."""
        return self._source.tokens(self._row) if self._own is None else list(self._own.tokens)

    @property
    def word_ids(self) -> list[int | None]:
        """The number of the word of each id, in its text; None where it is of none."""
        return self._source.word_ids(self._row) if self._own is None else list(self._own.words)

    @property
    def words(self) -> list[int | None]:
        """The same as `word_ids`; deprecated."""
        warnings.warn("Encoding.words is deprecated, use Encoding.word_ids", DeprecationWarning, stacklevel=2)
        return self.word_ids

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """From which character up to which each id stands in its text; (0, 0) where it is of none."""
        return self._source.offsets(self._row) if self._own is None else list(self._own.offsets)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for ids of the template and of padding, 0 for others."""
        return self._source.special_tokens_mask(self._row) if self._own is None else list(self._own.special_tokens_mask)

    @property
    def attention_mask(self) -> list[int]:
        """0 for padding, 1 for others."""
        return self._source.attention_mask(self._row) if self._own is None else list(self._own.attention_mask)

    @property
    def sequence_ids(self) -> list[int | None]:
        """0 in the first text, 1 in the second, None where an id is of neither."""
        found: list[int | None] = [None] * len(self)
        for sequence in range(self.n_sequences):
            start, stop = self._range(sequence)
            found[start:stop] = [sequence] * (stop - start)
        return found

    # ---------------------------------------------------------------- of the whole

    @property
    def overflowing(self) -> list[Encoding]:
        """What was cut off: the windows behind the first one."""
        if self._own is not None:
            return list(self._own.overflowing)
        source, rows = self._source.overflowing(self._row)
        return [Encoding._of(source, row) for row in rows]

    @property
    def n_sequences(self) -> int:
        """How many texts it is of."""
        return len(self._ranges) or 1

    @property
    def _ranges(self) -> Ranges:
        return self._source.ranges(self._row) if self._own is None else self._own.ranges

    def _range(self, sequence: int) -> tuple[int, int]:
        return self._ranges.get(sequence, (0, len(self)))

    def __len__(self) -> int:
        return self._source.size(self._row) if self._own is None else len(self._own.ids)

    def __repr__(self) -> str:
        return (
            f"Encoding(num_tokens={len(self)}, attributes=[ids, type_ids, tokens, offsets, attention_mask, "
            "special_tokens_mask, overflowing])"
        )

    # ---------------------------------------------------------------- between ids, words and characters

    def token_to_sequence(self, token_index: int) -> int | None:
        """Return of which text an id is; None where it is of none.

        Parameters
        ----------
        token_index : int

        Returns
        -------
        int or None
        """
        ranges = self._ranges
        if token_index > len(self):
            return None
        if not ranges:
            return 0
        return next((side for side, (start, stop) in ranges.items() if start <= token_index < stop), None)

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None:
        """Return where an id stands in its text; None where it is of none.

        Parameters
        ----------
        token_index : int

        Returns
        -------
        (int, int) or None
        """
        if self.token_to_sequence(token_index) is None or token_index >= len(self):
            return None
        return self.offsets[token_index]

    def token_to_word(self, token_index: int) -> int | None:
        """Return the number of the word of an id; None where it is of none.

        Parameters
        ----------
        token_index : int

        Returns
        -------
        int or None
        """
        if self.token_to_sequence(token_index) is None or token_index >= len(self):
            return None
        return self.word_ids[token_index]

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """Return from which id up to which a word of a text stands; None where it does not.

        Parameters
        ----------
        word_index : int
        sequence_index : int
            0 for the first text, 1 for the second.

        Returns
        -------
        (int, int) or None
        """
        start, stop = self._range(sequence_index)
        words = self.word_ids[start:stop]
        # As theirs: no further than to a higher word, which stands where padding is not.
        end = next((at for at, word in enumerate(words) if word is not None and word > word_index), len(words))
        places = [at for at, word in enumerate(words[:end]) if word == word_index]
        return (start + places[0], start + places[-1] + 1) if places else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """Return from which character up to which a word of a text stands; None where it has no id.

        Parameters
        ----------
        word_index : int
        sequence_index : int
            0 for the first text, 1 for the second.

        Returns
        -------
        (int, int) or None
        """
        places = self.word_to_tokens(word_index, sequence_index)
        return None if places is None else (self.offsets[places[0]][0], self.offsets[places[1] - 1][1])

    def char_to_token(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """Return the first id that has a character of a text; None where none has.

        Parameters
        ----------
        char_pos : int
        sequence_index : int
            0 for the first text, 1 for the second.

        Returns
        -------
        int or None
        """
        start, stop = self._range(sequence_index)
        places = enumerate(self.offsets[start:stop], start)
        return next((at for at, (first, end) in places if first <= char_pos < end), None)

    def char_to_word(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """Return the number of the word that has a character of a text; None where none has.

        Parameters
        ----------
        char_pos : int
        sequence_index : int
            0 for the first text, 1 for the second.

        Returns
        -------
        int or None
        """
        token = self.char_to_token(char_pos, sequence_index)
        return None if token is None else self.token_to_word(token)

    # ---------------------------------------------------------------- changing it

    def set_sequence_id(self, sequence_id: int) -> None:
        """Say that all ids are of this text.

        Parameters
        ----------
        sequence_id : int
        """
        own = self._columns()
        own.ranges = own.ranges | {sequence_id: (0, len(self))}

    def pad(
        self,
        length: int,
        direction: Side = "right",
        pad_id: int = 0,
        pad_type_id: int = 0,
        pad_token: str = "[PAD]",
    ) -> None:
        """Fill it up to so many ids, and what was cut off too; what is longer stays so.

        Parameters
        ----------
        length : int
        direction : {"right", "left"}
        pad_id : int
            The id to fill up with.
        pad_type_id : int
            Its token type id.
        pad_token : str
            Its token.
        """
        if direction not in ("left", "right"):
            raise ValueError(f"direction must be 'left' or 'right', got {direction!r}")
        own = self._columns()
        for one in own.overflowing:
            one.pad(length, direction, pad_id, pad_type_id, pad_token)
        more = length - len(own.ids)
        if more <= 0:
            return
        values = (pad_id, pad_type_id, pad_token, None, (0, 0), 1, 0)
        for name, value in zip(COLUMNS, values, strict=True):
            kept, pads = getattr(own, name), [value] * more
            setattr(own, name, kept + pads if direction == "right" else pads + kept)
        if direction == "left":
            own.ranges = {side: (start + more, stop + more) for side, (start, stop) in own.ranges.items()}

    def truncate(self, max_length: int, stride: int = 0, direction: Side = "right") -> None:
        """Cut it to so many ids; what is cut off is then in `overflowing`, in windows that share `stride` ids.

        Parameters
        ----------
        max_length : int
        stride : int
        direction : {"right", "left"}

        Raises
        ------
        ValueError
            `direction` is neither "left" nor "right", or `stride` leaves no step.
        """
        if direction not in ("left", "right"):
            raise ValueError(f"Invalid truncation direction value : {direction}")
        size = len(self)
        if max_length >= size:
            return
        own = self._columns()
        if max_length == 0:
            self._own = Columns(overflowing=[Encoding._with(own)])
            return
        if stride >= max_length:
            raise ValueError(f"stride must be less than max_length, {max_length}, got {stride}")
        first, *others = (own.part(start, stop) for start, stop in cuts(size, max_length, stride, direction))
        first.overflowing = [Encoding._with(part) for part in others]
        self._own = first

    @staticmethod
    def merge(encodings: Sequence[Encoding], growing_offsets: bool = True) -> Encoding:
        """Return one encoding of several, one behind the other.

        Parameters
        ----------
        encodings : sequence of Encoding
        growing_offsets : bool
            Count the places of each from the end of the one before it.

        Returns
        -------
        Encoding
        """
        whole = Columns()
        for one in encodings:
            whole = _joined(whole, one._columns(), growing_offsets)
        return Encoding._with(whole)

    def __getstate__(self) -> bytes:
        return json.dumps(_to_json(self._columns())).encode()

    def __setstate__(self, state: bytes) -> None:
        self._own = _from_json(json.loads(state))

    def __reduce__(self) -> tuple[Callable[..., Encoding], tuple[()], bytes]:
        return Encoding, (), self.__getstate__()


def _joined(first: Columns, second: Columns, growing: bool) -> Columns:
    """Return both, one behind the other; what was cut off of each meets all of the other."""
    behind = list[Encoding]()
    for one in first.overflowing:
        behind.append(Encoding._with(_joined(one._columns(), second, growing)))
        behind += [Encoding._with(_joined(one._columns(), other._columns(), growing)) for other in second.overflowing]
    behind += [Encoding._with(_joined(first, other._columns(), growing)) for other in second.overflowing]
    size, moved = len(first.ids), first.offsets[-1][1] if growing and first.offsets else 0
    whole = Columns(**{name: getattr(first, name) + getattr(second, name) for name in COLUMNS if name != "offsets"})
    whole.offsets = first.offsets + [(start + moved, stop + moved) for start, stop in second.offsets]
    whole.ranges = first.ranges | {side: (start + size, stop + size) for side, (start, stop) in second.ranges.items()}
    whole.overflowing = behind
    return whole


def _to_json(own: Columns) -> dict[str, Any]:
    node = {name: getattr(own, name) for name in COLUMNS}
    ranges = {str(side): {"start": start, "end": stop} for side, (start, stop) in own.ranges.items()}
    return node | {"overflowing": [_to_json(one._columns()) for one in own.overflowing], "sequence_ranges": ranges}


def _from_json(node: dict[str, Any]) -> Columns:
    own = Columns(**{name: node[name] for name in COLUMNS})
    own.offsets = [(start, stop) for start, stop in own.offsets]
    own.overflowing = [Encoding._with(_from_json(one)) for one in node["overflowing"]]
    own.ranges = {int(side): (place["start"], place["end"]) for side, place in node["sequence_ranges"].items()}
    return own
