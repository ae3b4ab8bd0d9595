"""What a file says about calls: the template for one text and for two, how offsets are trimmed, cutting and padding.

None of it changes the ids of a text: it stands around them, and is used when a call asks for it. In the notes of a
saved tokenizer it is one object of JSON, the field ``calls`` (None: nothing but the template's ids, which C keeps).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

Side = Literal["right", "left"]
Strategy = Literal["longest_first", "only_first", "only_second"]

_MOST = 2**31 - 1


class Truncation(NamedTuple):
    """How rows are cut.

    Attributes
    ----------
    max_tokens : int
        Ids of a row, the template's included.
    stride : int
        How many ids a window shares with the one before it, where windows are asked for.
    strategy : {"longest_first", "only_first", "only_second"}
        Of pairs: which text gives way.
    side : {"right", "left"}
        Where ids are taken away.
    """

    max_tokens: int
    stride: int = 0
    strategy: Strategy = "longest_first"
    side: Side = "right"


class Padding(NamedTuple):
    """How rows are filled up.

    Attributes
    ----------
    length : int or None
        Ids of a row; None: as many as the longest row of the batch has.
    multiple_of : int or None
        The length is raised to the next multiple of this.
    side : {"right", "left"}
        Where the padding goes.
    pad_id : int
        The id to fill up with.
    type_id : int
        Its token type id.

    Examples
    --------
    >>> import fastemb
    >>> fastemb.Padding(multiple_of=8, side="left").pad_id
    0
    """

    length: int | None = None
    multiple_of: int | None = None
    side: Side = "right"
    pad_id: int = 0
    type_id: int = 0


class Part(NamedTuple):
    """A part of a template: text "A" or "B", or where `text` is empty ids; and the token type id of all of it."""

    text: Literal["A", "B", ""]
    ids: tuple[int, ...]
    type_id: int


class Trim(NamedTuple):
    """White space at the ends of a token is not in its offsets."""

    add_prefix_space: bool  # the first token of a text keeps one space, which may be one that was added
    behind_template: bool = False  # the first token is that of the row, else that of the text


Template = tuple[Part, ...]
A, B = Part("A", (), 0), Part("B", (), 1)


class Calls(NamedTuple):
    """What a file says about calls."""

    single: Template = (A,)
    pair: Template = (A, B)  # checked when pairs are given: files that are not for pairs have anything here
    trims: tuple[Trim, ...] = ()  # one after another
    truncation: Truncation | None = None
    padding: Padding | None = None

    def to_json(self) -> dict[str, Any] | None:
        """Return what `calls_from` reads; None where all is as in a file that says nothing."""
        if self == Calls():
            return None
        return {name: _listed(value) for name, value in zip(self._fields, self, strict=True)}


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def calls_from(notes: Any, before: list[int], after: list[int]) -> Calls:
    """Read what `Calls.to_json` gave, of a tokenizer whose template puts these ids before and behind one text.

    Raises
    ------
    ValueError
        It is something else, or puts other ids around a text.
    """
    if notes is None:
        around = [Part("", tuple(ids), 0) for ids in (before, after)]
        return Calls(single=tuple(part for part in (around[0], A, around[1]) if part.text or part.ids))
    if not isinstance(notes, dict) or notes.keys() != {*Calls._fields}:
        raise ValueError(f"its notes have calls = {str(notes)[:80]!r}")
    try:
        single, pair = (tuple(_part(*part) for part in notes[name]) for name in ("single", "pair"))
        trims = tuple(_trim(*trim) for trim in notes["trims"])
        truncation, padding = notes["truncation"], notes["padding"]
        calls = Calls(
            single,
            pair,
            trims,
            None if truncation is None else _truncation(*truncation),
            None if padding is None else _padding(*padding),
        )
        check_template(single, "A")
    except TypeError:
        raise ValueError(f"its notes have calls = {str(notes)[:80]!r}") from None
    if [part.text for part in single].count("A") == 1 and sides_of(single) != (before, after):
        raise ValueError("its notes put other ids around a text than its template")
    return calls


def check_template(template: Template, texts: str) -> None:
    """Refuse a template that leaves one of these texts out, or has another."""
    found = sorted({part.text for part in template} - {""})
    if found != [*texts]:
        which = "one text" if texts == "A" else "a pair"
        raise ValueError(f"its template for {which} has the texts {found}, not {' and '.join(texts)}")


def sides_of(single: Template) -> tuple[list[int], list[int]]:
    """Return the ids before the only text of a template, and behind it."""
    at = [part.text for part in single].index("A")
    before = [id for part in single[:at] for id in part.ids]
    return before, [id for part in single[at + 1 :] for id in part.ids]


def _part(text: Any, ids: Any, type_id: Any) -> Part:
    fits = text in ("A", "B") if not ids else text == ""
    if not (fits and isinstance(ids, list) and all(map(_is_size, ids)) and _is_size(type_id)):
        raise TypeError
    return Part(text, tuple(ids), type_id)


def _trim(add_prefix_space: Any, behind_template: Any) -> Trim:
    if not (isinstance(add_prefix_space, bool) and isinstance(behind_template, bool)):
        raise TypeError
    return Trim(add_prefix_space, behind_template)


def _truncation(max_tokens: Any, stride: Any, strategy: Any, side: Any) -> Truncation:
    if not (_is_size(max_tokens) and _is_size(stride) and strategy in get_args(Strategy) and side in get_args(Side)):
        raise TypeError
    return Truncation(max_tokens, stride, strategy, side)


def _padding(length: Any, multiple_of: Any, side: Any, pad_id: Any, type_id: Any) -> Padding:
    sizes = (length is None or _is_size(length)) and (multiple_of is None or _is_size(multiple_of))
    if not (sizes and side in get_args(Side) and _is_size(pad_id) and _is_size(type_id)):
        raise TypeError
    return Padding(length, multiple_of, side, pad_id, type_id)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST
