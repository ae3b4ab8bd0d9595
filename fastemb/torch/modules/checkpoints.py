"""Where checkpoints keep the tables of their first layer, and what they say of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .settings import read_settings

#: The names of the tables in BERT and most others, and in GPT-2; the first is what is looked for.
_BERT = {
    "word_embeddings": ("word_embeddings.weight",),
    "position_embeddings": ("position_embeddings.weight",),
    "token_type_embeddings": ("token_type_embeddings.weight",),
    "weight": ("LayerNorm.weight", "LayerNorm.gamma"),  # the second as TensorFlow's models had it
    "bias": ("LayerNorm.bias", "LayerNorm.beta"),
}
_GPT2 = {"word_embeddings": ("wte.weight",), "position_embeddings": ("wpe.weight",)}
#: Kinds of models whose positions begin behind the row of padding.
_ROBERTA = {
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "data2vec-text", "xmod",
    "longformer", "mpnet", "luke",
}  # fmt: skip
#: Kinds of models that name their tables like BERT and number positions in yet another way, from 2 on.
_OTHERS = {"nystromformer", "mra", "yoso"}
#: What configurations call the dropout of the first layer.
_DROPOUTS = "hidden_dropout_prob", "embd_pdrop", "embed_dropout"


class Checkpoint(NamedTuple):
    """The first layer of a checkpoint."""

    tensors: dict[str, Any]  # by the names of `_BERT`; those that there are
    numbering: Any
    padding_idx: int | None
    eps: float | None
    dropout: float
    training: bool


def read(source: Any, prefix: str | None, numbering: Any) -> Checkpoint:
    """Return the first layer of a module, a mapping, a file or a folder."""
    config: Any = {}
    if isinstance(source, torch.nn.Module):
        # Parameters themselves, of which a state dict would have copies that nobody trains; tied ones by all names.
        tensors: Any = dict(source.named_parameters(remove_duplicate=False))
        names, where = list(tensors), f"the parameters of a {type(source).__name__}"
    elif isinstance(source, Mapping):
        tensors, names, where = source, list(source), "the mapping"
    else:
        tensors, config = _open(Path(source))
        names, where = list(tensors), str(source)
    families: list[tuple[Any, str]] = [(_BERT, "bert"), (_GPT2, "gpt2")]
    places = [
        (name.removesuffix(known["word_embeddings"][0]), known, family)
        for known, family in families
        for name in names
        if name.endswith(known["word_embeddings"][0])
    ]
    places = [place for place in places if place[0][-1:] in ("", ".") and prefix in (None, place[0])]
    if len(places) != 1:
        wanted = "word_embeddings.weight or wte.weight" + ("" if prefix is None else f" behind {prefix!r}")
        saw = f"it is behind each of {[place[0] for place in places]}: give prefix" if places else "it is not there"
        raise ValueError(f"from_bert looks in {where} for {wanted}; {saw}")
    before, known, family = places[0]
    if isinstance(source, torch.nn.Module):
        config = _told_by(source, before)
    if family == "bert":
        _require_bert(names, before, config)
    found: dict[str, Any] = {}
    for part, spellings in known.items():
        name = next((before + spelling for spelling in spellings if before + spelling in tensors), None)
        if name is not None:
            found[part] = tensors[name]
    _require_shapes(found, before)
    numbering = numbering or _numbering(found, before, config, family)
    default = {"bert": (0, 1e-12), "roberta": (1, 1e-5)}[numbering] if family == "bert" else (None, None)
    return Checkpoint(
        found, numbering, config.get("pad_token_id", default[0]) if family == "bert" else None,
        config.get("layer_norm_eps", default[1]), next((config[name] for name in _DROPOUTS if name in config), 0.1),
        source.training if isinstance(source, torch.nn.Module) else True,
    )  # fmt: skip


def _told_by(source: torch.nn.Module, before: str) -> dict[str, Any]:
    """Return the configuration nearest to the tables, or what their own module tells, by a configuration's names.

    A model may be part of others: of a SentenceTransformer, which has none, or beside a decoder, whose is another.
    """
    path = before.split(".")[:-1]
    for depth in range(len(path), -1, -1):
        config: Any = getattr(source.get_submodule(".".join(path[:depth])), "config", None)
        if hasattr(config, "to_dict"):  # other libraries have other objects of this name
            told: dict[str, Any] = config.to_dict()
            return told
    module, told = source.get_submodule(".".join(path)), {}
    words, positions = (getattr(module, name, None) for name in ("word_embeddings", "position_embeddings"))
    if words is not None and positions is not None:
        told["model_type"] = "bert" if positions.padding_idx is None else "roberta"
        told["pad_token_id"] = words.padding_idx
    norm, dropout = getattr(module, "LayerNorm", None), getattr(module, "dropout", None)
    if norm is not None:
        told["layer_norm_eps"] = norm.eps
    if dropout is not None:
        told["hidden_dropout_prob"] = dropout.p
    return told


def _require_bert(names: list[str], before: str, config: Mapping[str, Any]) -> None:
    """Refuse a first layer that does more than add, normalise and drop out: its numbers would silently be others."""
    if config.get("model_type") in _OTHERS:
        raise ValueError(f"from_bert does not know how {config['model_type']} numbers positions")
    known = {spelling for spellings in _BERT.values() for spelling in spellings}
    for name in names:
        rest = name.removeprefix(before)
        beside = name.startswith(before) and rest.endswith((".weight", ".bias")) and rest.count(".") == 1
        if beside and rest not in known and (before.endswith("embeddings.") or "embeddings" in rest):
            raise ValueError(
                f"from_bert knows no use for {name}, which stands beside {before}word_embeddings.weight: the first "
                "layer of this model does more than this module"
            )


def _numbering(found: Mapping[str, Any], before: str, config: Mapping[str, Any], family: str) -> str:
    """Return how positions are numbered; refuse to guess where a guess would shift them all."""
    kind = config.get("model_type")
    if kind is not None or family != "bert":
        return "roberta" if kind in _ROBERTA else "bert"
    if "roberta." in before:
        return "roberta"
    rows = len(found["position_embeddings"]) if "position_embeddings" in found else 0
    if "bert." not in before and rows > 64 and not (rows - 2) % 64:
        raise ValueError(
            f"positions have {rows} rows, two more than most, as RoBERTa's have: give numbering='roberta' or 'bert', "
            "or a folder with config.json"
        )
    return "bert"


def _require_shapes(found: Mapping[str, Any], before: str) -> None:
    table = found["word_embeddings"]
    if table.dim() != 2:
        raise ValueError(f"{before}word_embeddings.weight must have shape (V, D), got {tuple(table.shape)}")
    for name, tensor in found.items():
        wanted = (table.shape[1],) if name in ("weight", "bias") else (len(tensor), table.shape[1])
        if tuple(tensor.shape) != wanted:
            raise ValueError(
                f"{name} of the checkpoint has shape {tuple(tensor.shape)}, which does not go with tokens of shape "
                f"{tuple(table.shape)}"
            )


class _File(Mapping[str, Any]):
    """The tensors of files, each read when it is asked for: a model has some hundred, of which five are wanted."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files  # of each name

    def __getitem__(self, name: str) -> Any:
        from safetensors import safe_open

        with safe_open(self._files[name], framework="pt") as file:
            return file.get_tensor(name)

    def __iter__(self) -> Any:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _open(path: Path) -> tuple[_File, dict[str, Any]]:
    """Return the tensors of a file or folder, and the configuration beside them."""
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError("reading a checkpoint needs the package safetensors: pip install safetensors") from error
    folder = path if path.is_dir() else path.parent
    config, index = folder / "config.json", folder / "model.safetensors.index.json"
    told = read_settings(config) if config.is_file() else {}
    file = folder / "model.safetensors" if path.is_dir() else path
    if path.is_dir() and not file.is_file() and index.is_file():
        parts = read_settings(index).get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
            raise ValueError(f"{index}: expected a weight_map from names of tensors to files")
        return _File({name: folder / part for name, part in parts.items()}), told
    if not file.is_file():
        raise FileNotFoundError(f"from_bert reads model.safetensors of a folder, or a file; there is no {file}")
    with safe_open(file, framework="pt") as opened:
        return _File(dict.fromkeys(opened.keys(), file)), told
