"""What points are coloured by: the values of a field as kinds or on a scale, and clusters."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

KINDS = 12  # different numbers up to which they are kinds: marks, years of a decade; more are a scale
SKEW = 30  # how many times the middle one the largest number is, where a scale is logarithmic
NONE = "(none)"


class Colors(NamedTuple):
    """One way to colour the points.

    Attributes
    ----------
    name : str
        The field's, as the page has it.
    labels : list of str or None
        The kinds, the most frequent first; None for a scale.
    values : numpy.ndarray
        For each point the place of its kind in `labels` (uint32), or its number (float64, NaN where it has none).
    """

    name: str
    labels: list[str] | None
    values: npt.NDArray[Any]
    logarithmic: bool = False  # whether the scale is


def of_field(name: str, values: Sequence[object]) -> Colors:
    """Return the colours of a field: a scale if its values are numbers and many, else a colour for each kind.

    Raises
    ------
    ValueError
        No document has the field.
    """
    import numpy as np

    if all(value is None for value in values):
        raise ValueError(f"--color-field {name}: no document has this field")
    values = [None if value != value else value for value in values]  # NaN: a number that is missing
    numbers = [_number(value) for value in values]
    have = {number for number in numbers if number is not None}
    all_numbers = all(number is not None or value in (None, "") for number, value in zip(numbers, values, strict=True))
    if all_numbers and len(have) > KINDS:
        scaled = np.array([math.nan if number is None else number for number in numbers])
        return Colors(name, None, scaled, _is_skewed(sorted(have)))
    return of_kinds(name, [_label(value) for value in values], by_number=all_numbers)


def of_kinds(name: str, labels: Sequence[str], by_number: bool = False) -> Colors:
    """Return a colour for each of the labels, the most frequent first, or (marks, years) in the order of numbers."""
    counts = Counter(labels)

    def order(label: str) -> tuple[float, str]:
        number = _number(label) if by_number else -counts[label]
        return math.inf if number is None else number, label

    kinds = sorted(counts, key=order)
    return Colors(name, kinds, _places(kinds, labels))


def _places(kinds: list[str], labels: Sequence[str]) -> npt.NDArray[np.uint32]:
    import numpy as np

    place = {kind: number for number, kind in enumerate(kinds)}
    return np.fromiter((place[label] for label in labels), np.uint32, len(labels))


def _is_skewed(numbers: list[float]) -> bool:
    """Whether a few numbers are so large that all others would have one colour: sizes, prices, counts."""
    return numbers[0] > 0 and numbers[-1] > SKEW * numbers[len(numbers) // 2]


def _number(value: object) -> float | None:
    """Return the finite number that a value is or spells, None if it does not."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _label(value: object) -> str:
    if value is None or value == "":
        return NONE
    is_json = isinstance(value, bool | int | float | list | dict)
    return json.dumps(value, ensure_ascii=False, default=str) if is_json else str(value)  # else a text, a date
