"""Post-processors: what stands around the ids of a text, or of two."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence as Several
from typing import Any

from .component import Component, Json, nodes_of

_TYPED = re.compile(":[0-9]+$")


class PostProcessor(Component, slot=True, members="processors"):
    """A post-processor."""

    def num_special_tokens_to_add(self, is_pair: bool) -> int:
        """Return how many ids it puts around one text, or around two."""
        node = self._node
        if node["type"] == "Sequence":
            inner = (PostProcessor.of(step) for step in node["processors"])
            return sum(step.num_special_tokens_to_add(is_pair) for step in inner)
        if node["type"] == "TemplateProcessing":
            template = node["pair" if is_pair else "single"]
            names = [part["SpecialToken"]["id"] for part in template if "SpecialToken" in part]
            return sum(len(node["special_tokens"][name]["ids"]) for name in names)
        fixed = {"BertProcessing": (2, 3), "RobertaProcessing": (2, 4)}
        return fixed.get(node["type"], (0, 0))[bool(is_pair)]


class ByteLevel(PostProcessor):
    """Take white space out of offsets."""

    def __init__(
        self, add_prefix_space: bool = True, trim_offsets: bool = True, use_regex: bool = True, **state: Any
    ) -> None:
        super().__init__(add_prefix_space=add_prefix_space, trim_offsets=trim_offsets, use_regex=use_regex)


class BertProcessing(PostProcessor):
    """``[CLS] A [SEP]``, and for a pair ``[CLS] A [SEP] B [SEP]``."""

    def __init__(self, sep: tuple[str, int], cls: tuple[str, int]) -> None:
        super().__init__(sep=list(sep), cls=list(cls))


class RobertaProcessing(PostProcessor):
    """``<s> A </s>``, and for a pair ``<s> A </s></s> B </s>``."""

    def __init__(
        self,
        sep: tuple[str, int],
        cls: tuple[str, int],
        trim_offsets: bool = True,
        add_prefix_space: bool = True,
    ) -> None:
        super().__init__(sep=list(sep), cls=list(cls), trim_offsets=trim_offsets, add_prefix_space=add_prefix_space)


class TemplateProcessing(PostProcessor):
    """Any template: pieces like ``$A``, ``$B:1`` or ``[CLS]:0``, as a list or in one str."""

    def __init__(
        self,
        single: str | Several[str] = "$0",
        pair: str | Several[str] = "$A:0 $B:1",
        special_tokens: Iterable[Any] = (),
    ) -> None:
        tokens = {token["id"]: token for token in map(_token, special_tokens)}
        sides = {name: [_piece(part) for part in _parts(given)] for name, given in (("single", single), ("pair", pair))}
        used = {part["SpecialToken"]["id"] for side in sides.values() for part in side if "SpecialToken" in part}
        if missing := sorted(used - tokens.keys()):
            raise ValueError(f"Missing SpecialToken(s) with id(s) {', '.join(missing)}: the template has them")
        super().__init__(**sides, special_tokens=dict(sorted(tokens.items())))


def _parts(template: str | Several[str]) -> Several[str]:
    return template.split() if isinstance(template, str) else template


def _piece(text: str) -> Json:
    """Return a piece of a template: ``$A``, ``$1`` (the first text, of type 1), ``$B:1``, or a token with its type."""
    name, colon, kind = text.rpartition(":") if text.startswith("$") or _TYPED.search(text) else ("", "", "")
    name, kind = (name, kind) if colon else (text, "")
    if colon and not kind.isdigit():
        raise ValueError(f"Cannot build Piece of {text!r}: behind a colon stands a type id")
    type_id = int(kind) if kind else 0
    if not name.startswith("$"):
        return {"SpecialToken": {"id": name, "type_id": type_id}}
    rest = name[1:]
    if rest.isdigit() and not kind:
        return {"Sequence": {"id": "A", "type_id": int(rest)}}
    if rest.upper() not in ("", "A", "B"):
        raise ValueError(f"Cannot build Piece of {text!r}: a text is $A or $B, or the first one's type id")
    return {"Sequence": {"id": rest.upper() or "A", "type_id": type_id}}


def _token(given: Any) -> Json:
    """Return a special token of a template: a name and an id, or a dict of it."""
    if isinstance(given, dict):
        return {"id": given["id"], "ids": list(given["ids"]), "tokens": list(given["tokens"])}
    first, second = given
    name, id = (first, second) if isinstance(first, str) else (second, first)
    return {"id": name, "ids": [id], "tokens": [name]}


class Sequence(PostProcessor):
    """Post-processors one after another."""

    def __init__(self, processors: Iterable[Any]) -> None:
        super().__init__(processors=nodes_of(processors, "post-processor"))
