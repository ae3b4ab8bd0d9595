"""Reading a Hugging Face `tokenizer.json` whose model is BPE.

The two kinds read so far, told by content: **byte level** (pre-tokenizer ``ByteLevel``, GPT-2's kind) and
**characters with marks** (normalizer ``Prepend`` + ``Replace``, no pre-tokenizer: Llama 2's kind). Whatever
else a file asks for is refused by name: a setting that is read past would give wrong ids without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .bpe_model import MARK, BpeModel, check_vocab, is_id, is_text, read_merges
from .core import lib
from .vocabulary import AddedToken, DamagedVocabularyError

Json = dict[str, Any]

_SPACE_TO_MARK = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
_PREPEND_MARK = {"type": "Prepend", "prepend": MARK}
_MARK_TO_SPACE = {"type": "Replace", "pattern": {"String": MARK}, "content": " "}
_STRIP_START = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def read_tokenizer_json(path: Path, data: Json | None = None) -> BpeModel:
    """Read the file at `path`, or the object that it holds, if that has been done.

    Raises
    ------
    ValueError
        The file is damaged, or asks for something that is not supported; the message names the file and the
        setting.
    """
    try:
        return _read(load_json(path) if data is None else data)
    except _Unsupported as error:
        raise ValueError(f"{path}: not supported yet: {error}") from None
    except DamagedVocabularyError as error:
        raise ValueError(f"{path}: damaged tokenizer file: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        # Only shapes that the checks below do not foresee come here: a list where an object belongs, say.
        raise ValueError(f"{path}: damaged tokenizer file: {type(error).__name__}: {error}") from None


def load_json(path: Path) -> Json:
    """Read a JSON object; any damage is a ValueError that names the file."""
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


class _Unsupported(Exception):
    """Parts of a file that are not supported: what each argument names."""

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


def _gathered(missing: list[str], read: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `read` returns; where it meets what is not supported, an empty dict, and that goes to `missing`."""
    try:
        return read(*arguments)
    except _Unsupported as error:
        missing.extend(error.args)
        return {}


def _read(data: Json) -> BpeModel:
    model = data.get("model")
    if not isinstance(model, dict):
        raise DamagedVocabularyError("it has no 'model'")
    # All that is not supported is named at once: who looks for another file needs to know.
    missing: list[str] = []
    fields: Json = _gathered(missing, _model, model)
    for read, name in (
        (_normalizer, "normalizer"),
        (_pre_tokenizer, "pre_tokenizer"),
        (_template, "post_processor"),
        (_decoder, "decoder"),
    ):
        fields |= _gathered(missing, read, data.get(name))
    normalizes = fields.get("prepend_mark", True) or fields.get("space_to_mark", True)
    added = _gathered(missing, _added, data.get("added_tokens"), fields.get("vocab", {}), normalizes)
    if not missing and fields["byte_level"] and (normalizes or fields["byte_fallback"]):
        missing.append("a ByteLevel pre-tokenizer together with byte_fallback or with a normalizer")
    if missing:
        raise _Unsupported(*missing)
    return BpeModel(**fields, added=added)


def _model(model: Json) -> Json:
    """Read the model's own fields."""
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind != "BPE":
        raise _Unsupported(f"model type {kind!r}; only 'BPE' is")
    settings = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")
    asked = [f"model setting {name} = {model[name]!r}" for name in settings if model.get(name)]
    if asked:
        raise _Unsupported(*asked)
    vocab = check_vocab(model.get("vocab"))
    unk_token = model.get("unk_token")
    if unk_token is not None and unk_token not in vocab:
        raise DamagedVocabularyError(f"unk_token {unk_token!r} is not in the vocabulary")
    return {
        "vocab": vocab,
        "merges": read_merges(model.get("merges"), vocab),
        "unk_token": unk_token,
        "fuse_unk": _flag(model, "fuse_unk"),
        "byte_fallback": _flag(model, "byte_fallback"),
    }


def _flag(node: Json, name: str, default: bool = False) -> bool:
    value = node.get(name)
    if not (value is None or isinstance(value, bool)):
        raise DamagedVocabularyError(f"{name} is {value!r}, neither true nor false")
    return default if value is None else value


def _parts(node: Any, sequence: str, members: str) -> list[Json]:
    """Return the steps of a component: none, one, or those of a sequence."""
    if node is None:
        return []
    return list(node[members]) if node["type"] == sequence else [node]


def _pre_tokenizer(node: Any) -> Json:
    steps = _parts(node, "Sequence", "pretokenizers")
    if not steps:
        return {"byte_level": False}
    if len(steps) > 1 or steps[0]["type"] != "ByteLevel":
        raise _Unsupported(f"pre-tokenizer {' + '.join(step['type'] for step in steps)}; only ByteLevel is")
    return {
        "byte_level": True,
        "pattern": lib.FE_PATTERN_GPT2 if _flag(steps[0], "use_regex", True) else lib.FE_PATTERN_NONE,
        "add_prefix_space": _flag(steps[0], "add_prefix_space", True),
    }


def _normalizer(node: Any) -> Json:
    steps = _parts(node, "Sequence", "normalizers")
    others = [step for step in steps if step not in (_PREPEND_MARK, _SPACE_TO_MARK)]
    if others:
        raise _Unsupported(*(f"normalizer {json.dumps(step, ensure_ascii=False)[:120]}" for step in others))
    # Both orders give the same text: what is prepended holds no space. Twice would not.
    if len(steps) != len({step["type"] for step in steps}):
        raise _Unsupported("a normalizer that stands twice")
    return {"prepend_mark": _PREPEND_MARK in steps, "space_to_mark": _SPACE_TO_MARK in steps}


def _decoder(node: Any) -> Json:
    """Read how ids become text."""
    if node is None:
        return {"joined_by": " "}  # so does the format's own engine
    steps = _parts(node, "Sequence", "decoders")
    if [step["type"] for step in steps] == ["ByteLevel"]:
        return {"byte_chars": True}
    # One by one these act on tokens, so only in this order do they act as ours do, which know the whole text; and
    # dropping a space from the start of the text, not of each token, needs Fuse before it.
    known = [_MARK_TO_SPACE, {"type": "ByteFallback"}, {"type": "Fuse"}, _STRIP_START]
    places = [known.index(step) if step in known else -1 for step in steps]
    if -1 in places or places != sorted({*places}) or (3 in places and 2 not in places):
        raise _Unsupported(f"decoder {json.dumps(node, ensure_ascii=False)}")
    return {"mark_to_space": 0 in places, "byte_tokens": 1 in places, "strip_start": 3 in places}


def _template(node: Any) -> Json:
    """Read the ids that the template puts around one text."""
    before: list[int] = []
    after: list[int] = []
    for step in _parts(node, "Sequence", "processors"):
        if step["type"] == "ByteLevel":
            continue  # it moves offsets only
        if step["type"] != "TemplateProcessing" or before or after:
            raise _Unsupported(f"post-processor {step['type']}")
        side = before
        texts = [part for part in step["single"] if "Sequence" in part]
        if len(texts) != 1:
            raise _Unsupported(f"a template with the text {len(texts)} times")
        for part in step["single"]:
            if "Sequence" in part:
                side = after
            else:
                ids = step["special_tokens"][part["SpecialToken"]["id"]]["ids"]
                if not all(map(is_id, ids)):
                    raise DamagedVocabularyError(f"its template puts {ids!r} around a text")
                side.extend(ids)
    return {"before": before, "after": after}


def _added(tokens: Any, vocab: dict[str, int], has_normalizer: bool) -> list[AddedToken]:
    """Read the added tokens, with the ids that the file gives them: there may be gaps, and any order.

    Of a token that is listed twice the first id counts, as it does in the format's own engine; both decode to it.
    """
    added: list[AddedToken] = []
    owner = {id: token for token, id in vocab.items()}
    asked: list[str] = []
    for token in tokens or []:
        content, id = token["content"], token["id"]
        if not content:
            continue  # the format's own engine passes over it too
        if not is_text(content) or not is_id(id):
            raise DamagedVocabularyError(f"added token {content!r} has the id {id!r}")
        late = _flag(token, "normalized")
        asked += [
            f"added token {content!r} with {setting}"
            for setting in ("single_word", "lstrip", "rstrip")
            if token.get(setting)
        ]
        if late and has_normalizer:
            asked.append(f"added token {content!r} with normalized, behind a normalizer")
        if vocab.get(content, id) != id:
            raise DamagedVocabularyError(f"added token {content!r} has the id {id}, in the vocabulary {vocab[content]}")
        if owner.setdefault(id, content) != content:
            raise DamagedVocabularyError(f"added token {content!r} has the id {id}, which {owner[id]!r} has too")
        added.append(AddedToken(content, id, _flag(token, "special"), late))
    if asked:
        more = f" (and {len(asked) - 3} more of added tokens)" if len(asked) > 3 else ""
        raise _Unsupported(*asked[:2], *([asked[2] + more] if len(asked) > 2 else []))
    # One that is listed twice and special once is special, as it is to the format's own engine. C takes the last one.
    special = {token.content for token in added if token.special}
    first: dict[str, AddedToken] = {}
    for token in added:
        first.setdefault(token.content, token)
    again = [token for token in added if token.id != first[token.content].id]
    return [replace(token, special=token.content in special) for token in [*again, *first.values()]]
