"""Models and tokenizers on their way to workers: what is large lies once on each node, whatever the workers.

Objects of Ray lie in memory that all processes of a node share, and arrays in them are read where they lie. Pickled as
it is a tokenizer would be bytes, a copy for every worker; its image is therefore sent as an array. So is the table:
a view of a mapped file, or of some columns, would be copied into the pickle.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._text.core import Core, aligned
from .._words import type_name
from ..static import StaticModel
from ..tokenizer import Tokenizer

PROBE = ["a", " The same  words\non every Machine,", "12,345 \u00c9e\u0301\u4e2d\ufb01 \U0001f600</s>"]


class Image(NamedTuple):
    """A tokenizer."""

    bytes: npt.NDArray[np.uint8]

    def open(self) -> Tokenizer:
        """Return the tokenizer over these bytes, which are not copied."""
        return Tokenizer(Core(image=self.bytes))


class Parts(NamedTuple):
    """A model: the tokenizer's image, and all else."""

    image: Image
    state: dict[str, Any]

    def open(self) -> StaticModel:
        """Return the model over these arrays, which are not copied."""
        model = StaticModel.__new__(StaticModel)
        model.__dict__.update(self.state, tokenizer=self.image.open())
        return model


class Folder(NamedTuple):
    """A model that every node finds under the same path."""

    path: str

    def open(self) -> StaticModel:
        """Return the model, its table mapped: its pages are the file's, which all workers of a node share."""
        return StaticModel.load(self.path, mmap=True)


def image_of(tokenizer: Tokenizer) -> Image:
    """Return a tokenizer as it is sent."""
    return Image(aligned(bytes(tokenizer._core.image())))


def as_tokenizer(tokenizer: Any) -> Tokenizer:
    """Return the tokenizer that was given, or that of a file."""
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    if isinstance(tokenizer, str | os.PathLike):
        return Tokenizer.load(tokenizer)
    raise TypeError(f"tokenizer must be a fastemb.Tokenizer or a path, got {type_name(tokenizer)}")


def send_model(model: Any) -> tuple[StaticModel, Parts | Folder]:
    """Return a model, and how workers get it: by the path that was given where its table can be mapped."""
    if isinstance(model, StaticModel):
        return model, _parts_of(model)
    if model is not None and not isinstance(model, str | os.PathLike):
        raise TypeError(f"model must be a fastemb.StaticModel, a path or None, got {type_name(model)}")
    loaded = StaticModel.load(model, mmap=True)
    if model is not None and isinstance(loaded.table, np.memmap):
        return loaded, Folder(str(Path(model).absolute()))
    return loaded, _parts_of(loaded)


def _parts_of(model: StaticModel) -> Parts:
    state = model.__getstate__()
    del state["tokenizer"]
    if isinstance(model.table, np.ndarray):
        state["table"] = np.ascontiguousarray(model.table.view(np.ndarray))
    return Parts(image_of(model.tokenizer), state)


@contextmanager
def alone_on_this_node() -> Iterator[None]:
    """Let one process of this user and machine go on at a time, as its kernels are compiled: others find them then."""
    path = Path(tempfile.gettempdir(), f"fastemb-{os.getuid()}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
