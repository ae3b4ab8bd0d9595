"""The options of `SentencePieceTrainer`: what ``spm_train`` knows, and what of it can be honoured."""

from __future__ import annotations

import csv
import os
from typing import Any

from .._text.sentencepiece_file import ModelType
from .._text.train_scores import MOST_LONGEST
from .._words import shown

KINDS = {"unigram": ModelType.UNIGRAM, "bpe": ModelType.BPE}
#: The options, and what they are where they are not given.
OPTIONS: dict[str, Any] = {
    "input": [],
    "model_prefix": "",
    "model_type": "unigram",
    "vocab_size": 8000,
    "character_coverage": 0.9995,
    "required_chars": "",
    "hard_vocab_limit": True,
    "byte_fallback": False,
    "max_sentence_length": 4192,
    "max_sentencepiece_length": 16,
    "input_sentence_size": 0,
    "shuffle_input_sentence": True,
    "split_digits": False,
    "control_symbols": [],
    "user_defined_symbols": [],
    "vocabulary_output_piece_score": True,
    **{f"{name}_id": id for id, name in zip((0, 1, 2, -1), ("unk", "bos", "eos", "pad"), strict=True)},
    "unk_piece": "<unk>",
    "bos_piece": "<s>",
    "eos_piece": "</s>",
    "pad_piece": "<pad>",
    "unk_surface": " \u2047 ",
    "normalization_rule_name": "nmt_nfkc",
    "normalization_rule_tsv": "",
    "add_dummy_prefix": True,
    "remove_extra_whitespaces": True,
    "num_threads": 16,
    "minloglevel": 0,
    "train_extremely_large_corpus": False,
}
#: Those of which there is one value alone.
ONLY: dict[str, Any] = {
    "escape_whitespaces": True,
    "split_by_whitespace": True,
    "split_by_unicode_script": True,
    "split_by_number": True,
    "treat_whitespace_as_suffix": False,
    "allow_whitespace_only_pieces": False,
    "use_all_vocab": False,
    "auto_character_coverage": False,
    "enable_differential_privacy": False,
    "pretokenization_delimiter": "",
    "seed_sentencepieces_file": "",
    "denormalization_rule_tsv": "",
    "input_format": "text",
    "seed_sentencepiece_size": 1_000_000,
    "shrinking_factor": 0.75,
    "num_sub_iterations": 2,
    "self_test_sample_size": 0,
}
#: Those that a normalizer stands for.
OF_NORMALIZER = (
    "normalization_rule_name",
    "normalization_rule_tsv",
    "add_dummy_prefix",
    "remove_extra_whitespaces",
    "escape_whitespaces",
)


def of_line(arg: str) -> dict[str, Any]:
    """Return the options of a command line, "--input=a.txt --vocab_size=1000", as texts."""
    pairs = (part.removeprefix("--").partition("=") for part in arg.split(" ") if part)
    return {name: value for name, _, value in pairs}


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """Return the values of all `OPTIONS` and of those of `ONLY` that were given.

    Raises
    ------
    NotImplementedError
        A value that fastemb's trainers cannot honour.
    ValueError
        A value that is none of its option.
    RuntimeError
        An option that there is not.
    """
    asked = dict(OPTIONS)
    for name, value in given.items():
        if name not in OPTIONS and name not in ONLY:
            raise RuntimeError(f"NOT_FOUND: unknown field name {shown(name)} in TrainerSpec.")
        found = _as_like(name, value, OPTIONS[name] if name in OPTIONS else ONLY[name])
        if name in ONLY and found != ONLY[name] and not (name == "input_format" and not found):
            raise NotImplementedError(f"{name}={shown(value)}: fastemb's trainers know {ONLY[name]!r} alone")
        asked[name] = found
    if asked["model_type"] not in KINDS:
        kind = asked["model_type"]
        if kind in ("word", "char"):
            raise NotImplementedError(f"model_type={kind!r}: fastemb's trainers know 'unigram' and 'bpe' alone")
        raise ValueError(f"INVALID_ARGUMENT: model_type must be 'unigram' or 'bpe', got {shown(kind)}")
    if not 0 < asked["character_coverage"] <= 1:
        raise ValueError(f"character_coverage must be above 0 and at most 1, got {asked['character_coverage']}")
    most = MOST_LONGEST if asked["model_type"] == "unigram" else 512
    for name, high in {"vocab_size": 2**21, "max_sentencepiece_length": most, "max_sentence_length": 2**31}.items():
        if not 1 <= asked[name] <= high:
            raise ValueError(f"{name} must be from 1 to {high}, got {asked[name]}")
    if asked["input_sentence_size"] < 0:
        raise ValueError(f"input_sentence_size must be at least 0, got {asked['input_sentence_size']}")
    return asked


def _as_like(name: str, value: Any, default: Any) -> Any:
    """Return a value as the type of another one, as texts of a command line are read."""
    if isinstance(default, list):
        if isinstance(value, str):
            return next(csv.reader([value]), [])
        try:
            return [os.fspath(one) for one in (value if isinstance(value, list | tuple) else [value])]
        except TypeError:
            raise ValueError(f"INVALID_ARGUMENT: {name} must be a list of str, got {shown(value)}") from None
    try:
        if isinstance(default, bool) and str(value).lower() in ("1", "t", "true", "y", "yes", ""):
            return True
        if isinstance(default, bool) and str(value).lower() in ("0", "f", "false", "n", "no"):
            return False
        if isinstance(default, str):
            return os.fspath(value)
        if not isinstance(default, bool):
            return type(default)(value)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"INVALID_ARGUMENT: {name} must be a {type(default).__name__}, got {shown(value)}")
