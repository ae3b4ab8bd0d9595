"""The drop-ins against the packages that they stand for: the same calls, with results of the same kinds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import tokenizers

from fastemb.compat import tiktoken as our_tiktoken
from fastemb.compat import tokenizers as our_tokenizers

from .corpora import Corpus
from .measure import Measure
from .rivals import RankVocabulary, package_folder

TIKTOKEN, TOKENIZERS = "tiktoken", "tokenizers"
TEXT = "The quick brown fox jumps over the lazy dog."
LINES = 1_000

Call = Callable[[Any, Any], Any]
#: Of each call of an encoding with a case: what is called, and how many times as long as ours theirs is to take.
ENCODINGS: dict[str, tuple[str, Call, float]] = {
    "encode": ("text", lambda one, text: one.encode(text), 1.5),
    "encode, allowed_special='all'": ("text", lambda one, text: one.encode(text, allowed_special="all"), 1.5),
    "encode_ordinary": ("text", lambda one, text: one.encode_ordinary(text), 1.2),
    "encode_ordinary, long": ("long", lambda one, text: one.encode_ordinary(text), 5),
    "encode_batch": ("lines", lambda one, texts: one.encode_batch(texts, num_threads=1, disallowed_special=()), 10),
    "decode": ("ids", lambda one, ids: one.decode(ids), 1),
    "decode, long": ("long ids", lambda one, ids: one.decode(ids), 1),
    "decode_batch": ("rows", lambda one, rows: one.decode_batch(rows, num_threads=1), 1),
    "decode_tokens_bytes": ("ids", lambda one, ids: one.decode_tokens_bytes(ids), 1),
    "decode_with_offsets": ("ids", lambda one, ids: one.decode_with_offsets(ids), 1),
    "encode_single_token": ("token", lambda one, token: one.encode_single_token(token), 1),
    "decode_single_token_bytes": ("id", lambda one, id: one.decode_single_token_bytes(id), 1),
    "_encode_bytes": ("bytes", lambda one, text: one._encode_bytes(text), 1),
    "_encode_single_piece": ("token", lambda one, token: one._encode_single_piece(token + b"qqqq"), 1),
    "encode_with_unstable": (
        "text",
        lambda one, text: [sorted(map(tuple, part)) for part in one.encode_with_unstable(text)[1:]],
        1,
    ),
}


def everything(encoding: Any) -> Any:
    """Return all that most users ask of an encoding."""
    e = encoding
    return e.ids, e.type_ids, e.tokens, e.offsets, e.attention_mask, e.special_tokens_mask


def streamed(tokenizer: Any, ids: list[int]) -> list[str | None]:
    """Return what a stream of ids gives, step by step."""
    module = tokenizers if isinstance(tokenizer, tokenizers.Tokenizer) else our_tokenizers
    stream = module.decoders.DecodeStream()
    return [stream.step(tokenizer, id) for id in ids]


#: The same of a tokenizer.
TOKENIZER_CALLS: dict[str, tuple[str, Call, float]] = {
    "encode, ids": ("text", lambda one, text: one.encode(text).ids, 2),
    "encode, all fields": ("text", lambda one, text: everything(one.encode(text)), 1),
    "encode, words": ("text", lambda one, text: one.encode(text).word_ids, 1),
    "encode, ids, long": ("long", lambda one, text: one.encode(text).ids, 10),
    "encode, all fields, long": ("long", lambda one, text: everything(one.encode(text)), 1),
    "encode_batch, ids": ("lines", lambda one, texts: [e.ids for e in one.encode_batch(texts)], 8),
    "encode_batch_fast, ids": ("lines", lambda one, texts: [e.ids for e in one.encode_batch_fast(texts)], 8),
    "encode_batch, all fields": ("lines", lambda one, texts: [everything(e) for e in one.encode_batch(texts)], 1),
    "encode_batch, words": ("lines", lambda one, texts: [e.word_ids for e in one.encode_batch(texts)], 1),
    "encode_batch, pairs, ids": ("pairs", lambda one, pairs: [e.ids for e in one.encode_batch(pairs)], 8),
    "decode": ("ids", lambda one, ids: one.decode(ids), 1),
    "decode, long": ("long ids", lambda one, ids: one.decode(ids), 1),
    "decode_batch": ("rows", lambda one, rows: one.decode_batch(rows), 1),
    "DecodeStream": ("ids", streamed, 1),
    "token_to_id": ("name", lambda one, name: one.token_to_id(name), 1),
    "id_to_token": ("id", lambda one, id: one.id_to_token(id), 1),
}


def given(measure: Measure, code: Corpus, encode: Callable[[str], list[int]], case: str) -> Any:
    """Return what a call is given."""
    whole = "".join(code.texts)
    texts = [line for line in whole.splitlines() if line.strip()][: LINES if measure.timed else 20]
    long = whole[: 300_000 if measure.timed else 3_000]
    cases: dict[str, Callable[[], Any]] = {
        "text": lambda: TEXT,
        "bytes": lambda: TEXT.encode(),
        "token": lambda: b" the",
        "name": lambda: "the",
        "id": lambda: encode(TEXT)[1],
        "long": lambda: long,
        "lines": lambda: texts,
        "pairs": lambda: list(zip(texts[::2], texts[1::2], strict=False)),
        "ids": lambda: encode(TEXT),
        "long ids": lambda: encode(long),
        "rows": lambda: [encode(text) for text in texts],
    }
    return cases[case]()


@functools.cache
def encoding(ranked: RankVocabulary) -> our_tiktoken.Encoding:
    """Return our encoding of a vocabulary."""
    real = ranked.real
    return our_tiktoken.Encoding(
        real.name, pat_str=real.pattern, mergeable_ranks=real.ranks, special_tokens=real.special
    )


@functools.cache
def both() -> tuple[Any, Any]:
    """Return both libraries' tokenizers of one file."""
    file = str(package_folder("wordllama") / "tokenizers/l2_supercat_tokenizer_config.json")
    return tokenizers.Tokenizer.from_file(file), our_tokenizers.Tokenizer.from_file(file)


@pytest.mark.parametrize("name", [TIKTOKEN, "fastemb"])
@pytest.mark.parametrize("ranked", ["cl100k"], indirect=True)
@pytest.mark.parametrize("corpus", ["code"], indirect=True)
@pytest.mark.parametrize("call", ENCODINGS)
def test_tiktoken(measure: Measure, ranked: RankVocabulary, corpus: Corpus, call: str, name: str) -> None:
    case, function, asked = ENCODINGS[call]
    ours, theirs = encoding(ranked), ranked.tiktoken
    what = given(measure, corpus, theirs.encode_ordinary, case)
    calls = {"fastemb": lambda: function(ours, what), TIKTOKEN: lambda: function(theirs, what)}
    measure(f"compat.tiktoken, {call}", f"{ranked.name}, {case}", calls, name, asked=asked, agree=same)


@pytest.mark.parametrize("name", [TOKENIZERS, "fastemb"])
@pytest.mark.parametrize("corpus", ["code"], indirect=True)
@pytest.mark.parametrize("call", TOKENIZER_CALLS)
def test_tokenizers(measure: Measure, corpus: Corpus, call: str, name: str) -> None:
    case, function, asked = TOKENIZER_CALLS[call]
    theirs, ours = both()
    what = given(measure, corpus, lambda text: list(theirs.encode(text).ids), case)
    calls = {"fastemb": lambda: function(ours, what), TOKENIZERS: lambda: function(theirs, what)}
    measure(f"compat.tokenizers, {call}", f"WordLlama's vocabulary, {case}", calls, name, asked=asked, agree=same)


def same(a: Any, b: Any) -> None:
    """Two results are alike."""
    assert a == b
