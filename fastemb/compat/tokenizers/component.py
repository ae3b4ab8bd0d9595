"""`Component`: one step of a tokenizer, kept as the JSON object that a ``tokenizer.json`` has for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

Json = dict[str, Any]


class Component:
    """A step of a tokenizer: its settings are attributes, and its state is JSON, as ``tokenizers`` pickles it.

    The steps that `Tokenizer` gives out belong to it: a setting that is changed there is changed in the tokenizer.
    """

    kinds: ClassVar[dict[str, type[Component]]]  # of a slot, by their names in the format; each slot has its own
    _node: Json
    _changed: Callable[[Json], None] | None

    def __init_subclass__(cls, slot: bool = False) -> None:
        if slot:
            cls.kinds = {}
        else:
            cls.kinds[cls.__name__] = cls

    def __init__(self, **settings: Any) -> None:
        self._set({"type": type(self).__name__, **settings})

    def _set(self, node: Json, changed: Callable[[Json], None] | None = None) -> None:
        object.__setattr__(self, "_node", node)
        object.__setattr__(self, "_changed", changed)

    @classmethod
    def of(cls, node: Json, changed: Callable[[Json], None] | None = None) -> Self:
        """Return the component of a JSON object; `changed` is told of the object that takes its place."""
        kind = cls.kinds.get(node.get("type", ""), cls)
        made = kind.__new__(kind)
        made._set(node, changed)
        return made  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._node:
            return self._node[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._node:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        object.__setattr__(self, "_node", self._node | {name: value})
        if self._changed is not None:
            self._changed(self._node)

    def __getstate__(self) -> bytes:
        return json.dumps(self._node, ensure_ascii=False).encode()

    def __setstate__(self, state: bytes) -> None:
        self._set(json.loads(state))

    def __copy__(self) -> Self:
        return self.of(dict(self._node))

    def __deepcopy__(self, memo: object) -> Self:
        return self.of(json.loads(self.__getstate__()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(_shown(self._node))})"


def _shown(node: Json) -> Iterator[str]:
    for name, value in node.items():
        if name != "type":
            text = repr(value)
            yield f"{name}={text if len(text) <= 60 else text[:60] + '...'}"


def node_of(step: Any, slot: str) -> Json | None:
    """Return the JSON object of a component of this module or of ``tokenizers``; None for none.

    Raises
    ------
    TypeError
        It has no such form: it is none, or one that is made of Python functions.
    """
    if step is None:
        return None
    if isinstance(step, Component):
        return step._node
    try:
        node = json.loads(step.__getstate__())
    except Exception:
        node = None
    if not isinstance(node, dict):
        raise TypeError(f"{slot} must be a component that can be written as JSON, got {type(step).__name__}")
    return node


def nodes_of(steps: Any, slot: str) -> list[Json]:
    """Return the JSON objects of a list of components."""
    found = [node_of(step, slot) for step in steps]
    return [node for node in found if node is not None]


def pattern_node(pattern: Any) -> Json:
    """Return a pattern as the format has it: a str is literal, a `Regex` is none."""
    if isinstance(pattern, str):
        return {"String": pattern}
    if isinstance(pattern, Regex):
        return {"Regex": pattern.pattern}
    raise TypeError(f"pattern must be a str or a Regex, got {type(pattern).__name__}")


class Regex:
    """A regular expression in Oniguruma's syntax.

    Parameters
    ----------
    pattern : str
    """

    def __init__(self, pattern: str) -> None:
        if not isinstance(pattern, str):
            raise TypeError(f"pattern must be a str, got {type(pattern).__name__}")
        self.pattern = pattern

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r})"
