"""What the files for neighbours share: the package that is missing, the model that was given, prompts by their use."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from ._static.options import EncodeOptions, check_count
from ._text.texts import only_str
from ._words import type_name
from .static import StaticModel
from .tokenizer import Tokenizer

#: The names of prompts for one use, of which a model has some: Sentence Transformers takes the first that is there.
QUERY, DOCUMENT = ("query",), ("document", "passage", "corpus")
UNNAMED = "StaticModel sha256:"  # a model that was given as an object, where it is written down
#: Characters of a text that a coroutine encodes where it is: in 40 µs or less, where handing it to a thread takes 80.
SHORT = 4096


def needs(error: ModuleNotFoundError, package: str, extra: str) -> ModuleNotFoundError:
    """Return the error of an import: what has to be installed where `package` is missing, else as it came."""
    if error.name is None or error.name.partition(".")[0] != package:
        return error  # the neighbour is there; something of its own is not
    name = f"fastemb.{extra.replace('-', '_')}"
    return ModuleNotFoundError(
        f"{name} needs the package {package}, which is not installed: pip install 'fastemb[{extra}]'", name=package
    )


def as_model(model: Any, dim: int | None = None) -> StaticModel:
    """Return a model that was given by itself, by a tokenizer and its table, or by what `StaticModel.load` takes.

    With `dim` its vectors have so many columns; the table is not copied, and the model that was given stays as it is.
    """
    if isinstance(model, str) and model.startswith(UNNAMED):
        raise ValueError(f"{model!r} is how a model without a path is written down; give its path, or the StaticModel")
    if isinstance(model, list | tuple):
        if len(model) != 2 or not isinstance(model[0], Tokenizer):
            held = ", ".join(map(type_name, model))
            raise TypeError(
                f"model must be a path, a StaticModel or (Tokenizer, table), got a {type_name(model)} of {held}"
            )
        model = StaticModel(*model)
    if not isinstance(model, StaticModel):
        return StaticModel.load(model, dim=dim)
    return model if check_count(dim, "dim") is None else copy.copy(model)._first(dim)


def written_down(model: Any) -> str | None:
    """Return a model as a text: its path, or for a `StaticModel` a digest of all that its vectors come from."""
    if model is None or isinstance(model, str):
        return model
    if not isinstance(model, StaticModel | list | tuple):
        return str(model)
    # Equal in every process: a tokenizer is pickled as what it saves.
    return UNNAMED + hashlib.sha256(pickle.dumps(as_model(model), protocol=5)).hexdigest()


def options_of(model: StaticModel, names: tuple[str, ...], prompt: str | None, normalize: bool | None) -> EncodeOptions:
    """Return what `StaticModel.encode` is asked for: the prompt that is given, else the first by these names."""
    options: EncodeOptions = {"normalize": normalize}
    if prompt is not None:
        options["prompt"] = prompt
    elif (name := next((name for name in names if name in model.prompts), None)) is not None:
        options["prompt_name"] = name
    return options


def is_short(text: Any) -> bool:
    """Whether a coroutine had better encode a text where it is."""
    return isinstance(text, str) and len(text) <= SHORT


class Sides(NamedTuple):
    """A model with what it is asked for queries, and for the documents in which they are looked up."""

    model: StaticModel
    for_queries: EncodeOptions
    for_documents: EncodeOptions

    def query(self, text: str) -> list[float]:
        """Return the vector of a query, as a list of Python's floats."""
        return self._one(text, self.for_queries)

    def document(self, text: str) -> list[float]:
        """Return the vector of a document, as a list of Python's floats."""
        return self._one(text, self.for_documents)

    def documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each document, as a list of Python's floats."""
        vectors: list[list[float]] = self.model.encode(only_str(texts), **self.for_documents).tolist()
        return vectors

    def _one(self, text: str, options: EncodeOptions) -> list[float]:
        if not isinstance(text, str):  # of a list `encode` would return several
            raise TypeError(f"text must be a str, got {type_name(text)}")
        vector: list[float] = self.model.encode(text, **options).tolist()
        return vector


class Searching:
    """What classes of pydantic's have in common that embed queries and documents; their parameters are fields."""

    model: Any
    normalize: bool | None
    query_prompt: str | None
    document_prompt: str | None
    dim: int | None
    _sides: Sides

    def _open(self) -> None:
        """Read the model and try all parameters on an empty text."""
        model = as_model(self.model, self.dim)
        sides = Sides(
            model,
            options_of(model, QUERY, self.query_prompt, self.normalize),
            options_of(model, DOCUMENT, self.document_prompt, self.normalize),
        )
        sides.query("")
        sides.document("")
        self._sides = sides

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy in which some fields are others: pydantic's, with the model that these ask for."""
        copied: Self = super().model_copy(update=update, deep=deep)  # type: ignore[misc]
        if update:
            copied._open()
        return copied
