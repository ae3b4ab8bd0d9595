"""`Component`: one step of a tokenizer, kept as the JSON object that a ``tokenizer.json`` has for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar, Self

from .shown import shown

Json = dict[str, Any]
_BEHAVIORS = {
    "removed": "Removed",
    "isolated": "Isolated",
    "merged_with_previous": "MergedWithPrevious",
    "merged_with_next": "MergedWithNext",
    "contiguous": "Contiguous",
}


def behavior(name: str) -> str:
    """Return what becomes of a match, as the format has it."""
    if name not in _BEHAVIORS:
        raise ValueError(f"behavior must be one of {', '.join(_BEHAVIORS)}, got {name!r}")
    return _BEHAVIORS[name]


def one_character(text: str) -> str:
    """Return a text of one character; ValueError where it is none."""
    if len(text) != 1:
        raise ValueError(f"expected a string of length 1, got {text!r}")
    return text


class Component:
    """A step of a tokenizer: its settings are attributes, and its state is JSON, as ``tokenizers`` pickles it.

    The steps that `Tokenizer` gives out belong to it: a setting that is changed there is changed in the tokenizer.
    """

    kinds: ClassVar[dict[str, type[Component]]]  # of a slot, by their names in the format; each slot has its own
    _slot: ClassVar[type[Component]]
    _members: ClassVar[str] = ""  # what a sequence calls its steps
    _names: ClassVar[dict[str, str]] = {}  # of attributes that are called otherwise in the format
    _hidden: ClassVar[frozenset[str]] = frozenset({"type", "pattern"})  # that are no attributes
    _words: ClassVar[dict[str, str]]
    _node: Json
    _changed: Callable[[Json], None] | None

    def __init_subclass__(cls, slot: bool = False, members: str = "") -> None:
        if slot:
            cls.kinds, cls._slot, cls._members = {}, cls, members
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
        known = self._names.get(name, name)
        if name.startswith("_") or known not in self._node or known in self._hidden:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return self._words.get(self._node[known], self._node[known]) if known == "behavior" else self._node[known]

    def __setattr__(self, name: str, value: Any) -> None:
        known = self._names.get(name, name)
        if known not in self._node or known in self._hidden:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r} that can be changed")
        if known == "behavior":
            value = behavior(value)
        object.__setattr__(self, "_node", self._node | {known: value})
        if self._changed is not None:
            self._changed(self._node)

    # ---------------------------------------------------------------- sequences of steps

    def _steps(self) -> list[Json]:
        if self._members not in self._node:
            raise TypeError(f"{type(self).__name__} is no sequence")
        steps: list[Json] = self._node[self._members]
        return steps

    def __len__(self) -> int:
        return len(self._steps())

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, place: int) -> Component:
        steps, kind = self._steps(), self._slot
        place = range(len(steps))[place]

        def changed(node: Json) -> None:
            self[place] = kind.of(node)

        return kind.of(steps[place], changed)

    def __setitem__(self, place: int, step: Any) -> None:
        steps = list(self._steps())
        steps[place] = node_of(step, self._slot.__name__) or {}
        setattr(self, self._members, steps)

    def __getstate__(self) -> bytes:
        return json.dumps(self._node, ensure_ascii=False).encode()

    def __setstate__(self, state: bytes) -> None:
        self._set(json.loads(state))

    def __copy__(self) -> Self:
        return self.of(dict(self._node))

    def __deepcopy__(self, memo: object) -> Self:
        return self.of(json.loads(self.__getstate__()))

    def __repr__(self) -> str:
        return shown(self._node)

    def __str__(self) -> str:
        return shown(self._node, 5)


Component._words = {name: word for word, name in _BEHAVIORS.items()}


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
