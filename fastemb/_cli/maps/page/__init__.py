"""A map as one page of HTML that asks for nothing: the parts of the folder ``page``, and the data, packed.

The data is one stretch of bytes: the length of a JSON text (uint32), that text, filled up with spaces so that what
follows begins at a multiple of eight, and arrays behind one another, whose types and places the JSON says. All of it is
little-endian, compressed by zlib and written in base64. So no text of a file stands in the page as it is, and none can
be taken for a part of it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import fastemb

from ..colors import Colors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCRIPTS = ("data.js", "colors.js", "paint.js", "view.js", "panel.js", "main.js")
METHODS = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
LEVEL = 6  # of compression; 9 takes 3.5 times as long for 2 % less
SAID = 5  # kinds that the summary names
ALIGN = 8


class Map(NamedTuple):
    """All that a page shows; the arrays have an entry, or a row, for each text."""

    title: str
    texts: list[str]
    lengths: npt.NDArray[np.uint32]  # of the whole texts, in characters
    files: list[str]
    file: npt.NDArray[np.uint32]  # the place of each text's in `files`
    line: npt.NDArray[np.int64]
    points: npt.NDArray[np.float32]
    method: str
    shares: tuple[float, float] | None
    colors: list[Colors]
    neighbors: tuple[npt.NDArray[np.uint16], npt.NDArray[np.int16]] | None


def page(shown: Map) -> bytes:
    """Return the page; the same map gives the same bytes."""
    style = _part("page.css")
    script = "\n".join(_part(name) for name in SCRIPTS)
    parts = {
        "policy": _policy(style, script),
        "title": html.escape(shown.title),
        "summary": html.escape(summary(shown)),
        "version": html.escape(fastemb.__version__),
        "style": style,
        "script": script,
        "data": base64.b64encode(zlib.compress(packed(shown), LEVEL)).decode("ascii"),
    }
    # In one pass: what was put in is not looked through.
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _part("page.html"))
    return text.encode("utf-8", "replace")  # half of a surrogate pair, out of a file's name, is a question mark


def summary(shown: Map) -> str:
    """Return what the picture shows, in words, for those who do not see it."""
    count = len(shown.texts)
    said = [
        f"{count:,} {'text' if count == 1 else 'texts'} by meaning: those that lie close together say alike things."
    ]
    if shown.shares is None:
        said.append(f"The places are those of {METHODS[shown.method]}: distances tell little, neighbours much.")
    else:
        first, second = (f"{100 * share:.1f} %" for share in shown.shares)
        said.append(f"The two axes hold {first} and {second} of the variance (PCA).")
    for colors in shown.colors:
        said.append(_said(colors))
    return " ".join(said)


def _said(colors: Colors) -> str:
    import numpy as np

    if colors.labels is None:
        low, high = np.nanmin(colors.values), np.nanmax(colors.values)
        return f"{colors.name}: numbers from {_figures(low)} to {_figures(high)}."
    counts = np.bincount(colors.values, minlength=len(colors.labels))
    most = np.argsort(-counts, kind="stable")[:SAID]
    named = ", ".join(f"{colors.labels[kind]} ({counts[kind]:,})" for kind in most)
    more = len(colors.labels) - SAID
    return f"{colors.name}: {named}{f' and {more:,} more' if more > 0 else ''}."


def _figures(value: float) -> str:
    """Return a number as the page's script writes it: 2026, and 20,260."""
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 10_000 else f"{value:.6g}"


def packed(shown: Map) -> bytes:
    """Return the data as the page's script reads it."""
    import numpy as np

    arrays: dict[str, npt.NDArray[Any]] = {
        "place": shown.points,
        "step": np.diff(shown.line, prepend=0).astype(np.int32),  # nearly all 1, which packs to nothing
        "length": shown.lengths,
    }
    if len(shown.files) > 1:
        arrays["file"] = shown.file
    for number, colors in enumerate(shown.colors):
        arrays[f"color{number}"] = colors.values
    if shown.neighbors is not None:
        arrays["neighbor"], arrays["similarity"] = shown.neighbors
    head = {
        "title": shown.title,
        "method": METHODS[shown.method],
        "shares": shown.shares,
        "files": shown.files,
        "colors": [
            {"name": colors.name, "labels": colors.labels, "logarithmic": colors.logarithmic} for colors in shown.colors
        ],
        "texts": shown.texts,
    }
    return _packed(head, arrays)


def _packed(head: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    places, blocks, at = {}, [], 0
    for name, array in arrays.items():
        # The byte order is the page's, not the machine's.
        block = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        places[name] = {"type": array.dtype.name, "start": at, "shape": list(array.shape)}
        blocks.append(block.ljust(_aligned(len(block)), b"\0"))
        at += len(blocks[-1])
    text = json.dumps({**head, "arrays": places}, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    text = text.ljust(_aligned(4 + len(text)) - 4)
    return b"".join([struct.pack("<I", len(text)), text, *blocks])


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _policy(style: str, script: str) -> str:
    """Return what the page may do: run this script, look like this, and nothing else; no address is asked."""
    allowed = f"script-src {_hash(script)}; style-src {_hash(style)}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def titled(names: Sequence[str]) -> str:
    """Return what a map of these files is called."""
    first = os.path.basename(names[0])
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"
