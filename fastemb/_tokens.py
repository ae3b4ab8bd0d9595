"""What is asked of a tokenizer: how special tokens are read, how many ids are wanted, and which; all checked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, Required, TypedDict, get_args

import numpy as np
import numpy.typing as npt

from ._checks import ModelLength, as_flag, as_integer, as_numbers, as_size, is_word, name_id, require_cpu, require_word
from ._text.batch import Asked
from ._text.calls import Calls, Padding, Side, Strategy, Truncation
from ._text.core import NO_LIMIT
from ._text.decode import LeftOut
from ._text.vocabulary import AddedToken
from ._words import all_ints, held, shown, way_to_integers

#: How all special tokens of a text are read.
SpecialMode = Literal["none", "all", "raise"]
#: How the special tokens are read that a set does not name.
RestMode = Literal["plain", "raise"]
#: What becomes of an id that is no token.
UnknownMode = Literal["raise", "ignore"]
#: The special tokens that the maker of a model publishes.
ModelTokens = Literal["model"]

#: What offsets count: characters (True), or bytes of UTF-8.
OffsetUnit = Literal["bytes"]
OffsetMode = bool | OffsetUnit
#: How rows are filled up.
PadMode = Literal["longest", "model"]
Pad = int | PadMode | Padding

#: How special tokens are read: all in one way, or those of a set (or of `Tokenizer.special_tokens`) as tokens. A `str`
#: is none of these, so a type checker knows a misspelt word.
Special = SpecialMode | AbstractSet[str] | Mapping[str, int] | list[str] | tuple[str, ...]
Text = str | bytes
Texts = Sequence[str | bytes] | Sequence[Sequence[str]]  # lists of words with `pretokenized`


class EncodeOptions(TypedDict, total=False):
    """Options of `Tokenizer.encode` that do not change what it returns."""

    special: Special
    rest: RestMode
    template: bool
    max_tokens: int | ModelLength | None
    pair: Text | None


class IdsOptions(EncodeOptions, total=False):
    """Options with which it returns ids alone."""

    offsets: Literal[False]


class PlacedIdsOptions(EncodeOptions, total=False):
    """Options with which it returns ids and offsets."""

    offsets: Required[Literal[True, "bytes"]]


class AnyIdsOptions(EncodeOptions, total=False):
    """All of its options."""

    offsets: OffsetMode


class BatchOptions(TypedDict, total=False):
    """Options of `Tokenizer.encode_batch` that do not change what it returns."""

    special: Special
    rest: RestMode
    template: bool
    max_tokens: int | ModelLength | None
    pairs: Texts | None
    side: Side | None
    strategy: Strategy | None
    pretokenized: bool


class _NoDetails(BatchOptions, total=False):
    """Options with which it returns no `Encoded`."""

    stride: None
    pad: None
    details: Literal[False]


class RowsOptions(_NoDetails, total=False):
    """Options with which it returns rows of ids alone."""

    offsets: Literal[False]


class PlacedRowsOptions(_NoDetails, total=False):
    """Options with which it returns rows of ids, and offsets."""

    offsets: Required[Literal[True, "bytes"]]


class DetailsOptions(BatchOptions, total=False):
    """Options with which it returns an `Encoded`; the next two are such, too."""

    details: Required[Literal[True]]
    offsets: OffsetMode
    stride: int | None
    pad: Pad | None


class PadOptions(BatchOptions, total=False):
    """See `DetailsOptions`."""

    pad: Required[Pad]
    offsets: OffsetMode
    stride: int | None
    details: bool


class StrideOptions(BatchOptions, total=False):
    """See `DetailsOptions`."""

    stride: Required[int]
    offsets: OffsetMode
    pad: Pad | None
    details: bool


class AnyOptions(BatchOptions, total=False):
    """All options; what it returns is not known before it runs."""

    offsets: OffsetMode
    stride: int | None
    pad: Pad | None
    details: bool


SPECIAL_MODES: tuple[SpecialMode, ...] = get_args(SpecialMode)
REST_MODES: tuple[RestMode, ...] = get_args(RestMode)
UNKNOWN_MODES: tuple[UnknownMode, ...] = get_args(UnknownMode)

PLAIN, MATCH, REFUSE = range(3)  # fe_token_action
_ACTIONS: dict[SpecialMode, int] = {"none": PLAIN, "all": MATCH, "raise": REFUSE}  # of all special tokens
_REST_ACTIONS: dict[RestMode, int] = {"plain": PLAIN, "raise": REFUSE}  # of special tokens that a set does not name
_SETS = 64  # sets of special tokens that are remembered


class Actions:
    """The fe_token_action of each added token, by what a caller asks for; made once for each set of special tokens."""

    def __init__(self, added: list[AddedToken], for_c: Callable[[bytes], Any]) -> None:
        """Make them for these tokens; `for_c` gives them as C takes them with a short text."""
        self._added, self.for_c = added, for_c
        self.special = {token.content: token.id for token in added if token.special}
        self.fixed: dict[str, bytes] = {
            name: bytes(action if token.special else MATCH for token in added) for name, action in _ACTIONS.items()
        }
        #: By a word, or a set and its rest; None where Python has to cut texts, and there is no short road.
        self.short: dict[Any, Any] = {name: for_c(actions) for name, actions in self.fixed.items()}
        if not self.special:
            del self.short["all"]  # an error, which `of` raises
        self._sets: dict[tuple[frozenset[str], RestMode], bytes] = {}

    def short_set(self, special: Any, rest: Any) -> Any:
        """Return the actions for a short text where those of a set are tokens; None where `of` has to be asked."""
        if isinstance(special, str) or hasattr(special, "__next__"):  # a word does not go with a `rest`
            return None
        try:
            return self.short[frozenset(special), rest]
        except (KeyError, TypeError):
            # Not looked up again: another thread's call may have dropped it.
            return self.for_c(self.of(special, rest))

    def of(self, special: Any, rest: Any) -> bytes:
        """Return the actions for any text.

        Raises
        ------
        TypeError
            `special` is neither a word nor a set.
        ValueError
            It is no such word, names no special token, or is "all" where there are none; or `rest` is no such word, or
            is not for a word.
        """
        require_word(rest, REST_MODES, "rest")
        words = f"special must be {', '.join(map(repr, SPECIAL_MODES))} or a set of special tokens, got"
        if isinstance(special, str):
            if not is_word(special, SPECIAL_MODES):
                raise ValueError(f"{words} {shown(special)}")
            if rest != "plain":
                raise ValueError(f"rest is for a set of special tokens, got rest={rest!r} and special={special!r}")
            if special == "all" and not self.special:
                raise ValueError(
                    "special is 'all', but this tokenizer has no special tokens; a rank file holds none, so they are "
                    "given to Tokenizer.load: special_tokens"
                )
            return self.fixed[special]
        try:
            if hasattr(special, "__next__"):  # an iterator, which could be read once only
                raise TypeError
            chosen, names = frozenset(special), self.special.keys()
        except TypeError:
            raise TypeError(f"{words} {shown(special)}") from None
        found = self._sets.get((chosen, rest))
        if found is not None:
            return found
        if not chosen <= names:
            unknown = shown(sorted(chosen - names, key=str))
            raise ValueError(f"special names {unknown}, not among the special tokens {shown(sorted(names))}")
        other = _REST_ACTIONS[rest]
        actions = bytes(other if one.special and one.content not in chosen else MATCH for one in self._added)
        if len(self._sets) >= _SETS:  # whoever makes a new set for each call gains nothing by keeping them
            for key in list(self._sets):
                self.short.pop(key, None)
                self._sets.pop(key, None)
        self.short[chosen, rest], self._sets[chosen, rest] = self.for_c(actions), actions
        return actions


def as_limit(max_tokens: Any, taken: int = 0) -> int:
    """Return how many ids a text may have beside the `taken` ids of the template."""
    if max_tokens is None:
        return NO_LIMIT
    limit = max_tokens if type(max_tokens) is int else as_integer(max_tokens, "max_tokens")
    if limit < taken:
        least = f"{taken}, which the template takes" if taken else "0"
        raise ValueError(f"max_tokens must be at least {least}, got {shown(limit)}")
    return min(limit - taken, NO_LIMIT)


def as_asked(
    calls: Calls,
    template: Any,
    max_tokens: Any,
    side: Any,
    strategy: Any,
    stride: Any,
    pad: Any,
    offsets: Any,
    pretokenized: Any,
) -> Asked:
    """Return what a call asks for beside the ids, of a tokenizer whose file says this about calls.

    Raises
    ------
    TypeError, ValueError
        One of the arguments is of another type, is no such word, or does not go with the others.
    """
    if side is not None:
        require_word(side, get_args(Side), "side")
    if strategy is not None:
        require_word(strategy, get_args(Strategy), "strategy")
    for name, value in (("side", side), ("strategy", strategy), ("stride", stride)):
        if max_tokens is None and value is not None:
            raise ValueError(f"{name} is for rows that are cut, got {name}={shown(value)} without max_tokens")
    if max_tokens is None or isinstance(max_tokens, str):
        if max_tokens is not None and not is_word(max_tokens, get_args(ModelLength)):
            raise TypeError(f"max_tokens must be an integer, None or 'model', got {shown(max_tokens)}")
        truncation = None if max_tokens is None else calls.truncation
    else:
        most = as_integer(max_tokens, "max_tokens")
        if most < 0:
            raise ValueError(f"max_tokens must be at least 0, got {shown(most)}")
        truncation = Truncation(min(most, NO_LIMIT))
    if truncation is not None:
        given = {"side": side, "strategy": strategy, "stride": None if stride is None else as_size(stride, "stride")}
        truncation = truncation._replace(**{name: value for name, value in given.items() if value is not None})
    if not isinstance(offsets, bool) and not (isinstance(offsets, str) and offsets == "bytes"):
        raise ValueError(f"offsets must be True, False or 'bytes', got {shown(offsets)}")
    unit: Literal["characters", "bytes"] | None = (
        None if offsets is False else "bytes" if offsets == "bytes" else "characters"
    )
    flag = as_flag(pretokenized, "pretokenized")
    return Asked(as_flag(template, "template"), truncation, stride is not None, as_pad(pad, calls), unit, flag)


def as_pad(pad: Any, calls: Calls) -> Padding | None:
    """Return how rows are filled up; None where they are not."""
    if pad is None:
        return None
    if isinstance(pad, str):
        require_word(pad, get_args(PadMode), "pad")
        return Padding() if pad == "longest" else calls.padding
    if not isinstance(pad, Padding):
        return Padding(length=as_size(pad, "pad"))
    for name in ("length", "multiple_of"):
        if getattr(pad, name) is not None:
            as_size(getattr(pad, name), f"pad.{name}")
    require_word(pad.side, get_args(Side), "pad.side")
    for name in ("pad_id", "type_id"):
        if not -(2**31) <= as_integer(getattr(pad, name), f"pad.{name}") < 2**31:
            raise ValueError(f"pad.{name} must fit int32, got {shown(getattr(pad, name))}")
    return pad


def as_left_out(skip_special: Any, unknown: Any) -> LeftOut:
    """Return what decoding leaves out."""
    require_word(unknown, UNKNOWN_MODES, "unknown")
    return LeftOut(as_flag(skip_special, "skip_special"), unknown == "ignore")


def as_row(ids: Any, name: str = "ids") -> npt.NDArray[np.int64]:
    """Return the caller's ids as int64, one row of them."""
    array = require_cpu(as_numbers(ids, name), name)
    if array.dtype.kind not in "iu" and (array.size or array.ndim != 1) and not all_ints(array):
        way = way_to_integers(ids, array, name)
        raise TypeError(f"{name} must be integers in one dimension, got {held(ids, array)}{way}")
    if array.ndim != 1:
        rows = "; decode_batch takes rows of ids" if name == "ids" and array.ndim == 2 else ""
        raise ValueError(f"{name} must be integers in one dimension, got shape {array.shape}{rows}")
    if array.dtype.kind in "uO":  # which may be beyond int64
        wrong = [position for position, one in enumerate(array.tolist()) if not -(2**63) <= one < 2**63]
        if wrong:
            row = "" if name == "ids" else f" of {name}"
            raise IndexError(f"{name_id(array, wrong[0])}{row} is no token of this vocabulary")
    flat: npt.NDArray[np.int64] = array.astype(np.int64)
    return flat
