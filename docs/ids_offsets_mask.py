"""The picture of ids, offsets and mask: ``python docs/ids_offsets_mask.py`` writes it anew beside this file.

Its numbers are those of fastemb; a test compares the file.
"""

from pathlib import Path

from fastemb import Ragged

FILE = Path(__file__).with_suffix(".svg")
TEXTS = ['"A short text."', '""', '"Another one"']
ROWS = Ragged.from_lists([[39, 1462, 2795, 14], [], [1180, 1030]])  # of the model that comes with fastemb
FILLS, PADDING, INK, QUIET = ["#cfe3f7", "#d9ead3", "#fbe0c3"], "#f0f0f0", "#222222", "#6b6b6b"
WIDE, HIGH, LEFT = 64, 32, 190  # a cell, and where cells begin


def text(x: float, y: float, words: object, *, anchor: str = "start", ink: str = INK, weight: str = "normal") -> str:
    """Return words; code is written as words are."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{ink}" font-weight="{weight}">{words}</text>'


def cell(x: float, y: float, number: object, fill: str, ink: str = INK) -> str:
    """Return a box with a number in it."""
    box = f'<rect x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" fill="{fill}" stroke="{QUIET}"/>'
    return box + text(x + WIDE / 2, y + HIGH / 2 + 5, number, anchor="middle", ink=ink)


def flat(y: float) -> list[str]:
    """Return the ids end to end, the texts above them, and the offsets at their borders."""
    parts = [text(20, y + 21, "ids (N,)"), text(20, y + 71, "offsets (S+1,)")]
    offsets = ROWS.offsets.tolist()
    for s, row in enumerate(ROWS):
        begin, end = LEFT + WIDE * offsets[s], LEFT + WIDE * offsets[s + 1]
        parts += [cell(begin + WIDE * k, y, id, FILLS[s]) for k, id in enumerate(row.tolist())]
        raised = 28 if begin == end else 10  # an empty text has no width: its name stands higher
        parts.append(text((begin + end) / 2, y - raised, TEXTS[s], anchor="middle"))
    parts.append(line(LEFT + WIDE * offsets[1], y - 23, y))
    for s, offset in enumerate(offsets):
        x = LEFT + WIDE * offset
        aside = 9 * (offsets[:s].count(offset) - offsets[s + 1 :].count(offset))  # equal ones stand side by side
        parts += [line(x, y + HIGH, y + 54), text(x + aside, y + 71, offset, anchor="middle")]
    return parts


def padded(y: float) -> list[str]:
    """Return the rectangles of ids and of the mask."""
    ids, mask = ROWS.pad()
    right = LEFT + WIDE * ids.shape[1] + 50
    parts = [text(LEFT, y - 10, "ids (B, T)"), text(right, y - 10, "mask (B, T)")]
    for s, words in enumerate(TEXTS):
        top = y + HIGH * s
        parts.append(text(LEFT - 14, top + 21, words, anchor="end"))
        for t, kept in enumerate(mask[s].tolist()):
            colors = (FILLS[s], INK) if kept else (PADDING, QUIET)
            parts.append(cell(LEFT + WIDE * t, top, ids[s, t], *colors))
            parts.append(cell(right + WIDE * t, top, int(kept), *colors))
    return parts


def line(x: float, top: float, bottom: float) -> str:
    """Return an upright line."""
    return f'<line x1="{x:g}" y1="{top:g}" x2="{x:g}" y2="{bottom:g}" stroke="{QUIET}"/>'


def picture() -> str:
    """Return the SVG. It brings its own background, so that it reads the same on light and dark pages."""
    width, height = LEFT + 8 * WIDE + 50 + 20, 366
    parts = [
        text(20, 32, "Ragged: flat, nothing padded", weight="bold"), *flat(88),
        text(20, 200, "Ragged.pad(): a rectangle, and where it is filled", weight="bold"), *padded(240),
    ]  # fmt: skip
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="14" role="img">'
    title = "<title>Three texts as flat ids with offsets, and as a padded rectangle with a mask</title>"
    panel = f'<rect width="{width}" height="{height}" rx="6" fill="white"/>'
    return "\n".join([head, title, panel, *parts, "</svg>\n"])


if __name__ == "__main__":
    FILE.write_text(picture(), encoding="utf-8")
