"""What the classes by which transformers names tokenizers do with a `vocab.json` and a `merges.txt`.

A folder with these two files and a `tokenizer_config.json` says all of its tokenizer but what the class itself brings:
how text is cut, and which special tokens there are where no file names others. Each family gives that as components
of a `tokenizer.json`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .component_reader import Unsupported
from .patterns import SPELLINGS, Pattern
from .vocabulary import DamagedVocabularyError

Json = dict[str, Any]

_END = "<|endoftext|>"


@dataclass(frozen=True)
class Settings:
    """What the files beside the pair say."""

    given: Json  # tokenizer_config.json
    special: dict[str, str]  # the special tokens by their part, "bos_token" and so on
    ids: dict[str, int]  # of all tokens

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a setting that is true or false."""
        value = self.given.get(name)
        return default if value is None else bool(value)

    def token(self, part: str) -> tuple[str, int]:
        """Return a special token and its id."""
        if part not in self.special:
            raise DamagedVocabularyError(f"it needs a {part}, and there is none")
        return self.named(self.special[part])

    def named(self, content: str) -> tuple[str, int]:
        """Return a token and its id."""
        if content not in self.ids:
            raise DamagedVocabularyError(f"it needs the token {content!r}, which is not in the vocabulary")
        return content, self.ids[content]


@dataclass(frozen=True)
class Family:
    """One way to read the two files."""

    special: dict[str, str]  # by their part, where no file names others
    components: Callable[[Settings], Json]  # of a tokenizer.json; in "model" its settings


def _byte_level(**fields: Any) -> Json:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True} | fields


def _sequence(members: str, *steps: Json) -> Json:
    return {"type": "Sequence", members: list(steps)}


def _split(pattern: str, behavior: str, *, invert: bool = False) -> Json:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def _gpt2(settings: Settings) -> Json:
    space = settings.flag("add_prefix_space")
    return {"pre_tokenizer": _byte_level(add_prefix_space=space), "decoder": _byte_level(add_prefix_space=True)}


Token = tuple[str, int]  # and its id
Place = tuple[Token | str, int]  # of a template: a token, or the text "A" or "B", and its type id


def template(single: list[Place], pair: list[Place]) -> Json:
    """Return the template of one text and of two."""

    def piece(what: Token | str, type_id: int) -> Json:
        kind, name = ("Sequence", what) if isinstance(what, str) else ("SpecialToken", what[0])
        return {kind: {"id": name, "type_id": type_id}}

    tokens = dict(what for what, _ in pair if not isinstance(what, str))
    return {
        "type": "TemplateProcessing",
        "single": [piece(*place) for place in single],
        "pair": [piece(*place) for place in pair],
        "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]} for name, id in tokens.items()},
    }


def _roberta(settings: Settings) -> Json:
    post = {
        "type": "RobertaProcessing",
        "sep": list(settings.token("sep_token")),
        "cls": list(settings.token("cls_token")),
        "trim_offsets": settings.flag("trim_offsets", True),
        "add_prefix_space": settings.flag("add_prefix_space"),
    }
    return _gpt2(settings) | {"post_processor": post}


def _deberta(settings: Settings) -> Json:
    cls, sep = settings.token("cls_token"), settings.token("sep_token")
    single: list[Place] = [(cls, 0), ("A", 0), (sep, 0)]
    return _gpt2(settings) | {"post_processor": template(single, [*single, (sep, 0), ("B", 0), (sep, 0)])}


def _codegen(settings: Settings) -> Json:
    return _gpt2(settings) | {"post_processor": _byte_level(add_prefix_space=True, trim_offsets=False)}


def _whisper(settings: Settings) -> Json:
    asked = [f"{name} {settings.given[name]!r}" for name in ("language", "task") if settings.given.get(name)]
    if asked:
        raise Unsupported(f"Whisper's {' and '.join(asked)} in tokenizer_config.json")
    before: list[Place] = [(settings.named("<|startoftranscript|>"), 0)]
    if not settings.flag("predict_timestamps"):
        before.append((settings.named("<|notimestamps|>"), 0))
    end = settings.token("eos_token")
    post = template([*before, ("A", 0), (end, 0)], [*before, ("A", 0), ("B", 1), (end, 1)])
    return _gpt2(settings) | {"post_processor": post}


def _neox(settings: Settings) -> Json:
    return _gpt2(settings) | {"normalizer": {"type": "NFC"}}


def _cohere(settings: Settings) -> Json:
    digits = {"type": "Digits", "individual_digits": True}
    parts = _gpt2(settings)
    return parts | {
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": _sequence("pretokenizers", digits, parts["pre_tokenizer"]),
    }


def _qwen2(settings: Settings) -> Json:
    last = _byte_level(add_prefix_space=settings.flag("add_prefix_space"), use_regex=False)
    split = _split(SPELLINGS[Pattern.QWEN2][0], "Isolated")
    return {
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": _sequence("pretokenizers", split, last),
        "decoder": _byte_level(add_prefix_space=True),
    }


def _clip(settings: Settings) -> Json:
    words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    spaces = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
    return {
        "normalizer": _sequence("normalizers", {"type": "NFC"}, spaces, {"type": "Lowercase"}),
        "pre_tokenizer": _sequence("pretokenizers", _split(words, "Removed", invert=True), _byte_level()),
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": list(settings.token("eos_token")),
            "cls": list(settings.token("bos_token")),
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": _byte_level(add_prefix_space=True),
        "model": {"unk_token": settings.token("unk_token")[0], "end_of_word_suffix": "</w>"},
    }


def _bert_words(settings: Settings, **normalizer: Any) -> Json:
    cleaned = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    return {
        "normalizer": cleaned | normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
        "model": {"unk_token": settings.token("unk_token")[0], "end_of_word_suffix": "</w>"},
    }


def _openai_gpt(settings: Settings) -> Json:
    return _bert_words(settings, lowercase=True)


def _herbert(settings: Settings) -> Json:
    # The class has these two ids whatever the vocabulary says.
    sep, cls = settings.token("sep_token")[0], settings.token("cls_token")[0]
    post = {"type": "BertProcessing", "sep": [sep, 2], "cls": [cls, 0]}
    return _bert_words(settings, lowercase=False, strip_accents=False) | {"post_processor": post}


_ROBERTA = Family(
    {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "cls_token": "<s>",
        "mask_token": "<mask>",
    },
    _roberta,
)
_ENDS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), _END)
#: By the name of the class, without "Fast".
FAMILIES = {
    "GPT2Tokenizer": Family(_ENDS, _gpt2),
    "CodeGenTokenizer": Family(_ENDS, _codegen),
    "WhisperTokenizer": Family(_ENDS, _whisper),
    "GPTNeoXTokenizer": Family(_ENDS | {"pad_token": "<|padding|>"}, _neox),
    "Qwen2Tokenizer": Family({"eos_token": _END, "unk_token": _END, "pad_token": _END}, _qwen2),
    "CohereTokenizer": Family(
        {
            "bos_token": "<BOS_TOKEN>",
            "eos_token": "<|END_OF_TURN_TOKEN|>",
            "unk_token": "<UNK>",
            "sep_token": "<SEP>",
            "pad_token": "<PAD>",
            "cls_token": "<CLS>",
            "mask_token": "<MASK_TOKEN>",
        },
        _cohere,
    ),
    **dict.fromkeys(
        ("RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "LEDTokenizer", "MvpTokenizer"), _ROBERTA
    ),
    "DebertaTokenizer": Family(
        {
            "bos_token": "[CLS]",
            "eos_token": "[SEP]",
            "unk_token": "[UNK]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        },
        _deberta,
    ),
    "CLIPTokenizer": Family(
        {"bos_token": "<|startoftext|>", "eos_token": _END, "unk_token": _END, "pad_token": _END},
        _clip,
    ),
    "OpenAIGPTTokenizer": Family({"unk_token": "<unk>"}, _openai_gpt),
    "HerbertTokenizer": Family(
        {
            "unk_token": "<unk>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "cls_token": "<s>",
            "mask_token": "<mask>",
        },
        _herbert,
    ),
}
