"""Decoding: ids while they come, what may be left out, and the tables of single calls, over real vocabularies."""

import functools
import itertools
import json
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ranked_cases import TIKTOKEN, TOKENIZERS, load

import fastemb

NAMES = ["llama", "separated", "gpt2_files", *TIKTOKEN, *TOKENIZERS]
HANDLERS = ["replace", "ignore", "backslashreplace"]
SPLIT = [
    "", "a", " a", "  a b", "na\u00efve caf\u00e9", "\u4e2d\u6587 \u65e5\u672c", "\U0001f9ff", "<s>", "one two three",
    "\U0001f469\u200d\U0001f467 x", "\u0301\n\n", "\u2581 \u2581", "\ud7ff\ue000", "\U0001d573\U0001d486",
]  # fmt: skip


@pytest.fixture(scope="module")
def separated(tmp_path_factory):
    """Tokens that decoding puts a space between, as a file without a decoder says."""
    file = tmp_path_factory.mktemp("separated") / "tokenizer.json"
    tokens = ["a", "b", "", " ", "\u00e9", "ab", "<s>", *"one tw\u4e2d\U0001f9ff<>s"]
    vocab = {token: id for id, token in enumerate(dict.fromkeys(tokens))}
    added = [{"id": vocab["<s>"], "content": "<s>", "special": True}]
    file.write_text(json.dumps({"model": {"type": "BPE", "vocab": vocab, "merges": ["a b"]}, "added_tokens": added}))
    return fastemb.Tokenizer.load(file)


@pytest.fixture(scope="module", params=NAMES)
def tokenizer(request):
    if request.param in ("llama", "separated"):
        return request.getfixturevalue(request.param)
    return request.getfixturevalue("gpt2") if request.param == "gpt2_files" else load(request.param).ours


def streamed(decoder, ids, cuts=()):
    """What a decoder gives for ids, some steps of one id and some of more."""
    edges = [0, *sorted(cuts), len(ids)]
    parts = []
    for first, last in itertools.pairwise(edges):
        if last - first == 1:
            parts.append(decoder.step(ids[first]))
        else:
            parts.append(decoder.step(ids[first:last]))
    return "".join(parts) + decoder.flush()


@functools.cache
def all_ids(tokenizer):
    return sorted({*tokenizer.vocab.values()})


relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(data=st.data(), text=st.text() | st.lists(st.sampled_from(SPLIT)).map("".join), errors=st.sampled_from(HANDLERS))
def test_steps_joined_are_the_text(tokenizer, data, text, errors):
    ids = tokenizer.encode(text).tolist()
    whole = tokenizer.decode(ids)
    assert streamed(tokenizer.decoder(), ids, range(1, len(ids))) == whole
    cuts = data.draw(st.lists(st.integers(0, len(ids)), unique=True))
    assert streamed(tokenizer.decoder(errors=errors), ids, cuts) == tokenizer.decode(ids, errors=errors)
    # Of ids in any order, torn characters among them.
    known = all_ids(tokenizer)
    torn = [known[place] for place in data.draw(st.lists(st.integers(0, len(known) - 1), max_size=30))]
    expected = tokenizer.decode(torn, errors=errors)
    assert streamed(tokenizer.decoder(errors=errors), torn, range(1, len(torn))) == expected
    assert expected == tokenizer.decode_bytes(np.array(torn, np.int64)).decode("utf-8", errors)


def test_a_character_comes_when_it_is_whole(gpt2):
    ids = gpt2.encode("x\U0001f9ffy").tolist()
    decoder = gpt2.decoder()
    parts = [decoder.step(id) for id in ids]
    assert len(ids) > 3
    assert [part for part in parts if part] == ["x", "\U0001f9ff", "y"]
    assert decoder.flush() == ""
    decoder.step(ids[1])
    assert decoder.flush() == "\ufffd"
    assert decoder.step(ids[0]) == "x"


def test_spaces_between_words_stay(llama):
    """By `decode` of one id at a time they would be lost: the first one is dropped, and only that."""
    ids = llama.encode("one two three").tolist()
    assert streamed(llama.decoder(), ids, range(1, len(ids))) == "one two three"
    assert streamed(llama.decoder(), [1, *ids], range(1, len(ids) + 1)) == llama.decode([1, *ids])
    decoder = llama.decoder()
    assert streamed(decoder, ids) == streamed(decoder, ids) == "one two three"  # flush begins a new text
    assert llama.decode(llama.encode("  two")) == streamed(llama.decoder(), llama.encode("  two")) == "  two"


def test_what_a_step_takes(gpt2):
    ids = gpt2.encode("Hello world")
    for row in (ids, ids.tolist(), tuple(ids.tolist()), ids.astype("u8"), list(ids)):
        assert gpt2.decoder().step(row) == "Hello world"
        decoder = gpt2.decoder()
        assert "".join(decoder.step(id) for id in row) == "Hello world"
    assert gpt2.decoder().step([]) == ""
    for wrong, error in ((True, TypeError), ("a", TypeError), (1.0, TypeError), ([[1]], ValueError), (None, TypeError)):
        with pytest.raises(error, match=r"^ids must be integers in one dimension"):
            gpt2.decoder().step(wrong)


def test_a_refused_step_changes_nothing(gpt2):
    first, *others = gpt2.encode("\U0001f9ff").tolist()
    decoder = gpt2.decoder(errors="strict")
    assert decoder.step(first) == ""
    for wrong, message in (
        (99999, "^id 99999 is no token of"),
        ([*others, -1], r"^id -1 at position \d is no token of"),
    ):
        with pytest.raises(IndexError, match=message):
            decoder.step(wrong)
    with pytest.raises(UnicodeDecodeError):
        decoder.step(first)
    assert decoder.step(others) == "\U0001f9ff"
    decoder.step(first)
    with pytest.raises(UnicodeDecodeError):
        decoder.flush()
    assert decoder.step(gpt2.encode("a")) == "a"


# ---------------------------------------------------------------- what is left out


@pytest.mark.parametrize("skip_special", [False, True])
def test_left_out(tokenizer, skip_special):
    rng = random.Random(5)
    known, special = all_ids(tokenizer), {*tokenizer.special_tokens.values()}
    unknown = [known[-1] + 1, 2**31, -1, -(2**40), 2**62]
    for _ in range(60):
        clean = [rng.choice(known) for _ in range(rng.randrange(9))] + rng.choices([*special, known[0]], k=2)
        rng.shuffle(clean)
        ids = list(clean)
        for one in rng.choices(unknown, k=rng.randrange(4)):
            ids.insert(rng.randrange(len(ids) + 1), one)
        kept = [id for id in clean if not (skip_special and id in special)]
        expected = tokenizer.decode(kept)
        options = {"skip_special": skip_special, "unknown": "ignore"}
        for row in (ids, np.array(ids)):
            assert tokenizer.decode(row, **options) == expected
            assert tokenizer.decode_bytes(row, **options) == tokenizer.decode_bytes(kept)
            assert tokenizer.decode_batch([row, [], row, unknown], **options) == [expected, "", expected, ""]
        assert streamed(tokenizer.decoder(**options), ids, range(1, len(ids))) == expected
        assert streamed(tokenizer.decoder(**options), ids) == expected
        if ids != clean:
            place = next(place for place, id in enumerate(ids) if id in unknown)
            for call in (tokenizer.decode, tokenizer.decode_bytes):
                with pytest.raises(IndexError, match=f"^id {ids[place]} at position {place} is no token of"):
                    call(ids, skip_special=skip_special)
            with pytest.raises(IndexError, match=f"^id {ids[place]} at position {place} of row 1 is no token of"):
                tokenizer.decode_batch([clean, ids], skip_special=skip_special)


def test_skipped_as_tokenizers_does(llama, hf_llama, random_strings):
    for text in random_strings(300, seed=8):
        ids = llama.encode(f"{text}</s>{text}", special="all", template=True)
        assert llama.decode(ids, skip_special=True) == hf_llama.decode(ids.tolist())


def test_a_row_that_is_no_text_is_named(gpt2):
    torn = gpt2.encode("\U0001f9ff")[:1]
    with pytest.raises(UnicodeDecodeError, match=r"\(row 2\)$"):
        gpt2.decode_batch([[0], [], torn], errors="strict")


# ---------------------------------------------------------------- tables


def test_few_ids_and_many_decode_alike(tokenizer):
    rng = np.random.default_rng(6)
    known = np.array(all_ids(tokenizer))
    for size in (0, 1, 2, 7, 511, 512, 513, 2000):
        ids = rng.choice(known, size=size)
        forms = [ids, ids.tolist(), tuple(ids.tolist()), ids.astype(np.int32), ids[::-1][::-1], list(ids)]
        data = {tokenizer.decode_bytes(form) for form in forms}
        assert len(data) == 1
        assert {tokenizer.decode(form) for form in forms} == {data.pop().decode("utf-8", "replace")}
        assert tokenizer.decode_batch([ids])[0] == tokenizer.decode(ids)
    for wrong in ([True], [True, False], [1.0], [0, 1.0], [0, None], ["a"], [0, "a"], [0, np.float64(1)]):
        with pytest.raises(TypeError, match=r"^ids must be integers in one dimension"):
            tokenizer.decode(wrong)


def test_names_and_ids(tokenizer):
    vocab = tokenizer.vocab
    rng = random.Random(7)
    for name in [*rng.sample(sorted(vocab), min(300, len(vocab))), *tokenizer.special_tokens]:
        assert tokenizer.token_to_id(name) == vocab[name]
        assert vocab[tokenizer.id_to_token(vocab[name])] == vocab[name]
        assert tokenizer.id_to_token(np.int64(vocab[name])) == tokenizer.id_to_token(vocab[name])
    vocab.clear()  # a dict of its own
    assert tokenizer.vocab
    for id in (max(all_ids(tokenizer)) + 1, -1, 2**70):
        with pytest.raises(IndexError, match="is no token of this vocabulary"):
            tokenizer.id_to_token(id)
