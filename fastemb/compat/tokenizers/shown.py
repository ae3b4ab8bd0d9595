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
    return "{" + _joined((f'"{name}":{shown(value, most)}' for name, value in node.items()), len(node), most) + "}"


def _fields(kind: str, fields: dict[str, Any], most: int | None) -> Iterable[str]:
    for name, value in fields.items():
        if name in ("prepend_scheme", "behavior"):  # words of the format, and no texts
            yield f"{name}={value}"
        elif kind.endswith("Processing") and name in ("sep", "cls"):
            yield f"{name}=({_plain(value[0])}, {_plain(value[1])})"
        elif (kind == "Unigram" and name == "vocab") or (kind == "BPE" and name == "merges"):
            yield f"{name}=[{_joined((f'({_plain(a)}, {_plain(b)})' for a, b in value), len(value), most)}]"
        elif kind == "TemplateProcessing" and name == "special_tokens":
            parts = (f'"{one}":SpecialToken({_named(node)})' for one, node in value.items())
            yield f"{name}={{{_joined(parts, len(value), most)}}}"
        else:
            yield f"{name}={shown(value, most)}"


def _named(node: dict[str, Any]) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in node.items())


def document(node: dict[str, Any], most: int | None = None) -> str:
    """Return a whole document as text."""
    return f"Tokenizer({', '.join(f'{name}={shown(value, most)}' for name, value in node.items())})"
