"""A document and its parts as text, as ``tokenizers`` shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def shown(value: Any, most: int | None = None) -> str:
    """Return JSON as text in which a component is a call of its name; of lists and fields at most `most` are shown."""
    if isinstance(value, dict):
        return _component(value, most)
    if isinstance(value, list | tuple):
        return f"[{_joined((shown(one, most) for one in value), len(value), most)}]"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'  # with quotes in it as they are, as theirs
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _joined(parts: Iterable[str], count: int, most: int | None) -> str:
    kept = [part for part, _ in zip(parts, range(count if most is None else most), strict=False)]
    return ", ".join([*kept, "..."] if len(kept) < count else kept)


def _component(node: dict[str, Any], most: int | None) -> str:
    if "type" in node:
        fields = {name: value for name, value in node.items() if name != "type"}
        return f"{node['type']}({_joined(_fields(node['type'], fields, most), len(fields), None)})"
    if len(node) == 1 and (name := next(iter(node))) in ("Sequence", "SpecialToken", "String", "Regex", "Fixed"):
        inner = node[name]
        if not isinstance(inner, dict):
            return f"{name}({shown(inner, most)})"
        id = inner["id"] if name == "Sequence" else shown(inner["id"])
        return f"{name}(id={id}, type_id={inner['type_id']})"
    return _mapping(node, most)


def _mapping(node: dict[str, Any], most: int | None) -> str:
    return "{" + _joined((f'"{name}":{shown(value, most)}' for name, value in node.items()), len(node), most) + "}"


def _fields(kind: str, fields: dict[str, Any], most: int | None) -> Iterable[str]:
    for name, value in fields.items():
        if name in ("prepend_scheme", "behavior"):  # words of the format, and no texts
            yield f"{name}={value}"
        elif kind.endswith("Processing") and name in ("sep", "cls"):
            yield f"{name}=({_plain(value[0])}, {_plain(value[1])})"
        elif (kind == "Unigram" and name == "vocab") or (kind == "BPE" and name == "merges"):
            pairs = (one.split(" ") if isinstance(one, str) else one for one in value)  # as older files have merges
            yield f"{name}=[{_joined((f'({_plain(a)}, {_plain(b)})' for a, b in pairs), len(value), most)}]"
        elif name == "vocab":  # a token may be called as a field is
            yield f"{name}={_mapping(value, most)}"
        elif kind == "TemplateProcessing" and name == "special_tokens":
            parts = (f'"{one}":SpecialToken({_named(node)})' for one, node in value.items())
            yield f"{name}={{{_joined(parts, len(value), most)}}}"
        else:
            yield f"{name}={shown(value, most)}"


def _named(node: dict[str, Any]) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in node.items())


_ADDED = ("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")
_PARAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "truncation": (
        "TruncationParams",
        {"direction": "Right", "max_length": None, "strategy": "LongestFirst", "stride": 0},
    ),
    "padding": (
        "PaddingParams",
        {
            "strategy": "BatchLongest",
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
    ),
}


def _slot(name: str, value: Any, most: int | None) -> str:
    """Return a field of a document, whatever the order in which the file has what is in it."""
    if name == "added_tokens":
        value = [{field: token[field] for field in _ADDED if field in token} for token in value or ()]
    if name not in _PARAMS or value is None:
        return shown(value, most)
    title, fields = _PARAMS[name]
    parts = {field: value.get(field, default) for field, default in fields.items()}
    words = (
        f"{field}={one if field in ('direction', 'strategy') and isinstance(one, str) else shown(one)}"
        for field, one in parts.items()
    )
    return f"{title}({', '.join(words)})"


def document(node: dict[str, Any], most: int | None = None) -> str:
    """Return a whole document as text."""
    return f"Tokenizer({', '.join(f'{name}={_slot(name, value, most)}' for name, value in node.items())})"
