"""SentencePiece models: small ones that sentencepiece trains here, some made by hand, and texts hard on them."""

import functools
import inspect
import io
import json
import pydoc_data.topics
import random
import textwrap

import numpy as np
import pytest

from fastemb._text.sentencepiece_file import ModelType, NormalizerSpec, PieceType, SentencePieceModel, TrainerSpec
from fastemb._text.sentencepiece_write import write_model

SYMBOLS = ["<sep>", "foo", "日本", "a b", "▁the▁", "of"]
IDENTITY = {"normalization_rule_name": "identity"}
# What sentencepiece's trainer is asked for, by the name of a model.
TRAINED = {
    "nmt_nfkc": {},
    "nfkc": {"normalization_rule_name": "nfkc", "character_coverage": 0.98},
    "nfkc_cf": {"normalization_rule_name": "nfkc_cf"},
    "identity, symbols": IDENTITY | {"user_defined_symbols": SYMBOLS, "control_symbols": ["<ctl>"]},
    "symbols, spaces kept": IDENTITY | {"user_defined_symbols": SYMBOLS, "remove_extra_whitespaces": False},
    "bytes": {"byte_fallback": True, "character_coverage": 0.98, "split_digits": True},
    "bytes, as Llama": IDENTITY
    | {"byte_fallback": True, "character_coverage": 0.98, "remove_extra_whitespaces": False}
    | {"allow_whitespace_only_pieces": True, "split_digits": True},
    "no prefix": {"add_dummy_prefix": False, "remove_extra_whitespaces": False},
    "suffix": {"treat_whitespace_as_suffix": True},
    "not split": {"split_by_whitespace": False, "split_by_unicode_script": False, "split_by_number": False},
}
KINDS = [(kind, name) for kind in ("bpe", "unigram") for name in TRAINED]
ALPHABET = [
    *"   ▁\t\n\r aaabcdeefoothe123.,'\"-<>/",
    *("é", "e\u0301", "ﬁ", "①", "日", "本", "한", "a b", "foo", " the ", "<sep>", "<s>", "</s>", "日本", "of", "İ"),
    *("\u3000", "\u200b", "\ufeff", "𝒳", "😀", "\ufffd", "\x00", "\x01", "\u0338", "=", "ß", "か\u3099", "㍿", "ﷺ"),
    *("<0x41>", "<unk>", "\u00ad", "x"),
]
OTHER = [
    "日本語のテキスト、これは試験です。",
    "Ｆｕｌｌ ｗｉｄｔｈ ①②③ ﬁ é ñ ü",
    "русский текст, привет мир",
    "foo of the a b",
]


@functools.cache
def lines():
    """Return lines of text to train on and to encode: English, code, and some that are neither."""
    english = "\n".join(text for _, text in sorted(pydoc_data.topics.topics.items())).split("\n")
    code = inspect.getsource(textwrap).split("\n")
    return [line for line in english[:1300] + code[:300] if line.strip()] + OTHER * 40


@functools.cache
def trained(kind, name):
    """Return the bytes of a model that sentencepiece trains; skip the test without it."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece trains the models and is the oracle")
    settings = {"vocab_size": 400, "hard_vocab_limit": False, "minloglevel": 2, "num_threads": 1} | TRAINED[name]
    if settings.get("byte_fallback"):
        settings["vocab_size"] += 256
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()), model_writer=out, model_type=kind, **settings
    )
    return out.getvalue()


def oracle(data):
    """Return sentencepiece's processor of a model; skip the test without it."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is the oracle")
    return sentencepiece.SentencePieceProcessor(model_proto=data)


def texts(count, seed=0):
    """Return texts by chance, lines, and what has been wrong before."""
    chance = random.Random(seed)
    found = ["".join(chance.choices(ALPHABET, k=chance.randrange(30))) for _ in range(count)]
    found += chance.sample(lines(), count // 4)
    return [*found, "", " ", "  ", "▁", "a", " a", "a ", "\x01", *(" " * n + "b" + " " * (n % 5) for n in range(2, 40))]


def model(pieces, kind=ModelType.UNIGRAM, trainer=None, normalizer=None):
    """Return the bytes of a model of pieces, tuples of a name, a score and a type, behind the three usual ones."""
    rows = [("<unk>", 0, PieceType.UNKNOWN), ("<s>", 0, PieceType.CONTROL), ("</s>", 0, PieceType.CONTROL), *pieces]
    rows = [(*row, PieceType.NORMAL)[:3] for row in rows]
    return write_model(
        SentencePieceModel(
            [row[0] for row in rows],
            np.array([row[1] for row in rows], np.float32),
            np.array([row[2] for row in rows], np.uint8),
            TrainerSpec(kind, len(rows), **trainer or {}),
            NormalizerSpec(**normalizer or {}),
        )
    )


def llama_2(path):
    """Return a model of Llama 2's pieces out of a tokenizer.json of them: each scores less than the one before it.

    The file itself is in no package; its scores are these, but for runs of spaces, which come last.
    """
    document = json.loads(path.read_bytes())
    vocab = sorted(document["model"]["vocab"].items(), key=lambda item: item[1])
    rows = []
    for piece, id in vocab[3:]:
        kind = PieceType.BYTE if piece.startswith("<0x") and len(piece) == 6 else PieceType.NORMAL
        spaces = len(piece) > 1 and not piece.strip("▁")
        rows.append((piece, 0.0 if kind == PieceType.BYTE else -1e9 if spaces else 259.0 - id, kind))
    spec = {"name": "identity", "remove_extra_whitespaces": False}
    return model(rows, ModelType.BPE, {"byte_fallback": True}, spec)
