"""Trainers: what `Tokenizer.train` and `Tokenizer.train_from_iterator` are to make."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from .added_token import AddedToken
from .component import Json

_COUNTS = ("vocab_size", "min_frequency", "limit_alphabet", "max_token_length")


class Trainer:
    """What is asked for: settings are attributes, and the state is JSON, as ``tokenizers`` pickles it."""

    model: ClassVar[str]  # the model that is trained
    _defaults: ClassVar[Json] = {
        "min_frequency": 0,
        "vocab_size": 30000,
        "show_progress": True,
        "progress_format": "Indicatif",
        "special_tokens": [],
        "limit_alphabet": None,
        "initial_alphabet": [],
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "max_token_length": None,
    }
    _own: ClassVar[Json] = {}  # what a kind has otherwise; None for nothing
    _fields: Json

    def __init__(self, **settings: Any) -> None:
        object.__setattr__(self, "_fields", self._defaults | self._own)
        for name, value in settings.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return self._fields[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._fields:
            raise TypeError(f"{type(self).__name__} has no setting {name!r}; it has {', '.join(self._fields)}")
        if name == "special_tokens":
            value = [AddedToken.of(token, True) for token in value]
        elif name == "initial_alphabet":
            value = list(dict.fromkeys(text[0] for text in value if text))  # of longer ones the first character
        elif name in _COUNTS and value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
        elif name in _COUNTS and value is not None and value < 0:
            raise OverflowError(f"{name} must be at least 0, got {value}")
        self._fields[name] = value

    def __getstate__(self) -> bytes:
        tokens = [token.to_json(0) for token in self.special_tokens]
        listed = [{name: one for name, one in token.items() if name != "id"} for token in tokens]
        state = {self._kind: self._fields | {"special_tokens": listed, "words": {}}}
        return json.dumps(self._wrapped(state), separators=(",", ":"), ensure_ascii=False).encode()

    def __setstate__(self, state: bytes) -> None:
        Trainer.__init__(self, **_settings(json.loads(state)))

    _kind: ClassVar[str] = "BpeTrainer"

    def _wrapped(self, state: Json) -> Json:
        return state


class BpeTrainer(Trainer):
    """Train byte pair encoding.

    Parameters
    ----------
    **settings
        ``vocab_size=30000, min_frequency=0, show_progress=True, special_tokens=[], limit_alphabet=None,
        initial_alphabet=[], max_token_length=None``; a ``continuing_subword_prefix`` and an ``end_of_word_suffix`` are
        taken, and refused where something is trained with them.
    """

    model = "BPE"


class WordPieceTrainer(Trainer):
    """Train WordPiece, by merging pairs.

    Parameters
    ----------
    **settings
        As those of `BpeTrainer`, but with ``continuing_subword_prefix="##"``.
    """

    model = "WordPiece"
    _own: ClassVar[Json] = {"continuing_subword_prefix": "##"}

    def _wrapped(self, state: Json) -> Json:
        return {"WordPieceTrainer": {"bpe_trainer": state["BpeTrainer"]}}


_KINDS: dict[str, type[Trainer]] = {"BpeTrainer": BpeTrainer, "WordPieceTrainer": WordPieceTrainer}
_OTHERS = {"UnigramTrainer": "Unigram", "WordLevelTrainer": "WordLevel"}  # of theirs, and what they train


def _settings(state: Json) -> Json:
    [node] = state.values()
    node = {name: value for name, value in node.get("bpe_trainer", node).items() if name != "words"}
    return node | {"special_tokens": [AddedToken.from_json(token) for token in node["special_tokens"]]}


def trainer_of(trainer: Any, model: str) -> Trainer:
    """Return a trainer of this module or of ``tokenizers``, for a model; of None that model's own.

    Raises
    ------
    NotImplementedError
        There is no such trainer here.
    TypeError
        It is none.
    ValueError
        It trains another model.
    """
    asked: Trainer | None = trainer if isinstance(trainer, Trainer) else None
    if trainer is None:
        asked = next((kind() for kind in _KINDS.values() if kind.model == model), None)
        if asked is None:
            raise NotImplementedError(f"{model} is not trained by the drop-in; use fastemb.Tokenizer.train")
    elif asked is None:
        asked = _of_theirs(trainer, model)
    if asked.model != model:
        raise ValueError(f"{type(asked).__name__} can only train a {asked.model}, got a model {model}")
    return asked


def _of_theirs(trainer: Any, model: str) -> Trainer:
    try:
        state: Any = json.loads(trainer.__getstate__())
    except Exception:
        state = None
    if not isinstance(state, dict) or len(state) != 1:
        raise TypeError(f"trainer must be a trainer, got {type(trainer).__name__}")
    [name] = state
    if name not in _KINDS and name in _OTHERS and _OTHERS[name] != model:
        raise ValueError(f"{name} can only train a {_OTHERS[name]}, got a model {model}")
    if name not in _KINDS:
        raise NotImplementedError(f"{name} is not in the drop-in, which has {', '.join(_KINDS)}")
    return _KINDS[name](**_settings(state))


def texts_of(iterator: Iterable[Any]) -> Iterable[str]:
    """Yield texts that come alone, or in lists."""
    for item in iterator:
        if isinstance(item, str):
            yield item
        else:
            yield from item
