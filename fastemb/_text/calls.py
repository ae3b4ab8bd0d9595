"""What a file says about calls: the template for one text and for two, how offsets are trimmed, cutting and padding.

None of it changes the ids of a text: it stands around them, and is used when a call asks for it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Side = Literal["right", "left"]
Strategy = Literal["longest_first", "only_first", "only_second"]


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
