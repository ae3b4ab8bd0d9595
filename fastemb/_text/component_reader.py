"""Reading the components of a `tokenizer.json`: each as its class in `components.py` declares it.

What is wrong and what is not supported is gathered, so that one error names all of it: who looks for another file, or
mends this one, needs to know. A setting that is read past would give wrong ids without a word, so a field of a wrong
type or a missing one is a fault, as it is to the format's own engine, even where a guess would be easy.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from math import isfinite
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from .bpe_model import is_id, is_text
from .components import (
    DECODERS,
    NORMALIZERS,
    PRE_TOKENIZERS,
    BertProcessing,
    ByteLevel,
    Char,
    Count,
    Metaspace,
    Padding,
    Replace,
    RobertaProcessing,
    Size,
    Split,
    TemplatePiece,
    TemplateProcessing,
    Truncation,
)
from .vocabulary import DamagedVocabularyError, Merges

Json = dict[str, Any]
Step = TypeVar("Step")

SHOWN = 80  # characters of a value that an error shows
INSTEAD = "Encode with the package tokenizers; all other functions take its ids, by Ragged.from_lists say"
MOST_STEPS = 1 << 10  # of a sequence; real files have some ten


class Unsupported(ValueError):
    """Parts of a file that are not supported: each argument names one."""


@dataclass
class Faults:
    """What was found wrong with a file so far, and what is not supported."""

    damaged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def caught(self, read: Callable[..., Step], *arguments: Any) -> Step | None:
        """Return what `read` returns; None where it meets a fault, of which note is taken."""
        try:
            return read(*arguments)
        except Unsupported as error:
            self.missing += error.args
        except DamagedVocabularyError as error:
            self.damaged.append(str(error))
        return None

    def __str__(self) -> str:
        kinds = (("damaged tokenizer file", self.damaged), ("not supported yet", self.missing))
        all_of_them = "; ".join(f"{kind}: {'; '.join(found)}" for kind, found in kinds if found)
        return all_of_them if self.damaged or not self.missing else f"{all_of_them}. {INSTEAD}"


def damaged(text: str) -> DamagedVocabularyError:
    """Return the error of a file that cannot be right."""
    return DamagedVocabularyError(text)


def shown(value: Any) -> str:
    """Return a value of the file as an error shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


# ---------------------------------------------------------------- one component


def _declared(kind: Any) -> list[tuple[str, Any, bool]]:
    """Return the fields of a component: name, declared type, and whether it may be missing."""
    hints = get_type_hints(kind, include_extras=True)
    return [(one.name, hints[one.name], one.default is not MISSING) for one in fields(kind)]


def read_step(kind: type[Step], node: Json, what: str) -> Step:
    """Return a component of this class from its JSON object; `what` names it in errors.

    Raises
    ------
    DamagedVocabularyError
        A field is missing, or has a value that it cannot have.
    """
    given = dict(node)
    if kind in (Split, Replace):
        given |= _pattern(node, what)
    elif kind is Metaspace:
        given = _old_metaspace(given, what)
    values: Json = {}
    for name, hint, may_miss in _declared(kind):
        if name in given:
            values[name] = _checked(given[name], hint, f"{what}: {name}")
        elif not may_miss:
            raise damaged(f"{what}: {name} is missing")
    return kind(**values)


def step_to_json(step: Any, kinds: dict[str, type[Any]]) -> Json:
    """Return a component as the JSON object that `read_step` reads."""
    node: Json = {"type": next(name for name, kind in kinds.items() if type(step) is kind)}
    node |= {one.name: getattr(step, one.name) for one in fields(step)}
    if "literal" in node:
        node["pattern"] = {"String" if node.pop("literal") else "Regex": node["pattern"]}
    return node


def _checked(value: Any, hint: Any, what: str) -> Any:
    """Return a value if it is of the declared type."""
    expected = _fault(value, hint)
    if expected:
        raise damaged(f"{what} is {shown(value)}, {expected}")
    return value


def _fault(value: Any, hint: Any) -> str:
    """Return what a value ought to be, as the end of a sentence; empty where it is that."""
    if get_origin(hint) is types.UnionType:
        one = next(part for part in get_args(hint) if part is not type(None))
        return "" if value is None else _fault(value, one)
    if hint is Merges or get_origin(hint) in (dict, list):
        return ""  # checked by who reads the model
    if get_origin(hint) is Literal:
        words = get_args(hint)
        return "" if isinstance(value, str) and value in words else f"none of {', '.join(words)}"
    if hint == Char:
        return "" if is_text(value) and len(value) == 1 else "not one character"
    if hint in (Size, Count):
        least = 1 if hint == Size else 0
        return "" if is_id(value) and value >= least else f"not an integer of at least {least}"
    if hint is float:
        return "" if isinstance(value, float) and isfinite(value) else "not a finite number"
    if hint is bool:
        return "" if isinstance(value, bool) else "neither true nor false"
    if hint is int:
        return "" if is_id(value) else "not an integer from 0 to 2**31 - 2"
    if hint is str:
        return "" if is_text(value) else "not a text"
    is_token = isinstance(value, list | tuple) and len(value) == 2 and is_text(value[0]) and is_id(value[1])
    return "" if is_token else "not a token and its id"


def _pattern(node: Json, what: str) -> Json:
    """Read ``{"String": ...}`` or ``{"Regex": ...}``."""
    pattern = node.get("pattern")
    if not isinstance(pattern, dict) or len(pattern) != 1 or not pattern.keys() <= {"String", "Regex"}:
        raise damaged(f"{what}: pattern is {shown(pattern)}, neither a String nor a Regex")
    ((kind, text),) = pattern.items()
    return {"pattern": text, "literal": kind == "String"}


def _old_metaspace(given: Json, what: str) -> Json:
    """Read the field by which older files said whether a mark is put in front."""
    if given.get("split", True) is None:
        del given["split"]
    old = given.get("add_prefix_space")
    if old is None:
        return given
    if not isinstance(old, bool):
        raise damaged(f"{what}: add_prefix_space is {shown(old)}, neither true nor false")
    scheme = given.get("prepend_scheme", "always")
    if not old and scheme != "never":
        raise damaged(f"{what}: add_prefix_space is False, but prepend_scheme is {shown(scheme)}")
    return given


# ---------------------------------------------------------------- a slot of the file


def read_steps(node: Any, slot: str, members: str, kinds: dict[str, type[Any]], faults: Faults) -> tuple[Any, ...]:
    """Return the steps of a slot in their order, nested sequences laid out flat; those with a fault are left out."""
    found = []
    for step in faults.caught(lambda: list(_flat(node, slot, members))) or ():
        name = step["type"]
        if isinstance(name, str) and name in kinds:
            found.append(faults.caught(read_step, kinds[name], step, f"{slot} {name}"))
        else:
            faults.missing.append(f"{slot} {shown(name)}")
    return tuple(step for step in found if step is not None)


def _flat(node: Any, slot: str, members: str) -> Iterator[Json]:
    """Yield the steps of a component that may be a sequence of sequences, as deep as it likes."""
    todo, count = [] if node is None else [node], 0
    while todo:
        step = todo.pop()
        if not isinstance(step, dict):
            raise damaged(f"{slot}: {shown(step)} is no component")
        if "type" not in step:
            raise damaged(f"{slot}: a component has no type: {shown(step)}")
        if step["type"] == "Sequence":
            inner = step.get(members)
            if not isinstance(inner, list):
                raise damaged(f"{slot} Sequence: {members} is {shown(inner)}, no list")
            todo += reversed(inner)
        else:
            yield step
        count += 1
        if count + len(todo) > MOST_STEPS:
            raise damaged(f"{slot}: a sequence of more than {MOST_STEPS} steps")


def read_normalizers(node: Any, faults: Faults) -> tuple[Any, ...]:
    """Return the normalizers."""
    return read_steps(node, "normalizer", "normalizers", NORMALIZERS, faults)


def read_pre_tokenizers(node: Any, faults: Faults) -> tuple[Any, ...]:
    """Return the pre-tokenizers."""
    return read_steps(node, "pre-tokenizer", "pretokenizers", PRE_TOKENIZERS, faults)


def read_decoders(node: Any, faults: Faults) -> tuple[Any, ...] | None:
    """Return the decoders; None where the file has none, which is another thing than an empty sequence."""
    return None if node is None else read_steps(node, "decoder", "decoders", DECODERS, faults)


def read_post_processors(node: Any, faults: Faults) -> tuple[Any, ...]:
    """Return the post-processors."""
    found: list[Any] = []
    for step in faults.caught(lambda: list(_flat(node, "post-processor", "processors"))) or ():
        name = step["type"]
        if name == "TemplateProcessing":
            found.append(faults.caught(_template, step))
        elif name in ("ByteLevel", "BertProcessing", "RobertaProcessing"):
            kind = {"ByteLevel": ByteLevel, "BertProcessing": BertProcessing}.get(name, RobertaProcessing)
            found.append(faults.caught(_processor, kind, step, f"post-processor {name}"))
        else:
            faults.missing.append(f"post-processor {shown(name)}")
    steps = tuple(step for step in found if step is not None)
    if sum(not isinstance(step, ByteLevel) for step in steps) > 1:
        # Of a pair the second one would be asked to surround what the first one made one text of.
        faults.missing.append("two post-processors that add ids")
    return steps


def _processor(kind: type[Any], node: Json, what: str) -> Any:
    step = read_step(kind, node, what)
    if not isinstance(step, BertProcessing | RobertaProcessing):
        return step
    ends = {name: (str(token), id) for name in ("sep", "cls") for token, id in [getattr(step, name)]}
    return kind(**{one.name: getattr(step, one.name) for one in fields(step)} | ends)


def _template(node: Json) -> TemplateProcessing:
    """Read a template: its pieces with the ids that they stand for."""
    what = "post-processor TemplateProcessing"
    tokens = node.get("special_tokens")
    if not isinstance(tokens, dict):
        raise damaged(f"{what}: special_tokens is {shown(tokens)}, no object")

    def piece(part: Any) -> TemplatePiece:
        if not isinstance(part, dict) or len(part) != 1 or not part.keys() <= {"Sequence", "SpecialToken"}:
            raise damaged(f"{what}: {shown(part)} is neither a Sequence nor a SpecialToken")
        ((kind, inner),) = part.items()
        if not isinstance(inner, dict) or not isinstance(inner.get("id"), str) or not is_id(inner.get("type_id")):
            raise damaged(f"{what}: a {kind} is {shown(inner)}")
        name, type_id = inner["id"], inner["type_id"]
        if kind == "Sequence":
            if name not in ("A", "B"):
                raise damaged(f"{what}: a Sequence has the id {name!r}, neither 'A' nor 'B'")
            return TemplatePiece(name, (), type_id)
        ids = tokens[name].get("ids") if isinstance(tokens.get(name), dict) else None
        if not isinstance(ids, list) or not all(map(is_id, ids)):
            raise damaged(f"{what}: puts {name!r} around a text, of which special_tokens has {shown(tokens.get(name))}")
        return TemplatePiece("", tuple(ids), type_id)

    sides = {}
    for side in ("single", "pair"):
        if not isinstance(node.get(side), list):
            raise damaged(f"{what}: {side} is {shown(node.get(side))}, no list")
        sides[side] = tuple(map(piece, node[side]))
    return TemplateProcessing(**sides)


def read_truncation(node: Any) -> Truncation | None:
    """Return to how many ids the maker cuts texts."""
    if node is None:
        return None
    return read_step(Truncation, _object(node, "truncation"), "truncation")


def read_padding(node: Any) -> Padding | None:
    """Return how the maker pads."""
    if node is None:
        return None
    given, strategy = dict(_object(node, "padding")), node.get("strategy")
    if isinstance(strategy, dict) and strategy.keys() == {"Fixed"} and is_id(strategy["Fixed"]):
        given["fixed"] = strategy["Fixed"]
    elif strategy == "BatchLongest":
        given["fixed"] = None
    else:
        raise damaged(f"padding: strategy is {shown(strategy)}, neither BatchLongest nor Fixed")
    return read_step(Padding, given, "padding")


def _object(node: Any, what: str) -> Json:
    if not isinstance(node, dict):
        raise damaged(f"{what} is {shown(node)}, no object")
    return node
