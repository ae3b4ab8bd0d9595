"""A chart of ratios, as SVG: the picture beside the tables of report.py."""

from __future__ import annotations

import math
from typing import NamedTuple
from xml.sax.saxutils import escape

LINE, TITLE, BAR, LETTER, PLOT, VALUE = 22, 34, 14, 6.6, 460, 120
FASTER, SLOWER, INK, GRID = "#2a6fbb", "#c8641b", "#222222", "#d5d5d5"


class Bar(NamedTuple):
    """One comparison: its name, how many times as long the rival takes, and that in words."""

    label: str
    ratio: float
    words: str


def chart(groups: dict[str, list[Bar]], where: str) -> str:
    """Return an SVG of the ratios: bars from a line at 1 on a logarithmic axis."""
    groups = {title: bars for title, bars in groups.items() if bars}
    every = [bar for bars in groups.values() for bar in bars]
    ratios = [1.0] + [bar.ratio for bar in every]
    lowest, highest = math.log10(min(ratios)) - 0.05, math.log10(max(ratios)) + 0.05
    left = 20 + LETTER * max((len(bar.label) for bar in every), default=0)

    def place(ratio: float) -> float:
        return left + PLOT * (math.log10(ratio) - lowest) / (highest - lowest)

    top = 76
    bottom = top + TITLE * len(groups) + LINE * len(every) + 10
    width, height = math.ceil(max(left + PLOT + VALUE, 640)), bottom + 30
    parts = [text(20, 24, "How many times as long the rival takes (right of 1: fastemb is faster)", size=15, bold=True)]
    parts.append(text(20, 42, where))
    for tick in ticks(10**lowest, 10**highest):
        parts += axis(place(tick), tick, top, bottom)
    y = top
    for title, bars in groups.items():
        parts.append(text(20, y + 22, title, size=13, bold=True))
        y += TITLE
        for bar in bars:
            parts += drawn(bar, place(1), place(bar.ratio), left, y)
            y += LINE
    if not every:
        parts.append(text(20, top, "No comparison was timed."))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" role="img">',
            "<title>fastemb against its rivals</title>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of each power of ten inside the range; 1 is always one of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def axis(x: float, tick: float, top: float, bottom: float) -> list[str]:
    """One line across the chart, and its number at both ends."""
    ink, weight = (INK, 1.5) if tick == 1 else (GRID, 1)
    label = f"{tick:g}"
    line = f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{ink}" stroke-width="{weight}"/>'
    return [line, *(text(x, y, label, anchor="middle") for y in (top - 8, bottom + 18))]


def drawn(bar: Bar, origin: float, end: float, left: float, y: float) -> list[str]:
    """Return the name, the bar and the ratio of one comparison."""
    color = FASTER if bar.ratio >= 1 else SLOWER
    start, length = min(origin, end), max(abs(end - origin), 0.5)
    return [
        text(left - 10, y + 11, bar.label, anchor="end"),
        f'<rect x="{start:.1f}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{color}"/>',
        text(max(origin, end) + 6, y + 11, bar.words),
    ]


def text(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start", bold: bool = False) -> str:
    """Words of the chart."""
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}"{weight}'
    return f"<text {place}>{escape(words)}</text>"
