"""Single calls of Tokenizer, one text of 26 characters: against tiktoken's same call, and against our own `encode`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vocabularies

import fastemb

from .measure import Measure
from .rivals import RankVocabulary

TIKTOKEN, ENCODE, DECODE = "tiktoken", "encode", "decode"
TEXT = "The quick brown fox jumps."
END = vocabularies.END
RANKED = pytest.mark.parametrize("ranked", ["cl100k"], indirect=True)

#: Of each call: ours, tiktoken's, and how many times as long as ours tiktoken's and our own `encode` are to take.
CALLS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any], float, float | None]] = {
    "count": (lambda ours, _: ours.count(TEXT), lambda theirs, _: len(theirs.encode_ordinary(TEXT)), 1, 1),
    "special='all'": (
        lambda ours, _: ours.encode(TEXT, special="all"),
        lambda theirs, _: theirs.encode(TEXT, allowed_special="all"),
        1,
        1 / 1.5,
    ),
    "special={one}": (
        lambda ours, _: ours.encode(TEXT, special={END}),
        lambda theirs, _: theirs.encode(TEXT, allowed_special={END}, disallowed_special=()),
        1,
        1 / 1.5,
    ),
    "max_tokens=3": (
        lambda ours, _: ours.encode(TEXT, max_tokens=3),
        lambda theirs, _: theirs.encode_ordinary(TEXT)[:3],
        1,
        1 / 1.5,
    ),
    "truncate": (
        lambda ours, _: ours.truncate(TEXT, 3)[0],
        lambda theirs, _: theirs.decode(theirs.encode_ordinary(TEXT)[:3]),
        1,
        1 / 1.5,
    ),
    "bytes": (
        lambda ours, _: ours.encode(TEXT.encode()),
        lambda theirs, _: theirs._encode_bytes(TEXT.encode()),
        1,
        None,
    ),
    "decode(list)": (lambda ours, ids: ours.decode(ids), lambda theirs, ids: theirs.decode(ids), 1 / 2, None),
    "decode_bytes([id])": (
        lambda ours, ids: ours.decode_bytes([ids[0]]),
        lambda theirs, ids: theirs.decode_bytes([ids[0]]),
        1 / 2,
        None,
    ),
    "token_to_id": (
        lambda ours, _: ours.token_to_id(b" fox"),
        lambda theirs, _: theirs.encode_single_token(b" fox"),
        1 / 2,
        None,
    ),
    "id_to_token": (
        lambda ours, ids: vocabularies.CHARACTER_BYTES[ours.id_to_token(ids[0])[0]],
        lambda theirs, ids: theirs.decode_single_token_bytes(ids[0])[0],
        1 / 2,
        None,
    ),
}


@pytest.fixture(scope="module")
def both(ranked: RankVocabulary) -> tuple[fastemb.Tokenizer, Any, list[int]]:
    """Our tokenizer with its maker's special tokens, tiktoken's, and the ids of the text."""
    ours = fastemb.Tokenizer.load(ranked.real.file, ranked.real.pattern_name, special_tokens=ranked.real.special)
    return ours, ranked.tiktoken, ours.encode(TEXT).tolist()


def same(a: Any, b: Any) -> None:
    """Two results are alike: ids as a list or an array, texts, numbers."""
    assert np.array_equal(a, b) if isinstance(a, np.ndarray | list) else a == b


@pytest.mark.parametrize("name", [TIKTOKEN, "fastemb"])
@RANKED
@pytest.mark.parametrize("call", CALLS)
def test_single_call(measure: Measure, both: Any, ranked: RankVocabulary, call: str, name: str) -> None:
    ours, theirs, ids = both
    mine, rival, asked, _ = CALLS[call]
    measure(
        f"Tokenizer, {call}",
        f"{ranked.name}, 1 text of 26 characters",
        {"fastemb": lambda: mine(ours, ids), TIKTOKEN: lambda: rival(theirs, ids)},
        name,
        asked=asked,
        agree=same,
    )


@pytest.mark.parametrize("name", [ENCODE, "fastemb"])
@RANKED
@pytest.mark.parametrize("call", [call for call, row in CALLS.items() if row[3]])
def test_beside_encode(measure: Measure, both: Any, ranked: RankVocabulary, call: str, name: str) -> None:
    ours, _, ids = both
    mine = CALLS[call][0]
    measure(
        f"Tokenizer, {call} beside encode",
        f"{ranked.name}, 1 text of 26 characters",
        {"fastemb": lambda: mine(ours, ids), ENCODE: lambda: ours.encode(TEXT)},
        name,
        asked=CALLS[call][3],
        agree=None,
    )


@pytest.mark.parametrize("name", [DECODE, "fastemb"])
@pytest.mark.parametrize("vocabulary", ["wordllama", "gpt2"], indirect=True)
def test_streaming(measure: Measure, vocabulary: Any, name: str) -> None:
    """A step for each of 1,000 ids, beside `decode` of all of them at once."""
    ours = vocabulary.ours
    ids = ours.encode(f"{TEXT} na\u00efve \u4e2d\u6587 \U0001f9ff, " * 200)[:1000].tolist()

    def stream() -> str:
        decoder = ours.decoder()
        step = decoder.step
        return "".join([step(id) for id in ids]) + decoder.flush()

    calls = {"fastemb": stream, DECODE: lambda: ours.decode(ids)}
    measure(
        "Tokenizer.decoder",
        f"{vocabulary.name}, 1,000 ids, a step each",
        calls,
        name,
        agree=same,
        counts={"tokens": len(ids)},
    )
