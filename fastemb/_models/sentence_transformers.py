"""Folders of Sentence Transformers: a `modules.json` lists what a text goes through, each with a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._text.tokenizer_json import json_fault, load_json
from .._words import shown
from .tensors import FLOATS, one_file, read_tensors

Vectors = npt.NDArray[np.float32]

STATIC, NORMALIZE, DENSE = "StaticEmbedding", "Normalize", "Dense"
ACTIVATIONS: dict[str, Callable[[Vectors], Vectors]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
}


class Dense(NamedTuple):
    """A layer behind the means: ``activation(x @ weight.T + bias)``."""

    weight: Vectors
    bias: Vectors | None
    activation: str

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return the layer's vectors."""
        made = vectors @ self.weight.T
        return ACTIVATIONS[self.activation](made if self.bias is None else made + self.bias)

    def first(self, dim: int) -> Dense:
        """Return the layer that makes the first `dim` columns."""
        return self._replace(weight=self.weight[:dim], bias=None if self.bias is None else self.bias[:dim])


class Modules(NamedTuple):
    """What a folder asks for."""

    folder: Path  # of the table and its tokenizer
    layers: list[Dense]
    normalize: bool  # at the end
    max_length: int | None  # ids of a text; its characters are not counted
    prompts: dict[str, str]  # what is put before texts, by name
    default_prompt: str | None
    truncate_dim: int | None  # columns that are kept of vectors, behind all modules


def read_modules(folder: Path) -> Modules:
    """Read what a folder with a `modules.json` asks for.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        A file is damaged, or asks for something that is not supported: the message names it.
    """
    file = folder / "modules.json"
    kinds, places = _listed(file)
    if kinds[0] != STATIC:
        raise ValueError(f"{file}: its first module is {kinds[0]}, and only {STATIC} makes a static model")
    normalize = kinds[-1] == NORMALIZE
    middle = range(1, len(kinds) - normalize)
    others = [kinds[i] for i in middle if kinds[i] != DENSE]
    if others:
        raise ValueError(f"{file}: not supported: the module {others[0]} before the last place")
    prompts, default, columns = _settings(folder / "config_sentence_transformers.json")
    home = folder / places[0]
    max_length = _truncation(home / "tokenizer.json")
    layers = [_dense(folder / places[i]) for i in middle]
    return Modules(home, layers, normalize, max_length, prompts, default, columns)


def _listed(file: Path) -> tuple[list[str], list[str]]:
    """Return the kinds of the modules, without the names of packages, and their folders."""
    try:
        listed = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not valid JSON: {json_fault(error)}") from None
    if not isinstance(listed, list):
        raise ValueError(f"{file}: expected a JSON list, got {type(listed).__name__}")
    kinds, places = [], []
    for node in listed:
        kind, place = (node.get("type"), node.get("path")) if isinstance(node, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(place, str) or Path(place).is_absolute() or ".." in place:
            raise ValueError(
                f"{file}: a module is {shown(node)}, not an object with a type and a path below the folder"
            )
        kinds.append(kind.rpartition(".")[2])
        places.append(place)
    if not kinds:
        raise ValueError(f"{file}: it lists no module")
    return kinds, places


def _dense(folder: Path) -> Dense:
    """Read a layer."""
    config, table = load_json(folder / "config.json"), one_file(folder)
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    strange = [name for name in ("use_residual", "module_input_name", "module_output_name") if _is_asked(config, name)]
    if activation not in ACTIVATIONS or strange:
        what = f"{strange[0]} = {config[strange[0]]!r}" if strange else f"activation_function {activation!r}"
        raise ValueError(f"{folder / 'config.json'}: not supported: {what} of a Dense module")
    tensors, names = read_tensors(table, {"linear.weight": FLOATS, "linear.bias": FLOATS})
    weight, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    if weight is None or weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(f"{table}: expected linear.weight of two axes and its linear.bias, it holds {names}")
    return Dense(weight.astype(np.float32), None if bias is None else bias.astype(np.float32), activation)


def _is_asked(config: dict[str, Any], name: str) -> bool:
    return config.get(name) not in (None, False, "sentence_embedding")


def _settings(file: Path) -> tuple[dict[str, str], str | None, int | None]:
    """Return the prompts, the name of the one that is taken where none is asked for, and how many columns are kept."""
    config = load_json(file) if file.is_file() else {}
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise ValueError(f"{file}: prompts must be texts by their names, got {shown(prompts)}")
    if default is not None and default not in prompts:
        raise ValueError(f"{file}: default_prompt_name is {shown(default)}; its prompts are {shown(list(prompts))}")
    columns = config.get("truncate_dim")
    if columns is not None and (type(columns) is not int or columns < 1):
        raise ValueError(f"{file}: truncate_dim must be an integer of at least 1, got {shown(columns)}")
    return {name: text or "" for name, text in prompts.items()}, default, columns


def _truncation(file: Path) -> int | None:
    """Return to how many ids the tokenizer cuts texts."""
    if not file.is_file():
        raise FileNotFoundError(f"no model in {file.parent}: it holds no tokenizer.json")
    node = load_json(file).get("truncation")
    if node is None:
        return None
    length = node.get("max_length") if isinstance(node, dict) else None
    if type(length) is not int or length < 1:
        raise ValueError(f"{file}: truncation is {shown(node)}, which has no max_length of at least 1")
    if node.get("direction", "Right") != "Right":
        raise ValueError(f"{file}: not supported: truncation with direction {node['direction']!r}")
    return length
