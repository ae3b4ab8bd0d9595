"""Options that are one of a few words: what annotations say is what calls accept, and a type checker knows it."""

import base64
import importlib.metadata
import importlib.util
import inspect
import json
import subprocess
import sys
import tempfile
import tomllib
import types
import typing
from pathlib import Path

import numpy as np
import pytest

import fastemb
from fastemb import _checks, _tokens, _warmup
from fastemb._cpu import lookup, search
from fastemb._static import windows
from fastemb._text import calls, export, train
from fastemb._word_vectors import corpus as vector_corpus
from fastemb._word_vectors import options as vector_options

PACKAGE = Path(fastemb.__file__).parent
TABLE, X, IDS = np.ones((5, 4), "f4"), np.ones((2, 3, 4), "f4"), [[0, 1, 2], [3, 4, 0]]
FILE = Path(fastemb.__file__).with_name("py.typed")
RAGGED = fastemb.Ragged([0, 1], [0, 2])


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """A tokenizer of four tokens."""
    file = tmp_path_factory.mktemp("options") / "tokenizer.json"
    vocab = {"\u2581": 0, "a": 1, "\u2581a": 2, "<s>": 3}
    steps = [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    ]
    model = {"type": "BPE", "vocab": vocab, "merges": ["\u2581 a"]}
    added = [{"id": 3, "content": "<s>", "special": True}]
    normalizer = {"type": "Sequence", "normalizers": steps}
    file.write_text(json.dumps({"model": model, "normalizer": normalizer, "added_tokens": added}))
    return fastemb.Tokenizer.load(file)


def load_ranks(word):
    """Load a rank file of 256 bytes with special tokens of that name."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [b"%s %d\n" % (base64.b64encode(bytes([byte])), byte) for byte in range(256)]
        Path(folder, "ranks").write_bytes(b"".join(lines))
        return fastemb.Tokenizer.load(Path(folder, "ranks"), "gpt2", special_tokens=word)


def train_kind(word):
    """Train a tokenizer of that kind, of as many tokens as there can be."""
    return fastemb.Tokenizer.train(["ab ab"], word, 6 if word == "unigram" else 300)


def save_trained(word):
    """Save a tokenizer that can be saved in that format."""
    kind = {"vocab.txt": "wordpiece", "sentencepiece": "unigram"}.get(word, "bpe")
    more = {"normalization": "identity"} if word == "sentencepiece" else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) if word == "merges.txt" else Path(folder, "file")
        fastemb.Tokenizer.train(["ab ab"], kind, 6 if word == "sentencepiece" else 300, **more).save(path, word)


def grad_of(mode):
    """A gradient of the shape of a pool's result."""
    return np.ones((2, 8 if mode == "mean_max" else 4))


#: Of each option with words: their type, and a call with one of them, given a tokenizer.
OPTIONS = {
    ("gather", "mode"): (_checks.IdMode, lambda word, _: fastemb.gather(TABLE, IDS, mode=word)),
    ("embed", "mode"): (_checks.IdMode, lambda word, _: fastemb.embed(TABLE, IDS, mode=word)),
    ("embed_backward", "mode"): (_checks.IdMode, lambda word, _: fastemb.embed_backward(X, TABLE, IDS, mode=word)),
    ("scatter_add", "mode"): (_checks.IdMode, lambda word, _: fastemb.scatter_add(TABLE.copy(), IDS, X, mode=word)),
    ("pool", "mode"): (_checks.PoolMode, lambda word, _: fastemb.pool(X, mode=word)),
    ("pool_backward", "mode"): (
        _checks.PoolMode, lambda word, _: fastemb.pool_backward(grad_of(word), X, mode=word)
    ),
    ("embedding_bag", "mode"): (_checks.PoolMode, lambda word, _: fastemb.embedding_bag(TABLE, IDS, mode=word)),
    ("embedding_bag_backward", "mode"): (
        _checks.PoolMode,
        lambda word, _: fastemb.embedding_bag_backward(grad_of(word), TABLE, IDS, mode=word),
    ),
    ("topk", "metric"): (_checks.Metric, lambda word, _: fastemb.topk(TABLE, TABLE, 2, metric=word)),
    ("Ragged.pad", "side"): (_checks.Side, lambda word, _: RAGGED.pad(side=word)),
    ("Tokenizer.encode", "special"): (_tokens.SpecialMode, lambda word, t: t.encode("a", special=word)),
    ("Tokenizer.encode_batch", "special"): (_tokens.SpecialMode, lambda word, t: t.encode_batch(["a"], special=word)),
    ("Tokenizer.count", "special"): (_tokens.SpecialMode, lambda word, t: t.count("a", special=word)),
    ("Tokenizer.count_batch", "special"): (_tokens.SpecialMode, lambda word, t: t.count_batch(["a"], special=word)),
    ("Tokenizer.truncate", "special"): (_tokens.SpecialMode, lambda word, t: t.truncate("a", 1, special=word)),
    ("Tokenizer.chunks", "special"): (_tokens.SpecialMode, lambda word, t: t.chunks("a", 1, special=word)),
    ("Tokenizer.encode", "rest"): (_tokens.RestMode, lambda word, t: t.encode("a", special={"<s>"}, rest=word)),
    ("Tokenizer.encode_batch", "rest"): (_tokens.RestMode, lambda word, t: t.encode_batch([], special=[], rest=word)),
    ("Tokenizer.count", "rest"): (_tokens.RestMode, lambda word, t: t.count("a", special={"<s>"}, rest=word)),
    ("Tokenizer.count_batch", "rest"): (_tokens.RestMode, lambda word, t: t.count_batch(["a"], special=(), rest=word)),
    ("Tokenizer.truncate", "rest"): (_tokens.RestMode, lambda word, t: t.truncate("a", 1, special=[], rest=word)),
    ("Tokenizer.chunks", "rest"): (_tokens.RestMode, lambda word, t: t.chunks("a", 1, special=[], rest=word)),
    ("Tokenizer.encode", "max_tokens"): (_checks.ModelLength, lambda word, t: t.encode("a", max_tokens=word)),
    ("Tokenizer.encode_batch", "max_tokens"): (
        _checks.ModelLength, lambda word, t: t.encode_batch(["a"], max_tokens=word)
    ),
    ("Tokenizer.encode", "offsets"): (_tokens.OffsetUnit, lambda word, t: t.encode("a", offsets=word)),
    ("Tokenizer.encode_batch", "offsets"): (_tokens.OffsetUnit, lambda word, t: t.encode_batch(["a"], offsets=word)),
    ("Tokenizer.encode_batch", "side"): (
        _checks.Side, lambda word, t: t.encode_batch(["a"], max_tokens=1, side=word)
    ),
    ("Tokenizer.encode_batch", "strategy"): (
        calls.Strategy, lambda word, t: t.encode_batch(["a"], pairs=["a"], max_tokens=2, strategy=word)
    ),
    ("Tokenizer.encode_batch", "pad"): (_tokens.PadMode, lambda word, t: t.encode_batch(["a"], pad=word)),
    ("Tokenizer.encode_file", "special"): (_tokens.SpecialMode, lambda word, t: t.encode_file(FILE, special=word)),
    ("Tokenizer.encode_file", "rest"): (
        _tokens.RestMode, lambda word, t: t.encode_file(FILE, special=[], rest=word)
    ),
    ("Tokenizer.decode", "unknown"): (_tokens.UnknownMode, lambda word, t: t.decode([1], unknown=word)),
    ("Tokenizer.decode_bytes", "unknown"): (_tokens.UnknownMode, lambda word, t: t.decode_bytes([1], unknown=word)),
    ("Tokenizer.decode_batch", "unknown"): (_tokens.UnknownMode, lambda word, t: t.decode_batch([[1]], unknown=word)),
    ("Tokenizer.decoder", "unknown"): (_tokens.UnknownMode, lambda word, t: t.decoder(unknown=word)),
    ("Tokenizer.load", "special_tokens"): (_tokens.ModelTokens, lambda word, _: load_ranks(word)),
    ("Tokenizer.train", "kind"): (train.Kind, lambda word, _: train_kind(word)),
    ("Tokenizer.train", "normalization"): (
        train.Normalization, lambda word, _: fastemb.Tokenizer.train(["ab ab"], "unigram", 6, normalization=word)
    ),
    ("Tokenizer.train", "score"): (train.Score, lambda word, _: fastemb.Tokenizer.train(["a b"], score=word)),
    ("Tokenizer.save", "format"): (export.Format, lambda word, _: save_trained(word)),
    ("StaticModel.encode", "max_length"): (
        _checks.ModelLength, lambda word, t: fastemb.StaticModel(t, np.ones((4, 2), "f4")).encode("a", max_length=word)
    ),
    ("StaticModel.encode", "join"): (
        windows.Join, lambda word, t: fastemb.StaticModel(t, np.ones((4, 2), "f4")).encode("a", window=2, join=word)
    ),
    ("train_vectors", "kind"): (
        vector_options.Kind, lambda word, _: fastemb.train_vectors(["a b"] * 5, word, 2, progress=False)
    ),
    ("train_vectors", "split"): (
        vector_corpus.Split, lambda word, _: fastemb.train_vectors(["a b"] * 5, dim=2, split=word)
    ),
    ("set_cuda_check", "mode"): (
        _checks.CudaCheck, lambda word, _: (fastemb.set_cuda_check(word), fastemb.set_cuda_check("defer"))
    ),
    ("show_config", "mode"): (_checks.ConfigMode, lambda word, _: fastemb.show_config(word)),
    ("warmup", "names"): (_checks.KernelName, lambda word, _: fastemb.warmup(word)),
}  # fmt: skip
OPTIMIZERS = ("SGD", "Adagrad", "Adam", "AdamW")
#: Options that take any text, and array_likes, of which NumPy says that texts are some.
OPEN = {
    ("Tokenizer.decode", "ids"), ("Tokenizer.decode_bytes", "ids"), ("Tokenizer.decode_batch", "rows"),
    ("Tokenizer.load", "path"), ("Tokenizer.load", "pattern"), ("Tokenizer.load", "special_tokens"),
    ("Tokenizer.train", "texts"), ("Tokenizer.train", "pattern"), ("Tokenizer.train", "special_tokens"),
    ("Tokenizer.save", "path"), ("Tokenizer.encode", "text"), ("Tokenizer.encode_batch", "texts"),
    ("Tokenizer.count", "text"), ("Tokenizer.count_batch", "texts"), ("Tokenizer.truncate", "text"),
    ("Tokenizer.decode", "errors"), ("Tokenizer.decode_batch", "errors"), ("Tokenizer.token_to_id", "token"),
    ("Tokenizer.decoder", "errors"), ("Tokenizer.chunks", "text"), ("Tokenizer.encode", "pair"),
    ("Tokenizer.encode_batch", "pairs"),
    ("Tokenizer.encode_file", "path"), ("Tokenizer.encode_file", "out"),
    ("StaticModel.load", "path"), ("StaticModel.encode", "texts"), ("rope_frequencies", "scaling"),
    ("StaticModel.encode_iter", "texts"), ("StaticModel.save_word2vec", "path"), ("StaticModel.most_similar", "query"),
    ("StaticModel.similarity", "a"), ("StaticModel.similarity", "b"), ("StaticModel.analogy", "positive"),
    ("StaticModel.analogy", "negative"),
    ("train_vectors", "texts"), ("evaluate", "words"), ("evaluate", "analogies"), ("evaluate", "pairs"),
    ("StaticModel.encode", "prompt"), ("StaticModel.encode", "prompt_name"),
    *((f"{kind}.{method}", "path") for kind in OPTIMIZERS for method in ("save", "load")),
    *((f"{kind}.load_state_dict", "state_dict") for kind in OPTIMIZERS),
}  # fmt: skip


def functions():
    """The public functions and methods, by name."""
    for name in fastemb.__all__:
        value = getattr(fastemb, name)
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            ours = [vars(kind) for kind in reversed(value.__mro__) if kind.__module__.startswith("fastemb.")]
            for method, made in [item for members in ours for item in members.items()]:
                made = getattr(made, "__func__", made)
                if inspect.isfunction(made) and (not method.startswith("_") or method == "__init__"):
                    yield f"{name}.{method}", made


def leaves(hint):
    """The types that a hint consists of, and the words of its literals."""
    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    parts = [part for part in typing.get_args(hint) if part is not ...]
    return [leaf for part in parts for leaf in leaves(part)] if parts else [hint]


HINTS = {(name, option): hint for name, f in functions() for option, hint in typing.get_type_hints(f).items()}


def test_no_option_of_words_is_forgotten():
    texts = {key for key, hint in HINTS.items() if key[1] != "return" and {str, "model"} & {*leaves(hint)}}
    words = {key for key, hint in HINTS.items() if any(isinstance(leaf, str) for leaf in leaves(hint))}
    assert words == OPTIONS.keys()
    assert texts - {key for key in OPTIONS if key[1] in ("special", "max_length", "max_tokens", "pad")} == OPEN
    defaults = {
        (name, option): one.default
        for name, f in functions()
        for option, one in inspect.signature(f).parameters.items()
        if isinstance(one.default, str)
    }
    for key, default in defaults.items():
        assert key in OPEN or default in typing.get_args(OPTIONS[key][0]), key


@pytest.mark.parametrize("key", OPTIONS, ids=".".join)
def test_annotations_are_what_is_accepted(key, tokens, capsys):
    kind, call = OPTIONS[key]
    words = typing.get_args(kind)
    assert [leaf for leaf in leaves(HINTS[key]) if isinstance(leaf, str)] == list(words)
    assert len({*words}) == len(words)
    for word in words:
        call(word, tokens)
    error = TypeError if kind is _checks.ModelLength else ValueError
    for wrong in ("nothing", words[0].upper(), words[-1] + " "):
        with pytest.raises(error) as caught:
            call(wrong, tokens)
        assert all(word in str(caught.value) for word in (*words, repr(wrong))), str(caught.value)


def test_what_options_choose_is_there_for_each_word():
    for kind, chosen in (
        (_checks.IdMode, lookup._MODES),
        (_checks.Metric, search._METRICS),
        (_tokens.SpecialMode, _tokens._ACTIONS),
        (_tokens.RestMode, _tokens._REST_ACTIONS),
        (_checks.KernelName, _warmup._CALLS),
    ):
        assert chosen.keys() == {*typing.get_args(kind)}


def test_a_set_is_no_text():
    """A misspelt word must not pass for one of the sets, lists and tuples of tokens."""
    parts = typing.get_args(HINTS["Tokenizer.encode", "special"])
    assert str not in parts
    assert not any(issubclass(str, typing.get_origin(part)) for part in parts if isinstance(part, types.GenericAlias))


USE = """
import numpy as np
import fastemb

table = np.ones((5, 4), np.float32)
tokenizer = fastemb.Tokenizer.load("tokenizer.json")
fastemb.gather(table, [0], mode="clip")
fastemb.embed(table, [0], mode="wrap")
fastemb.embedding_bag(table, [[0]], mode="mean_max")
fastemb.pool(table, offsets=[0, 5], mode="weighted_mean")
fastemb.topk(table, table, 2, metric="l2")
fastemb.Ragged([0], [0, 1]).pad(side="left")
tokenizer.encode("a", special="all")
tokenizer.encode("a", special={"<s>"})
tokenizer.encode("a", special=tokenizer.special_tokens)
tokenizer.encode_batch(["a"], special=["<s>"], rest="raise")
tokenizer.decode([1], unknown="ignore")
ids, places = tokenizer.encode("a", offsets=True)
ids.sum(), places.sum(), tokenizer.encode("a", pair="b", max_tokens="model").sum()
rows, places = tokenizer.encode_batch(["a"], pairs=["b"], offsets="bytes", max_tokens=3, side="left")
rows.ids, places.sum(), tokenizer.encode_batch([["a"]], pretokenized=True).lengths
tokenizer.encode_batch(["a"], max_tokens=2, stride=0, pad="longest", offsets=True).arrays()
tokenizer.encode_batch(["a"], details=True).type_ids, tokenizer.encode_batch(["a"], pad=3).attention_mask
tokenizer.encode_batch(["a"], details=False, pad=None, stride=None).lengths
known: bool = bool(table.sum())
if isinstance(found := tokenizer.encode_batch(["a"], offsets=known), tuple) and not isinstance(found, fastemb.Encoded):
    found[1].sum()
elif isinstance(found, fastemb.Ragged):
    found.lengths
tokenizer.encode("a", offsets=known)
tokenizer.encode_file("a", special={"<s>"}).sum()
fastemb.StaticModel.load().encode("a", max_length="model")
fastemb.StaticModel.load().encode("a", max_length=5)
fastemb.show_config("dicts")
fastemb.warmup("gather", "topk")
"""
MISUSE = [
    'fastemb.gather(table, [0], mode="skip")',
    'fastemb.pool(table, offsets=[0, 5], mode="avg")',
    'fastemb.topk(table, table, 2, metric="euclid")',
    'fastemb.Ragged([0], [0, 1]).pad(side="up")',
    'tokenizer.encode("a", special="some")',
    'tokenizer.encode("a", special={"<s>"}, rest="refuse")',
    'tokenizer.decode([1], unknown="skip")',
    'tokenizer.encode_batch(["a"], max_tokens=3, side="up")',
    'tokenizer.encode_batch(["a"], pad="all")',
    'tokenizer.encode("a", offsets="words")',
    'tokenizer.encode_batch(["a"], offsets=known).ids',
    'fastemb.StaticModel.load().encode("a", max_length="most")',
    'fastemb.warmup("gathers")',
]


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy comes with the extra 'lint'")
def test_a_type_checker_takes_words_and_refuses_others(tmp_path):
    file = tmp_path / "use.py"
    file.write_text(USE + "\n".join(MISUSE))
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(tmp_path / "cache"), str(file)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PACKAGE.parent)
    errors = [line for line in found.stdout.splitlines() if ": error: " in line]
    first = USE.count("\n") + 1
    assert [int(line.removeprefix(str(file)).split(":")[1]) for line in errors] == [
        *range(first, first + len(MISUSE))
    ], found.stdout + found.stderr


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
    project = PACKAGE.parent / "pyproject.toml"
    if project.is_file():
        assert "py.typed" in tomllib.loads(project.read_text())["tool"]["setuptools"]["package-data"]["fastemb"]
    assert "Typing :: Typed" in importlib.metadata.metadata("fastemb").get_all("Classifier")
