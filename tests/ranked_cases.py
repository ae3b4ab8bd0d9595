"""Rank vocabularies in our engine and in their makers', and the texts on which tests compare the two."""

import functools
import gzip
import itertools
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vocabularies

import fastemb

# Each with the engine its maker uses: Llama 3 and Qwen 2 come as a tokenizer.json.
TIKTOKEN, TOKENIZERS = ["gpt2", "p50k", "cl100k", "o200k", "tekken"], ["llama3", "qwen2"]
WITH_SPECIAL = ["gpt2", "p50k", "cl100k", "o200k", "llama3", "qwen2"]


@dataclass(eq=False)
class Case:
    """A vocabulary in our engine, in tiktoken, and where its maker uses that in `tokenizers`."""

    vocabulary: vocabularies.RealVocabulary
    ours: fastemb.Tokenizer
    engine: Any

    @functools.cached_property
    def twin(self) -> Any:
        return self.vocabulary.tokenizers()

    def expected(self, texts: list[str]) -> list[list[int]]:
        if self.vocabulary.name in TOKENIZERS:
            return [row.ids for row in self.twin.encode_batch_fast(texts, add_special_tokens=False)]
        if sum(map(len, texts)) > 500 * len(texts):  # worth handing over to another thread
            return self.moved(self.engine.encode_ordinary_batch(texts, num_threads=2))
        return self.moved(map(self.engine.encode_ordinary, texts))

    def expected_bytes(self, items: list[bytes]) -> list[list[int]]:
        return self.moved(map(self.engine._encode_bytes, items))

    def moved(self, rows) -> list[list[int]]:
        first = self.vocabulary.first_id
        return [[id + first for id in row] for row in rows] if first else list(rows)


def load(name: str) -> Case:
    try:
        vocabulary = vocabularies.read(name)
    except vocabularies.MissingVocabularyError as missing:
        pytest.skip(str(missing))
    if name == "gpt2":
        ours = fastemb.Tokenizer.load(vocabularies.gpt2_folder())
    elif name == "tekken":
        ours = fastemb.Tokenizer.load(vocabularies.tekken_file())
    else:
        pattern, special = vocabulary.pattern_name, vocabulary.special
        ours = fastemb.Tokenizer.load(vocabulary.file, pattern, special_tokens=special)
    return Case(vocabulary, ours, vocabulary.tiktoken())


def assert_rows(rows: fastemb.Ragged, expected: list[list[int]], items: list) -> None:
    """Rows have the ids expected; else show the first item whose ids differ."""
    assert rows.ids.dtype == np.int32
    assert len(rows) == len(expected) == len(items)
    flat = np.fromiter(itertools.chain.from_iterable(expected), np.int32)
    offsets = np.cumsum([0, *map(len, expected)])
    if not (np.array_equal(rows.offsets, offsets) and np.array_equal(rows.ids, flat)):
        for ours, theirs, item in zip(rows, expected, items, strict=True):
            assert ours.tolist() == theirs, f"{item[:2000]!r}: got {ours.tolist()}, expected {theirs}"
        raise AssertionError("offsets are wrong")


# ---------------------------------------------------------------- real text


def manual_pages(language: str, limit: int) -> str:
    """Manual pages as they come with Debian's packages, up to `limit` characters; '' where there are none."""
    pages, total = [], 0
    for file in sorted(Path("/usr/share/man", language).glob("man*/*.gz")):
        if total > limit:
            break
        if not file.is_file():  # a link to a page that is not installed
            continue
        pages.append(gzip.decompress(file.read_bytes()).decode("utf-8", "replace"))
        total += len(pages[-1])
    return "".join(pages)[:limit]


def glosses(limit: int) -> str:
    """WordNet's files, if Debian's wordnet-base is installed."""
    files = sorted(Path("/usr/share/wordnet").glob("data.*"))
    return "".join(file.read_text("utf-8")[: limit // len(files)] for file in files)


def cut(text: str, size: int = 8192) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def draw_documents(real_lines: list[str]) -> list[str]:
    """Some megabytes of the world's languages and of code, in documents of about 8 kB."""
    texts = ["\n".join(real_lines[i : i + 120]) for i in range(0, len(real_lines), 120)]
    for language in ("ja", "zh_CN", "ru", "de", "ko", "uk", "tr", "pl"):
        texts += cut(manual_pages(language, 100_000))
    return texts + cut(glosses(300_000))


# ---------------------------------------------------------------- random text

FRAGMENTS = [
    *["the", "Hello", "WORLD", "don", "camelCase", "XMLHttp", "a", "I", "straße", "naïve", "İstanbul", "ſ", "ß"],
    *["'s", "'S", "'ſ", "'t", "'re", "'RE", "'ve", "'m", "'ll", "'LL", "'d", "'", "’s", "''", "'l", "'v", "'r"],
    *[" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", " \n", "  \n ", "\t", "\t\t", " \t\n"],
    *["\u3000", "\u00a0", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\u1680", "\u202f", "\u200b", "\ufeff"],
    *["0", "12", "123", "1234567", "3.14", "٣", "५६७", "²", "Ⅷ", "①②③④", "½", "𝟘𝟙", "൧"],
    *["!", "...", "/", "//\n", "->", "—", "()", "{}\r\n", " =", " ==", "#", "/**\n", "\0", "\x7f", "_", "__init__"],
    *["\u0301", "\u0338\u0301", "\ufe0f", "\u0e31", "\u093f", "e\u0301", "\u20dd", "\U000e0100"],
    *["ǅ", "ʰ", "ª", "中文字符", "かな", "カナ", "한국어", "привет", "ПРИВЕТ", "Ψυχή"],
    *["שלום", "مرحبا", "สวัสดี", "हिन्दी"],
    *["𐐀", "𐐨", "𝕳𝖊", "😀", "👩‍👩‍👧", "🇩🇪", "☃", "\ue000", "\ufffd", "\ufffe", "\U0010ffff", "\u0378", "€", "™"],
    *["https://", ".com", "print(", '"""', "0x1F", "<|endoftext|>", "<|im_start|>", "|>", "<|"],
]


@functools.lru_cache(maxsize=2)
def draw_fragments(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(FRAGMENTS, k=rng.randint(1, 16))) for _ in range(count)]
