"""Reading a folder with a `vocab.json`, a `merges.txt` and the files of settings that transformers puts beside them.

All of it becomes what a `tokenizer.json` of the same tokenizer would hold, and goes on as one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from .bpe_model import check_vocab, is_id, is_text, read_merges
from .component_reader import Unsupported
from .components import Bpe, TokenizerFile
from .gpt2_files import merge_lines
from .pair_families import FAMILIES, Json, Place, Settings, Token, template
from .tokenizer_json import Refused, load_json, parse_tokenizer_json
from .vocabulary import DamagedVocabularyError

# The parts that special tokens play, in the order in which they get ids.
PARTS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")
_MOST_IDS = 1 << 24  # a larger model_max_length means that there is none


def named_class(folder: Path) -> str | None:
    """Return the class by which `tokenizer_config.json` names the tokenizer of a folder; None where it does not."""
    config = folder / "tokenizer_config.json"
    name = load_json(config).get("tokenizer_class") if config.is_file() else None
    return name.removesuffix("Fast") if isinstance(name, str) else None


def read_named_pair(folder: Path, name: str) -> TokenizerFile:
    """Read the vocabulary and merges of a folder as the class of this name reads them.

    Raises
    ------
    ValueError
        A file is damaged, or the class is not known; the message names the file.
    """
    vocabulary, merges, config = (folder / file for file in ("vocab.json", "merges.txt", "tokenizer_config.json"))
    if name not in FAMILIES:
        raise ValueError(
            f"{config}: the tokenizer_class {name!r} is not known, so how text is cut must be given as the pattern; "
            f"known are {', '.join(sorted(FAMILIES))}"
        )
    lines = merge_lines(merges)
    try:
        vocab = check_vocab(load_json(vocabulary))
    except DamagedVocabularyError as error:
        raise ValueError(f"{vocabulary}: damaged vocabulary: {error}") from None
    try:
        pairs = read_merges(lines, vocab)
    except DamagedVocabularyError as error:
        raise ValueError(f"{merges}: damaged merge list: {error}") from None
    try:
        file = parse_tokenizer_json(document(name, vocab, *read_settings(folder)))
    except DamagedVocabularyError as error:
        raise ValueError(f"{config}: as {name}: {error}") from None
    except Unsupported as error:
        raise ValueError(f"{config}: not supported yet: {error}") from None
    except Refused as error:
        raise ValueError(f"{folder}: as {name}: {error}") from None
    assert isinstance(file.model, Bpe)
    return replace(file, model=replace(file.model, merges=pairs))


def document(name: str, vocab: dict[str, int], config: Json, ids: Json) -> Json:
    """Return what the `tokenizer.json` would hold, but for the merges; settings as `read_settings` gives them."""
    family = FAMILIES[name]
    parts = {part: _token(config[part] if part in config else family.special.get(part), part) for part in PARTS}
    added = _added(parts, config, ids, vocab)
    special = {part: token["content"] for part, token in parts.items() if token is not None}
    settings = Settings(config, special, vocab | {token["content"]: token["id"] for token in added})
    components = dict(family.components(settings))
    ends = _ends(settings)
    if ends is not None and "post_processor" not in components:
        components["post_processor"] = ends
    model = {"type": "BPE", "vocab": vocab, "merges": []} | components.pop("model", {})
    limits = {"truncation": _truncation(config), "padding": _padding(settings)}
    return {"version": "1.0", "added_tokens": added, "model": model} | limits | components


def read_settings(folder: Path) -> tuple[Json, Json]:
    """Return the settings of all files, and the tokens with an id of their own: {id: token}.

    Older folders have the special tokens, and the ids of added ones, in files by themselves.
    """
    config, more, old = (
        load_json(file) if (file := folder / name).is_file() else {}
        for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    )
    if isinstance(config.get("added_tokens_decoder"), dict):
        return config, config["added_tokens_decoder"]
    config = config | more
    special = {_content(config[part]) for part in PARTS if config.get(part)}
    special |= {_content(token) for token in _extra(config)}
    ids = {}
    for content, id in old.items():
        is_special = content in special
        ids[str(id)] = {"content": content, "special": is_special, "normalized": not is_special}
    return config, ids


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def _extra(config: Json) -> list[Any]:
    """Return the special tokens that play no part: lists, and settings whose names end as those of the parts do."""
    lists = [config.get("additional_special_tokens"), config.get("extra_special_tokens")]
    named = [
        value for name, value in config.items() if name.endswith("_token") and name not in PARTS and is_text(value)
    ]
    return named + [token for one in lists for token in (one.values() if isinstance(one, dict) else one or [])]


def _token(token: Any, what: str, special: bool = True) -> Json | None:
    """Return an added token as a `tokenizer.json` has it, but for its id; None where there is none."""
    if token is None:
        return None
    if is_text(token):
        token = {"content": token}
    if not isinstance(token, dict) or not is_text(token.get("content")) or not token["content"]:
        raise DamagedVocabularyError(f"{what} is {str(token)[:80]!r}, no token")
    flags = {name: bool(token.get(name, False)) for name in _FLAGS}
    return {"content": token["content"], "special": bool(token.get("special", special))} | flags


def _added(parts: dict[str, Json | None], config: Json, ids: Json, vocab: dict[str, int]) -> list[Json]:
    """Return all added tokens with their ids: that of the vocabulary, that of the file, or the next one."""
    tokens: dict[str, Json] = {}
    numbers = {}
    for id, token in sorted(ids.items(), key=lambda item: (len(item[0]), item[0])):
        if not id.isdecimal() or not is_id(int(id)):
            raise DamagedVocabularyError(f"an added token has the id {id!r}")
        one = _token(token, f"the added token {id}", special=False)
        assert one is not None
        tokens[one["content"]] = one
        numbers[one["content"]] = int(id)
    for part in parts.values():
        if part is not None:
            tokens[part["content"]] = tokens.get(part["content"], part) | {"special": True}
    for token in _extra(config):
        one = _token(token, "a special token")
        if one is not None:
            tokens.setdefault(one["content"], one)
    next_id = max([len(vocab) - 1, *vocab.values(), *numbers.values()]) + 1
    for content, token in tokens.items():
        if content in vocab or content in numbers:
            token["id"] = vocab.get(content, numbers.get(content))
        else:
            token["id"], next_id = next_id, next_id + 1
    return sorted(tokens.values(), key=lambda token: int(token["id"]))


def _ends(settings: Settings) -> Json | None:
    """Return the template by `add_bos_token` and `add_eos_token`; None where they add none."""

    def asked(part: str) -> list[Token]:
        wanted = settings.flag(f"add_{part}") and part in settings.special
        return [settings.token(part)] if wanted else []

    before, after = asked("bos_token"), asked("eos_token")
    if not before and not after:
        return None

    def around(text: str, type_id: int) -> list[Place]:
        return [*((one, type_id) for one in before), (text, type_id), *((one, type_id) for one in after)]

    return template(around("A", 0), around("A", 0) + around("B", 1))


def _truncation(config: Json) -> Json | None:
    most = config.get("model_max_length")
    if not isinstance(most, int) or not is_id(most) or most > _MOST_IDS:
        return None
    side = "Left" if config.get("truncation_side") == "left" else "Right"
    return {"direction": side, "max_length": most, "strategy": "LongestFirst", "stride": 0}


def _padding(settings: Settings) -> Json | None:
    if "pad_token" not in settings.special:
        return None
    content, id = settings.token("pad_token")
    return {
        "strategy": "BatchLongest",
        "direction": "Left" if settings.given.get("padding_side") == "left" else "Right",
        "pad_to_multiple_of": None,
        "pad_id": id,
        "pad_type_id": 0,
        "pad_token": content,
    }
